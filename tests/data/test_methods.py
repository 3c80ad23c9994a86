"""The table of methods: one name, colour and marker each, told apart by all eyes."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import rgb2lab

from maskopt_lib import models, opc
from maskopt_lib.data import methods

# Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision Deficiency, IEEE TVCG
# 15(6), 2009: severity 1.0, on linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}
#: CIE 1976: differences above 2.3 are seen side by side; lines far apart want several times as much.
LEAST = 15.0


def seen(colour: str, sight: np.ndarray) -> np.ndarray:
    """A colour in CIELAB, as it is seen."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(sight @ linear, 0, 1)
    return rgb2lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)[None, None])[0, 0]


@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_methods_are_told_apart(sight):
    colours = {method.name: seen(method.colour, SIGHT[sight]) for method in methods.METHODS}
    near = {
        pair: distance
        for pair in combinations(colours, 2)
        if (distance := float(np.linalg.norm(colours[pair[0]] - colours[pair[1]]))) < LEAST
    }
    assert not near


def test_methods_of_a_kind_differ_in_their_markers():
    for kind in ("solver", "network", "reference"):
        markers = [method.marker for method in methods.METHODS if method.kind == kind]
        assert len(set(markers)) == len(markers)


def test_every_solver_and_network_is_in_the_table():
    unknown = [name for name in [*opc.METHODS, *models.MODELS] if methods.find(name)[0] is None]
    assert not unknown


def test_no_label_is_of_two_methods():
    labels = [label for method in methods.METHODS for label in (method.name, *method.labels)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("label", "written"),
    [
        ("curvy", "CurvyILT"),
        ("CurvyILT", "CurvyILT"),
        ("curvyILT CDR+morph", "CurvyILT, CDR+morph"),
        ("curvy as found", "CurvyILT, as found"),
        ("level_set-signed-distance", "level set, signed-distance"),
        ("attention_ilt#03", "A2-ILT, 03"),
        ("ours untrained, dial 0.5", "unrolled descent, untrained, dial 0.5"),
        ("ours-metal1", "unrolled descent, metal1"),
        ("released masks", "released masks"),
        ("8 nm pixels", "8 nm pixels"),
    ],
)
def test_a_method_has_one_name(label, written):
    assert methods.written(label) == written
