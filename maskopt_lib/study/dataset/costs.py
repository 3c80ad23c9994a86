"""What a dataset costs: how the work scales with workers, how fast a tile is read, what the whole would take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.hashing import key_of
from maskopt_lib.runs.parts import is_whole, part_path, read_part, write_part
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.dataset.cut import Part, cut_parts
from maskopt_lib.study.dataset.label import Batch, solve_batches

#: Tiles of the paper: of metal, and of contacts or vias.
PAPER_TILES = {"metal": 104_714, "via": 121_952}
_WORKERS = "workers"
_N_WORKERS = (1, 2)


def scaling(parts: Sequence[Part], batches: Sequence[Batch], folder: Path) -> xr.Dataset:
    """Time the same work with one worker and with two, which are started and warm before the clock is.

    Parameters
    ----------
    parts, batches : a few of each, as equal as possible and a multiple of the workers.
    folder : of the build; what was timed is kept there and not timed again.

    Returns
    -------
    Dataset over ``workers``: ``cut_per_s`` tiles, ``solved_per_s`` masks, of wall time.
    """
    key = key_of([[task.path.name for task in (*parts, *batches)], list(_N_WORKERS)])
    path = part_path(folder, "scaling", key=key)
    if not is_whole(path):
        rates = []
        for n in _N_WORKERS:
            with workers(n) as client:
                work = {"cut_per_s": (cut_parts, parts), "solved_per_s": (solve_batches, batches)}
                rates.append({name: _rate(do, tasks, folder, n, client) for name, (do, tasks) in work.items()})
        write_part(path, {name: values.values for name, values in pd.DataFrame(rates).items()})
    texts = {
        "cut_per_s": ("windows cut a second", "1/s"),
        "solved_per_s": ("masks solved and scored a second", "1/s"),
        _WORKERS: "worker processes",
    }
    ds = xr.Dataset({name: (_WORKERS, v) for name, v in read_part(path).items()}, {_WORKERS: list(_N_WORKERS)})
    return schema.described(ds, texts)


def read_times(store: TileStore, layer: str, *, n: int = 100, seed: int = 0) -> xr.DataArray:
    """(read,) seconds to read the content of single tiles drawn at random."""
    content = store.open(layer)["content"]
    seconds = []
    for sample in np.random.default_rng(seed).integers(0, content.sizes[ta.SAMPLE], n).tolist():
        begun = time.perf_counter()
        content[sample].load()
        seconds.append(time.perf_counter() - begun)
    attrs = {"long_name": "time to read one tile", "units": "s"}
    return xr.DataArray(np.array(seconds), dims="read", name="read_s", attrs=attrs)


def whole_dataset(
    cost_s: Mapping[str, float],
    shared: Mapping[str, float],
    setups: Mapping[str, Mapping[str, float]],
    tiles: Mapping[str, int] = PAPER_TILES,
) -> xr.Dataset:
    """Estimate what the paper's number of tiles would take.

    Parameters
    ----------
    cost_s : seconds of one core: ``cut`` a tile, and by kind of mask and group of tiles (``"opc metal"``,
        ``"ilt via"`` ...) to solve, and ``score`` a mask.
    shared : group -> geometries a tile, 1 where no two tiles are alike.
    setups : name -> ``cores`` and ``gpus``; with GPUs ``opc_per_s`` and ``ilt_per_s``, masks a second of one GPU,
        scores included.
    tiles : group -> how many.

    Returns
    -------
    Dataset over ``setup`` and ``work`` (cut, opc, ilt, all): ``hours`` with every tile solved by itself,
    ``hours_shared`` with one solution a geometry.

    Examples
    --------
    A core that needs a second for everything, a hundred tiles of which half are alike:

    >>> cost = {"cut": 1, "opc metal": 1, "ilt metal": 1, "score": 0}
    >>> found = whole_dataset(cost, {"metal": 0.5}, {"two cores": {"cores": 2}}, {"metal": 7200})
    >>> found.hours.sel(work="all").item(), found.hours_shared.sel(work="all").item()
    (3.0, 2.0)
    """
    alone = dict.fromkeys(tiles, 1.0)
    rows = {}
    for name, setup in setups.items():
        hours_shared = _hours(setup, cost_s, shared, tiles)
        for work, hours in _hours(setup, cost_s, alone, tiles).items():
            rows[name, work] = {"hours": hours, "hours_shared": hours_shared[work]}
    texts = {
        "hours": ("wall time, every tile solved", "h"),
        "hours_shared": ("wall time, one solution a geometry", "h"),
    }
    return labelled(rows, ("setup", "work"), texts=texts)


def _rate(do, tasks: Sequence[Part] | Sequence[Batch], folder: Path, n: int, client) -> float:
    """Windows or masks a second; the workers have done some of the work before."""
    scratch = folder / "scaling"
    moved = [replace(task, path=scratch / task.path.name) for task in tasks]
    for subset in (moved[:n], moved):
        files.remove(scratch)
        begun = time.perf_counter()
        do(subset, client=client)
        seconds = time.perf_counter() - begun
    files.remove(scratch)
    return sum(map(len, tasks)) / seconds


def _hours(
    setup: Mapping[str, float], cost_s: Mapping[str, float], share: Mapping[str, float], tiles: Mapping[str, int]
) -> dict[str, float]:
    """Wall time by kind of work, when so many masks are solved a tile."""
    masks = {group: n * share[group] for group, n in tiles.items()}
    hours = {"cut": sum(tiles.values()) * cost_s["cut"] / setup["cores"] / 3600}
    for kind in ("opc", "ilt"):
        if setup.get("gpus"):
            seconds = sum(masks.values()) / (setup[f"{kind}_per_s"] * setup["gpus"])
        else:
            each = {group: cost_s[f"{kind} {group}"] + cost_s["score"] for group in tiles}
            seconds = sum(n * each[group] for group, n in masks.items()) / setup["cores"]
        hours[kind] = seconds / 3600
    return hours | {"all": sum(hours.values())}
