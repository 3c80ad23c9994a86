"""Speed of the exact simulator: ratios to the plain full-grid sum, measured in one run.

Run with ``make bench``, or ``python tests/bench/bench_litho.py``. With the genuine contest kernels where they are
(mirror or cache), else with the embedded set; the output says which. The two programs take turns, and the median of the
ratios is printed: times drift with what else a machine does, ratios hardly.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from reference_imaging import reference_aerial

from maskopt_lib import litho, optics
from maskopt_lib.data import manifest

#: Ratio that is asked for at each size of the mask.
WANTED = {256: 40, 512: 80, 1024: 150}
ROUNDS = 5


def kernel_set():
    is_here = manifest.available("iccad13/kernels/openilt/M1OPC/scales.txt")
    return optics.load("iccad13" if is_here else "embedded")


def blocks(n: int) -> torch.Tensor:
    coarse = torch.rand(32, 32, generator=torch.Generator().manual_seed(n)) > 0.5
    return coarse.float().repeat_interleave(n // 32, 0).repeat_interleave(n // 32, 1)


def seconds(function, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        function()
    return (time.perf_counter() - begun) / repeats


def gradient_step(aerial, mask: torch.Tensor, weights: torch.Tensor):
    def step():
        leaf = mask.clone().requires_grad_()
        aerial(leaf).backward(weights)

    return step


def compare(n: int, kernels, sim: litho.Simulator) -> None:
    mask = blocks(n)
    weights = torch.rand(3, n, n, generator=torch.Generator().manual_seed(1))
    fast = gradient_step(sim.aerial, mask, weights)
    slow = gradient_step(lambda m: reference_aerial(m, kernels, litho.CONTEST_CORNERS), mask, weights)
    fast(), slow()
    rounds = [(seconds(fast, 20), seconds(slow, 1)) for _ in range(ROUNDS)]
    ratio = statistics.median(s / f for f, s in rounds)
    fast_ms, slow_ms = (1e3 * statistics.median(column) for column in zip(*rounds, strict=True))
    print(
        f"{n:5d}   {fast_ms:9.2f} ms   {slow_ms:9.1f} ms   {ratio:7.1f} x   (wanted {WANTED[n]} x)   "
        f"{transforms(n, fast_ms):5.2f} x two real FFTs"
    )


def transforms(n: int, fast_ms: float) -> float:
    """How many times two real transforms of the mask's grid a step takes: the floor of any transform-based program."""
    mask = blocks(n)
    spectrum = torch.fft.rfft2(mask)

    def two_transforms():
        torch.fft.rfft2(mask)
        torch.fft.irfft2(spectrum, s=(n, n))

    two_transforms()
    return fast_ms / (1e3 * statistics.median(seconds(two_transforms, 20) for _ in range(ROUNDS)))


def score_2048(kernels) -> None:
    """Time and extra memory of the prints of one contest-sized clip, in a process of its own."""
    begun_mb = peak_memory_mb()
    sim = litho.Simulator(kernels)
    mask = blocks(2048)
    first = seconds(lambda: sim.printed(mask), 1)
    later = statistics.median(seconds(lambda: sim.printed(mask), 1) for _ in range(ROUNDS))
    extra_mb = peak_memory_mb() - begun_mb
    print(f"printing a 2048 clip at three corners: first {first:.3f} s, then {later:.3f} s (wanted 0.25 s)")
    print(f"memory above that of the imported libraries: {extra_mb:.0f} MB (wanted 300 MB)")


def peak_memory_mb() -> float:
    """Largest resident size of this process so far (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    kernels = kernel_set()
    if sys.argv[1:] == ["score"]:
        score_2048(kernels)
        return
    sim = litho.Simulator(kernels)
    print(f"forward and backward of three corners, float32, kernels {kernels.name}, {torch.get_num_threads()} threads")
    print("    n    simulator     full-grid sum     ratio")
    for n in WANTED:
        compare(n, kernels, sim)
    subprocess.run([sys.executable, __file__, "score"], check=True)


if __name__ == "__main__":
    main()
