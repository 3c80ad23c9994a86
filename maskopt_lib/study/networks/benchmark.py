"""Masks of held-out tiles by networks, beside the layout itself, the labels and numerical solvers, all scored alike.

What one entry makes of some tiles is a part on disk, with masks, scores and seconds, under a key of all that determines
it: what is there is not made again, and any score can be taken anew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.models.training.loop import Trained, is_finished, predict_tiles, read_trained
from maskopt_lib.models.training.rules import ADVERSARIAL, LABEL
from maskopt_lib.models.training.tiles import read_tiles
from maskopt_lib.opc.solve import method_digest
from maskopt_lib.optics.kernels import SocsKernels, kernels_digest
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread, torch_threads
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver, scorer
from maskopt_lib.study.networks.scores import TRAITS

IDENTITY, LABELS = "layout as mask", "labels"
#: Folder of the parts in that of a run.
PARTS = "parts"
_KEY_DIGITS = 16
# Kind under which the solver of an entry knows its recipe.
_OWN = "own"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """Who makes masks: a network, a solver, the labels, or, with none of these, nobody.

    Attributes
    ----------
    name : row of the tables.
    trained : folder of a finished training.
    recipe : of a solver.
    label : kind of label that is taken as it is.
    seed : of the training.
    dial : wished simplicity, for a network that has the dial.
    """

    name: str
    trained: Path | None = None
    recipe: opc.Recipe | None = None
    label: str | None = None
    seed: int = 0
    dial: float = 0.0


def solver_entries(solvers: Mapping[str, Mapping[str, Any]], layer: str) -> list[Entry]:
    """Solvers as entries, for one layer.

    Parameters
    ----------
    solvers : name -> ``method``, ``preset``, and ``options`` that differ from it; ``presets`` may name others by layer.
    layer : of the tiles.
    """
    return [
        Entry(
            name=name,
            recipe=opc.Recipe(
                method=said["method"],
                preset=said.get("presets", {}).get(layer, said["preset"]),
                options=said.get("options", {}),
            ),
        )
        for name, said in solvers.items()
    ]


@dataclass(frozen=True, kw_only=True)
class Tiles:
    """Which tiles are scored, as they travel to a worker.

    Attributes
    ----------
    store : folder of the dataset.
    layer, split, context_nm, kinds : as for :func:`maskopt_lib.models.training.tiles.choose_tiles`.
    samples : index in the store.
    """

    store: Path
    layer: str
    split: str | None
    context_nm: int
    samples: tuple[int, ...]
    kinds: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class _Part:
    entry: Entry
    tiles: Tiles
    kind: str
    kernels: SocsKernels
    device: str
    path: Path


def benchmark(
    entries: Sequence[Entry],
    tiles: Tiles,
    run_dir: str | Path,
    *,
    kind: str,
    kernels: str | SocsKernels,
    device: str = "cpu",
    batch: int = 8,
    client: distributed.Client | None = None,
) -> xr.Dataset:
    """Make and score masks, or take those that are there.

    Parameters
    ----------
    entries : who makes them; networks of several seeds have the same name.
    tiles : what is solved.
    run_dir : folder of the run; masks and scores are kept in ``parts/`` below.
    kind : of masks, for networks that make several.
    kernels : the optics, or their name.
    device : of networks, solvers and scores.
    batch : tiles a part.
    client : of workers; each computes on one thread.

    Returns
    -------
    Dataset over ``method``, ``seed`` and ``sample``: the scores of :func:`maskopt_lib.metrics.evaluate_core` and
    ``runtime_s`` a tile, nan where a method has no such seed; over ``sample``: ``tile`` (index in the store), ``cell``
    (name) and the `TRAITS`.
    """
    todo = _parts(entries, tiles, Path(run_dir), kind, kernels, device, batch)
    lacking = list({part.path: part for part in todo if said_of(part.path) is None}.values())
    with (
        tqdm(total=len(lacking), desc=f"{tiles.layer} {kind}", unit="part", file=sys.stdout, mininterval=10) as bar,
    ):
        for _ in spread(_score, lacking, client=client, keep=3):
            bar.update()
    methods = list(dict.fromkeys(entry.name for entry in entries))
    seeds = sorted({entry.seed for entry in entries})
    names = (*metrics.CORE_SCORES, schema.RUNTIME)
    values = {name: np.full((len(methods), len(seeds), len(tiles.samples)), np.nan) for name in names}
    for part in todo:
        kept, first = read_part(part.path, names), tiles.samples.index(part.tiles.samples[0])
        at = methods.index(part.entry.name), seeds.index(part.entry.seed)
        for name in names:
            values[name][(*at, slice(first, first + len(kept[name])))] = kept[name]
    dims = (schema.METHOD, schema.SEED, schema.SAMPLE)
    found = xr.Dataset(
        {name: (dims, column) for name, column in values.items()},
        coords={schema.METHOD: methods, schema.SEED: seeds, schema.SAMPLE: np.arange(len(tiles.samples))},
        attrs={"layer": tiles.layer, "kind": kind, "split": str(tiles.split), "context_nm": tiles.context_nm},
    )
    found[schema.RUNTIME].attrs["long_name"] = "time a tile"
    return schema.label(found.assign(traits(tiles)))


def masks_of(
    entry: Entry, tiles: Tiles, run_dir: str | Path, *, kind: str, kernels: str | SocsKernels, device: str = "cpu",
    batch: int = 8,
) -> np.ndarray:  # fmt: skip
    """Masks that :func:`benchmark` kept, (n, y, x) uint8; parameters as there."""
    parts = _parts([entry], tiles, Path(run_dir), kind, kernels, device, batch)
    packed = np.concatenate([read_part(part.path, ["mask"])["mask"] for part in parts])
    return np.unpackbits(packed, axis=-1, bitorder="little")


def together(scores: Mapping[tuple[str, str], xr.Dataset]) -> xr.Dataset:
    """Results of several layers and kinds of masks in one Dataset over ``layer``, ``kind`` and those of each.

    Parameters
    ----------
    scores : (layer, kind) -> of :func:`benchmark`, every kind for every layer; what one lacks is nan, and an empty
        name.
    """
    layers, kinds = (list(dict.fromkeys(names)) for names in zip(*scores, strict=True))
    how = {"join": "outer", "combine_attrs": "drop_conflicts"}
    by_layer = [
        xr.concat([scores[layer, kind] for kind in kinds], pd.Index(kinds, name="kind"), **how) for layer in layers
    ]
    found = xr.concat(by_layer, pd.Index(layers, name="layer"), **how)
    methods = list(dict.fromkeys(name for ds in scores.values() for name in ds[schema.METHOD].values.tolist()))
    found = found.sel({schema.METHOD: methods})
    return found.assign(cell=found["cell"].where(found["cell"].notnull(), "").astype(str))


def traits(tiles: Tiles) -> dict[str, Any]:
    """What is known of tiles, over ``sample``: ``tile``, ``cell`` and the `TRAITS`, but for those that are scores."""
    ds = TileStore(tiles.store).open(tiles.layer).isel({ta.SAMPLE: list(tiles.samples)})
    context = ds[ta.CONTEXT].values.tolist().index(tiles.context_nm)
    shown = read_tiles(
        tiles.store, tiles.layer, np.array(tiles.samples), split=tiles.split, context_nm=tiles.context_nm
    ).image.mean((1, 2))
    rule = TileStore(tiles.store).rule
    core, all_of_it = rule["core_nm"] ** 2, (rule["core_nm"] + 2 * tiles.context_nm) ** 2
    density = ds["core_density"].values
    around = (shown * rule["image_nm"] ** 2 - density * core) / max(all_of_it - core, 1)
    values = {
        "core_density": density,
        "n_shapes_cut": ds["n_shapes_cut"].values[:, context].astype(float),
        "min_cut_nm": ds["min_cut_nm"].values[:, context].astype(float),
        "context_density": around if tiles.context_nm else np.full(len(density), np.nan),
    }
    found: dict[str, Any] = {
        name: (schema.SAMPLE, column, {"long_name": TRAITS[name][0], "units": TRAITS[name][1]})
        for name, column in values.items()
    }
    names = np.array(ds["cell"].attrs["names"])[ds["cell"].values]
    found["cell"] = (schema.SAMPLE, names.astype(str), {"long_name": "cell", "units": "1"})
    found["tile"] = (schema.SAMPLE, np.array(tiles.samples), {"long_name": "tile in the store", "units": "1"})
    return found


def error_gallery(
    scores: xr.Dataset, entry: Entry, tiles: Tiles, run_dir: str | Path, *, kind: str,
    kernels: str | SocsKernels, by: str = schema.L2, device: str = "cpu", batch: int = 8,
) -> xr.Dataset:  # fmt: skip
    """The best, the median and the worst tile of a method, with mask and prints.

    Parameters
    ----------
    scores : of :func:`benchmark`, with the entry.
    by : score that decides.
    entry, tiles, run_dir, kind, kernels, device, batch : as for :func:`benchmark`.

    Returns
    -------
    Dataset over ``title``, ``y`` and ``x`` (nm) of 0 and 1: ``target`` (the layout with its widest context), ``mask``,
    ``nominal``, ``outer`` and ``inner``.
    """
    values = scores[by].sel({schema.METHOD: entry.name, schema.SEED: entry.seed}).values
    order = np.argsort(values, kind="stable")
    chosen = {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}
    masks = masks_of(entry, tiles, run_dir, kind=kind, kernels=kernels, device=device, batch=batch)
    at = np.array(list(chosen.values()))
    drawn = _read(tiles, at).drawn
    solver = scorer(_loaded(kernels))
    aerial = solver.sim.aerial_in_middle(masks[at].astype(np.float32), pixel_nm=solver.rule.pixel_nm)
    printed = (aerial >= solver.sim.threshold).cpu().numpy().astype(np.uint8)
    images = {"target": drawn, "mask": masks[at]} | {c: printed[:, i] for i, c in enumerate(schema.CORNERS)}
    unit = schema.VARIABLES[by][1].replace("nm2", "nm²").replace("1", "")
    titles = [f"{entry.name}, {name}: {values[i]:,.0f} {unit}".strip() for name, i in chosen.items()]
    centres = (np.arange(masks.shape[-1]) + 0.5) * solver.rule.pixel_nm
    dims = ("title", schema.Y, schema.X)
    return xr.Dataset(
        {name: (dims, image, {"units": "1"}) for name, image in images.items()},
        coords={
            "title": titles,
            **{axis: (axis, centres, {"long_name": axis, "units": "nm"}) for axis in (schema.Y, schema.X)},
        },
        attrs={"core_nm": solver.rule.core_nm},
    )


def _read(tiles: Tiles, at: Sequence[int] | None = None):
    """Tiles in memory, all or those at some places."""
    samples = np.array(tiles.samples)
    order = np.arange(len(samples)) if at is None else np.asarray(at)
    where = {"split": tiles.split, "context_nm": tiles.context_nm, "kinds": tiles.kinds}
    return read_tiles(tiles.store, tiles.layer, samples[order], **where)


def _parts(
    entries: Sequence[Entry], tiles: Tiles, run_dir: Path, kind: str, kernels: str | SocsKernels, device: str,
    batch: int,
) -> list[_Part]:  # fmt: skip
    kernels = _loaded(kernels)
    folder = (run_dir / PARTS).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    code = source_hash(["maskopt_lib.study.networks.benchmark", "maskopt_lib.models.training.tiles"], follow=False)
    code += source_hash(["maskopt_lib.metrics.core", "maskopt_lib.litho.simulator"])
    common = [code, kernels_digest(kernels), TileStore(tiles.store).digest(), device, torch.__version__]
    common += [tiles.layer, tiles.context_nm]
    found = []
    for entry in entries:
        who = _who(entry, kind)
        for start in range(0, len(tiles.samples), batch):
            own = Tiles(**asdict(tiles) | {"samples": tiles.samples[start : start + batch]})
            key = hashed([common, who, own.samples])[:_KEY_DIGITS]
            path = folder / f"{file_name(tiles.layer, entry.name, f'seed{entry.seed}', f'{start:05d}', key)}.npz"
            found.append(_Part(entry=entry, tiles=own, kind=kind, kernels=kernels, device=device, path=path))
    return found


def _who(entry: Entry, kind: str) -> list[Any]:
    """All that determines an entry's masks of given tiles."""
    if entry.trained is not None:
        if not is_finished(entry.trained):
            read_trained(entry.trained)
        said = said_of(entry.trained / "curves.npz")
        code = source_hash(["maskopt_lib.models.predict", f"maskopt_lib.models.{said['rule']['model']}"], follow=False)
        return ["network", said["weights_sha256"], code, kind, entry.dial]
    if entry.recipe is not None:
        options = opc.options_of(entry.recipe.method, entry.recipe.preset, **entry.recipe.options)
        return ["solver", entry.recipe.method, method_digest(entry.recipe.method), asdict(options)]
    return ["label", entry.label] if entry.label else ["identity"]


