"""Tables of the study: what is published beside what we measured, with the deviation, as Dataset, HTML, CSV, LaTeX."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import files
from maskopt_lib.data import methods, schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.runs.record import Run

#: Stores of tables begin with this.
TABLE = "table_"
MEAN = "mean"
PUBLISHED, OURS, DEVIATION = "published", "ours", "deviation_percent"
#: Column of the reasons for deviations; it belongs to no score.
NOTE = ("note", "")


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
    wide = {label: _with_mean(values, cases) for label, values in wide.items()}
    table: dict[tuple[str, str], pd.Series] = {}
    for score in scores:
        for label, values in wide.items():
            if score not in values:
                continue
            table[score, label] = values[score]
            if label != reference and score in wide[reference]:
                name = DEVIATION if len(columns) == 2 else f"{label} {DEVIATION}"
                table[score, name] = _deviation_percent(values[score], wide[reference][score])
    return pd.DataFrame(table).rename_axis("case")


def published_beside_ours(
    published: Mapping[str, pd.DataFrame | Mapping[str, float] | None],
    ours: Mapping[str, xr.Dataset | Mapping[str, float] | None],
    *,
    scores: Sequence[str] = (schema.L2, schema.PVB, schema.EPE15),
    case: str = MEAN,
    notes: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """One row a method; for each score what its authors print, what we measured, and the deviation of ours.

    Parameters
    ----------
    published : method -> its published rows (of ``data.published``), or score -> number; a method that nobody has
        published may be missing or None.
    ours : method -> scores over ``sample``, of which the mean is taken, or score -> number; may be missing or None.
        The rows are those of ``ours``, then those that are only published.
    scores : names of scores, as in ``data.schema``.
    case : of the published rows: ``"mean"``, or the name that the paper gives another average (``"StdMetal"``).
    notes : method -> why it deviates; a last column of the table.

    Returns
    -------
    Rows ``method``; columns (score, ``published`` | ``ours`` | ``deviation_percent``), NaN where there is nothing, and
    with notes a last column ``("note", "")``.

    Raises
    ------
    SchemaError : the published rows hold several methods or several numbers for one score, or scores have more
        dimensions than ``sample``.
    UnknownNameError : a note for a method without a row.

    Notes
    -----
    Without one of the cases a mean of ours is NaN: a mean over other cases would not compare.

    Examples
    --------
    >>> ours = xr.Dataset({"l2_nm2": ("sample", [90.0, 108.0])}, coords={"sample": ["a", "b"]})
    >>> table = published_beside_ours({"m": {"l2_nm2": 100.0}}, {"m": ours}, scores=["l2_nm2"])
    >>> table  # doctest: +NORMALIZE_WHITESPACE
              l2_nm2
           published  ours deviation_percent
    method
    m          100.0  99.0              -1.0
    """
    methods = list(dict.fromkeys([*ours, *published]))
    if unknown := [name for name in notes or {} if name not in methods]:
        raise UnknownNameError(f"notes for {', '.join(unknown)}, but the rows are {', '.join(methods)}")
    table: dict[tuple[str, str], Any] = {}
    for score in scores:
        for column, origin in ((PUBLISHED, published), (OURS, ours)):
            values = {method: _value(origin.get(method), score, case, method) for method in methods}
            table[score, column] = pd.Series(values, dtype=float)
        table[score, DEVIATION] = _deviation_percent(table[score, OURS], table[score, PUBLISHED])
    if notes:
        table[NOTE] = pd.Series({method: notes.get(method, "") for method in methods}, dtype=object)
    return pd.DataFrame(table, index=methods).rename_axis(schema.METHOD)


def means_table(ds: xr.Dataset, *, scores: Sequence[str], reference: str | None = None) -> pd.DataFrame:
    """Means over the clips, one row a method, with their deviation from one of them.

    Parameters
    ----------
    ds : Dataset over ``method`` and ``sample``.
    scores : names of scores.
    reference : method that the others are compared with; None leaves the deviations out.

    Returns
    -------
    Rows ``method`` in the order of ``ds``; columns (score, ``mean``) and (score, ``deviation_percent``), as
    :func:`style` and :func:`write_table` take them.
    """
    means = ds[list(scores)].mean(schema.SAMPLE)
    table = {}
    for score in scores:
        table[score, MEAN] = column = means[score].to_series()
        if reference is not None:
            deviation = _deviation_percent(column, column * 0 + column[reference])
            table[score, DEVIATION] = deviation.mask(column.index == reference)
    return pd.DataFrame(table).rename_axis(schema.METHOD)


def table_dataset(table: pd.DataFrame) -> xr.Dataset:
    """A table of this module as a Dataset: what its CSV holds, with labels and units.

    Parameters
    ----------
    table : columns (score, label), rows named by the table's index.

    Returns
    -------
    One variable a score over the rows and ``column``; a column that a score does not have is NaN. Entries of
    ``column`` that end in ``deviation_percent`` are in percent, the others in the unit of the variable; notes are a
    variable of text over the rows. Attribute ``table`` is 1, so that a table is told from scores.
    """
    rows = table.index.name or "case"
    numbers = table.drop(columns=[NOTE], errors="ignore")
    columns = numbers.columns.get_level_values(1).unique()
    ds = xr.Dataset(coords={rows: table.index.map(str).tolist(), "column": columns.tolist()}, attrs={"table": 1})
    for score in numbers.columns.get_level_values(0).unique():
        attrs = {} if score in schema.VARIABLES else {"long_name": score, "units": "1"}
        ds[score] = ((rows, "column"), numbers[score].reindex(columns=columns).to_numpy(dtype=float), attrs)
    if NOTE in table:
        ds[NOTE[0]] = (rows, table[NOTE].astype(str).to_list(), {"long_name": "why it deviates", "units": "1"})
    return schema.label(ds)


def table_frame(ds: xr.Dataset) -> pd.DataFrame:
    """A table out of its Dataset, the inverse of :func:`table_dataset` but for columns without any number."""
    (rows,) = (dim for dim in ds.dims if dim != "column")
    # Stores do not keep the order of their variables: that of the schema is the order of all tables.
    known = [name for name in schema.VARIABLES if name in ds]
    scores = known + sorted(set(map(str, ds.data_vars)) - {*known, NOTE[0]})
    wide = {score: pd.DataFrame(ds[score].to_pandas()).dropna(axis="columns", how="all") for score in scores}
    table = {(score, label): values[label] for score, values in wide.items() for label in values}
    if NOTE[0] in ds:
        table[NOTE] = ds[NOTE[0]].to_series().astype(object)
    return pd.DataFrame(table).rename_axis(rows)


def write_table(table: pd.DataFrame, to: Run | str | Path, name: str, *, caption: str) -> dict[str, Path]:
    """Write a table of this module as ``<name>.html``, ``<name>.csv`` and ``<name>.tex``, with a run as Dataset too.

    Parameters
    ----------
    table : columns (score, label).
    to : a run: files in its folder of tables, and the store ``table_<name>.zarr`` of :func:`table_dataset`; or a
        folder, made where it is not there.
    name : of the files, without ending.
    caption : one sentence: what, under which kernels, raster rule and EPE limit.

    Returns
    -------
    Ending -> path. The CSV has all digits, the others are rounded for reading.
    """
    folder = to.tables_dir if isinstance(to, Run) else Path(to)
    flat = table.copy()
    flat.columns = [f"{score} {label}".strip() for score, label in table.columns]
    shown, notes = _with_notes_below(table)
    latex = _texts(shown).map(_latex).rename(columns=_latex, index=_latex)
    latex.index.name = _latex(table.index.name or "case")
    align = "l" + "r" * len(latex.columns)
    tex = latex.style.to_latex(hrules=True, column_format=align, multicol_align="c", caption=_latex(caption))
    below = "".join(rf"\par\footnotesize {_latex(note)}" + "\n" for note in notes)
    texts = {
        "html": style(table, caption=caption).to_html(doctype_html=True, table_uuid=name),
        "csv": flat.to_csv(lineterminator="\n"),
        "tex": tex.replace(r"\end{table}", below + r"\end{table}").replace(
            "\n", "\n\\small\\setlength{\\tabcolsep}{3pt}\n", 1
        ),
    }
    paths = {ending: folder / f"{name}.{ending}" for ending in texts}
    for ending, text in texts.items():
        files.write_bytes(paths[ending], text.encode())
    if isinstance(to, Run):
        paths["zarr"] = to.save(table_dataset(table).assign_attrs(caption=caption), f"{TABLE}{name}")
    return paths


def write_csv(frame: pd.DataFrame, run: Run, name: str) -> Path:
    """Write any frame as ``<name>.csv`` in a run's folder of tables."""
    path = run.tables_dir / f"{name}.csv"
    files.write_bytes(path, frame.to_csv(lineterminator="\n").encode())
    return path


