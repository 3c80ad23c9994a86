"""What a device makes of the same code: seconds and memory a clip over batch, mode and precision, beside its limits.

Three workloads are timed, each in a process of its own: imaging at the three corners with its adjoint, a gradient step
of an objective around it, and whole solves. What a machine does not have, or what did not fit, is a row that says so.

Two limits stand beside imaging, both taken in the process that was timed:

- *the FFT limit*: two real transforms of the mask's grid, one there and one back. A program that images by Fourier
  Transforms of the whole grid needs at least these for a step, before it has multiplied by one kernel;
- *the arithmetic limit*: the floating-point operations of the matrix products of a step, at the rate of one
  large matrix product, the most that the device was seen to do.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, opc
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.litho.compiled import EAGER, MODES, gradient_step, obstacle
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.pixels import whole
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.hashing import source_hash
from maskopt_lib.runs.parts import Bits, file_name
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.tables import DEVIATION, NOTE
from maskopt_lib.study.solvers import timing
from maskopt_lib.study.solvers.benchmark import Trial
from maskopt_lib.study.solvers.masks import mask_key

ROW = "row"
DEVICE, WORKLOAD, MODE, MATMUL, BATCH = "device", "workload", "mode", "matmul", timing.BATCH
STATUS, MEASURED = "status", "measured"
MEMORY_A_CLIP = "memory_a_clip_gb"
FIRST_S = "first_s"
FFT_S, FFT_SHARE = "fft_s", "fft_share"
OPERATIONS, PEAK_RATE, PEAK_SHARE = "operations", "peak_rate", "peak_share"

#: Workloads that are no solver; their labels end in the pixel.
IMAGING, STEP = "imaging and adjoint", "gradient step"

_NAMES = {
    schema.RUNTIME: ("time a clip", "s"),
    timing.SHORTEST: ("shortest time a clip", "s"),
    timing.LONGEST: ("longest time a clip", "s"),
    schema.PEAK_MEMORY: schema.VARIABLES[schema.PEAK_MEMORY],
    MEMORY_A_CLIP: ("peak memory a clip", "GB"),
    FIRST_S: ("time of the first call, with compiling or recording", "s"),
    FFT_S: ("time a clip of two real Fourier Transforms of the mask's grid", "s"),
    FFT_SHARE: ("share of the FFT limit", "1"),
    OPERATIONS: ("floating-point operations a clip in matrix products", "1"),
    PEAK_RATE: ("operations a second of one large matrix product", "1/s"),
    PEAK_SHARE: ("share of the matrix product rate", "1"),
}

#: A timed round lasts at least this long, so that a clock's tick is nothing to it.
_ROUND_S = 0.05
#: Sides of the square matrices whose product tells the device's rate; larger ones only where they take no time.
_PEAK_SIDES = (512, 1024, 2048, 4096, 8192)
_PEAK_ENOUGH_S = 0.1

#: Linux: writing 5 here makes the process's present memory its largest so far.
_CLEAR_PEAK = Path("/proc/self/clear_refs")

_OUT_OF_MEMORY = "out of memory"


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
    wanted: xr.DataArray,
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
    wanted : targets (sample, y, x), 0 or 1; they are cycled to fill batches.
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
    and, for imaging, ``fft_share`` and ``peak_share`` compare with the two limits of this module.

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
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    budget = budget or Budget()
    pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
    start = _Job(
        trial=Trial(label=IMAGING, method=""),
        kernels=kernels,
        clips=tuple(Bits.of(image, pixel_nm) for image in wanted.values),
        size=1,
        device="cpu",
        mode=EAGER,
        matmul="float32",
        step_pixel_nm=pixel_nm,
        repeats=repeats,
        threads=torch.get_num_threads(),
    )
    workloads = [
        (Trial(label=f"{name}, {step_nm:g} nm", method=""), float(step_nm))
        for name in (IMAGING, STEP)
        for step_nm in step_pixels_nm
    ]
    series = [
        replace(start, trial=trial, step_pixel_nm=step_nm, device=device, mode=mode, matmul=_dtype_name(name))
        for device in devices
        for trial, step_nm in [*workloads, *((trial, pixel_nm) for trial in trials)]
        for name in matmul
        for mode in modes
    ]
    keep = _Keeper(run)
    rows = []
    # Every refresh is a line of the log: one in five seconds tells enough.
    with tqdm(total=len(series), desc="measured", unit="series", file=sys.stdout, mininterval=5) as bar:
        for job in series:
            bar.set_postfix_str(f"{job.trial.label} on {job.device}, {job.mode}, {job.matmul}", refresh=False)
            rows += _ascend(job, keep, batch_sizes, budget)
            bar.update()
    return _dataset(rows).assign_attrs(
        kernels=kernels.name, threads=start.threads, repeats=repeats,
        budget=json.dumps(asdict(budget)), hardware=json.dumps(keep.hardware, default=str),
        memory=json.dumps(timing._MEMORY_IS),
    )  # fmt: skip


def product_scores(
    wanted: xr.DataArray,
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
    wanted, kernels, trials, run : as for :func:`measure_devices`.
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
    pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
    clips = tuple(Bits.of(image, pixel_nm) for image in wanted.values)
    keep = _Keeper(run)
    names = [_dtype_name(name) for name in matmul]
    values = np.empty((len(trials), len(names), len(clips), len(_SCORES)))
    with tqdm(total=values[..., 0].size, desc="scored", unit="mask", file=sys.stdout, mininterval=5) as bar:
        for i, j, k in np.ndindex(values.shape[:3]):
            job = _Job(
                trial=trials[i], kernels=kernels, clips=clips[k : k + 1], size=1, device=device, mode=EAGER,
                matmul=names[j], step_pixel_nm=pixel_nm, repeats=1, threads=torch.get_num_threads(),
            )  # fmt: skip
            found = keep(job, _scored, fresh=False)
            values[i, j, k] = [found[score] for score in _SCORES]
            bar.update()
    return schema.label(
        xr.Dataset(
            {name: ((schema.METHOD, MATMUL, schema.SAMPLE), values[..., i]) for i, name in enumerate(_SCORES)},
            coords={
                schema.METHOD: [trial.label for trial in trials],
                MATMUL: names,
                schema.SAMPLE: wanted[schema.SAMPLE].values,
            },
            attrs={"kernels": kernels.name, "device": device, "raster": wanted.attrs.get("raster", "")},
        )
    )


def deviations(scores: xr.Dataset, *, reference: str = "float32") -> xr.Dataset:
    """How far the mean scores move with the type of the products, in percent: Dataset (method, matmul).

    Parameters
    ----------
    scores : of :func:`product_scores`.
    reference : type that the others are compared with.

    Examples
    --------
    >>> scores = xr.Dataset(
    ...     {"l2_nm2": (("matmul", "sample"), [[90.0, 110.0], [100.0, 101.0]])},
    ...     coords={"matmul": ["float32", "bfloat16"]},
    ... )
    >>> round(float(deviations(scores)["l2_nm2"].sel(matmul="bfloat16")), 6)
    0.5
    """
    means = scores.mean(schema.SAMPLE)
    relative = 100 * (means / means.sel({MATMUL: reference}, drop=True) - 1)
    for name, values in relative.items():
        values.attrs = {"long_name": f"change of mean {schema.VARIABLES[name][0]}", "units": "%"}
    return relative


def types_table(scores: xr.Dataset, method: str, *, harmless_percent: float = 0.1) -> pd.DataFrame:
    """Mean scores of a method's masks by the type of the products, their change, and whether it is harmless.

    Parameters
    ----------
    scores : of :func:`product_scores`.
    method : one of its labels.
    harmless_percent : largest change of a mean score that counts as none.

    Returns
    -------
    One row a type, for :func:`maskopt_lib.study.write_table`.
    """
    means = scores.sel({schema.METHOD: method}).mean(schema.SAMPLE)
    change = deviations(scores).sel({schema.METHOD: method})
    columns = {}
    for name in _SCORES:
        columns[name, "mean"] = means[name].values
        columns[name, DEVIATION] = change[name].values
    largest = np.abs([change[name].values for name in _SCORES]).max(axis=0)
    columns[NOTE] = ["harmless" if value <= harmless_percent else "not harmless" for value in largest]
    return pd.DataFrame(columns, index=pd.Index(scores[MATMUL].values, name="case"))


def present(devices: Sequence[str]) -> list[str]:
    """Those of the devices that this machine has.

    Examples
    --------
    >>> present(["cpu"])
    ['cpu']
    """
    return [device for device in devices if obstacle(EAGER, device) is None]


def table(found: xr.Dataset) -> pd.DataFrame:
    """Measurements as a table of the study: milliseconds, megabytes and percent, and why a number is missing.

    Parameters
    ----------
    found : of :func:`measure_devices`.

    Returns
    -------
    One row a measurement, for :func:`maskopt_lib.study.write_table`.
    """
    columns = {
        ("time a clip", "ms"): 1e3 * found[schema.RUNTIME],
        ("memory a clip", "MB"): 1e3 * found[MEMORY_A_CLIP],
        ("first call", "s"): found[FIRST_S],
        ("FFT limit", "%"): 100 * found[FFT_SHARE],
        ("matrix product rate", "%"): 100 * found[PEAK_SHARE],
        NOTE: found[STATUS],
    }
    rows = [
        f"{workload}; {series}; batch {batch}"
        for workload, series, batch in zip(found[WORKLOAD].values, _series(found), found[BATCH].values, strict=True)
    ]
    return pd.DataFrame({name: values.values for name, values in columns.items()}, index=pd.Index(rows, name="case"))


def lines(found: xr.Dataset, name: str, *, scale: float = 1.0, units: str | None = None) -> xr.DataArray:
    """A quantity over the batch, one line a workload, device, mode and type, as far as it was measured.

    Parameters
    ----------
    found : of :func:`measure_devices`, or some of its rows.
    name : variable.
    scale, units : to draw it in another unit.

    Returns
    -------
    (series, batch), NaN where nothing was measured; series without a number are left out.
    """
    there = found.isel({ROW: np.flatnonzero(np.isfinite(found[name]))})
    many = len(set(there[WORKLOAD].values)) > 1
    names = [f"{w}; {s}" if many else s for w, s in zip(there[WORKLOAD].values, _series(there), strict=True)]
    wide = xr.DataArray(
        np.nan, dims=("series", BATCH), coords={"series": list(dict.fromkeys(names)), BATCH: np.unique(there[BATCH])}
    )
    for label, batch, value in zip(names, there[BATCH].values, there[name].values, strict=True):
        wide.loc[label, batch] = scale * value
    wide[BATCH].attrs = {"long_name": "clips at once", "units": "1"}
    return wide.assign_attrs(found[name].attrs | ({"units": units} if units else {})).rename(name)


def _series(found: xr.Dataset) -> list[str]:
    """Device and mode, and the type of the products where it is not the usual one."""
    columns = (found[name].values for name in (DEVICE, MODE, MATMUL))
    return [", ".join([d, m, *([t] if t != "float32" else [])]) for d, m, t in zip(*columns, strict=True)]


_SCORES = (schema.L2, schema.PVB)


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One measurement, as it travels to its process; a trial without method is a workload of this module."""

    trial: Trial
    kernels: SocsKernels
    clips: tuple[Bits, ...]
    size: int
    device: str
    mode: str
    matmul: str
    step_pixel_nm: float
    repeats: int
    threads: int

    @property
    def is_gpu(self) -> bool:
        return torch.device(self.device).type == "cuda"

    def simulator(self, mode: str) -> Simulator:
        dtype = getattr(torch, self.matmul)
        if dtype == torch.float64:
            return Simulator(self.kernels, device=self.device, mode=mode, dtype=dtype)
        return Simulator(self.kernels, device=self.device, mode=mode, matmul_dtype=dtype)


