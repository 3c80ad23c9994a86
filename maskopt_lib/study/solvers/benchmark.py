"""Recipes of the solver notebooks: targets to masks, masks to scores.

A run with nothing changed computes nothing: see :mod:`maskopt_lib.study.solvers.masks`.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.metrics.evaluate import ALL_SCORES, SCORES
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.gather import complete, labelled
from maskopt_lib.runs.parts import Bits, read_dataset
from maskopt_lib.runs.record import Run
from maskopt_lib.study.labelled_images import images, pixel_of
from maskopt_lib.study.solvers.clips import Clips, raster_of, target_bits
from maskopt_lib.study.solvers.masks import (
    DIMS,
    ScoreTask,
    Trial,
    histories,
    make_mask,
    mask_bits,
    mask_tasks,
    score_mask,
    score_path,
    scores_digest,
)


def solve_and_score(
    targets: Clips | xr.DataArray,
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
    targets : :class:`Clips`, or an array (sample, y, x) of 0 and 1.
    kernels : name -> kernel set.
    trials : the ways to make masks; of none there are scores and histories without a row, and no masks.
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
    names = _known_scores(scores)
    bits = target_bits(targets)
    judged = bits if against is None else target_bits(against)
    if lacking := [name for name in bits if name not in judged]:
        raise UnknownNameError(f"nothing to score {', '.join(lacking)} against; there are: {', '.join(judged)}")
    if not trials:
        return _of_no_trials(bits, kernels, names)
    tasks = mask_tasks(bits, kernels, trials, run.out_dir, device=device, empty_if_diverged=empty_if_diverged)
    complete(make_mask, tasks, workers=workers, title="masks", unit="mask")
    about = {"raster": raster_of(targets)} | ({} if against is None else {"scored_against": raster_of(against)})
    history = histories({task.at: task.path for task in tasks}, DIMS).assign_attrs(about)
    found = xr.Dataset(coords={dim: history[dim] for dim in DIMS})
    if names != ():
        made = (
            (task.at, mask_bits(task.path), judged[clip], kernels[kernel_set])
            for task in tasks
            for kernel_set, _, clip in [task.at]
        )
        found = _scores(made, DIMS, names, run.out_dir, workers)
    if masks is not None:
        first = next(iter(bits.values()))
        run.save_packed(
            (mask_bits(task.path).packed for task in tasks),
            masks,
            coords={dim: history[dim].values for dim in DIMS},
            shape=first.shape,
            pixel_nm=first.pixel_nm,
        )
    return schema.label(found.assign({schema.RUNTIME: history[schema.RUNTIME]})).assign_attrs(about), history


def solve_clips(
    targets: Clips | xr.DataArray,
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
    targets, kernels, trials, run, workers, device : as for :func:`solve_and_score`, which keeps no mask in memory.

    Returns
    -------
    masks : (kernels, method, sample, y, x) uint8.
    histories : Dataset (kernels, method, sample, step, term) with ``runtime_s`` and its phases.

    Raises
    ------
    SchemaError : no trials.
    UnknownNameError : an unknown method, preset or option.
    """
    if not trials:
        raise SchemaError("no trials: name at least one way to make masks")
    tasks = mask_tasks(target_bits(targets), kernels, trials, run.out_dir, device=device)
    complete(make_mask, tasks, workers=workers, title="masks", unit="mask")
    history = histories({task.at: task.path for task in tasks}, DIMS)
    # Filled one by one: joining arrays would hold every mask twice.
    masks = np.empty((len(tasks), *tasks[0].target.shape), np.uint8)
    for mask, task in zip(masks, tasks, strict=True):
        mask[...] = mask_bits(task.path).image
    labels = {dim: history[dim].values.tolist() for dim in DIMS}
    masks = masks.reshape(*map(len, labels.values()), *masks.shape[1:])
    return images(masks, tasks[0].target.pixel_nm, **labels).rename("mask"), history


