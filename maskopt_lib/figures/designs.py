"""Pictures of placed designs: what stands where, what a detail looks like, and how far cells were moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style

_UM = 1e-3
_SIDES = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
# Okabe and Ito's colours; pale grey for what fills.
_COLOURS = ("#D9D9D9", "#000000", "#D55E00", "#56B4E9", "#0072B2", "#E69F00")
_FRAME = "#CC79A7"


def placement(
    cells: xr.Dataset,
    *,
    frame_nm: Sequence[float] = (),
    pixels: int = 900,
    title: str = "",
    size_inch: float = 6.0,
) -> hv.Overlay:
    """A whole design from above, each cell in the colour of its kind.

    Parameters
    ----------
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``kind`` (numbers; their names in its attribute
        ``kinds``); attribute ``die_nm``. Cells without outline are left out.
    frame_nm : (x0, y0, x1, y1) of a frame around what is shown elsewhere.
    pixels : of the longer side.
    title : above the picture.
    size_inch : width of the picture.
    """
    x0, y0, x1, y1 = np.asarray(cells.attrs["die_nm"], dtype=float)
    step = max(x1 - x0, y1 - y0) / pixels
    n_y, n_x = (max(1, int(np.ceil(side / step))) for side in (y1 - y0, x1 - x0))
    image = np.full((n_y, n_x, 3), 255, dtype=np.uint8)
    palette = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in _COLOURS], dtype=np.uint8)
    boxes = _boxes(cells)
    corners = np.rint((boxes - (x0, y0, x0, y0)) / step).astype(int)
    for (left, bottom, right, top), kind in zip(corners, _kinds(cells), strict=True):
        image[max(bottom, 0) : max(top, bottom + 1), max(left, 0) : max(right, left + 1)] = palette[kind % len(palette)]
    bounds = (x0 * _UM, y0 * _UM, (x0 + n_x * step) * _UM, (y0 + n_y * step) * _UM)
    picture = hv.RGB(image[::-1], bounds=bounds, kdims=["x", "y"])
    drawn = [picture.opts(hv.opts.RGB(aspect="equal", interpolation="nearest")), *_keys(cells, _kinds(cells))]
    drawn.append(_outline((x0, y0, x1, y1), "#8C8C8C", 0.8))
    if len(frame_nm):
        drawn += [_outline(frame_nm, _FRAME, 2.2), _key("shown larger", _FRAME)]
    return _framed(drawn, np.array((x0, y0, x1, y1)) * _UM, title=title, size_inch=size_inch)


def placement_detail(
    cells: xr.Dataset,
    shapes: Mapping[str, Sequence[np.ndarray]] | None = None,
    *,
    region_nm: Sequence[float],
    names: bool = True,
    title: str = "",
    size_inch: float = 7.0,
) -> hv.Overlay:
    """A part of a design: cells in the colour of their kind, with shapes of layers above.

    Parameters
    ----------
    cells : as for :func:`placement`; with ``cell``, their names. Cells that overlap show through each other.
    shapes : name of a layer -> polygons (n, 2) in nm, the first in grey, others darker; None for cells alone.
    region_nm : (x0, y0, x1, y1).
    names : write the names of cells.
    title : above the picture.
    size_inch : width of the picture.
    """
    parts = _detail(cells, shapes, region_nm, names=names)
    return _framed(parts, np.asarray(region_nm, dtype=float) * _UM, title=title, size_inch=size_inch)


def _detail(cells: xr.Dataset, shapes, region_nm: Sequence[float], *, names: bool) -> list:
    """Cells, shapes, names and legend of a part."""
    x0, y0, x1, y1 = map(float, region_nm)
    boxes = _boxes(cells)
    seen = (boxes[:, 0] < x1) & (boxes[:, 2] > x0) & (boxes[:, 1] < y1) & (boxes[:, 3] > y0)
    kinds, labels = _kinds(cells)[seen], _drawn(cells)["cell"].values[seen]
    boxes = boxes[seen]
    drawn = []
    for kind in np.unique(kinds).tolist():
        rectangles = hv.Rectangles((boxes[kinds == kind] * _UM).tolist(), kdims=["x0", "y0", "x1", "y1"])
        colour = _COLOURS[kind % len(_COLOURS)]
        drawn.append(
            rectangles.opts(hv.opts.Rectangles(facecolor=colour, edgecolor="#404040", alpha=0.45, linewidth=0.9))
        )
    tones = ("#8C8C8C", "#000000", "#7F2704")
    for (layer, polygons), tone in zip((shapes or {}).items(), tones, strict=False):
        if len(polygons):
            areas = hv.Polygons(style.joined([points * _UM for points in polygons]), kdims=["x", "y"])
            drawn.append(areas.opts(hv.opts.Polygons(facecolor=tone, edgecolor=tone, alpha=0.8, linewidth=0.2)))
            drawn.append(_key(layer, tone))
    if names:
        low, high = np.maximum(boxes[:, :2], (x0, y0)), np.minimum(boxes[:, 2:], (x1, y1))
        # A name needs some width, and most of the height of its cell.
        room = (high - low)[:, 0] > 0.035 * (x1 - x0)
        room &= (high - low)[:, 1] > 0.7 * (boxes[:, 3] - boxes[:, 1])
        middle = ((low + high) / 2 * _UM)[room]
        texts = [(x, y, name) for (x, y), name in zip(middle.tolist(), labels[room].tolist(), strict=True)]
        if texts:
            written = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
            drawn.append(written.opts(hv.opts.Labels(size=8, rotation=90, color="#000000")))
    return [*drawn, *_keys(cells, kinds)]


def legalised_detail(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    region_nm: Sequence[float],
    row_nm: float,
    titles: tuple[str, str] = ("global placement", "on rows and sites"),
    size_inch: float = 5.6,
) -> hv.Layout:
    """The same part of a placement before and after its cells were put on rows.

    Parameters
    ----------
    before, after : cells as for :func:`placement_detail`.
    region_nm : (x0, y0, x1, y1).
    row_nm : height of the rows, whose borders are drawn from the die's lower one up; after legalisation they are those
        of the cells.
    titles : above the panels.
    size_inch : width of a panel.
    """
    x0, y0, x1, y1 = map(float, region_nm)
    levels = np.unique(_boxes(after)[:, 1])
    phase = float(levels[0]) if len(levels) else 0.0
    lines = [
        np.array([(x0, y), (x1, y)]) * _UM
        for y in np.arange(phase + row_nm * np.ceil((y0 - phase) / row_nm), y1 + 1e-6, row_nm)
    ]
    rows = hv.Path(lines, kdims=["x", "y"]).opts(hv.opts.Path(color="#404040", linewidth=0.7, linestyle="--"))
    panels = []
    for cells, title in zip((before, after), titles, strict=True):
        parts = [*_detail(cells, None, region_nm, names=False), rows]
        panels.append(_framed(parts, np.asarray(region_nm) * _UM, title=title, size_inch=size_inch))
    panels[0] = panels[0].opts(hv.opts.Overlay(show_legend=False))
    return hv.Layout(panels).cols(2).opts(hv.opts.Layout(fig_inches=size_inch, sublabel_format="", hspace=0.2))


def move_histogram(
    moves: Mapping[str, xr.DataArray], *, bin_nm: float = 100.0, size_inch: tuple[float, float] = (7.0, 3.6)
) -> hv.Overlay:
    """How far cells were moved: share of the cells in each bin, one line a design, its mean dotted.

    Parameters
    ----------
    moves : name of a design -> moves of its cells in nm, with ``long_name`` and ``units``.
    bin_nm : width of a bin.
    size_inch : width and height.
    """
    first = next(iter(moves.values()))
    x_label, y_label = style.axis_label(first), "share of the cells (%)"
    top = max(float(values.max()) for values in moves.values())
    edges = np.arange(0, top + bin_nm, bin_nm)
    drawn, highest = [], 0.0
    for (name, values), colour in zip(moves.items(), style.colours(list(moves)), strict=True):
        share = 100 * np.histogram(values.values, edges)[0] / max(values.size, 1)
        highest = max(highest, float(share.max()))
        mean = float(values.mean())
        steps = (np.repeat(edges, 2)[1:-1], np.repeat(share, 2))
        label = f"{name}, mean {mean:.0f} {first.attrs['units']}"
        drawn.append(hv.Curve(steps, kdims=[x_label], vdims=[y_label], label=label).opts(hv.opts.Curve(color=colour)))
        drawn.append(hv.VLine(mean).opts(hv.opts.VLine(color=colour, linestyle=":", linewidth=1.5)))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            title="moves of the legaliser", fig_inches=size_inch, aspect=width / height, xlabel=x_label,
            ylabel=y_label, show_grid=True, xlim=(0, edges[-1]), ylim=(0, 1.08 * highest),
            legend_position="top_right", fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip


def _drawn(cells: xr.Dataset) -> xr.Dataset:
    return cells.isel(instance=np.isfinite(cells["x0_nm"].values))


def _boxes(cells: xr.Dataset) -> np.ndarray:
    return np.stack([_drawn(cells)[side].values for side in _SIDES], axis=1)


def _kinds(cells: xr.Dataset) -> np.ndarray:
    return _drawn(cells)["kind"].values.astype(int)


def _keys(cells: xr.Dataset, present: np.ndarray) -> list[hv.Curve]:
    names = cells["kind"].attrs["kinds"]
    return [_key(names[i], _COLOURS[i % len(_COLOURS)]) for i in np.unique(present).tolist()]


def _key(label: str, colour: str) -> hv.Curve:
    # Pictures and rectangles have no legend entry of their own; a curve without points has.
    curve = hv.Curve([(0.0, np.nan)], kdims=["x"], vdims=["y"], label=label)
    return curve.opts(hv.opts.Curve(color=colour, linewidth=5))


def _outline(box: Sequence[float], colour: str, width: float) -> hv.Path:
    x0, y0, x1, y1 = np.asarray(box, dtype=float) * _UM
    path = hv.Path([np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])], kdims=["x", "y"])
    return path.opts(hv.opts.Path(color=colour, linewidth=width))


def _framed(drawn: list, limits_um: np.ndarray, *, title: str, size_inch: float) -> hv.Overlay:
    x0, y0, x1, y1 = limits_um.tolist()
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            xlabel="x (µm)", ylabel="y (µm)", title=title, fontsize=style.FONT_SIZES, fig_inches=size_inch,
            aspect="equal", xlim=(x0, x1), ylim=(y0, y1), legend_position="right", show_legend=True,
        )
    )  # fmt: skip
