"""Projection onto a rule deck: the deck holds afterwards by the scores' own measure, and legal masks stay."""

from __future__ import annotations

import re
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maskopt_lib import layout, metrics
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.layout.raster import painted
from maskopt_lib.metrics.rules import read_deck
from maskopt_lib.opc import mask_rules
from maskopt_lib.opc.distances import room, signed_distance
from maskopt_lib.opc.mask_rules import MaskRules

DECK = MaskRules()
Y, X = np.mgrid[:400, :400] + 0.5


def disc(y: float, x: float, radius: float) -> np.ndarray:
    return (np.hypot(Y - y, X - x) <= radius).astype(np.uint8)


def broken(mask: np.ndarray, deck: MaskRules = DECK, pixel_nm: float = 1.0) -> list:
    """(rule, value) of what a report finds."""
    limits = {rule: limit for rule, limit in asdict(deck).items() if limit}
    report = metrics.rule_report(mask, limits, pixel_nm)
    return [(r, round(v, 2)) for r, v in zip(report.broken.values.tolist(), report.value.values.tolist(), strict=True)]


def written(mask: np.ndarray) -> np.ndarray:
    """The raster of the polygons that a file of the mask holds."""
    return painted(layout.mask_polygons(mask, 1), len(mask), 1)


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
    assert np.array_equal(DECK.project(mask, 1.0).mask, mask)


def test_what_keeps_the_deck_stays_and_is_kept_on_the_file_read_back(tmp_path):
    mask, violations = DECK.project(blobs(0), 1.0)
    assert mask.any() and not violations and not broken(mask)
    layout.write_mask(mask, tmp_path / "mask.oas", pixel_nm=1)
    back = layout.read_clip(tmp_path / "mask.oas", layer=(1, 0), placement=(0, 0)).rasterize(1)
    assert np.array_equal(back[:400, :400], written(mask)) and not back[400:].any()
    assert not broken(back)
    again, none = DECK.project(mask, 1.0)
    assert np.array_equal(again, mask) and not none


DECKS = st.builds(
    MaskRules,
    msa_nm2=st.sampled_from([0, 800, 2000, 5000]),
    msd_nm=st.sampled_from([0, 12, 24, 40]),
    min_width_nm=st.sampled_from([0, 16, 24, 40]),
    min_space_nm=st.sampled_from([0, 10, 16, 30]),
    min_radius_nm=st.sampled_from([0, 8, 12]),
)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(3, 60), deck=DECKS, has_target=st.booleans())
def test_any_deck_holds_for_any_mask_or_the_projection_says_where_not(seed, n, deck, has_target):
    mask = blobs(seed, n, 300)
    target = blobs(seed, 4, 300) if has_target else None
    projected, violations = deck.project(mask, 1.0, main=target)
    assert sorted((v.rule, round(v.value, 2)) for v in violations) == sorted(broken(projected, deck))
    if not violations:
        assert not broken(written(projected), deck)
    if target is not None:
        # No feature of the target goes.
        labels, areas = mask_rules.shapes(target)
        before, after = (np.bincount(labels[m > 0], minlength=len(areas))[1:] for m in (mask, projected))
        assert (after >= 0.5 * before).all()


def test_a_main_feature_too_narrow_is_widened_and_an_assist_feature_goes():
    wire, bar = np.zeros((400, 400), np.uint8), np.zeros((400, 400), np.uint8)
    wire[50:350, 100:118] = bar[50:350, 250:268] = 1  # 18 nm
    projected, violations = DECK.project(wire | bar, 1.0, main=wire)
    assert not violations and not broken(projected)
    assert projected[60:340, 100:118].all() and not projected[:, 200:].any()


def test_where_a_deck_cannot_be_kept_features_stay_and_the_rules_are_named():
    # Three wires of 60 nm, 20 nm apart, all of them the target's: no room for a distance of 200 nm.
    wires = np.zeros((400, 400), np.uint8)
    wires[50:350, 100:160] = wires[50:350, 180:240] = wires[50:350, 260:320] = 1
    deck = MaskRules(msd_nm=200, min_width_nm=56)
    projected, violations = deck.project(wires, 1.0, main=wires)
    kept = [projected[50:350, x : x + 60].mean() for x in (100, 180, 260)]
    assert min(kept) >= 0.5
    assert violations and {v.rule for v in violations} == {rule for rule, _ in broken(projected, deck)}
    assert re.fullmatch(r"\w+ [\d.]+ < [\d.]+ at x \d+, y \d+ nm", str(violations[0]))


