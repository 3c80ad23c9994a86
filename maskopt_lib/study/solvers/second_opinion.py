"""Scores taken a second time by other means, in double precision, with nothing shared but the kernels.

A solver is only as good as what judges it. Here the image is the plain sum over the coherent systems by Fast Fourier
Transforms in double precision (:func:`maskopt_lib.optics.aerial_image`) instead of the simulator that the solver
descends on, shapes are labelled by OpenCV instead of SciPy, and the distance of two shapes is read off the exact
distance transform around each of them instead of a search tree.
"""

import cv2
import numpy as np
import xarray as xr

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.litho.process import CONTEST_CORNERS, ThresholdResist
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.gather import labelled


def second_opinion(masks: xr.DataArray, targets: xr.DataArray, kernels: SocsKernels) -> xr.Dataset:
    """L2, PV band, number of shapes, smallest area and distance of masks at 1 nm.

    Parameters
    ----------
    masks : (sample, y, x), 0 or 1, at 1 nm.
    targets : (sample, y, x), 0 or 1; each mask finds its own by the name of the sample.
    kernels : with the contest's two focus settings.

    Returns
    -------
    Dataset over ``sample`` with the names of :mod:`maskopt_lib.data.schema`.
    """
    rows = {}
    for mask in masks:
        sample, image = mask[schema.SAMPLE].item(), mask.values.astype(np.uint8)
        printed = {
            corner.name: corner.dose**2 * optics.aerial_image(image.astype(float), kernels, focus=corner.focus)
            >= ThresholdResist().threshold
            for corner in CONTEST_CORNERS
        }
        target = targets.sel({schema.SAMPLE: sample}).values.astype(bool)
        shapes, labels = cv2.connectedComponents(image, connectivity=4)
        areas = np.bincount(labels.ravel())[1:]
        rows[(sample,)] = {
            schema.L2: float(np.count_nonzero(printed[schema.NOMINAL] != target)),
            schema.PVB: float(np.count_nonzero(printed[schema.OUTER] != printed[schema.INNER])),
            schema.SHAPES: shapes - 1,
            schema.MSA: float(areas.min()) if len(areas) else np.nan,
            schema.MSD: _smallest_distance(labels, shapes),
        }
    return schema.label(labelled(rows, (schema.SAMPLE,)))


def _smallest_distance(labels: np.ndarray, shapes: int) -> float:
    nearest = np.nan
    for shape in range(1, shapes):
        away = cv2.distanceTransform((labels != shape).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        others = away[(labels != shape) & (labels > 0)]
        if others.size:
            nearest = np.fmin(nearest, float(others.min()))
    return nearest
