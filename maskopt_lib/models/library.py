"""The one door to all networks."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from maskopt_lib.errors import UnknownNameError
from maskopt_lib.models import cfno, damo, gan_opc, neural_ilt, unrolled_litho
from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.model import MaskModel
from maskopt_lib.registry import Registry
from maskopt_lib.runs.hashing import source_hash

_PARTS = ("Options", "PRESETS", "build")


def _fault(network: object) -> str | None:
    lacking = [part for part in _PARTS if not hasattr(network, part)]
    return f"has no {', '.join(lacking)}; give a module that has {', '.join(_PARTS)}" if lacking else None


#: The library's own. Adding a network adds a file and a line here.
_OWN: dict[str, Any] = {
    "gan_opc": gan_opc,
    "neural_ilt": neural_ilt,
    "damo": damo,
    "cfno": cfno,
    "unrolled_litho": unrolled_litho,
}
#: name -> module with `Options`, `PRESETS` and `build`; :mod:`maskopt_lib.registry` shows how to add one from outside.
MODELS = Registry("network", _OWN, group="maskopt_lib.networks", fault=_fault)
register = MODELS.register


def build(
    name: str,
    *,
    preset: str = "published",
    width: float = 1.0,
    pixel_nm: int = 4,
    conditioning: Conditioning = Conditioning(),  # noqa: B008 - frozen
    **options: Any,
) -> MaskModel:
    """A network with fresh weights, drawn from torch's global generator.

    Parameters
    ----------
    name : of `MODELS`.
    preset : of the network's ``PRESETS``; ``"published"`` is as benchmarked, ``"corrected"`` without the defects of
        that code.
    width : factor on the number of channels.
    pixel_nm : side of its pixels: 1, 2, 4 or 8 nm for tiles of 1024 nm.
    conditioning : what it is told beside the target.
    **options : other changes of the preset's options.

    Raises
    ------
    UnknownNameError : there is no such network, preset, pixel size or option.

    Examples
    --------
    >>> import torch
    >>> from maskopt_lib.models import TileInput
    >>> model = build("neural_ilt", width=1 / 16, pixel_nm=8)
    >>> tuple(model(TileInput.of(torch.zeros(2, 1, 128, 128))).shape)
    (2, 1, 128, 128)
    """
    module = _known(MODELS, name, "network")
    chosen = _known(module.PRESETS, preset, f"preset of {name}")
    return module.build(_replaced(name, chosen, {"width": width, "pixel_nm": pixel_nm} | options), conditioning)


def descends(name: str) -> bool:
    """Whether a network looks through the optics and goes down what they print: a solver, whatever it has learnt."""
    return "kernels" in {field.name for field in fields(_known(MODELS, name, "network").Options)}


def from_spec(spec: Mapping[str, Any]) -> MaskModel:
    """The network that `MaskModel.spec` told of, with fresh weights."""
    name = spec["model"]
    module = _known(MODELS, name, "network")
    return module.build(_replaced(name, module.Options(), spec["options"]), Conditioning(**spec["conditioning"]))


def _replaced(name: str, options: Any, changes: Mapping[str, Any]) -> Any:
    known = {field.name: None for field in fields(options)}
    for change in changes:
        _known(known, change, f"option of {name}")
    return replace(options, **changes)


def _known(known: Mapping[str, Any], name: str, what: str) -> Any:
    if name not in known:
        raise UnknownNameError(f"no {what} {name!r}; known: {', '.join(known)}")
    return known[name]


def code_digest(network: str) -> str:
    """Hash of the code of a network of `models.MODELS`."""
    return source_hash([MODELS[network].build.__module__], follow=False)
