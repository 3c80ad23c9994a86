"""One look for all figures: colours that colour-blind readers can tell apart, labels from the data, axes and grids."""

from collections.abc import Iterable, Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

#: Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), its yellow, too pale for lines, replaced by a grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C8C8C")
BLUE, ORANGE, GREEN, VERMILION, PINK, SKY, BLACK, GREY = PALETTE

#: What a thing is drawn in, in every figure.
MASK, TARGET, PRINT, BAND = "#7F7F7F", BLACK, SKY, VERMILION
#: Of text, of what is not the point, and of areas behind others.
INK, FAINT, LIGHT = "#333333", "#888888", "#DDDDDD"

#: Methods and kernel sets keep their colour in all figures.
COLOURS = {
    "published": BLACK,
    "curvy-published": BLUE,
    "curvy-paper": ORANGE,
    "identity": GREEN,
    "released masks": PINK,
    "iccad13": BLUE,
    "iccad13-symmetrised": ORANGE,
    "iccad13-transposed": GREEN,
    "iccad13-realigned": PINK,
    "embedded": VERMILION,
    "embedded-ideal": SKY,
    "nominal": BLUE,
    "outer": ORANGE,
    "inner": GREEN,
}
#: How a mask is printed -> colour and dash.
PRINTED = {"alone": (ORANGE, "--"), "in place": (BLUE, "-")}
MARKERS = "os^Dvp<>"
DASHES = ("-", "--", ":", "-.")

FONT_SIZES = {"title": 11, "labels": 10, "ticks": 9, "legend": 9}


def names(values: xr.DataArray) -> list[str]:
    """Entries of a dimension as text."""
    return [str(value) for value in values.values]


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


def coloured(values: Sequence[str] | xr.DataArray) -> list[tuple[str, str]]:
    """Each of several names, or entries of a dimension, with its colour."""
    entries = names(values) if isinstance(values, xr.DataArray) else list(values)
    return list(zip(entries, colours(entries), strict=True))


def markers(colours: Sequence[str]) -> list[str]:
    """A marker for each entry: where a colour comes again, the next shape.

    Examples
    --------
    >>> markers(["red", "blue", "red"])
    ['o', 'o', 's']
    """
    return [MARKERS[colours[:i].count(colour) % len(MARKERS)] for i, colour in enumerate(colours)]


def axis_label(variable: xr.DataArray, *, short: bool = False) -> str:
    """Axis label from ``long_name`` and ``units``; counts carry no unit.

    Parameters
    ----------
    variable : one with attributes, else its name is the label.
    short : leave out what stands in brackets, and write EPE for an edge placement error.

    Examples
    --------
    >>> axis_label(xr.DataArray(1.0, attrs={"long_name": "minimum width", "units": "nm"}))
    'minimum width (nm)'
    >>> axis_label(xr.DataArray(1.0, attrs={"long_name": "L2 (nominal)", "units": "nm2"}), short=True)
    'L2 (nm²)'
    """
    name, unit = str(variable.attrs.get("long_name", variable.name or "")), unit_of(variable)
    if short:
        name = name.partition(" (")[0].replace("edge placement error", "EPE")
    return f"{name} ({unit})" if unit else name


def unit_of(variable: xr.DataArray) -> str:
    """The unit as it is written on a figure; that of counts is empty."""
    units = str(variable.attrs.get("units", "1"))
    return "" if units == "1" else units.replace("nm2", "nm²").replace("um2", "µm²").replace("1/um", "1/µm")


