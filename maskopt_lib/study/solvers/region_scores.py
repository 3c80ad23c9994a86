"""Masks of a region of a layout scored inside it only, with all that surrounds it printed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.images import binary
from maskopt_lib.layout.region import Window
from maskopt_lib.litho import Simulator
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.tables import DEVIATION


def score_region(masks: Mapping[str, np.ndarray], window: Window, sim: Simulator) -> xr.Dataset:
    """Score masks inside the region of a window only.

    Parameters
    ----------
    masks : name -> (y, x) mask of the field, context included.
    window : whose region counts.
    sim : to print with.

    Returns
    -------
    Dataset over ``method`` with the scores of :func:`maskopt_lib.metrics.evaluate`.

    Notes
    -----
    The whole field is printed, with its context. L2 and PV band are counted over the pixels of the region, edge
    placement at the target's sites in it; a line that runs on beyond the border has no site there, as it has no end.
    Shots, shapes and vertices are those of the mask cut at the border. Mask rules are measured on the uncut mask, at
    the places that lie in the region. Targets that are not Manhattan have no edge placement.
    """
    inside, pixel_nm = window.inside, window.pixel_nm
    box = np.ix_(inside.any(1), inside.any(0))
    target = window.target.values[0]
    rows = {}
    for name, image in masks.items():
        mask = binary(image)
        aerial = sim.aerial(mask, corners=schema.CORNERS)
        cut = mask & inside
        # The limit does not change the smallest value; a small one keeps the report short.
        rules = metrics.rule_report(
            mask, dict.fromkeys(metrics.RULES, 1e-3), pixel_nm, region_nm=window.region_nm, origin_nm=window.origin_nm
        )
        rows[(name,)] = {
            **metrics.print_areas(aerial, target, pixel_nm=pixel_nm, threshold=sim.threshold, part=box),
            schema.SHOTS: metrics.count_shots(cut),
            schema.SHAPES: metrics.shape_rules(cut, pixel_nm).shapes,
            schema.VERTICES: metrics.count_vertices(cut, pixel_nm),
            **dict(zip(rules["rule"].values.tolist(), rules["worst"].values.tolist(), strict=True)),
            **(metrics.epe.summarize(edge_sites(mask, window, sim)) if window.clip.is_manhattan else {}),
        }
    scores = labelled(rows, (schema.METHOD,))
    attrs = {
        "kernels": sim.kernels.name,
        "threshold": float(sim.threshold),
        "pixel_nm": pixel_nm,
        "region_nm": list(window.region_nm),
        "context_nm": window.context_nm,
        "epe_limits_nm": list(metrics.epe.LIMITS_NM),
    }
    return schema.label(scores[[name for name in schema.VARIABLES if name in scores]]).assign_attrs(attrs)


def edge_sites(mask: np.ndarray, window: Window, sim: Simulator) -> xr.Dataset:
    """Edge placement of a mask of the field at the sites in a window's region, in the layout's coordinates.

    Returns
    -------
    What :func:`maskopt_lib.metrics.epe_sites` returns for those sites.

    Raises
    ------
    LayoutError : the target is not Manhattan.
    """
    aerial = sim.aerial(np.asarray(mask, np.float32))[sim.corners.index(schema.NOMINAL)]
    sites = metrics.epe_sites(aerial, window.target.values[0], pixel_nm=window.pixel_nm, threshold=sim.threshold)
    (x, y), (x0, y0, x1, y1) = window.origin_nm, window.region_nm
    with xr.set_options(keep_attrs=True):
        sites = sites.assign(x_nm=sites["x_nm"] + x, y_nm=sites["y_nm"] + y)
    in_x = (sites["x_nm"] >= x0) & (sites["x_nm"] <= x1)
    in_y = (sites["y_nm"] >= y0) & (sites["y_nm"] <= y1)
    return sites.isel({schema.SITE: (in_x & in_y).values})


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
