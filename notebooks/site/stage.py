"""What the site is made of, laid out as Sphinx reads it: notebooks as they ran, figures, records, cards, modules.

Nothing is computed here: runs come from `results/`, and what has no run there from the committed records.
"""

from __future__ import annotations

import ast
import html
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import yaml

from maskopt_lib import files, study
from maskopt_lib.data import manifest
from maskopt_lib.runs import reference
from maskopt_lib.runs.execute import RUN
from maskopt_lib.runs.paths import root
from maskopt_lib.study import redraw

HERE = Path(__file__).resolve().parent
#: Which run of a notebook its page shows first: the largest scale.
VARIANTS = ("paper", "cpu", "records", "embedded", "quick")
#: Outputs that only tell a live notebook how to draw: no content, and they would ask other machines for scripts.
_LOADERS = {"application/vnd.holoviews_load.v0+json", "application/vnd.holoviews_exec.v0+json"}
_STAGES = {
    "0": "Foundations: optics and metrics",
    "1": "Solvers",
    "2": "A dataset from real designs",
    "3": "Networks",
    "4": "Large areas, process windows, devices",
    "5": "Outside the papers: curved photonics, kernels of your own",
    "9": "Results and figures",
}


def lay_out(source: Path, results: Path) -> None:
    """Write all pages to an empty folder; `extra/` in it is copied to the site as it is."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(HERE / "pages", source)
    for path in sorted(reference.FOLDER.glob("*/*.nc")):
        _copy(path, source / "extra" / "records" / path.parent.name / path.name)
    notebooks(source, results)
    front_page(source, results)
    gallery(source, results)
    cards(source)
    references(source)
    modules(source)
    views(source / "extra" / "masks", results)


def runs(results: Path) -> dict[str, dict[str, Path]]:
    """Notebook -> variant -> folder of a run that went to its end, the largest scale first."""
    found: dict[str, dict[str, Path]] = {path.stem: {} for path in sorted((root() / "notebooks").glob("[0-9]*.ipynb"))}
    for path in sorted(results.glob(f"[0-9][0-9]_*/*/{RUN}")):
        notebook, variant = path.parts[-3:-1]
        if notebook in found and variant != "scratch":
            found[notebook][variant] = path.parent
    order = {name: i for i, name in enumerate(VARIANTS)}
    return {
        name: dict(sorted(each.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))
        for name, each in found.items()
    }


# ---- notebooks -------------------------------------------------------------------------------------------------------


def notebooks(source: Path, results: Path) -> None:
    """One page a run of a notebook; text, code and record of those that have none."""
    folder = source / "notebooks"
    folder.mkdir()
    lines: dict[str, list[str]] = {}
    for name, of_variant in runs(results).items():
        for i, (variant, run_dir) in enumerate(of_variant.items()):
            page = name if i == 0 else f"{name}-{variant}"
            others = [f"[`{v}`]({name if k == 0 else f'{name}-{v}'}.ipynb)" for k, v in enumerate(of_variant) if k != i]
            said = _origin(study.record_of(run_dir), variant) + (f" Other runs: {', '.join(others)}." if others else "")
            nb = _as_it_ran(run_dir / RUN, said)
            nb.cells += _record_cells(name, results)
            if i:
                nb.metadata["orphan"] = True
            nbformat.write(nb, folder / f"{page}.ipynb")
        if not of_variant:
            nbformat.write(_without_run(name, results), folder / f"{name}.ipynb")
        title, question = _title_and_question(root() / "notebooks" / f"{name}.ipynb")
        shown = f"`{next(iter(of_variant))}`" if of_variant else "record"
        lines.setdefault(name[0], []).append(f"| [{name[:2]}]({name}.ipynb) | **{title}** {question} | {shown} |")
    text = ["# Notebooks\n", "Each as it ran, with its outputs. `Shown`: the run on its page.\n"]
    for stage, rows in lines.items():
        text += [f"## {_STAGES.get(stage, stage)}\n", "| | question | shown |", "|---|---|---|", *rows, ""]
    text += ["```{toctree}", ":hidden:", "", *sorted(lines_of(folder)), "```", ""]
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")


def lines_of(folder: Path) -> Iterator[str]:
    """Pages of notebooks that stand in the list: not the further runs of one."""
    for path in folder.glob("*.ipynb"):
        if not json.loads(path.read_text(encoding="utf-8"))["metadata"].get("orphan"):
            yield path.stem


def _as_it_ran(path: Path, said: str) -> nbformat.NotebookNode:
    nb = nbformat.read(path, as_version=4)
    for cell in nb.cells:
        cell.pop("id", None)
        if cell.cell_type == "code":
            shown = [o for o in cell.outputs if not _LOADERS & set(o.get("data", {}))]
            cell.outputs = _as_a_terminal_shows([o for o in shown if "esms-options" not in str(o.get("data", ""))])
            for data in (output.data for output in cell.outputs if "data" in output):
                for mime in {"text/html", "text/markdown"} & set(data):
                    data[mime] = _with_links_of_the_site(data[mime], "/".join(path.parts[-3:-1]))
    return _with_note(nb, path.parts[-3][:2], said)


def _with_links_of_the_site(text: str, run: str) -> str:
    """Links from a run to notebooks, records and its own views, as a page of a folder of the site has them."""
    text = text.replace('href="figures/', f'href="../figures/{run}/')
    text = re.sub(r"(?:\.\./){3}notebooks/(\w+)\.ipynb", r"../notebooks/\1.html", text)
    return text.replace("../../../data_manifest/records/", "../records/")


def _with_note(nb: nbformat.NotebookNode, number: str, said: str) -> nbformat.NotebookNode:
    title, _, text = nb.cells[0].source.partition("\n")
    nb.cells[0].source = f"# {number} {title.removeprefix('# ')}\n\n:::{{note}}\n{said}\n:::\n{text}"
    nb.nbformat_minor = 4  # without ids of cells: the same notebook is the same page
    return nb


def _as_a_terminal_shows(outputs: list[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """What is printed piece by piece as one text, and a bar of progress as it stands at the end."""
    joined: list[nbformat.NotebookNode] = []
    for output in outputs:
        if joined and output.output_type == "stream" and output.get("name") == joined[-1].get("name"):
            joined[-1].text += output.text
        else:
            joined.append(output)
    for output in (output for output in joined if output.output_type == "stream"):
        output.text = re.sub(r"[^\n]*\r(?!\n)", "", output.text)
    return joined


def _without_run(name: str, results: Path) -> nbformat.NotebookNode:
    nb = nbformat.read(root() / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in nb.cells:
        cell.pop("id", None)
    kept = (
        "its text and code, and at the end tables and figures of its record" if _records(name) else "its text and code"
    )
    run = f"`python -m maskopt_lib.runs execute {name}`"
    nb = _with_note(nb, name[:2], f"This machine has no run of this notebook: {kept}. {run} makes one.")
    nb.cells += _record_cells(name, results)
    return nb


def _records(name: str) -> list[Path]:
    return sorted((reference.FOLDER / name).glob("*.nc"))


def _record_cells(name: str, results: Path) -> list[nbformat.NotebookNode]:
    """The committed results of a notebook: where they are from, the tables, the figures, the files."""
    if not (kept := _records(name)):
        return []
    folder = reference.FOLDER / name
    record = study.record_of(study.load_result(folder, kept[0].stem))
    files = ", ".join(f'<a href="../records/{name}/{path.name}">{path.stem}</a>' for path in kept)
    text = ["## The record", _origin(record, "of record"), f"netCDF files: {files}."]
    for table, caption in study.stored_tables(folder).values():
        text.append(study.style(table, caption=caption).to_html())
    for picture, entry, _ in _drawn_from_records(results, name):
        shown = f'src="../figures/records/{name}/{picture.name}" alt="{html.escape(picture.stem)}"'
        text.append(f'<figure><img loading="lazy" {shown}><figcaption>{html.escape(entry.says)}</figcaption></figure>')
    return [nbformat.v4.new_markdown_cell("\n\n".join(text))]


def _origin(record: dict[str, Any], variant: str) -> str:
    """One sentence: which run, when, of which commit, under which conventions, where."""
    said = record["conventions"]
    kernels = said.get("kernels", "")
    told = [
        f"commit `{record['git_commit'][:10]}`" + (", changed since" if record["git_dirty"] else ""),
        f"kernels {', '.join(kernels) if isinstance(kernels, list) else kernels}" if kernels else "",
        f"raster {said['raster']}" if said.get("raster") else "",
        f"{record['device']}, {record['dtype']}, {record['threads']} thread{'s' * (record['threads'] > 1)}",
        str(record["hardware"].get("processor", "processor unknown")),
    ]
    which = "The run" if variant == "of record" else f"Run `{variant}`"
    return f"{which} of {record['created_at'][:10]}: {'; '.join(filter(None, told))}."


def _title_and_question(path: Path) -> tuple[str, str]:
    first = nbformat.read(path, as_version=4).cells[0].source
    question = re.search(r"\*\*Question\.\*\* ([^\n]*?\?)", first)
    return first.splitlines()[0].removeprefix("# "), question[1] if question else ""


# ---- front page ------------------------------------------------------------------------------------------------------


def front_page(source: Path, results: Path) -> None:
    """The first words and, below them, all results: the notebook of answers as it ran."""
    answers = next((each for name, each in runs(results).items() if name == "90_results"), {})
    words = (source / "index.md").read_text(encoding="utf-8")
    if answers:
        variant, run_dir = next(iter(answers.items()))
        nb = _as_it_ran(run_dir / RUN, "")
        said = (
            f"{_origin(study.record_of(run_dir), variant)} [As a notebook](notebooks/90_results.ipynb), with its code."
        )
        nb.cells[0] = nbformat.v4.new_markdown_cell(f"{words}\n\n{said}")
        nb.cells[0].pop("id", None)
        nb.cells = [cell for cell in nb.cells if cell.cell_type == "markdown" or cell.outputs]
        for cell in nb.cells:
            cell.metadata["tags"] = ["remove-input"]
            for data in (output.data for output in cell.get("outputs", []) if "data" in output):
                for mime in {"text/html", "text/markdown"} & set(data):
                    data[mime] = re.sub(r"\.\./(notebooks|records)/", r"\1/", data[mime])
        (source / "index.md").unlink()
        nbformat.write(nb, source / "index.ipynb")
    else:
        scores = study.load_result(reference.FOLDER / "18_rule_aware_ilt", "scores")
        record = study.record_of(scores)
        tables = study.stored_tables(reference.FOLDER / "18_rule_aware_ilt")
        shown = [study.style(t, caption=c).to_html() for n, (t, c) in tables.items() if n.startswith("every_column")]
        text = "\n\n".join([words, "## Every column at once", _origin(record, "of record"), *shown, ""])
        (source / "index.md").write_text(text, encoding="utf-8")


# ---- figures ---------------------------------------------------------------------------------------------------------


def gallery(source: Path, results: Path) -> None:
    """Every figure that was drawn: picture, what is seen, data, record, and the line that draws it again.

    Those drawn from the records (`make figures`) come before those that a run has left.
    """
    text = ["# Figures\n", "Each with what it is drawn from and the line that draws it again.\n"]
    shown = runs(results)
    for notebook, of_variant in shown.items():
        drawn = list(_of_record(source, results, notebook))
        if of_variant and not notebook.startswith("9"):  # those draw what is here already
            variant, run_dir = next(iter(of_variant.items()))
            drawn += _of_run(source, notebook, variant, run_dir)
        if drawn:
            title, _ = _title_and_question(root() / "notebooks" / f"{notebook}.ipynb")
            text += [
                f"## {notebook[:2]} {title}\n",
                "```{raw} html",
                '<div class="gallery">',
                *drawn,
                "</div>",
                "```",
                "",
            ]
    if len(text) == 2:
        text.append("Nothing has been drawn on this machine: `make figures` draws what is of record.")
    folder = source / "figures"
    folder.mkdir(exist_ok=True)
    (folder / "index.md").write_text("\n".join(text), encoding="utf-8")


def _of_record(source: Path, results: Path, notebook: str) -> Iterator[str]:
    """Cards of figures that were drawn from the records of a notebook."""
    for picture, entry, needs in _drawn_from_records(results, notebook):
        links = ", ".join(f'<a href="../records/{notebook}/{path.name}">{path.stem}</a>' for path in needs)
        record = study.record_of(reference.load_result(needs[0].parent, needs[0].stem)) if needs else None
        origin = _origin(record, "of record") if record else "Nothing is read: an example, drawn as it is computed."
        yield _card(
            source, f"records/{notebook}", picture, links, origin, f"make figures FIG={picture.stem}", entry.says
        )


def _drawn_from_records(results: Path, notebook: str) -> Iterator[tuple[Path, redraw.Entry, list[Path]]]:
    """Figures that `make figures` drew of a notebook, what the catalogue says of them, and the records they show."""
    for picture in sorted((results / "figures" / "records").glob(f"{notebook[:2]}_*.png")):
        entry = _entry_of(picture.stem, notebook)
        kept = reference.FOLDER / notebook
        needs = [path for need in entry.needs for path in sorted(kept.glob(f"{need}.nc"))] if entry else []
        if entry and (needs or not entry.needs):  # else of an earlier version, or of records that are gone
            yield picture, entry, needs


def _entry_of(figure: str, notebook: str) -> redraw.Entry | None:
    """What the catalogue says of a figure: the entry whose name is the longest beginning of the figure's."""
    names = {f"{notebook[:2]}_{entry.name}": entry for entry in redraw.CATALOGUE if entry.notebook == notebook}
    return names.get(max((name for name in names if figure.startswith(name)), key=len, default=""))


