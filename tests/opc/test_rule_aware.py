"""The rule-aware solver: what it promises about rules, windows and terms, and its edge placement against the scorer."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, metrics, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import RulesBrokenWarning
from maskopt_lib.litho.imaging import small_grid
from maskopt_lib.opc import rule_aware, rule_aware_terms
from maskopt_lib.opc.edges import (
    EdgePoints,
    Sites,
    between_edges,
    contest_sites,
    lost,
    misplaced,
    probes,
    straight_edges,
)
from maskopt_lib.opc.mask_rules import MaskRules, shapes
from maskopt_lib.opc.rule_aware_terms import Objective
from maskopt_lib.study.solvers.clips import Clips

SMALL = {"free_steps": 12, "n_rounds": 1, "n_steps": 6}
NAMES = ("demo-metal-isolated", "demo-metal-tips")


@pytest.fixture(scope="module")
def sim():
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def clips():
    demo = layout.demo_clips()
    return {name: demo[name].rasterize(2, antialiased=False) for name in NAMES}


@pytest.fixture(scope="module")
def solved(sim, clips):
    return opc.solve(np.stack(list(clips.values())), sim, method="rule_aware", **SMALL)


@pytest.fixture
def cutting(monkeypatch):
    """What was projected, and the numbers of the calls, from 0, whose masks come out empty."""
    made, cut, project = [], set(), rule_aware._projected

    def cuts(mask, *how):
        projected, broken = project(mask, *how)
        made.append(torch.zeros_like(projected) if len(made) in cut else projected)
        return made[-1], broken

    monkeypatch.setattr(rule_aware, "_projected", cuts)
    return made, cut


def test_a_round_is_left_out_when_its_projection_costs_more_than_it_gained(sim, clips, cutting):
    made, cut = cutting
    cut |= {1}
    result = opc.solve(clips[NAMES[0]], sim, method="rule_aware", **SMALL)
    begun, _, again = (masks[0].numpy() for masks in made)
    np.testing.assert_array_equal(result.mask, again)
    assert (again != np.kron(begun, np.ones((2, 2), np.uint8))).mean() < 1e-3 and again.any()


def test_steps_mend_what_a_projection_cut(sim, clips, cutting):
    made, cut = cutting
    settings = {"free_steps": 40, "n_rounds": 1, "n_steps": 20}
    whole = opc.solve(clips[NAMES[0]], sim, method="rule_aware", **settings)
    cut |= {len(made) + 1}
    made_before = len(made)
    result = opc.solve(clips[NAMES[0]], sim, method="rule_aware", **settings)
    np.testing.assert_array_equal(result.mask, made[made_before + 3][0].numpy())
    n_whole, n_steps = (one.history.sizes[schema.STEP] for one in (whole, result))
    assert n_steps == n_whole + settings["n_steps"] + 1
    l2 = [metrics.evaluate(one.mask, clips[NAMES[0]], sim)["l2_nm2"].item() for one in (result, whole)]
    assert l2[0] < 1.1 * l2[1]


def test_what_begins_to_print_with_clear_features_is_mended(genuine):
    # In one round of steps an assist feature stays that prints beside the circuit: an L2 of some 80,000 nm2.
    target = Clips("stdmetal", ["DFF_X2__5_0"]).target("DFF_X2__5_0")
    result = opc.solve(target, litho.Simulator(genuine), method="rule_aware", complexity_weight=4.0)
    assert metrics.evaluate(result.mask, target, litho.Simulator(genuine), only=["l2_nm2"])["l2_nm2"].item() < 8000


def test_result_keeps_the_deck(solved):
    deck = MaskRules()
    for mask in solved.mask:
        assert mask.any() and metrics.rule_report(mask, asdict(deck), 2.0).sizes["violation"] == 0
    assert solved.broken_rules == ("", "")


def test_a_deck_too_coarse_costs_no_feature_and_is_named(sim, clips):
    target = clips["demo-metal-tips"][::2, ::2]
    # Adam's start has the features apart; those that grow together keep even this deck.
    apart = {"free_optimizer": "adam", "free_rate": 0.12, "free_pvb_factor": 1.0, "pvb_weight": 3.0, "site_weight": 0.0}
    with pytest.warns(RulesBrokenWarning, match=r"clip 0 keeps its features but not its deck: \w+ [\d.]+ < "):
        result = opc.solve(
            target, sim, method="rule_aware", deck={"msd_nm": 160, "min_width_nm": 120}, **apart, **SMALL
        )
    features, areas = shapes(target)
    assert set(np.unique(features[result.mask > 0])) >= set(range(1, len(areas)))
    assert result.violations[0] and result.broken_rules[0]


def test_history_falls_and_names_its_terms(solved):
    history = solved.history
    assert tuple(history[schema.TERM].values) == rule_aware.TERMS
    assert history.sizes[schema.STEP] == SMALL["free_steps"] + 1 + SMALL["n_steps"] + 1
    total = (history["value"] * history["weight"]).sum(schema.TERM)
    assert (total.isel({schema.STEP: -1}) < 0.7 * total.isel({schema.STEP: 0})).all()


def test_a_batch_does_what_its_clips_do(sim, clips, solved):
    for i, target in enumerate(clips.values()):
        alone = opc.solve(target, sim, method="rule_aware", **SMALL)
        # Sums of a batch round differently.
        assert (alone.mask != solved.mask[i]).sum() <= 2e-4 * alone.mask.size


def test_beyond_the_window_all_stays(sim, clips, solved):
    target, before = clips["demo-metal-tips"], solved.mask[1]
    window = {"window_nm": 512.0, "free_steps": 0, "n_rounds": 1, "n_steps": 6}
    after = opc.solve(target, sim, method="rule_aware", initial=before, **window).mask
    inside = np.zeros(target.shape, bool)
    inside[384:640, 384:640] = True
    assert np.array_equal(after[~inside], before[~inside])
    assert not np.array_equal(after[inside], before[inside])


def test_dark_beyond_the_reach(sim, clips):
    target = clips["demo-metal-isolated"]
    mask = opc.solve(target, sim, method="rule_aware", reach_nm=80, **SMALL).mask
    near = metrics.shape_rules(target, 2.0).shapes  # the target is there
    assert near >= 1 and mask.any()
    y, x = np.nonzero(target)
    away = np.ones(target.shape, bool)
    away[max(y.min() - 50, 0) : y.max() + 51, max(x.min() - 50, 0) : x.max() + 51] = False
    assert not mask[away].any()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [("smoothing_px", 2, "odd"), ("free_steps", -1, "from 0"), ("edge_width_px", 0.0, "above 0")],
)
def test_options_that_make_no_sense(name, value, message):
    with pytest.raises(ValueError, match=message):
        opc.options_of("rule_aware", **{name: value})


def test_deck_takes_a_dictionary():
    deck = opc.options_of("rule_aware", deck={"msd_nm": 30.0}).deck
    assert deck == MaskRules(msd_nm=30.0)


def test_further_corners_enter_the_objective(sim, clips):
    target = clips["demo-metal-tips"]
    by_weight = [
        opc.solve(target, sim, method="rule_aware", corner_weights=weights, **SMALL)
        .history["value"]
        .sel(term="corners")
        for weights in ((), (("outer", 1.0), ("inner", 1.0)))
    ]
    assert (by_weight[0] == 0).all() and (by_weight[1] > 0).all()


def test_pv_band_term_is_the_area_between_soft_edges(sim):
    # A square so large that the image goes far past the threshold on both sides of its edges.
    target = torch.zeros(1, 1024, 1024)
    target[:, 300:724, 300:724] = 1
    options = opc.options_of("rule_aware", pixel_nm=2.0, projection_nm=2.0)
    objective = Objective.of(
        target.to(torch.uint8),
        target,
        sim,
        options,
        around=torch.zeros_like(target),
        free=torch.ones_like(target, dtype=torch.bool),
    )
    printed = sim.printed(target)[0]
    band = metrics.pvb_nm2(printed[1].numpy(), printed[2].numpy(), 2.0)
    squares = []
    for steepness in (50.0, 100.0, 200.0):
        assert objective.terms(target, steepness)[rule_aware.TERMS.index("pv_band")].item() == pytest.approx(
            band, rel=0.05
        )
        soft = torch.sigmoid(steepness * (sim.aerial(target) - sim.threshold))
        squares.append(4 * (soft[:, 1] - soft[:, 2]).square().sum().item())
    # What the square of the difference sees of the same band depends on the softness.
    assert squares[0] < 0.4 * band and squares[2] > 1.5 * squares[0]


def test_displacement_is_the_edge_error_of_the_scores(sim):
    target = np.zeros((2048, 2048), np.uint8)
    target[600:1400, 900:1100] = 1
    aerial = sim.aerial(target.astype(np.float32))[0]
    points = EdgePoints.of([straight_edges(target, 1.0)], sim)
    samples = sim.intensity(torch.as_tensor(target, dtype=torch.float32)[None], n_out=points.rows.shape[-1])
    at = straight_edges(target, 1.0)
    displacement = points.displacement(samples[:, 0], sim.threshold)[0].numpy()
    sites = metrics.epe_sites(aerial.numpy(), target, pixel_nm=1, threshold=sim.threshold)
    compared = 0
    for y, x, ny, error in zip(sites.y_nm.values, sites.x_nm.values, sites.normal_y, sites.edge_error_nm, strict=True):
        k = int(np.argmin(np.hypot(at[:, 0] - y, at[:, 1] - x)))
        # The scorer measures along the edge's own image, first order along its slope at the target.
        if ny == 0 and 800 < y < 1300 and np.hypot(at[k, 0] - y, at[k, 1] - x) < 6:
            assert displacement[k] == pytest.approx(float(error), abs=1.0)
            compared += 1
    assert compared >= 10


def test_legs_of_rising_steepness_share_the_steps():
    def legs(**changes):
        return list(rule_aware._legs(opc.options_of("rule_aware", **changes)))

    assert [leg[1:] for leg in legs(free_steps=100, coarse_nm=16.0)] == [(0.0, 33, 2), (0.5, 34, 1), (1.0, 33, 1)]
    # Too few evaluations to learn from make fewer legs; Adam has one, and its resist gets steeper with each step.
    assert [leg[1:] for leg in legs(free_steps=4)] == [(0.0, 4, 1)]
    assert [leg[1:] for leg in legs(free_optimizer="adam")] == [(None, 150, 1)]


def test_points_keep_away_from_corners():
    target = np.zeros((400, 400), np.uint8)
    target[100:300, 150:250] = 1
    points = straight_edges(target, 1.0)
    corners = np.array([[y, x] for y in (100, 300) for x in (150, 250)])
    away = np.hypot(*(points[:, None, :2] - corners).transpose(2, 0, 1)).min(axis=1)
    assert away.min() > 8
    # 600 nm of edges less the corners, a point each 8 nm, normals outward.
    assert 50 <= len(points) <= 75
    assert set(map(tuple, points[:, 2:])) == {(-1.0, 0.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0)}
    assert (points[points[:, 2] == -1.0][:, 0] == 100).all() and (points[points[:, 3] == 1.0][:, 1] == 250).all()


def test_edge_area_is_quadratic_then_linear():
    area = between_edges(torch.tensor([[0.0, 1.0, 2.0, 10.0]], dtype=torch.float64), 2.0)
    assert area.item() == pytest.approx(8.0 * (0.25 + 1.0 + 9.0))


def test_sites_count_at_the_limit_and_pull_beyond_it():
    counts = torch.ones(1, 1, dtype=torch.float64)

    def term(shift_nm: float) -> float:
        return misplaced(torch.tensor([[shift_nm]], dtype=torch.float64), counts, 3.0, 0.5, 0.6).item()

    # Half a nm inside of the edge is where the contest's probes see none.
    assert term(-0.5) < 1.0 and term(1.0) == pytest.approx(term(-2.0))
    # Half a violation at the limit; far beyond one and the excess, for a site that stands for 40 nm of edge.
    assert term(2.5) == pytest.approx(40 * (1.5 + 0.6 * 0.5 * np.log(2)))
    assert term(19.5) == pytest.approx(40 * (3.0 + 0.6 * 17.0), rel=1e-6)
    assert term(20.5) - term(19.5) == pytest.approx(40 * 0.6, rel=1e-6)


def test_a_feature_that_does_not_print_breaks_the_far_limit_inside_of_its_edges_only(sim):
    target = np.zeros((2048, 2048), np.uint8)
    target[1000:1080, 900:1100] = 1
    sites = contest_sites(target, 1.0)
    inside, outside = probes(sites, 15.0)
    assert all(target[int(y), int(x)] for y, x in inside[:, :2] - 0.5)
    assert not any(target[int(y), int(x)] for y, x in outside[:, :2] - 0.5)
    small = small_grid(sim.kernels.half_width)
    dark = torch.full((1, small, small), 0.5 * sim.threshold)
    counts = torch.ones(1, len(sites))
    terms = [
        lost(sign * EdgePoints.of([places], sim).displacement(dark, sim.threshold), counts, 15.0, 2.5, 0.6).item()
        for sign, places in ((-1, inside), (1, outside))
    ]
    # The image is flat and half the threshold below it: 1.5e-3 / nm is the least slope that is believed.
    excess = 0.5 * sim.threshold / 1.5e-3
    assert terms[0] == pytest.approx(len(sites) * 40 * (15.0 + 0.6 * excess), rel=1e-3)
    assert terms[1] < 1e-3 * terms[0]


def test_sites_are_where_they_are_asked_for():
    target = np.zeros((400, 400), np.uint8)
    target[100:300, 150:250] = 1
    sites = metrics.target_sites(target, 1.0)
    contest = Sites().of(target, 1.0)
    assert np.array_equal(contest[:, :2], np.stack([sites.y_nm, sites.x_nm], axis=1))
    twice = len(Sites(spacing_nm=4.0).of(target, 1.0))
    assert twice == pytest.approx(2 * len(straight_edges(target, 1.0)), abs=4)
    one = Sites(places_nm=[(5.0, 7.0, 0.0, -2.0)]).of(target, 1.0)
    assert np.array_equal(one, [[5.0, 7.0, 0.0, -1.0]])


def test_sites_move_the_edges_where_they_are(sim, clips):
    target = clips["demo-metal-isolated"]
    errors = [
        float(
            metrics.evaluate(
                opc.solve(target, sim, method="rule_aware", site_weight=weight, free_steps=60, n_steps=20).mask,
                target,
                sim,
                only=["epe3"],
            )["epe3"]
        )
        for weight in (0.0, 3.0)
    ]
    assert errors[1] < errors[0]


def test_weights_of_ones_change_nothing_and_a_place_that_counts_more_prints_better(sim, clips):
    target = clips["demo-metal-tips"][::2, ::2]
    quick = {"method": "rule_aware", "free_optimizer": "adam", **SMALL}
    plain = opc.solve(target, sim, **quick).mask
    assert (opc.solve(target, sim, weights=np.ones(target.shape), **quick).mask == plain).all()
    left = np.arange(target.shape[1]) < target.shape[1] // 2
    weights = np.where(left, 8.0, 1.0) * np.ones(target.shape)
    mask = opc.solve(target, sim, weights=weights, **quick).mask
    off = [np.sum((sim.printed(each)[0].numpy() != target)[:, left]) for each in (mask, plain)]
    assert off[0] < off[1]
    with pytest.raises(ValueError, match="curvy has no weights of places; methods that have: rule_aware"):
        opc.solve(target, sim, method="curvy", weights=weights)
    with pytest.raises(ValueError, match="smallest -1"):
        opc.solve(target, sim, method="rule_aware", weights=-np.ones(target.shape))


def test_a_guide_that_the_field_cuts_prints_no_worse_than_it_is_drawn():
    process = litho.load_process("dry193-na075-photonics")
    sim, n = process.simulator(), 512
    for low in (218, 219):  # on the solver's own pixels of 8 nm, and between them
        guide = np.zeros((n, n), np.uint8)
        guide[low : low + 76] = 1
        sites = metrics.target_sites(guide, 4.0)
        there = (sites["normal_y"] != 0) & (sites["x_nm"] > 512) & (sites["x_nm"] < 1536)
        sites = sites.isel(site=np.flatnonzero(there))

        def off_nm(mask, guide=guide, sites=sites):
            aerial = sim.aerial(np.asarray(mask, np.float32)).numpy()[0]
            how = {"pixel_nm": 4.0, "threshold": sim.threshold, "sites": lambda *_: sites}
            return float(np.abs(metrics.epe_sites(aerial, guide, **how)["edge_error_nm"]).mean())

        assert off_nm(opc.solve(guide, sim, method="rule_aware", preset="outline").mask) <= off_nm(guide) + 0.1


def test_sites_on_a_border_that_cuts_a_shape_do_not_count():
    points = np.array([[0.0, 100, -1, 0], [100.0, 0, 0, -1], [100, 1024, 0, 1], [100, 40, 1, 0], [512, 512, 1, 0]])
    assert rule_aware_terms._served(points, 1024.0).tolist() == points[3:].tolist()
