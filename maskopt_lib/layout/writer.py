"""Masks as GDS and OASIS files."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path

import gdstk
import numpy as np

from maskopt_lib import files
from maskopt_lib.errors import LayoutError
from maskopt_lib.images import grey
from maskopt_lib.layout.contours import DATABASE_NM, TOLERANCE_NM, mask_polygons
from maskopt_lib.layout.io import GDS_SUFFIXES, OASIS_SUFFIXES, _load
from maskopt_lib.layout.layers import resolve_layer
from maskopt_lib.layout.polygons import signed_area

_NM = 1e-9  # metres
_UM = 1e-6
#: Vertices of one GDS polygon: an XY record holds 8191 points, the last one repeats the first.
GDS_MAX_POINTS = 8190
# GDS stores when it was written; a fixed time keeps equal masks equal files.
_TIMESTAMP = datetime.datetime(2000, 1, 1)


@dataclass(frozen=True, kw_only=True)
class WrittenMask:
    """What `write_mask` wrote.

    Attributes
    ----------
    path : the file.
    layer : (layer, datatype).
    polygons, vertices : as they are in the file.
    area_nm2 : of all polygons together.
    mask_area_nm2 : of the mask, the sum of its values; differs by what smoothing and simplifying changed.
    """

    path: Path
    layer: tuple[int, int]
    polygons: int
    vertices: int
    area_nm2: float
    mask_area_nm2: float


def write_mask(
    mask,
    path: str | Path,
    pixel_nm: float = 1,
    *,
    layer: str | tuple[int, int] = (1, 0),
    contours: str = "smooth",
    tolerance_nm: float = TOLERANCE_NM,
    database_nm: float = DATABASE_NM,
    origin_nm: tuple[float, float] = (0.0, 0.0),
    cell: str = "MASK",
    process: str = "freepdk45",
    max_points: int = GDS_MAX_POINTS,
) -> WrittenMask:
    """A mask as polygons in a .gds or .oas file.

    Parameters
    ----------
    mask : (y, x) of 0 and 1, bool, or grey values in [0, 1]; array or tensor.
    path : the file; its suffix chooses the format. In place when what was read back has the same polygons.
    pixel_nm : side of a pixel in nm.
    layer : (layer, datatype), or a layer name of the process.
    contours, tolerance_nm, database_nm : as in `mask_rings`: "smooth" within the tolerance, "pixel" exact.
    origin_nm : where the lower left corner of the mask lies in the layout; ``(-dx, -dy)`` of `Clip.offset_nm` puts a
        mask back onto the drawn clip. Must be on the database grid.
    cell : name of the cell.
    process : whose layer names to use.
    max_points : GDS only: polygons of more vertices are cut.

    Returns
    -------
    Polygons, vertices and area as written. An empty mask gives a cell without polygons.

    Raises
    ------
    LayoutError : see `mask_rings`; unknown suffix or layer; a folder that is not there; an origin off the grid.
    OSError : the file cannot be written to the end; what was at the path stays.

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
    suffix = path.suffix.lower()
    if suffix not in GDS_SUFFIXES + OASIS_SUFFIXES:
        known = " ".join(GDS_SUFFIXES + OASIS_SUFFIXES)
        raise LayoutError(f"{path}: cannot write the suffix {suffix!r}; known: {known}")
    if not path.parent.is_dir():
        raise LayoutError(f"{path}: there is no folder {path.parent}; make it first")
    if max_points < 5:
        raise LayoutError(f"max_points={max_points}, but a polygon cannot be cut to fewer than 5 vertices")
    number, datatype = resolve_layer(layer, process)
    shift = np.asarray(origin_nm, dtype=float) / database_nm
    if shift.shape != (2,) or np.any(np.abs(shift - np.rint(shift)) > 1e-6):
        raise LayoutError(f"origin_nm={origin_nm!r} is not (x, y) on the database grid of {database_nm:g} nm; round it")
    outlines = mask_polygons(mask, pixel_nm, contours=contours, tolerance_nm=tolerance_nm, database_nm=database_nm)
    units = [np.rint(points / database_nm) + np.rint(shift) for points in outlines]
    if suffix in GDS_SUFFIXES:
        units = [piece for points in units for piece in _fractured(points, max_points)]
    library = gdstk.Library(unit=_UM, precision=database_nm * _NM)
    top = library.new_cell(cell)
    um = database_nm * _NM / _UM
    top.add(*(gdstk.Polygon(points * um, layer=number, datatype=datatype) for points in units))
    _write(library, path, is_gds=suffix in GDS_SUFFIXES)
    return WrittenMask(
        path=path,
        layer=(number, datatype),
        polygons=len(units),
        vertices=sum(len(points) for points in units),
        area_nm2=round(sum(signed_area(points) for points in units) * database_nm**2, 6),
        mask_area_nm2=float(grey(mask).sum(dtype=float) * pixel_nm**2),
    )


def _fractured(points: np.ndarray, max_points: int) -> list[np.ndarray]:
    if len(points) <= max_points:
        return [points]
    pieces = gdstk.Polygon(points).fracture(max_points, precision=1.0)
    pieces = [np.rint(piece.points) for piece in pieces]
    return [piece if signed_area(piece) > 0 else piece[::-1] for piece in pieces if signed_area(piece) != 0]


def _write(library: gdstk.Library, path: Path, *, is_gds: bool) -> None:
    """Write a library of one cell; it is in place when what was read back has the same polygons."""

    def check(written: Path) -> None:
        try:
            back = _load(written, is_gds)
        except LayoutError as error:  # gdstk says nothing of a full disk
            raise files.not_as_written(path) from error
        if not np.array_equal(_areas_boxes(back), _areas_boxes(library)):
            raise files.not_as_written(path)

    with files.replacing(path, check=check) as beside:
        if is_gds:
            library.write_gds(beside, max_points=0, timestamp=_TIMESTAMP)
        else:
            library.write_oas(beside, validation="crc32")


def _areas_boxes(library: gdstk.Library) -> np.ndarray:
    """(polygon, 5) area and bounding box of each polygon in database units, in an order of their own."""
    to_units = library.unit / library.precision
    polygons = [np.rint(p.points * to_units) for cell in library.cells for p in cell.polygons]
    rows = [(abs(signed_area(points)), *points.min(axis=0), *points.max(axis=0)) for points in polygons]
    return np.array(sorted(rows))
