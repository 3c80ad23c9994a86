"""Process corners and the resist: what is varied around the exposure, and what the resist makes of the light."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.optics.kernels import SocsKernels
from maskopt_lib.options import NotNegative, Options, Positive, Whole

#: Light and aperture of the contest, as :func:`maskopt_lib.optics.identify` finds them: its kernels do not say them.
CONTEST_WAVELENGTH_NM, CONTEST_NA = 193.0, 0.8
#: What rule decks, and lengths in the options of solvers, are made for.
CONTEST_UNIT_NM = CONTEST_WAVELENGTH_NM / CONTEST_NA


@dataclass(frozen=True, kw_only=True)
class ProcessCorner(Options):
    """One named condition of the exposure.

    Attributes
    ----------
    name : ``nominal``, ``outer`` or ``inner`` in the contest's terms, or a name of your own.
    focus : index of the focus setting in the kernel set; 0 is best focus.
    dose : relative dose on the mask's *amplitude*, 1 = nominal; the intensity follows its square.
    """

    name: str
    focus: Whole
    dose: Positive

    @property
    def intensity_factor(self) -> float:
        """What the intensity of the focus setting is multiplied with."""
        return self.dose**2


#: The three corners of the ICCAD 2013 contest as OpenILT, LithoBench and curvyILT simulate them.
CONTEST_CORNERS = (
    ProcessCorner(name=schema.NOMINAL, focus=0, dose=1.0),
    ProcessCorner(name=schema.OUTER, focus=0, dose=1.02),
    ProcessCorner(name=schema.INNER, focus=1, dose=0.98),
)


def corners_of(kernels: SocsKernels) -> tuple[ProcessCorner, ...]:
    """The corners that kernels of a process file carry; the contest's for others."""
    found = kernels.meta.get("corners")
    if found is None:
        return CONTEST_CORNERS
    return tuple(ProcessCorner(name=name, focus=focus, dose=dose) for name, focus, dose in found)


@dataclass(frozen=True, kw_only=True)
class ThresholdResist(Options):
    """Constant-threshold resist, hard or soft.

    Attributes
    ----------
    threshold : intensity, relative to an open frame, from which resist prints; the contest's 0.225.
    steepness : slope of the soft resist's sigmoid, per unit of intensity; the contest's 50.
    diffusion_nm : standard deviation of the normal density that blurs the aerial image in the resist; 0 in the contest.
    """

    threshold: Positive = 0.225
    steepness: Positive = 50.0
    diffusion_nm: NotNegative = 0.0

    @classmethod
    def of(cls, kernels: SocsKernels) -> ThresholdResist:
        """The resist that kernels of a process file carry; the contest's for others."""
        return cls(**kernels.meta.get("resist", {}))

    def soft(self, aerial: Tensor) -> Tensor:
        """Differentiable resist image in (0, 1): ``sigmoid(steepness (aerial - threshold))``."""
        return torch.sigmoid(self.steepness * (aerial - self.threshold))

    def hard(self, aerial: Tensor) -> Tensor:
        """Printed or not, boolean: the soft image at or above one half."""
        return aerial >= self.threshold
