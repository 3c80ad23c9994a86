"""What the Makefile asks of the study: check a variant's parameters, keep its small results, sweep over parameters."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from maskopt_lib.errors import MaskOptError
from maskopt_lib.runs import reference
from maskopt_lib.runs.params import read_variant
from maskopt_lib.runs.sweep import run_sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; a mistake is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="that every notebook has the variant and knows its parameters")
    check.add_argument("variant")
    check.add_argument("notebooks", nargs="+")
    keep = commands.add_parser("keep", help="copy the small results of a variant to data_manifest/records")
    keep.add_argument("variant")
    keep.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    over = commands.add_parser("sweep", help="execute a notebook over a grid of parameters and join the results")
    over.add_argument("notebook")
    over.add_argument("grid", help="'n_steps=50,100 kernel_set=a,b', or a YAML file of parameter: [values]")
    over.add_argument("--variant", default="quick", help="whose parameters hold where the grid says nothing")
    over.add_argument("--jobs", type=int, default=1, help="points at a time")
    over.add_argument("--name", help="of the sweep; by default the parameters that it varies")
    over.add_argument("--results", type=Path, default=Path("results"), help="folder of the results")
    chosen = parser.parse_args(arguments)
    failed = 0
    try:
        if chosen.command == "check":
            for notebook in chosen.notebooks:
                read_variant(notebook, chosen.variant)
        elif chosen.command == "keep":
            _keep(chosen.results, chosen.variant)
        else:
            failed = _sweep(chosen)
    except MaskOptError as error:
        parser.error(str(error))
    if failed:
        sys.exit(1)


def _keep(results: Path, variant: str) -> None:
    run_dirs = sorted(results.glob(f"[0-8]*/{variant}"))
    # No run at all is the same mistake as an empty one.
    for run_dir in run_dirs or [results / "any" / variant]:
        for path in reference.keep(run_dir, reference.FOLDER / run_dir.parent.name):
            size_kb = path.stat().st_size / 1e3
            sys.stdout.write(f"{size_kb:8.0f} kB  {path.relative_to(reference.FOLDER.parents[1])}\n")


def _sweep(chosen: argparse.Namespace) -> int:
    """Number of failed points, after the rest is done and said."""
    run, points = run_sweep(
        chosen.notebook,
        chosen.grid,
        variant=chosen.variant,
        name=chosen.name,
        jobs=chosen.jobs,
        results=chosen.results,
    )
    for point in points:
        values = ", ".join(f"{name}={value}" for name, value in point.values.items())
        said = f"FAILED ({point.folder}): {point.error}" if point.error else "done" if point.is_new else "done before"
        sys.stdout.write(f"{point.seconds:8.0f} s  {values}  {said}\n")
    failed = sum(bool(point.error) for point in points)
    stored = ", ".join(sorted(path.name for path in run.out_dir.glob("*.zarr")))
    sys.stdout.write(f"{len(points)} points, {failed} failed; {run.out_dir}: {stored}\n")
    return failed


if __name__ == "__main__":
    main()
