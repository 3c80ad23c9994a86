"""Seams of stitched masks: what is printed, and what the mask rules say, at the borders of windows and elsewhere.

The truth about a stitched mask is what it prints as it stands, so every number here is taken from the stitched mask
with its full surroundings, window by window, never from what a solver saw. Places near a border are held against places
in the interior, and against the same place solved in the middle of a window of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import xarray as xr
from scipy import ndimage
from tqdm import tqdm

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.layout import Design, read_design
from maskopt_lib.layout.mosaic import MASK_LAYER, TARGET_LAYER
from maskopt_lib.layout.windows import OPTICAL_RADIUS_NM, Plan, StitchedMask, Window
from maskopt_lib.litho import Simulator
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, is_whole
from maskopt_lib.runs.record import Run
from maskopt_lib.runs.spread import Kept, spread, torch_threads
from maskopt_lib.study.areas.area import PARTS, TILE, Area, solve_windows
from maskopt_lib.study.solvers.benchmark import Trial

#: A place is at a seam within this distance of a border, in nm.
NEAR_NM = 64.0
#: Where a place lies: at a border of the first windows, of those moved by half a core, or at none.
PLACES = ("first borders", "moved borders", "interior")
MASK, PLACE, BORDER, DISTANCE = "mask", "place", "border", "distance_nm"
# Along a border the ends are left out, where a second one crosses.
_CROSSING_NM = 64.0
_AT_ONCE = 8
_SITE_COLUMNS = {
    "x_nm": ("site, x", "nm"),
    "y_nm": ("site, y", "nm"),
    "edge_error_nm": ("edge placement error, positive outwards", "nm"),
    "violates15": ("probes that violate the 15 nm limit", "1"),
    "violates3": ("probes that violate the 3 nm limit", "1"),
}
_RULE_COLUMNS = {
    "x_nm": ("place, x", "nm"),
    "y_nm": ("place, y", "nm"),
    "value": ("value (areas in nm2)", "nm"),
    "broken": ("rule that is broken, by its number", "1"),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a stitched mask prints.

    Attributes
    ----------
    windows : Dataset over ``tile``: ``l2_nm2`` and ``pvb_nm2`` of each core.
    sites : Dataset over ``site``: place, edge error (nan: lost) and violations of every site.
    violations : Dataset over ``violation``: place, value and ``broken`` rule in the windows whose rules were checked;
        over ``rule`` the deck, ``worst`` and ``checked_nm2``, the area that was checked.
    """

    windows: xr.Dataset
    sites: xr.Dataset
    violations: xr.Dataset


