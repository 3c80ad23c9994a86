"""What is in a store of tiles: counts, repeats, densities, cells, what the windows cut, splits, savings and sizes.

Everything is read from the tables of a store; pixels are not touched. Tiles that look the same are counted twice here,
once as they lie and once up to the eight turns of a square, because only a part of these is a symmetry of the optics.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.splits import SPLIT, SplitRule, leaks, split_table, splits
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.tile_summary import distinct, label_counts
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.paths import run_folder
from maskopt_lib.study.dataset.cut import STORE

LAYER, DESIGN, FAMILY, CELL = "layer", "design", "family", "cell"
#: What a store says of a design beside its tiles.
OF_DESIGN = (FAMILY, "state", "licence", "redistribution")
#: Notebook that builds the dataset.
BUILD = "22_build_dataset"
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
    designs = store.attrs.get("designs", {})
    tiles = {}
    for layer in sorted(store.layers, key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)):
        ds = store.open(layer).drop_vars("content").load()
        families = [designs.get(name, {}).get(FAMILY, name) for name in ds[DESIGN].attrs["names"]]
        codes, names = pd.factorize(np.array(families, object))
        attrs = {"long_name": "family of designs", "units": "1", "names": names.tolist()}
        ds[FAMILY] = (ta.SAMPLE, codes.astype(np.int16)[ds[DESIGN].values], attrs)
        tiles[layer] = ds.assign_attrs(layer=layer)
    return tiles


def names_of(codes: xr.DataArray) -> np.ndarray:
    """What codes stand for, such as the cell of each tile."""
    return np.array(codes.attrs["names"])[codes.values]


def design_counts(store: TileStore, tiles: Mapping[str, xr.Dataset], cut: xr.Dataset) -> xr.Dataset:
    """What each design gives.

    Parameters
    ----------
    store, tiles : of :func:`read_tiles`.
    cut : of :func:`maskopt_lib.study.dataset.cut.cut_counts`: windows, empty ones and seconds by layer and design.

    Returns
    -------
    Dataset over ``layer`` and ``design``: ``windows``, ``empty``, ``tiles``, ``images`` and ``geometries`` (different
    ones at the widest context, as they lie and up to turns), ``cells``, ``instances``; ``family``, ``state``,
    ``licence`` and ``redistribution`` as coordinates of ``design``.
    """
    texts = {
        "tiles": "tiles",
        "images": "different images",
        "geometries": "different geometries, turned ones counted once",
        "cells": "cells",
        "instances": "placements",
    }
    names = _names(tiles, DESIGN)
    columns = {"signature": "images", "canonical": "geometries", CELL: "cells", "instance": "instances"}
    rows = {}
    for layer, ds in tiles.items():
        widest = ds[[DESIGN, *columns]].isel({ta.CONTEXT: -1}, drop=True)
        by_design = widest.to_dataframe().groupby(DESIGN)
        counted = by_design[list(columns)].nunique().rename(columns=columns).assign(tiles=by_design.size())
        rows[layer] = counted.reindex(range(len(names)), fill_value=0).to_xarray()
    counted = _over_layers(rows, texts).assign_coords({DESIGN: names})
    designs = store.attrs.get("designs", {})
    about = {what: (DESIGN, [str(designs.get(name, {}).get(what, "not said")) for name in names]) for what in OF_DESIGN}
    windows = cut[["windows", "empty"]].reindex({LAYER: list(tiles), DESIGN: names}, fill_value=0)
    windows = windows.drop_vars(set(windows.coords) - {LAYER, DESIGN})
    return xr.merge([windows, counted.assign_coords(about)], combine_attrs="override")


def window_counts(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """``tiles`` by layer, and row and column of the window in its cell."""
    places = {layer: ds[["row", "column"]].to_dataframe() for layer, ds in tiles.items()}
    last = pd.concat(places).max()
    rows = {layer: at.value_counts().sort_index().to_xarray().to_dataset(name="tiles") for layer, at in places.items()}
    ds = _over_layers(rows, {"tiles": "tiles"}, join="outer", fill_value=0)
    ds = ds.reindex({name: np.arange(last[name] + 1) for name in ("row", "column")}, fill_value=0)
    texts = {name: f"{name} of the window in the cell" for name in ("row", "column")}
    return schema.described(ds, texts).fillna(0).astype(int)


def repeats(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """How many tiles are alike, by how much of the surroundings is looked at.

    Returns
    -------
    Dataset over ``layer`` and ``context_nm``: ``images`` (different ones, as they lie), ``geometries`` (different ones,
    up to turns), both as a share of the tiles (``image_share``, ``geometry_share``), and ``most_alike``, the tiles that
    show the most common image.
    """
    texts = {
        "tiles": "tiles",
        "images": "different images",
        "geometries": "different geometries, turned ones counted once",
        "image_share": ("different images, share of the tiles", "%"),
        "geometry_share": ("different up to turns, share of the tiles", "%"),
        "most_alike": "tiles with the most common image",
    }
    rows = {}
    for layer, ds in tiles.items():
        n, signatures = ds.sizes[ta.SAMPLE], ds["signature"].values
        counted = {"images": distinct(signatures), "geometries": distinct(ds["canonical"].values)}
        counted["most_alike"] = [pd.Series(column).value_counts().max() for column in signatures.T]
        row = xr.Dataset({name: (ta.CONTEXT, values) for name, values in counted.items()})
        shares = {"image_share": 100 * row["images"] / n, "geometry_share": 100 * row["geometries"] / n}
        rows[layer] = row.assign(shares).assign(tiles=n)
    return _over_layers(rows, texts).assign_coords({ta.CONTEXT: _contexts(tiles)})


def density_histograms(tiles: Mapping[str, xr.Dataset], n_bins: int = 40) -> xr.Dataset:
    """How much of the core is covered, by layer and family of designs.

    Returns
    -------
    Dataset over ``layer``, ``family`` and ``bin``: ``share`` of the family's tiles, in percent; ``low`` and ``high``
    (layer, bin), the bin's edges in percent of the core; ``median`` (layer, family).
    """
    texts = {
        "share": ("share of the tiles", "%"),
        "low": ("covered share of the core, from", "%"),
        "high": ("covered share of the core, to", "%"),
        "median": ("median of the covered share of the core", "%"),
    }
    rows = {}
    for layer, ds in tiles.items():
        density = 100 * ds["core_density"].values.astype(float)
        edges = np.linspace(0, density.max(), n_bins + 1)
        families = {name: each.values for name, each in pd.Series(density).groupby(names_of(ds[FAMILY]))}
        shares = [100 * np.histogram(values, edges)[0] / len(values) for values in families.values()]
        rows[layer] = xr.Dataset(
            {
                "share": ((FAMILY, "bin"), np.array(shares)),
                "low": ("bin", edges[:-1]),
                "high": ("bin", edges[1:]),
                "median": (FAMILY, [np.median(values) for values in families.values()]),
            },
            coords={FAMILY: list(families)},
        ).reindex({FAMILY: _names(tiles, FAMILY)})
    return _over_layers(rows, texts)


def cell_frequencies(tiles: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Tiles of each cell, the most frequent cell of all layers first.

    Returns
    -------
    Dataset over ``layer`` and ``cell``: ``tiles``; over ``cell``: ``windows``, how many windows it takes to cover the
    cell once. Cells without tiles are left out.
    """
    names = _names(tiles, CELL)
    rows = {}
    for layer, ds in tiles.items():
        windows = pd.Series(ds["n_rows"].values.astype(int) * ds["n_columns"].values)
        by_cell = windows.groupby(ds[CELL].values).agg(tiles="size", windows="max")
        rows[layer] = by_cell.reindex(range(len(names)), fill_value=0).rename_axis(CELL).to_xarray()
    ds = _over_layers(rows, {"tiles": "tiles"}).assign_coords({CELL: names})
    total = ds["tiles"].sum(LAYER).values
    ds = schema.described(ds.assign(windows=ds["windows"].max(LAYER)), {"windows": "windows that cover the cell"})
    return ds.isel({CELL: np.lexsort((names, -total))[: np.count_nonzero(total)]})


