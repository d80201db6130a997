"""Fine-tuned estimators: what is trained, how often, and to the same bits."""

from __future__ import annotations

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score

from sktransfer import (
    FeatureStore,
    VGGClassifier,
    VGGFeatureExtractor,
    VGGRegressor,
    load_digit_pair,
)
from sktransfer.base import InvalidParameterError
from sktransfer.features.fitted import get_runner
from sktransfer.files.parts import name_part
from sktransfer.training.finetuning.checkpoint import TrainingState, TuningCheckpoint
from sktransfer.training.finetuning.rows import ArrayRows
from sktransfer.training.finetuning.tuned import get_prediction

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def digits() -> Data:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:80], np.where(y[:80] == 0, 8, 6)


def _classifier(layer: str = "block1_pool", **params: Any) -> VGGClassifier:
    params = {
        "weights": None,
        "pooling": "avg",
        "input_size": 32,
        "epochs": 2,
        "head_epochs": 2,
        "trunk_learning_rate": 1e-5,
        "random_state": 0,
        "cache": None,
    } | params
    return VGGClassifier(layer, **params)


def _regressor(**params: Any) -> VGGRegressor:
    params = {"weights": None, "pooling": "avg", "input_size": 32, "random_state": 0} | params
    return VGGRegressor("block1_pool", **{"head_epochs": 2} | params)


def _state(model: VGGClassifier | VGGRegressor) -> list[bytes]:
    trunk, head = get_runner(model).weights.load(), get_prediction(model).head
    arrays = [values for pair in trunk.values() for values in pair] + head.arrays()
    return [values.tobytes() for values in arrays]


def _phases(model: VGGClassifier | VGGRegressor) -> list[str]:
    return [row["phase"] for row in model.history_]


# -- what is trained


@pytest.mark.parametrize(
    ("unfreeze", "first"),
    [
        (None, None),
        ("block2", "block2_conv1"),
        ("block2_conv2", "block2_conv2"),
        ("block1_pool", "block2_conv1"),
        ("all", "block1_conv1"),
    ],
)
def test_only_what_is_unfrozen_changes(
    unfreeze: str | None, first: str | None, digits: Data
) -> None:
    model = _classifier("block2_pool", unfreeze=unfreeze, trunk_learning_rate=1e-3)
    model.fit(*digits)
    before = VGGFeatureExtractor(
        "block2_pool", weights=None, input_size=32, random_state=0, pooling="avg"
    ).fit(digits[0])
    initial, trunk = get_runner(before).load_weights(), get_runner(model).load_weights()
    changed = [
        name
        for name in trunk
        if any((a != b).any() for a, b in zip(initial[name], trunk[name], strict=True))
    ]
    names = list(trunk)
    assert changed == ([] if first is None else names[names.index(first) :])
    assert (model.weights_sha256_ == before.weights_sha256_) is (first is None)
    assert _phases(model) == (["head"] * 2 if first is None else ["head"] * 2 + ["blocks"] * 2)
    assert model.n_iter_ == len(model.history_)


def test_dense_layers_can_be_unfrozen_alone() -> None:
    from sktransfer.networks import plan_cut
    from sktransfer.training.finetuning.plan import find_trained

    assert [layer.name for layer in find_trained("fc2", plan_cut("fc2"), "test")] == ["fc2"]


@pytest.mark.parametrize("unfreeze", ["block3", "block2_conv9", "block2_pool", "input", ""])
def test_unknown_blocks_are_named(unfreeze: str, digits: Data) -> None:
    model = _classifier("block2_pool", unfreeze=unfreeze)
    message = r"The 'unfreeze' parameter of VGGClassifier must be .* blocks block1, block2 and"
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)


def test_trained_on_digits_it_tells_them_apart(digits: Data) -> None:
    model = _classifier(pooling=None, epochs=5)
    assert cross_val_score(model, *digits, cv=3).mean() > 0.9
    assert model.fit(*digits).predict_proba(digits[0]).sum(axis=1) == pytest.approx(1)


def test_unfreezing_lowers_the_loss_further(digits: Data) -> None:
    frozen = _classifier(epochs=6).fit(*digits)
    tuned = _classifier(epochs=4, unfreeze="all", trunk_learning_rate=1e-4).fit(*digits)
    assert tuned.history_[1]["loss"] == pytest.approx(frozen.history_[1]["loss"], rel=1e-4)
    assert tuned.history_[-1]["loss"] < frozen.history_[-1]["loss"]


def test_labels_of_any_kind_in_the_order_of_classes(digits: Data) -> None:
    X, y = digits
    names = np.where(y == y[0], "yes", "no")
    model = _classifier(epochs=3).fit(X, names)
    assert model.classes_.tolist() == ["no", "yes"]
    numbers = _classifier(epochs=3).fit(X, names == "yes")
    np.testing.assert_array_equal(model.predict_proba(X), numbers.predict_proba(X))
    assert set(model.predict(X)) <= {"yes", "no"}


def test_several_outputs_are_predicted_together(digits: Data) -> None:
    X, _ = digits
    Y = np.column_stack([X.mean(axis=1), 1000 * X[:, 20] - 5])
    model = _regressor(epochs=60, pooling=None).fit(X, Y)
    assert model.predict(X).shape == Y.shape
    assert model.score(X, Y) > 0.8
    assert model.history_[-1]["score"] > model.history_[0]["score"]
    with pytest.raises(ValueError, match=r"fitted on targets with 2 values per image\. Got 1"):
        model.partial_fit(X, Y[:, 0])


def test_a_unit_of_the_target_makes_no_difference(digits: Data) -> None:
    X, _ = digits
    y = X.mean(axis=1)
    first, second = (_regressor(epochs=2).fit(X, scale * y) for scale in (1.0, 1e6))
    np.testing.assert_allclose(1e6 * first.predict(X), second.predict(X), rtol=1e-5)


# -- once, and to the same bits


def test_frozen_layers_run_once_for_each_image(digits: Data, tmp_path: Path) -> None:
    store = FeatureStore(tmp_path)
    model = _classifier("block2_pool", unfreeze="block2_conv2", cache=store).fit(*digits)
    recipes = [recipe for recipe in store.info().recipes if "block2_conv1" in recipe]
    assert store.info().n_written == len(np.unique(digits[0], axis=0))
    assert len(recipes) == 1
    written = store.info().n_written
    clone(model).set_params(epochs=3).fit(*digits)
    assert store.info().n_written == written


