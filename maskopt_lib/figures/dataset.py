"""Figures of a dataset of tiles: what is in it, how good its masks are, and what a window costs."""

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style
from maskopt_lib.figures.pictures import filled

_WIDTH = 13.0  # inches


def design_bars(counts: xr.Dataset) -> hv.Overlay:
    """Tiles of each design, one bar a layer, on a logarithmic axis; the state of the design below its name.

    Parameters
    ----------
    counts : Dataset over ``layer`` and ``design`` with ``tiles`` and the coordinate ``state``.
    """
    layers, designs, states = (style.names(counts[name]) for name in ("layer", "design", "state"))
    tiles = counts["tiles"].transpose("layer", "design").values
    # Logarithms with ticks of their own: bars have a foot.
    heights = np.log10(np.where(tiles >= 1, tiles, np.nan))
    top = float(np.nanmax(heights))
    written = np.vectorize(" {:,}".format, otypes=[object])(tiles)
    return style.axes(
        marks.grouped_bars(heights, layers, written, rotation=90),
        size_inch=(9.0, 4.0),
        xlabel="",
        ylabel=f"{style.axis_label(counts['tiles'])} (logarithmic)",
        xticks=[(i, f"{name}\n{state}") for i, (name, state) in enumerate(zip(designs, states, strict=True))],
        yticks=[(e, f"{10**e:,}") for e in range(int(np.ceil(top)) + 1)],
        xlim=(-0.6, len(designs) - 0.4),
        ylim=(0, top + 0.75),
        xrotation=35,
    )


def window_maps(counts: xr.Dataset) -> hv.Layout:
    """Tiles by row and column of their window in the cell, one panel a layer.

    Parameters
    ----------
    counts : Dataset of ``tiles`` over ``layer``, ``row`` and ``column``.
    """
    panels = []
    for layer, tiles in zip(
        style.names(counts["layer"]), counts["tiles"].transpose("layer", "row", "column").values, strict=True
    ):
        n_rows, n_columns = tiles.shape
        bounds = (-0.5, -0.5, n_columns - 0.5, n_rows - 0.5)
        image = hv.Image(np.where(tiles > 0, tiles.astype(float), np.nan)[::-1], bounds=bounds, kdims=["x", "y"])
        image.opts(cmap="cividis", colorbar=True, clabel="tiles", logz=bool(tiles.max() > 100), interpolation="nearest")
        panels.append(
            style.axes(
                [image],
                aspect="auto",
                title=layer,
                xlabel=style.axis_label(counts["column"]),
                ylabel=style.axis_label(counts["row"]),
                yticks=counts["row"].values.tolist(),
            )
        )
    return style.grid(panels, size_inch=(_WIDTH, 2.6), hspace=0.5)


def over_context(
    shares: xr.Dataset, *, names: Sequence[str], ylabel: str, size_inch: tuple[float, float] = (7.5, 3.6)
) -> hv.Overlay:
    """Shares over the context: a colour a layer, a dash a variable.

    Parameters
    ----------
    shares : Dataset over ``layer`` and ``context_nm`` with ``long_name`` and ``units``.
    names : variables, in percent.
    ylabel : of the axis.
    size_inch : width and height, legend included.
    """
    layers, context = style.coloured(shares["layer"]), shares["context_nm"]
    drawn, keys = [], [marks.key(layer, colour) for layer, colour in layers]
    for name, dash, marker in zip(names, style.DASHES, style.MARKERS, strict=False):
        for layer, colour in layers:
            look = {"linestyle": dash, "marker": marker, "ms": 5}
            drawn.append(marks.line(context.values, shares[name].sel(layer=layer).values, colour, **look))
        label = shares[name].attrs["long_name"].partition(",")[0]
        keys.append(marks.key(label, style.INK, 1.4, linestyle=dash, marker=marker))
    return style.axes(
        [*drawn, *keys],
        size_inch=size_inch,
        share=0.75,
        xlabel=style.axis_label(context),
        ylabel=ylabel,
        xticks=context.values.tolist(),
        ylim=(0, 105),
        ruled=True,
    )