def _score(part: _Part, kept: Kept) -> None:
    """What a worker does with a part: read, make masks, score, keep."""
    with torch_threads(1 if _in_worker() else torch.get_num_threads()):
        entry, tiles = part.entry, _read(part.tiles)
        lens = kernels_digest(part.kernels)
        judge = kept(("judge", lens, part.device), partial(scorer, part.kernels, part.device))
        seconds = 0.0
        if entry.trained is not None:
            trained = kept(("network", entry.trained, part.device), partial(_ready, entry.trained, part, tiles))
            kind = _kind_of(trained, part.kind)
            seconds, masks = _timed(lambda: predict_tiles(trained, tiles, kind=kind, dial=entry.dial), part.device)
        elif entry.recipe is not None:
            solver = kept(
                ("solver", hashed([asdict(entry.recipe), lens]), tiles.layer, part.device), partial(_solver, part)
            )
            masks, seconds = solver.solve(tiles.image, tiles.layer, _OWN)
        elif entry.label is not None:
            if entry.label not in tiles.masks:
                raise UnknownNameError(f"tiles were chosen without labels {entry.label!r}; name it in Tiles.kinds")
            masks = tiles.masks[entry.label]
        else:
            masks = tiles.image
        scores = judge.score(masks, tiles.drawn)
    arrays = {name: scores[name].values for name in metrics.CORE_SCORES}
    times = np.full(len(masks), seconds / len(masks) if entry.trained or entry.recipe else np.nan)
    bits = {"mask": np.packbits(masks, axis=-1, bitorder="little")}
    write_part(part.path, arrays | {schema.RUNTIME: times}, {"name": entry.name}, bits=bits)


