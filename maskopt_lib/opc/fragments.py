"""Manhattan outlines as fragments of edges that move along their normals: cutting, moving, rastering, mask rules.

Every straight edge of a target is cut into fragments. A fragment has one number, its displacement along the outward
normal. Two fragments that meet at a corner share the point where their moved lines cross; two fragments of one edge
that moved differently are joined by a jog. So any displacements give a Manhattan outline again.

::

                 corner  |   uniform   |   uniform   | corner       displacement > 0: outwards
               +---------+-------------+-------------+---------+
    the line   |                                               |    x = control point
    coordinate |    x          x             x            x    |    jogs appear where displacements differ
    is y       |                                               |
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout import mask_rings

PIECES = ("even", "ends")


@dataclass(frozen=True, kw_only=True)
class Cutting:
    """How edges are cut.

    Attributes
    ----------
    corner_nm : length of the fragment at each end of an edge; an edge shorter than twice this is one fragment. 0 for
        no such fragments.
    segment_nm : length of the fragments in between.
    pieces : ``"even"`` divides what lies between the corner fragments into equal parts of nearly ``segment_nm``;
        ``"ends"`` lays parts of exactly ``segment_nm`` from both ends to the middle, a rest shorter than half of it
        joins its neighbour.
    line_end_nm : an edge up to this length between two convex corners is a line end and stays one fragment.
    corner_probe_nm : distance of the control point of corner fragments from the corner, but no farther than the
        middle of the edge; None takes their own middle.
    """

    corner_nm: float = 16.0
    segment_nm: float = 32.0
    pieces: str = "even"
    line_end_nm: float = 0.0
    corner_probe_nm: float | None = None

    def __post_init__(self) -> None:
        if not (self.corner_nm >= 0 and self.segment_nm > 0):
            raise ValueError(f"fragments need positive lengths, got {self.corner_nm!r} and {self.segment_nm!r} nm")
        if self.pieces not in PIECES:
            raise UnknownNameError(f"no way {self.pieces!r} to lay pieces; known: {', '.join(PIECES)}")

    def cuts(self, length_nm: float, *, is_line_end: bool = False, grid_nm: float = 1.0) -> np.ndarray:
        """Where an edge is cut: ascending distances from its start, both ends included.

        Parameters
        ----------
        length_nm : length of the edge.
        is_line_end : whether both its corners are convex.
        grid_nm : all cuts are on multiples of this.

        Examples
        --------
        >>> Cutting(corner_nm=16, segment_nm=32).cuts(100)
        array([  0.,  16.,  50.,  84., 100.])
        >>> Cutting(corner_nm=16, segment_nm=32).cuts(31)
        array([ 0., 31.])
        """
        inner = length_nm - 2 * self.corner_nm
        if inner < 0 or (is_line_end and length_nm <= self.line_end_nm):
            return np.array([0.0, length_nm])
        if self.pieces == "even":
            n = max(round(inner / self.segment_nm), 1)
            cuts = self.corner_nm + inner * np.arange(n + 1) / n
        else:
            n = int(inner // self.segment_nm)
            left, right = -(-n // 2), n // 2
            rest = inner - n * self.segment_nm
            up = self.corner_nm + self.segment_nm * np.arange(left + 1)
            down = length_nm - self.corner_nm - self.segment_nm * np.arange(right + 1)
            if n and 0 < rest < self.segment_nm / 2:
                up = up[:-1]  # the rest joins the last piece from the start
            cuts = np.concatenate([up, down[::-1]])
        cuts = np.concatenate([[0.0], np.round(cuts / grid_nm) * grid_nm, [length_nm]])
        return np.unique(cuts)


@dataclass(frozen=True, kw_only=True)
class Fragments:
    """The fragments of a batch of clips, padded to the longest: all arrays (b, f) unless said otherwise.

    Attributes
    ----------
    is_real : False for padding.
    is_vertical : the edge runs along y, its normal along x.
    line_nm : drawn coordinate along the normal.
    outward : +1 or -1, the outward normal's sign; 0 for padding.
    start_nm, end_nm : drawn coordinates along the edge, in the direction of the outline.
    before, after : index of the neighbours along the outline.
    corner_before, corner_after : whether the joint to that neighbour is a corner.
    edge : number of the edge within the clip.
    control_nm : (b, f, 2) control point (x, y) on the drawn edge.
    is_corner : the fragment touches a corner of an edge that has more than one fragment.
    is_line_end : the fragment is a whole line end.
    """

    is_real: Tensor
    is_vertical: Tensor
    line_nm: Tensor
    outward: Tensor
    start_nm: Tensor
    end_nm: Tensor
    before: Tensor
    after: Tensor
    corner_before: Tensor
    corner_after: Tensor
    edge: Tensor
    control_nm: Tensor
    is_corner: Tensor
    is_line_end: Tensor

    @classmethod
    def of_masks(
        cls, masks: Tensor, pixel_nm: float, cutting: Cutting, *, dtype: torch.dtype = torch.float32
    ) -> Fragments:
        """Fragments of binary masks.

        Parameters
        ----------
        masks : (b, y, x), 0 or 1.
        pixel_nm : side of a pixel in nm; cuts are on multiples of it.
        cutting : how edges are cut.
        dtype : of the coordinates.
        """
        return cls.of_rings(outlines(masks, pixel_nm), cutting, grid_nm=pixel_nm, device=masks.device, dtype=dtype)

    @classmethod
    def of_rings(
        cls,
        rings: Sequence[Sequence[np.ndarray]],
        cutting: Cutting,
        *,
        grid_nm: float = 1.0,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> Fragments:
        """Fragments of Manhattan rings, one list of (n, 2) rings in nm a clip; material counter-clockwise."""
        clips = [_cut_clip(these, cutting, grid_nm) for these in rings]
        longest = max(max((len(clip["line_nm"]) for clip in clips), default=0), 1)
        columns = {}
        for name, empty in _EMPTY.items():
            values = []
            for clip in clips:
                column = np.asarray(clip[name])
                padding = np.full((longest - len(column), *column.shape[1:]), empty)
                if name in ("before", "after"):
                    padding = np.arange(len(column), longest)
                values.append(np.concatenate([column, padding]).astype(np.asarray(empty).dtype))
            tensor = torch.as_tensor(np.stack(values), device=device)
            columns[name] = tensor.to(dtype) if tensor.is_floating_point() else tensor
        return cls(**columns)

    @property
    def n_fragments(self) -> Tensor:
        """(b,) fragments of each clip."""
        return self.is_real.sum(-1)

    @cached_property
    def length_nm(self) -> Tensor:
        """Drawn lengths."""
        return (self.end_nm - self.start_nm).abs()

    @cached_property
    def normal(self) -> Tensor:
        """(b, f, 2) outward normals (x, y)."""
        along_x = torch.where(self.is_vertical, self.outward, 0)
        return torch.stack([along_x, self.outward - along_x], dim=-1)

    def moved(self, displacement_nm: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Line, start and end coordinates after a move.

        Parameters
        ----------
        displacement_nm : (b, f) along the outward normals.

        Returns
        -------
        (b, f) each. At corners the ends follow the neighbours.
        """
        line = self.line_nm + self.outward * displacement_nm
        start = torch.where(self.corner_before, line.gather(-1, self.before), self.start_nm)
        end = torch.where(self.corner_after, line.gather(-1, self.after), self.end_nm)
        return line, start, end

    def raster(self, displacement_nm: Tensor, n: int, pixel_nm: float) -> Tensor:
        """Covered area of each pixel after a move, exact and differentiable.

        Parameters
        ----------
        displacement_nm : (b, f).
        n, pixel_nm : the grid.

        Returns
        -------
        (b, n, n) in [0, 1]; where moved outlines cross themselves or each other, their winding numbers add up.

        Notes
        -----
        An edge along y that runs down, with material on its right, covers part of its own pixel column and everything
        beyond; one that runs up takes it away again. The part of row and column that an edge covers factorises, so the
        raster is one matrix product of (n, edges) and (edges, n). Every fragment contributes one edge along y: itself,
        or the jog at its end.
        """
        line, start, end = self.moved(displacement_nm)
        x = torch.where(self.is_vertical, line, self.end_nm)
        from_y = torch.where(self.is_vertical, start, line)
        jog_to = torch.where(self.corner_after, line, line.gather(-1, self.after))
        to_y = torch.where(self.is_vertical, end, jog_to)
        pixels = torch.arange(n, device=line.device, dtype=line.dtype)
        rows = _unit_ramp(from_y[..., None] / pixel_nm - pixels) - _unit_ramp(to_y[..., None] / pixel_nm - pixels)
        columns = _unit_ramp(pixels + 1 - x[..., None] / pixel_nm)
        return rows.mT @ columns

    def rings(self, displacement_nm: Tensor) -> list[list[np.ndarray]]:
        """The moved outlines of each clip: lists of (n, 2) rings in nm, with the points where nothing turns."""
        line, start, end = (t.cpu().double().numpy() for t in self.moved(displacement_nm))
        vertical = self.is_vertical.cpu().numpy()
        first = np.stack([np.where(vertical, line, start), np.where(vertical, start, line)], axis=-1)
        last = np.stack([np.where(vertical, line, end), np.where(vertical, end, line)], axis=-1)
        after = self.after.cpu().numpy()
        clips = []
        for b, n in enumerate(self.n_fragments.tolist()):
            seen, rings = np.zeros(n, bool), []
            for begin in range(n):
                points, i = [], begin
                while not seen[i]:
                    seen[i] = True
                    points += [first[b, i], last[b, i]]
                    i = after[b, i]
                if points:
                    rings.append(np.array(points))
            clips.append(rings)
        return clips


