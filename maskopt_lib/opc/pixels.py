"""What solvers on pixels share: grids of other pixel sizes, the window that may change, smoothing, grey masks."""

import torch
import torch.nn.functional as F
from torch import Tensor

from maskopt_lib.errors import GridMismatchError


def whole(length_nm: float, pixel_nm: float, name: str) -> int:
    """A length in pixels; an error where it is no whole number of them.

    Parameters
    ----------
    length_nm, pixel_nm : the length and the side of a pixel, in nm.
    name : what the length is called in the message.

    Raises
    ------
    GridMismatchError : the length is not at least one whole number of pixels.
    """
    pixels = length_nm / pixel_nm
    if abs(pixels - round(pixels)) > 1e-6 or round(pixels) < 1:
        raise GridMismatchError(
            f"{name} = {length_nm:g} nm is no whole number of the target's pixels of {pixel_nm:g} nm; "
            "choose a multiple, or rasterize the target with another pixel"
        )
    return round(pixels)


def coarse(image: Tensor, factor: int, dtype: torch.dtype) -> Tensor:
    """(b, y, x) images on pixels ``factor`` times as large: the mean of what each covers."""
    return F.avg_pool2d(image[:, None].to(dtype), factor)[:, 0]


def fine_nearest(image: Tensor, factor: int) -> Tensor:
    """(b, y, x) images on pixels ``factor`` times smaller, each pixel repeated."""
    return image.repeat_interleave(factor, -2).repeat_interleave(factor, -1)


def fine_bicubic(image: Tensor, factor: int) -> Tensor:
    """(b, y, x) images on pixels ``factor`` times smaller, interpolated."""
    if factor == 1:
        return image
    return F.interpolate(image[:, None], scale_factor=factor, mode="bicubic", antialias=True)[:, 0]


def central(n: int, window_nm: float | None, pixel_nm: float) -> slice:
    """The rows, and columns, of a central window on a grid of ``n`` pixels along a side.

    Parameters
    ----------
    n, pixel_nm : the grid.
    window_nm : side of the window; None is all.

    Raises
    ------
    GridMismatchError : the window does not fit, or cannot stand in the middle.
    """
    side = n if window_nm is None else whole(window_nm, pixel_nm, "window_nm")
    if side > n or (n - side) % 2:
        raise GridMismatchError(f"a window of {side} pixels has no place in the middle of {n}; give an even margin")
    return slice((n - side) // 2, (n + side) // 2)


def square(n: int, inside: slice, device: torch.device) -> Tensor:
    """(n, n) boolean: True in these rows and columns."""
    is_inside = torch.zeros(n, n, dtype=torch.bool, device=device)
    is_inside[inside, inside] = True
    return is_inside


def smooth(image: Tensor, size_px: int) -> Tensor:
    """Mean over a square box of odd side with zeros outside, differentiable: (b, y, x) to (b, y, x)."""
    return _BoxMean.apply(image, size_px)


class _BoxMean(torch.autograd.Function):
    """The box mean is its own adjoint, and a few shifted sums beat ``avg_pool2d``."""

    @staticmethod
    def forward(ctx, image, size_px):
        ctx.size_px = size_px
        for axis in (-1, -2):
            image = _box_sum(image, size_px // 2, axis)
        return image / size_px**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return _BoxMean.forward(ctx, gradient, ctx.size_px), None

    @staticmethod
    def jvp(ctx, tangent, _):
        return _BoxMean.forward(ctx, tangent, ctx.size_px)


def _box_sum(image: Tensor, radius: int, axis: int) -> Tensor:
    n = image.shape[axis]
    total = image.clone()
    for d in range(1, radius + 1):
        total.narrow(axis, d, n - d).add_(image.narrow(axis, 0, n - d))
        total.narrow(axis, 0, n - d).add_(image.narrow(axis, d, n - d))
    return total
