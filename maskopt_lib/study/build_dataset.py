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

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import distributed
import numpy as np
import pooch
import xarray as xr
from tqdm import tqdm

from maskopt_lib.data import manifest
from maskopt_lib.data.shards import sha256_of
from maskopt_lib.data.tile_arrays import TILE_ARRAYS
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import LayoutError, SchemaError
from maskopt_lib.layout import (
    PLATFORMS,
    Platform,
    TileRule,
    cut_tiles,
    open_design,
    read_design,
    tile_windows,
)
from maskopt_lib.study.checked_parts import read_part, said_of, write_part
from maskopt_lib.study.kept import Kept, keeping
from maskopt_lib.study.parts import file_name
from maskopt_lib.study.sources import source_hash
from maskopt_lib.study.spread import hashed, spread

#: Folders below a build's own: designs as they are cut, parts, and the store.
DESIGNS, PARTS, STORE = "designs", "parts", "dataset"
TILE, LAYER, DESIGN = "tile", "layer", "design"
_KEY_DIGITS = 16
_ORIENTATIONS = ("N", "S", "W", "E", "FN", "FS", "FW", "FE")
_WINDOW = ("instance", "cell", "orientation", "row", "column", "n_rows", "n_columns", "x_nm", "y_nm")


@dataclass(frozen=True, kw_only=True)
class BuildRule:
    """What a dataset of tiles is cut from, and how.

    Attributes
    ----------
    designs : names for :func:`maskopt_lib.layout.open_design`, in the order they are stored.
    layers : a design is cut on those of them that it is good for.
    tiles : how windows lie and what is kept.
    cells : names or patterns of cells; the logic cells by default.
    n_windows : layer -> windows of a design, about: instances are drawn until they have so many, and of an instance all
        windows are taken. All windows where nothing is said.
    seed : of that draw.
    shard_size : windows a part, and tiles a shard of the store.
    """

    designs: tuple[str, ...]
    layers: tuple[str, ...] = ("metal1", "contact", "via1")
    tiles: TileRule = field(default_factory=TileRule)
    cells: tuple[str, ...] | None = None
    n_windows: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    shard_size: int = 2048


@dataclass(frozen=True, kw_only=True)
class PlannedDesign:
    """A design as the workers read it.

    Attributes
    ----------
    name : of the design.
    file : its OASIS, cells on rows.
    platform : of the file.
    layers : to be cut, those the design is good for.
    windows : of :func:`maskopt_lib.layout.tile_windows`, all of them.
    info : what the dataset says of the design.
    """

    name: str
    file: Path
    platform: Platform
    layers: tuple[str, ...]
    windows: xr.Dataset
    info: Mapping[str, object]


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


def plan(rule: BuildRule, folder: Path, *, client: distributed.Client | None = None) -> list[PlannedDesign]:
    """Open every design, put its cells on rows where they are not, and find its windows.

    Parameters
    ----------
    rule : what to cut.
    folder : of the build; what is there and made from the same files is taken.
    client : of :func:`maskopt_lib.study.spread.workers`.

    Raises
    ------
    LayoutError : a design is good for none of the layers.
    """
    target = (folder / DESIGNS).resolve()
    target.mkdir(parents=True, exist_ok=True)
    code = source_hash(["maskopt_lib.layout.catalog", "maskopt_lib.layout.cell_tiles"])
    settings = [code, asdict(rule.tiles), rule.cells]
    tasks = [
        (name, rule, target / f"{file_name(name, hashed([design_key(name), *settings])[:_KEY_DIGITS])}.npz")
        for name in rule.designs
    ]
    list(spread(_prepare, [task for task in tasks if not _is_prepared(task[2])], client=client))
    return [_planned(name, rule, path) for name, _, path in tasks]


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
            chosen = drawn_windows(design.windows, rule.n_windows.get(layer, 0), rule.seed)
            for first in range(0, len(chosen), rule.shard_size):
                windows = design.windows.isel({TILE: chosen[first : first + rule.shard_size]})
                values = [windows[name].values.tolist() for name in _WINDOW]
                key = hashed([code, files[design.name], layer, asdict(rule.tiles), values])[:_KEY_DIGITS]
                found.append(
                    Part(
                        layer=layer, design=design.name, design_file=design.file, platform=design.platform,
                        windows=windows[list(_WINDOW)], rule=rule.tiles,
                        path=target / f"{file_name('tiles', layer, design.name, f'{first:07d}', key)}.npz",
                    )
                )  # fmt: skip
    return found


