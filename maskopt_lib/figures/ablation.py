"""What one change at a time does: deviations from a reference, beside the spread that chance makes."""

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style


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
