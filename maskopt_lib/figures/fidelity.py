"""What fidelity costs in complexity, and what a start is worth: means with their intervals, families as curves."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import style

_MEAN, _LOW, _HIGH = "mean", "low", "high"
_MARKERS = "os^Dvp"


def fidelity_map(
    rows: xr.Dataset, *, x: str = schema.SHOTS, y: str = schema.EPE_MEAN_ABS, log_x: bool = False, title: str = "",
    size_inch: tuple[float, float] = (9.5, 4.8),
) -> hv.Overlay:  # fmt: skip
    """One score against another: a point a method, a curve a family of several.

    Parameters
    ----------
    rows : Dataset over ``method`` and ``statistic`` (mean, low, high). What stands before a comma in a method's name is
        its family; members of one are joined in their order and bear what stands behind the comma.
    x, y : scores on the axes; both are better when smaller.
    log_x : logarithmic x axis.
    title : over the figure.
    size_inch : width and height, legend included.

    Returns
    -------
    Points with 95 % intervals along both axes; a family keeps its colour, and its place in the legend.
    """
    at = np.log10 if log_x else np.asarray
    methods = [str(name) for name in rows[schema.METHOD].values]
    families = list(dict.fromkeys(name.partition(",")[0] for name in methods))
    drawn, texts = [], []
    for i, (family, colour) in enumerate(zip(families, style.colours(families), strict=True)):
        mine = [name for name in methods if name.partition(",")[0] == family]
        found = rows[[x, y]].sel({schema.METHOD: mine})
        (px, x_low, x_high), (py, y_low, y_high) = (
            [scale(found[name].sel(statistic=s).values.astype(float)) for s in (_MEAN, _LOW, _HIGH)]
            for name, scale in ((x, at), (y, np.asarray))
        )
        lines = [[(x_low[k], py[k]), (x_high[k], py[k])] for k in range(len(mine))]
        lines += [[(px[k], y_low[k]), (px[k], y_high[k])] for k in range(len(mine))]
        drawn += style.intervals(lines, colour, width=0.9)
        if len(mine) > 1:
            drawn.append(_curve(list(zip(px, py, strict=True)), colour, 1.8))
            texts += [(px[k], py[k], " " + name.partition(",")[2].split()[-1]) for k, name in enumerate(mine)]
        points = hv.Points((px, py), kdims=["x", "y"], label=family)
        look = {"marker": _MARKERS[i // len(style.PALETTE) % len(_MARKERS)], "s": 46}
        drawn.append(points.opts(hv.opts.Points(color=colour, edgecolor="white", linewidth=0.5, **look)))
    if texts:
        labels = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
        look = {"size": 8, "verticalalignment": "bottom", "horizontalalignment": "left"}
        drawn.append(labels.opts(hv.opts.Labels(color="#333333", **look)))
    ticks = _log_ticks(rows[x].values) if log_x else None
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=0.62 * width / height, fontsize=style.FONT_SIZES, show_grid=True, title=title,
            xlabel=style.axis_label(rows[x]), ylabel=style.axis_label(rows[y]), xticks=ticks, legend_position="right",
            legend_opts={"fontsize": 8}, legend_limit=1000,
        )
    )  # fmt: skip


def refinement_curves(
    rows: xr.Dataset, *, y: str, seconds: str = schema.RUNTIME, lines: str = "start", goal: float | None = None,
    title: str = "", size_inch: tuple[float, float] = (11.0, 4.0),
) -> hv.Layout:  # fmt: skip
    """What several starts become, over the steps of a solver and over the seconds.

    Parameters
    ----------
    rows : Dataset over ``lines``, ``step`` and ``statistic`` (mean, low, high) with ``y`` and ``seconds``.
    y : score, better when smaller; its axis is logarithmic.
    seconds : variable with the time.
    lines : dimension of the lines.
    goal : value of ``y`` that a dashed line marks.
    title : over the first panel.
    size_inch : width and height of both panels.

    Returns
    -------
    Two panels with 95 % intervals: steps, evenly spread as they were chosen, and seconds, logarithmic.
    """
    names = [str(name) for name in rows[lines].values]
    budgets = rows[schema.STEP].values
    bottom, top = (float(f(rows[y].sel(statistic=_MEAN))) for f in (np.nanmin, np.nanmax))
    panels = []
    for along in (schema.STEP, seconds):
        drawn = []
        for name, colour in zip(names, style.colours(names), strict=True):
            one = rows.sel({lines: name})
            if along == schema.STEP:
                px = np.arange(len(budgets), dtype=float)
            else:
                # What takes no time has no place on this axis.
                found = one[seconds].sel(statistic=_MEAN).values.astype(float)
                px = np.log10(np.where(found > 0, found, np.nan))
            mid, low, high = (np.log10(one[y].sel(statistic=s).values.astype(float)) for s in (_MEAN, _LOW, _HIGH))
            there = np.isfinite(px) & np.isfinite(mid)
            spans = [[(px[k], low[k]), (px[k], high[k])] for k in np.flatnonzero(there)]
            drawn += style.intervals(spans, colour, width=0.9)
            drawn.append(_curve(list(zip(px[there], mid[there], strict=True)), colour, 1.8, label=name))
            points = hv.Points((px[there], mid[there]), kdims=["x", "y"])
            drawn.append(points.opts(hv.opts.Points(color=colour, s=14)))
        if goal:
            drawn.append(hv.HLine(float(np.log10(goal))).opts(color="#888888", linestyle="--", linewidth=1))
        if along == schema.STEP:
            ticks, label = [(i, str(n)) for i, n in enumerate(budgets)], style.axis_label(rows[schema.STEP])
        else:
            times = rows[seconds].sel(statistic=_MEAN).values
            ticks, label = _log_ticks(times[times > 0]), style.axis_label(rows[seconds])
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    xlabel=label, ylabel=style.axis_label(rows[y]), xticks=ticks, yticks=_log_ticks([bottom, top]),
                    title="" if panels else title, show_grid=True, fontsize=style.FONT_SIZES, aspect=1.3,
                    show_legend=bool(panels), legend_position="right", legend_opts={"fontsize": 8}, legend_limit=1000,
                )
            )
        )  # fmt: skip
    # Steps and seconds have nothing in common but the name of their axis.
    return hv.Layout(panels).opts(
        hv.opts.Layout(fig_inches=size_inch, hspace=0.3, sublabel_format="", tight=False, shared_axes=False)
    )  # fmt: skip


def _curve(points: Sequence[tuple[float, float]], colour: str, width: float, label: str = "") -> hv.Curve:
    curve = hv.Curve(points, kdims=["x"], vdims=["y"], label=label)
    return curve.opts(hv.opts.Curve(color=colour, linewidth=width))


def _log_ticks(values: Sequence[float]) -> list[tuple[float, str]]:
    """Round numbers over a range of values, at their logarithms; few enough to be read."""
    values = np.asarray(values, float)
    low, high = (float(f(values[np.isfinite(values) & (values > 0)])) for f in (np.min, np.max))
    for steps in ((1,), (1, 3), (1, 2, 5), range(1, 10), np.arange(10, 100) / 10, np.arange(100, 1000) / 100):
        ticks = [m * 10.0**e for e in range(-6, 9) for m in steps]
        ticks = [v for v in ticks if 0.95 * low <= v <= 1.05 * high]
        if len(ticks) >= 3:
            break
    ticks = ticks[:: max(1, len(ticks) // 8)]
    return [(float(np.log10(v)), f"{v:,.6g}") for v in ticks]
