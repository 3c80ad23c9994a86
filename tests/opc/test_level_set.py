"""Level-set ILT: distances and flows against closed forms, limits that hold, and the solver as a whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from maskopt_lib import layout, litho, metrics, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.opc import level_set as ls

PIXEL_NM = 8.0

#: Changes that fit each preset to targets with pixels of 8 nm.
ON_8_NM = {"openilt": {"image_pixel_nm": None}, "signed-distance": {"cleanup": None}, "tuned": {"cleanup": None}}


@pytest.fixture(scope="module")
def sim() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    clips = layout.demo_clips()
    return np.stack([clips[n].rasterize(pixel_nm=8, antialiased=False) for n in ("demo-metal-tips", "demo-metal-cell")])


def centres(n: int, pixel_nm: float = PIXEL_NM) -> tuple[Tensor, Tensor]:
    at = (torch.arange(n, dtype=torch.float64) + 0.5 - n / 2) * pixel_nm
    return at[:, None].expand(n, n), at[None].expand(n, n)


def circle(n: int, radius_nm: float, pixel_nm: float = PIXEL_NM, shift_nm: float = 0.0) -> Tensor:
    y, x = centres(n, pixel_nm)
    return (torch.hypot(y - shift_nm, x + shift_nm / 3) - radius_nm)[None]


def radius_nm(phi: Tensor, pixel_nm: float = PIXEL_NM) -> float:
    """Of a disk of the same area as the soft mask's."""
    area = ls.soft_mask(phi, pixel_nm, pixel_nm).sum().item() * pixel_nm**2
    return float(np.sqrt(area / np.pi))


# Signed distance


def test_distance_of_a_half_plane_is_exact():
    mask = torch.zeros(1, 64, 64, dtype=torch.uint8)
    mask[:, :, :20] = 1
    wanted = (torch.arange(64, dtype=torch.float64) + 0.5 - 20) * 2.0
    assert torch.equal(ls.phi_of(mask, 2.0), wanted.expand(1, 64, 64))


def test_distance_of_a_disk_is_within_half_a_pixel():
    # The outline of a pixel disk is itself half a pixel uncertain.
    phi = circle(200, 60.0, 1.0)
    found = ls.phi_of(phi < 0, 1.0)
    assert (found - phi).abs().max() < 0.5
    assert (found - phi).mean().abs() < 0.1


@pytest.mark.parametrize("value", [0, 1])
def test_distance_of_an_empty_or_full_mask_is_far(value):
    phi = ls.phi_of(torch.full((1, 8, 8), value), 1.0)
    assert (phi.abs() > 8).all() and ((phi < 0) == bool(value)).all()


def test_coarse_distance_keeps_edges_between_pixels(targets):
    target = layout.demo_clips()["demo-metal-isolated"].rasterize(pixel_nm=1)[None]
    phi = ls.coarse(ls.phi_of(torch.as_tensor(target), 1.0), 8, torch.float64)
    area = ls.soft_mask(phi, 8.0, 8.0).sum() * 64
    # Corners are cut a little, edges are where they were although they lie between the coarse pixels.
    assert abs(area / target.sum() - 1) < 2e-3


# |grad phi|


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4])
def test_steepness_of_a_plane(angle):
    y, x = centres(32)
    phi = (2.5 * (np.cos(angle) * x + np.sin(angle) * y))[None]
    inner = (slice(None), slice(1, -1), slice(1, -1))
    grows = torch.rand(phi.shape, generator=torch.Generator().manual_seed(0)) > 0.5
    torch.testing.assert_close(ls.central_steepness(phi, PIXEL_NM)[inner], torch.full((1, 30, 30), 2.5).double())
    torch.testing.assert_close(ls.godunov_steepness(phi, grows, PIXEL_NM)[inner], torch.full((1, 30, 30), 2.5).double())


def test_upwind_sees_a_ridge_where_levels_come_from():
    _, x = centres(33)
    ridge = -x.abs()[None]
    middle = (0, 16, 16)
    # The ridge itself sinks when phi falls and cannot rise; central differences see nothing there.
    assert ls.godunov_steepness(ridge, torch.tensor(False), PIXEL_NM)[middle] == 1
    assert ls.godunov_steepness(ridge, torch.tensor(True), PIXEL_NM)[middle] == 0
    assert ls.central_steepness(ridge, PIXEL_NM)[middle] == 0


