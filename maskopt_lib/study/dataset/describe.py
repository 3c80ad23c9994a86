"""What is in a store of tiles: counts, repeats, densities, cells, what the windows cut, splits, savings and sizes.

Everything is read from the tables of a store; pixels are not touched. Tiles that look the same are counted twice here,
once as they lie and once up to the eight turns of a square, because only a part of these is a symmetry of the optics.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.splits import SPLIT, SplitRule, leaks, split_table, splits
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.tile_summary import distinct, label_counts
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs.paths import run_folder
from maskopt_lib.study.dataset.cut import STORE

LAYER, DESIGN, FAMILY, CELL = "layer", "design", "family", "cell"
#: What a store says of a design beside its tiles.
OF_DESIGN = (FAMILY, "state", "licence", "redistribution")
#: Notebook that builds the dataset.
BUILD = "22_build_dataset"
_PIXELS = ("content",)
_ORDER = ("metal1", "contact", "via1")


def build_of(out_dir: str | Path, build: str | Path = "") -> Path:
    """Folder of the run that built the dataset.

    Parameters
    ----------
    out_dir : of the run that asks, ``results/<notebook>/<variant>``.
    build : folder of the build; by default that of notebook 22 beside ``out_dir``, of the same variant.

    Raises
    ------
    MissingDataError : there is no store; says which command makes it.
    """
    folder = run_folder(out_dir, BUILD, build)
    if not (folder / STORE).is_dir() or not (folder / "record.json").is_file():
        variant = f" VARIANT={folder.name}" if folder.name in ("quick", "paper") else ""
        raise MissingDataError(
            f"no dataset at {folder}: run notebook {BUILD} first (`make study{variant}` runs all, in order), or name "
            "the folder of a run of it in `build`"
        )
    return folder


def read_tiles(store: TileStore) -> dict[str, xr.Dataset]:
    """The tables of all layers, in memory, without pixels.

    Parameters
    ----------
    store : complete.

    Returns
    -------
    Layer -> Dataset over ``sample``. ``design``, ``cell``, ``orientation`` and ``family`` are codes; their names stand
    in the attribute ``names``.
    """
    said = store.attrs.get("designs", {})
    found = {}
    for layer in sorted(store.layers, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        ds = store.open(layer)
        ds = ds.drop_vars([name for name in _PIXELS if name in ds]).load()
        of = [said.get(name, {}).get(FAMILY, name) for name in ds[DESIGN].attrs["names"]]
        names = list(dict.fromkeys(of))
        codes = np.array([names.index(one) for one in of], np.int16)[ds[DESIGN].values]
        ds[FAMILY] = (ta.SAMPLE, codes, {"long_name": "family of designs", "units": "1", "names": names})
        found[layer] = ds.assign_attrs(layer=layer)
    return found


def design_counts(store: TileStore, tiles: Mapping[str, xr.Dataset], cut: xr.Dataset) -> xr.Dataset:
    """What each design gives.

    Parameters
    ----------
    store, tiles : of :func:`read_tiles`.
    cut : of :func:`maskopt_lib.study.dataset.cut.counts`: windows, empty ones and seconds by layer and design.

    Returns
    -------
    Dataset over ``layer`` and ``design``: ``windows``, ``empty``, ``tiles``, ``images`` and ``geometries`` (different
    ones at the widest context, as they lie and up to turns), ``cells``, ``instances``; ``family``, ``state``,
    ``licence`` and ``redistribution`` as coordinates of ``design``.
    """
    layers, designs = list(tiles), list(next(iter(tiles.values()))[DESIGN].attrs["names"])
    kinds = {
        "tiles": "tiles", "images": "different images", "geometries": "different geometries, turned ones counted once",
        "cells": "cells", "instances": "placements",
    }  # fmt: skip
    values = {name: np.zeros((len(layers), len(designs)), int) for name in kinds}
    for i, ds in enumerate(tiles.values()):
        by = {
            "images": ds["signature"].values[:, -1], "geometries": ds["canonical"].values[:, -1],
            "cells": ds[CELL].values, "instances": ds["instance"].values,
        }  # fmt: skip
        for j in range(len(designs)):
            own = ds[DESIGN].values == j
            values["tiles"][i, j] = own.sum()
            for name, column in by.items():
                values[name][i, j] = len(set(column[own].tolist()))
    said = store.attrs.get("designs", {})
    of = {name: (DESIGN, [str(said.get(design, {}).get(name, "not said")) for design in designs]) for name in OF_DESIGN}
    counted = xr.Dataset(
        {name: ((LAYER, DESIGN), values[name], _said(long)) for name, long in kinds.items()},
        coords={LAYER: layers, DESIGN: designs, **of},
    )
    there = cut[["windows", "empty"]].reindex({LAYER: layers, DESIGN: designs}, fill_value=0)
    return xr.merge([there.drop_vars(set(there.coords) - {LAYER, DESIGN}), counted], combine_attrs="override")


def window_counts(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """``tiles`` by layer, and row and column of the window in its cell."""
    shape = tuple(1 + max(int(ds[name].max()) for ds in tiles.values()) for name in ("row", "column"))
    counted = np.zeros((len(tiles), *shape), int)
    for i, ds in enumerate(tiles.values()):
        np.add.at(counted[i], (ds["row"].values, ds["column"].values), 1)
    return xr.Dataset(
        {"tiles": ((LAYER, "row", "column"), counted, _said("tiles"))},
        coords={
            LAYER: list(tiles),
            "row": ("row", np.arange(shape[0]), _said("row of the window in the cell")),
            "column": ("column", np.arange(shape[1]), _said("column of the window in the cell")),
        },
    )


def repeats(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """How many tiles are alike, by how much of the surroundings is looked at.

    Returns
    -------
    Dataset over ``layer`` and ``context_nm``: ``images`` (different ones, as they lie), ``geometries`` (different ones,
    up to turns), both as a share of the tiles (``image_share``, ``geometry_share``), and ``most_alike``, the tiles that
    show the most common image.
    """
    first = next(iter(tiles.values()))
    contexts = first[ta.CONTEXT].values
    images, geometries = (
        np.stack([distinct(ds[name].values) for ds in tiles.values()]) for name in ("signature", "canonical")
    )
    most = [
        [int(np.unique(column, return_counts=True)[1].max()) for column in ds["signature"].values.T]
        for ds in tiles.values()
    ]
    n = np.array([ds.sizes[ta.SAMPLE] for ds in tiles.values()])
    dims = (LAYER, ta.CONTEXT)
    return xr.Dataset(
        {
            "tiles": (LAYER, n, _said("tiles")),
            "images": (dims, images, _said("different images")),
            "geometries": (dims, geometries, _said("different geometries, turned ones counted once")),
            "image_share": (dims, 100 * images / n[:, None], _said("different images, share of the tiles", "%")),
            "geometry_share": (
                dims, 100 * geometries / n[:, None], _said("different up to turns, share of the tiles", "%"),
            ),
            "most_alike": (dims, most, _said("tiles with the most common image")),
        },
        coords={LAYER: list(tiles), ta.CONTEXT: (ta.CONTEXT, contexts, _said("context", "nm"))},
    )  # fmt: skip


def density_histograms(tiles: Mapping[str, xr.Dataset], n_bins: int = 40) -> xr.Dataset:
    """How much of the core is covered, by layer and family of designs.

    Returns
    -------
    Dataset over ``layer``, ``family`` and ``bin``: ``share`` of the family's tiles, in percent; ``low`` and ``high``
    (layer, bin), the bin's edges in percent of the core; ``median`` (layer, family).
    """
    families = next(iter(tiles.values()))[FAMILY].attrs["names"]
    share = np.full((len(tiles), len(families), n_bins), np.nan)
    median = np.full((len(tiles), len(families)), np.nan)
    edges = []
    for i, ds in enumerate(tiles.values()):
        density = 100 * ds["core_density"].values.astype(float)
        edges.append(np.linspace(0, density.max(), n_bins + 1))
        for j in range(len(families)):
            own = density[ds[FAMILY].values == j]
            if len(own):
                share[i, j] = 100 * np.histogram(own, edges[-1])[0] / len(own)
                median[i, j] = np.median(own)
    low, high = np.array(edges)[:, :-1], np.array(edges)[:, 1:]
    return xr.Dataset(
        {
            "share": ((LAYER, FAMILY, "bin"), share, _said("share of the tiles", "%")),
            "low": ((LAYER, "bin"), low, _said("covered share of the core, from", "%")),
            "high": ((LAYER, "bin"), high, _said("covered share of the core, to", "%")),
            "median": ((LAYER, FAMILY), median, _said("median of the covered share of the core", "%")),
        },
        coords={LAYER: list(tiles), FAMILY: families},
    )


def cell_frequencies(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Tiles of each cell, the most frequent cell of all layers first.

    Returns
    -------
    Dataset over ``layer`` and ``cell``: ``tiles``; over ``cell``: ``windows``, how many windows it takes to cover the
    cell once. Cells without tiles are left out.
    """
    names = np.array(next(iter(tiles.values()))[CELL].attrs["names"])
    counted = np.stack([np.bincount(ds[CELL].values, minlength=len(names)) for ds in tiles.values()])
    windows = np.zeros(len(names), int)
    for ds in tiles.values():
        np.maximum.at(windows, ds[CELL].values, ds["n_rows"].values.astype(int) * ds["n_columns"].values)
    order = np.lexsort((names, -counted.sum(axis=0)))
    order = order[counted.sum(axis=0)[order] > 0]
    return xr.Dataset(
        {
            "tiles": ((LAYER, CELL), counted[:, order], _said("tiles")),
            "windows": (CELL, windows[order], _said("windows that cover the cell")),
        },
        coords={LAYER: list(tiles), CELL: names[order]},
    )


