"""Pictures of large areas: a whole block, a detail, what happens at seams, and what area costs."""

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style
from maskopt_lib.figures.marks import UM
from maskopt_lib.figures.pictures import PANELS, filled

_LOGIC, _OTHER, _FRAME = style.BLUE, style.GREY, style.VERMILION


def block(overview: xr.Dataset, cells: xr.Dataset, *, frame_nm: Sequence[float] = ()) -> hv.Overlay:
    """A whole block from above: the mask's clear share, the cells, and a frame around what is shown elsewhere.

    Parameters
    ----------
    overview : Dataset of ``coverage`` (y, x), in nm.
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``is_logic``.
    frame_nm : (x0, y0, x1, y1) of a frame.

    Returns
    -------
    Picture with axes in um: grey mask, blue outlines of logic cells, grey ones of the others.
    """
    bounds = tuple(UM * side for side in marks.extent(overview))
    image = hv.Image(overview["coverage"].transpose("y", "x").values[::-1], bounds=bounds, kdims=["x", "y"])
    drawn = [image.opts(cmap="Greys", clim=(0, 1.6), interpolation="nearest")]
    boxes, is_logic = marks.boxes_of(cells) * UM, cells["is_logic"].values.astype(bool)
    is_placed = np.isfinite(boxes).all(axis=1)
    for chosen, label, colour in (
        (is_placed & is_logic, "logic cells", _LOGIC),
        (is_placed & ~is_logic, "fill, tap and tie cells", _OTHER),
    ):
        if chosen.any():
            drawn += [marks.frames(boxes[chosen], colour, 0.7), marks.key(label, colour, 2.5)]
    if len(frame_nm):
        drawn.append(marks.frames([np.asarray(frame_nm) * UM], _FRAME, 2))
        drawn.append(marks.key("shown larger", _FRAME, 2.5))
    return style.map_axes(drawn, bounds, unit="µm", size_inch=8.0)


def cell_zoom(
    picture: xr.Dataset, cells: xr.Dataset, *, borders_nm: tuple[Sequence[float], Sequence[float]] = ((), ())
) -> hv.Overlay:
    """Mask and print of a part with the outlines and names of its cells, and the borders of the windows.

    Parameters
    ----------
    picture : as for :func:`maskopt_lib.figures.mask_panels`, in layout coordinates.
    cells : as for :func:`block`, with ``cell`` names.
    borders_nm : x of vertical and y of horizontal borders of windows; those outside are left out.
    """
    x0, y0, x1, y1 = bounds = marks.extent(picture)
    drawn = filled(picture, *PANELS["mask, print"])
    seen = marks.within(marks.boxes_of(cells), bounds)
    wide, tall = (seen[:, 2:] - seen[:, :2]).T
    is_in = np.isfinite(wide)
    has_room = (wide > 0.04 * (x1 - x0)) & (tall > 0.05 * (y1 - y0))
    middle = (seen[:, :2] + seen[:, 2:]) / 2
    if is_in.any():
        drawn += [marks.frames(seen[is_in], _LOGIC, 1.6), marks.key("cells", _LOGIC, 2.5)]
    lines = [np.array([(x, y0), (x, y1)]) for x in borders_nm[0] if x0 < x < x1]
    lines += [np.array([(x0, y), (x1, y)]) for y in borders_nm[1] if y0 < y < y1]
    if lines:
        drawn.append(marks.paths(lines, _FRAME, 1.4, linestyle="--"))
        drawn.append(marks.key("borders of the first windows", _FRAME, 2.5))
    names = [(*middle[i], str(cells["cell"].values[i])) for i in np.flatnonzero(has_room)]
    if names:
        drawn.append(marks.texts(names, colour=_LOGIC, size=9, rotation=90 if x1 - x0 > 2000 else 0))
    return style.map_axes(drawn, bounds, size_inch=8.0)


def place_levels(levels: xr.Dataset) -> hv.Layout:
    """Levels at borders and in the interior, one group of bars a place, one bar a mask.

    Parameters
    ----------
    levels : Dataset of ``mean_abs_nm`` and ``p95_nm`` over ``mask`` and ``place``.
    """
    masks, places = style.names(levels["mask"]), style.names(levels["place"])
    panels = []
    for name in ("mean_abs_nm", "p95_nm"):
        values = levels[name].transpose("mask", "place").values
        written = np.vectorize("{:.3g}".format)(values)
        panels.append(
            style.axes(
                marks.grouped_bars(values, masks, written),
                aspect=1.25,
                legend=None if panels else "top_left",
                legend_cols=1,
                xlabel="",
                ylabel=style.axis_label(levels[name]),
                xticks=list(enumerate(places)),
                xlim=(-0.5, len(places) - 0.5),
                ylim=(0, 1.6 * float(np.nanmax(values))),
            )
        )
    return style.grid(panels, size_inch=4.2, hspace=0.3, shared_axes=False)


def seam_profile(difference: xr.DataArray) -> hv.Overlay:
    """What a mask differs from a reference over the distance from the seam: mean over the borders, one line a mask.

    Parameters
    ----------
    difference : DataArray (mask, border, distance_nm).
    """
    mean, distance = difference.mean("border").transpose("mask", ...), difference["distance_nm"]
    return style.axes(
        [
            marks.line(distance.values, profile, colour, mask, width=1.8, marker="o", ms=5)
            for (mask, colour), profile in zip(style.coloured(difference["mask"]), mean.values, strict=True)
        ],
        size_inch=(7.0, 3.4),
        xlabel=style.axis_label(distance),
        ylabel="mask difference (nm² a µm of border)",
        xlim=(0, None),
        ylim=(0, 1.08 * max(float(mean.max()), 1e-9)),
        ruled=True,
    )


def cost_growth(growth: xr.Dataset, *, slope_s: float, rest_s: float) -> hv.Overlay:
    """Seconds over area with a line through them.

    Parameters
    ----------
    growth : Dataset over ``area_um2`` with ``wall_s``.
    slope_s, rest_s : of the line: seconds a um2, and at no area.
    """
    area, seconds = growth["area_um2"].values.astype(float), growth["wall_s"].values
    ends = np.array([0.0, 1.05 * area.max()])
    label = f"{slope_s:.3g} s a µm²"
    return style.axes(
        [
            marks.line(ends, rest_s + slope_s * ends, style.GREY, label, linestyle="--"),
            marks.dots(area, seconds, style.BLUE, "measured", size=45),
        ],
        size_inch=(6.0, 3.6),
        legend="top_left",
        xlabel=style.axis_label(growth["area_um2"]),
        ylabel=style.axis_label(growth["wall_s"]),
        xlim=tuple(ends),
        ylim=(0, 1.1 * float(seconds.max())),
        ruled=True,
    )
