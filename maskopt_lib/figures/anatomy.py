"""Figures that explain: morphology, edge placement, an optimisation from step to step, and what the optics does.

Data come from :mod:`maskopt_lib.study.solvers.anatomy`. Colours, where a figure does not say otherwise: grey is mask,
blue the nominal print, orange the process-variation band, a black line the target.
"""

from collections.abc import Callable

import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb

from maskopt_lib.data import methods, schema
from maskopt_lib.figures import marks, page, style
from maskopt_lib.figures.page import Figure, Mark, Panel
from maskopt_lib.figures.pictures import NM

_PALE, _BAND_FILL, _ERROR = "#E3E3E3", "#F6C7A3", "#882255"
_PROBE_NM = 15.0  # distance of the EPE's probes from the target's edge


def structuring_elements(elements: xr.Dataset) -> Figure:
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
            Panel(
                [
                    marks.picture(image, (-half, -half, half, half)),
                    marks.paths(lines, "white", 0.5 if size < 15 else 0.15),
                ],
                aspect="equal",
                title=f"{size} px:\n{int(one['pixels'])} pixels",
                xlabel="x (px)",
                ylabel="" if panels else "y (px)",
                xticks=ticks,
                yticks=ticks,
            )
        )
    return Figure(panels, columns=5, least_inch=1.0)


def operators(images: xr.Dataset) -> Figure:
    """What operators keep (grey), add (blue) and remove (orange) of a shape, whose outline is black.

    Parameters
    ----------
    images : Dataset of ``image`` (operator, y, x); the first entry is the shape itself.
    """
    shape, panels = images["image"][0], []
    was = shape.values > 0
    colours = {"kept": "#B8B8B8", "added": style.PRINT, "removed": _BAND_FILL}
    for i, name in enumerate(style.names(images["operator"])):
        result = images["image"][i].values > 0
        fills = zip((result & was, result & ~was, was & ~result), colours.values(), strict=True)
        drawn = [marks.picture(marks.painted(*fills), marks.extent(shape)), marks.contours(shape, width=1.0)]
        panels.append(Panel(drawn, title=name, **NM))
    keys = [marks.key(label, colour) for label, colour in colours.items()]
    return Figure(panels, columns=3, least_inch=1.1, shared="xy", keys=keys)


def edge_placement(layers: xr.Dataset, sites: xr.Dataset) -> Figure:
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
    keys = {"target": (style.TARGET, 0.8), "nominal print": (style.BLUE, 1.2), "PV band": (_BAND_FILL, 5)}
    keys |= {"outer, inner print": (style.BAND, 0.6), "edge error (nm)": (_ERROR, 1.4)}
    panels = []
    for i, name in enumerate(style.names(layers[dim])):
        one, at = layers.isel({dim: i}), sites.isel({dim: i})
        band = (one[schema.OUTER].values > 0) != (one[schema.INNER].values > 0)
        image = marks.painted((one["target"].values > 0, _PALE), (band, _BAND_FILL))
        drawn = [
            marks.picture(image, marks.extent(layers)),
            marks.contours(one["target"], closed=False, width=0.8),
            marks.contours(one[schema.OUTER], closed=False, colour=style.BAND),
            marks.contours(one[schema.INNER], closed=False, colour=style.BAND),
            marks.contours(one[schema.NOMINAL], closed=False, colour=style.BLUE, width=1.2),
            *_site_marks(at),
        ]
        panels.append(
            Panel(
                drawn,
                title=f"{methods.written(name)}:\n{int(at['violates15'].sum())} violations in view",
                xlim=(x[0], x[-1]),
                ylim=(y[0], y[-1]),
                **NM,
            )
        )
    return Figure(panels, columns=2, shared="xy", keys=marks.keys(keys))


