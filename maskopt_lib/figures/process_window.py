"""Process windows as lithographers draw them: Bossung curves, focus-exposure maps, windows, latitude, slope."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import xarray as xr

from maskopt_lib.data import methods, schema
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.page import Figure, Mark, Panel

_FOCUS, _EXPOSURE = "defocus_nm", "exposure"
#: Shapes drawn in a window, by name.
_SHAPES = {"rectangle": style.VERMILION, "ellipse": style.BLUE}
#: Of the exposures shown at most, and panels in a row.
_RANGE, _COLUMNS = (0.7, 1.4), 3


def bossung(cd: xr.DataArray, *, target_cd_nm: float, tolerance: float = 0.1, title: str = "") -> Figure:
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
        look = {"width": 1.8 if i == nominal else 1.0, "marker": "o"}
        drawn.append(marks.line(focus, widths[i], mpl.colors.to_hex(shade), f"exposure {dose[i]:.3g}", **look))
    drawn.append(marks.across(target_cd_nm, "black", linestyle="--"))
    return page.single(
        drawn,
        aspect=1.5,
        most_inch=5.0,
        title=title,
        xlabel="defocus (nm)",
        ylabel="critical dimension (nm)",
        xlim=(float(focus.min()), float(focus.max())),
        ylim=(low - margin, high + margin),
    )


def focus_exposure_map(
    values: xr.DataArray, window: xr.Dataset, *, limits: tuple[float, float] | None = None
) -> Figure:
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
    scale = limits or style.robust(values.values)
    panels = []
    for i, image in enumerate(values.transpose(schema.METHOD, _EXPOSURE, ...).values):
        mesh = marks.heat(image, focus, dose, limits=scale, bar=style.axis_label(values))
        cross = marks.dots([0.0], [1.0], "white", size=24, marker="P", edgecolor="black")
        drawn = [mesh, _outline(window.isel({schema.METHOD: i}), 1.2), cross]
        panels.append(_panel(drawn, title=methods.written(names[i]), xlim=_edges(focus), ylim=_edges(dose)))
    return Figure(panels, columns=_COLUMNS, least_inch=1.3, shared="xy")


def process_windows(windows: xr.Dataset) -> Figure:
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
        drawn: list[Mark] = []
        for run in _runs(np.isfinite(bottom)):
            drawn.append(marks.area(focus[run], bottom[run], top[run], style.LIGHT, alpha=1.0))
        drawn.append(_outline(one, 1.0))
        depths = []
        for shape, colour in _SHAPES.items():
            depth, middle, dose = (
                float(one[key].sel(shape=shape)) for key in ("dof_nm", "best_focus_nm", "best_exposure")
            )
            # A window that goes on beyond the planes is deeper than could be seen.
            depths.append(f"{'≥ ' if depth >= np.ptp(focus) - 1e-6 else ''}{depth:.0f}")
            if depth > 0:
                corners = (middle, dose) + _shape(shape) * (depth / 2, latitude * dose / 2)
                drawn.append(marks.paths([corners], colour, 1.4))
        text = f"DOF {' / '.join(depths)} nm"
        if not np.isfinite(bottom).any():
            text = "none"
            drawn.append(marks.texts([(float(focus.mean()), (low + high) / 2, "no common\nwindow")]))
        limits = {"xlim": (float(focus.min()), float(focus.max())), "ylim": (low, high)}
        heading = methods.written(name)
        panels.append(_panel(drawn, title=f"{heading}\n{text}" if name else text, **limits))
    keys = [marks.key(f"largest {shape}", colour, 1.4) for shape, colour in _SHAPES.items()]
    return Figure(panels, columns=_COLUMNS, least_inch=1.3, shared="xy", keys=keys)


def latitude_curves(windows: xr.Dataset, *, mark_percent: float, title: str = "") -> Figure:
    """Exposure latitude against depth of focus, of the largest ellipse, a curve for each mask.

    Parameters
    ----------
    windows : Dataset (method, shape) of ``latitude_percent`` over ``depth_of_focus_nm``.
    mark_percent : the latitude at which depths of focus are read.
    title : over the picture.
    """
    depth = windows["depth_of_focus_nm"].values
    latitudes = windows["latitude_percent"].sel(shape="ellipse").transpose(schema.METHOD, ...).values
    drawn: list[Mark] = []
    for look, latitude in zip(style.looks(windows[schema.METHOD]).values(), latitudes, strict=True):
        if latitude[0] <= 0:
            drawn.append(marks.key(f"{look.name} (no window)", look.colour, 1.5, linestyle=look.dash))
            continue
        # The first depth that does not fit ends the curve on the axis.
        end = 1 + (int(np.argmax(latitude <= 0)) if (latitude <= 0).any() else len(depth) - 1)
        drawn.append(marks.line(depth[:end], latitude[:end], look.colour, look.name, linestyle=look.dash))
    drawn.append(marks.across(mark_percent, style.GREY, linestyle=":"))
    return page.single(
        drawn,
        title=title,
        xlabel="depth of focus (nm)",
        ylabel="exposure latitude (%)",
        xlim=(0, float(depth[-1])),
        ylim=(0, max(1.08 * float(np.nanmax(latitudes)), 1.0)),
        **page.CURVES,
    )


def cumulative(values: Mapping[str, xr.DataArray]) -> Figure:
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
        look = {"xlabel": label, "ylabel": "features below (%)", "xlim": (float(low), float(high)), "ylim": (0, 102)}
        panels.append(Panel(marks.distribution(array, schema.METHOD), aspect=1.2, ruled=True, **look))
    return Figure(panels, columns=2, least_inch=1.6, shared="y", most_inch=5.5)


def _panel(drawn: list[Mark], **look) -> Panel:
    return Panel(drawn, aspect=1.0, xlabel="defocus (nm)", ylabel="relative exposure", xticks=3, **look)


def _runs(keeps: np.ndarray) -> list[slice]:
    """Unbroken ranges of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, keeps, False].astype(np.int8)))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _outline(window: xr.Dataset, width: float) -> Mark:
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
