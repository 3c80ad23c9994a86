"""CurvyILT: pixel ILT towards corner-rounded targets, with morphology inside the loop.

The mask is a smoothed latent image through a sigmoid, on a grid coarser than the target's. Three ideas set it apart
from plain pixel ILT, each with its switch:

- *retargeting* (``retarget_nm``): the target's corners, which no optics can print, are rounded before the optimisation,
  so that their unreachable mismatch stops steering it;
- *morphology in the loop* (``loop``): now and then the mask is opened and closed before it is imaged, so that slivers
  and notches lose their share of the gradient;
- a *spectral term* (``spectral_weight``) that damps the mask's structure.

A last opening and closing at full resolution (``cleanup``) makes the binary mask.

The paper's text and the released program differ; both are presets, :data:`PUBLISHED` and :data:`PAPER`.

References
----------
H. Yang, H. Ren, "GPU-Accelerated Inverse Lithography Towards High Quality Curvy Mask Generation" (2025), and the
program released with it (github.com/phdyang007/curvyILT), whose constants were read there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.errors import OptionError
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import morphology
from maskopt_lib.opc.cleanup import CleanUp
from maskopt_lib.opc.descent import Optimizer, Phases, Schedule, Stepping, collect, descend
from maskopt_lib.opc.objective import spectral_energy, squared_difference
from maskopt_lib.opc.pixels import coarse, fine_bicubic, smooth, whole
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, NotNegative, Odd, Options, Positive, Whole

TERMS = ("fidelity", "pv_band", "spectral")


@dataclass(frozen=True, kw_only=True)
class LoopMorphology(Options):
    """Corner rounding of the grey mask during the optimisation.

    Attributes
    ----------
    open_px, close_px : diameters of the elements, in pixels of the optimisation's grid.
    after_step : it begins after this step.
    every : and then acts at step numbers divisible by this.
    """

    open_px: Count = 3
    close_px: Count = 5
    after_step: Whole = 50
    every: Count = 2

    def acts(self, step: int) -> bool:
        """Whether the mask of this step (0 = first) is rounded."""
        return step > self.after_step and step % self.every == 0


@dataclass(frozen=True, kw_only=True)
class CurvyOptions(Stepping):
    """Everything that can be set; the defaults are the released program's.

    Attributes
    ----------
    pixel_nm : pixel of the optimisation's grid; a whole multiple of the target's.
    n_steps : gradient steps; one number, or one for each clip of the batch.
    optimizer, learning_rate, schedule : how the latent image moves, see :class:`~maskopt_lib.opc.descent.Stepper`.
    fidelity_corner : corner whose resist image is compared with the target: ``"outer"`` in the program,
        ``"nominal"`` in the text.
    fidelity_weight, pvb_weight, spectral_weight : weights of the terms.
    spectral_squared : squared norm of the spectrum (text) or the norm (program).
    smoothing_px : side of the box that averages the latent image, odd.
    mask_steepness, mask_offset : the mask is ``sigmoid(steepness (smoothed - offset))``.
    retarget_nm : diameter of the element that rounds the target's corners; None keeps them.
    loop : morphology in the loop; None leaves it out.
    cleanup : final clean-up; None only thresholds.
    start_noise : standard deviation of normal noise on the latent start, which is 0 to 1; 0 draws no random numbers.
    seed : of that noise.
    """

    pixel_nm: Positive = 8.0
    n_steps: Count | Sequence[Count] = 200
    optimizer: Optimizer = "sgd"
    learning_rate: Positive = 1.0
    schedule: Schedule = "constant"
    fidelity_corner: str = schema.OUTER
    fidelity_weight: Finite = 1.0
    pvb_weight: Finite = 1.0
    spectral_weight: Finite = 1e-3
    spectral_squared: bool = False
    smoothing_px: Odd = 5
    mask_steepness: Positive = 4.0
    mask_offset: Finite = 0.5
    retarget_nm: NotNegative | None = 39.0
    loop: LoopMorphology | None = LoopMorphology()
    cleanup: CleanUp | None = CleanUp()
    start_noise: NotNegative = 0.0
    seed: Whole = 0

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the terms."""
        return self.fidelity_weight, self.pvb_weight, self.spectral_weight


