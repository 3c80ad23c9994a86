"""GLP, GDS, OASIS, packed ones, DEF with LEF: damaged as bytes, as records and as text, then read by every reader."""

from __future__ import annotations

import gzip
import itertools
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damage
import numpy as np
from children import Case, Family, NotMadeError
from klayout import db

from maskopt_lib import layout
from maskopt_lib.layout import Clip
from maskopt_lib.layout.own_design import read_folder
from maskopt_lib.layout.rows import read_rows

_METAL = (11, 0)
# Records of GDS that the mutation knows: type -> size of one of its numbers.
_COORDINATES, _SHORTS, _REALS = (0x10,), (0x0D, 0x0E, 0x13, 0x16, 0x1A, 0x21, 0x02, 0x00), (0x03, 0x1B, 0x1C)


def _readers(path: Path, rng: random.Random) -> tuple[str, Callable[[], Any], Callable[[Any], str | None]]:
    """One of the doors that read a layout, and a check of what it gives."""
    layer = rng.choice((_METAL, "11/0", "metal1", None))

    def clip() -> Clip:
        return layout.read_clip(path, layer, window_nm=2.0**20)

    def pixels() -> np.ndarray:
        return layout.read_design(path, platform="nangate45").rasterize("11/0", (0, 0, 2048, 2048), 8.0)

    def design() -> float:
        found = layout.read_design(path, platform="nangate45")
        return found.layout.top_cell().bbox().width()

    def finite(found: np.ndarray | float) -> str | None:
        return None if np.isfinite(found).all() else "not finite"

    if path.suffix == ".glp":
        return "read_clip", lambda: layout.read_clip(path, window_nm=2.0**20), _glp_area(path)
    kinds = (
        ("read_clip", clip, _same_area(path, layer)),
        ("rasterize", pixels, finite),
        ("read_design", design, finite),
    )
    return kinds[rng.choice((0, 0, 0, 1, 2))]


def _area_of(clip: Clip) -> float:
    """Area of the union of the clip's polygons, by KLayout on a fine grid."""
    region = db.Region()
    for polygon in clip.polygons:
        region.insert(db.DPolygon([db.DPoint(float(x), float(y)) for x, y in polygon]).to_itype(0.001))
    return region.merged().area() * 1e-6


def _same_area(path: Path, layer: Any) -> Callable[[Clip], str | None]:
    """The area that KLayout finds in the file where it reads it as a flat heap of shapes."""

    def check(clip: Clip) -> str | None:
        read = db.Layout()
        read.read(str(path))
        infos = [
            read.get_info(i)
            for i in read.layer_indexes()
            if not db.Region(read.top_cell().begin_shapes_rec(i)).is_empty()
        ]
        info = infos[0] if layer is None else db.LayerInfo(*_METAL)
        region = db.Region(read.top_cell().begin_shapes_rec(read.find_layer(info.layer, info.datatype)))
        expected, found = region.merged().area() * (read.dbu * 1e3) ** 2, _area_of(clip)
        if not np.isfinite(found):
            return "an area that is not finite"
        perimeter = region.merged().perimeter() * read.dbu * 1e3
        # Corners that are rounded to other grids move an edge by less than a unit.
        return (
            None
            if abs(found - expected) <= 1e-9 * expected + 0.002 * perimeter + 1e-3
            else f"{found} nm2, not {expected}"
        )

    return check


def _glp_area(path: Path) -> Callable[[Clip], str | None]:
    """Union of the rectangles and polygons of a GLP text, read by ten lines of its own."""

    def check(clip: Clip) -> str | None:
        region, unit = db.Region(), 1.0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            words = line.split()
            if words[:1] == ["EQUIV"]:
                unit = 1000.0 * float(words[1]) / float(words[2])
            if words[:1] in (["RECT"], ["PGON"]):
                n = [float(word) * unit for word in words[3:]]
                points = list(zip(n[::2], n[1::2], strict=True))
                if words[0] == "RECT":
                    (x, y), (w, h) = points
                    points = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
                region.insert(db.DPolygon([db.DPoint(*point) for point in points]).to_itype(0.001))
        expected, found = region.merged().area() * 1e-6, _area_of(clip)
        errata = 100.0 if clip.errata else 0.0
        return None if abs(found - expected) <= 1e-6 * expected + errata else f"{found} nm2, not {expected}"

    return check


