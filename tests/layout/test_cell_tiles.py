"""Tiles: windows follow their cell through all orientations, pixels are the layout's, cuts are marked exactly."""

from __future__ import annotations

import numpy as np
import pytest
from klayout import db
from scipy import ndimage

from maskopt_lib import layout
from maskopt_lib.data.turns import turned
from maskopt_lib.errors import LayoutError, UnknownNameError
from maskopt_lib.layout import cell_tiles
from maskopt_lib.layout.blocks import Block, cut_marks, read_block, rectangles

RULE = layout.TileRule()
METAL = (11, 0)
# Orientation in DEF -> KLayout's transformation, and the turn that carries the image of N to that orientation's.
ORIENTATIONS = {
    "N": (db.Trans.R0, 0),
    "W": (db.Trans.R90, 3),
    "S": (db.Trans.R180, 2),
    "E": (db.Trans.R270, 1),
    "FN": (db.Trans.M90, 4),
    "FS": (db.Trans.M0, 6),
    "FW": (db.Trans.M45, 5),
    "FE": (db.Trans.M135, 7),
}
# A cell of 900 x 1400 nm without any symmetry, in nm; the last one reaches beyond its outline.
SHAPES = [
    (40, 40, 110, 1300), (40, 700, 560, 770), (300, 100, 365, 600), (500, 900, 830, 965), (765, 200, 830, 965),
    (150, 1180, 420, 1250), (-90, 300, 40, 370), (600, 1330, 690, 1500),
]  # fmt: skip


def design(cells, placements, *, wires=(), dbu_nm=0.1) -> layout.Design:
    """Cells (name -> size and shapes in nm) placed as (name, instance, transformation, x, y) under wires of metal 1.

    A shape is a box in nm or a list of points.
    """
    out = db.Layout()
    out.dbu = dbu_nm / 1000
    top = out.create_cell("TOP")
    units = 1 / dbu_nm

    def draw(cell, shapes):
        for shape in shapes:
            points = np.rint(np.asarray(shape) * units).astype(int).tolist()
            drawn = db.Box(*points) if np.ndim(shape) == 1 else db.Polygon([db.Point(*p) for p in points])
            cell.shapes(out.layer(*METAL)).insert(drawn)

    for name, ((width, height), shapes) in cells.items():
        cell = out.create_cell(name)
        cell.shapes(out.layer(235, 0)).insert(db.Box(0, 0, round(width * units), round(height * units)))
        draw(cell, shapes)
    for name, instance, turn, x, y in placements:
        # Where the lower left corner of the turned outline is to be.
        box = db.Trans(turn) * out.cell(name).bbox(out.layer(235, 0))
        move = db.Vector(round(x * units) - box.left, round(y * units) - box.bottom)
        placed = top.insert(db.CellInstArray(out.cell(name).cell_index(), db.Trans(turn, move.x, move.y)))
        placed.set_property("name", instance)
    draw(top, wires)
    return layout.Design(name="own", path=None, platform=layout.PLATFORMS["nangate45"], layout=out)


def all_orientations(**kwargs) -> layout.Design:
    places = [("CELL", o, turn, 3000 * i, 2000 * (i % 3)) for i, (o, (turn, _)) in enumerate(ORIENTATIONS.items())]
    return design({"CELL": ((900, 1400), SHAPES)}, places, **kwargs)


def cut(a_design, layer, windows, rule=RULE) -> dict[str, np.ndarray]:
    """All tiles in the order of the windows."""
    parts = list(layout.cut_tiles(a_design, layer, windows, rule))
    index = np.concatenate([part.index for part in parts])
    np.testing.assert_array_equal(np.sort(index), np.arange(windows.sizes["tile"]))
    order = index.argsort()
    names = ("content", "turned", "signature", "canonical", "core_density", "n_shapes_cut", "min_cut_nm")
    return {name: np.concatenate([getattr(part, name) for part in parts])[order] for name in names}


