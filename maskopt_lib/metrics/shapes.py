"""Mask rules of whole shapes: how many there are, the smallest area (MSA), the smallest distance (MSD)."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from maskopt_lib.images import binary, crop


class ShapeRules(NamedTuple):
    """Number of shapes, smallest shape area in nm2, smallest distance between two shapes in nm."""

    shapes: int
    msa_nm2: float
    msd_nm: float


def shape_rules(mask: Any, pixel_nm: float) -> ShapeRules:
    """Count the shapes of a mask, find the smallest one and the closest two.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Shapes (4-connected components), ``msa_nm2`` (nan without shapes) and ``msd_nm`` (nan with fewer than two shapes).

    Notes
    -----
    The distance of two shapes is that of their closest pixel centres, as the released code of CurvyILT takes it: one
    pixel more than the empty space between two facing straight edges, and one pixel (or its diagonal) at the least.
    A spacing free of this convention is `min_space_nm`.

    Only pixels on an outline are compared, and pairs of shapes whose bounding boxes are no closer than the closest pair
    so far are never looked at. The result is exact.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool); mask[8:16, 8:16] = mask[8:24, 20:24] = True
    >>> shape_rules(mask, pixel_nm=2.0)
    ShapeRules(shapes=2, msa_nm2=256.0, msd_nm=10.0)
    """
    part, _ = crop(binary(mask, axes=2, pixel_nm=pixel_nm))
    labels, n = ndimage.label(part)
    if n == 0:
        return ShapeRules(0, float("nan"), float("nan"))
    areas = np.bincount(labels.ravel())[1:]
    return ShapeRules(int(n), float(areas.min()) * pixel_nm**2, _closest(labels, n) * pixel_nm)


class Neighbours(NamedTuple):
    """Two shapes that are close to each other.

    Attributes
    ----------
    first, second : their numbers.
    distance : (place,) of each outline pixel of the second shape that is close to the first, between pixel centres.
    on_first, on_second : (place, 2) y and x of the two pixels.
    """

    first: int
    second: int
    distance: np.ndarray
    on_first: np.ndarray
    on_second: np.ndarray


def neighbours(labels: np.ndarray, n: int, within: float) -> Iterator[Neighbours]:
    """Pairs of shapes of which pixel centres are less than ``within`` pixels apart.

    Parameters
    ----------
    labels, n : (y, x) shapes, numbered from 1, and their number.
    within : in pixels.
    """
    if n < 2:
        return
    points, low, high = _outlines(labels, n)
    for a in range(n - 1):
        near = np.flatnonzero(_box_gap(low, high, a) < within)
        tree = cKDTree(points[a]) if near.size else None
        for b in (a + 1 + near).tolist():
            distance, index = tree.query(points[b], distance_upper_bound=within)  # inf where nothing is closer
            close = np.isfinite(distance)
            if close.any():
                yield Neighbours(a + 1, b + 1, distance[close], points[a][index[close]], points[b][close])


def _closest(labels: np.ndarray, n: int) -> float:
    """Smallest distance of pixel centres of two different labels, in pixels; nan for one label."""
    if n < 2:
        return float("nan")
    points, low, high = _outlines(labels, n)
    best = np.inf
    for a in range(n - 1):
        at_least = _box_gap(low, high, a)
        near = np.flatnonzero(at_least < best)
        if not near.size:
            continue
        tree = cKDTree(points[a])
        for k in near[np.argsort(at_least[near], kind="stable")]:
            if at_least[k] >= best:
                break
            distance, _ = tree.query(points[a + 1 + k], distance_upper_bound=best)  # inf where nothing is closer
            best = min(best, float(distance.min()))
    return best


def _outlines(labels: np.ndarray, n: int) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """For each shape the (pixel, 2) y and x of its outline, their lowest and their highest."""
    part = labels > 0
    padded = np.pad(part, 1)
    inner = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    outline = np.argwhere(part & ~inner)
    owner = labels[tuple(outline.T)]
    outline = outline[np.argsort(owner, kind="stable")].astype(float)
    points = np.split(outline, np.cumsum(np.bincount(owner, minlength=n + 1)[1:])[:-1])
    return points, np.array([p.min(axis=0) for p in points]), np.array([p.max(axis=0) for p in points])


def _box_gap(low: np.ndarray, high: np.ndarray, a: int) -> np.ndarray:
    """Distance of the bounding box of shape ``a`` to those after it."""
    gap = np.maximum(0, np.maximum(low[a] - high[a + 1 :], low[a + 1 :] - high[a]))
    return np.hypot(gap[:, 0], gap[:, 1])
