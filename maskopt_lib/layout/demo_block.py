"""The embedded demo design: rows of our own cells with via 1 at their pins and metal 2 above, from a seed.

For a first run without any data. Rows alternate and share their rails, cells stand as they are or mirrored, fillers
close the gaps, and straight wires of metal 2 lie on tracks above the columns of contacts. The choice of cells is random
with the shares of a common netlist; wires join what happens to lie on one track, so the block computes nothing.
"""

import itertools
import math
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import gdstk
import numpy as np
from klayout import db

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.cell_drawing import RAILS, ROW_NM, SITE_NM, DrawnCell
from maskopt_lib.layout.demo_cells import CELLS, FILLERS, demo_cells
from maskopt_lib.layout.designs import Design, Platform
from maskopt_lib.layout.layers import layer_names

#: Layers, and which cells only fill; as in designs on the same layers.
PLATFORM = Platform(
    process="freepdk45", technology="", lefs=(), layouts=(), outline=(235, 0), die=(235, 0), no_logic=tuple(FILLERS)
)
VIA_NM, METAL2_NM, METAL2_SPACE_NM = 70, 70, 70
#: Metal 2 beyond a via at the end of a wire.
METAL2_END_NM = 35
# Database unit 0.1 nm, as that of the cells of real designs on these layers.
_UNIT_M, _PRECISION_M = 1e-6, 1e-10
_NM_IN_UM = 1e-3
# How often a pin has a second via, and how often two vias on one track share a wire.
_SECOND_VIA, _JOINED = 0.15, 0.6
_MEAN_STUB_NM = 600.0


@dataclass(frozen=True, kw_only=True)
class _Place:
    """A cell in a row: orientation and lower left corner."""

    cell: str
    orientation: str
    x_nm: int
    y_nm: int


@dataclass(frozen=True, kw_only=True, order=True)
class _Via:
    """A via on a track of metal 2: heights of its centre, owner, and whether the pin drives."""

    y_nm: int
    pin: tuple[int, str]
    drives: bool


def build(seed: int = 0, *, n_rows: int = 8, n_sites: int = 60, utilisation: float = 0.78) -> Design:
    """Draw cells, place them, and put vias and wires on their pins.

    Parameters
    ----------
    seed : equal seeds give equal layouts.
    n_rows, n_sites : rows of 1400 nm, and sites of 190 nm in each.
    utilisation : share of the sites that logic cells take; a small block may come out fuller by most of a cell.

    Returns
    -------
    A design as :func:`maskopt_lib.layout.read_design` gives it; ``path`` is this module, which it comes from.

    Raises
    ------
    LayoutError : a block too small for one cell, or a utilisation outside (0, 1].

    Examples
    --------
    >>> design = build(seed=0, n_rows=2, n_sites=30)
    >>> design.name, design.die_nm
    ('demo_block', (0.0, 0.0, 5700.0, 2800.0))
    """
    if not 0 < utilisation <= 1:
        raise LayoutError(f"utilisation={utilisation:g} is a share of the sites; take more than 0 and at most 1")
    if n_rows < 1 or n_sites < 8:
        raise LayoutError(f"{n_rows} rows of {n_sites} sites hold no cells; take at least 1 row of 8 sites")
    rng = np.random.default_rng(seed)
    cells = demo_cells()
    places = _placed(rng, n_rows, n_sites, utilisation)
    vias, wires = _routed(rng, cells, places, n_sites)
    return Design(
        name="demo_block",
        path=Path(__file__),
        platform=PLATFORM,
        layout=_layout(cells, places, vias, wires, (n_sites * SITE_NM, n_rows * ROW_NM)),
    )


