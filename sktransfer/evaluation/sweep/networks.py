"""Layers of an extractor's network, by input size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from sktransfer.features.estimator import FeatureExtractor
from sktransfer.networks import find_layer, list_layers
from sktransfer.networks.graph import list_stages, say_unknown
from sktransfer.networks.opening import find_named, open_network
from sktransfer.networks.outputs import as_shape, as_size
from sktransfer.networks.timm_network import is_timm

#: Says what layers a network has at an input size, input first; a ValueError says that it takes
#: no images of that size.
LayersAt = Callable[[int | tuple[int, int]], Sequence[Any]]


def list_layers_of(extractor: FeatureExtractor | str) -> LayersAt:
    """Return what lists the layers of an extractor's network, or of VGG by its name."""
    architecture = _vgg_of(extractor)
    if architecture is not None:
        return lambda size: list_layers(architecture, size)
    assert isinstance(extractor, FeatureExtractor)
    network = extractor.get_params()["network"]

    @lru_cache
    def at(size: int | tuple[int, int]) -> Sequence[Any]:
        return open_network(network, size, who=type(extractor).__name__).layers

    return at


def own_size(extractor: FeatureExtractor) -> int | tuple[int, int]:
    """Say at which size a network other than VGG was trained, or which alone it takes."""
    network, who = extractor.get_params(deep=False)["network"], type(extractor).__name__
    application = find_named(network, who)
    if application is not None:
        return application.input_size
    return open_network(network, None, who=who).input_size


def only_size(extractor: FeatureExtractor | str) -> int | tuple[int, int] | None:
    """Say which size alone a network takes: a model or a file whose input has one."""
    if is_vgg(extractor):
        return None
    assert isinstance(extractor, FeatureExtractor)
    network, who = extractor.get_params(deep=False)["network"], type(extractor).__name__
    if is_timm(network) or find_named(network, who) is not None:
        return None
    try:
        return as_size(as_shape(open_network(network, None, who=who).input_size))
    except ValueError:  # it takes several, or none, which is said where it is used
        return None


def check_size(
    only: int | tuple[int, int] | None, sizes: Sequence[int | tuple[int, int] | None], who: str
) -> None:
    """Check that the size that a network takes alone is among those that were asked for."""
    if only is not None and only not in sizes:
        raise ValueError(
            f"The 'input_sizes' parameter of {who} must be that of the network, which takes images "
            f"of {' x '.join(map(str, as_shape(only)))} pixels only. Got {list(sizes)}: set "
            f"input_sizes={[only]}."
        )


def default_layers(table: Sequence[Any], block_ends: Sequence[str]) -> list[str]:
    """List the end of each block: of VGG by name, of others the last layer of each resolution."""
    names = [layer.name for layer in table]
    if set(block_ends) <= set(names):
        return list(block_ends)
    return [layer.name for layer in list_stages(table)] or names[-1:]


def find_layers(
    names: Sequence[str],
    extractor: FeatureExtractor | str,
    input_size: int | tuple[int, int],
    table: Sequence[Any],
    rule: str,
) -> None:
    """Check that all layers exist; `rule` is how the error begins."""
    architecture = _vgg_of(extractor)
    known = [layer.name for layer in table[1:]]
    for name in names:
        if architecture is not None:
            find_layer(name, architecture, input_size, rule)
        elif name not in known:
            raise ValueError(f"{rule} must name layers of the network. {say_unknown(name, known)}")


def is_vgg(extractor: FeatureExtractor | str) -> bool:
    """Tell whether a network is one of the two in the table."""
    return _vgg_of(extractor) is not None


def _vgg_of(extractor: FeatureExtractor | str) -> str | None:
    if isinstance(extractor, str):
        return extractor
    return extractor.get_params(deep=False).get("architecture")
