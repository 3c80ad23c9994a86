"""Named clips: the embedded ones keep their rules, the contest's have their published areas and images."""

from __future__ import annotations

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage

from maskopt_lib import layout
from maskopt_lib.errors import LayoutError, MissingDataError, UnknownNameError
from maskopt_lib.layout import benchmarks as demo

#: Half-open areas in nm2 of M1_test1 .. M1_test10, those of the target images that curvyILT published.
CONTEST_AREAS_NM2 = (215344, 169280, 213504, 82560, 281958, 286234, 229149, 128544, 317581, 102400)
#: Areas of OpenILT's inclusive rasters, from its own targets.
INCLUSIVE_AREAS_NM2 = {"M1_test1": 218902, "M1_test2": 172224, "M1_test3": 217432, "M1_test10": 104004}


def run_lengths(line):
    """Lengths of the runs of ones, and of the runs of zeros between them."""
    change = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]]).astype(np.int8)))
    return np.diff(change)[::2], np.diff(change)[1::2]


@pytest.mark.parametrize("name", layout.demo_clips())
def test_demo_clips_keep_their_rules(name):
    clip = layout.demo_clips()[name]
    target = clip.rasterize()
    assert target.sum() == clip.area_nm2
    assert min(clip.bounds_nm) >= 512  # all within the central 1024 nm
    assert max(clip.bounds_nm) <= 1536
    for lines in (target, target.T):
        changes = np.any(np.diff(lines.astype(np.int8), axis=0, prepend=0), axis=1)  # equal lines need one look
        for line in lines[changes & lines.any(axis=1)]:
            widths, spaces = run_lengths(line)
            assert widths.min() >= demo.MIN_WIDTH_NM
            assert spaces.size == 0 or spaces.min() >= demo.MIN_SPACE_NM
    # Corner to corner as well: no other shape within the space. Centres of pixels lie half a pixel inside their
    # shapes, so their distance is the larger one.
    labels, count = ndimage.label(target)
    assert count == len(clip.polygons)
    for shape, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        margin = int(demo.MIN_SPACE_NM) + 1
        near = labels[rows.start - margin : rows.stop + margin, columns.start - margin : columns.stop + margin]
        if np.any((near != shape) & (near != 0)):
            gap = ndimage.distance_transform_edt(near != shape)[(near != shape) & (near != 0)].min()
            assert gap >= demo.MIN_SPACE_NM


def test_demo_clips_are_the_same_at_every_call_and_of_two_kinds():
    first, second = layout.demo_clips(), layout.demo_clips()
    assert list(first) == list(second)
    for name in first:
        assert all(np.array_equal(a, b) for a, b in zip(first[name].polygons, second[name].polygons, strict=True))
    metal, via = layout.benchmark_clips("demo-metal"), layout.benchmark_clips("demo-via")
    assert len(metal) >= 6
    assert len(via) >= 3
    assert [*metal, *via] == list(first)
    assert {clip.layer for clip in via.values()} == {"via1"}
    assert all(np.ptp(p, axis=0).tolist() == [70, 70] for clip in via.values() for p in clip.polygons)


def test_unknown_benchmarks_and_clips_list_the_known_ones():
    with pytest.raises(UnknownNameError, match="iccad13, stdmetal, stdcontact, demo-metal, demo-via"):
        layout.benchmark_clips("iccad14")
    with pytest.raises(UnknownNameError, match="it has M1_test1, M1_test2"):
        layout.benchmark_clips("iccad13", ["M1_test11"])
    with pytest.raises(MissingDataError, match=r"'no_such_clip.glp' is no file .* no clip of the manifest"):
        layout.read_clip("no_such_clip.glp")
    with pytest.raises(UnknownNameError, match="no benchmark 'metal'"):
        layout.read_clip("M1_test1.glp", benchmark="metal")


def test_a_name_of_two_benchmarks_is_asked_back():
    with pytest.raises(LayoutError, match=r"2 clips: .*StdMetal.*benchmark='stdmetal' or 'stdcontact'"):
        layout.read_clip("AND2_X4__0_0.glp")


@pytest.mark.parametrize("placement", [(1, 2, 3), ("a", "b"), 512, (float("nan"), 0)])
def test_a_wrong_placement_lists_what_there_is(placement, tmp_path):
    path = tmp_path / "square.glp"
    header = "BEGIN\nEQUIV  1  1000  MICRON  +X,+Y\nCNAME Top\nLEVEL M1\n\nCELL Top PRIME\n"
    path.write_text(header + "RECT N M1 10 20 70 70\nENDMSG\n")
    assert layout.read_clip(path, placement=(3, 4)).bounds_nm == (13, 24, 83, 94)
    with pytest.raises(LayoutError, match=r"contest, centred, or \(dx, dy\) in nm .*got "):
        layout.read_clip(path, placement=placement)


