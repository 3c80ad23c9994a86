"""``python -m maskopt_lib.study results paper``: keep the small results of all notebooks of a variant as records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskopt_lib.study import reference


def main(arguments: Sequence[str] | None = None) -> None:
    """Copy what is small enough and name it, with its size."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.study", description=__doc__)
    parser.add_argument("results", type=Path, help="folder of the results")
    parser.add_argument("variant", help="whose results to keep")
    chosen = parser.parse_args(arguments)
    run_dirs = sorted(chosen.results.glob(f"[0-8]*/{chosen.variant}"))
    if not run_dirs:
        parser.error(
            f"no results of variant {chosen.variant!r} in {chosen.results}; "
            f"run `make study VARIANT={chosen.variant}` first"
        )
    for run_dir in run_dirs:
        for path in reference.keep(run_dir, reference.FOLDER / run_dir.parent.name):
            size_kb = path.stat().st_size / 1e3
            sys.stdout.write(f"{size_kb:8.0f} kB  {path.relative_to(reference.FOLDER.parents[1])}\n")


if __name__ == "__main__":
    main()
