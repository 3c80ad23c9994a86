"""Fidelity against complexity: who is beaten by whom, what a dial buys, and whether a statement holds.

Every comparison is one of the same tiles, and its interval that of a bootstrap of cells and seeds: a statement is
confirmed or refuted only where the interval of the difference leaves no doubt of its sign.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.models import weights
from maskopt_lib.models.training import checkpoints
from maskopt_lib.models.training.tiles import read_tiles
from maskopt_lib.runs.bootstrap import HIGH, LOW, MEAN, N_DRAWS, STATISTIC, ends, intervals, resampled_means
from maskopt_lib.runs.effects import CONFIRMED, REFUTED, UNDECIDED
from maskopt_lib.runs.tables import NOTE
from maskopt_lib.study.dataset.tile_masks import LabelRule
from maskopt_lib.study.networks.benchmark import Entry, Tiles
from maskopt_lib.study.solvers.pareto import BOX, FAMILY, SPACES, family_of, family_volumes, outline_nm, with_lost
from maskopt_lib.study.solvers.settings import MERIT, merit

#: What fidelity is measured by, and what complexity is.
FIDELITY, COMPLEXITY = (schema.EPE_MEAN_ABS, schema.L2), schema.SHOTS
#: What becomes of a statement.
#: Which way a statement may go: the smallest or the largest mean of all.
SENSES = ("lowest", "highest")
_SPACE = "L2, PV band, shots"


def network_entries(networks: Mapping[tuple[str, int], Path], dials: Sequence[float]) -> list[Entry]:
    """Trained networks as entries: one with a dial once at each of its values, named ``"<network>, dial <value>"``.

    Parameters
    ----------
    networks : (network, seed) -> folder of its training.
    dials : from 0 (faithful) to 1 (simple).
    """
    found = []
    for (name, seed), folder in networks.items():
        if not weights.about(folder / checkpoints.WEIGHTS)["rule"]["conditioning"]["dial"]:
            found.append(Entry(name=name, trained=folder, seed=seed))
            continue
        found += [Entry(name=f"{name}, dial {dial:g}", trained=folder, seed=seed, dial=dial) for dial in dials]
    return found


def mean_points(scores: xr.Dataset, tiles: Tiles) -> xr.Dataset:
    """Methods as points, for :func:`maskopt_lib.study.front` and its figure.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    tiles : that were scored.

    Returns
    -------
    Dataset over ``method``: means over tiles and seeds, ``merit_nm2`` (L2 + PV band) and ``family``; its attribute
    ``outline_nm`` is the mean length of the outlines in the core, which the box of a hypervolume is made of.
    """
    found = scores[[*metrics.CORE_SCORES, schema.RUNTIME]].mean((schema.SEED, schema.SAMPLE), keep_attrs=True)
    found[MERIT] = merit(found)
    families = [family_of(name) for name in found[schema.METHOD].values.tolist()]
    found[FAMILY] = (schema.METHOD, families, {"long_name": "family", "units": "1"})
    return found.assign_attrs(scores.attrs | {"outline_nm": float(core_outlines(tiles).mean())})


def core_outlines(tiles: Tiles) -> np.ndarray:
    """(n,) length in nm of the outlines in the core of each tile."""
    where = {"split": tiles.split, "context_nm": tiles.context_nm}
    drawn = read_tiles(tiles.store, tiles.layer, np.array(tiles.samples), **where).drawn
    rule = LabelRule()
    hidden = round((rule.image_nm - rule.core_nm) / (2 * rule.pixel_nm))
    core = drawn[:, hidden:-hidden, hidden:-hidden]
    centres = (np.arange(core.shape[-1]) + 0.5) * rule.pixel_nm
    coords = {schema.SAMPLE: np.arange(len(core)), schema.Y: centres, schema.X: centres}
    return outline_nm(xr.DataArray(core, coords, (schema.SAMPLE, schema.Y, schema.X))).values


def mean_rows(scores: xr.Dataset, names: Sequence[str], *, seed: int = 0, n_draws: int = N_DRAWS) -> xr.Dataset:
    """Means with 95 % intervals over cells and seeds.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    names : of its variables; ``merit_nm2`` is L2 + PV band.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Dataset over ``method`` and ``statistic``.
    """
    scores = scores.assign({MERIT: merit(scores)})
    return intervals(scores[list(names)], scores["cell"].values, seed=seed, n_draws=n_draws)


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
    for own in values:
        better = (values <= own).all(-1) & (values < own).any(-1)
        by.append("; ".join(name for name, wins in zip(methods, better, strict=True) if wins))
    table = pd.DataFrame(dict(zip(names, values.T, strict=True)), index=pd.Index(methods, name=schema.METHOD))
    return table.assign(**{"dominated by": by})


def hypervolumes(scores: xr.Dataset, outlines_nm: np.ndarray, *, seed: int = 0, n_draws: int = N_DRAWS) -> xr.Dataset:
    """Share of the box of L2, PV band and shots that each family dominates, and what is lost without it.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    outlines_nm : (sample,) of :func:`core_outlines`; the box ends where every edge lies off by 15 nm.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Dataset over ``family`` and ``statistic``: ``alone`` and ``lost``, of mean scores.
    """
    names = SPACES[_SPACE]
    means, drawn = scores.mean((schema.SEED, schema.SAMPLE)), _draws(scores, names, seed, n_draws)
    sets = {name: np.concatenate([means[name].values[:, None], drawn[name]], axis=1).T for name in names}
    # The box is that of all tiles in every draw: it only sets the unit.
    scaled = BOX.scaled(sets, names, np.mean(outlines_nm))
    volumes = with_lost(family_volumes(scaled, [family_of(name) for name in scores[schema.METHOD].values.tolist()]))
    volumes = volumes[["alone", "lost"]].where(xr.DataArray(np.isfinite(scaled).all((1, 2)), dims="set"))
    rows = {name: ((FAMILY, STATISTIC), _rows(values.values), values.attrs) for name, values in volumes.items()}
    coords = {FAMILY: volumes[FAMILY], STATISTIC: [MEAN, LOW, HIGH]}
    return xr.Dataset(rows, coords, attrs={"space": _SPACE})


def against(
    scores: xr.Dataset, methods: Sequence[str], rivals: Mapping[str, str], *, seed: int = 0, n_draws: int = N_DRAWS
) -> xr.Dataset:
    """Whether a method beats a rival in each of several scores, and in all of them at once.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    methods : that are to win, such as the values of a dial.
    rivals : score -> method that is to be beaten in it.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Dataset over ``method``: ``difference`` over ``score`` and ``statistic``, method minus rival, negative where the
    method is better; ``share``, the draws in which it is better in all; ``verdict``: `CONFIRMED` if all intervals lie
    below zero, `REFUTED` if one lies above, else `UNDECIDED`.
    """
    _known(scores, [*methods, *rivals.values()])
    drawn = _draws(scores, list(rivals), seed, n_draws)
    at = {name: i for i, name in enumerate(scores[schema.METHOD].values.tolist())}
    mean = scores.mean((schema.SEED, schema.SAMPLE))
    rows, wins, verdicts = [], [], []
    for method in methods:
        parts = np.stack([drawn[name][at[method]] - drawn[name][at[rival]] for name, rival in rivals.items()])
        centre = [float(mean[name][at[method]] - mean[name][at[rival]]) for name, rival in rivals.items()]
        interval = ends(parts)
        rows.append(np.concatenate([np.array(centre)[:, None], interval], axis=1))
        counted = ~np.isnan(parts).any(0)
        wins.append((parts[:, counted] < 0).all(0).mean() if counted.any() else np.nan)
        verdicts.append(_verdict(interval))
    said = {"long_name": "difference to the rival", "units": "1"}
    return xr.Dataset(
        {
            "difference": ((schema.METHOD, "score", STATISTIC), np.array(rows).reshape(-1, len(rivals), 3), said),
            "share": (schema.METHOD, wins, {"long_name": "draws in which it is better in all", "units": "1"}),
            "verdict": (schema.METHOD, verdicts, {"long_name": "better in all", "units": "1"}),
        },
        coords={schema.METHOD: list(methods), "score": list(rivals), STATISTIC: [MEAN, LOW, HIGH]},
        attrs={"rivals": [f"{name}: {rival}" for name, rival in rivals.items()]},
    )


def statements(
    scores: xr.Dataset, claims: Sequence[Mapping[str, Any]], among: Sequence[str], *, seed: int = 0,
    n_draws: int = N_DRAWS,
) -> pd.DataFrame:  # fmt: skip
    """Statements of the kind "this network has the lowest score of all", each with what speaks for and against it.

    Parameters
    ----------
    scores : of :func:`maskopt_lib.study.networks.benchmark.benchmark`.
    claims : each with ``says`` (a sentence), ``network``, ``score``, and ``is``, one of `SENSES`.
    among : methods that it is compared with.
    seed, n_draws : of the bootstrap.

    Returns
    -------
    Table, a row a statement: ``verdict``, the network's mean, ``best`` (who has the lowest, or highest, mean), and the
    closest other's difference with its interval. Confirmed: every other's interval is on the right side of zero.
    Refuted: one is on the wrong side.
    """
    _known(scores, among)
    at = {name: i for i, name in enumerate(scores[schema.METHOD].values.tolist())}
    mean = scores.mean((schema.SEED, schema.SAMPLE))
    rows = []
    for claim in claims:
        if claim["is"] not in SENSES:
            raise UnknownNameError(f"no sense {claim['is']!r}; known: {', '.join(SENSES)}")
        _known(scores, [claim["network"]])
        sign = 1 if claim["is"] == SENSES[0] else -1
        own, score = at[claim["network"]], claim["score"]
        others = [name for name in among if name != claim["network"]]
        drawn = _draws(scores, [score], seed, n_draws)[score]
        interval = ends(sign * np.stack([drawn[own] - drawn[at[name]] for name in others]))
        gap = [sign * float(mean[score][own] - mean[score][at[name]]) for name in others]
        closest = int(np.argmax(gap))
        values = {name: float(mean[score][at[name]]) for name in among}
        low, high = np.sort(sign * interval[closest])
        rows.append(
            {
                "statement": claim["says"],
                "verdict": _verdict(interval),
                "score": score,
                "mean": float(mean[score][own]),
                "best": min(values, key=lambda name: sign * values[name]),
                "closest other": others[closest],
                "difference": sign * gap[closest],
                LOW: low,
                HIGH: high,
            }
        )
    return pd.DataFrame(rows).set_index("statement")


def statement_table(judged: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
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
            note = f"{row['verdict']}; {row['score']}; closest: {row['closest other']}; best: {row['best']}"
            rows[f"{tiles}: {says}"] = {
                ("mean", "its own"): row["mean"],
                ("difference", MEAN): row["difference"],
                ("difference", LOW): row[LOW],
                ("difference", HIGH): row[HIGH],
                NOTE: note,
            }
    table = pd.DataFrame(rows.values(), index=pd.Index(rows, name="statement"))
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    return table


def _verdict(interval: np.ndarray) -> str:
    """Of (n, 2) intervals of differences that are to be negative, all of them."""
    if (interval[:, 0] > 0).any():
        return REFUTED
    return CONFIRMED if (interval[:, 1] < 0).all() else UNDECIDED


def _draws(scores: xr.Dataset, names: Sequence[str], seed: int, n_draws: int) -> dict[str, np.ndarray]:
    """Score -> (method, draw)."""
    dims = (schema.METHOD, schema.SEED, schema.SAMPLE)
    groups = scores["cell"].values
    return {
        name: resampled_means(scores[name].transpose(*dims).values, groups, seed=seed, n_draws=n_draws)
        for name in names
    }


def _rows(values: np.ndarray) -> np.ndarray:
    """(family, statistic) of (family, 1 + draw): the first is that of all tiles."""
    return np.concatenate([values[:, :1], ends(values[:, 1:])], axis=1)


def _known(scores: xr.Dataset, names: Sequence[str]) -> None:
    known = scores[schema.METHOD].values.tolist()
    if unknown := [name for name in names if name not in known]:
        raise UnknownNameError(f"no method {', '.join(unknown)}; there are: {', '.join(known)}")
