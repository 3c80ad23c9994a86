"""Pictures of what the limits of a clean-up cost."""

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

# Share of an axis that separates two named points.
_APART = 0.07


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
