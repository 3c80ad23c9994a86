"""How far trained networks carry: to cells and designs that they have not seen, to other clips, to other optics."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib import metrics, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import CONTEST_CORNERS, Simulator
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.models.training.checkpoints import WEIGHTS
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.effects import Effect, effect_of
from maskopt_lib.runs.gather import labelled, progress
from maskopt_lib.study.networks.benchmark import Bench, Comparison
from maskopt_lib.study.networks.entries import IDENTITY, LABELS
from maskopt_lib.study.networks.fields import middle, network_mask

OPTICS = "optics"
_CLIP_SCORES = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


def way_to_label(scores: xr.Dataset, method: str, *, name: str = schema.L2) -> Effect:
    """How far a network gets on the way from the layout as its own mask (0 %) to the labels (100 %).

    Tiles of one split may be harder than those of another for all alike; this is the same for both.

    Parameters
    ----------
    scores : of a benchmark, with both of these rows.
    method : the network.
    name : score, better when smaller.

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
    return effect_of(lambda m: 100 * (m[0] - m[2]) / (m[0] - m[1]), list(values), scores["cell"].values)


def defocused(kernels: SocsKernels) -> Simulator:
    """The optics with every corner at the second focus setting: a wafer that lies too high, or too low."""
    if len(kernels.focus_names) < 2:
        raise GridMismatchError(f"the kernel set {kernels.name!r} has one focus setting only")
    return Simulator(kernels, corners=[replace(corner, focus=1) for corner in CONTEST_CORNERS])


def score_optics(bench: Bench, comparison: Comparison, kernel_sets: Mapping[str, str]) -> xr.Dataset:
    """Masks that were made for one optics, of networks those of the smallest seed, printed in place by others.

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
    fields = {e.name: bench.masks(e, comparison.tiles, comparison.kind) for e in comparison.first_seeds}
    sims = {}
    for called, name in kernel_sets.items():
        kernels = optics.load(name.removesuffix(" defocused"))
        sim = defocused(kernels) if name.endswith(" defocused") else Simulator(kernels)
        sims[called] = sim.to(bench.device)
    rows = {}
    with progress(len(fields) * len(sims), comparison.tiles.layer, "method") as bar:
        for called, method in product(sims, fields):
            masks = middle(fields[method], drawn.shape[-1])
            surroundings = {"core_nm": CORE_NM, "surroundings": fields[method]}
            rows[called, method] = metrics.evaluate_core(masks, drawn, sims[called], **surroundings)
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
