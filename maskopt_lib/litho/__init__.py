"""Exact band-limited lithography simulation: :class:`Simulator` and what it is made of."""

from maskopt_lib.litho.process import CONTEST_CORNERS, ProcessCorner, ThresholdResist
from maskopt_lib.litho.processes import Process, load_process
from maskopt_lib.litho.simulator import Simulator

__all__ = ["CONTEST_CORNERS", "Process", "ProcessCorner", "Simulator", "ThresholdResist", "load_process"]
