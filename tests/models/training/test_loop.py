"""Training: seed and place say what is seen, a killed training goes on to the same losses, the best check is kept."""

from __future__ import annotations

import importlib
import re
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from model_stores import SMALL, model_store

from maskopt_lib import models, optics, registry
from maskopt_lib.data.parquet import export_parquet, import_parquet
from maskopt_lib.data.splits import SplitRule, keep_rule
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.errors import MissingDataError, OptionError, UnknownNameError
from maskopt_lib.models.training import loop as train_models
from maskopt_lib.models.training.loop import train
from maskopt_lib.models.training.rules import Stage, TrainRule
from maskopt_lib.models.training.tiles import BatchPlaces, TileStream, choose_tiles, read_tiles
from maskopt_lib.study.dataset.tile_masks import scorer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return model_store(tmp_path_factory.mktemp("data") / "tiles")


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded")


def small(model: str, **changes) -> TrainRule:
    return TrainRule(model=model, **SMALL | changes)


@pytest.fixture
def run(store, kernels, tmp_path):
    """Train a rule in a folder of the test."""
    return lambda rule, folder="run", store=store: train(rule, store.path, tmp_path / folder, kernels=kernels)


def stream(store, seed=(0, 0), turns=(0, 4)):
    sets = [TileDataset(store.path, "metal1", context_nm=16, method="ilt", tag="index", turns=turns, pixel_nm=8)]
    return TileStream(sets, [1], seed)


def test_a_round_shows_every_tile_once_and_another_in_another_order(store):
    tiles = stream(store)
    n = len(tiles)
    rounds = [[int(tiles[i]["sample"]) for i in range(k * n, (k + 1) * n)] for k in range(3)]
    assert n > 4 and all(sorted(one) == sorted(tiles.sets[0].samples) for one in rounds)
    assert len({tuple(one) for one in rounds}) == 3


def test_what_comes_at_a_place_needs_no_history_and_moves_no_other_random_numbers(store):
    one, other = stream(store), stream(store)
    one_by_one = [one[i] for i in range(len(one))]
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    late = other[len(one) - 1]
    assert torch.rand(1) == expected
    assert all(torch.equal(value, one_by_one[-1][name]) for name, value in late.items())
    assert len({float(item["dial"]) for item in one_by_one}) == len(one_by_one)
    assert not all(
        torch.equal(item["target"], same["target"])
        for item, same in zip(one_by_one, (stream(store, turns=(4,))[i] for i in range(len(one))), strict=True)
    )


@pytest.mark.parametrize(("parts", "world"), [(1, 1), (2, 1), (1, 2), (2, 2)])
def test_processes_and_parts_share_the_batch_of_a_step(parts, world):
    ranks = [list(BatchPlaces(first=3, last=5, batch=8, parts=parts, rank=rank, world=world)) for rank in range(world)]
    assert all(len(one) == len(BatchPlaces(first=3, last=5, batch=8, parts=parts)) for one in ranks)
    for step in range(2):
        places = [p for one in ranks for batch in one[step * parts : (step + 1) * parts] for p in batch]
        assert sorted(places) == list(range((3 + step) * 8, (4 + step) * 8))


def test_a_killed_training_goes_on_to_the_same_losses_and_weights(store, kernels, run, tmp_path, monkeypatch):
    rule = small("gan_opc", preset="corrected", steps=6, check_every=3)
    assert rule.bounds == [(0, 2), (2, 6)]
    whole = run(rule, "whole")

    real, calls = train_models.losses.discriminator_loss, []

    def dies_at_the_last_step(*verdicts):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return real(*verdicts)

    monkeypatch.setattr(train_models.losses, "discriminator_loss", dies_at_the_last_step)
    with pytest.raises(KeyboardInterrupt):
        run(rule, "killed")
    calls.clear()
    with pytest.raises(MissingDataError, match="no finished training"):
        train_models.read_trained(next((tmp_path / "killed" / train_models.TRAININGS).iterdir()))
    # Whatever was drawn in between does not matter.
    torch.rand(7)
    resumed = run(rule, "killed")
    assert len(calls) == 1, "one step was left"
    np.testing.assert_array_equal(resumed.curves["loss"], whole.curves["loss"])
    np.testing.assert_array_equal(resumed.curves["l2_nm2"], whole.curves["l2_nm2"])
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()
    assert not list(resumed.path.glob("checkpoint*"))
    # The rival has a say in the second stage only.
    assert np.isfinite(whole.curves["loss"].sel(term="adversarial")).values.tolist() == [False] * 2 + [True] * 4
    assert whole.curves["stage"].values.tolist() == ["pretrain"] * 2 + ["adversarial"] * 4

    # What is finished is taken, from another run's folder as well; another seed is another training.
    monkeypatch.setattr(train_models, "_train", lambda *_: pytest.fail("trained again"))
    again = train(rule, store.path, tmp_path / "new", kernels=kernels, known=[tmp_path / "whole"])
    assert again.path == whole.path
    torch.testing.assert_close(dict(again.model.state_dict()), dict(whole.model.state_dict()), rtol=0, atol=0)
    other = small("gan_opc", preset="corrected", steps=6, check_every=3, seed=1)
    keys = {train_models.train_key(one, store.path, kernels) for one in (rule, other)}
    assert len(keys) == 2


