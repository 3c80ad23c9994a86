"""A window of a layout: its context changes nothing inside, its scores are those of the region, files come back."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest
import xarray as xr

from maskopt_lib import layout, litho, metrics, optics, study
from maskopt_lib.errors import LayoutError, MissingDataError

REGION = (1124.0, 1124.0, 1924.0, 1924.0)


@pytest.fixture(scope="module")
def sim():
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    return study.demo_layout(tmp_path_factory.mktemp("demo"))


@pytest.fixture(scope="module")
def window(demo):
    return study.read_window(demo, "metal1", region_nm=REGION)


def write(path, boxes, layer=(11, 0)):
    """A layout of rectangles (x0, y0, x1, y1) in nm."""
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    cell = library.new_cell("TOP")
    for x0, y0, x1, y1 in boxes:
        cell.add(gdstk.rectangle((x0 / 1e3, y0 / 1e3), (x1 / 1e3, y1 / 1e3), layer=layer[0], datatype=layer[1]))
    library.write_oas(path) if path.suffix == ".oas" else library.write_gds(path)
    return path


# Reading


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


def test_lines_that_run_on_have_no_end_at_the_border(tmp_path, sim):
    window = study.read_window(write(tmp_path / "line.gds", [(0, 1000, 6000, 1080)]), region_nm=[2000, 800, 3000, 1300])
    sites = study.edge_sites(window.target.values[0], window, sim)
    assert sites.sizes["site"] > 40 and (sites["normal_x"] == 0).all()
    assert set(sites["y_nm"].values) == {1000.0, 1080.0}
    assert sites["x_nm"].min() >= 2000 and sites["x_nm"].max() <= 3000


def test_a_small_layout_needs_no_region_and_odd_coordinates_are_kept(tmp_path):
    window = study.read_window(write(tmp_path / "small.oas", [(-705, 33, -605, 333), (-500, 33, -430, 333)]))
    assert window.region_nm == (-705.0, 33.0, -430.0, 333.0)
    assert window.target.sum() == 170 * 300 and window.inside.sum() == 275 * 300


@pytest.mark.parametrize("pixel_nm", [1.0, 2.0, 4.0])
def test_pixels_may_be_coarser(demo, pixel_nm):
    window = study.read_window(demo, region_nm=REGION, pixel_nm=pixel_nm)
    assert window.pixel_nm == pixel_nm and window.inside.sum() == (800 / pixel_nm) ** 2


def test_layers_go_by_name_by_number_or_by_themselves(tmp_path):
    path = write(tmp_path / "a.gds", [(0, 0, 100, 300)])
    windows = [study.read_window(path, layer) for layer in ("metal1", "11/0", " 11 / 0 ", "")]
    assert {int(window.target.sum()) for window in windows} == {30_000}


def test_glp_is_read_as_well(tmp_path):
    text = "BEGIN\nEQUIV 1 1000 MICRON +X,+Y\nCNAME clip\nLEVEL M1\n\nCELL clip PRIME\n"
    path = tmp_path / "clip.glp"
    path.write_text(text + "   RECT N M1 100 100 80 600\n   RECT N M1 300 100 80 600\nENDMSG\n")
    window = study.read_window(path, region_nm=[50, 50, 250, 800])
    assert window.target.sum() == 2 * 80 * 600 and (window.target.values[0] * window.inside).sum() == 80 * 600


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region_nm": [0, 0, 1025, 100]}, "at most 1024 nm a side beside 512 nm of context"),
        ({"region_nm": [0, 0, 900, 900], "context_nm": 700}, "at most 648 nm a side beside 700 nm"),
        ({}, r"spans x 140..4042, y 150..1954 nm.*choose a region_nm"),
        ({"region_nm": [1, 2, 3]}, r"is not \[x0, y0, x1, y1\]"),
        ({"region_nm": [10, 0, 10, 20]}, "with x0 < x1 and y0 < y1"),
        ({"region_nm": [0, 0, 20, 20]}, r"no polygon in region_nm=\(0.0, 0.0, 20.0, 20.0\)"),
        ({"layer": "via1", "region_nm": REGION}, r"no polygon on layer 'via1' .*layers with polygons: \(11, 0\)"),
        ({"layer": "12/0", "region_nm": REGION}, r"layers with polygons: \(11, 0\)"),
        ({"layer": "metal7", "region_nm": REGION}, "unknown layer 'metal7'; freepdk45 has active, poly"),
        ({"cell": "AND2", "region_nm": REGION}, "no cell 'AND2'; it has DEMO"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(demo, changes, message):
    with pytest.raises(LayoutError, match=message):
        study.read_window(demo, **changes)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingDataError, match=r"nothing\.gds' is no file"):
        study.read_window(tmp_path / "nothing.gds")


# Scores


def test_scores_of_a_region_that_holds_everything_are_those_of_the_field(tmp_path, sim):
    window = study.read_window(write(tmp_path / "all.gds", [(0, 0, 80, 600), (200, 0, 280, 600), (420, 40, 490, 110)]))
    wide = study.read_window(tmp_path / "all.gds", region_nm=[-150, -150, 700, 750])
    mask = np.roll(wide.target.values[0], 3, axis=1) | wide.target.values[0]
    found = study.score_region({"shifted": mask}, wide, sim).isel(method=0)
    field = metrics.evaluate(mask, wide.target.values[0], sim).isel(sample=0)
    for name in field.data_vars:
        np.testing.assert_allclose(found[name], field[name], err_msg=name)
    assert window.region_nm == (0, 0, 490, 600)


def test_what_lies_in_the_context_is_not_scored_but_prints(window, sim):
    target = window.target.values[0]
    without = target * window.inside.astype(np.uint8)
    speck = target.copy()
    speck[60:64, 60:300] = 1  # far from the region, thinner than any rule
    scores = study.score_region({"target": target, "without": without, "speck": speck}, window, sim)
    for rule in metrics.RULES:
        assert scores[rule].sel({"method": "target"}) == scores[rule].sel({"method": "speck"}), rule
    assert abs(scores["l2_nm2"].sel({"method": "speck"}) - scores["l2_nm2"].sel({"method": "target"})) < 100
    assert abs(scores["l2_nm2"].sel({"method": "without"}) - scores["l2_nm2"].sel({"method": "target"})) > 1000
    report = metrics.rule_report(speck, {"min_width_nm": 75}, 1, region_nm=window.region_nm, origin_nm=window.origin_nm)
    assert report.sizes["violation"] == 0


def test_edges_move_the_less_the_more_context_is_kept(demo, sim):
    """Mean displacement of printed edges against the most context that fits; the notebook quotes these bounds."""
    prints = {}
    for context_nm in (256, 512, 640, 768):
        window = study.read_window(demo, region_nm=[1300, 1300, 1724, 1724], context_nm=context_nm)
        prints[context_nm] = sim.printed(window.target.values[0].astype(np.float32))[0].numpy()[window.inside]
    outline = np.abs(np.diff(prints[768].reshape(424, 424).astype(int), axis=0)).sum()
    outline += np.abs(np.diff(prints[768].reshape(424, 424).astype(int), axis=1)).sum()
    moved = {context_nm: (image != prints[768]).sum() / outline for context_nm, image in prints.items()}
    assert 1 < moved[256] < 3 and moved[512] < 0.8 and moved[640] < 0.3


def test_slanted_targets_have_no_edge_placement(tmp_path, sim):
    library = gdstk.Library(unit=1e-6, precision=1e-9)
    library.new_cell("TOP").add(gdstk.Polygon([(0, 0), (0.4, 0.4), (0.4, 0.6), (0, 0.2)], layer=11))
    library.write_gds(tmp_path / "slanted.gds")
    window = study.read_window(tmp_path / "slanted.gds")
    scores = study.score_region({"target": window.target.values[0]}, window, sim)
    assert "epe15" not in scores and scores["l2_nm2"].item() > 0


def test_the_sheet_has_a_row_for_each_score_and_its_change():
    scores = xr.Dataset(
        {"l2_nm2": ("method", [200.0, 150.0]), "epe15": ("method", [0, 3])}, coords={"method": ["target", "ours"]}
    )
    for name, long_name, units in (("l2_nm2", "L2", "nm2"), ("epe15", "EPE", "1")):
        scores[name].attrs = {"long_name": long_name, "units": units}
    sheet = study.score_sheet(scores)
    assert sheet.index.tolist() == ["L2 [nm2]", "EPE"]
    assert sheet.loc["L2 [nm2]"].tolist() == [200.0, 150.0, -25.0]
    assert np.isnan(sheet.loc["EPE", ("masks", "deviation_percent")])
    assert "-25.0 %" in study.style(sheet).to_html()


# Writing


@pytest.mark.parametrize("suffix", [".oas", ".gds"])
def test_a_mask_is_written_where_it_belongs_in_the_layout(tmp_path, demo, window, suffix):
    written = study.write_region(
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
    written = study.write_region(mask, window, tmp_path / "mask.oas", layer="111/0", context=context)
    assert written["farthest_px"] <= 1 and written["pixels_apart"] < 2e-3 * written["mask_area_nm2"]
    assert written["area_nm2"] == pytest.approx(written["mask_area_nm2"], rel=1e-3)


def test_an_empty_mask_is_not_written(tmp_path, window):
    with pytest.raises(LayoutError, match="the mask is empty in region_nm"):
        study.write_region(np.zeros((2048, 2048)), window, tmp_path / "mask.oas", layer="1/0")
