"""Options that are checked where they are made: the type of an option says what it may be.

::

    @dataclass(frozen=True, kw_only=True)
    class MyOptions(Options):
        n_steps: Count = 20
        learning_rate: Positive = 0.5
        window_nm: Positive | None = None
        keep: Literal["best", "last"] = "best"

A number is finite, no boolean and no text; whole numbers may stand where a float is asked for.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral, Real
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from maskopt_lib.errors import OptionError, UnknownNameError

#: No length in nm, weight, rate or number of steps is larger; and one that is above 0 is no smaller than ``SMALLEST``.
LARGEST, SMALLEST = 1e12, 1e-12


@dataclass(frozen=True)
class Range:
    """From ``low`` to ``high``; ``above`` leaves the lower end out, ``odd`` even numbers."""

    low: float = -LARGEST
    high: float = LARGEST
    above: bool = False
    odd: bool = False

    def __contains__(self, value: Any) -> bool:
        return self.low <= value <= self.high and not (
            (self.above and value < self.low + SMALLEST) or (self.odd and value % 2 == 0)
        )

    def __str__(self) -> str:
        low = f" {'above' if self.above else 'from'} {self.low:g}" if self.low > -LARGEST else ""
        return ", odd," * self.odd + low + (f" {'up ' if self.low > -LARGEST else ''}to {self.high:g}")


Finite = Annotated[float, Range()]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]
Whole = Annotated[int, Range(0)]
#: Of steps, pixels or tiles.
Count = Annotated[int, Range(1, 1e6)]
#: Side of a square with a pixel in its middle.
Odd = Annotated[int, Range(1, 1e6, odd=True)]
#: Pixels along a side of the largest image, which takes 4 GiB in float32.
LARGEST_SIDE = 32768
Side = Annotated[int, Range(1, LARGEST_SIDE)]
#: Of energy that may be left out.
LostShare = Annotated[float, Range(0, 0.5)]


class Options:
    """Base of dataclasses whose fields are checked as they are made; see the head of this module.

    Raises
    ------
    OptionError : a value is of another kind or outside of its range; names it and says what it may be.
    UnknownNameError : a name is none of its ``Literal``.
    """

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self), include_extras=True)
        for field in fields(self):  # pyrefly: ignore[bad-argument-type] - each subclass is a dataclass
            check(hints[field.name], **{field.name: getattr(self, field.name)})


def check(kind: Any, /, **values: Any) -> None:
    """Raise :class:`OptionError`, or for a name :class:`UnknownNameError`, where a value is not of a kind.

    Examples
    --------
    >>> check(Positive, pixel_nm=4, threshold=0.2)
    >>> check(Positive | None, window_nm=float("nan"))
    Traceback (most recent call last):
    maskopt_lib.errors.OptionError: window_nm must be a number above 0 up to 1e+12 or None, got nan
    """
    for name, value in values.items():
        if not _fits(value, kind):
            if isinstance(value, str) and (names := [n for k in (kind, *get_args(kind)) for n in _names(k)]):
                raise UnknownNameError.of(name, value, names)
            raise OptionError(f"{name} must be {_words(kind)}, got {value!r}"[:500])


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _fits(value, inner[0]) and value in inner[1]
    if kind in (int, float):
        wanted = Integral if kind is int else Real
        return isinstance(value, wanted) and not isinstance(value, bool) and -math.inf < value < math.inf
    if origin is Literal:
        return isinstance(value, str | NoneType) and value in inner
    if origin is tuple and inner[-1] is not ...:
        return isinstance(value, tuple | list) and len(value) == len(inner) and all(map(_fits, value, inner))
    if origin in (tuple, Sequence):
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str | bytes)
            and all(_fits(v, inner[0]) for v in value)
        )
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if origin is None:
        return kind is Any or isinstance(value, kind)
    return any(_fits(value, kind) for kind in inner)  # a union


def _names(kind: Any) -> tuple[str, ...]:
    return get_args(kind) if get_origin(kind) is Literal else ()


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return f"{_words(inner[0])}{inner[1]}"
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple and inner[-1] is not ...:
        return f"{len(inner)} values ({', '.join(map(_words, inner))})"
    if origin in (tuple, Sequence):
        return f"a sequence of {_words(inner[0])}"
    if origin in (dict, Mapping):
        return f"a mapping of {_words(inner[0])} to {_words(inner[1])}"
    if origin is None:
        known = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "None"}
        return known.get(kind) or getattr(kind, "__name__", str(kind))
    return " or ".join(map(_words, inner))
