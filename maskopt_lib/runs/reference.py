"""Stored results read again, every byte as it was written; and reference records: small results that are committed.

A record is a store of a run without its masks, as netCDF 3 (one file, read by everything), stamped like the store.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import DamagedFileError, MissingDataError, UnknownNameError
from maskopt_lib.runs import stores
from maskopt_lib.runs.masks import unpacked
from maskopt_lib.runs.paths import resolved
from maskopt_lib.runs.record import record_of
from maskopt_lib.runs.tables import TABLE, table_frame

#: Where the committed records are.
FOLDER = manifest.FOLDER / "records"

#: In each folder of records: the checksums of its files.
LIST = "checksums.json"

#: Stores larger than this stay out of the repository.
LARGEST_BYTES = 2_000_000

#: Pictures that a record keeps, as they were drawn in its run: those that the README shows.
PICTURES = {"00_first_mask": ("before_and_after",)}


def load_result(folder: str | Path, name: str) -> xr.Dataset:
    """A result of a run, or its committed record.

    Parameters
    ----------
    folder : folder of a run (``results/<notebook>/<variant>``) or of a record (``data_manifest/records/<notebook>``).
    name : of the store, without ending.

    Raises
    ------
    MissingDataError : neither is there; the message says which command makes it.
    DamagedFileError : a file is not as it was written.
    """
    record = resolved(folder) / f"{name}.nc"
    ds = _read(record) if record.exists() else load(resolved(folder) / f"{name}.zarr")
    return ds.rename({earlier: today for earlier, today in schema.RENAMED.items() if earlier in ds})


def has_result(folder: str | Path, name: str) -> bool:
    """Whether a run or record holds a result of that name."""
    return any((resolved(folder) / f"{name}{ending}").exists() for ending in (".zarr", ".nc"))


def stored_names(folder: str | Path) -> list[str]:
    """Names of the results of a run or record, without ending, in alphabetical order."""
    return sorted(path.stem for path in resolved(folder).glob("*") if path.suffix in (".zarr", ".nc"))


def stored_runs(results: str | Path, variant: str = "") -> dict[str, Path]:
    """Folders of all runs or records that hold results, by the name of the notebook without its number.

    Parameters
    ----------
    results : folder of records, or of the runs of all notebooks.
    variant : of the runs; nothing for records.
    """
    folders = {path.name[3:]: path / variant for path in sorted(resolved(results).glob("[0-8][0-9]_*"))}
    return {name: folder for name, folder in folders.items() if stored_names(folder)}


def stored_tables(folder: str | Path) -> dict[str, tuple[pd.DataFrame, str]]:
    """The tables of a run or record, as :func:`maskopt_lib.study.write_table` stored them.

    Parameters
    ----------
    folder : of a run or of a record.

    Returns
    -------
    name -> table and caption, in alphabetical order. Columns that hold no number at all are left out.
    """
    found = {}
    for name in (name for name in stored_names(folder) if name.startswith(TABLE)):
        ds = load_result(folder, name)
        found[name.removeprefix(TABLE)] = (table_frame(ds), ds.attrs["caption"])
    return found


def keep(run_dir: str | Path, records_dir: str | Path) -> list[Path]:
    """Copy the small results of a run to the committed records; gives the files written.

    Parameters
    ----------
    run_dir : ``results/<notebook>/<variant>``; single masks and histories below ``parts`` are left out.
    records_dir : written anew for every result that is small enough; images and masks never are kept, of figures those
        that :data:`PICTURES` names for the notebook.

    Raises
    ------
    MissingDataError : the run is not there.
    """
    run_dir, records_dir = Path(run_dir), Path(records_dir)
    stores = sorted(run_dir.glob("*.zarr"))
    if not stores:
        raise MissingDataError(f"no results at {run_dir}; run `make study VARIANT={run_dir.name}` first")
    written = []
    for store in stores:
        ds = load(store)
        if {schema.Y, schema.X} & set(ds.dims) or ds.nbytes > LARGEST_BYTES:
            continue
        written.append(records_dir / f"{store.stem}.nc")
        _write(written[-1], _narrow(ds))
    for name in PICTURES.get(run_dir.parent.name, ()):
        written.append(records_dir / f"{name}.png")
        files.write_bytes(written[-1], (run_dir / "figures" / f"{name}.png").read_bytes())
    if written:
        kept = {path.name: files.checksum(path) for path in written}
        files.write_json(records_dir / LIST, _listed(records_dir) | kept)
    return written


def _listed(folder: Path) -> dict[str, list]:
    """[bytes, SHA-256] of the records of a folder, by name; nothing where none were written down."""
    return files.read_json(folder / LIST) if (folder / LIST).exists() else {}


def _write(path: Path, ds: xr.Dataset) -> None:
    def check(beside: Path) -> None:
        if not _read(beside).equals(ds):
            raise DamagedFileError(f"{path}: what is on the disk is not what was written; is the disk full?")

    with files.replacing(path, check=check) as beside:
        ds.to_netcdf(beside, engine="scipy")


def _read(path: Path) -> xr.Dataset:
    remedy = f"`git checkout {path}` brings a committed one back"
    with files.reading(path, remedy):
        data = path.read_bytes()
        if _listed(path.parent).get(path.name, found := [len(data), files.bytes_sha256(data)]) != found:
            raise DamagedFileError(f"{path} is damaged: its checksum is not that in {LIST}; {remedy}")
        with xr.open_dataset(io.BytesIO(data), engine="scipy") as ds:
            return ds.load()


def _narrow(ds: xr.Dataset) -> xr.Dataset:
    """What netCDF 3 can hold: 32-bit integers, text and floats; histories need no more than 32 bits a number."""

    def narrow(values: xr.DataArray) -> xr.DataArray:
        if values.dtype.kind in "iub":
            return values.astype(np.int32)
        if values.dtype.kind == "f" and values.size > 1000:
            return values.astype(np.float32)
        return values.astype(str) if values.dtype.kind in "OUT" else values

    narrowed = ds.map(narrow, keep_attrs=True).assign_coords({name: narrow(ds[name]) for name in ds.coords})
    narrowed.attrs = {k: v if isinstance(v, str | int | float) else json.dumps(v) for k, v in ds.attrs.items()}
    return narrowed


def load(path: str | Path) -> xr.Dataset:
    """A stored Dataset, read into memory.

    Parameters
    ----------
    path : a ``.zarr`` folder that :meth:`maskopt_lib.runs.record.Run.save` wrote.

    Raises
    ------
    MissingDataError : there is no such store; the message says which command makes it.
    """
    return _loaded(path, {})


def load_masks(path: str | Path, **chosen: Any) -> xr.DataArray:
    """Masks that a run stored: bool ``(*dims, y, x)``, with pixel centres in nm along y and x.

    Parameters
    ----------
    path : of the store, such as ``run.out_dir / "masks.zarr"``.
    **chosen : labels along its dimensions, one or a list each, as in
        ``load_masks(path, kernels="iccad13", method="curvy", sample=["M1_test1", "M1_test4"])``; only these are read.

    Raises
    ------
    MissingDataError : there is no such store.
    UnknownNameError : a label or dimension is not there; the message lists those that are.
    DamagedFileError : what is stored are no masks.
    """
    stored = _loaded(path, chosen)
    with files.reading(path, f"make it again: {stores.remedy(resolved(path))}"):
        return unpacked(stored)


def _loaded(path: str | Path, chosen: Mapping[str, Any]) -> xr.Dataset:
    path = resolved(path)

    def read(ds: xr.Dataset) -> xr.Dataset:
        for dim, labels in chosen.items():
            there = [str(label) for label in ds[dim].values] if dim in ds.dims else None
            if there is None:
                raise UnknownNameError(f"{path.name} has no dimension {dim!r}; it has {', '.join(map(str, ds.dims))}")
            if unknown := {str(label) for label in np.atleast_1d(labels)} - set(there):
                raise UnknownNameError(
                    f"{path.name} has no {dim} {', '.join(sorted(unknown))}; it has {', '.join(there)}"
                )
        # By text: a label may be a number there, and written as one here.
        places = {dim: [str(label) for label in ds[dim].values] for dim in chosen}
        at = {dim: [places[dim].index(str(label)) for label in np.atleast_1d(labels)] for dim, labels in chosen.items()}
        ds = ds.isel({dim: found if np.ndim(chosen[dim]) else found[0] for dim, found in at.items()})
        if ds.nbytes > (free := psutil.virtual_memory().available):
            raise DamagedFileError(
                f"{path} wants {ds.nbytes / 1e9:.3g} GB of memory, {free / 1e9:.3g} GB are free; choose less of it, or "
                f"remove it, if it is not that large, and make it again: {stores.remedy(path)}"
            )
        return ds.load()

    ds = stores.opened(path, read)
    if stores.seal_of(path) is None and path.name in _outputs(path.parent):
        raise DamagedFileError(
            f"{path}: the list of its files is gone; remove it and make it again: {stores.remedy(path)}"
        )
    # Text comes back as numpy's new string type, which much of the field's software cannot read yet.
    texts = [name for name in ds.variables if ds[name].dtype.kind == "T"]
    return ds.assign(
        {name: (ds[name].dims, np.array(ds[name].values.tolist(), dtype=str), ds[name].attrs) for name in texts}
    )


def _outputs(folder: Path) -> dict[str, Any]:
    """What a run says it stored with checksums; nothing for folders without a whole record."""
    try:
        return record_of(folder).get("files", {})
    except (FileNotFoundError, DamagedFileError):
        return {}
