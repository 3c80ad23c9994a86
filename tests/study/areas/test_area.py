"""Large areas: every pixel is solved once, whoever works and whoever dies; seams are found where there are some."""

from __future__ import annotations

import os
import threading
import time
import tracemalloc

import gdstk
import numpy as np
import pytest
import xarray as xr

from maskopt_lib import layout, litho, metrics, study
from maskopt_lib.errors import DamagedFileError, GridMismatchError, LayoutError, MissingDataError
from maskopt_lib.layout.mosaic import MASK_LAYER
from maskopt_lib.runs import parts
from maskopt_lib.runs.spread import spread
from maskopt_lib.study.areas import area as tiles
from maskopt_lib.study.areas import prints, seams

PIXEL = 8.0  # windows of 256 x 256 pixels: a step takes milliseconds
REGION = (0.0, 0.0, 3000.0, 2000.0)
DECK = {"min_width_nm": 40, "msd_nm": 40}
CURVY = study.Trial(label="curvy", method="curvy", options={"n_steps": 40, "retarget_nm": None, "cleanup": None})
IDENTITY = study.Trial(label="identity", method="identity")


@pytest.fixture(scope="module")
def process():
    return litho.load_process("embedded")


def area_of(path, process):
    return tiles.Area(
        layout_file=path.resolve(), platform=layout.PLATFORMS["nangate45"], layer="metal1", process=process
    )


@pytest.fixture(scope="module")
def area(tmp_path_factory, process):
    return area_of(study.demo_layout(tmp_path_factory.mktemp("demo")), process)


@pytest.fixture
def run(tmp_path):
    return run_in(tmp_path / "run")


def run_in(folder):
    return study.start("Large area", notebook="41_large_area", params={}, out_dir=folder)


def plan_of(region=REGION, **changes):
    return tiles.Plan(region_nm=region, **({"pixel_nm": PIXEL} | changes))


def tiled(area, plan, run, **how):
    return tiles.TiledArea(area=area, plan=plan, run=run, **how)


def rows_of_bars(path, *, period, columns, rows):
    """A cell of bars, repeated each ``period`` nm."""
    library = gdstk.Library(unit=1e-6, precision=1e-10)
    cell, top = library.new_cell("BARS"), library.new_cell("TOP")
    for x in (0.1, 0.3, 0.6):
        cell.add(gdstk.rectangle((x, 0.1), (x + 0.08, 0.9), layer=11))
    top.add(*(gdstk.Reference(cell, (period / 1e3 * i, period / 1e3 * j)) for i in range(columns) for j in range(rows)))
    library.write_oas(path)
    return path


# Plans


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("region", [REGION, (-40.0, 16.0, 1000.0, 2064.0), (0.0, 0.0, 2048.0, 1024.0)])
def test_cores_cover_the_region_once_with_a_full_halo(region, shifted):
    plan = plan_of(region, shifted=shifted)
    covered = np.zeros(plan.shape, int)
    for window in plan.windows:
        x0, y0, x1, y1 = (round((v - region[i % 2]) / PIXEL) for i, v in enumerate(window.core_nm))
        covered[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] += 1
        fx0, fy0, fx1, fy1 = window.field_nm
        assert (fx1 - fx0, fy1 - fy0) == (2048, 2048)
        assert np.allclose(np.subtract(window.core_nm, window.field_nm), (512, 512, -512, -512))
    assert (covered == 1).all()


def test_moved_windows_have_the_old_borders_in_their_middle():
    plan, moved = plan_of(), plan_of(shifted=True)
    middles = {tuple(np.add(w.core_nm[:2], 512)) for w in moved.windows}
    assert {(x, y) for x in plan.borders_nm[0] for y in plan.borders_nm[1]} <= middles
    # Windows of one group of the seam pass share nothing that changes: their fields do not overlap.
    windows = [w for w in moved.windows if (w.row % 2, w.column % 2) == (1, 1)]
    for a in windows:
        for b in windows:
            apart = a is b or any(
                a.field_nm[i] >= b.field_nm[i + 2] or b.field_nm[i] >= a.field_nm[i + 2] for i in (0, 1)
            )
            assert apart


