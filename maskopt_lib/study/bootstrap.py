"""Means under a bootstrap that draws cells and seeds: what comparisons of methods on the same tiles are made of."""

from __future__ import annotations

import math

import numpy as np

N_DRAWS = 1000
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
    _, code = np.unique(np.asarray(groups), return_inverse=True)
    n_groups = int(code.max()) + 1
    means = np.full((len(values), n_draws), np.nan)
    if n_groups == 1:
        return means
    rng = np.random.default_rng(seed)
    tiles = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), n_draws)[:, code].astype(float)
    for row, own in enumerate(values):
        own = own[np.isfinite(own).any(axis=1)]
        if not len(own):
            continue
        n = len(own)
        drawn = np.random.default_rng((seed, row)).multinomial(n, np.full(n, 1 / n), n_draws).astype(float)
        there = np.isfinite(own).astype(float)
        total = np.einsum("ds,ds->d", drawn, tiles @ np.where(there > 0, own, 0).T)
        count = np.einsum("ds,ds->d", drawn, tiles @ there.T)
        means[row, count > 0] = total[count > 0] / count[count > 0]
    return means


def ends(draws: np.ndarray) -> np.ndarray:
    """Ends of 95 % intervals: (..., 2) of (..., draw).

    Each end is one of the draws, so that infinite ones may be among them; those that are not a number are left out.

    Examples
    --------
    >>> ends(np.array([0.0, 1.0, np.inf])).tolist(), ends(np.array([np.nan, np.nan])).tolist()
    ([0.0, inf], [nan, nan])
    """
    found = []
    for row in draws.reshape(-1, draws.shape[-1]):
        known = np.sort(row[~np.isnan(row)])
        at = [max(0, math.ceil(share * len(known)) - 1) for share in _SHARES]
        found.append(known[at] if len(known) else (np.nan, np.nan))
    return np.array(found).reshape(*draws.shape[:-1], 2)
