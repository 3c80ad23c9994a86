"""Figures: each function draws labelled data, is saved as SVG and PNG, and gives the same SVG for equal data."""

from __future__ import annotations

import inspect
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of
from picture_faults import faults

from maskopt_lib import figures
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import marks, page, style
from maskopt_lib.metrics import rule_report

PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def scores(methods=("released masks", "curvy-published", "another")) -> xr.Dataset:
    """Scores of three clips by some methods; one is not known."""
    rng = np.random.default_rng(0)
    dims, shape = ("method", schema.SAMPLE), (len(methods), 3)
    l2 = rng.uniform(1e4, 5e4, shape)
    l2[-1, -1] = np.nan
    return schema.label(
        xr.Dataset(
            {schema.L2: (dims, l2), schema.EPE3: (dims, rng.integers(0, 60, shape))},
            coords={"method": list(methods), schema.SAMPLE: ["M1_test1", "M1_test2", "demo-via-row"]},
        )
    )


def pictures() -> xr.Dataset:
    """A bar and its prints of growing size, on pixels of 4 nm, for two clips."""
    nm = (np.arange(48) + 0.5) * 4
    layers = {}
    for name, grow in {"target": 0, "mask": -2, "nominal": 1, "outer": 3, "inner": -1}.items():
        image = np.zeros((2, 48, 48), np.uint8)
        image[:, 10 - grow : 20 + grow, 8 - grow : 38 + grow] = 1
        layers[name] = ((schema.SAMPLE, "y", "x"), image)
    return schema.label(xr.Dataset(layers, coords={schema.SAMPLE: ["a", "b"], "y": nm, "x": nm}))


def sites() -> xr.Dataset:
    values = {"y_nm": [40.0, 80.0], "x_nm": [90.0, 90.0], "edge_error_nm": [-4.0, np.nan]}
    return xr.Dataset({name: ("site", column) for name, column in values.items()})


def source() -> xr.DataArray:
    sigma = np.linspace(-1, 1, 21)
    ring = (np.abs(np.hypot(sigma[:, None], sigma) - 0.7) < 0.1).astype(float)
    return xr.DataArray(ring, dims=("sigma_y", "sigma_x"), coords={"sigma_y": sigma, "sigma_x": sigma})


def systems() -> xr.DataArray:
    nm = np.linspace(-100, 100, 11)
    fields = np.random.default_rng(2).normal(size=(3, 11, 11))
    coords = {"y": nm, "x": nm, "energy_share": ("kernel", [0.6, 0.3, 0.05])}
    return xr.DataArray(fields, dims=("kernel", "y", "x"), coords=coords)


def through_dose() -> xr.DataArray:
    dose = ("dose", [0.9, 1.0, 1.1], {"long_name": "relative dose", "units": "1"})
    attrs = {"long_name": "edge error", "units": "nm"}
    return xr.DataArray(
        [[-3.0, 0.5, 4.0], [-2.0, 1.0, 5.0]],
        dims=("clip", "dose"),
        coords={"dose": dose, "clip": ["a", "b"]},
        attrs=attrs,
    )


def timing() -> xr.Dataset:
    dims, values = ("method", "batch"), np.array([[1.0, 0.8], [3.0, np.nan]])
    phases = {f"{name}_s": (dims, values / 3, {"units": "s"}) for name in ("prepare", "optimise", "finish")}
    size = ("batch", [1, 2], {"long_name": "clips in a batch", "units": "1"})
    return schema.label(
        xr.Dataset({schema.RUNTIME: (dims, values), **phases}, coords={"method": ["a", "b"], "batch": size})
    )


def moved() -> xr.DataArray:
    values = np.array([[[0, 0], [3, 0]], [[0, 0], [np.nan, np.nan]]])
    coords = {"method": ["a", "b"], "change": ["reference", "threads"], "sample": ["c", "d"]}
    return xr.DataArray(values, dims=("method", "change", "sample"), coords=coords)


