"""Scores of one print: its difference from the target, the PV band, and the edge placement."""

import numpy as np

from maskopt_lib.data import schema
from maskopt_lib.metrics import area, epe

#: The scores of a print, in the order of `maskopt_lib.data.schema`.
PRINT_SCORES = (
    *(schema.L2, schema.PVB),
    *(schema.EPE15, schema.EPE3, schema.EPE_SITES, schema.EPE_MEAN_ABS, schema.EPE_MAX_ABS),
)


def print_scores(
    aerial: np.ndarray,
    target: np.ndarray,
    *,
    pixel_nm: float,
    threshold: float,
    with_epe: bool = True,
    core: slice = slice(None),
) -> dict[str, float]:
    """Scores of one clip by the names of :data:`PRINT_SCORES`.

    Parameters
    ----------
    aerial : (corner, y, x) intensity at the nominal, the outer and the inner corner, see `area.by_corner`.
    target : (y, x) bool.
    pixel_nm : side of a pixel in nm.
    threshold : intensity at and above which the resist prints.
    with_epe : also the edge placement, at the straight edges of the target.
    core : the rows, and columns, that count; edge placement is measured at the sites inside of them.
    """
    part = np.s_[core, core]
    scores = area.print_areas(aerial, target, pixel_nm=pixel_nm, threshold=threshold, part=part)
    if with_epe:
        sites = epe.epe_sites(aerial[0], target, pixel_nm=pixel_nm, threshold=threshold)
        if core != slice(None):
            y, x, low, high = sites.y_nm.values, sites.x_nm.values, core.start * pixel_nm, core.stop * pixel_nm
            inside = (low < y) & (y < high) & (low < x) & (x < high)
            sites = sites.isel({schema.SITE: inside})
        scores |= epe.summarize(sites)
    return scores
