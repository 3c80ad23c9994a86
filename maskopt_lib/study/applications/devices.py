"""A photonic device from its drawing to its masks: uncorrected, biased, by rule, fed back, by ILT within mask rules."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import gdstk
import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import layout, metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout.layers import Layer
from maskopt_lib.layout.photonic_devices import KINDS, Gauge, PhotonicDevice
from maskopt_lib.layout.windows import Plan, StitchedMask
from maskopt_lib.litho import Process, load_process
from maskopt_lib.optics import settings
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.record import Run
from maskopt_lib.study.applications import corrections
from maskopt_lib.study.applications.measures import DOSE, FOCUS, GAUGE
from maskopt_lib.study.applications.waveguides import Waveguide
from maskopt_lib.study.areas import own_layout, seams
from maskopt_lib.study.areas.area import seam_pass
from maskopt_lib.study.areas.batches import Area, TiledArea, target_of
from maskopt_lib.study.areas.mending import mend
from maskopt_lib.study.areas.own_layout import Solution
from maskopt_lib.study.solvers.masks import Trial

#: Columns of the tables: what a user has today, and what this library makes.
UNCORRECTED, BIAS, RULE, FEEDBACK, ILT, SENSITIVE = (
    "uncorrected", "uniform bias", "OPC rule", "OPC feedback", "ILT", "ILT, sensitivity",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """Masks of one device.

    Attributes
    ----------
    area, plan : what was drawn, and how it is cut into windows.
    masks, seconds : name -> mask, and what it took: solves, or drawing, without rasters and files.
    passes : stage of the ILT -> its windows, as :func:`maskopt_lib.study.areas.area.solve_area` gives them.
    wall_s : seconds from the layout to the last mask of the ILT, rasters, files and stitching included.
    """

    area: Area
    plan: Plan
    masks: Mapping[str, StitchedMask]
    seconds: Mapping[str, float]
    passes: Mapping[str, xr.Dataset]
    wall_s: float


def drawing(name: str, sizes: Mapping[str, Any]) -> PhotonicDevice:
    """A device by the name of its kind, or by one of its own with ``device``, the kind, among its sizes."""
    sizes = dict(sizes)
    return layout.photonic_device(sizes.pop("device", name), **sizes)


def of_file(
    source: str | Path,
    layer: Layer,
    region_nm: Sequence[float] = (),
    *,
    gauges: Sequence[Sequence[Any]] = (),
    period_nm: float = 0.0,
) -> PhotonicDevice:
    """A device that is drawn in a file of one's own.

    Parameters
    ----------
    source, layer : the layout, and its layer.
    region_nm : (x0, y0, x1, y1) of what counts; all that is drawn by default.
    gauges : of each kind, x, y, direction in degrees and drawn length, as
        :class:`~maskopt_lib.layout.photonic_devices.Gauge` has them.
    period_nm : of the grating's teeth, 0 for none.
    """
    design = layout.read_design(source)
    pair = layout.resolve_layer(layer, {})
    box = tuple(region_nm) or design.bounds_nm(pair)
    drawn = tuple(gdstk.Polygon(points) for points in design.polygons(pair))
    places = tuple(Gauge(*gauge) for gauge in gauges)
    if unknown := [place.kind for place in places if place.kind not in KINDS]:
        raise UnknownNameError.of("kind of gauge", unknown[0], KINDS)
    return PhotonicDevice(name=Path(source).stem, polygons=drawn, gauges=places, region_nm=box, period_nm=period_nm)


def in_field(name: str | Path, field: Mapping[str, float]) -> Process:
    """A process by name or file with the ``period_nm``, ``pixel_nm`` and ``n_kernels`` of a field of one's own."""
    document = settings.read_process(name)
    changes = {key: field[key] for key in ("period_nm", "pixel_nm", "n_kernels") if key in field}
    sections = dict(document.value) | {"name": settings.name_of(document)}
    return load_process(sections | {"field": dict(sections.get("field", {})) | changes})