@pytest.mark.parametrize("n_damaged", [0, 1, 2])
def test_a_damaged_checkpoint_means_the_one_before_or_anew(run, tmp_path, monkeypatch, n_damaged):
    rule = small("neural_ilt", stages=(Stage(name="label", weights={"label": 1.0}),), steps=3, check_every=1)
    whole = run(rule, "whole")
    monkeypatch.setattr(train_models.Judge, "finish", lambda *_: pytest.exit("killed"))
    with pytest.raises(pytest.exit.Exception):
        run(rule, "killed")
    monkeypatch.undo()
    (folder,) = (tmp_path / "killed" / train_models.TRAININGS).iterdir()
    kept = sorted(folder.glob("checkpoint-*"))
    assert len(kept) == 2
    for path in kept[2 - n_damaged :]:
        path.write_bytes(path.read_bytes()[:-9])
    written = []
    write = train_models.checkpoints.write_checkpoint
    monkeypatch.setattr(train_models.checkpoints, "write_checkpoint", lambda *args: written.append(1) or write(*args))
    resumed = run(rule, "killed")
    assert len(written) == {0: 0, 1: 1, 2: 3}[n_damaged]
    np.testing.assert_array_equal(resumed.curves["loss"], whole.curves["loss"])
    assert resumed.weights.read_bytes() == whole.weights.read_bytes()


def test_what_is_finished_and_damaged_is_trained_again(run):
    rule = small("neural_ilt", stages=(Stage(name="label", weights={"label": 1.0}),), steps=1)
    first = run(rule)
    data = first.weights.read_bytes()
    first.weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(MissingDataError, match="no finished training"):
        train_models.described(first.path)
    assert run(rule).weights.read_bytes() == data


def test_a_step_in_parts_is_the_step(run):
    """Without batch norm, gradients of parts add up to that of the whole batch."""
    stages = (Stage(name="all", weights={"label": 1.0, "l2": 0.5, "pv_band": 0.5}, lr=1e-2),)
    rule = {"preset": "original", "stages": stages, "steps": 3, "check_every": 3, "batch": 4}
    losses = [run(small("neural_ilt", **rule, accumulate=parts)).curves["loss"].values for parts in (1, 2)]
    assert np.ptp(losses[0][:, 0]) > 1e-3
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-3)


def test_labels_are_learnt_and_the_best_check_is_kept(store, kernels, run):
    stages = (Stage(name="label", weights={"label": 1.0}, lr=2e-2),)
    rule = small("neural_ilt", stages=stages, steps=24, check_every=8)
    trained = run(rule)
    loss = trained.curves["loss"].sel(term="label")
    assert float(loss[-4:].mean()) < 0.6 * float(loss[0])
    np.testing.assert_allclose(trained.curves["lr"], [2e-2] * 12 + [2e-3] * 12)
    merit = trained.curves["l2_nm2"].values
    assert trained.curves.attrs["best_check"] == int(merit.argmin())
    # The kept network is that of the best check: it scores what the check found.
    where = {"split": "validation", "context_nm": 16, "kinds": ("ilt",)}
    tiles = read_tiles(store.path, "metal1", choose_tiles(store.path, "metal1", n=1, **where), **where)
    masks = train_models.predict_tiles(trained, tiles, kind="ilt")
    scores = scorer(kernels).score(masks, tiles.drawn)
    assert float(scores["l2_nm2"][0]) == trained.curves["l2_nm2"].values[merit.argmin()]


