"""What one score costs in another: settings as points, the ones no other beats, and their hypervolume.

A setting (method, preset, options) is a *point*: its mean scores over the clips. One point dominates another if it is
at least as good in every objective and better in one; those that none dominates are the front. The hypervolume is the
share of a stated box that the points dominate; what lies outside of the box is on no front (an empty mask has no PV
band at all). In the worst corner of the box every edge of the target lies off by the EPE limit: L2 and PV band both
equal 15 nm along the whole outline. That is fixed by the clips alone: numbers stay what they are when methods come and
go, and clips of different sizes compare. (The uncorrected target would not do: it hardly prints, and has little band.)

With shots as a third objective, on a logarithmic axis from 10 to 2000, the hypervolume is the mean over all shot
budgets, evenly spread on that axis, of the share that L2 and PV band dominate within the budget.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import moocore
import numpy as np
import pandas as pd
import scipy  # scipy.stats, half a second to import, is loaded where it is used
import xarray as xr

from maskopt_lib.data import papers, schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.metrics import RULES
from maskopt_lib.runs.gather import labelled
from maskopt_lib.study.labelled_images import pixel_of
from maskopt_lib.study.solvers.masks import Trial
from maskopt_lib.study.solvers.settings import MERIT, merit, scores_of

#: Names of what a point has beside its scores.
FAMILY, SETTINGS, MARGIN, SHARE = "family", "settings", "rule_margin", "front_share"
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
        values : score -> ``(*n)`` values.
        names : of ``l2_nm2``, ``pvb_nm2`` and ``shots``.
        outline_nm : length of the target's outline, one for all values or ``(*n)``.

        Returns
        -------
        ``(*n, name)``.
        """
        fewest, most = self.shots
        area_nm2 = self.width_nm * np.asarray(outline_nm, float)
        if unknown := set(names) - {schema.L2, schema.PVB, schema.SHOTS}:
            raise UnknownNameError(f"the box has no {unknown}; known: {schema.L2}, {schema.PVB}, {schema.SHOTS}")
        columns = [np.asarray(values[name], float) for name in names]
        return np.stack(
            [
                np.log(np.maximum(column, fewest) / fewest) / math.log(most / fewest)
                if name == schema.SHOTS
                else column / area_nm2
                for name, column in zip(names, columns, strict=True)
            ],
            axis=-1,
        )

    def holds(self, points: xr.Dataset) -> np.ndarray:
        """(method,) which points of :func:`points` are inside by L2 and PV band."""
        return (self.scaled(points, (schema.L2, schema.PVB), points.attrs["outline_nm"]) < 1).all(-1)


#: The box of the study.
BOX = Box()


def outline_nm(targets: xr.DataArray) -> xr.DataArray:
    """Length of the outlines of targets in nm: the sides of pixels between inside and outside.

    Parameters
    ----------
    targets : (sample, y, x), 0 or 1, pixel centres in nm.

    Examples
    --------
    >>> bar = np.zeros((1, 9, 9)); bar[0, 2:4, 3:8] = 1
    >>> nm = 10.0 * np.arange(9)
    >>> float(outline_nm(xr.DataArray(bar, {"y": nm, "x": nm}, ("sample", "y", "x")))[0])
    140.0
    """
    image = np.pad(targets.values.astype(bool), ((0, 0), (1, 1), (1, 1)))
    sides = sum(np.diff(image, axis=axis).sum((1, 2)) for axis in (1, 2))
    attrs = {"long_name": "length of the target's outline", "units": "nm"}
    return xr.DataArray(pixel_of(targets) * sides, targets[schema.SAMPLE].coords, (schema.SAMPLE,), attrs=attrs)


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
    scores: xr.Dataset, trials: Sequence[Trial], targets: xr.DataArray, deck: Mapping[str, float] | None = None
) -> xr.Dataset:
    """Settings as points: their mean scores over the clips, with all that is needed to run them again.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one, of all trials.
    trials : their labels are those along ``method``; what stands before a comma is the family.
    targets : (sample, y, x) of the clips; their outlines give the box.
    deck : rule deck, see :func:`rule_margin`; None leaves the margin out.

    Returns
    -------
    Dataset over ``method``: the mean of every score, ``merit_nm2`` (mean of L2 + PV band), ``rule_margin`` (that of the
    worst clip: one broken rule is too many), ``family``, and ``settings``, the trial as JSON for
    :func:`maskopt_lib.study.trial_of`. Its attribute ``outline_nm`` is the mean length of the outlines.

    Raises
    ------
    SchemaError : scores of a trial are missing.
    """
    scores = scores_of(scores, trials)
    ds = scores.mean(schema.SAMPLE, skipna=False)
    # A rule that finds nothing to measure on one clip is measured on the others.
    for rule in set(RULES) & set(scores.data_vars):
        ds[rule] = scores[rule].mean(schema.SAMPLE)
    ds[MERIT] = merit(ds)
    if deck is not None:
        ds[MARGIN] = rule_margin(scores, deck).min(schema.SAMPLE, keep_attrs=True)
    families = np.array([family_of(trial.label) for trial in trials])
    settings = np.array([json.dumps(asdict(trial), sort_keys=True) for trial in trials])
    ds[FAMILY] = schema.column(schema.METHOD, families, "family of settings")
    ds[SETTINGS] = schema.column(schema.METHOD, settings, "label, method, preset, options")
    return schema.label(ds.drop_vars(schema.KERNELS, errors="ignore")).assign_attrs(
        outline_nm=float(_outlines(targets, scores).mean()),
        n_clips=scores.sizes[schema.SAMPLE],
        deck=json.dumps(dict(deck or {})),
    )


