"""Which shapes a descent pulls up and which it lets fade: the gradients of CurvyILT's terms on its first mask.

A soft resist answers only near its threshold. Where the first image of a shape lies far below, the fidelity term has
next to no gradient, and any term that damps the mask decides what becomes of the shape.
"""

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
_LONG_NAMES = {
    "peak_intensity": "largest intensity under the shape, first mask",
    "print_pull": "fall of the print terms per unit of mask",
    "spectral_push": "rise of the spectral term per unit of mask",
}


def first_gradients(targets: Clips, kernels: SocsKernels, options: curvy.CurvyOptions = curvy.PUBLISHED) -> xr.Dataset:
    """Image and gradients of the first mask, shape by shape.

    Parameters
    ----------
    targets : of the clips.
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
    soft = sim.resist_model.soft
    clips = []
    for name, image in targets.items():
        target = torch.as_tensor(image)[None]
        factor = whole(options.pixel_nm, targets.pixel_nm, "pixel_nm")
        aim = drawn = coarse(target, factor, sim.dtype)
        if options.retarget_nm:
            size_px = whole(options.retarget_nm, targets.pixel_nm, "retarget_nm")
            aim = coarse(morphology.round_corners_binary(target, size_px, size_px), factor, sim.dtype)
        latent = smooth(drawn, options.smoothing_px)
        mask = torch.sigmoid(options.mask_steepness * (latent - options.mask_offset)).requires_grad_()
        corners = [options.fidelity_corner, schema.OUTER, schema.INNER]
        fidelity, outer, inner = sim.aerial(mask, corners=corners).unbind(-3)
        pv_band = squared_difference(soft(inner), soft(outer))
        prints = options.fidelity_weight * squared_difference(soft(fidelity), aim) + options.pvb_weight * pv_band
        (pull,) = torch.autograd.grad(prints.sum(), mask)
        (push,) = torch.autograd.grad(spectral_energy(mask, squared=options.spectral_squared).sum(), mask)
        shapes, n_shapes = ndimage.label(drawn[0].numpy() >= 0.5)
        each = np.arange(1, n_shapes + 1)
        columns = {
            schema.SAMPLE: np.full(n_shapes, name),
            "peak_intensity": ndimage.maximum(outer[0].detach().numpy(), shapes, each),
            "print_pull": -ndimage.mean(pull[0].numpy(), shapes, each),
            "spectral_push": ndimage.mean(push[0].numpy(), shapes, each),
        }
        clips.append(xr.Dataset({column: (SHAPE, values) for column, values in columns.items()}))
    ds = schema.described(xr.concat(clips, SHAPE).set_coords(schema.SAMPLE), _LONG_NAMES)
    return ds.assign_attrs(kernels=kernels.name, raster=targets.raster, threshold=sim.threshold)
