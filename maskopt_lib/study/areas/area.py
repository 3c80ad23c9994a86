"""Masks of areas larger than a field: overlapping windows, solved apart, stitched in a store on disk.

An area is cut into cores of 1024 nm. Each is solved in the middle of the simulator's field, with 512 nm of its
surroundings on every side, more than the optics see; of each mask only the core is kept. The seam pass then moves the
windows by half a core, so that every old border lies in the middle of a new one, starts from the stitched mask, lets
only the new core change, and takes neighbours one after the other: windows that touch never change together, each is
solved beside what its neighbours have become.

Every solved window is a part on disk under a key of all that determines it, the windows it was solved together with
included. So neither the number of workers, nor their order, nor a worker that is killed, nor a run that is taken up
again changes a pixel. Windows with the same geometry are solved once.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import opc
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.layout import Design, Platform, read_design
from maskopt_lib.layout.mosaic import WrittenMosaic, write_mosaic
from maskopt_lib.layout.windows import Plan, StitchedMask, Window
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import Bits, file_name, is_whole
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread, torch_threads, workers
from maskopt_lib.study.solvers.benchmark import Trial

__all__ = [
    "Area", "Plan", "StitchedMask", "Window", "cost_of", "growth", "seam_pass", "solve_area",
    "solve_windows", "spread", "workers", "write_area",
]  # fmt: skip

TILE = "tile"
#: Folder of the parts, below a run's own.
PARTS = "parts"
_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class Area:
    """A layer of a layout, and how masks for it are made and printed: what all windows share, and workers are told.

    Attributes
    ----------
    layout_file : hierarchical OASIS or GDS that all workers can read.
    platform, layer : of the layout.
    kernels : to solve and print with.
    device : of each worker: one GPU a worker where it is "cuda".
    threads : of each solve; part of what determines a mask, as sums may be taken in another order.
    """

    layout_file: Path
    platform: Platform
    layer: str | tuple[int, int]
    kernels: SocsKernels
    device: str = "cpu"
    threads: int = 1

    def design(self) -> Design:
        """The layout, read anew."""
        return read_design(self.layout_file, platform=self.platform)

    def simulator(self) -> Simulator:
        """A simulator where the area is computed."""
        return Simulator(self.kernels, device=self.device)


def solve_area(
    area: Area,
    plan: Plan,
    trial: Trial,
    run: Run,
    *,
    name: str = "mask",
    client: distributed.Client | None = None,
    batch: int = 4,
) -> tuple[StitchedMask, xr.Dataset]:
    """Solve every window of a plan by itself, and stitch the cores.

    Parameters
    ----------
    area, plan : what and where.
    trial : the way to make masks.
    run : parts and the store are kept below its folder; parts that are there and whole are taken.
    name : of the store, ``<name>.zarr``.
    client : of :func:`workers`; None works in this process.
    batch : windows solved together; memory grows with it, not with the area.

    Returns
    -------
    stitched : the mask.
    windows : Dataset over ``tile``: ``row``, ``column``, ``x_nm``, ``y_nm`` (middle), ``runtime_s`` (of the solve; nan
        where nothing was solved), ``solved``: 1 for a window that was solved, 0 for one whose geometry another window
        has, -1 for one without any; ``peak_memory_gb`` of the process that solved it. Attributes: ``new``, the windows
        that this call solved; ``wall_s``, wall time in s of all calls under this name that solved something (a run
        that is taken up again adds to it); ``pixel_nm``, ``core_nm``, ``field_nm``, ``batch``.
    """
    begun = time.perf_counter()
    stitched = StitchedMask.create(run.out_dir / f"{name}.zarr", plan, run)
    design = area.design()
    windows = list(plan.windows)
    targets = ((window, _Target.of(design, area.layer, window, None)) for window in windows)
    solver = _Solver.of(area, plan, trial, run, batch)
    parts, new = solver(targets, len(windows), client, name)
    rows = [_placed(window, parts[window], stitched) for window in windows]
    return stitched, _window_table(windows, rows, parts).assign_attrs(
        wall_s=_wall(run, name, begun, new), new=new, **_said(plan, batch)
    )


def seam_pass(
    area: Area,
    plan: Plan,
    trial: Trial,
    stitched: StitchedMask,
    run: Run,
    *,
    name: str = "mask_seamless",
    client: distributed.Client | None = None,
    batch: int = 4,
    moved: Plan | None = None,
    places_nm: np.ndarray | None = None,
) -> tuple[StitchedMask, xr.Dataset]:
    """Solve windows that lie across the borders of a plan, each beside what its neighbours have become.

    Parameters
    ----------
    area, plan : as for :func:`solve_area`; the windows are those of the plan moved by half a core.
    trial : the way to change masks. A method that can, should change no more than the core: ``window_nm`` of
        "rule_aware" is to be the core's side, what lies beyond then counts as it is. Of other methods the core is cut
        out.
    stitched : the mask to start from; it is kept.
    run, name, client, batch : as for :func:`solve_area`.
    moved : other windows than those moved by half a core.
    places_nm : (n, 2) x and y; only windows whose core holds one of them are solved. All by default.

    Returns
    -------
    As :func:`solve_area`.

    Notes
    -----
    Windows are taken in four groups, those of even and odd rows and columns. Within a group no two cores touch, and
    their fields overlap only where nobody changes anything.
    """
    begun = time.perf_counter()
    moved = moved or replace(plan, shifted=not plan.shifted)
    out = StitchedMask.create(run.out_dir / f"{name}.zarr", plan, run)
    copy_mask(stitched, out)
    design = area.design()
    solver = _Solver.of(area, moved, trial, run, batch)
    windows, rows, every, new = list(moved.windows), {}, {}, 0
    if places_nm is not None:
        windows = [w for w in windows if _holds(w, places_nm)]
    for group in range(4):
        chosen = [w for w in windows if (w.row % 2, w.column % 2) == divmod(group, 2)]
        targets = ((window, _Target.of(design, area.layer, window, out)) for window in chosen)
        parts, solved = solver(targets, len(chosen), client, f"{name}, group {group + 1} of 4")
        for window in chosen:
            rows[window] = _placed(window, parts[window], out)
        every |= parts
        new += solved
    return out, _window_table(windows, [rows[w] for w in windows], every).assign_attrs(
        wall_s=_wall(run, name, begun, new), new=new, **_said(moved, batch)
    )


def growth(
    area: Area,
    plan: Plan,
    trial: Trial,
    run: Run,
    sizes: Sequence[int],
    *,
    client: distributed.Client | None = None,
    batch: int = 4,
) -> xr.Dataset:
    """Time what areas of several sizes take: squares of windows in the middle of a plan, each solved from nothing.

    Parameters
    ----------
    area, plan, trial, client, batch : as for :func:`solve_area`.
    run : what was timed is kept below its folder, and not timed again.
    sizes : windows along a side.

    Returns
    -------
    Dataset over ``area_um2``: ``wall_s``, ``windows``, ``solver_s`` (sum over the windows) and ``peak_memory_gb``, the
    most that a worker has needed.
    """
    rows, columns = plan.grid
    found = []
    for size in sorted(sizes):
        row, column = max(0, (rows - size) // 2), max(0, (columns - size) // 2)
        x0, y0 = plan.window(row, column).core_nm[:2]
        side = size * plan.core_nm
        square = replace(plan, region_nm=(x0, y0, x0 + side, y0 + side))
        inner = replace(run, out_dir=run.out_dir / f"growth_{size}")
        inner.out_dir.mkdir(exist_ok=True)
        found.append(cost_of(solve_area(area, square, trial, inner, client=client, batch=batch)[1], square))
    return xr.concat(found, "area_um2")


def cost_of(windows: xr.Dataset, plan: Plan) -> xr.Dataset:
    """One point of :func:`growth` from what :func:`solve_area` said of its windows."""
    done = windows["runtime_s"].where(windows["solved"] == 1)
    values = {
        "wall_s": (windows.attrs["wall_s"], "wall time", "s"),
        "windows": (windows.sizes[TILE], "windows", "1"),
        "solver_s": (float(done.sum()), "time of all solves together", "s"),
        "peak_memory_gb": (float(windows["peak_memory_gb"].max()), "peak memory of a worker", "GB"),
    }
    area_um2 = float(np.prod(plan.shape)) * plan.pixel_nm**2 * 1e-6
    return xr.Dataset(
        {
            name: ("area_um2", [float(value)], {"long_name": long_name, "units": units})
            for name, (value, long_name, units) in values.items()
        },
        coords={"area_um2": ("area_um2", [area_um2], {"long_name": "area", "units": "um2"})},
    )


def solve_windows(
    area: Area,
    plan: Plan,
    windows: Sequence[Window],
    trial: Trial,
    run: Run,
    *,
    client: distributed.Client | None = None,
    batch: int = 4,
) -> Iterator[np.ndarray]:
    """Masks of single windows, whole fields (y, x) uint8, solved as :func:`solve_area` solves; for references."""
    design = area.design()
    solver = _Solver.of(area, plan, trial, run, batch, whole=True)
    targets = ((window, _Target.of(design, area.layer, window, None)) for window in windows)
    parts, _ = solver(targets, len(windows), client, "reference windows")
    side = round(plan.field_nm / plan.pixel_nm)
    for window in windows:
        part = parts[window]
        yield np.zeros((side, side), np.uint8) if part.path is None else _read(part.path)[0]


def write_area(stitched: StitchedMask, area: Area, path: str | Path, *, contours: str = "smooth") -> WrittenMosaic:
    """Write a stitched mask as OASIS or GDS with its target and the cells it was made for.

    Returns
    -------
    As :func:`maskopt_lib.layout.mosaic.write_mosaic`: mask on layer 111/0, target on 110/0, outlines of cells on 235/0
    and their names on 235/1, all at the layout's coordinates.
    """
    x0, y0, *_ = stitched.region_nm
    return write_mosaic(
        stitched.tiles(),
        path,
        pixel_nm=stitched.pixel_nm,
        origin_nm=(x0, y0),
        contours=contours,
        context=area.design(),
        target=area.layer,
    )


# How windows become parts


@dataclass(frozen=True)
class _Target:
    """What a window is to be solved for: a digest of its geometry, and the mask to start from."""

    digest: str
    start: Bits | None
    is_empty: bool

    @classmethod
    def of(cls, design: Design, layer, window: Window, stitched: StitchedMask | None) -> _Target:
        x0, y0, *_ = window.field_nm
        polygons = [points - (x0, y0) for points in design.polygons(layer, window.field_nm)]
        digest = hashlib.sha256(b"|".join(sorted(points.tobytes() for points in polygons)))
        start = None
        if stitched is not None and polygons:
            start = Bits.of(stitched.read(window.field_nm), stitched.pixel_nm)
            digest.update(start.packed.tobytes())
        return cls(digest.hexdigest(), start, not polygons)


@dataclass(frozen=True)
class _Part:
    """Where a window's mask is: a file, or none for a window without geometry; and whether it is another window's."""

    path: Path | None
    shared: bool


@dataclass(frozen=True, kw_only=True)
class _Batch:
    """Windows that are solved together, as they travel to a worker."""

    area: Area
    trial: Trial
    pixel_nm: float
    core_px: tuple[int, int] | None  # what is kept, along both axes; None keeps the whole field
    windows: tuple[Window, ...]
    starts: tuple[Bits | None, ...]
    paths: tuple[Path, ...]

    def __str__(self) -> str:
        return f"windows {[(w.row, w.column) for w in self.windows]}"


@dataclass(frozen=True, kw_only=True)
class _Solver:
    """Forms batches, has them solved where their parts are not there, and says where each window's part is."""

    area: Area
    trial: Trial
    pixel_nm: float
    core_px: tuple[int, int] | None
    folder: Path
    settings: str
    batch: int

    @classmethod
    def of(cls, area: Area, plan: Plan, trial: Trial, run: Run, batch: int, *, whole: bool = False) -> _Solver:
        if batch < 1:
            raise ValueError(f"batch must be at least 1, got {batch}")
        if plan.field_nm != area.kernels.period_nm:
            raise GridMismatchError(
                f"fields of {plan.field_nm:g} nm, but the kernels have a period of {area.kernels.period_nm:g} nm"
            )
        options = opc.options_of(trial.method, trial.preset, **trial.options)
        halo = round(plan.halo_nm / plan.pixel_nm)
        core_px = None if whole else (halo, halo + round(plan.core_nm / plan.pixel_nm))
        settings = [
            kernels_digest(area.kernels), method_digest(trial.method), source_hash(["maskopt_lib.layout.designs"]),
            trial.method, asdict(options), plan.pixel_nm,
            core_px, str(torch.device(area.device)), area.threads, torch.__version__,
        ]  # fmt: skip
        folder = run.out_dir / PARTS
        folder.mkdir(exist_ok=True)
        return cls(
            area=area, trial=trial, pixel_nm=plan.pixel_nm, core_px=core_px, folder=folder.resolve(),
            settings=hashed(settings), batch=batch,
        )  # fmt: skip

    def __call__(
        self, targets: Iterable[tuple[Window, _Target]], n: int, client: distributed.Client | None, title: str
    ) -> tuple[dict[Window, _Part], int]:
        """Where the parts are, and how many had to be solved."""
        parts: dict[Window, _Part] = {}
        waiting: dict[Window, str] = {}
        paths: dict[str, Path] = {}
        new = 0
        with tqdm(total=n, desc=title, unit="window", file=sys.stdout, mininterval=5, maxinterval=30) as bar:

            def batches() -> Iterator[_Batch]:
                group: dict[str, tuple[Window, _Target]] = {}
                for window, target in targets:
                    if target.is_empty:
                        parts[window] = _Part(None, False)
                        bar.update()
                        continue
                    waiting[window] = target.digest
                    if target.digest in paths or target.digest in group:
                        bar.update()
                        continue
                    group[target.digest] = (window, target)
                    if len(group) == self.batch:
                        yield from formed(group)
                        group = {}
                if group:
                    yield from formed(group)

            def formed(group: dict[str, tuple[Window, _Target]]) -> Iterator[_Batch]:
                # Sums in a batch may be taken in another order than alone: who is solved together is part of the key.
                together = hashed([self.settings, *group])
                for digest in group:
                    key = hashed([together, digest])[:_KEY_DIGITS]
                    paths[digest] = self.folder / f"{file_name('window', key)}.npz"
                if all(is_whole(paths[digest]) for digest in group):
                    bar.update(len(group))
                    return
                yield _Batch(
                    area=self.area, trial=self.trial, pixel_nm=self.pixel_nm, core_px=self.core_px,
                    windows=tuple(window for window, _ in group.values()),
                    starts=tuple(target.start for _, target in group.values()),
                    paths=tuple(paths[digest] for digest in group),
                )  # fmt: skip

            for task, _ in spread(_solve_batch, batches(), client=client):
                new += len(task.windows)
                bar.update(len(task.windows))
        seen: set[str] = set()
        for window, digest in waiting.items():
            parts[window] = _Part(paths[digest], digest in seen)
            seen.add(digest)
        return parts, new


