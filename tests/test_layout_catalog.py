"""The catalog of designs: what it says of each is what the files hold."""

from __future__ import annotations

import re

import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError

SMALL = [name for name in layout.design_names("nangate45") if "routed" in name]
LEGAL = [name for name in layout.design_names("nangate45") if layout.design_info(name).state != "legalised by us"]
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


@pytest.mark.realdata
@pytest.mark.parametrize("name", SMALL)
def test_small_designs_hold_what_the_catalog_says(real_data, name):
    info = layout.design_info(name)
    real_data(info.file)
    design = layout.open_design(name)
    facts = dict(info.facts)
    assert design.info == info and design.name == name
    np.testing.assert_allclose(design.die_nm[:2], 0)
    for key, value in counted(design).items():
        assert value == facts[key], key


@pytest.mark.realdata
@pytest.mark.parametrize("name", LEGAL)
def test_nets_are_those_of_the_file(real_data, name):
    info = layout.design_info(name)
    text = real_data(info.file).read_text()
    nets = text[text.index("\nNETS") : text.index("END NETS")]
    routed = sum("ROUTED" in net for net in re.split(r"\n\s*- ", nets)[1:])
    assert (int(re.search(r"NETS (\d+)", nets)[1]), routed) == (info.facts["nets"], info.facts["nets_routed"])
