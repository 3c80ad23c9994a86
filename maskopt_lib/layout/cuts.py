"""What the border of a tile cuts: shapes that go on beyond it, and how narrow what is left of them can be."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from maskopt_lib.layout.blocks import Block


def cut_marks(around: Block, side: int) -> tuple[int, float]:
    """How many shapes the border of a square cuts, and the narrowest piece that the cuts leave.

    A border is *crossed* where the pixel inside and its neighbour beyond are both covered. A crossing is an unbroken
    run of such pixels along one of the four borders; its width is the smaller of two lengths: that of the run, which
    is less than the shape's own width where a corner of the square clips it, and the shortest way from the run inwards,
    perpendicular to the border, until the shape ends, which is short where the border shaves a strip off a wire that
    runs along it, or just reaches the end of one. A drawn width never shows there unless it is the narrower one.

    Parameters
    ----------
    around : raster of a square that reaches at least a pixel further than the one looked at, on all sides alike.
    side : of the square in its middle, in pixels.

    Returns
    -------
    shapes : number of shapes, connected by sides of pixels inside the square, that have a crossing.
    narrowest : width of the narrowest crossing in pixels; nan without one.
    """
    beyond = (int(around.x[-1] - around.x[0]) - side) // 2
    left, low = int(around.x[0]) + beyond, int(around.y[0]) + beyond
    inner = around.window(left, low, side)
    cells, across, up = inner.cells, np.diff(inner.x), np.diff(inner.y)
    rows, columns = around.rows(low, low + side), around.columns(left, left + side)
    narrowest, n_runs, crossed = np.inf, 0, []
    borders = (
        (cells, around.cells[rows, around.column(left - 1)], up, across),
        (cells[:, ::-1], around.cells[rows, around.column(left + side)], up, across[::-1]),
        (cells.T, around.cells[around.row(low - 1), columns], across, up),
        (cells.T[:, ::-1], around.cells[around.row(low + side), columns], across, up[::-1]),
    )
    for number, (inwards, outside, along, depths) in enumerate(borders):
        crossing = inwards[:, 0] & outside
        if not crossing.any():
            continue
        at = np.flatnonzero(crossing)
        depth = np.append(0, depths.cumsum())[_first_empty(inwards[at])]
        starts = np.flatnonzero(np.diff(at, prepend=-2) > 1)
        narrowest = min(narrowest, int(depth.min()), int(np.add.reduceat(along[at], starts).min()))
        n_runs += len(starts)
        crossed.append((number, at))
    if n_runs < 2:
        return n_runs, narrowest if n_runs else np.nan
    labels, _ = ndimage.label(cells)
    edges = (labels[:, 0], labels[:, -1], labels[0], labels[-1])
    return len({int(label) for number, at in crossed for label in edges[number][at]}), narrowest


def _first_empty(lines: np.ndarray) -> np.ndarray:
    """Index of the first 0 of each row, the length where there is none."""
    first = lines.argmin(axis=1)
    return np.where(lines[np.arange(len(lines)), first] == 0, first, lines.shape[1])
