"""What scores of mask models come to: means with intervals, solvers at equal time, and what failures have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.runs.bootstrap import intervals

#: What is known of a tile and may explain a score: name -> (long_name, units, name in tables).
TRAITS = {
    "core_density": ("share of the core that is drawn", "1", "core density"),
    "epe_sites": ("edge sites in the core", "1", "edge sites"),
    "n_shapes_cut": ("shapes that the window cuts", "1", "shapes cut"),
    "min_cut_nm": ("narrowest piece left by a cut", "nm", "narrowest cut piece"),
    "context_density": ("share of the shown context that is drawn", "1", "context density"),
}


def mean_scores(scores: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """Means with 95 % intervals of a bootstrap that draws cells and seeds.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    seed : of the bootstrap.

    Returns
    -------
    Scores and seconds over ``method`` and ``statistic`` (mean, low, high).
    """
    names = [name for name in (*metrics.CORE_SCORES, schema.RUNTIME) if name in scores]
    return intervals(scores[names], scores["cell"].values, seed=seed)


def at_equal_time(scores: xr.Dataset, networks: Sequence[str], solvers: Sequence[str]) -> xr.Dataset:
    """Each network beside the slowest solver that takes no longer, tile by tile.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    networks, solvers : methods of it.

    Returns
    -------
    Dataset over ``method`` (networks): ``solver`` (the fastest of all where none is as fast as the network), the
    seconds of both, and ``gain_<score>``: the solver's mean minus the network's, positive where the network is better.
    """
    mean = scores.mean((schema.SEED, schema.SAMPLE), keep_attrs=True)
    seconds = mean[schema.RUNTIME].sel({schema.METHOD: list(solvers)})
    rows = []
    for name in networks:
        own = float(mean[schema.RUNTIME].sel({schema.METHOD: name}))
        able = seconds.where(seconds <= own, drop=True)
        chosen = able.idxmax() if able.size else seconds.idxmin()
        rows.append(chosen.item())
    pick = {schema.METHOD: xr.DataArray(rows, dims=schema.METHOD)}
    left, right = mean.sel({schema.METHOD: list(networks)}), mean.sel(pick).drop_vars(schema.METHOD)
    said = {"long_name": "solver at equal time", "units": "1"}
    found = {"solver": (schema.METHOD, rows, said), schema.RUNTIME: left[schema.RUNTIME]}
    found["solver_s"] = right[schema.RUNTIME].assign_attrs(long_name="time of the solver", units="s")
    for name in (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS):
        long_name, units = schema.VARIABLES[name]
        found[f"gain_{name}"] = (right[name] - left[name]).assign_attrs(long_name=f"gain: {long_name}", units=units)
    return xr.Dataset(found, coords={schema.METHOD: list(networks)})


def failure_signatures(scores: xr.Dataset, *, names: Sequence[str] = (schema.EPE3, schema.PVB, schema.SHOTS),
                       share: float = 0.1) -> xr.Dataset:  # fmt: skip
    """What the worst tiles of each method have in common.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    names : scores by which tiles fail.
    share : of the tiles that count as failed, at least one.

    Returns
    -------
    Dataset over ``method``, ``score`` and ``trait``: ``difference``, mean of the failed tiles minus that of the others,
    in standard deviations over all; over ``method`` and ``score``: ``failed`` and ``others``, mean scores; over
    ``method``, ``score`` and ``rank`` ``worst``, the samples that failed, the worst first. ``difference`` is nan where
    the failed are no worse than the rest.
    """
    mean = scores.mean(schema.SEED)
    known = {name: scores[name].values for name in TRAITS if name in scores and scores[name].dims == (schema.SAMPLE,)}
    known["epe_sites"] = mean["epe_sites"].isel({schema.METHOD: 0}).values
    n = scores.sizes[schema.SAMPLE]
    n_failed = max(1, round(share * n))
    methods = scores[schema.METHOD].values.tolist()
    difference = np.full((len(methods), len(names), len(known)), np.nan)
    failed, others = np.full((2, len(methods), len(names)), np.nan)
    worst = np.zeros((len(methods), len(names), n_failed), int)
    for i, method in enumerate(methods):
        for j, name in enumerate(names):
            values = mean[name].sel({schema.METHOD: method}).values
            order = np.argsort(-values, kind="stable")
            bad, good = order[:n_failed], order[n_failed:]
            worst[i, j] = bad
            failed[i, j], others[i, j] = values[bad].mean(), values[good].mean() if len(good) else np.nan
            if values[bad[-1]] == values[order[-1]]:
                continue  # the last of the worst is no worse than the best: nothing tells them apart
            for k, trait in enumerate(known.values()):
                spread_of = np.nanstd(trait)
                if len(good) and spread_of > 0 and np.isfinite(trait[bad]).any() and np.isfinite(trait[good]).any():
                    difference[i, j, k] = (np.nanmean(trait[bad]) - np.nanmean(trait[good])) / spread_of
    dims = (schema.METHOD, "score")
    said = "worst tiles against the others, in standard deviations"
    return xr.Dataset(
        {
            "difference": ((*dims, "trait"), difference, {"long_name": said, "units": "1"}),
            "failed": (dims, failed, {"long_name": "mean of the worst tiles", "units": "1"}),
            "others": (dims, others, {"long_name": "mean of the others", "units": "1"}),
            "worst": ((*dims, "rank"), worst, {"long_name": "sample", "units": "1"}),
        },
        coords={
            schema.METHOD: methods,
            "score": [schema.VARIABLES[name][0].partition(" (")[0] for name in names],
            "trait": [TRAITS[name][2] for name in known],
        },
        attrs={"share": share},
    )
