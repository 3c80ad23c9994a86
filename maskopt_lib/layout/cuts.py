"""What the border of a tile cuts: shapes that go on beyond it, and how narrow what is left of them can be."""

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from maskopt_lib.layout.blocks import Block


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
