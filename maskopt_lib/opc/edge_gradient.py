"""Gradient moves of Manhattan edges, in the manner of DiffOPC.

Edges are cut into fragments as in model-based OPC, but the displacements follow the gradient of an ILT objective. The
raster of the moved polygons is the exact covered area of each pixel, so its derivative with respect to a displacement
is what geometry says it is: the gradient with respect to the mask, integrated along the edge. Nothing is passed
"straight through". What leaves is polygons with edges along x and y only.

Assist features can be seeded where the objective's gradient asks for light outside of the target; their edges then move
like all others.

Differs from its source: the raster (area coverage instead of ray casting), one grid instead of a pyramid of grids, mask
rules inside the loop, and the curvature term, which the source at hand does not define: here it is the squared
difference of neighbouring displacements of one edge over the fragments' length.

References
----------
G. Chen et al., "DiffOPC: differentiable edge-based optical proximity correction" (ICCAD 2024) and the released program,
whose constants are those of the preset ``diffopc``.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.assist import AssistSeeds, image_terms
from maskopt_lib.opc.descent import Optimizer, Phases, Schedule, Stepping, collect, descend
from maskopt_lib.opc.edges import sample
from maskopt_lib.opc.fragments import Fragments, outlines
from maskopt_lib.opc.moving_edges import MovingEdges, MovingEdgesOptions, no_initial
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Count, Finite, NotNegative, Positive

TERMS = ("fidelity", "corner_fidelity", "epe", "curvature", "pv_band")


@dataclass(frozen=True, kw_only=True)
class EdgeGradientOptions(MovingEdgesOptions, Stepping):
    """Everything that can be set; the defaults are those of the source where it has one.

    Attributes
    ----------
    pixel_nm, n_steps : as in :class:`~maskopt_lib.opc.moving_edges.MovingEdgesOptions`, like all that is not named
        here. Squares that assist move like all edges.
    optimizer, learning_rate, schedule : how displacements (in nm) move, see :class:`~maskopt_lib.opc.descent.Stepper`.
    fidelity_weight, corner_weight, epe_weight, curvature_weight, pvb_weight : weights of the terms: squared difference
        of the nominal resist image and the target in nm2, the same summed over the outer and the inner image, sum over
        the control points of ``sigmoid(epe_steepness d)`` with ``d`` the squared difference integrated over
        ``epe_reach_nm`` along the normal to both sides, in nm, sum of squared slopes between neighbours of one edge,
        and squared difference of the inner and the outer image in nm2.
    epe_steepness, epe_reach_nm : see there.
    """

    n_steps: Count = 70
    optimizer: Optimizer = "adam"
    learning_rate: Positive = 4.0
    schedule: Schedule = "constant"
    corner_nm: NotNegative = 0.0
    segment_nm: Positive = 60.0
    fidelity_weight: Finite = 1.0
    corner_weight: Finite = 0.5
    epe_weight: Finite = 100.0
    curvature_weight: Finite = 200.0
    pvb_weight: Finite = 0.0
    epe_steepness: Positive = 4.0
    epe_reach_nm: Positive = 15.0
    max_move_nm: Positive = 60.0

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights in the order of :data:`TERMS`."""
        return self.fidelity_weight, self.corner_weight, self.epe_weight, self.curvature_weight, self.pvb_weight


#: Constants of the released program.
DIFFOPC = EdgeGradientOptions(assist=AssistSeeds())

#: The same with assist features where the gradient asks for them less loudly: at the source's threshold few clips get
#: any. Chosen on StdMetal clips.
ASSISTED = replace(DIFFOPC, assist=AssistSeeds(threshold=0.05))

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(DIFFOPC, learning_rate=2.0, segment_nm=40.0, corner_weight=0.25, curvature_weight=20.0, pvb_weight=0.5)

#: Prints lonely vias and contacts as it is.
CONTACT = TUNED

PRESETS = {"diffopc": DIFFOPC, "assisted": ASSISTED, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: EdgeGradientOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Move the edges of a batch of targets along a gradient, from where they are drawn: there are no initial masks."""
    no_initial(initial, "edge_gradient")
    phases = Phases()
    edges = MovingEdges.of(target, sim, options, assist_weights=(options.fidelity_weight, options.corner_weight))
    legal = [torch.zeros_like(edges.fragments.line_nm)]

    def keep_rules(displacement: Tensor, step: int) -> Tensor:
        legal[0] = edges.legal(displacement, legal[0])
        return legal[0]

    phases("prepare")
    descent = descend(
        legal[0],
        _Objective(edges.wanted, edges.fragments, edges.is_drawn, sim, options),
        options.stepper,
        n_steps=options.n_steps,
        weights=options.weights,
        keep=options.keep,
        on_step=keep_rules,
        name="edge_gradient",
        **loop,
    )
    phases("optimise")
    mask = edges.mask(descent.parameter)
    polygons = outlines(mask, edges.pixel_nm)
    phases("finish")
    return collect("edge_gradient", mask, [descent], TERMS, options.weights, phases, polygons=polygons)


@dataclass(frozen=True)
class _Objective:
    """Terms of :data:`TERMS` for a batch of displacements."""

    wanted: Tensor
    fragments: Fragments
    is_probed: Tensor
    sim: Simulator
    options: EdgeGradientOptions

    def __call__(self, displacement: Tensor, step: int) -> tuple[Tensor, ...]:
        o, f = self.options, self.fragments
        mask = f.raster(displacement, self.wanted.shape[-1], o.pixel_nm)
        resist = self.sim.resist(mask, corners=schema.CORNERS)
        fidelity, corners, pv_band = image_terms(resist, self.wanted, o.pixel_nm)
        epe = self._epe(resist[:, 0]) if o.epe_weight else torch.zeros_like(fidelity)
        return fidelity, corners, epe, self._curvature(displacement), pv_band

    def _epe(self, nominal: Tensor) -> Tensor:
        o, f = self.options, self.fragments
        n = max(round(2 * o.epe_reach_nm / o.pixel_nm), 2)
        spacing = 2 * o.epe_reach_nm / n
        distance = spacing * (torch.arange(n, device=nominal.device, dtype=nominal.dtype) + 0.5) - o.epe_reach_nm
        points = f.control_nm[:, :, None] + distance[:, None] * f.normal[:, :, None]
        wanted = (distance < 0).to(nominal.dtype)
        off = (sample(nominal, points, o.pixel_nm) - wanted).square().sum(-1) * spacing
        return (torch.sigmoid(o.epe_steepness * off) * self.is_probed).sum(-1)

    def _curvature(self, displacement: Tensor) -> Tensor:
        f = self.fragments
        jog = displacement.gather(-1, f.after) - displacement
        run = (f.length_nm + f.length_nm.gather(-1, f.after)) / 2
        slope = torch.where(f.is_real & ~f.corner_after, jog / run.clamp_min(1.0), 0)
        return slope.square().sum(-1)
