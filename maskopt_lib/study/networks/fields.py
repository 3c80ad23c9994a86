"""Masks in their place: the layout around tiles, and masks of it that networks draw core by core.

A tile that is printed alone has darkness for neighbours, which a network may bend as it likes. In place its core stands
among masks of all that the optics see, drawn by whoever drew it: of each field the nine cores in the middle, each shown
what the network was trained to see.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np

from maskopt_lib import layout, models
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import GridMismatchError, MissingDataError, SchemaError
from maskopt_lib.layout import Design
from maskopt_lib.models import shipped, weights
from maskopt_lib.models.inputs import CORE_NM, IMAGE_NM, NO_CELL
from maskopt_lib.models.training.tiles import TestTiles
from maskopt_lib.models.unrolled_litho import Options, PrintGradients, UnrolledLitho
from maskopt_lib.runs.paths import resolved

#: How far beyond the core an unrolled descent minds its print, in nm; chosen from 0, 128, 192 and 256 on one window.
RIM_NM = 192.0
#: Cores of a field that are drawn: those in the middle, along one side and in all.
N_ALONG = 3
N_DRAWN = N_ALONG**2
_MARGIN = (IMAGE_NM - CORE_NM) // 2


def layouts_around(
    store: TileStore, tiles: TestTiles, field_nm: float, sources: Mapping[str, str] | None = None
) -> np.ndarray:
    """All that the optics see around tiles, drawn from their designs again.

    Parameters
    ----------
    store : of the tiles.
    tiles : with the widest context that is known, which must be what the designs have.
    field_nm : side of the optics' field; the core stands in its middle.
    sources : designs that are no names of the catalog, see :func:`maskopt_lib.study.dataset.plan.sources_of`.

    Returns
    -------
    (n, y, x) uint8.

    Raises
    ------
    MissingDataError : the dataset was cut from other designs than there are.
    """
    cut = store.rule
    core, pixel = cut["core_nm"], cut["pixel_nm"]
    margin, content = (field_nm - core) / 2, round((core + 2 * cut["context_nm"]) / pixel)
    ds = store.open(tiles.layer)[["design", "x_nm", "y_nm"]].isel({ta.SAMPLE: tiles.sample}).load()
    designs: dict[str, Design] = {}
    images = []
    places = zip(*(ds[name].values.tolist() for name in ("design", "x_nm", "y_nm")), tiles.drawn, strict=True)
    for code, x, y, drawn in places:
        name = ds["design"].attrs["names"][code]
        if name not in designs:
            designs[name] = layout.open_design((sources or {}).get(name, name))
        box = (x - margin, y - margin, x + core + margin, y + core + margin)
        image = designs[name].rasterize(tiles.layer, box, pixel)
        if not np.array_equal(middle(image, content), middle(drawn, content)):
            raise MissingDataError("dataset cut from other designs than there are: build it anew, notebook 22")
        images.append(image.astype(np.uint8))
    return np.stack(images)


def middle(images: np.ndarray, n: int) -> np.ndarray:
    """The (..., n, n) pixels in the middle of images."""
    edge = (images.shape[-1] - n) // 2
    return np.ascontiguousarray(images[..., edge : edge + n, edge : edge + n])


def draw_in_place(
    model: models.MaskModel,
    rule: Mapping[str, Any],
    layouts: np.ndarray,
    *,
    cells: Sequence[int],
    kind: str,
    dial: float = 0.0,
    batch: int = 8,
) -> tuple[np.ndarray, np.ndarray]:
    """What a network draws of tiles and of the eight cores around each.

    Parameters
    ----------
    model : of :func:`for_fields`, on the device that is to be used.
    rule : of its training, in plain values.
    layouts : (n, y, x) uint8 at 1 nm, the tile's core in the middle of each.
    cells : (n,) codes of the tiles' cells; those of the cores around are not told.
    kind, dial, batch : as for :func:`maskopt_lib.models.predict`.

    Returns
    -------
    (n, 1024, 1024) masks of the tiles' own images, and (n, y, x) masks of the fields: nine cores, each as the network
    draws it of its own image, and beyond them, farther off than a core's width, the layout itself.
    """
    reach = reach_nm(model, rule["context_nm"])
    first = (layouts.shape[-1] - N_ALONG * CORE_NM) // 2
    if first < _MARGIN:
        raise GridMismatchError(f"fields of {layouts.shape[-1]} nm do not hold the images of nine cores")
    at = [first + i * CORE_NM for i in range(N_ALONG)]
    masks, images, places = layouts.astype(np.uint8), [], []
    for i, y, x in product(range(len(layouts)), at, at):
        masks[i, y : y + CORE_NM, x : x + CORE_NM] = 0
        image = within(layouts[i, y - _MARGIN : y + CORE_NM + _MARGIN, x - _MARGIN : x + CORE_NM + _MARGIN], reach)
        if image.any() or y == x == at[1]:
            images.append(image)
            places.append((i, y, x))
    codes = [cells[i] if y == x == at[1] else NO_CELL for i, y, x in places]
    told = {"cells": np.array(codes), "kind": kind, "context_nm": float(rule["context_nm"]), "dial": dial}
    drawn = models.predict(model, np.stack(images), batch=batch, **told)
    for core, (i, y, x) in zip(middle(drawn, CORE_NM), places, strict=True):
        masks[i, y : y + CORE_NM, x : x + CORE_NM] = core
    return np.stack([image for image, (_, y, x) in zip(drawn, places, strict=True) if y == x == at[1]]), masks


def within(image: np.ndarray, reach: float) -> np.ndarray:
    """The (1024, 1024) image with nothing farther than ``reach`` nm from its core."""
    hidden = _MARGIN - min(round(reach), _MARGIN)
    return np.pad(image[hidden : IMAGE_NM - hidden, hidden : IMAGE_NM - hidden].astype(np.uint8), hidden)


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
    about = weights.about(path)
    if not {"context_nm", "kind"} <= set(about.get("rule", {})):
        raise SchemaError(f"{path} does not say how its network was trained; take weights that notebook 31 wrote")
    model = for_fields(weights.load(path))
    began = time.perf_counter()
    target = np.asarray(target)
    start = tuple((n // 2 - core_in_middle * CORE_NM // 2) % CORE_NM for n in target.shape)
    images, places = _tiles(np.roll(target, [-s for s in start], (0, 1)), reach_nm(model, about["rule"]["context_nm"]))
    mask = np.zeros(target.shape, np.uint8)
    if len(images):
        conditions = {"kind": about["rule"]["kind"].partition("+")[0], "context_nm": float(about["rule"]["context_nm"])}
        conditions |= {"cells": np.full(len(images), NO_CELL), "dial": dial}
        tiles = models.predict(model, images, batch=batch, **conditions)
        for core, (y, x) in zip(middle(tiles, CORE_NM), places, strict=True):
            mask[y : y + CORE_NM, x : x + CORE_NM] = core
    return np.roll(mask, start, (0, 1)), time.perf_counter() - began, about


def for_fields(model: models.MaskModel) -> models.MaskModel:
    """The network as it draws cores that will stand side by side: an unrolled descent minds its print beyond them."""
    if isinstance(model, UnrolledLitho):
        model.prints = PrintGradients(replace(cast(Options, model.options), rim_nm=RIM_NM))
    return model


def reach_nm(model: models.MaskModel, context_nm: float) -> float:
    """How much it is then shown around a core: as in training, an unrolled descent all that its image holds."""
    return _MARGIN if isinstance(model, UnrolledLitho) else context_nm


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
    wide = np.pad(target.astype(np.uint8), _MARGIN, mode="wrap")
    images, places = [], []
    for y in range(0, target.shape[0], CORE_NM):
        for x in range(0, target.shape[1], CORE_NM):
            seen = within(wide[y : y + IMAGE_NM, x : x + IMAGE_NM], context_nm)
            if seen.any():
                images.append(seen)
                places.append((y, x))
    return np.array(images, np.uint8).reshape(-1, IMAGE_NM, IMAGE_NM), places
