"""Process windows as lithographers draw them: Bossung curves, focus-exposure maps, windows, latitude, slope."""

from __future__ import annotations

from collections.abc import Mapping

import holoviews as hv
import matplotlib as mpl
import numpy as np
import xarray as xr

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import style

_FOCUS, _EXPOSURE = "defocus_nm", "exposure"
#: Shapes drawn in a window, by name.
_SHAPES = {"rectangle": "#D55E00", "ellipse": "#0072B2"}


def bossung(
    cd: xr.DataArray,
    *,
    target_cd_nm: float,
    tolerance: float = 0.1,
    exposures: int = 9,
    title: str = "",
    size_inch: tuple[float, float] = (6.2, 4.0),
) -> hv.Overlay:
    """Bossung plot: width of one feature through focus, a curve for each exposure.

    Parameters
    ----------
    cd : DataArray (focus, exposure) in nm with coordinates ``defocus_nm`` and ``exposure``; nan where lost.
    target_cd_nm : width on the target.
    tolerance : relative; its band is shaded.
    exposures : about how many curves are drawn, the nominal one among them; those far off the target are left out.
    title : over the picture.
    size_inch : width and height.

    Returns
    -------
    Curves from light (low exposure) to dark (high), named by their exposure.
    """
    focus, dose = cd[_FOCUS].values, cd[_EXPOSURE].values
    nominal = int(np.argmin(np.abs(dose - 1)))
    step = max(1, round((len(dose) - 1) / max(exposures - 1, 1)))
    chosen = [i for i in range(len(dose)) if (i - nominal) % step == 0]
    low, high = target_cd_nm * (1 - tolerance), target_cd_nm * (1 + tolerance)
    margin = 1.8 * tolerance * target_cd_nm
    widths = cd.isel({_EXPOSURE: chosen}).transpose(_EXPOSURE, ...).values
    near = ((widths > low - margin) & (widths < high + margin)).any(axis=1)
    chosen = [i for i, is_near in zip(chosen, near, strict=True) if is_near or i == nominal]
    x0, x1 = float(focus.min()), float(focus.max())
    band = hv.Rectangles([(x0, low, x1, high)], kdims=["x", "y", "x1", "y1"])
    drawn = [band.opts(hv.opts.Rectangles(facecolor="#E6E6E6", edgecolor="#E6E6E6", alpha=1.0))]
    shades = _shades(len(chosen))
    for i, colour in zip(reversed(chosen), reversed(shades), strict=True):
        points = (focus, cd.isel({_EXPOSURE: i}).values)
        # As Curves break at nan, a lost feature is a gap.
        curve = hv.Curve(points, kdims=["defocus"], vdims=["width"], label=f"exposure {dose[i]:.3g}")
        width = 2.4 if i == nominal else 1.4
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=width, marker="o", ms=3)))
    line = hv.HLine(target_cd_nm).opts(hv.opts.HLine(color="black", linestyle="--", linewidth=1))
    return hv.Overlay([*drawn, line]).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=size_inch[0] / size_inch[1], legend_position="right", title=title,
            xlabel="defocus (nm)", ylabel="critical dimension (nm)",
            xlim=(x0, x1), ylim=(low - margin, high + margin), fontsize=style.FONT_SIZES, show_grid=False,
        )
    )  # fmt: skip


def focus_exposure_map(
    values: xr.DataArray,
    window: xr.Dataset | None = None,
    *,
    along: str = "method",
    limits: tuple[float, float] | None = None,
    columns: int = 3,
    size_inch: float = 3.0,
) -> hv.Layout:
    """A quantity over focus and exposure as a heat map, one panel an entry, with the outline of the process window.

    Parameters
    ----------
    values : DataArray (along, focus, exposure) with coordinates ``defocus_nm`` and ``exposure``.
    window : Dataset (along, defocus_nm) of ``lowest`` and ``highest`` exposure, nan outside of the window.
    along : dimension of the panels.
    limits : of the colour scale; those of the data by default.
    columns : panels side by side.
    size_inch : side of a panel.

    Returns
    -------
    Panels of one colour scale; the window's outline is black, the nominal condition a white cross.
    """
    names = [str(name) for name in values[along].values]
    low, high = limits or (float(values.min()), float(values.max()))
    focus, dose = values[_FOCUS].values, values[_EXPOSURE].values
    panels = []
    for i, name in enumerate(names):
        mesh = hv.QuadMesh(
            (focus, dose, values.isel({along: i}).transpose(_EXPOSURE, ...).values),
            kdims=["defocus", "exposure"], vdims=["value"],
        )  # fmt: skip
        last = i % columns == columns - 1 or i == len(names) - 1
        layers = [mesh.opts(hv.opts.QuadMesh(cmap="cividis", clim=(low, high), colorbar=last,
                                             clabel=style.axis_label(values)))]  # fmt: skip
        if window is not None:
            layers.append(_outline(window.isel({along: i}), "black", 1.8))
        cross = hv.Points([(0.0, 1.0)], kdims=["defocus", "exposure"])
        layers.append(cross.opts(hv.opts.Points(marker="P", color="white", edgecolor="black", s=50)))
        panels.append(
            hv.Overlay(layers).opts(
                hv.opts.Overlay(
                    title=name, xlabel="defocus (nm)", ylabel="relative exposure" if i % columns == 0 else "",
                    yaxis="left" if i % columns == 0 else "bare", aspect="square", fontsize=style.FONT_SIZES,
                    xlim=_edges(focus), ylim=_edges(dose),
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(columns)
        .opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.25, vspace=0.35, sublabel_format=""))
    )


