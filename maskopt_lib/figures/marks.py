"""What figures are made of: lines, points, bars, texts, keys of a legend, pictures and their outlines."""

from collections.abc import Iterable, Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from skimage.measure import find_contours

from maskopt_lib.figures import style

Box = Sequence[float]  # x0, y0, x1, y1
UM = 1e-3  # a nm in um
#: Names of the sides of boxes, as layouts have them.
SIDES = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")


def line(x, y, colour: str, label: str = "", *, width: float = 1.6, **look) -> hv.Curve:
    """A line through points; it breaks at nan."""
    return hv.Curve((x, y), "x", "y", label=label).opts(color=colour, linewidth=width, **look)


def dots(x, y, colour: str, label: str = "", *, size: float = 28, **look) -> hv.Points:
    """Points; an edge is ``edgecolor`` and ``linewidth``."""
    return hv.Points((x, y), ["x", "y"], label=label).opts(color=colour, s=size, **look)


def key(label: str, colour: str, width: float = 6, **look) -> hv.Curve:
    """An entry of the legend for what has none of its own: areas, pictures, lines across the axes."""
    return line([np.nan], [np.nan], colour, label, width=width, **look)


def across(at: float, colour: str, label: str, width: float = 1.2, *, up: bool = False, **look) -> list:
    """A line over the whole width, or ``up`` the whole height, and its entry in the legend."""
    whole = hv.VLine(at) if up else hv.HLine(at)
    return [whole.opts(color=colour, linewidth=width, **look), key(label, colour, width, **look)]


def texts(rows: Sequence[tuple[float, float, str]], *, colour: str = style.INK, size: float = 8, **look) -> hv.Labels:
    """Texts (x, y, text), centred where not told otherwise."""
    return hv.Labels(rows, ["x", "y"], "text").opts(color=colour, size=size, **look)


#: Where a text stands beside its place.
RIGHT = {"horizontalalignment": "left", "verticalalignment": "center"}
RIGHT_ABOVE = {"horizontalalignment": "left", "verticalalignment": "bottom"}


def bars(boxes: Iterable[Box], colour: str, *, edge: str | None = None, **look) -> hv.Rectangles:
    """Filled boxes (x0, y0, x1, y1), without an edge where none is asked for."""
    look = {"linewidth": 0.0 if edge is None else 0.8} | look
    return hv.Rectangles(list(boxes)).opts(facecolor=colour, edgecolor=edge or colour, **look)


def grouped_bars(values: np.ndarray, members: Sequence[str], written: np.ndarray | None = None, **look) -> list:
    """Groups of bars at 0, 1, 2 ..., one bar a member, with the members in the legend.

    Parameters
    ----------
    values : (member, group); what is not finite has no bar.
    members : in the order of the bars.
    written : (member, group), texts at the ends of the bars.
    look : of the texts.
    """
    wide, drawn = 0.8 / len(members), []
    for i, (member, colour) in enumerate(style.coloured(members)):
        left = np.arange(values.shape[1]) - 0.4 + i * wide
        finite = np.flatnonzero(np.isfinite(values[i]))
        drawn.append(bars([(left[j], 0.0, left[j] + 0.92 * wide, values[i, j]) for j in finite], colour))
        drawn.append(key(member, colour))
        if written is not None:
            rows = [(left[j] + wide / 2, values[i, j], written[i, j]) for j in finite]
            drawn.append(texts(rows, size=7, verticalalignment="bottom", **look))
    return drawn


def distribution(values: xr.DataArray, along: str, *, dashed: bool = False) -> list[hv.Curve]:
    """What share (%) of the values is at or below each of them, a line an entry of ``along``; nan is left out."""
    drawn = []
    for i, (member, colour) in enumerate(style.coloured(values[along])):
        column = np.sort(values.isel({along: i}).values, axis=None)
        column = column[np.isfinite(column)]
        share = 100 * (np.arange(len(column)) + 1) / max(len(column), 1)
        dash = style.DASHES[i % len(style.DASHES)] if dashed else "-"
        drawn.append(line(column, share, colour, member, width=1.7, linestyle=dash, interpolation="steps-post"))
    return drawn


def mean_low_high(values: xr.DataArray) -> list[np.ndarray]:
    """Mean and ends of the interval of values over ``statistic``."""
    return [values.sel(statistic=name).values.astype(float) for name in ("mean", "low", "high")]


