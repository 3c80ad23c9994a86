"""Limited-memory quasi-Newton steps (L-BFGS) for a batch of clips, each with a history and a step length of its own.

A descent direction is ``-H g``, where ``H`` is the inverse Hessian that the last few steps ``s`` and the changes ``y``
of the gradient along them tell. Nocedal's two loops over these pairs need nothing but their inner products, and a
direction is a combination of the pairs and the gradient; so a step is two products of a matrix of vectors, for all
clips at once, and a recursion on a few numbers a clip.

The line search costs nothing but what it tries: every evaluation of the objective is a trial of each clip's own, and
those that go down enough (Armijo) begin their next direction while others shorten their step. A trial along a
quasi-Newton direction has length one; nearly all are taken.

References
----------
J. Nocedal, Math. Comp. 35 (1980), the two loops; W. Chen et al., NIPS 2014, on inner products alone.
"""

import numpy as np
import torch

#: Pairs that are remembered.
HISTORY = 8
# A trial is taken where the objective falls by this share of what the slope promises.
_ENOUGH = 1e-4
# A pair says nothing of a positive curvature below this cosine of the angle between its two vectors.
_CURVED = 1e-4
# No parameter moves farther in one trial than this many times the learning rate.
_FARTHEST = 10.0
# Trials along one direction before the history is forgotten.
_TRIALS = 6


class Lbfgs(torch.optim.Optimizer):
    """L-BFGS with one evaluation of the objective a step.

    Parameters
    ----------
    params : one tensor (b, ...).
    lr : largest change of a parameter in the first trial; no trial moves one farther than ten times this.
    n_pairs : steps that are remembered.

    Notes
    -----
    The objective must stay the same from step to step; start anew where it changes. A trial that is refused is left by
    the next step: of the last one, keep the best parameters, not the last.
    """

    def __init__(self, params, lr: float, n_pairs: int = HISTORY) -> None:
        super().__init__(params, {"lr": lr})
        (self._parameter,) = self.param_groups[0]["params"]
        b = len(self._parameter)
        self._basis = self._parameter.new_zeros(b, 2 * n_pairs + 1, self._parameter[0].numel())
        self._gram = np.zeros((b, 2 * n_pairs + 1, 2 * n_pairs + 1))
        self._order: list[list[int]] = [[] for _ in range(b)]  # slots of each clip's pairs, oldest first
        self._n_pairs = n_pairs
        # Of each clip: where its trials begin, their direction, length and slope, and how many it has refused.
        self._base, self._direction = (torch.zeros_like(self._parameter).flatten(1) for _ in range(2))
        self._loss, self._length, self._slope = np.full(b, np.inf), np.ones(b), np.zeros(b)
        self._refused = np.full(b, -1)

    @torch.no_grad()
    def step(self, losses: np.ndarray) -> None:
        """One trial of every clip.

        Parameters
        ----------
        losses : (b,) the objective where the parameters and their gradient are.
        """
        x, g = self._parameter.flatten(1), self._parameter.grad.flatten(1)
        basis, last = self._basis, 2 * self._n_pairs
        taken = losses <= self._loss + _ENOUGH * self._length * self._slope
        for i in np.flatnonzero(taken):
            if self._refused[i] >= 0:  # not the first evaluation: there is a step to learn from
                order = self._order[i]
                slot = len(order) if len(order) < self._n_pairs else order.pop(0)
                torch.sub(x[i], self._base[i], out=basis[i, slot])
                torch.sub(g[i], basis[i, last], out=basis[i, self._n_pairs + slot])
                order.append(slot)
            self._base[i], basis[i, last], self._loss[i] = x[i], g[i], losses[i]
        self._refused = np.where(taken, 0, self._refused + 1)
        if taken.any():
            self._measure(taken)
            self._turn(taken)
        for i in np.flatnonzero(~taken):
            over = losses[i] - self._loss[i] - self._length[i] * self._slope[i]
            best = -self._slope[i] * self._length[i] ** 2 / (2 * over) if np.isfinite(over) and over > 0 else 0.0
            self._length[i] = np.clip(best, 0.1 * self._length[i], 0.5 * self._length[i])
            if self._refused[i] >= _TRIALS and self._order[i]:
                self._order[i] = []
                self._turn(np.arange(len(x)) == i)
        length = torch.as_tensor(self._length, dtype=x.dtype, device=x.device)
        self._parameter.copy_(torch.addcmul(self._base, self._direction, length[:, None]).view_as(self._parameter))

    def _measure(self, taken: np.ndarray) -> None:
        """Inner products of the newest pair and gradient with all."""
        n, last = self._n_pairs, 2 * self._n_pairs
        newest = np.array([order[-1] if order else 0 for order in self._order])
        rows = torch.as_tensor(np.stack([newest, n + newest, np.full(len(newest), last)], axis=1))
        chosen = self._basis[torch.arange(len(newest))[:, None], rows]
        # In this order both matrices are read along their rows, which takes a third of the time.
        products = (chosen @ self._basis.mT).cpu().double().numpy()
        for i in np.flatnonzero(taken):
            for k, row in enumerate(rows[i].tolist()):
                self._gram[i, row] = self._gram[i, :, row] = products[i, k]

    def _turn(self, clips: np.ndarray) -> None:
        """New directions of some clips."""
        n, last = self._n_pairs, 2 * self._n_pairs
        weights = np.zeros(self._gram.shape[:2])
        for i in np.flatnonzero(clips):
            weights[i] = _two_loops(self._gram[i], self._order[i], n)
        shares = torch.as_tensor(weights, dtype=self._basis.dtype, device=self._basis.device)
        direction = (shares[:, None] @ self._basis)[:, 0]
        rate = self.param_groups[0]["lr"]
        farthest = direction.abs().amax(1).cpu().double().numpy()
        for i in np.flatnonzero(clips):
            limit = (_FARTHEST if self._order[i] else 1.0) * rate / max(farthest[i], 1e-30)
            self._direction[i] = direction[i]
            self._length[i] = min(1.0, limit) if self._order[i] else limit
            self._slope[i] = weights[i] @ self._gram[i, last]


def _two_loops(gram: np.ndarray, order: list[int], n: int) -> np.ndarray:
    """Of one clip: how much of each pair and of the gradient the direction ``-H g`` has.

    Parameters
    ----------
    gram : (2 n + 1, 2 n + 1) inner products of steps, changes and gradient.
    order : slots of the pairs, oldest first.
    n : slots there are.
    """
    weights = np.zeros(len(gram))
    weights[-1] = -1.0
    pairs = [(k, n + k) for k in order]
    pairs = [(s, y) for s, y in pairs if gram[s, y] > _CURVED * np.sqrt(gram[s, s] * gram[y, y])]
    shares = []
    for s, y in reversed(pairs):
        share = (weights @ gram[:, s]) / gram[s, y]
        weights[y] -= share
        shares.append(share)
    if pairs:
        s, y = pairs[-1]
        weights *= gram[s, y] / gram[y, y]
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        weights[s] += share - (weights @ gram[:, y]) / gram[s, y]
    return weights
