"""Seconds a clip of every solver, beside the same loop on the plain full-grid simulator, in one run.

Run with ``make bench``, or ``python tests/bench/bench_opc.py``. On the contest clips and the symmetrised kernels
where they are, else on embedded clips; the output says which.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from reference_imaging import reference_aerial

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.data import manifest
from maskopt_lib.opc.curvy import ICCAD13_STEPS

#: Seconds a clip that are asked for, two cores.
WANTED_S = {"curvy": 1.5}


class FullGridSimulator(litho.Simulator):
    """The same door, with every corner imaged by full-grid transforms."""

    def aerial(self, mask, *, n_out=None, corners=None):
        wanted = self.process if corners is None else [self.corner(name) for name in corners]
        return torch.stack([reference_aerial(m, self.kernels, wanted) for m in mask])


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    is_real = manifest.available("iccad13/kernels/curvyilt/optKernel_bc.npy")
    benchmark, kernels = ("iccad13", "iccad13-symmetrised") if is_real else ("demo-metal", "embedded")
    clips = layout.benchmark_clips(benchmark)
    targets = {name: clip.rasterize(pixel_nm=1) for name, clip in clips.items()}
    steps = ICCAD13_STEPS if is_real else [200] * len(targets)
    kernel_set = optics.load(kernels)
    sim, slow = litho.Simulator(kernel_set), FullGridSimulator(kernel_set)
    print(f"{len(targets)} clips of {benchmark}, kernels {kernels}, {torch.get_num_threads()} threads")
    for method in opc.METHODS:
        first = next(iter(targets.values()))
        opc.solve(first, sim, method=method, n_steps=2)
        runtimes, phases = [], []
        for target, n_steps in zip(targets.values(), steps, strict=True):
            result = opc.solve(target, sim, method=method, n_steps=n_steps)
            runtimes.append(result.runtime_s)
            phases.append(result.phases_s)
        begun = time.perf_counter()
        opc.solve(first, slow, method=method, n_steps=10)
        slow_step_s = (time.perf_counter() - begun) / 10
        step_s = statistics.mean(p["optimise"] for p in phases) / statistics.mean(steps)
        split = ", ".join(f"{name} {statistics.mean(p[name] for p in phases):.2f}" for name in phases[0])
        print(
            f"{method}: {statistics.mean(runtimes):.2f} s a clip (wanted {WANTED_S.get(method, 'none set')} s), "
            f"of it {split}; "
            f"{1e3 * step_s:.1f} ms a step, {slow_step_s / step_s:.0f} x faster than on the full-grid simulator"
        )


if __name__ == "__main__":
    main()
