"""The benchmark of models: rows score the same tiles, what was done is kept, intervals and comparisons are right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from model_stores import SMALL, in_dark, model_store

from maskopt_lib import optics
from maskopt_lib.data import schema
from maskopt_lib.errors import MissingDataError, OptionError, UnknownNameError
from maskopt_lib.models.training.rules import Stage
from maskopt_lib.models.training.tiles import choose_tiles
from maskopt_lib.opc import Recipe
from maskopt_lib.study.dataset.tile_masks import scorer
from maskopt_lib.study.networks import benchmark as bm
from maskopt_lib.study.networks import entries as en
from maskopt_lib.study.networks import fields, trainings
from maskopt_lib.study.networks import scores as model_scores

DIMS = (schema.METHOD, schema.SEED, schema.SAMPLE)


def scores(l2, runtime_s=None, cells=None, **more) -> xr.Dataset:
    """(method, seed, sample) numbers as a result of a benchmark."""
    l2 = np.asarray(l2, float)
    values = {schema.L2: l2, **{name: np.asarray(column, float) for name, column in more.items()}}
    for name in (schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS, schema.EPE_SITES):
        values.setdefault(name, np.ones_like(l2))
    seconds = np.ones(len(l2)) if runtime_s is None else np.asarray(runtime_s)
    values[schema.RUNTIME] = np.broadcast_to(seconds[:, None, None], l2.shape)
    ds = xr.Dataset({name: (DIMS, column) for name, column in values.items()})
    numbers = {dim: np.arange(n) for dim, n in zip(DIMS[1:], l2.shape[1:], strict=True)}
    ds = ds.assign_coords({schema.METHOD: [f"m{i}" for i in range(len(l2))], **numbers})
    cells = np.arange(l2.shape[2]) if cells is None else cells
    return schema.label(ds.assign(cell=(schema.SAMPLE, np.asarray(cells).astype(str))))


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded")


def u_net_rules(seeds) -> dict:
    """Two steps of a small network towards labels, for each seed."""
    return trainings.rules_for(
        {"U-Net": {"model": "neural_ilt", "stages": (Stage(name="label", weights={"label": 1.0}),)}},
        layers=["metal1"],
        seeds={"ilt": seeds},
        steps=2,
        **SMALL | {"context_nm": {"metal1": 16}},
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory, kernels):
    """A store, a run with one trained network, and the tiles of its other design."""
    folder = tmp_path_factory.mktemp("models")
    store = model_store(folder / "tiles")
    rules = u_net_rules([3])
    found = trainings.train_all(rules, store.path, folder / "run", kernels=kernels)
    where = {"split": "validation", "context_nm": 16, "kinds": ("opc", "ilt")}
    samples = choose_tiles(store.path, "metal1", **where)
    tiles = bm.Tiles(layer="metal1", samples=tuple(samples.tolist()), **where)
    bench = bm.Bench(store=store.path, run_dir=folder / "run", kernels=kernels, batch=2)
    return found, bench, in_dark(bench, tiles)


def test_a_network_that_learnt_from_no_masks_draws_one_kind(trained, kernels):
    found, bench, tiles = trained
    (network,) = found.values()
    rules = trainings.rules_for(
        {"ours": {"model": "neural_ilt", "stages": (Stage(name="litho", weights={"l2": 1.0}),)}},
        layers=["metal1"],
        seeds={"ilt": [3]},
        steps=1,
        **{name: value for name, value in SMALL.items() if name != "context_nm"} | {"context_nm": {"metal1": 16}},
    )
    (ours,) = trainings.train_all(rules, bench.store, bench.run_dir, kernels=kernels).values()
    opc, ilt = (bench.scores([en.BenchEntry(name="ours", trained=ours.path)], tiles, kind) for kind in ("opc", "ilt"))
    xr.testing.assert_equal(opc.drop_vars(schema.RUNTIME), ilt.drop_vars(schema.RUNTIME))
    with pytest.raises(UnknownNameError, match="this network draws: ilt"):
        bench.scores([en.BenchEntry(name="U-Net", trained=network.path)], tiles, "opc")


def test_every_row_scores_its_masks_of_the_same_tiles(trained, kernels, monkeypatch):
    found, bench, tiles = trained
    (network,) = found.values()
    idle = Recipe(method="identity", preset="identity")
    entries = [
        en.BenchEntry(name=en.IDENTITY),
        en.BenchEntry(name=en.LABELS, label="opc", recipe=idle),
        en.BenchEntry(name="U-Net", trained=network.path, seed=3),
        *en.solver_entries({"OPC": {"method": "identity", "preset": "identity"}}, "metal1"),
    ]
    ds = bench.scores(entries, tiles, "ilt")
    assert ds.sizes == {schema.METHOD: 4, schema.SEED: 2, schema.SAMPLE: len(tiles.samples)}

    read, layouts = bench.read(tiles), tiles.layouts
    judge = scorer(kernels)
    for method, masks in {en.IDENTITY: read.image, en.LABELS: read.masks["opc"], "OPC": read.image}.items():
        alone, of_layout = judge.score(masks, read.drawn), masks if method == en.LABELS else read.drawn
        in_place = judge.score(of_layout, read.drawn, surroundings=layouts)
        for name in (schema.L2, schema.PVB, schema.EPE3):
            np.testing.assert_array_equal(ds[f"alone_{name}"].sel({"method": method, "seed": 0}), alone[name])
            np.testing.assert_array_equal(ds[name].sel({"method": method, "seed": 0}), in_place[name])
    np.testing.assert_array_equal(ds["target_nm2"], fields.middle(read.drawn, 512).sum((1, 2)))
    # The network has its own seed, and time; labels have none.
    assert np.isfinite(ds[schema.L2].sel({"method": "U-Net"})).all(schema.SAMPLE).values.tolist() == [False, True]
    assert float(ds[schema.RUNTIME].sel({"method": "U-Net", "seed": 3}).min()) > 0
    assert np.isnan(ds[schema.RUNTIME].sel({"method": en.LABELS})).all()
    kept = bench.masks(entries[2], tiles, "ilt")
    again = judge.score(fields.middle(kept, 1024), read.drawn, surroundings=kept)
    np.testing.assert_array_equal(again[schema.L2], ds[schema.L2].sel({"method": "U-Net", "seed": 3}))

    # What is there is not made again; what was damaged is.
    made = []
    real = bm._score
    monkeypatch.setattr(bm, "_score", lambda part, kept: (made.append(part.entry.name), real(part, kept)))
    next((bench.run_dir / "parts").glob("*label*.npz")).write_bytes(b"")
    again = bench.scores(entries, tiles, "ilt")
    assert made == [en.LABELS]
    xr.testing.assert_identical(again, ds)

    comparison = bm.Comparison(kind="ilt", tiles=tiles, entries=entries, scores=ds)
    gallery = bench.gallery(comparison, entries[2])
    assert [title.partition(":")[0] for title in gallery["title"].values] == [
        "U-Net, best",
        "U-Net, median",
        "U-Net, worst",
    ]
    worst = ds[schema.L2].sel({"method": "U-Net", "seed": 3}).values.argmax()
    np.testing.assert_array_equal(gallery["mask"][2], fields.middle(kept, 1024)[worst])
    assert gallery["x"].values[[0, -1]].tolist() == [0.5, 1023.5]
    with pytest.raises(OptionError, match=r"take Bench\.placed"):
        bench.scores(entries, bm.Tiles(layer="metal1", split=None, context_nm=16, samples=(0,)), "ilt")

    with pytest.raises(UnknownNameError, match="labels 'ilt2'"):
        bench.scores([en.BenchEntry(name="other", label="ilt2", recipe=idle)], tiles, "ilt")


def test_a_comparison_has_the_layout_the_labels_solvers_and_networks(trained):
    found, bench, tiles = trained
    (network,) = found.values()
    solvers = {"OPC": {"method": "identity", "preset": "none", "presets": {"metal1": "identity"}}}
    how = {"solvers": solvers, "surroundings": {"method": "identity"}, "dials": (0.0, 1.0)}
    compared = bench.compare({("U-Net", 3): network.path}, tiles, "ilt", **how)
    rows = [en.IDENTITY, en.LABELS, "OPC", "U-Net"]
    assert compared.scores[schema.METHOD].values.tolist() == rows
    assert [entry.name for entry in compared.first_seeds] == rows
    assert compared.networks == compared.learnt == ["U-Net"] and compared.solvers == ["OPC"]
    same = bench.choose("metal1", in_place=False, split="validation", context_nm=16, kinds=("opc", "ilt"))
    assert same == replace(tiles, fields=())


def test_masks_may_be_held_to_the_rules_and_pay_for_it(trained, monkeypatch, tmp_path):
    found, bench, tiles = trained
    bench = replace(bench, run_dir=tmp_path)
    (network,) = found.values()
    entries = en.network_entries({("U-Net", 3): network.path}, rules_kept=["U-Net"])
    assert [entry.name for entry in entries] == ["U-Net", "U-Net, rules kept"]

    def specks(model, rule, layouts, **told):
        masks = layouts.copy()
        masks[:, 900:908, 900:908] = masks[:, 900:908, 911:919] = 1
        return fields.middle(masks, 1024), masks

    monkeypatch.setattr(bm, "draw_in_place", specks)
    ds = bench.scores(entries, tiles, "ilt").sel({"seed": 3})
    as_drawn, kept = (ds.sel({"method": name}) for name in ("U-Net", "U-Net, rules kept"))
    assert as_drawn[schema.MSA].max() <= 64 and as_drawn[schema.MSD].min() <= 4
    assert not (kept[schema.MSA] < 1900).any() and not (kept[schema.MSD] < 24).any()
    assert (kept[schema.RUNTIME] > as_drawn[schema.RUNTIME]).all()


def test_the_list_of_a_run_leads_to_its_networks(trained, tmp_path):
    found, _, _ = trained
    listed = trainings.summary(found)
    assert listed["folder"].values.tolist() == [one.path.name for one in found.values()]
    assert listed["train_s"].item() > 0 and 0 <= listed["wait_percent"].item() < 100
    with pytest.raises(MissingDataError, match="run notebook 31_train_models first"):
        trainings.run_of(tmp_path / "results" / "32_benchmark_models" / "quick")
    both = {
        ("own", "metal1", trainings.NO_MASKS, 0): "a",
        ("U-Net", "metal1", "opc", 0): "b",
        ("U-Net", "metal1", "ilt", 0): "c",
    }
    # Who learns from no masks stands beside all who do.
    assert trainings.select(both, layer="metal1", kind="ilt") == {("own", 0): "a", ("U-Net", 0): "c"}
    # A second seed under one kind of labels says nothing of the other.
    more = both | {("U-Net", "metal1", "ilt", 1): "d"}
    opc = trainings.select(both, layer="metal1", kind="opc")
    assert trainings.select(more, layer="metal1", kind="opc") == opc
    with pytest.raises(
        UnknownNameError, match="no trainings for via1 ilt; there are: metal1 no masks, metal1 opc, metal1 ilt"
    ):
        trainings.select(both, layer="via1", kind="ilt")


def test_workers_train_the_same_networks_side_by_side(trained, tmp_path, kernels):
    found, bench, _ = trained
    ((key, here),) = found.items()
    rules = u_net_rules([3, 4])
    at_once = trainings.train_all(rules, bench.store, tmp_path, kernels=kernels, workers=2)
    assert list(at_once) == list(rules) and at_once[key].path.name == here.path.name
    assert at_once[key].weights.read_bytes() == here.weights.read_bytes()
    with pytest.raises(OptionError, match="side by side on a CPU only"):
        trainings.train_all(rules, bench.store, tmp_path, kernels=kernels, workers=2, n_workers=4)


def test_a_network_may_have_seeds_and_stages_of_its_own():
    label, litho = ({"name": "a", "weights": {term: 1.0}} for term in ("label", "l2"))
    networks = {
        "all": {"model": "neural_ilt", "stages": [label]},
        "few": {"model": "neural_ilt", "stages": [label], "seeds": {"ilt": [7]}},
        "no masks": {"model": "neural_ilt", "stages": [litho]},
    }
    rules = trainings.rules_for(
        networks, layers=["m"], seeds={"ilt": [0, 1], "opc": [0]}, context_nm={"m": 16}, steps=1
    )
    masks = trainings.NO_MASKS
    expected = [("all", "ilt", 0), ("all", "ilt", 1), ("all", "opc", 0), ("few", "ilt", 7)]
    expected += [("no masks", masks, 0), ("no masks", masks, 1)]
    assert [(name, kind, seed) for name, _, kind, seed in rules] == expected


def test_intervals_hold_spread_of_cells_and_of_seeds():
    rng = np.random.default_rng(0)
    cell_part, noise = rng.normal(0, 3, 40), rng.normal(0, 0.01, (1, 1, 400))
    l2 = 100 + np.repeat(cell_part, 10) + noise
    cells = np.repeat(np.arange(40), 10)
    row = model_scores.mean_scores(scores(l2, cells=cells))[schema.L2].isel(method=0)
    mean, low, high = row.values
    assert mean == pytest.approx(l2.mean())
    # 95 % of the mean of forty cells, not of four hundred tiles.
    assert high - low == pytest.approx(2 * 1.96 * cell_part.std() / np.sqrt(40), rel=0.15)
    # Seeds that differ widen it, and one that is not there does nothing.
    seeds = np.concatenate([l2 - 5, l2 + 5, np.full_like(l2, np.nan)], axis=1)
    wider = model_scores.mean_scores(scores(seeds, cells=cells))[schema.L2].isel(method=0).values
    assert wider[0] == pytest.approx(l2.mean()) and wider[2] - wider[1] > 2 * (high - low)
    alone = model_scores.mean_scores(scores(l2, cells=np.zeros(400)))[schema.L2].isel(method=0).values
    assert alone[0] == pytest.approx(l2.mean()) and np.isnan(alone[1:]).all()


def test_who_prints_nothing_is_named_and_in_no_mean():
    l2 = np.array([[[4.0, 4.0], [9.0, 5.0]], [[9.0, 5.0], [9.0, 5.0]], [[9.0, 5.0], [np.nan, np.nan]]])
    ds = scores(l2).assign(
        target_nm2=(schema.SAMPLE, [9.0, 5.0]), maker=(schema.METHOD, ["network", "descent", "given"])
    )
    assert model_scores.dead(ds) == {"m0": [1], "m1": [0, 1]}
    alive = model_scores.living(ds)
    assert alive[schema.L2].mean((schema.SEED, schema.SAMPLE)).values.tolist() == pytest.approx(
        [4, np.nan, 7], nan_ok=True
    )
    assert model_scores.seeds_said(ds) == " Dead, and in no mean: m0: 1 of 2 seeds (1); m1: 2 of 2 seeds (0, 1)."
    assert model_scores.seeds_said(ds.isel(method=[2])) == ""
    rows = model_scores.seed_rows(ds)
    assert rows.loc[("m0", 0), "note"] == "" and rows.loc[("m0", 1), "note"] == "prints nothing" and len(rows) == 4


def test_a_solver_at_equal_time_is_the_best_that_is_no_slower():
    l2 = np.array([10.0, 20.0, 30.0, 5.0, 12.0, 6.0])[:, None, None] * np.ones((1, 1, 2))
    ds = scores(l2, runtime_s=[1.0, 0.05, 0.1, 0.9, 2.0, 0.95])
    found = model_scores.at_equal_time(ds, ["m0", "m1"], ["m2", "m3", "m4", "m5"])
    # Not the slowest that fits: it is worse.
    assert found["solver"].values.tolist() == ["m3", "m2"]
    assert found[f"gain_{schema.L2}"].values.tolist() == [-5.0, 10.0]
    assert found["solver_s"].values.tolist() == pytest.approx([0.9, 0.1])


def test_signatures_name_what_the_worst_tiles_share():
    n = 20
    epe3 = np.zeros((2, 1, n))
    epe3[0, 0, :2] = [9, 7]
    epe3[1, 0, -2:] = 5
    ds = scores(np.ones((2, 1, n)), **{schema.EPE3: epe3})
    density = np.zeros(n)
    density[:2] = 1
    ds = ds.assign(core_density=(schema.SAMPLE, density), n_shapes_cut=(schema.SAMPLE, np.arange(n) % 2 * 1.0))
    found = model_scores.failure_signatures(ds, names=[schema.EPE3])
    assert found["worst"].isel(score=0).values.tolist() == [[0, 1], [18, 19]]
    assert found["failed"].isel(score=0).values.tolist() == [8, 5] and not found["others"].any()
    names = [model_scores.TRAITS[name][2] for name in ("core_density", "n_shapes_cut")]
    dense, cut = (found["difference"].sel(trait=name) for name in names)
    # Two of twenty are dense: a standard deviation of 0.3.
    np.testing.assert_allclose(dense.isel(score=0), [1 / 0.3, -2 / 18 / 0.3])
    np.testing.assert_allclose(cut, 0, atol=1e-12)
