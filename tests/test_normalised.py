"""Images that were normalised by channel are recognised, and read by each channel's range."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from clients.cases import COLOUR, CONTENTS, extractor, features

from sktransfer import ImageWarning, VGGClassifier, diagnose
from sktransfer.evaluation.probing.probe import raw_pixels
from sktransfer.inputs.images import read_images
from sktransfer.inputs.scale import NORMALISATIONS, normalised_range

IMAGENET = normalised_range("ImageNet's")


def _normalise(images: np.ndarray, name: str = "ImageNet's", dtype: Any = np.float32) -> np.ndarray:
    mean, deviation = NORMALISATIONS[name]
    return ((images / 255 - mean) / deviation).astype(dtype)


@pytest.mark.parametrize("name", NORMALISATIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_normalised_images_have_the_features_of_the_former(name: str, dtype: Any) -> None:
    normalised = _normalise(COLOUR, name, dtype)
    expected = features(COLOUR)
    tolerance = {"rtol": 1e-2, "atol": 1.0} if dtype == np.float16 else {"rtol": 1e-4, "atol": 1e-3}
    for X in (normalised, np.moveaxis(normalised, 3, 1), list(normalised)):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = features(X, value_range=normalised_range(name))
        np.testing.assert_allclose(found, expected, **tolerance)


def test_rows_by_channel() -> None:
    rows = np.moveaxis(_normalise(COLOUR), 3, 1).reshape(len(COLOUR), -1)
    found = features(rows, value_range=IMAGENET, image_shape=(3, 12, 12))
    np.testing.assert_allclose(found, features(COLOUR), rtol=1e-4, atol=1e-3)


def test_one_range_for_all_channels_is_another_thing() -> None:
    found = features(_normalise(COLOUR), value_range=(-4, 4))
    assert np.abs(found / features(COLOUR) - 1).max() > 0.1


@pytest.mark.parametrize("name", NORMALISATIONS)
def test_the_warning_names_the_normalisation_and_the_cure(name: str) -> None:
    with pytest.warns(ImageWarning, match=f"normalised by {name} mean") as caught:
        extractor().fit(_normalise(COLOUR, name))
    given = str(caught[0].message).split("set value_range=")[1].removesuffix(".")
    np.testing.assert_allclose(eval(given), normalised_range(name), rtol=1e-3)


@pytest.mark.parametrize(
    "X",
    [
        COLOUR / 127.5 - 1,
        COLOUR - COLOUR.mean(axis=0),
        _normalise(COLOUR)[..., :1],
        _normalise(COLOUR) * 2,
        np.clip(_normalise(COLOUR), -0.5, 0.5),
    ],
    ids=["-1 to 1", "centred", "grey", "twice as wide", "narrow"],
)
def test_others_are_not_taken_for_normalised(X: np.ndarray) -> None:
    with pytest.warns(ImageWarning) as caught:
        extractor().fit(X)
    assert all("normalised" not in str(each.message) for each in caught)


def test_the_range_is_learned_as_plain_numbers() -> None:
    fitted = extractor(value_range=np.array(IMAGENET)).fit(_normalise(COLOUR))
    assert fitted.value_range_ == IMAGENET
    with pytest.warns(ImageWarning, match=r"value_range_=\(\(-2\.118, .*lie outside it"):
        fitted.transform(_normalise(COLOUR) * 3)


def test_files_keep_their_own_range() -> None:
    fitted = extractor(value_range=IMAGENET).fit(_normalise(COLOUR))
    np.testing.assert_array_equal(fitted.transform(CONTENTS), features(COLOUR))


@pytest.mark.parametrize(
    "value_range",
    [((0, 0), (1, 1)), ((0, 0, 0), (1, 1, 0)), ((0, 0, 0), 1), [(0, 0, np.nan), (1, 1, 1)]],
)
def test_ranges_that_are_none(value_range: Any) -> None:
    with pytest.raises(ValueError, match="one number for each of red, green and blue"):
        extractor(value_range=value_range).fit(COLOUR)


@pytest.mark.parametrize("n_channels", [1, 4])
def test_other_channels_are_refused(n_channels: int) -> None:
    with pytest.raises(ValueError, match=rf"by channel\. Got images of {n_channels} channels"):
        extractor(value_range=IMAGENET).fit(np.zeros((2, 8, 8, n_channels)))


def test_what_else_reads_images() -> None:
    X, y = np.repeat(_normalise(COLOUR), 4, axis=0), np.tile([0, 1], 10)
    params: dict[str, Any] = {"value_range": IMAGENET, "input_size": 32, "pooling": "avg"}
    params |= {"weights": None, "random_state": 0}
    tuned = VGGClassifier("block1_pool", epochs=1, head_epochs=1, **params).fit(X, y)
    assert tuned.value_range_ == IMAGENET
    values, unit_values = raw_pixels(read_images(X), IMAGENET, is_said=True)
    np.testing.assert_array_equal(values, X.reshape(len(X), -1))
    expected = np.repeat(COLOUR, 4, axis=0).reshape(len(X), -1) / 255
    np.testing.assert_allclose(unit_values, expected, atol=1e-5)
    found = diagnose(extractor(value_range=IMAGENET), X, y)
    assert "preprocessed-before" not in {finding.name for finding in found.findings}


def test_onnx_files_know_it(tmp_path: Any) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    from sktransfer import export_onnx

    X = _normalise(COLOUR)
    fitted = extractor(value_range=IMAGENET).fit(X)
    export_onnx(fitted, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: X})
    np.testing.assert_allclose(found, fitted.transform(X), rtol=1e-3, atol=1e-2)
