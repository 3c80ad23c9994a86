"""Fronts and hypervolumes by hand and by counting, budgets by brute force, and a pick that a solver takes."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr

from maskopt_lib import litho, opc, optics, study
from maskopt_lib.data import schema
from maskopt_lib.errors import SchemaError, UnknownNameError
from maskopt_lib.metrics import evaluate
from maskopt_lib.study import Box, Trial

# Ten squares of 100 nm have an outline of 4000 nm: the box ends at 15 nm x 4000 nm = 60 000 nm2.
AREA = 6e4


@pytest.fixture(scope="module")
def wanted() -> xr.DataArray:
    """Two clips, ten squares of 100 nm each, on pixels of 20 nm."""
    image = np.zeros((2, 60, 60), np.uint8)
    for i in range(10):
        y, x = divmod(i, 5)
        image[:, 10 * y + 2 : 10 * y + 7, 10 * x + 2 : 10 * x + 7] = 1
    nm = 20 * (np.arange(60) + 0.5)
    return xr.DataArray(image, {"sample": ["a", "b"], "y": nm, "x": nm}, ("sample", "y", "x"))


def trials_of(n: int) -> list[Trial]:
    """Trials of two families in turn."""
    return [
        Trial(label=f"{'one' if i % 2 == 0 else 'two'}, {i}", method="curvy", options={"n_steps": i + 1})
        for i in range(n)
    ]


def scores_of(l2, pvb, shots=None, **more) -> xr.Dataset:
    """(method, sample) scores; the second clip is the first one's, so that means are the values given."""
    values = {schema.L2: l2, schema.PVB: pvb, schema.SHOTS: shots if shots is not None else np.full(len(l2), 100.0)}
    return xr.Dataset(
        {
            name: (("method", "sample"), np.stack([np.asarray(column, float)] * 2, axis=-1))
            for name, column in (values | more).items()
        },
        coords={"method": [trial.label for trial in trials_of(len(l2))], "sample": ["a", "b"]},
    )


def points_of(wanted, *columns, deck=None, **more) -> xr.Dataset:
    scores = scores_of(*columns, **more)
    return study.points(scores, trials_of(scores.sizes["method"]), wanted, deck)


def test_the_outline_is_that_of_the_squares(wanted):
    assert study.outline_nm(wanted).values.tolist() == [4000.0, 4000.0]


# Fronts and hypervolumes


def test_two_points_dominate_the_area_of_their_union(wanted):
    scores = scores_of([0.25 * AREA, 0.5 * AREA], [0.5 * AREA, 0.25 * AREA])
    found = study.hypervolumes(scores, trials_of(2), wanted).sel(space="L2, PV band")
    # Each leaves 3/4 x 1/2 of the box, both share 1/2 x 1/2.
    np.testing.assert_allclose(found["whole"], [0.5, 0.5])
    np.testing.assert_allclose(found["alone"], 0.375)
    np.testing.assert_allclose(found["lost"], 0.125)


def test_a_family_that_is_beaten_is_no_loss_and_what_is_outside_counts_nothing(wanted):
    scores = scores_of([0.2 * AREA, 0.3 * AREA, 1.01 * AREA], [0.2 * AREA, 0.3 * AREA, 0.0])
    found = study.hypervolumes(scores, trials_of(3), wanted).sel(space="L2, PV band", of="means")
    assert found["whole"].item() == pytest.approx(0.64)
    assert found["lost"].values.tolist() == pytest.approx([0.15, 0.0])
    points = points_of(wanted, [0.2 * AREA, 0.3 * AREA, 1.01 * AREA], [0.2 * AREA, 0.3 * AREA, 0.0])
    assert study.nondominated(points).values.tolist() == [True, False, False]


