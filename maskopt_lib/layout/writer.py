"""Layouts and masks as GDS and OASIS files, by KLayout: the one way out.

A file is in place when what was read back from it is what was to be written; equal masks are equal files.
"""

import re
import struct
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from klayout import db

from maskopt_lib import files
from maskopt_lib.errors import LayoutError, LayoutWarning
from maskopt_lib.images import grey
from maskopt_lib.layout.contours import DATABASE_NM, VERTEX_TOLERANCE_NM, mask_polygons
from maskopt_lib.layout.guard import GDS_SUFFIXES, OASIS_SUFFIXES
from maskopt_lib.layout.layers import resolve_layer
from maskopt_lib.layout.reader import open_layout
from maskopt_lib.options import Finite, Positive, check

_UM_IN_NM = 1000.0
#: Vertices of one GDS polygon: an XY record holds 8191 points, the last one repeats the first.
GDS_MAX_POINTS = 8190
#: Largest layer and datatype of GDS, by its specification; many a reader takes what is beyond for a negative number.
_GDS_MAX_LAYER = 2**15 - 1
_MAX_COORDINATE = 2**31 - 1
# Letters of a cell's name in GDS.
_LONGEST_NAME = 32000
# Files may say boxes as polygons, arrays one by one, and a shape once; GDS has neither names of layers nor properties.
_SAME_SHAPES = (
    db.LayoutDiff.BoxesAsPolygons
    | db.LayoutDiff.PathsAsPolygons
    | db.LayoutDiff.FlattenArrayInsts
    | db.LayoutDiff.IgnoreDuplicates
    | db.LayoutDiff.NoLayerNames
    | db.LayoutDiff.NoProperties
    | db.LayoutDiff.NoTextDetails
    | db.LayoutDiff.NoTextOrientation
)


@dataclass(frozen=True, kw_only=True)
class WrittenMask:
    """What is in a file, read back from it.

    Attributes
    ----------
    path : the file.
    layer : (layer, datatype).
    polygons, vertices : of the mask.
    area_nm2 : of its polygons together.
    mask_area_nm2 : of the mask, the sum of its values; differs by what smoothing and simplifying changed.
    cells : placed cells that are shown with the mask.
    """

    path: Path
    layer: tuple[int, int]
    polygons: int
    vertices: int
    area_nm2: float
    mask_area_nm2: float
    cells: int = 0


