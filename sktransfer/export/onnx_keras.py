"""Keras models as ONNX nodes, layer by layer, whatever the backend.

Keras' own export needs a converter that cannot write all of the networks of ``keras.applications``:
with TensorFlow 2.21 and tf2onnx 1.17 it makes inputs of what a normalization holds, and gives up at
the exact GELU. Here the graph is read off the model's configuration, which is plain data.

Maps are held channels first, as ONNX's operators need them; everything else is as in Keras.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sktransfer.export.onnx_call import Node, Unknown, Value
from sktransfer.export.onnx_graph import WHO, Graph
from sktransfer.export.onnx_layers import KINDS

if TYPE_CHECKING:
    import keras


def add_model(graph: Graph, model: keras.Model, images: Value) -> list[Value]:
    """Add a functional model that reads `images`; return what it gives."""
    faults: dict[str, str] = {}
    values = _Walk(graph, model, faults).run([images])
    if faults:
        raise TypeError(
            f"{WHO} needs layers of Keras that it can write as ONNX. Got "
            f"{'; '.join(f'{kind} ({why})' for kind, why in sorted(faults.items()))}: cut at an "
            "earlier layer, or write the model by Keras' own model.export('network.onnx', "
            "format='onnx'), and pass that file as the network."
        )
    return values


class _Walk:
    """A walk over a model's calls, each after those that it reads from."""

    def __init__(self, graph: Graph, model: keras.Model, faults: dict[str, str]) -> None:
        self._graph, self._faults, self._model = graph, faults, model
        config = model.get_config()
        self._operations = {each.name: each for each in model.operations}
        self._calls = {
            (layer["name"], number): (
                *call["args"],
                *(each for each in call["kwargs"].values() if each is not None),
            )
            for layer in config["layers"]
            for number, call in enumerate(layer["inbound_nodes"])
        }
        self._shapes = {
            _place(tensor): tuple(tensor["config"]["shape"][1:])
            for call in self._calls.values()
            for tensor in _tensors(call)
        }
        self._inputs, self._outputs = (
            [tuple(each) for each in _listed(config[key])]
            for key in ("input_layers", "output_layers")
        )
        for place, output in zip(self._outputs, model.outputs, strict=True):
            self._shapes[place] = tuple(output.shape[1:])
        self._values: dict[tuple[str, int, int], Value] = {}

    def run(self, inputs: Sequence[Value]) -> list[Value]:
        """Write all calls, in the order in which Keras lists them, and what they need first."""
        self._values.update(zip(self._inputs, inputs, strict=True))
        for name, number in self._calls:
            if (name, number, 0) in self._shapes:
                self._value((name, number, 0))
        return [self._value(place) for place in self._outputs]

    def _value(self, place: tuple[str, int, int]) -> Value:
        if place not in self._values:
            name, number, index = place
            operation = self._operations[name]
            operands = list(self._operands(self._calls[name, number]))
            shape = self._shapes[place]
            self._values[place] = Value(self._write(operation, operands, shape, index), shape)
        return self._values[place]

    def _operands(self, given: Any) -> Iterator[Any]:
        """List what a call was given, tensors as values."""
        for each in given:
            if _is_tensor(each):
                yield self._value(_place(each))
            elif isinstance(each, list | tuple):
                yield from self._operands(each)
            else:
                yield each

    def _write(self, operation: Any, operands: list[Any], shape: tuple[int, ...], i: int) -> str:
        import keras

        kind = type(operation).__name__
        is_own = type(operation).__module__.partition(".")[0] == "keras"
        try:
            if is_own and isinstance(operation, keras.Model):
                inner = keras.Model(operation.inputs, operation.outputs)
                values = [each for each in operands if isinstance(each, Value)]
                return _Walk(self._graph, inner, self._faults).run(values)[i].name
            if not (is_own and kind in KINDS):
                raise Unknown("not among them")
            if getattr(operation, "compute_dtype", "float32") != "float32":
                raise Unknown(f"which computes in {operation.compute_dtype}")
            if getattr(operation, "quantization_mode", None) or getattr(
                operation, "lora_enabled", False
            ):
                raise Unknown("which is quantized, or adapted by LoRA")
            return KINDS[kind](Node(self._graph, operation, operands, shape))
        except Unknown as error:
            self._faults[kind] = str(error)
            return self._graph.add("Identity", "images")  # of a graph that is never used


def _is_tensor(given: Any) -> bool:
    return isinstance(given, dict) and given.get("class_name") == "__keras_tensor__"


def _place(tensor: dict[str, Any]) -> tuple[str, int, int]:
    name, number, index = tensor["config"]["keras_history"]
    return name, number, index


def _tensors(given: Any) -> Iterator[dict[str, Any]]:
    for each in given:
        if _is_tensor(each):
            yield each
        elif isinstance(each, list | tuple):
            yield from _tensors(each)


def _listed(places: Any) -> list[Any]:
    """Return a list of places, of which Keras writes a single one without a list around it."""
    return [places] if isinstance(places[0], str) else list(places)
