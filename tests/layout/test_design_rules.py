"""Design rules: every rule fires on the fault that it is for, at its place and with its value, and on nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from klayout import db

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout.demo_block import PLATFORM
from maskopt_lib.layout.design_rules import DesignRule, check_design_rules, read_deck, rule_decks


def drawn(**boxes) -> layout.Design:
    """A layout of boxes in nm."""
    source = db.Layout()
    source.dbu = 0.0001
    top = source.create_cell("TOP")
    for layer, many in boxes.items():
        index = source.layer(*layout.layer_names()[layer])
        for box in many:
            top.shapes(index).insert(db.Box(*(round(10 * v) for v in box)))
    return layout.Design(name="drawn", path=Path("drawn"), platform=PLATFORM, layout=source)


# A transistor with its contacts, a via on it, and wires around: nothing of it is against a rule.
GOOD = {
    "active": [(0, 0, 290, 300)],
    "poly": [(120, -60, 170, 500), (105, 425, 185, 505)],
    "contact": [(15, 100, 80, 165), (215, 100, 280, 165), (110, 430, 175, 495)],
    "metal1": [(15, 60, 85, 300), (215, 60, 285, 300), (110, 390, 180, 600)],
    "via1": [(15, 100, 85, 170)],
    "metal2": [(15, 60, 85, 300), (155, 60, 225, 300)],
}

# Rule -> what is drawn beside it, what takes its place, the value that is found, and where.
FAULTS = {
    "active width": ({"active": [(1000, 0, 1085, 300)]}, 85, (1042.5, 150)),
    "active space": ({"active": [(365, 0, 660, 300)]}, 75, (327.5, 150)),
    "poly width": ({"poly": [(1000, 0, 1045, 300)]}, 45, (1022.5, 150)),
    "poly space": ({"poly": [(1000, 0, 1050, 300), (1115, 0, 1165, 300)]}, 65, (1082.5, 150)),
    "poly to active": ({"poly": [(330, 0, 390, 300)]}, 40, (310, 150)),
    "contact space": (
        {
            "contact": [(1000, 0, 1065, 65), (1135, 0, 1200, 65)],
            "poly": [(990, -10, 1210, 75)],
            "metal1": [(900, -5, 1300, 70)],
        },
        70,
        (1100, 32.5),
    ),
    "contact in active or poly": (
        {"contact": [(1000, 0, 1065, 65)], "metal1": [(900, -5, 1165, 70)]},
        -1,
        (1032.5, 32.5),
    ),
    "contact ends in metal1": (
        {"contact": [(1000, 0, 1065, 65)], "poly": [(990, -10, 1075, 75)], "metal1": [(970, -5, 1300, 70)]},
        30,
        (1032.5, 32.5),
    ),
    "metal1 width": ({"metal1": [(1000, 0, 1065, 300)]}, 65, (1032.5, 150)),
    "metal1 space": ({"metal1": [(1000, 0, 1070, 300), (1130, 0, 1200, 300)]}, 60, (1100, 150)),
    "metal1 area": ({"metal1": [(1000, 0, 1070, 100)]}, 7000, (1035, 50)),
    "via1 size": (
        {"via1": [(1000, 0, 1070, 75)], "metal1": [(900, -5, 1165, 80)], "metal2": [(900, -5, 1165, 80)]},
        75,
        (1035, 37.5),
    ),
    "via1 ends in metal1": (
        {"via1": [(1000, 0, 1070, 70)], "metal1": [(1000, -30, 1070, 170)], "metal2": [(900, 0, 1165, 70)]},
        30,
        (1035, 35),
    ),
    "via1 ends in metal2": ({"via1": [(1000, 0, 1070, 70)], "metal1": [(900, 0, 1165, 70)]}, -1, (1035, 35)),
    "metal2 width": ({"metal2": [(1000, 0, 1065, 300)]}, 65, (1032.5, 150)),
    "metal2 space": ({"metal2": [(1000, 0, 1070, 300), (1135, 0, 1205, 300)]}, 65, (1102.5, 150)),
    "metal2 area": ({"metal2": [(1000, 0, 1070, 100)]}, 7000, (1035, 50)),
    "grid": ({"metal1": [(1001, 0, 1080, 300)]}, 1, (1001, 0)),
}


def with_fault(parts) -> layout.Design:
    return drawn(**{layer: [*GOOD[layer], *parts.get(layer, [])] for layer in GOOD})


def broken(report) -> dict[str, int]:
    return {str(rule): int(n) for rule, n in zip(report["rule"].values, report["violations"].values, strict=True) if n}


def test_what_is_legal_breaks_no_rule():
    report = check_design_rules(drawn(**GOOD))
    assert broken(report) == {} and report.sizes["violation"] == 0
    assert np.isnan(report["worst"]).all()


@pytest.mark.parametrize("rule", FAULTS)
def test_a_fault_breaks_its_rule_only_and_is_found_where_it_is(rule):
    parts, value, place = FAULTS[rule]
    report = check_design_rules(with_fault(parts))
    assert set(broken(report)) == {rule}
    first = report.isel(violation=0)
    assert first["value"].item() == report["worst"].sel(rule=rule).item() == value
    assert (first["x_nm"].item(), first["y_nm"].item()) == place
    assert first["limit"].item() == report["at_least"].sel(rule=rule).item()


@pytest.mark.parametrize(
    ("layer", "box", "rule", "value"),
    [
        ("poly", (120, -45, 170, 500), "poly beyond active", 45),  # the end of the gate
        ("poly", (120, 0, 170, 500), "poly beyond active", 0),
        ("active", (55, 0, 290, 300), "active beyond poly", 65),  # the diffusion beside it
        ("contact", (15, 100, 75, 165), "contact size", 60),
        ("via1", (15, 100, 85, 165), "via1 size", 65),
    ],
)
def test_a_fault_in_place_of_what_was_right(layer, box, rule, value):
    report = check_design_rules(drawn(**(GOOD | {layer: [box, *GOOD[layer][1:]]})))
    assert rule in broken(report) and report["worst"].sel(rule=rule).item() == value


def test_the_via_space_is_measured_across_corners():
    # 60 nm to the right and 48 nm up: 76.8 nm apart; 60 and 55: 81.4 nm
    for up, count in ((48, 2), (55, 0)):  # a corner has two edges
        vias = drawn(via1=[(0, 0, 70, 70), (130, 70 + up, 200, 140 + up)])
        rule = DesignRule(rule="via1 space", kind="space", layer="via1", limit=80)
        report = check_design_rules(vias, [rule])
        assert broken(report) == ({"via1 space": count} if count else {})
        if count:
            assert report["worst"].item() == pytest.approx(np.hypot(60, up), abs=0.1)


def test_a_notch_is_a_space_and_touching_shapes_are_one():
    rule = [DesignRule(rule="space", kind="space", layer="metal1", limit=65)]
    cup = [(0, 0, 70, 300), (120, 0, 190, 300), (0, 0, 190, 70)]
    assert broken(check_design_rules(drawn(metal1=cup), rule)) == {"space": 1}
    assert broken(check_design_rules(drawn(metal1=[(0, 0, 70, 300), (70, 100, 200, 170)]), rule)) == {}


def test_every_rule_of_the_deck_has_a_fault_here():
    replaced = {"poly beyond active", "active beyond poly", "contact size"}
    assert {rule.rule for rule in read_deck("demo45")} == set(FAULTS) | replaced | {"via1 space"}


def test_a_cell_is_checked_alone():
    design = with_fault(FAULTS["metal1 width"][0])
    inner = design.layout.create_cell("INNER")
    inner.shapes(design.layout.layer(11, 0)).insert(db.Box(0, 0, 700, 3000))
    assert broken(check_design_rules(design, cell="INNER")) == {}
    assert set(broken(check_design_rules(design, cell="TOP"))) == {"metal1 width"}


def test_decks_are_files_and_mistakes_are_named(tmp_path):
    assert "demo45" in rule_decks()
    own = tmp_path / "own.yaml"
    own.write_text("- {rule: wide, kind: width, layer: metal1, nm: 400}\n")
    assert broken(check_design_rules(drawn(**GOOD), own)) == {"wide": 6}
    with pytest.raises(UnknownNameError, match="no design rules 'demo44'; known: demo45, routed45, or a file"):
        read_deck("demo44")
    own.write_text("- {rule: wide, kind: breadth, layer: metal1, nm: 400}\n")
    with pytest.raises(UnknownNameError, match="no kind of rule 'breadth'; known: width, space"):
        read_deck(own)
    own.write_text("- {rule: wide, kind: width, layer: metal1, um: 4}\n")
    with pytest.raises(LayoutError, match="is no rule; it needs rule, kind, layer"):
        read_deck(own)
    with pytest.raises(LayoutError, match="need `other` layers"):
        DesignRule(rule="inside", kind="inside", layer="via1", limit=5)
    with pytest.raises(UnknownNameError, match="has no cell 'NO'; known: TOP"):
        check_design_rules(drawn(**GOOD), cell="NO")
    with pytest.raises(LayoutError, match="no whole number of database units"):
        check_design_rules(drawn(**GOOD), [DesignRule(rule="w", kind="width", layer="metal1", limit=70.05)])


# On the published designs: what was measured on them with KLayout


SPACES = [
    DesignRule(rule=layer, kind="space", layer=layer, limit=limit)
    for layer, limit in (("metal1", 65), ("metal2", 70), ("metal3", 70), ("via1", 80))
]


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "found"), [("gcd_dense_routed", {}), ("ram7x7_routed", {"metal1": 119})])
def test_spaces_of_routed_designs_are_as_measured(real_data, name, found):
    # The RAM's wires are rounded to 10 nm.
    real_data(f"nangate45/designs/{name}.def")
    assert broken(check_design_rules(layout.read_design(name), SPACES)) == found


@pytest.mark.realdata
@pytest.mark.slow
def test_a_routed_design_keeps_the_rules_of_the_demo(real_data):
    real_data("nangate45/designs/gcd_dense_routed.def")
    assert broken(check_design_rules(layout.read_design("gcd_dense_routed"))) == {}


@pytest.mark.parametrize("text", ["", "3", "- 1", "a: 1"])
def test_a_file_that_is_no_list_of_rules(text, tmp_path):
    (tmp_path / "deck.yaml").write_text(text)
    with pytest.raises(LayoutError, match=r"deck.yaml: it is no list of rules"):
        read_deck(tmp_path / "deck.yaml")
