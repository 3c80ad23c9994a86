"""Pixel ILT: gradient descent on every pixel of a mask, as MOSAIC began it and SimpleILT has it.

The mask is ``sigmoid(steepness (P - offset))`` of a latent image ``P``, which starts at ``2 target - 1``. Only the
pixels of a central window move; outside, the mask stays at its first, grey value while it is imaged, and at the target
in the result. The objective adds the prints at the three corners against the target. MOSAIC takes the fourth power of
the difference and pulls the mask towards 0 and 1.

What differs from the sources: the gradient is that of the objective. SimpleILT's program runs on a simulator whose
gradient is that of one kernel, a combination of the 24, so its steps have another length and direction than ours with
the same learning rate.

Any whole pixel can be had. The objective is a sum over its own pixels, and its gradient in one pixel does not depend on
their size, but for what a pixel resolves: on pixels twice as large, a quarter of the pixels compare, each moved by four
times the light. So the learning rates of the sources, which work on 1 nm, hold on every grid and are not scaled. Terms
of the history are in nm2 (sums times the pixel's area).

References
----------
J.-R. Gao, X. Xu, B. Yu, D. Z. Pan, "MOSAIC: Mask Optimizing Solution With Process Window Aware Inverse Correction"
(DAC 2014). Constants of :data:`OPENILT` from SimpleILT in OpenILT (github.com/OpenOPC/OpenILT), of
:data:`LITHOBENCH` from LithoBench (github.com/shelljane/lithobench), of :data:`MOSAIC` from the loop of Neural-ILT
(ICCAD 2020, github.com/cuhk-eda/neural-ilt).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from maskopt_lib.errors import OptionError
from maskopt_lib.litho.sampled import SampledIntensity
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import prints
from maskopt_lib.opc.cleanup import CleanUp
from maskopt_lib.opc.descent import Descent, Optimizer, Phases, Schedule, Stepping, collect, descend
from maskopt_lib.opc.pixels import central, coarse, fine_nearest, square, whole
from maskopt_lib.opc.prints import Prints
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, Positive

TERMS = (*prints.TERMS, "discreteness")


@dataclass(frozen=True, kw_only=True)
class PixelIltOptions(Stepping):
    """Everything that can be set; the defaults are those of OpenILT's SimpleILT.

    Attributes
    ----------
    pixel_nm : pixel of the optimisation's grid; a whole multiple of the target's.
    n_steps : gradient steps.
    optimizer, learning_rate, schedule : how the latent image moves, see :class:`~maskopt_lib.opc.descent.Stepper`.
    nominal_weight, outer_weight, inner_weight : weights of the differences between prints and target.
    pvb_weight : weight of the squared difference between outer and inner print.
    discreteness_weight : weight of the sum of ``4 M (1 - M)`` over the window's mask ``M``.
    exponent : even power of the differences between prints and target.
    mask_steepness, mask_offset : the mask is ``sigmoid(steepness (P - offset))``.
    window_nm : side of the central square that may change; None is all.
    keep : ``"best"`` or ``"last"`` latent image.
    cleanup : final clean-up; None only thresholds.
    """

    pixel_nm: Positive = 1.0
    n_steps: Count = 20
    optimizer: Optimizer = "sgd"
    learning_rate: Positive = 0.5
    schedule: Schedule = "constant"
    nominal_weight: Finite = 1.0
    outer_weight: Finite = 1.0
    inner_weight: Finite = 1.0
    pvb_weight: Finite = 0.0
    discreteness_weight: Finite = 0.0
    exponent: Count = 2
    mask_steepness: Positive = 4.0
    mask_offset: Finite = 0.0
    window_nm: Positive | None = 1024.0
    keep: Literal["best", "last"] = "best"
    cleanup: CleanUp | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.exponent % 2:
            raise OptionError(f"exponent must be even, got {self.exponent}")

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the terms."""
        return self.nominal_weight, self.outer_weight, self.inner_weight, self.pvb_weight, self.discreteness_weight


#: What OpenILT's SimpleILT does.
OPENILT = PixelIltOptions()

#: What made LithoBench's labels.
LITHOBENCH = PixelIltOptions(n_steps=50, learning_rate=0.32, window_nm=1280.0)

#: MOSAIC's objective with the constants of Neural-ILT's loop: fourth power, mask steepness 4, discreteness 0.025.
#: Steps, learning rate and corner weights were not found there; they are A2-ILT's, which has the same objective.
MOSAIC = PixelIltOptions(
    n_steps=30,
    learning_rate=1.5,
    nominal_weight=0.8,
    outer_weight=0.2,
    inner_weight=0.2,
    discreteness_weight=0.025,
    exponent=4,
)

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(
    OPENILT,
    pixel_nm=4.0,
    n_steps=100,
    optimizer="adam",
    learning_rate=0.2,
    schedule="cosine",
    outer_weight=0.5,
    inner_weight=0.5,
    pvb_weight=1.0,
    window_nm=None,
)