def violations() -> xr.Dataset:
    mask = np.zeros((100, 100), np.uint8)
    mask[20:24, 10:60] = 1
    return rule_report(mask, {"min_width_nm": 30.0}, pixel_nm=4.0)


def settings() -> xr.Dataset:
    """Five settings of two families; the third and the fifth are dominated."""
    values = {
        schema.L2: [2e4, 3e4, 3.5e4, 4e4, 4.2e4],
        schema.PVB: [5e4, 4e4, 4.5e4, 3e4, 4.4e4],
        schema.SHOTS: [900.0, 400.0, 80.0, 20.0, 30.0],
    }
    labels = ["a, 1", "a, 2", "b, 1", "b, 2", "b, 3"]
    ds = xr.Dataset({name: ("method", column) for name, column in values.items()}, coords={"method": labels})
    return schema.label(ds.assign(family=("method", [label[0] for label in labels])))


def volumes() -> xr.Dataset:
    values = np.array([[0.4, 0.3], [0.2, 0.35]])
    coords = {"family": ["a", "b"], "space": ["two", "three"]}
    return xr.Dataset({name: (("family", "space"), values * k) for name, k in (("alone", 1), ("lost", 0.1))}, coords)


def attained() -> xr.Dataset:
    columns = {"l2_width_nm": [1.0, 2.0, 3.0], "pvb_width_nm": [6.0, 4.0, 7.0], "share": [0.5, 0.5, 0.9]}
    return xr.Dataset({name: ("point", column) for name, column in columns.items()})


def focus_exposure() -> xr.DataArray:
    """Shares of edges in place of two masks over three planes and four exposures."""
    return xr.DataArray(
        np.random.default_rng(4).uniform(0, 100, (2, 3, 4)),
        dims=("method", "focus", "exposure"),
        coords={
            "method": ["a", "b"],
            "defocus_nm": ("focus", [-60.0, 0.0, 50.0]),
            "exposure": [0.9, 1.0, 1.1, 1.2],
        },
        attrs={"long_name": "edges in place", "units": "%"},
    )


def windows() -> xr.Dataset:
    """Windows of two masks, the second without any; a rectangle and an ellipse in the first."""
    planes = np.linspace(-60, 60, 7)
    low = np.stack([0.9 + planes**2 * 2e-5, np.full(7, np.nan)])
    low[0, [0, -1]] = np.nan
    quoted = {"dof_nm": [[50.0, 70.0], [0.0, 0.0]], "best_focus_nm": [[0.0, 5.0], [np.nan] * 2]}
    quoted["best_exposure"] = [[1.0, 1.01], [np.nan] * 2]
    depth = np.arange(7) * 20.0
    latitude = np.clip([[20 - depth / 5, 22 - depth / 5], [0 * depth] * 2], 0, None)
    return xr.Dataset(
        {
            "lowest": (("method", "defocus_nm"), low),
            "highest": (("method", "defocus_nm"), low + 0.2),
            "latitude_percent": (("method", "shape", "depth_of_focus_nm"), latitude),
        }
        | {name: (("method", "shape"), values) for name, values in quoted.items()},
        coords={
            "method": ["a", "b"],
            "shape": ["rectangle", "ellipse"],
            "defocus_nm": planes,
            "depth_of_focus_nm": depth,
        },
        attrs={"at_latitude_percent": 5.0},
    )


#: Every public function, as the notebooks call it.
def tile_scene() -> xr.Dataset:
    """A bar and two contacts around a cell of two windows, the second one chosen, on pixels of 8 nm."""
    nm = {axis: (axis, (np.arange(160) + 0.5) * 8.0) for axis in ("y", "x")}
    shapes = np.zeros((2, 160, 160), np.uint8)
    shapes[0, 60:69, 20:140] = 1
    shapes[1, 61:69, 30:38] = shapes[1, 61:69, 100:108] = 1
    windows = {"row": [0, 1], "column": [0, 0], "x_nm": [400.0, 400.0], "y_nm": [200.0, 456.0]}
    return xr.Dataset(
        {"shapes": (("layer", "y", "x"), shapes), "chosen": ("window", [False, True])}
        | {name: ("window", values) for name, values in windows.items()},
        coords={"layer": ["metal1", "contact"], **nm},
        attrs={"instance": "u1", "cell": "INV_X1", "orientation": "N", "core_nm": 256, "image_nm": 512}
        | {"contexts_nm": [0, 64]},
    )


