"""Which tiles are solved: one of each geometry, the choice balanced, and what all others have in common with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.splits import EXCLUDED, SPLIT, SPLITS, SplitRule, splits
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.turns import composed
from maskopt_lib.errors import SchemaError
from maskopt_lib.layout import signature
from maskopt_lib.study.dataset.cut import Part, turned_signatures
from maskopt_lib.study.dataset.tile_masks import ILT, OPC

#: What a tile without a label has in place of one.
NO_LABEL = -1


@dataclass(frozen=True, kw_only=True)
class LabelPlan:
    """How many labels, of which tiles, solved with how much context.

    Attributes
    ----------
    n_labels : layer -> geometries to be solved, or as many as there are; or layer -> split -> cores of it, of each of
        which one geometry is solved.
    context_nm : layer -> context they are solved with.
    n_all_contexts : of the tiles drawn for a layer so many are solved with every context of the store.
    kinds : of masks.
    split : tiles are drawn from its splits, and from the families of designs, in turn.
    seed : of the draw.
    batch : tiles solved together.
    shard_size : labels a shard of the store.
    """

    n_labels: Mapping[str, int | Mapping[str, int]]
    context_nm: Mapping[str, float] = field(default_factory=lambda: {"metal1": 32, "contact": 128, "via1": 128})
    n_all_contexts: int = 0
    kinds: tuple[str, ...] = (OPC, ILT)
    split: SplitRule = field(default_factory=SplitRule)
    seed: int = 0
    batch: int = 8
    shard_size: int = 256


@dataclass(frozen=True, kw_only=True)
class Labelling:
    """Labels of one layer: who is solved, and who shares it.

    Attributes
    ----------
    layer : of the tiles.
    contexts_nm : contexts that labels are made for, the layer's own first; labels are numbered through all of them.
    sample : (label,) int64, tile that is solved.
    context_nm : (label,) context it is solved with.
    label_of : (sample, context) int32, label of each tile, -1 without.
    turn_of : (sample, context) int8, turn that carries the label's tile onto this one.
    counts : Dataset without dimensions: ``tiles`` and ``geometries`` of the layer, ``images`` (turned ones told apart),
        ``labels`` at its context, ``labelled`` tiles, ``labelled_images``.
    """

    layer: str
    contexts_nm: tuple[float, ...]
    sample: np.ndarray
    context_nm: np.ndarray
    label_of: np.ndarray
    turn_of: np.ndarray
    counts: xr.Dataset


def choose_labels(
    store: TileStore, parts: Sequence[Part], plan: LabelPlan, turns: Sequence[int]
) -> dict[str, Labelling]:
    """What is to be solved, by layer, for the layers of the store that the plan has labels for.

    Parameters
    ----------
    store, parts : of :mod:`maskopt_lib.study.dataset.cut`; all tiles are there.
    plan : how many of what.
    turns : symmetries of the optics, of :func:`maskopt_lib.optics.allowed_turns`.
    """
    return {layer: _labelling(store, parts, layer, plan, turns) for layer in store.layers if plan.n_labels.get(layer)}


def shared_table(labellings: Mapping[str, Labelling]) -> xr.Dataset:
    """What is shared, over ``layer``: the counts of :class:`Labelling`, and what they come to.

    Returns
    -------
    Beside the counts ``per_label``, tiles that one solution serves, and ``saved_percent``, solutions that need not be
    made when the whole layer is solved.
    """
    ds = xr.concat([labelling.counts for labelling in labellings.values()], "layer", combine_attrs="drop_conflicts")
    per_label = ds["labelled"] / ds["labels"]
    saved = 100 * (1 - ds["geometries"] / ds["tiles"])
    return ds.assign_coords(layer=list(labellings)).assign(
        per_label=per_label.assign_attrs(long_name="labelled tiles a label", units="1"),
        saved_percent=saved.assign_attrs(long_name="solutions saved were the whole layer solved", units="percent"),
    )


def geometries(turned: np.ndarray, turns: Sequence[int]) -> np.ndarray:
    """(sample,) number of each tile's geometry, 0, 1, ...; tiles that are turns of one another share it.

    Parameters
    ----------
    turned : (sample, 8) uint64, signatures of every turn of each tile.
    turns : those that are symmetries of the optics, a group; (0,) for none.

    Raises
    ------
    SchemaError : the turns are no group.

    Examples
    --------
    Two tiles that are rotations of each other, by optics that look the same after half a turn, and after a quarter:

    >>> image = np.zeros((8, 8), np.uint8)
    >>> image[1:3, 1:6] = 1
    >>> turned = signature.signatures_of(np.stack([image, np.rot90(image)]))[:, 0]
    >>> geometries(turned, (0, 1, 2, 3)).tolist(), len(set(geometries(turned, (0, 2)).tolist()))
    ([0, 0], 2)
    """
    return np.unique(signature.canonical(turned, _group(turns))[0], return_inverse=True)[1]


def draw_geometries(geometry: np.ndarray, strata: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw tiles of different geometry, one stratum after the other in turn.

    Parameters
    ----------
    geometry : (sample,) of :func:`geometries`.
    strata : (sample,) what is to be balanced, such as a code of design and split; below 0: not to be drawn.
    n : how many, or as many as there are geometries.
    seed : of the draw.

    Returns
    -------
    (label,) int64 samples in the order drawn, so that a smaller ``n`` gives the first of them. Tiles are drawn, not
    geometries: what is common in a design is likely to be drawn early. A tile whose geometry was drawn is passed over.
    """
    order = np.random.default_rng(seed).permutation(len(strata))
    queues = [iter(order[strata[order] == stratum]) for stratum in np.unique(strata[strata >= 0])]
    drawn: dict[int, int] = {}  # geometry -> tile
    while queues and len(drawn) < n:
        for queue in list(queues):
            sample = next((s for s in queue if geometry[s] not in drawn), None)
            if sample is None:
                queues.remove(queue)
            elif len(drawn) < n:
                drawn[geometry[sample]] = sample
    return np.array(list(drawn.values()), np.int64)


