"""What every metric does first: turn whatever came in into one plain binary image."""

from __future__ import annotations

from typing import Any

import numpy as np

from maskopt_lib.errors import GridMismatchError


def to_numpy(array: Any) -> np.ndarray:
    """The array as numpy, on the host and without gradients; tensors, DataArrays and nested lists are taken."""
    return np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)


def binary(image: Any, what: str = "mask") -> np.ndarray:
    """(*batch, y, x) bool: the image at or above 0.5.

    Parameters
    ----------
    image : (*batch, y, x), 0 (opaque, outside) to 1 (clear, inside); boolean, integer or float.
    what : how the message calls the image.

    Raises
    ------
    GridMismatchError : fewer than two axes, an empty image, or values outside 0 to 1, such as an 8-bit picture's 255.

    Examples
    --------
    >>> binary([[0.2, 0.5]])
    array([[False,  True]])
    """
    image = to_numpy(image)
    if image.ndim < 2 or image.size == 0:
        raise GridMismatchError(f"the {what} must be (*batch, y, x) with at least one pixel, got shape {image.shape}")
    if image.dtype != bool and not (image.min() >= 0 and image.max() <= 1):  # also catches nan
        raise GridMismatchError(
            f"the {what} must hold values between 0 and 1, got {image.min():g} to {image.max():g}; "
            "divide an 8-bit picture by 255, pass an unbounded parameter through its sigmoid"
        )
    return image >= 0.5 if image.dtype != bool else image


def one_binary(image: Any, what: str = "mask") -> np.ndarray:
    """(y, x) bool: `binary` of a single image.

    Raises
    ------
    GridMismatchError : as `binary`, and for a batch.
    """
    image = binary(image, what)
    if image.ndim != 2:
        raise GridMismatchError(
            f"this is measured on one {what} (y, x) at a time, got shape {image.shape}; of a batch take one, as in "
            f"{what}[0], or let metrics.evaluate go through it"
        )
    return image


def crop(image: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a 2-D binary image that holds something, and the (y, x) of its first pixel; empty for an empty image.

    Examples
    --------
    >>> part, corner = crop(np.array([[0, 0, 0], [0, 0, 1]], bool))
    >>> part.shape, corner
    ((1, 1), (1, 2))
    """
    rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
    if not rows.size:
        return image[:0, :0], (0, 0)
    y, x = int(rows[0]), int(columns[0])
    return image[y : rows[-1] + 1, x : columns[-1] + 1], (y, x)