def test_in_a_window_what_is_fixed_is_no_violation_and_what_touches_it_is():
    mask = disc(200, 100, 40) | disc(200, 130, 8)
    mask[198:202, 250:300] = 1  # too narrow, within what is fixed
    fixed = np.zeros(mask.shape, bool)
    fixed[:, 200:] = True
    projected, violations = DECK.project(mask, 1.0, fixed=fixed)
    assert not violations and np.array_equal(projected[:, 200:], mask[:, 200:])
    mask[180:220, 190:205] = 1  # 10 nm of it are free, but it goes on: its corners are not round
    assert DECK.project(mask, 1.0, fixed=fixed).violations


def test_a_small_shape_grows_or_goes():
    speck, small, large = disc(100, 100, 15), disc(100, 280, 22), disc(290, 200, 50)
    projected = DECK.project(speck | small | large, 1.0).mask
    areas = np.bincount(mask_rules.shapes(projected)[0].ravel())[1:]
    # 707 nm2 is below half of 2000 nm2, 1521 nm2 is above.
    assert projected[100, 100] == 0 and projected[100, 280] == 1
    assert sorted(areas)[0] == pytest.approx(1.01 * DECK.msa_nm2, rel=0.03)
    assert DECK.project(speck, 1.0, grow=0.3).mask.any() and not DECK.project(small, 1.0, grow=0.9).mask.any()


def test_the_smaller_of_two_close_shapes_gives_way():
    large, small = disc(200, 150, 60), disc(200, 252, 32)
    projected = DECK.project(large | small, 1.0).mask
    assert np.array_equal(projected[:, :205], large[:, :205])
    assert metrics.shape_rules(projected, 1.0).msd_nm >= DECK.msd_nm


def test_two_large_close_shapes_share_the_loss():
    left, right = np.zeros((400, 400), np.uint8), np.zeros((400, 400), np.uint8)
    left[40:360, 60:195], right[40:360, 205:340] = 1, 1
    projected = DECK.project(left | right, 1.0).mask
    lost = [int((part & (1 - projected))[150:250].sum()) for part in (left, right)]
    assert min(lost) > 0.7 * max(lost) > 0


def test_a_neck_between_two_discs_is_widened():
    # Two opened discs whose union is only a few nm wide where they meet.
    mask = disc(200, 160, 40) | disc(200, 238, 40)
    assert broken(mask) and not broken(DECK.project(mask, 1.0).mask)


def test_coarser_pixels_keep_the_rules_in_nm():
    fine = blobs(3, n=25, size=400)
    projected = MaskRules().project(np.kron(fine, np.ones((2, 2), np.uint8))[::4, ::4].copy(), 4.0).mask
    rules = metrics.shape_rules(projected, 4.0)
    assert rules.msa_nm2 >= DECK.msa_nm2 and rules.msd_nm >= DECK.msd_nm


def test_fixed_pixels_stay():
    mask = blobs(1)
    fixed = np.zeros(mask.shape, bool)
    fixed[:, :200] = True
    projected = DECK.project(mask, 1.0, fixed=fixed).mask
    assert np.array_equal(projected[:, :200], mask[:, :200])
    assert not np.array_equal(projected[:, 200:], mask[:, 200:])


def test_an_empty_mask_and_a_rule_left_out():
    assert not DECK.project(np.zeros((64, 64), np.uint8), 1.0).mask.any()
    no_rules = MaskRules(msa_nm2=0, msd_nm=0, min_width_nm=0, min_space_nm=0, min_radius_nm=0)
    mask = disc(100, 100, 12) | disc(100, 160, 12)
    assert np.array_equal(no_rules.project(mask, 1.0).mask, mask)
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
