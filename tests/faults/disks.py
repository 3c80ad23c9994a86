"""A full disk and a read-only one under every writer that there is: the old file stays, and the writer says so."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import itertools
import os
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from outcome import Outcome

from maskopt_lib import figures, files, layout, litho, models, optics, study
from maskopt_lib.__main__ import say
from maskopt_lib.data import card, manifest, parquet
from maskopt_lib.data.tile_store import TileStore
from maskopt_lib.figures import marks, page
from maskopt_lib.layout.mosaic import Tile, write_mosaic
from maskopt_lib.models import weights
from maskopt_lib.runs import reference, tables
from maskopt_lib.runs.parts import write_part
from maskopt_lib.study.areas import own_layout

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
import tile_stores

_DISK_MB = 24
#: What is left on a disk that is full at once, and on one that fills in the middle: shares of what is written.
_ROOMS = (0.0, 0.4)
#: Chunks of a shard that has no list of its files yet: nobody reads them, and the next build writes them again.
_BEGUN = "tiles/tiles.zarr/"
#: Bytes that a file in memory takes at least.
_PAGE = 4096
#: Those that write several files, each whole or not there, have no state in the middle that is the old one.
_OF_SEVERAL_FILES = ("optics.write_kernels", "study.write_table", "runs.reference.keep", "areas.own_layout.optimize")


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of a few MB in memory; None where this user may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_MB}m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode != 0:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["mount", "-o", "remount,rw", str(folder)], capture_output=True)
        subprocess.run(["umount", "-l", str(folder)], check=True)


def writers(folder: Path, source: Path) -> dict[str, Callable[[int], object]]:
    """Name -> a writer of the study, told how much to write; each writes below a folder of its own name.

    Parameters
    ----------
    folder : on the disk that fills.
    source : a folder elsewhere, with what writers read.
    """
    rng = np.random.default_rng(0)

    def mask(n: int) -> np.ndarray:
        image = np.zeros((512, 512), np.uint8)
        for y, x in rng.integers(0, 62, (40 * n, 2)) * 8:
            image[y + 2 : y + 7, x + 1 : x + 6] = 1
        return image

    process = litho.load_process("embedded")
    kernels = process.kernels

    @functools.cache
    def run(name: str) -> study.Run:
        return study.start("Full disk", notebook="00_faults", params={}, out_dir=folder / name, threads=1)

    def dataset(n: int) -> xr.Dataset:
        return xr.Dataset({"numbers": ("sample", rng.random(20_000 * n), {"units": "1"})})

    def table(n: int) -> pd.DataFrame:
        columns = pd.MultiIndex.from_tuples([("l2_nm2", "ours")])
        return pd.DataFrame(rng.random((400 * n, 1)), columns=columns, index=[f"clip {i}" for i in range(400 * n)])

    def kept_record(n: int) -> None:
        other = study.start("Record", notebook="00_faults", params={}, out_dir=source / "run" / "paper", threads=1)
        other.save(dataset(n), "numbers")
        reference.keep(other.out_dir, folder / "record")

    def mosaic(n: int) -> None:
        rows = [[Tile(image=mask(n), x_px=0, y_px=0)]]
        write_mosaic(rows, folder / "mosaic" / "mosaic.oas", pixel_nm=1.0, origin_nm=(0.0, 0.0), contours="pixel")

    @functools.cache
    def whole_tiles() -> TileStore:
        store, _ = tile_stores.small_store(source / "tiles")
        store.annotate(designs={name: {"family": name, "redistribution": True} for name in tile_stores.NAMES["design"]})
        tile_stores.add_labels(store)
        return store

    @functools.cache
    def tiles() -> TileStore:
        store = TileStore.create(folder / "tiles", rule=tile_stores.RULE, title="a test")
        store.reserve_tiles("metal1", 128, names=tile_stores.NAMES, shard_size=8)
        return store

    fresh = itertools.count(1)

    def shard(n: int) -> None:
        images = rng.integers(0, 2, (8, 128, 128), dtype=np.uint8)
        tiles().write_tiles("metal1", next(fresh) if n > 1 else 0, tile_stores.tile_arrays(images, n))

    def drawing(n: int) -> Path:
        path = source / f"drawing {n}.oas"
        source.mkdir(exist_ok=True)
        if not path.exists():
            layout.write_mask(mask(n), path, layer=(11, 0), contours="pixel")
        return path

    def optimised(n: int) -> None:
        out = folder / "optimised"
        work = source / "optimised" / str(n)
        how = {"process": process, "method": "identity", "beside": True, "markers": out / "mask.lyrdb"}
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="ignore"):  # shapes of 5 nm
            own_layout.optimize(drawing(n), out / "mask.oas", work, **how)

    def network(n: int) -> None:
        model = models.build("neural_ilt", width=0.03125 * n, pixel_nm=8)
        weights.save(model, folder / "network" / "w.safetensors", {})

    def drawn(n: int) -> page.Figure:
        return page.single([marks.line(np.arange(1000 * n), rng.random(1000 * n), "#000000")])

    def curve(n: int) -> None:
        figures.save(drawn(3 * n), "curve", folder / "figure", formats=("svg",))

    found = {
        "Run.save": lambda n: run("results").save(dataset(n), "numbers"),
        "Run.save_masks": lambda n: run("masks").save_masks(
            rng.integers(0, 2, (n, 512, 512)).astype(bool), samples=[f"s{i}" for i in range(n)], pixel_nm=1
        ),
        "parts.write_part": lambda n: write_part(folder / "part" / "a.npz", {"numbers": rng.random(20_000 * n)}),
        "files.write_json": lambda n: files.write_json(
            folder / "json" / "a.json", {"n": rng.random(4000 * n).tolist()}
        ),
        "layout.write_mask, GDS": lambda n: layout.write_mask(mask(n), folder / "gds" / "mask.gds"),
        "layout.write_mask, OASIS": lambda n: layout.write_mask(mask(n), folder / "oas" / "mask.oas", contours="pixel"),
        "layout.write_mask, beside a layout": lambda n: layout.write_mask(
            mask(n), folder / "beside" / "mask.oas", contours="pixel", layer=(111, 0), beside=drawing(n)
        ),
        "layout.Design.write": lambda n: layout.read_design(drawing(n)).write(folder / "design" / "layout.oas"),
        "layout.mosaic.write_mosaic": mosaic,
        "areas.own_layout.optimize": optimised,
        "data.TileStore": shard,
        "data.write_card": lambda n: card.write_card(whole_tiles(), folder / "card" / "README.md", deep=n > 1),
        "data.export_parquet": lambda n: parquet.export_parquet(whole_tiles(), folder / "parquet", layer="metal1"),
        "optics.write_kernels": lambda n: optics.write_kernels(kernels, folder / "kernels", order="openilt"),
        "models.weights.save": network,
        "figures.save": curve,
        "figures.save, PDF": lambda n: figures.save(drawn(9 * n), "curve", folder / "paper", formats=("pdf",)),
        "runs.tables.write_csv": lambda n: tables.write_csv(table(n), run("csv"), "table"),
        "the answers of the commands": lambda n: say({"numbers": rng.random(4000 * n)}, folder / "answer" / "a.json"),
        "study.start": lambda n: study.start(
            "Full disk " * n, notebook="00_faults", params={}, out_dir=folder / "start", threads=1
        ),
        "study.write_table": lambda n: study.write_table(table(n), folder / "table", "table", caption="A table"),
        "runs.reference.keep": kept_record,
    }
    for name in ("gds", "oas", "beside", "design", "mosaic", "network", "table", "optimised", "answer"):
        with contextlib.suppress(OSError):  # read-only
            (folder / name).mkdir(parents=True, exist_ok=True)
    return found


def full_disk(mount_point: Path, source: Path) -> Iterator[Outcome]:
    """Each writer writes once with room, then on a full disk; what was there stays, and it says that it failed."""
    with small_disk(mount_point) as disk:
        outcome = Outcome("a full disk under every writer" + ("" if disk else " (no right to mount: not tried)"))
        if disk is not None:
            for name, write in writers(disk, source).items():
                for room in _ROOMS[: 1 if name in _OF_SEVERAL_FILES else None]:
                    outcome.note(_on_full_disk(name, write, disk, room))
        yield outcome
        cache = Outcome("a full disk under the cache of fetched data")
        if disk is not None:
            cache.note(_full_cache(disk, source))
        yield cache
    with small_disk(mount_point) as disk:
        outcome = Outcome("a read-only disk under every writer" + ("" if disk else " (not tried)"))
        if disk is not None:
            with _read_only(disk) as view:
                for (name, write), (_, refused) in zip(
                    writers(disk, source).items(), writers(view, source).items(), strict=True
                ):
                    outcome.note(_on_read_only_disk(name, write, refused, disk))
        yield outcome


def _fill(path: Path, room: int = 0) -> None:
    """Write to the end of the disk, or so many bytes less."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * _PAGE)
    os.truncate(path, path.stat().st_size - room)


