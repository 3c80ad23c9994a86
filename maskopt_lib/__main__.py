"""The study from a terminal: ``python -m maskopt_lib``, or ``maskopt``; each command stands on the library's doors."""

from __future__ import annotations

import json
import math
import re
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from maskopt_lib.errors import MaskOptError

if TYPE_CHECKING:
    from maskopt_lib.layout import Design
    from maskopt_lib.layout.layers import Layers

# Commands import what they use themselves: to explain one takes no second of importing torch.


class Refusing(click.Group):
    """A group of commands that end with one line on stderr, no traceback, and exit status 1 where the library refuses.

    Usage that click itself refuses ends with 2. A warning is a line on stderr as well, once.
    """

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""

        def told(said: object) -> str:
            return _by_options(str(said), self.commands.get(ctx.invoked_subcommand or "", self))

        shown: set[str] = set()

        def show(message: object, *_: Any, **__: Any) -> None:
            if (text := told(message)) not in shown:  # a layout is opened more than once
                click.echo(f"Warning: {text}", err=True)
            shown.add(text)

        with warnings.catch_warnings():
            warnings.showwarning = show
            try:
                return super().invoke(ctx)
            except KeyboardInterrupt as stop:
                click.echo(told("; ".join(["stopped", *getattr(stop, "__notes__", [])])), err=True)
                raise
            except (MaskOptError, ValueError, OSError) as error:
                raise click.ClickException(told("; ".join([str(error), *getattr(error, "__notes__", [])]))) from error


# What the library calls otherwise than the command line.
_CALLED = {"region_nm": "region", "top": "cell", "out_dir": "out"}


def _by_options(said: str, command: click.Command) -> str:
    """What the library says of its parameters, with the names that they have on the command line."""
    options = {str(param.name): param.opts[0] for param in command.params if isinstance(param, click.Option)}
    options |= {name: options[other] for name, other in _CALLED.items() if other in options}
    in_words = "|".join(name for name in options if "_" in name) or "(?!)"
    pattern = re.compile(rf"\b({'|'.join(options)})=(?=(\S?))|\b({in_words})\b")

    def option(found: re.Match[str]) -> str:
        return options[found[1] or found[3]] + (" " if found[2] and found[2] not in ",;." else "")

    return pattern.sub(option, said) if options else said


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


FILE = click.Path(path_type=Path)
CELL = click.option("--cell", help="Cell of the layout, with all below it; default: the only top cell.")
LAYERS = click.option(
    "--layers", help="Layer map by name, a .yaml or KLayout's .lyp; default: the process's, or freepdk45."
)
PROCESS = click.option("--process", default="embedded", help="A process or kernel set by name, or your own .yaml.")
REGION = click.option(
    "--region", nargs=4, type=float, metavar="X0 Y0 X1 Y1", help="In nm, as the layout counts; default: all of it."
)
PLATFORM = click.option("--platform", help="Whose cells a DEF places: nangate45 or asap7.")
_ABOVE_0 = click.FloatRange(0, min_open=True)
CONTEXT = click.option("--context-nm", type=_ABOVE_0, help="Seen around a window; default: a quarter of the field.")
DECK = click.option("--deck", help="Mask rules: a deck's name or a .yaml; default: the process's.")
PIXEL = click.option("--pixel-nm", type=_ABOVE_0, help="Side of a pixel; default: the process's.")


def layer_option(name: str, of: str) -> Any:
    """A layer among the options, by name or as 11/0."""
    return click.option(name, help=f'Layer of {of}: a name, or "11/0"; default: the only one.')


