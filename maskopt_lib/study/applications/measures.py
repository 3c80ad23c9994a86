"""What masks of a photonic device print through dose and focus: contour along its curves, widths, gaps, duty cycle."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from klayout import db
from scipy.ndimage import map_coordinates

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data.schema import column
from maskopt_lib.layout.photonic_devices import CLEAR, Gauge
from maskopt_lib.layout.windows import Plan, StitchedMask, grown
from maskopt_lib.litho.process import ProcessCorner
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.metrics.contour import PLACE
from maskopt_lib.study.areas.batches import Area, pixels_of

#: Dimensions: gauges of a device, planes, relative exposures.
GAUGE, FOCUS, DOSE = "gauge", "defocus_nm", "dose"
# How far a gauge looks beyond its drawn ends, and its step, in nm.
_BEYOND_NM, _STEP_NM = 120.0, 1.0
# A print is cut out this much larger than what counts.
_MARGIN_NM = 64.0


def through_window(
    masks: Mapping[str, StitchedMask],
    area: Area,
    plan: Plan,
    gauges: Sequence[Gauge] = (),
    *,
    planes_nm: Sequence[float] = (),
    doses: Sequence[float] = (0.95, 1.0, 1.05),
) -> tuple[xr.Dataset, dict[str, xr.Dataset]]:
    """Print masks at planes and exposures, and measure them along the drawn outline and at gauges.

    Parameters
    ----------
    masks : name -> mask.
    area, plan : what and where; outlines are those of the layout's polygons, not of pixels.
    gauges : in the layout's coordinates; those outside of the plan's region are left out.
    planes_nm : beside those of the process's corners.
    doses : exposures relative to the nominal one, which the intensity follows.

    Returns
    -------
    measured : over ``method``, ``defocus_nm`` and ``dose``: ``contour_mean_abs_nm``, ``contour_p95_abs_nm`` and
        ``contour_max_abs_nm`` by arc length, ``contour_mean_nm`` with its sign (lost places left out), ``lost_share``;
        over ``gauge`` as well ``printed_nm``, nan where it is bridged or gone; over ``gauge`` kind, place and drawn
        length.
    outlines : name -> the contour error at best focus and dose 1, over ``place``.
    """
    process = area.process
    kernels = process.through_focus(planes_nm) if len(planes_nm) else process.kernels
    planes = list(dict.fromkeys(kernels.defocus_nm))
    corners = [ProcessCorner(name=f"{z:g}", focus=i, dose=1.0) for i, z in enumerate(planes)]
    sim = Simulator(kernels, corners=[*process.corners, *corners], resist=process.resist, device=area.device)
    names = [corner.name for corner in corners]
    design = area.design()  # KLayout's shapes end with their layout
    region = design.drawn(area.layer).merged()
    x0, y0, x1, y1 = plan.region_nm
    gauges = [g for g in gauges if x0 <= g.x_nm < x1 and y0 <= g.y_nm < y1]
    unit_nm, pixel_nm = design.dbu_nm, plan.pixel_nm
    at = list(np.ndindex(len(planes), len(doses)))
    errors: dict[str, dict[tuple[int, int], list[xr.Dataset]]] = {name: {i: [] for i in at} for name in masks}
    printed = np.full((len(masks), len(gauges), len(planes), len(doses)), np.nan)
    for window in plan.windows:
        core = plan.inside(window)
        box = grown(core, pixel_nm * np.ceil(_MARGIN_NM / pixel_nm))
        rings = _rings(region, box, unit_nm)
        within = [i for i, g in enumerate(gauges) if core[0] <= g.x_nm < core[2] and core[1] <= g.y_nm < core[3]]
        if not rings and not within:
            continue
        part = pixels_of(box, window.field_nm[:2], pixel_nm)
        target = design.rasterize(area.layer, box, pixel_nm)
        for m, (name, mask) in enumerate(masks.items()):
            field = mask.read(window.field_nm).astype(np.float32)
            images = sim.aerial(field, corners=names).cpu().numpy()
            for i, j in at:
                image = doses[j] * images[(i, *part)]
                if rings:
                    places = metrics.contour_error(
                        image, target, pixel_nm=pixel_nm, threshold=sim.threshold, polygons=rings
                    )
                    errors[name][i, j].append(_in_core(places, box, core))
            for g in within:
                profile = _profiles(images, gauges[g], window.field_nm[:2], pixel_nm)
                for i, j in at:
                    printed[m, g, i, j] = _length(doses[j] * profile[i] - sim.threshold, gauges[g].kind not in CLEAR)
    joined = {name: {i: xr.concat(found, PLACE) for i, found in each.items()} for name, each in errors.items()}
    nominal = planes.index(0.0) if 0.0 in planes else 0, int(np.argmin(np.abs(np.asarray(doses) - 1)))
    dims = (schema.METHOD, FOCUS, DOSE)
    rows = {
        (name, planes[i], doses[j]): metrics.contour.summarize(places) | _signed(places)
        for name, each in joined.items()
        for (i, j), places in each.items()
    }
    values = {
        variable: np.array([row[variable] for row in rows.values()]).reshape(len(masks), len(planes), len(doses))
        for variable in next(iter(rows.values()))
    }
    measured = xr.Dataset(
        {name: column(dims, values[name], *_TEXTS.get(name, (name.replace("_", " "), "nm"))) for name in values}
        | {"printed_nm": column((schema.METHOD, GAUGE, FOCUS, DOSE), printed, "printed length", "nm")},
        coords={
            schema.METHOD: list(masks),
            FOCUS: column(FOCUS, planes, "defocus", "nm"),
            DOSE: column(DOSE, list(doses), "exposure (nominal = 1)"),
            "kind": (GAUGE, np.array([g.kind for g in gauges], dtype=str)),
            "drawn_nm": column(GAUGE, [g.drawn_nm for g in gauges], "drawn length", "nm"),
            "x_nm": column(GAUGE, [g.x_nm for g in gauges], "middle of the gauge, x", "nm"),
            "y_nm": column(GAUGE, [g.y_nm for g in gauges], "middle of the gauge, y", "nm"),
        },
    )
    return measured, {name: each[nominal] for name, each in joined.items()}


_TEXTS = {
    "contour_mean_abs_nm": ("mean contour error", "nm"),
    "contour_p95_abs_nm": ("95 % of the contour errors", "nm"),
    "contour_max_abs_nm": ("largest contour error", "nm"),
    "contour_mean_nm": ("mean contour error, signed, positive outwards", "nm"),
    "lost_share": ("share of the outline without a print within 40 nm", "1"),
}


def _signed(places: xr.Dataset) -> dict[str, float]:
    error = places["contour_error_nm"].values
    known = error[np.isfinite(error)]
    return {
        "contour_mean_nm": float(known.mean()) if known.size else np.nan,
        "lost_share": 1 - known.size / error.size if error.size else np.nan,
    }


def _rings(region: db.Region, box_nm: Sequence[float], unit_nm: float) -> list[np.ndarray]:
    """Outlines of what is drawn in a box, holes as rings of their own, from its lower left corner, in nm."""
    x0, y0, x1, y1 = (round(side / unit_nm) for side in box_nm)
    found = []
    for polygon in (region & db.Region(db.Box(x0, y0, x1, y1))).each():
        lines = [polygon.each_point_hull(), *(polygon.each_point_hole(i) for i in range(polygon.holes()))]
        found += [np.array([(p.x - x0, p.y - y0) for p in line]) * unit_nm for line in lines]
    return found


def _in_core(places: xr.Dataset, box_nm: Sequence[float], core_nm: Sequence[float]) -> xr.Dataset:
    """Places of a core, half open, in the layout's coordinates; the box's own border is none."""
    x, y = places["x_nm"] + box_nm[0], places["y_nm"] + box_nm[1]
    inside = (x >= core_nm[0]) & (x < core_nm[2]) & (y >= core_nm[1]) & (y < core_nm[3])
    return places.assign(x_nm=x.assign_attrs(places["x_nm"].attrs), y_nm=y.assign_attrs(places["y_nm"].attrs)).isel(
        {PLACE: inside.values}
    )


def _profiles(images: np.ndarray, gauge: Gauge, corner_nm: Sequence[float], pixel_nm: float) -> np.ndarray:
    """(plane, n) intensity along a gauge, from its middle to both sides in steps of 1 nm."""
    half = round((gauge.drawn_nm / 2 + _BEYOND_NM) / _STEP_NM)
    along, turn = np.arange(-half, half + 1) * _STEP_NM, np.deg2rad(gauge.angle_deg)
    x = (gauge.x_nm - corner_nm[0] + along * np.cos(turn)) / pixel_nm - 0.5
    y = (gauge.y_nm - corner_nm[1] + along * np.sin(turn)) / pixel_nm - 0.5
    return np.stack([map_coordinates(image, [y, x], order=3, mode="grid-wrap") for image in images])


def _length(excess: np.ndarray, silicon: bool) -> float:
    """Length over which a profile keeps the side of the threshold that its middle should be on; nan where it is not."""
    value = excess if silicon else -excess
    middle = len(value) // 2
    if value[middle] < 0:
        return np.nan
    ends = []
    for side in (value[middle:], value[middle::-1]):
        past = np.flatnonzero(side < 0)
        if not len(past):
            return np.nan
        i = int(past[0])
        ends.append((i - 1 + side[i - 1] / (side[i - 1] - side[i])) * _STEP_NM)
    return float(sum(ends))
