"""Shots against adaptive-boxes: ratio of counts, correlation, speed; and the time of every score of a 2048 mask.

    python tests/bench/bench_metrics.py

The released masks of CurvyILT are used where the manifest's files are on this machine, random curved masks in any case.
`adaptive-boxes` (data_manifest/locks/oracles.lock) is run as the field runs it, four searches a step, on the connected
parts of the mask on a 512 grid; its pool of processes is replaced by a plain loop, which makes it faster, and its
use of `scipy.stats.mode`, which newer versions of scipy refuse, is bridged. One mask is also timed with the pool.
"""

from __future__ import annotations

import contextlib
import io
import time
from functools import partial
from types import SimpleNamespace

import numpy as np
from scipy import ndimage, stats

from maskopt_lib import metrics
from maskopt_lib.data import manifest

GRID = 512


def clips() -> dict[str, np.ndarray]:
    """Binary 2048 x 2048 masks: released ones and their Manhattan targets, and curved noise of several widths."""
    import imageio.v3 as iio

    found = {}
    known = manifest.load_manifest()
    for case in range(1, 11):
        for kind in ("mask", "target"):
            if (path := known.local(f"golden/curvyilt_masks/M1_test{case}.{kind}.png")) is not None:
                found[f"{kind} {case}"] = iio.imread(path) > 0
    rng = np.random.default_rng(0)
    for width in (20, 25, 30, 40, 50, 60):
        noise = ndimage.gaussian_filter(rng.standard_normal((2048, 2048)), width, mode="wrap")
        field = np.zeros((2048, 2048), dtype=bool)
        field[512:1536, 512:1536] = True
        found[f"noise {width}"] = (noise > 0.7 * noise.std()) & field
    return found


def adaptive_boxes(image: np.ndarray, proc) -> int:
    """Rectangles that adaptive-boxes finds, part by part; parts one pixel wide count as one."""
    labels, n = ndimage.label(image, np.ones((3, 3)))
    total = 0
    for k in range(1, n + 1):
        y, x = np.nonzero(labels == k)
        if len(set(y)) == 1 or len(set(x)) == 1:
            total += 1
            continue
        with contextlib.redirect_stdout(io.StringIO()):
            total += len(proc.decompose(np.stack([y, x, 0 * y], axis=1), 4)[0])
    return total


def best_of(call, n: int = 3) -> float:
    """Shortest of ``n`` times, in seconds."""
    times = []
    for _ in range(n):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def bench_shots(masks: dict[str, np.ndarray]) -> None:
    try:
        from adabox import proc, tools
    except ImportError:
        print("adaptive-boxes is not installed (data_manifest/locks/oracles.lock): no comparison of shots")
        return
    tools.stats = SimpleNamespace(mode=partial(stats.mode, keepdims=True))
    pool = proc.Pool
    proc.Pool = lambda: SimpleNamespace(_processes=1, map=lambda f, items: [f(item) for item in items])
    np.random.seed(0)  # noqa: NPY002 - the package draws from numpy's global state
    rows = []
    for name, mask in masks.items():
        image = mask[:: len(mask) // GRID, :: len(mask) // GRID]
        start = time.perf_counter()
        theirs = adaptive_boxes(image, proc)
        their_s = time.perf_counter() - start
        ours, our_s = metrics.count_shots(mask, GRID), best_of(partial(metrics.count_shots, mask, GRID))
        rows.append((theirs, ours, their_s / our_s))
        print(
            f"{name:>10}: adaptive-boxes {theirs:5d}, here {ours:5d}, {their_s / our_s:6.0f} x faster ({our_s:.4f} s)"
        )
    theirs, ours, faster = np.array(rows).T
    curved = np.array(["target" not in name for name in masks])
    print(f"correlation {np.corrcoef(theirs, ours)[0, 1]:.4f} over {len(rows)} masks", end=", ")
    print(f"{np.corrcoef(theirs[curved], ours[curved])[0, 1]:.4f} over the {curved.sum()} curved ones")
    print(f"adaptive-boxes / here: {np.mean(theirs / ours):.3f}, curved {np.mean((theirs / ours)[curved]):.3f}")
    print(f"faster: curved {np.median(faster[curved]):.0f} x (median), {faster[curved].min():.0f} x (least)")
    print(f"        all    {np.median(faster):.0f} x (median), {faster.min():.0f} x (least)")

    proc.Pool = pool
    name = next(iter(masks))
    image = masks[name][:: len(masks[name]) // GRID, :: len(masks[name]) // GRID]
    pooled = best_of(lambda: adaptive_boxes(image, proc), 1)
    print(f"{name} with its pool: {pooled:.1f} s, {pooled / best_of(partial(metrics.count_shots, image)):.0f} x")


def bench_scores(masks: dict[str, np.ndarray]) -> None:
    largest = max(masks, key=lambda name: metrics.count_vertices(masks[name], 1.0))
    mask = masks[largest]
    print(f"scores of {largest!r} on {mask.shape}, best of three:")
    for name, call in {
        "shapes, MSA, MSD": lambda: metrics.shape_rules(mask, 1.0),
        "shots": lambda: metrics.count_shots(mask),
        "vertices": lambda: metrics.count_vertices(mask, 1.0),
        "minimum width": lambda: metrics.min_width_nm(mask, 1.0),
        "minimum space": lambda: metrics.min_space_nm(mask, 1.0),
        "minimum radius": lambda: metrics.min_radius_nm(mask, 1.0),
    }.items():
        print(f"  {name:<18} {best_of(call):.3f} s")

    from maskopt_lib import litho, optics

    kernels = optics.load("embedded")
    sim = litho.Simulator(kernels)
    target = np.zeros((2048, 2048), bool)
    target[600:1400:200, 600:1400] = target[700:1400, 700:760] = True
    target = ndimage.binary_dilation(target, np.ones((61, 61)))
    print(f"  everything, simulation included: {best_of(lambda: metrics.evaluate(mask, target, sim)):.2f} s")


if __name__ == "__main__":
    masks = clips()
    bench_scores(masks)
    bench_shots(masks)
