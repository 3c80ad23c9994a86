"""What every notebook does: begin its run from its parameters, and hold what it says to its results."""

from __future__ import annotations

import json
import subprocess

import pytest

from maskopt_lib import study
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.runs import notebook, params, paths

NAME = "15_do_this"
CELL = """\
n_steps: int = 2  # steps
seed: int = 7  # of draws
build: str = ""  # folder of a run
out_dir: str = "results/15_do_this/scratch"  # where results go
"""


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A study of one notebook with a quick variant, committed."""
    folder = tmp_path / "notebooks"
    (folder / "params" / NAME).mkdir(parents=True)
    (folder / "params" / NAME / "quick.yaml").write_text("n_steps: 3\n")
    (folder / "params" / NAME / "mine.yaml").write_text("n_steps: 4\n")
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Do this\n", "\n", "**Question.** Why?"]},
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": CELL},
    ]
    (folder / f"{NAME}.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setattr(params, "NOTEBOOKS", folder)
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for words in (["init", "-q"], ["add", "notebooks"], ["commit", "-qm", "As it ships"]):
        subprocess.run([*git, *words], check=True, capture_output=True)
    return tmp_path


def names(repository, **changed):
    return {"n_steps": 2, "seed": 7, "build": "", "out_dir": "results/15_do_this/scratch"} | changed


def test_a_run_begins_with_what_the_notebook_says(repository):
    out_dir = str(repository / "results" / NAME / "scratch")
    run = study.begin(NAME, names(repository, unrelated=1, out_dir=out_dir), kernels="embedded", pixel_nm=8)
    assert run.out_dir == repository / "results" / NAME / "scratch"
    record = run.record
    assert (record.title, record.notebook, record.seed, record.device) == ("Do this", NAME, 7, "cpu")
    assert record.conventions == {"kernels": ["embedded"], "raster": "half-open, 8 nm", "epe_limits_nm": [15, 3]}
    assert set(record.params) == {"n_steps", "seed", "build", "out_dir"}
    assert record.params["out_dir"] == "results/15_do_this/scratch", "of the repository, not of this machine"


def test_a_misspelt_parameter_ends_the_run_and_names_the_nearest(repository):
    injected = ["import os", "# Parameters\nn_step = 3\n"]
    with pytest.raises(UnknownNameError, match=r"no parameter n_step \(did you mean n_steps\?\)"):
        study.begin(NAME, names(repository, In=injected))
    study.begin(NAME, names(repository, In=["# Parameters\nn_steps = 3\n"]))


@pytest.mark.parametrize("n_steps", [2, 3])
def test_a_claim_is_strict_with_parameters_that_ship(repository, n_steps, capsys):
    run = study.begin(NAME, names(repository, n_steps=n_steps))
    with study.claim(run, "one is one"):
        assert n_steps < 4
    assert capsys.readouterr().out == "holds: one is one\n"
    with pytest.raises(AssertionError) as failed, study.claim(run, "it is cheap"):
        assert n_steps > 4
    assert failed.value.__notes__ == [f"claim of {NAME}: it is cheap"]
    with pytest.raises(KeyError), study.claim(run, "it has a row"):
        {}["row"]


def test_a_claim_is_only_reported_with_parameters_of_ones_own(repository, capsys):
    # 4 is in a variant, but of somebody's own.
    run = study.begin(NAME, names(repository, n_steps=4))
    with study.claim(run, "it is cheap"):
        assert run.record.params["n_steps"] < 4
    with study.claim(run, "it has a row"):
        {}["row"]
    with study.claim(run, "it is whole"):
        pass
    assert capsys.readouterr().out.splitlines() == [
        "not applicable to these parameters: it is cheap (does not hold)",
        "not applicable to these parameters: it has a row (cannot be asked: KeyError: 'row')",
        "holds: it is whole",
    ]


def test_defaults_changed_in_the_notebook_itself_are_ones_own(repository):
    source = params.NOTEBOOKS / f"{NAME}.ipynb"
    source.write_text(source.read_text().replace("n_steps: int = 2", "n_steps: int = 5"))
    assert notebook.ships({"notebook": NAME, "params": names(repository), "inputs": {}})
    assert not notebook.ships({"notebook": NAME, "params": names(repository, n_steps=5), "inputs": {}})


def test_a_variant_that_was_not_committed_is_ones_own(repository):
    (params.NOTEBOOKS / "params" / NAME / "paper.yaml").write_text("n_steps: 6\n")
    assert not notebook.ships({"notebook": NAME, "params": names(repository, n_steps=6), "inputs": {}})


def test_where_nothing_was_committed_files_count_as_they_are(repository, monkeypatch):
    (repository / ".git").rename(repository / "elsewhere")
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    assert notebook.ships({"notebook": NAME, "params": names(repository, n_steps=3), "inputs": {}})


def test_a_run_that_reads_one_with_other_parameters_does_not_ship(repository):
    before = study.begin(NAME, names(repository, n_steps=9, out_dir="results/15_do_this/before"))
    after = study.begin(NAME, names(repository), inputs=[before.out_dir])
    assert after.record.inputs.keys() == {"results/15_do_this/before"}
    assert not notebook.ships(after.record.to_dict())


def test_the_folder_of_a_run_that_is_read_is_found_from_anywhere(repository, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    out_dir = "results/31_train/scratch"
    assert paths.run_folder(out_dir, "22_build", "results/22_build/paper") == repository / "results/22_build/paper"
    assert paths.run_folder("results/31_train/paper", "22_build") == repository / "results/22_build/paper"
    assert paths.run_folder(out_dir, "22_build") == repository / "results/22_build/quick"
    (repository / "results" / "22_build" / "scratch").mkdir(parents=True)
    assert paths.run_folder(out_dir, "22_build") == repository / "results/22_build/scratch"


@pytest.mark.parametrize(
    ("chosen", "there"),
    [
        (["OPC", "level set"], ["OPC"]),
        (["level set"], ["OPC"]),
        ([], []),
        ("level set", "OPC"),
        ("CurvyILT", "CurvyILT"),
        ({"level set": 1, "CurvyILT": 2}, {"CurvyILT": 2}),
        ({"level set": 1}, {}),
    ],
)
def test_names_that_are_not_there_are_left_out_and_said(chosen, there, capsys):
    assert study.among(chosen, ["OPC", "CurvyILT"], "compared") == there
    said = capsys.readouterr().out
    assert said.startswith("compared: no level set among OPC, CurvyILT") == ("level set" in chosen)