#: What the released program does.
PUBLISHED = CurvyOptions()

#: What the paper's text says: Adam, the nominal image, the squared spectrum. The text at hand gives neither the
#: learning rate nor a legible spectral weight; these two are our choice, see notebook 11.
PAPER = CurvyOptions(
    optimizer="adam", learning_rate=0.1, fidelity_corner=schema.NOMINAL, spectral_weight=3e-8, spectral_squared=True
)

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = CurvyOptions(
    n_steps=300, optimizer="adam", learning_rate=0.2, fidelity_corner=schema.NOMINAL, smoothing_px=3, retarget_nm=25.0
)

#: For lonely vias and contacts: `TUNED` without the terms that are least where nothing prints.
CONTACT = replace(TUNED, spectral_weight=0.0, pvb_weight=0.0)

PRESETS = {"published": PUBLISHED, "paper": PAPER, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: CurvyOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise curvilinear masks for a batch of targets, from the targets or first masks."""
    phases = Phases()
    n_steps = np.asarray(options.n_steps, int)
    if n_steps.ndim and len(n_steps) != len(target):
        raise OptionError(f"n_steps has {len(n_steps)} numbers for {len(target)} targets; give one, or one a target")
    n_steps = np.broadcast_to(n_steps, (len(target),))
    pixel_nm = sim.grid(target).pixel_nm
    factor = whole(options.pixel_nm, pixel_nm, "pixel_nm")

    wanted = target
    if options.retarget_nm:
        size_px = whole(options.retarget_nm, pixel_nm, "retarget_nm")
        wanted = morphology.round_corners_binary(target, size_px, size_px)
    wanted = coarse(wanted, factor, sim.dtype)
    latent = coarse(target if initial is None else initial, factor, sim.dtype)
    if options.start_noise:
        # One draw for all clips, on the CPU: a clip's start depends neither on its batch nor on the device.
        generator = torch.Generator().manual_seed(options.seed)
        noise = torch.randn(latent.shape[-2:], generator=generator, dtype=torch.float64)
        latent = latent + options.start_noise * noise.to(latent)
    phases("prepare")

    # Clips with another number of steps are optimised apart: none waits for, or is changed by, its neighbours.
    groups = [np.flatnonzero(n_steps == steps) for steps in np.unique(n_steps)]
    descents = []
    for members in groups:
        descent = descend(
            latent[members],
            _Objective(wanted[members], sim, options),
            options.stepper,
            n_steps=int(n_steps[members[0]]),
            weights=options.weights,
            name="curvy",
            **loop,
        )
        latent[members] = descent.parameter
        descents.append(descent)
    phases("optimise")

    fine = fine_bicubic(smooth(latent, options.smoothing_px), factor)
    mask = (fine >= options.mask_offset).to(torch.uint8)
    if options.cleanup:
        mask = options.cleanup(mask, pixel_nm)
    phases("finish")
    return collect("curvy", mask, descents, TERMS, options.weights, phases, members=groups)


@dataclass(frozen=True)
class _Objective:
    """Terms of :data:`TERMS` for a batch of latent images."""

    wanted: Tensor
    sim: Simulator
    options: CurvyOptions

    def __call__(self, latent: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        o = self.options
        mask = torch.sigmoid(o.mask_steepness * (smooth(latent, o.smoothing_px) - o.mask_offset))
        if o.loop and o.loop.acts(step):
            mask = morphology.round_corners(mask, o.loop.open_px, o.loop.close_px)
        corners = sorted({o.fidelity_corner, schema.INNER, schema.OUTER})
        resist = dict(zip(corners, self.sim.resist(mask, corners=corners).unbind(-3), strict=True))
        fidelity = squared_difference(resist[o.fidelity_corner], self.wanted)
        pv_band = squared_difference(resist[schema.INNER], resist[schema.OUTER])
        if o.spectral_weight:
            spectral = spectral_energy(mask, squared=o.spectral_squared)
        else:
            spectral = torch.zeros_like(fidelity)
        return fidelity, pv_band, spectral
