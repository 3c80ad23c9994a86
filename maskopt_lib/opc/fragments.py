"""Manhattan outlines as fragments of edges that move along their normals: cutting, moving, rastering.

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
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.layout.contours import mask_rings
from maskopt_lib.options import NotNegative, Options, Positive

Pieces = Literal["even", "ends"]


@dataclass(frozen=True, kw_only=True)
class Cutting(Options):
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

    corner_nm: NotNegative = 16.0
    segment_nm: Positive = 32.0
    pieces: Pieces = "even"
    line_end_nm: NotNegative = 0.0
    corner_probe_nm: NotNegative | None = None

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
        clips = [_cut_clip(clip, cutting, grid_nm) for clip in rings]
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


def outlines(masks: Tensor, pixel_nm: float) -> tuple[list[np.ndarray], ...]:
    """Rings along the pixel edges of (b, y, x) binary masks, in nm; see :func:`maskopt_lib.layout.mask_rings`."""
    return tuple(mask_rings(mask, pixel_nm, contours="pixel", database_nm=pixel_nm / 2) for mask in masks.cpu())


#: What padding holds.
_EMPTY = (
    dict.fromkeys(("is_real", "is_vertical", "corner_before", "corner_after", "is_corner", "is_line_end"), False)
    | dict.fromkeys(("line_nm", "outward", "start_nm", "end_nm", "control_nm"), 0.0)
    | {"before": 0, "after": 0, "edge": -1}
)


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
