"""Settings that people write: YAML of processes, parameters, decks and layers, KLayout's .lyp."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import yaml
from children import CANARY, Case, Family
from hypothesis import strategies as st

from maskopt_lib import layout, litho, study, yaml_files
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout import design_rules
from maskopt_lib.runs import params
from maskopt_lib.runs.sweep import read_grid

_NOTEBOOK = "15_ilt_ablation"
_HOSTILE = (
    f"!!python/object/apply:os.system ['touch {CANARY}']",
    f"!!python/object/new:subprocess.check_call [[touch, {CANARY}]]",
    f"!!python/name:os.system ''\nx: !!python/object/apply:builtins.exec [\"open('{CANARY}', 'w')\"]",
    "a: &a [x]\n"
    + "".join(
        f"{c}: &{c} [*{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}, *{p}]\n"
        for p, c in zip("abcdefghijk", "bcdefghijkl", strict=True)
    ),
    "&x [*x]",
    "[" * 3000,
    "{" * 3000,
    "- " * 2000,
    "a: 1\na: 2",
    "? {a: b}\n: c",
    "!!binary x",
    "!!timestamp soon",
    "!!set {a, a}",
    "a: !!float x",
    "<<: 3",
    "<<: [1]",
    "%YAML 9.9\n---\na",
    "--- a\n--- b",
    "\t",
    "\0",
    "a: 2001-13-45",
    "'",
    "\ufeffa: 1",
    "x: 0x" + "f" * 5000,
    "x: " + "9" * 6000,
    "null",
    "~",
    "- 1",
    "3",
    "",
    "a: .nan",
    "1: 2",
)
_WORDS = (
    "nan",
    ".nan",
    ".inf",
    "-1",
    "0",
    "1e400",
    "true",
    "null",
    "[]",
    "{}",
    "[1, [2]]",
    "'1'",
    "x",
    "!!python/name:os.system",
    "&a",
    "*a",
    "|",
    ">",
    "1e-3",
    "2001-01-01",
    "0b1",
    "1:30",
    "a: b",
)


def _readers() -> dict[str, Callable[[Path], Any]]:
    def whole(path: Path) -> Any:
        return yaml_files.read(path).value

    found: dict[str, Callable[[Path], Any]] = {
        "layers": layout.layer_names,
        "mask_rules": study.read_deck,
        "design_rules": design_rules.read_deck,
        "parameters": lambda path: (
            params.check_names(_NOTEBOOK, dict(whole(path) or {})) if isinstance(whole(path), dict) else None
        ),
        "grid": lambda path: read_grid(_NOTEBOOK, str(path)),
        "yaml": whole,
        "processes": litho.load_process,
    }
    return found


def _damaged(kind: str, source: Path, rng: random.Random, folder: Path) -> Case:
    path = Path(shutil.copy(source, folder))
    way = rng.random()
    if way < 0.25:
        said, data = damage.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
    elif way < 0.6:
        said, text = damage.damaged_text(path.read_text(), rng, _WORDS)
        path.write_text(text)
    elif way < 0.8:
        values = yaml.safe_load(path.read_text())
        said, odd = "odd values", damage.drawn(_plain_values(), rng)
        if isinstance(values, dict) and values:
            values[rng.choice(list(values))] = odd
        path.write_text(yaml.safe_dump(values, allow_unicode=True))
    else:
        said, text = "hostile", rng.choice(_HOSTILE)
        path.write_text(rng.choice((text, path.read_text() + "\n" + text)))
    return Case(f"{kind}: {source.name}: {said}", lambda: _readers()[kind](path))


def _plain_values() -> st.SearchStrategy:
    """Anything that YAML can say."""
    ends = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.dates()
    return st.recursive(
        ends, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    )


def processes(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A process of somebody's."""
    return _damaged("processes", damage.a_file(sources / "yaml", "processes-*.yaml", rng), rng, folder)


def settings(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Parameters of a notebook, a grid of a sweep, rule decks, maps of layers."""
    kind = rng.choice(("layers", "mask_rules", "design_rules", "parameters", "grid", "yaml"))
    pattern = f"{kind}-*.yaml" if kind in ("layers", "mask_rules", "design_rules") else "parameters.yaml"
    return _damaged(kind, damage.a_file(sources / "yaml", pattern, rng), rng, folder)


def maps(rng: random.Random, sources: Path, folder: Path) -> Case:
    """KLayout's layer properties."""
    path = Path(shutil.copy(sources / "yaml" / "map.lyp", folder))
    if rng.random() < 0.4:
        said, data = damage.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
    elif rng.random() < 0.7:
        words = ("<source>", "</name>", "11/0", "-1/0@1", "99999999999/0", "&lt;", "*/*", "", "&x;", "x" * 300)
        said, text = damage.damaged_text(path.read_text(), rng, words)
        path.write_text(text)
    else:
        said = "entities"
        inside = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10 if i else "x" * 50}">' for i in range(10))
        outside = '<!ENTITY e9 SYSTEM "file:///etc/passwd">'
        head = f"<!DOCTYPE l [{rng.choice((inside, outside))}]>"
        path.write_text(path.read_text().replace("<layer", head + "<layer", 1).replace("metal1", "&e9;"))
    return Case(said, lambda: layout.layer_names(path))


def parameters(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Parameters of a notebook as papermill gives them, and grids of a sweep as they are typed."""
    name = damage.drawn(
        st.sampled_from(["n_steps", "n_step", "clips", "", "__class__", "out_dir"]) | st.text(max_size=9), rng
    )
    value = damage.drawn(_plain_values(), rng)
    if rng.random() < 0.5:
        return Case(f"grid {name}={value!r:.60}", lambda: read_grid(_NOTEBOOK, f"{name}={value}"))
    cell = f"# Parameters\n{name} = {value!r}\n"
    known = {key: p.default for key, p in params.read_parameters(_NOTEBOOK).items()}

    def act() -> dict[str, Any]:
        try:
            return params.parameters(_NOTEBOOK, known | {"In": [cell]})
        except SyntaxError as error:  # papermill itself writes no such cell
            raise UnknownNameError("no cell of papermill's") from error

    return Case(f"cell {cell!r:.60}", act)


FAMILIES = [
    Family("process YAML", 200, processes),
    Family("settings YAML", 220, settings),
    Family("lyp", 60, maps),
    Family("parameters", 80, parameters),
]
