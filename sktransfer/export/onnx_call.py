"""A call of a Keras layer that is to be written as ONNX nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.export.onnx_graph import Graph


@dataclass(frozen=True)
class Value:
    """A tensor: its name in the graph, and its shape in Keras, without that of the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_map(self) -> bool:
        """Whether it has rows, columns and channels, and is held channels first."""
        return len(self.shape) == 3


class Unknown(Exception):
    """Why a layer cannot be written."""


@dataclass(frozen=True)
class Node:
    """A call of a layer: what it reads, what else it was given, and what comes out."""

    graph: Graph
    layer: Any
    operands: list[Any]
    shape: tuple[int, ...]

    def __getattr__(self, name: str) -> Any:
        """Return what the layer says of itself."""
        return getattr(self.layer, name)

    @property
    def given(self) -> Value:
        """The only tensor that it reads."""
        tensors = [each for each in self.operands if isinstance(each, Value)]
        self.need(len(tensors) == 1, f"{len(tensors)} tensors")
        return tensors[0]

    @property
    def is_map(self) -> bool:
        """Whether the result is held channels first."""
        return len(self.shape) == 3

    @property
    def axes(self) -> set[int]:
        """The axes that the layer works along, counted from that of the batch."""
        axes = self.layer.axis if isinstance(self.layer.axis, list | tuple) else [self.layer.axis]
        rank = len(self.operands[0].shape) + 1
        return {axis % rank for axis in axes if axis is not None}

    def weight(self, name: str) -> np.ndarray:
        """Return one of its weights."""
        for variable, values in zip(self.layer.weights, self.layer.get_weights(), strict=True):
            if variable.name == name:
                return values
        raise Unknown(f"it has no weight {name!r}")

    def need(self, is_so: bool, what: str) -> None:
        """Check what is written here of all that Keras can do."""
        if not is_so:
            raise Unknown(what)

    def need_channels_last(self) -> None:
        """Check that channels come last in Keras."""
        self.need(getattr(self.layer, "data_format", None) != "channels_first", "channels first")

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node of ONNX."""
        return self.graph.add(kind, *inputs, **attributes)

    def channels(self, values: Any) -> str:
        """Add one value per channel, or one for all, to be combined with the tensor read."""
        values = np.ravel(np.asarray(values, np.float64))
        shape = (-1, 1, 1) if self.given.is_map and values.size > 1 else (-1,)
        return self.graph.constant(values.reshape(shape))

    def last(self, value: Value) -> str:
        """Lay a tensor out as in Keras."""
        if value.is_map:
            return self.add("Transpose", value.name, perm=[0, 2, 3, 1])
        return value.name

    def from_last(self, name: str) -> str:
        """Hold what lies as in Keras as it is held here."""
        return self.add("Transpose", name, perm=[0, 3, 1, 2]) if self.is_map else name
