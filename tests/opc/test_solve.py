"""The door to all solvers, and the recipe that holds what it is told."""

from __future__ import annotations

import numpy as np
import pytest

from maskopt_lib import layout, opc, optics
from maskopt_lib.errors import UnknownNameError
from maskopt_lib.litho import Simulator

SMALL = {"n_steps": 2, "retarget_nm": None, "cleanup": None, "loop": None}


def test_a_recipe_solves_as_the_door_does():
    sim = Simulator(optics.load("embedded"))
    target = layout.demo_clips()["demo-metal-tips"].rasterize(8, antialiased=False)
    made = opc.Recipe(method="curvy", preset="published", options=SMALL).solve(target, sim, n_steps=3)
    asked = opc.solve(target, sim, method="curvy", preset="published", **SMALL | {"n_steps": 3})
    np.testing.assert_array_equal(made.mask, asked.mask)
    assert made.options == asked.options and made.options["n_steps"] == 3


def test_recipes_that_run_with_the_same_options_have_one_digest():
    first, *others = list(opc.METHODS["curvy"].presets)
    base = opc.Recipe(method="curvy")
    same = [
        opc.Recipe(method="curvy", preset=first),
        opc.Recipe(method="curvy", options={"n_steps": base.resolved.n_steps}),
    ]
    assert {recipe.digest() for recipe in same} == {base.digest()}
    changed = [
        opc.Recipe(method="curvy", preset=others[0]),
        opc.Recipe(method="curvy", options={"n_steps": 7}),
        opc.Recipe(method="curvy", options={"cleanup": None}),
        opc.Recipe(method="curvy", options={"cleanup": opc.curvy.CleanUp(open_nm=41.0)}),
        opc.Recipe(method="identity"),
    ]
    digests = {recipe.digest() for recipe in changed} | {base.digest(), base.digest(code="another")}
    assert len(digests) == len(changed) + 2


@pytest.mark.parametrize("wrong", [{"method": "none"}, {"preset": "none"}, {"options": {"none": 1}}])
def test_what_a_recipe_does_not_know_is_refused_with_what_there_is(wrong):
    with pytest.raises(UnknownNameError, match="known"):
        opc.Recipe(**{"method": "curvy"} | wrong).digest()
