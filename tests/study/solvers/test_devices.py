"""Modes and types of the simulator, and the measurements of devices: equal results, true counts, plain answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from maskopt_lib import litho, metrics, opc, optics, study
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho.compiled import MODES, GraphReplay, accelerated, gradient_step, obstacle
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.runs.parts import read_part, said_of, write_part
from maskopt_lib.study.solvers import measuring, timing
from maskopt_lib.study.solvers.device_tables import deviations
from maskopt_lib.study.solvers.measuring import IMAGING, STEP, Job
from maskopt_lib.study.solvers.timing import Budget

CURVY = study.Trial(
    label="curvy", method="curvy", options={"n_steps": 2, "retarget_nm": None, "cleanup": None, "loop": None}
)
needs_compiler = pytest.mark.skipif(
    obstacle("compiled", "cpu") is not None, reason=f"compiled on a CPU: {obstacle('compiled', 'cpu')}"
)


@pytest.fixture(scope="module")
def kernels():
    return optics.load("embedded")


@pytest.fixture(scope="module")
def wanted():
    return study.targets("demo-metal", ["demo-metal-tips", "demo-metal-cell"], pixel_nm=8)


@pytest.fixture
def run(tmp_path):
    return study.start("Devices", notebook="13_ilt_runtime_memory", params={}, out_dir=tmp_path)


def masks(n: int = 96, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, n, n, generator=torch.Generator().manual_seed(n))


def objective(sim: litho.Simulator, wanted: torch.Tensor):
    def terms(latent: torch.Tensor):
        nominal, outer, inner = sim.resist(torch.sigmoid(4 * latent - 2)).unbind(-3)
        return squared_difference(nominal, wanted), squared_difference(outer, inner)

    return terms


def images_and_gradient(sim: litho.Simulator, mask: torch.Tensor, **how) -> tuple[torch.Tensor, torch.Tensor]:
    leaf = mask.to(sim.device, sim.dtype).requires_grad_()
    images = sim.aerial(leaf, **how)
    weights = torch.rand(images.shape, generator=torch.Generator().manual_seed(1), dtype=sim.dtype).to(sim.device)
    return images.detach().cpu(), torch.autograd.grad(images, leaf, weights)[0].cpu()


# Modes


def test_a_step_is_the_gradient_of_the_weighted_terms(kernels):
    sim = litho.Simulator(kernels, dtype=torch.float64)
    latent = masks().double()
    terms, gradient = gradient_step(objective(sim, latent), (2.0, 0.5))(latent)
    push = torch.randn(latent.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    there, back = (torch.stack(objective(sim, latent)(latent + h * push)) for h in (1e-5, -1e-5))
    slope = (torch.tensor([2.0, 0.5], dtype=torch.float64)[:, None] * (there - back)).sum() / 2e-5
    assert float((gradient * push).sum()) == pytest.approx(float(slope), rel=1e-6)
    torch.testing.assert_close(terms, torch.stack(objective(sim, latent)(latent)))


# Of parts of torch that the compiler itself uses; and that it has a slower way under Python 3.13.0, not under 3.13.1.
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore:Guards may run slower on Python 3.13.0:RuntimeWarning"
)
@needs_compiler
def test_compiled_imaging_and_step_equal_the_plain_ones(kernels):
    plain, compiled = litho.Simulator(kernels), litho.Simulator(kernels, mode="compiled")
    for ours, theirs in zip(images_and_gradient(compiled, masks()), images_and_gradient(plain, masks()), strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    # A simulator that has made nothing yet, as in a fresh process.
    fresh = litho.Simulator(kernels)
    steps = [gradient_step(objective(fresh, masks()), (1.0, 1.0), mode=mode) for mode in ("compiled", "eager")]
    for ours, theirs in zip(*(step(masks()) for step in steps), strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()


def test_what_a_machine_lacks_is_said(kernels):
    with pytest.raises(ValueError, match=r"CUDA graphs need a GPU; use mode='eager'"):
        accelerated(torch.sin, "cuda graph", device="cpu")
    with pytest.raises(ValueError, match="CUDA graphs need a GPU"):
        litho.Simulator(kernels, mode="cuda graph")
    with pytest.raises(UnknownNameError, match="eager"):
        obstacle("fast", "cpu")
    assert [obstacle(mode, "cuda") for mode in MODES] == ["no GPU here"] * 3


# Types of the products


@pytest.mark.parametrize("corners", [None, ["inner"], ["inner", "nominal"]])
def test_coarser_products_stay_within_their_rounding(kernels, corners):
    """Six products one after the other, each rounded to 2^-9; an intensity is off by twice what its field is."""
    exact, coarse = litho.Simulator(kernels), litho.Simulator(kernels, matmul_dtype=torch.bfloat16)
    images, gradient = images_and_gradient(exact, masks(), corners=corners)
    ours, ours_gradient = images_and_gradient(coarse, masks(), corners=corners)
    assert ours.dtype == ours_gradient.dtype == torch.float32
    error = (ours - images).square().mean().sqrt() / images.max()
    assert 1e-5 < error < 6 * 2**-8
    assert (ours_gradient - gradient).norm() < 0.02 * gradient.norm()


def test_the_own_type_changes_no_bit(kernels):
    for ours, theirs in zip(
        images_and_gradient(litho.Simulator(kernels, matmul_dtype=torch.float32), masks()),
        images_and_gradient(litho.Simulator(kernels), masks()),
        strict=True,
    ):
        assert torch.equal(ours, theirs)


def test_scores_are_taken_in_float32_whatever_the_mask_was_made_with(run, wanted, kernels, monkeypatch):
    simulators = []
    evaluate = metrics.evaluate

    def noting(mask, target, sim, **how):
        simulators.append(sim)
        return evaluate(mask, target, sim, **how)

    monkeypatch.setattr(metrics, "evaluate", noting)
    scores = study.product_scores(wanted, kernels, [CURVY], run)
    assert all(sim.dtype == torch.float32 and sim.matmul_dtype is None for sim in simulators) and len(simulators) == 6
    assert scores["l2_nm2"].dims == ("method", "matmul", "sample")
    change = deviations(scores)
    assert change["l2_nm2"].sel(matmul="float32").item() == 0 and (abs(change["l2_nm2"]) < 5).all()
    # A second call reads what was kept.
    monkeypatch.setattr(metrics, "evaluate", None)
    assert study.product_scores(wanted, kernels, [CURVY], run).identical(scores)


# Measurements


def test_operations_are_those_of_the_matrices(kernels):
    """From the shapes: two products for the spectrum, two a field, two a focus setting; the adjoint has as many."""
    n, h = 128, kernels.half_width
    sim = litho.Simulator(kernels)
    focus, systems = sim._systems.shape[:2]
    small, rows, columns = 4 * h + 2, 2 * (h + 1), 2 * (2 * h + 1)
    spectrum = rows * n * n + rows * n * columns
    fields = focus * systems * ((h + 1) * columns * 2 * small + small * rows * small)
    images = focus * (small * small * n + n * small * n)
    job = Job(workload=IMAGING, recipe=None, kernels=kernels, clips=(), step_pixel_nm=16.0)
    found = measuring.limits(job, masks(n, 1))
    assert found["operations"] == 2 * 2 * (spectrum + fields + images)
    assert found["peak_rate"] > 1e8 and found["fft_s"] > 0


def test_rows_say_what_was_measured_and_why_not(run, wanted, kernels):
    how = {
        "modes": ["eager", "cuda graph"], "batch_sizes": [1], "step_pixels_nm": [16], "repeats": 1,
        "budget": Budget(largest=2),
    }  # fmt: skip
    found = study.measure_devices(wanted, kernels, [CURVY], run, **how)
    table = found.to_dataframe().set_index(["device", "workload", "mode", "batch"])["status"].sort_index()
    for workload in (f"{IMAGING}, 16 nm", f"{STEP}, 16 nm", "curvy"):
        series = table["cpu", workload, "eager"]
        # The sizes asked for, then twice as many, until the limit, which is stated.
        assert series.to_dict() == {
            1: "measured",
            2: "measured",
            4: "not measured: a batch of 4 is above the limit of 2",
        }
        assert table["cpu", workload, "cuda graph"].tolist() == ["not measured: CUDA graphs need a GPU"]
        assert table["cuda", workload].unique().tolist() == ["not measured: no GPU here"]
    there = found.where(found["status"] == "measured", drop=True)
    assert (there["runtime_s"] > 0).all() and (there["first_s"] > 0).all()
    assert np.isnan(found["runtime_s"].where(found["status"] != "measured")).all()
    imaging = there.where(there["workload"] == f"{IMAGING}, 16 nm", drop=True)
    np.testing.assert_allclose(imaging["fft_share"], imaging["fft_s"] / imaging["runtime_s"])
    assert ((imaging["peak_share"] > 0) & (imaging["peak_share"] < 1)).all()
    run.save(found, "devices")
    # What was measured is kept: nothing is measured again.
    parts = sorted((run.out_dir / "parts").glob("timing-*.npz"))
    write_part(parts[0], read_part(parts[0]), said_of(parts[0]) | {"runtime_s": 123.0})
    again = study.measure_devices(wanted, kernels, [CURVY], run, **how)
    assert (again["runtime_s"] == 123.0).sum() == 1 and len(parts) == 6


def test_a_batch_that_would_cost_too_much_is_not_tried(kernels):
    job = Job(workload="curvy", recipe=CURVY, kernels=kernels, clips=(), size=8)
    before = {"size": 4, "runtime_s": 2.0, "peak_memory_gb": 1.0}
    assert "would need about 2.0 GB, the limit is 1.5 GB" in timing._too_much(job, before, Budget(memory_gb=1.5))
    assert "would take about 16 s, the limit is 10 s" in timing._too_much(job, before, Budget(time_s=10))
    assert timing._too_much(job, before, Budget(memory_gb=2.5, time_s=20)) is None
    # A GPU is filled until it refuses.
    assert timing._too_much(replace(job, device="cuda"), before, Budget(memory_gb=1.5)) is None


def test_running_out_of_memory_is_a_row_and_ends_the_series(kernels, run):
    """A real refusal: more memory than any machine has."""
    job = Job(workload="curvy", recipe=CURVY, kernels=kernels, clips=())
    for refuse in (lambda job: torch.empty(2**60), lambda job: np.empty(2**55)):
        assert measuring.until_full(job, refuse)["status"].startswith("out of memory")

    def keep(job, do):
        full = job.size > 4
        return (
            measuring.until_full(job, lambda job: torch.empty(2**60))
            if full
            else {"runtime_s": 1e-3, "peak_memory_gb": 0.1}
        )

    rows = list(timing._ascend(job, keep, [1, 2], Budget()))
    assert [row["batch"] for row in rows] == [1, 2, 4, 8]
    assert [row["status"].partition(":")[0] for row in rows] == ["measured"] * 3 + ["out of memory"]


def test_other_faults_are_no_lack_of_memory(kernels):
    job = Job(workload="curvy", recipe=CURVY, kernels=kernels, clips=())
    with pytest.raises(RuntimeError, match="shapes"):
        measuring.until_full(job, lambda job: torch.ones(2, 3) @ torch.ones(2, 3))


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"modes": ["fast"]}, UnknownNameError, "eager"),
        ({"matmul": ["int8"]}, UnknownNameError, "bfloat16"),
        ({"batch_sizes": [2, 1]}, ValueError, "ascend"),
        ({"repeats": 0}, ValueError, "repeats"),
    ],
)
def test_wrong_requests_are_refused(run, wanted, kernels, change, error, says):
    with pytest.raises(error, match=says):
        study.measure_devices(wanted, kernels, [CURVY], run, **change)


# On a GPU


@pytest.mark.gpu
def test_graphs_equal_plain_steps_and_keep_their_results(kernels):
    plain = litho.Simulator(kernels, device="cuda")
    replayed = litho.Simulator(kernels, device="cuda", mode="cuda graph")
    for ours, theirs in zip(images_and_gradient(replayed, masks()), images_and_gradient(plain, masks()), strict=True):
        assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
    # Two images before the first gradient: neither call may change what the other returned or saved.
    first, second = (m.cuda().requires_grad_() for m in (masks(), 1 - masks()))
    total = replayed.aerial(first).square().sum() + replayed.aerial(second).square().sum()
    ours = torch.autograd.grad(total, (first, second))
    total = plain.aerial(first).square().sum() + plain.aerial(second).square().sum()
    for a, b in zip(ours, torch.autograd.grad(total, (first, second)), strict=True):
        assert (a - b).abs().max() < 1e-5 * b.abs().max()
    latent = masks().cuda()
    steps = [
        gradient_step(objective(plain, latent), (1.0, 1.0), mode=mode, device="cuda")
        for mode in ("cuda graph", "eager")
    ]
    assert isinstance(steps[0], GraphReplay)
    for _ in range(2):
        for ours, theirs in zip(*(step(latent) for step in steps), strict=True):
            assert (ours - theirs).abs().max() < 1e-5 * theirs.abs().max()
        latent = 0.9 * latent


@pytest.mark.gpu
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", [mode for mode in MODES if mode != "eager"])
def test_solvers_run_in_every_mode(kernels, wanted, mode):
    made = [
        opc.solve(wanted.values, litho.Simulator(kernels, device="cuda", mode=m), method="curvy", **CURVY.options).mask
        for m in (mode, "eager")
    ]
    assert (made[0] != made[1]).mean() < 1e-3


@pytest.mark.gpu
def test_a_gpu_is_measured(run, wanted, kernels):
    found = study.measure_devices(
        wanted, kernels, [CURVY], run, devices=["cuda"], modes=["eager", "cuda graph"], matmul=["float32", "bfloat16"],
        batch_sizes=[1, 8], step_pixels_nm=[16], repeats=1, budget=Budget(largest=8),
    )  # fmt: skip
    there = found.where(found["status"] == "measured", drop=True)
    assert there.sizes["row"] == 24 and (there["peak_memory_gb"] > 0).all()
