"""Sweeps: a tiny notebook over a grid, one point failing; nothing runs twice; results joined over the grid."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import files, study
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs import __main__ as command
from maskopt_lib.runs import params, sweep
from maskopt_lib.runs.hashing import hashed
from maskopt_lib.runs.processes import asked_threads
from maskopt_lib.runs.record import start

NOTEBOOK = "15_do_this"
PARAMETERS = """\
n_steps: int = 2  # steps
rate: float = 0.5  # rate
kind: str = "a"  # kind
names: list = ["x"]  # names
maybe: str | None = None  # may be missing
out_dir: str = "results/15_do_this/scratch"  # where results go
"""
# Fails where asked to, and notes that it ran. Its stores are those of a run, written without waiting for torch.
WORK = """\
import json
import xarray as xr
def save(ds, name):
    ds.to_zarr(f"{out_dir}/{name}.zarr", mode="w", zarr_format=3, consolidated=False)
with open("ran.txt", "a") as file:
    file.write(f"{n_steps} {kind}\\n")
with open(f"{out_dir}/record.json", "w") as file:
    conventions = {"kernels": [kind], "raster": "half-open, 1 nm", "epe_limits_nm": [15, 3]}
    json.dump({"conventions": conventions, "outputs": ["scores.zarr", "texts.zarr"]}, file)
assert n_steps != 3 or kind != "b", "three of b"
scores = xr.Dataset({"l2_nm2": ("sample", [n_steps * rate, 1.0]), "shots": ("sample", [n_steps, 1])})
scores = scores.assign_coords(sample=xr.Variable("sample", names).astype(object))
save(scores.assign_attrs(raster="half-open, 1 nm", title="t", record="{}"), "scores")
kinds = xr.Variable("kind", [kind], {"units": "1"}).astype(object)
save(xr.Dataset({"said": kinds}, coords={"kind": kinds}), "texts")
if n_steps == 3:
    save(xr.Dataset({"other": ((), 1.0, {"units": "1"})}), "only_of_three")
"""


@pytest.fixture
def notebooks(tmp_path, monkeypatch):
    """A folder with one notebook, taken for the study's own."""
    folder = tmp_path / "notebooks"
    (folder / "params" / NOTEBOOK).mkdir(parents=True)
    cells = [
        {"cell_type": "code", "metadata": {"tags": tags}, "source": text, "execution_count": None, "outputs": []}
        for tags, text in ((["parameters"], PARAMETERS), ([], WORK))
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    (folder / f"{NOTEBOOK}.ipynb").write_text(json.dumps(notebook))
    (folder / "params" / NOTEBOOK / "quick.yaml").write_text("names: [s, t]\n")
    monkeypatch.setattr(params, "NOTEBOOKS", folder)
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))  # for the processes of the points
    # The library may change while the tests run; here it does when a test says so.
    monkeypatch.setattr(sweep, "library_hash", lambda: "as it is")
    monkeypatch.chdir(tmp_path)
    return folder


def ran(notebooks: Path) -> list[str]:
    return sorted((notebooks / "ran.txt").read_text().splitlines()) if (notebooks / "ran.txt").exists() else []


