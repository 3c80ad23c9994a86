"""What is to be cut: every design as one OASIS file with its cells on rows, and its windows as a table."""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import distributed
import numpy as np
import xarray as xr
from tqdm import tqdm

from maskopt_lib import files
from maskopt_lib.data import manifest
from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.catalog import design_info, design_names, open_design
from maskopt_lib.layout.cell_tiles import TileRule, tile_windows
from maskopt_lib.layout.design_rules import read_deck, violation_boxes
from maskopt_lib.layout.designs import read_design
from maskopt_lib.layout.own_design import design_name, rules_of
from maskopt_lib.layout.platforms import PLATFORMS, Platform, design_inputs
from maskopt_lib.layout.rule_windows import windows_over
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.hashing import hashed, key_of, source_hash
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.parts import part_path, read_part, said_of, write_part
from maskopt_lib.runs.paths import located, relative
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.routed_clips import clip_names, clip_place

# What finds the windows that break rules.
_RULES = ["maskopt_lib.layout.design_rules", "maskopt_lib.layout.rule_windows"]
TILE = "tile"
#: What is known of a window before it is cut.
WINDOW = ("instance", "cell", "orientation", "row", "column", "n_rows", "n_columns", "x_nm", "y_nm")


@dataclass(frozen=True, kw_only=True)
class BuildRule:
    """What a dataset of tiles is cut from, and how.

    Attributes
    ----------
    designs : names for :func:`maskopt_lib.layout.open_design`, in the order they are stored.
    layers : a design is cut on those of them that it is good for.
    tiles : how windows lie and what is kept.
    step_nm : layer -> from window to window, where it differs from that of ``tiles``.
    n_windows : layer -> windows of a design, about: instances are drawn until they have so many, and of an instance all
        windows are taken. All windows where nothing is said.
    seed : of that draw.
    shard_size : windows a part, and tiles a shard of the store.
    """

    designs: tuple[str, ...]
    layers: tuple[str, ...] = ("metal1", "contact", "via1")
    tiles: TileRule = field(default_factory=TileRule)
    step_nm: Mapping[str, float] = field(default_factory=dict)
    n_windows: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    shard_size: int = 2048

    def tile_rule(self, layer: str) -> TileRule:
        """How windows of a layer lie."""
        return replace(self.tiles, step_nm=float(self.step_nm.get(layer, self.tiles.step)))


@dataclass(frozen=True, kw_only=True)
class PlannedDesign:
    """A design as the workers read it.

    Attributes
    ----------
    name : of the design.
    file : its OASIS, cells on rows.
    platform : of the file.
    layers : to be cut, those the design is good for.
    windows : layer -> of :func:`maskopt_lib.layout.tile_windows`, all of them.
    info : what the dataset says of the design.
    """

    name: str
    file: Path
    platform: Platform
    layers: tuple[str, ...]
    windows: Mapping[str, xr.Dataset]
    info: Mapping[str, object]


def writing(folder: Path) -> FolderLock:
    """The folder of a build, for this process alone; waits for another that writes there, and says which it is.

    Every step that writes takes it; a run holds its folder through all of them, so that nobody reads a store half-way.
    """
    return FolderLock(folder, "building a dataset", wait_s=math.inf, tell=tqdm.write)


def plan_designs(rule: BuildRule, folder: Path, *, client: distributed.Client | None = None) -> list[PlannedDesign]:
    """Open every design, put its cells on rows where they are not, and find its windows.

    Parameters
    ----------
    rule : what to cut.
    folder : of the build; what is there and made from the same files is taken.
    client : of :func:`maskopt_lib.runs.spread.workers`.

    Raises
    ------
    LayoutError : a design is good for none of the layers.
    """
    folder = folder.resolve()
    code = source_hash(["maskopt_lib.layout.catalog", "maskopt_lib.layout.cell_tiles"])
    settings = [code, asdict(rule.tiles), sorted({rule.tile_rule(layer).step for layer in rule.layers})]
    known, tasks = manifest.load_manifest(), []
    for name in rule.designs:
        inputs = design_files(name)
        hashes = [known.entry(item).sha256 if isinstance(item, str) else files.sha256_of(item) for item in inputs]
        kept = [source_hash(_RULES), *map(asdict, read_deck(deck))] if (deck := _rules(name)) else []
        key = key_of([hashed([Path(name).name, *hashes]), *settings, *kept])
        tasks.append(_Task(name=name, rule=rule, path=part_path(folder, "design", Path(name).name, key=key)))
    with writing(folder):
        for task in tasks:
            if not task.has_its_oasis:
                task.path.unlink(missing_ok=True)
        complete(_prepare, tasks, client=client, title="designs", unit="design")
    return [_planned(task) for task in tasks]


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
    return np.flatnonzero(np.isin(owner, order[: np.searchsorted(filled, n) + 1]))


