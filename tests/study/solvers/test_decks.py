"""Rule decks from YAML, what masks keep of them, and the second opinion on scores."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import layout, optics, study
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.opc.mask_rules import MaskRules


def test_the_deck_of_the_study_is_the_solvers_default():
    assert study.read_deck("curvilinear") == asdict(MaskRules())


def test_a_deck_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("msd_nm: 30\n")
    assert study.read_deck(path) == {"msd_nm": 30.0}
    path.write_text("msd: 30\n")
    with pytest.raises(UnknownNameError, match="msd_nm"):
        study.read_deck(path)
    with pytest.raises(MissingDataError, match="curvilinear"):
        study.read_deck("nosuch")


def test_rules_kept_counts_by_mask():
    image = np.zeros((2, 1, 200, 200), np.uint8)
    image[:, 0, 20:180, 40:70] = 1
    image[1, 0, 20:180, 80:120] = 1  # 10 nm beside the first
    masks = xr.DataArray(image, dims=("method", "sample", "y", "x"), coords={"method": ["one", "two"], "sample": ["a"]})
    kept = study.rules_kept(masks, {"msd_nm": 24.0, "min_width_nm": 24.0})
    assert kept["violations"].sel(rule="msd_nm").values.ravel().tolist() == [0, 1]
    assert kept["worst"].sel({"rule": "msd_nm", "method": "two"}).item() == 11
    assert kept["worst"].sel(rule="min_width_nm").values.ravel().tolist() == [30, 30]


def test_second_opinion_agrees_with_the_scorer():
    names = ["demo-metal-tips"]
    targets = study.targets("demo-metal", names)
    kernels = optics.load("embedded")
    opinion = study.second_opinion(targets, targets, kernels)
    scores = study.score_masks(targets, targets, {"embedded": kernels}, only=list(opinion)).squeeze("scored_with")
    assert layout.benchmark_names("demo-metal")
    for name in ("shapes", "msa_nm2", "msd_nm"):
        assert opinion[name].item() == pytest.approx(scores[name].item(), nan_ok=True)
    # Single pixels on the threshold may fall to either side in single precision.
    for name in ("l2_nm2", "pvb_nm2"):
        assert opinion[name].item() == pytest.approx(scores[name].item(), abs=12)
