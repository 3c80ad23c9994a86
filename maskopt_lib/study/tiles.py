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
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import distributed
import numpy as np
import torch
import xarray as xr
import zarr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import opc
from maskopt_lib.data import manifest
from maskopt_lib.errors import GridMismatchError, LayoutError, MissingDataError
from maskopt_lib.grid import Grid
from maskopt_lib.layout import Design, Platform, read_design
from maskopt_lib.layout.mosaic import Tile as MaskTile
from maskopt_lib.layout.mosaic import WrittenMosaic, write_mosaic
from maskopt_lib.litho import Simulator
from maskopt_lib.optics import SocsKernels
from maskopt_lib.study.benchmark import Trial
from maskopt_lib.study.parts import Bits, file_name, kernels_digest, method_digest
from maskopt_lib.study.record import Run

TILE = "tile"
CORE_NM, FIELD_NM = 1024.0, 2048.0
#: Beyond this distance nothing of a mask reaches an edge by more than some tenths of a nm (see study.layouts).
OPTICAL_RADIUS_NM = 512.0
#: Folder of the parts, below a run's own.
PARTS = "parts"
_KEY_DIGITS = 16
_BROKEN = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, kw_only=True)
class Window:
    """One field of a plan.

    Attributes
    ----------
    row, column : in the plan, from its lower left.
    field_nm : (x0, y0, x1, y1) of the field in the layout.
    core_nm : (x0, y0, x1, y1) of the core; it may reach beyond the plan's region.
    """

    row: int
    column: int
    field_nm: tuple[float, float, float, float]
    core_nm: tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a region is cut into windows; its size need not be a multiple of anything but the pixel.

    Attributes
    ----------
    region_nm : (x0, y0, x1, y1) in the layout.
    core_nm : side of a core.
    field_nm : side of a field, the period of the kernels.
    pixel_nm : side of a pixel.
    shifted : windows are moved by half a core along x and y, and one more row and column covers the rest.

    Raises
    ------
    LayoutError : the region is empty or off the pixels, or the halo is smaller than the optical radius.

    Examples
    --------
    >>> plan = Plan(region_nm=(0, 0, 2500, 1024))
    >>> [window.core_nm for window in plan.windows]
    [(0.0, 0.0, 1024.0, 1024.0), (1024.0, 0.0, 2048.0, 1024.0), (2048.0, 0.0, 3072.0, 1024.0)]
    >>> plan.borders_nm
    ([1024.0, 2048.0], [])
    """

    region_nm: tuple[float, float, float, float]
    core_nm: float = CORE_NM
    field_nm: float = FIELD_NM
    pixel_nm: float = 1.0
    shifted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "region_nm", tuple(float(v) for v in self.region_nm))
        x0, y0, x1, y1 = self.region_nm
        if not (x1 > x0 and y1 > y0):
            raise LayoutError(f"region_nm={self.region_nm} is not (x0, y0, x1, y1) in nm with x0 < x1 and y0 < y1")
        lengths = np.array([x1 - x0, y1 - y0, self.core_nm / 2, (self.field_nm - self.core_nm) / 2]) / self.pixel_nm
        if np.abs(lengths - np.rint(lengths)).max() > 1e-6:
            raise LayoutError(
                f"region {x1 - x0:g} x {y1 - y0:g} nm, half the core {self.core_nm / 2:g} nm and halo "
                f"{(self.field_nm - self.core_nm) / 2:g} nm must be whole in pixels of {self.pixel_nm:g} nm"
            )
        if self.halo_nm < OPTICAL_RADIUS_NM:
            raise LayoutError(
                f"a core of {self.core_nm:g} nm in a field of {self.field_nm:g} nm leaves a halo of {self.halo_nm:g} "
                f"nm; the optics reach {OPTICAL_RADIUS_NM:g} nm: take a core of at most "
                f"{self.field_nm - 2 * OPTICAL_RADIUS_NM:g} nm"
            )

    @property
    def halo_nm(self) -> float:
        """What a window sees around its core."""
        return (self.field_nm - self.core_nm) / 2

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels of the region, (y, x)."""
        x0, y0, x1, y1 = self.region_nm
        return round((y1 - y0) / self.pixel_nm), round((x1 - x0) / self.pixel_nm)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        x0, y0, x1, y1 = self.region_nm
        extra = self.core_nm / 2 if self.shifted else 0.0
        return tuple(int(np.ceil((length + extra) / self.core_nm)) for length in (y1 - y0, x1 - x0))

    @property
    def windows(self) -> Iterator[Window]:
        """All windows, row by row from below."""
        rows, columns = self.grid
        return (self.window(row, column) for row in range(rows) for column in range(columns))

    def window(self, row: int, column: int) -> Window:
        """One window."""
        shift = -self.core_nm / 2 if self.shifted else 0.0
        x0, y0 = (
            self.region_nm[axis] + shift + i * self.core_nm for axis, i in ((0, column), (1, row))
        )  # fmt: skip
        return self.around(x0 + self.core_nm / 2, y0 + self.core_nm / 2, row, column)

    def around(self, x_nm: float, y_nm: float, row: int = 0, column: int = 0) -> Window:
        """A window with its middle at (x, y)."""
        half, wide = self.core_nm / 2, self.field_nm / 2
        return Window(
            row=row,
            column=column,
            core_nm=(x_nm - half, y_nm - half, x_nm + half, y_nm + half),
            field_nm=(x_nm - wide, y_nm - wide, x_nm + wide, y_nm + wide),
        )

    @property
    def borders_nm(self) -> tuple[list[float], list[float]]:
        """x of the vertical and y of the horizontal borders between cores, inside the region."""
        rows, columns = self.grid
        x0, y0, *_ = self.window(0, 0).core_nm
        xs = [x0 + i * self.core_nm for i in range(1, columns)]
        ys = [y0 + i * self.core_nm for i in range(1, rows)]
        return xs, ys


