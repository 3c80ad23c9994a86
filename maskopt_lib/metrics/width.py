"""Mask rules of edges: the narrowest place of a mask and the narrowest gap in it."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

from maskopt_lib.metrics._arrays import crop, one_binary

#: Two edges face each other where the directions to them differ by at least this angle; corners sharper than its
#: supplement (40 degrees) count as narrow places, right angles do not.
FACING_DEGREES = 140.0


def min_width_nm(mask: Any, pixel_nm: float) -> float:
    """The smallest distance, through the mask, between two edges that face each other.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Width in nm; nan for an empty mask.

    Notes
    -----
    Each pixel of the region knows the nearest pixel outside of it (Euclidean distance transform). Where two
    neighbouring pixels point in opposite directions the ridge of the distance transform, the medial axis, runs between
    them, and the two distances add up to the local width. The minimum is the diameter of the smallest disc that touches
    the outline on opposite sides: the neck of a dumbbell, the width of a bar. A shape without such a place, a disc for
    one, has the diameter of its largest inscribed disc. A right-angled corner is no narrow place, nor is a rounded end:
    those are the business of `min_radius_nm`.

    Exact for edges along y and x, within a pixel and a half for others. Features less than three pixels wide count
    from a length of five pixels, below that they are taken for the raster's roughness. The field ends at its border.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool); mask[8:56, 20:32] = True
    >>> min_width_nm(mask, pixel_nm=2.0)
    24.0
    """
    return _facing_nm(np.pad(crop(one_binary(mask))[0], 1), pixel_nm)


def min_space_nm(mask: Any, pixel_nm: float) -> float:
    """The smallest distance, through the opaque part, between two edges that face each other.

    Between two shapes or across a notch or a hole of one shape; parameters and notes as for `min_width_nm`.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Space in nm; nan where no two edges face each other through opaque field, as around a single disc.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool); mask[8:56, 8:20] = mask[8:56, 27:40] = True
    >>> min_space_nm(mask, pixel_nm=1.0)
    7.0
    """
    # A little more than the mask's bounding box: beyond it there is only one side to point to.
    return _facing_nm(~np.pad(crop(one_binary(mask))[0], 1), pixel_nm)


def _facing_nm(region: np.ndarray, pixel_nm: float) -> float:
    if region.all() or not region.any():  # nothing outside or nothing inside: no edge
        return float("nan")
    distance, nearest = ndimage.distance_transform_edt(region, return_indices=True)
    labels, n_parts = ndimage.label(region)
    found, faced = [], np.zeros(n_parts + 1, dtype=bool)
    cosine = np.cos(np.deg2rad(FACING_DEGREES))
    for axis, (here, there) in enumerate(((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]))):
        dy, dx = (n[there] - n[here] for n in nearest)
        # Edges nearer than 3 pixels are left to `_thin`, and outside of the region a pixel points to itself.
        y, x = np.nonzero((dy * dy + dx * dx > 9) & region[here] & region[there])
        a = np.stack([nearest[0][y, x] - y, nearest[1][y, x] - x])
        b = a + np.stack([dy[y, x], dx[y, x]])
        b[axis] -= 1
        length_a, length_b = np.hypot(*a), np.hypot(*b)
        facing = (a * b).sum(axis=0) <= cosine * length_a * length_b
        # To pixel centres half a pixel beyond either edge, from two centres a pixel apart: the halves cancel.
        found.extend((length_a + length_b)[facing])
        faced[labels[y[facing], x[facing]]] = True
    # Parts without facing edges that do not run out of the image: the largest inscribed disc.
    faced[np.r_[0, labels[0], labels[-1], labels[:, 0], labels[:, -1]]] = True
    if not faced.all():
        found.extend(2 * ndimage.maximum(distance, labels, np.flatnonzero(~faced)))
    if thin := _thin(region):
        found.append(thin)
    return float(min(found)) * pixel_nm if found else float("nan")


def _thin(region: np.ndarray) -> int:
    """1 or 2 where a feature is less than three pixels wide, 0 where none is."""
    padded = np.pad(region, 3, mode="edge")  # beyond the image it goes on as at its border
    thick = _with_neighbours(_with_neighbours(padded, np.logical_and), np.logical_or)
    near = _with_neighbours(_with_neighbours(thick, np.logical_or), np.logical_or)
    thin = (padded & ~near)[3:-3, 3:-3]
    if not thin.any():
        return 0
    return 1 if (thin & ~ndimage.binary_opening(region, np.ones((2, 2)))).any() else 2


def _with_neighbours(image: np.ndarray, combine: Any) -> np.ndarray:
    """Each pixel combined with the four beside it: erosion with `logical_and`, dilation with `logical_or`."""
    result = image.copy()
    for shift, axis in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        result = combine(result, np.roll(image, shift, axis=axis))
    return result
