"""What the notebooks call: recipes that solve and score, the record of a run, stores, tables, and parameters."""

from maskopt_lib.layout.benchmarks import demo_layout, layout_inputs
from maskopt_lib.metrics.rules import read_deck
from maskopt_lib.runs.notebook import among, begin, claim
from maskopt_lib.runs.params import parameters, read_parameters, read_variant
from maskopt_lib.runs.paths import located, resolved
from maskopt_lib.runs.record import Record, Run, record_of, start
from maskopt_lib.runs.reference import (
    has_result,
    load,
    load_masks,
    load_result,
    stored_names,
    stored_runs,
    stored_tables,
)
from maskopt_lib.runs.sweep import run_sweep
from maskopt_lib.runs.tables import (
    means_table,
    published_beside_ours,
    side_by_side,
    style,
    table_dataset,
    write_csv,
    write_table,
)
from maskopt_lib.study.labelled_images import pictures
from maskopt_lib.study.solvers import anatomy, device_tables, imaging, process_window, timing
from maskopt_lib.study.solvers.benchmark import score_masks, solve_and_score, solve_clips
from maskopt_lib.study.solvers.changes import score_changes
from maskopt_lib.study.solvers.clips import Clips, released_masks, targets
from maskopt_lib.study.solvers.masks import Trial
from maskopt_lib.study.solvers.pareto import (
    Box,
    agreement,
    attainment,
    front,
    front_share,
    hypervolumes,
    nondominated,
    outline_nm,
    points,
    published_points,
    rule_margin,
)
from maskopt_lib.study.solvers.picks import pick, picked, settings_table, shot_budgets, trial_of
from maskopt_lib.study.solvers.postprocess import area_sweep, post_process, removed_shapes, rules_kept
from maskopt_lib.study.solvers.public_gradients import gradient_costs, gradient_error
from maskopt_lib.study.solvers.second_opinion import second_opinion
from maskopt_lib.study.solvers.settings import is_preset, rank, search, settings_grid, variations
from maskopt_lib.study.solvers.timing import Budget, measure, measure_devices, product_scores
from maskopt_lib.study.solvers.vertex_costs import curve_costs, vertex_costs
