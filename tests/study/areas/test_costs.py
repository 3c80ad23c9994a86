"""Costs of an area: passes side by side, and a square millimetre by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib.study.areas import costs


def windows(solved, seconds):
    ds = xr.Dataset({"solved": ("tile", solved), "runtime_s": ("tile", seconds), "peak_memory_gb": ("tile", [1.0] * 4)})
    return ds.isel(tile=slice(len(solved))).assign_attrs(wall_s=8.0)


@pytest.fixture
def spent():
    first = windows([1, 1, 0, 1], [2.0, 4.0, 9.0, 6.0])
    repair = windows([0, 0, 0, 0], [9.0] * 4).isel(tile=slice(2))
    return costs.time_table({"first windows": first, "seam pass": windows([1] * 4, [8.0] * 4), "repair": repair})


def test_a_row_a_pass_counts_what_was_solved(spent):
    first = spent.loc["first windows"].droplevel(1)
    assert (first["windows"], first["solved"], first["saved"]) == (4, 3, 1)
    assert (first["solver seconds"], first["seconds a solved window"], first["wall seconds a window"]) == (12, 4, 2)
    assert np.isnan(spent.loc["repair", ("seconds a solved window", "measured")]), "nothing was solved"


def test_a_square_millimetre_takes_the_seconds_of_all_passes(spent):
    needs = costs.square_millimetre(spent, 3.0, 1000.0, cores=10, gpus=5, gpu_seconds=0.036)
    assert needs.attrs == {"windows": 1e6, "times_more": pytest.approx((4 + 8) / 4)}
    hours = needs["hours for 1 mm2"]
    assert hours["one core"] == 2500 and hours["a cluster of 10 cores"] == 250
    # Two passes and half of the windows again, at the assumed time.
    assert hours["one GPU"] == 25 and hours["a cluster of 5 GPUs"] == 5
    assert "assumed 0.036 s" in needs["from"]["one GPU"]


def test_a_pass_without_a_window_to_solve_costs_nothing():
    spent = costs.time_table({"repair": windows([1] * 4, [8.0] * 4).isel(tile=slice(0))}).loc["repair"].droplevel(1)
    assert spent["windows"] == spent["solved"] == spent["solver seconds"] == 0
    assert np.isnan(spent["peak memory of a worker (GB)"])
