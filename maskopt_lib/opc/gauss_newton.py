"""Levenberg-Marquardt steps of Gauss-Newton's curvature for a batch of clips, without a matrix.

An objective ``sum f(y)`` of outputs ``y(x)``, such as how far prints are from their target at each pixel, has the
gradient ``J^T f'(y)`` with the Jacobian ``J`` of the outputs. Gauss and Newton take ``A = J^T W J`` for its curvature,
which is never negative: ``W`` is ``f''`` where ``f`` is a square, and ``f'(y) / y`` for others, the weights of
iteratively reweighted least squares. Levenberg and Marquardt add a damping, in units of the curvature along the
gradient, that falls while the model says what the objective does, and rises where it does not::

    (A + damping) s = -gradient

Conjugate gradients solve this to a few products with ``A``. Of the Jacobian nothing is stored: ``J v`` is carried along
with the outputs (forward differentiation), ``J^T u`` is a gradient; both are the small matrix products of imaging. A
product takes some 1.5 times what the objective and its gradient do.

References
----------
D. Marquardt, J. Soc. Indust. Appl. Math. 11 (1963); J. Martens, ICML 2010, on products by differentiation.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
import torch.autograd.forward_ad as forward
from torch import Tensor

#: Products with the curvature a step.
PRODUCTS = 6
# Damping at the start, and the bounds within which it moves.
_DAMPING, _LEAST, _MOST = 0.1, 1e-6, 1e6
# A model that promises less than this share of what is gained is trusted less, above the second more.
_POOR, _GOOD = 0.25, 0.75
# No parameter moves farther in one step than this many times the learning rate.
_FARTHEST = 10.0

#: Parameters (b, ...) to outputs and their curvatures, (b, m) each; the curvatures are taken as given.
Outputs = Callable[[Tensor], tuple[Tensor, Tensor]]


class GaussNewton(torch.optim.Optimizer):
    """Damped Gauss-Newton steps with one evaluation of the objective and some products with its curvature each.

    Parameters
    ----------
    params : one tensor (b, ...).
    lr : a tenth of the largest change of a parameter in one step.
    n_products : with the curvature a step.

    Notes
    -----
    The objective must stay the same from step to step; start anew where it changes. A step that is refused is left by
    the next: of the last one, keep the best parameters, not the last.
    """

    def __init__(self, params, lr: float, n_products: int = PRODUCTS) -> None:
        super().__init__(params, {"lr": lr})
        (self._parameter,) = self.param_groups[0]["params"]
        self.n_products = n_products
        b = len(self._parameter)
        self._base, self._gradient = (torch.zeros_like(self._parameter) for _ in range(2))
        self._loss, self._promised, self._damping = np.full(b, np.inf), np.ones(b), np.full(b, _DAMPING)

    def step(self, losses: np.ndarray, outputs: Outputs) -> None:
        """One step of every clip.

        Parameters
        ----------
        losses : (b,) the objective where the parameters and their gradient are.
        outputs : see :data:`Outputs`.
        """
        first = np.isinf(self._loss)
        gained = np.where(first, 1.0, (np.where(first, 0.0, self._loss) - losses) / self._promised)
        taken = first | (gained > 0)
        self._damping *= np.where(first, 1.0, np.where(gained > _GOOD, 1 / 3, np.where(gained < _POOR, 3.0, 1.0)))
        self._damping = self._damping.clip(_LEAST, _MOST)
        chosen = torch.as_tensor(taken)
        self._base[chosen] = self._parameter.detach()[chosen]
        self._gradient[chosen] = self._parameter.grad[chosen]
        self._loss = np.where(taken, losses, self._loss)
        step, promised = self._solved(outputs)
        farthest = step.flatten(1).abs().amax(1).clamp_min(1e-30)
        scale = (_FARTHEST * self.param_groups[0]["lr"] / farthest).clamp_max(1.0)
        self._promised = np.maximum((promised * scale).cpu().double().numpy(), 1e-300)
        with torch.no_grad():
            self._parameter.copy_(self._base + step * _each(scale, step))

    def _solved(self, outputs: Outputs) -> tuple[Tensor, Tensor]:
        """The step (b, ...) and (b,) what the model promises to gain by it, by conjugate gradients."""
        residual = -self._gradient
        step, direction = torch.zeros_like(residual), residual.clone()
        size = _inner(residual, residual)
        damping = None
        for _ in range(self.n_products):
            product = curvature_product(outputs, self._base, direction)
            if damping is None:  # relative to the curvature along the gradient
                along = _inner(direction, product) / size.clamp_min(1e-30)
                damping = torch.as_tensor(self._damping, dtype=size.dtype, device=size.device) * along
            product = product + _each(damping, direction) * direction
            length = size / _inner(direction, product).clamp_min(1e-30)
            step = step + _each(length, direction) * direction
            residual = residual - _each(length, direction) * product
            last, size = size, _inner(residual, residual)
            direction = residual + _each(size / last.clamp_min(1e-30), direction) * direction
        # Of the damped model g s + s (A + d) s / 2, where (A + d) s = -g - residual.
        return step, -(_inner(self._gradient, step) - _inner(residual, step)) / 2


def curvature_product(outputs: Outputs, at: Tensor, direction: Tensor) -> Tensor:
    """``J^T W J v`` of a batch.

    Parameters
    ----------
    outputs : see :data:`Outputs`.
    at, direction : (b, ...) parameters and ``v``.
    """
    at = at.detach().requires_grad_()
    with forward.dual_level():
        # Torch's own rules for what it differentiates this way are scripts, which it deprecates.
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            dual = forward.make_dual(at, direction)
        values, curvatures = outputs(dual)
        values, moved = forward.unpack_dual(values)
        weighted = (curvatures * moved).detach()
    (product,) = torch.autograd.grad(values, at, weighted)
    return product


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).flatten(1).sum(1)


def _each(scale: Tensor, like: Tensor) -> Tensor:
    return scale.view(-1, *(1,) * (like.dim() - 1))
