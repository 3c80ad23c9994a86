"""Published tables of the papers, and scores that an independent program measured: columns beside our own results."""

import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.manifest import FOLDER
from maskopt_lib.errors import UnknownNameError

#: Columns of every published table.
COLUMNS = ("table", "method", "case", "column", "value", "source", "note")
_COLUMNS = {
    "l2": schema.L2,
    "pvb": schema.PVB,
    "epe15": schema.EPE15,
    "epe3": schema.EPE3,
    "msa": schema.MSA,
    "msd": schema.MSD,
    "shapes": schema.SHAPES,
    "sites": schema.EPE_SITES,
}


def published(paper: str, table: str | int | None = None, method: str | None = None) -> pd.DataFrame:
    """The numbers that papers print, one a row.

    Parameters
    ----------
    paper : ``"curvyilt"``, ``"maskopt"`` or ``"iccad13"``, what others report on the ten contest clips.
    table : number of one table as the paper counts, or ``"repository"`` for the authors' result file; for ``"iccad13"``
        the origin.
    method : one method of it.

    Returns
    -------
    Columns ``table``, ``method``, ``case`` (sample name, or ``mean`` where the paper prints an average), ``column``
    (name and unit as in ``data.schema`` where it is the same quantity), ``value``, ``source``, ``note``.

    Raises
    ------
    UnknownNameError : no such paper, table or method; lists those there are.

    Notes
    -----
    ``data_manifest/published/README.md`` says what each column means and where conventions differ from ours.

    Examples
    --------
    >>> rows = published("curvyilt", table=4, method="curvyILT")
    >>> rows[(rows.case == "mean") & (rows.column == "l2_nm2")].value.item()
    25990.9
    """
    folder = FOLDER / "published"
    known = sorted(path.stem for path in folder.glob("*.csv"))
    if paper not in known:
        raise UnknownNameError(f"no published tables of {paper!r}; known papers: {', '.join(known)}")
    rows = pd.read_csv(folder / f"{paper}.csv", dtype={"table": str, "value": float}, keep_default_na=False)
    for column, wanted in (("table", table), ("method", method)):
        if wanted is None:
            continue
        there = list(dict.fromkeys(rows[column]))
        if str(wanted) not in there:
            raise UnknownNameError(f"{paper} has no {column} {wanted!r} there; known: {', '.join(there)}")
        rows = rows[rows[column] == str(wanted)]
    return rows.reset_index(drop=True)


def golden_scores() -> xr.Dataset:
    """Scores of the released CurvyILT masks on the ten contest clips, by an independent float64 program.

    Returns
    -------
    Dataset (scored_with, sample) with the names of `maskopt_lib.data.schema`; half-open rasters at 1 nm.

    Examples
    --------
    >>> float(golden_scores().l2_nm2.sel(scored_with="iccad13-symmetrised").mean())
    26017.2
    """
    table = pd.read_csv(FOLDER / "reference" / "golden_scores.csv", comment="#").rename(columns=_COLUMNS)
    table[schema.SAMPLE] = [f"M1_test{case}" for case in table.pop("case")]
    order = {
        "scored_with": list(dict.fromkeys(table["kernels"])),
        schema.SAMPLE: list(dict.fromkeys(table[schema.SAMPLE])),
    }
    ds = table.rename(columns={"kernels": "scored_with"}).set_index(["scored_with", schema.SAMPLE]).to_xarray()
    return schema.label(ds.sel(order))
