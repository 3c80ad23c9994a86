"""The parameters of a notebook, read from its source: names, defaults and what they mean."""

import ast
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskopt_lib import yaml_files
from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.runs.paths import root
from maskopt_lib.yaml_files import near

#: The notebooks travel with the repository, as the manifest does.
NOTEBOOKS = root() / "notebooks"
#: Scales that every notebook has; without a file of that name it runs with its defaults.
VARIANTS = ("quick", "paper")
# How the cell begins that papermill puts behind the parameters cell.
_INJECTED = "# Parameters\n"


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One line of a parameters cell: its default, its annotation and its comment."""

    name: str
    default: Any
    annotation: str
    comment: str


def read_parameters(notebook: str | Path) -> dict[str, Parameter]:
    """Parameters of a notebook by name, in the order of its parameters cell.

    Parameters
    ----------
    notebook : name such as ``"01_validate_optics"``, or path of an ``.ipynb`` file.

    Raises
    ------
    MissingDataError : there is no such notebook.
    SchemaError : it has no cell tagged ``parameters``, more than one, or one that holds more than literals.
    """
    path = path_of(notebook)
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise SchemaError(f"{path.name} has {len(tagged)} cells tagged 'parameters'; it needs exactly one")
    return parse_parameters("".join(tagged[0]["source"]), where=path.name)


def path_of(notebook: str | Path) -> Path:
    """Path of a notebook, by its name or path.

    Raises
    ------
    MissingDataError : there is no such notebook; lists those that there are.
    """
    path = Path(notebook) if str(notebook).endswith(".ipynb") else NOTEBOOKS / f"{notebook}.ipynb"
    if not path.is_file():
        there = sorted(p.stem for p in NOTEBOOKS.glob("*.ipynb"))
        raise MissingDataError(f"no notebook at {path}{near(path.stem, there)}; there are: {', '.join(there)}")
    return path


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

    Nothing where there is no such file and the variant is one of :data:`VARIANTS`: it has the defaults then.

    Raises
    ------
    MissingDataError : the notebook has no such variant.
    UnknownNameError : the file has a key that the parameters cell does not define; papermill would only warn.
    """
    notebook = path_of(notebook).stem
    path = NOTEBOOKS / "params" / notebook / f"{variant}.yaml"
    if not path.is_file():
        known = sorted({*VARIANTS, *(p.stem for p in path.parent.glob("*.yaml"))})
        if variant not in VARIANTS:
            raise MissingDataError(f"{notebook} has no variant {variant!r}; it has: {', '.join(known)}")
        return {}
    return yaml_files.read(path).check_keys(read_parameters(notebook))


def check_names(notebook: str, names: Iterable[str], known: Mapping[str, Parameter] | None = None) -> None:
    """See to it that a notebook has parameters of some names.

    Raises
    ------
    UnknownNameError : it has not; names the nearest, and lists what there is.
    """
    known = read_parameters(notebook) if known is None else known
    if unknown := [str(name) for name in names if name not in known]:
        raise UnknownNameError(
            f"{notebook}: no parameter {', '.join(unknown)}{near(unknown[0], known)}; "
            f"the parameters cell has: {', '.join(known)}"
        )


def parameters(notebook: str, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a running notebook has for its parameters, by name, for the record.

    Parameters
    ----------
    notebook : name such as ``"01_validate_optics"``.
    namespace : its names, ``globals()`` in the notebook.

    Raises
    ------
    UnknownNameError : papermill was given a parameter that the notebook does not have; it only warns itself, and the
        run would go on with the default.
    """
    known = read_parameters(notebook)
    for cell in namespace.get("In", ()):
        if cell.startswith(_INJECTED):
            given = [node.targets[0].id for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            check_names(notebook, given, known)
    return {name: namespace[name] for name in known}
