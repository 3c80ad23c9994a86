"""Splits by design and by cell: what is held out is held out, and no geometry is in two splits."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from tile_stores import RULE, images, tile_arrays

from maskopt_lib.data import splits as sp
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import SchemaError, UnknownNameError

CELLS = [f"{function}_X{drive}" for function in "ABCDEFGHIJKLMNOPQRSTUVWX" for drive in (1, 2)]
DESIGNS = {"gcd_a": "gcd", "gcd_b": "gcd", "aes": "aes", "ram": "ram"}
NAMES = {"design": list(DESIGNS), "cell": CELLS, "orientation": ["N"]}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """4000 tiles of 400 geometries; a geometry belongs to one cell, as in a real design, and to several designs."""
    n = 4000
    rng = np.random.default_rng(0)
    store = TileStore.create(
        tmp_path_factory.mktemp("splits") / "store",
        rule=RULE,
        designs={name: {"family": family} for name, family in DESIGNS.items()},
    )
    store.reserve_tiles("metal1", n, names=NAMES, shard_size=n)
    arrays = tile_arrays(images(4, 0)[rng.integers(0, 4, n)], 0, NAMES)
    # Frequencies as in designs: a few cells are most of the tiles.
    popularity = 1 / np.arange(1, len(CELLS) + 1)
    cell = rng.choice(len(CELLS), n, p=popularity / popularity.sum())
    geometry = (rng.integers(0, 400 // len(CELLS) + 1, n) + 100 * cell + 1).astype(np.uint64)
    arrays |= {"cell": cell, "canonical": np.repeat(geometry[:, None], 3, axis=1)}
    store.write_tiles("metal1", 0, arrays)
    return store


RULES = [
    SplitRule(),
    SplitRule(held_out_designs=("aes",), validation_designs=("ram",)),
    SplitRule(held_out_designs=("gcd",), held_out_cells=("A", "F")),
    SplitRule(held_out_designs=("gcd_b",), held_out_cells=(), split_families=True),
]


@pytest.mark.parametrize("rule", RULES)
def test_a_store_says_what_is_held_out_of_it(store, rule):
    assert sp.rule_of(store) == SplitRule()
    digest = store.digest()
    sp.keep_rule(store, rule)
    try:
        reopened = TileStore(store.path)
        assert sp.rule_of(reopened) == rule
        assert sp.splits(reopened, "metal1", 16).identical(sp.splits(store, "metal1", 16, rule))
        assert reopened.digest() == digest
    finally:
        sp.keep_rule(store, SplitRule())


@pytest.mark.parametrize("rule", RULES)
def test_no_geometry_is_in_two_splits(store, rule):
    split = sp.splits(store, "metal1", 16, rule)
    assert sp.leaks(split.split.values, split.geometry.values) == 0


@pytest.fixture(scope="module")
def slivers(tmp_path_factory):
    """Tiles of 40 cores, each with another sliver of context: no two of the same geometry."""
    n = 1000
    rng = np.random.default_rng(1)
    designs = {name: {"family": family} for name, family in DESIGNS.items()}
    store = TileStore.create(tmp_path_factory.mktemp("slivers") / "store", rule=RULE, designs=designs)
    store.reserve_tiles("metal1", n, names=NAMES, shard_size=n)
    arrays = tile_arrays(images(4, 0)[rng.integers(0, 4, n)], 0, NAMES)
    core = rng.integers(1, 41, n)
    around = 10_000 + np.arange(n)
    canonical = np.stack([core, around, around], axis=1).astype(np.uint64)
    arrays |= {"cell": rng.integers(0, len(CELLS), n), "canonical": canonical}
    store.write_tiles("metal1", 0, arrays)
    return store


def test_a_sliver_of_context_makes_no_other_tile(slivers):
    rule = SplitRule(held_out_designs=("aes",), validation_designs=("ram",))
    split = sp.splits(slivers, "metal1", 32, rule)
    assert split.attrs["margin_nm"] == 0 and len(set(split.geometry.values.tolist())) == 1000
    assert sp.leaks(split.split.values, split.core.values) == 0
    evaluated = np.flatnonzero(split.split.values == sp.SPLITS.index(sp.UNSEEN_DESIGN))
    assert sp.in_train(split, evaluated) == 0
    # By geometries of core and context, as it was, hardly a core was apart.
    design = np.array(NAMES["design"])[split.design]
    as_it_was = split.assign(split=("sample", np.where(design == "aes", 3, 0)))
    assert sp.in_train(as_it_was, np.flatnonzero(design == "aes")) > 200


def test_a_frozen_split_is_what_its_file_says(slivers, tmp_path):
    rule = SplitRule(held_out_designs=("aes",), validation_designs=("ram",))
    n = {sp.TRAIN: 20, sp.VALIDATION: 3, sp.UNSEEN_CELL: 3, sp.UNSEEN_DESIGN: 4, sp.UNSEEN_BOTH: 2}
    names = sp.freeze(slivers, "metal1", n, rule)
    counted = {split: list(names.values()).count(split) for split in n}
    assert counted == n and len(names) == sum(n.values())
    assert sp.freeze(slivers, "metal1", n, rule) == names
    path = tmp_path / "some.csv"
    held = sp.splits(slivers, "metal1", 16, rule).attrs["held_out_cells"]
    sp.write_frozen(path, {"metal1": names}, held)
    assert sp.read_frozen(str(path)) == {"metal1": names}
    split = sp.splits(slivers, "metal1", 16, replace(rule, frozen=str(path)))
    assert sp.leaks(split.split.values, split.core.values) == 0
    for name, n_cores in n.items():
        cores = set(split.core.values[split.split.values == sp.SPLITS.index(name)].tolist())
        assert cores == {int(core, 16) for core, of in names.items() if of == name} and len(cores) == n_cores
    # Nothing that is not named is in any split, and a layer without names has none.
    assert (split.split.values == sp.SPLITS.index(sp.EXCLUDED)).sum() > 100
    with pytest.raises(UnknownNameError, match="no frozen split 'other'"):
        sp.splits(slivers, "metal1", 16, SplitRule(frozen="other"))
    assert split.attrs["held_out_cells"] == held
    path.write_text(path.read_text() + path.read_text().splitlines()[2] + "\n")
    with pytest.raises(SchemaError, match="stands in it twice"):
        sp.read_frozen(str(path))


def test_a_frozen_split_grows_and_what_was_in_it_stays(slivers):
    rule = SplitRule(held_out_designs=("aes",), validation_designs=("ram",))
    few = {sp.TRAIN: 8, sp.VALIDATION: 2, sp.UNSEEN_CELL: 3, sp.UNSEEN_DESIGN: 4, sp.UNSEEN_BOTH: 2}
    before = sp.freeze(slivers, "metal1", few, rule)
    with pytest.raises(SchemaError, match="name the cells that are held out"):
        sp.freeze(slivers, "metal1", few, rule, before=before)
    held = sp.splits(slivers, "metal1", 0, rule).attrs["held_out_cells"]
    rule = replace(rule, held_out_cells=tuple(held))
    # One that this store does not hold, and one that another split would have drawn, stay as well.
    before |= {"f" * 16: sp.TRAIN}
    more = few | {sp.TRAIN: 12, sp.UNSEEN_BOTH: 4, sp.VALIDATION: 1}
    after = sp.freeze(slivers, "metal1", more, rule, before=before)
    assert list(after.items())[: len(before)] == list(before.items())
    counted = {split: list(after.values()).count(split) for split in few}
    assert counted == more | {sp.VALIDATION: 2}
    cores = {f"{core:016x}" for core in slivers.open("metal1").canonical.values[:, 0].tolist()}
    assert set(after) - set(before) <= cores
    assert sp.freeze(slivers, "metal1", more, rule, before=after) == after
    assert sp.freeze(slivers, "metal1", more, rule, before={}) == sp.freeze(slivers, "metal1", more, rule)


def test_no_core_of_the_committed_splits_is_in_two():
    for path in (FOLDER / "splits").glob("*.csv"):
        by_layer = sp.read_frozen(path.stem)
        assert set(by_layer) == {"metal1", "contact", "via1"}
        for names in by_layer.values():
            counted = pd.Series(names).value_counts()
            assert set(counted.index) <= set(sp.SPLITS) and counted[sp.TRAIN] >= 1000
            assert all(len(core) == 16 for core in names)


def test_a_split_by_tile_leaks_and_is_found(store):
    geometry = sp.splits(store, "metal1", 16).geometry.values
    by_tile = np.random.default_rng(1).integers(0, 2, len(geometry))
    seen = {code: set(geometry[by_tile == code].tolist()) for code in (0, 1)}
    assert sp.leaks(by_tile, geometry) == len(seen[0] & seen[1]) > 100


def test_splits_are_by_family_and_by_function(store):
    rule = SplitRule(held_out_designs=("gcd",), validation_designs=("ram",))
    split = sp.splits(store, "metal1", 16, rule)
    design = np.array(NAMES["design"])[split.design]
    held = np.isin([sp.cell_function(CELLS[code]) for code in split.cell.values], split.attrs["held_out_cells"])
    by = {name: split.split.values == code for code, name in enumerate(sp.SPLITS)}
    assert set(design[by["train"]]) == {"aes"} and not held[by["train"]].any()
    assert set(design[by["validation"]]) == {"ram"} and not held[by["validation"]].any()
    assert set(design[by["unseen_cell"]]) <= {"aes", "ram"} and held[by["unseen_cell"]].all()
    assert set(design[by["unseen_design"]]) == {"gcd_a", "gcd_b"} and not held[by["unseen_design"]].any()
    assert set(design[by["unseen_both"]]) <= {"gcd_a", "gcd_b"} and held[by["unseen_both"]].all()
    # What is excluded is so for its geometry alone, and an earlier split has it.
    earlier = set(split.core.values[~by["excluded"]].tolist())
    assert by["excluded"].any() and set(split.core.values[by["excluded"]].tolist()) <= earlier


@pytest.mark.parametrize("seed", range(5))
def test_held_out_cells_have_their_share_and_are_common_and_rare(store, seed):
    counts = sp.function_counts(store)
    held = sp.choose_cells(counts, seed=seed)
    assert 0.10 <= sum(counts[name] for name in held) / sum(counts.values()) <= 0.15
    ranks = sorted(sorted(counts, key=lambda name: -counts[name]).index(name) for name in held)
    assert len(held) == 3 and ranks[0] < 8 <= ranks[1] < 16 <= ranks[2]
    assert held == sp.choose_cells(counts, seed=seed)


def test_the_table_counts_every_tile_once(store):
    split = sp.splits(store, "metal1", 32, SplitRule(held_out_designs=("aes",)))
    table = sp.split_table(split)
    assert table.tiles.sum() == 4000 and float(table.share.sum()) == pytest.approx(1)
    train = split.geometry.values[split.split.values == 0]
    assert int(table.geometries.sel(split="train")) == len(set(train.tolist()))
    assert isinstance(table, xr.Dataset) and all("units" in table[name].attrs for name in table)


def test_what_cannot_be_held_out_is_told(store):
    with pytest.raises(UnknownNameError, match="families: aes, gcd, ram"):
        sp.splits(store, "metal1", 16, SplitRule(held_out_designs=("ibex",)))
    with pytest.raises(UnknownNameError, match="does NAND2"):
        sp.splits(store, "metal1", 16, SplitRule(held_out_cells=("NAND2",)))
    with pytest.raises(UnknownNameError, match=r"\[0, 16, 32\]"):
        sp.splits(store, "metal1", 64)
    with pytest.raises(SchemaError, match="family 'gcd' would be in several"):
        sp.splits(store, "metal1", 16, SplitRule(held_out_designs=("gcd_a",)))
