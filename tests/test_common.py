"""scikit-learn's own checks over a table of instances, with no expected failures."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from sklearn.utils import estimator_checks as checks

from sktransfer import FeatureStore, LayerSearchCV, VGGFeatureExtractor
from sktransfer.engines.choice import PRECISIONS_OF, is_installed
from sktransfer.engines.processor import has_instructions

# The checks feed tables of 1 to 10 columns of any numbers: strips, tiny RGB squares, negative
# values. The guesses that this calls for are warned of, as they should be.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning"),
    # The set_output checks fit on frames and transform arrays, and tell scikit-learn's own runner,
    # not pytest, to overlook this.
    pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning"),
]


def _random(layer: str | list[str], **params: object) -> VGGFeatureExtractor:
    params = {"input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


INSTANCES = {
    "vgg16-flatten": _random("flatten"),
    "vgg19-flatten": _random("flatten", architecture="vgg19"),
    "vgg16-early-flat": _random("block1_pool"),
    "vgg16-conv-flat": _random("block2_conv1"),
    "vgg16-avg": _random("block2_pool", pooling="avg"),
    "vgg19-max": _random("block3_pool", architecture="vgg19", pooling="max"),
    "several-layers": _random(["block2_pool", "block1_conv2"], pooling="max"),
    "several-mixed": _random(["block1_pool", "block3_conv1"], architecture="vgg19"),
    "range-and-size": _random(
        "block1_pool", pooling="avg", value_range=(-8, 8), input_size=48, batch_size=3
    ),
    "inverted-range": _random("block1_pool", pooling="max", value_range=(10.0, -10.0)),
    "resizing": _random(
        "block1_conv1", pooling="avg", aspect="pad", interpolation="bicubic", antialias=True
    ),
    "crop-nearest": _random("block1_pool", pooling="avg", aspect="crop", interpolation="nearest"),
}
ENGINES = {
    f"{engine}-{precision}": _random(
        "block2_pool", pooling="avg", engine=engine, precision=precision
    )
    for engine, precisions in PRECISIONS_OF.items()
    for precision in precisions
    if precision != "float16"  # slow on processors
}


def _search(last: BaseEstimator, cache: str | None, **params: object) -> LayerSearchCV:
    # Next to zero, float32 rounds by more than one of the checks allows a classifier.
    exact = FunctionTransformer(np.asarray, kw_args={"dtype": np.float64})
    pipeline = make_pipeline(_random("block1_conv1", cache=cache), exact, StandardScaler(), last)
    params = {"layers": ["block1_conv1"], "poolings": ["avg"], "input_sizes": [32]} | params
    return LayerSearchCV(pipeline, cv=2, error_score="raise", **params)


_CLASSIFIER = LogisticRegression(solver="newton-cholesky")
SEARCHES = {
    "search-classifier": _search(_CLASSIFIER, "temporary", poolings=["avg", "max"]),
    "search-regressor": _search(DecisionTreeRegressor(random_state=0), None),
    "search-grid": _search(_CLASSIFIER, None, param_grid={"logisticregression__C": [1.0]}),
}
TRAINED = {
    "trained-vgg16": ("vgg16_blocks", {"layer": "block2_pool", "pooling": "avg"}),
    "trained-vgg19": ("vgg19_blocks", {"layer": "block3_pool", "architecture": "vgg19"}),
}


def _trained(name: str, request: pytest.FixtureRequest) -> VGGFeatureExtractor:
    fixture, params = TRAINED[name]
    weights = request.getfixturevalue(fixture)
    return VGGFeatureExtractor(weights=str(weights), input_size=32, cache=None, **params)


# Hits compared with themselves prove little, so that these are few, and the others keep nothing.
STORED = {
    "temporary-store": _random("block1_pool", pooling="avg", cache="temporary"),
    "several-layers-stored": _random(["block2_pool", "block1_conv2"], cache="temporary"),
}


@pytest.mark.parametrize("name", [*INSTANCES, *ENGINES, *SEARCHES, *TRAINED, *STORED, "kept-store"])
def test_check_estimator(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    if name == "kept-store":
        estimator = _random("block2_pool", pooling="max", cache=FeatureStore(tmp_path))
    else:
        estimator = (INSTANCES | ENGINES | SEARCHES | STORED).get(name) or _trained(name, request)
    if not is_installed(estimator.engine if name in ENGINES else "keras"):
        pytest.skip(f"{estimator.engine} is not installed")
    if name in ENGINES and not has_instructions(estimator.precision):
        pytest.skip(f"this processor has no instructions for {estimator.precision}")
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {
        result["check_name"]: result["status"] for result in results if result["status"] != "passed"
    }
    # The one check that scikit-learn skips is about its experimental array API, and is run below.
    not_passed.pop("check_array_api_input", None)
    assert not not_passed
    assert len(results) > 40


MORE_CHECKS = [
    checks.check_param_validation,
    checks.check_set_output_transform_pandas,
    checks.check_set_output_transform_polars,
    checks.check_global_output_transform_pandas,
    checks.check_global_set_output_transform_polars,
    checks.check_set_output_transform,
    checks.check_transformer_get_feature_names_out,
    checks.check_transformer_get_feature_names_out_pandas,
    checks.check_dataframe_column_names_consistency,
    checks.check_inplace_ensure_writeable,
]


@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", ["vgg16-avg", "several-layers", "vgg16-conv-flat"])
def test_further_checks(name: str, check) -> None:
    check("VGGFeatureExtractor", INSTANCES[name])


@pytest.mark.parametrize(
    "check",
    [checks.check_param_validation, checks.check_dataframe_column_names_consistency],
    ids=lambda check: check.__name__,
)
def test_further_checks_of_the_search(check) -> None:
    check("LayerSearchCV", SEARCHES["search-classifier"])


def test_array_api_check_is_not_skipped_for_a_failure() -> None:
    """With SciPy's switch on, the array API check passes or says that it does not apply."""
    code = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from sklearn.utils.estimator_checks import check_estimator\n"
        "from sktransfer import VGGFeatureExtractor\n"
        "e = VGGFeatureExtractor('block1_conv1', weights=None, pooling='avg', input_size=32,\n"
        "                        random_state=0, cache=None)\n"
        "print([r['status'] for r in check_estimator(e, on_fail=None, on_skip=None)\n"
        "       if r['status'] not in ('passed', 'skipped')])\n"
    )
    env = os.environ | {"SCIPY_ARRAY_API": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr
