"""Figures to files that are the same from run to run."""

from pathlib import Path

import holoviews as hv
import matplotlib as mpl
from IPython.display import Image

from maskopt_lib import files

#: Pixels an inch that a notebook shows a figure with.
SHOWN_DPI = 72


def save(
    figure, name: str, folder: str | Path, *, dpi: int = 150, formats: tuple[str, ...] = ("svg", "png")
) -> Image | None:
    """Write a figure as ``<name>.svg`` and ``<name>.png`` through the matplotlib backend.

    Parameters
    ----------
    figure : HoloViews object, drawn with matplotlib's styles.
    name : file name without folder and ending.
    folder : made where it does not exist.
    dpi : dots an inch of rasters.
    formats : endings to write, of those that matplotlib knows.

    Returns
    -------
    The PNG as it was saved, at the figure's size, for the notebook to show: it is not drawn again. None where no PNG
    was asked for.

    Notes
    -----
    Equal data, name and dpi give equal files, byte for byte: SVGs carry no date, their identifiers derive from the
    name. PDFs carry a date, that of ``SOURCE_DATE_EPOCH`` where the environment sets it (the Makefile does). A file of
    the same name is replaced once the new one is complete.
    """
    folder = Path(folder)
    with mpl.rc_context(
        {"svg.hashsalt": name, "svg.fonttype": "none", "figure.dpi": dpi, "savefig.facecolor": "white"}
    ):
        drawn = hv.renderer("matplotlib").get_plot(figure).state
        # Found once for all files: matplotlib goes through the whole figure for it.
        drawn.draw_without_rendering()
        box = drawn.get_tightbbox().padded(mpl.rcParams["savefig.pad_inches"])
        for ending in formats:
            metadata = {"Date": None} if ending == "svg" else None
            with files.replacing(folder / f"{name}.{ending}") as beside:
                drawn.savefig(beside, format=ending, dpi=dpi, bbox_inches=box, metadata=metadata)
    mpl.pyplot.close(drawn)
    if "png" not in formats:
        return None
    return Image(filename=folder / f"{name}.png", width=round(box.width * SHOWN_DPI), alt=name)
