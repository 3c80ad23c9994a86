"""Shards of zarr arrays, written once: the checksums beside them say which are whole, which missing, which damaged.

Arrays that are filled together, their final shape known, make a *kind*. Shard ``i`` of a kind is one file of each of
its arrays, so workers that write different shards share no file and need no lock. When the files of a shard are there,
a manifest with their sizes and SHA-256 is written beside and renamed: a shard counts when its manifest is there.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import zarr
from numcodecs import Zstd
from numcodecs.checksum32 import CRC32C
from zarr.abc.store import ByteRequest
from zarr.codecs import ZstdCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.data.tile_arrays import ArraySpec
from maskopt_lib.errors import DamagedFileError, MissingDataError, SchemaError

WHOLE, MISSING, DAMAGED = "whole", "missing", "damaged"
#: Folder of the manifests, and the arrays beside it.
MANIFESTS, ARRAYS = "shards", "tiles.zarr"
REMEDY = "run the build again, which repairs just what is damaged"
_OF_A_SHARD = re.compile(r"-\d{5,}\.json$")
#: Nine is as fast as one here, since tiles are small and mostly empty, and half the size of three.
ZSTD_LEVEL = 9
#: Place and length of an entry that is not there: all of it is the fill value.
_ABSENT = 2**64 - 1


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Arrays that are written together.

    Attributes
    ----------
    layer, name : such as ``"metal1"`` and ``"tiles"``.
    n : entries along the dimension that is cut into shards.
    shard_size : entries a shard.
    arrays : path of each array below the zarr group, in the order of writing.
    second : index along the second dimension, for arrays that several kinds fill side by side; -1 without.
    asked_sha256 : of what was asked for: arrays, sizes, names.
    fixed : files that never change once the kind is reserved, such as an array's own metadata -> SHA-256.
    """

    layer: str
    name: str
    n: int
    shard_size: int
    arrays: tuple[str, ...]
    second: int
    asked_sha256: str
    fixed: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> Kind:
        """A kind as it was reserved."""
        recorded = files.read_json(path, unsealed=True)
        with files.reading(path, REMEDY):
            kind = cls(**recorded | {"arrays": tuple(recorded["arrays"])})
            if not all(type(value) is int for value in (kind.n, kind.shard_size, kind.second)) or kind.shard_size < 1:
                raise SchemaError(f"{path}: n, shard_size and second are whole numbers")
            return kind

    @property
    def n_shards(self) -> int:
        """Shards; the last one may be short."""
        return -(-self.n // self.shard_size)

    def entries(self, shard: int) -> slice:
        """Entries of a shard along the first dimension."""
        if not 0 <= shard < self.n_shards:
            raise SchemaError(f"{self.layer} {self.name} has shards 0 to {self.n_shards - 1}, not {shard}")
        return slice(shard * self.shard_size, min((shard + 1) * self.shard_size, self.n))

    def manifest(self, root: Path, shard: int) -> Path:
        """Where the checksums of a shard are."""
        return root / MANIFESTS / f"{self.layer}-{self.name}-{shard:05d}.json"


def reserve(
    root: Path,
    layer: str,
    name: str,
    specs: Mapping[str, ArraySpec],
    sizes: Mapping[str, int],
    shard_size: int,
    *,
    below: str = "",
    second: int = -1,
    coords: Mapping[str, np.ndarray] | None = None,
    attrs: Mapping[str, Any] | None = None,
    names: Mapping[str, list[str]] | None = None,
) -> None:
    """Make the arrays of a kind in their final shape, nothing in them yet; does nothing when they are there just so.

    Parameters
    ----------
    specs : name -> array.
    sizes : length of every dimension.
    below : group below the layer's.
    second : this kind fills only one entry of the second dimension, this one.
    coords : values along dimensions.
    attrs : of the group.
    names : array -> what its codes stand for.

    Raises
    ------
    SchemaError : the kind was reserved otherwise.
    """
    names, coords = names or {}, {dim: np.asarray(values) for dim, values in (coords or {}).items()}
    dims = sorted({dim for spec in specs.values() for dim in spec.dims})
    asked = [
        {array: asdict(spec) for array, spec in specs.items()},
        {dim: int(sizes[dim]) for dim in dims},
        names,
        {dim: values.tolist() for dim, values in coords.items()},
    ]
    asked_sha256 = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    plan = root / MANIFESTS / f"{layer}-{name}.json"
    first = next(iter(specs.values())).dims[0]
    prefix = "/".join(filter(None, [layer, below]))
    kind = Kind(
        layer=layer,
        name=name,
        n=int(sizes[first]),
        shard_size=int(shard_size),
        arrays=tuple(f"{prefix}/{array}" for array in specs),
        second=second,
        asked_sha256=asked_sha256,
        fixed={},
    )
    if kind.n < 1 or kind.shard_size < 1:
        raise SchemaError(f"{layer} {name}: {kind.n} entries in shards of {kind.shard_size}; both must be at least 1")
    if plan.is_file():
        known = Kind.read(plan)
        if replace(known, fixed={}) != kind:
            raise SchemaError(
                f"{root} has {layer} {name} reserved otherwise ({known.n} entries in shards of {known.shard_size}, now "
                f"{kind.n} in {kind.shard_size}, or other names or arrays); take another folder, or remove this one"
            )
        return
    group = zarr.open_group(root / ARRAYS, mode="r+", zarr_format=3).require_group(prefix)
    group.update_attributes(files.sealed(files.unsealed(dict(group.attrs), root / ARRAYS / prefix) | dict(attrs or {})))
    for array, spec in specs.items():
        more = {"names": list(names[array])} if array in names else {}
        _create(group, array, spec, sizes, kind, more)
    for dim, values in coords.items():
        if dim not in group:
            dtype = str if values.dtype.kind in "UTO" else values.dtype
            of = group.create_array(dim, shape=values.shape, dtype=dtype, dimension_names=(dim,))
            of[:] = values
    made = [*kind.arrays, *(f"{prefix}/{dim}" for dim in coords)]
    names_of_files = {f"{array}/zarr.json" for array in made} | {f"{prefix}/{dim}/c/0" for dim in coords}
    fixed = {name: _sha256(root / ARRAYS / name) for name in sorted(names_of_files)}
    files.write_json(plan, asdict(replace(kind, fixed=fixed)))


def kinds(root: Path) -> Iterator[Kind]:
    """All kinds that were reserved, by layer and name."""
    for path in sorted((root / MANIFESTS).glob("*.json")):
        if not _OF_A_SHARD.search(path.name):
            yield Kind.read(path)


def write_shard(root: Path, kind: Kind, shard: int, values: Mapping[str, np.ndarray]) -> None:
    """Write the files of a shard, then their checksums; what was there of it before is removed first.

    Parameters
    ----------
    values : array path -> values, checked and of the array's type.
    """
    manifest = kind.manifest(root, shard)
    manifest.unlink(missing_ok=True)
    files.sweep(manifest.parent)
    entries = kind.entries(shard)
    checksums = {}
    for path in kind.arrays:
        array = zarr.open_array(root / ARRAYS / path, mode="r+", zarr_format=3)
        first = [shard] if kind.second < 0 else [shard, kind.second]
        name = "/".join([path, "c", *map(str, first + [0] * (array.ndim - len(first)))])
        file = root / ARRAYS / name
        # A writer that was killed leaves its unfinished file under a name of its own.
        for old in [file, *file.parent.glob(f"{file.name}.*.partial")]:
            old.unlink(missing_ok=True)
        files.sweep(file.parent)
        if array.shards is not None:
            if (data := shard_bytes(values[path], kind.shard_size)) is not None:
                files.write_bytes(file, data)
        elif kind.second < 0:
            array[entries] = values[path]
        else:
            array[entries, kind.second : kind.second + 1] = values[path][:, None]
        # Zarr keeps no file where all values are the fill value.
        checksums[name] = {"sha256": _sha256(file), "bytes": file.stat().st_size} if file.is_file() else None
    described = {"layer": kind.layer, "kind": kind.name, "shard": shard, "entries": [entries.start, entries.stop]}
    files.write_json(manifest, described | {"files": checksums})


def state(root: Path, kind: Kind, shard: int, *, deep: bool) -> str:
    """Whether a shard is ``"whole"``, ``"missing"`` or ``"damaged"``; ``deep`` reads all bytes, else sizes only."""
    written = read_manifest(root, kind, shard)
    if written is None:
        return MISSING
    known = written["files"]
    whole = len(known) == len(kind.arrays) and all(_holds(root / ARRAYS / name, known[name], deep) for name in known)
    return WHOLE if whole else DAMAGED


def fixed_state(root: Path, kind: Kind) -> str:
    """Whether what never changes of a kind, such as the metadata of its arrays, is as it was reserved."""
    for file, sha256 in kind.fixed.items():
        if not (root / ARRAYS / file).is_file():
            return MISSING
        if files.sha256_of(root / ARRAYS / file) != sha256:
            return DAMAGED
    return WHOLE


def verify(root: Path, *, deep: bool) -> xr.Dataset:
    """The state of every shard of every kind, see `TileStore.verify`."""
    rows = []
    for kind in kinds(root):
        rows.append((kind.layer, kind.name, -1, fixed_state(root, kind), 0, 0))
        for i in range(kind.n_shards):
            written = read_manifest(root, kind, i) or {"files": {}}
            size = sum(known["bytes"] for known in written["files"].values() if known)
            n = kind.entries(i).stop - kind.entries(i).start
            rows.append((kind.layer, kind.name, i, state(root, kind, i, deep=deep), n, size))
    columns = zip(*rows, strict=True) if rows else [()] * 6
    types = {"layer": str, "kind": str, "index": np.int64, "state": str, "entries": np.int64, "size_bytes": np.int64}
    return xr.Dataset(
        {
            name: schema.column("shard", np.array(values, types[name]), name, "B" if name == "size_bytes" else "1")
            for name, values in zip(types, columns, strict=True)
        }
    )


def digest(root: Path) -> str:
    """One hash of all that is stored, see `TileStore.digest`."""
    lines = []
    for kind in kinds(root):
        lines.append(f"{kind.layer} {kind.name} {json.dumps(kind.fixed, sort_keys=True)}")
        for i in range(kind.n_shards):
            written = read_manifest(root, kind, i)
            if written is None:
                raise MissingDataError(f"{root}: shard {i} of {kind.layer} {kind.name} was not written")
            lines.append(f"{kind.layer} {kind.name} {i} {json.dumps(written['files'], sort_keys=True)}")
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()


def read_manifest(root: Path, kind: Kind, shard: int) -> dict[str, Any] | None:
    """The checksums of a shard; None where it was not written to the end."""
    try:
        return files.read_json(kind.manifest(root, shard), unsealed=True)
    except (FileNotFoundError, DamagedFileError):
        return None


class CheckedStore(LocalStore):
    """The arrays of a store to read; each file is held against its checksum when it is first asked for.

    Parameters
    ----------
    root : folder of the store, with arrays and manifests.

    Raises
    ------
    DamagedFileError : a file is missing, or not as it was written. Shards that were not written yet are none.
    """

    def __init__(self, root: Path, *, read_only: bool = True) -> None:
        super().__init__(root / ARRAYS, read_only=True)
        self._folder, self._listed, self._whole = root, _listed(root), set()

    def with_read_only(self, read_only: bool = False) -> CheckedStore:
        """The same store: it is never written."""
        return type(self)(self._folder)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a whole file, or of a part of one."""
        self._hold(key)
        return super().get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a whole file, or of a part of one."""
        self._hold(key)
        return await super().get(key, prototype, byte_range)

    def _hold(self, key: str) -> None:
        for _ in range(2):
            if key in self._whole or key not in self._listed or _holds(self.root / key, self._listed[key], deep=True):
                self._whole.add(key)
                return
            self._listed = _listed(self._folder)  # it may have been written anew meanwhile
        raise DamagedFileError(f"{self.root}: the file {key} is missing or is not as it was written; {REMEDY}")


def _listed(root: Path) -> dict[str, dict[str, Any] | None]:
    """Path below the arrays -> size and SHA-256 of every file; None where there is to be none."""
    listed: dict[str, dict[str, Any] | None] = {}
    for kind in kinds(root):
        listed |= {file: {"sha256": sha256} for file, sha256 in kind.fixed.items()}
        for shard in range(kind.n_shards):
            listed |= (read_manifest(root, kind, shard) or {"files": {}})["files"]
    return listed


def _create(
    group: zarr.Group, name: str, spec: ArraySpec, sizes: Mapping[str, int], kind: Kind, more: Mapping[str, Any]
) -> None:
    shape = tuple(int(sizes[dim]) for dim in spec.dims)
    inner = shape[1:] if kind.second < 0 else (1, *shape[2:])
    file = (kind.shard_size, *inner)
    if name in group:
        # Of another kind that fills it side by side, or left by a process that was killed at this very place.
        there = group[name]
        if there.shape != shape or (there.shards or there.chunks) != file:
            raise SchemaError(f"{group.path}/{name} is there in another shape; take another folder, or remove this one")
        return
    group.create_array(
        name,
        shape=shape,
        dtype=str if spec.dtype == "str" else spec.dtype,
        chunks=(1, *inner) if spec.by_one else file,
        shards=file if spec.by_one else None,
        compressors=ZstdCodec(level=ZSTD_LEVEL),
        fill_value=spec.fill,
        dimension_names=spec.dims,
        attributes={"long_name": spec.long_name, "units": spec.units, **more},
    )


def _sha256(path: Path) -> str:
    """SHA-256 of a file that zarr wrote, flushed to the disk first."""
    files.flush(path)
    return files.sha256_of(path)


def _holds(path: Path, known: Mapping[str, Any] | None, deep: bool) -> bool:
    if known is None or not path.is_file():
        return known is None and not path.is_file()
    return path.stat().st_size == known.get("bytes", path.stat().st_size) and (
        not deep or files.sha256_of(path) == known.get("sha256")
    )


def shard_bytes(entries: np.ndarray, n: int) -> bytes | None:
    """The file of a shard whose entries are compressed one by one, made in one go.

    Zarr's own writer hands every entry to another thread and back, which takes five times as long as the compression,
    and longer where processors are shared: a tile packs into a few hundred bytes. This is byte for byte what zarr
    writes (`sharding_indexed` with zstd, index at the end, CRC-32C behind it), and a test holds it to that.

    Parameters
    ----------
    entries : (k, ...) uint8, in C order; the array's fill value is 0.
    n : entries of a full shard; those beyond ``k`` are not there.

    Returns
    -------
    Compressed entries, then (n, 2) places and lengths in bytes, then the checksum of these; None where all is 0, for
    which there is no file.
    """
    codec = Zstd(level=ZSTD_LEVEL)
    index = np.full((n, 2), _ABSENT, "<u8")
    pieces, place = [], 0
    for i, entry in enumerate(np.ascontiguousarray(entries)):
        if entry.any():
            pieces.append(codec.encode(entry))
            index[i] = place, len(pieces[-1])
            place += len(pieces[-1])
    return b"".join([*pieces, bytes(CRC32C(location="end").encode(index))]) if pieces else None
