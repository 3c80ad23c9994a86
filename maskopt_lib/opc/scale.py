"""Solvers at the scale of any optics: their lengths are those of the contest's, and everything is measured in those.

Options and constants of the solvers (steps, reaches, rules) are lengths that suit 193 nm at NA 0.8. The image of a mask
depends on lengths over ``wavelength / NA`` alone, so a process of other optics is solved in nanometres ``scale`` times
as long, a power of two, so that whole pixels stay whole; what the user says, and what comes back, is in plain ones.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from maskopt_lib.grid import Grid
from maskopt_lib.litho.process import CONTEST_UNIT_NM
from maskopt_lib.litho.simulator import Simulator

# Lengths that solvers count in pixels of the target, and those whose number of pixels has a middle.
_WHOLE, _ODD = ("pixel_nm", "image_pixel_nm", "grid_nm", "attention_nm"), ("open_nm", "close_nm", "retarget_nm")


def scale_of(sim: Simulator) -> float:
    """The power of two nearest to ``wavelength / NA`` of a simulator's optics over that of the contest.

    1 for kernel sets that do not say their optics: those of the contest's files.

    Examples
    --------
    >>> from maskopt_lib import litho
    >>> scale_of(litho.load_process("iline-na048").simulator())
    4.0
    """
    meta = sim.kernels.meta
    if not {"wavelength_nm", "na"} <= set(meta):
        return 1.0
    return 2.0 ** round(math.log2(meta["wavelength_nm"] / meta["na"] / CONTEST_UNIT_NM))


def in_units(sim: Simulator, scale: float) -> Simulator:
    """The same simulator in nanometres that are ``scale`` times as long."""
    if scale == 1:
        return sim
    return Simulator(
        replace(sim.kernels, period_nm=sim.kernels.period_nm / scale), device=sim.device, dtype=sim.dtype,
        corners=sim.process, resist=replace(sim.resist_model, diffusion_nm=sim.resist_model.diffusion_nm / scale),
        energy_lost=sim.energy_lost, mode=sim.mode, matmul_dtype=sim.matmul_dtype,
    )  # fmt: skip


def scaled(options: Any, factor: float) -> Any:
    """Options, or a mapping of them, with lengths (``_nm``) and areas (``_nm2``) in them multiplied.

    Examples
    --------
    >>> scaled({"open_nm": 15, "deck": {"msa_nm2": 100.0}, "n_steps": 3}, 2.0)
    {'open_nm': 30.0, 'deck': {'msa_nm2': 400.0}, 'n_steps': 3}
    """

    def times(name: str, value: float) -> float:
        power = 2 if name.endswith("_nm2") else 1 if name.endswith("_nm") else 0
        return value * factor**power if power else value

    return options if factor == 1 else _with_numbers(options, times)


def fitted(preset: Any, grid: Grid) -> Any:
    """A preset for other targets than it was made for.

    Lengths that count in pixels become whole numbers of the target's, and windows larger than its field all of it.

    Examples
    --------
    >>> from maskopt_lib import opc
    >>> options = fitted(opc.options_of("curvy"), Grid(512, 4.0))
    >>> options.retarget_nm, options.pixel_nm
    (36.0, 8.0)
    """

    def whole(name: str, value: float) -> float | None:
        if name == "window_nm" and value > grid.period_nm:
            return None
        if not value or name not in (*_WHOLE, *_ODD):
            return value
        pixels = value / grid.pixel_nm
        nearest = 2 * math.floor(pixels / 2) + 1 if name in _ODD else max(round(pixels), 1)
        return value if math.isclose(pixels, nearest) else nearest * grid.pixel_nm

    return _with_numbers(preset, whole)


def _with_numbers(options: Any, change: Callable[[str, float], float | None], name: str = "") -> Any:
    """Options, and options in options, with every number changed as its name asks for."""
    if is_dataclass(options) and not isinstance(options, type):
        return replace(
            options, **{f.name: _with_numbers(getattr(options, f.name), change, f.name) for f in fields(options)}
        )
    if isinstance(options, Mapping):
        return {key: _with_numbers(value, change, str(key)) for key, value in options.items()}
    if isinstance(options, list | tuple):
        return type(options)(_with_numbers(one, change, name) for one in options)
    is_number = isinstance(options, int | float) and not isinstance(options, bool)
    return change(name, options) if is_number else options
