"""The wheel, as it works where there is no repository: in another folder, whose name asks for quotes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import outside_packages
import pytest
from klayout import db

ROOT = Path(__file__).resolve().parents[1]
#: What of the manifest the repository alone needs.
OF_THE_REPOSITORY = {"records", "locks"}


def pip(*arguments: object) -> None:
    quiet = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *map(str, arguments[:1]), *quiet, *map(str, arguments[1:])],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Folder of a wheel that was built from the repository's files and installed."""
    folder = tmp_path_factory.mktemp("ein Rad ü")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("maskopt_lib", "data_manifest"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", *OF_THE_REPOSITORY))
    pip("wheel", "--no-build-isolation", "--wheel-dir", folder / "wheel", folder)
    (wheel,) = (folder / "wheel").glob("*.whl")
    assert wheel.stat().st_size < 10e6
    pip("install", "--target", folder / "site packages", wheel)
    return folder / "site packages"


def in_a_folder(installed: Path, folder: Path, *arguments: object) -> str:
    """Run Python where the installed library comes first, and return what it says."""
    paths = os.pathsep.join([str(installed), str(folder)])
    environment = os.environ | {"PYTHONPATH": paths, "MASKOPT_CACHE": str(folder / "a cache ü")}
    environment |= {name: "http://127.0.0.1:9" for name in ("http_proxy", "https_proxy")}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.realdata  # a network looks through the contest's kernels, or says that it has none
def test_every_door_works_from_the_wheel(installed, tmp_path):
    in_a_folder(installed, tmp_path, ROOT / "tests" / "helpers" / "use_doors.py", installed)


def test_commands_work_from_the_wheel(installed, tmp_path):
    assert "Commands:" in in_a_folder(installed, tmp_path, "-m", "maskopt_lib", "--help")
    (script,) = (installed / "bin").glob("maskopt*")
    assert "version" in in_a_folder(installed, tmp_path, script, "--version")
    # From somebody's file and process to a mask, and what was written is read again.
    drawing = db.Layout()
    drawing.create_cell("TOP").shapes(drawing.layer(37, 4)).insert(db.Box(0, 0, 200, 80))
    drawing.write(str(tmp_path / "mein Chip ü.gds"))
    (tmp_path / "mein.yaml").write_text(
        "{optics: {wavelength_nm: 193, na: 0.9, source: {shape: circular, sigma: 0.6}},\n"
        " field: {period_nm: 1024, pixel_nm: 4}, layers: {wg: [37, 4]}}\n"
    )
    asked = ("mein Chip ü.gds", "--layer", "wg", "--process", "mein.yaml")
    made = in_a_folder(
        installed, tmp_path, script, "optimize", *asked, "--method", "identity", "--contours", "pixel", "--out", "m.oas"
    )
    assert json.loads(made)["file"]["area_nm2"] == 200 * 80
    scored = json.loads(in_a_folder(installed, tmp_path, script, "score", "m.oas", *asked))
    assert scored["l2_nm2"] == json.loads(made)["scores"]["identity"]["l2_nm2"]
    assert json.loads(in_a_folder(installed, tmp_path, script, "info", "m.oas"))["layers"].keys() == {"110/0", "111/0"}


def test_a_solver_and_a_network_of_another_package_are_known_to_the_wheel(installed, tmp_path):
    theirs = outside_packages.write(tmp_path)
    in_a_folder(installed, theirs, ROOT / "tests" / "helpers" / "use_plugins.py", theirs)


def test_the_wheel_has_every_module_and_what_of_the_manifest_is_read(installed):
    def files(folder: Path) -> set[Path]:
        return {p.relative_to(folder) for p in folder.rglob("*") if p.is_file() and p.suffix not in (".pyc", ".pyi")}

    manifest = {path for path in files(ROOT / "data_manifest") if path.parts[0] not in OF_THE_REPOSITORY}
    assert files(installed / "maskopt_lib" / "data_manifest") == manifest
    modules = {path for path in files(ROOT / "maskopt_lib") if path.suffix == ".py"}
    assert {p for p in files(installed / "maskopt_lib") if p.parts[0] != "data_manifest"} == modules


def test_torch_is_pinned_in_the_lock_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert not [asked for asked in project["dependencies"] if "==" in asked]