def tile_cells() -> xr.Dataset:
    boxes = np.array([[0, 200, 400, 600], [400, 200, 700, 600], [np.nan] * 4])
    sides = {side: ("instance", boxes[:, i]) for i, side in enumerate(("x0_nm", "y0_nm", "x1_nm", "y1_nm"))}
    names = {"instance": ["u0", "u1", "ram"]}
    return xr.Dataset(sides | {"cell": ("instance", ["FILL", "INV_X1", "RAM"])}, coords=names)


def cells() -> xr.Dataset:
    box = np.array([(0.0, 0.0), (70.0, 0.0), (70.0, 600.0), (0.0, 600.0)])
    return xr.Dataset(
        {
            "x_nm": ("vertex", np.tile(box[:, 0], 3)),
            "y_nm": ("vertex", np.tile(box[:, 1], 3)),
            "polygon": ("vertex", np.repeat([0, 1, 2], 4)),
            "layer": ("polygon_number", ["metal1", "poly", "other"]),
            "of": ("polygon_number", ["INV", "INV", "BUF"]),
            "text": ("label", ["A"]),
            "on": ("label", ["INV"]),
            "label_x_nm": ("label", [35.0]),
            "label_y_nm": ("label", [300.0]),
        }
        | {
            name: ("cell", [value] * 2)
            for name, value in zip(("x0_nm", "y0_nm", "x1_nm", "y1_nm"), (0.0, 0.0, 380.0, 700.0), strict=True)
        },
        coords={"cell": ["INV", "BUF"]},
        attrs={"layers": ["poly", "metal1", "other"]},
    )


DRAWINGS = {
    "bossung": lambda: figures.bossung(
        (80 + focus_exposure().isel(method=0) / 10).where(lambda width: width < 89), target_cd_nm=84
    ),
    "attainment_curves": lambda: figures.attainment_curves(attained()),
    "case_bars": lambda: figures.case_bars(scores(), names=[schema.L2, schema.EPE3], groups="method"),
    "cell_gallery": lambda: figures.cell_gallery(cells()),
    "cross_matrices": lambda: figures.cross_matrices([scores()[schema.L2]] * 2, rows="method", columns=schema.SAMPLE),
    "cross_matrix": lambda: figures.cross_matrix(scores()[schema.L2], rows="method", columns=schema.SAMPLE),
    "curves": lambda: figures.curves(through_dose(), along="dose", lines="clip", mark=(1.0, "through dose")),
    "deviations": lambda: figures.deviations(
        scores().isel(sample=[0, 1]), names=[schema.L2], along="method", reference="another"
    ),
    "distributions": lambda: figures.distributions(scores(), names=[schema.L2, schema.EPE3]),
    "edge_errors": lambda: figures.edge_errors(pictures().isel(sample=0), sites()),
    "cumulative": lambda: figures.cumulative({"share": focus_exposure(), "half": focus_exposure() / 2}),
    "focus_exposure_map": lambda: figures.focus_exposure_map(focus_exposure(), windows()),
    "latitude_curves": lambda: figures.latitude_curves(windows(), mark_percent=5.0),
    "process_windows": lambda: figures.process_windows(windows()),
    "kernel_gallery": lambda: figures.kernel_gallery(systems()),
    "hypervolume_bars": lambda: figures.hypervolume_bars(volumes()),
    "limit_curves": lambda: figures.limit_curves(
        scores().isel(sample=[0, 1]).assign_coords(sample=[640.0, 1000.0]), x=schema.L2, y=schema.EPE3, along="sample"
    ),
    "mask_changes": lambda: figures.mask_changes(
        pictures()["outer"], pictures()["inner"], pictures()["target"][0], along=schema.SAMPLE
    ),
    "mask_gallery": lambda: figures.mask_gallery(pictures(), columns=2),
    "mask_panels": lambda: figures.mask_panels(pictures(), rows=schema.SAMPLE),
    "moved_pixels": lambda: figures.moved_pixels(moved(), xr.DataArray(["solver", "network"], dims="method")),
    "over_batch": lambda: figures.over_batch(timing()[schema.RUNTIME], log_y=True, aims={"aim": 0.1}),
    "pareto_front": lambda: figures.pareto_front(
        settings(), x=schema.SHOTS, y=schema.L2, published=settings().isel(method=[2]), log_x=True
    ),
    "phase_bars": lambda: figures.phase_bars(timing().isel(batch=0)),
    "ranked": lambda: figures.ranked(scores()[schema.L2].rename(sample="setting")),
    "rule_violations": lambda: figures.rule_violations(pictures().isel(sample=0), violations()),
    "source_map": lambda: figures.source_map(source()),
    "tile_reading": lambda: figures.tile_reading(tile_scene(), tile_cells()),
    "tradeoff": lambda: figures.tradeoff(
        scores().isel(sample=[0, 1]).mean(schema.SAMPLE, keep_attrs=True), x=schema.L2, y=schema.EPE3
    ),
}


