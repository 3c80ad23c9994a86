"""Croissant metadata say what is in the files that stand beside them."""

import hashlib
import json

import pyarrow.parquet as pq
from tile_stores import add_labels, small_store

from maskopt_lib.data.croissant import CROISSANT, FIELDS
from maskopt_lib.data.parquet import export_parquet


def test_files_hashes_and_columns_are_those_that_were_written(tmp_path):
    store, _ = small_store(tmp_path / "store", n=12)
    open_ = {"family": "gcd", "state": "routed", "licence": "BSD-3-Clause", "redistribution": True}
    store.annotate(designs={name: open_ for name in ("gcd_dense", "aes_psm")})
    add_labels(store)
    paths = export_parquet(store, tmp_path / "out", layer="metal1")
    said = json.loads((tmp_path / "out" / CROISSANT).read_text(encoding="utf-8"))
    objects = {item["@id"]: item for item in said["distribution"]}
    assert set(objects) == {path.name for path in paths}
    for path in paths:
        assert objects[path.name]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {records["@id"] for records in said["recordSet"]} == {path.stem for path in paths}
    for records in said["recordSet"]:
        names = [field["name"] for field in records["field"]]
        assert names == list(FIELDS) == pq.read_schema(tmp_path / "out" / f"{records['@id']}.parquet").names
        of_file = {field["source"]["fileObject"]["@id"] for field in records["field"]}
        assert of_file == {f"{records['@id']}.parquet"} <= set(objects)
    assert said["conformsTo"].endswith("croissant/1.0") and said["license"] == ["BSD-3-Clause"]
    assert store.digest() in said["description"]
