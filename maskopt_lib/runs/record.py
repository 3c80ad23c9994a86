"""The record of a run: what made a result, stamped on every store that it leaves.

Examples
--------
>>> import tempfile
>>> from maskopt_lib.runs.reference import load
>>> with tempfile.TemporaryDirectory() as folder:
...     run = start("A test", notebook="00_test", params={"n_steps": 3}, out_dir=folder, seed=0, threads=2)
...     path = run.save(xr.Dataset({"runtime_s": ("sample", [1.5])}, coords={"sample": ["a"]}), "times")
...     times = load(path)
>>> float(times.runtime_s.sel(sample="a")), times.runtime_s.attrs["units"], record_of(times)["params"]
(1.5, 's', {'n_steps': 3})
"""

import dataclasses
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

import maskopt_lib
from maskopt_lib import files
from maskopt_lib.data import manifest, schema
from maskopt_lib.errors import MissingDataError, SchemaError
from maskopt_lib.runs import stores
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.masks import labelled_masks, mask_header, packed, write_bits
from maskopt_lib.runs.parts import file_name
from maskopt_lib.runs.paths import relative, resolved, results_folder, root
from maskopt_lib.runs.processes import asked_threads

#: What a stored score must say of itself; without it nobody can recompute the number.
SCORE_CONVENTIONS = ("kernels", "raster", "epe_limits_nm")

