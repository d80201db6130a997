"""Linear probes: the same images, folds, classifier and scores for everything that is compared.

What is compared differs in one thing, the features. All else is decided here, once for everybody:
which labels, folds and classifiers will do, what the control of a network is, how raw pixels become
features, what features cost, and how a classifier is scored. Everything that can be wrong is found
before any image goes through a network.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.base import _safe_indexing, name_extractor_in
from sktransfer.evaluation.probing.one_vs_rest import OneVsRestLogisticRegression
from sktransfer.evaluation.probing.scoring import MetricScorer, Scorer
from sktransfer.evaluation.probing.targets import predicts
from sktransfer.evaluation.probing.threads import limit_blas
from sktransfer.evaluation.probing.weighting import fit_weighted, request_weights
from sktransfer.evaluation.probing.wide import WideLogisticRegression
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.features.preprocessing import Resizing, resize, to_255
from sktransfer.inputs import value_range as _value_range
from sktransfer.inputs.images import ArrayImages, Images, ImageWarning
from sktransfer.inputs.scale import is_per_channel
from sktransfer.networks.outputs import side_of

#: Side to which files and lists of images are brought for raw pixels, in pixels.
RAW_SIZE = 32

# Of ridge regression. In every fold the one is taken that errs least on images that are left out.
_PENALTIES = tuple(np.logspace(-3, 7, 21))
# On how many images the cost of features is measured: a whole number of batches of every engine.
_TIMED_SMALL, _TIMED_LARGE, _LARGE = 64, 16, 64


def make_linear(kind: str = "classes") -> Any:
    """Return the linear model that is used where none is given, without the scaler before it."""
    if kind == "numbers":
        return request_weights(RidgeCV(_PENALTIES))
    if kind == "labels":
        return request_weights(OneVsRestLogisticRegression(max_iter=1000))
    return request_weights(WideLogisticRegression(max_iter=1000))


def make_classifier(kind: str = "classes") -> Any:
    """Return the linear probe that is used where none is given, for one kind of target."""
    return make_pipeline(request_weights(StandardScaler()), make_linear(kind))


def check_classifier(classifier: Any, *, kind: str = "classes", who: str) -> Any:
    """Return the classifier or regressor that is meant: the one given, or the linear probe."""
    if classifier is None:
        return make_classifier(kind)
    if not predicts(classifier, kind):
        what, example = "a classifier", "LogisticRegression()"
        if kind == "numbers":
            what, example = "a regressor, as y holds numbers,", "RidgeCV()"
        raise TypeError(
            f"The 'classifier' parameter of {who} must be None or {what} with scikit-learn's "
            f"interface, such as {example}. Got {classifier!r} instead."
        )
    return classifier


def split_estimator(estimator: Any, *, who: str) -> tuple[FeatureExtractor, Any]:
    """Take a pipeline apart into what extracts features and what classifies them."""
    steps: list[Any] = [estimator]
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    if not (steps and isinstance(steps[0], FeatureExtractor)):
        raise TypeError(
            f"{who} needs a VGGFeatureExtractor or ImageFeatureExtractor, or a pipeline whose "
            f"first step is one. Got {estimator!r}.{name_extractor_in(*steps)}"
        )
    if len(steps) <= 2:
        return steps[0], steps[1] if steps[1:] else None
    return steps[0], make_pipeline(*steps[1:])


def make_control(extractor: FeatureExtractor, random_state: Any) -> FeatureExtractor:
    """Return the same network with random weights: what training adds is what it lacks."""
    return clone(extractor).set_params(
        weights=None,
        input_size=getattr(extractor, "input_size_", extractor.input_size),
        random_state=random_state,
    )


def time_features(extractor: FeatureExtractor, X: Any, n_images: int) -> tuple[float, float]:
    """Measure what features cost without a cache, on a few of the images."""
    runner = replace(get_runner(extractor), cache=None, verbose=0)
    is_small = side_of(extractor.input_size_) <= _LARGE
    sample = _TIMED_SMALL if is_small else _TIMED_LARGE
    rows = np.unique(np.linspace(0, n_images - 1, sample).astype(int))
    images = _safe_indexing(X, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # said when all images are transformed
        start = time.perf_counter()
        runner.compute(*read_fitted(extractor, _safe_indexing(X, rows[:1])))
        ready = time.perf_counter()
        runner.compute(*read_fitted(extractor, images))
        end = time.perf_counter()
    per_image = (end - ready) / len(rows)
    return max(0.0, ready - start - per_image), per_image


@dataclass(frozen=True)
class FoldScores:
    """The scores of one classifier on one kind of features.

    Attributes
    ----------
    scores : dict of str to list of float
        Each metric's value on every fold.
    seconds : float
        Time to fit and score on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    predicted : list of ndarray
        What it predicts for the test images of every fold; empty if not asked for.
    """

    scores: dict[str, list[float]]
    seconds: float
    n_not_converged: int
    predicted: list[np.ndarray] = field(default_factory=list)


def score_folds(
    features: Any,
    y: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    classifier: Any,
    scorer: Scorer,
    *,
    sample_weight: np.ndarray | None = None,
    keeps_predictions: bool = False,
    progress: str | None = None,
) -> FoldScores:
    """Fit and score clones of a classifier, fold by fold.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features), or images
        What the classifier sees; images in any form that it takes.
    y : ndarray of shape (n_images,) or (n_images, n_labels)
        The labels or numbers.
    folds : sequence of tuple of ndarray
        Indices of training and test images.
    classifier : estimator
        Not fitted, and never changed.
    scorer : callable
        As :func:`make_scorer_of` returns it.
    sample_weight : ndarray of shape (n_images,) or None, default=None
        How much each image counts, while fitting and in the scores.
    keeps_predictions : bool, default=False
        Whether the predictions of all test images are returned as well.
    progress : str or None, default=None
        What a progress bar is called; None shows none.

    Returns
    -------
    FoldScores
        Scores, seconds, and how often the classifier stopped early.
    """
    from tqdm.auto import tqdm

    scores: dict[str, list[float]] = {}
    predicted: list[np.ndarray] = []
    n_not_converged = 0
    start = time.perf_counter()
    with limit_blas(features):
        # Of many scores one after the other, only the bar of the one at work is shown.
        bar = tqdm(folds, desc=progress, unit="fold", leave=False, disable=progress is None)
        for train, test in bar:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                own = None if sample_weight is None else sample_weight[train]
                seen = _safe_indexing(features, train)
                fitted = fit_weighted(clone(classifier), seen, y[train], own)
            n_not_converged += any(issubclass(w.category, ConvergenceWarning) for w in caught)
            for warning in caught:
                if not issubclass(warning.category, ConvergenceWarning):
                    warnings.warn(warning.message, warning.category, stacklevel=2)
            tested = _safe_indexing(features, test), y[test]
            known: dict[str, Any] = {}
            if sample_weight is not None:
                known["sample_weight"] = sample_weight[test]
            if keeps_predictions:
                predicted.append(fitted.predict(tested[0]))
                if isinstance(scorer, MetricScorer):
                    known["predicted"] = predicted[-1]
            for metric, value in scorer(fitted, *tested, **known).items():
                scores.setdefault(metric, []).append(float(value))
    return FoldScores(scores, time.perf_counter() - start, n_not_converged, predicted)


def raw_pixels(
    images: Images, value_range: str | Iterable[float], *, is_said: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels as flat rows, to be compared with features.

    Parameters
    ----------
    images : ArrayImages or ImageList
        The images; those of a list are brought to one small size, RGB, with antialiasing.
    value_range : 'auto' or tuple of float
        The values of black and white.
    is_said : bool
        Whether others warn of a doubtful range already.

    Returns
    -------
    values : ndarray of shape (n_images, n_values)
        The values as they are; of lists from 0 to 255.
    unit_values : ndarray of shape (n_images, n_values)
        The same from black as 0 to white as 1, float32.
    """
    extents = _value_range.measure(images)
    with warnings.catch_warnings():
        if is_said:
            warnings.simplefilter("ignore", ImageWarning)
        chosen = _value_range.choose(images, extents, value_range)
    if isinstance(images, ArrayImages):
        pixels = np.asarray(images.data).reshape(len(images), -1)
        assert chosen is not None  # there are arrays
        if is_per_channel(chosen):
            (values,) = images.arrays
            return pixels, to_255(np.asarray(values), chosen).reshape(len(images), -1) / 255
        black, white = chosen
        return pixels, (pixels.astype(np.float32) - black) / (white - black)
    resizing = Resizing(RAW_SIZE, "stretch", "bilinear", antialias=True)
    out = np.empty((len(images), RAW_SIZE, RAW_SIZE, 3), dtype=np.float32)
    for position, (group, own_range) in enumerate(images.load(0, len(images), chosen)):
        out[position] = resize(to_255(group, own_range), resizing)
    rows = out.reshape(len(out), -1)
    return rows, rows / 255
