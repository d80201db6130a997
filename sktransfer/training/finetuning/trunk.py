"""The trunk: the network without its head, its trainable part, its Keras model and weights."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from sktransfer.features.runner import Runner
from sktransfer.features.settings import NetworkSettings, Settings
from sktransfer.networks import AnyCut, Cut, NetworkCut, build, plan_network_cut
from sktransfer.networks.keras_network import KerasNetwork
from sktransfer.networks.opening import is_onnx
from sktransfer.networks.parts import (
    build_above,
    get_arrays,
    list_learned,
    list_places,
    set_arrays,
)
from sktransfer.networks.timm_network import is_timm
from sktransfer.training.finetuning.head import HEAD
from sktransfer.training.finetuning.plan import find_trained
from sktransfer.weights import NetworkSource, hash_layers, hash_up_to

if TYPE_CHECKING:
    import keras

#: The arrays of layers by name; of VGG kernel and bias.
Arrays = dict[str, tuple[np.ndarray, ...]]


@dataclass(frozen=True)
class Split:
    """What is trained, and the cut that gives what enters it.

    Attributes
    ----------
    trained : tuple of str
        Names of the layers that are trained; none for the head alone.
    below : Cut or NetworkCut or None
        Gives what enters the first of them, or the features; None where the images do.
    """

    trained: tuple[str, ...]
    below: AnyCut | None


class Trunk(Protocol):
    """A network up to the features of one layer."""

    @property
    def cut(self) -> AnyCut:
        """The network and the layer."""

    @property
    def name(self) -> str:
        """The name of its Keras model."""

    @property
    def weighted(self) -> list[str]:
        """Names of all layers with weights."""

    def split(self, unfreeze: str | None, who: str) -> Split:
        """Find what the parameter `unfreeze` names."""

    def build(self, below: AnyCut | None) -> keras.Model:
        """Build the Keras model of what lies above a cut, whose arrays are of no account."""

    def load(self, runner: Runner) -> Arrays:
        """Load the arrays that a runner computes with."""

    def keep(self, runner: Runner, loaded: Any) -> Runner:
        """Return a runner that keeps what `fit` loaded, where nothing else gives it again."""

    def hold(self, runner: Runner, arrays: Arrays | None) -> Runner:
        """Return a runner that keeps these arrays, or none."""

    def replan(self, settings: Any, input_size: Any) -> AnyCut:
        """Plan the cut by the present parameters."""


def get_trunk_of(runner: Runner) -> Trunk:
    """Return the network that a runner computes, without its weights."""
    if isinstance(runner.cut, Cut):
        return VGGTrunk(runner.cut)
    weights: Any = runner.weights
    is_held = isinstance(weights, Held)
    return NetworkTrunk(runner.cut, weights.source if is_held else weights, is_held)


def check_trainable(settings: Settings | NetworkSettings) -> None:
    """Check that a network is one of Keras."""
    if not isinstance(settings, NetworkSettings):
        return
    if is_onnx(settings.network) or is_timm(settings.network):
        raise ValueError(
            f"The 'network' parameter of {settings.who} must be a network of Keras: a name of "
            "keras.applications, a Keras model or a .keras file. Got "
            f"{settings.network!r}, which Keras cannot train: put ImageFeatureExtractor before an "
            "estimator of scikit-learn, as in make_pipeline(ImageFeatureExtractor(...), "
            "LogisticRegression())."
        )


@dataclass(frozen=True)
class Held:
    """Tuned weights, which no file gives again; None where they were taken away.

    Attributes
    ----------
    weights : dict of str to tuple of ndarray, or None
        The arrays of each layer.
    who : str
        The class named in errors.
    source : NetworkSource or None
        What gives the network to which they belong; None for VGG.
    """

    weights: Any
    who: str
    source: NetworkSource | None = None

    def arrays(self) -> Arrays:
        """Return the arrays."""
        if self.weights is None:
            raise ValueError(
                f"This {self.who} has no weights, because it comes from without_weights(). Call "
                "load_weights(path) with the file that save_weights(path) made."
            )
        return self.weights

    def load(self) -> Any:
        """Return the arrays of VGG, or another network with them."""
        arrays = self.arrays()
        if self.source is None:
            return arrays
        network = self.source.build()
        set_arrays(network, arrays)
        return network


@dataclass(frozen=True)
class VGGTrunk:
    """VGG up to the features of one layer."""

    cut: Cut

    @property
    def name(self) -> str:
        """The name of its Keras model."""
        return self.cut.architecture

    @property
    def weighted(self) -> list[str]:
        """Names of all layers with weights."""
        return [layer.name for layer in self.cut.weighted_layers]

    def split(self, unfreeze: str | None, who: str) -> Split:
        """Find what the parameter `unfreeze` names."""
        cut = self.cut
        trained = find_trained(unfreeze, cut, who)
        if not trained:
            return Split((), cut)
        names = tuple(layer.name for layer in trained)
        below = cut.trunk[cut.trunk.index(trained[0]) - 1]
        if below == cut.trunk[0]:
            return Split(names, None)
        return Split(names, Cut(cut.architecture, (below,), (None,), cut.input_size))

    def build(self, below: AnyCut | None) -> keras.Model:
        """Build the Keras model of what lies above a cut, all arrays being zero."""
        import keras

        built = build(self.cut, below=below.layers[0] if isinstance(below, Cut) else None)
        return keras.Model(built.input, built.outputs[0], name=self.name)

    def load(self, runner: Runner) -> Arrays:
        """Load the arrays that a runner computes with."""
        return runner.weights.load()

    def keep(self, runner: Runner, loaded: Any) -> Runner:
        """Return a runner that keeps the weights of every layer up to the features."""
        return replace(runner, weights=Held(loaded, runner.who))

    def hold(self, runner: Runner, arrays: Arrays | None) -> Runner:
        """Return a runner that keeps these arrays, or none."""
        held = Held(arrays, runner.who)
        if arrays is None:
            return replace(runner, weights=held)
        return replace(
            runner, weights=held, layer_sha256=hash_up_to(self.cut, self.cut.layers, arrays)
        )

    def replan(self, settings: Any, input_size: Any) -> Cut:
        """Plan the cut by the present parameters."""
        return settings.plan(input_size)


@dataclass(frozen=True)
class NetworkTrunk:
    """Any network of Keras up to the features of one layer."""

    cut: NetworkCut
    source: NetworkSource
    is_held: bool

    @cached_property
    def _network(self) -> KerasNetwork:
        """The network to look at, whatever its weights."""
        network = self.source.build() if self.is_held else self.source.load()
        assert isinstance(network, KerasNetwork)
        return network

    @property
    def _layer(self) -> str:
        return self.cut.layers[0].name

    @property
    def name(self) -> str:
        """The name of its Keras model."""
        return re.sub(r"\W", "_", self.cut.architecture.removeprefix("keras.applications."))

    @property
    def weighted(self) -> list[str]:
        """Names of all layers with weights."""
        return list(get_arrays(self._network, self._layer))

    def split(self, unfreeze: str | None, who: str) -> Split:
        """Find what the parameter `unfreeze` names."""
        if unfreeze is None:
            return Split((), self.cut)
        places = list_places(self._network, self._layer)
        before = "input" if unfreeze == "all" else self._find_place(unfreeze, places)
        trained = () if before is None else self._list_trained(before)
        if before is None or not trained:
            raise ValueError(self._say_places(unfreeze, places, who))
        if before == "input":
            return Split(trained, None)
        return Split(trained, plan_network_cut(self._network, before, None, who=who))

    @cached_property
    def _learned(self) -> list[str]:
        return list_learned(self._network, self._layer)

    def _list_trained(self, before: str) -> tuple[str, ...]:
        """List the layers behind a place that training changes."""
        frozen = set() if before == "input" else set(self._network.ancestors(before))
        return tuple(name for name in self._learned if name not in frozen)

    def _find_place(self, unfreeze: str, places: dict[str, str]) -> str | None:
        """Find what lies before a layer, or before the first of a stage: of all that begin so."""
        names = [layer.name for layer in self.cut.trunk]
        stage = (name for name in names if name.startswith(f"{unfreeze}_"))
        first = unfreeze if unfreeze in names else next(stage, None)
        return None if first is None else places.get(first)

    def _say_places(self, unfreeze: str, places: dict[str, str], who: str) -> str:
        # Of places with nothing to train between them the last; of layers beside each other one.
        firsts = {before: place for place, before in reversed(places.items())}
        choices = {self._list_trained(each): place for each, place in reversed(firsts.items())}
        listed = [place for trained, place in choices.items() if trained]
        names = [layer.name for layer in self.cut.trunk]
        meant, why = difflib.get_close_matches(unfreeze, listed, n=3, cutoff=0.5), ""
        if unfreeze in places:
            why = ", and there is nothing to train from there on"
        elif unfreeze in names:
            why = ", which lies within a block, where several tensors pass"
            meant = [place for place in listed if place in names[: names.index(unfreeze)]][-1:]
        hint = f" Did you mean {' or '.join(map(repr, meant))}?" if meant else ""
        return (
            f"The 'unfreeze' parameter of {who} must be None, 'all', or a layer before which a "
            f"single tensor passes, up to {self._layer!r}, where the network is cut. Got "
            f"{unfreeze!r} instead{why}.{hint} There are {', '.join(listed)}."
        )

    def build(self, below: AnyCut | None) -> keras.Model:
        """Build the Keras model of what lies above a cut, whose arrays are of no account."""
        import keras

        if self.cut.n_images is not None:
            raise ValueError(
                f"The 'network' parameter of {self.source.who} must take any number of images at "
                f"a time to be trained. Got one that takes {self.cut.n_images}: build it with "
                "keras.Input(shape) without batch_size."
            )
        network = self.source.build()
        taken = [layer.name for layer in network.model.layers if layer.name.startswith(HEAD)]
        if taken:
            raise ValueError(
                f"The 'network' parameter of {self.source.who} must have no layer whose name "
                f"begins with {HEAD!r}, which the head's layers do. Got {', '.join(taken)}: "
                "rename them."
            )
        place = None if below is None else below.layers[0].name
        built = build_above(network, self.cut, place)
        return keras.Model(built.input, built.outputs[0], name=self.name)

    def load(self, runner: Runner) -> Arrays:
        """Load the arrays that a runner computes with."""
        if isinstance(runner.weights, Held):
            return runner.weights.arrays()
        return get_arrays(runner.weights.load(), self._layer)

    def keep(self, runner: Runner, loaded: Any) -> Runner:
        """Return the runner itself: what its source names gives the weights again."""
        return runner

    def hold(self, runner: Runner, arrays: Arrays | None) -> Runner:
        """Return a runner that keeps these arrays, or none."""
        held = Held(arrays, runner.who, replace(self.source, sha256=None))
        if arrays is None:
            return replace(runner, weights=held)
        hashes = hash_layers(self.cut, self.cut.layers, held.load())
        return replace(runner, weights=held, layer_sha256=hashes)

    def replan(self, settings: Any, input_size: Any) -> NetworkCut:
        """Plan the cut by the present parameters."""
        given, fitted = settings.network, self.source.network
        if given is not fitted and (type(given) is not type(fitted) or given != fitted):
            raise ValueError(
                f"{settings.who} continues training the network that it was fitted with. Got "
                f"network={given!r} after {fitted!r}: set it back, or call fit with "
                "warm_start=False."
            )
        return settings.source(None).plan(self._network)
