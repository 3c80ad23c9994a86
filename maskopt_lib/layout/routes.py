"""Wires of nets as a DEF file has them, read and written."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout import def_files
from maskopt_lib.layout.placement_clip import PlacementClip

_NET = re.compile(r"-\s+(\S+)([^;]*);")
_WIRES = re.compile(r"\+\s*ROUTED\s(.*)", re.DOTALL)
_STEP = re.compile(r"\(\s*(\S+)\s+(\S+)(?:\s+\S+)?\s*\)")


@dataclass(frozen=True, kw_only=True)
class Wire:
    """A piece of wire on one layer.

    Attributes
    ----------
    layer : of LEF.
    points : (x, y) of its corners, in database units of the DEF; one where it is but the foot of a via.
    via : name of the via at its end, or "".
    width : in database units; 0 for that of the layer.
    """

    layer: str
    points: Sequence[tuple[int, int]]
    via: str = ""
    width: int = 0


def read_routes(text: str, where: str) -> dict[str, list[Wire]]:
    """Net -> its wires, those of NETS and those that stand in SPECIALNETS for their width; nets without are left out.

    Parameters
    ----------
    text : of a DEF file.
    where : what errors call it.

    Raises
    ------
    LayoutError : the text ends early, or a wire is none; names the net.
    """
    if not re.search(r"^\s*END\s+DESIGN\b", text, re.M):
        raise LayoutError(f"{where}: it ends before END DESIGN; was the disk full?")
    routes: dict[str, list[Wire]] = {}
    for section, has_width in (("NETS", False), ("SPECIALNETS", True)):
        for net, rest in _NET.findall(def_files.section(text, section)):
            if wires := _WIRES.search(rest):
                pieces = re.split(r"\bNEW\b", wires[1])
                read = [_wire(piece, has_width, f"{where}, net {net}") for piece in pieces]
                # A wide wire of one point and no via covers nothing.
                routes.setdefault(net, []).extend(wire for wire in read if len(wire.points) > 1 or wire.via)
    return {net: wires for net, wires in routes.items() if wires}


def _wire(piece: str, has_width: bool, where: str) -> Wire:
    head, *rest = piece.partition("(")[0].split()
    x = y = 0
    points: list[tuple[int, int]] = []
    try:
        for across, along in _STEP.findall(piece):
            x, y = (old if new == "*" else _whole(new) for old, new in ((x, across), (y, along)))
            points.append((x, y))
        width = _whole(rest[0]) if has_width else 0
    except (ValueError, IndexError) as error:
        raise LayoutError(f"{where}: {' '.join(piece.split())!r} is no wire") from error
    vias = piece.rpartition(")")[2].split()
    if not points or len(vias) > 1:
        raise LayoutError(f"{where}: {' '.join(piece.split())!r} is no wire")
    return Wire(layer=head, points=points, via=vias[0] if vias else "", width=width)


def _whole(number: str) -> int:
    if (value := float(number)) != (whole := round(value)):
        raise ValueError(number)
    return whole


def def_text(
    clip: PlacementClip,
    name: str,
    per_um: int,
    tracks: Sequence[tuple[str, str, float, float]],
    *,
    site: str,
    routes: Mapping[str, Sequence[Wire]] | None = None,
) -> str:
    """A clip as a DEF file.

    Parameters
    ----------
    clip : to be written.
    name : of the design.
    per_um : database units per micron, in which all of the clip is whole.
    tracks : (layer, axis, offset_nm from the corner of the clip, pitch_nm), one of each layer.
    site : name of the site in the LEF.
    routes : net -> wires in these units; nets without are written without.

    Raises
    ------
    LayoutError : a corner that is no whole number of database units.
    """

    def units(nm: float) -> int:
        if abs((value := nm * per_um / 1000) - round(value)) > 1e-6:
            raise LayoutError(f"{name}: {nm:g} nm is no whole number of {per_um} units per micron")
        return round(value)

    x0, y0, x1, y1 = (units(side) for side in clip.box_nm)
    n_sites, routes = round((clip.box_nm[2] - clip.box_nm[0]) / clip.site_nm), routes or {}
    lines = [
        "VERSION 5.6 ;",
        'DIVIDERCHAR "/" ;',
        'BUSBITCHARS "[]" ;',
        f"DESIGN {name} ;",
        f"UNITS DISTANCE MICRONS {per_um} ;",
        f"DIEAREA ( {x0} {y0} ) ( {x1} {y1} ) ;",
    ]
    for i, (y_nm, turn) in enumerate(clip.rows):
        step = f"DO {n_sites} BY 1 STEP {units(clip.site_nm)} 0"
        lines.append(f"ROW ROW_{i} {site} {x0} {units(y_nm)} {turn} {step} ;")
    for layer, axis, offset_nm, pitch_nm in tracks:
        low, high = (x0, x1) if axis == "X" else (y0, y1)
        first, step = low + units(offset_nm), units(pitch_nm)
        lines.append(f"TRACKS {axis} {first} DO {(high - first) // step + 1} STEP {step} LAYER {layer} ;")
    lines.append(f"COMPONENTS {len(clip.components)} ;")
    for component, at in clip.components.items():
        lines.append(f"- {component} {at.cell} + PLACED ( {units(at.x_nm)} {units(at.y_nm)} ) {at.orientation} ;")
    lines += ["END COMPONENTS", f"NETS {len(clip.nets)} ;"]
    for net, pins in clip.nets.items():
        # qrouter adds wires to a net only where its name, its pins and its end stand on lines of their own.
        lines += [f"- {net}", "  " + " ".join(f"( {component} {pin} )" for component, pin in pins)]
        lines += [*_wire_lines([wire for wire in routes.get(net, ()) if not wire.width]), "  ;"]
    lines.append("END NETS")
    wide = {net: [wire for wire in routes.get(net, ()) if wire.width] for net in clip.nets}
    if wide := {net: wires for net, wires in wide.items() if wires}:
        lines.append(f"SPECIALNETS {len(wide)} ;")
        for net, wires in wide.items():
            lines += [f"- {net}", *_wire_lines(wires), "  ;"]
        lines.append("END SPECIALNETS")
    return "\n".join([*lines, "END DESIGN", ""])


def _wire_lines(wires: Sequence[Wire]) -> list[str]:
    lines = []
    for i, wire in enumerate(wires):
        head = f"{'NEW' if i else '+ ROUTED'} {wire.layer}" + (f" {wire.width}" if wire.width else "")
        points = " ".join(f"( {x} {y} )" for x, y in wire.points)
        lines.append(f"  {head} {points} {wire.via}".rstrip())
    return lines
