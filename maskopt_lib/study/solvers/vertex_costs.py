"""What the tolerance of written contours saves in vertices, or in curves, and what it costs in print."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.images import binary
from maskopt_lib.layout import bezier_outlines, bezier_polygons, mask_rings, read_clip, write_mask
from maskopt_lib.layout.raster import painted
from maskopt_lib.litho import Simulator
from maskopt_lib.metrics import RULES
from maskopt_lib.runs.gather import labelled

_OF_CURVES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, *RULES)


def vertex_costs(
    mask: np.ndarray,
    target: np.ndarray,
    sim: Simulator,
    *,
    tolerances_nm: Sequence[float] = (0.5, 1.0, 2.0),
    region_nm: Sequence[float] | None = None,
) -> xr.Dataset:
    """Write a mask at several tolerances, read it back, and print what was read.

    Parameters
    ----------
    mask, target : (y, x) of the simulator's field, 0 or 1.
    sim : to print with.
    tolerances_nm : ``vertex_tolerance_nm`` of :func:`maskopt_lib.layout.write_mask`.
    region_nm : (x0, y0, x1, y1) from the field's lower left corner: only what prints there counts; all by default.

    Returns
    -------
    Dataset over ``vertex_tolerance_nm``: ``vertices``, ``polygons`` and ``file_bytes`` of an OASIS file; ``l2_nm2``,
    ``pvb_nm2``, edge placement, and contour error of a curved target, when the file is read, rasterized by the share
    of each pixel that is covered, and printed. The row at 0 is the mask itself, written along its pixels.
    """
    image, target = binary(mask, axes=2).astype(np.uint8), binary(target, "target", axes=2)
    period_nm = float(sim.kernels.period_nm)
    pixel_nm, rows = period_nm / image.shape[-1], {}
    of_grid = {"pixel_nm": pixel_nm, "threshold": sim.threshold}
    x0, y0, x1, y1 = region_nm or (0, 0, period_nm, period_nm)
    part = tuple(slice(round(low / pixel_nm), round(high / pixel_nm)) for low, high in ((y0, y1), (x0, x1)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mask.oas"
        for tolerance_nm in (0.0, *tolerances_nm):
            how = {"contours": "smooth", "vertex_tolerance_nm": tolerance_nm} if tolerance_nm else {"contours": "pixel"}
            written = write_mask(image, path, pixel_nm, **how)
            clip = read_clip(path, placement=(0, 0), window_nm=period_nm)
            aerial = sim.aerial(clip.rasterize(pixel_nm, antialiased=True).astype(np.float32), corners=schema.CORNERS)
            sites = _inside(metrics.epe_sites(aerial[0], target, **of_grid), (x0, y0, x1, y1))
            rows[(tolerance_nm,)] = {
                **{schema.VERTICES: written.vertices, "polygons": written.polygons},
                "file_bytes": path.stat().st_size,
                **metrics.print_areas(aerial, target, part=part, **of_grid),
                **metrics.epe.summarize(sites),
            }
            if not metrics.is_manhattan(target):
                along = _inside(metrics.contour_error(aerial[0], target, **of_grid), (x0, y0, x1, y1))
                rows[(tolerance_nm,)] |= metrics.contour.summarize(along)
    texts = {"polygons": "polygons", "file_bytes": ("size of the file", "bytes")}
    texts["vertex_tolerance_nm"] = ("how far an outline may move", "nm")
    about = {"kernels": sim.kernels.name, "pixel_nm": pixel_nm, "threshold": float(sim.threshold)}
    about["epe_limits_nm"] = list(metrics.epe.LIMITS_NM)
    return schema.described(schema.label(labelled(rows, ("vertex_tolerance_nm",))), texts).assign_attrs(about)


def curve_costs(
    mask: np.ndarray, target: np.ndarray, sim: Simulator, *, tolerances_nm: Sequence[float] = (0.5, 1.0)
) -> xr.Dataset:
    """Fit the outlines of a mask by cubic Bezier curves, rasterize what was fitted, and score it as the mask.

    Parameters
    ----------
    mask, target : (y, x) of the simulator's field, 0 or 1.
    sim : to print with.
    tolerances_nm : of :func:`maskopt_lib.layout.bezier_outlines`.

    Returns
    -------
    Dataset over ``tolerance_nm``: ``segments`` of the curves, ``vertices`` of polygons within the same tolerance, L2,
    PV band, edge placement and mask rules of what the curves enclose. The row at 0 is the mask itself: no curves.
    """
    image, target = binary(mask, axes=2).astype(np.uint8), binary(target, "target", axes=2)
    pixel_nm, rows = float(sim.kernels.period_nm) / image.shape[-1], {}
    for tolerance_nm in (0.0, *tolerances_nm):
        fitted, counts = image, {schema.SEGMENTS: np.nan, schema.VERTICES: np.nan}
        if tolerance_nm:
            curves = bezier_outlines(image, pixel_nm, tolerance_nm=tolerance_nm)
            rings = mask_rings(image, pixel_nm, vertex_tolerance_nm=tolerance_nm)
            # Of a shape at the field's border a curve may leave it, within the tolerance.
            pieces = [points.clip(0, float(sim.kernels.period_nm)) for points in bezier_polygons(curves)]
            fitted = painted(pieces, len(image), pixel_nm)
            counts = {schema.SEGMENTS: sum(map(len, curves)), schema.VERTICES: sum(map(len, rings))}
        scores = metrics.evaluate(fitted, target, sim, only=_OF_CURVES)
        rows[(tolerance_nm,)] = counts | {name: float(scores[name]) for name in _OF_CURVES}
    texts = {"tolerance_nm": ("how far an outline may be from the curves", "nm")}
    about = {"kernels": sim.kernels.name, "pixel_nm": pixel_nm, "threshold": float(sim.threshold)}
    return schema.described(schema.label(labelled(rows, ("tolerance_nm",))), texts).assign_attrs(about)


def _inside(places: xr.Dataset, box_nm: Sequence[float]) -> xr.Dataset:
    (x, y), (x0, y0, x1, y1) = (places[name] for name in ("x_nm", "y_nm")), box_nm
    return places.isel({x.dims[0]: ((x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)).values})
