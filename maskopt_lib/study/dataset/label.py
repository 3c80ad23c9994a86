"""Masks for a store of tiles: one solution a geometry, in small batches over any number of workers.

Tiles that look the same within their context, or are turns of one another under a symmetry that the kernels have, share
a label. A batch of labels and one kind of mask is a part on disk under a key of all that determines it. Batches come in
such an order that every layer and kind of mask is at any time done to about the same share; when the parts of a shard
of the store are there, the shard is written. So a run that ends early leaves something of everything, and goes on where
it stopped.

Run times differ from run to run, so they stay beside the store, with the parts: its digest is that of the masks.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path

import distributed
import numpy as np
import xarray as xr

from maskopt_lib import files, metrics
from maskopt_lib.data import schema, shards
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.layout.cell_tiles import content_image
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of
from maskopt_lib.runs.parts import is_whole, part_path, write_part
from maskopt_lib.runs.spread import Kept, torch_threads
from maskopt_lib.study.dataset import cut
from maskopt_lib.study.dataset.choose import Labelling, LabelPlan
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver, label_digest
from maskopt_lib.study.labelled_images import images, pictures

KIND = "kind"
_TIMES = ("solve_s", "solve_cpu_s", "score_s", "score_cpu_s")


@dataclass(frozen=True, kw_only=True)
class Batch(Task):
    """Labels that are solved together."""

    store: TileStore
    layer: str
    kind: str
    context_nm: float
    first: int
    sample: tuple[int, ...]
    rule: LabelRule
    device: str

    def __len__(self) -> int:
        return len(self.sample)

    def __str__(self) -> str:
        return f"labels {self.first} to {self.first + len(self) - 1} of {self.layer}, {self.kind}"


def label_batches(
    store: TileStore,
    labellings: Mapping[str, Labelling],
    rule: LabelRule,
    plan: LabelPlan,
    folder: Path,
    *,
    device: str = "cpu",
) -> list[Batch]:
    """All batches, in the order they are solved: every layer, context and kind to the same share at any time.

    Parameters
    ----------
    store, labellings, plan : of :func:`maskopt_lib.study.dataset.choose.choose_labels`.
    rule : how masks are made.
    folder : of the build.
    device : of each worker, "cuda" for one GPU a worker.
    """
    digest = label_digest(rule, labellings, plan.kinds, device)
    batches: list[tuple[float, Batch]] = []
    for layer, labelling in labellings.items():
        signature = store.open(layer)["signature"].load()
        scored = signature.isel({ta.CONTEXT: -1}).values
        for context_nm in labelling.contexts_nm:
            shown = signature.sel({ta.CONTEXT: round(context_nm)}).values
            numbers = np.flatnonzero(labelling.context_nm == context_nm)
            starts = range(0, len(numbers), plan.batch)
            for kind, (i, start) in product(plan.kinds, enumerate(starts)):
                first = int(numbers[start])
                sample = labelling.sample[numbers[start : start + plan.batch]]
                tiles = [shown[sample].tolist(), scored[sample].tolist()]
                key = key_of([digest[layer, kind], layer, kind, context_nm, tiles])
                path = part_path(folder.resolve(), "labels", layer, kind, f"{first:06d}", key=key)
                labels = {"layer": layer, "kind": kind, "context_nm": context_nm, "first": first}
                batch = Batch(store=store, rule=rule, device=device, sample=tuple(sample.tolist()), path=path, **labels)
                batches.append(((i + 0.5) / len(starts), batch))
    return [batch for _, batch in sorted(batches, key=lambda entry: entry[0])]


def make_labels(
    batches: Sequence[Batch],
    store: TileStore,
    labellings: Mapping[str, Labelling],
    plan: LabelPlan,
    *,
    client: distributed.Client | None = None,
) -> dict[str, int]:
    """Solve, score and store all labels that are not there; how many ``batches``, ``masks``, ``shards`` were made.

    Parameters
    ----------
    batches : of :func:`label_batches`, all of them.
    store, labellings, plan : what they were formed from.
    client : of the workers.
    """
    with cut.writing(store.path.parent):
        _lay_out(store, labellings, batches, plan)
        # Which parts each shard waits for; those of shards that are there need not be.
        waiting = {}
        for layer, kind in ((layer, kind) for layer in labellings for kind in plan.kinds):
            of_kind = sorted((b for b in batches if (b.layer, b.kind) == (layer, kind)), key=lambda batch: batch.first)
            sizes = {batch.path: len(batch) for batch in of_kind}
            entries = store.entries(layer, f"{ta.LABELS}-{kind}")
            for shard in store.missing(layer, f"{ta.LABELS}-{kind}", deep=True):
                waiting[layer, kind, shard] = cut.overlaps(sizes, entries[shard])
        lacking = {path for path in {path for pieces in waiting.values() for path, _ in pieces} if not is_whole(path)}
        todo = [batch for batch in batches if batch.path in lacking]
        done = {"batches": len(todo), "masks": sum(map(len, todo)), "shards": len(waiting)}

        def fill_ready() -> None:
            for shard, pieces in list(waiting.items()):
                if lacking.isdisjoint(path for path, _ in pieces):
                    _fill(store, *shard, waiting.pop(shard))

        def after(batch: Batch) -> None:
            lacking.discard(batch.path)
            fill_ready()

        fill_ready()
        if todo:
            solve_batches(todo, client=client, after=after)
    return done


def solve_batches(
    batches: Sequence[Batch],
    *,
    client: distributed.Client | None = None,
    after: Callable[[Batch], None] = lambda batch: None,
) -> None:
    """Solve, score and keep batches that are not there; ``after`` is called here when one is done."""
    with cut.writing(cut.folder_of(batches)):
        complete(_solve, batches, client=client, title="labels", unit="mask", size=len, after=lambda b, _: after(b))


def label_times(batches: Sequence[Batch]) -> xr.Dataset:
    """Seconds that labels took, as measured when they were made.

    Returns
    -------
    Dataset over ``layer`` and ``kind``: ``masks``; ``solve_s`` and ``score_s``, wall time, ``solve_cpu_s`` and
    ``score_cpu_s``, time of the processor, which does not grow with what else the machine has to do; sums over all
    workers, of batches that are there.
    """
    variables = {
        "masks": ("masks", "1"),
        "solve_s": ("time to solve", "s"),
        "score_s": ("time to score", "s"),
        "solve_cpu_s": ("processor time to solve", "s"),
        "score_cpu_s": ("processor time to score", "s"),
    }
    return cut.sums(batches, (cut.LAYER, KIND), variables)


def label_pictures(store: TileStore, rule: LabelRule, labels: Mapping[str, Sequence[int]]) -> xr.Dataset:
    """Tiles with their masks, and what these print.

    Parameters
    ----------
    store : with labels.
    rule : how they were made.
    labels : layer -> numbers of labels.

    Returns
    -------
    Dataset over ``title``, ``y`` and ``x`` (nm) of :func:`maskopt_lib.study.pictures`: ``target`` is the tile as it was
    solved; one entry a label and kind of mask.
    """
    titles, targets, masks = [], [], []
    for layer, number in ((layer, number) for layer, numbers in labels.items() for number in numbers):
        label = store.open(layer, labels=True).isel({ta.LABEL: number})
        tile = store.open(layer).isel({schema.SAMPLE: int(label["sample"])})
        context_nm, cell = int(label["context_nm"]), tile["cell"].attrs["names"][int(tile["cell"])]
        for kind in label[ta.METHOD].values.tolist():
            titles.append(f"{layer}, {context_nm} nm, {cell}: {kind}")
            targets.append(content_image(tile["content"].values, cut.tile_rule(store), context_nm))
            packed = label["mask"].sel({ta.METHOD: kind}).values
            masks.append(np.unpackbits(packed, axis=-1, count=rule.image_px, bitorder="little"))
    shown, drawn = (images(np.stack(layer), rule.pixel_nm, title=range(len(titles))) for layer in (masks, targets))
    return pictures(shown, drawn, TileSolver(rule).sim, margin_nm=None).assign_coords(title=titles)


def _lay_out(store: TileStore, labellings: Mapping[str, Labelling], batches: Sequence[Batch], plan: LabelPlan) -> None:
    """Make room for the labels; those of another choice are removed, what was solved for them stays in the parts."""
    kinds = [ta.LINKS, ta.LABELS, *(f"{ta.LABELS}-{kind}" for kind in plan.kinds)]
    for layer, labelling in labellings.items():
        links = hashed(labelling.label_of.tobytes(), labelling.turn_of.tobytes())
        key = hashed([links, plan.kinds, plan.shard_size, [b.path.name for b in batches if b.layer == layer]])
        keys = cut.read_keys(store)
        if keys["labels"].get(layer) != key or not cut.is_sound(store, layer, kinds):
            _forget_labels(store, layer)
        elif not any(store.missing(layer, kind, deep=True) for kind in (ta.LINKS, ta.LABELS)):
            continue
        keys["labels"][layer] = key
        cut.write_keys(store, keys)
        store.reserve_labels(
            layer,
            sample=labelling.sample,
            context_nm=labelling.context_nm,
            label_of=labelling.label_of,
            turn_of=labelling.turn_of,
            label_contexts_nm=[round(context) for context in labelling.contexts_nm],
            methods=plan.kinds,
            scores=metrics.CORE_SCORES,
            shard_size=plan.shard_size,
            rule=batches[0].rule.to_dict(),
            turns=labelling.counts.attrs["turns"],
        )


def _forget_labels(store: TileStore, layer: str) -> None:
    """Remove the labels of a layer, files and checksums."""
    for name in (ta.LABELS, *ta.LINK_ARRAYS, ta.LABEL_CONTEXT):
        files.remove(store.path / shards.ARRAYS / layer / name)
    for name in (ta.LINKS, ta.LABELS):
        for path in (store.path / shards.MANIFESTS).glob(f"{layer}-{name}*.json"):
            path.unlink()


def _fill(store: TileStore, layer: str, kind: str, shard: int, pieces: Sequence[tuple[Path, slice]]) -> None:
    """Write a shard of labels from the parts that overlap it."""
    arrays = cut.read_pieces(pieces, ["mask", *metrics.CORE_SCORES])
    # Not here: run times differ from run to run, and so would the store.
    store.write_labels(layer, kind, shard, arrays | {schema.RUNTIME: np.full(len(arrays["mask"]), np.nan)})


def _solve(batch: Batch, kept: Kept) -> None:
    """What a worker does with a batch: read, solve, score, keep."""
    rule = batch.rule
    with torch_threads(1):
        solver = kept(hashed([rule.to_dict(), batch.device]), partial(TileSolver, rule, device=batch.device))
        solver.sim.to(batch.device)  # so that no mask's time holds that of the optics
        tiles = kept((batch.store, batch.layer), partial(batch.store.open, batch.layer))
        cut_rule = cut.tile_rule(batch.store)
        packed = np.stack([tiles["content"][sample].values for sample in batch.sample])
        clocks = [_clocks()]
        masks, _ = solver.solve(content_image(packed, cut_rule, batch.context_nm), batch.layer, batch.kind)
        clocks.append(_clocks())
        # Edges are where the layout has them, as far as it is known.
        scores = solver.score(masks, content_image(packed, cut_rule, cut_rule.context_nm))
        clocks.append(_clocks())
    write_part(
        batch.path,
        {name: scores[name].values for name in metrics.CORE_SCORES},
        {"masks": len(masks)} | dict(zip(_TIMES, np.diff(clocks, axis=0).ravel().tolist(), strict=True)),
        bits={"mask": np.packbits(masks, axis=-1, bitorder="little")},
    )


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()
