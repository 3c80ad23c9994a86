"""Mask rules of edges that move: which moves bring two edges too near, and moves near by that do not."""

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.opc.fragments import Fragments

# How often the excess of a pair is shared between its two moves before moves are taken back.
_ROUNDS = 4


class EdgeRules:
    """Smallest width and space of moved fragments.

    Parameters
    ----------
    fragments : whose moves are checked.
    min_width_nm : smallest distance through the mask of two edges that look away from each other.
    min_space_nm : smallest distance outside of it of two that face each other.
    max_move_nm : no displacement is larger; decides which pairs can ever meet.

    Notes
    -----
    Edges are the moved fragments and the jogs between them. Distances are Euclidean, so they hold across corners as
    well. Where the drawn distance is smaller than the rule, the drawn distance is the rule: the target itself is legal,
    and fragments shorter than the rules can make teeth and notches as narrow as themselves.
    """

    def __init__(self, fragments: Fragments, *, min_width_nm: float, min_space_nm: float, max_move_nm: float) -> None:
        f = self._fragments = fragments
        b, n = f.line_nm.shape
        first = n * torch.arange(b, device=f.line_nm.device)[:, None]
        self._before, self._after = (f.before + first).flatten(), (f.after + first).flatten()
        number = torch.arange(b * n, device=first.device).view(b, n)
        # Of each edge the one or two fragments that make it: (2, edge), fragments first, then the jogs at their ends.
        self._owners = torch.stack(
            [torch.cat([number, number], 1).flatten(), torch.cat([number, self._after.view(b, n)], 1).flatten()]
        )
        vertical = torch.cat([f.is_vertical, ~f.is_vertical], dim=1)
        line, _, low, high = self._edges(torch.zeros_like(f.line_nm))
        is_edge = torch.cat([f.is_real, f.is_real & ~f.corner_after], dim=1)
        gap = line[:, None, :] - line[:, :, None]
        aside = torch.maximum(low[:, None, :] - high[:, :, None], low[:, :, None] - high[:, None, :])
        reach = max(min_width_nm, min_space_nm) + 2 * max_move_nm
        near = (vertical[:, :, None] == vertical[:, None, :]) & (gap > 1e-3) & (gap < reach) & (aside < reach)
        b, i, j = (near & is_edge[:, :, None] & is_edge[:, None, :]).nonzero(as_tuple=True)
        drawn = _distance(gap[b, i, j], aside[b, i, j])
        # Pairs of flat indices, the first one lower.
        self._first, self._second = 2 * n * b + i, 2 * n * b + j
        self._width, self._space = drawn.clamp(max=min_width_nm), drawn.clamp(max=min_space_nm)
        self._is_jog = torch.cat([torch.zeros_like(number), torch.ones_like(number)], 1).flatten() > 0
        self._ends = [(f.corner_before.flatten(), self._before), (f.corner_after.flatten(), self._after)]

    def _edges(self, displacement_nm: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Line, outward sign (0 for none), low and high end of fragments and jogs after a move: (b, 2 f) each."""
        f = self._fragments
        line, start, end = f.moved(displacement_nm)
        rise = torch.where(f.corner_after, 0, line.gather(-1, f.after) - line)
        # As for fragments: an edge along y looks to the right of its direction, along x against it.
        jog_outward = torch.where(f.is_vertical, -rise, rise)
        jog_outward = torch.where(rise.abs() > 1e-3, jog_outward.sign(), 0)
        low = torch.cat([torch.minimum(start, end), torch.minimum(line, line + rise)], dim=1)
        high = torch.cat([torch.maximum(start, end), torch.maximum(line, line + rise)], dim=1)
        return torch.cat([line, f.end_nm], dim=1), torch.cat([f.outward, jog_outward], dim=1), low, high

    def excess_nm(self, displacement_nm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Pairs of edges that are too near after a move.

        Parameters
        ----------
        displacement_nm : (b, f).

        Returns
        -------
        first, second : (pair,) flat indices into (b, 2 f): fragments and the jogs at their ends.
        excess : (pair,) by how many nm; positive.
        """
        i, j = self._first, self._second
        line, outward, low, high = (t.flatten() for t in self._edges(displacement_nm))
        aside = torch.maximum(low[j] - high[i], low[i] - high[j])
        distance = _distance(line[j] - line[i], aside)
        is_space = (outward[i] > 0) & (outward[j] < 0)
        is_width = (outward[i] < 0) & (outward[j] > 0)
        limit = torch.where(is_space, self._space, torch.where(is_width, self._width, -torch.inf))
        excess = limit - distance
        bad = excess > 1e-3
        return i[bad], j[bad], excess[bad]

    def _turned(self, displacement_nm: Tensor) -> tuple[Tensor, Tensor]:
        """Fragments whose move turns a neighbour at a corner around, and by how much: flat indices and nm."""
        f = self._fragments
        _, start, end = f.moved(displacement_nm)
        lacking = -((end - start) * (f.end_nm - f.start_nm).sign()).flatten()
        pairs = [(other[at & (lacking > 1e-3)], lacking[at & (lacking > 1e-3)]) for at, other in self._ends]
        return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))

    def legal(self, displacement_nm: Tensor, before_nm: Tensor, *, grid_nm: float = 0.0) -> Tensor:
        """Displacements near to those wanted that keep the rules.

        Parameters
        ----------
        displacement_nm : (b, f) wanted.
        before_nm : (b, f) displacements that keep the rules; zeros do.
        grid_nm : shares are rounded up to this; 0 for none.

        Notes
        -----
        The two of a pair give way in proportion to how far each has come since ``before_nm``. What still breaks a rule
        after four rounds of that is put back, together with the two neighbours on either side, which set its ends and
        jogs, until nothing is left to put back.
        """
        shape = displacement_nm.shape
        before = before_nm.flatten()
        new = displacement_nm.flatten().clone()
        n_rounds = 0
        while True:
            i, j, excess = self.excess_nm(new.view(shape))
            turns, lacking = self._turned(new.view(shape))
            if not len(i) and not len(turns):
                return new.view(shape)
            n_rounds += 1
            moved = new - before
            back = torch.zeros_like(new)
            if n_rounds <= _ROUNDS:
                # Jogs stand where they are: only fragments can give way.
                owners = [self._owners[0, k] for k in (i, j)]
                moves = [torch.where(self._is_jog[k], 0, moved[o].abs()) for k, o in zip((i, j), owners, strict=True)]
                total = moves[0] + moves[1]
                shares = [(o, excess * m / total.clamp_min(1e-9)) for o, m in zip(owners, moves, strict=True)]
                for owner, share in [*shares, (turns, lacking)]:
                    if grid_nm:
                        share = (share / grid_nm).sub(1e-6).ceil() * grid_nm
                    back = back.scatter_reduce(0, owner, share, "amax")
                stuck = total == 0
            else:
                stuck = torch.ones_like(i, dtype=torch.bool)
            new = new - moved.sign() * torch.minimum(back, moved.abs())
            undo = torch.cat([self._owners[:, i[stuck]].flatten(), self._owners[:, j[stuck]].flatten()])
            if n_rounds > _ROUNDS:
                undo = torch.cat([undo, turns])
            previous, following = self._before[undo], self._after[undo]
            undo = torch.cat([undo, previous, following, self._before[previous], self._after[following]])
            new[undo] = before[undo]


