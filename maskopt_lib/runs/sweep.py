"""One notebook over a grid of parameters: in parallel, resumable, a failed point recorded, the results joined.

Every point is a run of its own below ``points``, in a process that ends with the one that began the sweep; what all
finished points store under one name becomes one Dataset with the parameters as dimensions.
"""

import contextlib
import itertools
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
import yaml

from maskopt_lib import files, yaml_files
from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, SchemaError
from maskopt_lib.runs import params, stores
from maskopt_lib.runs.execute import LONGEST_WAIT_S, PARTIAL, RUN
from maskopt_lib.runs.gather import progress
from maskopt_lib.runs.hashing import hashed, key_of, library_hash
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.parts import file_name
from maskopt_lib.runs.paths import resolved
from maskopt_lib.runs.processes import asked_threads, end_children
from maskopt_lib.runs.record import RECORD, Run, record_of, start
from maskopt_lib.runs.reference import load

DONE, FAILED = "done", "failed"
#: Names of the files of a point.
_STATE, _LOG, _PARAMETERS = "point.json", "log.txt", "parameters.yaml"


@dataclass(frozen=True, kw_only=True)
class Point:
    """One point of a grid.

    Attributes
    ----------
    values : parameter -> value there.
    folder : of its run.
    status : ``"done"`` or ``"failed"``.
    error : what went wrong, else empty.
    seconds : how long the run took.
    is_new : whether it ran now, or was there already.
    """

    values: Mapping[str, Any]
    folder: Path
    status: str
    error: str
    seconds: float
    is_new: bool


