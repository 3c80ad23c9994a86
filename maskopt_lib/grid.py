"""Square periodic grids: the one place that says where pixels and frequencies are.

::

    y ^   row n-1   pixel (row i, column j) covers
      |   ...       [j, j + 1) x [i, i + 1) pixel_nm,
      |   row 0     its centre is ((j + 1/2), (i + 1/2)) pixel_nm.
      +------> x

Arrays are ``[..., y, x]``; row 0 has the lowest y, as in the layout. Spectra are ordered as FFTs are, except
where a name ends in ``_centred``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from maskopt_lib.errors import GridMismatchError


@dataclass(frozen=True)
class Grid:
    """A square, periodic grid of ``n`` x ``n`` pixels.

    Attributes
    ----------
    n : pixels along one side, at least 1.
    pixel_nm : side of one pixel in nm, above 0.
    """

    n: int
    pixel_nm: float

    def __post_init__(self) -> None:
        if int(self.n) != self.n or self.n < 1:
            raise GridMismatchError(f"a grid needs a whole number of pixels of at least 1, got n={self.n!r}")
        if not self.pixel_nm > 0:
            raise GridMismatchError(f"a pixel needs a positive size, got pixel_nm={self.pixel_nm!r}")

    @property
    def period_nm(self) -> float:
        """Side of the whole grid in nm."""
        return self.n * self.pixel_nm

    @property
    def centres_nm(self) -> np.ndarray:
        """(n,) pixel centres in nm, ascending; the same along x and y."""
        return (np.arange(self.n) + 0.5) * self.pixel_nm


def stated_pixel_nm(image: Any) -> float | None:
    """Side of a pixel in nm as the pixel centres ``x`` of an xarray image say it; None for what says nothing."""
    coords = getattr(image, "coords", {})
    # Asked for a coordinate that it does not have, xarray counts pixels.
    centres = coords["x"] if "x" in coords else ()
    return float(centres[1] - centres[0]) if len(centres) > 1 else None


def grid_of(shape: tuple[int, ...], period_nm: float) -> Grid:
    """The grid of an array whose last two axes span ``period_nm``.

    Parameters
    ----------
    shape : ``(*batch, y, x)`` of the array.
    period_nm : side of the field in nm.

    Returns
    -------
    The grid, with ``pixel_nm = period_nm / n``.

    Raises
    ------
    GridMismatchError : when the last two axes are missing or not equal.

    Examples
    --------
    >>> grid_of((10, 256, 256), 2048.0)
    Grid(n=256, pixel_nm=8.0)
    """
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] < 1:
        raise GridMismatchError(
            f"expected an array (*batch, y, x) with y = x that spans {period_nm:g} nm, got shape {tuple(shape)}; "
            "pad or crop it to a square first"
        )
    return Grid(int(shape[-1]), period_nm / int(shape[-1]))
