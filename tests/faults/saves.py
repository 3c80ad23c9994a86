"""Faults of stored results: kills in the middle of `Run.save`, damage of every file, moved folders, readers beside."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import xarray as xr
from outcome import Outcome

from maskopt_lib import files, layout, study
from maskopt_lib.errors import DamagedFileError
from maskopt_lib.layout.mosaic import Tile, write_mosaic
from maskopt_lib.runs.parts import is_whole

N_KILLS = 120
_LONGEST_S = 0.15


def results(value: int) -> xr.Dataset:
    """A result whose every number is the same, in several variables and chunks."""
    numbers = np.full((40, 50), float(value))
    names = ("first", "second", "third")
    return xr.Dataset({name: (("sample", "n"), numbers, {"units": "1"}) for name in names}).chunk(sample=10)


def masks(value: int) -> np.ndarray:
    """(sample, y, x) masks that hold the bits of a number."""
    bits = np.unpackbits(np.frombuffer(np.uint32(value).tobytes(), np.uint8)).astype(bool)
    return np.tile(bits, (4, 16, 2))


def save_for_ever(folder: Path, begin: int, last: multiprocessing.Value) -> None:
    """What the victims do: save one value after the other, and say which is the last that is safe."""
    run = study.start("Victim", notebook="00_faults", params={}, out_dir=folder, threads=1)
    for value in range(begin, begin + 10_000):
        run.save(results(value), "results")
        run.save_masks(masks(value), samples=list("abcd"), pixel_nm=1)
        last.value = value


def killed_saves(folder: Path, seed: int = 0) -> Iterator[Outcome]:
    """`kill -9` at random moments of a loop of saves; then both stores must hold a whole value, no older than told."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["maskopt_lib.study"])
    drawn, outcome = random.Random(seed), Outcome("kill -9 of Run.save and Run.save_masks in a loop")
    begin = 0
    while outcome.tried < N_KILLS:
        last = context.Value("i", begin - 1)
        process = context.Process(target=save_for_ever, args=(folder, begin, last))
        process.start()
        while last.value < begin and process.is_alive():
            time.sleep(0.002)
        time.sleep(drawn.uniform(0, _LONGEST_S))
        process.kill()
        process.join()
        safe = last.value
        outcome.note(_trouble(folder, safe))
        begin = safe + 2
    left = [path.name for path in folder.iterdir() if ".part-" in path.name or ".old-" in path.name]
    study.start("After", notebook="00_faults", params={}, out_dir=folder, threads=1)
    swept = not any(".part-" in path.name or ".old-" in path.name for path in folder.iterdir())
    yield outcome
    sweep = Outcome(f"leftovers of the dead writers are swept by the next run ({len(left)} there)")
    sweep.note(None if swept else "leftovers stay")
    yield sweep


def bars(n: int) -> np.ndarray:
    """(y, x) mask of so many bars."""
    image = np.zeros((256, 256), np.uint8)
    for i in range(n):
        image[8 + 24 * i : 24 + 24 * i, 8:200] = 1
    return image


def write_markers(path: Path, n: int) -> None:
    """So many places where a rule is broken."""
    places = {name: ("violation", np.full(n, 8.0)) for name in ("value", "x_nm", "y_nm", "extent_nm")}
    report = xr.Dataset(
        {"at_least": ("rule", [40.0]), "broken": ("violation", ["width"] * n), **places},
        coords={"rule": ["width"], "violation": np.arange(n)},
    )
    layout.write_markers(report, path)


def write_beside(path: Path, n: int) -> None:
    """A mask beside a layout of its own."""
    source = path.with_name("source.oas")
    if not source.exists():
        layout.write_mask(bars(1), source, contours="pixel", layer=(11, 0))
    layout.write_mask(bars(n), path, contours="pixel", layer=(1, 0), beside=source)


def n_drawn(path: Path) -> int:
    """Shapes on the mask's layer."""
    return len(layout.read_clip(path, (1, 0), window_nm=256).polygons)


#: File -> its writer, told how many shapes, and a reader that counts them.
FILES: dict[str, tuple[Callable[[Path, int], object], Callable[[Path], int]]] = {
    "mask.oas": (lambda path, n: layout.write_mask(bars(n), path, contours="pixel"), n_drawn),
    "mask.gds": (lambda path, n: layout.write_mask(bars(n), path, contours="pixel"), n_drawn),
    "beside.oas": (write_beside, n_drawn),
    "mosaic.oas": (
        lambda path, n: write_mosaic([[Tile(image=bars(n), x_px=0, y_px=0)]], path, contours="pixel", layer=(1, 0)),
        n_drawn,
    ),
    "mask.lyrdb": (write_markers, lambda path: len(ElementTree.parse(path).findall("items/item"))),
}


def write_for_ever(path: Path, last: multiprocessing.Value) -> None:
    """Write one file after the other, of one to nine shapes, and say how often that was done."""
    write, _ = FILES[path.name]
    for i in itertools.count():
        write(path, 1 + i % 9)
        last.value = i


