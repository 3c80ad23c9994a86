"""Model-based OPC: edge fragments of Manhattan polygons, moved until they print where they are drawn.

Each edge is cut into fragments (:mod:`~maskopt_lib.opc.fragments`). In each step the polygons are rasterised by exact
area, imaged, and the signed distance between the printed and the drawn edge is measured at every control point, below
the pixel. Each fragment then moves against its own error: proportional feedback with a damped gain, a largest step, a
largest displacement and mask rules. What leaves is polygons with edges along x and y only, on a grid of their own.

Presets: ``feedback`` is this scheme in full, ``assisted`` adds squares that assist the target. ``openilt`` is the
fixed-step scheme of OpenILT's ``simpleopc``: the binary print is probed 16 nm inside and outside, fragments go by 8 nm,
later 4 nm, in the direction the probes ask for.

References
----------
N. Cobb, "Fast optical and process proximity correction algorithms for integrated circuit manufacturing" (1998):
fragments, control points and feedback.
OpenILT (github.com/OpenOPC/OpenILT), ``pyilt/simpleopc.py``: constants of the preset ``openilt``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.assist import AssistSeeds
from maskopt_lib.opc.descent import Descent, Phases, collect
from maskopt_lib.opc.edges import edge_errors_nm, sample
from maskopt_lib.opc.fragments import Cutting, Fragments, outlines
from maskopt_lib.opc.moving_edges import MovingEdges, MovingEdgesOptions, no_initial
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.result import MaxSteps, OpcResult, StopCondition, check_finite
from maskopt_lib.options import Count, Finite, NotNegative, Positive

TERMS = ("epe_nm", "violations", "fidelity", "pv_band")
#: Errors beyond this count as violations, in nm.
LIMIT_NM = 15.0


@dataclass(frozen=True, kw_only=True)
class ModelBasedOptions(MovingEdgesOptions):
    """Everything that can be set.

    Attributes
    ----------
    pixel_nm, n_steps : as in :class:`~maskopt_lib.opc.moving_edges.MovingEdgesOptions`, like all that is not named
        here. Squares that assist stay as they are set.
    corner_probe_nm : where corner fragments are measured, see :class:`~maskopt_lib.opc.fragments.Cutting`.
    feedback : ``"proportional"`` moves by ``gain`` times the measured error, ``"fixed"`` by ``fixed_step_nm`` in the
        direction that probes on the binary print ask for.
    gain, damping : the gain of the first step, and the factor on it in each further step.
    corner_gain, line_end_gain : factors on the gain of corner fragments and of line ends.
    min_slope : smallest relative slope of the image across the drawn edge that is believed, in 1/nm; where the image is
        flatter, a fragment answers the missing intensity over this slope instead of the whole error. 0 for none.
    max_step_nm : largest move in one step.
    fixed_step_nm, halve_every, probe_nm : of the fixed step: its size, after how many steps it is halved, distance of
        the probes from the drawn edge.
    aim : which printed edge should lie on the drawn one: ``"nominal"``, or the ``"middle"`` between the outer and the
        inner print.
    epe_weight, violation_weight, fidelity_weight, pvb_weight : weights of the terms (mean absolute error in nm,
        number of control points off by more than 15 nm, pixels) in the objective that ``best_step`` and ``keep`` use.
    """

    n_steps: Count = 20
    corner_nm: NotNegative = 30.0
    segment_nm: Positive = 40.0
    line_end_nm: NotNegative = 100.0
    corner_probe_nm: NotNegative | None = 40.0
    feedback: Literal["proportional", "fixed"] = "proportional"
    gain: Positive = 0.6
    damping: Positive = 0.95
    corner_gain: NotNegative = 1.0
    line_end_gain: NotNegative = 1.0
    min_slope: NotNegative = 0.02
    max_step_nm: Positive = 10.0
    max_move_nm: Positive = 40.0
    fixed_step_nm: Positive = 8.0
    halve_every: Count = 4
    probe_nm: Positive = 16.0
    aim: Literal["nominal", "middle"] = "nominal"
    epe_weight: Finite = 1.0
    violation_weight: Finite = 0.0
    fidelity_weight: Finite = 0.0
    pvb_weight: Finite = 0.0

    @property
    def cutting(self) -> Cutting:
        """How edges are cut, and where their corners are measured."""
        return replace(super().cutting, corner_probe_nm=self.corner_probe_nm)

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights in the order of :data:`TERMS`."""
        return self.epe_weight, self.violation_weight, self.fidelity_weight, self.pvb_weight


#: The scheme in full.
FEEDBACK = ModelBasedOptions()

#: OpenILT's simpleopc for clips: no line-end rule, no mask rules, the last step is written.
OPENILT = ModelBasedOptions(
    n_steps=8,
    corner_nm=16.0,
    segment_nm=32.0,
    pieces="ends",
    line_end_nm=0.0,
    corner_probe_nm=None,
    feedback="fixed",
    max_move_nm=24.0,
    min_width_nm=1.0,
    min_space_nm=1.0,
    jog_nm=0.0,
    keep="last",
)

