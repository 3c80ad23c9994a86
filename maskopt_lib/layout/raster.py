"""Polygons to pixels: exact area coverage on a square grid, and the inclusive rule of other programs.

Two ways to the same number. Manhattan polygons whose corners lie on pixel corners are painted on the grid of their own
coordinates and stretched (exact integers, a few ms at 2048 x 2048). Anything else is integrated edge by edge: an edge
inside one pixel takes away the trapezoid on its left from that pixel and the whole height from every pixel further
right, so a cumulative sum along x turns edge pieces into covered area.
"""

import math
from collections.abc import Sequence

import numpy as np
from klayout import db

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.polygons import signed_area
from maskopt_lib.options import LARGEST_SIDE

# Coverage is a sum of at most some thousand float64 terms of order one: its error stays far below this.
_COVERAGE_EPSILON = 1e-9
# KLayout works on whole numbers of 32 bits; a power of two keeps what lies on the pixel grid there.
_UNION_UNITS = 2**30


def is_manhattan(points: np.ndarray) -> bool:
    """Whether every edge of the ring, the closing one included, runs along x or along y."""
    step = np.roll(points, -1, axis=0) - points
    return bool(np.all((step[:, 0] == 0) | (step[:, 1] == 0)))


def check_side(n: int) -> None:
    """Raise :class:`LayoutError` for a raster that would take more memory than any image here may."""
    if n > LARGEST_SIDE:
        raise LayoutError(
            f"a raster of {n} x {n} pixels takes {n * n / 2**30:.3g} GiB as bytes, and {LARGEST_SIDE} a side are the "
            "most; take larger pixels, or go window by window"
        )


def coverage(polygons: Sequence[np.ndarray], n: int, pixel_nm: float, *, disjoint: bool = False) -> np.ndarray:
    """Fraction of each pixel that the union of the polygons covers.

    Parameters
    ----------
    polygons : rings of (k, 2) points in nm, window coordinates, either orientation. A ring may hold a hole by a
        keyhole. What lies outside the grid is an error.
    n : pixels along one side.
    pixel_nm : side of a pixel in nm.
    disjoint : they are merged already.

    Returns
    -------
    (n, n) float64 in [0, 1], row = y. Exactly 0 or 1 where a pixel is wholly outside or inside.

    Raises
    ------
    LayoutError : a polygon reaches outside the grid.

    Examples
    --------
    >>> square = np.array([(0, 0), (3, 0), (3, 2), (0, 2)])
    >>> coverage([square], n=2, pixel_nm=2)
    array([[1. , 0.5],
           [0. , 0. ]])
    """
    check_side(n)
    rings = [_counter_clockwise(np.asarray(p, dtype=float) / pixel_nm) for p in polygons]
    for index, ring in enumerate(rings):
        if ring.min() < 0 or ring.max() > n:
            low, high = ring.min(axis=0) * pixel_nm, ring.max(axis=0) * pixel_nm
            raise LayoutError(
                f"polygon {index} spans x {low[0]:g}..{high[0]:g}, y {low[1]:g}..{high[1]:g} nm and leaves the grid "
                f"of 0..{n * pixel_nm:g} nm; move it or take a larger window"
            )
    if not rings:
        return np.zeros((n, n))
    if all(is_manhattan(ring) and np.array_equal(ring, np.rint(ring)) for ring in rings):
        return _painted(rings, n).astype(float)
    if not disjoint and _boxes_touch(rings):
        rings = united(rings)
    return _integrated(rings, n)


def painted(polygons: Sequence[np.ndarray], n: int, pixel_nm: float, *, disjoint: bool = False) -> np.ndarray:
    """The union of polygons as 0 and 1: a pixel is 1 where at least half of it is covered.

    Parameters
    ----------
    polygons, n, pixel_nm, disjoint : as in `coverage`.

    Returns
    -------
    (n, n) uint8, row = y. For Manhattan polygons on the pixel grid the rule is half-open and the area exact.
    """
    check_side(n)
    rings = [_counter_clockwise(np.asarray(p, dtype=float) / pixel_nm) for p in polygons]
    on_grid = all(is_manhattan(ring) and np.array_equal(ring, np.rint(ring)) for ring in rings)
    inside = all(ring.min() >= 0 and ring.max() <= n for ring in rings)
    if rings and on_grid and inside:
        return _painted(rings, n)
    return (coverage(polygons, n, pixel_nm, disjoint=disjoint) >= 0.5 - _COVERAGE_EPSILON).astype(np.uint8)