def banded(x: np.ndarray, values: xr.DataArray, colour: str, label: str, dash: str) -> list:
    """Means over x as a line with marks, on the band of their intervals; what is not finite is left out."""
    mean, low, high = mean_low_high(values)
    there = np.isfinite(mean)
    drawn: list = []
    if there.any() and np.isfinite(low[there]).all():
        area = hv.Area((x[there], low[there], high[there]), "x", ["low", "high"])
        drawn.append(area.opts(facecolor=colour, alpha=0.18, linewidth=0))
    return [*drawn, line(x[there], mean[there], colour, label, width=1.8, linestyle=dash, marker="o")]


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


def intervals(x0, y0, x1, y1, colour: str, *, width: float = 1.2) -> list[hv.Curve]:
    """Bars from end to end, drawn as one line; those with an end that is not known are left out.

    Parameters
    ----------
    x0, y0, x1, y1 : the ends, numbers or arrays.
    colour, width : of the bars, in points.

    Returns
    -------
    The line, or nothing where there is no bar.

    Examples
    --------
    >>> intervals([0, 2], 1, np.nan, 1, "#000000")
    []
    """
    ends = np.stack(np.broadcast_arrays(x0, y0, x1, y1), axis=-1).astype(float).reshape(-1, 2, 2)
    known = list(ends[np.isfinite(ends).all(axis=(1, 2))])
    return [line(*bars.T, colour, width=width) for bars in joined(known)]


def crosses(x: Sequence[np.ndarray], y: Sequence[np.ndarray], colour: str) -> list[hv.Curve]:
    """Intervals along both axes of points whose ``x`` and ``y`` are (mean, low, high)."""
    flat = intervals(x[1], y[0], x[2], y[0], colour, width=0.9)
    return flat + intervals(x[0], y[1], x[0], y[2], colour, width=0.9)


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
    for region, colour in fills:
        picture[region] = np.rint(255 * np.array(to_rgb(colour)))
    return picture


def picture(image: np.ndarray, bounds: Box) -> hv.RGB:
    """A picture (y, x, 3), row 0 the lowest, from ``x0, y0`` to ``x1, y1``."""
    return hv.RGB(image[::-1], bounds=tuple(bounds), kdims=["x", "y"]).opts(aspect="equal", interpolation="nearest")


def extent(image: xr.DataArray | xr.Dataset) -> tuple[float, float, float, float]:
    """Where the pixels of an image begin and end: x0, y0, x1, y1."""
    x, y = image["x"].values, image["y"].values
    half = float(x[1] - x[0]) / 2
    return float(x[0]) - half, float(y[0]) - half, float(x[-1]) + half, float(y[-1]) + half


def contours(
    image: xr.DataArray, level: float = 0.5, *, colour: str = style.TARGET, width: float = 0.8, closed=True, **look
) -> hv.Path:
    """Contours of a level of an image (y, x), closed at its border, or left open there."""
    x, y = image["x"].values, image["y"].values
    pixel, values = float(x[1] - x[0]), image.transpose("y", "x").values.astype(float)
    # So far below the level that a contour of the highest value ends with its pixel.
    beyond = min(values.min(), 2 * level - values.max())
    padded = np.pad(values, 1, constant_values=beyond) if closed else np.pad(values, 1, mode="edge")
    outlines = [(ring[:, ::-1] - 1) * pixel + (x[0], y[0]) for ring in find_contours(padded, level)]
    return paths(outlines, colour, width, **look)


def paths(outlines: Sequence[np.ndarray], colour: str, width: float, **look) -> hv.Path:
    """Lines (n, 2) of one look."""
    return hv.Path(joined(outlines), ["x", "y"]).opts(color=colour, linewidth=width, **look)


def ring(box: Box) -> np.ndarray:
    """The closed outline (5, 2) of a box."""
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], float)


def frames(boxes: Iterable[Box], colour: str, width: float, **look) -> hv.Path:
    """Outlines of boxes."""
    return paths([ring(box) for box in boxes], colour, width, **look)


def polygons(outlines: Sequence[np.ndarray], colour: str, alpha: float, width: float = 0.0) -> hv.Polygons:
    """Filled outlines (n, 2) of one look."""
    areas = hv.Polygons(joined(outlines), ["x", "y"])
    return areas.opts(facecolor=colour, edgecolor=colour, alpha=alpha, linewidth=width)


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


def keys(entries: Mapping[str, tuple[str, float]]) -> list[hv.Curve]:
    """Entries of the legend: name -> colour and width."""
    return [key(label, colour, width) for label, (colour, width) in entries.items()]
