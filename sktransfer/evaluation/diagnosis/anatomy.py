"""The anatomy of the network that is diagnosed: its layers, other cuts of it, and other sizes.

VGG's is known from tables, without its weights; that of any other network is read from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import numpy as np

from sktransfer import weights as _weights
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import centre
from sktransfer.features.runner import Runner
from sktransfer.networks import (
    DENSE_UNITS,
    AnyCut,
    Cut,
    Layer,
    Network,
    NetworkCut,
    NetworkLayer,
    list_layers,
    plan_cut,
    plan_network_cut,
)
from sktransfer.networks.graph import list_stages
from sktransfer.networks.pixels import CAFFE, PixelScaling
from sktransfer.weights import NetworkSource, Weights, hash_layers, hash_up_to

#: A layer, and how it is pooled.
Output = tuple[Any, str | None]


class Anatomy(Protocol):
    """What the checks ask of a network."""

    @property
    def name(self) -> str:
        """What the network is called in findings."""

    @property
    def preprocessing(self) -> str:
        """What its makers' preprocessing is called."""

    @property
    def earlier(self) -> str:
        """The parameter by which the extractor is cut earlier."""

    #: Parameters by which it has fewer features, is cut before a classifier, and has the weights
    #: that the network's makers trained.
    narrower: ClassVar[str]
    unclassified: ClassVar[str]
    trained: ClassVar[str]

    @property
    def cut(self) -> AnyCut:
        """Where the extractor cuts the network."""

    @property
    def stages(self) -> Sequence[Any]:
        """The ends of the stages, earlier and later than the cut, for which there are weights."""

    def outputs_of(self, n_features: int, input_size: Any) -> list[Output]:
        """List the layers, each with its pooling, that give so many features at a size."""

    def alternatives(self) -> list[Output]:
        """List other outputs that give as many features as the extractor, its own layers first."""

    def recut(self, runner: Runner, outputs: list[Output]) -> tuple[Runner, list[Output]] | None:
        """Return what computes other outputs, and those that the weights reach."""

    def resize(self, runner: Runner, size: int, n_features: int | None = None) -> Runner | None:
        """Return what computes the features, or so many, of images of another size, if any does."""