@main.command()
@click.argument("layout_file")
@CELL
@LAYERS
@click.option("--process", help="Say by this process what the smallest shapes ask for: k1 of widths and spaces.")
def info(layout_file: str, cell: str | None, layers: str | None, process: str | None) -> None:
    """Print what is in LAYOUT_FILE: cells, layers, boxes, database unit.

    By a process it says k1, the smallest width or space times NA by wavelength: below 0.25 no row
    of such lines prints. Shapes without a number are no smaller than wavelength by NA.
    """
    from maskopt_lib import litho

    chosen = litho.load_process(process) if process else None
    design = _design(layout_file, cell, layers or (chosen.layers if chosen else None))
    found = {}
    for pair, name in design.layers.items():
        key = f"{pair[0]}/{pair[1]}"
        found[key] = {"name": name, "shapes": design.count(pair), "box_nm": design.bounds_nm(pair)}
        if chosen:
            smallest = design.smallest_nm(pair, chosen.unit_nm)
            found[key] |= {f"{kind}_nm": None if math.isnan(size) else size for kind, size in smallest.items()}
            shortest = min(filter(None, (found[key]["width_nm"], found[key]["space_nm"])), default=None)
            found[key]["k1"] = shortest and round(chosen.k1(shortest), 3)
    say(
        {
            "file": str(design.path),
            "database_unit_nm": design.dbu_nm,
            "top": design.top.name,
            "cells": design.layout.cells(),
            "box_nm": design.box_nm,
            "layers": found,
        }
    )


@main.command()
@click.argument("mask_file")
@click.argument("layout")
@layer_option("--layer", "the target")
@click.option("--mask-layer", default="", help="Of the mask in its file; default: 111/0 where drawn, or the only one.")
@CELL
@LAYERS
@PLATFORM
@PROCESS
@REGION
@CONTEXT
@PIXEL
@DECK
@click.option("--out", type=FILE, help="JSON file to write to; default: the terminal.")
def score(mask_file: str, layout: str, out: Path | None, **asked: Any) -> None:
    """Score the mask in MASK_FILE against LAYOUT, both as drawn in one layout: print, edges, mask rules, shots.

    Of a region its surroundings are printed with it, and only what lies in it counts: give a mask that goes on around
    it. Without one, all that is drawn counts, and all that prints.

    \b
    python -m maskopt_lib score mask.oas in.gds --layer 37/4 --process my.yaml
    """
    import tempfile
    from contextlib import redirect_stdout

    from maskopt_lib import files
    from maskopt_lib.study.areas import own_layout

    read = own_layout.files_read(layout, mask_file, asked["process"], asked["deck"], asked["layers"])
    files.check_places(out, read=read)
    # The terminal gets the scores, the progress goes where warnings go.
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(sys.stderr):
        found = own_layout.score(mask_file, layout, Path(folder), **_given(asked))
    say(found, out)