class StitchedMask:
    """The mask of a region as a compressed store on disk, read and written window by window.

    Parameters
    ----------
    path : of a store that :meth:`create` made.

    Attributes
    ----------
    path : the store: a zarr group with ``mask`` (y, x) uint8, and ``y`` and ``x`` of the pixel centres in layout nm, so
        that ``xarray.open_zarr(path, consolidated=False)`` opens it.
    region_nm, pixel_nm : what it covers.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise MissingDataError(f"no stitched mask at {self.path}; solve the area first")
        group = zarr.open_group(self.path, mode="r+")
        self._pixels = group["mask"]
        self.region_nm = tuple(group.attrs["region_nm"])
        self.pixel_nm = float(group.attrs["pixel_nm"])

    @classmethod
    def create(cls, path: str | Path, plan: Plan, run: Run) -> StitchedMask:
        """An empty mask of a plan's region, in place of what is there."""
        said = {
            "region_nm": list(plan.region_nm),
            "pixel_nm": plan.pixel_nm,
            "title": run.record.title,
            "record": json.dumps(run.record.to_dict()),
        }
        group = zarr.open_group(Path(path), mode="w", zarr_format=3, attributes=said)
        for axis, name in enumerate(("y", "x")):
            centres = Grid(plan.shape[axis], plan.pixel_nm).centres_nm + plan.region_nm[1 - axis]
            labels = {"long_name": name, "units": "nm"}
            group.create_array(name, data=centres, dimension_names=(name,), attributes=labels)
        chunk = min(round(plan.core_nm / plan.pixel_nm), max(plan.shape))
        group.create_array(
            "mask",
            shape=plan.shape,
            chunks=(chunk, chunk),
            dtype="uint8",
            dimension_names=("y", "x"),
            attributes={"long_name": "mask", "units": "1"},
        )
        return cls(path)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels, (y, x)."""
        return self._pixels.shape

    def read(self, box_nm: Sequence[float]) -> np.ndarray:
        """(y, x) uint8 of a box in layout coordinates; 0 beyond the region."""
        (y0, x0), (y1, x1) = self._px(box_nm)
        image = np.zeros((y1 - y0, x1 - x0), np.uint8)
        a, b, c, d = max(y0, 0), min(y1, self.shape[0]), max(x0, 0), min(x1, self.shape[1])
        if b > a and d > c:
            image[a - y0 : b - y0, c - x0 : d - x0] = self._pixels[a:b, c:d]
        return image

    def write(self, box_nm: Sequence[float], image: np.ndarray) -> None:
        """Put (y, x) pixels at a box in layout coordinates; what lies beyond the region is left out."""
        (y0, x0), (y1, x1) = self._px(box_nm)
        a, b, c, d = max(y0, 0), min(y1, self.shape[0]), max(x0, 0), min(x1, self.shape[1])
        if b > a and d > c:
            self._pixels[a:b, c:d] = image[a - y0 : b - y0, c - x0 : d - x0]

    def digest(self) -> str:
        """Hash of all pixels, read row of chunks by row of chunks."""
        found = hashlib.sha256(json.dumps([*self.shape, self.pixel_nm]).encode())
        step = self._pixels.chunks[0]
        for y in range(0, self.shape[0], step):
            found.update(np.packbits(self._pixels[y : y + step], axis=-1).tobytes())
        return found.hexdigest()

    def tiles(self) -> Iterator[Iterator[MaskTile]]:
        """Rows of tiles, one a chunk, as :func:`maskopt_lib.layout.mosaic.write_mosaic` takes them."""
        step_y, step_x = self._pixels.chunks
        for y in range(0, self.shape[0], step_y):
            yield (
                MaskTile(image=self._pixels[y : y + step_y, x : x + step_x], x_px=x, y_px=y)
                for x in range(0, self.shape[1], step_x)
            )

    def _px(self, box_nm: Sequence[float]) -> tuple[tuple[int, int], tuple[int, int]]:
        x0, y0, x1, y1 = (
            (v - self.region_nm[i % 2]) / self.pixel_nm for i, v in enumerate(map(float, box_nm))
        )  # fmt: skip
        off = max(abs(v - round(v)) for v in (x0, y0, x1, y1))
        if off > 1e-6:
            raise GridMismatchError(f"box_nm={tuple(box_nm)} is off the mask's pixels of {self.pixel_nm:g} nm")
        return (round(y0), round(x0)), (round(y1), round(x1))


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


@contextmanager
def workers(n: int = 2, *, address: str = "") -> Iterator[distributed.Client | None]:
    """Workers to spread windows over: a local cluster of processes, a scheduler that runs, or none.

    Parameters
    ----------
    n : processes of the local cluster; 0 does everything in this process, and gives None.
    address : of a scheduler, such as ``"tcp://node1:8786"``; its workers must see the run's folder. Wins over ``n``.
    """
    if address:
        with distributed.Client(address) as client:
            yield client
        return
    if n == 0:
        yield None
        return
    with (
        distributed.LocalCluster(
            n_workers=n, threads_per_worker=1, processes=True, dashboard_address=None, memory_limit=0
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(n)
        yield client


def spread(
    do: Callable[[Any], Any], tasks: Iterable[Any], *, client: distributed.Client | None = None
) -> Iterator[tuple[Any, Any]]:
    """Do tasks here or on workers, and give (task, result) as they are done.

    Parameters
    ----------
    do : a function of the library: it and its task travel to another process.
    tasks : may be made one by one; no more of them are under way than keep all workers busy.
    client : of the workers; None does one after the other in this process.

    Notes
    -----
    A worker that dies gives its tasks back to the others; only a task during which several workers die is given up.
    """
    tasks = iter(tasks)
    if client is None:
        for task in tasks:
            yield task, do(task)
        return
    waiting: dict[str, Any] = {}
    done = distributed.as_completed(loop=client.loop)

    def add(task: Any) -> None:
        future = client.submit(do, task, pure=False)
        waiting[future.key] = task
        done.add(future)

    for task in tasks:
        add(task)
        # A cluster may grow or lose workers while it works.
        if len(waiting) >= 2 * max(1, len(client.nthreads())):
            future = next(done)
            yield waiting.pop(future.key), future.result()
    while waiting:
        future = next(done)
        yield waiting.pop(future.key), future.result()


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

    Returns
    -------
    As :func:`solve_area`.

    Notes
    -----
    Windows are taken in four groups, those of even and odd rows and columns. Within a group no two cores touch, and
    their fields overlap only where nobody changes anything.
    """
    begun = time.perf_counter()
    moved = replace(plan, shifted=not plan.shifted)
    out = StitchedMask.create(run.out_dir / f"{name}.zarr", plan, run)
    _copy(stitched, out)
    design = area.design()
    solver = _Solver.of(area, moved, trial, run, batch)
    windows, rows, every, new = list(moved.windows), {}, {}, 0
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


