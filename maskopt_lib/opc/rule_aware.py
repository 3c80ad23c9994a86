"""Rule-aware ILT: the outline goes on to be optimised inside the room that the mask rules leave.

Three ideas, in the order in which they act.

*Free start.* A smoothed latent image goes through a sigmoid, as in plain pixel ILT, and lays out main and assist
features while no rule is looked at.

*Project, then optimise around it.* The binary mask is projected onto the rule deck
(:meth:`~maskopt_lib.opc.mask_rules.MaskRules.project`). From there it is an outline, the zero of a signed distance
``phi0``, and what is optimised is a smooth displacement ``d`` of it::

    phi = max(min(phi0 + smooth(d), room), core)        mask = sigmoid(phi / (w |grad phi|))

``room`` is the distance to the border between the cells of the shapes less half the distance asked: the minimum of two
signed distances is the intersection of what they bound, so that however ``d`` moves, no two shapes come closer than the
deck allows. ``core`` is the signed distance of shapes near the smallest area: the maximum is the union, so these do not
shrink. ``|grad phi|`` is held fixed in the gradient and makes the mask grey over the same width everywhere: pixels that
the outline cuts carry the area inside it, an edge moves by fractions of a pixel, and a grid of 8 nm will do. What the
projection cost is so won back around what it changed, in one round or more, and a last projection at the target's own
pixels finds little to do. It is the one that guarantees the deck, all five rules as they are reported; where the deck
would cost a main feature the feature stays, and the result names what it breaks.

*Areas instead of squares.* All terms are areas in nm2, the units of the scores:

- the difference of nominal print and target, squared through a soft resist that gets steeper on the way;
- the PV band as ``sum |outer - inner|``: between two soft edges a distance ``b`` apart, of an image that goes well past
  the threshold, this is ``b`` per length however soft they are, while the square behaves as ``b^2`` and hardly sees the
  narrow bands;
- *edge placement*: at points on the target's straight edges the print's displacement is ``(I - threshold) / |dI/dn|``,
  a Gauss-Newton step on the resist's edge (:mod:`maskopt_lib.opc.edges`). Squared below ``edge_scale_nm``, linear
  beyond, it sums up to the area between the two edges without the corners, which no optics prints and which would
  otherwise be paid for by bulges beside them;
- *sites*: what a checker counts is where the displacement exceeds a limit. A count has no slope to descend on, and a
  steep sigmoid in its place forgets what is far beyond the limit. So it is counted as by someone whose reading of each
  edge is off by a little, and for *every* limit from the checker's on (:func:`~maskopt_lib.opc.edges.misplaced`): that
  rises at the limit and keeps rising with the displacement, in nm2 as everything else;
- if asked for, the outline's length as a measure of complexity, and the prints at any further process corners.

References
----------
S. Osher, J. A. Sethian, J. Comput. Phys. 79 (1988), for outlines as level sets; the rest is this study's own, and so
are the constants (notebook 18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.sampled import SampledIntensity
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.descent import Descent, Optimizer, Phases, Stepper, collect, descend
from maskopt_lib.opc.distances import distance
from maskopt_lib.opc.edges import EdgePoints, between_edges, contest_sites, lost, misplaced, probes, straight_edges
from maskopt_lib.opc.mask_rules import MaskRules, Violation
from maskopt_lib.opc.outlines import BoundedOutlines
from maskopt_lib.opc.pixels import central, coarse, fine_bicubic, fine_nearest, smooth, square, whole
from maskopt_lib.opc.prints import Prints
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, LostShare, NotNegative, Odd, Options, Positive, Share, Whole

TERMS = (schema.NOMINAL, "edge_placement", "sites", "pv_band", "corners", "outline")

# In fewer evaluations than these L-BFGS learns little of the objective of a leg.
_SHORTEST_LEG = 10
# Images are periodic, masks are not: along the field's border this much stays dark, where no target is this near.
_FRAME_NM, _BESIDE_NM = 16.0, 64.0


@dataclass(frozen=True, kw_only=True)
class Sites(Options):
    """Where a checker looks at the placement of edges, and what it makes of it.

    Attributes
    ----------
    spacing_nm : sites so far apart along all straight edges; None for those of the ICCAD 2013 contest
        (:func:`maskopt_lib.metrics.epe.target_sites`).
    places_nm : other sites instead: y, x, and the outward normal in y and x; for every target of a batch the same.
    limit_nm, width_nm, pull : the limit, the softness of the count, and the pull of what exceeds the limit, see
        :func:`~maskopt_lib.opc.edges.misplaced`.
    far_nm, far_width_nm : a second limit and its softness, see :func:`~maskopt_lib.opc.edges.lost`; 0 for none.
    """

    spacing_nm: Positive | None = None
    places_nm: Sequence[tuple[Finite, Finite, Finite, Finite]] = ()
    limit_nm: Positive = 3.0
    width_nm: Positive = 0.5
    pull: Finite = 0.6
    far_nm: NotNegative = 15.0
    far_width_nm: Positive = 2.5

    def of(self, target: np.ndarray, pixel_nm: float) -> np.ndarray:
        """(site, 4): the places and unit normals on one target."""
        if len(self.places_nm):
            y, x, *normal = np.array(self.places_nm, float).T
            return np.stack([y, x, *(normal / np.hypot(*normal))], axis=1)
        if self.spacing_nm is None:
            return contest_sites(target, pixel_nm)
        return straight_edges(target, pixel_nm, spacing_nm=self.spacing_nm)


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
    free_optimizer : of these, see :class:`~maskopt_lib.opc.descent.Stepper`. ``"lbfgs"`` needs an objective that stays
        what it is, so for it the resist gets steeper in ``free_legs`` legs instead of with each step.
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


#: Compared on every 45th StdMetal clip before the last projection; notebook 18 does it again on clips of its own.
#: L-BFGS and Adam reach one sum of L2 and PV band in as many evaluations, L-BFGS with fewer misplaced edges; more
#: weight of the PV band in the free steps than after them has the least sum; twice the pull at the sites takes an
#: eighth of the violations more at the same sum; coarse pixels first save little, since imaging gets no cheaper. It is
#: no blind choice: that a term at the sites wins was found on the ICCAD13 clips.
TUNED = RuleAwareOptions()

#: For less than half of the time: fewer steps, assist features near the target only.
FAST = replace(
    TUNED,
    free_steps=60,
    free_legs=2,
    n_steps=20,
    pvb_weight=3.4,
    resist_steepness=(50.0, 100.0),
    reach_nm=400.0,
    energy_lost=1e-2,
)

#: For isolated contacts, whose PV band is larger than their L2: chosen on every 30th StdContact clip, where L-BFGS has
#: both less L2 and less PV band than Adam.
CONTACT = replace(TUNED, pvb_weight=4.6)

#: For those who want edges: a violation at a site counts three times as much.
PLACEMENT = replace(TUNED, site_weight=3.0, pvb_weight=3.6)

PRESETS = {"tuned": TUNED, "fast": FAST, "contact": CONTACT, "placement": PLACEMENT}


def solve(
    target: Tensor,
    sim: Simulator,
    options: RuleAwareOptions,
    *,
    initial: Tensor | None,
    weights: Tensor | None = None,
    **loop,
) -> OpcResult:
    """Optimise masks that keep a rule deck for a batch of targets, from the targets or first masks.

    ``weights`` (batch, y, x) say how much each place counts in the areas between print and target, between the outer
    and the inner print, and along straight edges.

    The simulator needs the corners of ``corner_weights`` as well. A stop condition ends the free steps, and each round,
    for itself; the next part goes on from there.

    Returns
    -------
    The result; its history holds the free steps and the rounds one after the other, each from its own start.
    """
    phases = Phases()
    pixel_nm = sim.grid(target).pixel_nm
    factor = whole(options.pixel_nm, pixel_nm, "pixel_nm")
    between_nm = max(options.projection_nm, pixel_nm)
    between = whole(between_nm, pixel_nm, "projection_nm")
    finer = whole(options.pixel_nm, between_nm, "pixel_nm")

    start = target if initial is None else initial
    n = target.shape[-1] // factor
    window = square(n, central(n, options.window_nm, options.pixel_nm), sim.device)
    wanted = coarse(target, factor, sim.dtype)
    free = _near(wanted, options) & window
    kept = torch.zeros_like(target) if initial is None else (initial >= 0.5).to(target.dtype)
    around = coarse(kept, factor, sim.dtype) * ~window
    objective = _Objective.of(target, wanted, sim, options, around=around, free=free, weights=weights)
    parts = []
    phases("prepare")

    def follow(name: str, start: Tensor, terms: Callable, stepper: Stepper, n_steps: int, weights: tuple) -> Tensor:
        """The parameters at the end of one part."""
        part = descend(start, terms, stepper, n_steps=n_steps, weights=weights, name=f"rule_aware, {name}", **loop)
        parts.append((name, part))
        return part.parameter

    # Latent image and displaced distance are both positive inside: what is projected is where they are.
    if options.free_steps:
        latent = coarse(start, factor, sim.dtype)
        stepper = Stepper(optimizer=options.free_optimizer, learning_rate=options.free_rate, schedule="cosine")
        for name, leg, n_steps, size in _legs(options):
            at = objective if size == 1 else objective.coarser(size)
            latent = latent if size == 1 else coarse(latent, size, sim.dtype)
            terms = partial(at.of_latent, leg=leg)
            latent = follow(name, latent, terms, stepper, n_steps, options.free_weights)
            latent = fine_bicubic(latent, size)
        inside = smooth(latent, options.smoothing_px) - options.mask_offset
    else:
        inside = coarse(start, factor, sim.dtype) - 0.5
    phases("optimise")

    stepper = Stepper(optimizer=options.outline_optimizer, learning_rate=options.rate_nm, schedule="cosine")
    for i in range(options.n_rounds):
        binary = _binary(inside, finer, free, around)
        if i == 0 and not options.free_steps:
            binary = (coarse(start, between, sim.dtype) >= 0.5).to(torch.uint8)
        binary, _ = _projected(binary, between_nm, options, window, target)
        bounded = BoundedOutlines.of(
            binary, options.deck, sim, pixel_nm=between_nm, grid_nm=options.pixel_nm, smoothing_px=options.smoothing_px
        )
        phases("project")
        displacement = follow(
            f"round {i + 1}",
            torch.zeros_like(bounded.start),
            lambda displacement, step, bounded=bounded: objective.of_distance(bounded(displacement)),
            stepper,
            options.n_steps,
            options.weights,
        )
        inside = bounded(displacement)
        phases("optimise")

    mask = torch.where(fine_nearest(window[None], factor), _binary(inside, factor, free, around), kept)
    mask, broken = _projected(mask, pixel_nm, options, window, target)
    phases("project")
    nothing = Descent(inside, np.zeros((1, len(mask), len(TERMS))), "no steps asked for")
    descent = Descent.joined(parts) if parts else nothing
    result = collect("rule_aware", mask, [descent], TERMS, options.weights, phases)
    return replace(result, violations=broken)


def _near(wanted: Tensor, options: RuleAwareOptions) -> Tensor:
    """(b, y, x) boolean: where the mask may be clear for its distance from the target and from the field's border."""
    frame = round(_FRAME_NM / options.pixel_nm)
    inside = np.zeros(wanted.shape[-2:], bool)
    inside[frame:-frame, frame:-frame] = True
    near = []
    for clip in wanted.cpu().numpy():
        # An empty target is far from everywhere.
        away_nm = distance((clip <= 0).astype(np.uint8)) * options.pixel_nm
        reached = away_nm <= (np.inf if options.reach_nm is None else options.reach_nm)
        near.append(reached & (inside | (away_nm <= _BESIDE_NM)))
    return torch.as_tensor(np.stack(near), device=wanted.device)