def test_the_volume_with_shots_is_the_mean_over_budgets(wanted):
    rng = np.random.default_rng(4)
    l2, pvb = rng.uniform(0.2, 0.9, (2, 12)) * AREA
    shots = 10 ** rng.uniform(0.8, 3.2, 12)
    found = study.hypervolumes(scores_of(l2, pvb, shots), trials_of(12), wanted)
    budgets = 10 * 200 ** ((np.arange(2000) + 0.5) / 2000)
    volumes = []
    for budget in budgets:
        able = shots <= budget
        order = np.argsort(l2[able])
        x, y = l2[able][order] / AREA, np.minimum.accumulate(pvb[able][order]) / AREA
        volumes.append(np.sum((np.append(x[1:], 1) - x) * (1 - y)))
    three = found["whole"].sel(space="L2, PV band, shots", of="means").item()
    assert three == pytest.approx(np.mean(volumes), abs=2e-3)


def test_fronts_by_brute_force_with_an_objective_that_is_to_be_large(wanted):
    rng = np.random.default_rng(5)
    l2, pvb = rng.uniform(0.1, 1.2, (2, 40)) * AREA
    points = points_of(wanted, l2, pvb, msa_nm2=rng.uniform(0, 9, 40), deck={"msa_nm2": 3.0})
    values = np.stack([l2, pvb, -points["rule_margin"].values], axis=-1)
    inside = (l2 < AREA) & (pvb < AREA)
    beaten = [any((v <= w).all() and (v < w).any() for v, ok in zip(values, inside, strict=True) if ok) for w in values]
    found = study.nondominated(points, ["l2_nm2", "pvb_nm2", "rule_margin"])
    np.testing.assert_array_equal(found.values, inside & ~np.array(beaten))
    chosen = study.front(points, ["l2_nm2", "pvb_nm2", "rule_margin"])
    assert chosen.sizes["method"] == found.sum() and (np.diff(chosen["l2_nm2"]) >= 0).all()


def test_each_clip_may_choose_where_means_may_not(wanted):
    """Two settings, each good on one clip: their means are equal, and worse than what each clip picks."""
    scores = scores_of([0.5 * AREA, 0.5 * AREA], [0.5 * AREA, 0.5 * AREA])
    scores["l2_nm2"][:] = np.array([[0.2, 0.8], [0.8, 0.2]]) * AREA
    whole = study.hypervolumes(scores, trials_of(2), wanted)["whole"].sel(space="L2, PV band")
    assert whole.sel(of="means").item() == pytest.approx(0.25)
    assert whole.sel(of="each clip").item() == pytest.approx(0.4)
    attained = study.attainment(scores, wanted, shares=[0.5, 1.0])
    # 0.2 x 15 nm of L2 is attained in every clip.
    assert attained["l2_width_nm"].values.tolist() == pytest.approx([3.0, 3.0])
    assert attained["share"].values.tolist() == [0.5, 1.0]


def test_a_place_on_the_front_that_one_clip_decides_is_unsure(wanted):
    """The second beats the first on clip "a", the first the second on clip "b", and the mean says the first."""
    l2 = np.array([[0.5, 0.2], [0.4, 0.4], [0.9, 0.9]]) * AREA
    scores = scores_of(l2[:, 0], l2[:, 0])
    scores["l2_nm2"][:] = scores["pvb_nm2"][:] = l2
    share = study.front_share(scores, trials_of(3), wanted, ["l2_nm2", "pvb_nm2"], n_draws=4000)
    # Of the draws aa, ab, ba, bb only aa is the second's.
    np.testing.assert_allclose(share, [0.75, 0.25, 0.0], atol=0.03)


def test_what_lies_outside_of_the_box_attains_nothing(wanted):
    scores = scores_of([1.5 * AREA], [0.1 * AREA])
    with pytest.raises(SchemaError, match="wider"):
        study.attainment(scores, wanted)
    wide = study.attainment(scores, wanted, shares=[1.0], box=Box(width_nm=30))
    assert wide["l2_width_nm"].item() == pytest.approx(22.5)


# Rule margin


