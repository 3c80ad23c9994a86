"""Pictures of tiles: how windows lie in a cell, and what a tile shows of its surroundings."""

from __future__ import annotations

from collections.abc import Sequence

import holoviews as hv
import numpy as np
import xarray as xr

from maskopt_lib.figures import style

#: What a layer is filled with; others are grey.
LAYERS = {"metal1": "#8FC1E3", "contact": "#1A1A1A", "via1": "#CC79A7"}
_CORE, _CONTEXT, _CELL, _OTHER, _NOTHING = "#D55E00", "#009E73", "#000000", "#8C8C8C", "#E6E6E6"
_LINES = {"core": _CORE, "context": _CONTEXT, "cell": _CELL}
_SIDES = ("x0_nm", "y0_nm", "x1_nm", "y1_nm")


def tile_reading(
    scene: xr.Dataset,
    cells: xr.Dataset,
    *,
    contexts_nm: Sequence[float] = (),
    size_inch: float = 4.6,
) -> hv.Layout:
    """How the paper's tiles are read here: windows in a cell, one of them with its contexts, and the images they give.

    Parameters
    ----------
    scene : Dataset of :func:`maskopt_lib.layout.tile_scene`: ``shapes`` (layer, y, x), the windows of a cell, one of
        them ``chosen``; attributes ``cell``, ``orientation``, ``core_nm``, ``contexts_nm``, ``image_nm``.
    cells : Dataset over ``instance`` with ``x0_nm`` to ``y1_nm`` and ``cell``.
    contexts_nm : of the images; the narrowest and the widest by default.
    size_inch : side of a panel.

    Returns
    -------
    Panels: the cell among its neighbours with its windows, numbered row, column in the cell's own frame from its
    origin (ring); the chosen window with all contexts; one image a context, grey where it is empty by rule.
    """
    core, contexts = scene.attrs["core_nm"], list(scene.attrs["contexts_nm"])
    shown = list(contexts_nm) or [min(contexts), max(contexts)]
    x, y = (scene[name].values for name in ("x_nm", "y_nm"))
    (chosen,) = np.flatnonzero(scene["chosen"].values)
    edge = (scene.attrs["image_nm"] - core) / 2
    image_box = (x[chosen] - edge, y[chosen] - edge, x[chosen] + core + edge, y[chosen] + core + edge)
    panels = [_windows(scene, cells), _contexts(scene, contexts, image_box, chosen)]
    panels += [_image(scene, context, image_box, chosen, keyed=i == 0) for i, context in enumerate(shown)]
    size = hv.opts.Layout(fig_inches=size_inch, hspace=0.25, vspace=0.25, sublabel_format="")
    return hv.Layout(panels).cols(2).opts(size)


def _windows(scene: xr.Dataset, cells: xr.Dataset) -> hv.Overlay:
    layers = [str(name) for name in scene["layer"].values]
    core = scene.attrs["core_nm"]
    x, y, rows, columns = (scene[name].values for name in ("x_nm", "y_nm", "row", "column"))
    bounds = _extent(scene)
    drawn = [_rgb(_painted(scene["shapes"].values, layers, bounds, bounds), "windows in the frame of the cell")]
    others, texts, own = [], [], None
    for name, kind, *box in zip(
        cells["instance"].values.tolist(),
        cells["cell"].values.tolist(),
        *(cells[s].values for s in _SIDES),
        strict=True,
    ):
        if not np.isfinite(box).all() or _clipped(box, bounds) is None:
            continue
        seen = _clipped(box, bounds)
        if name == scene.attrs["instance"]:
            own = box
        else:
            others.append(seen)
        wide, high = ((seen[k + 2] - seen[k]) / (bounds[k + 2] - bounds[k]) for k in (0, 1))
        if wide > 0.02 * len(kind) and high > 0.12:  # room for the name
            texts.append(((seen[0] + seen[2]) / 2, seen[3] - 0.03 * (bounds[3] - bounds[1]), kind))
    drawn += [_frame(others, _OTHER, 1.0)] if others else []
    boxes = [(a, b, a + core, b + core) for a, b in zip(x, y, strict=True)]
    drawn.append(_frame(boxes, _CORE, 1.4, "--"))
    chosen = [box for box, is_it in zip(boxes, scene["chosen"].values, strict=True) if is_it]
    drawn.append(_frame(chosen, _CORE, 2.6))
    if own is not None:
        drawn.append(_frame([own], _CELL, 1.8))
        corner = _origin(own, scene.attrs["orientation"])
        ring = hv.opts.Points(color="white", edgecolor=_CELL, linewidth=1.6, s=60)
        drawn.append(hv.Points([corner], kdims=["x", "y"]).opts(ring))
    plate = 0.13 * core
    plates = [
        (a + core / 2 - 1.4 * plate, b + core / 2 - plate, a + core / 2 + 1.4 * plate, b + core / 2 + plate)
        for a, b in zip(x, y, strict=True)
    ]
    drawn.append(hv.Rectangles(plates).opts(hv.opts.Rectangles(facecolor="white", edgecolor="white", alpha=0.85)))
    numbers = [(a + core / 2, b + core / 2, f"{r}, {c}") for a, b, r, c in zip(x, y, rows, columns, strict=True)]
    for label, colour, size in ((numbers, _CORE, 11), (texts, _CELL, 8)):
        if label:
            drawn.append(
                hv.Labels(label, kdims=["x", "y"], vdims=["text"]).opts(hv.opts.Labels(color=colour, size=size))
            )
    return _axes(drawn, bounds)


