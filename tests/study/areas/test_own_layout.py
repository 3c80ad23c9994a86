"""From somebody's layout to a mask: one window or many, by every method, with the rules that were asked for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import gdstk
import numpy as np
import papermill
import pytest
import xarray as xr
from click.testing import CliRunner
from klayout import db, rdb

from maskopt_lib import layout, litho, metrics, opc, study
from maskopt_lib.__main__ import main
from maskopt_lib.data import schema
from maskopt_lib.errors import LayoutError, LayoutWarning, NothingPrintsWarning
from maskopt_lib.study.areas import area as tiles
from maskopt_lib.study.areas import focus_window, own_layout, prints, score_sheet

NOTEBOOK = Path(__file__).resolve().parents[3] / "notebooks" / "17_optimize_your_layout.ipynb"
PIXEL = 4.0
DECK = {"min_width_nm": 32.0, "msd_nm": 32.0, "msa_nm2": 2000.0, "min_space_nm": 0.0}
#: 193 nm at NA 0.9 on a field of 1024 nm: 256 x 256 pixels, a step takes milliseconds.
SMALL = {
    "name": "small",
    "optics": {"wavelength_nm": 193, "na": 0.9, "source": {"shape": "annular", "sigma_inner": 0.5, "sigma_outer": 0.8}},
    "field": {"period_nm": 1024, "pixel_nm": 4},
}
ANGLE = np.linspace(0, 2 * np.pi, 120, endpoint=False)
SHAPES = {
    "manhattan": [[(100, 100), (180, 100), (180, 400), (100, 400)], [(260, 100), (500, 100), (500, 180), (260, 180)]],
    "curved": [np.stack([300 + 150 * np.cos(ANGLE), 280 + 110 * np.sin(ANGLE)], axis=1)],
    "via": [[(x, y), (x + 72, y), (x + 72, y + 72), (x, y + 72)] for x in (100, 260, 420) for y in (120, 280)],
}
#: Options with which a method takes moments: what is tested is the road, not the mask.
FEW = {"n_steps": 2, "free_steps": 2, "n_rounds": 1}


@pytest.fixture(scope="module")
def small():
    return litho.load_process(SMALL)


def tiled(area, plan, run):
    return tiles.TiledArea(area=area, plan=plan, run=run)


def drawn(path, polygons, layer=11):
    library = gdstk.Library(unit=1e-9, precision=1e-10)
    cell = library.new_cell("TOP")
    cell.add(*(gdstk.Polygon(points, layer=layer) for points in polygons))
    library.write_gds(path)
    return path


def boxes(*sides):
    return [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in sides]


def run_in(folder):
    return study.start("A region", notebook="17_optimize_your_layout", params={}, out_dir=folder)


def few_steps(method):
    options = opc.options_of(method)
    few = {name: value for name, value in FEW.items() if hasattr(options, name)}
    if hasattr(options, "levels"):
        few["levels"] = [{"pixel_nm": 8.0, "n_steps": 1, "window_nm": None}]
    return few


def scored(path, folder, process, mask=None, region_nm=(), **how):
    """Scores of the target as its own mask, and of another one, drawn by ``mask``."""
    run = run_in(folder)
    area = own_layout.read(path, folder, process)
    plan = own_layout.plan_of(area, region_nm, **({"pixel_nm": PIXEL} | how))
    masks = {"target": own_layout.target_mask(tiled(area, plan, run))}
    if mask is not None:
        masks["mask"] = own_layout.drawn(tiled(area, plan, run), lambda field: (mask(field), 0.0, None), name="made")[0]
    scores, reports, measured = own_layout.score_masks(tiled(area, plan, run), masks, deck=DECK)
    return scores, reports, measured, plan


# One window and many


def test_a_region_is_one_window_where_it_fits_beside_its_context(tmp_path, small):
    area = own_layout.read(drawn(tmp_path / "a.gds", SHAPES["manhattan"]), tmp_path, small)
    plan = own_layout.plan_of(area, [100, 100, 500, 400])
    assert plan.grid == (1, 1) and plan.region_nm == (100, 100, 500, 400) and plan.core_nm == 400
    assert plan.context_nm == plan.rim_nm == 256 and plan.field_nm == 1024
    whole = own_layout.plan_of(area)  # assist features are cut nowhere
    assert whole.core_nm == 400 and whole.kept(whole.window(0, 0)) == whole.window(0, 0).field_nm
    assert own_layout.plan_of(area, core_nm=256).region_nm == (44, -4, 556, 508)
    many = own_layout.plan_of(area, [0, 0, 1000, 600])
    assert many.grid == (2, 2) and many.core_nm == 512
    assert own_layout.plan_of(area, [0, 0, 600, 600], context_nm=200).grid == (1, 1)
    with pytest.raises(LayoutError, match=r"nothing is drawn .* spans x 100..500, y 100..400 nm"):
        own_layout.plan_of(area, [600, 600, 800, 800])
    with pytest.raises(LayoutError, match=r"is not .x0, y0, x1, y1."):
        own_layout.plan_of(area, [0, 0, 100])
    assert own_layout.middle_nm(many, longest_nm=400) == (300, 100, 700, 500)


def test_a_mask_goes_on_around_the_region_and_is_the_same_in_one_window_and_in_many(tmp_path, small):
    path = drawn(tmp_path / "line.gds", boxes((0, 200, 3000, 280)))
    area = own_layout.read(path, tmp_path, small)
    found = []
    for region in ([1000, 100, 1400, 400], [800, 100, 1900, 400]):
        plan = own_layout.plan_of(area, region)
        mask = own_layout.target_mask(tiled(area, plan, run_in(tmp_path / str(plan.grid[1]))))
        around = [region[0] - 256, region[1] - 100, region[2] + 256, region[3] + 100]
        np.testing.assert_array_equal(mask.read(around), area.design().rasterize(area.layer, around, PIXEL))
        found.append(plan.grid)
    assert found == [(1, 1), (1, 3)]


def test_a_layout_of_many_windows_is_scored_with_what_lies_around_each(tmp_path, small):
    path = drawn(tmp_path / "long.gds", boxes((0, 0, 80, 400), (200, 0, 1400, 80), (600, 160, 680, 400)))
    area = own_layout.read(path, tmp_path, small)
    deck, of_plan = {"min_width_nm": 30, "min_space_nm": 30, "msa_nm2": 400, "msd_nm": 30}, {}
    for core_nm in (512, 256):
        plan = own_layout.plan_of(area, pixel_nm=PIXEL, core_nm=core_nm)
        run = run_in(tmp_path / str(core_nm))
        masks = {"target": own_layout.target_mask(tiled(area, plan, run))}
        counted = tiled(area, own_layout.with_rim(plan), run)
        of_plan[core_nm] = own_layout.score_masks(counted, masks, deck=deck)
    (scores, report, measured), (finer, *_) = of_plan.values()
    assert not measured["target"].not_printed and not report["target"]["violations"].any()
    whole = metrics.rule_report(area.design().rasterize("11/0", (-200, -200, 1600, 600), PIXEL), deck, PIXEL)
    for rule in deck:
        assert float(scores[rule].squeeze()) == float(whole["worst"].sel(rule=rule)), rule
    for name in ("l2_nm2", "pvb_nm2"):  # a field of 1024 nm repeats itself, and other windows repeat other things
        np.testing.assert_allclose(scores[name], finer[name], rtol=0.15)


def test_scores_of_a_region_that_holds_everything_are_those_of_the_field(tmp_path, small):
    path = drawn(tmp_path / "all.gds", boxes((0, 0, 80, 400), (200, 0, 280, 400), (340, 40, 412, 112)))
    everything = [-48, -48, 460, 448]
    shifted = scored(path, tmp_path / "run", small, lambda field: field | np.roll(field, 2, axis=1), everything)
    scores, _, _, plan = shifted
    area = own_layout.read(path, tmp_path, small)
    target = area.design().rasterize("11/0", plan.window(0, 0).field_nm, PIXEL)
    field = metrics.evaluate(target | np.roll(target, 2, axis=1), target, small.simulator())
    for name in set(scores.data_vars) & set(field.data_vars):
        np.testing.assert_allclose(scores[name].sel({"method": "mask"}), field[name].squeeze(), err_msg=name)


def test_lines_that_run_on_have_no_end_at_the_border(tmp_path, small):
    path = drawn(tmp_path / "line.gds", boxes((0, 1000, 6000, 1080)))
    _, _, measured, _ = scored(path, tmp_path / "run", small, region_nm=[2000, 900, 2400, 1200])
    sites = measured["target"].sites
    assert sites.sizes["site"] > 16 and set(sites["y_nm"].values) == {1000.0, 1080.0}
    assert sites["x_nm"].min() >= 2000 and sites["x_nm"].max() <= 2400


def test_only_what_is_drawn_is_held_against_the_resolution(tmp_path, small):
    """Neither a shape cut at a border nor one that lies beyond the region is narrow."""
    path = drawn(tmp_path / "a.gds", boxes((0, 0, 4000, 80), (1000, 200, 1080, 900), (2000, 600, 2020, 900)))
    own_layout.plan_of(own_layout.read(path, tmp_path, small), [1040, 0, 1440, 400])
    with pytest.warns(UserWarning, match="width of 20 nm"):
        own_layout.plan_of(own_layout.read(path, tmp_path, small), [1800, 400, 2200, 800])


def test_edges_between_pixels_are_said_with_the_pixel_that_has_them(tmp_path, small):
    """A via of 70 nm on pixels of 4 nm has a notch of 2 nm that no print fills."""
    area = own_layout.read(drawn(tmp_path / "via.gds", boxes((100, 100, 170, 170))), tmp_path, small)
    with pytest.warns(LayoutWarning, match=r"up to 2 nm from the borders of its 4 nm pixels.*pixel_nm=2 has all"):
        own_layout.plan_of(area)
    assert own_layout.plan_of(area, pixel_nm=2).pixel_nm == 2
    odd = own_layout.read(drawn(tmp_path / "odd.gds", boxes((100, 100, 170.1, 180))), tmp_path, small)
    with pytest.warns(LayoutWarning, match=r"pixel_nm=0\.1 has all"):
        own_layout.plan_of(odd, pixel_nm=2)
    own_layout.plan_of(own_layout.read(drawn(tmp_path / "c.gds", SHAPES["curved"]), tmp_path, small))


def test_a_file_holds_what_its_score_says(tmp_path, small):
    """Without a region nothing is cut off, neither the mask nor what prints: the file scores as the solve did."""
    path, out = drawn(tmp_path / "a.gds", boxes((100, 100, 180, 400))), tmp_path / "mask.oas"
    made = own_layout.optimize(
        path, out, tmp_path / "run", process=small, method="edge_gradient", options={"n_steps": 3}, contours="pixel"
    )
    found = own_layout.score(out, path, tmp_path / "again", process=small, layer="11/0")
    for name, value in made["scores"]["edge_gradient"].items():
        assert found[name] == pytest.approx(value, nan_ok=True), name
    assert found["region_nm"] == made["region_nm"] == [-12 - 360, 100 - 360, 292 + 360, 404 + 360]


def test_a_mask_that_goes_on_beyond_what_counts_is_not_cut_there(tmp_path, small):
    """A bar from 4 nm within all that counts to far beyond it is no sliver."""
    path = drawn(tmp_path / "a.gds", boxes((0, 0, 1000, 80)))
    plan = own_layout.plan_of(own_layout.read(path, tmp_path, small))
    y1 = own_layout.with_rim(plan).region_nm[3]
    mask = drawn(tmp_path / "mask.gds", boxes((0, 0, 1000, 80), (200, y1 - 4, 600, y1 + 60)))
    found = own_layout.score(mask, path, tmp_path / "run", process=small, deck=DECK)
    assert not any(found["violations"].values()) and found["min_width_nm"] == 80  # of what counts


def test_shapes_of_which_nothing_prints_are_said(tmp_path, small):
    path = drawn(tmp_path / "a.gds", boxes((100, 100, 180, 500), (340, 300, 384, 344)))
    with pytest.warns(NothingPrintsWarning, match=r"nothing prints of 1 shape of the target, at \(362, 322\) nm"):
        with pytest.warns(UserWarning, match="width of 44"):
            made = own_layout.optimize(path, tmp_path / "m.oas", tmp_path / "run", process=small, method="identity")
    assert made["not_printed"] == [(362.0, 322.0)]


def test_a_part_that_does_not_print_is_said(tmp_path, small):
    path = drawn(tmp_path / "a.gds", boxes((100, 100, 200, 500), (200, 280, 500, 312)))
    with pytest.warns(NothingPrintsWarning, match=r"places on the target's edges, at .* the first: a part"):
        with pytest.warns(UserWarning, match="width of 32"):
            own_layout.optimize(path, tmp_path / "m.oas", tmp_path / "run", process=small, method="identity")


def test_a_mask_that_is_worse_than_none_is_said(tmp_path, small, monkeypatch):
    def dark(tiled, trials, *, deck):
        nothing = own_layout.drawn(tiled, lambda field: (np.zeros_like(field), 0.0, None), name="mask")[0]
        return own_layout.Solution(masks={own_layout.FIRST: nothing}, passes={})

    monkeypatch.setattr(own_layout, "solve", dark)
    path = drawn(tmp_path / "a.gds", boxes((100, 100, 180, 500)))
    with pytest.warns(NothingPrintsWarning), pytest.warns(UserWarning, match="worse than the layout itself: L2 of"):
        own_layout.optimize(path, tmp_path / "m.oas", tmp_path / "run", process=small)


def test_what_cannot_be_written_is_said_before_anything_is_solved(tmp_path, small, monkeypatch):
    path = drawn(tmp_path / "a.gds", SHAPES["via"])
    monkeypatch.setattr(own_layout, "solve", lambda *_, **__: pytest.fail("solved"))
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.oas").mkdir()
    for out, how, message in [
        (tmp_path / "file" / "mask.oas", {}, "mask.oas"),
        (tmp_path / "folder.oas", {}, "a folder is in the place of a file"),
        (tmp_path / "mask.txt", {}, "cannot write the suffix"),
        (path, {}, "is read"),
        (tmp_path / "mask.oas", {"beside": True, "mask_layer": "11/0"}, "has shapes already"),
        (tmp_path / "mask.gds", {"mask_layer": (70000, 0)}, "GDS has layers"),
        (tmp_path / "mask.oas", {"vertex_tolerance_nm": 0.01}, "cannot be kept"),
        (tmp_path / "mask.oas", {"markers": tmp_path / "file" / "m.lyrdb"}, "m.lyrdb"),
    ]:
        with pytest.raises((LayoutError, OSError), match=message):
            own_layout.optimize(path, out, tmp_path / "run", process=small, **how)
    assert sorted(p.name for p in tmp_path.glob("mask*")) == []


def test_what_was_solved_is_kept_until_all_is_written(tmp_path, small):
    path, out = drawn(tmp_path / "a.gds", SHAPES["manhattan"]), tmp_path / "ä b" / "mask.oas"

    def ask(draw):
        with own_layout.work_folder(out) as folder:
            how = {"method": "edge_gradient", "options": {"n_steps": 2}}
            return own_layout.optimize(path, out, folder, process=small, draw=draw, **how)

    def full(shown):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left") as error:
        ask(full)
    assert "goes on from there" in error.value.__notes__[0]
    assert list(out.parent.glob("mask.oas.work/parts/windows*"))
    shown = []
    made = ask(shown.append)
    assert shown[0].sizes["shown"] == 2 and made["seconds"] > 0
    assert [p.name for p in out.parent.iterdir()] == ["mask.oas"]
    # What is refused at once leaves nothing.
    with pytest.raises(LayoutError), own_layout.work_folder(out) as folder:
        own_layout.optimize(path, out, folder, process=small, layer="9/9")
    assert [p.name for p in out.parent.iterdir()] == ["mask.oas"]


def test_a_mask_of_several_windows_is_written_as_one(tmp_path, small):
    path = drawn(tmp_path / "line.gds", boxes((0, 200, 3000, 280), (0, 400, 3000, 480)))
    found = own_layout.optimize(
        path, tmp_path / "mask.oas", tmp_path / "run", process=small, region=[800, 100, 1900, 600], method="identity",
        beside=True,
    )  # fmt: skip
    assert found["windows"] == [1, 3] and found["file"]["polygons"] == 2
    assert found["file"]["area_nm2"] == pytest.approx(2 * 1100 * 80, rel=0.01)
    back = own_layout.read(tmp_path / "mask.oas", tmp_path, small, layer="111/0").design()
    assert set(back.layers) == {(11, 0), (111, 0)} and back.bounds_nm("111/0")[::2] == (800, 1900)


def test_a_curved_target_has_the_contour_error_of_its_field_whether_in_one_window_or_in_many(tmp_path, small):
    path = drawn(tmp_path / "a.gds", SHAPES["curved"])
    found, everything = [], [100, 120, 500, 440]
    for core_nm in (0, 160):
        run = tmp_path / str(core_nm)
        scores, _, measured, plan = scored(path, run, small, region_nm=everything, core_nm=core_nm)
        assert measured["target"].sites.sizes["site"] == 0
        found.append([scores[name].item() for name in schema.CONTOUR_ERRORS])
        off, places = score_sheet.misplaced(measured["target"], 5.0), measured["target"].outline
        assert 0 < off.sizes["place"] < int((abs(places["contour_error_nm"]) > 5).sum()) / 4
        assert float(abs(off["error_nm"])[0]) == float(abs(places["contour_error_nm"]).max())
        assert set(off["kind"].values) == {"contour_error"}
    assert plan.grid == (2, 3)
    area = own_layout.read(path, tmp_path, small)
    window = own_layout.plan_of(area, everything, pixel_nm=PIXEL).window(0, 0)
    target = area.design().rasterize("11/0", window.field_nm, PIXEL)
    field = metrics.evaluate(target, target, small.simulator())
    np.testing.assert_allclose(found[0], [field[name].item() for name in schema.CONTOUR_ERRORS])
    np.testing.assert_allclose(found[1], found[0], atol=0.05)


# Methods and rules

#: After few steps some methods' masks print worse than the layout.
FEW_STEPS = pytest.mark.filterwarnings("ignore:the mask prints worse")


@FEW_STEPS
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("method", opc.METHODS)
def test_every_method_takes_every_kind_of_layout(tmp_path, small, method, shape):
    path = drawn(tmp_path / "a.gds", SHAPES[shape])
    found = own_layout.optimize(
        path, tmp_path / "mask.oas", tmp_path / "run", process=small, method=method, options=few_steps(method),
        deck=DECK, markers=tmp_path / "marks.lyrdb",
    )  # fmt: skip
    assert (tmp_path / "mask.oas").is_file() and (tmp_path / "marks.lyrdb").is_file()
    assert set(found["scores"]) == {"target", method} and set(found["rules"]) == {"min_width_nm", "msd_nm", "msa_nm2"}
    assert found["scores"][method]["l2_nm2"] >= 0


@FEW_STEPS
@pytest.mark.parametrize("method", [name for name in opc.METHODS if not opc.METHODS[name].takes_initial])
def test_a_method_without_initial_masks_makes_a_region_of_several_windows(tmp_path, small, method):
    path = drawn(tmp_path / "line.gds", boxes((0, 200, 3000, 280)))
    found = own_layout.optimize(
        path, tmp_path / "mask.oas", tmp_path / "run", process=small, region=[800, 100, 1800, 400], method=method,
        options=few_steps(method),
    )  # fmt: skip
    assert found["windows"] == [1, 2] and found["file"]["polygons"] == 1 and not found["not_printed"]


def test_the_deck_reaches_the_solver_and_what_it_leaves_out_is_no_rule(tmp_path, small):
    area = own_layout.read(drawn(tmp_path / "a.gds", SHAPES["via"]), tmp_path, small)
    first, again = own_layout.trials_of("rule_aware", "fast", {"n_steps": 3}, DECK, own_layout.plan_of(area))
    kept = first.resolved.deck
    assert (kept.min_width_nm, kept.msd_nm, kept.min_radius_nm, kept.min_space_nm) == (32, 32, 0, 0)
    assert again.resolved.window_nm == own_layout.plan_of(area).core_nm
    others, _ = own_layout.trials_of("curvy", "", {}, DECK, own_layout.plan_of(area))
    assert "deck" not in others.options


@pytest.mark.parametrize("shape", SHAPES)
def test_a_rule_aware_mask_keeps_its_deck_to_where_it_ends(tmp_path, small, shape):
    """In one window and in many; assist features end with the mask, and what was mended costs the print little."""
    path = drawn(tmp_path / "a.gds", SHAPES[shape])
    drawn_nm2 = sum(gdstk.Polygon(points).area() for points in SHAPES[shape])
    for name, more in {"one": {}, "many": {"context_nm": 384.0}}.items():
        found = own_layout.optimize(
            path, tmp_path / "mask.oas", tmp_path / name, process=small, options=few_steps("rule_aware"), deck=DECK,
            contours="pixel", **more,
        )  # fmt: skip
        assert (found["windows"] == [1, 1]) == (name == "one")
        assert not any(found["violations"].values()) and found["broken"] == []
        again = own_layout.score(
            tmp_path / "mask.oas", path, tmp_path / f"{name} again", process=small, deck=DECK, **more
        )
        assert again["violations"] == found["violations"]
        if found["mended"]["pixels"]:
            cost_nm2 = found["scores"]["rule_aware"]["l2_nm2"] - found["mended"]["l2_nm2"]
            assert cost_nm2 <= 0.03 * drawn_nm2 and sum(found["mended"]["violations"].values())


def test_the_report_has_every_place_of_the_region_once_the_worst_first(tmp_path, small):
    path = drawn(tmp_path / "a.gds", boxes((0, 0, 400, 24), (0, 100, 400, 120), (0, 300, 400, 380)))
    with pytest.warns(UserWarning, match=r"layer .11, 0. in region_nm=.* has a width of 20 nm, k1 = 0.093"):
        _, reports, measured, plan = scored(path, tmp_path / "run", small)
    report = reports["target"]
    assert report["broken"].values.tolist() == ["min_width_nm"] * 2 and report["value"].values.tolist() == [20, 24]
    assert report["rule"].values.tolist() == ["min_width_nm", "msd_nm", "msa_nm2"]
    assert report["violations"].values.tolist() == [2, 0, 0] and report["violation"].values.tolist() == [1, 2]
    whole = metrics.rule_report(
        own_layout.read(path, tmp_path, small).design().rasterize("11/0", plan.region_nm, PIXEL),
        {rule: limit for rule, limit in DECK.items() if limit}, PIXEL, origin_nm=plan.region_nm[:2],
    )  # fmt: skip
    for name in ("value", "x_nm", "y_nm", "extent_nm", "limit"):
        np.testing.assert_allclose(report[name], whole[name], err_msg=name)
    assert prints.within(report, (0, 50, 400, 200)).sizes["violation"] == 1
    markers = rdb.ReportDatabase("")
    off = score_sheet.misplaced(measured["target"], 5.0)
    markers.load(str(layout.write_markers(report, tmp_path / "all.lyrdb", misplaced=off)))
    of_sites = abs(measured["target"].sites["edge_error_nm"].fillna(99))
    assert markers.category_by_path("edge_placement").num_items() == off.sizes["place"] == (of_sites > 5).sum()
    markers = rdb.ReportDatabase("")
    markers.load(str(layout.write_markers(report, tmp_path / "marks.lyrdb")))
    found = [item for item in markers.each_item()]
    assert [c.name() for c in markers.each_category()] == report["rule"].values.tolist() and len(found) == 2
    box = next(found[0].each_value()).box()
    assert (box.center().x * 1e3, box.center().y * 1e3) == pytest.approx((200, 110), abs=PIXEL)


def test_a_mask_of_pixels_of_half_a_nanometre_is_written_as_it_is(tmp_path):
    process = litho.load_process(SMALL | {"field": {"period_nm": 96, "pixel_nm": 0.5}})
    area = own_layout.read(drawn(tmp_path / "a.gds", [[(0, 0), (20, 0), (20, 20), (0, 20)]]), tmp_path, process)
    with pytest.warns(UserWarning, match=r"width of 20 nm, k1 = 0\.093"):
        plan = own_layout.plan_of(area, (0, 0, 40, 40))
    mask = own_layout.target_mask(tiled(area, plan, run_in(tmp_path / "run")))
    file = tiles.write_area(mask, area, tmp_path / "m.oas", box_nm=plan.region_nm, contours="pixel")
    assert file.area_nm2 == pytest.approx(400) and layout.read_design(file.path).bounds_nm("111/0") == (0, 0, 20, 20)


def test_a_region_is_pictured_whatever_the_field(tmp_path, small):
    run, area = run_in(tmp_path / "run"), own_layout.read(drawn(tmp_path / "a.gds", SHAPES["via"]), tmp_path, small)
    plan = own_layout.plan_of(area)
    shown = prints.picture(area, own_layout.target_mask(tiled(area, plan, run)), plan.region_nm)
    np.testing.assert_array_equal(shown["target"], area.design().rasterize(area.layer, plan.region_nm, PIXEL))


def test_a_process_window_is_that_of_the_region(tmp_path, small):
    run, area = (
        run_in(tmp_path / "run"),
        own_layout.read(drawn(tmp_path / "a.gds", SHAPES["manhattan"]), tmp_path, small),
    )
    plan = own_layout.plan_of(area)
    masks = {"target": own_layout.target_mask(tiled(area, plan, run))}
    share, windows = focus_window.through_focus(masks, area, plan)
    assert 0 <= share.min() < share.max() <= 100 and (windows["dof_nm"] >= 0).all()
    curved = own_layout.read(drawn(tmp_path / "b.gds", SHAPES["curved"]), tmp_path, small)
    assert focus_window.through_focus(masks, curved, own_layout.plan_of(curved)) is None


# Without a notebook


def test_the_command_writes_what_it_says(tmp_path):
    path, process = drawn(tmp_path / "a b.gds", SHAPES["via"]), tmp_path / "small.yaml"
    process.write_text(json.dumps(SMALL), encoding="utf-8")
    asked = ["optimize", str(path), "--layer", "11/0", "--process", str(process), "--option", "n_steps=2"]
    asked += ["--option", "free_steps=2", "--out", str(tmp_path / "mask.oas"), "--markers", str(tmp_path / "m.lyrdb")]
    done = CliRunner().invoke(main, [*asked, "--json", str(tmp_path / "scores.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "scores.json").read_text(encoding="utf-8"))
    assert found["scores"]["rule_aware"]["l2_nm2"] > 0 and found["file"]["polygons"] > 0
    marks, mask = rdb.ReportDatabase(""), db.Layout()
    marks.load(str(tmp_path / "m.lyrdb"))
    mask.read(str(tmp_path / "mask.oas"))
    assert marks.top_cell_name == mask.top_cell().name
    wrong = [("--layer=12/0", 1), ("--method=none", 1), ("--region 1 2 3", 2), ("--option=n_steps", 2)]
    for option, status in [*wrong, ("--region 900 900 950 950", 1), ("--option=levels=[", 1)]:
        refused = CliRunner().invoke(main, [*asked, *option.split()])
        assert refused.exit_code == status and "Traceback" not in refused.output, refused.output


def test_the_command_runs_by_itself_with_scores_alone_on_the_terminal(tmp_path):
    path, process = drawn(tmp_path / "a.gds", SHAPES["manhattan"]), tmp_path / "small.yaml"
    process.write_text(json.dumps(SMALL), encoding="utf-8")
    command = [sys.executable, "-m", "maskopt_lib", "optimize", str(path), "--process", str(process)]
    done = subprocess.run(
        [*command, "--method", "identity", "--out", str(tmp_path / "mask.gds")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["windows"] == [1, 1] and "window" in done.stderr


def test_a_folder_with_a_design_is_a_layout(tmp_path):
    folder, process = tmp_path / "my design", tmp_path / "small.yaml"
    folder.mkdir()
    drawn(folder / "a.gds", SHAPES["via"], layer=31)
    process.write_text(json.dumps(SMALL), encoding="utf-8")
    (folder / "design.yaml").write_text(
        "{name: mine, family: mine, file: a.gds, state: placed, layers: [cuts], licence: CC0, redistribution: true,\n"
        " platform: {layer_map: {cuts: [31, 0]}, outline: [63, 0]}}\n"
    )
    asked = ["optimize", str(folder), "--process", str(process), "--method", "identity", "--layer", "cuts"]
    asked += ["--contours", "pixel"]
    done = CliRunner().invoke(main, [*asked, "--out", str(tmp_path / "mask.oas"), "--json", str(tmp_path / "s.json")])
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "s.json").read_text(encoding="utf-8"))["file"]["area_nm2"] == 6 * 72**2
    assert own_layout.inputs_of(folder, process) == [folder / "design.yaml", folder / "a.gds", process]
    refused = CliRunner().invoke(main, [*asked, "--platform", "asap7", "--out", str(tmp_path / "mask.oas")])
    assert refused.exit_code == 1 and "--platform 'asap7'" in refused.output


@pytest.mark.slow
@pytest.mark.parametrize(("method", "shape"), [("rule_aware", "curved"), ("multilevel", "via")])
def test_the_notebook_makes_a_mask_by_every_method(tmp_path, method, shape):
    process = tmp_path / "small.yaml"
    process.write_text(json.dumps(SMALL), encoding="utf-8")
    asked = {"layout_file": str(drawn(tmp_path / "a.gds", SHAPES[shape])), "process": str(process), "method": method}
    asked |= {"layer": "", "region_nm": [], "preset": "", "options": few_steps(method), "deck": {"min_width_nm": 32}}
    papermill.execute_notebook(
        NOTEBOOK, tmp_path / "run.ipynb", asked | {"out_dir": str(tmp_path / "out")}, cwd=NOTEBOOK.parent,
        kernel_name="python3", progress_bar=False,
    )  # fmt: skip
    scores = study.load(tmp_path / "out" / "scores.zarr")
    assert scores["method"].values.tolist() == ["target", method]
    assert ("contour_mean_abs_nm" in scores) == (shape == "curved")
    assert (tmp_path / "out" / "mask.oas").is_file() and (tmp_path / "out" / "violations.lyrdb").is_file()


def test_the_sheet_has_a_row_for_each_score_and_its_change():
    scores = xr.Dataset(
        {"l2_nm2": ("method", [200.0, 150.0]), "epe15": ("method", [0, 3])}, coords={"method": ["target", "ours"]}
    )
    for name, long_name, units in (("l2_nm2", "L2", "nm2"), ("epe15", "EPE", "1")):
        scores[name].attrs = {"long_name": long_name, "units": units}
    sheet = score_sheet.score_sheet(scores)
    assert sheet.index.tolist() == ["L2 [nm2]", "EPE"]
    assert sheet.loc["L2 [nm2]"].tolist() == [200.0, 150.0, -25.0]
    assert np.isnan(sheet.loc["EPE", ("masks", "deviation_percent")])
    assert "-25.0 %" in study.style(sheet).to_html()
