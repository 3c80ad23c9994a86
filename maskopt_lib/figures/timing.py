"""Time and memory of methods and devices."""

from collections.abc import Mapping

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, page, style

#: Phases keep their colour in all figures.
_PHASES = {"prepare": style.SKY, "optimise": style.BLUE, "finish": style.ORANGE}
_BATCH = "batch"


def over_batch(
    values: xr.DataArray,
    *,
    lines: str = schema.METHOD,
    log_y: bool = False,
    aims: Mapping[str, float] | None = None,
) -> page.Figure:
    """A quantity over the batch size, which doubles from tick to tick, one line a method.

    Parameters
    ----------
    values : DataArray (lines, batch), positive; NaN where nothing was measured.
    lines : dimension of the lines.
    log_y : logarithmic y axis; else it begins at zero.
    aims : what a level stands for -> its value, in the unit of the values: what is aimed at, or published.

    Returns
    -------
    Lines with a mark at each measurement, and one dashed level an aim.
    """
    drawn = []
    for i, look in enumerate(style.looks(values[lines]).values()):
        measured = values.isel({lines: i}).dropna(_BATCH)
        at = measured[_BATCH].values, measured.values
        drawn.append(marks.line(*at, look.colour, look.name, marker=look.marker, linestyle=look.dash))
    for i, (name, aim) in enumerate((aims or {}).items()):
        dash = style.DASHES[1:][i % 3]
        drawn += [marks.across(aim, "#444444", linestyle=dash), marks.key(name, "#444444", 0.9, linestyle=dash)]
    sizes = values[_BATCH].values
    return page.single(
        drawn,
        log_x=True,
        log_y=log_y,
        xticks=[(size, f"{size:g}") for size in sizes],
        xlim=(sizes.min() / 1.15, sizes.max() * 1.15),
        ylim=None if log_y else (0, 1.08 * float(values.max())),
        **page.CURVES | style.axis_labels(values[_BATCH], values) | {"most_inch": 5.5},
    )


def phase_bars(seconds: xr.Dataset) -> page.Figure:
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
        drawn.append(marks.bars(boxes, colour, phase))
        left = right
    reach = 1.16 * float(left.max())
    sums = [(end + 0.01 * reach, at, f"{end:.2f}") for end, at in zip(left, heights, strict=True)]
    return page.single(
        [*drawn, marks.texts(sums, **marks.RIGHT)],
        aspect=None,
        lines=1.15 * len(names),
        most_inch=5.5,
        xlabel="time a clip (s)",
        xlim=(0, reach),
        ylim=(-0.6, len(names) - 0.4),
        yticks=style.rows(names),
    )
