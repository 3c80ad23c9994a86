"""Layers by name: ``"metal1"``, ``"11/0"`` and ``(11, 0)`` are one layer, by the names of a process or of one's own."""

import operator
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias
from xml.etree import ElementTree

from maskopt_lib import yaml_files
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.errors import LayoutError, MissingDataError, UnknownNameError

#: A name of the layer map, "11/0", or (layer, datatype).
Layer: TypeAlias = str | tuple[int, int]
#: A file of ``data_manifest/layers``, a YAML map, a KLayout ``.lyp``, or the names themselves.
Layers: TypeAlias = str | Path | Mapping[str, Layer]
_PAIR = re.compile(r"\s*(\d{1,10})\s*/\s*(\d{1,10})\s*")
#: Largest layer and datatype that OASIS readers keep; GDS has half of 16 bits.
_MAX_NUMBER = 2**31 - 1


def layer_names(layers: Layers = "freepdk45") -> dict[str, tuple[int, int]]:
    """Layer names: name -> (layer, datatype).

    Parameters
    ----------
    layers : a file of ``data_manifest/layers`` ("freepdk45", "asap7", "sky130"); the path of a YAML map from each name
        to ``[layer, datatype]`` or ``layer/datatype``; the path of KLayout's layer properties, ``.lyp``, where
        "metal1.drawing - 11/0" is "metal1.drawing" and "metal1"; or the names themselves.

    Raises
    ------
    UnknownNameError : neither a file nor a process of ``data_manifest/layers``; lists those.
    SchemaError : a file that is no YAML.
    LayoutError : a file that is no map of layers; names file, entry and remedy.

    Examples
    --------
    >>> layer_names("freepdk45")["metal1"]
    (11, 0)
    """
    if isinstance(layers, Mapping):
        return _checked(layers, "the layer map")
    known = {path.stem: path for path in sorted((FOLDER / "layers").glob("*.yaml"))}
    path = known.get(str(layers), Path(layers))
    if path.suffix.lower() not in (".yaml", ".yml", ".lyp"):
        raise UnknownNameError(
            f"no layer names for process {str(layers)!r}; known: {', '.join(known)}, or your own .yaml or .lyp"
        )
    if not path.is_file():
        raise MissingDataError(f"no map of layers at {path}; check the path, or take one of {', '.join(known)}")
    table = _properties(path) if path.suffix.lower() == ".lyp" else yaml_files.read(path).value
    if not isinstance(table, Mapping) or not table:
        raise LayoutError(f"{path}: no layer in it; write lines such as 'metal1: [11, 0]'")
    return _checked(table, str(path))


def resolve_layer(layer: Layer, layers: Layers = "freepdk45") -> tuple[int, int]:
    """(layer, datatype) of a layer.

    Parameters
    ----------
    layer : a name of the map, "11/0", or (11, 0).
    layers : whose names hold; as for :func:`layer_names`.

    Raises
    ------
    LayoutError : unknown name, for which the message lists the known ones, or no layer at all.

    Examples
    --------
    >>> resolve_layer("metal1"), resolve_layer("11/0"), resolve_layer((11, 0)), resolve_layer("li1", {"li1": "67/20"})
    ((11, 0), (11, 0), (11, 0), (67, 20))
    """
    if isinstance(layer, str) and not _PAIR.fullmatch(layer):
        known = layer_names(layers)
        if layer.strip() not in known:
            named = layers if isinstance(layers, str | Path) else "the layer map"
            raise LayoutError(
                f"unknown layer {layer!r}; {named} has {', '.join(known)}, and "
                "any layer/datatype such as '11/0' will do; give your own names with layers="
            )
        return known[layer.strip()]
    return _pair(layer, "a layer is a name, 'layer/datatype' or a (layer, datatype) pair such as (11, 0)")


def _checked(table: Mapping, where: str) -> dict[str, tuple[int, int]]:
    return {
        str(name): _pair(pair, f"{where}: {name} is [layer, datatype] such as [11, 0]") for name, pair in table.items()
    }


def _pair(value, expected: str) -> tuple[int, int]:
    parts = value
    if isinstance(value, str):
        parts = match.groups() if (match := _PAIR.fullmatch(value)) else None
        parts = parts and map(int, parts)
    try:
        number, datatype = (operator.index(part) for part in parts)
        if isinstance(value[0], bool) or not (0 <= number <= _MAX_NUMBER and 0 <= datatype <= _MAX_NUMBER):
            raise ValueError
    except (TypeError, ValueError, KeyError):
        raise LayoutError(f"{expected}, whole and not negative; got {value!r}") from None
    return number, datatype


def _properties(path: Path) -> dict[str, str]:
    """Names and sources of KLayout's layer properties; names without the numbers that tools write into them."""
    if path.stat().st_size > yaml_files.LARGEST_BYTES:
        raise LayoutError(f"{path}: {path.stat().st_size} bytes are no layer properties; take its .lyp file")
    try:
        text = path.read_text(encoding="utf-8")
        if "<!" in text.replace("<!--", ""):
            raise ValueError("it declares what a .lyp file does not")
        entries = list(ElementTree.fromstring(text).iter())
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise LayoutError(f"{path}: no layer properties ({error}); save them again in KLayout") from error
    table: dict[str, str] = {}
    for entry in entries:
        source = re.fullmatch(r"(?:.*\s)?(\d+/\d+)(?:@\d+)?", (entry.findtext("source") or "").strip())
        if source is None:
            continue
        name = re.sub(r"^\d+\s*/\s*\d+\s*|[\s-]*\d+\s*/\s*\d+(?:@\d+)?\s*$", "", (entry.findtext("name") or "").strip())
        for called in (name, re.sub(r"[. ]drawing$", "", name)):
            if called:
                table.setdefault(called, source[1])
    return table
