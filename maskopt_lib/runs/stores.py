"""Zarr stores that know what they hold: every file with its size and SHA-256 is listed in the store's own metadata.

What reads a store through :func:`opened` gets the right bytes or an error that names the file; a chunk that is missing
never becomes fill values. Stores of earlier versions, without a list, open as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import xarray as xr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype, default_buffer_prototype
from zarr.storage import LocalStore

from maskopt_lib import files
from maskopt_lib.errors import DamagedFileError, MissingDataError, SchemaError

#: Attributes of the root group: the list of files, and the seal of the metadata with that list in it.
FILES, SEAL = "files", "sha256"
_ROOT = "zarr.json"
# Attributes that xarray acts on when it opens a store.
_OF_XARRAY = {
    "_FillValue",
    "missing_value",
    "scale_factor",
    "add_offset",
    "_Unsigned",
    "dtype",
    "coordinates",
    "calendar",
}
_T = TypeVar("_T")


@contextmanager
def writing(path: str | Path) -> Iterator[Path]:
    """A place to write a store to; sealed, flushed, read back and put in place of an older one when the block ends."""
    with files.replacing(path, check=verify) as beside:
        yield beside
        seal(beside)


def write(ds: xr.Dataset, path: Path) -> None:
    """Write a Dataset as a zarr store, not yet sealed.

    Raises
    ------
    SchemaError : it holds what a store would not give back as it is; names it.
    """
    ds = _storable(ds).drop_encoding()
    # Zarr v3 has no settled form for text of fixed length; that of any length is one.
    texts = {
        name: (v.dims, np.array(v.values.tolist(), dtype=object), v.attrs)
        for name, v in ds.variables.items()
        if v.dtype.kind in "UT"
    }
    ds.assign(texts).to_zarr(path, mode="w", zarr_format=3, consolidated=False)


def _storable(ds: xr.Dataset) -> xr.Dataset:
    """The Dataset, if it comes back from a store just so."""
    for name in map(str, {*ds.variables, *ds.dims}):
        if re.fullmatch(r"\.*|__.*|.*[/\\\0].*|zarr\.json", name):
            raise SchemaError(f"a variable or dimension cannot be called {name!r}: it becomes a folder; rename it")
    for name, index in ds.indexes.items():
        if isinstance(index, pd.MultiIndex):
            raise SchemaError(f"{name!r} is an index of several levels, which a store cannot hold; unstack or reset it")
    for name, v in ds.variables.items():
        if v.dtype.kind not in "biufcUTmM" and not all(isinstance(value, str) for value in v.values.flat):
            raise SchemaError(f"{name!r} holds {v.dtype} that is neither numbers, truths, times nor text")
    for where, attrs in (("the Dataset", ds.attrs), *((repr(name), v.attrs) for name, v in ds.variables.items())):
        if reserved := _OF_XARRAY & set(attrs):
            raise SchemaError(f"{where} has the attribute {min(reserved)!r}, by which xarray changes values; rename it")
        if " since " in str(attrs.get("units")):
            raise SchemaError(f"{where} is in {attrs['units']!r}, which xarray takes for a date; say it otherwise")
        try:
            json.dumps(attrs, default=lambda value: value.tolist())
        except (TypeError, ValueError, AttributeError):
            raise SchemaError(f"an attribute of {where} is not plain JSON: {attrs!r:.200}") from None
    return ds


def seal(path: Path) -> None:
    """List the files of a store in its metadata."""
    root = json.loads((path / _ROOT).read_text(encoding="utf-8"))
    listed = files.checksums(path)
    del listed[_ROOT]
    root["attributes"] = {k: v for k, v in root.get("attributes", {}).items() if k != SEAL} | {FILES: listed}
    root["attributes"][SEAL] = files.json_sha256(root)
    (path / _ROOT).write_text(json.dumps(root), encoding="utf-8")


def verify(path: str | Path) -> None:
    """Hold every file of a sealed store against the list.

    Raises
    ------
    DamagedFileError : names the first that is not as it was written.
    """
    path = Path(path)
    for name, (n_bytes, sha256) in (listed_files(path) or {}).items():
        if not (path / name).is_file() or files.checksum(path / name) != [n_bytes, sha256]:
            raise _damaged(path, name)


def seal_of(path: str | Path) -> str | None:
    """The seal of a store's metadata, which covers all its files; None for stores of earlier versions.

    Raises
    ------
    DamagedFileError : the metadata are not as they were written.
    """
    return _root(Path(path))["attributes"].get(SEAL)


def listed_files(path: str | Path) -> dict[str, list] | None:
    """Path in the store -> [bytes, SHA-256]; None for stores of earlier versions."""
    return _listed(Path(path), _root(Path(path)))


def opened(path: str | Path, read: Callable[[xr.Dataset], _T]) -> _T:
    """What a function reads from a store, every byte of it verified.

    Parameters
    ----------
    path : of the store.
    read : is given the Dataset, not yet in memory; called again should the store be replaced meanwhile.

    Raises
    ------
    MissingDataError : there is no such store.
    DamagedFileError : a file is not as it was written; names it and what to do.
    """
    path = files.restored(path)
    if not path.exists():
        raise MissingDataError(f"no stored result at {path}; {remedy(path)}")
    for _ in range(5):
        found = None
        try:
            root = _root(path)
            found = root["attributes"].get(SEAL)
            store = SealedStore(path, _listed(path, root))
            again = f"remove it and make it again: {remedy(path)}"
            with files.reading(path, again), xr.open_zarr(store, consolidated=False) as ds:
                attrs = {name: value for name, value in ds.attrs.items() if name not in (FILES, SEAL)}
                return read(ds.drop_attrs(deep=False).assign_attrs(attrs))
        except DamagedFileError:
            if found == _seal_now(path):
                raise
    raise DamagedFileError(f"{path} is replaced again and again while it is read; wait for its run to end")


def remedy(path: Path) -> str:
    """What makes a store again."""
    variant = path.parent.name
    return f"`make study VARIANT={variant}` makes it" if variant in ("quick", "cpu", "paper") else "run its notebook"


class SealedStore(LocalStore):
    """A folder read as zarr, whose bytes are those that were listed, or an error.

    Parameters
    ----------
    root : of the store.
    listed : path in it -> [bytes, SHA-256]; None takes the files as they are.
    read_only : always.

    Raises
    ------
    DamagedFileError : a listed file is missing or has another size; another content, when it is read.
    """

    def __init__(self, root: Path | str, listed: Mapping[str, list] | None, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=True)
        self._listed = listed
        for name, (n_bytes, _) in (listed or {}).items():
            path = self.root / name
            if not path.is_file() or path.stat().st_size != n_bytes:
                raise _damaged(self.root, name)

    def with_read_only(self, read_only: bool = False) -> SealedStore:
        """The same store: it is never written."""
        return type(self)(self.root, self._listed)

    def get_sync(
        self, key: str, *, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, verified."""
        found = super().get_sync(key, prototype=prototype)
        self._hold_against_list(key, found)
        return found if byte_range is None else super().get_sync(key, prototype=prototype, byte_range=byte_range)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Bytes of a file, verified."""
        return self.get_sync(key, prototype=prototype or default_buffer_prototype(), byte_range=byte_range)

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Names in a folder, as listed: while another version is put in place, the folder may seem empty."""
        if self._listed is None:
            async for name in super().list_dir(prefix):
                yield name
            return
        folder = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        inside = (key.removeprefix(folder) for key in (_ROOT, *self._listed) if key.startswith(folder))
        for name in dict.fromkeys(key.partition("/")[0] for key in inside):
            yield name

    def _hold_against_list(self, key: str, found: Buffer | None) -> None:
        if self._listed is None or key == _ROOT:
            return
        known = self._listed.get(key)
        if (found is None) != (known is None) or (
            found is not None and files.bytes_sha256(found.to_bytes()) != known[1]
        ):
            raise _damaged(self.root, key)


