"""The study from a terminal: ``python -m maskopt_lib``, or ``maskopt``; each command stands on the library's doors."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from maskopt_lib.errors import MaskOptError

# Commands import what they use themselves: to explain one takes no second of importing torch.


class Refusing(click.Group):
    """A group of commands that end with one line on stderr, no traceback, and exit status 1 where the library refuses.

    Usage that click itself refuses ends with 2. A warning is a line on stderr as well.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: click.echo(f"Warning: {message}", err=True)
            try:
                return super().invoke(ctx)
            except (MaskOptError, ValueError, OSError) as error:
                raise click.ClickException(str(error)) from error


@click.group(cls=Refusing, context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(package_name="maskopt-study")
def main() -> None:
    """Masks for lithography: what is in a layout, what optics print, what a mask is worth."""


def say(values: Mapping[str, Any], out: Path | None = None) -> None:
    """Values as JSON, to a file or to the terminal; what is not finite is null."""
    text = json.dumps(_plain(values), indent=2, ensure_ascii=False, allow_nan=False)
    if out is None:
        click.echo(text)
    else:
        from maskopt_lib import files

        files.write_bytes(out, f"{text}\n".encode())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(entry) for name, entry in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@main.command()
@click.argument("process")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write the kernels to, as the contest's files.")
@click.option("--order", type=click.Choice(["openilt", "file"]), default="openilt", help="Of the arrays in the files.")
def kernels(process: str, out: Path | None, order: str) -> None:
    """Print the kernels of PROCESS: focus settings, clear fields, energies."""
    from maskopt_lib import optics

    found = optics.load(process)
    say(
        {
            "name": found.name,
            "period_nm": found.period_nm,
            "focus": list(found.focus_names),
            "defocus_nm": found.defocus_nm,
            "clear_field": found.clear_field,
            "weights": found.weights,
            "written": [str(path) for path in optics.write_kernels(found, out, order=order)] if out else [],
        }
    )


if __name__ == "__main__":
    main()
