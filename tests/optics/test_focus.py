"""The embedded optics through focus: the contest's two settings among the others, and symmetry about best focus."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import layout, litho, optics
from maskopt_lib.optics.library import CONTEST_DEFOCUS_NM, EMBEDDED_CLEAR_FIELD


@pytest.fixture(scope="module")
def kernels():
    return optics.through_focus([40.0, -40.0, 0.0])


def test_contest_settings_are_those_of_the_embedded_set(kernels):
    ideal = optics.load("embedded-ideal")
    mask = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=8)
    # Defocus is brighter by the ratio of the two fitted clear fields, and by nothing else.
    for setting, factor in enumerate((1.0, EMBEDDED_CLEAR_FIELD[1] / EMBEDDED_CLEAR_FIELD[0])):
        ours = optics.aerial_image(mask, kernels, focus=setting) * factor
        assert np.abs(ours - optics.aerial_image(mask, ideal, focus=setting)).max() < 1e-9
    assert kernels.focus_names[:2] == ideal.focus_names
    assert np.diff(ideal.defocus_nm).item() == pytest.approx(CONTEST_DEFOCUS_NM)


def test_planes_are_ascending_behind_the_contests_and_none_comes_twice(kernels):
    assert kernels.defocus_nm == (0.0, CONTEST_DEFOCUS_NM, -40.0, 40.0)
    assert kernels.focus_names[2:] == ("focus -40 nm", "focus +40 nm")


def test_default_corners_of_a_simulator_are_the_contests(kernels):
    mask = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=8)
    sim = litho.Simulator(kernels)
    assert sim.process[0].focus == kernels.focus_names.index("focus")
    assert sim.process[2].focus == kernels.focus_names.index("defocus")
    images = sim.intensity(mask)
    assert (sim.aerial(mask)[2] / images[1] - 0.98**2).abs().max() < 1e-4


def test_contrast_falls_on_both_sides_of_best_focus(kernels):
    mask = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=8)
    spread = [optics.aerial_image(mask, kernels, focus=i).std() for i in range(4)]
    assert spread[0] == max(spread)
    assert spread[2] == pytest.approx(spread[3], rel=0.03)  # spherical aberration makes a little difference
