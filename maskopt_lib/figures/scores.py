"""Scores as bars, matrices and curves."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style


def case_bars(
    scores: xr.Dataset, *, names: Sequence[str], groups: str, along: str = "sample", width_inch: float = 9.0
) -> hv.Layout:
    """Grouped bars, one panel a score: one group a clip, one bar a method or kernel set.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``groups`` with ``long_name`` and ``units``.
    names : scores to draw, one below the other.
    groups : dimension whose entries stand side by side.
    along : dimension of the groups on the x axis.
    width_inch : of the figure.

    Returns
    -------
    Panels one below the other; a score that is not finite has no bar.
    """
    members = [str(n) for n in scores[groups].values]
    cases = [_short(c) for c in scores[along].values]
    width = 0.8 / len(members)
    panels = []
    for name in names:
        values = scores[name].transpose(along, groups).values
        units = scores[name].attrs.get("units", "1").replace("nm2", "nm²")
        drawn = []
        for j, (member, colour) in enumerate(zip(members, style.colours(members), strict=True)):
            left = np.arange(len(cases)) - 0.4 + j * width
            boxes = [(x, 0.0, x + 0.92 * width, v) for x, v in zip(left, values[:, j], strict=True) if np.isfinite(v)]
            drawn.append(hv.Rectangles(boxes).opts(hv.opts.Rectangles(facecolor=colour, edgecolor=colour)))
            # Rectangles have no legend entry of their own; a curve without points has.
            key = hv.Curve([(0.0, np.nan)], label=member)
            drawn.append(key.opts(hv.opts.Curve(color=colour, linewidth=6)))
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    aspect=width_inch / 2.4, title=scores[name].attrs.get("long_name", name), xlabel="",
                    ylabel="" if units == "1" else units, xticks=list(enumerate(cases)), xrotation=25,
                    xlim=(-0.6, len(cases) - 0.4), ylim=(0, 1.08 * float(np.nanmax(values)) or 1),
                    show_legend=len(members) > 1, legend_position="right", fontsize=style.FONT_SIZES,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(1)
        .opts(hv.opts.Layout(fig_inches=(width_inch, 2.4), vspace=0.55, sublabel_format="", tight=False))
    )


def cross_matrix(scores: xr.DataArray, *, rows: str, columns: str, fmt: str = "{:,.0f}", title: str = "") -> hv.Overlay:
    """A matrix of numbers on colours: who is scored along the rows, by what along the columns.

    Parameters
    ----------
    scores : DataArray over ``rows`` and ``columns``, with at least one finite value.
    rows, columns : dimensions; the first row stands at the top.
    fmt : format of the number in a cell.
    title : over the matrix; the label of the values by default.

    Returns
    -------
    Colours with the numbers on them; a dash where the value is not finite.
    """
    values = scores.transpose(rows, columns).values
    names = ([_short(v) for v in scores[rows].values], [_short(v) for v in scores[columns].values])
    middle = (np.nanmin(values) + np.nanmax(values)) / 2
    n_rows, n_columns = values.shape
    width, height = _matrix_inches(n_rows, n_columns)
    image = hv.Image(
        values[::-1], bounds=(-0.5, -0.5, n_columns - 0.5, n_rows - 0.5),
        kdims=[columns, rows], vdims=["value"],
    ).opts(
        hv.opts.Image(
            cmap="cividis", clim=(np.nanmin(values), np.nanmax(values)), interpolation="nearest",
            invert_yaxis=True, aspect="auto", xlabel="", ylabel="",
            xticks=list(enumerate(names[1])), yticks=list(enumerate(names[0])), xrotation=20,
            fontsize=style.FONT_SIZES, title=title or style.axis_label(scores),
        )
    )  # fmt: skip
    # Dark cells get white numbers.
    labels = []
    for is_dark in (True, False):
        texts = [
            (j, i, fmt.format(values[i, j]) if np.isfinite(values[i, j]) else "-")
            for i in range(n_rows)
            for j in range(n_columns)
            if (values[i, j] < middle) == is_dark
        ]
        label = hv.Labels(texts, kdims=[columns, rows], vdims=["text"])
        labels.append(label.opts(hv.opts.Labels(color="white" if is_dark else "black", size=9)))
    return hv.Overlay([image, *labels]).opts(
        hv.opts.Overlay(fig_inches=(width, height), aspect=width / height, fontsize=style.FONT_SIZES)
    )


def cross_matrices(
    scores: Sequence[xr.DataArray], *, rows: str, columns: str, fmt: str = "{:,.0f}", titles: Sequence[str] = ()
) -> hv.Layout:
    """Several matrices of one shape, one below the other.

    Parameters
    ----------
    scores : DataArrays over ``rows`` and ``columns``, of equal shape.
    rows, columns, fmt : as for :func:`cross_matrix`.
    titles : one each; the labels of the values by default.
    """
    titles = titles or [""] * len(scores)
    panels = [
        cross_matrix(values, rows=rows, columns=columns, fmt=fmt, title=title)
        for values, title in zip(scores, titles, strict=True)
    ]
    inches = _matrix_inches(scores[0].sizes[rows], scores[0].sizes[columns])
    return (
        hv.Layout(panels).cols(1).opts(hv.opts.Layout(fig_inches=inches, vspace=0.35, sublabel_format="", tight=False))
    )


def _matrix_inches(n_rows: int, n_columns: int) -> tuple[float, float]:
    return 2.0 + 0.9 * n_columns, 0.8 + 0.36 * n_rows


def _short(name: object) -> str:
    """Name of a clip or method for an axis, without what all names of its kind share."""
    return str(name).removeprefix("M1_").removeprefix("demo-")


def curves(
    values: xr.DataArray,
    *,
    along: str,
    lines: str | None = None,
    log_y: bool = False,
    title: str = "",
    mark: tuple[float, str] | None = None,
    size_inch: tuple[float, float] = (5.0, 3.2),
) -> hv.Overlay:
    """Lines over one dimension, one for each entry of another.

    Parameters
    ----------
    values : DataArray over ``along`` and, where given, ``lines``; the axes take their labels from it.
    along : dimension of the x axis.
    lines : dimension of the lines; their names stand in the legend.
    log_y : logarithmic y axis.
    title : over the figure.
    mark : x position of a vertical line, and the title where none is given.
    size_inch : width and height.

    Returns
    -------
    Lines on one pair of axes.
    """
    entries = [("", values)] if lines is None else [(str(v.item()), values.sel({lines: v})) for v in values[lines]]
    x_label, y_label = style.axis_label(values[along]), style.axis_label(values)
    drawn = []
    for (name, line), colour in zip(entries, style.colours([n for n, _ in entries]), strict=True):
        curve = hv.Curve((line[along].values, line.values), kdims=[x_label], vdims=[y_label], label=name)
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.6)))
    if mark:
        drawn.append(hv.VLine(mark[0]).opts(color="#888888", linestyle="--", linewidth=1))
        title = title or mark[1]
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Curve(logy=log_y, fontsize=style.FONT_SIZES, show_grid=True),
        hv.opts.Overlay(
            fig_inches=(width, height), aspect=width / height, title=title, legend_position="right",
            show_legend=lines is not None, fontsize=style.FONT_SIZES, xlabel=x_label, ylabel=y_label,
        ),
    )  # fmt: skip


def histories(history: xr.Dataset, *, terms: Sequence[str] = ("fidelity", "pv_band"), columns: int = 2) -> hv.Layout:
    """Objective terms over the steps, one panel a term, one line a sample.

    Parameters
    ----------
    history : Dataset of :class:`~maskopt_lib.opc.OpcResult`, with ``sample`` named.
    terms : which terms.
    columns : panels side by side.

    Returns
    -------
    Panels with logarithmic y axes; the last one carries the legend of all.
    """
    panels = []
    for term in terms:
        values = history["value"].sel(term=term).rename(term)
        values.attrs = {"long_name": f"{term.replace('_', ' ')} term", "units": "1"}
        panels.append(curves(values, along="step", lines="sample", log_y=True, title=term.replace("_", " ")))
    # One legend serves all panels.
    for panel in panels[:-1]:
        panel.opts(hv.opts.Overlay(show_legend=False))
    return hv.Layout(panels).cols(columns).opts(hv.opts.Layout(fig_inches=(11, 3.8), hspace=0.35, sublabel_format=""))


def tradeoff(
    scores: xr.Dataset, *, x: str, y: str, names: str = "method", log_x: bool = False, title: str = "",
    size_inch: tuple[float, float] = (9.0, 4.6),
) -> hv.Overlay:  # fmt: skip
    """One score against another, one numbered point a method; variants of a method share its colour.

    Parameters
    ----------
    scores : Dataset over ``names``, means over the clips, with ``long_name`` and ``units``.
    x, y : scores on the axes; both are better when smaller.
    names : dimension of the points; what stands before a comma is the method, what stands after it the variant.
    log_x : logarithmic x axis.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    Points with their numbers; the legend says which is which. A method without finite scores is left out.
    """
    width, height = size_inch
    at = [(float(scores[x][i]), float(scores[y][i]), str(name)) for i, name in enumerate(scores[names].values)]
    at = [point for point in at if np.isfinite(point[0]) and np.isfinite(point[1])]
    ticks = None
    if log_x:
        low, high = (limit(px for px, _, _ in at) for limit in (min, max))
        round_numbers = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5)]
        marked = [v for v in round_numbers if 0.8 * low <= v <= 1.25 * high] or [low, high]
        ticks = [(np.log10(v), f"{v:.4g}") for v in marked]
        at = [(float(np.log10(px)), py, name) for px, py, name in at]
    families = list(dict.fromkeys(name.partition(",")[0] for _, _, name in at))
    chosen = style.colours(families)
    colour_of = dict(zip(families, chosen, strict=True))
    # Where colours run out, the next shape begins.
    marker_of = {family: "os^Dv"[chosen[:i].count(chosen[i])] for i, family in enumerate(families)}
    lift = 0.012 * (max(py for _, py, _ in at) - min(py for _, py, _ in at))
    drawn = []
    for i, (px, py, name) in enumerate(at):
        family = name.partition(",")[0]
        point = hv.Points([(px, py)], kdims=["x", "y"], label=f"{i + 1}  {name}")
        options = hv.opts.Points(
            color=colour_of[family], marker=marker_of[family], s=46, edgecolor="white", linewidth=0.5
        )
        drawn.append(point.opts(options))
    # Numbers above and below in turn, so that neighbours rarely cover each other.
    for up in (True, False):
        shift = lift if up else -lift
        texts = [(px, py + shift, str(i + 1)) for i, (px, py, _) in enumerate(at) if (i % 2 == 0) == up]
        labels = hv.Labels(texts, kdims=["x", "y"], vdims=["number"])
        align = "bottom" if up else "top"
        drawn.append(labels.opts(hv.opts.Labels(color="#333333", size=8, verticalalignment=align)))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.62 * width / height, fontsize=style.FONT_SIZES, show_grid=True, title=title,
            xlabel=style.axis_label(scores[x]), ylabel=style.axis_label(scores[y]), xticks=ticks,
            legend_position="right", legend_opts={"fontsize": 8},
        ),
    )  # fmt: skip


def ranked(merit: xr.DataArray, *, lines: str = "method", size_inch: tuple[float, float] = (7.0, 4.2)) -> hv.Overlay:
    """Settings of each method from the best to the worst: how much a search gains, and how flat its bottom is.

    Parameters
    ----------
    merit : DataArray (lines, setting), smaller is better; NaN where a method has fewer settings.
    lines : dimension of the lines.
    size_inch : width and height.
    """
    (settings,) = set(merit.dims) - {lines}
    ordered = merit.transpose(lines, settings).copy(data=np.sort(merit.transpose(lines, settings).values, axis=-1))
    place = (settings, np.arange(merit.sizes[settings]) + 1, {"long_name": "settings, best first", "units": "1"})
    # What the merit is made of is too long for an axis.
    title, ordered.attrs = merit.attrs.get("long_name", ""), merit.attrs | {"long_name": "merit"}
    return curves(
        ordered.assign_coords({settings: place}), along=settings, lines=lines, title=title, size_inch=size_inch
    )


def distributions(
    scores: xr.Dataset, *, names: Sequence[str], lines: str = "method", along: str = "sample", width_inch: float = 13.0
) -> hv.Layout:
    """What share of the clips a method keeps below which score, one panel a score, one line a method.

    Parameters
    ----------
    scores : Dataset over ``lines`` and ``along`` with ``long_name`` and ``units``.
    names : scores to draw, side by side.
    lines, along : its dimensions.
    width_inch : of the figure.

    Returns
    -------
    Panels with the score on the x axis and the share of clips at or below it on the y axis.
    """
    members = [str(name) for name in scores[lines].values]
    panels = []
    for name in names:
        drawn = []
        for member, colour in zip(members, style.colours(members), strict=True):
            values = np.sort(scores[name].sel({lines: member}).values)
            values = values[np.isfinite(values)]
            share = (np.arange(len(values)) + 1) / max(len(values), 1)
            curve = hv.Curve(
                (values, share), kdims=[style.axis_label(scores[name])], vdims=["share of clips"], label=member
            )
            drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.6, interpolation="steps-post")))
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Curve(show_grid=True, fontsize=style.FONT_SIZES),
                hv.opts.Overlay(
                    xlabel=style.axis_label(scores[name]), ylabel="share of clips" if not panels else "",
                    ylim=(0, 1.02), legend_position="right", show_legend=name == names[-1],
                    fontsize=style.FONT_SIZES, aspect=1.25,
                ),
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(names))
    return layout.opts(hv.opts.Layout(fig_inches=(width_inch, 3.4), hspace=0.25, sublabel_format="", tight=False))
