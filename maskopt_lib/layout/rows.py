"""The rows of sites that a DEF file gives to cells, what it fixes, and whether cells lie as they should."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from klayout import db

from maskopt_lib.data import schema
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout import def_files
from maskopt_lib.layout.designs import INSTANCE, Design, instance_name, orientation_of
from maskopt_lib.layout.platforms import platform_file

_UM_IN_NM = 1000.0
_ROW = re.compile(r"^\s*ROW\s+\S+\s+(\S+)\s+(-?\d+)\s+(-?\d+)\s+(\w+)\s+DO\s+(\d+)\s+BY\s+1\s+STEP\s+(\d+)", re.M)
_RECTANGLE = re.compile(r"RECT\s*\(\s*(-?\d+)\s+(-?\d+)\s*\)\s*\(\s*(-?\d+)\s+(-?\d+)\s*\)")
_HALO = re.compile(r"HALO\s+(?:SOFT\s+)?(\d+)\s+(\d+)\s+(\d+)\s+(\d+)")
#: Cells in these rows stand on their heads.
UPSIDE_DOWN = ("FS", "S")


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of sites and what keeps cells off them; lengths in nm.

    Attributes
    ----------
    site_nm, height_nm : size of a site.
    x_nm, y_nm : (n_rows,) lower left corners, from below.
    n_sites : (n_rows,) sites of each row.
    orientation : (n_rows,) as in DEF; cells of rows FS and S are mirrored in y.
    fixed : names of cells that stay where they are.
    blocked_nm : (n, 4) x0, y0, x1, y1 of placement blockages.
    halo_nm : name of a cell -> free space on its left, below, on its right, above.
    """

    site_nm: float
    height_nm: float
    x_nm: np.ndarray
    y_nm: np.ndarray
    n_sites: np.ndarray
    orientation: Sequence[str]
    fixed: frozenset[str] = frozenset()
    blocked_nm: np.ndarray | None = None
    halo_nm: dict[str, tuple[float, float, float, float]] | None = None

    def __post_init__(self) -> None:
        phase = np.asarray(self.x_nm) - np.min(self.x_nm) if len(self.x_nm) else np.zeros(0)
        if not len(phase):
            raise LayoutError("no rows to put cells on; take a DEF file that has ROW statements, or give rows=")
        if np.abs(phase / self.site_nm - np.rint(phase / self.site_nm)).max() > 1e-6:
            raise LayoutError(f"the rows do not share one grid of sites of {self.site_nm:g} nm; legalise them apart")


def read_rows(path: str | Path, lefs: Sequence[str | Path] = ()) -> Rows:
    """Rows, fixed cells, halos and placement blockages of a DEF file.

    Parameters
    ----------
    path : the DEF file.
    lefs : LEF files, one of which has the site; they give the height of rows. Without them it is the smallest distance
        of two rows.

    Raises
    ------
    LayoutError : a file without rows, rows of several sites or on several grids.
    """
    text = def_files.read_text(path)
    statements = _ROW.findall(text)
    if not statements:
        raise LayoutError(f"{path}: no ROW statements; export the DEF with its rows, or give rows=")
    nm = _UM_IN_NM / def_files.units_per_um(text, path)
    sites, x, y, turns, n_sites, steps = zip(*statements, strict=True)
    if len(set(sites)) > 1 or len(set(steps)) > 1:
        raise LayoutError(f"{path}: rows of several sites, {', '.join(sorted(set(sites)))}; legalise them apart")
    order = np.lexsort((np.array(x, dtype=int), np.array(y, dtype=int)))
    y_nm = np.array(y, dtype=float)[order] * nm
    fixed, halos = set(), {}
    for name, _, rest in def_files.COMPONENT.findall(def_files.section(text, "COMPONENTS")):
        if "FIXED" in rest or "COVER" in rest:
            fixed.add(name)
        if halo := _HALO.search(rest):
            halos[name] = tuple(int(side) * nm for side in halo.groups())
    blockages = def_files.section(text, "BLOCKAGES").split("- ")
    placement = [part for part in blockages if part.startswith("PLACEMENT")]
    boxes = [[int(v) * nm for v in box] for part in placement for box in _RECTANGLE.findall(part)]
    return Rows(
        site_nm=int(steps[0]) * nm,
        height_nm=_site_height_nm(sites[0], lefs) or _pitch(path, y_nm),
        x_nm=np.array(x, dtype=float)[order] * nm,
        y_nm=y_nm,
        n_sites=np.array(n_sites, dtype=int)[order],
        orientation=tuple(turns[i] for i in order),
        fixed=frozenset(fixed),
        blocked_nm=np.array(boxes, dtype=float).reshape(-1, 4),
        halo_nm=halos,
    )


