"""Tables: published beside ours, the deviation by its definition, and the same numbers in every file."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr

from maskopt_lib import data, study
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.runs import tables

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
    assert "L2 (nm²)" in html
    assert r"100 \% of it" in tex


def test_the_same_table_gives_the_same_file(published, ours, tmp_path):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2])
    first, second = (tables.write_table(table, tmp_path / f, "t", caption="c") for f in "ab")
    assert all(first[ending].read_bytes() == second[ending].read_bytes() for ending in first)


def test_methods_are_rows_and_published_stands_beside_ours(published, ours):
    table = tables.published_beside_ours(
        {"curvy": published, "a2": {schema.L2: 45824.0}},
        {"curvy": ours, "ours only": {schema.L2: 7.0, schema.EPE15: 0.0}},
        scores=[schema.L2, schema.EPE15],
        notes={"curvy": "1 % by construction"},
    )
    assert list(table.index) == ["curvy", "ours only", "a2"]
    assert list(table.columns) == [
        *((score, column) for score in (schema.L2, schema.EPE15) for column in ("published", "ours", tables.DEVIATION)),
        tables.NOTE,
    ]
    mean = float(published[(published.case == "mean") & (published.column == schema.L2)].value.iloc[0])
    assert table[schema.L2, "published"]["curvy"] == mean
    assert table[schema.L2, "ours"]["curvy"] == pytest.approx(1.01 * mean)
    assert table[schema.L2, tables.DEVIATION]["curvy"] == pytest.approx(1.0)
    assert math.isnan(table[schema.L2, tables.DEVIATION]["ours only"])
    assert math.isnan(table[schema.L2, "ours"]["a2"]) and table[schema.L2, "published"]["a2"] == 45824.0
    assert table[tables.NOTE].to_list() == ["1 % by construction", "", ""]


def test_averages_over_other_clips_are_found_by_their_name():
    rows = data.published("curvyilt", table=5, method="curvyILT")
    printed = rows[(rows.case == "StdMetal") & (rows.column == schema.L2)].value.item()
    table = tables.published_beside_ours({"m": rows}, {"m": {schema.L2: 1.05 * printed}}, case="StdMetal")
    assert table[schema.L2, tables.DEVIATION]["m"] == pytest.approx(5.0)


def test_a_mean_without_one_of_the_cases_is_not_a_number(published, ours):
    short = ours.where(ours["sample"] != "M1_test3")
    table = tables.published_beside_ours({"m": published}, {"m": short}, scores=[schema.L2])
    assert math.isnan(table[schema.L2, "ours"]["m"]) and math.isnan(table[schema.L2, tables.DEVIATION]["m"])


def test_what_does_not_fit_one_row_is_refused(published, ours):
    with pytest.raises(SchemaError, match="several methods"):
        tables.published_beside_ours({"m": data.published("curvyilt", table=4)}, {"m": ours})
    with pytest.raises(SchemaError, match="select first"):
        tables.published_beside_ours({}, {"m": ours.expand_dims(kernels=["a"])}, scores=[schema.L2])
    with pytest.raises(SchemaError, match="2 published numbers"):
        twice = pd.concat([published, published])
        tables.published_beside_ours({"m": twice}, {"m": ours}, scores=[schema.L2])
    with pytest.raises(UnknownNameError, match="notes for n"):
        tables.published_beside_ours({"m": published}, {"m": ours}, notes={"n": "?"})


def test_a_run_keeps_the_table_as_a_dataset_too(published, ours, tmp_path):
    run = study.start(
        "Test",
        notebook="00_test",
        params={},
        out_dir=tmp_path,
        conventions={"kernels": ["k"], "raster": "r", "epe_limits_nm": [15, 3]},
        threads=torch.get_num_threads(),
    )
    table = tables.published_beside_ours(
        {"curvy": published}, {"curvy": ours, "other": None}, scores=[schema.L2], notes={"curvy": "a & b"}
    )
    paths = study.write_table(table, run, "table_4", caption="Table 4")
    assert set(paths) == {"html", "csv", "tex", "zarr"} and paths["csv"].parent == run.tables_dir
    kept = study.load(paths["zarr"])
    assert kept[schema.L2].dims == ("method", "column") and kept.attrs["caption"] == "Table 4"
    for column in (tables.PUBLISHED, tables.OURS, tables.DEVIATION):
        found = kept[schema.L2].sel({"method": "curvy", "column": column}).item()
        assert found == table[schema.L2, column]["curvy"]
        assert math.isnan(kept[schema.L2].sel({"method": "other", "column": column}).item())
    assert kept["note"].sel({"method": "curvy"}) == "a & b"
    html, tex = paths["html"].read_text(encoding="utf-8"), paths["tex"].read_text(encoding="utf-8")
    assert "–" in html and "+1.0 %" in html and "(a) a &amp; b" in html
    assert "CurvyILT (a)" in html and "CurvyILT (a)" in tex and r"(a) a \& b" in tex  # notes stand below


def test_columns_that_hold_nothing_are_left_out_of_what_is_read(ours, tmp_path):
    table = tables.published_beside_ours({}, {"curvy": ours}, scores=[schema.L2])
    paths = study.write_table(table, tmp_path, "alone", caption="Nothing published")
    html, csv = (paths[ending].read_text(encoding="utf-8") for ending in ("html", "csv"))
    assert "published" not in html.replace("Nothing published", "") and "published" in csv


def test_a_table_of_cases_is_a_dataset_over_cases(published, ours):
    table = tables.side_by_side({"published": published, "ours": ours}, scores=[schema.L2, schema.PVB])
    kept = study.table_dataset(table)
    assert kept[schema.L2].dims == ("case", "column") and kept["case"].values.tolist() == [*CASES, "mean"]
    assert math.isnan(kept[schema.PVB].sel(case="mean", column="ours").item())
    assert kept[schema.L2].attrs["units"] == "nm2"


def test_a_stored_table_comes_back_as_it_was(tmp_path):
    said = {"kernels": ["k"], "raster": "half-open, 1 nm", "epe_limits_nm": [15, 3]}
    run = study.start("tables", notebook="00_test", params={}, conventions=said, out_dir=tmp_path / "00_test" / "paper")
    ours = {"m": {schema.L2: 99.0, schema.PVB: 3.0}, "n": {schema.L2: 5.0, schema.PVB: 4.0}}
    table = study.published_beside_ours({"m": {schema.L2: 100.0}}, ours, scores=[schema.L2], notes={"m": "a raster"})
    study.write_table(table, run, "t", caption="a caption")
    back, caption = study.stored_tables(run.out_dir)["t"]
    assert [score for score, _ in back.columns if score != "note"] == [schema.L2] * 3
    assert caption == "a caption"
    pd.testing.assert_frame_equal(back, table, check_names=False)
    study.style(back).to_html()


def test_stored_tables_keep_the_order_of_the_schema(tmp_path):
    said = {"kernels": ["k"], "raster": "half-open, 1 nm", "epe_limits_nm": [15, 3]}
    run = study.start("tables", notebook="00_test", params={}, conventions=said, out_dir=tmp_path / "00_test" / "paper")
    scores = [schema.L2, schema.PVB, schema.EPE15, schema.MSA]
    table = study.published_beside_ours({}, {"m": dict.fromkeys(scores, 1.0)}, scores=scores)
    study.write_table(table, run, "t", caption="a caption")
    back, _ = study.stored_tables(run.out_dir)["t"]
    assert list(dict.fromkeys(score for score, _ in back.columns)) == scores


def test_table_of_means_and_changes():
    values = np.array([[90.0, 110.0], [45.0, 65.0]])
    ds = xr.Dataset(
        {"l2_nm2": (("method", "sample"), values), "epe15": (("method", "sample"), np.array([[0.0, 0.0], [0.0, 2.0]]))},
        coords={"method": ["full", "other"], "sample": ["a", "b"]},
    )
    table = tables.means_table(ds, scores=["l2_nm2", "epe15"], reference="full")
    assert table.index.tolist() == ["full", "other"]
    assert table["l2_nm2", "mean"].tolist() == [100.0, 55.0]
    assert np.isnan(table["l2_nm2", "deviation_percent"]["full"])
    assert table["l2_nm2", "deviation_percent"]["other"] == -45.0
    # from zero there is no percentage
    assert table["epe15", "deviation_percent"].isna().all()
    assert list(tables.means_table(ds, scores=["l2_nm2"]).columns) == [("l2_nm2", "mean")]
