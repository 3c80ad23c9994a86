"""Our own network: what it is told of the print is true, untrained it is a descent, and it draws blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskopt_lib import metrics, models, optics
from maskopt_lib.litho import Simulator
from maskopt_lib.models import Conditioning, TileInput
from maskopt_lib.models.losses import ComplexityLoss, LithoLoss
from maskopt_lib.models.unrolled_litho import SEEN, Options, PrintGradients, corner_gradient

SIM = Simulator(optics.load("embedded"))


def target(n: int = 2, pixel_nm: int = 8) -> torch.Tensor:
    """(n, 1, y, x): a wire and a corner of 72 nm, moved from tile to tile."""
    image = torch.zeros(n, 1, 128, 128)
    for i in range(n):
        image[i, :, 40 + i : 49 + i, 36:90] = 1
        image[i, :, 60 + i : 69 + i, 40:70] = 1
        image[i, :, 60 + i : 88, 61:70] = 1
    return image.repeat_interleave(8 // pixel_nm, -1).repeat_interleave(8 // pixel_nm, -2)


def network(seed: int = 0, **options) -> models.MaskModel:
    torch.manual_seed(seed)
    told = options.pop("conditioning", Conditioning(dial=True))
    return models.build(
        "unrolled_litho", preset="own", conditioning=told, **({"width": 1 / 4, "pixel_nm": 8} | options)
    )


def shaken(model: models.MaskModel) -> models.MaskModel:
    """The same with parameters as after some training: none of them zero."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


def test_what_it_sees_are_the_gradients_of_the_loss():
    wanted = target()
    logits = (4 * wanted - 2 + 0.3 * torch.randn(wanted.shape)).requires_grad_()
    seen = PrintGradients(Options(pixel_nm=8))(logits, wanted)
    litho = LithoLoss(SIM, 8)
    mask = torch.sigmoid(logits)
    nominal, outer, inner = litho.prints(mask)
    half_l2 = (nominal - wanted[:, 0, 32:96, 32:96]).square().sum() / 2
    half_band = (outer - inner).square().sum() / 2
    for name, half in (("gradient of L2", half_l2), ("gradient of PV band", half_band)):
        (expected,) = torch.autograd.grad(half, mask, retain_graph=True)
        torch.testing.assert_close(seen[:, SEEN.index(name)], expected[:, 0], rtol=1e-4, atol=1e-5)
    apart = seen[:, SEEN.index("nominal print less target"), 32:96, 32:96]
    torch.testing.assert_close(apart, (nominal - wanted[:, 0, 32:96, 32:96]).detach(), rtol=1e-4, atol=1e-5)
    assert not seen.requires_grad


def test_corners_are_counted_with_their_gradient():
    mask = torch.rand(2, 12, 12, dtype=torch.float64).requires_grad_()
    mixed = torch.diff(torch.diff(F.pad(mask, (1, 1, 1, 1)), dim=-2), dim=-1)
    (expected,) = torch.autograd.grad((mixed.square() + 0.01).sqrt().sum(), mask)
    torch.testing.assert_close(corner_gradient(mask.detach()), expected)


def test_untrained_it_is_a_descent():
    wanted = target()
    litho = LithoLoss(SIM, 8)
    l2 = [litho(20 * wanted - 10, wanted)["l2"]]
    for n_steps in (1, 4):
        with torch.no_grad():
            l2.append(litho(network(n_steps=n_steps)(TileInput.of(wanted)), wanted)["l2"])
    assert (l2[1] < 0.6 * l2[0]).all() and (l2[2] < 0.8 * l2[1]).all()


def test_what_prints_nothing_as_drawn_is_made_to_print():
    via = torch.zeros(1, 1, 128, 128)
    via[..., 60:69, 60:69] = 1
    litho = LithoLoss(SIM, 8, mask="straight_through", resist_steepness=200)
    with torch.no_grad():
        as_drawn = litho(20 * via - 10, via)["l2"]
        drawn = litho(network(n_steps=8)(TileInput.of(via)), via)["l2"]
    assert float(as_drawn) == pytest.approx(81 / 64**2, rel=0.01) and float(drawn) < 0.4 * float(as_drawn)