def _distance(gap: Tensor, aside: Tensor) -> Tensor:
    """Distance of two parallel edges with this gap along the normal and this one along the edges (< 0: overlap)."""
    return torch.where(aside < 0, gap, torch.hypot(gap.clamp_min(0), aside.clamp_min(0)))


def without_small_jogs(fragments: Fragments, displacement_nm: Tensor, jog_nm: float) -> Tensor:
    """Displacements in which neighbours of one edge differ by nothing or by at least ``jog_nm``.

    Parameters
    ----------
    fragments, displacement_nm : the moved fragments.
    jog_nm : smallest jog.

    Returns
    -------
    (b, f). The smallest jog is closed first, by the mean of both sides weighted with their lengths.
    """
    out = displacement_nm.cpu().double().numpy().copy()
    edges, lengths = fragments.edge.cpu().numpy(), fragments.length_nm.cpu().numpy()
    for b, n in enumerate(fragments.n_fragments.tolist()):
        begins = np.flatnonzero(np.diff(edges[b, :n], prepend=-1))
        for lo, hi in zip(begins, np.append(begins[1:], n), strict=True):
            values, weights = out[b, lo:hi].tolist(), lengths[b, lo:hi].tolist()
            counts = [1] * len(values)
            while len(values) > 1:
                jogs = np.abs(np.diff(values))
                k = int(np.argmin(jogs))
                if jogs[k] >= jog_nm:
                    break
                total = weights[k] + weights[k + 1]
                values[k] = (values[k] * weights[k] + values[k + 1] * weights[k + 1]) / total
                weights[k] = total
                counts[k] += counts[k + 1]
                del values[k + 1], weights[k + 1], counts[k + 1]
            out[b, lo:hi] = np.repeat(values, counts)
    return torch.as_tensor(out, device=displacement_nm.device).to(displacement_nm.dtype)


def snap(displacement: Tensor, fragments: Fragments, rules: EdgeRules, *, jog_nm: float, grid_nm: float) -> Tensor:
    """Displacements without small jogs, on a grid, within the rules.

    Parameters
    ----------
    displacement : (b, f) in nm.
    fragments, rules : what they belong to.
    jog_nm : smaller jogs are closed.
    grid_nm : all displacements are multiples of it.
    """
    if jog_nm:
        displacement = without_small_jogs(fragments, displacement, jog_nm)
    on_grid = (displacement / grid_nm).round() * grid_nm
    return rules.legal(on_grid, torch.zeros_like(on_grid), grid_nm=grid_nm)
