"""Recipes of the solver notebooks: clips to targets, targets to masks, masks to scores and pictures.

Solving is the long part. Each clip's mask, and each score, is stored as soon as it is there, under a key made of
everything that determines it, so an interrupted run goes on where it stopped and a run with nothing changed computes
nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import imageio.v3 as iio
import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import layout, opc
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import DivergedError, SchemaError, UnknownNameError
from maskopt_lib.grid import Grid
from maskopt_lib.layout.clip import RULES
from maskopt_lib.litho import Simulator
from maskopt_lib.metrics.evaluate import SCORES
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.parts import Bits, file_name
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.runs.spread import workers as dask_workers
from maskopt_lib.study.solvers import masks as parts

#: Folder, below a run's own, of the single masks and scores that a run can resume from.
PARTS = "parts"

_RELEASED = "golden/curvyilt_masks/{case}.mask.png"
_OWN = (schema.KERNELS, schema.METHOD, schema.SAMPLE)


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


@dataclass(frozen=True)
class Clips:
    """Targets of a benchmark by name, each made when it is asked for: hundreds need no more memory than one.

    Attributes
    ----------
    benchmark : as for :func:`maskopt_lib.layout.benchmark_clips`.
    names : which clips, in which order; None takes all.
    pixel_nm : side of a pixel in nm; on pixels coarser than the layout's grid, those at least half covered count.
    rule : ``"half-open"`` or ``"inclusive"``, as for :meth:`maskopt_lib.layout.Clip.rasterize`.

    Examples
    --------
    >>> clips = Clips("demo-metal", ["demo-metal-tips"], pixel_nm=8)
    >>> clips.target("demo-metal-tips").shape, clips.raster
    ((256, 256), 'half-open, 8 nm')
    """

    benchmark: str
    names: Sequence[str] | None = None
    pixel_nm: float = 1
    rule: str = "half-open"

    def __post_init__(self) -> None:
        known = layout.benchmark_names(self.benchmark)
        names = known if self.names is None else list(self.names)
        if unknown := [name for name in names if name not in known]:
            raise UnknownNameError(
                f"{self.benchmark} has no clip {unknown[0]!r}; it has {len(known)}, the first: {', '.join(known[:5])} "
                "(layout.benchmark_names lists all)"
            )
        if self.rule not in RULES:
            raise UnknownNameError(f"no raster rule {self.rule!r}; known rules: {', '.join(RULES)}")
        object.__setattr__(self, "names", tuple(names))

    @property
    def raster(self) -> str:
        """Rule and pixel, as records say it."""
        return f"{self.rule}, {self.pixel_nm:g} nm"

    def target(self, name: str) -> np.ndarray:
        """(y, x) uint8 of 0 and 1."""
        return next(image for _, image in replace(self, names=[name]).items())

    def items(self) -> Iterator[tuple[str, np.ndarray]]:
        """Name and target of each clip, one after the other."""
        for name, clip in layout.benchmark_clips(self.benchmark, self.names).items():
            yield name, clip.rasterize(self.pixel_nm, rule=self.rule, antialiased=False)


def targets(
    benchmark: str, names: Sequence[str] | None = None, *, pixel_nm: float = 1, rule: str = "half-open"
) -> xr.DataArray:
    """Binary rasters of a benchmark's clips, all at once.

    Parameters
    ----------
    benchmark, names, pixel_nm, rule : as for :class:`Clips`, which needs less memory.

    Returns
    -------
    (sample, y, x) uint8 of 0 and 1 with pixel centres in nm; its attribute ``raster`` says how it was made.
    """
    clips = Clips(benchmark, names, pixel_nm, rule)
    images = np.stack([image for _, image in clips.items()])
    return _labelled(images, list(clips.names), pixel_nm).assign_attrs(raster=clips.raster)


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


def solve_and_score(
    wanted: Clips | xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    trials: Sequence[Trial],
    run: Run,
    *,
    scores: Sequence[str] | None = None,
    against: Clips | xr.DataArray | None = None,
    workers: int = 1,
    device: str | torch.device = "cpu",
    masks: str | None = "masks",
    empty_if_diverged: bool = False,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Solve every clip by every trial under every kernel set, and score each mask under the set it was made for.

    Memory holds one mask at a time; all of them end in a store, one bit a pixel.

    Parameters
    ----------
    wanted : the targets: :class:`Clips`, or an array (sample, y, x) of 0 and 1.
    kernels : name -> kernel set.
    trials : the ways to make masks.
    run : single results are kept below its folder, and taken from there where they are.
    scores : names of the scores, of :mod:`maskopt_lib.data.schema`; all by default, none for ``[]``.
    against : other targets to score against, by the same names, where these differ from the ones to solve for (another
        raster rule, for example).
    workers : processes among which masks are spread; the threads of torch are shared out among them. Times of solvers
        are longer where several share the cores.
    device : where to compute.
    masks : name of the store of all masks below the run's folder, for :func:`maskopt_lib.study.load_masks`; None
        leaves it out.
    empty_if_diverged : a setting whose objective becomes infinite gets an empty mask, which scores as badly as it
        deserves, and its history says why; for searches, where one bad setting must not end all. By default an error.

    Returns
    -------
    scores : Dataset (kernels, method, sample) with ``runtime_s`` of the solver; its attributes say how it was taken.
    histories : Dataset of :func:`maskopt_lib.study.solvers.masks.histories` over the same dimensions.

    Raises
    ------
    UnknownNameError : an unknown method, preset, option or score, before anything is solved.
    """
    only = None if scores is None else tuple(scores)
    bench = _Bench.of(wanted, kernels, trials, run, device=device, against=against)
    tasks = bench.tasks(only, empty_if_diverged=empty_if_diverged)
    _do_all(tasks, workers, "masks")
    kept = {at: parts.read_mask(task.path) for at, task in tasks.items()}
    histories = parts.histories(kept, _OWN)
    if only == ():
        found = xr.Dataset(coords={dim: histories[dim] for dim in _OWN})
    else:
        found = _scores_dataset({at: parts.read_scores(task.score_path) for at, task in tasks.items()}, _OWN)
    found[schema.RUNTIME] = histories[schema.RUNTIME]
    said = {"raster": bench.solved_on} | ({"scored_against": bench.scored_on} if against is not None else {})
    if masks is not None:
        run.save_packed(
            (part.bits.packed for part in kept.values()),
            masks,
            coords={dim: histories[dim].values for dim in _OWN},
            shape=next(iter(kept.values())).bits.shape,
            pixel_nm=bench.pixel_nm,
        )
    return schema.label(found).assign_attrs(said), histories.assign_attrs(said)