def test_a_sweep_runs_every_point_records_failures_joins_and_resumes(notebooks, tmp_path, capsys):
    grid = "n_steps=2,3 kind=a,b"
    with pytest.raises(SystemExit) as ended:
        command.main(["sweep", NOTEBOOK, grid, "--jobs", "2"])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "4 points, 1 failed" in said and "AssertionError: three of b" in said
    assert ran(notebooks) == ["2 a", "2 b", "3 a", "3 b"]
    folder = tmp_path / "results" / NOTEBOOK / "sweep-n_steps-kind"
    status = study.load(folder / "status.zarr")
    assert status["status"].dims == ("n_steps", "kind")
    assert status["status"].values.tolist() == [["done", "done"], ["done", "failed"]]
    assert status["error"].values.tolist() == [["", ""], ["", "AssertionError: three of b"]]
    failed = folder / "points" / status["folder"].sel(n_steps=3, kind="b").item()
    assert {path.name for path in failed.glob("*.ipynb")} == {"partial.ipynb"}

    scores = study.load(folder / "scores.zarr")
    assert scores["l2_nm2"].dims == ("n_steps", "kind", "sample") and scores["sample"].values.tolist() == ["s", "t"]
    assert scores["l2_nm2"].sel(sample="s").values.tolist()[0] == [1.0, 1.0]
    assert scores["shots"].sel(n_steps=3, sample="s").values.tolist()[0] == 3
    assert math.isnan(scores["l2_nm2"].sel(n_steps=3, kind="b", sample="s").item())
    assert scores.attrs["raster"] == "half-open, 1 nm" and scores["l2_nm2"].attrs["units"] == "nm2"
    record = study.record_of(scores)
    assert record["params"] == {"variant": "quick", "grid": {"n_steps": [2, 3], "kind": ["a", "b"]}}
    assert record["conventions"]["kernels"] == [["a"], ["b"]]
    assert record["conventions"]["raster"] == "half-open, 1 nm" and len(record["inputs"]) == 3
    texts = study.load(folder / "texts.zarr")
    assert texts["said"].dims == ("n_steps", "kind_parameter", "kind")
    assert texts["said"].sel(n_steps=2, kind_parameter="b").values.tolist() == ["", "b"]
    assert not (folder / "only_of_three.zarr").exists()

    # What is done stays, the failed point runs again.
    (notebooks / "ran.txt").unlink()
    with pytest.raises(SystemExit):
        command.main(["sweep", NOTEBOOK, grid])
    assert ran(notebooks) == ["3 b"]
    assert "done before" in capsys.readouterr().out


def test_a_point_is_stale_when_parameters_or_library_changed(notebooks, monkeypatch):
    grid = {"rate": [0.25]}
    _, first = study.run_sweep(NOTEBOOK, grid, name="rates")
    _, again = study.run_sweep(NOTEBOOK, grid, name="rates")
    (notebooks / "params" / NOTEBOOK / "quick.yaml").write_text("names: [s, t]\nn_steps: 4\n")
    run, third = study.run_sweep(NOTEBOOK, grid, name="rates")
    assert [points[0].is_new for points in (first, again, third)] == [True, False, True]
    monkeypatch.setattr(sweep, "library_hash", lambda: "another")
    code = hashed(params.path_of(NOTEBOOK).read_bytes(), ["another"])
    monkeypatch.setattr(sweep, "_executed", lambda *given: pytest.fail(f"runs with {given[4]}"))
    with pytest.raises(pytest.fail.Exception, match=f"runs with {code}"):
        study.run_sweep(NOTEBOOK, grid, name="rates")
    assert run.out_dir == notebooks.parent / "results" / NOTEBOOK / "sweep-rates"
    assert study.load(run.out_dir / "scores.zarr")["l2_nm2"].sel(rate=0.25, sample="s") == 1.0


def test_a_point_that_lost_a_result_runs_again(notebooks):
    _, (point,) = study.run_sweep(NOTEBOOK, {"rate": [0.25]}, name="rates")
    for lost in ("scores.zarr", "record.json", "run.ipynb"):
        files.remove(point.folder / lost)
        run, (again,) = study.run_sweep(NOTEBOOK, {"rate": [0.25]}, name="rates")
        assert again.is_new and (point.folder / lost).exists(), lost
        assert study.load(run.out_dir / "scores.zarr")["l2_nm2"].sel(rate=0.25, sample="s") == 0.5


def test_a_grid_is_text_or_a_file_or_a_mapping(notebooks, tmp_path):
    text = sweep.read_grid(NOTEBOOK, "n_steps=1,2 rate=1,1e-3 kind=a,'2' names=[x,y],[z]")
    assert text == {"n_steps": [1, 2], "rate": [1.0, 0.001], "kind": ["a", "2"], "names": [["x", "y"], ["z"]]}
    (tmp_path / "grid.yaml").write_text("n_steps: [1, 2]\nmaybe: [null, b]\n")
    assert sweep.read_grid(NOTEBOOK, tmp_path / "grid.yaml") == {"n_steps": [1, 2], "maybe": [None, "b"]}
    assert sweep.read_grid(NOTEBOOK, {"kind": ["b"]}) == {"kind": ["b"]}


