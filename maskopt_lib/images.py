"""What every door does first with an image: takes it as it comes, or says what it is and which call helps.

An image is ``(*batch, y, x)``: a numpy array of any layout in memory, a tensor of any device, an xarray DataArray (with
dimensions ``y`` and ``x`` in whatever order) or nested lists, of booleans, integers or floats, 0 (opaque, outside) to 1
(clear, inside). Grey values are transmissions, or the covered share of a pixel, and go where they mean something: into
:class:`~maskopt_lib.litho.Simulator`, into a solver's first mask and into the writer. Targets, and masks that are
scored, are binary.
"""

from typing import Any

import numpy as np

from maskopt_lib.errors import ImageError
from maskopt_lib.options import LARGEST_SIDE, Positive, check

# Sums of float32 shares leave the range by rounding.
_ROUNDING = 1e-6


def real(image: Any, what: str = "image", *, axes: int | None = None) -> np.ndarray:
    """``(*batch, y, x)`` of finite numbers, such as intensities, as numpy on the host; copied only where that needs it.

    Parameters
    ----------
    image : see the head of this module.
    what : how the message calls it.
    axes : how many it must have; any from two without.

    Raises
    ------
    ImageError : no array of real numbers, another number of axes, no pixel, or values that are not finite.
    """
    array = _array(image, what, axes)
    if array.dtype.kind == "f" and array.size and not np.isfinite(array.min() + array.max()):
        raise ImageError(f"the {what} has values that are not finite; look at what made it, a solver that diverged?")
    return array


def grey(image: Any, what: str = "mask", *, axes: int | None = None) -> np.ndarray:
    """As :func:`real`, and an error for values outside of 0 to 1, such as those of an 8-bit picture."""
    array = _array(image, what, axes)
    if array.dtype != bool and array.size:
        check_range(array.min(), array.max(), what)
    return array


def binary(image: Any, what: str = "mask", *, axes: int | None = None, pixel_nm: float = 1.0) -> np.ndarray:
    """As :func:`grey`, ``(*batch, y, x)`` bool, and an error for values between 0 and 1.

    With the side of its pixels in nm, where that is to be checked as well: `OptionError` if it is not finite and above
    0.

    Examples
    --------
    >>> binary([[0, 1.0]])
    array([[False,  True]])
    >>> binary([[0, 0.2]], "target")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    maskopt_lib.errors.ImageError: the target must be binary, 0 or 1, and 50 % of its pixels are grey; ...
    """
    check(Positive, pixel_nm=pixel_nm)
    array = grey(image, what, axes=axes)
    if array.dtype.itemsize == 1:  # whole numbers from 0 to 1
        return array.view(bool)
    is_set = array > 0.5
    if array.dtype.kind == "f" and array.size and (share := np.mean(array != is_set)):
        raise ImageError(
            f"the {what} must be binary, 0 or 1, and {100 * share:.3g} % of its pixels are grey; rasterize it with "
            f"antialiased=False, or cut it: {what} > 0.5"
        )
    return is_set


def _array(image: Any, what: str, axes: int | None) -> np.ndarray:
    if hasattr(image, "detach"):  # a tensor; numpy has no bfloat16
        check_shape(tuple(image.shape), what, axes)
        image = image.detach().to_dense().cpu()
        image = image.float() if image.is_floating_point() and image.element_size() < 4 else image
    elif {"y", "x"} <= set(getattr(image, "dims", ())):
        image = image.transpose(..., "y", "x")
        for axis in ("y", "x"):
            if axis in getattr(image, "coords", {}) and image.sizes[axis] > 1 and image[axis][0] > image[axis][-1]:
                raise ImageError(f"{axis} of the {what} falls, and would be taken upside down; {what}.sortby({axis!r})")
    try:
        array = np.asarray(image)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ImageError(f"the {what} cannot be read as an array (*batch, y, x): {error}") from None
    check_kind(array.dtype.kind, array.dtype, what)
    if np.ma.is_masked(image):
        raise ImageError(f"the {what} has masked values; fill them first, {what}.filled(0)")
    check_shape(array.shape, what, axes)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def check_kind(kind: str, dtype: Any, what: str) -> None:
    """Raise :class:`ImageError` for what holds no real numbers; ``kind`` as of a numpy dtype."""
    if kind == "c":
        raise ImageError(
            f"the {what} is complex ({dtype}); images are real transmissions from 0 to 1, and a phase would be lost: "
            f"pass {what}.real where the imaginary part is 0"
        )
    if kind not in "biuf":
        raise ImageError(f"the {what} must hold booleans or numbers, got dtype {dtype}; pick one variable of a Dataset")


def check_shape(shape: tuple[int, ...], what: str, axes: int | None = None) -> None:
    """Raise :class:`ImageError` unless it is ``(*batch, y, x)``, 1 to `LARGEST_SIDE` pixels a side, of ``axes`` axes.

    Nothing of the image is looked at or copied before.
    """
    if len(shape) < 2 or 0 in shape[-2:]:
        raise ImageError(f"the {what} must be (*batch, y, x) with at least one pixel, got shape {tuple(shape)}")
    if max(shape[-2:]) > LARGEST_SIDE:
        raise ImageError(
            f"the {what} is {shape[-1]} x {shape[-2]} pixels; {LARGEST_SIDE} a side are the most that are taken: go "
            "window by window, or take larger pixels"
        )
    if axes == 2 and len(shape) != 2:
        raise ImageError(
            f"this takes one {what} (y, x) at a time, got shape {tuple(shape)}; of a batch take one, as in "
            f"{what}[0], or let metrics.evaluate go through it"
        )
    if axes == 3 and len(shape) != 3:
        raise ImageError(f"the {what} must be (sample, y, x), got shape {tuple(shape)}; of one image make {what}[None]")


def check_range(low: Any, high: Any, what: str) -> None:
    """Raise :class:`ImageError` where smallest and largest value are not from 0 to 1."""
    if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):  # also catches nan
        raise ImageError(
            f"the {what} must hold values between 0 and 1, got {low:g} to {high:g}; divide an 8-bit picture by 255, "
            "pass an unbounded parameter through its sigmoid; nan comes from what diverged"
        )


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
