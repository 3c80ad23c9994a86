"""A disk that is full after some bytes: no file of this process grows beyond them."""

from __future__ import annotations

import resource
from contextlib import contextmanager


@contextmanager
def full_after(n_bytes: int):
    """Within the block every write beyond so many bytes of a file fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