def test_one_seed_gives_one_result(digits: Data) -> None:
    params: dict[str, Any] = {"unfreeze": "all", "hidden_layer_sizes": (8,), "batch_size": 16}
    first = _classifier(**params).fit(*digits)
    assert _state(_classifier(**params).fit(*digits)) == _state(first)
    assert _state(_classifier(**params | {"random_state": 1}).fit(*digits)) != _state(first)


_FIT = """
import sys
import numpy as np
from sktransfer import VGGClassifier, load_digit_pair
from sktransfer.features.fitted import get_runner
from sktransfer.training.finetuning.tuned import get_prediction
X, y = load_digit_pair((8, 6), return_X_y=True)
model = VGGClassifier(
    "block1_pool", weights=None, pooling="avg", input_size=32, unfreeze="block1_conv2",
    hidden_layer_sizes=(8,), epochs=int(sys.argv[2]), head_epochs=2, trunk_learning_rate=1e-5,
    random_state=0, cache=None,
    checkpoint=sys.argv[3] if len(sys.argv) > 3 else None,
)
if len(sys.argv) > 4:  # killed in the middle of an epoch, without any clearing up
    import os, signal
    from sktransfer.training.finetuning.training import Trainer
    train = Trainer._train
    def train_or_die(self, *args):
        result = train(self, *args)
        if len(self.history) + 1 == int(sys.argv[4]):
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    Trainer._train = train_or_die
model.fit(X[:80], np.where(y[:80] == 0, 8, 6))
trunk, head = get_runner(model).weights.load(), get_prediction(model).head
arrays = [values for pair in trunk.values() for values in pair] + head.arrays()
np.savez(sys.argv[1], *arrays, [row["epoch"] for row in model.history_])
import keras
print(keras.config.backend())
"""


def _run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", _FIT, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def _arrays(path: Path) -> list[bytes]:
    with np.load(path) as archive:
        return [archive[name].tobytes() for name in archive.files]


def test_a_killed_run_goes_on_and_ends_as_one_that_was_not(digits: Data, tmp_path: Path) -> None:
    whole, resumed = tmp_path / "whole.npz", tmp_path / "resumed.npz"
    checkpoint = tmp_path / "checkpoint"
    assert _run(str(whole), "3").returncode == 0
    for epoch in ("2", "4"):  # in the head's phase, and in that of the blocks
        assert _run(str(resumed), "3", str(checkpoint), epoch).returncode == -9
        assert len(list(checkpoint.glob("*.npz"))) == 1
        assert not resumed.exists()
    result = _run(str(resumed), "3", str(checkpoint))
    assert result.returncode == 0, result.stderr
    assert _arrays(resumed) == _arrays(whole)
    assert list(checkpoint.iterdir()) == []
    # The same in this process.
    model = _classifier(unfreeze="block1_conv2", hidden_layer_sizes=(8,), epochs=3).fit(*digits)
    assert _state(model) == _arrays(whole)[:-1]