def _site_marks(sites: xr.Dataset) -> list[Mark]:
    at = np.stack([sites["x_nm"].values, sites["y_nm"].values], axis=-1).astype(float)
    normal = np.stack([sites["normal_x"].values, sites["normal_y"].values], axis=-1).astype(float)
    error, violated = sites["edge_error_nm"].values.astype(float), sites["violates15"].values > 0
    known = np.isfinite(error)
    probes = np.concatenate([at - _PROBE_NM * normal, at + _PROBE_NM * normal])
    # Numbers stand outside of the target, beyond the outer probe.
    texts = [
        (x, y, _signed(value) if np.isfinite(value) else "lost")
        for (x, y), value in zip(at + normal * _PROBE_NM, error, strict=True)
    ]
    ends = np.stack([at, at + normal * error[:, None]], axis=1)[known]
    probe = {"marker": "D", "edgecolor": "#444444", "linewidth": 0.5}
    cross = {"marker": "X", "edgecolor": "white", "linewidth": 0.4}
    return [
        marks.dots(*probes.T, "white", f"probes at {_PROBE_NM:g} nm", size=6, **probe),
        marks.paths(list(ends), _ERROR, 1.4),
        marks.dots(*at[known].T, "black", "EPE site", size=6),
        marks.names(texts, _ERROR, optional=True),
        marks.dots(*at[violated].T, "#CC0000", f"violates {_PROBE_NM:g} nm", size=24, **cross),
    ]


def _signed(value: float) -> str:
    """A whole number with its sign; zero has none."""
    return f"{round(value):+d}" if round(value) else "0"


def trajectory(layers: xr.Dataset) -> Figure:
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
        lambda one: f"L2 {float(one[schema.L2]):,.0f} nm²\nPVB {float(one[schema.PVB]):,.0f} nm²",
    )


def solutions(layers: xr.Dataset, scores: xr.Dataset) -> Figure:
    """One clip corrected by several methods, side by side, with their scores.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``mask``, ``nominal``, ``outer``, ``inner`` over (method, y, x).
    scores : Dataset over ``method`` with the names of :mod:`maskopt_lib.data.schema`.
    """

    def text(one: xr.Dataset) -> str:
        row = scores.sel({schema.METHOD: one[schema.METHOD].item()})
        return (
            f"L2 {float(row[schema.L2]):,.0f} nm²\nPVB {float(row[schema.PVB]):,.0f} nm²\n"
            f"EPEV {float(row[schema.EPE15]):.0f}\nMSA {float(row[schema.MSA]):,.0f} nm²\n"
            f"{float(row[schema.SHOTS]):,.0f} shots\n{float(row[schema.VERTICES]):,.0f} vertices"
        )

    def title(one: xr.Dataset) -> str:
        return methods.written(str(one[schema.METHOD].item()))

    return _two_rows(layers, schema.METHOD, title, text)


def _two_rows(
    layers: xr.Dataset,
    dim: str,
    title: Callable[[xr.Dataset], str],
    below: Callable[[xr.Dataset], str],
) -> Figure:
    """Mask above print and band, which are cut to the target; one column an entry, with its title and a text below."""
    near, n = _around(layers["target"], margin_nm=40), layers.sizes[dim]
    masks, prints = [], []
    for i in range(n):
        one, cut = layers.isel({dim: i}), layers.isel({dim: i, **near})
        band = (cut[schema.OUTER].values > 0) != (cut[schema.INNER].values > 0)
        image = marks.painted((cut[schema.NOMINAL].values > 0, style.PRINT), (band, style.BAND))
        for row, whole, drawn in (
            (masks, one, _grey(1 - one["mask"].values, style.MASK)),
            (prints, cut, image),
        ):
            parts = [marks.picture(drawn, marks.extent(whole)), marks.contours(whole["target"], width=0.5)]
            look = {"title": title(one)} if row is masks else {"xlabel": below(one)}
            row.append(Panel(parts, aspect="equal", bare=True, **look))
    span = f"masks: {_span_nm(layers):,.0f} nm wide; prints: {_span_nm(layers.isel(near)):,.0f} nm"
    return Figure(masks + prints, columns=n, least_inch=0.7, below=span)


