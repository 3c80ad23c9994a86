"""Learned mask models: one door, :func:`build`, and one file a network."""

from maskopt_lib.models.conditioning import Conditioning
from maskopt_lib.models.inputs import TileInput
from maskopt_lib.models.library import MODELS, build, from_spec, register
from maskopt_lib.models.model import MaskModel, ModelOptions
from maskopt_lib.models.predict import predict
from maskopt_lib.models.stages import Stage
