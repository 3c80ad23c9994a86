"""Options are checked where they are made: every field of the options of all solvers and networks, every bad value."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np
import pytest

from maskopt_lib import litho, models, opc
from maskopt_lib.errors import MaskOptError, OptionError, UnknownNameError
from maskopt_lib.layout.cell_tiles import TileRule
from maskopt_lib.layout.design_rules import DesignRule
from maskopt_lib.layout.windows import Plan
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.training.rules import TrainRule
from maskopt_lib.opc.mask_rules import MaskRules

BAD = (math.nan, math.inf, -math.inf, -1, -0.5, 0, "x", None, True, 1e308, 10**400, 2.5, [], {}, (), np.nan, b"1")


def nested(options):
    """An options object, and those that are in its fields."""
    yield options
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        for entry in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(entry):
                yield from nested(entry)


ALL = {
    f"{name}.{preset}.{type(part).__name__}": part
    for name, things in [*opc.METHODS.items(), *models.MODELS.items()]
    for preset, options in (things.presets if name in opc.METHODS else things.PRESETS).items()
    for part in nested(options)
} | {
    "corner": litho.CONTEST_CORNERS[0],
    "resist": litho.ThresholdResist(),
    "deck": MaskRules(),
    "conditioning": Conditioning(),
    "training": TrainRule(model="neural_ilt"),
    "tiles": TileRule(),
    "rule": DesignRule(rule="w", kind="width", layer="metal1", limit=10),
    "plan": Plan(region_nm=(0, 0, 100, 100)),
}


def numbers(value):
    if isinstance(value, Mapping):
        value = list(value.values())
    for one in value if isinstance(value, tuple | list) else (value,):
        if isinstance(one, tuple | list):
            yield from numbers(one)
        elif isinstance(one, int | float):
            yield one


@pytest.mark.parametrize("options", ALL.values(), ids=ALL)
def test_no_option_takes_what_it_cannot_be(options):
    for field in dataclasses.fields(options):
        before = getattr(options, field.name)
        is_number = isinstance(before, int | float) and not isinstance(before, bool)
        for bad in BAD:
            try:
                made = dataclasses.replace(options, **{field.name: bad})
            except MaskOptError as error:
                assert field.name in str(error) or isinstance(before, str | tuple | Mapping) or "nm" in str(error), (
                    error
                )
            else:
                # What is taken is finite, bounded, and of the kind that was there.
                value = getattr(made, field.name)
                assert all(math.isfinite(n) and abs(n) <= 1e12 for n in numbers(value)), (field.name, bad)
                assert not (is_number and not isinstance(bad, int | float | list | tuple | None)), (field.name, bad)
                assert not (isinstance(before, bool) and not isinstance(bad, bool)), (field.name, bad)
                assert not (isinstance(before, str) and not isinstance(bad, str | list | tuple)), (field.name, bad)


@pytest.mark.parametrize("value", [1, 1.5, np.float32(2), np.int64(3)])
def test_numbers_may_be_of_any_kind_of_number(value):
    assert litho.ThresholdResist(steepness=value).steepness == value


def test_mistakes_are_said_with_what_is_right():
    with pytest.raises(OptionError, match=r"threshold must be a number above 0 up to 1e\+12, got nan"):
        litho.ThresholdResist(threshold=math.nan)
    with pytest.raises(OptionError, match="smoothing_px must be a whole number, odd, from 1 up to 1e"):
        opc.options_of("curvy", smoothing_px=4)
    with pytest.raises(OptionError, match=r"window_nm must be a number above 0 .* or None, got -5"):
        opc.options_of("pixel_ilt", window_nm=-5)
    with pytest.raises(OptionError, match=r"sizes_px must be 4 values \(a whole number from 1"):
        opc.options_of("attention_ilt", sizes_px=(1, 2, 3))
    with pytest.raises(UnknownNameError, match=r"no keep 'bets'; did you mean 'best'. known: best, last"):
        opc.options_of("pixel_ilt", keep="bets")
    with pytest.raises(UnknownNameError, match="no option of curvy 'learning_rat'; did you mean 'learning_rate'"):
        opc.options_of("curvy", learning_rat=1)
    with pytest.raises(UnknownNameError, match="no option of cleanup 'open'; did you mean 'open_nm'"):
        opc.options_of("curvy", cleanup={"open": 1})
    with pytest.raises(UnknownNameError, match="no method 'curvi'; did you mean 'curvy'"):
        opc.options_of("curvi")
    with pytest.raises(UnknownNameError, match="no preset of curvy 'publishd'; did you mean 'published'"):
        opc.options_of("curvy", "publishd")