def test_an_interrupted_fit_goes_on_in_the_same_process(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    from sktransfer.training.finetuning.training import Trainer

    X, y = digits

    def model(checkpoint: Path | None) -> VGGClassifier:
        # Made afresh, as a cell of a notebook does: Keras names each object of a process anew.
        layers = keras.layers
        rotation = keras.Sequential([layers.RandomFlip("horizontal"), layers.RandomRotation(0.1)])
        augmentation = [layers.RandomTranslation(0.1, 0.1), rotation]
        optimizer = keras.optimizers.serialize(keras.optimizers.AdamW(0.01))
        return _classifier(
            unfreeze="block1_conv2",
            optimizer=optimizer,
            augmentation=augmentation,
            checkpoint=checkpoint,
        )

    whole = model(None).fit(X[:32], y[:32])
    train, computed = Trainer._train, []

    def interrupt(self: Trainer, *args: Any) -> Any:
        if len(computed) in stops:
            stops.remove(len(computed))
            raise KeyboardInterrupt
        computed.append(len(self.history) + 1)
        return train(self, *args)

    monkeypatch.setattr(Trainer, "_train", interrupt)
    stops = {1, 3}  # in the phase of the head, and in that of the blocks
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            clone(model(tmp_path)).fit(X[:32], y[:32])
    resumed = clone(model(tmp_path)).fit(X[:32], y[:32])
    assert computed == [1, 2, 3, 4]
    assert _state(resumed) == _state(whole)
    assert [row["epoch"] for row in resumed.history_] == [1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_only_automatic_names_and_seeds_are_left_out_of_what_tells_runs_apart() -> None:
    import keras

    from sktransfer.training.finetuning.configuration import identify

    def parts() -> list[keras.Layer]:
        inputs = keras.Input((8, 8, 3))
        flipped = keras.layers.RandomFlip()(inputs)
        model = keras.Model(inputs, keras.layers.Add()([flipped, inputs]))
        pipeline = keras.layers.Pipeline([keras.layers.RandomFlip(), model])
        return [keras.layers.RandomFlip(), keras.layers.RandomContrast(0.1), pipeline]

    def identity(layers: list[keras.Layer]) -> Any:
        return identify([keras.layers.serialize(layer) for layer in layers])

    known = identity(parts())
    assert identity(parts()) == known
    looked_at = parts()
    looked_at[0](np.zeros((1, 4, 4, 3), np.float32))
    assert identity(looked_at) == known
    seeded = [keras.layers.RandomFlip(seed=5), *parts()[1:]]
    assert identity(seeded) == known  # training gives seeds of its own
    for other in (
        keras.layers.RandomFlip("vertical"),
        keras.layers.RandomFlip(dtype="float64"),
        keras.layers.RandomFlip(name="mine"),
    ):
        assert identity([other, *parts()[1:]]) != known
    flip, contrast, pipeline = parts()
    assert identity([contrast, flip, pipeline]) != known
    inputs = keras.Input((8, 8, 3))
    flipped = keras.layers.RandomFlip()(inputs)
    model = keras.Model(inputs, keras.layers.Add()([inputs, flipped]))
    swapped = keras.layers.Pipeline([keras.layers.RandomFlip(), model])
    assert identity([flip, contrast, swapped]) != known
    names = [keras.optimizers.serialize(keras.optimizers.get("adam")) for _ in range(2)]
    assert names[0] != names[1]
    assert identify(names[0]) == identify(names[1])


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_other_backends_train_alike(backend: str, tmp_path: Path) -> None:
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    paths = {name: tmp_path / f"{name}.npz" for name in (backend, "tensorflow")}
    for name, path in paths.items():
        result = _run(str(path), "2", KERAS_BACKEND=name)
        assert result.stdout.strip() == name, result.stderr
    with np.load(paths[backend]) as found, np.load(paths["tensorflow"]) as wanted:
        for name in wanted.files:
            scale = np.abs(wanted[name]).max()
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-3 * scale)


@pytest.mark.parametrize("chosen", [{}, {"head_epochs": "auto", "trunk_learning_rate": "auto"}])
def test_the_order_of_rows_and_their_repetition_make_no_difference(
    chosen: dict[str, Any], digits: Data
) -> None:
    X, y = digits
    weights = np.random.default_rng(0).integers(0, 4, len(y))
    params: dict[str, Any] = {"unfreeze": "all", "batch_size": 16} | chosen
    weighted = _classifier(**params).fit(X[::-1], y[::-1], weights[::-1])
    repeated = _classifier(**params).fit(X.repeat(weights, axis=0), y.repeat(weights))
    assert _state(weighted) == _state(repeated)


def test_weights_of_classes_are_weights_of_rows(digits: Data) -> None:
    X, y = digits
    by_class = _classifier(class_weight={y[0]: 3.0}).fit(X, y)
    by_row = _classifier().fit(X, y, sample_weight=np.where(y == y[0], 3.0, 1.0))
    assert _state(by_class) == _state(by_row)
    few = np.flatnonzero(y == y[0])[:5].tolist() + np.flatnonzero(y != y[0]).tolist()
    balanced = _classifier(class_weight="balanced").fit(X[few], y[few])
    n_each = np.array([np.sum(y[few] == label) for label in y[few]])
    by_hand = _classifier().fit(X[few], y[few], sample_weight=1 / n_each)
    np.testing.assert_allclose(balanced.predict_proba(X), by_hand.predict_proba(X), atol=1e-6)
    assert len(set(n_each)) == 2


def test_nothing_global_is_changed(digits: Data) -> None:
    import random

    import keras

    def seen() -> tuple[Any, ...]:
        # The global state is what must not change.
        numbers = np.random.get_state()[1].tobytes()  # noqa: NPY002
        return random.getstate(), numbers, keras.config.dtype_policy(), keras.config.floatx()

    before = seen()
    model = _classifier(unfreeze="all", augmentation=[keras.layers.RandomFlip(seed=3)])
    model.fit(*digits).predict(digits[0])
    assert seen() == before


@pytest.mark.parametrize("n_bytes", [100, 10_000])
def test_rows_are_the_same_from_memory_and_from_a_file(
    n_bytes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sktransfer.training.finetuning.rows._MEMORY_BYTES", n_bytes)
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", str(tmp_path))
    rows = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float32)
    parts = (rows[start : start + 7].reshape(-1, 6) for start in range(0, 50, 7))
    kept = ArrayRows.keep(parts, 50, (2, 3))
    assert isinstance(kept.values, np.memmap) == (n_bytes < rows.nbytes)
    chosen = np.array([49, 0, 7, 7, 30])
    np.testing.assert_array_equal(next(kept.batches([chosen])), rows[chosen])
    del kept
    assert not list(tmp_path.iterdir())


# -- how training goes


def test_history_has_a_row_for_every_epoch(digits: Data) -> None:
    X, y = digits
    model = _classifier(unfreeze="all").fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    assert [row["epoch"] for row in model.history_] == [1, 2, 3, 4]
    assert [row["trunk_learning_rate"] for row in model.history_[:2]] == [None, None]
    last = model.history_[-1]
    assert last["trunk_learning_rate"] == pytest.approx(1e-5)
    assert last["learning_rate"] == pytest.approx(1e-3)
    assert last["validation_score"] == pytest.approx(model.score(X[60:], y[60:]))
    assert last["seconds"] > 0


def test_training_stops_early_and_keeps_the_best_epoch(digits: Data) -> None:
    X, y = digits
    wild = {"class_name": "SGD", "config": {"learning_rate": 0.5}}
    model = _classifier(
        early_stopping=True,
        validation_fraction=0.3,
        n_iter_no_change=2,
        epochs=50,
        optimizer=wild,
    ).fit(X, y)
    losses = [row["validation_loss"] for row in model.history_]
    best = int(np.argmin(losses))
    # Two epochs that are no better than the best one, or than the loss that training started with.
    assert best + 1 < model.n_iter_ <= best + 3 < 50
    again = _classifier(epochs=best + 1, optimizer=wild, early_stopping=True, n_iter_no_change=50)
    again.set_params(validation_fraction=0.3).fit(X, y)
    assert _state(again) == _state(model)
    with pytest.raises(ValueError, match=r"holds out validation_fraction=0.1 of 4 distinct rows"):
        _classifier(early_stopping=True).fit(X[:4], y[:4])


def test_early_stopping_never_ends_above_the_loss_that_it_started_with(digits: Data) -> None:
    X, y = digits
    # So large a step only makes it worse: what is left is the probe.
    wild = {"class_name": "SGD", "config": {"learning_rate": 1.0}}
    model = _classifier(
        "block2_pool",
        unfreeze="block2_conv2",
        head_epochs="auto",
        optimizer=wild,
        trunk_learning_rate=0.1,
        early_stopping=True,
        n_iter_no_change=2,
        epochs=10,
    ).fit(X[:60], y[:60], X_val=X[60:], y_val=y[60:])
    probe, *blocks = model.history_
    assert probe["phase"] == "probe"
    assert len(blocks) == 2
    assert min(row["validation_loss"] for row in blocks) > probe["validation_loss"]
    frozen = _classifier("block2_pool", head_epochs="auto").fit(X[:60], y[:60])
    # Where less is frozen, other kernels compute the features, which may differ in the last bits.
    for found, wanted in zip(_state(model), _state(frozen), strict=True):
        pair = np.frombuffer(found, np.float32), np.frombuffer(wanted, np.float32)
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-5)


