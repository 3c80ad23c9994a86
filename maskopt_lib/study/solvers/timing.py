"""Seconds a clip and peak memory, of solvers over batch sizes, and of one code on every device, mode and precision.

Each measurement is kept as soon as it is there, under a key of all that determines it, the machine included; a run that
was interrupted goes on where it stopped. What a machine does not have, or what did not fit, is a row that says so.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import Any

import pandas as pd
import torch
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho.compiled import EAGER, MODES, obstacle
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.gather import labelled, progress
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.parts import part_path, said_of, write_part
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import alone
from maskopt_lib.study.solvers import measuring
from maskopt_lib.study.solvers.clips import target_bits
from maskopt_lib.study.solvers.masks import Trial
from maskopt_lib.study.solvers.measuring import FFT_S, OPERATIONS, PEAK_RATE, STATUS, Job

ROW, BATCH = "row", "batch"
DEVICE, WORKLOAD, MODE, MATMUL = "device", "workload", "mode", "matmul"
MEASURED = "measured"
MEMORY_A_CLIP, FFT_SHARE, PEAK_SHARE = "memory_a_clip_gb", "fft_share", "peak_share"

_TYPES = ("float32", "bfloat16", "float64")
_MEMORY_IS = {
    "cpu": "largest resident memory of the process while it solves, less that before, after a warm-up",
    "cuda": "most memory that torch allocated on the device while it solves, less that before",
}
_TIMES = {
    schema.RUNTIME: ("time a clip", "s"),
    measuring.SHORTEST: ("shortest time a clip", "s"),
    measuring.LONGEST: ("longest time a clip", "s"),
    schema.PEAK_MEMORY: schema.VARIABLES[schema.PEAK_MEMORY],
}
_ON_DEVICES = _TIMES | {
    MEMORY_A_CLIP: ("peak memory a clip", "GB"),
    measuring.FIRST_S: ("time of the first call, with compiling or recording", "s"),
    FFT_S: ("time a clip of two real Fourier Transforms of the mask's grid", "s"),
    FFT_SHARE: ("share of the FFT limit", "1"),
    OPERATIONS: ("floating-point operations a clip in matrix products", "1"),
    PEAK_RATE: ("operations a second of one large matrix product", "1/s"),
    PEAK_SHARE: ("share of the matrix product rate", "1"),
}
_COORDINATES = {
    DEVICE: "where it ran",
    WORKLOAD: "what was timed",
    MODE: "how imaging was run",
    MATMUL: "type of the matrix products",
    BATCH: "clips at once",
}


def measure(
    targets: xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[Trial],
    run: Run,
    *,
    batch_sizes: Sequence[int] | Mapping[str, Sequence[int]],
    device: str | torch.device = "cpu",
    repeats: int = 3,
) -> xr.Dataset:
    """Solve batches of several sizes and take the time and the memory.

    Parameters
    ----------
    targets : (sample, y, x), 0 or 1; they are cycled to fill batches.
    kernels : to solve with.
    trials : the ways to make masks; options that differ from clip to clip are not used.
    run : single measurements are kept below its folder.
    batch_sizes : for all trials, or for each label.
    device : where to compute, ``"cpu"`` or ``"cuda"``.
    repeats : solves of a single clip, each of the next one; batches of n are solved ``repeats / n`` times, at least
        once. Times are the median of these, memory that of the first.

    Returns
    -------
    Dataset (method, batch): ``runtime_s``, seconds a clip of the whole call, its phases, ``shortest_s`` and
    ``longest_s`` of the repeats, and ``peak_memory_gb`` (10^9 bytes). NaN where a trial was not asked for a batch size.

    Raises
    ------
    UnknownNameError : a method, preset or option is not known.
    BrokenProcessPool : a solve ended its process, as it does when memory runs out.

    Notes
    -----
    Before the first solve the process solves one clip for a single step, so that what happens once (reading code,
    matrices of the simulator) is in no time. Threads are those of this process.
    """
    bench, start = _Bench(run), _start(targets, kernels, repeats)
    sizes = batch_sizes if isinstance(batch_sizes, Mapping) else {trial.label: batch_sizes for trial in trials}
    jobs = {}
    for trial in trials:
        for size in map(int, sizes.get(trial.label, ())):
            job_of_trial = {"workload": trial.label, "recipe": trial, "clips": start.clips[: max(repeats, size)]}
            jobs[trial.label, size] = replace(start, size=size, device=str(device), **job_of_trial)
    for job in jobs.values():
        job.recipe.digest()  # a wrong name ends here
    rows = {}
    with progress(len(jobs), "measured", "batch") as bar:
        for at, job in jobs.items():
            bar.set_postfix_str(str(job), refresh=False)
            measured = bench(job, measuring.solved)
            rows[at] = {name: value for name, value in measured.items() if name != measuring.FIRST_S}
            bar.update()
    ds = (
        labelled(rows, (schema.METHOD, BATCH)).sortby(BATCH).reindex({schema.METHOD: [trial.label for trial in trials]})
    )
    phases = {str(name): (f"time a clip to {str(name).removesuffix('_s')}", "s") for name in ds.data_vars}
    texts = {name: _TIMES.get(name, phase) for name, phase in phases.items()} | {BATCH: "clips solved together"}
    return schema.described(ds, texts).assign_attrs(
        kernels=kernels.name,
        device=str(device),
        threads=start.threads,
        repeats=repeats,
        memory=_MEMORY_IS[torch.device(device).type],
        hardware=json.dumps(dict(run.record.hardware), default=str),
    )


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What one batch may cost before it is not tried, judged by the batch before it.

    Attributes
    ----------
    memory_gb : of the process's own resident memory on a CPU, in 10^9 bytes; a GPU is filled until it refuses.
    time_s : of one run of the batch.
    largest : clips; no more are tried.
    """

    memory_gb: float = 4.0
    time_s: float = 60.0
    largest: int = 2**16


