"""Seconds a clip and peak memory of solvers, over batch sizes.

Each measurement runs in a process of its own that has done nothing else: memory that an earlier solve left behind
would be counted, or hide what is needed. It is kept as soon as it is there, under a key of all that determines it, the
machine included; a run that was interrupted goes on where it stopped.
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import opc
from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.parts import Bits, file_name
from maskopt_lib.runs.record import Run
from maskopt_lib.study.solvers.benchmark import Trial
from maskopt_lib.study.solvers.masks import mask_key

BATCH = "batch"
SHORTEST, LONGEST = "shortest_s", "longest_s"

#: Folder, below a run's own, of the single measurements that a run can resume from.
PARTS = "parts"

_MEMORY_IS = {
    "cpu": "largest resident memory of the process while it solves, less that before, after a warm-up",
    "cuda": "most memory that torch allocated on the device while it solves, less that before",
}


def measure(
    wanted: xr.DataArray,
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
    wanted : targets (sample, y, x), 0 or 1; they are cycled to fill batches.
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
    if repeats < 1:
        raise ValueError(f"repeats must be at least 1, got {repeats}")
    device = torch.device(device)
    chosen = batch_sizes if isinstance(batch_sizes, Mapping) else {trial.label: batch_sizes for trial in trials}
    pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
    clips = [Bits.of(image, pixel_nm) for image in wanted.values]
    tasks = {
        (trial.label, int(size)): _Task(
            trial=trial, kernels=kernels, clips=tuple(clips[: max(repeats, size)]), size=int(size), device=str(device),
            repeats=-(-repeats // size), threads=torch.get_num_threads(),
        )
        for trial in trials
        for size in chosen.get(trial.label, ())
    }  # fmt: skip
    keys = {at: _key(task, run.record.hardware) for at, task in tasks.items()}
    found = {}
    (run.out_dir / PARTS).mkdir(exist_ok=True)
    # Every refresh is a line of the log: one in five seconds tells enough.
    with tqdm(total=len(tasks), desc="measured", unit="batch", file=sys.stdout, mininterval=5, maxinterval=30) as bar:
        for (label, size), task in tasks.items():
            bar.set_postfix_str(f"{label}, {size} at once", refresh=False)
            path = run.out_dir / PARTS / f"{file_name('timing', label, str(size), keys[label, size])}.json"
            if not path.exists():
                _write(path, _in_fresh_process(task))
            found[label, size] = json.loads(path.read_text(encoding="utf-8"))
            bar.update()
    return _dataset(found, [trial.label for trial in trials]).assign_attrs(
        kernels=kernels.name, device=str(device), threads=torch.get_num_threads(), repeats=repeats,
        memory=_MEMORY_IS[device.type], hardware=json.dumps(dict(run.record.hardware), default=str),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Task:
    """One measurement, as it travels to its process."""

    trial: Trial
    kernels: SocsKernels
    clips: tuple[Bits, ...]
    size: int
    device: str
    repeats: int
    threads: int


def _in_fresh_process(task: _Task, do: Callable[[_Task], dict[str, Any]] | None = None) -> dict[str, Any]:
    # The server process imports once and forks a fresh copy of itself for each measurement; elsewhere all starts anew.
    kinds = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in kinds else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(do or _measured, task).result()
        except BrokenProcessPool as error:
            error.add_note(
                f"while measuring {task.trial.label}, {task.size} at once: its process ended, as it does when memory "
                "runs out; what was measured is kept, take smaller batches and repeat"
            )
            raise


def _measured(task: _Task) -> dict[str, Any]:
    """What the process of a measurement does."""
    torch.set_num_threads(task.threads)
    sim = Simulator(task.kernels, device=task.device)
    targets = np.empty((task.size, *task.clips[0].shape), np.uint8)
    _fill(targets, task.clips, 0)
    how = {"method": task.trial.method, "preset": task.trial.preset, **task.trial.options}
    is_cuda = torch.device(task.device).type == "cuda"
    opc.solve(targets[:1], sim, stop=_one_step, **how)
    _give_back()
    before = torch.cuda.memory_allocated() if is_cuda else _resident_bytes()
    results, seconds = [], []
    for repeat in range(task.repeats):
        _fill(targets, task.clips, repeat * task.size)
        begun = time.perf_counter()
        results.append(opc.solve(targets, sim, **how).phases_s)
        if is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        if repeat == 0:
            peak = torch.cuda.max_memory_allocated() if is_cuda else _peak_resident_bytes()
    phases = {name: statistics.median(r[name] for r in results) / task.size for name in results[0]}
    return {
        schema.RUNTIME: statistics.median(seconds) / task.size,
        SHORTEST: min(seconds) / task.size,
        LONGEST: max(seconds) / task.size,
        schema.PEAK_MEMORY: max(peak - before, 0) / 1e9,
        "phases_s": phases,
    }


def _fill(targets: np.ndarray, clips: Sequence[Bits], first: int) -> None:
    """Put clips into a batch in place, beginning with ``first`` and over again where there are no more."""
    for i, target in enumerate(targets, start=first):
        target[:] = clips[i % len(clips)].image


def _one_step(step: int, losses: Sequence[np.ndarray]) -> str | None:
    return "one step to warm up" if step >= 1 else None


def _give_back() -> None:
    """Return freed memory to the system, where it can be asked to: what the warm-up left is no part of the start."""
    gc.collect()
    if hasattr(c := ctypes.CDLL(None), "malloc_trim"):
        c.malloc_trim(0)
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _resident_bytes() -> int:
    """Memory of this process now; where the system does not say, the most it ever had."""
    statm = Path("/proc/self/statm")
    if statm.is_file():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return _peak_resident_bytes()


def _peak_resident_bytes() -> int:
    import resource  # not on every system, and needed only here

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _key(task: _Task, hardware: Mapping[str, Any]) -> str:
    """Short hash of all that determines a measurement, as far as anything does."""
    kernels, code = kernels_digest(task.kernels), method_digest(task.trial.method)
    masks = [
        mask_key(
            clip, kernels, method=task.trial.method, preset=task.trial.preset, changes=task.trial.options, code=code,
            device=task.device,
        )
        for clip in task.clips
    ]  # fmt: skip
    settings = [masks, task.size, task.repeats, task.threads, dict(hardware)]
    return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:12]


def _write(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_name(f".{path.name}.part-{os.getpid()}")
    partial.write_text(json.dumps(values), encoding="utf-8")
    partial.replace(path)


def _dataset(found: Mapping[tuple[str, int], Mapping[str, Any]], labels: Sequence[str]) -> xr.Dataset:
    sizes = sorted({size for _, size in found})
    names = {
        schema.RUNTIME: ("time a clip", "s"),
        SHORTEST: ("shortest time a clip", "s"),
        LONGEST: ("longest time a clip", "s"),
        schema.PEAK_MEMORY: schema.VARIABLES[schema.PEAK_MEMORY],
    }
    phases = list(dict.fromkeys(phase for values in found.values() for phase in values["phases_s"]))
    names |= {f"{phase}_s": (f"time a clip to {phase}", "s") for phase in phases}
    arrays = {name: np.full((len(labels), len(sizes)), np.nan) for name in names}
    for (label, size), values in found.items():
        at = labels.index(label), sizes.index(size)
        flat = {k: v for k, v in values.items() if k != "phases_s"}
        for name, value in (flat | {f"{phase}_s": s for phase, s in values["phases_s"].items()}).items():
            arrays[name][at] = value
    return xr.Dataset(
        {
            name: ((schema.METHOD, BATCH), values, dict(zip(("long_name", "units"), names[name], strict=True)))
            for name, values in arrays.items()
        },
        coords={
            schema.METHOD: list(labels),
            BATCH: (BATCH, sizes, {"long_name": "clips solved together", "units": "1"}),
        },
    )
