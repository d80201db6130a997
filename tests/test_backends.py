"""The same features on Keras' other backends, where they are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from differences import relative_error
from interpreter import run_python

_VGG = """
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

_NETWORK = """
import sys
import keras
import numpy as np
from sktransfer import ImageFeatureExtractor

export, exported = keras.Model.export, []

def record(self, path, format, **params):
    exported.append(format)
    return export(self, path, format=format, **params)

keras.Model.export = record
X = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
found = {}
for engine in sys.argv[2:]:
    extractor = ImageFeatureExtractor(
        "MobileNetV2", ["block_2_add", "out_relu"], pooling=["avg", None], weights=None,
        input_size=32, random_state=0, engine=engine, cache=None,
    ).fit(X)
    found[f"{engine} together"] = extractor.transform(X)
    found[f"{engine} alone"] = np.concatenate([extractor.transform(X[i : i + 1]) for i in range(5)])
np.savez(sys.argv[1], **found)
print(keras.config.backend(), *exported)
"""

_CLASSIFIER = """
import sys
import keras
import numpy as np
from sktransfer import ImageClassifier
X = np.random.default_rng(0).integers(0, 120, (16, 32, 32, 3), dtype=np.uint8)
y = np.arange(16) % 2
X[y == 0] += 120
params = dict(weights=None, input_size=32, random_state=0, epochs=2, pooling="avg", cache=None)
before, model = (
    ImageClassifier("MobileNetV2", "block_2_add", unfreeze=unfreeze, **params).fit(X, y)
    for unfreeze in (None, "block_2")
)
shares = model.predict_proba(X)
inputs = X / np.float32(127.5) - 1
np.savez(
    sys.argv[1],
    shares=shares,
    predicted=keras.ops.convert_to_numpy(model.to_keras().predict(inputs, verbose=0)),
    right=[model.score(X, y)],
    moved=[np.abs(model.transform(X) - before.transform(X)).max()],
)
print(keras.config.backend())
"""


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> str:
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def _run(code: str, backend: str, folder: Path, *engines: str) -> tuple[dict, list[str]]:
    """Return the arrays that code writes, and the words that it prints after the backend."""
    path = folder / f"{backend}.npz"
    printed = run_python(code, path, *engines, KERAS_BACKEND=backend).split()
    assert printed[0] == backend
    with np.load(path) as archive:
        return dict(archive), printed[1:]


def test_other_backends_agree(backend: str, tmp_path: Path) -> None:
    reference = _run(_VGG, "tensorflow", tmp_path)[0]["together"]
    features, _ = _run(_VGG, backend, tmp_path)
    assert relative_error(features["together"], reference) < 1e-5
    scale = np.abs(reference).max()
    np.testing.assert_allclose(features["alone"], features["together"], atol=1e-5 * scale)


def test_any_network_on_other_backends(backend: str, tmp_path: Path) -> None:
    engines = ["keras"]
    if importlib.util.find_spec("openvino") is not None:
        engines.append("openvino")
    reference, exported = _run(_NETWORK, "tensorflow", tmp_path, "keras")
    assert exported == []
    features, exported = _run(_NETWORK, backend, tmp_path, *engines)
    # OpenVINO gets the network by Keras' own export there.
    assert exported == ["openvino"] * (len(engines) - 1)
    for engine in engines:
        together, alone = (features[f"{engine} {how}"] for how in ("together", "alone"))
        assert relative_error(together, reference["keras together"]) < 1e-5
        if engine == "openvino":
            np.testing.assert_array_equal(alone, together)
        else:
            np.testing.assert_allclose(alone, together, atol=1e-5 * np.abs(together).max())


def test_a_network_is_trained_on_other_backends(backend: str, tmp_path: Path) -> None:
    found, _ = _run(_CLASSIFIER, backend, tmp_path)
    np.testing.assert_allclose(found["shares"], found["predicted"], atol=1e-4)
    np.testing.assert_allclose(found["shares"].sum(axis=1), 1, atol=1e-5)
    assert found["right"] == 1
    assert found["moved"] > 1e-4
