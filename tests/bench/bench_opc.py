"""Seconds a clip of every solver, beside the same loop on the plain full-grid simulator, in one run.

Run with ``make bench``, or ``python tests/bench/bench_opc.py [method ...]``. Every preset of every method solves one
embedded clip at 1 nm as it stands, once; where the contest's files are here, CurvyILT and rule-aware ILT solve the ten
contest clips too. Seconds are a processor's and noisy; evaluations of the objective are not, and the ratio to CurvyILT
in the same run hardly.

Each method's default preset then goes through a few steps again, on the simulator of the library and on one that
images each corner with Fourier Transforms of the whole grid, coherent system by coherent system, as the public
programs do. The ratio is that of the optimisation phases of these two runs: everything but imaging is the same.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "helpers"))
from reference_imaging import reference_intensity

from maskopt_lib import layout, litho, opc, optics
from maskopt_lib.data import manifest

#: Seconds a clip that are asked for.
WANTED_S = {("curvy", "published"): 1.5, ("level_set", "openilt"): 2.5, ("level_set", "signed-distance"): 2.5}

#: Steps of each level in the comparison with the full grid, whose steps at 1 nm take a minute.
SHORT_STEPS = 1


class FullGridSimulator(litho.Simulator):
    """The same door, with every corner imaged by transforms of the mask's whole grid."""

    def _images(self, mask, n_out, corners):
        mask = torch.as_tensor(mask).to(self.device, self.dtype)
        flat = mask.reshape(-1, *mask.shape[-2:])
        images = torch.stack(
            [
                torch.stack([reference_intensity(one * factor**0.5, self.kernels, focus) for focus, factor in corners])
                for one in flat
            ]
        )
        if n_out is not None and n_out != mask.shape[-1]:
            images = self._resampled(images, n_out)
        return images.reshape(*mask.shape[:-2], *images.shape[1:])

    def _resampled(self, images, n_out):
        """Band-limited images on another grid, pixel centres aligned as areas are."""
        n, band = images.shape[-1], 2 * self.kernels.half_width
        f = torch.arange(-band, band + 1, device=self.device, dtype=self.dtype)
        there, wanted = ((torch.arange(m, device=self.device, dtype=self.dtype) + 0.5) / m for m in (n, n_out))
        phase = 2 * torch.pi * (wanted[:, None, None] - there[:, None]) * f
        matrix = phase.cos().sum(-1) / n
        return matrix @ images @ matrix.mT


#: Steps for the ten ICCAD13 clips in the released results of CurvyILT (cases 1 to 10).
ICCAD13_STEPS = (300, 200, 500, 200, 200, 200, 200, 200, 200, 200)


def shortened(options, n_steps: int):
    """The same options with ``n_steps`` steps, or with as many in each of their levels."""
    names = {f.name for f in fields(options)}
    if "n_steps" in names:
        return replace(options, n_steps=n_steps)
    if "levels" in names:
        return replace(options, levels=tuple(replace(level, n_steps=n_steps) for level in options.levels))
    return options


def optimise_s(result: opc.OpcResult) -> float:
    """Seconds in the loop; of the whole call where a method has none."""
    return result.phases_s.get("optimise", result.runtime_s)


def evaluations(result: opc.OpcResult) -> float:
    """Of the objective, a clip."""
    return float(result.history["value"].notnull().any("term").sum("step").mean())


def report(method: str, preset: str, results: list[opc.OpcResult], reference_s: float | None = None) -> float:
    """Print a line and return the seconds a clip."""
    seconds = statistics.mean(r.runtime_s for r in results)
    split = ", ".join(
        f"{name} {statistics.mean(r.phases_s[name] for r in results):.2f}" for name in results[0].phases_s
    )
    counted = statistics.mean(map(evaluations, results))
    each_ms = 1e3 * statistics.mean(map(optimise_s, results)) / counted if counted else 0.0
    wanted = f" (wanted {WANTED_S[method, preset]} s)" if (method, preset) in WANTED_S else ""
    ratio = f", {seconds / reference_s:.2f} x CurvyILT" if reference_s else ""
    print(
        f"{method}, {preset}: {seconds:.2f} s a clip{wanted}{ratio}, of it {split}; {counted:.0f} evaluations, "
        f"{each_ms:.1f} ms each",
        flush=True,
    )
    return seconds


def compare(method: str, target, sim: litho.Simulator, slow: FullGridSimulator) -> None:
    preset, options = next(iter(opc.METHODS[method].presets.items()))
    options = shortened(options, SHORT_STEPS)
    opc.solve(target, sim, method=method, options=options)
    fast_s = min(optimise_s(opc.solve(target, sim, method=method, options=options)) for _ in range(3))
    slow_s = optimise_s(opc.solve(target, slow, method=method, options=options))
    print(
        f"{method}, {preset}, {SHORT_STEPS} step(s) a level: {1e3 * fast_s:.0f} ms, on the full-grid simulator "
        f"{1e3 * slow_s:.0f} ms, ratio {slow_s / fast_s:.0f}",
        flush=True,
    )


def main() -> None:
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    methods = sys.argv[1:] or list(opc.METHODS)
    begun = time.perf_counter()
    kernels = optics.load("embedded")
    sim, slow = litho.Simulator(kernels), FullGridSimulator(kernels)
    target = layout.demo_clips()["demo-metal-cell"].rasterize(pixel_nm=1)
    print(f"embedded clip demo-metal-cell at 1 nm, embedded kernels, {torch.get_num_threads()} threads")
    for method in methods:
        for preset, options in opc.METHODS[method].presets.items():
            opc.solve(target, sim, method=method, options=shortened(options, 1))
            report(method, preset, [opc.solve(target, sim, method=method, options=options)])
        compare(method, target, sim, slow)

    if "curvy" in methods and manifest.available("iccad13/kernels/curvyilt/optKernel_bc.npy"):
        sim = litho.Simulator(optics.load("iccad13-symmetrised"))
        targets = [clip.rasterize(pixel_nm=1) for clip in layout.benchmark_clips("iccad13").values()]
        print(f"{len(targets)} clips of iccad13, kernels iccad13-symmetrised, CurvyILT's steps as released")
        released = [
            opc.solve(target, sim, method="curvy", n_steps=n_steps)
            for target, n_steps in zip(targets, ICCAD13_STEPS, strict=True)
        ]
        curvy_s = report("curvy", "published", released)
        for preset in opc.METHODS["rule_aware"].presets if "rule_aware" in methods else ():
            results = [opc.solve(target, sim, method="rule_aware", preset=preset) for target in targets]
            report("rule_aware", preset, results, curvy_s)
    print(f"{time.perf_counter() - begun:.0f} s in all")


if __name__ == "__main__":
    main()
