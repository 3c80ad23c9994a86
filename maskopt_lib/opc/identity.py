"""The target as its own mask: the floor that every method has to leave below."""

from dataclasses import dataclass

import torch
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.descent import Descent, Phases, collect
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Options

TERMS = ("fidelity", "pv_band")


@dataclass(frozen=True, kw_only=True)
class IdentityOptions(Options):
    """Nothing to set."""


PRESETS = {"identity": IdentityOptions()}


def solve(target: Tensor, sim: Simulator, options: IdentityOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Take the targets, or the initial masks made binary at 0.5, as masks."""
    phases = Phases()
    mask = target if initial is None else (initial >= 0.5).to(target.dtype)
    phases("prepare")
    nominal, outer, inner = sim.resist(mask, corners=schema.CORNERS).unbind(-3)
    terms = squared_difference(nominal, target.to(sim.dtype)), squared_difference(inner, outer)
    history = torch.stack(terms, dim=-1).cpu().double().numpy()[None]
    phases("finish")
    return collect("identity", mask, [Descent(mask, history, "nothing to optimise")], TERMS, (1.0, 1.0), phases)