def outlines(masks: Tensor, pixel_nm: float) -> tuple[list[np.ndarray], ...]:
    """Rings along the pixel edges of (b, y, x) binary masks, in nm; see :func:`maskopt_lib.layout.mask_rings`."""
    return tuple(mask_rings(mask, pixel_nm, contours="pixel", database_nm=pixel_nm / 2) for mask in masks.cpu())


#: What padding holds.
_EMPTY = {
    "is_real": False,
    "is_vertical": False,
    "line_nm": 0.0,
    "outward": 0.0,
    "start_nm": 0.0,
    "end_nm": 0.0,
    "before": 0,
    "after": 0,
    "corner_before": False,
    "corner_after": False,
    "edge": -1,
    "control_nm": 0.0,
    "is_corner": False,
    "is_line_end": False,
}


def _unit_ramp(u: Tensor) -> Tensor:
    """``u`` between 0 and 1. Unlike ``clamp``, whose gradient is one at both ends, it counts a kink once."""
    return torch.relu(u) - torch.relu(u - 1)


def _cut_clip(rings: Sequence[np.ndarray], cutting: Cutting, grid_nm: float) -> dict[str, np.ndarray]:
    """The columns of one clip's fragments."""
    rows: dict[str, list] = {name: [] for name in _EMPTY}
    n_edges = 0
    for ring in rings:
        first = len(rows["edge"])
        step = np.roll(ring, -1, axis=0) - ring
        # Left turns are convex corners of material, counter-clockwise, and of holes, clockwise, alike.
        incoming = np.roll(step, 1, axis=0)
        convex = incoming[:, 0] * step[:, 1] - incoming[:, 1] * step[:, 0] > 0
        for (x, y), (dx, dy), convex_start, convex_end in zip(ring, step, convex, np.roll(convex, -1), strict=True):
            vertical = dx == 0
            direction = np.sign(dy if vertical else dx)
            origin, line = (y, x) if vertical else (x, y)
            length = abs(dy if vertical else dx)
            line_end = bool(convex_start and convex_end and length <= cutting.line_end_nm)
            cuts = cutting.cuts(length, is_line_end=line_end, grid_nm=grid_nm)
            pieces = len(cuts) - 1
            middle = (cuts[:-1] + cuts[1:]) / 2
            if pieces > 1 and cutting.corner_probe_nm is not None:
                probe = min(cutting.corner_probe_nm, length / 2)
                middle[0], middle[-1] = probe, length - probe
            control = origin + direction * middle
            rows["is_real"] += [True] * pieces
            rows["is_vertical"] += [vertical] * pieces
            rows["line_nm"] += [line] * pieces
            # The inside is on the left: the outward normal is on the right of the direction.
            rows["outward"] += [direction if vertical else -direction] * pieces
            rows["start_nm"] += (origin + direction * cuts[:-1]).tolist()
            rows["end_nm"] += (origin + direction * cuts[1:]).tolist()
            at_start, at_end = np.arange(pieces) == 0, np.arange(pieces) == pieces - 1
            rows["corner_before"] += at_start.tolist()
            rows["corner_after"] += at_end.tolist()
            rows["edge"] += [n_edges] * pieces
            rows["control_nm"] += [(line, c) if vertical else (c, line) for c in control]
            rows["is_corner"] += ((at_start | at_end) & (pieces > 1)).tolist()
            rows["is_line_end"] += [line_end] * pieces
            n_edges += 1
        index = np.arange(first, len(rows["edge"]))
        rows["before"] += np.roll(index, 1).tolist()
        rows["after"] += np.roll(index, -1).tolist()
    columns = {name: np.array(values) for name, values in rows.items()}
    columns["control_nm"] = columns["control_nm"].reshape(-1, 2)
    return columns