def cut(todo: Sequence[Part], *, client: distributed.Client | None = None) -> int:
    """Cut the parts that are not there or not whole; how many these were."""
    lacking = [part for part in todo if part.said is None]
    with keeping(_cut, client) as do:
        for _ in tqdm(
            spread(do, lacking, client=client), total=len(lacking), desc="cut", unit="part", file=sys.stdout,
            mininterval=5, maxinterval=30,
        ):  # fmt: skip
            pass
    return len(lacking)


def counts(todo: Sequence[Part]) -> xr.Dataset:
    """What the parts hold.

    Returns
    -------
    Dataset over ``layer`` and ``design``: ``windows`` that were cut, ``tiles`` with something in their core, ``empty``
    windows, ``cut_s`` (seconds of all workers together).
    """
    layers, designs = (list(dict.fromkeys(getattr(part, name) for part in todo)) for name in (LAYER, DESIGN))
    columns = {
        "windows": ("n_windows", "windows that were cut", "1"),
        "tiles": ("n", "tiles with something in their core", "1"),
        "cut_s": ("cut_s", "time to cut", "s"),
    }
    values = {name: np.zeros((len(layers), len(designs))) for name in columns}
    for part in todo:
        for name, (said, _, _) in columns.items():
            values[name][layers.index(part.layer), designs.index(part.design)] += part.said[said]
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
        "cell": sorted({cell for design in designs for cell in np.unique(design.windows["cell"].values).tolist()}),
        "orientation": list(_ORIENTATIONS),
    }
    by_layer = {layer: [part for part in todo if part.layer == layer] for layer in rule.layers}
    sizes = {layer: [int(part.said["n"]) for part in those] for layer, those in by_layer.items()}
    attrs = {"designs": {design.name: dict(design.info) for design in designs}, **attrs}

    def laid_out() -> TileStore:
        store = TileStore.create(path, rule=asdict(rule.tiles), **attrs)
        for layer, n in sizes.items():
            if sum(n):
                store.reserve_tiles(layer, sum(n), names=names, shard_size=rule.shard_size)
        return store

    try:
        store = laid_out()
    except SchemaError:  # it was laid out for other tiles: all of it is in the parts, nothing is lost
        shutil.rmtree(path)
        store = laid_out()
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


def turned_signatures(todo: Sequence[Part], layer: str, context_nm: float) -> np.ndarray:
    """(sample, 8) uint64: signatures of all tiles of a layer at a context and turn, in the order of the store."""
    found = []
    for part in todo:
        if part.layer == layer:
            i = part.rule.contexts_nm.index(context_nm)
            found.append(read_part(part.path, ["turned"])["turned"][:, i])
    return np.concatenate(found)


def drawn_windows(windows: xr.Dataset, n: int, seed: int) -> np.ndarray:
    """Which windows are cut: those of instances drawn until they have ``n``, in their old order; all for 0.

    A larger ``n`` adds instances to those of a smaller one.
    """
    total = windows.sizes[TILE]
    if not 0 < n < total:
        return np.arange(total)
    instance = windows["instance"].values
    owner = np.cumsum(np.concatenate([[False], instance[1:] != instance[:-1]]))
    order = np.random.default_rng(seed).permutation(owner[-1] + 1)
    filled = np.cumsum(np.bincount(owner)[order])
    chosen = order[: np.searchsorted(filled, n) + 1]
    return np.flatnonzero(np.isin(owner, chosen))


