"""Mask models: how they trained and score, what fidelity costs and a start is worth, and what ablations say."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style


def training_curves(curves: Mapping[str, xr.Dataset], *, scores: Sequence[str], title: str = "") -> hv.Layout:
    """Losses over the steps, and scores of the checks: a panel a term and a score, a line a training.

    Parameters
    ----------
    curves : name -> Dataset with ``loss`` and ``validation_loss`` over ``term``, and scores over ``check`` with
        ``at_step``.
    scores : which of the scores.
    title : over the first panel.

    Returns
    -------
    Panels; of losses thin lines are the steps as they came, thick ones the checks on tiles that are not trained on.
    """
    first = next(iter(curves.values()))
    named = [(name, curves[name], colour) for name, colour in style.coloured(list(curves))]
    terms = list(dict.fromkeys(term for ds in curves.values() for term in ds[schema.TERM].values.tolist()))
    panels: list[tuple[str, list]] = []
    for term in terms:
        drawn = []
        for name, ds, colour in named:
            if term in ds[schema.TERM].values:
                one = ds.sel({schema.TERM: term})
                drawn += _line(one[schema.STEP], one["loss"], colour, width=0.6, alpha=0.5)
                drawn += _line(one["at_step"], one["validation_loss"], colour, name)
        panels.append((f"{term} loss", drawn))
    for score in scores:
        drawn = [part for name, ds, colour in named for part in _line(ds["at_step"], ds[score], colour, name)]
        panels.append((style.axis_label(first[score], short=True), drawn))
    columns = 3
    grid = [
        style.axes(
            drawn,
            aspect=1.25,
            legend="right" if i == len(panels) - 1 else None,
            title="" if i else title,
            xlabel="steps",
            ylabel=label,
            ruled=True,
        )
        for i, (label, drawn) in enumerate(panels)
    ]
    size = (3.9 * min(columns, len(grid)), 2.7)
    return style.grid(grid, columns=columns, size_inch=size, hspace=0.5, vspace=0.3, shared_axes=False)


def score_bars(rows: xr.Dataset, *, names: Sequence[str], title: str = "") -> hv.Layout:
    """Mean scores with their intervals: a row a method, a panel a score.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high).
    names : scores, one panel each.
    title : over the first panel.

    Returns
    -------
    Dots with 95 % intervals, methods from top to bottom in their order; a method without a number has none.
    """
    methods = style.names(rows[schema.METHOD])
    heights = np.arange(len(methods))[::-1].astype(float)
    panels = []
    for name in names:
        mean, low, high = marks.mean_low_high(rows[name])
        there = np.isfinite(mean)
        drawn = marks.intervals(low, heights, high, heights, "#555555", width=1.4)
        drawn.append(marks.dots(mean[there], heights[there], style.BLUE, size=34))
        look = {
            "title": "" if panels else title,
            "xlabel": style.axis_label(rows[name], short=True),
            "xlim": style.limits(rows[name].values),
            "xrotation": 30,
            "ruled": True,
        }
        panels.append((drawn, look))
    return style.row_grid(panels, methods, width_inch=12.0, share=0.8)


def fidelity_map(rows: xr.Dataset, *, y: str = schema.EPE_MEAN_ABS, title: str = "") -> hv.Overlay:
    """A score against the shots: a point a method, a curve a family of several.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high). What stands before a comma in a method's name is
        its family; members of one are joined in their order and bear what stands behind the comma.
    y : score, better when smaller.
    title : over the figure.

    Returns
    -------
    Points with 95 % intervals along both axes; a family keeps its colour, and its place in the legend.
    """
    methods = style.names(rows[schema.METHOD])
    family_of = np.array([name.partition(",")[0] for name in methods])
    families = list(dict.fromkeys(family_of.tolist()))
    colours = style.colours(families)
    drawn, numbers = [], []
    for family, colour, marker in zip(families, colours, style.markers(colours), strict=True):
        members = rows.isel({schema.METHOD: family_of == family})
        at_x, at_y = (marks.mean_low_high(members[name]) for name in (schema.SHOTS, y))
        drawn += marks.crosses(at_x, at_y, colour)
        if len(at_x[0]) > 1:
            drawn.append(marks.line(at_x[0], at_y[0], colour, width=1.8))
            dials = [" " + name.partition(",")[2].split()[-1] for name in style.names(members[schema.METHOD])]
            numbers += zip(at_x[0], at_y[0], dials, strict=True)
        look = {"marker": marker, "size": 46, "edgecolor": "white", "linewidth": 0.5}
        drawn.append(marks.dots(at_x[0], at_y[0], colour, family, **look))
    shots = rows[schema.SHOTS]
    left, right = float(shots.min()), float(shots.max())
    margin = 0.04 * (right - left) or 1.0  # else the outermost points are cut in half
    return style.axes(
        [*drawn, marks.texts(numbers, **marks.RIGHT_ABOVE)],
        size_inch=(9.5, 4.8),
        share=0.62,
        title=title,
        xlim=(left - margin, right + margin),
        xlabel=style.axis_label(rows[schema.SHOTS]),
        ylabel=style.axis_label(rows[y]),
        ruled=True,
    )


def refinement_curves(rows: xr.Dataset, *, y: str, goal: float | None = None, title: str = "") -> hv.Layout:
    """What several starts become, over the steps of a solver and over the seconds.

    Parameters
    ----------
    rows : Dataset over ``start``, ``step`` and ``statistic`` (mean, low, high) with ``y`` and ``runtime_s``.
    y : score, better when smaller; its axis is logarithmic.
    goal : value of ``y`` that a dashed line marks.
    title : over the first panel.

    Returns
    -------
    Two panels with 95 % intervals: steps, evenly spread as they were chosen, and seconds, logarithmic.
    """
    budgets = style.names(rows[schema.STEP])
    seconds, means = rows[schema.RUNTIME].sel(statistic="mean"), rows[y].sel(statistic="mean")
    times = seconds.values[seconds.values > 0]
    # What takes no time has no place on an axis of logarithms.
    places = {
        schema.STEP: xr.zeros_like(seconds) + np.arange(len(budgets)),
        schema.RUNTIME: np.log10(seconds.where(seconds > 0)),
    }
    ticks = {schema.STEP: list(enumerate(budgets)), schema.RUNTIME: style.log_ticks(times.min(), times.max())}
    panels = []
    for along, place in places.items():
        drawn = []
        for start, colour in style.coloured(rows["start"]):
            x = place.sel(start=start).values
            mean, low, high = np.log10(marks.mean_low_high(rows[y].sel(start=start)))
            there = np.isfinite(x) & np.isfinite(mean)
            drawn += marks.intervals(x, low, x, high, colour, width=0.9)
            drawn.append(marks.line(x[there], mean[there], colour, start, width=1.8, marker="o", ms=3.5))
        if goal:
            drawn.append(hv.HLine(float(np.log10(goal))).opts(color=style.FAINT, linestyle="--", linewidth=1))
        panels.append(
            style.axes(
                drawn,
                aspect=1.3,
                legend="right" if panels else None,
                title="" if panels else title,
                xlabel=style.axis_label(rows[along]),
                ylabel=style.axis_label(rows[y]),
                xticks=ticks[along],
                yticks=style.log_ticks(float(means.min()), float(means.max())),
                ruled=True,
            )
        )
    return style.grid(panels, size_inch=(11.0, 4.0), hspace=0.3, shared_axes=False)


def context_lines(rows: xr.Dataset, *, names: Sequence[str], reference: str = "", title: str = "") -> hv.Layout:
    """Scores over the context that networks are shown, printed alone and in place, with 95 % intervals.

    Parameters
    ----------
    rows : Dataset over ``network``, ``context`` (nm, -1 all surroundings), ``printed`` and ``statistic`` (mean, low,
        high).
    names : scores, a column of panels each; rows of panels are networks.
    reference : network whose number with all surroundings, in place, is drawn as a level line in all panels.
    title : before the network.

    Returns
    -------
    Panels; all surroundings stand apart, at the right end. Panels of a score share its axis.
    """
    contexts = np.array([c for c in rows["context"].values.tolist() if c >= 0], float)
    end = contexts.max() + (contexts.max() / (len(contexts) - 1) if len(contexts) > 1 else 16)
    networks = [name for name in style.names(rows["network"]) if name != reference]
    panels = []
    for network in networks:
        for name in names:
            drawn = []
            for printed, (colour, dash) in style.PRINTED.items():
                values = rows[name].sel(network=network, printed=printed)
                drawn += marks.banded(contexts, values.sel(context=contexts), colour, f"printed {printed}", dash)
                if -1 in rows["context"].values:
                    mean, low, high = marks.mean_low_high(values.sel(context=-1))
                    drawn += marks.intervals(end, low, end, high, colour)
                    drawn += [marks.dots([end], [mean], colour, marker="D", size=36)] if np.isfinite(mean) else []
            if reference:
                best = float(rows[name].sel(network=reference, printed="in place", context=-1, statistic="mean"))
                label = f"{reference}, all around"
                drawn.append(marks.line([0, end], [best, best], "black", label, width=1.4, linestyle=":"))
            panels.append(
                style.axes(
                    drawn,
                    aspect=1.3,
                    legend="right" if len(panels) == len(names) - 1 else None,
                    title=", ".join(filter(None, (title, network))) if name == names[0] else "",
                    xlabel="context shown (nm)" if network == networks[-1] else "",
                    xticks=[(c, f"{c:g}") for c in contexts] + [(end, "all")],
                    xlim=(-0.05 * end, 1.05 * end),
                    ylabel=style.axis_label(rows[name], short=True),
                    ylim=style.limits(rows[name].values),
                    ruled=True,
                )
            )
    size = (3.6 * len(names) + 1.4, None)
    return style.grid(panels, columns=len(names), size_inch=size, hspace=0.3, vspace=0.4, shared_axes=False)


def interval_rows(rows: xr.Dataset, *, along: str, panels: str, title: str = "", width_inch: float = 10.0) -> hv.Layout:
    """Effects with their intervals beside zero: a row each, a panel a condition.

    Parameters
    ----------
    rows : Dataset over ``along`` and ``panels``: ``mean``, ``low`` and ``high``, of one unit.
    along : dimension of the rows; the first stands at the top.
    panels : dimension of the panels.
    title : of the figure, before the name of the first panel.
    width_inch : of the figure.

    Returns
    -------
    Dots with 95 % intervals: filled where the interval leaves out zero, hollow where it does not or is not known.
    """
    labels = style.names(rows[along])
    heights = np.arange(len(labels))[::-1].astype(float)
    ends = np.stack([rows[name].values for name in ("mean", "low", "high")])
    reach = 1.1 * float(np.abs(ends[np.isfinite(ends)]).max(initial=0.0)) or 1.0
    columns = []
    for i, condition in enumerate(style.names(rows[panels])):
        mean, low, high = (rows[name].isel({panels: i}).values.astype(float) for name in ("mean", "low", "high"))
        drawn = [hv.VLine(0).opts(color=style.FAINT, linewidth=1)]
        drawn += marks.intervals(low, heights, high, heights, style.BLUE, width=1.4)
        is_decided = (low > 0) | (high < 0)
        for chosen, face in ((is_decided, style.BLUE), (~is_decided, "#FFFFFF")):
            there = chosen & np.isfinite(mean)
            drawn.append(marks.dots(mean[there], heights[there], face, size=34, edgecolor=style.BLUE, linewidth=1.4))
        look = {
            "title": f"{title}, {condition}" if title and i == 0 else condition,
            "xlabel": f"({rows['mean'].attrs.get('units', '1')})" if i else style.axis_label(rows["mean"]),
            "xlim": (-reach, reach),
            "ruled": True,
        }
        columns.append((drawn, look))
    return style.row_grid(columns, labels, width_inch=width_inch, share=0.75)


def embedding_map(space: xr.Dataset, *, title: str = "") -> hv.Overlay:
    """Cells where a network puts them, on the two directions of largest variance, told apart by their family.

    Parameters
    ----------
    space : Dataset over ``cell`` and ``component``: ``position``, ``explained`` (component), and ``family`` (cell).
    title : over the figure.
    """
    position = space["position"].transpose("cell", "component").values
    position = np.pad(position, ((0, 0), (0, max(0, 2 - position.shape[1]))))[:, :2]
    member = space["family"].values.astype(str)
    families = sorted(set(member.tolist()))
    drawn = [
        marks.dots(*position[member == family].T, colour, family, size=34, marker=style.MARKERS[i % len(style.MARKERS)])
        for i, (family, colour) in enumerate(style.coloured(families))
    ]
    beside = [(x, y, f" {name}") for (x, y), name in zip(position, style.names(space["cell"]), strict=True)]
    shares = [*(100 * space["explained"].values), 0.0, 0.0]
    return style.axes(
        [*drawn, marks.texts(beside, size=6, **marks.RIGHT_ABOVE)],
        size_inch=(9.5, 5.2),
        share=0.62,
        title=title,
        xlabel=f"first component ({shares[0]:.0f} % of the variance)",
        ylabel=f"second component ({shares[1]:.0f} %)",
        ruled=True,
    )


def _line(x: xr.DataArray, y: xr.DataArray, colour: str, label: str = "", *, width: float = 1.8, **look) -> list:
    there = np.isfinite(y.values)
    if not there.any():
        return []
    look |= {"marker": "o", "ms": 3} if label else {}
    return [marks.line(x.values[there], y.values[there], colour, label, width=width, **look)]
