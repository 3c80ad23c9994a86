"""The eight symmetries of the square, as they act on images: one number, 0 to 7, for each.

Turn ``t`` mirrors the image along x where ``t >= 4`` (``np.fliplr``) and then rotates it ``t % 4`` times by 90 degrees
as :func:`numpy.rot90` does. Turn 0 changes nothing. Images are ``[..., y, x]``; since row 0 has the lowest y, what is
counter-clockwise for the array is clockwise in the layout.
"""

import numpy as np

from maskopt_lib.errors import UnknownNameError

#: All turns, the identity first.
TURNS = tuple(range(8))


def turned(image: np.ndarray, turn: int) -> np.ndarray:
    """A view of the image after a turn, y and x exchanged for odd ones.

    Parameters
    ----------
    image : (..., y, x); square where the turn is to be undone in place.
    turn : 0 to 7.

    Examples
    --------
    >>> turned(np.array([[1, 2], [3, 4]]), 1).tolist(), turned(np.array([[1, 2], [3, 4]]), 4).tolist()
    ([[2, 4], [1, 3]], [[2, 1], [4, 3]])
    """
    turn = _checked(turn)
    return np.rot90(image[..., ::-1] if turn >= 4 else image, turn % 4, axes=(-2, -1))


def composed(first: int, second: int) -> int:
    """One turn for two: ``turned(turned(image, first), second)`` is ``turned(image, composed(first, second))``."""
    first, second = _checked(first), _checked(second)
    # A mirror in front of a rotation turns it the other way round.
    quarters = second % 4 + (-first if second >= 4 else first) % 4
    return quarters % 4 + 4 * ((first >= 4) != (second >= 4))


def _checked(turn: int) -> int:
    if turn not in TURNS:
        raise UnknownNameError(f"no turn {turn!r}; known: 0 to 7")
    return int(turn)
