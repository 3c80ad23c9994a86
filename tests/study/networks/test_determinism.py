"""What moves when only the way a mask is made changes: counted as it is, and within what is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import litho, metrics, models, opc, optics, study
from maskopt_lib.models import TileInput
from maskopt_lib.runs.parts import said_of
from maskopt_lib.runs.reference import FOLDER
from maskopt_lib.runs.tables import NOTE
from maskopt_lib.study.networks import determinism as d
from maskopt_lib.study.networks import tolerances

RECORD = FOLDER / "44_determinism"
CLIPS = ["demo-metal-tips", "demo-metal-cell"]
#: On pixels of 8 nm, a few steps; the second rounds much.
SOLVERS = [
    study.Trial(label="level_set", method="level_set", options={"image_pixel_nm": 8.0, "n_steps": 3}),
    study.Trial(
        label="curvy",
        method="curvy",
        options={"n_steps": 6, "retarget_nm": 40.0, "cleanup": {"open_nm": 24.0, "close_nm": 24.0}},
    ),
]
NETWORKS = [d.Network(label="cfno", model="cfno", options={"width": 1 / 16, "pixel_nm": 8})]
SHAPES = (d.REFERENCE, *d.CHANGES)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return study.start("A test", notebook="44_determinism", params={}, out_dir=tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def moved(run) -> xr.Dataset:
    clips = study.Clips("demo-metal", CLIPS, pixel_nm=8)
    return d.measure(clips, optics.load("embedded"), SOLVERS, NETWORKS, run)


@pytest.fixture(scope="module")
def trained(run) -> xr.Dataset:
    store = d.demo_tiles(run.out_dir / "tiles", 12)
    return d.train_again(d.small_rule(2), store, optics.load("embedded"), run)


def as_if(moved: xr.Dataset, name: str, value: float, **at: str) -> xr.Dataset:
    """With another value in one place."""
    changed = moved.copy(deep=True)
    changed[name].loc[at] = value
    return changed


def test_a_small_run_keeps_to_the_tolerances(moved, trained):
    assert moved[d.PIXELS].dims == ("method", "change", "sample") and moved["change"].values.tolist() == list(SHAPES)
    assert bool((moved[d.STATUS] == d.DONE).all()) and moved[d.KIND].values.tolist() == ["solver"] * 2 + ["network"]
    assert float(moved[d.PIXELS].sel(change=[d.SEED, d.HASH]).max()) == 0
    assert tolerances.beyond(moved, trained) == {}


def test_the_other_process_had_another_hash_seed(moved, run):
    said = {path.name: said_of(path) for path in (run.out_dir / "parts").glob("mask-curvy-*.npz")}
    hashes = {("hash_seed" in name): about["hash"] for name, about in said.items()}
    assert len(said) == 5 and hashes[True] != hashes[False]


def test_a_training_again_has_the_same_weights(trained):
    assert trained["weights"].sel(change=[d.SEED, d.HASH]).values.tolist() == [0, 0]
    assert trained.attrs["n_weights"] > 1000
    for change in (d.BATCH, d.FLOAT64):
        assert np.isnan(trained["weights"].sel(change=change)) and trained[d.STATUS].sel(change=change) != d.DONE


def test_masks_are_those_of_the_solver_and_a_second_call_makes_none(moved, run):
    clips = study.Clips("demo-metal", CLIPS, pixel_nm=8)
    target = clips.target(CLIPS[0])
    sim = litho.Simulator(optics.load("embedded"))
    mask = opc.solve(target, sim, method="curvy", **SOLVERS[1].options).mask
    scores = metrics.evaluate(mask, target, sim, only=d.SCORES)
    reference = moved.sel({"method": "curvy", "change": d.REFERENCE, "sample": CLIPS[0]})
    for name in d.SCORES:
        assert float(reference[name]) == float(scores[name])
    before = {path: path.stat().st_mtime_ns for path in (run.out_dir / "parts").iterdir()}
    again = d.measure(clips, optics.load("embedded"), SOLVERS, NETWORKS, run)
    assert again.identical(moved)
    assert {path: path.stat().st_mtime_ns for path in (run.out_dir / "parts").iterdir()} == before


def test_what_is_beyond_is_named_with_its_size(moved, trained):
    at = {"method": "curvy", "change": d.SEED, "sample": CLIPS[0]}
    assert tolerances.beyond(as_if(moved, d.PIXELS, 1, **at)) == {"curvy, same seed": "pixels 1 above 0"}
    far = as_if(moved, "l2_nm2", 1e9, **at | {"change": d.FLOAT64})
    assert set(tolerances.beyond(far)) == {"curvy, float64"} and "l2_nm2" in tolerances.beyond(far)["curvy, float64"]
    drifted = as_if(trained, "largest", 0.1, change=d.SEED)
    assert set(tolerances.beyond(moved, drifted)) == {"training, same seed"}


def test_a_mask_that_diverged_is_named_and_has_no_numbers(run, monkeypatch):
    def diverge(task):
        raise d.DivergedError("no")

    monkeypatch.setattr(d, "_masks", diverge)
    clips = study.Clips("demo-metal", CLIPS[:1], pixel_nm=8)
    solver = study.Trial(label="lost", method="identity")
    monkeypatch.setattr(d, "HASH", "nothing")  # all of it in this process
    ds = d.measure(clips, optics.load("embedded"), [solver], [], run)
    assert bool(ds[d.PIXELS].isnull().all()) and set(ds[d.STATUS].values.ravel().tolist()) == {"diverged: no"}
    assert tolerances.beyond(ds) == {}
    (row,) = tolerances.moved_table(ds)[NOTE]
    assert "threads: diverged: no" in row


def test_tables_have_a_row_a_maker_and_one_for_each_change_that_moved(moved):
    assert list(tolerances.moved_table(moved).index) == ["level_set", "curvy", "cfno"]
    apart = moved[d.PIXELS].sum("sample")
    expected = [
        f"{method}; {change}"
        for method in moved["method"].values
        for change in d.CHANGES
        if apart.sel({"method": method, "change": change}) > 0
    ]
    assert list(tolerances.score_table(moved).index) == expected


@pytest.mark.parametrize("name", models.MODELS)
def test_networks_compute_in_the_type_of_their_weights(name):
    torch.manual_seed(0)
    preset = "own" if name == "unrolled_litho" else "published"
    model = models.build(name, preset=preset, width=1 / 16, pixel_nm=8).double().eval()
    with torch.inference_mode():
        assert model(TileInput.of(torch.zeros(1, 1, 128, 128, dtype=torch.float64))).dtype == torch.float64
    assert models.predict(model, np.zeros((1, 1024, 1024), np.uint8)).shape == (1, 1024, 1024)


# The committed record


def test_the_record_has_every_solver_and_network_and_keeps_to_the_tolerances():
    moved, trained = study.load_result(RECORD, "moved"), study.load_result(RECORD, "trained")
    assert {*opc.METHODS, *models.MODELS} <= set(moved["method"].values.tolist())
    assert moved["change"].values.tolist() == list(SHAPES)
    assert bool((moved[d.STATUS] == d.DONE).all()) and bool(moved[d.PIXELS].notnull().all())
    assert tolerances.beyond(moved, trained) == {}


def test_every_tolerance_has_a_reason_and_is_for_a_change_that_there_is():
    for (_, change), tolerance in tolerances.TOLERANCES.items():
        assert tolerance.reason and change in d.CHANGES
    for kind in (d.SOLVER, d.NETWORK):
        assert {change for name, change in tolerances.TOLERANCES if name == kind} == set(d.CHANGES)
