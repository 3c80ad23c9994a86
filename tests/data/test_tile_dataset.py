"""Tiles for training: the right pixels, masks turned onto their tile, and the same in every worker."""

import pickle

import numpy as np
import pytest
import torch
from tile_stores import NAMES, RULE, add_labels, images, small_store, tile_arrays
from torch.utils.data import DataLoader

from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.tile_views import tag_planes
from maskopt_lib.data.turns import turned
from maskopt_lib.errors import SchemaError, UnknownNameError

ALL = {"split": None, "rule": SplitRule(held_out_cells=())}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store, arrays = small_store(tmp_path_factory.mktemp("dataset") / "store")
    return store, arrays, add_labels(store)


@pytest.mark.parametrize("context_nm", RULE["contexts_nm"])
def test_a_target_is_the_core_with_its_context_and_empty_around(made, context_nm):
    store, arrays, _ = made
    dataset = TileDataset(store.path, "metal1", context_nm=context_nm, **ALL)
    assert len(dataset) == 20 and dataset.core == (96, 160, 96, 160)
    for item in (0, 7, 19):
        target = dataset[item]["target"].numpy()[0]
        low, high = 96 - context_nm, 160 + context_nm
        assert np.array_equal(
            target[low:high, low:high], arrays["content"][item][low - 64 : high - 64, low - 64 : high - 64]
        )
        target[low:high, low:high] = 0
        assert not target.any()


@pytest.mark.parametrize("method", ["opc", "ilt"])
def test_a_mask_is_that_of_its_label_turned_onto_the_tile(made, method):
    store, _, masks = made
    dataset = TileDataset(store.path, "metal1", context_nm=16, method=method, **ALL)
    assert dataset.samples.tolist() == list(range(0, 20, 2))
    for item, sample in enumerate(dataset.samples):
        expected = turned(masks[item, ["opc", "ilt"].index(method)], int(sample) % 8)
        assert np.array_equal(dataset[item]["mask"].numpy()[0], expected)


def test_duplicates_in_eight_orientations_share_one_label(tmp_path):
    """Tiles that are turns of one another, one solved: target and mask belong together for each of them."""
    store = TileStore.create(tmp_path / "store", rule=RULE)
    store.reserve_tiles("via1", 8, names=NAMES, shard_size=8)
    first = images(1, 3)[0]
    content = np.stack([turned(first, turn) for turn in range(8)])
    store.write_tiles("via1", 0, tile_arrays(content, 0))
    mask = np.pad(first, 64)
    store.reserve_labels(
        "via1",
        sample=[0],
        context_nm=[32],
        label_of=np.zeros((8, 1)),
        turn_of=np.arange(8)[:, None],
        label_contexts_nm=[32],
        methods=["ilt"],
    )
    store.write_labels("via1", "ilt", 0, {"mask": mask[None], "runtime_s": [1.0]})
    dataset = TileDataset(store.path, "via1", context_nm=32, method="ilt", turns=range(8), **ALL)
    assert len(dataset) == 8
    for item in dataset:
        assert item["target"].any() and torch.equal(item["target"], item["mask"])


def test_larger_pixels_hold_means(made):
    store, _, _ = made
    fine = TileDataset(store.path, "metal1", context_nm=16, method="opc", **ALL)
    coarse = TileDataset(store.path, "metal1", context_nm=16, method="opc", pixel_nm=4, **ALL)
    for key in ("target", "mask"):
        assert torch.allclose(torch.nn.functional.avg_pool2d(fine[3][key], 4), coarse[3][key])
    assert coarse.core == (24, 40, 24, 40)


def test_tags_name_the_cell(made):
    store, arrays, _ = made
    by_index = TileDataset(store.path, "metal1", context_nm=16, tag="index", **ALL)
    by_planes = TileDataset(store.path, "metal1", context_nm=16, tag="planes", pixel_nm=8, **ALL)
    for item in range(20):
        assert by_index.cells[int(by_index[item]["cell"])] == arrays["cell"][item]
        assert torch.equal(by_planes[item]["tag"].mean(dim=(1, 2)).argmax(), by_index[item]["cell"])
        assert by_planes[item]["tag"].sum() == 32 * 32
    assert tag_planes(torch.tensor([2, 0]), 3, 4)[:, :, 1, 3].tolist() == [[0, 0, 1], [1, 0, 0]]


