"""Masks through focus and exposure: made for any process corners, measured over the matrix, compared by window."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import ProcessCorner, Simulator
from maskopt_lib.metrics import dimensions as dm
from maskopt_lib.metrics import process_window as pw
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import Bits, part_path, read_dataset, write_dataset
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept
from maskopt_lib.runs.tables import MEAN
from maskopt_lib.study.labelled_images import images, pictures
from maskopt_lib.study.solvers import focus_exposure as fe
from maskopt_lib.study.solvers.clips import Clips, target_bits
from maskopt_lib.study.solvers.focus_exposure import SCORES, WindowSettings, measure_window, union_band
from maskopt_lib.study.solvers.masks import Trial, histories, make_mask, mask_bits, mask_tasks, scores_digest, simulator

CRITERION, SHAPE, METHOD = "criterion", "shape", schema.METHOD
_MARGIN_NM = 200.0  # of a picture around the target
#: Numbers of a mask: name -> what it is and its unit, and what tables call it.
_SUMMARY = {
    "dof_nm": (("depth of focus", "nm"), "DOF [nm]"),
    "largest_latitude_percent": (("exposure latitude at best focus", "%"), "EL [%]"),
    "nils_median": ("median NILS", "NILS"),
    "nils_p10": ("NILS, lowest tenth", "NILS, lowest tenth"),
    "meef_median": ("median MEEF", "MEEF"),
    "meef_p90": ("MEEF, highest tenth", "MEEF, highest tenth"),
    fe.BAND: ((fe.BAND_NAME, "nm2"), "union PV band [nm2]"),
}
_CODE = (
    "maskopt_lib.study.solvers.focus_exposure",
    "maskopt_lib.metrics.process_window",
    "maskopt_lib.metrics.dimensions",
)


@dataclass(frozen=True, kw_only=True)
class WindowTrial(Trial):
    """One way to make masks, with process corners of its own.

    Attributes
    ----------
    corners : name -> (defocus in nm, dose on the amplitude), besides ``nominal``, ``outer`` and ``inner`` of the
        contest, or in their place where the name is one of these. What a method makes of them is up to its options.
    """

    corners: Mapping[str, Sequence[float]] = field(default_factory=dict)

    def imaging(self, kernels: SocsKernels) -> tuple[SocsKernels, tuple[ProcessCorner, ...]]:
        """The planes that its corners ask for, and the corners among these."""
        return fe.only_planes_of(kernels, fe.corners_of(kernels, self.corners))


def through_window(
    targets: Clips | xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[WindowTrial],
    run: Run,
    *,
    settings: WindowSettings | None = None,
    workers: int = 1,
    device: str | torch.device = "cpu",
) -> tuple[xr.Dataset, xr.DataArray]:
    """Make the masks of every trial and measure each through focus and exposure, resumably.

    Parameters
    ----------
    targets : of the clips.
    kernels : of :func:`maskopt_lib.optics.through_focus`; masks are made and measured under it.
    trials : the ways to make masks.
    run : single masks and measurements are kept below its folder, and taken from there where they are.
    settings : what is measured; by default :class:`WindowSettings` as they stand.
    workers : processes among which the masks are spread.
    device : where masks are made; they are measured on the CPU.

    Returns
    -------
    measured : what :func:`measure_window` finds over ``method``; sites and cuts of all clips follow each other, with
        coordinates ``site_sample`` and ``cut_sample``; scores over ``sample``; ``runtime_s`` of the solvers.
    masks : (method, sample, y, x) uint8.
    """
    settings, bits = settings or WindowSettings(), target_bits(targets)
    labels, clips = [trial.label for trial in trials], list(bits)
    tasks = mask_tasks(bits, {kernels.name: kernels}, trials, run.out_dir, device=device)
    complete(make_mask, tasks, workers=workers, title="masks", unit="mask")
    code = [source_hash(_CODE, follow=False), scores_digest()]
    digest = [kernels_digest(kernels), list(kernels.defocus_nm), asdict(settings), code]
    measurements = {}
    for task in tasks:
        _, label, clip = task.at
        mask = mask_bits(task.path)
        key = key_of([mask.digest(), task.target.digest(), digest])
        path = part_path(run.out_dir, "window", clip, key=key)
        measurements[label, clip] = _Measurement(
            at=(label, clip), mask=mask, target=task.target, kernels=kernels, settings=settings, path=path
        )
    complete(_measure, measurements.values(), workers=workers, title="windows", unit="mask")
    by_method = [_joined({clip: read_dataset(measurements[label, clip].path) for clip in clips}) for label in labels]
    measured = xr.concat(by_method, pd.Index(labels, name=METHOD), coords="minimal", compat="override", join="override")
    made = histories({task.at[1:]: task.path for task in tasks}, (METHOD, schema.SAMPLE))
    masks = np.stack([measurement.mask.image for measurement in measurements.values()])
    masks = images(
        masks.reshape(len(labels), len(clips), *masks.shape[1:]), tasks[0].target.pixel_nm, method=labels, sample=clips
    )
    attrs = {"kernels": kernels.name, "criteria": list(settings.criteria)} | {
        name: list(value) if isinstance(value, Sequence) else value for name, value in asdict(settings).items()
    }
    measured[schema.RUNTIME] = made[schema.RUNTIME]
    return schema.label(measured).assign_attrs(attrs), masks.rename("mask")


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
    planes, criteria = measured[pw.DEFOCUS].values, pd.Index(measured.attrs["criteria"], name=CRITERION)
    by_method = [
        xr.concat([_one_window(limits, planes, share, latitude_percent) for limits in _limits_of(method)], criteria)
        for method in (measured.sel({METHOD: name}) for name in measured[METHOD].values)
    ]
    found = xr.concat(by_method, measured[METHOD])
    return found.assign_attrs(at_latitude_percent=latitude_percent, share=share)


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


def summary(measured: xr.Dataset, common: xr.Dataset, *, criterion: str) -> xr.Dataset:
    """One row a mask: window, slope, mask error, band and contest scores.

    Parameters
    ----------
    measured : of :func:`through_window`.
    common : of :func:`windows`.
    criterion : of the windows that are told; their ellipses.

    Returns
    -------
    Dataset over ``method``; scores are means over the clips; ``nils_p10``: a tenth of the edges have less;
    ``meef_p90``: a tenth of the cutlines, of those that print, have more.
    """
    quoted = common.sel({CRITERION: criterion, SHAPE: "ellipse"})
    columns = {
        "dof_nm": quoted["dof_nm"],
        "largest_latitude_percent": quoted["largest_latitude_percent"],
        "nils_median": measured["nils"].median([dm.CUT, "edge"]),
        "nils_p10": measured["nils"].quantile(0.1, [dm.CUT, "edge"]).drop_vars("quantile"),
        "meef_median": measured["meef"].median(dm.CUT),
        "meef_p90": measured["meef"].quantile(0.9, dm.CUT).drop_vars("quantile"),
        fe.BAND: measured[fe.BAND].mean(schema.SAMPLE),
    } | {name: measured[name].mean(schema.SAMPLE) for name in (*SCORES, schema.RUNTIME)}
    ds = xr.Dataset({name: value.reset_coords(drop=True) for name, value in columns.items()})
    return schema.label(schema.described(ds, {name: text for name, (text, _) in _SUMMARY.items()}))


def summary_table(rows: xr.Dataset) -> pd.DataFrame:
    """:func:`summary` as :func:`~maskopt_lib.study.write_table` takes it: one row a mask."""
    called = {name: text for name, (_, text) in _SUMMARY.items()}
    means = (fe.BAND, *SCORES, schema.RUNTIME)
    columns = {
        (called.get(name, name), MEAN if name in means else "all clips"): rows[name].to_series()
        for name in (*called, *SCORES, schema.RUNTIME)
    }
    return pd.DataFrame(columns).rename_axis(METHOD)


def band_pictures(
    masks: xr.DataArray, target: xr.DataArray, kernels: SocsKernels, settings: WindowSettings
) -> xr.Dataset:
    """Target, mask, nominal print, and the union and intersection of all prints, around the target.

    Parameters
    ----------
    masks : (method, y, x) of one clip.
    target : (y, x), 0 or 1.
    kernels, settings : as for :func:`through_window`.

    Returns
    -------
    Dataset of uint8 ``target``, ``mask``, ``nominal``, ``outer`` (union) and ``inner`` (intersection) over method, y
    and x, as :func:`maskopt_lib.figures.mask_panels` draws it.
    """
    sim = Simulator(kernels)
    prints = xr.DataArray(
        np.stack([[sim.printed(mask)[0].cpu().numpy(), *union_band(mask, sim, settings)] for mask in masks.values], 1),
        dims=(schema.CORNER, *masks.dims),
        coords={schema.CORNER: list(schema.CORNERS), **masks.coords},
        attrs={"kernels": kernels.name},
    )
    shown = pictures(masks, target, prints, margin_nm=_MARGIN_NM, around=["target"])
    shown[schema.OUTER].attrs["long_name"] = "union of prints"
    shown[schema.INNER].attrs["long_name"] = "intersection of prints"
    return shown


def _limits_of(measured: xr.Dataset) -> list[xr.Dataset]:
    """Limits of exposure of one method, a Dataset each criterion."""
    by_edge = measured[["site_lowest", "site_highest"]].rename(site_lowest="lowest", site_highest="highest")
    by_width = measured[["cut_lowest", "cut_highest"]].rename(cut_lowest="lowest", cut_highest="highest")
    return [*(by_edge.isel({fe.LIMIT: i}) for i in range(measured.sizes[fe.LIMIT])), by_width]


def _one_window(limits: xr.Dataset, planes: np.ndarray, share: float, latitude_percent: float) -> xr.Dataset:
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


def _joined(measured: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Measurements of several clips: features behind each other, scores over samples."""
    how = {"coords": "minimal", "compat": "override", "join": "override"}
    scores = [clip[[name for name, values in clip.data_vars.items() if not values.dims]] for clip in measured.values()]
    joined = [xr.concat(scores, pd.Index(list(measured), name=schema.SAMPLE), **how)]
    for dim in (schema.SITE, dm.CUT):
        features = [
            clip[[name for name, values in clip.data_vars.items() if dim in values.dims]].assign_coords(
                {f"{dim}_sample": (dim, [name] * clip.sizes[dim])}
            )
            for name, clip in measured.items()
        ]
        joined.append(xr.concat(features, dim, **how))
    return xr.merge(joined, compat="override", join="override")


@dataclass(frozen=True, kw_only=True)
class _Measurement(Task):
    """One mask to measure."""

    mask: Bits
    target: Bits
    kernels: SocsKernels
    settings: WindowSettings


def _measure(task: _Measurement, kept: Kept) -> None:
    sim = simulator(task.kernels, kept)
    write_dataset(task.path, measure_window(task.mask.image, task.target.image, sim, task.settings))
