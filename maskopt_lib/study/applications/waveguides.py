"""First-order estimates of photonic devices: effective index against width, coupling against gap, a grating's coupling.

The effective index method: a slab as thick as the silicon gives an index, and a slab as wide as the waveguide, of that
index, that of the mode. The light's electric field lies in the plane (quasi-TE), so the first slab is solved for TE and
the second for TM; two guides beside each other make an even and an odd mode, which beat over the coupling length.

Against a full-vector solver (:data:`FULL_VECTOR`) of a strip of 220 nm: the index is 1.7 to 3.7 % too high, a change of
it with the width a fifth too small, coupling itself a third too high, but the rate at which it falls with the gap only
5 % too small. So what is taken from it here are ratios of couplings, and changes of the index as a lower bound. No
loss, no dispersion of the materials, no bends.

References
----------
R. M. Knox, P. P. Toulios, Integrated circuits for the millimeter through optical frequency range, Proc. Symp.
Submillimeter Waves 20, 497 (1970); K. Okamoto, Fundamentals of optical waveguides, 2nd ed. (2006), chapters 2 and 4.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from maskopt_lib.options import Positive, check

#: What ElectroMagneticPython 2.2.3 gives of a strip 220 nm thick (``VFDModeSolver``, grid of 10 nm, of couplings
#: 20 nm): width in nm -> effective index, and gap in nm between two of 440 nm -> coupling in rad per um.
FULL_VECTOR = {
    "index": {400: 2.2354, 440: 2.3369, 460: 2.3788, 500: 2.4489},
    "coupling": {160: 0.1034, 200: 0.0736, 240: 0.0528, 280: 0.0380},
}


@dataclass(frozen=True, kw_only=True)
class Waveguide:
    """A strip of silicon in glass, at one vacuum wavelength.

    Attributes
    ----------
    thickness_nm : of the silicon.
    wavelength_nm : of the guided light.
    core, cladding : refractive indices; those of silicon and fused silica at 1550 nm.

    Examples
    --------
    >>> guide = Waveguide()
    >>> round(guide.slab_index, 2), guide.effective_index(np.array([400.0, 500.0])).round(2).tolist()
    (2.85, [2.32, 2.49])
    """

    thickness_nm: float = 220.0
    wavelength_nm: float = 1550.0
    core: float = 3.476
    cladding: float = 1.444

    def __post_init__(self) -> None:
        check(Positive, thickness_nm=self.thickness_nm, wavelength_nm=self.wavelength_nm)
        if not self.core > self.cladding >= 1:
            raise ValueError(f"a core of index {self.core:g} does not guide in a cladding of {self.cladding:g}")

    @property
    def slab_index(self) -> float:
        """Effective index of the slab as thick as the silicon, TE."""
        return self._solved(self.core, self.thickness_nm, lambda kappa, gamma: 2 * np.arctan(gamma / kappa))

    def effective_index(self, width_nm: np.ndarray) -> np.ndarray:
        """Effective index of the first mode for each width; nan for a width that is nan."""
        index, ratio = self.slab_index, self._ratio

        def turn(kappa: float, gamma: float) -> float:
            return 2 * np.arctan(ratio * gamma / kappa)

        return _of_each(width_nm, lambda width: self._solved(index, width, turn))

    def coupling_per_um(self, gap_nm: np.ndarray, width_nm: float) -> np.ndarray:
        """Coupling of two equal guides in rad per um: ``pi (n_even - n_odd) / wavelength``; power moves as its sine.

        Parameters
        ----------
        gap_nm : between the guides; nan gives nan, and so does a gap so small that there is no odd mode.
        width_nm : of each guide.
        """

        def split(gap: float) -> float:
            even, odd = (self._supermode(width_nm, gap, how) for how in (np.tanh, lambda x: 1 / np.tanh(x)))
            return 1e3 * np.pi * (even - odd) / self.wavelength_nm

        return _of_each(gap_nm, split)

    def decay_per_nm(self, width_nm: float) -> float:
        """How fast coupling falls with the gap, ``exp(-decay gap)``: of the field beside a guide, to first order."""
        index = float(self.effective_index(np.array([width_nm]))[0])
        return 2 * np.pi / self.wavelength_nm * np.sqrt(index**2 - self.cladding**2)

    def grating_coupling_per_um(self, wide_nm: np.ndarray, narrow_nm: np.ndarray) -> np.ndarray:
        """Coupling of a corrugated guide's two directions in 1/um: ``2 (n_wide - n_narrow) / (2 n period)``.

        For steps of the index halfway along the period, at the wavelength that the grating reflects. Teeth that print
        as a sine of the same height have pi/4 of it.

        References
        ----------
        L. A. Coldren, S. W. Corzine, M. L. Mashanovitch, Diode lasers and photonic integrated circuits (2012), ch. 3.
        """
        return 2e3 * (self.effective_index(wide_nm) - self.effective_index(narrow_nm)) / self.wavelength_nm

    @property
    def _ratio(self) -> float:
        return (self.slab_index / self.cladding) ** 2

    def _supermode(self, width_nm: float, gap_nm: float, between: Callable[[float], float]) -> float:
        ratio = self._ratio

        def turn(kappa: float, gamma: float) -> float:
            outside, inside = ratio * gamma / kappa, ratio * gamma * between(gamma * gap_nm / 2) / kappa
            return np.arctan(outside) + np.arctan(inside)

        return self._solved(self.slab_index, width_nm, turn)

    def _solved(self, core: float, size_nm: float, turn: Callable[[float, float], float]) -> float:
        """The index at which the phase across a slab, less that of its two reflections, is that of the first mode."""
        k = 2 * np.pi / self.wavelength_nm

        def missing(index: float) -> float:
            kappa, gamma = k * np.sqrt(core**2 - index**2), k * np.sqrt(index**2 - self.cladding**2)
            return kappa * size_nm - turn(kappa, gamma)

        edge = 1e-12 * (core - self.cladding)
        low, high = self.cladding + edge, core - edge
        return np.nan if missing(low) < 0 else float(brentq(missing, low, high, xtol=1e-13))


def _of_each(values: np.ndarray, function: Callable[[float], float]) -> np.ndarray:
    flat = np.asarray(values, float)
    return np.array([function(v) if v > 0 else np.nan for v in flat.ravel().tolist()]).reshape(flat.shape)
