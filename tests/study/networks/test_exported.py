"""Exported weights: of the best seed, whole, told by hash and card; what is gone or damaged is named."""

from __future__ import annotations

import pytest
import yaml
from click.testing import CliRunner
from model_stores import SMALL, model_store

from maskopt_lib import files, models, optics, study
from maskopt_lib.errors import MissingDataError
from maskopt_lib.models import weights
from maskopt_lib.runs.notebook import params
from maskopt_lib.study.networks import exported, trainings


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of notebook 31 with one network and two seeds."""
    folder = tmp_path_factory.mktemp("exported")
    defaults = {name: one.default for name, one in params.read_parameters("31_train_models").items()}
    run = study.begin("31_train_models", defaults | {"out_dir": str(folder / "run")}, kernels="embedded", seed=0)
    rules = trainings.rules_for(
        {"U-Net, small": {"model": "neural_ilt", "stages": (models.Stage(name="label", weights={"label": 1.0}),)}},
        layers=["metal1"],
        seeds={"ilt": [3, 4]},
        steps=2,
        **SMALL | {"context_nm": {"metal1": 16}},
    )
    store = model_store(folder / "tiles").path
    trained = trainings.train_all(rules, store, run.out_dir, kernels=optics.load("embedded"))
    run.save(trainings.summary(trained), trainings.RESULT)
    return run, trained


def test_the_seed_with_the_best_check_is_exported_as_it_was_trained(run, tmp_path):
    run, trained = run
    table = exported.export(run.out_dir, tmp_path)
    (name,) = table.index
    assert name == "u-net-small-metal1-ilt"
    l2 = {key[-1]: float(one.curves["l2_nm2"][one.curves.attrs["best_check"]]) for key, one in trained.items()}
    seed = min(l2, key=l2.get)
    assert table.loc[name, "seed"] == seed and table.loc[name, "n_seeds"] == 2
    file = tmp_path / f"{name}.safetensors"
    hashes = yaml.safe_load((tmp_path / exported.HASHES).read_text())
    assert hashes == {name: files.sha256_of(file)}
    assert weights.about(file)["rule"]["seed"] == seed
    weights.load(file, sha256=hashes[name])
    card = (tmp_path / exported.CARD).read_text()
    assert f"| `{name}` |" in card and weights.about(file)["dataset"][:12] in card


def test_what_is_gone_is_named_and_no_run_is_said_so(run, tmp_path):
    run, trained = run
    told = CliRunner().invoke(exported.main, [str(tmp_path / "none"), "--out", str(tmp_path / "out")])
    assert told.exit_code == 1 and "run notebook 31_train_models first" in told.output
    best = exported.export(run.out_dir, tmp_path / "before")["seed"].item()
    stale = tmp_path / "before" / "gone-metal1-ilt.safetensors"
    stale.touch()
    (file,) = (one.weights for key, one in trained.items() if key[-1] == best)
    kept = file.read_bytes()
    file.unlink()
    try:
        with pytest.raises(MissingDataError, match="no finished training at"):
            exported.export(run.out_dir, tmp_path / "before")
    finally:
        file.write_bytes(kept)
    # What cannot be exported whole leaves what was there as it was.
    assert (tmp_path / "before" / exported.HASHES).is_file() and stale.is_file()
    exported.export(run.out_dir, tmp_path / "before")
    assert not stale.exists() and (tmp_path / "before" / "u-net-small-metal1-ilt.safetensors").is_file()
