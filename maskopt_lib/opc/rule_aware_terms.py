"""What :mod:`maskopt_lib.opc.rule_aware` has to set, and its terms: areas in nm2 of prints and edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.sampled import SampledIntensity
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.descent import Optimizer
from maskopt_lib.opc.edges import EdgePoints, Sites, between_edges, lost, misplaced, probes, straight_edges
from maskopt_lib.opc.mask_rules import MaskRules
from maskopt_lib.opc.pixels import coarse, smooth
from maskopt_lib.opc.prints import Prints
from maskopt_lib.options import Count, Finite, LostShare, NotNegative, Odd, Options, Positive, Share, Whole

#: Images are periodic, masks are not: along the field's border this much stays dark, in nm.
FRAME_NM = 16.0
TERMS = (schema.NOMINAL, "edge_placement", "sites", "pv_band", "corners", "outline")
# For its curvature, what a term is in proportion to is taken as at least this much: of a print, and in nm.
_LEAST = 0.02


@dataclass(frozen=True, kw_only=True)
class RuleAwareOptions(Options):
    """Everything that can be set.

    Attributes
    ----------
    deck : the mask rules that the result keeps.
    pixel_nm : pixel of the optimisation's grid; a whole multiple of the target's.
    projection_nm : pixel at which the masks between the rounds are projected, a whole part of ``pixel_nm``; the last
        projection is at the target's own pixel.
    free_steps : evaluations of the objective before the first projection; 0 starts from the projected initial mask.
    free_rate : learning rate of these, for a latent image from 0 to 1.
    free_optimizer : of these, see :class:`~maskopt_lib.opc.descent.Stepper`. Those of second order need an objective
        that stays what it is, so for them the resist gets steeper in ``free_legs`` legs instead of with each step.
    free_legs : as many legs of equal length, fewer where one would have less than ten evaluations.
    coarse_nm : pixel of the first leg; None for ``pixel_nm``.
    n_rounds, n_steps : rounds of projection and optimisation, and the evaluations of each.
    rate_nm : learning rate of the outline's displacement in nm.
    outline_optimizer : of the rounds.
    smoothing_px : side of the box that averages the latent image and the displacement, odd.
    mask_steepness, mask_offset : the free mask is ``sigmoid(steepness (smoothed - offset))``.
    edge_width_px : the outline's mask is grey over some four times this, in pixels of the grid.
    resist_steepness : of the soft resist, per unit of intensity, at the first and from the last of the free steps on.
    nominal_weight : of the difference between nominal print and target.
    edge_weight, edge_scale_nm : of the edge placement, and the displacement below which it is squared.
    sites : where edge placement is checked, and how; :class:`Sites`.
    site_weight : of these.
    pvb_weight : of the PV band.
    free_pvb_factor : on that weight in the free steps, which lay out the assist features.
    corner_weights : (name, weight) of further corners of the simulator whose prints are compared with the target.
    complexity_weight : of the outline's length, in nm.
    grow : shapes with at least this share of the smallest area grow to it, smaller ones go.
    reach_nm : the mask is dark farther than this from the target; None for no limit.
    window_nm : side of the central square that may change; what lies beyond stays exactly as ``initial`` has it, or
        dark, and rules are mended around it. None for all.
    energy_lost : share of the optics' energy that the optimisation may leave out.
    """

    deck: MaskRules = field(default_factory=MaskRules)
    pixel_nm: Positive = 8.0
    projection_nm: Positive = 4.0
    free_steps: Whole = 150
    free_rate: Positive = 0.1
    free_optimizer: Optimizer = "lbfgs"
    free_legs: Count = 3
    coarse_nm: Positive | None = None
    n_rounds: Whole = 1
    n_steps: Count = 60
    rate_nm: Positive = 1.0
    outline_optimizer: Optimizer = "adam"
    smoothing_px: Odd = 3
    mask_steepness: Positive = 4.0
    mask_offset: Finite = 0.5
    edge_width_px: Positive = 0.25
    resist_steepness: tuple[Positive, Positive] = (50.0, 150.0)
    nominal_weight: Finite = 0.5
    edge_weight: Finite = 2.0
    edge_scale_nm: Positive = 1.0
    sites: Sites = field(default_factory=Sites)
    site_weight: Finite = 1.0
    pvb_weight: Finite = 3.5
    free_pvb_factor: NotNegative = 1.3
    corner_weights: Sequence[tuple[str, Finite]] = ()
    complexity_weight: Finite = 0.0
    grow: Share = 0.5
    reach_nm: Positive | None = None
    window_nm: Positive | None = None
    energy_lost: LostShare = 1e-3

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of :data:`TERMS`; those of the corners are in their term."""
        edges = self.edge_weight, self.site_weight
        return self.nominal_weight, *edges, self.pvb_weight, 1.0, self.complexity_weight

    @property
    def free_weights(self) -> tuple[float, ...]:
        """The same for the free steps."""
        return replace(self, pvb_weight=self.free_pvb_factor * self.pvb_weight).weights