def test_distance_from_borders_is_that_of_all_lines():
    plan = plan_of((0.0, 0.0, 5000.0, 3000.0))
    x, y = np.random.default_rng(0).uniform(0, [[5000], [3000]], (2, 200))
    xs, ys = plan.borders_nm
    slow = np.min([np.abs(x - line) for line in xs] + [np.abs(y - line) for line in ys], axis=0)
    np.testing.assert_allclose(seams.border_distance(x, y, plan), slow)
    assert np.isinf(seams.border_distance(x, y, plan_of((0.0, 0.0, 800.0, 800.0)))).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"core_nm": 1200.0}, "leaves a halo of 424 nm, .* a context of 512 nm .*: take a core of at most 1024 nm"),
        ({"region_nm": (0, 0, 1001, 1000)}, "must be whole in pixels of 8 nm"),
        ({"region_nm": (10, 0, 10, 20)}, "with x0 < x1 and y0 < y1"),
    ],
)
def test_impossible_plans_are_refused(changes, message):
    with pytest.raises(LayoutError, match=message):
        tiles.Plan(**({"region_nm": REGION, "pixel_nm": PIXEL} | changes))


# Solving and stitching


def test_stitched_windows_of_the_target_are_the_target(area, run):
    plan = plan_of()
    stitched, windows = tiles.solve_area(tiled(area, plan, run), IDENTITY)
    drawn = area.design().rasterize("metal1", REGION, PIXEL)
    np.testing.assert_array_equal(stitched.read(REGION), drawn)
    assert windows.sizes["tile"] == 6 and windows.new == 6
    again, _ = tiles.seam_pass(tiled(area, plan, run), IDENTITY, stitched)
    assert again.digest() == stitched.digest() and again.path != stitched.path
    some, repaired = tiles.seam_pass(
        tiled(area, plan, run), IDENTITY, stitched, moved=plan_of(offset_nm=256.0), places_nm=np.array([[300.0, 300.0]])
    )
    assert repaired.sizes["tile"] == 1 and some.digest() == stitched.digest()
    _, none = tiles.seam_pass(tiled(area, plan, run), IDENTITY, stitched, places_nm=np.zeros((0, 2)))
    assert none.sizes["tile"] == 0
    with xr.open_zarr(stitched.path, consolidated=False) as opened:
        assert opened["x"].values[[0, -1]].tolist() == [4, 2996] and int(opened["mask"].sum()) == drawn.sum()


def test_a_read_beyond_the_region_is_dark_and_off_the_pixels_an_error(area, run):
    stitched, _ = tiles.solve_area(tiled(area, plan_of(), run), IDENTITY)
    around = stitched.read((-80, -80, 80, 80))
    assert not around[:10].any() and not around[:, :10].any()
    with pytest.raises(GridMismatchError, match="off the mask's pixels of 8 nm"):
        stitched.read((4, 0, 84, 80))
    with pytest.raises(MissingDataError, match="solve the area first"):
        tiles.StitchedMask(run.out_dir / "nothing.zarr")


def test_equal_windows_are_solved_once_and_empty_ones_never(tmp_path, process, run):
    area = area_of(rows_of_bars(tmp_path / "bars.oas", period=1024, columns=6, rows=3), process)
    plan = plan_of((0.0, 0.0, 6144.0, 6144.0))
    stitched, windows = tiles.solve_area(tiled(area, plan, run), CURVY)
    solved = windows["solved"].values.reshape(6, 6)
    # The lowest row is alone in having nothing below it; within a row, inner windows are all alike.
    assert (solved[:3, 2:5] == 0).sum() == 9 - 0 and (solved[:3, [0, 1, 5]] == 1).all()
    assert (solved[4:] == -1).all() and windows.new == (solved == 1).sum()
    inner = [stitched.read((1024 * c, 1024, 1024 * (c + 1), 2048)) for c in range(1, 5)]
    assert inner[0].any() and all(np.array_equal(inner[0], other) for other in inner)