# -- the head as a probe, and the learning rate of the trunk


def test_a_linear_head_is_the_logistic_regression_that_it_replaces(digits: Data) -> None:
    X, y = digits
    weights = np.linspace(0.5, 2, 60)
    model = _classifier("block2_pool", head_epochs="auto", pooling=None)
    model.fit(X[:60], y[:60], sample_weight=weights)
    assert [(row["phase"], row["learning_rate"]) for row in model.history_] == [("probe", None)]
    head = get_prediction(model).head
    scaled = (model.transform(X).astype(np.float64) - head.mean) / np.sqrt(head.variance)
    # More columns than rows: what is solved is the smaller problem, with the same solution.
    assert scaled.shape[1] > 60
    assert 30 < np.square(scaled[:60]).sum(axis=1).mean() < 110
    weights = weights / weights.mean()
    found = {
        penalty: LogisticRegression(C=penalty, max_iter=1000, tol=1e-8)
        .fit(scaled[:60], y[:60], sample_weight=weights)
        .predict_proba(scaled)
        for penalty in (0.01, 0.1, 1.0, 10.0, 100.0)
    }
    differences = [np.abs(model.predict_proba(X) - each).max() for each in found.values()]
    assert sorted(differences)[0] < 1e-2 < sorted(differences)[1]


def test_a_regressors_head_is_ridge_regression(digits: Data) -> None:
    X, _ = digits
    Y = np.column_stack([X.mean(axis=1), X[:, 20]])
    model = _regressor(head_epochs="auto", pooling=None).fit(X[:60], Y[:60])
    assert [row["phase"] for row in model.history_] == ["probe"]
    assert model.score(X[60:], Y[60:]) > 0.8
    drawn = _regressor(pooling=None, epochs=20).fit(X[:60], Y[:60])
    assert model.score(X[60:], Y[60:]) > drawn.score(X[60:], Y[60:])
    single = _regressor(head_epochs="auto", pooling=None).fit(X[:60], Y[:60, 0])
    assert single.predict(X).shape == (80,)


def test_a_probe_goes_on_where_rows_do_not_fit_or_change(
    digits: Data, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    X, y = digits
    flipped = _classifier(head_epochs="auto", augmentation=[keras.layers.RandomFlip()])
    assert _phases(flipped.fit(X[:20], y[:20])) == ["probe", "head", "head"]
    monkeypatch.setattr("sktransfer.training.finetuning.probe._BYTES", 8 * 64 * 30)
    model = _classifier(head_epochs="auto").fit(X, y)
    assert _phases(model) == ["probe", "head", "head"]
    assert model.history_[0]["score"] > 0.8
    tuned = _classifier(head_epochs="auto", unfreeze="block1_conv2").fit(X, y)
    assert _phases(tuned) == ["probe", *["head"] * 10, "blocks", "blocks"]


def test_a_probe_of_few_or_weightless_classes(digits: Data) -> None:
    X, y = digits
    one_each = [int(np.flatnonzero(y == label)[0]) for label in (6, 8)]
    model = _classifier(head_epochs="auto", pooling=None).fit(X[one_each], y[one_each])
    assert model.score(X[one_each], y[one_each]) == 1
    lonely = np.where(np.arange(80) == 0, 7, y)
    model = _classifier(head_epochs="auto", pooling=None).fit(X, lonely)
    assert model.score(X, lonely) == 1
    weightless = _classifier(head_epochs="auto", class_weight={6: 0, 8: 1}).fit(X, y)
    assert (weightless.predict(X) == 8).all()


def test_the_trunks_rate_is_chosen_by_a_trial(digits: Data, tmp_path: Path) -> None:
    X, y = digits
    model = _classifier(
        "block2_pool", unfreeze="block2_conv2", trunk_learning_rate="auto", epochs=4
    ).fit(X, y)
    assert _phases(model) == ["head"] * 2 + ["trial"] * 3 + ["blocks"] * 4
    tried = [row for row in model.history_ if row["phase"] == "trial"]
    rates = [row["trunk_learning_rate"] for row in tried]
    assert rates == pytest.approx([1e-5, 1e-4, 3e-4])
    best = min(tried, key=lambda row: row["validation_loss"])["trunk_learning_rate"]
    assert {row["trunk_learning_rate"] for row in model.history_[5:]} == {best}
    assert _state(clone(model).fit(X, y)) == _state(model)
    # What was chosen is kept.
    model.set_params(warm_start=True, epochs=1).fit(X, y)
    assert _phases(model)[-2:] == ["blocks", "blocks"]
    assert model.history_[-1]["trunk_learning_rate"] == best
    model.partial_fit(X, y)
    assert model.history_[-1]["trunk_learning_rate"] == best
    # Nothing can be held out of one image of each class, nor by partial_fit.
    few = [int(np.flatnonzero(y == label)[0]) for label in (6, 8)]
    for fit in (clone(model).fit, clone(model).partial_fit):
        arguments = {"classes": [6, 8]} if fit.__name__ == "partial_fit" else {}
        last = fit(X[few], y[few], **arguments).history_[-1]
        assert last["trunk_learning_rate"] == pytest.approx(1e-5)


def test_the_rates_tried_are_shares_of_that_of_the_optimizer() -> None:
    import keras

    from sktransfer.training.finetuning.fitting import list_rates

    def rates(optimizer: keras.Optimizer) -> list[float]:
        return list_rates(keras.optimizers.serialize(optimizer))

    assert rates(keras.optimizers.SGD(0.1)) == pytest.approx([0.001, 0.01, 0.03])
    warming = keras.optimizers.schedules.CosineDecay(0.0, 10, warmup_target=0.01, warmup_steps=5)
    assert rates(keras.optimizers.Adam(warming)) == pytest.approx([1e-5, 1e-4, 3e-4])


def test_a_run_killed_after_its_trial_goes_on_with_the_rate_chosen(
    digits: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sktransfer.training.finetuning.training import Trainer

    def model(checkpoint: Path | None) -> VGGClassifier:
        return _classifier(
            unfreeze="block1_conv2",
            head_epochs="auto",
            trunk_learning_rate="auto",
            epochs=3,
            checkpoint=checkpoint,
        )

    whole, train, stops = model(None).fit(*digits), Trainer._train, [5, 6]

    def interrupt(self: Trainer, *args: Any) -> Any:
        if stops and len(self.history) == stops[0]:
            stops.pop(0)
            raise KeyboardInterrupt
        return train(self, *args)

    monkeypatch.setattr(Trainer, "_train", interrupt)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            model(tmp_path).fit(*digits)
    resumed = model(tmp_path).fit(*digits)
    assert _phases(resumed) == ["probe", "trial", "trial", "trial", "blocks", "blocks", "blocks"]
    assert _state(resumed) == _state(whole)
    assert list(tmp_path.iterdir()) == []


def test_networks_are_freed_after_fit(digits: Data) -> None:
    def count_graphs() -> int:
        gc.collect()
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    before = count_graphs()
    for _ in range(2):
        _classifier(unfreeze="block1_conv2").fit(*digits)
    assert count_graphs() == before


def test_warm_start_goes_on_and_may_unfreeze_more(digits: Data) -> None:
    model = _classifier("block2_pool", warm_start=True).fit(*digits)
    head = _state(model)
    model.set_params(unfreeze="block2", epochs=1).fit(*digits)
    assert _phases(model) == ["head", "head", "blocks"]
    assert model.n_iter_ == 1
    assert _state(model) != head
    cold = clone(model).set_params(warm_start=False).fit(*digits)
    assert _phases(cold) == ["head", "head", "blocks"]
    with pytest.raises(ValueError, match="continues training the network that it was fitted with"):
        model.set_params(hidden_layer_sizes=(3,)).fit(*digits)


def test_partial_fit_is_an_epoch_with_one_optimizer_throughout(digits: Data) -> None:
    X, y = digits
    whole = _classifier(epochs=3).fit(X, y)
    parts = _classifier()
    for _ in range(3):
        parts.partial_fit(X, y, classes=[8, 6])
    assert _state(parts) == _state(whole)
    assert parts.n_iter_ == 1 and len(parts.history_) == 3
    restored = pickle.loads(pickle.dumps(parts)).partial_fit(X, y)
    assert _state(restored) == _state(parts.partial_fit(X, y))
    with pytest.raises(ValueError, match=r"needs all classes\. Got classes=None"):
        _classifier().partial_fit(X, y)
    with pytest.raises(
        ValueError, match=r"was fitted on the classes \[6, 8\]. Got other labels in y, \[7\]"
    ):
        parts.partial_fit(X, np.where(y == 6, 7, y))
    with pytest.raises(ValueError, match=r"classes of its first call, \[6, 8\]\. Got \[6, 7, 8\]"):
        parts.partial_fit(X, y, classes=[6, 7, 8])


def test_partial_fit_goes_on_with_another_optimizer(digits: Data) -> None:
    X, y = digits
    adam = _classifier(unfreeze="block1_conv2").partial_fit(X, y, classes=[8, 6])
    for params in (
        {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.01}}},
        {"optimizer": "sgd"},
        {"trunk_learning_rate": 1e-3},
        {"unfreeze": "all"},
        {"unfreeze": None},
    ):
        before = _state(adam)
        adam.set_params(**params).partial_fit(X, y)
        assert _state(adam) != before
        row = adam.history_[-1]
        if params.get("optimizer", "sgd") != "sgd":
            assert row["learning_rate"] == pytest.approx(0.01)
        if "trunk_learning_rate" in params:
            assert row["trunk_learning_rate"] == pytest.approx(1e-3)
    assert [row["epoch"] for row in adam.history_] == [1, 2, 3, 4, 5, 6]


