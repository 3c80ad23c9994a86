"""Mask rules of shapes and edges: areas and distances of shapes, the narrowest place of a mask, the narrowest gap."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from maskopt_lib.images import binary, crop
from maskopt_lib.options import Positive, check

#: Two edges face each other where the directions to them differ by at least this angle; corners sharper than its
#: supplement (40 degrees) count as narrow places, right angles do not.
FACING_DEGREES = 140.0
# Distances from the nearest edge that rise by less than this from a pixel to the highest beside it are near a ridge.
_RIDGE = 0.85
# Kinds of places: edges that face each other along y and along x, features less than three pixels wide, whole parts.
_THIN, _DISC = 2, 3
# A pixel and the four beside it.
_CROSS = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
# Ridges that are nearer to each other than this are looked at together, in pixels.
_STEP_PX = 8


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


def shape_rules_within(mask: Any, n: int, pixel_nm: float) -> ShapeRules:
    """The same of the (n, n) pixels in the middle of a mask: of the shapes that reach into them, cut by nothing there.

    Parameters
    ----------
    mask : (y, x) binary mask, larger than the middle.
    n : pixels along one side of the middle.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    Shapes that reach into the middle; the smallest area of those that do not end with the mask's border (nan without
    any); the smallest distance of two shapes within the middle.

    Examples
    --------
    >>> mask = np.zeros((64, 64), bool); mask[20:24, 0:40] = mask[30:34, 24:28] = mask[60:61, 60:61] = True
    >>> shape_rules_within(mask, 32, pixel_nm=1.0)
    ShapeRules(shapes=2, msa_nm2=16.0, msd_nm=7.0)
    """
    labels, _ = ndimage.label(binary(mask, axes=2, pixel_nm=pixel_nm))
    edge = (labels.shape[-1] - n) // 2
    part = labels[edge : edge + n, edge : edge + n]
    inside = np.setdiff1d(part, 0)
    if not len(inside):
        return ShapeRules(0, float("nan"), float("nan"))
    border = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    areas = np.bincount(labels.ravel())[np.setdiff1d(inside, border)]
    renumbered = np.searchsorted(inside, part) + 1
    closest = _closest(np.where(part > 0, renumbered, 0), len(inside)) * pixel_nm
    return ShapeRules(len(inside), float(areas.min()) * pixel_nm**2 if len(areas) else float("nan"), closest)


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
    part = (labels > 0).view(np.uint8)
    inner = cv2.erode(part, _CROSS, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    outline = cv2.findNonZero(part - inner).reshape(-1, 2)[:, ::-1]
    owner = labels[tuple(outline.T)]
    outline = outline[np.argsort(owner, kind="stable")].astype(float)
    points = np.split(outline, np.cumsum(np.bincount(owner, minlength=n + 1)[1:])[:-1])
    return points, np.array([p.min(axis=0) for p in points]), np.array([p.max(axis=0) for p in points])


def _box_gap(low: np.ndarray, high: np.ndarray, a: int) -> np.ndarray:
    """Distance of the bounding box of shape ``a`` to those after it."""
    gap = np.maximum(0, np.maximum(low[a] - high[a + 1 :], low[a + 1 :] - high[a]))
    return np.hypot(gap[:, 0], gap[:, 1])


def min_width_nm(mask: Any, pixel_nm: float) -> float:
    """The smallest distance in nm, through the mask, between two edges that face each other; nan for an empty mask.

    Parameters
    ----------
    mask : (y, x) binary mask.
    pixel_nm : side of a pixel in nm.

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
    return _smallest_nm(width_places(mask), pixel_nm)


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
    return _smallest_nm(space_places(mask), pixel_nm)


class Places(NamedTuple):
    """Places where a mask or the space between its shapes is measured, in pixels; pixel (0, 0) covers 0 to 1.

    Attributes
    ----------
    value_px : (place,) width there.
    y_px, x_px : (place,) the middle between the two edges.
    part : (place,) number of the connected part that it lies in.
    """

    value_px: np.ndarray
    y_px: np.ndarray
    x_px: np.ndarray
    part: np.ndarray


