"""Tables of the study: what is published beside what we measured, with the deviation, as HTML, CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError

MEAN = "mean"
DEVIATION = "deviation_percent"

#: Decimals of one case and of a mean, for quantities that are not counted in whole units.
_DECIMALS = {schema.RUNTIME: 2}


def side_by_side(
    columns: Mapping[str, xr.Dataset | pd.DataFrame],
    *,
    scores: Sequence[str] = (schema.L2, schema.PVB, schema.EPE15),
    reference: str | None = None,
) -> pd.DataFrame:
    """Scores of several origins beside each other, with their deviation from one of them.

    Parameters
    ----------
    columns : label -> scores over ``sample``, or the rows of one published method (of ``data.published``).
        The first one names the cases and their order.
    scores : names of scores, as in ``data.schema``.
    reference : label that the others are compared with; by default the first.

    Returns
    -------
    One row a case and one ``mean``; columns (score, label), and after each label but the reference its deviation,
    (score, ``deviation_percent``) or, with several labels, (score, ``<label> deviation_percent``). A score that an
    origin does not have is left out for it; a case that it does not have is NaN.

    Raises
    ------
    SchemaError : an origin has several methods or has none of the scores.
    UnknownNameError : the reference is not one of the labels.

    Notes
    -----
    The mean of a published method is the one that its paper prints; ours is the mean over the cases of the table.

    Examples
    --------
    >>> ours = xr.Dataset({"l2_nm2": ("sample", [90.0, 110.0])}, coords={"sample": ["a", "b"]})
    >>> published = pd.DataFrame({"method": "m", "case": ["a", "b"], "column": "l2_nm2", "value": [100.0, 100.0]})
    >>> side_by_side({"published": published, "ours": ours}, scores=["l2_nm2"])  # doctest: +NORMALIZE_WHITESPACE
            l2_nm2
         published   ours deviation_percent
    case
    a        100.0   90.0             -10.0
    b        100.0  110.0              10.0
    mean     100.0  100.0               0.0
    """
    reference = reference if reference is not None else next(iter(columns))
    if reference not in columns:
        raise UnknownNameError(f"no column {reference!r} to compare with; there are: {', '.join(columns)}")
    wide = {label: _by_case(values, scores, label) for label, values in columns.items()}
    cases = [case for case in next(iter(wide.values())).index if case != MEAN]
    table: dict[tuple[str, str], pd.Series] = {}
    for score in scores:
        base = _with_mean(wide[reference], score, cases)
        for label, values in wide.items():
            if score not in values:
                continue
            column = _with_mean(values, score, cases)
            table[score, label] = column
            if label != reference and base is not None:
                name = DEVIATION if len(columns) == 2 else f"{label} {DEVIATION}"
                table[score, name] = _deviation_percent(column, base)
    found = pd.DataFrame(table)
    found.index.name = "case"
    return found


def write_table(table: pd.DataFrame, folder: str | Path, name: str, *, caption: str) -> dict[str, Path]:
    """Write a table of :func:`side_by_side` as ``<name>.html``, ``<name>.csv`` and ``<name>.tex``.

    Parameters
    ----------
    table : columns (score, label).
    folder : made where it is not there; usually ``run.tables_dir``.
    name : of the files, without ending.
    caption : one sentence: what, under which kernels, raster rule and EPE limit.

    Returns
    -------
    Ending -> path. The CSV has all digits, the others are rounded for reading.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = {ending: folder / f"{name}.{ending}" for ending in ("html", "csv", "tex")}
    flat = table.copy()
    flat.columns = [f"{score} {label}" for score, label in table.columns]
    flat.to_csv(paths["csv"], lineterminator="\n")
    paths["html"].write_text(
        style(table, caption=caption).to_html(doctype_html=True, table_uuid=name), encoding="utf-8"
    )
    text = _texts(table)
    latex = text.map(_latex).rename(columns=_latex, index=_latex)
    latex.index.name = "case"
    align = "l" + "r" * table.shape[1]
    body = latex.style.to_latex(hrules=True, column_format=align, multicol_align="c", caption=_latex(caption))
    paths["tex"].write_text(body, encoding="utf-8")
    return paths