def _state(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): files.sha256_of(path)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in ("filling", ".lock", ".owner.json")
    }


def _on_full_disk(name: str, write: Callable[[int], object], disk: Path, share: float) -> str | None:
    write(1)
    old = _state(disk)
    write(8)
    written = [disk / path for path, content in _state(disk).items() if old.get(path) != content]
    room = _PAGE * int(share * sum(-(-path.stat().st_size // _PAGE) for path in written))
    write(1)
    before = _state(disk)
    filling = disk / "filling"
    _fill(filling, room)
    try:
        write(8)
    except Exception as error:
        trouble = None if _is_own(error) else f"{name}: a foreign error, {type(error).__name__}: {error}"
    else:
        trouble = f"{name}: reports success"
    after = _state(disk)
    filling.unlink()
    new = {path for path in after if path not in before and not path.startswith(_BEGUN)}
    if changed := sorted({*new, *(path for path in before if before[path] != after.get(path))}):
        return f"{name}: {', '.join(changed[:3])} changed or left"
    if trouble is None:
        write(2)  # with room again it goes on
    return trouble


def _is_own(error: BaseException) -> bool:
    """Whether an error says what happened: the system's own, or one of the library's."""
    chain = [error]
    while chain[-1].__cause__ or chain[-1].__context__:
        chain.append(chain[-1].__cause__ or chain[-1].__context__)
    return any(isinstance(one, OSError) for one in chain)


@contextlib.contextmanager
def _read_only(disk: Path) -> Iterator[Path]:
    """The same disk at another place, where nobody may write."""
    view = disk.with_name("read-only")
    view.mkdir(exist_ok=True)
    subprocess.run(["mount", "--bind", str(disk), str(view)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(view)], check=True)
        yield view
    finally:
        subprocess.run(["umount", "-l", str(view)], check=True)


def _on_read_only_disk(name: str, write: Callable[[int], object], refused: Callable, disk: Path) -> str | None:
    write(1)
    before = _state(disk)
    try:
        refused(1)
    except Exception as error:
        trouble = None if _is_own(error) else f"{name}: a foreign error, {type(error).__name__}: {error}"
    else:
        trouble = f"{name}: reports success"
    return trouble if _state(disk) == before else f"{name}: something changed"


def _full_cache(disk: Path, source: Path) -> str | None:
    """A download from this machine into a cache on the full disk."""
    (source / "served").mkdir(parents=True, exist_ok=True)
    served = source / "served" / "data.bin"
    served.write_bytes(np.random.default_rng(0).bytes(3_000_000))

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(served.parent)))
    server.handle_error = lambda *_: None  # a reader that hangs up is what is tried here
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name, url = "group/data.bin", f"http://127.0.0.1:{server.server_port}/data.bin"
    entries = {name: manifest.Entry(name=name, sha256=files.sha256_of(served), url=url)}
    known = manifest.Manifest(folder=source, entries=entries, mirror=None, cache=disk / "cache")
    filling = disk / "filling"
    _fill(filling)
    try:
        known.fetch(name)
        trouble = "reports success"
    except OSError:
        trouble = None
    filling.unlink()
    left = [path.name for path in (disk / "cache").rglob("*") if path.is_file()]
    if trouble is None and left:
        trouble = f"left {left} in the cache"
    if trouble is None and known.fetch(name).read_bytes() != served.read_bytes():
        trouble = "with room again it fetched something else"
    server.shutdown()
    server.server_close()
    return trouble
