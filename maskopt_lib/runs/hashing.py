"""Keys of stored work: hashes of values, and of the source text that a result depends on.

A stored mask is taken again only while the code that made it acts the same. Comments, docstrings, the layout of the
text and where in the library it stands do not count, and neither does what a module does not import: work on one
solver leaves the masks of the others, and a module may move.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path

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
    modules : full names, such as ``"maskopt_lib.opc.curvy"``.
    without : names in the first module whose assignments do not count, unless a function or class there uses them.
    follow : also the modules that they import, and those that these import.

    Examples
    --------
    >>> source_hash(["maskopt_lib.grid"]) == source_hash(["maskopt_lib.grid"], follow=False)
    False
    """
    waiting = list(modules)
    first = waiting[0]
    texts: dict[str, list[str]] = {}
    while waiting:
        module = waiting.pop()
        if module in texts:
            continue
        tree = ast.parse(_file_of(module).read_text(encoding="utf-8"))
        if follow:
            waiting += _imported(tree, module)
        texts[module] = _meaning(tree, without if module == first else ())
    # A set of statements, not of modules: what they are called and how code is spread over them does not act.
    return hashed(sorted({statement for statements in texts.values() for statement in statements}))


def library_hash() -> str:
    """SHA-256 of what all modules of the library say."""
    files = sorted(_PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(_ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return source_hash(names, follow=False)


def _file_of(module: str) -> Path:
    path = _ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _imported(tree: ast.Module, module: str) -> set[str]:
    """Modules of the library that a module imports; of `from package import name` the module, or the package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            base = ".".join([*(parts[: len(parts) - node.level] if node.level else ()), *filter(None, [node.module])])
            inner = {alias.name: f"{base}.{alias.name}" for alias in node.names}
            found |= {full if _file_of(full).exists() else base for full in inner.values()}
    return {name for name in found if name.split(".")[0] == _PACKAGE.name and _file_of(name).exists()}


def _meaning(tree: ast.Module, without: Collection[str]) -> list[str]:
    """Statements without comments, docstrings, imports (they are followed) and what is left out; changes the tree."""
    inside = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    used = {name.id for node in inside for name in ast.walk(node) if isinstance(name, ast.Name)}
    left_out = set(without) - used

    def counts(node: ast.stmt) -> bool:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        return not (names and names <= left_out) and not isinstance(node, ast.Import | ast.ImportFrom)

    tree.body = [node for node in tree.body if counts(node)]
    for node in ast.walk(tree):
        # A text that stands for itself documents; the rest of a body acts.
        if isinstance(body := getattr(node, "body", None), list):
            node.body = [s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))]
    return [ast.dump(node) for node in tree.body]
