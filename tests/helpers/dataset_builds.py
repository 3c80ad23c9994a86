"""A small dataset from the embedded block, built as notebook 22 builds one; also as a program, to be killed."""

from __future__ import annotations

import sys
from pathlib import Path

from maskopt_lib.data.splits import SplitRule
from maskopt_lib.layout import TileRule
from maskopt_lib.opc import Recipe
from maskopt_lib.runs.spread import workers
from maskopt_lib.study.dataset import choose as label_choice
from maskopt_lib.study.dataset import cut as build_dataset
from maskopt_lib.study.dataset import label as label_dataset
from maskopt_lib.study.dataset.plan import BuildRule, plan
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


def wanted(n: int = 4) -> label_choice.Wanted:
    """So many labels a layer, in batches and shards of two."""
    return label_choice.Wanted(
        n_labels=dict.fromkeys(LAYERS, n), split=SplitRule(held_out_cells=()), batch=2, shard_size=2
    )


def build(folder: Path, client=None, n_labels: int = 4) -> dict:
    """All steps; the store, its digest, and what had to be done."""
    designs = plan(RULE, folder, client=client)
    parts = build_dataset.parts(RULE, designs, folder)
    cut = build_dataset.cut(parts, client=client)
    store, filled = build_dataset.assemble(RULE, designs, parts, folder, client=client, title="a test")
    want = wanted(n_labels)
    labellings = label_choice.choose_labels(store, parts, want, TURNS)
    todo = label_dataset.batches(store, labellings, LABELS, want, folder)
    done = label_dataset.label(todo, store, labellings, want, client=client)
    return {
        "store": store, "digest": store.digest(), "parts": parts, "batches": todo, "labellings": labellings,
        "cut": cut, "filled": filled, "solved": done["batches"], "label_shards": done["shards"],
    }  # fmt: skip


if __name__ == "__main__":
    with workers(int(sys.argv[2])) as client:
        build(Path(sys.argv[1]), client)