@dataclass(frozen=True, eq=False)
class VGGAnatomy:
    """The anatomy of VGG, by its tables.

    Attributes
    ----------
    extractor : VGGFeatureExtractor
        The fitted extractor.
    """

    extractor: Any

    name: ClassVar[str] = "VGG"
    earlier: ClassVar[str] = "layer='block3_pool'"
    narrower: ClassVar[str] = "layer='block5_pool', pooling='avg'"
    unclassified: ClassVar[str] = "layer='fc1')  # or 'block5_pool' with pooling='avg'"
    trained: ClassVar[str] = "weights='imagenet'"

    @property
    def preprocessing(self) -> str:
        """What its makers' preprocessing is called."""
        scaling = get_runner(self.extractor).scaling
        return "preprocess_input" if scaling == CAFFE else "the preprocessing"

    @cached_property
    def cut(self) -> Cut:
        """Where the extractor cuts the network."""
        return get_runner(self.extractor).vgg_cut

    @cached_property
    def is_trained_on_formulas(self) -> bool:
        """Whether the weights come from a file that records how formulas trained it."""
        weights = self.extractor.weights
        if not isinstance(weights, str | os.PathLike):
            return False
        return _weights.has_recipe(_weights.locate_weights(weights, self.cut))

    @cached_property
    def kernels(self) -> dict[str, np.ndarray]:
        """The kernels of the convolutions up to the cut; none if they were drawn."""
        if self.extractor.weights is None:
            return {}
        loaded = self._load(self.cut)
        first = {name: arrays[0] for name, arrays in loaded.items() if len(arrays)}
        return {name: kernel for name, kernel in first.items() if kernel.ndim == 4}

    @cached_property
    def stages(self) -> list[Layer]:
        """The ends of the blocks up to the cut, and of later ones if there are weights for them."""
        cut = self.cut
        ends = [
            layer
            for layer in list_layers(cut.architecture, cut.input_size)
            if layer.kind == "pool" and layer.output_shape[0] > 0
        ]
        reached = [layer for layer in ends if layer in cut.trunk]
        deeper = ends[len(reached) :]
        while deeper and not self._has_weights(deeper[-1]):
            deeper.pop()
        return reached + deeper

    def _has_weights(self, layer: Layer) -> bool:
        if self.extractor.weights is None:
            return True
        cut = plan_cut(layer.name, self.cut.architecture, "avg", self.cut.input_size)
        try:
            self._load(cut)
        except (OSError, ValueError):  # a file that ends before
            return False
        return True

    def _load(self, cut: Cut) -> Weights:
        """Load the weights of another cut from where the extractor's come from."""
        weights = self.extractor.weights
        if weights is None:
            return _weights.draw_weights(cut, self.extractor.random_seed_)
        if isinstance(weights, Mapping):
            return _weights.take_weights(weights, cut)
        return _weights.read_weights(_weights.locate_weights(weights, self.cut), cut)

    def outputs_of(self, n_features: int, input_size: Any) -> list[Output]:
        """List the layers, each with its pooling, that give so many features at a size."""
        found = []
        for layer in list_layers(self.cut.architecture, input_size)[1:]:
            poolings = (None,) if len(layer.output_shape) == 1 else (None, "avg", "max")
            for pooling in poolings:
                cut = plan_cut(layer.name, self.cut.architecture, pooling, input_size)
                if cut.n_features == n_features and 0 not in layer.output_shape:
                    found.append((layer, pooling))
        return found

    def alternatives(self) -> list[Output]:
        """List other outputs that give as many features as the extractor, its own layers first."""
        cut = self.cut
        outputs = [
            each
            for each in self.outputs_of(cut.n_features, cut.input_size)
            if (each,) != cut.outputs and self._may_load(each[0].name)
        ]
        names = {layer.name for layer in cut.layers}
        if names & {"flatten", "block5_pool"}:  # two names of the same values
            outputs = [each for each in outputs if each[0].name != "flatten"]
        return sorted(outputs, key=lambda each: each[0].name not in names)

    def _may_load(self, layer: str) -> bool:
        """Tell whether a layer needs no other file, which would have to be downloaded."""
        own = {each.name for each in self.cut.layers}
        return layer not in DENSE_UNITS or bool(own & set(DENSE_UNITS))

    def recut(self, runner: Runner, outputs: list[Output]) -> tuple[Runner, list[Output]] | None:
        """Return what computes other outputs, as deep as the weights reach."""
        while outputs:
            layers, poolings = zip(*outputs, strict=True)
            planned = Cut(self.cut.architecture, layers, poolings, self.cut.input_size)
            other = self._runner_of(runner, planned)
            if other is not None:
                return other, outputs
            deepest = planned.trunk[-1]
            outputs = [each for each in outputs if each[0] != deepest]
        return None

    def _runner_of(self, runner: Runner, cut: Cut) -> Runner | None:
        """Return what computes another cut; None where the weights end before it."""
        try:
            weights = self._load(cut)
        except (OSError, ValueError):
            return None
        return replace(
            runner,
            cut=cut,
            resizing=replace(runner.resizing, size=cut.input_size),
            weights=_InMemory(weights),
            layer_sha256=hash_up_to(cut, cut.layers, weights),
        )

    def resize(self, runner: Runner, size: int, n_features: int | None = None) -> Runner | None:
        """Return what computes the features, or so many, of images of another size, if any does."""
        names = [layer.name for layer in self.cut.layers]
        if set(names) & set(DENSE_UNITS):
            return None
        other = plan_cut(names, self.cut.architecture, list(self.cut.poolings), size)
        if n_features is not None and other.n_features != n_features:
            return None
        return self._runner_of(runner, other)


@dataclass(frozen=True)
class _InMemory:
    """Weights in memory."""

    weights: Weights

    def load(self) -> Weights:
        """Return them."""
        return self.weights


