"""Clips of placed designs routed with qrouter, so that more netlists have vias: ``make routed``.

Each clip becomes a folder of results/routed, a design like one of your own, which notebook 22 takes by its name. Its
vias are real in that a router had to find room for them among real cells; it was not the design's own router, and what
breaks a rule is left out when tiles are cut.
"""

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import xarray as xr
import yaml

from maskopt_lib import files
from maskopt_lib.data import manifest
from maskopt_lib.errors import LayoutError, MaskOptError
from maskopt_lib.layout.catalog import design_info, open_design
from maskopt_lib.layout.connectivity import connections
from maskopt_lib.layout.design_rules import check_design_rules, read_deck
from maskopt_lib.layout.designs import Design, DesignInfo, read_design
from maskopt_lib.layout.own_design import FILE, ROUTED, read_folder
from maskopt_lib.layout.placement_clip import clip_placement, nets_of
from maskopt_lib.layout.platforms import PLATFORMS, Platform, design_inputs
from maskopt_lib.layout.qrouter import qrouter_version, route
from maskopt_lib.runs.gather import Task, complete, labelled
from maskopt_lib.runs.hashing import key_of, source_hash
from maskopt_lib.runs.locks import FolderLock
from maskopt_lib.runs.parts import part_path, read_part, said_of, write_part
from maskopt_lib.runs.paths import relative
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.routed_clips import ClipSource, clip_folder, clip_names, clip_source

#: Layers that a clip is good for: its metal 1 and contacts are those of the placed design, which the study has whole.
LAYERS = ("via1",)
#: Rules that its tiles keep, a deck of data_manifest/design_rules.
RULES = "routed45"
# Metals and cuts that are routed on, from below; those that no mask of the study is made of by their numbers in GDS.
_STACK = ("metal1", "via1", "metal2", "via2", "metal3", (16, 0), (17, 0), (18, 0), (19, 0), (20, 0), (21, 0))
_DEF = "def"
# What makes the wires, and what is said of them.
_MAKE = [
    "maskopt_lib.layout.catalog",
    "maskopt_lib.layout.placement_clip",
    "maskopt_lib.layout.qrouter",
    "maskopt_lib.layout.connectivity",
    "maskopt_lib.layout.design_rules",
    "maskopt_lib.study.dataset.routed",
]
#: What is counted of a clip -> what it is, and its unit.
COUNTS = {
    "side_um": ("side of the clip", "um"),
    "components": ("cells in it", "1"),
    "nets": ("nets between them", "1"),
    "routed": ("nets that were routed, joined, and touch no other", "1"),
    "via1": ("via 1 in it", "1"),
    "violations": (f"places where it breaks the rules {RULES}", "1"),
    "route_s": ("wall time of the router", "s"),
    "def_sha256": "SHA-256 of its DEF",
    "as_known": "whether that is the one that the study had",
}


@dataclass(frozen=True, kw_only=True)
class _Clip(Task):
    source: ClipSource

    def __str__(self) -> str:
        return self.source.name


def route_clips(names: Sequence[str], folder: Path) -> xr.Dataset:
    """Route clips and leave each as a design; what is there and whole is not made again.

    Parameters
    ----------
    names : of :func:`maskopt_lib.study.dataset.routed_clips.clip_names`.
    folder : where they go, a folder each beside their parts.

    Returns
    -------
    Dataset over ``clip``: :data:`COUNTS`, ``def_sha256``, and ``as_known``, whether that is what the manifest says.

    Raises
    ------
    MissingDataError : no qrouter, or no placed design.
    LayoutError : the router failed, or what it made is not what the layout holds.
    """
    sources = [clip_source(name) for name in names]
    with FolderLock(folder, "routing clips", wait_s=math.inf, tell=click.echo):
        version = qrouter_version()
        known = manifest.load_manifest()
        code = [source_hash(_MAKE), *map(asdict, read_deck(RULES))]
        tasks = []
        for source in sources:
            info = design_info(source.of)
            inputs = design_inputs(info.file or "", PLATFORMS[info.platform])
            hashes = [known.entry(str(name)).sha256 for name in inputs]
            cut = {key: value for key, value in asdict(source).items() if key != "def_sha256"}
            key = key_of([code, version, hashes, cut])
            tasks.append(_Clip(source=source, path=part_path(folder, source.name, key=key)))
        # Each is left as soon as it is there: whoever stops the rest has it.
        complete(_route, tasks, title="routed", unit="clip", after=lambda task, _: _left(task, folder, version))
        rows = {(task.source.name,): _left(task, folder, version) for task in tasks}
    return labelled(rows, ("clip",), texts=COUNTS)