def correct(
    source: str | Path,
    process: Process,
    run: Run,
    *,
    layer: Layer = "1/0",
    region_nm: Sequence[float] = (),
    context_nm: float = 0.0,
    core_nm: float = 0.0,
    pixel_nm: float = 0.0,
    deck: Mapping[str, float],
    preset: str = "fast",
    options: Mapping[str, Any] | None = None,
    sensitivity: Sequence[tuple[Layer, float]] = (),
    today: bool = True,
    client: distributed.Client | None = None,
) -> Corrected:
    """Masks of a device by what a user has today, and by ILT within mask rules.

    Parameters
    ----------
    source, layer : the layout, and the layer that is drawn on it.
    process : to solve and print with.
    run : what is solved is kept below its folder.
    region_nm, context_nm, core_nm, pixel_nm : as for :func:`maskopt_lib.study.areas.own_layout.plan_of`.
    deck : mask rules that the ILT keeps.
    preset, options : of ``rule_aware``.
    sensitivity : (layer, weight): one more ILT, in whose objective what lies under the layer counts so many times.
    today : make the masks of today as well.
    client : of workers, for the ILT's windows.

    Returns
    -------
    The masks, in the order of the columns of the tables.
    """
    area = own_layout.read(source, run.out_dir, process, layer=str(layer))
    plan = own_layout.plan_of(area, region_nm, context_nm=context_nm, pixel_nm=pixel_nm, core_nm=core_nm)
    _, again = own_layout.trials_of(own_layout.KEEPS_RULES, preset, options or {}, deck, plan)
    tiled = TiledArea(area=area, plan=plan, run=run, client=client, batch=1)
    masks, seconds = {UNCORRECTED: own_layout.target_mask(tiled)}, {UNCORRECTED: 0.0}
    for name, make in (_of_today(area, plan) if today else {}).items():
        masks[name], seconds[name], _ = own_layout.drawn(
            tiled, corrections.drawing(make), name=f"mask_{name.replace(' ', '_')}"
        )
    passes, wall_s = {}, 0.0
    asked = {ILT: area} | ({SENSITIVE: replace(area, sensitivity=tuple(sensitivity))} if sensitivity else {})
    for name, each in asked.items():
        begun = time.perf_counter()
        inner = Run(record=run.record, out_dir=run.out_dir / name.replace(", ", "_"))
        solution = _ilt(replace(tiled, area=each, run=inner), again, masks[UNCORRECTED])
        masks[name], seconds[name] = solution.mask, solution.runtime_s
        if name == ILT:
            passes, wall_s = solution.passes, time.perf_counter() - begun
    return Corrected(area=area, plan=plan, masks=masks, seconds=seconds, passes=passes, wall_s=wall_s)


def _ilt(tiled: TiledArea, trial: Trial, start: StitchedMask) -> Solution:
    """From the target as mask: all windows, windows moved by half a core, and the projection onto the deck.

    Each window changes its core only, beside what its neighbours have become. So a waveguide that leaves a window is
    not cut there, and its cut breaks no rule that would have to be mended.
    """
    first, solved = seam_pass(tiled, trial, start, name="mask", moved=tiled.plan)
    masks, passes = {own_layout.FIRST: first}, {own_layout.FIRST: solved}
    if tiled.plan.grid != (1, 1):
        moved, solved = seam_pass(tiled, trial, first)
        masks[own_layout.SEAMLESS], passes[own_layout.SEAMLESS] = moved, solved
    mended, changed = mend(tiled, trial.resolved.deck, list(masks.values())[-1])
    return Solution(masks=masks | {own_layout.MENDED: mended}, passes=passes, changed=changed)


def _of_today(area: Area, plan: Plan) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """How a target becomes a mask today; bias and rule are fitted where most is drawn."""
    design, sim, unit_nm, pixel_nm = area.design(), area.simulator(), area.process.unit_nm, plan.pixel_nm
    targets = (target_of(design, area, window, plan) for window in plan.windows)
    fullest = max(targets, key=lambda target: int(target.sum()))
    bias_nm = corrections.best_bias(fullest, sim, pixel_nm)
    rule = corrections.fitted_rule(fullest, sim, unit_nm, pixel_nm)
    return {
        BIAS: partial(corrections.moved, by_nm=bias_nm, pixel_nm=pixel_nm),
        RULE: partial(corrections.rule_mask, rule=rule, unit_nm=unit_nm, pixel_nm=pixel_nm),
        FEEDBACK: partial(corrections.fed_back, sim=sim, unit_nm=unit_nm, pixel_nm=pixel_nm),
    }