_LIBRARIES = ("torch", "lightning-fabric", "numpy", "scipy", "scikit-image", "gdstk", "xarray", "zarr")
#: The record beside the results of a run.
RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is needed to tell where a result is from, and to make it again.

    Attributes
    ----------
    title : what the run is about, one line.
    notebook : its name, for example ``"01_validate_optics"``.
    params : its parameters, plain JSON.
    conventions : how scores were taken: kernel sets (the name tells the array order), raster rule, EPE limits.
    seed, device, dtype, threads : as given to the run.
    inputs : manifest name, or path of a stored result, -> SHA-256.
    created_at : UTC, ISO 8601.
    git_commit, git_dirty : of the repository; ``"unknown"`` and None outside of one.
    versions : of Python and of the libraries that results depend on.
    hardware : processor, cores, and the GPU where one was used.
    """

    title: str
    notebook: str
    params: Mapping[str, Any]
    conventions: Mapping[str, Any]
    seed: int | None
    device: str
    dtype: str
    threads: int
    inputs: Mapping[str, str]
    created_at: str
    git_commit: str
    git_dirty: bool | None
    versions: Mapping[str, str]
    hardware: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON values."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run with its folder: saves what it is given, with its record, and never leaves half a file."""

    record: Record
    out_dir: Path
    _outputs: dict[str, dict[str, str]] = field(default_factory=dict, repr=False)
    _lock: FolderLock | None = field(default=None, repr=False)

    @property
    def figures_dir(self) -> Path:
        """Folder for figures, made when asked for."""
        return _made(self.out_dir / "figures")

    @property
    def tables_dir(self) -> Path:
        """Folder for tables, made when asked for."""
        return _made(self.out_dir / "tables")

    def save(self, ds: xr.Dataset, name: str) -> Path:
        """Store a Dataset, with the record on it, as ``<name>.zarr``, in place of one of that name; gives its path.

        Parameters
        ----------
        ds : labelled Dataset; what the schema knows gets its ``long_name`` and ``units``.
        name : of the store, without folder and ending.

        Raises
        ------
        SchemaError : a variable has no unit, or scores are stored without saying how they were taken.
        """
        ds = schema.validate(schema.label(ds))
        if reserved := sorted(name for name in (stores.FILES, stores.SEAL) if name in ds.attrs):
            # Those of a store that was opened without this library are written anew.
            if not isinstance(ds.attrs.get(stores.FILES), Mapping):
                raise SchemaError(f"{name!r} has an attribute {reserved[0]!r}, which is that of stores; rename it")
            ds = ds.drop_attrs(deep=False).assign_attrs({k: v for k, v in ds.attrs.items() if k not in reserved})
        scores = sorted({schema.L2, schema.PVB, schema.EPE15, schema.EPE3} & set(ds.variables))
        lacking = [key for key in SCORE_CONVENTIONS if key not in self.record.conventions]
        if scores and lacking:
            raise SchemaError(
                f"{name!r} holds {', '.join(scores)} but the run does not say how they were taken: give "
                f"study.start(conventions=...) the missing {', '.join(lacking)}"
            )
        with self.writing(name) as beside:
            stores.write(ds.assign_attrs(self.stamp), beside)
        return self.out_dir / f"{name}.zarr"

    @contextmanager
    def writing(self, name: str) -> Iterator[Path]:
        """A place to write the store ``<name>.zarr`` to, piece by piece; sealed and put in place when the block ends.

        Write :attr:`stamp` among its attributes: it says where a result is from.
        """
        if not name or name != file_name(name) or name.startswith("."):
            raise SchemaError(f"a result cannot be called {name!r}: a name has letters, digits and any of . _ + # = -")
        path = self.out_dir / f"{name}.zarr"
        with stores.writing(path) as beside:
            yield beside
        self._outputs[path.name] = {"sha256": stores.seal_of(path)}
        kept = {"outputs": list(self._outputs), "files": self._outputs}
        files.write_json(self.out_dir / RECORD, self.record.to_dict() | kept)

    @property
    def stamp(self) -> dict[str, str]:
        """``title`` and ``record`` (JSON), as every store of the run says them in its attributes."""
        return {"title": self.record.title, "record": json.dumps(self.record.to_dict())}

    def save_masks(
        self,
        masks: xr.DataArray | np.ndarray | torch.Tensor,
        name: str = "masks",
        *,
        samples: Sequence[str] | None = None,
        pixel_nm: float | None = None,
    ) -> Path:
        """Store binary masks at one bit a pixel, one chunk a mask, as ``<name>.zarr``; gives its path.

        Parameters
        ----------
        masks : (sample, y, x) array of 0 and 1 or bool, or a DataArray ``(*dims, y, x)`` with its coordinates.
        name : of the store.
        samples : names of the masks; needed unless ``masks`` is a DataArray.
        pixel_nm : side of a pixel in nm; needed unless ``masks`` is a DataArray with ``x`` in nm.

        Raises
        ------
        SchemaError : the masks are not binary, or have no names or no pixel size.
        """
        masks = labelled_masks(masks, samples=samples, pixel_nm=pixel_nm)
        return self.save_packed(
            (packed(image) for image in masks.values.reshape(-1, *masks.shape[-2:])),
            name,
            coords={key: value.variable for key, value in masks.coords.items() if schema.X not in value.dims},
            dims=masks.dims[:-2],
            shape=masks.shape[-2:],
            pixel_nm=masks.attrs["pixel_nm"],
        )

    def save_packed(
        self,
        masks: Iterable[np.ndarray],
        name: str = "masks",
        *,
        coords: Mapping[str, Any],
        shape: tuple[int, int],
        pixel_nm: float,
        dims: Sequence[str] | None = None,
    ) -> Path:
        """Store masks that are packed already, one by one, and need not be in memory together; gives the path.

        Parameters
        ----------
        masks : (y, x_byte) uint8 each, eight pixels a byte along x, lowest bit first; in the order of ``coords``, the
            last dimension fastest.
        name : of the store.
        coords : dimension -> labels.
        shape : pixels of a mask along (y, x).
        pixel_nm : side of a pixel in nm.
        dims : the dimensions before (y, x); by default all of ``coords``.
        """
        header = mask_header(coords, shape=shape, pixel_nm=pixel_nm)
        with self.writing(name) as beside:
            stores.write(header.assign_attrs(self.stamp), beside)
            write_bits(beside, header, masks, tuple(coords) if dims is None else tuple(dims))
        return self.out_dir / f"{name}.zarr"


# How long another run in the same folder is waited for, in s.
_WAIT_S = 5.0