def test_augmentation_is_seeded_and_trains_on_changed_images(digits: Data) -> None:
    import keras

    X, y = digits
    layers = [keras.layers.RandomRotation(0.1), keras.layers.RandomFlip("horizontal")]
    params: dict[str, Any] = {"augmentation": layers, "unfreeze": "block1_conv2"}
    first = _classifier(**params).fit(X[:32], y[:32])
    assert _state(clone(first).fit(X[:32], y[:32])) == _state(first)
    assert _state(_classifier(unfreeze="block1_conv2").fit(X[:32], y[:32])) != _state(first)
    with pytest.raises(TypeError, match="must be None or Keras preprocessing layers"):
        _classifier(augmentation=["flip"]).fit(X, y)


def test_optimizers_by_configuration(digits: Data) -> None:
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(0.01, 10)
    config = keras.optimizers.serialize(
        keras.optimizers.AdamW(schedule, weight_decay=0.01, clipnorm=1.0)
    )
    slow = keras.optimizers.schedules.serialize(
        keras.optimizers.schedules.ExponentialDecay(1e-4, 1, 0.5)
    )
    model = _classifier(optimizer=config, trunk_learning_rate=slow, unfreeze="all").fit(*digits)
    rates = [row["learning_rate"] for row in model.history_]
    assert rates[0] == pytest.approx(0.01) and rates[1] < rates[0]
    trunk = [row["trunk_learning_rate"] for row in model.history_[2:]]
    assert trunk == pytest.approx([1e-4, 1.25e-5])
    with pytest.raises(ValueError, match="must be the name of a Keras optimizer or its config"):
        _classifier(optimizer="nadamax").fit(*digits)


def test_a_loss_that_is_no_number_says_what_to_try(digits: Data) -> None:
    model = _classifier().fit(*digits)
    before = _state(model)
    model.set_params(
        unfreeze="all",
        trunk_learning_rate=1e30,
        optimizer={"class_name": "SGD", "config": {"learning_rate": 0.1}},
    )
    message = r"NaN or infinity in epoch \d .* rate of 0\.1 and 1e\+30 in the trunk: try a tenth"
    with pytest.raises(ValueError, match=message):
        model.fit(*digits)
    assert _state(model) == before


# -- saving and handing on