def measure(
    area: Area,
    plan: Plan,
    stitched: StitchedMask,
    run: Run,
    *,
    deck: Mapping[str, float],
    rules_every: int = 1,
    client: distributed.Client | None = None,
) -> Measured:
    """Print a stitched mask window by window, and score every core.

    Parameters
    ----------
    area, plan : of the mask; the plan's windows are printed, whatever windows the mask was made with.
    stitched : the mask.
    run : parts are kept below its folder.
    deck : mask rules, as for :func:`maskopt_lib.metrics.rule_report`.
    rules_every : check the rules in every n-th window only, counted along rows; 1 checks all.
    client : as for :func:`maskopt_lib.study.areas.area.solve_area`.
    """
    folder = run.out_dir / PARTS
    folder.mkdir(exist_ok=True)
    code = source_hash(["maskopt_lib.metrics.epe", "maskopt_lib.metrics.rules", "maskopt_lib.litho.simulator"])
    layout_hash = hashlib.sha256(Path(area.layout_file).read_bytes()).hexdigest()
    settings = [
        stitched.digest(), kernels_digest(area.kernels), layout_hash, str(area.layer), dict(deck), code, area.device,
        area.threads, source_hash(["maskopt_lib.study.areas.seams"], follow=False),
    ]  # fmt: skip
    windows = list(plan.windows)
    checked = [i % rules_every == 0 for i in range(len(windows))]
    tasks = []
    for i in range(0, len(windows), _AT_ONCE):
        chosen, rules = tuple(windows[i : i + _AT_ONCE]), tuple(checked[i : i + _AT_ONCE])
        key = hashed([settings, [w.field_nm for w in chosen], plan.region_nm, rules])[:16]
        tasks.append(
            _Batch(
                area=area, stitched=stitched.path.resolve(), region_nm=plan.region_nm, windows=chosen, rules=rules,
                deck=dict(deck), path=folder.resolve() / f"{file_name('print', key)}.npz",
            )
        )  # fmt: skip
    missing = [task for task in tasks if not is_whole(task.path)]
    with tqdm(
        total=len(windows), desc=f"print {stitched.path.stem}", unit="window", file=sys.stdout, mininterval=5
    ) as bar:
        bar.update(sum(len(task.windows) for task in tasks) - sum(len(task.windows) for task in missing))
        for task, _ in spread(_measure_batch, missing, client=client):
            bar.update(len(task.windows))
    found = [_read(task.path) for task in tasks]
    scores, sites, broken = (np.concatenate([f[name] for f in found]) for name in ("scores", "sites", "broken"))
    worst = np.array([f["worst"] for f in found])
    return Measured(
        windows=schema.label(
            xr.Dataset({schema.L2: (TILE, scores[:, 0]), schema.PVB: (TILE, scores[:, 1])})
        ).assign_attrs(region_nm=list(plan.region_nm)),
        sites=_table(schema.SITE, sites, _SITE_COLUMNS),
        violations=_table("violation", broken, _RULE_COLUMNS)
        .assign(
            at_least=("rule", list(map(float, deck.values())), {"long_name": "limit of the rule", "units": "nm"}),
            worst=("rule", _smallest(worst), {"long_name": "smallest value found", "units": "nm"}),
            checked_nm2=((), sum(f["checked_nm2"].item() for f in found), {"long_name": "checked", "units": "nm2"}),
        )
        .assign_coords(rule=list(deck)),
    )


def border_distance(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan) -> np.ndarray:
    """Distance of places from the nearest border between the cores of a plan, in nm; inf where it has none."""
    found = np.full(np.shape(x_nm), np.inf)
    for at, borders in zip((x_nm, y_nm), plan.borders_nm, strict=True):
        if borders:
            lines = np.asarray(borders)
            right = np.clip(np.searchsorted(lines, at), 1, len(lines) - 1) if len(lines) > 1 else np.zeros(len(at), int)
            left = np.maximum(right - 1, 0)
            found = np.minimum(found, np.minimum(np.abs(at - lines[left]), np.abs(at - lines[right])))
    return found


def where(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan, *, near_nm: float = NEAR_NM) -> np.ndarray:
    """Index into :data:`PLACES` for each place; borders of the first windows count before those of the moved ones."""
    moved = replace(plan, shifted=not plan.shifted)
    at_first = border_distance(x_nm, y_nm, plan) <= near_nm
    at_moved = border_distance(x_nm, y_nm, moved) <= near_nm
    return np.where(at_first, 0, np.where(at_moved, 1, 2))


def read_back(path: Path, area: Area, plan: Plan, stitched: StitchedMask, *, every: int = 1) -> xr.Dataset:
    """Hold a written file against the mask, window by window.

    Parameters
    ----------
    path : of :func:`maskopt_lib.study.areas.area.write_area`.
    area, plan, stitched : what was written.
    every : look at every n-th window only.

    Returns
    -------
    Dataset: ``pixels`` compared, ``pixels_apart``, and ``farthest_px``: how far inside or outside the mask's outline
    the deepest of them lies (1: it touches the outline, as smooth contours may), ``target_apart`` pixels of the target.
    """
    written, design = read_design(path, platform=area.platform), area.design()
    pixels = apart_in_all = farthest = target_apart = 0
    for i, window in enumerate(plan.windows):
        box = _cut(window.core_nm, plan.region_nm)
        mask = stitched.read(box)
        if i % every or not mask.any():
            continue
        apart = written.rasterize(MASK_LAYER, box, stitched.pixel_nm) != mask
        around = np.pad(mask, 2, mode="edge")
        depth = np.where(around, ndimage.distance_transform_cdt(around), ndimage.distance_transform_cdt(1 - around))
        pixels += mask.size
        apart_in_all += int(apart.sum())
        farthest = max(farthest, int(depth[2:-2, 2:-2][apart].max(initial=0)))
        drawn = [
            d.rasterize(layer, box, stitched.pixel_nm) for d, layer in ((written, TARGET_LAYER), (design, area.layer))
        ]
        target_apart += int((drawn[0] != drawn[1]).sum())
    values = {
        "pixels": (pixels, "pixels compared"),
        "pixels_apart": (apart_in_all, "pixels of the mask that differ"),
        "farthest_px": (farthest, "depth of the deepest of them in pixels"),
        "target_apart": (target_apart, "pixels of the target that differ"),
    }
    return xr.Dataset({k: ((), v, {"long_name": name, "units": "1"}) for k, (v, name) in values.items()})


