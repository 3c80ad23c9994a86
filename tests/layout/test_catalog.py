"""The catalog of designs: what it says of each is what the files hold."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.counts import design_counts, disagreements, layer_difference

SMALL = [name for name in layout.design_names("nangate45") if "routed" in name]
LAYERS = ("metal1", "contact", "via1")


def counted(design) -> dict:
    """What the catalog's facts say, counted here; windows by a query of each square."""
    table = design.instances()
    x0, y0, x1, y1 = design.die_nm
    found = {
        "instances": table.sizes["instance"],
        "cells": len(set(table["cell"].values.tolist())),
        "logic_cells": int(table["is_logic"].sum()),
        "die_um": [(x1 - x0) / 1000, (y1 - y0) / 1000],
    }
    here = {name for name in design.layers.values() if name}
    logic = table.isel(instance=table["is_logic"].values)
    middle_x = ((logic["x0_nm"] + logic["x1_nm"]) / 2).values
    middle_y = ((logic["y0_nm"] + logic["y1_nm"]) / 2).values
    windows = {}
    for layer in LAYERS:
        found[layer] = len(design.polygons(layer)) if layer in here else 0
        windows[layer] = sum(
            bool(design.polygons(layer, (x - 256, y - 256, x + 256, y + 256)))
            for x, y in zip(middle_x, middle_y, strict=True)
            if layer in here
        )
    return {**found, "windows": windows}


def test_seven_families_hold_metal_and_contacts_and_three_hold_via1():
    families = {
        layer: {layout.design_info(n).family for n in layout.design_names("nangate45", layer)} for layer in LAYERS
    }
    assert families["metal1"] == families["contact"] and len(families["metal1"]) == 7
    assert families["via1"] == {"gcd", "alu", "ram"}


def test_what_states_no_licence_is_not_passed_on():
    kept = {name for name in layout.design_names() if not layout.design_info(name).redistribution}
    assert kept == {"gcd_orfs_routed", "alu_routed", "deflection_t_switch_routed"}
    for name in kept:
        assert manifest.info(layout.design_info(name).file).redistribution.startswith("not granted")


def test_unknown_names_are_answered_with_the_known():
    with pytest.raises(UnknownNameError, match="no design and no folder 'gcd'; known: demo_block, gcd_odb_routed"):
        layout.open_design("gcd")
    with pytest.raises(UnknownNameError, match="no design has platform 'sky130'; known: demo, nangate45, asap7"):
        layout.design_names("sky130")
    with pytest.raises(UnknownNameError, match="no design has layer 'poly'"):
        layout.design_names(layer="poly")


def test_counts_that_differ_are_told():
    info = layout.design_info("alu_routed")
    counts = design_counts(layout.open_design("demo_block"), ["metal1", "via1"])
    apart = disagreements(counts, info)
    assert apart["instances"] == (float(counts["instances"]), 963) and {"metal1", "windows of via1"} <= set(apart)
    assert "contact" not in apart and disagreements(counts, layout.design_info("demo_block")) == {}


def test_counts_are_those_of_a_slow_count():
    design = layout.open_design("demo_block")
    counts = design_counts(design)
    slow = counted(design)
    assert counts["layer"].values.tolist() == list(LAYERS) and np.isnan(counts["nets"])
    assert counts["polygons"].values.tolist() == [slow[layer] for layer in LAYERS]
    assert counts["windows"].values.tolist() == [slow["windows"][layer] for layer in LAYERS]
    assert [float(counts[name]) for name in ("instances", "cells", "logic_cells")] == [
        slow[name] for name in ("instances", "cells", "logic_cells")
    ]


def test_the_difference_of_two_layouts_is_their_exclusive_or(tmp_path):
    designs = []
    for name, width, unit in (("a", 0.4, 1e-9), ("b", 0.5, 1e-10)):
        library = gdstk.Library(unit=1e-6, precision=unit)
        library.new_cell("TOP").add(gdstk.rectangle((0, 0), (width, 0.2), layer=11))
        library.write_gds(tmp_path / f"{name}.gds")
        designs.append(layout.read_design(tmp_path / f"{name}.gds"))
    apart = layer_difference(*designs, ["metal1", (12, 0)])
    assert apart["apart_nm2"].values.tolist() == [20000, 0] and apart["pieces"].values.tolist() == [1, 0]
    assert apart["area_nm2"].values.tolist() == [80000, 0]


@pytest.mark.realdata
@pytest.mark.parametrize("name", SMALL)
def test_small_designs_hold_what_the_catalog_says(real_data, name):
    info = layout.design_info(name)
    real_data(info.file)
    design = layout.open_design(name)
    assert design.info == info and design.name == name
    assert disagreements(design_counts(design), info) == {}
    assert set(info.facts) == {"instances", "cells", "logic_cells", "die_um", "nets", "nets_routed", *LAYERS,
                               "via1_signal", "windows"}  # fmt: skip


@pytest.mark.slow
@pytest.mark.realdata
@pytest.mark.parametrize("name", [name for name in layout.design_names("nangate45") if name not in SMALL])
def test_large_designs_hold_what_the_catalog_says(real_data, name):
    info = layout.design_info(name)
    real_data(info.file)
    assert disagreements(design_counts(layout.read_design(info.file), LAYERS), info) == {}


@pytest.mark.realdata
def test_the_slow_count_agrees_on_a_real_design(real_data, name="ram7x7_routed"):
    info = layout.design_info(name)
    real_data(info.file)
    for key, value in counted(layout.open_design(name)).items():
        assert value == info.facts[key], key


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["gcd_orfs_routed", "alu_routed"])
def test_merges_equal_the_layouts_published_beside_them(real_data, name):
    published = layout.read_design(real_data(f"nangate45/designs/{name}.gds"), platform="nangate45")
    layers = [(1, 0), (9, 0), *((number, 0) for number in range(10, 18))]
    apart = layer_difference(layout.open_design(name), published, layers)
    assert not apart["apart_nm2"].any() and int((apart["area_nm2"] > 0).sum()) > 6
