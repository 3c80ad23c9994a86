"""Windows of an area, solved in batches: each batch is a part, and windows with the same geometry share one."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import distributed
import numpy as np
import torch

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, GridMismatchError
from maskopt_lib.layout.designs import Design, read_design
from maskopt_lib.layout.layers import Layer
from maskopt_lib.layout.platforms import Platform
from maskopt_lib.layout.windows import Plan, StitchedMask, Window, grown
from maskopt_lib.litho import Process, Simulator
from maskopt_lib.opc.solve import METHODS, method_digest, options_of, solve
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs import stores
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.memory import peak_memory_bytes
from maskopt_lib.runs.parts import part_path, read_part, write_part
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, torch_threads
from maskopt_lib.study.solvers.masks import Trial


@dataclass(frozen=True, kw_only=True)
class Area:
    """A layer of a layout, and how masks for it are made and printed: what all windows share, and workers are told.

    Attributes
    ----------
    layout_file : hierarchical OASIS or GDS that all workers can read.
    platform, layer : of the layout.
    process : to solve and print with.
    device : of each worker: one GPU a worker where it is "cuda".
    threads : of each solve; part of what determines a mask, as sums may be taken in another order.
    sensitivity : (layer, weight): what lies under shapes of the layer counts so many times in the objective, where
        layers overlap the largest; for a method that takes weights.
    """

    layout_file: Path
    platform: Platform
    layer: Layer
    process: Process
    device: str = "cpu"
    threads: int = 1
    sensitivity: tuple[tuple[Layer, float], ...] = ()

    def imaging_digest(self) -> str:
        """Hash of what makes a print of a mask: kernels, corners and resist."""
        corners = [asdict(corner) for corner in self.process.corners]
        return hashed([kernels_digest(self.process.kernels), corners, asdict(self.process.resist)])

    def design(self, kept: Kept | None = None) -> Design:
        """The layout, read anew unless tasks of this process keep it."""
        design_key = (str(self.layout_file), self.layout_file.stat().st_mtime_ns)
        return (kept or Kept())(design_key, lambda: read_design(self.layout_file, platform=self.platform))

    def simulator(self, kept: Kept | None = None) -> Simulator:
        """A simulator where the area is computed; the one that tasks of this process keep."""
        simulator_key = (self.imaging_digest(), self.device)
        return (kept or Kept())(simulator_key, lambda: self.process.simulator(device=self.device))


@dataclass(frozen=True, kw_only=True)
class TiledArea:
    """An area in windows, where what is solved of them is kept, and who solves: what all passes over it share.

    Attributes
    ----------
    area, plan : what and where.
    run : parts and stores are kept below its folder; parts that are there and whole are taken.
    client : of :func:`maskopt_lib.runs.spread.workers`; None works in this process.
    batch : windows solved together, at least 1; memory grows with it, not with the area.
    """

    area: Area
    plan: Plan
    run: Run
    client: distributed.Client | None = None
    batch: int = 4

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError(f"batch must be at least 1, got {self.batch}")


def open_mask(path: str | Path) -> StitchedMask:
    """A stitched mask to read, each byte held against the list in its store; one that is not finished as it is.

    Raises
    ------
    DamagedFileError : a file of the store is not as it was written.
    """
    path = files.restored(path)
    return StitchedMask(stores.SealedStore(path, stores.listed_files(path)))


@contextmanager
def stitching(run: Run, name: str, plan: Plan, *, start: StitchedMask | None = None) -> Iterator[StitchedMask]:
    """A mask to stitch, dark or a copy of another one; the store ``<name>.zarr`` is put in place when the block ends.

    A run that ends before leaves what was there; its parts let the next one come to this point at once.
    """
    with run.writing(name) as beside:
        stitched = StitchedMask.create(beside, plan, run.stamp)
        if start is not None:
            x0, y0, x1, y1 = start.region_nm
            step = 1024 * start.pixel_nm
            for y in np.arange(y0, y1, step):
                strip = (x0, y, x1, min(y + step, y1))
                stitched.write(strip, start.read(strip))
        yield stitched


def apart(windows: Sequence[Window]) -> list[list[Window]]:
    """Four groups of windows, by even and odd rows and columns: within a group no two cores touch."""
    return [[w for w in windows if (w.row % 2, w.column % 2) == parity] for parity in np.ndindex(2, 2)]


def holding(windows: Iterable[Window], places_nm: np.ndarray) -> list[Window]:
    """Windows whose core holds one of some places, (n, 2) x and y."""
    x, y = np.asarray(places_nm, float).reshape(-1, 2).T

    def holds(window: Window) -> bool:
        x0, y0, x1, y1 = window.core_nm
        return bool(((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).any())

    return list(filter(holds, windows))


@dataclass(frozen=True, kw_only=True)
class WindowBatch(Task):
    """Windows that are solved together.

    Attributes
    ----------
    plan : of the windows.
    kept_px : what is kept of a field, along both axes.
    digests : of what each window is solved for.
    start : the store to start from; nobody changes what these windows see of it before they are done.
    """

    area: Area
    trial: Trial
    plan: Plan
    kept_px: tuple[int, int]
    windows: tuple[Window, ...]
    digests: tuple[str, ...]
    start: Path | None

    def __str__(self) -> str:
        return f"windows {[(w.row, w.column) for w in self.windows]}"


@dataclass(frozen=True)
class Solved:
    """Solved windows.

    Attributes
    ----------
    digests : of what each window was solved for; "" where nothing is drawn.
    batches : digest -> batch with its part.
    new : windows that were solved now, not taken from parts.
    """

    digests: dict[Window, str]
    batches: dict[str, WindowBatch]
    new: int

    def part(self, window: Window, names: Sequence[str]) -> list[np.ndarray]:
        """Arrays of the part that a window is in, the window's own items."""
        digest = self.digests[window]
        batch = self.batches[digest]
        arrays = read_part(batch.path, names)
        return [arrays[name][batch.digests.index(digest)] for name in names]

    def mask(self, window: Window) -> np.ndarray:
        """(y, x) uint8 of a window where something is drawn: its core with the plan's rim, or the whole field."""
        return self.part(window, ["masks"])[0]

    def stitch(self, stitched: StitchedMask) -> None:
        """Put what is kept of all windows into a mask."""
        for window in filter(self.digests.get, self.digests):
            plan = self.batches[self.digests[window]].plan
            box = plan.kept(window)
            rows, columns = pixels_of(box, grown(window.core_nm, plan.rim_nm)[:2], plan.pixel_nm)
            stitched.write(box, self.mask(window)[rows, columns])

    def rows(self) -> Iterator[tuple[Window, list[float]]]:
        """Whether a window was solved (1), is as another one (0), or empty (-1); its run time and peak memory."""
        seen = {""}
        for window, digest in self.digests.items():
            costs = self.part(window, [schema.RUNTIME, schema.PEAK_MEMORY]) if digest else [np.nan, np.nan]
            yield window, [int(digest not in seen) if digest else -1, *costs]
            seen.add(digest)


