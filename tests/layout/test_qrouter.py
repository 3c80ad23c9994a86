"""Clips routed by qrouter, where it is here: each net is joined, and the same wires come out again."""

from __future__ import annotations

import shutil
import stat
from itertools import pairwise

import pytest
from small_library import PINS, placed, platform

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, MissingDataError
from maskopt_lib.layout import qrouter
from maskopt_lib.layout.placement_clip import clip_placement, nets_of
from maskopt_lib.layout.platforms import PLATFORMS

needs_qrouter = pytest.mark.skipif(shutil.which("qrouter") is None, reason="qrouter is not here: apt install qrouter")
#: A column and a row more than in the tests of the clip, so that wires have to turn.
MIDDLE_UM, SIDE_UM = (2.85, 2.8), 5.6


def small_clip(tmp_path):
    library = platform(tmp_path)
    nets = {f"n{row}": f"( u{row}_0 Z ) ( u{row}_1 A ) ( u{(row + 1) % 4}_2 A )" for row in range(4)}
    nets |= {f"far{row}": f"( u{row}_2 Z ) ( u{(row + 2) % 4}_3 A )" for row in range(4)}
    design = layout.read_design(placed(tmp_path / "small.def", nets=nets), platform=library)
    return clip_placement(design, nets_of(design.path), MIDDLE_UM, SIDE_UM), library


def joined_by_wires(clip, routed, pin_boxes) -> dict[str, bool]:
    """Whether the wires of each net, as they stand in the list, hang together and reach all of its pins.

    Written from what a wire is, without KLayout: ends on one point of one layer are joined, a via joins two layers.
    """
    above = {"metal1": "metal2", "metal2": "metal3", "metal3": "metal4", "metal4": "metal5", "metal5": "metal6"}
    found = {}
    for net, wires in routed.routes.items():
        pieces = []  # sets of (layer, x, y): all database units along each wire
        for wire in wires:
            points = {(wire.layer, *wire.points[0])}
            for (x0, y0), (x1, y1) in pairwise(wire.points):
                assert x0 == x1 or y0 == y1
                step = 10
                points |= {(wire.layer, x, y0) for x in range(min(x0, x1), max(x0, x1) + 1, step) if y0 == y1}
                points |= {(wire.layer, x0, y) for y in range(min(y0, y1), max(y0, y1) + 1, step) if x0 == x1}
                points |= {(wire.layer, x1, y1)}
            if wire.via:
                n = int(wire.via[3])
                low = f"metal{n}"
                points |= {(low, *wire.points[-1]), (above[low], *wire.points[-1])}
            pieces.append(points)
        for component, pin in clip.nets[net]:
            x0, y0, x1, y1 = pin_boxes[component, pin]
            inside = {
                p for piece in pieces for p in piece if p[0] == "metal1" and x0 <= p[1] <= x1 and y0 <= p[2] <= y1
            }
            pieces.append({(component, pin), *inside})
        reached = pieces.pop()
        while any(piece & reached for piece in pieces):
            met = next(piece for piece in pieces if piece & reached)
            pieces.remove(met)
            reached |= met
        found[net] = not pieces
    return found


@needs_qrouter
def test_every_net_is_joined_and_the_same_again(tmp_path):
    clip, library = small_clip(tmp_path)
    assert len(clip.components) == 20 and len(clip.nets) == 8
    routed = qrouter.route(clip, "small_routed", library)
    assert set(routed.routes) == set(clip.nets)
    boxes = {}
    for name, at in clip.components.items():
        for pin, (_, use, (x0, y0, x1, y1)) in PINS.items():
            if use == "SIGNAL":
                # The pins lie in the middle of the cell's height: mirrored in y they stay where they are.
                sides = [at.x_nm + 1000 * x0, at.y_nm + 1000 * y0, at.x_nm + 1000 * x1, at.y_nm + 1000 * y1]
                boxes[name, pin] = [2 * side for side in sides]
    assert all(joined_by_wires(clip, routed, boxes).values())
    assert qrouter.route(clip, "small_routed", library).text == routed.text
    path = tmp_path / "routed.def"
    path.write_text(routed.text)
    design = layout.read_design(path, platform=library)
    wires = [wire for of_net in routed.routes.values() for wire in of_net]
    assert design.count("via1") == sum(wire.via.startswith("via1") for wire in wires) > 10


@needs_qrouter
@pytest.mark.realdata
def test_a_clip_of_a_real_placement_is_joined_and_the_same_again(real_data, tmp_path, name="aes_cts_placed"):
    from maskopt_lib.layout.connectivity import connections

    for file in layout.design_inputs(layout.design_info(name).file, PLATFORMS["nangate45"]):
        real_data(file)
    placed_design = layout.open_design(name)
    clip = clip_placement(placed_design, nets_of(placed_design.path), (160, 163), 20)
    routed = qrouter.route(clip, "clip", PLATFORMS["nangate45"])
    assert set(routed.routes) == set(clip.nets) and len(clip.nets) > 20
    assert qrouter.route(clip, "clip", PLATFORMS["nangate45"]).text == routed.text
    (tmp_path / "clip.def").write_text(routed.text)
    design = layout.read_design(tmp_path / "clip.def", platform="nangate45")
    metals = ("metal1", "via1", "metal2", "via2", "metal3", (16, 0), (17, 0), (18, 0), (19, 0), (20, 0), (21, 0))
    joined = connections(design, clip.nets, metals)
    assert joined.open_nets == () and joined.shorted == ()


def test_without_the_program_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"the program qrouter is not here; .*apt install qrouter"):
        qrouter.qrouter_version()
    with pytest.raises(MissingDataError, match="apt install qrouter"):
        qrouter.route(*small_clip(tmp_path)[:1], "small_routed", platform(tmp_path))


#: What a program of that name may do when it is asked to route: fail, leave no file, half of one, or no wires.
FAULTS = {
    "exit 3": "qrouter ended with 3; it said last",
    "true": "qrouter wrote no wires; it said last",
    "head -c 300 placed.def > routed.def": "ends before END DESIGN; was the disk full",
    "cp placed.def routed.def": "qrouter routed none of 8 nets",
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="a stand-in for the program is a script of bash")
@pytest.mark.parametrize("fault", FAULTS)
def test_a_router_that_fails_is_no_result(tmp_path, monkeypatch, fault):
    program = tmp_path / "bin" / "qrouter"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/bash\necho "Qrouter detail maze router version 0.0"\nif [ -f placed.def ]; then {fault}; fi\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    assert qrouter.qrouter_version() == "0.0"
    clip, library = small_clip(tmp_path)
    with pytest.raises(LayoutError, match=FAULTS[fault]):
        qrouter.route(clip, "small_routed", library)
