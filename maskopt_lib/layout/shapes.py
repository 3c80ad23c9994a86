"""The shapes of one layer below a cell: counted before they are expanded, merged, and turned into rings in nm."""

import itertools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np
from klayout import db

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.polygons import to_nm

#: Coordinates that KLayout computes with exactly, in database units.
MAX_UNITS = 2**30
#: Shapes of a layer that are read at once.
MAX_SHAPES = 2_000_000
#: Of a layout that was read: shapes and cells below its largest cell, of all layers, up to twice as many.
PLACED = "placed below a cell"
#: How many shapes may lie on each other where there are very many: merging them crosses each with each.
_MAX_DEEP, _MAX_MEETINGS = 50, 4_000_000
# Elements of an array that are looked into one by one.
_FEW = 64
# A border of a region lies on a grid of at most so many lines a database unit.
_MAX_FINER = 1000


def unit_nm(layout: db.Layout) -> Fraction:
    """Database unit in nm, as the fraction that its file means: 3/10 and not 0.30000000000000004."""
    return Fraction(layout.dbu * 1000).limit_denominator(10**6)


def checked_region(region_nm: Sequence[float]) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) in nm, or :class:`LayoutError` for what has no area."""
    try:
        x0, y0, x1, y1 = map(float, region_nm)
    except (TypeError, ValueError):
        raise LayoutError(f"region_nm={region_nm!r} is not (x0, y0, x1, y1) in nm") from None
    if not (math.isfinite(x0 + y0 + x1 + y1) and x1 > x0 and y1 > y0):
        raise LayoutError(f"region_nm={tuple(region_nm)} has no area; give (x0, y0, x1, y1) with x0 < x1, y0 < y1")
    return x0, y0, x1, y1


def has_shapes(cell: db.Cell, index: int) -> bool:
    """Whether there is any polygon, box or path on a layer of a cell, or below it; texts are none."""
    below = (cell.layout().cell(i) for i in (cell.cell_index(), *cell.called_cells()))
    return any(True for part in below for _ in part.shapes(index).each(db.Shapes.SRegions))


def drawn(cell: db.Cell, index: int, box: db.Box | None = None) -> db.Region:
    """A layer of a cell with all below it, as drawn; with a box what touches that, without looking at the rest.

    Raises
    ------
    LayoutError : more than :data:`MAX_SHAPES` would have to be looked at, or they lie on each other, which merging
        would not come to the end of.
    """
    known = cell.layout().meta_info_value(PLACED)
    n = _placed(cell, index, box) if known is None or known > MAX_SHAPES else known
    if n > MAX_SHAPES:
        where = "" if box is None else " there"
        raise LayoutError(
            f"cell {cell.name} places at least {n} shapes on layer {cell.layout().get_info(index)}{where}; at most "
            f"{MAX_SHAPES} are read at once: choose a smaller region_nm"
        )
    deep = 0 if n * _FEW**2 <= _MAX_MEETINGS else _deep(cell, index, cell.bbox(index) if box is None else box, n)
    if deep > _MAX_DEEP and n * deep > _MAX_MEETINGS:
        raise LayoutError(
            f"cell {cell.name}: {n} shapes lie on each other on layer {cell.layout().get_info(index)}, about "
            f"{deep:.0f} deep; draw each of them once, or choose a smaller region_nm"
        )
    return db.Region(cell.begin_shapes_rec(index) if box is None else cell.begin_shapes_rec_touching(index, box))


def count(cell: db.Cell, index: int) -> int:
    """Shapes of a layer below a cell, each as often as it is placed; beyond :data:`MAX_SHAPES` with texts."""
    n = _placed(cell, index, None)
    return n if n > MAX_SHAPES else db.Region(cell.begin_shapes_rec(index)).count()


def bounds(cell: db.Cell, index: int) -> db.Box:
    """Box of what a layer covers; beyond :data:`MAX_SHAPES` of its texts as well."""
    return (
        cell.bbox(index) if _placed(cell, index, None) > MAX_SHAPES else db.Region(cell.begin_shapes_rec(index)).bbox()
    )


def _deep(cell: db.Cell, index: int, box: db.Box, n: int) -> float:
    """How many shapes touch the box of one, on average of a few among the first; counted up to ``_FEW**2``."""
    looked = min(n, 16 * _FEW**2)
    found = []
    for each in itertools.islice(cell.begin_shapes_rec_touching(index, box).each(), 0, looked, max(looked // _FEW, 1)):
        there = each.shape().bbox().transformed(each.trans()) & box
        touching = cell.begin_shapes_rec_touching(index, there).each()
        found.append(sum(1 for _ in itertools.islice(touching, _FEW**2)))
    return sum(found) / max(len(found), 1)


def merged_rings(cell: db.Cell, index: int, region_nm: Sequence[float] | None = None) -> list[np.ndarray]:
    """Merged polygons of a layer of a cell in nm; those of a region are cut at its border.

    Parameters
    ----------
    cell, index : the cell and its layer.
    region_nm : (x0, y0, x1, y1); the whole layer by default.

    Returns
    -------
    (n, 2) float64 each, in a fixed order; see :func:`ring_nm`.

    Raises
    ------
    LayoutError : too many shapes, or a border between all grids.
    """
    unit = unit_nm(cell.layout())
    if region_nm is None:
        return [ring_nm(polygon, unit) for polygon in drawn(cell, index).merged().each()]
    borders = [Fraction(value).limit_denominator(10**6) / unit for value in checked_region(region_nm)]
    if max(map(abs, borders)) > MAX_UNITS:
        raise LayoutError(f"region_nm={tuple(region_nm)} lies beyond all layouts of a {float(unit):g} nm unit; move it")
    box = db.Box(*map(math.floor, borders[:2]), *map(math.ceil, borders[2:]))
    region = drawn(cell, index, box) & db.Region(box)
    finer = math.lcm(*(value.denominator for value in borders))
    if finer == 1:
        return [ring_nm(polygon, unit) for polygon in region.merged().each()]
    # A border between database units: cut on a grid that both lie on, around the corner of the region.
    if finer > _MAX_FINER or max(box.width(), box.height()) * finer > 2**30:
        raise LayoutError(f"region_nm={tuple(region_nm)} is off the grid of {float(unit):g} nm; round it to that")
    region.transform(db.Trans(-box.left, -box.bottom))
    region.transform(db.ICplxTrans(float(finer)))
    low_x, low_y, high_x, high_y = (int(value * finer) for value in borders)
    x, y = box.left * finer, box.bottom * finer
    region &= db.Region(db.Box(low_x - x, low_y - y, high_x - x, high_y - y))
    return [ring_nm(polygon, unit / finer, (x, y)) for polygon in region.merged().each()]


def smallest_nm(
    cell: db.Cell, index: int, below_nm: float, region_nm: Sequence[float] | None = None, *, around_nm: float = 0.0
) -> dict[str, float]:
    """Narrowest ``width`` and ``space`` of a layer of a cell in nm; nan where none is below the limit.

    Parameters
    ----------
    cell, index : the cell and its layer.
    below_nm : sizes above it are not searched.
    region_nm : (x0, y0, x1, y1) that the sizes must touch; the whole layer by default.
    around_nm : shapes this far around the region are looked at with it, uncut, so that none is narrow for its border.

    Notes
    -----
    By KLayout's Euclidean checks; the tip of an acute corner is no width.
    """
    unit, near, inside = float(unit_nm(cell.layout())), None, None
    if region_nm is not None:
        x0, y0, x1, y1 = (round(value / unit) for value in region_nm)
        inside = db.Box(x0, y0, x1, y1)
        near = inside.enlarged(round(around_nm / unit))
    shapes = drawn(cell, index) if near is None else db.Region(cell.begin_shapes_rec_overlapping(index, near))
    limit = round(below_nm / unit)
    found = {}
    for kind, pairs in (("width", shapes.width_check(limit)), ("space", shapes.space_check(limit))):
        sizes = (pair.distance() for pair in pairs.each() if inside is None or pair.bbox().touches(inside))
        found[kind] = round(min(filter(None, sizes), default=np.nan) * unit, 3)
    return found


def ring_nm(polygon: db.Polygon, unit: Fraction, origin: tuple[int, int] = (0, 0)) -> np.ndarray:
    """(n, 2) corners of a polygon in nm, after a shift by an origin in units.

    Holes are joined to the outside by bridges that are walked in both directions: along x where all edges run along x
    or y, and between corners otherwise, so that no bridge moves an edge.
    """
    if polygon.holes() and polygon.is_rectilinear():
        polygon = polygon.resolved_holes()
    hull = [(p.x, p.y) for p in polygon.each_point_hull()]
    points = list(hull)
    for hole in range(polygon.holes()):
        around = [(p.x, p.y) for p in polygon.each_point_hole(hole)]
        points += [hull[0], *around, around[0]]
    return to_nm(np.array(points, dtype=float) + origin, unit)


def box_nm(box: db.Box, unit: Fraction) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1) of a box in nm."""
    return tuple(to_nm(np.array([box.left, box.bottom, box.right, box.top], dtype=float), unit).tolist())