def process_windows(
    found: xr.Dataset,
    *,
    along: str = "method",
    exposure_range: tuple[float, float] = (0.7, 1.4),
    columns: int = 3,
    size_inch: float = 3.0,
) -> hv.Layout:
    """Process windows with the largest rectangle and ellipse of one exposure latitude in them, one panel a mask.

    Parameters
    ----------
    found : Dataset over ``along`` of ``lowest`` and ``highest`` (defocus_nm), and over ``shape`` too of ``dof_nm``,
        ``best_focus_nm`` and ``best_exposure``; the attribute ``at_latitude_percent`` is the latitude of the shapes.
    along : dimension of the panels.
    exposure_range : of the axis at most.
    columns : panels side by side.
    size_inch : side of a panel.

    Returns
    -------
    Upper and lower limit of the exposure over focus, the window between them grey. A mask without a window has an empty
    panel that says so.
    """
    names = [str(name) for name in found[along].values]
    finite = found[["lowest", "highest"]].to_array().values
    finite = finite[np.isfinite(finite)]
    low = max(float(finite.min()) - 0.02, exposure_range[0]) if finite.size else exposure_range[0]
    high = min(float(finite.max()) + 0.02, exposure_range[1]) if finite.size else exposure_range[1]
    focus = found[_FOCUS].values
    latitude = float(found.attrs["at_latitude_percent"])
    panels = []
    for i, name in enumerate(names):
        one = found.isel({along: i})
        title = f"{name}\n" if name else ""
        layers: list[hv.Element] = []
        keeps = np.isfinite(one["lowest"].values)
        bottom, top = one["lowest"].values, one["highest"].values
        layers += [
            hv.Area((focus[run], bottom[run], top[run]), kdims=["defocus"], vdims=["lowest", "highest"]).opts(
                hv.opts.Area(facecolor="#DDDDDD", edgecolor="#DDDDDD")
            )
            for run in _runs(keeps)
        ]
        layers.append(_outline(one, "black", 1.4))
        depths = []
        for shape, colour in _SHAPES.items():
            at = one.sel(shape=shape)
            depth, middle, dose = (float(at[name]) for name in ("dof_nm", "best_focus_nm", "best_exposure"))
            # A window that goes on beyond the planes is deeper than could be seen.
            depths.append(f"{'≥ ' if depth >= np.ptp(focus) - 1e-6 else ''}{depth:.0f}")
            if depth > 0:
                path = _shape(shape, middle, dose, depth, latitude / 100 * dose)
                layers.append(hv.Path([path]).opts(hv.opts.Path(color=colour, linewidth=2)))
        if not keeps.any():
            note = hv.Text(float(focus.mean()), (low + high) / 2, "no common window")
            layers.append(note.opts(hv.opts.Text(fontsize=10)))
        depth_text = f"DOF {' / '.join(depths)} nm" if keeps.any() else "none"
        panels.append(
            hv.Overlay(layers).opts(
                hv.opts.Overlay(
                    title=title + depth_text, xlabel="defocus (nm)",
                    ylabel="relative exposure" if i % columns == 0 else "",
                    yaxis="left" if i % columns == 0 else "bare", aspect="square", fontsize=style.FONT_SIZES,
                    xlim=(float(focus.min()), float(focus.max())), ylim=(low, high), show_legend=False,
                )
            )
        )  # fmt: skip
    return (
        hv.Layout(panels)
        .cols(columns)
        .opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.2, vspace=0.4, sublabel_format=""))
    )


