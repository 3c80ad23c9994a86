"""How good the masks of a dataset are: scores of the masks themselves, by layer and method, and what windows cost.

A model that learns from a dataset cannot be expected to be better than what it learns from, so these scores are the
row that every table of models needs first. Tiles of one cell resemble each other; intervals are therefore of a
bootstrap that draws whole cells.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.layout.cell_tiles import content_image
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, STATISTIC, intervals
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, CONTEXT, IN_PLACE, KIND, PRINTED, shown_within
from maskopt_lib.study.dataset.cut import tile_rule
from maskopt_lib.study.dataset.describe import CELL, DESIGN, FAMILY, LAYER, names_of
from maskopt_lib.study.dataset.tile_masks import TileSolver
from maskopt_lib.study.labelled_images import images, pictures

#: The layout used as its own mask.
LAYOUT = "layout as mask"
_ENDS = (MEAN, LOW, HIGH)
_MARGIN_NM = 144.0  # of a picture around the core


def read_labels(store: TileStore, tiles: Mapping[str, xr.Dataset]) -> dict[str, xr.Dataset]:
    """Scores of all labels, in memory, without masks.

    Parameters
    ----------
    store : with labels.
    tiles : of :func:`maskopt_lib.study.dataset.describe.read_tiles`.

    Returns
    -------
    Layer -> Dataset over ``label`` and ``method``: the scores of :func:`maskopt_lib.metrics.evaluate_core`,
    ``runtime_s``; over ``label``: ``sample``, ``context_nm``, ``cell``, ``design`` and ``family`` by name, and
    ``n_tiles``, how many tiles share it.
    """
    labels = {}
    for layer, table in tiles.items():
        ds = store.open(layer, labels=True)
        ds = _scores(ds, "sample", "context_nm", "solved", schema.RUNTIME).load()
        solved = table.isel({ta.SAMPLE: ds["sample"].values})
        used = table["label_of"].values
        columns = {name: (ta.LABEL, names_of(solved[name])) for name in (CELL, DESIGN, FAMILY)}
        n_tiles = np.bincount(used[used >= 0], minlength=ds.sizes[ta.LABEL])
        columns["n_tiles"] = (ta.LABEL, n_tiles, {"long_name": "tiles that share the label", "units": "1"})
        columns |= {name: ds[name] for name in ("sample", "context_nm")}
        ds = ds.where(ds["solved"] == 1).drop_vars("solved").assign(columns)
        labels[layer] = schema.label(ds.assign_attrs(layer=layer))
    return labels


def side_by_side(labels: Mapping[str, xr.Dataset], context_nm: Mapping[str, int]) -> xr.Dataset:
    """Scores of all layers over ``layer``, ``label`` (renumbered, nan where a layer has fewer) and ``method``.

    Parameters
    ----------
    labels : of :func:`read_labels`.
    context_nm : layer -> context of the labels that are taken.
    """
    rows = [_scores(at_context(ds, context_nm[layer])) for layer, ds in labels.items()]
    rows = [ds.assign_coords({ta.LABEL: np.arange(ds.sizes[ta.LABEL])}) for ds in rows]
    return schema.label(xr.concat(rows, _axis(LAYER, labels), join="outer", combine_attrs="override"))


def at_context(labels: xr.Dataset, context_nm: int) -> xr.Dataset:
    """The labels of one layer that were made with one context."""
    return labels.isel({ta.LABEL: np.flatnonzero(labels["context_nm"].values == context_nm)})


def score_layouts(store: TileStore, labels: xr.Dataset, solver: TileSolver, *, n: int, seed: int = 0) -> xr.Dataset:
    """Scores of the drawn layout as its own mask, on the core, of some labelled tiles.

    Parameters
    ----------
    store, labels : of :func:`read_labels`, one layer.
    solver : under whose rule the masks were made.
    n : tiles, drawn; fewer where there are fewer.
    seed : of the draw.

    Returns
    -------
    Dataset over ``label`` (numbers in ``labels``) with the scores; the mask shows the context that the label had.
    """
    chosen = np.sort(np.random.default_rng(seed).permutation(labels.sizes[ta.LABEL])[:n])
    scores = []
    for label in chosen:
        drawn = layout_image(store, labels.attrs["layer"], int(labels["sample"][label]))[None]
        scores.append(solver.score(shown_within(drawn, solver.rule, float(labels["context_nm"][label])), drawn))
    ds = xr.concat(scores, schema.SAMPLE, combine_attrs="override").rename({schema.SAMPLE: ta.LABEL})
    return ds.assign_coords({ta.LABEL: chosen, CELL: (ta.LABEL, labels[CELL].values[chosen])})


def oracle_rows(
    labels: Mapping[str, xr.Dataset], layouts: Mapping[str, xr.Dataset], context_nm: Mapping[str, int], *, seed: int = 0
) -> xr.Dataset:
    """Scores of the masks themselves, by layer and method, beside those of the layout as its own mask.

    Parameters
    ----------
    labels : of :func:`read_labels`.
    layouts : layer -> of :func:`score_layouts`.
    context_nm : layer -> context of the labels that are counted.
    seed : of the bootstrap.

    Returns
    -------
    Dataset over ``layer``, ``method`` and ``statistic``: the scores; ``n`` (layer, method), labels.
    """
    rows = []
    for layer, ds in labels.items():
        numbers = np.flatnonzero(ds["context_nm"].values == context_nm[layer])
        masks, layout = ds.isel({ta.LABEL: numbers}), layouts[layer]
        layout = layout.isel({ta.LABEL: np.isin(layout[ta.LABEL].values, numbers)})
        layout = layout.expand_dims({schema.METHOD: [LAYOUT]})
        row = [intervals(_scores(part), part[CELL].values, along=ta.LABEL, seed=seed) for part in (masks, layout)]
        counted = [np.isfinite(masks[schema.L2]).sum(ta.LABEL), layout[schema.L2].count(ta.LABEL)]
        n = xr.concat(counted, schema.METHOD).drop_attrs().assign_attrs(long_name="labels", units="1")
        rows.append(xr.concat(row, schema.METHOD, combine_attrs="override").assign(n=n))
    oracle = xr.concat(rows, _axis(LAYER, labels), combine_attrs="override")
    contexts = (LAYER, [int(context_nm[layer]) for layer in labels], {"units": "nm"})
    return schema.label(oracle.assign_coords(label_context_nm=contexts))


def interval_table(rows: xr.Dataset, scores: Sequence[str]) -> pd.DataFrame:
    """Means with their intervals as a table of :func:`maskopt_lib.study.write_table`.

    Parameters
    ----------
    rows : Dataset over ``statistic`` and the dimensions that make the rows.
    scores : variables.

    Returns
    -------
    Columns (score, ``mean`` | ``low`` | ``high``), rows named by all other dimensions.
    """
    dims = [dim for dim in rows[scores[0]].dims if dim != STATISTIC]
    columns = {(score, name): rows[score].sel({STATISTIC: name}, drop=True) for score in scores for name in _ENDS}
    series = {name: column.transpose(*dims).reset_coords(drop=True).to_series() for name, column in columns.items()}
    table = pd.DataFrame(series).dropna(how="all")
    if len(dims) > 1:
        table.index = pd.Index([", ".join(map(str, names)) for names in table.index], name=", ".join(dims))
    return table


def interval_texts(table: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """The same for reading: one column a score, ``mean (low to high)``."""

    def text(mean: float, low: float, high: float) -> str:
        ends = f" ({low:,.{digits}f} to {high:,.{digits}f})" if np.isfinite(low) else ""
        return f"{mean:,.{digits}f}{ends}"

    scores = table.columns.get_level_values(0).unique()
    texts = {score: [text(*row) for row in table[score][list(_ENDS)].to_numpy()] for score in scores}
    return pd.DataFrame(texts, index=table.index)


def cell_scores(labels: xr.Dataset, *, at_least: int = 3) -> xr.Dataset:
    """Mean scores by cell and method, of cells with some labels: over ``cell`` and ``method``, and ``labels``."""
    counts = pd.Series(labels[CELL].values).value_counts().sort_index()
    counts = counts[counts >= at_least]
    rows = [_scores(labels).isel({ta.LABEL: labels[CELL].values == name}).mean(ta.LABEL) for name in counts.index]
    if not rows:
        return xr.Dataset(coords={CELL: np.array([], str)})
    n = (CELL, counts.values, {"long_name": "labels", "units": "1"})
    return schema.label(xr.concat(rows, _axis(CELL, counts.index)).assign(labels=n))


def effect_means(effect: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """Means with intervals of what :func:`~maskopt_lib.study.dataset.context.measure_context_effect` gives."""
    return intervals(_scores(effect), effect[CELL].values, seed=seed).assign_attrs(effect.attrs)


def effect_differences(effect: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """What a context gains, what only the window makes of it, and what is left, tile by tile, with intervals.

    Parameters
    ----------
    effect : of :func:`~maskopt_lib.study.dataset.context.measure_context_effect`, with ``cell``.
    seed : of the bootstrap.

    Returns
    -------
    Dataset over ``kind``, ``difference``, ``context`` and ``statistic``. Differences, each of the same tiles:

    * ``gain in place``: with no context minus with this one, both printed in place; what context is worth.
    * ``gain alone``: the same, both printed alone; what a dataset shows of it.
    * ``window``: in place minus alone; by how much a mask looks better alone than it is.
    * ``left``: in place minus the oracle; what more surroundings would still gain.
    """
    scores = _scores(effect)
    oracle = scores.sel({PRINTED: IN_PLACE, CONTEXT: ALL_AROUND}, drop=True)
    scores = scores.sel({CONTEXT: effect[CONTEXT] != ALL_AROUND})
    alone, in_place = (scores.sel({PRINTED: name}, drop=True) for name in (ALONE, IN_PLACE))
    narrowest = {CONTEXT: scores[CONTEXT].values.min()}
    differences = {
        "gain in place": in_place.sel(narrowest, drop=True) - in_place,
        "gain alone": alone.sel(narrowest, drop=True) - alone,
        "window": in_place - alone,
        "left": in_place - oracle,
    }
    together = xr.concat(list(differences.values()), _axis("difference", differences))
    ds = intervals(together, effect[CELL].values, seed=seed)
    for name in ds.data_vars:
        ds[name].attrs.update(effect[name].attrs)
    return ds.assign_attrs(effect.attrs)


def example_pictures(effect: xr.Dataset, drawn: np.ndarray, sample: int, solver: TileSolver) -> xr.Dataset:
    """One tile as each context shows it, with its masks and what they print alone.

    Parameters
    ----------
    effect : with ``mask``, of :func:`~maskopt_lib.study.dataset.context.measure_context_effect`.
    drawn : (y, x) the layout on the image's pixels.
    sample : which of its tiles.
    solver : under whose rule the masks were made.

    Returns
    -------
    Dataset over ``kind``, ``context``, ``y`` and ``x`` (nm, from the image's corner) of
    :func:`maskopt_lib.study.pictures`: ``target`` is what was shown. The oracle's mask is the middle of a larger one.
    Every second pixel is enough for a picture of this size.
    """
    n, rule, contexts = drawn.shape[-1], solver.rule, effect[CONTEXT]
    packed = effect["mask"].isel({schema.SAMPLE: sample}).transpose(KIND, CONTEXT, ...).values
    unpacked = np.unpackbits(packed, axis=-1, count=n, bitorder="little")
    masks = images(unpacked, rule.pixel_nm, **{KIND: effect[KIND], CONTEXT: contexts})
    shown = [drawn if c == ALL_AROUND else shown_within(drawn[None], rule, float(c))[0] for c in contexts.values]
    ds = pictures(masks, images(shown, rule.pixel_nm, **{CONTEXT: contexts}), solver.sim, margin_nm=None)
    hidden = max(0, n // 2 - round((rule.core_nm / 2 + _MARGIN_NM) / rule.pixel_nm))
    kept = slice(hidden, n - hidden, 2)
    attrs = {"core_nm": rule.core_nm, "layer": effect.attrs["layer"]}
    return ds.isel({schema.Y: kept, schema.X: kept}).assign_attrs(attrs)


def layout_image(store: TileStore, layer: str, sample: int) -> np.ndarray:
    """(y, x) image of a tile with its widest context."""
    rule = tile_rule(store)
    return content_image(store.open(layer)["content"][sample].values, rule, rule.context_nm)


def _axis(dim: str, labels: Iterable[str]) -> xr.DataArray:
    return xr.DataArray(list(labels), dims=dim, name=dim)


def _scores(ds: xr.Dataset, *more: str) -> xr.Dataset:
    return ds[[*more, *(name for name in metrics.CORE_SCORES if name in ds)]]
