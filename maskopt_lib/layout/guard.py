"""What a layout file is made of, looked at before a reader expands it: records, ends, checksums, arrays."""

import gzip
import re
import signal
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path

from maskopt_lib.errors import LayoutError, LayoutWarning

GDS_SUFFIXES = (".gds", ".gdsii", ".gds2")
OASIS_SUFFIXES = (".oas", ".oasis")
#: Of layouts; GDS and OASIS may be compressed, with .gz behind it.
SUFFIXES = (".glp", *GDS_SUFFIXES, *OASIS_SUFFIXES)
# Record types of GDS: number and kind of data, as in the stream.
_HEADER, _ENDLIB, _BOUNDARY, _XY, _ENDEL, _COLROW, _STRANS = 0x0002, 0x0400, 0x0800, 0x1003, 0x1100, 0x1302, 0x1A01
_ABSOLUTE = 0x0006  # bits of STRANS: magnification and angle are not those of the cell above
_GDS_MAGIC, _OASIS_MAGIC, _GZIP_MAGIC = b"\x00\x06\x00\x02", b"%SEMI-OASIS\r\n", b"\x1f\x8b"
_OASIS_END_BYTES, _START_BYTES = 256, 4096  # a START record has a version and a unit
# Compressed layouts are some ten times smaller than what they hold; more than this is no layout.
_MAX_RATIO, _MAX_SMALL_BYTES = 100, 32 << 20
#: Elements of one array, of a file or of a via, that a reader may have to place one by one.
MAX_ELEMENTS = 1_000_000
# An OASIS file of n bytes without compression cannot repeat more than n^2/24 shapes.
_HARMLESS_OASIS_BYTES = 4096
# What a reader may take of memory, and of time, in a process of its own; both grow with the file.
_PROBE = """
import sys
from klayout import db
try:
    import resource
    for what, most in ((resource.RLIMIT_AS, int(sys.argv[2])), (resource.RLIMIT_CPU, int(sys.argv[3]))):
        # Nobody may raise what the user's shell or a batch system has set.
        hard = resource.getrlimit(what)[1]
        resource.setrlimit(what, (most, hard) if hard == resource.RLIM_INFINITY else (min(most, hard), hard))
except ImportError:
    pass
options = db.LoadLayoutOptions()
options.warn_level = 0
try:
    db.Layout(False).read(sys.argv[1], options)
except Exception as error:
    sys.exit(3 if "bad_alloc" in str(error) or isinstance(error, MemoryError) else 0)
"""
_PROBE_BYTES, _PROBE_S = 900 << 20, 20
_OUT_OF_TIME = getattr(signal, "SIGXCPU", 24)
# The time is that of the processor: on a busy machine it passes slowly, and no good file may be refused for that.
_PATIENCE = 30


def check_file(path: Path) -> None:
    """Refuse a GDS, OASIS or DEF file, or such a file in gzip, that is damaged or would grow beyond all bounds.

    Raises
    ------
    LayoutError : names file and place, what was found there, and what to do.

    Warns
    -----
    LayoutWarning : something follows the end of the library, which no reader reads.
    """
    data = path.read_bytes()
    if data.startswith(_GZIP_MAGIC):
        data = _inflated(path, len(data))
    if data.startswith(_GDS_MAGIC):
        _check_gds(path, data)
    elif data.startswith(_OASIS_MAGIC):
        _check_oasis(path, data)
        if len(data) > _HARMLESS_OASIS_BYTES or b"\x22\x00" in data:  # the record of a compressed block
            _probe(path, len(data))
    elif Path(path.name.removesuffix(".gz")).suffix.lower() == ".def":
        _check_def(path, data)
    else:
        raise LayoutError(f"{path}: no GDS or OASIS header in its {len(data)} bytes; is it a GDS or OASIS file?")


def _inflated(path: Path, n_bytes: int) -> bytes:
    limit = max(_MAX_SMALL_BYTES, _MAX_RATIO * n_bytes)
    try:
        with gzip.open(path) as stream:
            data = stream.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise LayoutError(f"{path}: damaged or truncated gzip ({error}); fetch or export it again") from error
    if len(data) > limit:
        raise LayoutError(f"{path}: its {n_bytes} bytes inflate to more than {limit}, as no layout does; export again")
    return data


