"""The site's pages before Sphinx: what is laid out from runs and records, and the programs of the how-to pages."""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path

import nbformat
import pytest

from maskopt_lib import files, models, opc
from maskopt_lib.runs import reference

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "notebooks" / "site"
HOW_TO = sorted((SITE / "pages" / "how_to").glob("*.md"))


@pytest.fixture(scope="module")
def stage():
    sys.path.insert(0, str(SITE))
    try:
        import stage

        yield stage
    finally:
        sys.path.remove(str(SITE))
        sys.modules.pop("stage", None)


@pytest.fixture(scope="module")
def from_records(stage, tmp_path_factory):
    """Pages of a machine that has run nothing."""
    folder = tmp_path_factory.mktemp("site")
    stage.lay_out(folder / "source", folder / "results")
    return folder / "source"


def a_run(results: Path, notebook: str, variant: str, figures: tuple[str, ...] = ()) -> Path:
    """A run as the engine leaves it: one cell that shows a bar of progress, a loader of scripts and a number."""
    folder = results / notebook / variant
    (folder / "figures").mkdir(parents=True)
    loader = {"application/vnd.holoviews_load.v0+json": "", "application/javascript": "load()"}
    outputs = [
        nbformat.v4.new_output("stream", text="\rmasks: 0%"),
        nbformat.v4.new_output("stream", text="\rmasks: 100%\n7 masks\n"),
        nbformat.v4.new_output("display_data", loader),
        nbformat.v4.new_output("execute_result", {"text/plain": "42"}),
    ]
    cells = [nbformat.v4.new_markdown_cell("# A title\n\n**Question.** What?"), nbformat.v4.new_code_cell("1")]
    cells[1].outputs = outputs
    nbformat.write(nbformat.v4.new_notebook(cells=cells), folder / "run.ipynb")
    record = {"git_commit": "0123456789abcdef", "git_dirty": False, "created_at": "2026-01-02T03:04:05+00:00"}
    record |= {
        "conventions": {"kernels": ["embedded"]},
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "hardware": {},
    }
    files.write_json(folder / "record.json", record)
    for name in figures:
        (folder / "figures" / f"{name}.png").write_bytes(b"png")
        (folder / "figures" / f"{name}.svg").write_bytes(b"svg")
    return folder


