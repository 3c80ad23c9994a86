"""Recipes of the solver notebooks on 256-pixel demo targets: resumable, in the caller's order, scored as one by one."""

from __future__ import annotations

import ast
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import layout, metrics, opc, optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import DivergedError, SchemaError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.metrics.evaluate import SCORES
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.runs import hashing as sources
from maskopt_lib.runs.parts import Bits
from maskopt_lib.study.solvers.masks import mask_tasks, score_path

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

    monkeypatch.setattr(opc.Recipe, "solve", refuse)


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
    solve, solved_clips = opc.Recipe.solve, []

    def interrupted(recipe, target, sim):
        if len(solved_clips) == 1:
            raise KeyboardInterrupt
        solved_clips.append(int(target.sum()))
        return solve(recipe, target, sim)

    one = {"embedded": kernels["embedded"]}
    monkeypatch.setattr(opc.Recipe, "solve", interrupted)
    with pytest.raises(KeyboardInterrupt):
        study.solve_clips(wanted, one, TRIALS[1:], run)
    assert len(list((run.out_dir / "parts").glob("mask-*.npz"))) == 1

    def counted(recipe, target, sim):
        solved_clips.append(int(target.sum()))
        return solve(recipe, target, sim)

    monkeypatch.setattr(opc.Recipe, "solve", counted)
    study.solve_clips(wanted, one, TRIALS[1:], run)
    assert solved_clips == [int(wanted[0].sum()), int(wanted[1].sum())]  # each once


def test_the_path_tells_all_apart_that_determines_a_mask(kernels, wanted, tmp_path, monkeypatch):
    first, second = (Bits.of(image.values, 8) for image in wanted)
    base = study.Trial(label="t", method="curvy", preset="paper", options=SMALL)

    def path(target=first, kernel_set="embedded", trial=base, **others):
        (task,) = mask_tasks({"clip": target}, {"k": kernels[kernel_set]}, [trial], tmp_path, **others)
        return task.path

    def changed(**options):
        return path(trial=replace(base, options=SMALL | options))

    same = [
        path(trial=replace(base, options=dict(reversed(SMALL.items())))),
        path(trial=replace(base, options=SMALL | {"n_steps": 9}, per_clip={"n_steps": {"clip": SMALL["n_steps"]}})),
    ]
    others = [
        path(target=second),
        path(target=replace(first, pixel_nm=4.0)),
        path(kernel_set="strong"),
        path(device="cuda"),
        path(empty_if_diverged=True),
        path(trial=replace(base, preset="published")),
        changed(n_steps=4),
        changed(cleanup=None),
        changed(cleanup=opc.curvy.CleanUp(open_nm=40.0)),
    ]
    assert set(same) == {path()} and len({path(), *others}) == 1 + len(others)
    renamed = {"k": replace(kernels["embedded"], name="by another name")}
    assert mask_tasks({"clip": first}, renamed, [base], tmp_path)[0].path == path()


def test_a_score_depends_on_mask_target_kernels_names_and_code(wanted, tmp_path):
    one, two = (Bits.of(image.values, 8) for image in wanted)
    told = [
        (one, two, "k", [schema.L2, schema.PVB], "c"),
        (two, two, "k", [schema.L2, schema.PVB], "c"),
        (one, one, "k", [schema.L2, schema.PVB], "c"),
        (one, two, "l", [schema.L2, schema.PVB], "c"),
        (one, two, "k", [schema.L2], "c"),
        (one, two, "k", None, "c"),
        (one, two, "k", [schema.L2, schema.PVB], "d"),
    ]
    paths = [score_path(tmp_path, *pieces) for pieces in told]
    assert len(set(paths)) == len(paths)
    assert score_path(tmp_path, one, two, "k", [schema.PVB, schema.L2], "c") == paths[0]


