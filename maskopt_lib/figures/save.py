"""Figures to files that are the same from run to run."""

from pathlib import Path

import matplotlib as mpl
from IPython.display import Image

from maskopt_lib import files
from maskopt_lib.figures import page

#: Pixels an inch that a notebook shows a figure with.
SHOWN_DPI = 110
# A date would make equal figures differ.
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "ModDate": None}, "png": {}}


def save(
    figure: page.Figure,
    name: str,
    folder: str | Path,
    *,
    width_inch: float = page.PAGE,
    dpi: int = 150,
    formats: tuple[str, ...] = ("svg", "png"),
) -> Image | None:
    """Write a figure as ``<name>.svg`` and ``<name>.png``.

    Parameters
    ----------
    figure : of one of the functions of :mod:`maskopt_lib.figures`.
    name : file name without folder and ending.
    folder : made where it does not exist.
    width_inch : of the page or column that it is for; text has 7 to 8 pt there.
    dpi : dots an inch of rasters.
    formats : endings to write, of those that matplotlib knows.

    Returns
    -------
    The PNG as it was saved, at the figure's size, for the notebook to show: it is not drawn again. None where no PNG
    was asked for.

    Notes
    -----
    Equal data, name, width and dpi give equal files, byte for byte: no file carries a date, and identifiers in an SVG
    derive from the name. A file of the same name is replaced once the new one is complete.
    """
    folder = Path(folder)
    canvas = page.draw(figure, width_inch)
    with mpl.rc_context(page.LOOK | {"svg.hashsalt": name, "svg.fonttype": "none", "pdf.fonttype": 42}):
        for ending in formats:
            with files.replacing(folder / f"{name}.{ending}") as beside:
                canvas.savefig(beside, format=ending, dpi=dpi, facecolor="white", metadata=_METADATA.get(ending))
    if "png" not in formats:
        return None
    width = round(float(canvas.get_size_inches()[0]) * SHOWN_DPI)
    return Image(filename=folder / f"{name}.png", width=width, alt=name)
