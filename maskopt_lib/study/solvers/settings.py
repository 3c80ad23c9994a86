"""Settings of solvers: searched on a stated budget, varied one option at a time, swept, and ranked by one stated merit.

Random search spends a budget evenly, needs no choice of order, and its trials are independent, so they run in parallel
and resume. Every method gets the same number of settings on the same clips, which are not the ones of the tables.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError
from maskopt_lib.opc.solve import options_of
from maskopt_lib.runs.gather import labelled
from maskopt_lib.study.solvers.masks import Trial

#: What makes one setting better than another: L2 + PV band, averaged over the clips.
MERIT = "merit_nm2"


def merit(scores: xr.Dataset) -> xr.DataArray:
    """L2 + PV band in nm2, of scores with any dimensions."""
    return (scores[schema.L2] + scores[schema.PVB]).assign_attrs(long_name="L2 + PV band", units="nm2")


def scores_of(scores: xr.Dataset, trials: Sequence[Trial] | None = None) -> xr.Dataset:
    """Scores of trials (all by default), in their order, under the one kernel set that there is: (method, sample).

    Raises
    ------
    SchemaError : there are several kernel sets, or scores of a trial are missing.
    """
    if schema.KERNELS in scores.dims:
        if scores.sizes[schema.KERNELS] > 1:
            raise SchemaError("settings are compared under one kernel set; select it first")
        scores = scores.squeeze(schema.KERNELS, drop=True)
    if trials is None:
        return scores
    labels = [trial.label for trial in trials]
    if lacking := sorted(set(labels) - set(scores[schema.METHOD].values.tolist())):
        raise SchemaError(f"no scores of {', '.join(lacking)}")
    return scores.sel({schema.METHOD: labels})


def variations(reference: Trial, changes: Mapping[str, Sequence[Any]]) -> list[Trial]:
    """Trials that change one option of a reference each.

    Parameters
    ----------
    reference : the trial that all others are compared with.
    changes : option -> values; a value that is a dictionary changes single entries of an option that has several.

    Returns
    -------
    One trial a value, in the order given, labelled by what it changes. An option that the reference sets clip by clip
    has the one value for all clips.

    Examples
    --------
    >>> full = Trial(label="full", method="curvy")
    >>> [t.label for t in variations(full, {"loop": [None, {"every": 5}], "retarget_nm": [25.0]})]
    ['loop=None', 'loop: every=5', 'retarget_nm=25']
    """
    return [
        replace(
            reference,
            label=_label(option, value),
            options=dict(reference.options) | {option: value},
            per_clip={name: values for name, values in reference.per_clip.items() if name != option},
        )
        for option, values in changes.items()
        for value in values
    ]


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
        label, options, vary = fixed.pop("label"), fixed.pop("options", None), fixed.pop("vary", None)
        choices = [
            [(name, option, value) for name, value in _named(option, values).items()]
            for option, values in (vary or {}).items()
        ]
        for chosen in product(*choices):
            changes = {option: value for _, option, value in chosen}
            texts = " ".join(name for name, *_ in chosen)
            trials.append(
                Trial(
                    label=f"{label}, {texts}" if texts else label, options=_nested((options or {}) | changes), **fixed
                )
            )
    return trials


def search(
    space: Mapping[str, Sequence[Any]],
    method: str,
    preset: str | None = None,
    *,
    n_settings: int,
    seed: int,
    fixed: Mapping[str, Any] | None = None,
) -> list[Trial]:
    """The preset itself, and distinct random settings out of a space.

    Parameters
    ----------
    space : option -> values to choose among; an option that holds options of its own takes a dictionary of those that
        differ as a value, or a dotted name for one of them: ``"cleanup.open_nm": [10, 20]``.
    method, preset : as for :func:`maskopt_lib.opc.solve`; options that the space does not name are the preset's.
    n_settings : how many trials, the preset included; a smaller space gives all it has.
    seed : of the draws; the first k settings are the same for every n_settings of at least k.
    fixed : options that every setting has, the first one included.

    Returns
    -------
    Trials labelled ``<method>#00`` (the preset), ``<method>#01``, ...

    Raises
    ------
    SchemaError : an option has no values, or there is no setting to choose.

    Examples
    --------
    >>> trials = search({"n_steps": [50, 100], "learning_rate": [1.0, 2.0]}, "curvy", n_settings=3, seed=0)
    >>> [trial.label for trial in trials], dict(trials[0].options)
    (['curvy#00', 'curvy#01', 'curvy#02'], {})
    """
    if n_settings < 1:
        raise SchemaError(f"a search needs at least one setting, got n_settings={n_settings}")
    if empty := [name for name, values in space.items() if len(values) == 0]:
        raise SchemaError(f"no values for {', '.join(empty)}: give each option of the space some")
    sizes = [len(values) for values in space.values()]
    n_drawn = min(n_settings - 1, math.prod(sizes) if sizes else 0)
    rng = np.random.default_rng(seed)
    drawn: dict[tuple[int, ...], None] = {}  # in the order of the draws
    while len(drawn) < n_drawn:
        drawn.setdefault(tuple(int(rng.integers(size)) for size in sizes))
    settings = [{}] + [{name: values[i] for i, (name, values) in zip(at, space.items(), strict=True)} for at in drawn]
    return [
        Trial(
            label=f"{method}#{number:02d}", method=method, preset=preset, options=_nested(dict(fixed or {}) | setting)
        )
        for number, setting in enumerate(settings)
    ]


def rank(scores: xr.Dataset, trials: Sequence[Trial]) -> xr.Dataset:
    """Settings of each method by their mean merit, L2 + PV band; the smallest is the best.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one, of all trials.
    trials : of :func:`search`, for one or several methods; their labels are those along ``method``.

    Returns
    -------
    Dataset over ``method`` and ``setting`` (its number): ``merit_nm2``, the mean over the clips of the sum, the mean of
    each score, ``runtime_s`` where it is known, and ``options`` as JSON; over ``method`` ``best_setting``,
    ``best_options`` and ``gain_percent``, by which the best is better than the preset. NaN and empty text where a
    method has fewer settings, or where one of its clips has no score; such a setting cannot win.

    Raises
    ------
    SchemaError : scores of a trial are missing, or a method has no setting with all scores.
    """
    scores = scores_of(scores, trials)
    names = [name for name in (schema.L2, schema.PVB, schema.RUNTIME) if name in scores]
    means = scores[names].mean(schema.SAMPLE, skipna=False)
    rows: dict[tuple[str, int], dict[str, Any]] = {}
    for trial in trials:
        row = means.sel({schema.METHOD: trial.label})
        options = json.dumps(dict(trial.options), sort_keys=True, default=repr)
        number = sum(trial.method == method for method, _ in rows)
        rows[trial.method, number] = {"options": options, **{name: float(row[name]) for name in names}}
    ds = labelled(rows, (schema.METHOD, "setting"))
    ds[MERIT] = merit(ds).assign_attrs(long_name="mean over clips of L2 + PV band")
    if bad := ds[schema.METHOD].values[ds[MERIT].isnull().all("setting")].tolist():
        raise SchemaError(f"{', '.join(bad)}: no setting has L2 and PV band of every clip")
    best = ds[MERIT].argmin("setting")
    changes = "options that differ from the preset, JSON"
    best_options = ds["options"].isel(setting=best)
    gain = 100 * (1 - ds[MERIT].min("setting") / ds[MERIT].isel(setting=0))
    ds["options"].attrs = {"long_name": changes, "units": "1"}
    ds["best_setting"] = schema.column(schema.METHOD, best.values, "setting with the smallest merit")
    ds["best_options"] = schema.column(schema.METHOD, best_options.values, changes)
    ds["gain_percent"] = schema.column(schema.METHOD, gain.values, "merit of the best below that of the preset", "%")
    return schema.label(ds).assign_attrs(n_clips=scores.sizes[schema.SAMPLE])


def is_preset(ranking: xr.Dataset, method: str, *, start: str, preset: str) -> bool:
    """Whether the best setting of a method is one of its presets.

    Parameters
    ----------
    ranking : of :func:`rank`.
    method : one of it.
    start : the preset that its search started from.
    preset : the one to compare with.
    """
    changes = json.loads(ranking["best_options"].sel({schema.METHOD: method}).item())
    return options_of(method, start, **changes) == options_of(method, preset)


def _named(option: str, values: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Values of a dotted option with what labels call them."""
    return dict(values) if isinstance(values, Mapping) else {_label(option.rpartition(".")[2], v): v for v in values}


def _label(option: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{option}: " + ", ".join(_label(name, entry) for name, entry in value.items())
    return f"{option}={value:g}" if isinstance(value, float) else f"{option}={value}"


def _nested(setting: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as dictionaries: ``{"cleanup.open_nm": 10}`` to ``{"cleanup": {"open_nm": 10}}``."""
    nested: dict[str, Any] = {}
    for name, value in setting.items():
        outer, dot, inner = name.partition(".")
        if not dot:
            nested[name] = dict(value) if isinstance(value, Mapping) else value
        else:
            nested[outer] = dict(nested.get(outer) or {}) | {inner: value}
    return nested
