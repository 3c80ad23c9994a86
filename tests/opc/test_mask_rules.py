"""Projection onto a rule deck: the deck holds afterwards by the scores' own measure, and legal masks stay."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskopt_lib import metrics
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.metrics.rules import read_deck
from maskopt_lib.opc import mask_rules
from maskopt_lib.opc.distances import room, signed_distance
from maskopt_lib.opc.mask_rules import MaskRules

DECK = MaskRules()
LIMITS = {
    "msa_nm2": DECK.msa_nm2,
    "msd_nm": DECK.msd_nm,
    "min_width_nm": DECK.min_width_nm,
    "min_space_nm": DECK.min_space_nm,
    "min_radius_nm": DECK.min_radius_nm,
}
Y, X = np.mgrid[:400, :400] + 0.5


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return (np.hypot(Y - y, X - x) <= radius).astype(np.uint8)


def holds(mask: np.ndarray, pixel_nm: float = 1.0) -> bool:
    # What looks narrow is measured to within a pixel.
    limits = {k: v for k, v in LIMITS.items() if k != "min_radius_nm"} | {
        "min_width_nm": DECK.min_width_nm - pixel_nm,
        "min_space_nm": DECK.min_space_nm - pixel_nm,
    }
    return metrics.rule_report(mask, limits, pixel_nm).sizes["violation"] == 0


def blobs(seed: int, n: int = 40, size: int = 400) -> np.ndarray:
    """A mask full of slivers, specks, necks and close shapes."""
    rng = np.random.default_rng(seed)
    mask = np.zeros((size, size), np.uint8)
    for _ in range(n):
        (y, x), (h, w) = rng.integers(30, size - 60, 2), rng.integers(3, 60, 2)
        mask[y : min(y + h, size - 20), x : min(x + w, size - 20)] ^= 1
    return mask


def test_legal_shapes_stay_as_they_are():
    mask = disc(100, 100, 40) | disc(100, 220, 40) | disc(280, 200, 60)
    assert np.array_equal(DECK.project(mask, 1.0), mask)


@pytest.mark.parametrize("seed", range(6))
def test_deck_holds_by_the_measure_of_the_scores(seed):
    projected = DECK.project(blobs(seed), 1.0)
    assert projected.any() and not DECK.broken(projected, 1.0).any()
    # A radius is built in by discs; its measure also sees single pixels of the raster and is left to the notebooks.
    assert holds(projected), metrics.rule_report(projected, LIMITS, 1.0).to_dataframe()


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60))
def test_areas_and_distances_hold_for_any_mask(seed, n):
    rules = metrics.shape_rules(DECK.project(blobs(seed, n), 1.0), 1.0)
    assert rules.shapes == 0 or rules.msa_nm2 >= DECK.msa_nm2
    assert rules.shapes < 2 or rules.msd_nm >= DECK.msd_nm


def test_a_small_shape_grows_or_goes():
    speck, small, large = disc(100, 100, 15), disc(100, 280, 22), disc(290, 200, 50)
    projected = DECK.project(speck | small | large, 1.0)
    areas = np.bincount(mask_rules.shapes(projected)[0].ravel())[1:]
    # 707 nm2 is below half of 2000 nm2, 1521 nm2 is above.
    assert projected[100, 100] == 0 and projected[100, 280] == 1
    assert sorted(areas)[0] == pytest.approx(1.01 * DECK.msa_nm2, rel=0.03)
    assert DECK.project(speck, 1.0, grow=0.3).any() and not DECK.project(small, 1.0, grow=0.9).any()


def test_the_smaller_of_two_close_shapes_gives_way():
    large, small = disc(200, 150, 60), disc(200, 252, 32)
    projected = DECK.project(large | small, 1.0)
    assert np.array_equal(projected[:, :205], large[:, :205])
    assert metrics.shape_rules(projected, 1.0).msd_nm >= DECK.msd_nm


def test_two_large_close_shapes_share_the_loss():
    left, right = np.zeros((400, 400), np.uint8), np.zeros((400, 400), np.uint8)
    left[40:360, 60:195], right[40:360, 205:340] = 1, 1
    projected = DECK.project(left | right, 1.0)
    lost = [int((part & (1 - projected))[150:250].sum()) for part in (left, right)]
    assert min(lost) > 0.7 * max(lost) > 0


def test_a_neck_between_two_discs_is_widened():
    # Two opened discs whose union is only a few nm wide where they meet.
    mask = disc(200, 160, 40) | disc(200, 238, 40)
    assert metrics.rule_report(mask, LIMITS, 1.0).sizes["violation"] > 0
    assert holds(DECK.project(mask, 1.0))


def test_coarser_pixels_keep_the_rules_in_nm():
    fine = blobs(3, n=25, size=400)
    projected = MaskRules().project(np.kron(fine, np.ones((2, 2), np.uint8))[::4, ::4].copy(), 4.0)
    rules = metrics.shape_rules(projected, 4.0)
    assert rules.msa_nm2 >= DECK.msa_nm2 and rules.msd_nm >= DECK.msd_nm


def test_fixed_pixels_stay():
    mask = blobs(1)
    fixed = np.zeros(mask.shape, bool)
    fixed[:, :200] = True
    projected = DECK.project(mask, 1.0, fixed=fixed)
    assert np.array_equal(projected[:, :200], mask[:, :200])
    assert not np.array_equal(projected[:, 200:], mask[:, 200:])


def test_an_empty_mask_and_a_rule_left_out():
    assert not DECK.project(np.zeros((64, 64), np.uint8), 1.0).any()
    no_rules = MaskRules(msa_nm2=0, msd_nm=0, min_width_nm=0, min_space_nm=0, min_radius_nm=0)
    mask = disc(100, 100, 12) | disc(100, 160, 12)
    assert np.array_equal(no_rules.project(mask, 1.0), mask)
    with pytest.raises(ValueError, match="msd_nm"):
        MaskRules(msd_nm=-1)


def test_signed_distance_of_a_half_plane():
    mask = np.zeros((20, 40), np.uint8)
    mask[:, :15] = 1
    assert signed_distance(mask)[10] == pytest.approx(14.5 - np.arange(40))


def test_room_of_two_shapes_ends_midway():
    mask = np.zeros((60, 100), np.uint8)
    mask[20:40, 10:20], mask[20:40, 61:71] = 1, 1
    shared = room(mask)
    assert np.argmin(shared[30]) in (39, 40)
    # Anything in the room of 12 is 24 from anything in the other shape's room of 12.
    inside = (shared >= 12).astype(np.uint8)
    labels, areas = mask_rules.shapes(inside)
    assert len(areas) == 3 and mask_rules.close_pairs(labels, areas, 100)[0].distance >= 24


def test_close_pairs_against_all_pixels():
    mask = blobs(5, n=12, size=200)
    labels, areas = mask_rules.shapes(mask)
    found = {(p.first, p.second): p.distance for p in mask_rules.close_pairs(labels, areas, 30)}
    places = [np.argwhere(labels == k) for k in range(1, len(areas))]
    for a in range(len(places)):
        for b in range(a + 1, len(places)):
            slow = min(np.hypot(*(places[b] - p).T).min() for p in places[a])
            assert found.get((a + 1, b + 1), np.inf) == (pytest.approx(slow) if slow < 30 else np.inf)


# Decks by name


def test_the_deck_of_the_study_is_the_solvers_default():
    assert read_deck("curvilinear") == asdict(DECK)


def test_a_deck_of_ones_own(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("msd_nm: 30\n")
    assert read_deck(path) == {"msd_nm": 30.0}
    path.write_text("msd: 30\n")
    with pytest.raises(UnknownNameError, match="msd_nm"):
        read_deck(path)
    with pytest.raises(MissingDataError, match="curvilinear"):
        read_deck("nosuch")
