"""Masks through focus and exposure: corners by plane, measurements that agree with the scorers, windows, resuming."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import litho, metrics, opc, optics, study
from maskopt_lib.errors import GridMismatchError, SchemaError, UnknownNameError
from maskopt_lib.study.solvers import process_window as spw
from maskopt_lib.study.solvers.focus_exposure import BAND, corners_of, only_planes_of

CLIPS = ["demo-metal-tips", "demo-metal-isolated"]


@pytest.fixture(scope="module")
def kernels():
    return optics.through_focus([-80.0, 80.0], n_kernels=12)


@pytest.fixture(scope="module")
def settings():
    return spw.WindowSettings(exposures=(0.9, 1.0, 1.1), band_defocus_nm=80.0)


@pytest.fixture(scope="module")
def made(kernels, settings, tmp_path_factory):
    run = study.start(
        "a test",
        notebook="42_process_window",
        params={},
        conventions={"kernels": ["embedded-through-focus"], "raster": "half-open, 1 nm", "epe_limits_nm": [15, 3]},
        out_dir=tmp_path_factory.mktemp("run"),
    )
    clips = study.Clips("demo-metal", CLIPS)
    trials = [
        spw.WindowTrial(label="target", method="identity"),
        spw.WindowTrial(label="OPC", method="model_based_opc", preset="tuned"),
        spw.WindowTrial(label="window", method="curvy", options={"n_steps": 30}, corners={"inner": (-80.0, 0.98)}),
    ]
    measured, masks = spw.through_window(clips, kernels, trials, run, settings=settings)
    return run, clips, trials, measured, masks


def test_corners_are_found_by_their_plane(kernels):
    contest = corners_of(kernels, {})
    assert contest == litho.CONTEST_CORNERS
    changed = corners_of(kernels, {"inner": (80.0, 0.97), "far": (-80.0, 1.0)})
    assert [corner.name for corner in changed] == ["nominal", "outer", "inner", "far"]
    assert [kernels.defocus_nm[corner.focus] for corner in changed] == [0.0, 0.0, 80.0, -80.0]
    with pytest.raises(GridMismatchError, match=r"33 nm.*-80"):
        corners_of(kernels, {"far": (33.0, 1.0)})


def test_planes_that_no_corner_uses_change_nothing(kernels):
    corners = corners_of(kernels, {"inner": (80.0, 0.97)})
    few, moved = only_planes_of(kernels, corners)
    assert few.focus_names == ("focus", "focus +80 nm")
    mask = study.Clips("demo-metal", CLIPS, pixel_nm=8).target(CLIPS[0])
    images = [litho.Simulator(k, corners=c).aerial(mask) for k, c in ((kernels, corners), (few, moved))]
    assert (images[0] - images[1]).abs().max() < 1e-6


def test_matrix_holds_what_epe_sites_and_scores_say(made, kernels):
    _, clips, _, measured, masks = made
    sim = litho.Simulator(kernels)
    clip = CLIPS[0]
    mask, target = masks.sel({"method": "OPC", "sample": clip}).values, clips.target(clip)
    sites = metrics.epe_sites(sim.aerial(mask)[0], target, pixel_nm=1, threshold=sim.threshold)
    at_best = measured["edge_error_nm"].sel({"method": "OPC", "exposure": 1.0})
    at_best = at_best.isel(focus=int(np.argmin(np.abs(measured.defocus_nm.values))))
    ours = at_best.values[measured.site_sample.values == clip]
    assert np.nanmax(np.abs(ours - sites.edge_error_nm.values)) < 0.01
    scores = metrics.evaluate(mask, target, sim, only=spw.SCORES)
    for name in spw.SCORES:
        assert measured[name].sel({"method": "OPC", "sample": clip}).item() == scores[name].item()
    assert (np.diff(measured.defocus_nm) > 0).all()


def test_union_holds_the_contests_band(made, kernels, settings):
    *_, measured, masks = made
    # Its corners (0 and -49.9 nm, exposures 0.960 and 1.040) lie within the settings' range.
    assert (measured[BAND] >= measured["pvb_nm2"]).all()
    sim = litho.Simulator(kernels)
    mask = masks.sel({"method": "OPC", "sample": CLIPS[0]}).values
    union, common = spw.union_band(mask, sim, settings)
    images = sim.focus_dose(mask, doses=np.sqrt([0.95, 1.0, 1.05]))[np.abs(kernels.defocus_nm) <= 80]
    prints = sim.resist_model.hard(images).flatten(0, 1)
    band_nm2 = metrics.pvb_nm2(*metrics.process_window.pv_band(prints), 1.0)
    assert band_nm2 == pytest.approx(metrics.pvb_nm2(union, common, 1.0), abs=5)
    with pytest.raises(GridMismatchError, match="no plane"):
        spw.union_band(mask, sim, spw.WindowSettings(band_defocus_nm=-1.0))


def test_windows_nest_as_their_conditions_do(made):
    *_, measured, _ = made
    found = spw.windows(measured)
    depth = found["dof_nm"].sel(shape="rectangle")
    assert (found["dof_nm"].sel(shape="ellipse") >= depth).all()
    assert (depth.sel(criterion="EPE 15 nm") >= depth.sel(criterion="EPE 10 nm")).all()
    by_clip = spw.windows_by_clip(measured)["dof_nm"].sel(shape="rectangle")
    assert (by_clip.min("sample") >= depth - 1e-6).all()
    assert (spw.windows(measured, share=0.9)["dof_nm"].sel(shape="rectangle") >= depth).all()
    # Where the window says that all edges hold, the matrix has them all in place.
    share = spw.in_place(measured, limit_nm=15.0)
    planes = measured.defocus_nm.values
    for method in ("OPC", "window"):
        ends = found.sel({"method": method, "criterion": "EPE 15 nm"}).interp(defocus_nm=planes)
        for f, e in np.ndindex(len(planes), measured.sizes["exposure"]):
            inside = ends.lowest[f] < measured.exposure[e] < ends.highest[f]
            if inside:
                assert share.sel({"method": method}).values[f, e] == 100
    with pytest.raises(UnknownNameError, match="demo-metal-tips"):
        spw.windows(measured, samples=["nowhere"])


def test_summary_has_a_row_a_mask_with_units(made):
    *_, measured, _ = made
    found = spw.windows(measured)
    table = spw.summary(measured, found, criterion="EPE 15 nm")
    assert list(table.method.values) == ["target", "OPC", "window"]
    assert all("units" in table[name].attrs for name in table.data_vars)
    # An uncorrected target loses edges at every condition.
    depth = dict(zip(table.method.values, table["dof_nm"].values, strict=True))
    assert depth["target"] == 0 < depth["OPC"]


def test_what_is_stored_is_taken_again(made, kernels, settings, monkeypatch):
    run, clips, trials, measured, masks = made

    def never(*args, **kwargs):
        raise AssertionError("solved or measured again")

    monkeypatch.setattr(opc.Recipe, "solve", never)
    monkeypatch.setattr(spw, "measure_window", never)
    again, same = spw.through_window(clips, kernels, trials, run, settings=settings)
    xr.testing.assert_equal(again, measured)
    assert (same == masks).all()
    with pytest.raises(SchemaError, match="one label"):
        spw.through_window(clips, kernels, [trials[0]] * 2, run, settings=settings)
    changed = [spw.WindowTrial(label="target", method="identity", corners={"inner": (80.0, 0.98)})]
    with pytest.raises(AssertionError, match="again"):
        spw.through_window(clips, kernels, changed, run, settings=settings)


def test_stored_measurements_can_be_saved(made):
    run, *_, measured, _ = made
    run.save(measured, "measured")
    xr.testing.assert_allclose(study.load(run.out_dir / "measured.zarr")["meef"], measured["meef"])


def test_band_pictures_show_union_and_intersection(made, kernels, settings):
    *_, masks = made
    wanted = study.targets("demo-metal", [CLIPS[0]]).isel(sample=0)
    shown = spw.band_pictures(masks.sel(sample=CLIPS[0]), wanted, kernels, settings)
    assert (shown["outer"] >= shown["inner"]).all()
    assert (shown["outer"] >= shown["nominal"]).all() and (shown["nominal"] >= shown["inner"]).all()