#: The scheme in full, with squares that widen the process window.
ASSISTED = replace(FEEDBACK, assist=AssistSeeds(threshold=0.05))

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(FEEDBACK, n_steps=16, corner_nm=24.0, corner_probe_nm=40.0, damping=0.9, max_move_nm=60.0)

#: Prints lonely vias and contacts as it is.
CONTACT = TUNED

PRESETS = {"feedback": FEEDBACK, "openilt": OPENILT, "assisted": ASSISTED, "tuned": TUNED, "contact": CONTACT}


def solve(
    target: Tensor,
    sim: Simulator,
    options: ModelBasedOptions,
    *,
    initial: Tensor | None,
    stop: StopCondition | None,
    progress: bool,
) -> OpcResult:
    """Correct the edges of a batch of targets, where fragments start: there are no initial masks."""
    no_initial(initial, "model_based_opc")
    phases = Phases()
    edges = MovingEdges.of(target, sim, options, assist_weights=(1.0, 0.5))
    measure = _Measurement(edges.wanted, edges.fragments, edges.is_drawn, sim, options)
    phases("prepare")

    weights = np.asarray(options.weights)
    stops = [MaxSteps(options.n_steps), *([stop] if stop else [])]
    displacement = torch.zeros_like(edges.fragments.line_nm)
    best = displacement.clone()
    history, losses = [], []
    bar = tqdm(total=options.n_steps, desc="model_based_opc", unit="step", disable=not progress, leave=False)
    while True:
        step = len(history)
        terms, move = measure(displacement, step)
        history.append(terms)
        losses.append(terms @ weights)
        check_finite(step, losses)
        better = torch.as_tensor(losses[-1] <= np.min(losses, axis=0), device=target.device)
        best[better] = displacement[better]
        reason = next((r for condition in stops if (r := condition(step, losses))), None)
        if reason:
            break
        displacement = edges.legal(displacement + move, displacement)
        bar.update()
    bar.close()
    phases("optimise")

    kept = best if options.keep == "best" else displacement
    mask = edges.mask(kept)
    phases("finish")
    return collect(
        "model_based_opc",
        mask,
        [Descent(kept, np.stack(history), reason)],
        TERMS,
        options.weights,
        phases,
        polygons=outlines(mask, edges.pixel_nm),
    )


@dataclass(frozen=True)
class _Measurement:
    """Terms of :data:`TERMS`, and the move that the feedback asks for."""

    wanted: Tensor
    fragments: Fragments
    is_drawn: Tensor
    sim: Simulator
    options: ModelBasedOptions

    def __call__(self, displacement: Tensor, step: int) -> tuple[np.ndarray, Tensor]:
        o, f = self.options, self.fragments
        mask = f.raster(displacement, self.wanted.shape[-1], o.pixel_nm)
        aerial = self.sim.aerial(mask, corners=schema.CORNERS)
        nominal, outer, inner = aerial.unbind(1)
        nominal_resist, outer_resist, inner_resist = self.sim.resist_model.soft(aerial).unbind(1)
        if o.aim == "nominal":
            error = edge_errors_nm(nominal, f, o.pixel_nm, self.sim.threshold)
        else:
            error = sum(edge_errors_nm(image, f, o.pixel_nm, self.sim.threshold) for image in (outer, inner)) / 2
        error = error * self.is_drawn
        count = self.is_drawn.sum(-1).clamp_min(1)
        terms = (
            error.abs().sum(-1) / count,
            (error.abs() > LIMIT_NM).sum(-1).to(error.dtype),
            squared_difference(nominal_resist, self.wanted),
            squared_difference(inner_resist, outer_resist),
        )
        move = self._proportional(error, nominal, step) if o.feedback == "proportional" else self._fixed(nominal, step)
        return torch.stack(terms, dim=-1).cpu().double().numpy(), move * self.is_drawn

    def _proportional(self, error: Tensor, image: Tensor, step: int) -> Tensor:
        o, f = self.options, self.fragments
        # Where the image is flat a small change of dose moves the edge far: there the error is counted as if the image
        # had at least the slope of an edge that prints well, else fragments that share a flat place overshoot together.
        if o.min_slope:
            value, inner, outer = (
                sample(image, f.control_nm + side * o.pixel_nm * f.normal, o.pixel_nm) for side in (0, -1, 1)
            )
            slope = ((inner - outer) / (2 * o.pixel_nm * self.sim.threshold)).clamp_min(o.min_slope)
            limit = (value / self.sim.threshold - 1) / slope
            error = torch.where(limit.abs() < error.abs(), limit, error)
        gain = torch.where(f.is_corner, o.corner_gain, 1.0) * torch.where(f.is_line_end, o.line_end_gain, 1.0)
        return (-o.gain * o.damping**step * gain * error).clamp(-o.max_step_nm, o.max_step_nm)

    def _fixed(self, nominal: Tensor, step: int) -> Tensor:
        o, f = self.options, self.fragments
        inside, outside = (
            sample(nominal, f.control_nm + side * o.probe_nm * f.normal, o.pixel_nm) >= self.sim.threshold
            for side in (-1, 1)
        )
        direction = torch.where(~inside, 1.0, torch.where(outside, -1.0, 0.0))
        return o.fixed_step_nm * 0.5 ** (step // o.halve_every) * direction