def share_labels(
    turned: np.ndarray, turns: Sequence[int], sample: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Who shares the solutions of some tiles, and by which turn.

    Parameters
    ----------
    turned, turns : as for :func:`geometries`.
    sample : (label,) tiles that are solved; of those with the same geometry the first is kept.

    Returns
    -------
    ``sample`` as far as it was kept, ``label_of`` and ``turn_of`` of all tiles, see :class:`Labelling`.

    Examples
    --------
    >>> image = np.zeros((8, 8), np.uint8)
    >>> image[1:3, 1:6] = 1
    >>> turned = signature.signatures_of(np.stack([image, np.rot90(image, 3), 1 - image]))[:, 0]
    >>> [values.tolist() for values in share_labels(turned, (0, 1, 2, 3), np.array([0]))]
    [[0], [0, 0, -1], [0, 3, 0]]
    """
    turns = _group(turns)
    key, _ = signature.canonical(turned, turns)
    sample = sample[~pd.Index(key[sample]).duplicated()]
    label_of = pd.Index(key[sample]).get_indexer(key).astype(np.int32)
    labelled = np.flatnonzero(label_of != NO_LABEL)
    same = turned[sample[label_of[labelled]]][:, turns] == turned[labelled, :1]
    turn_of = np.zeros(len(turned), np.int8)
    turn_of[labelled] = turns[same.argmax(axis=1)]
    return sample, label_of, turn_of


def _labelling(store: TileStore, parts: Sequence[Part], layer: str, plan: LabelPlan, turns: Sequence[int]) -> Labelling:
    own_nm = plan.context_nm[layer]
    turned = turned_signatures(parts, layer, own_nm)
    geometry = geometries(turned, turns)
    drawn = _drawn(store, layer, geometry, plan)
    others_nm = [c for c in store.rule["contexts_nm"] if c != own_nm] if plan.n_all_contexts else []
    shared = [share_labels(turned, turns, drawn)] + [
        share_labels(turned_signatures(parts, layer, context), turns, drawn[: plan.n_all_contexts])
        for context in others_nm
    ]
    samples, label_of, turn_of = zip(*shared, strict=True)
    sizes = [len(sample) for sample in samples]
    firsts = np.cumsum([0, *sizes[:-1]]).tolist()
    labelled = label_of[0] != NO_LABEL
    counts = {
        "tiles": (len(turned), "tiles"),
        "images": (len(np.unique(turned[:, 0])), "different images"),
        "geometries": (geometry.max() + 1, "different geometries, turns that are symmetries counted once"),
        "geometries_8": (geometries(turned, range(8)).max() + 1, "different geometries, were all turns symmetries"),
        "labels": (len(drawn), "geometries chosen to be solved"),
        "labelled": (labelled.sum(), "tiles that have one of them"),
        "labelled_images": (len(np.unique(turned[labelled, 0])), "different images among these"),
    }
    variables = {name: schema.column((), int(n), long_name) for name, (n, long_name) in counts.items()}
    return Labelling(
        layer=layer,
        contexts_nm=(own_nm, *others_nm),
        sample=np.concatenate(samples),
        context_nm=np.repeat([own_nm, *others_nm], sizes),
        label_of=np.stack([np.where(n < 0, NO_LABEL, n + i) for n, i in zip(label_of, firsts, strict=True)], axis=1),
        turn_of=np.stack(turn_of, axis=1),
        counts=xr.Dataset(variables, attrs={"layer": layer, "context_nm": own_nm, "turns": list(turns)}),
    )


def _group(turns: Sequence[int]) -> np.ndarray:
    turns = np.asarray(turns)
    if any(composed(a, b) not in turns for a in turns.tolist() for b in turns.tolist()):
        raise SchemaError(f"the turns {turns.tolist()} are no group: one after another gives a turn that is not there")
    return turns


def _drawn(store: TileStore, layer: str, geometry: np.ndarray, plan: LabelPlan) -> np.ndarray:
    """(label,) samples, those of several splits in turn, so that the first of them are of all."""
    table = splits(store, layer, round(plan.context_nm[layer]), plan.split)
    strata, n = _strata(store, table), plan.n_labels[layer]
    if not isinstance(n, Mapping):
        return draw_geometries(geometry, strata, n, plan.seed)
    cores = np.unique(table["core"].values, return_inverse=True)[1]
    drawn = {}
    for name, n_of_split in n.items():
        here = table[SPLIT].values == SPLITS.index(name)
        drawn[name] = draw_geometries(cores, np.where(here, strata, -1), n_of_split, plan.seed)
    turn = np.concatenate([np.arange(len(samples)) / max(1, len(samples)) for samples in drawn.values()])
    return np.concatenate(list(drawn.values()))[np.argsort(turn, kind="stable")]


def _strata(store: TileStore, table: xr.Dataset) -> np.ndarray:
    """(sample,) code of family and split; -1 where no split has the tile."""
    designs = store.attrs["designs"]
    families = [designs[name].get("family", name) for name in table["design"].attrs["names"]]
    known, family = np.unique(families, return_inverse=True)
    split = table[SPLIT].values.astype(int)
    return np.where(split == SPLITS.index(EXCLUDED), -1, split * len(known) + family[table["design"].values])