def sources_of(designs: Iterable[str]) -> dict[str, str]:
    """What :func:`maskopt_lib.layout.open_design` takes for each design, by what results call it.

    Parameters
    ----------
    designs : names of the catalog, of clips that ``make routed`` makes, or folders of your own designs, from the root
        of the study.

    Raises
    ------
    MissingDataError : a clip is not there; says how to make it.

    Examples
    --------
    >>> sources_of(["demo_block"])
    {'demo_block': 'demo_block'}
    """
    catalog, clips = design_names(), clip_names()
    places = [name if name in catalog else clip_place(name) if name in clips else located(name) for name in designs]
    return {design_name(place) if Path(place).is_dir() else place: place for place in places}


def design_files(name: str) -> list[str | Path]:
    """All files that a design is read from: names of the manifest, or paths; none for one that is made by code."""
    if Path(name).is_dir():
        return sorted(path for path in Path(name).rglob("*") if path.is_file())
    info = design_info(name)
    platform = PLATFORMS.get(info.platform)
    return design_inputs(info.file or "", platform) if platform else []


@dataclass(frozen=True, kw_only=True)
class _Task(Task):
    name: str
    rule: BuildRule

    def __str__(self) -> str:
        return self.name

    @property
    def oasis(self) -> Path:
        return self.path.with_suffix(".oas")

    @property
    def has_its_oasis(self) -> bool:
        values = said_of(self.path)
        return values is not None and self.oasis.is_file() and files.sha256_of(self.oasis) == values["oas_sha256"]


def _rules(name: str) -> str | Path:
    """Deck that a design's windows keep; none for those of the catalog."""
    return rules_of(name) if Path(name).is_dir() else ""


def _prepare(task: _Task, kept: Kept) -> None:
    begun = time.perf_counter()
    task.path.parent.mkdir(parents=True, exist_ok=True)
    design = open_design(task.name)
    # KLayout may write half a file to a full disk without a word: what cannot be read back was not written.
    read_design(design.write(task.oasis), platform=design.platform)
    rules = {rule.step: rule for rule in map(task.rule.tile_rule, task.rule.layers)}
    windows = {f"{step:g}": tile_windows(design, rule) for step, rule in rules.items()}
    info = asdict(design.info) if design.info else {}
    if info.get("file"):
        info["file"] = relative(info["file"])
    if deck := _rules(task.name):
        boxes = violation_boxes(design, deck)
        breaks = {step: windows_over(table, boxes) for step, table in windows.items()}
        windows = {step: table.isel({TILE: ~breaks[step]}) for step, table in windows.items()}
        over = {one: breaks[f"{task.rule.tile_rule(one).step:g}"] for one in task.rule.layers if one in info["layers"]}
        left_out = {layer: [int(of_layer.sum()), len(of_layer)] for layer, of_layer in over.items()}
        info |= {"rules": [rule.rule for rule in read_deck(deck)], "windows_left_out": left_out}
    arrays = {f"{step}/{name}": table[name].values for step, table in windows.items() for name in WINDOW}
    values = {
        "name": design.name,
        "info": {key: value for key, value in info.items() if key != "facts"},
        "platform": asdict(design.platform),
        "windows": {step: table.attrs for step, table in windows.items()},
        "instances": len(np.unique(next(iter(windows.values()))["instance"].values)),
        "oas_sha256": files.sha256_of(task.oasis),
        "opened_s": time.perf_counter() - begun,
    }
    write_part(task.path, arrays, values)


def _planned(task: _Task) -> PlannedDesign:
    values, arrays, rule = said_of(task.path), read_part(task.path), task.rule
    good_for = values["info"].get("layers", rule.layers)
    layers = tuple(layer for layer in rule.layers if layer in good_for)
    if not layers:
        raise LayoutError(
            f"{values['name']} is good for {', '.join(good_for)}, not for {', '.join(rule.layers)}; leave it out"
        )
    windows = {
        step: xr.Dataset({name: (TILE, arrays[f"{step}/{name}"]) for name in WINDOW}, attrs=attrs)
        for step, attrs in values["windows"].items()
    }
    platform = {key: tuple(v) if isinstance(v, list) else v for key, v in values["platform"].items()}
    return PlannedDesign(
        name=values["name"],
        file=task.oasis,
        platform=Platform(**platform),
        layers=layers,
        windows={layer: windows[f"{rule.tile_rule(layer).step:g}"] for layer in layers},
        info=values["info"] | {"instances": values["instances"]},
    )
