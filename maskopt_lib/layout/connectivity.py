"""Which pins of a layout its metal joins: nets that are open, and such as touch one another, found in the drawing.

The drawing is asked, not the list of wires: shapes of one layer that touch are one conductor, and cuts join conductors
of the layers below and above. What joins metal within cells below metal 1 is not seen.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from klayout import db

from maskopt_lib.layout import def_files
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.placement_clip import Pin
from maskopt_lib.layout.platforms import platform_file
from maskopt_lib.layout.rows import placed_cells

_MACRO = re.compile(r"^\s*MACRO\s+(\S+)(.*?)^\s*END\s+\1\s*$", re.DOTALL | re.M)
_PIN = re.compile(r"^\s*PIN\s+(\S+)(.*?)^\s*END\s+\1\s*$", re.DOTALL | re.M)
_RECT = re.compile(r"RECT\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*;")
_POWER = re.compile(r"USE\s+(POWER|GROUND)\b")


@dataclass(frozen=True, kw_only=True)
class Connections:
    """What metal joins.

    Attributes
    ----------
    open_nets : nets of which not all pins are joined.
    shorted : nets that are joined to one another, to power, or to a pin that belongs to none of them.
    """

    open_nets: tuple[str, ...]
    shorted: tuple[str, ...]


def connections(
    design: Design, nets: Mapping[str, Sequence[Pin]], layers: Sequence[str | tuple[int, int]]
) -> Connections:
    """Follow the metal from pin to pin.

    Parameters
    ----------
    design : the layout; its platform's LEF files say where pins are.
    nets : name -> pins that are to be joined, and nothing else with them.
    layers : metal, cut, metal, ... from below; pins are on the first.
    """
    metals = _Metals(design, layers)
    pins = _pins(design)
    net_of = {pin: net for net, of_net in nets.items() for pin in of_net}
    owners: dict[int, set[str]] = {}
    at_pin: dict[Pin, set[int]] = {}
    for (component, pin), (points, is_power) in pins.items():
        found = {metals.conductor(point) for point in points} - {None}
        at_pin[component, pin] = found
        owner = net_of.get((component, pin), f"power {pin}" if is_power else f"pin {component} {pin}")
        for conductor in found:
            owners.setdefault(conductor, set()).add(owner)
    shorted = {owner for of_one in owners.values() if len(of_one) > 1 for owner in of_one}
    return Connections(
        open_nets=tuple(net for net, of_net in nets.items() if not _joined([at_pin.get(p, set()) for p in of_net])),
        shorted=tuple(net for net in nets if net in shorted),
    )


def _joined(groups: Sequence[set[int]]) -> bool:
    """Whether sets hang together, each by a member that it has in common with others."""
    if not all(groups):
        return False
    reached, waiting = set(groups[0]), list(groups[1:])
    while any(group & reached for group in waiting):
        met = [bool(group & reached) for group in waiting]
        reached.update(*(group for group, is_met in zip(waiting, met, strict=True) if is_met))
        waiting = [group for group, is_met in zip(waiting, met, strict=True) if not is_met]
    return not waiting


class _Metals:
    """Conductors by number; a number is that of the root of its pieces."""

    def __init__(self, design: Design, layers: Sequence[str | tuple[int, int]]) -> None:
        self._parent: list[int] = []
        self._pieces: list[db.Shapes] = []
        for layer in layers[::2]:
            shapes = db.Shapes()
            for polygon in design.drawn(layer).merged().each():
                number = len(self._parent)
                self._parent.append(number)
                for piece in polygon.decompose_trapezoids():
                    shapes.insert(piece, number)
            self._pieces.append(shapes)
        for (below, above), cut in zip(pairwise(self._pieces), layers[1::2], strict=True):
            for polygon in design.drawn(cut).merged().each():
                ends = [self._at(pieces, polygon.bbox().center()) for pieces in (below, above)]
                if None not in ends:
                    self._parent[self._root(ends[0])] = self._root(ends[1])

    def conductor(self, point: db.Point) -> int | None:
        """What is at a point of the lowest layer."""
        number = self._at(self._pieces[0], point)
        return None if number is None else self._root(number)

    @staticmethod
    def _at(pieces: db.Shapes, point: db.Point) -> int | None:
        near = pieces.each_touching(db.Box(point, point))
        return next((shape.prop_id for shape in near if shape.polygon.inside(point)), None)

    def _root(self, number: int) -> int:
        while self._parent[number] != number:
            self._parent[number] = number = self._parent[self._parent[number]]
        return number


def _pins(design: Design) -> dict[Pin, tuple[list[db.Point], bool]]:
    """Component and pin -> the middles of its rectangles in the layout, and whether it is one of power."""
    described: dict[str, dict[str, tuple[list[tuple[float, ...]], bool]]] = {}
    for lef in design.platform.lefs:
        for macro, body in _MACRO.findall(def_files.read_text(platform_file(lef))):
            described[macro] = {
                pin: (_rects(of_pin), bool(_POWER.search(of_pin))) for pin, of_pin in _PIN.findall(body)
            }
    pins: dict[Pin, tuple[list[db.Point], bool]] = {}
    per_um = 1000 / design.dbu_nm
    for placed in placed_cells(design):
        for pin, (rects, is_power) in described.get(placed.reference.cell.name, {}).items():
            middles = [(per_um * (x0 + x1) / 2, per_um * (y0 + y1) / 2) for x0, y0, x1, y1 in rects]
            # A LEF begins at the corner of the outline, the layout of a cell where it was drawn.
            corner = placed.outline.p1
            points = [db.Point(round(x) + corner.x, round(y) + corner.y) for x, y in middles]
            pins[placed.name, pin] = ([placed.reference.trans * point for point in points], is_power)
    return pins


def _rects(of_pin: str) -> Iterable[tuple[float, ...]]:
    return [tuple(map(float, rect)) for rect in _RECT.findall(of_pin)]
