"""Figures that explain: each draws small labelled data, gives equal files for equal data, and says what it shows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of

from maskopt_lib import figures
from maskopt_lib.data import schema
from maskopt_lib.figures import anatomy, marks

NM = (np.arange(30) + 0.5) * 4


def bar(grow: int) -> np.ndarray:
    image = np.zeros((30, 30), np.uint8)
    image[8 - grow : 22 + grow, 10 - grow : 18 + grow] = 1
    return image


def layers(dim: str, names=("first", "second")) -> xr.Dataset:
    """Prints of a bar by two masks: the second prints wider."""
    plane = (dim, "y", "x")
    images = {"mask": (0, 2), "nominal": (0, 2), "outer": (1, 3), "inner": (-1, 1)}
    ds = xr.Dataset(
        {"target": (("y", "x"), bar(0))}
        | {name: (plane, np.stack([bar(g) for g in grow])) for name, grow in images.items()}
        | {schema.L2: (dim, [0.0, 1616.0]), schema.PVB: (dim, [800.0, 900.0])},
        coords={dim: list(names), "y": NM, "x": NM},
    )
    return schema.label(ds)


def sites() -> xr.Dataset:
    """A site in view without error, one with, one lost; and one out of view."""
    error = np.array([[0.2, 3.0, np.nan, 1.0], [8.0, -16.0, 8.0, 1.0]])
    return xr.Dataset(
        {
            "x_nm": ("site", [40.0, 72.0, 56.0, 900.0]),
            "y_nm": ("site", [60.0, 60.0, 88.0, 900.0]),
            "normal_x": ("site", [-1, 1, 0, 1]),
            "normal_y": ("site", [0, 0, 1, 0]),
            "edge_error_nm": (("m", "site"), error),
            "violates15": (("m", "site"), [[0, 0, 1, 0], [0, 1, 0, 0]]),
        },
        coords={"m": ["first", "second"]},
    )


def elements() -> xr.Dataset:
    cross = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8)
    images = np.stack([np.pad(cross, 1), np.ones((5, 5), np.uint8)])
    at = np.arange(-2, 3)
    return xr.Dataset(
        {"element": (("size_px", "dy_px", "dx_px"), images), "pixels": ("size_px", images.sum((1, 2)))},
        coords={"size_px": [3, 5], "dy_px": at, "dx_px": at},
    )


def operators() -> xr.Dataset:
    images = np.stack([bar(g) for g in (0, -2, 2, 0, 0, 0)])
    names = ["shape", "erosion", "dilation", "opening", "closing", "both"]
    return xr.Dataset({"image": (("operator", "y", "x"), images)}, coords={"operator": names, "y": NM, "x": NM})


def shares() -> xr.Dataset:
    dims = ("aim", "sample", "step", "objective", "reading")
    values = np.random.default_rng(0).uniform(1e-4, 1, (2, 3, 4, 2, 2))
    return xr.Dataset(
        {"share": (dims, values), "area_share": ("sample", [0.001, 0.0005, 0.0006])},
        coords={
            "aim": ["target as drawn", "retargeted (CDR)"], "sample": ["a", "b", "c"], "step": [0, 5, 10, 20],
            "objective": ["fidelity", "fidelity + PV band"], "reading": ["on the mask", "caused"],
        },
    )  # fmt: skip


def grating() -> xr.Dataset:
    x, widths = np.linspace(-200, 200, 41), [[np.nan, 90.0, 100.0], [110.0, 95.0, 105.0], [np.nan, 80.0, 90.0]]
    return xr.Dataset(
        {
            "cd_nm": (("corner", "pitch_nm"), widths, {"long_name": "printed width", "units": "nm"}),
            "intensity": (("pattern", "x_nm"), np.stack([0.4 + 0.2 * np.cos(x / 20), np.exp(-((x / 50) ** 2))])),
        },
        coords={
            "corner": list(schema.CORNERS),
            "pitch_nm": ("pitch_nm", [200.0, 500.0, 2000.0], {"long_name": "pitch", "units": "nm"}),
            "pattern": ["dense", "isolated"],
            "x_nm": x,
        },
        attrs={"width_nm": 100.0, "threshold": 0.225},
    )


def influence() -> xr.Dataset:
    gap = np.linspace(70, 700, 20)
    shift = np.stack([10 * np.cos(gap / 60) * np.exp(-gap / 200), np.zeros_like(gap)])
    return xr.Dataset(
        {"shift_nm": (("edge", "gap_nm"), shift), "reach_nm": ((), 420.0)},
        coords={"edge": ["facing the neighbour", "facing away"], "gap_nm": gap},
        attrs={"tolerance_nm": 0.5},
    )


def square() -> xr.Dataset:
    f = np.linspace(-20, 20, 21)
    plane, image = ("y", "x"), bar(0).astype(float)
    return xr.Dataset(
        {
            "mask": (plane, image),
            "low_passed": (plane, 0.9 * image),
            "aerial": (plane, 0.8 * image),
            "spectrum": (("fy_per_um", "fx_per_um"), np.exp(-np.hypot(f[:, None], f) / 3)),
            "pull_back_nm": ("band", [20.0, 10.0], {"long_name": "corner pull-back", "units": "nm"}),
            "printed_pull_back_nm": ((), 27.0),
            "band_per_um": ((), 7.4),
        },
        coords={
            "y": NM,
            "x": NM,
            "fy_per_um": f,
            "fx_per_um": ("fx_per_um", f, {"long_name": "fx", "units": "1/um"}),
            "band": [1.0, 2.0],
        },
        attrs={"threshold": 0.225},
    )


def scores() -> xr.Dataset:
    names = (schema.L2, schema.PVB, schema.EPE15, schema.SHOTS, schema.VERTICES, schema.MSA)
    values = {name: ("method", [1234.0 + i, 5678.0 + i]) for i, name in enumerate(names)}
    return xr.Dataset(values, coords={"method": ["first", "second"]})


DRAWINGS = {
    "structuring_elements": lambda: anatomy.structuring_elements(elements()),
    "operators": lambda: anatomy.operators(operators()),
    "edge_placement": lambda: anatomy.edge_placement(layers("m"), sites()),
    "trajectory": lambda: anatomy.trajectory(layers("stage").assign_coords(at_step=("stage", [0, 52]))),
    "solutions": lambda: anatomy.solutions(layers("method"), scores()),
    "gradient_share": lambda: anatomy.gradient_share(shares()),
    "through_pitch": lambda: anatomy.through_pitch(grating()),
    "neighbour_influence": lambda: anatomy.neighbour_influence(influence()),
    "context": lambda: anatomy.context(layers("context")),
    "corner_rounding": lambda: anatomy.corner_rounding(square()),
    "corner_pull_back": lambda: anatomy.corner_pull_back(square()),
}

#: What a reader must find on each figure.
SHOWN = {
    "structuring_elements": ("3 px:", "5 pixels", "25 pixels", "x (px)"),
    "operators": ("erosion", "both", "kept", "added", "removed", "x (nm)"),
    "edge_placement": ("first:", "1 violations in view", "-16", "lost", "PV band", "probes at 15 nm", "violates 15 nm"),
    "trajectory": ("(step 52)", "L2 1,616 nm²", "PVB 900 nm²"),
    "solutions": ("second", "L2 1,234 nm²", "EPEV 1236", "1,237 shots", "1,238 vertices"),
    "gradient_share": ("caused", "step", "share of the corner regions (%)", "share of the area (0.07 %)"),
    "through_pitch": ("pitch (nm)", "printed width (nm)", "isolated", "threshold of the resist", "drawn: 100 nm"),
    "neighbour_influence": ("edge facing away", "beyond 420 nm: below ±0.5 nm"),
    "context": ("print in context", "print of the dark shape alone"),
    "corner_rounding": ("fx (1/µm)", "image and print"),
    "corner_pull_back": ("corner pull-back (nm)", "print through the optics"),
}


def public_functions() -> set[str]:
    return {
        name
        for name, value in vars(anatomy).items()
        if callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == anatomy.__name__
    }


def test_no_figure_is_left_out():
    assert set(DRAWINGS) == set(SHOWN) == public_functions()


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_saved_labelled_and_the_same_for_equal_data(name, tmp_path):
    for folder in ("once", "twice"):
        figures.save(DRAWINGS[name](), name, tmp_path / folder, dpi=50, formats=("svg",))
    once, twice = ((tmp_path / folder / f"{name}.svg").read_bytes() for folder in ("once", "twice"))
    assert once == twice
    shown = " | ".join(texts_of(once))
    missing = [text for text in SHOWN[name] if text not in shown]
    assert not missing, f"{missing} not in {shown}"


def test_what_an_operator_adds_and_removes_has_its_colour():
    panels = anatomy.operators(operators()).panels
    x_nm, y_nm = 58.0, 58.0  # in the middle of the bar
    edge = 38.0  # in the first row of pixels left of it

    def colour(panel, x):
        (picture,) = panel.of("picture")
        return tuple(picture.data[np.abs(NM - y_nm).argmin(), np.abs(NM - x).argmin()].tolist())

    inside = {colour(panel, x_nm) for panel in panels}
    assert len(inside) == 1  # kept by all
    assert colour(panels[0], edge) == (255, 255, 255) != colour(panels[2], edge)  # added by the dilation
    assert colour(panels[1], 42.0) not in (inside.pop(), (255, 255, 255))  # removed by the erosion


def test_an_edge_error_is_drawn_from_the_edge_to_the_print():
    panel = anatomy.edge_placement(layers("m"), sites()).panels[1]
    segments = panel.of("paths")[-1].data
    np.testing.assert_allclose(segments, [[[40, 60], [32, 60]], [[72, 60], [56, 60]], [[56, 88], [56, 96]]])


def test_contours_have_gaps_between_them():
    two = np.zeros((30, 30))
    two[4:8, 4:8] = two[20:24, 20:24] = 1
    path = marks.contours(xr.DataArray(two, dims=("y", "x"), coords={"y": NM, "x": NM}))
    assert len(path.data) == 2
    points = np.concatenate(path.data)
    assert (points.min(), points.max()) == (16, 96)


def test_a_shape_that_prints_nothing_alone_is_named():
    alone = layers("context")
    alone["nominal"][1] = 0
    labels = [part.label for part in anatomy.context(alone).of("key")]
    assert labels == ["print in context", "print of the dark shape alone: none"]


def test_drawing_needs_no_torch():
    program = "import sys; from maskopt_lib.figures import anatomy, marks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0