def _of_run(source: Path, notebook: str, variant: str, run_dir: Path) -> Iterator[str]:
    """Cards of the figures that a run left beside its results."""
    stores = ", ".join(f"{name}.zarr" for name in reference.stored_names(run_dir))
    data = f"results/{notebook}/{variant}: {stores}"
    origin = _origin(study.record_of(run_dir), variant)
    command = f"python -m maskopt_lib.runs execute {notebook} {variant}"
    for picture in sorted((run_dir / "figures").glob("*.png")):
        yield _card(source, f"{notebook}/{variant}", picture, data, origin, command)


def _card(source: Path, at: str, picture: Path, data: str, origin: str, command: str, says: str = "") -> str:
    endings = [path for ending in (".png", ".svg", ".pdf", ".html") if (path := picture.with_suffix(ending)).exists()]
    for path in endings:
        _copy(path, source / "extra" / "figures" / at / path.name)
    links = " ".join(f'<a href="{at}/{path.name}">{path.suffix[1:].upper()}</a>' for path in endings)
    name = html.escape(picture.stem)
    origin = re.sub("`(.*?)`", r"<code>\1</code>", html.escape(origin))
    return (
        f'<figure><a href="{at}/{picture.name}"><img loading="lazy" src="{at}/{picture.name}" alt="{name}"></a>'
        f"<figcaption><b>{name}</b> {links}<br>{html.escape(says)}<details><summary>data and record</summary>"
        f"{data}<br>{origin}</details><pre>{html.escape(command)}</pre></figcaption></figure>"
    )


