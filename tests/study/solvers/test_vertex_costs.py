"""Vertices of a written mask against its print."""

from __future__ import annotations

import numpy as np

from maskopt_lib import layout, litho, metrics, optics
from maskopt_lib.data import schema
from maskopt_lib.study.solvers.vertex_costs import curve_costs, vertex_costs


def test_fewer_vertices_cost_print():
    sim = litho.Simulator(optics.load("embedded"))
    target = layout.demo_clips()["demo-metal-corners"].rasterize(2, antialiased=False)
    y, x = (np.mgrid[:1024, :1024] + 0.5) * 2
    mask = target | (np.hypot(y - 1024, x - 1024) % 90 < 45)
    costs = vertex_costs(mask, target, sim, tolerances_nm=(0.5, 2.0))
    assert costs["vertex_tolerance_nm"].values.tolist() == [0.0, 0.5, 2.0]
    assert (np.diff(costs["vertices"]) < 0).all() and costs["vertices"][2] < costs["vertices"][1] / 2
    field = metrics.evaluate(mask, target, sim, only=("l2_nm2", "epe_mean_abs_nm"))
    assert float(costs["l2_nm2"][0]) == float(field["l2_nm2"])
    assert abs(costs["epe_mean_abs_nm"] - float(field["epe_mean_abs_nm"])).max() < 2
    schema.validate(costs)
    there = vertex_costs(mask, target, sim, tolerances_nm=(), region_nm=(0, 0, 2048, 1024))
    for name in ("l2_nm2", "epe_sites"):
        assert 0 < there[name][0] < costs[name][0]


def test_curves_are_fewer_than_vertices_and_print_much_the_same():
    sim = litho.Simulator(optics.load("embedded"))
    y, x = (np.mgrid[:512, :512] + 0.5) * 4
    target = (np.hypot(y - 1024, x - 1024) < 200).astype(np.uint8)
    target[-10:, 60:90] = 1  # curves of what ends at the border may leave the field
    costs = curve_costs(target, target, sim, tolerances_nm=(2.0,))
    itself, fitted = costs.sel(tolerance_nm=0), costs.sel(tolerance_nm=2)
    assert fitted["segments"] < fitted["vertices"]
    assert float(itself["l2_nm2"]) == float(metrics.evaluate(target, target, sim, only=["l2_nm2"])["l2_nm2"])
    assert abs(float(fitted["l2_nm2"] - itself["l2_nm2"])) < 4000
    schema.validate(costs)
