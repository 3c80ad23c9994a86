"""Scores taken twice by means that share nothing agree."""

from __future__ import annotations

import pytest

from maskopt_lib import optics, study


def test_second_opinion_agrees_with_the_scorer():
    names = ["demo-metal-tips"]
    targets = study.targets("demo-metal", names)
    kernels = optics.load("embedded")
    opinion = study.second_opinion(targets, targets, kernels)
    scores = study.score_masks(targets, targets, {"embedded": kernels}, only=list(opinion)).squeeze("scored_with")
    for name in ("shapes", "msa_nm2", "msd_nm"):
        assert opinion[name].item() == pytest.approx(scores[name].item(), nan_ok=True)
    # Single pixels on the threshold may fall to either side in single precision.
    for name in ("l2_nm2", "pvb_nm2"):
        assert opinion[name].item() == pytest.approx(scores[name].item(), abs=12)
