"""GLP, the text format of the ICCAD 2013 contest.

::

    BEGIN     /* comment */
    EQUIV  1  1000  MICRON  +X,+Y        one unit is 1/1000 micron
    CNAME Temp_Top
    LEVEL M1                             a layer of the file
    CELL Temp_Top PRIME
       RECT N M1  80  492  452  88       x y width height
       PGON N M1  216  80  304  80 ...   x1 y1 x2 y2 ..., closed by itself
    ENDMSG

``N M1`` (orientation and layer) may be left out where the file has one ``LEVEL``. Every line is read or refused.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maskopt_lib.errors import LayoutError, MissingDataError
from maskopt_lib.layout.polygons import fault_of
from maskopt_lib.options import LARGEST

_Refuse = Callable[[str], LayoutError]
_UNITS_NM = {"MICRON": 1000.0, "MICRONS": 1000.0, "UM": 1000.0, "NM": 1.0, "NANOMETER": 1.0}


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One shape of a file: its points in nm, its layer, and the words that say where it stands."""

    points: np.ndarray
    layer: str | tuple[int, int]
    where: str


@dataclass(frozen=True, kw_only=True)
class GlpFile:
    """Shapes of a GLP file in the order of its lines, and the layers it declares."""

    shapes: tuple[Shape, ...]
    levels: tuple[str, ...]


def read_glp(path: Path, *, grid_nm: float | None = 1.0) -> GlpFile:
    """All shapes of a GLP file.

    Parameters
    ----------
    path : the file.
    grid_nm : every coordinate must be a multiple of it; None accepts any number.

    Raises
    ------
    LayoutError : names file and line, what was found there, and what to do.
    MissingDataError : no such file.
    """
    if not Path(path).is_file():
        raise MissingDataError(f"no layout at {path} (looked in {Path.cwd()}); check the path")
    try:
        text = Path(path).read_bytes().decode("ascii")
    except UnicodeDecodeError as error:
        raise LayoutError(
            f"{path}: byte {error.start} is not ASCII, so this is no GLP file; .gds and .oas files are read by suffix"
        ) from None
    text = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), text, flags=re.DOTALL)
    lines = text.splitlines()
    unit_nm, levels, shapes, begun, ended = None, [], [], False, False

    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        key, rest = words[0], words[1:]
        refuse = partial(_refused, path, number)
        if ended:
            raise refuse(f"{line.strip()[:40]!r} stands after ENDMSG; give each GLP message its own file")
        if not begun and key != "BEGIN":
            raise refuse(f"expected BEGIN, found {key[:40]!r}; a GLP file starts with BEGIN and ends with ENDMSG")
        if key == "BEGIN":
            if begun:
                raise refuse("a second BEGIN; give each GLP message its own file")
            begun = True
        elif key == "EQUIV":
            unit_nm = _unit_nm(rest, refuse)
        elif key == "LEVEL":
            if len(rest) != 1:
                raise refuse(f"expected LEVEL and one name, found {len(rest)} words")
            levels.append(rest[0])
        elif key in ("CNAME", "CELL"):
            pass  # names without geometry
        elif key == "ENDMSG":
            ended = True
        elif key in ("RECT", "PGON"):
            if unit_nm is None:
                raise refuse(f"{key} before EQUIV, so the unit is unknown; add 'EQUIV  1  1000  MICRON  +X,+Y'")
            layer, numbers = _split_shape(key, rest, levels, refuse)
            points = _points(key, numbers, unit_nm, grid_nm, refuse)
            shapes.append(Shape(points=points, layer=layer, where=f"line {number}"))
        else:
            raise refuse(f"unknown word {key[:40]!r}; known: BEGIN EQUIV CNAME LEVEL CELL RECT PGON ENDMSG")
    if not ended:
        raise LayoutError(f"{path}: it ends after line {len(lines)} without ENDMSG, so it is truncated; fetch it again")
    return GlpFile(shapes=tuple(shapes), levels=tuple(levels))


