"""Notebooks as sources: clean, explained, parametrised with literals; their variants change only what they define."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from maskopt_lib import study
from maskopt_lib.errors import SchemaError
from maskopt_lib.runs.params import parse_parameters

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
VARIANTS = ("quick", "paper")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[dict]:
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def source(cell: dict) -> str:
    text = "".join(cell["source"])
    # IPython's own lines are not Python.
    return "\n".join("pass" if line.startswith(("%", "!")) else line for line in text.splitlines())


@each_notebook
def test_name_is_stage_and_words(path):
    assert re.fullmatch(r"\d\d(_[a-z0-9]+)+", path.stem)


@each_notebook
def test_no_outputs_are_stored(path):
    for i, cell in enumerate(code_cells(path)):
        assert not cell["outputs"] and cell["execution_count"] is None, f"code cell {i}: run nbstripout {path}"


@each_notebook
def test_kernel_is_the_environments(path):
    kernel = json.loads(path.read_text(encoding="utf-8"))["metadata"]["kernelspec"]
    assert kernel["name"] == "python3"


@each_notebook
def test_begins_with_a_title_and_ends_with_what_was_learnt(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown" and "".join(cells[0]["source"]).startswith("# ")
    assert any(cell["cell_type"] == "markdown" for cell in cells[-3:])


@each_notebook
def test_parameters_are_explained_literals(path):
    parameters = study.read_parameters(path)
    assert all(parameter.comment for parameter in parameters.values()), "say what each parameter means"
    assert parameters["out_dir"].default == f"results/{path.stem}/scratch"


@each_notebook
def test_begins_its_run_by_its_own_name_and_leaves_conventions_to_the_library(path):
    calls = [
        node
        for cell in code_cells(path)
        for node in ast.walk(ast.parse(source(cell)))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("study.begin", "study.start")
    ]
    assert [ast.unparse(call.func) for call in calls] == ["study.begin"]
    assert [ast.unparse(argument) for argument in calls[0].args] == [repr(path.stem), "globals()"]
    text = "".join(source(cell) for cell in code_cells(path))
    assert '"epe_limits_nm"' not in text and "half-open, " not in text, "study.begin says raster and EPE limits"


@each_notebook
def test_no_path_depends_on_the_folder_it_is_run_in(path):
    variants = (ROOT / "notebooks" / "params" / path.stem).glob("*.yaml")
    for file in (path, *variants):
        assert "../" not in file.read_text(encoding="utf-8"), f"{file.name}: say results/..., from the repository"


def test_the_tens_digit_is_the_stage_and_moved_notebooks_name_their_old_number():
    assert {path.stem[0] for path in NOTEBOOKS} == set("0123459")
    old = {"41_large_area": "20_large_area", "42_process_window": "24_process_window"}
    for name, before in (old | {"43_device_benchmark": "25_device_benchmark"}).items():
        first = json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"][0]
        assert f"`{before}`" in "".join(first["source"])


@each_notebook
def test_nothing_is_defined_or_silenced(path):
    for i, cell in enumerate(code_cells(path)):
        for node in ast.walk(ast.parse(source(cell))):
            where = f"{path.name}, code cell {i}"
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), (
                f"{where}: put it in the library"
            )
            if isinstance(node, ast.ImportFrom):
                assert all(alias.name != "*" for alias in node.names), f"{where}: star import"
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                assert text != "sys.path", f"{where}: sys.path"
                assert text not in ("warnings.filterwarnings", "warnings.simplefilter"), f"{where}: silenced warnings"


@each_notebook
def test_no_path_of_somebodys_machine(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not re.match(r"(/[a-z]+/|~|[A-Z]:\\)", node.value), node.value


@each_notebook
@pytest.mark.parametrize("variant", VARIANTS)
def test_variant_changes_only_what_the_notebook_defines(path, variant):
    defaults = study.read_parameters(path)
    changes = study.read_variant(path.stem, variant)
    assert "out_dir" not in changes, "the Makefile names the folder of a run"
    for name, value in changes.items():
        default = defaults[name].default
        # A float may be written as an integer; else the kind must be that of the default.
        kinds = (int, float) if isinstance(default, float) else (type(default),)
        assert default is None or value is None or isinstance(value, kinds), (
            f"{name}: {value!r} in place of {default!r}"
        )


@each_notebook
def test_a_kernel_set_may_be_a_process_file_of_ones_own(path):
    """What a parameter names is looked for from the repository, not from the folder that the notebook runs in."""
    named = {*study.read_parameters(path), "name", "kernels"}  # of a parameter's list, or of the run that is read
    text = "\n".join(source(cell) for cell in code_cells(path))
    bare = [value for value in re.findall(r"(?:optics\.load|load_process)\((\w+)[,)]", text) if value in named]
    assert not bare, f"{path.stem}: study.located() around {', '.join(bare)} finds a file of the user's"


@each_notebook
def test_what_it_says_in_the_end_is_claimed_not_asserted(path):
    last = ast.parse(source(code_cells(path)[-1]))
    claims = [
        node
        for node in ast.walk(last)
        if isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr).startswith("study.claim(run, ")
    ]
    claimed = {id(node) for claim in claims for node in ast.walk(claim) if isinstance(node, ast.Assert)}
    # A bare assertion would fail for whoever changes a parameter, and leaves out the row that it names.
    assert claims and all(id(node) in claimed for node in ast.walk(last) if isinstance(node, ast.Assert))


@each_notebook
def test_rows_of_a_method_are_selected_by_a_dictionary(path):
    for cell in code_cells(path):
        for node in ast.walk(ast.parse(source(cell))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sel":
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                # There `method` is how to look for a label that is not there, and no label selects everything.
                assert given.get("method", "'nearest'") == "'nearest'", ast.unparse(node)


def test_a_variant_without_changes_has_no_file():
    for file in (ROOT / "notebooks" / "params").glob("*/*.yaml"):
        assert yaml.safe_load(file.read_text(encoding="utf-8")), f"{file}: without a file a variant has the defaults"


def test_every_variant_belongs_to_a_notebook():
    known = {path.stem for path in NOTEBOOKS}
    assert {folder.name for folder in (ROOT / "notebooks" / "params").glob("*")} <= known


# What the checks above rest on


def test_parameters_are_parsed_with_their_meaning():
    found = parse_parameters('n: int = 20  # steps\nnames: list = ["a", "b"]  # clips\nx: float = -1.5  # shift\n')
    assert [(p.name, p.default, p.comment) for p in found.values()] == [
        ("n", 20, "steps"),
        ("names", ["a", "b"], "clips"),
        ("x", -1.5, "shift"),
    ]


@pytest.mark.parametrize("line", ["n = 20", "n: int", "n: int = 2 * m", "import os", "n: int = len([1])"])
def test_what_is_no_annotated_literal_is_refused(line):
    with pytest.raises(SchemaError, match="annotated literal"):
        parse_parameters(line)