def well_inside(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan) -> np.ndarray:
    """Whether places are farther than the optical radius from where the plan's mask ends."""
    x0, y0, x1, y1 = plan.region_nm
    r = OPTICAL_RADIUS_NM
    return (x_nm >= x0 + r) & (x_nm <= x1 - r) & (y_nm >= y0 + r) & (y_nm <= y1 - r)


def violating_places(measured: Measured) -> np.ndarray:
    """(n, 2) x and y in nm of the sites that violate the 15 nm limit or have lost their edge."""
    sites = measured.sites
    wrong = (sites["violates15"].values > 0) | np.isnan(sites["edge_error_nm"].values)
    return np.stack([sites["x_nm"].values[wrong], sites["y_nm"].values[wrong]], axis=1)


def seam_levels(measured: Mapping[str, Measured], plan: Plan, *, near_nm: float = NEAR_NM) -> xr.Dataset:
    """Edge placement and mask rules by place, for several masks of one area.

    Only places farther than the optical radius from the end of the mask count: nearer ones lack what lies beyond.

    Parameters
    ----------
    measured : name of the mask -> what :func:`measure` found.
    plan : the first windows.
    near_nm : a place is at a border within this distance.

    Returns
    -------
    Dataset over ``mask`` and ``place`` (:data:`PLACES`): ``sites``, ``mean_abs_nm``, ``p95_nm``, ``worst_nm`` of the
    absolute edge error (a lost edge counts as the search limit), ``lost``, ``epe15`` and ``epe3`` violations for 1000
    sites; over ``rule`` as well, ``violations`` for 1000 um2 and ``worst`` value of the broken places (nan: none).
    """
    rules = [str(rule) for rule in next(iter(measured.values())).violations["rule"].values]
    share = _share_of_places(plan, near_nm)
    rows: dict[str, list] = {}
    for one in measured.values():
        x, y, error, v15, v3 = (one.sites[name].values for name in _SITE_COLUMNS)
        at = np.where(well_inside(x, y, plan), where(x, y, plan, near_nm=near_nm), -1)
        lost = np.isnan(error)
        error = np.where(lost, metrics.epe.SEARCH_NM, np.abs(error))
        vx, vy, value, broken = (one.violations[name].values for name in _RULE_COLUMNS)
        v_at = np.where(well_inside(vx, vy, plan), where(vx, vy, plan, near_nm=near_nm), -1)
        checked_um2 = float(one.violations["checked_nm2"]) * 1e-6
        for place in range(len(PLACES)):
            chosen = error[at == place]
            n = max(len(chosen), 1)
            rows.setdefault("sites", []).append(len(chosen))
            rows.setdefault("mean_abs_nm", []).append(chosen.mean() if len(chosen) else np.nan)
            rows.setdefault("p95_nm", []).append(np.quantile(chosen, 0.95) if len(chosen) else np.nan)
            rows.setdefault("worst_nm", []).append(chosen.max() if len(chosen) else np.nan)
            rows.setdefault("lost", []).append(int(lost[at == place].sum()))
            rows.setdefault("epe15_per_1000", []).append(1000 * v15[at == place].sum() / n)
            rows.setdefault("epe3_per_1000", []).append(1000 * v3[at == place].sum() / n)
            of_rule = [value[(v_at == place) & (broken == i)] for i in range(len(rules))]
            rows.setdefault("violations", []).append(
                [1000 * len(v) / max(checked_um2 * share[place], 1e-9) for v in of_rule]
            )
            rows.setdefault("worst", []).append([v.min() if len(v) else np.nan for v in of_rule])
    labels = {
        "sites": ("EPE sites", "1"),
        "mean_abs_nm": ("mean absolute edge error", "nm"),
        "p95_nm": ("95 % of absolute edge errors", "nm"),
        "worst_nm": ("largest absolute edge error", "nm"),
        "lost": ("lost edges", "1"),
        "epe15_per_1000": ("EPE violations at 15 nm for 1000 sites", "1"),
        "epe3_per_1000": ("EPE violations at 3 nm for 1000 sites", "1"),
        "violations": ("violations for 1000 um2", "1"),
        "worst": ("worst value (areas in nm2)", "nm"),
    }
    shape = (len(measured), len(PLACES))
    out = xr.Dataset(
        {
            name: (
                (MASK, PLACE, "rule")[: 2 + (name in ("violations", "worst"))],
                np.array(values, float).reshape(*shape, *np.shape(values)[1:]),
                dict(zip(("long_name", "units"), labels[name], strict=True)),
            )
            for name, values in rows.items()
        },
        coords={MASK: list(measured), PLACE: list(PLACES), "rule": rules},
    )
    return out.assign_attrs(near_nm=near_nm)


