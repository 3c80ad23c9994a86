"""Figures that explain: morphology, edge placement, an optimisation from step to step, and what the optics does.

Data come from :mod:`maskopt_lib.study.solvers.anatomy`. Colours, where a figure does not say otherwise: grey is mask,
blue the nominal print, orange the process-variation band, a black line the target.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import holoviews as hv
import numpy as np
import xarray as xr
from matplotlib.colors import to_rgb
from skimage.measure import find_contours

from maskopt_lib.data import schema
from maskopt_lib.figures import style

_LIGHT, _FAINT = "#E3E3E3", "#888888"
_BAND_FILL, _PRINT_LINE, _ERROR = "#F6C7A3", "#0072B2", "#882255"
_TITLES = {"title": 10, "labels": 10, "ticks": 9, "legend": 9}


def structuring_elements(elements: xr.Dataset, *, size_inch: float = 2.0) -> hv.Layout:
    """Round structuring elements, pixel by pixel, each on its own scale.

    Parameters
    ----------
    elements : Dataset (size_px, dy_px, dx_px) with ``element`` and ``pixels``.
    size_inch : side of a panel.
    """
    panels = []
    for size in elements["size_px"].values:
        one = elements.sel(size_px=size)
        half = int(size) / 2
        inside = np.abs(one["dx_px"].values) <= half
        image = _filled(one["element"].values[np.ix_(inside, inside)], [style.PRINT])
        box = hv.RGB(image[::-1], bounds=(-half, -half, half, half), kdims=["dx", "dy"])
        lines = np.arange(-half, half + 0.5)
        grid = hv.Segments([(at, -half, at, half) for at in lines] + [(-half, at, half, at) for at in lines])
        grid = grid.opts(hv.opts.Segments(color="white", linewidth=0.8 if size < 15 else 0.25))
        radius = int(size) // 2
        panels.append(
            (box * grid).opts(
                hv.opts.RGB(
                    title=f"{size} px: {int(one['pixels'])} pixels", aspect="equal", interpolation="nearest",
                    xlabel="x (px)", ylabel="y (px)" if not panels else "", fontsize=_TITLES,
                    xticks=[-radius, 0, radius], yticks=[-radius, 0, radius],
                ),
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.3, sublabel_format="", shared_axes=False))


def operators(images: xr.Dataset, *, columns: int = 3, size_inch: float = 2.9) -> hv.Layout:
    """What operators keep (grey), add (blue) and remove (orange) of a shape, whose outline is black.

    Parameters
    ----------
    images : Dataset of ``image`` (operator, y, x); the first entry is the shape itself.
    columns : panels side by side.
    size_inch : width of a panel.
    """
    shape = images["image"][0]
    panels = []
    for i, name in enumerate(images["operator"].values):
        result = images["image"][i].values > 0
        was = shape.values > 0
        colours = np.ones((*result.shape, 3))
        for where, colour in ((result & was, "#B8B8B8"), (result & ~was, style.PRINT), (was & ~result, _BAND_FILL)):
            colours[where] = to_rgb(colour)
        drawn = [_picture(colours, shape), _contours(shape, 0.5, color=style.TARGET, linewidth=1.0)]
        if i == columns - 1:  # one legend serves all panels
            drawn += _keys({"kept": ("#B8B8B8", 7), "added": (style.PRINT, 7), "removed": (_BAND_FILL, 7)})
        is_bottom = i >= images.sizes["operator"] - columns
        panel = _axes(hv.Overlay(drawn), title=str(name), left=i % columns == 0, bottom=is_bottom)
        panels.append(panel.opts(hv.opts.Overlay(legend_position="right", fontsize=_TITLES)))
    layout = hv.Layout(panels).cols(columns)
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.08, vspace=0.18, sublabel_format=""))


def edge_placement(
    layers: xr.Dataset, sites: xr.Dataset, *, probe_nm: float = 15.0, size_inch: float = 5.0
) -> hv.Layout:
    """EPE and PV band on real prints: what the metrics look at, one panel a mask.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``nominal``, ``outer``, ``inner`` (*, y, x), cut to what is to be seen.
    sites : Dataset over (*, site) of EPE sites; those outside of the picture are left out.
    probe_nm : distance of the probes from the target's edge; triangles mark them, crosses those that are violated.
    size_inch : side of a panel.

    Returns
    -------
    Panels with the target grey, the band between outer and inner print orange, the nominal print a blue line; a purple
    line leads from each site to the printed edge and carries its signed length in nm.
    """
    dim = layers[schema.NOMINAL].dims[0]
    x, y = layers[schema.X].values, layers[schema.Y].values
    inside = (
        (sites["x_nm"] > x[0] + 4) & (sites["x_nm"] < x[-1] - 4)
        & (sites["y_nm"] > y[0] + 4) & (sites["y_nm"] < y[-1] - 4)
    )  # fmt: skip
    seen = sites.isel({schema.SITE: np.flatnonzero(inside.values)})
    panels = []
    for i, name in enumerate(layers[dim].values):
        one, at = layers.isel({dim: i}), seen.isel({dim: i})
        colours = np.ones((len(y), len(x), 3))
        colours[one["target"].values > 0] = to_rgb(_LIGHT)
        colours[(one[schema.OUTER].values > 0) != (one[schema.INNER].values > 0)] = to_rgb(_BAND_FILL)
        drawn = [
            _picture(colours, one["target"]),
            _contours(one["target"], 0.5, closed=False, color=style.TARGET, linewidth=1.2),
            _contours(one[schema.OUTER], 0.5, closed=False, color=style.BAND, linewidth=0.8),
            _contours(one[schema.INNER], 0.5, closed=False, color=style.BAND, linewidth=0.8),
            _contours(one[schema.NOMINAL], 0.5, closed=False, color=_PRINT_LINE, linewidth=1.8),
            *_keys({"target": (style.TARGET, 1.2), "nominal print": (_PRINT_LINE, 1.8), "PV band": (_BAND_FILL, 7),
                    "outer, inner print": (style.BAND, 0.8), "edge error (nm)": (_ERROR, 2.0)}),
            *_site_marks(at, probe_nm),
        ]  # fmt: skip
        violations = int(at["violates15"].sum())
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.RGB(aspect="equal", interpolation="nearest"),
                hv.opts.Overlay(
                    title=f"{name}: {violations} violations in view", xlabel="x (nm)",
                    ylabel="y (nm)" if i == 0 else "", yaxis="left" if i == 0 else "bare",
                    xlim=(x[0], x[-1]), ylim=(y[0], y[-1]), aspect="equal", fontsize=style.FONT_SIZES,
                    show_legend=i == layers.sizes[dim] - 1, legend_position="right",
                ),
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.06, sublabel_format=""))


def _site_marks(at: xr.Dataset, probe_nm: float) -> list:
    x, y, nx, ny, error = (
        at[name].values.astype(float) for name in ("x_nm", "y_nm", "normal_x", "normal_y", "edge_error_nm")
    )
    found = np.isfinite(error)
    ends = [(a, b, a + m * e, b + n * e) for a, b, m, n, e in zip(x, y, nx, ny, error, strict=True) if np.isfinite(e)]
    probes = np.array([[a + s * m * probe_nm, b + s * n * probe_nm] for a, b, m, n in zip(x, y, nx, ny, strict=True)
                       for s in (-1, 1)]).reshape(-1, 2)  # fmt: skip
    # Numbers stand outside of the target, beyond the outer probe; one that would cover another is left out.
    names: list[tuple[float, float, str]] = []
    for a, b, m, n, e in zip(x, y, nx, ny, error, strict=True):
        place = a + (probe_nm + 14) * m, b + (probe_nm + 10) * n
        if all(abs(place[0] - c) > 16 or abs(place[1] - d) > 10 for c, d, _ in names):
            names.append((*place, _signed(e) if np.isfinite(e) else "lost"))
    marks = [
        hv.Points(probes, label=f"probes at {probe_nm:g} nm").opts(
            hv.opts.Points(color="white", edgecolor="#444444", marker="D", s=14, linewidth=0.7)
        ),
        hv.Segments(ends).opts(hv.opts.Segments(color=_ERROR, linewidth=2.0)),
        hv.Points((x[found], y[found]), label="EPE site").opts(hv.opts.Points(color="black", s=16)),
        hv.Labels(names).opts(hv.opts.Labels(color=_ERROR, size=9)),
    ]
    violated = at["violates15"].values > 0
    # A point nowhere keeps the entry of the legend where nothing is violated.
    places = np.append(x[violated], np.nan), np.append(y[violated], np.nan)
    cross = hv.Points(places, label=f"violates {probe_nm:g} nm")
    marks.append(cross.opts(hv.opts.Points(color="#CC0000", marker="X", edgecolor="white", linewidth=0.6, s=60)))
    return marks


def _signed(value: float) -> str:
    """A whole number with its sign; zero has none."""
    return f"{round(value):+d}" if round(value) else "0"


def _keys(entries: Mapping[str, tuple[str, float]]) -> list[hv.Curve]:
    """Entries of the legend, name -> (colour, linewidth), for what has none of its own."""
    return [
        hv.Curve([(np.nan, np.nan)], label=name).opts(hv.opts.Curve(color=colour, linewidth=width))
        for name, (colour, width) in entries.items()
    ]


def trajectory(layers: xr.Dataset, *, size_inch: float = 2.7) -> hv.Layout:
    """Masks of an optimisation, step by step, above what each prints.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``mask``, ``nominal``, ``outer``, ``inner`` over (stage, y, x), with
        ``l2_nm2``, ``pvb_nm2`` and the coordinate ``at_step`` over ``stage``.
    size_inch : width of a panel.
    """
    names = {
        str(stage): f"{stage}\n(step {int(layers['at_step'].sel(stage=stage))})" for stage in layers["stage"].values
    }
    scores = {
        str(stage): f"L2 {float(layers[schema.L2].sel(stage=stage)):,.0f} nm²\n"
        f"PV band {float(layers[schema.PVB].sel(stage=stage)):,.0f} nm²"
        for stage in layers["stage"].values
    }
    return _two_rows(layers, "stage", names, scores, size_inch=size_inch)


def solutions(
    layers: xr.Dataset, scores: xr.Dataset, *, columns: int | None = None, size_inch: float = 3.2
) -> hv.Layout:
    """One clip corrected by several methods, side by side, with their scores.

    Parameters
    ----------
    layers : Dataset of ``target`` (y, x), ``mask``, ``nominal``, ``outer``, ``inner`` over (method, y, x).
    scores : Dataset over ``method`` with the names of :mod:`maskopt_lib.data.schema`.
    columns : methods in a row; all of them by default.
    size_inch : width of a panel.
    """
    names = {str(name): str(name) for name in layers["method"].values}
    texts = {}
    for name in names:
        value = {key: float(scores[key].sel({schema.METHOD: name})) for key in (
            schema.L2, schema.PVB, schema.EPE15, schema.SHOTS, schema.VERTICES, schema.MSA)}  # fmt: skip
        texts[name] = (
            f"L2 {value[schema.L2]:,.0f} nm²\nPV band {value[schema.PVB]:,.0f} nm²\n"
            f"EPE violations {value[schema.EPE15]:.0f}\nsmallest shape {value[schema.MSA]:,.0f} nm²\n"
            f"shots {value[schema.SHOTS]:,.0f}, vertices {value[schema.VERTICES]:,.0f}"
        )
    return _two_rows(layers, "method", names, texts, size_inch=size_inch)


def _two_rows(
    layers: xr.Dataset, dim: str, titles: Mapping[str, str], texts: Mapping[str, str], *, size_inch: float
) -> hv.Layout:
    """Mask above print and band, which are cut to the target; one column an entry."""
    above, below = [], []
    target = layers["target"]
    near = _around(target, margin_nm=40)
    for i, (name, title) in enumerate(titles.items()):
        one = layers.sel({dim: name})
        grey = np.clip(one["mask"].values.astype(float), 0, 1)[..., None]
        mask = grey * np.array(to_rgb(style.MASK)) + (1 - grey)
        above.append(
            _axes(_picture(mask, target) * _contours(target, 0.5, color=style.TARGET, linewidth=0.7),
                  title=title, left=i == 0, bottom=False)
        )  # fmt: skip
        seen = one.isel(near)
        colours = _filled(seen[schema.NOMINAL].values, [style.PRINT])
        colours[(seen[schema.OUTER].values > 0) != (seen[schema.INNER].values > 0)] = to_rgb(style.BAND)
        below.append(
            _axes(_picture(colours, seen["target"]) * _contours(seen["target"], 0.5, color=style.TARGET, linewidth=0.7),
                  title="", below=texts[name], left=i == 0, bottom=True)
        )  # fmt: skip
    layout = hv.Layout(above + below).cols(len(above))
    return layout.opts(
        hv.opts.Layout(fig_inches=size_inch, hspace=0.06, vspace=0.08, sublabel_format="", shared_axes=False)
    )


def _around(image: xr.DataArray, *, margin_nm: float) -> dict[str, slice]:
    """The square of a picture that holds all that is not 0, with a margin, by index."""
    margin = round(margin_nm / float(image[schema.X][1] - image[schema.X][0]))
    places = {
        dim: np.flatnonzero(image.any(other).values) for dim, other in ((schema.Y, schema.X), (schema.X, schema.Y))
    }
    side = max(int(np.ptp(at)) for at in places.values()) + 2 * margin
    starts = {dim: max((int(at[0] + at[-1]) - side) // 2, 0) for dim, at in places.items()}
    return {dim: slice(start, start + side + 1) for dim, start in starts.items()}


def gradient_share(shares: xr.Dataset, *, marks_percent: Sequence[float] = (20, 50), size_inch=(3.1, 3.3)) -> hv.Layout:
    """The corner regions' share of the gradient over the steps, one panel a reading of "share".

    Parameters
    ----------
    shares : Dataset of :func:`maskopt_lib.study.solvers.anatomy.corner_gradient_share`.
    marks_percent : horizontal lines, figures to compare with.
    size_inch : of a panel.

    Returns
    -------
    Panels with a logarithmic axis in percent: thick lines are means over the clips, for the whole objective (full) and
    for the fidelity alone (dashed), bands span the clips, a dotted line is the regions' share of the area.
    """
    step = shares[schema.STEP].values
    area = 100 * float(shares["area_share"].mean())
    colours = dict(zip(shares["aim"].values, ("#D55E00", "#0072B2"), strict=True))
    dashes = dict(zip(shares["objective"].values, ("--", "-"), strict=True))
    width, height = size_inch
    panels = []
    for i, reading in enumerate(shares["reading"].values):
        # Logarithms with ticks of their own: a panel keeps its shape.
        drawn = [hv.HLine(np.log10(m)).opts(color="#BBBBBB", linewidth=1) for m in marks_percent]
        drawn.append(hv.HLine(np.log10(area)).opts(color="black", linestyle=":", linewidth=1.2))
        for aim, colour in colours.items():
            for objective, dash in dashes.items():
                values = 100 * shares["share"].sel(aim=aim, objective=objective, reading=reading)
                if dash == "-":
                    low, high = (
                        np.log10(np.maximum(v.values, 1e-3)) for v in (values.min("sample"), values.max("sample"))
                    )
                    span = hv.Area((step, low, high), "step", ["low", "high"])
                    drawn.append(span.opts(hv.opts.Area(facecolor=colour, edgecolor="none", alpha=0.15)))
                mean = np.log10(np.maximum(values.mean("sample").values, 1e-3))
                curve = hv.Curve((step, mean), "step", "share", label=f"{aim}, {objective}")
                drawn.append(curve.opts(hv.opts.Curve(color=colour, linestyle=dash, linewidth=1.8)))
        key = hv.Curve([(0.0, np.nan)], label=f"share of the area ({area:.2g} %)")
        drawn.append(key.opts(hv.opts.Curve(color="black", linestyle=":", linewidth=1.2)))
        panels.append(
            hv.Overlay(drawn).opts(
                hv.opts.Overlay(
                    title=str(reading), xlabel="step", ylabel="share of the corner regions (%)" if i == 0 else "",
                    xlim=(0, float(step.max())), ylim=(-2, 2.1), aspect=width / height,
                    yticks=[(np.log10(v), f"{v:g}") for v in (0.01, 0.1, 1, 10, 20, 50, 100)],
                    fontsize=style.FONT_SIZES, show_legend=i == len(shares["reading"]) - 1, legend_position="right",
                ),
            )
        )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    inches = (len(panels) * width, height)
    return layout.opts(hv.opts.Layout(fig_inches=inches, hspace=0.3, sublabel_format="", tight=False))


def through_pitch(grating: xr.Dataset, *, size_inch: tuple[float, float] = (4.6, 3.3)) -> hv.Layout:
    """Printed width over pitch at the process corners, and the image of a dense beside that of an isolated line.

    Parameters
    ----------
    grating : Dataset of :func:`maskopt_lib.study.solvers.anatomy.through_pitch`.
    size_inch : of a panel.
    """
    drawn_nm, threshold = float(grating.attrs["width_nm"]), float(grating.attrs["threshold"])
    width, height = size_inch
    # Logarithms with ticks of their own: a panel keeps its shape.
    pitch = np.log10(grating["pitch_nm"].values)
    left = [hv.HLine(drawn_nm).opts(color=_FAINT, linestyle="--", linewidth=1)]
    for corner, colour in zip(
        grating[schema.CORNER].values, style.colours(list(grating[schema.CORNER].values)), strict=True
    ):
        cd = grating["cd_nm"].sel(corner=corner).values
        curve = hv.Curve((pitch, cd), "pitch", "width", label=str(corner))
        left.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.6)))
        left.append(hv.Points((pitch, cd)).opts(hv.opts.Points(color=colour, s=16)))
    key = hv.Curve([(pitch[0], np.nan)], label=f"drawn: {drawn_nm:g} nm")
    left.append(key.opts(hv.opts.Curve(color=_FAINT, linestyle="--", linewidth=1)))
    ticks = [(np.log10(p), str(p)) for p in (200, 300, 500, 1000, 2000)]
    curves = hv.Overlay(left).opts(
        hv.opts.Overlay(
            xticks=ticks, xlim=(pitch[0] - 0.03, pitch[-1] + 0.03),
            ylim=(0.9 * np.nanmin(grating["cd_nm"]), 1.1 * np.nanmax(grating["cd_nm"])),
            title="width of one and the same line", xlabel="pitch (nm)", ylabel="printed width (nm)",
            legend_position="top_right", fontsize=style.FONT_SIZES, aspect=width / height, show_grid=True,
        )
    )  # fmt: skip
    x = grating["x_nm"].values
    right = [hv.VSpan(-drawn_nm / 2, drawn_nm / 2).opts(facecolor=_LIGHT, edgecolor="none", alpha=1.0)]
    for pattern, colour in zip(grating["pattern"].values, ("#0072B2", "#D55E00"), strict=True):
        cut = hv.Curve((x, grating["intensity"].sel(pattern=pattern).values), "x", "intensity", label=str(pattern))
        right.append(cut.opts(hv.opts.Curve(color=colour, linewidth=1.8)))
    right.append(hv.HLine(threshold).opts(color="black", linestyle=":", linewidth=1.2))
    key = hv.Curve([(0.0, np.nan)], label="threshold of the resist")
    right.append(key.opts(hv.opts.Curve(color="black", linestyle=":", linewidth=1.2)))
    cuts = hv.Overlay(right).opts(
        hv.opts.Overlay(
            title="its image", xlabel="x from the line's middle (nm)", ylabel="aerial intensity (clear field = 1)",
            xlim=(float(x[0]), float(x[-1])), ylim=(0, 1.45 * float(grating["intensity"].max())),
            legend_position="top_right", fontsize=style.FONT_SIZES, aspect=width / height,
        )
    )  # fmt: skip
    layout = hv.Layout([curves, cuts]).cols(2)
    return layout.opts(
        hv.opts.Layout(fig_inches=(2 * width, height), hspace=0.28, sublabel_format="", tight=False, shared_axes=False)
    )


def neighbour_influence(shift: xr.Dataset, *, size_inch: tuple[float, float] = (6.4, 3.3)) -> hv.Overlay:
    """How far the edges of a line move over the space to its neighbour, and from where on they stay.

    Parameters
    ----------
    shift : Dataset of :func:`maskopt_lib.study.solvers.anatomy.neighbour_influence`.
    size_inch : of the figure.
    """
    gap, tolerance, reach = shift["gap_nm"].values, float(shift.attrs["tolerance_nm"]), float(shift["reach_nm"])
    drawn = [hv.HSpan(-tolerance, tolerance).opts(facecolor="#DDDDDD", edgecolor="none", alpha=1.0)]
    for edge, colour in zip(shift["edge"].values, ("#D55E00", "#0072B2"), strict=True):
        curve = hv.Curve((gap, shift["shift_nm"].sel(edge=edge).values), "gap", "shift", label=f"edge {edge}")
        drawn.append(curve.opts(hv.opts.Curve(color=colour, linewidth=1.8)))
    drawn.append(hv.VLine(reach).opts(color="black", linestyle=":", linewidth=1.2))
    key = hv.Curve([(gap[0], np.nan)], label=f"beyond {reach:.0f} nm: below ±{tolerance:g} nm")
    drawn.append(key.opts(hv.opts.Curve(color="black", linestyle=":", linewidth=1.2)))
    width, height = size_inch
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, xlabel="space to the neighbour (nm)",
            ylabel="shift of the printed edge (nm)", title="one line feels another", show_grid=True,
            xlim=(float(gap[0]), float(gap[-1])), legend_position="top_right", fontsize=style.FONT_SIZES,
        )
    )  # fmt: skip


def context(layers: xr.Dataset, *, size_inch: float = 5.0) -> hv.Layout:
    """One shape, printed with and without its neighbours.

    Parameters
    ----------
    layers : Dataset of ``mask`` and ``nominal`` over (context, y, x); first with all shapes, then with one alone.
    size_inch : side of the panel.
    """
    drawn, alone = layers["mask"][0], layers["mask"][1]
    colours = np.ones((*drawn.shape, 3))
    colours[drawn.values > 0.5] = to_rgb(_LIGHT)
    colours[alone.values > 0.5] = to_rgb("#BFBFBF")
    parts = [_picture(colours, drawn)]
    prints = {"print in context": (layers[schema.NOMINAL][0], _PRINT_LINE),
              "print of the dark shape alone": (layers[schema.NOMINAL][1], style.BAND)}  # fmt: skip
    for name, (image, colour) in prints.items():
        name = name if bool(image.any()) else f"{name}: none"
        parts.append(_contours(image, 0.5, color=colour, linewidth=1.6))
        parts.append(hv.Curve([(np.nan, np.nan)], label=name).opts(hv.opts.Curve(color=colour, linewidth=1.6)))
    x, y = drawn[schema.X].values, drawn[schema.Y].values
    return hv.Overlay(parts).opts(
        hv.opts.RGB(aspect="equal", interpolation="nearest"),
        hv.opts.Overlay(
            fig_inches=size_inch,
            xlim=(x[0], x[-1]),
            ylim=(y[0], y[-1]),
            aspect="equal",
            legend_position="right",
            xlabel="x (nm)",
            ylabel="y (nm)",
            fontsize=style.FONT_SIZES,
            title="",
        ),
    )


def corner_rounding(square: xr.Dataset, *, size_inch: float = 3.0) -> hv.Layout:
    """Why corners round: a square, its spectrum within the optics' band, what is left of it, and its print.

    Parameters
    ----------
    square : Dataset of :func:`maskopt_lib.study.solvers.anatomy.spectrum_of_square`.
    size_inch : side of a panel.
    """
    band = float(square["band_per_um"])
    f = square["fx_per_um"].values
    step = f[1] - f[0]
    log = np.log10(np.maximum(square["spectrum"].values, 1e-5))
    bounds = (f[0] - step / 2, f[0] - step / 2, f[-1] + step / 2, f[-1] + step / 2)
    angle = np.linspace(0, 2 * np.pi, 181)
    spectrum = hv.Image(log[::-1], bounds=bounds, kdims=["fx", "fy"], vdims=["amplitude"]).opts(
        hv.opts.Image(cmap="gray", clim=(-4, 0), interpolation="nearest", aspect="equal")
    ) * hv.Curve((band * np.cos(angle), band * np.sin(angle)), "fx", "fy").opts(
        hv.opts.Curve(color="#E69F00", linewidth=2)
    )
    mask = square["mask"]
    outline = _contours(mask, 0.5, color=style.TARGET, linewidth=0.9, linestyle="--")
    shown = [("mask", mask, (0, 1), None), ("what the optics lets pass", square["low_passed"], (-0.2, 1.2), 0.5),
             ("image and print", square["aerial"], (0, 1.3), float(square.attrs["threshold"]))]  # fmt: skip
    panels = []
    for name, image, limits, level in shown:
        grey = np.clip((limits[1] - image.values) / (limits[1] - limits[0]), 0, 1)[..., None] * np.ones(3)
        panel = _picture(0.25 + 0.75 * grey, image) * outline
        if level is not None:
            panel = panel * _contours(image, level, color=_PRINT_LINE, linewidth=2.0)
        panels.append(_axes(panel, title=name, left=not panels, bottom=True))
    panels.insert(
        1,
        spectrum.opts(
            hv.opts.Overlay(
                title="its spectrum (log), band circled", xlabel="fx (1/µm)", ylabel="fy (1/µm)", aspect="equal",
                xlim=(f[0], f[-1]), ylim=(f[0], f[-1]), fontsize=_TITLES,
            )
        ),
    )  # fmt: skip
    layout = hv.Layout(panels).cols(len(panels))
    return layout.opts(hv.opts.Layout(fig_inches=size_inch, hspace=0.35, sublabel_format=""))


def corner_pull_back(square: xr.Dataset, *, size_inch: tuple[float, float] = (5.0, 3.2)) -> hv.Overlay:
    """Distance of the rounded corner from the drawn one over the width of the pass band.

    Parameters
    ----------
    square : Dataset of :func:`maskopt_lib.study.solvers.anatomy.spectrum_of_square`.
    size_inch : of the figure.
    """
    band, distance = square["band"].values, square["pull_back_nm"].values
    curve = hv.Curve((band, distance), "band", "pull-back", label="ideal band, edge kept in place")
    law = hv.Curve((band, distance[0] / band), "band", "pull-back", label="one over the band")
    printed = hv.Points([(1.0, float(square["printed_pull_back_nm"]))], label="print through the optics")
    width, height = size_inch
    return (
        law.opts(hv.opts.Curve(color=_FAINT, linestyle="--", linewidth=1.2))
        * curve.opts(hv.opts.Curve(color="#0072B2", linewidth=1.8))
        * hv.Points((band, distance)).opts(hv.opts.Points(color="#0072B2", s=18))
        * printed.opts(hv.opts.Points(color="#D55E00", s=50, marker="D"))
    ).opts(
        hv.opts.Overlay(
            fig_inches=size_inch, aspect=width / height, xlabel="pass band (multiple of the optics' own)",
            ylabel="corner pull-back (nm)", ylim=(0, 1.2 * float(max(distance.max(), square["printed_pull_back_nm"]))),
            legend_position="top_right", fontsize=style.FONT_SIZES, show_grid=True, title="how far the corner goes",
        )
    )  # fmt: skip


def _picture(colours: np.ndarray, like: xr.DataArray) -> hv.RGB:
    """(y, x, 3) colours, row 0 lowest, where ``like`` lies."""
    x, y = like[schema.X].values, like[schema.Y].values
    half = (x[1] - x[0]) / 2
    bounds = (x[0] - half, y[0] - half, x[-1] + half, y[-1] + half)
    return hv.RGB(np.rint(255 * colours[::-1]).astype(np.uint8), bounds=bounds, kdims=["x", "y"])


def _filled(image: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """White with the pixels of value i in the i-th colour."""
    result = np.ones((*image.shape, 3))
    for value, colour in enumerate(colours, start=1):
        result[image == value] = to_rgb(colour)
    return result


def _contours(image: xr.DataArray, level: float, *, closed: bool = True, **line) -> hv.Path:
    """Contours of a level, closed at the picture's border or left open there."""
    x, y = image[schema.X].values, image[schema.Y].values
    pixel = float(x[1] - x[0])
    values = image.transpose(schema.Y, schema.X).values.astype(float)
    padded = (
        np.pad(values, 1, constant_values=min(level - 1, values.min())) if closed else np.pad(values, 1, mode="edge")
    )
    # One path with gaps draws many times faster than many paths.
    gap = np.full((1, 2), np.nan)
    found = [part for c in find_contours(padded, level) for part in (c, gap)]
    rows, columns = np.concatenate(found or [gap]).T
    path = np.column_stack([x[0] + (columns - 1) * pixel, y[0] + (rows - 1) * pixel])
    return hv.Path([path], kdims=["x", "y"]).opts(hv.opts.Path(**line))


def _axes(panel: hv.Overlay, *, title: str, left: bool, bottom: bool, below: str = "") -> hv.Overlay:
    return panel.opts(
        hv.opts.RGB(
            title=title, aspect="equal", interpolation="nearest", fontsize=_TITLES,
            xlabel=f"x (nm)\n\n{below}".rstrip() if bottom else "", ylabel="y (nm)" if left else "",
            xaxis="bottom" if bottom else "bare", yaxis="left" if left else "bare",
        )
    )  # fmt: skip
