"""A Keras model as a network that can be cut at any layer with a single output."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.networks.building import to_vector
from sktransfer.networks.graph import NetworkCut, NetworkLayer
from sktransfer.networks.keras_copies import copy_model
from sktransfer.networks.outputs import as_shape, as_size, spell_size
from sktransfer.networks.tokens import how_to_pool

if TYPE_CHECKING:
    import keras

# Layers that only shape or scale what a classifier gives.
_AFTER_CLASSIFIER = {"Activation", "Softmax", "Dropout", "ReLU"}
# Where the configuration of a model names its layers.
_NAMES = {"name", "keras_history", "input_layers", "output_layers"}
# Layers that scale pixels, by numbers that were not learned with the network.
_SCALING = {"Rescaling", "Normalization"}


@dataclass(frozen=True, eq=False)
class KerasNetwork:
    """A Keras model whose input size is settled.

    Attributes
    ----------
    model : keras.Model
        A functional or sequential model.
    names : dict of str to str
        The name of each of its layers here, by that in Keras, which may depend on what was built
        before in this process.
    architecture : str
        What tells its graph from all others.
    is_headless : bool
        Whether its output is the embedding.
    """

    model: keras.Model
    names: Mapping[str, str]
    architecture: str
    is_headless: bool

    def name_of(self, layer: keras.Layer) -> str:
        """Return the name of a layer here."""
        return self.names.get(layer.name, layer.name)

    @property
    def framework(self) -> str:
        """What it was written in."""
        return "keras"

    @property
    def input_size(self) -> int | tuple[int, int]:
        """The size of its images, in pixels."""
        return as_size(self.model.inputs[0].shape[1:3])

    @property
    def n_images(self) -> int | None:
        """Images that each call takes; None where any number will do."""
        return self.model.inputs[0].shape[0]

    @cached_property
    def _layers(self) -> dict[str, keras.Layer]:
        """The layers and operations at which the model can be cut, by their names here."""
        return {
            self.name_of(layer): layer
            for layer in _operations_of(self.model)
            if _output_of(layer) is not None and not _is_input(layer)
        }

    @cached_property
    def layers(self) -> tuple[NetworkLayer, ...]:
        """All layers at which it can be cut, from the input on."""
        first = NetworkLayer("input", "InputLayer", tuple(self.model.inputs[0].shape[1:]), 0, 0)
        return (first, *(_describe(name, layer) for name, layer in self._layers.items()))

    @cached_property
    def embedding(self) -> tuple[str, str | None]:
        """The layer of the embedding, and how it is pooled."""
        end = self._last
        last = next(name for name, layer in self._layers.items() if layer is end)
        if not self.is_headless:
            last = self._before_classifier(last)
        shape = next(each.output_shape for each in self.layers if each.name == last)
        return last, how_to_pool(shape, self.input_size)

    @property
    def _last(self) -> keras.Layer:
        """The layer that gives the model's output."""
        output = self.model.outputs[0]
        for each in _operations_of(self.model):
            if _output_of(each) is output:
                return each
        raise ValueError(
            "Without a named layer, a Keras model must end with a layer that is called "
            "once and gives one tensor (n, ...) of two to four dimensions. Got "
            f"{self.model.name!r}, whose output has the shape {tuple(output.shape)}: name a layer."
        )

    def _before_classifier(self, name: str) -> str:
        """Step back over a classifier at the end; without one the end itself is meant."""
        steps = name
        while (layer := self._layers[steps]).__class__.__name__ in _AFTER_CLASSIFIER:
            before = self._parents(layer)
            if len(before) != 1:
                return name
            (steps,) = before
        if layer.__class__.__name__ != "Dense" or len(layer.output.shape) != 2:
            return name
        before = self._parents(layer)
        while len(before) == 1 and self._layers[before[0]].__class__.__name__ == "Dropout":
            before = self._parents(self._layers[before[0]])
        return before[0] if len(before) == 1 else name

    def _parents(self, layer: keras.Layer) -> list[str]:
        """List what a layer is computed from, as far as it can be cut there."""
        given = layer.input
        tensors = given if isinstance(given, list | tuple) else [given]
        names = [self.name_of(tensor._keras_history.operation) for tensor in tensors]
        return [name for name in names if name in self._layers]

    def ancestors(self, name: str) -> Sequence[str]:
        """List what a layer is computed from, itself included, by name."""
        return [self.name_of(layer) for layer in self.up_to(name).operations]

    def hash_up_to(self, name: str) -> str:
        """Hash the weights up to a layer, on which its features depend, and on no others."""
        own = {self.name_of(layer) for layer in self.up_to(name).layers}
        sha256 = hashlib.sha256()
        for layer in self.model.layers:
            if self.name_of(layer) in own and layer.weights:
                sha256.update(f"{self.name_of(layer)} {self._hashes(layer)}\n".encode())
        return sha256.hexdigest()

    def vectors_up_to(self, name: str) -> Iterator[np.ndarray]:
        """Give the weights up to a layer that are vectors: biases, gains, means and variances."""
        for layer in self.up_to(name).layers:
            if layer.__class__.__name__ not in _SCALING:
                yield from (values for values in layer.get_weights() if values.ndim == 1)

    def scale_pixels(self, values: np.ndarray) -> np.ndarray:
        """Return what the layers at the input make of pixels that do nothing but scale them."""
        for layer in self.model.layers:
            if not _is_input(layer):
                if layer.__class__.__name__ not in _SCALING:
                    break
                values = np.asarray(layer(values))
        return values

    @cached_property
    def _known_hashes(self) -> dict[int, str]:
        return {}

    def _hashes(self, layer: keras.Layer) -> str:
        """Hash the weights of one layer, once."""
        if id(layer) not in self._known_hashes:
            sha256 = hashlib.sha256()
            for variable, values in zip(layer.weights, layer.get_weights(), strict=True):
                if values.dtype.kind == "f":
                    values = np.ascontiguousarray(values, "<f4")
                # Keras counts those without a name of their own, over all networks of a process.
                name = re.sub(r"^variable_\d+$", "variable", variable.name)
                sha256.update(f"{name} {values.shape}\n".encode())
                sha256.update(np.ascontiguousarray(values).data)
            self._known_hashes[id(layer)] = sha256.hexdigest()
        return self._known_hashes[id(layer)]

    def tensor_of(self, name: str) -> Any:
        """Return what a layer gives."""
        return self._layers[name].output

    def renamed(self) -> KerasNetwork:
        """Return the network after giving its layers, in place, the names that they have here."""
        for layer in _operations_of(self.model):
            layer.name = self.name_of(layer)
        return replace(self, names={})

    def up_to(self, name: str) -> keras.Model:
        """Return the model up to a layer."""
        import keras

        return keras.Model(self.model.inputs, self.tensor_of(name))

    def cut(self, cut: NetworkCut) -> keras.Model:
        """Return the model up to the wanted layers, which gives the features of each."""
        import keras

        outputs = [
            to_vector(pooling, layer.name, self.tensor_of(layer.name))
            for layer, pooling in cut.outputs
        ]
        return keras.Model(self.model.inputs, outputs, name="cut")


