"""What figures are made of: lines, points, bars, texts, keys of a legend, pictures and their outlines."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.collections import LineCollection, PatchCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from skimage.measure import find_contours

from maskopt_lib.figures import style
from maskopt_lib.figures.page import Mark

Box = Sequence[float]  # x0, y0, x1, y1
UM = 1e-3  # a nm in um
#: Names of the sides of boxes, as layouts have them.
SIDES = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")


def line(x, y, colour: str, label: str = "", *, width: float = 1.2, **look) -> Mark:
    """A line through points; it breaks at nan. One point alone is a dot."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    is_dot = np.isfinite(x + y).sum() == 1 and "marker" not in look
    look = {"color": colour, "linewidth": width, "markersize": 3.0, "marker": "o" if is_dot else None} | look
    return Mark("line", lambda axes: axes.plot(x, y, **look), np.stack([x, y], axis=-1), label)


def dots(x, y, colour: str, label: str = "", *, size: float = 16, **look) -> Mark:
    """Points; an edge is ``edgecolor`` and ``linewidth``."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    look = {"color": colour, "s": size, "linewidth": 0.6} | look
    if "edgecolor" in look:
        look["facecolor"] = look.pop("color")
    return Mark("dots", lambda axes: axes.scatter(x, y, **look), np.stack([x, y], axis=-1), label)


def key(label: str, colour: str, width: float = 5, **look) -> Mark:
    """An entry of the legend for what has none of its own: areas, pictures, lines across the axes."""
    look = {"color": colour, "linewidth": width, "markersize": 3.0} | look
    return Mark("key", lambda axes: Line2D([], [], **look), None, label)


def across(at: float, colour: str, width: float = 0.9, *, up: bool = False, **look) -> Mark:
    """A line over the whole width, or ``up`` the whole height."""
    look = {"color": colour, "linewidth": width} | look
    return Mark("across", lambda axes: (axes.axvline if up else axes.axhline)(at, **look), at)


def span(low: float, high: float, colour: str = style.LIGHT, *, up: bool = False) -> Mark:
    """A band over the whole width, or ``up`` the whole height."""
    draw = lambda axes: (axes.axvspan if up else axes.axhspan)(low, high, facecolor=colour, edgecolor="none")  # noqa: E731
    return Mark("span", draw, (low, high))


def area(x, low, high, colour: str, alpha: float = 0.18) -> Mark:
    """What lies between two lines."""
    return Mark("area", lambda axes: axes.fill_between(x, low, high, facecolor=colour, alpha=alpha, linewidth=0))


def texts(rows: Sequence[tuple[float, float, str]], *, colour: str = style.INK, **look) -> Mark:
    """Texts (x, y, text), centred where not told otherwise."""
    look = {"horizontalalignment": "center", "verticalalignment": "center", "color": colour} | look
    return Mark("texts", lambda axes: [axes.text(*row, clip_on=True, **look) for row in rows], list(rows))


def names(
    rows: Sequence[tuple[float, float, str]], colours: str | Sequence[str] = style.INK, *, optional: bool = False
) -> Mark:
    """Names (x, y, text) of places, put where each has room; with a thin line where that is not beside the place.

    Parameters
    ----------
    rows : the first take their places first.
    colours : of all, or one each.
    optional : what has no room is left out.
    """
    each = [colours] * len(rows) if isinstance(colours, str) else list(colours)

    def draw(axes) -> list:
        made = []
        for (x, y, text), colour in zip(rows, each, strict=True):
            name = axes.annotate(
                text,
                (x, y),
                xytext=(0, 0),
                textcoords="offset points",
                ha="center",
                va="center",
                color=colour,
                arrowprops={"arrowstyle": "-", "linewidth": 0.4, "color": colour, "shrinkA": 0, "shrinkB": 2},
                gid="name?" if optional else "name",
            )
            made.append(name)
        return made

    return Mark("names", draw, list(rows))


#: Where a text stands beside its place.
RIGHT = {"horizontalalignment": "left", "verticalalignment": "center"}
RIGHT_ABOVE = {"horizontalalignment": "left", "verticalalignment": "bottom"}


def bars(boxes: Iterable[Box], colour: str, label: str = "", *, edge: str | None = None, **look) -> Mark:
    """Filled boxes (x0, y0, x1, y1), without an edge where none is asked for."""
    boxes = [tuple(map(float, box)) for box in boxes]
    look = {"facecolor": colour, "edgecolor": edge or "none", "linewidth": 0.0 if edge is None else 0.6} | look

    def draw(axes):
        made = PatchCollection([Rectangle((a, b), c - a, d - b) for a, b, c, d in boxes], **look)
        axes.add_collection(made)
        if boxes:
            ends = np.array(boxes).reshape(-1, 2)
            axes.update_datalim(ends)
            axes.autoscale_view()
        return [Rectangle((0, 0), 1, 1, **look) if label else made, made]

    return Mark("bars", draw, boxes, label)


def grouped_bars(values: np.ndarray, members: Sequence[str], written: np.ndarray | None = None, **look) -> list[Mark]:
    """Groups of bars at 0, 1, 2 ..., one bar a member, with the members in the legend.

    Parameters
    ----------
    values : (member, group); what is not finite has no bar.
    members : in the order of the bars.
    written : (member, group), texts at the ends of the bars.
    look : of the texts.
    """
    wide, drawn = 0.8 / len(members), []
    for i, look_of in enumerate(style.looks(members).values()):
        left = np.arange(values.shape[1]) - 0.4 + i * wide
        finite = np.flatnonzero(np.isfinite(values[i]))
        boxes = [(left[j], 0.0, left[j] + 0.92 * wide, values[i, j]) for j in finite]
        drawn.append(bars(boxes, look_of.colour, look_of.name if len(members) > 1 else ""))
        if written is not None:
            rows = [(left[j] + wide / 2, values[i, j], written[i, j]) for j in finite]
            drawn.append(texts(rows, verticalalignment="bottom", **look))
    return drawn


def distribution(values: xr.DataArray, along: str) -> list[Mark]:
    """What share (%) of the values is at or below each of them, a line an entry of ``along``; nan is left out."""
    drawn = []
    for i, look in enumerate(style.looks(values[along]).values()):
        column = np.sort(values.isel({along: i}).values, axis=None)
        column = column[np.isfinite(column)]
        share = 100 * (np.arange(len(column)) + 1) / max(len(column), 1)
        drawn.append(line(column, share, look.colour, look.name, linestyle=look.dash, drawstyle="steps-post"))
    return drawn


def mean_low_high(values: xr.DataArray) -> list[np.ndarray]:
    """Mean and ends of the interval of values over ``statistic``."""
    return [values.sel(statistic=name).values.astype(float) for name in ("mean", "low", "high")]


def banded(x: np.ndarray, values: xr.DataArray, colour: str, label: str, dash: str) -> list[Mark]:
    """Means over x as a line with marks, on the band of their intervals; what is not finite is left out."""
    mean, low, high = mean_low_high(values)
    there = np.isfinite(mean)
    drawn = []
    if there.any() and np.isfinite(low[there]).all():
        drawn.append(area(x[there], low[there], high[there], colour))
    return [*drawn, line(x[there], mean[there], colour, label, linestyle=dash, marker="o")]


def intervals(x0, y0, x1, y1, colour: str, *, width: float = 1.0) -> list[Mark]:
    """Bars from end to end; those with an end that is not known are left out, and nothing is drawn where none is left.

    Examples
    --------
    >>> intervals([0, 2], 1, np.nan, 1, "#000000")
    []
    """
    ends = np.stack(np.broadcast_arrays(x0, y0, x1, y1), axis=-1).astype(float).reshape(-1, 2, 2)
    known = list(ends[np.isfinite(ends).all(axis=(1, 2))])
    return [paths(known, colour, width)] if known else []


def crosses(x: Sequence[np.ndarray], y: Sequence[np.ndarray], colour: str) -> list[Mark]:
    """Intervals along both axes of points whose ``x`` and ``y`` are (mean, low, high)."""
    flat = intervals(x[1], y[0], x[2], y[0], colour, width=0.7)
    return flat + intervals(x[0], y[1], x[0], y[2], colour, width=0.7)


def painted(*fills: tuple[np.ndarray, str]) -> np.ndarray:
    """A white picture with regions filled one over the other: (y, x, 3) uint8.

    Parameters
    ----------
    fills : (y, x) bool, and the colour.

    Examples
    --------
    >>> painted((np.array([[True, False]]), "#0072B2")).tolist()
    [[[0, 114, 178], [255, 255, 255]]]
    """
    image = np.full((*fills[0][0].shape, 3), 255, np.uint8)
    for region, colour in fills:
        image[region] = np.rint(255 * np.array(to_rgb(colour)))
    return image


def picture(image: np.ndarray, bounds: Box) -> Mark:
    """A picture (y, x, 3), row 0 the lowest, from ``x0, y0`` to ``x1, y1``."""
    x0, y0, x1, y1 = bounds
    look = {"extent": (x0, x1, y0, y1), "origin": "lower", "interpolation": "none", "aspect": "auto"}
    return Mark("picture", lambda axes: axes.imshow(image, **look), image)


def heat(
    values: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    limits: tuple[float, float],
    colours: str = "cividis",
    bar: str = "",
    log: bool = False,
) -> Mark:
    """Values (y, x) as colours, each from middle to middle of its neighbours.

    Parameters
    ----------
    values : nan stays white.
    x, y : ascending places.
    limits : of the scale; see :func:`maskopt_lib.figures.style.robust`.
    colours : name of a colour map of matplotlib.
    bar : label of the bar beside it; none where empty.
    log : logarithmic scale.
    """
    norm = (LogNorm if log else Normalize)(*limits)

    def draw(axes):
        made = axes.pcolormesh(x, y, values, cmap=colours, norm=norm, shading="nearest", rasterized=True)
        made.colour_bar = bar
        return made

    return Mark("heat", draw, values)


def extent(image: xr.DataArray | xr.Dataset) -> tuple[float, float, float, float]:
    """Where the pixels of an image begin and end: x0, y0, x1, y1."""
    x, y = image["x"].values, image["y"].values
    half = float(x[1] - x[0]) / 2
    return float(x[0]) - half, float(y[0]) - half, float(x[-1]) + half, float(y[-1]) + half


def contours(
    image: xr.DataArray, level: float = 0.5, *, colour: str = style.TARGET, width: float = 0.6, closed=True, **look
) -> Mark:
    """Contours of a level of an image (y, x), closed at its border, or left open there."""
    x, y = image["x"].values, image["y"].values
    pixel, values = float(x[1] - x[0]), image.transpose("y", "x").values.astype(float)
    # So far below the level that a contour of the highest value ends with its pixel.
    beyond = min(values.min(), 2 * level - values.max())
    padded = np.pad(values, 1, constant_values=beyond) if closed else np.pad(values, 1, mode="edge")
    outlines = [(ring[:, ::-1] - 1) * pixel + (x[0], y[0]) for ring in find_contours(padded, level)]
    return paths(outlines, colour, width, **look)


def paths(outlines: Sequence[np.ndarray], colour: str, width: float, **look) -> Mark:
    """Lines (n, 2) of one look."""

    def draw(axes):
        made = LineCollection(outlines, colors=colour, linewidths=width, **look)
        axes.add_collection(made)
        axes.autoscale_view()
        return made

    return Mark("paths", draw, outlines)


def ring(box: Box) -> np.ndarray:
    """The closed outline (5, 2) of a box."""
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)


def frames(boxes: Iterable[Box], colour: str, width: float, **look) -> Mark:
    """Outlines of boxes."""
    return paths([ring(box) for box in boxes], colour, width, **look)


def polygons(outlines: Sequence[np.ndarray], colour: str, alpha: float, width: float = 0.0) -> Mark:
    """Filled outlines (n, 2) of one look."""

    def draw(axes):
        made = PolyCollection(outlines, facecolor=colour, edgecolor=colour, alpha=alpha, linewidth=width)
        axes.add_collection(made)
        axes.autoscale_view()
        return made

    return Mark("polygons", draw, outlines)


def boxes_of(cells: xr.Dataset) -> np.ndarray:
    """Boxes (cell, 4) of placed cells, nm; nan where a cell has no outline."""
    return np.stack([cells[side].values.astype(float) for side in SIDES], axis=-1)


def within(boxes: np.ndarray, bounds: Box) -> np.ndarray:
    """The parts (n, 4) of boxes in a region; nan for those that do not reach into it, or are nan.

    Examples
    --------
    >>> within(np.array([[0, 0, 4, 4], [8, 8, 9, 9]]), (1, 2, 5, 5)).tolist()
    [[1.0, 2.0, 4.0, 4.0], [nan, nan, nan, nan]]
    """
    low, high = np.maximum(boxes[:, :2], bounds[:2]), np.minimum(boxes[:, 2:], bounds[2:])
    is_seen = (low < high).all(axis=1)
    return np.where(is_seen[:, None], np.concatenate([low, high], axis=1), np.nan)


def keys(entries: Mapping[str, tuple[str, float]]) -> list[Mark]:
    """Entries of the legend: name -> colour and width."""
    return [key(label, colour, width) for label, (colour, width) in entries.items()]
