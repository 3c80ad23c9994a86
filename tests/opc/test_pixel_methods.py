"""Pixel ILT, A2-ILT, multi-level ILT and CurvMulti: their objectives, their constants, and what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskopt_lib import layout, litho, metrics, opc, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.opc import attention_ilt, curv_multi, multilevel, pixel_ilt
from maskopt_lib.opc.pixels import fine_nearest, square
from maskopt_lib.opc.prints import Prints

#: Small settings of each method for targets on 8 nm pixels.
SMALL = {
    "pixel_ilt": dict(pixel_nm=8.0, n_steps=12, learning_rate=1.0),
    "attention_ilt": dict(pixel_nm=8.0, attention_nm=8.0, sizes_px=(3, 5, 9, 13), n_steps=12, learning_rate=4.0),
    "multilevel": dict(levels=[dict(pixel_nm=16.0, n_steps=5), dict(pixel_nm=8.0, n_steps=10, smoothing_px=3)]),
    "curv_multi": dict(
        levels=[
            dict(pixel_nm=16.0, n_steps=5, learning_rate=1.0, smoothing_px=3),
            dict(pixel_nm=8.0, n_steps=30, learning_rate=1.0, smoothing_px=3),
        ]
    ),
}
METHODS = tuple(SMALL)


@pytest.fixture(scope="module")
def sim() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded"))


@pytest.fixture(scope="module")
def exact() -> litho.Simulator:
    return litho.Simulator(optics.load("embedded"), dtype=torch.float64)


@pytest.fixture(scope="module")
def targets() -> np.ndarray:
    """Two small metal patterns on a grid of 8 nm."""
    target = np.zeros((2, 256, 256), np.uint8)
    target[0, 100:111, 80:170] = target[0, 125:136, 80:150] = 1
    target[1, 100:160, 100:112] = target[1, 100:111, 100:160] = 1
    return target


def grey(targets: np.ndarray, seed: int = 0) -> torch.Tensor:
    """Grey masks that are clear on the targets and dim around them."""
    noise = torch.rand(targets.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return 0.7 * torch.as_tensor(targets, dtype=torch.float64) + 0.3 * noise * torch.as_tensor(targets.any(0))


def test_terms_of_the_prints_equal_those_of_the_whole_field(exact, targets):
    wanted, mask = torch.as_tensor(targets, dtype=torch.float64), grey(targets)
    prints = Prints.around(wanted, mask.sum(0) > 0, exact)
    assert prints.wanted[0].numel() < 0.2 * wanted[0].numel()
    found = prints.terms(prints.intensity(mask))
    soft = exact.resist(mask, corners=schema.CORNERS)
    expected = [(soft[:, i] - wanted).square().sum((1, 2)) for i in range(3)]
    expected.append((soft[:, 2] - soft[:, 1]).square().sum((1, 2)))
    # What lies beyond the reach is at most a part in a million here; terms are in the hundreds.
    torch.testing.assert_close(found, torch.stack(expected, -1), rtol=1e-6, atol=1e-4)
    fourth = prints.terms(prints.intensity(mask), 4)
    torch.testing.assert_close(fourth[:, 1], (soft[:, 1] - wanted).pow(4).sum((1, 2)), rtol=1e-6, atol=1e-4)
    torch.testing.assert_close(fourth[:, 3], found[:, 3])


@pytest.mark.parametrize("exponent", [2, 4])
def test_gradient_of_the_terms_is_that_of_finite_differences(exact, targets, exponent):
    prints = Prints.around(torch.as_tensor(targets, dtype=torch.float64), torch.as_tensor(targets[0] > 0), exact)
    intensity = prints.intensity(grey(targets)).detach().requires_grad_()
    assert torch.autograd.gradcheck(lambda i: prints.terms(i, exponent), (intensity,), fast_mode=True)


@pytest.mark.parametrize("method", METHODS)
def test_gradient_of_each_objective_is_that_of_finite_differences(exact, targets, method):
    target = torch.as_tensor(targets[:1], dtype=torch.float64)
    options = opc.METHODS[method].presets["published" if method == "attention_ilt" else "openilt"]
    if method in ("pixel_ilt", "attention_ilt"):
        options = replace(options, pixel_nm=8.0, discreteness_weight=0.025)
        aim = pixel_ilt.Problem.pose(target.to(torch.uint8), exact, options, None)
        start = aim.start
    else:
        kind = curv_multi._Curved if method == "curv_multi" else multilevel.Objective
        clear = square(256, slice(48, 208), target.device)
        aim = kind(Prints.around(target, clear, exact), 48, 3, multilevel.Level(pixel_nm=8.0, n_steps=1), options)
        start = target[:, 45:211, 45:211]
    weights = torch.tensor(options.weights)
    generator = torch.Generator().manual_seed(1)
    start = (start + 0.1 * torch.rand(start.shape, dtype=torch.float64, generator=generator)).requires_grad_()
    direction = torch.randn(start.shape, dtype=torch.float64, generator=generator)

    def objective(latent):
        return sum(w * t.sum() for w, t in zip(weights, aim(latent, 0), strict=True))

    (gradient,) = torch.autograd.grad(objective(start), start)
    h = 1e-5
    with torch.no_grad():
        slope = (objective(start + h * direction) - objective(start - h * direction)) / (2 * h)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", METHODS)
def test_solving_improves_the_print_and_keeps_the_record(sim, targets, method):
    result = opc.solve(targets, sim, method=method, **SMALL[method])
    before = (sim.printed(targets)[:, 0].numpy() != targets).sum()
    after = (sim.printed(result.mask)[:, 0].numpy() != targets).sum()
    assert after < 0.8 * before
    assert result.mask.shape == targets.shape and set(np.unique(result.mask)) == {0, 1}
    assert result.history["value"].dims == (schema.STEP, schema.SAMPLE, schema.TERM)
    assert (
        tuple(result.history[schema.TERM].values)
        == {
            "pixel_ilt": pixel_ilt.TERMS,
            "attention_ilt": attention_ilt.TERMS,
            "multilevel": multilevel.TERMS,
            "curv_multi": curv_multi.TERMS,
        }[method]
    )
    assert "reached the set number of" in result.stopped_by
    assert result.runtime_s == pytest.approx(sum(result.phases_s.values()), rel=1e-6)
    # The objective falls: each method descends on what it says it does.
    total = (result.history["value"] * result.history["weight"]).sum(schema.TERM)
    assert (total.isel(step=result.history.sizes[schema.STEP] - 1) < total.isel(step=0)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_gives_what_each_clip_alone_gives(sim, targets, method):
    together = opc.solve(targets, sim, method=method, **SMALL[method]).mask
    for i in (0, 1):
        alone = opc.solve(targets[i], sim, method=method, **SMALL[method]).mask
        assert (alone != together[i]).sum() <= 3


@pytest.mark.parametrize("method", METHODS)
def test_the_first_mask_can_be_given(sim, targets, method):
    # The other clip's pattern as a start: the first row of the history is that mask's, and the result another.
    other = targets[::-1].copy().astype(np.float32)
    given = opc.solve(targets, sim, method=method, initial=other, **SMALL[method])
    default = opc.solve(targets, sim, method=method, **SMALL[method])
    first = given.history["value"].sel(term="pv_band", step=0).values
    np.testing.assert_allclose(first, default.history["value"].sel(term="pv_band", step=0).values[::-1], rtol=1e-4)
    assert (given.mask != default.mask).any()


@pytest.mark.parametrize("method", METHODS)
def test_a_stop_condition_ends_the_run(sim, targets, method):
    result = opc.solve(targets, sim, method=method, stop=opc.NoImprovement(patience=2, relative=0.9), **SMALL[method])
    assert "no clip improved by 90.0%" in result.stopped_by
    assert result.history.sizes[schema.STEP] < 12


@pytest.mark.parametrize("method", METHODS)
def test_masks_change_inside_the_window_only(sim, targets, method):
    target = targets[:1].copy()
    target[:, 20:31, 60:200] = 1
    options = dict(SMALL[method])
    if "levels" in options:
        options["levels"] = [dict(level, window_nm=1280.0) for level in options["levels"]]
    else:
        options["window_nm"] = 1280.0
    mask = opc.solve(target, sim, method=method, **options).mask
    outside = ~square(256, slice(48, 208), torch.device("cpu")).numpy()
    # Multi-level solvers leave it dark, as their source does; the others leave the target.
    expected = 0 * target[:, outside] if "levels" in options else target[:, outside]
    np.testing.assert_array_equal(mask[:, outside], expected)
    assert (mask[:, ~outside] != target[:, ~outside]).any()


def test_learning_rates_hold_on_every_grid(exact):
    # The gradient in a pixel of an objective summed over pixels does not depend on the pixel: on 4 nm as on 8 nm.
    target = torch.zeros(1, 512, 512, dtype=torch.uint8)
    target[0, 200:224, 160:340] = 1
    gradients = {}
    for pixel_nm in (4.0, 8.0):
        options = pixel_ilt.PixelIltOptions(pixel_nm=pixel_nm)
        problem = pixel_ilt.Problem.pose(target, exact, options, None)
        start = problem.start.clone().requires_grad_()
        total = sum(w * t.sum() for w, t in zip(options.weights, problem(start, 0), strict=True))
        (gradients[pixel_nm],) = torch.autograd.grad(total, start)
    averaged = torch.nn.functional.avg_pool2d(gradients[4.0][:, None], 2)[:, 0]
    error = (averaged - gradients[8.0]).norm() / gradients[8.0].norm()
    assert error < 0.1


def test_curvature_stencil_is_three_sixteenths_of_the_laplacian():
    y, x = torch.meshgrid(
        torch.arange(9.0, dtype=torch.float64), torch.arange(11.0, dtype=torch.float64), indexing="ij"
    )
    pixels = 7 * 9
    for image in (torch.ones_like(x), 3 * x - 2 * y + 1, x * y, x**2 - y**2):
        assert curv_multi.curvature_energy(image[None]).item() == pytest.approx(0, abs=1e-18)
    # Laplacians 2, 4 and -2 (a + b): planes and saddles vanish, all else that is quadratic does not.
    for image, laplacian in ((x**2, 2), (x**2 + y**2, 4), (-3 * y**2, -6)):
        expected = pixels * (3 / 16 * laplacian) ** 2
        assert curv_multi.curvature_energy(image[None]).item() == pytest.approx(expected)
    image = torch.rand(2, 6, 7, dtype=torch.float64, requires_grad=True, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(curv_multi.curvature_energy, (image,))


def test_curvature_term_straightens_the_print(sim, targets):
    plain, curved = (
        opc.solve(targets, sim, method="curv_multi", curvature_weight=w, **SMALL["curv_multi"]).history["value"]
        for w in (0.0, 200.0)
    )
    last = dict(step=plain.sizes[schema.STEP] - 1)
    assert (curved.isel(last).sel(term="curvature") < plain.isel(last).sel(term="curvature")).all()


def test_attention_map_of_a_square_is_known():
    target = torch.zeros(1, 64, 64)
    target[0, 24:40, 24:40] = 1  # side 16
    attention = attention_ilt.attention_map(target, (5, 11, 21, 31))
    row = attention[0, 32]
    # An erosion by 5 takes 2 pixels off each side; dilations by 11, 21 and 31 add 5, 10 and 15.
    expected = np.zeros(64)
    expected[24 - 15 : 40 + 15] += 0.2
    expected[24 - 10 : 40 + 10] += 0.3
    expected[24 - 5 : 40 + 5] += 0.5
    expected[26:38] -= 1
    np.testing.assert_allclose(row, expected, atol=1e-6)
    assert attention.sum() == pytest.approx(0.5 * 26**2 + 0.3 * 36**2 + 0.2 * 46**2 - 12**2, rel=1e-6)
    # Even sides cover as many pixels as they say.
    assert attention_ilt.attention_map(target, (5, 10, 20, 30)).sum() == pytest.approx(
        0.5 * 25**2 + 0.3 * 35**2 + 0.2 * 45**2 - 12**2, rel=1e-6
    )


def test_attention_keeps_the_mask_near_the_edges(sim, targets):
    mask = opc.solve(targets, sim, method="attention_ilt", fill_holes=False, **SMALL["attention_ilt"]).mask
    allowed = attention_ilt.attention_map(torch.as_tensor(targets, dtype=torch.float32), (3, 5, 9, 13)) > 1e-6
    changed = mask != targets
    assert changed.any() and not (changed & ~allowed.numpy()).any()


def test_the_search_over_sizes_keeps_each_clips_lowest_objective(sim, targets):
    sizes = ((3, 5, 9, 13), (3, 3, 5, 5))
    small = {k: v for k, v in SMALL["attention_ilt"].items() if k != "sizes_px"}
    searched = opc.solve(targets, sim, method="attention_ilt", size_candidates=sizes, **small)
    singles = [opc.solve(targets, sim, method="attention_ilt", sizes_px=s, **small) for s in sizes]
    ends = np.stack([((r.history["value"] * r.history["weight"]).sum("term").values[-1]) for r in singles])
    best = ends.argmin(0)
    np.testing.assert_array_equal(searched.history["size_px"].values, np.array(sizes)[best])
    for i, k in enumerate(best):
        np.testing.assert_array_equal(searched.mask[i], singles[k].mask[i])


def test_holes_are_filled_unless_told_otherwise(sim, targets):
    ring = np.zeros_like(targets[:1])
    ring[:, 100:140, 100:140] = 1
    ring[:, 118:122, 118:122] = 0
    tiny = dict(SMALL["attention_ilt"], n_steps=1, learning_rate=1e-6)
    assert opc.solve(ring, sim, method="attention_ilt", **tiny).mask[0, 120, 120] == 1
    assert opc.solve(ring, sim, method="attention_ilt", fill_holes=False, **tiny).mask[0, 120, 120] == 0


def test_a_level_handed_on_by_nearest_pixels_prints_the_same(sim, targets):
    # A mask on 8 nm and its pixels repeated on 4 nm differ by the large pixel's form factor, 7e-3 at the band's edge.
    mask = torch.as_tensor(targets, dtype=torch.float32)
    coarse_print = sim.aerial(mask, n_out=512)
    fine_print = sim.aerial(fine_nearest(mask, 2))
    assert (coarse_print - fine_print).abs().max() < 7e-3


def test_levels_follow_one_another_in_the_history(sim, targets):
    result = opc.solve(targets, sim, method="multilevel", **SMALL["multilevel"])
    pixels = result.history["pixel_nm"].values
    np.testing.assert_array_equal(pixels, [16.0] * 6 + [8.0] * 11)
    assert result.stopped_by.startswith("16 nm: reached the set number of 5 steps; 8 nm: ")
    # In nm2 the levels compare: the second starts about where the first ended, not at four times as many pixels.
    total = (result.history["value"] * result.history["weight"]).sum(schema.TERM)
    ratio = total.isel(step=6) / total.isel(step=5)
    assert ((ratio > 0.5) & (ratio < 2)).all()


def test_cleanup_removes_small_artefacts(sim, targets):
    plain = opc.solve(targets, sim, method="multilevel", **SMALL["multilevel"])
    areas = float(metrics.evaluate(plain.mask, targets, sim, only=["msa_nm2"])["msa_nm2"].min())
    cleaned = opc.solve(
        targets, sim, method="multilevel", **SMALL["multilevel"],
        cleanup=dict(open_nm=None, close_nm=None, round_corners=False, min_area_nm2=areas + 1),
    )  # fmt: skip
    assert metrics.evaluate(cleaned.mask, targets, sim, only=["msa_nm2"])["msa_nm2"].min() > areas


def test_mistakes_are_refused(sim, targets):
    with pytest.raises(GridMismatchError, match="divide each other"):
        opc.solve(
            targets, sim, method="multilevel", levels=[dict(pixel_nm=24.0, n_steps=1), dict(pixel_nm=16.0, n_steps=1)]
        )
    with pytest.raises(GridMismatchError, match="pixel_nm"):
        opc.solve(targets, sim, method="pixel_ilt", pixel_nm=1.0)  # 1 nm from pixels of 8 nm
    with pytest.raises(GridMismatchError, match="attention_nm"):
        opc.solve(targets, sim, method="attention_ilt", pixel_nm=8.0, attention_nm=4.0)
    with pytest.raises(UnknownNameError, match="bicubic"):
        multilevel.MultilevelOptions(upsampling="linear")
    with pytest.raises(ValueError, match="odd"):
        multilevel.Level(pixel_nm=8.0, n_steps=1, smoothing_px=4)
    with pytest.raises(ValueError, match="at least one level"):
        multilevel.MultilevelOptions(levels=())
    with pytest.raises(ValueError, match="even"):
        pixel_ilt.PixelIltOptions(exponent=3)
    with pytest.raises(ValueError, match="4 values"):
        attention_ilt.AttentionIltOptions(sizes_px=(5, 10, 20))


@pytest.mark.parametrize(
    ("method", "preset"), [(m, p) for m in METHODS for p in opc.METHODS[m].presets if p not in ("openilt", "published")]
)
def test_every_other_preset_runs(sim, targets, method, preset):
    options = opc.METHODS[method].presets[preset]
    if "levels" in SMALL[method]:
        fast = dict(levels=[dict(pixel_nm=8.0, n_steps=3, smoothing_px=3)])
    else:
        fast = {k: v for k, v in SMALL[method].items() if k in ("pixel_nm", "attention_nm")} | dict(n_steps=3)
    result = opc.solve(targets[0], sim, method=method, options=options, **fast)
    assert result.mask.any() and result.history.sizes[schema.STEP] == 4


def test_presets_hold_the_published_constants():
    # OpenILT, SimpleILT: 20 steps of 0.5, sigmoid(4 P) with P = 2 T - 1, window of 1024 nm.
    o = pixel_ilt.PRESETS["openilt"]
    assert (o.n_steps, o.optimizer, o.learning_rate, o.window_nm, o.pixel_nm) == (20, "sgd", 0.5, 1024.0, 1.0)
    assert o.weights == (1.0, 1.0, 1.0, 0.0, 0.0) and (o.mask_steepness, o.mask_offset) == (4.0, 0.0)
    # LithoBench: 50 steps of 0.32, window of 1280 nm.
    o = pixel_ilt.PRESETS["lithobench"]
    assert (o.n_steps, o.learning_rate, o.window_nm) == (50, 0.32, 1280.0)
    # Neural-ILT's loop after MOSAIC: exponent 4, discreteness 0.025.
    o = pixel_ilt.PRESETS["mosaic"]
    assert (o.exponent, o.mask_steepness, o.discreteness_weight) == (4, 4.0, 0.025)
    # A2-ILT: 30 steps of 1.5, 0.8 nominal + 0.2 (outer + inner), sizes 5, 10, 20, 30 on 4 nm; the last mask.
    o = attention_ilt.PRESETS["published"]
    assert (o.n_steps, o.learning_rate, o.exponent, o.keep) == (30, 1.5, 4, "last")
    assert o.weights == (0.8, 0.2, 0.2, 0.0, 0.025)
    assert (o.sizes_px, o.attention_nm, attention_ilt.SHARES) == ((5, 10, 20, 30), 4.0, (0.5, 0.3, 0.2))
    # OpenILT, multi-level: 20 steps on 8 nm, 100 on 4 nm, Adam 0.2, 7 x 7 mean, 160 and 320 pixels of window.
    o = multilevel.PRESETS["openilt"]
    assert [(v.pixel_nm, v.n_steps, v.learning_rate, v.smoothing_px) for v in o.levels] == [
        (8.0, 20, 0.2, 7),
        (4.0, 100, 0.2, 7),
    ]
    assert [v.window_nm / v.pixel_nm for v in o.levels] == [160, 320]
    assert o.weights == (0.0, 1.0, 0.0, 1.0) and o.optimizer == "adam"
    # OpenILT, CurvMulti: 200, 100 and 100 steps of SGD 0.5, curvature 200, windows of 160, 320 and 640 pixels.
    o = curv_multi.PRESETS["openilt"]
    assert [(v.n_steps, v.learning_rate, v.window_nm / v.pixel_nm) for v in o.levels] == [
        (200, 0.5, 160),
        (100, 0.5, 320),
        (100, 0.5, 640),
    ]
    assert o.weights == (0.0, 1.0, 0.0, 1.0, 200.0) and o.optimizer == "sgd"


@pytest.mark.realdata
def test_multilevel_comes_near_the_published_scores_of_a_clip(real_data, genuine):
    # MultiILT (DAC 2023), case 10 as quoted in the CurvyILT paper's Table 4: L2 7266, PV band 16581 (nm2), no EPE.
    clip = layout.read_clip(real_data("iccad13/clips/M1_test10.glp"))
    sim = litho.Simulator(genuine)
    target = clip.rasterize(pixel_nm=1)
    mask = opc.solve(target, sim, method="multilevel", preset="openilt").mask
    scores = metrics.evaluate(mask, target, sim, only=["l2_nm2", "pvb_nm2", "epe15"])
    assert float(scores["l2_nm2"]) < 1.05 * 7266
    assert float(scores["pvb_nm2"]) < 1.05 * 16581
    assert int(scores["epe15"]) == 0
