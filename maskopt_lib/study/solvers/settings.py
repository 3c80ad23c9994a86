"""Tuning on a stated budget: the preset and random settings of a stated space, ranked by one stated merit.

Random search spends a budget evenly, needs no choice of order, and its trials are independent, so they run in parallel
and resume. Every method gets the same number of settings on the same clips, which are not the ones of the tables.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import opc
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError
from maskopt_lib.study.solvers.benchmark import Trial

#: What makes one setting better than another: the sum of these, in nm2, averaged over the clips.
MERIT = (schema.L2, schema.PVB)


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


def rank(scores: xr.Dataset, trials: Sequence[Trial], *, merit: Sequence[str] = MERIT) -> xr.Dataset:
    """Settings of each method by their mean merit; the smallest is the best.

    Parameters
    ----------
    scores : Dataset (method, sample), or with ``kernels`` of length one, of all trials.
    trials : of :func:`search`, for one or several methods; their labels are those along ``method``.
    merit : scores whose sum is the merit, all of one unit; by default L2 + PV band.

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
    if schema.KERNELS in scores.dims:
        if scores.sizes[schema.KERNELS] > 1:
            raise SchemaError("settings are ranked under one kernel set; select it first")
        scores = scores.squeeze(schema.KERNELS, drop=True)
    labels = [trial.label for trial in trials]
    if lacking := sorted(set(labels) - set(scores[schema.METHOD].values.tolist())):
        raise SchemaError(f"no scores of {', '.join(lacking)}")
    methods = list(dict.fromkeys(trial.method for trial in trials))
    of_method = {name: [trial for trial in trials if trial.method == name] for name in methods}
    shape = (len(methods), max(len(settings) for settings in of_method.values()))
    names = [*merit, *({schema.RUNTIME} & set(scores.data_vars))]
    means = {name: np.full(shape, np.nan) for name in names}
    options = np.full(shape, "", object)
    for i, settings in enumerate(of_method.values()):
        for j, trial in enumerate(settings):
            for name in names:
                means[name][i, j] = scores[name].sel({schema.METHOD: trial.label}).mean(schema.SAMPLE, skipna=False)
            options[i, j] = json.dumps(dict(trial.options), sort_keys=True, default=repr)
    total = sum(means[name] for name in merit)
    if bad := [name for name, row in zip(methods, total, strict=True) if np.isnan(row).all()]:
        raise SchemaError(f"{', '.join(bad)}: no setting has {' and '.join(merit)} of every clip")
    best = np.nanargmin(total, axis=1)
    rows = np.arange(len(methods))
    dims = (schema.METHOD, "setting")
    spelled = " + ".join(schema.VARIABLES[name][0] for name in merit)
    texts = {"options": (dims, options), "best_options": (schema.METHOD, options[rows, best])}
    ds = xr.Dataset(
        {"merit_nm2": (dims, total, {"long_name": f"mean over clips of {spelled}", "units": "nm2"})}
        | {name: (dims, values) for name, values in means.items()}
        | {
            name: (where, values.astype(str), {"long_name": "options that differ from the preset, JSON", "units": "1"})
            for name, (where, values) in texts.items()
        }
        | {
            "best_setting": (schema.METHOD, best, {"long_name": "setting with the smallest merit", "units": "1"}),
            "gain_percent": (
                schema.METHOD,
                100 * (1 - total[rows, best] / total[:, 0]),
                {"long_name": "merit of the best below that of the preset", "units": "%"},
            ),
        },
        coords={schema.METHOD: methods, "setting": np.arange(shape[1])},
        attrs={"n_clips": scores.sizes[schema.SAMPLE]},
    )
    return schema.label(ds)


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
    return opc.options_of(method, start, **changes) == opc.options_of(method, preset)


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
