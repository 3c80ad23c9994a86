"""Figures of mask models: what is drawn where, and that it can be drawn with what is missing."""

from __future__ import annotations

import numpy as np
import xarray as xr

from maskopt_lib import figures
from maskopt_lib.data import schema


def rows() -> xr.Dataset:
    """Three methods: one with intervals, one without, one without a number."""
    values = np.array([[10.0, 8.0, 12.0], [20.0, np.nan, np.nan], [np.nan] * 3])
    ds = xr.Dataset(
        {name: (("method", "statistic"), values * k) for name, k in ((schema.L2, 1000), (schema.EPE3, 1))}
        | {schema.SHOTS: (("method", "statistic"), values + 5)},
        coords={"method": ["a", "b", "c"], "statistic": ["mean", "low", "high"]},
    )
    return schema.label(ds)


def curves(terms=("label", "l2")) -> xr.Dataset:
    loss = np.linspace(1, 0.5, 8)[:, None] * np.ones(len(terms))
    loss[:4, -1] = np.nan  # a term of the second stage
    ds = xr.Dataset(
        {
            "loss": (("step", "term"), loss),
            "validation_loss": (("check", "term"), loss[3::4]),
            schema.L2: ("check", [9e4, 8e4]),
            schema.SHOTS: ("check", [30.0, 40.0]),
        },
        coords={"step": np.arange(1, 9), "term": list(terms), "at_step": ("check", [4, 8])},
    )
    return schema.label(ds)


def points(drawn) -> list[list[float]]:
    return [list(point) for dots in drawn.of("dots") for point in dots.data]


def test_training_curves_have_a_panel_a_term_and_a_score(tmp_path):
    drawn = figures.models.training_curves(
        {"one": curves(), "two": curves(terms=("label",))}, scores=[schema.L2, schema.SHOTS], title="metal1"
    )
    panels = drawn.panels
    assert len(panels) == 4
    labels = [panel.ylabel for panel in panels]
    assert labels == ["label loss", "l2 loss", "L2 (nm²)", "shots"]
    # Steps and checks of the term that comes late: four steps, one check, of one training.
    assert [line.data[:, 0].tolist() for line in panels[1].of("line")] == [[5, 6, 7, 8], [8]]
    figures.save(drawn, "curves", tmp_path)


def test_score_bars_stand_in_the_order_of_the_methods(tmp_path):
    drawn = figures.models.score_bars(rows(), names=[schema.L2, schema.SHOTS], title="metal1, ilt")
    first = drawn.panels[0]
    assert points(first) == [[10000.0, 2.0], [20000.0, 1.0]]
    assert [line.tolist() for line in first.of("paths")[0].data] == [[[8000.0, 2.0], [12000.0, 2.0]]]
    figures.save(drawn, "scores", tmp_path)


def test_tradeoff_of_means_with_intervals_names_its_methods(tmp_path):
    drawn = figures.tradeoff(rows(), x="shots", y="epe3", groups={"a": "network", "b": "network"})
    assert points(drawn) == [[15.0, 10.0], [25.0, 20.0]]
    assert {text for *_, text in drawn.of("names")[0].data} == {"a", "b"}
    figures.save(drawn, "fidelity", tmp_path)
