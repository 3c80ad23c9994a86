"""Designs: DEF and cells merge to what the flow itself merged, cells lie where the DEF puts them, regions are exact."""

from __future__ import annotations

import itertools
import re

import gdstk
import numpy as np
import pytest
from klayout import db

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, MissingDataError, UnknownNameError

# Counted by an independent merge: logic cells, instances, merged metal1 (M1) polygons.
COUNTS = {
    "gcd_dense_routed": (426, 734, 1781),
    "gcd_orfs_routed": (609, 940, 2310),
    "deflection_t_switch_routed": (843, 1752, 5263),
}
_PLACED = re.compile(r"^\s*- (\S+) (\S+) .*?(?:PLACED|FIXED) \( (-?\d+) (-?\d+) \) (\w+)", re.MULTILINE)


@pytest.fixture
def gcd(real_data):
    real_data("nangate45/designs/gcd_dense_routed.def")
    real_data("nangate45/NangateOpenCellLibrary.gds")
    return layout.read_design("gcd_dense_routed")


def hierarchy(path):
    """Two rows of an L-shaped cell with an outline, one of them turned over, and a wire above."""
    library = gdstk.Library(unit=1e-6, precision=1e-10)
    cell, top = library.new_cell("LCELL"), library.new_cell("TOP")
    cell.add(gdstk.rectangle((0, 0), (0.4, 0.3), layer=235))
    cell.add(
        gdstk.Polygon([(0.05, 0.05), (0.35, 0.05), (0.35, 0.12), (0.12, 0.12), (0.12, 0.25), (0.05, 0.25)], layer=11)
    )
    top.add(gdstk.Reference(cell, (0, 0)), gdstk.Reference(cell, (0.4, 0.6), x_reflection=True))
    top.add(gdstk.rectangle((0.3, 0.05), (1.0, 0.12), layer=11))
    library.write_oas(path)
    return path


# On layouts drawn here


def test_cells_and_wires_are_one_polygon_where_they_touch(tmp_path):
    design = layout.read_design(hierarchy(tmp_path / "two.oas"))
    lower, upper = sorted(design.polygons("metal1"), key=lambda points: points[:, 1].min())
    assert lower.min(axis=0).tolist() == [50, 50] and lower.max(axis=0).tolist() == [1000, 250]
    assert upper.min(axis=0).tolist() == [450, 350] and upper.max(axis=0).tolist() == [750, 550]


