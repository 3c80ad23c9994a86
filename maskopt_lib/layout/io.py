"""GDS and OASIS in, by gdstk."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path

import gdstk
import numpy as np

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.glp import Shape
from maskopt_lib.layout.layers import resolve_layer
from maskopt_lib.layout.polygons import fault_of, to_nm

_NM = 1e-9  # metres
GDS_SUFFIXES = (".gds", ".gdsii", ".gds2")
OASIS_SUFFIXES = (".oas", ".oasis")
SUFFIXES = (".glp", *GDS_SUFFIXES, *OASIS_SUFFIXES)
# Record types of GDS: number and kind of data, as in the stream.
_GDS_HEADER, _GDS_ENDLIB, _GDS_BOUNDARY, _GDS_XY, _GDS_ENDEL = 0x0002, 0x0400, 0x0800, 0x1003, 0x1100
_OASIS_MAGIC = b"%SEMI-OASIS\r\n"
_OASIS_END_BYTES = 256


def read_shapes(
    path: Path,
    layer: str | tuple[int, int] | None,
    *,
    cell: str | None = None,
    process: str = "freepdk45",
    grid_nm: float | None = None,
    region_nm: tuple[float, float, float, float] | None = None,
    window_nm: float | None = None,
) -> tuple[list[Shape], str | tuple[int, int]]:
    """Polygons of one layer of a GDS or OASIS file in nm, references and paths resolved.

    Parameters
    ----------
    path, layer, cell, process, grid_nm, region_nm : as in `read_clip`; a region leaves out what lies outside, uncut.
    window_nm : without a region, refuse a layer that spans more, before its polygons are looked at one by one.

    Returns
    -------
    The shapes and the layer as asked for (the only one there is, if none was).

    Raises
    ------
    LayoutError : names the file, the polygon by its number, and the remedy.
    """
    path = Path(path)
    is_gds = path.suffix.lower() in GDS_SUFFIXES
    library = _load(path, is_gds)
    source = _cell(path, library, cell)
    pair = _layer_in(path, source, layer, process)
    dbu_nm = library.precision / _NM
    polygons = source.get_polygons(layer=pair[0], datatype=pair[1])
    if region_nm is None and window_nm is not None:
        _check_span(path, source, polygons, window_nm)
    shapes = []
    for index, polygon in enumerate(polygons):
        (x0, y0), (x1, y1) = polygon.bounding_box()
        if region_nm is not None and (
            x1 <= region_nm[0] or y1 <= region_nm[1] or x0 >= region_nm[2] or y0 >= region_nm[3]
        ):
            continue
        where = f"cell {source.name}, polygon {index}"
        units = np.rint(polygon.points / dbu_nm)  # gdstk turns integers into floats: make them whole again
        units = _without_repeats(units)
        fault = fault_of(units, keyholes=True, unit_nm=dbu_nm)
        if fault:
            raise LayoutError(f"{path}, {where}: {fault}; merge it in a layout tool (boolean OR with itself)")
        points = to_nm(units, dbu_nm)
        if grid_nm is not None:
            off = np.abs(points / grid_nm - np.rint(points / grid_nm)) > 1e-6
            if off.any():
                raise LayoutError(
                    f"{path}, {where}: coordinate {points[off][0]:g} nm is off the grid of {grid_nm:g} nm; snap it, or "
                    f"pass another grid_nm (the file's own is {dbu_nm:g} nm; None accepts any)"
                )
        shapes.append(Shape(points=points, layer=pair, where=where))
    if not shapes:
        place = f" in region_nm={tuple(region_nm)}" if region_nm is not None else ""
        raise LayoutError(f"{path}: layer {_called(pair, layer)} has no polygon{place}; the clip is empty")
    return shapes, layer if layer is not None else pair


def _called(pair, layer) -> str:
    return f"{layer!r} {pair}" if isinstance(layer, str) else f"{pair}"


def _check_span(path: Path, cell: gdstk.Cell, polygons: Sequence[gdstk.Polygon], window_nm: float) -> None:
    if not polygons:
        return
    boxes = np.array([polygon.bounding_box() for polygon in polygons])
    spans = boxes[:, 1].max(axis=0) - boxes[:, 0].min(axis=0)
    if spans.max() > window_nm + 1e-6:
        raise LayoutError(
            f"{path}, cell {cell.name}: its {len(polygons)} polygons span more than the window of {window_nm:g} nm; "
            f"the clip is {spans[0]:g} x {spans[1]:g} nm: give a window_nm of at least {spans.max():g}, or cut "
            "a part out with region_nm=(x0, y0, x1, y1)"
        )


def _without_repeats(points: np.ndarray) -> np.ndarray:
    """The same outline without points that repeat the one before; writers of GDS repeat them freely."""
    return points[np.any(points != np.roll(points, 1, axis=0), axis=1)] if len(points) > 1 else points


def _load(path: Path, is_gds: bool) -> gdstk.Library:
    data = path.read_bytes()
    # gdstk reads on past the end of some broken OASIS files, so a file is checked before it gets there.
    fault = _gds_fault(data) if is_gds else _oasis_fault(data)
    if fault:
        raise LayoutError(f"{path}: {fault}")
    if not is_gds and gdstk.oas_validate(path)[0] is False:  # None: no checksum to compare
        raise LayoutError(f"{path}: damaged: its checksum does not match its contents; fetch or export it again")
    try:
        return gdstk.read_gds(path, unit=_NM) if is_gds else gdstk.read_oas(path, unit=_NM)
    except (OSError, RuntimeError) as error:
        raise LayoutError(f"{path}: gdstk cannot read it ({error}); export it again") from error


def _gds_fault(data: bytes) -> str | None:
    """Walk the records of a GDS stream; words for what is broken, or None."""
    if len(data) < 4 or struct.unpack_from(">H", data, 2)[0] != _GDS_HEADER:
        return f"no GDS header in its {len(data)} bytes; is it a GDS file?"
    position, boundaries, ends = 0, 0, None
    while position + 4 <= len(data):
        length, kind = struct.unpack_from(">HH", data, position)
        if length < 4 or length % 2:
            return f"damaged: the record at byte {position} says it is {length} bytes long; export it again"
        if kind == _GDS_ENDLIB:
            return None
        if kind == _GDS_BOUNDARY:
            boundaries, ends = boundaries + 1, []
        elif kind == _GDS_XY and ends is not None and length >= 12:
            ends += [data[position + 4 : position + 12], data[position + length - 8 : position + length]]
        elif kind == _GDS_ENDEL:
            if ends and ends[0] != ends[-1]:  # gdstk would close it without a word
                first, last = struct.unpack(">2i", ends[0]), struct.unpack(">2i", ends[-1])
                return (
                    f"boundary {boundaries - 1}, ending at byte {position}: open polygon, its last point {last} is not "
                    f"its first {first} (database units); GDS repeats the first point at the end: close it"
                )
            ends = None
        position += length
    return f"truncated: it ends after {len(data)} bytes without ENDLIB; fetch or export it again"


def _oasis_fault(data: bytes) -> str | None:
    """Check the two ends of an OASIS file; words for what is broken, or None."""
    if not data.startswith(_OASIS_MAGIC):
        return f"no OASIS header in its {len(data)} bytes; is it an OASIS file?"
    truncated = (
        f"truncated: the last {_OASIS_END_BYTES} of its {len(data)} bytes are no END record; fetch or export it again"
    )
    if len(data) < len(_OASIS_MAGIC) + _OASIS_END_BYTES:
        return truncated
    end = data[-_OASIS_END_BYTES:]
    position = 1
    try:
        if end[0] != 2:
            return truncated
        if not _offsets_in_start(data):
            for _ in range(12):
                _, position = _unsigned(end, position)
        padding, position = _unsigned(end, position)
        position += padding
        scheme = end[position]
        if scheme > 2 or position + 1 + (4 if scheme else 0) != _OASIS_END_BYTES:
            return truncated
    except IndexError:
        return truncated
    return None


def _offsets_in_start(data: bytes) -> bool:
    """Whether the START record carries the table offsets (then the END record does not)."""
    position = len(_OASIS_MAGIC) + 1
    length, position = _unsigned(data, position)
    position += length
    kind, position = _unsigned(data, position)  # the unit, a real number of type 0..7
    for _ in range({0: 1, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2}.get(kind, 0)):
        _, position = _unsigned(data, position)
    position += {6: 4, 7: 8}.get(kind, 0)
    return _unsigned(data, position)[0] == 0


def _unsigned(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position


def _cell(path: Path, library: gdstk.Library, cell: str | None) -> gdstk.Cell:
    cells = {item.name: item for item in library.cells}
    if cell is not None:
        if cell not in cells:
            raise LayoutError(f"{path}: no cell {cell!r}; it has {_some(cells)}")
        return cells[cell]
    top = [item for item in library.top_level() if isinstance(item, gdstk.Cell)]
    if len(top) != 1:
        raise LayoutError(f"{path}: {len(top)} top cells ({_some([c.name for c in top])}); choose one with cell=")
    return top[0]


def _some(names) -> str:
    names, limit = list(names), 12
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return (", ".join(str(name) for name in names[:limit]) or "none") + more


def _layer_in(path: Path, cell: gdstk.Cell, layer, process: str) -> tuple[int, int]:
    used = sorted({(p.layer, p.datatype) for p in cell.get_polygons()})
    if not used:
        raise LayoutError(f"{path}: cell {cell.name} has no polygon, the clip is empty; choose another cell")
    if layer is None:
        if len(used) > 1:
            raise LayoutError(f"{path}: polygons on several layers, {_some(used)}; choose one with layer=")
        return used[0]
    try:
        pair = resolve_layer(layer, process)
    except LayoutError as error:
        raise LayoutError(f"{path}: {error}; layers with polygons: {_some(used)}") from None
    if pair not in used:
        raise LayoutError(f"{path}: no polygon on layer {_called(pair, layer)}; layers with polygons: {_some(used)}")
    return pair
