"""What scores of mask models come to: means with intervals, solvers at equal time, and what failures have in common."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, N_DRAWS, STATISTIC, ends, intervals, resampled_means
from maskopt_lib.runs.gather import labelled
from maskopt_lib.study.networks.names import DESCENT, NETWORK, OF_ALONE, PLACED_SCORES
from maskopt_lib.study.solvers.settings import MERIT, merit

#: What is drawn in the core of a tile, and so its L2 where nothing prints.
TARGET = "target_nm2"
#: Who makes masks, over methods.
MAKER = "maker"
#: Dimension of draws of a bootstrap, behind what all tiles give.
DRAW = "draw"
#: What is known of a tile and may explain a score: name -> (long_name, units, name in tables).
TRAITS = {
    "core_density": ("share of the core that is drawn", "1", "core density"),
    "epe_sites": ("edge sites in the core", "1", "edge sites"),
    "n_shapes_cut": ("shapes that the window cuts", "1", "shapes cut"),
    "min_cut_nm": ("narrowest piece left by a cut", "nm", "narrowest cut piece"),
    "context_density": ("share of the shown context that is drawn", "1", "context density"),
}


def mean_scores(
    scores: xr.Dataset, names: Sequence[str] = (*PLACED_SCORES, *OF_ALONE.values(), schema.RUNTIME), *, seed: int = 0
) -> xr.Dataset:
    """Means with 95 % intervals of a bootstrap that draws cells, and seeds where there are any.

    Parameters
    ----------
    scores : over ``sample`` and other dimensions, with ``cell``, such as those of a benchmark.
    names : of its variables; ``merit_nm2`` is L2 + PV band.
    seed : of the bootstrap.

    Returns
    -------
    The variables over ``statistic`` (mean, low, high) in place of ``sample`` and ``seed``.
    """
    if MERIT in names and MERIT not in scores:
        scores = scores.assign({MERIT: merit(scores)})
    return intervals(scores[[name for name in names if name in scores]], scores["cell"].values, seed=seed)


def drawn_means(scores: xr.DataArray, cells: np.ndarray, *, seed: int = 0, n_draws: int = N_DRAWS) -> xr.DataArray:
    """Means over tiles and seeds, of all of them and of many draws of cells and seeds.

    Parameters
    ----------
    scores : over ``sample``, maybe ``seed``, and other dimensions.
    cells : (sample,) tiles of a cell are drawn together.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Over the other dimensions and ``draw``: the first is that of all tiles.
    """
    scores = (scores if schema.SEED in scores.dims else scores.expand_dims(schema.SEED)).astype(float)

    def draws(values: np.ndarray) -> np.ndarray:
        means = resampled_means(values.reshape(-1, *values.shape[-2:]), cells, seed=seed, n_draws=n_draws)
        return means.reshape(*values.shape[:-2], n_draws)

    core = {"input_core_dims": [[schema.SEED, schema.SAMPLE]], "output_core_dims": [[DRAW]]}
    drawn = xr.apply_ufunc(draws, scores, **core)
    return xr.concat([scores.mean((schema.SEED, schema.SAMPLE)), drawn], DRAW).transpose(..., DRAW)


def interval_of(drawn: xr.DataArray) -> xr.DataArray:
    """Mean with the ends of its 95 % interval, over ``statistic`` in place of the ``draw`` of :func:`drawn_means`."""
    drawn = drawn.transpose(..., DRAW)
    values = np.concatenate([drawn.values[..., :1], ends(drawn.values[..., 1:])], axis=-1)
    dims = [*drawn.dims[:-1], STATISTIC]
    return xr.DataArray(values, drawn.coords | {STATISTIC: [MEAN, LOW, HIGH]}, dims)


def dead(scores: xr.Dataset) -> dict[str, list[int]]:
    """Seeds of each method whose masks print nothing on any tile where something is drawn.

    Parameters
    ----------
    scores : of a benchmark.

    Returns
    -------
    Method -> seeds; methods without any are not in it. Such a network has learnt nothing: its rows say nothing of the
    others of its name, and stand in no mean, no interval and no statement.
    """
    drawn = scores[TARGET] > 0
    there, nothing = scores[schema.L2].notnull(), scores[schema.L2] == scores[TARGET]
    all_dark = (nothing | ~drawn).all(schema.SAMPLE) & there.any(schema.SAMPLE) & bool(drawn.any())
    found = all_dark.transpose(schema.METHOD, schema.SEED).to_series()
    by_method: dict[str, list[int]] = {}
    is_trained = _is_trained(scores)
    for method, seed in found.index[found]:
        # The layout as its own mask, labels and solvers may print nothing: that is what they are worth.
        if is_trained[method]:
            by_method.setdefault(method, []).append(int(seed))
    return by_method


def prints(scores: xr.Dataset) -> xr.DataArray:
    """Whether anything prints, at any corner and on any tile, of what each seed of a network drew.

    Where nothing does, there is no PV band, and an L2 that only says how much was drawn.

    Parameters
    ----------
    scores : with L2 and PV band over ``sample``.
    """
    return ((scores[schema.PVB] > 0) | (scores[schema.L2] == 0)).any(schema.SAMPLE)


def living(scores: xr.Dataset) -> xr.Dataset:
    """The same scores with nan for seeds that are :func:`dead`."""
    lost = xr.zeros_like(scores[schema.L2].isel({schema.SAMPLE: 0}, drop=True), dtype=bool)
    for method, seeds in dead(scores).items():
        lost.loc[{schema.METHOD: method, schema.SEED: seeds}] = True
    by_seed = [name for name, values in scores.data_vars.items() if schema.SEED in values.dims]
    return scores.assign({name: scores[name].where(~lost) for name in by_seed})


def seed_rows(scores: xr.Dataset, names: Sequence[str] = (schema.L2, schema.PVB, schema.EPE3)) -> pd.DataFrame:
    """Means over tiles of each seed, one row each, with ``"prints nothing"`` beside the dead; networks only."""
    lost = dead(scores)
    means = scores[list(names)].mean(schema.SAMPLE).stack(row=(schema.METHOD, schema.SEED)).to_dataframe()[list(names)]
    trained = _is_trained(scores)
    table = means[means.index.get_level_values(0).map(trained).astype(bool)].dropna(how="all")
    dark = [seed in lost.get(method, ()) for method, seed in table.index]
    return table.assign(note=np.where(dark, "prints nothing", ""))


def _is_trained(scores: xr.Dataset) -> pd.Series:
    """Whether a method was trained, by its name."""
    return scores[MAKER].to_series().isin([NETWORK, DESCENT])


def seeds_said(scores: xr.Dataset) -> str:
    """How many seeds of each network count, and which do not, for a caption; empty where all do."""
    lost = dead(scores)
    n_seeds = scores[schema.L2].notnull().any(schema.SAMPLE).sum(schema.SEED).to_series()
    said = [
        f"{name}: {len(seeds)} of {n_seeds[name]} seeds ({', '.join(map(str, seeds))})" for name, seeds in lost.items()
    ]
    return f" Dead, and in no mean: {'; '.join(said)}." if said else ""


def at_equal_time(
    scores: xr.Dataset, networks: Sequence[str], solvers: Sequence[str], *, by: str = schema.L2
) -> xr.Dataset:
    """Each network beside the best solver that takes no longer, tile by tile.

    Parameters
    ----------
    scores : of a benchmark.
    networks, solvers : methods of it.
    by : score by which the best is chosen, the smallest mean.

    Returns
    -------
    Dataset over ``method`` (networks): ``solver`` (the fastest of all where none is as fast as the network), the
    seconds of both, and ``gain_<score>``: the solver's mean minus the network's, positive where the network is better.
    """
    mean = scores.mean((schema.SEED, schema.SAMPLE), keep_attrs=True)
    of_solvers = mean.sel({schema.METHOD: list(solvers)})
    seconds = of_solvers[schema.RUNTIME]
    network_means = mean.sel({schema.METHOD: list(networks)})
    able = [of_solvers[by].where(seconds <= limit, drop=True) for limit in network_means[schema.RUNTIME].values]
    rivals = [each.idxmin().item() if each.size else seconds.idxmin().item() for each in able]
    solver_means = mean.sel({schema.METHOD: xr.DataArray(rivals, dims=schema.METHOD)}).drop_vars(schema.METHOD)
    columns = {
        "solver": (schema.METHOD, rivals, {"long_name": "best solver at equal time", "units": "1"}),
        schema.RUNTIME: network_means[schema.RUNTIME],
        "solver_s": solver_means[schema.RUNTIME].assign_attrs(long_name="time of the solver", units="s"),
    }
    for name in (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS):
        long_name, units = schema.VARIABLES[name]
        gain = solver_means[name] - network_means[name]
        columns[f"gain_{name}"] = gain.assign_attrs(long_name=f"gain: {long_name}", units=units)
    return xr.Dataset(columns, coords={schema.METHOD: list(networks)})


def failure_signatures(
    scores: xr.Dataset, *, names: Sequence[str] = (schema.EPE3, schema.PVB, schema.SHOTS), share: float = 0.1
) -> xr.Dataset:
    """What the worst tiles of each method have in common.

    Parameters
    ----------
    scores : of a benchmark.
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
    traits = {name: scores[name].values for name in TRAITS if name in scores and scores[name].dims == (schema.SAMPLE,)}
    traits["epe_sites"] = mean["epe_sites"].isel({schema.METHOD: 0}).values
    n_failed = max(1, round(share * scores.sizes[schema.SAMPLE]))
    rows = {}
    for method, name in product(scores[schema.METHOD].values.tolist(), names):
        values = mean[name].sel({schema.METHOD: method}).values
        order = np.argsort(-values, kind="stable")
        failed, others = order[:n_failed], order[n_failed:]
        # Where the last of the worst is no worse than the best, nothing tells them apart.
        differ = values[failed[-1]] != values[order[-1]]
        differences = [_difference(trait, failed, others) if differ else np.nan for trait in traits.values()]
        rows[method, schema.VARIABLES[name][0].partition(" (")[0]] = xr.Dataset(
            {
                "difference": ("trait", differences),
                "failed": values[failed].mean(),
                "others": values[others].mean() if len(others) else np.nan,
                "worst": ("rank", failed),
            }
        )
    texts = {
        "difference": "worst tiles against the others, in standard deviations",
        "failed": "mean of the worst tiles",
        "others": "mean of the others",
        "worst": "sample",
    }
    ds = labelled(rows, (schema.METHOD, "score"), texts=texts)
    return ds.assign_coords(trait=[TRAITS[name][2] for name in traits]).assign_attrs(share=share)


def _difference(trait: np.ndarray, failed: np.ndarray, others: np.ndarray) -> float:
    """Mean of a trait over failed tiles minus that over others, in standard deviations; nan where that says nothing."""
    spread = np.nanstd(trait)
    if not (spread > 0 and np.isfinite(trait[failed]).any() and np.isfinite(trait[others]).any()):
        return np.nan
    return (np.nanmean(trait[failed]) - np.nanmean(trait[others])) / spread
