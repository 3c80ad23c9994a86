"""Splits of a store of tiles, by design and by cell: what a model is trained on, and what it has never seen.

Designs are held out by family, since floorplans of one netlist are not different designs, and cells by what they do,
since ``NAND2_X1`` and ``NAND2_X2`` are not different cells. A single tile is never held out by itself: neighbours
overlap, and the same cell stands a thousand times in a design.

Tiles are alike where their *cores* are, under all eight turns and mirrors, with the narrowest context of the store as a
margin (0 nm: nothing but the core): a sliver that differs farther out makes no other tile of it. No core is in two
splits: it stays in the earlier one. Or the assignment is frozen, in a file that names the split of each core
(:func:`freeze`): then evaluation takes its cores first, and nothing that is not named is in any split.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import schema
from maskopt_lib.data import tile_arrays as ta
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import SchemaError, UnknownNameError

TRAIN, VALIDATION = "train", "validation"
UNSEEN_CELL, UNSEEN_DESIGN, UNSEEN_BOTH, EXCLUDED = "unseen_cell", "unseen_design", "unseen_both", "excluded"
#: In the order of precedence: a geometry belongs to the first split that it occurs in.
SPLITS = (TRAIN, VALIDATION, UNSEEN_CELL, UNSEEN_DESIGN, UNSEEN_BOTH, EXCLUDED)

SPLIT = "split"
# Drive strength of Nangate and of our own cells; drive, library and threshold of ASAP7.
_STRENGTH = re.compile(r"(_X\d+|x[\dp]+[A-Za-z]*_ASAP7_75t_[A-Z]+)$")
_DRAWS = 1000


@dataclass(frozen=True, kw_only=True)
class SplitRule:
    """Which designs and cells are held out.

    Attributes
    ----------
    held_out_designs, validation_designs : families of designs, or single designs, that nothing is trained on.
    held_out_cells : functions of cells, such as ``"NAND2"``; None chooses them so that about ``cell_share`` of all
        tiles belong to them, () holds out none.
    cell_share : share of the tiles, of all layers together.
    seed : of the choice.
    split_families : allow single designs of a family that others of are trained on.
    frozen : file of ``data_manifest/splits`` without its ending, or a path, that says which cores are in which split.
    """

    held_out_designs: tuple[str, ...] = ()
    validation_designs: tuple[str, ...] = ()
    held_out_cells: tuple[str, ...] | None = None
    cell_share: float = 0.125
    seed: int = 0
    split_families: bool = False
    frozen: str = ""


#: Cells held out by their share, no design.
DEFAULT_RULE = SplitRule()
#: Attribute of a store that says what it was built to hold out.
_IN_STORE = "split_rule"


def keep_rule(store: TileStore, rule: SplitRule) -> None:
    """Say in a store what is held out of it, for all who read it."""
    store.annotate(**{_IN_STORE: asdict(rule)})


def rule_of(store: TileStore) -> SplitRule:
    """What is held out of a store: what :func:`keep_rule` said, or the default where nobody did."""
    kept = store.attrs.get(_IN_STORE)
    if kept is None:
        return DEFAULT_RULE
    with files.reading(store.path, "say its split_rule again with splits.keep_rule"):
        return SplitRule(**{name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()})


def cell_function(cell: str) -> str:
    """Name of a cell without its drive strength.

    Examples
    --------
    >>> cell_function("NAND2_X1"), cell_function("SDFFRS_X2"), cell_function("AO22x2_ASAP7_75t_R")
    ('NAND2', 'SDFFRS', 'AO22')
    """
    return _STRENGTH.sub("", cell)


def choose_cells(tiles: Mapping[str, int], share: float = 0.125, seed: int = 0) -> tuple[str, ...]:
    """Functions to hold out: common and rare ones alike, together about ``share`` of the tiles.

    Parameters
    ----------
    tiles : function -> tiles.
    share : wanted, between 0 and 1.
    seed : of the draws.

    Returns
    -------
    Functions, sorted. They are ranked by their tiles and cut into runs of ``1 / share``; one is drawn from each run,
    and of a thousand such draws the one nearest to ``share`` is taken.
    """
    if not 0 < share < 1:
        raise SchemaError(f"the share of held-out cells must lie between 0 and 1, got {share}")
    ranked = sorted((name for name, n in tiles.items() if n), key=lambda name: (-tiles[name], name))
    if len(ranked) < 2:
        return ()
    counts = np.array([tiles[name] for name in ranked], float)
    run = max(2, round(1 / share))
    starts = np.arange(0, len(ranked), run)
    stops = np.minimum(starts + run, len(ranked))
    rng = np.random.default_rng(seed)
    draws = rng.integers(starts, stops, (_DRAWS, len(starts)))
    # A last run that is short stands for fewer cells, so it is left out in proportion.
    kept = rng.random(_DRAWS) < (stops[-1] - starts[-1]) / run
    counted = counts[draws]
    counted[~kept, -1] = 0
    best = int(np.argmin(abs(counted.sum(axis=1) / counts.sum() - share)))
    return tuple(sorted(ranked[i] for i in draws[best][: None if kept[best] else -1]))


def splits(
    store: TileStore, layer: str, context_nm: int, rule: SplitRule | None = None, *, partial: bool = False
) -> xr.Dataset:
    """The split of every tile of a layer.

    Parameters
    ----------
    store, layer : whose tiles.
    context_nm : a geometry is the core with this much around it.
    rule : what is held out, for another choice than that of the store (:func:`rule_of`).
    partial : take a store that is not complete; tiles that are not there are excluded.

    Returns
    -------
    Dataset over ``sample``: ``split`` (codes of `SPLITS`), ``geometry`` (canonical signature at this context), ``core``
    (that of the core with the margin), ``design``, ``cell`` (codes), ``cell_function`` (codes); attributes:
    ``held_out_cells``, ``rule``, ``context_nm``, ``margin_nm``.

    Raises
    ------
    UnknownNameError : the store has no such design, cell function or context.
    SchemaError : designs of one family would be on both sides.
    """
    rule = rule_of(store) if rule is None else rule
    ds, wanted, held_cells, known = _classes(store, layer, context_nm, rule, partial)
    margin_nm = min(ds[ta.CONTEXT].values.tolist())
    geometry, core = (ds.canonical.sel({ta.CONTEXT: nm}).values for nm in (context_nm, margin_nm))
    if rule.frozen:
        names = read_frozen(rule.frozen)
        of_core = {int(key, 16): SPLITS.index(name) for key, name in names[layer].items()} if layer in names else {}
        frozen = np.array([of_core.get(key, -1) for key in core.tolist()])
        split = np.where(frozen == wanted, wanted, SPLITS.index(EXCLUDED))
    else:
        split = np.where(wanted > _first_split(core, wanted), SPLITS.index(EXCLUDED), wanted)
    functions = [cell_function(name) for name in ds.cell.attrs["names"]]
    cell = ds.cell.values
    labels = {"long_name": "function of the cell", "units": "1", "names": known}
    about = ds.canonical.attrs
    return xr.Dataset(
        {
            SPLIT: (ta.SAMPLE, split.astype(np.int8), {"long_name": "split", "units": "1", "names": list(SPLITS)}),
            "geometry": (ta.SAMPLE, geometry, about),
            "core": (ta.SAMPLE, core, about),
            "design": ds.design,
            "cell": ds.cell,
            "cell_function": (ta.SAMPLE, np.array([*map(known.index, functions), -1], np.int16)[cell], labels),
        },
        attrs={"layer": layer, "context_nm": context_nm, "margin_nm": margin_nm}
        | {"held_out_cells": list(held_cells), "rule": asdict(rule)},
    )


def _classes(
    store: TileStore, layer: str, context_nm: int, rule: SplitRule, partial: bool
) -> tuple[xr.Dataset, np.ndarray, Sequence[str], list[str]]:
    """What is known of tiles, the split that design and cell of each ask for, held-out functions, and all functions."""
    ds = store.open(layer, partial=partial)
    contexts = ds[ta.CONTEXT].values.tolist()
    if context_nm not in contexts:
        raise UnknownNameError(f"{layer} has no tiles with a context of {context_nm} nm; known: {contexts}")
    ds = ds[["design", "cell", "canonical", "core_density"]].load()
    functions = [cell_function(name) for name in ds.cell.attrs["names"]]
    known = sorted(set(functions))
    held_cells = rule.held_out_cells
    if held_cells is None and rule.frozen:
        held_cells = [name for name in frozen_cells(rule.frozen) if name in known]
    elif held_cells is None:
        held_cells = choose_cells(function_counts(store, partial=partial), rule.cell_share, rule.seed)
    elif unknown := sorted(set(held_cells) - set(known)):
        raise UnknownNameError(f"no cell of the store does {', '.join(unknown)}; known: {', '.join(known)}")
    of_design = np.array([*_design_classes(store, ds.design.attrs["names"], rule), 0])
    of_cell = np.array([*(name in held_cells for name in functions), False])
    design = ds.design.values
    unseen_cell = of_cell[ds.cell.values]
    unseen_design = of_design[design] == 2
    wanted = np.select(
        [unseen_design & unseen_cell, unseen_design, unseen_cell, of_design[design] == 1],
        [SPLITS.index(name) for name in (UNSEEN_BOTH, UNSEEN_DESIGN, UNSEEN_CELL, VALIDATION)],
        SPLITS.index(TRAIN),
    )
    return ds, np.where(design < 0, SPLITS.index(EXCLUDED), wanted), held_cells, known


#: What evaluation takes before anything is trained on, the rarest first.
_FROZEN_ORDER = (UNSEEN_BOTH, UNSEEN_CELL, UNSEEN_DESIGN, VALIDATION, TRAIN)
_DENSITIES = 3
_HELD = "# held_out_cells: "


def freeze(
    store: TileStore, layer: str, n: Mapping[str, int], rule: SplitRule, *, before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Draw the cores of each split, for good: evaluation takes its own first, and training what is left.

    Parameters
    ----------
    store, layer : whose tiles.
    n : split -> cores, or as many as there are.
    rule : which designs and cells are held out; its seed draws.
    before : cores that have a split already, of :func:`read_frozen`. They keep it, wherever they occur in this store,
        and only what a split lacks of ``n`` is drawn. Its cells have to be held out by name: those of ``rule``.

    Returns
    -------
    Core (hexadecimal of its canonical signature, see :func:`splits`) -> split, for :func:`write_frozen`. Cores of a
    split are drawn in turn from functions of cells and thirds of density, so that rare ones are among them.

    Raises
    ------
    SchemaError : cores have a split already, and ``rule`` leaves open which cells are held out.
    """
    if before and rule.held_out_cells is None:
        raise SchemaError("name the cells that are held out, as the file of frozen splits does: others would be drawn")
    margin = min(store.open(layer)[ta.CONTEXT].values.tolist())
    ds, wanted, _, known = _classes(store, layer, margin, rule, False)
    core = ds.canonical.sel({ta.CONTEXT: margin}).values
    density = np.searchsorted(np.quantile(ds.core_density, np.arange(1, _DENSITIES) / _DENSITIES), ds.core_density)
    function = np.array([known.index(cell_function(name)) for name in ds.cell.attrs["names"]])[ds.cell.values]
    strata = function * _DENSITIES + density
    rng = np.random.default_rng(rule.seed)
    names = dict(before or {})
    there = Counter(names.values())
    for split in _FROZEN_ORDER:
        order = rng.permutation(np.flatnonzero(wanted == SPLITS.index(split)))
        # One of each stratum after the other: the first of all, the second of all, ...
        turn = np.argsort(pd.Series(strata[order]).groupby(strata[order]).cumcount().to_numpy(), kind="stable")
        drawn = dict.fromkeys(f"{key:016x}" for key in core[order[turn]].tolist())
        free = [key for key in drawn if key not in names]
        names |= dict.fromkeys(free[: max(0, n.get(split, 0) - there[split])], split)
    return names