def _placed(rng: np.random.Generator, n_rows: int, n_sites: int, utilisation: float) -> list[_Place]:
    """Cells in rows with the gaps between them filled; every kind once, as far as there is room, then by its share."""
    names = list(CELLS)
    sites = {name: CELLS[name].width_nm // SITE_NM for name in names}
    shares = np.array([CELLS[name].share for name in names])
    left, chosen = int(utilisation * n_sites) * n_rows, []
    kinds = rng.permutation(names).tolist()
    while left > 0:
        name = kinds.pop() if kinds else names[rng.choice(len(names), p=shares / shares.sum())]
        left -= sites[name]
        chosen.append(name)
    # The widest first, each into the emptiest row: rows come out equally full.
    rows: list[list[str]] = [[] for _ in range(n_rows)]
    used = [0] * n_rows
    for name in sorted(chosen, key=lambda name: -sites[name]):
        row = min(range(n_rows), key=lambda r: used[r])
        if used[row] + sites[name] <= n_sites:
            rows[row].append(name)
            used[row] += sites[name]
    places = []
    for row, members in enumerate(rows):
        gaps = rng.multinomial(n_sites - used[row], np.full(len(members) + 1, 1 / (len(members) + 1))).tolist()
        site = 0
        for name, gap in zip([*rng.permutation(members).tolist(), None], gaps, strict=True):
            for filler, width in FILLERS.items():
                while gap >= width:
                    places.append((filler, row, site))
                    site, gap = site + width, gap - width
            if name is not None:
                places.append((name, row, site))
                site += sites[name]
    turns = [("N", "FN"), ("FS", "S")]
    return [
        _Place(cell=cell, orientation=turns[row % 2][rng.integers(2)], x_nm=site * SITE_NM, y_nm=row * ROW_NM)
        for cell, row, site in places
    ]


def _in_block(place: _Place, points: np.ndarray, width_nm: int) -> np.ndarray:
    x, y = points[:, 0], points[:, 1]
    x = width_nm - x if place.orientation in ("FN", "S") else x
    y = ROW_NM - y if place.orientation in ("FS", "S") else y
    return np.stack([x + place.x_nm, y + place.y_nm], axis=1)


def _routed(
    rng: np.random.Generator, cells: dict[str, DrawnCell], places: list[_Place], n_sites: int
) -> tuple[list[tuple[int, int]], list[tuple[int, int, int]]]:
    """Vias (x, y) and wires (x, y0, y1) of metal 2, nm."""
    tracks: dict[int, list[_Via]] = {SITE_NM // 2 + SITE_NM * i: [] for i in range(n_sites)}
    apart = VIA_NM + 2 * METAL2_END_NM + METAL2_SPACE_NM
    for number, place in enumerate(places):
        cell = cells[place.cell]
        for pin, accesses in cell.accesses_nm.items():
            wanted = 1 + int(rng.random() < _SECOND_VIA)
            for x, y in rng.permutation(_in_block(place, accesses, cell.width_nm)).tolist():
                if wanted and all(abs(y - via.y_nm) >= apart for via in tracks[x]):
                    drives = pin[0] in "ZQ" or (pin in ("S", "CO") and place.cell.startswith("HA"))
                    tracks[x].append(_Via(y_nm=y, pin=(number, pin), drives=drives))
                    wanted -= 1
    top = max(place.y_nm for place in places) + ROW_NM
    vias, wires = [], []
    for x, members in tracks.items():
        members.sort()
        vias += [(x, via.y_nm) for via in members]
        groups: list[list[_Via]] = []
        for via in members:
            near = groups and via.y_nm - groups[-1][-1].y_nm < 3 * ROW_NM
            drivers = sum(v.drives for v in groups[-1]) if groups else 0
            if near and drivers + via.drives <= 1 and rng.random() < _JOINED:
                groups[-1].append(via)
            else:
                groups.append([via])
        below = METAL2_SPACE_NM // 2
        for group, after in itertools.zip_longest(groups, groups[1:]):
            lowest, highest = group[0].y_nm - VIA_NM // 2, group[-1].y_nm + VIA_NM // 2
            above = (top if after is None else after[0].y_nm - VIA_NM // 2 - METAL2_END_NM) - METAL2_SPACE_NM
            ends = METAL2_END_NM + 5 * (rng.exponential(_MEAN_STUB_NM, size=2) // 5).astype(int)
            # One end is free to run, the other one stops behind its via, as a wire that turns up to the next layer.
            ends[rng.integers(2)] = METAL2_END_NM
            y0 = max(lowest - int(ends[0]), min(below, lowest - METAL2_END_NM))
            y1 = min(highest + int(ends[1]), max(above, highest + METAL2_END_NM))
            wires.append((x, y0, y1))
            below = y1 + METAL2_SPACE_NM
    return vias, wires


def _layout(cells, places, vias, wires, size_nm) -> db.Layout:
    """The hierarchy, drawn with gdstk and read by KLayout."""
    layers = layer_names()
    library = gdstk.Library("demo", unit=_UNIT_M, precision=_PRECISION_M)
    used = {name: _gds_cell(cells[name], layers) for name in dict.fromkeys(place.cell for place in places)}
    top, via = gdstk.Cell("demo_block"), gdstk.Cell("VIA12")
    library.add(top, via, *used.values())
    _add(top, layers["outline"], (0, 0, *size_nm))
    _add(via, layers["via1"], (-VIA_NM // 2, -VIA_NM // 2, VIA_NM // 2, VIA_NM // 2))
    end = VIA_NM // 2 + METAL2_END_NM
    _add(via, layers["metal2"], (-METAL2_NM // 2, -end, METAL2_NM // 2, end))
    numbers = {"u": 0, "filler": 0}
    for place in places:
        width = cells[place.cell].width_nm
        turned, mirrored = place.orientation in ("S", "FN"), place.orientation in ("FS", "FN")
        corner = (
            place.x_nm + (width if turned else 0),
            place.y_nm + (ROW_NM if place.orientation in ("FS", "S") else 0),
        )
        reference = gdstk.Reference(
            used[place.cell],
            tuple(v * _NM_IN_UM for v in corner),
            rotation=math.pi if turned else 0,
            x_reflection=mirrored,
        )
        kind = "filler" if place.cell in FILLERS else "u"
        reference.set_property("name", f"{kind}{numbers[kind]}")
        numbers[kind] += 1
        top.add(reference)
    top.add(*(gdstk.Reference(via, (x * _NM_IN_UM, y * _NM_IN_UM)) for x, y in vias))
    for x, y0, y1 in wires:
        _add(top, layers["metal2"], (x - METAL2_NM // 2, y0, x + METAL2_NM // 2, y1))
    layout = db.Layout()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.oas"
        library.write_oas(path)
        layout.read(str(path))
    return layout


def _add(cell: gdstk.Cell, layer: tuple[int, int], box_nm: tuple[int, int, int, int]) -> None:
    x0, y0, x1, y1 = (v * _NM_IN_UM for v in box_nm)
    cell.add(gdstk.rectangle((x0, y0), (x1, y1), layer=layer[0], datatype=layer[1]))


def _gds_cell(cell: DrawnCell, layers: Mapping[str, tuple[int, int]]) -> gdstk.Cell:
    """The cell's merged polygons, pins and rails labelled on metal 1; layers as (layer, datatype) by name."""
    drawn = gdstk.Cell(cell.name)
    groups = {layer: [boxes] for layer, boxes in cell.shapes.items()} | {"metal1": list(cell.nets.values())}
    for layer, many in groups.items():
        number, datatype = layers[layer]
        for boxes in many:
            corners = boxes * _NM_IN_UM
            rectangles = [gdstk.rectangle(box[:2], box[2:]) for box in corners.tolist()]
            drawn.add(*gdstk.boolean(rectangles, [], "or", precision=1e-5, layer=number, datatype=datatype))
    number, datatype = layers["metal1"]
    labels = {rail: (cell.width_nm / 2, y) for rail, y in zip(RAILS, (0, ROW_NM), strict=True)}
    labels |= {pin: tuple(places[0]) for pin, places in cell.accesses_nm.items()}
    for net, (x, y) in labels.items():
        drawn.add(gdstk.Label(net, (x * _NM_IN_UM, y * _NM_IN_UM), layer=number, texttype=datatype))
    return drawn