#: For lonely vias and contacts: the nominal print alone, as the PV band is least where nothing prints; and a steep mask
#: that is dark where nothing is drawn, for grey surroundings print what no binary ones do.
CONTACT = replace(
    TUNED,
    pixel_nm=8.0,
    n_steps=200,
    outer_weight=0.0,
    inner_weight=0.0,
    pvb_weight=0.0,
    mask_steepness=8.0,
    mask_offset=0.5,
)

PRESETS = {"openilt": OPENILT, "lithobench": LITHOBENCH, "mosaic": MOSAIC, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: PixelIltOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise the pixels of a batch of masks, from the targets or first masks."""
    phases = Phases()
    problem = Problem.pose(target, sim, options, initial)
    phases("prepare")
    descent = problem.descend("pixel_ilt", **loop)
    phases("optimise")
    mask = problem.mask(descent.parameter)
    if options.cleanup:
        mask = options.cleanup(mask, sim.grid(target).pixel_nm)
    phases("finish")
    return collect("pixel_ilt", mask, [descent], TERMS, options.weights, phases)


@dataclass(frozen=True)
class Problem:
    """Latent images of a window, what they start from and what their masks are worth.

    Attributes
    ----------
    start : (b, w, w) first latent images of the window.
    inside : rows, and columns, of the window on the optimisation's grid.
    frame : (b, y, x) first masks, through the sigmoid; what lies outside the window stays.
    prints : what the masks print, against the targets.
    first : (b, y, x) uint8 first masks on the target's grid, binary.
    options : what is set.
    """

    start: Tensor
    inside: slice
    frame: Tensor
    prints: Prints
    first: Tensor
    options: PixelIltOptions

    @classmethod
    def pose(cls, target: Tensor, sim: Simulator, options: PixelIltOptions, initial: Tensor | None) -> Problem:
        """The problem of a batch of targets, (b, y, x), and first masks, the targets where None."""
        factor = whole(options.pixel_nm, sim.grid(target).pixel_nm, "pixel_nm")
        wanted = coarse(target, factor, sim.dtype)
        n = wanted.shape[-1]
        inside = central(n, options.window_nm, options.pixel_nm)
        first = wanted if initial is None else coarse(initial, factor, sim.dtype)
        latent = 2 * first - 1
        return cls(
            start=latent[:, inside, inside],
            inside=inside,
            frame=torch.sigmoid(options.mask_steepness * (latent - options.mask_offset)),
            prints=Prints.around(wanted, square(n, inside, wanted.device) | (first > 0.5).any(0), sim),
            first=(target if initial is None else initial >= 0.5).to(torch.uint8),
            options=options,
        )

    def descend(self, name: str, **loop) -> Descent:
        """Minimise, with further arguments of :func:`~maskopt_lib.opc.descent.descend`; the history is in nm2."""
        o = self.options
        settings = {"n_steps": o.n_steps, "weights": o.weights, "keep": o.keep, "name": name}
        descent = descend(self.start, self, o.stepper, outputs=self.outputs, **settings, **loop)
        return replace(descent, history=descent.history * o.pixel_nm**2)

    def __call__(self, latent: Tensor, step: int) -> tuple[Tensor, ...]:
        """Terms of :data:`TERMS`, (b,) each."""
        o = self.options
        grey, mask = self._grey(latent)
        terms = self.prints.terms(self.prints.intensity(mask), o.exponent).unbind(-1)
        if o.discreteness_weight:
            return *terms, (4 * grey * (1 - grey)).sum((-2, -1))
        return *terms, torch.zeros_like(terms[0])

    def outputs(self, latent: Tensor, step: int) -> tuple[Tensor, Tensor]:
        """How far each pixel's prints are off, and the curvatures of the weighted terms: (b, m) each."""
        o = self.options
        values = self.prints.outputs(self._image(self._grey(latent)[1]))
        exponents = torch.tensor([o.exponent] * 3 + [2])[:, None, None]
        weights = torch.tensor(o.weights[:4], dtype=values.dtype)[:, None, None]
        with torch.no_grad():
            curvatures = weights * exponents * values.abs().pow(exponents - 2)
        return values.flatten(1), curvatures.flatten(1)

    @cached_property
    def _image(self) -> SampledIntensity:
        return SampledIntensity(self.prints.sim, self.frame.shape[-1])

    def _grey(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The grey mask in the window, and all of it."""
        grey = torch.sigmoid(self.options.mask_steepness * (latent - self.options.mask_offset))
        mask = self.frame.clone()
        mask[:, self.inside, self.inside] = grey
        return grey, mask

    def mask(self, latent: Tensor) -> Tensor:
        """Binary masks on the target's grid: (b, w, w) to (b, y, x) uint8."""
        factor = self.first.shape[-1] // self.frame.shape[-1]
        inside = slice(self.inside.start * factor, self.inside.stop * factor)
        mask = self.first.clone()
        mask[:, inside, inside] = fine_nearest((latent >= self.options.mask_offset).to(torch.uint8), factor)
        return mask