def measure_devices(
    targets: xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[Trial],
    run: Run,
    *,
    devices: Sequence[str] = ("cpu", "cuda"),
    modes: Sequence[str] = MODES,
    matmul: Sequence[str] = ("float32",),
    batch_sizes: Sequence[int] = (1, 10, 100),
    step_pixels_nm: Sequence[float] = (8.0,),
    budget: Budget | None = None,
    repeats: int = 3,
) -> xr.Dataset:
    """Time imaging, a gradient step and solvers on each device, in each mode, over batches up to the largest that fits.

    Parameters
    ----------
    targets : (sample, y, x), 0 or 1; they are cycled to fill batches.
    kernels : to image with.
    trials : solvers; options that differ from clip to clip are not used.
    run : single measurements are kept below its folder, and a repeated call goes on where it stopped.
    devices : ``"cpu"``, ``"cuda"``; one that is not here makes rows that say so.
    modes : of :data:`maskopt_lib.litho.compiled.MODES`. Solvers run with imaging in that mode, the gradient step is
        compiled or recorded as a whole.
    matmul : types of the simulator's matrix products, ``"float32"`` or ``"bfloat16"``.
    batch_sizes : ascending. After the last, batches double until one does not fit.
    step_pixels_nm : pixels of imaging and gradient step; whole multiples of the targets'.
    budget : what a batch may cost; by default a :class:`Budget` as it stands.
    repeats : rounds; times are the median.

    Returns
    -------
    Dataset (row) with the coordinates device, workload, mode, matmul and batch; ``status`` is ``"measured"`` or says
    why there is no number. ``runtime_s`` is the time a clip, ``memory_a_clip_gb`` the peak memory over the batch,
    and, for imaging, ``fft_share`` and ``peak_share`` compare with the two limits that
    :mod:`maskopt_lib.study.solvers.measuring` explains.

    Raises
    ------
    UnknownNameError : a mode, type, method, preset or option is not known.

    Notes
    -----
    Memory is counted as in :func:`maskopt_lib.study.measure`: on a GPU what torch allocated, on a CPU resident memory
    of the process beyond what it had before the batch.
    """
    if unknown := sorted(set(modes) - set(MODES)):
        raise UnknownNameError(f"no mode {unknown[0]!r}; known: {MODES}")
    if list(batch_sizes) != sorted(set(batch_sizes)) or not batch_sizes or batch_sizes[0] < 1:
        raise ValueError(f"batch sizes must ascend from at least 1, got {list(batch_sizes)}")
    bench, start, budget = _Bench(run), _start(targets, kernels, repeats), budget or Budget()
    workloads = [
        replace(start, workload=f"{name}, {step_nm:g} nm", step_pixel_nm=float(step_nm))
        for name, step_nm in product((measuring.IMAGING, measuring.STEP), step_pixels_nm)
    ]
    workloads += [replace(start, workload=trial.label, recipe=trial) for trial in trials]
    series = [
        replace(workload, device=device, mode=mode, matmul=_known_type(name))
        for device, workload, name, mode in product(devices, workloads, matmul, modes)
    ]
    rows = []
    with progress(len(series), "measured", "series") as bar:
        for job in series:
            bar.set_postfix_str(f"{job.workload} on {job.device}, {job.mode}, {job.matmul}", refresh=False)
            rows += _ascend(job, bench, batch_sizes, budget)
            bar.update()
    return _rows_dataset(rows).assign_attrs(
        kernels=kernels.name,
        threads=start.threads,
        repeats=repeats,
        budget=json.dumps(asdict(budget)),
        hardware=json.dumps(bench.hardware, default=str),
        memory=json.dumps(_MEMORY_IS),
    )


