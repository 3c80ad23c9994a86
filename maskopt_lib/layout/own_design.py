"""A design of one's own: a folder with its files and a ``design.yaml`` that says what they are.

::

    name: my_block
    family: my_block            # the circuit: designs of one family stay on one side of a split
    file: my_block.def          # or a .gds or .oas that is finished and hierarchical, cells below one top cell
    state: routed               # routed | routed by us (a clip of a placement, maskopt_lib.study.dataset.routed) |
                                # placed | global placement (open_design puts its cells on rows)
    layers: [metal1, contact]   # those that the design is good for
    licence: Apache-2.0
    redistribution: true        # whether tiles that are cut from it may be passed on
    platform: nangate45         # a platform of the study, or one of your own:
    # platform:
    #   layer_map: {metal1: [11, 0], contact: [10, 0], via1: [12, 0]}   # names as in LEF and DEF; or a .yaml or .lyp
    #   outline: [235, 0]       # outline of a cell, drawn in its layout
    #   lefs: [tech.lef, cells.lef]    # for a DEF
    #   layouts: [cells.gds]           # for a DEF
    #   technology: my.lyt      # optional: KLayout's own map of LEF and DEF layers
    #   die: [236, 0]           # optional: outline of the design, if not on the layer of the outlines
    #   no_logic: ["FILL*"]     # optional: cells that only fill, tie or protect
    notes: ""                   # optional: limits
    rules: routed45             # optional: a deck of data_manifest/design_rules, or a file beside; where the design
                                # breaks one of its rules no tiles are cut
    # top: CHIP                 # optional: the cell that is the design, in a file with several top cells
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from maskopt_lib import yaml_files
from maskopt_lib.errors import LayoutError, MissingDataError, SchemaError, UnknownNameError
from maskopt_lib.layout.designs import Design, DesignInfo, read_design
from maskopt_lib.layout.layers import layer_names, resolve_layer
from maskopt_lib.layout.platforms import PLATFORMS, Platform, platform_file

#: The file that makes a folder a design.
FILE = "design.yaml"
#: State of a design whose file is a global placement.
LEGALISED = "legalised by us"
#: State of a clip of a placement whose nets we had routed.
ROUTED = "routed by us"
#: States that ``design.yaml`` may give, and what the catalog calls them.
STATES = {"routed": "routed", ROUTED: ROUTED, "placed": "placed", "global placement": LEGALISED}
_NEEDED = ("name", "family", "file", "state", "layers", "licence", "redistribution", "platform")
_OPTIONAL = ("notes", "top", "rules")
_PLATFORM_NEEDED = ("layer_map", "outline")
_PLATFORM_OPTIONAL = ("lefs", "layouts", "technology", "die", "no_logic")


def read_folder(folder: str | Path) -> Design:
    """A design of a folder with ``design.yaml``, as its file has it.

    Raises
    ------
    MissingDataError : no ``design.yaml``, or a file that it names is not there.
    SchemaError : no YAML.
    LayoutError : keys missing or unknown, or values that cannot be; names file, key and remedy.
    UnknownNameError : no such platform.
    """
    folder = Path(folder)
    path = folder / FILE
    if not path.is_file():
        raise MissingDataError(f"{folder} has no {FILE}; write one, maskopt_lib/layout/own_design.py shows how")
    fields = yaml_files.read(path).value
    _check_keys(path, "", fields, _NEEDED, _OPTIONAL)
    source = _file(path, fields["file"])
    if not re.fullmatch(r"[\w.-]+", str(fields["name"])):
        raise LayoutError(f"{path}: name {fields['name']!r} becomes part of file names; use letters, digits and _-.")
    if fields["state"] not in STATES:
        raise LayoutError(f"{path}: state {fields['state']!r} is none of {', '.join(STATES)}")
    if not isinstance(fields["redistribution"], bool):
        raise LayoutError(f"{path}: redistribution is true or false, got {fields['redistribution']!r}")
    if not isinstance(fields["layers"], list) or not fields["layers"]:
        raise LayoutError(f"{path}: layers is a list of at least one name, got {fields['layers']!r}")
    platform, name = _platform(path, fields["platform"], needs_cells=source.suffix.lower() == ".def")
    for layer in fields["layers"]:
        resolve_layer(layer, platform.process)
    info = DesignInfo(
        name=str(fields["name"]),
        family=str(fields["family"]),
        platform=name,
        file=str(source),
        state=STATES[fields["state"]],
        layers=tuple(fields["layers"]),
        licence=str(fields["licence"]),
        redistribution=fields["redistribution"],
        notes=str(fields.get("notes") or ""),
    )
    return replace(read_design(source, platform=platform, top=fields.get("top")), name=info.name, info=info)


def rules_of(folder: str | Path) -> str | Path:
    """Deck of rules that the tiles of a folder's design keep, see :func:`maskopt_lib.layout.design_rules.read_deck`.

    "" where its ``design.yaml`` names none; a file that lies in the folder goes before a deck of the study.
    """
    path = Path(folder) / FILE
    name = str(yaml_files.read(path).value.get("rules") or "")
    return beside if name and (beside := path.parent / name).is_file() else name


def folder_inputs(folder: str | Path) -> list[Path]:
    """All files that a design of a folder is read from."""
    design = read_folder(folder)
    path, platform = Path(folder) / FILE, design.platform
    given = yaml_files.read(path).value["platform"]
    names = given["layer_map"] if isinstance(given, Mapping) else ""
    layer_map = [_file(path, names)] if isinstance(names, str) and names else []
    named = (platform.technology, *platform.lefs, *platform.layouts)
    return [path, design.path, *layer_map, *(platform_file(name) for name in named if name)]


def design_name(folder: str | Path) -> str:
    """What ``design.yaml`` of a folder calls the design; of one that cannot be read the name of the folder."""
    try:
        return str(yaml_files.read(Path(folder) / FILE).value["name"])
    except (OSError, SchemaError, KeyError, TypeError):
        return Path(folder).name  # read_folder says what is wrong


def _check_keys(path: Path, where: str, fields, needed, optional) -> None:
    what = where or "the file"
    if not isinstance(fields, Mapping):
        raise LayoutError(f"{path}: {what} holds no keys; it needs {', '.join(needed)}")
    if missing := [key for key in needed if key not in fields]:
        raise LayoutError(f"{path}: {what} lacks {', '.join(missing)}; it needs {', '.join(needed)}")
    if unknown := [str(key) for key in fields if key not in (*needed, *optional)]:
        raise LayoutError(f"{path}: {what} has unknown {', '.join(unknown)}; known: {', '.join((*needed, *optional))}")


def _platform(path: Path, given, *, needs_cells: bool) -> tuple[Platform, str]:
    """The platform and what results call it."""
    if isinstance(given, str):
        if given not in PLATFORMS:
            raise UnknownNameError(f"{path}: no platform {given!r}; known: {', '.join(PLATFORMS)}, or describe one")
        return PLATFORMS[given], given
    _check_keys(path, "platform", given, (*_PLATFORM_NEEDED, *(("lefs", "layouts") * needs_cells)), _PLATFORM_OPTIONAL)
    layer_map = given["layer_map"]
    if not isinstance(layer_map, Mapping | str) or not layer_map:
        raise LayoutError(f"{path}: layer_map gives each name its [layer, datatype], got {layer_map!r}")
    if isinstance(layer_map, str):
        layer_map = {name: list(pair) for name, pair in layer_names(_file(path, layer_map)).items()}
    outline = _pair(path, "outline", given["outline"])
    technology = given.get("technology")
    platform = Platform(
        process={str(name): _pair(path, f"layer_map {name}", pair) for name, pair in layer_map.items()},
        technology=str(_file(path, technology)) if technology else "",
        lefs=tuple(str(_file(path, name)) for name in given.get("lefs") or ()),
        layouts=tuple(str(_file(path, name)) for name in given.get("layouts") or ()),
        outline=outline,
        die=_pair(path, "die", given["die"]) if "die" in given else outline,
        no_logic=tuple(given.get("no_logic") or ()),
    )
    return platform, "own"


def _pair(path: Path, key: str, value) -> tuple[int, int]:
    if not (isinstance(value, list) and len(value) == 2 and all(type(part) is int for part in value)):
        raise LayoutError(f"{path}: {key} is [layer, datatype] such as [11, 0], got {value!r}")
    return value[0], value[1]


def _file(path: Path, name) -> Path:
    found = path.parent / str(name)
    if not found.is_file():
        raise MissingDataError(f"{path} names {name}, which is not in {path.parent}")
    return found
