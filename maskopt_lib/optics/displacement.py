"""The one-bin displacement that reading the contest's kernel files early makes, undone and applied.

Public programs start reading the files four bytes early (see :mod:`maskopt_lib.optics.files`). Up to a factor ``i`` and
a conjugation, which no image shows, the set in circulation has its real parts one frequency bin off its imaginary
parts (along ``fy`` in OpenILT's order)::

    stored[k, fy, fx] = Re true[k, fy - 1, fx] + i Im true[k, fy, fx]

Moved back, the kernels become orthogonal and symmetric as the optics is; the missing symmetry of the set in
circulation is the displacement. Its effect depends on the global phase that each kernel happens to have, which is
free in optics. So a computed set that is to stand in for the circulating one must be displaced as well, with those
phases.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy import linalg

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.optics.kernels import SocsKernels


def realign(kernels: SocsKernels) -> SocsKernels:
    """The kernels with their real parts moved back onto their imaginary parts.

    Parameters
    ----------
    kernels : a genuine set; its ``meta["order"]`` says along which axis (``"file"`` along fx, else along fy).

    Returns
    -------
    A new set, its name with ``-realigned`` added.
    """
    axis = -1 if kernels.meta.get("order") == "file" else -2
    return replace(
        kernels,
        spectra=_moved(kernels.spectra.real, -1, axis) + 1j * kernels.spectra.imag,
        name=f"{kernels.name}-realigned",
        meta={**kernels.meta, "real_part_moved_bins": -1},
    )


def displace(kernels: SocsKernels, phases_rad: Sequence[float]) -> SocsKernels:
    """The kernels with their real parts moved along fy, as the contest files have them.

    Parameters
    ----------
    kernels : a set without the displacement.
    phases_rad : one angle a focus setting: the global phase each kernel is given first, counted from where it is as
        real as can be (the sum of its squared values is real and positive).

    Returns
    -------
    A new set; the imaginary parts stay.
    """
    if len(phases_rad) != len(kernels.focus_names):
        raise GridMismatchError(f"{len(kernels.focus_names)} focus settings need as many phases, got {phases_rad}")
    pairs = zip(kernels.spectra, kernels.weights, strict=True)
    real = np.array([_made_real(spectra, weights) for spectra, weights in pairs])
    turned = real * np.exp(1j * np.asarray(phases_rad))[:, None, None, None]
    return replace(
        kernels,
        spectra=_moved(turned.real, 1, -2) + 1j * turned.imag,
        meta={**kernels.meta, "real_part_moved_bins": 1, "kernel_phases_rad": list(map(float, phases_rad))},
    )


def _made_real(spectra: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The kernels of one focus setting, each turned in phase, and equal ones mixed, to be as real as they can be.

    Kernels of equal weight are defined up to a unitary mixture ``Q``. With ``C = V V^T`` (no conjugate), whose unitary
    part is ``W``, the choice ``Q = W^(1/2)`` makes ``V V^T`` of the mixture real and diagonal.
    """
    out = spectra.reshape(len(spectra), -1).copy()
    start = 0
    for stop in range(1, len(weights) + 1):
        if stop < len(weights) and weights[stop] > 0 and weights[stop] >= (1 - 1e-6) * weights[start]:
            continue
        group = out[start:stop]
        left, _, right = np.linalg.svd(group @ group.T)
        out[start:stop] = linalg.sqrtm(left @ right).conj().T @ group
        start = stop
    return out.reshape(spectra.shape)


def _moved(values: np.ndarray, bins: int, axis: int) -> np.ndarray:
    """``values`` moved by one bin, up or down ``axis``; what leaves the array is lost, zeros follow."""
    moved = np.roll(values, bins, axis)
    np.moveaxis(moved, axis, 0)[0 if bins > 0 else -1] = 0.0
    return moved
