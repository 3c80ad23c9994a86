"""What the inputs are made of: files of every kind, written by the library itself, and real ones where they are."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
import xarray as xr
import yaml
from klayout import db

from maskopt_lib import layout, models, optics, study
from maskopt_lib.data import manifest, parquet
from maskopt_lib.data.splits import SplitRule
from maskopt_lib.models import weights
from maskopt_lib.runs import reference
from maskopt_lib.runs.parts import write_dataset, write_part

sys.path[:0] = [str(Path(__file__).parents[1] / name) for name in ("helpers", "layout")]
import test_own_design as own_design  # noqa: E402 - from a folder of tests
import tile_stores  # noqa: E402

#: How the 2048 nm field is drawn for doors that take images: coarse, so that hundreds fit into minutes.
N, PIXEL_NM = 64, 32.0
#: Real layouts of the manifest, taken where they are on this machine.
REAL = ("iccad13/clips/M1_test1.glp", "lithobench/StdMetal/AND2_X4__0_0.glp", "nangate45/designs/gcd_dense_routed.def")


def make(folder: Path) -> None:
    """Write all of them below a folder."""
    layouts(folder / "layouts")
    _design(folder / "design")
    _results(folder)
    _tiles(folder)
    _networks_and_kernels(folder)
    _settings(folder / "yaml")


def layouts(folder: Path) -> None:
    """Small layouts: shapes of all kinds, cells, arrays, texts, several layers; GLP, GDS, OASIS, each also packed."""
    folder.mkdir()
    drawn = hierarchy()
    for name in ("flat.gds", "flat.oas"):
        flat = drawn.dup()
        flat.flatten(flat.top_cell().cell_index(), -1, True)
        flat.write(str(folder / name))
    for name in ("cells.gds", "cells.oas"):
        options = db.SaveLayoutOptions()
        options.set_format_from_filename(name)
        options.oasis_compression_level = 2
        drawn.write(str(folder / name), options)
    for name in ("cells.gds", "cells.oas"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((folder / name).read_bytes(), mtime=0))
    image = np.zeros((128, 128), np.uint8)
    image[20:60, 30:50] = image[80:100, 20:110] = 1
    layout.write_mask(image, folder / "mask.gds", pixel_nm=8)
    layout.write_mask(image, folder / "mask.oas", pixel_nm=8, contours="pixel")
    (folder / "own.glp").write_text(GLP)
    for name in REAL:
        if name.endswith(".glp") and (path := manifest.load_manifest().local(name)) is not None:
            shutil.copy(path, folder)


GLP = """BEGIN     /* The cell is written by hand */
EQUIV  1  1000  MICRON  +X,+Y
CNAME own
LEVEL M1
  CELL own PRIME
    RECT N M1  10 20 200 70
    RECT N M1  300 20 70 400
    PGON N M1  400 400 600 400 600 460 460 460 460 700 400 700
