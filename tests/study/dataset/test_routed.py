"""Clips that we had routed: designs by name, with the windows left out that show a broken rule."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from small_library import placed, platform

from maskopt_lib import layout
from maskopt_lib.data import manifest
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.layout import TileRule
from maskopt_lib.layout.platforms import PLATFORMS
from maskopt_lib.study.dataset import plan, routed
from maskopt_lib.study.dataset.routed_clips import ClipSource, clip_names, clip_source

RULE = plan.BuildRule(designs=(), layers=("via1",), tiles=TileRule(step_nm=128))
NETS = {"n0": "( u0_0 Z ) ( u0_1 A )"}
#: Feet of via 1 at (x, y), in database units of 0.5 nm.
VIAS = "+ ROUTED metal1 ( 1330 1400 ) via1_tall NEW metal1 ( {x} {y} ) via1_tall"


def own_folder(folder, x: int, y: int, **changes):
    """A design of two vias, the second at (x, y)."""
    folder.mkdir()
    library = platform(folder)
    placed(folder / "small.def", nets=NETS, wires=VIAS.format(x=x, y=y))
    fields = {
        "name": "small",
        "family": "small",
        "file": "small.def",
        "state": "routed by us",
        "layers": ["via1"],
        "licence": "CC0",
        "redistribution": True,
        "platform": {
            "layer_map": {name: list(pair) for name, pair in library.process.items()},
            "outline": [235, 0],
            "die": [236, 0],
            "lefs": ["tech.lef", "cells.lef"],
            "layouts": ["cells.gds"],
        },
        "rules": "vias.yaml",
    }
    (folder / "vias.yaml").write_text("- {rule: via1 space, kind: space, layer: via1, nm: 80}\n")
    (folder / "design.yaml").write_text(yaml.safe_dump(fields | changes))
    return folder


def planned(folder, out):
    return plan.plan_designs(plan.BuildRule(**vars(RULE) | {"designs": (str(folder),)}), out)[0]


def test_windows_around_two_vias_that_are_too_close_are_left_out(tmp_path):
    apart = planned(own_folder(tmp_path / "apart", 1330, 1720), tmp_path / "a")  # 90 nm from edge to edge
    close = planned(own_folder(tmp_path / "close", 1330, 1690), tmp_path / "b")  # 75 nm
    whole, left = apart.windows["via1"], close.windows["via1"]
    assert apart.info["windows_left_out"] == {"via1": [0, whole.sizes["tile"]]}
    assert close.info["windows_left_out"] == {"via1": [whole.sizes["tile"] - left.sizes["tile"], whole.sizes["tile"]]}
    assert close.info["rules"] == ["via1 space"] and close.info["state"] == "routed by us"
    # The gap lies between x of 630 and 700, and y of 735 and 810: in reach of core and context, 128 nm around 512 nm.
    x, y = whole["x_nm"].values, whole["y_nm"].values
    shows = (x - 128 < 700) & (x + 640 > 630) & (y - 128 < 810) & (y + 640 > 735)
    assert 0 < shows.sum() < len(shows) and left.sizes["tile"] == (~shows).sum()
    for name in plan.WINDOW:
        assert np.array_equal(left[name].values, whole[name].values[~shows])


def test_without_rules_nothing_is_left_out(tmp_path):
    folder = own_folder(tmp_path / "close", 1330, 1690)
    fields = yaml.safe_load((folder / "design.yaml").read_text())
    del fields["rules"]
    (folder / "design.yaml").write_text(yaml.safe_dump(fields))
    info = planned(folder, tmp_path / "out").info
    assert "rules" not in info and "windows_left_out" not in info
    with pytest.raises(UnknownNameError, match="no design rules 'none45'"):
        planned(own_folder(tmp_path / "none", 1330, 1690, rules="none45"), tmp_path / "none out")


def test_clips_are_of_designs_whose_family_has_no_other_vias():
    with_vias = {layout.design_info(name).family for name in layout.design_names("nangate45", "via1")}
    families = {layout.design_info(clip_source(name).of).family for name in clip_names()}
    assert families == {"aes", "ibex", "rockettile", "dynamic_node"} and not families & with_vias
    assert not set(clip_names()) & set(layout.design_names())
    assert all(len(clip_source(name).def_sha256) == 64 for name in clip_names())
    with pytest.raises(UnknownNameError, match="no routed clip 'aes_clip'; did you mean 'aes_clip_routed'"):
        clip_source("aes_clip")


def test_a_clip_that_is_not_there_says_what_makes_it(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    with pytest.raises(MissingDataError, match=r"ibex_clip_routed is not in results/routed: .*`make routed`"):
        plan.sources_of(["gcd_dense_routed", "ibex_clip_routed"])
    shutil.copytree(own_folder(tmp_path / "own", 1330, 1720), tmp_path / "results" / "routed" / "ibex_clip_routed")
    assert plan.sources_of(["ibex_clip_routed"]) == {"small": str(tmp_path / "results/routed/ibex_clip_routed")}


def test_without_the_program_make_routed_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = CliRunner().invoke(routed.main, [])
    assert done.exit_code == 1 and "apt install qrouter" in done.output and "Traceback" not in done.output
    assert [path.name for path in (tmp_path / "results" / "routed").glob("[!.]*")] == []


@pytest.mark.skipif(shutil.which("qrouter") is None, reason="qrouter is not here: apt install qrouter")
@pytest.mark.realdata
def test_a_clip_is_left_as_a_design_and_not_routed_twice(real_data, tmp_path, monkeypatch):
    for file in layout.design_inputs(layout.design_info("aes_cts_placed").file, PLATFORMS["nangate45"]):
        real_data(file)
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    small = ClipSource(name="aes_clip_routed", of="aes_cts_placed", middle_um=(160, 163), side_um=20)
    monkeypatch.setattr(routed, "clip_source", lambda name: small)
    done = CliRunner().invoke(routed.main, ["aes_clip_routed"])
    assert done.exit_code == 0 and "not the wires that the study had" in done.output
    place = plan.sources_of(["aes_clip_routed"])["aes_clip_routed"]
    design = layout.open_design(place)
    assert design.info.layers == ("via1",) and (design.info.family, design.info.state) == ("aes", "routed by us")
    assert design.info.licence == layout.design_info("aes_cts_placed").licence and design.info.redistribution
    assert manifest.info(layout.design_info("aes_cts_placed").file).licence == design.info.licence
    # A folder that was damaged is left again from what is kept, without the router.
    before = {path.name: path.read_bytes() for path in design.path.parent.iterdir()}
    design.path.write_bytes(before[design.path.name][:1000])
    monkeypatch.setattr(routed, "route", None)
    table = routed.route_clips(["aes_clip_routed"], tmp_path / "results" / "routed").squeeze("clip")
    assert {path.name: path.read_bytes() for path in design.path.parent.iterdir()} == before
    assert int(table["routed"]) == int(table["nets"]) > 20 and int(table["via1"]) == design.count("via1")
    assert f"SHA-256 of the DEF: {table['def_sha256'].item()}" in design.info.notes