def write_frozen(path: str | Path, by_layer: Mapping[str, Mapping[str, str]], held_out_cells: Sequence[str]) -> None:
    """A file of cores with their splits, a line each: ``layer,split,core``; above them the functions held out."""
    rows = sorted(
        (layer, SPLITS.index(split), core) for layer, cores in by_layer.items() for core, split in cores.items()
    )
    lines = [
        f"{_HELD}{' '.join(held_out_cells)}",
        "layer,split,core",
        *(f"{layer},{SPLITS[split]},{core}" for layer, split, core in rows),
    ]
    files.write_bytes(Path(path), ("\n".join(lines) + "\n").encode())


def read_frozen(name: str) -> dict[str, dict[str, str]]:
    """Layer -> core -> split of a file that :func:`write_frozen` wrote, in ``data_manifest/splits`` or by its path.

    Raises
    ------
    UnknownNameError : there is no such file; lists those of the study.
    SchemaError : a core is in two splits.
    """
    path = _frozen_file(name)
    table = pd.read_csv(path, dtype=str, comment="#")
    if (twice := table.duplicated(["layer", "core"])).any():
        raise SchemaError(f"{path}: core {table['core'][twice].iloc[0]} stands in it twice; draw it anew with freeze")
    return {layer: dict(zip(rows["core"], rows["split"], strict=True)) for layer, rows in table.groupby("layer")}


