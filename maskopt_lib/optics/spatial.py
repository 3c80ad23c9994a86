"""Coherent systems in space, for pictures and for the radius over which they act."""

import numpy as np
import xarray as xr

from maskopt_lib.optics.kernels import SocsKernels


def spatial_systems(kernels: SocsKernels, *, focus: int = 0, count: int = 8) -> xr.DataArray:
    """Impulse responses of the strongest coherent systems, around the origin.

    Parameters
    ----------
    kernels : any set.
    focus : index of the focus setting.
    count : how many systems.

    Returns
    -------
    (kernel, y, x) real, every 8 nm over 800 nm: each system turned by the global phase that makes its response as real
    as it can be, then its real part. ``energy_share`` along ``kernel`` is its part of the energy of the whole set.
    """
    h = kernels.half_width
    at = np.arange(-400.0, 401.0, 8.0)
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
