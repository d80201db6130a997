"""What the tests of other libraries share: a few images, and a quick extractor."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from sktransfer import VGGFeatureExtractor

N = 5
COLOUR = np.random.default_rng(1).integers(0, 256, (N, 12, 12, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 0, 1, 1])


def extractor(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "avg", "input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def features(X: Any, **params: Any) -> np.ndarray:
    return extractor(**params).fit(X).transform(X)


def content(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


CONTENTS = [content(image) for image in COLOUR]


def assert_same(X: Any, images: np.ndarray = COLOUR, **params: Any) -> None:
    """Check that a form has the features of the same pixels in an array, bit for bit."""
    np.testing.assert_array_equal(features(X, **params), features(images))
