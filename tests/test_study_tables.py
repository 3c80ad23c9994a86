"""Tables: published beside ours, the deviation by its definition, and the same numbers in every file."""

from __future__ import annotations

import math

import pandas as pd
import pytest
import xarray as xr

from maskopt_lib import data
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.study import tables

CASES = [f"M1_test{i}" for i in range(1, 11)]


@pytest.fixture
def published():
    return data.published("curvyilt", table=4, method="curvyILT")


@pytest.fixture
def ours(published):
    """Scores 1 % above the published ones."""
    rows = published[published.case != "mean"]
    return xr.Dataset(
        {s: (schema.SAMPLE, (rows[rows.column == s].value * 1.01).to_numpy()) for s in (schema.L2, schema.EPE15)},
        coords={schema.SAMPLE: CASES},
    )


def test_deviation_is_that_of_each_case_and_of_the_mean(published, ours):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2])
    assert list(table.index) == [*CASES, "mean"]
    assert table[schema.L2, "published"]["M1_test3"] == 61650
    assert table[schema.L2, tables.DEVIATION].to_numpy() == pytest.approx(1.0, abs=1e-9)


def test_zero_from_zero_is_no_deviation_and_more_has_none():
    # (published, ours) -> percent: no violation where none is published is right; one where none is has no percentage
    published = pd.DataFrame({"method": "m", "case": ["a", "b"], "column": schema.EPE15, "value": [0.0, 0.0]})
    ours = xr.Dataset({schema.EPE15: (schema.SAMPLE, [0.0, 1.0])}, coords={schema.SAMPLE: ["a", "b"]})
    found = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.EPE15])
    deviation = found[schema.EPE15, tables.DEVIATION]
    assert deviation["a"] == 0 and math.isnan(deviation["b"])


def test_several_origins_keep_their_own_deviation(published, ours):
    table = tables.side_by_side({"published": published, "reproduced": ours, "re-scored": ours * 2}, scores=[schema.L2])
    assert list(table[schema.L2].columns) == [
        "published",
        "reproduced",
        f"reproduced {tables.DEVIATION}",
        "re-scored",
        f"re-scored {tables.DEVIATION}",
    ]
    assert table[schema.L2, f"re-scored {tables.DEVIATION}"]["mean"] == pytest.approx(102.0)


def test_a_missing_case_leaves_no_mean(published, ours):
    table = tables.side_by_side({"published": published, "ours": ours.isel(sample=slice(9))}, scores=[schema.L2])
    assert table[schema.L2, "ours"].isna().sum() == 2  # the tenth case and the mean


def test_a_score_that_one_origin_lacks_is_left_out(published, ours):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2, schema.PVB])
    assert (schema.PVB, "published") in table and (schema.PVB, "ours") not in table


def test_several_methods_are_refused(ours):
    with pytest.raises(SchemaError, match="several methods"):
        tables.side_by_side({"published": data.published("curvyilt", table=4), "ours": ours})


def test_several_dimensions_are_refused(published, ours):
    with pytest.raises(SchemaError, match="select first"):
        tables.side_by_side({"published": published, "ours": ours.expand_dims(kernels=["a", "b"])}, scores=[schema.L2])


def test_unknown_reference_is_refused(published, ours):
    with pytest.raises(UnknownNameError, match="published, ours"):
        tables.side_by_side({"published": published, "ours": ours}, reference="theirs")


def test_files_hold_the_same_numbers(published, ours, tmp_path):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2, schema.EPE15])
    paths = tables.write_table(table, tmp_path / "tables", "table_4", caption="Table 4, 100 % of it")
    html, tex = (paths[ending].read_text(encoding="utf-8") for ending in ("html", "tex"))
    back = pd.read_csv(paths["csv"], index_col="case")
    assert back["l2_nm2 published"].to_numpy() == pytest.approx(table[schema.L2, "published"].to_numpy())
    assert "61,650" in html and "61,650" in tex and "+1.0 %" in html and r"+1.0 \%" in tex
    assert "L2 (nominal print against target) [nm2]" in html
    assert r"100 \% of it" in tex


def test_the_same_table_gives_the_same_file(published, ours, tmp_path):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2])
    first, second = (tables.write_table(table, tmp_path / f, "t", caption="c") for f in "ab")
    assert all(first[ending].read_bytes() == second[ending].read_bytes() for ending in first)
