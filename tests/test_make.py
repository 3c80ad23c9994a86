"""The Makefile, with a stand-in for papermill: order, continuation after a failure, and what it says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ("01_do_this", "11_do_that", "91_paper_figures")

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="GNU make is not installed")

# Executes a notebook as the engine would, as far as make sees it: notes which, and fails for those in the file `fail`.
FAKE_PYTHON = """#!/bin/sh
case "$*" in
  *"maskopt_lib.runs execute"*)
    folder=results/$4/$5; mkdir -p $folder && echo "notebooks/$4.ipynb" >> log && echo "== $4, variant $5"
    touch $folder/partial.ipynb
    grep -qx "notebooks/$4.ipynb" fail && { echo "FAILED: $4, see $folder/partial.ipynb"; exit 1; }
    mv $folder/partial.ipynb $folder/run.ipynb; echo "== $4, variant $5: 1 s" ;;
  *"maskopt_lib.runs check"*)
    echo "checked variant $4" >&2; test "$4" != unknown ;;
  *"maskopt_lib.runs plan"*) grep -o "execute [0-9a-z_]* [a-z]*" | sed "s/^execute/planned/" ;;
  *"maskopt_lib.runs open"*) echo "open results/*/$4" ;;
  *) echo "$*" >> log ;;
esac
"""


@pytest.fixture
def study(tmp_path):
    """A study of three empty notebooks, its environment already made, in a folder that asks for quotes."""
    tmp_path = tmp_path / "a study ü"
    for name in NOTEBOOKS:
        (tmp_path / "notebooks" / "params" / name).mkdir(parents=True)
        (tmp_path / "notebooks" / f"{name}.ipynb").write_text("{}")
        for variant in ("quick", "paper"):
            (tmp_path / "notebooks" / "params" / name / f"{variant}.yaml").write_text("{}")
    for name in (
        "Makefile",
        "pyproject.toml",
        "data_manifest/locks/requirements.lock",
        "data_manifest/locks/oracles.lock",
        "notebooks/needs.mk",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "maskopt_lib").mkdir()
    (tmp_path / "maskopt_lib" / "grid.py").write_text("")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    (tmp_path / ".venv" / ".stamp").touch()
    (tmp_path / "fail").write_text("")
    return tmp_path


def make(folder: Path, *arguments: str) -> tuple[int, str, list[str]]:
    """Exit status, output, and what ran."""
    (folder / "log").write_text("")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MASKOPT", "VARIANT"))}
    command = ["make", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    ran = [Path(line).stem if line.endswith(".ipynb") else line for line in (folder / "log").read_text().splitlines()]
    return done.returncode, done.stdout + done.stderr, ran


def age(study: Path, changed: str) -> None:
    """Make a file newer than all results, by seconds: clocks of file systems are too coarse for tests."""
    for path in filter(Path.is_file, study.rglob("*")):
        os.utime(path, (path.stat().st_atime - 100, path.stat().st_mtime - 100))
    (study / changed).touch()


def test_every_need_is_a_notebook():
    needs = re.findall(r"^NEEDS_(\S+) := (.+)$", (ROOT / "notebooks" / "needs.mk").read_text(), re.MULTILINE)
    there = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert needs and {name for notebook, read in needs for name in [notebook, *read.split()]} <= there


def test_a_variant_without_a_file_has_the_defaults(study):
    for path in (study / "notebooks" / "params").rglob("*.yaml"):
        path.unlink()
    assert make(study, "study", "JOBS=1")[2] == list(NOTEBOOKS)
    assert make(study, "results/11_do_that/paper/run.ipynb")[2] == ["11_do_that"]


def test_an_unknown_variant_is_refused_before_anything_runs(study):
    code, text, ran = make(study, "study", "VARIANT=unknown")
    assert code != 0 and "checked variant unknown" in text
    assert not any(name in ran for name in NOTEBOOKS)


def test_help_explains_every_target():
    _, text, _ = make_help()
    phony = (
        re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE).group(1).split()
    )
    for target in phony:
        assert re.search(rf"^  {target} +\S", text, re.MULTILINE), target


def make_help():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout, []


def test_notebooks_run_in_the_order_of_their_numbers_and_once(study):
    status, text, ran = make(study, "study", "JOBS=1")
    assert status == 0 and ran == list(NOTEBOOKS), text
    assert make(study, "study")[2] == []
    assert sorted(p.name for p in (study / "results" / "01_do_this" / "quick").iterdir()) == ["run.ipynb"]


def test_quick_notebooks_run_side_by_side_but_for_those_that_measure_times(study):
    for name in ("12_do_more", "13_ilt_runtime_memory"):
        shutil.copytree(study / "notebooks" / "params" / "11_do_that", study / "notebooks" / "params" / name)
        (study / "notebooks" / f"{name}.ipynb").write_text("{}")
    # The first one goes on only when the last of those beside it has begun.
    waits = """  *"maskopt_lib.runs execute 01"*)
    n=0; until grep -q 12_do_more log; do n=$((n + 1)); test $n -lt 600 || exit 1; sleep 0.1; done
    mkdir -p results/$4/$5 && touch results/$4/$5/run.ipynb
    echo "notebooks/$4.ipynb" >> log; echo "== $4, variant $5"; echo "== $4, variant $5: 1 s" ;;
