"""Files and folders that are there whole or not at all: written beside their place, flushed, checked, put in place.

Whoever is killed leaves the old version, or the new one; what it had begun lies beside under a hidden name that tells
machine and process, and is swept once that process is gone.
"""

import ctypes
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from maskopt_lib.errors import DamagedFileError, MaskOptError

_SEAL = "sha256"
_HOST = re.sub(r"[^A-Za-z0-9]+", "_", socket.gethostname())
_LEFTOVER = re.compile(r"\.(?P<name>.+)\.(?P<kind>part|old)-(?:(?P<host>\w+)-)?(?P<pid>\d+)(?:-[0-9a-f]{8})?")
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux
# What a disk says that is full or broken: of the file that was to be, not of the one that is written beside it.
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def replacing(path: str | Path, *, check: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A place beside ``path`` to write a file or a folder to; it replaces what is there when the block ends well.

    Parameters
    ----------
    path : where the file or folder is to be; its parent is made.
    check : called with what was written, flushed to disk but not yet in place; raises where it is not as it should be.

    Raises
    ------
    OSError : the disk is full, or broken; names the path.

    Notes
    -----
    A reader finds the old version or the new one, never half of one, also when the writer is killed or the disk is
    full. A folder changes places with the old one in one step where the system can (Linux); elsewhere the old one is
    moved aside first, and :func:`restored` brings it back should the writer die just then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/a.txt") as beside:
    ...         _ = beside.write_text("whole")
    ...     Path(folder, "a.txt").read_text(), len(list(Path(folder).iterdir()))
    ('whole', 1)
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_kind(path)
    beside = _beside(path, "part")
    try:
        yield beside
        flush(beside)
        if check is not None:
            check(beside)
        put(beside, path)
    except OSError as error:
        if error.errno in _OF_THE_DISK and error.filename != str(path):
            raise OSError(error.errno, error.strerror or str(error), str(path)) from error
        raise
    finally:
        remove(beside)


def check_places(*paths: str | Path | None, read: Iterable[str | Path] = ()) -> None:
    """See now, before the work, that files can be written later, see :func:`check_place`, and none over another.

    Parameters
    ----------
    paths : the files; None is none.
    read : files that are read, none of which may be written over.

    Raises
    ------
    OSError : one cannot; names the path.
    """
    taken = {Path(path).resolve() for path in read}
    for path in filter(None, paths):
        if (place := Path(path).resolve()) in taken:
            raise FileExistsError(errno.EEXIST, "is read, or written twice; choose another name", str(path))
        check_place(path)
        taken.add(place)


def check_place(path: str | Path) -> None:
    """See now, before the work, that a file can be written later: its folder, which is made, takes one, and no folder
    has its name.

    Raises
    ------
    OSError : it cannot; names the path.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_kind(path)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is in the place of a file")
        beside = _beside(path, "part")
        try:
            beside.write_bytes(bytes(4096))  # a disk that is full takes an empty file
            flush(beside)
        finally:
            remove(beside)
    except OSError as error:
        raise type(error)(error.errno, error.strerror, str(path)) from error


def _check_kind(path: Path) -> None:
    """Devices and pipes are not replaced: who may would lose ``/dev/null``."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise FileExistsError(errno.EEXIST, "a device or pipe is in the place of a file", str(path))


def not_as_written(path: str | Path) -> OSError:
    """The error of a check that reads back something else than was to be written."""
    return OSError(errno.EIO, "what is on the disk is not what was written; is the disk full?", str(path))


@contextmanager
def reading(path: str | Path, remedy: str) -> Iterator[None]:
    """Whatever a library says in the block of a file that it cannot read becomes an error that names the file.

    Parameters
    ----------
    path : what is read; it is there.
    remedy : what to do about a damaged one.

    Raises
    ------
    DamagedFileError : of anything but the errors of this library.
    """
    try:
        yield
    except MaskOptError:
        raise
    except Exception as error:  # a damaged file makes a library fail in any way, out of memory among them
        found = " ".join(str(error).split())
        raise DamagedFileError(f"{path} cannot be read ({type(error).__name__}: {found:.200}); {remedy}") from error


def write_bytes(path: str | Path, data: bytes) -> None:
    """Write a file in one go, and read it back."""

    def check(written: Path) -> None:
        if written.read_bytes() != data:
            raise not_as_written(path)

    with replacing(path, check=check) as beside:
        beside.write_bytes(data)


def write_json(path: str | Path, values: Mapping[str, Any]) -> None:
    """Write plain values with their own checksum, always the same bytes for the same values; see :func:`read_json`."""
    values = json.loads(json.dumps(values))  # as it is read back: names that are numbers become texts, and sort as such
    values.pop(_SEAL, None)
    write_bytes(path, (json.dumps(sealed(values), indent=1, allow_nan=True) + "\n").encode())


def read_json(path: str | Path, *, unsealed: bool = False) -> dict[str, Any]:
    """Plain values that :func:`write_json` wrote, without their checksum.

    Parameters
    ----------
    path : of the file.
    unsealed : take values without a checksum as they are, as earlier versions wrote them.

    Raises
    ------
    FileNotFoundError : there is no such file.
    DamagedFileError : the file is not as it was written.
    """
    path = Path(path)
    try:
        values = json.loads(path.read_bytes())
        seal = values.pop(_SEAL, None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:  # text that is no JSON, or no dictionary
        raise DamagedFileError(f"{path} is damaged: {error}") from None
    if seal != json_sha256(values) and not (unsealed and seal is None):
        raise DamagedFileError(f"{path} is damaged: its checksum is not that of its values")
    return values


def sealed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values with their own checksum; see :func:`unsealed`."""
    return {**values, _SEAL: json_sha256(values)}


def unsealed(values: Mapping[str, Any], path: str | Path) -> dict[str, Any]:
    """Values of :func:`sealed` without their checksum; those that never had one as they are.

    Raises
    ------
    DamagedFileError : they are not as they were sealed; ``path`` says where they are.
    """
    kept = {name: value for name, value in values.items() if name != _SEAL}
    if _SEAL in values and values[_SEAL] != json_sha256(kept):
        raise DamagedFileError(f"{path} is damaged: its checksum is not that of its values")
    return kept


def json_sha256(values: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever their order and layout on disk; a checksum among them does not count."""
    kept = {name: value for name, value in values.items() if name != _SEAL}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file, as hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bytes_sha256(data: bytes) -> str:
    """SHA-256 of bytes, as hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def checksum(path: Path) -> list:
    """[bytes, SHA-256] of a file."""
    return [path.stat().st_size, sha256_of(path)]


def checksums(folder: Path) -> dict[str, list]:
    """Path below a folder -> [bytes, SHA-256] of every file in it, in alphabetical order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): checksum(path) for path in files}


