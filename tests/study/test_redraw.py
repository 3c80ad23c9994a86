"""Every figure that `make figures` draws from the committed records: legible, in a column and on a page."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

import pytest
from picture_faults import faults

from maskopt_lib import figures
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures import page
from maskopt_lib.runs.paths import root
from maskopt_lib.runs.reference import FOLDER, stored_runs
from maskopt_lib.study import redraw

NOTEBOOKS = sorted({entry.notebook for entry in redraw.CATALOGUE})


@pytest.fixture(scope="module")
def folders():
    return stored_runs(FOLDER)


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_no_label_is_small_cut_or_over_another(notebook, folders):
    found = {
        f"{name}, {width} in": wrong
        for name, _, figure in redraw.redrawn(folders, notebooks=notebook)
        for width in (page.COLUMN, page.PAGE)
        if (wrong := faults(page.draw(figure, width), width))
    }
    assert not found


def test_notebook_91_draws_those_of_every_notebook():
    notebook = (root() / "notebooks" / "91_paper_figures.ipynb").read_text(encoding="utf-8")
    patterns = re.findall(r'of_notebooks\(saved, \\"(.+?)\\"', notebook)
    assert all(sum(fnmatchcase(name, pattern) for pattern in patterns) == 1 for name in NOTEBOOKS)


def test_names_are_of_one_figure_each(folders):
    names = [(entry.notebook, entry.name) for entry in redraw.CATALOGUE]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("name", ["10_merit_of_settings", "11_l2_against_pv_band_iccad13", "16_fig1", "44_moved"])
def test_equal_records_give_equal_bytes(name, folders, tmp_path):
    formats = ("pdf", "svg", "png")
    for folder in ("once", "twice"):
        for called, _, figure in redraw.redrawn(folders, only=name):
            figures.save(figure, called, tmp_path / folder, width_inch=3.5, formats=formats)
    once, twice = (sorted((tmp_path / folder).iterdir()) for folder in ("once", "twice"))
    assert [path.name for path in once] == [path.name for path in twice] and len(once) >= len(formats)
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in twice]


def test_one_figure_is_drawn_by_its_name(folders):
    assert [name for name, _, _ in redraw.redrawn(folders, only="41_growth")] == ["41_growth"]
    with pytest.raises(UnknownNameError, match=r"no figure '99_nothing'.*01_source"):
        list(redraw.redrawn(folders, only="99_nothing"))


def test_drawn_side_by_side_they_come_in_the_order_of_the_catalogue(folders, tmp_path):
    few = {name: folders[name] for name in ("large_area", "process_window")}
    drawn = redraw.save(few, tmp_path, width_inch=3.5, formats=("png",))
    assert [one.name for one in drawn] == [name for name, _, _ in redraw.redrawn(few)]
    assert all((tmp_path / f"{one.name}.png").read_bytes() == one.picture.data for one in drawn)
    assert {one.entry.notebook for one in redraw.of_notebooks(drawn, "41*")} == {"41_large_area"}


def test_what_records_do_not_hold_is_named(folders):
    missing = redraw.lacking(folders)
    assert "pictures_trajectory" in missing["16_fig5_trajectory"]
    assert "41_growth" not in missing


def test_no_line_goes_through_one_measured_point(folders):
    grown = {name: figure for name, _, figure in redraw.redrawn(folders, only="41_growth")}["41_growth"]
    assert grown.of("line")
    one = redraw.load_result(folders["large_area"], "growth").isel(area_um2=[0])
    assert not redraw._growth(one).of("line")


def test_networks_of_which_nothing_prints_have_no_figure(folders):
    means = redraw.load_result(folders["context_ablation"], "means_via1")
    assert redraw._contexts(means).panels
    assert not redraw._contexts(means.assign(pvb_nm2=0 * means["pvb_nm2"])).panels


def test_results_that_hold_nothing_to_draw_have_no_figure(tmp_path, monkeypatch):
    entry = redraw.Entry("16_ilt_anatomy", "empty", (), lambda: page.Figure([]), "Nothing.")
    monkeypatch.setattr(redraw, "CATALOGUE", (entry,))
    assert list(redraw.redrawn({"ilt_anatomy": tmp_path})) == []
