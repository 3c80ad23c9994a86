"""The embedded design: cells compute what they are called, the block is legal, full and the same for each reader."""

from __future__ import annotations

import time
from collections import Counter
from itertools import product

import numpy as np
import pytest
from klayout import db

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout import demo_block
from maskopt_lib.layout.cell_drawing import ROW_NM, SITE_NM, CellSpec, draw
from maskopt_lib.layout.cell_wiring import route
from maskopt_lib.layout.demo_block import CELLS
from maskopt_lib.layout.design_rules import check_design_rules

#: Output -> function of the inputs, for cells without memory.
LOGIC = {
    "INV_X1": {"ZN": lambda A: not A},
    "INV_X2": {"ZN": lambda A: not A},
    "INV_X4": {"ZN": lambda A: not A},
    "BUF_X1": {"Z": lambda A: A},
    "BUF_X2": {"Z": lambda A: A},
    "BUF_X4": {"Z": lambda A: A},
    "NAND2_X1": {"ZN": lambda A1, A2: not (A1 and A2)},
    "NAND2_X2": {"ZN": lambda A1, A2: not (A1 and A2)},
    "NAND3_X1": {"ZN": lambda A1, A2, A3: not (A1 and A2 and A3)},
    "NAND4_X1": {"ZN": lambda A1, A2, A3, A4: not (A1 and A2 and A3 and A4)},
    "NOR2_X1": {"ZN": lambda A1, A2: not (A1 or A2)},
    "NOR3_X1": {"ZN": lambda A1, A2, A3: not (A1 or A2 or A3)},
    "NOR4_X1": {"ZN": lambda A1, A2, A3, A4: not (A1 or A2 or A3 or A4)},
    "AND2_X1": {"Z": lambda A1, A2: A1 and A2},
    "AND3_X1": {"Z": lambda A1, A2, A3: A1 and A2 and A3},
    "OR2_X1": {"Z": lambda A1, A2: A1 or A2},
    "OR3_X1": {"Z": lambda A1, A2, A3: A1 or A2 or A3},
    "AOI21_X1": {"ZN": lambda A, B1, B2: not (A or (B1 and B2))},
    "AOI22_X1": {"ZN": lambda A1, A2, B1, B2: not ((A1 and A2) or (B1 and B2))},
    "AOI211_X1": {"ZN": lambda A, B, C1, C2: not (A or B or (C1 and C2))},
    "OAI21_X1": {"ZN": lambda A, B1, B2: not (A and (B1 or B2))},
    "OAI22_X1": {"ZN": lambda A1, A2, B1, B2: not ((A1 or A2) and (B1 or B2))},
    "XOR2_X1": {"Z": lambda A, B: A != B},
    "XNOR2_X1": {"ZN": lambda A, B: A == B},
    "MUX2_X1": {"Z": lambda A, B, S: B if S else A},
    "HA_X1": {"CO": lambda A, B: A and B, "S": lambda A, B: A != B},
    "LOGIC0_X1": {"Z": lambda: False},
    "LOGIC1_X1": {"Z": lambda: True},
}


@pytest.fixture(scope="module")
def block():
    return demo_block.build()


