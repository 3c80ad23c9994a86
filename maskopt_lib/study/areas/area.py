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

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from scipy import ndimage

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, LayoutError
from maskopt_lib.layout.designs import read_design
from maskopt_lib.layout.layers import Layer
from maskopt_lib.layout.mosaic import MASK_LAYER, TARGET_LAYER, write_mosaic
from maskopt_lib.layout.windows import Plan, StitchedMask, Window, grown
from maskopt_lib.layout.writer import WrittenMask, writable_name
from maskopt_lib.runs.parts import FOLDER, file_name
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.areas.batches import (
    Area,
    Solved,
    TiledArea,
    apart,
    holding,
    open_mask,
    solve_batches,
    stitching,
)
from maskopt_lib.study.areas.tables import TILE, table
from maskopt_lib.study.solvers.masks import Trial

__all__ = [
    "Area", "Plan", "StitchedMask", "TiledArea", "Window", "cost_of", "growth", "open_mask", "read_back",
    "seam_pass", "solve_area", "solve_windows", "stitching", "workers", "write_area",
]  # fmt: skip

_COLUMNS = {
    "row": ("row of the window", "1"),
    "column": ("column of the window", "1"),
    "x_nm": ("middle of the window, x", "nm"),
    "y_nm": ("middle of the window, y", "nm"),
    "solved": ("solved (1), as another window (0), empty (-1)", "1"),
    schema.RUNTIME: ("run time", "s"),
    schema.PEAK_MEMORY: ("peak memory of the worker", "GB"),
}
_COSTS = {
    "wall_s": ("wall time", "s"),
    "windows": ("windows", "1"),
    "solver_s": ("time of all solves together", "s"),
    schema.PEAK_MEMORY: ("peak memory of a worker", "GB"),
}


def solve_area(tiled: TiledArea, trial: Trial, *, name: str = "mask") -> tuple[StitchedMask, xr.Dataset]:
    """Solve every window of a plan by itself, and stitch the cores.

    Parameters
    ----------
    tiled : what, where and by whom.
    trial : the way to make masks.
    name : of the store, ``<name>.zarr``.

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
    windows = list(tiled.plan.windows)
    solved = solve_batches(tiled, windows, trial, title=name)
    with stitching(tiled.run, name, tiled.plan) as stitched:
        solved.stitch(stitched)
    return _finished(tiled, name, begun, [solved], windows)


def seam_pass(
    tiled: TiledArea, trial: Trial, stitched: StitchedMask, *, name: str = "mask_seamless", moved: Plan | None = None,
    places_nm: np.ndarray | None = None,
) -> tuple[StitchedMask, xr.Dataset]:  # fmt: skip
    """Solve windows that lie across the borders of a plan, each beside what its neighbours have become.

    Parameters
    ----------
    tiled : what, where and by whom; the windows are those of its plan moved by half a core.
    trial : the way to change masks. A method that can, should change no more than the core: ``window_nm`` of
        "rule_aware" is to be the core's side, what lies beyond then counts as it is. Of other methods the core is cut
        out.
    stitched : the mask to start from; it is kept.
    name : of the new store.
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
    plan = tiled.plan
    across = replace(tiled, plan=replace(moved or replace(plan, shifted=not plan.shifted), rim_nm=0.0))  # cores alone
    windows = list(across.plan.windows) if places_nm is None else holding(across.plan.windows, places_nm)
    passes = []
    with stitching(tiled.run, name, plan, start=stitched) as seamless:
        for i, group in enumerate(apart(windows)):
            title = f"{name}, group {i + 1} of 4"
            solved = solve_batches(across, group, trial, start=seamless.path, title=title)
            solved.stitch(seamless)
            passes.append(solved)
    return _finished(across, name, begun, passes, windows)


