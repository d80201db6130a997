"""Fine-tuning of any network of Keras: what is trained, what stays, and what is refused."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from long_mode import every_network
from sklearn.base import clone
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import (
    FeatureStore,
    ImageClassifier,
    ImageFeatureExtractor,
    ImageRegressor,
    VGGClassifier,
    VGGRegressor,
    export_onnx,
    load_digit_pair,
)
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.networks.applications import list_applications
from sktransfer.networks.passages import find_passages
from sktransfer.training.finetuning.trunk import Arrays, get_trunk_of

keras = pytest.importorskip("keras")

# Keras saves and copies models by a function that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

Data = tuple[np.ndarray, np.ndarray]
SCALING = {"scale": 1 / 255}
PARAMS: dict[str, Any] = {
    "input_size": 32,
    "random_state": 0,
    "epochs": 2,
    "trunk_learning_rate": 1e-3,
    "cache": None,
}
# Of each the first trained layer or stage, the deepest layer that stays, and one that changes.
FAMILIES = {
    "MobileNetV2": ("block_16", "block_15_project", "block_16_depthwise"),
    "ResNet50": ("conv5_block3", "conv5_block2_3_conv", "conv5_block3_1_conv"),
    "DenseNet121": ("conv5_block16", "conv5_block15_2_conv", "conv5_block16_2_conv"),
    "ConvNeXtTiny": (
        "convnext_tiny_stage_3_block_2",
        "convnext_tiny_stage_3_block_1_pointwise_conv_2",
        "convnext_tiny_stage_3_block_2_pointwise_conv_1",
    ),
}


@pytest.fixture(scope="module")
def digits() -> Data:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:24], y[:24]


def _small(**params: Any) -> Any:
    """Make a small residual network with batch normalization, dropout and a nested model."""
    layers = keras.layers
    inner = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(4, 3, padding="same", name="inner_conv"),
            layers.BatchNormalization(name="inner_norm"),
        ],
        name="inner",
    )
    images = keras.Input((32, 32, 3), **params)
    x = layers.Conv2D(4, 3, strides=4, padding="same", name="stem")(images)
    x = layers.BatchNormalization(name="stem_norm")(x)
    y = layers.ReLU(name="left_relu")(x)
    y = layers.Conv2D(4, 3, padding="same", name="left_conv")(y)
    y = layers.BatchNormalization(name="left_norm")(y)
    x = layers.Add(name="sum")([x, y])
    x = layers.Dropout(0.5, name="drop")(x)
    x = inner(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = keras.Model(images, layers.Dense(3, activation="softmax", name="classes")(x))
    rng = np.random.default_rng(1)
    model.set_weights([0.5 * rng.random(w.shape, np.float32) for w in model.get_weights()])
    return model


def _arrays(model: Any) -> Arrays:
    runner = get_runner(model)
    return get_trunk_of(runner).load(runner)


def _start(model: Any, digits: Data) -> Arrays:
    """Return the arrays with which training starts."""
    return _arrays(clone(model).set_params(unfreeze=None).fit(*digits))


def _changed(before: Arrays, after: Arrays) -> set[str]:
    assert list(before) == list(after)
    return {
        name
        for name in before
        if not all(np.array_equal(a, b) for a, b in zip(before[name], after[name], strict=True))
    }


def _inputs(model: Any, X: np.ndarray) -> np.ndarray:
    """Preprocess images as a fitted estimator does."""
    images, value_range = read_fitted(model, X)
    ((_, inputs),) = get_runner(model).load([(images, range(len(images)))], value_range)
    return inputs


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=every_network) if each == "ConvNeXtTiny" else each
        for each in FAMILIES
    ],
)
def test_the_frozen_part_stays_bit_for_bit_and_the_other_is_trained(
    name: str, digits: Data
) -> None:
    unfreeze, frozen, trained = FAMILIES[name]
    X, y = digits[0][:8], digits[1][:8]
    model = ImageClassifier(name, weights=None, unfreeze=unfreeze, **PARAMS)
    before = _start(model, (X, y))
    model = model.fit(X, y)
    after = _arrays(model)
    changed = _changed(before, after)
    assert trained in changed
    names = list(before)
    assert not changed & set(names[: names.index(frozen) + 1])
    kinds = {layer.name: layer for layer in get_runner(model).weights.load().model.layers}
    normalizations = {
        each for each in names if isinstance(kinds[each], keras.layers.BatchNormalization)
    }
    assert not changed & normalizations
    assert {row["phase"] for row in model.history_} == {"probe", "blocks"}
    expected = model.to_keras().predict(_inputs(model, X), verbose=0)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-4)


def test_the_frozen_part_is_computed_once(
    digits: Data, tmp_path: Path, computed: list[int]
) -> None:
    n = len(np.unique(digits[0], axis=0))
    store = FeatureStore(tmp_path)
    params = PARAMS | {"weights": None, "pooling": "avg", "epochs": 3, "cache": store}
    model = ImageClassifier("MobileNetV2", "block_2_add", unfreeze="block_2", **params)
    model.fit(*digits)
    (recipe,) = store.info().recipes
    assert '"layer": "block_1_project_BN"' in recipe
    assert store.info().n_written == n
    clone(model).set_params(epochs=1).fit(*digits)
    assert store.info().n_written == n
    computed.clear()
    clone(model).set_params(cache=None).fit(*digits)
    assert sum(computed) == n  # in three epochs


@pytest.mark.parametrize("unfreeze", ["all", "left_relu", "drop", "inner", "left_conv", "sum"])
def test_batch_normalization_is_frozen_wherever_it_stands(unfreeze: str, digits: Data) -> None:
    user = _small()
    given = [w.copy() for w in user.get_weights()]
    model = ImageClassifier(user, preprocessing=SCALING, unfreeze=unfreeze, **PARAMS)
    if unfreeze in ("left_conv", "sum"):
        message = r"lies within a block.* There are stem, left_relu, inner\.$"
        with pytest.raises(ValueError, match=message):
            model.fit(*digits)
        return
    before, after = _start(model, digits), _arrays(model.fit(*digits))
    changed = _changed(before, after)
    more = {"all": {"stem", "left_conv"}, "left_relu": {"left_conv"}}
    assert changed == {"inner"} | more.get(unfreeze, set())
    equal = [np.array_equal(a, b) for a, b in zip(before["inner"], after["inner"], strict=True)]
    assert equal == [False, False, True, True, True, True]
    for values, former in zip(user.get_weights(), given, strict=True):
        np.testing.assert_array_equal(values, former)
    expected = model.to_keras().predict(_inputs(model, digits[0]), verbose=0)
    np.testing.assert_allclose(model.predict_proba(digits[0]), expected, atol=1e-4)


@pytest.mark.parametrize("unfreeze", [None, "block2", "block2_conv2", "all"])
def test_vgg_by_name_is_the_same_as_its_own_estimators(unfreeze: str | None, digits: Data) -> None:
    X, y = digits
    params = {**PARAMS, "weights": None, "unfreeze": unfreeze, "pooling": "max"}
    own = VGGClassifier("block2_pool", **params).fit(X, y)
    named = ImageClassifier("VGG16", "block2_pool", **params).fit(X, y)
    np.testing.assert_allclose(named.predict_proba(X), own.predict_proba(X), atol=1e-6)
    losses = [[row["loss"] for row in each.history_] for each in (own, named)]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    if unfreeze == "block2":
        values = X.mean(axis=1)
        by_own, by_name = (
            VGGRegressor("block2_pool", **params).fit(X, values),
            ImageRegressor("VGG16", "block2_pool", **params).fit(X, values),
        )
        np.testing.assert_allclose(by_name.predict(X), by_own.predict(X), rtol=1e-4)


def test_a_pickle_is_small_until_a_trunk_is_trained_and_complete_then(digits: Data) -> None:
    frozen = ImageClassifier("MobileNetV2", "block_2_add", weights=None, **PARAMS)
    assert len(pickle.dumps(frozen)) < 2_000
    frozen.set_params(pooling="avg").fit(*digits)
    assert len(pickle.dumps(frozen)) < 30_000
    tuned = clone(frozen).set_params(unfreeze="block_2").fit(*digits)
    content = pickle.dumps(tuned)
    assert len(content) > 4 * sum(a.size for pair in _arrays(tuned).values() for a in pair)
    for model in (frozen, tuned):
        loaded = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(
            loaded.predict_log_proba(digits[0]), model.predict_log_proba(digits[0])
        )


def test_a_model_and_a_file_train_to_the_same_bits(digits: Data, tmp_path: Path) -> None:
    user, path = _small(), tmp_path / "network.keras"
    user.save(path)
    params = {**PARAMS, "preprocessing": SCALING, "unfreeze": "inner"}
    of_model, of_file, again = (
        ImageRegressor(each, **params).fit(digits[0], digits[1]) for each in (user, path, user)
    )
    np.testing.assert_array_equal(of_model.predict(digits[0]), of_file.predict(digits[0]))
    np.testing.assert_array_equal(of_model.predict(digits[0]), again.predict(digits[0]))
    assert of_model.preprocessing_["scale"] == 1 / 255


def test_in_a_pipeline_it_is_scored_by_folds(digits: Data) -> None:
    params = PARAMS | {"epochs": 1}
    model = make_pipeline(
        ImageClassifier(_small(), preprocessing=SCALING, unfreeze="inner", **params)
    )
    assert len(cross_val_score(model, *digits, cv=2, error_score="raise")) == 2


def test_an_extractor_of_tuned_features_gives_them(digits: Data) -> None:
    model = ImageClassifier(
        "MobileNetV2", "block_2_add", weights=None, unfreeze="block_2", pooling="avg", **PARAMS
    ).fit(*digits)
    extractor = model.to_extractor()
    assert isinstance(extractor, ImageFeatureExtractor)
    np.testing.assert_array_equal(extractor.transform(digits[0]), model.transform(digits[0]))
    names = extractor.get_feature_names_out().tolist()
    assert names == model.get_feature_names_out().tolist()
    again = clone(extractor).fit(digits[0])
    np.testing.assert_array_equal(again.transform(digits[0]), model.transform(digits[0]))


def test_saved_weights_go_with_a_small_pickle(digits: Data, tmp_path: Path) -> None:
    model = ImageClassifier(
        "MobileNetV2", "block_2_add", weights=None, unfreeze="block_2", pooling="avg", **PARAMS
    ).fit(*digits)
    path = tmp_path / "tuned.weights.h5"
    model.save_weights(path)
    small = pickle.loads(pickle.dumps(model.without_weights()))
    with pytest.raises(ValueError, match="has no weights"):
        small.predict(digits[0])
    loaded = small.load_weights(path)
    np.testing.assert_array_equal(loaded.predict_proba(digits[0]), model.predict_proba(digits[0]))
    assert loaded.weights_sha256_ == model.weights_sha256_
    other = ImageClassifier("MobileNetV2", "block_1_project", weights=None, pooling="avg", **PARAMS)
    with pytest.raises(ValueError, match=r"load_weights needs weights of keras\.applications"):
        other.fit(*digits).load_weights(path)


@pytest.mark.parametrize("name", ["network.onnx", "timm/resnet18"])
def test_other_frameworks_are_refused_with_what_to_use(name: str, digits: Data) -> None:
    message = "must be a network of Keras.* put ImageFeatureExtractor before an estimator"
    with pytest.raises(ValueError, match=message):
        ImageClassifier(name).fit(*digits)


@pytest.mark.parametrize(
    ("unfreeze", "message"),
    [
        (
            "conv5_block3_2_conv",
            r"within a block, where several tensors pass. Did you mean 'conv5_block3_1_conv'\?",
        ),
        ("conv5_blok3_1_conv", "instead. Did you mean 'conv5_block3_1_conv'"),
        ("avg_pool", "and there is nothing to train from there on"),
        ("", "There are conv1_conv, conv2_block1_1_conv, conv2_block2_1_conv, "),
    ],
)
def test_errors_list_the_places(unfreeze: str, message: str, digits: Data) -> None:
    model = ImageClassifier("ResNet50", weights=None, unfreeze=unfreeze, **PARAMS)
    with pytest.raises(
        ValueError, match=f"The 'unfreeze' parameter of ImageClassifier .*{message}"
    ):
        model.fit(*digits)


def test_a_network_of_a_fixed_number_of_images_cannot_be_trained(digits: Data) -> None:
    user = _small(batch_size=1)
    model = ImageClassifier(user, preprocessing=SCALING, unfreeze="inner", **PARAMS)
    with pytest.raises(ValueError, match="without batch_size"):
        model.fit(*digits)
    assert not hasattr(model, "history_")


def test_a_resumed_run_ends_with_the_same_weights(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sktransfer.training.finetuning.training import Trainer

    params = PARAMS | {"checkpoint": tmp_path, "epochs": 3}
    model = ImageClassifier(_small(), preprocessing=SCALING, unfreeze="inner", **params)
    whole = clone(model).fit(*digits)
    record = Trainer.record

    def stop(self: Trainer, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if len(self.history) == 2:
            raise KeyboardInterrupt
        return record(self, *args, **kwargs)

    monkeypatch.setattr(Trainer, "record", stop)
    with pytest.raises(KeyboardInterrupt):
        model.fit(*digits)
    monkeypatch.undo()
    assert list(tmp_path.iterdir())
    resumed = model.fit(*digits)
    assert len(resumed.history_) == len(whole.history_) == 4
    assert resumed.weights_sha256_ == whole.weights_sha256_
    np.testing.assert_array_equal(resumed.predict_proba(digits[0]), whole.predict_proba(digits[0]))
    assert not list(tmp_path.iterdir())


def test_a_warm_start_goes_on_with_the_same_network_only(digits: Data) -> None:
    model = ImageClassifier(
        _small(), preprocessing=SCALING, unfreeze="inner", warm_start=True, **PARAMS
    ).fit(*digits)
    first = model.weights_sha256_
    model.set_params(unfreeze="all").fit(*digits)
    assert model.weights_sha256_ != first
    assert [row["phase"] for row in model.history_] == ["probe", *["blocks"] * 4]
    with pytest.raises(ValueError, match="continues training the network that it was fitted with"):
        model.set_params(network=_small()).fit(*digits)


def test_partial_fit_and_augmentation_train_from_images(digits: Data) -> None:
    X, y = digits
    model = ImageClassifier(_small(), preprocessing=SCALING, unfreeze="all", **PARAMS)
    model.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y)
    assert len(model.history_) == 2
    flipped = clone(model).set_params(augmentation=keras.layers.RandomFlip()).fit(X, y)
    plain = clone(model).fit(X, y)
    assert flipped.weights_sha256_ != plain.weights_sha256_


def test_places_lie_where_a_single_tensor_passes() -> None:
    found = {each.before: each.behind for each in find_passages(_small())}
    assert found["stem"] == ("stem_norm",)
    assert found["stem_norm"] == ("left_relu",)
    assert found["sum"] == ("drop",)
    assert not {"left_relu", "left_conv", "left_norm"} & set(found)


@every_network
@pytest.mark.parametrize("name", sorted(list_applications()))
def test_every_network_has_a_place_before_its_end(name: str) -> None:
    model = list_applications()[name].build(weights=None, include_top=False, pooling="avg")
    order = [layer.name for layer in model.layers]
    learned = [
        order.index(layer.name)
        for layer in model.layers
        if layer.trainable_weights and not isinstance(layer, keras.layers.BatchNormalization)
    ]
    places = [order.index(each.before) for each in find_passages(model) if each.before in order]
    # With something to learn before and behind it.
    assert any(learned[0] <= place < learned[-1] for place in places)


@pytest.mark.skipif(not has_instructions("int8"), reason="this processor has no 8-bit arithmetic")
def test_int8_is_calibrated_again_after_training(digits: Data) -> None:
    pytest.importorskip("openvino")
    params = PARAMS | {"precision": "int8"}
    model = ImageClassifier(_small(), preprocessing=SCALING, unfreeze="all", **params)
    exact = clone(model).set_params(precision="float32").fit(*digits)
    frozen = clone(model).set_params(unfreeze=None).fit(*digits)
    model.fit(*digits)
    assert model.precision_ == "int8"
    ranges = get_runner(model).config.ranges
    assert ranges is not None and ranges != get_runner(frozen).config.ranges
    difference = model.predict_proba(digits[0]) - exact.predict_proba(digits[0])
    assert 0 < np.abs(difference).max() < 0.1


def test_it_is_exported_as_onnx(digits: Data, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    model = ImageClassifier(
        "MobileNetV2", "block_2_add", weights=None, unfreeze="block_2", pooling="avg", **PARAMS
    ).fit(*digits)
    export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    images = digits[0].reshape(-1, 8, 8, 1).astype(np.float32)
    label, probabilities = session.run(["label", "probabilities"], {"images": images})
    np.testing.assert_allclose(probabilities, model.predict_proba(digits[0]), atol=1e-4)
    assert (label == model.predict(digits[0])).mean() > 0.9


def test_names_of_the_head_are_taken(digits: Data) -> None:
    images = keras.Input((32, 32, 3))
    user = keras.Model(images, keras.layers.Conv2D(2, 3, name="head_1")(images))
    model = ImageClassifier(user, preprocessing=SCALING, unfreeze="all", **PARAMS)
    with pytest.raises(ValueError, match=r"no layer whose name begins with 'head_'.* Got head_1"):
        model.fit(*digits)


def test_a_file_that_now_holds_another_network_is_refused(digits: Data, tmp_path: Path) -> None:
    path = tmp_path / "network.keras"
    _small().save(path)
    model = ImageClassifier(path, preprocessing=SCALING, unfreeze="inner", **PARAMS).fit(*digits)
    images = keras.Input((32, 32, 3))
    keras.Model(images, keras.layers.Conv2D(2, 3)(images)).save(path)
    with pytest.raises(ValueError, match="restore the original, or call fit again"):
        model.to_keras()
