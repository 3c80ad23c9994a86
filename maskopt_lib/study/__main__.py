"""What the Makefile asks of the study: check the parameters of a variant, keep its small results as records."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskopt_lib.errors import MaskOptError
from maskopt_lib.study import reference
from maskopt_lib.study.params import read_variant


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; a mistake is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.study", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="that every notebook has the variant and knows its parameters")
    check.add_argument("variant")
    check.add_argument("notebooks", nargs="+")
    keep = commands.add_parser("keep", help="copy the small results of a variant to data_manifest/records")
    keep.add_argument("variant")
    keep.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "check":
            for notebook in chosen.notebooks:
                read_variant(notebook, chosen.variant)
        else:
            _keep(chosen.results, chosen.variant)
    except MaskOptError as error:
        parser.error(str(error))


def _keep(results: Path, variant: str) -> None:
    run_dirs = sorted(results.glob(f"[0-8]*/{variant}"))
    # No run at all is the same mistake as an empty one.
    for run_dir in run_dirs or [results / "any" / variant]:
        for path in reference.keep(run_dir, reference.FOLDER / run_dir.parent.name):
            size_kb = path.stat().st_size / 1e3
            sys.stdout.write(f"{size_kb:8.0f} kB  {path.relative_to(reference.FOLDER.parents[1])}\n")


if __name__ == "__main__":
    main()
