"""The parameters of a notebook, read from its source: names, defaults and what they mean."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs.paths import root

#: The notebooks travel with the repository, as the manifest does.
NOTEBOOKS = root() / "notebooks"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One line of a parameters cell: its default, its annotation and its comment."""

    name: str
    default: Any
    annotation: str
    comment: str


def read_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Parameters of a notebook, in the order of its parameters cell.

    Parameters
    ----------
    notebook : name such as ``"01_validate_optics"``, or path of an ``.ipynb`` file.

    Returns
    -------
    name -> parameter.

    Raises
    ------
    MissingDataError : there is no such notebook.
    SchemaError : it has no cell tagged ``parameters``, more than one, or one that holds more than literals.
    """
    path = Path(notebook) if str(notebook).endswith(".ipynb") else NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        raise MissingDataError(
            f"no notebook at {path}; there are: {', '.join(p.stem for p in NOTEBOOKS.glob('*.ipynb'))}"
        )
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise SchemaError(f"{path.name} has {len(tagged)} cells tagged 'parameters'; it needs exactly one")
    return parse_parameters("".join(tagged[0]["source"]), where=path.name)


def parse_parameters(source: str, *, where: str = "the parameters cell") -> dict[str, Parameter]:
    """Parameters in the source text of a cell.

    Examples
    --------
    >>> parse_parameters("n_steps: int = 20  # gradient steps per clip")["n_steps"]
    Parameter(name='n_steps', default=20, annotation='int', comment='gradient steps per clip')
    """
    lines = source.splitlines()
    found = {}
    for statement in ast.parse(source).body:
        is_literal = isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value
        try:
            default = ast.literal_eval(statement.value) if is_literal else None
        except ValueError:
            is_literal = False
        if not is_literal:
            raise SchemaError(
                f"{where}, line {statement.lineno}: {lines[statement.lineno - 1].strip()!r} is not an annotated "
                "literal; write `name: type = literal  # meaning`, and move what is derived to the next cell"
            )
        _, _, comment = lines[statement.end_lineno - 1][statement.end_col_offset :].partition("#")
        name = statement.target.id
        found[name] = Parameter(
            name=name, default=default, annotation=ast.unparse(statement.annotation), comment=comment.strip()
        )
    return found


def read_variant(notebook: str, variant: str) -> dict[str, Any]:
    """What ``notebooks/params/<notebook>/<variant>.yaml`` changes, every key known to the notebook.

    Raises
    ------
    MissingDataError : the notebook has no such variant.
    UnknownNameError : the file has a key that the parameters cell does not define; papermill would only warn.
    """
    path = NOTEBOOKS / "params" / notebook / f"{variant}.yaml"
    if not path.is_file():
        raise MissingDataError(f"{notebook} has no variant {variant!r}: there is no {path}")
    changes = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(changes, dict):
        raise SchemaError(
            f"{path.name} of {notebook} holds {changes!r}; write `key: value` lines, or {{}} to change nothing"
        )
    known = read_parameters(notebook)
    if unknown := sorted(set(changes) - set(known)):
        raise UnknownNameError(
            f"{notebook}, {path.name}: unknown {', '.join(unknown)}; the parameters cell has: {', '.join(known)}"
        )
    return changes


def parameters(notebook: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a running notebook has for its parameters.

    Parameters
    ----------
    notebook : name such as ``"01_validate_optics"``.
    namespace : its names, ``globals()`` in the notebook.

    Returns
    -------
    name -> value, for the record.
    """
    return {name: namespace[name] for name in read_parameters(notebook)}
