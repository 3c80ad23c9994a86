"""Effects: intervals cover at few seeds what they say, statements are judged together, planned seeds are enough."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs import effects as ef
from maskopt_lib.runs.bootstrap import ends, resampled_means
from maskopt_lib.runs.planned import planned

DIMS = (schema.SEED, schema.SAMPLE)


def drawn(rng, n_seeds, n_tiles, mean=100.0, seed_sd=5.0, tile=0.0) -> xr.DataArray:
    """Scores with a spread of seeds, of tiles that all methods share, and of what each seed makes of each tile."""
    seeds = rng.normal(0, seed_sd, (n_seeds, 1))
    return xr.DataArray(mean + seeds + tile + rng.normal(0, 5, (n_seeds, n_tiles)), dims=DIMS)


@pytest.mark.parametrize(("n_seeds", "n_tiles"), [(2, 40), (3, 40), (5, 16)])
def test_intervals_cover_at_few_seeds_what_they_say(n_seeds, n_tiles):
    rng = np.random.default_rng(n_seeds)
    covered, by_bootstrap, n = 0, 0, 400
    for _ in range(n):
        tile = rng.normal(0, 20, n_tiles)
        base, other = (drawn(rng, n_seeds, n_tiles, tile=tile) for _ in range(2))
        low, high = ef.difference(base, other, np.arange(n_tiles)).interval
        covered += low <= 0 <= high
        if n_seeds == 3:
            rows = np.stack([base.values, other.values])
            draws = np.subtract(*resampled_means(rows, np.arange(n_tiles), n_draws=200))
            low, high = ends(draws)
            by_bootstrap += low <= 0 <= high
    assert covered / n > 0.93
    if n_seeds == 3:
        assert by_bootstrap / n < 0.88


def test_what_cells_share_widens_the_interval():
    rng = np.random.default_rng(0)
    of_cell = np.repeat(rng.normal(0, 10, 10), 20)
    base = drawn(rng, 1, 200, seed_sd=0)
    effect = [ef.difference(base, base + of_cell, groups).error for groups in (np.arange(200), np.arange(200) // 20)]
    assert effect[1] == pytest.approx(10 / np.sqrt(10), rel=0.4) and effect[1] > 3 * effect[0]
    # One cell says nothing of others, one seed nothing of others.
    alone = ef.gain(base, 0.5 * base, np.zeros(200))
    assert alone.mean == pytest.approx(50) and np.isnan(alone.interval).all() and alone.verdict == ef.UNDECIDED
    assert alone.p == alone.p_within(60) == 1


def test_a_seed_that_is_not_there_does_nothing():
    rng = np.random.default_rng(0)
    base, other = drawn(rng, 3, 20), drawn(rng, 2, 20)
    with_none = xr.DataArray(np.concatenate([other, np.full((2, 20), np.nan)]), dims=DIMS)
    assert ef.gain(base, other, np.arange(20)) == ef.gain(base, with_none, np.arange(20))


def test_statements_are_judged_together():
    certain, likely = ef.Effect(30.0, ((1.0, 10),)), ef.Effect(4.3, ((4.0, 40),))
    none, wrong = ef.Effect(0.1, ((0.04, 30),)), ef.Effect(-20.0, ((1.0, 10),))
    assert likely.verdict == ef.CONFIRMED
    found, p = ef.verdicts([certain, likely, none, wrong], [5.0] * 4)
    # Among several the likely one is not decided; it is not equivalent either.
    assert found == [ef.CONFIRMED, ef.UNDECIDED, ef.EQUIVALENT, ef.REFUTED]
    assert p[1] > likely.p and (p[[0, 2, 3]] < 0.05).all()
    assert ef.verdicts([none], [0.0])[0] == [ef.UNDECIDED]
    assert ef.verdicts([], [])[0] == []


def test_the_planned_number_of_seeds_finds_the_effect():
    effect, seed_sd, tile_sd, n_tiles = 10.0, 5.0, 20.0, 100
    n = ef.seeds_needed(effect, seed_sd=seed_sd, tile_sd=tile_sd, n_tiles=n_tiles)
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(300):
        base, other = (drawn(rng, n, n_tiles, mean, seed_sd) for mean in (100 + effect, 100))
        hits += ef.difference(base, other + rng.normal(0, tile_sd, n_tiles), np.arange(n_tiles)).verdict == ef.CONFIRMED
    assert 0.7 < hits / 300 < 0.95
    assert ef.seeds_needed(1.0, seed_sd=100, tile_sd=1, n_tiles=9) == 1000


def test_the_plan_of_statements_says_how_many_seeds_each_takes():
    plan = planned()
    assert plan.n == sum(len(rows) for rows in plan.statements.values()) > 10
    seeds = {s.says: plan.seeds(s) for rows in plan.statements.values() for s in rows}
    assert all(2 <= n < 40 for n in seeds.values())
    notebook, (first, *_) = next(iter(plan.statements.items()))
    assert list(plan.of(notebook, {"else": 0, first.says: 1})) == [first.says]
    # The others of the plan make it harder for each.
    effect = ef.Effect(4.3, ((3.0, 40),))
    alone, among = (ef.statement_table({"a": (effect, "x")}, n_family=n)["note", ""].item() for n in (0, plan.n))
    assert "of 1 statement;" in alone
    assert f"of {plan.n} statements" in among and among.startswith("not decided")
