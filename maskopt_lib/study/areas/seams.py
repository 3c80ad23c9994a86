"""Seams of stitched masks: what is printed, and what the mask rules say, at the borders of windows and elsewhere.

The truth about a stitched mask is what it prints as it stands, so every number here is taken from the stitched mask
with its full surroundings, window by window, never from what a solver saw. Places near a border are held against places
in the interior, and against the same place solved in the middle of a window of its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.layout.windows import OPTICAL_RADIUS_NM, Plan, StitchedMask, Window
from maskopt_lib.runs.gather import labelled
from maskopt_lib.study.areas.area import TiledArea, solve_windows
from maskopt_lib.study.areas.prints import drawn_sites, edge_sites
from maskopt_lib.study.areas.tables import RULE_COLUMNS, SITE_COLUMNS, Measured
from maskopt_lib.study.solvers.masks import Trial

#: A place is at a seam within this distance of a border, in nm.
NEAR_NM = 64.0
#: Where a place lies: at a border of the first windows, of those moved by half a core, or at none.
PLACES = ("first borders", "moved borders", "interior")
MASK, PLACE, BORDER, DISTANCE = "mask", "place", "border", "distance_nm"
# Along a border the ends are left out, where a second one crosses.
_CROSSING_NM = 64.0
# Width of the bins of the distance from a seam.
_BIN_NM = 64.0
_LEVELS = {
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


def border_distance(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan) -> np.ndarray:
    """Distance of places from the nearest border between the cores of a plan, in nm; inf where it has none."""
    distance = np.full(np.shape(x_nm), np.inf)
    for places, borders in zip((x_nm, y_nm), plan.borders_nm, strict=True):
        if borders:
            nearest = np.clip(np.rint((places - borders[0]) / plan.core_nm), 0, len(borders) - 1).astype(int)
            distance = np.minimum(distance, np.abs(places - np.array(borders)[nearest]))
    return distance


def kind_of_place(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan) -> np.ndarray:
    """Index into :data:`PLACES` for each place; borders of the first windows count before those of the moved ones.

    It is -1 for places nearer than the optical radius to where the plan's mask ends: they lack what lies beyond.
    """
    moved = replace(plan, shifted=not plan.shifted)
    at_first, at_moved = (border_distance(x_nm, y_nm, windows) <= NEAR_NM for windows in (plan, moved))
    return np.where(well_inside(x_nm, y_nm, plan), np.where(at_first, 0, np.where(at_moved, 1, 2)), -1)


def well_inside(x_nm: np.ndarray, y_nm: np.ndarray, plan: Plan) -> np.ndarray:
    """Whether places are farther than the optical radius from where the plan's mask ends."""
    x0, y0, x1, y1 = plan.region_nm
    r = OPTICAL_RADIUS_NM
    return (x_nm >= x0 + r) & (x_nm <= x1 - r) & (y_nm >= y0 + r) & (y_nm <= y1 - r)


def seam_levels(measured: Mapping[str, Measured], plan: Plan) -> xr.Dataset:
    """Edge placement and mask rules by place, for several masks of one area.

    Only places farther than the optical radius from the end of the mask count: nearer ones lack what lies beyond.

    Parameters
    ----------
    measured : name of the mask -> what :func:`measure` found.
    plan : the first windows.

    Returns
    -------
    Dataset over ``mask`` and ``place`` (:data:`PLACES`): ``sites``, ``mean_abs_nm``, ``p95_nm``, ``worst_nm`` of the
    absolute edge error (a lost edge counts as the search limit), ``lost``, ``epe15`` and ``epe3`` violations for 1000
    sites; over ``rule`` as well, ``violations`` for 1000 um2 and ``worst`` value of the broken places (nan: none).
    """
    share = _share_of_places(plan)
    levels, broken_rules = {}, {}
    for mask, prints in measured.items():
        sites, violations = prints.sites.to_dataframe(), prints.violations[list(RULE_COLUMNS)].to_dataframe()
        kind = kind_of_place(sites["x_nm"].values, sites["y_nm"].values, plan)
        kind_of_broken = kind_of_place(violations["x_nm"].values, violations["y_nm"].values, plan)
        checked_um2 = float(prints.violations["checked_nm2"]) * 1e-6
        for i, place in enumerate(PLACES):
            levels[mask, place] = _edge_levels(sites[kind == i])
            for k, rule in enumerate(prints.violations["rule"].values):
                value = violations["value"][(kind_of_broken == i) & (violations["broken"] == k)]
                per_1000_um2 = 1000 * len(value) / max(checked_um2 * share[i], 1e-9)
                broken_rules[mask, place, str(rule)] = {"violations": per_1000_um2, "worst": value.min()}
    dims = (MASK, PLACE, "rule")
    table_of_levels = labelled(levels, dims[:2]).merge(labelled(broken_rules, dims)).astype(float)
    for name, (long_name, units) in _LEVELS.items():
        table_of_levels[name].attrs = {"long_name": long_name, "units": units}
    return table_of_levels.assign_attrs(near_nm=NEAR_NM)


