"""Other people's packages with a solver and a network: the examples of `maskopt_lib.registry`, as pip leaves them."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

from maskopt_lib import registry


def write(folder: Path) -> Path:
    """The examples, their entry points, and a package that is broken, in a folder for ``PYTHONPATH``."""
    blocks = [textwrap.dedent(block) for block in re.findall(r"::\n\n((?:    .*\n|\n)+)", registry.__doc__ or "")]
    for name, text in zip(("grown", "one_layer"), blocks, strict=False):
        assert sum(bool(line.strip()) for line in text.splitlines()) <= 15, f"{name}: an example of 15 lines"
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    entries = blocks[2].replace('project.entry-points."', "").replace('"]', "]").replace('"', "")
    broken = entries.replace("grown =", "broken = not_there:X\ncurvy =").replace(
        "one_layer = one_layer", "empty = json"
    )
    for package, text in (("theirs", entries), ("broken", broken)):
        (folder / f"{package}-1.0.dist-info").mkdir()
        (folder / f"{package}-1.0.dist-info/METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1\n"
        )
        (folder / f"{package}-1.0.dist-info/entry_points.txt").write_text(text)
    return folder
