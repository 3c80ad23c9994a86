"""Target, mask and prints as labelled images, such as :func:`maskopt_lib.figures.mask_panels` draws."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.optics import SocsKernels

_PLANE = (schema.Y, schema.X)


def pictures(
    masks: xr.DataArray,
    targets: xr.DataArray,
    prints: SocsKernels | Simulator | xr.DataArray,
    *,
    margin_nm: float | None = 60,
    around: Sequence[str] = ("target", "mask"),
) -> xr.Dataset:
    """Target, mask and prints, cropped to what there is to see.

    Parameters
    ----------
    masks : ``(*dims, y, x)``, 0 to 1, pixel centres in nm; see :func:`images`.
    targets : (y, x), 0 or 1, or over some of the masks' dimensions too, where each mask finds its own by label.
    prints : what prints the masks; or the prints themselves, ``(corner, *dims, y, x)``, 0 or 1.
    margin_nm : kept around what there is; None shows everything.
    around : layers that the margin is kept around; see :func:`cropped`.

    Returns
    -------
    Dataset over the masks' dimensions of uint8 ``target`` (over those of ``targets``), ``mask`` (grey masks keep their
    type), ``nominal``, ``outer`` and ``inner``, with the attributes of the prints (``kernels``).

    Examples
    --------
    >>> bar = np.zeros((8, 8), np.uint8); bar[3:5, 2:7] = 1
    >>> bars = images(bar[None], 10.0, title=["as drawn"])
    >>> prints = images(np.stack([bars, bars, bars]), 10.0, corner=schema.CORNERS, title=["as drawn"])
    >>> picture = pictures(bars, bars[0], prints, margin_nm=10)
    >>> dict(picture.sizes), picture["y"].values.tolist(), list(picture.data_vars)
    ({'y': 4, 'x': 7, 'title': 1}, [25.0, 35.0, 45.0, 55.0], ['target', 'mask', 'nominal', 'outer', 'inner'])
    """
    targets = targets.sel({dim: masks[dim] for dim in targets.dims if dim not in _PLANE})
    if not isinstance(prints, xr.DataArray):
        prints = printed(masks, prints if isinstance(prints, Simulator) else Simulator(prints))
    mask = masks if np.issubdtype(masks.dtype, np.floating) else masks.astype(np.uint8)
    layers = {"target": (targets.astype(np.uint8), "target"), "mask": (mask, "mask")}
    for corner in prints[schema.CORNER].values.tolist():
        layers[corner] = (prints.sel({schema.CORNER: corner}, drop=True).astype(np.uint8), f"{corner} print")
    ds = xr.Dataset(
        {name: (image.dims, image.values, {"long_name": text, "units": "1"}) for name, (image, text) in layers.items()},
        coords=masks.coords,
        attrs=prints.attrs,
    )
    return schema.label(ds if margin_nm is None else cropped(ds, margin_nm, around=around))


def images(
    values: Any, pixel_nm: float, *, corner_nm: Sequence[float] = (0.0, 0.0), **labels: Sequence
) -> xr.DataArray:
    """Images with their labels.

    Parameters
    ----------
    values : ``(*dims, y, x)``.
    pixel_nm : side of a pixel.
    corner_nm : (x, y) of the images' lower left corner.
    **labels : leading dimension -> its labels, in the order of the dimensions.
    """
    values = np.asarray(values)
    centres = {
        dim: (dim, first + (np.arange(n) + 0.5) * pixel_nm, {"long_name": dim, "units": "nm"})
        for dim, n, first in zip(_PLANE, values.shape[-2:], reversed(corner_nm), strict=True)
    }
    names = {name: each if isinstance(each, xr.DataArray) else list(each) for name, each in labels.items()}
    return xr.DataArray(values, names | centres, (*labels, *_PLANE))


def printed(masks: xr.DataArray, sim: Simulator) -> xr.DataArray:
    """Prints of masks ``(*dims, y, x)`` that fill the simulator's field, or stand in the middle of a dark one.

    Returns
    -------
    ``(corner, *dims, y, x)`` bool; the attribute ``kernels`` is the name of the set.
    """
    flat = masks.values.reshape(-1, *masks.shape[-2:]).astype(np.float32)
    pixel_nm = pixel_of(masks)
    if abs(flat.shape[-1] * pixel_nm - sim.kernels.period_nm) < 1e-6:
        prints = [sim.printed(mask) for mask in flat]
    else:
        prints = [sim.resist_model.hard(sim.aerial_in_middle(mask, pixel_nm=pixel_nm)) for mask in flat]
    return xr.DataArray(
        np.stack([corners.cpu().numpy() for corners in prints], axis=1).reshape(-1, *masks.shape),
        dims=(schema.CORNER, *masks.dims),
        coords={schema.CORNER: list(sim.corners), **{dim: masks[dim] for dim in masks.dims if dim in masks.coords}},
        attrs={"kernels": sim.kernels.name},
    )


def cropped(
    pictures: xr.Dataset,
    margin_nm: float,
    *,
    around: Sequence[str] = ("target", "mask"),
    square: bool = False,
    every: int = 1,
) -> xr.Dataset:
    """The part of pictures that holds what some of their layers show, the same part for all of them.

    Parameters
    ----------
    pictures : of :func:`pictures`.
    margin_nm : kept around it.
    around : names of the layers; what is above 0.5 in one of them is shown.
    square : both sides as long as the longer one.
    every : each so many-th pixel along y and x is taken.
    """
    used = np.zeros([pictures.sizes[dim] for dim in _PLANE], bool)
    for layer in (pictures[name].transpose(..., *_PLANE).values > 0.5 for name in around):
        used |= layer.reshape(-1, *used.shape).any(0)
    if not used.any():
        return pictures
    ends = [(at[0], at[-1]) for at in (np.flatnonzero(used.any(axis)) for axis in (1, 0))]
    sides = [int(last - first) + 2 * round(margin_nm / pixel_of(pictures)) for first, last in ends]
    window = {}
    for dim, (first, last), side in zip(_PLANE, ends, [max(sides)] * 2 if square else sides, strict=True):
        start = int(first + last - side) // 2
        if square:  # at the border the window moves, instead of becoming smaller
            start = max(start, 0)
        window[dim] = slice(max(start, 0), start + side + 1, every)
    return pictures.isel(window)


def pixel_of(image: xr.Dataset | xr.DataArray) -> float:
    """Side of a pixel in nm, from the pixel centres ``x``."""
    return float(image[schema.X][1] - image[schema.X][0])
