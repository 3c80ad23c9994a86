"""Redraw the figures of both papers and of our own studies from stored results, without simulating."""

import argparse
import sys
import time

from maskopt_lib.errors import MaskOptError
from maskopt_lib.figures import page, save
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.reference import FOLDER, stored_runs
from maskopt_lib.study import redraw


def main() -> None:
    """Draw all figures, or one; a mistake is one line and exit status 2."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.study", description=__doc__)
    parser.add_argument("variant", nargs="?", default="records", help="records, or a variant of the runs in results/")
    parser.add_argument("--fig", default="", help="name of one figure, or its beginning")
    parser.add_argument("--width", type=float, default=page.PAGE, help="inches: 3.5 of a column, 7.16 of a page")
    parser.add_argument("--format", default="pdf,svg,png", help="endings, parted by commas")
    asked = parser.parse_args()
    formats = tuple(asked.format.split(","))
    if not 2.5 <= asked.width <= 12 or set(formats) - {"pdf", "svg", "png"}:
        parser.error("widths are 2.5 to 12 inches, formats are pdf, svg and png")
    is_records = asked.variant == "records"
    folders = stored_runs(FOLDER) if is_records else stored_runs(root() / "results", asked.variant)
    if not folders:
        parser.error(f"no results of variant {asked.variant!r}: make study VARIANT={asked.variant}")
    out, start, n = root() / "results" / "figures" / asked.variant, time.perf_counter(), 0
    try:
        for name, _, figure in redraw.redrawn(folders, only=asked.fig):
            save(figure, name, out, width_inch=asked.width, dpi=300, formats=formats)
            n += 1
    except MaskOptError as mistake:
        sys.exit(f"{mistake}")
    for name, what in {} if asked.fig else redraw.lacking(folders).items():
        print(f"   not here: {name} ({what})")
    print(f"== {n} figures, {asked.width:g} in wide, in {time.perf_counter() - start:.0f} s: {out}")


if __name__ == "__main__":
    main()