def sample(images: Tensor, points_nm: Tensor, pixel_nm: float) -> Tensor:
    """Values of periodic images between their pixel centres, by cubic convolution.

    Parameters
    ----------
    images : (b, n, n).
    points_nm : (b, ..., 2) places (x, y) in nm.
    pixel_nm : side of a pixel in nm.

    Returns
    -------
    (b, ...); exact at pixel centres, third order in between.

    References
    ----------
    Keys, Cubic convolution interpolation for digital image processing, IEEE Trans. ASSP 29 (1981).
    """
    n = images.shape[-1]
    flat = images.flatten(1)
    place = points_nm.flatten(1, -2) / pixel_nm - 0.5
    corner = place.floor()
    wx, wy = (_keys_weights(t) for t in (place - corner).unbind(-1))
    j, i = corner.long().unbind(-1)
    value = torch.zeros_like(place[..., 0])
    columns = [(j + dj - 1) % n for dj in range(4)]
    for di in range(4):
        row = (i + di - 1) % n * n
        along = sum(w * flat.gather(1, row + column) for w, column in zip(wx, columns, strict=True))
        value = value + wy[di] * along
    return value.unflatten(1, points_nm.shape[1:-1])


def _keys_weights(t: Tensor) -> list[Tensor]:  # a = -1/2
    return [
        ((2 - t) * t - 1) * t / 2,
        ((3 * t - 5) * t * t + 2) / 2,
        ((4 - 3 * t) * t + 1) * t / 2,
        (t - 1) * t * t / 2,
    ]


