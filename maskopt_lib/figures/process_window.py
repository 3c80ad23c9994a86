"""Process windows as lithographers draw them: Bossung curves, focus-exposure maps, windows, latitude, slope."""

from collections.abc import Mapping

import holoviews as hv
import matplotlib as mpl
import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

_FOCUS, _EXPOSURE = "defocus_nm", "exposure"
#: Shapes drawn in a window, by name.
_SHAPES = {"rectangle": style.VERMILION, "ellipse": style.BLUE}
#: Of the exposures shown at most, and panels in a row.
_RANGE, _COLUMNS = (0.7, 1.4), 3


def bossung(cd: xr.DataArray, *, target_cd_nm: float, tolerance: float = 0.1, title: str = "") -> hv.Overlay:
    """Bossung plot: width of one feature through focus, a curve for each exposure.

    Parameters
    ----------
    cd : DataArray (focus, exposure) in nm with coordinates ``defocus_nm`` and ``exposure``; nan where lost.
    target_cd_nm : width on the target.
    tolerance : relative; its band is shaded.
    title : over the picture.

    Returns
    -------
    Curves from light (low exposure) to dark (high), named by their exposure: about nine, the nominal one among them;
    those far off the target are left out.
    """
    focus, dose = cd[_FOCUS].values, cd[_EXPOSURE].values
    nominal = int(np.argmin(np.abs(dose - 1)))
    step = max(1, round((len(dose) - 1) / 8))
    low, high = target_cd_nm * (1 - tolerance), target_cd_nm * (1 + tolerance)
    margin = 1.8 * tolerance * target_cd_nm
    widths = cd.transpose(_EXPOSURE, ...).values
    is_near = ((widths > low - margin) & (widths < high + margin)).any(axis=1)
    chosen = [i for i in range(nominal % step, len(dose), step) if is_near[i] or i == nominal]
    drawn = [marks.bars([(focus.min(), low, focus.max(), high)], "#E6E6E6")]
    # Light to dark, so that prints and colour-blind eyes can tell them apart.
    shades = mpl.colormaps["cividis_r"](np.linspace(0.05, 1.0, max(len(chosen), 2)))
    for i, shade in reversed(list(zip(chosen, shades, strict=False))):
        # As lines break at nan, a lost feature is a gap.
        look = {"width": 2.4 if i == nominal else 1.4, "marker": "o", "ms": 3}
        drawn.append(marks.line(focus, widths[i], mpl.colors.to_hex(shade), f"exposure {dose[i]:.3g}", **look))
    drawn.append(hv.HLine(target_cd_nm).opts(color="black", linestyle="--", linewidth=1))
    return style.axes(
        drawn,
        size_inch=(6.2, 4.0),
        title=title,
        xlabel="defocus (nm)",
        ylabel="critical dimension (nm)",
        xlim=(float(focus.min()), float(focus.max())),
        ylim=(low - margin, high + margin),
    )


def focus_exposure_map(
    values: xr.DataArray, window: xr.Dataset, *, limits: tuple[float, float] | None = None
) -> hv.Layout:
    """A quantity over focus and exposure as a heat map, one panel a method, with the outline of the process window.

    Parameters
    ----------
    values : DataArray (method, focus, exposure) with coordinates ``defocus_nm`` and ``exposure``.
    window : Dataset (method, defocus_nm) of ``lowest`` and ``highest`` exposure, nan outside of the window.
    limits : of the colour scale; those of the data by default.

    Returns
    -------
    Panels of one colour scale; the window's outline is black, the nominal condition a white cross.
    """
    names = style.names(values[schema.METHOD])
    focus, dose = values[_FOCUS].values, values[_EXPOSURE].values
    clim = limits or (float(values.min()), float(values.max()))
    panels = []
    for i, image in enumerate(values.transpose(schema.METHOD, _EXPOSURE, ...).values):
        is_last = i % _COLUMNS == _COLUMNS - 1 or i == len(names) - 1
        mesh = hv.QuadMesh((focus, dose, image), ["x", "y"])
        mesh.opts(cmap="cividis", clim=clim, colorbar=is_last, clabel=style.axis_label(values))
        cross = marks.dots([0.0], [1.0], "white", size=50, marker="P", edgecolor="black")
        drawn = [mesh, _outline(window.isel({schema.METHOD: i}), 1.8), cross]
        panels.append(_axes(drawn, i, title=names[i], xlim=_edges(focus), ylim=_edges(dose)))
    return style.grid(panels, columns=_COLUMNS, size_inch=3.0, hspace=0.25, vspace=0.35)


