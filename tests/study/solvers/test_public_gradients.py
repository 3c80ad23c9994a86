"""The gradient that public simulators state: exact where their array is right, and not where it is transposed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import optics
from maskopt_lib.litho.imaging import small_grid
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.study.solvers import public_gradients
from maskopt_lib.study.solvers.public_gradients import PublicGradient, gradient_costs, gradient_error


class WithConjugate(PublicGradient):
    transposed = False


@pytest.fixture(scope="module")
def kernels():
    """Random kernels with H(-f) = H(f), complex, not symmetric under transposition."""
    rng = np.random.default_rng(1)
    spectra = rng.normal(size=(2, 3, 9, 9)) + 1j * rng.normal(size=(2, 3, 9, 9))
    known = optics.load("embedded")
    even = (spectra + spectra[..., ::-1, ::-1]) / 2
    return replace(known, spectra=even, weights=np.array([[3.0, 2.0, 1.0]] * 2) / 100, meta={})


def gradients(kind, kernels, mask, weight):
    at = torch.as_tensor(mask).requires_grad_()
    (kind(kernels, dtype=torch.float64).intensity(at, n_out=small_grid(4)) * weight).sum().backward()
    return at.grad


def test_the_formula_is_the_gradient_with_the_conjugate_alone_and_not_with_its_transpose(kernels):
    rng = np.random.default_rng(2)
    mask = rng.random((2, 48, 48))
    weight = torch.as_tensor(rng.normal(size=(2, 2, small_grid(4), small_grid(4))))
    exact = gradients(Simulator, kernels, mask, weight)
    torch.testing.assert_close(gradients(WithConjugate, kernels, mask, weight), exact, rtol=1e-9, atol=1e-12)
    off = gradients(PublicGradient, kernels, mask, weight) - exact
    assert off.norm() > 0.1 * exact.norm()
    symmetric = replace(kernels, spectra=(kernels.spectra + kernels.spectra.swapaxes(-1, -2)) / 2)
    exact = gradients(Simulator, symmetric, mask, weight)
    torch.testing.assert_close(gradients(PublicGradient, symmetric, mask, weight), exact, rtol=1e-9, atol=1e-12)


def test_errors_and_costs_are_labelled(kernels):
    target = np.zeros((64, 64))
    target[20:44, 10:50] = 1
    errors = gradient_error(kernels, {"target": target}, target)
    assert errors.sizes == {"mask": 1, "focus": 2}
    cosine, error = errors["cosine"].values, errors["relative_error"].values
    assert (np.abs(cosine) < 1).all() and (error >= np.sqrt(1 - cosine**2) - 1e-9).all()
    targets = xr.DataArray(target[None].astype(np.uint8), dims=("sample", "y", "x"), coords={"sample": ["bar"]})
    costs = gradient_costs(targets, kernels, n_steps=2, pixel_nm=32.0)
    assert costs["gradient"].values.tolist() == [public_gradients.EXACT, public_gradients.PUBLIC]
    assert costs["l2_nm2"].attrs["units"] == "nm2"