def seam_places(measured: Measured, plan: Plan, *, n: int, seed: int = 0) -> list[tuple[str, Window]]:
    """Borders of a plan that have edges beside them, drawn at random: ("x" or "y", window around the border's middle).

    Parameters
    ----------
    measured : of any mask of the plan; its sites tell where edges are.
    n : how many; fewer where there are no more.
    seed : of the draw.
    """
    rows, columns = plan.grid
    x, y = measured.sites["x_nm"].values, measured.sites["y_nm"].values
    inside = well_inside(x, y, plan)
    x, y, half = x[inside], y[inside], plan.core_nm / 2
    found = []
    for row in range(rows):
        for column in range(columns):
            x0, y0, x1, y1 = plan.window(row, column).core_nm
            for normal, (cx, cy) in (("x", (x1, y0 + half)), ("y", (x0 + half, y1))):
                is_border = column < columns - 1 if normal == "x" else row < rows - 1
                across, along = (x - cx, y - cy) if normal == "x" else (y - cy, x - cx)
                beside = (np.abs(across) <= NEAR_NM) & (np.abs(along) <= half - _CROSSING_NM)
                if is_border and beside.any():
                    found.append((normal, plan.around(cx, cy, row, column)))
    chosen = np.random.default_rng(seed).permutation(len(found))[:n]
    return [found[i] for i in sorted(chosen.tolist())]