def process_windows(windows: xr.Dataset) -> hv.Layout:
    """Process windows with the largest rectangle and ellipse of one exposure latitude in them, one panel a mask.

    Parameters
    ----------
    windows : Dataset over ``method`` of ``lowest`` and ``highest`` (defocus_nm), and over ``shape`` too of ``dof_nm``,
        ``best_focus_nm`` and ``best_exposure``; the attribute ``at_latitude_percent`` is the latitude of the shapes.

    Returns
    -------
    Upper and lower limit of the exposure over focus, the window between them grey. A mask without a window has an empty
    panel that says so.
    """
    ends = windows[["lowest", "highest"]].to_array().values
    low, high = (
        (max(np.nanmin(ends) - 0.02, _RANGE[0]), min(np.nanmax(ends) + 0.02, _RANGE[1]))
        if np.isfinite(ends).any()
        else _RANGE
    )
    focus = windows[_FOCUS].values
    latitude = float(windows.attrs["at_latitude_percent"]) / 100
    panels = []
    for i, name in enumerate(style.names(windows[schema.METHOD])):
        one = windows.isel({schema.METHOD: i})
        bottom, top = one["lowest"].values, one["highest"].values
        drawn: list[hv.Element] = []
        for run in _runs(np.isfinite(bottom)):
            area = hv.Area((focus[run], bottom[run], top[run]), "x", ["y", "top"])
            drawn.append(area.opts(facecolor=style.LIGHT, edgecolor=style.LIGHT))
        drawn.append(_outline(one, 1.4))
        depths = []
        for shape, colour in _SHAPES.items():
            depth, middle, dose = (
                float(one[key].sel(shape=shape)) for key in ("dof_nm", "best_focus_nm", "best_exposure")
            )
            # A window that goes on beyond the planes is deeper than could be seen.
            depths.append(f"{'≥ ' if depth >= np.ptp(focus) - 1e-6 else ''}{depth:.0f}")
            if depth > 0:
                corners = (middle, dose) + _shape(shape) * (depth / 2, latitude * dose / 2)
                drawn.append(marks.paths([corners], colour, 2))
        text = f"DOF {' / '.join(depths)} nm"
        if not np.isfinite(bottom).any():
            text = "none"
            drawn.append(hv.Text(float(focus.mean()), (low + high) / 2, "no common window").opts(fontsize=10))
        limits = {"xlim": (float(focus.min()), float(focus.max())), "ylim": (low, high)}
        panels.append(_axes(drawn, i, title=f"{name}\n{text}" if name else text, **limits))
    return style.grid(panels, columns=_COLUMNS, size_inch=3.0, hspace=0.2, vspace=0.4)


def latitude_curves(windows: xr.Dataset, *, mark_percent: float, title: str = "") -> hv.Overlay:
    """Exposure latitude against depth of focus, of the largest ellipse, a curve for each mask.

    Parameters
    ----------
    windows : Dataset (method, shape) of ``latitude_percent`` over ``depth_of_focus_nm``.
    mark_percent : the latitude at which depths of focus are read.
    title : over the picture.
    """
    depth = windows["depth_of_focus_nm"].values
    latitudes = windows["latitude_percent"].sel(shape="ellipse").transpose(schema.METHOD, ...).values
    drawn: list[hv.Element] = []
    for i, ((name, colour), latitude) in enumerate(zip(style.coloured(windows[schema.METHOD]), latitudes, strict=True)):
        # The first depth that does not fit ends the curve on the axis.
        end = 1 + (int(np.argmax(latitude <= 0)) if (latitude <= 0).any() else len(depth) - 1)
        label = name if latitude[0] > 0 else f"{name} (no window)"
        dash = style.DASHES[i % len(style.DASHES)]
        drawn.append(marks.line(depth[:end], latitude[:end], colour, label, width=1.8, linestyle=dash))
    drawn.append(hv.HLine(mark_percent).opts(color=style.GREY, linestyle=":", linewidth=1))
    return style.axes(
        drawn,
        size_inch=(6.2, 3.8),
        title=title,
        xlabel="depth of focus (nm)",
        ylabel="exposure latitude (%)",
        xlim=(0, float(depth[-1])),
        ylim=(0, max(1.08 * float(np.nanmax(latitudes)), 1.0)),
        ruled=True,
    )


def cumulative(values: Mapping[str, xr.DataArray]) -> hv.Layout:
    """Share of features at or below a value, a panel for each quantity and a curve for each mask.

    Parameters
    ----------
    values : axis label -> DataArray over ``method`` and any other dimensions; nan is left out.

    Returns
    -------
    Panels side by side; the last has the legend.
    """
    panels = []
    for label, array in values.items():
        finite = array.values[np.isfinite(array.values)]
        low, high = np.percentile(finite, [1, 98]) if finite.size else (0, 1)
        own = {"xlabel": label, "xlim": (float(low), float(high))}
        panels.append((marks.distribution(array, schema.METHOD), own))
    look = {"aspect": 3.6 / 3.2, "ylim": (0, 100), "ruled": True}
    return style.side_by_side(panels, size_inch=3.6, ylabel="features below (%)", hspace=0.25, **look)


def _axes(drawn: list, i: int, **options) -> hv.Overlay:
    place = {"yaxis": "bare", "ylabel": ""} if i % _COLUMNS else {"ylabel": "relative exposure"}
    return style.axes(drawn, legend=None, aspect="square", xlabel="defocus (nm)", **place, **options)


def _runs(keeps: np.ndarray) -> list[slice]:
    """Unbroken ranges of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, keeps, False].astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _outline(window: xr.Dataset, width: float) -> hv.Path:
    """Closed outline of a window, a path for each of its parts."""
    focus, low, high = (window[name].values for name in (_FOCUS, "lowest", "highest"))
    outlines = [
        np.stack(
            [np.r_[focus[run], focus[run][::-1], focus[run][:1]], np.r_[low[run], high[run][::-1], low[run][:1]]], -1
        )
        for run in _runs(np.isfinite(low))
    ]
    return marks.paths(outlines, "black", width)


def _shape(shape: str) -> np.ndarray:
    """Outline of a rectangle or an ellipse from -1 to 1."""
    if shape == "rectangle":
        return marks.ring((-1, -1, 1, 1))
    angle = np.linspace(0, 2 * np.pi, 121)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def _edges(values: np.ndarray) -> tuple[float, float]:
    """Limits of an axis of cells around ascending values."""
    first, last = values[1] - values[0], values[-1] - values[-2]
    return float(values[0] - first / 2), float(values[-1] + last / 2)