def _binary(inside: Tensor, factor: int, free: Tensor, around: Tensor) -> Tensor:
    """(b, y, x) uint8 on pixels ``factor`` times smaller."""
    inside = torch.where(free, inside, (around - 0.5) * inside.abs().amax())
    return (fine_bicubic(inside, factor) >= 0).to(torch.uint8)


def _projected(
    mask: Tensor, pixel_nm: float, options: RuleAwareOptions, window: Tensor, target: Tensor
) -> tuple[Tensor, tuple[tuple[Violation, ...], ...]]:
    """Masks that keep the deck, and for each what it does not keep."""
    n = mask.shape[-1]
    fixed = ~fine_nearest(window[None], n // window.shape[-1])[0].cpu().numpy()
    fixed = fixed if fixed.any() else None
    main = coarse(target, target.shape[-1] // n, torch.float32) >= 0.5
    projected = [
        options.deck.project(clip, pixel_nm, grow=options.grow, fixed=fixed, main=features)
        for clip, features in zip(mask.cpu().numpy(), main.to(torch.uint8).cpu().numpy(), strict=True)
    ]
    masks, violations = zip(*projected, strict=True)
    return torch.as_tensor(np.stack(masks), device=mask.device), violations


@dataclass(frozen=True)
class _Objective:
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
    ) -> _Objective:
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
        sites = [options.sites.of(clip, pixel_nm) for clip in clips]
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
    ) -> _Objective:
        prints = Prints.around(wanted, free.any(0) | (around > 0).any(0), sim, weights)
        return cls(wanted, around, free, sim, *more, SampledIntensity(sim, wanted.shape[-1]), prints, weights)

    def coarser(self, factor: int) -> _Objective:
        """The same on pixels ``factor`` times as large."""
        wanted, around, free = (coarse(t, factor, self.sim.dtype) for t in (self.wanted, self.around, self.free))
        weights = None if self.weights is None else coarse(self.weights, factor, self.sim.dtype)
        return self._on(wanted, around, free > 0.5, weights, self.sim, self.points, self.n_points, self.options)

    def of_latent(self, latent: Tensor, step: int, leg: float | None) -> tuple[Tensor, ...]:
        """Terms of a latent image, at a step or where a leg is, from 0 to 1."""
        o = self.options
        first, last = o.resist_steepness
        done = min(step / o.free_steps, 1.0) if leg is None else leg
        mask = torch.sigmoid(o.mask_steepness * (smooth(latent, o.smoothing_px) - o.mask_offset))
        return self.terms(mask, first * (last / first) ** done)

    def of_distance(self, inside: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            # Flat places are where shapes are far: the mask there is as grey as its distance says.
            length = (_squared_gradient(inside) + 1.0).sqrt()
        return self.terms(
            torch.sigmoid(inside / (self.options.edge_width_px * length)), self.options.resist_steepness[1]
        )

    def terms(self, mask: Tensor, steepness: float) -> tuple[Tensor, ...]:
        """(b,) each."""
        o, sim = self.options, self.sim
        mask = torch.where(self.free, mask, self.around)
        samples = self.intensity(mask)
        area = (sim.kernels.period_nm / mask.shape[-1]) ** 2
        fidelity, band = (area * self.prints.areas(samples, steepness)).unbind(-1)
        nominal = sim.corner(schema.NOMINAL)
        image, zero = nominal.intensity_factor * samples[:, nominal.focus], mask.new_zeros(len(mask))
        shift, missed, *far = self.points.displacement(image, sim.threshold).split(self.n_points, dim=1)
        _, counts, *_ = self.points.counts.split(self.n_points, dim=1)
        placed = misplaced(missed, counts, o.sites.limit_nm, o.sites.width_nm, o.sites.pull)
        for excess in far:
            placed = placed + lost(excess, counts, o.sites.far_nm, o.sites.far_width_nm, o.sites.pull)
        corners = (w * area * self.prints.fidelity(samples, c, steepness) for c, w in o.corner_weights)
        return (
            fidelity,
            between_edges(shift, o.edge_scale_nm),
            placed,
            band,
            sum(corners, zero),
            area**0.5 * (_squared_gradient(mask) + 1e-6).sqrt().sum((-2, -1)) if o.complexity_weight else zero,
        )


def _legs(options: RuleAwareOptions) -> Iterator[tuple[str, float | None, int, int]]:
    """The free steps in parts: name, where the resist's steepness is, from 0 to 1 or with the steps, number of steps,
    and how many times larger than the grid's the pixels are."""
    if options.free_optimizer != "lbfgs":
        yield "free", None, options.free_steps, 1
        return
    legs = max(min(options.free_legs, options.free_steps // _SHORTEST_LEG), 1)
    ends = np.linspace(0, options.free_steps, legs + 1).round().astype(int)
    for i, n_steps in enumerate(np.diff(ends).tolist()):
        size = whole(options.coarse_nm or options.pixel_nm, options.pixel_nm, "coarse_nm") if i == 0 else 1
        yield f"free, leg {i + 1}", i / max(legs - 1, 1), n_steps, size


def _squared_gradient(image: Tensor) -> Tensor:
    """(b, y, x): squared length of the gradient by central differences, per pixel."""
    wide = F.pad(image[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    along_y, along_x = wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1], wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]
    return (along_y.square() + along_x.square()) / 4
