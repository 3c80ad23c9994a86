"""The store of tiles: what is written is read back, and what is missing or damaged is found and can be repaired."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import zarr
from tile_stores import NAMES, RULE, add_labels, images, small_store, tile_arrays

from maskopt_lib.data.splits import SplitRule
from maskopt_lib.data.tile_dataset import TileDataset
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import DamagedFileError, MissingDataError, SchemaError, UnknownNameError


def unpacked(packed, n):
    return np.unpackbits(np.asarray(packed), axis=-1, count=n, bitorder="little")


def test_what_is_written_is_read_back_by_xarray(tmp_path):
    store, arrays = small_store(tmp_path / "store")
    ds = store.open("metal1").load()
    assert np.array_equal(unpacked(ds.content, 128), arrays["content"])
    for name in NAMES:
        assert np.array_equal(np.array(ds[name].attrs["names"])[ds[name]], arrays[name])
    for name in set(arrays) - {"content", *NAMES}:
        assert np.array_equal(ds[name].values.astype(arrays[name].dtype), arrays[name]), name
    assert all("units" in ds[name].attrs and "long_name" in ds[name].attrs for name in ds.data_vars)
    assert ds.context_nm.values.tolist() == RULE["contexts_nm"]


def test_labels_are_read_back_by_method(tmp_path):
    store, _ = small_store(tmp_path / "store")
    masks = add_labels(store)
    ds = store.open("metal1", labels=True).load()
    assert np.array_equal(unpacked(ds.mask, 256), masks)
    assert ds.method.values.tolist() == ["opc", "ilt"] and (ds.solved == 1).all()
    assert ds.l2_nm2.attrs["units"] == "nm2" and ds.shots.sel({"method": "ilt"}).values.tolist() == [2.0] * 10
    assert store.open("metal1").label_of.values[:4, 0].tolist() == [0, -1, 1, -1]


def test_a_store_that_is_not_complete_says_so(tmp_path):
    store = TileStore.create(tmp_path / "store", rule=RULE)
    store.reserve_tiles("contact", 20, names=NAMES, shard_size=8)
    part = tile_arrays(images(8, 0), 0)
    store.write_tiles("contact", 1, part)
    assert store.missing("contact") == [0, 2]
    with pytest.raises(MissingDataError, match="2 of 3 shards of tiles"):
        store.open("contact")
    ds = store.open("contact", partial=True)
    assert (ds.cell.values >= 0).tolist() == [False] * 8 + [True] * 8 + [False] * 4
    with pytest.raises(MissingDataError, match="shard 0 of contact tiles"):
        store.digest()
    # Files without checksums count for nothing: their writer may have died.
    store.write_tiles("contact", 0, part)
    (store.path / "shards" / "contact-tiles-00000.json").unlink()
    assert (store.open("contact", partial=True).cell.values >= 0).tolist() == [False] * 8 + [True] * 8 + [False] * 4


def test_what_does_not_fit_is_refused(tmp_path):
    store, arrays = small_store(tmp_path / "store", n=8)
    with pytest.raises(UnknownNameError, match="XOR2_X1 was not reserved"):
        store.write_tiles("metal1", 0, arrays | {"cell": np.array(["XOR2_X1"] * 8)})
    with pytest.raises(SchemaError, match="lacks \\['row'\\]"):
        store.write_tiles("metal1", 0, {name: values for name, values in arrays.items() if name != "row"})
    with pytest.raises(SchemaError, match="shape"):
        store.write_tiles("metal1", 0, arrays | {"row": np.zeros(7)})
    with pytest.raises(SchemaError, match="does not hold"):
        store.write_tiles("metal1", 0, arrays | {"row": np.full(8, 1 << 20)})
    with pytest.raises(SchemaError, match="reserved otherwise"):
        store.reserve_tiles("metal1", 9, names=NAMES, shard_size=8)
    with pytest.raises(SchemaError, match="another rule"):
        TileStore.create(store.path, rule=RULE | {"core_nm": 65})
    with pytest.raises(UnknownNameError, match="reserved: metal1 tiles"):
        store.open("via1")
    assert store.missing("metal1", deep=True) == []
    store.reserve_tiles("metal1", 8, names=NAMES, shard_size=8)  # once more just so: nothing happens


def files_of(store, layer="metal1"):
    """Shards of arrays on disk, in the order that they were created."""
    return sorted(path for path in (store.path / "tiles.zarr" / layer).rglob("*") if path.is_file())


def test_the_digest_is_that_of_the_tiles_not_of_the_way_they_were_written(tmp_path):
    first, arrays = small_store(tmp_path / "first")
    other = TileStore.create(tmp_path / "other", rule=RULE, record={"created_at": "another day"})
    other.reserve_tiles("metal1", 20, names=NAMES, shard_size=8)
    for shard in (2, 0, 1, 0):
        part = {name: values[other.entries("metal1")[shard]] for name, values in arrays.items()}
        other.write_tiles("metal1", shard, part)
    assert first.digest() == other.digest()
    part = {name: values[:8] for name, values in arrays.items()}
    other.write_tiles("metal1", 0, part | {"row": part["row"] + 1})
    assert first.digest() != other.digest()
    assert TileStore(other.path).verify().state.values.tolist() == ["whole"] * 4


@pytest.mark.parametrize("name", ["content", "cell", "signature", "instance"])
def test_every_kind_of_damage_is_found_and_repaired(tmp_path, name):
    store, arrays = small_store(tmp_path / "store")
    digest = store.digest()
    file = next(p for p in files_of(store) if f"metal1/{name}/c/1" in p.as_posix())
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for what, seen_by_size in [(bytes(flipped), False), (whole[:-1], True), (b"", True), (None, True)]:
        file.unlink() if what is None else file.write_bytes(what)
        assert store.missing("metal1", deep=True) == [1]
        assert store.missing("metal1") == ([1] if seen_by_size else [])
        assert store.verify().state.values.tolist() == ["whole", "whole", "damaged", "whole"]
        store.write_tiles("metal1", 1, {key: values[8:16] for key, values in arrays.items()})
        assert file.read_bytes() == whole and store.digest() == digest
    assert store.missing("metal1", deep=True) == []


@pytest.mark.parametrize("name", ["content", "labels/mask", "cell"])
def test_a_damaged_file_is_never_read(tmp_path, name):
    store, _ = small_store(tmp_path / "store")
    add_labels(store)
    options = {"split": None, "context_nm": 16, "method": "opc", "rule": SplitRule(held_out_cells=())}
    first = TileDataset(store.path, "metal1", **options)[0]
    file = min(p for p in files_of(store) if f"metal1/{name}/c/1" in p.as_posix())
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    file.write_bytes(flipped)
    with pytest.raises(DamagedFileError, match=rf"the file metal1/{name}/c/.* is not as it was written; run the build"):
        again = TileDataset(store.path, "metal1", **options)
        [again[i] for i in range(len(again))]
    file.write_bytes(whole)
    again = TileDataset(store.path, "metal1", **options)
    assert all(np.array_equal(again[0][key], value) for key, value in first.items())


def test_damaged_metadata_and_checksums_are_found(tmp_path):
    store, _ = small_store(tmp_path / "store")
    (store.path / "tiles.zarr" / "metal1" / "cell" / "zarr.json").write_text("{}")
    assert store.verify().isel(shard=0).state == "damaged"
    (store.path / "shards" / "metal1-tiles-00002.json").write_text('{"files": ')
    assert store.missing("metal1") == [2]


def test_a_writer_that_was_stopped_leaves_a_missing_shard(tmp_path, monkeypatch):
    """Whatever file it was at: the shard counts as missing, and is whole when it is written again."""
    store, arrays = small_store(tmp_path / "store", n=8)
    digest, n_files = store.digest(), len(files_of(store))
    for stop_at in (0, 1, 7, 15):
        calls = iter(range(stop_at))

        def dies(path, calls=calls):
            if next(calls, None) is None:
                raise OSError(28, "No space left on device")
            return "0"

        with monkeypatch.context() as patched:
            patched.setattr("maskopt_lib.files.sha256_of", dies)
            with pytest.raises(OSError, match="No space"):
                store.write_tiles("metal1", 0, arrays)
        assert store.missing("metal1") == [0]
        # What zarr was at when it was killed.
        (store.path / "tiles.zarr" / "metal1" / "cell" / "c" / "0.1234.partial").write_bytes(b"half")
        store.write_tiles("metal1", 0, arrays)
        assert store.digest() == digest and len(files_of(store)) == n_files


def test_an_empty_shard_is_whole_without_files(tmp_path):
    store, arrays = small_store(tmp_path / "store", n=8)
    empty = arrays | {"content": np.zeros((8, 128, 128), np.uint8)}
    store.write_tiles("metal1", 0, empty)
    assert store.missing("metal1", deep=True) == []
    assert not store.open("metal1").content.values.any()


def test_shards_written_by_processes_at_once_are_those_of_one(tmp_path):
    first, arrays = small_store(tmp_path / "first", n=32)
    other = TileStore.create(tmp_path / "other", rule=RULE)
    other.reserve_tiles("metal1", 32, names=NAMES, shard_size=8)
    parts = [{name: values[entries] for name, values in arrays.items()} for entries in other.entries("metal1")]
    with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
        list(pool.map(other.write_tiles, ["metal1"] * 4, range(4), parts))
    assert other.digest() == first.digest()


def test_methods_are_written_side_by_side(tmp_path):
    store, _ = small_store(tmp_path / "store")
    masks = add_labels(store)
    store.write_labels(
        "metal1", "ilt", 1, {"mask": masks[4:8, 0], "runtime_s": np.ones(4), "l2_nm2": np.ones(4), "shots": np.ones(4)}
    )
    mask = store.open("metal1", labels=True).mask.values
    expected = masks.copy()
    expected[4:8, 1] = masks[4:8, 0]
    assert np.array_equal(unpacked(mask, 256), expected)
    (store.path / "shards" / "metal1-labels-opc-00000.json").unlink()
    with pytest.raises(MissingDataError, match="1 of 3 shards of labels-opc"):
        store.open("metal1", labels=True)
    assert store.missing("metal1", "labels-ilt") == [] and store.missing("metal1", "labels-opc") == [0]
    solved = store.open("metal1", labels=True, partial=True).solved.values
    assert solved[:, 0].tolist() == [0] * 4 + [1] * 6 and solved[:, 1].all()


@pytest.mark.parametrize("empty", [(), (0, 3), range(8)])
def test_shards_are_byte_for_byte_those_of_zarr(tmp_path, empty):
    """Tiles and masks, full and short shards, with and without empty entries."""
    store, _ = small_store(tmp_path / "store", n=12)
    masks = add_labels(store, shard_size=4)
    content = images(12, 7)
    content[list(empty)] = 0
    store.write_tiles("metal1", 0, tile_arrays(content[:8], 0))
    store.write_tiles("metal1", 1, tile_arrays(content[8:], 0))
    for name, pixels in (("content", content), ("labels/mask", masks)):
        array = zarr.open_array(store.path / "tiles.zarr" / "metal1" / name, mode="r+")
        folder = store.path / "tiles.zarr" / "metal1" / name / "c"
        ours = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        array[:] = np.packbits(pixels, axis=-1, bitorder="little")
        assert ours == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        assert len(ours) == (4 if name != "content" else 1 if len(empty) == 8 else 2)
    assert store.missing("metal1", deep=True) == []