def test_untrained_the_dial_takes_corners_away():
    wanted, corners = target(), ComplexityLoss(8, mask="straight_through")
    with torch.no_grad():
        many, few = (corners(network(n_steps=4)(TileInput.of(wanted, dial=d)))["corners"] for d in (0.0, 1.0))
    assert float(few.sum()) < float(many.sum())


@pytest.mark.parametrize("pixel_nm", [4, 2])
def test_finer_pixels_take_the_same_descent(pixel_nm):
    with torch.no_grad():
        coarse, fine = (network(pixel_nm=p, n_steps=2)(TileInput.of(target(1, p))) for p in (8, pixel_nm))
    masks = F.avg_pool2d((fine > 0).float(), 8 // pixel_nm), (coarse > 0).float()
    assert (masks[0] - masks[1]).abs().sum() < 0.1 * masks[1].sum()


def test_gradients_reach_every_parameter():
    conditioning = Conditioning(tag="film", n_cells=3, kinds=("opc", "ilt"), dial=True)
    model = shaken(network(conditioning=conditioning, n_steps=3))
    x = TileInput.of(target(), cell=torch.tensor([0, 2]), kind=1, dial=torch.tensor([0.2, 0.9]))
    sum((draft * torch.randn(x.target.shape)).sum() for draft in model.drafts(x)).backward()
    silent = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Of the embedding of cells all but one row are silent, of the parameters none.
    assert not silent


def test_drafts_learn_on_their_own_and_end_in_the_mask():
    model = shaken(network(n_steps=3))
    x = TileInput.of(target())
    drafts = model.drafts(x)
    assert len(drafts) == 3 and torch.equal(drafts[-1], model(x))
    assert not torch.allclose(drafts[1], drafts[2])
    drafts[1].sum().backward()
    reached = [step.rates.grad is not None and bool(step.rates.grad.any()) for step in model.steps]
    assert reached == [False, True, False]
    # What it remembers is the one thing that a later step may ask an earlier one for.
    remembered = model.steps[0].last.weight.grad
    assert bool(remembered[model.steps[0].n_mask :].any()) and not remembered[: model.steps[0].n_mask].any()


def test_the_dial_turns_and_tiles_do_not_see_each_other():
    model = shaken(network()).eval()
    wanted = target()
    with torch.inference_mode():
        low, high = (model(TileInput.of(wanted, dial=d)) for d in (0.0, 1.0))
        mixed = model(TileInput.of(wanted, dial=torch.tensor([0.0, 1.0])))
    assert (low - high).abs().max() > 1e-3
    torch.testing.assert_close(mixed[0], low[0], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(mixed[1], high[1], rtol=1e-3, atol=1e-3)


def test_masks_are_blocks():
    model = network(pixel_nm=8)
    logits = torch.randn(1, 1, 32, 32).repeat_interleave(4, -1).repeat_interleave(4, -2)
    fine = (model.at_1_nm(logits) > 0)[0, 0].numpy()
    coarse = (logits > 0)[0, 0].numpy()
    assert np.array_equal(fine, coarse.repeat(8, 0).repeat(8, 1))
    assert metrics.count_shots(fine, 256) == metrics.count_shots(coarse, None)
    outlines = models.build("unrolled_litho", preset="outlines", width=1 / 4, pixel_nm=8)
    assert not np.array_equal((outlines.at_1_nm(logits) > 0)[0, 0].numpy(), fine)


def test_it_is_compact_and_comes_back_from_its_spec():
    model = models.build("unrolled_litho", preset="own", conditioning=Conditioning(dial=True))
    assert 4 * model.n_parameters < 10e6  # bytes of its weights
    again = models.from_spec(model.spec)
    again.load_state_dict(model.state_dict())
    wanted = target(1, 4)
    with torch.inference_mode():
        assert torch.equal(model.eval()(TileInput.of(wanted)), again.eval()(TileInput.of(wanted)))
