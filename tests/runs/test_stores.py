"""Sealed stores: each file deleted, cut or flipped is an error that names it; older stores open; swaps are survived."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import study
from maskopt_lib.errors import DamagedFileError, MissingDataError, SchemaError
from maskopt_lib.runs import stores
from maskopt_lib.runs.reference import load, load_masks


@pytest.fixture
def run(tmp_path):
    return study.start("Test", notebook="00_test", params={}, out_dir=tmp_path / "quick", threads=1)


def small(value=1.0):
    numbers = xr.DataArray(np.full((2, 3), value), dims=("sample", "n"), attrs={"units": "1"})
    return xr.Dataset({"numbers": numbers}, coords={"sample": ["a", "b"]})


def damages(path):
    """Every file of a store but one hidden, with a word on how it is damaged, one at a time."""
    for file in sorted(p for p in path.rglob("*") if p.is_file()):
        whole = file.read_bytes()
        flipped = {f"flipped at {i}": whole[:i] + bytes([whole[i] ^ 4]) + whole[i + 1 :] for i in (0, len(whole) // 2)}
        for what, damage in ({"gone": None, "empty": b"", "cut": whole[:-1]} | flipped).items():
            file.unlink() if damage is None else file.write_bytes(damage)
            yield f"{file.relative_to(path)} {what}"
            file.write_bytes(whole)


def test_every_damage_of_every_file_is_refused_by_name(run):
    path = run.save(small(), "numbers")
    for damage in damages(path):
        with pytest.raises(DamagedFileError, match="make study VARIANT=quick"):
            study.load(path)
            pytest.fail(f"loaded with {damage}")
    xr.testing.assert_equal(study.load(path), small())


def test_every_damage_of_masks_is_refused(run):
    path = run.save_masks(np.eye(8, dtype=bool)[None].repeat(2, 0), samples=["a", "b"], pixel_nm=1)
    for damage in damages(path):
        with pytest.raises(DamagedFileError):
            study.load_masks(path)
            pytest.fail(f"loaded with {damage}")
    assert study.load_masks(path, sample="b").values.sum() == 8


def test_a_store_without_its_list_is_refused_where_the_record_knows_of_one(run):
    path = run.save(small(), "numbers")
    root = json.loads((path / "zarr.json").read_text())
    root["attributes"] = {k: v for k, v in root["attributes"].items() if k not in (stores.FILES, stores.SEAL)}
    (path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(DamagedFileError, match="list of its files is gone"):
        study.load(path)


def test_a_store_of_an_earlier_version_opens(tmp_path):
    old = small().drop_vars("sample")
    old.to_zarr(tmp_path / "numbers.zarr", zarr_format=3, consolidated=False)
    (tmp_path / "record.json").write_text(json.dumps({"title": "old", "outputs": ["numbers.zarr"]}))
    assert study.load(tmp_path / "numbers.zarr")["numbers"].values.tolist() == [[1.0] * 3] * 2
    assert study.record_of(tmp_path)["title"] == "old"


def test_a_damaged_record_is_refused(run):
    file = run.out_dir / "record.json"
    file.write_text(file.read_text().replace("Test", "Text"))
    with pytest.raises(DamagedFileError, match=r"record.json is damaged"):
        study.record_of(run.out_dir)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a b", "/abs"])
def test_a_result_stays_in_its_folder(run, name):
    with pytest.raises(SchemaError, match="cannot be called"):
        run.save(small(), name)


def test_results_can_be_moved_and_loaded_there(run, tmp_path):
    run.save(small(), "numbers")
    run.out_dir.rename(tmp_path / "elsewhere with blanks ä")
    xr.testing.assert_equal(study.load(tmp_path / "elsewhere with blanks ä" / "numbers.zarr"), small())


def test_a_reader_beside_a_writer_reads_one_whole_store(run):
    path, stop, wrong, n_read = run.save(small(0), "numbers"), threading.Event(), [], [0]

    def read():
        while not stop.is_set():
            try:
                values = study.load(path)["numbers"].values
                if len(np.unique(values)) != 1:
                    wrong.append(values)
                n_read[0] += 1
            except Exception as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for value in range(25):
        run.save(small(float(value)), "numbers")
    stop.set()
    reader.join()
    assert not wrong and n_read[0] > 0


def test_nothing_there_is_not_damage(tmp_path):
    with pytest.raises(MissingDataError, match="make study VARIANT=paper"):
        study.load(tmp_path / "paper" / "numbers.zarr")


def test_a_file_in_the_place_of_a_store_is_said(tmp_path):
    (tmp_path / "scores.zarr").write_text("no folder")
    with pytest.raises(DamagedFileError, match=r"scores\.zarr"):
        load(tmp_path / "scores.zarr")


def test_what_a_store_says_of_itself_is_nobodys_attribute(run):
    ds = xr.Dataset({"n": ("s", [1.0], {"units": "1"})})
    with pytest.raises(SchemaError, match="'files'"):
        run.save(ds.assign_attrs(files=["a.gds"]), "a")
    with pytest.raises(SchemaError, match="'sha256'"):
        run.save(ds.assign_attrs(sha256="0"), "a")
    path = run.save(ds, "a")
    with xr.open_zarr(path, consolidated=False) as opened:  # without the library, which leaves them out
        assert load(run.save(opened.load(), "b")).n.values.tolist() == [1.0]


def test_a_label_that_is_a_number_may_be_written_as_text(run):
    masks = xr.DataArray(
        np.eye(8)[None, None], dims=("seed", "sample", "y", "x"), coords={"seed": [3], "sample": ["a"]}
    )
    path = run.save_masks(masks, pixel_nm=1.0)
    assert load_masks(path, seed="3", sample=["a"]).dims == ("sample", "y", "x")
    assert (load_masks(path, seed=3) == masks.values[0]).all()
