"""The one form in which imaging optics reaches the rest of the study: a set of coherent systems, whole or cropped."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.errors import GridMismatchError, KernelFileError


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
        known = [f"{self.meta[k]:g} {unit}" for k, unit in (("wavelength_nm", "nm"), ("na", "NA")) if k in self.meta]
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


def spatial_systems(kernels: SocsKernels) -> xr.DataArray:
    """Impulse responses of the eight strongest coherent systems at best focus, around the origin.

    Parameters
    ----------
    kernels : any set.

    Returns
    -------
    (kernel, y, x) real, every 8 nm over 800 nm: each system turned by the global phase that makes its response as real
    as it can be, then its real part. ``energy_share`` along ``kernel`` is its part of the energy of the whole set.
    """
    h = kernels.half_width
    at = np.arange(-400.0, 401.0, 8.0)
    waves = np.exp(2j * np.pi * np.outer(at, np.arange(-h, h + 1)) / kernels.period_nm)
    fields = np.einsum("yf,kfg,xg->kyx", waves, kernels.spectra[0, :8], waves, optimize=True)
    phase = np.angle(np.sum(fields**2, axis=(1, 2))) / 2
    energy = kernels.weights[0] * np.sum(np.abs(kernels.spectra[0]) ** 2, axis=(1, 2))
    return xr.DataArray(
        (fields * np.exp(-1j * phase)[:, None, None]).real,
        dims=("kernel", "y", "x"),
        coords={
            "y": ("y", at, {"long_name": "y", "units": "nm"}),
            "x": ("x", at, {"long_name": "x", "units": "nm"}),
            "energy_share": ("kernel", (energy / energy.sum())[:8]),
        },
        attrs={"long_name": "coherent system", "units": "1"},
    )


def cropped(kernels: SocsKernels, period_nm: float) -> SocsKernels:
    """Coherent systems whose point spread ends at the border of a smaller field.

    Parameters
    ----------
    kernels : systems of any set.
    period_nm : side of the new field in nm, at most that of ``kernels``.

    Returns
    -------
    Systems of as many kernels; the band has about ``period_nm / kernels.period_nm`` as many frequencies along an axis,
    and imaging costs the square of that share.

    Raises
    ------
    GridMismatchError : the field is larger than that of the kernels, or not positive.

    Notes
    -----
    In space a system is a point spread around 0 that repeats with the field. What of it lies within half of the new
    field is kept, the rest is dropped, and the result is expanded in the frequencies of the new field::

        S'[j] = sum_k  q sinc(q k - j) S[k]      along each axis,  q = period_nm / kernels.period_nm

    That is no approximation of the optics but of their far tail: two places that are more than half a field apart do
    not see each other. For tiles of real metal 1, 768 nm wide, in a field of 1280 nm, intensities in the middle 512 nm
    change by 0.0003 at most, 0.1 % of the threshold; in one of 1024 nm, where the tile sees its own repetition, by
    0.018. The crop smears the band's edge; what it smears beyond the next frequency is dropped.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> small = cropped(optics.load("embedded"), 1280)
    >>> small.period_nm, small.half_width
    (1280.0, 12)
    """
    share = period_nm / kernels.period_nm
    if not 0 < share <= 1:
        raise GridMismatchError(
            f"a field of {period_nm:g} nm cannot be cropped from the {kernels.period_nm:g} nm of {kernels.name!r}"
        )
    if share == 1:
        return kernels
    old = np.arange(-kernels.half_width, kernels.half_width + 1)
    half_width = int(np.ceil(kernels.half_width * share)) + 1
    new = np.arange(-half_width, half_width + 1)
    along = share * np.sinc(old * share - new[:, None])
    return replace(
        kernels,
        spectra=np.einsum("ja,fkab,ib->fkji", along, kernels.spectra, along, optimize=True),
        period_nm=float(period_nm),
        name=f"{kernels.name} in {period_nm:g} nm",
        meta={**kernels.meta, "cropped_from_nm": kernels.period_nm},
    )
