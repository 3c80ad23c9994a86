"""The few errors a user of the study can meet, each a ``ValueError`` or ``OSError`` with a remedy in its message."""

import difflib
from collections.abc import Iterable
from typing import Self


class MaskOptError(Exception):
    """Base class of every error the library raises on purpose."""


class GridMismatchError(MaskOptError, ValueError):
    """Two arrays, or an array and a kernel set, do not share a grid."""


class LayoutError(MaskOptError, ValueError):
    """A layout file or polygon cannot be used; the message names file, line or polygon, and the remedy."""


class ImageError(GridMismatchError, LayoutError):
    """An array is no image that can be worked on: its kind, its shape or its values; the message says what helps."""


class NothingPrintsWarning(UserWarning):
    """Nothing prints of a mask whose target is not empty; says how much light there is and how much it takes."""


class RulesBrokenWarning(UserWarning):
    """A mask does not keep its rule deck: a main feature would have to go. The message says which rules, and where."""


class LayoutWarning(UserWarning):
    """A layout file was read, but not all in it counts: the message says what is left out or rounded."""


class KernelFileError(MaskOptError, ValueError):
    """A kernel file is truncated, of another size, or of another byte order than its layout says."""


class OptionError(MaskOptError, ValueError):
    """An option is of another kind, not finite or out of its range; the message names it and says what it may be."""


class UnknownNameError(MaskOptError, ValueError):
    """A name is in none of the dictionaries; the message lists the known ones."""

    @classmethod
    def of(cls, what: str, name: object, known: Iterable[object]) -> Self:
        """No ``what`` of that name; says the near ones first.

        Examples
        --------
        >>> print(UnknownNameError.of("method", "curvi", ["pixel_ilt", "curvy"]))
        no method 'curvi'; did you mean 'curvy'? known: pixel_ilt, curvy
        """
        names = [str(entry) for entry in known]
        near = difflib.get_close_matches(str(name), names, n=3)
        hint = f" did you mean {' or '.join(map(repr, near))}?" if near else ""
        return cls(f"no {what} {name!r};{hint} known: {', '.join(names)}")


class TakenNameError(MaskOptError, ValueError):
    """A solver or a network of that name is there already."""


class MissingDataError(MaskOptError, FileNotFoundError):
    """A file of the manifest is not on this machine and may not, or could not, be fetched."""


class HashMismatchError(MaskOptError, OSError):
    """A file's SHA-256 differs from the manifest's; the file was set aside."""


class SchemaError(MaskOptError, ValueError):
    """A Dataset lacks a variable, a dimension or a unit that its schema asks for."""


class DamagedFileError(MaskOptError, OSError):
    """A stored file is not as it was written; the message names it and what makes it again."""


class BusyFolderError(MaskOptError, OSError):
    """Another process writes to the folder; the message says which, and since when."""


class DivergedError(MaskOptError, ArithmeticError):
    """An objective or a loss is not finite any more."""