@main.command()
@click.argument("process", required=False)
@click.option("--out", type=FILE, help="Folder to write the kernels to.")
@click.option(
    "--layout", type=click.Choice(["contest", "openilt", "curvyilt"]), default="contest",
    help="What is written: fh*.bin and scales.txt, OpenILT's and LithoBench's .pt, or CurvyILT's .npy.",
)  # fmt: skip
@click.option("--order", type=click.Choice(["openilt", "file"]), default="openilt", help="Of arrays in fh*.bin.")
@click.option("--n-kernels", type=click.IntRange(1), help="The strongest ones; default: what the process asks for.")
@click.option("--side", type=click.IntRange(3), help="Frequencies along an axis, odd: 35 for the contest's programs.")
@click.option("--inspect", type=FILE, help="Instead: say whether the kernels in a folder are what they should be.")
def kernels(
    process: str | None,
    out: Path | None,
    layout: str,
    order: str,
    n_kernels: int | None,
    side: int | None,
    inspect: Path | None,
) -> None:
    """Print the kernels of PROCESS, and write them: focus settings, clear fields, energies.

    \b
    python -m maskopt_lib kernels my.yaml --n-kernels 24 --side 35 --layout openilt --out kernel
    python -m maskopt_lib kernels --inspect kernel
    """
    from maskopt_lib import litho, optics

    if (process is None) == (inspect is None):
        raise click.UsageError("give a PROCESS, or --inspect with a folder")
    if inspect is not None:
        click.echo(str(optics.inspect(inspect)))
        return
    chosen = litho.load_process(process)
    found = chosen.strongest(n_kernels) if n_kernels else chosen.kernels
    if side:
        found = optics.padded(found, side // 2)
    write = {
        "contest": lambda: optics.write_kernels(found, out, order=order),
        "openilt": lambda: optics.write_openilt(found, out),
        "curvyilt": lambda: optics.write_curvyilt(found, out),
    }[layout]
    say(
        {
            "name": found.name,
            "period_nm": found.period_nm,
            "focus": list(found.focus_names),
            "defocus_nm": found.defocus_nm,
            "clear_field": found.clear_field,
            "weights": found.weights,
            "written": [str(path) for path in write()] if out else [],
        }
    )


@main.command()
@click.argument("layout_file")
@click.argument("out", type=FILE)
@layer_option("--layer", "the layout")
@click.option("--to-layer", help="Layer in OUT; default: the same.")
@CELL
@LAYERS
@REGION
def convert(
    layout_file: str,
    out: Path,
    layer: str | None,
    to_layer: str | None,
    cell: str | None,
    layers: str | None,
    region: tuple[float, ...] | None,
) -> None:
    """Write one layer of LAYOUT_FILE, merged and flat, to OUT (.oas or .gds), and print what is there."""
    from maskopt_lib import files, layout
    from maskopt_lib.layout.reader import layer_in
    from maskopt_lib.layout.writer import new_layout, write_polygons

    files.check_places(out, read=filter(None, (layout_file, layers)))
    design = _design(layout_file, cell, layers)
    _, pair = layer_in(design.path, design.layout, design.top, layer, design.platform.process)
    design.warn_without_area(pair)
    drawing, top = new_layout(design.dbu_nm, design.top.name)
    target = layout.resolve_layer(to_layer, layers or "freepdk45") if to_layer else pair
    pieces = (np.rint(points / design.dbu_nm) for points in design.polygons(pair, region))
    written = write_polygons(drawing, top, pieces, out, layer=target)
    say({name: getattr(written, name) for name in ("layer", "polygons", "vertices", "area_nm2")} | {"file": str(out)})


def _design(source: str, cell: str | None, layers: Layers | None) -> Design:
    """A layout as a hierarchy, with one's own names of layers; those of a GLP file count from 1."""
    from dataclasses import replace

    from klayout import db

    from maskopt_lib import layout
    from maskopt_lib.layout.glp import read_glp

    path = Path(source)
    if path.is_dir():
        return layout.open_design(source)
    if path.suffix.lower() == ".def":
        return layout.read_design(source, top=cell)
    names = layout.layer_names(layers or "freepdk45")
    platform = layout.PLATFORMS["nangate45"]
    if path.suffix.lower() != ".glp":
        return layout.read_design(source, platform=replace(platform, process=names), top=cell)
    glp, drawing = read_glp(path), db.Layout()
    names = {level: (number, 0) for number, level in enumerate(glp.levels, start=1)}
    top = drawing.create_cell(path.stem)
    for shape in glp.shapes:
        points = [db.Point(x, y) for x, y in shape.points.astype(int).tolist()]
        top.shapes(drawing.layer(*names[str(shape.layer)])).insert(db.Polygon(points))
    return layout.Design(name=path.stem, path=path, platform=replace(platform, process=names), layout=drawing)


def _options(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    from maskopt_lib import yaml_files

    if wrong := [value for value in values if "=" not in value]:
        raise click.BadParameter(f"{wrong[0]!r} is not name=value", ctx, param)
    pairs = (each.partition("=") for each in values)
    return {name: yaml_files.parse(value, name=f"option {name}").value for name, _, value in pairs}


@main.command()
@click.argument("layout", type=FILE)
@click.option("--out", type=FILE, required=True, help="The mask, .oas or .gds.")
@layer_option("--layer", "the layout")
@LAYERS
@CELL
@REGION
@PROCESS
@PIXEL
@PLATFORM
@CONTEXT
@click.option("--method", default="rule_aware", help="One of opc.METHODS.")
@click.option("--preset", help="Of the method; default: its first.")
@click.option("--option", "options", multiple=True, callback=_options, help="name=value of the method; repeatable.")
@DECK
@click.option(
    "--sensitive", multiple=True, type=(str, float), metavar="LAYER WEIGHT",
    help="What lies under shapes of that layer counts so many times; repeatable.",
)  # fmt: skip
@click.option("--mask-layer", default="111/0", help="Of the mask in the file.")
@click.option("--target-layer", default="110/0", help="Of the target beside it.")
@click.option("--beside", is_flag=True, help="Write all of the layout's own layers instead of the target.")
@click.option("--contours", type=click.Choice(["smooth", "pixel"]), default="smooth", help="Outlines of the mask.")
@click.option("--vertex-tolerance-nm", default=0.5, help="How far a smooth outline may move to save vertices.")
@click.option("--around", type=FILE, help="The mask as far as it goes around the region, to print it again.")
@click.option("--json", "scores_file", type=FILE, help="Scores, rules and files; else on stdout.")
@click.option("--markers", type=FILE, help="Broken rules, and where the print is off, as KLayout's .lyrdb.")
@click.option("--picture", type=FILE, help="Masks and prints before and after, .png or .svg.")
@click.option(
    "--work", type=FILE, help="Folder that keeps what is solved; default: beside the mask, until it is written."
)
@click.option("--workers", type=click.IntRange(1), default=1, help="Processes for the windows of a large region.")
@click.option("--device", default="cpu", help="cpu or cuda.")
def optimize(
    layout: Path, out: Path, work: Path | None, scores_file: Path | None, picture: Path | None, **asked: Any
) -> None:
    """Optimise the mask of a region of LAYOUT (.gds, .oas, .def or .glp), score it, check its rules, write it.

    A DEF with LEF files and cells of your own is a folder with a design.yaml (python -m pydoc
    maskopt_lib.layout.own_design). Scores, broken rules and what is in the file are told as JSON. All that is to be
    written is tried first. A run that ends early, in whatever way, loses nothing that it solved: the same command goes
    on from there.

    \b
    python -m maskopt_lib optimize in.gds --layer 37/4 --out mask.oas
    python -m maskopt_lib optimize in.oas --layer metal1 --region 0 0 900 900 --process my.yaml --out mask.oas \\
        --picture before_after.png --markers broken.lyrdb --json scores.json
    python -m maskopt_lib optimize in.def --platform nangate45 --layer metal1 --region 0 0 4000 4000 --workers 2 \\
        --out mask.gds

    Exit status: 0 when everything is written, 1 with one line for what cannot be done, 2 for a wrong command line.
    """
    from contextlib import redirect_stdout

    from maskopt_lib import files
    from maskopt_lib.study.areas import own_layout

    if picture is not None and picture.suffix not in (".png", ".svg"):
        raise click.BadParameter(f"{picture} is neither .png nor .svg", param_hint="--picture")
    if asked["markers"] is not None and asked["markers"].suffix != ".lyrdb":
        raise click.BadParameter(f"{asked['markers']} is no .lyrdb", param_hint="--markers")
    read = own_layout.files_read(layout, asked["process"], asked["deck"], asked["layers"])
    files.check_places(out, asked["around"], asked["markers"], scores_file, picture, read=read)
    draw = None if picture is None else lambda shown: _draw(shown, picture)
    # The terminal gets the scores, the progress of the solves goes where warnings go.
    with own_layout.work_folder(out, work) as folder:
        with redirect_stdout(sys.stderr):
            found = own_layout.optimize(layout, out, folder, draw=draw, **_given(asked))
        say(found, scores_file)


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}


def _draw(shown: Any, path: Path) -> None:
    """Masks and prints, one row each, as one picture."""
    from maskopt_lib import figures

    figures.save(figures.mask_panels(shown, rows="shown"), path.stem, path.parent, formats=(path.suffix[1:],))


if __name__ == "__main__":
    main()
