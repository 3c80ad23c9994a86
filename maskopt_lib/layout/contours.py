"""Masks back to polygons: smooth contours at sub-pixel accuracy, or the exact edges of the pixels.

A *ring* is a closed outline, its last point joined to its first. Rings of material run counter-clockwise, rings of
holes clockwise, so that the sum of their signed areas is the area of the mask.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import gdstk
import numpy as np
from skimage import measure  # as a whole: a part needs scipy.signal, a second to import, and is loaded where it is used

from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.images import binary, grey
from maskopt_lib.layout.polygons import fault_of, signed_area, to_nm

CONTOURS = ("smooth", "pixel")
TOLERANCE_NM = 0.5
DATABASE_NM = 0.1

# How far, in database units, snapping a vertex (sqrt(1/2)) and cutting a slanted edge (1/2) can move an outline.
SNAP_UNITS = math.sqrt(0.5) + 0.5
# Cuts through holes of a shape before it is taken apart into trapezoids: contours of noise can touch at every cut.
_MAX_CUTS = 4
# A pixel of exactly 0.5 counts as inside; this lifts it off the level, where contours would be degenerate.
_LIFT = 1e-6


def mask_rings(
    mask,
    pixel_nm: float = 1,
    *,
    contours: str = "smooth",
    tolerance_nm: float = TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
) -> list[np.ndarray]:
    """Outlines of a mask, holes as rings of their own.

    Parameters
    ----------
    mask : (y, x) of 0 and 1, bool, or grey values in [0, 1]; array or CPU tensor.
    pixel_nm : side of a pixel in nm.
    contours : "smooth" follows the level 0.5 between pixel centres (linear in between) and is simplified; "pixel"
        follows the edges of the pixels exactly, for binary masks.
    tolerance_nm : smooth only: no point of a ring is farther than this from the level line, and none of the level
        line farther than this from the ring.
    database_nm : all vertices are on this grid.

    Returns
    -------
    List of (n, 2) float64 in nm, origin at the lower left corner of the mask; material counter-clockwise, holes
    clockwise.

    Raises
    ------
    LayoutError : values outside [0, 1]; a grey mask with "pixel"; a grid too coarse for the pixel or the tolerance.

    Notes
    -----
    Material that meets only at a corner is apart; the hole on the other diagonal is one.

    Examples
    --------
    >>> mask = np.zeros((6, 6))
    >>> mask[1:4, 2:5] = 1
    >>> mask_rings(mask, contours="pixel")
    [array([[2., 1.],
           [5., 1.],
           [5., 4.],
           [2., 4.]])]
    """
    return [to_nm(ring, database_nm) for ring in _rings(mask, pixel_nm, contours, tolerance_nm, database_nm)]


def mask_polygons(
    mask,
    pixel_nm: float = 1,
    *,
    contours: str = "smooth",
    tolerance_nm: float = TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
) -> list[np.ndarray]:
    """A mask as simple polygons without holes, ready for any layout tool.

    Parameters
    ----------
    mask, pixel_nm, contours, tolerance_nm, database_nm : as in `mask_rings`.

    Returns
    -------
    List of (n, 2) float64 in nm, counter-clockwise. A shape with holes, or one that touches itself at a corner, is cut
    along x into abutting pieces, so that no piece needs a keyhole.

    Examples
    --------
    >>> mask = np.ones((5, 5), dtype=bool)
    >>> mask[2, 2] = False
    >>> pieces = mask_polygons(mask, contours="pixel")
    >>> len(pieces), sum(signed_area(piece) for piece in pieces)
    (2, 24.0)
    """
    rings = _rings(mask, pixel_nm, contours, tolerance_nm, database_nm)
    return [to_nm(piece, database_nm) for piece in simple_pieces(rings)]


def simple_pieces(rings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Simple polygons without holes that cover what the rings enclose.

    Parameters
    ----------
    rings : (n, 2) whole numbers, material counter-clockwise and holes clockwise.

    Returns
    -------
    List of (n, 2) whole numbers, counter-clockwise.
    """
    pieces, waiting = [], [(list(rings), 0)]
    while waiting:
        these, cuts = waiting.pop()
        parts = [part for ring in these for part in _apart(ring)]
        outer = [ring for ring in parts if signed_area(ring) > 0]
        holes = [ring for ring in parts if signed_area(ring) < 0]
        owner = _owners(outer, holes)
        for index, ring in enumerate(outer):
            inside = [hole for hole, of in zip(holes, owner, strict=True) if of == index]
            if not inside and fault_of(ring) is None:
                pieces.append(ring)
            elif inside and cuts < _MAX_CUTS:
                waiting.append((_cut_through(ring, inside), cuts + 1))
            else:
                pieces += _trapezoids(ring, inside)
    return pieces


