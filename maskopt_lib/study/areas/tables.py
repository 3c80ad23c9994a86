"""Tables of an area: what is known of its windows, of the sites on its edges, and of the places that break a rule."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import xarray as xr

TILE = "tile"
SITE_COLUMNS = {
    "x_nm": ("site, x", "nm"),
    "y_nm": ("site, y", "nm"),
    "edge_error_nm": ("edge placement error, positive outwards", "nm"),
    "violates15": ("probes that violate the 15 nm limit", "1"),
    "violates3": ("probes that violate the 3 nm limit", "1"),
}
OUTLINE_COLUMNS = {
    "x_nm": ("place on the outline, x", "nm"),
    "y_nm": ("place on the outline, y", "nm"),
    "contour_error_nm": ("contour error, positive outwards", "nm"),
}
RULE_COLUMNS = {
    "x_nm": ("place, x", "nm"),
    "y_nm": ("place, y", "nm"),
    "value": ("value (areas in nm2)", "nm"),
    "extent_nm": ("extent of the violation", "nm"),
    "of_target": ("the target breaks the rule there as well", "1"),
    "broken": ("rule that is broken, by its number", "1"),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a stitched mask prints.

    Attributes
    ----------
    windows : Dataset over ``tile``: ``l2_nm2`` and ``pvb_nm2`` of each core.
    sites : Dataset over ``site``: place, edge error (nan: lost) and violations of every site.
    outline : Dataset over ``place``: place and contour error (nan: lost) along targets that are curved.
    violations : Dataset over ``violation``: place, value, whether the target breaks the rule there as well
        (``of_target``, 0 or 1) and ``broken`` rule in the windows whose rules were checked;
        over ``rule`` the deck, ``worst`` and ``checked_nm2``, the area that was checked.
    not_printed : (x, y) in nm of the middles of target shapes of which nothing prints.
    """

    windows: xr.Dataset
    sites: xr.Dataset
    outline: xr.Dataset
    violations: xr.Dataset
    not_printed: Sequence[tuple[float, float]] = ()


def table(columns: pd.DataFrame, dim: str, labels: Mapping[str, tuple[str, str]]) -> xr.Dataset:
    """Columns as variables along a dimension, each with its ``long_name`` and ``units``."""
    return xr.Dataset(
        {
            name: (dim, columns[name].to_numpy(), {"long_name": long_name, "units": units})
            for name, (long_name, units) in labels.items()
        }
    )
