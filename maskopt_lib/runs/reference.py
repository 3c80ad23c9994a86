"""Reference records: the small results of the paper's runs, committed, so that figures can be redrawn without a run.

A record is a store of a run without its masks, as netCDF 3 (one file, read by everything), stamped like the store.
"""

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import DamagedFileError, MissingDataError
from maskopt_lib.runs.loading import load
from maskopt_lib.runs.paths import resolved
from maskopt_lib.runs.tables import TABLE, table_frame

#: Where the committed records are.
FOLDER = manifest.FOLDER / "records"

#: In each folder of records: the checksums of its files.
LIST = "checksums.json"

#: Stores larger than this stay out of the repository.
LARGEST_BYTES = 2_000_000


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
    records_dir : written anew for every result that is small enough; pictures and masks never are kept.

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
