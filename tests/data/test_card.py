"""The card of a dataset: its numbers are those of the store, and it does not say whole of what is not."""

import numpy as np
import pytest
from tile_stores import NAMES, add_labels, small_store

from maskopt_lib.data import tile_summary
from maskopt_lib.data.card import card_text, write_card
from maskopt_lib.data.splits import SplitRule

DESIGNS = {
    "gcd_dense": {"family": "gcd", "state": "routed", "licence": "none stated", "redistribution": False},
    "aes_psm": {"family": "aes", "state": "placed", "licence": "BSD-3-Clause", "redistribution": True},
}


@pytest.fixture
def made(tmp_path):
    store, arrays = small_store(tmp_path / "store", n=40)
    store.annotate(designs=DESIGNS)
    return store, arrays, add_labels(store)


def rows(text: str, *head: str) -> list[list[str]]:
    """The table of a card that begins with these columns."""
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| " + " | ".join(head)))
    found = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


def test_counts_are_those_of_the_tiles(made):
    store, arrays, masks = made
    text = write_card(store, rule=SplitRule(held_out_designs=("aes",))).read_text()
    by_design = {row[0]: row[1:] for row in rows(text, "design", "family", "state")}
    for name in NAMES["design"]:
        assert by_design[name] == [
            DESIGNS[name]["family"],
            DESIGNS[name]["state"],
            str((arrays["design"] == name).sum()),
        ]
    assert {row[0]: int(row[1]) for row in rows(text, "cell", "metal1")} == {
        name: int((arrays["cell"] == name).sum()) for name in NAMES["cell"]
    }
    assert sum(int(row[1]) for row in rows(text, "split", "tiles")) == 40
    by_context = {row[1]: row for row in rows(text, "layer", "context / nm")}
    assert by_context["16"][5:] == ["20", "20"] and by_context["32"][5:] == ["0", "0"]
    assert by_context["32"][4] == f"{(arrays['n_shapes_cut'][:, 2] > 0).mean():.1%}"
    assert {row[0]: row[2] for row in rows(text, "design", "licence")} == {"gcd_dense": "no", "aes_psm": "yes"}
    assert store.digest() in text
    scores = tile_summary.label_scores(store, "metal1").sel({"context_nm": 16})
    assert list(scores.data_vars) == ["labels", "l2_nm2", "shots"]
    assert np.allclose(scores.l2_nm2, masks.sum(axis=(2, 3)).mean(axis=0))


def test_a_repeated_geometry_counts_once(tmp_path):
    store, arrays = small_store(tmp_path / "store", n=8)
    canonical = arrays["canonical"].copy()
    canonical[4:, 0] = canonical[:4, 0]
    store.write_tiles("metal1", 0, arrays | {"canonical": canonical})
    assert tile_summary.context_counts(store).geometries.values.tolist() == [[4, 8, 8]]


def test_a_store_that_is_not_whole_is_not_called_so(made):
    store, _, _ = made
    assert "**Not complete**" not in card_text(store)
    (store.path / "shards" / "metal1-tiles-00001.json").unlink()
    text = card_text(store, partial=True)
    assert "**Not complete**: metal1 tiles 1 missing" in text and "SHA-256 over" not in text
    assert rows(text, "layer", "tiles")[0][1] == "32"


def test_windows_that_were_left_out_are_told(made):
    store, _, _ = made
    about = {"state": "routed by us", "rules": ["via1 space", "via1 size"], "windows_left_out": {"via1": [1200, 4000]}}
    store.annotate(designs=DESIGNS | {"aes_psm": DESIGNS["aes_psm"] | about})
    text = card_text(store, rule=SplitRule(held_out_designs=("aes",)))
    assert "- **routed by us**: a square of a placed design" in text
    told = [line for line in text.splitlines() if "left out, for" in line]
    assert told == [
        "- `aes_psm`: 1,200 of 4,000 windows of via1 are left out, for their core or context shows a place that breaks "
        "one of its rules (via1 space, via1 size)"
    ]
