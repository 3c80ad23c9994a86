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
  rises at the limit and keeps rising with the displacement, in nm2 as everything else. The checker's far limit is
  probed where the checker probes it (:func:`~maskopt_lib.opc.edges.lost`), or a feature could be left out for the PV
  band that it saves;
- if asked for, the outline's length as a measure of complexity, and the prints at any further process corners.

References
----------
S. Osher, J. A. Sethian, J. Comput. Phys. 79 (1988), for outlines as level sets; the rest is this study's own, and so
are the constants (notebook 18).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.descent import SECOND_ORDER, Descent, Phases, Stepper, collect, descend
from maskopt_lib.opc.distances import distance
from maskopt_lib.opc.mask_rules import Violation
from maskopt_lib.opc.outlines import BoundedOutlines
from maskopt_lib.opc.pixels import central, coarse, fine_bicubic, fine_nearest, smooth, square, whole
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.opc.rule_aware_terms import FRAME_NM, TERMS, Objective, RuleAwareOptions

# In fewer evaluations than these a descent of second order learns little of the objective of a leg.
_SHORTEST_LEG = 10
# A last projection that costs this share of the objective cut or joined something; others cost some thousandths.
_DEAR, _SPARE_ROUNDS = 0.03, 2
# Where a target is this near, the frame along the field's border need not stay dark.
_BESIDE_NM = 64.0


#: Compared on every 45th StdMetal clip before the last projection; notebook 18 does it again on clips of its own.
#: L-BFGS and Adam reach one sum of L2 and PV band in as many evaluations, L-BFGS with fewer misplaced edges; more
#: weight of the PV band in the free steps than after them has the least sum; twice the pull at the sites takes an
#: eighth of the violations more at the same sum; coarse pixels first save little, since imaging gets no cheaper. The
#: far limit brings back a contact that did not print, and costs nothing where all print. It is no blind choice: that a
#: term at the sites wins was found on the ICCAD13 clips, as was what the far limit is for.
TUNED = RuleAwareOptions()

#: For less than half of the time: fewer steps, assist features near the target only. Of PV band weights from 3.4 to 4.2
#: the middle one has nearly the least sum of L2 and PV band on StdMetal clips, and misplaces fewer edges than the last.
FAST = replace(
    TUNED,
    free_steps=60,
    free_legs=2,
    n_steps=20,
    pvb_weight=3.9,
    resist_steepness=(50.0, 100.0),
    reach_nm=400.0,
    energy_lost=1e-2,
)

#: For isolated contacts, whose PV band is larger than their L2: chosen on every 30th StdContact clip, where L-BFGS has
#: both less L2 and less PV band than Adam.
CONTACT = replace(TUNED, pvb_weight=4.6)

#: For those who want edges: a violation at a site counts six times as much. On StdMetal clips that leaves a quarter of
#: the violations of 3 nm, three times as much somewhat more. PV band weights of 4.2, 4.8 and 5.2 have one sum of L2
#: and PV band there, to 0.2 %, and the last one violation of 3 nm in three clips more; it was taken for what it gives
#: on the ten ICCAD13 clips.
PLACEMENT = replace(TUNED, site_weight=6.0, pvb_weight=5.2)

#: For curves much larger than ``wavelength / NA``, as in photonics: only their outline moves, without a free start.
#: They print without assist features, and what a free start leaves in their midst no foundry wants to see. Their light
#: depends on where edges are, so the PV band has less to say: at the weight of `FAST` straight guides print 3 nm wide.
#: Of 3.9, 1.0 and 0.3, looked at on one ring with its guides, the last two print alike and the first worse.
OUTLINE = replace(FAST, free_steps=0, n_steps=30, pvb_weight=1.0)