def summary(measured: xr.Dataset, *, guide: Waveguide | None = None, period_nm: float = 0.0) -> xr.Dataset:
    """What was measured of a device as one row a mask, with a first-order estimate of what it does to the light.

    Parameters
    ----------
    measured : of :func:`maskopt_lib.study.applications.measures.through_window`.
    guide : the waveguide of the estimates; :class:`Waveguide` by default.
    period_nm : of the grating's teeth, 0 for none.

    Returns
    -------
    Dataset over ``method``: contour errors at best focus and dose 1 and the worst 95 % of all conditions; of each kind
    of gauge the mean and the range, at best focus and dose 1 and over all conditions; ``duty_percent``;
    ``index_change``, the effective index less the drawn one's in thousandths, of the mean width; in percent of the
    drawn one's ``coupling_percent``, of the mean gap, and ``grating_coupling_percent`` of a corrugated guide.
    """
    guide = guide or Waveguide()
    at = {FOCUS: 0.0, DOSE: 1.0}
    nominal = measured.sel(at, method="nearest")
    rows = {name: nominal[name].drop_vars([FOCUS, DOSE]) for name in schema.CONTOUR_ERRORS}
    worst = measured["contour_p95_abs_nm"].max([FOCUS, DOSE])
    rows["worst_p95_nm"] = worst.assign_attrs(long_name="95 % of the contour errors, worst condition", units="nm")
    kinds = {}
    for kind in dict.fromkeys(measured["kind"].values.tolist()):
        of_kind = (measured["kind"] == kind).values
        here, everywhere = nominal["printed_nm"][:, of_kind], measured["printed_nm"][:, of_kind]
        kinds[kind] = here.mean(GAUGE, skipna=False).values, measured["drawn_nm"].values[of_kind].mean()
        both = {"": (here, [GAUGE]), "_window": (everywhere, [GAUGE, FOCUS, DOSE])}
        rows[f"{kind}_mean_nm"] = _column(kinds[kind][0], f"mean {kind} ({kinds[kind][1]:g} drawn)", "nm")
        for where, (values, dims) in both.items():
            text = f"range of {kind}{', through focus and dose' if where else ''}"
            spread = values.max(dims, skipna=False) - values.min(dims, skipna=False)
            rows[f"{kind}_range{where}_nm"] = _column(spread.values, text, "nm")
    if "width" in kinds:
        printed, drawn = kinds["width"]
        change = 1e3 * (guide.effective_index(printed) - guide.effective_index(np.array([drawn])))
        rows["index_change"] = _column(change, "effective index less the drawn one's", "1e-3")
        if "gap" in kinds:
            gap, drawn_gap = kinds["gap"]
            ratio = guide.coupling_per_um(gap, drawn) / guide.coupling_per_um(np.array([drawn_gap]), drawn)
            rows["coupling_percent"] = _column(100 * ratio, "coupling over the drawn one's", "%")
    if "wide" in kinds:
        wide, narrow = (kinds[name][0] for name in ("wide", "narrow"))
        drawn = guide.grating_coupling_per_um(*(np.array([kinds[name][1]]) for name in ("wide", "narrow")))
        ratio = guide.grating_coupling_per_um(wide, narrow) / drawn
        rows["grating_coupling_percent"] = _column(100 * ratio, "coupling of the grating over the drawn one's", "%")
    if "tooth" in kinds and period_nm:
        duty = 100 * kinds["tooth"][0] / period_nm
        rows["duty_percent"] = _column(duty, f"duty cycle ({100 * kinds['tooth'][1] / period_nm:g} drawn)", "%")
    return xr.Dataset(rows)


def _column(values: np.ndarray, text: str, units: str) -> xr.DataArray:
    return xr.DataArray(values, dims=(schema.METHOD,), attrs={"long_name": text, "units": units})