def test_training_ends_when_checks_find_nothing_better(run):
    stages = (Stage(name="idle", weights={"label": 1.0}, lr=1e-12),)
    rule = small("neural_ilt", preset="original", stages=stages, steps=9, check_every=1, patience=2)
    curves = run(rule).curves
    assert (curves.sizes["check"], curves.attrs["stopped_by"], curves.attrs["best_check"]) == (3, "patience", 0)
    # The best check is one of the last stage, and so is patience; what came before it is kept as pretrained.
    trained = run(replace(rule, stages=stages * 2, steps=12, pretrain_share=0.25))
    said = trained.curves.attrs
    assert (trained.curves.sizes["check"], said["stopped_by"], said["best_check"]) == (6, "patience", 3)
    assert said["pretrained_check"] == 0


def test_the_network_is_that_of_the_last_stage_and_the_one_before_is_kept(run):
    stages = tuple(Stage(name=name, weights={"label": 1.0}, lr=lr) for name, lr in (("learn", 2e-2), ("spoil", 1.0)))
    trained = run(small("neural_ilt", stages=stages, steps=12, check_every=3, pretrain_share=0.5))
    curves = trained.curves
    assert curves["at_step"].values.tolist() == [3, 6, 9, 12]
    assert curves.attrs["pretrained_check"] in (0, 1) and curves.attrs["best_check"] in (2, 3)
    before = train_models.read_trained(trained.path, pretrained=True)
    different = [
        not torch.equal(a, b) for a, b in zip(before.model.parameters(), trained.model.parameters(), strict=True)
    ]
    assert any(different)
    (trained.path / train_models.checkpoints.PRETRAINED).write_bytes(b"")
    with pytest.raises(MissingDataError, match="no finished training"):
        train_models.described(trained.path)
    one_stage = run(small("neural_ilt", stages=stages[:1], steps=1))
    with pytest.raises(MissingDataError, match="one stage"):
        train_models.read_trained(one_stage.path, pretrained=True)


def test_a_network_that_prints_nothing_after_a_quarter_begins_anew(run, monkeypatch):
    stages = (Stage(name="label", weights={"label": 1.0}),)
    rule = small("neural_ilt", stages=stages, steps=4, check_every=1, restarts=2)
    plain, drawn = run(replace(rule, restarts=0)), []
    real = train_models._fresh
    monkeypatch.setattr(train_models, "_fresh", lambda rule, restart: drawn.append(restart) or real(rule, restart))
    checks = train_models.checkpoints, train_models.Judge.check

    def dark_at_first(self, state, objective):
        checks[1](self, state, objective)
        state.is_dark = state.restarts < 1

    monkeypatch.setattr(train_models.Judge, "check", dark_at_first)
    trained = run(rule)
    assert drawn == [0, 1] and trained.curves.attrs["restarts"] == 1
    assert trained.curves.sizes["step"] == trained.curves.sizes["check"] == 4
    assert not np.allclose(trained.curves["loss"], plain.curves["loss"])
    # Not more often than it may.
    monkeypatch.setattr(train_models.Judge, "check", lambda *a: (checks[1](*a), setattr(a[1], "is_dark", True)))
    assert run(replace(rule, seed=1)).curves.attrs["restarts"] == 2


def test_shorter_numbers_and_channels_last_learn_the_same(run):
    stages = (Stage(name="label", weights={"label": 1.0}, lr=1e-2),)
    rule = small("neural_ilt", stages=stages, steps=8, check_every=8)
    ways = [rule, replace(rule, channels_last=True), replace(rule, precision="bf16-mixed")]
    losses = [run(way).curves["loss"].values for way in ways]
    assert losses[0][-1] < 0.9 * losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.1)
    np.testing.assert_allclose(losses[2], losses[0], rtol=0.1)
    assert train_models.precision_on("auto", "cpu") in ("32-true", "bf16-mixed")
    assert train_models.precision_on("32-true", "cpu") == "32-true"


