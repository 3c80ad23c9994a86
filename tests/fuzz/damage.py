"""Ways to damage bytes and texts, and values that are not what is asked for."""

from __future__ import annotations

import pickle
import random
import struct
from collections.abc import Callable
from pathlib import Path

import children
import hypothesis
from hypothesis import strategies as st

#: Numbers, and things in the place of one.
ODD_NUMBERS = (
    float("nan"), float("inf"), float("-inf"), -1, 0, -0.0, 1e-320, 1e308, 10**400, 2**31, 2**63, 0.5, True, None,
    "", "x", "1e3", "1_000", [], {}, [1], "nan", b"1", 1j,
)  # fmt: skip
_WORDS = (
    b"\0",
    b"\xff\xff",
    b"-1",
    b"1e999",
    b"nan",
    b"[]",
    b"{",
    b'"',
    b"\n\n",
    b"\xef\xbb\xbf",
    b"9" * 40,
    b"%s",
    b"..",
)


def damaged(data: bytes, rng: random.Random, other: bytes = b"") -> tuple[str, bytes]:
    """Bytes with one to three damages, and what they are called."""
    said = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        name, act = rng.choice(tuple(_WAYS.items()))
        said.append(name)
        data = act(data, rng, other)
    return " and ".join(said), data


def _at(data: bytes, rng: random.Random) -> int:
    # What a format says of itself is at its beginning and end.
    n = len(data)
    return min(rng.choice((rng.randrange(n + 1), rng.randrange(min(n, 64) + 1), n - rng.randrange(min(n, 64) + 1))), n)


def _flipped(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _at(data, rng)
    return data[:at] + bytes(byte ^ 1 << rng.randrange(8) for byte in data[at : at + 1]) + data[at + 1 :]


def _bytes(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at, n = _at(data, rng), rng.choice((1, 1, 2, 4, 8))
    return data[:at] + rng.randbytes(n) + data[at + n :]


def _cut_off(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return data[: _at(data, rng)]


def _cut_out(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at + rng.choice((1, 2, 4, 16, 200)) :]


def _repeated(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _at(data, rng)
    return data[:at] + data[at : at + rng.choice((1, 4, 16, 200))] * rng.choice((2, 3, 50)) + data[at:]


def _inserted(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at = _at(data, rng)
    return data[:at] + rng.choice(_WORDS) + data[at:]


def _spliced(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return data[: _at(data, rng)] + (other or data)[_at(other or data, rng) :]


def _zeroed(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at, n = _at(data, rng), rng.choice((4, 16, 512))
    return data[:at] + bytes(min(n, len(data) - at)) + data[at + n :]


def _number(data: bytes, rng: random.Random, other: bytes) -> bytes:
    at, value = _at(data, rng), rng.choice((0, 1, -1, 2**15, 2**31 - 1, -(2**31), 2**31, 2**40))
    packed = struct.pack(rng.choice(("<", ">")) + "q", value)
    return data[:at] + rng.choice((packed, packed[:4], packed[4:])) + data[at + 8 :]


def _emptied(data: bytes, rng: random.Random, other: bytes) -> bytes:
    return rng.choice((b"", b"\0", rng.randbytes(100), b"\x1f\x8b", other))


_WAYS: dict[str, Callable[[bytes, random.Random, bytes], bytes]] = {
    "a flipped bit": _flipped, "other bytes": _bytes, "cut off": _cut_off, "a piece cut out": _cut_out,
    "a piece repeated": _repeated, "something inserted": _inserted, "spliced": _spliced, "zeros": _zeroed,
    "another number": _number, "something else": _emptied,
}  # fmt: skip


def damaged_text(text: str, rng: random.Random, words: tuple[str, ...]) -> tuple[str, str]:
    """Text with lines or words of it exchanged, doubled, lost, or replaced by odd ones."""
    lines = text.splitlines(keepends=True)
    way = rng.choice(("a line lost", "a line doubled", "lines exchanged", *("another word",) * 3, "a long line"))
    at = rng.randrange(len(lines))
    if way == "a line lost":
        lines[at] = ""
    elif way == "a line doubled":
        lines[at] *= rng.choice((2, 2, 1000))
    elif way == "lines exchanged":
        to = rng.randrange(len(lines))
        lines[at], lines[to] = lines[to], lines[at]
    elif way == "a long line":
        lines[at] = lines[at].rstrip("\n") + rng.choice(words) * 20_000 + "\n"
    else:
        parts = lines[at].split(" ")
        parts[rng.randrange(len(parts))] = rng.choice(words)
        lines[at] = " ".join(parts).rstrip("\n") + "\n"
    return way, "".join(lines)


class _Executes:
    """What makes the canary when it is unpickled."""

    def __reduce__(self):
        return exec, (f"from pathlib import Path; Path({children.CANARY!r}).touch()",)


def hostile_pickle() -> bytes:
    """A pickle that executes something."""
    return pickle.dumps(_Executes())


def drawn(strategy: st.SearchStrategy, rng: random.Random):
    """One value of a strategy, the same for the same state of the generator."""
    found = []

    @hypothesis.seed(rng.randrange(2**32))
    @hypothesis.settings(
        max_examples=3, database=None, deadline=None, phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(strategy)
    def take(value) -> None:
        found.append(value)

    take()
    return found[-1]  # the first one is the simplest there is


def a_file(sources: Path, pattern: str, rng: random.Random) -> Path:
    """One of the files that the library wrote, or real ones."""
    return rng.choice(sorted(path for path in sources.glob(pattern) if path.is_file()))
