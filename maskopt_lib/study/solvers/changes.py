"""What each change does to a trial, one at a time: of its options, its preset, the raster or the kernels."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import xarray as xr

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.runs.record import Run
from maskopt_lib.study.solvers.benchmark import Clips, Trial, solve_and_score

_CHANGEABLE = ("preset", "options", "rule", "kernels")


def score_changes(
    benchmark: str,
    clips: Sequence[str],
    base: Trial,
    changes: Mapping[str, Mapping[str, Any]],
    run: Run,
    *,
    kernels: str,
    **how: Any,
) -> xr.Dataset:
    """Solve clips with a trial, and with each change of it, and score the masks; nothing of them is kept in the run.

    Parameters
    ----------
    benchmark, clips : as for :class:`maskopt_lib.study.Clips`.
    base : the trial without any change; its label is that of the first row.
    changes : label -> ``preset``, ``options`` (those that differ), ``rule`` (of the raster) or ``kernels``. A change
        of options that are so already is left out.
    run : its parts are used.
    kernels : name of the kernel set where a change names none.
    **how : scores, workers and device, as for :func:`maskopt_lib.study.solve_and_score`.

    Returns
    -------
    Scores (method, sample), one method for each label.

    Raises
    ------
    UnknownNameError : a change is of something else.
    """
    # What shares targets and kernels is solved together.
    planned: dict[tuple[str, str], list[Trial]] = {}
    for label, change in ({base.label: {}} | dict(changes)).items():
        if unknown := set(change) - set(_CHANGEABLE):
            raise UnknownNameError(f"{label}: no change of {', '.join(unknown)}; known: {', '.join(_CHANGEABLE)}")
        options = dict(base.options) | change.get("options", {})
        if set(change) == {"options"} and options == base.options:
            continue
        trial = replace(base, label=label, preset=change.get("preset", base.preset), options=options)
        planned.setdefault((change.get("rule", "half-open"), change.get("kernels", kernels)), []).append(trial)
    scored = []
    for (rule, name), trials in planned.items():
        wanted = Clips(benchmark, tuple(clips), rule=rule)
        scores, _ = solve_and_score(wanted, {name: optics.load(name)}, trials, run, masks=None, **how)
        scored.append(scores.squeeze(schema.KERNELS, drop=True))
    return xr.concat(scored, schema.METHOD, combine_attrs="drop_conflicts")
