"""The preset `tuned` of every method is what the recorded search found."""

from __future__ import annotations

import json

import pytest

from maskopt_lib import opc, study
from maskopt_lib.runs import reference
from maskopt_lib.runs.params import read_variant

SPACES = read_variant("10_tune_solvers", "paper")["spaces"]


def test_every_method_but_the_floor_and_our_own_was_searched():
    # The study's own solver is chosen in a table of its own, notebook 18.
    assert set(SPACES) == set(opc.METHODS) - {"identity", "rule_aware"}


@pytest.mark.parametrize("method", SPACES)
def test_tuned_preset_is_the_recorded_winner(method):
    ranking = study.load_result(reference.FOLDER / "10_tune_solvers", "ranking")
    assert study.is_preset(ranking, method, start=SPACES[method]["preset"], preset="tuned")


def test_record_is_of_the_stated_search():
    ranking = study.load_result(reference.FOLDER / "10_tune_solvers", "ranking")
    params = study.record_of(ranking)["params"]
    assert params["spaces"] == json.loads(json.dumps(SPACES)) and params["benchmark"] == "stdmetal"
    assert not set(params["clips"]) & {f"M1_test{i}" for i in range(1, 11)}
    assert ranking.sizes["setting"] == params["n_settings"]
