"""Binary masks in a store: one bit a pixel, one chunk a mask."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
import zarr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError
from maskopt_lib.grid import Grid

_BITS = "mask_bits"


def labelled_masks(
    masks: xr.DataArray | np.ndarray | torch.Tensor, *, samples: Sequence[str] | None, pixel_nm: float | None
) -> xr.DataArray:
    """Masks ``(*dims, y, x)`` with y in nm and the side of a pixel among their attributes.

    Parameters
    ----------
    masks, samples, pixel_nm : as for :meth:`maskopt_lib.runs.record.Run.save_masks`.

    Raises
    ------
    SchemaError : the masks have no names, no pixel size or other dimensions.
    """
    if not isinstance(masks, xr.DataArray):
        pixels = masks.detach().cpu().numpy() if isinstance(masks, torch.Tensor) else np.asarray(masks)
        if samples is None or pixel_nm is None:
            raise SchemaError("masks without coordinates need samples=[names] and pixel_nm=<side of a pixel in nm>")
        if pixels.ndim != 3 or len(samples) != len(pixels):
            raise SchemaError(f"expected masks (sample, y, x) for {len(samples)} names, got shape {pixels.shape}")
        masks = xr.DataArray(pixels, dims=(schema.SAMPLE, schema.Y, schema.X), coords={schema.SAMPLE: list(samples)})
    if masks.dims[-2:] != (schema.Y, schema.X):
        raise SchemaError(f"expected masks (*dims, y, x), got dimensions {masks.dims}")
    if pixel_nm is None and schema.X in masks.coords and masks.sizes[schema.X] > 1:
        pixel_nm = float(masks[schema.X][1] - masks[schema.X][0])
    if pixel_nm is None:
        raise SchemaError("give pixel_nm, or a DataArray whose x is in nm")
    masks = masks.assign_coords({schema.Y: _pixel_centres(schema.Y, masks.sizes[schema.Y], pixel_nm)})
    return masks.assign_attrs(pixel_nm=float(pixel_nm))


def packed(image: np.ndarray) -> np.ndarray:
    """Pixels (y, x) of 0 and 1 as (y, x_byte) uint8, eight a byte along x, lowest bit first.

    Raises
    ------
    SchemaError : the mask is not binary.
    """
    if image.dtype != bool and not ((image == 0) | (image == 1)).all():
        raise SchemaError("masks must be binary (0 and 1, or bool); threshold a grey mask before storing it")
    return np.packbits(image.astype(bool), axis=-1, bitorder="little")


def mask_header(coords: Mapping[str, Any], *, shape: tuple[int, int], pixel_nm: float) -> xr.Dataset:
    """A store of masks before their bits: labels along its dimensions, y in nm, number and side of the pixels."""
    header = xr.Dataset(coords=dict(coords) | {schema.Y: _pixel_centres(schema.Y, shape[0], pixel_nm)})
    return header.assign_attrs(n_x=shape[1], n_y=shape[0], pixel_nm=float(pixel_nm))


def write_bits(path: Path, header: xr.Dataset, masks: Iterable[np.ndarray], dims: tuple[str, ...]) -> None:
    """Add packed masks, one by one, to a store that holds their header.

    Parameters
    ----------
    path : of the store.
    header : of :func:`mask_header`.
    masks : of :func:`packed`, in the order of the labels, the last dimension fastest.
    dims : the dimensions before (y, x).

    Raises
    ------
    SchemaError : a mask has another shape than the header says, or they are not as many as the labels.
    """
    lengths = tuple(header.sizes[dim] for dim in dims)
    packed_shape = (header.attrs["n_y"], -(-header.attrs["n_x"] // 8))
    # One mask a chunk: that is what a reader takes.
    bits = zarr.open_group(path, mode="r+").create_array(
        _BITS,
        shape=(*lengths, *packed_shape),
        chunks=(*(1 for _ in lengths), *packed_shape),
        dtype="uint8",
        dimension_names=(*dims, schema.Y, "x_byte"),
        attributes={"long_name": "mask, eight pixels a byte along x, lowest bit first", "units": "1"},
    )
    places = list(np.ndindex(lengths))
    n = 0
    for n, mask in enumerate(masks, start=1):
        if n > len(places) or np.shape(mask) != packed_shape or np.asarray(mask).dtype != np.uint8:
            raise SchemaError(
                f"mask {n} of {len(places)} is {np.asarray(mask).dtype} of shape {np.shape(mask)}; packed, each "
                f"of them is uint8 of shape {packed_shape}"
            )
        bits[places[n - 1]] = mask
    if n < len(places):
        raise SchemaError(f"there are {n} masks for {len(places)} labels")


def unpacked(stored: xr.Dataset) -> xr.DataArray:
    """Masks of a store that was read: bool ``(*dims, y, x)``, with pixel centres in nm along y and x."""
    try:
        bits, n_x, pixel_nm = stored[_BITS], int(stored.attrs["n_x"]), float(stored.attrs["pixel_nm"])
    except (KeyError, TypeError, ValueError):
        raise SchemaError("this is no store of masks: it has no mask_bits, n_x or pixel_nm") from None
    if bits.dtype != np.uint8 or bits.shape[-1] != -(-n_x // 8) or not 0 < pixel_nm < np.inf:
        raise SchemaError(f"masks of {n_x} pixels of {pixel_nm} nm are no {bits.dtype} of shape {bits.shape}")
    pixels = np.unpackbits(bits.values, axis=-1, count=n_x, bitorder="little").astype(bool)
    masks = xr.DataArray(pixels, dims=(*bits.dims[:-1], schema.X), coords=stored.coords, name="mask")
    masks = masks.assign_coords({schema.X: _pixel_centres(schema.X, n_x, pixel_nm)})
    return masks.assign_attrs(long_name="mask", units="1", pixel_nm=pixel_nm, record=stored.attrs.get("record", ""))


def _pixel_centres(dim: str, n: int, pixel_nm: float) -> xr.Variable:
    return xr.Variable(dim, Grid(n, pixel_nm).centres_nm, {"long_name": dim, "units": "nm"})