def density_histograms(densities: xr.Dataset) -> hv.Layout:
    """How much of the core is covered: one panel a layer, one stepped line a family of designs.

    Parameters
    ----------
    densities : Dataset over ``layer`` and ``bin`` of ``low`` and ``high``, and over ``family`` too of ``share``.
    """
    panels = []
    for layer in style.names(densities["layer"]):
        one = densities.sel(layer=layer)
        edges, drawn = np.append(one["low"].values, one["high"].values[-1]), []
        for i, (family, colour) in enumerate(style.coloured(densities["family"])):
            share = one["share"].sel(family=family).values
            if np.isfinite(share).all():
                look = {"linestyle": style.DASHES[i % 2], "interpolation": "steps-post"}
                drawn.append(marks.line(edges, np.append(share, share[-1]), colour, family, width=1.5, **look))
            else:
                drawn.append(marks.key(family, colour, 1.5, linestyle=style.DASHES[i % 2]))
        panels.append((drawn, {"title": layer, "xlim": (0, edges[-1])}))
    look = {"aspect": 1.35, "xlabel": "covered share of the core (%)", "ylim": (0, None), "ruled": True}
    ylabel = style.axis_label(densities["share"])
    return style.side_by_side(panels, size_inch=(_WIDTH, 3.2), ylabel=ylabel, shared_axes=True, **look)


def cell_bars(frequencies: xr.Dataset, *, most: int = 60) -> hv.Overlay:
    """Tiles of each cell, ranked, one stacked bar a cell and one colour a layer.

    Parameters
    ----------
    frequencies : Dataset over ``layer`` and ``cell`` with ``tiles``, the most frequent cell first.
    most : cells that are drawn; how many are left out stands below.
    """
    shown = frequencies.isel(cell=slice(most))
    cells = style.names(shown["cell"])
    low, drawn = np.zeros(len(cells)), []
    for layer, colour in style.coloured(shown["layer"]):
        high = low + shown["tiles"].sel(layer=layer).values
        boxes = [(i - 0.4, low[i], i + 0.4, high[i]) for i in range(len(cells))]
        drawn += [marks.bars(boxes, colour), marks.key(layer, colour)]
        low = high
    left_out = frequencies.sizes["cell"] - len(cells)
    return style.axes(
        drawn,
        size_inch=(11.0, 4.0),
        share=0.85,
        fonts={"xticks": 7},
        xlabel=f"cell, most frequent first ({left_out} more are not shown)" if left_out else "cell",
        ylabel="tiles",
        xticks=list(enumerate(cells)),
        xlim=(-0.7, len(cells) - 0.3),
        ylim=(0, 1.05 * float(low.max())),
        xrotation=90,
    )


def context_grid(pictures: xr.Dataset) -> hv.Layout:
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
    ticks = [round(low), round(high)]
    rows = [(kind, *row) for kind in kinds for row in (("mask", "mask", style.MASK), ("print", "nominal", style.PRINT))]
    panels = []
    for kind, text, name, colour in rows:
        for context in columns:
            parts = filled(pictures.sel(kind=kind, context=context), (name, colour))
            parts.append(marks.frames([(low, low, high, high)], style.BAND, 1, linestyle="--"))
            i = len(panels)
            place = style.outer(i, len(rows) * len(columns), len(columns), ylabel=f"{kind.upper()}, {text}\ny (nm)")
            title = f"{context} nm" if context >= 0 else "all around"
            look = {"title": title if i < len(columns) else "", "xticks": ticks, "yticks": ticks, "aspect": "equal"}
            panels.append(style.axes(parts, **look, **place))
    return style.grid(panels, columns=len(columns), size_inch=2.0, hspace=0.06, vspace=0.08)


