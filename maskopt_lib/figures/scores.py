"""Scores as bars, matrices, curves, rows and points."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from maskopt_lib.data import methods, schema
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.page import Figure, Panel

# Ten thousand pixels moved and more are one colour.
_BRIGHTEST = 4.0


def case_bars(scores: xr.Dataset, *, names: Sequence[str], groups: str) -> Figure:
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
    cases = list(enumerate(_short(name) for name in style.names(scores[schema.SAMPLE])))
    panels = []
    for name in names:
        values = scores[name].transpose(groups, schema.SAMPLE).values
        look = {"title": scores[name].attrs.get("long_name", name), "ylabel": style.unit_of(scores[name])}
        look |= {"xlim": (-0.6, len(cases) - 0.4), "ylim": (0, 1.08 * float(np.nanmax(values)) or 1)}
        drawn = marks.grouped_bars(values, style.names(scores[groups]))
        panels.append(Panel(drawn, aspect=None, lines=8, xticks=cases, **look))
    return Figure(panels, columns=1, shared="x")


def cross_matrix(scores: xr.DataArray, *, rows: str, columns: str, fmt: str = "", title: str = "") -> Figure:
    """A matrix of numbers on colours: who is scored along the rows, by what along the columns.

    Parameters
    ----------
    scores : DataArray over ``rows`` and ``columns``.
    rows, columns : dimensions; the first row stands at the top.
    fmt : format of the number in a cell; whole numbers by default, thousands where they are large.
    title : over the matrix; the label of the values by default.

    Returns
    -------
    Colours with the numbers on them, on a scale that a few values far off do not stretch; a dash where a value is not
    finite. Rows and columns without any number are left out.
    """
    return cross_matrices([scores], rows=rows, columns=columns, fmt=fmt, titles=[title])


def cross_matrices(
    scores: Sequence[xr.DataArray], *, rows: str, columns: str, fmt: str = "", titles: Sequence[str] = ()
) -> Figure:
    """Several matrices, one below the other.

    Parameters
    ----------
    scores : DataArrays over ``rows`` and ``columns``; one without any number is left out.
    rows, columns, fmt : as for :func:`cross_matrix`.
    titles : one each; the labels of the values by default.
    """
    panels = []
    for values, title in zip(scores, titles or [""] * len(scores), strict=True):
        shown = values.transpose(rows, columns).dropna(rows, how="all").dropna(columns, how="all")
        if not shown.size:
            continue
        numbers, text, name = shown.values, fmt or "{:,.0f}", title or style.axis_label(shown, short=True)
        if not fmt and np.nanmax(np.abs(numbers)) >= 10_000:
            numbers = numbers / 1000
            name = name.replace(" (", " (1,000 ") if " (" in name else f"{name} (thousands)"
        written = [[text.format(value) if np.isfinite(value) else "–" for value in row] for row in numbers]
        panels.append(_matrix(numbers, style.robust(numbers), written, name, shown[rows], shown[columns]))
    if not panels:
        return nothing("no number to show")
    is_one = len({tuple(text for _, text in panel.xticks) for panel in panels}) == 1
    return Figure(panels, columns=1, shared="x" if is_one else "")


def nothing(why: str) -> Figure:
    """A figure that says why there is none."""
    return page.single([marks.texts([(0.5, 0.5, why)])], aspect=None, lines=3, bare=True, xlim=(0, 1), ylim=(0, 1))


def _matrix(values, limits, written, title: str, rows: xr.DataArray, columns: xr.DataArray) -> Panel:
    """A matrix (y, x) in colours, with white texts on dark cells and black ones on others."""
    n_rows, n_columns = values.shape
    is_dark = values < sum(limits) / 2
    on = [
        marks.texts([(j, i, written[i][j]) for i, j in np.argwhere(chosen)], colour=colour)
        for chosen, colour in ((is_dark, "white"), (~is_dark, "black"))
    ]
    return Panel(
        [marks.heat(values, np.arange(n_columns), np.arange(n_rows), limits=limits), *on],
        aspect=None,
        lines=1.1 * n_rows,
        title=title,
        xlim=(-0.5, n_columns - 0.5),
        ylim=(-0.5, n_rows - 0.5),
        xticks=list(enumerate(_short(methods.written(name)) for name in style.names(columns))),
        yticks=list(enumerate(_short(methods.written(name)) for name in style.names(rows))),
        upside_down=True,
    )


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
) -> Figure:
    """Lines over one dimension, one for each entry of another.

    Parameters
    ----------
    values : DataArray over ``along`` and, where given, ``lines``; the axes take their labels from it.
    along : dimension of the x axis.
    lines : dimension of the lines; their names stand in the legend.
    log_y : logarithmic y axis.
    title : over the figure.
    mark : x position of a vertical line, and the title where none is given.
    """
    members = values.expand_dims("line").assign_coords(line=[""]) if lines is None else values.transpose(lines, along)
    looks = style.looks(members[lines or "line"]).values()
    drawn = [
        marks.line(values[along].values, entry, look.colour, look.name, linestyle=look.dash)
        for look, entry in zip(looks, members.values, strict=True)
    ]
    if mark:
        drawn.insert(0, marks.across(mark[0], style.FAINT, up=True, linestyle="--"))
    return page.single(
        drawn,
        title=title or (mark[1] if mark else ""),
        log_y=log_y,
        **page.CURVES | style.axis_labels(values[along], values),
    )


def tradeoff(
    scores: xr.Dataset, *, x: str, y: str, groups: Mapping[str, str] | None = None, log_x: bool = False, title: str = ""
) -> Figure:
    """One score against another, a point a method with its name beside it; variants of a method share its colour.

    Parameters
    ----------
    scores : Dataset over ``method``, with ``long_name`` and ``units``: means over the clips; or over ``method`` and
        ``statistic`` (mean, low, high), whose intervals are drawn as well.
    x, y : scores on the axes; both are better when smaller.
    groups : method -> group that shares a colour, for what is in no table of methods.
    log_x : logarithmic x axis.
    title : over the figure.

    Returns
    -------
    Points and names; a method without finite scores is left out. An axis is logarithmic where its largest value is far
    above its median, so that a few points far off do not push all others into a corner.
    """
    if "statistic" not in scores.dims:
        scores = scores[[x, y]].expand_dims(statistic=["mean"]).reindex(statistic=["mean", "low", "high"])
    at_x, at_y = (np.array(marks.mean_low_high(scores[name])) for name in (x, y))
    finite = np.isfinite(at_x[0]) & np.isfinite(at_y[0])
    at_x, at_y = at_x[:, finite], at_y[:, finite]
    shown = [name for name, is_known in zip(style.names(scores[schema.METHOD]), finite, strict=True) if is_known]
    if not shown:
        return nothing("no method has both scores")
    # One colour and marker a method, whatever its variant: the name beside the point says which.
    method_of = {name: methods.find(name)[0] for name in shown}
    family = {
        name: method.name if method else (groups or {}).get(name) or name.partition(",")[0]
        for name, method in method_of.items()
    }
    looks = style.looks(dict.fromkeys(family.values()))
    drawn, named = [], []
    for i, name in enumerate(shown):
        look = looks[family[name]]
        drawn += marks.crosses(at_x[:, i], at_y[:, i], look.colour)
        drawn.append(marks.dots(at_x[:1, i], at_y[:1, i], look.colour, size=26, marker=look.marker, edgecolor="white"))
        named.append((at_x[0, i], at_y[0, i], methods.written(name), style.shaded(look.colour, -0.25)))
    # Those at the rim have the fewest places to choose from.
    named.sort(key=lambda row: -abs(row[0] - np.median(at_x[0])) / np.ptp(at_x[0] + [0]) if np.ptp(at_x[0]) else 0)
    drawn.append(marks.names([row[:3] for row in named], [row[3] for row in named]))
    return page.single(
        drawn,
        title=title,
        aspect=(0.72, 1.35) if len(shown) > 8 else 1.35,
        most_inch=page.PAGE if len(shown) > 8 else 5.0,
        log_x=log_x or _is_wide(at_x[0]),
        log_y=_is_wide(at_y[0]),
        ruled=True,
        **style.axis_labels(scores[x], scores[y], short=True),
    )


def _is_wide(values: np.ndarray) -> bool:
    return bool(values.min() > 0 and values.max() > 1.5 * np.median(values))


def ranked(merit: xr.DataArray) -> Figure:
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
    drawn = curves(ordered, along=settings, lines=schema.METHOD, title=title)
    whole = list(range(1, merit.sizes[settings] + 1, -(-merit.sizes[settings] // 6)))
    return replace(drawn, panels=[replace(panel, xticks=whole) for panel in drawn.panels])


def distributions(
    scores: xr.Dataset, *, names: Sequence[str], what: str = "clips", rows: str = "", title: str = ""
) -> Figure:
    """What share of the clips a method keeps below which score, one panel a score, one line a method.

    Parameters
    ----------
    scores : Dataset over ``method`` and other dimensions with ``long_name`` and ``units``; nan is left out.
    names : scores to draw, side by side.
    what : is counted.
    rows : dimension whose entries have a row of panels each.
    title : over the first panel.

    Returns
    -------
    Panels with the score on the x axis and the share of clips at or below it on the y axis. The axis ends where all
    methods have at least 98 % of theirs; how many lie beyond is what the line lacks of 100 %.
    """
    panels = []
    for entry in style.names(scores[rows]) if rows else [""]:
        for name in names:
            values = scores[name].sel({rows: entry}) if rows else scores[name]
            by_method = values.stack(all=[dim for dim in values.dims if dim != schema.METHOD])
            ends = by_method.quantile([0, 0.98, 1], "all")
            low, high = float(ends[0].min()), float(ends[1].max())
            high = high if high > low else float(ends[2].max())
            panels.append(
                Panel(
                    marks.distribution(values, schema.METHOD),
                    aspect=1.3,
                    title=entry if rows else (title if not panels else ""),
                    xlabel=style.axis_label(values, short=True),
                    ylabel=f"share of {what} (%)",
                    xlim=(min(low, 0) if low < 0.3 * high else low, 1.02 * high or 1),
                    ylim=(0, 102),
                    ruled=True,
                )
            )
    return Figure(panels, columns=len(names), least_inch=1.1, shared="y")


def dot_rows(
    values: Mapping[str, np.ndarray],
    labels: Sequence[str],
    *,
    spread: Mapping[str, float] | None = None,
    zero: bool = True,
    stems: bool = False,
    xlabels: Mapping[str, str] | None = None,
    title: str = "",
) -> Figure:
    """Values with intervals beside zero: a row each, a panel a quantity.

    Parameters
    ----------
    values : title of a panel -> (row, 3): mean, low and high; nan where there is none.
    labels : of the rows, the first at the top.
    spread : title -> half the width of a band around zero.
    zero : the axis is around zero, and a dot is hollow where its interval holds zero.
    stems : lines go from zero to the values, in place of intervals.
    xlabels : title -> label of the x axis.
    title : of the figure, before that of the first panel.
    """
    heights, panels, ticks = np.arange(len(labels))[::-1].astype(float), [], style.rows(labels)
    line = 2.3 if any("\n" in text for _, text in ticks) else 1.15
    for name, rows in values.items():
        mean, low, high = np.asarray(rows, float).T
        drawn = [marks.across(0, style.FAINT, up=True)] if zero else []
        if spread and np.isfinite(spread.get(name, np.nan)):
            drawn.insert(0, marks.span(-spread[name], spread[name], up=True))
        low, high = (np.zeros_like(mean), mean) if stems else (low, high)
        drawn += marks.intervals(low, heights, high, heights, style.BLUE)
        is_open = ~((low > 0) | (high < 0)) & np.isfinite(low) & (zero and not stems)
        for chosen, face in ((~is_open, style.BLUE), (is_open, "#FFFFFF")):
            there = chosen & np.isfinite(mean)
            drawn.append(marks.dots(mean[there], heights[there], face, edgecolor=style.BLUE, linewidth=1.0))
        ends = np.asarray(rows, float)
        reach = 1.15 * float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)) or 1.0
        look = {"xlim": (-reach, reach) if zero else style.limits(ends), "ylim": (-0.7, len(labels) - 0.3)}
        panels.append(
            Panel(
                drawn,
                aspect=None,
                lines=max(line * len(labels), 4),
                title=f"{title}, {name}" if title and not panels else name,
                xlabel=(xlabels or {}).get(name, ""),
                yticks=ticks,
                xticks=4,
                ruled=True,
                **look,
            )
        )
    return Figure(panels, columns=5, least_inch=1.35, shared="y")


def deviations(
    scores: xr.Dataset, *, names: Sequence[str], along: str, reference: str, spread: xr.Dataset | None = None
) -> Figure:
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
    values, bands, xlabels = {}, {}, {}
    for name in names:
        base = float(mean[name].sel({along: reference}))
        scale, unit = (100 / base, "%") if base else (1.0, style.unit_of(mean[name]))
        title = style.axis_label(mean[name].assign_attrs(units="1"), short=True)
        column = (changed[name].values - base) * scale
        values[title] = np.stack([column] * 3, axis=-1)
        xlabels[title] = f"change ({unit})" if unit else "change"
        if spread is not None:
            bands[title] = 2 * float(spread[name]) * scale
    return dot_rows(values, style.names(changed[along]), spread=bands, xlabels=xlabels, stems=True)


def limit_curves(scores: xr.Dataset, *, x: str, y: str, along: str) -> Figure:
    """One score against another while a limit grows: one line a method, each point named by the limit.

    Parameters
    ----------
    scores : Dataset over ``along`` and ``method``, means over the clips, with ``long_name`` and ``units``.
    x, y : scores on the axes.
    along : dimension of the limit; points whose name has no room have none.
    """
    drawn, named, colours = [], [], []
    for name, look in style.looks(scores[schema.METHOD]).items():
        points = [scores[score].sel({schema.METHOD: name}).values for score in (x, y)]
        drawn.append(marks.line(*points, look.colour, look.name, marker=look.marker))
        named += [(*at, f"{limit:g}") for *at, limit in zip(*points, scores[along].values, strict=True)]
        colours += [look.colour] * scores.sizes[along]
    return page.single(
        [*drawn, marks.names(named, colours, optional=True)],
        title=f"at each point: {style.axis_label(scores[along])}",
        **page.CURVES | style.axis_labels(scores[x], scores[y]) | {"aspect": 1.5},
    )


def moved_pixels(pixels: xr.DataArray, kinds: xr.DataArray) -> Figure:
    """Pixels moved as a map: one row a solver or network, one column a kind of change.

    Parameters
    ----------
    pixels : (method, change, sample), NaN where there is no number; the reference itself is left out.
    kinds : (method,) what a method is, such as ``"solver"``; a line parts those that follow each other.

    Returns
    -------
    Colours by the logarithm of the largest of the clips, which stands on them; a dash where there is none.
    """
    changes = [name for name in style.names(pixels["change"]) if name != "reference"]
    largest = pixels.sel({"change": changes}).max(schema.SAMPLE, skipna=False).transpose(schema.METHOD, "change")
    written = [[f"{value:,.0f}" if np.isfinite(value) else "–" for value in row] for row in largest.values]
    shade = np.log10(1 + largest.values)
    title = "pixels moved, in the clip that moves most"
    panel = _matrix(shade, (0, _BRIGHTEST), written, title, pixels[schema.METHOD], largest["change"])
    kind = kinds.values
    borders = [i - 0.5 for i in range(1, len(kind)) if kind[i] != kind[i - 1]]
    ticks = [(at, style.wrapped(text, 12)) for at, text in panel.xticks]
    lines = [marks.across(at, "#FFFFFF", width=2.0) for at in borders]
    return page.single(**{**vars(panel), "marks": [*panel.marks, *lines], "xticks": ticks})