def design_key(name: str) -> str:
    """Hash of all files that a design is read from."""
    from maskopt_lib.layout.catalog import design_info
    from maskopt_lib.study.tiles import design_inputs

    folder = Path(name)
    if folder.is_dir():
        return hashed([[str(path.relative_to(folder)), pooch.file_hash(str(path))]
                       for path in sorted(folder.rglob("*")) if path.is_file()])  # fmt: skip
    info = design_info(name)
    platform = PLATFORMS.get(info.platform)
    inputs = design_inputs(info.file or "", platform) if platform else []
    known = manifest.load_manifest()
    return hashed([name, *(known.entry(item).sha256 if isinstance(item, str) else pooch.file_hash(str(item))
                           for item in inputs)])  # fmt: skip


# What workers do


def _prepare(task: tuple[str, BuildRule, Path]) -> None:
    name, rule, path = task
    begun = time.perf_counter()
    design = open_design(name)
    design.write(path.with_suffix(".oas"))
    windows = tile_windows(design, rule.tiles, rule.cells)
    info = {key: value for key, value in (asdict(design.info) if design.info else {}).items() if key != "facts"}
    said = {
        "info": info, "opened_s": time.perf_counter() - begun, "platform": asdict(design.platform),
        "windows": windows.attrs, "instances": len(np.unique(windows["instance"].values)),
    }  # fmt: skip
    said["oas_sha256"] = sha256_of(path.with_suffix(".oas"))
    write_part(path, {name: windows[name].values for name in _WINDOW}, said)


def _is_prepared(path: Path) -> bool:
    said, oasis = said_of(path), path.with_suffix(".oas")
    return said is not None and oasis.is_file() and sha256_of(oasis) == said["oas_sha256"]


def _planned(name: str, rule: BuildRule, path: Path) -> PlannedDesign:
    said = said_of(path)
    table = read_part(path)
    windows = xr.Dataset({name: (TILE, table[name]) for name in _WINDOW}, attrs=said["windows"])
    good_for = tuple(said["info"].get("layers", rule.layers))
    layers = tuple(layer for layer in rule.layers if layer in good_for)
    if not layers:
        raise LayoutError(f"{name} is good for {', '.join(good_for)}, not for {', '.join(rule.layers)}; leave it out")
    fields = said["platform"] | {
        key: tuple(value) for key, value in said["platform"].items() if isinstance(value, list)
    }
    return PlannedDesign(
        name=name, file=path.with_suffix(".oas"), platform=Platform(**fields), layers=layers, windows=windows,
        info=said["info"] | {"instances": said["instances"]},
    )  # fmt: skip


def _cut(part: Part, kept: Kept) -> None:
    begun = time.perf_counter()
    design = kept(part.design_file, partial(read_design, part.design_file, platform=part.platform))
    arrays = _with_something(part, design)
    said = {"n_windows": part.windows.sizes[TILE], "n": len(arrays["index"]), "cut_s": time.perf_counter() - begun}
    write_part(part.path, arrays, said, bits={"content": arrays.pop("content")})


def _with_something(part: Part, design) -> dict[str, np.ndarray]:
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
    arrays |= {name: windows[name].values for name in _WINDOW}
    return arrays | {"design": np.full(len(order), part.design)}


def _fill(task: tuple[TileStore, str, int, list[tuple[Path, int, int]]]) -> None:
    store, layer, shard, pieces = task
    found: dict[str, list[np.ndarray]] = {name: [] for name in TILE_ARRAYS}
    for path, start, stop in pieces:
        kept = read_part(path, list(found))
        for name, values in found.items():
            values.append(kept[name][start:stop])
    store.write_tiles(layer, shard, {name: np.concatenate(values) for name, values in found.items()})
