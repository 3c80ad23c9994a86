"""Mask optimization: one door, :func:`solve`, and one file a method."""

from maskopt_lib.opc.result import MaxSteps, NoImprovement, OpcResult, StopCondition
from maskopt_lib.opc.solve import METHODS, Method, Recipe, options_of, register, solve

__all__ = [
    "METHODS",
    "MaxSteps",
    "Method",
    "NoImprovement",
    "OpcResult",
    "Recipe",
    "StopCondition",
    "options_of",
    "register",
    "solve",
]
