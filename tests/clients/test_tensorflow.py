"""TensorFlow's tensors and data sets, and Keras' loaders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, LABELS, N, assert_same, extractor, features

from sktransfer import VGGClassifier, with_labels

tf = pytest.importorskip("tensorflow", reason="tensorflow is not installed")
LIBRARY = "tensorflow"
TRIED = (
    "tensors, strings, ragged tensors; `tf.data.Dataset`, `image_dataset_from_directory`, "
    "`PyDataset`; `with_labels`"
)
keras = pytest.importorskip("keras", reason="keras is not installed")
GREY = COLOUR[..., 0]


def _from(*parts: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(parts if len(parts) > 1 else parts[0])


class _Batches(keras.utils.PyDataset):
    def __len__(self) -> int:
        return 3

    def __getitem__(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        return COLOUR[2 * i : 2 * i + 2], LABELS[2 * i : 2 * i + 2]


FORMS: dict[str, Callable[[], Any]] = {
    "tensor": lambda: tf.constant(COLOUR),
    "list of tensors": lambda: [tf.constant(image) for image in COLOUR],
    "variable": lambda: tf.Variable(COLOUR).value(),
    "string tensor": lambda: tf.constant(CONTENTS),
    "list of strings": lambda: [tf.constant(content) for content in CONTENTS],
    "images": lambda: _from(COLOUR),
    "batches": lambda: _from(COLOUR).batch(2),
    "images and labels": lambda: _from(COLOUR, LABELS),
    "batches and labels": lambda: _from(COLOUR, LABELS).batch(2),
    "dictionaries": lambda: _from({"image": COLOUR, "label": LABELS}),
    "batches of dictionaries": lambda: _from({"label": LABELS, "image": COLOUR}).batch(2),
    "contents": lambda: _from(CONTENTS),
    "batches of contents": lambda: _from(CONTENTS).batch(2),
    "decoded": lambda: _from(CONTENTS).map(tf.io.decode_png),
    "unknown size": lambda: tf.data.Dataset.from_generator(
        lambda: iter(COLOUR), output_signature=tf.TensorSpec((None, None, 3), tf.uint8)
    ),
    "PyDataset": _Batches,
}


@pytest.mark.parametrize("form", FORMS)
def test_colour_images(form: str) -> None:
    assert_same(FORMS[form]())


GREY_FORMS: dict[str, Callable[[], Any]] = {
    "images": lambda: _from(GREY),
    "batches": lambda: _from(GREY).batch(2),
    "rows": lambda: _from(GREY.reshape(N, -1)).batch(2),
    "one channel": lambda: _from(GREY[..., None]),
}


@pytest.mark.parametrize("form", GREY_FORMS)
def test_grey_images(form: str) -> None:
    assert_same(GREY_FORMS[form](), GREY)


def test_paths(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.png") for i in range(N)]
    for path, content in zip(paths, CONTENTS, strict=True):
        Path(path).write_bytes(content)
    for X in (tf.constant(paths), _from(paths), _from(paths).batch(3)):
        assert_same(X)


def test_narrow_floats_have_their_values() -> None:
    narrow = tf.cast(COLOUR / 255, tf.bfloat16)
    assert_same(narrow, tf.cast(narrow, tf.float32).numpy())
    assert_same([*narrow], tf.cast(narrow, tf.float32).numpy())


def test_ragged_tensors() -> None:
    images = [COLOUR[0], COLOUR[1, :7], COLOUR[2, :, :5]]
    ragged = tf.ragged.stack(
        [tf.RaggedTensor.from_tensor(image, ragged_rank=1) for image in images]
    )
    np.testing.assert_array_equal(features(ragged), features(images))
    with pytest.raises(ValueError, match="rows of 1 to 2 pixels: all rows of an image must"):
        extractor().fit(tf.ragged.constant([[[1, 2], [3]]]))


def test_shapes_and_ranges_are_learned_as_from_arrays() -> None:
    floats = COLOUR / np.float32(255)
    for X in (_from(floats), _from(floats).batch(2)):
        fitted = extractor().fit(X)
        assert fitted.image_shape_ == (12, 12, 3)
        assert fitted.value_range_ == (0, 1)
        assert fitted.n_features_in_ == 432
    differing = tf.data.Dataset.from_generator(
        lambda: iter([COLOUR[0], COLOUR[1, :7]]),
        output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
    )
    assert not hasattr(extractor().fit(differing), "image_shape_")


def test_many_images_are_read_a_piece_at_a_time(computed: list[int]) -> None:
    many = _from(np.repeat(COLOUR, 200, axis=0)).batch(50)
    found = extractor().fit(many).transform(many)
    np.testing.assert_array_equal(found, np.repeat(features(COLOUR), 200, axis=0))
    assert max(computed) <= 300


def test_a_folder_read_by_keras(tmp_path: Path) -> None:
    for content, label, i in zip(CONTENTS, LABELS, range(N), strict=True):
        (tmp_path / f"class{label}").mkdir(exist_ok=True)
        (tmp_path / f"class{label}" / f"{i}.png").write_bytes(content)
    shuffled = keras.utils.image_dataset_from_directory(
        str(tmp_path), image_size=(12, 12), batch_size=2, seed=3, verbose=False
    )
    X, y = with_labels(shuffled)
    found, expected = features(X), features(COLOUR)
    places = [int(np.flatnonzero((expected == row).all(axis=1))[0]) for row in found]
    assert sorted(places) == list(range(N))
    np.testing.assert_array_equal(y, LABELS[places])


def test_labels_of_one_pass() -> None:
    shuffled = _from(COLOUR, LABELS).shuffle(N).batch(2)
    X, y = with_labels(shuffled)
    expected = features(COLOUR)
    places = [int(np.flatnonzero((expected == row).all(axis=1))[0]) for row in features(X)]
    np.testing.assert_array_equal(y, LABELS[places])
    one_hot = np.eye(2)[LABELS]
    np.testing.assert_array_equal(with_labels(_from(COLOUR, one_hot))[1], one_hot)
    np.testing.assert_array_equal(with_labels(_Batches())[1], LABELS)
    with pytest.raises(ValueError, match="needs elements of an image and its label"):
        with_labels(_from(COLOUR))
    with pytest.raises(ValueError, match=r"elements with the keys \['a', 'b'\].*with_labels"):
        extractor().fit(_from({"a": COLOUR, "b": LABELS}))


def test_classifiers_read_them_whole() -> None:
    X, y = with_labels(_from(COLOUR, LABELS).batch(2))
    params: dict[str, Any] = {"weights": None, "pooling": "avg", "input_size": 32, "epochs": 1}
    params |= {"random_state": 0, "head_epochs": 1}
    by_array = VGGClassifier("block1_pool", **params).fit(COLOUR, LABELS)
    by_dataset = VGGClassifier("block1_pool", **params).fit(_from(COLOUR).batch(2), y)
    expected = by_array.predict_proba(X)
    np.testing.assert_array_equal(by_dataset.predict_proba(_from(COLOUR)), expected)


def test_nothing_to_read() -> None:
    with pytest.raises(ValueError, match=r"needs at least one image\. Got an empty data set"):
        extractor().fit(_from(COLOUR).take(0))


def test_inside_of_a_function() -> None:
    fitted = extractor().fit(COLOUR)

    @tf.function
    def call(images: Any) -> Any:
        return fitted.transform(images)

    with pytest.raises(TypeError, match=r"inside of tf\.function tensors have no values"):
        call(tf.constant(COLOUR))