def test_pickles_are_complete_or_small(digits: Data, tmp_path: Path) -> None:
    X, y = digits
    model = _classifier(unfreeze="all").fit(X, y)
    probabilities = model.predict_proba(X)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict_proba(X), probabilities)
    path = tmp_path / "tuned.weights.h5"
    model.save_weights(path)
    small = pickle.dumps(model.without_weights())
    assert len(small) < 5_000
    bare = pickle.loads(small)
    for method in (bare.predict, bare.to_extractor, bare.partial_fit):
        arguments = {"predict": (X,), "partial_fit": (X, y)}.get(method.__name__, ())
        with pytest.raises(ValueError, match=r"has no weights, .* Call load_weights\(path\)"):
            method(*arguments)
    np.testing.assert_array_equal(bare.load_weights(path).predict_proba(X), probabilities)
    assert bare.weights_sha256_ == model.weights_sha256_


def test_keras_reads_what_was_saved_and_predicts_the_same(digits: Data, tmp_path: Path) -> None:
    from sktransfer.features.preprocessing import Resizing, preprocess, to_255

    X, y = digits
    model = _classifier(unfreeze="all", hidden_layer_sizes=(8,)).fit(X, y)
    path = tmp_path / "tuned.weights.h5"
    model.save_weights(path)
    network = _classifier(unfreeze="all", hidden_layer_sizes=(8,)).fit(X[:20], y[:20]).to_keras()
    network.load_weights(path)
    pixels = to_255(X.reshape(-1, 8, 8, 1), (0, 16))
    inputs = preprocess(pixels, Resizing(32, "stretch", "bilinear", False))
    np.testing.assert_allclose(
        np.asarray(network.predict(inputs, verbose=0)), model.predict_proba(X), atol=1e-6
    )
    extractor = VGGFeatureExtractor("block1_pool", weights=path, pooling="avg").fit(X)
    assert extractor.input_size_ == 32
    np.testing.assert_array_equal(extractor.transform(X), model.transform(X))


def test_weights_of_another_network_are_refused(digits: Data, tmp_path: Path) -> None:
    X, y = digits
    model = _classifier().fit(X, y)
    path = tmp_path / "other.weights.h5"
    _classifier(hidden_layer_sizes=(4,)).fit(X, y).save_weights(path)
    with pytest.raises(ValueError, match=r"up to 'block1_pool' with hidden layers \(\) and 2"):
        model.load_weights(path)
    with pytest.raises(FileNotFoundError, match="load_weights needs a file that exists"):
        model.load_weights(tmp_path / "none.weights.h5")
    broken = tmp_path / "broken.weights.h5"
    broken.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(OSError, match=r"load_weights cannot read .*broken\..*': .* damaged"):
        model.load_weights(broken)
    with h5py.File(broken, "w") as file:
        file["layers"] = h5py.ExternalLink(path.name, "layers")
    with pytest.raises(OSError, match=r"its /layers is a link to another place"):
        model.load_weights(broken)
    with h5py.File(broken, "w") as file:
        file["layers"] = np.zeros(3)
    with pytest.raises(ValueError, match=r"broken\.weights\.h5', which Keras does not accept"):
        model.load_weights(broken)
    with pytest.raises(ValueError, match=r"ends with '\.weights\.h5'"):
        model.save_weights(tmp_path / "model.h5")
    with pytest.raises(NotFittedError):
        _classifier().load_weights(path)


def test_an_extractor_of_tuned_features(digits: Data) -> None:
    X, y = digits
    model = _classifier(unfreeze="all", trunk_learning_rate=1e-3).fit(X, y)
    extractor = model.to_extractor()
    assert type(extractor) is VGGFeatureExtractor
    features = extractor.transform(X)
    np.testing.assert_array_equal(features, model.transform(X))
    np.testing.assert_array_equal(clone(extractor).fit(X).transform(X), features)
    assert list(extractor.get_feature_names_out()) == list(model.get_feature_names_out())
    plain = _classifier().fit(X, y)
    assert (plain.transform(X) != features).any()


def test_search_over_what_is_unfrozen(digits: Data) -> None:
    grid = {"unfreeze": [None, "block1_conv2"], "trunk_learning_rate": [1e-5, 1e-3]}
    search = GridSearchCV(_classifier(cache="temporary"), grid, cv=2).fit(*digits)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_trained_weights_are_tuned(vgg19_blocks: Path, digits: Data) -> None:
    model = VGGClassifier(
        "block3_pool",
        unfreeze="block3_conv4",
        architecture="vgg19",
        weights=vgg19_blocks,
        input_size=32,
        epochs=3,
        random_state=0,
    )
    X, y = digits
    assert model.fit(X[:40], y[:40]).score(X[40:], y[40:]) > 0.9


def test_int8_is_calibrated_on_the_tuned_network(digits: Data) -> None:
    pytest.importorskip("openvino")
    from sktransfer.engines.processor import has_instructions

    if not has_instructions("int8"):
        pytest.skip("this processor has no instructions for int8")
    X, y = digits
    exact = _classifier("block2_pool", unfreeze="block2", trunk_learning_rate=1e-3).fit(X, y)
    coarse = clone(exact).set_params(precision="int8").fit(X, y)
    assert np.abs(coarse.predict_proba(X) - exact.predict_proba(X)).max() < 0.1


# -- wrong calls


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"unfreeze": 5}, "'unfreeze' parameter of VGGClassifier"),
        ({"epochs": 0}, "'epochs' parameter of VGGClassifier"),
        ({"head_epochs": -1}, "'head_epochs' parameter of VGGClassifier"),
        ({"trunk_learning_rate": 0.0}, "'trunk_learning_rate' parameter of VGGClassifier"),
        ({"validation_fraction": 1.0}, "'validation_fraction' parameter of VGGClassifier"),
        ({"layer": ["block1_pool"]}, "'layer' parameter of VGGClassifier"),
    ],
)
def test_wrong_parameters_are_named(params: dict[str, Any], message: str, digits: Data) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        _classifier().set_params(**params).fit(*digits)