def test_instances_have_outline_and_orientation(tmp_path):
    table = layout.read_design(hierarchy(tmp_path / "two.oas")).instances()
    assert table["cell"].values.tolist() == ["LCELL"] * 2 and table["orientation"].values.tolist() == ["N", "FS"]
    boxes = np.stack([table[side] for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")], axis=1)
    np.testing.assert_array_equal(boxes, [[0, 0, 400, 300], [400, 300, 800, 600]])
    assert table["is_logic"].all() and table["x0_nm"].attrs["units"] == "nm"


@pytest.mark.parametrize("region", [(0, 0, 512, 512), (100, 60, 420, 610), (-50, -30, 70, 90)])
def test_a_region_is_that_part_of_the_whole(tmp_path, region):
    design = layout.read_design(hierarchy(tmp_path / "two.oas"))
    whole = design.rasterize("metal1", (-100, -100, 1100, 700))
    x0, y0, x1, y1 = region
    np.testing.assert_array_equal(design.rasterize("metal1", region), whole[y0 + 100 : y1 + 100, x0 + 100 : x1 + 100])


@pytest.mark.parametrize("suffix", [".oas", ".gds"])
def test_a_design_that_was_written_reads_the_same_in_all_readers(tmp_path, suffix):
    design = layout.read_design(hierarchy(tmp_path / "two.oas"))
    path = design.write(tmp_path / f"again{suffix}")
    again = layout.read_design(path)
    assert again.instances().identical(design.instances().assign_attrs(design="again"))
    clip = layout.read_clip(path, "metal1", window_nm=1024, placement=(0, 0))
    np.testing.assert_array_equal(clip.rasterize(1), design.rasterize("metal1", (0, 0, 1024, 1024)))


def test_mistakes_are_answered_with_a_remedy(tmp_path):
    path = hierarchy(tmp_path / "two.oas")
    with pytest.raises(MissingDataError, match=r"no design of the manifest; it has .*gcd_dense_routed"):
        layout.read_design("gcd_no_such")
    with pytest.raises(UnknownNameError, match="no platform 'sky130'; known: nangate45, asap7"):
        layout.read_design(path, platform="sky130")
    with pytest.raises(LayoutError, match=r"nothing on layer 'metal2'; layers with shapes: metal1 \(11, 0\)"):
        layout.read_design(path).polygons("metal2")
    with pytest.raises(LayoutError, match="no whole number of 1 nm pixels"):
        layout.read_design(path).rasterize("metal1", (0, 0, 100.5, 100))
    (tmp_path / "own.def").write_text("VERSION 5.8 ;\n")
    with pytest.raises(LayoutError, match="platform= one of nangate45, asap7"):
        layout.read_design(tmp_path / "own.def")
    (tmp_path / "broken.oas").write_bytes(path.read_bytes()[:200])
    with pytest.raises(LayoutError, match="truncated"):
        layout.read_design(tmp_path / "broken.oas")


# On the published designs


@pytest.mark.realdata
@pytest.mark.parametrize("name", COUNTS)
def test_published_designs_hold_what_an_independent_merge_counted(real_data, name):
    asap7 = name.startswith("deflection")
    real_data(f"{'asap7' if asap7 else 'nangate45'}/designs/{name}.def")
    design = layout.read_design(name)
    table = design.instances()
    metal = "M1" if asap7 else "metal1"
    assert (int(table["is_logic"].sum()), table.sizes["instance"], len(design.polygons(metal))) == COUNTS[name]


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["nangate45/designs/gcd_orfs_routed", "asap7/designs/deflection_t_switch_routed"])
def test_the_merge_is_the_one_that_the_flow_made(real_data, name):
    ours = layout.read_design(str(real_data(f"{name}.def")), platform=name.split("/")[0])
    theirs = layout.read_design(str(real_data(f"{name}.gds")), platform=name.split("/")[0])
    layers = ("M1", "V0", "V1") if name.startswith("asap7") else ("metal1", "contact", "via1", "poly")
    for layer in layers:
        regions = []
        for design in (ours, theirs):
            rings = [np.rint(points * 20).astype(int).tolist() for points in design.polygons(layer)]
            regions.append(db.Region([db.Polygon([db.Point(*point) for point in ring]) for ring in rings]))
        assert not regions[0].is_empty() and (regions[0] ^ regions[1]).is_empty(), layer


@pytest.mark.realdata
def test_cells_lie_where_the_def_puts_them(gcd):
    text = gcd.path.read_text()
    units = int(re.search(r"UNITS DISTANCE MICRONS (\d+)", text)[1])
    placed = {
        name: (cell, int(x) * 1000 / units, int(y) * 1000 / units, turn)
        for name, cell, x, y, turn in _PLACED.findall(text)
    }
    table = gcd.instances()
    assert table.sizes["instance"] == len(placed) == 734
    found = zip(*(table[v].values.tolist() for v in ("instance", "cell", "x0_nm", "y0_nm", "orientation")), strict=True)
    assert {name: rest for name, *rest in found} == {name: list(value) for name, value in placed.items()}
    assert gcd.die_nm == (0, 0, 32740, 32740)


@pytest.mark.realdata
def test_rows_are_full_and_cells_do_not_overlap(gcd):
    table = gcd.instances()
    boxes = np.stack([table[side] for side in ("x0_nm", "y0_nm", "x1_nm", "y1_nm")], axis=1)
    assert set(boxes[:, 3] - boxes[:, 1]) == {1400.0}
    boxes = boxes[np.lexsort((boxes[:, 0], boxes[:, 1]))]
    same_row = boxes[1:, 1] == boxes[:-1, 1]
    assert (boxes[1:, 0] >= boxes[:-1, 2])[same_row].all()


@pytest.mark.realdata
def test_the_written_design_gives_other_readers_the_same_window(gcd, tmp_path):
    path = gcd.write(tmp_path / "gcd.oas")
    box = (10240, 9216, 12288, 11264)
    clip = layout.read_clip(path, "metal1", region_nm=box, placement=(-box[0], -box[1]))
    np.testing.assert_array_equal(clip.rasterize(1), gcd.rasterize("metal1", box))
    again = layout.read_design(path)
    assert again.instances()["instance"].values.tolist() == gcd.instances()["instance"].values.tolist()


def test_any_cell_of_a_file_can_be_the_design(tmp_path):
    drawing = db.Layout()
    cells = [drawing.create_cell(name) for name in ("TOP", "b", "a")]
    for pitch, (above, below) in zip((500, 50), itertools.pairwise(cells), strict=True):
        above.insert(db.CellInstArray(below.cell_index(), db.Trans(10, 0), db.Vector(pitch, 0), db.Vector(), 2, 1))
    cells[-1].shapes(drawing.layer(11, 0)).insert(db.Box(0, 0, 20, 30))
    drawing.create_cell("unused")
    drawing.write(str(tmp_path / "cells.gds"))
    for n, cell in zip((4, 2, 1), cells, strict=True):
        design = layout.read_design(tmp_path / "cells.gds", top=cell.name)
        assert design.top.name == cell.name and len(design.polygons("metal1")) == n
    for region_nm in ((0, 0, np.nan, 1), "abcd", 5, (1,), (-1e18, 0, -9e17, 100), (0, 0, np.inf, 1), (5, 5, 0, 0)):
        with pytest.raises(LayoutError, match="region_nm="):
            design.polygons("metal1", region_nm)
        with pytest.raises(LayoutError, match="region_nm="):
            design.rasterize("metal1", region_nm)