def style(table: pd.DataFrame, *, caption: str = "") -> pd.io.formats.style.Styler:
    """A table of this module, dressed for a notebook: rules between scores, dashes where there is nothing.

    Columns without any number are left out. Notes stand below, and rows name them by a letter. A frame of scores or of
    other single heads is dressed as well.
    """
    if table.columns.nlevels == 1:
        table = table.set_axis(pd.MultiIndex.from_product([map(str, table.columns), [""]]), axis="columns")
    table, notes = _with_notes_below(table)
    first = [i for i, (score, _) in enumerate(table.columns) if i == 0 or table.columns[i - 1][0] != score]
    rules = [
        {
            "selector": "",
            "props": "border-collapse: collapse; font: 13px/1.5 sans-serif; color: #222; background: #fff",
        },
        {"selector": "caption", "props": "caption-side: bottom; text-align: left; padding: 6px 0; color: #444"},
        {"selector": "th, td", "props": "padding: 2px 9px; text-align: right; font-variant-numeric: tabular-nums"},
        {"selector": "thead th", "props": "font-weight: 600; border-bottom: 1px solid #999; max-width: 9em"},
        {"selector": "th.col_heading.level0", "props": "text-align: center; border-bottom: none"},
        {"selector": "tbody th", "props": "text-align: left; font-weight: 400"},
        *([{"selector": "tbody tr:last-child > *", "props": _MEAN_ROW}] if list(table.index)[-1:] == [MEAN] else []),
        *({"selector": f".col{i}", "props": "border-left: 1px solid #ddd"} for i in first),
    ]
    dressed = _texts(table).rename(columns=_spelled, level=0).rename(columns=_label, level=1)
    return dressed.style.set_table_styles(rules).set_caption("<br>".join(map(html.escape, [caption, *notes])))