def _root(path: Path) -> dict[str, Any]:
    """Metadata of the root group, their seal held against them."""
    try:
        root = json.loads((path / _ROOT).read_bytes())
        sealed = root.setdefault("attributes", {}).get(SEAL)
        unsealed = root | {"attributes": {k: v for k, v in root["attributes"].items() if k != SEAL}}
        is_group = root.get("node_type") == "group" and root.get("zarr_format") == 3
        if not is_group or (
            sealed != files.json_sha256(unsealed) if FILES in root["attributes"] else sealed is not None
        ):
            raise _damaged(path, _ROOT)
    except (FileNotFoundError, NotADirectoryError):
        raise _damaged(path, _ROOT) from None
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise _damaged(path, _ROOT) from error
    return root


def _listed(path: Path, root: Mapping[str, Any]) -> dict[str, list] | None:
    listed = root["attributes"].get(FILES)
    if not isinstance(listed, dict | None) or not all(
        isinstance(v, list) and len(v) == 2 for v in (listed or {}).values()
    ):
        raise _damaged(path, _ROOT)
    return listed


def _seal_now(path: Path) -> str | None:
    try:
        return seal_of(files.restored(path))
    except DamagedFileError:
        return None


def _damaged(path: Path, name: str) -> DamagedFileError:
    return DamagedFileError(
        f"{path}: the file {name} is missing or is not as it was written; remove {path} and make it again: "
        f"{remedy(path)}"
    )