def edge_errors_nm(
    images: Tensor, fragments: Fragments, pixel_nm: float, threshold: float, *, search_nm: float = 40.0
) -> Tensor:
    """Signed distance from each control point, along the normal, to where the image crosses a threshold.

    Parameters
    ----------
    images : (b, n, n) intensity.
    fragments : control points and normals.
    pixel_nm : side of a pixel of the images in nm.
    threshold : what prints is at or above it.
    search_nm : how far is searched.

    Returns
    -------
    (b, f) nm, positive where the printed edge lies outside of the drawn one; ``+search_nm`` or ``-search_nm`` where
    no edge is found; 0 for padding.

    Notes
    -----
    From the drawn edge the search walks outwards where it prints there, else inwards, to the first change. The crossing
    is bracketed on steps of 2 nm and refined by two steps of regula falsi.
    """
    step_nm = 2.0
    reach = int(np.ceil(search_nm / step_nm))

    def along(distance: Tensor) -> Tensor:
        points = fragments.control_nm[..., None, :] + distance[..., None] * fragments.normal[..., None, :]
        return sample(images, points, pixel_nm) - threshold

    at = step_nm * torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    value = along(at.expand(*fragments.line_nm.shape, -1))
    prints = value >= 0
    change = prints[..., :-1] & ~prints[..., 1:]  # between at[k] and at[k + 1]
    outwards = change[..., reach:].to(torch.int8)
    # Inwards from the drawn edge the nearest change comes first; it may be of either kind if nothing prints there.
    inwards = change[..., :reach].flip(-1).to(torch.int8)
    k = torch.where(prints[..., reach], reach + outwards.argmax(-1), reach - 1 - inwards.argmax(-1))
    found = torch.where(prints[..., reach], outwards.any(-1), inwards.any(-1))
    low, high = at[k], at[k] + step_nm
    f_low, f_high = (value.gather(-1, (k + i)[..., None])[..., 0] for i in (0, 1))
    for _ in range(2):
        error = low + (high - low) * (f_low / (f_low - f_high).clamp_min(1e-12)).clamp(0, 1)
        f = along(error[..., None])[..., 0]
        low, f_low = torch.where(f >= 0, error, low), torch.where(f >= 0, f, f_low)
        high, f_high = torch.where(f >= 0, high, error), torch.where(f >= 0, f_high, f)
    error = low + (high - low) * (f_low / (f_low - f_high).clamp_min(1e-12)).clamp(0, 1)
    lost = torch.where(prints[..., reach], search_nm, -search_nm)
    return torch.where(found, error, lost) * fragments.is_real


class MaskRules:
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
        own = torch.arange(b * n, device=first.device).view(b, n)
        # Of each edge the one or two fragments that make it: (2, edge), fragments first, then the jogs at their ends.
        self._owners = torch.stack(
            [torch.cat([own, own], 1).flatten(), torch.cat([own, self._after.view(b, n)], 1).flatten()]
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
        self._is_jog = torch.cat([torch.zeros_like(own), torch.ones_like(own)], 1).flatten() > 0
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
        found = [(other[at & (lacking > 1e-3)], lacking[at & (lacking > 1e-3)]) for at, other in self._ends]
        return tuple(torch.cat(parts) for parts in zip(*found, strict=True))

    def legal(self, displacement_nm: Tensor, before_nm: Tensor, *, grid_nm: float = 0.0, rounds: int = 4) -> Tensor:
        """Displacements near to those wanted that keep the rules.

        Parameters
        ----------
        displacement_nm : (b, f) wanted.
        before_nm : (b, f) displacements that keep the rules; zeros do.
        grid_nm : shares are rounded up to this; 0 for none.
        rounds : how often the excess of a pair is shared between its two moves before moves are taken back.

        Notes
        -----
        The two of a pair give way in proportion to how far each has come since ``before_nm``. What still breaks a rule
        after that is put back, together with the two neighbours on either side, which set its ends and jogs, until
        nothing is left to put back.
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
            if n_rounds <= rounds:
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
            if n_rounds > rounds:
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


def snap(displacement: Tensor, fragments: Fragments, rules: MaskRules, *, jog_nm: float, grid_nm: float) -> Tensor:
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
