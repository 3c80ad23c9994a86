"""A layer of a block of a layout as pixels, asked once and kept small: equal rows and columns are stored once.

Standard cells are Manhattan and drawn on few coordinates. The raster of a block of some um is therefore a small grid of
cells, 0 or 1, with the pixels where its columns and rows begin; windows of it, their pixels and their corners come from
that grid without touching every pixel of the block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from klayout import db
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout import raster
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.layers import resolve_layer

# Side of the squares in which shapes that are not Manhattan are integrated, in pixels.
_SQUARE = 1024


@dataclass(frozen=True, eq=False)
class Block:
    """A binary raster whose equal neighbouring rows and columns are stored once.

    Attributes
    ----------
    cells : (rows, columns) uint8.
    y, x : (rows + 1,), (columns + 1,) int64, the pixels where rows and columns begin, and where the last one ends.
    """

    cells: np.ndarray
    y: np.ndarray
    x: np.ndarray

    def window(self, x0: int, y0: int, side: int) -> Block:
        """The part of (x0, y0) to (x0 + side, y0 + side), which lies inside."""
        rows, columns = self.rows(y0, y0 + side), self.columns(x0, x0 + side)
        y, x = self.y[rows.start : rows.stop + 1].copy(), self.x[columns.start : columns.stop + 1].copy()
        y[0], y[-1], x[0], x[-1] = y0, y0 + side, x0, x0 + side
        return Block(self.cells[rows, columns], y, x)

    def row(self, y: int) -> int:
        """Index of the row that holds a pixel."""
        return int(self.y.searchsorted(y, "right")) - 1

    def column(self, x: int) -> int:
        """Index of the column that holds a pixel."""
        return int(self.x.searchsorted(x, "right")) - 1

    def rows(self, start: int, stop: int) -> slice:
        """Rows that hold pixels from start to stop."""
        return slice(self.row(start), int(self.y.searchsorted(stop, "left")))

    def columns(self, start: int, stop: int) -> slice:
        """Columns that hold pixels from start to stop."""
        return slice(self.column(start), int(self.x.searchsorted(stop, "left")))

    def packed(self) -> np.ndarray:
        """(y, x / 8) uint8, all pixels: eight along x a byte, the first one in the lowest bit."""
        wide = np.repeat(self.cells, np.diff(self.x), axis=1)
        return np.repeat(np.packbits(wide, axis=1, bitorder="little"), np.diff(self.y), axis=0)

    def pixels(self) -> np.ndarray:
        """(y, x) uint8, all pixels."""
        return np.repeat(np.repeat(self.cells, np.diff(self.x), axis=1), np.diff(self.y), axis=0)


def read_block(
    design: Design, layer: str | tuple[int, int], bounds: tuple[int, int, int, int], pixel_nm: float
) -> Block:
    """The raster of a part of a layer: 1 where at least half of a pixel is covered.

    Parameters
    ----------
    design, layer : of the layout; a layer without shapes is empty.
    bounds : (x0, y0, x1, y1) in pixels; pixel (0, 0) has its lower left corner in the origin of the layout.
    pixel_nm : side of a pixel, a whole number of database units.

    Raises
    ------
    LayoutError : the pixel is no whole number of database units.
    """
    units = round(pixel_nm / design.dbu_nm)
    if units < 1 or abs(units * design.dbu_nm - pixel_nm) > 1e-9:
        raise LayoutError(
            f"{design.name}: pixels of {pixel_nm:g} nm are no whole number of its database units of "
            f"{design.dbu_nm:g} nm; choose another pixel"
        )
    index = design.layout.find_layer(*resolve_layer(layer, design.platform.process))
    box = db.Box(*(value * units for value in bounds))
    region = db.Region()
    if index is not None:
        region = db.Region(design.top.begin_shapes_rec_touching(index, box)) & db.Region(box)
    region.merge()
    if not all(polygon.is_rectilinear() for polygon in region.each()):
        return _integrated(design, index, bounds, units)
    parts = region.decompose_trapezoids_to_region()
    corners = [(p.left, p.bottom, p.right, p.top) for p in (part.bbox() for part in parts.each())]
    return _from_rectangles(np.array(corners, np.int64).reshape(-1, 4), bounds, units)


def _from_rectangles(boxes: np.ndarray, bounds: tuple[int, int, int, int], units: int) -> Block:
    """Disjoint rectangles (x0, y0, x1, y1) in database units, ``units`` a pixel, inside the bounds."""
    x0, y0, x1, y1 = bounds
    axes = []
    for low, high, start, stop in ((0, 2, x0, x1), (1, 3, y0, y1)):
        # The covered length of pixel p rises along an edge at e in two steps: by units - r in the pixel that holds e,
        # r = e mod units, and by r in the next one. Edges between pixels have one step only.
        pixel, rest = np.divmod(boxes[:, (low, high)], units)
        edges = np.unique(np.concatenate([[start, stop], pixel.ravel(), pixel[rest > 0] + 1]))
        place = np.searchsorted(edges, pixel)
        sign = np.array([1, -1])
        axes.append((edges, np.stack([place, place + 1], -1), np.stack([sign * (units - rest), sign * rest], -1)))
    (x, columns, rise_x), (y, rows, rise_y) = axes
    steps = np.zeros((len(y) + 1, len(x) + 1), np.int64)
    # Low and high edge, two steps each.
    along_y, along_x = np.broadcast_arrays(rows.reshape(-1, 4, 1), columns.reshape(-1, 1, 4))
    np.add.at(steps, (along_y, along_x), rise_y.reshape(-1, 4, 1) * rise_x.reshape(-1, 1, 4))
    covered = steps.cumsum(axis=0).cumsum(axis=1)[: len(y) - 1, : len(x) - 1]
    return Block((2 * covered >= units**2).astype(np.uint8), y, x)


def _integrated(design: Design, index: int, bounds: tuple[int, int, int, int], units: int) -> Block:
    """Any shapes: coverage integrated square by square, then equal rows and columns joined.

    Where a slanted edge is clipped, KLayout moves its end to the database grid. The squares therefore lie at fixed
    places of the layout: a pixel is the same whatever block it is asked with.
    """
    x0, y0, x1, y1 = bounds
    image = np.zeros((y1 - y0, x1 - x0), np.uint8)
    for y in range(y0 - y0 % _SQUARE, y1, _SQUARE):
        for x in range(x0 - x0 % _SQUARE, x1, _SQUARE):
            box = db.Box(x * units, y * units, (x + _SQUARE) * units, (y + _SQUARE) * units)
            part = db.Region(design.top.begin_shapes_rec_touching(index, box)) & db.Region(box)
            part.merge()
            rings = [
                np.array([(p.x, p.y) for p in polygon.resolved_holes().each_point_hull()], float)
                - (box.left, box.bottom)
                for polygon in part.each()
            ]
            square = raster.painted(rings, _SQUARE, float(units))
            left, low, right, high = max(x, x0), max(y, y0), min(x + _SQUARE, x1), min(y + _SQUARE, y1)
            image[low - y0 : high - y0, left - x0 : right - x0] = square[low - y : high - y, left - x : right - x]
    starts = [np.flatnonzero(np.r_[True, (lines[1:] != lines[:-1]).any(axis=1)]) for lines in (image, image.T)]
    y, x = (np.append(start, n) for start, n in zip(starts, image.shape, strict=True))
    return Block(image[np.ix_(y[:-1], x[:-1])], y + y0, x + x0)


def cut_marks(block: Block, left: np.ndarray, low: np.ndarray, side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many shapes the border of each square cuts, and the narrowest piece that the cuts leave.

    A border is *crossed* where the pixel inside and its neighbour beyond are both covered. A crossing is an unbroken
    run of such pixels along one of the four borders. Its width is the smaller of two lengths: that of the run, which is
    less than the shape's own width where a corner of the square clips it; and the shortest way from the run inwards,
    perpendicular to the border, to where the shape or the square ends, which is short where the border shaves a strip
    off a wire that runs along it, or just reaches the end of one. Where both are at least the rule's width, the cut
    leaves nothing narrower than was drawn.

    Parameters
    ----------
    block : raster that reaches at least a pixel further than every square.
    left, low : (n,) int, lower left corners of the squares in pixels.
    side : (n,) int, their sides.

    Returns
    -------
    shapes : (n,) int64, shapes of the square, connected by sides of pixels inside it, that have a crossing.
    narrowest : (n,) float64, width of the narrowest crossing in pixels; nan without one.
    """
    squares = np.stack([left, low, left + side, low + side], axis=1)
    rows = rectangles(block)
    columns = rectangles(Block(block.cells.T, block.x, block.y))
    swapped = squares[:, [1, 0, 3, 2]]
    narrowest = np.minimum(_narrowest(rows, squares), _narrowest(columns, swapped))
    return _shapes_cut(rows, squares), np.where(np.isinf(narrowest), np.nan, narrowest)


