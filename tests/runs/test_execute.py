"""A notebook executed into its folder: whole or failed and kept, one at a time, and gone with whoever began it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.runs import __main__ as command
from maskopt_lib.runs import execute, params
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.paths import resolved, root

NOTEBOOK = "15_do_this"
PARAMETERS = """\
n_steps: int = 2  # steps
seconds: float = 0.0  # to sleep
out_dir: str = "results/15_do_this/scratch"  # where results go
"""
WORK = """\
import json, os, time
from pathlib import Path
from maskopt_lib.runs.params import parameters
(Path(out_dir) / "pid").write_text(str(os.getpid()))
values = parameters("15_do_this", globals())
(Path(out_dir) / "values.json").write_text(json.dumps(values))
end = time.monotonic() + seconds
while time.monotonic() < end and not (Path(out_dir) / "go").exists():
    time.sleep(0.05)
assert n_steps != 3, "three"
"""


@pytest.fixture
def study_root(tmp_path, monkeypatch):
    """A study of one notebook in a folder with a blank in its name."""
    folder = tmp_path / "a study"
    (folder / "notebooks" / "params" / NOTEBOOK).mkdir(parents=True)
    cells = [
        {"cell_type": "code", "metadata": {"tags": tags}, "source": text, "execution_count": None, "outputs": []}
        for tags, text in ((["parameters"], PARAMETERS), ([], WORK))
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 4}
    (folder / "notebooks" / f"{NOTEBOOK}.ipynb").write_text(json.dumps(notebook))
    monkeypatch.setattr(params, "NOTEBOOKS", folder / "notebooks")
    monkeypatch.setenv("MASKOPT_ROOT", str(folder))
    return folder


def words(folder, **values) -> list[str]:
    """A command that runs the notebook."""
    (folder / "values.yaml").write_text(json.dumps(values))
    command = [sys.executable, "-m", "maskopt_lib.runs", "execute", NOTEBOOK, "quick"]
    return [*command, "--with-parent", str(os.getpid()), "--parameters", str(folder / "values.yaml")]


def start(folder, **values) -> subprocess.Popen:
    """A run in a process of its own."""

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored by what runs behind a shell, these tests perhaps

    return subprocess.Popen(
        words(folder, **values), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=listen
    )


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    assert condition()


def test_a_run_leaves_its_notebook_and_a_failed_one_is_kept_for_reading(study_root, capsys):
    out = study_root / "results" / NOTEBOOK / "quick"
    (study_root / "notebooks" / "params" / NOTEBOOK / "quick.yaml").write_text("n_steps: 3\n")
    with pytest.raises(SystemExit) as ended:
        command.main(["execute", NOTEBOOK])
    assert ended.value.code == 1
    said = capsys.readouterr().out
    assert "AssertionError: three" in said and "FAILED" in said and "partial.ipynb" in said
    assert (out / "partial.ipynb").is_file() and not (out / "run.ipynb").exists()
    (study_root / "notebooks" / "params" / NOTEBOOK / "quick.yaml").unlink()  # no file: the defaults
    command.main(["execute", NOTEBOOK, "quick"], standalone_mode=False)
    assert (out / "run.ipynb").is_file() and not (out / "partial.ipynb").exists()
    assert json.loads((out / "values.json").read_text()) == {"n_steps": 2, "seconds": 0.0, "out_dir": str(out)}


def test_a_quiet_run_says_one_line_and_the_rest_is_in_its_log(study_root, capfd):
    (study_root / "notebooks" / "costs.yaml").write_text(f"{NOTEBOOK}: {{quick: 2}}\n")
    subprocess.run([*words(study_root), "--quiet"], check=True)
    said = capfd.readouterr()
    assert said.out.count("\n") == 1 and NOTEBOOK in said.out and not said.err
    log = study_root / "results" / NOTEBOOK / "quick" / execute.LOG
    assert "Executing Cell 1" in log.read_text()
    # What a kernel says by itself follows what its cells say, and the terminal is as it was.
    with execute._errors_to(log):
        subprocess.run([sys.executable, "-c", "import sys; sys.exit('the kernel says')"], check=False)
    sys.stderr.write("here")
    assert log.read_text().startswith("Input Notebook") and log.read_text().endswith("the kernel says\n")
    assert capfd.readouterr().err == "here"


def test_two_runs_in_one_folder_follow_each_other(study_root):
    first = start(study_root, seconds=600.0)
    out = study_root / "results" / NOTEBOOK / "quick"
    until((out / "pid").exists)
    second = start(study_root, n_steps=5)
    for line in second.stdout:
        if f"waiting for process {first.pid}" in line:
            (out / "go").touch()
            break
    rest = [process.communicate(timeout=120)[0] for process in (first, second)]
    assert first.returncode == second.returncode == 0, rest
    assert json.loads((out / "values.json").read_text())["n_steps"] == 5


def test_a_run_whose_parent_was_gone_before_it_began_to_look_ends(study_root):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = words(study_root, seconds=600.0)
    command[command.index("--with-parent") + 1] = str(gone.pid)
    assert subprocess.run(command, timeout=120, capture_output=True).returncode == 1


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_takes_its_kernel_with_it_and_frees_the_folder(study_root, how):
    process = start(study_root, seconds=600.0)
    out = study_root / "results" / NOTEBOOK / "quick"
    until((out / "values.json").exists)
    kernel = int((out / "pid").read_text())
    process.send_signal(how)
    process.communicate(timeout=60)
    until(lambda: not psutil.pid_exists(kernel))
    assert not (out / "run.ipynb").exists()
    with FolderLock(out):
        pass


def test_a_run_ends_with_the_process_that_began_it(study_root):
    command = words(study_root, seconds=600.0)
    command[command.index("--with-parent") + 1] = "PID"
    named = f"[str(os.getpid()) if word == 'PID' else word for word in {command!r}]"
    program = f"import os, subprocess, time; subprocess.Popen({named}); time.sleep(600)"
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    out = study_root / "results" / NOTEBOOK / "quick"
    until((out / "values.json").exists)
    family = [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert int((out / "pid").read_text()) in family
    parent.kill()
    parent.wait()
    until(lambda: not any(psutil.pid_exists(pid) for pid in family))


def test_a_misspelt_parameter_stops_the_run_in_plain_papermill(study_root):
    notebook = study_root / "notebooks" / f"{NOTEBOOK}.ipynb"
    (study_root / "out").mkdir()
    given = ["-p", "n_stepz", "7", "-p", "out_dir", str(study_root / "out"), "-k", "python3"]
    command = [sys.executable, "-m", "papermill", str(notebook), str(study_root / "out.ipynb"), *given]
    done = subprocess.run(command, cwd=study_root, capture_output=True, text=True)
    assert done.returncode != 0 and "no parameter n_stepz (did you mean n_steps?)" in done.stderr
    assert not (study_root / "out" / "values.json").exists()


def test_unknown_names_are_refused_before_anything_runs(study_root):
    with pytest.raises(UnknownNameError, match=r"n_stepz \(did you mean n_steps\?\)"):
        params.check_names(NOTEBOOK, ["n_stepz"])
    with pytest.raises(MissingDataError, match=r"did you mean 15_do_this\?"):
        params.read_parameters("15_do_thiz")
    with pytest.raises(MissingDataError, match="no variant 'papr'; it has: paper, quick"):
        params.read_variant(NOTEBOOK, "papr")
    assert params.read_variant(NOTEBOOK, "paper") == {}
    with pytest.raises(SystemExit):
        command.main(["execute", NOTEBOOK, "papr"])


def test_paths_begin_at_the_root_wherever_one_is(study_root, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert resolved("results/x") == study_root / "results" / "x"
    assert resolved(tmp_path / "y") == tmp_path / "y"
    monkeypatch.delenv("MASKOPT_ROOT")
    assert (root() / "maskopt_lib" / "runs" / "paths.py").is_file()
