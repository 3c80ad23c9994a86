"""Pins that metal joins: open and touching nets are found in the drawing."""

from __future__ import annotations

import pytest
from small_library import placed, platform

from maskopt_lib import layout
from maskopt_lib.layout.connectivity import _joined, connections
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


def test_a_chain_of_pins_is_followed_to_its_end():
    assert _joined([{1}, {3, 4}, {2, 3}, {1, 2}, {4}]) and not _joined([{1}, {3, 4}, {1, 2}])
    assert not _joined([{1}, set()])
