"""What one score costs in another: settings swept, the ones no other beats, their hypervolume, and the pick of one.

A setting (method, preset, options) is a *point*: its mean scores over the clips. One point dominates another if it is
at least as good in every objective and better in one; those that none dominates are the front. The hypervolume is the
share of a stated box that the points dominate. The box has its worst corner where every edge of the target lies off
by the EPE limit: L2 and PV band both equal to 15 nm along the whole outline. That is fixed by the clips alone, so a
number stays what it is when methods come and go, and it makes clips of different sizes comparable. (The scores of the
uncorrected target would not do: it hardly prints, so its PV band is among the best.) What lies outside of the box is
on no front: an empty mask has no PV band at all.

With shots as a third objective, on a logarithmic axis from 10 to 2000, the hypervolume is the mean over all shot
budgets, evenly spread on that axis, of the share that L2 and PV band dominate within the budget.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Any

import moocore
import numpy as np
import pandas as pd
import scipy  # scipy.stats, half a second to import, is loaded where it is used
import xarray as xr

from maskopt_lib import opc
from maskopt_lib.data import papers, schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.metrics import RULES
from maskopt_lib.runs.tables import MEAN, NOTE
from maskopt_lib.study.solvers.ablation import _label
from maskopt_lib.study.solvers.benchmark import Trial
from maskopt_lib.study.solvers.settings import MERIT, _nested

#: Names of what a point has beside its scores.
FAMILY, SETTINGS, MARGIN, SHARE, TOTAL = "family", "settings", "rule_margin", "front_share", "merit_nm2"
#: Objectives of the two hypervolumes.
SPACES = {"L2, PV band": (schema.L2, schema.PVB), "L2, PV band, shots": (schema.L2, schema.PVB, schema.SHOTS)}
#: What hypervolumes are taken of: the mean scores of each setting, or each clip's scores, the volumes then averaged.
OF = ("means", "each clip")
#: Objectives that are better when they are larger.
_LARGER = (MARGIN, *RULES)


@dataclass(frozen=True, kw_only=True)
class Box:
    """What hypervolumes are shares of.

    Attributes
    ----------
    width_nm : L2 and PV band count up to this width along the whole outline of the target.
    shots : fewest and most shots of the logarithmic axis; fewer than the fewest are no better.
    """

    width_nm: float = 15.0
    shots: tuple[float, float] = (10.0, 2000.0)

    def scaled(self, values: Mapping[str, Any], names: Sequence[str], outline_nm: Any) -> np.ndarray:
        """Objectives as parts of the box: 0 is the best there is, 1 and more is outside.

        Parameters
        ----------
        values : score -> (n,) values.
        names : of ``l2_nm2``, ``pvb_nm2`` and ``shots``.
        outline_nm : length of the target's outline.

        Returns
        -------
        (n, name).
        """
        fewest, most = self.shots
        area_nm2 = self.width_nm * float(outline_nm)
        columns = []
        for name in names:
            column = np.asarray(values[name], dtype=float)
            if name == schema.SHOTS:
                columns.append(np.log(np.maximum(column, fewest) / fewest) / math.log(most / fewest))
            elif name in (schema.L2, schema.PVB):
                columns.append(column / area_nm2)
            else:
                raise UnknownNameError(f"the box has no {name!r}; known: {schema.L2}, {schema.PVB}, {schema.SHOTS}")
        return np.stack(columns, axis=-1)


def settings_grid(sweeps: Sequence[Mapping[str, Any]]) -> list[Trial]:
    """Trials of several sweeps, each over all combinations of the options that it varies.

    Parameters
    ----------
    sweeps : each has ``label`` and ``method``, and may have ``preset``, ``options``, ``per_clip`` as
        :class:`~maskopt_lib.study.Trial`, and ``vary``: option -> values, or option -> {name: value} where a value is
        too long for a label. A dotted option is one of an option that holds options.

    Returns
    -------
    Trials in order, labelled ``"<label>, <option>=<value> ..."``; what stands before the comma is their family.

    Examples
    --------
    >>> sweeps = [
    ...     {"label": "target", "method": "identity"},
    ...     {"label": "CurvyILT", "method": "curvy", "vary": {"pvb_weight": [0.5, 1.0], "cleanup.open_nm": [10]}},
    ... ]
    >>> for trial in settings_grid(sweeps):
    ...     print(trial.label, trial.options)
    target {}
    CurvyILT, pvb_weight=0.5 open_nm=10 {'pvb_weight': 0.5, 'cleanup': {'open_nm': 10}}
    CurvyILT, pvb_weight=1 open_nm=10 {'pvb_weight': 1.0, 'cleanup': {'open_nm': 10}}
    """
    trials = []
    for sweep in sweeps:
        fixed = dict(sweep)
        vary = {
            name: list(values.items()) if isinstance(values, Mapping) else [(None, value) for value in values]
            for name, values in (fixed.pop("vary", None) or {}).items()
        }
        label, options = fixed.pop("label"), fixed.pop("options", None) or {}
        for chosen in product(*vary.values()):
            texts = [
                text if text is not None else _label(name.rpartition(".")[2], value)
                for name, (text, value) in zip(vary, chosen, strict=True)
            ]
            changes = {name: value for name, (_, value) in zip(vary, chosen, strict=True)}
            trials.append(
                Trial(
                    label=f"{label}, {' '.join(texts)}" if texts else label,
                    options=_nested(dict(options) | changes),
                    **fixed,
                )
            )
    return trials


def outline_nm(wanted: xr.DataArray) -> xr.DataArray:
    """Length of the outlines of targets in nm: the sides of pixels between inside and outside.

    Parameters
    ----------
    wanted : (sample, y, x), 0 or 1, pixel centres in nm.

    Examples
    --------
    >>> bar = np.zeros((1, 9, 9)); bar[0, 2:4, 3:8] = 1
    >>> nm = 10.0 * np.arange(9)
    >>> float(outline_nm(xr.DataArray(bar, {"y": nm, "x": nm}, ("sample", "y", "x")))[0])
    140.0
    """
    pixel_nm = float(wanted[schema.X][1] - wanted[schema.X][0])
    image = np.pad(wanted.values.astype(bool), ((0, 0), (1, 1), (1, 1)))
    sides = sum(np.diff(image, axis=axis).sum((1, 2)) for axis in (1, 2))
    attrs = {"long_name": "length of the target's outline", "units": "nm"}
    return xr.DataArray(pixel_nm * sides, wanted[schema.SAMPLE].coords, (schema.SAMPLE,), attrs=attrs)


def rule_margin(scores: xr.Dataset, deck: Mapping[str, float]) -> xr.DataArray:
    """The smallest ratio of what is measured to what a rule deck asks for: 1 and more keeps every rule.

    Parameters
    ----------
    scores : with the scores that the deck names.
    deck : score (``msa_nm2``, ``msd_nm``, ``min_width_nm``, ``min_space_nm``, ``min_radius_nm``) -> smallest value.

    Returns
    -------
    Over the dimensions of the scores; nan where a mask has nothing to measure. A rule that finds nothing to measure
    (the distance of a single shape) is kept.

    Raises
    ------
    UnknownNameError : the deck has a rule that is none.
    """
    if unknown := sorted(set(deck) - set(RULES)):
        raise UnknownNameError(f"no mask rule {unknown}; known: {', '.join(RULES)}")
    ratios = xr.concat([scores[rule].drop_attrs() / limit for rule, limit in deck.items()], "rule")
    smallest = ratios.min("rule", skipna=True)
    return smallest.assign_attrs(long_name="rule margin (smallest ratio of measured to limit)", units="1")


def points(
    scores: xr.Dataset, trials: Sequence[Trial], wanted: xr.DataArray, deck: Mapping[str, float] | None = None
) -> xr.Dataset:
    """Settings as points: their mean scores over the clips, with all that is needed to run them again.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one, of all trials.
    trials : their labels are those along ``method``; what stands before a comma is the family.
    wanted : targets (sample, y, x) of the clips; their outlines give the box.
    deck : rule deck, see :func:`rule_margin`; None leaves the margin out.

    Returns
    -------
    Dataset over ``method``: the mean of every score, ``merit_nm2`` (mean of L2 + PV band), ``rule_margin`` (that of the
    worst clip: one broken rule is too many), ``family``, and ``settings``, the trial as JSON for :func:`trial_of`. Its
    attribute ``outline_nm`` is the mean length of the outlines.

    Raises
    ------
    SchemaError : scores of a trial are missing.
    """
    scores = _one_set(scores)
    labels = [trial.label for trial in trials]
    if lacking := sorted(set(labels) - set(scores[schema.METHOD].values.tolist())):
        raise SchemaError(f"no scores of {', '.join(lacking)}")
    scores = scores.sel({schema.METHOD: labels})
    found = scores.mean(schema.SAMPLE, skipna=False)
    # A rule that finds nothing to measure on one clip is measured on the others.
    for rule in set(RULES) & set(scores.data_vars):
        found[rule] = scores[rule].mean(schema.SAMPLE)
    found[TOTAL] = sum(found[name] for name in MERIT)
    found[TOTAL].attrs = {"long_name": "L2 + PV band", "units": "nm2"}
    if deck is not None:
        margins = rule_margin(scores, deck)
        found[MARGIN] = margins.min(schema.SAMPLE).assign_attrs(margins.attrs)
    texts = {
        FAMILY: ([_family(label) for label in labels], "family of settings"),
        SETTINGS: ([json.dumps(asdict(trial), sort_keys=True) for trial in trials], "label, method, preset, options"),
    }
    for name, (values, long_name) in texts.items():
        found[name] = (schema.METHOD, np.array(values), {"long_name": long_name, "units": "1"})
    return schema.label(found.drop_vars(schema.KERNELS, errors="ignore")).assign_attrs(
        outline_nm=float(outline_nm(wanted.sel({schema.SAMPLE: scores[schema.SAMPLE]})).mean()),
        n_clips=scores.sizes[schema.SAMPLE],
        deck=json.dumps(dict(deck or {})),
    )


def nondominated(points: xr.Dataset, names: Sequence[str] = (schema.L2, schema.PVB), *, box: Box | None = None) -> Any:
    """Which points no other dominates, among those inside of the box.

    Parameters
    ----------
    points : of :func:`points`.
    names : the objectives: scores, or ``rule_margin``; rules and margin are better when larger, all else when smaller.
    box : its default by default.

    Returns
    -------
    (method,) bool. Of equal points the first one counts. A point with a nan objective is not among them.
    """
    values = np.stack([np.asarray(points[name], float) for name in names], axis=-1)
    able = np.flatnonzero(_is_inside(points, box) & np.isfinite(values).all(-1))
    is_front = np.zeros(points.sizes[schema.METHOD], bool)
    if able.size:
        larger = [name in _LARGER for name in names]
        is_front[able] = moocore.is_nondominated(values[able], maximise=larger)
    attrs = {"long_name": "not dominated in " + ", ".join(names), "units": "1"}
    return xr.DataArray(is_front, points[schema.METHOD].coords, (schema.METHOD,), attrs=attrs)


def front(points: xr.Dataset, names: Sequence[str] = (schema.L2, schema.PVB), *, box: Box | None = None) -> xr.Dataset:
    """The points that no other dominates, in ascending order of the first objective; see :func:`nondominated`."""
    return points.isel({schema.METHOD: nondominated(points, names, box=box).values}).sortby(names[0])


def front_share(
    scores: xr.Dataset, trials: Sequence[Trial], wanted: xr.DataArray, names: Sequence[str], *, n_draws: int = 1000,
    seed: int = 0, box: Box | None = None,
) -> xr.DataArray:  # fmt: skip
    """How sure a place on the front is: the share of resampled sets of clips with which a setting is on it.

    Parameters
    ----------
    scores, trials, wanted : as for :func:`points`.
    names : objectives, all of them scores that are better when smaller.
    n_draws : sets of as many clips, drawn with replacement.
    seed : of the draws.
    box : its default by default.

    Returns
    -------
    (method,) from 0 to 1. Settings that score alike share what one of them would have.
    """
    scores = _one_set(scores).sel({schema.METHOD: [trial.label for trial in trials]})
    lengths = outline_nm(wanted.sel({schema.SAMPLE: scores[schema.SAMPLE]})).values
    values = np.stack([scores[name].transpose(schema.METHOD, schema.SAMPLE).values for name in names], axis=-1)
    draws = np.random.default_rng(seed).integers(values.shape[1], size=(n_draws, values.shape[1]))
    times = np.zeros(values.shape[0])
    for draw in draws:
        means = values[:, draw].mean(1)
        prints = dict(zip(names, means.T, strict=True))
        inside = (_box(box).scaled(prints, (schema.L2, schema.PVB), lengths[draw].mean()) < 1).all(-1)
        able = np.flatnonzero(inside & np.isfinite(means).all(-1))
        if able.size:
            times[able] += moocore.is_nondominated(means[able])
    attrs = {"long_name": "share of resampled clips with which it is on the front", "units": "1"}
    return xr.DataArray(times / n_draws, scores[schema.METHOD].coords, (schema.METHOD,), attrs=attrs)


def hypervolumes(
    scores: xr.Dataset, trials: Sequence[Trial], wanted: xr.DataArray, *, box: Box | None = None
) -> xr.Dataset:
    """Hypervolume of all settings, of each family alone, and what is lost without it.

    Parameters
    ----------
    scores, trials, wanted : as for :func:`points`.
    box : its default by default.

    Returns
    -------
    Dataset over ``family``, ``space`` (:data:`SPACES`) and ``of`` (:data:`OF`), shares of the box: ``alone``, what the
    family dominates by itself, and ``lost``, by how much the whole is smaller without the family; over ``space`` and
    ``of`` the ``whole``.

    Notes
    -----
    ``of="means"`` is the volume of the mean scores: one setting serves all clips. ``of="each clip"`` is the mean of the
    volumes of the single clips, where each clip may have a setting of its own.
    """
    box = _box(box)
    scores = _one_set(scores).sel({schema.METHOD: [trial.label for trial in trials]})
    lengths = outline_nm(wanted.sel({schema.SAMPLE: scores[schema.SAMPLE]}))
    families = list(dict.fromkeys(_family(trial.label) for trial in trials))
    member = np.array([families.index(_family(trial.label)) for trial in trials])
    shape = (len(SPACES), len(OF))
    whole = np.zeros(shape)
    alone, without = np.zeros((len(families), *shape)), np.zeros((len(families), *shape))
    for i, names in enumerate(SPACES.values()):
        means = [box.scaled(scores[list(names)].mean(schema.SAMPLE, skipna=False), names, lengths.mean())]
        clips = [
            box.scaled(scores.isel({schema.SAMPLE: k}), names, lengths[k]) for k in range(scores.sizes[schema.SAMPLE])
        ]
        for j, sets in enumerate((means, clips)):
            whole[i, j] = np.mean([_volume(values) for values in sets])
            for k in range(len(families)):
                alone[k, i, j] = np.mean([_volume(values[member == k]) for values in sets])
                without[k, i, j] = np.mean([_volume(values[member != k]) for values in sets])
    dims = (FAMILY, "space", "of")
    return xr.Dataset(
        {
            "alone": (dims, alone, {"long_name": "hypervolume alone", "units": "1"}),
            "lost": (dims, np.maximum(whole - without, 0), {"long_name": "hypervolume lost without", "units": "1"}),
            "whole": (dims[1:], whole, {"long_name": "hypervolume of all", "units": "1"}),
        },
        coords={FAMILY: families, "space": list(SPACES), "of": list(OF)},
        attrs={"box": json.dumps(asdict(box)), "n_clips": scores.sizes[schema.SAMPLE]},
    )


def attainment(
    scores: xr.Dataset, wanted: xr.DataArray, *, shares: Sequence[float] = (0.1, 0.5, 0.9), box: Box | None = None
) -> xr.Dataset:
    """What L2 and PV band the settings attain in a given share of the clips, each clip in units of its outline.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one.
    wanted : targets (sample, y, x).
    shares : of the clips.
    box : points outside of it count for nothing; its default by default.

    Returns
    -------
    Dataset over ``point``: ``l2_width_nm``, ``pvb_width_nm`` (L2 and PV band by the length of the outline, in nm) and
    ``share``: for each share the points that no other dominates of all that this share of the clips attains (surfaces
    of the empirical attainment function), each clip by a setting of its own choice.
    """
    box = _box(box)
    scores = _one_set(scores)
    lengths = outline_nm(wanted.sel({schema.SAMPLE: scores[schema.SAMPLE]}))
    values, owner = [], []
    for k in range(scores.sizes[schema.SAMPLE]):
        scaled = box.scaled(scores.isel({schema.SAMPLE: k}), (schema.L2, schema.PVB), lengths[k])
        scaled = scaled[(scaled < 1).all(-1)]
        values.append(scaled)
        owner += [k + 1] * len(scaled)
    # moocore counts the sets that it sees: a clip without a point in the box would leave the rest as if it were all.
    if not all(map(len, values)):
        raise SchemaError("a clip has no setting inside of the box; take a wider one, or other settings")
    found = moocore.eaf(np.concatenate(values), owner, percentiles=[100 * share for share in shares])
    columns = {
        "l2_width_nm": (found[:, 0] * box.width_nm, "L2 by outline", "nm"),
        "pvb_width_nm": (found[:, 1] * box.width_nm, "PV band by outline", "nm"),
        "share": (found[:, 2] / 100, "share of the clips that attain it", "1"),
    }
    return xr.Dataset(
        {
            name: ("point", values, {"long_name": long_name, "units": units})
            for name, (values, long_name, units) in columns.items()
        }
    )


def pick(
    points: xr.Dataset,
    *,
    max_shots: float | None = None,
    min_margin: float | None = None,
    weights: Mapping[str, float] | None = None,
    box: Box | None = None,
) -> Trial:
    """The setting for a wish: at most so many shots, at least such a rule margin, and the best of what is left.

    Parameters
    ----------
    points : of :func:`points`, or what was stored of them.
    max_shots : most shots, mean over the clips.
    min_margin : smallest rule margin of the worst clip; 1 keeps the deck.
    weights : score -> weight; the smallest weighted sum wins, ``{"l2_nm2": 1, "pvb_nm2": 0.5}``. By default the knee:
        the point that alone dominates most of the box.
    box : its default by default.

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
        scaled = _box(box).scaled(able, (schema.L2, schema.PVB), points.attrs["outline_nm"])
        cost = -np.clip(1 - scaled, 0, None).prod(-1)
        if not (cost < 0).any():
            # Nothing within the limits prints: the one nearest to the box is still the best answer.
            cost = scaled.max(-1)
    else:
        if unknown := [name for name in weights if name not in able]:
            raise UnknownNameError(f"no score {unknown[0]!r} to weight; known: {', '.join(map(str, able.data_vars))}")
        cost = sum(weight * np.asarray(able[name], float) for name, weight in weights.items())
    return trial_of(able, able[schema.METHOD].values[int(np.nanargmin(cost))])


