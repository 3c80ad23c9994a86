"""Masks for a store of tiles: one solution a geometry, in small batches over any number of workers.

Tiles that look the same within their context, or are turns of one another under a symmetry that the kernels have, share
a label. A batch of labels and one kind of mask is a part on disk under a key of all that determines it. Batches come in
such an order that every layer and kind of mask is at any time done to about the same share; when the parts of a shard
of the store are there, the shard is written. So a run that ends early leaves something of everything, and goes on where
it stopped.

Run times differ from run to run, so they stay beside the store, with the parts: its digest is that of the masks.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import metrics
from maskopt_lib.data import schema, shards
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.layout import TileRule, content_image
from maskopt_lib.runs.hashing import hashed
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread, torch_threads
from maskopt_lib.study.dataset.choose import NO_LABEL, Labelling, Wanted
from maskopt_lib.study.dataset.cut import PARTS, is_sound, read_keys, write_keys
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver, label_digest

_KEY_DIGITS = 16
_LAYER, _KIND = "layer", "kind"
_TIMES = ("solve_s", "solve_cpu_s", "score_s", "score_cpu_s")


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Labels that are solved together, as they travel to a worker."""

    store: TileStore
    layer: str
    kind: str
    context_nm: float
    first: int
    sample: tuple[int, ...]
    rule: LabelRule
    device: str
    path: Path

    @property
    def said(self) -> dict | None:
        """What is said of the part; None where it is not there, or damaged."""
        return said_of(self.path)


def batches(
    store: TileStore,
    labellings: Mapping[str, Labelling],
    rule: LabelRule,
    wanted: Wanted,
    folder: Path,
    *,
    device: str = "cpu",
) -> list[Batch]:
    """All batches, in the order they are solved: every layer, context and kind to the same share at any time.

    Parameters
    ----------
    store, labellings, wanted : of :func:`maskopt_lib.study.dataset.choose.choose_labels`.
    rule : how masks are made.
    folder : of the build.
    device : of each worker, "cuda" for one GPU a worker.
    """
    target = (folder / PARTS).resolve()
    target.mkdir(parents=True, exist_ok=True)
    digest = label_digest(rule, labellings, wanted.kinds, device)
    found: list[tuple[float, int, Batch]] = []
    for layer, labelling in labellings.items():
        signature = store.open(layer)["signature"].load()
        for first, chosen in zip(labelling.first, labelling.chosen, strict=True):
            shown = signature.sel({ta.CONTEXT: round(chosen.context_nm)}).values
            scored = signature.isel({ta.CONTEXT: -1}).values
            starts = range(0, len(chosen.sample), wanted.batch)
            for kind in wanted.kinds:
                for i, start in enumerate(starts):
                    sample = chosen.sample[start : start + wanted.batch]
                    who = [shown[sample].tolist(), scored[sample].tolist()]
                    key = hashed([digest[layer, kind], layer, kind, chosen.context_nm, who])[:_KEY_DIGITS]
                    path = target / f"{file_name('labels', layer, kind, f'{first + start:06d}', key)}.npz"
                    one = Batch(
                        store=store, layer=layer, kind=kind, context_nm=chosen.context_nm, first=first + start,
                        sample=tuple(sample.tolist()), rule=rule, device=device, path=path,
                    )  # fmt: skip
                    found.append(((i + 0.5) / len(starts), len(found), one))
    return [batch for _, _, batch in sorted(found, key=lambda entry: entry[:2])]


def label(
    todo: Sequence[Batch],
    store: TileStore,
    labellings: Mapping[str, Labelling],
    wanted: Wanted,
    *,
    client: distributed.Client | None = None,
    title: str = "labels",
) -> dict[str, int]:
    """Solve, score and store all labels that are not there.

    Parameters
    ----------
    todo : of :func:`batches`, all of them.
    store, labellings, wanted : what they were formed from.
    client : of the workers.
    title : of the progress bar.

    Returns
    -------
    How many ``batches``, ``masks`` and ``shards`` of the store were made.
    """
    _lay_out(store, labellings, todo, wanted)
    # Which parts each shard waits for; those of shards that are there need not be.
    waiting: dict[tuple[str, str, int], list[Batch]] = {}
    for layer in labellings:
        for kind in wanted.kinds:
            entries = store.entries(layer, f"{ta.LABELS}-{kind}")
            for shard in store.missing(layer, f"{ta.LABELS}-{kind}", deep=True):
                start, stop = entries[shard].start, entries[shard].stop
                of_kind = (b for b in todo if (b.layer, b.kind) == (layer, kind))
                overlapping = [b for b in of_kind if b.first < stop and b.first + len(b.sample) > start]
                waiting[layer, kind, shard] = overlapping
    needed = {batch.path for those in waiting.values() for batch in those}
    lacking = [batch for batch in todo if batch.path in needed and batch.said is None]
    left = {where: {batch.path for batch in those} for where, those in waiting.items()}
    done = {"batches": len(lacking), "masks": sum(len(batch.sample) for batch in lacking), "shards": len(waiting)}

    def write_filled(path: Path | None) -> None:
        for where, paths in list(left.items()):
            paths.discard(path)
            if not paths:
                _fill(store, *where, waiting[where])
                del left[where]

    gone = {batch.path for batch in lacking}
    for paths in left.values():
        paths &= gone
    write_filled(None)
    solve(lacking, client=client, title=title, after=lambda batch: write_filled(batch.path))
    return done