def solve_batches(
    tiled: TiledArea, windows: Sequence[Window], trial: Trial, *, title: str, start: Path | None = None,
    whole: bool = False,
) -> Solved:  # fmt: skip
    """Form batches of windows that differ, and have those solved whose parts are not there.

    Parameters
    ----------
    tiled, windows, trial : what is solved, and how.
    title : of the progress bar.
    start : store of a stitched mask to start from.
    whole : keep whole fields, not only cores.

    Raises
    ------
    GridMismatchError : fields of another size than the optics' period.
    """
    area, plan, batch = tiled.area, tiled.plan, tiled.batch
    if plan.field_nm != area.process.period_nm:
        raise GridMismatchError(
            f"fields of {plan.field_nm:g} nm, but the kernels have a period of {area.process.period_nm:g} nm"
        )
    side = round(plan.field_nm / plan.pixel_nm)
    left_out = 0 if whole else round((plan.halo_nm - plan.rim_nm) / plan.pixel_nm)
    kept_px = left_out, side - left_out
    settings = hashed([
        area.imaging_digest(), method_digest(trial.method), source_hash(["maskopt_lib.layout.designs"]),
        trial.method, asdict(options_of(trial.method, trial.preset, **trial.options)), plan.pixel_nm,
        kept_px, plan.context_nm, str(torch.device(area.device)), area.threads, torch.__version__,
    ])  # fmt: skip
    design, stitched = area.design(), None if start is None else open_mask(start)
    digests = {window: _digest(design, area, window, plan, stitched) for window in windows}
    order = list(dict.fromkeys(filter(None, digests.values())))
    first = {digest: window for window, digest in reversed(digests.items())}
    tasks = []
    for together in (tuple(order[i : i + batch]) for i in range(0, len(order), batch)):
        # Sums in a batch may be taken in another order than alone: who is solved together is part of the key.
        path = part_path(tiled.run.out_dir, "windows", key=key_of([settings, *together]))
        tasks.append(
            WindowBatch(
                area=area, trial=trial, plan=plan, kept_px=kept_px, digests=together, start=start,
                windows=tuple(first[digest] for digest in together), path=path,
            )
        )  # fmt: skip
    new: list[Window] = []
    complete(
        _solve, tasks, client=tiled.client, title=title, unit="window", size=lambda task: len(task.windows),
        after=lambda task, _: new.extend(task.windows),
    )  # fmt: skip
    return Solved(digests, {digest: task for task in tasks for digest in task.digests}, len(new))