def frozen_cells(name: str) -> list[str]:
    """Functions of cells that were held out when a file of :func:`read_frozen` was drawn."""
    with _frozen_file(name).open(encoding="utf-8") as lines:
        return next(lines).removeprefix(_HELD).split()


def _frozen_file(name: str) -> Path:
    path = FOLDER / "splits" / f"{name}.csv"
    if not path.is_file() and not (path := Path(name)).is_file():
        known = sorted(each.stem for each in (FOLDER / "splits").glob("*.csv"))
        raise UnknownNameError.of("frozen split", name, known)
    return path


def in_train(split: xr.Dataset, samples: np.ndarray) -> int:
    """How many of some tiles have a core that a tile of the train split has as well: 0 where nothing leaks.

    Parameters
    ----------
    split : of :func:`splits`.
    samples : of other splits.
    """
    trained = split["core"].values[split[SPLIT].values == SPLITS.index(TRAIN)]
    return int(np.isin(split["core"].values[samples], trained).sum())


def leaks(split: np.ndarray, geometry: np.ndarray) -> int:
    """Geometries, or cores, that occur in more than one split.

    Parameters
    ----------
    split : (sample,) code of each tile's split; excluded tiles belong to none.
    geometry : (sample,) canonical signature.
    """
    there = split != SPLITS.index(EXCLUDED)
    pairs = np.unique(np.stack([geometry[there].astype(np.uint64), split[there].astype(np.uint64)]), axis=1)
    return int(np.sum(np.unique(pairs[0], return_counts=True)[1] > 1))


