"""Parts of a long run: arrays in one file, what is to be said of them beside it with the file's checksum.

A part counts when both are there and the checksum is right. So one that was interrupted, lost or damaged is seen, and
made anew by itself.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import Zstd

from maskopt_lib.data.shards import sha256_of, write_json

# Bits of sparse images: thirty times faster than the deflate of npz files, and half the size of its fastest level.
_ZSTD_LEVEL = 3


def said_of(path: Path) -> dict[str, Any] | None:
    """What is said of a part that is there and whole; else None."""
    try:
        said = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        return said if sha256_of(path) == said["sha256"] else None
    except (FileNotFoundError, ValueError, KeyError):
        return None


def write_part(
    path: Path, arrays: Mapping[str, np.ndarray], said: Mapping[str, Any], bits: Mapping[str, np.ndarray] | None = None
) -> None:
    """Keep arrays in one file, and what is to be said of them beside it.

    Parameters
    ----------
    path : of the part, ending in ``.npz``.
    arrays : name -> values; no objects.
    said : plain JSON.
    bits : name -> large uint8 arrays, mostly zeros.
    """
    path.with_suffix(".json").unlink(missing_ok=True)
    for old in path.parent.glob(f".{path.name}.part-*"):  # of a writer that was killed
        old.unlink(missing_ok=True)
    packed = {f"{name}.zstd": np.frombuffer(Zstd(_ZSTD_LEVEL).encode(np.ascontiguousarray(v).reshape(-1)), np.uint8)
              for name, v in (bits or {}).items()}  # fmt: skip
    shapes = {f"{name}.shape": np.array(values.shape) for name, values in (bits or {}).items()}
    partial = path.with_name(f".{path.name}.part-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays, **packed, **shapes)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    write_json(dict(said) | {"sha256": sha256_of(path)}, path.with_suffix(".json"))


def read_part(path: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Arrays of a part, all or those that are named.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.npz"
    ...     write_part(path, {"n": np.arange(3)}, {"title": "three"}, {"image": np.ones((2, 2), np.uint8)})
    ...     said_of(path)["title"], {name: values.tolist() for name, values in read_part(path).items()}
    ('three', {'n': [0, 1, 2], 'image': [[1, 1], [1, 1]]})
    """
    with np.load(path, allow_pickle=False) as kept:
        bits = [name.removesuffix(".zstd") for name in kept.files if name.endswith(".zstd")]
        plain = [name for name in kept.files if name.rpartition(".")[0] not in bits]
        found = {}
        for name in [*plain, *bits] if names is None else names:
            if name in bits:
                shape = tuple(kept[f"{name}.shape"].tolist())
                found[name] = np.frombuffer(Zstd().decode(kept[f"{name}.zstd"]), np.uint8, math.prod(shape))
                found[name] = found[name].reshape(shape)
            else:
                found[name] = kept[name]
    return found