def product_scores(
    targets: xr.DataArray,
    kernels: SocsKernels,
    trials: Sequence[Trial],
    run: Run,
    *,
    matmul: Sequence[str] = ("float32", "float64", "bfloat16"),
    device: str = "cpu",
) -> xr.Dataset:
    """Scores of masks that were optimised with the simulator's products in several types, all scored in float32.

    Parameters
    ----------
    targets, kernels, trials, run : as for :func:`measure_devices`.
    matmul : types to optimise with. ``"float64"`` computes all in that type: how far it moves the scores is what
        rounding alone does, which a coarser type should be compared with.
    device : where to compute.

    Returns
    -------
    Dataset (method, matmul, sample): ``l2_nm2`` and ``pvb_nm2`` under the simulator in float32.

    Raises
    ------
    UnknownNameError : a type, method, preset or option is not known.
    """
    bench, start = _Bench(run), _start(targets, kernels, repeats=1)
    names, samples = [_known_type(name) for name in matmul], targets[schema.SAMPLE].values.tolist()
    rows = {}
    with progress(len(trials) * len(names) * len(samples), "scored", "mask") as bar:
        for trial, name, (sample, clip) in product(trials, names, zip(samples, start.clips, strict=True)):
            job = replace(start, workload=trial.label, recipe=trial, clips=(clip,), device=device, matmul=name)
            rows[trial.label, name, sample] = bench(job, measuring.scored, fresh=False)
            bar.update()
    ds = labelled(rows, (schema.METHOD, MATMUL, schema.SAMPLE))
    return schema.label(ds).assign_attrs(kernels=kernels.name, device=device, raster=targets.attrs.get("raster", ""))


def present(devices: Sequence[str]) -> list[str]:
    """Those of the devices that this machine has.

    Examples
    --------
    >>> present(["cpu"])
    ['cpu']
    """
    return [device for device in devices if obstacle(EAGER, device) is None]


class _Bench:
    """Does jobs, each kept as soon as it is done and never done twice."""

    def __init__(self, run: Run) -> None:
        gpu = {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}
        self.folder, self.hardware = run.out_dir, dict(run.record.hardware) | gpu
        # Solvers have a hash of their own.
        self._code = [source_hash([measuring.__name__], follow=False), source_hash(["maskopt_lib.litho.simulator"])]

    def __call__(self, job: Job, do: Callable[[Job], dict[str, Any]], *, fresh: bool = True) -> dict[str, Any]:
        key = key_of([do.__name__, job.contents, self.hardware, self._code])
        path = part_path(self.folder, "timing", job.workload, job.size, key=key)
        if (measured := said_of(path)) is None:
            try:
                measured = alone(do, job) if fresh else do(job)
            except BrokenProcessPool as error:
                error.add_note(
                    "its process ended, as it does when memory runs out; what was measured is kept, take "
                    "smaller batches and repeat"
                )
                raise
            write_part(path, {}, measured)
        return measured


