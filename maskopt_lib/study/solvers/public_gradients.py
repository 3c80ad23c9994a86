"""The gradient of a public simulator, as its program states it, against the gradient of its own image.

OpenILT and LithoBench (``pylitho/exact.py`` of both, read at commits 6e6fa4f and 1b29740; the same lines) image a mask
``M`` by ``E_k = A_k M``, ``I = sum_k s_k |E_k|^2``; ``A_k`` multiplies a spectrum by ``H_k``. Their backward pass,
given ``g = dL/dI``, is by formula

    Re sum_k s_k [A_k (g  C_k M) + C_k (g  A_k M)]

where ``C_k`` multiplies by an array of its own, ``ct_*``: the conjugate of ``H_k`` *transposed*, though arrays over
frequencies take no transpose. With the conjugate alone the second term is half of the gradient, exactly; the first is
the other half where ``H_k(-f) = H_k(f)`` and ``C_k`` is right.

The mirror holds ``H_k`` in the order of these programs; ``C_k`` is made of it as said above. CurvyILT has no backward
pass of its own (automatic differentiation), so that there is nothing to compare.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.litho.imaging import interpolation_matrix, small_grid
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.solve import solve
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.gather import labelled

EXACT, PUBLIC = "of the image", "OpenILT, LithoBench"
SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3)


class PublicGradient(Simulator):
    """The same images, with the gradient that OpenILT and LithoBench state for them at nominal dose.

    Notes
    -----
    All products are taken on samples of the image: ``g`` enters up to twice the optics' band only, which they hold.
    """

    #: Whether ``C_k`` is the conjugate of ``H_k`` transposed, as it is stored, or the conjugate alone.
    transposed = True

    def intensity(self, mask: Any, *, n_out: int | None = None) -> Tensor:
        """As of :class:`~maskopt_lib.litho.Simulator`; asked for on the image's own samples."""
        n_samples = small_grid(self.kernels.half_width)
        if n_out != n_samples:
            raise ValueError(f"the public gradient is taken on {n_samples} samples, not on {n_out}")
        return _Imaging.apply(self.tensor(mask), self)

    def stated(self, mask: Tensor, gradient: Tensor) -> Tensor:
        """(b, n, n) gradient by the formula, from (b, n, n) masks and (b, focus, s, s) gradients of their samples."""
        n, s, h = mask.shape[-1], gradient.shape[-1], self.kernels.half_width
        spectra = torch.as_tensor(self.kernels.spectra, device=mask.device)
        conjugate = spectra.conj().mT if self.transposed else spectra.conj()
        weights = torch.as_tensor(self.kernels.weights, device=mask.device)[:, :, None, None]
        f = torch.arange(-h, h + 1, device=mask.device, dtype=torch.float64)
        at = (torch.arange(s, device=mask.device, dtype=torch.float64) + 0.5) / s - 0.5 / n
        waves = torch.exp(2j * torch.pi * at[:, None] * f)
        pixels = torch.exp(-2j * torch.pi * f[:, None] * torch.arange(n, device=mask.device) / n) / n
        low = (pixels @ mask.to(pixels.dtype) @ pixels.mT)[:, None, None]
        total = 0.0
        for first, second in ((conjugate, spectra), (spectra, conjugate)):
            fields = waves @ (first * low) @ waves.mT
            moments = waves.mH @ (gradient[:, :, None] * fields) @ waves.conj()
            total = total + (weights * second * moments).sum((1, 2))
        return (pixels.mH @ total @ pixels.conj()).real.to(mask.dtype)


class _Imaging(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mask, sim):
        ctx.sim = sim
        ctx.save_for_backward(mask)
        return Simulator.intensity(sim, mask, n_out=small_grid(sim.kernels.half_width))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (mask,) = ctx.saved_tensors
        flat = ctx.sim.stated(mask.reshape(-1, *mask.shape[-2:]), gradient.reshape(-1, *gradient.shape[-3:]))
        return flat.reshape(mask.shape), None


def gradient_error(kernels: SocsKernels, masks: Mapping[str, np.ndarray], target: np.ndarray) -> xr.Dataset:
    """How far the stated gradient is from that of the image, for the squared difference of a soft print from a target.

    Parameters
    ----------
    kernels : with their focus settings.
    masks : name -> (n, n) transmission, 0 to 1.
    target : (n, n), 0 to 1.

    Returns
    -------
    Dataset over ``mask`` and ``focus``: ``cosine`` of the two gradients and ``relative_error``, the norm of their
    difference by that of the gradient of the image. Double precision.
    """
    sims = [kind(kernels, dtype=torch.float64) for kind in (Simulator, PublicGradient)]
    n, n_samples = len(target), small_grid(kernels.half_width)
    wanted = torch.as_tensor(target, dtype=torch.float64)
    shift = 0.5 / n - 0.5 / n_samples
    pixels = interpolation_matrix(n, n_samples, shift=shift, device=wanted.device, dtype=wanted.dtype)
    rows = {}
    for name, mask in masks.items():
        for k, focus in enumerate(kernels.focus_names):
            found = []
            for sim in sims:
                at = torch.as_tensor(mask, dtype=torch.float64).requires_grad_()
                image = pixels @ sim.intensity(at, n_out=n_samples)[k] @ pixels.mT
                (sim.resist_model.soft(image) - wanted).square().sum().backward()
                found.append(at.grad.flatten())
            exact, stated = found
            rows[name, focus] = {
                "cosine": float(exact @ stated / exact.norm() / stated.norm()),
                "relative_error": float((stated - exact).norm() / exact.norm()),
            }
    names = {"cosine": "cosine of stated and exact gradient", "relative_error": "relative error of the stated gradient"}
    return schema.described(labelled(rows, ("mask", schema.FOCUS)), names)


def gradient_costs(targets: xr.DataArray, kernels: SocsKernels, **options: Any) -> xr.Dataset:
    """Pixel ILT with the gradient of the image and with the stated one: same start, same steps.

    Parameters
    ----------
    targets : (sample, y, x), 0 or 1.
    kernels : to solve and to score with.
    **options : of ``pixel_ilt``, preset "tuned".

    Returns
    -------
    Dataset over ``gradient`` and ``sample`` of L2, PV band, and EPE violations at 15 and 3 nm.
    """
    scorer, rows = Simulator(kernels), {}
    for name, kind in ((EXACT, Simulator), (PUBLIC, PublicGradient)):
        sim = kind(kernels)
        for target in targets:
            mask = solve(target.values, sim, method="pixel_ilt", preset="tuned", **options).mask
            scores = metrics.evaluate(mask, target.values, scorer, only=SCORES)
            rows[name, target[schema.SAMPLE].item()] = {score: float(scores[score]) for score in SCORES}
    return schema.label(labelled(rows, ("gradient", schema.SAMPLE)))