def trial_of(points: xr.Dataset, label: str) -> Trial:
    """The trial behind a point, checked against the solvers there are.

    Parameters
    ----------
    points : of :func:`points`, or what was stored of them.
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


def shot_budgets(points: xr.Dataset, budgets: Sequence[float], *, box: Box | None = None) -> xr.Dataset:
    """What a budget of shots buys: for each the setting with the lowest L2 + PV band within it.

    Parameters
    ----------
    points : of :func:`points`.
    budgets : shots, mean over the clips; those that nothing keeps are left out.
    box : points outside of it are no answer; its default by default.

    Returns
    -------
    Dataset over ``budget``: ``method``, the setting, its ``l2_nm2``, ``pvb_nm2``, ``merit_nm2`` and ``shots``, and
    ``lowest_l2_nm2`` and ``lowest_pvb_nm2``, the best of each alone that the budget buys.
    """
    inside = points.isel({schema.METHOD: _is_inside(points, box)})
    shots, merit = (inside[name].values for name in (schema.SHOTS, TOTAL))
    served = np.array([budget for budget in budgets if (shots <= budget).any()], float)
    best = [int(np.argmin(np.where(shots <= budget, merit, np.inf))) for budget in served]
    found = inside[[schema.L2, schema.PVB, TOTAL, schema.SHOTS]].isel(
        {schema.METHOD: xr.DataArray(best, dims="budget")}
    )
    found = found.reset_coords(schema.METHOD).assign_attrs(points.attrs)
    found[schema.METHOD].attrs = {"long_name": "setting", "units": "1"}
    for name in MERIT:
        lowest = [inside[name].values[shots <= budget].min() for budget in served]
        attrs = {"long_name": f"lowest {schema.VARIABLES[name][0]}", "units": "nm2"}
        found[f"lowest_{name}"] = ("budget", np.array(lowest, float), attrs)
    return found.assign_coords(budget=("budget", served, {"long_name": "shot budget", "units": "1"}))


def settings_table(points: xr.Dataset) -> pd.DataFrame:
    """Points with all their means and the settings behind them, from few shots to many.

    Parameters
    ----------
    points : of :func:`points`.

    Returns
    -------
    Rows ``method``; columns (score, ``mean``), where they are there (``rule_margin``, ``worst clip``) and
    (``front_share``, ``resampled clips``), and the note (``note``, ``""``) with method, preset and options, as
    :func:`maskopt_lib.study.style` and :func:`maskopt_lib.study.write_table` take them.
    """
    points = points.sortby(schema.SHOTS)
    names = [name for name in schema.VARIABLES if name in points]
    table: dict[tuple[str, str], Any] = {(name, MEAN): points[name].to_series() for name in names}
    for name, column in ((MARGIN, "worst clip"), (SHARE, "resampled clips")):
        if name in points:
            table[name, column] = points[name].to_series()
    table[NOTE] = pd.Series({label: _spelled(trial_of(points, label)) for label in points[schema.METHOD].values})
    return pd.DataFrame(table).rename_axis(schema.METHOD)


def published_points(rows: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """Means that papers print, as points; never results.

    Parameters
    ----------
    rows : label -> paper, table and method as for :func:`maskopt_lib.data.published`.

    Returns
    -------
    Dataset over ``method``: ``l2_nm2``, ``pvb_nm2``, ``shots``, ``merit_nm2``, nan where the source prints none, and
    ``source``.
    """
    found, sources = {}, []
    for label, (paper, table, method) in rows.items():
        printed = papers.published(paper, table, method).query("case == 'mean'")
        found[label] = printed.set_index("column")["value"]
        sources.append("; ".join(dict.fromkeys(printed["source"])))
    values = {
        name: (schema.METHOD, [float(row.get(name, np.nan)) for row in found.values()])
        for name in (schema.L2, schema.PVB, schema.SHOTS)
    }
    ds = schema.label(xr.Dataset(values, coords={schema.METHOD: list(found)}))
    ds[TOTAL] = sum(ds[name] for name in MERIT).assign_attrs(long_name="L2 + PV band", units="nm2")
    ds["source"] = (schema.METHOD, np.array(sources, str), {"long_name": "source", "units": "1"})
    return ds


def agreement(first: xr.Dataset, second: xr.Dataset, names: Sequence[str]) -> xr.Dataset:
    """How far two sets of clips order the same settings alike.

    Parameters
    ----------
    first, second : of :func:`points`; the settings that both have are compared.
    names : scores.

    Returns
    -------
    Dataset over ``score``: ``kendall_tau`` (1: the same order, 0: none, -1: reversed); its attribute ``n_settings`` is
    the number of settings.
    """
    labels = [label for label in first[schema.METHOD].values if label in second[schema.METHOD].values]
    one, two = (ds.sel({schema.METHOD: labels}) for ds in (first, second))
    tau = [float(scipy.stats.kendalltau(one[name], two[name]).statistic) for name in names]
    return xr.Dataset(
        {"kendall_tau": ("score", tau, {"long_name": "Kendall's tau", "units": "1"})},
        coords={"score": list(names)},
        attrs={"n_settings": len(labels)},
    )


def _is_inside(points: xr.Dataset, box: Box | None) -> np.ndarray:
    return (_box(box).scaled(points, (schema.L2, schema.PVB), points.attrs["outline_nm"]) < 1).all(-1)


def _volume(scaled: np.ndarray) -> float:
    inside = scaled[(scaled < 1).all(-1)]
    return float(moocore.hypervolume(inside, ref=1.0)) if len(inside) else 0.0


def _box(box: Box | None) -> Box:
    return Box() if box is None else box


def _spelled(trial: Trial) -> str:
    """A trial as the arguments of :func:`maskopt_lib.opc.solve`."""
    changes = dict(trial.options) | {f"{name} (by clip)": values for name, values in trial.per_clip.items()}
    chosen = {"method": trial.method} | ({"preset": trial.preset} if trial.preset else {}) | changes
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in chosen.items())


def _family(label: str) -> str:
    return label.partition(",")[0]


def _one_set(scores: xr.Dataset) -> xr.Dataset:
    if schema.KERNELS not in scores.dims:
        return scores
    if scores.sizes[schema.KERNELS] > 1:
        raise SchemaError("points are compared under one kernel set; select it first")
    return scores.squeeze(schema.KERNELS, drop=True)
