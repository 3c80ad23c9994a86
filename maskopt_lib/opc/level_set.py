"""Level-set ILT: the mask is where a signed distance is negative, and its outline moves down the gradient.

``phi`` is the signed distance to the mask's outline in nm, negative inside. Moving the outline outward by ``d`` lowers
``phi`` there by ``d |grad phi|`` and changes the objective by ``d`` times its derivative ``g`` by the mask, so ``phi``
follows ``phi_t = g |grad phi|``. Images are band-limited, hence so is ``g``: it is smooth and defined everywhere, and
needs no extension away from the outline. The scheme :data:`SIGNED_DISTANCE` adds to that

- a mask that is grey over one pixel around its outline, so that areas and images see moves below a pixel and a grid
  coarser than the target's will do; the outline is drawn on the target's grid from the interpolated ``phi``;
- Godunov's upwind ``|grad phi|``, which keeps kinks from oscillating;
- a step limited to a share of a pixel (the condition of Courant, Friedrichs and Lewy), for each clip on its own;
- re-distancing, which holds ``|grad phi|`` at 1 near the outline without moving it;
- flow by mean curvature, which rounds what costs nothing to round;
- nucleation: an outline can move, split and merge but not appear, so without it there are no assist features. Where a
  small new shape would lower the objective most (the topological derivative, here ``g`` itself) one is put.

:data:`OPENILT` is the plain variant of OpenILT: hard mask, central differences, Adam, none of the above. Its ``phi``
is never a distance again after the first step; the same drift lets distant ``phi`` cross zero, so shapes may appear.

References
----------
S. Osher, J. A. Sethian, "Fronts propagating with curvature-dependent speed", J. Comput. Phys. 79 (1988).
M. Sussman, P. Smereka, S. Osher, "A level set approach for computing solutions to incompressible two-phase flow",
J. Comput. Phys. 114 (1994). G. Russo, P. Smereka, "A remark on computing distance functions", J. Comput. Phys. 163
(2000): the re-distancing that keeps the zero level. OpenILT (github.com/OpenOPC/OpenILT), ``pyilt/levelset.py`` and
``config/pylevelset2048.txt``, whose constants were read there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.cleanup import CleanUp
from maskopt_lib.opc.descent import Optimizer, Phases, Schedule, Stepping, collect, descend
from maskopt_lib.opc.distances import signed_distance
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.pixels import central, coarse, fine_bicubic, whole
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, NotNegative, Options, Positive, Share, Whole

TERMS = ("fidelity", "corner_fidelity", "pv_band")
Gradient = Literal["central", "godunov"]


@dataclass(frozen=True, kw_only=True)
class Nucleation(Options):
    """New shapes far from the outline, where they lower the objective most.

    Attributes
    ----------
    steps : the steps at which shapes may appear.
    distance_nm : at least so far from the outline.
    share : where the derivative by the mask falls below this share of its lowest value so far out, in 0 to 1.
    """

    steps: tuple[int, ...]
    distance_nm: NotNegative
    share: Share


@dataclass(frozen=True, kw_only=True)
class LevelSetOptions(Stepping):
    """Everything that can be set; the defaults are OpenILT's.

    Attributes
    ----------
    pixel_nm : pixel of the optimisation's grid, a whole multiple of the target's; None takes the target's.
    image_pixel_nm : pixel of the grid on which prints are compared with the target and among themselves, a whole
        multiple of the target's; None takes ``pixel_nm``. Images are smooth, so it may be the coarser of the two.
    n_steps : gradient steps.
    optimizer, learning_rate, schedule : how ``phi`` moves, see :class:`~maskopt_lib.opc.descent.Stepper`. The
        gradient is that of a sum over the image's pixels; with Adam the rate is in nm.
    window_nm : side of the central square in which the mask may change; None for all.
    fidelity_corner : corner whose resist image is compared with the target.
    fidelity_weight : of that comparison.
    corner_weight : of the same comparison for the outer and the inner corner together.
    pvb_weight : of the squared difference between the outer and the inner image.
    gradient : ``|grad phi|`` by ``"central"`` differences or by ``"godunov"``'s upwind scheme.
    soft_px : width, in pixels of the optimisation's grid, over which the mask goes from 0 to 1; 0 for a hard mask.
    cfl : largest change of ``phi`` in a step, in pixels of the optimisation's grid; None for no limit.
    redistance_every : steps between re-distancings; None for none.
    redistance_iterations : of each; half a pixel of distance from the outline is put right by each.
    curvature_nm2 : by ``phi += curvature_nm2 * curvature * |grad phi|`` each step moves a circle of radius r inward by
        ``curvature_nm2 / r``; stable up to a quarter of a pixel's area.
    nucleation : new shapes; None for none.
    keep : the masks of the ``"last"`` step, or of each clip's ``"best"``.
    cleanup : final clean-up; None only draws the outline.
    """

    pixel_nm: Positive | None = None
    image_pixel_nm: Positive | None = None
    n_steps: Count = 50
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 0.8
    schedule: Schedule = "constant"
    window_nm: Positive | None = 1024.0
    fidelity_corner: str = schema.NOMINAL
    fidelity_weight: Finite = 1.0
    corner_weight: Finite = 1.0
    pvb_weight: Finite = 0.0
    gradient: Gradient = "central"
    soft_px: NotNegative = 0.0
    cfl: Positive | None = None
    redistance_every: Count | None = None
    redistance_iterations: Whole = 5
    curvature_nm2: NotNegative = 0.0
    nucleation: Nucleation | None = None
    keep: Literal["best", "last"] = "best"
    cleanup: CleanUp | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the terms."""
        return self.fidelity_weight, self.corner_weight, self.pvb_weight