@pytest.mark.parametrize("harm", ["cut", "flipped", "empty", "gone"])
def test_damaged_parts_are_made_again_without_a_word(harm, kernels, wanted, run, capfd):
    one = {"embedded": kernels["embedded"]}
    first, histories = study.solve_and_score(wanted, one, TRIALS[1:], run, scores=[schema.L2])
    masks = study.load_masks(run.out_dir / "masks.zarr")
    capfd.readouterr()
    for path in (min((run.out_dir / "parts").glob(f"{kind}-*.npz")) for kind in ("mask", "scores")):
        whole = path.read_bytes()
        half, middle = whole[: len(whole) // 2], len(whole) // 2
        flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
        path.write_bytes({"cut": half, "flipped": flipped}.get(harm, b""))
        if harm == "gone":
            path.unlink()
    again, histories_again = study.solve_and_score(wanted, one, TRIALS[1:], run, scores=[schema.L2])
    xr.testing.assert_identical(again[schema.L2], first[schema.L2])
    xr.testing.assert_identical(histories_again["value"], histories["value"])
    xr.testing.assert_identical(study.load_masks(run.out_dir / "masks.zarr"), masks)
    written = capfd.readouterr()
    assert "Traceback" not in written.out + written.err and "2/2" in written.out


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
    own = study.score_masks(few, wanted, kernels, own=True)
    assert tuple(own.data_vars) == SCORES
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


# Many clips: scored as they are made, masks on disk


@pytest.fixture(scope="module")
def studied(kernels, wanted, tmp_path_factory):
    """Scores, histories and run of both trials, on two processes."""
    run = study.start(
        "Test",
        notebook="00_test",
        params={},
        out_dir=tmp_path_factory.mktemp("studied"),
        conventions={"kernels": list(kernels), "raster": "half-open, 8 nm", "epe_limits_nm": [15, 3]},
        threads=torch.get_num_threads(),
    )
    clips = study.Clips("demo-metal", CLIPS, pixel_nm=8)
    return *study.solve_and_score(clips, kernels, TRIALS, run, scores=PRINT_SCORES, workers=2), run


def test_clips_are_the_targets_one_by_one(wanted):
    clips = study.Clips("demo-metal", CLIPS, pixel_nm=8)
    assert clips.names == tuple(CLIPS) and clips.raster == wanted.attrs["raster"] == "half-open, 8 nm"
    for name in CLIPS:
        np.testing.assert_array_equal(clips.target(name), wanted.sel(sample=name))
    assert study.Clips("demo-via").names == tuple(layout.benchmark_names("demo-via"))
    with pytest.raises(UnknownNameError, match="demo-metal-lines"):
        study.Clips("demo-metal", ["no such clip"])
    with pytest.raises(UnknownNameError, match="inclusive"):
        study.Clips("demo-metal", rule="half")


def test_the_inclusive_rule_makes_shapes_one_nm_wider():
    straight, wide = (study.targets("demo-metal", CLIPS[1:], rule=rule)[0] for rule in ("half-open", "inclusive"))
    assert wide.attrs["raster"] == "inclusive, 1 nm"
    for dim, other in (("y", "x"), ("x", "y")):
        assert int(wide.any(other).sum(dim)) == int(straight.any(other).sum(dim)) + 1


def test_two_processes_find_what_one_finds(studied, solved, kernels, wanted):
    scores, histories, run = studied
    masks, alone, _ = solved
    kept = study.load_masks(run.out_dir / "masks.zarr")
    assert kept.dims == masks.dims and kept.dtype == bool
    for dim in ("kernels", "method", "sample"):
        assert kept[dim].values.tolist() == masks[dim].values.tolist() == scores[dim].values.tolist()
    # Other numbers of threads add in another order; a pixel on the threshold may fall to the other side.
    assert float((kept != masks.astype(bool)).mean()) < 1e-4
    np.testing.assert_allclose(histories["value"], alone["value"], rtol=1e-3)
    assert set(scores.data_vars) == {*PRINT_SCORES, "runtime_s"} and scores.attrs["raster"] == "half-open, 8 nm"
    own = study.score_masks(kept.astype(np.uint8), wanted, kernels, only=PRINT_SCORES, own=True)
    for name in PRINT_SCORES:
        np.testing.assert_array_equal(scores[name], own[name])
    run.save(scores, "scores")
    run.save(histories, "histories")
    xr.testing.assert_identical(study.load(run.out_dir / "histories.zarr")["stopped_by"], histories["stopped_by"])


def test_chosen_masks_are_read_alone(studied):
    _, _, run = studied
    path = run.out_dir / "masks.zarr"
    kept = study.load_masks(path)
    few = study.load_masks(path, kernels="embedded", method="first", sample=CLIPS[1:])
    assert few.dims == ("sample", "y", "x")
    np.testing.assert_array_equal(few, kept.sel({"kernels": "embedded", "method": "first", "sample": CLIPS[1:]}))
    with pytest.raises(UnknownNameError, match="second, first"):
        study.load_masks(path, method="third")
    with pytest.raises(UnknownNameError, match="no dimension"):
        study.load_masks(path, clip="x")


def test_a_second_study_solves_and_scores_nothing(studied, kernels, no_solver, monkeypatch):
    scores, histories, run = studied

    def refuse(*_, **__):
        raise AssertionError("a mask was scored anew")

    monkeypatch.setattr(metrics, "evaluate", refuse)
    clips = study.Clips("demo-metal", CLIPS, pixel_nm=8)
    again, histories_again = study.solve_and_score(clips, kernels, TRIALS, run, scores=PRINT_SCORES)
    xr.testing.assert_identical(again, scores)
    xr.testing.assert_identical(histories_again, histories)
    # The same masks under the same names of scores, however they come in.
    masks = study.load_masks(run.out_dir / "masks.zarr").astype(np.uint8)
    wanted = study.targets("demo-metal", CLIPS, pixel_nm=8)
    own = study.score_masks(masks, wanted, kernels, only=PRINT_SCORES, run=run, own=True)
    xr.testing.assert_equal(own, scores[PRINT_SCORES])
    with pytest.raises(AssertionError, match="scored anew"):
        study.solve_and_score(clips, kernels, TRIALS, run, scores=[schema.L2])
    with pytest.raises(AssertionError, match="scored anew"):
        study.solve_and_score(clips, kernels, TRIALS, run, scores=PRINT_SCORES, against=wanted.roll(x=1))


def test_other_targets_to_score_against(kernels, wanted, run):
    one = {"embedded": kernels["embedded"]}
    trial = [study.Trial(label="target", method="identity")]
    empty = xr.zeros_like(wanted)
    scores, _ = study.solve_and_score(wanted, one, trial, run, scores=[schema.L2], against=empty, masks=None)
    printed = Simulator(kernels["embedded"]).printed(wanted.values)[:, 0].sum((-1, -2)) * 64.0
    np.testing.assert_array_equal(scores[schema.L2].values.ravel(), printed.numpy())
    assert scores.attrs["scored_against"] == "half-open, 8 nm" and not (run.out_dir / "masks.zarr").exists()
    with pytest.raises(UnknownNameError, match="against"):
        study.solve_and_score(wanted, one, trial, run, against=wanted[:1])


def test_methods_with_other_terms_share_one_dataset(kernels, wanted, run):
    one = {"embedded": kernels["embedded"]}
    trials = [study.Trial(label="target", method="identity"), TRIALS[1]]
    scores, histories = study.solve_and_score(wanted, one, trials, run, scores=[])
    assert list(scores.data_vars) == ["runtime_s"] and (scores["runtime_s"] > 0).all()
    value = histories["value"].sel({"kernels": "embedded", "sample": CLIPS[0]})
    assert value.dtype == np.float32
    assert value.sel({"method": "first"}).notnull().all() and not value.sel({"method": "target"}).notnull().all()
    assert set(histories["stopped_by"].sel({"method": "target"}).values.ravel()) == {"nothing to optimise"}


@pytest.mark.parametrize(
    "trial",
    [
        study.Trial(label="t", method="curvy", preset="no such"),
        study.Trial(label="t", method="curvy", options={"no such": 1}),
        study.Trial(label="t", method="curvy", per_clip={"no such": {CLIPS[1]: 1}}),
    ],
)
def test_unknown_options_are_refused_before_anything_is_solved(trial, kernels, wanted, run, no_solver):
    with pytest.raises(UnknownNameError, match="no such"):
        study.solve_and_score(wanted, kernels, [TRIALS[1], trial], run)


def test_two_trials_of_one_label_are_refused(kernels, wanted, run, no_solver):
    with pytest.raises(SchemaError, match="one label"):
        study.solve_and_score(wanted, kernels, [TRIALS[0], TRIALS[0]], run)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_says_which_mask(workers, kernels, wanted, run):
    bad = study.Trial(label="bad", method="curvy", options=SMALL, per_clip={"pixel_nm": {CLIPS[1]: 12.0}})
    with pytest.raises(ValueError, match="12") as caught:
        study.solve_and_score(wanted, {"embedded": kernels["embedded"]}, [bad], run, scores=[], workers=workers)
    assert f"while working on embedded, bad, {CLIPS[1]}" in caught.value.__notes__
    # The other one was solved, and is not solved again.
    assert len(list((run.out_dir / "parts").glob("mask-*.npz"))) == 1


def test_a_diverged_setting_may_leave_an_empty_mask(kernels, wanted, run, monkeypatch):
    solve = opc.Recipe.solve

    def diverging(recipe, target, sim):
        if recipe.resolved.learning_rate == 9.0:
            raise DivergedError("not finite")
        return solve(recipe, target, sim)

    monkeypatch.setattr(opc.Recipe, "solve", diverging)
    one = {"embedded": kernels["embedded"]}
    trials = [replace(TRIALS[1], label="bad", options=SMALL | {"learning_rate": 9.0}), TRIALS[1]]
    with pytest.raises(DivergedError):
        study.solve_and_score(wanted, one, trials, run)
    scores, histories = study.solve_and_score(wanted, one, trials, run, empty_if_diverged=True)
    area = wanted.sum(["x", "y"]).values * 64.0
    np.testing.assert_array_equal(scores[schema.L2].sel({"method": "bad", "kernels": "embedded"}), area)
    assert not study.load_masks(run.out_dir / "masks.zarr", method="bad").any()
    assert (histories["stopped_by"].sel({"method": "bad"}) == "diverged: not finite").all()
    assert histories["runtime_s"].isnull().sum() == 2
    # It is not taken for a mask where none may be missing.
    with pytest.raises(DivergedError):
        study.solve_and_score(wanted, one, trials, run)


# Which code a stored mask depends on


def test_comments_docstrings_and_presets_do_not_count(tmp_path, monkeypatch):
    package = tmp_path / "maskopt_lib"
    package.mkdir()
    monkeypatch.setattr(sources, "_ROOT", tmp_path)

    def digest(text, other="def g(): return 1", **options):
        (package / "one.py").write_text(text)
        (package / "two.py").write_text(other)
        return sources.source_hash(["maskopt_lib.one"], **options)

    code = "from maskopt_lib.two import g\nA = 1\ndef f():\n    return g()\n"
    base = digest(code)
    assert digest('"""Doc."""\n' + code.replace("    return", '    "doc"\n    # why\n    return  ')) == base
    assert digest(code, other="def g(): return 2") != base
    assert digest(code, other="def g(): return 2", follow=False) == digest(code, follow=False)
    assert digest(code.replace("A = 1", "A = 2")) != base
    assert digest(code, without={"A"}) == digest(code.replace("A = 1", "A = 2"), without={"A"})
    used = code.replace("g()", "g() + A")
    assert digest(used, without={"A"}) != digest(used.replace("A = 1", "A = 2"), without={"A"})


def test_work_on_one_method_leaves_the_masks_of_another():
    curvy, identity = (sources.source_hash([opc.METHODS[name].run.__module__]) for name in ("curvy", "identity"))
    assert curvy != identity
    waiting, seen = ["maskopt_lib.opc.identity"], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tree = ast.parse(sources._file_of(module).read_text(encoding="utf-8"))
        waiting += sources._imported(tree, module, {"maskopt_lib"}).keys() - seen
    assert "maskopt_lib.litho.simulator" in seen and "maskopt_lib.opc.curvy" not in seen
    assert method_digest("curvy") != method_digest("identity")


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


def test_no_trials_give_scores_and_histories_without_a_row(kernels, wanted, run):
    scores, histories = study.solve_and_score(wanted, kernels, [], run, scores=["l2_nm2", "epe3"])
    for found in (scores, histories):
        assert found.sizes["method"] == 0
        assert found["kernels"].values.tolist() == list(kernels) and found["sample"].values.tolist() == CLIPS
    assert {"l2_nm2", "epe3", "runtime_s"} == set(scores.data_vars)
    run.save(scores[["runtime_s"]], "nothing")
    assert study.load(run.out_dir / "nothing.zarr").sizes == scores.sizes
    with pytest.raises(SchemaError, match="no trials"):
        study.solve_clips(wanted, kernels, [], run)
