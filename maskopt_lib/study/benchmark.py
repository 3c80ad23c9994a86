"""Recipes of the solver notebooks: clips to targets, targets to masks, masks to scores and pictures.

Solving is the long part. Each clip's mask is stored as soon as it is there, under a key made of everything that
determines it, so an interrupted run goes on where it stopped and a run with nothing changed solves nothing.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

import maskopt_lib
from maskopt_lib import layout, metrics, opc
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.grid import Grid
from maskopt_lib.litho import Simulator
from maskopt_lib.optics import SocsKernels
from maskopt_lib.study.record import Run, load, load_masks

#: Folder, below a run's own, of the single masks that a run can resume from.
PARTS = "parts"

_RELEASED = "golden/curvyilt_masks/{case}.mask.png"


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One way to make masks, as a row of a table.

    Attributes
    ----------
    label : what the row is called.
    method, preset : as for :func:`maskopt_lib.opc.solve`.
    options : single options that differ from the preset.
    per_clip : options that differ from clip to clip: option -> clip name -> value.
    """

    label: str
    method: str
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    per_clip: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def options_of(self, clip: str) -> dict[str, Any]:
        """All changes from the preset for one clip."""
        return dict(self.options) | {name: values[clip] for name, values in self.per_clip.items() if clip in values}


def targets(benchmark: str, names: Sequence[str] | None = None, *, pixel_nm: float = 1) -> xr.DataArray:
    """Half-open binary rasters of a benchmark's clips.

    Parameters
    ----------
    benchmark, names : as for :func:`maskopt_lib.layout.benchmark_clips`.
    pixel_nm : side of a pixel in nm; on pixels coarser than the layout's grid, those at least half covered count.

    Returns
    -------
    (sample, y, x) uint8 of 0 and 1 with pixel centres in nm.
    """
    clips = layout.benchmark_clips(benchmark, names)
    return _labelled(layout.rasterize_many(clips, pixel_nm, antialiased=False), list(clips), pixel_nm)


def released_masks(cases: Sequence[str]) -> xr.DataArray:
    """The masks that the authors of CurvyILT released, (sample, y, x) uint8 at 1 nm.

    Parameters
    ----------
    cases : names such as ``"M1_test1"``.

    Raises
    ------
    MissingDataError : a file is neither here nor could be fetched.
    """
    images = [iio.imread(manifest.fetch(_RELEASED.format(case=case))) for case in cases]
    return _labelled(np.stack([(i > i.max() // 2).astype(np.uint8) for i in images]), list(cases), 1.0)


def solve_clips(
    wanted: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    trials: Sequence[Trial],
    run: Run,
    *,
    device: str | torch.device = "cpu",
) -> tuple[xr.DataArray, xr.Dataset]:
    """Solve every clip by every trial under every kernel set, one after the other, resumably.

    Parameters
    ----------
    wanted : targets (sample, y, x), 0 or 1.
    kernels : name -> kernel set.
    trials : the ways to make masks.
    run : single results are kept below its folder.
    device : where to compute.

    Returns
    -------
    masks : (kernels, method, sample, y, x) uint8.
    histories : Dataset (kernels, method, sample, step, term) with ``runtime_s`` and its phases.
    """
    masks, histories = [], []
    total = len(kernels) * len(trials) * wanted.sizes[schema.SAMPLE]
    with _bar(total, "masks") as bar:
        for set_name, kernel_set in kernels.items():
            sim = Simulator(kernel_set, device=device)
            for trial in trials:
                parts = []
                for clip in wanted[schema.SAMPLE].values:
                    bar.set_postfix_str(f"{set_name}, {trial.label}, {clip}", refresh=False)
                    parts.append(_solved(wanted.sel(sample=clip), str(clip), sim, trial, run))
                    bar.update()
                at = {schema.KERNELS: [set_name], schema.METHOD: [trial.label]}
                masks.append(xr.concat([m for m, _ in parts], schema.SAMPLE).expand_dims(at))
                histories.append(xr.concat([h for _, h in parts], schema.SAMPLE, join="outer").expand_dims(at))
    order = {
        schema.KERNELS: list(kernels),
        schema.METHOD: [trial.label for trial in trials],
        schema.SAMPLE: wanted[schema.SAMPLE].values,
    }
    # Runs of other lengths share one axis of steps; left to itself, combining would take them for pieces of one.
    longest = max((h[schema.STEP] for h in histories), key=len)
    histories = [h.reindex({schema.STEP: longest}) for h in histories]
    return xr.combine_by_coords(masks)["mask"].sel(order), xr.combine_by_coords(histories).sel(order)


def score_masks(
    masks: xr.DataArray, wanted: xr.DataArray, kernels: Mapping[str, SocsKernels], *, only: Sequence[str] | None = None
) -> xr.Dataset:
    """Score every mask under every kernel set.

    Parameters
    ----------
    masks : (*dims, sample, y, x), 0 or 1.
    wanted : targets (sample, y, x); each mask finds its own by the name of the sample.
    kernels : name -> kernel set; a new first dimension ``scored_with``.
    only : names of the scores; all by default.

    Returns
    -------
    Dataset (scored_with, *dims, sample).
    """
    dims = masks.dims[:-2]
    rows = []
    with _bar(len(kernels) * masks[..., 0, 0].size, "scores") as bar:
        for name, kernel_set in kernels.items():
            sim = Simulator(kernel_set)
            for index in np.ndindex(*(masks.sizes[d] for d in dims)):
                mask = masks[index]
                target = wanted.sel(sample=mask[schema.SAMPLE].item())
                scored = metrics.evaluate(mask.values, target.values, sim, only=only).isel(sample=0, drop=True)
                at = {"scored_with": name} | {d: mask[d].item() for d in dims}
                rows.append(scored.expand_dims({d: [value] for d, value in at.items()}))
                bar.update()
    scores = xr.combine_by_coords(rows, combine_attrs="drop_conflicts")
    # Combining sorts by label; the order of the caller is the order of the tables.
    order = {"scored_with": list(kernels)} | {d: masks[d].values for d in dims}
    return schema.label(scores.sel(order))


def score_own(masks: xr.DataArray, wanted: xr.DataArray, kernels: Mapping[str, SocsKernels]) -> xr.Dataset:
    """Score masks over ``kernels`` under the kernel set that each was made for.

    Parameters
    ----------
    masks : (kernels, *dims, sample, y, x), 0 or 1; entries of ``kernels`` are names in the mapping.
    wanted : targets (sample, y, x).
    kernels : name -> kernel set.

    Returns
    -------
    Dataset (kernels, *dims, sample).
    """
    parts = [
        score_masks(masks.sel({schema.KERNELS: [name]}), wanted, {name: kernels[name]}).squeeze(
            "scored_with", drop=True
        )
        for name in masks[schema.KERNELS].values
    ]
    return xr.concat(parts, schema.KERNELS, combine_attrs="drop_conflicts")


def pictures(masks: xr.DataArray, wanted: xr.DataArray, kernels: SocsKernels, *, margin_nm: float = 60) -> xr.Dataset:
    """Target, mask and prints of single clips, cropped to what there is to see.

    Parameters
    ----------
    masks, wanted : (sample, y, x), 0 or 1; each mask finds its target by the name of the sample.
    kernels : to print with.
    margin_nm : kept around the common bounding box of all masks and targets, in nm.

    Returns
    -------
    Dataset of uint8 ``target``, ``mask``, ``nominal``, ``outer`` and ``inner`` over sample, y and x.
    """
    sim = Simulator(kernels)
    wanted = wanted.sel({schema.SAMPLE: masks[schema.SAMPLE]})
    pixel_nm = float(masks[schema.X][1] - masks[schema.X][0])
    margin = round(margin_nm / pixel_nm)
    used = (masks.any(schema.SAMPLE) | wanted.any(schema.SAMPLE)).values
    ys, xs = (np.flatnonzero(used.any(axis)) for axis in (1, 0))
    window = {
        schema.Y: slice(max(ys[0] - margin, 0), ys[-1] + 1 + margin),
        schema.X: slice(max(xs[0] - margin, 0), xs[-1] + 1 + margin),
    }
    prints = np.stack([sim.printed(mask.values.astype(np.float32)).cpu().numpy() for mask in masks])
    layers = {"target": wanted.values, "mask": masks.values} | dict(
        zip(sim.corners, prints.swapaxes(0, 1), strict=True)
    )
    attrs = {
        "target": "target",
        "mask": "mask",
        schema.NOMINAL: "nominal print",
        schema.OUTER: "outer print",
        schema.INNER: "inner print",
    }
    ds = xr.Dataset(
        {
            name: (masks.dims, values.astype(np.uint8), {"long_name": attrs.get(name, name), "units": "1"})
            for name, values in layers.items()
        },
        coords=masks.coords,
        attrs={"kernels": kernels.name},
    )
    return schema.label(ds.isel(window))


def _bar(total: int, what: str) -> tqdm:
    # Every refresh is a line of the log: one in five seconds tells enough.
    return tqdm(total=total, desc=what, unit="mask", file=sys.stdout, mininterval=5, maxinterval=30)


def _labelled(images: np.ndarray, names: list[str], pixel_nm: float) -> xr.DataArray:
    centres = Grid(images.shape[-1], pixel_nm).centres_nm
    along = {"units": "nm"}
    return xr.DataArray(
        images,
        dims=(schema.SAMPLE, schema.Y, schema.X),
        coords={
            schema.SAMPLE: names,
            schema.Y: (schema.Y, centres, along | {"long_name": "y"}),
            schema.X: (schema.X, centres, along | {"long_name": "x"}),
        },
    )


def _solved(wanted: xr.DataArray, clip: str, sim: Simulator, trial: Trial, run: Run) -> tuple[xr.DataArray, xr.Dataset]:
    """The stored mask and history of one clip, made now unless they are there already."""
    changes = trial.options_of(clip)
    key = _key(wanted, sim, trial, changes)
    name = f"{PARTS}/{sim.kernels.name}-{trial.label}-{clip}-{key}".replace(" ", "_")
    stored = [run.out_dir / f"{name}-{kind}.zarr" for kind in ("mask", "history")]
    if not all(path.exists() for path in stored):
        result = opc.solve(wanted.values, sim, method=trial.method, preset=trial.preset, **changes)
        history = result.history.isel({schema.SAMPLE: 0}).assign(
            {schema.RUNTIME: ((), result.runtime_s)}
            | {
                f"{phase}_s": ((), seconds, {"long_name": f"time to {phase}", "units": "s"})
                for phase, seconds in result.phases_s.items()
            }
        )
        (run.out_dir / PARTS).mkdir(exist_ok=True)
        pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
        run.save_masks(result.mask[None], f"{name}-mask", samples=[clip], pixel_nm=pixel_nm)
        run.save(history.assign_attrs(stopped_by=result.stopped_by), f"{name}-history")
    mask = load_masks(stored[0]).isel({schema.SAMPLE: 0}).astype(np.uint8)
    history = load(stored[1]).assign_coords({schema.SAMPLE: clip})
    return mask.drop_attrs(), history.drop_attrs(deep=False)


def _key(wanted: xr.DataArray, sim: Simulator, trial: Trial, changes: Mapping[str, Any]) -> str:
    """Short hash of all that determines a mask: target, kernels, method, options, device, and the code that acts."""
    if trial.method not in opc.METHODS:
        raise UnknownNameError(f"no method {trial.method!r}; known: {sorted(opc.METHODS)}")
    digest = hashlib.sha256(np.packbits(wanted.values.astype(bool)).tobytes())
    digest.update(sim.kernels.spectra.tobytes() + sim.kernels.weights.tobytes())
    settings = [trial.method, trial.preset, dict(changes), str(sim.device), str(sim.dtype), torch.__version__]
    digest.update(json.dumps(settings, sort_keys=True, default=repr).encode())
    package = Path(inspect.getfile(maskopt_lib)).parent
    for folder in ("litho", "opc"):
        for source in sorted((package / folder).glob("*.py")):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:12]