def test_batches_and_names_may_differ_but_parts_are_shared_only_by_equals(area, run):
    plan = plan_of()
    first, windows = tiles.solve_area(tiled(area, plan, run, batch=2), CURVY)
    again, repeated = tiles.solve_area(tiled(area, plan, run, batch=2), CURVY, name="again")
    assert windows.new == 6 and repeated.new == 0 and again.digest() == first.digest()
    other = study.Trial(label="curvy", method="curvy", options={**CURVY.options, "n_steps": 39})
    _, changed = tiles.solve_area(tiled(area, plan, run, batch=2), other, name="other")
    assert changed.new == 6


def test_lost_and_damaged_parts_are_made_again_and_nothing_changes(area, run):
    plan = plan_of()
    first, _ = tiles.solve_area(tiled(area, plan, run, batch=2), CURVY)
    second, _ = tiles.seam_pass(tiled(area, plan, run, batch=2), CURVY, first)
    digests = first.digest(), second.digest()
    kept = sorted((run.out_dir / parts.FOLDER).glob("*.npz"))
    kept[0].unlink()
    data = bytearray(kept[1].read_bytes())
    data[120:160] = bytes(40)
    kept[1].write_bytes(data)
    kept[2].write_bytes(kept[2].read_bytes()[:100])
    first, windows = tiles.solve_area(tiled(area, plan, run, batch=2), CURVY)
    second, moved = tiles.seam_pass(tiled(area, plan, run, batch=2), CURVY, first)
    assert windows.new + moved.new >= 3 and (first.digest(), second.digest()) == digests


