"""What methods that move a target's edges share: options, the edges they start from, the mask they end with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.assist import AssistSeeds, assist_seeds
from maskopt_lib.opc.edge_rules import EdgeRules, snap
from maskopt_lib.opc.fragments import Cutting, Fragments, Pieces, outlines
from maskopt_lib.opc.pixels import coarse, whole
from maskopt_lib.options import Count, NotNegative, Options, Positive


@dataclass(frozen=True, kw_only=True)
class MovingEdgesOptions(Options):
    """How edges are cut, and how far they may go.

    Attributes
    ----------
    pixel_nm : pixel of the simulation; polygons are rasterised on it by area. A whole multiple of the target's.
    n_steps : moves.
    corner_nm, segment_nm, pieces, line_end_nm : how edges are cut, see :class:`~maskopt_lib.opc.fragments.Cutting`.
    max_move_nm : largest displacement.
    min_width_nm, min_space_nm : mask rules; where the target itself is narrower, its own width or space is the rule.
    jog_nm : smaller jogs are closed in the end.
    grid_nm : displacements end on multiples of this; a whole multiple of the target's pixel.
    assist : squares that assist the target where an ILT objective asks for light; None for none.
    keep : ``"best"`` or ``"last"``.
    """

    pixel_nm: Positive = 4.0
    n_steps: Count
    corner_nm: NotNegative
    segment_nm: Positive
    pieces: Pieces = "even"
    line_end_nm: NotNegative = 0.0
    max_move_nm: Positive
    min_width_nm: NotNegative = 30.0
    min_space_nm: NotNegative = 30.0
    jog_nm: NotNegative = 2.0
    grid_nm: Positive = 1.0
    assist: AssistSeeds | None = None
    keep: Literal["best", "last"] = "best"

    @property
    def cutting(self) -> Cutting:
        """How edges are cut."""
        return Cutting(
            corner_nm=self.corner_nm, segment_nm=self.segment_nm, pieces=self.pieces, line_end_nm=self.line_end_nm
        )


@dataclass(frozen=True)
class MovingEdges:
    """The edges of a batch of targets, and of the squares that assist them, as fragments that move within rules.

    Attributes
    ----------
    wanted : (b, n, n) targets on the simulation's grid, 0 to 1.
    fragments : of all edges.
    is_drawn : (b, f) True for fragments of the target: those that are measured.
    rules : which moves are allowed.
    options : what is set.
    n, pixel_nm : the target's grid.
    """

    wanted: Tensor
    fragments: Fragments
    is_drawn: Tensor
    rules: EdgeRules
    options: MovingEdgesOptions
    n: int
    pixel_nm: float

    @classmethod
    def of(
        cls, target: Tensor, sim: Simulator, options: MovingEdgesOptions, *, assist_weights: tuple[float, float]
    ) -> MovingEdges:
        """Edges of a batch of targets, where they are drawn.

        Parameters
        ----------
        target : (b, y, x), 0 or 1.
        sim : the imaging model.
        options : what is set.
        assist_weights : as ``weights`` of :func:`~maskopt_lib.opc.assist.assist_seeds`.

        Raises
        ------
        GridMismatchError : a pixel or grid of the options is no whole number of the target's pixels.
        """
        pixel_nm = sim.grid(target).pixel_nm
        factor = whole(options.pixel_nm, pixel_nm, "pixel_nm")
        whole(options.grid_nm, pixel_nm, "grid_nm")
        wanted = coarse(target, factor, sim.dtype)
        rings = outlines(target, pixel_nm)
        # Edges are numbered in the order of the rings, and a ring has as many edges as points: squares come last.
        n_drawn = torch.tensor([sum(map(len, drawn)) for drawn in rings], device=target.device)
        if options.assist:
            places = assist_seeds(
                wanted, sim, options.assist, pixel_nm=options.pixel_nm, grid_nm=pixel_nm, weights=assist_weights
            )
            rings = [[*drawn, *squares] for drawn, squares in zip(rings, places, strict=True)]
        fragments = Fragments.of_rings(rings, options.cutting, grid_nm=pixel_nm, device=target.device, dtype=sim.dtype)
        rules = EdgeRules(
            fragments,
            min_width_nm=options.min_width_nm,
            min_space_nm=options.min_space_nm,
            max_move_nm=options.max_move_nm,
        )
        is_drawn = fragments.is_real & (fragments.edge < n_drawn[:, None])
        return cls(wanted, fragments, is_drawn, rules, options, target.shape[-1], pixel_nm)

    def legal(self, displacement_nm: Tensor, before_nm: Tensor) -> Tensor:
        """(b, f) displacements near to those wanted, none too large, that keep the rules as ``before_nm`` does."""
        most = self.options.max_move_nm
        return self.rules.legal(displacement_nm.clamp(-most, most), before_nm)

    def mask(self, displacement_nm: Tensor) -> Tensor:
        """(b, n, n) uint8 masks of moved edges, on the target's grid, without small jogs."""
        o = self.options
        snapped = snap(displacement_nm, self.fragments, self.rules, jog_nm=o.jog_nm, grid_nm=o.grid_nm)
        return (self.fragments.raster(snapped, self.n, self.pixel_nm) >= 0.5).to(torch.uint8)


def no_initial(initial: Tensor | None, method: str) -> None:
    """Raise ValueError where there are initial masks."""
    if initial is not None:
        raise ValueError(f"method {method!r} moves the edges of its target and takes no initial masks")
