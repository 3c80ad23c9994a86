"""What a solver returns, and when it stops."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import DivergedError
from maskopt_lib.options import Count, NotNegative, Options


class StopCondition(Protocol):
    """Answers, after each step, whether to stop and why."""

    def __call__(self, step: int, losses: Sequence[np.ndarray]) -> str | None:
        """A sentence when it is time to stop, else None.

        Parameters
        ----------
        step : steps done.
        losses : for each step so far the (sample,) objective before it; the last is the current one.
        """


@dataclass(frozen=True)
class MaxSteps(Options):
    """Stop after a number of steps.

    Attributes
    ----------
    n_steps : at least 1.
    """

    n_steps: Count

    def __call__(self, step: int, losses: Sequence[np.ndarray]) -> str | None:
        return f"reached the set number of {self.n_steps} steps" if step >= self.n_steps else None


@dataclass(frozen=True, kw_only=True)
class NoImprovement(Options):
    """Stop when no clip of the batch has improved for a while.

    Attributes
    ----------
    patience : steps without improvement.
    relative : smallest relative decrease that counts.
    """

    patience: Count
    relative: NotNegative = 1e-3

    def __call__(self, step: int, losses: Sequence[np.ndarray]) -> str | None:
        if step <= self.patience:
            return None
        before = np.min(losses[: -self.patience], axis=0)
        lately = np.min(losses[-self.patience :], axis=0)
        if np.any(lately < before * (1 - self.relative)):
            return None
        return f"no clip improved by {self.relative:.1%} in {self.patience} steps (step {step})"


@dataclass(frozen=True, kw_only=True)
class OpcResult:
    """Masks and how they came about.

    Attributes
    ----------
    mask : ``(*batch, y, x)`` uint8, 0 or 1, on the target's grid.
    history : Dataset over ``step`` (0 = start), ``sample`` and ``term``: every term of the objective, unweighted
        (``value``), and the weights.
    best_step : ``(*batch,)`` step with the lowest objective.
    stopped_by : why it stopped, in a sentence.
    runtime_s : wall time of the whole call, preparation and clean-up included, in s.
    phases_s : the same split by phase, in s.
    method, options : what was run.
    polygons : for each clip, in the order of the flattened batch, its outlines as (n, 2) arrays in nm in window
        coordinates: material counter-clockwise, holes clockwise. None from solvers whose masks are pixels.
    violations : for each clip, in the same order, each :class:`~maskopt_lib.opc.mask_rules.Violation` of the solver's
        rule deck that its mask could not do without; none where it keeps all. Empty from solvers without a deck.
    """

    mask: np.ndarray
    history: xr.Dataset
    best_step: np.ndarray
    stopped_by: str
    runtime_s: float
    phases_s: dict[str, float]
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    polygons: tuple[list[np.ndarray], ...] | None = None
    violations: tuple[tuple[Any, ...], ...] = ()

    @property
    def broken_rules(self) -> tuple[str, ...]:
        """The violations of each clip in words, such as ``min_width_nm 20 < 24 at x 310, y 542 nm``."""
        return tuple("; ".join(map(str, found)) for found in self.violations)


def history_dataset(values: np.ndarray, terms: tuple[str, ...], weights: tuple[float, ...]) -> xr.Dataset:
    """Label the terms of an objective.

    Parameters
    ----------
    values : (step, sample, term) unweighted values.
    terms, weights : names and weights along the last axis.
    """
    ds = xr.Dataset(
        {
            "value": schema.column((schema.STEP, schema.SAMPLE, schema.TERM), values, "objective term"),
            "weight": schema.column(schema.TERM, list(weights), "weight of the term"),
        },
        coords={schema.STEP: np.arange(len(values)), schema.TERM: list(terms)},
    )
    return schema.label(ds)


def check_finite(step: int, losses: Sequence[np.ndarray]) -> None:
    """Raise :class:`DivergedError` when the newest of ``losses`` is not finite."""
    if not np.all(np.isfinite(losses[-1])):
        bad = [int(i) for i in np.flatnonzero(~np.isfinite(losses[-1]))]
        last = [float(losses[-2][i]) if len(losses) > 1 else math.nan for i in bad]
        raise DivergedError(
            f"the objective of clip(s) {bad} of the batch is not finite after step {step} (before: {last}); "
            "lower the learning rate, or compute in float64"
        )
