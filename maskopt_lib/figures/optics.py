"""The illumination source and the coherent systems, as pictures."""

import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, page
from maskopt_lib.figures.page import Figure, Panel


def source_map(source: xr.DataArray, *, title: str = "source") -> Figure:
    """Intensity of the source over the pupil, with the pupil's edge (radius 1) as a dashed circle.

    Parameters
    ----------
    source : DataArray over ``sigma_y`` and ``sigma_x`` (units of NA), equally spaced; drawn relative to its maximum.
    title : over the picture.
    """
    values = source.transpose("sigma_y", "sigma_x").values
    image = marks.heat(
        values / np.nanmax(values),
        source["sigma_x"].values,
        source["sigma_y"].values,
        limits=(0, 1),
        bar="relative intensity",
    )
    angle = np.linspace(0, 2 * np.pi, 181)
    edge = marks.line(np.cos(angle), np.sin(angle), "#FFFFFF", linestyle="--")
    look = {"xlabel": "σx", "ylabel": "σy", "xticks": [-1, 0, 1], "yticks": [-1, 0, 1]}
    look |= {"xlim": (-1.1, 1.1), "ylim": (-1.1, 1.1), "aspect": "equal", "most_inch": 3.5}
    return page.single([image, edge], title=title, **look)


def kernel_gallery(fields: xr.DataArray) -> Figure:
    """Coherent systems in space, real part, each with its share of the energy in its title.

    Parameters
    ----------
    fields : DataArray over ``kernel``, ``y``, ``x`` (nm), real, with coordinate ``energy_share`` along ``kernel``.

    Returns
    -------
    One panel a system, each on its own symmetric colour scale, so that weak systems can be seen.
    """
    panels = []
    for i, field in enumerate(fields.transpose("kernel", "y", "x")):
        limit = float(np.abs(field).max())
        image = marks.heat(field.values, field["x"].values, field["y"].values, limits=(-limit, limit), colours="PuOr")
        title = f"{i + 1}: {float(field['energy_share']):.1%}"
        panels.append(Panel([image], title=title, bare=True, aspect="equal"))
    return Figure(panels, columns=4, least_inch=0.8)
