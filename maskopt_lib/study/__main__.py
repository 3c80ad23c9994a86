"""Redraw the figures of both papers and of our own studies from stored results, without simulating."""

import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import click

from maskopt_lib.errors import MaskOptError
from maskopt_lib.figures import page, save
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.processes import leave_with_parent
from maskopt_lib.runs.reference import FOLDER, stored_runs
from maskopt_lib.study import redraw

FORMATS = ("pdf", "svg", "png")


@click.command(help=__doc__, context_settings={"show_default": True})
@click.argument("variant", default="records")
@click.option("--fig", default="", help="Name of one figure, or its beginning; without it all are drawn.")
@click.option("--width", type=click.FloatRange(2.5, 12), default=page.PAGE, help="Inches: 3.5 for a column.")
@click.option("--format", "formats", default=",".join(FORMATS), help="Endings, parted by commas.")
def main(variant: str, fig: str, width: float, formats: str) -> None:
    """Draw figures of the records, or of VARIANT's results."""
    endings = tuple(formats.split(","))
    if unknown := sorted(set(endings) - set(FORMATS)):
        raise click.UsageError(f"no format {', '.join(unknown)}; there are {', '.join(FORMATS)}")
    folders = stored_runs(FOLDER) if variant == "records" else stored_runs(root() / "results", variant)
    if not folders:
        raise click.UsageError(f"no results of variant {variant!r}: make study VARIANT={variant}")
    out, start = root() / "results" / "figures" / variant, time.perf_counter()
    processes = 1 if fig else min(4, os.cpu_count() or 1)
    draw = partial(_drawn, folders, fig, width, endings, out, processes)
    try:
        if processes == 1:
            n = draw(0)
        else:
            with ProcessPoolExecutor(processes, initializer=leave_with_parent) as pool:
                n = sum(pool.map(draw, range(processes)))
    except MaskOptError as mistake:
        sys.exit(f"{mistake}")
    for name, what in {} if fig else redraw.lacking(folders).items():
        click.echo(f"   not here: {name} ({what})")
    click.echo(f"== {n} figures, {width:g} in wide, in {time.perf_counter() - start:.0f} s: {out}")


def _drawn(
    folders: dict[str, Path], fig: str, width: float, formats: tuple[str, ...], out: Path, processes: int, first: int
) -> int:
    """Figures of every n-th entry of the catalogue, saved; how many there are."""
    n = 0
    for name, _, figure in redraw.redrawn(folders, only=fig, part=slice(first, None, processes)):
        save(figure, name, out, width_inch=width, dpi=300, formats=formats)
        n += 1
    return n


if __name__ == "__main__":
    main()
