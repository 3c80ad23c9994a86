"""Scores of masks: print quality, edge placement, mask rules, and the cost of writing the mask."""

from maskopt_lib.metrics import contour, dimensions, process_window
from maskopt_lib.metrics.area import l2_nm2, print_areas, pvb_nm2
from maskopt_lib.metrics.contour import contour_error
from maskopt_lib.metrics.epe import epe_sites, is_manhattan, target_sites
from maskopt_lib.metrics.evaluate import CORE_SCORES, evaluate, evaluate_core
from maskopt_lib.metrics.outline import count_vertices, min_radius_nm, outlines
from maskopt_lib.metrics.rules import RULES, rule_report
from maskopt_lib.metrics.shapes import ShapeRules, min_space_nm, min_width_nm, shape_rules
from maskopt_lib.metrics.shots import count_shots, shot_rectangles
from maskopt_lib.metrics.write_time import MultiBeam, ShapedBeam, with_write_times
