"""Stored results read again: every byte as it was written, or an error that says which file is not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import xarray as xr

from maskopt_lib import files
from maskopt_lib.errors import DamagedFileError, UnknownNameError
from maskopt_lib.runs import stores
from maskopt_lib.runs.masks import unpacked
from maskopt_lib.runs.paths import resolved
from maskopt_lib.runs.record import record_of


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
