"""The store of tiles: what is written is read back, and what is missing or damaged is found and can be repaired."""

import numpy as np
import pytest
from tile_stores import NAMES, RULE, add_labels, images, small_store, tile_arrays

from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError


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
