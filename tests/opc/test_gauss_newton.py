"""Gauss-Newton steps: least squares of known solutions, the dense Jacobian, and that clips do not see each other."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.errors import OptionError
from maskopt_lib.litho.sampled import SampledIntensity
from maskopt_lib.opc.descent import Stepper, descend
from maskopt_lib.opc.gauss_newton import curvature_product

STEPPER = Stepper(optimizer="gauss_newton", learning_rate=10.0)


def least_squares(seed: int, b: int = 2, m: int = 30, n: int = 6):
    """Objective and outputs of ``sum (A x - y)^2`` and its solution, (b, n)."""
    rng = torch.Generator().manual_seed(seed)
    a, y = (torch.randn(b, m, k, generator=rng, dtype=torch.float64) for k in (n, 1))

    def outputs(x, step=0):
        values = ((a @ x[..., None]) - y)[..., 0]
        return values, torch.full_like(values, 2.0)

    return lambda x, step: (outputs(x)[0].square().sum(-1),), outputs, torch.linalg.lstsq(a, y).solution[..., 0]


def test_linear_least_squares_is_solved():
    objective, outputs, solution = least_squares(0)
    start = torch.zeros_like(solution)
    found = descend(start, objective, STEPPER, n_steps=80, weights=[1.0], outputs=outputs)
    assert torch.allclose(found.parameter, solution, atol=1e-4)
    # Six unknowns and six products a step: one step is all but the damping.
    reached = found.history[7, :, 0] - objective(solution, 0)[0].numpy()
    assert (reached < 0.05 * (found.history[0, :, 0] - objective(solution, 0)[0].numpy())).all()


def test_products_are_those_of_the_dense_jacobian_of_soft_prints():
    sim = litho.Simulator(optics.load("embedded"), dtype=torch.float64)
    n = 32
    image = SampledIntensity(sim, n)
    rng = torch.Generator().manual_seed(1)
    mask, v = torch.rand(2, 1, n, n, generator=rng, dtype=torch.float64)

    def outputs(x):
        samples = image(torch.sigmoid(4 * (x - 0.5)))
        values = torch.sigmoid(20 * (samples - 0.3)).flatten(1)[:, ::37]
        return values, (1 + values).detach()

    by_output = []
    for k in range(outputs(mask)[0].shape[1]):
        x = mask.clone().requires_grad_()
        by_output.append(torch.autograd.grad(outputs(x)[0][0, k], x)[0].flatten())
    jacobian, weights = torch.stack(by_output), outputs(mask)[1][0]
    dense = jacobian.T @ (weights * (jacobian @ v.flatten()))
    product = curvature_product(outputs, mask, v).flatten()
    assert torch.allclose(product, dense, rtol=1e-9, atol=1e-12 * float(dense.abs().max()))


def test_clips_do_not_see_each_other():
    objective, outputs, solution = least_squares(3, b=3)
    together = descend(torch.zeros_like(solution), objective, STEPPER, n_steps=22, weights=[1.0], outputs=outputs)
    other, alone_outputs, _ = least_squares(3, b=3)
    start = torch.ones_like(solution)
    start[1] = 0
    beside = descend(start, other, STEPPER, n_steps=22, weights=[1.0], outputs=alone_outputs)
    assert np.allclose(together.history[:, 1], beside.history[:, 1])
    assert not np.allclose(together.history[:, 0], beside.history[:, 0])


def test_a_valley_is_followed_and_what_is_kept_is_the_best():
    def outputs(x, step=0):
        a, b = x.unbind(-1)
        values = torch.stack([1 - a, 10 * (b - a.square())], dim=-1)
        return values, torch.full_like(values, 2.0)

    start = torch.tensor([[-1.2, 1.0], [1.1, 0.9]], dtype=torch.float64)
    found = descend(
        start, lambda x, step: (outputs(x)[0].square().sum(-1),), STEPPER, n_steps=300, weights=[1.0], outputs=outputs
    )
    assert found.history.min(0).max() < 1e-8
    assert torch.allclose(found.parameter, torch.ones_like(start), atol=1e-3)


def test_solvers_can_ask_for_it_and_those_without_outputs_say_so():
    sim = litho.Simulator(optics.load("embedded"))
    target = layout.demo_clips()["demo-metal-isolated"].rasterize(8, antialiased=False)
    ends = {}
    for optimizer in ("sgd", "gauss_newton"):
        options = {"optimizer": optimizer, "learning_rate": 0.2, "n_steps": 84, "pixel_nm": 8.0}
        history = opc.solve(target, sim, method="pixel_ilt", **options).history
        ends[optimizer] = float((history["value"] * history["weight"]).sum("term").min())
        assert history.sizes["step"] == 85
    assert ends["gauss_newton"] < 0.9 * ends["sgd"]
    with pytest.raises(OptionError, match="gauss_newton"):
        descend(torch.zeros(1, 2), lambda x, step: (x.sum(-1),), STEPPER, n_steps=3, weights=[1.0])
