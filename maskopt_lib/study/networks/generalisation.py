"""How far trained networks carry: to cells and designs that they have not seen, to other clips, to other optics."""

import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr

from maskopt_lib import metrics, models, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, SchemaError, UnknownNameError
from maskopt_lib.litho import CONTEST_CORNERS, Simulator
from maskopt_lib.models import shipped, weights
from maskopt_lib.models.inputs import CORE_NM, IMAGE_NM, NO_CELL
from maskopt_lib.models.training.checkpoints import WEIGHTS
from maskopt_lib.models.unrolled_litho import Options, PrintGradients, UnrolledLitho
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.bootstrap import resampled_means
from maskopt_lib.runs.effects import Effect
from maskopt_lib.runs.gather import labelled, progress
from maskopt_lib.runs.paths import resolved
from maskopt_lib.study.networks.benchmark import IDENTITY, LABELS, Bench, Comparison

OPTICS = "optics"
_CLIP_SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)
#: How far beyond the core an unrolled descent minds its print, in nm; chosen from 0, 128, 192 and 256 on one window.
RIM_NM = 192.0


def way_to_label(scores: xr.Dataset, method: str, *, name: str = schema.L2, seed: int = 0) -> Effect:
    """How far a network gets on the way from the layout as its own mask (0 %) to the labels (100 %).

    Tiles of one split may be harder than those of another for all alike; this is the same for both.

    Parameters
    ----------
    scores : of a benchmark, with both of these rows.
    method : the network.
    name : score, better when smaller.
    seed : of the bootstrap over cells and seeds.

    Examples
    --------
    >>> dims, l2 = ("method", "seed", "sample"), [[[10.0, 20.0]], [[4.0, 8.0]], [[7.0, 14.0]]]
    >>> ds = xr.Dataset({"l2_nm2": (dims, l2), "cell": ("sample", ["a", "b"])}, {"method": [IDENTITY, LABELS, "net"]})
    >>> found = way_to_label(ds, "net")
    >>> found.mean, [round(end, 6) for end in found.interval]
    (50.0, [50.0, 50.0])
    """
    rows = [IDENTITY, LABELS, method]
    if unknown := [row for row in rows if row not in scores[schema.METHOD].values]:
        raise UnknownNameError(f"no row {unknown[0]!r} in the scores; there are: {', '.join(scores.method.values)}")
    values = scores[name].sel({schema.METHOD: rows}).transpose(schema.METHOD, schema.SEED, schema.SAMPLE).values
    means = np.nanmean(values, axis=(1, 2))
    draws = resampled_means(values, scores["cell"].values, seed=seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, drawn = (100 * (layout - net) / (layout - label) for layout, label, net in (means, draws))
    return Effect(float(mean), drawn)


def defocused(kernels: SocsKernels) -> Simulator:
    """The optics with every corner at the second focus setting: a wafer that lies too high, or too low."""
    if len(kernels.focus_names) < 2:
        raise GridMismatchError(f"the kernel set {kernels.name!r} has one focus setting only")
    return Simulator(kernels, corners=[replace(corner, focus=1) for corner in CONTEST_CORNERS])


def score_optics(bench: Bench, comparison: Comparison, kernel_sets: Mapping[str, str]) -> xr.Dataset:
    """Masks that were made for one optics, of networks those of the smallest seed, printed by others.

    Parameters
    ----------
    bench : where masks were made.
    comparison : whose masks are printed.
    kernel_sets : what to call it -> name for :func:`maskopt_lib.optics.load`; with `` defocused`` behind it every
        corner is printed out of focus.

    Returns
    -------
    Dataset over ``optics``, ``method`` and ``sample`` with the scores of :func:`maskopt_lib.metrics.evaluate_core`.
    """
    drawn = bench.read(comparison.tiles).drawn
    masks = {e.name: bench.masks(e, comparison.tiles, comparison.kind) for e in comparison.first_seeds}
    sims = {}
    for called, name in kernel_sets.items():
        kernels = optics.load(name.removesuffix(" defocused"))
        sim = defocused(kernels) if name.endswith(" defocused") else Simulator(kernels)
        sims[called] = sim.to(bench.device)
    rows = {}
    with progress(len(masks) * len(sims), comparison.tiles.layer, "method") as bar:
        for called, method in product(sims, masks):
            rows[called, method] = metrics.evaluate_core(masks[method], drawn, sims[called], core_nm=CORE_NM)
            bar.update()
    return schema.label(labelled(rows, (OPTICS, schema.METHOD)))


def score_clips(
    networks: Mapping[tuple[str, int], Path], clips: Mapping[str, np.ndarray], sim: Simulator, *, batch: int = 4
) -> xr.Dataset:
    """Whole clips, drawn core by core with the context that each network was trained with, and scored as clips are.

    Parameters
    ----------
    networks : (name, seed) -> folder of its training.
    clips : name -> (y, x) at 1 nm, as wide as the optics' field.
    sim : the simulator.
    batch : tiles at a time.

    Returns
    -------
    Dataset over ``method``, ``seed`` and ``sample`` with scores of :func:`maskopt_lib.metrics.evaluate`; the layout as
    its own mask stands first. ``cell`` names the clip: each is drawn by itself in a bootstrap.
    """
    rows = {}
    with progress(len(clips), "clips", "clip") as bar:
        for clip, target in clips.items():
            masks = {(IDENTITY, min(seed for _, seed in networks)): target}
            for key, folder in networks.items():
                masks[key], _, _ = network_mask(folder / WEIGHTS, target, batch=batch)
            for key, mask in masks.items():
                scores = metrics.evaluate(mask, target, sim, only=_CLIP_SCORES)
                rows[*key, clip] = {score: float(scores[score]) for score in _CLIP_SCORES}
            bar.update()
    ds = labelled(rows, (schema.METHOD, schema.SEED, schema.SAMPLE)).sortby(schema.SEED)
    ds["cell"] = schema.column(schema.SAMPLE, list(clips), "clip")
    return schema.label(ds.assign_attrs(kernels=sim.kernels.name))


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
    model, reach_nm = _for_fields(weights.load(path), about["rule"]["context_nm"])
    began = time.perf_counter()
    target = np.asarray(target)
    start = tuple((n // 2 - core_in_middle * CORE_NM // 2) % CORE_NM for n in target.shape)
    images, places = _tiles(np.roll(target, [-s for s in start], (0, 1)), reach_nm)
    mask = np.zeros(target.shape, np.uint8)
    if len(images):
        conditions = {"kind": about["rule"]["kind"].partition("+")[0], "context_nm": float(about["rule"]["context_nm"])}
        conditions |= {"cells": np.full(len(images), NO_CELL), "dial": dial}
        tiles = models.predict(model, images, batch=batch, **conditions)
        margin = (IMAGE_NM - CORE_NM) // 2
        cores = tiles[:, margin : margin + CORE_NM, margin : margin + CORE_NM]
        for core, (y, x) in zip(cores, places, strict=True):
            mask[y : y + CORE_NM, x : x + CORE_NM] = core
    return np.roll(mask, start, (0, 1)), time.perf_counter() - began, about


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