def family_of(label: str) -> str:
    """What stands before the comma of a label: the solver of a setting, the network of a dial's value."""
    return label.partition(",")[0]


def nondominated(points: xr.Dataset, names: Sequence[str] = (schema.L2, schema.PVB)) -> xr.DataArray:
    """Which points no other dominates, among those inside of the box.

    Parameters
    ----------
    points : of :func:`points`.
    names : the objectives: scores, or ``rule_margin``; rules and margin are better when larger, all else when smaller.

    Returns
    -------
    (method,) bool. Of equal points the first one counts. A point with a nan objective is not among them.
    """
    values = np.stack([np.asarray(points[name], float) for name in names], axis=-1)
    is_front = _is_front(values, BOX.holds(points), maximise=[name in _LARGER for name in names])
    attrs = {"long_name": "not dominated in " + ", ".join(names), "units": "1"}
    return xr.DataArray(is_front, points[schema.METHOD].coords, (schema.METHOD,), attrs=attrs)


def front(points: xr.Dataset, names: Sequence[str] = (schema.L2, schema.PVB)) -> xr.Dataset:
    """The points that no other dominates, in ascending order of the first objective; see :func:`nondominated`."""
    return points.isel({schema.METHOD: nondominated(points, names).values}).sortby(names[0])


def front_share(
    scores: xr.Dataset,
    trials: Sequence[Trial],
    targets: xr.DataArray,
    names: Sequence[str],
    *,
    n_draws: int = 1000,
) -> xr.DataArray:
    """How sure a place on the front is: the share of resampled sets of clips with which a setting is on it.

    Parameters
    ----------
    scores, trials, targets : as for :func:`points`.
    names : objectives, all of them scores that are better when smaller, L2 and PV band among them.
    n_draws : sets of as many clips, drawn with replacement.

    Returns
    -------
    (method,) from 0 to 1. Settings that score alike share what one of them would have.
    """
    scores = scores_of(scores, trials)
    lengths = _outlines(targets, scores)
    values = np.stack([scores[name].transpose(schema.METHOD, schema.SAMPLE).values for name in names], axis=-1)
    draws = np.random.default_rng(0).integers(values.shape[1], size=(n_draws, values.shape[1]))
    times = np.zeros(values.shape[0])
    for draw in draws:
        means = values[:, draw].mean(1)
        scaled = BOX.scaled(dict(zip(names, means.T, strict=True)), (schema.L2, schema.PVB), lengths[draw].mean())
        times += _is_front(means, (scaled < 1).all(-1))
    attrs = {"long_name": "share of resampled clips with which it is on the front", "units": "1"}
    return xr.DataArray(times / n_draws, scores[schema.METHOD].coords, (schema.METHOD,), attrs=attrs)


