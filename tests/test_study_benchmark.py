"""Recipes of the solver notebooks on 256-pixel demo targets: resumable, in the caller's order, scored as one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import layout, metrics, opc, optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.study import benchmark, parts

#: On 8 nm pixels: discs of whole odd numbers of pixels, and few steps.
SMALL = {"n_steps": 3, "retarget_nm": 40.0, "cleanup": opc.curvy.CleanUp(open_nm=24.0, close_nm=24.0)}
#: Neither alphabetical: what comes back must keep the order asked for.
CLIPS = ["demo-metal-tips", "demo-metal-isolated"]
TRIALS = [
    study.Trial(label="second", method="curvy", options=SMALL, per_clip={"n_steps": {"demo-metal-tips": 5}}),
    study.Trial(label="first", method="curvy", preset="paper", options=SMALL),
]
PRINT_SCORES = [schema.L2, schema.PVB, schema.EPE15, schema.SHOTS]


@pytest.fixture(scope="module")
def kernels():
    """Two sets that print differently, the name of the first behind that of the second."""
    embedded = optics.load("embedded")
    return {"strong": replace(embedded, name="strong", weights=1.1 * embedded.weights), "embedded": embedded}


@pytest.fixture(scope="module")
def wanted():
    return study.targets("demo-metal", CLIPS, pixel_nm=8)


@pytest.fixture
def run(tmp_path):
    threads = torch.get_num_threads()
    yield study.start("Test", notebook="00_test", params={}, out_dir=tmp_path / "out", threads=threads)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def solved(kernels, wanted, tmp_path_factory):
    """What was solved once, with its run: (masks, histories, run)."""
    out_dir = tmp_path_factory.mktemp("solved")
    run = study.start("Test", notebook="00_test", params={}, out_dir=out_dir, threads=torch.get_num_threads())
    return *study.solve_clips(wanted, kernels, TRIALS, run), run


@pytest.fixture
def no_solver(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a mask was solved anew")

    monkeypatch.setattr(opc, "solve", refuse)


def test_targets_are_binary_rasters_in_the_order_asked_for(wanted):
    assert wanted.dims == ("sample", "y", "x") and wanted.shape == (2, 256, 256) and wanted.dtype == np.uint8
    assert wanted["sample"].values.tolist() == CLIPS
    assert set(np.unique(wanted)) == {0, 1}
    np.testing.assert_array_equal(wanted["x"], np.arange(256) * 8 + 4.0)
    assert wanted["x"].attrs["units"] == wanted["y"].attrs["units"] == "nm"
    fine = study.targets("demo-metal", CLIPS[:1])
    clip = layout.demo_clips()[CLIPS[0]]
    assert int(fine.sum()) == clip.area_nm2
    np.testing.assert_array_equal(fine[0], clip.rasterize(pixel_nm=1))


def test_all_clips_of_a_benchmark_by_default():
    assert study.targets("demo-via", pixel_nm=8)["sample"].values.tolist() == layout.benchmark_names("demo-via")
    with pytest.raises(UnknownNameError, match="demo-metal-tips"):
        study.targets("demo-metal", ["no such clip"])


def test_options_of_a_clip_are_those_of_the_trial_and_its_own():
    trial = study.Trial(label="t", method="curvy", options={"a": 1, "b": 2}, per_clip={"b": {"x": 3}})
    assert trial.options_of("x") == {"a": 1, "b": 3}
    assert trial.options_of("y") == {"a": 1, "b": 2} == trial.options


def test_masks_keep_labels_and_order(solved, kernels):
    masks, histories, _ = solved
    assert masks.dims == ("kernels", "method", "sample", "y", "x") and masks.shape == (2, 2, 2, 256, 256)
    for found in (masks, histories):
        assert found["kernels"].values.tolist() == list(kernels) == ["strong", "embedded"]
        assert found["method"].values.tolist() == ["second", "first"]
        assert found["sample"].values.tolist() == CLIPS
    assert masks.dtype == np.uint8 and set(np.unique(masks)) == {0, 1}
    assert masks.any(["y", "x"]).all()


def test_masks_are_those_of_the_solver(solved, kernels, wanted):
    masks, histories, _ = solved
    result = opc.solve(wanted.sel(sample=CLIPS[1]).values, Simulator(kernels["strong"]), preset="paper", **SMALL)
    at = {"kernels": "strong", "method": "first", "sample": CLIPS[1]}
    np.testing.assert_array_equal(masks.sel(at), result.mask)
    kept = histories["value"].sel(at).dropna("step")
    np.testing.assert_allclose(kept, result.history["value"].isel(sample=0))


def test_histories_of_other_lengths_share_one_axis(solved):
    _, histories, _ = solved
    assert histories["value"].dims[:3] == ("kernels", "method", "sample")
    steps = histories["value"].notnull().all("term").sum("step")
    # One number more than steps: the objective at the start. Five steps for one clip of one trial.
    assert steps.sel({"method": "second"}).values.tolist() == [[6, 4]] * 2
    assert (steps.sel({"method": "first"}) == 4).all()
    assert (histories["runtime_s"] > 0).all() and (histories["optimise_s"] < histories["runtime_s"]).all()


def test_a_second_call_solves_nothing_and_gives_the_same(solved, kernels, wanted, no_solver):
    masks, histories, run = solved
    again, histories_again = study.solve_clips(wanted, kernels, TRIALS, run)
    xr.testing.assert_identical(again, masks)
    xr.testing.assert_identical(histories_again, histories)


def test_a_new_label_or_another_clip_is_solved(solved, kernels, wanted, no_solver):
    _, _, run = solved
    one = {"embedded": kernels["embedded"]}
    with pytest.raises(AssertionError, match="anew"):
        study.solve_clips(wanted, one, [replace(TRIALS[1], options=SMALL | {"n_steps": 4})], run)
    with pytest.raises(AssertionError, match="anew"):
        study.solve_clips(wanted.roll(x=1), one, TRIALS[1:], run)


def test_an_interrupted_run_goes_on_where_it_stopped(kernels, wanted, run, monkeypatch):
    solve, solved_clips = opc.solve, []

    def interrupted(target, *args, **kwargs):
        if len(solved_clips) == 1:
            raise KeyboardInterrupt
        solved_clips.append(int(target.sum()))
        return solve(target, *args, **kwargs)

    one = {"embedded": kernels["embedded"]}
    monkeypatch.setattr(opc, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.solve_clips(wanted, one, TRIALS[1:], run)
    assert len(list((run.out_dir / benchmark.PARTS).glob("*.npz"))) == 1

    def counted(target, *args, **kwargs):
        solved_clips.append(int(target.sum()))
        return solve(target, *args, **kwargs)

    monkeypatch.setattr(opc, "solve", counted)
    study.solve_clips(wanted, one, TRIALS[1:], run)
    assert solved_clips == [int(wanted[0].sum()), int(wanted[1].sum())]  # each once


def test_the_key_is_made_of_all_that_determines_a_mask(kernels, wanted):
    targets = [parts.Bits.of(image.values, 8) for image in wanted]
    digest = {name: parts.kernels_digest(kernel_set) for name, kernel_set in kernels.items()}
    assert digest["embedded"] == parts.kernels_digest(replace(kernels["embedded"], name="by another name"))
    base = {"method": "curvy", "preset": "paper", "changes": SMALL, "code": "c"}

    def key(target=targets[0], kernels=digest["embedded"], **others):
        return parts.mask_key(target, kernels, **(base | others))

    assert key() == key(changes=dict(reversed(SMALL.items())))
    others = [
        key(target=targets[1]),
        key(target=replace(targets[0], pixel_nm=4.0)),
        key(kernels=digest["strong"]),
        key(dtype=torch.float64),
        key(device="cuda"),
        key(preset="published"),
        key(code="d"),
        key(changes=SMALL | {"n_steps": 4}),
        key(changes=SMALL | {"cleanup": None}),
        key(changes=SMALL | {"cleanup": opc.curvy.CleanUp(open_nm=40.0)}),
    ]
    assert len({key(), *others}) == 1 + len(others)


def test_a_score_depends_on_mask_target_kernels_names_and_code(wanted):
    one, two = (parts.Bits.of(image.values, 8) for image in wanted)
    keys = [
        parts.score_key(one, two, "k", [schema.L2, schema.PVB], "c"),
        parts.score_key(two, two, "k", [schema.L2, schema.PVB], "c"),
        parts.score_key(one, one, "k", [schema.L2, schema.PVB], "c"),
        parts.score_key(one, two, "l", [schema.L2, schema.PVB], "c"),
        parts.score_key(one, two, "k", [schema.L2], "c"),
        parts.score_key(one, two, "k", None, "c"),
        parts.score_key(one, two, "k", [schema.L2, schema.PVB], "d"),
    ]
    assert len(set(keys)) == len(keys)
    assert parts.score_key(one, two, "k", [schema.PVB, schema.L2], "c") == keys[0]


def test_an_unknown_method_is_refused_before_anything_is_solved(kernels, wanted, run, no_solver):
    with pytest.raises(UnknownNameError, match="curvy"):
        study.solve_clips(wanted, kernels, [study.Trial(label="t", method="no such")], run)


def test_scores_are_those_of_evaluate(solved, kernels, wanted):
    masks, _, _ = solved
    few = masks.sel({"method": ["second"]})
    scores = study.score_masks(few, wanted, kernels, only=PRINT_SCORES)
    assert list(scores.data_vars) == [name for name in schema.VARIABLES if name in PRINT_SCORES]
    for name in scores.data_vars:
        assert scores[name].dims == ("scored_with", "kernels", "method", "sample")
        assert scores[name].attrs["units"] == schema.VARIABLES[name][1]
    assert scores["scored_with"].values.tolist() == scores["kernels"].values.tolist() == list(kernels)
    assert scores["sample"].values.tolist() == CLIPS
    for scored_with in kernels:
        sim = Simulator(kernels[scored_with])
        for made_for in kernels:
            mask = few.sel({"kernels": made_for, "method": "second"})
            alone = metrics.evaluate(mask.values, wanted.values, sim, sample=CLIPS, only=PRINT_SCORES)
            found = scores.sel({"scored_with": scored_with, "kernels": made_for, "method": "second"})
            for name in PRINT_SCORES:
                np.testing.assert_array_equal(found[name], alone[name])
    # The sets differ, so a mix-up of labels would be seen.
    assert not scores[schema.L2].sel(scored_with="strong").equals(scores[schema.L2].sel(scored_with="embedded"))


def test_masks_without_further_dimensions_can_be_scored(wanted, kernels):
    scores = study.score_masks(wanted, wanted, kernels, only=schema.L2)
    assert scores[schema.L2].dims == ("scored_with", "sample")


def test_masks_find_their_target_by_name(wanted, kernels):
    one = {"embedded": kernels["embedded"]}
    straight = study.score_masks(wanted, wanted, one, only=[schema.L2])
    turned = study.score_masks(wanted, wanted[::-1], one, only=[schema.L2])
    xr.testing.assert_equal(straight, turned)


def test_own_scores_are_the_diagonal_of_all(solved, kernels, wanted):
    masks, _, _ = solved
    few = masks.sel({"method": ["second"], "sample": CLIPS[:1]})
    own = study.score_own(few, wanted, kernels)
    assert set(own.data_vars) == set(schema.VARIABLES) - {schema.RUNTIME}
    crossed = study.score_masks(few, wanted, kernels)
    assert own["kernels"].values.tolist() == list(kernels)
    for name in kernels:
        at = {"kernels": name}
        xr.testing.assert_equal(own.sel(at), crossed.sel(at | {"scored_with": name}).drop_vars("scored_with"))


def test_pictures_hold_target_mask_and_prints_of_the_same_window(solved, kernels, wanted):
    masks, _, _ = solved
    mask = masks.sel({"kernels": "strong", "method": "second"}, drop=True)
    pictures = study.pictures(mask, wanted, kernels["strong"], margin_nm=80)
    assert list(pictures.data_vars) == ["target", "mask", "nominal", "outer", "inner"]
    assert all(v.dims == ("sample", "y", "x") and v.dtype == np.uint8 for v in pictures.data_vars.values())
    assert pictures.attrs["kernels"] == "strong"
    # By label, so a window that is off by a pixel is seen; 80 nm are 10 pixels around all there is.
    at = {"y": pictures["y"], "x": pictures["x"]}
    np.testing.assert_array_equal(pictures["target"], wanted.sel(at))
    np.testing.assert_array_equal(pictures["mask"], mask.sel(at))
    used = mask.any("sample") | wanted.any("sample")
    for dim, other in (("y", "x"), ("x", "y")):
        there = used[dim][used.any(other)]
        assert float(pictures[dim][0]) == float(there[0]) - 80
        assert float(pictures[dim][-1]) == float(there[-1]) + 80
    printed = Simulator(kernels["strong"]).printed(mask.values)
    for i, corner in enumerate(schema.CORNERS):
        whole = xr.DataArray(printed[:, i].numpy(), dims=mask.dims, coords=mask.coords)
        np.testing.assert_array_equal(pictures[corner], whole.sel(at))


def test_pictures_find_their_target_by_name(wanted, kernels):
    straight = study.pictures(wanted, wanted, kernels["embedded"])
    xr.testing.assert_identical(study.pictures(wanted, wanted[::-1], kernels["embedded"]), straight)


@pytest.mark.realdata
def test_released_masks_are_binary_and_not_flipped(real_data):
    real_data("golden/curvyilt_masks/M1_test1.mask.png")
    real_data("iccad13/clips/M1_test1.glp")
    masks = study.released_masks(["M1_test1"])
    target = study.targets("iccad13", ["M1_test1"])
    assert masks.shape == target.shape == (1, 2048, 2048) and masks.dtype == np.uint8
    assert set(np.unique(masks)) == {0, 1}
    covered = float((masks & target).sum() / target.sum())
    upside_down = float((masks.values[:, ::-1] & target.values).sum() / target.sum())
    assert covered > 0.8 > upside_down
