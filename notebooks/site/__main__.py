"""`make report`: the study as a static site, from the runs in `results/` and the committed records."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import stage
from sphinx.cmd.build import main as sphinx

from maskopt_lib.runs.paths import root


def main() -> int:
    """Lay out the pages, let Sphinx build them; exit status 1 where it warns of anything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=root() / "results", help="folder of the runs")
    parser.add_argument("--out", type=Path, default=root() / "results" / "site", help="folder of the site")
    chosen = parser.parse_args()
    begun, out = time.monotonic(), chosen.out.resolve()
    source, pages = out / "source", out / "html"
    stage.lay_out(source, chosen.results)
    options = {
        "-b": "html",
        "-c": stage.HERE,
        "-d": out / "doctrees",
        "-j": 2,
        "-D": f"html_extra_path={source / 'extra'}",
    }
    spread = [str(word) for pair in options.items() for word in pair]
    status = sphinx(["-q", "-W", "--keep-going", *spread, str(source), str(pages)])
    sys.stdout.write(f"{pages / 'index.html'}: {time.monotonic() - begun:.0f} s\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