_TYPES = ("float32", "bfloat16", "float64")


def _dtype_name(name: str) -> str:
    if name not in _TYPES:
        raise UnknownNameError(f"no type {name!r} of matrix products; known: {_TYPES}")
    return name


class _Keeper:
    """Does jobs, each kept as soon as it is done and never done twice."""

    def __init__(self, run: Run) -> None:
        self.folder = run.out_dir / timing.PARTS
        self.folder.mkdir(exist_ok=True)
        self.hardware = dict(run.record.hardware) | _gpu()
        # Solvers have a hash of their own.
        self._code = [source_hash([__name__], follow=False), source_hash(["maskopt_lib.litho.simulator"])]

    def __call__(self, job: _Job, do: Callable[[_Job], dict[str, Any]], *, fresh: bool = True) -> dict[str, Any]:
        path = self.folder / f"{file_name('device', job.trial.label, str(job.size), self._key(job, do))}.json"
        if not path.exists():
            timing._write(path, _in_fresh_process(job, do) if fresh else do(job))
        return json.loads(path.read_text(encoding="utf-8"))

    def _key(self, job: _Job, do: Callable) -> str:
        kernels = kernels_digest(job.kernels)
        if job.trial.method:
            code = method_digest(job.trial.method)
            how = {"preset": job.trial.preset, "changes": job.trial.options, "code": code, "device": job.device}
            masks = [mask_key(clip, kernels, method=job.trial.method, **how) for clip in job.clips]
        else:
            masks = [kernels, job.trial.label, [clip.digest() for clip in job.clips], job.step_pixel_nm]
        settings = [
            masks, do.__name__, job.size, job.device, job.mode, job.matmul, job.repeats, job.threads, self.hardware,
            self._code,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _gpu() -> dict[str, str]:
    return {"gpu": torch.cuda.get_device_name()} if torch.cuda.is_available() else {}


def _in_fresh_process(job: _Job, do: Callable[[_Job], dict[str, Any]]) -> dict[str, Any]:
    try:
        return timing._in_fresh_process(job, do)
    except BrokenProcessPool:
        return {STATUS: f"{_OUT_OF_MEMORY}, or its process was ended otherwise"}


def _ascend(job: _Job, keep: _Keeper, sizes: Sequence[int], budget: Budget) -> Iterator[dict[str, Any]]:
    """Rows of one series: the sizes asked for, then doubled until one does not fit."""
    if reason := obstacle(job.mode, job.device):
        yield _row(job, {STATUS: f"not measured: {reason}"})
        return
    waiting, before = list(sizes), None
    while waiting:
        job = replace(job, size=waiting.pop(0))
        if before and (reason := _too_much(job, before, budget)):
            found = {STATUS: f"not measured: {reason}"}
        else:
            found = keep(job, _solved if job.trial.method else _stepped)
        yield _row(job, found)
        if STATUS in found:
            return
        before = {"size": job.size, **found}
        waiting = waiting or [2 * job.size]


def _too_much(job: _Job, before: Mapping[str, float], budget: Budget) -> str | None:
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


def _row(job: _Job, found: Mapping[str, Any]) -> dict[str, Any]:
    at = {DEVICE: job.device, WORKLOAD: job.trial.label, MODE: job.mode, MATMUL: job.matmul, BATCH: job.size}
    values = {STATUS: MEASURED} | dict(found)
    if values[STATUS] == MEASURED:
        values[MEMORY_A_CLIP] = values[schema.PEAK_MEMORY] / job.size
        if FFT_S in values:
            values[FFT_SHARE] = values[FFT_S] / values[schema.RUNTIME]
            values[PEAK_SHARE] = values[OPERATIONS] / values[schema.RUNTIME] / values[PEAK_RATE]
    return at | values


def _until_full(do: Callable[[_Job], dict[str, Any]], job: _Job) -> dict[str, Any]:
    """What was measured, or that memory ran out: what torch raises differs from device to device."""
    torch.set_num_threads(job.threads)
    try:
        return do(job)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return {STATUS: f"{_OUT_OF_MEMORY}: {str(error).splitlines()[0][:160]}"}
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        return {STATUS: f"{_OUT_OF_MEMORY}: {str(error).splitlines()[0][-160:]}"}


def _solved(job: _Job) -> dict[str, Any]:
    return _until_full(_solve, job)


def _stepped(job: _Job) -> dict[str, Any]:
    return _until_full(_step, job)


def _solve(job: _Job) -> dict[str, Any]:
    sim = job.simulator(job.mode)
    targets = _batch(job)
    before = _memory_before(job)
    how = {"method": job.trial.method, "preset": job.trial.preset, **job.trial.options}
    begin = 1 if job.mode == EAGER else job.size  # compiled and recorded shapes hold for one size
    first_s = _first(lambda: opc.solve(targets[:begin], sim, stop=timing._one_step, **how), job)
    if not job.is_gpu:
        before = _memory_before(job)
    seconds = _rounds(lambda: opc.solve(targets, sim, **how), job, -(-job.repeats // job.size), at_least_s=0.0)
    return _times(seconds, job) | {schema.PEAK_MEMORY: _memory_since(job, before), FIRST_S: first_s}


def _step(job: _Job) -> dict[str, Any]:
    """Imaging with its adjoint, or a gradient step around it, on a grid of ``step_pixel_nm``."""
    is_imaging = job.trial.label.startswith(IMAGING)
    sim = job.simulator(job.mode if is_imaging else EAGER)
    factor = whole(job.step_pixel_nm, job.clips[0].pixel_nm, "step_pixels_nm")
    masks = torch.nn.functional.avg_pool2d(torch.as_tensor(_batch(job), dtype=sim.dtype), factor).to(sim.device)
    do = _imaging(sim, masks) if is_imaging else _objective(sim, masks, job)
    before = _memory_before(job)
    first_s = _first(do, job)
    if not job.is_gpu:
        before = _memory_before(job)
    seconds = _rounds(do, job, job.repeats, at_least_s=_ROUND_S)
    found = _times(seconds, job) | {schema.PEAK_MEMORY: _memory_since(job, before), FIRST_S: first_s}
    if is_imaging:
        found |= _limits(job, masks)
    return found


def _imaging(sim: Simulator, masks: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        leaf = masks.detach().requires_grad_()
        images = sim.aerial(leaf)
        (gradient,) = torch.autograd.grad(images, leaf, torch.ones_like(images))
        return gradient

    return step


def _objective(sim: Simulator, masks: Tensor, job: _Job) -> Callable[[], Any]:
    """What pixel solvers have in common: mask from latent image, resist, fidelity and PV band."""

    def terms(latent: Tensor) -> tuple[Tensor, Tensor]:
        nominal, outer, inner = sim.resist(torch.sigmoid(4 * (latent - 0.5))).unbind(-3)
        return squared_difference(nominal, masks), squared_difference(outer, inner)

    step = gradient_step(terms, (1.0, 1.0), mode=job.mode, device=job.device)
    return lambda: step(masks)


def _limits(job: _Job, masks: Tensor) -> dict[str, float]:
    """The two limits of the module's text, of this process and its state."""
    n = masks.shape[-1]
    spectra = torch.fft.rfft2(masks)

    def transforms() -> None:
        torch.fft.rfft2(masks)
        torch.fft.irfft2(spectra, s=(n, n))

    transforms()
    fft_s = float(np.median(_rounds(transforms, job, job.repeats, at_least_s=_ROUND_S)))
    # Counted on a plain simulator: operations that a compiler or a graph runs pass no counter.
    plain = Simulator(job.kernels, device=job.device)
    with FlopCounterMode(display=False) as counter:
        _imaging(plain, masks[:1])()
    return {FFT_S: fft_s / job.size, OPERATIONS: counter.get_total_flops(), PEAK_RATE: _peak_rate(job)}


def _peak_rate(job: _Job) -> float:
    best = 0.0
    for side in _PEAK_SIDES:
        left, right = (torch.ones(side, side, device=job.device, dtype=getattr(torch, job.matmul)) for _ in range(2))
        left @ right
        seconds = min(_rounds(lambda a=left, b=right: a @ b, job, 3, at_least_s=0.0))
        best = max(best, 2 * side**3 / seconds)
        if seconds > _PEAK_ENOUGH_S:
            break
    return best


def _scored(job: _Job) -> dict[str, Any]:
    target = job.clips[0].image
    how = {"method": job.trial.method, "preset": job.trial.preset, **job.trial.options}
    mask = opc.solve(target, job.simulator(EAGER), **how).mask
    scores = metrics.evaluate(mask, target, Simulator(job.kernels), only=_SCORES)
    return {name: float(scores[name].squeeze()) for name in _SCORES}


def _batch(job: _Job) -> np.ndarray:
    targets = np.empty((job.size, *job.clips[0].shape), np.uint8)
    timing._fill(targets, job.clips, 0)
    return targets


def _rounds(do: Callable[[], Any], job: _Job, rounds: int, *, at_least_s: float) -> list[float]:
    """Seconds of one call in each round; a round repeats short calls until it lasts ``at_least_s``."""

    def timed(calls: int) -> float:
        _wait(job)
        begun = time.perf_counter()
        for _ in range(calls):
            do()
        _wait(job)
        return time.perf_counter() - begun

    calls = max(1, round(at_least_s / max(timed(1), 1e-6))) if at_least_s else 1
    return [timed(calls) / calls for _ in range(rounds)]


def _wait(job: _Job) -> None:
    if job.is_gpu:
        torch.cuda.synchronize()


def _times(seconds: Sequence[float], job: _Job) -> dict[str, float]:
    return {
        schema.RUNTIME: float(np.median(seconds)) / job.size,
        timing.SHORTEST: min(seconds) / job.size,
        timing.LONGEST: max(seconds) / job.size,
    }


def _first(do: Callable[[], Any], job: _Job) -> float:
    """Seconds of the first call, in which matrices are made and a mode compiles or records."""
    begun = time.perf_counter()
    do()
    _wait(job)
    return time.perf_counter() - begun


def _memory_before(job: _Job) -> int:
    """What is in use before a batch. On a GPU that is before the first call, since a graph keeps its memory; on a CPU
    after it, since a compiler needs memory that no later call does."""
    timing._give_back()
    if not job.is_gpu and _CLEAR_PEAK.exists():
        _CLEAR_PEAK.write_text("5")
    return torch.cuda.memory_allocated() if job.is_gpu else timing._resident_bytes()


def _memory_since(job: _Job, before: int) -> float:
    peak = torch.cuda.max_memory_allocated() if job.is_gpu else timing._peak_resident_bytes()
    return max(peak - before, 0) / 1e9


def _dataset(rows: Sequence[Mapping[str, Any]]) -> xr.Dataset:
    at = {
        DEVICE: "where it ran",
        WORKLOAD: "what was timed",
        MODE: "how imaging was run",
        MATMUL: "type of the matrix products",
        BATCH: "clips at once",
    }
    coords = {name: (ROW, [row[name] for row in rows], {"long_name": what}) for name, what in at.items()}
    values = {
        name: (ROW, [row.get(name, np.nan) for row in rows], {"long_name": long_name, "units": units})
        for name, (long_name, units) in _NAMES.items()
    }
    status = (ROW, [row[STATUS] for row in rows], {"long_name": "measured, or why not", "units": "1"})
    return xr.Dataset(values | {STATUS: status}, coords=coords)
