"""Solvers and networks by name: the library's own, and those that other packages or a notebook add from outside.

A solver in a file of its own, ``grown.py``::

    '''The target grown by one length, as its mask.'''
    from dataclasses import dataclass
    from torch.nn.functional import max_pool2d
    from maskopt_lib.opc import Method, identity

    @dataclass(frozen=True)
    class Options:
        by_nm: float = 8.0

    def solve(target, sim, options, *, initial, **loop):
        n = 2 * round(options.by_nm / sim.grid(target).pixel_nm) + 1
        wider = max_pool2d(target[:, None].to(sim.dtype), n, stride=1, padding=n // 2)[:, 0]
        return identity.solve(target, sim, identity.PRESETS["identity"], initial=wider, **loop)

    METHOD = Method(solve, {"default": Options()}, "the target, grown by one length")

A network, ``one_layer.py``; ``build`` is called with options and conditioning, ``STAGES`` says what it is trained by::

    '''One convolution.'''
    from torch import nn
    from maskopt_lib.models import MaskModel, ModelOptions as Options, Stage

    class OneLayer(MaskModel):
        name = "one_layer"

        def __init__(self, options, conditioning):
            super().__init__(options, conditioning, n_bottleneck=1)
            self.layer = nn.Conv2d(conditioning.n_planes, 1, 9, padding=4)

        def draw(self, planes, x):
            return self.layer(planes)

    PRESETS, build = {"published": Options()}, OneLayer
    STAGES = {"published": (Stage(name="label", weights={"label": 1.0}),)}

Both are known to every process, worker and notebook where the ``pyproject.toml`` of the installed package says::

    [project.entry-points."maskopt_lib.solvers"]
    grown = "grown:METHOD"

    [project.entry-points."maskopt_lib.networks"]
    one_layer = "one_layer"

and to one process alone after ``opc.register("grown", grown.METHOD)`` or ``models.register("one_layer", one_layer)``.
Then ``opc.solve(target, sim, method="grown", by_nm=12)``, ``models.build("one_layer")``, the parameters ``method`` and
``networks`` of notebooks, and stored weights know them by these names.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from maskopt_lib.errors import TakenNameError

Thing = TypeVar("Thing")


class Registry(Mapping[str, Thing], Generic[Thing]):
    """Things of one kind by name; what packages bring is loaded when a name is asked for that is not the library's.

    Parameters
    ----------
    kind : what they are, in one word, for messages.
    own : the library's.
    group : of the entry points of other packages.
    fault : what is wrong with a thing, in words, or nothing.
    """

    def __init__(
        self, kind: str, own: Mapping[str, Thing], *, group: str, fault: Callable[[object], str | None]
    ) -> None:
        self._kind, self._own, self._group, self._fault = kind, tuple(own), group, fault
        self._things, self._has_looked = dict(own), False

    def __getitem__(self, name: str) -> Thing:
        if name not in self._things:
            self._look()
        return self._things[name]

    def __iter__(self) -> Iterator[str]:
        self._look()
        return iter(self._things)

    def __len__(self) -> int:
        self._look()
        return len(self._things)

    def register(self, name: str, thing: Thing, *, replace: bool = False) -> None:
        """Add one under a name, for this process.

        Parameters
        ----------
        replace : take the name from what was registered before; the library's own names stay.

        Raises
        ------
        TakenNameError : somebody has the name already.
        ValueError : the name is no identifier; TypeError : the thing is not of the kind.
        """
        if not name.isidentifier():
            raise ValueError(f"{name!r} is no name for a {self._kind}; take letters, digits and _")
        if fault := self._fault(thing):
            raise TypeError(f"{self._kind} {name!r}: {fault}")
        if name in self._own or (name in self and self[name] is not thing and not replace):
            hint = "is the library's own" if name in self._own else "is taken; say replace=True to take it over"
            raise TakenNameError(f"{self._kind} {name!r} {hint}, or choose another name")
        self._things[name] = thing

    def _look(self) -> None:
        """Take in what installed packages bring, once; what cannot be had is named, and the rest is there."""
        if self._has_looked:
            return
        self._has_looked = True  # first: what is loaded may ask in turn
        for point in entry_points(group=self._group):
            try:
                self.register(point.name, point.load())
            except Exception as error:  # other people's modules fail in any way
                package = point.dist.name if point.dist else "an unknown package"
                warnings.warn(
                    f"{self._kind} {point.name!r} of {package} ({point.value}) is left out: "
                    f"{type(error).__name__}: {error}",
                    stacklevel=2,
                )
