"""Whose cells and layers a design uses: the files that a DEF file needs beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from maskopt_lib.data import manifest


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What a DEF file needs beside it: names of manifest files, or paths.

    Attributes
    ----------
    process : whose layer names hold, a file of ``data_manifest/layers``; or the names themselves.
    technology : KLayout technology, the map from LEF layers to numbers; "" where the names of the process are LEF's.
    lefs : technology and cell LEF, in this order.
    layouts : GDS or OASIS of the cells.
    outline, die : (layer, datatype) of the outlines of cells and of the design.
    no_logic : patterns of cells that only fill, tie or protect.
    """

    process: str | Mapping[str, tuple[int, int]]
    technology: str
    lefs: tuple[str, ...]
    layouts: tuple[str, ...]
    outline: tuple[int, int]
    die: tuple[int, int]
    no_logic: tuple[str, ...]

    def is_logic(self, cell: str) -> bool:
        """Whether a cell does more than fill, tie or protect."""
        return not any(fnmatchcase(cell, pattern) for pattern in self.no_logic)


#: Folder of the manifest -> platform.
PLATFORMS: dict[str, Platform] = {
    "nangate45": Platform(
        process="freepdk45",
        technology="nangate45/FreePDK45.lyt",
        lefs=(
            "nangate45/NangateOpenCellLibrary.tech.lef",
            "nangate45/NangateOpenCellLibrary.macro.mod.lef",
            "nangate45/fakeram45_64x32.lef",
        ),
        layouts=("nangate45/NangateOpenCellLibrary.gds",),
        outline=(235, 0),
        die=(235, 0),
        no_logic=("FILLCELL*", "TAPCELL*", "ANTENNA*", "fakeram*"),
    ),
    "asap7": Platform(
        process="asap7",
        technology="asap7/asap7.lyt",
        lefs=("asap7/asap7_tech_1x_201209.lef", "asap7/asap7sc7p5t_28_R_1x_220121a.lef"),
        layouts=("asap7/asap7sc7p5t_28_R_220121a.gds",),
        outline=(100, 0),
        die=(235, 0),
        no_logic=("FILLER*", "TAPCELL*", "DECAP*"),
    ),
}


def platform_file(name: str) -> Path:
    """A file that a `Platform` names: a path, or a file of the manifest, which is fetched; absolute.

    KLayout would look for others beside the DEF, and leave out without a word what is not there.
    """
    return (Path(name) if Path(name).is_file() else manifest.fetch(name)).absolute()


def design_inputs(source: str | Path, platform: Platform) -> list[str | Path]:
    """What a design is read from, as :func:`maskopt_lib.study.start` takes its inputs; nothing for ``""``.

    Examples
    --------
    >>> design_inputs("gcd_dense_routed", PLATFORMS["nangate45"])[:2]
    ['nangate45/designs/gcd_dense_routed.def', 'nangate45/FreePDK45.lyt']
    >>> design_inputs("", PLATFORMS["nangate45"])
    []
    """
    text = str(source)
    if not text or Path(text).is_file():
        return [Path(text)] if text else []
    names = [n for n in manifest.names() if text in (n, PurePosixPath(n).name, PurePosixPath(n).stem)]
    names = [n for n in names if n.endswith(".def")] or names[:1]
    return [*names, platform.technology, *platform.lefs, *platform.layouts] if names else []
