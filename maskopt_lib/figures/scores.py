"""Scores as bars, matrices, curves and points."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

# Share of an axis that separates two named points.
_APART = 0.07
# Ten thousand pixels moved and more are one colour.
_BRIGHTEST = 4.0


def case_bars(scores: xr.Dataset, *, names: Sequence[str], groups: str) -> hv.Layout:
    """Grouped bars, one panel a score: one group a clip, one bar a method or kernel set.

    Parameters
    ----------
    scores : Dataset over ``sample`` and ``groups`` with ``long_name`` and ``units``.
    names : scores to draw, one below the other.
    groups : dimension whose entries stand side by side.

    Returns
    -------
    Panels one below the other; a score that is not finite has no bar.
    """
    members = style.names(scores[groups])
    cases = [_short(name) for name in style.names(scores[schema.SAMPLE])]
    width, height = 9.0, 2.4
    panels = []
    for name in names:
        values = scores[name].transpose(groups, schema.SAMPLE).values
        panels.append(
            style.axes(
                marks.grouped_bars(values, members),
                aspect=width / height,
                legend="right" if len(members) > 1 else None,
                title=scores[name].attrs.get("long_name", name),
                xlabel="",
                ylabel=style.unit_of(scores[name]),
                xticks=list(enumerate(cases)),
                xrotation=25,
                xlim=(-0.6, len(cases) - 0.4),
                ylim=(0, 1.08 * float(np.nanmax(values)) or 1),
            )
        )
    return style.grid(panels, columns=1, size_inch=(width, height), vspace=0.55)


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
    lowest, highest = float(np.nanmin(values)), float(np.nanmax(values))
    written = [[fmt.format(value) if np.isfinite(value) else "-" for value in row] for row in values]
    is_dark = values < (lowest + highest) / 2
    return style.axes(
        _cells(values, (lowest, highest), written, is_dark, ~is_dark),
        size_inch=_matrix_inches(scores, rows, columns),
        title=title or style.axis_label(scores),
        invert_yaxis=True,
        xlabel="",
        ylabel="",
        xticks=list(enumerate(_short(name) for name in style.names(scores[columns]))),
        yticks=list(enumerate(_short(name) for name in style.names(scores[rows]))),
        xrotation=20,
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
    panels = [
        cross_matrix(values, rows=rows, columns=columns, fmt=fmt, title=title)
        for values, title in zip(scores, titles or [""] * len(scores), strict=True)
    ]
    return style.grid(panels, columns=1, size_inch=_matrix_inches(scores[0], rows, columns), vspace=0.35)


def _cells(
    values: np.ndarray,
    clim: tuple[float, float],
    written: Sequence[Sequence[str]],
    white: np.ndarray,
    black: np.ndarray,
) -> list[hv.Element]:
    """A matrix (y, x) in colours from ``clim``, with white texts on some cells and black ones on others."""
    n_rows, n_columns = values.shape
    image = hv.Image(values[::-1], bounds=(-0.5, -0.5, n_columns - 0.5, n_rows - 0.5), kdims=["x", "y"])
    texts = [
        marks.texts([(j, i, written[i][j]) for i, j in np.argwhere(chosen)], colour=colour, size=9)
        for chosen, colour in ((white, "white"), (black, "black"))
    ]
    return [image.opts(cmap="cividis", clim=clim, interpolation="nearest"), *texts]


def _matrix_inches(scores: xr.DataArray, rows: str, columns: str) -> tuple[float, float]:
    return 2.0 + 0.9 * scores.sizes[columns], 0.8 + 0.36 * scores.sizes[rows]


def _short(name: str) -> str:
    """Name of a clip or method for an axis, without what all names of its kind share."""
    return name.removeprefix("M1_").removeprefix("demo-")


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
    members = [""] if lines is None else style.names(values[lines])
    entries = values.expand_dims("line") if lines is None else values.transpose(lines, along)
    x_label, y_label = style.axis_label(values[along]), style.axis_label(values)
    look = {"linewidth": 1.6, "marker": "o" if values.sizes[along] == 1 else ""}  # a point alone makes no line
    drawn: list[hv.Element] = [
        # Panels whose dimensions have one name share their axes.
        hv.Curve((values[along].values, entry), x_label, y_label, label=member).opts(color=colour, **look)
        for member, entry, colour in zip(members, entries.values, style.colours(members), strict=True)
    ]
    if mark:
        drawn.append(hv.VLine(mark[0]).opts(color=style.FAINT, linestyle="--", linewidth=1))
        title = title or mark[1]
    return style.axes(
        drawn,
        size_inch=size_inch,
        legend=None if lines is None else "right",
        title=title,
        xlabel=x_label,
        ylabel=y_label,
        logy=log_y,
        ruled=True,
    )


def tradeoff(
    scores: xr.Dataset,
    *,
    x: str,
    y: str,
    groups: Mapping[str, str] | None = None,
    log_x: bool = False,
    title: str = "",
    size_inch: tuple[float, float] = (9.0, 4.6),
) -> hv.Overlay:
    """One score against another, one numbered point a method; variants of a method share its colour.

    Parameters
    ----------
    scores : Dataset over ``method``, with ``long_name`` and ``units``: means over the clips; or over ``method`` and
        ``statistic`` (mean, low, high), whose intervals are drawn as well.
    x, y : scores on the axes; both are better when smaller.
    groups : method -> group that shares a colour, such as "network" or "solver"; by default what stands before a comma
        in its name, what stands after it is the variant.
    log_x : logarithmic x axis.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    Points with their numbers; the legend says which is which. A method without finite scores is left out.
    """
    if "statistic" not in scores.dims:
        scores = scores[[x, y]].expand_dims(statistic=["mean"]).reindex(statistic=["mean", "low", "high"])
    at_x, at_y = (np.array(marks.mean_low_high(scores[name])) for name in (x, y))
    finite = np.isfinite(at_x[0]) & np.isfinite(at_y[0])
    at_x, at_y = at_x[:, finite], at_y[:, finite]
    methods = [name for name, is_known in zip(style.names(scores[schema.METHOD]), finite, strict=True) if is_known]
    ticks = None
    if log_x:
        ticks = style.log_ticks(0.8 * at_x[0].min(), 1.25 * at_x[0].max())
        at_x = np.log10(at_x)
    families = [(groups or {}).get(name, name.partition(",")[0]) for name in methods]
    colour_of = dict(style.coloured(list(dict.fromkeys(families))))
    chosen = [colour_of[family] for family in families]
    drawn, numbers = [], []
    for i, (method, colour, marker) in enumerate(zip(methods, chosen, style.markers(chosen), strict=True)):
        point = (at_x[:1, i], at_y[:1, i])
        drawn += marks.crosses(at_x[:, i], at_y[:, i], colour)
        look = {"marker": marker, "edgecolor": "white", "linewidth": 0.5}
        drawn.append(marks.dots(*point, colour, f"{i + 1}  {method}", size=46, **look))
        # Above and below in turn, so that neighbours rarely cover each other.
        lift = (-1) ** i * 0.012 * float(np.ptp(at_y[0]))
        text = (float(point[0][0]), float(point[1][0]) + lift, str(i + 1))
        numbers.append(marks.texts([text], verticalalignment="top" if i % 2 else "bottom"))
    return style.axes(
        [*drawn, *numbers],
        size_inch=size_inch,
        share=0.62,
        ruled=True,
        title=title,
        xlabel=style.axis_label(scores[x]),
        ylabel=style.axis_label(scores[y]),
        xlim=style.limits(at_x),
        ylim=style.limits(at_y, 0.08),
        xticks=ticks,
    )


def ranked(merit: xr.DataArray) -> hv.Overlay:
    """Settings of each method from the best to the worst: how much a search gains, and how flat its bottom is.

    Parameters
    ----------
    merit : DataArray (method, setting), smaller is better; NaN where a method has fewer settings.
    """
    (settings,) = set(merit.dims) - {schema.METHOD}
    merit = merit.transpose(schema.METHOD, settings)
    place = (settings, np.arange(merit.sizes[settings]) + 1, {"long_name": "settings, best first", "units": "1"})
    ordered = merit.copy(data=np.sort(merit.values, axis=-1)).assign_coords({settings: place})
    # What the merit is made of is too long for an axis.
    title, ordered.attrs = merit.attrs.get("long_name", ""), merit.attrs | {"long_name": "merit"}
    return curves(ordered, along=settings, lines=schema.METHOD, title=title, size_inch=(7.0, 4.2))


def distributions(scores: xr.Dataset, *, names: Sequence[str]) -> hv.Layout:
    """What share of the clips a method keeps below which score, one panel a score, one line a method.

    Parameters
    ----------
    scores : Dataset over ``method`` and ``sample`` with ``long_name`` and ``units``.
    names : scores to draw, side by side.

    Returns
    -------
    Panels with the score on the x axis and the share of clips at or below it on the y axis.
    """
    panels = [
        (marks.distribution(scores[name], schema.METHOD), {"xlabel": style.axis_label(scores[name])}) for name in names
    ]
    look = {"aspect": 1.25, "xrotation": 30, "ylim": (0, 102), "ruled": True}
    return style.side_by_side(panels, size_inch=(13.0, 3.4), ylabel="share of clips (%)", hspace=0.25, **look)


def deviations(
    scores: xr.Dataset, *, names: Sequence[str], along: str, reference: str, spread: xr.Dataset | None = None
) -> hv.Layout:
    """Mean deviation of each variation from the reference, one panel a score.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``sample``.
    names : scores to draw, side by side.
    along : dimension of the variations; the first stands at the top.
    reference : entry that the others are compared with.
    spread : standard deviation of the mean that chance makes, for each score; drawn as a band of two of them.

    Returns
    -------
    Panels with one dot a variation, in percent of the reference's mean; counts that are zero there in units.
    """
    mean = scores.mean(schema.SAMPLE, keep_attrs=True)
    changed = mean.drop_sel({along: reference})
    rows = style.names(changed[along])
    heights = np.arange(len(rows))[::-1]
    panels = []
    for name in names:
        base = float(mean[name].sel({along: reference}))
        scale, unit = (100 / base, "%") if base else (1.0, style.unit_of(mean[name]))
        values = (changed[name].values - base) * scale
        finite = np.isfinite(values)
        reach = 1.15 * max(float(np.abs(values[finite]).max(initial=0.0)), 1e-3)
        drawn = [hv.VLine(0).opts(color=style.FAINT, linewidth=1)]
        if spread is not None and np.isfinite(band := 2 * float(spread[name]) * scale):
            drawn.insert(0, hv.VSpan(-band, band).opts(facecolor=style.LIGHT, edgecolor="none", alpha=1.0))
        drawn += marks.intervals(0, heights, values, heights, style.BLUE, width=1)
        drawn.append(marks.dots(values[finite], heights[finite], style.BLUE))
        look = {
            "title": style.axis_label(mean[name].assign_attrs(units="1"), short=True),
            "xlabel": f"change ({unit})" if unit else "change",
            "xlim": (-reach, reach),
            "ruled": True,
        }
        panels.append((drawn, look))
    return style.row_grid(panels, rows, width_inch=9.0)


def limit_curves(scores: xr.Dataset, *, x: str, y: str, along: str) -> hv.Overlay:
    """One score against another while a limit grows: one line a method, each point named by the limit.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``method``, means over the clips, with ``long_name`` and ``units``.
    x, y : scores on the axes.
    along : dimension of the limit; of points close to each other only the first is named.
    """
    places = np.stack([scores[name].transpose(schema.METHOD, along).values for name in (x, y)], axis=-1)
    low, high = np.nanmin(places, axis=(0, 1)), np.nanmax(places, axis=(0, 1))
    room = np.where(high > low, high - low, 1.0)
    drawn = []
    for (name, colour), points in zip(style.coloured(scores[schema.METHOD]), places, strict=True):
        drawn.append(marks.line(*points.T, colour, name, width=1.4, marker="o", ms=5.5))
        limits: list[tuple[float, float, str]] = []
        for point, limit in zip(points, scores[along].values, strict=True):
            # Names closer than this would lie on top of each other.
            if not limits or np.max(np.abs(point - limits[-1][:2]) / room) > _APART:
                limits.append((*point, f" {limit:g}"))
        drawn.append(marks.texts(limits, colour=colour, **marks.RIGHT_ABOVE))
    return style.axes(
        drawn,
        size_inch=(6.8, 4.4),
        legend="top",
        xlabel=style.axis_label(scores[x]),
        ylabel=style.axis_label(scores[y]),
        xlim=(low[0] - 0.05 * room[0], high[0] + 0.12 * room[0]),
        ylim=(low[1] - 0.08 * room[1], high[1] + 0.12 * room[1]),
        ruled=True,
    )


def moved_pixels(pixels: xr.DataArray, kinds: xr.DataArray) -> hv.Overlay:
    """Pixels moved as a map: one row a solver or network, one column a kind of change.

    Parameters
    ----------
    pixels : (method, change, sample), NaN where there is no number; the reference itself is left out.
    kinds : (method,) what a method is, such as ``"solver"``; a line parts those that follow each other.

    Returns
    -------
    Colours by the logarithm of the largest of the clips, with mean and largest on them; a dash where there is none.
    """
    changes = [name for name in style.names(pixels["change"]) if name != "reference"]
    shown = pixels.sel({"change": changes}).transpose(schema.METHOD, "change", schema.SAMPLE)
    mean, largest = (shown.reduce(reduce, schema.SAMPLE).values for reduce in (np.mean, np.max))
    n_rows, n_columns = largest.shape
    written = [[_moved_text(*pair) for pair in zip(*rows, strict=True)] for rows in zip(mean, largest, strict=True)]
    shade = np.log10(1 + largest)
    is_dark = ~(shade > _BRIGHTEST / 2)
    missing = [(j, i, "-") for i, j in np.argwhere(np.isnan(largest))]
    kind = kinds.values
    borders = [i - 0.5 for i in range(1, n_rows) if kind[i] != kind[i - 1]]
    return style.axes(
        [
            *_cells(shade, (0, _BRIGHTEST), written, is_dark & np.isfinite(largest), ~is_dark),
            *([marks.texts(missing, colour=style.INK, size=9)] if missing else []),
            *[marks.line([-0.5, n_columns - 0.5], [at, at], "#FFFFFF", width=2.5) for at in borders],
        ],
        size_inch=(2.6 + 1.15 * n_columns, 1.1 + 0.34 * n_rows),
        share=0.8,
        legend=None,
        title="pixels moved: mean (largest) of the clips",
        invert_yaxis=True,
        xlabel="",
        ylabel="",
        xticks=list(enumerate(changes)),
        yticks=list(enumerate(style.names(pixels[schema.METHOD]))),
    )


def _moved_text(mean: float, largest: float) -> str:
    """Nothing moved is one number.

    Examples
    --------
    >>> _moved_text(0.0, 0.0), _moved_text(1.5, 3.0), _moved_text(12345.6, 20000.0)
    ('0', '1.5 (3)', '12,346 (20,000)')
    """
    if largest == 0:
        return "0"
    return f"{mean:,.1f} ({largest:,.0f})" if mean < 10 else f"{mean:,.0f} ({largest:,.0f})"