def _edge_levels(sites: pd.DataFrame) -> dict[str, float]:
    """Numbers of edge placement at some sites."""
    error = np.abs(sites["edge_error_nm"].fillna(metrics.epe.SEARCH_NM).to_numpy())
    n = len(error)
    return {
        "sites": n,
        "mean_abs_nm": error.mean() if n else np.nan,
        "p95_nm": np.quantile(error, 0.95) if n else np.nan,
        "worst_nm": error.max() if n else np.nan,
        "lost": sites["edge_error_nm"].isna().sum(),
        "epe15_per_1000": 1000 * sites["violates15"].sum() / max(n, 1),
        "epe3_per_1000": 1000 * sites["violates3"].sum() / max(n, 1),
    }


def seam_places(measured: Measured, plan: Plan, *, n: int, seed: int = 0) -> list[tuple[str, Window]]:
    """Borders of a plan that have edges beside them, drawn at random: ("x" or "y", window around the border's middle).

    Parameters
    ----------
    measured : of any mask of the plan; its sites tell where edges are.
    n : how many; fewer where there are no more.
    seed : of the draw.
    """
    x, y = measured.sites["x_nm"].values, measured.sites["y_nm"].values
    half = plan.core_nm / 2
    rows, columns = plan.grid
    borders = []
    for window in plan.windows:
        x0, y0, x1, y1 = window.core_nm
        for normal, centre, is_border in (
            ("x", (x1, y0 + half), window.column < columns - 1), ("y", (x0 + half, y1), window.row < rows - 1)
        ):  # fmt: skip
            if is_border and _beside(x, y, normal, centre, plan).any():
                borders.append((normal, plan.around(*centre, window.row, window.column)))
    chosen = np.random.default_rng(seed).permutation(len(borders))[:n]
    return [borders[i] for i in sorted(chosen.tolist())]


def _beside(x: np.ndarray, y: np.ndarray, normal: str, centre: Sequence[float], plan: Plan) -> np.ndarray:
    """Which places are beside a border with a normal along x or y, away from its ends and from where the mask ends."""
    across, along = (x - centre[0], y - centre[1]) if normal == "x" else (y - centre[1], x - centre[0])
    near = (np.abs(across) <= NEAR_NM) & (np.abs(along) <= plan.core_nm / 2 - _CROSSING_NM)
    return near & well_inside(x, y, plan)


