"""Ablations of networks: printed in place they stand where they belong, tags are told as said, effects are counted."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr
from model_stores import in_dark, model_store

from maskopt_lib import metrics, models, optics
from maskopt_lib.data import schema
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.models import Conditioning, weights
from maskopt_lib.models.inputs import NO_CELL
from maskopt_lib.models.training.loop import Trained
from maskopt_lib.models.training.tiles import choose_tiles, read_tiles
from maskopt_lib.runs.effects import CONFIRMED, REFUTED, UNDECIDED, effect_rows, gain
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, IN_PLACE
from maskopt_lib.study.dataset.tile_masks import scorer
from maskopt_lib.study.networks import contexts as context_ablation
from maskopt_lib.study.networks import drawings, fields, generalisation
from maskopt_lib.study.networks import tags as cell_tags
from maskopt_lib.study.networks.benchmark import Bench, Comparison, Tiles
from maskopt_lib.study.networks.entries import IDENTITY, LABELS, BenchEntry
from maskopt_lib.study.networks.scores import mean_scores

#: The layout is its own mask: no solver takes time here.
IDLE = {"method": "identity", "preset": "identity"}
WHERE = {"split": "train", "context_nm": 16, "kinds": ("ilt",)}
CELLS = ("INV_X1", "NAND2_X1", "NAND2_X2")


@pytest.fixture(scope="module")
def solver():
    return scorer(optics.load("embedded"))


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return model_store(tmp_path_factory.mktemp("data") / "tiles")


@pytest.fixture(scope="module")
def tiles(store):
    return read_tiles(store.path, "metal1", choose_tiles(store.path, "metal1", n=1, **WHERE), **WHERE)


@pytest.fixture
def bench(store, tmp_path):
    return Bench(store=store.path, run_dir=tmp_path / "run", kernels=optics.load("embedded"))


def chosen(tiles) -> Tiles:
    return Tiles(layer="metal1", samples=tuple(tiles.sample.tolist()), **WHERE)


def network(folder, *, tag="none", seen=CELLS, shuffle_cells=None) -> Trained:
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    told = Conditioning(tag=tag, n_cells=len(CELLS) if tag != "none" else 0)
    model = models.build("neural_ilt", width=1 / 16, pixel_nm=8, conditioning=told).eval()
    weights.save(model, folder / "weights.safetensors", {})
    rule = {"context_nm": 16, "shuffle_cells": shuffle_cells}
    return Trained(model=model, curves=xr.Dataset(), path=folder, rule=rule, cells=CELLS, seen=frozenset(seen))


class Chip:
    """A design that has the tiles of a store where they were cut, and a wall on either side of them."""

    def __init__(self, store, tiles, broken=False):
        ds = TileStore(store.path).open("metal1").isel(sample=tiles.sample)
        corners = zip(ds["x_nm"].values.tolist(), ds["y_nm"].values.tolist(), strict=True)
        self.at, self.broken = dict(zip(corners, tiles.drawn, strict=True)), broken

    def rasterize(self, layer, region_nm, pixel_nm):
        field = np.pad(self.at[region_nm[0] + 768, region_nm[1] + 768], 512)
        field[600:1448, 640:720] = field[600:1448, 1328:1408] = 1
        field[1000, 1000] ^= self.broken
        return field


def test_a_mask_in_place_stands_among_those_of_its_neighbours(store, tiles, solver, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(fields.layout, "open_design", lambda name: Chip(store, tiles))
    placed = context_ablation.place(bench, {"metal1": bench.placed(chosen(tiles))}, "ilt", IDLE)["metal1"]
    np.testing.assert_array_equal(placed.surroundings, placed.layout)
    shown = []

    def layout_itself(trained, tiles, **how):
        shown.append(tiles.context_nm)
        return tiles.image

    monkeypatch.setattr(context_ablation, "predict_tiles", layout_itself)
    monkeypatch.setattr(context_ablation, "predict", lambda model, images, **how: images)
    one = network(tmp_path / "net")
    trained = {("net", context, 0): one for context in (0, 32)}
    ds = context_ablation.score_contexts(bench, trained, placed, at_large=["net"])
    assert shown == [0, 32] and ds["network"].values.tolist() == ["net", IDENTITY, LABELS]
    l2 = ds[schema.L2].isel(seed=0, sample=0)
    np.testing.assert_array_equal(l2.sel(network="net", context=[0, 32]), l2.sel(network=IDENTITY, context=[0, 32]))
    # In place only the core is the mask's: this one has the same core whatever it was shown.
    in_place = l2.sel(network="net", printed=IN_PLACE, context=[0, 32, ALL_AROUND]).values
    np.testing.assert_array_equal(in_place, in_place[0])
    alone = l2.sel(network="net", printed=ALONE).values
    assert alone[0] != in_place[0] and np.isnan(alone[-1])
    # The core of the surroundings put into themselves is what the whole field prints.
    whole = solver.score(placed.surroundings[:, 512:1536, 512:1536], tiles.drawn, surroundings=placed.surroundings)
    assert float(l2.sel(network=LABELS, printed=IN_PLACE, context=ALL_AROUND)) == float(whole[schema.L2][0])
    # What is there is not made again.
    monkeypatch.setattr(drawings, "_draw", lambda *args, **how: pytest.fail("scored again"))
    xr.testing.assert_identical(context_ablation.score_contexts(bench, trained, placed, at_large=["net"]), ds)
    monkeypatch.setattr(fields.layout, "open_design", lambda name: Chip(store, tiles, broken=True))
    with pytest.raises(MissingDataError, match="other designs"):
        bench.placed(chosen(tiles))


def test_a_network_without_a_size_draws_a_window_as_it_draws_a_tile(tiles, tmp_path):
    one = network(tmp_path / "net")
    with torch.no_grad():
        one.model.last.weight.normal_()
    expected = models.predict(one.model, tiles.drawn)
    found = models.predict(one.model, tiles.drawn, at_large=True)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(found, expected)
    field = np.pad(tiles.drawn, ((0, 0), (512, 512), (512, 512)))
    assert models.predict(one.model, field, at_large=True).shape == (1, 2048, 2048)


def test_cells_are_told_as_said(store, tmp_path):
    samples = choose_tiles(store.path, "metal1", **WHERE)
    tiles = read_tiles(store.path, "metal1", samples, **WHERE)
    names = [tiles.cells[code] for code in tiles.cell]
    one = network(tmp_path / "a", tag="embedding", seen=CELLS[1:])
    own = cell_tags.codes_told(one, tiles, "own")
    assert [CELLS[code] if code != NO_CELL else None for code in own] == [n if n in CELLS[1:] else None for n in names]
    another = cell_tags.codes_told(one, tiles, "another")
    assert set(another) <= {1, 2} and (another != own).all()
    assert (cell_tags.codes_told(one, tiles, "none") == NO_CELL).all()
    shuffled = network(tmp_path / "b", tag="embedding", shuffle_cells=1)
    dealt = cell_tags.codes_told(shuffled, tiles, "own")
    assert sorted(dealt) == sorted(tiles.cell) and dealt.tolist() != tiles.cell.tolist()
    with pytest.raises(UnknownNameError, match="known: own, none, another"):
        cell_tags.codes_told(one, tiles, "both")


def test_each_way_to_tell_a_cell_is_scored(tiles, solver, bench, tmp_path, monkeypatch):
    trained = {("none", 0): network(tmp_path / "a"), ("embedding", 0): network(tmp_path / "b", tag="embedding")}
    told = []

    def layout_itself(model, images, *, cells, **how):
        told.append(int(cells[0]))
        return images

    monkeypatch.setattr(cell_tags.models, "predict", layout_itself)
    ds = cell_tags.score_tags(bench, trained, chosen(tiles), "ilt")
    expected = solver.score(tiles.image, tiles.drawn)[schema.L2].values
    scored = np.isfinite(ds[schema.L2].isel(seed=0, sample=0))
    assert scored.values.tolist() == [[True, False, False], [True, True, True]]
    assert (ds[schema.L2].isel(tag=1, seed=0) == expected).all()
    assert len(told) == 4 and told[2] == NO_CELL and told[3] not in (told[1], NO_CELL)


def test_components_keep_the_distances_of_cells(tmp_path):
    one = network(tmp_path / "a", tag="embedding", seen=CELLS[:2])
    space = cell_tags.embedding_space(one, n_components=8)
    learnt = one.model.conditioner.cells.weight.detach().numpy()[1:3]
    np.testing.assert_allclose(space["numbers"], learnt, rtol=1e-6)
    np.testing.assert_allclose(
        np.linalg.norm(space["position"][0] - space["position"][1]), np.linalg.norm(learnt[0] - learnt[1]), rtol=1e-6
    )
    assert space["cell"].values.tolist() == list(CELLS[:2])
    assert float(space["explained"].sum()) == pytest.approx(1)
    with pytest.raises(UnknownNameError, match="tag 'none' learns no numbers"):
        cell_tags.embedding_space(network(tmp_path / "b"))
    rng = np.random.default_rng(0)
    chances = [cell_tags.kinship(rng.normal(size=(24, 4)), np.arange(24) % 6, n_draws=50)[1] for _ in range(40)]
    # Of groups that mean nothing every rank is as likely.
    assert np.mean(chances) == pytest.approx(0.5, abs=0.15)
    assert np.isnan(cell_tags.kinship(rng.normal(size=(3, 4)), list("abc"))).all()


def test_an_effect_is_decided_where_its_interval_is():
    rng = np.random.default_rng(0)
    base = xr.DataArray(100 + rng.normal(0, 10, (3, 200)), dims=(schema.SEED, schema.SAMPLE))
    groups = np.arange(200) // 4
    better, same = gain(base, 0.95 * base, groups), gain(base, base + rng.normal(0, 5, base.shape), groups)
    assert better.mean == pytest.approx(5) and better.verdict == CONFIRMED
    assert gain(base, 1.1 * base, groups).verdict == REFUTED
    assert same.verdict == UNDECIDED and same.interval[0] < same.mean < same.interval[1]
    # With one group of tiles nothing is known of others.
    assert gain(base, 0.5 * base, np.zeros(200)).verdict == UNDECIDED
    assert (better - same).mean == pytest.approx(better.mean - same.mean)
    rows = effect_rows({("a", "x"): better, ("b", "y"): same}, rows="tag", columns="cells", long_name="gain")
    assert rows["mean"].sel(tag="a", cells="x") == pytest.approx(5)
    assert np.isnan(rows["low"].sel(tag="a", cells="y"))


def test_what_context_gains_is_told_from_what_the_window_flatters():
    rng = np.random.default_rng(0)
    tile = 1000 + 100 * rng.random(30)
    share = {(0, ALONE): 0.8, (0, IN_PLACE): 1.0, (64, ALONE): 0.6, (64, IN_PLACE): 0.9, (ALL_AROUND, IN_PLACE): 0.5}
    contexts, prints = [0, 32, 64, ALL_AROUND], [ALONE, IN_PLACE]
    values = np.array([[[share.get((c, p), np.nan) * tile for p in prints] for c in contexts]])[:, :, None]
    dims = ("network", "context", "seed", "printed", "sample")
    ds = xr.Dataset(
        {name: (dims, values) for name in metrics.CORE_SCORES}
        | {"cell": ("sample", np.arange(30) // 3), "core_density": ("sample", np.arange(30.0))},
        {"network": ["net"], "context": contexts, "seed": [0], "printed": prints},
    )
    ds = schema.label(ds)
    effects = context_ablation.context_effects(ds, ["net"])
    # Nothing was shown 32 nm.
    assert effects["row"].values.tolist() == ["net, 0 nm", "net, 64 nm"]
    found = effects.sel(row="net, 64 nm")
    for name, expected in {"gain alone": 25, "gain in place": 10, "flattered": 100 / 3}.items():
        one = found.sel(effect=name)
        assert [float(one[s]) for s in ("mean", "low", "high")] == pytest.approx([expected] * 3)
    assert float(effects["mean"].sel(row="net, 0 nm", effect="flattered")) == pytest.approx(20)
    means = mean_scores(ds)[schema.L2].sel(network="net", printed=IN_PLACE)
    assert float(means.sel(context=ALL_AROUND, statistic="mean")) == pytest.approx(0.5 * tile.mean())
    low, high = means.sel(context=0, statistic=["low", "high"]).values
    assert low < tile.mean() < high
    assert np.isnan(means.sel(context=32)).all()
    # Of the layers that are there: none is compared with one that is not.
    told = context_ablation.statements({"via1": ds}, ["net"], [0, 64], {"metal1": 32}, tiles="some")
    assert list(told) == [f"net: context helps via1, printed {printed}" for printed in (IN_PLACE, ALONE)]
    told = context_ablation.statements({"metal1": ds}, ["net"], [0, 64], {"metal1": 0})
    assert list(told) == [f"net: too much context hurts dense metal1, printed {p}" for p in (IN_PLACE, ALONE)]
    effect, _ = told["net: too much context hurts dense metal1, printed in place"]
    assert effect.mean == pytest.approx(100 * (1 - 1 / 0.9))
    # Masks of which nothing prints say nothing: not that context makes no difference.
    dark = context_ablation.statements({"via1": ds.assign(pvb_nm2=0 * ds[schema.PVB])}, ["net"], [0, 64], {})
    assert all(np.isnan(effect.mean) and effect.p_within(5) == 1 for effect, _ in dark.values())


def test_what_is_said_of_tags_is_of_what_was_trained(tiles, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(cell_tags.models, "predict", lambda model, images, **told: images)
    trained = {("none", 0): network(tmp_path / "a"), ("embedding", 0): network(tmp_path / "b", tag="embedding")}
    scores = {("via1", "ilt", "seen"): cell_tags.score_tags(bench, trained, chosen(tiles), "ilt")}
    assert list(cell_tags.tag_gains(scores)) == [("via1, ilt, embedding", "seen")]
    assert len(cell_tags.listening(scores)) == 2
    said = cell_tags.statements(scores, "embedding")
    assert list(said) == ["Tags help via1, ilt masks, seen", "Another cell's name harms via1, ilt masks"]
    assert cell_tags.statements(scores, "FiLM") == {}
    alone = {("via1", "ilt", "seen"): scores["via1", "ilt", "seen"].sel(tag=["embedding"])}
    assert list(cell_tags.statements(alone, "embedding")) == ["Another cell's name harms via1, ilt masks"]


def test_other_optics_and_other_clips(tiles, solver, bench, tmp_path, monkeypatch):
    kernel_sets = {"its own": "embedded", "defocused": "embedded defocused"}
    entries = [BenchEntry(name="layout")]
    shown = in_dark(bench, chosen(tiles))
    compared = Comparison(kind="ilt", tiles=shown, entries=entries, scores=bench.scores(entries, shown, "ilt"))
    ds = generalisation.score_optics(bench, compared, kernel_sets)
    expected = solver.score(tiles.drawn, tiles.drawn)
    assert float(ds[schema.L2].sel(optics="its own").item()) == float(expected[schema.L2][0])
    out_of_focus = generalisation.defocused(solver.sim.kernels)
    nominal, outer, inner = out_of_focus.aerial_in_middle(tiles.image.astype(np.float32), pixel_nm=1.0)[0]
    torch.testing.assert_close(outer, 1.02**2 * nominal)
    torch.testing.assert_close(inner, 0.98**2 * nominal)
    in_focus = solver.sim.aerial_in_middle(tiles.image.astype(np.float32), pixel_nm=1.0)[0]
    torch.testing.assert_close(inner, in_focus[2])

    monkeypatch.setattr(generalisation, "network_mask", lambda path, target, **how: (target, 0.0, {}))
    clip = np.zeros((2048, 2048), np.uint8)
    clip[700:900, 500:1500] = 1
    scored = generalisation.score_clips({("net", 3): tmp_path}, {"bar": clip}, solver.sim)
    net, layout_itself = (scored[schema.L2].sel({schema.METHOD: name}).item() for name in ("net", IDENTITY))
    assert net == layout_itself > 0