ENDMSG
"""


def hierarchy() -> db.Layout:
    """A layout of 1 nm units: rectangles, an L, a ring, a path, a text, and a cell placed once and as an array."""
    drawn = db.Layout()
    drawn.dbu = 0.001
    metal, via = drawn.layer(11, 0), drawn.layer(12, 5)
    cell, top = drawn.create_cell("CELL"), drawn.create_cell("TOP")
    cell.shapes(metal).insert(db.Box(0, 0, 60, 200))
    cell.shapes(via).insert(db.Box(10, 10, 50, 50))
    cell.shapes(metal).insert(
        db.Polygon([db.Point(x, y) for x, y in ((80, 0), (200, 0), (200, 50), (130, 50), (130, 200), (80, 200))])
    )
    top.insert(db.CellInstArray(cell.cell_index(), db.Trans(1, False, 900, 100)))
    top.insert(db.CellInstArray(cell.cell_index(), db.Trans(0, 600), db.Vector(300, 0), db.Vector(0, 300), 3, 2))
    top.shapes(metal).insert(db.Path([db.Point(0, 0), db.Point(400, 0), db.Point(400, 300)], 40))
    ring = db.Polygon(db.Box(500, 300, 800, 500))
    ring.insert_hole(db.Box(600, 350, 700, 450))
    top.shapes(metal).insert(ring)
    top.shapes(metal).insert(db.Text("a name", 5, 5))
    return drawn


def _design(folder: Path) -> None:
    own_design.write(folder)
    if (path := manifest.load_manifest().local(REAL[-1])) is not None:
        real = folder.with_name("real")
        real.mkdir()
        shutil.copy(path, real / "gcd.def")


def _results(folder: Path) -> None:
    run = study.start("Fuzz", notebook="00_fuzz", params={"n_steps": 3}, out_dir=folder / "run" / "quick", threads=1)
    run.save(results(), "scores")
    run.save_masks(np.eye(40, 24, dtype=bool)[None], samples=["a"], pixel_nm=8.0)
    table = pd.DataFrame({("runtime_s", "ours"): [1.0, 2.0], ("n", "ours"): [3, 4]}, index=["a", "b"])
    study.write_table(table, run.out_dir / "tables", "table", caption="A table")
    reference.keep(run.out_dir, folder / "records")
    write_part(folder / "part.npz", {"n": np.arange(50.0)}, {"title": "a part"}, bits={"image": np.eye(64, dtype=int)})
    write_dataset(folder / "dataset.npz", results())
    results().drop_vars("said").to_zarr(folder / "unsealed.zarr", mode="w", zarr_format=3, consolidated=False)


def results() -> xr.Dataset:
    """Scores with numbers, texts, truths and times of several kinds."""
    rng = np.random.default_rng(0)
    return xr.Dataset(
        {
            "runtime_s": (("sample", "seed"), rng.random((3, 40)).cumsum(1), {"units": "s", "long_name": "time"}),
            "said": ("sample", ["one", "two", ""], {"units": "1"}),
            "converged": ("sample", [True, False, True], {"units": "1"}),
            "n": ("seed", np.arange(40), {"units": "1"}),
        },
        {"sample": ["a", "b", "c"], "seed": np.arange(40)},
        {"kernels": "embedded", "limits": [15.0, 3.0]},
    )


def _tiles(folder: Path) -> None:
    store, _ = tile_stores.small_store(folder / "tiles", n=6, shard_size=4)
    store.annotate(designs={name: {"family": name, "redistribution": True} for name in tile_stores.NAMES["design"]})
    tile_stores.add_labels(store)
    rule = SplitRule(validation_designs=("gcd_dense",), held_out_cells=())
    parquet.export_parquet(store, folder / "parquet", layer="metal1", rule=rule)


def _networks_and_kernels(folder: Path) -> None:
    torch.manual_seed(0)
    weights.save(models.build("neural_ilt", width=0.125, pixel_nm=8), folder / "network.safetensors", {"rule": "none"})
    plain = {"a": torch.arange(6.0).reshape(2, 3)}
    (folder / "plain.safetensors").write_bytes(safetensors.torch.save(plain))
    kernels = optics.load("embedded")
    optics.write_kernels(kernels, folder / "kernels", order="openilt", header_bytes=24)
    np.save(folder / "kernels" / "optKernel_bc.npy", kernels.spectra[[0, 1, 0, 1]])
    np.save(folder / "kernels" / "optKernel_scale.npy", kernels.weights[[0, 1, 0, 1]])


def _settings(folder: Path) -> None:
    folder.mkdir()
    for kind in ("mask_rules", "layers", "processes", "design_rules"):
        for path in sorted((manifest.FOLDER / kind).glob("*.yaml")):
            shutil.copy(path, folder / f"{kind}-{path.name}")
    (folder / "parameters.yaml").write_text(yaml.safe_dump({"n_steps": 3, "clips": ["a"], "lr": 1e-3, "on": True}))
    (folder / "map.lyp").write_text(LYP)


LYP = """<?xml version="1.0" encoding="utf-8"?>
<layer-properties>
 <properties><name>metal1</name><source>11/0@1</source></properties>
 <properties><name>via1 - 12/5</name><source>12/5@1</source></properties>
 <properties><name>group</name><source>*/*@*</source>
  <group-members><name>metal2</name><source>13/0@1</source></group-members>
 </properties>
</layer-properties>
"""