def growth(tiled: TiledArea, trial: Trial, sizes: Sequence[int]) -> xr.Dataset:
    """Time what areas of several sizes take: squares of windows in the middle of a plan, each solved from nothing.

    Parameters
    ----------
    tiled, trial : as for :func:`solve_area`; what was timed is kept below the run's folder, and not timed again.
    sizes : windows along a side.

    Returns
    -------
    Dataset over ``area_um2``: ``wall_s``, ``windows``, ``solver_s`` (sum over the windows) and ``peak_memory_gb``, the
    most that a worker has needed.
    """
    plan, run = tiled.plan, tiled.run
    rows, columns = plan.grid
    costs = []
    for size in sorted(sizes):
        x0, y0, *_ = plan.window(max(0, (rows - size) // 2), max(0, (columns - size) // 2)).core_nm
        side = size * plan.core_nm
        square = replace(plan, region_nm=(x0, y0, x0 + side, y0 + side))
        inner = Run(record=run.record, out_dir=run.out_dir / f"growth_{size}")
        costs.append(cost_of(solve_area(replace(tiled, plan=square, run=inner), trial)[1], square))
    return xr.concat(costs, "area_um2")


def cost_of(windows: xr.Dataset, plan: Plan) -> xr.Dataset:
    """One point of :func:`growth` from what :func:`solve_area` said of its windows."""
    values = {
        "wall_s": windows.attrs["wall_s"],
        "windows": windows.sizes[TILE],
        "solver_s": windows[schema.RUNTIME].where(windows["solved"] == 1).sum(),
        schema.PEAK_MEMORY: windows[schema.PEAK_MEMORY].max(),
    }
    area_um2 = float(np.prod(plan.shape)) * plan.pixel_nm**2 * 1e-6
    cost = table(pd.DataFrame({name: [float(value)] for name, value in values.items()}), "area_um2", _COSTS)
    return cost.assign_coords(area_um2=("area_um2", [area_um2], {"long_name": "area", "units": "um2"}))


def solve_windows(tiled: TiledArea, windows: Sequence[Window], trial: Trial) -> Iterator[np.ndarray]:
    """Masks of single windows, whole fields (y, x) uint8, solved as :func:`solve_area` solves; for references.

    Parameters
    ----------
    tiled, trial : as for :func:`solve_area`.
    windows : of the plan, or others of its size.
    """
    solved = solve_batches(tiled, windows, trial, whole=True, title="reference windows")
    side = round(tiled.plan.field_nm / tiled.plan.pixel_nm)
    for window in windows:
        yield solved.mask(window) if solved.digests[window] else np.zeros((side, side), np.uint8)


def write_area(
    stitched: StitchedMask,
    area: Area,
    path: str | Path,
    *,
    box_nm: Sequence[float] | None = None,
    beside: bool = False,
    **how: Any,
) -> WrittenMask:
    """Write a stitched mask as OASIS or GDS at the layout's coordinates, with what it was made for.

    Parameters
    ----------
    box_nm : what is written of the mask; all by default.
    beside : write all layers and cells of the layout too; by default the target, and outlines and names of the cells.
    how : layers, contours and tolerance as for :func:`maskopt_lib.layout.mosaic.write_mosaic`.

    Returns
    -------
    As :func:`maskopt_lib.layout.mosaic.write_mosaic`; by default the mask is on layer 111/0, the target on 110/0,
    outlines of cells on 235/0 and their names on 235/1.
    """
    x0, y0, *_ = stitched.region_nm if box_nm is None else box_nm
    return write_mosaic(
        stitched.tiles(box_nm), path, pixel_nm=stitched.pixel_nm, origin_nm=(x0, y0), **_shown(area, beside), **how
    )  # fmt: skip


def check_written(area: Area, path: Path, plan: Plan, run: Run, *, beside: bool = False, **how: Any) -> None:
    """See before anything is solved that :func:`write_area` will write: the same file without a mask, in the run's
    folder.

    Raises
    ------
    LayoutError : the path is that of the layout, a layer, unit, pixel or suffix that the file cannot have.
    """
    if path.resolve() == area.layout_file:
        raise LayoutError(f"{path} is the layout itself; write the mask to another file")
    tried = run.out_dir / f"empty{path.suffix}"
    x0, y0, *_ = grown(plan.region_nm, plan.rim_nm)
    try:
        write_mosaic([], tried, pixel_nm=plan.pixel_nm, origin_nm=(x0, y0), **_shown(area, beside), **how)
    except LayoutError as error:
        raise LayoutError(str(error).replace(str(tried), str(path))) from error
    files.remove(tried)


def _shown(area: Area, beside: bool) -> dict[str, Any]:
    return {"beside": area.layout_file} if beside else {"context": area.design(), "target": area.layer}


def written_cell(area: Area, *, beside: bool = False) -> str:
    """Name of the top cell of what :func:`write_area` writes."""
    design = area.design()  # KLayout's cells end with their layout
    name = design.top.name
    return writable_name(name if beside else f"{name}_MASK")


def read_back(
    path: Path, area: Area, plan: Plan, stitched: StitchedMask, *, every: int = 1, layer: Layer = MASK_LAYER,
    target_layer: Layer = TARGET_LAYER,
) -> xr.Dataset:  # fmt: skip
    """Hold a written file against the mask, window by window.

    Parameters
    ----------
    path : of :func:`write_area`.
    area, plan, stitched : what was written.
    every : look at every n-th window only.
    layer, target_layer : of mask and target in the file.

    Returns
    -------
    Dataset: ``pixels`` compared, ``pixels_apart``, and ``farthest_px``: how far inside or outside the mask's outline
    the deepest of them lies (1: it touches the outline, as smooth contours may), ``target_apart`` pixels of the target.
    """
    written, design = read_design(path, platform=area.platform), area.design()
    pixels = pixels_apart = farthest_px = target_apart = 0
    for i, window in enumerate(plan.windows):
        box = plan.inside(window)
        mask = stitched.read(box)
        if i % every or not mask.any():
            continue
        differs = written.rasterize(layer, box, stitched.pixel_nm) != mask
        around = np.pad(mask, 2, mode="edge")
        depth = np.where(around, ndimage.distance_transform_cdt(around), ndimage.distance_transform_cdt(1 - around))
        pixels += mask.size
        pixels_apart += int(differs.sum())
        farthest_px = max(farthest_px, int(depth[2:-2, 2:-2][differs].max(initial=0)))
        target = design.rasterize(area.layer, box, stitched.pixel_nm)
        target_apart += int((written.rasterize(target_layer, box, stitched.pixel_nm) != target).sum())
    values = {
        "pixels": (pixels, "pixels compared"),
        "pixels_apart": (pixels_apart, "pixels of the mask that differ"),
        "farthest_px": (farthest_px, "depth of the deepest of them in pixels"),
        "target_apart": (target_apart, "pixels of the target that differ"),
    }
    return xr.Dataset({k: ((), v, {"long_name": name, "units": "1"}) for k, (v, name) in values.items()})


def _finished(
    tiled: TiledArea, name: str, begun: float, passes: Sequence[Solved], windows: Sequence[Window]
) -> tuple[StitchedMask, xr.Dataset]:
    """The stitched mask, and the table of windows in their order."""
    costs = {window: row for solved in passes for window, row in solved.rows()}
    rows = [
        [w.row, w.column, (w.core_nm[0] + w.core_nm[2]) / 2, (w.core_nm[1] + w.core_nm[3]) / 2, *costs[w]]
        for w in windows
    ]
    plan, run = tiled.plan, tiled.run
    columns = pd.DataFrame(rows, columns=list(_COLUMNS), dtype=None if rows else float)
    new = sum(solved.new for solved in passes)
    solved_windows = table(columns, TILE, _COLUMNS).assign_attrs(
        wall_s=_wall_s(run, name, begun, new), new=new, core_nm=plan.core_nm, field_nm=plan.field_nm,
        pixel_nm=plan.pixel_nm, batch=tiled.batch,
    )  # fmt: skip
    return open_mask(run.out_dir / f"{name}.zarr"), solved_windows


def _wall_s(run: Run, name: str, begun: float, new: int) -> float:
    """Wall time of this call and of those before it; calls that solved nothing do not count."""
    path = run.out_dir / FOLDER / f"{file_name('wall', name)}.json"
    try:
        before = files.read_json(path)["wall_s"]
    except (FileNotFoundError, DamagedFileError):  # the first call, or a damaged file: no result rests on it
        before = 0.0
    spent = before + (time.perf_counter() - begun if new else 0.0)
    files.write_json(path, {"wall_s": spent})
    return spent