def limits(values: np.ndarray, room: float = 0.06) -> tuple[float, float]:
    """Ends of an axis around all finite values, with some room, a share of their span."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    beside = room * ((high - low) or abs(low) or 1.0)
    return low - beside, high + beside


def log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    """Round numbers from ``low`` to ``high`` (positive) at their logarithms to the base of ten, at most eight.

    Axes of logarithms with ticks of their own let a panel keep its shape.

    Examples
    --------
    >>> [text for _, text in log_ticks(30, 6000)]
    ['50', '100', '200', '500', '1,000', '2,000', '5,000']
    >>> [text for _, text in log_ticks(0.24, 0.31)]
    ['0.24', '0.25', '0.26', '0.27', '0.28', '0.29', '0.3', '0.31']
    """
    ticks: list[float] = []
    for steps in (np.arange(100, 1000) / 100, np.arange(10, 100) / 10, range(1, 10), (1, 2, 5), (1, 3), (1,)):
        ticks = [m * 10.0**e for e in range(-9, 10) for m in steps]
        ticks = [tick for tick in ticks if 0.999 * low <= tick <= 1.001 * high]
        if len(ticks) <= 8:
            break
    return [(float(np.log10(tick)), f"{tick:,.6g}") for tick in ticks]


def axes(
    drawn: Iterable,
    *,
    size_inch: float | tuple[float, float] | None = None,
    share: float = 1.0,
    legend: str | None = "right",
    fonts: Mapping[str, float] | None = None,
    ruled: bool = False,
    **options,
) -> hv.Overlay:
    """What is drawn, over each other on one pair of axes in the style of all figures.

    Parameters
    ----------
    drawn : elements, the lowest first.
    size_inch : of a figure of its own: width and height, or the width of a picture whose axes have one scale. None for
        a panel of a :func:`grid`, whose ``aspect`` is an option.
    share : of the width that the axes take beside the legend.
    legend : where it stands; None for no legend.
    fonts : sizes that differ from :data:`FONT_SIZES`.
    ruled : with pale lines at the ticks.
    options : HoloViews' options of an Overlay: title, xlabel, xlim, xticks ...
    """
    if isinstance(size_inch, tuple):
        options = {"fig_inches": size_inch, "aspect": share * size_inch[0] / size_inch[1]} | options
    elif size_inch is not None:
        options = {"fig_inches": size_inch, "aspect": "equal"} | options
    if legend is not None:
        options = {"legend_position": legend, "legend_limit": 1000} | options
    if ruled:
        options = {"hooks": [_rule]} | options
    return hv.Overlay(list(drawn)).opts(
        fontsize=FONT_SIZES | dict(fonts or {}), show_legend=legend is not None, **options
    )


def _rule(plot, element) -> None:
    # HoloViews' own option is without effect on an Overlay.
    plot.handles["axis"].grid(True, color="#E3E3E3", linewidth=0.6)
    for axis in (plot.handles["axis"].xaxis, plot.handles["axis"].yaxis):
        axis.set_zorder(-1)  # HoloViews' lowest element is at 0: lines of a grid above it would cut it


def few_ticks(*places_nm) -> dict[str, int]:
    """Options of axes whose labels have five digits or more: with fewer ticks they do not touch each other."""
    return {"xticks": 3} if max(float(abs(places).max()) for places in places_nm) >= 1e4 else {}


def map_axes(drawn: Iterable, bounds: Sequence[float], *, unit: str = "nm", **options) -> hv.Overlay:
    """What is drawn, on axes of one scale from x0, y0 to x1, y1; without bounds around all of it.

    Parameters
    ----------
    drawn, options : as for :func:`axes`.
    bounds : x0, y0, x1, y1, or nothing.
    unit : of the axes.
    """
    if len(bounds):
        x0, y0, x1, y1 = bounds
        options = {"xlim": (x0, x1), "ylim": (y0, y1)} | options
    labels = {"xlabel": f"x ({unit})", "ylabel": f"y ({unit})", "aspect": "equal"}
    return axes(drawn, **labels | options)


def grid(panels: Sequence, *, columns: int | None = None, size_inch, **options) -> hv.Layout:
    """Panels in rows, all in one row by default.

    Parameters
    ----------
    panels : :func:`axes`, row by row.
    columns : panels in a row.
    size_inch : of a panel; of the figure's width and a row's height where two are given.
    options : HoloViews' options of a Layout: hspace, vspace, shared_axes.
    """
    layout = hv.Layout(list(panels)).cols(columns or len(panels))
    return layout.opts(fig_inches=size_inch, sublabel_format="", **options)


def side_by_side(
    panels: Sequence[tuple[Iterable, dict]], *, size_inch, ylabel: str, hspace=0.3, shared_axes=False, **look
) -> hv.Layout:
    """Panels in a row: the first has the label of the y axis, the last the legend of all.

    Parameters
    ----------
    panels : what is drawn, and the options of its own axes.
    size_inch : see :func:`grid`.
    ylabel : of the first panel.
    hspace, shared_axes : HoloViews' options of a Layout.
    look : options of all axes.
    """
    drawn = [
        axes(parts, legend="right" if i == len(panels) - 1 else None, ylabel="" if i else ylabel, **look | own)
        for i, (parts, own) in enumerate(panels)
    ]
    return grid(drawn, size_inch=size_inch, hspace=hspace, shared_axes=shared_axes)


def row_grid(
    panels: Sequence[tuple[list, dict]], labels: Sequence[str], *, width_inch: float, share: float = 1.0, columns=None
) -> hv.Layout:
    """Panels whose rows stand for one thing each, named beside the first column.

    Parameters
    ----------
    panels : what is drawn, at the heights ``len(labels) - 1`` (the top) to 0, and the options of its axes.
    labels : of the rows, the first at the top.
    width_inch : of the figure.
    share : of the width that the axes take.
    columns : panels in a row; all by default.
    """
    columns = columns or len(panels)
    height = 1.0 + 0.28 * len(labels)
    heights = range(len(labels) - 1, -1, -1)
    drawn = [
        axes(
            parts,
            legend=None,
            aspect=share * width_inch / columns / height,
            ylabel="",
            yticks=[(at, "" if i % columns else label) for at, label in zip(heights, labels, strict=True)],
            ylim=(-0.7, len(labels) - 0.3),
            **options,
        )
        for i, (parts, options) in enumerate(panels)
    ]
    return grid(drawn, columns=columns, size_inch=(width_inch, height), hspace=0.12, vspace=0.4, shared_axes=False)


def outer(i: int, n: int, columns: int, xlabel: str = "x (nm)", ylabel: str = "y (nm)") -> dict[str, str]:
    """Options of the i-th of n panels that share their axes: labels and ticks only where the grid ends.

    Examples
    --------
    >>> outer(2, 3, 2)
    {'xlabel': 'x (nm)', 'xaxis': 'bottom', 'ylabel': 'y (nm)', 'yaxis': 'left'}
    """
    is_last, is_first = i + columns >= n, i % columns == 0
    return {
        "xlabel": xlabel if is_last else "",
        "xaxis": "bottom" if is_last else "bare",
        "ylabel": ylabel if is_first else "",
        "yaxis": "left" if is_first else "bare",
    }
