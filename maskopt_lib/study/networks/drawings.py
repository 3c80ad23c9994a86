"""Masks that are drawn, scored on the core, in place and alone, and kept with their scores as parts."""

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
from maskopt_lib.metrics.shapes import shape_rules_within
from maskopt_lib.models.inputs import CORE_NM
from maskopt_lib.runs.gather import Task, complete
from maskopt_lib.runs.parts import read_part, write_part
from maskopt_lib.runs.spread import Kept
from maskopt_lib.study.dataset.context import PRINTED
from maskopt_lib.study.networks.fields import middle
from maskopt_lib.study.networks.names import OF_ALONE, PLACED_SCORES


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


# Shapes of a neighbouring core may lie too close as well: so far beyond the core distances are looked at, in nm.
_RIM_NM = 32


@dataclass(frozen=True, kw_only=True)
class InPlace:
    """Masks of tiles by one who drew their neighbours as well.

    Attributes
    ----------
    images : (n, 1024, 1024) uint8, the masks of the tiles' own images.
    fields : (n, y, x) uint8, masks of all that the optics see; the tiles' cores stand in the middle.
    seconds : that all took, a core of those that were drawn.
    """

    images: np.ndarray
    fields: np.ndarray
    seconds: float = np.nan


def write_scored(path: Path, masks: InPlace, drawn: np.ndarray, sim: Simulator, about: Mapping[str, Any]) -> None:
    """A part with the masks of fields (n, y, x), and scores on the core (n,): in place, alone, and seconds a core."""
    fields, n = masks.fields, drawn.shape[-1]
    scores = metrics.evaluate_core(middle(fields, n), drawn, sim, core_nm=CORE_NM, surroundings=fields)
    alone = metrics.evaluate_core(masks.images, drawn, sim, core_nm=CORE_NM)
    rules = [shape_rules_within(mask, CORE_NM + 2 * _RIM_NM, 1.0) for mask in middle(fields, n)]
    arrays = {name: scores[name].values for name in metrics.CORE_SCORES}
    arrays |= {schema.MSA: np.array([r.msa_nm2 for r in rules]), schema.MSD: np.array([r.msd_nm for r in rules])}
    arrays |= {called: alone[name].values for name, called in OF_ALONE.items()}
    write_masks(path, fields, arrays | {schema.RUNTIME: np.full(len(fields), masks.seconds)}, about)


def read_scored(path: Path) -> dict[str, np.ndarray]:
    """The scores of a part that :func:`write_scored` wrote."""
    return read_part(path, (*PLACED_SCORES, *OF_ALONE.values(), schema.RUNTIME))


def write_masks(path: Path, masks: np.ndarray, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> None:
    """A part with masks (n, y, x) of 0 and 1 as ``mask``, (n, y, x_byte), beside other arrays."""
    write_part(path, arrays, about, bits={"mask": np.packbits(masks, axis=-1, bitorder="little")})


def read_masks(path: Path) -> np.ndarray:
    """Masks of a part that :func:`write_masks` wrote."""
    return np.unpackbits(read_part(path, ["mask"])["mask"], axis=-1, bitorder="little")


def _draw(drawn: np.ndarray, sim: Simulator, surroundings: np.ndarray | None, drawing: Drawing, kept: Kept) -> None:
    masks, about = drawing.draw(), {"masks": len(drawn)}
    if surroundings is None:
        scores = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM)
        write_masks(drawing.path, masks, {name: scores[name].values for name in metrics.CORE_SCORES}, about)
        return
    in_place = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM, surroundings=surroundings)
    alone = metrics.evaluate_core(masks, drawn, sim, core_nm=CORE_NM) if drawing.alone else in_place * np.nan
    arrays = {name: np.stack([alone[name], in_place[name]]).astype(float) for name in metrics.CORE_SCORES}
    write_masks(drawing.path, masks, arrays, about)
