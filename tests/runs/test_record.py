"""Records and stores: what is saved comes back equal, with all that is needed to make it again."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from maskopt_lib import study
from maskopt_lib.data import schema
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.record import in_history, start
from maskopt_lib.runs.reference import FOLDER, load_result, stored_names

#: Of the lock of a run that lives.
OF_THE_LOCK = {".lock", ".owner.json"}
CONVENTIONS = {"kernels": ["embedded"], "raster": "half-open, 1 nm", "epe_limits_nm": [15, 3]}


@pytest.fixture
def run(tmp_path):
    threads = torch.get_num_threads()
    yield study.start(
        "Test",
        notebook="00_test",
        params={"n_steps": 3},
        out_dir=tmp_path / "out",
        conventions=CONVENTIONS,
        seed=1,
        threads=1,
    )
    torch.set_num_threads(threads)


def seen(folder):
    """Names of all files but those of the lock."""
    return sorted(path.name for path in folder.iterdir() if path.name not in OF_THE_LOCK)


@pytest.fixture
def scores():
    return xr.Dataset(
        {schema.L2: (schema.SAMPLE, [10.0, 20.5]), schema.SHOTS: (schema.SAMPLE, [3, 4])},
        coords={schema.SAMPLE: ["M1_test1", "M1_test10"]},
    )


def test_saved_dataset_comes_back_equal_and_labelled(run, scores):
    back = study.load(run.save(scores, "scores"))
    xr.testing.assert_equal(back, scores)
    assert back[schema.L2].attrs["units"] == "nm2"
    assert back.sel(sample="M1_test10")[schema.L2] == 20.5
    assert back[schema.SAMPLE].dtype.kind == "U"


def test_texts_of_every_kind_come_back_as_text(run):
    index = pd.Index(["a", "bb"], name="kind")
    one = xr.Dataset({"said": ("sample", ["x", "yy"], {"units": "1"})}, coords={"sample": ["p", "q"]})
    back = study.load(run.save(xr.concat([one, one], index), "texts"))
    for name, values in {"kind": ["a", "bb"], "sample": ["p", "q"], "said": [["x", "yy"]] * 2}.items():
        assert back[name].values.tolist() == values and back[name].dtype.kind == "U"
    assert back["said"].attrs == {"units": "1"}


def test_the_record_is_on_the_store_and_beside_it(run, scores):
    back = study.load(run.save(scores, "scores"))
    assert study.record_of(back) == run.record.to_dict()
    beside = study.record_of(run.out_dir)
    assert beside.pop("outputs") == ["scores.zarr"]
    assert list(beside.pop("files")) == ["scores.zarr"]
    assert beside == run.record.to_dict()


def test_record_says_how_the_run_was_made(run):
    record = study.record_of(run.out_dir)
    assert record["params"] == {"n_steps": 3} and record["seed"] == 1 and record["threads"] == 1
    assert record["device"] == "cpu" and record["dtype"] == "float32"
    assert record["versions"]["torch"] == torch.__version__.partition("+")[0] or record["versions"]["torch"]
    assert record["created_at"].endswith("+00:00")
    assert len(record["git_commit"]) == 40 or record["git_commit"] == "unknown"
    assert record["hardware"]["cores"] >= 1


def test_saving_again_replaces_the_store_and_leaves_nothing_behind(run, scores):
    run.save(scores, "scores")
    back = study.load(run.save(scores.isel(sample=[0]), "scores"))
    assert back.sizes == {"sample": 1}
    assert seen(run.out_dir) == ["record.json", "scores.zarr"]


def test_a_failed_write_keeps_the_old_store(run, scores):
    run.save(scores, "scores")
    with pytest.raises(Exception, match=r"."):
        run.save(scores.assign(bad=("sample", [object(), object()], {"units": "1"})), "scores")
    xr.testing.assert_equal(study.load(run.out_dir / "scores.zarr"), scores)
    assert seen(run.out_dir) == ["record.json", "scores.zarr"]


def test_scores_without_conventions_are_refused(tmp_path, scores):
    bare = study.start("Test", notebook="00_test", params={}, out_dir=tmp_path)
    with pytest.raises(SchemaError, match="kernels, raster, epe_limits_nm"):
        bare.save(scores, "scores")


def test_a_variable_without_unit_is_refused(run):
    with pytest.raises(SchemaError, match="no units"):
        run.save(xr.Dataset({"something": ("sample", [1.0])}), "scores")


@pytest.mark.parametrize("width", [1, 7, 8, 9, 64])
def test_masks_come_back_bit_for_bit(run, width):
    pixels = np.random.default_rng(0).random((3, 5, width)) > 0.5
    path = run.save_masks(torch.from_numpy(pixels), samples=["a", "b", "c"], pixel_nm=4)
    back = study.load_masks(path)
    assert back.dtype == bool and back.dims == ("sample", "y", "x")
    np.testing.assert_array_equal(back.values, pixels)
    np.testing.assert_array_equal(back["x"], (np.arange(width) + 0.5) * 4)
    np.testing.assert_array_equal(back["y"], (np.arange(5) + 0.5) * 4)
    assert list(back["sample"].values) == ["a", "b", "c"]


def test_masks_of_several_methods_keep_their_labels(run):
    pixels = xr.DataArray(
        np.random.default_rng(0).integers(0, 2, (2, 3, 8, 8), dtype=np.uint8),
        dims=("method", "sample", "y", "x"),
        coords={"method": ["curvy", "multi"], "sample": ["a", "b", "c"], "x": np.arange(8) + 0.5},
    )
    back = study.load_masks(run.save_masks(pixels))
    one = {"method": "multi", "sample": "b"}
    np.testing.assert_array_equal(back.sel(one), pixels.sel(one))


def test_masks_take_one_bit_a_pixel_and_one_chunk_a_mask(run):
    import zarr

    path = run.save_masks(np.zeros((2, 64, 64), dtype=bool), samples=["a", "b"], pixel_nm=1)
    array = zarr.open_group(path, mode="r")["mask_bits"]
    assert array.shape == (2, 64, 8) and array.chunks == (1, 64, 8)


def test_grey_masks_are_refused(run):
    with pytest.raises(SchemaError, match="binary"):
        run.save_masks(np.full((1, 4, 4), 0.5), samples=["a"], pixel_nm=1)


def test_masks_without_names_are_refused(run):
    with pytest.raises(SchemaError, match="samples"):
        run.save_masks(np.zeros((1, 4, 4)))


def test_parameters_must_be_plain(tmp_path):
    with pytest.raises(SchemaError, match="plain JSON"):
        study.start("Test", notebook="00_test", params={"a": np.zeros(3)}, out_dir=tmp_path)


def test_inputs_carry_their_hash(tmp_path):
    result = tmp_path / "record.json"
    result.write_text(json.dumps({}))
    run = study.start(
        "Test", notebook="00_test", params={}, out_dir=tmp_path / "out", inputs=["iccad13/clips/M1_test1.glp", result]
    )
    # the hash of SOURCES for this file, and that of the two bytes "{}"
    assert list(run.record.inputs.values()) == [
        "398554df58c5bde23c9e638d5293d05a4ff13fadb67657d63e85dd7f25a97e2f",
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    ]


def test_unknown_input_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="M1_test11"):
        study.start("Test", notebook="00_test", params={}, out_dir=tmp_path, inputs=["iccad13/clips/M1_test11.glp"])


def test_runs_that_are_read_are_named_by_their_record(run, tmp_path):
    later = study.start("Later", notebook="91_test", params={}, out_dir=tmp_path / "later", inputs=[run.out_dir])
    (sha256,) = later.record.inputs.values()
    assert len(sha256) == 64
    with pytest.raises(MissingDataError, match="first"):
        study.start("Later", notebook="91_test", params={}, out_dir=tmp_path / "later", inputs=[tmp_path / "nowhere"])


def test_missing_store_names_the_command(tmp_path):
    with pytest.raises(MissingDataError, match="make study VARIANT=quick"):
        study.load(tmp_path / "quick" / "scores.zarr")


@pytest.mark.parametrize("out_dir", ["", "/", ".", "notebooks", "notebooks/mine", "results/../"])
def test_results_have_a_folder_of_their_own(out_dir):
    with pytest.raises(SchemaError, match="no place for results"):
        start("A test", notebook="00", params={}, out_dir=out_dir, threads=1)


@pytest.mark.parametrize("named", ["relative", "/not/there"])
def test_the_root_is_a_folder_by_its_full_path(monkeypatch, named):
    monkeypatch.setenv("MASKOPT_ROOT", named)
    with pytest.raises(SchemaError, match="MASKOPT_ROOT"):
        root()


def test_a_commit_that_this_history_lacks_is_told_from_its_own():
    own = in_history("HEAD")
    if own is None:
        pytest.skip("no repository with all of its history here")
    assert own and in_history("0" * 40) is False


def test_records_name_commits_of_this_history():
    folders = [path for path in FOLDER.glob("[0-9]*") if path.is_dir()]
    commits = {
        path.name: {study.record_of(load_result(path, name))["git_commit"] for name in stored_names(path)}
        for path in folders
    }
    assert len(commits) > 20
    assert {name for name, made_at in commits.items() if any(in_history(c) is False for c in made_at)} == set()
