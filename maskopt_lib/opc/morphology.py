"""Mathematical morphology on masks: fast for binary masks, differentiable for grey ones.

Both take the same structuring elements. Outside the image nothing counts: a dilation sees 0 there, an
erosion sees 1. With ``A`` the image and ``B`` the element::

    dilation  max over b in B of A(x - b)          opening  dilation(erosion(A))    removes what B does not fit into
    erosion   min over b in B of A(x + b)          closing  erosion(dilation(A))    fills what the complement's B does not

:func:`round_corners` is the combination that CurvyILT builds on, ``opening + closing - A``: it cuts convex and fills
concave corners and leaves straight edges where they are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def ellipse(size_px: int) -> np.ndarray:
    """Half-widths of the rows of a round structuring element.

    Parameters
    ----------
    size_px : diameter, odd, at least 1.

    Returns
    -------
    (size_px,) int: row ``i`` covers columns ``-w[i] .. w[i]`` around the centre.

    Notes
    -----
    ``w = round(sqrt(r^2 - dy^2))`` with halves to even: the rule of OpenCV's ``MORPH_ELLIPSE``, which the published
    CurvyILT masks were made with (a 3 is a cross, a 5 has 17 pixels).

    Examples
    --------
    >>> ellipse(5)
    array([0, 2, 2, 2, 0])
    """
    if size_px < 1 or size_px % 2 == 0:
        raise ValueError(f"a structuring element needs an odd size of at least 1 pixel, got {size_px}")
    radius = size_px // 2
    dy = np.arange(-radius, radius + 1)
    return np.rint(np.sqrt(radius**2 - dy**2)).astype(int)


def _offsets(size_px: int) -> list[tuple[int, int]]:
    radius = size_px // 2
    return [(i - radius, dx) for i, w in enumerate(ellipse(size_px)) for dx in range(-w, w + 1)]


def _spread(image: Tensor, dy: int, dx: int, into: Tensor) -> None:
    """``into[y + dy, x + dx] = max(into, image[y, x])`` wherever both lie inside."""
    h, w = image.shape[-2:]
    source = image[..., max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)]
    target = into[..., max(dy, 0) : h - max(-dy, 0), max(dx, 0) : w - max(-dx, 0)]
    torch.maximum(target, source, out=target)


def dilate_binary(mask: Tensor, size_px: int) -> Tensor:
    """Dilation of a 0/1 image by a round element, row by row.

    Parameters
    ----------
    mask : (*batch, y, x) uint8, 0 or 1.
    size_px : diameter of the element, odd.

    Returns
    -------
    (*batch, y, x) uint8.

    Notes
    -----
    The element is a stack of horizontal runs: each longer run is the shorter one and two shifts more, and each row of
    the element adds one vertical shift, so the cost grows with the diameter and not with the area.
    """
    half_widths = ellipse(size_px)
    radius = size_px // 2
    result = torch.zeros_like(mask)
    run = mask.clone()
    for w in range(half_widths.max() + 1):
        if w > 0:
            _spread(mask, 0, w, run)
            _spread(mask, 0, -w, run)
        for row in np.flatnonzero(half_widths == w):
            _spread(run, int(row) - radius, 0, result)
    return result


def erode_binary(mask: Tensor, size_px: int) -> Tensor:
    """Erosion of a 0/1 image by a round element: the complement of the complement's dilation."""
    return 1 - dilate_binary(1 - mask, size_px)


def open_binary(mask: Tensor, size_px: int) -> Tensor:
    """Opening of a 0/1 image (uint8) by a round element of ``size_px`` pixels."""
    return _on_content(mask, 2 * size_px, lambda m: dilate_binary(erode_binary(m, size_px), size_px))


def close_binary(mask: Tensor, size_px: int) -> Tensor:
    """Closing of a 0/1 image (uint8) by a round element of ``size_px`` pixels."""
    return _on_content(mask, 2 * size_px, lambda m: erode_binary(dilate_binary(m, size_px), size_px))


