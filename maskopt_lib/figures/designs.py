"""Pictures of placed designs: what stands where, what a detail looks like, and how far cells were moved."""

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style
from maskopt_lib.figures.marks import UM

#: Of the kinds of cells; pale grey for what fills.
_KINDS = ("#D9D9D9", style.BLACK, style.VERMILION, style.SKY, style.BLUE, style.ORANGE)
_SHAPES = (style.GREY, style.BLACK, "#7F2704")
_EDGE = "#404040"


def placement(cells: xr.Dataset, *, frame_nm: Sequence[float] = (), pixels: int = 900, title: str = "") -> hv.Overlay:
    """A whole design from above, each cell in the colour of its kind.

    Parameters
    ----------
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``kind`` (numbers; their names in its attribute
        ``kinds``); attribute ``die_nm``. Cells without outline are left out.
    frame_nm : (x0, y0, x1, y1) of a frame around what is shown elsewhere.
    pixels : of the longer side.
    title : above the picture.
    """
    cells, die = _placed(cells), np.asarray(cells.attrs["die_nm"], dtype=float)
    origin, sides = die[:2], die[2:] - die[:2]
    step = sides.max() / pixels
    n_x, n_y = np.maximum(1, np.ceil(sides / step).astype(int))
    kind_of = np.full((n_y, n_x), -1)
    corners = np.rint((marks.boxes_of(cells) - np.tile(origin, 2)) / step).astype(int)
    for (left, bottom, right, top), kind in zip(corners, _kinds(cells), strict=True):
        kind_of[max(bottom, 0) : max(top, bottom + 1), max(left, 0) : max(right, left + 1)] = kind % len(_KINDS)
    image = marks.painted(*((kind_of == kind, colour) for kind, colour in enumerate(_KINDS)))
    bounds = (*origin, *(origin + step * np.array([n_x, n_y])))
    drawn = [marks.picture(image, np.array(bounds) * UM), *_keys(cells), marks.frames([die * UM], style.GREY, 0.8)]
    if len(frame_nm):
        drawn.append(marks.frames([np.asarray(frame_nm) * UM], style.PINK, 2.2))
        drawn.append(marks.key("shown larger", style.PINK))
    return _axes(drawn, die, title=title, size_inch=6.0)


def placement_detail(
    cells: xr.Dataset, shapes: Mapping[str, Sequence[np.ndarray]], *, region_nm: Sequence[float], title: str = ""
) -> hv.Overlay:
    """A part of a design: cells in the colour of their kind, with their names, and shapes of layers above.

    Parameters
    ----------
    cells : as for :func:`placement`; with ``cell``, their names. Cells that overlap show through each other.
    shapes : name of a layer -> polygons (n, 2) in nm, the first in grey, others darker.
    region_nm : (x0, y0, x1, y1).
    title : above the picture.
    """
    cells, drawn = _within(cells, region_nm), []
    for (layer, outlines), tone in zip(shapes.items(), _SHAPES, strict=False):
        if len(outlines):
            areas = marks.polygons([points * UM for points in outlines], tone, 0.8, 0.2)
            drawn += [areas, marks.key(layer, tone)]
    boxes = marks.boxes_of(cells)
    seen = marks.within(boxes, region_nm)
    wide, tall = (seen[:, 2:] - seen[:, :2]).T
    # A name needs some width, and most of the height of its cell.
    has_room = (wide > 0.035 * (region_nm[2] - region_nm[0])) & (tall > 0.7 * (boxes[:, 3] - boxes[:, 1]))
    middle = (seen[:, :2] + seen[:, 2:]) / 2 * UM
    names = [(*middle[i], str(cells["cell"].values[i])) for i in np.flatnonzero(has_room)]
    drawn += [marks.texts(names, colour="#000000", rotation=90)] if names else []
    return _axes([*_cells(cells), *drawn, *_keys(cells)], region_nm, title=title, size_inch=7.0)


