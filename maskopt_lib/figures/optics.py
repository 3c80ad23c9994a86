"""The illumination source and the coherent systems, as pictures."""

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import marks, style


def source_map(source: xr.DataArray, *, title: str = "source") -> hv.Overlay:
    """Intensity of the source over the pupil, with the pupil's edge.

    Parameters
    ----------
    source : DataArray over ``sigma_y`` and ``sigma_x`` (units of NA), equally spaced; drawn relative to its maximum.
    title : over the picture.

    Returns
    -------
    Picture with the pupil's edge (radius 1) as a dashed circle.
    """
    values = source.transpose("sigma_y", "sigma_x").values
    image = hv.Image((source["sigma_x"].values, source["sigma_y"].values, values / np.nanmax(values)), ["x", "y"])
    image.opts(cmap="cividis", colorbar=True, clabel="relative intensity", interpolation="nearest")
    angle = np.linspace(0, 2 * np.pi, 181)
    edge = marks.line(np.cos(angle), np.sin(angle), "white", width=1, linestyle="--")
    limits = {"xlim": (-1.05, 1.05), "ylim": (-1.05, 1.05)}
    return style.axes([image, edge], size_inch=3.6, title=title, xlabel="σx", ylabel="σy", **limits)


def kernel_gallery(fields: xr.DataArray) -> hv.Layout:
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
        image = hv.Image((field["x"].values, field["y"].values, field.values), ["x", "y"])
        image.opts(cmap="PuOr", clim=(-limit, limit))
        look = {"xaxis": "bare", "yaxis": "bare", "aspect": "equal"}
        panels.append(style.axes([image], title=f"{i + 1}: {float(field['energy_share']):.1%}", **look))
    return style.grid(panels, columns=4, size_inch=1.9, hspace=0.1, vspace=0.3)