def solve(
    lacking: Sequence[Batch],
    *,
    client: distributed.Client | None = None,
    title: str = "labels",
    after: Callable[[Batch], None] = lambda batch: None,
) -> None:
    """Solve, score and keep batches; ``after`` is called here when one is done."""
    total = sum(len(batch.sample) for batch in lacking)
    with (
        tqdm(total=total, desc=title, unit="mask", file=sys.stdout, mininterval=5, maxinterval=30) as bar,
    ):
        for batch, _ in spread(_solve, lacking, client=client):
            bar.update(len(batch.sample))
            after(batch)


def label_times(todo: Sequence[Batch]) -> xr.Dataset:
    """Seconds that labels took, as measured when they were made.

    Returns
    -------
    Dataset over ``layer`` and ``kind``: ``masks``; ``solve_s`` and ``score_s``, wall time, ``solve_cpu_s`` and
    ``score_cpu_s``, time of the processor, which does not grow with what else the machine has to do; sums over all
    workers, of batches that are there.
    """
    layers, kinds = (list(dict.fromkeys(getattr(batch, name) for batch in todo)) for name in (_LAYER, _KIND))
    names = {"masks": ("masks", "1"), "solve_s": ("time to solve", "s"), "score_s": ("time to score", "s")}
    names |= {"solve_cpu_s": ("processor time to solve", "s"), "score_cpu_s": ("processor time to score", "s")}
    values = {name: np.zeros((len(layers), len(kinds))) for name in names}
    for batch in todo:
        if (said := batch.said) is None:
            continue
        at = layers.index(batch.layer), kinds.index(batch.kind)
        for name in names:
            values[name][at] += said.get(name, np.nan)
    return xr.Dataset(
        {name: ((_LAYER, _KIND), values[name], {"long_name": long, "units": u}) for name, (long, u) in names.items()},
        coords={_LAYER: layers, _KIND: kinds},
    )


def label_pictures(store: TileStore, rule: LabelRule, labels: Mapping[str, Sequence[int]]) -> xr.Dataset:
    """Tiles with their masks, and what these print.

    Parameters
    ----------
    store : with labels.
    rule : how they were made.
    labels : layer -> numbers of labels.

    Returns
    -------
    Dataset over ``title``, ``y`` and ``x`` (nm) of 0 and 1: ``target``, the tile as it was solved, ``mask``,
    ``nominal``, ``outer`` and ``inner`` prints; one entry a label and kind of mask.
    """
    solver = TileSolver(rule)
    rows = []
    for layer, numbers in labels.items():
        tiles, there = store.open(layer), store.open(layer, labels=True)
        for number in numbers:
            one = there.isel({ta.LABEL: number})
            tile = tiles.isel({schema.SAMPLE: int(one["sample"])})
            context_nm = int(one["context_nm"])
            target = content_image(tile["content"].values, tile_rule(store), context_nm)
            name = tiles["cell"].attrs["names"][int(tile["cell"])]
            for kind in there[ta.METHOD].values.tolist():
                mask = np.unpackbits(one["mask"].sel({ta.METHOD: kind}).values, axis=-1, bitorder="little")
                aerial = solver.sim.aerial_in_middle(mask[None].astype(np.float32), pixel_nm=rule.pixel_nm)[0]
                printed = (aerial >= solver.sim.threshold).cpu().numpy().astype(np.uint8)
                images = {"target": target, "mask": mask} | dict(zip(schema.CORNERS, printed, strict=True))
                rows.append((f"{layer}, {context_nm} nm, {name}: {kind}", images))
    centres = (np.arange(len(rows[0][1]["mask"])) + 0.5) * rule.pixel_nm
    names = ("target", "mask", *schema.CORNERS)
    return xr.Dataset(
        {
            name: (("title", schema.Y, schema.X), np.stack([images[name] for _, images in rows]), {"units": "1"})
            for name in names
        },
        coords={
            "title": [title for title, _ in rows],
            **{axis: (axis, centres, {"long_name": axis, "units": "nm"}) for axis in (schema.Y, schema.X)},
        },
    )


