"""The modules of a network of timm as layers, as they are seen while images pass through it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sktransfer.networks.graph import NetworkLayer
from sktransfer.networks.outputs import as_shape

#: What timm calls the output of a network without its classifier.
EMBEDDING_LAYER = "pre_logits"
# While shapes are found out: no other dimension is likely to be the same.
_PROBE_IMAGES = 2
# Where the channels of a map stand, as timm writes it.
_FIRST, _LAST = "NCHW", "NHWC"


@dataclass(frozen=True)
class Modules:
    """What was seen of the modules of a network.

    Attributes
    ----------
    layers : tuple of NetworkLayer
        Those that ran once and gave one tensor, in the order in which they ended, with the
        network's own output at the end.
    channels_first : frozenset of str
        Those of them that give maps with the channels first.
    unclear : dict of str to tuple of int
        The shapes of those that gave three dimensions for an image of which it is not known where
        the channels stand.
    """

    layers: tuple[NetworkLayer, ...]
    channels_first: frozenset[str]
    unclear: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class _Seen:
    """What one module gave for each image, and what was used and counted on the way to it."""

    module: Any
    shape: tuple[int, ...]
    parameters: tuple[Any, ...]
    multiply_adds: int


class _Counter:
    """Parameters that were used for the first time, and multiply-adds, since the last look."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._parameters: list[Any] = []
        self._multiply_adds = 0

    def add(self, func: Callable, args: tuple, kwargs: Mapping[str, Any], result: Any) -> None:
        """Count what a function of PyTorch used, whatever module called it."""
        import torch

        for each in _flatten((*args, *kwargs.values())):
            if isinstance(each, torch.nn.Parameter) and id(each) not in self._known:
                self._known.add(id(each))
                self._parameters.append(each)
        if getattr(func, "__name__", "") in ("conv2d", "linear"):
            weight = kwargs["weight"] if "weight" in kwargs else args[1]
            self._multiply_adds += weight.numel() * result.numel() // weight.shape[0]

    def take(self) -> tuple[tuple[Any, ...], int]:
        """Return what was counted for one image, and begin anew."""
        counts = tuple(self._parameters), self._multiply_adds // _PROBE_IMAGES
        self._parameters, self._multiply_adds = [], 0
        return counts


