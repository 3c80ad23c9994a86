"""What the Makefile asks of the study: check parameters, execute a notebook, sweep over a grid, keep small results."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from papermill.exceptions import PapermillExecutionError

from maskopt_lib import yaml_files
from maskopt_lib.errors import MaskOptError, SchemaError
from maskopt_lib.runs import execute
from maskopt_lib.runs.params import read_variant
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.processes import leave_with_parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the commands; a mistake is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.runs", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="that every notebook has the variant and knows its parameters")
    check.add_argument("variant")
    check.add_argument("notebooks", nargs="+")
    run = commands.add_parser("execute", help="run a notebook from the first cell to the last")
    run.add_argument("notebook")
    run.add_argument("variant", nargs="?", default="quick", help="whose parameters hold")
    run.add_argument("--out", type=Path, help="folder of the results; by default results/<notebook>/<variant>")
    run.add_argument("--parameters", type=Path, help="YAML file of parameters, in place of a variant's")
    run.add_argument("--with-parent", action="store_true", help="end when the process ends that began this one")
    keep = commands.add_parser("keep", help="copy the small results of a variant to data_manifest/records")
    keep.add_argument("variant")
    keep.add_argument("--results", type=Path, default=root() / "results", help="folder of the results")
    over = commands.add_parser("sweep", help="execute a notebook over a grid of parameters and join the results")
    over.add_argument("notebook")
    over.add_argument("grid", help="'n_steps=50,100 kernel_set=a,b', or a YAML file of parameter: [values]")
    over.add_argument("--variant", default="quick", help="whose parameters hold where the grid says nothing")
    over.add_argument("--jobs", type=int, default=1, help="points at a time")
    over.add_argument("--name", help="of the sweep; by default the parameters that it varies")
    over.add_argument("--results", type=Path, default=root() / "results", help="folder of the results")
    chosen = parser.parse_args(arguments)
    failed = 0
    try:
        if chosen.command == "check":
            for notebook in chosen.notebooks:
                read_variant(notebook, chosen.variant)
        elif chosen.command == "keep":
            _keep(chosen.results, chosen.variant)
        elif chosen.command == "execute":
            failed = _execute(chosen)
        else:
            failed = _sweep(chosen)
    except MaskOptError as error:
        parser.error(str(error))
    if failed:
        sys.exit(1)


def _execute(chosen: argparse.Namespace) -> int:
    """1 for a notebook that failed, after it was said where to look."""
    if chosen.with_parent:
        leave_with_parent()
    execute.log_to_terminal()
    notebook, variant = chosen.notebook, chosen.variant
    if chosen.parameters:
        parameters = yaml_files.read(chosen.parameters).value or {}
        if not isinstance(parameters, dict):
            raise SchemaError(f"{chosen.parameters} holds {parameters!r:.80}; write `key: value` lines")
    else:
        parameters = read_variant(notebook, variant)
    folder = chosen.out or root() / "results" / Path(notebook).stem / variant
    begun = time.monotonic()
    _say(f"== {notebook}, variant {variant}")
    try:
        execute.execute(notebook, parameters, folder, tell=_say)
    except PapermillExecutionError as error:
        _say(f"{error.ename}: {error.evalue}")
        _say(
            f"FAILED: notebook {notebook}, variant {variant}. Open {folder / execute.PARTIAL}, the cell that failed is "
            "marked; then repeat the command: what is done is not run again."
        )
        return 1
    _say(f"== {notebook}, variant {variant}: {time.monotonic() - begun:.0f} s")
    return 0


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def _keep(results: Path, variant: str) -> None:
    from maskopt_lib.runs import reference  # it imports torch, which takes seconds, and a notebook's run needs not here

    run_dirs = sorted(results.glob(f"[0-8]*/{variant}"))
    # No run at all is the same mistake as an empty one.
    for run_dir in run_dirs or [results / "any" / variant]:
        for path in reference.keep(run_dir, reference.FOLDER / run_dir.parent.name):
            size_kb = path.stat().st_size / 1e3
            sys.stdout.write(f"{size_kb:8.0f} kB  {path.relative_to(reference.FOLDER.parents[1])}\n")


def _sweep(chosen: argparse.Namespace) -> int:
    """Number of failed points, after the rest is done and said."""
    from maskopt_lib.runs.sweep import run_sweep  # as above

    run, points = run_sweep(
        chosen.notebook,
        chosen.grid,
        variant=chosen.variant,
        name=chosen.name,
        jobs=chosen.jobs,
        results=chosen.results,
        tell=_say,
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
