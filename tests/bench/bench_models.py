"""Tiles a second that networks draw, and what printing their masks adds to a training step, in one run.

Run with ``make bench``, or ``python tests/bench/bench_models.py [device]``. Networks have fresh weights: what they take
does not depend on them. *drawn*: whole masks of 1024 x 1024 pixels of 1 nm, from the tiles' images on, a batch of 8.
*step*: forward and backward of a batch of 4, with a loss that costs nothing; *print*: L2 and PV band of the mask, or of
all masks that a training judges, forward and backward to their logits. *ratio*: print to step, 1 at most is asked for.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from maskopt_lib import layout, models, optics
from maskopt_lib.litho import Simulator
from maskopt_lib.models import TileInput
from maskopt_lib.models.losses import LithoLoss

#: Tiles a second of our own that are asked for, by device.
WANTED = {"cpu": 5, "cuda": 200}
#: (network, preset, width, pixel in nm): those of the cpu scale of notebook 31.
NETWORKS = (
    ("gan_opc", "corrected", 1 / 2, 4),
    ("neural_ilt", "published", 1 / 8, 4),
    ("damo", "corrected", 1 / 4, 4),
    ("cfno", "corrected", 1 / 4, 4),
    ("unrolled_litho", "own", 1.0, 8),
)
ROUNDS = 3


def seconds(work: Callable[[], object], device: str) -> float:
    """Median of some rounds, after one that is not timed."""
    times = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[1:])


def main(device: str = "cpu") -> None:
    sim = Simulator(optics.load("embedded"), device=device)
    # A field of 2048 nm, of which a tile is the middle.
    field = torch.as_tensor(next(iter(layout.demo_clips().values())).rasterize(pixel_nm=1))
    image = field[512:1536, 512:1536].to(device, torch.float32)
    tiles = image.expand(8, -1, -1).to(torch.uint8).cpu().numpy()
    titles = ("drawn/s", "wanted", "step s", "print s", "ratio")
    print(f"{'network':16} {'width':>6} {'nm':>3} " + " ".join(f"{title:>8}" for title in titles))
    for name, preset, width, pixel_nm in NETWORKS:
        own = {"kernels": "embedded"} if name == "unrolled_litho" else {}
        model = models.build(name, preset=preset, width=width, pixel_nm=pixel_nm, **own).to(device)
        litho = LithoLoss(sim, pixel_nm)
        small = torch.nn.functional.avg_pool2d(image[None, None].expand(4, -1, -1, -1), pixel_nm)
        given = TileInput.of(small)
        judged = [draft.detach().requires_grad_() for draft in model.drafts(given)]

        def step(model=model, given=given) -> None:
            sum(draft.sum() for draft in model.drafts(given)).backward()

        def prints(litho=litho, judged=judged, small=small) -> None:
            for draft in judged:
                sum(term.sum() for term in litho(draft, small).values()).backward()

        step_s, print_s = seconds(step, device), seconds(prints, device)
        model.eval()
        drawn = len(tiles) / seconds(lambda m=model: models.predict(m, tiles, kind="ilt", context_nm=32.0), device)
        wanted = WANTED[device] if name == "unrolled_litho" else "-"
        row = (f"{drawn:.1f}", wanted, f"{step_s:.3f}", f"{print_s:.3f}", f"{print_s / step_s:.2f}")
        print(f"{name:16} {width:6.3f} {pixel_nm:3d} " + " ".join(f"{value:>8}" for value in row), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