def rows_of(design: Design) -> Rows:
    """The rows of a design that was read from a DEF file; see :func:`read_rows`."""
    if design.path.suffix.lower() != ".def":
        raise LayoutError(f"{design.name}: {design.path} has no rows; read the DEF file, or give rows=")
    return read_rows(design.path, [platform_file(name) for name in design.platform.lefs])


def rows_of_placement(design: Design, site_nm: float) -> Rows:
    """The rows that a legal placement stands on, for a design without a file that states them.

    Parameters
    ----------
    design : cells on rows, each row filled from its first site to its last; all of one height.
    site_nm : width of a site.
    """
    cells = placed_cells(design)
    levels: dict[int, list[Placed]] = {}
    for cell in cells:
        levels.setdefault(cell.box.bottom, []).append(cell)
    ends = [(min(c.box.left for c in row), max(c.box.right for c in row)) for _, row in sorted(levels.items())]
    heads = [orientation_of(row[0].reference.trans) in UPSIDE_DOWN for _, row in sorted(levels.items())]
    return Rows(
        site_nm=site_nm,
        height_nm=cells[0].box.height() * design.dbu_nm if cells else 0.0,
        x_nm=np.array([left for left, _ in ends]) * design.dbu_nm,
        y_nm=np.array(sorted(levels)) * design.dbu_nm,
        n_sites=np.array([round((right - left) * design.dbu_nm / site_nm) for left, right in ends]),
        orientation=tuple("FS" if over else "N" for over in heads),
    )


@dataclass(frozen=True, kw_only=True)
class Placed:
    """One placed cell: KLayout's reference, its name, its outline in the cell and in the layout (database units)."""

    reference: db.Instance
    name: str
    outline: db.Box

    @property
    def box(self) -> db.Box:
        """The outline as it lies in the layout."""
        return self.reference.trans * self.outline


def placed_cells(design: Design) -> list[Placed]:
    """The placed cells of a design; the outline of a cell without layout is the size that the LEF states."""
    layer = design.layout.find_layer(*design.platform.outline)
    outlines: dict[str, db.Box] = {}
    sizes = None
    placed = []
    for reference in design.top.each_inst():
        cell, name = reference.cell, instance_name(reference)
        if cell.name not in outlines:
            box = db.Box() if layer is None else cell.bbox(layer)
            if box.empty() and name is not None:
                sizes = _lef_sizes(design) if sizes is None else sizes
                if cell.name not in sizes:
                    raise LayoutError(
                        f"{design.name}: cell {cell.name} has no outline on layer {design.platform.outline} and no "
                        "SIZE in the platform's LEF files; name the LEF that has it"
                    )
                box = db.Box(0, 0, *(round(side / design.dbu_nm) for side in sizes[cell.name]))
            outlines[cell.name] = box
        if outlines[cell.name].empty():  # a via of the wiring
            continue
        if reference.is_regular_array() or reference.is_complex():
            raise LayoutError(f"{design.name}: {cell.name} is placed as an array or scaled; place each cell by itself")
        placed.append(Placed(reference=reference, name=name or str(len(placed)), outline=outlines[cell.name]))
    return placed


