"""What a DEF file and its LEF files state in words, for what KLayout would drop or guess without saying so."""

import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from maskopt_lib.errors import LayoutError
from maskopt_lib.layout.reader import open_layout

#: Name, cell and the rest of each placed component.
COMPONENT = re.compile(r"-\s+(\S+)\s+(\S+)([^;]*);")
#: Database units per micron that are whole in the database of a layout: more make numbers that it cannot hold.
_FINEST_PER_UM = 1_000_000
_COMMENT = re.compile(r"#.*")
_ENDLESS = re.compile(r"(?<!\S)[+-]?\d{16,}(?!\S)")
_UNITS = re.compile(r"\bUNITS\s+DISTANCE\s+MICRONS\s+(\d+)\s*;")
_LEF_UNITS = re.compile(r"\bDATABASE\s+MICRONS\s+(\d+)\s*;")
_LEF_NAMES = {kind: re.compile(rf"^\s*{kind}\s+(\S+)", re.M) for kind in ("MACRO", "LAYER")}
_WIRE = re.compile(r"(?:\+\s*(?:ROUTED|FIXED|COVER|NOSHIELD)|\bNEW)\s+([^\s(]+)")


def read_text(path: str | Path) -> str:
    """A DEF or LEF file without its comments.

    Raises
    ------
    LayoutError : a number in it is longer than any length.
    """
    text = _COMMENT.sub("", Path(path).read_text(encoding="utf-8", errors="replace"))
    if endless := _ENDLESS.search(text):
        raise LayoutError(f"{path}: damaged: a number of {len(endless[0])} digits; fetch or export it again")
    return text


def units_per_um(text: str, path: str | Path) -> int:
    """Database units per micron of a DEF.

    Raises
    ------
    LayoutError : it does not say them, and readers take different ones then.
    """
    if (found := _UNITS.search(text)) is None or int(found[1]) < 1:
        raise LayoutError(f"{path}: no UNITS DISTANCE MICRONS, so its numbers are no lengths; export it with its units")
    return int(found[1])


def section(text: str, name: str) -> str:
    """What stands between ``name`` and ``END name``; "" where there is none."""
    found = re.search(rf"^\s*{name}\b(.*?)^\s*END\s+{name}\b", text, re.DOTALL | re.M)
    return found[1] if found else ""


def database_um(path: Path, text: str, lefs: Iterable[Path], layouts: Iterable[Path], coarsest_um: float) -> float:
    """Database unit in which a DEF, its LEF files and the layouts of its cells are whole.

    Parameters
    ----------
    path, text : the DEF.
    lefs, layouts : what it is read with.
    coarsest_um : taken where everything is whole in it.

    Raises
    ------
    LayoutError : units that have no common database unit of at least 0.001 nm.
    """
    stated = [units_per_um(text, path)]
    stated += [int(units) for lef in lefs for units in _LEF_UNITS.findall(read_text(lef))]
    for cells in layouts:
        # Metres in a double are good to some ten digits.
        stated.append(round(1 / open_layout(cells).dbu))
    per_um = math.lcm(round(1 / coarsest_um), *stated)
    if per_um > _FINEST_PER_UM:
        found = ", ".join(map(str, sorted(set(stated))))
        raise LayoutError(
            f"{path}: it, its LEF files and its cells' layouts have {found} database units per micron, and no common "
            f"one down to {1e3 / _FINEST_PER_UM:g} nm; export them with the same"
        )
    return coarsest_um if per_um == round(1 / coarsest_um) else 1 / per_um


def check_def(path: Path, text: str, lefs: Sequence[Path]) -> None:
    """Refuse a DEF of which a part would be dropped, or put somewhere, for want of a LEF that describes it.

    Raises
    ------
    LayoutError : cells that are placed by their corner, or layers that wires lie on, and no LEF has; names them.
    """
    described = "\n".join(map(read_text, lefs))
    placed = {cell for _, cell, rest in COMPONENT.findall(section(text, "COMPONENTS")) if "UNPLACED" not in rest}
    wires = set(_WIRE.findall(section(text, "NETS"))) | set(_WIRE.findall(section(text, "SPECIALNETS")))
    for what, asked, kind, why in (
        ("places", placed, "MACRO", "where a cell lies follows from its size"),
        ("routes on", wires, "LAYER", "how wide a wire is stands there"),
    ):
        if missing := sorted(asked - set(_LEF_NAMES[kind].findall(described))):
            some = ", ".join(missing[:8]) + " ..." * (len(missing) > 8)
            given = ", ".join(lef.name for lef in lefs) or "none"
            raise LayoutError(
                f"{path}: it {what} {some}, which no LEF has (given: {given}); {why}: name the LEF file that has a "
                f"{kind} of that name"
            )