def assert_as_rasterized(a_design, layer, windows, tiles, rule=RULE):
    """Slow against fast: every tile equals the raster of that window of the layout alone."""
    for i, packed in enumerate(tiles["content"]):
        x0, y0 = (float(windows[name][i]) - rule.context_nm for name in ("x_nm", "y_nm"))
        side = rule.core_nm + 2 * rule.context_nm
        slow = a_design.rasterize(layer, (x0, y0, x0 + side, y0 + side), rule.pixel_nm)
        np.testing.assert_array_equal(np.unpackbits(packed, axis=1, bitorder="little"), slow, err_msg=str(i))
        core = slice(round(rule.context_nm / rule.pixel_nm), round((rule.context_nm + rule.core_nm) / rule.pixel_nm))
        assert tiles["core_density"][i] == pytest.approx(slow[core, core].mean(), abs=1e-7)


# Windows


def test_the_same_window_is_the_same_part_of_the_cell_in_all_eight_orientations():
    own = all_orientations()
    windows = layout.tile_windows(own, RULE)
    tiles = cut(own, "metal1", windows)
    for context in RULE.contexts_nm:
        images = layout.content_image(tiles["content"], RULE, context)
        seen = {}
        for i, image in enumerate(images):
            name = str(windows["instance"].values[i])
            seen[name, int(windows["row"][i]), int(windows["column"][i])] = image
        assert len(seen) == 8 * 6 == windows.sizes["tile"]
        for (name, row, column), image in seen.items():
            np.testing.assert_array_equal(image, turned(seen["N", row, column], ORIENTATIONS[name][1]))
        # The test could not fail with a symmetric cell.
        upright = np.stack([seen["N", row, column] for row in range(3) for column in range(2)])
        assert all((upright != turned(upright, turn)).any() for turn in range(1, 8))
    assert (windows["instance"].values == windows["orientation"].values).all()


def test_orientations_share_the_canonical_signature_and_cuts_of_a_window():
    own = all_orientations()
    windows = layout.tile_windows(own, RULE)
    tiles = cut(own, "metal1", windows)
    by_window = windows["row"].values * 2 + windows["column"].values
    for window in range(6):
        chosen = by_window == window
        assert len(np.unique(tiles["canonical"][chosen], axis=0)) == 1
        assert len(np.unique(tiles["signature"][chosen], axis=0)) == 8
        for name in ("n_shapes_cut", "min_cut_nm", "core_density"):
            np.testing.assert_array_equal(tiles[name][chosen], tiles[name][chosen][[0] * 8])


def test_windows_are_where_the_cells_transformation_puts_them():
    own = all_orientations()
    windows = layout.tile_windows(own, RULE)
    places = {inst.property("name"): inst.trans for inst in own.top.each_inst()}
    for i in range(windows.sizes["tile"]):
        row, column = int(windows["row"][i]), int(windows["column"][i])
        box = db.Box(5120 * column, 5120 * row, 5120 * (column + 1), 5120 * (row + 1))
        moved = places[str(windows["instance"].values[i])] * box
        assert (moved.left / 10, moved.bottom / 10) == (float(windows["x_nm"][i]), float(windows["y_nm"][i]))


@pytest.mark.parametrize(
    ("size", "step", "expected"),
    [
        ((900, 1400), 512, (3, 2)),
        ((1024, 512), 512, (1, 2)),
        ((1024.1, 512), 512, (1, 3)),
        ((380, 1400), 512, (3, 1)),
        ((900, 1400), 256, (5, 3)),
    ],
)
def test_windows_cover_the_outline_and_no_more_of_them_than_needed(size, step, expected):
    rule = layout.TileRule(step_nm=step)
    own = design({"CELL": (size, SHAPES)}, [("CELL", "one", db.Trans.R0, 100, 200)])
    windows = layout.tile_windows(own, rule)
    assert (int(windows["n_rows"][0]), int(windows["n_columns"][0])) == expected
    assert windows.sizes["tile"] == np.prod(expected)
    assert float(windows["x_nm"].max()) + 512 >= 100 + size[0] > float(windows["x_nm"].max()) + 512 - step
    assert float(windows["y_nm"].max()) + 512 >= 200 + size[1] > float(windows["y_nm"].max()) + 512 - step
    assert float(windows["x_nm"].min()) == 100 and float(windows["y_nm"].min()) == 200


