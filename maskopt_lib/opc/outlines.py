"""Outlines that move, and keep the distances and smallest areas of a deck on the way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc.distances import room, signed_distance
from maskopt_lib.opc.mask_rules import MaskRules, shapes
from maskopt_lib.opc.pixels import coarse, smooth

# Signed distances are of interest near the outline only, in nm.
_FAR_NM = 40.0
# Shapes up to this many times the smallest area may not shrink.
_NEAR_SMALLEST = 1.15


@dataclass(frozen=True)
class BoundedOutlines:
    """Signed distances of displaced outlines that keep the distances and smallest areas of a deck.

    Attributes
    ----------
    start : (b, y, x) signed distance of the projected mask in nm, positive inside.
    room : the same of where its shapes may be.
    core : the same of the shapes that must not shrink.
    smoothing_px : of the displacement.
    """

    start: Tensor
    room: Tensor
    core: Tensor
    smoothing_px: int

    @classmethod
    def of(
        cls, mask: Tensor, deck: MaskRules, sim: Simulator, *, pixel_nm: float, grid_nm: float, smoothing_px: int
    ) -> BoundedOutlines:
        """Of projected masks.

        Parameters
        ----------
        mask : (b, y, x) uint8 that keep the deck.
        deck : of which distance and area hold on the way.
        sim : where, and in which precision, it computes.
        pixel_nm, grid_nm : pixels of the masks, and of the grid on which outlines move, a whole multiple.
        smoothing_px : side of the box that averages the displacement, odd.
        """
        factor = round(grid_nm / pixel_nm)
        fields = []
        for clip in mask.cpu().numpy():
            labels, areas = shapes(clip)
            smallest = areas < _NEAR_SMALLEST * deck.msa_nm2 / pixel_nm**2
            smallest[0] = False
            core = np.full(clip.shape, -np.inf, np.float32)
            if smallest.any():
                core = signed_distance(smallest[labels].astype(np.uint8)) * pixel_nm
            # A pixel more on each side: the border between the cells is a pixel wide, and the grid's is coarse.
            free = (room(clip) - 0.5) * pixel_nm - (deck.msd_nm / 2 if deck.msd_nm else -np.inf)
            fields.append((signed_distance(clip) * pixel_nm, free, core))
        start, free, core = (
            coarse(torch.as_tensor(np.stack(f).clip(-_FAR_NM, _FAR_NM), device=sim.device), factor, sim.dtype)
            for f in zip(*fields, strict=True)
        )
        return cls(start, free, core, smoothing_px)

    def __call__(self, displacement: Tensor) -> Tensor:
        moved = self.start + smooth(displacement, self.smoothing_px)
        return torch.maximum(torch.minimum(moved, self.room), self.core)
