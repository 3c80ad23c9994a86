"""What is to be cut: every design as one OASIS file with its cells on rows, and its windows as a table."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import distributed
import numpy as np
import xarray as xr

from maskopt_lib.data import manifest
from maskopt_lib.errors import LayoutError
from maskopt_lib.files import sha256_of
from maskopt_lib.layout import (
    PLATFORMS,
    Platform,
    TileRule,
    design_info,
    design_inputs,
    open_design,
    read_design,
    tile_windows,
)
from maskopt_lib.runs.hashing import hashed, source_hash
from maskopt_lib.runs.parts import file_name, read_part, said_of, write_part
from maskopt_lib.runs.spread import Kept, spread

#: Folder below a build's own: designs as they are cut.
DESIGNS = "designs"
TILE = "tile"
#: What is known of a window before it is cut.
WINDOW = ("instance", "cell", "orientation", "row", "column", "n_rows", "n_columns", "x_nm", "y_nm")
_KEY_DIGITS = 16


@dataclass(frozen=True, kw_only=True)
class BuildRule:
    """What a dataset of tiles is cut from, and how.

    Attributes
    ----------
    designs : names for :func:`maskopt_lib.layout.open_design`, in the order they are stored.
    layers : a design is cut on those of them that it is good for.
    tiles : how windows lie and what is kept.
    cells : names or patterns of cells; the logic cells by default.
    step_nm : layer -> from window to window, where it differs from that of ``tiles``.
    n_windows : layer -> windows of a design, about: instances are drawn until they have so many, and of an instance all
        windows are taken. All windows where nothing is said.
    seed : of that draw.
    shard_size : windows a part, and tiles a shard of the store.
    """

    designs: tuple[str, ...]
    layers: tuple[str, ...] = ("metal1", "contact", "via1")
    tiles: TileRule = field(default_factory=TileRule)
    cells: tuple[str, ...] | None = None
    step_nm: Mapping[str, float] = field(default_factory=dict)
    n_windows: Mapping[str, int] = field(default_factory=dict)
    seed: int = 0
    shard_size: int = 2048

    def of(self, layer: str) -> TileRule:
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


def plan(rule: BuildRule, folder: Path, *, client: distributed.Client | None = None) -> list[PlannedDesign]:
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
    target = (folder / DESIGNS).resolve()
    target.mkdir(parents=True, exist_ok=True)
    code = source_hash(["maskopt_lib.layout.catalog", "maskopt_lib.layout.cell_tiles"])
    settings = [code, asdict(rule.tiles), rule.cells, sorted({rule.of(layer).step for layer in rule.layers})]
    tasks = [
        (name, rule, target / f"{file_name(Path(name).name, hashed([design_key(name), *settings])[:_KEY_DIGITS])}.npz")
        for name in rule.designs
    ]
    list(spread(_prepare, [task for task in tasks if not _is_prepared(task[2])], client=client))
    return [_planned(rule, path) for _, _, path in tasks]


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


def design_files(name: str) -> list[str | Path]:
    """All files that a design is read from: names of the manifest, or paths; none for one that is made by code."""
    path = Path(name)
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    info = design_info(name)
    platform = PLATFORMS.get(info.platform)
    return design_inputs(info.file or "", platform) if platform else []


def design_key(name: str) -> str:
    """Hash of all files that a design is read from."""
    known = manifest.load_manifest()
    files = design_files(name)
    hashes = [known.entry(item).sha256 if isinstance(item, str) else sha256_of(item) for item in files]
    return hashed([Path(name).name, *hashes])


def _prepare(task: tuple[str, BuildRule, Path], kept: Kept) -> None:
    name, rule, path = task
    begun = time.perf_counter()
    design = open_design(name)
    # KLayout may write half a file to a full disk without a word: what cannot be read back was not written.
    read_design(design.write(path.with_suffix(".oas")), platform=design.platform)
    rules = {rule.of(layer).step: rule.of(layer) for layer in rule.layers}
    windows = {step: tile_windows(design, one, rule.cells) for step, one in rules.items()}
    info = {key: value for key, value in (asdict(design.info) if design.info else {}).items() if key != "facts"}
    said = {
        "info": info, "opened_s": time.perf_counter() - begun, "platform": asdict(design.platform),
        "windows": {f"{step:g}": one.attrs for step, one in windows.items()}, "name": design.name,
    }  # fmt: skip
    said["oas_sha256"] = sha256_of(path.with_suffix(".oas"))
    said["instances"] = len(np.unique(next(iter(windows.values()))["instance"].values))
    arrays = {f"{step:g}/{name}": one[name].values for step, one in windows.items() for name in WINDOW}
    write_part(path, arrays, said)


def _is_prepared(path: Path) -> bool:
    said, oasis = said_of(path), path.with_suffix(".oas")
    return said is not None and oasis.is_file() and sha256_of(oasis) == said["oas_sha256"]


def _planned(rule: BuildRule, path: Path) -> PlannedDesign:
    said = said_of(path)
    table = read_part(path)
    windows = {
        step: xr.Dataset({name: (TILE, table[f"{step}/{name}"]) for name in WINDOW}, attrs=attrs)
        for step, attrs in said["windows"].items()
    }
    good_for = tuple(said["info"].get("layers", rule.layers))
    layers = tuple(layer for layer in rule.layers if layer in good_for)
    if not layers:
        raise LayoutError(
            f"{said['name']} is good for {', '.join(good_for)}, not for {', '.join(rule.layers)}; leave it out"
        )
    fields = said["platform"] | {
        key: tuple(value) for key, value in said["platform"].items() if isinstance(value, list)
    }
    return PlannedDesign(
        name=said["name"], file=path.with_suffix(".oas"), platform=Platform(**fields), layers=layers,
        windows={layer: windows[f"{rule.of(layer).step:g}"] for layer in layers},
        info=said["info"] | {"instances": said["instances"]},
    )  # fmt: skip