def test_wrong_calls_say_what_to_do(digits: Data, tmp_path: Path) -> None:
    X, y = digits
    with pytest.raises(ValueError, match=r"needs one target per image\. Got 80 images in X and 79"):
        _classifier().fit(X, y[:79])
    with pytest.raises(ValueError, match=r"needs X_val and y_val together\. Got only X_val"):
        _classifier().fit(X, y, X_val=X)
    with pytest.raises(ValueError, match="needs a random_state"):
        _classifier(checkpoint=tmp_path, random_state=None).fit(X, y)
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NotADirectoryError, match="must be the path of a folder"):
        _classifier(checkpoint=file).fit(X, y)
    with pytest.raises(ValueError, match="must hold positive ints, one for each hidden layer"):
        _classifier(hidden_layer_sizes=(0,)).fit(X, y)
    with pytest.raises(ValueError, match="trains for one epoch and cannot stop early"):
        _classifier(early_stopping=True).partial_fit(X, y, classes=[6, 8])
    with pytest.raises(ValueError, match="cannot balance classes"):
        _classifier(class_weight="balanced").partial_fit(X, y, classes=[6, 8])
    with pytest.raises(ValueError, match=r"'class_weight' .* are \[6, 8\]\. Got \[9\], which are"):
        _classifier(class_weight={6: 1, 9: 2}).fit(X, y)
    for wrong in ("a", -1, np.nan):
        with pytest.raises(ValueError, match=r"'class_weight' .* must give finite numbers from 0"):
            _classifier(class_weight={6: wrong, 8: 1}).fit(X, y)
    with pytest.raises(ValueError, match="must give some row a weight above zero"):
        _classifier(class_weight={6: 0, 8: 0}).fit(X, y)
    with pytest.raises(ValueError, match=r"needs at least two classes .* Got one class"):
        _classifier().fit(X, np.ones(80))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([6, None] * 40, r"needs a class for each image as y: .* types NoneType, int\.$"),
        (np.array([6, "a"] * 40, dtype=object), r"needs a class .* of the types int, str\.$"),
        ([6, np.nan] * 40, r"needs a class for each image as y: .* Input y contains NaN\."),
        (np.linspace(0, 1, 80), r"needs a class for each image as y: .* continuous"),
        (7, r"needs a class for each image as y: .* 1d array"),
    ],
)
def test_labels_that_cannot_be_learned(y: Any, message: str, digits: Data) -> None:
    with pytest.raises(ValueError, match=f"^VGGClassifier {message}"):
        _classifier().fit(digits[0], y)


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([6, None, 8], r"types NoneType, int\.$"),
        ([6, np.nan, 8], r"contains NaN\.$"),
        ([[6], [6, 8]], r"inhomogeneous"),
        ([[6, 8]], r"1d array"),
    ],
)
def test_classes_that_are_none(classes: Any, message: str, digits: Data) -> None:
    message = (
        rf"^VGGClassifier\.partial_fit needs all labels as classes: .* Got others: .*{message}"
    )
    with pytest.raises(ValueError, match=message):
        _classifier().partial_fit(*digits, classes=classes)
    fitted = _classifier().partial_fit(*digits, classes=[6, 8])
    with pytest.raises(ValueError, match=message):
        fitted.partial_fit(*digits, classes=classes)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", "b"] * 40, r"needs a finite number for each image as y\. .* could not convert"),
        ([1, None] * 40, r"needs a finite number for each image as y\. Got others: "),
        ([1, np.nan] * 40, r"needs a finite number for each image as y\. .* y contains NaN"),
        (np.ones((80, 2, 2)), r"needs targets of shape .* Got y of shape \(80, 2, 2\)\."),
        (7, r"needs targets of shape .* Got y of shape \(\)\."),
    ],
)
def test_numbers_that_cannot_be_learned(y: Any, message: str, digits: Data) -> None:
    with pytest.raises(ValueError, match=f"^VGGRegressor {message}"):
        _regressor().fit(digits[0], y)