def test_the_margin_is_that_of_the_worst_rule_on_the_worst_clip(wanted):
    scores = scores_of([1e4, 1e4], [1e4, 1e4], msa_nm2=[3000.0, 1500.0], msd_nm=[30.0, np.nan])
    scores["msa_nm2"][0, 1] = 900.0
    deck = {"msa_nm2": 1500.0, "msd_nm": 24.0}
    np.testing.assert_allclose(study.rule_margin(scores, deck), [[1.25, 0.6], [1.0, 1.0]])
    points = study.points(scores, trials_of(2), wanted, deck)
    assert points["rule_margin"].values.tolist() == [0.6, 1.0]
    with pytest.raises(UnknownNameError, match="min_width_nm"):
        study.rule_margin(scores, {"width": 3.0})


# Picking


def test_a_pick_keeps_the_limits_and_is_the_best_of_what_is_left(wanted):
    rng = np.random.default_rng(6)
    l2, pvb = rng.uniform(0.2, 0.9, (2, 30)) * AREA
    shots, msa = rng.uniform(20, 2000, 30), rng.uniform(0, 3, 30)
    points = points_of(wanted, l2, pvb, shots, msa_nm2=msa, deck={"msa_nm2": 1.0})
    able = np.flatnonzero((shots <= 900) & (msa >= 1))
    cost = (l2 + 0.5 * pvb)[able]
    trial = study.pick(points, max_shots=900, min_margin=1, weights={"l2_nm2": 1, "pvb_nm2": 0.5})
    assert trial == trials_of(30)[able[np.argmin(cost)]]
    # The knee: of all, the point with the largest rectangle to the corner of the box.
    assert study.pick(points) == trials_of(30)[np.argmax((1 - l2 / AREA) * (1 - pvb / AREA))]
    with pytest.raises(ValueError, match="no setting has shots of at most 10; the fewest"):
        study.pick(points, max_shots=10)
    with pytest.raises(UnknownNameError, match="weight"):
        study.pick(points, weights={"beauty": 1})


def test_budgets_are_served_by_the_best_within_them(wanted):
    l2 = np.array([0.3, 0.5, 0.8, 1.3]) * AREA
    found = study.shot_budgets(points_of(wanted, l2, l2, [800.0, 90.0, 30.0, 10.0]), [15, 50, 100, 2000])
    # What is outside of the box is no answer to a budget.
    assert found["budget"].values.tolist() == [50, 100, 2000]
    assert found["method"].values.tolist() == ["one, 2", "two, 1", "one, 0"]
    np.testing.assert_allclose(found["merit_nm2"], [1.6 * AREA, 1.0 * AREA, 0.6 * AREA])
    np.testing.assert_allclose(found["lowest_l2_nm2"], [0.8 * AREA, 0.5 * AREA, 0.3 * AREA])


def test_a_stored_pick_is_taken_by_the_solver(tmp_path):
    """The whole way: sweep, score, store, load, pick, solve; the mask is the one that was scored."""
    sweeps = [
        {"label": "target as mask", "method": "identity"},
        {
            "label": "edge gradient",
            "method": "edge_gradient",
            "options": {"pixel_nm": 8.0, "n_steps": 8, "grid_nm": 8.0},
            "vary": {"segment_nm": [64.0, 400.0]},
        },
    ]
    trials = study.settings_grid(sweeps)
    assert [trial.label for trial in trials][1:] == ["edge gradient, segment_nm=64", "edge gradient, segment_nm=400"]
    clips = study.Clips("demo-metal", ["demo-metal-tips"], pixel_nm=8)
    run = study.start(
        "Test", notebook="00_test", params={}, out_dir=tmp_path,
        conventions={"kernels": ["embedded"], "raster": "half-open, 8 nm", "epe_limits_nm": [15, 3]},
    )  # fmt: skip
    kernels = optics.load("embedded")
    scores, _ = study.solve_and_score(
        clips, {"embedded": kernels}, trials, run, scores=["l2_nm2", "pvb_nm2", "shots"], masks=None
    )
    points = study.points(scores, trials, study.targets("demo-metal", clips.names, pixel_nm=8))
    loaded = study.load(run.save(points, "points"))
    xr.testing.assert_equal(loaded, points)
    assert points["family"].values.tolist() == ["target as mask", "edge gradient", "edge gradient"]
    few, many = (float(points["shots"].sel({"method": trials[i].label})) for i in (2, 1))
    assert few < many
    trial = study.pick(loaded, max_shots=(few + many) / 2, weights={"l2_nm2": 1})
    assert trial == trials[2]
    sim = litho.Simulator(kernels)
    target = clips.target("demo-metal-tips")
    mask = opc.solve(target, sim, method=trial.method, preset=trial.preset, **trial.options).mask
    again = evaluate(mask, target, sim, only=["l2_nm2", "shots"])
    for name in again.data_vars:
        assert float(again[name]) == float(points[name].sel({"method": trial.label}))


