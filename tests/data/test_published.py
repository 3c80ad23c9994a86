"""The published tables: complete, sourced, and each printed average is the mean of its rows."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest

from maskopt_lib import data
from maskopt_lib.data import manifest, schema
from maskopt_lib.data.papers import COLUMNS
from maskopt_lib.errors import UnknownNameError

CASES = [f"M1_test{i}" for i in range(1, 11)]


@pytest.mark.parametrize("paper", ["curvyilt", "iccad13", "maskopt"])
def test_rows_are_tidy_and_sourced(paper):
    rows = data.published(paper)
    assert tuple(rows.columns) == COLUMNS
    assert not rows.duplicated(["table", "method", "case", "column"]).any()
    assert rows.value.notna().all() and (rows.source != "").all()


@pytest.mark.parametrize(("table", "n_methods"), [(4, 4), (7, 2), (8, 4)])
def test_tables_hold_all_ten_cases(table, n_methods):
    rows = data.published("curvyilt", table=table)
    assert rows.method.nunique() == n_methods
    for _, one in rows.groupby(["method", "column"]):
        assert list(one.case) == [*CASES, "mean"]


def test_printed_averages_are_the_means_of_their_rows():
    # Read as text: the printed number of digits says how far the average may be from the mean of the rows.
    rows = pd.read_csv(manifest.FOLDER / "published" / "curvyilt.csv", dtype=str, keep_default_na=False)
    n_compared = 0
    for _, one in rows.groupby(["table", "method", "column"]):
        printed = [Decimal(value) for value in one.value[one.case == "mean"]]
        cases = [Decimal(value) for value in one.value[one.case != "mean"]]
        if not (printed and cases):
            continue
        half_a_digit = Decimal(1).scaleb(printed[0].as_tuple().exponent) / 2
        assert abs(sum(cases) / len(cases) - printed[0]) <= half_a_digit, one
        n_compared += 1
    assert n_compared == 61  # 16 of Table 4, 10 of 5, 10 of 7, 20 of 8, 5 of the repository


def test_known_numbers():
    # Table 4 of arXiv:2411.07311v1, case 3 and the average of the last method
    rows = data.published("curvyilt", table=4, method="curvyILT").set_index(["case", "column"]).value
    assert rows["M1_test3", schema.L2] == 61650 and rows["M1_test3", schema.EPE15] == 15
    assert rows["mean", schema.PVB] == 38612.2 and rows["mean", schema.MSD] == 19.4


def test_released_masks_belong_to_table_8():
    last = data.published("curvyilt", table=8, method="curvyILT CDR+morph").set_index(["case", "column"]).value
    released = data.published("curvyilt", table="repository").set_index(["case", "column"]).value
    both = released.index.intersection(last.index)
    assert len(both) == 44 and (released[both] == last[both]).all()


def test_names_of_scores_are_those_of_the_schema():
    columns = set(data.published("curvyilt").column) - {"n_clips", "peak_memory_gb"}
    assert columns <= set(schema.VARIABLES)


def test_maskopt_counts_add_up():
    counts = data.published("maskopt").query("column == 'n_tiles'").set_index("case").value
    assert counts["metal"] + counts["via"] == counts["all"] == 226666


@pytest.mark.parametrize(
    "wrong", [{"paper": "x"}, {"paper": "curvyilt", "table": 99}, {"paper": "curvyilt", "method": "x"}]
)
def test_unknown_names_list_the_known(wrong):
    with pytest.raises(UnknownNameError, match="known"):
        data.published(**wrong)


@pytest.mark.realdata
def test_repository_rows_equal_the_released_file(real_data):
    path = real_data("golden/curvyilt_masks/result_default_retarget_1_morph_3.csv")
    released = pd.read_csv(path, index_col=0)
    rows = data.published("curvyilt", table="repository").pivot(index="case", columns="column", values="value")
    rows = rows.loc[[*CASES, "mean"]]
    for column, position in ((schema.L2, 0), (schema.PVB, 1), (schema.MSA, 3), (schema.MSD, 4), (schema.RUNTIME, 5)):
        assert abs(rows[column].to_numpy() - released.iloc[:, position].to_numpy()).max() < 1e-6


def test_average_of_curvmulti_is_the_mean_of_its_cases():
    rows = data.published("iccad13", method="CurvMulti").set_index(["case", "column"]).value.unstack()
    assert rows.drop("mean").mean().round().to_dict() == rows.loc["mean"].to_dict()