def test_polygons_of_another_shape_are_refused_with_what_is_expected():
    with pytest.raises(LayoutError, match=r"polygon 0: expected \(n, 2\) points, got shape \(4, 3\); give one"):
        layout.Clip(name="flat", polygons=[np.zeros((4, 3))], layer="metal1")


def test_natural_order():
    assert layout.benchmark_names("iccad13") == [f"M1_test{i}" for i in range(1, 11)]
    assert len(layout.benchmark_names("stdmetal")) == 271
    assert len(layout.benchmark_names("stdcontact")) == 165


@pytest.mark.realdata
@pytest.mark.parametrize("case", range(1, 11))
def test_contest_clips_have_their_published_areas_and_images(case, real_data):
    real_data(f"iccad13/clips/M1_test{case}.glp")
    name = f"M1_test{case}"
    clip = layout.benchmark_clips("iccad13", [name])[name]
    target = clip.rasterize(pixel_nm=1)
    assert target.shape == (2048, 2048)
    assert clip.offset_nm == (512, 512)
    assert target.sum() == CONTEST_AREAS_NM2[case - 1] == clip.area_nm2
    assert clip.rasterize(8).sum(dtype=float) * 64 == pytest.approx(clip.area_nm2, abs=1e-6)
    published = iio.imread(real_data(f"golden/curvyilt_masks/M1_test{case}.target.png")) > 0
    assert np.count_nonzero(target != published) == 0


@pytest.mark.realdata
@pytest.mark.parametrize("name", INCLUSIVE_AREAS_NM2)
def test_inclusive_areas_of_openilt(name, real_data):
    clip = layout.read_clip(real_data(f"iccad13/clips/{name}.glp"))
    assert clip.rasterize(rule="inclusive").sum() == INCLUSIVE_AREAS_NM2[name]


@pytest.mark.realdata
def test_case_5_to_the_letter_has_a_jog_of_one_nm(real_data):
    path = real_data("iccad13/clips/M1_test5.glp")
    corrected, letter = layout.read_clip(path), layout.read_clip(path, errata=False)
    assert "M1_test5, line 7" in corrected.errata[0]
    assert letter.errata == ()
    assert letter.area_nm2 - corrected.area_nm2 == 86  # 1 nm times the 86 nm from y = 479 to 565
    assert letter.area_nm2 == letter.rasterize().sum() == 282044


@pytest.mark.realdata
@pytest.mark.parametrize(("kind", "folder"), [("stdmetal", "StdMetal"), ("stdcontact", "StdContact")])
def test_lithobench_clips_are_centred_and_exact(kind, folder, real_data):
    names = layout.benchmark_names(kind)[::10]
    for name in names:
        real_data(f"lithobench/{folder}/{name}.glp")
    for clip in layout.benchmark_clips(kind, names).values():
        assert clip.rasterize().sum() == clip.area_nm2
        x0, y0, x1, y1 = clip.bounds_nm
        assert 0 <= 2048 - x0 - x1 <= 1  # a half nm is rounded down
        assert 0 <= 2048 - y0 - y1 <= 1


@pytest.mark.realdata
def test_a_real_gds_by_layer_name_cell_and_region(real_data):
    cells = real_data("nangate45/NangateOpenCellLibrary.gds")
    contacts = layout.read_clip(cells, "contact", cell="INV_X1")
    assert {tuple(np.ptp(p, axis=0)) for p in contacts.polygons} == {(65, 65)}  # FreePDK45 contacts
    assert contacts.area_nm2 == 65**2 * len(contacts.polygons)
    with pytest.raises(LayoutError, match=r"13\d top cells"):
        layout.read_clip(cells, "contact")
    design = real_data("nangate45/designs/gcd_45nm_openilt.gds")
    with pytest.raises(LayoutError, match=r"region_nm="):
        layout.read_clip(design, "metal1")
    # Four quarters of a region have the area of the whole.
    whole = layout.read_clip(design, "metal1", region_nm=(4000, 4000, 6048, 6048))
    parts = [
        layout.read_clip(design, "metal1", region_nm=(x, y, x + 1024, y + 1024), window_nm=1024)
        for y in (4000, 5024)
        for x in (4000, 5024)
    ]
    assert sum(part.area_nm2 for part in parts) == pytest.approx(whole.area_nm2, abs=1e-3)
    rows = [np.hstack([part.rasterize() for part in parts[i : i + 2]]) for i in (0, 2)]
    assert np.array_equal(np.vstack(rows), whole.rasterize())
