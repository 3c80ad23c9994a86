"""Masks of tiles, by a trained network."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskopt_lib.errors import GridMismatchError, OptionError, UnknownNameError
from maskopt_lib.images import binary
from maskopt_lib.models.inputs import IMAGE_NM, NO_CELL, TileInput
from maskopt_lib.models.model import MaskModel
from maskopt_lib.options import Count, check


def predict(
    model: MaskModel,
    images: ArrayLike,
    *,
    cells: Sequence[int] | None = None,
    kind: str | None = None,
    context_nm: ArrayLike | None = None,
    dial: ArrayLike = 0.0,
    batch: int = 8,
    at_large: bool = False,
) -> np.ndarray:
    """Masks of tiles.

    Parameters
    ----------
    model : where it is, there it computes, in the type of its weights; it is left in evaluation mode.
    images : (n, 1024, 1024) targets at 1 nm, 0 and 1, with the context the model was trained for.
    cells : (n,) codes of their cells, as in training, `NO_CELL` for one it has not seen; needed where the model is
        told them.
    kind : type of the masks; needed where the model draws several.
    context_nm : how much context is shown, one number or (n,); needed where the model is told.
    dial : wished simplicity, one number or (n,) in [0, 1].
    batch : tiles at a time.
    at_large : images may be windows of any size, a multiple of the network's pixel and halvings.

    Returns
    -------
    (n, 1024, 1024) uint8 at 1 nm, 1 = clear. They do not depend on ``batch``, but for pixels within rounding of the
    outline.

    Raises
    ------
    GridMismatchError : images of another size, or ``at_large`` by a network that draws images of its own size only.
    """
    told = {"cells": cells, "kind": kind, "context_nm": context_nm, "dial": dial, "at_large": at_large}
    images = binary(images, "images", axes=3)
    masks = np.empty(images.shape, np.uint8)
    for start, logits in _batches(model, images, batch, **told):
        masks[start : start + len(logits)] = (logits > 0).to(torch.uint8).cpu().numpy()
    return masks


def _batches(
    model: MaskModel,
    images: np.ndarray,
    batch: int,
    *,
    cells=None,
    kind=None,
    context_nm=None,
    dial=0.0,
    at_large: bool = False,
):
    """(first tile, logits (m, 1024, 1024) float32 at 1 nm) of one batch after the other."""
    check(Count, batch=batch)
    told = model.conditioning
    if images.shape[1:] != (IMAGE_NM, IMAGE_NM) and not at_large:
        raise GridMismatchError(
            f"images are (n, {IMAGE_NM}, {IMAGE_NM}) at 1 nm, got {images.shape}; place a smaller window in the "
            "middle of zeros, cut a larger one into tiles"
        )
    for value, is_needed, name in (
        (cells, told.tag != "none", "cells"),
        (kind, len(told.kinds) > 1, "kind"),
        (context_nm, told.context, "context_nm"),
    ):
        if is_needed and value is None:
            raise OptionError(f"this network is told {name}; give {name}=")
    codes = _numbers(0 if told.tag == "none" else cells, len(images))
    if codes is None or not (NO_CELL <= codes.min() and codes.max() < max(told.n_cells, 1)):
        raise UnknownNameError(
            f"this network knows cells 0 to {told.n_cells - 1}, and {NO_CELL} for one that is not told, one for each "
            f"image; got {cells!r:.200}"
        )
    for name, values, high in (("dial", dial, 1), ("context_nm", 0 if context_nm is None else context_nm, IMAGE_NM)):
        found = _numbers(values, len(images))
        if found is None or not (found.min() >= 0 and found.max() <= high):
            raise OptionError(f"{name} is one number from 0 to {high}, or one for each image; got {values!r:.200}")
    # Those that the network is not told have no say.
    columns = {
        "cell": np.broadcast_to(codes.astype(np.int64), len(images)),
        "kind": np.broadcast_to(0 if kind is None else told.kind(kind), len(images)),
        "context_nm": np.broadcast_to(np.asarray(context_nm, np.float32) if told.context else 0.0, len(images)),
        "dial": np.broadcast_to(np.asarray(dial, np.float32), len(images)),
    }
    first = next(model.parameters())
    model.eval()
    # Around each batch, not around the loop: whoever reads a generator would share its mode.
    for start in range(0, len(images), batch):
        part = slice(start, start + batch)
        with torch.inference_mode():
            at_1_nm = torch.tensor(images[part])[:, None].to(first)
            target = torch.nn.functional.avg_pool2d(at_1_nm, model.options.pixel_nm)
            told_here = {name: torch.tensor(values[part], device=first.device) for name, values in columns.items()}
            x = TileInput.of(target, **told_here)
            logits = (_of_window(model, x) if at_large else model.at_1_nm(model(x)))[:, 0].float()
        yield start, logits


def _numbers(values: ArrayLike, n: int) -> np.ndarray | None:
    """One number, or n; None where they are none."""
    try:
        found = np.asarray(values)
    except (TypeError, ValueError):  # lists of several lengths
        return None
    return found if found.dtype.kind in "iuf" and found.size and found.shape in ((), (1,), (n,)) else None


def _of_window(model: MaskModel, x: TileInput) -> Tensor:
    """Logits (n, 1, y, x) at 1 nm of windows that may be larger or smaller than a tile."""
    logits = model.draw(model.conditioner.planes(x), x)
    if logits.shape != x.target.shape:
        raise GridMismatchError(
            f"{model.name} draws {tuple(logits.shape[-2:])} pixels of {tuple(x.target.shape[-2:])}: it takes no "
            "windows of other sizes; leave it out of `at_large`"
        )
    size = [n * model.options.pixel_nm for n in logits.shape[-2:]]
    return torch.nn.functional.interpolate(logits.float(), size=size, mode="bicubic")
