"""Figures of a dataset of tiles: what is in it, how good its masks are, and what a window costs."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import _outline

_DASHES = ("-", "--", ":", "-.")
_MARKERS = "osD^v"
_INK, _FAINT = "#333333", "#8C8C8C"
#: Where a mask is printed, in every panel of :func:`context_effect`.
_PRINTED = {"alone": ("#E69F00", "--"), "in place": ("#0072B2", "-")}


def design_bars(counts: xr.Dataset, *, value: str = "tiles", width_inch: float = 9.0) -> hv.Overlay:
    """Tiles of each design, one bar a layer, on a logarithmic axis; the state of the design below its name.

    Parameters
    ----------
    counts : Dataset over ``layer`` and ``design`` with ``value`` and the coordinate ``state``.
    value : what is counted.
    width_inch : of the figure.
    """
    layers, designs = _names(counts["layer"]), _names(counts["design"])
    values = counts[value].transpose("layer", "design").values.astype(float)
    wide, top = 0.8 / len(layers), float(np.nanmax(values))
    drawn = []
    for i, (layer, colour) in enumerate(zip(layers, style.colours(layers), strict=True)):
        left = np.arange(len(designs)) - 0.4 + i * wide
        boxes = [(x, 0.0, x + 0.92 * wide, np.log10(v)) for x, v in zip(left, values[i], strict=True) if v >= 1]
        drawn += [_boxes(boxes, colour), _key(layer, colour)]
        texts = [(x + wide / 2, np.log10(v), f" {int(v):,}") for x, v in zip(left, values[i], strict=True) if v >= 1]
        labels = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
        drawn.append(labels.opts(hv.opts.Labels(size=7, rotation=90, verticalalignment="bottom", color=_INK)))
    states = [str(state) for state in counts["state"].values]
    decades = range(int(np.ceil(np.log10(top))) + 1)
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=(width_inch, 4.0), aspect=width_inch / 4.0, xlabel="", fontsize=style.FONT_SIZES,
            ylabel=f"{style.axis_label(counts[value])} (logarithmic)", xlim=(-0.6, len(designs) - 0.4),
            ylim=(0, np.log10(top) + 0.75), yticks=[(e, f"{10**e:,}") for e in decades], xrotation=35,
            xticks=[(i, f"{name}\n{state}") for i, (name, state) in enumerate(zip(designs, states, strict=True))],
            legend_position="right", show_legend=True,
        )
    )  # fmt: skip


def window_maps(counts: xr.Dataset, *, width_inch: float = 13.0) -> hv.Layout:
    """Tiles by row and column of their window in the cell, one panel a layer."""
    layers = _names(counts["layer"])
    rows, columns = counts["row"].values, counts["column"].values
    panels = []
    for layer in layers:
        values = counts["tiles"].sel(layer=layer).transpose("row", "column").values.astype(float)
        image = hv.Image(
            np.where(values > 0, values, np.nan)[::-1],
            bounds=(-0.5, -0.5, len(columns) - 0.5, len(rows) - 0.5), kdims=["column", "row"], vdims=["tiles"],
        )  # fmt: skip
        panels.append(
            image.opts(
                hv.opts.Image(
                    cmap="cividis",
                    colorbar=True,
                    clabel="tiles",
                    aspect="auto",
                    title=layer,
                    logz=bool(values.max() > 100),
                    xlabel=style.axis_label(counts["column"]),
                    ylabel=style.axis_label(counts["row"]),
                    yticks=list(rows),
                    interpolation="nearest",
                    fontsize=style.FONT_SIZES,
                )
            )
        )
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=(width_inch, 2.6), hspace=0.5, sublabel_format="", tight=False))


def over_context(
    found: xr.Dataset, *, names: Sequence[str], context: str = "context_nm", title: str = "", ylabel: str = "",
    size_inch: tuple[float, float] = (7.5, 3.6),
) -> hv.Overlay:  # fmt: skip
    """Shares over the context: a colour a layer, a dash a variable.

    Parameters
    ----------
    found : Dataset over ``layer`` and ``context`` with ``long_name`` and ``units``.
    names : variables, in percent.
    context : dimension of the x axis.
    title : over the figure.
    ylabel : of the axis; that of the first variable by default.
    size_inch : width and height, legend included.
    """
    layers, drawn = _names(found["layer"]), []
    x = found[context].values.astype(float)
    for name, dash, marker in zip(names, _DASHES, _MARKERS, strict=False):
        for layer, colour in zip(layers, style.colours(layers), strict=True):
            points = (x, found[name].sel(layer=layer).values.astype(float))
            drawn.append(hv.Curve(points, "x", "y").opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.6)))
            drawn.append(hv.Scatter(points, "x", "y").opts(hv.opts.Scatter(color=colour, marker=marker, s=26)))
    drawn += [_key(layer, colour) for layer, colour in zip(layers, style.colours(layers), strict=True)]
    if len(names) > 1:
        for name, dash, marker in zip(names, _DASHES, _MARKERS, strict=False):
            key = hv.Curve([(0.0, np.nan)], "x", "y", label=found[name].attrs["long_name"].partition(",")[0])
            drawn.append(key.opts(hv.opts.Curve(color=_INK, linestyle=dash, linewidth=1.4, marker=marker)))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.75 * width / height, xlabel=style.axis_label(found[context]), title=title,
            ylabel=ylabel or style.axis_label(found[names[0]]), xticks=list(x), ylim=(0, 105), show_grid=True,
            legend_position="right", show_legend=True, fontsize=style.FONT_SIZES, legend_opts={"fontsize": 8},
        )
    )  # fmt: skip


def density_histograms(found: xr.Dataset, *, width_inch: float = 13.0) -> hv.Layout:
    """How much of the core is covered: one panel a layer, one stepped line a family of designs."""
    families = _names(found["family"])
    panels = []
    for layer in _names(found["layer"]):
        one = found.sel(layer=layer)
        edges = np.append(one["low"].values, one["high"].values[-1])
        drawn = []
        for i, (family, colour) in enumerate(zip(families, style.colours(families), strict=True)):
            share = one["share"].sel(family=family).values
            if not np.isfinite(share).all():
                share = np.full(len(share), np.nan)
            line = hv.Curve((edges, np.append(share, share[-1])), "x", "y", label=family)
            dash = _DASHES[i % 2]
            drawn.append(
                line.opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.5, interpolation="steps-post"))
            )
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    title=layer, xlabel="covered share of the core (%)", aspect=1.35, xlim=(0, edges[-1]),
                    ylabel=style.axis_label(found["share"]) if not panels else "", ylim=(0, None), show_grid=True,
                    show_legend=layer == str(found["layer"].values[-1]), legend_position="right",
                    fontsize=style.FONT_SIZES,
                )
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=(width_inch, 3.2), hspace=0.3, sublabel_format="", tight=False))


def cell_bars(frequencies: xr.Dataset, *, most: int = 60, size_inch: tuple[float, float] = (11.0, 4.0)) -> hv.Overlay:
    """Tiles of each cell, ranked, one stacked bar a cell and one colour a layer.

    Parameters
    ----------
    frequencies : Dataset over ``layer`` and ``cell`` with ``tiles``, the most frequent cell first.
    most : cells that are drawn; how many are left out stands below.
    size_inch : width and height.
    """
    shown = frequencies.isel(cell=slice(most))
    layers, cells = _names(shown["layer"]), _names(shown["cell"])
    base, drawn = np.zeros(len(cells)), []
    for layer, colour in zip(layers, style.colours(layers), strict=True):
        top = base + shown["tiles"].sel(layer=layer).values
        boxes = [(i - 0.4, low, i + 0.4, high) for i, (low, high) in enumerate(zip(base, top, strict=True))]
        drawn += [_boxes(boxes, colour), _key(layer, colour)]
        base = top
    left_out = frequencies.sizes["cell"] - len(cells)
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.85 * width / height, xticks=list(enumerate(cells)), xrotation=90,
            xlabel=f"cell, most frequent first ({left_out} more are not shown)" if left_out else "cell",
            ylabel="tiles", xlim=(-0.7, len(cells) - 0.3), ylim=(0, 1.05 * float(base.max())),
            legend_position="right", show_legend=True, fontsize=style.FONT_SIZES | {"xticks": 7},
        )
    )  # fmt: skip


def context_grid(pictures: xr.Dataset, *, size_inch: float = 2.0) -> hv.Layout:
    """One tile as each context shows it: a row of masks a kind, with what they print; columns are contexts.

    Parameters
    ----------
    pictures : Dataset over ``kind``, ``context``, ``y`` and ``x`` (nm) of 0/1 ``target``, ``mask`` and ``nominal``;
        attribute ``core_nm``. Context -1 is a mask made with all of its surroundings.
    size_inch : side of a panel.

    Returns
    -------
    Masks in grey, nominal prints in blue, outline of what was shown in black, the core dashed.
    """
    kinds, contexts = _names(pictures["kind"]), pictures["context"].values.astype(int).tolist()
    columns = [c for c in contexts if c >= 0] + [c for c in contexts if c < 0]
    x, core_nm = pictures["x"].values, pictures.attrs["core_nm"]
    first, last, middle = x[0] - (x[1] - x[0]) / 2, x[-1] + (x[1] - x[0]) / 2, (x[0] + x[-1]) / 2
    low, high = middle - core_nm / 2, middle + core_nm / 2
    panels = []
    for kind in kinds:
        for name, colour in (("mask", style.MASK), ("nominal", style.PRINT)):
            for j, context in enumerate(columns):
                one = pictures.sel(kind=kind, context=context)
                shown = one[name].transpose("y", "x").values > 0
                image = np.where(shown[..., None], np.uint8(np.round(255 * np.array(to_rgb(colour)))), np.uint8(255))
                picture = hv.RGB(image[::-1], bounds=(first, first, last, last), kdims=["x", "y"])
                box = [(low, low), (high, low), (high, high), (low, high), (low, low)]
                core = hv.Path([box], ["x", "y"]).opts(hv.opts.Path(color=style.BAND, linestyle="--", linewidth=1))
                title = f"{context} nm" if context >= 0 else "all around"
                is_first, is_last = not panels, kind == kinds[-1] and name == "nominal"
                overlay = picture * _outline(one["target"]) * core
                panels.append(
                    overlay.opts(
                        hv.opts.RGB(
                            title=title if is_first or len(panels) < len(columns) else "", interpolation="nearest",
                            aspect="equal", xaxis="bottom" if is_last else "bare", yaxis="left" if j == 0 else "bare",
                            xlabel="x (nm)", ylabel=f"{kind.upper()}, {'mask' if name == 'mask' else 'print'}\ny (nm)",
                            xticks=[round(low), round(high)], yticks=[round(low), round(high)],
                            fontsize=style.FONT_SIZES,
                        )
                    )
                )  # fmt: skip
    layout = hv.Layout(panels).cols(len(columns))
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.06, vspace=0.08, sublabel_format=""))


def score_scatter(labels: xr.Dataset, *, x: str, y: str, width_inch: float = 13.0) -> hv.Layout:
    """One score of the masks against another, a point a label, a panel a layer, a colour and a marker a method.

    Parameters
    ----------
    labels : Dataset over ``layer``, ``label`` and ``method``; nan where a layer has fewer labels.
    x, y : scores on the axes.
    width_inch : of the figure.
    """
    methods = _names(labels["method"])
    panels = []
    for layer in _names(labels["layer"]):
        drawn = []
        for method, colour, marker in zip(methods, style.colours(methods), _MARKERS, strict=False):
            at = [labels[name].sel({"layer": layer, "method": method}).values for name in (x, y)]
            points = hv.Points(tuple(values[np.isfinite(at[0] + at[1])] for values in at), ["x", "y"], label=method)
            drawn.append(
                points.opts(
                    hv.opts.Points(color=colour, marker=marker, s=14, alpha=0.55, edgecolor="none", linewidth=0)
                )
            )
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    title=layer, xlabel=style.axis_label(labels[x]), show_grid=True,
                    aspect=1.15, fontsize=style.FONT_SIZES, legend_position="right",
                    show_legend=layer == str(labels["layer"].values[-1]),
                    ylabel="" if panels else style.axis_label(labels[y]), xlim=(0, None), ylim=(0, None),
                )
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(
        hv.opts.Layout(fig_inches=(width_inch, 3.6), hspace=0.3, sublabel_format="", tight=False, shared_axes=False)
    )


def score_distributions(labels: xr.Dataset, *, names: Sequence[str], width_inch: float = 13.0) -> hv.Layout:
    """What share of the labels is at or below a score: a row of panels a layer, a column a score, a line a method.

    Parameters
    ----------
    labels : Dataset over ``layer``, ``label`` and ``method``; nan where a layer has fewer labels.
    names : scores.
    width_inch : of the figure.
    """
    methods, layers = _names(labels["method"]), _names(labels["layer"])
    panels = []
    for layer in layers:
        for column, name in enumerate(names):
            drawn = []
            for method, colour, dash in zip(methods, style.colours(methods), _DASHES, strict=False):
                values = np.sort(labels[name].sel({"layer": layer, "method": method}).values)
                values = values[np.isfinite(values)]
                share = 100 * (np.arange(len(values)) + 1) / max(len(values), 1)
                line = hv.Curve((values, share), "x", "y", label=method)
                drawn.append(
                    line.opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.7, interpolation="steps-post"))
                )
            panels.append(
                hv.Overlay(drawn).opts(
                    hv.opts.Overlay(
                        title=layer if column == 0 else "", ylim=(0, 104), xticks=5, show_grid=True, aspect=1.7,
                        xlabel=_short_label(labels[name]) if layer == layers[-1] else "", xlim=(0, None),
                        ylabel="share of the labels (%)" if column == 0 else "", legend_position="bottom_right",
                        show_legend=len(panels) == 0, fontsize=style.FONT_SIZES,
                    )
                )
            )  # fmt: skip
    layout = hv.Layout(panels).cols(len(names))
    return layout.opts(
        hv.opts.Layout(
            fig_inches=(width_inch, None), hspace=0.2, vspace=0.3, sublabel_format="", tight=False, shared_axes=False
        )
    )


def context_effect(means: xr.Dataset, *, names: Sequence[str], title: str = "", width_inch: float = 13.0) -> hv.Layout:
    """Scores over the context, printed alone and in place, with 95 % intervals, and the oracle as a level line.

    Parameters
    ----------
    means : Dataset over ``kind``, ``context`` (nm, -1 the oracle), ``printed`` and ``statistic`` (mean, low, high).
    names : scores, one column of panels each; rows are kinds, which share the axis of a score.
    title : over the first panel, before the kind.
    width_inch : of the figure.
    """
    contexts = sorted(c for c in means["context"].values.tolist() if c >= 0)
    kinds, panels = _names(means["kind"]), []
    for kind in kinds:
        for name in names:
            seen = means[name].where((means["context"] >= 0) | (means["printed"] == "in place")).values
            low_y, high_y = float(np.nanmin(seen)), float(np.nanmax(seen))
            room = 0.06 * (high_y - low_y) or 1.0
            drawn = []
            for printed, (colour, dash) in _PRINTED.items():
                line = means[name].sel(kind=kind, printed=printed, context=contexts)
                mean, low, high = (line.sel(statistic=s).values for s in ("mean", "low", "high"))
                if np.isfinite(low).all():
                    area = hv.Area((contexts, low, high), "x", ["low", "high"])
                    drawn.append(area.opts(hv.opts.Area(facecolor=colour, alpha=0.18, linewidth=0)))
                curve = hv.Curve((contexts, mean), "x", "y", label=f"printed {printed}")
                drawn.append(curve.opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.8, marker="o")))
            best = float(means[name].sel(kind=kind, printed="in place", context=-1, statistic="mean"))
            level = hv.Curve(([contexts[0], contexts[-1]], [best, best]), "x", "y", label="oracle, in place")
            drawn.append(level.opts(hv.opts.Curve(color="#000000", linestyle=":", linewidth=1.6)))
            is_first = name == names[0]
            panels.append(
                hv.Overlay(drawn).opts(
                    hv.opts.Overlay(
                        title=f"{title}{', ' if title else ''}{kind.upper()}" if is_first else "",
                        xlabel="context (nm)" if kind == kinds[-1] else "", xticks=contexts, show_grid=True,
                        ylabel=_short_label(means[name]), ylim=(low_y - room, high_y + room), aspect=1.3,
                        fontsize=style.FONT_SIZES, legend_position="right",
                        show_legend=kind == kinds[0] and name == names[-1],
                    )
                )
            )  # fmt: skip
    layout = hv.Layout(panels).cols(len(names))
    return layout.opts(
        hv.opts.Layout(
            fig_inches=(width_inch, None), hspace=0.25, vspace=0.35, shared_axes=False, sublabel_format="", tight=False
        )
    )


def _names(values: xr.DataArray) -> list[str]:
    return [str(value) for value in values.values]


def _short_label(values: xr.DataArray) -> str:
    """Label without what stands in brackets in a long name, with the field's own short name of an edge error."""
    short = values.attrs["long_name"].partition(" (")[0].replace("edge placement error", "EPE")
    return style.axis_label(values.copy().assign_attrs(long_name=short))


def _boxes(boxes: list[tuple[float, float, float, float]], colour: str) -> hv.Rectangles:
    return hv.Rectangles(boxes).opts(hv.opts.Rectangles(facecolor=colour, edgecolor=colour, linewidth=0))


def _key(label: str, colour: str) -> hv.Curve:
    # Rectangles have no legend entry of their own; a curve without points has.
    return hv.Curve([(0.0, np.nan)], "x", "y", label=label).opts(hv.opts.Curve(color=colour, linewidth=5))
