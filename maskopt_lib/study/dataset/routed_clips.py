"""Clips of placed designs that are routed by us, by name: which there are, and where ``make routed`` leaves them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from maskopt_lib import yaml_files
from maskopt_lib.data.folder import FOLDER
from maskopt_lib.errors import MissingDataError, UnknownNameError
from maskopt_lib.layout.own_design import FILE
from maskopt_lib.runs.paths import resolved

#: Folder of the routed clips, from the root of the study: a folder each, a design like one of your own.
ROUTED = "results/routed"


@dataclass(frozen=True, kw_only=True)
class ClipSource:
    """What a clip is cut from.

    Attributes
    ----------
    name : of the clip, as results call it.
    of : design of the catalog.
    middle_um : (x, y) of the square.
    side_um : of the square.
    def_sha256 : of the DEF that qrouter 1.4.71 made of it for the study, to compare; "" where none was.
    """

    name: str
    of: str
    middle_um: tuple[float, float]
    side_um: float
    def_sha256: str = ""


def clip_names() -> list[str]:
    """Names of the clips. Nothing is fetched or routed.

    Examples
    --------
    >>> clip_names()
    ['aes_clip_routed', 'ibex_clip_routed', 'rockettile_clip_routed', 'dynamic_node_clip_routed']
    """
    return list(yaml_files.read(FOLDER / "routed_clips.yaml").value)


def clip_source(name: str) -> ClipSource:
    """What a clip is cut from.

    Raises
    ------
    UnknownNameError : lists the names.
    """
    listed = yaml_files.read(FOLDER / "routed_clips.yaml").value
    if name not in listed:
        raise UnknownNameError.of("routed clip", name, listed)
    fields: dict = listed[name]
    middle: Sequence[float] = fields["middle_um"]
    return ClipSource(name=name, **fields | {"middle_um": (float(middle[0]), float(middle[1]))})


def clip_folder(name: str) -> Path:
    """Where the routed clip of a name is, or would be."""
    return resolved(ROUTED) / name


def clip_place(name: str) -> str:
    """The folder of a routed clip, which :func:`maskopt_lib.layout.open_design` takes.

    Raises
    ------
    MissingDataError : it is not there; says how to make it.
    """
    folder = clip_folder(name)
    if not (folder / FILE).is_file():
        raise MissingDataError(
            f"{name} is not in {ROUTED}: it is routed on this machine, by `make routed` (which needs the program "
            "qrouter: apt install qrouter); or leave it out of `designs`"
        )
    return str(folder)
