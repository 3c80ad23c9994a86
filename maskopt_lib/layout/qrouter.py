"""Nets of a placement routed by qrouter, a maze router that Debian and Ubuntu have: ``apt install qrouter``.

qrouter is a program of its own (Tim Edwards, GPL); it is started, nothing of it is in here. The same input gives the
same wires. They are not free of violations: :mod:`maskopt_lib.layout.design_rules` finds these.
"""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskopt_lib.errors import LayoutError, MissingDataError
from maskopt_lib.layout import def_files
from maskopt_lib.layout.placement_clip import PlacementClip
from maskopt_lib.layout.platforms import Platform, platform_file
from maskopt_lib.layout.routes import Wire, def_text, read_routes

PROGRAM = "qrouter"
#: Layers that are routed on, from below: those above are so coarse that a clip has few tracks of them.
N_LAYERS = 6
_UM_IN_NM = 1000.0
_PATIENCE_S = 3600
_LAYER = re.compile(r"^LAYER\s+(\S+)\s(.*?)^END\s+\1\s*$", re.DOTALL | re.M)
_VIA = re.compile(r"^VIA\s+(\S+)\s+DEFAULT\s(.*?)^END\s+\1\s*$", re.DOTALL | re.M)
_RECT = re.compile(r"RECT\s+(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s*;")
_SITE = re.compile(r"^SITE\s+(\S+)", re.M)
# One line a command; effort and order are those of qrouter's own recipe.
_SCRIPT = """\
verbose 0
read_lef tech.lef
read_lef cells.lef
read_def placed.def
qrouter::standard_route routed.def false
quit
"""


@dataclass(frozen=True, kw_only=True)
class Routed:
    """What the router made of a clip.

    Attributes
    ----------
    name : of the design.
    clip : that was routed.
    routes : net -> wires, in database units of a DEF; nets that were not routed are not among them.
    per_um : these units per micron.
    site : name of the site in the LEF.
    tracks : of :func:`maskopt_lib.layout.routes.def_text`.
    route_s : wall time of the router.
    """

    name: str
    clip: PlacementClip
    routes: Mapping[str, Sequence[Wire]]
    per_um: int
    site: str
    tracks: Sequence[tuple[str, str, float, float]]
    route_s: float

    @property
    def text(self) -> str:
        """DEF file of the clip with its wires, under the names that its source has."""
        return def_text(self.clip, self.name, self.per_um, self.tracks, site=self.site, routes=self.routes)


def qrouter_version() -> str:
    """Version of the program that is here, such as "1.4.71.T".

    Raises
    ------
    MissingDataError : it is not installed; says how to get it.
    """
    if shutil.which(PROGRAM) is None:
        raise MissingDataError(
            f"the program {PROGRAM} is not here; on Debian and Ubuntu `apt install {PROGRAM}` brings it, elsewhere "
            "build it from opencircuitdesign.com/qrouter (1.4.71 made the study's own clips)"
        )
    with tempfile.TemporaryDirectory() as folder:
        said = _run("quit\n", Path(folder))
    found = re.search(r"version (\S+)", said)
    if found is None:
        raise LayoutError(f"{PROGRAM} does not say its version, but {said[:200]!r}; is it the router of that name?")
    return found[1]


