"""Do what is lacking, keep each piece as soon as it is there, and give all of it back as one labelled Dataset."""

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import torch
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError
from maskopt_lib.runs.parts import is_whole
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.runs.spread import workers as local_workers


@dataclass(frozen=True, kw_only=True)
class Task:
    """A piece of work, as it travels to a worker; ``str`` of it is what an error and the bar call it.

    Attributes
    ----------
    path : where its part is kept, see :func:`maskopt_lib.runs.parts.part_path`.
    at : its labels, where results are gathered by them.
    """

    path: Path
    at: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return ", ".join(map(str, self.at)) or self.path.stem


def complete(
    do: Callable[[Any, Kept], Any],
    tasks: Iterable[Task],
    *,
    client: distributed.Client | None = None,
    workers: int = 1,
    environment: Mapping[str, str] | None = None,
    title: str = "",
    unit: str = "part",
    size: Callable[[Any], int] = lambda task: 1,
    after: Callable[[Any, Any], None] = lambda task, result: None,
    keep: int = 4,
) -> int:
    """See to it that every task's part is there and whole, and make those that are not; how many these were.

    What dead writers left beside the parts is swept.

    Parameters
    ----------
    do : a function of the library that does a task and writes its part to ``task.path``; see
        :func:`maskopt_lib.runs.spread.spread`.
    tasks : those with one path are done once.
    client : of workers that run already.
    workers : without a client: processes to start where so many parts are lacking, which share out the threads of
        torch; 1 works in this process.
    environment : variables that a process is to be started with, also where one would do the work here.
    title, unit : of the progress bar.
    size : of a task in ``unit``.
    after : called here with each task that was made and what ``do`` returned.
    keep : how many things a process keeps between tasks.
    """
    once = list({task.path: task for task in tasks}.values())
    for folder in {task.path.parent for task in once}:
        files.sweep(folder)
    lacking = [task for task in once if not is_whole(task.path)]
    n = min(workers, len(lacking))
    threads = max(1, torch.get_num_threads() // max(1, n))
    started = nullcontext(client) if client is not None else local_workers(n, threads=threads, environment=environment)
    with started as client, progress(sum(map(size, once)), title, unit) as bar:
        bar.update(sum(map(size, once)) - sum(map(size, lacking)))
        for task, result in spread(do, lacking, client=client, keep=keep):
            after(task, result)
            bar.set_postfix_str(str(task), refresh=False)
            bar.update(size(task))
    return len(lacking)


def progress(total: int | None, title: str, unit: str, **more: Any) -> tqdm:
    """A progress bar for the log of an unattended run: every refresh is a line, one in five seconds tells enough."""
    return tqdm(total=total, desc=title, unit=unit, file=sys.stdout, mininterval=5, maxinterval=30, **more)


def labelled(
    rows: Mapping[tuple, Mapping[str, Any] | xr.Dataset],
    dims: Sequence[str],
    *,
    texts: Mapping[str, str | tuple[str, str]] | None = None,
) -> xr.Dataset:
    """Results by label as one Dataset; labels keep their order, and what one of them lacks is nan (text: empty).

    Parameters
    ----------
    rows : labels along ``dims`` -> name -> number or text, or a Dataset.
    dims : names of the dimensions.
    texts : variable -> what it is, see :func:`maskopt_lib.data.schema.described`.

    Returns
    -------
    Dataset over ``dims``, and over those that Datasets of ``rows`` have; of no rows an empty one, with the variables of
    ``texts``.

    Examples
    --------
    >>> ds = labelled({("a", 1): {"n": 3}, ("b", 0): {"n": 4, "said": "x"}}, ("name", "seed"))
    >>> ds.n.values.tolist(), ds.seed.values.tolist(), ds.said.values.tolist()
    ([[3.0, nan], [nan, 4.0]], [1, 0], [['', ''], ['', 'x']])
    """
    if not rows:
        none = np.empty([0] * len(dims))
        empty = xr.Dataset({name: (list(dims), none) for name in texts or ()}, {dim: np.array([], str) for dim in dims})
        return schema.described(empty, texts or {})
    index = pd.MultiIndex.from_tuples(list(rows), names=list(dims))
    if all(isinstance(row, xr.Dataset) for row in rows.values()):
        _check_coordinates(rows)
        how = {"data_vars": "all", "coords": "minimal", "compat": "override", "combine_attrs": "drop_conflicts"}
        joined = xr.concat(rows.values(), "row", join="outer", **how)
        joined = joined.assign_coords(xr.Coordinates.from_pandas_multiindex(index, "row")).unstack("row")
        joined = joined.transpose(*dims, ...)
    else:
        joined = pd.DataFrame(list(rows.values()), index=index).to_xarray()
    ordered = {dim: list(dict.fromkeys(index.get_level_values(dim))) for dim in dims}
    joined = joined.reindex(ordered) if all(len(set(v)) == len(v) for v in ordered.values()) else joined
    # A truth that is lacking somewhere is a number, as is a count: text "False" would be true.
    objects = {name: v for name, v in joined.data_vars.items() if v.dtype == object}
    kinds = {name: {type(value) for value in v.values.flat if not pd.isna(value)} for name, v in objects.items()}
    truths = [name for name, types in kinds.items() if types and types <= {bool, np.bool_}]
    joined = joined.assign({name: joined[name].astype(float) for name in truths})
    words = [name for name, values in joined.data_vars.items() if values.dtype.kind in "OUT"]
    joined = joined.assign({name: joined[name].fillna("").astype(str) for name in words})
    joined = joined.assign_coords({dim: np.array(labels) for dim, labels in ordered.items()})
    return schema.described(joined, texts or {})


def _check_coordinates(rows: Mapping[tuple, Any]) -> None:
    """One coordinate that is no index serves all rows: it must be the same in each."""
    first: dict[Any, tuple[tuple, xr.Variable]] = {}
    for labels, row in rows.items():
        for name in set(row.coords) - set(row.xindexes):
            there, known = first.setdefault(name, (labels, row[name].variable))
            if not known.equals(row[name].variable):
                raise SchemaError(f"{name!r} differs between {there} and {labels}; make it a variable, or a dimension")
