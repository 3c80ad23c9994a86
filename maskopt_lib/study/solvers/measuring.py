"""What is timed, each in a process of its own: whole solves, imaging with its adjoint, a gradient step around it.

A process that has done nothing else: memory that an earlier solve left behind would be counted, or hide what is needed.
Two limits stand beside imaging, both taken in the process that was timed:

- *the FFT limit*: two real transforms of the mask's grid, one there and one back. A program that images by Fourier
  Transforms of the whole grid needs at least these for a step, before it has multiplied by one kernel;
- *the arithmetic limit*: the floating-point operations of the matrix products of a step, at the rate of one
  large matrix product, the most that the device was seen to do.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from maskopt_lib import metrics, opc
from maskopt_lib.data import schema
from maskopt_lib.litho import Simulator
from maskopt_lib.litho.compiled import EAGER, gradient_step
from maskopt_lib.opc.objective import squared_difference
from maskopt_lib.opc.pixels import whole
from maskopt_lib.optics import SocsKernels
from maskopt_lib.optics.kernels import kernels_digest
from maskopt_lib.runs.memory import give_back, memory_bytes, peak_memory_bytes
from maskopt_lib.runs.parts import Bits

#: Workloads that are no solver; their labels end in the pixel.
IMAGING, STEP = "imaging and adjoint", "gradient step"
SCORES = (schema.L2, schema.PVB)
SHORTEST, LONGEST, FIRST_S = "shortest_s", "longest_s", "first_s"
FFT_S, OPERATIONS, PEAK_RATE = "fft_s", "operations", "peak_rate"
STATUS, OUT_OF_MEMORY = "status", "out of memory"

#: A timed round lasts at least this long, so that a clock's tick is nothing to it.
_ROUND_S = 0.05
#: Sides of the square matrices whose product tells the device's rate; larger ones only where they take no time.
_PEAK_SIDES = (512, 1024, 2048, 4096, 8192)
_PEAK_ENOUGH_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One measurement, as it travels to its process.

    Attributes
    ----------
    workload : its label.
    recipe : of a solver; None for imaging and gradient step.
    kernels : to image with.
    clips : targets, cycled to fill batches.
    size : clips at once.
    device, mode, matmul : of the simulator.
    step_pixel_nm : pixels of imaging and gradient step.
    repeats : rounds, of solvers for single clips.
    threads : of torch.
    """

    workload: str
    recipe: opc.Recipe | None
    kernels: SocsKernels
    clips: tuple[Bits, ...]
    size: int = 1
    device: str = "cpu"
    mode: str = EAGER
    matmul: str = "float32"
    step_pixel_nm: float = 1.0
    repeats: int = 1
    threads: int = 1

    def __str__(self) -> str:
        return f"{self.workload}, {self.size} at once"

    @property
    def is_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return torch.device(self.device).type == "cuda"

    @property
    def contents(self) -> list:
        """All that determines what is computed, for a key."""
        what = self.recipe.digest() if self.recipe else [self.workload, self.step_pixel_nm]
        clips = [clip.digest() for clip in self.clips]
        how = [self.size, self.device, self.mode, self.matmul, self.repeats, self.threads]
        return [what, kernels_digest(self.kernels), clips, how]

    def simulator(self, mode: str) -> Simulator:
        """A simulator with products in the job's type."""
        dtype = getattr(torch, self.matmul)
        products = {"dtype": dtype} if dtype == torch.float64 else {"matmul_dtype": dtype}
        return Simulator(self.kernels, device=self.device, mode=mode, **products)

    def fill(self, targets: np.ndarray, first: int) -> None:
        """Put clips into a batch in place, beginning with ``first`` and over again where there are no more."""
        for i, target in enumerate(targets, start=first):
            target[:] = self.clips[i % len(self.clips)].image

    def batch(self) -> np.ndarray:
        """(size, y, x) uint8, the first batch."""
        targets = np.empty((self.size, *self.clips[0].shape), np.uint8)
        self.fill(targets, 0)
        return targets