def width_places(mask: Any, below_px: float = np.inf) -> Places:
    """Every place that `min_width_nm` takes the smallest of; with ``below_px`` those narrower than it."""
    part, (y, x) = crop(binary(mask, axes=2))
    return _shifted(_facing(np.pad(part, 1), below_px), y - 1, x - 1)


def space_places(mask: Any, below_px: float = np.inf) -> Places:
    """Every place that `min_space_nm` takes the smallest of; with ``below_px`` those narrower than it."""
    part, (y, x) = crop(binary(mask, axes=2))
    # A little more than the mask's bounding box: beyond it there is only one side to point to.
    return _shifted(_facing(~np.pad(part, 1), below_px), y - 1, x - 1)


def _shifted(places: Places, dy: int, dx: int) -> Places:
    return places._replace(y_px=places.y_px + dy, x_px=places.x_px + dx)


def _smallest_nm(places: Places, pixel_nm: float) -> float:
    check(Positive, pixel_nm=pixel_nm)
    return float(places.value_px.min()) * pixel_nm if places.value_px.size else float("nan")


def _facing(region: np.ndarray, below: float) -> Places:
    near = _near_ridges(region, below, cv2.DIST_MASK_5)
    # Nothing outside, nothing inside or nothing narrow: no edges.
    if region.all() or not near.any():
        return Places(*(np.empty(0) for _ in range(3)), np.empty(0, int))
    n, labels = cv2.connectedComponents(region.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    found = [_measured(region[window], chosen, window, below) for window, chosen in _windows(near, below)]
    kind, y, x = np.concatenate([where for where, _ in found], axis=1)
    faced = np.zeros(n, dtype=bool)
    faced[labels[y, x][kind < _THIN]] = True
    # Parts without facing edges that do not run out of the image: the largest inscribed disc.
    faced[np.r_[0, labels[0], labels[-1], labels[:, 0], labels[:, -1]]] = True
    parts = np.flatnonzero(np.isin(np.arange(n), labels[near]) & ~faced)
    boxes = ndimage.find_objects(labels) if parts.size else []
    for k in parts.tolist():
        part = np.pad(labels[boxes[k - 1]] == k, 1)
        distance = ndimage.distance_transform_edt(part)
        at = np.argwhere(distance == distance.max())[-1] + [axis.start - 1 for axis in boxes[k - 1]]
        found.append((np.array([[_DISC], *at[:, None]]), np.array([[2 * distance.max()], *(at[:, None] + 0.5)])))
    (kind, y, x), (value, middle_y, middle_x) = (np.concatenate(f, axis=1) for f in zip(*found, strict=True))
    order = np.lexsort((x, y, kind))
    order = order[value[order] < below]
    return Places(value[order], middle_y[order], middle_x[order], labels[y, x][order])


def _measured(
    region: np.ndarray, chosen: np.ndarray, window: tuple[slice, slice], below: float
) -> tuple[np.ndarray, np.ndarray]:
    """Facing edges and thin features at chosen pixels of a window: (3, place) kind, y and x of the pixel, and
    (3, place) width, y and x of the middle, in pixels of the image."""
    if below < np.inf:
        chosen = chosen & _near_ridges(region, below, cv2.DIST_MASK_PRECISE)
        if not chosen.any():
            return np.empty((3, 0), int), np.empty((3, 0))
    _, nearest = ndimage.distance_transform_edt(region, return_indices=True)
    where, what = [], []
    cosine = np.cos(np.deg2rad(FACING_DEGREES))
    for axis, (here, there) in enumerate(((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:]))):
        dy, dx = (n[there] - n[here] for n in nearest)
        # Edges nearer than 3 pixels are left to `_thin`, and outside of the region a pixel points to itself.
        y, x = np.nonzero((dy * dy + dx * dx > 9) & region[here] & region[there] & chosen[here])
        a = np.stack([nearest[0][y, x] - y, nearest[1][y, x] - x])
        b = a + np.stack([dy[y, x], dx[y, x]])
        b[axis] -= 1
        length_a, length_b = np.hypot(*a), np.hypot(*b)
        facing = (a * b).sum(axis=0) <= cosine * length_a * length_b
        y, x = y[facing], x[facing]
        where.append((np.full(len(y), axis), y, x))
        # To pixel centres half a pixel beyond either edge, from two centres a pixel apart: the halves cancel.
        value = (length_a + length_b)[facing]
        what.append((value, *(n[here][y, x] + d[y, x] / 2 + 0.5 for n, d in zip(nearest, (dy, dx), strict=True))))
    value, y, x = _thin(region)
    value, y, x = (v[chosen[y, x]] for v in (value, y, x))
    where.append((np.full(len(y), _THIN), y, x))
    what.append((value, y + 0.5, x + 0.5))
    start = np.array([[axis.start or 0] for axis in window])
    where, what = (np.concatenate([np.stack(rows) for rows in of], axis=1) for of in (where, what))
    where[1:] += start
    what[1:] += start
    return where, what


