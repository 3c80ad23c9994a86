"""Multi-level ILT: pixel ILT from coarse to fine grids.

On each level the mask is a latent image, averaged over a box and sent through a sigmoid, inside a central window and
dark outside. The coarse level lays out main shapes and assist features where a step is cheap; its latent image, every
pixel repeated, starts the next level. No assist feature is seeded. The fidelity term of the published program is that
of the *outer* print, which keeps the nominal print of a process-robust mask from shrinking.

What differs from the source: a coarse target is the share of each pixel that is covered, while the program draws the
polygons anew with its coordinates divided; and any number of levels, terms and clean-up steps can be set.

Terms of the history are in nm2, sums over pixels times the pixel's area, so that levels compare. The objective that is
minimised, and to which learning rates refer, is the sum over a level's own pixels.

References
----------
S. Sun, F. Yang, B. Yu, L. Shang, X. Zeng, "Efficient ILT via Multi-level Lithography Simulation" (DAC 2023); constants
of :data:`OPENILT` from its version in OpenILT (github.com/OpenOPC/OpenILT). H. Yang, H. Ren, "GPU-Accelerated Inverse
Lithography Towards High Quality Curvy Mask Generation" (2025), Tables 4 and 7, for a re-implementation with and
without post-processing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, OptionError
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import prints
from maskopt_lib.opc.cleanup import CleanUp
from maskopt_lib.opc.descent import Descent, Optimizer, Phases, Schedule, Stepper, collect, descend
from maskopt_lib.opc.pixels import central, coarse, fine_bicubic, fine_nearest, smooth, square, whole
from maskopt_lib.opc.prints import Prints
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, Odd, Options, Positive, check

TERMS = prints.TERMS

#: How the last level's smoothed latent image comes to the target's pixels.
UPSAMPLING = {"nearest": fine_nearest, "bicubic": fine_bicubic}


@dataclass(frozen=True, kw_only=True)
class Level(Options):
    """One grid of the descent.

    Attributes
    ----------
    pixel_nm : pixel of the grid; a whole multiple of the target's and a whole part of the level's before.
    n_steps : gradient steps.
    learning_rate : for objectives that are sums over the level's pixels.
    smoothing_px : side of the box that averages the latent image, odd.
    window_nm : side of the central square that may be clear; None is all.
    """

    pixel_nm: Positive
    n_steps: Count
    learning_rate: Positive = 0.2
    smoothing_px: Odd = 7
    window_nm: Positive | None = 1280.0


@dataclass(frozen=True, kw_only=True)
class MultilevelOptions(Options):
    """Everything that can be set; the defaults are OpenILT's.

    Attributes
    ----------
    levels : from coarse to fine; dictionaries of a level's options are taken as well.
    optimizer, schedule : how the latent image moves on each level, see :class:`~maskopt_lib.opc.descent.Stepper`.
    nominal_weight, outer_weight, inner_weight : weights of the squared differences between prints and target.
    pvb_weight : weight of the squared difference between outer and inner print.
    mask_steepness, mask_offset : the mask is ``sigmoid(steepness (smoothed - offset))``.
    keep : ``"best"`` or ``"last"`` latent image of each level.
    upsampling : ``"nearest"`` or ``"bicubic"``, from the last level's grid to the target's.
    cleanup : final clean-up; None only thresholds.
    """

    levels: Sequence[Level] = (Level(pixel_nm=8.0, n_steps=20), Level(pixel_nm=4.0, n_steps=100))
    optimizer: Optimizer = "adam"
    schedule: Schedule = "constant"
    nominal_weight: Finite = 0.0
    outer_weight: Finite = 1.0
    inner_weight: Finite = 0.0
    pvb_weight: Finite = 1.0
    mask_steepness: Positive = 4.0
    mask_offset: Finite = 0.5
    keep: Literal["best", "last"] = "best"
    upsampling: Literal["nearest", "bicubic"] = "nearest"
    cleanup: CleanUp | None = None

    def __post_init__(self) -> None:
        check(Sequence[Level | Mapping[str, Any]], levels=self.levels)
        levels = tuple(Level(**level) if isinstance(level, Mapping) else level for level in self.levels)
        if not levels:
            raise OptionError("a multi-level solver needs at least one level")
        object.__setattr__(self, "levels", levels)
        super().__post_init__()

    def stepper(self, level: Level) -> Stepper:
        """Optimizer, learning rate and schedule of a level."""
        return Stepper(optimizer=self.optimizer, learning_rate=level.learning_rate, schedule=self.schedule)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the terms."""
        return self.nominal_weight, self.outer_weight, self.inner_weight, self.pvb_weight


