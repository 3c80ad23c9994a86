"""The last step of curvilinear solvers: from what the optimiser left to a binary mask that can be made."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from maskopt_lib.opc import morphology
from maskopt_lib.opc.pixels import whole
from maskopt_lib.options import NotNegative, Options


@dataclass(frozen=True, kw_only=True)
class CleanUp(Options):
    """Rounding, opening and closing of the final mask, and removal of what is too small.

    The defaults are those of CurvyILT's released program; ``None`` or 0 leaves a step out.

    Attributes
    ----------
    open_nm, close_nm : diameters of the round elements in nm, an odd number of target pixels each.
    round_corners : ``opening + closing - mask`` before the opening and the closing; needs both diameters.
    min_area_nm2 : shapes with less area are removed.
    min_hole_nm2 : holes with less area are filled.
    """

    open_nm: NotNegative | None = 25.0
    close_nm: NotNegative | None = 9.0
    round_corners: bool = True
    min_area_nm2: NotNegative = 0.0
    min_hole_nm2: NotNegative = 0.0

    def __call__(self, mask: Tensor, pixel_nm: float) -> Tensor:
        """The cleaned masks.

        Parameters
        ----------
        mask : (b, y, x) uint8, 0 or 1.
        pixel_nm : side of a pixel in nm.

        Raises
        ------
        GridMismatchError : an element is no whole number of pixels.
        """
        open_px = whole(self.open_nm, pixel_nm, "cleanup.open_nm") if self.open_nm else None
        close_px = whole(self.close_nm, pixel_nm, "cleanup.close_nm") if self.close_nm else None
        if self.round_corners and open_px and close_px:
            mask = morphology.round_corners_binary(mask, open_px, close_px)
        if open_px:
            mask = morphology.open_binary(mask, open_px)
        if close_px:
            mask = morphology.close_binary(mask, close_px)
        if self.min_hole_nm2:
            mask = 1 - without_small(1 - mask, self.min_hole_nm2 / pixel_nm**2)
        if self.min_area_nm2:
            mask = without_small(mask, self.min_area_nm2 / pixel_nm**2)
        return mask


def without_small(mask: Tensor, min_area_px: float) -> Tensor:
    """Masks without the 4-connected shapes of less than ``min_area_px`` pixels: (b, y, x) uint8."""
    kept = []
    for image in mask.cpu().numpy():
        shapes, _ = ndimage.label(image)
        is_large = np.bincount(shapes.ravel()) >= min_area_px
        is_large[0] = False
        kept.append(is_large[shapes])
    return torch.as_tensor(np.stack(kept), device=mask.device).to(mask.dtype)
