"""Files of masks: as they were meant, read back, equal for equal masks, and nothing that a format cannot hold."""

from __future__ import annotations

from pathlib import Path

import gdstk
import numpy as np
import pytest
import torch
from klayout import db
from scipy import ndimage

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, OptionError


def curved_mask(n=256, seed=3):
    """A curvilinear grey mask with holes and islands in them."""
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((n, n)), 7)
    grey = np.clip(0.5 + 30 * field, 0, 1)
    grey[:4] = grey[-4:] = 0
    return grey


def read(path):
    stored = db.Layout()
    stored.read(str(path))
    return stored


def pieces_in(path, pair=(1, 0)):
    """Polygons of a file in nm as they are in it; `read_clip` merges them."""
    stored = read(path)
    shapes = stored.top_cell().shapes(stored.layer(*pair)).each()
    return [
        np.round([(p.x * stored.dbu * 1e3, p.y * stored.dbu * 1e3) for p in shape.polygon.each_point_hull()], 6)
        for shape in shapes
    ]


def region(stored, pair, scale=1.0):
    drawn = db.Region(stored.top_cell().begin_shapes_rec(stored.layer(*pair)))
    return drawn.transformed(db.ICplxTrans(scale))


def own_layout(path, unit_um=0.001):
    """Two layers in a hierarchy: boxes, a path with round ends, a text, a mirrored array."""
    made = db.Layout()
    made.dbu = unit_um
    cell, top = made.create_cell("A"), made.create_cell("TOP")
    cell.shapes(made.layer(11, 0)).insert(db.Box(0, 0, 100, 33))
    cell.shapes(made.layer(12, 3)).insert(db.Path([db.Point(0, 0), db.Point(50, 70)], 12, 6, 6, True))
    cell.shapes(made.layer(12, 3)).insert(db.Text("a name", db.Trans(3, 4)))
    array = db.CellInstArray(cell.cell_index(), db.Trans(1, True, 30, 40), db.Vector(200, 0), db.Vector(0, 300), 3, 2)
    top.insert(array)
    made.write(str(path))
    return path


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_a_mask_goes_through_a_file_bit_by_bit(tmp_path, suffix):
    mask = curved_mask() >= 0.5
    path = tmp_path / f"mask{suffix}"
    written = layout.write_mask(mask, path, contours="pixel", layer="metal1")
    clip = layout.read_clip(path, "metal1", window_nm=256, placement=(0, 0))
    assert np.array_equal(clip.rasterize(), mask)
    assert clip.area_nm2 == written.area_nm2 == written.mask_area_nm2 == mask.sum()
    pieces = pieces_in(path, (11, 0))
    assert (written.polygons, written.vertices) == (len(pieces), sum(map(len, pieces)))
    assert written.layer == (11, 0)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]  # nothing left beside it


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
def test_a_smooth_mask_goes_through_a_file_vertex_by_vertex(tmp_path, suffix):
    grey = curved_mask()
    written = layout.write_mask(torch.from_numpy(grey), tmp_path / f"mask{suffix}", pixel_nm=2)
    clip = layout.read_clip(written.path, window_nm=512, placement=(0, 0))
    expected = layout.mask_polygons(grey, 2)
    stored, meant = (
        sorted(tuple(sorted(map(tuple, p.tolist()))) for p in ps) for ps in (pieces_in(written.path), expected)
    )
    assert stored == meant
    assert clip.rasterize(2, antialiased=False).sum() == pytest.approx((grey >= 0.5).sum(), rel=0.01)


def test_a_mask_returns_to_where_its_clip_was_drawn(tmp_path):
    clip = layout.demo_clips()["demo-metal-corners"]
    dx, dy = clip.offset_nm
    path = tmp_path / "mask.oas"
    layout.write_mask(clip.rasterize(), path, contours="pixel", origin_nm=(-dx, -dy))
    again = layout.read_clip(path, placement=(dx, dy))
    assert sorted(map(tuple, np.concatenate(again.polygons))) == sorted(map(tuple, np.concatenate(clip.polygons)))


def test_long_outlines_are_cut_for_gds(tmp_path):
    mask = np.zeros((64, 512))
    mask[8:24] = 1
    mask[24:40, 10:500:2] = 1  # a comb: four corners a tooth
    whole = layout.write_mask(mask, tmp_path / "whole.oas", contours="pixel")
    assert (whole.polygons, whole.vertices) == (1, 4 + 4 * 245)
    cut = layout.write_mask(mask, tmp_path / "cut.gds", contours="pixel", max_points=100)
    stored = gdstk.read_gds(cut.path, unit=1e-9).cells[0].polygons
    assert len(stored) == cut.polygons > 1
    assert max(len(p.points) for p in stored) <= 100
    assert cut.area_nm2 == whole.area_nm2 == mask.sum()
    clip = layout.read_clip(cut.path, window_nm=512, placement=(0, 0))
    assert np.array_equal(clip.rasterize()[:64], mask)


