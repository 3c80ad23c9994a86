"""Scores of masks: print quality, edge placement, mask rules, and the cost of writing the mask."""

from maskopt_lib.metrics.area import l2_nm2, pvb_nm2
from maskopt_lib.metrics.epe import epe_sites, target_sites
from maskopt_lib.metrics.evaluate import evaluate
from maskopt_lib.metrics.shapes import ShapeRules, shape_rules

__all__ = [
    "ShapeRules",
    "epe_sites",
    "evaluate",
    "l2_nm2",
    "pvb_nm2",
    "shape_rules",
    "target_sites",
]
