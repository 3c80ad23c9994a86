"""The file of a shard whose entries are compressed one by one, made in one go.

Zarr's own writer hands every entry to another thread and back, which takes five times as long as the compression, and
longer where processors are shared: a tile packs into a few hundred bytes. What is made here is byte for byte what zarr
writes (`sharding_indexed` with zstd, index at the end, CRC-32C behind it), and a test holds it to that.
"""

import numpy as np
from numcodecs import Zstd
from numcodecs.checksum32 import CRC32C

#: Nine is as fast as one here, since tiles are small and mostly empty, and half the size of three.
ZSTD_LEVEL = 9
#: Place and length of an entry that is not there: all of it is the fill value.
_ABSENT = 2**64 - 1


def shard_bytes(entries: np.ndarray, n: int) -> bytes | None:
    """The file of a shard.

    Parameters
    ----------
    entries : (k, ...) uint8, in C order; the array's fill value is 0.
    n : entries of a full shard; those beyond ``k`` are not there.

    Returns
    -------
    Compressed entries, then (n, 2) places and lengths in bytes, then the checksum of these; None where all is 0, for
    which there is no file.
    """
    codec = Zstd(level=ZSTD_LEVEL)
    index = np.full((n, 2), _ABSENT, "<u8")
    pieces, place = [], 0
    for i, entry in enumerate(np.ascontiguousarray(entries)):
        if entry.any():
            pieces.append(codec.encode(entry))
            index[i] = place, len(pieces[-1])
            place += len(pieces[-1])
    return b"".join([*pieces, bytes(CRC32C(location="end").encode(index))]) if pieces else None
