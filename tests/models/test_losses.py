"""Losses say what the scores say, and their gradients are theirs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskopt_lib import layout, metrics, optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.models.losses import (
    ComplexityLoss,
    LabelLoss,
    LithoLoss,
    discriminator_loss,
    generator_loss,
    litho_guided_labels,
)
from maskopt_lib.models.middle_images import MiddleImages

SIM = Simulator(optics.load("embedded"))
#: A mask this far from zero is binary after the sigmoid.
FAR = 40.0


@pytest.fixture(scope="module")
def tile():
    """Target with 128 nm of context and a mask that is larger by 6 nm, (1024, 1024) at 1 nm."""
    clip = layout.demo_clips()["demo-metal-corners"].rasterize(1)[512:1536, 512:1536]
    target = np.zeros_like(clip)
    target[128:896, 128:896] = clip[128:896, 128:896]
    grown = np.maximum.reduce([np.roll(target, (y, x), (0, 1)) for y in (-6, 0, 6) for x in (-6, 0, 6)])
    return target, grown


def at(image, pixel_nm):
    """(1, 1, y, x) float32 area fractions."""
    return torch.nn.functional.avg_pool2d(torch.as_tensor(image, dtype=torch.float32)[None, None], pixel_nm)


def random_case(pixel_nm=8, n=1, dtype=torch.float64, spread=1.0):
    seeded = torch.Generator().manual_seed(0)
    side = 1024 // pixel_nm
    logits = spread * torch.randn(n, 1, side, side, generator=seeded, dtype=dtype)
    target = torch.zeros_like(logits)
    target[..., side // 3 : side // 2, side // 3 : -side // 3] = 1
    return logits, target


def test_litho_loss_of_a_binary_mask_with_a_steep_resist_is_the_score(tile):
    target, mask = tile
    score = metrics.evaluate_core(mask[None], target[None], SIM, core_nm=512)
    litho = LithoLoss(SIM, 1, resist_steepness=1e5)
    terms = litho(FAR * (2 * at(mask, 1) - 1), at(target, 1))
    assert float(score.l2_nm2[0]) > 1000 and float(score.pvb_nm2[0]) > 1000
    for name, scored in (("l2", score.l2_nm2), ("pv_band", score.pvb_nm2)):
        # The field is cropped: a pixel at the threshold goes the other way here and there.
        assert float(terms[name]) * litho.core_nm2 == pytest.approx(float(scored[0]), rel=0.01)


@pytest.mark.parametrize(("pixel_nm", "tolerance"), [(2, 0.01), (4, 0.02), (8, 0.08)])
def test_coarse_pixels_say_nearly_what_fine_ones_say(tile, pixel_nm, tolerance):
    target, mask = tile
    fine, coarse = (LithoLoss(SIM, p).of_mask(at(mask, p), at(target, p)) for p in (1, pixel_nm))
    for name, value in fine.items():
        assert float(coarse[name]) == pytest.approx(float(value), rel=tolerance), name


def test_images_are_those_of_the_whole_field(tile):
    mask = at(tile[1], 4)[:, 0]
    small = MiddleImages(SIM.kernels, pixel_nm=4, out_nm=512)(mask)
    whole = SIM.aerial_in_middle(mask, pixel_nm=4)[..., 64:192, 64:192]
    assert float((small - whole).abs().max()) < 0.005 * SIM.threshold


def test_a_rim_widens_what_counts(tile):
    target, mask = (at(image, 8) for image in tile)
    core, rim = (LithoLoss(SIM, 8, rim_nm=r).of_mask(mask, target) for r in (0, 128))
    wide = LithoLoss(SIM, 8, core_nm=768).of_mask(mask, target)
    for name, value in core.items():
        assert float(rim[name]) > float(value)
        assert float(rim[name]) * 512**2 == pytest.approx(float(wide[name]) * 768**2, rel=1e-5)


def test_gradients_agree_with_finite_differences():
    logits, target = random_case()
    litho, complexity = LithoLoss(SIM, 8), ComplexityLoss(8)
    rng = np.random.default_rng(0)
    direction = torch.as_tensor(rng.standard_normal(logits.shape))
    for term in ("l2", "pv_band"):
        at_zero = logits.clone().requires_grad_()
        litho(at_zero, target)[term].sum().backward()
        step = 1e-4
        up, down = (litho(logits + s * direction, target)[term].sum() for s in (step, -step))
        slope = float((up - down) / (2 * step))
        assert float((at_zero.grad * direction).sum()) == pytest.approx(slope, rel=1e-4), term
    at_zero = logits.clone().requires_grad_()
    sum(complexity(at_zero).values()).sum().backward()
    assert torch.isfinite(at_zero.grad).all() and at_zero.grad.abs().sum() > 0


def test_the_straight_way_through_prints_the_binary_mask():
    logits, target = random_case(dtype=torch.float32)
    straight, soft = (LithoLoss(SIM, 8, mask=mask) for mask in ("straight_through", "soft"))
    binary = straight.of_mask((logits > 0).float(), target)
    logits.requires_grad_()
    for name, value in straight(logits, target).items():
        assert float(value.detach()) == pytest.approx(float(binary[name]), rel=1e-5)
    assert float(soft(logits, target)["l2"].detach()) != pytest.approx(float(binary["l2"]), rel=1e-3)
    straight(logits, target)["l2"].sum().backward()
    assert logits.grad.abs().sum() > 0


def test_descent_on_the_litho_loss_makes_the_mask_print():
    _, target = random_case(dtype=torch.float32)
    litho = LithoLoss(SIM, 8)
    logits = (4 * target - 2).requires_grad_()
    descent = torch.optim.Adam([logits], lr=0.3)
    first = float(litho(logits, target)["l2"].detach())
    for _ in range(30):
        descent.zero_grad()
        litho(logits, target)["l2"].sum().backward()
        descent.step()
    assert float(litho(logits, target)["l2"].detach()) < 0.3 * first


def test_tiles_of_a_batch_do_not_see_each_other():
    logits, target = random_case(n=3, dtype=torch.float32)
    litho, complexity = LithoLoss(SIM, 8), ComplexityLoss(8)
    together = litho(logits, target) | complexity(logits)
    apart = [litho(logits[i : i + 1], target[i : i + 1]) | complexity(logits[i : i + 1]) for i in range(3)]
    for name, values in together.items():
        assert values.tolist() == pytest.approx([float(one[name]) for one in apart], rel=1e-4)


def test_corners_are_those_of_the_mask_and_bound_its_shots():
    rng = np.random.default_rng(1)
    mask = np.zeros((128, 128), np.uint8)
    for y, x, h, w in rng.integers(1, 24, (12, 4)):
        mask[32 + 2 * y : 32 + 2 * y + h, 32 + 2 * x : 32 + 2 * x + w] = 1
    terms = ComplexityLoss(8)(torch.as_tensor(FAR * (2.0 * mask - 1))[None, None])
    core = mask[32:96, 32:96]
    pixels = np.pad(core, 1).astype(int)
    around = pixels[1:, 1:] + pixels[:-1, :-1] + pixels[1:, :-1] + pixels[:-1, 1:]
    diagonal = (around == 2) & (pixels[1:, 1:] == pixels[:-1, :-1])
    assert float(terms["corners"]) == pytest.approx(((around % 2) + 2 * diagonal).sum(), abs=1e-3)
    assert metrics.count_shots(core, None) <= float(terms["corners"]) / 2
    steps = (np.diff(pixels, axis=0) != 0).sum() + (np.diff(pixels, axis=1) != 0).sum()
    assert float(terms["outline"]) * 512 == pytest.approx(8 * steps, rel=1e-5)


@pytest.mark.parametrize("distance", ["mse", "l1", "bce"])
def test_label_loss_is_least_at_the_label(distance):
    _, label = random_case(dtype=torch.float32)
    loss = LabelLoss(distance)
    right, unsure, wrong = (float(loss(s * (2 * label - 1), label)["label"]) for s in (9.0, 0.0, -9.0))
    assert right < 1e-3 < unsure < wrong


def test_adversarial_losses_at_equilibrium():
    # A discriminator that cannot tell pays 2 ln 2, and the generator ln 2.
    unsure = torch.zeros(2, 1)
    np.testing.assert_allclose(discriminator_loss(unsure, unsure), 2 * np.log(2), rtol=1e-6)
    np.testing.assert_allclose(generator_loss(unsure)["adversarial"], np.log(2), rtol=1e-6)
    assert float(discriminator_loss(torch.tensor([[9.0]]), torch.tensor([[-9.0]]))) < 1e-3


def test_only_a_better_prediction_replaces_its_label(tile):
    target, good = (at(image, 8).round() for image in tile)
    bad = torch.zeros_like(good)
    logits = (FAR * (2 * torch.cat([good, bad]) - 1)).requires_grad_()
    label = torch.cat([bad, good])
    new, replaced = litho_guided_labels(logits, label, target.expand(2, -1, -1, -1), LithoLoss(SIM, 8))
    assert replaced.tolist() == [True, False] and not new.requires_grad
    assert torch.equal(new, good.expand(2, -1, -1, -1))


def test_mistakes_are_named():
    with pytest.raises(UnknownNameError, match="bce"):
        LabelLoss("hinge")
    with pytest.raises(UnknownNameError, match="straight_through"):
        LithoLoss(SIM, 8, mask="hard")
    with pytest.raises(GridMismatchError, match="whole number"):
        LithoLoss(SIM, 3)
    with pytest.raises(GridMismatchError, match="frequencies"):
        LithoLoss(SIM, 64)
    with pytest.raises(GridMismatchError, match="128 x 128"):
        LithoLoss(SIM, 8).of_mask(torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64))
    with pytest.raises(GridMismatchError, match="must be"):
        LithoLoss(SIM, 8)(torch.zeros(1, 128, 128), torch.zeros(1, 1, 128, 128))