@dataclass(frozen=True, eq=False)
class NetworkAnatomy:
    """The anatomy of any network, as it was read.

    Attributes
    ----------
    extractor : ImageFeatureExtractor
        The fitted extractor.
    """

    extractor: Any

    preprocessing: ClassVar[str] = "the preprocessing"
    narrower: ClassVar[str] = "layer=None, pooling='avg'"
    unclassified: ClassVar[str] = "layer=None)  # what comes before the classifier"
    trained: ClassVar[str] = "weights='pretrained'"

    @property
    def name(self) -> str:
        """What the network is called in findings."""
        return str(getattr(self.extractor.network, "name", self.extractor.network))

    @property
    def earlier(self) -> str:
        """The parameter by which the extractor is cut earlier."""
        names = [layer.name for layer in self.stages if layer in self.cut.trunk]
        return f"layer={names[(len(names) - 1) // 2]!r}" if names else "layer=None"

    @cached_property
    def cut(self) -> NetworkCut:
        """Where the extractor cuts the network."""
        cut = get_runner(self.extractor).cut
        assert isinstance(cut, NetworkCut)
        return cut

    @cached_property
    def source(self) -> NetworkSource:
        """What gives the network."""
        source = get_runner(self.extractor).weights
        assert isinstance(source, NetworkSource)
        return source

    @cached_property
    def network(self) -> Network:
        """The network with its weights."""
        return self.source.load()

    @cached_property
    def stages(self) -> list[NetworkLayer]:
        """The last layer of each resolution, whether before or behind the cut."""
        return list_stages(self.network.layers)

    @cached_property
    def makers_scaling(self) -> PixelScaling | None:
        """How the network's makers say that pixels are scaled, where they do."""
        try:
            return self.source.scaling
        except ValueError:
            return None

    def span(self) -> float:
        """Return how far white is from black where the network begins to compute."""
        runner = get_runner(self.extractor)
        ends = np.broadcast_to(np.array([0, 255], np.float32)[:, None, None, None], (2, 1, 1, 3))
        black, white = self.network.scale_pixels(centre(ends, runner.scaling))
        return float(np.abs(white - black).max())

    def is_untrained(self) -> bool:
        """Tell whether no bias, gain, mean or variance differs from what networks start with."""
        vectors = [
            values
            for layer in self.cut.layers
            for values in self.network.vectors_up_to(layer.name)
            if values.size > 1
        ]
        return bool(vectors) and all(np.ptp(values) == 0 for values in vectors)

    def outputs_of(self, n_features: int, input_size: Any) -> list[Output]:
        """List the layers, each with its pooling, that give so many features at its own size."""
        if input_size != self.cut.input_size:
            return []  # it would have to be built anew to tell
        found: list[Output] = []
        for layer in self.network.layers[1:]:
            shape = layer.output_shape
            if int(np.prod(shape)) == n_features:
                found.append((layer, None))
            if len(shape) > 1 and shape[-1] == n_features:
                found += [(layer, "avg"), (layer, "max")]
        return found

    def alternatives(self) -> list[Output]:
        """List other outputs that give as many features as the extractor, its own layers first."""
        found = self.outputs_of(self.cut.n_features, self.cut.input_size)
        outputs = [each for each in found if (each,) != self.cut.outputs]
        own = {layer.name for layer in self.cut.layers}
        return sorted(outputs, key=lambda each: each[0].name not in own)

    def recut(self, runner: Runner, outputs: list[Output]) -> tuple[Runner, list[Output]] | None:
        """Return what computes other outputs."""
        if not outputs:
            return None
        names, poolings = zip(*((layer.name, how) for layer, how in outputs), strict=True)
        network = self.network
        cut = plan_network_cut(network, names, poolings, who=runner.who)
        whole = replace(self.source, sha256=None, cut=None)
        return replace(runner, weights=whole).cut_at(cut, network), outputs

    def resize(self, runner: Runner, size: int, n_features: int | None = None) -> Runner | None:
        """Return what computes the features, or so many, of images of another size, if any does."""
        source = replace(self.source, input_size=size, sha256=None, cut=None)
        try:
            network = source.load()
            cut = source.plan(network)
        except Exception:  # whatever frameworks say of a size that a network does not take
            return None
        if n_features is not None and cut.n_features != n_features:
            return None
        return replace(
            runner,
            cut=cut,
            resizing=replace(runner.resizing, size=cut.input_size),
            weights=source,
            layer_sha256=hash_layers(cut, cut.layers, network),
        )


def read_anatomy(extractor: FeatureExtractor) -> VGGAnatomy | NetworkAnatomy:
    """Return the anatomy of the network of a fitted extractor."""
    is_vgg = isinstance(get_runner(extractor).cut, Cut)
    return VGGAnatomy(extractor) if is_vgg else NetworkAnatomy(extractor)
