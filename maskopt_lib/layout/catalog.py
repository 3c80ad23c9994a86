"""The designs of the study by name: where they are from, what they are good for, and how to open one."""

from dataclasses import replace
from pathlib import Path

from maskopt_lib import yaml_files
from maskopt_lib.data import manifest
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.layout import demo_block
from maskopt_lib.layout.designs import Design, DesignInfo, read_design
from maskopt_lib.layout.legalize import legalize
from maskopt_lib.layout.own_design import LEGALISED, read_folder

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


def open_design(name: str | Path, *, as_read: bool = False) -> Design:
    """A design of the catalog or of your own, ready for use, with its `DesignInfo`.

    Parameters
    ----------
    name : one of :func:`design_names`, or a folder with a ``design.yaml`` (:mod:`maskopt_lib.layout.own_design`).
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
    return design if as_read or design.info.state != LEGALISED else legalize(design)[0]


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
