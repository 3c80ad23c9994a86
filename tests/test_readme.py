"""The README's numbers are those of the committed records and published tables."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from maskopt_lib import study
from maskopt_lib.runs import reference

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COLUMNS = ("l2_nm2", "pvb_nm2", "epe15", "epe3", "shots", "msa_nm2", "msd_nm", "runtime_s")
#: Rows of the README's second kind of table: (table, row) -> record, stored table, its row, and its column of ours.
REPRODUCED = {
    ("4", "CurvyILT"): ("11_ilt_iccad13", "table4_iccad13-symmetrised", "CurvyILT", "ours"),
    ("5", "CurvyILT, metal"): ("12_ilt_lithobench", "table5_stdmetal", "curvy as found", "ours"),
    ("5", "CurvyILT, via"): ("12_ilt_lithobench", "table5_stdcontact", "curvy as found", "ours"),
    ("7", "MultiILT, not post-processed"): (
        "14_post_processing", "table7_MultiILT_without_post-processing_print", "mean", "iccad13-symmetrised",
    ),
    ("8", "CurvyILT, baseline"): ("15_ilt_ablation", "table8", "curvyILT baseline", "ours"),
    ("8", "CurvyILT, CDR"): ("15_ilt_ablation", "table8", "curvyILT CDR", "ours"),
    ("8", "CurvyILT, morph"): ("15_ilt_ablation", "table8", "curvyILT morph", "ours"),
    ("8", "CurvyILT, CDR+morph"): ("15_ilt_ablation", "table8", "curvyILT CDR+morph", "ours"),
}  # fmt: skip


def cells() -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in README.splitlines() if line.startswith("| ")]


def scored() -> list[list[str]]:
    return [row for row in cells() if len(row) == 2 + len(COLUMNS) and row[1].startswith("iccad13")]


def reproduced() -> list[list[str]]:
    return [row for row in cells() if len(row) == 8 and row[0].isdigit()]


def agrees(text: str, value: float) -> bool:
    """Whether a printed number is the value, rounded to the digits that are printed."""
    return float(text) == pytest.approx(value, abs=0.51 * 10 ** -len(text.partition(".")[2]))


def test_tables_are_there():
    assert len(scored()) >= 13 and {(row[0], row[1]) for row in reproduced()} == set(REPRODUCED)


@pytest.mark.parametrize("row", scored(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_scores_are_the_stored_ones(row):
    scores = study.load_result(reference.FOLDER / "11_ilt_iccad13", "scores")
    means = scores.sel({"kernels": row[1], "method": row[0]}).mean("sample")
    for name, text in zip(COLUMNS, row[2:], strict=True):
        stored = float(means[name])
        assert math.isnan(stored) if text == "–" else agrees(text, stored), name


@pytest.mark.parametrize("row", reproduced(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_reproduced_rows_are_the_stored_ones(row):
    folder, table_name, method, ours = REPRODUCED[row[0], row[1]]
    table, _ = study.stored_tables(reference.FOLDER / folder)[table_name]
    for score, printed in zip(("l2_nm2", "pvb_nm2", "epe15"), (row[2:4], row[4:6], row[6:8]), strict=True):
        for text, column in zip(printed, ("published", ours), strict=True):
            assert agrees(text, table.loc[method, (score, column)]), (score, column)


def test_what_was_found_is_stored():
    shares = study.load_result(reference.FOLDER / "16_ilt_anatomy", "gradient_share")["share"].mean("sample")
    shares = 100 * shares.sel(objective="fidelity + PV band")
    caused = shares.sel(reading="caused, of the net", step=149)
    for value in (*caused.values, shares.sel(reading="on the print").max()):
        assert f"{float(value):.1f} %" in README
    first = study.load_result(reference.FOLDER / "12_ilt_lithobench", "first_gradients_stdcontact")
    darkened = (1e-3 * first["spectral_push"] > first["print_pull"]).mean()
    assert f"darkens {100 * float(darkened):.0f} %" in README


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


def every_column() -> list[list[str]]:
    return [row for row in cells() if len(row) == 11 and row[1].startswith("iccad13")]


def test_first_table_is_there():
    methods = [row[0] for row in every_column()]
    assert methods.count("**rule-aware**") == 2 and methods.count("aimed at") == 2


@pytest.mark.parametrize("row", every_column(), ids=lambda row: f"{row[0].strip('*')}-{row[1]}")
def test_first_table_is_the_stored_one(row):
    table, _ = study.stored_tables(reference.FOLDER / "18_rule_aware_ilt")[f"every_column_{row[1]}"]
    stored = table.loc[row[0].strip("*")]["means over the clips"]
    columns = ["l2_nm2", "pvb_nm2", "epe15", "epe3", "msa_nm2, worst", "msa_nm2, mean", "msd_nm, worst", "shots"]
    for name, text in zip([*columns, "s a clip"], row[2:], strict=True):
        assert math.isnan(stored[name]) if text == "–" else agrees(text, float(stored[name])), name


@pytest.mark.parametrize("clips", ["stdmetal", "stdcontact"])
def test_other_benchmarks_are_the_stored_ones(clips):
    means = study.load_result(reference.FOLDER / "18_rule_aware_ilt", f"scores_{clips}").mean(["kernels", "sample"])
    for method in means["method"].values:
        of = means.sel({"method": method})
        assert f"{float(of['l2_nm2']):.0f} / {float(of['pvb_nm2']):.0f}" in README


def test_dataset_rows_are_the_stored_ones():
    folder = reference.FOLDER / "23_describe_dataset"
    shared = study.load_result(reference.FOLDER / "22_build_dataset", "shared")
    times = study.load_result(reference.FOLDER / "22_build_dataset", "label_times")
    oracle = study.load_result(folder, "oracle").sel(statistic="mean")
    rows = [row for row in cells() if len(row) == 12 and row[5] in ("OPC", "ILT")]
    assert len(rows) == 6
    different = study.load_result(folder, "repeats")["geometries"].sel(context_nm=128).astype(int)
    for layer in ("metal1", "contact", "via1"):
        assert str(int(different.sel(layer=layer))) in README
    for i, row in enumerate(rows):
        layer, kind = ("metal1", "contact", "via1")[i // 2], row[5].lower()
        if kind == "opc":
            assert row[0].replace(" ", "").startswith(layer)
            for name, text in zip(("tiles", "geometries", "labels", "labelled"), row[1:5], strict=True):
                assert int(text) == int(shared[name].sel(layer=layer)), (layer, name)
        means = oracle.sel({"layer": layer, "method": kind})
        for name, text in zip(("l2_nm2", "pvb_nm2", "epe15", "epe3", "shots"), row[6:11], strict=True):
            assert agrees(text, float(means[name])), (layer, kind, name)
        one = times.sel(layer=layer, kind=kind)
        assert agrees(row[11], float(one["solve_cpu_s"] / one["masks"])), (layer, kind)


def test_what_a_window_hides_is_stored():
    rows = [row for row in cells() if len(row) == 6 and row[1] in ("alone", "in place")]
    assert len(rows) == 8
    for i, row in enumerate(rows):
        layer, kind = rows[i - i % 2][0].rsplit(", ", 1)
        means = study.load_result(
            reference.FOLDER / "23_describe_dataset", f"effect_means_{layer.replace(' ', '')}"
        )["l2_nm2"].sel(kind=kind.lower(), printed=row[1], statistic="mean")  # fmt: skip
        for context, text in zip((0, 32, 128, -1), row[2:], strict=True):
            value = float(means.sel(context=context))
            assert math.isnan(value) if text == "" else agrees(text, value), (row, context)


def seams() -> list[list[str]]:
    return [row for row in cells() if len(row) == 8 and row[0] in ("first borders", "moved borders", "interior")]


def test_seam_rows_are_there():
    assert len(seams()) == 9


@pytest.mark.parametrize("row", seams(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_seam_rows_are_the_stored_ones(row):
    stored = study.load_result(reference.FOLDER / "41_large_area", "levels").sel({"place": row[0], "mask": row[1]})
    names = ["sites", "mean_abs_nm", "p95_nm", "epe15_per_1000", "lost"]
    values = [*(float(stored[name]) for name in names), float(stored["violations"].sum())]
    assert all(agrees(text, value) for text, value in zip(row[2:], values, strict=True))


def budgets() -> list[list[str]]:
    return [row for row in cells() if len(row) == 7 and row[0].isdigit()]


def test_shot_budgets_are_the_stored_ones():
    folder = reference.FOLDER / "19_pareto"
    bought, points = (study.load_result(folder, name) for name in ("shot_budgets", "points"))
    assert [int(row[0]) for row in budgets()] == bought["budget"].values.astype(int).tolist()
    for row in budgets():
        assert row[1] == str(bought["method"].sel(budget=float(row[0])).values)
        stored = points.sel({"method": row[1]})
        for name, text in zip(("shots", "l2_nm2", "pvb_nm2", "epe15", "epe3"), row[2:], strict=True):
            assert agrees(text, float(stored[name])), (row[0], name)


def test_what_families_dominate_is_stored():
    volumes = study.load_result(reference.FOLDER / "19_pareto", "hypervolumes").sel(of="means", space="L2, PV band")
    for name in ("rule-aware", "MultiILT", "CurvyILT"):
        assert f"{float(volumes['alone'].sel(family=name)):.3f}" in README
    assert f"all families together {float(volumes['whole']):.3f}" in README
    less = study.load_result(reference.FOLDER / "19_pareto", "points").sel({"method": "rule-aware, pvb_weight=1"})
    said = re.search(
        r"has ([\d.]+) violations at 15 nm and ([\d.]+) at 3 nm, L2 ([\d.]+), and a PV band of ([\d.]+)\.", README
    )
    for name, text in zip(("epe15", "epe3", "l2_nm2", "pvb_nm2"), said.groups(), strict=True):
        assert agrees(text, float(less[name])), name


def test_the_cost_of_a_square_millimetre_follows_from_what_is_stored():
    folder = reference.FOLDER / "41_large_area"
    grown, passes = study.load_result(folder, "growth"), study.load_result(folder, "table_time").isel(column=0)
    window_s = float(grown["solver_s"].sum() / grown["windows"].sum())
    windows = (1e6 / 1024) ** 2
    first_s, seam_s, repair_s = passes["seconds a solved window"].sel(
        {"pass": ["first windows", "seam pass", "repair"]}
    )
    repaired = float(passes["windows"].sel({"pass": "repair"}) / passes["windows"].sel({"pass": "first windows"}))
    hours = windows * window_s * (first_s + seam_s + repaired * repair_s) / first_s / 3600
    text = " ".join(README.split())
    assert f"takes {window_s:.2f} s of one of them" in text and f"({seam_s / first_s:.2f} times)" in text
    assert f"1 mm² ({windows:,.0f} windows) would take {hours:.0f} core hours" in text
    walls = [f"{wall:.1f}" for wall in grown["wall_s"].values]
    assert f"windows take {walls[0]}, {walls[1]} and {walls[2]} s" in text


def test_the_time_of_all_labels_is_stored():
    times = study.load_result(reference.FOLDER / "22_build_dataset", "label_times")
    minutes = float((times["solve_cpu_s"] + times["score_cpu_s"]).sum()) / 60
    assert set(times["masks"].values.ravel().tolist()) == {2048}
    assert f"took {minutes:.0f} minutes of processor time" in " ".join(README.split())


def networks() -> list[list[str]]:
    return [row for row in cells() if len(row) == 8 and row[0] in ("metal 1", "via 1")]


def test_rows_of_networks_are_there():
    assert {row[1] for row in networks()} >= {"labels", "GAN-OPC", "Neural-ILT", "DAMO", "CFNO", "ours, dial 0"}
    assert len(networks()) == 28


@pytest.mark.parametrize("row", networks(), ids=lambda row: f"{row[0]}-{row[1]}")
def test_rows_of_networks_are_the_stored_ones(row):
    means = study.load_result(reference.FOLDER / "35_fidelity_complexity", f"means_{row[0].replace(' ', '')}_ilt")
    stored = means.sel({"method": row[1], "statistic": "mean"})
    names = ("l2_nm2", "pvb_nm2", "epe15", "epe3", "shots", "runtime_s")
    for name, text in zip(names, row[2:], strict=True):
        assert not stored[name] > 0 if text == "–" else agrees(text, float(stored[name])), name


def statements() -> list[list[str]]:
    return [row for row in cells() if len(row) == 3 and row[1] in ("confirmed", "refuted", "not decided")]


def test_statements_on_networks_are_the_stored_ones():
    stored = {}
    for notebook in ("33_context_ablation", "34_cell_tag_ablation", "35_fidelity_complexity"):
        table, _ = reference.stored_tables(reference.FOLDER / notebook)["statements"]
        stored |= {says: row for says, row in table.iterrows()}
    # Context, tags, fidelity and complexity: all that the paper says.
    assert len(statements()) >= 20
    for says, verdict, effect in statements():
        row = stored[says]
        assert row["note", ""].startswith(f"{verdict}; ")
        printed = re.findall(r"−?[\d.]+", effect)[:3]
        for name, text in zip(("mean", "low", "high"), printed, strict=True):
            (value,) = (row[column] for column in row.index if column[1] == name)
            assert agrees(text.replace("−", "-"), float(value)), (says, name)


def test_hours_of_training_and_numbers_of_tiles_are_the_stored_ones():
    trained = study.load_result(reference.FOLDER / "31_train_models", "trainings")
    text = " ".join(README.split())
    assert f"{float(trained['train_s'].sum()) / 3600:.1f} hours of one core for the trainings" in text
    n_tiles = study.load_result(reference.FOLDER / "35_fidelity_complexity", "scores").sizes["sample"]
    assert f"{n_tiles} tiles a layer of two designs" in text


def test_what_a_learned_start_saves_is_stored():
    folder, text = reference.FOLDER / "37_learned_start", " ".join(README.split())
    metal, via = (study.load_result(folder, f"savings_{layer}").sel(statistic="mean") for layer in ("metal1", "via1"))
    steps = {name: f"{float(metal['steps'].sel(start=name)):.0f}" for name in ("target", "GAN-OPC", "DAMO", "ours")}
    assert (
        steps["ours"] == "0"
        and f"after {steps['target']} of 210 steps from the layout, {steps['GAN-OPC']} from" in text
    )
    assert f"GAN-OPC's mask and {steps['DAMO']} from DAMO's" in text
    ours, layout = (float(metal["seconds"].sel(start=name)) for name in ("ours", "target"))
    assert f"in {ours:.2f} s a tile against {layout:.2f} s" in text
    refined = study.load_result(folder, "refined_metal1").sel(start="ours")
    merit = (refined["l2_nm2"] + refined["pvb_nm2"]).mean("sample")
    began, ended = (float(merit.sel(step=step)) for step in (0, 210))
    assert f"end at {ended:.0f} nm², and it began at {began:.0f}" in text
    saved = [value for value in via["steps_saved"].values.tolist() if math.isfinite(value)]
    assert f"no start saves more than {max(saved):.0f} steps" in text
    apart = study.load_result(folder, "apart_metal1")["l2_apart_percent"].sel(statistic="mean")
    before, after = (float(apart.sel(step=step)) for step in (0, 210))
    assert f"are {before:.0f} % apart before the solver, and {after:.1f} % after it" in text


def test_whole_clips_by_networks_are_the_stored_ones():
    clips, text = ("metal1_iccad13", "metal1_stdmetal", "via1_stdcontact"), " ".join(README.split())
    folder = reference.FOLDER / "36_generalisation"
    means = [study.load_result(folder, f"clips_{name}")["l2_nm2"].mean(["seed", "sample"]) for name in clips]
    for names, said in (
        (["ours"], "nm² by our network"),
        (["GAN-OPC", "Neural-ILT", "DAMO", "CFNO"], "by the best of the others"),
        (["layout as mask"], "for the layout itself"),
    ):
        one, two, three = (f"{float(mean.sel({'method': names}).min()):.0f}" for mean in means)
        assert f"{one}, {two} and {three} {said}" in text
