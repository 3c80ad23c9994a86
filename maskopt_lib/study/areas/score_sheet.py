"""What a mask of a region is worth: scores, rule report and process window of what it prints with its surroundings."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.layout.windows import Plan, StitchedMask, Window
from maskopt_lib.metrics.contour import PLACE, SPACING_NM
from maskopt_lib.metrics.shots import SHOT_GRID
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.tables import DEVIATION
from maskopt_lib.study.areas.batches import Area, pixels_of
from maskopt_lib.study.areas.tables import Measured, table


def score(masks: Mapping[str, StitchedMask], area: Area, plan: Plan, measured: Mapping[str, Measured]) -> xr.Dataset:
    """Score masks inside a region, from what they print with all that surrounds them.

    Parameters
    ----------
    masks : name -> mask.
    area, plan : what and where.
    measured : name -> of :func:`maskopt_lib.study.areas.prints.measure`, with every rule in its deck.

    Returns
    -------
    Dataset over ``method`` with the scores of :func:`maskopt_lib.metrics.evaluate`: areas over the pixels of the
    region, edge placement at its sites, contour error along its curves, rules at its places, measured on the uncut
    mask; ``shots`` of the mask cut at the borders of windows and region, and the region's two write times.
    """
    rows, side = {}, round(plan.field_nm / plan.pixel_nm)
    grid = None if side % SHOT_GRID else SHOT_GRID  # of fields that the usual grid does not divide every pixel counts
    for name, mask in masks.items():
        found = measured[name]
        cores = (_core_in_field(mask, window, plan) for window in plan.windows)
        sites = found.sites.assign(lost=np.isnan(found.sites["edge_error_nm"]))
        worst = found.violations["worst"]
        rows[(name,)] = {
            **{total: float(found.windows[total].sum()) for total in (schema.L2, schema.PVB)},
            **metrics.epe.summarize(sites),
            **(metrics.contour.summarize(found.outline) if found.outline.sizes[PLACE] else {}),
            schema.SHOTS: sum(metrics.count_shots(core, grid) for core in cores if core.any()),
            **dict(zip(worst["rule"].values.tolist(), worst.values.tolist(), strict=True)),
        }
    scores = labelled(rows, (schema.METHOD,))
    about = {
        "kernels": area.process.name,
        "threshold": float(area.simulator().threshold),
        "pixel_nm": plan.pixel_nm,
        "shot_grid": grid or side,
        "region_nm": list(plan.region_nm),
        "context_nm": plan.context_nm,
        "epe_limits_nm": list(metrics.epe.LIMITS_NM),
    }
    scores = schema.label(scores[[name for name in schema.VARIABLES if name in scores]]).assign_attrs(about)
    x0, y0, x1, y1 = plan.region_nm
    return metrics.with_write_times(scores, np.sqrt((x1 - x0) * (y1 - y0)))


def _core_in_field(mask: StitchedMask, window: Window, plan: Plan) -> np.ndarray:
    """(y, x) of a field that is dark beyond what its core has of the region: shots are counted on a grid of fields."""
    field = np.zeros((round(plan.field_nm / plan.pixel_nm),) * 2, np.uint8)
    box = plan.inside(window)
    field[pixels_of(box, window.field_nm[:2], plan.pixel_nm)] = mask.read(box)
    return field


def report_of(measured: Measured, deck: Mapping[str, float]) -> xr.Dataset:
    """The rule report of a region: what :func:`maskopt_lib.metrics.rule_report` says of one mask, from its windows.

    Parameters
    ----------
    measured : with at least the rules of the deck.
    deck : the rules that are reported; 0 leaves one out.
    """
    rules = [rule for rule, limit in deck.items() if limit > 0]
    found = measured.violations.sel(rule=rules)
    names = measured.violations["rule"].values[found["broken"].values.astype(int)]
    limits = measured.violations["at_least"].sel(rule=names).values if len(names) else np.zeros(0)
    order = np.lexsort((found["y_nm"], found["x_nm"], found["value"].values / limits))
    order = order[np.isin(names[order], rules)]
    found = found.isel(violation=order).drop_vars("checked_nm2")
    counts = [int((names[order] == rule).sum()) for rule in rules]
    return found.assign(
        broken=schema.column("violation", names[order].astype(str), "rule that is broken"),
        limit=schema.column("violation", limits[order], "smallest value allowed (areas in nm2)", "nm"),
        violations=schema.column("rule", np.array(counts, int), "violations"),
    ).assign_coords(violation=np.arange(1, len(order) + 1))


def misplaced(measured: Measured, limit_nm: float) -> xr.Dataset:
    """Where a print is off by more than a limit: sites on straight edges, and stretches of curved outlines.

    Parameters
    ----------
    measured : of :func:`maskopt_lib.study.areas.prints.measure`.
    limit_nm : largest error that is no place.

    Returns
    -------
    Dataset over ``place``, the worst first: ``kind`` ("edge_placement", "contour_error"), ``x_nm``, ``y_nm`` and
    ``error_nm`` (nan: lost). A stretch along which the contour is off is one place, where it is worst.
    """
    sites, outline = (measured.sites, "edge_error_nm"), (measured.outline, "contour_error_nm")
    kinds = {"edge_placement": sites, "contour_error": outline}
    found = pd.concat(
        places[["x_nm", "y_nm", error]].to_dataframe().rename(columns={error: "error_nm"}).assign(kind=kind)
        for kind, (places, error) in kinds.items()
    )
    found["size_nm"] = found["error_nm"].abs().fillna(np.inf)
    found = found[found["size_nm"] > limit_nm].reset_index(drop=True)
    # Neighbours along an outline are one spacing apart; sites farther than that.
    far = np.hypot(found["x_nm"].diff(), found["y_nm"].diff()) > 2 * SPACING_NM
    stretch = (far | (found["kind"] != found["kind"].shift())).cumsum()
    worst = found.sort_values("size_nm", ascending=False, kind="stable").groupby(stretch, sort=False).head(1)
    columns = {name: (f"misplaced print, {name[:-3]}", "nm") for name in ("x_nm", "y_nm", "error_nm")}
    return table(worst, PLACE, columns).assign_coords(kind=(PLACE, worst["kind"].to_numpy(str)))


def score_sheet(scores: xr.Dataset) -> pd.DataFrame:
    """Scores of few masks as a sheet: one row a score, one column a mask, and the change from the first of them.

    Parameters
    ----------
    scores : Dataset over ``method``.

    Returns
    -------
    Table that :func:`~maskopt_lib.study.style` and :func:`~maskopt_lib.study.write_table` take.
    """
    values = scores.to_dataframe()[list(scores.data_vars)].T.astype(float)
    first, *others = values.columns
    columns = {("masks", first): values[first]}
    for name in others:
        change = 100 * (values[name] - values[first]) / values[first].where(values[first] != 0)
        columns["masks", name] = values[name]
        columns["masks", DEVIATION if len(others) == 1 else f"{name} {DEVIATION}"] = change
    labels = [
        f"{score.long_name}{'' if score.units == '1' else f' [{score.units}]'}" for score in scores.data_vars.values()
    ]
    return pd.DataFrame(columns).set_axis(pd.Index(labels, name="score"))
