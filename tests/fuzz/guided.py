"""Readers that atheris guides by the branches that inputs reach; left out, with a line, where it is not installed.

``make fuzz`` installs it where there is a wheel for the system; it has a lock of its own. KLayout's own code is not
instrumented: of its formats the guidance sees what this library does before and after.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from children import CRASH, FOREIGN, OWN, RIGHT, Finding, is_own

from maskopt_lib import layout, optics, yaml_files
from maskopt_lib.layout.own_design import read_folder
from maskopt_lib.layout.rows import read_rows

#: Reader -> how the file is called, and what reads it.
READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "guided GLP": ("a.glp", lambda path: layout.read_clip(path, window_nm=2.0**20)),
    "guided GDS": ("a.gds", lambda path: layout.read_clip(path, (11, 0), window_nm=2.0**20)),
    "guided OASIS": ("a.oas", lambda path: layout.read_clip(path, (11, 0), window_nm=2.0**20)),
    "guided DEF": ("own.def", lambda path: (read_rows(path), read_folder(path.parent))),
    "guided YAML": ("a.yaml", lambda path: yaml_files.read(path).value),
    "guided kernels": ("fh0.bin", optics.files.read_kernel_file),
}
_SEEDS = {"a.glp": "layouts/*.glp", "a.gds": "layouts/*.gds", "a.oas": "layouts/*.oas", "own.def": "design/own.def",
          "a.yaml": "yaml/*.yaml", "fh0.bin": "kernels/*/fh0.bin"}  # fmt: skip


def findings(sources: Path, *, seconds: float, jobs: int, say: Callable[[str], None]) -> Iterator[tuple[Finding, int]]:
    """What guided runs of each reader found, with how many inputs each stands for."""
    if importlib.util.find_spec("atheris") is None:
        say("guided: atheris is not installed (pip install atheris): left out")
        return
    names = list(READERS)
    for begin in range(0, len(names), jobs):
        running = {name: _started(name, sources, seconds) for name in names[begin : begin + jobs]}
        for name, (process, folder) in running.items():
            said = process.communicate()[0].decode(errors="replace")
            kept = [json.loads(line) for line in (folder / "kept.jsonl").read_text().splitlines()]
            tried = max((int(n) for n in re.findall(r"#(\d+)\s", said)), default=0)
            own = json.loads((folder / "counts.json").read_text())["own"] if (folder / "counts.json").exists() else 0
            yield Finding(name, 0, 0, OWN, ""), min(own, tried)
            yield Finding(name, 0, 0, RIGHT, ""), max(tried - own - len(kept), 0)
            for index, found in enumerate(kept):
                yield Finding(name, index, 0, FOREIGN, found["data"], found["why"]), 1
            for index, left in enumerate(sorted(folder.glob("crash-*")) + sorted(folder.glob("*-[0-9a-f]*[0-9a-f]"))):
                data = base64.b64encode(left.read_bytes()).decode()
                yield Finding(name, 1000 + index, 0, CRASH, data, left.name), 1


def replay(kept: dict) -> None:
    """Read an input again that a guided run found."""
    name, read = READERS[kept["family"]]
    path = Path(tempfile.mkdtemp()) / name
    path.write_bytes(base64.b64decode(kept["said"]))
    sys.stdout.write(f"returns {read(path)!r:.300}\n")


def _started(name: str, sources: Path, seconds: float) -> tuple[subprocess.Popen, Path]:
    folder = Path(tempfile.mkdtemp(prefix="guided-", dir=sources))
    (folder / "kept.jsonl").touch()
    command = [sys.executable, __file__, name, str(sources), str(folder), f"{seconds:.0f}"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    ), folder


def _guide(name: str, sources: Path, folder: Path, seconds: str) -> None:
    """The guided process: what is not answered by an own error is written down, and it goes on."""
    import atheris

    for module in [
        m
        for n, m in sys.modules.items()
        if n.startswith(("maskopt_lib.layout", "maskopt_lib.yaml_files", "maskopt_lib.optics.files"))
    ]:
        for key, value in list(vars(module).items()):
            if callable(value) and getattr(value, "__module__", "") == module.__name__ and hasattr(value, "__code__"):
                setattr(module, key, atheris.instrument_func(value))
    file, read = READERS[name]
    corpus, work = folder / "corpus", folder / "work"
    corpus.mkdir()
    work.mkdir()
    if file == "own.def":
        for path in (sources / "design").iterdir():
            (work / path.name).write_bytes(path.read_bytes())
    for i, path in enumerate(sorted(sources.glob(_SEEDS[file]))):
        (corpus / str(i)).write_bytes(path.read_bytes())
    seen: set[str] = set()
    counts = {"own": 0}

    def one(data: bytes) -> None:
        (work / file).write_bytes(data)
        try:
            read(work / file)
        except BaseException as error:
            if is_own(error, (folder, sources)):
                counts["own"] += 1
                if counts["own"] % 50 == 0:
                    (folder / "counts.json").write_text(json.dumps(counts))
                return
            why = f"{type(error).__name__}: {error}"
            if (key := re.sub(r"\d+", "", why)[:80]) not in seen:
                seen.add(key)
                with (folder / "kept.jsonl").open("a") as kept:
                    kept.write(json.dumps({"data": base64.b64encode(data).decode(), "why": why}) + "\n")

    arguments = [f"-max_total_time={seconds}", "-seed=16", "-rss_limit_mb=4000", "-timeout=20", "-max_len=20000"]
    atheris.Setup([sys.argv[0], *arguments, f"-artifact_prefix={folder}/", str(corpus)], one)
    atheris.Fuzz()


if __name__ == "__main__":
    _guide(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