#: Removal of shapes below ten pixels of 8 nm, nothing else. The smallest shapes that the CurvyILT paper prints for
#: MultiILT with post-processing are 640, 704, 768, 832 and 896 nm2: ten to fourteen such pixels.
SMALL_ARTEFACTS = CleanUp(open_nm=None, close_nm=None, round_corners=False, min_area_nm2=640.0)

#: What OpenILT's program does.
OPENILT = MultilevelOptions()

#: The same with small artefacts removed.
POSTPROCESSED = replace(OPENILT, cleanup=SMALL_ARTEFACTS)

#: Stands in for the re-implementation in the CurvyILT paper (Table 7, symmetrised kernels), whose constants are not
#: published. Its smallest shapes, 64, 256 and 576 nm2, say that its masks live on 8 nm pixels. Of OpenILT's scheme
#: moved to 16 and 8 nm, or to 8 nm alone, with boxes of 3, 5 and 7 pixels, this one came nearest to the printed L2 and
#: PV band of cases 1, 4, 7 and 10: a reproduction, so these clips are those of the table.
REIMPLEMENTED = MultilevelOptions(
    levels=(Level(pixel_nm=16.0, n_steps=20, smoothing_px=5), Level(pixel_nm=8.0, n_steps=100, smoothing_px=5))
)

#: The re-implementation with post-processing.
REIMPLEMENTED_POSTPROCESSED = replace(REIMPLEMENTED, cleanup=SMALL_ARTEFACTS)

#: Constants of our own: the lowest sum of L2 and PV band among 20 variations of levels (8 nm; 16 and 8 nm; 8 and 4 nm),
#: boxes, steps, learning rates (0.1 to 0.4), weights, upsampling and window, on six StdMetal clips with the genuine
#: kernels. All fidelity goes to the nominal print, the learning rate falls to zero, the last latent image is
#: interpolated, and there is no window: room for assist features counted most. One level is enough then.
NOMINAL = MultilevelOptions(
    levels=(Level(pixel_nm=8.0, n_steps=200, smoothing_px=3, window_nm=None),),
    schedule="cosine",
    nominal_weight=1.0,
    outer_weight=0.0,
    upsampling="bicubic",
)

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(
    NOMINAL,
    levels=(
        Level(pixel_nm=8.0, n_steps=150, smoothing_px=3, window_nm=None),
        Level(pixel_nm=4.0, n_steps=40, smoothing_px=5, window_nm=None),
    ),
    nominal_weight=0.5,
    outer_weight=0.25,
    pvb_weight=1.5,
    schedule="cosine",
    keep="best",
)

#: For lonely vias and contacts: `NOMINAL` without the PV band, which is least where nothing prints.
CONTACT = replace(NOMINAL, pvb_weight=0.0)

PRESETS = {
    "openilt": OPENILT,
    "postprocessed": POSTPROCESSED,
    "reimplemented": REIMPLEMENTED,
    "reimplemented-postprocessed": REIMPLEMENTED_POSTPROCESSED,
    "nominal": NOMINAL,
    "tuned": TUNED,
    "contact": CONTACT,
}


