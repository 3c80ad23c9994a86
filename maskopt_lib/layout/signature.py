"""Identity of geometry: one 64-bit number for an image of shapes, the same for all images that show the same.

A binary image is known by its corners: where the second mixed difference of the image, padded with zeros, is not zero.
The signature is the sum over the corners of that difference times a fixed pseudo-random number of the corner's place,
taken from the middle of the image. It is therefore

* cheap: a tile has a few dozen corners, not half a million pixels;
* independent of what frame the shapes are shown in: zeros around them change nothing;
* easy to crop: clipping the corners to a box gives those of the cropped image, doubled ones cancel in the sum;
* easy to turn: the eight symmetries of the square move the corners, and a mirror changes the sign of the difference.

Two different images have the same signature by chance only, with a probability of 2^-64 a pair.
"""

from collections.abc import Sequence

import numpy as np

from maskopt_lib.data.turns import TURNS

# Of splitmix64 (Steele, Lea, Flood 2014).
_STEP, _FIRST, _SECOND = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def corners(image: np.ndarray) -> np.ndarray:
    """Corners of the shapes of one image.

    Parameters
    ----------
    image : (y, x) of 0 and 1, or boolean.

    Returns
    -------
    (n, 3) int64: x and y from the middle of the image in half pixels, and the second mixed difference there, 1 or -1,
    or 2 or -2 where two shapes touch at a corner only.

    Examples
    --------
    >>> corners(np.array([[0, 0], [0, 1]])).tolist()
    [[0, 0, 1], [2, 0, -1], [0, 2, -1], [2, 2, 1]]
    """
    height, width = image.shape
    difference = mixed_difference(image)
    y, x = np.nonzero(difference)
    return np.stack([2 * x - width, 2 * y - height, difference[y, x]], axis=1).astype(np.int64)


def mixed_difference(image: np.ndarray) -> np.ndarray:
    """Second mixed difference of an image that is zero outside: (y + 1, x + 1) int8."""
    padded = np.zeros((image.shape[0] + 2, image.shape[1] + 2), np.int8)
    padded[1:-1, 1:-1] = image
    along = padded[:, 1:] - padded[:, :-1]
    return along[1:] - along[:-1]


def signatures(found: np.ndarray, owner: np.ndarray, n: int, sides: Sequence[int]) -> np.ndarray:
    """Signatures of many images, cropped to squares around their middles and turned, from their corners.

    Parameters
    ----------
    found : (m, 3) corners of all images, as :func:`corners` gives them.
    owner : (m,) number of the image that each corner belongs to, ascending.
    n : images.
    sides : of the squares, in pixels; corners outside are moved to the border, which crops the image.

    Returns
    -------
    (n, len(sides), 8) uint64: the last axis is the turn, ``[..., t]`` is the signature of ``turned(image, t)``. Without
    any shape it is 0.
    """
    out = np.zeros((n, len(sides), len(TURNS)), np.uint64)
    if not len(found):
        return out
    first = np.flatnonzero(np.diff(owner, prepend=-1))
    weight = found[:, 2].astype(np.int64)
    for i, side in enumerate(sides):
        x, y = np.clip(found[:, 0], -side, side), np.clip(found[:, 1], -side, side)
        for turn in TURNS:
            # Turned from (x, y): mirrored along x, then a quarter (x, y) -> (y, -x) at a time.
            a, b = (-x if turn >= 4 else x), y
            for _ in range(turn % 4):
                a, b = b, -a
            # Each mirror of one axis, and each quarter, exchanges rising and falling along one axis.
            sign = -weight if (turn >= 4) != (turn % 2 == 1) else weight
            terms = _scattered(a, b) * sign.view(np.uint64)
            out[owner[first], i, turn] = np.add.reduceat(terms, first)
    return out


def signatures_of(images: np.ndarray, sides: Sequence[int] | None = None) -> np.ndarray:
    """Signatures of images, their crops and turns, from the pixels: (n, len(sides), 8) uint64, as :func:`signatures`.

    Parameters
    ----------
    images : (n, y, x) of 0 and 1, squares.
    sides : of centred squares to crop to, in pixels; the whole image by default.

    Examples
    --------
    >>> from maskopt_lib.data.turns import turned
    >>> image = np.zeros((1, 8, 8), np.uint8)
    >>> image[0, 2:5, 3:4] = 1
    >>> all_turns = signatures_of(image)[0, 0]
    >>> [int(signatures_of(turned(image, t))[0, 0, 0] == all_turns[t]) for t in TURNS]
    [1, 1, 1, 1, 1, 1, 1, 1]
    """
    images = np.asarray(images)
    found = [corners(image) for image in images]
    owner = np.repeat(np.arange(len(images)), list(map(len, found)))
    together = np.concatenate(found) if found else np.zeros((0, 3), np.int64)
    return signatures(together, owner, len(images), [images.shape[-1]] if sides is None else sides)


def canonical(signature: np.ndarray, turns: Sequence[int] = TURNS) -> tuple[np.ndarray, np.ndarray]:
    """What images have in common that are turns of one another.

    Parameters
    ----------
    signature : (..., 8) uint64 as :func:`signatures` gives them.
    turns : the symmetries that count, a group: (0,) none, all eight by default.

    Returns
    -------
    smallest : (...) uint64, equal for two images exactly where one is the other after one of the turns.
    turn : (...) int8, that which carries the image to the one with that signature, the first where several do.

    Examples
    --------
    >>> from maskopt_lib.data.turns import turned
    >>> image = np.zeros((1, 8, 8), np.uint8)
    >>> image[0, 2:5, 3:4] = 1
    >>> (key,), (to_it,) = canonical(signatures_of(image)[:, 0])
    >>> (same,), (from_other,) = canonical(signatures_of(turned(image, 6))[:, 0])
    >>> key == same, np.array_equal(turned(turned(image, 6), from_other), turned(image, to_it))
    (np.True_, True)
    """
    turns = np.asarray(turns)
    chosen = signature[..., turns]
    position = chosen.argmin(axis=-1)
    return np.take_along_axis(chosen, position[..., None], -1)[..., 0], turns[position].astype(np.int8)


def _scattered(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A pseudo-random uint64 for each place."""
    z = ((x.astype(np.int64) << 32) + y).view(np.uint64) + _STEP
    z = (z ^ (z >> np.uint64(30))) * _FIRST
    z = (z ^ (z >> np.uint64(27))) * _SECOND
    return z ^ (z >> np.uint64(31))
