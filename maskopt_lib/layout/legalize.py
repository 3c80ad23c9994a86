"""Cells of a global placement put on rows and sites, each on the nearest that is free.

The greedy manner of D. Hill's Tetris legaliser (US patent 6370673, 2002): cells one after the other from left to right,
none moves again. It asks for legality and short moves, not for short wires; what it makes is a placement to cut
realistic neighbourhoods from, not a better one.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.data import schema
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.designs import INSTANCE, Design, orientation_of
from maskopt_lib.layout.rows import UPSIDE_DOWN, Rows, placed_cells, rows_of

_TURNS = {"N": db.Trans.R0, "FN": db.Trans.M90, "FS": db.Trans.M0, "S": db.Trans.R180}


def legalize(design: Design, rows: Rows | None = None) -> tuple[Design, xr.Dataset]:
    """Put every cell on the nearest free sites.

    Parameters
    ----------
    design : cells anywhere. What is fixed, or higher than a row, stays and keeps the others off.
    rows : by default those of the design's DEF file.

    Returns
    -------
    A new design, and its moves: a Dataset over ``instance`` with ``cell``, ``dx_nm``, ``dy_nm``, ``moved_nm``
    (``|dx| + |dy|``), ``turned`` (another orientation than before), ``fixed``. Cells keep their names and whether they
    are mirrored in x; the orientation of the row says whether in y. Wires stay where they are: a routed design whose
    cells move is no longer connected.

    Raises
    ------
    LayoutError : no rows, a cell turned by 90 degrees, or no room left.
    """
    rows = rows_of(design) if rows is None else rows
    design = replace(design, layout=_changeable(design.layout))
    cells = placed_cells(design)
    sites = _Sites(rows, design.dbu_nm)
    stays = [c.name in rows.fixed or c.outline.height() != sites.height for c in cells]
    if rows.blocked_nm is not None:
        for box in rows.blocked_nm:
            sites.block(*(round(side / design.dbu_nm) for side in box))
    for cell, fixed in zip(cells, stays, strict=True):
        if fixed:
            halo = [round(side / design.dbu_nm) for side in (rows.halo_nm or {}).get(cell.name, (0, 0, 0, 0))]
            box = cell.box
            sites.block(box.left - halo[0], box.bottom - halo[1], box.right + halo[2], box.top + halo[3])
    before = np.array([(c.box.left, c.box.bottom) for c in cells], dtype=np.int64).reshape(-1, 2)
    turned = np.zeros(len(cells), dtype=bool)
    for i in sorted(range(len(cells)), key=lambda i: (*before[i].tolist(), cells[i].name)):
        if not stays[i]:
            turned[i] = _put(cells[i], sites, design.name)
    moves = (np.array([(c.box.left, c.box.bottom) for c in cells]).reshape(-1, 2) - before) * design.dbu_nm
    columns = {
        "cell": (np.array([c.reference.cell.name for c in cells], dtype=str), "cell"),
        "dx_nm": (moves[:, 0], "move in x", "nm"),
        "dy_nm": (moves[:, 1], "move in y", "nm"),
        "moved_nm": (np.abs(moves).sum(axis=1), "move, |dx| + |dy|", "nm"),
        "turned": (turned, "whether the orientation changed"),
        "fixed": (np.array(stays, dtype=bool), "whether the cell may not move"),
    }
    table = xr.Dataset(
        {name: schema.column(INSTANCE, *described) for name, described in columns.items()},
        coords={INSTANCE: np.array([c.name for c in cells], dtype=str)},
        attrs={"design": design.name},
    )
    return design, table


def shaken(design: Design, rms_nm: float, *, seed: int = 0) -> Design:
    """A placement made illegal, to show what a legaliser does: fillers taken out, logic cells moved at random.

    Parameters
    ----------
    design : a legal placement.
    rms_nm : standard deviation of the moves along each axis.
    seed : of the moves.
    """
    rng = np.random.default_rng(seed)
    design = replace(design, layout=_changeable(design.layout))
    steps = round(rms_nm / design.dbu_nm)
    kinds = {c.reference.cell_index: c.reference.cell.name for c in placed_cells(design)}
    # With a cell its placements go; references that were taken before are no longer valid then.
    design.layout.delete_cells([index for index, name in kinds.items() if not design.platform.is_logic(name)])
    for cell in placed_cells(design):
        dx, dy = np.rint(rng.normal(0, steps, 2)).astype(int).tolist()
        cell.reference.transform(db.Trans(dx, dy))
    return design


def _changeable(layout: db.Layout) -> db.Layout:
    """A copy whose cells can be moved; what was read from a stream cannot be changed, and nor can its duplicate."""
    if layout.is_editable():
        return layout.dup()
    copy = db.Layout(True)
    copy.dbu = layout.dbu
    for top in layout.top_cells():
        copy.create_cell(top.name).copy_tree(top)
    return copy


def _put(cell, sites: _Sites, name: str) -> bool:
    """Move one cell to its place and turn it as the row wants; whether it was turned."""
    old = orientation_of(cell.reference.trans)
    if old not in _TURNS:
        raise LayoutError(f"{name}: {cell.name} is placed {old}; cells in rows are placed {', '.join(_TURNS)}")
    box = cell.box
    place = sites.take(box.left, box.bottom, box.width())
    if place is None:
        raise LayoutError(f"{name}: no free sites for {cell.name}; the rows are full, take a larger core")
    x, y, upside_down = place
    mirrored_in_x = old in ("FN", "S")
    new = ("S" if mirrored_in_x else "FS") if upside_down else ("FN" if mirrored_in_x else "N")
    turn = db.Trans(_TURNS[new], 0, 0)
    corner = (turn * cell.outline).p1
    cell.reference.trans = db.Trans(_TURNS[new], x - corner.x, y - corner.y)
    return new != old


class _Sites:
    """Which sites are taken, row by row; lengths in database units."""

    def __init__(self, rows: Rows, dbu_nm: float) -> None:
        self.site, self.height = round(rows.site_nm / dbu_nm), round(rows.height_nm / dbu_nm)
        x = np.rint(rows.x_nm / dbu_nm).astype(np.int64)
        y = np.rint(rows.y_nm / dbu_nm).astype(np.int64)
        self.x0 = int(x.min())
        first = (x - self.x0) // self.site
        self.y, level = np.unique(y, return_inverse=True)
        self.taken = np.ones((len(self.y), int((first + rows.n_sites).max())), dtype=bool)
        self.upside_down = np.zeros(len(self.y), dtype=bool)
        for row, start, n, turn in zip(level, first, rows.n_sites, rows.orientation, strict=True):
            self.taken[row, start : start + n] = False
            self.upside_down[row] = turn in UPSIDE_DOWN

    def block(self, left: int, bottom: int, right: int, top: int) -> None:
        """Take every site that a box touches."""
        rows = (self.y < top) & (self.y + self.height > bottom)
        start, end = (left - self.x0) // self.site, -((self.x0 - right) // self.site)
        self.taken[rows, max(start, 0) : max(end, 0)] = True

    def take(self, x: int, y: int, width: int) -> tuple[int, int, bool] | None:
        """The free place nearest to (x, y) for a cell of this width, taken from now on; None where there is none."""
        n = -(-width // self.site)
        n_rows, n_starts = len(self.y), self.taken.shape[1] - n + 1
        row = int(np.searchsorted(self.y, y))
        start = round((x - self.x0) / self.site)
        reach = 1
        while n_starts > 0:
            # A block of rows and starts around the wanted place; whatever is outside is further than `bound`.
            low, high = max(row - reach, 0), min(max(row + reach, 1), n_rows)
            span = 8 * reach
            first, last = (min(max(start + step, 0), n_starts - 1) for step in (-span, span))
            low = min(low, n_rows - 1)
            used = np.cumsum(self.taken[low:high, first : last + n], axis=1, dtype=np.int32)
            used = np.pad(used, ((0, 0), (1, 0)))
            free = used[:, n:] == used[:, :-n]
            dx = np.abs(self.x0 + self.site * np.arange(first, last + 1) - x)
            dy = np.abs(self.y[low:high] - y)
            cost = np.where(free, dx[None, :] + dy[:, None], np.iinfo(np.int64).max)
            best = int(cost.argmin())
            whole = low == 0 and high == n_rows and first == 0 and last == n_starts - 1
            bound = min(
                abs(y - int(self.y[low - 1])) if low else np.inf,
                abs(y - int(self.y[high])) if high < n_rows else np.inf,
                abs(x - self.x0 - self.site * (first - 1)) if first else np.inf,
                abs(x - self.x0 - self.site * (last + 1)) if last < n_starts - 1 else np.inf,
            )
            i, j = divmod(best, cost.shape[1])
            if free[i, j] and cost[i, j] <= bound:
                self.taken[low + i, first + j : first + j + n] = True
                return self.x0 + self.site * (first + j), int(self.y[low + i]), bool(self.upside_down[low + i])
            if whole:
                return None
            reach *= 2
        return None