def test_settings_of_a_method_that_is_gone_are_refused(wanted):
    points = points_of(wanted, [1e4], [1e4])
    gone = json.loads(points["settings"].item()) | {"method": "magic"}
    points["settings"][0] = json.dumps(gone)
    with pytest.raises(UnknownNameError, match="magic"):
        study.pick(points)
    with pytest.raises(UnknownNameError, match="nobody"):
        study.trial_of(points, "nobody")


# Sweeps, published points, other clips


def test_a_sweep_has_all_combinations_and_names_long_values():
    coarse = [{"pixel_nm": 16.0, "n_steps": 5}]
    levels = {"coarse": coarse, "fine": [{"pixel_nm": 8.0, "n_steps": 5}]}
    trials = study.settings_grid(
        [{"label": "M", "method": "multilevel", "preset": "nominal", "vary": {"levels": levels, "pvb_weight": [0, 1]}}]
    )
    assert [trial.label for trial in trials] == [
        "M, coarse pvb_weight=0", "M, coarse pvb_weight=1", "M, fine pvb_weight=0", "M, fine pvb_weight=1",
    ]  # fmt: skip
    assert trials[2].options == {"levels": levels["fine"], "pvb_weight": 0}
    for trial in trials:
        assert opc.options_of(trial.method, trial.preset, **trial.options).pvb_weight in (0, 1)


def test_published_means_are_those_of_the_tables():
    found = study.published_points(
        {"DiffOPC": ["iccad13", "diffopc", "DiffOPC"], "CurvyILT": ["curvyilt", "4", "curvyILT"]}
    )
    assert found["shots"].values[0] == 76 and np.isnan(found["shots"].values[1])
    assert found["merit_nm2"].values.tolist() == [30119 + 51924, 25990.9 + 38612.2]


def test_agreement_is_kendalls(wanted):
    first = points_of(wanted, [1e4, 2e4, 3e4, 4e4], [1e4, 2e4, 3e4, 4e4])
    second = points_of(wanted, [1e4, 2e4, 4e4, 3e4], [4e4, 3e4, 2e4, 1e4])
    found = study.agreement(first, second.isel(method=[3, 2, 1, 0]), ["l2_nm2", "pvb_nm2"])
    # Of six pairs one is the other way round: (5 - 1) / 6.
    assert found["kendall_tau"].values.tolist() == pytest.approx([2 / 3, -1.0])


def test_points_need_one_kernel_set_and_all_scores(wanted):
    scores = scores_of([1e4, 2e4], [1e4, 2e4])
    xr.testing.assert_identical(
        study.points(scores.expand_dims(kernels=["k"]), trials_of(2), wanted),
        study.points(scores, trials_of(2), wanted),
    )
    with pytest.raises(SchemaError, match="one kernel set"):
        study.points(scores.expand_dims(kernels=["k", "l"]), trials_of(2), wanted)
    with pytest.raises(SchemaError, match="one, 2"):
        study.points(scores, trials_of(3), wanted)


def test_wishes_that_nothing_keeps_are_left_out_and_said(wanted, capsys):
    points = points_of(wanted, [0.2 * AREA, 0.4 * AREA], [0.3 * AREA, 0.2 * AREA], [50.0, 20.0])
    assert study.picked(points, {"few": {"max_shots": 30}, "fewer": {"max_shots": 10}}) == {
        "few": trials_of(2)[1].label
    }
    assert capsys.readouterr().out.startswith("fewer: no setting has shots of at most 10")
