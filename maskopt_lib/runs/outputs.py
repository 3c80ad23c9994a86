"""The manifest of what the study puts out: every committed record, what it holds and which command makes it.

Form: ``codecheck.yml`` (https://codecheck.org.uk/spec/config/1.0/), so that somebody else can check the study by it.
"""

from pathlib import Path
from typing import Any

import yaml

from maskopt_lib import files
from maskopt_lib.runs import reference
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.record import record_of
from maskopt_lib.yaml_files import read

MANIFEST = "codecheck.yml"
_HEAD = "# Written by `make records`, from the records and CITATION.cff; a test holds it to them.\n"


def manifest() -> dict[str, Any]:
    """What :func:`write_manifest` writes: paper, and one entry a file, with the command that makes it."""
    cited = read(root() / "CITATION.cff").value
    entries = []
    for folder in sorted(reference.FOLDER.iterdir()):
        if not (names := reference.stored_names(folder)):
            continue
        record = record_of(reference.load_result(folder, names[0]))
        scale = Path(record["params"].get("out_dir", "")).name or "paper"
        made = f"make notebook NB={folder.name[:2]} VARIANT={scale}"
        pictures = [(path.name, "picture") for path in sorted(folder.glob("*.png"))]
        for file, what in [(f"{name}.nc", name) for name in names] + pictures:
            path = (folder / file).relative_to(reference.FOLDER.parents[1]).as_posix()
            entries.append({"file": path, "comment": f"{what}: {record['title']}; {made}"})
    return {
        "version": "https://codecheck.org.uk/spec/config/1.0/",
        "paper": {
            "title": cited["title"],
            "authors": [{"name": author["name"]} for author in cited["authors"]],
            "reference": "README.md",
        },
        "manifest": entries,
    }


def write_manifest() -> Path:
    """Write ``codecheck.yml`` at the root of the study that the records belong to."""
    path = reference.FOLDER.parents[1] / MANIFEST
    text = yaml.safe_dump(manifest(), sort_keys=False, width=120, allow_unicode=True)
    files.write_bytes(path, (_HEAD + text).encode())
    return path
