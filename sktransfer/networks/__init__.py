"""Networks: VGG16 and VGG19 from tables, any other as it is read, and cuts of them."""

from sktransfer.networks.building import build
from sktransfer.networks.cut import Cut, plan_cut
from sktransfer.networks.description import NetworkDescription, describe_network
from sktransfer.networks.graph import AnyCut, Network, NetworkCut, NetworkLayer, plan_network_cut
from sktransfer.networks.layers import (
    ARCHITECTURES,
    DENSE_UNITS,
    MIN_SIZE,
    TRAINED_SIZE,
    Layer,
    find_layer,
    imagenet_class_names,
    list_layers,
)

__all__ = [
    "ARCHITECTURES",
    "DENSE_UNITS",
    "MIN_SIZE",
    "TRAINED_SIZE",
    "AnyCut",
    "Cut",
    "Layer",
    "Network",
    "NetworkCut",
    "NetworkDescription",
    "NetworkLayer",
    "build",
    "describe_network",
    "find_layer",
    "imagenet_class_names",
    "list_layers",
    "plan_cut",
    "plan_network_cut",
]
