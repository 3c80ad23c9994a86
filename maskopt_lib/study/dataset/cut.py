"""A store of tiles from designs: windows planned, cut in shards by any number of workers, assembled with exact sizes.

Three steps, each of which can be interrupted anywhere and taken up again:

* every design becomes one OASIS file, legalised where it has to be, and its windows a table;
* the windows of a layer and design are cut in shards. A shard is one file, a *part*, under a key of all that determines
  it; windows with nothing in their core are counted and left out;
* when all parts are there, the number of tiles is known: the store is laid out, and its shards are filled from parts.

Nothing depends on who did what when. So the store's digest is the same for any number of workers, for a run that was
killed and taken up again, and for a store of which damaged files were made anew.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import shards
from maskopt_lib.data.tile_arrays import TILE_ARRAYS
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import DamagedFileError
from maskopt_lib.layout.cell_tiles import TileRule, cut_tiles
from maskopt_lib.layout.designs import Design, read_design
from maskopt_lib.layout.platforms import Platform
from maskopt_lib.runs.gather import Task, complete, labelled, progress
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.parts import part_path, read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread
from maskopt_lib.study.dataset.plan import TILE, WINDOW, BuildRule, PlannedDesign, drawn_windows, writing

#: Folder of the store, below a build's own.
STORE = "dataset"
#: File in the store that says what it was laid out for.
KEYS = "build.json"
LAYER, DESIGN = "layer", "design"
_ORIENTATIONS = ("N", "S", "W", "E", "FN", "FS", "FW", "FE")
_CUT = ("index", "content", "turned", "core_density", "n_shapes_cut", "min_cut_nm", "signature", "canonical")


@dataclass(frozen=True, kw_only=True)
class Part(Task):
    """A shard of windows that is cut together."""

    layer: str
    design: str
    design_file: Path
    platform: Platform
    windows: xr.Dataset
    rule: TileRule

    def __len__(self) -> int:
        return self.windows.sizes[TILE]

    def __str__(self) -> str:
        return f"{len(self)} windows of {self.design}, {self.layer}"


def tile_parts(rule: BuildRule, designs: Sequence[PlannedDesign], folder: Path) -> list[Part]:
    """All shards of windows, by layer, design and window: the order of the tiles in the store."""
    code = source_hash(["maskopt_lib.layout.cell_tiles"])
    oasis = {design.name: files.sha256_of(design.file) for design in designs}
    parts = []
    for layer, design in ((layer, design) for layer in rule.layers for design in designs if layer in design.layers):
        table = design.windows[layer][list(WINDOW)]
        drawn = drawn_windows(table, rule.n_windows.get(layer, 0), rule.seed)
        for first in range(0, len(drawn), rule.shard_size):
            windows = table.isel({TILE: drawn[first : first + rule.shard_size]})
            values = [windows[name].values.tolist() for name in WINDOW]
            key = key_of([code, oasis[design.name], layer, asdict(rule.tiles), values])
            path = part_path(folder.resolve(), "tiles", layer, design.name, f"{first:07d}", key=key)
            origin = {"design": design.name, "design_file": design.file, "platform": design.platform}
            parts.append(Part(layer=layer, windows=windows, rule=rule.tiles, path=path, **origin))
    return parts


def cut_parts(parts: Sequence[Part], *, client: distributed.Client | None = None) -> int:
    """Cut the parts that are not there or not whole; how many these were."""
    with writing(folder_of(parts)):
        return complete(_cut, parts, client=client, title="cut", unit="window", size=len)


def cut_counts(parts: Sequence[Part]) -> xr.Dataset:
    """What the parts hold.

    Returns
    -------
    Dataset over ``layer`` and ``design``: ``windows`` that were cut, ``tiles`` with something in their core, ``empty``
    windows, ``cut_s`` (wall time of all workers together), ``cut_cpu_s`` (time of the processor).
    """
    variables = {
        "windows": ("windows that were cut", "1"),
        "tiles": ("tiles with something in their core", "1"),
        "cut_s": ("time to cut", "s"),
        "cut_cpu_s": ("processor time to cut", "s"),
    }
    ds = sums(parts, (LAYER, DESIGN), variables)
    empty = (ds["windows"] - ds["tiles"]).assign_attrs(long_name="windows with an empty core", units="1")
    return ds.assign(empty=empty)


def sums(parts: Sequence[Task], dims: Sequence[str], variables: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    """Add up what is said of parts.

    Parameters
    ----------
    parts : those that are not there, or damaged, count nothing.
    dims : attributes of a part, which become dimensions.
    variables : name of a number -> its ``long_name`` and ``units``; what has the unit "1" is a whole number.
    """
    rows = [{dim: getattr(part, dim) for dim in dims} | (said_of(part.path) or {}) for part in parts]
    totals = pd.DataFrame(rows, columns=[*dims, *variables]).groupby(list(dims), sort=False).sum()
    ds = labelled(totals.to_dict("index"), dims).fillna(0)
    for name, (long_name, units) in variables.items():
        ds[name] = ds[name].astype(int if units == "1" else float).assign_attrs(long_name=long_name, units=units)
    return ds


def assemble(
    rule: BuildRule,
    designs: Sequence[PlannedDesign],
    parts: Sequence[Part],
    folder: Path,
    *,
    client: distributed.Client | None = None,
    **attrs: object,
) -> tuple[TileStore, int]:
    """Fill the store from the parts, just what is missing or damaged; gives it, and how many shards were written.

    Parameters
    ----------
    rule, designs, parts, folder : as before; all parts are there.
    client : of the workers.
    attrs : plain JSON that the store keeps.
    """
    cells = {cell for d in designs for table in d.windows.values() for cell in np.unique(table["cell"]).tolist()}
    names = {DESIGN: [d.name for d in designs], "cell": sorted(cells), "orientation": list(_ORIENTATIONS)}
    tiles = asdict(rule.tiles) | {"step_nm": {layer: rule.tile_rule(layer).step for layer in rule.layers}}
    attrs = {"designs": {design.name: dict(design.info) for design in designs}, **attrs}
    by_layer = {layer: {p.path: said_of(p.path)["tiles"] for p in parts if p.layer == layer} for layer in rule.layers}
    by_layer = {layer: sizes for layer, sizes in by_layer.items() if sum(sizes.values())}
    parts_of = {layer: [path.name for path in sizes] for layer, sizes in by_layer.items()}
    key = hashed([names, tiles, rule.shard_size, parts_of])
    with writing(folder):
        store = _laid_out(folder.resolve() / STORE, key, list(by_layer), rule=tiles, **attrs)
        for layer, sizes in by_layer.items():
            store.reserve_tiles(layer, sum(sizes.values()), names=names, shard_size=rule.shard_size)
        tasks = [
            (store, layer, shard, overlaps(by_layer[layer], store.entries(layer)[shard]))
            for layer in store.layers
            for shard in store.missing(layer, deep=True)
        ]
        for _ in progress(len(tasks), "store", "shard", iterable=spread(_fill, tasks, client=client)):
            pass
    return store, len(tasks)


def folder_of(parts: Sequence[Task]) -> Path:
    """The folder of the build that parts belong to."""
    return parts[0].path.parents[1]


def overlaps(sizes: Mapping[Path, int], entries: slice) -> list[tuple[Path, slice]]:
    """Of parts, one after the other, those that hold some of the entries of a shard, and which of their own these are.

    Examples
    --------
    >>> overlaps({Path("a"): 4, Path("b"): 4, Path("c"): 4}, slice(3, 8))
    [(PosixPath('a'), slice(3, 4, None)), (PosixPath('b'), slice(0, 4, None))]
    """
    ends = np.cumsum(list(sizes.values())).tolist()
    return [
        (path, slice(max(entries.start - (end - n), 0), min(entries.stop - (end - n), n)))
        for (path, n), end in zip(sizes.items(), ends, strict=True)
        if end > entries.start and end - n < entries.stop
    ]


def read_pieces(pieces: Sequence[tuple[Path, slice]], names: Sequence[str]) -> dict[str, np.ndarray]:
    """Arrays of some entries of parts, joined; see :func:`overlaps`."""
    read = [{name: v[entries] for name, v in read_part(path, names).items()} for path, entries in pieces]
    return {name: np.concatenate([piece[name] for piece in read]) for name in names}


def tile_rule(store: TileStore) -> TileRule:
    """How the tiles of a store were cut; the step from window to window is that of each layer."""
    values = {name: value for name, value in store.rule.items() if name != "step_nm"}
    return TileRule(**values | {"contexts_nm": tuple(values["contexts_nm"])})


def is_sound(store: TileStore, layer: str, kinds: Sequence[str]) -> bool:
    """Whether what never changes of kinds of arrays is there as it was reserved."""
    try:
        known = {(kind.layer, kind.name): kind for kind in shards.kinds(store.path)}
    except DamagedFileError:
        return False
    return all((layer, k) in known and shards.fixed_state(store.path, known[layer, k]) == shards.WHOLE for k in kinds)


def read_keys(store: TileStore) -> dict[str, Any]:
    """What a store was laid out for: a key of its tiles, and of the labels of each layer; nothing where it is lost."""
    try:
        return files.read_json(store.path / KEYS)
    except (FileNotFoundError, DamagedFileError):
        return {"tiles": None, "labels": {}}


def write_keys(store: TileStore, keys: Mapping[str, Any]) -> None:
    """Say what a store is laid out for; before it is."""
    files.write_json(store.path / KEYS, keys)


def turned_signatures(parts: Sequence[Part], layer: str, context_nm: float) -> np.ndarray:
    """(sample, 8) uint64: signatures of all tiles of a layer at a context and turn, in the order of the store."""
    context = parts[0].rule.contexts_nm.index(context_nm)
    return np.concatenate([read_part(p.path, ["turned"])["turned"][:, context] for p in parts if p.layer == layer])


def _laid_out(path: Path, key: str, layers: Sequence[str], **what: Any) -> TileStore:
    """The store that is there, if it was laid out for these tiles and is sound; else an empty one."""
    store = TileStore(path)
    if path.exists() and (
        read_keys(store)["tiles"] != key or not all(is_sound(store, layer, ["tiles"]) for layer in layers)
    ):
        files.remove(path)  # all of it is in the parts
    store = TileStore.create(path, **what)
    if not (path / KEYS).is_file():
        write_keys(store, {"tiles": key, "labels": {}})
    return store


# What workers do


def _cut(part: Part, kept: Kept) -> None:
    design = kept(part.design_file, partial(read_design, part.design_file, platform=part.platform))
    wall, processor = time.perf_counter(), time.process_time()
    arrays = _tiles_of(part, design)
    values = {
        "windows": len(part),
        "tiles": len(arrays["index"]),
        "cut_s": time.perf_counter() - wall,
        "cut_cpu_s": time.process_time() - processor,
    }
    write_part(part.path, arrays, values, bits={"content": arrays.pop("content")})


def _tiles_of(part: Part, design: Design) -> dict[str, np.ndarray]:
    """Arrays of all windows with something in their core, in the order of the windows."""
    blocks = []
    for block in cut_tiles(design, part.layer, part.windows, part.rule):
        filled = block.core_density > 0
        blocks.append({name: getattr(block, name)[filled] for name in _CUT})
    arrays = {name: np.concatenate([block[name] for block in blocks]) for name in _CUT}
    order = np.argsort(arrays["index"])
    arrays = {name: values[order] for name, values in arrays.items()}
    windows = part.windows.isel({TILE: arrays["index"]})
    return arrays | {name: windows[name].values for name in WINDOW} | {DESIGN: np.full(len(order), part.design)}


def _fill(task: tuple[TileStore, str, int, list[tuple[Path, slice]]], kept: Kept) -> None:
    store, layer, shard, pieces = task
    store.write_tiles(layer, shard, read_pieces(pieces, list(TILE_ARRAYS)))