def _span_nm(layers: xr.Dataset) -> float:
    x0, _, x1, _ = marks.extent(layers)
    return x1 - x0


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


def gradient_share(shares: xr.Dataset) -> Figure:
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
    percent = np.maximum(100 * shares["share"], 1e-3)
    means = np.maximum(100 * shares["share"].mean(schema.SAMPLE), 1e-3)
    panels = []
    for reading in readings:
        drawn = [marks.across(level, "#BBBBBB") for level in (20, 50)]
        for aim, colour in zip(style.names(shares["aim"]), (style.VERMILION, style.BLUE), strict=True):
            for objective, dash in zip(style.names(shares["objective"]), ("--", "-"), strict=True):
                at = {"aim": aim, "objective": objective, "reading": reading}
                if dash == "-":
                    ends = percent.sel(at).min(schema.SAMPLE).values, percent.sel(at).max(schema.SAMPLE).values
                    drawn.append(marks.area(step, *ends, colour, alpha=0.15))
                mean = means.sel(at).values
                drawn.append(marks.line(step, mean, colour, f"{aim}, {objective}", linestyle=dash))
        drawn.append(marks.across(area, "black", linestyle=":"))
        look = {"xlim": (0, float(step.max())), "ylim": (0.01, 120), "yticks": [0.01, 0.1, 1, 10, 20, 50, 100]}
        labels = {"xlabel": "step", "ylabel": "share of the corner regions (%)"}
        panels.append(Panel(drawn, aspect=0.9, title=reading, log_y=True, **look, **labels))
    key = marks.key(f"share of the area ({area:.2g} %)", "black", 0.9, linestyle=":")
    return Figure(panels, columns=4, least_inch=1.4, shared="xy", keys=[key])


def through_pitch(grating: xr.Dataset) -> Figure:
    """Printed width over pitch at the process corners, and the image of a dense beside that of an isolated line.

    Parameters
    ----------
    grating : Dataset of :func:`maskopt_lib.study.solvers.imaging.through_pitch`.
    """
    width_nm, widths, intensity = float(grating.attrs["width_nm"]), grating["cd_nm"], grating["intensity"]
    pitch = grating["pitch_nm"].values
    drawn = [marks.across(width_nm, style.FAINT, linestyle="--")]
    for corner, look in style.looks(grating[schema.CORNER]).items():
        drawn.append(marks.line(pitch, widths.sel(corner=corner).values, look.colour, corner, marker=look.marker))
    curves = Panel(
        drawn,
        aspect=1.35,
        title="width of one and the same line",
        log_x=True,
        ylim=(0.9 * float(widths.min()), 1.1 * float(widths.max())),
        ruled=True,
        **style.axis_labels(grating["pitch_nm"], widths),
    )
    x = grating["x_nm"].values
    drawn = [marks.span(-width_nm / 2, width_nm / 2, _PALE, up=True)]
    for pattern, colour in zip(style.names(grating["pattern"]), (style.BLUE, style.VERMILION), strict=True):
        drawn.append(marks.line(x, intensity.sel(pattern=pattern).values, colour, pattern))
    drawn.append(marks.across(float(grating.attrs["threshold"]), "black", linestyle=":"))
    cuts = Panel(
        drawn,
        aspect=1.35,
        title="its image",
        xlim=(float(x[0]), float(x[-1])),
        ylim=(0, 1.1 * float(intensity.max())),
        **style.axis_labels(grating["x_nm"], intensity),
    )
    keys = [marks.key(f"drawn: {width_nm:g} nm", style.FAINT, 0.9, linestyle="--")]
    keys.append(marks.key("threshold of the resist", "black", 0.9, linestyle=":"))
    return Figure([curves, cuts], columns=2, least_inch=2.4, keys=keys)


