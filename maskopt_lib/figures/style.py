"""One look for all figures: colours that colour-blind readers can tell apart, sizes, and labels from the data."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

#: Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), its yellow, too pale for lines, replaced by a grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C8C8C")

#: What a thing is drawn in, in every figure.
MASK, TARGET, PRINT, BAND = "#7F7F7F", "#000000", "#56B4E9", "#D55E00"

#: Methods and kernel sets keep their colour in all figures.
COLOURS = {
    "published": "#000000",
    "curvy-published": "#0072B2",
    "curvy-paper": "#E69F00",
    "identity": "#009E73",
    "released masks": "#CC79A7",
    "iccad13": "#0072B2",
    "iccad13-symmetrised": "#E69F00",
    "iccad13-transposed": "#009E73",
    "iccad13-realigned": "#CC79A7",
    "embedded": "#D55E00",
    "embedded-ideal": "#56B4E9",
    "nominal": "#0072B2",
    "outer": "#E69F00",
    "inner": "#009E73",
}

FONT_SIZES = {"title": 11, "labels": 10, "ticks": 9, "legend": 9}


def colours(names: Sequence[str]) -> list[str]:
    """A colour for each name: its own where it has one, else the next of the palette that is free."""
    taken = {COLOURS[name] for name in names if name in COLOURS}
    free = [colour for colour in PALETTE if colour not in taken] or list(PALETTE)
    chosen, used = [], 0
    for name in names:
        if name in COLOURS:
            chosen.append(COLOURS[name])
        else:
            chosen.append(free[used % len(free)])
            used += 1
    return chosen


def painted(*fills: tuple[np.ndarray, str]) -> np.ndarray:
    """A white picture with regions filled one over the other: (y, x, 3) uint8.

    Drawing a picture of floats takes several times as long and eight times the memory.

    Parameters
    ----------
    fills : (y, x) bool, and the colour.

    Examples
    --------
    >>> painted((np.array([[True, False]]), "#0072B2")).tolist()
    [[[0, 114, 178], [255, 255, 255]]]
    """
    picture = np.full((*fills[0][0].shape, 3), 255, np.uint8)
    for where, colour in fills:
        picture[where] = np.rint(255 * np.array(to_rgb(colour)))
    return picture


def joined(outlines: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Many outlines (n, 2) as one, parted by nan: HoloViews draws them alike, in a fraction of the time.

    Examples
    --------
    >>> len(joined([])), joined([np.zeros((1, 2)), np.ones((1, 2))])[0].tolist()
    (0, [[0.0, 0.0], [nan, nan], [1.0, 1.0]])
    """
    gap = np.full((1, 2), np.nan)
    rows = [row for outline in outlines for row in (gap, outline)]
    return [np.concatenate(rows[1:])] if rows else []


def intervals(ends: Sequence, colour: str, *, width: float = 1.2, dims: tuple[str, str] = ("x", "y")) -> list[hv.Curve]:
    """Bars from end to end, drawn as one curve; those with an end that is not known are left out.

    Parameters
    ----------
    ends : (bar, 2, 2) the two ends of each bar, x and y of each end.
    colour, width : of the bars, in points.
    dims : names of the axes.

    Returns
    -------
    The curve, or nothing where there is no bar.

    Examples
    --------
    >>> intervals([[(0, 1), (np.nan, 1)]], "#000000")
    []
    """
    whole = [bar for bar in np.asarray(ends, float).reshape(-1, 2, 2) if np.isfinite(bar).all()]
    look = hv.opts.Curve(color=colour, linewidth=width)
    return [hv.Curve(line, *dims).opts(look) for line in joined(whole)]


def axis_label(variable: xr.DataArray) -> str:
    """Axis label from ``long_name`` and ``units``; counts carry no unit.

    Examples
    --------
    >>> axis_label(xr.DataArray(1.0, attrs={"long_name": "minimum width", "units": "nm"}))
    'minimum width (nm)'
    """
    name = variable.attrs.get("long_name", variable.name or "")
    units = variable.attrs.get("units", "1")
    return name if units == "1" else f"{name} ({units.replace('nm2', 'nm²')})"
