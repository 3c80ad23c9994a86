"""Time and memory of methods and devices."""

from collections.abc import Mapping

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

#: Phases keep their colour in all figures.
_PHASES = {"prepare": style.SKY, "optimise": style.BLUE, "finish": style.ORANGE}
_BATCH = "batch"


def over_batch(values: xr.DataArray, *, lines: str = schema.METHOD, log_y: bool = False) -> hv.Overlay:
    """A quantity over the batch size, which doubles from tick to tick, one line a method.

    Parameters
    ----------
    values : DataArray (lines, batch), positive; NaN where nothing was measured.
    lines : dimension of the lines.
    log_y : logarithmic y axis; else it begins at zero.

    Returns
    -------
    Lines with a mark at each measurement.
    """
    drawn = _lines(values, lines, log_y=log_y)
    lowest, highest = float(values.min()), float(values.max())
    look = {"ylim": (0, 1.08 * highest)}
    if log_y:
        look = _log_axis(lowest / 1.4, 1.4 * highest)
    return style.axes(drawn, size_inch=(7.0, 3.4), **_batches(values), **look)


def beside_aims(values: xr.DataArray, aims: Mapping[str, float], *, lines: str = "series") -> hv.Overlay:
    """A quantity over the batch on logarithmic axes, with what is aimed at, or published, as level lines.

    Parameters
    ----------
    values : (lines, batch), positive; NaN where nothing was measured.
    aims : what a level stands for -> its value, in the unit of the values.
    lines : dimension of the lines.

    Returns
    -------
    Lines with a mark at each measurement, and one dashed level an aim.
    """
    drawn = _lines(values, lines, log_y=True)
    for i, (name, aim) in enumerate(aims.items()):
        dash = ("dashed", "dotted", "dashdot")[i % 3]
        drawn += marks.across(float(np.log10(aim)), "#444444", name, 1.3, linestyle=dash)
    reached = [*aims.values(), float(values.min()), float(values.max())]
    look = _log_axis(min(reached) / 1.5, 1.5 * max(reached))
    return style.axes(drawn, size_inch=(8.6, 3.6), **_batches(values), **look)


def _lines(values: xr.DataArray, lines: str, *, log_y: bool) -> list:
    drawn = []
    for i, (name, colour) in enumerate(style.coloured(values[lines])):
        measured = values.isel({lines: i}).dropna(_BATCH)
        at = np.log2(measured[_BATCH].values), np.log10(measured.values) if log_y else measured.values
        drawn.append(marks.line(*at, colour, name, marker="o", ms=5))
    return drawn


def _log_axis(low: float, high: float) -> dict:
    return {"ylim": (float(np.log10(low)), float(np.log10(high))), "yticks": style.log_ticks(low, high)}


def _batches(values: xr.DataArray) -> dict:
    """Options of an axis of batch sizes, and of that of the values."""
    ticks = [(float(np.log2(size)), str(size)) for size in values[_BATCH].values.tolist()]
    labels = {"xlabel": style.axis_label(values[_BATCH]), "ylabel": style.axis_label(values)}
    return {"xticks": ticks, "xlim": (ticks[0][0] - 0.2, ticks[-1][0] + 0.2), "ruled": True, **labels}


def phase_bars(seconds: xr.Dataset) -> hv.Overlay:
    """Seconds a clip as bars, split by phase: one bar a method, the first at the top.

    Parameters
    ----------
    seconds : Dataset (method) of ``prepare_s``, ``optimise_s`` and ``finish_s``; a phase that a method lacks is NaN.

    Returns
    -------
    Bars with the sum written at their ends.
    """
    names = style.names(seconds[schema.METHOD])
    heights = np.arange(len(names))[::-1].astype(float)
    left, drawn = np.zeros(len(names)), []
    for phase, colour in _PHASES.items():
        right = left + np.nan_to_num(seconds[f"{phase}_s"].values)
        boxes = [(a, at - 0.36, b, at + 0.36) for a, b, at in zip(left, right, heights, strict=True)]
        drawn += [marks.bars(boxes, colour), marks.key(phase, colour)]
        left = right
    reach = 1.12 * float(left.max())
    sums = [(end + 0.01 * reach, at, f"{end:.2f}") for end, at in zip(left, heights, strict=True)]
    return style.axes(
        [*drawn, marks.texts(sums, size=9, **marks.RIGHT)],
        size_inch=(8.0, 0.9 + 0.27 * len(names)),
        xlabel="time a clip (s)",
        ylabel="",
        xlim=(0, reach),
        ylim=(-0.6, len(names) - 0.4),
        yticks=list(zip(heights.tolist(), names, strict=True)),
    )