def solve_clips(
    wanted: Clips | xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    trials: Sequence[Trial],
    run: Run,
    *,
    workers: int = 1,
    device: str | torch.device = "cpu",
) -> tuple[xr.DataArray, xr.Dataset]:
    """Solve every clip by every trial under every kernel set, resumably, with all masks in memory.

    Parameters
    ----------
    wanted, kernels, trials, run, workers, device : as for :func:`solve_and_score`, which keeps no mask in memory.

    Returns
    -------
    masks : (kernels, method, sample, y, x) uint8.
    histories : Dataset (kernels, method, sample, step, term) with ``runtime_s`` and its phases.
    """
    bench = _Bench.of(wanted, kernels, trials, run, device=device)
    tasks = bench.tasks(())
    _do_all(tasks, workers, "masks")
    kept = {at: parts.read_mask(task.path) for at, task in tasks.items()}
    histories = parts.histories(kept, _OWN)
    shape = next(iter(kept.values())).bits.shape
    # Filled one by one: joining arrays would hold every mask several times.
    images = np.empty((len(tasks), *shape), np.uint8)
    for image, part in zip(images, kept.values(), strict=True):
        image[...] = part.bits.image
    images = images.reshape(*(histories.sizes[dim] for dim in _OWN), *shape)
    coords = {dim: histories[dim].values for dim in _OWN} | _pixel_centres(shape, bench.pixel_nm)
    return xr.DataArray(images, coords, (*_OWN, schema.Y, schema.X), name="mask"), histories