def test_upwind_flow_moves_a_circle_at_unit_speed():
    phi = circle(64, 120.0)
    for _ in range(20):
        phi = phi - 2.0 * ls.godunov_steepness(phi, torch.tensor(False), PIXEL_NM)
    assert radius_nm(phi) == pytest.approx(160.0, abs=0.1 * PIXEL_NM)


# Re-distancing


@pytest.mark.parametrize("distortion", [0.3, 3.0])
def test_redistancing_restores_the_distance_and_keeps_the_outline(distortion):
    y, x = centres(64)
    wanted = circle(64, 130.0, shift_nm=2.7)
    distorted = wanted * distortion * (1 + 0.5 * torch.sin(x / 60) * torch.cos(y / 45))
    found = ls.redistanced(distorted, PIXEL_NM, 20)
    near = wanted.abs() < 3 * PIXEL_NM
    assert (ls.central_steepness(found, PIXEL_NM)[near] - 1).abs().max() < 0.1
    assert (found - wanted)[near].abs().max() < 0.25 * PIXEL_NM
    # The outline itself, at every pixel beside it.
    beside = wanted.abs() < 0.5 * PIXEL_NM
    assert (found - wanted)[beside].abs().max() < 0.1 * PIXEL_NM
    assert radius_nm(found) == pytest.approx(130.0, abs=0.02 * PIXEL_NM)


def test_redistancing_again_and_again_does_not_move_the_outline():
    phi = circle(64, 130.0, shift_nm=2.7)
    found = phi
    for _ in range(50):
        found = ls.redistanced(found, PIXEL_NM, 5)
    assert radius_nm(found) == pytest.approx(radius_nm(phi), abs=0.1 * PIXEL_NM)
    assert torch.equal(found < 0, phi < 0)


# Curvature


def test_curvature_flow_shrinks_a_circle_at_the_closed_form_rate():
    phi, weight_nm2, steps = circle(64, 150.0), 10.0, 300
    for step in range(steps):
        phi = phi + ls.curvature_change(phi, weight_nm2, PIXEL_NM)
        if step % 10 == 9:
            phi = ls.redistanced(phi, PIXEL_NM, 5)
    # dr/dt = -weight / r, so r^2 falls linearly.
    assert radius_nm(phi) == pytest.approx(np.sqrt(150.0**2 - 2 * weight_nm2 * steps), rel=0.01)


def test_curvature_leaves_straight_edges_alone():
    y, x = centres(32)
    change = ls.curvature_change((0.6 * x + 0.8 * y)[None], 10.0, PIXEL_NM)
    assert change[:, 1:-1, 1:-1].abs().max() < 1e-9


# Gradient, limit, nucleation


@pytest.mark.parametrize("gradient", ("central", "godunov"))
def test_gradient_of_the_area_is_the_length_of_the_outline(gradient):
    """Moving the outline by d changes the area by d times its length; the flow's gradient, read at the outline, too."""
    phi = circle(64, 150.0).requires_grad_()
    mask = ls.soft_mask(phi, PIXEL_NM, PIXEL_NM, gradient=gradient)
    mask.sum().backward()
    shift = 0.5
    moved = ls.soft_mask(phi.detach() - shift, PIXEL_NM, PIXEL_NM).sum() - mask.detach().sum()
    length_nm = moved.item() / shift * PIXEL_NM**2
    assert length_nm == pytest.approx(2 * np.pi * (150.0 + shift / 2), rel=0.02)
    # -grad is the speed outward per unit of density: -1 everywhere for the area.
    near = phi.detach().abs() < 2 * PIXEL_NM
    torch.testing.assert_close(phi.grad[near], torch.full_like(phi.grad[near], -1.0), atol=0.03, rtol=0)


