"""Exact band-limited imaging: mask to intensity through grids no larger than the optics needs.

A kernel set with frequencies up to ``h`` bins makes fields with ``2 h + 1`` and intensities with ``4 h + 1``
frequencies along an axis, whatever the pixel size of the mask (h = 17: 35 and 69). So

1. only ``2 h + 1`` frequencies of the mask are computed (half of them: the mask is real),
2. the coherent fields live on a grid of ``n_small >= 4 h + 1`` points, on which their squares do not alias,
3. the intensity is carried to the pixels by trigonometric interpolation, which is exact for a band-limited function.

Every step is a product with a small, fixed, real matrix. That is fewer operations than a Fast Fourier Transform of
the mask grid, keeps the processor's matrix units busy, works for every number of pixels, and makes the
adjoint the same products with the matrices transposed: the gradient below is written by hand. The matrices decide the
precision of the products: with those in bfloat16, operands are rounded to it and results come back in the mask's type.

A complex coherent field is two real ones, since the mask is real: ``|E|^2 = Re(E)^2 + Im(E)^2``, and
each part is the image through a kernel with Hermitian spectrum. These real systems are made orthogonal once
(:func:`real_systems`), which changes nothing in their sum of squares, sorts them by energy and shows which add nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.litho.compiled import GraphReplay
from maskopt_lib.optics.kernels import SocsKernels


def real_systems(kernels: SocsKernels, *, energy_lost: float = 0.0) -> np.ndarray:
    """The kernel set as real-valued coherent systems that act on a real mask.

    Parameters
    ----------
    kernels : any set.
    energy_lost : systems are dropped from the weak end as long as their share of the summed energy, for each focus
        setting, stays at or below this; 0 keeps all that are not zero to rounding.

    Returns
    -------
    (focus, system, h + 1, 2 h + 1) complex128, spectra for ``fy >= 0``, weights included: the intensity of a real mask
    is the plain sum of the squares of the real fields. Systems are sorted by energy; settings with fewer
    systems are padded with zeros.

    Notes
    -----
    With ``v_k(f) = sqrt(w_k) H_k(f)`` the two Hermitian parts are ``(v(f) + v*(-f)) / 2`` and ``(v(f) - v*(-f)) / 2i``.
    Their Gram matrix is real and symmetric; rotating by its eigenvectors leaves the sum of squares as it is.
    """
    h = kernels.half_width
    bundles = []
    for spectra, weights in zip(kernels.spectra, kernels.weights, strict=True):
        v = np.sqrt(weights)[:, None] * spectra.reshape(len(weights), -1)
        mirrored = v[:, ::-1].conj()
        parts = np.concatenate([(v + mirrored) / 2, (v - mirrored) / 2j])
        energy, rotation = np.linalg.eigh((parts @ parts.conj().T).real)
        strongest_first = np.argsort(energy)[::-1]
        energy = np.clip(energy[strongest_first], 0, None)
        tail = np.cumsum(energy[::-1])[::-1] / energy.sum()
        keep = strongest_first[tail > max(energy_lost, 1e-15)]
        bundles.append((rotation[:, keep].T @ parts).reshape(-1, 2 * h + 1, 2 * h + 1)[:, h:])
    out = np.zeros((len(bundles), max(map(len, bundles)), h + 1, 2 * h + 1), complex)
    for row, bundle in zip(out, bundles, strict=True):
        row[: len(bundle)] = bundle
    return out


def small_grid(half_width: int) -> int:
    """Points along an axis on which intensities of ``half_width`` do not alias: the next even number after 4 h + 1."""
    return 4 * half_width + 2


def _phase(frequencies: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return 2 * np.pi * np.outer(frequencies, positions)


@dataclass(frozen=True)
class SpectrumMatrices:
    """The matrices that take a real mask to its low frequencies, ``fy >= 0``.

    Attributes
    ----------
    rows : (2 (h + 1), n): cosines, then sines, of ``fy y``, divided by ``n``.
    columns : (n, 2 (2 h + 1)): cosine and minus sine of ``fx x``, interleaved, divided by ``n``.
    """

    rows: Tensor
    columns: Tensor

    @classmethod
    def build(cls, n: int, half_width: int, *, device: torch.device, dtype: torch.dtype) -> SpectrumMatrices:
        """For masks of ``n`` x ``n`` pixels, ``n > 2 half_width``."""
        at = np.arange(n) / n
        fy = _phase(np.arange(half_width + 1), at)
        fx = _phase(np.arange(-half_width, half_width + 1), at)
        rows = np.concatenate([np.cos(fy), np.sin(fy)]) / n
        columns = np.stack([np.cos(fx), -np.sin(fx)], axis=1).reshape(-1, n).T / n
        return cls(*(torch.as_tensor(np.ascontiguousarray(m), device=device, dtype=dtype) for m in (rows, columns)))

    def forward(self, mask: Tensor) -> Tensor:
        """(b, n, n) real to (b, h + 1, 2 h + 1) complex Fourier coefficients."""
        cosine, sine = _as_complex(self.products(mask)).chunk(2, dim=-2)
        return cosine - 1j * sine

    def products(self, mask: Tensor) -> Tensor:
        """(b, n, n) real to (b, 2 (h + 1), 2 (2 h + 1)): spectra of the cosine, then of the sine rows, interleaved."""
        return (self.rows @ mask.to(self.rows.dtype) @ self.columns).to(mask.dtype)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """(b, h + 1, 2 h + 1) complex to (b, n, n) real; the adjoint of :meth:`forward`."""
        return self.products_adjoint(_as_real(torch.cat([gradient, 1j * gradient], dim=-2)))

    def products_adjoint(self, gradient: Tensor) -> Tensor:
        """The adjoint of :meth:`products`."""
        return (self.rows.mT @ (gradient.to(self.rows.dtype) @ self.columns.mT)).to(gradient.dtype)


@dataclass(frozen=True)
class FieldMatrices:
    """The matrices that take Hermitian half-spectra to real fields on the small grid.

    Attributes
    ----------
    along_x : (2 (2 h + 1), 2 n_small), real form of ``exp(2 pi i fx x)``: interleaved in, real then imaginary part out.
    along_y : (n_small, 2 (h + 1)), real part of ``exp(2 pi i fy y)`` applied to such a pair; ``fy > 0`` counts twice.
    """

    along_x: Tensor
    along_y: Tensor

    @classmethod
    def build(cls, half_width: int, *, device: torch.device, dtype: torch.dtype) -> FieldMatrices:
        """For spectra of ``half_width`` bins."""
        n = small_grid(half_width)
        at = np.arange(n) / n
        fx = _phase(np.arange(-half_width, half_width + 1), at)
        from_real = np.concatenate([np.cos(fx), np.sin(fx)], axis=1)
        from_imaginary = np.concatenate([-np.sin(fx), np.cos(fx)], axis=1)
        along_x = np.stack([from_real, from_imaginary], axis=1).reshape(-1, 2 * n)
        fy = _phase(np.arange(half_width + 1), at)
        twice = np.where(np.arange(half_width + 1) > 0, 2.0, 1.0)[:, None]
        along_y = np.stack([twice * np.cos(fy), -twice * np.sin(fy)], axis=1).reshape(-1, n).T
        return cls(*(torch.as_tensor(np.ascontiguousarray(m), device=device, dtype=dtype) for m in (along_x, along_y)))

    def forward(self, half_spectra: Tensor) -> Tensor:
        """(..., h + 1, 2 h + 1) complex to (..., n_small, n_small) real."""
        return self.products(_as_real(half_spectra))

    def products(self, interleaved: Tensor) -> Tensor:
        """The same for spectra with real and imaginary parts interleaved, (..., h + 1, 2 (2 h + 1)) real."""
        pairs = interleaved.to(self.along_x.dtype) @ self.along_x
        return (self.along_y @ pairs.unflatten(-1, (2, -1)).flatten(-3, -2)).to(interleaved.dtype)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """(..., n_small, n_small) real to (..., h + 1, 2 h + 1) complex; the adjoint of :meth:`forward`."""
        return _as_complex(self.products_adjoint(gradient))

    def products_adjoint(self, gradient: Tensor) -> Tensor:
        """The adjoint of :meth:`products`."""
        pairs = self.along_y.mT @ gradient.to(self.along_y.dtype)
        return (pairs.unflatten(-2, (-1, 2)).flatten(-2) @ self.along_x.mT).to(gradient.dtype)


def interpolation_matrix(
    n_out: int, n_small: int, *, shift: float = 0.0, blur: float = 0.0, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Trigonometric interpolation from ``n_small`` equidistant samples of a period to ``n_out``.

    Parameters
    ----------
    n_out, n_small : points in the period; ``n_small`` even, its Nyquist frequency carries nothing here.
    shift : position of the first output point, in periods.
    blur : standard deviation of a normal density that blurs what is interpolated, in periods; a factor on its spectrum.

    Returns
    -------
    (n_out, n_small) real; exact for frequencies below ``n_small / 2``.
    """
    distance = 2 * np.pi * ((np.arange(n_out) / n_out + shift)[:, None] - np.arange(n_small) / n_small)
    frequencies = np.arange(1, n_small // 2)
    # The closed form sin(n d / 2) / sin(d / 2) loses digits near its poles; the sum does not.
    matrix = np.ones_like(distance)
    for f in frequencies:
        matrix += 2 * np.exp(-2 * (np.pi * blur * f) ** 2) * np.cos(f * distance)
    return torch.as_tensor(matrix / n_small, device=device, dtype=dtype)


def _as_real(z: Tensor) -> Tensor:
    return torch.view_as_real(z.contiguous()).flatten(-2)


def _as_complex(pairs: Tensor) -> Tensor:
    return torch.view_as_complex(pairs.unflatten(-1, (-1, 2)).contiguous())


#: (focus, factor) of each image that is wanted.
Corners = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Imaging:
    """All that stands between masks of one size and images of one size, as two functions of tensors alone.

    Attributes
    ----------
    systems : (focus, system, h + 1, 2 h + 1) complex, see :func:`real_systems`.
    systems_parts : their real and their imaginary part.
    spectrum, field, interpolation : the matrices of the three steps.
    corners : the images wanted; those of one focus setting share all their work but one product with a number.
    """

    systems: Tensor
    systems_parts: tuple[Tensor, Tensor]
    spectrum: SpectrumMatrices
    field: FieldMatrices
    interpolation: Tensor
    corners: Corners

    @classmethod
    def build(
        cls,
        systems: Tensor,
        spectrum: SpectrumMatrices,
        field: FieldMatrices,
        interpolation: Tensor,
        corners: Corners,
    ) -> Imaging:
        """With the systems of only those focus settings that a corner uses, numbered anew."""
        used = sorted({focus for focus, _ in corners})
        if used != list(range(len(systems))):
            systems = torch.stack([systems[focus] for focus in used])
        parts = systems.real.contiguous(), systems.imag.contiguous()
        corners = tuple((used.index(focus), factor) for focus, factor in corners)
        return cls(systems, parts, spectrum, field, interpolation, corners)

    def forward(self, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(b, n, n) to the images (b, corner, n_out, n_out) and the fields, which :meth:`adjoint` needs."""
        fields = self._fields(mask)
        interpolation = self.interpolation
        halfway = (fields * fields).sum(2).to(interpolation.dtype) @ interpolation.mT
        return self._scaled(halfway), fields

    def _scaled(self, halfway: Tensor) -> Tensor:
        factors = [factor for _, factor in self.corners]
        # One image a focus setting is a product; the others are multiples of it.
        first = {focus: i for i, (focus, _) in reversed(list(enumerate(self.corners)))}
        if torch.compiler.is_compiling() or halfway.dtype != self.systems_parts[0].dtype:
            # Compilers write into no views, and products into no other type than their own.
            made = {f: self.interpolation @ (factors[i] * halfway[:, f]) for f, i in first.items()}
            made = {f: image.to(self.systems_parts[0].dtype) for f, image in made.items()}
            scales = [factor / factors[first[f]] for f, factor in self.corners]
            return torch.stack(
                [made[f] if i == first[f] else made[f] * scales[i] for i, (f, _) in enumerate(self.corners)], dim=1
            )
        n_out = len(self.interpolation)
        images = halfway.new_empty(len(halfway), len(self.corners), n_out, n_out)
        for i, (focus, factor) in enumerate(self.corners):
            j = first[focus]
            if i == j:
                torch.matmul(self.interpolation, factor * halfway[:, focus], out=images[:, i])
            else:
                torch.mul(images[:, j], factor / factors[j], out=images[:, i])
        return images

    def adjoint(self, gradient: Tensor, fields: Tensor) -> Tensor:
        """(b, corner, n_out, n_out) to (b, n, n); the adjoint of :meth:`forward` at the mask that made the fields."""
        small = []
        interpolation = self.interpolation
        for focus in range(len(self.systems)):
            members = [(i, factor) for i, (f, factor) in enumerate(self.corners) if f == focus]
            i, scale = members[0]
            together = gradient[:, i]
            for i, factor in members[1:]:
                together = torch.add(together, gradient[:, i], alpha=factor / scale)
            small.append((2 * scale * interpolation).mT @ together.to(interpolation.dtype) @ interpolation)
        return self._fields_adjoint(fields * torch.stack(small, dim=1)[:, :, None].to(fields.dtype))

    def _fields(self, mask: Tensor) -> Tensor:
        """(b, n, n) to the fields (b, focus, system, n_small, n_small)."""
        if not torch.compiler.is_compiling():
            return self.field.forward(self.systems * self.spectrum.forward(mask)[:, None, None])
        # The same in real numbers: compilers leave complex ones alone.
        cosine, sine = self.spectrum.products(mask).unflatten(-1, (-1, 2))[:, None, None].chunk(2, dim=-3)
        real, imaginary = cosine[..., 0] + sine[..., 1], cosine[..., 1] - sine[..., 0]
        a, b = self.systems_parts
        return self.field.products(
            torch.stack([a * real - b * imaginary, a * imaginary + b * real], dim=-1).flatten(-2)
        )

    def _fields_adjoint(self, gradient: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            half = self.field.adjoint(gradient)
            return self.spectrum.adjoint((self.systems.conj() * half).sum((1, 2)))
        half = self.field.products_adjoint(gradient).unflatten(-1, (-1, 2))
        a, b = self.systems_parts
        real = (a * half[..., 0] + b * half[..., 1]).sum((1, 2))
        imaginary = (a * half[..., 1] - b * half[..., 0]).sum((1, 2))
        both = [torch.stack([real, imaginary], dim=-1), torch.stack([-imaginary, real], dim=-1)]
        return self.spectrum.products_adjoint(torch.cat(both, dim=-3).flatten(-2))


class CornerImages(torch.autograd.Function):
    """Mask (b, n, n) to scaled intensities of chosen focus settings, with its hand-written adjoint (first derivatives).

    ``forward(mask, images_of, gradient_of)``: the two methods of an :class:`Imaging`, or what stands in for them.
    """

    @staticmethod
    def forward(ctx, mask, images_of, gradient_of):
        images, fields = images_of(mask.detach())
        if isinstance(gradient_of, GraphReplay) and ctx.needs_input_grad[0]:
            # Here and not at the first backward, which runs in a thread of autograd's own.
            gradient_of.record(torch.zeros_like(images), fields)
        ctx.save_for_backward(fields)
        ctx.gradient_of = gradient_of
        return images

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (fields,) = ctx.saved_tensors
        return ctx.gradient_of(gradient, fields), None, None