def _served(sites: np.ndarray, side_nm: float) -> np.ndarray:
    """Those that a mask can serve.

    Where a field's border cuts a shape there is an edge, and the mask beside it is dark: its site would pull in vain,
    and all of the shape with it.
    """
    return sites[((sites[:, :2] > FRAME_NM) & (sites[:, :2] < side_nm - FRAME_NM)).all(axis=1)]


@dataclass(frozen=True)
class Objective:
    """Terms of :data:`TERMS` in nm2 for a batch of masks on the optimisation's grid."""

    wanted: Tensor
    around: Tensor
    free: Tensor
    sim: Simulator
    points: EdgePoints
    n_points: Sequence[int]
    options: RuleAwareOptions
    intensity: SampledIntensity
    prints: Prints
    weights: Tensor | None

    @classmethod
    def of(
        cls,
        target: Tensor,
        wanted: Tensor,
        sim: Simulator,
        options: RuleAwareOptions,
        *,
        around: Tensor,
        free: Tensor,
        weights: Tensor | None = None,
    ) -> Objective:
        if options.energy_lost:
            sim = Simulator(
                sim.kernels, device=sim.device, dtype=sim.dtype, corners=sim.process, resist=sim.resist_model,
                energy_lost=options.energy_lost, mode=sim.mode, matmul_dtype=sim.matmul_dtype,
            )  # fmt: skip
        pixel_nm, clips = sim.grid(target).pixel_nm, target.cpu().numpy()
        edges = [straight_edges(clip, pixel_nm) for clip in clips]
        straight = EdgePoints.of(edges, sim)
        if weights is not None:
            straight = straight.weighted(edges, weights, pixel_nm)
            weights = coarse(weights, target.shape[-1] // wanted.shape[-1], sim.dtype)
        sites = [_served(options.sites.of(clip, pixel_nm), clip.shape[-1] * pixel_nm) for clip in clips]
        parts = [straight, EdgePoints.of(sites, sim)]
        if options.sites.far_nm:
            inside, outside = zip(*(probes(clip, options.sites.far_nm) for clip in sites), strict=True)
            inside = EdgePoints.of(inside, sim)
            parts += [replace(inside, counts=-inside.counts), EdgePoints.of(outside, sim)]
        n_points = [part.counts.shape[1] for part in parts]
        return cls._on(wanted, around, free, weights, sim, EdgePoints.joined(parts), n_points, options)

    @classmethod
    def _on(
        cls, wanted: Tensor, around: Tensor, free: Tensor, weights: Tensor | None, sim: Simulator, *more
    ) -> Objective:
        prints = Prints.around(wanted, free.any(0) | (around > 0).any(0), sim, weights)
        return cls(wanted, around, free, sim, *more, SampledIntensity(sim, wanted.shape[-1]), prints, weights)

    def coarser(self, factor: int) -> Objective:
        """The same on pixels ``factor`` times as large."""
        wanted, around, free = (coarse(t, factor, self.sim.dtype) for t in (self.wanted, self.around, self.free))
        weights = None if self.weights is None else coarse(self.weights, factor, self.sim.dtype)
        return self._on(wanted, around, free > 0.5, weights, self.sim, self.points, self.n_points, self.options)

    def of_latent(self, latent: Tensor, step: int, leg: float | None) -> tuple[Tensor, ...]:
        """Terms of a latent image, at a step or where a leg is, from 0 to 1."""
        return self.terms(*self._free_mask(latent, step, leg))

    def _free_mask(self, latent: Tensor, step: int, leg: float | None) -> tuple[Tensor, float]:
        o = self.options
        first, last = o.resist_steepness
        done = min(step / o.free_steps, 1.0) if leg is None else leg
        mask = torch.sigmoid(o.mask_steepness * (smooth(latent, o.smoothing_px) - o.mask_offset))
        return mask, first * (last / first) ** done

    def outputs(self, latent: Tensor, step: int, leg: float | None) -> tuple[Tensor, Tensor]:
        """For :mod:`~maskopt_lib.opc.gauss_newton`: how far the prints are off at each pixel, and displacements at the
        points, (b, m), and the curvatures of their weighted terms; those of other corners are left out."""
        o, sim = self.options, self.sim
        mask, steepness = self._free_mask(latent, step, leg)
        samples = self.intensity(torch.where(self.free, mask, self.around))
        off, _, _, band = self.prints.outputs(samples, steepness).flatten(2).unbind(1)
        nominal = sim.corner(schema.NOMINAL)
        shift = self.points.displacement(nominal.intensity_factor * samples[:, nominal.focus], sim.threshold)
        nominal_weight, edge_weight, site_weight, band_weight, *_ = o.free_weights
        area = (sim.kernels.period_nm / mask.shape[-1]) ** 2
        with torch.enable_grad():
            at = shift.detach().requires_grad_()
            placed = edge_weight * self._between(at) + site_weight * self._placed(at)
            (slope,) = torch.autograd.grad(placed.sum(), at)
        values = torch.cat([off, band, shift], dim=1)
        curvatures = [
            torch.full_like(off, 2 * nominal_weight * area),
            band_weight * area / band.detach().abs().clamp_min(_LEAST),
            slope.abs() / shift.detach().abs().clamp_min(_LEAST),
        ]
        return values, torch.cat(curvatures, dim=1)

    def _between(self, displacement: Tensor) -> Tensor:
        return between_edges(displacement[:, : self.n_points[0]], self.options.edge_scale_nm)

    def _placed(self, displacement: Tensor) -> Tensor:
        o = self.options.sites
        _, missed, *far = displacement.split(self.n_points, dim=1)
        _, counts, *_ = self.points.counts.split(self.n_points, dim=1)
        placed = misplaced(missed, counts, o.limit_nm, o.width_nm, o.pull)
        return placed + sum(lost(excess, counts, o.far_nm, o.far_width_nm, o.pull) for excess in far)

    def of_distance(self, inside: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            # Flat places are where shapes are far: the mask there is as grey as its distance says.
            length = (_squared_gradient(inside) + 1.0).sqrt()
        return self.terms(
            torch.sigmoid(inside / (self.options.edge_width_px * length)), self.options.resist_steepness[1]
        )

    @torch.no_grad()
    def of_mask(self, mask: Tensor) -> Tensor:
        """(b,): all that masks of any pixels cost, in nm2."""
        grid = coarse(mask, mask.shape[-1] // self.wanted.shape[-1], self.sim.dtype)
        terms = self.terms(grid, self.options.resist_steepness[1])
        return sum(weight * term for weight, term in zip(self.options.weights, terms, strict=True))

    def terms(self, mask: Tensor, steepness: float) -> tuple[Tensor, ...]:
        """(b,) each."""
        o, sim = self.options, self.sim
        mask = torch.where(self.free, mask, self.around)
        samples = self.intensity(mask)
        area = (sim.kernels.period_nm / mask.shape[-1]) ** 2
        fidelity, band = (area * self.prints.areas(samples, steepness)).unbind(-1)
        nominal = sim.corner(schema.NOMINAL)
        image, zero = nominal.intensity_factor * samples[:, nominal.focus], mask.new_zeros(len(mask))
        shift = self.points.displacement(image, sim.threshold)
        corners = (w * area * self.prints.fidelity(samples, c, steepness) for c, w in o.corner_weights)
        return (
            fidelity,
            self._between(shift),
            self._placed(shift),
            band,
            sum(corners, zero),
            area**0.5 * (_squared_gradient(mask) + 1e-6).sqrt().sum((-2, -1)) if o.complexity_weight else zero,
        )


def _squared_gradient(image: Tensor) -> Tensor:
    """(b, y, x): squared length of the gradient by central differences, per pixel."""
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_y, along_x = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
    return (along_y.square() + along_x.square()) / 4
