"""Differentiable exact imaging of masks in the middle of a small dark field: what a network's step can afford.

:meth:`maskopt_lib.litho.Simulator.aerial_in_middle` scores masks in the whole field of the kernels. Here the field is
cropped to what the optics see (:func:`maskopt_lib.optics.cropped`), only the image's pixels go in and only the wanted
pixels come out, and gradients flow back: products with a few small matrices each way.
"""

import torch
from torch import Tensor, nn

from maskopt_lib.errors import GridMismatchError
from maskopt_lib.litho.imaging import (
    CornerImages,
    FieldMatrices,
    Imaging,
    SpectrumMatrices,
    interpolation_matrix,
    real_systems,
    small_grid,
)
from maskopt_lib.litho.process import CONTEST_CORNERS
from maskopt_lib.models.inputs import IMAGE_NM
from maskopt_lib.optics.kernels import SocsKernels, cropped

#: Side of the dark field in whose middle a mask stands; at most that of the optics.
FIELD_NM = 1280.0


class MiddleImages(nn.Module):
    """Aerial images at the three corners of the contest, on the pixels of the mask.

    Parameters
    ----------
    kernels : the optics, with their whole field.
    pixel_nm : side of a pixel of mask and image.
    out_nm : side of the square in the middle whose images are wanted; by default all of the mask's 1024 nm.

    Notes
    -----
    It follows its masks from device to device and has nothing that is learnt or saved. Computed in float32 (or in
    float64, for such masks), whatever the precision of the network around it.

    Examples
    --------
    >>> from maskopt_lib import optics
    >>> images = MiddleImages(optics.load("embedded"), pixel_nm=8, out_nm=512)
    >>> tuple(images(torch.zeros(2, 128, 128)).shape)
    (2, 3, 64, 64)
    """

    def __init__(self, kernels: SocsKernels, *, pixel_nm: float, out_nm: float = IMAGE_NM) -> None:
        super().__init__()
        self.kernels = cropped(kernels, min(FIELD_NM, kernels.period_nm))
        self.pixel_nm = pixel_nm
        self.n_field = _whole(self.kernels.period_nm, pixel_nm)
        self.n_in, self.n_out = _whole(IMAGE_NM, pixel_nm), _whole(out_nm, pixel_nm)
        for part in (self.n_in, self.n_out):
            if part > self.n_field or (self.n_field - part) % 2:
                raise GridMismatchError(f"{part} pixels cannot stand in the middle of {self.n_field}")
        if self.n_field <= 2 * self.kernels.half_width:
            raise GridMismatchError(
                f"pixels of {pixel_nm:g} nm cannot carry the optics' {2 * self.kernels.half_width + 1} frequencies; "
                "use smaller ones"
            )
        self._systems = real_systems(self.kernels)
        self._corners = tuple((c.focus, c.intensity_factor) for c in CONTEST_CORNERS)
        self._placed: dict[tuple[torch.device, torch.dtype], Imaging] = {}

    def forward(self, mask: Tensor) -> Tensor:
        """(b, y, x) transmissions to (b, 3, n_out, n_out) intensities: nominal, outer, inner."""
        if tuple(mask.shape[-2:]) != (self.n_in, self.n_in):
            raise GridMismatchError(
                f"masks must have {self.n_in} x {self.n_in} pixels of {self.pixel_nm:g} nm, got {tuple(mask.shape)}"
            )
        # Autocast would round the products to half precision, in which small differences of intensity are lost.
        with torch.autocast(mask.device.type, enabled=False):
            mask = mask if mask.dtype == torch.float64 else mask.float()
            imaging = self.imaging(mask.device, mask.dtype)
            return CornerImages.apply(mask, imaging.forward, imaging.adjoint)

    def imaging(self, device: torch.device, dtype: torch.dtype) -> Imaging:
        """What stands between masks and images, there, in this real type."""
        if (device, dtype) not in self._placed:
            h, n, to = self.kernels.half_width, self.n_field, {"device": device, "dtype": dtype}
            at, out = (slice((n - part) // 2, (n + part) // 2) for part in (self.n_in, self.n_out))
            whole = SpectrumMatrices.build(n, h, **to)
            self._placed[device, dtype] = Imaging.build(
                torch.as_tensor(self._systems, device=device, dtype=dtype.to_complex()),
                SpectrumMatrices(whole.rows[:, at].contiguous(), whole.columns[at].contiguous()),
                FieldMatrices.build(h, **to),
                interpolation_matrix(n, small_grid(h), **to)[out].contiguous(),
                self._corners,
            )
        return self._placed[device, dtype]


def middle(image: Tensor, n: int) -> Tensor:
    """The ``n`` x ``n`` pixels in the middle of (..., y, x)."""
    margin = (image.shape[-1] - n) // 2
    if margin < 0 or (image.shape[-1] - n) % 2:
        raise GridMismatchError(f"{n} pixels cannot stand in the middle of {image.shape[-1]}")
    return image[..., margin : margin + n, margin : margin + n]


def _whole(length_nm: float, pixel_nm: float) -> int:
    pixels = length_nm / pixel_nm
    if abs(pixels - round(pixels)) > 1e-6 or round(pixels) < 1:
        raise GridMismatchError(f"{length_nm:g} nm are no whole number of pixels of {pixel_nm:g} nm")
    return round(pixels)
