"""Pictures of placed designs: what stands where, what a detail looks like, and how far cells were moved."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.marks import UM
from maskopt_lib.figures.page import Figure, Mark, Panel

#: Of the kinds of cells; pale grey for what fills.
_KINDS = ("#D9D9D9", style.BLACK, style.VERMILION, style.SKY, style.BLUE, style.ORANGE)
_SHAPES = (style.GREY, style.BLACK, "#7F2704")
_EDGE = "#404040"


def placement(cells: xr.Dataset, *, frame_nm: Sequence[float] = (), pixels: int = 900, title: str = "") -> Figure:
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
    drawn = [marks.picture(image, np.array(bounds) * UM), *_keys(cells), marks.frames([die * UM], style.GREY, 0.6)]
    if len(frame_nm):
        drawn.append(marks.frames([np.asarray(frame_nm) * UM], style.PINK, 1.4))
        drawn.append(marks.key("shown larger", style.PINK))
    return Figure([_panel(drawn, die, title)], most_inch=5.0)


def placement_detail(
    cells: xr.Dataset, shapes: Mapping[str, Sequence[np.ndarray]], *, region_nm: Sequence[float], title: str = ""
) -> Figure:
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
    drawn += [marks.names(names, "#000000", optional=True)] if names else []
    return Figure([_panel([*_cells(cells), *drawn, *_keys(cells)], region_nm, title)], most_inch=6.0)


def legalised_detail(
    before: xr.Dataset,
    after: xr.Dataset,
    *,
    region_nm: Sequence[float],
    row_nm: float,
    titles: tuple[str, str] = ("global placement", "on rows and sites"),
) -> Figure:
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
    rows = marks.paths(lines, _EDGE, 0.5, linestyle="--")
    panels = []
    for cells, title in zip((before, after), titles, strict=True):
        seen = _within(cells, region_nm)
        panels.append(_panel([*_cells(seen), *_keys(seen), rows], region_nm, title))
    return Figure(panels, columns=2, shared="xy")


def move_histogram(moves: Mapping[str, xr.DataArray]) -> Figure:
    """How far cells were moved: share of the cells in each bin of 100 nm, one line a design, its mean dotted.

    Parameters
    ----------
    moves : name of a design -> moves of its cells in nm, with ``long_name`` and ``units``.
    """
    first = next(iter(moves.values()))
    step = 100.0
    edges = np.arange(0, max(float(values.max()) for values in moves.values()) + step, step)
    drawn, highest = [], 0.0
    for name, look in style.looks(moves).items():
        values = moves[name]
        share = 100 * np.histogram(values.values, edges)[0] / max(values.size, 1)
        highest, mean = max(highest, float(share.max())), float(values.mean())
        label = f"{name}, mean {mean:.0f} {first.attrs['units']}"
        drawn.append(marks.line(np.repeat(edges, 2)[1:-1], np.repeat(share, 2), look.colour, label))
        drawn.append(marks.across(mean, look.colour, up=True, linestyle=":"))
    return page.single(
        drawn,
        title="moves of the legaliser",
        xlabel=style.axis_label(first),
        ylabel="share of the cells (%)",
        xlim=(0, edges[-1]),
        ylim=(0, 1.08 * highest),
        **page.CURVES,
    )


def _placed(cells: xr.Dataset) -> xr.Dataset:
    """Cells that have an outline."""
    return cells.isel(instance=np.isfinite(cells["x0_nm"].values))


def _within(cells: xr.Dataset, region_nm: Sequence[float]) -> xr.Dataset:
    """Cells that reach into a region."""
    return cells.isel(instance=np.isfinite(marks.within(marks.boxes_of(cells), region_nm)).all(axis=1))


def _kinds(cells: xr.Dataset) -> np.ndarray:
    return cells["kind"].values.astype(int)


def _cells(cells: xr.Dataset) -> list[Mark]:
    boxes, kinds = marks.boxes_of(cells) * UM, _kinds(cells)
    return [
        marks.bars(boxes[kinds == kind], _KINDS[kind % len(_KINDS)], edge=_EDGE, alpha=0.45, linewidth=0.6)
        for kind in np.unique(kinds)
    ]


def _keys(cells: xr.Dataset) -> list[Mark]:
    kinds = cells["kind"].attrs["kinds"]
    return [marks.key(kinds[i], _KINDS[i % len(_KINDS)]) for i in np.unique(_kinds(cells))]


def _panel(drawn: list[Mark], box_nm: Sequence[float], title: str) -> Panel:
    x0, y0, x1, y1 = np.asarray(box_nm, float) * UM
    look = {"aspect": "equal", "xlabel": "x (µm)", "ylabel": "y (µm)", "xlim": (x0, x1), "ylim": (y0, y1)}
    return Panel(drawn, title=title, **look)
