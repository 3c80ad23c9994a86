"""Comparisons of methods: fronts, hypervolumes and verdicts are what numbers made by hand say."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.runs.bootstrap import ends, resampled_means
from maskopt_lib.study.networks import fidelity
from maskopt_lib.study.networks.scores import mean_scores

DIMS = (schema.METHOD, schema.SEED, schema.SAMPLE)
N = 40


def scores(**means) -> xr.Dataset:
    """Methods with given means of L2, EPE and shots, one seed, and some noise that is the same for all."""
    noise = np.random.default_rng(0).normal(0, 0.3, N)
    values = {name: np.zeros((len(means), 1, N)) for name in (*metrics.CORE_SCORES, schema.RUNTIME)}
    for i, (l2, epe, shots) in enumerate(means.values()):
        for name, mean in ((schema.L2, l2), (schema.EPE_MEAN_ABS, epe), (schema.SHOTS, shots), (schema.PVB, l2)):
            values[name][i, 0] = mean + noise
    ds = xr.Dataset({name: (DIMS, v) for name, v in values.items()}, {schema.METHOD: list(means), schema.SEED: [0]})
    return schema.label(ds.assign(cell=(schema.SAMPLE, np.arange(N).astype(str))))


DS = scores(
    DAMO=(100, 2, 90), **{"GAN-OPC": (200, 4, 30)}, **{"ours, dial 0": (80, 1, 50), "ours, dial 1": (90, 1.5, 25)}
)


def test_draws_have_the_spread_of_means():
    values = np.random.default_rng(1).normal(5, 2, (1, 1, 100))
    draws = resampled_means(values, np.arange(100))
    assert draws.std() == pytest.approx(values.std() / 10, rel=0.1)
    low, high = ends(draws)[0]
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 10, rel=0.1)
    # One cell says nothing of others; a seed that is not there does nothing.
    assert np.isnan(resampled_means(values, np.zeros(100))).all()
    with_none = np.concatenate([values, np.full_like(values, np.nan)], axis=1)
    np.testing.assert_allclose(resampled_means(with_none, np.arange(100)), draws)


def test_means_have_intervals_of_their_sum():
    rows = mean_scores(DS, [schema.L2, "merit_nm2"])
    l2, merit = rows[schema.L2].sel({"method": "DAMO"}).values, rows["merit_nm2"].sel({"method": "DAMO"}).values
    np.testing.assert_allclose(merit, 2 * l2)
    assert l2[1] < l2[0] < l2[2]


def test_a_method_wins_only_where_it_wins_in_all():
    rivals = {schema.L2: "DAMO", schema.EPE_MEAN_ABS: "DAMO", schema.SHOTS: "GAN-OPC"}
    found = fidelity.against(DS, ["ours, dial 0", "ours, dial 1"], rivals)
    assert found["verdict"].values.tolist() == [fidelity.REFUTED, fidelity.CONFIRMED]
    assert found["share"].values.tolist() == [0, 1]
    # The noise of tiles is common to both and falls out.
    np.testing.assert_allclose(found["difference"].sel({"method": "ours, dial 1", "score": schema.SHOTS}), -5)
    alone = DS.assign(cell=(schema.SAMPLE, np.full(N, "one")))
    found = fidelity.against(alone, ["ours, dial 1"], rivals)
    assert found["verdict"].item() == fidelity.UNDECIDED and np.isnan(found["share"].item())
    with pytest.raises(UnknownNameError, match="no method CFNO; there are: DAMO"):
        fidelity.against(DS, ["ours, dial 1"], {schema.L2: "CFNO"})


def test_statements_are_held_to_the_closest_other():
    among = ["DAMO", "GAN-OPC", "ours, dial 0"]
    claims = [
        {"says": "DAMO is the most complex", "network": "DAMO", "score": schema.SHOTS, "is": "highest"},
        {"says": "DAMO is the most faithful", "network": "DAMO", "score": schema.L2, "is": "lowest"},
        {"says": "GAN-OPC is the simplest", "network": "GAN-OPC", "score": schema.SHOTS, "is": "lowest"},
    ]
    table = fidelity.statements(DS, claims, among)
    assert table["verdict"].tolist() == [fidelity.CONFIRMED, fidelity.REFUTED, fidelity.CONFIRMED]
    assert table["closest other"].tolist() == ["ours, dial 0", "ours, dial 0", "ours, dial 0"]
    assert table["difference"].tolist() == pytest.approx([40, 20, -20])
    # Tiles differ by the same for all: no spread is left.
    np.testing.assert_allclose(table[["low", "high"]].values, table[["difference", "difference"]].values)
    assert table["best"].tolist() == ["DAMO", "ours, dial 0", "GAN-OPC"]
    stored = fidelity.claims_table({"metal1, ilt": table, "via1, ilt": table})
    assert len(stored) == 6 and stored.index[0] == "metal1, ilt: DAMO is the most complex"
    assert stored["difference"].iloc[0].tolist() == pytest.approx(table[["difference", "low", "high"]].iloc[0].tolist())
    assert stored["note", ""].iloc[1].startswith("refuted; p 0.000; l2_nm2; closest: ours, dial 0; best: ours")


def test_who_is_dominated_and_what_a_family_covers():
    means = DS.mean((schema.SEED, schema.SAMPLE))
    table = fidelity.dominated_by(means)
    assert table["dominated by"].to_dict() == {
        "DAMO": "ours, dial 0; ours, dial 1", "GAN-OPC": "ours, dial 1", "ours, dial 0": "", "ours, dial 1": "",
    }  # fmt: skip
    volumes = fidelity.hypervolumes(DS, np.full(N, 20.0), n_draws=20)
    assert volumes["family"].values.tolist() == ["DAMO", "GAN-OPC", "ours"]
    # A box of 300 nm2: DAMO alone covers (1 - 1/3)^2 of it, times the share of the logarithm of the shots.
    noise = float(DS[schema.L2].sel({"method": "DAMO"}).mean()) - 100
    side = 1 - (100 + noise) / 300
    height = 1 - np.log((90 + noise) / 10) / np.log(200)
    assert volumes["alone"].sel(family="DAMO", statistic="mean").item() == pytest.approx(side**2 * height)
    assert volumes["lost"].sel(statistic="mean").values[:2].tolist() == pytest.approx([0, 0], abs=1e-12)
    assert volumes["lost"].sel(family="ours", statistic="low").item() > 0
