"""The same features on Keras' other backends, where they are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from interpreter import run_python

_CODE = """
import sys
import numpy as np
from sktransfer import VGGFeatureExtractor
X = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
extractor = VGGFeatureExtractor(
    ["block2_pool", "flatten"], weights=None, input_size=32, random_state=0, cache=None
).fit(X)
together = extractor.transform(X)
alone = np.concatenate([extractor.transform(X[i : i + 1]) for i in range(5)])
np.savez(sys.argv[1], together=together, alone=alone)
import keras
print(keras.config.backend())
"""


def _features(backend: str, folder: Path) -> dict[str, np.ndarray]:
    path = folder / f"{backend}.npz"
    assert run_python(_CODE, path, KERAS_BACKEND=backend).strip() == backend
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends_agree(backend: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    reference = _features("tensorflow", tmp_path)["together"]
    features = _features(backend, tmp_path)
    error = np.linalg.norm(features["together"] - reference) / np.linalg.norm(reference)
    assert error < 1e-5
    scale = np.abs(reference).max()
    np.testing.assert_allclose(features["alone"], features["together"], atol=1e-5 * scale)
