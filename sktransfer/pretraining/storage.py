"""Weights as a small HDF5 file that Keras and every other reader takes as it is.

Values may be rounded to few bits of mantissa, and stay float32: what is rounded away is zero. HDF5
has filters, shuffle and deflate, that turn this into a small file, and every reader undoes them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.weights import Weights

#: Bits of mantissa that float32 has.
MANTISSA_BITS = 23
# Level 9 takes eight times as long, and makes the file 2 % smaller.
_LEVEL = 4


def round_mantissa(values: np.ndarray, bits: int) -> np.ndarray:
    """Round float32 values to few bits of mantissa: to the nearest, ties to even.

    Parameters
    ----------
    values : ndarray
        Finite float32 values. Never changed.
    bits : int
        Bits that are kept, besides the leading one that float32 does not write: 1 to 23.

    Returns
    -------
    ndarray
        float32 of the same shape. No value is off by more than ``2 ** -(bits + 1)`` of itself.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.pretraining.storage import round_mantissa
    >>> round_mantissa(np.array([1.1, -0.3, 0.0], np.float32), bits=2)
    array([ 1.   , -0.3125,  0.   ], dtype=float32)
    """
    dropped = MANTISSA_BITS - bits
    pattern = np.ascontiguousarray(values, np.float32).view(np.uint32)
    if not dropped:
        return pattern.view(np.float32).copy()
    # Half a step is added, less one bit where the kept part is even: a tie then stays below.
    half = np.uint32((1 << (dropped - 1)) - 1)
    rounded = pattern + half + ((pattern >> np.uint32(dropped)) & np.uint32(1))
    return ((rounded >> np.uint32(dropped)) << np.uint32(dropped)).view(np.float32)


def write_weights(path: str | os.PathLike, weights: Weights, attributes: Mapping[str, Any]) -> None:
    """Write weights in the layout of Keras' own files without dense layers.

    Parameters
    ----------
    path : path-like
        The file, which is replaced at once or not at all.
    weights : dict of str to tuple of ndarray
        Kernel and bias by layer name, in the order of the network.
    attributes : mapping of str to object
        What the root records beside them.
    """
    import h5py

    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(part, "w") as file:
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
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