def test_cells_are_chosen_by_name_or_pattern_logic_ones_by_default():
    cells = {name: ((400, 512), []) for name in ("INV_X1", "INV_X2", "DFF_X1", "FILLCELL_X1")}
    own = design(cells, [(name, f"u{i}", db.Trans.R0, 512 * i, 0) for i, name in enumerate(cells)])
    names = lambda asked: layout.tile_windows(own, RULE, asked)["cell"].values.tolist()  # noqa: E731
    assert names(None) == ["INV_X1", "INV_X2", "DFF_X1"]
    assert names(["INV*"]) == ["INV_X1", "INV_X2"] and names(["FILLCELL_X1"]) == ["FILLCELL_X1"]
    with pytest.raises(UnknownNameError, match=r"places no cell 'NAND\*'; it has DFF_X1, FILLCELL_X1, INV_X1, INV_X2"):
        names(["NAND*"])


def test_a_placement_between_pixels_moves_its_windows_to_the_nearest_pixel_and_says_so():
    own = design({"CELL": ((900, 1400), SHAPES)}, [("CELL", "u", db.Trans.R0, 100.4, 33.5)])
    windows = layout.tile_windows(own, RULE)
    assert windows.attrs["n_snapped"] == 6 == windows.sizes["tile"]
    assert (float(windows["x_nm"][0]), float(windows["y_nm"][0])) == (100, 34)
    assert_as_rasterized(own, "metal1", windows, cut(own, "metal1", windows))
    assert layout.tile_windows(all_orientations(), RULE).attrs["n_snapped"] == 0


# Pixels


@pytest.mark.parametrize("dbu_nm", [0.1, 0.25, 0.5, 1.0])
def test_tiles_are_the_raster_of_their_window_at_any_coordinates(dbu_nm):
    rng = np.random.default_rng(round(dbu_nm * 100))
    boxes = np.round(rng.uniform(-600, 2600, (60, 2)) / dbu_nm) * dbu_nm
    sizes = np.round(rng.uniform(0.6, 400, (60, 2)) / dbu_nm) * dbu_nm
    wires = np.concatenate([boxes, boxes + sizes], axis=1).tolist()
    places = [("CELL", "a", db.Trans.R0, 0, 0), ("CELL", "b", db.Trans.M90, 903.2, -0.7)]
    own = design({"CELL": ((900, 1400), SHAPES)}, places, wires=wires, dbu_nm=dbu_nm)
    windows = layout.tile_windows(own, RULE)
    assert_as_rasterized(own, "metal1", windows, cut(own, "metal1", windows))


def test_half_a_covered_pixel_counts_and_less_does_not():
    own = design({}, [], wires=[(0, 0, 10.5, 10), (20, 0, 30.4, 10), (40.5, 0.5, 50.5, 9.5), (60, 0, 60.5, 0.9)])
    found = read_block(own, METAL, (-3, -3, 64, 14), 1).pixels()
    np.testing.assert_array_equal(found, own.rasterize("metal1", (-3, -3, 64, 14)))
    assert found[3 + 5, 3 + 10] == 1 and found[3 + 5, 3 + 30] == 0
    assert found[3 + 5, [3 + 40, 3 + 50]].tolist() == [1, 1] and found[3, 3 + 40] == 0 and found[3, 3 + 60] == 0


def test_two_halves_of_a_pixel_make_a_whole_one_and_overlaps_count_once():
    own = design({}, [], wires=[(0, 0, 0.3, 1), (0.3, 0, 0.5, 1), (2, 0, 2.3, 1), (2, 0, 2.3, 1)])
    assert read_block(own, METAL, (0, 0, 4, 2), 1).pixels().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0]]


def test_shapes_that_are_not_manhattan_are_integrated(monkeypatch):
    wires = [
        [(-100, -50), (300, 350), (900, 350), (400, -150)],
        (600, 500, 1500, 570),
        [(0, 600), (90.3, 1300), (200, 700)],
    ]
    own = design({"CELL": ((900, 1400), SHAPES)}, [("CELL", "a", db.Trans.R90, 200.3, 0)], wires=wires)
    windows = layout.tile_windows(own, RULE)
    tiles = cut(own, "metal1", windows)
    slow = own.rasterize("metal1", (-500, -500, 2500, 2500))
    places = (windows[name].values.astype(int) + 372 for name in ("x_nm", "y_nm"))
    for x, y, packed in zip(*places, tiles["content"], strict=True):
        fast = np.unpackbits(packed, axis=1, bitorder="little")
        # Clipping moves the ends of slanted edges by up to half a database unit: a pixel here and there.
        assert (fast != slow[y : y + 768, x : x + 768]).sum() < 20
    monkeypatch.setattr(cell_tiles, "_BLOCK_NM", (300.0, 300.0))
    np.testing.assert_array_equal(cut(own, "metal1", windows)["content"], tiles["content"])


