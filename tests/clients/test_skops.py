"""skops: files of fitted estimators, loaded in a fresh process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, LABELS, extractor
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    SKOPS_TYPES,
    FeatureStore,
    ImageClassifier,
    ImageFeatureExtractor,
    ImageRegressor,
    VGGClassifier,
    VGGRegressor,
)

skops = pytest.importorskip("skops.io", reason="skops is not installed")
LIBRARY = "skops"
TRIED = "`skops.io.dump` and `load` of pipelines and fine-tuned networks, in a fresh process"

PARAMS: dict[str, Any] = {"weights": None, "pooling": "avg", "input_size": 32, "random_state": 0}
TUNED = PARAMS | {"epochs": 1, "head_epochs": 1}
MODELS = {
    "pipeline": lambda folder: make_pipeline(extractor(), LogisticRegression()),
    "store": lambda folder: make_pipeline(
        extractor(cache=FeatureStore(folder / "store")), LogisticRegression()
    ),
    "mapping": lambda folder: make_pipeline(
        extractor("block1_conv1").set_params(
            weights={"block1_conv1": (np.ones((3, 3, 3, 64)), np.zeros(64))}
        ),
        LogisticRegression(),
    ),
    "another network": lambda folder: make_pipeline(
        ImageFeatureExtractor("MobileNetV2", weights=None, input_size=32, random_state=0),
        LogisticRegression(),
    ),
    "classifier": lambda folder: VGGClassifier("block1_pool", **TUNED),
    "classifier of another network": lambda folder: ImageClassifier(
        "MobileNetV2", "block_2_add", unfreeze="block_2", **TUNED
    ),
    "regressor of another network": lambda folder: ImageRegressor(
        "MobileNetV2", "block_2_add", **TUNED
    ),
    "regressor": lambda folder: VGGRegressor("block1_pool", unfreeze="block1_conv2", **TUNED),
}

LOAD = """
import sys
import numpy as np, skops.io
from sktransfer import SKOPS_TYPES
model = skops.io.load(sys.argv[1], trusted=list(SKOPS_TYPES))
np.save(sys.argv[3], model.predict(np.load(sys.argv[2])))
"""


@pytest.mark.parametrize("name", MODELS)
def test_round_trips(name: str, tmp_path: Path) -> None:
    model = MODELS[name](tmp_path).fit(COLOUR, LABELS)
    path = tmp_path / "model.skops"
    skops.dump(model, path)
    assert set(skops.get_untrusted_types(file=path)) <= set(SKOPS_TYPES)
    np.save(tmp_path / "X.npy", COLOUR)
    arguments = [str(tmp_path / each) for each in ("model.skops", "X.npy", "y.npy")]
    subprocess.run([sys.executable, "-c", LOAD, *arguments], check=True)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model.predict(COLOUR))


def test_the_types_exist_and_run_no_code_when_loaded() -> None:
    for name in SKOPS_TYPES:
        module, _, kind = name.rpartition(".")
        found = getattr(__import__(module, fromlist=[kind]), kind)
        if module.startswith("sktransfer"):
            assert "__reduce__" not in vars(found), name


def test_an_extractor_with_tuned_weights(tmp_path: Path) -> None:
    tuned = VGGClassifier("block1_pool", unfreeze="block1_conv2", **TUNED).fit(COLOUR, LABELS)
    found = tuned.to_extractor()
    skops.dump(found, tmp_path / "model.skops")
    loaded = skops.load(tmp_path / "model.skops", trusted=list(SKOPS_TYPES))
    np.testing.assert_array_equal(loaded.transform(COLOUR), found.transform(COLOUR))
