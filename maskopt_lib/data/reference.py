"""Reference scores: numbers that an independent program measured, to hold our own against."""

import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.data.manifest import FOLDER

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
