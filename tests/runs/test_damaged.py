"""Damaged and hostile files of a run are answered by errors of the library; nothing in them is executed."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from maskopt_lib import files, study
from maskopt_lib.errors import DamagedFileError, MaskOptError, SchemaError
from maskopt_lib.runs import reference, stores
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.parts import read_part, said_of


@pytest.fixture
def run(tmp_path):
    return study.start("Damage", notebook="00_test", params={}, out_dir=tmp_path / "run", threads=1)


def numbers(**attrs):
    return xr.Dataset({"n": ("step", np.arange(40.0), {"units": "1", **attrs})}, {"step": np.arange(40)})


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("zarr.json", {"node_type": None}),
        ("n/zarr.json", {"shape": [10**13]}),
        ("n/zarr.json", {"codecs": [{"name": "pickle"}]}),
        ("n/zarr.json", {"chunk_key_encoding": "1e-320"}),
        ("n/zarr.json", {"data_type": "float7"}),
        ("n/zarr.json", {"attributes": {"_FillValue": "x", "scale_factor": []}}),
    ],
)
def test_metadata_that_were_changed_and_sealed_again(run, file, change):
    path = run.save(numbers(), "numbers")
    values = json.loads((path / file).read_text())
    (path / file).write_text(json.dumps(values | change))
    if (path / "zarr.json").is_file() and "node_type" not in change:
        stores.seal(path)
    with pytest.raises(MaskOptError, match=r"numbers\.zarr"):
        study.load(path)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'{"sha256": []}', b"[" * 100_000, b"\xff\xfe"])
def test_metadata_that_are_none(run, data):
    path = run.save(numbers(), "numbers")
    for file in (path / "zarr.json", run.out_dir / "record.json"):
        file.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"numbers\.zarr"):
        study.load(path)
    with pytest.raises(DamagedFileError, match=r"record\.json"):
        study.record_of(run.out_dir)


def test_a_store_of_another_program_that_is_damaged(tmp_path):
    path = tmp_path / "other.zarr"
    numbers().to_zarr(path, zarr_format=3, consolidated=False)
    (path / "n/c/0").write_bytes(b"no zstd")
    with pytest.raises(DamagedFileError, match="Zstd"):
        study.load(path)
    with pytest.raises(SchemaError, match="no record"):
        study.record_of(numbers())


class Executes:
    def __reduce__(self):
        return exec, ("from pathlib import Path; Path('executed').touch()",)


def test_nothing_in_a_part_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    np.savez(buffer, **{"said.json": np.array([Executes()], object), "n": np.array([Executes()], object)})
    for body in (buffer.getvalue(), pickle.dumps(Executes()), b"", buffer.getvalue()[:100]):
        path = tmp_path / "part.npz"
        path.write_bytes(body + files.bytes_sha256(body).encode())
        with pytest.raises(DamagedFileError, match=r"part\.npz cannot be read"):
            read_part(path)
        assert said_of(path) is None
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", ["zarr.json", ".", "..", "a/b", "__x", "a\\b"])
def test_names_that_would_become_other_folders(run, name):
    with pytest.raises(SchemaError, match="cannot be called"):
        run.save(numbers().rename(n=name), "numbers")
    assert not list(run.out_dir.glob("*.zarr"))


def test_what_a_store_would_not_give_back_as_it_is(run):
    for attrs in (
        {"_FillValue": 3.0},
        {"scale_factor": 2.0},
        {"folder": Path("x")},
        {"units": "days since 2000-01-01"},
    ):
        with pytest.raises(SchemaError):
            run.save(numbers(**attrs), "numbers")
    index = pd.MultiIndex.from_product([["a"], range(40)], names=["name", "seed"])
    stacked = numbers().drop_vars("step").assign_coords(xr.Coordinates.from_pandas_multiindex(index, "step"))
    with pytest.raises(SchemaError, match="several levels"):
        run.save(stacked, "numbers")
    with pytest.raises(SchemaError, match="neither numbers"):
        run.save(xr.Dataset({"n": ("step", np.array([1, "a", None], object), {"units": "1"})}), "numbers")
    saved = numbers()
    saved["n"].encoding |= {"scale_factor": 2.0, "_FillValue": 3.0, "dtype": "int8"}
    assert study.load(run.save(saved, "numbers")).n.equals(saved.n)


def test_packed_masks_of_another_shape_or_number(run):
    said = {"coords": {"sample": ["a", "b"]}, "shape": (8, 16), "pixel_nm": 1.0}
    whole = np.zeros((8, 2), np.uint8)
    for masks in ([whole, whole[:1]], [whole[:1, :1]] * 2, [whole], [whole] * 3, [whole, whole.astype(float)]):
        with pytest.raises(SchemaError):
            run.save_packed(masks, **said)
    assert study.load_masks(run.save_packed([whole, whole], **said)).shape == (2, 8, 16)


def test_a_coordinate_that_differs_between_rows_is_refused():
    rows = {(name,): numbers().assign_coords(kernels=name) for name in "ab"}
    with pytest.raises(SchemaError, match="'kernels' differs"):
        labelled(rows, ["sample"])
    assert labelled({label: row.assign_coords(kernels="a") for label, row in rows.items()}, ["sample"]).kernels == "a"


def test_a_flipped_byte_in_a_committed_record(run, tmp_path):
    run.save(numbers(), "numbers")
    (path,) = reference.keep(run.out_dir, tmp_path / "kept")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match="checksum"):
        study.load_result(tmp_path / "kept", "numbers")


def test_every_committed_record_has_its_checksum():
    for folder in filter(Path.is_dir, reference.FOLDER.iterdir()):
        # Views of masks, the only other ones, are sealed each for itself.
        kept = [*folder.glob("*.nc"), *folder.glob("*.png")]
        if not (known := {path.name: files.checksum(path) for path in kept}):
            assert all(files.read_json(path) for path in folder.rglob("*.json")), folder.name
            continue
        assert files.read_json(folder / reference.LIST) == known, folder.name
