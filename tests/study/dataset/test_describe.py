"""What is said of a dataset: counted by hand, against pixels, and against scores made elsewhere."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tile_stores
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.layout import signature
from maskopt_lib.runs.bootstrap import intervals
from maskopt_lib.study.dataset import cut as build_dataset
from maskopt_lib.study.dataset import describe as dd
from maskopt_lib.study.dataset import label_scores as dl
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, IN_PLACE

NAMES = {"design": ["a", "b", "c"], "cell": ["BUF_X1", "INV_X1", "NAND2_X1", "OR2_X1"], "orientation": ["N", "FS"]}
DESIGNS = {"a": {"family": "first", "state": "routed"}, "b": {"family": "first", "state": "placed"}}


def store_of(path, images, **columns) -> TileStore:
    """A store of these images with true signatures; ``columns`` replace what is drawn at random."""
    rule = tile_stores.RULE
    store = TileStore.create(path, rule=rule, designs=DESIGNS)
    store.reserve_tiles("metal1", len(images), names=NAMES, shard_size=len(images))
    all_turns = signature.signatures_of(images, [rule["core_nm"] + 2 * c for c in rule["contexts_nm"]])
    arrays = tile_stores.tile_arrays(images, 0, NAMES)
    arrays |= {"signature": all_turns[..., 0], "canonical": signature.canonical(all_turns)[0]}
    store.write_tiles("metal1", 0, arrays | {name: np.asarray(values) for name, values in columns.items()})
    return store


@pytest.fixture
def alike():
    """12 images: four of their own, two twice, two with a mirror image, and two that only their borders tell apart."""
    images = tile_stores.images(12, 3)
    images[5] = images[4]
    images[6] = images[4]
    images[7] = images[3][:, ::-1]
    images[9] = np.rot90(images[8])
    images[11] = images[10]
    images[11, 0, :5] ^= 1
    return images


def test_designs_are_counted(tmp_path, alike):
    design = ["a"] * 5 + ["b"] * 7
    store = store_of(tmp_path, alike, design=design, cell=["INV_X1"] * 12, instance=[f"u{i // 2}" for i in range(12)])
    cut = xr.Dataset(
        {name: (("layer", "design"), [[n, 9]], {"units": "1"}) for name, n in (("windows", 8), ("empty", 3))},
        coords={"layer": ["metal1"], "design": ["a", "b"]},
    )
    counts = dd.design_counts(store, dd.read_tiles(store), cut).sel(layer="metal1")
    assert counts["tiles"].values.tolist() == [5, 7, 0]
    assert counts["windows"].values.tolist() == [8, 9, 0] and counts["empty"].values.tolist() == [3, 9, 0]
    # In b lie the second and third of one image, a pair that is turned, and a pair that differs at the border.
    assert counts["images"].values.tolist() == [5, 6, 0] and counts["geometries"].values.tolist() == [5, 5, 0]
    assert counts["instances"].values.tolist() == [3, 4, 0] and counts["cells"].values.tolist() == [1, 1, 0]
    assert counts["state"].values.tolist() == ["routed", "placed", "not said"]
    assert counts["family"].values.tolist() == ["first", "first", "not said"]


def test_repeats_are_those_of_the_pixels(tmp_path, alike):
    """Different signatures are different crops, counted pixel by pixel; more context never makes fewer."""
    found = dd.repeats(dd.read_tiles(store_of(tmp_path, alike))).sel(layer="metal1")
    for context in tile_stores.RULE["contexts_nm"]:
        inner = slice(32 - context, 96 + context)
        crops = [image[inner, inner] for image in alike]
        kinds = {min(turned(crop, t).tobytes() for t in TURNS) for crop in crops}
        shown = [crop.tobytes() for crop in crops]
        one = found.sel(context_nm=context)
        assert int(one["images"]) == len(set(shown)) and int(one["geometries"]) == len(kinds)
        assert int(one["most_alike"]) == max(shown.count(crop) for crop in shown)
        assert float(one["geometry_share"]) == pytest.approx(100 * len(kinds) / 12)
    assert bool((found[["images", "geometries"]].diff("context_nm") >= 0).to_array().all())
    assert int(found["images"][-1]) == 10 and int(found["images"][0]) == 9


def test_windows_and_densities_are_shares_of_all_tiles(tmp_path, alike):
    row, column = np.arange(12) % 3, np.arange(12) // 6
    design = ["a"] * 6 + ["c"] * 6
    density = np.repeat([0.1, 0.4], 6)
    tiles = dd.read_tiles(store_of(tmp_path, alike, row=row, column=column, design=design, core_density=density))
    assert dd.window_counts(tiles)["tiles"].sel(layer="metal1").values.tolist() == [[2, 2]] * 3
    found = dd.density_histograms(tiles, n_bins=8).sel(layer="metal1")
    np.testing.assert_allclose(found["share"].sum("bin"), 100)
    assert found["median"].to_series().to_dict() == pytest.approx({"first": 10, "c": 40})
    # Each family stands in the one bin that holds its density.
    for family, value in (("first", 10), ("c", 40)):
        (at,) = np.flatnonzero(found["share"].sel(family=family).values)
        assert float(found["low"][at]) <= value + 1e-5 and value <= float(found["high"][at]) + 1e-5


def test_cells_are_ranked_and_hold_their_share(tmp_path):
    cells = ["NAND2_X1"] * 5 + ["BUF_X1"] * 3 + ["OR2_X1", "INV_X1"]
    columns = {"cell": cells, "n_rows": np.full(10, 3), "n_columns": np.array([2] * 9 + [1])}
    found = dd.cell_frequencies(dd.read_tiles(store_of(tmp_path, tile_stores.images(10, 0), **columns)))
    assert found["cell"].values.tolist() == ["NAND2_X1", "BUF_X1", "INV_X1", "OR2_X1"]
    assert found["tiles"].values.tolist() == [[5, 3, 1, 1]] and found["windows"].values.tolist() == [6, 6, 3, 6]
    # 5 of 10 is half of the tiles, 5 + 3 + 1 are nine tenths: no cell more is needed.
    assert dd.cells_holding(found, (0.5, 0.51, 0.9, 1.0)).values.tolist() == [[1, 2, 3, 4]]


def test_a_sliver_is_less_than_the_smallest_width(tmp_path):
    cut = np.array([[0, 1, 2]] * 2 + [[1, 1, 0]] * 2)
    narrowest = np.array([[np.nan, 69, 12], [np.nan, 70, 90], [69.5, 5, np.nan], [70, 200, np.nan]], np.float32)
    tiles = dd.read_tiles(store_of(tmp_path, tile_stores.images(4, 0), n_shapes_cut=cut, min_cut_nm=narrowest))
    found = dd.window_cuts(tiles, {"metal1": 70}).sel(layer="metal1")
    assert found["cut_share"].values.tolist() == [50, 100, 50]
    assert found["sliver_share"].values.tolist() == [25, 50, 25]
    assert found["shapes_cut"].values.tolist() == [0.5, 1.0, 1.0]
    with pytest.raises(SchemaError, match="metal1"):
        dd.window_cuts(tiles, {"via1": 70})


def test_savings_sizes_and_labels(tmp_path):
    store, arrays = tile_stores.small_store(tmp_path)
    tile_stores.add_labels(store)
    saved = dd.savings(store).sel(layer="metal1", label_context_nm=16)
    assert (int(saved["labels"]), int(saved["labelled"]), float(saved["saved_share"])) == (10, 10, 0)
    sizes = dd.sizes(store).sel(layer="metal1")
    # Coordinates are laid out with the arrays; they belong to no shard.
    coordinates = {"metal1/context_nm", "metal1/label_context_nm", "metal1/labels/method"}
    chunks = [path for path in (tmp_path / "tiles.zarr").rglob("c/**/*") if path.is_file()]
    chunks = [path for path in chunks if not any(f"/{name}/c/" in path.as_posix() for name in coordinates)]
    stored = sum(path.stat().st_size for path in chunks)
    assert int(sizes["size_bytes"].sum()) == stored
    assert int(sizes["entries"].sel(kind="tiles")) == 20 and int(sizes["entries"].sel(kind="labels-ilt")) == 10
    labels = dl.read_labels(store, dd.read_tiles(store))["metal1"]
    assert labels["cell"].values.tolist() == arrays["cell"][::2].tolist() and set(labels["n_tiles"].values) == {1}
    assert labels["shots"].sel({"method": "ilt"}).values.tolist() == [2.0] * 10
    together = dl.side_by_side({"metal1": labels}, {"metal1": 16})
    np.testing.assert_array_equal(together["l2_nm2"].sel(layer="metal1"), labels["l2_nm2"])
    by_cell = dl.cell_scores(labels, at_least=2)
    for name in by_cell["cell"].values:
        own = labels["l2_nm2"].values[labels["cell"].values == name]
        np.testing.assert_allclose(by_cell["l2_nm2"].sel(cell=name), own.mean(axis=0))
        assert int(by_cell["labels"].sel(cell=name)) == len(own) >= 2


def test_splits_hold_all_tiles_and_leak_nothing(tmp_path):
    store, _ = tile_stores.small_store(tmp_path, n=40)
    found = dd.split_counts(store, {"metal1": 16}, SplitRule(held_out_cells=("INV",))).sel(layer="metal1")
    assert int(found["tiles"].sum()) == 40 and int(found["leaks"]) == 0
    assert found.attrs["held_out_cells"] == ["INV"]
    assert int(found["functions"].sel(split="unseen_cell")) == int(found["functions"].sel(split="train")) == 1


def test_drawn_tiles_differ_and_designs_take_turns(tmp_path, alike):
    design = ["a"] * 7 + ["b"] * 3 + ["c"] * 2
    tiles = dd.read_tiles(store_of(tmp_path, alike, design=design))["metal1"]
    drawn = dd.draw_tiles(tiles, 12, seed=1)
    # Of three alike and of two turned pairs one each is drawn.
    assert drawn.sizes["sample"] == len(np.unique(tiles["canonical"].values[:, -1])) == 8
    canonical = tiles["canonical"].values[drawn["sample"].values, -1]
    assert len(set(canonical.tolist())) == 8
    assert sorted(drawn["design"].values[:3].tolist()) == ["a", "b", "c"]
    np.testing.assert_array_equal(drawn["x_nm"], tiles["x_nm"].values[drawn["sample"].values])
    xr.testing.assert_identical(dd.draw_tiles(tiles, 4, seed=1), drawn.isel(sample=slice(4)))
    assert set(dd.draw_tiles(tiles, 12, designs=["b"])["design"].values) == {"b"}
    with pytest.raises(UnknownNameError, match="no design 'd'; it has a, b, c"):
        dd.draw_tiles(tiles, 1, designs=["d"])


def test_a_missing_build_names_the_command(tmp_path):
    with pytest.raises(MissingDataError, match="make study VARIANT=paper"):
        dd.build_of(tmp_path / "23_describe_dataset" / "paper")
    made = tmp_path / dd.BUILD / "paper"
    (made / build_dataset.STORE).mkdir(parents=True)
    (made / "record.json").touch()
    assert dd.build_of(tmp_path / "23_describe_dataset" / "paper") == made == dd.build_of("", made)


# Intervals


def test_an_interval_of_independent_values_is_that_of_theory():
    values = np.random.default_rng(0).normal(10, 2, 400)
    found = intervals(xr.Dataset({"v": ("sample", values)}), np.arange(400), n_draws=4000)["v"]
    mean, low, high = found.values
    assert mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 20
    assert (mean - low, high - mean) == (pytest.approx(half, rel=0.08), pytest.approx(half, rel=0.08))


def test_copies_within_a_group_make_no_interval_narrower():
    values, groups = np.random.default_rng(1).normal(size=30), np.arange(30)
    once = intervals(xr.Dataset({"v": ("sample", values)}), groups)["v"]
    often = intervals(xr.Dataset({"v": ("sample", np.repeat(values, 5))}), np.repeat(groups, 5))["v"]
    np.testing.assert_allclose(often, once)


def test_what_is_not_finite_is_left_out_and_one_group_has_no_interval():
    ds = xr.Dataset({"v": (("sample", "m"), [[1.0, np.nan], [3.0, 5.0]]), "name": ("sample", ["x", "y"])})
    found = intervals(ds, np.array(["a", "b"]))
    assert set(found.data_vars) == {"v"}
    assert found["v"].sel(statistic="mean").values.tolist() == [2.0, 5.0]
    assert found["v"].values[1].tolist() == [5.0, 5.0, 5.0]
    alone = intervals(ds, np.array(["a", "a"]))["v"].values
    assert alone[:, 0].tolist() == [2.0, 5.0] and np.isnan(alone[:, 1:]).all()


# Masks


def effect(sample: int = 6) -> xr.Dataset:
    """L2 that depends on context and printing just so, besides what tiles differ by."""
    tile = np.random.default_rng(2).normal(0, 100, sample)
    values = np.full((1, 3, 2, sample), np.nan)
    for i, context in enumerate((0, 64, ALL_AROUND)):
        values[0, i, 0] = np.nan if context == ALL_AROUND else 1000 - context + tile
        values[0, i, 1] = 800 + tile if context == ALL_AROUND else 1300 - 2 * context + tile
    return schema.label(
        xr.Dataset(
            {schema.L2: (("kind", "context", "printed", "sample"), values)},
            coords={"kind": ["opc"], "context": [0, 64, ALL_AROUND], "printed": [ALONE, IN_PLACE]}
            | {"cell": ("sample", [f"c{i // 2}" for i in range(sample)])},
            attrs={"layer": "metal1"},
        )
    )


def test_differences_are_paired():
    """What tiles differ by drops out: every interval is a point."""
    found = dl.effect_differences(effect())[schema.L2].sel(kind="opc")
    wanted = {"gain in place": (0, 128), "gain alone": (0, 64), "window": (300, 236), "left": (500, 372)}
    for name, values in wanted.items():
        one = found.sel(difference=name)
        np.testing.assert_allclose(
            one.transpose("context", "statistic"), np.array(values)[:, None] * np.ones(3), atol=1e-9
        )
    assert found["context"].values.tolist() == [0, 64] and found.attrs["units"] == "nm2"


def test_tables_say_mean_and_ends():
    table = dl.interval_table(dl.effect_means(effect()), [schema.L2])
    assert table.loc["opc, -1, in place", (schema.L2, "mean")] == pytest.approx(
        float(effect()[schema.L2].sel(context=ALL_AROUND, printed=IN_PLACE).mean())
    )
    assert len(table) == 5  # the oracle is not printed alone
    text = dl.interval_texts(table).loc["opc, 0, alone", schema.L2]
    mean, low, high = table.loc["opc, 0, alone"]
    assert text == f"{mean:,.1f} ({low:,.1f} to {high:,.1f})"


class Counting:
    """In place of a solver: L2 counts the pixels in which a mask differs from what is drawn."""

    rule = SimpleNamespace(image_nm=256.0, core_nm=64.0, pixel_nm=1.0)

    def score(self, masks, drawn):
        values = (masks != drawn).sum(axis=(1, 2)).astype(float)
        return schema.label(xr.Dataset({schema.L2: (schema.SAMPLE, values), schema.SHOTS: (schema.SAMPLE, values + 1)}))


def test_the_layout_as_mask_shows_what_the_label_saw(tmp_path):
    """Labels were made with 16 nm of context: what lies beyond is drawn, but not on the mask."""
    store, arrays = tile_stores.small_store(tmp_path)
    tile_stores.add_labels(store)
    labels = dl.read_labels(store, dd.read_tiles(store))
    layouts = dl.score_layouts(store, labels["metal1"], Counting(), n=6, seed=2)
    assert layouts.sizes["label"] == 6
    for label, value in zip(layouts["label"].values, layouts[schema.L2].values, strict=True):
        content = arrays["content"][2 * label]
        assert value == content.sum() - content[16:-16, 16:-16].sum()
    rows = dl.oracle_rows(labels, {"metal1": layouts}, {"metal1": 16}).sel(layer="metal1", statistic="mean")
    assert rows["n"].values.tolist() == [10, 10, 6] and rows["method"].values.tolist() == ["opc", "ilt", dl.LAYOUT]
    assert float(rows[schema.L2][2]) == pytest.approx(layouts[schema.L2].values.mean())
    assert rows[schema.SHOTS].values[:2].tolist() == [1, 2]
