"""The loop that gradient solvers share: one batch, one parameter tensor, every clip for itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maskopt_lib.errors import OptionError, UnknownNameError
from maskopt_lib.opc.gauss_newton import GaussNewton
from maskopt_lib.opc.lbfgs import Lbfgs
from maskopt_lib.opc.result import MaxSteps, OpcResult, StopCondition, check_finite, history_dataset
from maskopt_lib.options import Options, Positive

Optimizer = Literal["sgd", "adam", "lbfgs", "gauss_newton"]
Schedule = Literal["constant", "cosine"]
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "lbfgs": Lbfgs,
    "gauss_newton": GaussNewton,
}
#: Those that find the lengths of their steps, on objectives that do not change on the way.
SECOND_ORDER = ("lbfgs", "gauss_newton")
#: Factor on the learning rate as a function of the share of the steps done, 0 to 1.
SCHEDULES: dict[str, Callable[[float], float]] = {
    "constant": lambda done: 1.0,
    "cosine": lambda done: 0.5 * (1 + np.cos(np.pi * min(done, 1.0))),
}


@dataclass(frozen=True, kw_only=True)
class Stepper(Options):
    """How the parameters move along the gradient.

    Attributes
    ----------
    optimizer : ``"sgd"`` without momentum, ``"adam"``, or, for objectives that do not change on the way, ``"lbfgs"``
        (:mod:`maskopt_lib.opc.lbfgs`), a step of which is one evaluation of the objective as well, and
        ``"gauss_newton"`` (:mod:`maskopt_lib.opc.gauss_newton`), whose products with the curvature count as such.
    learning_rate : step size, for objectives that are sums over the pixels; of the last two a tenth of the largest
        change in any step, and for ``"lbfgs"`` the largest in the first.
    schedule : ``"constant"`` or ``"cosine"``, which falls to zero at the last step; the last two find theirs.
    """

    optimizer: Optimizer
    learning_rate: Positive
    schedule: Schedule = "constant"


class Stepping(Options):
    """Options that have ``optimizer``, ``learning_rate`` and ``schedule``."""

    @property
    def stepper(self) -> Stepper:
        """The three together."""
        return Stepper(optimizer=self.optimizer, learning_rate=self.learning_rate, schedule=self.schedule)


@dataclass(frozen=True)
class Descent:
    """What a descent leaves.

    Attributes
    ----------
    parameter : (b, ...) the parameters that are kept: of the last step, or of each clip's best.
    history : (step, b, term) unweighted terms; the first row is the start.
    reason : why it stopped.
    """

    parameter: Tensor
    history: np.ndarray
    reason: str

    @classmethod
    def joined(cls, parts: Sequence[tuple[str, Descent]]) -> Descent:
        """Descents one after the other, under names that their reasons bear; the last one's parameters count."""
        history = np.concatenate([descent.history for _, descent in parts])
        return cls(parts[-1][1].parameter, history, "; ".join(f"{name}: {descent.reason}" for name, descent in parts))


