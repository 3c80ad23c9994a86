"""Time and memory of methods."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style

#: Phases keep their colour in all figures.
_PHASES = {"prepare_s": "#56B4E9", "optimise_s": "#0072B2", "finish_s": "#E69F00"}


def over_batch(
    values: xr.DataArray,
    *,
    along: str = "batch",
    lines: str = "method",
    log_y: bool = False,
    size_inch: tuple[float, float] = (7.0, 3.4),
) -> hv.Overlay:
    """A quantity over the batch size, which doubles from tick to tick, one line a method.

    Parameters
    ----------
    values : DataArray (lines, along), positive; NaN where nothing was measured.
    along, lines : its dimensions.
    log_y : logarithmic y axis; else it begins at zero.
    size_inch : width and height.

    Returns
    -------
    Lines with a mark at each measurement.
    """
    x_label, y_label = style.axis_label(values[along]), style.axis_label(values)
    names = [str(name) for name in values[lines].values]
    drawn = []
    for name, colour in zip(names, style.colours(names), strict=True):
        line = values.sel({lines: name}).dropna(along)
        points = (np.log2(line[along].values), np.log2(line.values) if log_y else line.values)
        curve = hv.Curve(points, kdims=[x_label], vdims=[y_label], label=name)
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.6)))
        marks = hv.Points(points, kdims=[x_label, y_label])
        drawn.append(marks.opts(hv.opts.Points(color=colour, s=25)))
    width, height = size_inch
    ticks = [(float(np.log2(size)), str(size)) for size in values[along].values.tolist()]
    lowest, highest = float(values.min()), float(values.max())
    y_limits, y_ticks = (0, 1.08 * highest), None
    if log_y:
        # Labels in plain numbers, as many as a reader needs.
        y_limits = (np.log2(lowest) - 0.5, np.log2(highest) + 0.5)
        round_numbers = [m * 10.0**e for e in range(-6, 7) for m in (1, 2, 5)]
        y_ticks = [(np.log2(y), f"{y:g}") for y in round_numbers if y_limits[0] <= np.log2(y) <= y_limits[1]]
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, xticks=ticks, yticks=y_ticks, legend_position="right",
            xlim=(ticks[0][0] - 0.2, ticks[-1][0] + 0.2),
            ylim=y_limits,
            fontsize=style.FONT_SIZES, xlabel=x_label, ylabel=y_label, show_grid=True,
        ),
    )  # fmt: skip


def phase_bars(
    seconds: xr.Dataset,
    *,
    phases: Sequence[str] = tuple(_PHASES),
    along: str = "method",
    width_inch: float = 8.0,
) -> hv.Overlay:
    """Seconds a clip as bars, split by phase: one bar a method, the first at the top.

    Parameters
    ----------
    seconds : Dataset (along) with the phases, in s; a phase that a method lacks is NaN.
    phases : names, from left to right.
    along : dimension of the bars.
    width_inch : of the figure.

    Returns
    -------
    Bars with the sum written at their ends.
    """
    names = [str(name) for name in seconds[along].values]
    heights = np.arange(len(names))[::-1].astype(float)
    left = np.zeros(len(names))
    drawn = []
    for phase in phases:
        length = np.nan_to_num(seconds[phase].values)
        boxes = [(a, h - 0.36, a + b, h + 0.36) for a, b, h in zip(left, length, heights, strict=True)]
        colour = _PHASES.get(phase, "#999999")
        drawn.append(hv.Rectangles(boxes).opts(hv.opts.Rectangles(facecolor=colour, edgecolor=colour)))
        # Rectangles have no legend entry of their own; a curve without points has.
        key = hv.Curve([(0.0, np.nan)], label=phase.removesuffix("_s"))
        drawn.append(key.opts(hv.opts.Curve(color=colour, linewidth=6)))
        left = left + length
    reach = 1.12 * float(left.max())
    texts = [(a + 0.01 * reach, h, f"{a:.2f}") for a, h in zip(left, heights, strict=True)]
    labels = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
    drawn.append(labels.opts(hv.opts.Labels(color="black", size=9, horizontalalignment="left")))
    height = 0.9 + 0.27 * len(names)
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=(width_inch, height), aspect=width_inch / height, xlim=(0, reach), ylim=(-0.6, len(names) - 0.4),
            xlabel="time a clip (s)", ylabel="", yticks=list(zip(heights.tolist(), names, strict=True)),
            legend_position="right", fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip
