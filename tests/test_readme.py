"""The README's numbers are those of the committed records and published tables."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from maskopt_lib import data, study
from maskopt_lib.study import reference

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ("l2_nm2", "pvb_nm2", "epe15", "epe3", "msa_nm2", "msd_nm", "runtime_s")
METHODS = {"scored here": "released masks", "preset `published`": "curvy-published", "preset `paper`": "curvy-paper"}


def rows() -> list[tuple[str, str, list[str]]]:
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]
    return [(c[0], c[1], c[2:]) for c in cells if len(c) == 2 + len(COLUMNS) and c[1].startswith("iccad13")]


def test_table_is_there():
    assert len(rows()) == 7


@pytest.mark.parametrize(("masks", "kernels", "values"), rows())
def test_scores_are_the_stored_ones(masks, kernels, values):
    if "as published" in masks:
        printed = data.published("curvyilt", table=4, method="curvyILT")
        stored = printed[printed.case == "mean"].set_index("column").value.to_dict()
        seconds = data.published("curvyilt", table=6, method="curvyILT")
        stored["runtime_s"] = float(seconds[seconds.column == "runtime_s"].value.iloc[0])
    else:
        method = next(name for ending, name in METHODS.items() if masks.endswith(ending))
        scores = study.load_result(reference.FOLDER / "11_ilt_iccad13", "scores")
        means = scores.sel({"kernels": kernels, "method": method}).mean("sample")
        stored = {name: float(means[name]) for name in COLUMNS}
    for name, text in zip(COLUMNS, values, strict=True):
        if text == "–":
            assert not stored.get(name, float("nan")) >= 0, f"{name} is known, say it"
        else:
            digits = len(text.partition(".")[2])
            assert float(text) == pytest.approx(stored[name], abs=0.51 * 10**-digits), name


def test_optics_figures_are_the_stored_ones():
    folder = reference.FOLDER / "01_validate_optics"
    sets = 100 * study.load_result(folder, "kernel_sets")["tcc_distance"]
    for pair, said in {
        ("iccad13-realigned", "iccad13-symmetrised"): (0.07, 0.12),
        ("iccad13", "iccad13-symmetrised"): (5.3, 12.4),
    }.items():
        found = sets.sel({"relative_to": pair[0], "set": pair[1]}).values
        assert found == pytest.approx(said, abs=0.05)
        assert all(f"{value} %" in README for value in said)
    images = 100 * study.load_result(folder, "comparison")["aerial_rms"].max("sample").values
    assert [f"{value:.2f} %" in README for value in images] == [True, True]
    prints = study.load_result(folder, "prints")["print_percent"]
    spoken = re.search(r"by ([\d.]+) to ([\d.]+) % and ([\d.]+) to ([\d.]+) %", README)
    assert [float(v) for v in spoken.groups()] == pytest.approx(
        [float(v) for f in (0, 1) for v in (prints.isel(focus=f).min(), prints.isel(focus=f).max())], abs=0.051
    )


def test_optics_is_the_fitted_one():
    values = study.load_result(reference.FOLDER / "01_validate_optics", "identification")["value"]
    said = re.search(
        r"aperture of ([\d.]+), .* sigma ([\d.]+) and ([\d.]+), .* over (\d+) nm of focus, .* of (\d+) nm\.",
        README,
        re.DOTALL,
    )
    names = ["na", "sigma_inner", "sigma_outer", "focus_spread_nm", "defocus_nm"]
    for name, text in zip(names, said.groups(), strict=True):
        digits = len(text.partition(".")[2])
        assert float(text) == pytest.approx(abs(float(values.sel(parameter=name))), abs=0.51 * 10**-digits), name


def test_released_masks_under_the_aligned_kernels():
    scores = study.load_result(reference.FOLDER / "02_validate_metrics", "scores").sel(scored_with="iccad13-realigned")
    l2, pvb = float(scores["l2_nm2"].mean()), float(scores["pvb_nm2"].mean())
    assert f"{l2:.1f} / {pvb:.1f}" in README


def test_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link
