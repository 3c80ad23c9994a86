"""The one door to all solvers."""

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any, get_args, get_type_hints

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from maskopt_lib.data import schema
from maskopt_lib.errors import GridMismatchError, NothingPrintsWarning, RulesBrokenWarning, UnknownNameError
from maskopt_lib.grid import Grid
from maskopt_lib.images import binary
from maskopt_lib.litho.imaging import small_grid
from maskopt_lib.litho.simulator import Simulator
from maskopt_lib.opc import (
    attention_ilt,
    curv_multi,
    curvy,
    edge_gradient,
    identity,
    level_set,
    model_based_opc,
    multilevel,
    pixel_ilt,
    rule_aware,
)
from maskopt_lib.opc.result import OpcResult
from maskopt_lib.opc.scale import fitted, in_units, scale_of, scaled
from maskopt_lib.registry import Registry
from maskopt_lib.runs.hashing import hashed, source_hash

#: Preset of every method that prints isolated vias and contacts.
FOR_CONTACTS = "contact"


@dataclass(frozen=True)
class Method:
    """A solver behind the door.

    Attributes
    ----------
    run : ``run(target, sim, options, initial=, stop=, progress=) -> OpcResult``, everything checked by :func:`solve`:
        targets (sample, y, x) uint8 on the simulator's device, 0 or 1, first masks of its dtype or None, and what
        :func:`~maskopt_lib.opc.descent.descend` is told of when to stop and whether to show progress. The simulator
        has the corners ``nominal``, ``outer`` and ``inner``.
    presets : named options; the first is the default.
    summary : one line.
    takes_initial : whether it starts from masks that it is given; one that moves the edges of its target does not.
    takes_weights : whether places of its objective can count more than others; ``run`` then takes ``weights=``.
    """

    run: Callable[..., OpcResult]
    presets: Mapping[str, Any]
    summary: str
    takes_initial: bool = True
    takes_weights: bool = False


#: The library's own. Adding a solver adds a file and a line here.
_OWN = {
    module.__name__.rpartition(".")[2]: Method(
        module.solve,
        module.PRESETS,
        summary,
        takes_initial=module not in (model_based_opc, edge_gradient),
        takes_weights=module is rule_aware,
    )
    for module, summary in (
        (identity, "the target as its own mask"),
        (model_based_opc, "model-based OPC: edge fragments, fed back with their EPE"),
        (edge_gradient, "gradient moves of Manhattan edges, in the manner of DiffOPC"),
        (pixel_ilt, "pixel ILT: MOSAIC, SimpleILT"),
        (level_set, "level-set ILT: the outline moves down the gradient"),
        (attention_ilt, "A2-ILT: pixel ILT with an attention map around the edges"),
        (multilevel, "multi-level pixel ILT, coarse to fine"),
        (curv_multi, "multi-level ILT that damps the print's curvature"),
        (curvy, "CurvyILT: corner-rounded targets and morphology in the loop"),
        (rule_aware, "rule-aware ILT: outlines optimised in the room that mask rules leave"),
    )
}


def _fault(thing: object) -> str | None:
    if not isinstance(thing, Method):
        return f"is a {type(thing).__name__}; give an opc.Method"
    wrong = [name for name, options in thing.presets.items() if not is_dataclass(options)]
    return f"its presets {wrong} are no dataclasses" if wrong or not thing.presets else None