def score_masks(
    masks: xr.DataArray,
    wanted: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    *,
    only: Sequence[str] | None = None,
    run: Run | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Score every mask under every kernel set.

    Parameters
    ----------
    masks : (*dims, sample, y, x), 0 or 1.
    wanted : targets (sample, y, x); each mask finds its own by the name of the sample.
    kernels : name -> kernel set; a new first dimension ``scored_with``.
    only : names of the scores; all by default.
    run : keep single scores below its folder, and take from there what is known; needed for several workers.
    workers : processes among which masks are spread.

    Returns
    -------
    Dataset (scored_with, *dims, sample).
    """
    dims = ("scored_with", *masks.dims[:-2])
    return _scored(masks, wanted, kernels, dims, only=only, run=run, workers=workers)


def score_own(
    masks: xr.DataArray,
    wanted: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    *,
    only: Sequence[str] | None = None,
    run: Run | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Score masks over ``kernels`` under the kernel set that each was made for.

    Parameters
    ----------
    masks : (kernels, *dims, sample, y, x), 0 or 1; entries of ``kernels`` are names in the mapping.
    wanted, kernels, only, run, workers : as for :func:`score_masks`.

    Returns
    -------
    Dataset (kernels, *dims, sample).
    """
    if masks.dims[0] != schema.KERNELS:
        raise SchemaError(f"expected masks (kernels, *dims, sample, y, x), got {masks.dims}")
    return _scored(masks, wanted, kernels, masks.dims[:-2], only=only, run=run, workers=workers)


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


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One mask to make, or to score, or both; self-contained, so that another process can do it."""

    at: tuple[str, ...]
    kernels: SocsKernels
    mask: Bits | None = None
    target: Bits
    against: Bits
    path: Path | None = None
    method: str = ""
    preset: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)
    empty_if_diverged: bool = False
    device: str = "cpu"
    scores: tuple[str, ...] | None = ()
    scores_dir: Path
    scores_code: str = ""

    def __str__(self) -> str:
        return ", ".join(str(part) for part in self.at)

    @property
    def bits(self) -> Bits:
        """The mask, once it is there."""
        return self.mask if self.mask is not None else parts.read_mask(self.path).bits

    @property
    def score_path(self) -> Path:
        """Where the scores of the mask are kept."""
        kernels = kernels_digest(self.kernels)
        key = parts.score_key(self.bits, self.against, kernels, self.scores, self.scores_code)
        return self.scores_dir / f"{key}.npz"

    @property
    def is_solved(self) -> bool:
        return self.mask is not None or self.path.exists()

    @property
    def is_done(self) -> bool:
        return self.is_solved and (self.scores == () or self.score_path.exists())


def _do(task: _Task, kept: Kept) -> None:
    """Make what a task lacks; tasks of one process share its simulators."""
    if not task.is_solved:
        sim = _simulator(task.kernels, task.device, kept)
        try:
            result = opc.solve(task.target.image, sim, method=task.method, preset=task.preset, **task.changes)
        except DivergedError as error:
            if not task.empty_if_diverged:
                raise
            parts.write_empty_mask(task.path, task.target, f"diverged: {error}")
        else:
            parts.write_mask(task.path, result, task.target.pixel_nm)
    if task.scores != () and not (path := task.score_path).exists():
        # Scores are taken in one place and one way, wherever the mask was made.
        parts.write_scores(path, task.bits, task.against, _simulator(task.kernels, "cpu", kept), task.scores)


def _simulator(kernels: SocsKernels, device: str, kept: Kept) -> Simulator:
    return kept((kernels_digest(kernels), device), partial(Simulator, kernels, device=device))


def _do_all(tasks: Mapping[tuple[str, ...], _Task], workers: int, what: str) -> None:
    open_tasks = [task for task in tasks.values() if not task.is_done]
    with _bar(len(tasks), what) as bar:
        bar.update(len(tasks) - len(open_tasks))

        def tell(task: _Task) -> None:
            bar.set_postfix_str(str(task), refresh=False)
            bar.update()

        n = min(workers, len(open_tasks))
        with dask_workers(n, threads=max(1, torch.get_num_threads() // max(1, n))) as client:
            for task, _ in spread(_do, open_tasks, client=client):
                tell(task)


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """What is to be solved, with all that keys need computed once."""

    samples: Mapping[str, tuple[Bits, Bits]]
    kernels: Mapping[str, SocsKernels]
    trials: Sequence[Trial]
    folder: Path
    device: str
    pixel_nm: float
    solved_on: str
    scored_on: str

    @classmethod
    def of(cls, wanted, kernels, trials, run: Run, *, device, against=None) -> _Bench:
        labels = [trial.label for trial in trials]
        if len(set(labels)) < len(labels):
            raise SchemaError(f"two trials have one label: {', '.join(labels)}; a label is a row of the table")
        made_for = dict(_packed(wanted))
        judged = dict(_packed(against)) if against is not None else made_for
        if lacking := [name for name in made_for if name not in judged]:
            raise UnknownNameError(f"nothing to score {', '.join(lacking)} against; there are: {', '.join(judged)}")
        folder = run.out_dir / PARTS
        (folder / "scores").mkdir(parents=True, exist_ok=True)
        return cls(
            samples={name: (bits, judged[name]) for name, bits in made_for.items()},
            kernels=kernels,
            trials=trials,
            folder=folder,
            device=str(device),
            pixel_nm=next(iter(made_for.values())).pixel_nm,
            solved_on=_raster(wanted),
            scored_on=_raster(wanted if against is None else against),
        )

    def tasks(self, scores: tuple[str, ...] | None, *, empty_if_diverged: bool = False) -> dict[tuple[str, ...], _Task]:
        """(kernels, method, sample) -> what is to be done, in the order asked for."""
        _check_scores(scores)
        code = {trial.method: method_digest(trial.method) for trial in self.trials}
        scores_code = parts.scores_digest() if scores != () else ""
        tasks = {}
        for (set_name, kernels), trial in product(self.kernels.items(), self.trials):
            digest = kernels_digest(kernels)
            for clip, (target, against) in self.samples.items():
                changes = trial.options_of(clip)
                key = parts.mask_key(
                    target,
                    digest,
                    method=trial.method,
                    preset=trial.preset,
                    changes=changes,
                    code=code[trial.method],
                    device=self.device,
                    empty_if_diverged=empty_if_diverged,
                )
                tasks[set_name, trial.label, clip] = _Task(
                    at=(set_name, trial.label, clip),
                    kernels=kernels,
                    target=target,
                    against=against,
                    path=self.folder / f"{file_name(set_name, trial.label, clip, key)}.npz",
                    method=trial.method,
                    preset=trial.preset,
                    changes=changes,
                    empty_if_diverged=empty_if_diverged,
                    device=self.device,
                    scores=scores,
                    scores_dir=self.folder / "scores",
                    scores_code=scores_code,
                )
        return tasks


def _scored(
    masks: xr.DataArray,
    wanted: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    dims: tuple[str, ...],
    *,
    only: Sequence[str] | None,
    run: Run | None,
    workers: int,
) -> xr.Dataset:
    """Scores over ``dims``, whose first one names the kernel set to score with."""
    samples = dict(_packed(wanted))
    pixel_nm = next(iter(samples.values())).pixel_nm
    only = None if only is None else tuple([only] if isinstance(only, str) else only)
    _check_scores(only)
    code = parts.scores_digest()
    labels = {"scored_with": list(kernels)} | {d: masks[d].values.tolist() for d in masks.dims[:-2]}
    tasks = {}
    with tempfile.TemporaryDirectory() as lost:
        folder = Path(lost) if run is None else run.out_dir / PARTS / "scores"
        folder.mkdir(parents=True, exist_ok=True)
        for at in product(*(labels[dim] for dim in dims)):
            sample = at[dims.index(schema.SAMPLE)]
            image = masks.sel({dim: label for dim, label in zip(dims, at, strict=True) if dim in masks.dims})
            tasks[at] = _Task(
                at=at,
                kernels=_known(kernels, at[0]),
                mask=Bits.of(image.values, pixel_nm),
                target=_known(samples, sample),
                against=_known(samples, sample),
                scores=only,
                scores_dir=folder,
                scores_code=code,
            )
        _do_all(tasks, workers, "scores")
        found = _scores_dataset({at: parts.read_scores(task.score_path) for at, task in tasks.items()}, dims)
    return found.assign_attrs(raster=_raster(wanted))


def _scores_dataset(
    found: Mapping[tuple[str, ...], tuple[Mapping[str, float], Mapping[str, Any]]], dims: tuple[str, ...]
) -> xr.Dataset:
    """Scores by label, every combination of labels in order, as one Dataset."""
    labels = {dim: list(dict.fromkeys(at[i] for at in found)) for i, dim in enumerate(dims)}
    shape = [len(names) for names in labels.values()]
    rows = list(found.values())
    values = {name: np.array([scores[name] for scores, _ in rows]).reshape(shape) for name in rows[0][0]}
    # The kernel set is a label, the rest holds for all.
    attrs = {key: value for key, value in rows[0][1].items() if all(a.get(key) == value for _, a in rows)}
    attrs.pop("kernels", None)
    return schema.label(xr.Dataset({name: (dims, v) for name, v in values.items()}, coords=labels, attrs=attrs))


def _packed(wanted: Clips | xr.DataArray) -> Iterator[tuple[str, Bits]]:
    if isinstance(wanted, Clips):
        yield from ((name, Bits.of(image, wanted.pixel_nm)) for name, image in wanted.items())
    else:
        pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
        yield from ((image[schema.SAMPLE].item(), Bits.of(image.values, pixel_nm)) for image in wanted)


def _raster(wanted: Clips | xr.DataArray) -> str:
    return wanted.raster if isinstance(wanted, Clips) else wanted.attrs.get("raster", "as given")


def _known(things: Mapping[str, Any], name: str) -> Any:
    if name not in things:
        raise UnknownNameError(f"there is no {name!r} among {', '.join(map(str, things))}")
    return things[name]


def _check_scores(names: Sequence[str] | None) -> None:
    if unknown := set(names or ()) - set(SCORES):
        raise UnknownNameError(f"no such score: {sorted(unknown)}; the known ones are {list(SCORES)}")


def _labelled(images: np.ndarray, names: list[str], pixel_nm: float) -> xr.DataArray:
    coords = {schema.SAMPLE: names} | _pixel_centres(images.shape[-2:], pixel_nm)
    return xr.DataArray(images, coords, (schema.SAMPLE, schema.Y, schema.X))


def _pixel_centres(shape: tuple[int, int], pixel_nm: float) -> dict[str, tuple]:
    return {
        dim: (dim, Grid(n, pixel_nm).centres_nm, {"units": "nm", "long_name": dim})
        for dim, n in zip((schema.Y, schema.X), shape, strict=True)
    }
