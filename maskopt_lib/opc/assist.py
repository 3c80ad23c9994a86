"""Assist features: squares beside a target, where an ILT objective asks for light that does not print."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.options import NotNegative, Options, Positive


@dataclass(frozen=True, kw_only=True)
class AssistSeeds(Options):
    """Where assist features start.

    Attributes
    ----------
    threshold : of the gradient that asks for light, relative to its largest value.
    min_area_nm2 : smaller places are left out.
    size_nm : side of the square that starts there.
    distance_nm : smallest distance of a square from the target and from other squares.
    """

    threshold: NotNegative = 0.2
    min_area_nm2: NotNegative = 400.0
    size_nm: Positive = 60.0
    distance_nm: NotNegative = 60.0


def assist_seeds(
    wanted: Tensor,
    sim: Simulator,
    seeds: AssistSeeds,
    *,
    pixel_nm: float,
    grid_nm: float,
    weights: tuple[float, float] = (1.0, 0.5),
) -> list[list[np.ndarray]]:
    """Squares where the objective asks for light outside of the target.

    Parameters
    ----------
    wanted : (b, n, n) target on the optimisation's grid.
    sim : the imaging model.
    seeds : what counts as a place, and what is set there.
    pixel_nm : side of a pixel of ``wanted`` in nm.
    grid_nm : corners of the squares are on multiples of this.
    weights : of the nominal print and of the two corners in the objective.

    Returns
    -------
    One list of (4, 2) counter-clockwise rings in nm a clip, from the strongest place to the weakest.
    """
    mask = wanted.clone().requires_grad_()
    resist = sim.resist(mask, corners=schema.CORNERS)
    fidelity, corners, _ = image_terms(resist, wanted, pixel_nm)
    (weights[0] * fidelity + weights[1] * corners).sum().backward()
    asks = (-mask.grad).clamp_min(0).cpu().numpy()
    side = np.round(seeds.size_nm / grid_nm) * grid_nm
    clips = []
    for target, pull in zip(wanted.cpu().numpy() > 0, asks, strict=True):
        # Distance of a square from the target, not of its middle: half a diagonal is more than it needs, in one way.
        far = ndimage.distance_transform_edt(~target) * pixel_nm >= seeds.distance_nm + side / 2
        places, n_places = ndimage.label((pull >= seeds.threshold * pull.max()) & ~target)
        rings: list[np.ndarray] = []
        areas = np.bincount(places.ravel(), minlength=n_places + 1) * pixel_nm**2
        strength = ndimage.maximum(pull, places, np.arange(n_places + 1))
        for k in np.argsort(-strength):
            if k == 0 or areas[k] < seeds.min_area_nm2:
                continue
            row, column = np.unravel_index(np.argmax(np.where((places == k) & far, pull, -1.0)), pull.shape)
            if not (far[row, column] and places[row, column] == k):
                continue
            middle = (np.array([column, row]) + 0.5) * pixel_nm
            low = np.round((middle - side / 2) / grid_nm) * grid_nm
            square = low + side * np.array([(0, 0), (1, 0), (1, 1), (0, 1)])
            inside = square.min() >= 0 and square.max() <= len(pull) * pixel_nm
            if inside and all(np.abs(square[0] - o[0]).max() >= side + seeds.distance_nm for o in rings):
                rings.append(square)
        clips.append(rings)
    return clips


def image_terms(resist: Tensor, wanted: Tensor, pixel_nm: float) -> tuple[Tensor, Tensor, Tensor]:
    """Nominal fidelity, fidelity of both corners and PV band of (b, corner, n, n) resist images, (b,) each in nm2."""
    nominal, outer, inner = resist.unbind(1)
    area = pixel_nm**2
    return (
        area * squared_difference(nominal, wanted),
        area * (squared_difference(outer, wanted) + squared_difference(inner, wanted)),
        area * squared_difference(inner, outer),
    )
