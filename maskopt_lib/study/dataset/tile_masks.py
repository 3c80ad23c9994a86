"""Masks of tiles by OPC and by ILT, many at a time, and their scores on the core.

A tile holds a few shapes in the middle of an otherwise empty image. What it is solved in is a field as small as the
optics allow (:func:`maskopt_lib.optics.cropped`); what it is scored in is always the whole field of the kernels.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
import xarray as xr

from maskopt_lib import metrics, optics
from maskopt_lib.errors import GridMismatchError, UnknownNameError
from maskopt_lib.litho import Simulator
from maskopt_lib.opc.solve import Recipe, method_digest
from maskopt_lib.optics.kernels import SocsKernels, kernels_digest
from maskopt_lib.runs.hashing import hashed, source_hash

OPC, ILT = "opc", "ilt"

#: Kind of mask -> layer -> recipe. Metal is dense and its L2 the larger part, contacts and vias are lonely and their PV
#: band is (notebook 18).
RECIPES: dict[str, dict[str, Recipe]] = {
    OPC: dict.fromkeys(("metal1", "contact", "via1"), Recipe(method="model_based_opc", preset="tuned")),
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

    @property
    def image_px(self) -> int:
        """Side of a tile's image in pixels."""
        return round(self.image_nm / self.pixel_nm)

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

    def solve(
        self, images: np.ndarray, layer: str, kind: str, *, initial: np.ndarray | None = None, **more: Any
    ) -> tuple[np.ndarray, float]:
        """Masks of tiles that see what their images hold.

        Parameters
        ----------
        images : (n, y, x) tiles, 0 or 1, ``image_nm`` wide.
        layer, kind : which recipe.
        initial : (n, y, x) masks from 0 to 1 to start from; by default the method's own start.
        **more : options that differ from those of the recipe.

        Returns
        -------
        (n, y, x) uint8 masks of the images, and the seconds that all took. A mask ends with its image.
        """
        rule, n = self.rule, self.rule.image_px
        pad = round((rule.field_nm - rule.image_nm) / (2 * rule.pixel_nm))
        if images.ndim != 3 or images.shape[-1] != n or pad < 0:
            raise GridMismatchError(f"tiles must be (n, {n}, {n}) for {rule.image_nm:g} nm, got {images.shape}")
        # Only this method draws where no target is near: it must know where the image ends.
        ends = {"window_nm": rule.image_nm} if rule.recipe(layer, kind).method == "rule_aware" else {}
        around = ((0, 0), (pad, pad), (pad, pad))
        if initial is not None:
            more["initial"] = np.pad(initial.astype(np.float32), around)
        masks, seconds = self._solved(np.pad(images, around), self._small, layer, kind, ends | more)
        return np.ascontiguousarray(masks[:, pad : pad + n, pad : pad + n]), seconds

    def solve_in_surroundings(self, fields: np.ndarray, layer: str, kind: str, **more: Any) -> tuple[np.ndarray, float]:
        """Masks of whole fields: the oracle, for which no window cuts what the optics see.

        Parameters
        ----------
        fields : (n, y, x) the layout around the tiles, as wide as the kernels' field.
        layer, kind : which recipe.
        **more : options that differ from those of the recipe, and ``initial`` masks.

        Returns
        -------
        (n, y, x) uint8 masks of the fields, and the seconds that all took.
        """
        return self._solved(fields, self.sim, layer, kind, more)

    def score(self, masks: np.ndarray, drawn: np.ndarray, *, surroundings: np.ndarray | None = None) -> xr.Dataset:
        """Scores on the core; see :func:`maskopt_lib.metrics.evaluate_core`.

        Parameters
        ----------
        masks : (n, y, x) of images or of whole fields.
        drawn : (n, y, x) the layout on the same pixels, with the widest surroundings known.
        surroundings : (n, y, x) masks of whole fields that the cores of ``masks`` are put into.
        """
        sizes = {"core_nm": self.rule.core_nm, "pixel_nm": self.rule.pixel_nm}
        return metrics.evaluate_core(masks, drawn, self.sim, surroundings=surroundings, **sizes)

    def _solved(
        self, targets: np.ndarray, sim: Simulator, layer: str, kind: str, more: Mapping[str, Any]
    ) -> tuple[np.ndarray, float]:
        result = self.rule.recipe(layer, kind).solve(targets, sim, **more)
        return np.asarray(result.mask, np.uint8), result.runtime_s


def scorer(kernels: SocsKernels, device: str = "cpu", **rule: Any) -> TileSolver:
    """Makes and scores tiles under optics that are there already; ``rule``: other fields of its :class:`LabelRule`."""
    solver = TileSolver(LabelRule(kernels=kernels.name, **rule), device=device)
    solver.sim = Simulator(kernels, device=device)
    return solver


def label_digest(
    rule: LabelRule, layers: Iterable[str], kinds: Sequence[str], device: str = "cpu"
) -> dict[tuple[str, str], str]:
    """(layer, kind) -> hash of all that determines a mask and its scores but the tiles."""
    code = source_hash(["maskopt_lib.study.dataset.tile_masks"], follow=False)
    code += source_hash(["maskopt_lib.metrics.evaluate", "maskopt_lib.optics.kernels", "maskopt_lib.litho.simulator"])
    sizes = [rule.image_nm, rule.core_nm, rule.pixel_nm, rule.field_nm]
    common = [kernels_digest(optics.load(rule.kernels)), code, sizes, str(torch.device(device)), torch.__version__]
    recipes = {(layer, kind): rule.recipe(layer, kind) for layer in layers for kind in kinds}
    methods = {method: method_digest(method) for method in {recipe.method for recipe in recipes.values()}}
    return {name: hashed([common, recipe.digest(methods[recipe.method])]) for name, recipe in recipes.items()}
