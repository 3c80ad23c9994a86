"""Datasets of tiles: the same store whoever builds it, whatever is killed, full, lost or damaged on the way."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from dataset_builds import PIXEL_NM, RULE, build

from maskopt_lib import layout
from maskopt_lib.data import shards
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.errors import LayoutError
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.dataset import cut
from maskopt_lib.study.dataset.plan import BuildRule, drawn_windows, plan_designs

PROGRAM = Path(__file__).resolve().parents[2] / "helpers" / "dataset_builds.py"
TILE_PARTS, LABEL_PARTS = "parts/tiles-*.npz", "parts/labels-*.npz"


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    return {"folder": folder} | build(folder)


@pytest.fixture
def copied(undisturbed, tmp_path):
    """A copy of the build, to be damaged."""
    return Path(shutil.copytree(undisturbed["folder"], tmp_path / "copy"))


@contextmanager
def killing(client, folder: Path, pattern: str, which: int):
    """Kill one worker as soon as there is a file."""
    victim = sorted(client.run(os.getpid).values())[which]

    def kill():
        while not list(folder.glob(pattern)):
            time.sleep(0.002)
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield victim
    killer.join()


@pytest.mark.slow  # `make faults` kills a build's workers as well
def test_killed_workers_change_nothing(undisturbed, tmp_path):
    with workers(2) as client:
        with killing(client, tmp_path, TILE_PARTS, 0) as first, killing(client, tmp_path, LABEL_PARTS, 1) as second:
            built = build(tmp_path, client)
        assert not {first, second} & set(client.run(os.getpid).values())
    assert built["digest"] == undisturbed["digest"]
    # Half-written parts are left by nobody but those that were killed.
    assert {int(path.name.split("-")[-2]) for path in (tmp_path / "parts").glob(".*")} <= {first, second}


@pytest.mark.slow
def test_one_worker_builds_the_same_store(undisturbed, tmp_path):
    with workers(1) as client:
        assert build(tmp_path, client)["digest"] == undisturbed["digest"]


@pytest.mark.parametrize(("pattern", "n"), [pytest.param(TILE_PARTS, 3, marks=pytest.mark.slow), (LABEL_PARTS, 4)])
def test_a_killed_run_goes_on_where_it_stopped(undisturbed, tmp_path, pattern, n):
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(tmp_path), "0"], start_new_session=True, stdout=subprocess.DEVNULL
    )
    while len(list(tmp_path.glob(pattern))) < n:
        assert process.poll() is None, "the run ended before it could be killed"
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = {name: len(list(tmp_path.glob(glob))) for name, glob in (("cut", TILE_PARTS), ("solved", LABEL_PARTS))}
    again = build(tmp_path)
    assert again["digest"] == undisturbed["digest"]
    for name, n_there in there.items():
        assert again[name] == undisturbed[name] - n_there
    assert sum(there.values()) >= n - 1  # what was there was not done again


@contextmanager
def files_no_larger_than(n_bytes: int):
    """A quota: who writes beyond it gets the error that a full disk gives, in the middle of the file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_run_and_more_room_lets_it_go_on(undisturbed, tmp_path):
    failed = 0
    for room in (1_000, 4_000, 8_000, 20_000, 1_000_000):
        try:
            with files_no_larger_than(room):
                built = build(tmp_path)
            break
        except (OSError, RuntimeError, LayoutError):  # KLayout has errors of its own
            failed += 1
    assert failed >= 3 and built["digest"] == undisturbed["digest"]
    assert set(built["store"].verify()["state"].values.tolist()) == {shards.WHOLE}


