"""Which tiles are solved: one of each geometry, the choice balanced, and what all others have in common with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

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
class Sharing:
    """Tiles with the same geometry, for one layer and context.

    Attributes
    ----------
    geometry : (sample,) number of each tile's geometry, 0, 1, ... ; tiles that are turns of one another share it, where
        the turn is a symmetry of the optics.
    n_geometries : different geometries.
    n_images : different images, turned ones told apart.
    """

    geometry: np.ndarray
    n_geometries: int
    n_images: int


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Labels to be made at one context.

    Attributes
    ----------
    context_nm : of the tiles that are solved.
    sample : (label,) int64, tile that stands for each geometry.
    label_of : (sample,) int32, label of each tile, -1 without.
    turn_of : (sample,) int8, turn that carries the label's tile onto this one.
    """

    context_nm: float
    sample: np.ndarray
    label_of: np.ndarray
    turn_of: np.ndarray


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many labels, of which tiles, solved with how much context.

    Attributes
    ----------
    n_labels : layer -> geometries to be solved, or as many as there are.
    context_nm : layer -> context they are solved with.
    n_all_contexts : of the tiles chosen for a layer so many are solved with every context of the store.
    kinds : of masks.
    split : tiles are drawn from its splits, and from the families of designs, in turn.
    seed : of the draw.
    batch : tiles solved together.
    shard_size : labels a shard of the store.
    """

    n_labels: Mapping[str, int]
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
    chosen : by context, the layer's own first; labels are numbered through all of them.
    shared : Dataset without dimensions: ``tiles`` and ``geometries`` of the layer, ``images`` (turned ones told apart),
        ``labels`` at its context, ``labelled`` tiles, ``labelled_images``.
    """

    layer: str
    chosen: tuple[Chosen, ...]
    shared: xr.Dataset

    @property
    def sample(self) -> np.ndarray:
        """(label,) tile that is solved."""
        return np.concatenate([one.sample for one in self.chosen])

    @property
    def context_nm(self) -> np.ndarray:
        """(label,) context it is solved with."""
        return np.concatenate([np.full(len(one.sample), one.context_nm) for one in self.chosen])

    @property
    def first(self) -> list[int]:
        """Number of the first label at each context."""
        return np.cumsum([0, *(len(one.sample) for one in self.chosen)])[:-1].tolist()


def choose_labels(
    store: TileStore, parts: Sequence[Part], wanted: Wanted, turns: Sequence[int]
) -> dict[str, Labelling]:
    """Choose what is solved.

    Parameters
    ----------
    store, parts : of :mod:`maskopt_lib.study.dataset.cut`; all tiles are there.
    wanted : how many of what.
    turns : symmetries of the optics, of :func:`maskopt_lib.optics.allowed_turns`.

    Returns
    -------
    Layer -> what is to be solved, for the layers of the store that are wanted.
    """
    found = {}
    for layer in store.layers:
        if not wanted.n_labels.get(layer):
            continue
        own = wanted.context_nm[layer]
        turned = turned_signatures(parts, layer, own)
        there = sharing(turned, turns)
        strata = _strata(store, layer, round(own), wanted.split)
        drawn = choose(there.geometry, strata, wanted.n_labels[layer], wanted.seed)
        chosen = [shared_by(turned, turns, drawn, own)]
        if wanted.n_all_contexts:
            for context in store.rule["contexts_nm"]:
                if context != own:
                    others = turned_signatures(parts, layer, context)
                    chosen.append(shared_by(others, turns, drawn[: wanted.n_all_contexts], context))
        label_of = chosen[0].label_of
        values = {
            "tiles": (len(turned), "tiles"),
            "images": (there.n_images, "different images"),
            "geometries": (there.n_geometries, "different geometries, turns that are symmetries counted once"),
            "geometries_8": (sharing(turned, range(8)).n_geometries, "different geometries, were all turns symmetries"),
            "labels": (len(drawn), "geometries chosen to be solved"),
            "labelled": (int((label_of >= 0).sum()), "tiles that have one of them"),
            "labelled_images": (len(np.unique(turned[label_of >= 0, 0])), "different images among these"),
        }
        shared = xr.Dataset({name: ((), n, {"long_name": long, "units": "1"}) for name, (n, long) in values.items()})
        shared.attrs.update(layer=layer, context_nm=own, turns=list(turns))
        found[layer] = Labelling(layer=layer, chosen=tuple(chosen), shared=shared)
    return found


