"""What pixel solvers ask of the prints: how far each corner's is from the target, and from the other.

The images are band-limited, so a simulator's few samples a period hold all of them. From there the pixels are computed
only where a print can be: around the target and what may be clear on the mask. Beyond :data:`REACH_NM` of both, a
soft print is below 1e-4 and its share of a term below 1e-2 nm2.

No image of the pixels is stored: block by block, small enough for the processor's cache, it is made from the samples,
compared, and for the gradient made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.imaging import interpolation_matrix, small_grid
from maskopt_lib.litho.simulator import Simulator

#: Terms of every pixel solver: prints at the three corners against the target, and outer against inner print.
TERMS = (schema.NOMINAL, schema.OUTER, schema.INNER, "pv_band")

#: Prints are computed up to this far from target and clear mask, in nm; one resolution is 143 nm.
REACH_NM = 128.0

#: Pixels of one block on the CPU.
_BLOCK = 2**16


@dataclass(frozen=True)
class Prints:
    """Differentiable prints of masks where there can be any.

    Attributes
    ----------
    wanted : (b, rows, columns) targets, 0 to 1, inside the box.
    sim : the imaging model, with the corners ``nominal``, ``outer`` and ``inner``.
    rows, columns : (rows, s), (columns, s) from samples of the intensity to the pixels of the box.
    weights : (b, rows, columns) of the pixels in :meth:`areas`; None where all count alike.
    """

    wanted: Tensor
    sim: Simulator
    rows: Tensor
    columns: Tensor
    weights: Tensor | None = None

    @classmethod
    def around(cls, wanted: Tensor, clear: Tensor, sim: Simulator, weights: Tensor | None = None) -> Prints:
        """Prints around targets and whatever may be clear on their masks.

        Parameters
        ----------
        wanted : (b, y, x) targets, 0 to 1, on the mask's grid.
        clear : (y, x) boolean, True where a mask of the batch may be clear.
        sim : the imaging model.
        weights : (b, y, x) of the pixels in :meth:`areas`.
        """
        grid = sim.grid(wanted)
        used = clear | (wanted > 0).any(0)
        reach = round(REACH_NM / grid.pixel_nm)
        samples = small_grid(sim.kernels.half_width)
        matrix = interpolation_matrix(
            grid.n, samples, shift=0.5 / grid.n - 0.5 / samples, device=sim.device, dtype=sim.dtype
        )
        y, x = (_around(used.any(axis), reach) for axis in (1, 0))
        inside = None if weights is None else weights[:, y, x].contiguous()
        return cls(wanted[:, y, x].contiguous(), sim, matrix[y].contiguous(), matrix[x].contiguous(), inside)

    def intensity(self, mask: Tensor) -> Tensor:
        """Samples of the intensity at nominal dose: (b, y, x) to (b, focus, s, s)."""
        return self.sim.intensity(mask, n_out=self.rows.shape[-1])

    def terms(self, intensity: Tensor, exponent: int = 2) -> Tensor:
        """The terms of :data:`TERMS`, (b, 4), each a sum over pixels.

        Parameters
        ----------
        intensity : samples from :meth:`intensity`.
        exponent : even power of the difference between print and target; that of the PV band is always 2.
        """
        return _CornerTerms.apply(intensity, self, exponent)

    def outputs(self, intensity: Tensor, steepness: float | None = None) -> Tensor:
        """What :meth:`terms` are powers of: (b, 4, rows, columns), for derivatives of any kind.

        Parameters
        ----------
        intensity : samples from :meth:`intensity`.
        steepness : of the soft resist, per unit of intensity; None for the simulator's.
        """
        image = self.rows @ intensity @ self.columns.mT
        corners = (self.sim.corner(name) for name in schema.CORNERS)
        steepness = self.sim.resist_model.steepness if steepness is None else steepness
        soft = [
            torch.sigmoid(steepness * (c.intensity_factor * image[:, c.focus] - self.sim.threshold)) for c in corners
        ]
        return torch.stack([*(z - self.wanted for z in soft), soft[1] - soft[2]], dim=1)

    def areas(self, intensity: Tensor, steepness: float) -> Tensor:
        """Squared difference of nominal print and target, difference of outer and inner print: (b, 2) in pixels.

        Parameters
        ----------
        intensity : samples from :meth:`intensity`.
        steepness : of the soft resist, per unit of intensity.
        """
        return _AreaTerms.apply(intensity, self, steepness)

    def fidelity(self, intensity: Tensor, name: str, steepness: float) -> Tensor:
        """Squared difference of the print at any corner and the target, (b,) in pixels; see :meth:`areas`."""
        corner = self.sim.corner(name)
        image = self.rows @ (corner.intensity_factor * intensity[:, corner.focus]) @ self.columns.mT
        return (torch.sigmoid(steepness * (image - self.sim.threshold)) - self.wanted).square().sum((-2, -1))

    def nominal(self, intensity: Tensor) -> Tensor:
        """The soft nominal print in the box, (b, rows, columns), from samples of the intensity."""
        corner = self.sim.corner(schema.NOMINAL)
        image = self.rows @ (corner.intensity_factor * intensity[:, corner.focus]) @ self.columns.mT
        return self.sim.resist_model.soft(image)

    def blocks(self) -> Iterator[slice]:
        """Rows that are worked on together."""
        batch, n_rows, n_columns = self.wanted.shape
        step = n_rows if self.wanted.is_cuda else max(1, _BLOCK // (batch * n_columns))
        return (slice(start, start + step) for start in range(0, n_rows, step))

    def corners(self, halfway: Tensor, block: slice) -> tuple[Tensor, ...]:
        """Soft prints of one block, nominal, outer and inner: (b, block, columns) each."""
        image = self.rows[block] @ halfway
        chosen = (self.sim.corner(name) for name in schema.CORNERS)
        return tuple(self.sim.resist_model.soft(c.intensity_factor * image[:, c.focus]) for c in chosen)


def _around(used: Tensor, reach: int) -> slice:
    at = torch.nonzero(used)
    return slice(max(int(at.min()) - reach, 0), int(at.max()) + 1 + reach) if len(at) else slice(0, len(used))


class _CornerTerms(torch.autograd.Function):
    """Samples of the intensity to the four terms, with the gradient written by hand."""

    @staticmethod
    def forward(ctx, intensity, prints, exponent):
        ctx.save_for_backward(intensity)
        ctx.prints, ctx.exponent = prints, exponent
        halfway = intensity @ prints.columns.mT
        total = intensity.new_zeros(len(intensity), len(TERMS))
        for block in prints.blocks():
            soft = prints.corners(halfway, block)
            powers = [(z - prints.wanted[:, block]).square().pow(exponent // 2) for z in soft]
            powers.append((soft[2] - soft[1]).square())
            total += torch.stack([p.sum((-2, -1)) for p in powers], dim=-1)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (intensity,) = ctx.saved_tensors
        prints, exponent = ctx.prints, ctx.exponent
        corners = [prints.sim.corner(name) for name in schema.CORNERS]
        halfway = intensity @ prints.columns.mT
        back = torch.zeros_like(halfway)
        weights = gradient[..., None, None].unbind(1)
        for block in prints.blocks():
            soft = prints.corners(halfway, block)
            band = (soft[2] - soft[1]).mul_(2 * weights[3])
            by_focus = halfway.new_zeros(len(intensity), back.shape[1], *soft[0].shape[1:])
            for i, (z, corner) in enumerate(zip(soft, corners, strict=True)):
                slope = (z - prints.wanted[:, block]).pow_(exponent - 1).mul_(exponent * weights[i])
                if i:
                    slope = slope.add_(band, alpha=-1.0 if i == 1 else 1.0)
                # The soft resist's slope is steepness z (1 - z).
                slope.mul_(z).mul_(1 - z)
                by_focus[:, corner.focus].add_(slope, alpha=prints.sim.resist_model.steepness * corner.intensity_factor)
            back += prints.rows[block].mT @ by_focus
        return back @ prints.columns, None, None


class _AreaTerms(torch.autograd.Function):
    """Samples of the intensity to the two terms of :meth:`Prints.areas`; what the gradient needs is made on the way."""

    @staticmethod
    def forward(ctx, intensity, prints, steepness):
        corners = [prints.sim.corner(name) for name in schema.CORNERS]
        image = prints.rows @ intensity @ prints.columns.mT
        shift = -steepness * prints.sim.threshold

        def soft(corner) -> Tensor:
            scaled = torch.mul(image[:, corner.focus], steepness * corner.intensity_factor)
            return scaled.add_(shift).sigmoid_()

        nominal, outer, inner = map(soft, corners)
        off, band = nominal - prints.wanted, outer - inner
        sizes = [off.square(), band.abs()]
        if prints.weights is not None:
            sizes = [prints.weights * size for size in sizes]
        terms = torch.stack([size.sum((-2, -1)) for size in sizes], dim=-1)
        # d sigmoid(s x) = s z (1 - z) dx; what follows is written over what is not needed any more.
        factors = [steepness * c.intensity_factor for c in corners]
        at_nominal = nominal.addcmul_(nominal, nominal, value=-1).mul_(off).mul_(2 * factors[0])
        sign = band.sign_()
        at_outer = outer.addcmul_(outer, outer, value=-1).mul_(sign).mul_(factors[1])
        at_inner = inner.addcmul_(inner, inner, value=-1).mul_(sign).mul_(-factors[2])
        ctx.prints, ctx.foci = prints, [c.focus for c in corners]
        ctx.shape = intensity.shape
        slopes = (at_nominal, at_outer, at_inner)
        ctx.save_for_backward(*(slopes if prints.weights is None else (slope * prints.weights for slope in slopes)))
        return terms

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        fidelity, band = (g[:, None, None] for g in gradient.unbind(-1))
        by_focus: dict[int, Tensor] = {}
        for focus, slope, weight in zip(ctx.foci, ctx.saved_tensors, (fidelity, band, band), strict=True):
            if focus in by_focus:
                by_focus[focus].addcmul_(slope, weight)
            else:
                by_focus[focus] = slope * weight
        back = gradient.new_zeros(ctx.shape)
        for focus, slope in by_focus.items():
            back[:, focus] = ctx.prints.rows.mT @ slope @ ctx.prints.columns
        return back, None, None