def cells_holding(frequencies: xr.Dataset, shares: Iterable[float] = (0.5, 0.9)) -> xr.DataArray:
    """How many cells, the most frequent first, hold a share of the tiles: (layer, share)."""
    shares = np.array(list(shares))
    ranked = -np.sort(-frequencies["tiles"].transpose(LAYER, CELL).values, axis=1)
    reached = ranked.cumsum(axis=1) / ranked.sum(axis=1, keepdims=True)
    needed = (reached[:, :, None] < shares - 1e-12).sum(axis=1) + 1
    coords = {LAYER: frequencies[LAYER], "share": shares}
    texts = {"cells": "cells that hold this share", "share": "share of the tiles"}
    return schema.described(xr.Dataset({"cells": ((LAYER, "share"), needed)}, coords), texts)["cells"]


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
    texts = {
        "cut_share": ("tiles with a shape that the border cuts", "%"),
        "sliver_share": ("tiles with less than the smallest width at the border", "%"),
        "shapes_cut": "shapes cut by the border, mean",
    }
    rows = {}
    for layer, ds in tiles.items():
        # Nothing is cut where the width is not a number, and then nothing is too narrow either.
        shares = {"cut_share": ds["n_shapes_cut"] > 0, "sliver_share": ds["min_cut_nm"] < min_width_nm[layer]}
        means = {name: 100 * each.mean(ta.SAMPLE) for name, each in shares.items()}
        rows[layer] = xr.Dataset(means | {"shapes_cut": ds["n_shapes_cut"].mean(ta.SAMPLE)})
    widths = schema.column(LAYER, [float(min_width_nm[layer]) for layer in tiles], "smallest width", "nm")
    return _over_layers(rows, texts).assign_coords({ta.CONTEXT: _contexts(tiles), "min_width_nm": widths})


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
    cores in more than one split.
    """
    rows = {}
    for layer in store.layers:
        split = splits(store, layer, int(context_nm[layer]), rule)
        rows[layer] = split_table(split).assign(leaks=leaks(split[SPLIT].values, split["core"].values))
    held_out = rows[store.layers[0]].attrs["held_out_cells"]
    return _over_layers(rows, {"leaks": "cores in more than one split"}).assign_attrs(held_out_cells=held_out)


def savings(store: TileStore) -> xr.Dataset:
    """What solving a geometry once saves.

    Returns
    -------
    Dataset over ``layer`` and ``label_context_nm``: ``labels`` that were solved, ``labelled`` tiles that have one of
    them, ``per_label`` tiles a label, ``saved_share`` of the solves, in percent; nan where a layer has no labels.
    """
    texts = {
        "labels": "geometries solved",
        "labelled": "tiles with a mask",
        "per_label": "tiles a solved geometry",
        "saved_share": ("solves saved", "%"),
    }
    counted = label_counts(store).rename({ta.CONTEXT: ta.LABEL_CONTEXT, "labelled_tiles": "labelled"})
    counted = counted.where(counted["labels"] > 0).dropna(ta.LABEL_CONTEXT, how="all")
    labels, labelled_tiles = counted["labels"], counted["labelled"]
    shares = {"per_label": labelled_tiles / labels, "saved_share": 100 * (1 - labels / labelled_tiles)}
    return schema.described(counted.assign(shares), texts | {ta.LABEL_CONTEXT: ("context of the label", "nm")})


def sizes(store: TileStore) -> xr.Dataset:
    """What the store takes on disk.

    Returns
    -------
    Dataset over ``layer`` and ``kind`` of shards (tiles, links, labels, labels-<method>): ``entries``, ``size_bytes``,
    ``per_entry_bytes``; an entry is a tile, or a label.
    """
    texts = {"entries": "tiles or labels", "size_bytes": ("size on disk", "B"), "per_entry_bytes": ("size of one", "B")}
    shards = store.verify(deep=False).to_dataframe()
    totals = shards.groupby([LAYER, "kind"], sort=False)[["entries", "size_bytes"]].sum()
    ds = labelled(totals.to_dict("index"), (LAYER, "kind")).fillna(0).astype(int)
    return schema.described(ds.assign(per_entry_bytes=ds["size_bytes"] / np.maximum(ds["entries"], 1)), texts)


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
    order = order[np.isin(tiles[DESIGN].values[order], [names.index(name) for name in designs or names])]
    order = order[~pd.Index(tiles["canonical"].values[order, -1]).duplicated()]
    # The k-th tile of every design before the (k + 1)-th of any.
    design = pd.Series(tiles[DESIGN].values[order])
    chosen = order[np.lexsort((design, design.groupby(design).cumcount()))][:n]
    drawn = tiles.isel({ta.SAMPLE: chosen})
    columns = {name: names_of(drawn[name]) for name in (DESIGN, CELL, "orientation")}
    columns |= {name: drawn[name].values for name in ("x_nm", "y_nm")}
    return xr.Dataset(
        {name: (ta.SAMPLE, column) for name, column in columns.items()},
        coords={ta.SAMPLE: chosen},
        attrs={"layer": tiles.attrs["layer"]},
    )


def _names(tiles: Mapping[str, xr.Dataset], codes: str) -> list[str]:
    return list(next(iter(tiles.values()))[codes].attrs["names"])


def _contexts(tiles: Mapping[str, xr.Dataset]) -> tuple:
    return schema.column(ta.CONTEXT, next(iter(tiles.values()))[ta.CONTEXT].values, "context", "nm")


def _over_layers(
    rows: Mapping[str, xr.Dataset], texts: Mapping[str, str | tuple[str, str]], **options: object
) -> xr.Dataset:
    """Datasets of single layers as one over ``layer``, with what its variables are."""
    layers = xr.DataArray(list(rows), dims=LAYER, name=LAYER)
    return schema.described(xr.concat(list(rows.values()), layers, combine_attrs="override", **options), texts)
