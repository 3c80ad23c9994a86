"""The illumination source and the coherent systems, as pictures."""

from __future__ import annotations

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style


def source_map(source: xr.DataArray, *, title: str = "source", size_inch: float = 3.6) -> hv.Overlay:
    """Intensity of the source over the pupil, with the pupil's edge.

    Parameters
    ----------
    source : DataArray over ``sigma_y`` and ``sigma_x`` (units of NA), equally spaced; drawn relative to its maximum.
    title : over the picture.
    size_inch : side of the figure.

    Returns
    -------
    Picture with the pupil's edge (radius 1) as a dashed circle.
    """
    x, y = source["sigma_x"].values, source["sigma_y"].values
    values = source.transpose("sigma_y", "sigma_x").values
    image = hv.Image((x, y, values / np.nanmax(values)), kdims=["sigma x", "sigma y"], vdims=["intensity"])
    angle = np.linspace(0, 2 * np.pi, 181)
    edge = hv.Curve((np.cos(angle), np.sin(angle)), kdims=["sigma x"], vdims=["sigma y"])
    return (image * edge.opts(hv.opts.Curve(color="white", linewidth=1, linestyle="--"))).opts(
        hv.opts.Image(
            cmap="cividis", colorbar=True, clabel="relative intensity", aspect="equal", fig_inches=size_inch,
            xlabel="σx", ylabel="σy", title=title, fontsize=style.FONT_SIZES, interpolation="nearest",
        ),
        hv.opts.Overlay(xlim=(-1.05, 1.05), ylim=(-1.05, 1.05), fig_inches=size_inch, fontsize=style.FONT_SIZES),
    )  # fmt: skip


def kernel_gallery(fields: xr.DataArray, *, columns: int = 4, size_inch: float = 1.9) -> hv.Layout:
    """Coherent systems in space, real part, each with its share of the energy in its title.

    Parameters
    ----------
    fields : DataArray over ``kernel``, ``y``, ``x`` (nm), real, with coordinate ``energy_share`` along ``kernel``.
    columns : panels side by side.
    size_inch : side of a panel.

    Returns
    -------
    One panel a system, each on its own symmetric colour scale, so that weak systems can be seen.
    """
    panels = []
    for i in range(fields.sizes["kernel"]):
        field = fields.isel(kernel=i)
        limit = float(np.abs(field).max())
        image = hv.Image(
            (field["x"].values, field["y"].values, field.transpose("y", "x").values), kdims=["x", "y"], vdims=["field"]
        )
        share = float(field["energy_share"])
        panels.append(
            image.opts(
                hv.opts.Image(
                    cmap="PuOr", clim=(-limit, limit), aspect="equal", xaxis="bare", yaxis="bare",
                    title=f"{i + 1}: {share:.1%}", fontsize=style.FONT_SIZES,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(columns)
        .opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.1, vspace=0.3, sublabel_format=""))
    )