def _rings(mask, pixel_nm, contours, tolerance_nm, database_nm) -> list[np.ndarray]:
    """Rings in whole database units."""
    mask = binary(mask, axes=2) if contours == "pixel" else grey(mask, axes=2)
    if not pixel_nm > 0 or not database_nm > 0:
        raise LayoutError(f"pixel_nm and database_nm must be positive, got {pixel_nm!r} and {database_nm!r}")
    if contours == "pixel":
        units = pixel_nm / database_nm
        if abs(units - round(units)) > 1e-6 or round(units) < 2:  # one free line between edges, for cuts
            raise LayoutError(
                f"pixel edges of {pixel_nm:g} nm are not on every second line of a grid of {database_nm:g} nm; take a "
                f"database_nm of a half, a third, ... of the pixel, or contours='smooth'"
            )
        return [ring * round(units) for ring in pixel_rings(mask)]
    if contours != "smooth":
        raise UnknownNameError(f"no contours {contours!r}; known: {', '.join(CONTOURS)}")
    simplify_nm = tolerance_nm - SNAP_UNITS * database_nm
    if not simplify_nm >= 0:
        raise LayoutError(
            f"tolerance_nm={tolerance_nm:g} cannot be kept on a grid of {database_nm:g} nm; take a tolerance of at "
            f"least {SNAP_UNITS * database_nm:.4g} nm or a finer database_nm"
        )
    padded = np.pad(mask.astype(float), 1)  # a shape at the border closes there
    padded[padded == 0.5] += _LIFT
    rings = []
    for contour in measure.find_contours(padded, 0.5, positive_orientation="low"):
        line = contour[:, ::-1] - 0.5  # (row, column) of padded centres to (x, y) in pixels
        ring = simplified(line * (pixel_nm / database_nm), simplify_nm / database_nm)
        if ring is not None:
            rings.append(ring)
    return rings


def simplified(line: np.ndarray, tolerance: float) -> np.ndarray | None:
    """A closed line in database units, simplified and snapped; None where nothing is left of it.

    Simplifying can make a thin ring cross itself. Then the tolerance is halved: it is a bound, not a wish.
    """
    line = line if np.array_equal(line[0], line[-1]) else np.concatenate([line, line[:1]])
    for attempt in range(6):
        points = measure.approximate_polygon(line, tolerance / 2**attempt if attempt < 5 else 0.0)
        ring = _without_idle_points(np.rint(points[:-1]))
        if len(ring) >= 3 and fault_of(ring) is None:
            return ring
    if len(ring) < 3 or signed_area(ring) == 0:
        return None
    return ring  # `simple_pieces` cuts it where it touches itself


def _without_idle_points(ring: np.ndarray) -> np.ndarray:
    """The same ring without repeated and straight-on points."""
    while len(ring) >= 3:
        before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
        idle = before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]
        if not idle.any():
            return ring
        # Neighbours are not taken out together: what a point is depends on them.
        first = idle & ~np.roll(idle, 1)
        ring = ring[~(first if first.any() else np.arange(len(ring)) == 0)]
    return ring


def pixel_rings(mask: np.ndarray) -> list[np.ndarray]:
    """Rings along the pixel edges of a binary mask, corners only.

    Parameters
    ----------
    mask : (y, x) bool.

    Returns
    -------
    List of (n, 2) int64 in pixels; material counter-clockwise, holes clockwise. Painting them gives the mask again.

    Notes
    -----
    Along a grid line the corners of an outline lie in pairs, each pair the two ends of one edge. So every corner has
    one partner in its row and one in its column, and rings are the cycles of these two pairings. Where two pixels meet
    at a corner only, that place is two corners, one for each pixel.
    """
    padded = np.pad(np.asarray(mask, dtype=bool), 1)
    sw, se, nw, ne = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    # At each grid point: does an edge leave it to the east (or west), to the north (or south), seen from the one
    # pixel of the four that differs from the rest; two diagonal pixels count one by one.
    count = sw.astype(np.int8) + se + nw + ne
    parts = []
    for pixel, east, north in ((sw, 0, 0), (se, 1, 0), (nw, 0, 1), (ne, 1, 1)):
        diagonal = (count == 2) & (sw == ne)
        y, x = np.nonzero(((count == 1) & pixel) | ((count == 3) & ~pixel) | (diagonal & pixel))
        # Inside on the left: to the east if the upper pixel is set, to the west if the lower one is.
        leaves_along_x = ne[y, x] if east else sw[y, x]
        if pixel is sw or pixel is ne:
            leaves_along_x = leaves_along_x | diagonal[y, x]
        else:
            leaves_along_x = leaves_along_x & ~diagonal[y, x]
        parts.append(np.stack([x, y, np.full_like(x, east), np.full_like(x, north), leaves_along_x], axis=1))
    x, y, east, north, leaves_along_x = np.concatenate(parts).T
    if x.size == 0:
        return []
    along_x, along_y = np.empty_like(x), np.empty_like(x)
    for partner, order in ((along_x, np.lexsort((east, x, y))), (along_y, np.lexsort((north, y, x)))):
        partner[order[0::2]], partner[order[1::2]] = order[1::2], order[0::2]
    following = np.where(leaves_along_x == 1, along_x, along_y).tolist()
    rings, seen = [], [False] * len(following)
    points = np.stack([x, y], axis=1)
    for first in np.lexsort((x, y)).tolist():
        if seen[first]:
            continue
        ring, corner = [], first
        while not seen[corner]:
            seen[corner] = True
            ring.append(corner)
            corner = following[corner]
        rings.append(points[ring])
    return rings


