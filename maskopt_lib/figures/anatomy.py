"""Figures that explain: morphology, edge placement, an optimisation from step to step, and what the optics does.

Data come from :mod:`maskopt_lib.study.solvers.anatomy`. Colours, where a figure does not say otherwise: grey is mask,
blue the nominal print, orange the process-variation band, a black line the target.
"""

from collections.abc import Callable

import holoviews as hv
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

from maskopt_lib.data import schema
from maskopt_lib.figures import marks, style

_PALE, _BAND_FILL, _ERROR = "#E3E3E3", "#F6C7A3", "#882255"
_TITLES = {"title": 10}
_PROBE_NM = 15.0  # distance of the EPE's probes from the target's edge


def structuring_elements(elements: xr.Dataset) -> hv.Layout:
    """Round structuring elements, pixel by pixel, each on its own scale.

    Parameters
    ----------
    elements : Dataset (size_px, dy_px, dx_px) with ``element`` and ``pixels``.
    """
    panels = []
    for size in elements["size_px"].values.tolist():
        one, half = elements.sel(size_px=size), size / 2
        inside = np.abs(one["dx_px"].values) <= half
        image = marks.painted((one["element"].values[np.ix_(inside, inside)] > 0, style.PRINT))
        lines = [np.array([(at, -half), (at, half)]) for at in np.arange(-half, half + 0.5)]
        lines += [line[:, ::-1] for line in lines]
        ticks = [-(size // 2), 0, size // 2]
        panels.append(
            style.axes(
                [
                    marks.picture(image, (-half, -half, half, half)),
                    marks.paths(lines, "white", 0.8 if size < 15 else 0.25),
                ],
                fonts=_TITLES,
                aspect="equal",
                title=f"{size} px: {int(one['pixels'])} pixels",
                xlabel="x (px)",
                ylabel="" if panels else "y (px)",
                xticks=ticks,
                yticks=ticks,
            )
        )
    return style.grid(panels, size_inch=2.0, hspace=0.3, shared_axes=False)


def operators(images: xr.Dataset) -> hv.Layout:
    """What operators keep (grey), add (blue) and remove (orange) of a shape, whose outline is black.

    Parameters
    ----------
    images : Dataset of ``image`` (operator, y, x); the first entry is the shape itself.
    """
    shape, columns, panels = images["image"][0], 3, []
    was = shape.values > 0
    colours = {"kept": "#B8B8B8", "added": style.PRINT, "removed": _BAND_FILL}
    for i, name in enumerate(style.names(images["operator"])):
        result = images["image"][i].values > 0
        fills = zip((result & was, result & ~was, was & ~result), colours.values(), strict=True)
        drawn = [marks.picture(marks.painted(*fills), marks.extent(shape)), marks.contours(shape, width=1.0)]
        if i == columns - 1:  # one legend serves all panels
            drawn += [marks.key(label, colour) for label, colour in colours.items()]
        place = style.outer(i, images.sizes["operator"], columns)
        panels.append(style.axes(drawn, fonts=_TITLES, title=name, aspect="equal", **place))
    return style.grid(panels, columns=columns, size_inch=2.9, hspace=0.08, vspace=0.18)


def edge_placement(layers: xr.Dataset, sites: xr.Dataset) -> hv.Layout:
    """EPE and PV band on real prints: what the metrics look at, one panel a mask.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``nominal``, ``outer``, ``inner`` ``(*, y, x)``, cut to what is to be seen.
    sites : Dataset over ``(*, site)`` of EPE sites; those outside of the picture are left out.

    Returns
    -------
    Panels with the target grey, the band between outer and inner print orange, the nominal print a blue line; a purple
    line leads from each site to the printed edge and carries its signed length in nm. Diamonds are the probes at 15 nm,
    crosses the sites that violate them.
    """
    dim = layers[schema.NOMINAL].dims[0]
    x, y = layers[schema.X].values, layers[schema.Y].values
    inside = (sites["x_nm"] > x[0] + 4) & (sites["x_nm"] < x[-1] - 4)
    inside &= (sites["y_nm"] > y[0] + 4) & (sites["y_nm"] < y[-1] - 4)
    sites = sites.isel({schema.SITE: inside.values})
    keys = {"target": (style.TARGET, 1.2), "nominal print": (style.BLUE, 1.8), "PV band": (_BAND_FILL, 7)}
    keys |= {"outer, inner print": (style.BAND, 0.8), "edge error (nm)": (_ERROR, 2.0)}
    panels = []
    for i, name in enumerate(style.names(layers[dim])):
        one, at = layers.isel({dim: i}), sites.isel({dim: i})
        band = (one[schema.OUTER].values > 0) != (one[schema.INNER].values > 0)
        image = marks.painted((one["target"].values > 0, _PALE), (band, _BAND_FILL))
        drawn = [
            marks.picture(image, marks.extent(layers)),
            marks.contours(one["target"], closed=False, width=1.2),
            marks.contours(one[schema.OUTER], closed=False, colour=style.BAND),
            marks.contours(one[schema.INNER], closed=False, colour=style.BAND),
            marks.contours(one[schema.NOMINAL], closed=False, colour=style.BLUE, width=1.8),
            *marks.keys(keys),
            *_site_marks(at),
        ]
        panels.append(
            style.axes(
                drawn,
                aspect="equal",
                legend="right" if i == layers.sizes[dim] - 1 else None,
                title=f"{name}: {int(at['violates15'].sum())} violations in view",
                xlim=(x[0], x[-1]),
                ylim=(y[0], y[-1]),
                **style.outer(i, layers.sizes[dim], layers.sizes[dim]),
            )
        )
    return style.grid(panels, size_inch=5.0, hspace=0.06)


def _site_marks(sites: xr.Dataset) -> list:
    at = np.stack([sites["x_nm"].values, sites["y_nm"].values], axis=-1).astype(float)
    normal = np.stack([sites["normal_x"].values, sites["normal_y"].values], axis=-1).astype(float)
    error, violated = sites["edge_error_nm"].values.astype(float), sites["violates15"].values > 0
    known = np.isfinite(error)
    probes = np.concatenate([at - _PROBE_NM * normal, at + _PROBE_NM * normal])
    # Numbers stand outside of the target, beyond the outer probe; one that would cover another is left out.
    texts: list[tuple[float, float, str]] = []
    for (x, y), value in zip(at + normal * (_PROBE_NM + 14, _PROBE_NM + 10), error, strict=True):
        if all(abs(x - c) > 16 or abs(y - d) > 10 for c, d, _ in texts):
            texts.append((x, y, _signed(value) if np.isfinite(value) else "lost"))
    # A point nowhere keeps the entry of the legend where nothing is violated.
    crosses = np.append(at[violated], [[np.nan, np.nan]], axis=0)
    ends = np.concatenate([at, at + normal * error[:, None]], axis=1)[known]
    look = {"marker": "D", "edgecolor": "#444444", "linewidth": 0.7}
    return [
        marks.dots(*probes.T, "white", f"probes at {_PROBE_NM:g} nm", size=14, **look),
        hv.Segments(ends).opts(color=_ERROR, linewidth=2.0),
        marks.dots(*at[known].T, "black", "EPE site", size=16),
        marks.texts(texts, colour=_ERROR, size=9),
        marks.dots(
            *crosses.T, "#CC0000", f"violates {_PROBE_NM:g} nm", size=60, marker="X", edgecolor="white", linewidth=0.6
        ),
    ]


def _signed(value: float) -> str:
    """A whole number with its sign; zero has none."""
    return f"{round(value):+d}" if round(value) else "0"


def trajectory(layers: xr.Dataset) -> hv.Layout:
    """Masks of an optimisation, step by step, above what each prints.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``mask``, ``nominal``, ``outer``, ``inner`` over (stage, y, x), with
        ``l2_nm2``, ``pvb_nm2`` and the coordinate ``at_step`` over ``stage``.
    """
    return _two_rows(
        layers,
        "stage",
        lambda one: f"{one['stage'].item()}\n(step {int(one['at_step'])})",
        lambda one: f"L2 {float(one[schema.L2]):,.0f} nm²\nPV band {float(one[schema.PVB]):,.0f} nm²",
    )


def solutions(layers: xr.Dataset, scores: xr.Dataset) -> hv.Layout:
    """One clip corrected by several methods, side by side, with their scores.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``mask``, ``nominal``, ``outer``, ``inner`` over (method, y, x).
    scores : Dataset over ``method`` with the names of :mod:`maskopt_lib.data.schema`.
    """

    def text(one: xr.Dataset) -> str:
        row = scores.sel({schema.METHOD: one[schema.METHOD].item()})
        return (
            f"L2 {float(row[schema.L2]):,.0f} nm²\nPV band {float(row[schema.PVB]):,.0f} nm²\n"
            f"EPE violations {float(row[schema.EPE15]):.0f}\nsmallest shape {float(row[schema.MSA]):,.0f} nm²\n"
            f"shots {float(row[schema.SHOTS]):,.0f}, vertices {float(row[schema.VERTICES]):,.0f}"
        )

    return _two_rows(layers, schema.METHOD, lambda one: str(one[schema.METHOD].item()), text, size_inch=3.2)


def _two_rows(
    layers: xr.Dataset,
    dim: str,
    title: Callable[[xr.Dataset], str],
    below: Callable[[xr.Dataset], str],
    size_inch: float = 2.7,
) -> hv.Layout:
    """Mask above print and band, which are cut to the target; one column an entry, with its title and a text below."""
    near, n = _around(layers["target"], margin_nm=40), layers.sizes[dim]
    masks, prints = [], []
    for i in range(n):
        one, cut = layers.isel({dim: i}), layers.isel({dim: i, **near})
        band = (cut[schema.OUTER].values > 0) != (cut[schema.INNER].values > 0)
        image = marks.painted((cut[schema.NOMINAL].values > 0, style.PRINT), (band, style.BAND))
        text = f"x (nm)\n\n{below(one)}"
        for row, whole, drawn, look in (
            (masks, one, _grey(1 - one["mask"].values, style.MASK), style.outer(i, 2 * n, n)),
            (prints, cut, image, style.outer(n + i, 2 * n, n, xlabel=text)),
        ):
            parts = [marks.picture(drawn, marks.extent(whole)), marks.contours(whole["target"], width=0.7)]
            look["title"] = title(one) if row is masks else ""
            row.append(style.axes(parts, fonts=_TITLES, aspect="equal", **look))
    size = {"size_inch": size_inch, "hspace": 0.06, "vspace": 0.08}
    return style.grid(masks + prints, columns=n, shared_axes=False, **size)


def _grey(clear: np.ndarray, dark: str) -> np.ndarray:
    """A picture from ``dark`` (0) to white (1)."""
    share = np.clip(clear.astype(float), 0, 1)[..., None]
    return np.rint(255 * (share + (1 - share) * np.array(to_rgb(dark)))).astype(np.uint8)


def _around(image: xr.DataArray, *, margin_nm: float) -> dict[str, slice]:
    """The square of a picture that holds all that is not 0, with a margin, by index."""
    margin = round(margin_nm / float(image[schema.X][1] - image[schema.X][0]))
    places = {
        dim: np.flatnonzero(image.any(other).values) for dim, other in ((schema.Y, schema.X), (schema.X, schema.Y))
    }
    side = max(int(np.ptp(at)) for at in places.values()) + 2 * margin
    starts = {dim: max((int(at[0] + at[-1]) - side) // 2, 0) for dim, at in places.items()}
    return {dim: slice(start, start + side + 1) for dim, start in starts.items()}


def gradient_share(shares: xr.Dataset) -> hv.Layout:
    """The corner regions' share of the gradient over the steps, one panel a reading of "share".

    Parameters
    ----------
    shares : Dataset of :func:`maskopt_lib.study.solvers.anatomy.corner_gradient_share`.

    Returns
    -------
    Panels with a logarithmic axis in percent: thick lines are means over the clips, for the whole objective (full) and
    for the fidelity alone (dashed), bands span the clips, a dotted line is the regions' share of the area. Grey lines
    stand at 20 and 50 %.
    """
    step, readings = shares[schema.STEP].values, style.names(shares["reading"])
    area = 100 * float(shares["area_share"].mean())
    size = (3.1, 3.3)
    logs = np.log10(np.maximum(100 * shares["share"], 1e-3))
    means = np.log10(np.maximum(100 * shares["share"].mean(schema.SAMPLE), 1e-3))
    panels = []
    for reading in readings:
        # Logarithms with ticks of their own: a panel keeps its shape.
        drawn = [hv.HLine(np.log10(percent)).opts(color="#BBBBBB", linewidth=1) for percent in (20, 50)]
        for aim, colour in zip(style.names(shares["aim"]), (style.VERMILION, style.BLUE), strict=True):
            for objective, dash in zip(style.names(shares["objective"]), ("--", "-"), strict=True):
                at = {"aim": aim, "objective": objective, "reading": reading}
                if dash == "-":
                    ends = logs.sel(at).min(schema.SAMPLE).values, logs.sel(at).max(schema.SAMPLE).values
                    span = hv.Area((step, *ends), "x", ["low", "high"])
                    drawn.append(span.opts(facecolor=colour, edgecolor="none", alpha=0.15))
                mean = means.sel(at).values
                drawn.append(marks.line(step, mean, colour, f"{aim}, {objective}", width=1.8, linestyle=dash))
        drawn += marks.across(np.log10(area), "black", f"share of the area ({area:.2g} %)", linestyle=":")
        panels.append((drawn, {"title": reading}))
    ticks = [(np.log10(percent), f"{percent:g}") for percent in (0.01, 0.1, 1, 10, 20, 50, 100)]
    look = {"aspect": size[0] / size[1], "xlabel": "step", "ylabel": "share of the corner regions (%)"}
    look |= {"xlim": (0, float(step.max())), "ylim": (-2, 2.1), "yticks": ticks}
    return style.side_by_side(panels, size_inch=(len(panels) * size[0], size[1]), shared_axes=True, **look)


def through_pitch(grating: xr.Dataset) -> hv.Layout:
    """Printed width over pitch at the process corners, and the image of a dense beside that of an isolated line.

    Parameters
    ----------
    grating : Dataset of :func:`maskopt_lib.study.solvers.imaging.through_pitch`.
    """
    width_nm, widths, intensity = float(grating.attrs["width_nm"]), grating["cd_nm"], grating["intensity"]
    # Logarithms with ticks of their own: a panel keeps its shape.
    pitch = np.log10(grating["pitch_nm"].values)
    drawn = marks.across(width_nm, style.FAINT, f"drawn: {width_nm:g} nm", 1, linestyle="--")
    for corner, colour in style.coloured(grating[schema.CORNER]):
        drawn.append(marks.line(pitch, widths.sel(corner=corner).values, colour, corner, marker="o", ms=4))
    size = (4.6, 3.3)
    look = {"aspect": size[0] / size[1], "legend": "top_right"}
    curves = style.axes(
        drawn,
        **look,
        title="width of one and the same line",
        xlabel=style.axis_label(grating["pitch_nm"]),
        ylabel=style.axis_label(widths),
        xticks=[(np.log10(tick), str(tick)) for tick in (200, 300, 500, 1000, 2000)],
        xlim=(pitch[0] - 0.03, pitch[-1] + 0.03),
        ylim=(0.9 * float(widths.min()), 1.1 * float(widths.max())),
        ruled=True,
    )
    x = grating["x_nm"].values
    drawn = [hv.VSpan(-width_nm / 2, width_nm / 2).opts(facecolor=_PALE, edgecolor="none", alpha=1.0)]
    for pattern, colour in zip(style.names(grating["pattern"]), (style.BLUE, style.VERMILION), strict=True):
        drawn.append(marks.line(x, intensity.sel(pattern=pattern).values, colour, pattern, width=1.8))
    drawn += marks.across(float(grating.attrs["threshold"]), "black", "threshold of the resist", linestyle=":")
    cuts = style.axes(
        drawn,
        **look,
        title="its image",
        xlabel=style.axis_label(grating["x_nm"]),
        ylabel=style.axis_label(intensity),
        xlim=(float(x[0]), float(x[-1])),
        ylim=(0, 1.45 * float(intensity.max())),
    )
    return style.grid([curves, cuts], size_inch=(2 * size[0], size[1]), hspace=0.28, shared_axes=False)


def neighbour_influence(shift: xr.Dataset) -> hv.Overlay:
    """How far the edges of a line move over the space to its neighbour, and from where on they stay.

    Parameters
    ----------
    shift : Dataset of :func:`maskopt_lib.study.solvers.imaging.neighbour_influence`.
    """
    gap, tolerance, reach = shift["gap_nm"].values, float(shift.attrs["tolerance_nm"]), float(shift["reach_nm"])
    drawn = [hv.HSpan(-tolerance, tolerance).opts(facecolor=style.LIGHT, edgecolor="none", alpha=1.0)]
    for edge, colour in zip(style.names(shift["edge"]), (style.VERMILION, style.BLUE), strict=True):
        drawn.append(marks.line(gap, shift["shift_nm"].sel(edge=edge).values, colour, f"edge {edge}", width=1.8))
    label = f"beyond {reach:.0f} nm: below ±{tolerance:g} nm"
    drawn += marks.across(reach, "black", label, up=True, linestyle=":")
    return style.axes(
        drawn,
        size_inch=(6.4, 3.3),
        legend="top_right",
        title="one line feels another",
        xlabel=style.axis_label(shift["gap_nm"]),
        ylabel=style.axis_label(shift["shift_nm"]),
        xlim=(float(gap[0]), float(gap[-1])),
        ruled=True,
    )


def context(layers: xr.Dataset) -> hv.Overlay:
    """One shape, printed with and without its neighbours.

    Parameters
    ----------
    layers : Dataset of ``mask`` and ``nominal`` over (context, y, x); first with all shapes, then with one alone.
    """
    together, alone = layers["mask"]
    image = marks.painted((together.values > 0.5, _PALE), (alone.values > 0.5, "#BFBFBF"))
    drawn = [marks.picture(image, marks.extent(layers))]
    labels = {"print in context": style.BLUE, "print of the dark shape alone": style.BAND}
    for (label, colour), printed in zip(labels.items(), layers[schema.NOMINAL], strict=True):
        drawn.append(marks.contours(printed, colour=colour, width=1.6))
        drawn.append(marks.key(label if bool(printed.any()) else f"{label}: none", colour, 1.6))
    return style.map_axes(drawn, marks.extent(layers), size_inch=5.0)


def corner_rounding(square: xr.Dataset) -> hv.Layout:
    """Why corners round: a square, its spectrum within the optics' band, what is left of it, and its print.

    Parameters
    ----------
    square : Dataset of :func:`maskopt_lib.study.solvers.imaging.spectrum_of_square`.
    """
    outline = marks.contours(square["mask"], width=0.9, linestyle="--")
    panels = []
    for title, name, (low, high), level in (
        ("mask", "mask", (0, 1), None),
        ("what the optics lets pass", "low_passed", (-0.2, 1.2), 0.5),
        ("image and print", "aerial", (0, 1.3), float(square.attrs["threshold"])),
    ):
        image = _grey((high - square[name].values) / (high - low), "#404040")
        drawn = [marks.picture(image, marks.extent(square)), outline]
        if level is not None:
            drawn.append(marks.contours(square[name], level, colour=style.BLUE, width=2.0))
        place = style.outer(len(panels), 3, 3)
        panels.append(style.axes(drawn, fonts=_TITLES, title=title, aspect="equal", **place))
    f, band = square["fx_per_um"].values, float(square["band_per_um"])
    bounds = marks.extent(square["spectrum"].rename(fx_per_um="x", fy_per_um="y"))
    log = np.log10(np.maximum(square["spectrum"].values, 1e-5))
    spectrum = hv.Image(log[::-1], bounds=bounds, kdims=["x", "y"])
    spectrum.opts(cmap="gray", clim=(-4, 0), interpolation="nearest")
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = marks.line(band * np.cos(angle), band * np.sin(angle), style.ORANGE, width=2)
    look = {"title": "its spectrum (log), band circled", "xlim": (f[0], f[-1]), "ylim": (f[0], f[-1])}
    look |= {"xlabel": style.axis_label(square["fx_per_um"]), "ylabel": style.axis_label(square["fy_per_um"])}
    panels.insert(1, style.axes([spectrum, circle], fonts=_TITLES, aspect="equal", **look))
    return style.grid(panels, size_inch=3.0, hspace=0.35, shared_axes=False)


def corner_pull_back(square: xr.Dataset) -> hv.Overlay:
    """Distance of the rounded corner from the drawn one over the width of the pass band.

    Parameters
    ----------
    square : Dataset of :func:`maskopt_lib.study.solvers.imaging.spectrum_of_square`.
    """
    band, distance, printed = (
        square["band"].values,
        square["pull_back_nm"].values,
        float(square["printed_pull_back_nm"]),
    )
    return style.axes(
        [
            marks.line(band, distance[0] / band, style.FAINT, "one over the band", width=1.2, linestyle="--"),
            marks.line(band, distance, style.BLUE, "ideal band, edge kept in place", width=1.8, marker="o", ms=4),
            marks.dots([1.0], [printed], style.VERMILION, "print through the optics", size=50, marker="D"),
        ],
        size_inch=(5.0, 3.2),
        legend="top_right",
        title="how far the corner goes",
        xlabel=style.axis_label(square["band"]),
        ylabel=style.axis_label(square["pull_back_nm"]),
        ylim=(0, 1.2 * max(float(distance.max()), printed)),
        ruled=True,
    )
