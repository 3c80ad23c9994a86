"""What context is worth to networks, in numbers: means, gains on the same tiles, and what printing alone flatters."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.runs.bootstrap import intervals
from maskopt_lib.runs.effects import Effect, effect_rows, gain
from maskopt_lib.study.dataset.context import ALL_AROUND, ALONE, CONTEXT, IN_PLACE, PRINTED
from maskopt_lib.study.networks.contexts import NETWORK


def context_means(scores: xr.Dataset, *, seed: int = 0) -> xr.Dataset:
    """Means over tiles and seeds with 95 % intervals of a bootstrap that draws cells and seeds.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.contexts.score_contexts`.
    seed : of the bootstrap.

    Returns
    -------
    Dataset over ``network``, ``context``, ``printed`` and ``statistic`` (mean, low, high).
    """
    return intervals(scores[list(metrics.CORE_SCORES)], scores["cell"].values, seed=seed)


def context_gain(
    scores: xr.Dataset, network: str, narrow: int, wide: int, *, printed: str = IN_PLACE, name: str = schema.L2,
    dense: bool = False, seed: int = 0,
) -> Effect:  # fmt: skip
    """By how many percent a score is smaller with more context than with less, on the same tiles.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.contexts.score_contexts`.
    network : which of them.
    narrow, wide : contexts in nm.
    printed : how.
    name : of the score.
    dense : count only the denser half of the tiles.
    seed : of the bootstrap over cells and seeds.
    """
    own = scores[[name, "cell", "core_density"]].sel({NETWORK: network, PRINTED: printed})
    if dense:
        own = own.isel({schema.SAMPLE: own["core_density"].values >= float(own["core_density"].median())})
    less, more = (own[name].sel({CONTEXT: context}) for context in (narrow, wide))
    return gain(less, more, own["cell"].values, seed=seed)


def context_effects(scores: xr.Dataset, networks: Sequence[str], *, name: str = schema.L2, seed: int = 0) -> xr.Dataset:
    """What each context gains against the narrowest, alone and in place, and how much printing alone flatters.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.contexts.score_contexts`.
    networks : that are listed.
    name : of the score.
    seed : of the bootstrap over cells and seeds.

    Returns
    -------
    Dataset over ``row`` (network and context) and ``effect``: ``mean``, ``low`` and ``high``, in percent. "gain alone"
    and "gain in place": by how much the score is smaller than with the narrowest context; "flattered": by how much it
    is smaller alone than in place.
    """
    known = (
        scores[name].sel({NETWORK: list(networks), PRINTED: ALONE}).notnull().any((NETWORK, schema.SEED, schema.SAMPLE))
    )
    contexts = [c for c in scores[CONTEXT].values[known.values].tolist() if c != ALL_AROUND]
    rows = {(network, context): f"{network}, {context} nm" for network in networks for context in contexts}
    found = {
        (row, f"gain {printed}"): context_gain(
            scores, network, contexts[0], context, printed=printed, name=name, seed=seed
        )
        for printed in (ALONE, IN_PLACE)
        for (network, context), row in rows.items()
        if context != contexts[0]
    }
    for (network, context), row in rows.items():
        own = scores[name].sel({NETWORK: network, CONTEXT: context})
        alone, in_place = (own.sel({PRINTED: printed}) for printed in (ALONE, IN_PLACE))
        found[row, "flattered"] = gain(in_place, alone, scores["cell"].values, seed=seed)
    ordered = dict(sorted(found.items(), key=lambda entry: list(rows.values()).index(entry[0][0])))
    effects = effect_rows(ordered, rows="row", columns="effect", long_name=f"{schema.VARIABLES[name][0]}: effect")
    return effects.sel(effect=[f"gain {ALONE}", f"gain {IN_PLACE}", "flattered"])
