"""A store of tiles in numbers: counts by layer, design, cell and context, scores of its masks, sizes on disk."""

import numpy as np
import xarray as xr

from maskopt_lib.data import schema, shards
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore

LAYER, DESIGN, CELL = "layer", "design", "cell"
#: What a label's arrays hold beside scores.
_NO_SCORES = {"mask", "solved", schema.RUNTIME}


def layer_counts(store: TileStore, *, partial: bool = False) -> xr.Dataset:
    """Tiles, labels and bytes by layer.

    Parameters
    ----------
    store : whose.
    partial : take a store that is not complete; only what is there is counted, here as in all of this module.

    Returns
    -------
    Dataset over ``layer``: ``tiles``, ``geometries`` (different ones at the widest context, turned ones counted once),
    ``labels``, ``tile_bytes`` and ``mask_bytes`` (on disk, a tile with its tables, and a mask).
    """
    table = store.verify(deep=False).to_dataframe()
    rows = []
    for layer in store.layers:
        ds = _tiles(store, layer, partial)
        labels = store.kind(layer, ta.LABELS).n if has_labels(store, layer) else 0
        (geometries,) = distinct(ds.canonical.values[:, [int(np.argmax(ds[ta.CONTEXT].values))]])
        of_layer = table[table["layer"] == layer]
        tiles = of_layer[of_layer["kind"].isin([ta.TILES, ta.LINKS])]
        masks = of_layer[of_layer["kind"].str.startswith(f"{ta.LABELS}-") & (of_layer["state"] == shards.WHOLE)]
        tile_bytes = tiles["size_bytes"].sum() / max(1, ds.sizes[ta.SAMPLE])
        mask_bytes = masks["size_bytes"].sum() / max(1, masks["entries"].sum())
        rows.append((ds.sizes[ta.SAMPLE], geometries, labels, tile_bytes, mask_bytes))
    names = {
        "tiles": ("tiles", "1"),
        "geometries": ("different geometries at the widest context", "1"),
        "labels": ("labels", "1"),
        "tile_bytes": ("size of a tile", "B"),
        "mask_bytes": ("size of a mask with its scores", "B"),
    }
    columns = zip(names.items(), zip(*rows, strict=True), strict=True) if rows else ()
    return xr.Dataset(
        {name: schema.column(LAYER, np.array(values), *labels) for (name, labels), values in columns},
        coords={LAYER: list(store.layers)},
    )


def design_counts(store: TileStore, *, partial: bool = False) -> xr.Dataset:
    """``tiles`` over ``layer`` and ``design``."""
    return _counts(store, DESIGN, partial)


def cell_counts(store: TileStore, *, partial: bool = False) -> xr.Dataset:
    """``tiles`` over ``layer`` and ``cell``, the most frequent cell first."""
    ds = _counts(store, CELL, partial)
    total = ds.tiles.sum(LAYER)
    return ds.isel({CELL: np.argsort(-total.values, kind="stable")}).isel({CELL: slice(0, int((total > 0).sum()))})


def context_counts(store: TileStore, *, partial: bool = False) -> xr.Dataset:
    """What is seen with each width of context.

    Returns
    -------
    Dataset over ``layer`` and ``context_nm``: ``geometries`` (different ones, turned ones counted once),
    ``tiles_a_geometry``, ``cut_tiles`` (share of the tiles in which the window's edge cuts a shape), ``labels``,
    ``labelled_tiles`` (those that a label serves).
    """
    rows = []
    for layer in store.layers:
        ds = _tiles(store, layer, partial)
        geometries = distinct(ds.canonical.values)
        rows.append((geometries, ds.sizes[ta.SAMPLE] / geometries, (ds.n_shapes_cut.values > 0).mean(axis=0)))
    names = {
        "geometries": "different geometries",
        "tiles_a_geometry": "tiles for each geometry",
        "cut_tiles": "share of the tiles with a shape that is cut",
    }
    return xr.merge([_over_contexts(store, rows, names), label_counts(store, partial=partial)])


