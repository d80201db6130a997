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
    add_engine,
    building,
    describe_engine,
    find_engine,
    find_ranges,
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
    "add_engine",
    "building",
    "choose_engine",
    "choose_engine_for",
    "describe_engine",
    "find_engine",
    "find_ranges",
    "images_for",
    "images_per_call",
]
