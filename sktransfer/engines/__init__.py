"""Engines, which run a network: Keras, OpenVINO, ncnn and PyTorch, each on its devices."""

from sktransfer.engines.choice import (
    ALL_ENGINES,
    ENGINES,
    JOINT_PRECISIONS,
    PRECISIONS,
    choose_engine,
    choose_engine_for,
)
from sktransfer.engines.ready import (
    Engine,
    EngineConfig,
    describe_engine,
    find_ranges,
    get_engine,
    images_for,
    images_per_call,
)

__all__ = [
    "ALL_ENGINES",
    "ENGINES",
    "JOINT_PRECISIONS",
    "PRECISIONS",
    "Engine",
    "EngineConfig",
    "choose_engine",
    "choose_engine_for",
    "describe_engine",
    "find_ranges",
    "get_engine",
    "images_for",
    "images_per_call",
]
