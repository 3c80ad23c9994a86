"""Masks of tiles: solved in a small field, scored in the whole one, on the core alone."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import layout, metrics, opc, optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.opc import Recipe
from maskopt_lib.study.dataset.context import ALL_AROUND, measure_context_effect, shown_within
from maskopt_lib.study.dataset.tile_masks import LabelRule, TileSolver

SIM = Simulator(optics.load("embedded"))
CORE = np.s_[256:768, 256:768]
CHEAP = {
    "opc": {"metal1": Recipe(method="model_based_opc", preset="tuned", options={"n_steps": 6})},
    "ilt": {"metal1": Recipe(method="rule_aware", preset="fast", options={"free_steps": 20, "n_steps": 8})},
}


@pytest.fixture(scope="module")
def drawn():
    """(2, 1024, 1024): the middles of two demo clips, with 128 nm of context."""
    clips = layout.demo_clips()
    whole = np.stack(
        [clips[name].rasterize(1)[512:1536, 512:1536] for name in ("demo-metal-lines", "demo-metal-corners")]
    )
    return cut(whole, 128)


def cut(images, context_nm):
    out = np.zeros_like(images)
    at = np.s_[:, 256 - context_nm : 768 + context_nm, 256 - context_nm : 768 + context_nm]
    out[at] = images[at]
    return out


@pytest.fixture(scope="module")
def solver():
    return TileSolver(LabelRule(kernels="embedded", recipes=CHEAP))


@pytest.fixture(scope="module")
def masks(drawn, solver):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind: solver.solve(drawn, "metal1", kind)[0] for kind in CHEAP}


def test_a_core_as_large_as_the_field_is_scored_as_a_clip():
    clip = layout.demo_clips()["demo-metal-lines"].rasterize(1)
    ours = metrics.evaluate_core(clip[None], clip[None], SIM, core_nm=2048)
    whole = metrics.evaluate(clip, clip, SIM, only=metrics.CORE_SCORES)
    for name in metrics.CORE_SCORES:
        np.testing.assert_allclose(ours[name].values, whole[name].values, rtol=1e-6, err_msg=name)


def test_scores_of_cores_side_by_side_add_up_to_those_of_the_whole(drawn):
    # Four quarters of a square, each moved to the middle by the periodic field, have its L2 and PV band together.
    clip = layout.demo_clips()["demo-metal-lines"].rasterize(1)
    whole = metrics.evaluate_core(clip[None], clip[None], SIM, core_nm=1024)
    parts = []
    for y in (-256, 256):
        for x in (-256, 256):
            moved = np.roll(clip, (y, x), (0, 1))[None]
            parts.append(metrics.evaluate_core(moved, moved, SIM, core_nm=512))
    for name in (schema.L2, schema.PVB):
        assert sum(float(p[name][0]) for p in parts) == pytest.approx(float(whole[name][0]), abs=4)
    # Sites on the seams between the quarters are inside of none.
    assert sum(int(p.epe_sites[0]) for p in parts) <= int(whole.epe_sites[0])


def test_what_lies_outside_the_core_counts_only_through_its_light(drawn):
    beside = drawn.copy()
    beside[:, :100] = 1
    ours, theirs = (metrics.evaluate_core(m, drawn, SIM, core_nm=512) for m in (drawn, beside))
    assert (ours.shots == theirs.shots).all()
    assert (ours.epe_sites == theirs.epe_sites).all()
    change = abs(ours.l2_nm2 - theirs.l2_nm2)
    assert (change > 0).all() and (change < 0.05 * ours.l2_nm2).all()  # 156 nm away


def test_surroundings_replace_all_but_the_core(drawn):
    field = np.pad(drawn, ((0, 0), (512, 512), (512, 512)))
    other = np.zeros_like(drawn)
    other[:, 256:768, 256:768] = drawn[:, 256:768, 256:768]
    alone = metrics.evaluate_core(drawn, drawn, SIM, core_nm=512)
    in_place = metrics.evaluate_core(other, drawn, SIM, core_nm=512, surroundings=field)
    for name in metrics.CORE_SCORES:
        # Sums of other lengths round differently: a pixel at the threshold may go the other way.
        np.testing.assert_allclose(alone[name].values, in_place[name].values, rtol=1e-3)


@pytest.mark.parametrize(("n", "core_nm"), [(100, 512), (101, 64)])
def test_cores_that_do_not_fit(n, core_nm):
    with pytest.raises(GridMismatchError):
        metrics.evaluate_core(np.zeros((1, n, n)), np.zeros((1, n, n)), SIM, core_nm=core_nm)


def test_the_small_field_gives_the_mask_of_the_large_one(drawn, solver, masks):
    large = opc.solve(
        np.pad(drawn, ((0, 0), (512, 512), (512, 512))), SIM, method="model_based_opc", preset="tuned", n_steps=6
    )
    apart = (np.asarray(large.mask)[:, 512:1536, 512:1536] != masks["opc"]).sum((1, 2))
    # Edges are snapped to whole nm: a pixel here and there goes the other way.
    assert (apart < 0.01 * drawn.sum((1, 2))).all()


def test_masks_print_better_than_the_layout_itself(drawn, solver, masks):
    nothing = solver.score(drawn, drawn)
    for made in masks.values():
        better = solver.score(made, drawn)
        assert (better.l2_nm2 < 0.75 * nothing.l2_nm2).all()
        assert float(better.epe15.sum()) < 0.5 * float(nothing.epe15.sum())


class Pattern:
    """A design that holds one demo clip, far from everything."""

    def rasterize(self, layer, region_nm, pixel_nm):
        x0, y0, x1, y1 = (round(v) + 4096 for v in region_nm)
        return np.pad(layout.demo_clips()["demo-metal-combs"].rasterize(1), 4096)[y0:y1, x0:x1]


def test_light_of_the_context_counts(tmp_path):
    run = study.start("A test", notebook="00_test", params={}, out_dir=tmp_path, seed=0, threads=1)
    tiles = xr.Dataset(
        {"design": ("sample", ["p", "p"]), "x_nm": ("sample", [700.0, 800.0]), "y_nm": ("sample", [700.0, 760.0])},
        attrs={"layer": "metal1"},
    )
    rule = LabelRule(kernels="embedded", recipes=CHEAP)

    def measured():
        return measure_context_effect(
            tiles, {"p": Pattern()}, run, rule, contexts_nm=(0, 64, 128), kinds=["opc"], batch=1
        ).sel(kind="opc")

    found = measured()
    l2 = found.l2_nm2.mean("sample").sel(printed="in place")
    # Where it belongs, a mask is the better the more of its surroundings it was made with.
    assert l2.sel(context=0) > l2.sel(context=64) > l2.sel(context=128)
    assert l2.sel(context=0) > 1.2 * l2.sel(context=ALL_AROUND)
    # Alone it looks better than it is.
    assert found.l2_nm2.sel(printed="alone", context=0).mean() < l2.sel(context=0)
    assert np.isnan(found.l2_nm2.sel(printed="alone", context=ALL_AROUND)).all()
    # A second run finds its parts; a lost one is made again, the same.
    part, other = sorted((tmp_path / "parts").glob("*.npz"))
    stamp = other.stat().st_mtime_ns
    part.write_bytes(part.read_bytes()[:1000])
    assert measured().identical(found)
    assert other.stat().st_mtime_ns == stamp


def test_what_is_seen_ends_with_the_context():
    rule = LabelRule()
    image = np.ones((1, 1024, 1024), np.uint8)
    for context_nm in (0, 16, 128, 256):
        assert shown_within(image, rule, context_nm).sum() == (512 + 2 * context_nm) ** 2


def test_a_mirrored_tile_has_the_mirrored_mask(drawn, solver, masks):
    # Turn 4 is a symmetry of the embedded optics; fragments are cut from an edge's start, so not to the pixel.
    mirrored, _ = solver.solve(np.ascontiguousarray(drawn[..., ::-1]), "metal1", "opc")
    back = solver.score(mirrored[..., ::-1], drawn)
    ours = solver.score(masks["opc"], drawn)
    np.testing.assert_allclose(back.l2_nm2.values, ours.l2_nm2.values, rtol=0.05)


def test_unknown_recipes_and_images(solver, drawn):
    with pytest.raises(UnknownNameError, match="opc: metal1"):
        solver.solve(drawn, "poly", "opc")
    with pytest.raises(GridMismatchError, match="1024"):
        solver.solve(drawn[:, :512, :512], "metal1", "opc")