def shared_table(labellings: Mapping[str, Labelling]) -> xr.Dataset:
    """What is shared, over ``layer``: the counts of :class:`Labelling`, and what they come to.

    Returns
    -------
    Beside the counts ``per_label``, tiles that one solution serves, and ``saved_percent``, solutions that need not be
    made when the whole layer is solved.
    """
    found = xr.concat([one.shared for one in labellings.values()], "layer", combine_attrs="drop_conflicts")
    found = found.assign_coords(layer=list(labellings))
    per_label = found["labelled"] / found["labels"]
    saved = 100 * (1 - found["geometries"] / found["tiles"])
    return found.assign(
        per_label=per_label.assign_attrs(long_name="labelled tiles a label", units="1"),
        saved_percent=saved.assign_attrs(long_name="solutions saved were the whole layer solved", units="percent"),
    )


def sharing(turned: np.ndarray, turns: Sequence[int]) -> Sharing:
    """Tell geometries apart.

    Parameters
    ----------
    turned : (sample, 8) uint64, signatures of every turn of each tile.
    turns : those that are symmetries of the optics, a group; (0,) for none.

    Examples
    --------
    Two tiles that are rotations of each other, by optics that look the same after half a turn, and after a quarter:

    >>> image = np.zeros((8, 8), np.uint8)
    >>> image[1:3, 1:6] = 1
    >>> turned = signature.signatures_of(np.stack([image, np.rot90(image)]))[:, 0]
    >>> sharing(turned, (0, 2)).n_geometries, sharing(turned, (0, 1, 2, 3)).n_geometries
    (2, 1)
    """
    key, _ = signature.canonical(turned, _group(turns))
    known, geometry = np.unique(key, return_inverse=True)
    return Sharing(geometry=geometry, n_geometries=len(known), n_images=len(np.unique(turned[:, 0])))


def choose(geometry: np.ndarray, strata: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Draw tiles of different geometry, one stratum after the other in turn.

    Parameters
    ----------
    geometry : (sample,) as in :class:`Sharing`.
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
    drawn: list[int] = []
    taken: set[int] = set()
    while queues and len(drawn) < n:
        left = []
        for queue in queues:
            sample = next((s for s in queue if geometry[s] not in taken), None)
            if sample is None or len(drawn) == n:
                continue
            left.append(queue)
            drawn.append(int(sample))
            taken.add(geometry[sample])
        queues = left
    return np.array(drawn, np.int64)


def shared_by(turned: np.ndarray, turns: Sequence[int], sample: np.ndarray, context_nm: float) -> Chosen:
    """Who shares the solutions of some tiles, and by which turn.

    Parameters
    ----------
    turned, turns : as for :func:`sharing`.
    sample : (label,) tiles that are solved; of those with the same geometry the first is kept.
    context_nm : of the signatures.

    Examples
    --------
    >>> image = np.zeros((8, 8), np.uint8)
    >>> image[1:3, 1:6] = 1
    >>> turned = signature.signatures_of(np.stack([image, np.rot90(image, 3), 1 - image]))[:, 0]
    >>> chosen = shared_by(turned, (0, 1, 2, 3), np.array([0]), 32)
    >>> chosen.label_of.tolist(), chosen.turn_of.tolist()
    ([0, 0, -1], [0, 3, 0])
    """
    turns = _group(turns)
    key, _ = signature.canonical(turned, turns)
    _, first = np.unique(key[sample], return_index=True)
    sample = np.asarray(sample, np.int64)[np.sort(first)]
    label_of = np.full(len(turned), NO_LABEL, np.int32)
    by_key = np.argsort(key[sample])
    place = np.searchsorted(key[sample][by_key], key)
    place = np.minimum(place, max(len(sample) - 1, 0))
    if len(sample):
        found = by_key[place]
        label_of = np.where(key[sample][found] == key, found, NO_LABEL).astype(np.int32)
    turn_of = np.zeros(len(turned), np.int8)
    has = np.flatnonzero(label_of >= 0)
    same = turned[sample[label_of[has]]][:, turns] == turned[has, :1]
    turn_of[has] = turns[same.argmax(axis=1)]
    return Chosen(context_nm=context_nm, sample=sample, label_of=label_of, turn_of=turn_of)


def _group(turns: Sequence[int]) -> np.ndarray:
    turns = np.asarray(turns)
    if any(composed(a, b) not in turns for a in turns.tolist() for b in turns.tolist()):
        raise SchemaError(
            f"the turns {turns.tolist()} are no group: one after the other gives a turn that is not there"
        )
    return turns


def _strata(store: TileStore, layer: str, context_nm: int, rule: SplitRule) -> np.ndarray:
    """(sample,) code of family and split; -1 where no split has the tile."""
    table = splits(store, layer, context_nm, rule)
    said = store.attrs["designs"]
    names = table["design"].attrs["names"]
    families = sorted({said[name].get("family", name) for name in names})
    family = np.array([families.index(said[name].get("family", name)) for name in names])[table["design"].values]
    split = table[SPLIT].values.astype(int)
    return np.where(split == SPLITS.index(EXCLUDED), -1, split * len(families) + family)