#: name -> method; :mod:`maskopt_lib.registry` shows how to add one from outside.
METHODS = Registry("solver", _OWN, group="maskopt_lib.solvers", fault=_fault)
register = METHODS.register


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How masks are made: a method, its preset, and single options that differ from it.

    Attributes
    ----------
    method, preset : as for :func:`solve`.
    options : single options that differ from the preset.

    Examples
    --------
    >>> recipe = Recipe(method="curvy", options={"n_steps": 5})
    >>> recipe.resolved.n_steps, recipe.resolved == Recipe(method="curvy", preset="paper").resolved
    (5, False)
    """

    method: str
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def resolved(self) -> Any:
        """All options that the method runs with; `UnknownNameError` for what is not known."""
        return options_of(self.method, self.preset, **self.options)

    def digest(self, code: str | None = None) -> str:
        """Hash of all that determines a mask beside target, optics and device: method, options and code.

        Parameters
        ----------
        code : :func:`method_digest` of the method, for who needs it for many recipes and takes it once.
        """
        return hashed([self.method, asdict(self.resolved), code or method_digest(self.method)])

    def solve(self, target: ArrayLike | Tensor, sim: Simulator, **more: Any) -> OpcResult:
        """Masks of one target or of a batch, see :func:`solve`; ``more``: its other arguments, such as ``initial``."""
        return solve(target, sim, method=self.method, preset=self.preset, **{**self.options, **more})


def solve(
    target: ArrayLike | Tensor,
    sim: Simulator,
    *,
    method: str = "curvy",
    preset: str | None = None,
    options: Any = None,
    initial: ArrayLike | Tensor | None = None,
    weights: ArrayLike | Tensor | None = None,
    stop=None,
    progress: bool = False,
    **changes: Any,
) -> OpcResult:
    """Optimise the mask of one target or of a batch.

    Parameters
    ----------
    target : ``(*batch, y, x)``, 0 or 1, on a square grid that spans ``sim.kernels.period_nm``.
    sim : the imaging model, its corners, device and precision.
    method : one of ``opc.METHODS``.
    preset : one of the method's named presets; its first by default.
    options : a whole options object instead of a preset.
    initial : ``(*batch, y, x)`` masks in [0, 1] to start from, on the target's grid; by default the method's own start.
    weights : ``(*batch, y, x)``, 0 and more: how much each place counts in the objective, for methods that look at it.
    stop : a further stop condition, see :mod:`maskopt_lib.opc.result`.
    progress : show a progress bar.
    **changes : single options that differ from the preset, such as ``n_steps=100``; an option that holds options of its
        own takes a dictionary of those that differ, ``cleanup={"open_nm": 15}``.

    Returns
    -------
    :class:`~maskopt_lib.opc.result.OpcResult`; its mask has the shape of the target.

    Raises
    ------
    UnknownNameError : an unknown method, preset or option; the message lists the known ones.
    ImageError : the target is not binary, or first masks are no images from 0 to 1.
    ValueError : preset and options are both given, or weights to a method that takes none.
    GridMismatchError : the target does not span the kernels' period, or a length of the options is no whole number
        of its pixels.
    DivergedError : the objective is not finite any more.

    Notes
    -----
    The mask is that of the last step, cleaned up; ``best_step`` says where the objective was lowest.

    Presets have lengths that suit 193 nm at NA 0.8. Kernels that say another wavelength and aperture are solved at
    their own scale (:mod:`maskopt_lib.opc.scale`), and lengths of a preset that count in pixels become whole numbers of
    the target's. Options that are given are in nm as they are; the history is at the solver's scale.

    Examples
    --------
    >>> from maskopt_lib import layout, litho, optics
    >>> sim = litho.Simulator(optics.load("embedded"))
    >>> target = layout.demo_clips()["demo-metal-isolated"].rasterize(pixel_nm=1)
    >>> solve(target, sim, method="curvy", n_steps=5).mask.shape
    (2048, 2048)
    """
    if options is not None and preset is not None:
        raise ValueError("give a preset or an options object, not both")
    given, target = target, binary(target, "target")
    scale, grid = scale_of(sim), sim.grid(given)
    grid = Grid(grid.n, grid.pixel_nm / scale)
    start = fitted(options_of(method, preset), grid) if options is None else scaled(options, 1 / scale)
    options = options_of(method, start=start, **scaled(changes, 1 / scale))
    chosen = method_of(method)

    batch = target.shape[:-2]
    flat = torch.tensor(np.ascontiguousarray(target, np.uint8), device=sim.device).reshape(-1, *target.shape[-2:])
    if initial is not None:
        initial = sim.tensor(initial, "initial mask").detach()
        if initial.shape != target.shape:
            raise GridMismatchError(
                f"initial masks must have the targets' shape {target.shape}, got {tuple(initial.shape)}"
            )
        initial = initial.reshape(flat.shape)
    more: dict[str, Any] = {"initial": initial, "stop": stop, "progress": progress}
    if weights is not None:
        if not chosen.takes_weights:
            known = ", ".join(name for name, each in METHODS.items() if each.takes_weights)
            raise ValueError(f"{method} has no weights of places; methods that have: {known}")
        more["weights"] = _weights(weights, target, sim).reshape(flat.shape)
    result = chosen.run(flat, in_units(sim, scale), options, **more)
    _warn_of_dark(result.mask, flat, sim, method, options)
    result = replace(
        result,
        method=method,
        mask=result.mask.reshape(*batch, *target.shape[-2:]),
        best_step=result.best_step.reshape(batch),
        options=asdict(scaled(options, scale)),
        polygons=result.polygons and tuple([points * scale for points in clip] for clip in result.polygons),
        violations=tuple(tuple(v.times(scale) for v in found) for found in result.violations),
    )
    for i, broken in enumerate(result.violations):
        if broken:
            some = "; ".join(map(str, broken[:5])) + f"; and {len(broken) - 5} more" * (len(broken) > 5)
            warnings.warn(
                f"the mask of {method} for clip {i} keeps its features but not its deck: {some}; ask for less, or take "
                "another start",
                RulesBrokenWarning,
                stacklevel=2,
            )
    return result


def _weights(weights: ArrayLike | Tensor, target: np.ndarray, sim: Simulator) -> Tensor:
    image = torch.as_tensor(np.asarray(weights, float), device=sim.device, dtype=sim.dtype)
    if image.shape != target.shape or not torch.isfinite(image).all() or float(image.min()) < 0:
        raise GridMismatchError(
            f"weights are finite, 0 and more, of the targets' shape {target.shape}; got {tuple(image.shape)}, the "
            f"smallest {float(image.min()):g}"
        )
    return image


def _warn_of_dark(masks: np.ndarray, targets: Tensor, sim: Simulator, method: str, options: Any) -> None:
    """Warn of masks of which nothing prints where something is drawn."""
    # Samples of twice the image's band miss a little of its peak, so what seems dark is looked at on all pixels.
    n_samples = 2 * small_grid(sim.kernels.half_width)
    dark = []
    for i in torch.nonzero(targets.flatten(1).any(1)).flatten().tolist():
        for n_out in (n_samples, None):
            peak = float(sim.image_once(masks[i], corner=schema.NOMINAL, n_out=n_out).max())
            if peak >= sim.threshold:
                break
        else:
            dark.append(f"clip {i} (brightest place {peak:.3g})")
    if dark:
        remedy = "take more steps, assist features, another preset or method"
        if method_of(method).presets.get(FOR_CONTACTS) not in (None, options):
            remedy = f'take preset="{FOR_CONTACTS}", which prints isolated vias and contacts'
        warnings.warn(
            f"nothing prints of the masks of {method} for {', '.join(dark)}: the resist needs {sim.threshold:g} of an "
            f"open frame; {remedy}, or see whether the optics can print features so small",
            NothingPrintsWarning,
            stacklevel=3,
        )


def options_of(method: str, preset: str | None = None, *, start: Any = None, **changes: Any) -> Any:
    """The options that :func:`solve` runs a method with.

    Parameters
    ----------
    method, preset, **changes : as for :func:`solve`.
    start : an options object to start from instead of a preset.

    Raises
    ------
    UnknownNameError : an unknown method, preset or option; the message lists the known ones.
    """
    presets = method_of(method).presets
    if start is None:
        name = preset or next(iter(presets))
        if name not in presets:
            raise UnknownNameError.of(f"preset of {method}", name, sorted(presets))
        start = presets[name]
    _check_known(f"option of {method}", changes, start)
    return replace(start, **{name: _nested(start, name, value) for name, value in changes.items()})


def _nested(options: Any, name: str, value: Any) -> Any:
    """Dictionaries for an option that holds options of its own, or a sequence of such, become those; all else stays."""
    is_many = isinstance(value, list | tuple) and any(isinstance(entry, Mapping) for entry in value)
    if not isinstance(value, Mapping) and not is_many:
        # Options are frozen: what comes as a list, from YAML or JSON, stays as a tuple.
        return tuple(value) if isinstance(value, list) else value
    kind = get_type_hints(type(options))[name]
    kinds = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and is_dataclass(k)]
    if not kinds:
        return value
    for entry in value if is_many else [value]:
        _check_known(f"option of {name}", entry, kinds[0])
    if is_many:
        return tuple(kinds[0](**entry) for entry in value)
    current, changes = getattr(options, name), dict(value)
    return replace(current, **changes) if isinstance(current, kinds[0]) else kinds[0](**changes)


def _check_known(what: str, names: Iterable[str], options: Any) -> None:
    known = sorted(f.name for f in fields(options))
    for name in names:
        if name not in known:
            raise UnknownNameError.of(what, name, known)


def method_digest(method: str) -> str:
    """Hash of the code behind a method: its file, what that imports, the simulator and the door.

    Presets do not count; the options that a mask was made with are part of its own key.
    """
    chosen = method_of(method)
    module = chosen.run.__module__
    kind = type(next(iter(chosen.presets.values())))
    presets = {
        name
        for name, value in vars(sys.modules[module]).items()
        if value is chosen.presets or (isinstance(value, kind) and not isinstance(value, type))
    }
    acts = source_hash([module, "maskopt_lib.litho.simulator"], without=presets)
    return hashed([acts, source_hash(["maskopt_lib.opc.solve"], without={"_OWN"}, follow=False)])


def method_of(name: str) -> Method:
    """A method by its name.

    Raises
    ------
    UnknownNameError : there is none; lists the known ones.
    """
    if name not in METHODS:
        raise UnknownNameError.of("method", name, sorted(METHODS))
    return METHODS[name]
