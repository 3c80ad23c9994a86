"""Redraw the figures of both papers and of our own studies from stored results, without simulating."""

import sys
import time

import click

from maskopt_lib.errors import MaskOptError
from maskopt_lib.figures import page
from maskopt_lib.runs.paths import root
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
    try:
        drawn = redraw.save(folders, out, only=fig, width_inch=width, dpi=300, formats=endings)
    except MaskOptError as mistake:
        sys.exit(f"{mistake}")
    for name, what in {} if fig else redraw.lacking(folders).items():
        click.echo(f"   not here: {name} ({what})")
    click.echo(f"== {len(drawn)} figures, {width:g} in wide, in {time.perf_counter() - start:.0f} s: {out}")


if __name__ == "__main__":
    main()
