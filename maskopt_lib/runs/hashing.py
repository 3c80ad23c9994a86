"""Keys of stored work: hashes of values, and of the source text that a result depends on.

A stored mask is taken again only while the code that made it acts the same. Comments, docstrings, the layout of the
text and where in the library a module stands do not count, and neither does what a module does not import: work on one
solver leaves the masks of the others, and a module may move. Which module says what does count: two that define the
same name each have their own.
"""

import ast
import hashlib
import json
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from maskopt_lib.errors import SchemaError

_KEY_DIGITS = 16
_PACKAGE = Path(__file__).resolve().parents[1]
_ROOT = _PACKAGE.parent


def hashed(*pieces: bytes | list) -> str:
    """SHA-256 of bytes and plain values."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece if isinstance(piece, bytes) else json.dumps(piece, sort_keys=True, default=repr).encode())
    return digest.hexdigest()


def key_of(*pieces: bytes | list) -> str:
    """Short hash of all that determines a piece of work, for its file name."""
    return hashed(*pieces)[:_KEY_DIGITS]


def source_hash(modules: Iterable[str], *, without: Collection[str] = (), follow: bool = True) -> str:
    """SHA-256 of what modules, and the modules of the library that they import, say.

    Parameters
    ----------
    modules : full names, such as ``"maskopt_lib.opc.curvy"``; of other packages what they import from their own counts
        as well.
    without : names in the first module whose assignments do not count, unless a function or class there uses them.
    follow : also the modules that they import, and those that these import.

    Examples
    --------
    >>> source_hash(["maskopt_lib.grid"]) == source_hash(["maskopt_lib.grid"], follow=False)
    False
    """
    found = list(dict.fromkeys(modules))  # grows while it is gone through
    packages = {_PACKAGE.name, *(module.partition(".")[0] for module in found)}
    texts: list[list] = []
    for module in found:
        tree = ast.parse(_file_of(module).read_text(encoding="utf-8"))
        imported = _imported(tree, module, packages)
        if follow:
            found += [name for name in imported if name not in found]
        # A module is named by its place in the order in which they are met, which stays when it moves.
        links = [[found.index(name) if follow else name.rpartition(".")[2], bound] for name, bound in imported.items()]
        texts.append([links, _meaning(tree, without if module == found[0] else ())])
    return hashed(texts)


def library_hash() -> str:
    """SHA-256 of what all modules of the library say."""
    files = sorted(_PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return source_hash(names, follow=False)


def _file_of(module: str) -> Path:
    """Where a module's text is: of the library by its name, of a solver or network from outside as it was imported."""
    top = module.partition(".")[0]
    root = _ROOT
    if top != _PACKAGE.name:
        file = getattr(sys.modules.get(top), "__file__", None)
        if file is None:
            raise SchemaError(
                f"{module!r} is in no file, so nothing tells whether stored work was made by it; put the solver or "
                "network into a module of its own and import that"
            )
        if top == "__main__":
            return Path(file)
        root = Path(file).parents[1 if Path(file).stem == "__init__" else 0]
    path = root.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(tree: ast.Module, module: str, packages: Collection[str]) -> dict[str, list]:
    """Modules of some packages that a module imports -> [name there, name here] of all that it takes from them.

    Of `from package import name` it is the module of that name, or the package.
    """
    found: dict[str, list] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found.setdefault(alias.name, []).append(["", alias.asname and "as " + alias.asname])
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = ".".join([*(parts[: len(parts) - node.level] if node.level else ()), *filter(None, [node.module])])
            for alias in node.names:
                is_module = _is_in(packages, full := f"{base}.{alias.name}")
                here = alias.asname or alias.name
                found.setdefault(full if is_module else base, []).append(["" if is_module else alias.name, here])
    return {name: bound for name, bound in found.items() if _is_in(packages, name)}


def _is_in(packages: Collection[str], module: str) -> bool:
    return module.partition(".")[0] in packages and _file_of(module).exists()


def _meaning(tree: ast.Module, without: Collection[str]) -> list[str]:
    """Statements without comments, docstrings, imports from the library and what is left out; changes the tree."""
    inside = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    used = {name.id for node in inside for name in ast.walk(node) if isinstance(name, ast.Name)}
    left_out = set(without) - used

    def counts(node: ast.stmt) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        return not (names and names <= left_out) and not _of_the_library(node)

    tree.body = [node for node in tree.body if counts(node)]
    for node in ast.walk(tree):
        # A text that stands for itself documents; the rest of a body acts.
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return [ast.dump(node) for node in tree.body]


def _of_the_library(node: ast.stmt) -> bool:
    """Whether a statement imports from the library: that is told by the links between its modules."""
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").split(".")[0] == _PACKAGE.name
    return isinstance(node, ast.Import) and all(alias.name.split(".")[0] == _PACKAGE.name for alias in node.names)