def _check_gds(path: Path, data: bytes) -> None:
    """Walk the records of a GDS stream."""
    unpack, size = struct.Struct(">HH").unpack_from, len(data)
    position, boundaries, array, ends = 0, 0, (1, 1), None
    while position + 4 <= size:
        length, kind = unpack(data, position)
        if length < 4 or length % 2:
            raise LayoutError(f"{path}: damaged: the record at byte {position} claims {length} bytes; export it again")
        if kind == _ENDLIB:
            if data[position + length :].strip(b"\0"):
                after = "another library" if _GDS_MAGIC in data[position + length :] else "something else"
                warnings.warn(f"{path}: {after} follows its end, which is not read", LayoutWarning, stacklevel=4)
            return
        if kind == _BOUNDARY:
            boundaries, ends = boundaries + 1, []
        elif kind == _XY and ends is not None and length >= 12:
            ends += [data[position + 4 : position + 12], data[position + length - 8 : position + length]]
        elif kind == _ENDEL:
            if ends and ends[0] != ends[-1]:  # readers would close it without a word
                first, last = struct.unpack(">2i", ends[0]), struct.unpack(">2i", ends[-1])
                raise LayoutError(
                    f"{path}: boundary {boundaries - 1}, ending at byte {position}: open polygon, its last point "
                    f"{last} is not its first {first} (database units); GDS repeats the first point: close it"
                )
            ends, array = None, (1, 1)
        elif kind == _COLROW and length == 8:
            array = struct.unpack_from(">2H", data, position + 4)
        elif kind == _XY and array[0] * array[1] > MAX_ELEMENTS and length == 28:
            x, y, *ends_xy = struct.unpack_from(">6i", data, position + 4)
            counts = (array[0], array[0], array[1], array[1])
            steps = [(end - start) % max(n, 1) for end, start, n in zip(ends_xy, (x, y) * 2, counts, strict=True)]
            if any(steps):  # a reader places each element by itself, rounded
                raise LayoutError(
                    f"{path}: the array of {array[0]} x {array[1]} at byte {position} has a pitch between units; "
                    f"at most {MAX_ELEMENTS} such elements are read: arrays without bound"
                )
        elif kind == _STRANS and length == 6 and data[position + 5] & _ABSOLUTE:
            raise LayoutError(
                f"{path}: the reference at byte {position} has an absolute magnification or angle, which tools read "
                "differently; write it relative to the cell above"
            )
        position += length
    raise LayoutError(f"{path}: truncated: it ends after {size} bytes without ENDLIB; fetch or export it again")


def _check_oasis(path: Path, data: bytes) -> None:
    """Check the two ends of an OASIS file, and its checksum."""
    truncated = LayoutError(
        f"{path}: truncated: the last {_OASIS_END_BYTES} of its {len(data)} bytes are no END record; fetch it again"
    )
    if len(data) < len(_OASIS_MAGIC) + _OASIS_END_BYTES:
        raise truncated
    end = data[-_OASIS_END_BYTES:]
    position = 1
    try:
        if end[0] != 2:
            raise truncated
        if not _offsets_in_start(data[:_START_BYTES]):
            for _ in range(12):
                _, position = _unsigned(end, position)
        padding, position = _unsigned(end, position)
        position += padding
        scheme = end[position]
    except IndexError:
        raise truncated from None
    if scheme > 2 or position + 1 + (4 if scheme else 0) != _OASIS_END_BYTES:
        raise truncated
    if scheme:
        found = zlib.crc32(data[:-4]) if scheme == 1 else sum(data[:-4]) & 0xFFFFFFFF
        if found != int.from_bytes(data[-4:], "little"):
            raise LayoutError(f"{path}: damaged: its checksum does not match its contents; fetch or export it again")


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


def _check_def(path: Path, data: bytes) -> None:
    """Vias and wires of a DEF that would be drawn a million times over."""
    for match in re.finditer(rb"\bROWCOL\s+(\d+)\s+(\d+)|\bDO\s+(\d+)\s+BY\s+(\d+)", data):
        rows, columns = (int(text[:12]) for text in match.groups() if text is not None)
        if rows * columns > MAX_ELEMENTS:
            raise LayoutError(
                f"{path}: '{match[0].decode()[:60]}' at byte {match.start()} draws {rows} x {columns} times; at most "
                f"{MAX_ELEMENTS} are read"
            )


def _probe(path: Path, n_bytes: int) -> None:
    """Read a file in a process of its own, which memory and time are limited for."""
    limit_bytes, limit_s = _PROBE_BYTES + 40 * n_bytes, _PROBE_S + n_bytes // 1_000_000
    command = [sys.executable, "-I", "-c", _PROBE, str(path), str(limit_bytes), str(limit_s)]
    try:
        ended = subprocess.run(command, capture_output=True, timeout=_PATIENCE * limit_s, check=False).returncode
    except subprocess.TimeoutExpired:
        ended = -_OUT_OF_TIME
    if ended != 0:
        what = {-_OUT_OF_TIME: f"take more than {limit_s} s", 3: f"grow to more than {limit_bytes >> 20} MB"}
        raise LayoutError(
            f"{path}: its {n_bytes} bytes {what.get(ended, 'end the process that reads them')}: damaged, or arrays "
            "without bound; export it again"
        )
