"""Points made use of: the setting for a wish, what a budget of shots buys, and the settings behind a front."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import opc
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.runs.tables import MEAN, NOTE
from maskopt_lib.study.solvers.masks import Trial
from maskopt_lib.study.solvers.pareto import BOX, MARGIN, SETTINGS, SHARE
from maskopt_lib.study.solvers.settings import MERIT


def pick(
    points: xr.Dataset,
    *,
    max_shots: float | None = None,
    min_margin: float | None = None,
    weights: Mapping[str, float] | None = None,
) -> Trial:
    """The setting for a wish: at most so many shots, at least such a rule margin, and the best of what is left.

    Parameters
    ----------
    points : of :func:`~maskopt_lib.study.points`, or what was stored of them.
    max_shots : most shots, mean over the clips.
    min_margin : smallest rule margin of the worst clip; 1 keeps the deck.
    weights : score -> weight; the smallest weighted sum wins, ``{"l2_nm2": 1, "pvb_nm2": 0.5}``. By default the knee:
        the point that alone dominates most of the box.

    Returns
    -------
    The trial; ``opc.solve(target, sim, method=t.method, preset=t.preset, **t.options_of(name))`` runs it.

    Raises
    ------
    ValueError : no point is within the limits; the message says what there is.
    UnknownNameError : a weight for something that is no score of the points.
    """
    able = points
    for name, limit, is_most in ((schema.SHOTS, max_shots, True), (MARGIN, min_margin, False)):
        if limit is None:
            continue
        if name not in points:
            raise UnknownNameError(f"the points have no {name!r}: give study.points the rule deck")
        kept = able[name] <= limit if is_most else able[name] >= limit
        if not bool(kept.any()):
            best = float(able[name].min() if is_most else able[name].max())
            raise ValueError(
                f"no setting has {name} {'of at most' if is_most else 'of at least'} {limit:g}; "
                f"the {'fewest' if is_most else 'largest'} of those that keep the other limits is {best:.4g}"
            )
        able = able.isel({schema.METHOD: kept.values})
    if weights is None:
        scaled = BOX.scaled(able, (schema.L2, schema.PVB), points.attrs["outline_nm"])
        cost = -np.clip(1 - scaled, 0, None).prod(-1)
        if not (cost < 0).any():
            # Nothing within the limits prints: the one nearest to the box is still the best answer.
            cost = scaled.max(-1)
    else:
        if unknown := [name for name in weights if name not in able]:
            raise UnknownNameError(f"no score {unknown[0]!r} to weight; known: {', '.join(map(str, able.data_vars))}")
        cost = sum(weight * np.asarray(able[name], float) for name, weight in weights.items())
    return trial_of(able, able[schema.METHOD].values[int(np.nanargmin(cost))])


def picked(points: xr.Dataset, wishes: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Label of the setting for each wish; those that no point can keep are left out, and a printed line says why.

    Parameters
    ----------
    points : of :func:`~maskopt_lib.study.points`, or what was stored of them.
    wishes : name -> limits and weights, as :func:`pick` takes them.
    """
    labels = {}
    for wish, limits in wishes.items():
        try:
            labels[wish] = pick(points, **limits).label
        except UnknownNameError:
            raise
        except ValueError as error:
            sys.stdout.write(f"{wish}: {error}\n")
    return labels


def trial_of(points: xr.Dataset, label: str) -> Trial:
    """The trial behind a point, checked against the solvers there are.

    Parameters
    ----------
    points : of :func:`~maskopt_lib.study.points`, or what was stored of them.
    label : of the point.

    Raises
    ------
    UnknownNameError : no such point, or a solver has lost the method, preset or option.
    """
    if label not in points[schema.METHOD].values:
        raise UnknownNameError(f"no point {label!r}; known: {', '.join(points[schema.METHOD].values)}")
    trial = Trial(**json.loads(points[SETTINGS].sel({schema.METHOD: label}).item()))
    opc.options_of(trial.method, trial.preset, **trial.options)
    return trial


def shot_budgets(points: xr.Dataset, budgets: Sequence[float]) -> xr.Dataset:
    """What a budget of shots buys: for each the setting with the lowest L2 + PV band within it.

    Parameters
    ----------
    points : of :func:`~maskopt_lib.study.points`; those outside of the box are no answer.
    budgets : shots, mean over the clips; those that nothing keeps are left out.

    Returns
    -------
    Dataset over ``budget``: ``method``, the setting, its ``l2_nm2``, ``pvb_nm2``, ``merit_nm2`` and ``shots``, and
    ``lowest_l2_nm2`` and ``lowest_pvb_nm2``, the best of each alone that the budget buys.
    """
    inside = points.isel({schema.METHOD: BOX.holds(points)})
    limit = xr.DataArray(np.asarray(budgets, float), dims="budget", attrs={"long_name": "shot budget", "units": "1"})
    limit = limit[(inside[schema.SHOTS] <= limit).any(schema.METHOD)]
    within = inside[[schema.L2, schema.PVB, MERIT]].where(inside[schema.SHOTS] <= limit)
    best = within[MERIT].argmin(schema.METHOD)
    bought = inside[[schema.L2, schema.PVB, MERIT, schema.SHOTS]].isel({schema.METHOD: best})
    bought = schema.described(bought.reset_coords(schema.METHOD), {schema.METHOD: "setting"}).assign_attrs(points.attrs)
    for name in (schema.L2, schema.PVB):
        attrs = {"long_name": f"lowest {schema.VARIABLES[name][0]}", "units": "nm2"}
        bought[f"lowest_{name}"] = within[name].min(schema.METHOD).assign_attrs(attrs)
    return bought.assign_coords(budget=limit)


def settings_table(points: xr.Dataset) -> pd.DataFrame:
    """Points with all their means and the settings behind them, from few shots to many.

    Parameters
    ----------
    points : of :func:`~maskopt_lib.study.points`.

    Returns
    -------
    Rows ``method``; columns (score, ``mean``), where they are there (``rule_margin``, ``worst clip``) and
    (``front_share``, ``resampled clips``), and the note (``note``, ``""``) with method, preset and options, as
    :func:`maskopt_lib.study.style` and :func:`maskopt_lib.study.write_table` take them.
    """
    points = points.sortby(schema.SHOTS)
    columns = {name: MEAN for name in schema.VARIABLES} | {MARGIN: "worst clip", SHARE: "resampled clips"}
    table: dict[tuple[str, str], Any] = {
        (name, column): points[name].to_series() for name, column in columns.items() if name in points
    }
    table[NOTE] = pd.Series({label: _spelled(trial_of(points, label)) for label in points[schema.METHOD].values})
    return pd.DataFrame(table).rename_axis(schema.METHOD)


def _spelled(trial: Trial) -> str:
    """A trial as the arguments of :func:`maskopt_lib.opc.solve`."""
    changes = dict(trial.options) | {f"{name} (by clip)": values for name, values in trial.per_clip.items()}
    chosen = {"method": trial.method} | ({"preset": trial.preset} if trial.preset else {}) | changes
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in chosen.items())