#: What OpenILT's program does, but for the prints: it compares them at every nanometre, this at every fourth, which
#: costs a tenth of the time and moves the scores by some tenths of a percent (``image_pixel_nm=None`` is the original).
OPENILT = LevelSetOptions(image_pixel_nm=4.0)

#: The full scheme on a coarser grid; constants chosen by hand on ten clips of StdMetal.
SIGNED_DISTANCE = LevelSetOptions(
    pixel_nm=8.0,
    n_steps=150,
    learning_rate=4.0,
    schedule="cosine",
    window_nm=None,
    corner_weight=0.0,
    pvb_weight=1.0,
    gradient="godunov",
    soft_px=1.0,
    cfl=0.5,
    redistance_every=5,
    curvature_nm2=0.25,
    nucleation=Nucleation(steps=tuple(range(5, 60, 5)), distance_nm=50.0, share=0.2),
    cleanup=CleanUp(),
)

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band): the start itself.
TUNED = SIGNED_DISTANCE

#: For lonely vias and contacts, of which the full scheme with its weight on the PV band prints nothing.
CONTACT = OPENILT

PRESETS = {"openilt": OPENILT, "signed-distance": SIGNED_DISTANCE, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: LevelSetOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise masks for a batch of targets, from the targets or where first masks cross 0.5."""
    phases = Phases()
    target_pixel_nm = sim.grid(target).pixel_nm
    pixel_nm = options.pixel_nm or target_pixel_nm
    factor = whole(pixel_nm, target_pixel_nm, "pixel_nm")
    image_pixel_nm = options.image_pixel_nm or pixel_nm
    image_factor = whole(image_pixel_nm, target_pixel_nm, "image_pixel_nm")
    first = target if initial is None else initial >= 0.5
    start = coarse(phi_of(first, target_pixel_nm), factor, sim.dtype)
    window = central(start.shape[-1], options.window_nm, pixel_nm)
    phases("prepare")

    flow = _Flow(coarse(target, image_factor, sim.dtype), start, window, pixel_nm, sim, options)
    descent = descend(
        start[:, window, window],
        flow.objective,
        options.stepper,
        n_steps=options.n_steps,
        weights=options.weights,
        keep=options.keep,
        on_step=flow.on_step,
        name="level_set",
        **loop,
    )
    phases("optimise")

    start[:, window, window] = descent.parameter
    mask = (fine_bicubic(start, factor) < 0).to(torch.uint8)
    if options.cleanup:
        mask = options.cleanup(mask, target_pixel_nm)
    phases("finish")
    return collect("level_set", mask, [descent], TERMS, options.weights, phases)


class _Flow:
    """The objective of a batch of distances, and the rules by which they move."""

    def __init__(self, wanted: Tensor, start: Tensor, window: slice, pixel_nm: float, sim, options) -> None:
        self.wanted, self.window = wanted, window
        self.pixel_nm, self.sim, self.options = pixel_nm, sim, options
        self.frozen = self._mask(start)
        self.before, self.by_mask = start, None

    def _mask(self, phi: Tensor) -> Tensor:
        return soft_mask(phi, self.options.soft_px * self.pixel_nm, self.pixel_nm, gradient=self.options.gradient)

    def objective(self, phi: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        o = self.options
        self.before = phi.detach().clone()
        mask = self._mask(phi)
        if o.nucleation and mask.requires_grad:
            mask.register_hook(self._remember)
        if mask.shape != self.frozen.shape:
            inside, mask = mask, self.frozen.clone()
            mask[:, self.window, self.window] = inside
        n_out = self.wanted.shape[-1]
        corners = sorted({o.fidelity_corner, schema.INNER, schema.OUTER})
        resist = dict(zip(corners, self.sim.resist(mask, n_out=n_out, corners=corners).unbind(-3), strict=True))
        apart = {corner: squared_difference(image, self.wanted) for corner, image in resist.items()}
        band = squared_difference(resist[schema.INNER], resist[schema.OUTER])
        return apart[o.fidelity_corner], apart[schema.INNER] + apart[schema.OUTER], band

    def _remember(self, by_mask: Tensor) -> None:
        self.by_mask = by_mask

    def on_step(self, phi: Tensor, step: int) -> Tensor:
        o = self.options
        change = phi - self.before
        if o.curvature_nm2:
            change = change + curvature_change(self.before, o.curvature_nm2, self.pixel_nm)
        if o.cfl is not None:
            change = limited(change, o.cfl * self.pixel_nm)
        phi = self.before + change
        if o.nucleation and step in o.nucleation.steps:
            phi = nucleated(phi, self.by_mask, o.nucleation)
        if o.redistance_every and (step + 1) % o.redistance_every == 0:
            phi = redistanced(phi, self.pixel_nm, o.redistance_iterations)
        return phi


def phi_of(mask: Tensor, pixel_nm: float) -> Tensor:
    """``phi`` of binary masks: the signed distance of pixel centres from the outline.

    Parameters
    ----------
    mask : (b, y, x), 0 or 1.
    pixel_nm : side of a pixel.

    Returns
    -------
    (b, y, x) float64 in nm, negative inside: :func:`~maskopt_lib.opc.distances.signed_distance` with its sign turned.
    """
    inside = [signed_distance(clip, np.float64) for clip in mask.cpu().numpy().astype(np.uint8)]
    return torch.as_tensor(-pixel_nm * np.stack(inside), device=mask.device)


def soft_mask(phi: Tensor, width_nm: float, pixel_nm: float, *, gradient: str = "central") -> Tensor:
    """The mask inside the zero level of ``phi``, differentiable in the sense of a moving outline.

    Parameters
    ----------
    phi : (b, y, x) in nm, negative inside.
    width_nm : over which the mask goes from 1 to 0, linearly; with a pixel's side the mask is the share of each pixel
        that a horizontal or vertical outline covers. 0 for a hard mask.
    pixel_nm : side of a pixel.
    gradient : how ``|grad phi|`` is taken in the backward pass, one of :data:`Gradient`.

    Returns
    -------
    (b, y, x) in [0, 1].

    Notes
    -----
    The gradient handed back for ``phi`` is ``-g |grad phi|`` everywhere, ``g`` being the derivative by the mask: the
    speed of the outline and its natural continuation, not the derivative of the ramp.
    """
    return _SoftMask.apply(phi, width_nm, pixel_nm, gradient)


class _SoftMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx, phi, width_nm, pixel_nm, gradient):
        ctx.save_for_backward(phi)
        ctx.pixel_nm, ctx.gradient = pixel_nm, gradient
        return (0.5 - phi / width_nm).clamp(0, 1) if width_nm else (phi < 0).to(phi.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, by_mask):
        (phi,) = ctx.saved_tensors
        if ctx.gradient == "central":
            steepness = central_steepness(phi, ctx.pixel_nm)
        else:
            steepness = godunov_steepness(phi, by_mask > 0, ctx.pixel_nm)
        return -by_mask * steepness, None, None, None


def _padded(phi: Tensor) -> Tensor:
    return F.pad(phi[:, None], [1] * 4, mode="replicate")[:, 0]


def _one_sided(phi: Tensor, pixel_nm: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Backward and forward differences along x, then along y, with replicated border: (b, y, x) each."""
    wide = _padded(phi)
    along_x, along_y = wide[:, 1:-1].diff(dim=-1) / pixel_nm, wide[..., 1:-1].diff(dim=-2) / pixel_nm
    return along_x[..., :-1], along_x[..., 1:], along_y[:, :-1], along_y[:, 1:]


def central_steepness(phi: Tensor, pixel_nm: float) -> Tensor:
    """``|grad phi|`` by central differences with replicated border: (b, y, x), dimensionless."""
    back_x, ahead_x, back_y, ahead_y = _one_sided(phi, pixel_nm)
    return torch.hypot(back_x + ahead_x, back_y + ahead_y) / 2


def godunov_steepness(phi: Tensor, grows: Tensor, pixel_nm: float) -> Tensor:
    """``|grad phi|`` by Godunov's upwind differences.

    Parameters
    ----------
    phi : (b, y, x) in nm.
    grows : (b, y, x) boolean: where ``phi`` is about to grow, its neighbourhood's lower values are what arrives.
    pixel_nm : side of a pixel.

    Returns
    -------
    (b, y, x), dimensionless.
    """
    back_x, ahead_x, back_y, ahead_y = _one_sided(phi, pixel_nm)
    # A level that rises moves towards lower values: information comes from higher ones, and the other way round.
    sign = torch.where(grows, -1.0, 1.0).to(phi.dtype)
    squares = 0
    for back, ahead in ((back_x, ahead_x), (back_y, ahead_y)):
        squares = squares + torch.maximum((sign * back).clamp_min(0), (-sign * ahead).clamp_min(0)).square()
    return squares.sqrt()


def curvature_change(phi: Tensor, weight_nm2: float, pixel_nm: float) -> Tensor:
    """``weight * curvature * |grad phi|`` by central differences: (b, y, x) in nm.

    For a circle of radius r it is ``weight / r``: added to ``phi`` it moves the outline inward by so much.
    """
    wide = _padded(phi)
    middle = wide[:, 1:-1, 1:-1]
    x = (wide[:, 1:-1, 2:] - wide[:, 1:-1, :-2]) / 2
    y = (wide[:, 2:, 1:-1] - wide[:, :-2, 1:-1]) / 2
    xx = wide[:, 1:-1, 2:] - 2 * middle + wide[:, 1:-1, :-2]
    yy = wide[:, 2:, 1:-1] - 2 * middle + wide[:, :-2, 1:-1]
    xy = (wide[:, 2:, 2:] - wide[:, 2:, :-2] - wide[:, :-2, 2:] + wide[:, :-2, :-2]) / 4
    # The smallest denominator is that of a kink; its curvature is meaningless and must not blow up.
    squares = (x.square() + y.square()).clamp_min(1e-3 * pixel_nm**2)
    bend = (xx * y.square() - 2 * xy * x * y + yy * x.square()) / squares
    # A radius below a pixel is no radius.
    return (weight_nm2 / pixel_nm**2) * bend.clamp(-pixel_nm, pixel_nm)


def limited(change: Tensor, most_nm: float) -> Tensor:
    """Changes (b, y, x) scaled, each clip on its own, so that none exceeds ``most_nm``."""
    largest = change.abs().amax((-2, -1), keepdim=True)
    return change * (most_nm / largest.clamp_min(most_nm))


def redistanced(phi: Tensor, pixel_nm: float, iterations: int) -> Tensor:
    """``phi`` brought closer to a signed distance, its zero level kept.

    Parameters
    ----------
    phi : (b, y, x) in nm.
    pixel_nm : side of a pixel.
    iterations : each puts right about half a pixel more of distance from the outline, on both sides.

    Returns
    -------
    (b, y, x) in nm.

    Notes
    -----
    Iterations of Sussman, Smereka and Osher with the correction of Russo and Smereka: pixels beside the outline are
    pinned to ``phi / |grad phi|`` of the ``phi`` given, so that the outline does not drift.
    """
    sign = torch.sign(phi)
    wide = _padded(phi)
    middle = wide[:, 1:-1, 1:-1]
    neighbours = [wide[:, 1:-1, 2:], wide[:, 1:-1, :-2], wide[:, 2:, 1:-1], wide[:, :-2, 1:-1]]
    beside = (middle * torch.stack(neighbours) < 0).any(0)
    # The steepest of central and one-sided differences: the central one vanishes in shapes of one pixel.
    differences = [d.abs() for d in _one_sided(phi, pixel_nm)]
    steep = torch.maximum(central_steepness(phi, pixel_nm), torch.stack(differences).amax(0)).clamp_min(1e-3)
    pinned = phi / steep
    for _ in range(iterations):
        moved = phi - 0.5 * pixel_nm * sign * (godunov_steepness(phi, sign < 0, pixel_nm) - 1)
        near = phi - 0.5 * (sign * phi.abs() - pinned)
        phi = torch.where(beside, near, moved)
    return phi


def nucleated(phi: Tensor, by_mask: Tensor, rule: Nucleation) -> Tensor:
    """``phi`` with new shapes where the derivative by the mask is lowest, far from the outline.

    Parameters
    ----------
    phi : (b, y, x) in nm.
    by_mask : (b, y, x) derivative of the objective by the mask.
    rule : how far and how low.

    Returns
    -------
    (b, y, x) in nm; below zero also in the new shapes, re-distance it.
    """
    far = phi > rule.distance_nm
    gain = torch.where(far, -by_mask, 0.0)
    most = gain.amax((-2, -1), keepdim=True).clamp_min(torch.finfo(phi.dtype).tiny)
    seeds = rule.distance_nm * (rule.share - gain / most)
    return torch.where(far, torch.minimum(phi, seeds), phi)
