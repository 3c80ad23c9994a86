# Above 450 lines: the catalogue of all figures is one table.
"""Every figure of both papers and of our own studies, out of stored results or committed records: nothing is simulated.

:data:`CATALOGUE` says what each one needs. What needs pictures of masks can be drawn from a run alone: records hold
numbers, and :func:`lacking` says so.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from IPython.display import Image

from maskopt_lib import figures
from maskopt_lib.data import schema
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures.page import Figure
from maskopt_lib.figures.rules import MARKS
from maskopt_lib.runs.processes import leave_with_parent
from maskopt_lib.runs.record import record_of
from maskopt_lib.runs.reference import load_result, stored_names
from maskopt_lib.study.networks.scores import mean_scores
from maskopt_lib.study.solvers import anatomy

#: Scores of the panels.
_PRINT = (schema.L2, schema.PVB, schema.EPE3)
_NETWORKS = (schema.L2, schema.PVB, schema.EPE15, schema.EPE3, schema.SHOTS)


@dataclass(frozen=True)
class Entry:
    """One figure, or one for each of several results of one kind.

    Attributes
    ----------
    notebook : number and name of the notebook whose results it shows.
    name : of its file, behind the notebook's number. A result whose name has a ``*`` in ``needs`` gives a figure each,
        and what the star stood for ends its name.
    needs : names of stored results, in the order in which ``draw`` takes them; one may have a ``*``.
    draw : Datasets in; a figure, or a dictionary of more of them, by what ends their names.
    says : what is seen, in a sentence.
    together : what the star stands for makes one figure of all: ``draw`` takes them as a dictionary.
    """

    notebook: str
    name: str
    needs: tuple[str, ...]
    draw: Callable[..., Figure | dict[str, Figure]]
    says: str
    together: bool = False


def redrawn(
    folders: Mapping[str, Path], *, notebooks: str = "*", only: str = "", part: slice = slice(None)
) -> Iterator[tuple[str, Entry, Figure]]:
    """Draw what is stored.

    Parameters
    ----------
    folders : of :func:`maskopt_lib.runs.reference.stored_runs`.
    notebooks : pattern of names of notebooks, such as ``"11*"``.
    only : name of one figure, or the beginning of several.
    part : entries of the catalogue to take.

    Yields
    ------
    Name of the figure, its entry and itself, in the order of the catalogue.

    Raises
    ------
    UnknownNameError : no figure begins with that name; lists those there are.
    """
    known = []
    for entry in CATALOGUE[part]:
        number, _, called = entry.notebook.partition("_")
        if called not in folders or not fnmatchcase(entry.notebook, notebooks):
            continue
        for suffix, needs in _matches(folders[called], entry):
            base = "_".join(filter(None, (number, entry.name, suffix)))
            known.append(base)
            if not (base.startswith(only) or only.startswith(base)):
                continue
            stored = {name: load_result(folders[called], name) for name in needs}
            drawn = entry.draw(stored) if entry.together else entry.draw(*stored.values())
            several = drawn if isinstance(drawn, dict) else {"": drawn}
            for ending, figure in several.items():
                name = "_".join(filter(None, (base, ending))).replace(" ", "_")
                # Results of a small scale may hold nothing to draw, such as networks of which nothing prints.
                if name.startswith(only) and figure.panels:
                    yield name, entry, figure
    if only and not any(base.startswith(only) or only.startswith(base) for base in known):
        raise UnknownNameError(f"no figure {only!r} in these results; there are: {', '.join(known) or 'none'}")


class SavedFigure(NamedTuple):
    """A figure in its files: name, entry, and the picture that a notebook shows (None where no PNG was made)."""

    name: str
    entry: Entry
    picture: Image | None


def save(folders: Mapping[str, Path], folder: Path, *, only: str = "", **how: Any) -> list[SavedFigure]:
    """Draw what is stored into files, entries of the catalogue side by side on all processors.

    Parameters
    ----------
    folders, only : as for :func:`redrawn`.
    folder : where the files go.
    **how : of :func:`maskopt_lib.figures.save`.

    Returns
    -------
    What was drawn, in the order of the catalogue.
    """
    if only:
        drawn = redrawn(folders, only=only)
        return [SavedFigure(name, entry, figures.save(figure, name, folder, **how)) for name, entry, figure in drawn]
    processes = min(4, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")  # a notebook's kernel has threads, which no fork takes along
    with ProcessPoolExecutor(processes, context, leave_with_parent) as pool:
        shares = pool.map(partial(_save, folders, folder, how), range(len(CATALOGUE)))
        return [
            SavedFigure(name, entry, picture)
            for entry, share in zip(CATALOGUE, shares, strict=True)
            for name, picture in share
        ]


def _save(
    folders: Mapping[str, Path], folder: Path, how: Mapping[str, Any], number: int
) -> list[tuple[str, Image | None]]:
    """What a process does with one entry of the catalogue, which itself does not travel."""
    drawn = redrawn(folders, part=slice(number, number + 1))
    return [(name, figures.save(figure, name, folder, **how)) for name, _, figure in drawn]


def of_notebooks(drawn: Iterable[SavedFigure], pattern: str) -> list[SavedFigure]:
    """Those of notebooks whose names a pattern such as ``"11*"`` matches."""
    return [one for one in drawn if fnmatchcase(one.entry.notebook, pattern)]


def lacking(folders: Mapping[str, Path]) -> dict[str, str]:
    """Figures that these results do not hold: name -> what is missing."""
    missing = {}
    for entry in CATALOGUE:
        number, _, called = entry.notebook.partition("_")
        if called not in folders:
            missing[f"{number}_{entry.name}"] = f"no results of notebook {entry.notebook}"
        elif not list(_matches(folders[called], entry)):
            missing[f"{number}_{entry.name}"] = f"{', '.join(entry.needs)} of notebook {entry.notebook}"
    return missing


def _matches(folder: Path, entry: Entry) -> Iterator[tuple[str, list[str]]]:
    """For each set of results that the entry needs: what its star stands for, and their names."""
    there = stored_names(folder)
    stars = [""]
    for pattern in (need for need in entry.needs if "*" in need):
        head, _, tail = pattern.partition("*")
        stars = [name[len(head) : len(name) - len(tail)] for name in there if fnmatchcase(name, pattern)]
    if entry.together:
        head = entry.needs[0].removesuffix("*")
        yield from [("", [head + star for star in stars])] if stars else []
        return
    for star in stars:
        names = [need.replace("*", star) for need in entry.needs]
        if set(names) <= set(there):
            yield star, names


def _kernel_sets(draw: Callable[[xr.Dataset], Figure]) -> Callable[[xr.Dataset], dict[str, Figure]]:
    """A figure for each set of kernels that scores were made with."""
    return lambda scores: {name: draw(scores.sel(kernels=name)) for name in map(str, scores["kernels"].values)}


def _solved(scores: xr.Dataset) -> xr.Dataset:
    """What a solver made: a target taken for its mask is so far off that nothing else could be told apart."""
    kept = [name for name in map(str, scores[schema.METHOD].values) if name != "target as mask"]
    return scores.sel({schema.METHOD: kept})


def _mean(scores: xr.Dataset) -> xr.Dataset:
    return _solved(scores).mean(schema.SAMPLE, keep_attrs=True)


def _aerial_difference(comparison: xr.Dataset) -> Figure:
    attrs = {"long_name": "aerial RMS difference, % of clear field", "units": "1"}
    percent = (100 * comparison["aerial_rms"]).assign_attrs(attrs)
    return figures.case_bars(percent.to_dataset(name="aerial_rms"), names=["aerial_rms"], groups="focus")


def _matrices(values: xr.DataArray, along: str, title: str, **look: str) -> Figure:
    """A matrix for each label of a dimension, which ends its title."""
    labels = values[along].values
    parts = [values.sel({along: label}) for label in labels]
    return figures.cross_matrices(parts, titles=[f"{title} {label}" for label in labels], **look)


def _tcc_distances(kernel_sets: xr.Dataset) -> Figure:
    percent = 100 * kernel_sets["tcc_distance"]
    return _matrices(percent, "focus", "TCC distance (%),", rows="relative_to", columns="set", fmt="{:.2f}")


def _histories(histories: xr.Dataset) -> dict[str, Figure]:
    drawn = {}
    for term in ("fidelity", "pv_band"):
        values = histories["value"].sel(term=term).isel(kernels=0)
        values = values.mean(schema.SAMPLE) if schema.SAMPLE in values.dims else values
        values = values.dropna("step", how="all").dropna("method", how="all")
        values = values.assign_attrs(long_name=f"{term.replace('_', ' ')} term, mean over the clips", units="1")
        values["step"].attrs = {"long_name": "step", "units": "1"}
        drawn[term] = figures.curves(values, along="step", lines="method", log_y=True)
    return drawn


def _changes(changes: xr.Dataset) -> Figure:
    """What one change does: against the trial that was varied, the first of the methods."""
    reference = str(changes["method"].values[0])
    return figures.deviations(changes, names=_PRINT, along="method", reference=reference)


def _one_change(variations: xr.Dataset, seeds: xr.Dataset) -> Figure:
    spread = seeds.mean(schema.SAMPLE).std("method", ddof=1, keep_attrs=True)
    names = (*_PRINT, schema.MSA)
    return figures.deviations(variations, names=names, along="method", reference="full method", spread=spread)


def _area_sweep(sweep: xr.Dataset) -> Figure:
    swept = sweep.isel(kernels=0, drop=True).mean(schema.SAMPLE, keep_attrs=True)
    return figures.limit_curves(swept, x=schema.MSA, y="merit_nm2", along="min_area_nm2")


def _batches(timing: xr.Dataset) -> dict[str, Figure]:
    in_batches = timing.dropna("method", subset=["runtime_s"])
    return {
        name: figures.over_batch(in_batches[name], log_y=name != schema.RUNTIME)
        for name in (schema.RUNTIME, "peak_memory_gb")
    }


def _rules_kept(kept: xr.Dataset) -> Figure:
    broken = kept["violations"].sum(schema.SAMPLE)
    broken = broken.assign_coords(rule=[MARKS[rule][0] for rule in map(str, kept["rule"].values)])
    return figures.cross_matrix(broken, rows="method", columns="rule", title="places that break a rule, all clips")


def _limits(limit: xr.Dataset) -> dict[str, Figure]:
    return {x: figures.tradeoff(_mean(limit.isel(kernels=0)), x=x, y=schema.PVB) for x in (schema.L2, schema.EPE3)}


def _fronts(points: xr.Dataset) -> dict[str, Figure]:
    return {
        "l2_against_pv_band": figures.pareto_front(points, x=schema.L2, y=schema.PVB, limits=_near(points)),
        "merit_against_shots": figures.pareto_front(points, x=schema.SHOTS, y="merit_nm2", log_x=True),
    }


def _near(points: xr.Dataset) -> dict[str, tuple[float, float]]:
    """Where nine tenths of the settings are."""
    ends = {a: points[name].quantile([0, 0.9]).values for a, name in (("x", schema.L2), ("y", schema.PVB))}
    return {a: (0.98 * float(low), 1.02 * float(high)) for a, (low, high) in ends.items()}


def _moves(moves: xr.Dataset) -> Figure:
    return figures.designs.move_histogram({"free cells": moves["moved_nm"][~moves["fixed"].values.astype(bool)]})


def _failures(found: xr.Dataset) -> Figure:
    learnt = found["difference"].assign_attrs(long_name="worst tiles less the others", units="1")
    return _matrices(learnt, "score", "worst by", rows="method", columns="trait", fmt="{:+.1f}")


def _contexts(means: xr.Dataset) -> Figure:
    names = [schema.L2, schema.PVB, schema.EPE_MEAN_ABS]
    networks = means[schema.PVB].drop_sel(network=["labels", "layout as mask"], errors="ignore")
    if not bool((networks > 0).any()):  # nothing prints of them at this scale, as notebook 33 says
        return Figure([])
    return figures.models.context_lines(means, names=names, reference="labels")


def _fidelity(means: xr.Dataset) -> dict[str, Figure]:
    return {y: figures.models.fidelity_map(means, y=y) for y in (schema.EPE_MEAN_ABS, schema.EPE3, "merit_nm2")}


def _optics(scores: xr.Dataset) -> Figure:
    mean = scores[schema.L2].mean(schema.SAMPLE, keep_attrs=True)
    return figures.cross_matrix(mean, rows="method", columns="optics")


def _starts(refined: xr.Dataset, savings: xr.Dataset) -> Figure:
    means = mean_scores(refined, ["merit_nm2", schema.RUNTIME])
    return figures.models.refinement_curves(means, y="merit_nm2", goal=savings.attrs["goal_nm2"])


def _growth(growth: xr.Dataset) -> Figure:
    area, seconds = growth["area_um2"].values, growth["wall_s"].values
    slope_s, rest_s = np.polyfit(area, seconds, 1) if len(np.unique(area)) > 1 else (np.nan, np.nan)
    return figures.large_area.cost_growth(growth, slope_s=slope_s, rest_s=rest_s)


def _worst_contours(ds: xr.Dataset) -> Figure:
    error = ds["contour_p95_abs_nm"]
    return figures.curves(error.max("defocus_nm").assign_attrs(error.attrs), along="dose", lines="method")


def _windows(windows: xr.Dataset) -> Figure:
    return figures.process_windows(windows.isel(criterion=0))


def _latitudes(windows: xr.Dataset) -> dict[str, Figure]:
    percent = float(windows.attrs["at_latitude_percent"])
    return {
        str(name).replace("%", "percent"): figures.latitude_curves(
            windows.sel(criterion=name), mark_percent=percent, title=str(name)
        )
        for name in windows["criterion"].values
    }


def _effects(score: str) -> Callable[[xr.Dataset], Figure]:
    return lambda rows: figures.models.interval_rows(rows, along="row", panels=score)


def _gains(panels: str) -> Callable[[xr.Dataset], Figure]:
    return lambda rows: figures.models.interval_rows(rows, along="network", panels=panels)


def _pictures(pictures: xr.Dataset) -> Figure:
    return figures.mask_panels(pictures, rows=next(dim for dim in pictures["mask"].dims if dim not in ("y", "x")))


def _training(curves: Mapping[str, xr.Dataset]) -> dict[str, Figure]:
    """Networks of the first seed, a figure a layer and kind; a result is named curves_network_layer_kind_seed."""
    groups: dict[str, dict[str, xr.Dataset]] = {}
    for stored, ds in curves.items():
        network, layer, kind, seed = stored.removeprefix("curves_").rsplit("_", 3)
        if seed == "seed0":
            called = {name.replace(" ", "-"): name for name in record_of(ds)["params"]["networks"]}
            groups.setdefault(f"{layer}_{kind}", {})[called[network]] = ds
    scores = [schema.L2, schema.PVB, schema.SHOTS]
    return {name: figures.models.training_curves(group, scores=scores) for name, group in groups.items()}


_EFFECT = [schema.L2, schema.PVB, schema.EPE_MEAN_ABS]

#: All figures, in the order of the notebooks.
CATALOGUE = (
    Entry("01_validate_optics", "source", ("source",), lambda ds: figures.source_map(ds["source"]),
          "The source that least squares find behind the contest's kernels."),
    Entry("01_validate_optics", "residual_over_na", ("identification",),
          lambda ds: figures.curves(ds["residual_na"], along="na", lines="polarisation"),
          "What our model does not explain of the contest's kernels, over the aperture."),
    Entry("01_validate_optics", "residual_over_defocus", ("identification",),
          lambda ds: figures.curves(ds["residual_defocus"], along="defocus_nm"),
          "What our model does not explain of the second kernel set, over the defocus."),
    Entry("01_validate_optics", "aerial_difference", ("comparison",), _aerial_difference,
          "Aerial images of our kernels against those of the contest, clip by clip."),
    Entry("01_validate_optics", "tcc_distances", ("kernel_sets",), _tcc_distances,
          "How far kernel sets are from each other."),
    Entry("02_validate_metrics", "edge_error_through_dose", ("edge_error_through_dose",),
          lambda ds: figures.curves(ds["mean_edge_error_nm"], along="dose", mark=(1.0, "")),
          "The mean edge error grows with the dose, as it must."),
    Entry("02_validate_metrics", "cross_scores", ("scores",),
          lambda ds: figures.cross_matrices([ds[name] for name in _PRINT], rows="scored_with", columns="sample"),
          "The same masks scored with several kernel sets."),
    Entry("10_tune_solvers", "merit_of_settings", ("ranking",), lambda ds: figures.ranked(ds["merit_nm2"]),
          "What a search over settings gains, and how flat its bottom is."),
    Entry("11_ilt_iccad13", "l2_against_pv_band", ("scores",),
          _kernel_sets(lambda ds: figures.tradeoff(_mean(ds), x=schema.L2, y=schema.PVB)),
          "All methods on the contest's clips: L2 against PV band."),
    Entry("11_ilt_iccad13", "shots_against_epe3", ("scores",),
          _kernel_sets(lambda ds: figures.tradeoff(_mean(ds), x=schema.SHOTS, y=schema.EPE3, log_x=True)),
          "All methods on the contest's clips: shots against EPE violations."),
    Entry("11_ilt_iccad13", "methods_by_clip", ("scores",),
          _kernel_sets(lambda ds: figures.cross_matrices(
              [_solved(ds)[name] for name in _PRINT[:2]], rows="method", columns="sample")),
          "Methods by clips."),
    Entry("11_ilt_iccad13", "masks_and_prints", ("pictures",), _pictures, "Masks of one clip and what they print."),
    Entry("12_ilt_lithobench", "distribution", ("scores_*",),
          lambda ds: figures.distributions(ds, names=_PRINT), "What share of the clips is at or below a score."),
    Entry("12_ilt_lithobench", "history", ("histories_*",), _histories, "Terms of the objective over the steps."),
    Entry("12_ilt_lithobench", "changes", ("changes_*",), _changes, "What one change of the method does."),
    Entry("12_ilt_lithobench", "best_median_worst", ("pictures_*",), _pictures, "Masks of the best and worst clips."),
    Entry("13_ilt_runtime_memory", "seconds_by_phase", ("timing",),
          lambda ds: figures.phase_bars(ds.isel(batch=0)), "Seconds a clip, by phase."),
    Entry("13_ilt_runtime_memory", "over_batch", ("timing",), _batches, "Time and memory over the size of a batch."),
    Entry("14_post_processing", "area_sweep", ("area_sweep",), _area_sweep,
          "What it costs to remove shapes below an area."),
    Entry("15_ilt_ablation", "history", ("histories",), _histories, "Terms of the objective over the steps."),
    Entry("15_ilt_ablation", "one_change_at_a_time", ("variations", "seeds"), _one_change,
          "What each part of the method is worth; grey: two standard deviations of chance."),
    Entry("16_ilt_anatomy", "fig1_structuring_elements", ("structuring_elements",),
          figures.anatomy.structuring_elements, "Round structuring elements, pixel by pixel."),
    # Shapes of our own under morphology: nothing is imaged, and no record is needed.
    Entry("16_ilt_anatomy", "fig2_operators", (), lambda: figures.anatomy.operators(anatomy.operators_on_shape()),
          "What operators keep, add and remove of a shape."),
    Entry("16_ilt_anatomy", "fig3_epe_pv_band", ("pictures_edge_placement", "edge_sites"),
          figures.anatomy.edge_placement, "EPE and PV band on real prints."),
    Entry("16_ilt_anatomy", "fig4_gradient_share", ("gradient_share",), figures.anatomy.gradient_share,
          "The corner regions' share of the gradient."),
    Entry("16_ilt_anatomy", "fig5_trajectory", ("pictures_trajectory",), figures.anatomy.trajectory,
          "A mask from step to step."),
    Entry("16_ilt_anatomy", "table1_masks", ("pictures_solutions", "scores"), figures.anatomy.solutions,
          "One clip corrected by several methods."),
    Entry("16_ilt_anatomy", "through_pitch", ("through_pitch",), figures.anatomy.through_pitch,
          "Width of one and the same line over the pitch."),
    Entry("16_ilt_anatomy", "neighbour_influence", ("neighbour_influence",), figures.anatomy.neighbour_influence,
          "How far one line feels another."),
    Entry("16_ilt_anatomy", "corner_pull_back", ("corner_rounding",), figures.anatomy.corner_pull_back,
          "How far a corner goes back."),
    Entry("16_ilt_anatomy", "context", ("pictures_context",), figures.anatomy.context,
          "One shape, printed with and without its neighbours."),
    Entry("18_rule_aware_ilt", "l2_against_pv_band", ("scores",),
          _kernel_sets(lambda ds: figures.tradeoff(_mean(ds), x=schema.L2, y=schema.PVB)),
          "Masks that keep the rules beside those that do not: L2 against PV band."),
    Entry("18_rule_aware_ilt", "shots_against_epe3", ("scores",),
          _kernel_sets(lambda ds: figures.tradeoff(_mean(ds), x=schema.SHOTS, y=schema.EPE3)),
          "Masks that keep the rules beside those that do not: shots against EPE violations."),
    Entry("18_rule_aware_ilt", "rules_kept", ("rules_kept",), _rules_kept, "Places that break a rule of the deck."),
    Entry("18_rule_aware_ilt", "elsewhere", ("scores_*",),
          lambda ds: figures.distributions(ds.isel(kernels=0), names=_PRINT),
          "The same on clips that nobody tuned on."),
    Entry("18_rule_aware_ilt", "tried", ("tried",),
          lambda ds: figures.deviations(ds.isel(kernels=0), names=_PRINT, along="method", reference="as chosen"),
          "What was tried, against what was chosen."),
    Entry("18_rule_aware_ilt", "limit", ("limit",), _limits, "What a weight of the PV band buys."),
    Entry("19_pareto", "front", ("points",), _fronts, "Settings of all families, and those that none beats."),
    Entry("19_pareto", "hypervolumes", ("hypervolumes",),
          lambda ds: figures.hypervolume_bars(ds.sel(of="means")), "What each family dominates."),
    Entry("19_pareto", "attainment", ("attainment",), figures.attainment_curves,
          "Which pairs of L2 and PV band are attained."),
    Entry("21_build_designs", "moves", ("moves_*",), _moves, "How far the legaliser moves cells."),
    Entry("23_describe_dataset", "designs", ("counts",), figures.dataset.design_bars, "Tiles of each design."),
    Entry("23_describe_dataset", "windows", ("windows",), figures.dataset.window_maps,
          "Tiles by row and column of their window in the cell."),
    Entry("23_describe_dataset", "repeats", ("repeats",),
          lambda ds: figures.dataset.over_context(
              ds, names=["image_share", "geometry_share"], ylabel="share of the tiles (%)"),
          "How many tiles differ, over the context."),
    Entry("23_describe_dataset", "densities", ("densities",), figures.dataset.density_histograms,
          "How much of the core is covered."),
    Entry("23_describe_dataset", "cells", ("cells",), figures.dataset.cell_bars, "Tiles of each cell."),
    Entry("23_describe_dataset", "cuts", ("cuts",),
          lambda ds: figures.dataset.over_context(ds, names=["cut_share", "sliver_share"], ylabel="share of tiles (%)"),
          "Tiles whose shapes are cut by the window."),
    Entry("23_describe_dataset", "distributions", ("label_scores",),
          lambda ds: figures.dataset.score_distributions(ds, names=[schema.EPE_MEAN_ABS, schema.PVB, schema.SHOTS]),
          "Scores of the label masks."),
    Entry("23_describe_dataset", "epe_shots", ("label_scores",),
          lambda ds: figures.dataset.score_scatter(ds, x=schema.SHOTS, y=schema.EPE_MEAN_ABS),
          "What fidelity costs in shots, label by label."),
    Entry("23_describe_dataset", "context_effect", ("effect_means_*",),
          lambda ds: figures.dataset.context_effect(ds, names=_EFFECT, title=""),
          "What the surroundings that a solver saw are worth."),
    Entry("31_train_models", "curves", ("curves_*",), _training, "How networks trained.", together=True),
    Entry("32_benchmark_models", "scores", ("means_*",),
          lambda ds: figures.models.score_bars(ds, names=_NETWORKS), "Networks and solvers on unseen tiles."),
    Entry("32_benchmark_models", "fidelity_complexity", ("means_*",),
          lambda ds: figures.tradeoff(ds, x=schema.SHOTS, y=schema.EPE3), "Shots against EPE violations."),
    Entry("32_benchmark_models", "failures", ("failures_*",), _failures,
          "In what the worst tiles differ from the others."),
    Entry("33_context_ablation", "context", ("means_*",), _contexts, "What context is worth to a network."),
    Entry("33_context_ablation", "effects", ("effects_*",), _effects("effect"), "Effects of context."),
    Entry("34_cell_tag_ablation", "gains", ("gains",), _effects("cells"), "What a cell's tag is worth."),
    Entry("34_cell_tag_ablation", "listening", ("listening",), _effects("told"), "Whether networks listen to the tag."),
    Entry("34_cell_tag_ablation", "space", ("space_*",), figures.models.embedding_map, "Where a network puts cells."),
    Entry("35_fidelity_complexity", "fidelity", ("means_*",), _fidelity, "What fidelity costs in shots."),
    Entry("36_generalisation", "ways", ("ways",), _gains("split"), "How far from layout to label, on unseen tiles."),
    Entry("36_generalisation", "clip_gains", ("clip_gains",), _gains("clips"), "What networks save on other clips."),
    Entry("36_generalisation", "optics", ("optics_*",), _optics, "Networks under optics that they never saw."),
    Entry("37_learned_start", "starts", ("refined_*", "savings_*"), _starts, "What a learned start becomes."),
    Entry("41_large_area", "seam_levels", ("levels",), figures.large_area.place_levels,
          "Edge errors at seams and in the interior."),
    Entry("41_large_area", "seam_profile", ("difference",),
          lambda ds: figures.large_area.seam_profile(ds["xor_nm2_per_um"]), "How far a seam is seen."),
    Entry("41_large_area", "growth", ("growth",), _growth, "Seconds over area."),
    Entry("42_process_window", "windows", ("windows",), _windows, "Process windows of the methods."),
    Entry("42_process_window", "latitude", ("windows",), _latitudes, "Exposure latitude against depth of focus."),
    Entry("44_determinism", "moved_pixels", ("moved",),
          lambda ds: figures.moved_pixels(ds["pixels"], ds["kind"]), "What moves when nothing should."),
    Entry("51_photonics", "doses", ("measured_*",), _worst_contours, "Contour errors through dose and focus."),
    Entry("51_photonics", "coupling", ("estimates",),
          lambda ds: figures.curves(ds["coupling"], along="gap_nm", log_y=True), "Coupling of guides over their gap."),
    Entry("52_make_kernels", "counts_cd", ("kernel_counts",),
          lambda ds: figures.curves(ds["cd_error_nm"], along="n_kernels", log_y=True), "What fewer kernels cost."),
)  # fmt: skip