def score_scatter(labels: xr.Dataset, *, x: str, y: str) -> hv.Layout:
    """One score of the masks against another, a point a label, a panel a layer, a colour and a marker a method.

    Parameters
    ----------
    labels : Dataset over ``layer``, ``label`` and ``method``; nan where a layer has fewer labels.
    x, y : scores on the axes.
    """
    panels = []
    for layer in style.names(labels["layer"]):
        drawn = []
        for (method, colour), marker in zip(style.coloured(labels[schema.METHOD]), style.MARKERS, strict=False):
            at_x, at_y = (labels[name].sel({"layer": layer, schema.METHOD: method}).values for name in (x, y))
            there = np.isfinite(at_x + at_y)
            look = {"marker": marker, "size": 14, "alpha": 0.55, "edgecolor": "none", "linewidth": 0}
            drawn.append(marks.dots(at_x[there], at_y[there], colour, method, **look))
        panels.append((drawn, {"title": layer}))
    look = {"aspect": 1.15, "xlabel": style.axis_label(labels[x]), "xlim": (0, None), "ylim": (0, None), "ruled": True}
    return style.side_by_side(panels, size_inch=(_WIDTH, 3.6), ylabel=style.axis_label(labels[y]), **look)


def score_distributions(labels: xr.Dataset, *, names: Sequence[str]) -> hv.Layout:
    """What share of the labels is at or below a score: a row of panels a layer, a column a score, a line a method.

    Parameters
    ----------
    labels : Dataset over ``layer``, ``label`` and ``method``; nan where a layer has fewer labels.
    names : scores.
    """
    layers, panels = style.names(labels["layer"]), []
    for layer in layers:
        for name in names:
            is_first = name == names[0]
            panels.append(
                style.axes(
                    marks.distribution(labels[name].sel(layer=layer), schema.METHOD, dashed=True),
                    aspect=1.7,
                    legend=None if panels else "bottom_right",
                    title=layer if is_first else "",
                    xlabel=style.axis_label(labels[name], short=True) if layer == layers[-1] else "",
                    ylabel="share of the labels (%)" if is_first else "",
                    xlim=(0, None),
                    ylim=(0, 104),
                    xticks=5,
                    ruled=True,
                )
            )
    size = (_WIDTH, None)
    return style.grid(panels, columns=len(names), size_inch=size, hspace=0.2, vspace=0.3, shared_axes=False)


def context_effect(means: xr.Dataset, *, names: Sequence[str], title: str) -> hv.Layout:
    """Scores over the context, printed alone and in place, with 95 % intervals, and the oracle as a level line.

    Parameters
    ----------
    means : Dataset over ``kind``, ``context`` (nm, -1 the oracle), ``printed`` and ``statistic`` (mean, low, high).
    names : scores, one column of panels each; rows are kinds, which share the axis of a score.
    title : over the first panel, before the kind.
    """
    contexts = np.array(sorted(c for c in means["context"].values.tolist() if c >= 0), float)
    kinds, panels = style.names(means["kind"]), []
    for kind in kinds:
        for name in names:
            shown = means[name].where((means["context"] >= 0) | (means["printed"] == "in place"))
            drawn = []
            for printed, (colour, dash) in style.PRINTED.items():
                values = means[name].sel(kind=kind, printed=printed, context=contexts)
                drawn += marks.banded(contexts, values, colour, f"printed {printed}", dash)
            best = float(means[name].sel(kind=kind, printed="in place", context=-1, statistic="mean"))
            ends = contexts[[0, -1]]
            drawn.append(marks.line(ends, [best, best], "black", "oracle, in place", linestyle=":"))
            panels.append(
                style.axes(
                    drawn,
                    aspect=1.3,
                    legend="right" if len(panels) == len(names) - 1 else None,
                    title=f"{title}, {kind.upper()}" if name == names[0] else "",
                    xlabel="context (nm)" if kind == kinds[-1] else "",
                    xticks=contexts.tolist(),
                    ylabel=style.axis_label(means[name], short=True),
                    ylim=style.limits(shown.values),
                    ruled=True,
                )
            )
    size = (_WIDTH, None)
    return style.grid(panels, columns=len(names), size_inch=size, hspace=0.25, vspace=0.35, shared_axes=False)
