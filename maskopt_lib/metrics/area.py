"""Scores of one print: areas where two images differ (L2, the process variation band), and the edge placement."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.images import binary, real
from maskopt_lib.metrics import area, epe
from maskopt_lib.options import Positive, check

#: The scores of a print, in the order of `maskopt_lib.data.schema`.
PRINT_SCORES = (
    *(schema.L2, schema.PVB),
    *(schema.EPE15, schema.EPE3, schema.EPE_SITES, schema.EPE_MEAN_ABS, schema.EPE_MAX_ABS),
)


def _difference_nm2(a: Any, b: Any, pixel_nm: float) -> float:
    a, b = binary(a, "first image", pixel_nm=pixel_nm), binary(b, "second image")
    if a.shape != b.shape:
        raise GridMismatchError(
            f"both images must share one grid, got {a.shape} and {b.shape}; bring both to one pixel size first"
        )
    return float(np.count_nonzero(a != b)) * pixel_nm**2


def l2_nm2(printed: Any, target: Any, pixel_nm: float) -> float:
    """Area in nm2 where the nominal print differs from the target.

    The field calls this number L2, the squared norm of the difference of two binary images.

    Parameters
    ----------
    printed, target : (y, x) binary images on one grid.
    pixel_nm : side of a pixel in nm.

    Examples
    --------
    A line of 20 x 2 pixels of 4 nm, printed one pixel too wide:

    >>> target = np.zeros((32, 32), bool); target[4:24, 10:12] = True
    >>> l2_nm2(target | np.roll(target, 1, axis=1), target, pixel_nm=4.0)
    320.0
    """
    return _difference_nm2(printed, target, pixel_nm)


def pvb_nm2(outer: Any, inner: Any, pixel_nm: float) -> float:
    """Area in nm2 between the prints of the two extreme process corners: where exactly one of the two prints.

    Parameters
    ----------
    outer, inner : (y, x) binary prints at the outer (focus, dose 1.02) and the inner corner (defocus, dose 0.98).
    pixel_nm : side of a pixel in nm.

    Notes
    -----
    The exclusive or of two prints, as the contest of 2013 and OpenILT count it; not the union of bands over a
    focus-dose matrix. A one-sided count (outer and not inner) is the same number as long as the inner print lies
    inside the outer.

    Examples
    --------
    >>> outer = np.ones((8, 8), bool); inner = outer.copy(); inner[0] = False
    >>> pvb_nm2(outer, inner, pixel_nm=2.0)
    32.0
    """
    return _difference_nm2(outer, inner, pixel_nm)


def print_areas(aerial: Any, target: Any, *, pixel_nm: float, threshold: float, part: Any = ...) -> dict[str, float]:
    """L2 and PV band of one aerial image, by the names of their scores.

    Parameters
    ----------
    aerial : (corner, y, x) intensity as for :func:`by_corner`.
    target : (y, x) binary image.
    pixel_nm : side of a pixel in nm.
    threshold : intensity from which resist prints.
    part : index of the pixels (y, x) that count; all by default.

    Examples
    --------
    >>> target = np.zeros((8, 8), bool); target[2:6, 2:6] = True
    >>> print_areas(1.0 * np.stack([target, target, 0 * target]), target, pixel_nm=2.0, threshold=0.5)
    {'l2_nm2': 0.0, 'pvb_nm2': 64.0}
    """
    check(Positive, threshold=threshold)
    aerial = by_corner(aerial)
    nominal, outer, inner = (print_[part] for print_ in aerial >= aerial.dtype.type(threshold))
    return {
        schema.L2: l2_nm2(nominal, binary(target, "target")[part], pixel_nm),
        schema.PVB: pvb_nm2(outer, inner, pixel_nm),
    }


def by_corner(aerial: Any, names: Sequence[str] | None = None) -> np.ndarray:
    """The images (corner, y, x) at nominal, outer and inner corner, whatever else there is and in whatever order.

    Parameters
    ----------
    aerial : (corner, y, x) intensity.
    names : of its corners; by default those of its coordinate ``corner``, and of what has none the three of
        ``schema.CORNERS`` in that order.

    Raises
    ------
    UnknownNameError : one of the three is missing.
    GridMismatchError : another number of images than of names.
    """
    if names is None:
        names = aerial[schema.CORNER].values if schema.CORNER in getattr(aerial, "coords", ()) else schema.CORNERS
    images, names = real(aerial, "aerial"), [str(name) for name in names]
    if len(images) != len(names):
        raise GridMismatchError(f"an aerial image a corner is needed, {names}, got shape {images.shape}")
    if missing := sorted(set(schema.CORNERS) - set(names)):
        raise UnknownNameError(f"no process corner {missing}; there are {names}: simulate nominal, outer and inner")
    at = [names.index(name) for name in schema.CORNERS]
    return images if at == list(range(len(images))) else images[at]


def print_scores(
    aerial: np.ndarray,
    target: np.ndarray,
    *,
    pixel_nm: float,
    threshold: float,
    with_epe: bool = True,
    core: slice = slice(None),
) -> dict[str, float]:
    """Scores of one clip by the names of :data:`PRINT_SCORES`.

    Parameters
    ----------
    aerial : (corner, y, x) intensity at the nominal, the outer and the inner corner, see `area.by_corner`.
    target : (y, x) bool.
    pixel_nm : side of a pixel in nm.
    threshold : intensity at and above which the resist prints.
    with_epe : also the edge placement, at the straight edges of the target.
    core : the rows, and columns, that count; edge placement is measured at the sites inside of them.
    """
    part = np.s_[core, core]
    scores = area.print_areas(aerial, target, pixel_nm=pixel_nm, threshold=threshold, part=part)
    if with_epe:
        sites = epe.epe_sites(aerial[0], target, pixel_nm=pixel_nm, threshold=threshold)
        if core != slice(None):
            y, x, low, high = sites.y_nm.values, sites.x_nm.values, core.start * pixel_nm, core.stop * pixel_nm
            inside = (low < y) & (y < high) & (low < x) & (x < high)
            sites = sites.isel({schema.SITE: inside})
        scores |= epe.summarize(sites)
    return scores