@pytest.mark.parametrize(
    "rule",
    [
        layout.TileRule(core_nm=1024, image_nm=2048),
        layout.TileRule(core_nm=2048, image_nm=4096, context_nm=256, contexts_nm=(0, 256), pixel_nm=2),
        layout.TileRule(core_nm=256, image_nm=512, context_nm=64, contexts_nm=(0, 64), pixel_nm=0.5, step_nm=128),
    ],
)
def test_other_sizes_pixels_and_steps(rule):
    own = all_orientations()
    windows = layout.tile_windows(own, rule).isel(tile=slice(None, None, 5))
    tiles = cut(own, "metal1", windows, rule)
    assert_as_rasterized(own, "metal1", windows, tiles, rule)
    assert layout.content_image(tiles["content"], rule, 0).shape[1:] == (rule.image_px, rule.image_px)


def test_what_is_cut_together_does_not_change_a_tile(monkeypatch):
    own = all_orientations()
    windows = layout.tile_windows(own, RULE)
    whole = cut(own, "metal1", windows)
    some = np.random.default_rng(3).permutation(windows.sizes["tile"])[:20]
    monkeypatch.setattr(cell_tiles, "_BLOCK_NM", (700.0, 30000.0))
    for name, values in cut(own, "metal1", windows.isel(tile=some)).items():
        np.testing.assert_array_equal(values, whole[name][some])


def test_beyond_the_layout_and_beyond_the_context_there_is_nothing():
    own = design({"CELL": ((512, 512), [(0, 0, 512, 512)])}, [("CELL", "corner", db.Trans.R0, 0, 0)])
    windows = layout.tile_windows(own, RULE)
    tiles = cut(own, "metal1", windows)
    core = np.zeros((1024, 1024), np.uint8)
    core[256:768, 256:768] = 1
    np.testing.assert_array_equal(layout.content_image(tiles["content"], RULE, 128)[0], core)
    wide = design({"CELL": ((512, 512), [(-500, -500, 900, 900)])}, [("CELL", "inner", db.Trans.R0, 0, 0)])
    tiles = cut(wide, "metal1", windows)
    for context in (0, 16, 32, 64, 128):
        image = layout.content_image(tiles["content"][0], RULE, context)
        expected = np.zeros((1024, 1024), np.uint8)
        expected[256 - context : 768 + context, 256 - context : 768 + context] = 1
        np.testing.assert_array_equal(image, expected)
    assert tiles["core_density"].tolist() == [1] and tiles["n_shapes_cut"].tolist() == [[1] * 5]


def test_mistakes_are_answered_with_a_remedy():
    own = all_orientations()
    windows = layout.tile_windows(own, RULE)
    with pytest.raises(LayoutError, match="nothing on layer 'contact'"):
        next(layout.cut_tiles(own, "contact", windows, RULE))
    with pytest.raises(LayoutError, match=r"pixels of 0\.25 nm are no whole number of its database units of 0\.1 nm"):
        next(layout.cut_tiles(own, "metal1", windows, layout.TileRule(pixel_nm=0.25)))
    with pytest.raises(LayoutError, match=r"core_nm=512\.5 nm is no whole number of 1 nm pixels"):
        layout.TileRule(core_nm=512.5)
    with pytest.raises(LayoutError, match="would not cover a cell"):
        layout.TileRule(step_nm=600)
    with pytest.raises(LayoutError, match=r"between 0 and context_nm=128"):
        layout.TileRule(contexts_nm=(0, 256))
    with pytest.raises(LayoutError, match="768 pixels wide"):
        layout.TileRule(image_nm=700)
    with pytest.raises(LayoutError, match="the tiles keep 0 to 128 nm"):
        layout.content_image(np.zeros((768, 96), np.uint8), RULE, 160)


# Cuts


