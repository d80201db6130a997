"""Cuts of any network: its layers as they were read, and the wanted ones among them."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from sktransfer.networks.cut import Cut
from sktransfer.networks.outputs import (
    POOLINGS,
    Outputs,
    name_values,
    settle_poolings,
    spell_size,
)
from sktransfer.networks.tokens import are_patches

#: The name of the features that a network gives without a layer being named.
EMBEDDING = "embedding"


@dataclass(frozen=True)
class NetworkLayer:
    """One layer of a network at one input size, as it was read off the network.

    Attributes
    ----------
    name : str
        Its name in the network.
    kind : str
        What it does: the class of a Keras layer, the operator of an ONNX node.
    output_shape : tuple of int
        `(height, width, n_channels)` of maps, `(n_tokens, n_channels)` of a sequence,
        `(n_values,)` of a vector.
    n_parameters : int
        Values of its weights.
    multiply_adds : int or None
        Multiplications, each with its addition, for one image; None where they cannot be counted.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    n_parameters: int
    multiply_adds: int | None = None

    @property
    def receptive_field(self) -> None:
        """Unknown: it takes more than a list of layers to tell."""
        return None


@dataclass(frozen=True)
class NetworkCut(Outputs):
    """The cut of any network, and its outputs.

    Attributes
    ----------
    architecture : str
        The network, by what tells it from all others.
    layers : tuple of NetworkLayer
        The wanted layers, in the order in which their features are concatenated.
    poolings : tuple of {'avg', 'max', 'cls'} or None
        For each of them, how maps or tokens become one value per channel.
    input_size : int or tuple of int
        Side of the square image, or height and width, in pixels.
    trunk : tuple of NetworkLayer
        The input, and every layer that the wanted ones are computed from, themselves included.
    framework : {'keras', 'onnx', 'timm'}
        What the network was written in.
    n_images : int or None
        Images that each call takes, where the network says so.
    is_embedding : bool
        Whether the features are those for which no layer was named.
    """

    architecture: str
    layers: tuple[NetworkLayer, ...]
    poolings: tuple[str | None, ...]
    input_size: int | tuple[int, int]
    trunk: tuple[NetworkLayer, ...]
    framework: str
    n_images: int | None = None
    is_embedding: bool = False

    @property
    def is_users(self) -> bool:
        """Whether it is of a network of the user's own, and not of Keras' or timm's."""
        is_named = self.architecture.startswith("keras.applications.")
        return not is_named and self.framework != "timm"

    def hash_of(self, layer_sha256: Mapping[str, str]) -> str:
        """Hash all weights of the cut, by the hashes of those up to each wanted layer."""
        hashes = sorted({layer_sha256[layer.name] for layer in self.layers})
        return (
            hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()
        )

    def take(self, network: Any) -> Any:
        """Take what the cut needs of the weights: a network is cut when an engine is built."""
        return network

    def _names_of(self, layer: NetworkLayer, pooling: str | None) -> list[str]:
        if self.is_embedding:
            return name_values(EMBEDDING, layer.output_shape[-1:], None)
        return name_values(layer.name, layer.output_shape, pooling)


AnyCut: TypeAlias = Cut | NetworkCut


class Network(Protocol):
    """A network in memory with its weights, at one input size."""

    @property
    def architecture(self) -> str:
        """What tells its graph from all others, apart from weights."""

    @property
    def framework(self) -> str:
        """What it was written in: 'keras', 'onnx' or 'timm'."""

    @property
    def input_size(self) -> int | tuple[int, int]:
        """The size of its images, in pixels."""

    @property
    def n_images(self) -> int | None:
        """Images that each call takes; None where any number will do."""

    @property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """All layers at which it can be cut, from the input on."""

    @property
    def embedding(self) -> tuple[str, str | None]:
        """The layer of the embedding, and how it is pooled; None of tokens: nothing tells."""

    def ancestors(self, name: str) -> Sequence[str]:
        """List what a layer is computed from, itself included, by name."""

    def hash_up_to(self, name: str) -> str:
        """Hash the weights up to a layer, on which its features depend, and on no others."""

    def vectors_up_to(self, name: str) -> Iterator[np.ndarray]:
        """Give the weights up to a layer that are vectors: biases, gains, means and variances."""

    def scale_pixels(self, values: np.ndarray) -> np.ndarray:
        """Return what layers at the input that do nothing but scale pixels make of them."""


def list_stages(layers: Sequence[NetworkLayer]) -> list[NetworkLayer]:
    """List the last layer of each resolution, of what a network's layers give as maps."""
    last: dict[tuple[int, ...], NetworkLayer] = {}
    for layer in layers[1:]:
        if len(layer.output_shape) == 3:
            last[layer.output_shape[:2]] = layer
    return sorted(last.values(), key=layers.index)


