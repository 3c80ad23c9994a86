"""Which pins of a layout its metal joins: nets that are open, and such as touch one another, found in the drawing.

The drawing is asked, not the list of wires: shapes of one layer that touch are one conductor, and cuts join conductors
of the layers below and above. What joins metal within cells below metal 1 is not seen.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from klayout import db
from scipy.cluster.hierarchy import DisjointSet

from maskopt_lib.layout import def_files
from maskopt_lib.layout.designs import Design
from maskopt_lib.layout.placement_clip import Pin
from maskopt_lib.layout.platforms import platform_file
from maskopt_lib.layout.rows import placed_cells

_MACRO = re.compile(r"^\s*MACRO\s+(\S+)(.*?)^\s*END\s+\1\s*$", re.DOTALL | re.M)
_PIN = re.compile(r"^\s*PIN\s+(\S+)(.*?)^\s*END\s+\1\s*$", re.DOTALL | re.M)
_RECT = re.compile(r"RECT\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*;")


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
    drawn = [design.drawn(layer).merged() for layer in layers]
    # A cut that metal covers only at its rim joins nothing: the middle counts.
    drawn[1::2] = [cut.extent_refs(0.5, 0.5, 0.5, 0.5, 1, 1) for cut in drawn[1::2]]
    metal = db.LayoutToNetlist(design.top.name, design.layout.dbu)
    for layer in drawn:
        metal.register(layer)
    for layer in drawn[::2]:
        metal.connect(layer)
    for below, above in pairwise(drawn):
        metal.connect(below, above)
    metal.extract_netlist()
    # Conductors on which a pin has several rectangles are joined in its cell.
    joined, pin_of = DisjointSet(), {}
    for pin, point in _pins(design):
        if conductor := metal.probe_net(drawn[0], point):
            joined.add(pin)
            joined.merge(pin, pin_of.setdefault(conductor.cluster_id, pin))
    of_pin = {pin: pins for pins in joined.subsets() for pin in pins}
    return Connections(
        open_nets=tuple(net for net, of_net in nets.items() if not of_pin.get(of_net[0], set()).issuperset(of_net)),
        shorted=tuple(net for net, of_net in nets.items() if any(of_pin.get(pin, set()) - {*of_net} for pin in of_net)),
    )


def _pins(design: Design) -> Iterator[tuple[Pin, db.Point]]:
    """Component and pin, and the middle of one of its rectangles in the layout, for all rectangles."""
    rects = {
        macro: [(pin, *map(float, rect)) for pin, of_pin in _PIN.findall(body) for rect in _RECT.findall(of_pin)]
        for lef in design.platform.lefs
        for macro, body in _MACRO.findall(def_files.read_text(platform_file(lef)))
    }
    half_um = 500 / design.dbu_nm
    for placed in placed_cells(design):
        # A LEF begins at the corner of the outline, the layout of a cell where it was drawn.
        corner = placed.outline.p1
        for pin, x0, y0, x1, y1 in rects.get(placed.reference.cell.name, ()):
            middle = db.Point(round(half_um * (x0 + x1)) + corner.x, round(half_um * (y0 + y1)) + corner.y)
            yield (placed.name, pin), placed.reference.trans * middle
