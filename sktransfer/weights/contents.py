"""The contents of a weights file, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sktransfer.files.hdf5 import ArrayFacts
from sktransfer.weights.arrays import Weights

#: What a file calls the size that its network was trained at, and how its pixels were scaled.
INPUT_SIZE = "input_size"
PREPROCESSING = "preprocessing"


@dataclass(frozen=True)
class Contents:
    """The content of a weights file.

    Attributes
    ----------
    names : list of str
        The first names of its root.
    attributes : dict of str to object
        Those of its root that were asked for and are there: numbers and text, and of others a
        dictionary with their `repr`.
    found : dict of str to list of ArrayFacts
        Shapes and types of the arrays of VGG's layers.
    arrays : dict of str to tuple of ndarray
        Kernel and bias of the layers that were asked for, in float32: of all or of none.
    """

    names: list[str]
    attributes: dict[str, Any]
    found: dict[str, list[ArrayFacts]]
    arrays: Weights