@pytest.mark.parametrize(
    ("grid", "error", "what"),
    [
        ("steps=1", UnknownNameError, "steps"),
        ("out_dir=a,b", UnknownNameError, "out_dir"),
        ("n_steps=1.5", SchemaError, "n_steps is int"),
        ("n_steps=true", SchemaError, "n_steps is int"),
        ("rate=fast", SchemaError, "rate is float"),
        ("kind=2", SchemaError, "kind is str"),
        ("names=x", SchemaError, "names is list"),
        ("n_steps=1,1", SchemaError, "twice"),
        ("n_steps=", SchemaError, "list of values"),
        ("n_steps", SchemaError, "list of values"),
        ("names=[x", SchemaError, "cannot read"),
        ("", SchemaError, "no grid"),
        ("missing.yaml", MissingDataError, "missing.yaml"),
    ],
)
def test_what_does_not_fit_the_notebook_is_refused_before_anything_runs(notebooks, grid, error, what):
    with pytest.raises(error, match=what):
        study.run_sweep(NOTEBOOK, grid)
    assert ran(notebooks) == [] and not Path("results").exists()


def test_a_mistake_is_one_line_and_exit_status_2(notebooks, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(["sweep", NOTEBOOK, "steps=1"])
    assert ended.value.code == 2 and "no parameter steps" in capsys.readouterr().err
    with pytest.raises(MissingDataError):
        study.run_sweep(NOTEBOOK, "n_steps=1", variant="no such")


def test_points_are_told_apart_by_all_of_their_values():
    names = {sweep._point_name({"a": a, "text": "x" * 80 + b}) for a in (1, 2) for b in "cd"}
    assert len(names) == 4 and all(len(name) < 80 for name in names)


def test_joined_points_keep_their_places_and_lengths():
    def point(n, text):
        return xr.Dataset({"v": ("step", np.arange(float(n))), "t": ((), text)}, coords={"step": np.arange(n)})

    found = sweep.join({(0, 0): point(2, "p"), (1, 1): point(3, "q")}, {"a": [10, 20], "b": ["x", "y"]})
    assert found["v"].dims == ("a", "b", "step")
    np.testing.assert_array_equal(found["v"].sel(a=10, b="x"), [0, 1, np.nan])
    np.testing.assert_array_equal(found["v"].sel(a=20, b="y"), [0, 1, 2])
    assert found["v"].sel(a=10, b="y").isnull().all()
    assert found["t"].values.tolist() == [["p", ""], ["", "q"]] and found["t"].dtype.kind == "U"


def test_half_a_notebook_of_a_killed_point_is_no_error_of_the_sweep(tmp_path):
    (tmp_path / "partial.ipynb").write_text('{"cells": [{"outp')
    (tmp_path / "log.txt").write_text("one\nKilled\n")
    assert sweep._error_of(tmp_path) == "Killed"


def test_a_point_whose_store_is_gone_is_not_done(tmp_path):
    run = start("A point", notebook="00", params={}, out_dir=tmp_path / "p", threads=1)
    store = run.save(xr.Dataset({"n": ("s", [1.0], {"units": "1"})}), "n")
    files.write_json(tmp_path / "p" / "point.json", {"key": "k", "status": "done"})
    (tmp_path / "p" / "run.ipynb").write_text("{}")
    assert sweep._state_of(tmp_path / "p") == {"key": "k", "status": "done"}
    files.remove(store)
    assert sweep._state_of(tmp_path / "p") is None


@pytest.mark.parametrize("asked", ["4,2", " 4 "])
def test_threads_are_the_first_number_that_openmp_is_told(monkeypatch, asked):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert asked_threads() == 4
    monkeypatch.setenv("OMP_NUM_THREADS", "many")
    assert asked_threads() == 0