def route(clip: PlacementClip, name: str, platform: Platform) -> Routed:
    """Route all nets of a clip.

    Parameters
    ----------
    clip : cells and nets.
    name : of the design that is made.
    platform : of the cells; its first LEF is that of the technology.

    Raises
    ------
    MissingDataError : no router, or no LEF.
    LayoutError : the router failed, or wrote no whole file; says what it said last.
    """
    qrouter_version()
    technology, *cells = (def_files.read_text(platform_file(lef)) for lef in platform.lefs)
    tracks, site = _tracks(technology), _SITE.search(technology)
    per_um = re.search(r"DATABASE\s+MICRONS\s+(\d+)", technology)
    if site is None or per_um is None:
        raise LayoutError(f"{platform.lefs[0]}: no SITE or no DATABASE MICRONS, so it describes no rows; name the LEF")
    # Short names of letters and digits: whatever the source calls things, they pass through another program.
    of_net = {net: f"n{i}" for i, net in enumerate(clip.nets)}
    of_cell = {component: f"c{i}" for i, component in enumerate(clip.components)}
    nets = {of_net[net]: [(of_cell[one], pin) for one, pin in pins] for net, pins in clip.nets.items()}
    short = replace(clip, components={of_cell[one]: at for one, at in clip.components.items()}, nets=nets)
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "tech.lef").write_text(_technology(technology), encoding="utf-8")
        (folder / "cells.lef").write_text("\n".join(cells), encoding="utf-8")
        placed = def_text(short, name, int(per_um[1]), tracks, site=site[1])
        (folder / "placed.def").write_text(placed, encoding="utf-8")
        begun = time.perf_counter()
        said = _run(_SCRIPT, folder)
        seconds = time.perf_counter() - begun
        made = folder / "routed.def"
        if not made.is_file():
            raise LayoutError(f"{name}: {PROGRAM} wrote no wires; it said last:\n{said[-1000:]}")
        routes = read_routes(made.read_text(encoding="utf-8"), f"{name}, as {PROGRAM} routed it")
    by_net = {net: routes[of_net[net]] for net in clip.nets if of_net[net] in routes}
    if not by_net:
        raise LayoutError(f"{name}: {PROGRAM} routed none of {len(clip.nets)} nets; it said last:\n{said[-1000:]}")
    about = {"per_um": int(per_um[1]), "site": site[1], "tracks": tracks, "route_s": seconds}
    return Routed(name=name, clip=clip, routes=by_net, **about)


def _run(script: str, folder: Path) -> str:
    """What the router says while it does a script in a folder."""
    (folder / "script.tcl").write_text(script, encoding="utf-8")
    try:
        done = subprocess.run(
            [PROGRAM, "-nog", "-s", "script.tcl"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LayoutError(f"{PROGRAM} was not done after {_PATIENCE_S} s; take a smaller clip") from error
    said = done.stdout.decode(errors="replace")
    if done.returncode:
        raise LayoutError(f"{PROGRAM} ended with {done.returncode}; it said last:\n{said[-1000:]}")
    return said


def _layers(technology: str) -> dict[str, str]:
    """Layer -> what the LEF says of it: those that are routed on, and the vias between them, from below."""
    kept, n = {}, 0
    for layer, body in _LAYER.findall(technology):
        kind = re.search(r"TYPE\s+(\w+)", body)
        n += kind is not None and kind[1] == "ROUTING"
        if n > N_LAYERS:
            break
        if kind is not None and kind[1] in ("ROUTING", "CUT"):
            kept[layer] = body
    while kept and "CUT" in kept[last := list(kept)[-1]]:  # to a layer that is not routed on
        del kept[last]
    return kept


def _tracks(technology: str) -> list[tuple[str, str, float, float]]:
    """(layer, axis, offset_nm, pitch_nm); the router takes one line of tracks a layer, across its direction."""
    tracks = []
    for layer, body in _layers(technology).items():
        if "ROUTING" in body:
            axis = "Y" if re.search(r"DIRECTION\s+HORIZONTAL", body) else "X"
            pitch, offset = re.search(r"PITCH\s+(\S+)", body), re.search(r"OFFSET\s+(\S+)\s+(\S+)\s*;", body)
            if pitch is None or offset is None:
                raise LayoutError(f"layer {layer} of the technology LEF has no PITCH or no OFFSET for its tracks")
            from_corner = float(offset[1 if axis == "X" else 2])
            tracks.append((layer, axis, round(from_corner * _UM_IN_NM, 3), round(float(pitch[1]) * _UM_IN_NM, 3)))
    return tracks


def _technology(technology: str) -> str:
    """What the router is told of the layers: of each pair the vias with the smallest pads, and no rules that make more.

    Vias with wide pads leave no room for a neighbour on the next track.
    """
    layers = _layers(technology)
    pads: dict[str, dict[str, float]] = {}
    texts = {}
    for match in _VIA.finditer(technology):
        rects = [tuple(map(float, rect)) for rect in _RECT.findall(match[2])]
        on = tuple(re.findall(r"LAYER\s+(\S+)", match[2]))
        if set(on) <= set(layers):
            area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in rects)
            pads.setdefault(" ".join(sorted(on)), {})[match[1]] = round(area, 9)
            texts[match[1]] = match[0]
    vias = [via for areas in pads.values() for via, area in areas.items() if area == min(areas.values())]
    head = technology[: technology.index("LAYER ")]
    blocks = [f"LAYER {layer}\n{body}END {layer}\n" for layer, body in layers.items()]
    return "\n".join([head, *blocks, *(texts[via] for via in vias), "END LIBRARY\n"])
