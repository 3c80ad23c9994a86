"""What the Makefile asks of the study: check parameters, execute a notebook, sweep over a grid, keep small results."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from papermill.exceptions import PapermillExecutionError

from maskopt_lib import yaml_files
from maskopt_lib.errors import MaskOptError, SchemaError
from maskopt_lib.runs import execute, plan
from maskopt_lib.runs.params import read_variant
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.processes import leave_with_parent


class Commands(click.Group):
    """Commands that end with exit status 2 and one line where the library refuses, and with 1 where a run failed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except MaskOptError as error:
            raise click.UsageError(str(error), ctx) from error


FOLDER = click.Path(path_type=Path)
RESULTS = click.option("--results", type=FOLDER, help="Folder of the results; default: results.")


@click.group(cls=Commands, context_settings={"show_default": True})
def main() -> None:
    """Check parameters, execute notebooks, sweep over grids, keep small results."""


@main.command()
@click.argument("variant")
@click.argument("notebooks", nargs=-1, required=True)
def check(variant: str, notebooks: Sequence[str]) -> None:
    """Check that every one of NOTEBOOKS has VARIANT and knows its parameters."""
    for notebook in notebooks:
        read_variant(notebook, variant)


@main.command("execute")
@click.argument("notebook")
@click.argument("variant", default="quick")
@click.option("--out", type=FOLDER, help="Folder of the results; default: results/NOTEBOOK/VARIANT.")
@click.option("--parameters", "file", type=FOLDER, help="YAML file of parameters, in place of a variant's.")
@click.option("--with-parent", type=int, metavar="PID", help="End when the process ends that began this one.")
@click.option("--quiet", is_flag=True, help="One line in the end; what cells print goes to run.log.")
def execute_notebook(
    notebook: str, variant: str, out: Path | None, file: Path | None, with_parent: int | None, quiet: bool
) -> None:
    """Run NOTEBOOK from the first cell to the last, with the parameters of VARIANT."""
    if with_parent:
        leave_with_parent(with_parent)
    if file:
        parameters = yaml_files.read(file).value or {}
        if not isinstance(parameters, dict):
            raise SchemaError(f"{file} holds {parameters!r:.80}; write `key: value` lines")
    else:
        parameters = read_variant(notebook, variant)
    folder = out or root() / "results" / Path(notebook).stem / variant
    begun = time.monotonic()
    log = folder / execute.LOG if quiet else None
    execute.log_to(log)
    if not quiet or (plan.cost_s(notebook, variant) or 0) > 300:
        click.echo(f"== {notebook}, variant {variant}")
    try:
        execute.execute(notebook, parameters, folder, show_progress=not quiet, log=log, tell=click.echo)
    except PapermillExecutionError as error:
        click.echo(f"{error.ename}: {error.evalue}")
        click.echo(
            f"FAILED: notebook {notebook}, variant {variant}. Open {folder / execute.PARTIAL}, the cell that failed is "
            "marked; then repeat the command: what is done is not run again."
        )
        sys.exit(1)
    took = f"{notebook}, variant {variant}: {time.monotonic() - begun:.0f} s"
    click.echo("; ".join(filter(None, [f"== {took}", plan.left()])))


@main.command("plan")
@click.option("--jobs", default=1, help="Notebooks at a time.")
def make_plan(jobs: int) -> None:
    """Say what the commands on stdin, those of `make -n`, will run and what it costs."""
    for line in plan.make_plan(sys.stdin.read(), jobs=jobs):
        click.echo(line)


@main.command("open")
@click.argument("variant")
def to_open(variant: str) -> None:
    """Say which results of VARIANT to open first."""
    for line in plan.to_open(variant):
        click.echo(line)


@main.command()
@click.argument("variant")
@RESULTS
def keep(variant: str, results: Path | None) -> None:
    """Copy the small results of VARIANT to data_manifest/records."""
    # They import torch, which takes seconds, and which a notebook's run does not need here.
    from maskopt_lib.runs import outputs, reference

    results = results or root() / "results"
    run_dirs = sorted(results.glob(f"[0-8]*/{variant}"))
    # No run at all is the same mistake as an empty one.
    for run_dir in run_dirs or [results / "any" / variant]:
        for path in reference.keep(run_dir, reference.FOLDER / run_dir.parent.name):
            size_kb = path.stat().st_size / 1e3
            click.echo(f"{size_kb:8.0f} kB  {path.relative_to(reference.FOLDER.parents[1])}")
    click.echo(f"manifest of all records: {outputs.write_manifest().name}")


@main.command()
@click.argument("base")
@RESULTS
def compare(base: str, results: Path | None) -> None:
    """Say what moved since BASE, a commit or a folder of records or results; exit status 1 where something did."""
    from maskopt_lib.runs import compare as comparing  # as above

    with comparing.sets(base) as (then, now):
        found = comparing.compare(then, now)
        page = comparing.write_page(found, base, (results or root() / "results") / "compare")
    for name, count in found.moved[~found.moved["is_measured"]].groupby("store").size().items():
        click.echo(f"{count:8d} moved  {name}")
    click.echo(f"{found.n_stores} stored results, {found.n_moved} numbers moved; open {page}")
    sys.exit(1 if found.n_moved else 0)


@main.command()
@click.argument("notebook")
@click.argument("grid")
@click.option("--variant", default="quick", help="Whose parameters hold where the grid says nothing.")
@click.option("--jobs", default=1, help="Points at a time.")
@click.option("--name", help="Of the sweep; default: the parameters that it varies.")
@RESULTS
def sweep(notebook: str, grid: str, variant: str, jobs: int, name: str | None, results: Path | None) -> None:
    """Execute NOTEBOOK over GRID and join the results.

    GRID is 'n_steps=50,100 kernel_set=a,b', or a YAML file of parameter: [values].
    """
    from maskopt_lib.runs.sweep import run_sweep  # as above

    run, points = run_sweep(
        notebook, grid, variant=variant, name=name, jobs=jobs, results=results or root() / "results", tell=click.echo
    )
    for point in points:
        values = ", ".join(f"{name}={value}" for name, value in point.values.items())
        became = f"FAILED ({point.folder}): {point.error}" if point.error else "done" if point.is_new else "done before"
        click.echo(f"{point.seconds:8.0f} s  {values}  {became}")
    failed = sum(bool(point.error) for point in points)
    stored = ", ".join(sorted(path.name for path in run.out_dir.glob("*.zarr")))
    click.echo(f"{len(points)} points, {failed} failed; {run.out_dir}: {stored}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