def transistors(design, name):
    """(kind, gate, one side, other side) of each, extracted by KLayout from the drawn layers alone."""
    cell, source = design.layout.cell(name), design.layout
    netlist = db.LayoutToNetlist(db.RecursiveShapeIterator(source, cell, []))
    index = {layer: source.find_layer(*pair) for layer, pair in layout.layer_names().items()}
    active, poly, contact, metal = (
        netlist.make_layer(index[name], name) for name in ("active", "poly", "contact", "metal1")
    )
    labels = netlist.make_text_layer(index["metal1"], "labels")
    middle, box = round(ROW_NM / 2 / design.dbu_nm), cell.bbox().enlarged(10, 10)
    halves = {"n": db.Box(box.left, box.bottom, box.right, middle), "p": db.Box(box.left, middle, box.right, box.top)}
    for kind, half in halves.items():
        side = active & db.Region(half)
        gate, diffusion = side & poly, side - poly
        netlist.register(gate, f"gate {kind}")
        netlist.register(diffusion, f"diffusion {kind}")
        terminals = {"SD": diffusion, "G": gate, "P": poly}
        netlist.extract_devices(db.DeviceExtractorMOS3Transistor(kind), terminals)
        netlist.connect(diffusion)
        netlist.connect(diffusion, contact)
    for layer in (poly, contact, metal):
        netlist.connect(layer)
    for lower, upper in ((poly, contact), (contact, metal), (metal, labels)):
        netlist.connect(lower, upper)
    netlist.extract_netlist()
    return [
        (device.device_class().name, *(device.net_for_terminal(end).expanded_name() for end in "GSD"))
        for device in netlist.netlist().circuit_by_name(name).each_device()
    ]


def settled(devices, inputs, before=None):
    """State by switches: a p transistor passes 1 from VDD where its gate is 0, an n 0 from VSS.

    One net changes at a time, that of the smallest stage first: an inverter is faster than what it is the inverse for.
    """
    known = dict(before or {})
    size = Counter(net for _, _, *ends in devices for net in ends)
    for _ in range(60):
        driven = {"VDD": {True}, "VSS": {False}} | {pin: {bool(value)} for pin, value in inputs.items()}
        state = {**known, "VDD": True, "VSS": False, **inputs}
        for _ in range(8):
            for kind, gate, a, b in devices:
                if gate in state and bool(state[gate]) == (kind == "n"):
                    for near, far in ((a, b), (b, a)):
                        if far not in ("VDD", "VSS"):
                            driven.setdefault(far, set()).update(driven.get(near, set()))
        assert all(len(values) < 2 for values in driven.values()), "a short between the rails"
        new = {net: next(iter(values)) for net, values in driven.items() if values}
        changed = sorted((size[net], net) for net, value in new.items() if known.get(net) != value)
        if not changed:
            return known
        known[changed[0][1]] = new[changed[0][1]]
    raise AssertionError("the cell does not settle")


# Cells


@pytest.mark.parametrize("name", LOGIC)
def test_the_transistors_that_are_drawn_compute_what_the_cell_is_called(block, name):
    devices = transistors(block, name)
    # The gate of a tie cell hangs on a diode: it drifts to where that lets it.
    before = {net: name == "LOGIC0_X1" for device in devices for net in device[1:]} if name.startswith("LOGIC") else {}
    for output, function in LOGIC[name].items():
        names = function.__code__.co_varnames[: function.__code__.co_argcount]
        for values in product((False, True), repeat=len(names)):
            inputs = dict(zip(names, values, strict=True))
            assert settled(devices, inputs, before)[output] == bool(function(**inputs)), inputs


def test_the_latch_follows_while_its_gate_is_high_and_keeps_otherwise(block):
    devices, state = transistors(block, "DLH_X1"), None
    for gate, data, expected in ((1, 0, 0), (1, 1, 1), (0, 1, 1), (0, 0, 1), (1, 0, 0), (0, 0, 0), (0, 1, 0)):
        state = settled(devices, {"G": bool(gate), "D": bool(data)}, state)
        assert state["Q"] == bool(expected), (gate, data)


def test_the_flip_flop_takes_its_input_when_the_clock_rises(block):
    devices, state, kept = transistors(block, "DFF_X1"), None, None
    rng = np.random.default_rng(0)
    clock = False
    for step, (rises, data) in enumerate(rng.integers(2, size=(200, 2)).astype(bool).tolist()):
        # Input and clock change one after the other.
        state = settled(devices, {"CK": clock, "D": data}, state)
        kept = data if rises and not clock else kept
        clock = bool(rises)
        state = settled(devices, {"CK": clock, "D": data}, state)
        assert kept is None or state["Q"] == kept, step