PRESETS = {"tuned": TUNED, "fast": FAST, "contact": CONTACT, "placement": PLACEMENT, "outline": OUTLINE}


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
    for itself; the next part goes on from there. Where a clip's mask costs noticeably more than before its last
    projection, or than at the end of the free steps, up to two rounds follow those of ``n_rounds``, if there are some
    and they have ten steps or more; the rest of a batch takes the steps as well, and keeps the masks that it had.

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
    objective = Objective.of(target, wanted, sim, options, around=around, free=free, weights=weights)
    parts = []
    phases("prepare")

    def follow(
        name: str, start: Tensor, terms: Callable, stepper: Stepper, n_steps: int, weights: tuple, **more
    ) -> Tensor:
        """The parameters at the end of one part."""
        settings = {"n_steps": n_steps, "weights": weights, "name": f"rule_aware, {name}"}
        part = descend(start, terms, stepper, **settings, **more, **loop)
        parts.append((name, part))
        return part.parameter

    # Latent image and displaced distance are both positive inside: what is projected is where they are.
    if options.free_steps:
        latent = coarse(start, factor, sim.dtype)
        stepper = Stepper(optimizer=options.free_optimizer, learning_rate=options.free_rate, schedule="cosine")
        for name, leg, n_steps, size in _legs(options):
            at = objective if size == 1 else objective.coarser(size)
            latent = latent if size == 1 else coarse(latent, size, sim.dtype)
            terms, outputs = (partial(of, leg=leg) for of in (at.of_latent, at.outputs))
            latent = follow(name, latent, terms, stepper, n_steps, options.free_weights, outputs=outputs)
            latent = fine_bicubic(latent, size)
        inside = smooth(latent, options.smoothing_px) - options.mask_offset
    else:
        inside = coarse(start, factor, sim.dtype) - 0.5
    phases("optimise")

    stepper = Stepper(optimizer=options.outline_optimizer, learning_rate=options.rate_nm, schedule="cosine")
    # What it costs before the mask has edges: grey features that do not print may do so once they are clear.
    grey = np.full(len(target), np.inf) if not parts else parts[-1][1].history[-1] @ np.asarray(options.weights)
    dear_nm2 = (1 + _DEAR) * torch.as_tensor(grey, device=sim.device)
    ends = _Ends(objective)

    def end(candidate: Tensor, of: Tensor) -> Tensor:
        """Project what steps left, or began from, and enter it for clips ``of``; (b,) whether that was dear."""
        drawn = torch.where(fine_nearest(window[None], factor), candidate, kept)
        before = objective.of_mask(drawn)
        return ends.enter(*_projected(drawn, pixel_nm, options, window, target), of) > (1 + _DEAR) * before

    begun: list[tuple[Tensor, Tensor]] = []
    dear = torch.ones(len(target), dtype=torch.bool, device=sim.device)
    spare = _SPARE_ROUNDS if options.n_rounds and options.n_steps >= _SHORTEST_LEG else 0
    while (i := len(begun)) < options.n_rounds or (i < options.n_rounds + spare and dear.any()):
        binary = _binary(inside, finer, free, around)
        if i == 0 and not options.free_steps:
            binary = (coarse(start, between, sim.dtype) >= 0.5).to(torch.uint8)
        binary, _ = _projected(binary, between_nm, options, window, target)
        begun.append((binary, dear))
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
        if i + 1 >= options.n_rounds:
            # What a projection cut or joined, or a threshold made print, the steps of one more round mend.
            was_cut = end(_binary(inside, factor, free, around), dear)
            dear = dear & (was_cut | (ends.cost > dear_nm2))
            phases("project")
    if not begun:
        end(_binary(inside, factor, free, around), dear)
    for earlier, of in begun:
        # A projection may cost more than the steps before it gained: then a round was in vain.
        if (objective.of_mask(earlier) < ends.cost)[of].any():
            end(fine_nearest(earlier, between), of)
    mask, broken = ends.mask, ends.broken
    phases("project")
    nothing = Descent(inside, np.zeros((1, len(mask), len(TERMS))), "no steps asked for")
    descent = Descent.joined(parts) if parts else nothing
    result = collect("rule_aware", mask, [descent], TERMS, options.weights, phases)
    return replace(result, violations=broken)


class _Ends:
    """Projected masks that a solve could end with: of each clip the one with the least objective so far."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self.mask = self.cost = torch.empty(0)
        self.broken: tuple[tuple[Violation, ...], ...] = ()

    def enter(self, mask: Tensor, broken: tuple[tuple[Violation, ...], ...], of: Tensor) -> Tensor:
        """Enter masks and the rules that they break for clips ``of``; (b,) their objective, in nm2."""
        cost = self._objective.of_mask(mask)
        if not len(self.mask):
            self.mask, self.cost, self.broken = mask, cost, broken
            return cost
        better = of & (cost < self.cost)
        self.mask = torch.where(better[:, None, None], mask, self.mask)
        self.cost = torch.where(better, cost, self.cost)
        pairs = zip(broken, self.broken, better.tolist(), strict=True)
        self.broken = tuple(new if is_better else old for new, old, is_better in pairs)
        return cost


def _near(wanted: Tensor, options: RuleAwareOptions) -> Tensor:
    """(b, y, x) boolean: where the mask may be clear for its distance from the target and from the field's border."""
    frame = round(FRAME_NM / options.pixel_nm)
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


def _legs(options: RuleAwareOptions) -> Iterator[tuple[str, float | None, int, int]]:
    """The free steps in parts: name, where the resist's steepness is, from 0 to 1 or with the steps, number of steps,
    and how many times larger than the grid's the pixels are."""
    if options.free_optimizer not in SECOND_ORDER:
        yield "free", None, options.free_steps, 1
        return
    legs = max(min(options.free_legs, options.free_steps // _SHORTEST_LEG), 1)
    ends = np.linspace(0, options.free_steps, legs + 1).round().astype(int)
    for i, n_steps in enumerate(np.diff(ends).tolist()):
        size = whole(options.coarse_nm or options.pixel_nm, options.pixel_nm, "coarse_nm") if i == 0 else 1
        yield f"free, leg {i + 1}", i / max(legs - 1, 1), n_steps, size