# ---- masks side by side ----------------------------------------------------------------------------------------------


def views(folder: Path, results: Path) -> None:
    """One script a clip and kernel set: pages opened from disk may read nothing else.

    Other masks under a label that is taken are named after their run.
    """
    merged: dict[tuple[str, str], dict[str, Any]] = {}
    for path in [*sorted(reference.FOLDER.glob("views/*/*.json")), *sorted(results.glob("*/*/views/*/*.json"))]:
        view = files.read_json(path)
        into = merged.setdefault((view["kernels"], view["clip"]), view | {"methods": {}, "records": []})
        into["records"].append(view["record"])
        for name, method in view["methods"].items():
            if into["methods"].get(name, method)["image"] != method["image"]:
                name = f"{name} ({view['record']['notebook'][:2]}, {path.parts[-4]})"
            into["methods"][name] = method
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    for (kernels, clip), view in sorted(merged.items()):
        listed.append({"id": f"{kernels}-{clip}", "clip": clip, "kernels": kernels})
        script = f"maskoptView({json.dumps(view, separators=(',', ':'))});\n"
        (folder / f"{listed[-1]['id']}.js").write_text(script, encoding="utf-8")
    (folder / "index.js").write_text(f"maskoptViews({json.dumps(listed)});\n", encoding="utf-8")


