"""Measurements of time and memory: what they count, that they are kept, and that they come out labelled."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr

from maskopt_lib import figures, opc, optics, study
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.runs.parts import Bits, read_part, said_of, write_part
from maskopt_lib.runs.spread import alone
from maskopt_lib.study.solvers import measuring, timing
from maskopt_lib.study.solvers.measuring import Job

TRIALS = [
    study.Trial(label="floor", method="identity"),
    study.Trial(
        label="curvy", method="curvy", options={"n_steps": 3, "retarget_nm": None, "cleanup": None, "loop": None}
    ),
]

MEASURED = {
    "runtime_s": 1.2, "shortest_s": 1.1, "longest_s": 1.3, "peak_memory_gb": 0.2, "first_s": 2.0, "prepare_s": 0.1,
    "optimise_s": 1.0, "finish_s": 0.1,
}  # fmt: skip


@pytest.fixture
def run(tmp_path):
    return study.start("Timing", notebook="13_ilt_runtime_memory", params={}, out_dir=tmp_path)


@pytest.fixture(scope="module")
def wanted():
    return study.targets("demo-metal", ["demo-metal-tips", "demo-metal-cell"], pixel_nm=8)


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded")


def test_every_method_and_batch_is_measured_and_labelled(run, wanted, kernels):
    sizes = {"floor": [1], "curvy": [3, 1]}
    found = timing.measure(wanted, kernels, TRIALS, run, batch_sizes=sizes, repeats=2)
    assert found["method"].values.tolist() == ["floor", "curvy"]
    assert found["batch"].values.tolist() == [1, 3]
    curvy = found.sel({"method": "curvy"})
    assert (curvy["runtime_s"] > 0).all() and (curvy["optimise_s"] > 0).all()
    assert (curvy["shortest_s"] <= curvy["runtime_s"]).all() and (curvy["runtime_s"] <= curvy["longest_s"]).all()
    # Phases are parts of the whole; what is not in one is the door's.
    phases = curvy[["prepare_s", "optimise_s", "finish_s"]].to_array().sum("variable")
    assert (phases <= curvy["longest_s"]).all()
    assert np.isnan(found["runtime_s"].sel({"method": "floor", "batch": 3}))
    assert "processor" in found.attrs["hardware"] and found.attrs["device"] == "cpu"
    run.save(found, "timing")
    assert study.load(run.out_dir / "timing.zarr")["peak_memory_gb"].attrs["units"] == "GB"


def test_measurements_are_kept_and_taken_again(run, wanted, kernels):
    how = {"batch_sizes": [1], "repeats": 1}
    first = timing.measure(wanted, kernels, TRIALS[:1], run, **how)
    (path,) = (run.out_dir / "parts").glob("timing-floor-1-*.npz")
    write_part(path, read_part(path), said_of(path) | {"runtime_s": 123.0})
    again = timing.measure(wanted, kernels, TRIALS[:1], run, **how)
    assert first["runtime_s"].item() != 123.0 and again["runtime_s"].item() == 123.0


def test_an_interrupted_run_keeps_what_it_measured(run, wanted, kernels, monkeypatch):
    def measured(do, job):
        if job.size == 4:
            raise KeyboardInterrupt
        return MEASURED

    monkeypatch.setattr(timing, "alone", measured)
    with pytest.raises(KeyboardInterrupt):
        timing.measure(wanted, kernels, TRIALS[:1], run, batch_sizes=[1, 2, 4])
    assert len(list((run.out_dir / "parts").glob("timing-*.npz"))) == 2


def test_damaged_measurements_are_taken_again(run, wanted, kernels, monkeypatch):
    monkeypatch.setattr(timing, "alone", lambda do, job: MEASURED)
    how = {"batch_sizes": [1], "repeats": 1}
    first = timing.measure(wanted, kernels, TRIALS[:1], run, **how)
    (path,) = (run.out_dir / "parts").glob("timing-*.npz")
    path.write_bytes(path.read_bytes()[:-100])
    assert timing.measure(wanted, kernels, TRIALS[:1], run, **how).identical(first)


def test_the_key_tells_machines_threads_and_batches_apart(run, wanted, kernels, monkeypatch):
    job = Job(workload="w", recipe=TRIALS[1], kernels=kernels, clips=(Bits.of(wanted.values[0], 8.0),))
    others = [{"size": 2}, {"threads": 2}, {"repeats": 2}, {"recipe": TRIALS[0]}, {"mode": "compiled"}, {"clips": ()}]
    asked = []
    monkeypatch.setattr(timing, "alone", lambda do, job: asked.append(job) or MEASURED)
    bench, elsewhere = timing._Bench(run), timing._Bench(run)
    elsewhere.hardware = bench.hardware | {"processor": "another"}
    for each in [job, *(replace(job, **other) for other in others)]:
        for _ in range(2):
            bench(each, measuring.solved)
    elsewhere(job, measuring.solved)
    assert len(asked) == len(others) + 2


def test_peak_memory_is_that_of_the_work(kernels, wanted):
    """In a fresh process: a solver that fills a known number of bytes."""
    recipe = study.Trial(label="greedy", method="identity")
    job = Job(workload="greedy", recipe=recipe, kernels=kernels, clips=(Bits.of(wanted.values[0], 8.0),))
    plain, greedy = (alone(do, job)["peak_memory_gb"] for do in (measuring.solved, fill))
    assert greedy - plain == pytest.approx(0.4, abs=0.05)


def fill(job):
    """``solved`` with a solver that holds 0.4 GB for a moment."""
    solve = opc.Recipe.solve

    def greedy(*args, **kwargs):
        torch.ones(100_000_000)
        return solve(*args, **kwargs)

    opc.Recipe.solve = greedy
    return measuring.solved(job)


def test_a_process_that_dies_says_what_to_do(run, kernels, wanted, monkeypatch):
    monkeypatch.setattr(measuring, "solved", die)
    with pytest.raises(BrokenProcessPool) as caught:
        timing.measure(wanted, kernels, TRIALS[:1], run, batch_sizes=[1])
    assert caught.value.__notes__[0] == "while working on floor, 1 at once" and "smaller" in caught.value.__notes__[1]


def die(job):
    os._exit(9)


def test_wrong_requests_are_refused(run, wanted, kernels):
    with pytest.raises(ValueError, match="repeats"):
        timing.measure(wanted, kernels, TRIALS, run, batch_sizes=[1], repeats=0)
    with pytest.raises(UnknownNameError, match="curvy"):
        timing.measure(wanted, kernels, [study.Trial(label="x", method="magic")], run, batch_sizes=[1])


# Figures of the measurements


@pytest.fixture
def measured(run, wanted, kernels, monkeypatch) -> xr.Dataset:
    other = {name: value for name, value in MEASURED.items() if name != "optimise_s"} | {"finish_s": 0.3}
    monkeypatch.setattr(timing, "alone", lambda do, job: other if job.workload == "curvy" else MEASURED)
    return timing.measure(wanted, kernels, TRIALS, run, batch_sizes={"floor": [1, 4], "curvy": [1]})


def test_figures_draw_what_was_measured_and_leave_out_what_was_not(measured, tmp_path):
    lines = figures.over_batch(measured["peak_memory_gb"])
    assert [len(line.data) for line in lines.of("line")] == [2, 1]
    bars = figures.phase_bars(measured.sel(batch=1))
    (texts,) = bars.of("texts")
    assert [text for *_, text in texts.data] == ["1.20", "0.40"]
    for name, figure in {"lines": lines, "bars": bars}.items():
        figures.save(figure, name, tmp_path)
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