def _start(targets: xr.DataArray, kernels: SocsKernels, repeats: int) -> Job:
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    clips = tuple(target_bits(targets).values())
    threads = torch.get_num_threads()
    return Job(workload="", recipe=None, kernels=kernels, clips=clips, repeats=repeats, threads=threads)


def _known_type(name: str) -> str:
    if name not in _TYPES:
        raise UnknownNameError(f"no type {name!r} of matrix products; known: {_TYPES}")
    return name


def _ascend(job: Job, bench: Callable, sizes: Sequence[int], budget: Budget) -> Iterator[dict[str, Any]]:
    """Rows of one series: the sizes asked for, then doubled until one does not fit."""
    if reason := obstacle(job.mode, job.device):
        yield _row(job, {STATUS: f"not measured: {reason}"})
        return
    waiting, before, clips = list(sizes), None, job.clips
    while waiting:
        size = waiting.pop(0)
        job = replace(job, size=size, clips=clips[:size])  # the same batch in every round
        if before and (reason := _too_much(job, before, budget)):
            measured = {STATUS: f"not measured: {reason}"}
        else:
            try:
                measured = bench(job, measuring.until_full)
            except BrokenProcessPool:
                measured = {STATUS: f"{measuring.OUT_OF_MEMORY}, or its process was ended otherwise"}
        yield _row(job, measured)
        if STATUS in measured:
            return
        before = {"size": job.size, **measured}
        waiting = waiting or [2 * job.size]


def _too_much(job: Job, before: Mapping[str, float], budget: Budget) -> str | None:
    """Why a batch is not tried, judged by a smaller one."""
    if job.size > budget.largest:
        return f"a batch of {job.size} is above the limit of {budget.largest}"
    time_s = job.size * before[schema.RUNTIME]
    if time_s > budget.time_s:
        return f"a batch of {job.size} would take about {time_s:.0f} s, the limit is {budget.time_s:g} s"
    memory_gb = job.size * before[schema.PEAK_MEMORY] / before["size"]
    if not job.is_gpu and memory_gb > budget.memory_gb:
        return f"a batch of {job.size} would need about {memory_gb:.1f} GB, the limit is {budget.memory_gb:g} GB"
    return None


def _row(job: Job, found: Mapping[str, Any]) -> dict[str, Any]:
    at = {DEVICE: job.device, WORKLOAD: job.workload, MODE: job.mode, MATMUL: job.matmul, BATCH: job.size}
    values = {STATUS: MEASURED} | dict(found)
    if values[STATUS] == MEASURED:
        values[MEMORY_A_CLIP] = values[schema.PEAK_MEMORY] / job.size
        if FFT_S in values:
            values[FFT_SHARE] = values[FFT_S] / values[schema.RUNTIME]
            values[PEAK_SHARE] = values[OPERATIONS] / values[schema.RUNTIME] / values[PEAK_RATE]
    return at | values


def _rows_dataset(rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    frame = pd.DataFrame(rows).reindex(columns=[*_COORDINATES, *_ON_DEVICES, STATUS]).rename_axis(ROW)
    ds = frame.to_xarray().drop_vars(ROW).set_coords(list(_COORDINATES))
    ds = ds.assign({name: values.astype(str) for name, values in ds.variables.items() if values.dtype == object})
    about = {name: {"long_name": text} for name, text in _COORDINATES.items()} | {
        name: {"long_name": long_name, "units": units} for name, (long_name, units) in _ON_DEVICES.items()
    }
    for name, attrs in (about | {STATUS: {"long_name": "measured, or why not", "units": "1"}}).items():
        ds[name].attrs = attrs
    return ds
