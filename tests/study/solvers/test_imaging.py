"""What the optics makes of shapes: closed forms, and the same numbers by other ways."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import litho, optics
from maskopt_lib.data import schema
from maskopt_lib.study.solvers import imaging


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded-ideal")


def test_lines_are_covered_to_the_last_fraction_and_across_the_border(kernels):
    sim = litho.Simulator(kernels)
    mask = imaging._lines(sim, [0.0, 700.3], 100.7, 4.0)
    assert mask.sum() * 4 == pytest.approx(201.4)
    assert mask[0] == mask[-1] == 1 and mask[100:150].sum() == 0
    assert mask[round((700.3 - 50.35) // 4)] == pytest.approx(1 - (649.95 / 4) % 1)


def test_printed_edges_of_a_wave():
    x = np.arange(-100, 100, 2.0) + 1
    left, right = imaging._printed_edges(x, 0.5 + 0.5 * np.cos(2 * np.pi * x / 160), 0.5)
    assert (left, right) == pytest.approx((-40, 40), abs=0.01)
    assert np.isnan(imaging._printed_edges(x, np.full_like(x, 0.2), 0.5)).all()  # nothing prints
    assert np.isnan(imaging._printed_edges(x, np.full_like(x, 0.8), 0.5)).all()  # all prints


def test_widths_through_pitch_are_those_of_the_print(kernels):
    grating = imaging.through_pitch(kernels, width_nm=96, smallest_pitch_nm=250)
    assert grating["pitch_nm"].values[[0, -1]].tolist() == [256, 2048]
    sim = litho.Simulator(kernels)
    for pitch in (256, 512, 2048):  # on whole nm: lines as pixels of 1 nm
        x = np.arange(2048)
        line = (np.abs((x + 0.5 - 1024 + pitch / 2) % pitch - pitch / 2) < 48).astype(np.float32)
        printed = sim.printed(np.tile(line, (2048, 1))).numpy()[:, 0]
        width = (printed & (np.abs(x + 0.5 - 1024) < pitch / 2)).sum(-1)
        np.testing.assert_allclose(grating["cd_nm"].sel(pitch_nm=pitch), width, atol=1.2)
    # More dose, more width.
    assert bool((grating["cd_nm"].sel(corner="outer") > grating["cd_nm"].sel(corner="nominal")).all())


def test_a_neighbour_far_away_is_not_felt(kernels):
    shift = imaging.neighbour_influence(kernels, gaps_nm=[20, 120, 300, 900], tolerance_nm=1.0)
    near = np.abs(shift["shift_nm"].sel(edge="facing the neighbour").values)
    assert np.isnan(near[0])  # one print
    assert near[1] > 5 and near[3] < 0.5
    assert float(shift["reach_nm"]) == 300


def test_the_spectrum_of_a_square_is_a_product_of_sines(kernels):
    square = imaging.spectrum_of_square(kernels, side_nm=400, pixel_nm=4)
    f = square["fx_per_um"].values / 1e3
    with np.errstate(invalid="ignore"):
        sine = np.abs(np.sin(np.pi * f * 400) / np.sin(np.pi * f * 4) / 100)
    sine[f == 0] = 1
    np.testing.assert_allclose(square["spectrum"], np.outer(sine, sine), atol=1e-9)


def test_the_band_is_that_of_the_aperture_and_sets_the_corner(kernels):
    square = imaging.spectrum_of_square(kernels, pixel_nm=4, bands=(1, 2, 4))
    na, sigma = optics.EMBEDDED["na"], optics.EMBEDDED["sigma_outer"]
    assert float(square["band_per_um"]) == pytest.approx(1e3 * (1 + sigma) * na / 193, rel=0.05)
    pull_back = square["pull_back_nm"].values
    np.testing.assert_allclose(pull_back, pull_back[0] / np.array([1, 2, 4]), rtol=0.1)
    assert float(square["printed_pull_back_nm"]) > pull_back[0]


def test_pull_back_of_a_round_corner():
    at = np.arange(-200, 200, 2.0) + 1
    y, x = np.meshgrid(at, at, indexing="ij")
    radius = 60  # a square of 240 nm with circles for corners
    rounded = np.hypot(np.maximum(np.abs(x) - 60, 0), np.maximum(np.abs(y) - 60, 0))
    image = np.clip(0.5 + (radius - rounded) / 40, 0, 1)
    assert imaging._pull_back_nm(at, image, 240, 0.5) == pytest.approx((np.sqrt(2) - 1) * radius, abs=0.3)


def test_samples_of_the_band_hold_image_and_gradient_of_all_pixels(kernels):
    mask = np.random.default_rng(3).random((144, 144)) > 0.5
    found = imaging.band_limit(kernels, mask.astype(float), gradient_pixels=2)
    assert float(found["image_difference"].max()) < 1e-12 and float(found["gradient_difference"].max()) < 1e-12
    assert (found["full_s"] > 0).all() and (found["band_s"] > 0).all()
    schema.validate(found)
