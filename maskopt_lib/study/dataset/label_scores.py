"""How good the masks of a dataset are: scores of the masks themselves, by layer and method, and what windows cost.

A model that learns from a dataset cannot be expected to be better than what it learns from, so these scores are the
row that every table of models needs first. Tiles of one cell resemble each other; intervals are therefore of a
bootstrap that draws whole cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, STATISTIC, intervals
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, CONTEXT, IN_PLACE, KIND, PRINTED, seen
from maskopt_lib.study.dataset.describe import CELL, DESIGN, FAMILY, LAYER
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver

#: The layout used as its own mask.
LAYOUT = "layout as mask"


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
    found = {}
    for layer, table in tiles.items():
        ds = store.open(layer, labels=True)
        ds = ds[["sample", "context_nm", "solved", schema.RUNTIME, *(s for s in metrics.CORE_SCORES if s in ds)]].load()
        own = table.isel({ta.SAMPLE: ds["sample"].values})
        names = {name: np.array(table[name].attrs["names"])[own[name].values] for name in (CELL, DESIGN, FAMILY)}
        used = table["label_of"].values
        n = np.bincount(used[used >= 0], minlength=ds.sizes[ta.LABEL])
        ds = ds.where(ds["solved"] == 1).assign({"sample": ds["sample"], "context_nm": ds["context_nm"]})
        ds = ds.drop_vars("solved").assign({name: (ta.LABEL, column) for name, column in names.items()})
        ds["n_tiles"] = (ta.LABEL, n, {"long_name": "tiles that share the label", "units": "1"})
        found[layer] = schema.label(ds.assign_attrs(layer=layer))
    return found


def side_by_side(labels: Mapping[str, xr.Dataset], context_nm: Mapping[str, int]) -> xr.Dataset:
    """Scores of all layers over ``layer``, ``label`` (renumbered, nan where a layer has fewer) and ``method``.

    Parameters
    ----------
    labels : of :func:`read_labels`.
    context_nm : layer -> context of the labels that are taken.
    """
    rows = []
    for layer, ds in labels.items():
        ds = _scores(at_context(ds, context_nm[layer]))
        rows.append(ds.assign_coords({ta.LABEL: np.arange(ds.sizes[ta.LABEL])}))
    names = xr.DataArray(list(labels), dims=LAYER, name=LAYER)
    return schema.label(xr.concat(rows, names, join="outer", combine_attrs="override"))


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
    n_labels = labels.sizes[ta.LABEL]
    chosen = np.sort(np.random.default_rng(seed).permutation(n_labels)[:n])
    rule = solver.rule
    content = store.open(labels.attrs["layer"])["content"]
    side = round(rule.image_nm / rule.pixel_nm)
    scores = []
    for label in chosen:
        drawn = _image(content[int(labels["sample"][label])].values, side)[None]
        scores.append(solver.score(seen(drawn, rule, float(labels["context_nm"][label])), drawn))
    found = xr.concat(scores, schema.SAMPLE, combine_attrs="override").rename({schema.SAMPLE: ta.LABEL})
    return found.assign_coords({ta.LABEL: chosen, CELL: (ta.LABEL, labels[CELL].values[chosen])})


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
        ds = at_context(ds, context_nm[layer])
        row = [intervals(_scores(ds), ds[CELL].values, along=ta.LABEL, seed=seed)]
        counted = [np.isfinite(ds[schema.L2]).sum(ta.LABEL).values]
        layout = layouts[layer]
        layout = layout.isel({ta.LABEL: np.isin(layout[ta.LABEL].values, np.flatnonzero(
            labels[layer]["context_nm"].values == context_nm[layer]))})  # fmt: skip
        own = intervals(_scores(layout), layout[CELL].values, along=ta.LABEL, seed=seed)
        row.append(own.expand_dims({schema.METHOD: [LAYOUT]}))
        counted.append(np.array([layout.sizes[ta.LABEL]]))
        both = xr.concat(row, schema.METHOD, combine_attrs="override")
        both["n"] = (schema.METHOD, np.concatenate(counted), {"long_name": "labels", "units": "1"})
        rows.append(both)
    found = xr.concat(rows, xr.DataArray(list(labels), dims=LAYER, name=LAYER), combine_attrs="override")
    found["label_context_nm"] = (LAYER, [int(context_nm[layer]) for layer in labels], {"units": "nm"})
    return schema.label(found.set_coords("label_context_nm"))


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
    frames = {}
    dims = [dim for dim in rows[scores[0]].dims if dim != STATISTIC]
    for score in scores:
        for statistic in (MEAN, LOW, HIGH):
            flat = rows[score].sel({STATISTIC: statistic}, drop=True).transpose(*dims).reset_coords(drop=True)
            frames[score, statistic] = flat.to_series()
    table = pd.DataFrame(frames).dropna(how="all")
    if len(dims) > 1:
        table.index = pd.Index([", ".join(map(str, names)) for names in table.index], name=", ".join(dims))
    return table


def interval_texts(table: pd.DataFrame, digits: int = 1) -> pd.DataFrame:
    """The same for reading: one column a score, ``mean (low to high)``."""
    texts = {}
    for score in dict.fromkeys(score for score, _ in table.columns):
        ends = zip(*(table[score, name] for name in (MEAN, LOW, HIGH)), strict=True)
        texts[score] = [
            f"{m:,.{digits}f}" + (f" ({low:,.{digits}f} to {high:,.{digits}f})" if np.isfinite(low) else "")
            for m, low, high in ends
        ]
    return pd.DataFrame(texts, index=table.index)


def cell_scores(labels: xr.Dataset, *, at_least: int = 3) -> xr.Dataset:
    """Mean scores by cell and method, of cells with some labels: over ``cell`` and ``method``, and ``labels``."""
    names, counts = np.unique(labels[CELL].values, return_counts=True)
    kept = names[counts >= at_least]
    rows = [_scores(labels).isel({ta.LABEL: labels[CELL].values == name}).mean(ta.LABEL) for name in kept]
    if not rows:
        return xr.Dataset(coords={CELL: kept})
    found = xr.concat(rows, xr.DataArray(kept, dims=CELL, name=CELL))
    found["labels"] = (CELL, counts[counts >= at_least], {"long_name": "labels", "units": "1"})
    return schema.label(found)


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
    scores = _scores(effect).sel({CONTEXT: [c for c in effect[CONTEXT].values.tolist() if c != ALL_AROUND]})
    alone, in_place = (scores.sel({PRINTED: name}, drop=True) for name in (ALONE, IN_PLACE))
    oracle = _scores(effect).sel({PRINTED: IN_PLACE, CONTEXT: ALL_AROUND}, drop=True)
    narrowest = min(scores[CONTEXT].values.tolist())
    parts = {
        "gain in place": in_place.sel({CONTEXT: narrowest}, drop=True) - in_place,
        "gain alone": alone.sel({CONTEXT: narrowest}, drop=True) - alone,
        "window": in_place - alone,
        "left": in_place - oracle,
    }
    together = xr.concat(list(parts.values()), xr.DataArray(list(parts), dims="difference", name="difference"))
    found = intervals(together, effect[CELL].values, seed=seed)
    for name in found.data_vars:
        found[name].attrs.update(effect[name].attrs)
    return found.assign_attrs(effect.attrs)


def example_pictures(
    effect: xr.Dataset, drawn: np.ndarray, sample: int, solver: TileSolver, *, margin_nm: float = 144.0
) -> xr.Dataset:
    """One tile as each context shows it, with its masks and what they print alone.

    Parameters
    ----------
    effect : with ``mask``, of :func:`~maskopt_lib.study.dataset.context.measure_context_effect`.
    drawn : (y, x) the layout on the image's pixels.
    sample : which of its tiles.
    solver : under whose rule the masks were made.
    margin_nm : how far beyond the core is shown.

    Returns
    -------
    Dataset over ``kind``, ``context``, ``y`` and ``x`` (nm, from the image's corner): ``target`` (what was shown),
    ``mask`` and ``nominal`` (0 or 1). The oracle's mask is the middle of a larger one.
    """
    n, rule, sim = drawn.shape[-1], solver.rule, solver.sim
    masks = np.unpackbits(effect["mask"].isel(sample=sample).values, axis=-1, count=n, bitorder="little")
    targets = [drawn if c == ALL_AROUND else seen(drawn[None], rule, float(c))[0] for c in effect[CONTEXT].values]
    aerial = sim.aerial_in_middle(masks.reshape(-1, n, n).astype(np.float32), pixel_nm=rule.pixel_nm, n_out=n)
    printed = (np.asarray(aerial)[:, 0] >= sim.threshold).astype(np.uint8).reshape(masks.shape)
    dims, centres = (KIND, CONTEXT, schema.Y, schema.X), (np.arange(n) + 0.5) * rule.pixel_nm
    hidden = max(0, n // 2 - round((rule.core_nm / 2 + margin_nm) / rule.pixel_nm))
    whole = xr.Dataset(
        {
            "mask": (dims, masks),
            schema.NOMINAL: (dims, printed),
            "target": (dims, np.broadcast_to(np.stack(targets), masks.shape)),
        },
        coords={
            KIND: effect[KIND], CONTEXT: effect[CONTEXT],
            schema.Y: (schema.Y, centres, {"long_name": "y", "units": "nm"}),
            schema.X: (schema.X, centres, {"long_name": "x", "units": "nm"}),
        },
        attrs={"core_nm": rule.core_nm, "layer": effect.attrs["layer"]},
    )  # fmt: skip
    # Every second pixel is enough for a picture of this size.
    kept = slice(hidden, n - hidden, 2)
    return whole.isel({schema.Y: kept, schema.X: kept})


def layout_image(store: TileStore, layer: str, sample: int, rule: LabelRule) -> np.ndarray:
    """(y, x) image of a tile with its widest context."""
    return _image(store.open(layer)["content"][sample].values, round(rule.image_nm / rule.pixel_nm))


def _image(packed: np.ndarray, side: int) -> np.ndarray:
    content = np.unpackbits(packed, axis=-1, bitorder="little")[:, : len(packed)]
    return np.pad(content, (side - len(content)) // 2)


def _scores(ds: xr.Dataset) -> xr.Dataset:
    return ds[[name for name in metrics.CORE_SCORES if name in ds]]
