"""Parts: pieces of work kept as soon as they are done, one file each, that a run which was interrupted goes on from.

A part is an npz file of arrays with what is to be said of them, sealed by a checksum of the whole file. One that is
missing, cut off or damaged counts as not there, and is made again; so nobody meets half of one.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numcodecs import Zstd
from numpy.lib.npyio import NpzFile

from maskopt_lib import files
from maskopt_lib.errors import DamagedFileError
from maskopt_lib.runs.hashing import hashed

#: Folder of the parts, below a run's own.
FOLDER = "parts"

# Bits of sparse images: thirty times faster than the deflate of npz files, and half the size of its fastest level.
_ZSTD_LEVEL = 3
_SAID = "said.json"
_LONGEST = 160  # of a name, in bytes: what is written beside it has a longer one, and 255 is the most
_SEAL_DIGITS = 64
_REMEDY = "repeat the run that made it: what is whole is not made again"


@dataclass(frozen=True)
class Bits:
    """A binary image, small enough to travel between processes and to keep by the hundred.

    Attributes
    ----------
    data : compressed bits, eight pixels a byte along x, lowest bit first.
    shape : (y, x).
    pixel_nm : side of a pixel in nm.
    """

    data: bytes
    shape: tuple[int, int]
    pixel_nm: float

    @classmethod
    def of(cls, image: np.ndarray, pixel_nm: float) -> Bits:
        """Pack a (y, x) image of 0 and 1."""
        packed = np.packbits(np.asarray(image, dtype=bool), axis=-1, bitorder="little")
        return cls.of_packed(packed, image.shape, pixel_nm)

    @classmethod
    def of_packed(cls, packed: np.ndarray, shape: Sequence[int], pixel_nm: float) -> Bits:
        """Of (y, x_byte) uint8, as :attr:`packed` gives them."""
        return cls(zlib.compress(packed.tobytes(), 1), (int(shape[0]), int(shape[1])), float(pixel_nm))

    @property
    def packed(self) -> np.ndarray:
        """(y, x_byte) uint8."""
        return np.frombuffer(zlib.decompress(self.data), np.uint8).reshape(self.shape[0], -1)

    @property
    def image(self) -> np.ndarray:
        """(y, x) uint8 of 0 and 1."""
        return np.unpackbits(self.packed, axis=-1, count=self.shape[1], bitorder="little")

    def digest(self) -> str:
        """Hash of the pixels and their size."""
        return hashed(self.packed.tobytes(), [*self.shape, self.pixel_nm])


def part_path(folder: str | Path, *names: object, key: str) -> Path:
    """Where a part is kept: names that tell a person what it is, and the key of all that determines it.

    Examples
    --------
    >>> part_path("run", "curvy", "clip 1", key="0123").as_posix()
    'run/parts/curvy-clip_1-0123.npz'
    """
    return Path(folder) / FOLDER / f"{file_name(*names, key)}.npz"


def file_name(*names: object) -> str:
    """A name that every file system takes; of a very long one the middle is a hash."""
    # Letters of any alphabet stay, each written in one way: two names are not to become one.
    name = re.sub(r"[^\w.+#=-]+", "_", unicodedata.normalize("NFC", "-".join(map(str, names))))
    if len(name.encode()) <= _LONGEST:
        return name
    short = name.encode("ascii", "replace").decode().replace("?", "_")
    return f"{short[: _LONGEST - 50]}-{hashed([name])[:16]}-{short[-32:]}"


def write_part(
    path: Path,
    arrays: Mapping[str, np.ndarray],
    said: Mapping[str, Any] | None = None,
    *,
    bits: Mapping[str, np.ndarray] | None = None,
    compress: bool = True,
) -> None:
    """Keep arrays and what is to be said of them; in place in one go, and read back.

    Parameters
    ----------
    path : of the part, ending in ``.npz``.
    arrays : name -> values; no objects.
    said : plain JSON.
    bits : name -> large uint8 arrays, mostly zeros.
    compress : False for numbers that take long to compress and get no smaller, such as weights.
    """
    held = dict(arrays) | {_SAID: np.array(json.dumps(dict(said or {})))}
    for name, values in (bits or {}).items():
        packed = Zstd(_ZSTD_LEVEL).encode(np.ascontiguousarray(values).reshape(-1))
        held |= {f"{name}.zstd": np.frombuffer(packed, np.uint8), f"{name}.shape": np.array(values.shape)}
    buffer = io.BytesIO()
    (np.savez_compressed if compress else np.savez)(buffer, allow_pickle=False, **held)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"0" * _SEAL_DIGITS
    body = buffer.getvalue()[:-_SEAL_DIGITS]
    files.write_bytes(path, body + hashlib.sha256(body).hexdigest().encode())


def read_part(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a part, all or those that are named.

    Raises
    ------
    FileNotFoundError : it is not there.
    DamagedFileError : it is not as it was written.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npz"
    ...     write_part(path, {"n": np.arange(3)}, {"title": "three"}, bits={"image": np.ones((2, 2), np.uint8)})
    ...     said_of(path), {name: values.tolist() for name, values in read_part(path).items()}
    ({'title': 'three'}, {'n': [0, 1, 2], 'image': [[1, 1], [1, 1]]})
    """
    with _opened(path) as kept:
        found: dict[str, np.ndarray] = {}
        packed = {name.removesuffix(".zstd") for name in kept.files if name.endswith(".zstd")}
        plain = [name for name in kept.files if name != _SAID and name.rpartition(".")[0] not in packed]
        for name in [*plain, *sorted(packed)] if names is None else names:
            if name in packed:
                shape = tuple(kept[f"{name}.shape"].tolist())
                flat = np.frombuffer(Zstd().decode(kept[f"{name}.zstd"]), np.uint8, math.prod(shape))
                found[name] = flat.reshape(shape)
            else:
                found[name] = kept[name]
    return found