def hypervolumes(scores: xr.Dataset, trials: Sequence[Trial], targets: xr.DataArray) -> xr.Dataset:
    """Hypervolume of all settings, of each family alone, and what is lost without it.

    Parameters
    ----------
    scores, trials, targets : as for :func:`points`.

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
    scores = scores_of(scores, trials)
    lengths = _outlines(targets, scores)
    families = [family_of(trial.label) for trial in trials]
    volumes = {}
    for space, names in SPACES.items():
        each = scores[list(names)].transpose(schema.METHOD, schema.SAMPLE)
        clips = BOX.scaled(each, names, lengths)
        means = BOX.scaled(each.mean(schema.SAMPLE, skipna=False), names, lengths.mean())[:, None]
        for of, scaled in zip(OF, (means, clips), strict=True):
            volumes[space, of] = family_volumes(scaled.swapaxes(0, 1), families).mean("set", skipna=False)
    volumes = with_lost(labelled(volumes, ("space", "of")))
    attrs = {"box": json.dumps(asdict(BOX)), "n_clips": scores.sizes[schema.SAMPLE]}
    return volumes.transpose(FAMILY, "space", "of").assign_attrs(attrs)


def family_volumes(scaled: np.ndarray, families: Sequence[str]) -> xr.Dataset:
    """Hypervolumes of sets of points, of each family alone, and of all others.

    Parameters
    ----------
    scaled : (set, point, objective) parts of the box, of :meth:`Box.scaled`; a point outside of it counts for nothing.
    families : (point,) of each point.

    Returns
    -------
    Dataset of shares of the box: ``alone`` and ``without`` over ``family`` and ``set``, ``whole`` over ``set``.
    """
    member = np.asarray(families)
    names = list(dict.fromkeys(families))

    def volume(points: np.ndarray) -> float:
        inside = points[(points < 1).all(-1)]
        return float(moocore.hypervolume(inside, ref=1.0)) if len(inside) else 0.0

    alone = [[volume(points[member == name]) for points in scaled] for name in names]
    without = [[volume(points[member != name]) for points in scaled] for name in names]
    return xr.Dataset(
        {
            "alone": ((FAMILY, "set"), alone),
            "without": ((FAMILY, "set"), without),
            "whole": ("set", [volume(points) for points in scaled]),
        },
        coords={FAMILY: names},
    )


def with_lost(volumes: xr.Dataset) -> xr.Dataset:
    """The Dataset of :func:`family_volumes` with what is ``lost`` without each family, in place of what is left."""
    volumes["lost"] = (volumes["whole"] - volumes["without"]).clip(min=0).transpose(*volumes["without"].dims)
    names = {"alone": "hypervolume alone", "lost": "hypervolume lost without", "whole": "hypervolume of all"}
    return schema.described(volumes[list(names)], names)


def attainment(
    scores: xr.Dataset, targets: xr.DataArray, *, shares: Sequence[float] = (0.1, 0.5, 0.9), box: Box = BOX
) -> xr.Dataset:
    """What L2 and PV band the settings attain in a given share of the clips, each clip in units of its outline.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one.
    targets : (sample, y, x).
    shares : of the clips.
    box : points outside of it count for nothing.

    Returns
    -------
    Dataset over ``point``: ``l2_width_nm``, ``pvb_width_nm`` (L2 and PV band by the length of the outline, in nm) and
    ``share``: for each share the points that no other dominates of all that this share of the clips attains (surfaces
    of the empirical attainment function), each clip by a setting of its own choice.

    Raises
    ------
    SchemaError : a clip has no setting inside of the box.
    """
    scores = scores_of(scores).transpose(schema.METHOD, schema.SAMPLE)
    scaled = box.scaled(scores, (schema.L2, schema.PVB), _outlines(targets, scores)).swapaxes(0, 1)
    inside = (scaled < 1).all(-1)
    # moocore counts the sets that it sees: a clip without a point in the box would leave the rest as if it were all.
    if not inside.any(1).all():
        raise SchemaError("a clip has no setting inside of the box; take a wider one, or other settings")
    clip = 1 + np.nonzero(inside)[0]
    attained = moocore.eaf(scaled[inside], clip, percentiles=[100 * share for share in shares])
    return xr.Dataset(
        {
            "l2_width_nm": schema.column("point", attained[:, 0] * box.width_nm, "L2 by outline", "nm"),
            "pvb_width_nm": schema.column("point", attained[:, 1] * box.width_nm, "PV band by outline", "nm"),
            "share": schema.column("point", attained[:, 2] / 100, "share of the clips that attain it"),
        }
    )


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
    means = {label: papers.published(*row).query("case == 'mean'") for label, row in rows.items()}
    values = pd.DataFrame({label: rows.set_index("column")["value"] for label, rows in means.items()})
    values = values.reindex([schema.L2, schema.PVB, schema.SHOTS]).T.astype(float)
    ds = schema.label(values.rename_axis(index=schema.METHOD, columns=None).to_xarray())
    ds[MERIT] = merit(ds)
    sources = ["; ".join(rows["source"].unique()) for rows in means.values()]
    ds["source"] = schema.column(schema.METHOD, np.array(sources, str), "source")
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
    of_first, of_second = xr.align(first[list(names)], second[list(names)], join="inner")
    tau = [float(scipy.stats.kendalltau(of_first[name], of_second[name]).statistic) for name in names]
    return xr.Dataset(
        {"kendall_tau": schema.column("score", tau, "Kendall's tau")},
        coords={"score": list(names)},
        attrs={"n_settings": of_first.sizes[schema.METHOD]},
    )


def _outlines(targets: xr.DataArray, scores: xr.Dataset) -> np.ndarray:
    """(sample,) length of the outlines in nm, in the order of the scores."""
    return outline_nm(targets.sel({schema.SAMPLE: scores[schema.SAMPLE]})).values


def _is_front(values: np.ndarray, counted: np.ndarray, *, maximise: Sequence[bool] | bool = False) -> np.ndarray:
    """(point,) which of the points that count no other one dominates, of (point, objective) values."""
    able = np.flatnonzero(counted & np.isfinite(values).all(-1))
    is_front = np.zeros(len(values), bool)
    if able.size:
        is_front[able] = moocore.is_nondominated(values[able], maximise=maximise)
    return is_front