@pytest.mark.parametrize("make", [_classifier, _regressor])
def test_targets_and_weights_that_do_not_fit(make: Any, digits: Data) -> None:
    X, y = digits
    with pytest.raises(ValueError, match=r"needs a target of at least one image\. Got an empty y"):
        make().fit(X[:0], y[:0])
    for wrong in (np.ones(79), np.ones((80, 2)), np.full(80, np.nan), np.full(80, -1), ["a"] * 80):
        with pytest.raises(
            ValueError, match=r"The 'sample_weight' parameter of VGG\w+ must be a finite number"
        ):
            make().fit(X, y, sample_weight=wrong)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    from sktransfer.training.finetuning.checkpoint import TrainingState, TuningCheckpoint

    phases = [("head", 2), ("blocks", 3)]
    history = [{"epoch": 1, "phase": "head"}, {"epoch": 2, "phase": "blocks"}]
    checkpoint = TuningCheckpoint(tmp_path, "run", "VGGClassifier")
    assert checkpoint.load(phases, 0) is None
    checkpoint.save(TrainingState(1, 1, [np.ones(3)], [[np.int64(4)]], [], np.inf, 0, history))
    loaded = checkpoint.load(phases, 0)
    assert loaded is not None
    assert (loaded.phase, loaded.epoch, loaded.best_loss) == (1, 1, np.inf)
    np.testing.assert_array_equal(loaded.arrays[0], np.ones(3))
    (tmp_path / "run.npz").write_bytes(b"PK")
    with pytest.raises(OSError, match=r"cannot read the checkpoint .* Delete it to start again"):
        checkpoint.load(phases, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"phase": -1}, "phase must be an int from 0 to 1, and is -1"),
        ({"phase": 2}, "phase must be an int from 0 to 1, and is 2"),
        ({"phase": 0.0}, "phase must be an int from 0 to 1, and is 0.0"),
        ({"phase": None}, "phase must be an int from 0 to 1, and is None"),
        ({"phase": 0}, "history is not that of the finished epochs"),
        ({"epoch": -3}, "epoch of phase 'blocks' must be an int from 1 to 3, and is -3"),
        ({"epoch": 0}, "epoch of phase 'blocks' must be an int from 1 to 3, and is 0"),
        ({"epoch": 4}, "epoch of phase 'blocks' must be an int from 1 to 3, and is 4"),
        ({"epoch": float("nan")}, "must be an int from 1 to 3, and is nan"),
        ({"epoch": True}, "must be an int from 1 to 3, and is True"),
        ({"epoch": "2"}, "must be an int from 1 to 3, and is '2'"),
        ({"epoch": 1}, "history is not that of the finished epochs"),
        ({"n_without_gain": -1}, "epochs without gain must be an int from 0 to 2, and are -1"),
        ({"best_loss": float("nan")}, "best loss must be a number, and is nan"),
        ({"best_loss": "low"}, "best loss must be a number, and is 'low'"),
        ({"best_loss": 0.5}, "arrays are those of another network"),
        ({"history": []}, "history is not that of the finished epochs"),
        ({"history": None}, "it lacks a part, or holds one of another type"),
        ({"history": [{}]}, "it lacks a part, or holds one of another type"),
        ({"arrays": []}, "arrays are those of another network"),
        ({"arrays": [np.zeros(2, np.float32)]}, "arrays are those of another network"),
        ({"arrays": [np.zeros(3)]}, "arrays are those of another network"),
        ({"best": [np.zeros(3, np.float32)]}, "arrays are those of another network"),
        ({"optimizers": []}, "arrays are those of another network"),
        ({"optimizers": [[]]}, "arrays are those of another network"),
    ],
)
def test_an_impossible_checkpoint_is_refused(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    from sktransfer.training.finetuning.checkpoint import TrainingState, TuningCheckpoint

    names = ["head", "blocks", "blocks"]
    state: dict[str, Any] = {
        "phase": 1,
        "epoch": 2,
        "arrays": [np.ones(3, np.float32)],
        "optimizers": [[np.int64(4)]],
        "best": [],
        "best_loss": np.inf,
        "n_without_gain": 0,
        "history": [{"epoch": i + 1, "phase": name} for i, name in enumerate(names)],
    }
    checkpoint = TuningCheckpoint(tmp_path, "run", "VGGClassifier")

    def load() -> TrainingState:
        loaded = checkpoint.load([("head", 2), ("blocks", 3)], 0)
        assert loaded is not None
        checkpoint.check_arrays(loaded, [np.zeros(3, np.float32)], [[np.zeros((), np.int64)]])
        return loaded

    checkpoint.save(TrainingState(**state))
    assert load().epoch == 2
    checkpoint.save(TrainingState(**state | changes))
    with pytest.raises(OSError, match=f"cannot resume .*{message}.* Delete it to start again"):
        load()
    assert list(tmp_path.iterdir()) == [tmp_path / "run.npz"]


def test_a_checkpoint_that_cannot_be_written_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("sktransfer.training.checkpoints.np.savez", full)
    message = r"cannot write its checkpoint .*\.npz'.*No space left .* fit again"
    with pytest.raises(OSError, match=message):
        TuningCheckpoint(tmp_path, "run", "VGGClassifier").save(
            TrainingState(0, 1, [], [], [], 0.5, 0, [])
        )
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_beside_its_checkpoint_is_removed(tmp_path: Path) -> None:
    new = name_part(tmp_path / "run.npz")
    old = new.with_name(new.name.replace(f"-{os.getpid()}-", "-999999999-"))
    others = old.with_name(old.name.replace("run", "other"))
    for path in (old, new, others):
        path.touch()
    TuningCheckpoint(tmp_path, "run", "VGGClassifier").save(
        TrainingState(0, 1, [], [], [], 0.5, 0, [])
    )
    assert {path.name for path in tmp_path.iterdir()} == {"run.npz", new.name, others.name}


@pytest.mark.parametrize("checkpoint", ["~nosuchuser/x", "a\0b", "x" * 300])
def test_a_checkpoint_that_cannot_be_is_one_error(checkpoint: str) -> None:
    X, y = load_digit_pair(return_X_y=True)
    classifier = VGGClassifier(
        "block1_pool", weights=None, input_size=32, random_state=0, checkpoint=checkpoint
    )
    with pytest.raises(OSError, match=r"'checkpoint' parameter of VGGClassifier must be .* Got '"):
        classifier.fit(X[:8], y[:8])


def test_weights_that_cannot_be_saved_leave_the_former_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "former.weights.h5"
    path.write_bytes(b"former")
    X, y = load_digit_pair(return_X_y=True)
    fitted = VGGClassifier(
        "block1_pool", weights=None, input_size=32, pooling="avg", epochs=1, random_state=0
    ).fit(X[:8], y[:8])

    def full(*_: Any, **__: Any) -> None:
        raise OSError("No space left on device")

    with pytest.raises(FileNotFoundError, match="save_weights needs a folder that exists"):
        fitted.save_weights(tmp_path / "none" / path.name)
    monkeypatch.setattr("sktransfer.training.finetuning.tuned.h5py.File", full)
    with pytest.raises(OSError, match="No space left"):
        fitted.save_weights(path)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [
        (path.name, b"former")
    ]


# -- scores of classes, and targets that a classifier does not take


def test_log_probabilities_and_decisions_agree_with_probabilities() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (9, 8, 8), dtype=np.uint8)
    params: dict[str, Any] = {"weights": None, "pooling": "avg", "input_size": 32}
    params |= {"epochs": 1, "head_epochs": 2, "random_state": 0}
    for y in (np.array(list("abc") * 3), np.arange(9) % 2):
        model = VGGClassifier("block1_pool", **params).fit(X, y)
        probabilities = model.predict_proba(X)
        np.testing.assert_allclose(np.exp(model.predict_log_proba(X)), probabilities, rtol=1e-5)
        scores = model.decision_function(X)
        if len(model.classes_) == 2:
            assert scores.shape == (9,)
            found = model.classes_[(scores > 0).astype(int)]
        else:
            assert scores.shape == (9, 3)
            found = model.classes_[scores.argmax(axis=1)]
        np.testing.assert_array_equal(found, model.predict(X))


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.eye(3)[[0, 1, 2, 0]], r"shape \(4, 3\): these are one-hot, so pass y\.argmax"),
        (np.eye(2, dtype=bool)[[0, 1, 1, 0]], "these are one-hot"),
        (np.array([[1, 1], [0, 1], [1, 0], [0, 0]]), "OneVsRestClassifier"),
        ([[1, 0], [0, 1], [1, 0], [1, 1]], r"shape \(4, 2\): for several labels"),
        ([[1], [1, 2], [2], []], r"shape \(4, various\): for several labels"),
    ],
    ids=range(5),
)
def test_several_labels_of_an_image_are_refused(y: Any, message: str) -> None:
    X = np.zeros((4, 8, 8), np.uint8)
    model = VGGClassifier("block1_pool", weights=None, input_size=32, random_state=0)
    with pytest.raises(ValueError, match=rf"needs one label for each image: .*{message}"):
        model.fit(X, y)
