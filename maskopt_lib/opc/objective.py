"""Named terms of ILT objectives: differentiable, one number a clip, never a reported metric."""

import torch
from torch import Tensor


def squared_difference(image: Tensor, wanted: Tensor) -> Tensor:
    """Sum of squared differences over the pixels.

    Parameters
    ----------
    image, wanted : (b, y, x) of equal shape.

    Returns
    -------
    (b,), in pixels: for binary images the number of pixels that differ.
    """
    if image.shape != wanted.shape:
        raise ValueError(f"images to compare must have one shape, got {tuple(image.shape)} and {tuple(wanted.shape)}")
    return (image - wanted).square().sum((-2, -1))


def spectral_energy(mask: Tensor, *, squared: bool = True) -> Tensor:
    """Strength of a mask's spectrum without its lowest frequencies: bins -1 and 0 along both axes, as published.

    Parameters
    ----------
    mask : (b, y, x) transmission.
    squared : squared Frobenius norm (the paper's text) or the norm itself (the published code).

    Returns
    -------
    (b,), for an FFT without normalisation.

    Notes
    -----
    By Parseval's theorem the squared norm is ``n`` times the sum of squares in the pixels less the dropped bins, so no
    transform of the whole mask is made: it damps all structure that is not a constant, which is less than the
    low-pass that its name suggests.
    """
    h, w = mask.shape[-2:]
    energy = h * w * mask.square().sum((-2, -1))
    y = torch.arange(h, device=mask.device, dtype=mask.dtype) * (2 * torch.pi / h)
    x = torch.arange(w, device=mask.device, dtype=mask.dtype) * (2 * torch.pi / w)
    f = torch.tensor((-1, 0), device=mask.device, dtype=mask.dtype)
    phase_y, phase_x = f[:, None] * y, f[:, None] * x
    # Real and imaginary part of the separable transform at the dropped bins.
    cos_x, sin_x = mask @ phase_x.cos().mT, mask @ phase_x.sin().mT
    cos_y, sin_y = phase_y.cos(), phase_y.sin()
    real = cos_y @ cos_x - sin_y @ sin_x
    imaginary = cos_y @ sin_x + sin_y @ cos_x
    energy = energy - (real.square() + imaginary.square()).sum((-2, -1))
    return energy if squared else energy.clamp_min(torch.finfo(mask.dtype).tiny).sqrt()