def _owners(outer: Sequence[np.ndarray], holes: Sequence[np.ndarray]) -> list[int | None]:
    """For each hole the smallest outer ring around it, None for one that lies in no material."""
    if not holes or not outer:
        return [None] * len(holes)
    areas = np.array([signed_area(ring) for ring in outer])
    shapes = [gdstk.Polygon(ring) for ring in outer]
    low, high = np.array([r.min(axis=0) for r in outer]), np.array([r.max(axis=0) for r in outer])
    owners = []
    for hole in holes:
        near = np.all(low <= hole.max(axis=0), axis=1) & np.all(high >= hole.min(axis=0), axis=1)
        point = _inner_point(hole)
        candidates = [int(i) for i in np.flatnonzero(near) if shapes[i].contain(point)]
        # The smallest that is larger than the hole: an island in the hole is smaller.
        candidates = [i for i in candidates if areas[i] > -signed_area(hole)]
        owners.append(min(candidates, key=lambda i: areas[i], default=None))
    return owners


def _inner_point(ring: np.ndarray) -> tuple[float, float]:
    """A point strictly inside: just beside the middle of the longest edge."""
    start = ring.astype(float)
    step = np.roll(start, -1, axis=0) - start
    length = np.hypot(*step.T)
    i = int(np.argmax(length))
    inward = np.array([-step[i, 1], step[i, 0]]) / length[i] * np.sign(signed_area(ring))
    x, y = start[i] + step[i] / 2 + 1e-3 * inward
    return float(x), float(y)


def _apart(ring: np.ndarray) -> list[np.ndarray]:
    """A ring that comes back to a point, as the loops between its visits; a bridge to a hole falls away."""
    loops, path, place = [], [], {}
    for point in map(tuple, ring.tolist()):
        if point in place:
            begin = place[point]
            loops.append(path[begin:])
            for gone in path[begin:]:
                del place[gone]
            del path[begin:]
        place[point] = len(path)
        path.append(point)
    loops.append(path)
    loops = [_without_idle_points(np.array(loop, dtype=float)) for loop in loops if len(loop) >= 3]
    return [loop for loop in loops if len(loop) >= 3 and signed_area(loop) != 0]


def _cut_through(ring: np.ndarray, holes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """A ring without its holes, cut along y through each of them."""
    taken = set(np.concatenate([ring, *holes])[:, 0].tolist())
    cuts = set()
    for hole in holes:
        low, high = hole[:, 0].min(), hole[:, 0].max()
        # A cut along an existing edge would leave pieces joined by that edge: take the free place nearest the middle.
        places = sorted(np.arange(low + 1, high).tolist(), key=lambda x, middle=(low + high) / 2: abs(x - middle))
        cuts.add(next((x for x in places if x not in taken), places[0] if places else low))
    solid = gdstk.boolean(gdstk.Polygon(ring), [gdstk.Polygon(hole) for hole in holes], "not", precision=1.0)
    groups = gdstk.slice(solid, sorted(cuts), "x", precision=1.0)
    rings = [np.rint(polygon.points) for group in groups for polygon in group]
    return [part if signed_area(part) > 0 else part[::-1] for part in rings]


def _trapezoids(ring: np.ndarray, holes: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What rings that cross or touch themselves enclose, between the x of their vertices; the last resort."""
    united = gdstk.boolean(gdstk.Polygon(ring), [gdstk.Polygon(hole) for hole in holes], "not", precision=1.0)
    if not united:
        return []
    start = np.concatenate([np.rint(p.points) for p in united])
    end = np.concatenate([np.roll(np.rint(p.points), -1, axis=0) for p in united])
    out = []
    xs = np.unique(start[:, 0])
    for left, right in pairwise(xs):
        spans = (np.minimum(start[:, 0], end[:, 0]) <= left) & (np.maximum(start[:, 0], end[:, 0]) >= right)
        a, b = start[spans], end[spans]
        slope = (b[:, 1] - a[:, 1]) / (b[:, 0] - a[:, 0])
        at_left, at_right = a[:, 1] + slope * (left - a[:, 0]), a[:, 1] + slope * (right - a[:, 0])
        order = np.argsort(at_left + at_right)
        for low, high in zip(order[0::2], order[1::2], strict=True):
            bottom = np.rint([at_left[low], at_right[low]])
            top = np.maximum(bottom, np.rint([at_left[high], at_right[high]]))
            part = _without_idle_points(
                np.array([(left, bottom[0]), (right, bottom[1]), (right, top[1]), (left, top[0])])
            )
            if len(part) >= 3 and signed_area(part) > 0:
                out.append(part)
    return out
