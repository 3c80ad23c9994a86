"""Masks through focus and exposure: made for any process corners, measured over the matrix, compared by window."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, opc
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, SchemaError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.litho.process import CONTEST_CORNERS, ProcessCorner
from maskopt_lib.metrics import dimensions as dm
from maskopt_lib.metrics import process_window as pw
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.hashing import source_hash
from maskopt_lib.runs.parts import Bits, file_name
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.runs.spread import workers as dask_workers
from maskopt_lib.runs.tables import MEAN
from maskopt_lib.study.solvers import masks as parts
from maskopt_lib.study.solvers.benchmark import Clips, Trial, _packed

#: Folder, below a run's own, of the single masks and measurements that a run can resume from.
PARTS = "parts"
CRITERION, SHAPE, LIMIT, METHOD = "criterion", "shape", "limit_nm", schema.METHOD
BAND = "union_band_nm2"
#: Scores of the contest that stand beside the window's own.
SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


@dataclass(frozen=True, kw_only=True)
class WindowTrial(Trial):
    """One way to make masks, with process corners of its own.

    Attributes
    ----------
    corners : name -> (defocus in nm, dose on the amplitude), besides ``nominal``, ``outer`` and ``inner`` of the
        contest, or in their place where the name is one of these. What a method makes of them is up to its options.
    """

    corners: Mapping[str, Sequence[float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """What is measured of a mask through focus and exposure.

    Attributes
    ----------
    exposures : relative energies of the focus-exposure matrix, ascending; the square of the contest's dose.
    epe_limits_nm : largest edge placement errors, each of which gives a window.
    cd_tolerance : largest relative difference of a width, which gives another.
    longest_nm : widths above it are not critical.
    mask_bias_nm : how far mask edges move for the mask error enhancement factor.
    band_defocus_nm, band_exposures : the union of the PV band is over every plane up to this far from best focus and
        over exposures between these two.
    """

    exposures: Sequence[float] = tuple(np.round(np.linspace(0.8, 1.2, 17), 6).tolist())
    epe_limits_nm: Sequence[float] = (15.0, 10.0)
    cd_tolerance: float = 0.1
    longest_nm: float = 150.0
    mask_bias_nm: float = 1.0
    band_defocus_nm: float = 60.0
    band_exposures: Sequence[float] = (0.95, 1.05)

    @property
    def criteria(self) -> tuple[str, ...]:
        """Names of the windows, in the order of the ``criterion`` axis."""
        return (*(f"EPE {limit:g} nm" for limit in self.epe_limits_nm), f"CD {100 * self.cd_tolerance:g} %")


def corners_of(kernels: SocsKernels, corners: Mapping[str, Sequence[float]]) -> tuple[ProcessCorner, ...]:
    """The contest's three corners, changed and extended.

    Parameters
    ----------
    kernels : of :func:`maskopt_lib.optics.through_focus`.
    corners : name -> (defocus in nm, dose on the amplitude).

    Raises
    ------
    GridMismatchError : the kernels have no such plane; lists theirs.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> kernels = optics.through_focus([60.0], n_kernels=2)
    >>> corners_of(kernels, {"far": (60.0, 1.01)})[-1]
    ProcessCorner(name='far', focus=2, dose=1.01)
    """
    found = {corner.name: corner for corner in CONTEST_CORNERS}
    planes = np.asarray(kernels.defocus_nm)
    for name, (defocus_nm, dose) in corners.items():
        near = int(np.argmin(np.abs(planes - defocus_nm)))
        if abs(planes[near] - defocus_nm) > 1e-6:
            raise GridMismatchError(
                f"corner {name!r} wants a defocus of {defocus_nm:g} nm; kernel set {kernels.name!r} has "
                f"{', '.join(f'{z:g}' for z in sorted(planes))} nm: compute it with optics.through_focus"
            )
        found[name] = ProcessCorner(name=name, focus=near, dose=float(dose))
    return tuple(found.values())


def only_planes_of(
    kernels: SocsKernels, corners: Sequence[ProcessCorner]
) -> tuple[SocsKernels, tuple[ProcessCorner, ...]]:
    """The kernels of those planes that some corners ask for, and the corners by their places among these.

    Solvers image every focus setting of a set at each step; planes that no corner uses would only cost time.
    """
    used = sorted({corner.focus for corner in corners})
    chosen = replace(
        kernels,
        spectra=kernels.spectra[used],
        weights=kernels.weights[used],
        focus_names=tuple(kernels.focus_names[i] for i in used),
        defocus_nm=tuple(kernels.defocus_nm[i] for i in used),
    )
    return chosen, tuple(replace(corner, focus=used.index(corner.focus)) for corner in corners)


def measure_window(mask: np.ndarray, target: np.ndarray, sim: Simulator, settings: WindowSettings) -> xr.Dataset:
    """Widths, edges, limits of exposure, slopes and bands of one mask over the focus settings of a simulator.

    Parameters
    ----------
    mask, target : (y, x), 0 or 1.
    sim : with kernels through focus and the contest's three corners first.
    settings : what is measured.

    Returns
    -------
    Dataset with ``focus`` (ascending, coordinate ``defocus_nm``), ``exposure``, ``cut``, ``site``, ``limit_nm`` and
    ``edge``: ``cd_nm`` (focus, exposure, cut), ``edge_error_nm`` (focus, exposure, site), ``site_lowest`` and
    ``site_highest`` (limit_nm, focus, site), ``cut_lowest`` and ``cut_highest`` (focus, cut), ``nils`` (cut, edge) and
    ``meef`` (cut) at best focus, ``union_band_nm2``, and the contest's scores.
    """
    mask = np.asarray(mask, np.float32)
    planes = np.asarray(sim.kernels.defocus_nm)
    order = np.argsort(planes)
    best = int(np.argmin(np.abs(planes[order])))
    # A band-limited image needs few points; splines then say what it is between them.
    n_out = 6 * (2 * sim.kernels.half_width + 1)
    how = {"pixel_nm": sim.kernels.period_nm / n_out, "threshold": sim.threshold}
    grid = sim.grid(mask)

    def through_focus(image: np.ndarray) -> np.ndarray:
        return sim.intensity(image, n_out=n_out).cpu().numpy()[order]

    with torch.no_grad():
        aerial = through_focus(mask)
        at_best = [through_focus(dm.biased(mask, sign * settings.mask_bias_nm, grid.pixel_nm))
                   [best : best + 1] for sign in (-1, 1)]  # fmt: skip
        union, common = union_band(mask, sim, settings)
    sites = metrics.target_sites(target, grid.pixel_nm)
    cuts = dm.cutlines(target, grid.pixel_nm, longest_nm=settings.longest_nm)
    profiles = dm.edge_profiles(aerial, sites, pixel_nm=how["pixel_nm"])
    errors = dm.edge_errors_nm(profiles, settings.exposures, threshold=sim.threshold)
    by_edge = [pw.exposure_limits(aerial, sites, limit_nm=limit, **how) for limit in settings.epe_limits_nm]
    by_width = pw.exposure_limits_of_cds(aerial, cuts, tolerance=settings.cd_tolerance, **how)
    scores = metrics.evaluate(mask, target, sim, only=SCORES).isel({schema.SAMPLE: 0}, drop=True)
    found = xr.Dataset(
        {
            "cd_nm": dm.critical_dimensions(aerial, cuts, settings.exposures, **how),
            "edge_error_nm": (
                (schema.FOCUS, dm.EXPOSURE, schema.SITE),
                errors,
                {"long_name": "edge placement error, positive outwards", "units": "nm"},
            ),
            "site_lowest": xr.concat([part["lowest"] for part in by_edge], LIMIT),
            "site_highest": xr.concat([part["highest"] for part in by_edge], LIMIT),
            "cut_lowest": by_width["lowest"],
            "cut_highest": by_width["highest"],
            "nils": dm.nils(aerial, cuts, pixel_nm=how["pixel_nm"]).isel({schema.FOCUS: best}, drop=True),
            "meef": dm.meef(*at_best, cuts, bias_nm=settings.mask_bias_nm, **how).isel({schema.FOCUS: 0}, drop=True),
            BAND: (
                (),
                metrics.pvb_nm2(union, common, grid.pixel_nm),
                {"long_name": "PV band (union over focus and exposure)", "units": "nm2"},
            ),
        },
        coords={
            pw.DEFOCUS: (schema.FOCUS, planes[order], {"long_name": "defocus", "units": "nm"}),
            dm.EXPOSURE: (
                dm.EXPOSURE,
                np.asarray(settings.exposures, float),
                {"long_name": "relative exposure", "units": "1"},
            ),
            LIMIT: np.asarray(settings.epe_limits_nm, float),
            "target_cd_nm": (dm.CUT, cuts["cd_nm"].values, cuts["cd_nm"].attrs),
        }
        | {
            f"{dim}_{name}": (dim, values, {"long_name": f"{name} of the {dim}", "units": "nm"})
            for dim, name, values in (
                (dm.CUT, "x_nm", (cuts["x0_nm"].values + cuts["x1_nm"].values) / 2),
                (dm.CUT, "y_nm", (cuts["y0_nm"].values + cuts["y1_nm"].values) / 2),
                (schema.SITE, "x_nm", sites["x_nm"].values),
                (schema.SITE, "y_nm", sites["y_nm"].values),
            )
        },
    )
    return found.assign({name: scores[name] for name in SCORES})


def union_band(mask: np.ndarray, sim: Simulator, settings: WindowSettings) -> tuple[np.ndarray, np.ndarray]:
    """Union and intersection (y, x) of all prints of a mask within the settings' range of focus and exposure.

    Prints grow with exposure, so the two ends of its range stand for all between.
    """
    low, high = min(settings.band_exposures), max(settings.band_exposures)
    planes = np.flatnonzero(np.abs(sim.kernels.defocus_nm) <= settings.band_defocus_nm + 1e-6)
    if not planes.size:
        raise GridMismatchError(
            f"kernel set {sim.kernels.name!r} has no plane within {settings.band_defocus_nm:g} nm of best focus"
        )
    with torch.no_grad():
        image = sim.intensity(np.asarray(mask, np.float32))[planes.tolist()]
        most, least = image.amax(0), image.amin(0)
        return (most >= sim.threshold / high).cpu().numpy(), (least >= sim.threshold / low).cpu().numpy()


def through_window(
    wanted: Clips | xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[WindowTrial],
    run: Run,
    *,
    settings: WindowSettings = WindowSettings(),
    workers: int = 1,
    device: str | torch.device = "cpu",
) -> tuple[xr.Dataset, xr.DataArray]:
    """Make the masks of every trial and measure each through focus and exposure, resumably.

    Parameters
    ----------
    wanted : the targets.
    kernels : of :func:`maskopt_lib.optics.through_focus`; masks are made and measured under it.
    trials : the ways to make masks.
    run : single masks and measurements are kept below its folder, and taken from there where they are.
    settings : what is measured.
    workers : processes among which the masks are spread.
    device : where masks are made; they are measured on the CPU.

    Returns
    -------
    measured : what :func:`measure_window` finds over ``method``; sites and cuts of all clips follow each other, with
        coordinates ``site_sample`` and ``cut_sample``; scores over ``sample``; ``runtime_s`` of the solvers.
    masks : (method, sample, y, x) uint8.
    """
    labels = [trial.label for trial in trials]
    if len(set(labels)) < len(labels):
        raise SchemaError(f"two trials have one label: {', '.join(labels)}; a label is a row of the table")
    folder = run.out_dir / PARTS
    folder.mkdir(parents=True, exist_ok=True)
    tasks = _tasks(wanted, kernels, trials, folder, settings, str(device))
    open_tasks = [task for task in tasks.values() if not task.is_done]
    with tqdm(total=len(tasks), desc="masks", unit="mask", file=sys.stdout, mininterval=5, maxinterval=30) as bar:
        bar.update(len(tasks) - len(open_tasks))
        n = min(workers, len(open_tasks))
        with dask_workers(n, threads=max(1, torch.get_num_threads() // max(1, n))) as client:
            for _ in spread(_do, open_tasks, client=client):
                bar.update()
    clips = list(dict.fromkeys(clip for _, clip in tasks))
    rows, images = [], []
    for label in labels:
        made = [tasks[label, clip] for clip in clips]
        rows.append(_joined([task.measured for task in made], clips))
        kept = [parts.read_mask(task.mask_path) for task in made]
        rows[-1][schema.RUNTIME] = (schema.SAMPLE, [part.runtime_s for part in kept])
        images.append(np.stack([part.bits.image for part in kept]))
    measured = xr.concat(rows, METHOD, coords="minimal", compat="override", join="override").assign_coords(
        {METHOD: labels}
    )
    pixel_nm = float(next(iter(tasks.values())).target.pixel_nm)
    centres = (np.arange(images[0].shape[-1]) + 0.5) * pixel_nm
    masks = xr.DataArray(
        np.stack(images),
        dims=(METHOD, schema.SAMPLE, schema.Y, schema.X),
        coords={METHOD: labels, schema.SAMPLE: clips, schema.Y: centres, schema.X: centres},
        name="mask",
    )
    attrs = {"kernels": kernels.name, "criteria": list(settings.criteria)} | {
        name: list(value) if isinstance(value, Sequence) else value for name, value in asdict(settings).items()
    }
    return schema.label(measured).assign_attrs(attrs), masks


def windows(
    measured: xr.Dataset,
    *,
    share: float = 1.0,
    samples: Sequence[str] | None = None,
    latitude_percent: float = pw.LATITUDE_PERCENT,
) -> xr.Dataset:
    """Common process windows, latitude through depth of focus, and the numbers quoted of them.

    Parameters
    ----------
    measured : of :func:`through_window`.
    share : of all features (sites or cutlines) that must hold at every condition of a window.
    samples : clips whose features share a window; all by default.
    latitude_percent : exposure latitude at which the depth of focus is quoted.

    Returns
    -------
    Dataset over ``method`` and ``criterion``: ``lowest`` and ``highest`` (defocus_nm); per ``shape`` (rectangle,
    ellipse) ``latitude_percent`` with its middle ``middle_defocus_nm`` and ``middle_exposure`` over
    ``depth_of_focus_nm``; ``dof_nm``, ``best_focus_nm`` and ``best_exposure`` at the latitude asked for (the attribute
    ``at_latitude_percent``); and ``largest_latitude_percent``, without shape.
    """
    if samples is not None:
        if unknown := [name for name in samples if name not in measured[schema.SAMPLE].values]:
            raise UnknownNameError(f"no clip {unknown[0]!r}; known: {', '.join(measured[schema.SAMPLE].values)}")
        measured = measured.isel(
            {dim: np.isin(measured[f"{dim}_sample"].values, samples) for dim in (schema.SITE, dm.CUT)}
        )
    by_method = []
    for method in measured[METHOD].values:
        one = measured.sel({METHOD: method})
        by_method.append(
            xr.concat(
                [
                    _one_window(limits, one[pw.DEFOCUS].values, share=share, latitude_percent=latitude_percent)
                    for limits in _limits_of(one)
                ],
                CRITERION,
            )
        )
    return (
        xr.concat(by_method, METHOD)
        .assign_coords({METHOD: measured[METHOD].values, CRITERION: list(measured.attrs["criteria"])})
        .assign_attrs(at_latitude_percent=latitude_percent, share=share)
    )


def windows_by_clip(measured: xr.Dataset, **how: Any) -> xr.Dataset:
    """:func:`windows` of each clip alone, over a further dimension ``sample``; the quoted numbers only."""
    names = [str(name) for name in measured[schema.SAMPLE].values]
    quoted = ["dof_nm", "best_focus_nm", "best_exposure", "largest_latitude_percent"]
    found = xr.concat([windows(measured, samples=[name], **how)[quoted] for name in names], schema.SAMPLE)
    return found.assign_coords({schema.SAMPLE: names})


def in_place(measured: xr.Dataset, *, limit_nm: float) -> xr.DataArray:
    """Share of all sites whose edge prints within a limit: (method, focus, exposure), in percent; lost edges do not."""
    holds = np.abs(measured["edge_error_nm"]) <= limit_nm
    share = 100 * holds.mean(schema.SITE)
    return share.assign_attrs(long_name=f"edges within {limit_nm:g} nm", units="%")


def summary(measured: xr.Dataset, found: xr.Dataset, *, criterion: str, shape: str = "ellipse") -> xr.Dataset:
    """One row a mask: window, slope, mask error, band and contest scores.

    Parameters
    ----------
    measured : of :func:`through_window`.
    found : of :func:`windows`.
    criterion, shape : which window.

    Returns
    -------
    Dataset over ``method``; scores are means over the clips; ``nils_p10``: a tenth of the edges have less;
    ``meef_p90``: a tenth of the cutlines, of those that print, have more.
    """
    quoted = found.sel({CRITERION: criterion, SHAPE: shape})
    columns = {
        "dof_nm": quoted["dof_nm"],
        "largest_latitude_percent": quoted["largest_latitude_percent"],
        "nils_median": measured["nils"].median([dm.CUT, "edge"]),
        "nils_p10": measured["nils"].quantile(0.1, [dm.CUT, "edge"]).drop_vars("quantile"),
        "meef_median": measured["meef"].median(dm.CUT),
        "meef_p90": measured["meef"].quantile(0.9, dm.CUT).drop_vars("quantile"),
        BAND: measured[BAND].mean(schema.SAMPLE),
    } | {name: measured[name].mean(schema.SAMPLE) for name in (*SCORES, schema.RUNTIME)}
    texts = {
        "dof_nm": ("depth of focus", "nm"),
        "largest_latitude_percent": ("exposure latitude at best focus", "%"),
        "nils_median": ("median NILS", "1"),
        "nils_p10": ("NILS, lowest tenth", "1"),
        "meef_median": ("median MEEF", "1"),
        "meef_p90": ("MEEF, highest tenth", "1"),
        BAND: ("PV band (union over focus and exposure)", "nm2"),
    }
    ds = xr.Dataset({name: value.reset_coords(drop=True) for name, value in columns.items()})
    for name, (long_name, units) in texts.items():
        ds[name].attrs = {"long_name": long_name, "units": units}
    return schema.label(ds)


def band_pictures(
    masks: xr.DataArray, wanted: xr.DataArray, kernels: SocsKernels, settings: WindowSettings, *, margin_nm: float = 200
) -> xr.Dataset:
    """Target, mask, nominal print, and the union and intersection of all prints, around the target.

    Parameters
    ----------
    masks : (method, y, x) of one clip.
    wanted : (y, x), its target.
    kernels, settings : as for :func:`through_window`.
    margin_nm : kept around the target.

    Returns
    -------
    Dataset of uint8 ``target``, ``mask``, ``nominal``, ``outer`` (union) and ``inner`` (intersection) over method, y
    and x, as :func:`maskopt_lib.figures.mask_panels` draws it.
    """
    sim = Simulator(kernels)
    pixel_nm = float(masks[schema.X][1] - masks[schema.X][0])
    rows = []
    for mask in masks.values:
        union, common = union_band(mask, sim, settings)
        nominal = sim.aerial(mask.astype(np.float32), corners=[schema.NOMINAL])[0].cpu().numpy() >= sim.threshold
        rows.append((wanted.values, mask, nominal, union, common))
    used = wanted.values.astype(bool)
    margin = round(margin_nm / pixel_nm)
    ys, xs = (np.flatnonzero(used.any(axis)) for axis in (1, 0))
    window = {
        schema.Y: slice(max(ys[0] - margin, 0), ys[-1] + 1 + margin),
        schema.X: slice(max(xs[0] - margin, 0), xs[-1] + 1 + margin),
    }
    names = {
        "target": "target",
        "mask": "mask",
        schema.NOMINAL: "nominal print",
        schema.OUTER: "union of prints",
        schema.INNER: "intersection of prints",
    }
    layers = {
        name: (masks.dims, np.stack(images).astype(np.uint8), {"long_name": text, "units": "1"})
        for (name, text), images in zip(names.items(), zip(*rows, strict=True), strict=True)
    }
    ds = xr.Dataset(layers, coords={dim: masks[dim] for dim in masks.dims}, attrs={"kernels": kernels.name})
    return schema.label(ds.isel(window))


def _limits_of(one: xr.Dataset) -> list[xr.Dataset]:
    """Limits of exposure of one method, a Dataset each criterion."""
    by_edge = [
        xr.Dataset({"lowest": one["site_lowest"].isel({LIMIT: i}), "highest": one["site_highest"].isel({LIMIT: i})})
        for i in range(one.sizes[LIMIT])
    ]
    return [*by_edge, xr.Dataset({"lowest": one["cut_lowest"], "highest": one["cut_highest"]})]


def _one_window(limits: xr.Dataset, planes: np.ndarray, *, share: float, latitude_percent: float) -> xr.Dataset:
    window = pw.common_window(limits, defocus_nm=planes, share=share)
    curves = {shape: pw.latitude_curve(window, shape=shape) for shape in pw.SHAPES}
    by_shape = xr.concat(curves.values(), SHAPE).rename(
        {"defocus_nm": "middle_defocus_nm", "exposure": "middle_exposure"}
    )
    quoted = xr.concat(
        [pw.depth_of_focus(curve, latitude_percent=latitude_percent) for curve in curves.values()], SHAPE
    ).rename({pw.DEPTH: "dof_nm", "defocus_nm": "best_focus_nm", "exposure": "best_exposure"})
    quoted["ends_at_border"] = (SHAPE, [curve.attrs["ends_at_border"] for curve in curves.values()])
    quoted["ends_at_border"].attrs = {"long_name": "window goes on beyond the planes", "units": "1"}
    joined = xr.merge([window, by_shape, quoted.drop_vars("latitude_percent")], combine_attrs="drop_conflicts")
    joined["largest_latitude_percent"] = quoted["largest_latitude_percent"].isel({SHAPE: 0})
    return joined.assign_coords({SHAPE: list(curves)})


def _joined(measured: Sequence[xr.Dataset], clips: Sequence[str]) -> xr.Dataset:
    """Measurements of several clips: features behind each other, scores over samples."""
    named = [
        one.assign_coords({f"{dim}_sample": (dim, [clip] * one.sizes[dim]) for dim in (schema.SITE, dm.CUT)})
        for one, clip in zip(measured, clips, strict=True)
    ]
    by_dim = {
        dim: xr.concat([one[[n for n in one.data_vars if dim in one[n].dims]] for one in named], dim,
                       coords="minimal", compat="override", join="override")
        for dim in (schema.SITE, dm.CUT)
    }  # fmt: skip
    scores = xr.concat([one[[n for n in one.data_vars if not one[n].dims]] for one in named], schema.SAMPLE,
                       coords="minimal", compat="override", join="override")  # fmt: skip
    return xr.merge([*by_dim.values(), scores], compat="override", join="override").assign_coords(
        {schema.SAMPLE: list(clips)}
    )


def summary_table(rows: xr.Dataset) -> pd.DataFrame:
    """:func:`summary` as :func:`~maskopt_lib.study.write_table` takes it: one row a mask."""
    named = {
        "dof_nm": "DOF [nm]",
        "largest_latitude_percent": "EL [%]",
        "nils_median": "NILS",
        "nils_p10": "NILS, lowest tenth",
        "meef_median": "MEEF",
        "meef_p90": "MEEF, highest tenth",
        BAND: "union PV band [nm2]",
    }
    means = (BAND, *SCORES, schema.RUNTIME)
    columns = {
        (named.get(name, name), MEAN if name in means else "all clips"): rows[name].to_series()
        for name in (*named, *SCORES, schema.RUNTIME)
    }
    return pd.DataFrame(columns).rename_axis(METHOD)


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One mask to make and to measure; self-contained, so that another process can do it."""

    label: str
    clip: str
    target: Bits
    kernels: SocsKernels
    corners: tuple[ProcessCorner, ...]
    trial: WindowTrial
    settings: WindowSettings
    device: str
    mask_path: Path
    measuring: str

    def __str__(self) -> str:
        return f"{self.label}, {self.clip}"

    @property
    def path(self) -> Path:
        """Where the measurement is kept."""
        bits = parts.read_mask(self.mask_path).bits
        key = hashlib.sha256(f"{bits.digest()} {self.target.digest()} {self.measuring}".encode()).hexdigest()[:16]
        return self.mask_path.parent / f"{file_name('window', self.clip, key)}.nc"

    @property
    def is_done(self) -> bool:
        return self.mask_path.exists() and self.path.exists()

    @property
    def measured(self) -> xr.Dataset:
        return xr.load_dataset(self.path, engine="scipy")