def target_of(design: Design, area: Area, window: Window, plan: Plan, layer: Layer | None = None) -> np.ndarray:
    """(y, x) uint8 of what a window is solved for: what is drawn in its core and context, in a field else empty.

    Another ``layer`` in place of the area's gives what is drawn on that one.
    """
    n = round(plan.field_nm / plan.pixel_nm)
    field, seen = np.zeros((n, n), np.uint8), plan.seen(window)
    drawn = design.rasterize(layer or area.layer, seen, plan.pixel_nm)
    field[pixels_of(seen, window.field_nm[:2], plan.pixel_nm)] = drawn
    return field


def weights_of(design: Design, area: Area, window: Window, plan: Plan) -> np.ndarray:
    """(y, x) float32 of how much each place of a window counts: 1, or what the area's sensitivity says."""
    n = round(plan.field_nm / plan.pixel_nm)
    weights = np.ones((n, n), np.float32)
    for layer, weight in sorted(area.sensitivity, key=lambda pair: pair[1]):
        weights[target_of(design, area, window, plan, layer) > 0] = weight
    return weights


def pixels_of(box_nm: Sequence[float], corner_nm: Sequence[float], pixel_nm: float) -> tuple[slice, slice]:
    """Rows and columns that a box covers of an image whose lower left corner is at ``corner_nm``, (x, y)."""
    x0, y0, x1, y1 = np.rint((np.reshape(box_nm, (2, 2)) - corner_nm) / pixel_nm).astype(int).ravel().tolist()
    return slice(y0, y1), slice(x0, x1)


def _digest(design: Design, area: Area, window: Window, plan: Plan, stitched: StitchedMask | None) -> str:
    """Hash of what a window is solved for: what is drawn in it, and the mask to start from; "" where nothing is."""
    polygons = [points - window.field_nm[:2] for points in design.polygons(area.layer, plan.seen(window))]
    if not polygons:
        return ""
    start = b"" if stitched is None else np.packbits(stitched.read(window.field_nm)).tobytes()
    weights = [weights_of(design, area, window, plan).tobytes()] if area.sensitivity else []
    return hashed(b"|".join(sorted(points.tobytes() for points in polygons)), start, *weights)


def _solve(batch: WindowBatch, kept: Kept) -> None:
    """What a worker does with a batch: read, solve, keep."""
    area, trial, start = batch.area, batch.trial, None
    design, sim = area.design(kept), area.simulator(kept)
    if batch.start is not None:
        stitched = open_mask(batch.start)
        start = np.stack([stitched.read(window.field_nm) for window in batch.windows])
        read = [_digest(design, area, window, batch.plan, stitched) for window in batch.windows]
        if read != list(batch.digests):
            raise DamagedFileError(f"{batch.start} or {area.layout_file} reads differently here; run it again")
    if not METHODS[trial.method].takes_initial:  # solved anew, with the border in the middle of its field
        start = None
    targets = np.stack([target_of(design, area, window, batch.plan) for window in batch.windows])
    more = dict(trial.options)
    if area.sensitivity and METHODS[trial.method].takes_weights:
        more["weights"] = np.stack([weights_of(design, area, window, batch.plan) for window in batch.windows])
    with torch_threads(area.threads):
        result = solve(targets, sim, method=trial.method, preset=trial.preset, initial=start, **more)
    kept_px, n = slice(*batch.kept_px), len(batch.windows)
    costs = {schema.RUNTIME: result.runtime_s / n, schema.PEAK_MEMORY: peak_memory_bytes(area.device) / 1e9}
    write_part(
        batch.path,
        {name: np.full(n, value) for name, value in costs.items()},
        {"stopped_by": result.stopped_by, "broken_rules": list(filter(None, result.broken_rules))},
        bits={"masks": result.mask[:, kept_px, kept_px].astype(np.uint8)},
    )
