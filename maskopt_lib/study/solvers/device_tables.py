"""Measurements of devices as tables and lines of figures."""

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.gather import labelled
from maskopt_lib.runs.tables import DEVIATION, NOTE
from maskopt_lib.study.solvers import timing
from maskopt_lib.study.solvers.measuring import FIRST_S, SCORES, STATUS
from maskopt_lib.study.solvers.timing import BATCH, MATMUL, WORKLOAD

# The largest change of a mean score that counts as none.
_HARMLESS_PERCENT = 0.1


def table(measured: xr.Dataset) -> pd.DataFrame:
    """Measurements as a table of the study: milliseconds, megabytes and percent, and why a number is missing.

    Parameters
    ----------
    measured : of :func:`measure_devices`.

    Returns
    -------
    One row a measurement, for :func:`maskopt_lib.study.write_table`.
    """
    columns = {
        ("time a clip", "ms"): 1e3 * measured[schema.RUNTIME],
        ("memory a clip", "MB"): 1e3 * measured[timing.MEMORY_A_CLIP],
        ("first call", "s"): measured[FIRST_S],
        ("FFT limit", "%"): 100 * measured[timing.FFT_SHARE],
        ("matrix product rate", "%"): 100 * measured[timing.PEAK_SHARE],
        NOTE: measured[STATUS],
    }
    places = zip(measured[WORKLOAD].values, _series(measured), measured[BATCH].values, strict=True)
    rows = [f"{workload}; {series}; batch {batch}" for workload, series, batch in places]
    return pd.DataFrame({name: values.values for name, values in columns.items()}, index=pd.Index(rows, name="case"))


def lines(measured: xr.Dataset, name: str, *, scale: float = 1.0, units: str | None = None) -> xr.DataArray:
    """A quantity over the batch, one line a workload, device, mode and type, as far as it was measured.

    Parameters
    ----------
    measured : of :func:`measure_devices`, or some of its rows.
    name : variable.
    scale, units : to draw it in another unit.

    Returns
    -------
    (series, batch), NaN where nothing was measured; series without a number are left out.
    """
    there = measured.isel({timing.ROW: np.flatnonzero(np.isfinite(measured[name]))})
    many = len(set(there[WORKLOAD].values)) > 1
    series = [f"{w}; {s}" if many else s for w, s in zip(there[WORKLOAD].values, _series(there), strict=True)]
    rows = {
        (label, batch): {name: scale * value}
        for label, batch, value in zip(series, there[BATCH].values.tolist(), there[name].values, strict=True)
    }
    wide = labelled(rows, ("series", BATCH), texts={BATCH: "clips at once"}).sortby(BATCH)[name]
    return wide.assign_attrs(measured[name].attrs | ({"units": units} if units else {}))


def _series(measured: xr.Dataset) -> list[str]:
    """Device and mode, and the type of the products where it is not the usual one."""
    columns = (measured[name].values for name in (timing.DEVICE, timing.MODE, MATMUL))
    return [", ".join([d, m, *([t] if t != "float32" else [])]) for d, m, t in zip(*columns, strict=True)]


def deviations(scores: xr.Dataset, *, reference: str = "float32") -> xr.Dataset:
    """How far the mean scores move with the type of the products, in percent: Dataset (method, matmul).

    Parameters
    ----------
    scores : of :func:`product_scores`.
    reference : type that the others are compared with.

    Examples
    --------
    >>> scores = xr.Dataset(
    ...     {"l2_nm2": (("matmul", "sample"), [[90.0, 110.0], [100.0, 101.0]])},
    ...     coords={"matmul": ["float32", "bfloat16"]},
    ... )
    >>> round(float(deviations(scores)["l2_nm2"].sel(matmul="bfloat16")), 6)
    0.5
    """
    means = scores.mean(schema.SAMPLE)
    relative = 100 * (means / means.sel({MATMUL: reference}, drop=True) - 1)
    for name, values in relative.items():
        values.attrs = {"long_name": f"change of mean {schema.VARIABLES[name][0]}", "units": "%"}
    return relative


def types_table(scores: xr.Dataset, method: str) -> pd.DataFrame:
    """Mean scores of a method's masks by the type of the products, their change, and whether it is harmless.

    Parameters
    ----------
    scores : of :func:`product_scores`.
    method : one of its labels.

    Returns
    -------
    One row a type, for :func:`maskopt_lib.study.write_table`.
    """
    means = scores.sel({schema.METHOD: method}).mean(schema.SAMPLE)
    change = deviations(scores).sel({schema.METHOD: method})
    columns = {}
    for name in SCORES:
        columns[name, "mean"] = means[name].values
        columns[name, DEVIATION] = change[name].values
    largest = np.abs([change[name].values for name in SCORES]).max(axis=0)
    columns[NOTE] = ["harmless" if value <= _HARMLESS_PERCENT else "not harmless" for value in largest]
    return pd.DataFrame(columns, index=pd.Index(scores[MATMUL].values, name="case"))