def _operations_of(model: keras.Model) -> Sequence[Any]:
    """List the layers of a model, and the operations between them; sequential ones have none."""
    return getattr(model, "operations", model.layers)


def _is_input(layer: keras.Layer) -> bool:
    return layer.__class__.__name__ == "InputLayer"


def _output_of(layer: keras.Layer) -> Any:
    """Return what a layer gives, if that is one tensor of known shape."""
    try:
        output = layer.output
    except (AttributeError, ValueError):  # it is used several times, or never
        return None
    shape = getattr(output, "shape", None)
    if shape is None or not 2 <= len(shape) <= 4 or None in shape[1:]:
        return None
    return output


def _describe(name: str, layer: keras.Layer | keras.Operation) -> NetworkLayer:
    shape = tuple(layer.output.shape[1:])
    kind = layer.__class__.__name__
    if not hasattr(layer, "weights"):  # an operation, such as the sum of two tensors
        return NetworkLayer(name, kind, shape, 0, None)
    n_parameters = sum(math.prod(variable.shape) for variable in layer.weights)
    return NetworkLayer(name, kind, shape, n_parameters, _multiply_adds(layer, shape))


def _multiply_adds(layer: keras.Layer, shape: tuple[int, ...]) -> int | None:
    """Count the multiply-adds of convolutions and dense layers, beside which others are small."""
    inner = getattr(layer, "layers", None)
    if inner is not None:  # a model as a layer
        counts = [
            _multiply_adds(each, tuple(output.shape[1:]))
            for each in inner
            if (output := _output_of(each)) is not None
        ]
        return None if None in counts else sum(count for count in counts if count)
    kind = layer.__class__.__name__
    kernels = [
        math.prod(variable.shape) for variable in layer.weights if variable.name.endswith("kernel")
    ]
    if kind in ("Conv1D", "Conv2D", "DepthwiseConv2D", "SeparableConv2D", "Dense"):
        return sum(kernels) * math.prod(shape[:-1])
    return None if kernels else 0


def wrap(
    model: Any,
    input_size: int | tuple[int, int] | None,
    *,
    architecture: str | None,
    is_headless: bool,
    who: str,
) -> KerasNetwork:
    """Wrap a Keras model, or say why it cannot be cut; `input_size` None is its own."""
    _check_graph(model, who)
    images = _settle_input(model, input_size, who)
    if architecture is None:
        model = _detach(model, images, who)
        names = {layer.name: layer.name for layer in _operations_of(model)}
        architecture = f"a Keras model of graph {_hash_graph(model)}"
    else:
        names = _number_anew(model)
    return KerasNetwork(model, names, architecture, is_headless)


