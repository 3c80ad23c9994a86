"""The public form of datasets of masks: written and read again it is the same, and licences are kept."""

import io
import json

import imageio.v3 as iio
import numpy as np
import pyarrow.parquet as pq
import pytest
from tile_stores import NAMES, RULE, add_labels, images, small_store, tile_arrays

from maskopt_lib.data.parquet import COLUMNS, export_parquet, image_identity, import_parquet
from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.data.turns import TURNS, turned
from maskopt_lib.errors import MissingDataError, SchemaError

RULE_ALL = SplitRule(validation_designs=("gcd_dense",), held_out_cells=())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store, _ = small_store(tmp_path_factory.mktemp("parquet") / "store")
    store.annotate(designs={name: {"family": name, "redistribution": True} for name in NAMES["design"]})
    add_labels(store)
    return store


@pytest.fixture(scope="module")
def files(store, tmp_path_factory):
    return export_parquet(store, tmp_path_factory.mktemp("files"), layer="metal1", rule=RULE_ALL, rows_a_file=6)


def test_the_files_have_the_public_form(store, files):
    n = {
        split: len(TileDataset(store.path, "metal1", split=split, context_nm=16, method="opc", rule=RULE_ALL)) * 2
        for split in ("train", "validation")
    }
    assert sum(n.values()) == 20
    for split, rows in n.items():
        of_split = [path for path in files if path.name.startswith(split)]
        assert [path.name for path in of_split] == [
            f"{split}-{i:05d}-of-{len(of_split):05d}.parquet" for i in range(len(of_split))
        ]
        assert sum(pq.ParquetFile(path).metadata.num_rows for path in of_split) == rows
    schema = pq.read_schema(files[0])
    assert tuple(schema.names) == COLUMNS
    assert str(schema.field("context").type) == "int32"
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert features["image"] == features["conditioning_image"] == {"_type": "Image"}
    # Any reader of PNG files sees the picture upright: y upwards.
    row = pq.read_table(files[0]).to_pylist()[0]
    dataset = TileDataset(store.path, "metal1", context_nm=16, method="opc", rule=RULE_ALL)
    for column, key in (("image", "mask"), ("conditioning_image", "target")):
        seen = iio.imread(io.BytesIO(row[column]["bytes"]))
        assert np.array_equal(seen, 255 * dataset[0][key].numpy()[0, ::-1])


def test_what_is_written_and_read_again_is_the_same(store, files, tmp_path):
    again = import_parquet(files, tmp_path / "again", layer="metal1", core_nm=64, shard_size=4, label_shard_size=3)
    assert set(again.verify().state.values) == {"whole"}
    rule = SplitRule(validation_designs=("validation",), held_out_cells=())
    for split in ("train", "validation"):
        for method in ("opc", "ilt"):
            first = TileDataset(store.path, "metal1", split=split, context_nm=16, method=method, rule=RULE_ALL)
            second = TileDataset(
                again.path, "metal1", split=split, context_nm=16, method=method, rule=rule, tag="index"
            )
            assert len(first) == len(second) > 0 and second.cells == ("unknown",)
            assert first.core == second.core
            for one, other in zip(first, second, strict=True):
                assert np.array_equal(one["target"], other["target"]) and np.array_equal(one["mask"], other["mask"])


def test_a_row_without_its_partner_is_not_labelled(files, tmp_path):
    rows = [path for path in files if path.name.startswith("train")]
    again = import_parquet(rows, tmp_path / "again", layer="via1", core_nm=64, limit=12)
    solved = again.open("via1", labels=True).solved.load()
    assert [int(solved.sel({"method": method}).sum()) for method in ("opc", "ilt")] == [9, 3]


def test_turned_images_have_one_identity():
    one, other = images(2, 5)
    assert len({image_identity(turned(one, turn))[1] for turn in TURNS}) == 1
    assert len({image_identity(turned(one, turn))[0] for turn in TURNS}) == 8
    assert image_identity(one)[1] != image_identity(other)[1]


def test_designs_without_a_licence_stay(tmp_path):
    store = TileStore.create(
        tmp_path / "store",
        rule=RULE,
        designs={"gcd_dense": {"redistribution": True}, "aes_psm": {"redistribution": False}},
    )
    store.reserve_tiles("metal1", 8, names=NAMES, shard_size=8)
    store.write_tiles("metal1", 0, tile_arrays(images(8, 0), 0) | {"design": np.arange(8) % 2})
    add_labels(store)
    with pytest.raises(SchemaError, match="aes_psm may not be redistributed"):
        export_parquet(store, tmp_path / "files", layer="metal1")
    assert not (tmp_path / "files").exists()
    assert export_parquet(store, tmp_path / "files", layer="metal1", allow_unlicensed=True)


def test_files_of_another_form_are_told(files, tmp_path):
    with pytest.raises(MissingDataError, match=r"nothing\.parquet"):
        import_parquet([tmp_path / "nothing.parquet"], tmp_path / "a", layer="metal1")
    with pytest.raises(SchemaError, match="has no column mask"):
        import_parquet(files, tmp_path / "b", layer="metal1", mask_column="mask")