def against_reference(
    tiled: TiledArea, places: Sequence[tuple[str, Window]], trial: Trial, masks: Mapping[str, StitchedMask]
) -> tuple[xr.Dataset, xr.Dataset]:
    """Stitched masks at seams, held against the same place solved in the middle of a window of its own.

    Parameters
    ----------
    tiled : of the masks.
    places : of :func:`seam_places`.
    trial : the solver of the first masks, which makes the reference.
    masks : name -> stitched mask.

    Returns
    -------
    sites : Dataset over ``site`` and ``mask`` (the given ones and "reference"): ``edge_error_nm`` at the sites within
        64 nm of the seam, the same sites for all.
    difference : Dataset over ``mask``, ``border`` and ``distance_nm`` (to the seam): ``xor_nm2_per_um``, area in which
        a mask differs from the reference within that bin on both sides, for each um of border.
    """
    area, plan = tiled.area, tiled.plan
    sim, design = area.simulator(), area.design()
    half, px = plan.core_nm / 2, plan.pixel_nm
    centres = (np.arange(round(plan.field_nm / px)) + 0.5) * px - plan.field_nm / 2
    bins = np.minimum((np.abs(centres) // _BIN_NM).astype(int), round(half / _BIN_NM))
    errors, differences = [], []
    fields = solve_windows(tiled, [w for _, w in places], trial)
    for (normal, window), reference in zip(places, fields, strict=True):
        target = design.rasterize(area.layer, window.field_nm, px)
        images = [mask.read(window.field_nm) for mask in masks.values()]
        drawn = drawn_sites(design, area.layer, window, px)
        sites = [edge_sites(sim, image, target, window, px, drawn) for image in (*images, reference)]
        centre = [float(np.mean(window.field_nm[axis::2])) for axis in (0, 1)]
        beside = _beside(sites[0]["x_nm"].values, sites[0]["y_nm"].values, normal, centre, plan)
        errors.append(np.stack([of_mask["edge_error_nm"].values[beside] for of_mask in sites]))
        # Along the border, as far as the region goes.
        axis = 1 if normal == "x" else 0
        low, high = (limit - centre[axis] for limit in plan.region_nm[axis::2])
        along = (np.abs(centres) < half - _CROSSING_NM) & (centres > low) & (centres < high)
        length_um = along.sum() * px * 1e-3
        # The axis across the border comes last.
        differ = [image != reference if normal == "x" else (image != reference).T for image in images]
        by_line = [each[along].sum(axis=0) * px**2 / length_um for each in differ]
        differences.append([np.bincount(bins, line)[:-1] for line in by_line])
    names = list(masks)
    long_name, units = SITE_COLUMNS["edge_error_nm"]
    joined = np.concatenate(errors, axis=1) if errors else np.zeros((len(names) + 1, 0))
    sites_of_masks = xr.Dataset(
        {"edge_error_nm": ((MASK, schema.SITE), joined, {"long_name": long_name, "units": units})},
        coords={MASK: [*names, "reference"]},
    )
    distances = (np.arange(bins.max()) + 0.5) * _BIN_NM
    xor = np.reshape(differences, (len(places), len(names), len(distances))).swapaxes(0, 1)
    labels = {"long_name": "mask difference to the reference a um of border", "units": "nm2"}
    difference = xr.Dataset(
        {"xor_nm2_per_um": ((MASK, BORDER, DISTANCE), xor, labels)},
        coords={
            MASK: names,
            BORDER: np.arange(len(places)),
            DISTANCE: (DISTANCE, distances, {"long_name": "distance from the seam", "units": "nm"}),
        },
    )
    return sites_of_masks, difference


def summary_of_errors(errors: xr.Dataset) -> xr.Dataset:
    """Mean, 95 % and largest absolute edge error, nan without sites; a lost edge counts as the search limit."""
    error = np.abs(errors["edge_error_nm"]).fillna(metrics.epe.SEARCH_NM)
    error = error if error.sizes[schema.SITE] else error.pad({schema.SITE: (0, 1)})
    levels = {
        "mean_abs_nm": error.mean(schema.SITE),
        "p95_nm": error.quantile(0.95, schema.SITE).drop_vars("quantile"),
        "worst_nm": error.max(schema.SITE),
    }
    labels = {name: dict(zip(("long_name", "units"), _LEVELS[name], strict=True)) for name in levels}
    return xr.Dataset({name: level.assign_attrs(labels[name]) for name, level in levels.items()})


def _share_of_places(plan: Plan) -> np.ndarray:
    """Share of the region's area that each of :data:`PLACES` takes well inside, counted on a grid of points."""
    x0, y0, x1, y1 = plan.region_nm
    step = NEAR_NM / 4
    x, y = np.arange(x0 + step / 2, x1, step), np.arange(y0 + step / 2, y1, step)
    kinds = (kind_of_place(x, np.full(len(x), row_nm), plan) for row_nm in y)
    return sum(np.bincount(kind[kind >= 0], minlength=len(PLACES)) for kind in kinds) / (len(x) * len(y))