def without_area(cell: db.Cell, index: int) -> int:
    """Shapes of a layer, drawn in a cell or in one below it, that cover nothing; each counts once."""
    n = 0
    for part in (cell.layout().cell(i) for i in (cell.cell_index(), *cell.called_cells())):
        if part.shapes(index).size() > MAX_SHAPES:  # a repetition, which looking would expand
            continue
        region = db.Region(part.shapes(index))
        region.merged_semantics = False
        # The signed area of a bow tie is 0 as well, but it covers its two halves.
        merge = db.EdgeProcessor().simple_merge_p2p  # a region of one shape is as good as merged
        n += sum(not merge([polygon], False, False) for polygon in region.with_area(0, False).each())
    return n


def _placed(top: db.Cell, index: int, box: db.Box | None) -> int:
    """At least how many shapes of a layer are placed below a cell, in a box; exact up to the limit of a reading."""
    layout, called = top.layout(), {top.cell_index(), *top.called_cells()}
    counts: dict[int, int] = {}
    for number in layout.each_cell_bottom_up():
        if number in called:
            cell = layout.cell(number)
            below = ((placed.size(), counts[placed.cell_index]) for placed in cell.each_inst())
            counts[number] = cell.shapes(index).size() + sum(n * inside for n, inside in below)
    if box is None or counts[top.cell_index()] <= MAX_SHAPES:
        return counts[top.cell_index()]
    n, waiting = 0, [(top, box)]
    while waiting and n <= MAX_SHAPES:
        cell, here = waiting.pop()
        n += _FEW // 4  # looking into a cell costs more than a shape
        n += sum(1 for _ in itertools.islice(cell.shapes(index).each_touching(here), MAX_SHAPES))
        for placed in cell.each_touching_inst(here):
            if not (inside := counts[placed.cell_index]):
                continue
            whole = placed.bbox(index).inside(here)
            indexes = None if whole else _elements(placed, index, here)
            if indexes is None or len(indexes[0]) * len(indexes[1]) > _FEW:
                elements = placed.size() if indexes is None else len(indexes[0]) * len(indexes[1])
                n += elements * inside
            else:
                waiting += [(placed.cell, box) for box in _into(placed, indexes, here)]
    return n


