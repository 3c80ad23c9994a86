"""Masks back to polygons: smooth contours at sub-pixel accuracy, or the exact edges of the pixels.

A *ring* is a closed outline, its last point joined to its first. Rings of material run counter-clockwise, rings of
holes clockwise, so that the sum of their signed areas is the area of the mask.
"""

import math
from collections.abc import Sequence

import numpy as np
from klayout import db
from skimage import measure  # as a whole: a part needs scipy.signal, a second to import, and is loaded where it is used

from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.images import binary, grey
from maskopt_lib.layout.polygons import fault_of, signed_area, to_nm

CONTOURS = ("smooth", "pixel")
VERTEX_TOLERANCE_NM = 0.5
DATABASE_NM = 0.1

# How far, in database units, snapping a vertex (sqrt(1/2)) and cutting a slanted edge (1/2) can move an outline.
SNAP_UNITS = math.sqrt(0.5) + 0.5
# A pixel of exactly 0.5 counts as inside; this lifts it off the level, where contours would be degenerate.
_LIFT = 1e-6


def mask_rings(
    mask,
    pixel_nm: float = 1,
    *,
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
) -> list[np.ndarray]:
    """Outlines of a mask, holes as rings of their own.

    Parameters
    ----------
    mask : (y, x) of 0 and 1, bool, or grey values in [0, 1]; array or CPU tensor.
    pixel_nm : side of a pixel in nm.
    contours : "smooth" follows the level 0.5 between pixel centres (linear in between) and is simplified; "pixel"
        follows the edges of the pixels exactly, for binary masks.
    vertex_tolerance_nm : smooth only: no point of a ring is farther than this from the level line, and none of the
        level line farther than this from the ring.
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
    return [to_nm(ring, database_nm) for ring in _rings(mask, pixel_nm, contours, vertex_tolerance_nm, database_nm)]


def mask_polygons(
    mask,
    pixel_nm: float = 1,
    *,
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
) -> list[np.ndarray]:
    """A mask as simple polygons without holes, ready for any layout tool.

    Parameters
    ----------
    mask, pixel_nm, contours, vertex_tolerance_nm, database_nm : as in `mask_rings`.

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
    rings = _rings(mask, pixel_nm, contours, vertex_tolerance_nm, database_nm)
    return [to_nm(piece, database_nm) for piece in simple_pieces(rings)]


def simple_pieces(rings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Simple polygons, (n, 2) whole numbers, counter-clockwise, without holes, that cover what the rings enclose.

    Parameters
    ----------
    rings : (n, 2) whole numbers, material counter-clockwise and holes clockwise.
    """
    if len(rings) == 1 and signed_area(rings[0]) > 0 and fault_of(rings[0]) is None:
        return [rings[0]]
    corners = [[db.Point(x, y) for x, y in ring.astype(int).tolist()] for ring in rings]
    edges = [db.Edge(start, end) for ring in corners for start, end in zip(ring, ring[1:] + ring[:1], strict=True)]
    # What the rings wind around once or more, to the left of its edges; what meets at a corner stays apart.
    waiting = db.EdgeProcessor().simple_merge_e2p([edge.swapped_points() for edge in edges], False, True, 1)
    pieces = []
    while waiting:
        polygon = waiting.pop()
        ring = np.array([(p.x, p.y) for p in polygon.each_point_hull()])[::-1]
        if polygon.holes() or fault_of(ring) is not None:
            parts = polygon.split()
            waiting += parts if len(parts) > 1 else polygon.decompose_trapezoids()
        else:
            pieces.append(ring)
    return pieces


def _rings(mask, pixel_nm, contours, vertex_tolerance_nm, database_nm) -> list[np.ndarray]:
    """Rings in whole database units."""
    mask = binary(mask, axes=2) if contours == "pixel" else grey(mask, axes=2)
    if not (0 < pixel_nm < math.inf and 0 < database_nm < math.inf):
        raise LayoutError(f"pixel_nm and database_nm must be positive, got {pixel_nm!r} and {database_nm!r}")
    if contours == "pixel":
        units = pixel_nm / database_nm
        if abs(units - round(units)) > 1e-6 or round(units) < 1:
            raise LayoutError(
                f"pixel edges of {pixel_nm:g} nm are not on a grid of {database_nm:g} nm; take a database_nm of the "
                f"pixel, a half, a third, ... of it, or contours='smooth'"
            )
        return [ring * round(units) for ring in pixel_rings(mask)]
    if contours != "smooth":
        raise UnknownNameError(f"no contours {contours!r}; known: {', '.join(CONTOURS)}")
    simplify_nm = vertex_tolerance_nm - SNAP_UNITS * database_nm
    if not 0 <= simplify_nm < math.inf:
        raise LayoutError(
            f"vertex_tolerance_nm={vertex_tolerance_nm:g} cannot be kept on a grid of {database_nm:g} nm; take a "
            f"tolerance of at least {SNAP_UNITS * database_nm:.4g} nm or a finer database_nm"
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