def write_dataset(path: Path, ds: xr.Dataset) -> None:
    """Keep a Dataset as a part, labels and attributes included; see :func:`read_dataset`.

    Parameters
    ----------
    path : of the part, ending in ``.npz``.
    ds : of numbers and texts, without a MultiIndex; attributes are plain JSON.
    """
    texts = {name: values.astype(str) for name, values in ds.variables.items() if values.dtype == object}
    arrays = {str(name): np.asarray(values) for name, values in (dict(ds.variables) | texts).items()}
    write_part(path, arrays, ds.to_dict(data=False))


def read_dataset(path: Path, *, without: Sequence[str] = ()) -> xr.Dataset:
    """A Dataset that :func:`write_dataset` kept; errors as of :func:`read_part`.

    Parameters
    ----------
    path : of the part.
    without : variables that are not needed.

    Examples
    --------
    >>> import tempfile
    >>> ds = xr.Dataset({"n": ("step", [3, 4], {"units": "1"})}, {"step": [0, 1]}, {"title": "two"})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_dataset(Path(folder) / "a.npz", ds)
    ...     read_dataset(Path(folder) / "a.npz").identical(ds)
    True
    """
    with _opened(path) as kept:
        header = json.loads(kept[_SAID].item())
        data_vars, coords = (
            {
                name: (about["dims"], kept[name], about["attrs"])
                for name, about in header[kind].items()
                if name not in without
            }
            for kind in ("data_vars", "coords")
        )
    return xr.Dataset(data_vars, coords, header["attrs"])


def said_of(path: Path) -> dict[str, Any] | None:
    """What is said of a part that is there and whole; else None."""
    try:
        with _opened(path) as kept:
            return json.loads(kept[_SAID].item())
    except (FileNotFoundError, DamagedFileError):
        return None


def is_whole(path: Path) -> bool:
    """Whether a part is there and undamaged."""
    try:
        return _body(path) is not None
    except (FileNotFoundError, DamagedFileError):
        return False


@contextmanager
def _opened(path: Path) -> Iterator[NpzFile]:
    body = _body(path)
    with files.reading(path, _REMEDY), np.load(io.BytesIO(body), allow_pickle=False) as kept:
        yield kept


def _body(path: Path) -> bytes:
    """The bytes of a part, after its seal was held against them."""
    data = Path(path).read_bytes()
    body, seal = data[:-_SEAL_DIGITS], data[-_SEAL_DIGITS:]
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise DamagedFileError(f"{path} is damaged; {_REMEDY}")
    return data