def test_equal_masks_are_equal_files(tmp_path):
    mask = curved_mask()
    for suffix in ("gds", "oas"):
        for name in ("a", "b"):
            layout.write_mask(mask, tmp_path / f"{name}.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_the_database_unit_is_that_of_the_file(tmp_path):
    for suffix, read in ((".gds", gdstk.read_gds), (".oas", gdstk.read_oas)):
        written = layout.write_mask(np.pad(np.ones((4, 4)), 2), tmp_path / f"a{suffix}", database_nm=0.05)
        library = read(written.path)
        assert library.unit == pytest.approx(1e-6)
        assert library.precision == pytest.approx(0.05e-9)
        assert library.cells[0].name == "MASK"


def test_an_empty_mask_is_an_empty_cell(tmp_path):
    written = layout.write_mask(np.zeros((8, 8)), tmp_path / "empty.oas")
    assert (written.polygons, written.vertices, written.area_nm2) == (0, 0, 0)
    with pytest.raises(LayoutError, match="the clip is empty"):
        layout.read_clip(written.path)


def test_what_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    mask = np.pad(np.ones((4, 4)), 2)
    for path, options, message in [
        ("mask.png", {}, "cannot write the suffix '.png'; known: .gds"),
        ("mask.glp", {}, "cannot write the suffix '.glp'"),
        ("no/mask.gds", {}, "there is no folder"),
        ("mask.gds", {"layer": "metal"}, "unknown layer 'metal'"),
        ("mask.gds", {"origin_nm": (0.03, 0)}, "not .x, y. on the database grid of 0.1 nm"),
        ("mask.gds", {"max_points": 4}, "max_points=4"),
        ("mask.gds", {"max_points": 9000}, "5 to 8190 vertices"),
        ("mask.gds", {"layer": (300, 70000)}, "from 0 to 32767, not 300/70000; .* write OASIS"),
        ("mask.gds", {"layer": (32768, 0)}, "from 0 to 32767, not 32768/0"),
        ("mask.oas", {"layer": (2**31, 0)}, "not negative"),
        ("mask.gds", {"layer": (-1, 0)}, "not negative"),
        ("mask.gds", {"layer": (1.7, 0)}, "whole"),
        ("mask.gds", {"origin_nm": (3e8, 0)}, "coordinates up to 3e.09 database units, the format holds 2147483647"),
        ("mask.oas", {"origin_nm": (0, -3e8)}, "move origin_nm towards 0"),
        ("mask.gds", {"origin_nm": (np.nan, 0)}, "database grid"),
        ("mask.gds", {"database_nm": 1e-4, "vertex_tolerance_nm": 1}, "take 0.001 to 1000 nm"),
        ("mask.gds", {"cell": ""}, "cell '' cannot be written"),
        ("mask.oas", {"cell": "two words"}, "cell 'two words' cannot be written"),
    ]:
        with pytest.raises(LayoutError, match=message):
            layout.write_mask(mask, tmp_path / path, **options)
    # A writer that fails half way leaves the file of before.
    layout.write_mask(mask, tmp_path / "mask.oas")
    before = (tmp_path / "mask.oas").read_bytes()

    def half(self, file, options):
        Path(file).write_bytes(b"half")
        raise RuntimeError("disk full")

    monkeypatch.setattr("klayout.db.Layout.write", half)
    with pytest.raises(OSError, match=r"is the disk full.*mask.oas"):
        layout.write_mask(mask, tmp_path / "mask.oas")
    assert (tmp_path / "mask.oas").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["mask.oas"]


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
@pytest.mark.parametrize("tolerance_nm", [0.3, 1.0, 2.5])
def test_the_numbers_are_those_of_the_file(tmp_path, suffix, tolerance_nm):
    grey = curved_mask()
    written = layout.write_mask(grey, tmp_path / f"mask{suffix}", vertex_tolerance_nm=tolerance_nm, max_points=60)
    stored = read(written.path)
    assert written.vertices == sum(s.polygon.num_points() for s in stored.cell("MASK").each_shape(stored.layer(1, 0)))
    assert written.area_nm2 == pytest.approx(region(stored, (1, 0)).area() * 0.01, rel=1e-4)
    # What the file covers are the polygons that were meant; cuts snap to the grid, which leaves slivers at most.
    meant = db.Region()
    for points in layout.mask_polygons(grey, vertex_tolerance_nm=tolerance_nm):
        meant.insert(db.Polygon([db.Point(round(x * 10), round(y * 10)) for x, y in points]))
    apart = region(stored, (1, 0)) ^ meant
    assert apart.is_empty() if suffix == ".oas" else apart.sized(-1).is_empty()


def test_oasis_is_compressed_and_tells_its_checksum(tmp_path):
    mask = np.random.default_rng(0).random((128, 128)) < 0.4
    path = tmp_path / "mask.oas"
    layout.write_mask(mask, path, contours="pixel", layer=(300, 70000))
    assert gdstk.oas_validate(path)[0] is True
    data = path.read_bytes()
    assert data[-256] == 2 and len(data) < layout.write_mask(mask, tmp_path / "mask.gds", contours="pixel").vertices
    assert layout.read_clip(path, (300, 70000), window_nm=128, placement=(0, 0)).area_nm2 == mask.sum()


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
@pytest.mark.parametrize(("unit_um", "file_um"), [(0.001, 1e-4), (0.0005, 1e-4), (1e-4, 1e-4), (5e-5, 5e-5)])
def test_a_mask_beside_the_layout_it_was_made_for(tmp_path, suffix, unit_um, file_um):
    original = read(own_layout(tmp_path / "own.gds", unit_um))
    mask, path = curved_mask(), tmp_path / f"both{suffix}"
    written = layout.write_mask(mask, path, layer=(111, 0), origin_nm=(-50, 30), beside=tmp_path / "own.gds")
    both = read(path)
    assert both.dbu == pytest.approx(file_um) and [c.name for c in both.top_cells()] == ["TOP"] and both.cells() == 2
    for pair in ((11, 0), (12, 3)):
        drawn = region(both, pair)
        assert not drawn.is_empty()
        assert (drawn ^ region(original, pair, round(unit_um / file_um))).is_empty()
    alone = layout.write_mask(mask, tmp_path / f"alone{suffix}", origin_nm=(-50, 30))
    assert (written.vertices, written.area_nm2) == (alone.vertices, alone.area_nm2)
    assert (region(both, (111, 0)) ^ region(read(alone.path), (1, 0), round(1e-4 / file_um))).is_empty()


def test_a_layout_that_a_mask_cannot_stand_beside(tmp_path):
    own, odd, mask = own_layout(tmp_path / "own.gds"), own_layout(tmp_path / "odd.gds", 0.00025), curved_mask()
    before = own.read_bytes()
    for path, beside, options, message in [
        ("own.gds", own, {}, "is the layout itself"),
        ("a.gds", own, {"layer": (11, 0)}, r"layer \(11, 0\) has shapes already"),
        ("a.gds", own, {"cell": "B"}, "no cell 'B'; its top cells are TOP"),
        ("a.gds", odd, {}, "unit of 0.25 nm and database_nm=0.1 do not fit each other; take database_nm=0.25"),
    ]:
        with pytest.raises(LayoutError, match=message):
            layout.write_mask(mask, tmp_path / path, beside=beside, **{"layer": (111, 0), **options})
    assert own.read_bytes() == before and not (tmp_path / "a.gds").exists()
    layout.write_mask(mask, tmp_path / "a.gds", beside=odd, layer=(111, 0), database_nm=0.25)


@pytest.mark.parametrize(
    "options",
    [
        {"max_points": ""},
        {"max_points": {}},
        {"max_points": 100.5},
        {"database_nm": None},
        {"database_nm": "0.1"},
        {"pixel_nm": [1]},
        {"vertex_tolerance_nm": "x"},
    ],
)
def test_a_number_that_is_none(options, tmp_path):
    with pytest.raises(OptionError, match=f"{next(iter(options))} must be a"):
        layout.write_mask(np.ones((4, 4)), tmp_path / "mask.gds", **options)


@pytest.mark.parametrize("origin_nm", ["ab", (1, 2, 3), None, ((1, 2), 3)])
def test_an_origin_that_is_none(origin_nm, tmp_path):
    with pytest.raises(LayoutError, match="on the database grid"):
        layout.write_mask(np.ones((4, 4)), tmp_path / "mask.gds", origin_nm=origin_nm)


def test_a_layout_of_cells_in_a_circle_takes_no_mask_beside_it(tmp_path):
    drawn = db.Layout()
    cells = {name: drawn.create_cell(name) for name in ("TOP", "A", "B")}
    cells["TOP"].insert(db.CellInstArray(cells["A"].cell_index(), db.Trans()))
    cells["A"].insert(db.CellInstArray(cells["B"].cell_index(), db.Trans()))
    cells["B"].shapes(drawn.layer(1, 0)).insert(db.Box(0, 0, 100, 100))
    drawn.write(str(tmp_path / "sound.gds"))
    stream = (tmp_path / "sound.gds").read_bytes()
    # The reference in A, to B, is made one to A itself.
    (tmp_path / "circle.gds").write_bytes(stream.replace(b"\x12\x06B\x00", b"\x12\x06A\x00"))
    with pytest.raises(LayoutError, match="circle"):
        layout.write_mask(np.ones((8, 8)), tmp_path / "mask.gds", layer=(9, 0), beside=tmp_path / "circle.gds")
    assert not (tmp_path / "mask.gds").exists()
