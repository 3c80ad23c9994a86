"""The picture of mask-rule violations: every place is marked, every rule of the deck is in the legend."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from drawn_texts import texts_of

from maskopt_lib import figures, metrics
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.figures.rules import MARKS


def picture() -> xr.Dataset:
    mask = np.zeros((200, 200), np.uint8)
    mask[20:180, 40:60] = mask[20:180, 120:170] = 1
    nm = np.arange(200) + 5000.5
    return xr.Dataset({name: (("y", "x"), mask) for name in ("mask", "target")}, coords={"y": nm, "x": nm})


@pytest.mark.parametrize("width_nm", [30, 10], ids=["broken", "kept"])
def test_marks_and_legend(tmp_path, width_nm):
    deck = {"min_width_nm": width_nm, "min_space_nm": 20, "msa_nm2": 100, "msd_nm": 20}
    report = metrics.rule_report(picture()["mask"].values, deck, 1, origin_nm=(5000, 5000))
    drawn = figures.rule_violations(picture(), report, frame_nm=(5010, 5010, 5190, 5190))
    points = drawn.of("dots")
    assert [p.label for p in points][:2] == [f"width < {width_nm} nm: {int(width_nm == 30)}", "space < 20 nm: 0"]
    assert len(points[0].data) == (width_nm == 30)
    figures.save(drawn, "rules", tmp_path)
    texts = texts_of((tmp_path / "rules.svg").read_bytes())
    assert "area < 100 nm²: 0" in texts and "x (nm)" in texts and "5,100" in texts


def test_every_rule_has_a_mark_of_its_own():
    assert set(MARKS) == set(metrics.RULES)
    assert len({marker for _, marker, _ in MARKS.values()}) == len(MARKS)


def test_a_rule_without_a_mark_is_refused():
    report = xr.Dataset(coords={"rule": ["min_beauty"]})
    with pytest.raises(UnknownNameError, match="'min_beauty'; known: min_width_nm"):
        figures.rule_violations(picture(), report)
