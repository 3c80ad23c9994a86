"""What devices make of the same code, beside what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style
from maskopt_lib.figures.timing import over_batch

#: Dashes of the lines that stand for no measurement.
_DASHES = ("dashed", "dotted", "dashdot")


def beside_aims(
    values: xr.DataArray,
    aims: Mapping[str, float],
    *,
    along: str = "batch",
    lines: str = "series",
    size_inch: tuple[float, float] = (8.6, 3.6),
) -> hv.Overlay:
    """A quantity over the batch on logarithmic axes, with what is aimed at, or published, as level lines.

    Parameters
    ----------
    values : (lines, along), positive; NaN where nothing was measured.
    aims : what a level stands for -> its value, in the unit of the values.
    along, lines : dimensions of ``values``.
    size_inch : width and height.

    Returns
    -------
    Lines with a mark at each measurement, and one dashed level an aim.
    """
    measured = over_batch(values, along=along, lines=lines, log_y=True, size_inch=size_inch)
    x_label, y_label = style.axis_label(values[along]), style.axis_label(values)
    # From edge to edge; lines of their own, since only curves enter the legend.
    across = float(np.log2(values[along].min())) - 0.3, float(np.log2(values[along].max())) + 0.3
    levels = [
        hv.Curve([(x, float(np.log2(value))) for x in across], kdims=[x_label], vdims=[y_label], label=name).opts(
            hv.opts.Curve(color="#444444", linewidth=1.3, linestyle=_DASHES[i % len(_DASHES)])
        )
        for i, (name, value) in enumerate(aims.items())
    ]
    reached = np.log2([*aims.values(), float(values.min()), float(values.max())])
    lowest, highest = float(reached.min()) - 0.6, float(reached.max()) + 0.6
    # A tick every factor of ten, of two and five between them where there is room.
    steps = (1, 2, 5) if highest - lowest < 12 else (1,)
    ticks = [(float(np.log2(m * 10.0**e)), f"{m * 10.0**e:g}") for e in range(-9, 10) for m in steps]
    return hv.Overlay([*measured.values(), *levels]).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=size_inch[0] / size_inch[1], legend_position="right", show_grid=True,
            xticks=[(float(np.log2(size)), str(size)) for size in values[along].values.tolist()],
            xlim=across,
            yticks=[tick for tick in ticks if lowest <= tick[0] <= highest], ylim=(lowest, highest),
            xlabel=x_label, ylabel=y_label, fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip
