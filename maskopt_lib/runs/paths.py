"""Where relative paths of a study begin: at the root of the repository, from whatever folder it is run."""

from __future__ import annotations

import os
from pathlib import Path


def root() -> Path:
    """The study's root: ``MASKOPT_ROOT``, else the repository that the library is in, else the working folder."""
    if named := os.environ.get("MASKOPT_ROOT"):
        return Path(named).expanduser().resolve()
    repository = Path(__file__).resolve().parents[2]
    return repository if (repository / "notebooks").is_dir() else Path.cwd()


def resolved(path: str | Path) -> Path:
    """A path as it is where it is absolute, else below :func:`root`.

    Examples
    --------
    >>> resolved("results/15_ilt_ablation").relative_to(root()).as_posix()
    'results/15_ilt_ablation'
    """
    return root() / Path(path).expanduser()
