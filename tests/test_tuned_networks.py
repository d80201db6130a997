"""Fine-tuned estimators where extractors are taken: used rightly, or refused with the cure."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import (
    ArchitectureDisplay,
    EmbeddingDisplay,
    FeatureMapDisplay,
    ImageClassifier,
    ImageFeatureExtractor,
    ImageRegressor,
    LayerSearchCV,
    VGGClassifier,
    VGGFeatureExtractor,
    VGGRegressor,
    compare_transfer,
    diagnose,
    export_onnx,
    extract,
    load_digit_pair,
    sweep_layers,
    transfer_curve,
)

matplotlib.use("Agg")
KINDS = [VGGClassifier, VGGRegressor]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:24], y[:24]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: kind.__name__)
def tuned(request: pytest.FixtureRequest, digits: Any) -> Any:
    return request.param(
        "block1_pool",
        unfreeze="all",
        weights=None,
        pooling="avg",
        input_size=32,
        epochs=1,
        head_epochs=1,
        trunk_learning_rate=1e-3,
        random_state=0,
        cache=None,
    ).fit(*digits)


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_no_extractors(kind: type) -> None:
    assert not issubclass(kind, VGGFeatureExtractor)
    assert not isinstance(kind("block1_pool"), VGGFeatureExtractor)


@pytest.mark.parametrize("kind", KINDS)
def test_they_take_what_an_extractor_takes_with_the_same_defaults(kind: type) -> None:
    params = kind().get_params()
    assert VGGFeatureExtractor().get_params().items() <= params.items()
    layer, *others = inspect.signature(kind).parameters.values()
    assert layer.name == "layer"
    assert {parameter.kind for parameter in others} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("kind", [ImageClassifier, ImageRegressor])
def test_those_of_any_network_take_what_its_extractor_takes(kind: type) -> None:
    params = kind("ResNet50").get_params()
    # What 'auto' means for networks of Keras, the only ones here.
    usual = {"aspect": "stretch", "interpolation": "bilinear", "antialias": False}
    extractor = ImageFeatureExtractor("ResNet50", **usual)
    assert extractor.get_params().items() <= params.items()
    network, layer, *others = inspect.signature(kind).parameters.values()
    assert (network.name, layer.name) == ("network", "layer")
    assert {parameter.kind for parameter in others} == {inspect.Parameter.KEYWORD_ONLY}
    special = {ImageClassifier: VGGClassifier, ImageRegressor: VGGRegressor}[kind]
    assert params.keys() - special().get_params().keys() == {"network", "preprocessing"}
    assert special().get_params().keys() - params.keys() == {"architecture"}


@pytest.mark.parametrize("kind", [*KINDS, ImageClassifier, ImageRegressor])
def test_help_describes_every_parameter_in_the_sections_of_numpydoc(kind: type) -> None:
    text = inspect.getdoc(kind)
    assert text is not None and "{" + "parameters}" not in text
    sections = ["Parameters", "Attributes", "Raises", "See Also", "Notes", "References", "Examples"]
    places = [text.index(f"\n{name}\n{'-' * len(name)}\n") for name in sections]
    assert places == sorted(places)
    names = {
        name
        for line in text[places[0] : places[1]].splitlines()
        for name in line.partition(" : ")[0].split(", ")
        if not line.startswith(" ")
    }
    assert names >= set(kind._get_param_names())
    assert not [line for line in text.splitlines() if line.startswith("{")]


REFUSALS: dict[str, Any] = {
    "compare_transfer": lambda e, X, y, out: compare_transfer(X, y, extractors={"tuned": e}),
    "transfer_curve": lambda e, X, y, out: transfer_curve(X, y, extractors={"tuned": e}),
    "sweep_layers": lambda e, X, y, out: sweep_layers(X, y, extractor=e),
    "LayerSearchCV": lambda e, X, y, out: LayerSearchCV(make_pipeline(e, LogisticRegression())).fit(
        X, y
    ),
    "LayerSearchCV alone": lambda e, X, y, out: LayerSearchCV(e).fit(X, y),
    "diagnose": lambda e, X, y, out: diagnose(e, X, y),
    "diagnose in a pipeline": lambda e, X, y, out: diagnose(make_pipeline(e), X, y),
    "extract": lambda e, X, y, out: extract(X, out / "features.npy", extractor=e),
    "export_onnx before others": lambda e, X, y, out: export_onnx(
        make_pipeline(e, LogisticRegression()), out / "model.onnx"
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_takes_extractors_names_the_one_of_a_tuned_network(
    name: str, tuned: Any, digits: Any, tmp_path: Path
) -> None:
    cure = rf" A fitted {type(tuned).__name__} gives one by to_extractor\(\)\.$"
    with pytest.raises(TypeError, match=rf"(?s){name.split()[0]}.* VGGFeatureExtractor.*{cure}"):
        REFUSALS[name](tuned, *digits, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_others_are_not_told_of_an_extractor_that_they_lack(digits: Any, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"Got LogisticRegression\(\) instead\.$"):
        extract(digits[0], tmp_path / "x.npy", extractor=LogisticRegression())


def test_its_extractor_is_taken_everywhere(tuned: Any, digits: Any, tmp_path: Path) -> None:
    X, y = digits
    extractor = tuned.to_extractor()
    np.testing.assert_array_equal(
        np.load(extract(X, tmp_path / "features.npy", extractor=extractor).path),
        tuned.transform(X),
    )
    rows = compare_transfer(X, y, extractors={"tuned": extractor}, cv=2, random_state=0).rows
    assert "tuned" in [row.name for row in rows]
    assert diagnose(make_pipeline(extractor, LogisticRegression()), X, y, cv=2).findings is not None


def test_drawings_show_the_tuned_network(tuned: Any, digits: Any) -> None:
    image = digits[0][0].reshape(8, 8)
    found = FeatureMapDisplay.from_estimator(tuned, image)
    expected = FeatureMapDisplay.from_estimator(tuned.to_extractor(), image)
    for one, other in zip(found.maps, expected.maps, strict=True):
        np.testing.assert_array_equal(one.maps, other.maps)
    points = [
        EmbeddingDisplay.from_estimator(each, *digits).embedding
        for each in (tuned, tuned.to_extractor())
    ]
    np.testing.assert_array_equal(*points)
    drawn = ArchitectureDisplay.from_estimator(type(tuned)("block3_pool"))
    assert drawn.cut.trunk[-1].name == "block3_pool"
    matplotlib.pyplot.close("all")
    with pytest.raises(NotFittedError, match=type(tuned).__name__):
        FeatureMapDisplay.from_estimator(type(tuned)("block1_pool"), image)
    matplotlib.pyplot.close("all")


def test_wrong_images_are_refused_in_its_name(tuned: Any, digits: Any) -> None:
    who = type(tuned).__name__
    for method in (tuned.predict, tuned.transform):
        with pytest.raises(ValueError, match=f"features, but {who} is expecting 64 features"):
            method(digits[0][:, :16])
        with pytest.raises(ValueError, match=f"{who} was fitted on images of shape"):
            method(digits[0].reshape(-1, 4, 16))