def design_inputs(source: str | Path, platform: Platform) -> list[str | Path]:
    """What a design is read from, as :func:`maskopt_lib.study.start` takes its inputs; nothing for ``""``.

    Examples
    --------
    >>> from maskopt_lib.layout import PLATFORMS
    >>> design_inputs("gcd_dense_routed", PLATFORMS["nangate45"])[:2]
    ['nangate45/designs/gcd_dense_routed.def', 'nangate45/FreePDK45.lyt']
    >>> design_inputs("", PLATFORMS["nangate45"])
    []
    """
    text = str(source)
    if not text or Path(text).is_file():
        return [Path(text)] if text else []
    names = [n for n in manifest.names() if text in (n, PurePosixPath(n).name, PurePosixPath(n).stem)]
    names = [n for n in names if n.endswith(".def")] or names[:1]
    return [*names, platform.technology, *platform.lefs, *platform.layouts] if names else []


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
            kernels_digest(area.kernels), method_digest(trial.method), trial.method, asdict(options), plan.pixel_nm,
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


def is_whole(path: Path) -> bool:
    """Whether a part is there and undamaged: all of it is read, and with it the checksums that it carries."""
    if not path.exists():
        return False
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
            return all(kept[name] is not None for name in kept.files)
    except _BROKEN:
        return False


def _solve_batch(task: _Batch) -> None:
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


def _copy(source: StitchedMask, out: StitchedMask) -> None:
    x0, y0, x1, y1 = source.region_nm
    step = CORE_NM * np.ceil(source.pixel_nm)
    for y in np.arange(y0, y1, step):
        box = (x0, y, x1, min(y + step, y1))
        out.write(box, source.read(box))


def _window_table(windows: Sequence[Window], rows: Sequence[dict], parts: dict[Window, _Part]) -> xr.Dataset:
    solved = [-1 if parts[w].path is None else 0 if parts[w].shared else 1 for w in windows]
    middle = np.array([[(w.core_nm[0] + w.core_nm[2]) / 2, (w.core_nm[1] + w.core_nm[3]) / 2] for w in windows])
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
            name: (TILE, np.asarray(values), {"long_name": long_name, "units": units})
            for name, (values, long_name, units) in columns.items()
        }
    )


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


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Compute with so many threads, and with as many as before behind it."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _peak_bytes(device: str) -> int:
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def hashed(values: list) -> str:
    """SHA-256 of plain values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=repr).encode()).hexdigest()