def _check_graph(model: Any, who: str) -> None:
    import keras

    rule = f"The 'network' parameter of {who}"
    if not isinstance(model, keras.Model):
        raise TypeError(f"{rule} must be a name, a path or a Keras model. Got {model!r} instead.")
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            f"{rule} must be a Keras model whose input is known. Got the sequential model "
            f"{model.name!r}, which is not built: put keras.Input((height, width, 3)) first."
        )
    try:
        inputs, outputs = model.inputs, model.outputs
    except AttributeError:
        inputs = outputs = None
    if not inputs or not outputs:
        raise ValueError(
            f"{rule} must be a functional or sequential Keras model, whose layers form a graph. "
            f"Got {type(model).__name__}, a subclass of keras.Model that computes in its call() "
            "and has no graph to cut: build the same layers with keras.Model(inputs, outputs)."
        )
    if len(inputs) != 1:
        raise ValueError(
            f"{rule} must have one input, images. Got {model.name!r} with {len(inputs)} inputs: "
            f"{', '.join(f'{each.name} {tuple(each.shape[1:])}' for each in inputs)}. Make a "
            "keras.Model of the part that takes images."
        )
    shape = tuple(inputs[0].shape[1:])
    if len(shape) == 3 and shape[-1] == 1:
        raise ValueError(
            f"{rule} must take images with three channels. Got {model.name!r}, whose input has the "
            f"shape {shape}, one channel. Put a layer that converts RGB to grey before it: "
            f"x = keras.Input({(*shape[:2], 3)}); keras.Model(x, model(keras.ops.mean(x, -1, "
            "keepdims=True)))."
        )
    if len(shape) != 3 or shape[-1] != 3:
        raise ValueError(
            f"{rule} must take images of the shape (height, width, 3). Got {model.name!r}, whose "
            f"input has the shape {shape}."
        )


def _settle_input(
    model: keras.Model, input_size: int | tuple[int, int] | None, who: str
) -> keras.KerasTensor | None:
    """Return an input for images of one size; None where the model's own is for that size."""
    import keras

    n_images, height, width, _ = model.inputs[0].shape
    own = (height, width)
    if input_size is None:
        if None in own:
            raise ValueError(
                f"The 'input_size' parameter of {who} must be a number of pixels for a network "
                f"that takes images of any size. Got 'auto' for {model.name!r}, whose input has "
                f"the shape {tuple(model.inputs[0].shape[1:])}."
            )
        return None
    wanted = as_shape(input_size)
    if own == wanted:
        return None
    if any(size is not None and size != want for size, want in zip(own, wanted, strict=True)):
        raise ValueError(
            f"The 'input_size' parameter of {who} must be that of the network. Got "
            f"{spell_size(input_size)} pixels for {model.name!r}, which takes images of "
            f"{' x '.join('any' if size is None else str(size) for size in own)}: leave it at "
            "'auto'."
        )
    return keras.Input((*wanted, 3), batch_size=n_images, dtype=model.inputs[0].dtype)


def _detach(model: keras.Model, images: keras.KerasTensor | None, who: str) -> keras.Model:
    """Return a copy of a model, which nobody else changes and whose layers are in no other."""
    try:
        return copy_model(model, images)
    except Exception as error:  # whatever code in layers of other makers does
        if images is None and _is_usable(model):
            return model  # as it is
        raise ValueError(
            f"The 'network' parameter of {who} must be a Keras model that Keras can copy, by the "
            f"get_config() of its layers. Got {model.name!r}, and Keras says: "
            f"{' '.join(str(error).split())[:300]}"
        ) from error


def _is_usable(model: keras.Model) -> bool:
    """Tell whether a model can be cut as it is: its layers are in no other, and are described."""
    import keras

    outputs = [output for each in model.layers if (output := _output_of(each)) is not None]
    try:
        keras.Model(model.inputs, outputs).get_config()
    except (ValueError, NotImplementedError):
        return False
    return True


def _number_anew(model: keras.Model) -> dict[str, str]:
    """Give layers that Keras names by counting the numbers that they have in a new process."""
    counted: dict[str, list[tuple[int, str]]] = {}
    names = {layer.name: layer.name for layer in _operations_of(model)}
    for layer in _operations_of(model):
        prefix = _snake_case(layer.__class__.__name__)
        if match := re.fullmatch(rf"{prefix}(?:_(\d+))?", layer.name):
            counted.setdefault(prefix, []).append((int(match[1] or 0), layer.name))
    for prefix, found in counted.items():
        for number, (_, name) in enumerate(sorted(found)):
            names[name] = f"{prefix}_{number}" if number else prefix
    return names


def _snake_case(name: str) -> str:
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def _hash_graph(model: keras.Model) -> str:
    """Hash the layers of a model and how they are joined.

    What they are called does not count, nor whether they are to be trained.
    """
    numbers = {layer.name: f"layer {i}" for i, layer in enumerate(_operations_of(model))}

    def rename(part: Any, key: str = "") -> Any:
        if isinstance(part, dict):
            return {key: rename(value, key) for key, value in part.items() if key != "trainable"}
        if isinstance(part, list | tuple):
            return [rename(each, key) for each in part]
        # Settings of layers may be called like layers.
        return numbers.get(part, part) if key in _NAMES and isinstance(part, str) else part

    config = rename({**model.get_config(), "name": None})
    text = json.dumps(config, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