def cells_holding(frequencies: xr.Dataset, shares: Iterable[float] = (0.5, 0.9)) -> xr.DataArray:
    """How many cells, the most frequent first, hold a share of the tiles: (layer, share)."""
    shares = list(shares)
    ranked = -np.sort(-frequencies["tiles"].transpose(LAYER, CELL).values, axis=1)
    reached = ranked.cumsum(axis=1) / ranked.sum(axis=1, keepdims=True)
    needed = np.array([[int((row < share - 1e-12).sum()) + 1 for share in shares] for row in reached])
    coords = {LAYER: frequencies[LAYER], "share": ("share", shares, _said("share of the tiles"))}
    return xr.DataArray(needed, coords, (LAYER, "share"), name="cells", attrs=_said("cells that hold this share"))


def window_cuts(tiles: Mapping[str, xr.Dataset], min_width_nm: Mapping[str, float]) -> xr.Dataset:
    """What the border of the windows cuts.

    Parameters
    ----------
    tiles : of :func:`read_tiles`.
    min_width_nm : layer -> smallest width that its rules allow; what a cut leaves narrower is a sliver.

    Returns
    -------
    Dataset over ``layer`` and ``context_nm``: ``cut_share``, tiles whose border cuts a shape, and ``sliver_share``,
    tiles that a cut leaves a sliver in, in percent; ``shapes_cut``, mean over all tiles.
    """
    if lacking := [layer for layer in tiles if layer not in min_width_nm]:
        raise SchemaError(f"say the smallest width of {', '.join(lacking)} in min_width_nm")
    columns: dict[str, list[np.ndarray]] = {"cut_share": [], "sliver_share": [], "shapes_cut": []}
    for layer, ds in tiles.items():
        cut, narrowest = ds["n_shapes_cut"].values, ds["min_cut_nm"].values
        columns["cut_share"].append(100 * (cut > 0).mean(axis=0))
        # Nothing is cut where the width is not a number, and then nothing is too narrow either.
        columns["sliver_share"].append(100 * (narrowest < min_width_nm[layer]).mean(axis=0))
        columns["shapes_cut"].append(cut.mean(axis=0))
    said = {
        "cut_share": ("tiles with a shape that the border cuts", "%"),
        "sliver_share": ("tiles with less than the smallest width at the border", "%"),
        "shapes_cut": ("shapes cut by the border, mean", "1"),
    }
    dims, contexts = (LAYER, ta.CONTEXT), next(iter(tiles.values()))[ta.CONTEXT].values
    return xr.Dataset(
        {name: (dims, np.array(rows), _said(*said[name])) for name, rows in columns.items()},
        coords={
            LAYER: list(tiles),
            ta.CONTEXT: (ta.CONTEXT, contexts, _said("context", "nm")),
            "min_width_nm": (LAYER, [float(min_width_nm[layer]) for layer in tiles], _said("smallest width", "nm")),
        },
    )


