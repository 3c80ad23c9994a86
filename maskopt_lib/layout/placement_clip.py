"""A rectangle cut out of a placement: the cells that lie wholly in it, and of the nets what joins these cells."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout import def_files
from maskopt_lib.layout.designs import Design, orientation_of
from maskopt_lib.layout.rows import Rows, placed_cells, rows_of

_UM_IN_NM = 1000.0
_NET = re.compile(r"-\s+(\S+)\s+([^;]*);")
_PIN = re.compile(r"\(\s*(\S+)\s+(\S+)\s*\)")

#: Component and pin of it.
Pin = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Component:
    """A placed cell: its name in the library, lower left corner of its outline in nm, orientation as in DEF."""

    cell: str
    x_nm: float
    y_nm: float
    orientation: str


@dataclass(frozen=True, kw_only=True)
class PlacementClip:
    """What is left of a placement in a rectangle.

    Attributes
    ----------
    box_nm : (x0, y0, x1, y1), on rows and sites.
    site_nm, height_nm : size of a site.
    rows : (y_nm, orientation) of each row, from below; all go from side to side.
    components : name -> cell, by y, x and name.
    nets : name -> its pins, at least two, in the order of the file.
    """

    box_nm: tuple[float, float, float, float]
    site_nm: float
    height_nm: float
    rows: Sequence[tuple[float, str]]
    components: Mapping[str, Component]
    nets: Mapping[str, Sequence[Pin]]


def clip_placement(
    design: Design,
    nets: Mapping[str, Sequence[Pin]],
    middle_um: Sequence[float],
    side_um: float,
    rows: Rows | None = None,
) -> PlacementClip:
    """Cut a square out of a placement.

    Parameters
    ----------
    design : cells on rows.
    nets : name -> pins, of :func:`nets_of`. Pins of cells outside are dropped, and so are pins of the design itself;
        then nets with fewer than two pins left.
    middle_um : (x, y) of the square.
    side_um : of the square; it is moved and rounded to whole sites and rows.
    rows : by default those of the design's DEF file.

    Raises
    ------
    LayoutError : no two cells of a net lie in the square.
    """
    rows = rows_of(design) if rows is None else rows
    starts = (rows.x_nm.min(), rows.y_nm.min())
    steps = (rows.site_nm, rows.height_nm)
    low, high = [], []
    for middle, start, step in zip(middle_um, starts, steps, strict=True):
        first = round((middle * _UM_IN_NM - side_um * _UM_IN_NM / 2 - start) / step)
        low.append(round(float(start + first * step), 6))
        high.append(round(float(start + (first + round(side_um * _UM_IN_NM / step)) * step), 6))
    kept: dict[str, Component] = {}
    for placed in placed_cells(design):
        box = placed.box
        sides = [side * design.dbu_nm for side in (box.left, box.bottom, box.right, box.top)]
        if min(sides[0] - low[0], sides[1] - low[1], high[0] - sides[2], high[1] - sides[3]) < -1e-3:
            continue
        kept[placed.name] = Component(
            cell=placed.reference.cell.name,
            x_nm=round(sides[0], 6),
            y_nm=round(sides[1], 6),
            orientation=orientation_of(placed.reference.trans),
        )
    order = sorted(kept, key=lambda name: (kept[name].y_nm, kept[name].x_nm, name))
    inside = {name: [pin for pin in pins if pin[0] in kept] for name, pins in nets.items()}
    joined = {name: pins for name, pins in inside.items() if len(pins) > 1}
    if not joined:
        raise LayoutError(
            f"{design.name}: {side_um:g} um around ({middle_um[0]:g}, {middle_um[1]:g}) um hold {len(kept)} cells and "
            "no net between two of them; move the square, or make it larger"
        )
    levels, turns = np.round(rows.y_nm, 6), dict(zip(np.round(rows.y_nm, 6), rows.orientation, strict=True))
    inner = [float(y) for y in np.unique(levels) if low[1] <= y and y + rows.height_nm <= high[1] + 1e-3]
    return PlacementClip(
        box_nm=(low[0], low[1], high[0], high[1]),
        site_nm=rows.site_nm,
        height_nm=rows.height_nm,
        rows=[(y, turns[y]) for y in inner],
        components={name: kept[name] for name in order},
        nets=joined,
    )


def nets_of(path: str | Path) -> dict[str, list[Pin]]:
    """Nets of a DEF file, special ones left out: name -> (component, pin); a pin of the design is ("PIN", name).

    Raises
    ------
    LayoutError : the file has no nets.
    """
    found = _NET.findall(def_files.section(def_files.read_text(path), "NETS"))
    if not found:
        raise LayoutError(f"{path}: no NETS, so nothing in it can be routed; export the DEF with its netlist")
    return {name: _PIN.findall(rest.partition("+")[0]) for name, rest in found}