def runs(image: np.ndarray) -> np.ndarray:
    """The covered part of an image as rectangles that are as wide as they can be, and then as high.

    Returns
    -------
    (n, 4) int64 x0, y0, x1, y1 in pixels. Along x each ends where the shape does.
    """
    step = np.diff(np.pad(np.asarray(image, np.int8), ((0, 0), (1, 1))), axis=1)
    y, x0 = np.nonzero(step > 0)
    x1 = np.nonzero(step < 0)[1]
    order = np.lexsort((y, x1, x0))
    y, x0, x1 = y[order], x0[order], x1[order]
    is_first = np.ones(len(y), bool)
    is_first[1:] = (np.diff(x0) != 0) | (np.diff(x1) != 0) | (np.diff(y) != 1)
    first = np.flatnonzero(is_first)
    last = np.append(first[1:], len(y))[: len(first)] - 1
    return np.stack([x0[first], y[first], x1[first], y[last] + 1], axis=1)


def rectangles(block: Block) -> np.ndarray:
    """The covered part as rectangles of :func:`runs`, in the block's pixels, by y0 and x0."""
    x0, y0, x1, y1 = runs(block.cells).T
    found = np.stack([block.x[x0], block.y[y0], block.x[x1], block.y[y1]], axis=1)
    return found[np.lexsort((found[:, 0], found[:, 1]))]


