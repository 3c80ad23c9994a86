"""Optics on smaller fields, and the turns that they do not notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskopt_lib import optics
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.litho import Simulator

EMBEDDED = optics.load("embedded")


@pytest.fixture(scope="module")
def tile():
    """(768, 768) bars and a square in the manner of metal 1, cut by the border."""
    image = np.zeros((768, 768), np.float32)
    for x in range(30, 768, 145):
        image[40 + x // 4 : 700 - x // 5, x : x + 70] = 1
    image[330:400, :] = 1
    image[720:, 100:400] = 1
    return image


def middle(image, n):
    low = (image.shape[-1] - n) // 2
    return image[..., low : low + n, low : low + n]


def in_field(tile, n):
    return np.pad(tile, (n - len(tile)) // 2)


@pytest.fixture(scope="module")
def whole(tile):
    return middle(Simulator(EMBEDDED).aerial(in_field(tile, 2048)).numpy(), 512)


@pytest.mark.parametrize(("period_nm", "limit"), [(1280, 5e-4), (1536, 2e-4), (1792, 1e-4)])
def test_middle_of_a_small_field_is_that_of_the_large_one(tile, whole, period_nm, limit):
    small = Simulator(optics.cropped(EMBEDDED, period_nm)).aerial(in_field(tile, period_nm)).numpy()
    assert np.abs(middle(small, 512) - whole).max() < limit


def test_a_field_that_repeats_within_reach_is_seen_to_be_wrong(tile, whole):
    small = Simulator(optics.cropped(EMBEDDED, 1024)).aerial(in_field(tile, 1024)).numpy()
    assert np.abs(middle(small, 512) - whole).max() > 5e-3


def test_same_field_is_the_same_set():
    assert optics.cropped(EMBEDDED, EMBEDDED.period_nm) is EMBEDDED


def test_crop_is_the_truncated_point_spread():
    # Slow and obvious: sample the point spread, cut it, transform it with a sum.
    period, small = EMBEDDED.period_nm, 1536.0
    h = EMBEDDED.half_width
    x = np.arange(-small / 2, small / 2, 4.0) + 2.0
    wave = np.exp(2j * np.pi * np.outer(x, np.arange(-h, h + 1)) / period)
    system = EMBEDDED.spectra[0, 0]
    spread = wave @ system @ wave.T  # [y, x]
    cut = optics.cropped(EMBEDDED, small)
    back = np.exp(-2j * np.pi * np.outer(np.arange(-cut.half_width, cut.half_width + 1), x) / small)
    expected = back @ spread @ back.T * (4.0 / period) ** 2
    np.testing.assert_allclose(cut.spectra[0, 0], expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("period_nm", [0.0, -5.0, 4096.0])
def test_fields_that_cannot_be_cropped(period_nm):
    with pytest.raises(GridMismatchError, match="cannot be cropped"):
        optics.cropped(EMBEDDED, period_nm)


def test_images_in_the_middle_are_those_of_the_whole(tile):
    sim = Simulator(EMBEDDED)
    batch = np.stack([tile, tile[::-1]])
    expected = middle(sim.aerial(np.stack([in_field(one, 2048) for one in batch])).numpy(), 600)
    np.testing.assert_allclose(sim.aerial_in_middle(batch, pixel_nm=1, n_out=600).numpy(), expected, atol=3e-6)


@pytest.mark.parametrize(
    ("shape", "pixel_nm", "n_out"), [((8, 9), 8, 8), ((8, 8), 7, 8), ((9, 9), 8, 9), ((512, 512), 8, 512)]
)
def test_masks_that_have_no_place_in_the_middle(shape, pixel_nm, n_out):
    with pytest.raises(GridMismatchError):
        Simulator(EMBEDDED).aerial_in_middle(np.zeros(shape), pixel_nm=pixel_nm, n_out=n_out)


def test_symmetries_are_those_of_the_images(tile):
    sim, field = Simulator(EMBEDDED), in_field(tile[::4, ::4], 512)
    image = sim.aerial(field).numpy()
    holds = optics.symmetries(EMBEDDED).holds.values
    for turn in TURNS:
        of_turned = sim.aerial(np.ascontiguousarray(turned(field, turn))).numpy()
        assert (np.abs(of_turned - turned(image, turn)).max() < 1e-5) == holds[turn]


def test_round_optics_have_all_turns_unless_the_cut_splits_a_pair_of_systems():
    system = optics.OpticalSystem(na=0.85, source=optics.circular(0.5))

    def turns(n_kernels):
        numerics = optics.ImagingNumerics(period_nm=1024.0, n_kernels=n_kernels)
        return optics.allowed_turns(optics.build_kernels(system, numerics=numerics))

    assert turns(23) == turns(None) == TURNS
    assert turns(24) == (0, 2)  # systems 24 and 25 are as strong as each other, and only together symmetric


def test_a_tilt_takes_the_mirror_away():
    skewed = replace(EMBEDDED, spectra=EMBEDDED.spectra * np.exp(0.2j * np.arange(EMBEDDED.spectra.shape[-1])))
    assert optics.allowed_turns(skewed) == (0,)


@pytest.mark.realdata
def test_the_contest_kernels_have_one_mirror_and_the_symmetrised_ones_four_turns(genuine, symmetrised):
    assert optics.allowed_turns(genuine) == (0, 4)
    assert optics.allowed_turns(symmetrised) == (0, 2, 4, 6)
