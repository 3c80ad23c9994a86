"""The target as its own mask: the floor that every method has to leave below."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.descent import Phases, collect
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.result import OpcResult, StopCondition

TERMS = ("fidelity", "pv_band")


@dataclass(frozen=True, kw_only=True)
class IdentityOptions:
    """Nothing to set."""


PRESETS = {"identity": IdentityOptions()}


def solve(
    target: Tensor,
    sim: Simulator,
    options: IdentityOptions,
    *,
    initial: Tensor | None = None,
    stop: StopCondition | None = None,
    progress: bool = False,
) -> OpcResult:
    """Take the targets, or the initial masks made binary at 0.5, as masks; see :func:`maskopt_lib.opc.solve`."""
    phases = Phases()
    mask = target if initial is None else (initial >= 0.5).to(target.dtype)
    phases("prepare")
    resist = dict(zip(schema.CORNERS, sim.resist(mask, corners=schema.CORNERS).unbind(-3), strict=True))
    terms = (
        squared_difference(resist[schema.NOMINAL], target.to(sim.dtype)),
        squared_difference(resist[schema.INNER], resist[schema.OUTER]),
    )
    history = np.stack([t.cpu().double().numpy() for t in terms], axis=-1)[None]
    phases("finish")
    return collect(
        mask, [history], reasons=["nothing to optimise"], terms=TERMS, weights=(1.0, 1.0), phases=phases,
        method="identity",
    )  # fmt: skip