def test_gradient_predicts_the_objective_along_a_move_of_the_outline(targets):
    """Central difference of the objective for a uniform move against the sum of g over the outline."""
    sim = litho.Simulator(optics.load("embedded"), dtype=torch.float64)
    target = torch.as_tensor(targets[:1])
    wanted = target.double()
    phi = ls.redistanced(ls.phi_of(target, PIXEL_NM) - 3.0, PIXEL_NM, 10)

    def objective(mask):
        return (sim.resist(mask, corners=["nominal"])[:, 0] - wanted).square().sum()

    mask = ls.soft_mask(phi, PIXEL_NM, PIXEL_NM).requires_grad_()
    objective(mask).backward()
    on_outline = (phi.abs() < PIXEL_NM / 2) / PIXEL_NM
    predicted = (mask.grad * on_outline).sum().item()
    d = 0.01
    out, inward = (objective(ls.soft_mask(phi + s, PIXEL_NM, PIXEL_NM)).item() for s in (-d, d))
    measured = (out - inward) / (2 * d)
    assert measured == pytest.approx(predicted, rel=1e-3)


def test_steps_are_limited_for_each_clip_on_its_own():
    change = torch.stack([torch.full((4, 4), 10.0), torch.full((4, 4), 1.0)])
    change[0, 0, 0] = -20.0
    found = ls.limited(change, 4.0)
    assert found[0].abs().max() == 4 and found[0, 1, 1] == 2
    assert torch.equal(found[1], change[1])


def test_no_step_of_the_solver_moves_phi_further_than_the_limit(sim, targets):
    options = replace(ls.SIGNED_DISTANCE, learning_rate=50.0, redistance_every=None, nucleation=None, cfl=0.5)
    target = torch.as_tensor(targets)
    start = ls.phi_of(target, PIXEL_NM).float()
    flow = ls._Flow(target.float(), start, slice(0, 256), PIXEL_NM, sim, options)
    phi = start.clone().requires_grad_()
    sum(term.sum() for term in flow.objective(phi, 0)).backward()
    moved = flow.on_step(phi.detach() - 1e3 * phi.grad, 0)
    assert (moved - start).abs().amax((-2, -1)).tolist() == pytest.approx([0.5 * PIXEL_NM] * 2, rel=1e-3)


def test_new_shapes_appear_only_far_out_and_where_they_help():
    phi = circle(64, 60.0)
    y, x = centres(64)
    by_mask = 1 - 2 * torch.exp(-((x - 180) ** 2 + y**2) / 800)[None]
    found = ls.nucleated(phi, by_mask, ls.Nucleation(steps=(0,), distance_nm=60, share=0.5))
    new = (found < 0) & (phi >= 0)
    assert new.any()
    assert (phi[new] > 60).all() and (by_mask[new] < -0.5).all()
    nowhere = ls.nucleated(phi, by_mask.abs(), ls.Nucleation(steps=(0,), distance_nm=60, share=0.5))
    assert torch.equal(nowhere < 0, phi < 0)


# The solver


def test_constants_of_openilt():
    """OpenILT, config/pylevelset2048.txt and pyilt/levelset.py; the window is ILTSize 1024 at offset 512."""
    o = ls.PRESETS["openilt"]
    assert (o.n_steps, o.optimizer, o.learning_rate, o.schedule) == (50, "adam", 0.8, "constant")
    assert (o.fidelity_corner, o.fidelity_weight, o.corner_weight, o.pvb_weight) == ("nominal", 1.0, 1.0, 0.0)
    assert (o.window_nm, o.pixel_nm, o.gradient, o.soft_px) == (1024.0, None, "central", 0.0)
    assert (o.cfl, o.redistance_every, o.curvature_nm2, o.nucleation) == (None, None, 0.0, None)
    assert (o.keep, o.cleanup) == ("best", None)
    assert next(iter(opc.METHODS["level_set"].presets)) == "openilt"


