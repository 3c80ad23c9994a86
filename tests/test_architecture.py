"""The levels of the library, read from its imports, and what must never be in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "maskopt_lib"

#: A package imports from lower levels only; packages of one level do not know each other.
LEVELS = {
    "errors": 0,
    "grid": 0,
    "files": 0,
    "yaml_files": 0,
    "registry": 0,
    "options": 0,
    "images": 0,
    "data": 1,
    "runs": 2,
    "optics": 2,
    "layout": 2,
    "metrics": 2,
    "litho": 3,
    "opc": 4,
    "models": 4,
    "study": 5,
    "__main__": 6,
}
#: `figures` stands beside the levels: it draws labelled data, so it knows names and units and nothing that computes.
SIDE = {"figures": {"errors", "grid", "files", "data"}}
#: (importing, imported) -> why the rule does not hold there.
EXCEPTIONS = {
    ("grid", "errors"): "exception classes only; errors itself imports nothing",
    ("options", "errors"): "exception classes only; errors itself imports nothing",
    ("images", "options"): "ranges of numbers only",
    ("images", "errors"): "exception classes only; errors itself imports nothing",
    ("files", "errors"): "exception classes only; errors itself imports nothing",
    ("yaml_files", "errors"): "exception classes only; errors itself imports nothing",
    ("registry", "errors"): "exception classes only; errors itself imports nothing",
}
#: Rooms of `study`, in the order of the notebooks' stages: each may import from those before it.
STAGES = ["labelled_images", "solvers", "areas", "dataset", "networks", "applications", "redraw", "__main__"]
#: What may draw: it comes after all results, and nothing of the library imports it.
DRAWS = ("__main__.py", "study/redraw.py", "study/__main__.py")

#: Most modules in a chain of imports, packages counted, and most lines of a file.
LONGEST_CHAIN, LONGEST_FILE = 14, 450
#: How the first line of a longer file begins; the reason follows.
REASON = f"# Above {LONGEST_FILE} lines: "

MODULES = sorted(LIBRARY.rglob("*.py"))


def package_of(path: Path) -> str:
    """`optics` for maskopt_lib/optics/source.py, `grid` for maskopt_lib/grid.py, `` for maskopt_lib/__init__.py."""
    first = path.relative_to(LIBRARY).parts[0]
    return first.removesuffix(".py").replace("__init__", "")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(path: Path) -> set[str]:
    """Full names of all that a module imports, inside functions as well, relative imports resolved."""
    found = set()
    parts = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


def imported_packages(path: Path) -> set[str]:
    names = [name.split(".") for name in imports(path)]
    return {name[1] for name in names if name[0] == "maskopt_lib" and len(name) > 1} - {"__version__"}


def graph() -> dict[str, set[str]]:
    """Module -> modules of the library that it imports; of `from package import name` the module, else the package."""
    names = {name_of(path).removesuffix(".py").removesuffix("/__init__").replace("/", "."): path for path in MODULES}

    def module(full: str) -> str:
        return full if full in names else full.rpartition(".")[0]

    return {name: {module(full) for full in imports(path)} & set(names) - {name} for name, path in names.items()}


def calls(path: Path):
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_package_has_a_level():
    assert {package_of(path) for path in MODULES} - {""} <= set(LEVELS) | set(SIDE)


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_downwards_only(path):
    here = package_of(path)
    for other in imported_packages(path) - {here}:
        if (here, other) in EXCEPTIONS:
            continue
        if here == "":
            pytest.fail(f"maskopt_lib/__init__.py imports {other}: importing the library must not import all of it")
        elif here in SIDE:
            assert other in SIDE[here], f"{here} may import {sorted(SIDE[here])}, not {other}"
        else:
            may_draw = other not in SIDE or path.relative_to(LIBRARY).as_posix() in DRAWS
            assert may_draw, f"{here} imports {other}: figures come after results, the library draws nothing"
            assert LEVELS.get(other, 0) < LEVELS[here], (
                f"{here} (level {LEVELS[here]}) imports {other} (level {LEVELS[other]})"
            )


def test_the_stages_of_study_follow_each_other():
    for path in (LIBRARY / "study").rglob("*.py"):
        here = path.relative_to(LIBRARY / "study").parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        names = [name.split(".") for name in imports(path) if name.startswith("maskopt_lib.study.")]
        for other in {name[2] for name in names} - {here}:
            assert STAGES.index(other) < STAGES.index(here), f"{name_of(path)} imports study.{other}"


def test_no_circle_and_no_long_chain_of_imports():
    imported = graph()
    try:
        order = list(TopologicalSorter(imported).static_order())
    except CycleError as error:
        pytest.fail("modules import each other in a circle: " + " < ".join(error.args[1]))
    below: dict[str, list[str]] = {}
    for name in order:
        below[name] = [name, *max((below[other] for other in imported[name]), key=len, default=[])]
    chain = max(below.values(), key=len)
    assert len(chain) <= LONGEST_CHAIN, (
        f"a chain of {len(chain)} modules, more than {LONGEST_CHAIN}; import the module that is needed and not its "
        "package, and let constants and small types stand where the level is lowest:\n  " + "\n  > ".join(chain)
    )


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_file_is_long_without_a_reason(path):
    lines = path.read_text(encoding="utf-8").splitlines()
    has_reason = lines[0].startswith(REASON) and len(lines[0]) > len(REASON)
    assert len(lines) <= LONGEST_FILE or has_reason, (
        f"{name_of(path)} has {len(lines)} lines, more than {LONGEST_FILE}: divide it by subject, or say why "
        f"not on its first line, {REASON!r} and the reason"
    )


def test_exceptions_are_used_and_say_why():
    used = {(package_of(path), other) for path in MODULES for other in imported_packages(path)}
    assert set(EXCEPTIONS) <= used and all(EXCEPTIONS.values())


@pytest.mark.parametrize("package", ["maskopt_lib", "maskopt_lib.figures", "maskopt_lib.data", "maskopt_lib.layout"])
def test_what_needs_no_torch_does_not_import_it(package):
    program = f"import sys, {package}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0, f"{package} imports torch"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_pickles(path):
    roots = {name.partition(".")[0] for name in imports(path)}
    assert not roots & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
    for node, function, keywords in calls(path):
        where = f"{name_of(path)}:{node.lineno}"
        if function.endswith("torch.load"):
            assert keywords.get("weights_only") == "True", f"{where}: torch.load without weights_only=True"
        if function in ("np.load", "numpy.load"):
            assert keywords.get("allow_pickle") == "False", f"{where}: say allow_pickle=False"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_global_state(path):
    for node in ast.walk(tree(path)):
        where = f"{name_of(path)}:{getattr(node, 'lineno', 0)}"
        assert not isinstance(node, ast.Global), f"{where}: a global"
        if isinstance(node, ast.Attribute):
            assert ast.unparse(node) != "sys.path", f"{where}: sys.path"
        if isinstance(node, ast.FunctionDef):
            caches = {ast.unparse(d).partition("(")[0].rpartition(".")[2] for d in node.decorator_list}
            assert not caches & {"cache", "lru_cache"}, f"{where}: a global cache; let an object hold what it computed"
    for node, function, _ in calls(path):
        where = f"{name_of(path)}:{node.lineno}"
        assert "set_default" not in function, f"{where}: {function} changes a setting for everyone"
        assert function not in ("warnings.filterwarnings", "warnings.simplefilter"), f"{where}: silences for everyone"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_work_at_import(path):
    """A module defines; it neither loops, nor opens, nor calls for effect, when it is imported."""
    defining = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    for node in tree(path).body:
        where = f"{name_of(path)}:{node.lineno}"
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_guard = isinstance(node, ast.If) and ast.unparse(node.test) in ("__name__ == '__main__'", "TYPE_CHECKING")
        assert isinstance(node, defining) or is_text or is_guard, f"{where}: {ast.unparse(node)[:60]!r}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_module_says_what_it_is(path):
    assert ast.get_docstring(tree(path)), f"{name_of(path)} has no docstring"


@pytest.mark.parametrize("path", [p for p in MODULES if p.name != "__main__.py"], ids=name_of)
def test_library_does_not_print(path):
    """Progress is a bar, a result is returned; only a `__main__` talks to a terminal."""
    assert not [node.lineno for node, function, _ in calls(path) if function == "print"]
