"""How far trained networks carry: to cells and designs that they have not seen, to other clips, to other optics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import CONTEST_CORNERS, Simulator
from maskopt_lib.models.training.loop import Trained
from maskopt_lib.optics import SocsKernels
from maskopt_lib.runs.bootstrap import resampled_means
from maskopt_lib.runs.effects import Effect
from maskopt_lib.study.dataset.tile_masks import scorer
from maskopt_lib.study.networks.benchmark import IDENTITY, LABELS
from maskopt_lib.study.networks.fields import network_mask

OPTICS = "optics"


def way_to_label(scores: xr.Dataset, method: str, *, name: str = schema.L2, seed: int = 0) -> Effect:
    """How far a network gets on the way from the layout as its own mask (0 %) to the labels (100 %).

    Tiles of one split may be harder than those of another for all alike; this is the same for both.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`, with both of these rows.
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
        shares = [100 * (one[0] - one[2]) / (one[0] - one[1]) for one in (means, draws)]
    return Effect(float(shares[0]), shares[1])


def defocused(kernels: SocsKernels) -> Simulator:
    """The optics with every corner at the second focus setting: a wafer that lies too high, or too low."""
    if len(kernels.focus_names) < 2:
        raise GridMismatchError(f"the kernel set {kernels.name!r} has one focus setting only")
    return Simulator(kernels, corners=[replace(corner, focus=1) for corner in CONTEST_CORNERS])


def score_optics(
    masks: Mapping[str, np.ndarray], drawn: np.ndarray, kernel_sets: Mapping[str, str], *, device: str = "cpu"
) -> xr.Dataset:
    """Masks that were made for one optics, printed by others.

    Parameters
    ----------
    masks : name -> (n, y, x) at 1 nm.
    drawn : (n, y, x) the layout.
    kernel_sets : what to call it -> name for :func:`maskopt_lib.optics.load`; with `` defocused`` behind it every
        corner is printed out of focus.
    device : of the simulator.

    Returns
    -------
    Dataset over ``method``, ``optics`` and ``sample`` with the scores of :func:`maskopt_lib.metrics.evaluate_core`.
    """
    per_optics = []
    for name in kernel_sets.values():
        kernels = optics.load(name.removesuffix(" defocused"))
        solver = scorer(kernels, device)
        if name.endswith(" defocused"):
            solver.sim = defocused(kernels).to(device)
        found = [solver.score(one, drawn) for one in tqdm(masks.values(), desc=name, unit="method")]
        per_optics.append(xr.concat(found, schema.METHOD, combine_attrs="drop_conflicts"))
    both = xr.concat(per_optics, OPTICS, combine_attrs="drop_conflicts")
    return schema.label(both.assign_coords({OPTICS: list(kernel_sets), schema.METHOD: list(masks)}))


def score_clips(
    networks: Mapping[tuple[str, int], Trained | Path],
    clips: Mapping[str, np.ndarray],
    sim: Simulator,
    *,
    only: Sequence[str] = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS),
    batch: int = 4,
) -> xr.Dataset:
    """Whole clips, drawn core by core with the context that each network was trained with, and scored as clips are.

    Parameters
    ----------
    networks : (name, seed) -> training, or its folder.
    clips : name -> (y, x) at 1 nm, as wide as the optics' field.
    sim : the simulator.
    only : scores of :func:`maskopt_lib.metrics.evaluate`.
    batch : tiles at a time.

    Returns
    -------
    Dataset over ``method``, ``seed`` and ``sample``; the layout as its own mask stands first. ``cell`` names the clip:
    each is drawn by itself in a bootstrap.
    """
    seeds = sorted({number for _, number in networks})
    methods = [IDENTITY, *dict.fromkeys(name for name, _ in networks)]
    values = {name: np.full((len(methods), len(seeds), len(clips)), np.nan) for name in only}
    for j, target in enumerate(tqdm(clips.values(), desc="clips", unit="clip")):
        made = {(IDENTITY, seeds[0]): target}
        for key, one in networks.items():
            folder = one.path if isinstance(one, Trained) else Path(one)
            made[key], _, _ = network_mask(folder / "weights.safetensors", target, batch=batch)
        for (name, number), mask in made.items():
            found = metrics.evaluate(mask, target, sim, only=only)
            for score in only:
                values[score][methods.index(name), seeds.index(number), j] = float(found[score].squeeze())
    dims = (schema.METHOD, schema.SEED, schema.SAMPLE)
    ds = xr.Dataset(
        {name: (dims, column) for name, column in values.items()}
        | {"cell": (schema.SAMPLE, list(clips), {"long_name": "clip", "units": "1"})},
        coords={schema.METHOD: methods, schema.SEED: seeds, schema.SAMPLE: list(clips)},
        attrs={"kernels": sim.kernels.name},
    )
    return schema.label(ds)