def _route(task: _Clip, kept: Kept) -> None:
    """Cut, route and check one clip."""
    source, info = task.source, design_info(task.source.of)
    platform = PLATFORMS[info.platform]
    placed = open_design(source.of)
    clip = clip_placement(placed, nets_of(placed.path), source.middle_um, source.side_um)
    routed = route(clip, source.name, platform)
    found = connections(_drawn(routed.text, platform), clip.nets, _STACK)
    # Wires that join too little, or too much, are no example of a layout.
    good = {net: w for net, w in routed.routes.items() if net not in {*found.open_nets, *found.shorted}}
    routed = replace(routed, routes=good)
    design = _drawn(routed.text, platform)
    left = connections(design, {net: clip.nets[net] for net in good}, _STACK)
    if left.open_nets or left.shorted:
        raise LayoutError(f"{source.name}: {len(left.open_nets)} nets are open and {len(left.shorted)} touch others")
    report = check_design_rules(design, RULES)
    data = routed.text.encode()
    values = {
        "side_um": source.side_um,
        "components": len(clip.components),
        "nets": len(clip.nets),
        "routed": len(good),
        "via1": design.count("via1"),
        "violations": int(report["violations"].sum()),
        "route_s": routed.route_s,
        "def_sha256": files.bytes_sha256(data),
    }
    write_part(task.path, {_DEF: np.frombuffer(data, np.uint8)}, values)


def _drawn(text: str, platform: Platform) -> Design:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "routed.def"
        path.write_text(text, encoding="utf-8")
        return read_design(path, platform=platform)


def _left(task: _Clip, folder: Path, version: str) -> dict[str, object]:
    """Leave the clip of a part as a folder with a design, where it is not there already; what is said of it."""
    said, source = said_of(task.path), task.source
    data = read_part(task.path, [_DEF])[_DEF].tobytes()
    about = yaml.safe_dump(_described(source, design_info(source.of), said, version), sort_keys=False, width=116)
    wanted = {FILE: about.encode(), f"{source.name}.def": data}
    place = folder / source.name
    if {name: (place / name).read_bytes() for name in wanted if (place / name).is_file()} != wanted:
        with files.replacing(place, check=read_folder) as beside:
            beside.mkdir()
            for name, contents in wanted.items():
                (beside / name).write_bytes(contents)
    return said | {"as_known": said["def_sha256"] == source.def_sha256}


def _described(source: ClipSource, info: DesignInfo, said: Mapping[str, object], version: str) -> dict[str, object]:
    """What ``design.yaml`` of a clip says."""
    x, y = source.middle_um
    return {
        "name": source.name,
        "family": info.family,
        "file": f"{source.name}.def",
        "state": ROUTED,
        "layers": list(LAYERS),
        "licence": info.licence,
        "redistribution": info.redistribution,
        "platform": info.platform,
        "rules": RULES,
        "notes": (
            f"{source.side_um:g} um of {source.of} around ({x:g}, {y:g}) um: {said['components']} cells; of "
            f"{said['nets']} nets between them {said['routed']} were routed by us with qrouter {version}, not by the "
            f"design's own router. {said['violations']} places break the rules {RULES}: windows that show one are left "
            f"out. SHA-256 of the DEF: {said['def_sha256']}."
        ),
    }


@click.command(help=__doc__)
@click.argument("names", nargs=-1)
def main(names: Sequence[str]) -> None:
    """Route the clips that are named, all by default."""
    folder = clip_folder("")
    try:
        table = route_clips(names or clip_names(), folder)
    except (MaskOptError, OSError) as mistake:
        raise click.ClickException(str(mistake)) from mistake
    click.echo(table.drop_vars(["def_sha256", "as_known"]).to_dataframe().to_string())
    for name in table["clip"].values.tolist():
        one = table.sel(clip=name)
        click.echo(f"{name}: SHA-256 of the DEF {one['def_sha256'].item()}")
        if unrouted := int(one["nets"]) - int(one["routed"]):
            click.echo(f"{name}: {unrouted} of {int(one['nets'])} nets are without wires")
        if not bool(one["as_known"]):
            click.echo(f"{name}: not the wires that the study had (SHA-256 in data_manifest/routed_clips.yaml)")
    click.echo(f"== {table.sizes['clip']} routed clips in {relative(folder)}; notebook 22 takes them by name")


if __name__ == "__main__":
    main()