def plan_network_cut(
    network: Network, layer: str | Sequence[str] | None, pooling: Any, *, who: str
) -> NetworkCut:
    """Find the wanted layers of a network."""
    rule = f"The 'layer' parameter of {who}"
    known = {each.name: each for each in network.layers}
    is_embedding = layer is None
    poolings: tuple[str | None, ...]
    if layer is None:
        name, own = network.embedding
        check_known([name], network, rule)
        if not (pooling is None or isinstance(pooling, str)):
            (pooling,) = settle_poolings([EMBEDDING], pooling, rule, who, POOLINGS)
        names, poolings = [name], (_pool_embedding(network, known[name], own, pooling, who),)
    else:
        names = [layer] if isinstance(layer, str) else list(layer)
        if not names:
            raise ValueError(f"{rule} must name at least one layer. Got an empty list instead.")
        check_known(names, network, rule)
        poolings = settle_poolings(names, pooling, rule, who, POOLINGS)
        _check_pooled(names, poolings, known, who)
    _check_class_tokens(network, [known[name] for name in names], poolings, who)
    wanted = {each for name in names for each in network.ancestors(name)}
    first, *others = network.layers
    trunk = (first, *(each for each in others if each.name in wanted))
    layers = tuple(known[name] for name in names)
    return NetworkCut(
        network.architecture,
        layers,
        poolings,
        network.input_size,
        trunk,
        network.framework,
        network.n_images,
        is_embedding,
    )


def _pool_embedding(
    network: Network, layer: NetworkLayer, own: str | None, pooling: str | None, who: str
) -> str | None:
    """Say how the embedding is pooled: as the user says, else as the network means it."""
    rule = f"The 'pooling' parameter of {who}"
    if len(layer.output_shape) == 1:
        # A mean leaves a vector as it is, and a network of Keras' own was built with a maximum.
        is_built = pooling == "max" and getattr(network, "is_headless", False)
        if not (pooling in (None, "avg") or is_built):
            raise ValueError(
                f"{rule} pools maps and tokens. Got {pooling!r} for the embedding of "
                f"{network.architecture}, which is a vector already: leave it at None, or name a "
                "layer before."
            )
        return None
    if pooling is None and own is None:
        raise ValueError(
            f"{rule} must be one of {', '.join(map(repr, POOLINGS))} where it is not known which "
            f"tokens are patches. Got None for {network.architecture}, whose {layer.name!r} gives "
            f"{layer.output_shape[0]} tokens for an image of {spell_size(network.input_size)} "
            "pixels, neither its patches alone nor with one class token before them: 'cls' takes "
            "the first token, 'avg' and 'max' all of them, and layer="
            f"{layer.name!r} keeps them as they are."
        )
    return pooling or own


def check_known(names: Sequence[Any], network: Network, rule: str) -> None:
    """Check that a network can be cut at all of some layers; `rule` is how an error begins."""
    known = [layer.name for layer in network.layers[1:]]
    unclear: Mapping[str, tuple[int, ...]] = getattr(network, "unclear", {})
    for name in names:
        if name in unclear:
            raise ValueError(
                f"{rule} must be one of which it is known where the channels stand. Got {name!r} "
                f"of {network.architecture}, which gives {' x '.join(map(str, unclear[name]))} "
                f"values for an image of {spell_size(network.input_size)} pixels, with the "
                "channels first or last: name a layer around it or next to it, or set another "
                "input_size."
            )
        if name not in known:
            raise ValueError(
                f"{rule} must be a layer of {network.architecture}. {say_unknown(name, known)}"
            )


def say_unknown(name: Any, known: Sequence[str] | Mapping[str, Any]) -> str:
    """Say which of the known names was probably meant, or list them."""
    close = difflib.get_close_matches(str(name).lower(), list(known), n=3, cutoff=0.5)
    hint = f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
    names = list(known)
    if not names:
        return f"Got {name!r}, and it has none that gives two to four dimensions of known size."
    shown = ", ".join(names if len(names) <= 60 else [*names[:10], "...", *names[-20:]])
    return (
        f"Got {name!r} instead.{hint} There are {len(names):,}: {shown}; describe_network shows "
        "their shapes."
    )


def _check_pooled(
    names: Sequence[str],
    poolings: Sequence[str | None],
    known: Mapping[str, NetworkLayer],
    who: str,
) -> None:
    flat = [
        name
        for name, how in zip(names, poolings, strict=True)
        if how is not None and len(known[name].output_shape) == 1
    ]
    if flat:
        raise ValueError(
            f"The 'pooling' parameter of {who} pools maps and tokens. Got pooling={list(poolings)} "
            f"with {', '.join(map(repr, flat))}, which give plain vectors. Set pooling=None, or "
            "leave these layers out."
        )


def _check_class_tokens(
    network: Network,
    layers: Sequence[NetworkLayer],
    poolings: Sequence[str | None],
    who: str,
) -> None:
    for layer, pooling in zip(layers, poolings, strict=True):
        if pooling == "cls" and not _has_class_token(network, layer):
            raise ValueError(
                f"The 'pooling' parameter of {who} takes the class token, by 'cls', of layers that "
                f"give a sequence of tokens with one. Got 'cls' with {layer.name!r}, which gives "
                f"{' x '.join(map(str, layer.output_shape))} values for an image of "
                f"{spell_size(network.input_size)} pixels, and no class token: set 'avg', 'max' or "
                "None."
            )


def _has_class_token(network: Network, layer: NetworkLayer) -> bool:
    """Tell whether a class token may come first; the network may know, else the user does."""
    tell: Callable[[NetworkLayer], bool] | None = getattr(network, "has_class_token", None)
    if tell is not None:
        return tell(layer)
    shape = layer.output_shape
    return len(shape) == 2 and not are_patches(shape[0], network.input_size)
