"""The slow, obvious imaging programs that the fast ones are held against; used by tests and benchmarks only."""

from __future__ import annotations

import torch
from torch import Tensor


def reference_intensity(mask: Tensor, kernels, focus: int) -> Tensor:
    """Sum of coherent systems with full-grid transforms, one system after the other.

    Parameters
    ----------
    mask : (y, x) float32 or float64.
    kernels : SocsKernels.
    focus : index of the focus setting.
    """
    n, h = mask.shape[-1], kernels.half_width
    low = slice(n // 2 - h, n // 2 + h + 1)
    spectrum = torch.fft.fftshift(torch.fft.fft2(mask, norm="forward"))[low, low]
    systems = torch.as_tensor(kernels.spectra[focus], dtype=spectrum.dtype)
    intensity = torch.zeros_like(mask)
    for system, weight in zip(systems, kernels.weights[focus].tolist(), strict=True):
        full = torch.zeros(n, n, dtype=spectrum.dtype)
        full[low, low] = spectrum * system
        field = torch.fft.ifft2(torch.fft.ifftshift(full), norm="forward")
        intensity = intensity + weight * (field.real**2 + field.imag**2)
    return intensity


def reference_aerial(mask: Tensor, kernels, corners) -> Tensor:
    """(corner, y, x): each corner simulated on its own, as the public programs do."""
    return torch.stack([reference_intensity(mask * c.dose, kernels, c.focus) for c in corners])