def start(
    title: str,
    *,
    notebook: str,
    params: Mapping[str, Any],
    out_dir: str | Path | None = None,
    conventions: Mapping[str, Any] | None = None,
    inputs: Iterable[str | Path] = (),
    seed: int | None = None,
    device: str = "cpu",
    dtype: str = "float32",
    threads: int | None = None,
) -> Run:
    """Begin a run: take its folder, set the number of threads and write ``record.json``.

    Parameters
    ----------
    title : what the run is about, one line.
    notebook : its name, for example ``"01_validate_optics"``.
    params : its parameters, plain JSON; :func:`maskopt_lib.study.parameters` collects them.
    out_dir : folder of the results, from the study's root where it is not absolute; by default
        ``results/<notebook>/scratch``. Nobody else writes there while the run, or its process, lives.
    conventions : how scores are taken; ``kernels``, ``raster`` and ``epe_limits_nm`` before a score can be saved.
    inputs : what the run reads: manifest files by name, as ``str``; as ``Path`` folders of other runs (hashed by their
        ``record.json``) or single files.
    seed : of the run's random generators; None where nothing is random.
    device, dtype : of its tensors.
    threads : for torch; by default ``OMP_NUM_THREADS``, else left as torch chose.

    Raises
    ------
    SchemaError : parameters or conventions are not plain JSON, or the folder is not one for results.
    UnknownNameError : the manifest has no such input.
    MissingDataError : the run that an input names is not there.
    BusyFolderError : another process has written to the folder for 5 s, or it cannot be written to.
    """
    threads = threads or asked_threads() or torch.get_num_threads()
    torch.set_num_threads(threads)
    commit, is_dirty = _git_state()
    own = {"python": platform.python_version(), "maskopt-study": maskopt_lib.__version__}
    record = Record(
        title=title,
        notebook=notebook,
        params=_plain_json(params, "params"),
        conventions=_plain_json(conventions or {}, "conventions"),
        seed=seed,
        device=str(device),
        dtype=str(dtype).removeprefix("torch."),
        threads=threads,
        inputs=_hashes(inputs),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        git_commit=commit,
        git_dirty=is_dirty,
        versions=own | {name: version(name) for name in _LIBRARIES},
        hardware=_hardware(str(device)),
    )
    folder = results_folder(out_dir if out_dir is not None else f"results/{notebook}/scratch")
    lock = FolderLock(folder, notebook, wait_s=_WAIT_S)
    files.write_json(folder / RECORD, record.to_dict())
    return Run(record=record, out_dir=folder, _lock=lock)


def record_of(stored: xr.Dataset | xr.DataArray | str | Path) -> dict[str, Any]:
    """The record of a stored result, as plain values.

    Parameters
    ----------
    stored : a Dataset or DataArray that was loaded, or the folder of a run.

    Raises
    ------
    SchemaError : the Dataset says no record.
    DamagedFileError : the folder's ``record.json`` is not as it was written.
    """
    if isinstance(stored, xr.Dataset | xr.DataArray):
        try:
            return dict(json.loads(stored.attrs["record"]))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise SchemaError("this Dataset has no record of a run among its attributes") from None
    return files.read_json(resolved(stored) / RECORD, unsealed=True)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _plain_json(values: Mapping[str, Any], what: str) -> dict[str, Any]:
    try:
        return json.loads(json.dumps(dict(values), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{what} of a run must be plain JSON (numbers, text, lists, dictionaries): {error}") from None


def _hashes(inputs: Iterable[str | Path]) -> dict[str, str]:
    known = manifest.load_manifest()

    def sha256(item: str | Path) -> str:
        if isinstance(item, str):
            # The registry's hash is the file's hash: nothing is handed out that differs from it.
            return known.entry(item).sha256
        path = resolved(item)
        path = path / RECORD if path.is_dir() else path
        if not path.is_file():
            raise MissingDataError(f"no stored result at {path}; run the notebook that makes it first")
        return files.sha256_of(path)

    return {item if isinstance(item, str) else relative(item): sha256(item) for item in inputs}


def in_history(commit: str) -> bool | None:
    """Whether today's commit descends from one; None where nobody can tell: without a repository, or all of it."""
    try:
        if _git("rev-parse", "--is-shallow-repository") == "true":
            return None
        _git("rev-parse", "HEAD")
    except (OSError, subprocess.SubprocessError):
        return None
    try:
        _git("merge-base", "--is-ancestor", commit, "HEAD")
    except subprocess.CalledProcessError:
        return False
    return True


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(root()), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()


def _git_state() -> tuple[str, bool | None]:
    try:
        return _git("rev-parse", "HEAD"), bool(_git("status", "--porcelain"))
    except (OSError, subprocess.SubprocessError):
        return "unknown", None


def _hardware(device: str) -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = {"processor": _processor(), "cores": cores, "system": f"{platform.system()} {platform.machine()}"}
    if device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"
