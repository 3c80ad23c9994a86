"""One set of requirements: pyproject.toml, the pinned lock, environment.yml and what is installed."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ROOT / "data_manifest" / "locks"


def required(*extras: str) -> dict[str, Requirement]:
    """What pyproject.toml asks for, the extra `test` and those named included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(r for e in ("test", *extras) for r in project["optional-dependencies"][e])]
    return {canonicalize_name(r.name): r for r in map(Requirement, asked)}


def locked(name: str = "requirements.lock") -> dict[str, Requirement]:
    lines = [line.partition("#")[0].strip() for line in (LOCKS / name).read_text(encoding="utf-8").splitlines()]
    return {canonicalize_name(r.name): r for r in map(Requirement, filter(None, lines))}


def pin(requirement: Requirement) -> Version:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", requirement
    return Version(specifier.version)


@pytest.mark.parametrize("lock", ["requirements.lock", "oracles.lock", "site.lock", "fuzz.lock"])
def test_lock_pins_exact_public_versions_and_names_no_host(lock):
    for requirement in locked(lock).values():
        assert pin(requirement).local is None, f"{requirement}: a local version is only on the index that made it"
        assert requirement.url is None and not requirement.extras, requirement
    text = (LOCKS / lock).read_text(encoding="utf-8")
    assert not re.search(r"https?://|^\s*-|--hash", text, flags=re.MULTILINE)


def test_every_requirement_is_locked_within_its_bounds():
    lock = locked() | locked("site.lock") | locked("fuzz.lock")
    for name, requirement in required("site", "fuzz").items():
        assert name in lock, f"{requirement} is not in the lock: run make lock"
        assert requirement.specifier.contains(pin(lock[name])), f"{requirement}, locked {lock[name]}"


def test_what_builds_the_site_comes_on_top_of_the_lock():
    """It is installed without its dependencies, so each of them must be in one of the two locks."""
    above = locked("site.lock")
    assert not set(locked()) & set(above)
    for name in above:
        try:
            needs = map(Requirement, requires(name) or [])
        except PackageNotFoundError:
            continue
        for need in (need for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})):
            assert canonicalize_name(need.name) in locked() | above, f"{name} needs {need}: run make lock"


def test_lock_says_why_each_package_is_there():
    """pip-compile notes who asks for a package; one that nobody asks for is left over."""
    lines = [line for line in (LOCKS / "requirements.lock").read_text(encoding="utf-8").splitlines() if "==" in line]
    asked = {canonicalize_name(line.partition("==")[0]) for line in lines if "maskopt-study (pyproject.toml)" in line}
    assert asked == set(required())
    assert all("# via" in line for line in lines)


def test_environment_yml_asks_for_the_same():
    listed = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    (pip,) = [item["pip"] for item in listed if isinstance(item, dict)]
    lines = [item for item in listed if isinstance(item, str)] + [item for item in pip if item != "-e ."]
    conda = {canonicalize_name(r.name): r for r in map(Requirement, lines)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(conda.pop("python").specifier) == project["requires-python"]
    assert not conda.pop("make").specifier and not conda.pop("pip").specifier
    assert {name: str(r.specifier) for name, r in conda.items()} == {
        n: str(r.specifier) for n, r in required("site").items()
    }
    assert "-e ." in pip


def test_installed_versions_are_those_of_the_locks():
    """Not so where another environment is used on purpose; then the record of each run says what was installed."""
    wrong, n_installed = [], 0
    for lock in ("requirements.lock", "oracles.lock"):
        for name, requirement in locked(lock).items():
            try:
                # A build of the same release for another processor has a local part, as in 2.13.0+cpu.
                found = Version(version(name)).public
            except PackageNotFoundError:
                continue
            n_installed += 1
            if Version(found) != pin(requirement):
                wrong.append(f"{requirement}: installed {found}")
    if not (ROOT / ".venv" / ".stamp").exists():
        pytest.skip("this environment was not made by `make env`")
    assert not wrong
    assert n_installed == len(locked()) + len(locked("oracles.lock"))


def test_direct_imports_are_declared():
    """What the library imports is asked for in pyproject.toml, not found by luck through another package."""
    import ast
    import sys
    from importlib.metadata import packages_distributions

    owners = packages_distributions()
    imported = set()
    for path in (ROOT / "maskopt_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            imported |= {name.partition(".")[0] for name in names}
    foreign = imported - set(sys.stdlib_module_names) - {"maskopt_lib"}
    declared = set(required())
    undeclared = {name for name in foreign if not {canonicalize_name(o) for o in owners.get(name, [])} & declared}
    assert not undeclared