def split_table(split: xr.Dataset) -> xr.Dataset:
    """What is in each split.

    Parameters
    ----------
    split : of :func:`splits`.

    Returns
    -------
    Dataset over ``split``: ``tiles``, ``share`` of all tiles, ``geometries``, ``cores``, ``cells``, ``functions``,
    ``designs``.
    """
    kinds = {
        "geometries": ("geometry", "different geometries"),
        "cores": ("core", "different cores, turns and mirrors counted once"),
        "cells": ("cell", "cells"),
        "functions": ("cell_function", "functions of cells"),
        "designs": ("design", "designs"),
    }
    tiles = split[[SPLIT, *(column for column, _ in kinds.values())]].to_dataframe()
    by_split, order = tiles.groupby(SPLIT), range(len(SPLITS))
    n = by_split.size().reindex(order, fill_value=0).to_numpy()
    different = by_split.nunique().reindex(order, fill_value=0)
    return xr.Dataset(
        {
            "tiles": schema.column(SPLIT, n, "tiles"),
            "share": schema.column(SPLIT, n / max(1, split.sizes[ta.SAMPLE]), "share of all tiles"),
        }
        | {name: schema.column(SPLIT, different[of].to_numpy(), text) for name, (of, text) in kinds.items()},
        coords={SPLIT: list(SPLITS)},
        attrs={name: split.attrs[name] for name in ("layer", "context_nm", "held_out_cells")},
    )


def function_counts(store: TileStore, *, partial: bool = False) -> dict[str, int]:
    """Tiles of each function of cells, over all layers of a store."""
    counts: dict[str, int] = {}
    for layer in store.layers:
        cell = store.open(layer, partial=partial).cell.load()
        for name, n in zip(cell.attrs["names"], np.bincount(cell.values[cell.values >= 0]), strict=False):
            counts[cell_function(name)] = counts.get(cell_function(name), 0) + int(n)
    return counts


def _design_classes(store: TileStore, designs: list[str], rule: SplitRule) -> list[int]:
    """0 for designs to train on, 1 for validation, 2 for held out."""
    infos = store.attrs.get("designs", {})
    family = {name: infos.get(name, {}).get("family", name) for name in designs}
    held = {name: 1 for name in rule.validation_designs} | {name: 2 for name in rule.held_out_designs}
    if both := set(rule.validation_designs) & set(rule.held_out_designs):
        raise SchemaError(f"{', '.join(sorted(both))} cannot be for validation and held out at once")
    # All families the store knows, so that one rule serves layers that not every design has.
    families = {known.get("family", name) for name, known in infos.items()} | set(family.values())
    if unknown := sorted(set(held) - families - set(designs) - set(infos)):
        raise UnknownNameError(
            f"no design or family {', '.join(unknown)} in the store; families: {', '.join(sorted(families))}"
        )
    classes = [held.get(name, held.get(family[name], 0)) for name in designs]
    for name in sorted(set(family.values())):
        on = {code for design, code in zip(designs, classes, strict=True) if family[design] == name}
        if len(on) > 1 and not rule.split_families:
            raise SchemaError(
                f"designs of the family {name!r} would be in several splits; hold out the family, or say "
                "split_families=True"
            )
    return classes


def _first_split(geometry: np.ndarray, split: np.ndarray) -> np.ndarray:
    """For each tile the first split that its geometry occurs in."""
    known, which = np.unique(geometry, return_inverse=True)
    first = np.full(len(known), len(SPLITS))
    np.minimum.at(first, which, split)
    return first[which]