def _elements(placed: db.Instance, index: int, box: db.Box) -> tuple[range, range] | None:
    """Columns and rows of an array that may touch a box; None for an array that lies in no order."""
    if not placed.is_regular_array():
        return range(1), range(1)
    a, b = placed.a, placed.b
    cross = a.x * b.y - a.y * b.x
    columns, rows = max(placed.na, 1), max(placed.nb, 1)
    if cross == 0:
        return None
    first = placed.cplx_trans * placed.cell.bbox(index)
    moves = [
        (x, y)
        for x in (box.left - first.right, box.right - first.left)
        for y in (box.bottom - first.top, box.top - first.bottom)
    ]
    along = [(x * b.y - y * b.x) / cross for x, y in moves], [(a.x * y - a.y * x) / cross for x, y in moves]
    return tuple(
        range(max(0, math.floor(min(at))), min(count, math.ceil(max(at)) + 1))
        for at, count in zip(along, (columns, rows), strict=True)
    )


def _into(placed: db.Instance, indexes: tuple[range, range], box: db.Box) -> Iterator[db.Box]:
    """The box in the coordinates of each of some elements of an array."""
    for column, row in itertools.product(*indexes):
        move = placed.a * column + placed.b * row
        place = db.ICplxTrans(move.x, move.y) * placed.cplx_trans
        yield (place.inverted() * box).enlarged(2, 2)
