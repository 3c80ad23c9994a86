"""What the mask of an area costs: seconds and memory of each pass, and what a square millimetre would need."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr

_SOLVED = "seconds a solved window"
_MEASURED = "measured"


def time_table(passes: Mapping[str, xr.Dataset]) -> pd.DataFrame:
    """Windows, seconds and memory of each pass over an area.

    Parameters
    ----------
    passes : name -> windows of the pass, as :func:`maskopt_lib.study.areas.area.solve_area` gives them.

    Returns
    -------
    One row a pass; columns (name, "measured"), as :func:`maskopt_lib.study.write_table` takes them.
    """
    rows = {}
    for name, windows in passes.items():
        is_solved = windows["solved"] == 1
        # As pandas has them: a pass that had no window to solve has no mean and no largest number.
        seconds = windows["runtime_s"].where(is_solved).to_series()
        rows[name] = {
            "windows": windows.sizes["tile"],
            "solved": int(is_solved.sum()),
            "saved": int((~is_solved).sum()),
            "solver seconds": float(seconds.sum()),
            _SOLVED: float(seconds.mean()),
            "wall seconds": windows.attrs["wall_s"],
            "wall seconds a window": windows.attrs["wall_s"] / max(windows.sizes["tile"], 1),
            "peak memory of a worker (GB)": windows["peak_memory_gb"].to_series().max(),
        }
    table = pd.DataFrame(rows).T.rename_axis("pass")
    table.columns = pd.MultiIndex.from_tuples([(name, _MEASURED) for name in table.columns])
    return table


def square_millimetre(
    spent: pd.DataFrame, window_s: float, core_nm: float, *, cores: int, gpus: int, gpu_seconds: float
) -> pd.DataFrame:
    """Hours that 1 mm2 would need: each window solved once, moved windows for the seams, and as many repaired as here.

    A first window takes ``window_s`` seconds, one of the later passes as many times more as in ``spent``.

    Parameters
    ----------
    spent : of :func:`time_table`, its rows first pass, seam pass and repair.
    window_s : solver seconds of a window that is solved from nothing.
    core_nm : side of what is kept of a window.
    cores, gpus : of the clusters of the estimate.
    gpu_seconds : assumed, not measured, seconds a window on one GPU.

    Returns
    -------
    One row a machine, with ``hours for 1 mm2`` and what they are from; ``attrs`` has the ``windows`` of 1 mm2 and how
    many ``times_more`` than the first pass all passes take.
    """
    windows = (1e6 / core_nm) ** 2
    first_s, second_s, third_s = spent[_SOLVED, _MEASURED]
    n_first, _, n_third = spent["windows", _MEASURED]
    repaired_share = n_third / n_first
    times_more = (first_s + second_s + repaired_share * np.nan_to_num(third_s)) / first_s
    core_hours = windows * window_s * times_more / 3600
    gpu_hours = windows * (2 + repaired_share) * gpu_seconds / 3600
    assumed = f"assumed {gpu_seconds:g} s a window, not measured"
    rows = {
        "one core": (core_hours, "measured here"),
        "this machine's two cores": (core_hours / 2, "measured here"),
        f"a cluster of {cores} cores": (core_hours / cores, "measured here, if it scales"),
        "one GPU": (gpu_hours, assumed),
        f"a cluster of {gpus} GPUs": (gpu_hours / gpus, assumed),
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=["hours for 1 mm2", "from"])
    table["hours for 1 mm2"] = table["hours for 1 mm2"].round(2)
    table.attrs |= {"windows": windows, "times_more": float(times_more)}
    return table
