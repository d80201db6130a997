"""The weights of a network: from a file, a download, the package, or a seed."""

from sktransfer.weights.any_network import PRETRAINED, NetworkSource
from sktransfer.weights.arrays import (
    NamedWeights,
    Weights,
    draw_weights,
    hash_layers,
    hash_up_to,
    hash_weights,
    take_weights,
)
from sktransfer.weights.fitted import FittedWeights, WeightsSource, load_weights
from sktransfer.weights.locating import locate_weights
from sktransfer.weights.reading import has_recipe, read_weights, read_weights_and_record

__all__ = [
    "PRETRAINED",
    "FittedWeights",
    "NamedWeights",
    "NetworkSource",
    "Weights",
    "WeightsSource",
    "draw_weights",
    "has_recipe",
    "hash_layers",
    "hash_up_to",
    "hash_weights",
    "load_weights",
    "locate_weights",
    "read_weights",
    "read_weights_and_record",
    "take_weights",
]
