"""Learned mask models: one door, :func:`build`, and one file a network."""

from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.models.library import MODELS, build, from_spec
from maskopt_lib.models.model import MaskModel
from maskopt_lib.models.predict import predict

__all__ = ["MODELS", "Conditioning", "MaskModel", "TileInput", "build", "from_spec", "predict"]
