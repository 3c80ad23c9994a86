"""One call, one labelled Dataset: every score of a mask against its target, or of the core of a tile."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, OptionError, UnknownNameError
from maskopt_lib.grid import grid_of
from maskopt_lib.images import binary
from maskopt_lib.metrics import contour, epe, outline, shapes, shots
from maskopt_lib.metrics.area import PRINT_SCORES, by_corner, print_scores
from maskopt_lib.metrics.epe import is_manhattan
from maskopt_lib.options import Positive, check

#: Side in nm of the squares on which shots of a core are counted: that of `SHOT_GRID` points over 2048 nm.
SHOT_PIXEL_NM = 4.0
#: The scores of a core, in the order of `maskopt_lib.data.schema`.
CORE_SCORES = (*PRINT_SCORES, schema.SHOTS)


def evaluate(
    mask: Any,
    target: Any,
    sim: Any,
    *,
    sample: Sequence[Any] | None = None,
    only: Iterable[str] | None = None,
    shot_grid: int | None = shots.SHOT_GRID,
    vertex_tolerance_nm: float = outline.VERTEX_TOLERANCE_NM,
) -> xr.Dataset:
    """Score masks against their targets: print quality under a simulator, and what it takes to make the mask.

    Parameters
    ----------
    mask : ``(*batch, y, x)``, 0 or 1; anything that `maskopt_lib.images` takes.
    target : ``(*batch, y, x)`` on the same grid, 0 or 1.
    sim : the simulator: ``aerial(mask)`` (y, x) -> (corner, y, x), the names of its ``corners`` (without: nominal,
        outer, inner), ``threshold``, ``kernels.name`` and ``kernels.period_nm`` (see `maskopt_lib.litho.Simulator`).
        It is called once a clip.
    sample : names of the clips, one each; a batch is numbered from 0 without.
    only : the scores wanted, by name; all without. The simulator is left alone where no score needs a print.
    shot_grid : pixels along one side on which shots are counted, None for the mask's own.
    vertex_tolerance_nm : how far the polygons whose vertices are counted may leave the outline.

    Returns
    -------
    Dataset over ``sample``, of one mask (y, x) without a name not over it. Variables by the names of
    `maskopt_lib.data.schema`: print quality (``l2_nm2``, ``pvb_nm2``), edge placement (``epe15``, ``epe3``,
    ``epe_sites``, ``epe_mean_abs_nm``, ``epe_max_abs_nm``), cost of writing (``shots``, ``shapes``, ``vertices``) and
    mask rules (``msa_nm2``, ``msd_nm``, ``min_width_nm``, ``min_space_nm``, ``min_radius_nm``). nan where a mask has
    nothing to measure. The attributes say under which kernels, threshold, limits and grids.

    Raises
    ------
    ImageError : no binary images; says what they are and which call helps.
    GridMismatchError : mask and target do not share a square grid, or are not as many as the names in ``sample``.
    UnknownNameError : ``only`` holds a name that is no score, or the simulator lacks one of the three corners.

    Notes
    -----
    Each number is defined in the function that computes it; `maskopt_lib.metrics` lists them. All are measured in nm
    on the field of ``kernels.period_nm``, which ends at its border for the mask rules and repeats for the print.

    Examples
    --------
    A "simulator" that images the mask as it is:

    >>> from types import SimpleNamespace
    >>> perfect = SimpleNamespace(
    ...     kernels=SimpleNamespace(name="perfect", period_nm=1024.0), threshold=0.5, aerial=lambda m: np.stack([m] * 3)
    ... )
    >>> bar = np.zeros((256, 256)); bar[60:200, 100:120] = 1
    >>> scores = evaluate(bar, bar, perfect, sample=["bar"])
    >>> float(scores.l2_nm2.sel(sample="bar")), float(scores.min_width_nm.sel(sample="bar")), int(scores.shots[0])
    (0.0, 80.0, 1)
    >>> list(evaluate(bar, bar, perfect, only=["l2_nm2", "shots"]).data_vars)
    ['l2_nm2', 'shots']
    """
    mask, target = binary(mask, "mask"), binary(target, "target")
    is_single = mask.ndim == 2 and sample is None
    if mask.shape != target.shape:
        raise GridMismatchError(
            f"mask and target must share one grid (*batch, y, x), got {mask.shape} and {target.shape}; "
            + (
                "rasterize the target at the mask's pixel size"
                if mask.shape[-2:] != target.shape[-2:]
                else "give one target for each mask of the batch"
            )
        )
    mask, target = (a.reshape(-1, *a.shape[-2:]) for a in (mask, target))
    pixel_nm = grid_of(mask.shape, sim.kernels.period_nm).pixel_nm
    wanted = _chosen(only)
    names = list(range(len(mask))) if sample is None else list(sample)
    if len(names) != len(mask):
        raise GridMismatchError(f"sample names {len(names)} clips, the mask holds {len(mask)}")
    is_curved = [bool(wanted & _CONTOUR) and not is_manhattan(t) for t in target]
    if only is None and not any(is_curved):
        wanted -= _CONTOUR

    rows = []
    for m, t, curved in zip(mask, target, is_curved, strict=True):
        row: dict[str, float] = dict.fromkeys(_CONTOUR, float("nan"))
        if wanted & (_PRINT | _CONTOUR | _BETWEEN):
            aerial = by_corner(sim.aerial(m.astype(np.float32)), getattr(sim, "corners", None))
            if curved:
                places = contour.contour_error(aerial[0], t, pixel_nm=pixel_nm, threshold=sim.threshold)
                row |= contour.summarize(places)
            row |= print_scores(aerial, t, pixel_nm=pixel_nm, threshold=sim.threshold, with_epe=bool(wanted & _EPE))
            if wanted & _BETWEEN:
                points = {"pixel_nm": pixel_nm, "threshold": sim.threshold, "sites": epe.between_sites}
                row |= epe.summarize_between(epe.epe_sites(aerial[0], t, **points))
        if wanted & _SHAPES:
            row |= dict(zip((schema.SHAPES, schema.MSA, schema.MSD), shapes.shape_rules(m, pixel_nm), strict=True))
        if schema.SHOTS in wanted:
            row[schema.SHOTS] = shots.count_shots(m, shot_grid)
        if schema.VERTICES in wanted:
            row[schema.VERTICES] = outline.count_vertices(m, pixel_nm, vertex_tolerance_nm)
        if schema.MIN_WIDTH in wanted:
            row[schema.MIN_WIDTH] = shapes.min_width_nm(m, pixel_nm)
        if schema.MIN_SPACE in wanted:
            row[schema.MIN_SPACE] = shapes.min_space_nm(m, pixel_nm)
        if schema.MIN_RADIUS in wanted:
            row[schema.MIN_RADIUS] = outline.min_radius_nm(m, pixel_nm)
        rows.append(row)

    ds = _labelled(rows, [name for name in ALL_SCORES if name in wanted], sim, pixel_nm=pixel_nm)
    ds = ds.assign_coords({schema.SAMPLE: names}).assign_attrs(
        shot_grid=min(shot_grid or mask.shape[-1], mask.shape[-1]),
        vertex_tolerance_nm=max(vertex_tolerance_nm, pixel_nm),
    )
    return ds.isel({schema.SAMPLE: 0}, drop=True) if is_single else ds


_PRINT = set(PRINT_SCORES)
_EPE = _PRINT - {schema.L2, schema.PVB}
_CONTOUR = set(schema.CONTOUR_ERRORS)
_BETWEEN = set(schema.BETWEEN_SITES)
_SHAPES = {schema.SHAPES, schema.MSA, schema.MSD}
_OTHERS = {schema.RUNTIME, schema.PEAK_MEMORY, *schema.WRITING, *schema.CONTOUR_ERRORS, *schema.BETWEEN_SITES}
#: Every score of every target, in the order in which tables show them; curved ones have contour errors as well.
SCORES = tuple(name for name in schema.VARIABLES if name not in _OTHERS)
#: Those that come only where they are asked for as well.
ALL_SCORES = tuple(name for name in schema.VARIABLES if name in {*SCORES, *_CONTOUR, *_BETWEEN})


def _labelled(rows: Sequence[Mapping[str, float]], names: Sequence[str], sim: Any, **sizes: float) -> xr.Dataset:
    """Scores over ``sample``, with what they were taken under."""
    columns = {name: (schema.SAMPLE, np.array([row[name] for row in rows])) for name in names}
    limits = {"epe_limits_nm": list(epe.LIMITS_NM), "epe_search_nm": epe.SEARCH_NM}
    attrs = {"kernels": sim.kernels.name, "threshold": float(sim.threshold)} | sizes | limits
    return schema.label(xr.Dataset(columns, attrs=attrs))


def _chosen(only: Iterable[str] | None) -> set[str]:
    if only is None:
        return {*SCORES, *_CONTOUR}
    try:
        wanted = {only} if isinstance(only, str) else set(only)
    except TypeError:
        raise OptionError(f"only must be names of scores, got {only!r:.200}") from None
    if unknown := wanted - set(ALL_SCORES):
        raise UnknownNameError(f"no such score: {sorted(map(str, unknown))}; the known ones are {list(ALL_SCORES)}")
    return wanted


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
    sizes = {"pixel_nm": pixel_nm, "core_nm": core_nm, "shot_pixel_nm": max(SHOT_PIXEL_NM, pixel_nm)}
    ds = _labelled(rows, CORE_SCORES, sim, **sizes)
    return ds.isel({schema.SAMPLE: 0}) if is_single else ds
