"""The weights of a cut network, read from a file and checked; no layer deeper than the cut."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import numpy as np

from sktransfer.files.hdf5 import ArrayFacts
from sktransfer.networks import ARCHITECTURES, MIN_SIZE, Cut, list_layers
from sktransfer.networks.layers import read_input_size
from sktransfer.networks.outputs import as_shape
from sktransfer.networks.pixels import CAFFE, PixelScaling, read_scaling
from sktransfer.weights.arrays import Weights, wanted_shapes
from sktransfer.weights.contents import INPUT_SIZE, PREPROCESSING, Contents
from sktransfer.weights.files import read_contents

# A single image of this side takes some 25 GB in the first block.
_MAX_SIZE = 10_000


def has_recipe(path: str | os.PathLike) -> bool:
    """Tell whether a weights file records a recipe, as those trained on formulas do."""
    contents = read_contents(path, attributes=["recipe"], who="VGGFeatureExtractor")
    return "recipe" in contents.attributes


def read_weights(path: str | os.PathLike, cut: Cut, *, who: str = "VGGFeatureExtractor") -> Weights:
    """Read the weights of a cut network, and no other array of the file."""
    return _checked_weights(read_contents(path, cut, who=who), cut, os.fspath(path))


def read_weights_and_record(
    path: str | os.PathLike, cut: Cut, *, who: str = "VGGFeatureExtractor"
) -> tuple[Weights, int | tuple[int, int] | None, PixelScaling]:
    """Read the weights of a cut network, and what the file records of how they were trained.

    That is the size of the images, None where it is not there, and the scaling of their pixels.
    """
    contents = read_contents(path, cut, attributes=[INPUT_SIZE, PREPROCESSING], who=who)
    name = os.fspath(path)
    weights = _checked_weights(contents, cut, name)
    return weights, _input_size(contents, name), _scaling(contents, name)


def _checked_weights(contents: Contents, cut: Cut, name: str) -> Weights:
    found = contents.found
    _check_network(found, cut, name)
    _check_complete(found, cut, name, contents.names)
    _check_arrays(found, cut, name)
    weights = contents.arrays
    broken = [
        layer
        for layer, arrays in weights.items()
        # The extremes are NaN where any value is, and need no temporary array.
        if not all(np.isfinite([values.min(), values.max()]).all() for values in arrays)
    ]
    if broken:
        raise ValueError(
            f"The weights in a file must be finite numbers within float32. Got NaN or infinity in "
            f"{', '.join(broken)} of {name!r}: the file is damaged, or the training that made it "
            "has diverged. Pass another file."
        )
    return weights


def _input_size(contents: Contents, name: str) -> int | tuple[int, int] | None:
    recorded = contents.attributes.get(INPUT_SIZE)
    if recorded is None:
        return None
    try:
        # Text is that of height and width; a single number is one in HDF5, too.
        found = json.loads(recorded) if isinstance(recorded, str) else recorded
        size = read_input_size(found, "")
        if max(as_shape(size)) <= _MAX_SIZE and isinstance(found, list) == isinstance(
            recorded, str
        ):
            return size
    except (TypeError, ValueError):
        pass
    shown = recorded["repr"] if isinstance(recorded, dict) else repr(recorded)
    raise ValueError(
        f"The weights file {name!r} must record as its 'input_size' a whole number of pixels from "
        f"{MIN_SIZE} up to {_MAX_SIZE:,}, or height and width in JSON. Got {shown} instead. "
        "Correct the attribute, or set the parameter 'input_size'."
    )


def _scaling(contents: Contents, name: str) -> PixelScaling:
    recorded = contents.attributes.get(PREPROCESSING)
    if recorded is None:
        return CAFFE
    try:
        return read_scaling(json.loads(recorded), "VGGFeatureExtractor")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The weights file {name!r} must record as its 'preprocessing' how pixels were scaled, "
            f"in JSON. Got {recorded!r}: {error} Correct the attribute, or delete it."
        ) from error


def _weighted_names(architecture: str) -> list[str]:
    return [layer.name for layer in list_layers(architecture) if layer.kernel_shape is not None]


def _check_network(found: Mapping[str, list[ArrayFacts]], cut: Cut, name: str) -> None:
    """Tell the other network by its layers, even where the cut ends before the two differ."""
    own = _weighted_names(cut.architecture)
    (other,) = (known for known in ARCHITECTURES if known != cut.architecture)
    foreign = [layer for layer in _weighted_names(other) if layer in found and layer not in own]
    if foreign:
        evidence = f"{foreign[0]}, which {cut.architecture.upper()} does not have"
    elif _is_prefix(found, _weighted_names(other)) and not _is_prefix(found, own):
        first_missing = next(layer for layer in own if layer not in found)
        later = next(layer for layer in own[own.index(first_missing) :] if layer in found)
        evidence = f"{later} but not {first_missing}"
    else:
        return
    raise ValueError(
        f"The weights file must be of {cut.architecture!r}. Got {name!r}, which is of {other!r}: "
        f"it holds {evidence}. Set architecture={other!r}, or pass another file."
    )


def _is_prefix(found: Mapping[str, object], names: list[str]) -> bool:
    return set(found) == set(names[: len(found)])


def _check_complete(found: Mapping[str, object], cut: Cut, name: str, content: list[str]) -> None:
    missing = [layer.name for layer in cut.weighted_layers if layer.name not in found]
    if not missing:
        return
    network = cut.architecture.upper()
    lead = (
        f"A cut at {cut.trunk[-1].name!r} needs the weights of every layer of {network} up to "
        f"there. Got {name!r}, which lacks {', '.join(missing)}"
    )
    if not found:
        held = ", ".join([*map(repr, content[:5]), *["..."] * (len(content) > 5)]) or "nothing"
        raise ValueError(
            f"{lead}: it holds no layer of {network} at all, but {held}. Pass a file "
            "that Keras wrote for keras.applications' network, whose layers keep their names, or "
            "one of PyTorch with the names of torchvision's."
        )
    deepest, stop = None, None
    # A cut is possible at any layer up to the first gap.
    for layer in list_layers(cut.architecture)[1:]:
        if layer.kernel_shape is not None:
            if layer.name not in found:
                break
            deepest = layer.name
        stop = layer.name
    if deepest is None:
        raise ValueError(f"{lead}. Pass a complete file.")
    raise ValueError(
        f"{lead}. It reaches up to {deepest}: cut at {stop!r} or before, or pass a file that "
        "reaches deeper."
    )


def _check_arrays(found: Mapping[str, list[ArrayFacts]], cut: Cut, name: str) -> None:
    """Compare shapes and types before anything is read, and name every layer that is wrong."""
    faults = []
    for layer in cut.weighted_layers:
        arrays, wanted = found[layer.name], wanted_shapes(layer)
        if [array.shape for array in arrays] != wanted:
            shapes = " and ".join(str(array.shape) for array in arrays) or "none"
            faults.append(f"{layer.name} {shapes} instead of {wanted[0]} and {wanted[1]}")
        elif not all(array.is_float for array in arrays):
            types = " and ".join(array.dtype for array in arrays)
            faults.append(f"{layer.name} of type {types} instead of float")
    if faults:
        raise ValueError(
            f"The weights file must hold one kernel and one bias for each layer of "
            f"{cut.architecture.upper()}, of the network's shapes. Got in {name!r}: "
            f"{'; '.join(faults)}. Pass a file of the unchanged network, or cut before these "
            "layers."
        )
