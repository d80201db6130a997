"""Passages: places of a Keras model at which a single tensor passes, where it can be cut."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

#: The call of a layer, by its name and the number of the call.
_Call = tuple[str, int]


@dataclass(frozen=True)
class Passage:
    """A place at which a single tensor passes.

    Attributes
    ----------
    before : str
        Name of the layer that gives the tensor, by which everything before is computed.
    behind : tuple of str
        Names of the layers and operations that take it and nothing else.
    """

    before: str
    behind: tuple[str, ...]


def find_passages(model: Any) -> list[Passage]:
    """Find all places of a functional model from its input on, whose layers all lead to its output.

    They are the articulation points of its graph. As all calls but one lie before or behind such a
    place, they do so in any order in which no call comes before what it takes.
    """
    taken = {
        (layer["name"], number): set(_list_tensors(call))
        for layer in model.get_config()["layers"]
        for number, call in enumerate(layer["inbound_nodes"])
    }
    before = {call: {tensor[:2] for tensor in tensors} for call, tensors in taken.items()}
    order: list[_Call] = list(TopologicalSorter(before).static_order())
    last = {tensor: i for i, call in enumerate(order) for tensor in taken.get(call, ())}
    passages, passing = [], set()
    for i, call in enumerate(order[:-1]):
        passing |= {tensor for tensor in last if tensor[:2] == call}
        passing = {tensor for tensor in passing if last[tensor] > i}
        if len(passing) == 1 and (*call, 0) in passing:
            behind = dict.fromkeys(name for name, n in order if taken.get((name, n)) == passing)
            passages.append(Passage(call[0], tuple(behind)))
    return passages


def _list_tensors(part: Any) -> Iterator[tuple[str, int, int]]:
    """List the tensors in what Keras records of a call."""
    if isinstance(part, dict):
        history = part.get("config", {}) if part.get("class_name") == "__keras_tensor__" else {}
        if "keras_history" in history:
            name, number, index = history["keras_history"]
            yield name, number, index
        else:
            for each in part.values():
                yield from _list_tensors(each)
    elif isinstance(part, list | tuple):
        for each in part:
            yield from _list_tensors(each)
