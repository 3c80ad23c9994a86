"""Which shapes a descent pulls up and which it lets fade: the gradients of CurvyILT's terms on its first mask.

A soft resist answers only near its threshold. Where the first image of a shape lies far below, the fidelity term has
next to no gradient, and any term that damps the mask decides what becomes of the shape.
"""

from __future__ import annotations

import numpy as np
import torch
import xarray as xr
from scipy import ndimage

from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.opc import curvy, morphology
from maskopt_lib.opc.objective import spectral_energy, squared_difference
from maskopt_lib.opc.pixels import coarse, smooth, whole
from maskopt_lib.optics import SocsKernels
from maskopt_lib.study.solvers.clips import Clips

SHAPE = "shape"


def first_gradients(wanted: Clips, kernels: SocsKernels, options: curvy.CurvyOptions = curvy.PUBLISHED) -> xr.Dataset:
    """Image and gradients of the first mask, shape by shape.

    Parameters
    ----------
    wanted : the targets.
    kernels : to image with.
    options : of CurvyILT; the spectral weight does not count.

    Returns
    -------
    Dataset over ``shape`` with the coordinate ``sample``: ``peak_intensity`` (outer corner) under the shape,
    and, as means over the shape's pixels of the optimisation's grid, ``print_pull``, by how much a clearer mask lowers
    the weighted fidelity and PV-band terms, and ``spectral_push``, by how much it raises the spectral term.
    Attributes: ``kernels``, ``raster`` and ``threshold`` of the resist.
    """
    sim = Simulator(kernels)
    columns: dict[str, list] = {name: [] for name in _VARIABLES}
    samples = []
    for name in wanted.names:
        target = torch.as_tensor(wanted.target(name))[None]
        factor = whole(options.pixel_nm, wanted.pixel_nm, "pixel_nm")
        drawn = coarse(target, factor, sim.dtype)
        aim = drawn
        if options.retarget_nm:
            size_px = whole(options.retarget_nm, wanted.pixel_nm, "retarget_nm")
            aim = coarse(morphology.round_corners_binary(target, size_px, size_px), factor, sim.dtype)
        latent = smooth(drawn, options.smoothing_px)
        mask = torch.sigmoid(options.mask_steepness * (latent - options.mask_offset)).requires_grad_()
        fidelity_image, outer, inner = sim.aerial(
            mask, corners=[options.fidelity_corner, schema.OUTER, schema.INNER]
        ).unbind(-3)
        soft = sim.resist_model.soft
        pv_band = squared_difference(soft(inner), soft(outer))
        prints = options.fidelity_weight * squared_difference(soft(fidelity_image), aim) + options.pvb_weight * pv_band
        (pull,) = torch.autograd.grad(prints.sum(), mask)
        (push,) = torch.autograd.grad(spectral_energy(mask, squared=options.spectral_squared).sum(), mask)
        shapes, n_shapes = ndimage.label(drawn[0].numpy() >= 0.5)
        each = np.arange(1, n_shapes + 1)
        found = {
            "peak_intensity": ndimage.maximum(outer[0].detach().numpy(), shapes, each),
            "print_pull": -ndimage.mean(pull[0].numpy(), shapes, each),
            "spectral_push": ndimage.mean(push[0].numpy(), shapes, each),
        }
        for column, values in found.items():
            columns[column].append(values)
        samples += [name] * n_shapes
    ds = xr.Dataset(
        {
            column: (SHAPE, np.concatenate(values), {"long_name": _VARIABLES[column], "units": "1"})
            for column, values in columns.items()
        },
        coords={schema.SAMPLE: (SHAPE, samples)},
    )
    return ds.assign_attrs(kernels=kernels.name, raster=wanted.raster, threshold=sim.threshold)


_VARIABLES = {
    "peak_intensity": "largest intensity under the shape, first mask",
    "print_pull": "fall of the print terms per unit of mask",
    "spectral_push": "rise of the spectral term per unit of mask",
}
