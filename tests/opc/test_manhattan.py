"""Fragments of Manhattan outlines, model-based OPC and gradient moves of edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, metrics, opc, optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.layout.polygons import signed_area
from maskopt_lib.layout.raster import coverage, is_manhattan
from maskopt_lib.opc import edge_gradient, model_based_opc
from maskopt_lib.opc.assist import AssistSeeds, assist_seeds
from maskopt_lib.opc.edge_rules import EdgeRules, snap, without_small_jogs
from maskopt_lib.opc.edges import edge_errors_nm, sample
from maskopt_lib.opc.fragments import Cutting, Fragments, outlines

METHODS = ("model_based_opc", "edge_gradient")
#: Few steps, on a coarse raster: what must hold does so from the first step on.
FAST = {
    "model_based_opc": dict(n_steps=4, grid_nm=4.0, pixel_nm=8.0),
    "edge_gradient": dict(n_steps=4, grid_nm=4.0, pixel_nm=8.0),
}


@pytest.fixture(scope="module")
def sim() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    """An L beside a bar, and a frame with a hole, on 4 nm pixels; line widths of 80 nm."""
    target = np.zeros((2, 512, 512), np.uint8)
    target[0, 200:300, 200:220] = target[0, 200:220, 200:300] = 1
    target[0, 250:270, 240:330] = 1
    target[1, 200:290, 200:300] = 1
    target[1, 220:270, 225:275] = 0
    return target


def rectangle(x0, y0, x1, y1) -> np.ndarray:
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], float)


def fragments_of(targets: np.ndarray, cutting: Cutting, **how) -> Fragments:
    return Fragments.of_rings(outlines(torch.as_tensor(targets), 4.0), cutting, grid_nm=4.0, **how)


def rings_of(fragments: Fragments, displacement_nm: torch.Tensor) -> list[list[np.ndarray]]:
    """The moved outlines of each clip: lists of (n, 2) rings in nm, with the points where nothing turns."""
    line, start, end = (t.double().numpy() for t in fragments.moved(displacement_nm))
    vertical, after = fragments.is_vertical.numpy(), fragments.after.numpy()
    first = np.stack([np.where(vertical, line, start), np.where(vertical, start, line)], axis=-1)
    last = np.stack([np.where(vertical, line, end), np.where(vertical, end, line)], axis=-1)
    clips = []
    for b, n in enumerate(fragments.n_fragments.tolist()):
        seen, rings = np.zeros(n, bool), []
        for begin in range(n):
            points, i = [], begin
            while not seen[i]:
                seen[i] = True
                points += [first[b, i], last[b, i]]
                i = after[b, i]
            if points:
                rings.append(np.array(points))
        clips.append(rings)
    return clips


# Cutting


@pytest.mark.parametrize("pieces", ["even", "ends"])
@pytest.mark.parametrize("corner_nm, segment_nm", [(16, 32), (24, 40), (0, 60), (35, 70)])
def test_pieces_add_up_to_the_edge_and_are_about_as_long_as_asked(pieces, corner_nm, segment_nm):
    cutting = Cutting(corner_nm=corner_nm, segment_nm=segment_nm, pieces=pieces)
    for length in range(1, 600):
        cuts = cutting.cuts(length)
        parts = np.diff(cuts)
        assert cuts[0] == 0 and cuts[-1] == length and (parts > 0).all()
        if length < 2 * corner_nm:
            assert len(parts) == 1
        elif corner_nm and length > 2 * corner_nm:
            assert parts[-1] == corner_nm
            assert parts[0] == corner_nm or (pieces == "ends" and len(parts) == 2)
        if length > 2 * (corner_nm + segment_nm):
            inner = parts[1:-1] if corner_nm else parts
            assert inner.max() <= 1.5 * segment_nm + 1 and inner.min() >= 0.5 * segment_nm - 1


def test_even_pieces_lie_symmetrically():
    cuts = Cutting(corner_nm=16, segment_nm=32).cuts(400)
    np.testing.assert_allclose(cuts, 400 - cuts[::-1], atol=1)


def test_pieces_from_the_ends_are_exactly_as_long_as_asked():
    # 200 = 16 + 5 * 32 + 8 + 16: the rest of 8 joins the third piece from the start.
    np.testing.assert_array_equal(
        Cutting(corner_nm=16, segment_nm=32, pieces="ends").cuts(200), [0, 16, 48, 80, 120, 152, 184, 200]
    )


def test_a_line_end_stays_whole_and_a_notch_of_the_same_width_does_not():
    # The bottom of the notch lies between two concave corners.
    u = np.array([(0, 0), (300, 0), (300, 200), (200, 200), (200, 100), (100, 100), (100, 200), (0, 200)], float)
    f = Fragments.of_rings([[u]], Cutting(corner_nm=20, segment_nm=40, line_end_nm=100))
    whole = f.is_line_end[0]
    assert whole.sum() == 2 and (f.length_nm[0][whole] == 100).all() and (f.line_nm[0][whole] == 200).all()
    floor = (f.line_nm[0] == 100) & ~f.is_vertical[0]
    assert floor.sum() > 1 and f.length_nm[0][floor].sum() == 100


def test_control_points_of_corner_fragments_keep_away_from_the_corner():
    f = Fragments.of_rings(
        [[rectangle(0, 0, 400, 50)]], Cutting(corner_nm=20, segment_nm=40, corner_probe_nm=30, line_end_nm=60)
    )
    x = f.control_nm[0, ~f.is_vertical[0], 0]
    assert x.min() == 30 and x.max() == 370
    assert f.is_corner.sum() == 4 and f.is_line_end.sum() == 2


# Geometry


def test_without_moves_the_raster_is_the_target(targets):
    f = fragments_of(targets, Cutting(corner_nm=24, segment_nm=40))
    still = torch.zeros_like(f.line_nm)
    np.testing.assert_array_equal(f.raster(still, 512, 4.0).numpy(), targets)
    np.testing.assert_array_equal(
        f.raster(still, 256, 8.0).numpy(), targets.reshape(2, 256, 2, 256, 2).mean((2, 4), dtype=np.float32)
    )


def test_raster_of_moved_polygons_is_their_covered_area(targets):
    f = fragments_of(targets, Cutting(corner_nm=24, segment_nm=40), dtype=torch.float64)
    moves = torch.as_tensor(np.random.default_rng(0).uniform(-15, 15, f.line_nm.shape)) * f.is_real
    rings = rings_of(f, moves)
    raster = f.raster(moves, 256, 8.0).numpy()
    assert all(is_manhattan(ring) for clip in rings for ring in clip)
    np.testing.assert_allclose(raster[0], coverage(rings[0], 256, 8.0), atol=1e-6)  # unions have a grid
    hole = min(rings[1], key=signed_area)
    outer = max(rings[1], key=signed_area)
    np.testing.assert_allclose(raster[1], coverage([outer], 256, 8.0) - coverage([hole], 256, 8.0), atol=1e-9)


def test_moving_all_edges_by_one_distance_grows_material_and_shrinks_holes():
    frame = [rectangle(400, 400, 1000, 900), rectangle(600, 600, 800, 700)[::-1]]
    f = Fragments.of_rings([frame], Cutting(corner_nm=20, segment_nm=40))
    area = float(f.raster(torch.full_like(f.line_nm, 10.0), 256, 8.0).sum()) * 64
    assert area == pytest.approx(620 * 520 - 180 * 80, rel=1e-5)


def test_derivative_of_the_raster_is_the_integral_along_the_edge():
    f = Fragments.of_rings([[rectangle(403, 401, 700, 640)]], Cutting(corner_nm=30, segment_nm=50), dtype=torch.float64)
    weight = torch.as_tensor(np.random.default_rng(1).normal(size=(256, 256)))
    start = torch.as_tensor(np.random.default_rng(2).uniform(0.1, 0.9, f.line_nm.shape)) * f.is_real

    def loss(d):
        return (f.raster(d, 256, 8.0) * weight).sum()

    d = start.clone().requires_grad_()
    loss(d).backward()
    for k in range(d.shape[1]):
        step = torch.zeros_like(d)
        step[0, k] = 1e-4
        numeric = (loss(start + step) - loss(start - step)) / 2e-4
        assert float(d.grad[0, k]) == pytest.approx(float(numeric), rel=1e-6, abs=1e-9)


def test_a_kink_on_a_pixel_border_counts_once():
    f = Fragments.of_rings([[rectangle(400, 400, 720, 640)]], Cutting(corner_nm=0, segment_nm=1000))
    d = torch.zeros_like(f.line_nm, requires_grad=True)
    (f.raster(d, 256, 8.0).sum() * 64).backward()
    np.testing.assert_allclose(d.grad[0].numpy(), f.length_nm[0].numpy(), rtol=1e-4)


# Edge errors


def test_sampling_is_exact_on_pixel_centres_and_on_parabolas():
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    image = (0.1 * (x - 15) ** 2 - 0.2 * y * 3 + 1)[None].double()
    points = torch.tensor([[[4.0 * 10.5, 4.0 * 20.5], [4.0 * 10.9, 4.0 * 20.1]]]).double()
    value = sample(image, points, 4.0)[0]
    assert float(value[0]) == pytest.approx(float(image[0, 20, 10]))
    assert float(value[1]) == pytest.approx(0.1 * (10.4 - 15) ** 2 - 0.6 * 19.6 + 1)


def test_signed_errors_of_a_shifted_edge_and_of_lost_edges():
    f = Fragments.of_rings([[rectangle(400, 400, 800, 1200)]], Cutting(corner_nm=0, segment_nm=1000))
    centres = (torch.arange(512) + 0.5) * 4
    # Printed from x = 407.3 to x = 812.6, for every y: the edges along x are lost, everything prints there.
    slope = torch.minimum((centres - 407.3) / 100, (812.6 - centres) / 100).expand(1, 512, 512) + 0.225
    error = edge_errors_nm(slope.contiguous(), f, 4.0, 0.225)[0]
    vertical = f.is_vertical[0]
    np.testing.assert_allclose(error[vertical & (f.outward[0] > 0)], 12.6, atol=1e-3)
    np.testing.assert_allclose(error[vertical & (f.outward[0] < 0)], -7.3, atol=1e-3)
    assert (error[~vertical] == 40).all()
    assert (edge_errors_nm(torch.zeros(1, 512, 512), f, 4.0, 0.225) == -40).all()


def test_errors_of_a_real_image_lie_where_it_crosses_the_threshold(sim, targets):
    f = fragments_of(targets[:1], Cutting(corner_nm=0, segment_nm=60))
    aerial = sim.aerial(targets[:1], corners=["nominal"])[:, 0]
    error = edge_errors_nm(aerial, f, 4.0, sim.threshold)
    found = (error.abs() < 40) & f.is_real
    assert found.sum() > 8 and error[found].abs().max() > 1
    places = f.control_nm + error[..., None] * f.normal
    np.testing.assert_allclose(sample(aerial, places, 4.0)[found], sim.threshold, atol=1e-4)
    # The image itself, without interpolation between pixels.
    fine = sim.aerial(targets[:1], corners=["nominal"], n_out=2048)[:, 0]
    np.testing.assert_allclose(sample(fine, places, 1.0)[found], sim.threshold, atol=1e-3)


# Mask rules and jogs


def test_moves_stop_at_smallest_width_and_space():
    # Two bars of 60 nm, 50 nm apart.
    bars = [rectangle(400, 400, 900, 460), rectangle(400, 510, 900, 570)]
    f = Fragments.of_rings([bars], Cutting(corner_nm=20, segment_nm=40))
    rules = EdgeRules(f, min_width_nm=40, min_space_nm=30, max_move_nm=40)
    still = torch.zeros_like(f.line_nm)
    apart = rules.legal(torch.full_like(still, 40.0), still)
    horizontal = ~f.is_vertical[0]
    inner = horizontal & ((f.line_nm[0] == 460) | (f.line_nm[0] == 510))
    np.testing.assert_allclose(apart[0][inner], 10, atol=1e-3)  # (50 - 30) / 2 each
    np.testing.assert_allclose(apart[0][horizontal & ~inner], 40, atol=1e-3)
    thin = rules.legal(torch.where(f.is_vertical, 0.0, -40.0), still)
    np.testing.assert_allclose(thin[0][horizontal], -10, atol=1e-3)  # (60 - 40) / 2 each
    for moved in (apart, thin):
        assert not len(rules.excess_nm(moved)[0])


def test_a_narrow_target_is_its_own_rule():
    f = Fragments.of_rings([[rectangle(400, 400, 900, 420)]], Cutting(corner_nm=20, segment_nm=40))
    rules = EdgeRules(f, min_width_nm=40, min_space_nm=30, max_move_nm=40)
    assert not len(rules.excess_nm(torch.zeros_like(f.line_nm))[0])
    assert (rules.legal(torch.full_like(f.line_nm, -5.0), torch.zeros_like(f.line_nm))[0, ~f.is_vertical[0]] == 0).all()


def test_corners_keep_their_distance_too():
    diagonal = [rectangle(400, 400, 600, 600), rectangle(640, 640, 800, 800)]
    f = Fragments.of_rings([diagonal], Cutting(corner_nm=0, segment_nm=1e4))
    rules = EdgeRules(f, min_width_nm=10, min_space_nm=40, max_move_nm=40)
    moved = rules.legal(torch.full_like(f.line_nm, 30.0), torch.zeros_like(f.line_nm))
    first, second = rings_of(f, moved)[0]
    assert np.hypot(*(second.min(0) - first.max(0))) >= 40 - 1e-3


@pytest.mark.parametrize("seed", range(4))
def test_any_moves_end_legal_and_never_cross(seed, targets):
    f = fragments_of(targets, Cutting(corner_nm=40, segment_nm=60))
    rules = EdgeRules(f, min_width_nm=40, min_space_nm=40, max_move_nm=60)
    wild = torch.as_tensor(np.random.default_rng(seed).uniform(-60, 60, f.line_nm.shape)).float()
    snapped = snap(wild, f, rules, jog_nm=4.0, grid_nm=4.0)
    assert not len(rules.excess_nm(snapped)[0])
    np.testing.assert_array_equal(snapped, (snapped / 4).round() * 4)
    raster = f.raster(snapped, 512, 4.0)
    assert set(raster.unique().tolist()) <= {0.0, 1.0}, "an outline crosses itself"
    for mask in raster.numpy() > 0.5:
        assert metrics.min_width_nm(mask, 4.0) >= 40 - 1e-6
        assert metrics.min_space_nm(mask, 4.0) >= 40 - 1e-6


def test_small_jogs_are_closed_by_the_mean_of_their_sides():
    f = Fragments.of_rings([[rectangle(400, 400, 600, 500)]], Cutting(corner_nm=0, segment_nm=50))
    d = torch.zeros_like(f.line_nm)
    d[0, :4] = torch.tensor([0.0, 3.0, 10.0, 20.0])  # the lower edge: four pieces of 50 nm
    np.testing.assert_allclose(without_small_jogs(f, d, 4.0)[0, :4], [1.5, 1.5, 10, 20])
    np.testing.assert_allclose(without_small_jogs(f, d, 100.0)[0, :4], [8.25] * 4)


# The solvers


@pytest.mark.parametrize("method", METHODS)
def test_masks_are_manhattan_and_equal_to_their_polygons(method, sim, targets):
    result = opc.solve(targets, sim, method=method, **FAST[method])
    assert len(result.polygons) == 2 and result.mask.dtype == np.uint8
    for mask, rings in zip(result.mask, result.polygons, strict=True):
        assert all(is_manhattan(ring) for ring in rings)
        painted = sum(np.sign(signed_area(r)) * coverage([r], 512, 4.0) for r in rings)
        np.testing.assert_array_equal(painted, mask)
    assert not np.array_equal(result.mask, targets)
    assert result.history.sizes["step"] == 5 and np.isfinite(result.history["value"].values).all()


@pytest.mark.parametrize("method", METHODS)
def test_print_improves(method, sim, targets):
    steps = {**FAST[method], "n_steps": 15, "pixel_nm": 4.0}
    result = opc.solve(targets, sim, method=method, **steps)
    before = (sim.printed(targets)[:, 0].numpy() != targets).sum((1, 2))
    after = (sim.printed(result.mask)[:, 0].numpy() != targets).sum((1, 2))
    assert (after < 0.6 * before).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_each_clip_alone_gives(method, sim, targets):
    together = opc.solve(targets, sim, method=method, **FAST[method]).mask
    for i in (0, 1):
        alone = opc.solve(targets[i], sim, method=method, **FAST[method]).mask
        # Rounding of floats may put an edge on the next line of the grid, no more.
        assert (alone != together[i]).sum() <= 20


@pytest.mark.parametrize("method", METHODS)
def test_a_shifted_target_gives_the_shifted_mask(method, sim, targets):
    mask = opc.solve(targets[0], sim, method=method, **FAST[method]).mask
    shifted = opc.solve(np.roll(targets[0], (40, -24), (0, 1)), sim, method=method, **FAST[method]).mask
    assert (np.roll(mask, (40, -24), (0, 1)) != shifted).sum() <= 20


@pytest.mark.parametrize("method", METHODS)
def test_no_edge_goes_farther_than_allowed(method, sim, targets):
    options = {**FAST[method], "n_steps": 8, "max_move_nm": 8.0}
    mask = opc.solve(targets[0], sim, method=method, **options).mask
    grown = np.zeros((512, 512), bool)
    for dy in range(-2, 3):
        for dx in range(-2, 3):
            grown |= np.roll(targets[0], (dy, dx), (0, 1)) > 0
    assert not (mask > grown).any()


@pytest.mark.parametrize("method", METHODS)
def test_what_cannot_be_used_is_refused(method, sim, targets):
    with pytest.raises(ValueError, match="no initial masks"):
        opc.solve(targets[0], sim, method=method, initial=targets[0])
    with pytest.raises(GridMismatchError, match="grid_nm"):
        opc.solve(targets[0], sim, method=method, grid_nm=1.0)
    with pytest.raises(UnknownNameError, match="even, ends"):
        opc.solve(targets[0], sim, method=method, pieces="odd")


def test_where_every_edge_prints_in_place_nothing_moves(targets):
    f = fragments_of(targets, model_based_opc.FEEDBACK.cutting)

    class Perfect:
        """An imaging model whose print is its mask: the image is linear across every edge."""

        threshold = 0.5
        resist_model = litho.process.ThresholdResist(threshold=0.5)

        def aerial(self, mask, corners):
            return mask[:, None].repeat(1, 3, 1, 1)

    measure = model_based_opc._Measurement(
        torch.as_tensor(targets).float(), f, f.is_real, Perfect(), replace(model_based_opc.FEEDBACK, pixel_nm=4.0)
    )
    terms, move = measure(torch.zeros_like(f.line_nm), 0)
    np.testing.assert_allclose(move, 0, atol=1e-5)
    np.testing.assert_allclose(terms[:, :2], 0, atol=1e-5)


def test_fixed_steps_follow_the_probes_of_a_constructed_print():
    # Drawn from 400 to 800 nm, printed from 380 to 770 nm in x and from 395 to 795 in y.
    f = Fragments.of_rings([[rectangle(400, 400, 800, 800)]], model_based_opc.OPENILT.cutting)
    centres = (torch.arange(2048) + 0.5).expand(2048, 2048)
    x, y = centres, centres.T
    printed = (x > 380) & (x < 770) & (y > 395) & (y < 795)

    class Printed:
        threshold = 0.5
        resist_model = litho.process.ThresholdResist(threshold=0.5)

        def aerial(self, mask, corners):
            return printed.float().expand(1, 3, 2048, 2048)

    options = replace(model_based_opc.OPENILT, pixel_nm=1.0)
    measure = model_based_opc._Measurement(torch.zeros(1, 2048, 2048), f, f.is_real, Printed(), options)
    still = torch.zeros_like(f.line_nm)
    middle = (f.control_nm[0] > 450).all(-1) | (f.control_nm[0] < 750).all(-1)
    left, right = (f.is_vertical[0] & (f.outward[0] == sign) & middle for sign in (-1, 1))
    flat = ~f.is_vertical[0] & (f.control_nm[0, :, 0] > 420) & (f.control_nm[0, :, 0] < 750)
    for step, size in ((0, 8.0), (3, 8.0), (4, 4.0), (7, 4.0)):
        move = measure(still, step)[1][0]
        assert (move[left] == -size).all(), "16 nm outside prints: inwards"
        assert (move[right] == size).all(), "16 nm inside does not print: outwards"
        assert (move[flat] == 0).all(), "within both probes: stay"


def test_constants_of_the_sources():
    o = model_based_opc.OPENILT
    assert (o.corner_nm, o.segment_nm, o.n_steps, o.fixed_step_nm, o.halve_every) == (16, 32, 8, 8, 4)
    assert (o.max_move_nm, o.probe_nm, o.feedback, o.keep) == (24, 16, "fixed", "last")
    d = edge_gradient.DIFFOPC
    assert (d.segment_nm, d.n_steps, d.optimizer, d.learning_rate) == (60, 70, "adam", 4)
    assert (d.fidelity_weight, d.corner_weight, d.epe_weight, d.curvature_weight) == (1, 0.5, 100, 200)
    assert (d.assist.threshold, d.assist.min_area_nm2, d.assist.size_nm) == (0.2, 400, 60)


def test_gradient_of_the_whole_objective_agrees_with_differences(targets):
    sim = litho.Simulator(optics.load("embedded"), dtype=torch.float64)
    f = fragments_of(targets[:1], edge_gradient.DIFFOPC.cutting, dtype=torch.float64)
    wanted = torch.nn.functional.avg_pool2d(torch.as_tensor(targets[:1]).double(), 2)
    options = replace(edge_gradient.DIFFOPC, pixel_nm=8.0, pvb_weight=0.3)
    objective = edge_gradient._Objective(wanted, f, f.is_real, sim, options)
    start = torch.as_tensor(np.random.default_rng(3).uniform(1, 7, f.line_nm.shape))

    def loss(d):
        return sum(w * t for w, t in zip(options.weights, objective(d, 0), strict=True)).sum()

    d = start.clone().requires_grad_()
    loss(d).backward()
    for k in (0, 3, 7):
        step = torch.zeros_like(start)
        step[0, k] = 1e-4
        numeric = float((loss(start + step) - loss(start - step)) / 2e-4)
        assert float(d.grad[0, k]) == pytest.approx(numeric, rel=1e-4)


def test_assist_features_start_clear_of_target_and_each_other(sim, targets):
    wanted = torch.as_tensor(targets).float()
    found = assist_seeds(wanted, sim, AssistSeeds(threshold=0.02), pixel_nm=4.0, grid_nm=4.0)
    assert sum(map(len, found)) > 0
    for target, squares in zip(targets, found, strict=True):
        rows, columns = np.nonzero(target)
        for square in squares:
            assert signed_area(square) == 60.0**2
            low, high = square.min(0), square.max(0)
            gap_x = np.maximum(np.maximum(low[0] - 4 * (columns + 1), 4 * columns - high[0]), 0)
            gap_y = np.maximum(np.maximum(low[1] - 4 * (rows + 1), 4 * rows - high[1]), 0)
            assert np.hypot(gap_x, gap_y).min() >= 40


def test_assist_features_of_model_based_opc_stay_where_they_are_set(sim, targets):
    options = {**FAST["model_based_opc"], "assist": {"threshold": 0.02}}
    mask = opc.solve(targets, sim, method="model_based_opc", **options).mask
    wanted = torch.nn.functional.avg_pool2d(torch.as_tensor(targets).float(), 2)
    found = assist_seeds(wanted, sim, AssistSeeds(threshold=0.02), pixel_nm=8.0, grid_nm=4.0)
    assert sum(map(len, found)) > 0
    for one, target, squares in zip(mask, targets, found, strict=True):
        for square in squares:
            (x0, y0), (x1, y1) = (square.min(0) / 4).astype(int), (square.max(0) / 4).astype(int)
            assert one[y0:y1, x0:x1].all() and not target[y0:y1, x0:x1].any()
            ring = one[y0 - 1 : y1 + 1, x0 - 1 : x1 + 1].sum() - (y1 - y0) * (x1 - x0)
            assert ring == 0


@pytest.mark.realdata
@pytest.mark.parametrize(
    "method, l2_nm2, epe15, shots",
    # Published for all ten: A2-ILT 36622 nm2, DiffOPC 30119 nm2.
    [("model_based_opc", 40000, 5, 250), ("edge_gradient", 40000, 5, 250)],
)
def test_two_clips_of_the_contest(real_data, genuine, method, l2_nm2, epe15, shots):
    names = ["M1_test4", "M1_test10"]
    for name in names:
        real_data(f"iccad13/clips/{name}.glp")
    target = np.stack([clip.rasterize() for clip in layout.benchmark_clips("iccad13", names).values()])
    sim = litho.Simulator(genuine)
    result = opc.solve(target, sim, method=method, n_steps=20)
    score = metrics.evaluate(result.mask, target, sim, only=["l2_nm2", "epe15", "shots"])
    assert float(score["l2_nm2"].mean()) < l2_nm2 / 2
    assert float(score["epe15"].mean()) <= epe15
    assert float(score["shots"].mean()) <= shots
