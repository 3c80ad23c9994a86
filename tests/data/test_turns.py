"""Turns of images: the eight symmetries of the square as a group."""

import itertools

import numpy as np
import pytest

from maskopt_lib.data import turns
from maskopt_lib.errors import UnknownNameError

IMAGE = np.arange(24).reshape(2, 4, 3)
SQUARE = np.arange(9).reshape(3, 3)


def test_the_eight_turns_differ_and_the_first_is_no_turn():
    assert len({turns.turned(SQUARE, t).tobytes() for t in turns.TURNS}) == 8
    assert np.array_equal(turns.turned(IMAGE, 0), IMAGE)


@pytest.mark.parametrize("t", turns.TURNS)
def test_one_other_turn_undoes_it(t):
    (inverse,) = (other for other in turns.TURNS if turns.composed(t, other) == 0)
    assert np.array_equal(turns.turned(turns.turned(IMAGE, t), inverse), IMAGE)
    assert turns.composed(inverse, t) == 0


@pytest.mark.parametrize(("a", "b"), list(itertools.product(turns.TURNS, repeat=2)))
def test_two_turns_are_one(a, b):
    assert np.array_equal(turns.turned(turns.turned(SQUARE, a), b), turns.turned(SQUARE, turns.composed(a, b)))


def test_a_turn_that_is_none_is_told():
    with pytest.raises(UnknownNameError, match="0 to 7"):
        turns.turned(SQUARE, 8)
