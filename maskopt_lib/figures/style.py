"""One look for all figures: a colour, a marker and a dash for each name, and labels from the data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex, to_rgb

from maskopt_lib.data import methods

#: Okabe and Ito's palette (https://jfly.uni-koeln.de/color/), its yellow, too pale for lines, replaced by a grey.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#8C8C8C")
BLUE, ORANGE, GREEN, VERMILION, PINK, SKY, BLACK, GREY = PALETTE

#: What a thing is drawn in, in every figure.
MASK, TARGET, PRINT, BAND = "#7F7F7F", BLACK, SKY, VERMILION
#: Of text, of what is not the point, and of areas behind others.
INK, FAINT, LIGHT = "#333333", "#888888", "#DDDDDD"

#: Kernel sets, corners and corrections of devices keep their colour in all figures; methods have theirs of
#: :mod:`maskopt_lib.data.methods`. What is uncorrected is the target as mask, and the ILT of devices is rule-aware.
COLOURS = {
    "iccad13": BLUE,
    "iccad13-symmetrised": ORANGE,
    "iccad13-transposed": GREEN,
    "iccad13-realigned": PINK,
    "embedded": VERMILION,
    "embedded-ideal": SKY,
    "nominal": BLUE,
    "outer": ORANGE,
    "inner": GREEN,
    "uncorrected": GREY,
    "uniform bias": SKY,
    "ILT": VERMILION,
    "ILT, sensitivity": PINK,
}
#: How a mask is printed -> colour and dash.
PRINTED = {"alone": (ORANGE, "--"), "in place": (BLUE, "-")}
MARKERS = "os^Dvp<>"
DASHES = ("-", "--", ":", "-.")
#: Colours nearer than this are not told apart side by side.
_NEAR = 0.35
#: How far variants of a method are from its colour: to black (below 0) or white.
_SHADES = (0.0, -0.45, 0.45, -0.25, 0.25)


@dataclass(frozen=True)
class Look:
    """How a name is written and drawn."""

    name: str
    colour: str
    marker: str
    dash: str


def names(values: xr.DataArray) -> list[str]:
    """Entries of a dimension as text."""
    return [str(value) for value in values.values]


def looks(values: Iterable[str] | xr.DataArray) -> dict[str, Look]:
    """How each of several names, or entries of a dimension, is written and drawn, side by side with the others.

    Returns
    -------
    Name -> look. A method has the one of its table; where several labels are of one method, they are its variants, in
    shades of its colour with dashes of their own. Other names have their own colour or the next of the palette that is
    not near one of these.
    """
    entries = names(values) if isinstance(values, xr.DataArray) else list(values)
    of_method = methods.looks(entries)
    taken = {COLOURS[name] for name in entries if name in COLOURS} | {colour for colour, _ in of_method.values()}
    free = [colour for colour in PALETTE if all(_apart(colour, other) > _NEAR for other in taken)] or list(PALETTE)
    found, used, seen = {}, 0, dict.fromkeys((colour for colour, _ in of_method.values()), 0)
    for name in entries:
        if name in of_method:
            colour, marker = of_method[name]
            nth = seen[colour]
            seen[colour] += 1
            shade = shaded(colour, _SHADES[nth % len(_SHADES)])
            found[name] = Look(methods.written(name), shade, marker, DASHES[nth % len(DASHES)])
            continue
        nth = len(found)
        colour = COLOURS.get(name) or free[used % len(free)]
        used += name not in COLOURS
        found[name] = Look(name, colour, MARKERS[nth % len(MARKERS)], DASHES[(nth // len(free)) % len(DASHES)])
    return found


def _apart(one: str, other: str) -> float:
    """How far two colours are from each other, 1 from black to one full channel."""
    return float(np.linalg.norm(np.subtract(to_rgb(one), to_rgb(other))))


def shaded(colour: str, share: float) -> str:
    """A colour on its way to white, or with a share below 0 to black.

    Examples
    --------
    >>> shaded("#000000", 0.5), shaded("#FFFFFF", -0.5), shaded("#0072B2", 0)
    ('#808080', '#808080', '#0072b2')
    """
    end = np.full(3, float(share > 0))
    return to_hex(tuple((1 - abs(share)) * np.array(to_rgb(colour)) + abs(share) * end))


def axis_label(variable: xr.DataArray, *, short: bool = False) -> str:
    """Axis label from ``long_name`` and ``units``; counts carry no unit.

    Parameters
    ----------
    variable : one with attributes, else its name is the label.
    short : leave out what stands in brackets, and write EPE for an edge placement error.

    Examples
    --------
    >>> axis_label(xr.DataArray(1.0, attrs={"long_name": "minimum width", "units": "nm"}))
    'minimum width (nm)'
    >>> axis_label(xr.DataArray(1.0, attrs={"long_name": "L2 (nominal)", "units": "nm2"}), short=True)
    'L2 (nm²)'
    """
    name, unit = str(variable.attrs.get("long_name", variable.name or "")), unit_of(variable)
    if short:
        name = name.partition(" (")[0].replace("edge placement error", "EPE")
    return f"{name} ({unit})" if unit else name


def axis_labels(x: xr.DataArray, y: xr.DataArray, *, short: bool = False) -> dict[str, str]:
    """Both labels of a panel, see :func:`axis_label`."""
    return {"xlabel": axis_label(x, short=short), "ylabel": axis_label(y, short=short)}


def unit_of(variable: xr.DataArray) -> str:
    """The unit as it is written on a figure; that of counts is empty."""
    units = str(variable.attrs.get("units", "1"))
    return "" if units == "1" else units.replace("nm2", "nm²").replace("um2", "µm²").replace("1/um", "1/µm")


def limits(values: np.ndarray, room: float = 0.06) -> tuple[float, float]:
    """Ends of an axis around all finite values, with some room, a share of their span."""
    finite = np.asarray(values, float)
    finite = finite[np.isfinite(finite)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    beside = room * ((high - low) or abs(low) or 1.0)
    return low - beside, high + beside


def robust(values: np.ndarray) -> tuple[float, float]:
    """Ends of a scale of colours that a few values far off do not stretch: they have the colour of its end.

    Examples
    --------
    >>> robust(np.array([*range(100), 10_000.0]))[1] < 100
    True
    """
    finite = np.asarray(values, float)[np.isfinite(values)]
    low, high = np.percentile(finite, [5, 95]) if finite.size else (0.0, 1.0)
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)


def wrapped(text: str, most: int = 22) -> str:
    """A long label in lines, broken at its blanks and commas."""
    lines, words = [""], text.replace(",", ", ").split()
    for word in words:
        if lines[-1] and len(lines[-1]) + 1 + len(word) > most:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def rows(labels: Sequence[str], most: int = 36) -> list[tuple[float, str]]:
    """Ticks of an axis of rows, the first at the top; long labels are broken."""
    return [(len(labels) - 1 - i, wrapped(methods.written(label), most)) for i, label in enumerate(labels)]