def test_there_is_a_test_for_each_cell():
    assert set(LOGIC) | {"DLH_X1", "DFF_X1"} == set(CELLS) and len(CELLS) >= 16


@pytest.mark.parametrize("name", [*CELLS, "FILLCELL_X1"])
def test_each_cell_alone_keeps_the_rules(block, name):
    report = check_design_rules(block, cell=name)
    assert report["violations"].values.tolist() == [0] * report.sizes["rule"]


def test_wires_that_cannot_be_without_conflict_are_refused():
    shut = {"A": [[((3, 0),)], [((3, 8),)]], "B": [[((0, 4),)], [((7, 4),)]]}
    wires = route(9, {}, {"A": shut["A"]})
    assert wires["A"].nodes == {(3, i) for i in range(9)}
    # A must pass B somewhere, and there is no other layer.
    with pytest.raises(LayoutError, match="no wiring without conflicts; left: A, B"):
        route(9, {}, shut)
    with pytest.raises(LayoutError, match="'A1 A2' needs one net more in p and in n"):
        draw("NAND2", CellSpec(gates="A1 A2", p="VDD ZN VDD", n="VSS ZN", pins="A1 A2 ZN"))
    with pytest.raises(LayoutError, match="B cannot be pins; nets: A, ZN"):
        draw("INV", CellSpec(gates="A", p="VDD ZN", n="VSS ZN", pins="A B"))


def test_the_table_of_polygons_holds_all_of_a_cell(block):
    table = layout.cell_polygons(block, ["DFF_X1", "INV_X1"], ("metal1", "contact"))
    corners = np.stack([table["x_nm"], table["y_nm"]], axis=1)
    rings = [corners[table["polygon"].values == i] for i in range(table.sizes["polygon_number"])]
    areas = np.array([abs(layout.polygons.signed_area(ring)) for ring in rings])
    for name in ("DFF_X1", "INV_X1"):
        for layer, pair in (("metal1", (11, 0)), ("contact", (10, 0))):
            drawn = db.Region(block.layout.cell(name).begin_shapes_rec(block.layout.find_layer(*pair))).merged()
            here = (table["of"].values == name) & (table["layer"].values == layer)
            assert areas[here].sum() == pytest.approx(drawn.area() * block.dbu_nm**2)
        labels = set(table["text"].values[table["on"].values == name])
        assert labels == {*CELLS[name].pins.split(), "VDD", "VSS"}
    assert table["x1_nm"].values.tolist() == [CELLS["DFF_X1"].width_nm, CELLS["INV_X1"].width_nm]
    with pytest.raises(UnknownNameError, match="has no cell 'NAND9'"):
        layout.cell_polygons(block, ["NAND9"])


# Block


def test_the_block_keeps_the_rules(block):
    report = check_design_rules(block)
    assert report.sizes["rule"] > 15
    assert report["violations"].values.tolist() == [0] * report.sizes["rule"]


@pytest.mark.parametrize(
    "options", [{"seed": 1}, {"seed": 2, "n_sites": 110, "utilisation": 1.0}, {"n_rows": 1, "n_sites": 8}]
)
def test_other_blocks_keep_the_rules_too(options):
    report = check_design_rules(demo_block.build(**options))
    assert report["violations"].values.tolist() == [0] * report.sizes["rule"]


def test_equal_seeds_give_equal_files_and_others_do_not(block, tmp_path):
    files = {}
    for name, design in {"a": block, "b": demo_block.build(), "c": demo_block.build(seed=1)}.items():
        files[name] = design.write(tmp_path / f"{name}.oas").read_bytes()
    assert files["a"] == files["b"] != files["c"]