def _solve_batch(task: _Batch, kept: Kept) -> None:
    """What a worker does with a batch: read, solve, keep."""
    area = task.area
    with torch_threads(area.threads):
        design, sim = area.design(), area.simulator()
        targets = np.stack([design.rasterize(area.layer, w.field_nm, task.pixel_nm) for w in task.windows])
        start = None
        if task.starts[0] is not None:
            start = np.stack([bits.image for bits in task.starts])
        result = opc.solve(
            targets, sim, method=task.trial.method, preset=task.trial.preset, initial=start, **task.trial.options
        )
    kept = slice(None) if task.core_px is None else slice(*task.core_px)
    said = {
        "pixel_nm": task.pixel_nm,
        "runtime_s": result.runtime_s / len(task.windows),
        "peak_memory_gb": _peak_bytes(area.device) / 1e9,
        "stopped_by": result.stopped_by,
    }
    for mask, path in zip(result.mask, task.paths, strict=True):
        bits = Bits.of(mask[kept, kept], task.pixel_nm)
        partial = path.with_name(f".{path.name}.part-{os.getpid()}")
        with partial.open("wb") as file:
            said_all = json.dumps(said | {"n_x": bits.shape[1]})
            np.savez_compressed(file, bits=bits.packed, said=np.array(said_all))
        partial.replace(path)