def texts(svg: bytes) -> str:
    """All text that a figure shows; SVGs are saved with text as text."""
    return " | ".join(texts_of(svg))


def svg_of(name: str, folder) -> bytes:
    figures.save(DRAWINGS[name](), name, folder, formats=("svg",))
    return (folder / f"{name}.svg").read_bytes()


def test_no_figure_function_is_left_out():
    assert set(DRAWINGS) == {name for name, value in vars(figures).items() if inspect.isfunction(value)} - {"save"}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_saved_and_equal_data_give_equal_bytes(name, tmp_path, monkeypatch):
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    figures.save(DRAWINGS[name](), name, tmp_path / "new folder")
    svg, png = ((tmp_path / "new folder" / f"{name}.{ending}").read_bytes() for ending in ("svg", "png"))
    assert png.startswith(PNG_HEAD) and b"</svg>" in svg
    assert svg_of(name, tmp_path) == svg
    assert sorted(p.name for p in (tmp_path / "new folder").iterdir()) == [f"{name}.png", f"{name}.svg"]


def test_other_data_give_another_figure(tmp_path):
    first = svg_of("source_map", tmp_path)
    figures.save(figures.source_map(source().where(source().sigma_x > 0, 0.2)), "source_map", tmp_path)
    assert (tmp_path / "source_map.svg").read_bytes() != first


def test_resolution_is_that_of_the_raster(tmp_path):
    sizes = []
    for dpi in (50, 100):
        figures.save(DRAWINGS["curves"](), "curves", tmp_path, dpi=dpi, formats=("png",))
        head = (tmp_path / "curves.png").read_bytes()[16:24]
        sizes.append(np.frombuffer(head, ">u4"))
    np.testing.assert_allclose(sizes[1], 2 * sizes[0], atol=3)


def test_labels_come_from_the_data(tmp_path):
    shown = texts(svg_of("case_bars", tmp_path))
    for text in ("L2 (nominal print against target)", "nm²", "EPE violations at 3 nm", "test1", "via-row", "another"):
        assert text in shown
    shown = texts(svg_of("curves", tmp_path))
    assert all(text in shown for text in ("relative dose", "edge error (nm)", "through dose"))


