"""Scores of masks: print quality, edge placement, mask rules, and the cost of writing the mask."""

from maskopt_lib.metrics import contour, dimensions, process_window
from maskopt_lib.metrics.area import l2_nm2, print_areas, pvb_nm2
from maskopt_lib.metrics.contour import contour_error
from maskopt_lib.metrics.core import CORE_SCORES, evaluate_core
from maskopt_lib.metrics.curvature import min_radius_nm
from maskopt_lib.metrics.edges import is_manhattan
from maskopt_lib.metrics.epe import epe_sites, target_sites
from maskopt_lib.metrics.evaluate import evaluate
from maskopt_lib.metrics.outline import count_vertices, outlines
from maskopt_lib.metrics.rules import RULES, rule_report
from maskopt_lib.metrics.shapes import ShapeRules, shape_rules
from maskopt_lib.metrics.shots import count_shots, shot_rectangles
from maskopt_lib.metrics.width import min_space_nm, min_width_nm

__all__ = [
    "CORE_SCORES",
    "RULES",
    "ShapeRules",
    "contour",
    "contour_error",
    "count_shots",
    "count_vertices",
    "dimensions",
    "epe_sites",
    "evaluate",
    "evaluate_core",
    "is_manhattan",
    "l2_nm2",
    "min_radius_nm",
    "min_space_nm",
    "min_width_nm",
    "outlines",
    "print_areas",
    "process_window",
    "pvb_nm2",
    "rule_report",
    "shape_rules",
    "shot_rectangles",
    "target_sites",
]
