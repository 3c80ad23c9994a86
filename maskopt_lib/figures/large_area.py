"""Pictures of masks of large areas: the block and its cells, seams, and what area costs."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style
from maskopt_lib.figures.pictures import _panel

_LOGIC, _OTHER, _FRAME, _BORDER = "#0072B2", "#8C8C8C", "#D55E00", "#D55E00"
_SIDES = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")
_UM = 1e-3


def block(
    overview: xr.Dataset,
    cells: xr.Dataset,
    *,
    frame_nm: Sequence[float] = (),
    size_inch: float = 8.0,
) -> hv.Overlay:
    """A whole block from above: the mask's clear share, the cells, and a frame around what is shown elsewhere.

    Parameters
    ----------
    overview : Dataset of ``coverage`` (y, x), in nm.
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``is_logic``.
    frame_nm : (x0, y0, x1, y1) of a frame.
    size_inch : width of the picture.

    Returns
    -------
    Picture with axes in um: grey mask, blue outlines of logic cells, grey ones of the others.
    """
    x, y = (overview[name].values * _UM for name in ("x", "y"))
    step = x[1] - x[0]
    bounds = (x[0] - step / 2, y[0] - step / 2, x[-1] + step / 2, y[-1] + step / 2)
    image = hv.Image(overview["coverage"].transpose("y", "x").values[::-1], bounds=bounds, kdims=["x", "y"])
    drawn = [
        image.opts(
            hv.opts.Image(cmap="Greys", clim=(0, 1.6), aspect="equal", fig_inches=size_inch, interpolation="nearest")
        )
    ]
    for logic, label, colour in ((True, "logic cells", _LOGIC), (False, "fill, tap and tie cells", _OTHER)):
        chosen = cells.isel(instance=cells["is_logic"].values == logic)
        boxes = np.stack([chosen[side].values * _UM for side in _SIDES], axis=1)
        boxes = boxes[np.isfinite(boxes).all(axis=1)]
        if len(boxes):
            paths = [_rectangle(box) for box in boxes]
            drawn.append(hv.Path(style.joined(paths), kdims=["x", "y"]).opts(hv.opts.Path(color=colour, linewidth=0.7)))
            drawn.append(_key(label, colour))
    if len(frame_nm):
        frame = hv.Path([_rectangle(np.asarray(frame_nm) * _UM)], kdims=["x", "y"])
        drawn.append(frame.opts(hv.opts.Path(color=_FRAME, linewidth=2)))
        drawn.append(_key("shown larger", _FRAME))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            xlabel="x (µm)", ylabel="y (µm)", fontsize=style.FONT_SIZES, legend_position="right", show_legend=True,
            fig_inches=size_inch, aspect="equal", xlim=(bounds[0], bounds[2]), ylim=(bounds[1], bounds[3]),
        )
    )  # fmt: skip


def cell_zoom(
    picture: xr.Dataset,
    cells: xr.Dataset,
    *,
    borders_nm: tuple[Sequence[float], Sequence[float]] = ((), ()),
    panel: str = "mask, print",
    size_inch: float = 8.0,
) -> hv.Overlay:
    """Mask and print of a part with the outlines and names of its cells, and the borders of the windows.

    Parameters
    ----------
    picture : as for :func:`maskopt_lib.figures.mask_panels`, in layout coordinates.
    cells : as for :func:`block`, with ``cell`` names.
    borders_nm : x of vertical and y of horizontal borders of windows; those outside are left out.
    panel : a key of :data:`maskopt_lib.figures.pictures.PANELS`.
    size_inch : width of the picture.
    """
    x0, y0, x1, y1 = _extent(picture)
    drawn = [_panel(picture, panel).opts(hv.opts.RGB(aspect="equal", interpolation="nearest"))]
    boxes, texts = [], []
    columns = [cells[side].values for side in _SIDES]
    for name, *box in zip(cells["cell"].values.tolist(), *columns, strict=True):
        if not np.isfinite(box).all() or box[0] >= x1 or box[2] <= x0 or box[1] >= y1 or box[3] <= y0:
            continue
        seen = (max(box[0], x0), max(box[1], y0), min(box[2], x1), min(box[3], y1))
        boxes.append(_rectangle(np.array(seen)))
        if seen[2] - seen[0] > 0.04 * (x1 - x0) and seen[3] - seen[1] > 0.05 * (y1 - y0):
            texts.append(((seen[0] + seen[2]) / 2, (seen[1] + seen[3]) / 2, name))
    if boxes:
        outlines = hv.Path(style.joined(boxes), kdims=["x", "y"])
        drawn.append(outlines.opts(hv.opts.Path(color=_LOGIC, linewidth=1.6)))
        drawn.append(_key("cells", _LOGIC))
    lines = [np.array([(x, y0), (x, y1)]) for x in borders_nm[0] if x0 < x < x1]
    lines += [np.array([(x0, y), (x1, y)]) for y in borders_nm[1] if y0 < y < y1]
    if lines:
        borders = hv.Path(style.joined(lines), kdims=["x", "y"])
        drawn.append(borders.opts(hv.opts.Path(color=_BORDER, linewidth=1.4, linestyle="--")))
        drawn.append(_key("borders of the first windows", _BORDER))
    if texts:
        labels = hv.Labels(texts, kdims=["x", "y"], vdims=["text"])
        drawn.append(labels.opts(hv.opts.Labels(color=_LOGIC, size=9, rotation=90 if x1 - x0 > 2000 else 0)))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            xlabel="x (nm)", ylabel="y (nm)", fontsize=style.FONT_SIZES, fig_inches=size_inch, aspect="equal",
            xlim=(x0, x1), ylim=(y0, y1), legend_position="right", show_legend=True,
        )
    )  # fmt: skip


def place_levels(
    levels: xr.Dataset, *, values: Sequence[str] = ("mean_abs_nm", "p95_nm"), size_inch: float = 4.2
) -> hv.Layout:
    """Levels at borders and in the interior, one group of bars a place, one bar a mask.

    Parameters
    ----------
    levels : Dataset over ``mask`` and ``place``.
    values : variables, one panel each.
    size_inch : width of a panel.
    """
    masks = [str(name) for name in levels["mask"].values]
    places = [str(name) for name in levels["place"].values]
    wide = 0.8 / len(masks)
    panels = []
    for j, value in enumerate(values):
        drawn, top = [], float(levels[value].max())
        for i, (mask, colour) in enumerate(zip(masks, style.colours(masks), strict=True)):
            numbers = levels[value].sel(mask=mask).values
            left = np.arange(len(places)) - 0.4 + i * wide
            boxes = [(a, 0, a + wide, v) for a, v in zip(left, np.nan_to_num(numbers), strict=True)]
            drawn.append(hv.Rectangles(boxes).opts(hv.opts.Rectangles(facecolor=colour, edgecolor="white")))
            texts = [(a + wide / 2, v + 0.03 * top, f"{v:.3g}") for a, v in zip(left, numbers, strict=True)]
            labels = hv.Labels([t for t in texts if np.isfinite(t[1])], kdims=["x", "y"], vdims=["text"])
            drawn.append(labels.opts(hv.opts.Labels(size=7, color="black")))
            drawn.append(_key(mask, colour))
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    xticks=list(enumerate(places)), xlabel="", ylabel=style.axis_label(levels[value]),
                    ylim=(0, 1.6 * top), xlim=(-0.5, len(places) - 0.5), aspect=1.25, fontsize=style.FONT_SIZES,
                    show_legend=j == 0, legend_position="top_left", legend_cols=1,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels).cols(len(panels)).opts(hv.opts.Layout(fig_inches=size_inch, sublabel_format="", hspace=0.3))
    )


def seam_profile(difference: xr.DataArray, *, size_inch: tuple[float, float] = (7.0, 3.4)) -> hv.Overlay:
    """What a mask differs from a reference over the distance from the seam: mean over the borders, one line a mask.

    Parameters
    ----------
    difference : DataArray (mask, border, distance_nm).
    size_inch : width and height.
    """
    x_label, y_label = style.axis_label(difference["distance_nm"]), "mask difference (nm² a µm of border)"
    masks = [str(name) for name in difference["mask"].values]
    mean = difference.mean("border")
    drawn = []
    for mask, colour in zip(masks, style.colours(masks), strict=True):
        points = (difference["distance_nm"].values, mean.sel(mask=mask).values)
        curve = hv.Curve(points, kdims=[x_label], vdims=[y_label], label=mask)
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.8)))
        marks = hv.Points(points, kdims=[x_label, y_label])
        drawn.append(marks.opts(hv.opts.Points(color=colour, s=28)))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, xlabel=x_label, ylabel=y_label, show_grid=True,
            xlim=(0, None), ylim=(0, 1.08 * max(float(mean.max()), 1e-9)), legend_position="right",
            fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip


def cost_growth(
    growth: xr.Dataset, *, slope_s: float, rest_s: float, size_inch: tuple[float, float] = (6.0, 3.6)
) -> hv.Overlay:
    """Seconds over area with a line through them.

    Parameters
    ----------
    growth : Dataset over ``area_um2`` with ``wall_s``.
    slope_s, rest_s : of the line: seconds a um2, and at no area.
    size_inch : width and height.
    """
    area, seconds = growth["area_um2"].values.astype(float), growth["wall_s"].values
    x_label, y_label = style.axis_label(growth["area_um2"]), style.axis_label(growth["wall_s"])
    ends = np.array([0.0, 1.05 * area.max()])
    line = hv.Curve((ends, rest_s + slope_s * ends), kdims=[x_label], vdims=[y_label], label=f"{slope_s:.3g} s a µm²")
    points = hv.Points((area, seconds), kdims=[x_label, y_label], label="measured")
    width, height = size_inch
    return (
        line.opts(hv.opts.Curve(color="#8C8C8C", linestyle="--"))
        * points.opts(hv.opts.Points(color="#0072B2", s=45))
    ).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, xlabel=x_label.replace("um2", "µm²"), ylabel=y_label,
            xlim=tuple(ends), ylim=(0, 1.1 * float(seconds.max())), show_grid=True, legend_position="top_left",
            fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip


def _rectangle(box: np.ndarray) -> np.ndarray:
    x0, y0, x1, y1 = box
    return np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])


def _key(label: str, colour: str) -> hv.Curve:
    # Paths and rectangles have no legend entry of their own; a curve without points has.
    return hv.Curve([(0.0, np.nan)], kdims=["x"], vdims=["y"], label=label).opts(
        hv.opts.Curve(color=colour, linewidth=2.5)
    )


def _extent(picture: xr.Dataset) -> tuple[float, float, float, float]:
    x, y = picture["x"].values, picture["y"].values
    half = (x[1] - x[0]) / 2
    return x[0] - half, y[0] - half, x[-1] + half, y[-1] + half
