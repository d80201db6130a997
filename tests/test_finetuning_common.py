"""scikit-learn's own checks of the fine-tuned estimators, with no expected failures."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils import estimator_checks as checks

from sktransfer import VGGClassifier, VGGRegressor

# As for the extractor: the checks feed tables of any numbers, whose reading is rightly doubted.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning"),
    pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning"),
]

Tuned = VGGClassifier | VGGRegressor


def _make(kind: type[Tuned], layer: str = "block1_pool", **params: Any) -> Tuned:
    params = {"input_size": 32, "random_state": 0, "epochs": 12, "head_epochs": 8} | params
    return kind(layer, weights=None, **params)


INSTANCES: dict[str, Tuned] = {
    "classifier-frozen": _make(VGGClassifier),
    "classifier-hidden": _make(
        VGGClassifier, "block2_pool", pooling="max", hidden_layer_sizes=(16,), architecture="vgg19"
    ),
    "classifier-unfrozen": _make(VGGClassifier, unfreeze="block1_conv2", epochs=2, batch_size=64),
    "regressor-frozen": _make(VGGRegressor),
    "regressor-unfrozen": _make(VGGRegressor, unfreeze="block1_conv2", epochs=2, batch_size=64),
}


@pytest.mark.parametrize("name", INSTANCES)
def test_check_estimator(name: str) -> None:
    results = checks.check_estimator(INSTANCES[name], on_fail=None, on_skip=None)
    not_passed = {
        result["check_name"]: (result["status"], str(result["exception"]))
        for result in results
        if result["status"] != "passed"
    }
    # The one check that scikit-learn skips is about its experimental array API.
    not_passed.pop("check_array_api_input", None)
    assert not not_passed
    assert len(results) > 50
