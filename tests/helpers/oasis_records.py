"""OASIS files record by record."""

from __future__ import annotations

import zlib

#: A RECTANGLE of 10 x 10 at the origin, layer 1, datatype 0; its second byte says which fields follow.
RECTANGLE = b"\x14\x7b\x01\x00\x0a\x0a\x00\x00"


def oasis(*cell: bytes, deflated: bool = False) -> bytes:
    """An OASIS file of one cell, TOP, in nm."""
    body = b"\x0e\x03TOP" + b"".join(cell)
    if deflated:
        squeezed = zlib.compressobj(9, wbits=-15)
        packed = squeezed.compress(body) + squeezed.flush()
        body = b"\x22\x00" + number(len(body)) + number(len(packed)) + packed
    padding = 256 - 1 - 2 - 1
    start = b"%SEMI-OASIS\r\n\x01\x031.0\x00" + number(1000) + bytes(13)
    return start + body + b"\x02" + number(padding) + bytes(padding) + b"\0"


def number(value: int) -> bytes:
    """An unsigned integer."""
    data = b""
    while value >= 0x80:
        data, value = data + bytes([value & 0x7F | 0x80]), value >> 7
    return data + bytes([value])
