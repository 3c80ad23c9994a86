"""Stitched masks on a rule deck: wherever windows and the mask end every rule holds, or the target forbids it."""

from __future__ import annotations

from dataclasses import replace

import gdstk
import numpy as np
import pytest

from maskopt_lib import layout, litho, metrics, study
from maskopt_lib.opc.mask_rules import MaskRules, shapes
from maskopt_lib.study.areas import mending, prints, score_sheet
from maskopt_lib.study.areas.batches import Area, TiledArea
from maskopt_lib.study.areas.own_region import with_rim

PIXEL = 8.0
DECK = MaskRules(msa_nm2=6000, msd_nm=64, min_width_nm=48, min_space_nm=32, min_radius_nm=0)
REGION = (0.0, 0.0, 1504.0, 1000.0)
BARS = [(160, 160, 1400, 320), (240, 640, 1000, 840)]
SMALL = {
    "name": "small",
    "optics": {"wavelength_nm": 193, "na": 0.9, "source": {"shape": "circular", "sigma": 0.6}},
    "field": {"period_nm": 1024, "pixel_nm": 8},
    "resist": {"threshold": 0.45},
}


@pytest.fixture(scope="module")
def process():
    return litho.load_process(SMALL)


def tiled_of(folder, process, boxes, **changes):
    """An area with some boxes drawn, in windows of 512 nm with a rim."""
    library = gdstk.Library(unit=1e-9, precision=1e-10)
    library.new_cell("TOP").add(*(gdstk.rectangle((x0, y0), (x1, y1), layer=11) for x0, y0, x1, y1 in boxes))
    library.write_gds(folder / "drawn.gds")
    area = Area(layout_file=folder / "drawn.gds", platform=layout.PLATFORMS["nangate45"], layer="11/0", process=process)
    size = {"region_nm": REGION, "core_nm": 512.0, "field_nm": 1024.0, "context_nm": 256.0, "rim_nm": 256.0}
    plan = layout.windows.Plan(pixel_nm=PIXEL, **(size | changes))
    run = study.start("Mending", notebook="41_large_area", params={}, out_dir=folder / "run")
    return TiledArea(area=area, plan=plan, run=run)


def stitched_of(tiled, image):
    mask = layout.windows.StitchedMask.create(tiled.run.out_dir / "broken.zarr", tiled.plan)
    mask.write(mask.region_nm, image)
    return mask


def target_of(tiled):
    plan = with_rim(tiled.plan)
    return tiled.area.design().rasterize("11/0", plan.region_nm, PIXEL)


def violations(image, deck=DECK):
    return metrics.rule_report(image, deck.limits(), PIXEL)["violations"].values.sum()


def test_broken_rules_at_all_kinds_of_borders_are_mended_and_the_rest_stays(tmp_path, process):
    tiled = tiled_of(tmp_path, process, BARS)
    kept = DECK.project(target_of(tiled), PIXEL).mask  # its corners are round
    image = kept.copy()
    # At borders and crossings of the first, the moved and the mending's own windows, and at the end of the mask.
    for y, x in ((32, 96), (96, 96), (64, 160), (112, 240), (112, 176), (60, 0), (0, 100), (60, 248), (184, 120)):
        image[max(y - 2, 0) : y + 2, max(x - 2, 0) : x + 2] = 1
    assert violations(image) > 8
    mended, changed = mending.mend(tiled, DECK, stitched_of(tiled, image))
    np.testing.assert_array_equal(mended.read(mended.region_nm), kept)
    assert changed == (image != kept).sum()
    again, none = mending.mend(tiled, DECK, mended, name="again")
    assert none == 0 and again.digest() == mended.digest()


def test_a_mask_whose_windows_do_not_meet_keeps_the_deck_everywhere(tmp_path, process):
    """Assist features are cut and moved at every border, and by the end of the mask; features of the target stay."""
    tiled, rng = tiled_of(tmp_path, process, BARS), np.random.default_rng(1)
    bars = target_of(tiled)
    image = np.zeros_like(bars)
    for y, x in rng.integers(0, image.shape, (60, 2)):
        h, w = rng.permutation([rng.integers(6, 8), rng.integers(6, 24)])  # too narrow to print
        if not (image | bars)[max(y - 12, 0) : y + h + 12, max(x - 12, 0) : x + w + 12].any():
            image[y : y + h, x : x + w] = 1
    for window in tiled.plan.windows:
        x0, y0, x1, y1 = (round((v + 256) / PIXEL) for v in window.core_nm)
        image[y0:y1, x0:x1] = np.roll(image[y0:y1, x0:x1], rng.integers(-3, 4, 2), axis=(0, 1))
    assert violations(image | bars) > 10
    mended, _ = mending.mend(tiled, DECK, stitched_of(tiled, image | bars))
    mask = mended.read(mended.region_nm)
    assert violations(mask) == 0
    assert (mask & bars).sum() > 0.99 * bars.sum() and len(shapes(mask)[1]) > 10


def test_features_that_the_end_of_a_mask_cuts_keep_the_deck_there(tmp_path, process):
    tiled = tiled_of(tmp_path, process, [*BARS, (1300, 560, 3000, 720)])
    image = DECK.project(target_of(tiled), PIXEL).mask
    image[100:130, -3:] = 1
    mended, _ = mending.mend(tiled, DECK, stitched_of(tiled, image))
    mask = mended.read(mended.region_nm)
    assert violations(mask) == 0 and mask[107:117, 195:].all() and not mask[125:130, -3:].any()


def test_what_the_target_breaks_itself_is_left_and_said(tmp_path):
    """Three bars of 96 nm, 64 nm apart: no room for a distance of 200 nm, and all of them print."""
    bars = [(x, 160, x + 96, 400) for x in (60, 220, 380)]
    printing = litho.load_process(SMALL | {"resist": {"threshold": 0.225}})
    tiled = tiled_of(tmp_path, printing, bars, region_nm=(0.0, 0.0, 600.0, 480.0))
    deck = MaskRules(msa_nm2=0, msd_nm=200, min_width_nm=88, min_space_nm=0, min_radius_nm=0)
    mended, _ = mending.mend(tiled, deck, stitched_of(tiled, target_of(tiled)))
    mask = mended.read(mended.region_nm)
    assert (mask & target_of(tiled)).sum() > 0.8 * target_of(tiled).sum()
    counted, limits = replace(tiled, plan=with_rim(tiled.plan)), deck.limits()
    report = score_sheet.report_of(prints.measure(counted, mended, deck=limits), limits)
    distances = report["broken"].values == "msd_nm"
    assert distances.any() and report["of_target"].values[distances].all()
