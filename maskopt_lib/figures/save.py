"""Figures to files that are the same from run to run."""

from __future__ import annotations

from pathlib import Path

import holoviews as hv
import matplotlib as mpl


def save(figure, name: str, folder: str | Path, *, dpi: int = 150, formats: tuple[str, ...] = ("svg", "png")) -> None:
    """Write a figure as ``<name>.svg`` and ``<name>.png`` through the matplotlib backend.

    Parameters
    ----------
    figure : HoloViews object, drawn with matplotlib's styles.
    name : file name without folder and ending.
    folder : made where it does not exist.
    dpi : dots an inch of rasters.
    formats : endings to write, of those that matplotlib knows.

    Notes
    -----
    Equal data, name and dpi give equal files, byte for byte: SVGs carry no date, their identifiers derive from the
    name. PDFs carry a date, that of ``SOURCE_DATE_EPOCH`` where the environment sets it (the Makefile does). A file of
    the same name is replaced once the new one is complete.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    renderer = hv.renderer("matplotlib")
    with mpl.rc_context(
        {"svg.hashsalt": name, "svg.fonttype": "none", "figure.dpi": dpi, "savefig.facecolor": "white"}
    ):
        drawn = renderer.get_plot(figure).state
        for ending in formats:
            partial = folder / f".{name}.partial.{ending}"
            metadata = {"Date": None} if ending == "svg" else None
            drawn.savefig(partial, format=ending, dpi=dpi, bbox_inches="tight", metadata=metadata)
            partial.replace(folder / f"{name}.{ending}")
    mpl.pyplot.close(drawn)