def solved(job: Job) -> dict[str, float]:
    """Times a clip of whole solves, of their phases and of the first call; peak memory of the first round in GB."""
    torch.set_num_threads(job.threads)
    sim, targets = job.simulator(job.mode), job.batch()
    warm = targets[:1] if job.mode == EAGER else targets  # compiled and recorded shapes hold for one size
    first_s, before = _first(lambda: job.recipe.solve(warm, sim, stop=_one_step), job)
    seconds, phases, peaks = [], [], []
    for repeat in range(-(-job.repeats // job.size)):
        job.fill(targets, repeat * job.size)
        seconds.append(_seconds(lambda: phases.append(job.recipe.solve(targets, sim).phases_s), job))
        peaks.append(_memory_gb(job, before))
    by_phase = {f"{name}_s": float(np.median([p[name] for p in phases])) / job.size for name in phases[0]}
    return _times(seconds, job) | by_phase | {schema.PEAK_MEMORY: peaks[0], FIRST_S: first_s}


def stepped(job: Job) -> dict[str, float]:
    """The same of imaging with its adjoint, beside its two limits, or of a gradient step around it."""
    torch.set_num_threads(job.threads)
    is_imaging = job.workload.startswith(IMAGING)
    sim = job.simulator(job.mode if is_imaging else EAGER)
    factor = whole(job.step_pixel_nm, job.clips[0].pixel_nm, "step_pixels_nm")
    masks = torch.nn.functional.avg_pool2d(torch.as_tensor(job.batch(), dtype=sim.dtype), factor).to(sim.device)
    step = _imaging(sim, masks) if is_imaging else _objective(sim, masks, job)
    first_s, before = _first(step, job)
    measured = _times(_rounds(step, job, job.repeats), job)
    measured |= {schema.PEAK_MEMORY: _memory_gb(job, before), FIRST_S: first_s}
    return measured | (limits(job, masks) if is_imaging else {})


def until_full(job: Job, do: Callable[[Job], dict[str, Any]] | None = None) -> dict[str, Any]:
    """What was measured, or that memory ran out: what torch raises differs from device to device."""
    try:
        return (do or (solved if job.recipe else stepped))(job)
    except (torch.OutOfMemoryError, MemoryError) as error:
        return {STATUS: f"{OUT_OF_MEMORY}: {str(error).splitlines()[0][:160]}"}
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        return {STATUS: f"{OUT_OF_MEMORY}: {str(error).splitlines()[0][-160:]}"}


def scored(job: Job) -> dict[str, float]:
    """Scores in float32 of one clip's mask, made with products in the job's type."""
    target = job.clips[0].image
    mask = job.recipe.solve(target, job.simulator(EAGER)).mask
    scores = metrics.evaluate(mask, target, Simulator(job.kernels), only=SCORES)
    return {name: float(scores[name]) for name in SCORES}


def limits(job: Job, masks: Tensor) -> dict[str, float]:
    """The two limits of the module's text, of this process and its state."""
    n = masks.shape[-1]
    spectra = torch.fft.rfft2(masks)

    def transforms() -> None:
        torch.fft.rfft2(masks)
        torch.fft.irfft2(spectra, s=(n, n))

    transforms()
    fft_s = float(np.median(_rounds(transforms, job, job.repeats)))
    # Counted on a plain simulator: operations that a compiler or a graph runs pass no counter.
    plain = Simulator(job.kernels, device=job.device)
    with FlopCounterMode(display=False) as counter:
        _imaging(plain, masks[:1])()
    return {FFT_S: fft_s / job.size, OPERATIONS: counter.get_total_flops(), PEAK_RATE: _peak_rate(job)}


def _imaging(sim: Simulator, masks: Tensor) -> Callable[[], Tensor]:
    def step() -> Tensor:
        leaf = masks.detach().requires_grad_()
        images = sim.aerial(leaf)
        (gradient,) = torch.autograd.grad(images, leaf, torch.ones_like(images))
        return gradient

    return step


def _objective(sim: Simulator, masks: Tensor, job: Job) -> Callable[[], Any]:
    """What pixel solvers have in common: mask from latent image, resist, fidelity and PV band."""

    def terms(latent: Tensor) -> tuple[Tensor, Tensor]:
        nominal, outer, inner = sim.resist(torch.sigmoid(4 * (latent - 0.5))).unbind(-3)
        return squared_difference(nominal, masks), squared_difference(outer, inner)

    step = gradient_step(terms, (1.0, 1.0), mode=job.mode, device=job.device)
    return lambda: step(masks)


def _peak_rate(job: Job) -> float:
    best = 0.0
    for side in _PEAK_SIDES:
        left, right = (torch.ones(side, side, device=job.device, dtype=getattr(torch, job.matmul)) for _ in range(2))
        left @ right
        seconds = min(_seconds(lambda a=left, b=right: a @ b, job) for _ in range(3))
        best = max(best, 2 * side**3 / seconds)
        if seconds > _PEAK_ENOUGH_S:
            break
    return best


def _first(call: Callable[[], Any], job: Job) -> tuple[float, int]:
    """Seconds of the first call, in which matrices are made and a mode compiles or records; and bytes in use before.

    On a GPU that is before the first call, since a graph keeps its memory; on a CPU after it, since a compiler needs
    memory that no later call does.
    """
    give_back()
    before = memory_bytes(job.device)
    first_s = _seconds(call, job)
    if not job.is_gpu:
        give_back()
        before = memory_bytes(job.device)
    return first_s, before


def _memory_gb(job: Job, before: int) -> float:
    return max(peak_memory_bytes(job.device) - before, 0) / 1e9


def _one_step(step: int, losses: Sequence[np.ndarray]) -> str | None:
    return "one step to warm up" if step >= 1 else None


def _times(seconds: Sequence[float], job: Job) -> dict[str, float]:
    times = {schema.RUNTIME: float(np.median(seconds)), SHORTEST: min(seconds), LONGEST: max(seconds)}
    return {name: time_s / job.size for name, time_s in times.items()}


def _rounds(call: Callable[[], Any], job: Job, rounds: int) -> list[float]:
    """Seconds of one call in each round; a round repeats short calls until it lasts long enough."""
    calls = max(1, round(_ROUND_S / max(_seconds(call, job), 1e-6)))
    return [_seconds(call, job, calls) / calls for _ in range(rounds)]


def _seconds(call: Callable[[], Any], job: Job, calls: int = 1) -> float:
    """Seconds of so many calls, until the device is done."""
    _wait(job)
    begun = time.perf_counter()
    for _ in range(calls):
        call()
    _wait(job)
    return time.perf_counter() - begun


def _wait(job: Job) -> None:
    if job.is_gpu:
        torch.cuda.synchronize()