def test_a_matrix_shows_every_number_in_its_cell(tmp_path):
    values = xr.DataArray(
        [[1.0, 2.0, 3.0], [4.0, 5.0, np.nan]], dims=("r", "c"), coords={"r": ["p", "q"], "c": ["u", "v", "w"]}
    )
    matrix = figures.cross_matrix(values, rows="r", columns="c", fmt="{:.1f}")
    labels = {(x, y): text for texts in matrix.of("texts") for x, y, text in texts.data}
    assert labels == {
        (0, 0): "1.0", (1, 0): "2.0", (2, 0): "3.0", (0, 1): "4.0", (1, 1): "5.0", (2, 1): "–",
    }  # fmt: skip
    # The colours stand where the numbers do.
    (image,) = matrix.of("heat")
    for (x, y), text in labels.items():
        if text != "–":
            assert image.data[y, x] == float(text)
    figures.save(matrix, "matrix", tmp_path, formats=("svg",))
    svg = (tmp_path / "matrix.svg").read_bytes()
    assert all(text in texts(svg) for text in ("p", "q", "u", "v", "w", "5.0"))


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_a_matrix_of_equal_numbers_can_be_drawn(value, tmp_path):
    equal = xr.DataArray(np.full((2, 2), value), dims=("r", "c"), coords={"r": ["p", "q"], "c": ["u", "v"]})
    figures.save(figures.cross_matrix(equal, rows="r", columns="c"), "equal", tmp_path)
    assert (tmp_path / "equal.png").is_file()