def split_counts(store: TileStore, context_nm: Mapping[str, int], rule: SplitRule | None = None) -> xr.Dataset:
    """What is in each split of each layer, and whether anything is in two.

    Parameters
    ----------
    store : complete.
    context_nm : layer -> context at which tiles are the same or not.
    rule : what is held out, for another choice than that of the store.

    Returns
    -------
    Dataset over ``layer`` and ``split`` of :func:`maskopt_lib.data.splits.split_table`, and over ``layer`` ``leaks``:
    geometries in more than one split.
    """
    tables, leaked = [], []
    for layer in store.layers:
        split = splits(store, layer, int(context_nm[layer]), rule)
        tables.append(split_table(split))
        leaked.append(leaks(split[SPLIT].values, split["geometry"].values))
    held_out = tables[0].attrs["held_out_cells"]
    found = xr.concat(tables, xr.DataArray(list(store.layers), dims=LAYER, name=LAYER), combine_attrs="override")
    found["leaks"] = (LAYER, leaked, _said("geometries in more than one split"))
    return found.assign_attrs(held_out_cells=held_out)


def savings(store: TileStore) -> xr.Dataset:
    """What solving a geometry once saves.

    Returns
    -------
    Dataset over ``layer`` and ``label_context_nm``: ``labels`` that were solved, ``labelled`` tiles that have one of
    them, ``per_label`` tiles a label, ``saved_share`` of the solves, in percent; nan where a layer has no labels.
    """
    counted = label_counts(store).rename({ta.CONTEXT: ta.LABEL_CONTEXT})
    counted = counted.isel({ta.LABEL_CONTEXT: (counted["labels"] > 0).any(LAYER).values})
    labels, labelled = (counted[name].where(counted["labels"] > 0) for name in ("labels", "labelled_tiles"))
    found = xr.Dataset(
        {
            "labels": labels.assign_attrs(_said("geometries solved")),
            "labelled": labelled.assign_attrs(_said("tiles with a mask")),
            "per_label": (labelled / labels).assign_attrs(_said("tiles a solved geometry")),
            "saved_share": (100 * (1 - labels / labelled)).assign_attrs(_said("solves saved", "%")),
        }
    )
    found[ta.LABEL_CONTEXT].attrs.update(_said("context of the label", "nm"))
    return found