def label_counts(store: TileStore, *, partial: bool = False) -> xr.Dataset:
    """``labels`` and ``labelled_tiles``, those that a label serves, over ``layer`` and ``context_nm``."""
    contexts = _contexts(store)
    rows = []
    for layer in store.layers:
        counted = np.zeros((2, len(contexts)), int)
        if has_labels(store, layer):
            links = store.open(layer, partial=partial).label_of.load()
            made = store.open(layer, labels=True, partial=partial).context_nm.values
            for i, context in enumerate(links[ta.LABEL_CONTEXT].values.tolist()):
                counted[:, contexts.index(context)] = (made == context).sum(), (links.values[:, i] >= 0).sum()
        rows.append(counted)
    return _over_contexts(store, rows, {"labels": "labels", "labelled_tiles": "tiles that a label serves"})


def distinct(identities: np.ndarray) -> np.ndarray:
    """How many different identities there are with each context: (tile, context) -> (context,)."""
    return np.array([len(np.unique(column)) for column in identities.T])


def label_scores(store: TileStore, layer: str, *, partial: bool = False) -> xr.Dataset:
    """Mean scores of the masks of a layer: the row of the oracle in a table of models.

    Returns
    -------
    Dataset over ``context_nm`` and ``method``: ``labels`` that were solved, and the mean of every score over them.
    """
    ds = store.open(layer, labels=True, partial=partial)
    scores = [name for name, v in ds.data_vars.items() if v.dims == (ta.LABEL, ta.METHOD) and name not in _NO_SCORES]
    # The order in which a folder lists its arrays is nobody's choice.
    order = [*schema.VARIABLES, *sorted(scores)]
    scores.sort(key=order.index)
    ds = ds[["context_nm", "solved", *scores]].load()
    contexts = sorted(set(ds.context_nm.values.tolist()) - {-1})
    solved = ds.solved == 1
    by_context = [solved & (ds.context_nm == context) for context in contexts]
    both = (ta.CONTEXT, ta.METHOD)
    n = np.array([chosen.sum(ta.LABEL).values for chosen in by_context])
    means = {name: np.array([ds[name].where(chosen).mean(ta.LABEL).values for chosen in by_context]) for name in scores}
    return xr.Dataset(
        {"labels": schema.column(both, n, "masks")} | {name: (both, means[name], ds[name].attrs) for name in scores},
        coords={ta.CONTEXT: contexts, ta.METHOD: ds[ta.METHOD].values},
        attrs=ds.attrs,
    )


def has_labels(store: TileStore, layer: str) -> bool:
    """Whether labels were reserved for a layer."""
    return any(kind.layer == layer and kind.name == ta.LABELS for kind in shards.kinds(store.path))


def _tiles(store: TileStore, layer: str, partial: bool) -> xr.Dataset:
    """Tables of the tiles that are there."""
    ds = store.open(layer, partial=partial)
    ds = ds[[name for name in ds.data_vars if name not in ("content", "instance")]].load()
    return ds.isel({ta.SAMPLE: np.flatnonzero(ds.design.values >= 0)}) if "missing_shards" in ds.attrs else ds


def _contexts(store: TileStore) -> list[int]:
    return [round(context) for context in store.rule["contexts_nm"]]


def _over_contexts(store: TileStore, rows: list, names: dict[str, str]) -> xr.Dataset:
    contexts = (ta.CONTEXT, _contexts(store), {"long_name": "context", "units": "nm"})
    return xr.Dataset(
        {
            name: schema.column((LAYER, ta.CONTEXT), np.array([row[i] for row in rows]), long_name)
            for i, (name, long_name) in enumerate(names.items())
        },
        coords={LAYER: list(store.layers), ta.CONTEXT: contexts},
    )


def _counts(store: TileStore, name: str, partial: bool) -> xr.Dataset:
    """Tiles by layer and by what a code stands for; the names of all layers together."""
    counts = {}
    for layer in store.layers:
        codes = store.open(layer, partial=partial)[name].load()
        known = codes.attrs["names"]
        n = np.bincount(codes.values[codes.values >= 0], minlength=len(known))
        counts[layer] = dict(zip(known, n.tolist(), strict=True))
    names = list(dict.fromkeys(known for of_layer in counts.values() for known in of_layer))
    values = np.array([[of_layer.get(known, 0) for known in names] for of_layer in counts.values()], int)
    return xr.Dataset(
        {"tiles": schema.column((LAYER, name), values.reshape(len(counts), len(names)), "tiles")},
        coords={LAYER: list(store.layers), name: names},
    )
