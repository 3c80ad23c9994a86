"""The mask-rule report: violations are found where they were put, and its worst values are the scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from maskopt_lib import metrics
from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.metrics import rule_report

Y, X = np.mgrid[:320, :320] + 0.5
DECK = {"min_width_nm": 30, "min_space_nm": 30, "msa_nm2": 2000, "msd_nm": 30, "min_radius_nm": 25}


def boxes(*corners: tuple[int, int, int, int], shape=(320, 320)) -> np.ndarray:
    """A mask of rectangles (x0, y0, x1, y1) in pixels."""
    mask = np.zeros(shape, bool)
    for x0, y0, x1, y1 in corners:
        mask[y0:y1, x0:x1] = True
    return mask


def broken(report, rule):
    return report.isel(violation=report.broken.values == rule)


def blobs(seed: int) -> np.ndarray:
    """Random smooth shapes."""
    noise = np.random.default_rng(seed).normal(size=(200, 200))
    return ndimage.gaussian_filter(noise, 6) > 0.03


def scores(mask, pixel_nm):
    shapes = metrics.shape_rules(mask, pixel_nm)
    return {
        "min_width_nm": metrics.min_width_nm(mask, pixel_nm),
        "min_space_nm": metrics.min_space_nm(mask, pixel_nm),
        "msa_nm2": shapes.msa_nm2,
        "msd_nm": shapes.msd_nm,
        "min_radius_nm": metrics.min_radius_nm(mask, pixel_nm),
    }


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([1.0, 2.5]), st.sampled_from([0.2, 1.0, 40.0]))
def test_worst_values_are_the_scores_whatever_the_limits(seed, pixel_nm, scale):
    mask = blobs(seed)
    report = rule_report(mask, {rule: limit * scale for rule, limit in DECK.items()}, pixel_nm)
    for rule, score in scores(mask, pixel_nm).items():
        np.testing.assert_allclose(report.worst.sel(rule=rule), score, err_msg=rule)
        found = broken(report, rule)
        assert (score < DECK[rule] * scale) == bool(found.sizes["violation"]), rule
        assert found.sizes["violation"] == report.violations.sel(rule=rule)
        if found.sizes["violation"]:
            np.testing.assert_allclose(found.value.min(), score, err_msg=rule)
            assert (found.value < found.limit).all()


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.2, 0.5, 1.0, 2.0]))
def test_what_is_broken_is_found_as_well_where_nothing_else_is_measured(seed, scale):
    mask, deck = blobs(seed), {rule: limit * scale for rule, limit in DECK.items()}
    full, quick = (rule_report(mask, deck, 1.0, only_broken=only) for only in (False, True))
    for name in ("broken", "value", "x_nm", "y_nm", "violations"):
        assert quick[name].values.tolist() == full[name].values.tolist()
    kept = full["violations"] == 0
    assert np.isnan(quick["worst"].where(kept)).all()
    np.testing.assert_array_equal(quick["worst"].where(~kept), full["worst"].where(~kept))


@pytest.mark.parametrize("mask", [boxes(), boxes((100, 100, 200, 200))], ids=["nothing", "one square"])
def test_where_there_is_nothing_to_measure_there_is_nothing_to_report(mask):
    report = rule_report(mask, {"msd_nm": 30, "min_space_nm": 30}, 1)
    assert report.sizes["violation"] == 0 and np.isnan(report.worst).all()


@pytest.mark.parametrize("pixel_nm", [1.0, 2.0])
def test_a_thin_bar_is_one_violation_in_its_middle(pixel_nm):
    report = rule_report(boxes((40, 60, 60, 260), (140, 60, 200, 260)), {"min_width_nm": 30 * pixel_nm}, pixel_nm)
    assert report.sizes["violation"] == 1
    assert report.value.item() == 20 * pixel_nm
    assert (report.x_nm.item(), report.y_nm.item()) == pytest.approx((50 * pixel_nm, 160 * pixel_nm), abs=pixel_nm)
    assert report.extent_nm.item() == pytest.approx(180 * pixel_nm, rel=0.02)  # its ends are too narrow to face


def test_a_hairline_is_found_at_its_place():
    report = rule_report(boxes((40, 60, 42, 260), (140, 60, 200, 260)), {"min_width_nm": 30}, 1)
    assert (report.value.item(), report.x_nm.item()) == (2.0, pytest.approx(41, abs=1))
    assert report.y_nm.item() == pytest.approx(160, abs=1)


def test_two_thin_bars_side_by_side_are_two_violations():
    report = rule_report(boxes((40, 60, 50, 260), (52, 60, 62, 260)), {"min_width_nm": 30}, 1)
    assert sorted(report.x_nm.values.tolist()) == [45.0, 57.0]


def test_two_necks_of_one_shape_are_two_violations():
    mask = boxes((20, 40, 100, 120), (100, 70, 120, 90), (120, 40, 200, 120), (200, 68, 220, 92), (220, 40, 300, 120))
    report = rule_report(mask, {"min_width_nm": 40}, 1)
    assert report.value.values.tolist() == [20.0, 24.0]
    assert report.x_nm.values == pytest.approx([110, 210], abs=1) and report.y_nm.values == pytest.approx(80, abs=1)


def test_space_between_two_bars_and_across_a_notch():
    mask = boxes((20, 40, 60, 280), (75, 40, 120, 280), (180, 40, 300, 280))
    mask[160:180, 260:300] = False
    report = rule_report(mask, {"min_space_nm": 30}, 1)
    assert report.value.values.tolist() == [15.0, 20.0]
    np.testing.assert_allclose(report.x_nm, [67.5, 280], atol=12)
    np.testing.assert_allclose(report.y_nm, [160, 170], atol=1)


def test_distance_of_two_squares_lies_between_their_corners():
    # Corner to corner 6 and 8 pixels of empty space apart: their closest pixel centres are 7 and 9 apart.
    report = rule_report(boxes((40, 40, 80, 80), (86, 88, 126, 128)), {"msd_nm": 30}, 2.0)
    assert report.value.item() == pytest.approx(2 * np.hypot(7, 9))
    assert (report.x_nm.item(), report.y_nm.item()) == (2 * 83.0, 2 * 84.0)


def test_small_shapes_are_listed_the_smallest_first():
    mask = boxes((40, 40, 60, 60), (100, 40, 130, 80), (160, 40, 260, 140))
    report = rule_report(mask, {"msa_nm2": 2000}, 1)
    assert report.value.values.tolist() == [400.0, 1200.0]
    assert report.x_nm.values.tolist() == [50.0, 115.0] and report.y_nm.values.tolist() == [50.0, 60.0]
    assert rule_report(mask, {"msa_nm2": 2000}, 2).value.values.tolist() == [1600.0]


@pytest.mark.parametrize("radius", [20, 40])
def test_a_disc_breaks_a_rule_of_larger_radius_only(radius):
    disc = np.hypot(Y - 160, X - 160) < radius
    assert rule_report(disc, {"min_radius_nm": 0.9 * radius}, 1).sizes["violation"] == 0
    report = rule_report(disc, {"min_radius_nm": 1.2 * radius}, 1)
    assert report.value.min().item() == pytest.approx(radius, rel=0.05)
    assert np.hypot(report.x_nm[0] - 160, report.y_nm[0] - 160) == pytest.approx(radius, abs=1)


def test_the_four_corners_of_a_square_are_four_violations():
    report = rule_report(boxes((100, 120, 200, 220)), {"min_radius_nm": 20}, 1)
    corners = {
        (round(x / 10) * 10, round(y / 10) * 10) for x, y in zip(report.x_nm.values, report.y_nm.values, strict=True)
    }
    assert report.sizes["violation"] == 4 and corners == {(100, 120), (200, 120), (100, 220), (200, 220)}


def test_only_the_region_counts_and_places_are_in_its_coordinates():
    mask = boxes((40, 20, 60, 300), (200, 20, 210, 300))
    deck = {"min_width_nm": 30, "msa_nm2": 1e5, "msd_nm": 200, "min_space_nm": 200, "min_radius_nm": 20}
    region = (1000.0, 2000.0, 1000.0 + 100, 2000.0 + 160)
    report = rule_report(mask, deck, 1, region_nm=region, origin_nm=(1000.0, 2000.0))
    assert report.worst.sel(rule=["min_width_nm", "msa_nm2"]).values.tolist() == [20.0, 5600.0]
    # The middle between the two bars, at x = 1130, lies outside.
    assert np.isnan(report.worst.sel(rule=["msd_nm", "min_space_nm"])).all()
    at = broken(report, "min_width_nm")
    assert (at.x_nm.item(), at.y_nm.item()) == pytest.approx((1050, 2000 + 95), abs=6)
    assert broken(report, "min_radius_nm").sizes["violation"] == 2  # the lower end of the first bar


def test_two_long_lines_are_too_close_within_the_region_though_as_close_elsewhere():
    mask = boxes((100, 0, 150, 320), (160, 0, 210, 320))
    report = rule_report(mask, {"msd_nm": 30}, 1, region_nm=(120, 200, 200, 240))
    assert report.value.item() == 11.0
    assert (report.x_nm.item(), report.y_nm.item()) == pytest.approx((155, 220), abs=1)


def test_wrong_decks_are_refused_with_the_rules_there_are():
    with pytest.raises(UnknownNameError, match=r"no mask rule \['width'\]; known: min_width_nm, min_space_nm"):
        rule_report(boxes(), {"width": 30}, 1)
    with pytest.raises(OptionError, match=r"msd_nm must be a number above 0.*got 0"):
        rule_report(boxes(), {"msd_nm": 0}, 1)


@pytest.mark.parametrize("turn", range(4))
def test_a_border_that_cuts_a_shape_makes_no_corner(turn):
    y, x = np.mgrid[:256, :256]
    wave = np.rot90(np.abs(x - 128 - 30 * np.sin(y / 50)) < 40, turn)
    assert rule_report(wave, {"min_radius_nm": 10}, 1).sizes["violation"] == 0
    assert rule_report(boxes((100, 0, 200, 100)), {"min_radius_nm": 10}, 1).sizes["violation"] == 2
