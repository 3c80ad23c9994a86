"""Committed records: what a run leaves comes back equal, small and with its stamp."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import study
from maskopt_lib.data import schema
from maskopt_lib.errors import DamagedFileError, MissingDataError
from maskopt_lib.runs import __main__ as command
from maskopt_lib.runs import reference


@pytest.fixture
def run(tmp_path):
    conventions = {"kernels": ["embedded"], "raster": "half-open", "epe_limits_nm": [15, 3]}
    run = study.start(
        "test",
        notebook="00_test_records",
        params={},
        conventions=conventions,
        out_dir=tmp_path / "00_test_records/paper",
    )
    scores = xr.Dataset(
        {
            schema.L2: ((schema.METHOD, schema.SAMPLE), np.arange(4.0).reshape(2, 2)),
            schema.EPE15: ((schema.METHOD, schema.SAMPLE), np.array([[1, 0], [2, 3]])),
        },
        coords={schema.METHOD: ["identity", "released masks"], schema.SAMPLE: ["a", "b"]},
    )
    run.save(scores, "scores")
    run.save_masks(np.eye(16)[None], "masks", samples=["a"], pixel_nm=8)
    return run


def test_record_equals_the_result_and_leaves_masks_out(run, tmp_path):
    written = reference.keep(run.out_dir, tmp_path / "records")
    assert [path.name for path in written] == ["scores.nc"]
    stored, record = (reference.load_result(f, "scores") for f in (run.out_dir, tmp_path / "records"))
    xr.testing.assert_equal(stored.astype(float), record.astype(float))
    assert record[schema.L2].attrs["units"] == "nm2"
    assert study.record_of(record) == study.record_of(stored)
    assert reference.has_result(tmp_path / "records", "scores") and not reference.has_result(run.out_dir, "pictures")


def test_missing_results_say_what_makes_them(tmp_path):
    with pytest.raises(MissingDataError, match="make study VARIANT=paper"):
        reference.keep(tmp_path / "00_test_records" / "paper", tmp_path / "records")
    with pytest.raises(MissingDataError, match="make study VARIANT=paper"):
        reference.load_result(tmp_path / "00_test_records" / "paper", "scores")


def test_command_keeps_the_records_of_one_variant(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reference, "FOLDER", tmp_path / "repository/data_manifest/records")
    command.main(["keep", "paper", "--results", str(tmp_path)], standalone_mode=False)
    assert (reference.FOLDER / "00_test_records/scores.nc").is_file()
    assert capsys.readouterr().out.split()[1:3] == ["kB", "data_manifest/records/00_test_records/scores.nc"]
    assert "data_manifest/records/00_test_records/scores.nc" in (tmp_path / "repository/codecheck.yml").read_text()
    with pytest.raises(SystemExit):
        command.main(["keep", "quick", "--results", str(tmp_path)])
    assert "make study VARIANT=quick" in capsys.readouterr().err


def test_command_refuses_unknown_variants_before_anything_runs(capsys):
    command.main(["check", "quick", "01_validate_optics", "11_ilt_iccad13"], standalone_mode=False)
    with pytest.raises(SystemExit):
        command.main(["check", "quickly", "11_ilt_iccad13"])
    assert "no variant 'quickly'" in capsys.readouterr().err


def test_a_damaged_record_is_refused_and_an_old_name_is_todays(tmp_path):
    record = tmp_path / "sweep.nc"
    xr.Dataset({"print_nm2": ("sample", [1.0, 2.0])}).to_netcdf(record, engine="scipy")
    assert reference.load_result(tmp_path, "sweep")["merit_nm2"].values.tolist() == [1, 2]
    record.write_bytes(record.read_bytes()[:-9])
    with pytest.raises(DamagedFileError, match="git checkout"):
        reference.load_result(tmp_path, "sweep")