# ---- data and references ---------------------------------------------------------------------------------------------


def cards(source: Path) -> None:
    """Data cards, and the tables that say what goes in."""
    folder = source / "data"
    folder.mkdir(exist_ok=True)
    rows = ["| source | what | licence | files | MB |", "|---|---|---|---|---|"]
    for name, about in yaml.safe_load((manifest.FOLDER / "sources.yaml").read_text(encoding="utf-8")).items():
        text = (manifest.FOLDER / "cards" / f"{name}.md").read_text(encoding="utf-8")
        (folder / f"{name}.md").write_text(_without_local_links(text), encoding="utf-8")
        size = f"{about['n_files']} | {about['bytes'] / 1e6:.2f}"
        rows.append(f"| [{name}]({name}.md) | {about['what']} | {about['licence']} | {size} |")
    for name, path in {"published": "published/README.md", "weights": "weights/README.md"}.items():
        text = (manifest.FOLDER / path).read_text(encoding="utf-8")
        (folder / f"{name}.md").write_text(_without_local_links(text), encoding="utf-8")
    page = folder / "index.md"
    page.write_text(page.read_text(encoding="utf-8").replace("@sources@", "\n".join(rows)), encoding="utf-8")


def _without_local_links(text: str) -> str:
    """Links to files of the repository as plain names: the site does not hold them."""
    return re.sub(r"\[([^\]]+)\]\((?!https?://)[^)]*\)", r"\1", text)