def test_a_stitched_mask_is_whole_or_not_there_and_a_run_that_was_stopped_goes_on(area, run, monkeypatch):
    plan = plan_of()
    with monkeypatch.context() as patched:
        patched.setattr(tiles.StitchedMask, "write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            tiles.solve_area(tiled(area, plan, run), CURVY)
    assert [path.name for path in run.out_dir.glob("*mask*")] == []
    first, windows = tiles.solve_area(tiled(area, plan, run), CURVY)
    assert windows.new == 0  # all from parts
    assert "mask.zarr" in study.record_of(run.out_dir)["outputs"] and study.load(first.path)["mask"].any()
    chunk = next(path for path in (first.path / "mask").rglob("*") if path.is_file() and path.name != "zarr.json")
    damaged = bytearray(chunk.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    chunk.write_bytes(damaged)
    with pytest.raises(DamagedFileError, match=r"mask\.zarr: the file mask/c/"):
        first.read(plan.region_nm)
    chunk.unlink()
    with pytest.raises(DamagedFileError, match=r"mask\.zarr: the file mask/c/"):
        tiles.open_mask(first.path)
    again, _ = tiles.solve_area(tiled(area, plan, run), CURVY)
    assert again.read(plan.region_nm).any()


@pytest.mark.slow  # `make faults` kills workers of runs, tests/runs/test_spread.py those of any work
def test_a_killed_worker_changes_nothing(area, run, tmp_path):
    plan = plan_of((0.0, 0.0, 3000.0, 1000.0))
    undisturbed, _ = tiles.solve_area(tiled(area, plan, run, batch=1), CURVY)
    undisturbed_seams, _ = tiles.seam_pass(tiled(area, plan, run, batch=1), CURVY, undisturbed)
    other = run_in(tmp_path / "other")
    with tiles.workers(2) as client:
        processes = client.run(os.getpid)
        victim = sorted(processes.values())[0]

        def kill():
            while not list((other.out_dir / parts.FOLDER).glob("*.npz")):
                time.sleep(0.005)
            os.kill(victim, 9)

        killer = threading.Thread(target=kill)
        killer.start()
        stitched, windows = tiles.solve_area(tiled(area, plan, other, client=client, batch=1), CURVY)
        killer.join()
        seamless, _ = tiles.seam_pass(tiled(area, plan, other, client=client, batch=1), CURVY, stitched)
        assert victim not in client.run(os.getpid).values()
    assert windows.new == 3
    assert stitched.digest() == undisturbed.digest() and seamless.digest() == undisturbed_seams.digest()


def test_memory_does_not_grow_with_the_area(tmp_path, process, run):
    area = area_of(rows_of_bars(tmp_path / "bars.oas", period=1003, columns=40, rows=4), process)
    peaks = []
    for columns in (4, 30):
        plan = plan_of((0.0, 0.0, 1024.0 * columns, 1024.0), pixel_nm=4.0)
        tracemalloc.start()
        tiles.solve_area(tiled(area, plan, run), IDENTITY, name=f"of_{columns}")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_tasks_are_made_when_they_are_needed():
    made = []
    results = spread(lambda task, kept: abs(task), (made.append(i) or -i for i in range(5)))
    assert next(results) == (0, 0) and made == [0]
    assert [result for _, result in results] == [1, 2, 3, 4]


# Measuring


@pytest.fixture(scope="module")
def perfect(area, tmp_path_factory):
    run = run_in(tmp_path_factory.mktemp("perfect"))
    plan = plan_of((-352.0, -480.0, 4096.0, 2320.0))
    return plan, tiles.solve_area(tiled(area, plan, run), IDENTITY)[0], run


def test_windows_are_scored_as_the_study_scores_a_window(area, tmp_path):
    region = (1000.0, 800.0, 2024.0, 1312.0)
    run, plan = run_in(tmp_path), plan_of(region)
    whole = plan_of((0.0, 0.0, 4096.0, 2048.0))  # with all that is around the region
    stitched, _ = tiles.solve_area(tiled(area, whole, run), IDENTITY)
    found = prints.measure(tiled(area, plan, run), stitched, deck=DECK)
    field = plan.window(0, 0).field_nm
    sim = area.simulator()
    mask, target = stitched.read(field), area.design().rasterize("metal1", field, PIXEL)
    aerial = sim.aerial(mask.astype(np.float32)).numpy()
    printed = aerial >= np.float32(sim.threshold)
    inside = np.s_[64:128, 64:192]
    assert found.windows["l2_nm2"].item() == metrics.l2_nm2(printed[0][inside], target[inside] > 0, PIXEL)
    assert found.windows["pvb_nm2"].item() == metrics.pvb_nm2(printed[1][inside], printed[2][inside], PIXEL)
    drawn = metrics.target_sites(area.design().rasterize("metal1", field, 1.0), 1.0)
    sites = metrics.epe_sites(aerial[0], target, pixel_nm=PIXEL, threshold=sim.threshold, sites=lambda *_: drawn)
    x, y = sites["x_nm"].values + field[0], sites["y_nm"].values + field[1]
    mine = (x >= region[0]) & (x < region[2]) & (y >= region[1]) & (y < region[3])
    assert 0 < mine.sum() == found.sites.sizes["site"]
    np.testing.assert_array_equal(found.sites["edge_error_nm"], sites["edge_error_nm"].values[mine])


def test_sites_of_a_layout_are_the_same_at_any_pixel(tmp_path):
    library = gdstk.Library(unit=1e-9, precision=1e-10)
    cell = library.new_cell("TOP")
    for i in range(12):  # straight edges of many lengths that end in curves, and a corner off the grid
        way = gdstk.FlexPath([(100, 150 * i + 150), (307.3 + 61.7 * i, 150 * i + 150)], 60, ends="round", layer=11)
        cell.add(*way.to_polygons())
    cell.add(gdstk.rectangle((1300.5, 101.3), (1500.2, 1802.9), layer=11), gdstk.ellipse((1750, 900), 200, layer=11))
    library.write_gds(tmp_path / "curves.gds")
    design = layout.read_design(tmp_path / "curves.gds", platform="nangate45")
    window = plan_of((0.0, 0.0, 2048.0, 2048.0), core_nm=2048.0, context_nm=0.0).window(0, 0)
    found = [prints.drawn_sites(design, "metal1", window, pixel_nm) for pixel_nm in (1.0, 2.0, 4.0)]
    assert found[0].sizes["site"] > 150 and found[0].identical(found[1]) and found[0].identical(found[2])
    on_grid = design.rasterize("metal1", window.field_nm, 1.0)
    assert found[0].identical(metrics.target_sites(on_grid, 1.0))


def test_a_fault_at_a_border_is_seen_there_and_only_there(area, perfect):
    plan, stitched, run = perfect
    broken = tiles.StitchedMask.create(run.out_dir / "broken.zarr", plan)
    image = stitched.read(plan.region_nm)
    for x_nm in plan.borders_nm[0]:
        column = round((x_nm - plan.region_nm[0]) / PIXEL)
        image[:, column - 3 : column + 3] = 0
    broken.write(plan.region_nm, image)
    levels = seams.seam_levels(
        {
            name: prints.measure(tiled(area, plan, run), mask, deck=DECK)
            for name, mask in (("perfect", stitched), ("broken", broken))
        },
        plan,
    )
    error = levels["mean_abs_nm"]
    at, interior = error.sel(place="first borders"), error.sel(place="interior")
    assert at.sel(mask="broken") > at.sel(mask="perfect") + 1.5
    assert abs(interior.sel(mask="broken") - interior.sel(mask="perfect")) < 0.3 * interior.sel(mask="perfect")
    assert (levels["sites"].sel(mask="perfect") == levels["sites"].sel(mask="broken")).all()
    assert levels["lost"].sel(mask="broken", place="first borders") > 0


def test_what_was_measured_is_kept_until_the_mask_changes(area, perfect):
    plan, stitched, run = perfect
    found = prints.measure(tiled(area, plan, run), stitched, deck=DECK)
    before = set((run.out_dir / parts.FOLDER).iterdir())
    again = prints.measure(tiled(area, plan, run), stitched, deck=DECK)
    assert set((run.out_dir / parts.FOLDER).iterdir()) == before and again.sites.identical(found.sites)
    turned = prints.measure(tiled(area, plan, run), stitched, deck=dict(reversed(DECK.items()))).violations
    for rule in DECK:  # by its name, whatever its place in the deck
        assert turned["worst"].sel(rule=rule) == found.violations["worst"].sel(rule=rule)


def test_a_mask_does_not_differ_from_a_reference_that_is_the_same(area, perfect):
    plan, stitched, run = perfect
    measured = prints.measure(tiled(area, plan, run), stitched, deck=DECK)
    places = seams.seam_places(measured, plan, n=4)
    errors, difference = seams.against_reference(tiled(area, plan, run), places, IDENTITY, {"mask": stitched})
    # The distances of some borders reach beyond the region, where the stitched mask is dark and the reference is not.
    x0, y0, x1, y1 = plan.region_nm
    cores = [window.core_nm for _, window in places]
    inner = [i for i, c in enumerate(cores) if c[0] >= x0 and c[1] >= y0 and c[2] <= x1 and c[3] <= y1]
    assert len(places) == 4 and inner
    assert float(difference["xor_nm2_per_um"].isel(border=inner).max()) == 0
    assert errors["mask"].values.tolist() == ["mask", "reference"] and errors.sizes["site"] > 5
    assert difference.sizes["distance_nm"] == 8


def test_pictures_of_parts_are_in_layout_coordinates(area, perfect):
    _, stitched, _ = perfect
    shown = prints.picture(area, stitched, (800.0, 400.0, 2400.0, 1600.0))
    box = dict(y=slice(400, 1600), x=slice(800, 2400))
    with xr.open_zarr(stitched.path, consolidated=False) as opened:
        np.testing.assert_array_equal(shown["mask"], opened["mask"].sel(box))
    assert shown["nominal"].sum() > 0.5 * shown["target"].sum()
    small = prints.overview(stitched, pixel_nm=40.0)
    assert small["coverage"].shape == (70, 111)
    assert float(small["coverage"].mean()) == pytest.approx(stitched.read((-352, -480, 4088, 2320)).mean())


def test_the_written_area_reads_back_as_the_mask(area, perfect):
    plan, stitched, run = perfect
    written = tiles.write_area(stitched, area, run.out_dir / "mask.oas", contours="pixel")
    back = layout.read_design(run.out_dir / "mask.oas")
    np.testing.assert_array_equal(back.rasterize(MASK_LAYER, plan.region_nm, PIXEL), stitched.read(plan.region_nm))
    assert written.area_nm2 == pytest.approx(stitched.read(plan.region_nm).sum() * PIXEL**2)