def test_every_notebook_has_a_page_and_says_that_it_did_not_run_here(from_records):
    names = {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert {path.stem for path in (from_records / "notebooks").glob("*.ipynb")} == names
    page = nbformat.read(from_records / "notebooks" / "11_ilt_iccad13.ipynb", as_version=4)
    assert "no run of this notebook" in page.cells[0].source
    assert not any(cell.outputs for cell in page.cells if cell.cell_type == "code")
    assert "## The record" in page.cells[-1].source and "26,315.7" in page.cells[-1].source


def test_every_module_and_every_card_has_a_page(from_records):
    modules = {path.stem for path in (from_records / "api").glob("*.rst")}
    assert {"maskopt_lib.optics", "maskopt_lib.opc.rule_aware"} <= modules and "maskopt_lib" not in modules
    cards = {path.name for path in (ROOT / "data_manifest" / "cards").glob("*.md")}
    assert cards < {path.name for path in (from_records / "data").glob("*.md")}
    assert not list(from_records.rglob("*@*")) and "@" not in (from_records / "references.md").read_text()


def test_a_run_is_shown_as_it_ran_without_loaders_and_with_bars_at_their_end(stage, tmp_path):
    a_run(tmp_path / "results", "15_ilt_ablation", "quick")
    a_run(tmp_path / "results", "15_ilt_ablation", "paper")
    a_run(tmp_path / "results", "15_ilt_ablation", "scratch")
    stage.lay_out(tmp_path / "source", tmp_path / "results")
    pages = sorted(path.stem for path in (tmp_path / "source" / "notebooks").glob("15_*.ipynb"))
    assert pages == ["15_ilt_ablation", "15_ilt_ablation-quick"], "the larger scale first, trials not at all"
    page = nbformat.read(tmp_path / "source" / "notebooks" / "15_ilt_ablation.ipynb", as_version=4)
    assert "Run `paper` of 2026-01-02: commit `0123456789`" in page.cells[0].source
    assert "[`quick`](15_ilt_ablation-quick.ipynb)" in page.cells[0].source
    stream, result = page.cells[1].outputs
    assert stream.text == "masks: 100%\n7 masks\n" and result.data["text/plain"] == "42"


def test_a_figure_comes_with_data_record_and_the_line_that_draws_it(stage, tmp_path):
    a_run(tmp_path / "results", "15_ilt_ablation", "quick", ("steps",))
    of_record = tmp_path / "results" / "figures" / "records" / "15_history.png"
    of_record.parent.mkdir(parents=True)
    of_record.write_bytes(b"png")
    stage.gallery(tmp_path / "source", tmp_path / "results")
    page = (tmp_path / "source" / "figures" / "index.md").read_text(encoding="utf-8")
    assert "Run <code>quick</code> of 2026-01-02" in page and 'src="15_ilt_ablation/quick/steps.png"' in page
    assert "<pre>python -m maskopt_lib.runs execute 15_ilt_ablation quick</pre>" in page
    assert "<pre>make figures FIG=15_history</pre>" in page and 'href="../records/15_ilt_ablation/histories.nc"' in page
    assert (tmp_path / "source" / "extra" / "figures" / "15_ilt_ablation" / "quick" / "steps.svg").exists()
    assert (tmp_path / "source" / "extra" / "figures" / "records" / "15_ilt_ablation" / "15_history.png").exists()


def test_views_of_runs_and_records_are_merged_by_clip_and_kernels(stage, tmp_path):
    methods = {"mine": {"image": "a"}, "CurvyILT": {"image": "b"}}
    view = {"clip": "demo-metal-tips", "kernels": "embedded", "methods": methods, "record": {"notebook": "18_a"}}
    files.write_json(tmp_path / "results" / "18_a" / "quick" / "views" / "embedded" / "demo-metal-tips.json", view)
    stage.views(tmp_path / "masks", tmp_path / "results")
    listed = json.loads((tmp_path / "masks" / "index.js").read_text()[len("maskoptViews(") : -3])
    assert len(listed) == len(list(reference.FOLDER.glob("views/*/*.json")))
    script = (tmp_path / "masks" / "embedded-demo-metal-tips.js").read_text()
    merged = json.loads(script[len("maskoptView(") : -3])
    assert {"mine", "CurvyILT", "CurvyILT (18, quick)"} < set(merged["methods"]) and len(merged["records"]) == 2


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_programs_of_how_to_pages_run(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for registry in (opc.METHODS, models.MODELS):  # what a page registers is gone after it
        monkeypatch.setattr(registry, "_things", dict(registry._things))
    names: dict = {"__name__": "how_to"}
    for program in re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(program, path.name, "exec", dont_inherit=True), names)


@pytest.mark.parametrize("path", HOW_TO, ids=lambda path: path.stem)
def test_how_to_pages_name_notebooks_targets_and_parameters_that_exist(path):
    text = path.read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for notebook in re.findall(r"\b\d\d_[a-z0-9_]+", text):
        assert (ROOT / "notebooks" / f"{notebook}.ipynb").exists(), notebook
    for target in re.findall(r"^make ([a-z-]+)", text, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_docstrings_quote_shapes_that_begin_with_a_star():
    """Else the site's builder takes the star for the begin of an emphasis, as it takes bars for a substitution."""
    for path in (ROOT / "maskopt_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                prose = re.sub(r"``[^`]*``|(?m:^ *(?:>>>|\.\.\.).*)", "", ast.get_docstring(node) or "")
                prose = re.sub(r"::\n\n(?:(?: +.*)?\n)*", "", prose + "\n")
                found = re.search(r"\(\*[a-z,]|(?<![\w|])\|\w+\|", prose)
                assert not found, f"{path.name}: write ``{found[0]}...``"
