"""Weights that come with the study: whole, described, small, and better than no correction at all."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import metrics, models, study
from maskopt_lib.errors import HashMismatchError, MissingDataError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.models import shipped, weights
from maskopt_lib.runs import reference

NAMES = shipped.names()
CARD = (shipped.FOLDER / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_they_are_what_the_card_says(name):
    file = shipped.path(name)
    said = weights.about(file)
    assert file.stat().st_size < 5e6 and f"`{name}`" in CARD
    assert f"{said['n_parameters']:,}" in CARD and said["dataset"][:12] in CARD and said["kernels"] in CARD
    assert name == f"ours-{said['rule']['layer']}"


@pytest.mark.parametrize("name", NAMES)
def test_what_the_card_says_they_are_good_for_is_stored(name):
    layer = name.removeprefix("ours-")
    means = study.load_result(reference.FOLDER / "35_fidelity_complexity", f"means_{layer}_ilt").sel(statistic="mean")
    digits = {"l2_nm2": 0, "pvb_nm2": 0, "epe15": 1, "epe3": 1, "shots": 1}
    for dial in (0, 1):
        stored = means.sel({"method": f"ours, dial {dial}"})
        numbers = " | ".join(f"{float(stored[score]):.{n}f}" for score, n in digits.items())
        assert f"| `{name}` | dial {dial} | {numbers} |" in CARD
    l2 = [float(means["l2_nm2"].sel({"method": f"{network}, dial 0"})) for network in ("ours untrained", "ours")]
    assert f"{l2[0]:.0f} and {l2[1]:.0f} nm²" in CARD


def test_those_of_metal_print_better_than_the_layout(genuine):
    target = np.zeros((1024, 1024), np.uint8)
    for y in range(280, 760, 140):
        target[y : y + 70, 300:730] = 1
    file = shipped.path("ours-metal1")
    model = weights.load(file)
    assert model.n_parameters == weights.about(file)["n_parameters"]
    masks = [target, *(models.predict(model, target[None], kind="ilt", context_nm=32.0, dial=d)[0] for d in (0, 1))]
    scores = metrics.evaluate_core(np.stack(masks), np.stack([target] * 3), Simulator(genuine), core_nm=512)
    of_target, faithful, simple = scores["l2_nm2"].values
    assert faithful < 0.3 * of_target and simple < 0.3 * of_target
    assert scores["shots"].values[2] <= scores["shots"].values[1]


def test_what_is_not_right_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UnknownNameError, match="known: ours-metal1"):
        shipped.path("theirs")
    (tmp_path / "SHA256.yaml").write_text("a: '12'\nb: '34'\n")
    (tmp_path / "a.safetensors").write_bytes(b"something")
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(HashMismatchError, match="expected 12"):
        shipped.path("a")
    with pytest.raises(MissingDataError, match="notebook 31"):
        shipped.path("b")
