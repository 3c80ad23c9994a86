"""Scores of a region of a layout: what lies in its context is not counted, but prints."""

from __future__ import annotations

import gdstk
import numpy as np
import pytest
import xarray as xr

from maskopt_lib import litho, metrics, optics, study

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


def test_lines_that_run_on_have_no_end_at_the_border(tmp_path, sim):
    window = study.read_window(write(tmp_path / "line.gds", [(0, 1000, 6000, 1080)]), region_nm=[2000, 800, 3000, 1300])
    sites = study.edge_sites(window.target.values[0], window, sim)
    assert sites.sizes["site"] > 40 and (sites["normal_x"] == 0).all()
    assert set(sites["y_nm"].values) == {1000.0, 1080.0}
    assert sites["x_nm"].min() >= 2000 and sites["x_nm"].max() <= 3000


def test_scores_of_a_region_that_holds_everything_are_those_of_the_field(tmp_path, sim):
    window = study.read_window(write(tmp_path / "all.gds", [(0, 0, 80, 600), (200, 0, 280, 600), (420, 40, 490, 110)]))
    wide = study.read_window(tmp_path / "all.gds", region_nm=[-150, -150, 700, 750])
    mask = np.roll(wide.target.values[0], 3, axis=1) | wide.target.values[0]
    found = study.score_region({"shifted": mask}, wide, sim).isel(method=0)
    field = metrics.evaluate(mask, wide.target.values[0], sim)
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
