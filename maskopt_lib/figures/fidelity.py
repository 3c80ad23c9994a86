"""What fidelity costs in complexity, and what a start is worth: means with their intervals, families as curves."""

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style


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