def neighbour_influence(shift: xr.Dataset) -> Figure:
    """How far the edges of a line move over the space to its neighbour, and from where on they stay.

    Parameters
    ----------
    shift : Dataset of :func:`maskopt_lib.study.solvers.imaging.neighbour_influence`.
    """
    gap, tolerance, reach = shift["gap_nm"].values, float(shift.attrs["tolerance_nm"]), float(shift["reach_nm"])
    drawn = [marks.span(-tolerance, tolerance)]
    for edge, colour in zip(style.names(shift["edge"]), (style.VERMILION, style.BLUE), strict=True):
        drawn.append(marks.line(gap, shift["shift_nm"].sel(edge=edge).values, colour, f"edge {edge}"))
    label = f"beyond {reach:.0f} nm: below ±{tolerance:g} nm"
    drawn.append(marks.across(reach, "black", up=True, linestyle=":"))
    return page.single(
        drawn,
        keys=[marks.key(label, "black", 0.9, linestyle=":")],
        title="one line feels another",
        xlim=(float(gap[0]), float(gap[-1])),
        **page.CURVES | style.axis_labels(shift["gap_nm"], shift["shift_nm"]),
    )


def context(layers: xr.Dataset) -> Figure:
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
        drawn.append(marks.contours(printed, colour=colour, width=1.2))
        drawn.append(marks.key(label if bool(printed.any()) else f"{label}: none", colour, 1.2))
    return page.single(drawn, most_inch=4.0, **NM)


def corner_rounding(square: xr.Dataset) -> Figure:
    """Why corners round: a square, its spectrum within the optics' band, what is left of it, and its print.

    Parameters
    ----------
    square : Dataset of :func:`maskopt_lib.study.solvers.imaging.spectrum_of_square`.
    """
    outline = marks.contours(square["mask"], width=0.7, linestyle="--")
    panels = []
    for title, name, (low, high), level in (
        ("mask", "mask", (0, 1), None),
        ("what the optics lets pass", "low_passed", (-0.2, 1.2), 0.5),
        ("image and print", "aerial", (0, 1.3), float(square.attrs["threshold"])),
    ):
        image = _grey((high - square[name].values) / (high - low), "#404040")
        drawn = [marks.picture(image, marks.extent(square)), outline]
        if level is not None:
            drawn.append(marks.contours(square[name], level, colour=style.BLUE, width=1.3))
        panels.append(Panel(drawn, title=title, **NM))
    f, band = square["fx_per_um"].values, float(square["band_per_um"])
    log = np.log10(np.maximum(square["spectrum"].values, 1e-5))
    spectrum = marks.heat(log, f, square["fy_per_um"].values, limits=(-4, 0), colours="gray")
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = marks.line(band * np.cos(angle), band * np.sin(angle), style.ORANGE)
    look = {"title": "its spectrum (log), band circled", "xlim": (f[0], f[-1]), "ylim": (f[0], f[-1])}
    look |= {"xlabel": style.axis_label(square["fx_per_um"]), "ylabel": style.axis_label(square["fy_per_um"])}
    panels.insert(1, Panel([spectrum, circle], aspect="equal", **look))
    return Figure(panels, columns=4, least_inch=1.4)


def corner_pull_back(square: xr.Dataset) -> Figure:
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
    return page.single(
        [
            marks.line(band, distance[0] / band, style.FAINT, "one over the band", linestyle="--"),
            marks.line(band, distance, style.BLUE, "ideal band, edge kept in place", marker="o"),
            marks.dots([1.0], [printed], style.VERMILION, "print through the optics", size=24, marker="D"),
        ],
        title="how far the corner goes",
        ylim=(0, 1.2 * max(float(distance.max()), printed)),
        **page.CURVES | style.axis_labels(square["band"], square["pull_back_nm"]),
    )