@pytest.mark.parametrize("preset", ON_8_NM)
def test_better_than_the_target_itself(sim, targets, preset):
    result = opc.solve(targets, sim, method="level_set", preset=preset, n_steps=40, **ON_8_NM[preset])
    scores = [metrics.evaluate(m, targets, sim, only=["l2_nm2", "pvb_nm2"]) for m in (targets, result.mask)]
    assert (scores[1].l2_nm2 < 0.8 * scores[0].l2_nm2).all()
    assert result.history.sizes == {schema.STEP: 41, schema.SAMPLE: 2, schema.TERM: 3}
    assert set(np.unique(result.mask)) == {0, 1}


@pytest.mark.parametrize("preset", ON_8_NM)
def test_a_batch_equals_its_clips_alone(sim, targets, preset):
    run = {"method": "level_set", "preset": preset, "n_steps": 12} | ON_8_NM[preset]
    together = opc.solve(targets, sim, **run).mask
    alone = np.stack([opc.solve(t, sim, **run).mask for t in targets])
    # Sums in another order may decide a pixel on the outline.
    assert (together != alone).mean() < 1e-4


def test_mask_outside_the_window_stays(sim):
    target = layout.demo_clips()["demo-metal-cell"].rasterize(pixel_nm=8, antialiased=False)
    result = opc.solve(target, sim, method="level_set", n_steps=10, window_nm=256, image_pixel_nm=None)
    outside = np.ones_like(target, bool)
    outside[112:144, 112:144] = False
    assert (result.mask[outside] == target[outside]).all()
    assert (result.mask != target).any()


def test_only_nucleation_makes_assist_features(sim):
    target = layout.demo_clips()["demo-metal-isolated"].rasterize(pixel_nm=8, antialiased=False)
    run = {"method": "level_set", "preset": "signed-distance", "n_steps": 60, "cleanup": None}
    with_seeds = opc.solve(target, sim, **run).mask
    without = opc.solve(target, sim, **run, nucleation=None).mask
    count = [int(ndimage.label(mask)[1]) for mask in (target, without, with_seeds)]
    assert count[0] == count[1] < count[2]


def test_starts_from_the_initial_mask(sim, targets):
    initial = np.roll(targets, 2, axis=-1).astype(float)
    run = {"n_steps": 1, "learning_rate": 1e-6} | ON_8_NM["openilt"]
    result = opc.solve(targets, sim, method="level_set", initial=initial, **run)
    assert (result.mask == initial).all()


def test_prints_compared_at_every_fourth_nanometre_give_openilts_masks(sim):
    target = layout.demo_clips()["demo-metal-tips"].rasterize(pixel_nm=1)
    run = {"method": "level_set", "n_steps": 6}
    coarse, every = (opc.solve(target, sim, **run, image_pixel_nm=at).mask for at in (4.0, None))
    changed = (every != target).sum()
    assert changed > 5000 and (coarse != every).sum() < 0.05 * changed


@pytest.mark.realdata
def test_contest_clips_print_better_than_published(real_data, genuine):
    """Two small clips of the contest; OpenILT prints these L2 and PV bands for its CurvMulti, in nm2."""
    published = {"M1_test8": (10937, 21210), "M1_test10": (7558, 17393)}
    for clip in published:
        real_data(f"iccad13/clips/{clip}.glp")
    real = litho.Simulator(genuine)
    for name, clip in layout.benchmark_clips("iccad13", list(published)).items():
        target = clip.rasterize(pixel_nm=1)
        mask = opc.solve(target, real, method="level_set", preset="signed-distance").mask
        score = metrics.evaluate(mask, target, real, only=["l2_nm2", "pvb_nm2", "epe15"])
        assert score.l2_nm2.item() < published[name][0] and score.pvb_nm2.item() < published[name][1]
        assert score.epe15.item() == 0


def test_wrong_options_are_refused(sim, targets):
    for wrong in ({"cfl": 0}, {"redistance_every": 0}, {"soft_px": -1}, {"nucleation": {"share": 2.0}}):
        with pytest.raises(ValueError):
            opc.solve(targets, sim, method="level_set", preset="signed-distance", **wrong)
    with pytest.raises(UnknownNameError, match="godunov"):
        opc.solve(targets, sim, method="level_set", gradient="upwind")
    with pytest.raises(GridMismatchError, match="window"):
        opc.solve(targets, sim, method="level_set", image_pixel_nm=None, window_nm=3000)
