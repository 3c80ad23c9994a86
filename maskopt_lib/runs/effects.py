"""What a change gains, with intervals, and what that says of a statement: confirmed, refuted, equivalent, not decided.

An effect is a number of means over seeds and tiles. How far it would move with other cells, and with other seeds of
each method, is found by leaving out one at a time (the jackknife, Efron and Stein 1981); the parts add up, each with
one degree of freedom less than there are cells or seeds, and intervals are Student's with the degrees of freedom of
Welch and Satterthwaite. So three seeds count as three: a bootstrap of three covers 73 to 78 % where 95 % is written.

Statements are judged together. Each is asked whether it differs from zero and whether it lies within a margin on both
sides (two one-sided tests, Schuirmann 1987); the questions of all statements share one error by Holm's procedure.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import xarray as xr
from scipy import stats

from maskopt_lib.data import schema
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.tables import NOTE

CONFIRMED, REFUTED, EQUIVALENT, UNDECIDED = "confirmed", "refuted", "equivalent", "not decided"
#: Share of errors that all statements of a table have together, and what is no difference, in percent.
ALPHA, MARGIN_PERCENT = 0.05, 5.0
_EFFECT = "effect, percent"


@dataclass(frozen=True)
class Effect:
    """A number, and how far it would move with other cells and seeds.

    Attributes
    ----------
    mean : of all tiles and seeds.
    parts : variances with their degrees of freedom, of cells and of the seeds of each method; a variance is nan where
        nothing is known, such as of one cell.

    Examples
    --------
    >>> effect = Effect(2.0, ((0.5, 9), (0.5, 9)))
    >>> [round(end, 3) for end in effect.interval], round(effect.p, 4), effect.verdict
    ([-0.101, 4.101], 0.0608, 'not decided')
    """

    mean: float
    parts: tuple[tuple[float, int], ...]

    def __sub__(self, other: Effect) -> Effect:
        """The difference of two of other tiles or networks, such as those of another layer."""
        return Effect(self.mean - other.mean, self.parts + other.parts)

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(sum(variance for variance, _ in self.parts)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of Welch and Satterthwaite."""
        squares = sum(variance**2 / n for variance, n in self.parts)
        return float(self.error**4 / squares) if squares > 0 else np.inf

    @property
    def interval(self) -> tuple[float, float]:
        """Ends of the 95 % interval."""
        half = stats.t.ppf(1 - ALPHA / 2, self.freedom) * self.error
        return float(self.mean - half), float(self.mean + half)

    @property
    def p(self) -> float:
        """Of the test against zero, two-sided; 1 where nothing is known."""
        return min(1.0, 2 * self._beyond(abs(self.mean)))

    def p_within(self, margin: float) -> float:
        """Of the two one-sided tests that it lies within a margin on both sides of zero; 1 where nothing is known."""
        return self._beyond(margin - abs(self.mean))

    def _beyond(self, distance: float) -> float:
        if not np.isfinite(self.error) or np.isnan(distance):
            return 1.0
        if self.error == 0:
            return 0.0 if distance > 0 else 0.5
        return float(stats.t.sf(distance / self.error, self.freedom))

    @property
    def verdict(self) -> str:
        """On the statement that it is above zero, were it the only one."""
        if self.p >= ALPHA:
            return UNDECIDED
        return CONFIRMED if self.mean > 0 else REFUTED


def effect_of(statistic: Callable[[np.ndarray], np.ndarray], rows: Sequence[np.ndarray], groups: np.ndarray) -> Effect:
    """An effect that is a function of means of several rows on the same tiles.

    Parameters
    ----------
    statistic : of (row, ...) means, (...).
    rows : of each method (seed, sample) scores; what is not finite is left out, and so is a seed without any number.
    groups : (sample,) tiles that go together, such as those of a cell, which resemble each other.
    """
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    known = [np.isfinite(np.asarray(row, float)) for row in rows]
    values = [np.where(there, row, 0.0) for there, row in zip(known, rows, strict=True)]
    there = [k.any(1) for k in known]
    values = [each[seeds] for each, seeds in zip(values, there, strict=True)]
    known = [each[seeds].astype(float) for each, seeds in zip(known, there, strict=True)]
    with np.errstate(invalid="ignore", divide="ignore"):
        means = np.array([v.sum() / k.sum() for v, k in zip(values, known, strict=True)])
        by_cell = [[np.bincount(group, each.sum(0)) for each in pair] for pair in zip(values, known, strict=True)]
        without = np.array([(total.sum() - total) / (n.sum() - n) for total, n in by_cell])
        parts = [_jackknife(statistic(without))]
        for i, (v, k) in enumerate(zip(values, known, strict=True)):
            if len(v) > 1:
                moved = np.repeat(means[:, None], len(v), axis=1)
                moved[i] = (v.sum() - v.sum(1)) / (k.sum() - k.sum(1))
                parts.append(_jackknife(statistic(moved)))
        return Effect(float(statistic(means)), tuple(parts))


def _jackknife(without: np.ndarray) -> tuple[float, int]:
    """Variance of a number of what it is without each of n, and its degrees of freedom."""
    n = len(without)
    return (float((n - 1) / n * np.square(without - without.mean()).sum()), n - 1) if n > 1 else (np.nan, 1)