def round_corners_binary(mask: Tensor, open_px: int, close_px: int) -> Tensor:
    """``opening + closing - mask`` of a 0/1 image: convex corners cut, concave ones filled, edges kept.

    Parameters
    ----------
    mask : (*batch, y, x) uint8.
    open_px, close_px : diameters of the two elements, odd.
    """
    return open_binary(mask, open_px) + close_binary(mask, close_px) - mask


def _on_content(mask: Tensor, margin_px: int, operation) -> Tensor:
    """Apply an operation that keeps empty space empty to the part of the image around its content."""
    rows = torch.nonzero(mask.flatten(0, -3).amax((0, 2)) if mask.ndim > 2 else mask.amax(1)).flatten()
    if len(rows) == 0:
        return mask.clone()
    columns = torch.nonzero(mask.flatten(0, -2).amax(0)).flatten()
    ys = slice(max(int(rows[0]) - margin_px, 0), int(rows[-1]) + 1 + margin_px)
    xs = slice(max(int(columns[0]) - margin_px, 0), int(columns[-1]) + 1 + margin_px)
    result = torch.zeros_like(mask)
    result[..., ys, xs] = operation(mask[..., ys, xs].contiguous())
    return result


class _Dilation(torch.autograd.Function):
    """Grey dilation that remembers which neighbour won, and sends the gradient there (first winner on a tie)."""

    @staticmethod
    def forward(ctx, image, size_px):
        offsets = _offsets(size_px)
        radius = size_px // 2
        h, w = image.shape[-2:]
        padded = torch.nn.functional.pad(image, (radius,) * 4, value=-torch.inf)
        values = image.clone()
        pitch = w + 2 * radius
        # Index of the winner in the padded image; every image of the batch has its own copy.
        rows = torch.arange(h, device=image.device)[:, None] + radius
        columns = torch.arange(w, device=image.device)[None, :] + radius
        home = (rows * pitch + columns).expand(image.shape)
        shift = torch.zeros_like(image, dtype=torch.int32)
        for dy, dx in offsets:
            neighbour = padded[..., radius + dy : radius + dy + h, radius + dx : radius + dx + w]
            shift.masked_fill_(neighbour > values, dy * pitch + dx)
            torch.maximum(values, neighbour, out=values)
        ctx.save_for_backward(home + shift)
        ctx.radius = radius
        return values

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (winner,) = ctx.saved_tensors
        r = ctx.radius
        h, w = gradient.shape[-2:]
        spread = gradient.new_zeros(gradient.shape[:-2] + ((h + 2 * r) * (w + 2 * r),))
        spread.scatter_add_(-1, winner.flatten(-2), gradient.flatten(-2))
        return spread.unflatten(-1, (h + 2 * r, w + 2 * r))[..., r : r + h, r : r + w], None


def dilate(image: Tensor, size_px: int) -> Tensor:
    """Grey dilation by a round element, differentiable by sub-gradient.

    Parameters
    ----------
    image : (*batch, y, x), real.
    size_px : diameter of the element in pixels, odd.

    Returns
    -------
    (*batch, y, x): the largest value under the element. The gradient goes to the pixel that gave the value.
    """
    return _Dilation.apply(image, size_px)


def erode(image: Tensor, size_px: int) -> Tensor:
    """Grey erosion by a round element, differentiable by sub-gradient: the smallest value under the element."""
    return -_Dilation.apply(-image, size_px)


def opening(image: Tensor, size_px: int) -> Tensor:
    """Grey opening, differentiable."""
    return dilate(erode(image, size_px), size_px)


def closing(image: Tensor, size_px: int) -> Tensor:
    """Grey closing, differentiable."""
    return erode(dilate(image, size_px), size_px)


def round_corners(image: Tensor, open_px: int, close_px: int) -> Tensor:
    """``opening + closing - image`` of a grey image, differentiable; see the module's head."""
    return opening(image, open_px) + closing(image, close_px) - image