def legalised_detail(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    region_nm: Sequence[float],
    row_nm: float,
    titles: tuple[str, str] = ("global placement", "on rows and sites"),
) -> hv.Layout:
    """The same part of a placement before and after its cells were put on rows.

    Parameters
    ----------
    before, after : cells as for :func:`placement_detail`.
    region_nm : (x0, y0, x1, y1).
    row_nm : height of the rows, whose borders are drawn from the die's lower one up; after legalisation they are those
        of the cells.
    titles : above the panels.
    """
    x0, y0, x1, y1 = map(float, region_nm)
    levels = np.unique(_placed(after)["y0_nm"].values)
    first = float(levels[0]) if len(levels) else 0.0
    heights = np.arange(first + row_nm * np.ceil((y0 - first) / row_nm), y1 + 1e-6, row_nm)
    lines = [np.array([(x0, y), (x1, y)]) * UM for y in heights]
    rows = hv.Path(lines, ["x", "y"]).opts(color=_EDGE, linewidth=0.7, linestyle="--")
    panels = []
    for cells, title in zip((before, after), titles, strict=True):
        seen = _within(cells, region_nm)
        legend = "right" if panels else None
        panels.append(_axes([*_cells(seen), *_keys(seen), rows], region_nm, title=title, size_inch=5.6, legend=legend))
    return style.grid(panels, size_inch=5.6, hspace=0.2)


def move_histogram(moves: Mapping[str, xr.DataArray]) -> hv.Overlay:
    """How far cells were moved: share of the cells in each bin of 100 nm, one line a design, its mean dotted.

    Parameters
    ----------
    moves : name of a design -> moves of its cells in nm, with ``long_name`` and ``units``.
    """
    first = next(iter(moves.values()))
    step = 100.0
    edges = np.arange(0, max(float(values.max()) for values in moves.values()) + step, step)
    drawn, highest = [], 0.0
    for name, colour in style.coloured(list(moves)):
        values = moves[name]
        share = 100 * np.histogram(values.values, edges)[0] / max(values.size, 1)
        highest, mean = max(highest, float(share.max())), float(values.mean())
        label = f"{name}, mean {mean:.0f} {first.attrs['units']}"
        drawn.append(marks.line(np.repeat(edges, 2)[1:-1], np.repeat(share, 2), colour, label))
        drawn.append(hv.VLine(mean).opts(color=colour, linestyle=":", linewidth=1.5))
    return style.axes(
        drawn,
        size_inch=(7.0, 3.6),
        legend="top_right",
        title="moves of the legaliser",
        xlabel=style.axis_label(first),
        ylabel="share of the cells (%)",
        xlim=(0, edges[-1]),
        ylim=(0, 1.08 * highest),
        ruled=True,
    )


def _placed(cells: xr.Dataset) -> xr.Dataset:
    """Cells that have an outline."""
    return cells.isel(instance=np.isfinite(cells["x0_nm"].values))


def _within(cells: xr.Dataset, region_nm: Sequence[float]) -> xr.Dataset:
    """Cells that reach into a region."""
    return cells.isel(instance=np.isfinite(marks.within(marks.boxes_of(cells), region_nm)).all(axis=1))


def _kinds(cells: xr.Dataset) -> np.ndarray:
    return cells["kind"].values.astype(int)


def _cells(cells: xr.Dataset) -> list[hv.Rectangles]:
    boxes, kinds = marks.boxes_of(cells) * UM, _kinds(cells)
    return [
        marks.bars(boxes[kinds == kind], _KINDS[kind % len(_KINDS)], edge=_EDGE, alpha=0.45, linewidth=0.9)
        for kind in np.unique(kinds)
    ]


def _keys(cells: xr.Dataset) -> list[hv.Curve]:
    kinds = cells["kind"].attrs["kinds"]
    return [marks.key(kinds[i], _KINDS[i % len(_KINDS)]) for i in np.unique(_kinds(cells))]


def _axes(drawn: list, box_nm: Sequence[float], **options) -> hv.Overlay:
    return style.map_axes(drawn, np.asarray(box_nm, float) * UM, unit="µm", **options)
