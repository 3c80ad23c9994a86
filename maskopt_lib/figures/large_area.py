"""Pictures of large areas: a whole block, a detail, what happens at seams, and what area costs."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.marks import UM
from maskopt_lib.figures.page import Figure, Panel
from maskopt_lib.figures.pictures import NM, PANELS, filled

_LOGIC, _OTHER, _FRAME = style.BLUE, style.GREY, style.VERMILION


def block(overview: xr.Dataset, cells: xr.Dataset, *, frame_nm: Sequence[float] = ()) -> Figure:
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
    x, y = overview["x"].values * UM, overview["y"].values * UM
    drawn = [marks.heat(overview["coverage"].transpose("y", "x").values, x, y, limits=(0, 1.6), colours="Greys")]
    boxes, is_logic = marks.boxes_of(cells) * UM, cells["is_logic"].values.astype(bool)
    is_placed = np.isfinite(boxes).all(axis=1)
    for chosen, label, colour in (
        (is_placed & is_logic, "logic cells", _LOGIC),
        (is_placed & ~is_logic, "fill, tap and tie cells", _OTHER),
    ):
        if chosen.any():
            drawn += [marks.frames(boxes[chosen], colour, 0.4), marks.key(label, colour, 1.5)]
    if len(frame_nm):
        drawn.append(marks.frames([np.asarray(frame_nm) * UM], _FRAME, 1.4))
        drawn.append(marks.key("shown larger", _FRAME, 2.5))
    x0, y0, x1, y1 = bounds
    look = {"aspect": "equal", "xlabel": "x (µm)", "ylabel": "y (µm)", "xlim": (x0, x1), "ylim": (y0, y1)}
    return page.single(drawn, most_inch=6.0, **look)


def cell_zoom(
    picture: xr.Dataset, cells: xr.Dataset, *, borders_nm: tuple[Sequence[float], Sequence[float]] = ((), ())
) -> Figure:
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
        drawn += [marks.frames(seen[is_in], _LOGIC, 1.0), marks.key("cells", _LOGIC, 2.5)]
    lines = [np.array([(x, y0), (x, y1)]) for x in borders_nm[0] if x0 < x < x1]
    lines += [np.array([(x0, y), (x1, y)]) for y in borders_nm[1] if y0 < y < y1]
    if lines:
        drawn.append(marks.paths(lines, _FRAME, 1.0, linestyle="--"))
        drawn.append(marks.key("borders of the first windows", _FRAME, 2.5))
    names = [(*middle[i], str(cells["cell"].values[i])) for i in np.flatnonzero(has_room)]
    if names:
        drawn.append(marks.names(names, _LOGIC, optional=True))
    return page.single(drawn, most_inch=6.0, xlim=(x0, x1), ylim=(y0, y1), **NM)


def place_levels(levels: xr.Dataset) -> Figure:
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
            Panel(
                marks.grouped_bars(values, masks, written),
                aspect=1.25,
                ylabel=style.axis_label(levels[name]),
                xticks=list(enumerate(places)),
                xlim=(-0.5, len(places) - 0.5),
                ylim=(0, 1.15 * float(np.nanmax(values))),
            )
        )
    return Figure(panels, columns=2, least_inch=2.5)


def seam_profile(difference: xr.DataArray) -> Figure:
    """What a mask differs from a reference over the distance from the seam: mean over the borders, one line a mask.

    Parameters
    ----------
    difference : DataArray (mask, border, distance_nm).
    """
    mean, distance = difference.mean("border").transpose("mask", ...), difference["distance_nm"]
    return page.single(
        [
            marks.line(distance.values, profile, look.colour, mask, marker=look.marker)
            for (mask, look), profile in zip(style.looks(difference["mask"]).items(), mean.values, strict=True)
        ],
        xlabel=style.axis_label(distance),
        ylabel="mask difference (nm² a µm of border)",
        xlim=(0, None),
        ylim=(0, 1.08 * max(float(mean.fillna(0.0).max()), 1e-9)),  # no border, no line
        **page.CURVES,
    )


def cost_growth(growth: xr.Dataset, *, slope_s: float, rest_s: float) -> Figure:
    """Seconds over area, with a line through them where they are of two areas at least.

    Parameters
    ----------
    growth : Dataset over ``area_um2`` with ``wall_s``.
    slope_s, rest_s : of the line: seconds a um2, and at no area.
    """
    area, seconds = growth["area_um2"].values.astype(float), growth["wall_s"].values
    ends = np.array([0.0, 1.05 * area.max()])
    drawn = [marks.dots(area, seconds, style.BLUE, "measured", size=24)]
    if len(np.unique(area)) > 1:
        drawn.insert(0, marks.line(ends, rest_s + slope_s * ends, style.GREY, f"{slope_s:.3g} s a µm²", linestyle="--"))
    look = page.CURVES | style.axis_labels(growth["area_um2"], growth["wall_s"])
    return page.single(drawn, xlim=tuple(ends), ylim=(0, 1.1 * float(seconds.max())), **look)
