"""README: short, its numbers are those of the committed records, its snippets run, its links lead somewhere."""

from __future__ import annotations

import math
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from maskopt_lib import layout, models, opc, study, yaml_files
from maskopt_lib.__main__ import main
from maskopt_lib.runs import reference

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(python)?\n(.*?)```", README, re.DOTALL)
PYTHON = [text for language, text in BLOCKS if language]
COMMANDS = [line.partition("  #")[0].strip() for language, text in BLOCKS if not language for line in text.splitlines()]
ROWS = [[c.strip(" *") for c in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]
SCORED = [row for row in ROWS if len(row) == 9 and row[1][:1].isdigit()]


def agrees(text: str, value: float) -> bool:
    """Whether a printed number is the value, rounded to the digits that are printed."""
    return float(text) == pytest.approx(value, abs=0.51 * 10 ** -len(text.partition(".")[2]))


def test_it_is_short():
    assert len(README.splitlines()) <= 130 and len(SCORED) == 11


@pytest.mark.parametrize("row", SCORED, ids=lambda row: row[0])
def test_rows_are_the_stored_ones(row):
    notebook = "18_rule_aware_ilt" if row[0].startswith("rule-aware") else "11_ilt_iccad13"
    scores = study.load_result(reference.FOLDER / notebook, "scores").sel({"kernels": "iccad13", "method": row[0]})
    means, worst = scores.mean("sample"), scores.min("sample")
    values = [means[name] for name in ("l2_nm2", "pvb_nm2", "epe15", "epe3", "shots")]
    values += [worst["msa_nm2"], worst["msd_nm"], means["runtime_s"]]
    assert scores.sizes == {"sample": 10}
    pairs = list(zip(row[1:], map(float, values), strict=True))
    is_stored = all(math.isnan(stored) if text == "–" else agrees(text, stored) for text, stored in pairs)
    digits = [len(text.partition(".")[2]) for text, _ in pairs]
    renewed = " | ".join(f"{stored:.{n}f}" for (_, stored), n in zip(pairs, digits, strict=True))
    assert is_stored, f"the record has | {row[0]} | {renewed} |"


def test_the_picture_is_the_records_and_its_numbers_are_stored():
    folder = reference.FOLDER / "00_first_mask"
    before, after = (study.load_result(folder, "scores").isel(sample=i) for i in (0, 1))
    l2, edges, broken = re.search(
        r"\*\*(\d+ → \d+) nm²\*\*,\s.*?\*\*(\d+ → \d+)\*\*, shapes .*? \*\*(\d+)\*\*", README, re.DOTALL
    ).groups()
    assert l2 == f"{float(before['l2_nm2']):.0f} → {float(after['l2_nm2']):.0f}"
    assert edges == f"{float(before['epe15']):.0f} → {float(after['epe15']):.0f}"
    deck = study.read_deck("curvilinear")
    assert broken == "0" and after["msa_nm2"] >= deck["msa_nm2"] and after["msd_nm"] >= deck["msd_nm"]
    for name in reference.PICTURES["00_first_mask"]:
        assert f"]({(folder / name).relative_to(ROOT).as_posix()}.png)" in README
        assert f"{name}.png" in (folder / reference.LIST).read_text()


def test_times_are_those_that_were_seen():
    costs = yaml_files.read(ROOT / "notebooks" / "costs.yaml").value
    hours = {name: sum(cost.get(name, 0) for cost in costs.values()) / 3600 for name in ("quick", "paper", "cpu")}
    assert 10 < 60 * hours["quick"] / 2 < 20, "a quarter of an hour, two notebooks at a time"
    assert 8 < hours["paper"] < 13, "ten hours"
    assert 18 < hours["cpu"] < 28, "a day more"


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 30
    for link in links:
        assert (ROOT / link).exists(), link
    linked = {Path(link).stem for link in links if link.endswith(".ipynb")}
    assert linked == {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}, "every notebook is named once"


def test_the_nine_lines_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in PYTHON[0].splitlines() if line]) < 10
    exec(compile(PYTHON[0], "README.md", "exec"), {})
    assert "l2_nm2" in capsys.readouterr().out and Path("mask.oas").stat().st_size > 100


def test_a_gds_becomes_an_aerial_image_in_one_screen(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len([line for line in PYTHON[1].splitlines() if line]) <= 8
    names: dict = {}
    exec(compile(PYTHON[1], "README.md", "exec"), names)
    aerial, target = names["aerial"].numpy(), names["target"].values
    assert aerial.shape == (3, *target.shape) and aerial[0][target > 0].mean() > 3 * aerial[0][target == 0].mean()


def test_the_solver_and_the_network_run():
    try:
        exec(compile(PYTHON[2], "README.md", "exec"), {})
        target = np.zeros((256, 256), np.uint8)
        target[100:150, 60:190] = 1
        from maskopt_lib import litho, optics

        result = opc.solve(target, litho.Simulator(optics.load("embedded")), method="grown")
        assert result.mask.sum() == (50 + 16) * (130 + 16)
        network = models.build("one_layer", pixel_nm=8)
        assert models.predict(network, np.zeros((1, 1024, 1024), np.uint8)).shape == (1, 1024, 1024)
    finally:
        opc.METHODS._things.pop("grown", None)
        models.MODELS._things.pop("one_layer", None)


def test_the_command_makes_a_mask(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    target = np.zeros((800, 800), np.uint8)
    target[300:400, 200:600] = 1
    layout.write_mask(target, "chip.gds", layer=(11, 0), contours="pixel")
    (command,) = (line for line in COMMANDS if line.startswith("maskopt "))
    done = CliRunner().invoke(main, shlex.split(command)[1:])
    assert done.exit_code == 0, done.output
    assert Path("mask.oas").exists() and Path("rules.lyrdb").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="GNU make is not installed")
@pytest.mark.parametrize("command", [line for line in COMMANDS if line.startswith("make ")])
def test_make_knows_the_command(command, tmp_path):
    for name in ("Makefile", "pyproject.toml", "notebooks", "data_manifest/locks"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(ROOT / name)
    words = [word for word in shlex.split(command) if word != "VARIANT=mine"]  # whose file is the reader's
    done = subprocess.run([*words, "-n"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "python" in done.stdout, done.stderr


def test_every_command_is_tested():
    assert {line.split()[0] for line in COMMANDS if line} == {"make", "maskopt"}