def _read(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    """(y, x) uint8 of a part, and what was said of it."""
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        said = json.loads(kept["said"].item())
        return np.unpackbits(kept["bits"], axis=-1, count=said["n_x"], bitorder="little"), said


def _placed(window: Window, part: _Part, stitched: StitchedMask) -> dict[str, Any]:
    """Put a window's core into the mask; what is to be said of it."""
    if part.path is None:
        return {}
    image, said = _read(part.path)
    stitched.write(window.core_nm, image)
    return said


def copy_mask(source: StitchedMask, out: StitchedMask) -> None:
    """Copy all pixels, strip by strip."""
    x0, y0, x1, y1 = source.region_nm
    step = 1024 * source.pixel_nm
    for y in np.arange(y0, y1, step):
        box = (x0, y, x1, min(y + step, y1))
        out.write(box, source.read(box))


def _window_table(windows: Sequence[Window], rows: Sequence[dict], parts: dict[Window, _Part]) -> xr.Dataset:
    solved = [-1 if parts[w].path is None else 0 if parts[w].shared else 1 for w in windows]
    middle = np.array([[(w.core_nm[0] + w.core_nm[2]) / 2, (w.core_nm[1] + w.core_nm[3]) / 2] for w in windows])
    middle = middle.reshape(-1, 2)
    columns = {
        "row": ([w.row for w in windows], "row of the window", "1"),
        "column": ([w.column for w in windows], "column of the window", "1"),
        "x_nm": (middle[:, 0], "middle of the window, x", "nm"),
        "y_nm": (middle[:, 1], "middle of the window, y", "nm"),
        "solved": (solved, "solved (1), as another window (0), empty (-1)", "1"),
        "runtime_s": ([r.get("runtime_s", np.nan) for r in rows], "run time", "s"),
        "peak_memory_gb": ([r.get("peak_memory_gb", np.nan) for r in rows], "peak memory of the worker", "GB"),
    }
    return xr.Dataset(
        {
            name: (
                TILE,
                np.asarray(values, dtype=None if len(values) else float),
                {"long_name": long_name, "units": units},
            )
            for name, (values, long_name, units) in columns.items()
        }
    )


def _holds(window: Window, places_nm: np.ndarray) -> bool:
    x, y = np.asarray(places_nm, float).reshape(-1, 2).T
    x0, y0, x1, y1 = window.core_nm
    return bool(((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any())


def _wall(run: Run, name: str, begun: float, new: int) -> float:
    """Wall time of this call and of those before it; calls that solved nothing do not count."""
    path = run.out_dir / PARTS / f"{file_name('wall', name)}.json"
    try:
        before = float(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # the first call, or a damaged file: time is said, no result rests on it
        before = 0.0
    if not new:
        return before
    spent = before + time.perf_counter() - begun
    partial = path.with_name(f".{path.name}.part-{os.getpid()}")
    partial.write_text(json.dumps(spent), encoding="utf-8")
    partial.replace(path)
    return spent


def _said(plan: Plan, batch: int) -> dict[str, Any]:
    return {"core_nm": plan.core_nm, "field_nm": plan.field_nm, "pixel_nm": plan.pixel_nm, "batch": batch}


def _peak_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
