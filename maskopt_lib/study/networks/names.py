"""What scores of masks in place are called, those of the same tiles printed alone, and who makes masks."""

import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.metrics.area import PRINT_SCORES

#: What makes masks: a network that knows no optics, one that looks through them, a solver; or nobody, they are there.
NETWORK, DESCENT, SOLVER, GIVEN = "network", "descent", "solver", "given"
#: Scores of masks in place, with the rules of their shapes; behind them those of the tile alone.
PLACED_SCORES = (*metrics.CORE_SCORES, schema.MSA, schema.MSD)
#: Name of a score of the tile printed alone, dark beyond its image.
OF_ALONE = {name: f"alone_{name}" for name in PRINT_SCORES}


def label_alone(ds: xr.Dataset) -> xr.Dataset:
    """The same with ``long_name`` and ``units`` on the scores of tiles printed alone."""
    texts = {called: schema.VARIABLES[name] for name, called in OF_ALONE.items() if called in ds}
    return schema.described(ds, {called: (f"{text}, printed alone", units) for called, (text, units) in texts.items()})