def killed_writers(folder: Path, n: int = 8) -> Iterator[Outcome]:
    """`kill -9` at random moments of the writers of layouts and of markers; the file is always whole, and the last."""
    context, drawn = multiprocessing.get_context("forkserver"), random.Random(1)
    outcome = Outcome("kill -9 of the writers of layouts and markers in a loop")
    for name, _ in itertools.product(FILES, range(n)):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        last = context.Value("i", -1)
        process = context.Process(target=write_for_ever, args=(path, last))
        process.start()
        while last.value < 0 and process.is_alive():
            time.sleep(0.002)
        time.sleep(drawn.uniform(0, _LONGEST_S))
        process.kill()
        process.join()
        try:
            found, known = FILES[name][1](path), [1 + i % 9 for i in (last.value, last.value + 1)]
            outcome.note(None if found in known else f"{name} holds {found} shapes, not one of {known}")
        except Exception as error:
            outcome.note(f"{name}: {type(error).__name__}: {error}")
    files.sweep(folder)
    left = sorted(path.name for path in folder.iterdir() if path.name not in (*FILES, "source.oas"))
    outcome.note(f"left beside: {', '.join(left)}" if left else None)
    yield outcome


def _trouble(folder: Path, safe: int) -> str | None:
    try:
        ds = study.load(folder / "results.zarr")
        pixels = study.load_masks(folder / "masks.zarr")
    except Exception as error:
        return f"after {safe}: {type(error).__name__}: {error}"
    values = {value for v in ds.data_vars.values() for value in np.unique(v.values).tolist()}
    if len(ds.data_vars) != 3 or len(values) != 1 or not values <= {safe, safe + 1}:
        return f"after {safe}: results hold {values} in {list(ds.data_vars)}"
    if not any(np.array_equal(pixels.values, masks(v)) for v in (safe, safe + 1)):
        return f"after {safe}: masks hold neither {safe} nor {safe + 1}"
    return None


def damaged_files(run_dir: Path) -> Iterator[Outcome]:
    """Every file of a stored run deleted, cut or flipped in one byte, one at a time; then loaded."""
    how_damaged = ("gone", "cut", "flipped")
    gone, cut, flipped = (Outcome(f"a file of a stored run {how}, then loaded") for how in how_damaged)
    part = Outcome("a part cut or flipped: seen, and counts as not there")
    rng = random.Random(0)
    for file in sorted(path for path in run_dir.rglob("*") if path.is_file()):
        relative = file.relative_to(run_dir)
        store = run_dir / relative.parts[0]
        if store.suffix == ".zarr":
            load = _loader(store)
        elif relative.parts[0] == "record.json":
            load = _load_record(run_dir)
        elif "parts" in relative.parts and file.suffix == ".npz":
            load = None
        else:
            continue  # figures, tables and notebooks are for people, not loaded
        whole = file.read_bytes()
        at = rng.randrange(len(whole))
        flip = whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
        for outcome, how, data in ((gone, "gone", None), (cut, "cut", whole[:at]), (flipped, "flipped", flip)):
            file.unlink() if data is None else file.write_bytes(data)
            if load is None:
                part.note(f"{relative} {how} passes for whole" if is_whole(file) else None)
            else:
                outcome.note(_loaded_all_the_same(load, f"{relative} {how}"))
        file.write_bytes(whole)
        if load is None and not is_whole(file):
            part.note(f"{relative} is not whole again")
    yield from (gone, cut, flipped, part)


def _loader(store: Path) -> Callable[[], xr.Dataset]:
    return lambda: study.load(store).load()


def _load_record(folder: Path) -> Callable[[], str]:
    return lambda: str(study.record_of(folder))


def _loaded_all_the_same(load: Callable[[], str], what: str) -> str | None:
    try:
        load()
    except (DamagedFileError, FileNotFoundError):
        return None
    except Exception as error:
        return f"{what}: a foreign error, {type(error).__name__}: {error}"
    return f"{what}: loads"


def moved(run_dir: Path, elsewhere: Path) -> Iterator[Outcome]:
    """Results copied to another path load there, equal."""
    outcome = Outcome("results copied to another path (blanks, umlauts) and loaded there")
    copy = elsewhere / "another place, für später" / run_dir.name
    shutil.copytree(run_dir, copy)
    for store in sorted(run_dir.glob("*.zarr")):
        same = study.load(store).identical(study.load(copy / store.name))
        outcome.note(None if same else f"{store.name} differs")
    yield outcome


def reader_beside_writer(folder: Path, n: int = 60) -> Iterator[Outcome]:
    """One process saves without pause, this one reads without pause."""
    context = multiprocessing.get_context("forkserver")
    last = context.Value("i", -1)
    process = context.Process(target=save_for_ever, args=(folder, 0, last))
    process.start()
    while last.value < 0 and process.is_alive():
        time.sleep(0.002)
    outcome = Outcome("a reader beside a writer that never rests")
    for _ in range(n):
        safe = last.value
        try:
            ds = study.load(folder / "results.zarr")
        except Exception as error:
            outcome.note(f"{type(error).__name__}: {error}")
            continue
        values = {value for v in ds.data_vars.values() for value in np.unique(v.values).tolist()}
        is_whole_value = len(ds.data_vars) == 3 and len(values) == 1 and min(values) >= safe
        outcome.note(None if is_whole_value else f"after {safe}: {values}")
    process.kill()
    process.join()
    yield outcome


def threads_of_one_process(folder: Path) -> Iterator[Outcome]:
    """Several threads of one run save under one name; the store is always one of theirs."""
    run = study.start("Threads", notebook="00_faults", params={}, out_dir=folder, threads=1)
    outcome = Outcome("four threads of one run save under one name")
    for _ in range(5):
        threads = [threading.Thread(target=run.save, args=(results(v), "results")) for v in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        values = np.unique(study.load(folder / "results.zarr").to_array())
        outcome.note(None if len(values) == 1 else f"holds {values}")
    yield outcome
