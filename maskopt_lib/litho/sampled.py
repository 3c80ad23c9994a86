"""Intensities at the few samples that hold them, for who asks for them hundreds of times: each product a large one.

:class:`~maskopt_lib.litho.imaging.Imaging` multiplies each coherent system's spectrum by two small matrices. Here the
systems of all focus settings stand side by side, so that each step is one product of large matrices, and whatever
a step needs is written where the last one had it: a processor spends as long on getting memory of this size from the
operating system as on a product. Systems that one focus setting lacks are left out instead of filled with zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor

from maskopt_lib.litho.compiled import EAGER
from maskopt_lib.litho.imaging import FieldMatrices, SpectrumMatrices
from maskopt_lib.litho.simulator import Simulator


class SampledIntensity:
    """Intensity at nominal dose at the samples of :func:`~maskopt_lib.litho.imaging.small_grid`, differentiable.

    Parameters
    ----------
    sim : whose systems, precision and resist diffusion count.
    n : pixels along a side of the masks.

    Notes
    -----
    To rounding this is ``sim.intensity(mask, n_out=small_grid(half_width))`` (tested). On a GPU, or where the simulator
    is compiled, recorded or multiplies in another type, it is that call. Clips of a batch take turns: one's fields fit
    into a processor's cache, those of several do not.
    """

    def __init__(self, sim: Simulator, n: int) -> None:
        self._sim, self._n = sim, n
        spectrum, field, interpolation, systems = sim.matrices(n)
        self._spectrum: SpectrumMatrices = spectrum
        self._field: FieldMatrices = field
        self._interpolation = interpolation
        self.n_samples = len(interpolation)
        self._is_plain = sim.mode == EAGER and sim.matmul_dtype is None and sim.device.type == "cpu"
        if not self._is_plain:
            return
        used = [bundle[(bundle != 0).flatten(1).any(1)] for bundle in systems]
        self._parts = [len(bundle) for bundle in used]
        # (fy, system, fx), so that both products are over neighbours in memory.
        self._systems = torch.cat(used).permute(1, 0, 2).contiguous()
        self._conjugate = self._systems.conj().resolve_conj()
        s, n_fy, k = self.n_samples, *self._systems.shape[:2]
        along_x = field.along_x
        self._to_x = [along_x[:, :s].contiguous(), along_x[:, s:].contiguous()]
        self._to_y = torch.cat([field.along_y[:, 0::2], field.along_y[:, 1::2]], dim=1).contiguous()
        new = interpolation.new_empty
        self._rooms: dict[int, Tensor] = {}
        self._pairs, self._lines = new(2, n_fy * k, s), new(n_fy * k, along_x.shape[0])
        self._spread, self._squares = new(s, k, s), new(s, k, s)

    def __call__(self, mask: Tensor) -> Tensor:
        """(b, n, n) to (b, focus, s, s)."""
        if not self._is_plain:
            return self._sim.intensity(mask, n_out=self.n_samples)
        return _Sampled.apply(mask, self)

    def room_for(self, n_masks: int) -> Tensor:
        """(b, s, system, s) for fields; torch refuses a gradient through what a later call has written over."""
        if n_masks not in self._rooms:
            s, k = self.n_samples, sum(self._parts)
            self._rooms[n_masks] = self._interpolation.new_empty(n_masks, s, k, s)
        return self._rooms[n_masks]

    def fields(self, mask: Tensor, out: Tensor) -> Tensor:
        """One mask (n, n) to its fields (s, system, s), written into ``out``."""
        spectrum = self._spectrum.forward(mask[None])[0]
        lines = torch.view_as_real(self._systems * spectrum[:, None]).view(-1, self._lines.shape[-1])
        for matrix, pairs in zip(self._to_x, self._pairs, strict=True):
            torch.mm(lines, matrix, out=pairs)
        s = self.n_samples
        torch.mm(self._to_y, self._pairs.view(self._to_y.shape[1], -1), out=out.view(s, -1))
        return out

    def intensity(self, fields: Tensor) -> Tensor:
        """Fields to (focus, s, s)."""
        torch.mul(fields, fields, out=self._squares)
        summed = torch.stack([part.sum(1) for part in self._squares.split(self._parts, dim=1)])
        return self._interpolation @ summed @ self._interpolation.mT

    def moved(self, tangent: Tensor, fields: Tensor) -> Tensor:
        """What a small change (n, n) of the mask that made the fields does to its intensity: (focus, s, s)."""
        torch.mul(fields, self.fields(tangent, self._spread), out=self._squares)
        summed = torch.stack([part.sum(1) for part in self._squares.split(self._parts, dim=1)])
        return 2 * self._interpolation @ summed @ self._interpolation.mT

    def adjoint(self, gradient: Tensor, fields: Tensor) -> Tensor:
        """(focus, s, s) to (n, n)."""
        at_fields = (2 * self._interpolation).mT @ gradient @ self._interpolation
        parts = zip(fields.split(self._parts, 1), self._spread.split(self._parts, 1), at_fields, strict=True)
        for field, spread, one in parts:
            torch.mul(field, one[:, None], out=spread)
        s, pairs = self.n_samples, self._pairs
        torch.mm(self._to_y.mT, self._spread.view(s, -1), out=pairs.view(self._to_y.shape[1], -1))
        torch.mm(pairs[0], self._to_x[0].mT, out=self._lines)
        self._lines.addmm_(pairs[1], self._to_x[1].mT)
        spectra = torch.view_as_complex(self._lines.view(*self._systems.shape, 2))
        return self._spectrum.adjoint((spectra * self._conjugate).sum(1)[None])[0]


class _Sampled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, mask, imaging):
        fields = imaging.room_for(len(mask))
        ctx.imaging = imaging
        intensity = torch.stack([imaging.intensity(imaging.fields(m, f)) for m, f in zip(mask, fields, strict=True)])
        ctx.save_for_backward(fields)
        ctx.save_for_forward(fields)
        return intensity

    @staticmethod
    @torch.no_grad()
    def jvp(ctx, tangent, _):
        (fields,) = ctx.saved_tensors
        return torch.stack([ctx.imaging.moved(t, f) for t, f in zip(tangent, fields, strict=True)])

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (fields,) = ctx.saved_tensors
        return torch.stack([ctx.imaging.adjoint(g, f) for g, f in zip(gradient, fields, strict=True)]), None
