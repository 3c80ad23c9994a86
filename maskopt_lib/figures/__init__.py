"""Figures: labelled Datasets in, :class:`~maskopt_lib.figures.page.Figure` out, files by :func:`save`; no simulation.

A figure has no size until it is drawn: :func:`save` takes the width of the page it is for. What a method is called, and
its colour and marker, come from :mod:`maskopt_lib.data.methods`.
"""

from maskopt_lib.figures import anatomy, dataset, designs, large_area, models, photonics
from maskopt_lib.figures.cells import cell_gallery
from maskopt_lib.figures.optics import kernel_gallery, source_map
from maskopt_lib.figures.pareto import attainment_curves, hypervolume_bars, pareto_front
from maskopt_lib.figures.pictures import edge_errors, mask_changes, mask_gallery, mask_panels
from maskopt_lib.figures.process_window import (
    bossung,
    cumulative,
    focus_exposure_map,
    latitude_curves,
    process_windows,
)
from maskopt_lib.figures.rules import rule_violations
from maskopt_lib.figures.save import save
from maskopt_lib.figures.scores import (
    case_bars,
    cross_matrices,
    cross_matrix,
    curves,
    deviations,
    distributions,
    limit_curves,
    moved_pixels,
    ranked,
    tradeoff,
)
from maskopt_lib.figures.tiles import tile_reading
from maskopt_lib.figures.timing import over_batch, phase_bars
