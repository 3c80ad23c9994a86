"""How far masks, scores and trained weights may move when only the way they are made changes, and whether they did."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.tables import NOTE
from maskopt_lib.study.networks import determinism as dt
from maskopt_lib.study.networks.determinism import CHANGE, CHANGES, PIXELS, REFERENCE, SCORES


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """How far a change may move masks and scores.

    Attributes
    ----------
    pixels : of the clip where most moved.
    percent : of a mean score over the clips: L2, PV band, shots; of a training: of its largest weight.
    sites : mean number of EPE violations a clip, of either limit.
    reason : why so much.
    """

    pixels: float
    percent: float
    sites: float
    reason: str


_EXACT = Tolerance(pixels=0, percent=0, sites=0, reason="the same numbers are added in the same order")
_ORDER = Tolerance(pixels=150, percent=0.1, sites=0.5, reason="long sums are parted otherwise, and round otherwise")
_TYPE = Tolerance(pixels=500, percent=1, sites=1, reason="all steps round otherwise, and thresholds amplify it")
_CURVATURE = Tolerance(
    pixels=100_000,
    percent=3,
    sites=2,
    reason="differences of gradients steer L-BFGS: what rounds otherwise ends in another mask that prints as well",
)
#: (kind of maker, or its label; change) -> what is accepted; a label goes before its kind.
TOLERANCES: dict[tuple[str, str], Tolerance] = {
    (maker, change): tolerance
    for maker in (dt.SOLVER, dt.NETWORK)
    for change, tolerance in zip(CHANGES, (_EXACT, _EXACT, _ORDER, _ORDER, _TYPE), strict=True)
} | {
    # None moved, neither of the embedded nor of the contest clips.
    ("curvy", dt.BATCH): _EXACT,
    **{("rule_aware", change): _CURVATURE for change in (dt.THREADS, dt.BATCH, dt.FLOAT64)},
    (dt.TRAINING, dt.SEED): _EXACT,
    (dt.TRAINING, dt.HASH): _EXACT,
    (dt.TRAINING, dt.THREADS): Tolerance(
        pixels=0, percent=1, sites=0, reason="gradients are summed otherwise in each step"
    ),
}


def beyond(moved: xr.Dataset, trained: xr.Dataset | None = None) -> dict[str, str]:
    """What is not within `TOLERANCES`, ``"<method>, <change>"`` -> by how much; nothing where all is kept.

    Parameters
    ----------
    moved : of :func:`measure`.
    trained : of :func:`train_again`.
    """
    faults = {}
    means = moved[list(SCORES)].mean(schema.SAMPLE)
    makers = zip(moved[schema.METHOD].values.tolist(), moved[dt.KIND].values.tolist(), strict=True)
    for (method, kind), change in product(makers, moved[CHANGE].values.tolist()):
        at = {schema.METHOD: method, CHANGE: change}
        if change == REFERENCE or str(moved[dt.STATUS].sel(at).item()) != dt.DONE:
            continue
        tolerance = tolerance_of(method, kind, change)
        largest = {"pixels": (float(moved[PIXELS].sel(at).max()), tolerance.pixels)}
        for name in SCORES:
            reference = float(means[name].sel({schema.METHOD: method, CHANGE: REFERENCE}))
            difference = abs(float(means[name].sel(at)) - reference)
            if name in (schema.EPE15, schema.EPE3):
                largest[f"{name}, sites"] = (difference, tolerance.sites)
            else:
                largest[f"{name}, %"] = (100 * difference / max(reference, 1), tolerance.percent)
        over = [f"{name} {value:.3g} above {most:g}" for name, (value, most) in largest.items() if value > most]
        if over:
            faults[f"{method}, {change}"] = "; ".join(over)
    if trained is not None:
        for change in (dt.SEED, dt.HASH, dt.THREADS):
            value, most = trained["largest"].sel({CHANGE: change}).item(), TOLERANCES[dt.TRAINING, change].percent
            if value > most:
                faults[f"training, {change}"] = f"weights {value:.3g} % above {most:g}"
    return faults


def tolerance_of(method: str, kind: str, change: str) -> Tolerance:
    """What is accepted of a maker: that of its label, else that of its kind."""
    return TOLERANCES.get((method, change)) or TOLERANCES[kind, change]


def moved_table(moved: xr.Dataset) -> pd.DataFrame:
    """Pixels moved, mean and largest over the clips, one row a maker, for :func:`maskopt_lib.study.write_table`."""
    columns: dict[Any, Any] = {}
    for change in CHANGES:
        pixels = moved[PIXELS].sel({CHANGE: change})
        columns[change, "mean"] = pixels.mean(schema.SAMPLE).values
        columns[change, "largest"] = pixels.max(schema.SAMPLE).values
    notes = []
    for row in moved[dt.STATUS]:
        statuses = zip(row[CHANGE].values.tolist(), row.values.tolist(), strict=True)
        notes.append("; ".join(f"{change}: {why}" for change, why in statuses if why != dt.DONE))
    return pd.DataFrame(columns | {NOTE: notes}, index=pd.Index(moved[schema.METHOD].values, name="case"))


def score_table(moved: xr.Dataset) -> pd.DataFrame:
    """Change of mean scores, absolute and in percent, one row for each change of a maker that moved any pixel."""
    means = moved[list(SCORES)].mean(schema.SAMPLE)
    names = [(name, column) for name in SCORES for column in ("change", "change, %")]
    rows = {}
    for method, change in product(moved[schema.METHOD].values.tolist(), CHANGES):
        at = {schema.METHOD: method, CHANGE: change}
        if moved[PIXELS].sel(at).sum() > 0:
            reference = means.sel({schema.METHOD: method, CHANGE: REFERENCE})
            difference = means.sel(at) - reference
            percent = 100 * difference / reference.where(reference > 0)
            rows[f"{method}; {change}"] = [each[name].item() for name in SCORES for each in (difference, percent)]
    return pd.DataFrame.from_dict(rows, orient="index", columns=pd.MultiIndex.from_tuples(names)).rename_axis("case")
