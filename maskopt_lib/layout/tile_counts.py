"""How many tiles there are, how many are empty, and how many show a geometry that no other shows."""

from __future__ import annotations

import numpy as np
import xarray as xr

from maskopt_lib.layout.cell_tiles import TILE, TileRule, cut_tiles
from maskopt_lib.layout.designs import Design

#: Dimension of what depends on the width of the context.
CONTEXT = "context_nm"


def tile_table(design: Design, layer: str | tuple[int, int], windows: xr.Dataset, rule: TileRule) -> xr.Dataset:
    """Everything that is told of tiles but their pixels.

    Parameters
    ----------
    design, layer, windows, rule : as for :func:`maskopt_lib.layout.cut_tiles`.

    Returns
    -------
    The windows with ``core_density`` (tile) and, over ``tile`` and ``context_nm``, ``signature``, ``canonical``,
    ``n_shapes_cut`` and ``min_cut_nm``. Some 200 bytes a tile.
    """
    n, contexts = windows.sizes[TILE], len(rule.contexts_nm)
    density = np.zeros(n, np.float32)
    signature, canonical = np.zeros((2, n, contexts), np.uint64)
    shapes_cut, min_cut_nm = np.zeros((n, contexts), np.int16), np.zeros((n, contexts), np.float32)
    for tiles in cut_tiles(design, layer, windows, rule):
        i = tiles.index
        density[i], signature[i], canonical[i] = tiles.core_density, tiles.signature, tiles.canonical
        shapes_cut[i], min_cut_nm[i] = tiles.n_shapes_cut, tiles.min_cut_nm
    both = (TILE, CONTEXT)
    return windows.assign_coords({CONTEXT: (CONTEXT, list(rule.contexts_nm), _said("context", "nm"))}).assign(
        core_density=(TILE, density, _said("share of the core that is covered", "1")),
        signature=(both, signature, _said("identity of the geometry", "1")),
        canonical=(both, canonical, _said("identity of the geometry up to turns and mirrors", "1")),
        n_shapes_cut=(both, shapes_cut, _said("shapes cut by the edge of the window", "1")),
        min_cut_nm=(both, min_cut_nm, _said("smallest width left by a cut", "nm")),
    )


def tile_counts(table: xr.Dataset, *, min_width_nm: float = 0.0) -> xr.Dataset:
    """Count empty and repeated tiles.

    Parameters
    ----------
    table : ``core_density`` over tiles (any first dimension), ``signature``, ``canonical`` and ``min_cut_nm`` over
        tiles and ``context_nm``: a :func:`tile_table`, several of them in a row, or the tables of a store.
    min_width_nm : of the layer's rule; for ``whole``.

    Returns
    -------
    Dataset over ``context_nm``: ``tiles``, all; ``non_empty``, with something in the core; of these ``distinct``, how
    many geometries they show, ``distinct_turned``, how many are left when turns and mirrors count as one, and
    ``whole``, those in which no cut left less than ``min_width_nm``.

    Examples
    --------
    >>> two = np.array([[1], [1]], np.uint64)
    >>> table = xr.Dataset(
    ...     {"core_density": ("tile", [0.5, 0.25]), "min_cut_nm": (("tile", "context_nm"), [[np.nan], [20.0]])}
    ...     | {name: (("tile", "context_nm"), two) for name in ("signature", "canonical")}
    ... )
    >>> counts = tile_counts(table, min_width_nm=65)
    >>> {name: counts[name].values.tolist() for name in counts}
    {'tiles': [2], 'non_empty': [2], 'distinct': [1], 'distinct_turned': [1], 'whole': [1]}
    """
    full = table["core_density"].values > 0
    narrow = (table["min_cut_nm"].values < min_width_nm)[full]  # nan, nothing cut, is not narrow
    identities = (table[name].values[full] for name in ("signature", "canonical"))
    distinct, turned = ([len(np.unique(column)) for column in values.T] for values in identities)
    n = narrow.shape[1]
    values = {
        "tiles": ([len(full)] * n, "tiles"),
        "non_empty": ([int(full.sum())] * n, "tiles with something in the core"),
        "distinct": (distinct, "different geometries"),
        "distinct_turned": (turned, "different geometries, turns and mirrors counted as one"),
        "whole": ((~narrow).sum(axis=0).tolist(), "tiles without sub-rule widths at a cut"),
    }
    coords = {CONTEXT: table[CONTEXT]} if CONTEXT in table.coords else {}
    return xr.Dataset({name: (CONTEXT, v, _said(long, "1")) for name, (v, long) in values.items()}, coords=coords)


def _said(long_name: str, units: str) -> dict[str, str]:
    return {"long_name": long_name, "units": units}