def read_grid(notebook: str, grid: str | Path | Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """The values of each parameter of a grid, in the order given, every one checked against the notebook.

    Parameters
    ----------
    notebook : name such as ``"15_ilt_ablation"``.
    grid : parameter -> list of values; the path of a YAML file that says so (it ends in ``.yaml`` or ``.yml``); or text
        such as ``"n_steps=50,100 kernel_set=iccad13,embedded"``, values as in YAML, a list in brackets.

    Raises
    ------
    MissingDataError : there is no such file or notebook.
    UnknownNameError : the notebook has no such parameter.
    SchemaError : a value is not of the parameter's kind, is there twice, or a parameter has none.
    """
    if isinstance(grid, Mapping):
        found = dict(grid)
    elif str(grid).endswith((".yaml", ".yml")):
        found = yaml_files.read(grid).value
    else:
        found = dict(_parsed(word) for word in str(grid).split())
    if not isinstance(found, dict) or not found:
        raise SchemaError(f"no grid in {str(grid)!r}; write parameter=value,value or a YAML file `parameter: [values]`")
    known = params.read_parameters(notebook)
    known.pop("out_dir", None)  # every point has its own
    params.check_names(notebook, map(str, found), known)
    checked = {}
    for name, values in found.items():
        if not isinstance(values, list | tuple) or not values:
            raise SchemaError(f"{name}: expected a list of values, got {values!r}")
        checked[name] = [_of_kind(known[name], value) for value in values]
        try:
            distinct = {json.dumps(value) for value in checked[name]}
        except TypeError as error:  # a date, for YAML
            raise SchemaError(f"{name}: {error}; text that looks like a date is written in quotes") from None
        if len(distinct) < len(values):
            raise SchemaError(f"{name}: a value is there twice in {values!r}")
    return checked


def run_sweep(
    notebook: str,
    grid: str | Path | Mapping[str, Sequence[Any]],
    *,
    variant: str = "quick",
    name: str | None = None,
    jobs: int = 1,
    results: str | Path = "results",
    tell: Callable[[str], None] = lambda sentence: None,
) -> tuple[Run, list[Point]]:
    """Execute a notebook at every point of a grid, and join what the points stored.

    Parameters
    ----------
    notebook : name such as ``"15_ilt_ablation"``.
    grid : as for :func:`read_grid`.
    variant : whose parameters hold where the grid says nothing.
    name : of the sweep; by default the parameters that it varies.
    jobs : points at a time, each a process of its own with its share of the threads: ``OMP_NUM_THREADS``, else as
        many as there are cores.
    results : folder of all results, from the study's root where it is not absolute.
    tell : called with a sentence when another sweep holds the folder; it is waited for.

    Returns
    -------
    run : of the joined results, ``<results>/<notebook>/sweep-<name>``.
    points : in the order of the grid, the last parameter fastest.

    Raises
    ------
    MissingDataError, UnknownNameError, SchemaError : as for :func:`read_grid`, before anything runs.

    Notes
    -----
    A point whose run is finished is not run again while the notebook, its parameters and the library say the same.
    A point that fails keeps ``partial.ipynb``; the next call tries it again.
    """
    values = read_grid(notebook, grid)
    base = params.read_variant(notebook, variant)
    if jobs < 1:
        raise SchemaError(f"a sweep needs at least one job, got {jobs}")
    folder = resolved(results) / notebook / f"sweep-{file_name(name or '-'.join(values))}"
    code = hashed(params.path_of(notebook).read_bytes(), [library_hash()])
    threads = asked_threads() or os.cpu_count() or 1
    at = [dict(zip(values, point, strict=True)) for point in itertools.product(*values.values())]

    def executed(point: dict[str, Any]) -> Point:
        where = folder / "points" / _point_name(point)
        return _executed(notebook, base | point, point, where, code, max(1, threads // jobs))

    points: dict[int, Point] = {}
    with (
        FolderLock(folder, f"sweep of {notebook}", wait_s=LONGEST_WAIT_S, tell=tell),
        progress(len(at), "points", "point") as bar,
        ThreadPoolExecutor(jobs) as pool,
    ):
        futures = {pool.submit(executed, point): i for i, point in enumerate(at)}
        try:
            for future in as_completed(futures):
                points[futures[future]] = future.result()
                bar.set_postfix_str(f"{sum(p.status == FAILED for p in points.values())} failed", refresh=False)
                bar.update()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            end_children()
            raise
        ordered = [points[i] for i in range(len(at))]
        return _joined(notebook, variant, values, ordered, folder), ordered


def _parsed(word: str) -> tuple[str, Any]:
    name, sign, text = word.partition("=")
    try:
        return name, yaml_files.parse(f"[{text}]").value if sign else None
    except SchemaError:
        raise SchemaError(f"cannot read the values of {word!r}; write parameter=value,value without spaces") from None


def _of_kind(parameter: params.Parameter, value: Any) -> Any:
    """The value, if it is of the kind of the default."""
    default = parameter.default
    if isinstance(default, float) and isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return float(value)  # an integer, or 1e-3, which YAML takes for text
        except ValueError:
            pass
    if default is not None and value is not None and type(value) is not type(default):
        raise SchemaError(
            f"{parameter.name} is {parameter.annotation}, such as {default!r}, and cannot be {value!r} "
            f"({type(value).__name__}); a list is written in brackets, text that looks like a number in quotes"
        )
    return value


def _point_name(point: Mapping[str, Any]) -> str:
    """Readable as far as it goes, and distinct."""
    readable = ",".join(f"{name}={value}" for name, value in point.items())
    return f"{file_name(readable)[:60].strip('_')}-{key_of([point])[:8]}"


def _executed(
    notebook: str, parameters: Mapping[str, Any], values: Mapping[str, Any], folder: Path, code: str, threads: int
) -> Point:
    """A point that is finished: it was before, or it ran now."""
    key = key_of([code, parameters])
    if (known := _state_of(folder)) and known["key"] == key and known["status"] == DONE:
        return Point(values=values, folder=folder, status=DONE, error="", seconds=known["seconds"], is_new=False)
    # Single parts of an earlier run are found again by their own keys; what it stored as a result is not.
    for path in [folder / _STATE, folder / RUN, folder / PARTIAL, *folder.glob("*.zarr")]:
        files.remove(path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _PARAMETERS).write_text(yaml.safe_dump(dict(parameters), sort_keys=False), encoding="utf-8")
    command = [sys.executable, "-m", "maskopt_lib.runs", "execute", notebook, "--out", str(folder)]
    command += ["--parameters", str(folder / _PARAMETERS), "--with-parent", str(os.getpid())]
    shares = {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    begun = time.perf_counter()
    with (folder / _LOG).open("w", encoding="utf-8") as log:
        # Not interrupted with this process: it is ended, in order, by what follows the interrupt here.
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env=os.environ | shares, start_new_session=True
        )
        failed = process.wait() != 0
    seconds = time.perf_counter() - begun
    error = _error_of(folder) if failed else ""
    state = {"key": key, "values": dict(values), "status": FAILED if failed else DONE, "error": error}
    files.write_json(folder / _STATE, state | {"seconds": seconds})
    return Point(values=values, folder=folder, status=state["status"], error=error, seconds=seconds, is_new=True)


def _state_of(folder: Path) -> dict[str, Any] | None:
    """What is known of a point whose results are all there and whole; else None."""
    try:
        known = files.read_json(folder / _STATE)
        for store in {*folder.glob("*.zarr"), *(folder / name for name in record_of(folder).get("outputs", []))}:
            stores.verify(store)
    except (FileNotFoundError, DamagedFileError):
        return None
    return known if (folder / RUN).is_file() else None


def _error_of(folder: Path) -> str:
    """What the failed cell says, else the last words of the log."""
    # A process that was killed may leave half a notebook, or none.
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError):
        for cell in json.loads((folder / PARTIAL).read_text(encoding="utf-8"))["cells"]:
            for output in cell.get("outputs", []):
                if output["output_type"] == "error":
                    return f"{output['ename']}: {output['evalue']}"
    lines = (folder / _LOG).read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "papermill said nothing"


def _joined(notebook: str, variant: str, grid: Mapping[str, list[Any]], points: Sequence[Point], folder: Path) -> Run:
    """Store the status of all points, and what the finished ones share."""
    done = [point for point in points if point.status == DONE]
    records = [point.folder / RECORD for point in done]
    run = start(
        f"{notebook} over {', '.join(grid)}",
        notebook=notebook,
        params={"variant": variant, "grid": grid},
        out_dir=folder,
        conventions=_common([record_of(path.parent)["conventions"] for path in records if path.exists()]),
        inputs=[path.parent for path in records if path.exists()],
    )
    labels = {name: _labels(values) for name, values in grid.items()}
    at = [tuple(range(len(values))) for values in grid.values()]
    places = list(itertools.product(*at))
    shape = tuple(len(values) for values in grid.values())

    def over_grid(values: list[Any], long_name: str, units: str = "1") -> tuple:
        return tuple(grid), np.array(values).reshape(shape), {"long_name": long_name, "units": units}

    status = xr.Dataset(
        {
            "status": over_grid([p.status for p in points], "how the run ended"),
            "error": over_grid([p.error for p in points], "what went wrong"),
            "seconds": over_grid([p.seconds for p in points], "time of the run", "s"),
            "folder": over_grid([p.folder.name for p in points], "folder of the run"),
        },
        coords=labels,
    )
    run.save(status, "status")
    names = [{path.stem for path in point.folder.glob("*.zarr")} for point in done]
    for name in sorted(set.intersection(*names)) if names else []:
        stored = {place: p for place, p in zip(places, points, strict=True) if p.status == DONE}
        datasets = {place: load(p.folder / f"{name}.zarr") for place, p in stored.items()}
        # Masks and pictures stay with their points: together they would be as large as all of these.
        if not {schema.Y, schema.X} & set().union(*(ds.dims for ds in datasets.values())):
            run.save(join(datasets, labels), name if name != "status" else "status_of_points")
    return run


def join(points: Mapping[tuple[int, ...], xr.Dataset], labels: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Datasets of single points as one over the grid.

    Parameters
    ----------
    points : position in the grid -> Dataset.
    labels : parameter -> labels along it, in the order of the positions.

    Returns
    -------
    Dataset with the parameters as first dimensions (a name that the Datasets use themselves gets ``_parameter`` behind
    it). Where a point, or a part of it, is missing, numbers are NaN and texts empty.
    """
    points = {place: _without_record(ds) for place, ds in points.items()}
    example = next(iter(points.values()))
    taken = {str(name) for ds in points.values() for name in (*ds.variables, *ds.dims)}
    blank = example.map(_blank, keep_attrs=True).drop_attrs(deep=False)

    def nested(place: tuple[int, ...]) -> xr.Dataset:
        if len(place) == len(labels):
            return points.get(place, blank)
        name, along = list(labels.items())[len(place)]
        index = pd.Index(along, name=f"{name}_parameter" if name in taken else name)
        inner = [nested((*place, i)) for i in range(len(along))]
        how = {"data_vars": "all", "coords": "minimal", "compat": "override", "combine_attrs": "drop_conflicts"}
        return xr.concat(inner, index, join="outer", **how)

    joined = nested(())
    texts = [name for name, v in joined.data_vars.items() if v.dtype == object]
    return joined.assign({name: joined[name].fillna("").astype(str) for name in texts})


def _without_record(ds: xr.Dataset) -> xr.Dataset:
    kept = ds.drop_encoding()  # how one was stored does not suit all: a missing integer is NaN
    kept.attrs = {key: value for key, value in ds.attrs.items() if key not in ("record", "title")}
    return kept


def _blank(values: xr.DataArray) -> xr.DataArray:
    if values.dtype.kind in "UOT":
        return xr.full_like(values, "", dtype=object)
    return xr.full_like(values, math.nan, dtype=np.result_type(values.dtype, np.float32))


def _labels(values: Sequence[Any]) -> list[Any]:
    """Labels that a store can hold: numbers or texts, all else as JSON."""
    kinds = {type(value) for value in values}
    return list(values) if len(kinds) == 1 and kinds <= {int, float, str} else [json.dumps(v) for v in values]


def _common(conventions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Conventions of all points; where they differ, each one once."""
    found = {}
    for key in dict.fromkeys(key for convention in conventions for key in convention):
        values = [convention.get(key) for convention in conventions]
        distinct = list({json.dumps(value, sort_keys=True): value for value in values}.values())
        found[key] = distinct[0] if len(distinct) == 1 else distinct
    return found