def test_a_block_that_was_written_reads_the_same(block, tmp_path):
    again = layout.read_design(block.write(tmp_path / "demo.oas"))
    assert again.instances().identical(block.instances().assign_attrs(design="demo"))
    box = (2048, 2048, 3072, 3072)
    for layer in ("metal1", "contact", "via1"):
        np.testing.assert_array_equal(again.rasterize(layer, box), block.rasterize(layer, box))
    clip = layout.read_clip(tmp_path / "demo.oas", "metal1", region_nm=box, placement=(-2048, -2048))
    np.testing.assert_array_equal(clip.rasterize(1)[:1024, :1024], block.rasterize("metal1", box))


def test_rows_are_full_and_alternate(block):
    table = block.instances()
    x0, y0, x1, y1 = (table[side].values for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm"))
    assert set(y1 - y0) == {ROW_NM} and set(x0 % SITE_NM) == {0}
    for row in np.unique(y0):
        here = y0 == row
        order = np.argsort(x0[here])
        np.testing.assert_array_equal(x0[here][order][1:], x1[here][order][:-1])
        allowed = {"N", "FN"} if (row // ROW_NM) % 2 == 0 else {"FS", "S"}
        assert set(table["orientation"].values[here]) <= allowed
    assert len(set(table["instance"].values)) == table.sizes["instance"]


def test_the_default_block_has_what_the_quick_study_needs(block):
    table = block.instances()
    logic = table["is_logic"].values
    width = (table["x1_nm"] - table["x0_nm"]).values
    assert set(table["cell"].values[logic]) == set(CELLS)
    assert set(table["orientation"].values) == {"N", "S", "FN", "FS"}
    assert 60 <= logic.sum() <= 120 and 0.70 <= width[logic].sum() / width.sum() <= 0.85


@pytest.mark.parametrize("turn", ["N", "FN", "FS", "S"])
def test_a_placed_cell_is_the_cell_turned(block, turn):
    table = block.instances()
    found = np.flatnonzero((table["orientation"].values == turn) & table["is_logic"].values)
    assert len(found)
    for i in found[:5]:
        box = [float(table[side].values[i]) for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")]
        cell = block.layout.cell(str(table["cell"].values[i]))
        metal = db.Region(cell.begin_shapes_rec(block.layout.find_layer(11, 0)))
        metal &= db.Region(cell.bbox(block.layout.find_layer(235, 0)))
        alone = [np.array([(p.x, p.y) for p in part.each_point_hull()]) / 10 for part in metal.each()]
        image = layout.raster.painted(alone, max(ROW_NM, int(box[2] - box[0])), 1.0)[:ROW_NM, : int(box[2] - box[0])]
        image = image[:, ::-1] if turn in ("FN", "S") else image
        image = image[::-1] if turn in ("FS", "S") else image
        np.testing.assert_array_equal(block.rasterize("metal1", box), image)


def test_pins_have_vias_on_the_tracks_of_metal_2(block):
    table = block.instances().isel(instance=block.instances()["is_logic"].values)
    pins = sum(len(CELLS[str(cell)].pins.split()) for cell in table["cell"].values)
    vias = np.array([points.mean(axis=0) for points in block.polygons("via1")])
    assert 0.98 * pins <= len(vias) <= 1.3 * pins
    assert set(vias[:, 0] % SITE_NM) == {SITE_NM / 2}


def test_other_sizes_can_be_had_and_mistakes_are_named():
    table = demo_block.build(seed=3, n_rows=3, n_sites=40, utilisation=0.95).instances()
    width = (table["x1_nm"] - table["x0_nm"]).values
    assert table.attrs["die_nm"] == [0, 0, 40 * SITE_NM, 3 * ROW_NM]
    assert width[table["is_logic"].values].sum() / width.sum() > 0.85
    with pytest.raises(LayoutError, match="share of the sites"):
        demo_block.build(utilisation=1.2)
    with pytest.raises(LayoutError, match="hold no cells"):
        demo_block.build(n_sites=4)


def test_the_block_is_built_in_two_seconds():
    start = time.process_time()  # of this process: others may use the machine
    demo_block.build()
    assert time.process_time() - start < 2