def spoil(path: Path, at: int | None = None) -> None:
    """Turn one bit of a file, in its middle or at a byte."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 if at is None else at)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def test_only_what_is_lost_or_damaged_is_made_again(copied, undisturbed):
    tmp_path = copied
    arrays = tmp_path / cut.STORE / shards.ARRAYS
    spoil(arrays / "metal1/content/c/1/0/0")  # a shard of tiles
    (arrays / "via1/row/c/0").unlink()  # a file of another one
    spoil(arrays / "via1/labels/mask/c/1/0/0/0")  # a shard of masks
    spoil(next((arrays / "metal1/label_of/c").glob("*/0")))  # of links; where no tile has a label there is no file
    tile_parts, label_parts = (sorted(tmp_path.glob(pattern)) for pattern in (TILE_PARTS, LABEL_PARTS))
    tile_parts[2].unlink()
    spoil(tile_parts[4])
    label_parts[0].unlink()  # its shard is there: nothing is missing
    states = TileStore(tmp_path / cut.STORE).verify()["state"].values.tolist()
    assert states.count(shards.DAMAGED) == 4
    again = build(tmp_path)
    done = {name: again[name] for name in ("cut", "filled", "solved", "label_shards")}
    assert done == {"cut": 2, "filled": 2, "solved": 0, "label_shards": 1}
    assert again["digest"] == undisturbed["digest"]
    assert set(again["store"].verify()["state"].values.tolist()) == {shards.WHOLE}
    nothing = build(tmp_path)
    assert [nothing[name] for name in ("cut", "filled", "solved", "label_shards")] == [0, 0, 0, 0]


def test_a_store_whose_plan_is_damaged_is_laid_out_again_from_the_parts(copied, undisturbed):
    spoil(copied / cut.STORE / shards.ARRAYS / "metal1/content/zarr.json")
    again = build(copied)
    assert again["digest"] == undisturbed["digest"] and (again["cut"], again["solved"]) == (0, 0)


def test_a_byte_that_flips_anywhere_is_noticed_and_made_again_without_a_word(copied, undisturbed):
    kept = sorted((copied / "parts").glob("*.npz"))
    designs = [path for path in (copied / "parts").glob("design-*") if path.suffix == ".oas"]
    keys = copied / cut.STORE / cut.KEYS
    rng = np.random.default_rng(0)
    for path in (*rng.choice(kept, 2, replace=False), next(p for p in kept if p.name.startswith("design")), *designs):
        spoil(path)
    assert build(copied)["digest"] == undisturbed["digest"]
    for at in rng.integers(0, keys.stat().st_size, 2).tolist():
        spoil(keys, at)
        again = build(copied)
        assert again["digest"] == undisturbed["digest"]
    assert (again["cut"], again["solved"]) == (0, 0)
    keys.unlink()
    assert build(copied)["digest"] == undisturbed["digest"]


def test_two_builds_at_once_take_turns(undisturbed, tmp_path):
    """The second says whom it waits for, and finds everything done."""
    program = [sys.executable, str(PROGRAM), str(tmp_path), "0"]
    options = {"stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(program, **options) as one, subprocess.Popen(program, **options) as other:
        said = {process.pid: process.communicate()[0] for process in (one, other)}
        assert one.returncode == other.returncode == 0
    waited = [pid for pid in said if f"waiting for process {sum(said) - pid}" in said[pid]]
    assert waited and all("building a dataset" in said[pid] for pid in waited)
    again = build(tmp_path)
    assert again["digest"] == undisturbed["digest"]
    assert [again[name] for name in ("cut", "filled", "solved", "label_shards")] == [0, 0, 0, 0]


def test_more_labels_keep_those_that_are_there(copied, undisturbed):
    more = build(copied, n_labels=6)
    assert more["digest"] != undisturbed["digest"]
    assert more["solved"] == undisturbed["solved"] / 2  # the third pair of each layer and kind
    fewer = build(copied)
    assert fewer["digest"] == undisturbed["digest"] and fewer["solved"] == 0


def test_tiles_are_those_of_the_design_in_the_order_of_the_plan(undisturbed):
    store = undisturbed["store"]
    design = layout.open_design("demo_block")
    for layer in RULE.layers:
        tiles = store.open(layer).load()
        windows = xr.concat([part.windows for part in undisturbed["parts"] if part.layer == layer], "tile")
        empty, at = 0, 0
        for i in range(windows.sizes["tile"]):
            x, y = float(windows.x_nm[i]), float(windows.y_nm[i])
            core = design.rasterize(layer, (x, y, x + 512, y + 512), PIXEL_NM)
            if not core.any():
                empty += 1
                continue
            around = design.rasterize(layer, (x - 128, y - 128, x + 640, y + 640), PIXEL_NM)
            kept = np.unpackbits(tiles.content.values[at], axis=-1, bitorder="little")
            np.testing.assert_array_equal(kept, around)
            assert tiles.core_density.values[at] == pytest.approx(core.mean(), abs=1e-6)
            assert tiles.cell.attrs["names"][int(tiles.cell[at])] == str(windows.cell[i].values)
            at += 1
        assert at == tiles.sizes["sample"]
        counted = cut.cut_counts(undisturbed["parts"]).sel(layer=layer, design="demo_block")
        assert (int(counted["empty"]), int(counted["windows"])) == (empty, windows.sizes["tile"])


def test_windows_are_drawn_by_whole_instances_and_more_add_to_fewer():
    instance = np.repeat([f"u{i}" for i in range(50)], np.arange(50) % 4 + 1)
    windows = xr.Dataset({"instance": ("tile", instance)})
    few, many = (drawn_windows(windows, n, seed=3) for n in (20, 60))
    assert 20 <= len(few) < 24 and set(few) < set(many)
    for name in set(instance[few]):
        assert (instance[few] == name).sum() == (instance == name).sum()
    assert len(drawn_windows(windows, 0, 3)) == len(instance) == len(drawn_windows(windows, 10_000, 3))


def test_a_design_without_the_layer_is_refused(tmp_path):
    with pytest.raises(LayoutError, match="demo_block is good for metal1, contact, via1, not for metal9"):
        plan_designs(BuildRule(designs=("demo_block",), layers=("metal9",)), tmp_path)
