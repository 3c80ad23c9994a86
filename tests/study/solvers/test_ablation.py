"""One change at a time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from maskopt_lib.study.solvers.ablation import means_table, variations
from maskopt_lib.study.solvers.benchmark import Trial

FULL = Trial(
    label="full", method="curvy", options={"n_steps": 200, "loop": {"every": 2}}, per_clip={"n_steps": {"a": 300}}
)


def test_each_trial_differs_in_one_option_only():
    found = variations(FULL, {"retarget_nm": [None, 25.0], "loop": [{"every": 1, "open_px": 5}]})
    assert [t.label for t in found] == ["retarget_nm=None", "retarget_nm=25", "loop: every=1, open_px=5"]
    for trial, option in zip(found, ("retarget_nm", "retarget_nm", "loop"), strict=True):
        same = {k: v for k, v in trial.options.items() if k != option}
        assert same == {k: v for k, v in FULL.options.items() if k != option}
        assert trial.options_of("a")["n_steps"] == 300 and trial.options_of("b")["n_steps"] == 200
    assert FULL.options == {"n_steps": 200, "loop": {"every": 2}}


def test_a_varied_option_is_the_same_for_all_clips():
    (trial,) = variations(FULL, {"n_steps": [50]})
    assert trial.options_of("a")["n_steps"] == trial.options_of("b")["n_steps"] == 50


def test_table_of_means_and_changes():
    values = np.array([[90.0, 110.0], [45.0, 65.0]])
    ds = xr.Dataset(
        {"l2_nm2": (("method", "sample"), values), "epe15": (("method", "sample"), np.array([[0.0, 0.0], [0.0, 2.0]]))},
        coords={"method": ["full", "other"], "sample": ["a", "b"]},
    )
    table = means_table(ds, scores=["l2_nm2", "epe15"], reference="full")
    assert table.index.tolist() == ["full", "other"]
    assert table["l2_nm2", "mean"].tolist() == [100.0, 55.0]
    assert np.isnan(table["l2_nm2", "deviation_percent"]["full"])
    assert table["l2_nm2", "deviation_percent"]["other"] == -45.0
    # from zero there is no percentage
    assert table["epe15", "deviation_percent"].isna().all()
    assert list(means_table(ds, scores=["l2_nm2"]).columns) == [("l2_nm2", "mean")]
