"""Names and units of everything that is stored: a typo is an ImportError, not a new column."""

from collections.abc import Mapping
from typing import Any

import xarray as xr

from maskopt_lib.errors import SchemaError

# Dimensions
SAMPLE, Y, X, CORNER, FOCUS, STEP = "sample", "y", "x", "corner", "focus", "step"
TERM, METHOD, SEED, SITE, KERNELS = "term", "method", "seed", "site", "kernels"

# Process corners, always in this order
NOMINAL, OUTER, INNER = "nominal", "outer", "inner"
CORNERS = (NOMINAL, OUTER, INNER)

# Scores
L2, PVB = "l2_nm2", "pvb_nm2"
EPE15, EPE3, EPE_SITES = "epe15", "epe3", "epe_sites"
#: Limits of EPE15 and EPE3 in nm: the contest's and that of recent work.
EPE_LIMITS_NM = (15.0, 3.0)
EPE_MEAN_ABS, EPE_MAX_ABS = "epe_mean_abs_nm", "epe_max_abs_nm"
#: Mean absolute, 95 % quantile, and the shares beyond the two limits, at points between the sites; where asked for.
BETWEEN_SITES = ("between_mean_abs_nm", "between_p95_abs_nm", "between_over3", "between_over15")
#: Mean absolute, 95 % quantile and largest, by arc length; of targets that are not Manhattan.
CONTOUR_ERRORS = ("contour_mean_abs_nm", "contour_p95_abs_nm", "contour_max_abs_nm")
SHOTS, SHAPES, VERTICES = "shots", "shapes", "vertices"
#: What writing a mask takes beside its shots: made of other scores, or of curves fitted to a mask.
WRITING = SEGMENTS, VSB_WRITE, MULTIBEAM_WRITE = "segments", "vsb_write_us", "multibeam_write_us"
MSA, MSD = "msa_nm2", "msd_nm"
MIN_WIDTH, MIN_SPACE, MIN_RADIUS = "min_width_nm", "min_space_nm", "min_radius_nm"
RUNTIME = "runtime_s"
PEAK_MEMORY = "peak_memory_gb"

#: name -> (long_name, units). Counts carry the unit "1".
VARIABLES: dict[str, tuple[str, str]] = {
    L2: ("L2 (nominal print against target)", "nm2"),
    PVB: ("PV band (outer against inner print)", "nm2"),
    EPE15: ("EPE violations at 15 nm", "1"),
    EPE3: ("EPE violations at 3 nm", "1"),
    EPE_SITES: ("EPE sites", "1"),
    EPE_MEAN_ABS: ("mean absolute edge placement error", "nm"),
    EPE_MAX_ABS: ("largest absolute edge placement error", "nm"),
    BETWEEN_SITES[0]: ("mean absolute edge placement error between the sites", "nm"),
    BETWEEN_SITES[1]: ("edge placement error that 95 % of the points between the sites keep", "nm"),
    BETWEEN_SITES[2]: ("share of points between the sites beyond 3 nm", "1"),
    BETWEEN_SITES[3]: ("share of points between the sites beyond 15 nm", "1"),
    CONTOUR_ERRORS[0]: ("mean absolute contour error", "nm"),
    CONTOUR_ERRORS[1]: ("contour error not exceeded along 95 % of the outline", "nm"),
    CONTOUR_ERRORS[2]: ("largest absolute contour error", "nm"),
    SHOTS: ("shots (rectangle cover)", "1"),
    SHAPES: ("shapes on the mask", "1"),
    VERTICES: ("vertices of the mask polygons", "1"),
    SEGMENTS: ("cubic Bezier segments of the mask outlines", "1"),
    VSB_WRITE: ("write time of a field, variable-shaped beam", "us"),
    MULTIBEAM_WRITE: ("write time of a field, multi-beam", "us"),
    MSA: ("minimum shape area", "nm2"),
    MSD: ("minimum shape distance", "nm"),
    MIN_WIDTH: ("minimum width", "nm"),
    MIN_SPACE: ("minimum space", "nm"),
    MIN_RADIUS: ("minimum radius of curvature", "nm"),
    RUNTIME: ("run time", "s"),
    PEAK_MEMORY: ("peak memory of the optimisation", "GB"),
}

_NILS_MEEF = ("NILS", "NILS, lowest tenth", "MEEF", "MEEF, highest tenth")
#: What tables show with so many decimals: quantities that are not counted in whole units, and are small.
DECIMALS = dict.fromkeys((RUNTIME, PEAK_MEMORY, "rule_margin", "front_share", *BETWEEN_SITES, *_NILS_MEEF), 2)
#: Name in results of earlier versions -> name today.
RENAMED = {"print_nm2": "merit_nm2"}

_COORDINATES: dict[str, tuple[str, str]] = {Y: ("y", "nm"), X: ("x", "nm"), STEP: ("optimizer step", "1")}


def column(dims: str | tuple[str, ...], values: Any, long_name: str, units: str = "1") -> tuple:
    """A variable as xarray takes it, with what it is called and its unit."""
    return dims, values, {"long_name": long_name, "units": units}


def described(ds: xr.Dataset, texts: Mapping[str, str | tuple[str, str]]) -> xr.Dataset:
    """The same Dataset with what its variables are: name -> ``long_name``, and ``units`` where they are not "1"."""
    ds = ds.copy()
    for name, text in texts.items():
        long_name, units = (text, "1") if isinstance(text, str) else text
        ds[name].attrs = {"long_name": long_name, "units": units}
    return ds


def label(ds: xr.Dataset) -> xr.Dataset:
    """A copy of the Dataset with ``long_name`` and ``units`` on every variable and coordinate the schema knows.

    Names the schema does not know are left alone.
    """
    ds = ds.copy()
    for name in ds.variables:
        long_name, units = VARIABLES.get(name) or _COORDINATES.get(name) or (None, None)
        if long_name is not None:
            ds[name].attrs.setdefault("long_name", long_name)
            ds[name].attrs.setdefault("units", units)
    return ds


def validate(ds: xr.Dataset) -> xr.Dataset:
    """Check that a Dataset is labelled as the study expects, and return it.

    Parameters
    ----------
    ds : Dataset to check.

    Raises
    ------
    SchemaError : lists every variable without a unit and every wrong unit at once.
    """
    faults = []
    for name, variable in ds.data_vars.items():
        known = VARIABLES.get(name)
        if "units" not in variable.attrs:
            faults.append(f"{name!r} has no units (use schema.label)")
        elif known and variable.attrs["units"] != known[1]:
            faults.append(f"{name!r} is in {variable.attrs['units']!r}, the schema says {known[1]!r}")
    if faults:
        raise SchemaError("the Dataset does not follow the schema: " + "; ".join(faults))
    return ds