def gain(base: xr.DataArray, other: xr.DataArray, groups: np.ndarray) -> Effect:
    """By how many percent of ``base`` the mean of ``other`` is smaller, on the same tiles.

    Parameters
    ----------
    base, other : (seed, sample) scores; nan where a seed was not trained.
    groups : (sample,) tiles that go together, such as those of a cell.

    Examples
    --------
    >>> l2 = xr.DataArray([[10.0, 20.0, 30.0]], dims=("seed", "sample"))
    >>> found = gain(l2, 0.9 * l2, np.array([0, 1, 2]))
    >>> round(found.mean, 6), np.round(found.interval, 6).tolist(), found.verdict
    (10.0, [10.0, 10.0], 'confirmed')
    """
    return effect_of(lambda means: 100 * (1 - means[1] / means[0]), _rows(base, other), groups)


def difference(score: xr.DataArray, other: xr.DataArray, groups: np.ndarray) -> Effect:
    """Mean of a score less that of another, on the same tiles; parameters as of :func:`gain`."""
    return effect_of(lambda means: means[0] - means[1], _rows(score, other), groups)


def _rows(*scores: xr.DataArray) -> list[np.ndarray]:
    return [each.transpose(schema.SEED, schema.SAMPLE).values.astype(float) for each in scores]


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


def holm(p: Sequence[float]) -> np.ndarray:
    """P-values of tests that are made together, adjusted by Holm's procedure.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p, float)
    order = np.argsort(p, kind="stable")
    adjusted = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted[np.argsort(order, kind="stable")], 1.0)


def verdicts(effects: Sequence[Effect], margins: Sequence[float], *, n_family: int = 0) -> tuple[list[str], np.ndarray]:
    """What is found of statements that are judged together, and the adjusted p-value of what decided, or came nearest.

    Parameters
    ----------
    effects : above zero where a statement is true.
    margins : what is no difference, of each; 0 where that is not asked.
    n_family : statements that share the error, those that are judged elsewhere counted as found wanting.
    """
    n_elsewhere = max(0, n_family - len(effects))
    tests = [effect.p for effect in effects]
    tests += [e.p_within(margin) if margin else 1.0 for e, margin in zip(effects, margins, strict=True)]
    apart, alike = holm([*tests, *[1.0] * 2 * n_elsewhere])[: len(tests)].reshape(2, -1)
    decided = np.where(apart < ALPHA, [CONFIRMED if e.mean > 0 else REFUTED for e in effects], UNDECIDED)
    return np.where(alike < ALPHA, EQUIVALENT, decided).tolist(), np.where(alike < ALPHA, alike, apart)


def statement_table(
    statements: Mapping[str, tuple[Effect, str]], *, margin_percent: float = MARGIN_PERCENT, n_family: int = 0
) -> pd.DataFrame:
    """Statements with what speaks for them, for :func:`maskopt_lib.study.write_table`.

    Parameters
    ----------
    statements : sentence -> the effect that is above zero if it is true, and what was measured.
    margin_percent : effects within it, on both sides of zero, are none.
    n_family : see :func:`verdicts`.

    Examples
    --------
    >>> table = statement_table({"It helps.": (Effect(2.0, ((0.01, 8),)), "L2, 3 tiles")}, margin_percent=0)
    >>> table.loc["It helps.", NOTE]
    'confirmed; p 0.000 of 1 statement; L2, 3 tiles'
    """
    effects = [effect for effect, _ in statements.values()]
    found, p = verdicts(effects, [margin_percent] * len(effects), n_family=n_family)
    n = max(n_family, len(effects))
    family = f"of {n} statement{'s' if n > 1 else ''}"
    rows = [
        (e.mean, *e.interval, f"{verdict}; p {value:.3f} {family}; {measured}")
        for (e, measured), verdict, value in zip(statements.values(), found, p, strict=True)
    ]
    index = pd.Index(list(statements), name="statement", dtype=object)
    columns = pd.MultiIndex.from_tuples([(_EFFECT, MEAN), (_EFFECT, LOW), (_EFFECT, HIGH), NOTE])
    return pd.DataFrame(rows, index=index, columns=columns)


def seeds_needed(
    effect: float, *, seed_sd: float, tile_sd: float, n_tiles: int, power: float = 0.8, alpha: float = ALPHA
) -> int:
    """Seeds of each of two methods with which an effect is found with a given power, at most 1000.

    Parameters
    ----------
    effect : that is to be found, such as a difference in percent.
    seed_sd : standard deviation of the mean score of one method over its seeds, in the same unit.
    tile_sd : standard deviation over tiles of their difference between the methods.
    n_tiles : that are scored, counted as one for each cell where tiles of a cell resemble each other.
    power : probability to find it.
    alpha : of the two-sided test; divided by the number of statements where many are made.

    Examples
    --------
    >>> seeds_needed(10, seed_sd=5, tile_sd=20, n_tiles=256), seeds_needed(10, seed_sd=10, tile_sd=20, n_tiles=256)
    (6, 19)
    """
    for n in range(2, 1001):
        parts = ((seed_sd**2 / n, n - 1), (seed_sd**2 / n, n - 1), (tile_sd**2 / n_tiles, n_tiles - 1))
        planned = Effect(effect, parts)
        limit = stats.t.ppf(1 - alpha / 2, planned.freedom)
        if stats.nct.sf(limit, planned.freedom, abs(effect) / planned.error) >= power:
            return n
    return 1000
