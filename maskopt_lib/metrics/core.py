"""Scores of the core of a tile: what its surroundings do counts, how they print does not."""

from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError
from maskopt_lib.images import binary
from maskopt_lib.metrics import epe, shots
from maskopt_lib.metrics.area import by_corner
from maskopt_lib.metrics.prints import PRINT_SCORES, print_scores
from maskopt_lib.options import Positive, check

#: Side in nm of the squares on which shots of a core are counted: that of `SHOT_GRID` points over 2048 nm.
SHOT_PIXEL_NM = 4.0

#: The scores of a core, in the order of `maskopt_lib.data.schema`.
CORE_SCORES = (*PRINT_SCORES, schema.SHOTS)


def evaluate_core(
    mask: Any, drawn: Any, sim: Any, *, core_nm: float, pixel_nm: float = 1.0, surroundings: Any = None
) -> xr.Dataset:
    """Score masks of tiles on their core, the square in the middle.

    Parameters
    ----------
    mask : (sample, y, x) or (y, x), 0 or 1; stands in the middle of the simulator's field, dark beyond.
    drawn : as many, the layout on the same pixels, with as much of the surroundings as is known: edges are where
        the layout has them, not where a window cuts it.
    sim : the simulator: ``aerial_in_middle``, ``threshold``, ``kernels.name``
        (see :class:`maskopt_lib.litho.Simulator`).
    core_nm : side of the core.
    pixel_nm : side of a pixel.
    surroundings : as many masks of a larger square, in whose middle the core of ``mask`` is put before it is
        printed; without, ``mask`` is printed as it is.

    Returns
    -------
    Dataset over ``sample``, of one mask (y, x) not over it, with :data:`CORE_SCORES`. Shots are those of the mask cut
    to the core.

    Raises
    ------
    GridMismatchError : images that do not fit each other, or a core that cannot stand in their middle.

    Notes
    -----
    L2 and PV band are counted over the pixels of the core. Edge placement is measured at those sites of ``drawn`` (see
    :func:`~maskopt_lib.metrics.target_sites`) that lie inside the core: a shape that the core's border cuts has no edge
    there, and the same sites count whatever part of the surroundings a mask was made with.

    Examples
    --------
    A "simulator" that images the mask as it is:

    >>> from types import SimpleNamespace
    >>> perfect = SimpleNamespace(
    ...     kernels=SimpleNamespace(name="perfect"), threshold=0.5, aerial_in_middle=lambda m, **_: np.stack([m] * 3, 1)
    ... )
    >>> bar = np.zeros((1, 256, 256)); bar[:, 20:200, 100:120] = 1
    >>> scores = evaluate_core(bar, bar, perfect, core_nm=128)
    >>> float(scores.l2_nm2[0]), int(scores.epe_sites[0]), int(scores.shots[0])
    (0.0, 6, 1)
    """
    check(Positive, core_nm=core_nm)
    mask, drawn = binary(mask, "mask", pixel_nm=pixel_nm), binary(drawn, "drawn")
    if is_single := mask.ndim == 2:
        mask, drawn, surroundings = mask[None], drawn[None], None if surroundings is None else surroundings[None]
    n, n_core = mask.shape[-1], round(core_nm / pixel_nm)
    if mask.ndim != 3 or mask.shape != drawn.shape or n_core > n or (n - n_core) % 2:
        raise GridMismatchError(
            f"mask {mask.shape} and drawn {drawn.shape} must be (sample, y, x) alike, a core of {n_core} pixels in "
            "their middle"
        )
    core = slice((n - n_core) // 2, (n + n_core) // 2)
    whole = mask
    if surroundings is not None:
        whole = binary(surroundings, "surroundings").copy()
        n_whole = whole.shape[-1]
        if len(whole) != len(mask) or n_whole < n or (n_whole - n_core) % 2:
            raise GridMismatchError(f"surroundings {whole.shape} cannot hold the cores of masks {mask.shape}")
        at = slice((n_whole - n_core) // 2, (n_whole + n_core) // 2)
        whole[:, at, at] = mask[:, core, core]
    rows = []
    for tile, context, target in zip(mask, whole, drawn, strict=True):
        aerial = sim.aerial_in_middle(context[None].astype(np.float32), pixel_nm=pixel_nm, n_out=n)[0]
        aerial = by_corner(aerial, getattr(sim, "corners", None))
        row = print_scores(aerial, target, pixel_nm=pixel_nm, threshold=sim.threshold, core=core)
        row[schema.SHOTS] = shots.count_shots(tile[core, core], round(n_core * pixel_nm / max(SHOT_PIXEL_NM, pixel_nm)))
        rows.append(row)
    ds = schema.label(
        xr.Dataset(
            {name: (schema.SAMPLE, np.array([row[name] for row in rows])) for name in CORE_SCORES},
            attrs={
                "kernels": sim.kernels.name,
                "threshold": float(sim.threshold),
                "pixel_nm": pixel_nm,
                "core_nm": core_nm,
                "epe_limits_nm": list(epe.LIMITS_NM),
                "epe_search_nm": epe.SEARCH_NM,
                "shot_pixel_nm": max(SHOT_PIXEL_NM, pixel_nm),
            },
        )
    )
    return ds.isel({schema.SAMPLE: 0}) if is_single else ds
