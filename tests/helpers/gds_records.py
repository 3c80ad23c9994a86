"""GDS files record by record, as tools write them and as they should not; lengths in database units."""

from __future__ import annotations

import struct
from pathlib import Path

Point = tuple[int, int]


def record(kind: int, data: bytes = b"") -> bytes:
    """One record; its kind is type and kind of data."""
    data += b"\0" * (len(data) % 2)
    return struct.pack(">HH", 4 + len(data), kind) + data


def real(value: float) -> bytes:
    """An eight-byte real of GDS: sign, excess-64 exponent of 16, 56 bits of fraction."""
    sign, value, exponent = (0x80 if value < 0 else 0), abs(value), 64
    while value >= 1:
        value, exponent = value / 16, exponent + 1
    while value and value < 1 / 16:
        value, exponent = value * 16, exponent - 1
    return bytes([sign | exponent]) + round(value * 2**56).to_bytes(7, "big") if value else bytes(8)


def integers(kind: int, *values: int, size: str = "h") -> bytes:
    """A record of whole numbers of 16 or, with ``size="i"``, 32 bits."""
    return record(kind, struct.pack(f">{len(values)}{size}", *values))


def points(*xy: Point) -> bytes:
    """XY."""
    return integers(0x1003, *(value for point in xy for value in point), size="i")


def _shape(begin: int, layer: int, *parts: bytes, kind: int = 0x0E02) -> bytes:
    return record(begin) + integers(0x0D02, layer) + integers(kind, 0) + b"".join(parts) + record(0x1100)


def boundary(*corners: Point, layer: int = 1) -> bytes:
    """A polygon; its first point is repeated here."""
    return _shape(0x0800, layer, points(*corners, corners[0]))


def rectangle(x0: int, y0: int, x1: int, y1: int, layer: int = 1) -> bytes:
    """A polygon of four corners."""
    return boundary((x0, y0), (x0, y1), (x1, y1), (x1, y0), layer=layer)


def box(x0: int, y0: int, x1: int, y1: int) -> bytes:
    """A BOX record."""
    return _shape(0x2D00, 1, points((x0, y0), (x0, y1), (x1, y1), (x1, y0), (x0, y0)), kind=0x2E02)


def path(*spine: Point, width: int, kind: int = 0, begin: int | None = None, end: int | None = None) -> bytes:
    """A PATH of kind 0 (flush), 1 (round), 2 (half a width longer) or 4 (by ``begin`` and ``end``)."""
    parts = [integers(0x2102, kind), integers(0x0F03, width, size="i")]
    parts += [integers(code, value, size="i") for code, value in ((0x3003, begin), (0x3103, end)) if value is not None]
    return _shape(0x0900, 1, *parts, points(*spine))


def text(layer: int = 1) -> bytes:
    """A TEXT at the origin."""
    return _shape(0x0C00, layer, points((0, 0)), record(0x1906, b"note"), kind=0x1602)


def reference(
    cell: bytes,
    at: Point = (0, 0),
    *,
    array: tuple[int, int, Point, Point] | None = None,
    mirrored: bool = False,
    flags: int = 0,
    magnification: float | None = None,
    degrees: float | None = None,
) -> bytes:
    """A SREF, or with (columns, rows, end of the row, end of the column) an AREF."""
    placed = record(0x0B00 if array else 0x0A00) + record(0x1206, cell)
    if mirrored or flags or magnification or degrees:
        placed += record(0x1A01, struct.pack(">H", 0x8000 * mirrored | flags))
    placed += record(0x1B05, real(magnification)) if magnification else b""
    placed += record(0x1C05, real(degrees)) if degrees else b""
    if array:
        columns, rows, *ends = array
        return placed + integers(0x1302, columns, rows) + points(at, *ends) + record(0x1100)
    return placed + points(at) + record(0x1100)


def cell(*elements: bytes, name: bytes = b"TOP") -> bytes:
    """A cell."""
    return record(0x0502, bytes(24)) + record(0x0606, name) + b"".join(elements) + record(0x0700)


def library(*cells: bytes, unit_m: float = 1e-9, user_unit: float = 1e-3, name: bytes = b"LIB") -> bytes:
    """A whole stream."""
    units = record(0x0305, real(user_unit) + real(unit_m))
    start = integers(0x0002, 600) + record(0x0102, bytes(24)) + record(0x0206, name)
    return start + units + b"".join(cells) + record(0x0400)


def write(file: Path, *elements: bytes, **options) -> Path:
    """A file of one cell, TOP."""
    file.write_bytes(library(cell(*elements), **options))
    return file
