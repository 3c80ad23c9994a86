"""The process window of a region: its masks through focus and exposure."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.layout.windows import Plan, StitchedMask
from maskopt_lib.litho import Process, Simulator
from maskopt_lib.study.areas.batches import Area
from maskopt_lib.study.solvers import process_window
from maskopt_lib.study.solvers.focus_exposure import WindowSettings, measure_window


def edge_limit_nm(process: Process) -> float:
    """How far an edge may be off: 15 nm, as in the contest, or a sixteenth of ``wavelength / NA``, which is less."""
    return min(15.0, process.unit_nm / 16)


def through_focus(
    masks: Mapping[str, StitchedMask], area: Area, plan: Plan, planes_nm: Sequence[float] = ()
) -> tuple[xr.DataArray, xr.Dataset] | None:
    """Masks through focus and exposure, in the middle window of a region.

    Parameters
    ----------
    masks, area, plan : as for :func:`score`.
    planes_nm : defocus beside the planes of the process's corners; by default a quarter and half of the depth of focus
        to both sides.

    Returns
    -------
    share : (method, focus, exposure), percent of the edges within :func:`edge_limit_nm`.
    windows : of :func:`maskopt_lib.study.process_window.windows`, with :func:`edge_limit_nm` on all edges.
        None where the optics are known at two focus settings only, or no edge is straight.
    """
    process = area.process
    if process.kernel_set and not process.kernel_set.startswith("embedded"):
        return None
    far_nm = process.depth_of_focus_nm / 2
    kernels = process.through_focus(planes_nm or [-far_nm, -far_nm / 2, far_nm / 2, far_nm])
    sim = Simulator(kernels, corners=process.corners, resist=process.resist, device=area.device)
    rows, columns = plan.grid
    window, design = plan.window(rows // 2, columns // 2), area.design()
    target = design.rasterize(area.layer, window.field_nm, plan.pixel_nm)
    settings = WindowSettings(epe_limits_nm=(edge_limit_nm(process),))
    x0, y0, x1, y1 = np.subtract(plan.inside(window), np.tile(window.field_nm[:2], 2))
    found = {}
    if not metrics.target_sites(target, plan.pixel_nm).sizes[schema.SITE]:
        return None
    for name, mask in masks.items():
        each = measure_window(mask.read(window.field_nm), target, sim, settings)
        x, y = each["site_x_nm"], each["site_y_nm"]
        found[name] = each.isel(site=((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).values)
    if not all(each.sizes[schema.SITE] for each in found.values()):
        return None
    kept = ["edge_error_nm", "site_lowest", "site_highest", "cut_lowest", "cut_highest"]
    joined = xr.concat([each[kept] for each in found.values()], schema.METHOD, coords="minimal", compat="override")
    joined = joined.assign_coords({schema.METHOD: list(found)}).assign_attrs(criteria=list(settings.criteria))
    share = process_window.in_place(joined, limit_nm=settings.epe_limits_nm[0])
    return share, process_window.windows(joined).isel(criterion=0)
