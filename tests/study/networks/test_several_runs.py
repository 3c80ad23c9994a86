"""Seeds of several runs: what one scored stands beside what the other does, is not made again, and must be its kind."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from model_stores import SMALL, in_dark, model_store

from maskopt_lib import optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import MissingDataError, OptionError
from maskopt_lib.models.training.rules import Stage
from maskopt_lib.models.training.tiles import choose_tiles
from maskopt_lib.runs import params
from maskopt_lib.study.networks import benchmark as bm
from maskopt_lib.study.networks import entries as en
from maskopt_lib.study.networks import exported, names, several_runs, trainings

NAME = "scores_metal1_ilt"


def begin(notebook: str, out_dir, **changed) -> study.Run:
    """A run of a notebook with its own parameters but for some."""
    defaults = {name: one.default for name, one in params.read_parameters(notebook).items()}
    return study.begin(notebook, defaults | changed | {"out_dir": str(out_dir)}, kernels="embedded", seed=0)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory):
    """A store with its bench and tiles, and trainings of two seeds, each of a day of its own."""
    folder = tmp_path_factory.mktemp("days")
    store, kernels = model_store(folder / "tiles"), optics.load("embedded")
    days = {}
    for seed in (3, 4):
        rules = trainings.rules_for(
            {"U-Net": {"model": "neural_ilt", "stages": (Stage(name="label", weights={"label": 1.0}),)}},
            layers=["metal1"],
            seeds={"ilt": [seed]},
            steps=2,
            **SMALL | {"context_nm": {"metal1": 16}},
        )
        days[seed] = trainings.train_all(rules, store.path, folder / f"day{seed}", kernels=kernels)
    where = {"split": "validation", "context_nm": 16, "kinds": ("opc", "ilt")}
    samples = choose_tiles(store.path, "metal1", **where)
    tiles = bm.Tiles(layer="metal1", samples=tuple(samples.tolist()), **where)
    bench = bm.Bench(store=store.path, run_dir=folder / "run", kernels=kernels, batch=2)
    return days, bench, in_dark(bench, tiles)


def test_a_second_day_scores_its_own_seed_alone(two_days, tmp_path, monkeypatch):
    days, bench, tiles = two_days
    paths = {("U-Net", seed): next(iter(trained.values())).path for seed, trained in days.items()}
    how = {"solvers": {"OPC": {"method": "identity", "preset": "identity"}}, "surroundings": {"method": "identity"}}
    whole = bench.compare(paths, tiles, "ilt", **how)
    first = bench.compare({("U-Net", 3): paths["U-Net", 3]}, tiles, "ilt", **how)
    one = begin("32_benchmark_models", tmp_path / "results" / "one")
    several_runs.save_seeds(one, first.scores, NAME)

    two = begin("32_benchmark_models", tmp_path / "results" / "two", earlier=str(one.out_dir))
    before = several_runs.earlier_run(two, str(one.out_dir))
    stored = several_runs.stored_seeds(before, NAME)
    assert [ds["seed"].item() for ds in stored] == [0, 3]
    assert [len(ds["method"]) for ds in stored] == [3, 1]
    made, real = [], bm._score
    monkeypatch.setattr(bm, "_score", lambda part, kept: (made.append(part.entry.name), real(part, kept)))
    elsewhere = replace(bench, run_dir=tmp_path / "parts")
    second = elsewhere.compare({("U-Net", 4): paths["U-Net", 4]}, tiles, "ilt", **how, earlier=stored)
    assert set(made) == {"U-Net"} and [entry.seed for entry in second.entries] == [4]
    same = [name for name in whole.scores.data_vars if name != schema.RUNTIME]
    xr.testing.assert_equal(second.scores[same], whole.scores.sel({"method": second.scores["method"].values})[same])
    assert second.networks == second.learnt == ["U-Net"] and second.solvers == ["OPC"]
    # With all of it stored, nothing is left to do.
    several_runs.save_seeds(two, second.scores, NAME)
    made.clear()
    third = elsewhere.compare({}, tiles, "ilt", **how, earlier=several_runs.stored_seeds(two.out_dir, NAME))
    assert made == [] and third.entries == []
    xr.testing.assert_equal(third.scores[same], second.scores[same])

    fewer = tiles.part([0])
    with pytest.raises(OptionError, match=r"of other tiles \(tile differs\)"):
        elsewhere.compare({}, fewer, "ilt", **how, earlier=stored)


def test_the_list_of_trainings_goes_on(two_days, tmp_path):
    days, *_ = two_days
    one = begin("31_train_models", tmp_path / "results" / "one")
    one.save(trainings.summary(days[3]), trainings.RESULT)
    both = trainings.summary(days[4], earlier=one.out_dir)
    alone = [trainings.summary(trained) for trained in days.values()]
    assert both["seed"].values.tolist() == [3, 4]
    assert both["folder"].values.tolist() == ["", alone[1]["folder"].item()]
    for name in ("n_parameters", "train_s", schema.L2, "precision"):
        assert both[name].values.tolist() == [ds[name].item() for ds in alone]
    two = begin("31_train_models", tmp_path / "results" / "two")
    two.save(both, trainings.RESULT)
    assert list(trainings.listed_in(two.out_dir)) == [*days[3], *days[4]]
    # Only what was trained here can be asked for masks.
    assert list(trainings.folders(two.out_dir)) == list(days[4])
    nothing_new = trainings.summary({}, earlier=two.out_dir)
    assert nothing_new["seed"].values.tolist() == [3, 4] and not any(nothing_new["folder"].values)
    three = begin("31_train_models", tmp_path / "results" / "three")
    three.save(nothing_new, trainings.RESULT)
    with pytest.raises(MissingDataError, match="trained nothing itself"):
        exported.export(three.out_dir, tmp_path / "weights")
    assert trainings.select({}, layer="via1", kind="ilt", are_needed=False) == {}


def test_only_runs_of_the_same_kind_stand_together(tmp_path):
    one = begin("32_benchmark_models", tmp_path / "results" / "one")
    ds = xr.Dataset({schema.L2: (("method", "seed", "sample"), np.ones((1, 1, 2)))}, {"method": ["a"], "seed": [0]})
    several_runs.save_seeds(one, schema.label(ds), NAME)
    others = {"seed": [7], "workers": 2, "solvers": {}, "layers": ["via1"]}
    two = begin("32_benchmark_models", tmp_path / "results" / "two", **{k: v for k, v in others.items() if k != "seed"})
    assert several_runs.earlier_run(two, "") is None
    assert several_runs.stored_seeds(None, NAME) == []
    assert several_runs.earlier_run(two, str(one.out_dir)) == one.out_dir
    more = begin("32_benchmark_models", tmp_path / "results" / "more", n_tiles=7)
    with pytest.raises(OptionError, match="other parameters, its seeds are not of this kind: n_tiles: 3 there, 7 here"):
        several_runs.earlier_run(more, str(one.out_dir))
    solvers = {"OPC, tuned": {"method": "identity"}}
    changed = begin("32_benchmark_models", tmp_path / "results" / "changed", solvers=solvers)
    with pytest.raises(OptionError, match=r"solvers\[OPC, tuned\]"):
        several_runs.earlier_run(changed, str(one.out_dir))
    other = begin("31_train_models", tmp_path / "results" / "other")
    with pytest.raises(OptionError, match="is of notebook 32_benchmark_models, this is 31_train_models"):
        several_runs.earlier_run(other, str(one.out_dir))
    with pytest.raises(MissingDataError, match="earlier: no results at"):
        several_runs.earlier_run(two, str(tmp_path / "nowhere"))


def test_who_makes_masks_is_said():
    makers = {en.BenchEntry(name="layout").maker, en.BenchEntry(name="labels", label="ilt").maker}
    assert makers == {names.GIVEN}
    assert [entry.maker for entry in en.solver_entries({"a": {"method": "identity", "preset": "x"}}, "m")] == [
        names.SOLVER
    ]
