"""Curvilinear multi-level ILT: multi-level ILT with a third level and a term that damps the print's curvature.

The term filters the nominal soft print ``Z`` with a 3 x 3 stencil (centre -1, edge neighbours 5/16, corners -1/16) and
adds up the squares. The stencil is known as an approximate mean curvature. On a grid it gives zero for every plane and
for the saddles ``x y`` and ``x^2 - y^2``, and 3/8 for ``x^2``: it is 3/16 of the Laplacian. So it weighs how bent the
contour is, but also how much the slope of a straight edge changes across it, which no mask removes.

Smoothing, sigmoid, windows and the other terms are those of :mod:`~maskopt_lib.opc.multilevel`, and so is what differs
from the source.

References
----------
CurvMulti in OpenILT (github.com/OpenOPC/OpenILT), constants and documented averages read there.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import multilevel
from maskopt_lib.opc.descent import Optimizer
from maskopt_lib.opc.multilevel import Level, MultilevelOptions, Objective, solve_levels
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.options import Finite

TERMS = (*multilevel.TERMS, "curvature")


@dataclass(frozen=True, kw_only=True)
class CurvMultiOptions(MultilevelOptions):
    """Everything that can be set; the defaults are OpenILT's.

    Attributes
    ----------
    levels, optimizer : as in :class:`~maskopt_lib.opc.multilevel.MultilevelOptions`, like all that is not named here.
    curvature_weight : weight of the print's squared curvature.
    """

    levels: Sequence[Level] = (
        Level(pixel_nm=8.0, n_steps=200, learning_rate=0.5),
        Level(pixel_nm=4.0, n_steps=100, learning_rate=0.5),
        Level(pixel_nm=2.0, n_steps=100, learning_rate=0.5),
    )
    optimizer: Optimizer = "sgd"
    curvature_weight: Finite = 200.0

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of the terms."""
        return (*super().weights, self.curvature_weight)


#: What OpenILT's program does.
OPENILT = CurvMultiOptions()

#: Winner of the search of notebook 10 (twelve settings, six StdMetal clips, lowest L2 + PV band).
TUNED = replace(
    OPENILT,
    levels=(Level(pixel_nm=8.0, n_steps=200, learning_rate=0.5), Level(pixel_nm=4.0, n_steps=60, learning_rate=0.5)),
    curvature_weight=20.0,
    nominal_weight=0.0,
    outer_weight=0.5,
    pvb_weight=1.0,
)

#: For lonely vias and contacts: little weight on the PV band, which is least where nothing prints, all fidelity at the
#: nominal print, and Adam, to which small gradients are as good as large ones.
CONTACT = replace(
    OPENILT,
    levels=(Level(pixel_nm=8.0, n_steps=200, smoothing_px=3, window_nm=None),),
    optimizer="adam",
    nominal_weight=1.0,
    outer_weight=0.0,
    pvb_weight=0.2,
    curvature_weight=0.2,
)

PRESETS = {"openilt": OPENILT, "tuned": TUNED, "contact": CONTACT}


def solve(target: Tensor, sim: Simulator, options: CurvMultiOptions, *, initial: Tensor | None, **loop) -> OpcResult:
    """Optimise masks level by level, prints with little curvature; as :func:`maskopt_lib.opc.multilevel.solve`."""
    return solve_levels("curv_multi", _Curved, TERMS, target, sim, options, initial, **loop)


class _Curved(Objective):
    """Terms of :data:`TERMS`."""

    def terms(self, intensity: Tensor) -> tuple[Tensor, ...]:
        return *super().terms(intensity), curvature_energy(self.prints.nominal(intensity))


def curvature_energy(image: Tensor) -> Tensor:
    """Sum of the squares of the stencil's response: (b, y, x) to (b,), pixels at the border left out."""
    return _CurvatureEnergy.apply(image)


def _stencil(image: Tensor) -> Tensor:
    """The response in all pixels but those at the border; a few shifted sums beat a convolution of one channel."""
    sides = image[..., :-2] + image[..., 2:]
    middle = image[..., 1:-1]
    outer_rows = torch.sub(5 / 16 * middle, sides, alpha=1 / 16)
    response = torch.sub(5 / 16 * sides, middle)[..., 1:-1, :]
    return response.add_(outer_rows[..., :-2, :]).add_(outer_rows[..., 2:, :])


class _CurvatureEnergy(torch.autograd.Function):
    """The stencil is symmetric: its adjoint is itself, on a response with zeros around."""

    @staticmethod
    def forward(ctx, image):
        response = _stencil(image)
        ctx.save_for_backward(response)
        return response.square().sum((-2, -1))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (response,) = ctx.saved_tensors
        return _stencil(F.pad(2 * gradient[:, None, None] * response, (2, 2, 2, 2)))