def _flatten(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flatten(value)
        else:
            yield value


def copy_modules(model: Any) -> Any:
    """Return a network of its own modules, which may have hooks, and the same tensors."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(each): each for each in tensors})


def watch(model: Any, input_size: int | tuple[int, int]) -> Modules:
    """Let images pass through a network, and see what its modules give."""
    seen, repeated = _run(model, input_size)
    layouts = _find_layouts(seen, model, as_shape(input_size))
    unclear = {name: seen[name].shape for name, layout in layouts.items() if layout is None}
    listed = {name: each for name, each in seen.items() if name not in repeated | unclear.keys()}
    n_parameters, multiply_adds = _share(seen, listed, model)
    layers = []
    for name, each in listed.items():
        shape = each.shape
        if layouts.get(name) == _FIRST:
            shape = (*shape[1:], shape[0])
        counts = n_parameters[name], multiply_adds[name]
        layers.append(NetworkLayer(name, type(each.module).__name__, shape, *counts))
    first = frozenset(name for name, layout in layouts.items() if layout == _FIRST)
    return Modules(tuple(layers), first, unclear)


def _share(
    seen: Mapping[str, _Seen], listed: Container[str], model: Any
) -> tuple[Counter[str], Counter[str]]:
    """Share parameters and multiply-adds out among layers.

    A parameter counts with the module that holds it; where that is no layer, as the network itself,
    which holds class token and positions, with the next layer that ends, which needs it.
    """
    holders = {
        id(each): name
        for name, module in model.named_modules()
        for each in module.parameters(recurse=False)
    }
    n_parameters, multiply_adds = Counter[str](), Counter[str]()
    waiting: list[_Seen] = []
    for name, each in seen.items():
        waiting.append(each)
        if name in listed:
            for one in waiting:
                multiply_adds[name] += one.multiply_adds
                for parameter in one.parameters:
                    holder = holders.get(id(parameter), "")
                    n_parameters[holder if holder in listed else name] += parameter.numel()
            waiting = []
    if EMBEDDING_LAYER in listed:  # with what never ran
        n_all = sum(each.numel() for each in model.parameters())
        n_parameters[EMBEDDING_LAYER] += n_all - n_parameters.total()
    return n_parameters, multiply_adds


def _run(model: Any, input_size: int | tuple[int, int]) -> tuple[dict[str, _Seen], set[str]]:
    """Return what each module gave, in the order in which they ended, and which ran repeatedly."""
    import torch
    from torch.overrides import TorchFunctionMode

    counter, seen = _Counter(), dict[str, _Seen]()
    n_calls: Counter[str] = Counter()

    class Counting(TorchFunctionMode):
        def __torch_function__(
            self, func: Callable, types: Any, args: tuple = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            counter.add(func, args, kwargs or {}, result)
            return result

    def listen(name: str) -> Callable:
        def see(module: Any, given: Any, output: Any) -> None:
            n_calls[name] += 1
            shape = tuple(output.shape) if isinstance(output, torch.Tensor) else ()
            if n_calls[name] == 1 and 2 <= len(shape) <= 4 and shape[0] == _PROBE_IMAGES:
                seen[name] = _Seen(module, shape[1:], *counter.take())

        return see

    own = copy_modules(model)
    for name, module in own.named_modules():
        if name != EMBEDDING_LAYER:  # as some networks call a part of what gives it
            module.register_forward_hook(listen(name or EMBEDDING_LAYER))
    with torch.inference_mode(), Counting():
        own(torch.zeros(_PROBE_IMAGES, 3, *as_shape(input_size)))
    return seen, {name for name, n in n_calls.items() if n > 1}


def _find_layouts(
    seen: Mapping[str, _Seen], model: Any, image: tuple[int, int]
) -> dict[str, str | None]:
    """Find for each module that gives maps where its channels stand; None where nothing tells."""
    maps = {name: each for name, each in seen.items() if len(each.shape) == 3}
    readings = {name: _readings(each.shape, image) for name, each in maps.items()}
    found = {name: _layout_of(each.module, readings[name]) for name, each in maps.items()}
    known = {layout for layout in found.values() if layout is not None}
    # Of the ends of stages timm says it; those that say nothing are meant to be as usual.
    infos = getattr(model, "feature_info", None) or ()
    stages = {info.get("module") for info in infos if isinstance(info, Mapping)}
    declared = _LAST if getattr(model, "output_fmt", _FIRST) == _LAST else _FIRST
    for name, layout in found.items():
        if layout is None and len(readings[name]) == 2:
            if name in stages or name == EMBEDDING_LAYER:
                found[name] = declared
            elif len(known) == 1:
                (found[name],) = known
    return found


def _layout_of(module: Any, readings: set[str]) -> str | None:
    """Say where a module's channels stand, by what it is or by the shape that it gives."""
    from torch import nn

    kind = type(module).__name__
    if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
        return _FIRST
    is_last = isinstance(module, nn.Linear | nn.LayerNorm) and "2d" not in kind
    said = _LAST if is_last else getattr(module, "output_fmt", None)
    for layout in readings:
        if layout == said or len(readings) == 1:
            return layout
    return None


def _readings(shape: tuple[int, ...], image: tuple[int, int]) -> set[str]:
    """Say as what a shape can be read: rows and columns are in proportion to the image."""
    grids = {_FIRST: shape[1:], _LAST: shape[:2]}
    return {layout for layout, grid in grids.items() if _is_grid(grid, image)}


def _is_grid(grid: tuple[int, ...], image: tuple[int, int]) -> bool:
    rows, columns = grid
    height, width = image
    if height == width:
        return rows == columns
    # Convolutions without padding lose as many rows as columns.
    return abs(rows * width - columns * height) <= 2 * max(height, width)
