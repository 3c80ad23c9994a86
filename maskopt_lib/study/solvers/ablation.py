"""One change at a time: trials that differ from a reference in a single option, and what the change does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.tables import DEVIATION, MEAN
from maskopt_lib.study.solvers.benchmark import Trial


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


def means_table(ds: xr.Dataset, *, scores: Sequence[str], reference: str | None = None) -> pd.DataFrame:
    """Means over the clips, one row a method, with their deviation from one of them.

    Parameters
    ----------
    ds : Dataset over ``method`` and ``sample``.
    scores : names of scores.
    reference : method that the others are compared with; None leaves the deviations out.

    Returns
    -------
    Rows ``method`` in the order of ``ds``; columns (score, ``mean``) and (score, ``deviation_percent``), as
    :func:`maskopt_lib.study.style` and :func:`maskopt_lib.study.write_table` take them.
    """
    means = ds[list(scores)].mean(schema.SAMPLE)
    table = {}
    for score in scores:
        table[score, MEAN] = column = means[score].to_series()
        if reference is not None:
            base = column[reference]
            deviation = 100 * (column - base) / base if base else column.where(column == base).sub(base)
            table[score, DEVIATION] = deviation.mask(column.index == reference)
    return pd.DataFrame(table).rename_axis(schema.METHOD)


def _label(option: str, value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{option}: " + ", ".join(_label(name, entry) for name, entry in value.items())
    return f"{option}={value:g}" if isinstance(value, float) else f"{option}={value}"