def seams_and_times(corrected: Mapping[str, Corrected], contours: Mapping[str, Mapping[str, xr.Dataset]]) -> xr.Dataset:
    """How the ILT's windows meet, and what they took.

    Parameters
    ----------
    corrected, contours : device -> its masks, and mask -> its contour error along the outline.

    Returns
    -------
    Dataset over ``device``: mean absolute contour error near borders of the first windows, of the moved ones, and in
    the ``interior`` (nan: no outline there), number of ``windows`` of the plan, ``solver_s`` and ``wall_s``.
    """
    places = [name.replace(" ", "_") + "_nm" for name in seams.PLACES]
    rows = {}
    for device, one in corrected.items():
        outline = contours[device][ILT]
        x, y, error = (outline[name].values for name in ("x_nm", "y_nm", "contour_error_nm"))
        kinds = seams.kind_of_place(x, y, one.plan)
        errors = [np.abs(error[(kinds == i) & np.isfinite(error)]) for i in range(len(places))]
        rows[(device,)] = {
            name: each.mean() if each.size else np.nan for name, each in zip(places, errors, strict=True)
        }
        rows[(device,)] |= {
            "windows": one.plan.grid[0] * one.plan.grid[1],
            "solver_s": one.seconds[ILT],
            "wall_s": one.wall_s,
        }
    texts = {name: (f"mean contour error, {text}", "nm") for name, text in zip(places, seams.PLACES, strict=True)}
    texts |= {"windows": "windows", "solver_s": ("time of all solves together", "s"), "wall_s": ("wall time", "s")}
    return labelled(rows, ("device",), texts=texts)


def outlines(corrected: Corrected, deck: Mapping[str, float], *, tolerance_nm: float = 1.0) -> xr.Dataset:
    """Rules and outlines of a device's masks.

    Parameters
    ----------
    corrected : its masks.
    deck : the rules.
    tolerance_nm : how far vertices and Bezier curves may be from the outline.

    Returns
    -------
    Dataset over ``method``: ``broken_rules``, ``min_radius_nm``, ``vertices``, ``beziers`` (segments) and
    ``runtime_s``, of the region with what lies within 256 nm of it.
    """
    plan, rows = corrected.plan, {}
    more = min(plan.rim_nm, 256.0)
    box = layout.windows.grown(plan.region_nm, more)
    for name, mask in corrected.masks.items():
        image = mask.read(box)
        how = {"region_nm": plan.region_nm, "origin_nm": box[:2]}
        report = metrics.rule_report(image, {schema.MIN_RADIUS: 1e-3} | dict(deck), plan.pixel_nm, **how)
        curves = layout.bezier_outlines(image, plan.pixel_nm, tolerance_nm=tolerance_nm)
        rows[name,] = {
            "broken_rules": int(report["violations"].sum()),
            "min_radius_nm": float(report["worst"].sel(rule=schema.MIN_RADIUS)),
            "vertices": metrics.count_vertices(image, plan.pixel_nm, tolerance_nm),
            "beziers": sum(map(len, curves)),
            "runtime_s": corrected.seconds[name],
        }
    texts = {
        "broken_rules": ("places that break a mask rule", "1"),
        "min_radius_nm": ("smallest radius of the mask's outline", "nm"),
        "vertices": (f"vertices of the mask, tolerance {tolerance_nm:g} nm", "1"),
        "beziers": (f"Bezier segments, tolerance {tolerance_nm:g} nm", "1"),
        "runtime_s": ("time of the solves", "s"),
    }
    return labelled(rows, (schema.METHOD,), texts=texts)


def sheet(row: xr.Dataset) -> pd.DataFrame:
    """A device's summary as a table: one row a quantity with its unit, one column a mask."""
    units = {name: value.attrs["units"] for name, value in row.data_vars.items()}
    names = {
        name: value.attrs["long_name"] + ("" if units[name] == "1" else f" [{units[name]}]")
        for name, value in row.data_vars.items()
    }
    values = row.to_dataframe()[list(names)].T.rename(index=names)
    columns = {("masks", str(method)): values[method] for method in row[schema.METHOD].values}
    return pd.DataFrame(columns).rename_axis(index="quantity")


def estimates(guide: Waveguide, *, width_nm: float = 448.0) -> xr.Dataset:
    """The closed forms as curves: ``effective_index`` over ``width_nm``, ``coupling`` per um over ``gap_nm``."""
    widths, gaps = np.arange(300.0, 651.0, 10.0), np.arange(100.0, 401.0, 10.0)
    return xr.Dataset(
        {
            "effective_index": schema.column("width_nm", guide.effective_index(widths), "effective index"),
            "coupling": schema.column("gap_nm", guide.coupling_per_um(gaps, width_nm), "coupling", "1/um"),
        },
        coords={
            "width_nm": schema.column("width_nm", widths, "width of the waveguide", "nm"),
            "gap_nm": schema.column("gap_nm", gaps, f"gap between guides of {width_nm:g} nm", "nm"),
        },
    )
