"""Weights as a small HDF5 file that Keras and other readers can read unchanged.

Kernels may be rounded to multiples of a power of two, and stay float32: what is rounded away
becomes zero. HDF5 has filters, shuffle and deflate, that make a small file of this, and every
reader undoes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.files.parts import whole
from sktransfer.weights import Weights

#: Not all fixed-point numbers of more bits are float32 numbers.
MAX_BITS = 24
# Level 9 takes eight times as long, and makes the file 2 % smaller.
_LEVEL = 4


def round_weights(weights: Weights, bits: int | None) -> Weights:
    """Round kernels to so many bits of fixed point, each output channel to its own step.

    For the same size of file this errs less than half as much as fewer bits of mantissa do, which
    spend as many on the smallest weights as on the largest.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.training.pretraining.storage import round_weights
    >>> kernel = np.array([[0.9, 90.0], [-0.3, 1.0]], np.float32)
    >>> round_weights({"fc1": (kernel, np.zeros(2, np.float32))}, bits=3)["fc1"][0]
    array([[ 1.  , 96.  ],
           [-0.25,  0.  ]], dtype=float32)
    """
    if bits is None:
        return weights
    return {name: (_round(kernel, bits), bias) for name, (kernel, bias) in weights.items()}


def _round(kernel: np.ndarray, bits: int) -> np.ndarray:
    largest = np.abs(kernel).max(axis=tuple(range(kernel.ndim - 1)))
    _, exponent = np.frexp(largest)  # the largest is less than 2 ** exponent
    step = np.ldexp(np.float32(1), np.maximum(exponent - (bits - 1), -126))
    # Dividing and multiplying by powers of two is exact.
    return np.rint(kernel / step) * step


def write_weights(path: str | os.PathLike, weights: Weights, attributes: Mapping[str, Any]) -> None:
    """Write weights in the layout of Keras' own files without dense layers.

    Parameters
    ----------
    path : path-like
        The file, which is there as a whole or not at all; another of this name is an error.
    weights : dict of str to tuple of ndarray
        Kernel and bias by layer name, in the order of the network.
    attributes : mapping of str to object
        What the root records beside them.
    """
    import h5py

    with whole(Path(path), is_new=True) as part, h5py.File(part, "w") as file:
        file.attrs["layer_names"] = np.array([name.encode() for name in weights])
        # Keras before 3 would take a file that does not say so for one of its first version.
        file.attrs["keras_version"] = b"2"
        file.attrs["backend"] = b"tensorflow"
        for name, value in attributes.items():
            file.attrs[name] = value
        for name, pair in weights.items():
            group = file.create_group(name)
            names = [f"{name}/{kind}:0" for kind in ("kernel", "bias")]
            group.attrs["weight_names"] = np.array([each.encode() for each in names])
            for each, values in zip(names, pair, strict=True):
                # One chunk, since it is read as a whole or not at all.
                group.create_dataset(
                    each,
                    data=values.astype("<f4", copy=False),
                    chunks=values.shape,
                    shuffle=True,
                    compression="gzip",
                    compression_opts=_LEVEL,
                )