def placement_faults(design: Design, rows: Rows | None = None) -> xr.Dataset:
    """What is not legal in a placement, cell by cell.

    Parameters
    ----------
    design : with cells of one row's height; others (memories) only stand in the way.
    rows : by default those of the design's DEF file.

    Returns
    -------
    Dataset over ``instance`` of booleans: ``off_row``, ``off_site``, ``outside`` (leaves its row), ``turned`` (not as
    the row wants it), ``overlaps`` (another cell).
    """
    rows = rows_of(design) if rows is None else rows
    cells = placed_cells(design)
    boxes = np.array([(c.box.left, c.box.bottom, c.box.right, c.box.top) for c in cells], dtype=float) * design.dbu_nm
    boxes = np.round(boxes, 3).reshape(-1, 4)
    single = np.abs(boxes[:, 3] - boxes[:, 1] - rows.height_nm) < 1e-3
    at = np.searchsorted(rows.y_nm, boxes[:, 1] - 1e-3).clip(max=len(rows.y_nm) - 1)
    off_row = np.abs(rows.y_nm[at] - boxes[:, 1]) > 1e-3
    steps = (boxes[:, 0] - rows.x_nm.min()) / rows.site_nm
    off_site = np.abs(steps - np.rint(steps)) > 1e-6
    inside = np.zeros(len(cells), dtype=bool)
    for x, y, n in zip(rows.x_nm, rows.y_nm, rows.n_sites, strict=True):  # rows of one height may be in pieces
        inside |= (boxes[:, 1] == y) & (boxes[:, 0] >= x - 1e-3) & (boxes[:, 2] <= x + n * rows.site_nm + 1e-3)
    head = np.array([orientation_of(c.reference.trans) in UPSIDE_DOWN for c in cells], dtype=bool)
    row_head = np.array([turn in UPSIDE_DOWN for turn in rows.orientation], dtype=bool)[at]
    faults = {
        "off_row": (single & off_row, "does not stand on a row"),
        "off_site": (single & off_site, "does not stand on a site"),
        "outside": (single & ~off_row & ~inside, "leaves the row"),
        "turned": (single & ~off_row & (head != row_head), "not turned as the row wants it"),
        "overlaps": (_overlapping(boxes), "overlaps another cell"),
    }
    return xr.Dataset(
        {name: schema.column(INSTANCE, *described) for name, described in faults.items()},
        coords={INSTANCE: np.array([c.name for c in cells], dtype=str)},
        attrs={"design": design.name},
    )


def _overlapping(boxes: np.ndarray) -> np.ndarray:
    """Which of the boxes (n, 4) share area with another; a sweep over x."""
    order = np.argsort(boxes[:, 0], kind="stable")
    x0, y0, x1, y1 = boxes[order].T
    overlaps = np.zeros(len(boxes), dtype=bool)
    longest = (x1 - x0).max() if len(boxes) else 0.0
    last = np.searchsorted(x0, x0 + longest)
    for i in range(len(boxes)):
        others = slice(i + 1, last[i])
        hit = (x0[others] < x1[i]) & (y0[others] < y1[i]) & (y1[others] > y0[i])
        if hit.any():
            overlaps[i] = True
            overlaps[others] |= hit
    undo = np.empty_like(overlaps)
    undo[order] = overlaps
    return undo


def _site_height_nm(site: str, lefs: Sequence[str | Path]) -> float | None:
    for lef in lefs:
        text = Path(lef).read_text(encoding="utf-8", errors="replace")
        if block := re.search(rf"^\s*SITE\s+{re.escape(site)}\b(.*?)^\s*END\s+{re.escape(site)}", text, re.S | re.M):
            if size := re.search(r"SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", block[1]):
                return round(float(size[2]) * _UM_IN_NM, 6)
    return None


def _pitch(path, y_nm: np.ndarray) -> float:
    levels = np.unique(y_nm)
    if len(levels) < 2:
        raise LayoutError(f"{path}: one row and no LEF with its site, so its height is unknown; name the LEF")
    return float(np.diff(levels).min())


def _lef_sizes(design: Design) -> dict[str, tuple[float, float]]:
    """Cell -> (width, height) in nm, from the platform's LEF files."""
    sizes = {}
    for lef in design.platform.lefs:
        for name, body in re.findall(
            r"^\s*MACRO\s+(\S+)(.*?)^\s*END\s+\1", platform_file(lef).read_text(encoding="utf-8"), re.DOTALL | re.M
        ):
            if size := re.search(r"SIZE\s+([\d.]+)\s+BY\s+([\d.]+)", body):
                sizes[name] = (float(size[1]) * _UM_IN_NM, float(size[2]) * _UM_IN_NM)
    return sizes