def test_pictures_are_not_flipped():
    """Row 0 is the lowest y: what lies low in the data lies low in the picture, and inside of the outline."""
    picture = pictures().isel(sample=0)
    drawn = figures.mask_panels(picture, panels=["mask"])
    (image,), (outline,) = drawn.of("picture"), drawn.of("paths")

    def is_empty(x_nm, y_nm):
        return bool((image.data[int(y_nm // 4), int(x_nm // 4)] == 255).all())

    assert [is_empty(100.0, y_nm) for y_nm in (42.0, 58.0, 74.0, 130.0)] == [True, False, True, True]
    assert [is_empty(x_nm, 58.0) for x_nm in (34.0, 58.0, 150.0)] == [True, False, True]
    ends = np.concatenate(outline.data)
    assert [*ends.min(axis=0), *ends.max(axis=0)] == pytest.approx([32, 40, 152, 80])


def test_an_unknown_panel_is_answered_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="no panel 'prints'; known: mask, nominal print, PV band"):
        figures.mask_panels(pictures(), panels=["mask", "prints"], rows=schema.SAMPLE)


def test_a_lost_edge_is_marked():
    assert [dots.data.tolist() for dots in DRAWINGS["edge_errors"]().of("dots")] == [[[90.0, 40.0]], [[90.0, 80.0]]]
    none_lost = figures.edge_errors(pictures().isel(sample=0), sites().isel(site=[0]))
    assert len(none_lost.of("dots")) == 1


@pytest.mark.parametrize("width_inch", [3.5, 7.16])
@pytest.mark.parametrize("corner_nm", [1124.0, 20_000.0])
def test_labels_of_long_numbers_beside_a_colour_bar_stay_on_the_page(corner_nm, width_inch):
    picture, where = pictures().isel(sample=0), sites()
    picture = picture.assign_coords(y=5 * picture["y"] + corner_nm, x=5 * picture["x"] + corner_nm)
    where = where.assign(y_nm=5 * where["y_nm"] + corner_nm, x_nm=5 * where["x_nm"] + corner_nm)
    assert not faults(page.draw(figures.edge_errors(picture, where, limit_nm=8), width_inch), width_inch)


def test_a_curve_without_a_number_leaves_its_axes_empty():
    line = marks.line(np.arange(3), np.full(3, np.nan), "#000000")
    assert not faults(page.draw(page.single([line], ylim=(0.0, np.nan)), 3.5), 3.5)


def test_a_target_at_the_border_keeps_its_outline():
    picture = pictures().isel(sample=0, y=slice(12, 18))
    (outline,) = figures.mask_panels(picture, panels=["mask"]).of("paths")
    rows = np.concatenate(outline.data)[:, 1]
    assert (rows.min(), rows.max()) == pytest.approx((48, 72))


def test_known_names_keep_their_colour_and_others_do_not_take_it():
    first, second = style.looks(["unknown", "iccad13"]), style.looks(["iccad13", "curvy-paper"])
    assert first["iccad13"].colour == second["iccad13"].colour == style.COLOURS["iccad13"]
    assert first["unknown"].colour != first["iccad13"].colour
    assert len({look.colour for look in style.looks(["embedded", "p", "q", "r"]).values()}) == 4


def test_variants_of_a_method_have_shades_of_its_colour_and_dashes_of_their_own():
    looks = style.looks(["curvy", "curvyILT CDR", "multilevel"])
    assert [look.name for look in looks.values()] == ["CurvyILT", "CurvyILT, CDR", "MultiILT"]
    first, second, third = looks.values()
    assert first.marker == second.marker != third.marker
    assert len({look.colour for look in looks.values()}) == 3 and first.dash != second.dash


def test_every_kernel_set_has_a_colour_of_its_own():
    from maskopt_lib.optics.library import KERNELS

    assert len({style.COLOURS[name] for name in KERNELS}) == len(KERNELS)


def test_drawing_needs_no_torch():
    program = (
        "import sys, numpy as np, xarray as xr\n"
        "from maskopt_lib import figures\n"
        "line = xr.DataArray([1.0, 2.0], dims='x', coords={'x': [0.0, 1.0]}, name='line')\n"
        "figures.curves(line, along='x')\n"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=300).returncode == 0


def test_a_ranking_goes_from_the_best_setting_to_the_worst():
    merit = xr.DataArray(
        [[3.0, 1.0, 2.0], [5.0, np.nan, 4.0]],
        {"method": ["a", "b"], "setting": [0, 1, 2]},
        ("method", "setting"),
        attrs={"long_name": "merit", "units": "nm2"},
    )
    drawn = figures.ranked(merit)
    lines = {line.label: line.data[:, 1].tolist() for line in drawn.of("line")}
    assert lines["a"] == [1.0, 2.0, 3.0] and lines["b"][:2] == [4.0, 5.0]


def test_distributions_end_with_all_clips(tmp_path):
    drawn = figures.distributions(scores(), names=[schema.L2, schema.EPE3])
    assert len(drawn.of("line")) == 6
    for line in drawn.of("line"):
        value, share = line.data.T
        assert share[-1] == 100 and (np.diff(share) > 0).all() and (np.diff(value) >= 0).all()
    figures.save(drawn, "distributions", tmp_path)


def test_tradeoff_names_every_method_and_groups_its_variants(tmp_path):
    means = scores(methods=("a", "a, tuned", "b")).isel(sample=[0, 1]).mean(schema.SAMPLE, keep_attrs=True)
    drawn = figures.tradeoff(means, x=schema.L2, y=schema.EPE3, log_x=True, title="t")
    points = drawn.of("dots")
    assert [dots.data[0, 0] for dots in points] == pytest.approx(means[schema.L2].values.tolist())
    assert {text for *_, text in drawn.of("names")[0].data} == {"a", "a, tuned", "b"}
    colours = [
        tuple(axes.get_facecolor()[0]) for axes in page.draw(drawn).axes[0].collections if axes.get_offsets().size
    ]
    assert colours[0] == colours[1] != colours[2]
    figures.save(drawn, "tradeoff", tmp_path)


def test_deviations_are_in_percent_of_the_reference():
    values = np.array([[100.0, 100.0], [110.0, 130.0], [90.0, 90.0]])
    ds = schema.label(
        xr.Dataset(
            {schema.L2: (("change", schema.SAMPLE), values)},
            coords={"change": ["as it is", "more", "less"], schema.SAMPLE: ["a", "b"]},
        )
    )
    drawn = figures.deviations(ds, names=[schema.L2], along="change", reference="as it is")
    assert drawn.of("dots")[0].data[:, 0].tolist() == pytest.approx([20.0, -10.0])