def _with_notes_below(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The columns that hold something, rows of methods by their names, and the notes, each behind its letter."""
    said = table[NOTE].astype(str) if NOTE in table else pd.Series("", index=table.index)
    letters = {note: chr(ord("a") + i) for i, note in enumerate(dict.fromkeys(said[said != ""]))}
    shown = table.drop(columns=[NOTE], errors="ignore").dropna(axis="columns", how="all")
    is_method = table.index.name == schema.METHOD
    plain = [
        ", ".join(map(str, row)) if isinstance(row, tuple) else f"{row:g}" if isinstance(row, float) else str(row)
        for row in table.index
    ]
    rows = [methods.written(row) if is_method else row for row in plain]
    marked = [f"{row} ({letters[note]})" if note else row for row, note in zip(rows, said, strict=True)]
    shown.index = pd.Index(marked, name=table.index.name)
    return shown, [f"({letter}) {note}" for note, letter in letters.items()]


_UNITS = {"nm2": "nm²", "us": "µs"}
_MEAN_ROW = "border-top: 1px solid #999; font-weight: 600"


def _spelled(score: str) -> str:
    """The head of a column: what stands in brackets behind a long name would make it wider than its numbers."""
    long_name, units = schema.VARIABLES.get(score, (score, "1"))
    name = long_name.partition(" (")[0] if score in schema.VARIABLES else long_name
    return name if units == "1" else f"{name} ({_UNITS.get(units, units)})"


def _label(label: str) -> str:
    name, comma, rest = label.partition(",")
    return (_spelled(name) + comma + rest).replace(DEVIATION, "deviation")


def _latex(text: str) -> str:
    text = _label(text)
    for sign in "_%&#":
        text = text.replace(sign, rf"\{sign}")
    return text


def _texts(table: pd.DataFrame) -> pd.DataFrame:
    """The same table as text: whole units for a case, one decimal for a mean, a sign on a deviation."""

    def text(value: Any, score: str, label: str, case: str) -> str:
        if isinstance(value, str):
            return value
        if np.isnan(value):
            return "–"
        if label.endswith(DEVIATION):
            # Adding zero turns the minus zero of a tiny deviation into zero.
            return f"{round(value, 1) + 0.0:+.1f} %"
        whole = float(value).is_integer() and not (case == MEAN or table.index.name == schema.METHOD)
        return f"{value:,.{schema.DECIMALS.get(score, 0 if whole else 1)}f}"

    return pd.DataFrame(
        {
            (score, label): [text(value, score, label, case) for case, value in table[score, label].items()]
            for score, label in table.columns
        },
        index=table.index,
    )


def _value(values: Any, score: str, case: str, method: str) -> float:
    """The number of a method: what is published for a case, the mean of ours, or the number as it was given."""
    if isinstance(values, pd.DataFrame):
        rows = _one_method(values, method)
        printed = rows.value[(rows.column == score) & (rows.case == case)]
        if len(printed) > 1:
            raise SchemaError(
                f"{method!r}: {len(printed)} published numbers for {score}, case {case}; choose one table"
            )
        return float(printed.iloc[0]) if len(printed) else np.nan
    if values is None or score not in values:
        return np.nan
    if isinstance(values, xr.Dataset):
        return float(_over_samples(values, [score], method)[score].mean(skipna=False))
    return float(values[score])


def _by_case(values: xr.Dataset | pd.DataFrame, scores: Sequence[str], label: str) -> pd.DataFrame:
    """One row a case, one column a score."""
    if isinstance(values, xr.Dataset):
        found = _over_samples(values, [score for score in scores if score in values], label)
        # One dictionary a score: coordinates such as `method` that hold one value stay out of the table.
        columns = {str(score): np.asarray(column, dtype=float) for score, column in found.items()}
        wide = pd.DataFrame(columns, index=values[schema.SAMPLE].values.astype(str))
    else:
        rows = _one_method(values, label)
        rows = rows[rows.column.isin(scores)]
        wide = rows.pivot(index="case", columns="column", values="value").reindex(rows.case.unique())
    if wide.empty:
        raise SchemaError(f"{label!r} has none of the scores {', '.join(scores)}")
    return wide


def _one_method(rows: pd.DataFrame, label: str) -> pd.DataFrame:
    if rows.method.nunique() > 1:
        raise SchemaError(f"{label!r}: rows of several methods ({', '.join(rows.method.unique())}); choose one")
    return rows


def _over_samples(values: xr.Dataset, scores: Sequence[str], label: str) -> xr.Dataset:
    scored = values[list(scores)]
    if not set(scored.dims) <= {schema.SAMPLE}:
        raise SchemaError(f"{label!r}: expected scores over 'sample' only, got {tuple(scored.dims)}; select first")
    return scored


def _with_mean(values: pd.DataFrame, cases: Sequence[str]) -> pd.DataFrame:
    rows = values.reindex(cases)
    # Without one of the cases there is no mean to compare: a mean over other cases would look like an improvement.
    mean = values.loc[MEAN] if MEAN in values.index else rows.apply(lambda column: column.mean(skipna=False))
    return pd.concat([rows, mean.to_frame(MEAN).T])


def _deviation_percent(column: pd.Series, base: pd.Series) -> pd.Series:
    # From zero there is no percentage, but zero from zero is no deviation.
    percent = 100 * (column - base) / base.where(base != 0)
    return percent.mask((base == 0) & (column == 0), 0.0)
