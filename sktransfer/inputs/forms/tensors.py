"""Tensors of TensorFlow, PyTorch and JAX as NumPy arrays, or as lists of what they hold."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

# Types of floats that NumPy knows by the package ml_dtypes only, each a part of float32.
_NARROW_FLOATS = ("bfloat16", "float8")


def is_tensor(X: Any) -> bool:
    """Tell whether something is a tensor of a framework, which is imported then."""
    return _is("torch", ("Tensor",), X) or is_tensorflow(X) or _is("jax", ("Array",), X)


def is_tensorflow(X: Any) -> bool:
    """Tell whether something is a tensor of TensorFlow."""
    return _is("tensorflow", ("Tensor", "RaggedTensor"), X)


def _is(module: str, names: tuple[str, ...], X: Any) -> bool:
    loaded = sys.modules.get(module)
    kinds = tuple(getattr(loaded, name) for name in names if hasattr(loaded, name))
    return bool(kinds) and isinstance(X, kinds)


def to_array(X: Any) -> Any:
    """Return the values of a tensor on the processor; of ragged and string tensors a list."""
    if _is("tensorflow", ("RaggedTensor",), X):
        return [_rectangle(image) for image in X]
    if _is("torch", ("Tensor",), X):
        X = X.detach().cpu()
        if str(X.dtype) == "torch.bfloat16" or "float8" in str(X.dtype):
            X = X.float()
        return X.numpy()
    if not is_tensorflow(X):
        return widen(np.asarray(X))
    if not hasattr(X, "numpy"):
        raise TypeError("inside of tf.function tensors have no values: compute features outside")
    values = X.numpy()
    if isinstance(values, bytes):  # as an array of NumPy's it would lose zeros at its end
        return name_or_content(values)
    if values.dtype.kind == "O":
        return [name_or_content(item) for item in values.reshape(-1)]
    return widen(values)


def widen(array: np.ndarray) -> np.ndarray:
    """Make float32 of floats that NumPy itself does not know. All their values stay the same."""
    is_narrow = array.dtype.kind == "V" and array.dtype.name.startswith(_NARROW_FLOATS)
    return array.astype(np.float32) if is_narrow else array


def name_or_content(text: bytes) -> str | bytes:
    """Tell a path from the content of a file: TensorFlow's strings are of one type for both.

    No path has a zero byte, and the header of every usual image file has one.
    """
    return text if b"\0" in text else text.decode("utf-8", "surrogateescape")


def _rectangle(image: Any) -> np.ndarray:
    """Return one image of a ragged tensor, whose own rows must be of one length."""
    if not hasattr(image, "row_lengths"):
        return np.asarray(image)
    lengths = np.unique(np.asarray(image.row_lengths()))
    if len(lengths) > 1:
        raise ValueError(
            f"an image in a ragged tensor has rows of {lengths[0]} to {lengths[-1]} pixels: all "
            "rows of an image must have one length"
        )
    return np.asarray(image.to_tensor())
