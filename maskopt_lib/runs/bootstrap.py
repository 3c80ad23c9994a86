"""Means under a bootstrap that draws cells and seeds: what comparisons of methods on the same tiles are made of."""

import numpy as np
import xarray as xr

from maskopt_lib.data import schema

N_DRAWS = 1000
STATISTIC = "statistic"
MEAN, LOW, HIGH = "mean", "low", "high"
_SHARES = 0.025, 0.975


def resampled_means(values: np.ndarray, groups: np.ndarray, *, n_draws: int = N_DRAWS, seed: int = 0) -> np.ndarray:
    """Means of many draws of tiles and seeds.

    Parameters
    ----------
    values : (row, seed, sample); what is not finite is left out, and a seed without any number does not count.
    groups : (sample,) tiles that are drawn together, such as those of a cell, which resemble each other.
    n_draws, seed : of the bootstrap.

    Returns
    -------
    (row, draw). A draw takes the same tiles for all rows, so that rows may be subtracted; seeds are drawn for each row
    by itself. All are nan with a single group, which says nothing of others.

    Examples
    --------
    >>> twice = np.array([[[1.0, 2.0, 6.0]], [[2.0, 4.0, 12.0]]])
    >>> one, two = resampled_means(twice, np.array(["a", "b", "c"]), n_draws=50)
    >>> bool(np.allclose(2 * one, two)), len(np.unique(one)) > 3
    (True, True)
    """
    values = np.asarray(values, float)
    _, group = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(group.max()) + 1
    means = np.full((len(values), n_draws), np.nan)
    if n_groups == 1:
        return means
    tiles = _draws(n_groups, n_draws, seed)[:, group]
    for row, by_seed in enumerate(values):
        known = np.isfinite(by_seed)
        by_seed, known = (each[known.any(axis=1)] for each in (np.where(known, by_seed, 0), known.astype(float)))
        if not len(by_seed):
            continue
        seeds = _draws(len(by_seed), n_draws, (seed, row))
        total = np.einsum("ds,ds->d", seeds, tiles @ by_seed.T)
        count = np.einsum("ds,ds->d", seeds, tiles @ known.T)
        means[row, count > 0] = total[count > 0] / count[count > 0]
    return means


def _draws(n: int, n_draws: int, seed: int | tuple[int, int]) -> np.ndarray:
    """(draw, n) how often each of n is drawn, when n are drawn with replacement."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), n_draws).astype(float)


def ends(draws: np.ndarray) -> np.ndarray:
    """Ends of 95 % intervals: (..., 2) of (..., draw).

    Each end is one of the draws, so that infinite ones may be among them; those that are not a number are left out.

    Examples
    --------
    >>> ends(np.array([0.0, 1.0, np.inf])).tolist(), ends(np.array([np.nan, np.nan])).tolist()
    ([0.0, inf], [nan, nan])
    """
    ordered = np.sort(draws, axis=-1)  # what is not a number comes last
    n_known = (~np.isnan(draws)).sum(-1, keepdims=True)
    at = np.ceil(np.array(_SHARES) * n_known).astype(int) - 1
    return np.take_along_axis(ordered, np.maximum(at, 0), -1)


def intervals(
    scores: xr.Dataset, groups: np.ndarray, *, along: str = schema.SAMPLE, n_draws: int = N_DRAWS, seed: int = 0
) -> xr.Dataset:
    """Means with 95 % intervals of a bootstrap that draws groups of tiles, and seeds where there are any.

    Parameters
    ----------
    scores : Dataset of numbers; what is not finite is left out, and so are variables without ``along``.
    groups : (along,) tiles that are drawn together, such as those of a cell, which resemble each other.
    along : dimension of the tiles.
    n_draws, seed : of the bootstrap.

    Returns
    -------
    The same variables over ``statistic`` (mean, low, high) in place of ``along`` and ``seed``. Every draw takes the
    same tiles for all rows. With a single group there is no interval: nan; a row with one seed has no spread of seeds
    in it.

    Examples
    --------
    >>> same = xr.Dataset({"l2_nm2": ("sample", [4.0, 4.0, 4.0])})
    >>> intervals(same, np.array(["a", "a", "b"])).l2_nm2.values.tolist()
    [4.0, 4.0, 4.0]
    """

    def statistics(values: np.ndarray) -> np.ndarray:
        rows = values.reshape(-1, *values.shape[-2:])
        rows = np.where(np.isfinite(rows), rows, np.nan)
        known = np.isfinite(rows).any((1, 2))
        mean = np.full((len(rows), 1), np.nan)
        mean[known, 0] = np.nanmean(rows[known], axis=(1, 2))
        interval = ends(resampled_means(rows, groups, n_draws=n_draws, seed=seed))
        return np.concatenate([mean, interval], axis=1).reshape(*values.shape[:-2], 3)

    def over(scores: xr.DataArray) -> xr.DataArray:
        if schema.SEED not in scores.dims:
            scores = scores.expand_dims(schema.SEED)
        core = {"input_core_dims": [[schema.SEED, along]], "output_core_dims": [[STATISTIC]]}
        return xr.apply_ufunc(statistics, scores.astype(float), keep_attrs=True, **core)

    numbers = {name: over(score) for name, score in scores.items() if along in score.dims and score.dtype.kind in "fiu"}
    return xr.Dataset(numbers, attrs=scores.attrs).assign_coords({STATISTIC: [MEAN, LOW, HIGH]})
