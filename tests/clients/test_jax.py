"""Arrays of JAX."""

from __future__ import annotations

import numpy as np
import pytest
from clients.cases import COLOUR, assert_same

jax = pytest.importorskip("jax", reason="jax is not installed")
LIBRARY = "jax"
TRIED = "arrays, also in bfloat16"


def test_arrays() -> None:
    assert_same(jax.numpy.asarray(COLOUR))
    assert_same([jax.numpy.asarray(image) for image in COLOUR])


def test_narrow_floats_have_their_values() -> None:
    narrow = jax.numpy.asarray(COLOUR / 255, dtype="bfloat16")
    assert_same(narrow, np.asarray(narrow.astype("float32")))
