"""Writers of layouts on a full disk: what was there stays, the error names the file, and nothing is left beside."""

from __future__ import annotations

from pathlib import Path

import gdstk
import numpy as np
import pytest
from full_disk import full_after

from maskopt_lib import layout
from maskopt_lib.layout.mosaic import Tile, write_mosaic


def mask(n_rows):
    """Rows of squares at random, so that a file cannot say them as arrays."""
    image = np.zeros((256, 256), np.uint8)
    image[: 2 * n_rows : 2, ::2] = np.random.default_rng(0).integers(0, 2, (n_rows, 128))
    return image


def design(folder, n_bars):
    library = gdstk.Library(unit=1e-6, precision=1e-10)
    top = library.new_cell("TOP")
    top.add(*(gdstk.rectangle((0, i), (0.1 + i * 37 % 250 / 1e3, i + 0.5), layer=11) for i in range(n_bars)))
    library.write_oas(folder / "source.oas")
    return layout.read_design(folder / "source.oas")


WRITERS = {
    "mask": lambda path, n: layout.write_mask(mask(n), path, contours="pixel"),
    "mosaic": lambda path, n: write_mosaic([[Tile(image=mask(n), x_px=0, y_px=0)]], path, contours="pixel"),
}


@pytest.mark.parametrize("suffix", [".gds", ".oas"])
@pytest.mark.parametrize("writer", [*WRITERS, "design"])
def test_a_full_disk_leaves_what_was_there(tmp_path, writer, suffix):
    designs = {n: design(tmp_path, n) for n in (3, 128)}
    write = WRITERS.get(writer, lambda path, n: designs[n].write(path))
    path = tmp_path / "out" / f"mask{suffix}"
    path.parent.mkdir()
    write(path, 3)
    before = path.read_bytes()
    for limit in (0, 300, 1000):
        with full_after(limit), pytest.raises(OSError, match=str(path)):
            write(path, 128)
        assert path.read_bytes() == before and [file.name for file in path.parent.iterdir()] == [path.name]
    write(path, 128)
    assert path.stat().st_size > 1000


def test_a_layout_that_reads_back_otherwise_is_not_put_in_place(tmp_path, monkeypatch):
    whole = design(tmp_path, 5)
    path = whole.write(tmp_path / "whole.oas")
    before = path.read_bytes()
    library = gdstk.read_oas(tmp_path / "source.oas")
    library.cells[0].remove(library.cells[0].polygons[0])
    library.write_oas(tmp_path / "less.oas")
    less = (tmp_path / "less.oas").read_bytes()

    def loses_a_shape(self, file, options):
        with Path(file).open("wb") as out:
            out.write(less)

    monkeypatch.setattr("klayout.db.Layout.write", loses_a_shape)
    with pytest.raises(OSError, match=r"what is on the disk is not what was written; is the disk full\?.*whole.oas"):
        whole.write(path)
    assert path.read_bytes() == before