def sizes(store: TileStore) -> xr.Dataset:
    """What the store takes on disk.

    Returns
    -------
    Dataset over ``layer`` and ``kind`` of shards (tiles, links, labels, labels-<method>): ``entries``, ``size_bytes``,
    ``per_entry_bytes``; an entry is a tile, or a label.
    """
    table = store.verify(deep=False)
    layers, kinds = (list(dict.fromkeys(table[name].values.tolist())) for name in (LAYER, "kind"))
    values = np.zeros((2, len(layers), len(kinds)), np.int64)
    for layer, kind, n, size in zip(*(table[v].values for v in (LAYER, "kind", "entries", "size_bytes")), strict=True):
        values[:, layers.index(layer), kinds.index(kind)] += (n, size)
    dims = (LAYER, "kind")
    return xr.Dataset(
        {
            "entries": (dims, values[0], _said("tiles or labels")),
            "size_bytes": (dims, values[1], _said("size on disk", "B")),
            "per_entry_bytes": (dims, values[1] / np.maximum(values[0], 1), _said("size of one", "B")),
        },
        coords={LAYER: layers, "kind": kinds},
    )


def draw_tiles(tiles: xr.Dataset, n: int, *, designs: Sequence[str] = (), seed: int = 0) -> xr.Dataset:
    """Some tiles of a layer, each of another geometry, designs in turn.

    Parameters
    ----------
    tiles : of one layer, of :func:`read_tiles`.
    n : how many; fewer where there are fewer.
    designs : only of these; of all by default.
    seed : of the draw.

    Returns
    -------
    Dataset over ``sample`` (index in the store) with ``design``, ``cell``, ``orientation`` by name, ``x_nm``, ``y_nm``;
    attribute ``layer``.
    """
    names = tiles[DESIGN].attrs["names"]
    if unknown := sorted(set(designs) - set(names)):
        raise UnknownNameError(f"the store has no design {unknown[0]!r}; it has {', '.join(names)}")
    order = np.random.default_rng(seed).permutation(tiles.sizes[ta.SAMPLE])
    order = order[np.isin(tiles[DESIGN].values[order], [names.index(one) for one in designs or names])]
    order = order[np.sort(np.unique(tiles["canonical"].values[order, -1], return_index=True)[1])]
    # The k-th tile of every design before the (k + 1)-th of any.
    of = tiles[DESIGN].values[order]
    place = np.zeros(len(order), int)
    for code in np.unique(of):
        place[of == code] = np.arange((of == code).sum())
    chosen = order[np.lexsort((of, place))][:n]
    columns = {name: np.array(tiles[name].attrs["names"])[tiles[name].values[chosen]] for name in (DESIGN, CELL)}
    columns["orientation"] = np.array(tiles["orientation"].attrs["names"])[tiles["orientation"].values[chosen]]
    columns |= {name: tiles[name].values[chosen] for name in ("x_nm", "y_nm")}
    return xr.Dataset(
        {name: (ta.SAMPLE, column) for name, column in columns.items()},
        coords={schema.SAMPLE: chosen},
        attrs={"layer": tiles.attrs["layer"]},
    )


def _said(long_name: str, units: str = "1") -> dict[str, str]:
    return {"long_name": long_name, "units": units}
