"""Figures of a dataset of tiles: what is in it, how good its masks are, and what a window costs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.page import Figure, Panel
from maskopt_lib.figures.pictures import NM, filled
from maskopt_lib.figures.scores import distributions


def design_bars(counts: xr.Dataset) -> Figure:
    """Tiles of each design, one bar a layer, on a logarithmic axis; the state of the design below its name.

    Parameters
    ----------
    counts : Dataset over ``layer`` and ``design`` with ``tiles`` and the coordinate ``state``.
    """
    shown = counts.isel(design=(counts["tiles"] > 0).any("layer").values)
    designs, states = (style.names(shown[name]) for name in ("design", "state"))
    tiles = shown["tiles"].transpose("layer", "design").values.astype(float)
    wide = 0.8 / len(tiles)
    drawn = []
    for i, look in enumerate(style.looks(shown["layer"]).values()):
        heights = len(designs) - 1 - np.arange(len(designs)) + 0.4 - (i + 1) * wide
        there = np.flatnonzero(tiles[i] >= 1)
        boxes = [(1.0, heights[j], tiles[i, j], heights[j] + 0.9 * wide) for j in there]
        ends = [(1.15 * tiles[i, j], heights[j] + 0.45 * wide, f"{tiles[i, j]:,.0f}") for j in there]
        drawn += [marks.bars(boxes, look.colour, look.name), marks.texts(ends, **marks.RIGHT)]
    labels = [f"{name}, {state}" for name, state in zip(designs, states, strict=True)]
    return page.single(
        drawn,
        aspect=None,
        lines=1.0 * len(tiles) * len(designs),
        most_inch=5.5,
        xlabel=style.axis_label(shown["tiles"]),
        log_x=True,
        xlim=(0.9, 40 * float(np.nanmax(tiles))),
        ylim=(-0.6, len(designs) - 0.4),
        yticks=style.rows(labels, 24),
    )


def window_maps(counts: xr.Dataset) -> Figure:
    """Tiles by row and column of their window in the cell, one panel a layer.

    Parameters
    ----------
    counts : Dataset of ``tiles`` over ``layer``, ``row`` and ``column``.

    Returns
    -------
    Heat maps of a logarithmic scale.
    """
    panels = []
    for layer, tiles in counts["tiles"].transpose("layer", "row", "column").astype(float).groupby("layer"):
        values = tiles.squeeze("layer").where(lambda n: n > 0).values
        x, y = counts["column"].values, counts["row"].values
        image = marks.heat(values, x, y, limits=(1, max(10.0, float(np.nanmax(values)))), bar="tiles", log=True)
        look = style.axis_labels(counts["column"], counts["row"])
        panels.append(Panel([image], aspect=None, lines=9, title=str(layer), yticks=4, **look))
    return Figure(panels, columns=3, least_inch=2.2)


def over_context(shares: xr.Dataset, *, names: Sequence[str], ylabel: str) -> Figure:
    """Shares over the context: a colour a layer, a dash a variable.

    Parameters
    ----------
    shares : Dataset over ``layer`` and ``context_nm`` with ``long_name`` and ``units``.
    names : variables, in percent.
    ylabel : of the axis.
    """
    layers, context = style.looks(shares["layer"]), shares["context_nm"]
    drawn, keys = [], [marks.key(layer, look.colour) for layer, look in layers.items()]
    for name, dash in zip(names, style.DASHES, strict=False):
        for layer, look in layers.items():
            values = shares[name].sel(layer=layer).values
            drawn.append(marks.line(context.values, values, look.colour, linestyle=dash, marker=look.marker))
        keys.append(marks.key(shares[name].attrs["long_name"].partition(",")[0], style.INK, 1.2, linestyle=dash))
    look = page.CURVES | {"xticks": context.values.tolist(), "ylim": (0, 105)}
    return page.single(drawn, xlabel=style.axis_label(context), ylabel=ylabel, keys=keys, **look)


def density_histograms(densities: xr.Dataset) -> Figure:
    """How much of the core is covered: one panel a layer, one stepped line a family of designs.

    Parameters
    ----------
    densities : Dataset over ``layer`` and ``bin`` of ``low`` and ``high``, and over ``family`` too of ``share``.
    """
    panels = []
    for layer in style.names(densities["layer"]):
        one = densities.sel(layer=layer)
        edges, drawn = np.append(one["low"].values, one["high"].values[-1]), []
        for family, look in style.looks(densities["family"]).items():
            share = one["share"].sel(family=family).values
            steps = np.append(share, share[-1]) if np.isfinite(share).all() else np.full(len(edges), np.nan)
            drawn.append(marks.line(edges, steps, look.colour, family, drawstyle="steps-post"))
        look = {"xlabel": "covered share of the core (%)", "ylabel": style.axis_label(densities["share"])}
        panels.append(Panel(drawn, aspect=1.35, title=layer, xlim=(0, edges[-1]), ylim=(0, None), ruled=True, **look))
    return Figure(panels, columns=3, least_inch=1.7)


def cell_bars(frequencies: xr.Dataset, *, most: int = 30) -> Figure:
    """Tiles of each cell, ranked, one stacked bar a cell and one colour a layer.

    Parameters
    ----------
    frequencies : Dataset over ``layer`` and ``cell`` with ``tiles``, the most frequent cell first.
    most : cells that are drawn; how many are left out stands below.
    """
    shown = frequencies.isel(cell=slice(most))
    cells = style.names(shown["cell"])
    low, drawn, heights = np.zeros(len(cells)), [], np.arange(len(cells))[::-1]
    for layer, look in style.looks(shown["layer"]).items():
        high = low + shown["tiles"].sel(layer=layer).values
        boxes = [(a, at - 0.4, b, at + 0.4) for a, b, at in zip(low, high, heights, strict=True)]
        drawn.append(marks.bars(boxes, look.colour, layer))
        low = high
    left_out = frequencies.sizes["cell"] - len(cells)
    return page.single(
        drawn,
        aspect=None,
        lines=1.05 * len(cells),
        most_inch=5.0,
        xlabel="tiles" + (f" ({left_out} cells that come less often are not shown)" if left_out else ""),
        xlim=(0, 1.05 * float(low.max())),
        ylim=(-0.7, len(cells) - 0.3),
        yticks=style.rows(cells),
    )


def context_grid(pictures: xr.Dataset) -> Figure:
    """One tile as each context shows it: a row of masks a kind, with what they print; columns are contexts.

    Parameters
    ----------
    pictures : Dataset over ``kind``, ``context``, ``y`` and ``x`` (nm) of 0/1 ``target``, ``mask`` and ``nominal``;
        attribute ``core_nm``. Context -1 is a mask made with all of its surroundings.

    Returns
    -------
    Masks in grey, nominal prints in blue, outline of what was shown in black, the core dashed.
    """
    kinds, contexts = style.names(pictures["kind"]), pictures["context"].values.astype(int).tolist()
    columns = [c for c in contexts if c >= 0] + [c for c in contexts if c < 0]
    middle = float(pictures["x"].values[[0, -1]].mean())
    low, high = middle - pictures.attrs["core_nm"] / 2, middle + pictures.attrs["core_nm"] / 2
    rows = [(kind, *row) for kind in kinds for row in (("mask", "mask", style.MASK), ("print", "nominal", style.PRINT))]
    panels = []
    for kind, text, name, colour in rows:
        for context in columns:
            parts = filled(pictures.sel(kind=kind, context=context), (name, colour))
            parts.append(marks.frames([(low, low, high, high)], style.BAND, 0.8, linestyle="--"))
            title = (f"{context} nm" if context >= 0 else "all around") if len(panels) < len(columns) else ""
            look = NM | {"xticks": [round(low), round(high)], "yticks": [round(low), round(high)]}
            panels.append(Panel(parts, title=title, **look | {"ylabel": f"{kind.upper()}, {text}\ny (nm)"}))
    return Figure(panels, columns=len(columns), least_inch=0.55, shared="xy")


def score_scatter(labels: xr.Dataset, *, x: str, y: str) -> Figure:
    """One score of the masks against another, a point a label, a panel a layer, a colour and a marker a method.

    Parameters
    ----------
    labels : Dataset over ``layer``, ``label`` and ``method``; nan where a layer has fewer labels.
    x, y : scores on the axes.
    """
    panels = []
    for layer in style.names(labels["layer"]):
        drawn = []
        for method, look in style.looks(labels[schema.METHOD]).items():
            at_x, at_y = (labels[name].sel({"layer": layer, schema.METHOD: method}).values for name in (x, y))
            there = np.isfinite(at_x + at_y)
            faint = {"marker": look.marker, "size": 5, "alpha": 0.5, "linewidth": 0, "rasterized": True}
            drawn.append(marks.dots(at_x[there], at_y[there], look.colour, look.name, **faint))
        look = style.axis_labels(labels[x], labels[y], short=True)
        panels.append(Panel(drawn, aspect=1.15, title=layer, ruled=True, **look))
    return Figure(panels, columns=3, least_inch=1.7)


def score_distributions(labels: xr.Dataset, *, names: Sequence[str]) -> Figure:
    """What share of the labels is at or below a score: a row of panels a layer; see :func:`distributions`."""
    return distributions(labels, names=names, what="labels", rows="layer")


def context_effect(means: xr.Dataset, *, names: Sequence[str], title: str) -> Figure:
    """Scores over the context, printed alone and in place, with 95 % intervals, and the oracle as a level line.

    Parameters
    ----------
    means : Dataset over ``kind``, ``context`` (nm, -1 the oracle), ``printed`` and ``statistic`` (mean, low, high).
    names : scores, one column of panels each; rows are kinds, which share the axis of a score.
    title : over the first panel, before the kind.
    """
    contexts = np.array(sorted(c for c in means["context"].values.tolist() if c >= 0), float)
    panels = []
    for kind in style.names(means["kind"]):
        for name in names:
            shown = means[name].where((means["context"] >= 0) | (means["printed"] == "in place"))
            best = float(means[name].sel(kind=kind, printed="in place", context=-1, statistic="mean"))
            heading = ", ".join(filter(None, (title, kind.upper())))
            look = {"title": heading, "xlabel": "context (nm)", "ylim": style.limits(shown.values)}
            panels.append(context_panel(means[name].sel(kind=kind), contexts, best, **look))
    oracle = marks.key("all of its surroundings, in place", style.BLACK, 1, linestyle=":")
    return Figure(panels, columns=len(names), least_inch=1.5, keys=[oracle])


def context_panel(
    values: xr.DataArray, contexts: np.ndarray, level: float | None, *, end: float | None = None, **look
) -> Panel:
    """A score over the context, printed alone and in place, with its intervals.

    Parameters
    ----------
    values : DataArray (printed, context, statistic).
    contexts : nm, those of the curves.
    level : of a dotted line.
    end : where on the axis the number with all surroundings (context -1) stands.
    look : see :class:`maskopt_lib.figures.page.Panel`.
    """
    drawn = []
    for printed, (colour, dash) in style.PRINTED.items():
        over_context = values.sel(printed=printed)
        drawn += marks.banded(contexts, over_context.sel(context=contexts), colour, f"printed {printed}", dash)
        if end is not None:
            mean, low, high = marks.mean_low_high(over_context.sel(context=-1))
            drawn += marks.intervals(end, low, end, high, colour)
            drawn += [marks.dots([end], [mean], colour, marker="D")] if np.isfinite(mean) else []
    if level is not None:
        drawn.append(marks.across(level, style.BLACK, linestyle=":"))
    return Panel(drawn, aspect=1.3, ylabel=style.axis_label(values, short=True), ruled=True, **look)
