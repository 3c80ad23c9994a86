"""Coherent systems in space, for pictures and for the radius over which they act."""

from __future__ import annotations

import numpy as np
import xarray as xr

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.optics.kernels import SocsKernels


def spatial_systems(
    kernels: SocsKernels, *, focus: int = 0, count: int = 8, extent_nm: float = 800.0, pixel_nm: float = 8.0
) -> xr.DataArray:
    """Impulse responses of the strongest coherent systems, around the origin.

    Parameters
    ----------
    kernels : any set.
    focus : index of the focus setting.
    count : how many systems.
    extent_nm : side of the window, at most the period.
    pixel_nm : distance of the points.

    Returns
    -------
    (kernel, y, x) real: each system turned by the global phase that makes its response as real as it can be, then its
    real part. ``energy_share`` along ``kernel`` is its part of the energy of the whole set.

    Raises
    ------
    GridMismatchError : the window is larger than the period.
    """
    if extent_nm > kernels.period_nm:
        raise GridMismatchError(
            f"a window of {extent_nm:g} nm is larger than the period of {kernels.period_nm:g} nm; choose a smaller one"
        )
    h = kernels.half_width
    at = np.arange(-(extent_nm / 2), extent_nm / 2 + pixel_nm / 2, pixel_nm)
    waves = np.exp(2j * np.pi * np.outer(at, np.arange(-h, h + 1)) / kernels.period_nm)
    fields = np.einsum("yf,kfg,xg->kyx", waves, kernels.spectra[focus, :count], waves, optimize=True)
    phase = np.angle(np.sum(fields**2, axis=(1, 2))) / 2
    energy = kernels.weights[focus] * np.sum(np.abs(kernels.spectra[focus]) ** 2, axis=(1, 2))
    return xr.DataArray(
        (fields * np.exp(-1j * phase)[:, None, None]).real,
        dims=("kernel", "y", "x"),
        coords={
            "y": ("y", at, {"long_name": "y", "units": "nm"}),
            "x": ("x", at, {"long_name": "x", "units": "nm"}),
            "energy_share": ("kernel", (energy / energy.sum())[:count]),
        },
        attrs={"long_name": "coherent system", "units": "1"},
    )