def test_a_dataset_is_small_on_its_way_to_a_worker(made):
    store, _, _ = made
    dataset = TileDataset(store.path, "metal1", context_nm=16, method="opc", **ALL)
    dataset[0]
    sent = pickle.dumps(dataset)
    assert len(sent) < 4000
    again = pickle.loads(sent)
    assert torch.equal(again[5]["mask"], dataset[5]["mask"])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_what_one_process_reads(made, start):
    store, _, _ = made
    dataset = TileDataset(store.path, "metal1", context_nm=16, method="ilt", tag="index", pixel_nm=2, **ALL)
    alone = [dataset[item] for item in range(len(dataset))]
    loader = DataLoader(dataset, batch_size=5, num_workers=2, multiprocessing_context=start, timeout=60)
    batches = list(loader)
    for key in ("target", "mask", "cell", "sample"):
        assert torch.equal(torch.cat([batch[key] for batch in batches]), torch.stack([item[key] for item in alone])), (
            key
        )


def test_one_tile_of_each_geometry(tmp_path):
    store = TileStore.create(tmp_path / "store", rule=RULE)
    store.reserve_tiles("metal1", 12, names=NAMES, shard_size=12)
    arrays = tile_arrays(images(12, 0), 0)
    arrays["canonical"] = np.repeat((np.arange(12) // 3 + 1)[:, None], 3, axis=1)
    store.write_tiles("metal1", 0, arrays)
    assert TileDataset(store.path, "metal1", context_nm=0, unique=True, **ALL).samples.tolist() == [0, 3, 6, 9]


def test_one_choice_of_tiles_is_shown_with_more_or_less_around(made):
    """What labels were made with tells splits and geometries apart; what is shown is another thing."""
    store, _, _ = made
    labelled = TileDataset(store.path, "metal1", context_nm=16, method="ilt", unique=True, **ALL)
    for context_nm in RULE["contexts_nm"]:
        how = {"context_nm": context_nm, "label_context_nm": 16, "unique": True}
        shown = TileDataset(store.path, "metal1", method="ilt", **how, **ALL)
        assert shown.samples.tolist() == labelled.samples.tolist()
        plain = TileDataset(store.path, "metal1", context_nm=context_nm, **ALL)
        for item, sample in enumerate(shown.samples):
            assert torch.equal(shown[item]["mask"], labelled[item]["mask"])
            assert torch.equal(shown[item]["target"], plain[int(sample)]["target"])
    with pytest.raises(UnknownNameError, match="no masks made with 32 nm"):
        TileDataset(store.path, "metal1", context_nm=16, method="ilt", label_context_nm=32, **ALL)


def test_shuffled_cells_are_those_of_other_tiles(made):
    store, _, _ = made
    own, dealt, again, other = (
        TileDataset(store.path, "metal1", context_nm=16, tag="index", shuffle_cells=seed, **ALL)
        for seed in (None, 0, 0, 1)
    )
    assert sorted(dealt.cell_codes) == sorted(own.cell_codes)
    assert dealt.cell_codes.tolist() == again.cell_codes.tolist() != own.cell_codes.tolist()
    assert other.cell_codes.tolist() != dealt.cell_codes.tolist()
    assert [int(item["cell"]) for item in dealt] == dealt.cell_codes.tolist()


def test_what_is_not_there_is_told(made):
    store, _, _ = made
    for options, message in [
        ({"split": "test"}, "no split 'test'; known: train, validation"),
        ({"method": "curvy"}, "methods: opc, ilt"),
        ({"method": "opc", "context_nm": 32}, r"\[16\] nm"),
        ({"tag": "one-hot"}, "no tag"),
        ({"turns": (8,)}, "no turn 8"),
        ({"pixel_nm": 3}, "no pixel size 3"),
    ]:
        with pytest.raises(UnknownNameError, match=message):
            TileDataset(store.path, "metal1", **{"context_nm": 16} | options)
    with pytest.raises(SchemaError, match="no tiles of metal1 are in the split 'validation'"):
        TileDataset(store.path, "metal1", split="validation", context_nm=16)
    with pytest.raises(IndexError):
        TileDataset(store.path, "metal1", context_nm=16, **ALL)[20]
