"""A region of a layout: read with all that surrounds it, written back where it came from."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, MissingDataError

REGION = (1124.0, 1124.0, 1924.0, 1924.0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return layout.demo_layout(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def window(demo):
    return layout.read_window(demo, "metal1", region_nm=REGION)


def write(path, boxes, layer=(11, 0)):
    """A layout of rectangles (x0, y0, x1, y1) in nm."""
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell = library.new_cell("TOP")
    for x0, y0, x1, y1 in boxes:
        cell.add(gdstk.rectangle((x0 / 1e3, y0 / 1e3), (x1 / 1e3, y1 / 1e3), layer=layer[0], datatype=layer[1]))
    library.write_oas(path) if path.suffix == ".oas" else library.write_gds(path)
    return path


def test_the_demo_layout_holds_the_embedded_clips(demo):
    clips = [clip for name, clip in layout.demo_clips().items() if name.startswith("demo-metal")]
    read = layout.read_clip(demo, "metal1", window_nm=4096, placement=(0, 0))
    assert read.area_nm2 == sum(clip.area_nm2 for clip in clips)
    first = clips[0].rasterize(1)[512:1536, 512:1536]
    np.testing.assert_array_equal(read.rasterize(1, antialiased=False)[:1024, :1024], first)


def test_the_region_stands_in_the_middle_of_the_field_with_all_its_surroundings(demo, window):
    drawn = layout.read_clip(demo, "metal1", window_nm=4096, placement=(0, 0)).rasterize(1, antialiased=False)
    assert window.origin_nm == (500.0, 500.0) and window.inside.sum() == 800**2
    x0, y0, x1, y1 = (int(v) for v in REGION)
    field = window.target.values[0]
    np.testing.assert_array_equal(field[window.inside].reshape(800, 800), drawn[y0:y1, x0:x1])
    around = np.s_[y0 - 512 : y1 + 512, x0 - 512 : x1 + 512]
    np.testing.assert_array_equal(field[112:1936, 112:1936], drawn[around])
    assert field.sum() == drawn[around].sum()


def test_a_small_layout_needs_no_region_and_odd_coordinates_are_kept(tmp_path):
    window = layout.read_window(write(tmp_path / "small.oas", [(-705, 33, -605, 333), (-500, 33, -430, 333)]))
    assert window.region_nm == (-705.0, 33.0, -430.0, 333.0)
    assert window.target.sum() == 170 * 300 and window.inside.sum() == 275 * 300


@pytest.mark.parametrize("pixel_nm", [1.0, 2.0, 4.0])
def test_pixels_may_be_coarser(demo, pixel_nm):
    window = layout.read_window(demo, region_nm=REGION, pixel_nm=pixel_nm)
    assert window.pixel_nm == pixel_nm and window.inside.sum() == (800 / pixel_nm) ** 2


def test_layers_go_by_name_by_number_or_by_themselves(tmp_path):
    path = write(tmp_path / "a.gds", [(0, 0, 100, 300)])
    windows = [layout.read_window(path, layer) for layer in ("metal1", "11/0", " 11 / 0 ", "")]
    assert {int(window.target.sum()) for window in windows} == {30_000}


def test_glp_is_read_as_well(tmp_path):
    text = "BEGIN\nEQUIV 1 1000 MICRON +X,+Y\nCNAME clip\nLEVEL M1\n\nCELL clip PRIME\n"
    path = tmp_path / "clip.glp"
    path.write_text(text + "   RECT N M1 100 100 80 600\n   RECT N M1 300 100 80 600\nENDMSG\n")
    window = layout.read_window(path, region_nm=[50, 50, 250, 800])
    assert window.target.sum() == 2 * 80 * 600 and (window.target.values[0] * window.inside).sum() == 80 * 600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region_nm": [0, 0, 1025, 100]}, "at most 1024 nm a side beside 512 nm of context"),
        ({"region_nm": [0, 0, 900, 900], "context_nm": 700}, "at most 648 nm a side beside 700 nm"),
        ({}, r"spans x 140..4042, y 150..1954 nm.*choose a region_nm"),
        ({"region_nm": [1, 2, 3]}, r"is not \[x0, y0, x1, y1\]"),
        ({"region_nm": [10, 0, 10, 20]}, "with x0 < x1 and y0 < y1"),
        ({"region_nm": [0, 0, 20, 20]}, r"nothing of the layer lies in region_nm=\[0.0, 0.0, 20.0, 20.0\]"),
        ({"layer": "via1", "region_nm": REGION}, r"no polygon on layer 'via1' .*layers with polygons: \(11, 0\)"),
        ({"layer": "12/0", "region_nm": REGION}, r"layers with polygons: \(11, 0\)"),
        ({"layer": "metal7", "region_nm": REGION}, "unknown layer 'metal7'; freepdk45 has active, poly"),
        ({"cell": "AND2", "region_nm": REGION}, "no cell 'AND2'; it has DEMO"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(demo, changes, message):
    with pytest.raises(LayoutError, match=message):
        layout.read_window(demo, **changes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"nothing\.gds' is no file"):
        layout.read_window(tmp_path / "nothing.gds")


@pytest.mark.parametrize("suffix", [".oas", ".gds"])
def test_a_mask_is_written_where_it_belongs_in_the_layout(tmp_path, demo, window, suffix):
    written = layout.write_region(
        window.target.values[0], window, tmp_path / f"mask{suffix}", layer="111/2", contours="pixel"
    )
    assert written["pixels_apart"] == 0 and written["layer"] == "111/2"
    back = layout.read_clip(tmp_path / f"mask{suffix}", (111, 2), window_nm=4096, placement=(0, 0))
    drawn = layout.read_clip(demo, "metal1", window_nm=4096, placement=(0, 0), region_nm=REGION)
    np.testing.assert_array_equal(back.rasterize(1, antialiased=False), drawn.rasterize(1, antialiased=False))


@pytest.mark.parametrize("context", [False, True])
def test_curved_masks_come_back_within_a_pixel(tmp_path, window, context):
    y, x = np.mgrid[:2048, :2048] + 0.5
    mask = np.hypot(y - 1024, x - 1024) % 90 < 45  # rings, cut at the region's border
    written = layout.write_region(mask, window, tmp_path / "mask.oas", layer="111/0", context=context)
    assert written["farthest_px"] <= 1 and written["pixels_apart"] < 2e-3 * written["mask_area_nm2"]
    assert written["area_nm2"] == pytest.approx(written["mask_area_nm2"], rel=1e-3)


def test_an_empty_mask_is_not_written(tmp_path, window):
    with pytest.raises(LayoutError, match="the mask is empty in region_nm"):
        layout.write_region(np.zeros((2048, 2048)), window, tmp_path / "mask.oas", layer="1/0")
