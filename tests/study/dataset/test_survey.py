"""The survey of designs: what it says of each is what the parts say, here and on workers."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import layout
from maskopt_lib.layout.counts import KINDS, design_counts
from maskopt_lib.study.dataset.plan import sources_of
from maskopt_lib.study.dataset.survey import cells_with_kinds, survey

LAYERS = ("metal1", "contact", "via1")


def test_the_embedded_block_is_counted_as_it_is():
    table, found = survey(["demo_block"], LAYERS)
    counts = design_counts(layout.open_design("demo_block"), LAYERS)
    one = table.sel(design="demo_block")
    for name in ("polygons", "windows", "logic_cells"):
        np.testing.assert_array_equal(one[name], counts[name])
    np.testing.assert_array_equal(one["polygons_ready"], counts["polygons"])
    assert int(one["close_spaces"]) == 0 and np.isnan(one["faults"])
    assert found["demo_block"].moves is None and found["demo_block"].differences == {}
    assert all(table[name].attrs["units"] for name in table)


def test_cells_get_their_kind():
    cells = cells_with_kinds(layout.open_design("demo_block"))
    fills = cells["kind"].values == KINDS.index("fill, tap, tie")
    assert cells["kind"].attrs["kinds"] == list(KINDS)
    assert set(cells["cell"].values[fills]) >= set(cells["cell"].values[~cells["is_logic"].values])


@pytest.mark.realdata
def test_faults_and_close_spaces_are_told(real_data, tmp_path):
    source = real_data("nangate45/designs/ram7x7_routed.def")
    # The same design with one cell pushed off its site and onto its neighbour, as a design of one's own.
    text = source.read_text()
    start = text.index("PLACED (", text.index("COMPONENTS"))
    x = text[start:].split()[2]
    (tmp_path / "pushed.def").write_text(text[:start] + text[start:].replace(x, str(int(x) + 7), 1))
    (tmp_path / "design.yaml").write_text(
        "{name: pushed, family: ram, file: pushed.def, state: global placement, layers: [metal1], licence: BSD-3,\n"
        " redistribution: true, platform: nangate45}\n"
    )
    table, found = survey(["ram7x7_routed", str(tmp_path)], LAYERS)
    assert (
        table["faults"].values[0] == 0
        and table["close_spaces"].values[0] == 119
        and found["ram7x7_routed"].differences == {}
    )
    assert table["faults"].values[1] > 0 and table["faults_ready"].values.tolist() == [0, 0]
    assert found["pushed"].info.state == "legalised by us" and int((found["pushed"].moves["moved_nm"] > 0).sum()) >= 1


def test_own_designs_are_found_from_the_root_of_the_study(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "design.yaml").write_text("name: own_block\n")
    monkeypatch.setenv("MASKOPT_ROOT", str(tmp_path))
    assert sources_of(["demo_block", "mine"]) == {"demo_block": "demo_block", "own_block": str(tmp_path / "mine")}
    assert sources_of(["nowhere"]) == {"nowhere": "nowhere"}  # open_design says what there is
