"""The embedded demo design: rows of our own cells with via 1 at their pins and metal 2 above, from a seed.

For a first run without any data. Rows alternate and share their rails, cells stand as they are or mirrored, fillers
close the gaps, and straight wires of metal 2 lie on tracks above the columns of contacts. The choice of cells is random
with the shares of a common netlist; wires join what happens to lie on one track, so the block computes nothing.

The cells are a small library on the rules of a 45 nm process, drawn from netlists. A cell is its transistor columns:
which net each gate is, and which nets lie between the gates in the upper (p) and the lower (n) diffusion. From this
come active, poly, contacts and straps to the rails (:mod:`maskopt_lib.layout.cell_drawing`); the other nets are wired
in metal 1 (:mod:`maskopt_lib.layout.cell_wiring`). One column of poly is the gate of a p and an n transistor. All cells
are static and complementary but the flip-flop: it has a single clock phase and keeps its state on nodes that float, and
where one of its gates has no second transistor, both ends of that one are on one net.

What they are not: no transistor was sized, no timing, current or leakage was looked at, and there are no wells,
implants or well ties. It is geometry with the look and the rules of 45 nm cells, whose metal joins what the netlist
joins.
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
from maskopt_lib.layout.cell_drawing import RAILS, ROW_NM, SITE_NM, CellSpec, DrawnCell, draw, filler
from maskopt_lib.layout.designs import Design, Platform
from maskopt_lib.layout.layers import layer_names

#: Name -> netlist. Those of the larger cells have the order of stages that could be wired in the least width.
CELLS: dict[str, CellSpec] = {
    "INV_X1": CellSpec(gates="A", p="VDD ZN", n="VSS ZN", pins="A ZN", share=10),
    "INV_X2": CellSpec(gates="A A", p="VDD ZN VDD", n="VSS ZN VSS", pins="A ZN", share=4),
    "INV_X4": CellSpec(gates="A A A A", p="VDD ZN VDD ZN VDD", n="VSS ZN VSS ZN VSS", pins="A ZN", share=2),
    "BUF_X1": CellSpec(gates="A a", p="a VDD Z", n="a VSS Z", pins="A Z", share=4),
    "BUF_X2": CellSpec(gates="A a a", p="a VDD Z VDD", n="a VSS Z VSS", pins="A Z", share=3),
    "BUF_X4": CellSpec(gates="A A a a a a", p="VDD a VDD Z VDD Z VDD", n="VSS a VSS Z VSS Z VSS", pins="A Z", share=1),
    "NAND2_X1": CellSpec(gates="A1 A2", p="VDD ZN VDD", n="VSS i ZN", pins="A1 A2 ZN", share=14),
    "NAND2_X2": CellSpec(gates="A1 A2 A2 A1", p="VDD ZN VDD ZN VDD", n="VSS i ZN j VSS", pins="A1 A2 ZN", share=3),
    "NAND3_X1": CellSpec(gates="A1 A2 A3", p="VDD ZN VDD ZN", n="VSS i j ZN", pins="A1 A2 A3 ZN", share=4),
    "NAND4_X1": CellSpec(
        gates="A1 A2 A3 A4", p="VDD ZN VDD ZN VDD", n="VSS i j k ZN", pins="A1 A2 A3 A4 ZN", share=1.5
    ),
    "NOR2_X1": CellSpec(gates="A1 A2", p="VDD i ZN", n="VSS ZN VSS", pins="A1 A2 ZN", share=8),
    "NOR3_X1": CellSpec(gates="A1 A2 A3", p="VDD i j ZN", n="VSS ZN VSS ZN", pins="A1 A2 A3 ZN", share=2),
    "NOR4_X1": CellSpec(gates="A1 A2 A3 A4", p="VDD i j k ZN", n="VSS ZN VSS ZN VSS", pins="A1 A2 A3 A4 ZN", share=1),
    "AND2_X1": CellSpec(gates="A1 A2 zn", p="VDD zn VDD Z", n="zn i VSS Z", pins="A1 A2 Z", share=4),
    "AND3_X1": CellSpec(gates="A1 A2 A3 zn", p="zn VDD zn VDD Z", n="zn i j VSS Z", pins="A1 A2 A3 Z", share=1.5),
    "OR2_X1": CellSpec(gates="A1 A2 zn", p="zn i VDD Z", n="VSS zn VSS Z", pins="A1 A2 Z", share=3),
    "OR3_X1": CellSpec(gates="A1 A2 A3 zn", p="zn i j VDD Z", n="zn VSS zn VSS Z", pins="A1 A2 A3 Z", share=1),
    "AOI21_X1": CellSpec(gates="A B1 B2", p="ZN m VDD m", n="VSS ZN i VSS", pins="A B1 B2 ZN", share=5),
    "AOI22_X1": CellSpec(gates="A1 A2 B2 B1", p="m VDD m ZN m", n="VSS i ZN j VSS", pins="A1 A2 B1 B2 ZN", share=2),
    "AOI211_X1": CellSpec(gates="C2 C1 B A", p="m VDD m i ZN", n="VSS j ZN VSS ZN", pins="A B C1 C2 ZN", share=1.5),
    "OAI21_X1": CellSpec(gates="A B1 B2", p="VDD ZN i VDD", n="ZN m VSS m", pins="A B1 B2 ZN", share=5),
    "OAI22_X1": CellSpec(gates="A1 A2 B2 B1", p="VDD i ZN j VDD", n="m VSS m ZN m", pins="A1 A2 B1 B2 ZN", share=1.5),
    "XOR2_X1": CellSpec(gates="n B A - A B", p="Z m VDD m VDD i n", n="VSS Z j VSS VSS n VSS", pins="A B Z", share=2.5),
    "XNOR2_X1": CellSpec(
        gates="n B A - B A", p="VDD ZN j VDD VDD n VDD", n="ZN m VSS m VSS i n", pins="A B ZN", share=2.5
    ),
    "MUX2_X1": CellSpec(
        gates="zn - B S A s - S", p="Z VDD m zn m VDD m VDD s", n="Z VSS VSS j zn i VSS VSS s", pins="A B S Z", share=3
    ),
    "HA_X1": CellSpec(
        gates="c B A - B A c - s",
        p="CO VDD c VDD VDD i s VDD VDD S",
        n="CO VSS j c m VSS m s VSS S",
        pins="A B CO S",
        share=1,
    ),
    "DLH_X1": CellSpec(
        gates="q - Q g D G - G", p="Q VDD m q m VDD m VDD g", n="Q VSS VSS j q i VSS VSS g", pins="D G Q", share=1
    ),
    "DFF_X1": CellSpec(
        gates="CK D - a CK CK b - q",
        p="a x VDD b b VDD VDD q Q VDD",
        n="VSS VSS a b y VSS z q Q VSS",
        pins="CK D Q",
        share=7,
    ),
    "LOGIC0_X1": CellSpec(gates="t", p="VDD t", n="VSS Z", pins="Z", share=0.5),
    "LOGIC1_X1": CellSpec(gates="t", p="VDD Z", n="VSS t", pins="Z", share=0.5),
}
#: Cells that only fill: name -> width in sites, from the widest.
FILLERS: dict[str, int] = {f"FILLCELL_X{n}": n for n in (8, 4, 2, 1)}
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
            for fill, width in FILLERS.items():
                while gap >= width:
                    places.append((fill, row, site))
                    site, gap = site + width, gap - width
            if name is not None:
                places.append((name, row, site))
                site += sites[name]
    turns = [("N", "FN"), ("FS", "S")]
    return [
        _Place(cell=cell, orientation=turns[row % 2][rng.integers(2)], x_nm=site * SITE_NM, y_nm=row * ROW_NM)
        for cell, row, site in places
    ]


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
            across, up = accesses.T
            across = cell.width_nm - across if place.orientation in ("FN", "S") else across
            up = ROW_NM - up if place.orientation in ("FS", "S") else up
            for x, y in rng.permutation(np.stack([across + place.x_nm, up + place.y_nm], axis=1)).tolist():
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


def demo_cells() -> dict[str, DrawnCell]:
    """The cells of the library by name, drawn."""
    fillers = {name: filler(name, sites) for name, sites in FILLERS.items()}
    return {name: draw(name, spec) for name, spec in CELLS.items()} | fillers