def _case(path: Path, said: str, rng: random.Random) -> Case:
    reader, act, check = _readers(path, rng)
    return Case(f"{reader}: {said}", act, check)


def glp(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A GLP file with damaged bytes, or with words that are others."""
    path = Path(shutil.copy(damage.a_file(sources / "layouts", "*.glp", rng), folder))
    if rng.random() < 0.4:
        said, data = damage.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
    else:
        words = (
            "nan",
            "1e999",
            "-1",
            "0",
            "1.5",
            "99999999999999999999",
            "RECT",
            "BEGIN",
            "LEVEL",
            "x" * 300,
            "",
            "M1",
            "M2",
            "1e-320",
            "\N{ARABIC-INDIC DIGIT FIVE}",
            "EQUIV",
            "0x10",
            "1_0",
        )
        said, text = damage.damaged_text(path.read_text(), rng, words)
        path.write_text(text)
    return _case(path, said, rng)


def gds_bytes(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A GDS file with damaged bytes."""
    return _bytes(damage.a_file(sources / "layouts", "*.gds", rng), rng, sources, folder)


def oasis(rng: random.Random, sources: Path, folder: Path) -> Case:
    """An OASIS file with damaged bytes."""
    return _bytes(damage.a_file(sources / "layouts", "*.oas", rng), rng, sources, folder)


def packed(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A packed layout: damaged as it is, or packed after the damage, or one that unpacks to very much."""
    source = damage.a_file(sources / "layouts", "*.gz", rng)
    if rng.random() < 0.5:
        return _bytes(source, rng, sources, folder)
    path = folder / source.name
    said, data = damage.damaged(gzip.decompress(source.read_bytes()), rng)
    if rng.random() < 0.1:
        said, data = "a bomb", gzip.decompress(source.read_bytes()) + bytes(300_000_000)
    path.write_bytes(gzip.compress(data, 1))
    return Case(f"read_clip: {said}, then packed", lambda: layout.read_clip(path, _METAL, window_nm=2.0**20))


def _bytes(source: Path, rng: random.Random, sources: Path, folder: Path) -> Case:
    path = folder / source.name
    other = damage.a_file(sources / "layouts", f"*{source.suffix}", rng)
    said, data = damage.damaged(source.read_bytes(), rng, other.read_bytes())
    path.write_bytes(data)
    return _case(path, f"{source.name}: {said}", rng)


def gds_records(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A GDS file whose records are damaged one by one: numbers of them, order, repetition, names."""
    source = damage.a_file(sources / "layouts", "*.gds", rng)
    records, said = _split(source.read_bytes()), []
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(records))
        kind, form, body = records[at]
        way = rng.choice(("number", "number", "number", "lost", "twice", "moved", "cut", "kind"))
        if way == "number" and (wide := 4 if kind in _COORDINATES else 2 if kind in _SHORTS else 8) <= len(body):
            place = rng.randrange(len(body) // wide) * wide
            value = rng.choice((0, 1, -1, 7, 2**15 - 1, -(2**15), 2**31 - 1, -(2**31), rng.randrange(-2000, 2000)))
            new = struct.pack(">q", value)[-wide:] if wide < 8 else rng.randbytes(8)
            body = body[:place] + new + body[place + wide :]
            records[at] = (kind, form, body)
        elif way == "lost":
            del records[at]
        elif way == "twice":
            records[at:at] = [records[at]] * rng.choice((1, 1, 2000))
        elif way == "moved":
            records.insert(rng.randrange(len(records)), records.pop(at))
        elif way == "cut":
            records[at] = (kind, form, body[: rng.randrange(0, len(body) + 1, 2)])
        else:
            records[at] = (rng.randrange(0x3C), rng.choice((form, rng.randrange(7))), body)
        said.append(f"{way} of record 0x{kind:02x}")
    path = folder / source.name
    path.write_bytes(b"".join(struct.pack(">HBB", 4 + len(body), kind, form) + body for kind, form, body in records))
    return _case(path, f"{source.name}: {', '.join(said)}", rng)


def _split(data: bytes) -> list[tuple[int, int, bytes]]:
    records, at = [], 0
    while at + 4 <= len(data):
        size, kind, form = struct.unpack(">HBB", data[at : at + 4])
        if size < 4:
            break
        records.append((kind, form, data[at + 4 : at + size]))
        at += size
    return records


def hierarchies(rng: random.Random, sources: Path, folder: Path) -> Case:
    """Layouts that are whole and hostile: circles of cells, arrays of arrays, far corners, odd layers, empty cells."""
    drawn = db.Layout()
    drawn.dbu = rng.choice((0.001, 0.001, 0.0003, 0.005, 1e-6, 1000.0))
    depth, layer = (
        rng.choice((2, 5, 30)),
        drawn.layer(*rng.choice((_METAL, _METAL, (0, 0), (300, 70_000), (65_535, 1)))),
    )
    cells = [drawn.create_cell(f"C{i}") for i in range(depth)]
    for cell, below in itertools.pairwise(cells):
        n = rng.choice((1, 2, 10, 1000, 30_000))
        step = rng.choice((0, 1, 1000, -300, 2**20))
        place = db.DCplxTrans(rng.choice((1.0, 1.0, 0.1, 3.0, 100.0)), rng.choice((0, 90, 45, 30)), False, 0, 0)
        cell.insert(
            db.DCellInstArray(
                below.cell_index(), place, db.DVector(step, 0), db.DVector(0, step), n, rng.choice((1, n))
            )
        )
    far = rng.choice((100, 100, 10**6, 2**30, 2**31 - 1))
    cells[-1].shapes(layer).insert(db.Polygon([db.Point(0, 0), db.Point(far, 0), db.Point(far // 2, 50)]))
    if rng.random() < 0.3:
        cells[-1].shapes(layer).insert(
            db.Path([db.Point(0, 0), db.Point(rng.choice((0, 300)), 0)], rng.choice((0, 1, 40)))
        )
    path = folder / rng.choice(("deep.gds", "deep.oas", "deep.oas.gz"))
    options = db.SaveLayoutOptions()
    options.set_format_from_filename(str(path))
    options.gds2_max_vertex_count = 8000
    try:
        drawn.write(str(path), options)
    except RuntimeError as error:  # KLayout does not write all of them
        raise NotMadeError(f"KLayout does not write it: {error}") from error
    if path.suffix == ".gds" and rng.random() < 0.3:  # the lowest cell refers to the highest one
        path.write_bytes(path.read_bytes().replace(b"C1\0\0", b"C0\0\0"))
    reader = rng.choice((layout.read_clip, layout.read_design))
    where: dict[str, Any] = (
        {"region_nm": (0, 0, 400, 400)} if reader is not layout.read_design and rng.random() < 0.5 else {}
    )
    return Case(f"{reader.__name__}: {depth} levels of arrays", lambda: reader(path, **where))


def designs(rng: random.Random, sources: Path, folder: Path) -> Case:
    """A placed design: a damaged DEF, LEF, GDS of cells or design.yaml."""
    kept = Path(shutil.copytree(sources / "design", folder / "design"))
    name = rng.choice(("own.def", "own.def", "own.def", "tech.lef", "cells.lef", "cells.gds", "design.yaml"))
    path = kept / name
    if name == "cells.gds" or rng.random() < 0.4:
        said, data = damage.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
    else:
        words = (
            "nan",
            "-1",
            "0",
            "1e300",
            "99999999999999",
            ";",
            "(",
            ")",
            "END",
            "*",
            "x" * 300,
            "",
            "DESIGN",
            "N",
            "FS",
            "R45",
            "[]",
            "{}",
            "!!python/object/apply:os.system ['touch executed']",
            "../../etc/passwd",
        )
        said, text = damage.damaged_text(path.read_text(), rng, words)
        path.write_text(text)

    def rows_and_design() -> Any:
        if name.endswith((".def", ".lef")) and rng.random() < 0.4:
            return read_rows(kept / "own.def", [kept / "tech.lef"])
        found = read_folder(kept)
        return found.layout.top_cell().bbox().width()

    return Case(f"{name}: {said}", rows_and_design)


FAMILIES = [
    Family("GLP", 200, glp),
    Family("GDS, bytes", 180, gds_bytes),
    Family("GDS, records", 240, gds_records),
    Family("OASIS", 220, oasis),
    Family("gz", 80, packed),
    Family("hierarchies", 100, hierarchies),
    Family("DEF and LEF", 160, designs),
]
