"""Labels of a dataset: who is solved, who shares it and by which turn, and in which order the work is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from dataset_builds import LABELS, LAYERS, PIXEL_NM, RULE, TURNS, build, label_plan

from maskopt_lib import layout, metrics
from maskopt_lib.data import schema
from maskopt_lib.data.turns import turned
from maskopt_lib.errors import SchemaError
from maskopt_lib.opc import Recipe
from maskopt_lib.study.dataset import choose, costs, label
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver

OWN = {"metal1": 32, "via1": 128}


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    return {"folder": folder} | build(folder)


def images(store, layer, context_nm):
    """(sample, y, x) of all tiles."""
    return layout.content_image(store.open(layer)["content"].values, RULE.tiles, context_nm)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_turn_carries_a_labels_tile_onto_every_tile_that_shares_it(built, layer):
    tiles = built["store"].open(layer).load()
    shown = images(built["store"], layer, OWN[layer])
    labels = built["store"].open(layer, labels=True)["sample"].values
    label_of, turn_of = (tiles[name].sel(label_context_nm=OWN[layer]).values for name in ("label_of", "turn_of"))
    has = np.flatnonzero(label_of >= 0)
    assert len(has) >= len(labels) == 4 and set(turn_of[has]) <= set(TURNS)
    for sample in has:
        np.testing.assert_array_equal(turned(shown[labels[label_of[sample]]], turn_of[sample]), shown[sample])
    # And nobody is left out: no other tile is a turn of one that was solved.
    solved = {turned(shown[sample], turn).tobytes() for sample in labels for turn in TURNS}
    assert not [s for s in np.flatnonzero(label_of < 0) if shown[s].tobytes() in solved]


def test_what_is_shared_is_counted(built):
    table = schema.validate(choose.shared_table(built["labellings"]))
    assert (table["geometries"] <= table["images"]).all() and (table["images"] <= table["tiles"]).all()
    assert (table["geometries_8"] <= table["geometries"]).all()
    for layer in LAYERS:
        label_of = built["store"].open(layer)["label_of"].sel(label_context_nm=OWN[layer])
        assert int(table["labelled"].sel(layer=layer)) == int((label_of >= 0).sum())


def test_masks_and_scores_are_those_of_the_solver(built):
    solver = TileSolver(LABELS)
    for layer in LAYERS:
        labels = built["store"].open(layer, labels=True).load()
        masks = np.unpackbits(labels["mask"].values, axis=-1, bitorder="little")
        tiles = images(built["store"], layer, OWN[layer])[labels["sample"].values]
        np.testing.assert_array_equal(masks[:, 0], tiles)  # the target is its own mask here
        first = labels.isel(label=0, method=1)
        scores = solver.score(masks[:1, 1], images(built["store"], layer, 128)[labels["sample"].values[:1]])
        for name in metrics.CORE_SCORES:
            np.testing.assert_allclose(first[name].item(), scores[name].item(), rtol=1e-6, err_msg=name)


def test_a_turned_tile_has_the_turned_mask(built):
    """What sharing rests on: under a symmetry of the kernels, feedback OPC of the turned tile is the turned mask."""
    recipe = Recipe(method="model_based_opc", preset="tuned", options={"n_steps": 6, "grid_nm": PIXEL_NM})
    solver = TileSolver(LabelRule(kernels="embedded", pixel_nm=PIXEL_NM, recipes={"opc": {"metal1": recipe}}))
    tile = images(built["store"], "metal1", 32)[7]
    masks, _ = solver.solve(np.stack([tile, turned(tile, 4)]), "metal1", "opc")
    assert masks[0].sum() != tile.sum()  # something was done
    differing = np.count_nonzero(turned(masks[0], 4) != masks[1])
    assert differing <= 0.01 * masks[0].sum()


def test_work_of_all_layers_and_kinds_advances_together(built):
    labellings = choose.choose_labels(built["store"], built["parts"], label_plan(30), TURNS)
    todo = label.label_batches(built["store"], labellings, LABELS, label_plan(30), built["folder"])
    totals = Counter((batch.layer, batch.kind) for batch in todo)
    done: Counter = Counter()
    for batch in todo:
        done[batch.layer, batch.kind] += 1
        shares = [done[key] / n for key, n in totals.items()]
        assert max(shares) - min(shares) <= 1 / min(totals.values()) + 1e-9


def test_a_run_that_ends_early_leaves_whole_shards_of_every_layer_and_kind(built, tmp_path, monkeypatch):
    solve, calls = TileSolver.solve, []

    def failing(self, *arguments):
        calls.append(arguments)
        if len(calls) > 5:
            raise MemoryError("enough")
        return solve(self, *arguments)

    monkeypatch.setattr(TileSolver, "solve", failing)
    with pytest.raises(MemoryError):
        build(tmp_path)
    store = type(built["store"])(tmp_path / "dataset")
    for layer in LAYERS:
        solved = store.open(layer, labels=True, partial=True)["solved"].values
        assert (solved[:2] == 1).all() and (solved[2:] == 0).any()


def test_the_same_tiles_are_solved_with_every_context(built):
    want = replace(label_plan(4), n_all_contexts=2)
    labelling = choose.choose_labels(built["store"], built["parts"], want, TURNS)["metal1"]
    assert labelling.contexts_nm == (32, 0, 16, 64, 128)
    own = labelling.sample[labelling.context_nm == 32]
    for i, context in enumerate(labelling.contexts_nm):
        numbers = np.flatnonzero(labelling.context_nm == context)
        assert set(labelling.sample[numbers]) <= set(own[:2] if context != 32 else own)
        assert np.isin(labelling.label_of[own[:2], i], numbers).all()  # two tiles may show the same where less is seen
    assert (labelling.context_nm[: len(own)] == 32).all() and len(labelling.sample) == len(labelling.context_nm)


# The choice


def test_strata_have_their_turn_and_a_smaller_draw_is_the_start_of_a_larger_one():
    rng = np.random.default_rng(0)
    strata = rng.choice([-1, 0, 1, 2], 3000, p=[0.1, 0.8, 0.08, 0.02])
    geometry = np.where(strata == 2, rng.integers(0, 10, 3000), rng.integers(0, 900, 3000))
    drawn = choose.draw_geometries(geometry, strata, 60, seed=1)
    counts = np.bincount(strata[drawn], minlength=3)
    n_rare = len(np.unique(geometry[strata == 2]))
    assert counts[2] <= n_rare and abs(int(counts[0]) - int(counts[1])) <= 1
    assert len(np.unique(geometry[drawn])) == 60 and (strata[drawn] >= 0).all()
    np.testing.assert_array_equal(choose.draw_geometries(geometry, strata, 25, seed=1), drawn[:25])
    everything = choose.draw_geometries(geometry, strata, 10_000, seed=1)
    assert set(geometry[everything]) == set(geometry[strata >= 0])


def test_what_is_common_is_drawn_early():
    geometry = np.concatenate([np.zeros(900, int), np.arange(1, 101)])
    first = [choose.draw_geometries(geometry, np.zeros(1000, int), 1, seed)[0] for seed in range(200)]
    assert np.mean(geometry[first] == 0) == pytest.approx(0.9, abs=0.06)


@pytest.mark.parametrize("turns", [(0, 1), (0, 4, 5), (2, 4)])
def test_turns_that_are_no_group_are_refused(turns):
    with pytest.raises(SchemaError, match="no group"):
        choose.geometries(np.zeros((1, 8), np.uint64), turns)


def test_a_random_tile_is_read_by_itself(built):
    seconds = costs.read_times(built["store"], "metal1", n=5)
    assert seconds.shape == (5,) and float(seconds.max()) < 1
