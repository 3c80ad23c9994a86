"""Masks that are drawn, scored on the core, and kept with their scores as parts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import metrics
from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.parts import read_part, write_part
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.context import PRINTED


@dataclass(frozen=True, kw_only=True)
class Drawing(Task):
    """Masks of some tiles: who draws them, where they are kept, and whether they can be printed alone."""

    draw: Callable[[], np.ndarray]
    alone: bool = True


def score_drawings(
    drawings: Mapping[tuple, Drawing],
    drawn: np.ndarray,
    sim: Simulator,
    *,
    title: str,
    surroundings: np.ndarray | None = None,
) -> dict[tuple, xr.Dataset]:
    """Draw and score masks, or take those that are there.

    Parameters
    ----------
    drawings : labels -> who draws.
    drawn : (n, y, x) the layout of the tiles.
    sim : to print with.
    title : of the progress bar.
    surroundings : (n, y, x) masks of whole fields, in which the masks are printed too.

    Returns
    -------
    Labels -> scores over ``sample``; with surroundings over ``printed`` too: alone (nan where that cannot be) and in
    place.
    """
    complete(partial(_draw, drawn, sim, surroundings), drawings.values(), title=title, unit="network")
    dims = (schema.SAMPLE,) if surroundings is None else (PRINTED, schema.SAMPLE)
    return {
        at: xr.Dataset({name: (dims, v.astype(float)) for name, v in read_part(d.path, metrics.CORE_SCORES).items()})
        for at, d in drawings.items()
    }


def write_scored(
    path: Path, masks: np.ndarray, drawn: np.ndarray, sim: Simulator, about: Mapping[str, Any], seconds: float = np.nan
) -> None:
    """A part with masks (n, y, x), their scores on the core, and a tile's share of the seconds that all took."""
    scores = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM)
    arrays = {name: scores[name].values for name in metrics.CORE_SCORES}
    write_masks(path, masks, arrays | {schema.RUNTIME: np.full(len(masks), seconds / len(masks))}, about)


def write_masks(path: Path, masks: np.ndarray, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """A part with masks (n, y, x) of 0 and 1 as ``mask``, (n, y, x_byte), beside other arrays."""
    write_part(path, arrays, about, bits={"mask": np.packbits(masks, axis=-1, bitorder="little")})


def read_masks(path: Path) -> np.ndarray:
    """Masks of a part that :func:`write_masks` wrote."""
    return np.unpackbits(read_part(path, ["mask"])["mask"], axis=-1, bitorder="little")


def _draw(drawn: np.ndarray, sim: Simulator, surroundings: np.ndarray | None, drawing: Drawing, kept: Kept) -> None:
    masks, about = drawing.draw(), {"masks": len(drawn)}
    if surroundings is None:
        write_scored(drawing.path, masks, drawn, sim, about)
        return
    in_place = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM, surroundings=surroundings)
    alone = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM) if drawing.alone else in_place * np.nan
    arrays = {name: np.stack([alone[name], in_place[name]]).astype(float) for name in metrics.CORE_SCORES}
    write_masks(drawing.path, masks, arrays, about)
