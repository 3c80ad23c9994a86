"""Weights of networks as files that hold nothing but numbers and what is said of them."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from maskopt_lib import files
from maskopt_lib.errors import HashMismatchError, MissingDataError, SchemaError
from maskopt_lib.models.library import from_spec
from maskopt_lib.models.model import MaskModel


def save(model: MaskModel, path: str | Path, about: Mapping[str, Any]) -> str:
    """Write a network's weights, with what makes it again and how it was trained; gives the file's SHA-256.

    Parameters
    ----------
    model : on any device.
    path : of the file, ``.safetensors``; an older one is replaced in one go.
    about : how it was trained, plain JSON: data and their digest, rule, seed, commit.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    try:
        # One entry: the format keeps several in no order, and then no two files have the same hash.
        header = {"spec": model.spec, "about": dict(about)}
        record = json.dumps(header | {"sha256": _digest(header, tensors)}, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"what is said about weights must be plain JSON: {error}") from None
    data = safetensors.torch.save(tensors, metadata={"record": record})
    files.write_bytes(path, data)
    return files.bytes_sha256(data)


def load(path: str | Path, *, sha256: str | None = None) -> MaskModel:
    """The network that was saved, on the CPU, in evaluation mode.

    Parameters
    ----------
    path : of the file.
    sha256 : what the file's SHA-256 has to be.

    Raises
    ------
    MissingDataError : there is no such file.
    HashMismatchError : the file is another one, or not as :func:`save` wrote it.
    SchemaError : the file is damaged, or its weights are not those of the network it names.
    """
    path = Path(path)
    header = _metadata(path)
    spec = header["spec"]
    if sha256 is not None and (found := files.sha256_of(path)) != sha256:
        raise HashMismatchError(f"{path} has SHA-256 {found}, expected {sha256}; fetch or train the weights again")
    # Fresh weights are drawn and dropped: a load must not move anybody's random numbers.
    again = "fetch or train the weights again"
    with torch.random.fork_rng(devices=[]), files.reading(path, again):
        model = from_spec(spec)
        tensors = load_file(path)
        if "sha256" in header and header["sha256"] != _digest(
            {name: header[name] for name in ("spec", "about")}, tensors
        ):
            raise HashMismatchError(f"{path} is not as it was written: a byte changed; {again}")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise SchemaError(f"{path} does not hold the weights of the {spec['model']} it names: {error}") from None
    return model.eval()


def _digest(header: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(header, allow_nan=False, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def about(path: str | Path) -> dict[str, Any]:
    """What was said about the weights when they were saved."""
    return _metadata(Path(path))["about"]


def spec(path: str | Path) -> dict[str, Any]:
    """Which network the weights are of, see `MaskModel.spec`."""
    return _metadata(Path(path))["spec"]


def _metadata(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise MissingDataError(f"no weights at {path}; train the network first")
    try:
        with safe_open(path, framework="pt") as opened:
            metadata = opened.metadata() or {}
    except SafetensorError as error:
        raise SchemaError(f"{path} is not a safetensors file, or is damaged: {error}") from None
    if "record" not in metadata:
        raise SchemaError(f"{path} does not say which network its weights are of; write it with models.weights.save")
    with files.reading(path, "fetch or train the weights again"):
        header = json.loads(metadata["record"])
        return {"spec": dict(header["spec"]), "about": dict(header["about"])} | header