def slow_marks(picture: np.ndarray, left: int, low: int, side: int) -> tuple[int, float]:
    """Pixel by pixel, as the docstring of ``cut_marks`` says."""
    inside = picture[low : low + side, left : left + side]
    label, _ = ndimage.label(inside)
    beyond = picture[low - 1 : low + side + 1, left - 1 : left + side + 1]
    crossed, narrowest = set(), np.inf
    for quarters in range(4):
        lines, over, names = (np.rot90(a, quarters) for a in (inside, beyond, label))
        run = 0
        for i in range(side + 1):
            if i < side and lines[i, 0] and over[i + 1, 0]:
                run += 1
                crossed.add(int(names[i, 0]))
                empty = np.flatnonzero(lines[i] == 0)
                narrowest = min(narrowest, empty[0] if len(empty) else side)
            elif run:
                narrowest, run = min(narrowest, run), 0
    return len(crossed), narrowest if crossed else np.nan


def marks(picture: np.ndarray, squares) -> list[tuple[int, float]]:
    block = Block(picture, np.arange(picture.shape[0] + 1), np.arange(picture.shape[1] + 1))
    return list(zip(*(v.tolist() for v in cut_marks(block, *np.array(squares).T)), strict=True))


# What a square of 100 pixels from (50, 50) cuts: boxes x0, y0, x1, y1, number of shapes, narrowest piece.
CUTS = {
    "a wire through a side": ([(120, 80, 190, 90)], 1, 10),
    "a wire shaved along a side": ([(145, 60, 190, 140)], 1, 5),
    "a wire clipped by a corner": ([(100, 143, 190, 160)], 1, 7),
    "the tip of a wire": ([(147, 60, 190, 130)], 1, 3),
    "a wire that ends on the border": ([(120, 80, 150, 90)], 0, np.nan),
    "a wire that begins on the border": ([(150, 80, 190, 90)], 0, np.nan),
    "a wire through the whole square": ([(0, 80, 200, 92)], 1, 12),
    "inside": ([(80, 80, 120, 120)], 0, np.nan),
    "joined beyond": ([(120, 70, 170, 80), (120, 100, 170, 112), (160, 70, 170, 112)], 2, 10),
    "joined inside": ([(120, 70, 170, 80), (120, 100, 170, 112), (120, 70, 130, 112)], 1, 10),
    "corners touch": ([(140, 60, 160, 80), (120, 80, 140, 160)], 2, 10),
    "all over": ([(0, 0, 200, 200)], 1, 100),
    "two pieces side by side across a side": ([(120, 70, 170, 80), (120, 80, 155, 90)], 1, 20),
    "the lower half only goes on": ([(120, 70, 170, 80), (120, 80, 150, 90)], 1, 10),
    "two rectangles that meet on the border": ([(60, 150, 75, 190), (60, 120, 90, 150)], 1, 15),
}


@pytest.mark.parametrize("name", CUTS)
def test_cuts_in_closed_form(name):
    boxes, shapes, narrowest = CUTS[name]
    picture = np.zeros((200, 200), np.uint8)
    for x0, y0, x1, y1 in boxes:
        picture[y0:y1, x0:x1] = 1
    for turn in range(8):
        drawn = np.ascontiguousarray(turned(picture, turn))
        assert slow_marks(drawn, 50, 50, 100) == pytest.approx((shapes, narrowest), nan_ok=True)
        assert marks(drawn, [(50, 50, 100)])[0] == pytest.approx((shapes, narrowest), nan_ok=True)


def test_cuts_of_any_picture_are_those_of_its_pixels():
    rng = np.random.default_rng(5)
    for share in (0.2, 0.4, 0.5, 0.6, 0.8):
        picture = (rng.random((40, 40)) < share).astype(np.uint8)
        picture |= np.kron(rng.random((10, 10)) < share / 2, np.ones((4, 4))).astype(np.uint8)
        squares = [(int(x), int(y), int(s)) for x, y, s in zip(*rng.integers(1, 20, (3, 60)), strict=True)]
        expected = [slow_marks(picture, *square) for square in squares]
        np.testing.assert_array_equal(marks(picture, squares), expected)


