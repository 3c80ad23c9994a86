"""A2-ILT: pixel ILT whose gradient is weighted by an attention map around the target's edges.

The map is made from dilations ``D`` and an erosion ``E`` of the target by squares, on 4 nm pixels:
``0.5 D(k1) + 0.3 D(k2) + 0.2 D(k3) - E(k0)``. It is 1 at the target's edge, falls in steps to 0 away from it and is 0
deep inside. The gradient is averaged over the map's pixels, multiplied with it and spread again, so that the mask stays
the target but for a seam: few shots, no assist features.

A2-ILT trains an agent that chooses the four sizes for each clip. Its place takes a stated search: ``size_candidates``
lists sets of sizes, each clip is solved with all of them, and keeps the mask with the lowest objective. The search is
part of the method, its time included. Objective and latent image are those of :mod:`~maskopt_lib.opc.pixel_ilt`.

References
----------
Q. Wang, B. Jiang, M. D. F. Wong, E. F. Y. Young, "A2-ILT: GPU Accelerated ILT with Spatial Attention Mechanism" (DAC
2022), and the program released with it, whose constants were read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import pixel_ilt
from maskopt_lib.opc.descent import Phases, collect
from maskopt_lib.opc.pixel_ilt import PixelIltOptions, Problem
from maskopt_lib.opc.pixels import coarse, fine_nearest, whole
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, Positive

TERMS = pixel_ilt.TERMS

#: Shares of the three dilations in the map.
SHARES = (0.5, 0.3, 0.2)


@dataclass(frozen=True, kw_only=True)
class AttentionIltOptions(PixelIltOptions):
    """Everything that can be set; the defaults are those of A2-ILT's program with its reference sizes.

    Attributes
    ----------
    pixel_nm, n_steps : as in :class:`~maskopt_lib.opc.pixel_ilt.PixelIltOptions`, like all that is not named here.
    attention_nm : pixel of the attention map; a whole multiple of ``pixel_nm``.
    sizes_px : sides of the squares in pixels of the map: erosion ``k0``, dilations ``k1``, ``k2``, ``k3``.
    size_candidates : several such sets; each clip keeps the one with the lowest objective. They replace ``sizes_px``.
    fill_holes : holes of the final mask are filled, before ``cleanup``.
    """

    n_steps: Count = 30
    learning_rate: Positive = 1.5
    nominal_weight: Finite = 0.8
    outer_weight: Finite = 0.2
    inner_weight: Finite = 0.2
    discreteness_weight: Finite = 0.025
    exponent: Count = 4
    keep: Literal["best", "last"] = "last"
    attention_nm: Positive = 4.0
    sizes_px: tuple[Count, Count, Count, Count] = (5, 10, 20, 30)
    size_candidates: Sequence[tuple[Count, Count, Count, Count]] = ()
    fill_holes: bool = True

    @property
    def candidates(self) -> tuple[tuple[int, ...], ...]:
        """The sets of sizes that are tried."""
        return tuple(tuple(sizes) for sizes in self.size_candidates) or (tuple(self.sizes_px),)


#: What A2-ILT's program does with its reference sizes for every clip.
PUBLISHED = AttentionIltOptions()

#: A search in the place of the agent: the reference sizes, scaled.
SEARCHED = AttentionIltOptions(size_candidates=((3, 5, 10, 15), (5, 10, 20, 30), (7, 15, 30, 45)))

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(PUBLISHED, n_steps=100, outer_weight=0.5, exponent=2, keep="best")

#: For lonely vias and contacts: Adam, to which small gradients are as good as large ones, and mostly the nominal print.
CONTACT = replace(
    TUNED,
    pixel_nm=4.0,
    optimizer="adam",
    learning_rate=0.2,
    nominal_weight=1.0,
    outer_weight=0.2,
    discreteness_weight=0.0,
)

PRESETS = {"published": PUBLISHED, "searched": SEARCHED, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: AttentionIltOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise masks near the targets' edges, from the targets or first masks.

    Returns
    -------
    The result; its history is that of the sizes kept, which are its variable ``size_px`` over ``sample`` and ``size``.
    """
    phases = Phases()
    pixel_nm = sim.grid(target).pixel_nm
    block = whole(options.attention_nm, options.pixel_nm, "attention_nm")
    on_map = coarse(target, whole(options.attention_nm, pixel_nm, "attention_nm"), sim.dtype) >= 0.5
    problem = Problem.pose(target, sim, options, initial)
    inside = slice(problem.inside.start // block, problem.inside.stop // block)
    phases("prepare")

    descents, losses = [], []
    for sizes in options.candidates:
        attention = attention_map(on_map.to(sim.dtype), sizes)[:, inside, inside]

        def weighted(gradient: Tensor, step: int, attention: Tensor = attention) -> Tensor:
            return fine_nearest(coarse(gradient, block, gradient.dtype) * attention, block)

        descent = problem.descend(f"attention_ilt {sizes}", on_gradient=weighted, **loop)
        descents.append(descent)
        ends = descent.history @ np.asarray(options.weights)
        losses.append(ends[-1] if options.keep == "last" else ends.min(0))
    chosen = np.argmin(losses, axis=0)
    phases("optimise")

    latent = torch.stack([descents[k].parameter[i] for i, k in enumerate(chosen)])
    mask = problem.mask(latent)
    if options.fill_holes:
        mask = torch.stack([torch.as_tensor(ndimage.binary_fill_holes(m)) for m in mask.cpu().numpy()])
        mask = mask.to(target.device, torch.uint8)
    if options.cleanup:
        mask = options.cleanup(mask, pixel_nm)
    phases("finish")
    groups = [np.flatnonzero(chosen == k) for k in np.unique(chosen)]
    kept = [descents[k] for k in np.unique(chosen)]
    kept = [replace(d, history=d.history[:, members]) for d, members in zip(kept, groups, strict=True)]
    result = collect("attention_ilt", mask, kept, TERMS, options.weights, phases, members=groups)
    sizes = np.array(options.candidates)[chosen]
    size_px = schema.column((schema.SAMPLE, "size"), sizes, "sides of the squares k0 to k3")
    return replace(result, history=result.history.assign(size_px=size_px))


def attention_map(target: Tensor, sizes_px: Sequence[int]) -> Tensor:
    """Weights of the gradient, 0 to 1.

    Parameters
    ----------
    target : (b, y, x), 0 or 1.
    sizes_px : sides of the squares of the erosion and of the three dilations; even ones reach one pixel farther towards
        smaller coordinates.

    Returns
    -------
    (b, y, x).
    """
    erosion, *dilations = sizes_px
    spread = sum(share * _dilated(target, size) for share, size in zip(SHARES, dilations, strict=True))
    # Outside the field nothing counts: an erosion sees 1 there.
    return spread - (1 - _dilated(1 - target, erosion))


def _dilated(image: Tensor, size_px: int) -> Tensor:
    before = size_px // 2
    padded = F.pad(image[:, None], (size_px - 1 - before, before) * 2)
    return F.max_pool2d(padded, size_px, stride=1)[:, 0]
