"""Masks of tiles by OPC and by ILT, many at a time, and their scores on the core.

A tile holds a few shapes in the middle of an otherwise empty image. What it is solved in is a field as small as the
optics allow (:func:`maskopt_lib.optics.cropped`); what it is scored in is always the whole field of the kernels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr

from maskopt_lib import metrics, opc, optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import Simulator

OPC, ILT = "opc", "ilt"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How masks are made: a method, its preset, and single options that differ from it."""

    method: str
    preset: str
    options: Mapping[str, Any] = field(default_factory=dict)


#: Metal is dense and its L2 the larger part, contacts and vias are lonely and their PV band is (notebook 18).
_OPC = Recipe(method="model_based_opc", preset="tuned")
RECIPES: dict[str, dict[str, Recipe]] = {
    OPC: {"metal1": _OPC, "contact": _OPC, "via1": _OPC},
    ILT: {
        "metal1": Recipe(method="rule_aware", preset="tuned"),
        "contact": Recipe(method="rule_aware", preset="contact"),
        "via1": Recipe(method="rule_aware", preset="contact"),
    },
}


@dataclass(frozen=True, kw_only=True)
class LabelRule:
    """Everything that determines the masks of a dataset but the tiles.

    Attributes
    ----------
    kernels : name for :func:`maskopt_lib.optics.load`.
    image_nm, core_nm, pixel_nm : of a tile.
    field_nm : side of the field that a tile is solved in. A field repeats itself: what it is wider than the image is
        the dark that keeps the mask from its own copies.
    recipes : kind of mask -> layer -> recipe.
    """

    kernels: str = "iccad13"
    image_nm: float = 1024.0
    core_nm: float = 512.0
    pixel_nm: float = 1.0
    field_nm: float = 1280.0
    recipes: Mapping[str, Mapping[str, Recipe]] = field(default_factory=lambda: RECIPES)

    def recipe(self, layer: str, kind: str) -> Recipe:
        """Of one layer; ``UnknownNameError`` lists what there is."""
        if kind not in self.recipes or layer not in self.recipes[kind]:
            known = ", ".join(f"{kind}: {'/'.join(layers)}" for kind, layers in self.recipes.items())
            raise UnknownNameError(f"no recipe for masks of kind {kind!r} on layer {layer!r}; known: {known}")
        return self.recipes[kind][layer]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for records and keys."""
        return asdict(self)


class TileSolver:
    """Makes and scores masks of tiles under one rule.

    Parameters
    ----------
    rule : what is done.
    device : where.
    """

    def __init__(self, rule: LabelRule = LabelRule(), *, device: str = "cpu") -> None:
        self.rule = rule
        self.device = device

    @cached_property
    def sim(self) -> Simulator:
        """The whole field, for scores and for tiles with all of their surroundings."""
        return Simulator(optics.load(self.rule.kernels), device=self.device)

    @cached_property
    def _small(self) -> Simulator:
        return Simulator(optics.cropped(self.sim.kernels, self.rule.field_nm), device=self.device)

    def solve(self, images: np.ndarray, layer: str, kind: str) -> tuple[np.ndarray, float]:
        """Masks of tiles that see what their images hold.

        Parameters
        ----------
        images : (n, y, x) tiles, 0 or 1, ``image_nm`` wide.
        layer, kind : which recipe.

        Returns
        -------
        (n, y, x) uint8 masks of the images, and the seconds that all took. A mask ends with its image.
        """
        pad = round((self.rule.field_nm - self.rule.image_nm) / (2 * self.rule.pixel_nm))
        if images.ndim != 3 or images.shape[-1] != self._n or pad < 0:
            raise GridMismatchError(
                f"tiles must be (n, {self._n}, {self._n}) for {self.rule.image_nm:g} nm, got {images.shape}"
            )
        around = ((0, 0), (pad, pad), (pad, pad))
        masks, seconds = self._solved(np.pad(images, around), self._small, layer, kind, self.rule.image_nm)
        return np.ascontiguousarray(masks[:, pad : pad + self._n, pad : pad + self._n]), seconds

    def solve_in_surroundings(self, fields: np.ndarray, layer: str, kind: str) -> tuple[np.ndarray, float]:
        """Masks of whole fields: the oracle, for which no window cuts what the optics see.

        Parameters
        ----------
        fields : (n, y, x) the layout around the tiles, as wide as the kernels' field.
        layer, kind : which recipe.

        Returns
        -------
        (n, y, x) uint8 masks of the fields, and the seconds that all took.
        """
        return self._solved(fields, self.sim, layer, kind, None)

    def score(self, masks: np.ndarray, drawn: np.ndarray, *, surroundings: np.ndarray | None = None) -> xr.Dataset:
        """Scores on the core; see :func:`maskopt_lib.metrics.evaluate_core`.

        Parameters
        ----------
        masks : (n, y, x) of images or of whole fields.
        drawn : (n, y, x) the layout on the same pixels, with the widest surroundings known.
        surroundings : (n, y, x) masks of whole fields that the cores of ``masks`` are put into.
        """
        return metrics.evaluate_core(
            masks,
            drawn,
            self.sim,
            core_nm=self.rule.core_nm,
            pixel_nm=self.rule.pixel_nm,
            surroundings=surroundings,
        )

    @property
    def _n(self) -> int:
        return round(self.rule.image_nm / self.rule.pixel_nm)

    def _solved(
        self, targets: np.ndarray, sim: Simulator, layer: str, kind: str, window_nm: float | None
    ) -> tuple[np.ndarray, float]:
        recipe = self.rule.recipe(layer, kind)
        options = dict(recipe.options)
        # Only this method draws where no target is near: it must know where the image ends.
        if recipe.method == "rule_aware" and window_nm is not None:
            options["window_nm"] = window_nm
        result = opc.solve(targets, sim, method=recipe.method, preset=recipe.preset, **options)
        return np.asarray(result.mask, np.uint8), result.runtime_s