def test_tiles_are_read_as_they_are_shown_and_drawn(store):
    where = {"split": "train", "context_nm": 16, "kinds": ("opc", "ilt")}
    samples = choose_tiles(store.path, "metal1", n=3, **where)
    tiles = read_tiles(store.path, "metal1", samples, **where)
    assert set(samples) <= set(choose_tiles(store.path, "metal1", **where))
    core, shown, content = (slice(512 - n, 512 + n) for n in (256, 272, 288))
    assert (tiles.image[:, core, core] == tiles.drawn[:, core, core]).all()
    assert (tiles.image[:, shown, shown] == tiles.drawn[:, shown, shown]).all()
    assert tiles.image.sum() == tiles.drawn[:, shown, shown].sum() < tiles.drawn.sum()
    assert tiles.drawn.sum() == tiles.drawn[:, content, content].sum()
    dataset = TileDataset(store.path, "metal1", context_nm=16, method="opc")
    at = dataset.samples.tolist().index(samples[1])
    assert (tiles.masks["opc"][1] == dataset[at]["mask"][0].numpy()).all()


def test_what_others_released_is_trained_on_alike(store, run, tmp_path):
    files = export_parquet(store, tmp_path / "released", layer="metal1", methods=["ilt"], allow_unlicensed=True)
    imported = import_parquet(files, tmp_path / "imported", layer="metal1")
    keep_rule(imported, SplitRule(held_out_cells=(), validation_designs=("validation",)))
    trained = run(small("neural_ilt", steps=2), store=imported)
    assert np.isfinite(trained.curves["loss"].max("term")).all() and np.isfinite(trained.curves["l2_nm2"]).all()


def test_stages_may_come_from_a_file_of_parameters():
    given = {"name": "label", "weights": {"label": 1.0}, "lr": 0.5}
    assert small("damo", stages=[given]).stages == (Stage(**given),)
    assert small("damo", stages=[given]) == small("damo", stages=(Stage(**given),))
    with pytest.raises(OptionError, match="lr must be a number"):
        small("damo", stages=[given | {"lr": -1}])
    with pytest.raises(OptionError, match=r"a stage has name, weights, .*; got \{'loss': 1\}"):
        small("damo", stages=[{"loss": 1}])


def test_a_network_of_ones_own_is_one_file_and_one_line(run, tmp_path, monkeypatch):
    """The example of `maskopt_lib.registry`, trained by the stages of its file and by others."""
    blocks = [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", registry.__doc__)]
    assert len(blocks[1].splitlines()) <= 20
    (tmp_path / "one_layer.py").write_text(blocks[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(models.MODELS, "_things", dict(models.MODELS._things))
    models.register("one_layer", importlib.import_module("one_layer"))
    trained = run(small("one_layer", steps=2))
    assert trained.curves["stage"].values.tolist() == ["label"] * 2 and np.isfinite(trained.curves["loss"]).all()
    other = run(small("one_layer", steps=2, stages=[{"name": "print", "weights": {"l2": 1.0}}]))
    assert other.curves["term"].values.tolist() == ["l2"]


def test_stages_share_the_steps_and_each_has_one():
    assert small("damo", steps=100).bounds == [(0, 25), (25, 100)]
    assert small("damo", steps=5, pretrain_share=0.999).bounds == [(0, 4), (4, 5)]
    three = [Stage(name=name, weights={"label": 1}) for name in "abc"]
    assert small("damo", steps=100, stages=three, pretrain_share=0.5).bounds == [(0, 50), (50, 75), (75, 100)]
    assert small("damo", steps=7, stages=three[:1]).bounds == [(0, 7)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "net"}, "no network .net.; known: gan_opc"),
        ({"precision": "8"}, "known: 32-true"),
        ({"kind": "opc"}, "this network draws: ilt"),
    ],
)
def test_what_is_not_known_is_answered_with_what_is(change, message, monkeypatch):
    with pytest.raises(UnknownNameError, match=message):
        TrainRule(**{"model": "neural_ilt"} | change)
    monkeypatch.delattr(models.MODELS["cfno"], "STAGES")
    with pytest.raises(UnknownNameError, match="no stages for 'cfno'; give `stages`, or its file STAGES"):
        TrainRule(model="cfno")
    with pytest.raises(UnknownNameError, match="no term 'l3'; known: label, l2"):
        Stage(name="a", weights={"l3": 1.0})