def write_mask(
    mask,
    path: str | Path,
    pixel_nm: float = 1,
    *,
    layer: str | tuple[int, int] = (1, 0),
    contours: str = "smooth",
    vertex_tolerance_nm: float = VERTEX_TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
    origin_nm: tuple[float, float] = (0.0, 0.0),
    cell: str | None = None,
    process: str = "freepdk45",
    max_points: int = GDS_MAX_POINTS,
    beside: str | Path | None = None,
) -> WrittenMask:
    """A mask as polygons in a .gds or .oas file.

    Parameters
    ----------
    mask : (y, x) of 0 and 1, bool, or grey values in [0, 1]; array or tensor.
    path : the file; its suffix chooses the format.
    pixel_nm : side of a pixel in nm.
    layer : (layer, datatype), or a layer name of the process.
    contours, vertex_tolerance_nm, database_nm : as in `mask_rings`: "smooth" within the tolerance, "pixel" exact. The
        tolerance decides the number of vertices; `maskopt_lib.study.solvers.vertex_costs` shows what it costs.
    origin_nm : where the lower left corner of the mask lies in the layout; ``(-dx, -dy)`` of `Clip.offset_nm` puts a
        mask back onto the drawn clip. Must be on the database grid.
    cell : name of the cell, "MASK" by default; with ``beside`` the cell of that layout, its only top cell by default.
    process : whose layer names to use.
    max_points : GDS only: polygons of more vertices are cut.
    beside : a layout file: all of its cells and layers are written too, with the mask on a layer of its own in the top
        cell. The finer of the two database units is that of the file; the coarser must be a whole multiple of it.

    Returns
    -------
    Polygons, vertices and area as they are in the file. An empty mask gives a cell without polygons.

    Raises
    ------
    OptionError : a length or `max_points` is no number, or a pixel or unit not above 0.
    LayoutError : see `mask_rings`; an unknown suffix, a layer, a cell's name or coordinates that the format cannot
        hold; a folder that is not there; an origin off the grid; a layout whose unit does not fit, that uses the layer
        already, or that the file would replace.
    OSError : the file cannot be written to the end, or reads back otherwise; what was at the path stays.

    Notes
    -----
    No polygon has a hole or touches itself: shapes with holes are cut into abutting pieces. A read with
    ``placement=(0, 0)`` gives the mask where it was; with "pixel" contours its raster is the same bit by bit.

    Examples
    --------
    >>> import tempfile
    >>> mask = np.zeros((64, 64))
    >>> mask[10:40, 20:30] = 1
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = write_mask(mask, f"{folder}/mask.oas", pixel_nm=2, contours="pixel")
    >>> written.polygons, written.vertices, written.area_nm2
    (1, 4, 1200.0)
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise LayoutError(f"{path}: there is no folder {path.parent}; make it first")
    check(int, max_points=max_points)
    check(Finite, vertex_tolerance_nm=vertex_tolerance_nm)
    check(Positive, pixel_nm=pixel_nm, database_nm=database_nm)
    if not 5 <= max_points <= GDS_MAX_POINTS:
        raise LayoutError(f"max_points={max_points}, but GDS cuts polygons to 5 to {GDS_MAX_POINTS} vertices")
    pair = resolve_layer(layer, process)
    outlines = mask_polygons(
        mask, pixel_nm, contours=contours, vertex_tolerance_nm=vertex_tolerance_nm, database_nm=database_nm
    )
    shift = on_grid(origin_nm, database_nm)
    pieces = (np.rint(points / database_nm) + shift for points in outlines)
    if beside is None:
        layout, top = new_layout(database_nm, "MASK" if cell is None else cell)
    else:
        layout, top, units = opened_beside(beside, path, pair, database_nm=database_nm, cell=cell)
        pieces = (points * units for points in pieces)
    written = write_polygons(layout, top, pieces, path, layer=pair, max_points=max_points)
    return replace(written, mask_area_nm2=float(grey(mask).sum(dtype=float) * pixel_nm**2))


def on_grid(origin_nm: tuple[float, float], database_nm: float) -> np.ndarray:
    """(x, y) of an origin in database units."""
    try:
        shift = np.asarray(origin_nm, dtype=float) / database_nm
    except (TypeError, ValueError):
        shift = np.empty(0)
    if shift.shape != (2,) or not np.all(np.abs(shift - np.rint(shift)) <= 1e-6):
        raise LayoutError(f"origin_nm={origin_nm!r} is not (x, y) on the database grid of {database_nm:g} nm; round it")
    return np.rint(shift)


def new_layout(database_nm: float, cell: str) -> tuple[db.Layout, db.Cell]:
    """An empty layout and its top cell."""
    if not 1e-3 <= database_nm <= 1e3:
        raise LayoutError(f"database_nm={database_nm:g} is no unit of a mask; take 0.001 to 1000 nm")
    layout = db.Layout()
    layout.dbu = database_nm / _UM_IN_NM
    return layout, layout.create_cell(cell)


def write_polygons(
    layout: db.Layout,
    top: db.Cell,
    pieces: Iterable[np.ndarray],
    path: str | Path,
    *,
    layer: tuple[int, int],
    max_points: int = GDS_MAX_POINTS,
) -> WrittenMask:
    """Put a mask's polygons into a layout and write that.

    Parameters
    ----------
    layout, top : where the mask belongs, and what else is written with it.
    pieces : (n, 2) whole numbers in database units, polygons without holes.
    path, layer, max_points : as for :func:`write_mask`.
    """
    shapes = top.shapes(layout.layer(*layer))
    for points in pieces:
        if np.abs(points).max() > _MAX_COORDINATE:
            raise LayoutError(
                f"{path}: coordinates up to {np.abs(points).max():g} database units, the format holds "
                f"{_MAX_COORDINATE}; move origin_nm towards 0, or take a coarser database_nm than "
                f"{layout.dbu * _UM_IN_NM:g} nm"
            )
        shapes.insert(db.Polygon([db.Point(x, y) for x, y in points.astype(int).tolist()], True))
    back = write_layout(layout, path, max_points=max_points)
    drawn = db.Region(back.cell(top.name).begin_shapes_rec(back.layer(*layer)))
    drawn.merged_semantics = False
    polygons = list(drawn.each())
    area_nm2 = sum(polygon.area2() for polygon in polygons) / 2 * (layout.dbu * _UM_IN_NM) ** 2
    return WrittenMask(
        path=Path(path),
        layer=layer,
        polygons=len(polygons),
        vertices=sum(polygon.num_points() for polygon in polygons),
        area_nm2=round(area_nm2, 6),
        mask_area_nm2=area_nm2,
    )


def write_layout(layout: db.Layout, path: str | Path, *, max_points: int = GDS_MAX_POINTS) -> db.Layout:
    """Write a hierarchical layout as .oas or .gds; gives what was read back, and is in place when that is the same.

    Parameters
    ----------
    layout : GDS only: polygons of more than ``max_points`` vertices are cut in it.
    path : the file.

    Raises
    ------
    LayoutError : an unknown suffix; the format cannot hold a layer or the name of a cell.
    OSError : it cannot be written to the end; what was at the path stays.
    """
    path = Path(path)
    is_gds = path.suffix.lower() in GDS_SUFFIXES
    if not is_gds and path.suffix.lower() not in OASIS_SUFFIXES:
        known = " ".join(GDS_SUFFIXES + OASIS_SUFFIXES)
        raise LayoutError(f"{path}: cannot write the suffix {path.suffix!r}; known: {known}")
    for cell in layout.each_cell():
        if not re.fullmatch(f"[!-~]{{1,{_LONGEST_NAME}}}" if is_gds else r"[!-~]+", cell.name):
            raise LayoutError(
                f"{path}: cell {cell.name!r} cannot be written; take a name of ASCII letters, digits and signs "
                "without blanks"
            )
    if is_gds:
        _fit_gds(layout, path, max_points)
    else:
        _draw_round_paths(layout)
    options = db.SaveLayoutOptions()
    options.format = "GDS2" if is_gds else "OASIS"
    options.gds2_write_timestamps = False
    options.gds2_max_vertex_count = GDS_MAX_POINTS
    options.oasis_write_cblocks = True
    back = db.Layout()

    def check(written: Path) -> None:
        back.read(str(written))
        for info in layout.layer_infos():  # a file has no layers without shapes
            back.layer(info)
        if not db.LayoutDiff().compare(layout, back, _SAME_SHAPES):
            raise files.not_as_written(path)

    try:
        with files.replacing(path, check=check) as beside:
            layout.write(str(beside), options)
            if not is_gds:
                _seal(beside)
    except RuntimeError as error:  # KLayout's word for a full disk, and for half a file
        raise files.not_as_written(path) from error
    return back


def _fit_gds(layout: db.Layout, path: Path, max_points: int) -> None:
    """Cut what is too long for GDS, refuse layers that it cannot hold."""
    for index, info in zip(layout.layer_indexes(), layout.layer_infos(), strict=True):
        if max(info.layer, info.datatype) > _GDS_MAX_LAYER:
            raise LayoutError(
                f"{path}: GDS has layers and datatypes from 0 to {_GDS_MAX_LAYER}, not {info.layer}/{info.datatype}; "
                "take such a one, or write OASIS (.oas)"
            )
        for cell in layout.each_cell():
            shapes = cell.shapes(index)
            for shape in [s for s in shapes.each(db.Shapes.SPolygons) if s.polygon.num_points() > max_points]:
                waiting = [shape.polygon]
                shape.delete()
                while waiting:
                    polygon = waiting.pop()
                    if polygon.num_points() > max_points:
                        waiting += polygon.split()
                    else:
                        shapes.insert(polygon)


def _draw_round_paths(layout: db.Layout) -> None:
    """Polygons in the place of paths with round ends, which OASIS does not have, and which turn with the unit."""
    for cell in layout.each_cell():
        for index in layout.layer_indexes():
            shapes = cell.shapes(index)
            for shape in [s for s in shapes.each(db.Shapes.SPaths) if s.round_path]:
                shape.polygon = shape.polygon


def _seal(path: Path) -> None:
    """Write the checksum that OASIS knows, and KLayout leaves out, into the last record: readers then see damage."""
    data = path.read_bytes()
    # KLayout fills its last 256 bytes with the length of an empty string, 0x80 .. 0x80 0x00, before the validation
    # scheme: 0 is none, 1 a CRC32 of all before it. Half a file has no such end, and does not read back.
    if data.endswith(b"\x80\x80\x80\x80\x00\x00"):
        data = data[:-6] + b"\x00\x01"
        path.write_bytes(data + struct.pack("<I", zlib.crc32(data)))


def writable_names(layout: db.Layout) -> None:
    """Rename cells of a layout that was read whose names no file of ours can hold, see :func:`writable_name`."""
    renamed = []
    for cell in layout.each_cell():
        if (name := writable_name(cell.name)) != cell.name:
            renamed.append(cell.name)
            cell.name = name if layout.cell(name) is None else layout.unique_cell_name(name)
    if renamed:
        text = f"cells {', '.join(map(repr, renamed[:5]))}: blanks and letters that are not ASCII are written as _"
        warnings.warn(text, LayoutWarning, stacklevel=4)


def writable_name(name: str) -> str:
    """Name of a cell as OASIS and GDS take it.

    Examples
    --------
    >>> writable_name("My cell")
    'My_cell'
    """
    return re.sub(r"[^!-~]", "_", name[:_LONGEST_NAME]) or "_"


def opened_beside(
    beside: str | Path, path: str | Path, layer: tuple[int, int], *, database_nm: float, cell: str | None = None
) -> tuple[db.Layout, db.Cell, int]:
    """A layout for a mask on a layer of its own, the cell for it, and the layout's units in one of the mask's.

    See ``beside`` of :func:`write_mask`.
    """
    if Path(beside).resolve() == Path(path).resolve():
        raise LayoutError(f"{path} is the layout itself; write the mask beside it to another file")
    layout = open_layout(beside, db.LoadLayoutOptions())
    tops = {item.name: item for item in layout.top_cells()}
    if cell is None and len(tops) != 1:
        raise LayoutError(f"{beside}: {len(tops)} top cells ({', '.join(tops) or 'none'}); choose one with cell=")
    top = next(iter(tops.values())) if cell is None else layout.cell(cell)
    if top is None:
        raise LayoutError(f"{beside}: no cell {cell!r}; its top cells are {', '.join(tops)}")
    unit_nm = layout.dbu * _UM_IN_NM
    coarser, finer = max(unit_nm, database_nm), min(unit_nm, database_nm)
    factor = round(coarser / finer)
    if abs(coarser / finer - factor) > 1e-6:
        raise LayoutError(
            f"{beside}: its database unit of {unit_nm:g} nm and database_nm={database_nm:g} do not fit each other; "
            f"take database_nm={unit_nm:g}, a half, a third, ... or a whole multiple of it"
        )
    if unit_nm > database_nm:
        _draw_round_paths(layout)
        reach = max(abs(v) for c in layout.each_cell() for b in [c.bbox()] for v in (b.left, b.bottom, b.right, b.top))
        if reach * factor > _MAX_COORDINATE:
            raise LayoutError(
                f"{beside}: coordinates up to {reach * unit_nm:g} nm do not fit a unit of {database_nm:g} nm; take "
                f"database_nm={unit_nm:g}"
            )
        layout.transform(db.ICplxTrans(float(factor)))
        layout.dbu, factor = database_nm / _UM_IN_NM, 1
    if not top.bbox(layout.layer(*layer)).empty():
        raise LayoutError(f"{beside}: layer {layer} has shapes already; write the mask on another layer")
    writable_names(layout)
    return layout, top, factor