"""
    python = study / ".venv" / "bin" / "python"
    python.write_text(FAKE_PYTHON.replace('  *"maskopt_lib.runs exec', waits + '  *"maskopt_lib.runs exec', 1))
    status, text, ran = make(study, "study")
    assert status == 0, text
    assert ran == ["11_do_that", "12_do_more", "01_do_this", "13_ilt_runtime_memory", "91_paper_figures"]
    # Each one's log is whole.
    said = [line.split()[1].rstrip(",") for line in text.splitlines() if line.startswith("== ") and "quick" in line]
    assert said[:-1:2] == said[1:-1:2] and len(said) == 11
    # One at a time for results of record.
    python.write_text(FAKE_PYTHON)
    names = ["01_do_this", "11_do_that", "12_do_more", "13_ilt_runtime_memory", "91_paper_figures"]
    assert make(study, "-j4", "study", "VARIANT=paper")[2][1:] == names


def test_the_cpu_scale_takes_the_whole_dataset_and_its_own_networks(study):
    for name, variants in (
        ("22_build_dataset", ["paper"]),
        ("31_train_models", ["cpu"]),
        ("37_learned_start", ["cpu"]),
    ):
        (study / "notebooks" / "params" / name).mkdir()
        (study / "notebooks" / f"{name}.ipynb").write_text("{}")
        for variant in variants:
            (study / "notebooks" / "params" / name / f"{variant}.yaml").write_text("{}")
    status, text, ran = make(study, "study", "VARIANT=cpu")
    assert status == 0, text
    assert ran[1:] == ["22_build_dataset", "31_train_models", "37_learned_start"] and "--check" in ran[0]
    # The small results of the scale that was run; nobody's reference are those of quick.
    assert [make(study, "records", *said)[2] for said in ((), ("VARIANT=cpu",))] == [
        ["-m maskopt_lib.runs keep paper"],
        ["-m maskopt_lib.runs keep cpu"],
    ]


def test_notebooks_are_tested_after_those_that_they_read(study):
    for name in ("22_build_dataset", "23_describe_dataset"):
        shutil.copytree(study / "notebooks" / "params" / "11_do_that", study / "notebooks" / "params" / name)
        (study / "notebooks" / f"{name}.ipynb").write_text("{}")
    status, text, ran = make(study, "test")
    assert status == 0, text
    assert ran[0].startswith("-m pytest -q -n 2")
    tested = [Path(line.split()[-1]).stem for line in ran[1:]]
    assert sorted(tested) == sorted([*NOTEBOOKS, "22_build_dataset", "23_describe_dataset"])
    assert tested.index("22_build_dataset") < tested.index("23_describe_dataset")
    assert tested[-1] == "91_paper_figures"


def test_failure_leaves_a_partial_run_says_so_and_continues_there(study):
    (study / "fail").write_text("notebooks/11_do_that.ipynb\n")
    status, text, ran = make(study, "study", "JOBS=1")
    assert status != 0 and ran == ["01_do_this", "11_do_that"]
    folder = study / "results" / "11_do_that" / "quick"
    assert [p.name for p in folder.iterdir()] == ["partial.ipynb"]
    # make itself has the last word; ours is the line before
    said = next(line for line in text.splitlines() if line.startswith("FAILED"))
    assert "11_do_that" in said and "results/11_do_that/quick/partial.ipynb" in said
    (study / "fail").write_text("")
    status, _, ran = make(study, "study")
    assert status == 0 and ran == ["11_do_that", "91_paper_figures"]
    assert [p.name for p in folder.iterdir()] == ["run.ipynb"]


def test_a_study_says_first_what_will_run_and_last_what_to_open(study):
    status, text, _ = make(study, "study", "JOBS=1")
    lines = [line for line in text.splitlines() if "checked" not in line]  # which is said on stderr
    assert status == 0 and [f"planned {name} quick" for name in NOTEBOOKS] == lines[:3]
    assert lines[-1] == "open results/*/quick"
    assert "planned" not in make(study, "study")[1]
    # A dry run runs nothing.
    age(study, "maskopt_lib/grid.py")
    assert make(study, "-n", "study")[2] == []


def test_one_notebook_runs_after_what_it_reads(study):
    for name in ("22_build_dataset", "31_train_models"):
        (study / "notebooks" / f"{name}.ipynb").write_text("{}")
    status, text, ran = make(study, "notebook", "NB=31")
    assert status == 0 and ran == ["22_build_dataset", "31_train_models"], text
    assert "\n   open results/31_train_models/quick/run.ipynb\n" in text
    (study / "notebooks" / "params" / "11_do_that" / "mine.yaml").write_text("{}")
    assert make(study, "notebook", "NB=11_do_that", "VARIANT=mine")[2] == ["11_do_that"]
    for given in ((), ("NB=77",)):
        status, text, ran = make(study, "notebook", *given)
        assert status != 0 and ran == [] and "there are: 01_do_this" in text


def test_answers_are_made_again_when_a_record_changes(study):
    (study / "notebooks" / "90_results.ipynb").write_text("{}")
    (study / "data_manifest" / "records" / "01_do_this").mkdir(parents=True)
    (study / "data_manifest" / "records" / "01_do_this" / "scores.nc").touch()
    assert make(study, "study", "JOBS=1")[2][0] == "90_results"
    age(study, "data_manifest/records/01_do_this/scores.nc")
    assert make(study, "study")[2] == ["90_results"]


def test_lab_opens_the_notebook_that_is_named(study):
    assert make(study, "lab", "NB=11")[2] == ["11_do_that"]


def test_a_change_of_the_library_makes_all_runs_stale(study):
    make(study, "study")
    age(study, "maskopt_lib/grid.py")
    assert make(study, "study", "JOBS=1")[2] == list(NOTEBOOKS)


def test_a_change_of_one_notebook_reruns_it_and_the_figures(study):
    make(study, "study")
    age(study, "notebooks/params/11_do_that/quick.yaml")
    assert make(study, "study")[2] == ["11_do_that", "91_paper_figures"]


def test_paper_looks_for_the_data_first_and_quick_does_not(study):
    _, _, ran = make(study, "study", "VARIANT=paper")
    assert ran[0].startswith("-m maskopt_lib.data --check --needed-by 01_do_this") and ran[1:] == list(NOTEBOOKS)
    assert (study / "results" / "01_do_this" / "paper" / "run.ipynb").exists()


def test_figures_redraws_without_rerunning(study):
    make(study, "study")
    age(study, "maskopt_lib/grid.py")
    assert make(study, "figures")[2] == ["-m maskopt_lib.study records"]
    asked = make(study, "figures", "VARIANT=paper", "FIG=41_growth", "WIDTH=3.5", "FORMAT=pdf")[2]
    assert asked == ["-m maskopt_lib.study paper --fig 41_growth --width 3.5 --format pdf"]


def test_sweep_hands_grid_and_settings_over_as_they_are(study):
    status, text, ran = make(study, "sweep", "NB=11_do_that", "GRID=kind=a,'b' n=[1,2]", "JOBS=3", "NAME=both")
    assert status == 0, text
    assert ran == ["-m maskopt_lib.runs sweep 11_do_that kind=a,'b' n=[1,2] --variant quick --jobs 3 --name both"]
    python = study / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\nfor given in "$@"; do echo "$given" >> log; done\n')
    assert make(study, "sweep", "NB=11_do_that", "GRID=kind=a b", "NAME=two ü")[2][-1] == "two ü"
    python.write_text(FAKE_PYTHON)
    _, _, ran = make(study, "sweep", "NB=11_do_that", "GRID=grid.yaml", "VARIANT=paper")
    assert ran[0].startswith("-m maskopt_lib.data --check") and ran[1].endswith("grid.yaml --variant paper --jobs 2")


@pytest.mark.parametrize("given", [["NB=11_do_that"], ["GRID=n=1"]])
def test_sweep_says_what_it_needs(study, given):
    status, text, ran = make(study, "sweep", *given)
    assert status != 0 and "make sweep NB=<notebook> GRID=" in text and ran == []


def test_mirror_becomes_absolute(study):
    python = study / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "mirror $MASKOPT_MIRROR" >> log\n')
    for given, absolute in (("a b/ü", study / "a b/ü"), ("../m", study / "../m"), ("/a b/ü", "/a b/ü")):
        assert make(study, "data", f"MASKOPT_MIRROR={given}")[2] == [f"mirror {absolute}"]
