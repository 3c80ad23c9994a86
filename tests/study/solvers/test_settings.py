"""The search of settings: repeatable, distinct, nested; the merit by its definition, the winner by hand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import study
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError

SPACE = {"n_steps": [50, 100, 200], "cleanup.open_nm": [10.0, 20.0], "cleanup.close_nm": [15.0, 30.0]}


def test_the_preset_comes_first_and_settings_are_distinct():
    trials = study.search(SPACE, "curvy", "paper", n_settings=8, seed=3)
    assert [trial.label for trial in trials] == [f"curvy#{i:02d}" for i in range(8)]
    assert trials[0].options == {} and {(t.method, t.preset) for t in trials} == {("curvy", "paper")}
    texts = {json.dumps(trial.options, sort_keys=True) for trial in trials}
    assert len(texts) == 8
    for trial in trials[1:]:
        assert trial.options["n_steps"] in SPACE["n_steps"]
        assert set(trial.options["cleanup"]) == {"open_nm", "close_nm"}


def test_the_same_seed_gives_the_same_settings_and_a_larger_budget_more_of_them():
    few, many = (study.search(SPACE, "curvy", n_settings=n, seed=3) for n in (4, 9))
    assert few == many[:4]
    assert study.search(SPACE, "curvy", n_settings=9, seed=4) != many


def test_a_small_space_is_exhausted_and_an_empty_one_leaves_the_preset():
    assert len(study.search({"n_steps": [1, 2, 3]}, "curvy", n_settings=99, seed=0)) == 4
    assert len(study.search({}, "identity", n_settings=5, seed=0)) == 1
    with pytest.raises(SchemaError, match="n_steps"):
        study.search({"n_steps": []}, "curvy", n_settings=2, seed=0)
    with pytest.raises(SchemaError, match="at least one"):
        study.search(SPACE, "curvy", n_settings=0, seed=0)


def test_fixed_options_are_in_every_setting():
    trials = study.search({"cleanup.open_nm": [10.0]}, "curvy", n_settings=2, seed=0, fixed={"cleanup.close_nm": 5.0})
    assert [trial.options for trial in trials] == [
        {"cleanup": {"close_nm": 5.0}},
        {"cleanup": {"close_nm": 5.0, "open_nm": 10.0}},
    ]


@pytest.fixture
def trials():
    return study.search({"n_steps": [1, 2]}, "curvy", n_settings=3, seed=0) + study.search(
        {}, "identity", n_settings=3, seed=0
    )


@pytest.fixture
def scores(trials):
    l2 = np.array([[10.0, 30.0], [5.0, 15.0], [1.0, np.nan], [50.0, 70.0]])
    dims = ("method", "sample")
    return xr.Dataset(
        {schema.L2: (dims, l2), schema.PVB: (dims, np.full(l2.shape, 10.0)), schema.RUNTIME: (dims, l2 / 10)},
        coords={"method": [trial.label for trial in trials], "sample": ["a", "b"]},
    )


def test_merit_is_the_mean_of_the_sum_and_the_smallest_wins(scores, trials):
    ranked = study.rank(scores, trials)
    assert ranked["method"].values.tolist() == ["curvy", "identity"]
    merit = ranked["merit_nm2"].values
    np.testing.assert_array_equal(merit, [[30.0, 20.0, np.nan], [70.0, np.nan, np.nan]])
    assert ranked["best_setting"].values.tolist() == [1, 0]
    assert ranked["gain_percent"].values == pytest.approx([100 / 3, 0.0])
    assert json.loads(ranked["best_options"].values[0]) == dict(trials[1].options)
    assert ranked["options"].values[1].tolist() == ["{}", "", ""]
    assert ranked[schema.RUNTIME].values[0, 0] == 2.0
    assert ranked["merit_nm2"].attrs["units"] == "nm2" and "L2" in ranked["merit_nm2"].attrs["long_name"]


def test_a_setting_without_a_score_of_every_clip_cannot_win(scores, trials):
    assert math.isnan(study.rank(scores, trials)["merit_nm2"].values[0, 2])
    with pytest.raises(SchemaError, match="identity: no setting"):
        study.rank(scores.where(scores["method"] != "identity#00"), trials)


def test_one_kernel_set_and_all_trials_are_needed(scores, trials):
    xr.testing.assert_identical(study.rank(scores.expand_dims(kernels=["k"]), trials), study.rank(scores, trials))
    with pytest.raises(SchemaError, match="one kernel set"):
        study.rank(scores.expand_dims(kernels=["k", "l"]), trials)
    with pytest.raises(SchemaError, match="identity#00"):
        study.rank(scores.isel({"method": slice(3)}), trials)


def test_ranks_can_be_stored(scores, trials, tmp_path):
    conventions = {"kernels": ["k"], "raster": "r", "epe_limits_nm": [15, 3]}
    run = study.start("Test", notebook="00_test", params={}, out_dir=tmp_path, conventions=conventions)
    ranked = study.rank(scores, trials)
    xr.testing.assert_equal(study.load(run.save(ranked, "ranks")), ranked)


def test_the_winner_is_compared_with_a_preset_option_by_option():
    changes = json.dumps({"loop": {"every": 2}, "n_steps": 200})
    ranking = xr.Dataset({"best_options": ("method", [changes])}, coords={"method": ["curvy"]})
    assert study.is_preset(ranking, "curvy", start="published", preset="published")
    assert not study.is_preset(ranking, "curvy", start="paper", preset="published")


# One change at a time

FULL = study.Trial(
    label="full", method="curvy", options={"n_steps": 200, "loop": {"every": 2}}, per_clip={"n_steps": {"a": 300}}
)


def test_each_trial_differs_in_one_option_only():
    found = study.variations(FULL, {"retarget_nm": [None, 25.0], "loop": [{"every": 1, "open_px": 5}]})
    assert [t.label for t in found] == ["retarget_nm=None", "retarget_nm=25", "loop: every=1, open_px=5"]
    for trial, option in zip(found, ("retarget_nm", "retarget_nm", "loop"), strict=True):
        same = {k: v for k, v in trial.options.items() if k != option}
        assert same == {k: v for k, v in FULL.options.items() if k != option}
        assert trial.options_of("a")["n_steps"] == 300 and trial.options_of("b")["n_steps"] == 200
    assert FULL.options == {"n_steps": 200, "loop": {"every": 2}}


def test_a_varied_option_is_the_same_for_all_clips():
    (trial,) = study.variations(FULL, {"n_steps": [50]})
    assert trial.options_of("a")["n_steps"] == trial.options_of("b")["n_steps"] == 50
