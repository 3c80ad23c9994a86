"""One change at a time: what is solved for each, with which raster and kernels, and what is left out."""

from __future__ import annotations

import pytest
import xarray as xr

from maskopt_lib import study
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.study.solvers import changes

BASE = study.Trial(label="as it is", method="curvy", preset="published", options={"n_steps": 4})


@pytest.fixture
def solved(monkeypatch):
    """Every call of the solver: raster rule, kernel set, and options of each row."""
    calls = []

    def solve_and_score(wanted, kernels, trials, run, **how):
        calls.append(
            (wanted.rule, list(kernels), {trial.label: (trial.preset, dict(trial.options)) for trial in trials})
        )
        labels = [trial.label for trial in trials]
        scores = xr.Dataset({"l2_nm2": (("kernels", "method"), [[float(len(calls))] * len(labels)])})
        return scores.assign_coords(kernels=list(kernels), method=labels), None

    monkeypatch.setattr(changes, "solve_and_score", solve_and_score)
    return calls


def test_each_change_is_of_the_base_and_what_shares_kernels_is_solved_together(solved):
    varied = {
        "longer": {"options": {"n_steps": 8}},
        "the same": {"options": {"n_steps": 4}},
        "other raster": {"rule": "inclusive"},
        "other kernels": {"kernels": "embedded-ideal", "preset": "openilt"},
    }
    scores = study.score_changes(
        "demo-metal", ["demo-metal-tips"], BASE, varied, None, kernels="embedded", scores=["l2_nm2"]
    )
    assert scores["method"].values.tolist() == ["as it is", "longer", "other raster", "other kernels"]
    assert solved == [
        (
            "half-open",
            ["embedded"],
            {"as it is": ("published", {"n_steps": 4}), "longer": ("published", {"n_steps": 8})},
        ),
        ("inclusive", ["embedded"], {"other raster": ("published", {"n_steps": 4})}),
        ("half-open", ["embedded-ideal"], {"other kernels": ("openilt", {"n_steps": 4})}),
    ]


def test_a_change_of_something_else_is_refused(solved):
    with pytest.raises(UnknownNameError, match="no change of colour; known: preset, options"):
        study.score_changes("demo-metal", ["demo-metal-tips"], BASE, {"x": {"colour": 1}}, None, kernels="embedded")
    assert not solved