@dataclass(frozen=True)
class Objective:
    """Terms of :data:`TERMS` for a batch of latent images on one level's grid.

    Attributes
    ----------
    prints : what the masks print, against the targets.
    margin_px : dark pixels around the window, on each side.
    reach_px : pixels of the latent image around the window that are averaged into it.
    level, options : what is set.
    """

    prints: Prints
    margin_px: int
    reach_px: int
    level: Level
    options: MultilevelOptions

    def __call__(self, latent: Tensor, step: int) -> tuple[Tensor, ...]:
        return self.terms(self.prints.intensity(self.mask(latent)))

    def mask(self, latent: Tensor) -> Tensor:
        """Grey masks, (b, y, x), of latent images of the window and its reach."""
        o = self.options
        reach = slice(self.reach_px, latent.shape[-1] - self.reach_px)
        smoothed = smooth(latent, self.level.smoothing_px)[:, reach, reach]
        grey = torch.sigmoid(o.mask_steepness * (smoothed - o.mask_offset))
        return F.pad(grey, (self.margin_px,) * 4)

    def terms(self, intensity: Tensor) -> tuple[Tensor, ...]:
        """Terms from samples of the intensity, (b,) each."""
        return self.prints.terms(intensity).unbind(-1)


def solve(target: Tensor, sim: Simulator, options: MultilevelOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise masks level by level, from the targets or first masks; a stop condition ends each level for itself.

    Returns
    -------
    The result; its history holds the levels one after the other, each from its own start (``n_steps + 1`` rows), with
    the variable ``pixel_nm`` over ``step``.
    """
    return solve_levels("multilevel", Objective, TERMS, target, sim, options, initial, **loop)


def solve_levels(
    method: str,
    objective: Callable[[Prints, int, int, Level, MultilevelOptions], Objective],
    terms: tuple[str, ...],
    target: Tensor,
    sim: Simulator,
    options: MultilevelOptions,
    initial: Tensor | None,
    **loop,
) -> OpcResult:
    """What :func:`solve` does, for an objective of its own.

    Parameters
    ----------
    method : name of the solver.
    objective : makes the objective of a level.
    terms : names of its terms; their weights are ``options.weights``.
    target, sim, options, initial, **loop : as for :func:`solve`.
    """
    phases = Phases()
    pixel_nm = sim.grid(target).pixel_nm
    factors = [whole(level.pixel_nm, pixel_nm, "pixel_nm of a level") for level in options.levels]
    for before, after in pairwise(factors):
        if before % after:
            raise GridMismatchError(
                f"levels go from coarse to fine by whole factors, got {before * pixel_nm:g} nm before "
                f"{after * pixel_nm:g} nm; choose pixels that divide each other"
            )
    latent = coarse(target if initial is None else initial, factors[0], sim.dtype)
    phases("prepare")

    levels = []
    for i, (level, factor) in enumerate(zip(options.levels, factors, strict=True)):
        if i:
            latent = fine_nearest(latent, factors[i - 1] // factor)
        wanted = coarse(target, factor, sim.dtype)
        n = wanted.shape[-1]
        inside = central(n, level.window_nm, level.pixel_nm)
        clear = square(n, inside, wanted.device)
        margin = inside.start
        reach = min(level.smoothing_px // 2, margin)
        near = slice(margin - reach, n - margin + reach)
        descent = descend(
            latent[:, near, near],
            objective(Prints.around(wanted, clear, sim), margin, reach, level, options),
            options.stepper(level),
            n_steps=level.n_steps,
            weights=options.weights,
            keep=options.keep,
            name=f"{method}, {level.pixel_nm:g} nm",
            **loop,
        )
        latent[:, near, near] = descent.parameter
        levels.append((f"{level.pixel_nm:g} nm", replace(descent, history=descent.history * level.pixel_nm**2)))
    phases("optimise")

    smoothed = smooth(latent, level.smoothing_px)
    fine = UPSAMPLING[options.upsampling](smoothed, factor)
    mask = ((fine >= options.mask_offset) & fine_nearest(clear[None], factor)).to(torch.uint8)
    if options.cleanup:
        mask = options.cleanup(mask, pixel_nm)
    phases("finish")
    result = collect(method, mask, [Descent.joined(levels)], terms, options.weights, phases)
    steps = [len(descent.history) for _, descent in levels]
    pixels = np.repeat([level.pixel_nm for level in options.levels], steps)
    pixel_nm = schema.column(schema.STEP, pixels, "pixel of the level", "nm")
    return replace(result, history=result.history.assign(pixel_nm=pixel_nm))
