"""The one form in which imaging optics reaches the rest of the study: a set of coherent systems."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from maskopt_lib.errors import KernelFileError


@dataclass(frozen=True, kw_only=True, repr=False)
class SocsKernels:
    """Coherent systems (SOCS) of one optical set-up at one or more focus settings.

    The aerial image of a mask ``m`` with Fourier coefficients ``M[fy, fx]`` (``M[0, 0]`` is the mean of ``m``) is::

        E_k(y, x) = sum_f  spectra[focus, k, fy, fx] M[fy, fx] exp(2 pi i (fy y + fx x) / period_nm)
        I(y, x)   = sum_k  weights[focus, k] |E_k(y, x)|^2

    Attributes
    ----------
    spectra : (focus, kernel, 2 h + 1, 2 h + 1) complex128, ``[..., fy, fx]``, zero frequency at ``[h, h]``,
        one bin is ``1 / period_nm``.
    weights : (focus, kernel) float64, non-negative, descending.
    focus_names : one name a focus setting; the first is best focus, the second the contest's defocus.
    defocus_nm : defocus of each setting in nm; ``nan`` where nobody has published it.
    period_nm : side of the periodic field in nm.
    name : what the set is called in records and tables.
    meta : where it comes from: array order, files and hashes, optical parameters, energy kept. Kernels of a process
        file carry its ``corners`` (name, focus index, dose on the amplitude) and ``resist`` to the simulator.
    """

    spectra: np.ndarray
    weights: np.ndarray
    focus_names: tuple[str, ...]
    defocus_nm: tuple[float, ...]
    period_nm: float
    name: str
    meta: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        s, w = self.spectra, self.weights
        if s.ndim != 4 or s.shape[-1] != s.shape[-2] or s.shape[-1] % 2 == 0:
            raise KernelFileError(f"spectra must be (focus, kernel, 2h+1, 2h+1), got {s.shape}")
        if w.shape != s.shape[:2]:
            raise KernelFileError(f"weights must be (focus, kernel) = {s.shape[:2]}, got {w.shape}")
        if not len(self.focus_names) == len(self.defocus_nm) == s.shape[0]:
            raise KernelFileError(
                f"{s.shape[0]} focus settings need as many names and defocus values, "
                f"got {self.focus_names} and {self.defocus_nm}"
            )
        if np.any(w < 0):
            raise KernelFileError(f"weights must not be negative, the smallest is {w.min():g}")

    def __repr__(self) -> str:
        known = [
            f"{self.meta[key]:g} {unit}" for key, unit in (("wavelength_nm", "nm"), ("na", "NA")) if key in self.meta
        ]
        lost = [f"{1 - kept:.2g}" for kept in self.meta.get("energy_kept", ())]
        parts = [
            f"{self.spectra.shape[1]} systems at {', '.join(self.focus_names)}",
            f"period {self.period_nm:g} nm",
            f"{2 * self.half_width + 1} frequencies",
            *([", ".join(known)] if known else []),
            *([f"energy left out {', '.join(lost)}"] if lost else []),
        ]
        return f"SocsKernels({self.name!r}: {'; '.join(parts)})"

    @property
    def half_width(self) -> int:
        """Highest frequency index ``h`` along an axis, in bins of ``1 / period_nm``."""
        return self.spectra.shape[-1] // 2

    @property
    def clear_field(self) -> np.ndarray:
        """(focus,) intensity of a mask that is clear everywhere."""
        h = self.half_width
        return np.einsum("fk,fk->f", self.weights, np.abs(self.spectra[:, :, h, h]) ** 2)


def kernels_digest(kernels: SocsKernels) -> str:
    """Hash of what a kernel set prints, at the corners and in the resist that it carries; its name does not count."""
    digest = hashlib.sha256(kernels.spectra.tobytes() + kernels.weights.tobytes())
    digest.update(repr(float(kernels.period_nm)).encode())
    if carried := [kernels.meta[key] for key in ("corners", "resist") if key in kernels.meta]:
        digest.update(repr(carried).encode())
    return digest.hexdigest()