def _of_no_trials(
    targets: Mapping[str, Bits], kernels: Mapping[str, SocsKernels], names: tuple[str, ...] | None
) -> tuple[xr.Dataset, xr.Dataset]:
    """Scores and histories of :func:`solve_and_score` without a row."""
    labels = {schema.KERNELS: list(kernels), schema.METHOD: np.array([], str), schema.SAMPLE: list(targets)}
    steps = {schema.STEP: np.array([], int), schema.TERM: np.array([], str)}

    def nothing(*more: str) -> tuple[tuple[str, ...], np.ndarray]:
        return (*DIMS, *more), np.empty((len(kernels), 0, len(targets), *(0 for _ in more)))

    scores = dict.fromkeys([*(SCORES if names is None else names), schema.RUNTIME], nothing())
    history = {"value": nothing(*steps), "weight": nothing(schema.TERM), schema.RUNTIME: nothing()}
    return schema.label(xr.Dataset(scores, labels)), schema.label(xr.Dataset(history, labels | steps))


def score_masks(
    masks: xr.DataArray,
    targets: xr.DataArray,
    kernels: Mapping[str, SocsKernels],
    *,
    own: bool = False,
    only: Sequence[str] | None = None,
    run: Run | None = None,
    workers: int = 1,
) -> xr.Dataset:
    """Score every mask under every kernel set, or each under its own.

    Parameters
    ----------
    masks : ``(*dims, sample, y, x)``, 0 or 1.
    targets : (sample, y, x); each mask finds its own by the name of the sample.
    kernels : name -> kernel set.
    own : the masks' first dimension is ``kernels``, the name of the set that each was made for, and that it is scored
        under.
    only : names of the scores; all by default.
    run : keep single scores below its folder, and take from there what is known; needed for several workers.
    workers : processes among which masks are spread.

    Returns
    -------
    Dataset ``(scored_with, *dims, sample)``; of ``own`` ones ``(kernels, *dims, sample)``.

    Raises
    ------
    SchemaError : ``own`` masks whose first dimension is another one.
    UnknownNameError : an unknown score, or a mask without a target or a kernel set.
    """
    if own and masks.dims[0] != schema.KERNELS:
        raise SchemaError(f"expected masks (kernels, *dims, sample, y, x), got {masks.dims}")
    dims = masks.dims[:-2] if own else ("scored_with", *masks.dims[:-2])
    names = _known_scores(only)
    bits, pixel_nm = target_bits(targets), pixel_of(targets)
    labels = {"scored_with": list(kernels)} | {dim: masks[dim].values.tolist() for dim in masks.dims[:-2]}
    for known, dim in ((kernels, dims[0]), (bits, schema.SAMPLE)):
        if unknown := [name for name in labels[dim] if name not in known]:
            raise UnknownNameError(f"there is no {unknown[0]!r} among {', '.join(map(str, known))}")

    def made() -> Iterator[tuple[tuple, Bits, Bits, SocsKernels]]:
        for at in product(*(labels[dim] for dim in dims)):
            label = dict(zip(dims, at, strict=True))
            image = masks.sel({dim: label[dim] for dim in masks.dims[:-2]})
            yield at, Bits.of(image.values, pixel_nm), bits[label[schema.SAMPLE]], kernels[at[0]]

    with tempfile.TemporaryDirectory() as lost:
        found = _scores(made(), dims, names, Path(lost) if run is None else run.out_dir, workers)
    return found.assign_attrs(raster=raster_of(targets))


def _scores(
    made: Iterable[tuple[tuple, Bits, Bits, SocsKernels]],
    dims: Sequence[str],
    names: tuple[str, ...] | None,
    folder: Path,
    workers: int,
) -> xr.Dataset:
    """Scores over ``dims`` of masks that come with their labels, target and kernels."""
    code, tasks = scores_digest(), []
    for at, mask, target, kernels in made:
        path = score_path(folder, mask, target, kernels_digest(kernels), names, code)
        tasks.append(ScoreTask(at=at, mask=mask, target=target, kernels=kernels, scores=names, path=path))
    complete(score_mask, tasks, workers=workers, title="scores", unit="mask")
    return schema.label(labelled({task.at: read_dataset(task.path) for task in tasks}, dims))


def _known_scores(names: Sequence[str] | None) -> tuple[str, ...] | None:
    names = None if names is None else tuple([names] if isinstance(names, str) else names)
    if unknown := set(names or ()) - set(ALL_SCORES):
        raise UnknownNameError(f"no such score: {sorted(unknown)}; the known ones are {list(ALL_SCORES)}")
    return names