def _in_worker() -> bool:
    """Whether this code runs in a worker of a cluster."""
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


def _loaded(kernels: str | SocsKernels) -> SocsKernels:
    return optics.load(kernels) if isinstance(kernels, str) else kernels


def _solver(part: _Part) -> TileSolver:
    recipes = {_OWN: {part.tiles.layer: part.entry.recipe}}
    solver = TileSolver(LabelRule(kernels=part.kernels.name, recipes=recipes), device=part.device)
    solver.sim = Simulator(part.kernels, device=part.device)
    # The first solve prepares the optics; no mask's time holds that.
    solver.solve(_read(part.tiles, [0]).image, part.tiles.layer, _OWN)
    return solver


def _ready(folder: Path, part: _Part, tiles) -> Trained:
    trained = read_trained(folder)
    trained.model.to(part.device)
    # The first prediction prepares; no mask's time holds that.
    predict_tiles(trained, tiles, kind=_kind_of(trained, part.kind))
    return trained


def _kind_of(trained: Trained, kind: str) -> str:
    """What to ask a network for: one that learnt from no masks draws one kind, whatever it is called."""
    labels = any(term in stage["weights"] for stage in trained.rule["stages"] for term in LABEL + ADVERSARIAL)
    return kind if labels else trained.model.conditioning.kinds[0]


def _timed(do, device: str) -> tuple[float, Any]:
    began = time.perf_counter()
    found = do()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began, found
