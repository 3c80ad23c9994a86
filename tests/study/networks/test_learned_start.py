"""Solvers from given masks: budgets are kept to, starts matter, and what was saved is what the curves say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from model_stores import in_dark, model_store

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.opc import Recipe
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver
from maskopt_lib.study.networks import benchmark as bm
from maskopt_lib.study.networks import learned_start as ls
from maskopt_lib.study.networks.fields import middle
from maskopt_lib.study.solvers.settings import MERIT

SOLVER = Recipe(method="pixel_ilt", preset="tuned", options={"pixel_nm": 8.0})
HOW = {"solver": SOLVER, "shares": {"n_steps": 1}, "budgets": [0, 6]}


@pytest.fixture
def bench(tmp_path):
    store = model_store(tmp_path / "tiles")
    return bm.Bench(store=store.path, run_dir=tmp_path, kernels=optics.load("embedded"))


def test_a_start_is_refined_in_as_many_steps_as_asked_for(bench, monkeypatch):
    tiles = in_dark(bench, bench.choose("metal1", n=1, in_place=False, split="validation", context_nm=16))
    opc = {"method": "identity", "preset": "identity"}
    target, same = ls.starts_of(bench, {}, tiles, "ilt", ["net"], opc)
    noise = ls.random_start(tiles, block_nm=32, seed=1)
    read = bench.read(tiles)
    np.testing.assert_array_equal(target.masks, tiles.layouts)
    np.testing.assert_array_equal(same.masks, tiles.layouts)
    assert target.seconds.tolist() == [0] and noise.masks.shape == target.masks.shape

    steps = []
    real = Recipe.solve
    monkeypatch.setattr(Recipe, "solve", lambda *a, **k: steps.append(k["n_steps"]) or real(*a, **k))
    found = ls.refine(bench, [target, noise], tiles, **HOW)
    # One step to warm up, then what was asked for; again, nothing is solved.
    assert steps == [1, 6, 6]
    again = ls.refine(bench, [target, noise], tiles, **HOW)
    assert steps == [1, 6, 6]
    xr.testing.assert_identical(again, found)
    # No step: the start itself, binary.
    judge = TileSolver(LabelRule(kernels="embedded"))
    for start in (target, noise):
        binary = (start.masks >= 0.5).astype(np.uint8)
        own = judge.score(middle(binary, 1024), read.drawn, surroundings=binary)
        for name in (schema.L2, schema.SHOTS):
            assert found[name].sel(start=start.name, step=0).values.tolist() == own[name].values.tolist()
    merit = found[MERIT].isel(sample=0)
    assert merit.sel(start="random", step=6) < 0.5 * merit.sel(start="random", step=0)
    assert merit.sel(start="target", step=6) < merit.sel(start="random", step=6)
    assert found[schema.RUNTIME].sel(step=6).min() > 0 and not found[schema.RUNTIME].sel(step=0).any()


def refined(merit, seconds, budgets, cells=None) -> xr.Dataset:
    merit = np.asarray(merit, float)
    dims = (ls.START, schema.STEP, schema.SAMPLE)
    ds = xr.Dataset(
        {MERIT: (dims, merit), schema.L2: (dims, merit), schema.RUNTIME: (dims, np.broadcast_to(seconds, merit.shape))},
        {ls.START: ["target", "network", "random"], schema.STEP: budgets},
    )
    return ds.assign(cell=(schema.SAMPLE, np.arange(merit.shape[-1]) if cells is None else cells))


def test_savings_are_read_off_the_curves():
    curves = np.array([[9.0, 5.0, 1.0], [5.0, 1.0, 1.0], [99.0, 50.0, 25.0]])
    spread = 1 + 0.1 * np.random.default_rng(0).random(30)
    seconds = np.array([[0.0, 1.0, 2.0], [0.5, 1.5, 2.5], [0.0, 1.0, 2.0]])[..., None]
    ds = refined(curves[..., None] * spread, seconds, [0, 10, 20])
    found = ls.savings(ds, within=0.0)
    assert found["steps"].sel(statistic="mean").values.tolist() == [20, 10, np.inf]
    assert found["steps_saved"].sel(start="network").values.tolist() == pytest.approx([10, 10, 10])
    assert found["seconds_saved"].sel(start="network", statistic="mean").item() == pytest.approx(0.5)
    assert found["reached"].values.tolist() == [1, 1, 0]
    assert found["steps_saved"].sel(start="random", statistic="high").item() == -np.inf
    # Missed by a whole step's worth, the goal is reached halfway between two budgets.
    half = ls.savings(ds, within=2.0)
    assert half["steps"].sel(start="target", statistic="mean").item() == pytest.approx(15)
    # Tiles of one cell: numbers, but no interval.
    alone = ls.savings(refined(curves[..., None] * spread, seconds, [0, 10, 20], np.zeros(30)))
    assert np.isfinite(alone["steps"].sel(start="network", statistic="mean"))
    assert np.isnan(alone["steps"].sel(start="network", statistic="low")) and np.isnan(alone["reached"]).all()


def test_at_equal_time_a_start_has_done_what_it_can():
    curves = np.array([[9.0, 5.0, 1.0], [5.0, 1.0, 0.5], [99.0, 50.0, 25.0]])
    seconds = np.array([[0.0, 1.0, 2.0], [0.5, 1.5, 2.5], [0.0, 1.04, 2.0]])[..., None]
    found = ls.at_equal_time(refined(curves[..., None] * np.ones(5), seconds, [0, 10, 20]))
    assert found["limit_s"].values.tolist() == [0, 1, 2]
    merit = found[MERIT].sel(statistic="mean")
    np.testing.assert_array_equal(merit.sel(start="network"), [np.nan, 5, 1])
    np.testing.assert_array_equal(merit.sel(start="random"), [99, 50, 25])
    assert found["steps"].sel(start="target").values.tolist() == [0, 10, 20]


def test_how_far_starts_are_apart_after_refinement():
    curves = np.array([[100.0, 10.0], [150.0, 10.1], [400.0, 20.0]])
    ds = refined(curves[..., None] * np.ones(5), 1.0, [0, 20])
    found = ls.spread_percent(ds, ["target", "network"])
    np.testing.assert_allclose(found["l2_apart_percent"].sel(statistic="mean"), [50, 1])
    np.testing.assert_allclose(found["merit_apart_percent"].sel(step=20), 1)
    with pytest.raises(ValueError, match="1 steps do not reach for 2 parts"):
        ls.split_steps(1, {"free_steps": 1, "n_steps": 1})