def latitude_curves(
    found: xr.Dataset,
    *,
    shape: str = "ellipse",
    along: str = "method",
    mark_percent: float | None = None,
    title: str = "",
    size_inch: tuple[float, float] = (6.2, 3.8),
) -> hv.Overlay:
    """Exposure latitude against depth of focus, a curve for each mask.

    Parameters
    ----------
    found : Dataset (along, shape) of ``latitude_percent`` over ``depth_of_focus_nm``.
    shape : rectangle or ellipse.
    along : dimension of the curves.
    mark_percent : draw the latitude at which depths of focus are read.
    title : over the picture.
    size_inch : width and height.

    Raises
    ------
    UnknownNameError : another shape; lists those there are.
    """
    shapes = [str(name) for name in found["shape"].values]
    if shape not in shapes:
        raise UnknownNameError(f"no shape {shape!r} in these windows; known: {', '.join(shapes)}")
    names = [str(name) for name in found[along].values]
    depth = found["depth_of_focus_nm"].values
    drawn = []
    dashes = ("-", "--", "-.", ":", "-", "--", "-.", ":")
    for i, (name, colour) in enumerate(zip(names, style.colours(names), strict=True)):
        latitude = found["latitude_percent"].isel({along: i}).sel(shape=shape).values
        # The first depth that does not fit ends the curve on the axis.
        end = int(np.argmax(latitude <= 0)) if (latitude <= 0).any() else len(depth) - 1
        points = (depth[: end + 1], latitude[: end + 1])
        label = name if latitude[0] > 0 else f"{name} (no window)"
        curve = hv.Curve(points, kdims=["depth"], vdims=["latitude"], label=label)
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.8, linestyle=dashes[i % len(dashes)])))
    if mark_percent is not None:
        drawn.append(hv.HLine(mark_percent).opts(hv.opts.HLine(color="#8C8C8C", linestyle=":", linewidth=1)))
    top = float(np.nanmax(found["latitude_percent"].sel(shape=shape)))
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=size_inch[0] / size_inch[1], legend_position="right", title=title,
            xlabel="depth of focus (nm)", ylabel="exposure latitude (%)", xlim=(0, float(depth[-1])),
            ylim=(0, max(1.08 * top, 1.0)), fontsize=style.FONT_SIZES, show_grid=True,
        )
    )  # fmt: skip


def cumulative(
    values: Mapping[str, xr.DataArray],
    *,
    along: str = "method",
    size_inch: tuple[float, float] = (3.6, 3.2),
) -> hv.Layout:
    """Share of features below a value, a panel for each quantity and a curve for each mask.

    Parameters
    ----------
    values : axis label -> DataArray over ``along`` and any other dimensions; nan is left out.
    along : dimension of the curves.
    size_inch : width and height of a panel.

    Returns
    -------
    Panels side by side; the last has the legend.
    """
    panels = []
    for number, (label, array) in enumerate(values.items()):
        names = [str(name) for name in array[along].values]
        drawn = []
        for i, (name, colour) in enumerate(zip(names, style.colours(names), strict=True)):
            column = np.sort(array.isel({along: i}).values.ravel())
            column = column[np.isfinite(column)]
            share = 100 * (np.arange(len(column)) + 0.5) / max(len(column), 1)
            curve = hv.Curve((column, share), kdims=[label], vdims=["share"], label=name)
            drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.8)))
        finite = array.values[np.isfinite(array.values)]
        low, high = np.percentile(finite, [1, 98]) if finite.size else (0, 1)
        last = number == len(values) - 1
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    xlabel=label, ylabel="features below (%)" if number == 0 else "", ylim=(0, 100),
                    xlim=(float(low), float(high)), fontsize=style.FONT_SIZES, show_grid=True,
                    aspect=size_inch[0] / size_inch[1], show_legend=last, legend_position="right",
                )
            )
        )  # fmt: skip
    return hv.Layout(panels).opts(hv.opts.Layout(fig_inches=size_inch[0], hspace=0.25, sublabel_format=""))


def _shades(n: int) -> list[str]:
    """Greys of cividis from light (first) to dark, printable and colour-blind safe."""
    colours = mpl.colormaps["cividis_r"](np.linspace(0.05, 1.0, max(n, 2)))
    return [mpl.colors.to_hex(colour) for colour in colours[:n]]


def _runs(keeps: np.ndarray) -> list[slice]:
    """Unbroken ranges of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, keeps, False].astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _outline(window: xr.Dataset, colour: str, width: float) -> hv.Path:
    """Closed outline of a window, a path for each of its parts."""
    focus, low, high = (window[name].values for name in (_FOCUS, "lowest", "highest"))
    paths = []
    for run in _runs(np.isfinite(low)):
        x = np.r_[focus[run], focus[run][::-1], focus[run][:1]]
        y = np.r_[low[run], high[run][::-1], low[run][:1]]
        paths.append(np.column_stack([x, y]))
    return hv.Path(paths, kdims=["defocus", "exposure"]).opts(hv.opts.Path(color=colour, linewidth=width))


def _shape(shape: str, x: float, y: float, width: float, height: float) -> np.ndarray:
    if shape == "rectangle":
        corners = np.array([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)], float)
    else:
        angle = np.linspace(0, 2 * np.pi, 121)
        corners = np.column_stack([np.cos(angle), np.sin(angle)])
    return np.array([x, y]) + corners * np.array([width, height]) / 2


def _edges(values: np.ndarray) -> tuple[float, float]:
    """Limits of an axis of cells around ascending values."""
    first, last = values[1] - values[0], values[-1] - values[-2]
    return float(values[0] - first / 2), float(values[-1] + last / 2)