def test_rectangles_cover_what_is_covered_once_and_end_where_shapes_do():
    rng = np.random.default_rng(6)
    picture = (rng.random((30, 30)) < 0.6).astype(np.uint8)
    boxes = rectangles(Block(picture, np.arange(31), np.arange(31)))
    drawn = np.zeros((30, 32), int)
    for x0, y0, x1, y1 in boxes:
        drawn[y0:y1, x0 + 1 : x1 + 1] += 1
    np.testing.assert_array_equal(drawn[:, 1:-1], picture)
    assert all(not drawn[y0:y1, x0].any() and not drawn[y0:y1, x1 + 1].any() for x0, y0, x1, y1 in boxes)


# Counts


def test_counts_of_empty_and_repeated_tiles():
    shapes = {"L": [(100, 100, 400, 165), (100, 100, 165, 400)], "EMPTY": []}
    cells = {name: ((512, 512), drawn) for name, drawn in shapes.items()}
    places = [("L", f"l{i}", turn, 2000 * i, 0) for i, (turn, _) in enumerate(ORIENTATIONS.values())]
    places += [("L", "again", db.Trans.R0, 0, 3000), ("EMPTY", "nothing", db.Trans.R0, 4000, 3000)]
    own = design(cells, places)
    tiles = cut(own, "metal1", layout.tile_windows(own, RULE))
    full = tiles["core_density"] > 0
    assert (len(full), full.sum()) == (10, 9)
    widest = {name: tiles[name][full][:, -1] for name in ("signature", "canonical", "min_cut_nm")}
    # Turned over its diagonal the shape is the same: of the eight turns four differ.
    assert (len(np.unique(widest["signature"])), len(np.unique(widest["canonical"]))) == (4, 1)
    assert not (widest["min_cut_nm"] < 65).any()  # nan where nothing is cut


# On published designs


@pytest.fixture
def gcd(real_data):
    real_data("nangate45/designs/gcd_dense_routed.def")
    real_data("nangate45/NangateOpenCellLibrary.gds")
    return layout.read_design("gcd_dense_routed")


@pytest.mark.realdata
@pytest.mark.parametrize("layer", ["metal1", "contact", "via1"])
def test_tiles_of_a_real_design_are_those_of_its_layout(gcd, layer):
    windows = layout.tile_windows(gcd, RULE)
    assert len(set(windows["instance"].values.tolist())) == 426  # its logic cells, as DESIGNS.md counts them
    some = np.random.default_rng(1).permutation(windows.sizes["tile"])[:40]
    windows = windows.isel(tile=np.sort(some))
    tiles = cut(gcd, layer, windows)
    assert_as_rasterized(gcd, layer, windows, tiles)
    found = layout.signature.signatures_of(
        layout.content_image(tiles["content"], RULE, 128), [RULE.side_px(c) for c in RULE.contexts_nm]
    )
    np.testing.assert_array_equal(tiles["turned"], found)


@pytest.mark.realdata
def test_cuts_of_a_real_design_are_those_of_its_pixels(gcd):
    windows = layout.tile_windows(gcd, RULE).isel(tile=slice(0, None, 300))
    tiles = cut(gcd, "metal1", windows)
    for i in range(windows.sizes["tile"]):
        x, y = (float(windows[name][i]) for name in ("x_nm", "y_nm"))
        picture = gcd.rasterize("metal1", (x - 130, y - 130, x + 642, y + 642))
        for j, context in enumerate((0, 16, 32, 64, 128)):
            edge = 130 - context
            expected = slow_marks(picture, edge, edge, 512 + 2 * context)
            assert (tiles["n_shapes_cut"][i, j], tiles["min_cut_nm"][i, j]) == pytest.approx(expected, nan_ok=True)


@pytest.mark.realdata
def test_cells_of_one_kind_have_the_same_contacts_in_every_placement(gcd):
    """Contacts are drawn in cells only: without context a window shows its cell, and what overhangs."""
    windows = layout.tile_windows(gcd, RULE)
    inner = (windows["row"] < windows["n_rows"] - 1) & (windows["column"] < windows["n_columns"] - 1)
    windows = windows.isel(tile=(inner & (windows["cell"] == "NAND2_X1")).values)
    tiles = cut(gcd, "contact", windows)
    assert windows.sizes["tile"] > 50 and len(set(windows["orientation"].values.tolist())) > 1
    assert RULE.contexts_nm[0] == 0
    for row in np.unique(windows["row"]):
        assert len(np.unique(tiles["canonical"][windows["row"].values == row, 0])) == 1
