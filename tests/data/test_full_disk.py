"""Writers of data on a full disk: what was there stays, the error names the file, and nothing is left beside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from full_disk import full_after
from tile_stores import NAMES, add_labels, images, small_store, tile_arrays

from maskopt_lib.data.card import write_card
from maskopt_lib.data.manifest import Entry, Manifest
from maskopt_lib.data.parquet import export_parquet


@pytest.fixture
def store(tmp_path):
    store, _ = small_store(tmp_path / "store")
    store.annotate(designs={name: {"family": name, "redistribution": True} for name in NAMES["design"]})
    add_labels(store)
    return store


def everything(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_card_stays_whole(store, tmp_path):
    path = write_card(store, tmp_path / "card" / "README.md")
    before = everything(path.parent)
    with full_after(500), pytest.raises(OSError, match=str(path)):
        write_card(store, path, deep=False)
    assert everything(path.parent) == before


def test_parquet_files_stay_whole(store, tmp_path):
    first, *_ = export_parquet(store, tmp_path / "out", layer="metal1")
    before = everything(first.parent)
    with full_after(2000), pytest.raises(OSError, match=str(first)):
        export_parquet(store, tmp_path / "out", layer="metal1", methods=["opc"])
    assert everything(first.parent) == before


@pytest.mark.parametrize("limit", [0, 200, 1000])
def test_a_shard_that_found_no_room_is_missing_and_leaves_nothing(tmp_path, limit):
    store, arrays = small_store(tmp_path / "store")
    whole, digest = everything(store.path), store.digest()
    with full_after(limit), pytest.raises(OSError, match=r"store"):
        store.write_tiles("metal1", 1, tile_arrays(images(8, 5), 5))
    assert store.missing("metal1") == [1] and set(everything(store.path)) <= set(whole)
    store.write_tiles("metal1", 1, {name: values[8:16] for name, values in arrays.items()})
    assert everything(store.path) == whole and store.digest() == digest


def test_a_download_that_found_no_room_leaves_nothing(tmp_path, monkeypatch):
    entry = Entry(name="group/clip.glp", sha256="0" * 64, url="http://127.0.0.1:9/clip.glp")
    known = Manifest(folder=tmp_path, entries={entry.name: entry}, mirror=None, cache=tmp_path / "cache")

    class Download:
        def __init__(self, **options):
            pass

        def __call__(self, url, file, pooch):
            with Path(file).open("wb") as out:
                out.write(np.zeros(1000, np.uint8))

    monkeypatch.setattr("pooch.HTTPDownloader", Download)
    with full_after(500), pytest.raises(OSError, match=r"cache/group/clip\.glp"):
        known.fetch(entry.name)
    assert everything(tmp_path) == {}