def style(table: pd.DataFrame, *, caption: str = "") -> pd.io.formats.style.Styler:
    """A table of :func:`side_by_side`, dressed for a notebook."""
    first = [i for i, (score, _) in enumerate(table.columns) if i == 0 or table.columns[i - 1][0] != score]
    rules = [
        {
            "selector": "",
            "props": "border-collapse: collapse; font: 13px/1.5 sans-serif; color: #222; background: #fff",
        },
        {"selector": "caption", "props": "caption-side: top; text-align: left; padding: 0 0 6px; color: #444"},
        {"selector": "th, td", "props": "padding: 2px 9px; text-align: right; font-variant-numeric: tabular-nums"},
        {"selector": "thead th", "props": "font-weight: 600; border-bottom: 1px solid #999"},
        {"selector": "th.col_heading.level0", "props": "text-align: center; border-bottom: none"},
        {"selector": "tbody tr:last-child > *", "props": "border-top: 1px solid #999; font-weight: 600"},
        *({"selector": f".col{i}", "props": "border-left: 1px solid #ddd"} for i in first),
    ]
    dressed = _texts(table).rename(columns=_spelled, level=0).rename(columns=_label, level=1)
    return dressed.style.set_table_styles(rules).set_caption(caption)


def _spelled(score: str) -> str:
    long_name, units = schema.VARIABLES.get(score, (score, "1"))
    return long_name if units == "1" else f"{long_name} [{units}]"


def _label(label: str) -> str:
    return label.replace(DEVIATION, "deviation")


def _latex(text: str) -> str:
    text = _label(_spelled(text)) if text in schema.VARIABLES else _label(text)
    for sign in "_%&#":
        text = text.replace(sign, rf"\{sign}")
    return text


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """The same table as text: whole units for a case, one decimal for a mean, a sign on each deviation."""

    def text(value: float, score: str, label: str, case: str) -> str:
        if np.isnan(value):
            return "–"
        if label.endswith(DEVIATION):
            # Adding zero turns the minus zero of a tiny deviation into zero.
            return f"{round(value, 1) + 0.0:+.1f} %"
        whole = float(value).is_integer() and case != MEAN
        return f"{value:,.{_DECIMALS.get(score, 0 if whole else 1)}f}"

    return pd.DataFrame(
        {
            (score, label): [text(value, score, label, case) for case, value in table[score, label].items()]
            for score, label in table.columns
        },
        index=table.index,
    )


def _by_case(values: xr.Dataset | pd.DataFrame, scores: Sequence[str], label: str) -> pd.DataFrame:
    """One row a case, one column a score."""
    if isinstance(values, xr.Dataset):
        here = [score for score in scores if score in values]
        if here and set(values[here].dims) != {schema.SAMPLE}:
            raise SchemaError(
                f"{label!r}: expected scores over 'sample' only, got {tuple(values[here].dims)}; select first"
            )
        # One dictionary a score: coordinates such as `method` that hold one value stay out of the table.
        cases = [str(case) for case in values[schema.SAMPLE].values]
        wide = pd.DataFrame({score: np.asarray(values[score], dtype=float) for score in here}, index=cases)
    else:
        if values.method.nunique() > 1:
            raise SchemaError(f"{label!r}: rows of several methods ({', '.join(values.method.unique())}); choose one")
        wide = values[values.column.isin(scores)].pivot(index="case", columns="column", values="value")
        wide = wide.loc[list(dict.fromkeys(values.case[values.case.isin(wide.index)]))]
    if wide.empty:
        raise SchemaError(f"{label!r} has none of the scores {', '.join(scores)}")
    return wide


def _with_mean(values: pd.DataFrame, score: str, cases: Sequence[str]) -> pd.Series | None:
    if score not in values:
        return None
    column = values[score].reindex(cases)
    # Without one of the cases there is no mean to compare: a mean over other cases would look like an improvement.
    mean = values[score].get(MEAN, column.mean(skipna=False))
    return pd.concat([column, pd.Series({MEAN: mean})])


def _deviation_percent(column: pd.Series, base: pd.Series) -> pd.Series:
    # From zero there is no percentage, but zero from zero is no deviation.
    percent = 100 * (column - base) / base.where(base != 0)
    return percent.mask((base == 0) & (column == 0), 0.0)
