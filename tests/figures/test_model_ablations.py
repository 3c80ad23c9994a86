"""Figures of ablations of networks: what is drawn where, and that what is missing is left out."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import figures
from maskopt_lib.data import schema
from maskopt_lib.figures import models


def context_rows() -> xr.Dataset:
    """A network and the labels, which were made with one context and with all surroundings."""
    values = np.full((2, 3, 2, 3), np.nan)
    values[0, :2] = 10.0 * np.arange(1, 5).reshape(2, 2, 1) + np.array([0.0, -1.0, 1.0])
    values[0, 2, 1] = values[1, 2, 1] = 5.0
    coords = {"network": ["net", "labels"], "context": [0, 32, -1], "printed": ["alone", "in place"]}
    dims = (*coords, "statistic")
    return schema.label(xr.Dataset({schema.L2: (dims, values)}, coords | {"statistic": ["mean", "low", "high"]}))


def effects() -> xr.Dataset:
    """One that is decided, one that is not, one without an interval, one that is not there."""
    values = {"mean": [[5.0, -4.0], [2.0, np.nan]], "low": [[3.0, -6.0], [np.nan, np.nan]]}
    values["high"] = [[7.0, 1.0], [np.nan, np.nan]]
    said = {"long_name": "gain", "units": "%"}
    return xr.Dataset(
        {name: (("row", "cells"), np.array(column), said) for name, column in values.items()},
        {"row": ["one hot", "FiLM"], "cells": ["seen", "unseen"]},
    )


def space(n: int = 3) -> xr.Dataset:
    position = np.arange(2.0 * n).reshape(n, 2)
    return xr.Dataset(
        {
            "position": (("cell", "component"), position),
            "family": ("cell", ["gates", "others", "gates"][:n]),
            "explained": ("component", [0.7, 0.2]),
        },
        {"cell": ["NAND2_X1", "FILL", "NAND2_X2"][:n]},
    )


def points(drawn) -> list[list[float]]:
    return [list(point) for dots in drawn.of("dots") for point in dots.data]


def test_all_surroundings_stand_apart(tmp_path):
    drawn = models.context_lines(context_rows(), names=[schema.L2], reference="labels", title="metal1")
    curves = {line.label: line.data.tolist() for line in drawn.of("line") if len(line.data)}
    assert curves["printed alone"] == [[0, 10], [32, 30]] and curves["printed in place"] == [[0, 20], [32, 40]]
    # Where there is nothing printed alone, nothing is drawn; the reference is a level.
    assert points(drawn) == [[64, 5]] and {level.data for level in drawn.of("across")} == {5}
    assert [key.label for key in drawn.keys] == ["labels, all around"]
    figures.save(drawn, "contexts", tmp_path)
    text = (tmp_path / "contexts.svg").read_text()
    assert "metal1, net" in text and "nm²" in text and ">all<" in text


def test_effects_without_a_doubt_are_filled(tmp_path):
    drawn = models.interval_rows(effects(), along="row", panels="cells", title="via1")
    filled, hollow = ([], []), ([], [])
    for n, panel in enumerate(drawn.panels):
        for chosen, dots in zip((filled, hollow), panel.of("dots"), strict=True):
            chosen[n].extend(dots.data.tolist())
    # What is not known is not said to be undecided.
    assert filled == ([[5, 1], [2, 0]], []) and hollow == ([], [[-4, 1]])
    assert len(drawn.of("paths")) == 2
    figures.save(drawn, "effects", tmp_path)
    assert "gain (%)" in (tmp_path / "effects.svg").read_text()


@pytest.mark.parametrize("n", [3, 1])
def test_cells_lie_where_the_network_puts_them(n, tmp_path):
    drawn = models.embedding_map(space(n))
    by_family = {dots.label: dots.data.tolist() for dots in drawn.of("dots")}
    assert by_family == ({"gates": [[0, 1], [4, 5]], "others": [[2, 3]]} if n == 3 else {"gates": [[0, 1]]})
    figures.save(drawn, "space", tmp_path)
    text = (tmp_path / "space.svg").read_text()
    assert "NAND2_X1" in text and "70 % of the variance" in text
