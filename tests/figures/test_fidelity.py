"""Figures of fidelity and of starts: who is drawn where, and that both are saved."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import figures
from maskopt_lib.data import schema


def rows(dims, coords, names, spread=0.1) -> xr.Dataset:
    rng = np.random.default_rng(0)
    shape = [len(coords[dim]) for dim in dims]
    found = {}
    for name in names:
        mean = np.sort(rng.uniform(10, 3000, shape))[..., ::-1]
        found[name] = ((*dims, "statistic"), np.stack([mean, (1 - spread) * mean, (1 + spread) * mean], axis=-1))
    return schema.label(xr.Dataset(found, {**coords, "statistic": ["mean", "low", "high"]}))


METHODS = ["GAN-OPC", "DAMO", "labels", "ours, dial 0", "ours, dial 0.5", "ours, dial 1"]


def test_a_dial_is_a_curve_with_its_values(tmp_path):
    found = rows([schema.METHOD], {schema.METHOD: METHODS}, [schema.SHOTS, schema.EPE_MEAN_ABS])
    drawn = figures.models.fidelity_map(found, title="metal1, ilt")
    points = [one.data for one in drawn.of("dots")]
    assert [len(one) for one in points] == [1, 1, 1, 3]
    expected = found[schema.SHOTS].sel({"method": "DAMO", "statistic": "mean"}).item()
    assert points[1][0, 0] == pytest.approx(expected)
    (names,) = drawn.of("names")
    assert [text for *_, text in names.data] == [
        *("GAN-OPC", "DAMO", "labels"),
        *(f"unrolled descent, {dial}" for dial in ("0", "0.5", "1")),
    ]
    figures.save(drawn, "map", tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} >= {".png", ".svg"}


def test_starts_are_lines_over_steps_and_seconds(tmp_path):
    coords = {"start": ["target", "DAMO", "random"], schema.STEP: [0, 4, 16, 64]}
    found = rows(["start", schema.STEP], coords, [schema.L2, schema.RUNTIME])
    # The layout itself takes no time.
    found[schema.RUNTIME][dict(start=0, step=0)] = 0.0
    drawn = figures.models.refinement_curves(found, y=schema.L2, goal=100.0, title="metal1")
    over_steps, over_seconds = (panel.of("line") for panel in drawn.panels)
    assert [c.label for c in over_steps] == [c.label for c in over_seconds] == ["target as mask", "DAMO", "random"]
    assert [len(c.data) for c in over_steps] == [4, 4, 4] and [len(c.data) for c in over_seconds] == [3, 4, 4]
    figures.save(drawn, "starts", tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} >= {".png", ".svg"}