def _refused(path: Path, number: int, problem: str) -> LayoutError:
    return LayoutError(f"{path}, line {number}: {problem}")


def _unit_nm(rest: list[str], refuse: _Refuse) -> float:
    try:
        numerator, denominator = float(rest[0]), float(rest[1])
        unit_nm = numerator / denominator * _UNITS_NM[rest[2].upper()]
        if not (unit_nm > 0 and np.isfinite(unit_nm)):
            raise ValueError
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        raise refuse(f"cannot read the unit 'EQUIV {' '.join(rest)}'; expected 'EQUIV  1  1000  MICRON'") from None
    if len(rest) > 3 and rest[3:] != ["+X,+Y"]:
        raise refuse(f"axes {' '.join(rest[3:])!r}; only '+X,+Y' (x to the right, y up) is read")
    return unit_nm


def _split_shape(key: str, rest: list[str], levels: list[str], refuse: _Refuse) -> tuple[str, list[str]]:
    if rest and _is_number(rest[0]):
        if len(levels) != 1:
            raise refuse(
                f"{key} without a layer in a file with {len(levels)} LEVEL lines; write '{key} N <layer> ...' "
                "or declare exactly one LEVEL"
            )
        return levels[0], rest
    if len(rest) < 2 or _is_number(rest[1]):
        raise refuse(f"expected '{key} N <layer> numbers', found {' '.join([key, *rest])[:40]!r}")
    if rest[0] != "N":
        raise refuse(f"orientation {rest[0]!r}; only N (not turned, not mirrored) is read")
    return rest[1], rest[2:]


def _points(key: str, words: list[str], unit_nm: float, grid_nm: float | None, refuse: _Refuse) -> np.ndarray:
    for word in words:
        if not _is_number(word):
            raise refuse(f"{word!r} is not a number; {key} takes numbers after its layer")
    values = np.array([float(word) for word in words]) * unit_nm
    if unit_nm == 1:
        values = np.array([float(word) for word in words])
    if not np.abs(values).max(initial=0.0) <= LARGEST:
        raise refuse(
            f"a coordinate of {np.abs(values).max():g} nm, where {LARGEST:g} nm are the most; is a blank missing?"
        )
    if grid_nm is not None:
        off = np.flatnonzero(np.abs(values / grid_nm - np.rint(values / grid_nm)) > 1e-6)
        if off.size:
            raise refuse(
                f"coordinate {words[off[0]]} is {values[off[0]]:g} nm, off the grid of {grid_nm:g} nm; "
                "snap it, or pass another grid_nm (None accepts any)"
            )
        values = np.rint(values / grid_nm) * grid_nm
    if key == "RECT":
        if values.size != 4:
            raise refuse(f"RECT takes x y width height, found {values.size} numbers")
        x, y, width, height = values
        if width <= 0 or height <= 0:
            raise refuse(f"RECT of {width:g} x {height:g} nm has no area; give a positive width and height")
        return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)])
    if values.size % 2:
        raise refuse(f"PGON has {values.size} numbers, an odd count; points are pairs x y")
    points = values.reshape(-1, 2)
    if len(points) > 1 and np.array_equal(points[0], points[-1]):  # written closed: the point says nothing new
        points = points[:-1]
    elif len(points) >= 3:
        step = np.diff(points, axis=0)
        closing = points[0] - points[-1]
        if np.all((step == 0).any(axis=1)) and np.all(closing != 0):
            raise refuse(
                f"open polygon: all edges run along x or y, but the last point ({points[-1][0]:g}, "
                f"{points[-1][1]:g}) does not meet the first ({points[0][0]:g}, {points[0][1]:g}) so; add the missing "
                "point, or repeat the first point at the end if the slanted edge is meant"
            )
    if fault := fault_of(points):
        raise refuse(f"PGON of {len(points)} points: {fault}; draw it as one simple outline, or as several")
    return points


def _is_number(word: str) -> bool:
    return re.fullmatch(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", word) is not None
