"""What a dataset costs: how the work scales with workers, how fast a tile is read, what the whole would take."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.runs.hashing import hashed
from maskopt_lib.runs.parts import read_part, said_of, write_part
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.dataset.cut import Part, cut
from maskopt_lib.study.dataset.label import Batch, solve

#: Tiles of the paper: of metal, and of contacts or vias.
PAPER_TILES = {"metal": 104_714, "via": 121_952}
_WORKERS = "workers"


def scaling(
    parts: Sequence[Part], batches: Sequence[Batch], folder: Path, n_workers: Sequence[int] = (1, 2)
) -> xr.Dataset:
    """Time the same work with several numbers of workers, which are started and warm before the clock is.

    Parameters
    ----------
    parts, batches : a few of each, as equal as possible and a multiple of the workers.
    folder : of the build; what was timed is kept there and not timed again.
    n_workers : to try.

    Returns
    -------
    Dataset over ``workers``: ``cut_per_s`` tiles, ``solved_per_s`` masks, of wall time.
    """
    key = hashed([[one.path.name for one in (*parts, *batches)], list(n_workers)])[:16]
    kept = folder / "parts" / f"scaling-{key}.npz"
    scratch = folder / "scaling"
    if said_of(kept) is None:
        rates: dict[str, list[float]] = {"cut_per_s": [], "solved_per_s": []}
        for n in n_workers:
            with workers(n) as client:
                for name, do, todo in (("cut_per_s", cut, parts), ("solved_per_s", solve, batches)):
                    done = {}
                    for clock in ("warm up", "timed"):
                        shutil.rmtree(scratch, ignore_errors=True)
                        scratch.mkdir()
                        moved = [replace(one, path=scratch / one.path.name) for one in todo]
                        begun = time.perf_counter()
                        do(moved[:n] if clock == "warm up" else moved, client=client)
                        done[clock] = time.perf_counter() - begun
                    size = sum(_entries(one) for one in todo)
                    rates[name].append(size / done["timed"])
        shutil.rmtree(scratch)
        write_part(kept, {name: np.array(values) for name, values in rates.items()}, {})
    long = {"cut_per_s": "windows cut a second", "solved_per_s": "masks solved and scored a second"}
    return xr.Dataset(
        {name: (_WORKERS, v, {"long_name": long[name], "units": "1/s"}) for name, v in read_part(kept).items()},
        coords={_WORKERS: (_WORKERS, list(n_workers), {"long_name": "worker processes", "units": "1"})},
    )


def read_times(store: TileStore, layer: str, *, n: int = 100, seed: int = 0) -> xr.DataArray:
    """(read,) seconds to read the content of single tiles drawn at random."""
    content = store.open(layer)["content"]
    drawn = np.random.default_rng(seed).integers(0, content.sizes[ta.SAMPLE], n)
    seconds = []
    for sample in drawn.tolist():
        begun = time.perf_counter()
        content[sample].load()
        seconds.append(time.perf_counter() - begun)
    said = {"long_name": "time to read one tile", "units": "s"}
    return xr.DataArray(np.array(seconds), dims="read", name="read_s", attrs=said)


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
    works, names = ("cut", "opc", "ilt", "all"), ("hours", "hours_shared")
    values = {name: np.zeros((len(setups), len(works))) for name in names}
    for i, setup in enumerate(setups.values()):
        for name in names:
            seconds = {"cut": sum(tiles.values()) * cost_s["cut"] / setup["cores"]}
            for kind in ("opc", "ilt"):
                masks = {group: n * (shared[group] if name == "hours_shared" else 1) for group, n in tiles.items()}
                if setup.get("gpus"):
                    seconds[kind] = sum(masks.values()) / (setup[f"{kind}_per_s"] * setup["gpus"])
                else:
                    each = {group: cost_s[f"{kind} {group}"] + cost_s["score"] for group in tiles}
                    seconds[kind] = sum(n * each[group] for group, n in masks.items()) / setup["cores"]
            values[name][i] = [*(seconds[work] / 3600 for work in works[:-1]), sum(seconds.values()) / 3600]
    long = {"hours": "wall time, every tile solved", "hours_shared": "wall time, one solution a geometry"}
    return xr.Dataset(
        {name: (("setup", "work"), v, {"long_name": long[name], "units": "h"}) for name, v in values.items()},
        coords={"setup": list(setups), "work": list(works)},
    )


def _entries(one: Part | Batch) -> int:
    return one.windows.sizes["tile"] if isinstance(one, Part) else len(one.sample)
