"""Fetch the real data and say what is missing and why: ``python -m maskopt_lib.data``, which ``make data`` runs."""

import sys
from collections.abc import Mapping, Sequence

import click

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


@click.command(context_settings={"show_default": True})
@click.argument("names", nargs=-1)
@click.option("--needed-by/--groups", help="NAMES are notebooks, whose paper variant reads the files, or groups.")
@click.option("--check", is_flag=True, help="Look at mirror and cache only, download nothing.")
def main(names: Sequence[str], needed_by: bool, check: bool) -> None:
    """Fetch the files of groups, of all where none is named, and say what is missing and why."""
    try:
        known = manifest.load_manifest()
        for group in () if needed_by else names:
            known.source(group)
        chosen = [
            group
            for group, source in known.sources.items()
            if not names or (set(names) & set(source.needed_by) if needed_by else group in names)
        ]
        if not chosen:
            click.echo("no data needed")
            return
        missing = known.collect(chosen, download=not check)
    except MaskOptError as error:
        raise click.UsageError(str(error)) from error
    click.echo(report(known, chosen, missing))
    if missing:
        click.echo("Run `make data` with a network connection, or set MASKOPT_MIRROR to a folder that has these files.")
        sys.exit(1)


if __name__ == "__main__":
    main()
