"""Pins that metal joins: open and touching nets are found in the drawing."""

from __future__ import annotations

import pytest
from klayout import db
from small_library import placed, platform

from maskopt_lib import layout
from maskopt_lib.layout.connectivity import connections
from maskopt_lib.layout.placement_clip import nets_of

STACK = ("metal1", "via1", "metal2", "via2", "metal3")
#: From Z of a cell to A of its right neighbour, up to metal 3 and down again.
OVER = """+ ROUTED metal1 ( {z} {y} ) via1_tall NEW metal2 ( {z} {y} ) via2_flat
  NEW metal3 ( {z} {y} ) ( {a} {y} ) via2_flat
  NEW metal1 ( {a} {y} ) via1_tall"""


def wires(row, column):
    # The middle of a pin is that of its cell, in rows that stand on their heads as well.
    x, y = column * 2280, row * 2800 + 1400
    return OVER.format(z=x + 1330, a=x + 2470, y=y)


def found(tmp_path, **nets):
    path = placed(tmp_path / "small.def", nets=nets)
    design = layout.read_design(path, platform=platform(tmp_path))
    return connections(design, nets_of(path), STACK)


A, B = "( u0_0 Z ) ( u0_1 A )", "( u1_1 Z ) ( u1_2 A )"


def test_nets_that_are_joined_and_apart_are_neither(tmp_path):
    both = found(tmp_path, a=f"{A} {wires(0, 0)}", b=f"{B} {wires(1, 1)}")
    assert both.open_nets == () and both.shorted == ()


@pytest.mark.parametrize("lacking", ["NEW metal3 ( 1330 1400 ) ( 2470 1400 )", "( 2470 1400 ) via1_tall"])
def test_a_net_that_is_not_joined_is_open(tmp_path, lacking):
    drawn = wires(0, 0).replace(lacking, "NEW metal3 ( 1330 1400 )" if "metal3" in lacking else "( 2470 1400 )")
    assert found(tmp_path, a=f"{A} {drawn}", b=f"{B} {wires(1, 1)}").open_nets == ("a",)
    assert found(tmp_path, a=A).open_nets == ("a",)


def test_nets_that_touch_one_another_power_or_a_strange_pin_are_shorted(tmp_path):
    ab = found(
        tmp_path, a=f"{A} {wires(0, 0)} NEW metal2 ( 1330 1400 ) ( * 4200 )", b=f"( u1_0 Z ) ( u1_1 A ) {wires(1, 0)}"
    )
    assert ab.shorted == ("a", "b") and ab.open_nets == ()
    assert found(tmp_path, a=f"{A} {wires(0, 0)} NEW metal1 ( 1330 1400 ) ( * 2800 )").shorted == ("a",)
    strange = found(
        tmp_path,
        a=f"{A} {wires(0, 0)} NEW metal3 ( 2470 1400 ) ( 3610 * ) via2_flat NEW metal1 ( 3610 1400 ) via1_tall",
    )
    assert strange.shorted == ("a",)


@pytest.mark.parametrize("left_um, open_nets", [(1.2, ()), (1.25, ("a",))])
def test_a_cut_joins_what_covers_its_middle(tmp_path, left_um, open_nets):
    drawn = wires(0, 0).replace("( 2470 1400 ) via1_tall", "( 2470 1400 )")
    path = placed(tmp_path / "small.def", nets={"a": f"{A} {drawn}"})
    design = layout.read_design(path, platform=platform(tmp_path))
    # Pin A of u0_1 and metal 2 above it end at 1.27 um.
    design.top.shapes(design.layout.layer(12, 0)).insert(db.DBox(left_um, 0.665, left_um + 0.07, 0.735))
    assert connections(design, nets_of(path), STACK).open_nets == open_nets


@pytest.mark.parametrize("in_two, open_nets", [(False, ("a",)), (True, ())])
def test_a_pin_in_two_pieces_joins_what_is_at_each(tmp_path, in_two, open_nets):
    library = platform(tmp_path)
    cells = tmp_path / "cells.lef"
    piece = "RECT 0.63 0.56 0.7 0.84 ;"
    cells.write_text(cells.read_text().replace(piece, f"{piece} RECT 0.35 0.56 0.42 0.84 ;" if in_two else piece))
    # The left piece of Z reaches one A, the right piece the other.
    drawn = f"{OVER.format(z=770, a=2470, y=1400)} {OVER.format(z=1330, a=4750, y=1600).replace('+ ROUTED', 'NEW')}"
    path = placed(tmp_path / "small.def", nets={"a": f"( u0_1 A ) ( u0_0 Z ) ( u0_2 A ) {drawn}"})
    both = connections(layout.read_design(path, platform=library), nets_of(path), STACK)
    assert both.open_nets == open_nets and both.shorted == ()