def descend(
    start: Tensor,
    objective: Callable[[Tensor, int], Sequence[Tensor]],
    stepper: Stepper,
    *,
    n_steps: int,
    weights: Sequence[float],
    keep: str = "last",
    outputs: Callable[[Tensor, int], tuple[Tensor, Tensor]] | None = None,
    on_gradient: Callable[[Tensor, int], Tensor] | None = None,
    on_step: Callable[[Tensor, int], Tensor] | None = None,
    stop: StopCondition | None = None,
    progress: bool = False,
    name: str = "descent",
) -> Descent:
    """Minimise a weighted sum of terms over a batch.

    Parameters
    ----------
    start : (b, ...) first parameters; not changed.
    objective : ``objective(parameter, step)`` gives the unweighted terms, (b,) each. Clips must not mix.
    stepper : optimizer, learning rate and schedule.
    n_steps : gradient steps; with ``"gauss_newton"`` evaluations of the objective and products together.
    weights : one a term.
    keep : ``"last"`` or ``"best"``, the parameters of each clip's lowest objective; those of second order
        always keep the best.
    outputs : ``outputs(parameter, step)`` gives outputs and their curvatures, (b, m) each, of which ``"gauss_newton"``
        makes the curvature of the weighted sum.
    on_gradient : ``on_gradient(gradient, step)`` gives the gradient to use.
    on_step : ``on_step(parameter, step)`` gives the parameters to go on with after a step, without gradient.
    stop : a further stop condition.
    progress, name : progress bar.

    Raises
    ------
    DivergedError : a term is not finite.
    OptionError : ``"gauss_newton"`` for an objective that says nothing of its outputs.
    """
    if keep not in ("last", "best"):
        raise UnknownNameError(f"no rule {keep!r} for the parameters to keep; known: best, last")
    if stepper.optimizer == "gauss_newton" and outputs is None:
        raise OptionError(
            f"{name} has no outputs whose squares it sums, so optimizer 'gauss_newton' knows no curvature of it; "
            "choose 'lbfgs' or 'adam'"
        )
    if stepper.optimizer in SECOND_ORDER:
        keep, stepper = "best", replace(stepper, schedule="constant")
    parameter = start.detach().clone().requires_grad_()
    optimizer = OPTIMIZERS[stepper.optimizer]([parameter], lr=stepper.learning_rate)
    stops = [MaxSteps(n_steps), *([stop] if stop else [])]
    weights = np.asarray(weights, float)
    history: list[np.ndarray] = []
    losses: list[np.ndarray] = []
    best, kept = None, None
    bar = tqdm(total=n_steps, desc=name, unit="step", disable=not progress, leave=False)
    while True:
        step = len(history)
        optimizer.zero_grad(set_to_none=True)
        terms = objective(parameter, step)
        history.append(torch.stack([t.detach() for t in terms], dim=-1).cpu().double().numpy())
        losses.append(history[-1] @ weights)
        check_finite(step, losses)
        if keep == "best":
            better = np.full(len(start), True) if best is None else losses[-1] < best
            best = losses[-1] if best is None else np.minimum(best, losses[-1])
            kept = parameter.detach().clone() if kept is None else kept
            chosen = torch.as_tensor(better, device=kept.device)
            kept[chosen] = parameter.detach()[chosen]
        reason = next((r for condition in stops if (r := condition(step, losses))), None)
        if reason:
            break
        sum(w * t.sum() for w, t in zip(weights.tolist(), terms, strict=True) if w).backward()
        if on_gradient:
            parameter.grad = on_gradient(parameter.grad, step)
        for group in optimizer.param_groups:
            group["lr"] = stepper.learning_rate * SCHEDULES[stepper.schedule](step / n_steps)
        if isinstance(optimizer, GaussNewton):
            optimizer.n_products = max(min(optimizer.n_products, n_steps - step - 1), 1)
            optimizer.step(losses[-1], lambda x, step=step: outputs(x, step))
            history += [history[-1]] * optimizer.n_products
            losses += [losses[-1]] * optimizer.n_products
        elif isinstance(optimizer, Lbfgs):
            optimizer.step(losses[-1])
        else:
            optimizer.step()
        if on_step:
            with torch.no_grad():
                parameter.copy_(on_step(parameter.detach(), step))
        bar.update()
    bar.close()
    return Descent(parameter.detach() if kept is None else kept, np.stack(history), reason)


class Phases:
    """Wall time of a solver's phases: ``phases("optimise")`` ends the phase of that name."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = self.seconds.get(name, 0.0) + now - self._last
        self._last = now


def collect(
    method: str,
    mask: Tensor,
    descents: Sequence[Descent],
    terms: tuple[str, ...],
    weights: tuple[float, ...],
    phases: Phases,
    *,
    members: Sequence[np.ndarray] | None = None,
    polygons: tuple[list[np.ndarray], ...] | None = None,
) -> OpcResult:
    """The result of a solver that optimised its clips in groups.

    Parameters
    ----------
    method : its name.
    mask : (sample, y, x) uint8 of all clips.
    descents : of each group; shorter histories are filled with nan.
    terms, weights : names and weights along ``term``.
    phases : with all phases ended.
    members : indices of each group's clips; one group of all by default.
    polygons : the outlines of solvers that work on polygons.
    """
    members = [np.arange(len(mask))] if members is None else members
    values = np.full((max(len(descent.history) for descent in descents), len(mask), len(terms)), np.nan)
    clips: dict[str, list[int]] = {}
    for descent, index in zip(descents, members, strict=True):
        values[: len(descent.history), index] = descent.history
        clips.setdefault(descent.reason, []).extend(index.tolist())
    return OpcResult(
        mask=mask.cpu().numpy(),
        history=history_dataset(values, terms, weights),
        best_step=np.nanargmin((values * np.asarray(weights)).sum(-1), axis=0),
        stopped_by="; ".join(reason if len(clips) == 1 else f"{reason} (clips {clips[reason]})" for reason in clips),
        runtime_s=sum(phases.seconds.values()),
        phases_s=dict(phases.seconds),
        method=method,
        polygons=polygons,
    )
