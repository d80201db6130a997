"""Whether precision costs accuracy, with trained weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from measuring import Options, Row, list_precisions, relative_error
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from sktransfer import VGGFeatureExtractor
from sktransfer.datasets.loaders import read_labelled_images


def _extractor(options: Options, layer: str, size: int, **parameters: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        layer, weights=options.weights, input_size=size, cache=None, **parameters
    )


def measure_accuracy(options: Options) -> list[Row]:
    """Measure VGG16's features, scaled, and logistic regression, in 10 folds.

    Errors are relative, against the first row of each cut; int8 is calibrated on 64 of the images.
    Every fourth image is taken, and at 224 pixels block3_pool is averaged.
    """
    data = read_labelled_images(options.data, digits=(8, 6))
    cuts = [
        ("block3_pool", 32, None),
        ("block3_pool", 64, None),
        ("block3_pool", 224, "avg"),
        ("flatten", 224, None),
    ]
    step = options.few(4, 160)
    X, y = data.data[::step], data.target[::step]
    rows = []
    for layer, size, pooling in cuts:
        reference = None
        for precision in list_precisions():
            extractor = _extractor(options, layer, options.few(size, 32), pooling=pooling)
            extractor.set_params(precision=precision, calibration=X[:64])
            features = extractor.fit_transform(X)
            reference = features if reference is None else reference
            rows.append(
                {
                    "layer": layer,
                    "size": size,
                    "precision": precision,
                    "engine": extractor.engine_,
                    "images": len(X),
                    "width": features.shape[1],
                    "relative_error": relative_error(features, reference),
                }
                | score_features(features, y)
            )
    return rows


def score_features(features: np.ndarray, y: np.ndarray, n_folds: int = 10) -> Row:
    """Score a logistic regression."""
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with threadpool_limits(1):  # so small a problem takes many threads longer than one
        scores = cross_val_score(model, features, y, cv=folds)
    return {"accuracy": float(scores.mean()), "deviation": float(scores.std())}


def crop_photographs(n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut squares of many sizes out of scikit-learn's two photographs, in turn."""
    crops = []
    for i in range(n):
        photo = load_sample_images().images[i % 2]
        side = int(rng.integers(100, 400))
        top, left = (int(rng.integers(0, n_pixels - side)) for n_pixels in photo.shape[:2])
        crops.append(photo[top : top + side, left : left + side])
    return crops


def measure_calibration(options: Options) -> list[Row]:
    """Measure the error of int8 at block3_pool on 32 images that it was not calibrated on.

    Digits, and crops of scikit-learn's two photographs, each calibrated on 64 of either kind.
    """
    rng = np.random.default_rng(0)
    crops = crop_photographs(96, rng)
    digits = read_labelled_images(options.data, digits=(8, 6)).data
    images = {"digits": digits[rng.permutation(len(digits))[:96]], "photographs": crops}
    rows = []
    for size in (32, 64):
        for tested, shown in images.items():
            extractor = _extractor(options, "block3_pool", size)
            reference = extractor.fit_transform(shown[64:])
            for calibrated, known in images.items():
                extractor.set_params(precision="int8", calibration=known[:64])
                error = relative_error(extractor.fit_transform(shown[64:]), reference)
                rows.append(
                    {
                        "size": size,
                        "int8_on": tested,
                        "calibrated_on": calibrated,
                        "relative_error": error,
                    }
                )
    return rows
