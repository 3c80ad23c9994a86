"""Fetch the real data and say what is missing and why: ``python -m maskopt_lib.data``, which ``make data`` runs."""

import argparse
import sys
from collections.abc import Mapping, Sequence

from maskopt_lib.data import manifest
from maskopt_lib.data.manifest import Manifest
from maskopt_lib.errors import MaskOptError


def report(known: Manifest, groups: Sequence[str], missing: Mapping[str, str]) -> str:
    """What is there and what is missing, one line a group, then each reason once with the files it concerns."""
    width = max(len(group) for group in groups)
    lines = [f"{'group':<{width}}  {'files':>9}  {'MB':>6}  licence"]
    for group in groups:
        source = known.source(group)
        here = [name for name in source.files if name not in missing]
        mark = "  " if len(here) == len(source.files) else " !"
        count = f"{len(here)}/{len(source.files)}"
        lines.append(f"{group:<{width}}{mark}{count:>9}  {source.n_bytes / 1e6:6.2f}  {source.licence.split(' (')[0]}")
    total = sum(len(known.source(group).files) for group in groups)
    lines.append(
        f"{total - len(missing)} of {total} files are here and verified "
        f"(mirror: {known.mirror or 'none'}; cache: {known.cache})"
    )
    by_reason: dict[str, list[str]] = {}
    for name, reason in missing.items():
        by_reason.setdefault(reason, []).append(name)
    for reason, concerned in by_reason.items():
        shown = ", ".join(concerned[:3]) + (f" and {len(concerned) - 3} more" if len(concerned) > 3 else "")
        # A reason that is of one file alone begins with its name.
        lines.append(f"missing: {reason}" if reason.startswith(f"{concerned[0]}:") else f"missing: {shown}: {reason}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Fetch groups of files and say what is missing and why; what ``make data`` runs. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m maskopt_lib.data", description=main.__doc__)
    parser.add_argument("--groups", nargs="*", default=[], help="groups of files; all where none is named")
    parser.add_argument(
        "--needed-by", nargs="*", default=[], help="the groups that the paper variant of these notebooks reads"
    )
    parser.add_argument("--check", action="store_true", help="look at mirror and cache only, download nothing")
    arguments = parser.parse_args(argv)
    try:
        known = manifest.load_manifest()
        chosen = [
            group
            for group, source in known.sources.items()
            if group in arguments.groups or set(arguments.needed_by) & set(source.needed_by)
        ]
        for group in arguments.groups:
            known.source(group)
        if not (arguments.groups or arguments.needed_by):
            chosen = list(known.sources)
        if not chosen:
            print("no data needed")
            return 0
        missing = known.collect(chosen, download=not arguments.check)
    except MaskOptError as error:
        print(error, file=sys.stderr)
        return 2
    print(report(known, chosen, missing))
    if missing:
        print("Run `make data` with a network connection, or set MASKOPT_MIRROR to a folder that has these files.")
    return 1 if missing else 0


if __name__ == "__main__":
    raise SystemExit(main())