def _tasks(
    wanted: Clips | xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[WindowTrial],
    folder: Path,
    settings: WindowSettings,
    device: str,
) -> dict[tuple[str, str], _Task]:
    digest = kernels_digest(kernels)
    code = source_hash(["maskopt_lib.study.solvers.process_window", "maskopt_lib.metrics.process_window"], follow=False)
    measuring = f"{digest} {kernels.defocus_nm} {settings} {code} {parts.scores_digest()}"
    codes = {trial.method: method_digest(trial.method) for trial in trials}
    samples = dict(_packed(wanted))
    tasks = {}
    for trial, (clip, target) in product(trials, samples.items()):
        corners = corners_of(kernels, trial.corners)
        key = parts.mask_key(
            target,
            f"{digest} {corners}",
            method=trial.method,
            preset=trial.preset,
            changes=trial.options_of(clip),
            code=codes[trial.method],
            device=device,
        )
        tasks[trial.label, clip] = _Task(
            label=trial.label,
            clip=clip,
            target=target,
            kernels=kernels,
            corners=corners,
            trial=trial,
            settings=settings,
            device=device,
            mask_path=folder / f"{file_name('mask', trial.label, clip, key)}.npz",
            measuring=measuring,
        )
    return tasks


def _do(task: _Task, kept: Kept) -> None:
    """Make and measure what a task lacks; tasks of one process share its simulators."""

    def simulator(corners: tuple[ProcessCorner, ...], device: str, *, measuring: bool) -> Simulator:
        kernels, at = (task.kernels, corners) if measuring else only_planes_of(task.kernels, corners)
        key = (kernels_digest(task.kernels), corners, device, measuring)
        return kept(key, lambda: Simulator(kernels, device=device, corners=at))

    if not task.mask_path.exists():
        trial = task.trial
        result = opc.solve(
            task.target.image,
            simulator(task.corners, task.device, measuring=False),
            method=trial.method,
            preset=trial.preset,
            **trial.options_of(task.clip),
        )
        parts.write_mask(task.mask_path, result, task.target.pixel_nm)
    if not task.path.exists():
        mask = parts.read_mask(task.mask_path).bits.image
        found = measure_window(
            mask, task.target.image, simulator(CONTEST_CORNERS, "cpu", measuring=True), task.settings
        )
        partial_path = task.path.with_name(f".{task.path.name}.part-{os.getpid()}")
        found.to_netcdf(partial_path, engine="scipy")
        partial_path.replace(task.path)
