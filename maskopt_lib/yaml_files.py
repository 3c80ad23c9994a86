"""YAML of a user, read with care: plain values only, of bounded size, no key twice, and each at its line."""

import difflib
import math
import re
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from maskopt_lib.errors import MissingDataError, SchemaError, UnknownNameError

LARGEST_BYTES, DEEPEST, MOST_VALUES = 4 << 20, 40, 200_000
# The C loader reads the 600 lines of sources.yaml in milliseconds; the Python one takes a good part of a second.
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What PyYAML lets through for values that are not what their tag says, such as `!!timestamp soon` or month 13.
_MISFITS = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


class _Loader(_Base):
    """Safe; 1e-4 is a number, as in YAML 1.2 (1.1, and so PyYAML, asks for 1.0e-4)."""

    yaml_implicit_resolvers = _Base.yaml_implicit_resolvers | {
        first: [*_Base.yaml_implicit_resolvers.get(first, ()), ("tag:yaml.org,2002:float", _EXPONENT)]
        for first in "-+0123456789"
    }


@dataclass(frozen=True)
class Document:
    """Values, and where in a file they stand.

    Attributes
    ----------
    value : what the file says: mappings, lists, text, numbers, dates, booleans and None.
    name : what messages call it; the path of a file.
    lines : path of keys and indices, as text -> line, from 1; empty where the values come from no file.
    """

    value: Any
    name: str
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)

    def where(self, *keys: Hashable) -> str:
        """File, line and key: ``my.yaml, line 7, source.sigma``."""
        names = tuple(map(str, keys))
        known = (names[:n] for n in range(len(names), 0, -1))
        line = next((f", line {self.lines[part]}" for part in known if part in self.lines), "")
        return f"{self.name}{line}" + (f", {'.'.join(names)}" if keys else "")

    def check_keys(self, known: Iterable[str], *at: Hashable) -> dict[str, Any]:
        """The mapping at some place, all of its keys known.

        Raises
        ------
        SchemaError : there is no mapping.
        UnknownNameError : of an unknown key; says file, line and the nearest key that there is.
        """
        found, known = self.value, list(known)
        for key in at:
            found = found[key]
        if not isinstance(found, dict):
            raise SchemaError(f"{self.where(*at)}: holds {found!r:.80}; write `key: value` lines: {', '.join(known)}")
        for key in found:
            if key not in known:
                raise UnknownNameError(
                    f"{self.where(*at, key)}: no such key{near(key, known)}; there are: {', '.join(known)}"
                )
        return found

    def number(self, *at: Hashable, default: float, low: float = 0.0) -> float:
        """The number at some place, or the default where there is none: finite and above ``low``.

        ``low`` itself may stand where it is the default.

        Raises
        ------
        SchemaError : it is none; says file, line and key.
        """
        found = self.value
        for key in at:
            found = found.get(key, default) if isinstance(found, dict) else default
        if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
            raise SchemaError(f"{self.where(*at)}: must be a finite number, got {found!r:.80}")
        if found < low or (found == low and default != low):
            raise SchemaError(
                f"{self.where(*at)}: must be {'at least' if default == low else 'above'} {low:g}, got {found!r}"
            )
        return float(found)


def near(name: Any, known: Iterable[str]) -> str:
    """`` (did you mean this?)`` for a message about a name that is unknown; nothing where no known one is near.

    Examples
    --------
    >>> near("n_step", ["n_steps", "seed"])
    ' (did you mean n_steps?)'
    """
    found = difflib.get_close_matches(str(name), list(known), n=1)
    return f" (did you mean {found[0]}?)" if found else ""


def read(path: str | Path) -> Document:
    """What a YAML file says, and where.

    Raises
    ------
    MissingDataError : there is no such file.
    SchemaError : it is no YAML, has a key twice, is too large, or names more than plain values; says file and line.
    """
    path = Path(path)
    try:
        size = path.stat().st_size if path.is_file() else None
        if size is None:
            raise MissingDataError(f"there is no file {path}")
        text = path.read_text(encoding="utf-8-sig") if size <= LARGEST_BYTES else ""
    except UnicodeDecodeError as error:
        raise SchemaError(f"{path} is no text in UTF-8 ({error}), so no YAML; save it as UTF-8") from None
    except MissingDataError:
        raise
    except OSError as error:
        raise MissingDataError(f"{path} cannot be read: {error}") from None
    if size > LARGEST_BYTES:
        raise SchemaError(f"{path} has {size} bytes; a YAML file of settings has at most {LARGEST_BYTES}")
    return parse(text, name=str(path))


def parse(text: str, *, name: str = "the text") -> Document:
    """What a text in YAML says, and where; see :func:`read`.

    Examples
    --------
    >>> found = parse("source: {sigma: 0.5}", name="my.yaml")
    >>> found.where("source", "sigma")
    'my.yaml, line 1, source.sigma'
    """
    try:
        _bound(text, name)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                return Document(None, name)
            lines = _lines(root, name)
            return Document(loader.construct_document(root), name, lines)
        finally:
            loader.dispose()
    except SchemaError:
        raise
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        raise SchemaError(f"{name}{at}: no YAML: {getattr(error, 'problem', None) or error}") from None
    except _MISFITS as error:
        raise SchemaError(f"{name}: a value is not what YAML takes it for ({error!r}); write text in quotes") from None


def _bound(text: str, name: str) -> None:
    # Event by event, before anything that calls itself sees how deep it goes.
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            line = event.start_mark.line + 1
            raise SchemaError(f"{name}, line {line}: more than {DEEPEST} levels in each other; write it flatter")


def _lines(root: yaml.Node, name: str) -> dict[tuple[str, ...], int]:
    """Line of each place; what an alias repeats is walked again, so that a few lines cannot stand for millions."""
    lines: dict[tuple[str, ...], int] = {}
    todo: list[tuple[tuple[str, ...], yaml.Node]] = [((), root)]
    while todo:
        at, node = todo.pop()
        lines.setdefault(at, node.start_mark.line + 1)
        if len(lines) + len(todo) > MOST_VALUES or len(at) > DEEPEST:
            raise SchemaError(f"{name}: more than {MOST_VALUES} values, or an alias within itself; write it out")
        if isinstance(node, yaml.SequenceNode):
            todo += [((*at, str(i)), part) for i, part in enumerate(node.value)]
        elif isinstance(node, yaml.MappingNode):
            seen = set()
            for key, part in node.value:
                word, line = key.value if isinstance(key, yaml.ScalarNode) else str(id(key)), key.start_mark.line + 1
                if (key.tag, word) in seen:
                    raise SchemaError(f"{name}, line {line}: key {word} is there twice; leave one")
                seen.add((key.tag, word))
                lines[*at, word] = line
                todo.append(((*at, word), part))
    return lines