def united(rings: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outlines, counter-clockwise, and holes, clockwise, of the union of rings that may hold keyholes.

    Corners between numbers of 30 bits, of the size of all, are rounded to them.
    """
    low, high = (by([by(ring, axis=0) for ring in rings], axis=0) for by in (np.min, np.max))
    middle, reach = np.rint((low + high) / 2), max(float((high - low).max()) / 2 + 1, 1e-6)
    scale = 2.0 ** math.floor(math.log2(_UNION_UNITS / reach))
    region = db.Region()
    for ring in rings:
        corners = np.rint((ring - middle) * scale).astype(int).tolist()
        region.insert(db.Polygon([db.Point(x, y) for x, y in corners], True))
    found = []
    for polygon in region.merged().each():
        found.append(polygon.each_point_hull())
        found += [polygon.each_point_hole(hole) for hole in range(polygon.holes())]
    # KLayout's outlines run clockwise.
    return [np.array([(p.x, p.y) for p in ring], dtype=float)[::-1] / scale + middle for ring in found]


def inclusive(half_open: np.ndarray) -> np.ndarray:
    """The raster, (n, n) uint8, of a fill that also paints the pixels on the upper and right boundary.

    Programs that fill polygons through integer pixel *centres*, boundary included, make every shape one pixel wider
    and taller. For Manhattan polygons on the grid that equals painting, with each covered pixel, its right, upper and
    upper right neighbour.

    Parameters
    ----------
    half_open : (n, n) uint8 raster under the half-open rule; the last row and column must be empty.

    Examples
    --------
    >>> raster = np.zeros((4, 4), np.uint8)
    >>> raster[1, 1] = 1
    >>> int(inclusive(raster).sum())
    4
    """
    out = half_open.copy()
    out[:, 1:] |= half_open[:, :-1]
    out[1:] |= out[:-1].copy()
    return out


def block_mean(raster: np.ndarray, factor: int) -> np.ndarray:
    """Mean of ``factor`` x ``factor`` blocks, (n, n) to (n / factor, n / factor) float64."""
    n = raster.shape[0] // factor
    return raster.reshape(n, factor, n, factor).mean(axis=(1, 3))


def _counter_clockwise(ring: np.ndarray) -> np.ndarray:
    return ring if signed_area(ring) >= 0 else ring[::-1]


def _boxes_touch(rings: Sequence[np.ndarray]) -> bool:
    low = np.array([ring.min(axis=0) for ring in rings])
    high = np.array([ring.max(axis=0) for ring in rings])
    order = np.argsort(low[:, 0])
    low, high = low[order], high[order]
    for i in range(len(rings) - 1):
        end = np.searchsorted(low[:, 0], high[i, 0])  # only boxes that begin before this one ends
        if np.any((low[i + 1 : end, 1] < high[i, 1]) & (high[i + 1 : end, 1] > low[i, 1])):
            return True
    return False


def _painted(rings: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n, n) uint8 union of counter-clockwise Manhattan rings in pixel units with integer corners inside the grid."""
    start = np.concatenate(rings).astype(np.int64)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]).astype(np.int64)
    xs, ys = np.unique(start[:, 0]), np.unique(start[:, 1])
    vertical = start[:, 0] == end[:, 0]
    column = np.searchsorted(xs, start[vertical, 0])
    row_start, row_end = np.searchsorted(ys, start[vertical, 1]), np.searchsorted(ys, end[vertical, 1])
    # Winding number of each cell: an edge along y changes it by one, up or down, for all cells to its right. In the
    # second difference this leaves the two corners of the edge. A keyhole's two sides cancel; overlaps count twice.
    winding = np.zeros((ys.size, xs.size), dtype=np.int32)
    np.add.at(winding, (row_start, column), 1)
    np.add.at(winding, (row_end, column), -1)
    winding = winding.cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)[:-1, :-1]
    cells = (winding != 0).astype(np.uint8)
    out = np.zeros((n, n), dtype=np.uint8)
    rows = np.zeros((ys.size - 1, n), dtype=np.uint8)
    rows[:, xs[0] : xs[-1]] = np.repeat(cells, np.diff(xs), axis=1)
    out[ys[0] : ys[-1]] = np.repeat(rows, np.diff(ys), axis=0)
    return out


def _integrated(rings: Sequence[np.ndarray], n: int) -> np.ndarray:
    """(n, n) coverage of disjoint counter-clockwise rings in pixel units, by integrating their edges."""
    start = np.concatenate(rings)
    end = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings])
    tilted = start[:, 1] != end[:, 1]  # an edge along x encloses no area with the y axis
    start, end = _cut(start[tilted], end[tilted], axis=1)
    start, end = _cut(start, end, axis=0)
    middle = 0.5 * (start + end)
    column = np.clip(np.floor(middle[:, 0]).astype(np.int64), 0, n - 1)
    row = np.clip(np.floor(middle[:, 1]).astype(np.int64), 0, n - 1)
    height = start[:, 1] - end[:, 1]  # edges that run down have the inside on their right: they begin to cover
    left_part = middle[:, 0] - column
    flat = row * (n + 1) + column
    size = n * (n + 1)
    area = np.bincount(flat, height * (1 - left_part), size) + np.bincount(flat + 1, height * left_part, size)
    covered = area.reshape(n, n + 1)[:, :n].cumsum(axis=1)
    covered[covered < _COVERAGE_EPSILON] = 0
    covered[covered > 1 - _COVERAGE_EPSILON] = 1
    return covered


def _cut(start: np.ndarray, end: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """The same segments, cut wherever they cross a whole number along ``axis``."""
    a, b = start[:, axis], end[:, axis]
    first = np.floor(np.minimum(a, b)) + 1  # the first whole number strictly inside, if any
    count = np.maximum(np.ceil(np.maximum(a, b)) - first, 0).astype(np.int64)
    if not count.any():
        return start, end
    pieces = count + 1
    owner = np.repeat(np.arange(a.size), pieces)
    k = np.arange(owner.size) - np.repeat(np.cumsum(pieces) - pieces, pieces)  # 0, 1, ... within each segment
    rising = (b > a)[owner]

    def at(number: np.ndarray) -> np.ndarray:
        # Point where segment `owner` meets its `number`-th crossing in its own direction.
        position = np.where(rising, first[owner] + number, first[owner] + count[owner] - 1 - number)
        span = (b - a)[owner]
        t = np.divide(position - a[owner], span, out=np.zeros_like(position), where=span != 0)
        point = start[owner] + t[:, None] * (end - start)[owner]
        point[:, axis] = position
        return point

    new_start = np.where((k == 0)[:, None], start[owner], at(k - 1))
    new_end = np.where((k == count[owner])[:, None], end[owner], at(k))
    return new_start, new_end