def flush(path: Path) -> None:
    """Make the system write a file, or all of a folder, to the disk."""
    for each in [*path.rglob("*"), path] if path.is_dir() else [path]:
        _sync(each)


def restored(path: str | Path) -> Path:
    """The path; where a writer died after it had moved the old version aside, that one is put back."""
    path = Path(path)
    if not path.exists() and path.parent.is_dir():
        for left, found in _leftovers(path.parent):
            if found["kind"] == "old" and found["name"] == path.name and not _lives(found):
                left.rename(path)
                break
    return path


def sweep(folder: str | Path) -> None:
    """Remove what dead writers left directly in a folder; what living ones write, or those of other machines, stays."""
    for left, found in _leftovers(Path(folder)):
        if not _lives(found):
            if found["kind"] == "old":
                restored(left.with_name(found["name"]))
            remove(left)


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def process_lives(host: str, pid: int) -> bool:
    """Whether a process may still be there: of other machines nobody can say that it is not."""
    return host != _HOST or psutil.pid_exists(pid)


def this_host() -> str:
    """The machine's name, as leftovers and locks say it."""
    return _HOST


def _beside(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{_HOST}-{os.getpid()}-{secrets.token_hex(4)}")


def _leftovers(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    for path in list(folder.glob(".*")):
        if found := _LEFTOVER.fullmatch(path.name):
            yield path, found.groupdict()


def _lives(found: Mapping[str, str]) -> bool:
    # Earlier versions left no name of the machine.
    return process_lives(found["host"] or _HOST, int(found["pid"]))


def put(beside: Path, path: Path) -> None:
    """Put a file or a folder that is whole, and flushed, in place of what is at a path of the same folder."""
    if not (beside.is_dir() and path.is_dir()):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is in the place of a file", str(path))
        beside.replace(path)
    elif not _exchanged(beside, path):
        aside = _beside(path, "old")
        path.rename(aside)
        beside.rename(path)
        remove(aside)
    _sync(path.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Let two folders change places in one step; False where this system, or this file system, has no such step."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if os.name == "posix" else None
    return rename is not None and rename(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0


def _sync(path: Path) -> None:
    try:
        handle = os.open(path, os.O_RDONLY)
    except PermissionError:  # of a folder, on Windows
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF, errno.ENOTSUP):  # file systems that do not know it
            raise
    finally:
        os.close(handle)
