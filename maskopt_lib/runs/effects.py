"""What a change gains, with intervals, and what that says of a statement: confirmed, refuted, or not decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, ends, resampled_means
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.tables import NOTE

CONFIRMED, REFUTED, UNDECIDED = "confirmed", "refuted", "not decided"
_EFFECT = "effect, percent"


@dataclass(frozen=True)
class Effect:
    """A number with what it comes to in every draw of a bootstrap.

    Attributes
    ----------
    mean : of all tiles and seeds.
    draws : (draw,) of some; nan where there is nothing to draw from.
    """

    mean: float
    draws: np.ndarray

    def __sub__(self, other: Effect) -> Effect:
        """The difference of two; draws of other tiles, such as those of another layer, are independent."""
        return Effect(self.mean - other.mean, self.draws - other.draws)

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval."""
        low, high = ends(self.draws[None])[0]
        return float(low), float(high)

    @property
    def verdict(self) -> str:
        """On the statement that it is above zero: decided only where the interval leaves no doubt of the sign."""
        low, high = self.interval
        return CONFIRMED if low > 0 else REFUTED if high < 0 else UNDECIDED


def gain(base: xr.DataArray, other: xr.DataArray, groups: np.ndarray, *, seed: int = 0) -> Effect:
    """By how many percent of ``base`` the mean of ``other`` is smaller, on the same tiles.

    Parameters
    ----------
    base, other : (seed, sample) scores; nan where a seed was not trained.
    groups : (sample,) tiles that are drawn together, such as those of a cell.
    seed : of the bootstrap over tiles and seeds.

    Examples
    --------
    >>> l2 = xr.DataArray([[10.0, 20.0, 30.0]], dims=("seed", "sample"))
    >>> found = gain(l2, 0.9 * l2, np.array([0, 1, 2]))
    >>> round(found.mean, 6), np.round(found.interval, 6).tolist(), found.verdict
    (10.0, [10.0, 10.0], 'confirmed')
    """
    scores = [both.transpose(schema.SEED, schema.SAMPLE).values.astype(float) for both in (base, other)]
    n_seeds = max(map(len, scores))
    rows = np.stack([np.pad(row, ((0, n_seeds - len(row)), (0, 0)), constant_values=np.nan) for row in scores])
    means = np.nanmean(rows, axis=(1, 2))
    draws = resampled_means(rows, groups, seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        return Effect(float(100 * (1 - means[1] / means[0])), 100 * (1 - draws[1] / draws[0]))


def effect_rows(effects: Mapping[tuple[str, str], Effect], *, rows: str, columns: str, long_name: str) -> xr.Dataset:
    """Effects as a Dataset over two dimensions: ``mean``, ``low`` and ``high``, in percent.

    Parameters
    ----------
    effects : (row, column) -> effect; what is lacking is nan.
    rows, columns : names of the dimensions.
    long_name : of the effect.
    """
    statistics = (MEAN, LOW, HIGH)
    values = {key: dict(zip(statistics, (e.mean, *e.interval), strict=True)) for key, e in effects.items()}
    return labelled(values, (rows, columns), texts=dict.fromkeys(statistics, (long_name, "%")))


def statement_table(statements: Mapping[str, tuple[Effect, str]]) -> pd.DataFrame:
    """Statements with what speaks for them, for :func:`maskopt_lib.study.write_table`.

    Parameters
    ----------
    statements : sentence -> the effect that is above zero if it is true, and what was measured.

    Examples
    --------
    >>> table = statement_table({"It helps.": (Effect(2.0, np.array([1.0, 2.0, 3.0])), "L2, 3 tiles")})
    >>> table.loc["It helps.", NOTE]
    'confirmed; L2, 3 tiles'
    """
    rows = [(e.mean, *e.interval, f"{e.verdict}; {measured}") for e, measured in statements.values()]
    index = pd.Index(list(statements), name="statement", dtype=object)
    columns = pd.MultiIndex.from_tuples([(_EFFECT, MEAN), (_EFFECT, LOW), (_EFFECT, HIGH), NOTE])
    return pd.DataFrame(rows, index=index, columns=columns)
