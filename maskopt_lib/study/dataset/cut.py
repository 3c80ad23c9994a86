"""A store of tiles from designs: windows planned, cut in shards by any number of workers, assembled with exact sizes.

Three steps, each of which can be interrupted anywhere and taken up again:

* every design becomes one OASIS file, legalised where it has to be, and its windows a table;
* the windows of a layer and design are cut in shards. A shard is one file, a *part*, under a key of all that determines
  it; windows with nothing in their core are counted and left out;
* when all parts are there, the number of tiles is known: the store is laid out, and its shards are filled from parts.

Nothing depends on who did what when. So the store's digest is the same for any number of workers, for a run that was
killed and taken up again, and for a store of which damaged files were made anew.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import xarray as xr

# Text, not a widget: these bars belong in the log of an unattended run.
from tqdm import tqdm

from maskopt_lib.data import shards
from maskopt_lib.data.tile_arrays import TILE_ARRAYS
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.files import sha256_of, write_json
from maskopt_lib.layout import Design, Platform, TileRule, cut_tiles, read_design
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.study.dataset.plan import TILE, WINDOW, BuildRule, PlannedDesign, drawn_windows

#: Folders below a build's own: parts, and the store.
PARTS, STORE = "parts", "dataset"
#: File in the store that says what it was laid out for.
KEYS = "build.json"
LAYER, DESIGN = "layer", "design"
_KEY_DIGITS = 16
_ORIENTATIONS = ("N", "S", "W", "E", "FN", "FS", "FW", "FE")


@dataclass(frozen=True, kw_only=True)
class Part:
    """A shard of windows that is cut together, and where what was cut is kept."""

    layer: str
    design: str
    design_file: Path
    platform: Platform
    windows: xr.Dataset
    rule: TileRule
    path: Path

    def __str__(self) -> str:
        return f"{self.windows.sizes[TILE]} windows of {self.design}, {self.layer}"

    @property
    def said(self) -> dict[str, float] | None:
        """Counts and seconds of the part; None where it is not there, or damaged."""
        return said_of(self.path)


def parts(rule: BuildRule, designs: Sequence[PlannedDesign], folder: Path) -> list[Part]:
    """All shards of windows, by layer, design and window: the order of the tiles in the store."""
    target = (folder / PARTS).resolve()
    target.mkdir(parents=True, exist_ok=True)
    code = source_hash(["maskopt_lib.layout.cell_tiles"])
    files = {design.name: sha256_of(design.file) for design in designs}
    found = []
    for layer in rule.layers:
        for design in designs:
            if layer not in design.layers:
                continue
            all_of_them = design.windows[layer]
            chosen = drawn_windows(all_of_them, rule.n_windows.get(layer, 0), rule.seed)
            for first in range(0, len(chosen), rule.shard_size):
                windows = all_of_them.isel({TILE: chosen[first : first + rule.shard_size]})
                values = [windows[name].values.tolist() for name in WINDOW]
                key = hashed([code, files[design.name], layer, asdict(rule.tiles), values])[:_KEY_DIGITS]
                found.append(
                    Part(
                        layer=layer, design=design.name, design_file=design.file, platform=design.platform,
                        windows=windows[list(WINDOW)], rule=rule.tiles,
                        path=target / f"{file_name('tiles', layer, design.name, f'{first:07d}', key)}.npz",
                    )
                )  # fmt: skip
    return found


def cut(todo: Sequence[Part], *, client: distributed.Client | None = None) -> int:
    """Cut the parts that are not there or not whole; how many these were."""
    lacking = [part for part in todo if part.said is None]
    if True:
        for _ in tqdm(
            spread(_cut, lacking, client=client), total=len(lacking), desc="cut", unit="part", file=sys.stdout,
            mininterval=5, maxinterval=30,
        ):  # fmt: skip
            pass
    return len(lacking)


def counts(todo: Sequence[Part]) -> xr.Dataset:
    """What the parts hold.

    Returns
    -------
    Dataset over ``layer`` and ``design``: ``windows`` that were cut, ``tiles`` with something in their core, ``empty``
    windows, ``cut_s`` (wall time of all workers together), ``cut_cpu_s`` (time of the processor).
    """
    layers, designs = (list(dict.fromkeys(getattr(part, name) for part in todo)) for name in (LAYER, DESIGN))
    columns = {
        "windows": ("n_windows", "windows that were cut", "1"),
        "tiles": ("n", "tiles with something in their core", "1"),
        "cut_s": ("cut_s", "time to cut", "s"),
        "cut_cpu_s": ("cut_cpu_s", "processor time to cut", "s"),
    }
    values = {name: np.zeros((len(layers), len(designs))) for name in columns}
    for part in todo:
        for name, (said, _, _) in columns.items():
            values[name][layers.index(part.layer), designs.index(part.design)] += part.said.get(said, np.nan)
    ds = xr.Dataset(
        {
            name: (
                (LAYER, DESIGN),
                values[name].astype(float if unit == "s" else int),
                {"long_name": long, "units": unit},
            )
            for name, (_, long, unit) in columns.items()
        },
        coords={LAYER: layers, DESIGN: designs},
    )
    return ds.assign(
        empty=(ds["windows"] - ds["tiles"]).assign_attrs(long_name="windows with an empty core", units="1")
    )


def assemble(
    rule: BuildRule,
    designs: Sequence[PlannedDesign],
    todo: Sequence[Part],
    folder: Path,
    *,
    client: distributed.Client | None = None,
    **attrs: object,
) -> tuple[TileStore, int]:
    """Fill the store from the parts: only shards that are missing or damaged are written.

    Parameters
    ----------
    rule, designs, todo, folder : as before; all parts are there.
    client : of the workers.
    attrs : plain JSON that the store keeps.

    Returns
    -------
    The store, and how many shards were written.
    """
    path = (folder / STORE).resolve()
    names = {
        "design": [design.name for design in designs],
        "cell": sorted({cell for d in designs for w in d.windows.values() for cell in np.unique(w["cell"]).tolist()}),
        "orientation": list(_ORIENTATIONS),
    }
    by_layer = {layer: [part for part in todo if part.layer == layer] for layer in rule.layers}
    sizes = {layer: [int(part.said["n"]) for part in those] for layer, those in by_layer.items()}
    attrs = {"designs": {design.name: dict(design.info) for design in designs}, **attrs}
    said = asdict(rule.tiles) | {"step_nm": {layer: rule.of(layer).step for layer in rule.layers}}
    layers = [layer for layer, n in sizes.items() if sum(n)]
    part_names = {layer: [part.path.name for part in by_layer[layer]] for layer in layers}
    key = hashed([names, said, rule.shard_size, part_names])
    if path.exists():
        there = TileStore(path)
        if read_keys(there)["tiles"] != key or not all(is_sound(there, layer, ["tiles"]) for layer in layers):
            shutil.rmtree(path)  # laid out for other tiles, or broken: all of it is in the parts
    store = TileStore.create(path, rule=said, **attrs)
    if not (path / KEYS).is_file():
        write_keys(store, {"tiles": key, "labels": {}})
    for layer in layers:
        store.reserve_tiles(layer, sum(sizes[layer]), names=names, shard_size=rule.shard_size)
    tasks = []
    for layer in store.layers:
        ends = np.cumsum(sizes[layer])
        entries = store.entries(layer)
        for shard in store.missing(layer, deep=True):
            start, stop = entries[shard].start, entries[shard].stop
            pieces = [
                (part.path, max(start - (end - n), 0), min(stop - (end - n), n))
                for part, n, end in zip(by_layer[layer], sizes[layer], ends.tolist(), strict=True)
                if end > start and end - n < stop
            ]
            tasks.append((store, layer, shard, pieces))
    for _ in tqdm(
        spread(_fill, tasks, client=client), total=len(tasks), desc="store", unit="shard", file=sys.stdout,
        mininterval=5, maxinterval=30,
    ):  # fmt: skip
        pass
    return store, len(tasks)


def is_sound(store: TileStore, layer: str, kinds: Sequence[str]) -> bool:
    """Whether what never changes of kinds of arrays is there as it was reserved."""
    known = {(kind.layer, kind.name): kind for kind in shards.kinds(store.path)}
    return all(
        (layer, kind) in known and shards.fixed_state(store.path, known[layer, kind]) == shards.WHOLE for kind in kinds
    )


def read_keys(store: TileStore) -> dict:
    """What a store was laid out for: a key of its tiles, and of the labels of each layer."""
    try:
        return json.loads((store.path / KEYS).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {"tiles": None, "labels": {}}


def write_keys(store: TileStore, keys: Mapping[str, object]) -> None:
    """Say what a store is laid out for; before it is."""
    write_json(store.path / KEYS, keys)


def turned_signatures(todo: Sequence[Part], layer: str, context_nm: float) -> np.ndarray:
    """(sample, 8) uint64: signatures of all tiles of a layer at a context and turn, in the order of the store."""
    found = []
    for part in todo:
        if part.layer == layer:
            i = part.rule.contexts_nm.index(context_nm)
            found.append(read_part(part.path, ["turned"])["turned"][:, i])
    return np.concatenate(found)


# What workers do


def _cut(part: Part, kept: Kept) -> None:
    design = kept(part.design_file, partial(read_design, part.design_file, platform=part.platform))
    wall, processor = time.perf_counter(), time.process_time()
    arrays = _with_something(part, design)
    said = {
        "n_windows": part.windows.sizes[TILE], "n": len(arrays["index"]),
        "cut_s": time.perf_counter() - wall, "cut_cpu_s": time.process_time() - processor,
    }  # fmt: skip
    write_part(part.path, arrays, said, bits={"content": arrays.pop("content")})


def _with_something(part: Part, design: Design) -> dict[str, np.ndarray]:
    names = ("index", "content", "turned", "core_density", "n_shapes_cut", "min_cut_nm", "signature", "canonical")
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for some in cut_tiles(design, part.layer, part.windows, part.rule):
        there = some.core_density > 0
        for name, values in pieces.items():
            values.append(getattr(some, name)[there])
    arrays = {name: np.concatenate(values) for name, values in pieces.items()}
    order = np.argsort(arrays["index"])
    arrays = {name: values[order] for name, values in arrays.items()}
    windows = part.windows.isel({TILE: arrays["index"]})
    arrays |= {name: windows[name].values for name in WINDOW}
    return arrays | {"design": np.full(len(order), part.design)}


def _fill(task: tuple[TileStore, str, int, list[tuple[Path, int, int]]], kept: Kept) -> None:
    store, layer, shard, pieces = task
    found: dict[str, list[np.ndarray]] = {name: [] for name in TILE_ARRAYS}
    for path, start, stop in pieces:
        arrays = read_part(path, list(found))
        for name, values in found.items():
            values.append(arrays[name][start:stop])
    store.write_tiles(layer, shard, {name: np.concatenate(values) for name, values in found.items()})