def _near_ridges(region: np.ndarray, below: float, precision: int) -> np.ndarray:
    """(y, x) bool: where edges less than ``below`` pixels apart may face each other; quick, and never wrongly False.

    Away from an edge the distance from it rises by a pixel and more in the steepest direction; along a ridge between
    edges that face each other by no more than a third of that. A distance that is true to two percent tells, a precise
    one tells more.
    """
    if below == np.inf or not region.any():
        return region
    reach = int(below) + 1
    # Beyond the image it goes on as at its border, where there is no ridge.
    wide = cv2.copyMakeBorder(region.view(np.uint8), reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    distance = cv2.distanceTransform(wide, cv2.DIST_L2, precision)
    rise = cv2.dilate(distance, np.ones((3, 3), np.uint8)) - distance
    highest = (1.02 if precision == cv2.DIST_MASK_5 else 1.001) * below / 2 + 0.5
    ridge = (wide > 0) & (distance < highest) & (rise < _RIDGE)
    near = cv2.dilate(ridge.view(np.uint8), np.ones((5, 5), np.uint8))
    return np.ascontiguousarray(near[reach:-reach, reach:-reach]).view(bool) & region


def _windows(near: np.ndarray, below: float) -> Iterator[tuple[tuple[slice, slice], np.ndarray]]:
    """Windows of an image that hold all places near ridges and what these see, and (y, x) bool, the places that each is
    to answer for."""
    margin, step = int(min(below, max(near.shape))) + 4, _STEP_PX
    some = cv2.dilate(near.view(np.uint8), np.ones((step, step), np.uint8), anchor=(0, 0))[::step, ::step]
    _, groups, table, _ = cv2.connectedComponentsWithStats(some, connectivity=8, ltype=cv2.CV_32S)
    x, y, w, h = table[1:, :4].T
    if ((step * w + 2 * margin) * (step * h + 2 * margin)).sum() > near.size:
        yield np.s_[:, :], near
        return
    for k, (x, y, w, h) in enumerate(table[1:, :4].tolist(), start=1):
        own = (groups[y : y + h, x : x + w] == k).repeat(step, 0).repeat(step, 1)
        y, x = step * y, step * x
        window = np.s_[max(y - margin, 0) : y + len(own) + margin, max(x - margin, 0) : x + own.shape[1] + margin]
        chosen = np.zeros_like(near[window])
        inside = chosen[y - window[0].start :, x - window[1].start :][: len(own), : own.shape[1]]
        inside |= own[: len(inside), : inside.shape[1]]
        yield window, chosen & near[window]


def _thin(region: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Width (1 or 2), y and x of the pixels of features less than three pixels wide."""
    # Beyond the image it goes on as at its border.
    padded = cv2.copyMakeBorder(region.astype(np.uint8), 3, 3, 3, 3, cv2.BORDER_REPLICATE)
    near = cv2.dilate(cv2.erode(padded, _CROSS), _CROSS, iterations=3)
    thin = (padded > near)[3:-3, 3:-3]
    y, x = np.nonzero(thin)
    if not y.size:
        return np.empty(0), y, x
    return np.where(ndimage.binary_opening(region, np.ones((2, 2)))[y, x], 2.0, 1.0), y, x