def against_reference(
    area: Area,
    plan: Plan,
    places: Sequence[tuple[str, Window]],
    trial: Trial,
    masks: Mapping[str, StitchedMask],
    run: Run,
    *,
    client: distributed.Client | None = None,
    batch: int = 4,
    bin_nm: float = 64.0,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Stitched masks at seams, held against the same place solved in the middle of a window of its own.

    Parameters
    ----------
    area, plan : of the masks.
    places : of :func:`seam_places`.
    trial : the solver of the first masks, which makes the reference.
    masks : name -> stitched mask.
    run, client, batch : as for :func:`maskopt_lib.study.areas.area.solve_area`.
    bin_nm : width of the bins of the distance from the seam.

    Returns
    -------
    sites : Dataset over ``site`` and ``mask`` (the given ones and "reference"): ``edge_error_nm`` at the sites within
        64 nm of the seam, the same sites for all.
    difference : Dataset over ``mask``, ``border`` and ``distance_nm`` (to the seam): ``xor_nm2_per_um``, area in which
        a mask differs from the reference within that bin on both sides, for each um of border.
    """
    sim = area.simulator()
    design = area.design()
    half, steps = plan.core_nm / 2, round(plan.core_nm / 2 / bin_nm)
    centres = (np.arange(round(plan.field_nm / plan.pixel_nm)) + 0.5) * plan.pixel_nm - plan.field_nm / 2
    within = np.abs(centres) < half - _CROSSING_NM
    errors: list[np.ndarray] = []
    xor = np.zeros((len(masks), len(places), steps))
    fields = solve_windows(area, plan, [w for _, w in places], trial, run, client=client, batch=batch)
    for i, ((normal, window), reference) in enumerate(zip(places, fields, strict=True)):
        target = design.rasterize(area.layer, window.field_nm, plan.pixel_nm)
        images = [mask.read(window.field_nm) for mask in masks.values()]
        found = [_sites(sim, image, target, window, plan.pixel_nm) for image in (*images, reference)]
        x, y = found[0]["x_nm"].values, found[0]["y_nm"].values
        cx, cy = (np.mean(window.field_nm[axis::2]) for axis in (0, 1))
        across, along = (x - cx, y - cy) if normal == "x" else (y - cy, x - cx)
        beside = (np.abs(across) <= NEAR_NM) & (np.abs(along) <= half - _CROSSING_NM) & well_inside(x, y, plan)
        errors.append(np.stack([f["edge_error_nm"].values[beside] for f in found]))
        # Along the border, as far as the region goes.
        low, high = (plan.region_nm[i] - (cy if normal == "x" else cx) for i in ((1, 3) if normal == "x" else (0, 2)))
        chosen = within & (centres > low) & (centres < high)
        length_um = chosen.sum() * plan.pixel_nm * 1e-3
        for k, image in enumerate(images):
            apart = image != reference
            apart = apart[chosen] if normal == "x" else apart[:, chosen].T
            by_line = apart.sum(axis=0) * plan.pixel_nm**2 / length_um
            bins = np.minimum((np.abs(centres) // bin_nm).astype(int), steps)
            xor[k, i] = np.bincount(bins, by_line, minlength=steps + 1)[:steps]
    names = list(masks)
    joined = np.concatenate(errors, axis=1) if errors else np.zeros((len(names) + 1, 0))
    long_name, units = _SITE_COLUMNS["edge_error_nm"]
    sites = xr.Dataset(
        {"edge_error_nm": ((MASK, schema.SITE), joined, {"long_name": long_name, "units": units})},
        coords={MASK: [*names, "reference"]},
    )
    difference = xr.Dataset(
        {
            "xor_nm2_per_um": (
                (MASK, BORDER, DISTANCE),
                xor,
                {"long_name": "mask difference to the reference a um of border", "units": "nm2"},
            )
        },
        coords={
            MASK: names,
            BORDER: np.arange(len(places)),
            DISTANCE: (
                DISTANCE,
                (np.arange(steps) + 0.5) * bin_nm,
                {"long_name": "distance from the seam", "units": "nm"},
            ),
        },
    )
    return sites, difference


def summary_of_errors(errors: xr.Dataset) -> xr.Dataset:
    """Mean, 95 % and largest absolute edge error of each mask; a lost edge counts as the search limit."""
    error = np.abs(errors["edge_error_nm"]).fillna(metrics.epe.SEARCH_NM)
    return xr.Dataset(
        {
            "mean_abs_nm": error.mean(schema.SITE).assign_attrs(long_name="mean absolute edge error", units="nm"),
            "p95_nm": error.quantile(0.95, schema.SITE)
            .drop_vars("quantile")
            .assign_attrs(long_name="95 % of absolute edge errors", units="nm"),
            "worst_nm": error.max(schema.SITE).assign_attrs(long_name="largest absolute edge error", units="nm"),
        }
    )


def picture(area: Area, stitched: StitchedMask, region_nm: Sequence[float]) -> xr.Dataset:
    """Target, mask and prints of a part of a stitched mask, in layout coordinates, printed with full context.

    Returns
    -------
    Dataset over ``y`` and ``x``: 0/1 ``target``, ``mask``, ``nominal``, ``outer``, ``inner``.
    """
    plan = Plan(region_nm=tuple(region_nm), pixel_nm=stitched.pixel_nm, field_nm=area.kernels.period_nm)
    design, sim = area.design(), area.simulator()
    names = ("target", "mask", *schema.CORNERS)
    images = np.zeros((len(names), *plan.shape), np.uint8)
    for window in plan.windows:
        target = design.rasterize(area.layer, window.field_nm, plan.pixel_nm)
        mask = stitched.read(window.field_nm)
        prints = sim.printed(mask.astype(np.float32)).cpu().numpy()
        rows, columns, part = _inside(window, plan.region_nm, plan.pixel_nm)
        printed = [prints[sim.corners.index(corner)] for corner in schema.CORNERS]
        images[:, rows, columns] = np.stack([image[part] for image in (target, mask, *printed)])
    (x0, y0, *_), px = plan.region_nm, plan.pixel_nm
    coords = {
        "y": ("y", y0 + (np.arange(plan.shape[0]) + 0.5) * px, {"long_name": "y", "units": "nm"}),
        "x": ("x", x0 + (np.arange(plan.shape[1]) + 0.5) * px, {"long_name": "x", "units": "nm"}),
    }
    return xr.Dataset(
        {n: (("y", "x"), image, {"long_name": n, "units": "1"}) for n, image in zip(names, images, strict=True)}, coords
    )


def overview(stitched: StitchedMask, *, pixel_nm: float = 32.0) -> xr.Dataset:
    """The share of clear mask in large pixels, read strip by strip: Dataset ``coverage`` (y, x) in layout nm."""
    factor = round(pixel_nm / stitched.pixel_nm)
    n_y, n_x = (n // factor for n in stitched.shape)
    x0, y0, *_ = stitched.region_nm
    step = factor * stitched.pixel_nm
    image = np.zeros((n_y, n_x), np.float32)
    at_once = max(1, 1024 // factor)
    for row in range(0, n_y, at_once):
        rows = min(at_once, n_y - row)
        strip = stitched.read((x0, y0 + row * step, x0 + n_x * step, y0 + (row + rows) * step))
        image[row : row + rows] = strip.reshape(rows, factor, n_x, factor).mean(axis=(1, 3))
    coords = {
        "y": ("y", y0 + (np.arange(n_y) + 0.5) * step, {"long_name": "y", "units": "nm"}),
        "x": ("x", x0 + (np.arange(n_x) + 0.5) * step, {"long_name": "x", "units": "nm"}),
    }
    return xr.Dataset({"coverage": (("y", "x"), image, {"long_name": "clear share of the mask", "units": "1"})}, coords)


# One batch of windows


@dataclass(frozen=True, kw_only=True)
class _Batch:
    area: Area
    stitched: Path
    region_nm: tuple[float, float, float, float]
    windows: tuple[Window, ...]
    rules: tuple[bool, ...]
    deck: Mapping[str, float]
    path: Path

    def __str__(self) -> str:
        return f"windows {[(w.row, w.column) for w in self.windows]}"


def _measure_batch(task: _Batch, kept: Kept) -> None:
    """What a worker does: print, score, keep."""
    area, stitched = task.area, StitchedMask(task.stitched)
    pixel_nm = stitched.pixel_nm
    design, sim = area.design(), area.simulator()
    scores, sites, broken = [], [], []
    worst, checked = [np.full(len(task.deck), np.nan)], 0.0
    with torch_threads(area.threads):
        for window, with_rules in zip(task.windows, task.rules, strict=True):
            target, mask = _target(design, area, window, pixel_nm), stitched.read(window.field_nm)
            _, _, part = _inside(window, task.region_nm, pixel_nm)
            box = _cut(window.core_nm, task.region_nm)
            aerial = sim.aerial(mask.astype(np.float32)).cpu().numpy()
            printed = dict(zip(sim.corners, aerial >= aerial.dtype.type(sim.threshold), strict=True))
            scores.append(
                (
                    metrics.l2_nm2(printed[schema.NOMINAL][part], target[part] > 0, pixel_nm),
                    metrics.pvb_nm2(printed[schema.OUTER][part], printed[schema.INNER][part], pixel_nm),
                )
            )
            if target[part].any():
                found = _sites(sim, mask, target, window, pixel_nm, aerial=aerial)
                x, y = found["x_nm"].values, found["y_nm"].values
                # Half open, so that a site on a border belongs to one window.
                mine = (x >= box[0]) & (x < box[2]) & (y >= box[1]) & (y < box[3])
                sites.append(np.stack([found[name].values[mine] for name in _SITE_COLUMNS], axis=1))
            if with_rules:
                report = metrics.rule_report(mask, task.deck, pixel_nm, region_nm=box, origin_nm=window.field_nm[:2])
                numbers = [list(task.deck).index(str(rule)) for rule in report["broken"].values]
                columns = [report[name].values for name in ("x_nm", "y_nm", "value")]
                broken.append(np.stack([*columns, np.array(numbers, float)], axis=1))
                worst.append(report["worst"].values)
                checked += (box[2] - box[0]) * (box[3] - box[1])
    partial = task.path.with_name(f".{task.path.name}.part-{os.getpid()}")
    with partial.open("wb") as file:
        np.savez_compressed(
            file,
            scores=np.array(scores, float).reshape(-1, 2),
            sites=np.concatenate(sites) if sites else np.zeros((0, len(_SITE_COLUMNS))),
            broken=np.concatenate(broken) if broken else np.zeros((0, len(_RULE_COLUMNS))),
            worst=_smallest(np.array(worst)),
            checked_nm2=np.array(checked),
            said=np.array(json.dumps({"windows": len(task.windows)})),
        )
    partial.replace(task.path)


def _read(path: Path) -> dict[str, np.ndarray]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}


def _target(design: Design, area: Area, window: Window, pixel_nm: float) -> np.ndarray:
    return design.rasterize(area.layer, window.field_nm, pixel_nm)


def _sites(
    sim: Simulator, mask: np.ndarray, target: np.ndarray, window: Window, pixel_nm: float, aerial: Any = None
) -> xr.Dataset:
    """Edge placement at all sites of a field, in layout coordinates."""
    if aerial is None:
        aerial = sim.aerial(mask.astype(np.float32), corners=[schema.NOMINAL]).cpu().numpy()
        nominal = aerial[0]
    else:
        nominal = aerial[sim.corners.index(schema.NOMINAL)]
    sites = metrics.epe_sites(nominal, target, pixel_nm=pixel_nm, threshold=sim.threshold)
    x0, y0, *_ = window.field_nm
    return sites.assign(x_nm=sites["x_nm"] + x0, y_nm=sites["y_nm"] + y0)


def _cut(box: Sequence[float], region: Sequence[float]) -> tuple[float, float, float, float]:
    return max(box[0], region[0]), max(box[1], region[1]), min(box[2], region[2]), min(box[3], region[3])


def _inside(window: Window, region_nm: Sequence[float], pixel_nm: float) -> tuple[slice, slice, tuple[slice, slice]]:
    """Rows and columns of the region that a core covers, and where they are in the field."""
    x0, y0, x1, y1 = _cut(window.core_nm, region_nm)
    spans = {}
    for name, (a, b, origin) in {
        "y": (y0, y1, region_nm[1]), "x": (x0, x1, region_nm[0]),
        "field y": (y0, y1, window.field_nm[1]), "field x": (x0, x1, window.field_nm[0]),
    }.items():  # fmt: skip
        spans[name] = slice(round((a - origin) / pixel_nm), round((b - origin) / pixel_nm))
    return spans["y"], spans["x"], (spans["field y"], spans["field x"])


def _share_of_places(plan: Plan, near_nm: float) -> np.ndarray:
    """Share of the region's area that each of :data:`PLACES` takes well inside, counted on a grid of points."""
    x0, y0, x1, y1 = plan.region_nm
    step = near_nm / 4
    x, y = np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step)
    counts = np.zeros(len(PLACES))
    for one in y:
        row = np.full(len(x), one)
        at = where(x, row, plan, near_nm=near_nm)[well_inside(x, row, plan)]
        counts += np.bincount(at, minlength=len(PLACES))
    return counts / (len(x) * len(y))


def _smallest(values: np.ndarray) -> np.ndarray:
    """Smallest of each column, nan where there is none."""
    filled = np.where(np.isnan(values), np.inf, values).min(axis=0)
    return np.where(np.isinf(filled), np.nan, filled)


def _table(dim: str, values: np.ndarray, columns: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    return xr.Dataset(
        {
            name: (dim, values[:, i], {"long_name": long_name, "units": units})
            for i, (name, (long_name, units)) in enumerate(columns.items())
        }
    )
