"""The designs of the study by name: where they are from, what they are good for, and how to open one."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pooch

from maskopt_lib import yaml_files
from maskopt_lib.data import manifest
from maskopt_lib.errors import LayoutError, MissingDataError, UnknownNameError
from maskopt_lib.layout import demo_block, rows
from maskopt_lib.layout import legalize as legalizer
from maskopt_lib.layout.designs import Design, DesignInfo, read_design
from maskopt_lib.layout.legalize import legalize
from maskopt_lib.layout.own_design import LEGALISED, read_folder
from maskopt_lib.layout.platforms import platform_file

_OWN_WORK = "BSD 3-Clause (this repository)"


def design_names(platform: str | None = None, layer: str | None = None) -> list[str]:
    """Names of the designs of the catalog, the embedded one first. Nothing is fetched.

    Parameters
    ----------
    platform : "nangate45", "asap7" or "demo"; all by default.
    layer : only designs that are good for this layer.

    Raises
    ------
    UnknownNameError : no design has this platform or this layer; lists the known.

    Examples
    --------
    >>> design_names(platform="demo")
    ['demo_block']
    >>> [name for name in design_names("nangate45", "via1") if not name.startswith("gcd")]
    ['alu_routed', 'ram7x7_routed', 'ram7x7_2r1w_routed']
    """
    listed = _listed()
    for what, asked, known in (
        ("platform", platform, dict.fromkeys(fields["platform"] for fields in listed.values())),
        ("layer", layer, dict.fromkeys(layer for fields in listed.values() for layer in fields["layers"])),
    ):
        if asked is not None and asked not in known:
            raise UnknownNameError(f"no design has {what} {asked!r}; known: {', '.join(known)}")
    return [
        name
        for name, fields in listed.items()
        if (platform is None or fields["platform"] == platform) and (layer is None or layer in fields["layers"])
    ]


def design_info(name: str) -> DesignInfo:
    """What the catalog says of one design.

    Raises
    ------
    UnknownNameError : lists the names.

    Examples
    --------
    >>> info = design_info("alu_routed")
    >>> info.state, info.layers, info.redistribution
    ('routed', ('metal1', 'contact', 'via1'), False)
    """
    listed = _listed()
    if name not in listed:
        raise UnknownNameError(
            f"no design and no folder {name!r}; known: {', '.join(listed)}; a design of your own is a folder with a "
            "design.yaml"
        )
    return _entry(name, listed[name])


def open_design(name: str | Path, *, cache_dir: str | Path | None = None, as_read: bool = False) -> Design:
    """A design of the catalog or of your own, ready for use, with its `DesignInfo`.

    Parameters
    ----------
    name : one of :func:`design_names`, or a folder with a ``design.yaml`` (:mod:`maskopt_lib.layout.own_design`).
    cache_dir : folder that keeps placements which were put on rows, for processes that open them often.
    as_read : leave a global placement as its file has it.

    Raises
    ------
    UnknownNameError : no such design and no such folder.
    MissingDataError : a file is neither here nor could be fetched.
    LayoutError : a ``design.yaml`` that cannot be used.
    """
    if str(name) not in _listed() and Path(name).is_dir():
        design = read_folder(name)
    elif (info := design_info(str(name))).platform == "demo":
        design = replace(demo_block.build(), name=info.name, info=info)
    else:
        design = replace(read_design(info.file), name=info.name, info=info)
    return design if as_read or design.info.state != LEGALISED else _on_rows(design, cache_dir)


def _on_rows(design: Design, cache_dir: str | Path | None) -> Design:
    """The design put on rows; from the cache folder where that has it."""
    if cache_dir is None:
        return legalize(design)[0]
    # What decides about the result names the file: the files that go in and the code that moves the cells.
    named = (*design.platform.lefs, *design.platform.layouts, design.platform.technology)
    parts = [design.path, *(platform_file(name) for name in named if name)]
    parts += [Path(module.__file__) for module in (legalizer, rows)]
    digest = hashlib.sha256("".join(pooch.file_hash(str(part)) for part in parts).encode()).hexdigest()
    path = Path(cache_dir) / f"{design.name}-{digest[:16]}.oas"
    try:
        kept = read_design(path, platform=design.platform)
    except (MissingDataError, LayoutError):  # not there yet, or damaged
        kept = read_design(legalize(design)[0].write(path), platform=design.platform)
    return replace(design, layout=kept.layout)


def _listed() -> dict[str, dict]:
    return yaml_files.read(manifest.FOLDER / "designs.yaml").value


def _entry(name: str, fields: dict) -> DesignInfo:
    # The file's source says what may be done with it: one place for each licence.
    known = manifest.load_manifest().sources.values()
    source = next((source for source in known if fields["file"] in source.files), None)
    return DesignInfo(
        name=name,
        licence=source.licence if source else _OWN_WORK,
        redistribution=source is None or source.licence_file is not None,
        **fields | {"layers": tuple(fields["layers"]), "notes": fields["notes"].strip()},
    )
