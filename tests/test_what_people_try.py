"""What people try first, and the one error that says what to do instead."""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpreter import run_python
from PIL import Image

from sktransfer import VGGClassifier, VGGFeatureExtractor
from sktransfer.weights.synthetic import locate_synthetic


def _extractor(**params: Any) -> VGGFeatureExtractor:
    given = {"weights": "synthetic", "pooling": "avg", "input_size": 32} | params
    return VGGFeatureExtractor(given.pop("layer", "block1_pool"), **given)


def _images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def test_a_folder_names_the_function_that_lists_it(tmp_path: Path) -> None:
    Image.fromarray(_images(8, 8)).save(tmp_path / "a.png")
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(TypeError, match=r"Got a folder, .*sktransfer\.list_images\(folder"):
            _extractor().fit(folder)


def test_an_address_is_no_file() -> None:
    with pytest.raises(ValueError, match=r"fetches nothing unless .* set allow_remote=True"):
        _extractor().fit(["https://example.org/a.png"])


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 3), (224, 224, 4)])
def test_a_single_picture_is_an_error(shape: tuple[int, ...]) -> None:
    message = re.escape(f"Got X of shape {shape}, which looks like a single one: pass X[None]")
    with pytest.raises(ValueError, match=message):
        _extractor().fit(_images(*shape))
    assert len(_extractor().fit_transform(_images(*shape)[None])) == 1


def test_rows_that_only_look_like_a_picture_can_be_named() -> None:
    extractor = _extractor(image_shape=(1, 28), value_range=(0, 255)).fit(_images(28, 28))
    assert extractor.image_shape_ == (1, 28, 1)
    # As many rows as pixels of a square are rows.
    assert _extractor().fit(_images(64, 64)).image_shape_ == (8, 8, 1)


@pytest.mark.parametrize(
    ("pooling", "meant"), [("mean", "avg"), ("Average", "avg"), ("MAX", "max"), ("maximum", "max")]
)
def test_names_of_poolings_from_elsewhere_are_explained(pooling: str, meant: str) -> None:
    for estimator in (_extractor(pooling=pooling), VGGClassifier("block1_pool", pooling=pooling)):
        message = f"'pooling' parameter of {type(estimator).__name__} must be .* {meant!r}\\?"
        with pytest.raises(ValueError, match=message):
            estimator.fit(_images(2, 8, 8), [0, 1])


def test_dense_layers_of_the_packages_weights_are_one_error_away() -> None:
    with pytest.raises(ValueError, match=r"input_size=224 and weights .* weights='imagenet', or"):
        _extractor(layer="fc1", pooling=None).fit(_images(2, 8, 8))


# In a process of its own: this one keeps the network that it computed with.
MOVED = """
import pickle, sys
import numpy as np
fitted, X, moved, other = pickle.load(open(sys.argv[1], "rb"))
for weights in (None, other, moved):
    if weights:
        fitted.set_params(weights=weights)
    try:
        print(fitted.transform(X).sum())
    except (OSError, ValueError) as error:
        print(error)
"""


# Under NumPy 2, TensorFlow's arrays warn when Keras saves them.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_weights_that_moved_are_named_again(tmp_path: Path) -> None:
    from sktransfer.networks import plan_cut

    path, moved = tmp_path / "mine.h5", tmp_path / "moved.h5"
    shutil.copy(locate_synthetic(plan_cut("block1_pool", "vgg16", None, 32), who="test"), path)
    X = _images(2, 8, 8)
    fitted = _extractor(weights=str(path), cache=None).fit(X)
    expected = fitted.transform(X).sum()
    other = tmp_path / "other.weights.h5"
    _extractor(weights=None, random_state=0).fit(X).to_keras().save_weights(other)
    path.rename(moved)
    pickled = tmp_path / "fitted.pickle"
    pickled.write_bytes(pickle.dumps((fitted, X, moved, other)))
    lost, wrong, found = run_python(MOVED, str(pickled)).splitlines()
    assert lost.endswith("if it has moved, say where it is by set_params(weights=...).")
    assert float(found) == pytest.approx(expected)
    assert "restore the original file, or call fit again" in wrong