def tile_rule(store: TileStore) -> TileRule:
    """How the tiles of a store were cut; the step from window to window is that of each layer."""
    said = {name: value for name, value in store.rule.items() if name != "step_nm"}
    return TileRule(**said | {"contexts_nm": tuple(said["contexts_nm"])})


def _lay_out(store: TileStore, labellings: Mapping[str, Labelling], todo: Sequence[Batch], wanted: Wanted) -> None:
    """Make room for the labels; those of another choice are removed, what was solved for them stays in the parts."""
    for layer, labelling in labellings.items():
        label_of = np.stack(
            [
                np.where(one.label_of >= 0, one.label_of + first, NO_LABEL)
                for first, one in zip(labelling.first, labelling.chosen, strict=True)
            ],
            axis=1,
        )
        turn_of = np.stack([one.turn_of for one in labelling.chosen], axis=1)
        links = hashlib.sha256(label_of.tobytes() + turn_of.tobytes()).hexdigest()
        key = hashed(
            [links, wanted.kinds, wanted.shard_size, [batch.path.name for batch in todo if batch.layer == layer]]
        )
        kinds = [ta.LINKS, ta.LABELS, *(f"{ta.LABELS}-{kind}" for kind in wanted.kinds)]
        known = read_keys(store)
        if known["labels"].get(layer) == key and is_sound(store, layer, kinds):
            if not any(store.missing(layer, kind, deep=True) for kind in kinds[:2]):
                continue
        else:
            _forget_labels(store, layer)
        known["labels"][layer] = key
        write_keys(store, known)
        store.reserve_labels(
            layer,
            sample=labelling.sample,
            context_nm=labelling.context_nm,
            label_of=label_of,
            turn_of=turn_of,
            label_contexts_nm=[round(one.context_nm) for one in labelling.chosen],
            methods=wanted.kinds,
            scores=metrics.CORE_SCORES,
            shard_size=wanted.shard_size,
            rule=todo[0].rule.to_dict(),
            turns=labelling.shared.attrs["turns"],
        )


def _forget_labels(store: TileStore, layer: str) -> None:
    """Remove the labels of a layer, files and checksums."""
    group = store.path / shards.ARRAYS / layer
    for path in [group / ta.LABELS, *(group / name for name in (*ta.LINK_ARRAYS, ta.LABEL_CONTEXT))]:
        shutil.rmtree(path, ignore_errors=True)
    for name in (ta.LINKS, ta.LABELS):
        for path in (store.path / shards.MANIFESTS).glob(f"{layer}-{name}*.json"):
            path.unlink()


def _fill(store: TileStore, layer: str, kind: str, shard: int, those: Sequence[Batch]) -> None:
    """Write a shard of labels from the parts that overlap it."""
    entries = store.entries(layer, f"{ta.LABELS}-{kind}")[shard]
    found: dict[str, list[np.ndarray]] = {name: [] for name in ("mask", *metrics.CORE_SCORES)}
    for batch in sorted(those, key=lambda one: one.first):
        inner = slice(max(entries.start - batch.first, 0), entries.stop - batch.first)
        kept = read_part(batch.path, list(found))
        for name, values in found.items():
            values.append(kept[name][inner])
    arrays = {name: np.concatenate(values) for name, values in found.items()}
    # Not here: run times differ from run to run, and so would the store.
    store.write_labels(layer, kind, shard, arrays | {schema.RUNTIME: np.full(len(arrays["mask"]), np.nan)})


def _solve(batch: Batch, kept: Kept) -> None:
    """What a worker does with a batch: read, solve, score, keep."""
    rule = batch.rule
    with torch_threads(1):
        solver = kept(hashed([rule.to_dict(), batch.device]), partial(_ready, rule, batch.device))
        tiles = kept((batch.store, batch.layer), partial(batch.store.open, batch.layer))
        cut = tile_rule(batch.store)
        packed = np.stack([tiles["content"][sample].values for sample in batch.sample])
        clocks = [_clocks()]
        masks, _ = solver.solve(content_image(packed, cut, batch.context_nm), batch.layer, batch.kind)
        clocks.append(_clocks())
        # Edges are where the layout has them, as far as it is known.
        scores = solver.score(masks, content_image(packed, cut, cut.context_nm))
        clocks.append(_clocks())
    write_part(
        batch.path,
        {name: scores[name].values for name in metrics.CORE_SCORES},
        {"masks": len(masks)} | dict(zip(_TIMES, np.diff(clocks, axis=0).ravel().tolist(), strict=True)),
        bits={"mask": np.packbits(masks, axis=-1, bitorder="little")},
    )


def _ready(rule: LabelRule, device: str) -> TileSolver:
    """A solver that has its optics, so that no mask's time holds theirs."""
    solver = TileSolver(rule, device=device)
    solver.sim.to(device)
    return solver


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
