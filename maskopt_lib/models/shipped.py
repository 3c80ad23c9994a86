"""Weights that come with the study: a file and its hash for each layer, in ``data_manifest/weights``."""

from pathlib import Path

from maskopt_lib import files, yaml_files
from maskopt_lib.data import manifest
from maskopt_lib.errors import HashMismatchError, MissingDataError, UnknownNameError

#: Files of weights, their hashes in ``SHA256.yaml`` and their card.
FOLDER = manifest.FOLDER / "weights"


def names() -> list[str]:
    """Names of what there is, ``<network>-<layer>``."""
    return sorted(_hashes())


def path(name: str) -> Path:
    """File of shipped weights, for :func:`maskopt_lib.models.weights.load`.

    Parameters
    ----------
    name : of :func:`names`.

    Raises
    ------
    UnknownNameError : there are no such weights.
    MissingDataError, HashMismatchError : the file is gone, or is another one.

    Examples
    --------
    >>> from maskopt_lib.models import weights
    >>> weights.about(path("ours-via1"))["rule"]["layer"]
    'via1'
    """
    hashes = _hashes()
    if name not in hashes:
        raise UnknownNameError(f"no weights {name!r} come with the study; known: {', '.join(sorted(hashes))}")
    file = FOLDER / f"{name}.safetensors"
    if not file.is_file():
        raise MissingDataError(f"{file} is not there; get it back with git, or train the network: notebook 31")
    if (found := files.sha256_of(file)) != hashes[name]:
        raise HashMismatchError(f"{file} has SHA-256 {found}, expected {hashes[name]}; get it back with git")
    return file


def _hashes() -> dict[str, str]:
    return yaml_files.read(FOLDER / "SHA256.yaml").value
