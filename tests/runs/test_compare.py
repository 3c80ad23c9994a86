"""Two sets of results beside each other: what moved, what may move, and the page that says so."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from click.testing import CliRunner

from maskopt_lib.errors import MissingDataError, SchemaError
from maskopt_lib.runs import __main__ as command
from maskopt_lib.runs import compare, reference

PIXEL = (
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x08\x06\x00\x00\x00\x1f\x15\xc4\x89\x00\x00\x00"
    b"\rIDATx\x9cc\xf8\xcf\xc0\xf0\x1f\x00\x05\x00\x01\xff\x89\x99=\x1d\x00\x00\x00\x00IEND\xaeB`\x82"
)


def scores(l2=(30000.0, 10.0), epe=(3.0, np.nan), seconds=(1.0, 2.0), names=("a", "b")) -> xr.Dataset:
    columns = {"l2_nm2": (l2, "nm2"), "epe15": (epe, "1"), "runtime_s": (seconds, "s")}
    values = {name: ("sample", list(column), {"units": unit}) for name, (column, unit) in columns.items()}
    return xr.Dataset(values, coords={"sample": list(names)}, attrs={"record": json.dumps({"notebook": "11_x"})})


@pytest.fixture
def write(tmp_path):
    """A set of one record and one figure."""

    def make(name: str, ds: xr.Dataset, picture: bytes = PIXEL):
        folder = tmp_path / name / "11_x"
        folder.mkdir(parents=True)
        ds.to_netcdf(folder / "scores.nc", engine="scipy")
        (folder / "print.png").write_bytes(picture)
        return folder.parent

    return make


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (scores(), []),
        (scores(l2=(30200.0, 17.0)), []),  # within a share, and within some pixels
        (scores(l2=(30400.0, 10.0)), [("l2_nm2", "sample=a")]),
        (scores(l2=(30000.0, np.nan)), [("l2_nm2", "sample=b")]),
        (scores(epe=(4.0, np.nan)), []),
        (scores(epe=(5.0, 0.0)), [("epe15", "sample=a"), ("epe15", "sample=b")]),
        (scores().isel(sample=[1, 0]), [("sample", ""), ("sample", "")][:0]),  # another order is no other number
        (scores(names=("a", "c")), [("sample", "b"), ("sample", "c")]),
        (scores().drop_vars("epe15"), [("epe15", "")]),
    ],
)
def test_a_number_moves_when_it_leaves_its_tolerance(now, expected):
    rows = compare.moved(scores(), now)
    assert list(zip(rows["variable"], rows["place"], strict=True)) == expected


def test_times_are_listed_and_decide_nothing(write):
    found = compare.compare(write("then", scores()), write("now", scores(seconds=(9.0, 2.0))))
    assert len(found.moved) == 1 and found.n_moved == 0 and found.n_stores == 1


def test_the_page_shows_numbers_and_figures_side_by_side(write, tmp_path):
    then, now = write("then", scores()), write("now", scores(l2=(1.0, 10.0)), PIXEL + b"other")
    found = compare.compare(then, now)
    page = compare.write_page(found, "a <commit>", tmp_path / "page")
    text = page.read_text()
    assert "a &lt;commit&gt;" in text and "sample=a" in text and "1 numbers" in text
    for when in ("before", "now"):
        assert f'src="{when}/11_x/print.png"' in text and (tmp_path / "page" / when / "11_x" / "print.png").exists()


def test_exit_status_says_whether_something_moved(write, tmp_path, monkeypatch):
    then, now = write("then", scores()), write("now", scores(l2=(1.0, 10.0)))
    for own, status in ((write("same", scores()), 0), (now, 1)):
        monkeypatch.setattr(compare, "FOLDER", own)
        done = CliRunner().invoke(command.main, ["compare", str(then), "--results", str(tmp_path / "out")])
        assert done.exit_code == status, done.output
        assert f"{status} numbers moved" in done.output and (tmp_path / "out" / "compare" / "index.html").exists()


def test_the_last_commit_is_a_base_and_a_word_is_none():
    with compare.sets("HEAD") as (base, now):
        assert now == reference.FOLDER and (base / "18_rule_aware_ilt" / "scores.nc").exists()
    with pytest.raises(SchemaError, match="no folder and no commit"), compare.sets("no-such-commit"):
        pass


def test_folders_without_results_in_common_are_refused(write, tmp_path):
    with pytest.raises(MissingDataError, match="no results or records at"):
        compare.compare(write("then", scores()), tmp_path / "nowhere")