def references(source: Path) -> None:
    """Papers of the study, of its data, and those that the library's docstrings name."""
    cited = yaml.safe_load((root() / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    papers = [f"- {_people(each['authors'])}: *{each['title']}*, {each['year']}. <{each['url']}>" for each in cited]
    of_data: dict[str, list[str]] = {}
    for name, about in yaml.safe_load((manifest.FOLDER / "sources.yaml").read_text(encoding="utf-8")).items():
        for each in about["citation"]:
            of_data.setdefault(each, []).append(f"[{name}](data/{name}.md)")
    data = [f"- {each} ({', '.join(names)})" for each, names in sorted(of_data.items())]
    code = [f"- {text} ({{py:mod}}`{module}`)" for text, module in sorted(set(_named_in_docstrings()))]
    page = source / "references.md"
    text = page.read_text(encoding="utf-8")
    for key, lines in (("papers", papers), ("data", data), ("code", code)):
        text = text.replace(f"@{key}@", "\n".join(lines))
    page.write_text(text, encoding="utf-8")


def _people(authors: list[dict[str, str]]) -> str:
    return ", ".join(each.get("name") or f"{each['given-names']} {each['family-names']}" for each in authors)


def _named_in_docstrings() -> Iterator[tuple[str, str]]:
    for path, module in _sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            found = re.search(r"References\n-+\n(.*?)(?=\n\n|\Z)", ast.get_docstring(node) or "", re.DOTALL)
            if found:
                yield re.sub(r":\w+:|`", "", " ".join(found[1].split())), module


# ---- the library -----------------------------------------------------------------------------------------------------


def _sources() -> Iterator[tuple[Path, str]]:
    for path in sorted((root() / "maskopt_lib").rglob("*.py")):
        name = path.relative_to(root()).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
        if not name.endswith("__main__"):
            yield path, name


def modules(source: Path) -> None:
    """One page a module, packages with the list of theirs."""
    folder = source / "api"
    folder.mkdir(exist_ok=True)
    names = [name for _, name in _sources()]
    for path, name in _sources():
        below = [n for n in names if n.rpartition(".")[0] == name]
        text = [name, "=" * len(name), "", f".. automodule:: {name}", ""]
        if name == "maskopt_lib":
            continue
        if below:
            if offered := _offered(path):
                text += ["Offers " + ", ".join(f":py:obj:`~{name}.{each}`" for each in offered) + ".", ""]
            text += [".. toctree::", "   :maxdepth: 1", "", *(f"   {n}" for n in below), ""]
        (folder / f"{name}.rst").write_text("\n".join(text), encoding="utf-8")
    first = [n for n in names if n.count(".") == 1]
    page = folder / "index.md"
    page.write_text(page.read_text(encoding="utf-8").replace("@modules@", "\n".join(first)), encoding="utf-8")


def _offered(path: Path) -> list[str]:
    """What a package imports to offer it, but for whole modules."""
    found = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.count(".") >= 2:
            found += [alias.asname or alias.name for alias in node.names]
    return sorted(found, key=str.lower)


def _copy(path: Path, to: Path) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, to)
