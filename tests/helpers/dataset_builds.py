"""A small dataset from the embedded block, built as notebook 22 builds one; also as a program, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from maskopt_lib.data.splits import SplitRule
from maskopt_lib.layout import TileRule
from maskopt_lib.opc import Recipe
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.dataset import choose, cut, label
from maskopt_lib.study.dataset.plan import BuildRule, plan_designs, writing
from maskopt_lib.study.dataset.tile_masks import LabelRule

LAYERS = ("metal1", "via1")
PIXEL_NM = 4.0  # a sixteenth of the work
RULE = BuildRule(
    designs=("demo_block",),
    layers=LAYERS,
    tiles=TileRule(pixel_nm=PIXEL_NM),
    n_windows={"metal1": 60, "via1": 60},
    shard_size=16,
)
# Two kinds of masks that cost nothing: here both are the target.
IDENTITY = dict.fromkeys(LAYERS, Recipe(method="identity", preset="identity"))
LABELS = LabelRule(kernels="embedded", pixel_nm=PIXEL_NM, recipes={"opc": IDENTITY, "ilt": IDENTITY})
#: Symmetries of the embedded kernels.
TURNS = (0, 4)


def label_plan(n: int = 4) -> choose.LabelPlan:
    """So many labels a layer, in batches and shards of two."""
    return choose.LabelPlan(
        n_labels=dict.fromkeys(LAYERS, n), split=SplitRule(held_out_cells=()), batch=2, shard_size=2
    )


def build(folder: Path, client=None, n_labels: int = 4) -> dict:
    """All steps, the folder its own meanwhile, as a run's is; the store, its digest, and what had to be done."""
    with writing(folder):
        return _build(folder, client, n_labels)


def _build(folder: Path, client, n_labels: int) -> dict:
    designs = plan_designs(RULE, folder, client=client)
    parts = cut.tile_parts(RULE, designs, folder)
    n_cut = cut.cut_parts(parts, client=client)
    store, n_filled = cut.assemble(RULE, designs, parts, folder, client=client, title="a test")
    plan = label_plan(n_labels)
    labellings = choose.choose_labels(store, parts, plan, TURNS)
    batches = label.label_batches(store, labellings, LABELS, plan, folder)
    done = label.make_labels(batches, store, labellings, plan, client=client)
    return {
        "store": store, "digest": store.digest(), "parts": parts, "batches": batches, "labellings": labellings,
        "cut": n_cut, "filled": n_filled, "solved": done["batches"], "label_shards": done["shards"],
    }  # fmt: skip


if __name__ == "__main__":
    with workers(int(sys.argv[2])) as client:
        build(Path(sys.argv[1]), client)
