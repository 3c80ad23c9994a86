"""Masks of a whole field by a trained network, which sees no more than a tile: core by core, side by side."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from maskopt_lib import models
from maskopt_lib.errors import GridMismatchError, SchemaError
from maskopt_lib.models import shipped, weights
from maskopt_lib.models.inputs import CORE_NM, IMAGE_NM, NO_CELL
from maskopt_lib.models.unrolled_litho import Options, PrintGradients, UnrolledLitho
from maskopt_lib.runs.paths import resolved

#: How far beyond the core an unrolled descent minds its print, in nm; chosen from 0, 128, 192 and 256 on one window.
RIM_NM = 192.0


def network_mask(
    path: str | Path, target: np.ndarray, *, core_in_middle: bool = False, dial: float = 0.0, batch: int = 4
) -> tuple[np.ndarray, float, dict[str, Any]]:
    """The mask that a trained network draws for a field.

    Parameters
    ----------
    path : file of weights, as notebook 31 writes them, or the name of weights that come with the study.
    target : (y, x), 0 or 1, at 1 nm; repeats itself, as the simulator's field does.
    core_in_middle : a core stands in the middle of the field; else four of them meet there.
    dial : wished simplicity from 0 to 1, for a network that has the dial.
    batch : tiles at a time.

    Returns
    -------
    (y, x) uint8 mask; the seconds that it took; and what the weights' file says of the training's rule, optics
    (``kernels``) and dataset.

    Raises
    ------
    GridMismatchError : the field is not a whole number of cores wide.
    MissingDataError, SchemaError : there is no such file or name, or it holds no network of a training.

    Notes
    -----
    The field is cut into cores of 512 nm. Each is shown with as much around it as the network was trained with, and of
    what the network draws the core is kept: masks meet at the cores' borders without knowing of each other. A core
    with nothing in sight stays dark. No cell is told.

    An unrolled descent goes down what it prints, and can be asked for more than it was trained for: it is shown all
    that its image holds, and prints count up to `RIM_NM` beyond the core. So it draws the neighbours as well, nearly as
    they will be, and not as whatever helps the core.
    """
    path = weights_file(path)
    said = weights.about(path)
    if not {"context_nm", "kind"} <= set(said.get("rule", {})):
        raise SchemaError(f"{path} does not say how its network was trained; take weights that notebook 31 wrote")
    model, reach_nm = _for_fields(weights.load(path), said["rule"]["context_nm"])
    began = time.perf_counter()
    target = np.asarray(target)
    start = tuple((n // 2 - core_in_middle * CORE_NM // 2) % CORE_NM for n in target.shape)
    images, places = _tiles(np.roll(target, [-s for s in start], (0, 1)), reach_nm)
    mask = np.zeros(target.shape, np.uint8)
    if len(images):
        told = {"kind": said["rule"]["kind"].partition("+")[0], "context_nm": float(said["rule"]["context_nm"])}
        told |= {"cells": np.full(len(images), NO_CELL), "dial": dial}
        tiles = models.predict(model, images, batch=batch, **told)
        margin = (IMAGE_NM - CORE_NM) // 2
        cores = tiles[:, margin : margin + CORE_NM, margin : margin + CORE_NM]
        for core, (y, x) in zip(cores, places, strict=True):
            mask[y : y + CORE_NM, x : x + CORE_NM] = core
    return np.roll(mask, start, (0, 1)), time.perf_counter() - began, said


def _for_fields(model: models.MaskModel, context_nm: float) -> tuple[models.MaskModel, float]:
    """The network as it draws cores that will stand side by side, and how much it is shown around them."""
    if not isinstance(model, UnrolledLitho):
        return model, context_nm
    model.prints = PrintGradients(replace(cast(Options, model.options), rim_nm=RIM_NM))
    return model, (IMAGE_NM - CORE_NM) / 2


def weights_file(name: str | Path) -> Path:
    """File of weights: of a name of :func:`maskopt_lib.models.shipped.names`, or the path itself, below the root."""
    return shipped.path(str(name)) if str(name) in shipped.names() else resolved(name)


def _tiles(target: np.ndarray, context_nm: float) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """(n, 1024, 1024) what the network is shown of each core that has something in sight, and where they begin."""
    if target.ndim != 2 or target.shape[0] % CORE_NM or target.shape[1] % CORE_NM:
        raise GridMismatchError(
            f"networks draw cores of {CORE_NM} nm: a field must be (y, x) at 1 nm and whole cores wide, got "
            f"{target.shape}; take pixel_nm=1"
        )
    margin, reach = (IMAGE_NM - CORE_NM) // 2, min(round(context_nm), (IMAGE_NM - CORE_NM) // 2)
    hidden = margin - reach
    wide = np.pad(target.astype(np.uint8), margin, mode="wrap")
    images, places = [], []
    for y in range(0, target.shape[0], CORE_NM):
        for x in range(0, target.shape[1], CORE_NM):
            image = wide[y : y + IMAGE_NM, x : x + IMAGE_NM]
            seen = np.pad(image[hidden : IMAGE_NM - hidden, hidden : IMAGE_NM - hidden], hidden)
            if seen.any():
                images.append(seen)
                places.append((y, x))
    return np.array(images, np.uint8).reshape(-1, IMAGE_NM, IMAGE_NM), places
