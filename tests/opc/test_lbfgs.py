"""Batched L-BFGS: what it does on functions whose minimum is known, and that clips do not see each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.opc.descent import Stepper, descend
from maskopt_lib.opc.lbfgs import Lbfgs

STEPPER = Stepper(optimizer="lbfgs", learning_rate=0.5)


def quadratic(scales: torch.Tensor):
    """Sums of squares about 1 of very different curvatures: (b, n) scales."""
    return lambda x, step: ((scales * (x - 1).square()).sum(-1),)


def test_a_quadratic_of_curvatures_of_three_decades_is_solved():
    scales = torch.logspace(0, 3, 40, dtype=torch.float64).expand(2, -1)
    start = torch.zeros(2, 40, dtype=torch.float64)
    ends = {}
    for name, rate in (("lbfgs", 0.5), ("adam", 0.1)):
        found = descend(
            start, quadratic(scales), Stepper(optimizer=name, learning_rate=rate), n_steps=60, weights=[1.0]
        )
        ends[name] = found.history[-20:].min()
    assert ends["lbfgs"] < 1e-4 * scales.sum() and ends["lbfgs"] < ends["adam"]


def test_clips_do_not_see_each_other():
    scales = torch.stack([torch.linspace(1, 9, 12), torch.linspace(1, 900, 12), torch.ones(12)]).double()
    start = torch.zeros(3, 12, dtype=torch.float64)
    together = descend(start, quadratic(scales), STEPPER, n_steps=12, weights=[1.0])
    for i in range(3):
        alone = descend(start[[i]], quadratic(scales[[i]]), STEPPER, n_steps=12, weights=[1.0])
        assert np.allclose(together.history[:, i], alone.history[:, 0])
        assert torch.allclose(together.parameter[i], alone.parameter[0])


def test_what_is_kept_is_the_best_and_never_worse_than_the_start():
    def rosenbrock(x, step):
        a, b = x.unbind(-1)
        return ((1 - a).square() + 100 * (b - a.square()).square(),)

    start = torch.tensor([[-1.2, 1.0], [1.1, 0.9]], dtype=torch.float64)
    found = descend(start, rosenbrock, Stepper(optimizer="lbfgs", learning_rate=0.2), n_steps=120, weights=[1.0])
    assert rosenbrock(found.parameter, 0)[0].max() < 1e-6
    assert np.allclose(rosenbrock(found.parameter, 0)[0].numpy(), found.history[..., 0].min(0))


def test_a_step_is_no_longer_than_it_may_be():
    x = torch.zeros(1, 3, requires_grad=True)
    optimizer = Lbfgs([x], lr=0.25)
    x.grad = torch.tensor([[1e6, -5e5, 0.0]])
    optimizer.step(np.array([1.0]))
    assert x.detach().abs().max().item() == pytest.approx(0.25)


def test_a_solver_can_ask_for_it():
    sim = litho.Simulator(optics.load("embedded"))
    target = layout.demo_clips()["demo-metal-isolated"].rasterize(8, antialiased=False)
    ends = {}
    for optimizer in ("sgd", "lbfgs"):
        options = {"optimizer": optimizer, "learning_rate": 0.2, "n_steps": 15, "pixel_nm": 8.0}
        history = opc.solve(target, sim, method="pixel_ilt", **options).history
        ends[optimizer] = float((history["value"] * history["weight"]).sum("term").min())
    assert ends["lbfgs"] < 0.9 * ends["sgd"]
