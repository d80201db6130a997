"""What networks, and rows of their features, are called."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sktransfer.features.estimator import FeatureExtractor
from sktransfer.networks.graph import EMBEDDING
from sktransfer.networks.outputs import spell_size
from sktransfer.networks.timm_network import is_timm


def name_extractor(extractor: FeatureExtractor) -> str:
    """Name a row by what decides its features."""
    return name_extractors([extractor])[0]


def name_extractors(extractors: Sequence[FeatureExtractor]) -> list[str]:
    """Name rows by what decides their features, and files of one name by their folders too."""
    weights = _tell_apart(each.weights for each in extractors if _is_path(each.weights))
    return [
        _name_row(extractor, network, weights)
        for extractor, network in zip(extractors, name_networks(extractors), strict=True)
    ]


def name_networks(extractors: Sequence[FeatureExtractor]) -> list[str]:
    """Name the network of each extractor, and files of one name by their folders too."""
    networks = [
        getattr(each, "architecture", None) or getattr(each, "network", None) for each in extractors
    ]
    files = _tell_apart(each for each in networks if _is_path(each) and not is_timm(each))
    return [
        # A name of timm stays whole: without what begins it, it may be one of Keras' too.
        files.get(each, str(each)) if _is_path(each) else str(getattr(each, "name", each))
        for each in networks
    ]


def _name_row(extractor: FeatureExtractor, network: str, files: Mapping[Any, str]) -> str:
    weights = "random weights"
    if isinstance(extractor.weights, Mapping):
        weights = "custom weights"
    elif extractor.weights is not None:
        given = extractor.weights  # of a wrong type, `fit` says so
        weights = files[given] if _is_path(given) else str(given)
    layers = [extractor.layer] if isinstance(extractor.layer, str) else extractor.layer
    layers = [EMBEDDING] if layers is None else layers
    pooling = f" {extractor.pooling}-pooled" if extractor.pooling else ""
    size = extractor.input_size
    size = "" if isinstance(size, str) else f", {spell_size(size)} px"
    return f"{network} {weights}, {' + '.join(layers)}{pooling}{size}"


def _is_path(value: Any) -> bool:
    return isinstance(value, str | os.PathLike)


def _tell_apart(paths: Iterable[Any]) -> dict[Any, str]:
    """Name each path by its last part, or by as many as no other path ends with."""
    parts = {path: Path(path).absolute().parts for path in paths}
    names = {}
    for path, own in parts.items():
        n = 1
        while any(each != own and each[-n:] == own[-n:] for each in parts.values()):
            n += 1
        names[path] = Path(*own[-n:]).as_posix()
    return names