def _contexts(scene: xr.Dataset, contexts: Sequence[float], box: Sequence[float], chosen: int) -> hv.Overlay:
    part, layers = _part(scene, box), [str(name) for name in scene["layer"].values]
    core, wide = _core(scene, chosen), ", ".join(f"{context:g}" for context in contexts)
    drawn = [_rgb(_painted(part, layers, box, box), f"one core, contexts of {wide} nm")]
    drawn.append(_frame([_grown(core, context) for context in contexts if context], _CONTEXT, 1.2))
    drawn.append(_frame([core], _CORE, 2.6))
    return _axes(drawn, box)


def _image(scene: xr.Dataset, context: float, box: Sequence[float], chosen: int, keyed: bool) -> hv.Overlay:
    side, layers = scene.attrs["image_nm"], [str(name) for name in scene["layer"].values]
    edge = (side - scene.attrs["core_nm"]) / 2
    whole, core = (0.0, 0.0, side, side), (edge, edge, side - edge, side - edge)
    picture = _painted(_part(scene, box), layers, whole, _grown(core, context))
    drawn = [_rgb(picture, f"image with {context:g} nm of context"), _frame([core], _CORE, 2.2)]
    if context:
        drawn.append(_frame([_grown(core, context)], _CONTEXT, 1.2))
    if keyed:
        drawn += [_key(name, LAYERS.get(name, style.MASK), 6) for name in layers]
        drawn += [_key(label, colour, 2) for label, colour in _LINES.items()]
    return _axes(drawn, whole).opts(hv.opts.Overlay(show_legend=keyed, legend_position="bottom_left", legend_cols=3))


def _painted(shapes: np.ndarray, layers: Sequence[str], bounds: Sequence[float], kept: Sequence[float]) -> hv.RGB:
    """Layers (layer, y, x) over each other; grey outside what is kept."""
    height, width = shapes.shape[1:]
    y = bounds[1] + (np.arange(height) + 0.5) * (bounds[3] - bounds[1]) / height
    x = bounds[0] + (np.arange(width) + 0.5) * (bounds[2] - bounds[0]) / width
    beyond = ((y < kept[1]) | (y > kept[3]))[:, None] | (x < kept[0]) | (x > kept[2])
    fills = [(image > 0, LAYERS.get(layer, style.MASK)) for image, layer in zip(shapes, layers, strict=True)]
    picture = style.painted(*fills, (beyond, _NOTHING))
    return hv.RGB(picture[::-1], bounds=tuple(bounds), kdims=["x", "y"])


def _rgb(picture: hv.RGB, title: str) -> hv.RGB:
    return picture.opts(hv.opts.RGB(title=title, interpolation="nearest", aspect="equal"))


def _axes(drawn: list, bounds: Sequence[float]) -> hv.Overlay:
    return hv.Overlay(drawn).opts(
        hv.opts.Overlay(
            xlabel="x (nm)", ylabel="y (nm)", aspect="equal", fontsize=style.FONT_SIZES, show_legend=False,
            xlim=(bounds[0], bounds[2]), ylim=(bounds[1], bounds[3]),
        )
    )  # fmt: skip


def _frame(boxes: Sequence[Sequence[float]], colour: str, width: float, line: str = "-") -> hv.Path:
    paths = [np.array([(a, b), (c, b), (c, d), (a, d), (a, b)]) for a, b, c, d in boxes]
    return hv.Path(style.joined(paths), kdims=["x", "y"]).opts(
        hv.opts.Path(color=colour, linewidth=width, linestyle=line)
    )


def _key(label: str, colour: str, width: float) -> hv.Curve:
    # Images and paths have no legend entry of their own; a curve without points has.
    return hv.Curve([(0.0, np.nan)], kdims=["x"], vdims=["y"], label=label).opts(
        hv.opts.Curve(color=colour, linewidth=width)
    )


def _grown(box: Sequence[float], by: float) -> tuple[float, float, float, float]:
    return box[0] - by, box[1] - by, box[2] + by, box[3] + by


def _core(scene: xr.Dataset, chosen: int) -> tuple[float, float, float, float]:
    x, y, core = float(scene["x_nm"][chosen]), float(scene["y_nm"][chosen]), scene.attrs["core_nm"]
    return x, y, x + core, y + core


def _part(scene: xr.Dataset, box: Sequence[float]) -> np.ndarray:
    x, y = scene["x"].values, scene["y"].values
    inside = np.ix_((y > box[1]) & (y < box[3]), (x > box[0]) & (x < box[2]))
    return np.stack([image[inside] for image in scene["shapes"].values])


def _origin(box: Sequence[float], orientation: str) -> tuple[float, float]:
    """Where the lower left corner of a cell's own frame is."""
    x = box[2] if orientation in ("S", "FN", "W", "FE") else box[0]
    y = box[3] if orientation in ("S", "FS", "E", "FE") else box[1]
    return x, y


def _clipped(box: Sequence[float], bounds: Sequence[float]) -> tuple[float, float, float, float] | None:
    low, high = np.maximum(box[:2], bounds[:2]), np.minimum(box[2:], bounds[2:])
    return (*low, *high) if (low < high).all() else None


def _extent(scene: xr.Dataset) -> tuple[float, float, float, float]:
    x, y = scene["x"].values, scene["y"].values
    half = float(x[1] - x[0]) / 2
    return x[0] - half, y[0] - half, x[-1] + half, y[-1] + half
