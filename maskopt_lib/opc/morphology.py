"""Mathematical morphology on masks: fast for binary masks, differentiable for grey ones.

Both take the same structuring elements. Outside the image nothing counts: a dilation sees 0 there, an
erosion sees 1. With ``A`` the image and ``B`` the element::

    dilation  max over b in B of A(x - b)     opening  dilation(erosion(A))   removes what B does not fit into
    erosion   min over b in B of A(x + b)     closing  erosion(dilation(A))   fills gaps that B does not fit into

:func:`round_corners` is the combination that CurvyILT builds on, ``opening + closing - A``: it cuts convex and fills
concave corners and leaves straight edges where they are.
"""

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
    mask : ``(*batch, y, x)`` uint8, 0 or 1.
    size_px : diameter of the element, odd.

    Returns
    -------
    ``(*batch, y, x)`` uint8.

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
    mask : ``(*batch, y, x)`` uint8.
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
    """Grey dilation that remembers which pixel won, and sends the gradient there.

    Each pixel gets an integer key that sorts as its value does and holds its index; the largest key under the element
    then names value and winner at once, with one comparison for each pixel of the element.
    """

    @staticmethod
    def forward(ctx, image, size_px):
        radius = size_px // 2
        h, w = image.shape[-2:]
        keys, winner_of = _ordered_keys(image.flatten(-2))
        padded = torch.nn.functional.pad(keys.unflatten(-1, (h, w)), (radius,) * 4, value=torch.iinfo(torch.int64).min)
        best = keys.unflatten(-1, (h, w)).clone()
        for i, half_width in enumerate(ellipse(size_px)):
            for dx in range(-half_width, half_width + 1):
                torch.maximum(best, padded[..., i : i + h, radius + dx : radius + dx + w], out=best)
        winner = winner_of(best.flatten(-2))
        ctx.save_for_backward(winner)
        return image.flatten(-2).gather(-1, winner).unflatten(-1, (h, w))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (winner,) = ctx.saved_tensors
        flat = gradient.flatten(-2)
        return torch.zeros_like(flat).scatter_add_(-1, winner, flat).unflatten(-1, gradient.shape[-2:]), None


def _ordered_keys(values: Tensor):
    """Distinct int64 keys in the order of ``(*batch, n)`` values, and the map from keys back to indices."""
    if values.dtype == torch.float32:
        bits = values.contiguous().view(torch.int32)
        # IEEE numbers sort as integers, the negative ones backwards.
        ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)
        index = torch.arange(values.shape[-1], device=values.device)
        return (ordered.to(torch.int64) << 32) | index, lambda keys: keys & 0xFFFFFFFF
    order = values.argsort(dim=-1)
    ranks = torch.empty_like(order).scatter_(
        -1, order, torch.arange(values.shape[-1], device=values.device).expand_as(order)
    )
    return ranks, lambda keys: order.gather(-1, keys)


def dilate(image: Tensor, size_px: int) -> Tensor:
    """Grey dilation by a round element, differentiable by sub-gradient.

    Parameters
    ----------
    image : ``(*batch, y, x)``, real.
    size_px : diameter of the element in pixels, odd.

    Returns
    -------
    ``(*batch, y, x)``: the largest value under the element. The gradient goes to the pixel that gave the value.
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