def _narrowest(boxes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(n,) width of the narrowest crossing of the left and right borders, inf without one."""
    x0, y0, x1, y1 = boxes.T
    out = np.full(len(squares), np.inf)
    beside = (y0 < squares[:, 3, None]) & (y1 > squares[:, 1, None])
    for border in (0, 2):
        line = squares[:, border, None]
        # Rectangles are as wide as they can be: what is covered on both sides of the line is one that spans it. On one
        # line they do not overlap, so they follow each other along y as they are stored.
        square, box = np.nonzero(beside & (x0 < line) & (x1 > line))
        if not len(square):
            continue
        a, c, b, d = squares[square].T
        depth = np.minimum(x1[box], b) - a if border == 0 else b - np.maximum(x0[box], a)
        start, stop = np.maximum(y0[box], c), np.minimum(y1[box], d)
        is_first = np.ones(len(square), bool)
        is_first[1:] = (np.diff(square) != 0) | (start[1:] != stop[:-1])
        first = np.flatnonzero(is_first)
        last = np.append(first[1:], len(square)) - 1
        np.minimum.at(out, square[first], stop[last] - start[first])
        np.minimum.at(out, square, depth)
    return out


def _shapes_cut(boxes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """(n,) shapes, connected inside their square, that go on beyond it."""
    x0, y0, x1, y1 = boxes.T
    lower, upper = _touching(boxes)
    begin, end, height = np.maximum(x0[lower], x0[upper]), np.minimum(x1[lower], x1[upper]), y1[lower]
    a, c, b, d = (squares[:, i, None] for i in range(4))
    in_x, in_y = (x0 < b) & (x1 > a), (y0 < d) & (y1 > c)
    crossed = in_y & (((x0 < a) & (x1 > a)) | ((x0 < b) & (x1 > b)))
    crossed |= in_x & (((y0 < c) & (y1 > c)) | ((y0 < d) & (y1 > d)))
    # Two rectangles that meet on the border cross it together: the one inside counts.
    beside = (begin < b) & (end > a)
    for line, inside in ((c, upper), (d, lower)):
        square, pair = np.nonzero(beside & (height == line))
        crossed[square, inside[pair]] = True
    square, pair = np.nonzero(beside & (height > c) & (height < d))
    n = len(boxes)
    nodes = n * len(squares)
    links = (square * n + lower[pair], square * n + upper[pair])
    graph = coo_array((np.ones(len(square), np.int8), links), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    flat = np.flatnonzero(crossed.ravel())
    found = np.unique(np.stack([flat // n, label[flat]]), axis=1)[0] if len(flat) else flat
    return np.bincount(found, minlength=len(squares))


def _touching(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of rectangles that share a part of a side along x, the lower one and the one above."""
    x0, y0, x1, y1 = boxes.T
    # Rectangles that begin at one height lie side by side, so those above one are neighbours in the list.
    width = max(int(x1.max(initial=0) - x0.min(initial=0)), 0) + 2
    shift = int(x0.min(initial=0))
    first = np.searchsorted(y0 * width + (x1 - shift), y1 * width + (x0 - shift), "right")
    stop = np.searchsorted(y0 * width + (x0 - shift), y1 * width + (x1 - shift), "left")
    count = np.maximum(stop - first, 0)
    lower = np.repeat(np.arange(len(boxes)), count)
    upper = np.arange(len(lower)) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return lower, upper
