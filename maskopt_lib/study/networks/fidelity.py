"""Fidelity against complexity: who is beaten by whom, what a dial buys, and whether a statement holds.

Every comparison is one of the same tiles; a statement is confirmed or refuted only where the difference leaves no doubt
of its sign, by :mod:`maskopt_lib.runs.effects`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, N_DRAWS
from maskopt_lib.runs.effects import CONFIRMED, REFUTED, UNDECIDED, difference, verdicts
from maskopt_lib.runs.tables import NOTE
from maskopt_lib.study.labelled_images import images
from maskopt_lib.study.networks.benchmark import Bench, Tiles
from maskopt_lib.study.networks.scores import DRAW, drawn_means, interval_of
from maskopt_lib.study.solvers.pareto import BOX, SPACES, family_of, family_volumes, outline_nm, with_lost

#: What fidelity is measured by, and what complexity is.
FIDELITY, COMPLEXITY = (schema.EPE_MEAN_ABS, schema.L2), schema.SHOTS
#: Which way a statement may go: the smallest or the largest mean of all.
SENSES = ("lowest", "highest")
_SPACE = "L2, PV band, shots"


def core_outlines(bench: Bench, tiles: Tiles) -> np.ndarray:
    """(n,) length in nm of the outlines in the core of each tile."""
    drawn = bench.read(tiles).drawn
    hidden = (drawn.shape[-1] - CORE_NM) // 2
    return outline_nm(images(drawn[:, hidden:-hidden, hidden:-hidden], 1.0, sample=tiles.samples)).values


def dominated_by(points: xr.Dataset, names: Sequence[str] = (*FIDELITY, COMPLEXITY)) -> pd.DataFrame:
    """Who is at least as good as a method in all scores and better in one, by means.

    Parameters
    ----------
    points : Dataset over ``method`` with the scores ``names``, better when smaller.
    names : scores.

    Returns
    -------
    Table with one row a method: its scores, and ``dominated by``, empty for those on the front.

    Examples
    --------
    >>> two = xr.Dataset({"l2_nm2": ("method", [2.0, 1.0]), "shots": ("method", [5.0, 5.0])}, {"method": ["a", "b"]})
    >>> dominated_by(two, ["l2_nm2", "shots"])["dominated by"].tolist()
    ['b', '']
    """
    methods = points[schema.METHOD].values.tolist()
    values = np.stack([np.asarray(points[name], float) for name in names], axis=-1)
    by = []
    for point in values:
        better = (values <= point).all(-1) & (values < point).any(-1)
        by.append("; ".join(name for name, wins in zip(methods, better, strict=True) if wins))
    table = pd.DataFrame(dict(zip(names, values.T, strict=True)), index=pd.Index(methods, name=schema.METHOD))
    return table.assign(**{"dominated by": by})


def hypervolumes(scores: xr.Dataset, outlines_nm: np.ndarray, *, seed: int = 0, n_draws: int = N_DRAWS) -> xr.Dataset:
    """Share of the box of L2, PV band and shots that each family dominates, and what is lost without it.

    Parameters
    ----------
    scores : of a benchmark.
    outlines_nm : (sample,) of :func:`core_outlines`; the box ends where every edge lies off by 15 nm.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Dataset over ``family`` and ``statistic``: ``alone`` and ``lost``, of mean scores.
    """
    names, cells = SPACES[_SPACE], scores["cell"].values
    drawn = {name: drawn_means(scores[name], cells, seed=seed, n_draws=n_draws) for name in names}
    drawn = {name: means.transpose(DRAW, schema.METHOD) for name, means in drawn.items()}
    # The box is that of all tiles in every draw: it only sets the unit.
    scaled = BOX.scaled(drawn, names, np.mean(outlines_nm))
    volumes = with_lost(family_volumes(scaled, [family_of(name) for name in scores[schema.METHOD].values.tolist()]))
    known = ~np.isnan(scaled).any((1, 2))
    shares = volumes[["alone", "lost"]].where(xr.DataArray(known, dims="set")).rename(set=DRAW)
    return shares.map(interval_of, keep_attrs=True).assign_attrs(space=_SPACE)


def against(scores: xr.Dataset, methods: Sequence[str], rivals: Mapping[str, str], *, seed: int = 0) -> xr.Dataset:
    """Whether a method beats a rival in each of several scores, and in all of them at once.

    Parameters
    ----------
    scores : of a benchmark.
    methods : that are to win, such as the values of a dial.
    rivals : score -> method that is to be beaten in it.
    seed : of the bootstrap.

    Returns
    -------
    Dataset over ``method``: ``difference`` over ``score`` and ``statistic``, method minus rival, negative where the
    method is better; ``share``, the draws in which it is better in all; ``verdict``: `CONFIRMED` if all intervals lie
    below zero, `REFUTED` if one lies above, else `UNDECIDED`.
    """
    _known(scores, [*methods, *rivals.values()])
    differences = []
    for name, rival in rivals.items():
        means = drawn_means(scores[name], scores["cell"].values, seed=seed)
        differences.append(means.sel({schema.METHOD: list(methods)}) - means.sel({schema.METHOD: rival}, drop=True))
    difference = xr.concat(differences, pd.Index(list(rivals), name="score"))
    difference = difference.transpose(schema.METHOD, "score", DRAW)
    draws, intervals = difference.isel({DRAW: slice(1, None)}), interval_of(difference)
    wins = (draws < 0).all("score").where(draws.notnull().all("score")).mean(DRAW)
    verdicts = (schema.METHOD, [_verdict(rows[:, 1:]) for rows in intervals.values])
    ds = xr.Dataset({"difference": intervals, "share": wins, "verdict": verdicts})
    texts = {
        "difference": "difference to the rival",
        "share": "draws in which it is better in all",
        "verdict": "better in all",
    }
    return schema.described(ds, texts).assign_attrs(rivals=[f"{name}: {rival}" for name, rival in rivals.items()])


def statements(scores: xr.Dataset, claims: Sequence[Mapping[str, Any]], among: Sequence[str]) -> pd.DataFrame:
    """Statements of the kind "this network has the lowest score of all", each with what speaks for and against it.

    Parameters
    ----------
    scores : of a benchmark.
    claims : each with ``says`` (a sentence), ``network``, ``score``, and ``is``, one of `SENSES`.
    among : methods that it is compared with.

    Returns
    -------
    Table, a row a statement: ``verdict`` and the ``p`` of all of them together (Holm), the network's mean, ``best``
    (who has the lowest, or highest, mean), and the difference to the other that speaks most against it, with its
    interval.
    """
    _known(scores, [*among, *(claim["network"] for claim in claims)])
    rows, effects = [], []
    for claim in claims:
        if claim["is"] not in SENSES:
            raise UnknownNameError(f"no sense {claim['is']!r}; known: {', '.join(SENSES)}")
        sign = 1 if claim["is"] == SENSES[0] else -1
        score, cells = scores[claim["score"]], scores["cell"].values
        claimed = score.sel({schema.METHOD: claim["network"]})
        others = {name: score.sel({schema.METHOD: name}) for name in among if name != claim["network"]}
        # Above zero where the statement holds against this one.
        gaps = {name: difference(sign * other, sign * claimed, cells) for name, other in others.items()}
        closest = min(gaps, key=lambda name: gaps[name].interval[0])
        effects.append(gaps[closest])
        low, high = sorted(-sign * np.array(gaps[closest].interval))
        means = score.sel({schema.METHOD: list(among)}).mean((schema.SEED, schema.SAMPLE))
        row = {"statement": claim["says"], "score": claim["score"], "mean": float(claimed.mean())}
        row |= {"best": (sign * means).idxmin().item(), "closest other": closest}
        rows.append(row | {"difference": -sign * gaps[closest].mean, LOW: low, HIGH: high})
    found, p = verdicts(effects, [0.0] * len(effects))
    return pd.DataFrame(rows).assign(verdict=found, p=p).set_index("statement")


def claims_table(judged: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Statements on several sets of tiles as one table, for :func:`maskopt_lib.study.write_table`.

    Parameters
    ----------
    judged : which tiles -> what :func:`statements` found.

    Returns
    -------
    A row for each statement, ``<tiles>: <statement>``: the network's mean, the difference to the closest other with its
    interval, and verdict, score, that other and who is best as a note.
    """
    rows = {}
    for tiles, found in judged.items():
        for says, row in found.iterrows():
            numbers = {("mean", "its own"): row["mean"], ("difference", MEAN): row["difference"]}
            numbers |= {("difference", end): row[end] for end in (LOW, HIGH)}
            note = f"{row['verdict']}; p {row['p']:.3f}; {row['score']}; closest: {row['closest other']}; "
            note += f"best: {row['best']}"
            rows[f"{tiles}: {says}"] = numbers | {NOTE: note}
    table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="statement"))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table


def _verdict(interval: np.ndarray) -> str:
    """Of (n, 2) intervals of differences that are to be negative, all of them."""
    if (interval[:, 0] > 0).any():
        return REFUTED
    return CONFIRMED if (interval[:, 1] < 0).all() else UNDECIDED


def _known(scores: xr.Dataset, names: Sequence[str]) -> None:
    known = scores[schema.METHOD].values.tolist()
    if unknown := [name for name in names if name not in known]:
        raise UnknownNameError(f"no method {', '.join(unknown)}; there are: {', '.join(known)}")
