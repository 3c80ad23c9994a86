"""Answers: their numbers with intervals, and where these are from."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from maskopt_lib.errors import SchemaError
from maskopt_lib.runs import reference
from maskopt_lib.runs.answers import Answers, gain_with_interval, with_interval
from maskopt_lib.runs.record import start


@pytest.fixture
def answers(tmp_path):
    run = start("Answers", notebook="90_results", params={}, out_dir=tmp_path / "results" / "90_results" / "quick")
    return Answers(run=run, folders=reference.stored_runs(reference.FOLDER))


def test_an_interval_holds_its_mean_and_a_stored_one_is_taken_as_it_is():
    mean, low, high = (float(t) for t in with_interval(xr.DataArray([1.0, 2.0, 6.0], dims="sample"))
                       .replace("(", "").replace(")", "").replace("to ", "").split())  # fmt: skip
    assert low < mean == 3.0 < high
    stored = xr.DataArray([5.0, 1.0, 9.0], dims="statistic", coords={"statistic": ["mean", "low", "high"]})
    assert with_interval(stored, digits=0) == "5 (1 to 9)"
    rng = np.random.default_rng(0).normal(10, 1, 20)
    base = xr.DataArray(rng, dims="sample")
    assert gain_with_interval(base, 0.8 * base).startswith("20.0 % (20.0 to 20.0)")


def test_an_answer_names_notebook_record_commit_kernels_raster_and_scale(answers):
    answers.about("Which?")
    scores = answers.load("rule_aware_ilt", "scores")
    said = answers.say("This one.").data
    commit = json.loads(scores.attrs["record"])["git_commit"][:8]
    for part in ("**This one.**", commit, "kernels iccad13, iccad13-symmetrised", "raster half-open, 1 nm", "`paper`"):
        assert part in said
    for link in ("notebooks/18_rule_aware_ilt.ipynb)", "records/18_rule_aware_ilt/scores.nc)"):
        assert link in said
    (line,) = answers.save()["origin"].values.tolist()
    assert line in said


def test_what_was_read_for_one_question_is_not_said_of_the_next(answers):
    answers.about("One?")
    answers.table("ilt_iccad13", "table4_iccad13")
    answers.say("One.")
    answers.about("Two?")
    with pytest.raises(SchemaError, match="needs a question"):
        answers.say("Of nothing.")
    answers.load("pareto", "points")
    assert "11_ilt_iccad13" not in answers.say("Two.").data


def test_a_notebook_that_had_another_number_is_found(answers):
    answers.about("A block?")
    answers.load("large_area", "levels")
    assert "notebooks/41_large_area.ipynb)" in answers.say("Yes.").data


def test_a_commit_that_this_history_lacks_is_said_to_be(answers, monkeypatch):
    monkeypatch.setattr("maskopt_lib.runs.answers.in_history", lambda commit: False)
    answers.about("Which?")
    answers.load("pareto", "points")
    assert "(not in this history)" in answers.say("This one.").data
