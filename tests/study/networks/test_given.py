"""Masks made elsewhere: every file format gives the scores of the same masks made here, and what is amiss is told."""

from __future__ import annotations

import subprocess
import sys
import threading

import cv2
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from model_stores import in_dark, model_store

from maskopt_lib import layout, optics
from maskopt_lib.data import schema
from maskopt_lib.errors import ImageError, MaskOptError, MissingDataError
from maskopt_lib.study.networks import benchmark as bm
from maskopt_lib.study.networks import given, score
from maskopt_lib.study.networks.entries import IDENTITY, BenchEntry

IDLE = {"method": "identity", "preset": "identity"}


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    store = model_store(folder / "tiles")
    return bm.Bench(store=store.path, run_dir=folder / "run", kernels=optics.load("embedded"))


@pytest.fixture
def tiles(bench):
    where = {"split": "validation", "context_nm": 16, "kinds": ("ilt",)}
    return in_dark(bench, bench.choose("metal1", in_place=False, n=2, **where))


def test_masks_in_every_format_score_as_the_same_masks_made_here(bench, tiles, tmp_path):
    read = bench.read(tiles)
    masks = read.drawn
    np.savez(tmp_path / "tiles.npz", samples=read.sample[::-1], masks=masks[::-1])
    np.savez(tmp_path / "fields.npz", samples=read.sample, masks=tiles.layouts)
    for ending in ("png", "oas"):
        (tmp_path / ending).mkdir()
    for sample, mask in zip(read.sample, masks, strict=True):
        cv2.imwrite(str(tmp_path / "png" / f"{sample}.png"), 255 * mask)
        layout.write_mask(mask, tmp_path / "oas" / f"{sample}.oas", pixel_nm=1)
    files = {name: tmp_path / name for name in ("tiles.npz", "fields.npz", "png", "oas")}
    assert all(given.samples_of(path).tolist() == sorted(read.sample.tolist()) for path in files.values())
    for path in (files["tiles.npz"], files["png"]):
        np.testing.assert_array_equal(given.read_given(path, read.sample), masks)
    # Outlines that a mask was written with read back as a few other pixels.
    assert (given.read_given(files.pop("oas"), read.sample) != masks).sum() < 20
    compared = bench.compare({}, tiles, "ilt", surroundings=IDLE, given=files)
    l2 = compared.scores[schema.L2].isel(seed=0)
    for name in files:
        np.testing.assert_array_equal(l2.sel(method=name), l2.sel(method=IDENTITY))
    assert compared.solvers == compared.networks == []


def test_what_is_amiss_is_told(bench, tiles, tmp_path):
    with pytest.raises(MissingDataError, match="no masks at"):
        given.samples_of(tmp_path)
    np.savez(tmp_path / "a.npz", masks=np.zeros((1, 8, 8)))
    with pytest.raises(MissingDataError, match="it needs samples"):
        given.samples_of(tmp_path / "a.npz")
    np.savez(tmp_path / "b.npz", samples=[10_000], masks=np.zeros((1, 1024, 1024), np.uint8))
    with pytest.raises(MissingDataError, match=r"no mask of the tiles"):
        given.read_given(tmp_path / "b.npz", np.array(tiles.samples))
    where = {"split": "validation", "context_nm": 16, "kind": "ilt"}
    with pytest.raises(MissingDataError, match=r"tiles \[10000\] are not among the 2 labelled ones of metal1"):
        score.score_given(bench, tmp_path / "b.npz", "b", "metal1", **where)
    np.savez(tmp_path / "c.npz", samples=tiles.samples, masks=np.full((2, 1024, 1024), 3, np.uint8))
    with pytest.raises(ImageError):
        bench.scores([BenchEntry(name="c", given=tmp_path / "c.npz", recipe=bm.Recipe(**IDLE))], tiles, "ilt")


@pytest.mark.parametrize("name", ["a.npz", "folder/7.png"])
def test_a_file_that_is_none_of_its_kind_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_bytes(b"nothing of the kind")
    path = tmp_path / name.split("/")[0]
    with pytest.raises(MaskOptError, match=name.split("/")[-1]):
        given.read_given(path, np.array([7]))


def test_the_command_says_in_one_line_what_is_lacking(tmp_path):
    np.savez(tmp_path / "a.npz", samples=[0], masks=np.zeros((1, 8, 8)))
    result = CliRunner().invoke(score.main, [str(tmp_path / "a.npz"), "--build", str(tmp_path / "none")])
    assert result.exit_code == 1 and "make mini-dataset" in result.output and "Traceback" not in result.output


def test_who_scores_into_a_table_that_another_writes_waits_and_says_so(tmp_path, monkeypatch):
    out = tmp_path / "out"
    (tmp_path / "record.json").touch()
    np.savez(tmp_path / "a.npz", samples=[0], masks=np.zeros((1, 8, 8)))
    hold = f"from maskopt_lib.runs.locks import FolderLock; l = FolderLock({str(out)!r}, 'scoring b'); input(l.folder)"
    monkeypatch.setattr(score, "_add_row", lambda *_: (pd.DataFrame({"L2": [1]}, ["a"]), out / "scores.csv"))
    with subprocess.Popen([sys.executable, "-c", hold], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout.read(1) == "/"
        threading.Timer(1, other.stdin.close).start()
        said = CliRunner().invoke(score.main, [str(tmp_path / "a.npz"), "--build", str(tmp_path), "--out", str(out)])
    assert said.exit_code == 0 and f"waiting for process {other.pid}" in said.output and "scoring b" in said.output
