"""What the checks look at, each computed once and only if a check asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import check_scoring
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing

from sktransfer import weights as _weights
from sktransfer.diagnosis.subject import Subject
from sktransfer.diagnosis.survey import Survey, search_copies, take_survey
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import Images, ImageWarning, read_images
from sktransfer.networks import Cut, Layer, list_layers, plan_cut
from sktransfer.probing import (
    Folds,
    FoldScores,
    Labels,
    score_folds,
)
from sktransfer.significance import ALPHA, compare_scores
from sktransfer.value_range import by_dtype, measure

#: Neighbours asked for their label: enough to average over, few enough for classes of ten images.
N_NEIGHBOURS = 5
#: Permutations of the labels: their smallest p-value, 0.002, is far below what is asked for.
N_PERMUTATIONS = 499
#: Crops of scikit-learn's two photographs that stand for natural images.
N_PHOTOGRAPHS = 64
#: Sampled images that are compared with them: a mean over more would cost time, not be truer.
N_COMPARED = 64


@dataclass(frozen=True)
class Agreement:
    """How often the nearest neighbours of an image bear its label.

    Attributes
    ----------
    observed, expected : float
        The share, and its mean over permuted labels.
    z : float
        Their difference in standard deviations over permuted labels.
    p_value : float
        Share of permutations that agree as well; what is observed counts as one.
    each : ndarray of shape (n_images,)
        The share for each image.
    """

    observed: float
    expected: float
    z: float
    p_value: float
    each: np.ndarray


@dataclass(frozen=True)
class Probe:
    """Cross-validated scores of a classifier on the sample.

    Attributes
    ----------
    accuracy, balanced : ndarray of shape (n_folds,)
        Accuracy, and the mean over classes of the share found, on every fold.
    n_not_converged : int
        Folds in which the classifier stopped early.
    """

    accuracy: np.ndarray
    balanced: np.ndarray
    n_not_converged: int

    @property
    def mean(self) -> float:
        """Mean accuracy."""
        return float(self.accuracy.mean())


class Evidence:
    """The sample and what was found out about it.

    Parameters
    ----------
    subject : Subject
        What is diagnosed.
    extractor : VGGFeatureExtractor
        The extractor, fitted.
    X : object
        The sample as the extractor meets it.
    images : ArrayImages or ImageList
        The same, read.
    all_images : ArrayImages or ImageList
        All images that are at hand without computing steps before the extractor.
    rows : ndarray of shape (n_sampled,)
        Which of all images were sampled, in their order.
    n_images : int
        Images given.
    labels : Labels or None
        The labels of the sample.
    all_y : ndarray of shape (n_images,) or None
        The labels of all images.
    folds : list of tuple of ndarray or None
        Folds of the sample.
    cv : object
        What they were made by: a number, or a splitter.
    seed : int
        Seed of everything random.
    """

    def __init__(
        self,
        *,
        subject: Subject,
        extractor: VGGFeatureExtractor,
        X: Any,
        images: Images,
        all_images: Images,
        rows: np.ndarray,
        n_images: int,
        labels: Labels | None,
        all_y: np.ndarray | None,
        folds: Folds | None,
        cv: Any,
        seed: int,
    ) -> None:
        self.subject = subject
        self.extractor = extractor
        self.X = X
        self.images = images
        self.all_images = all_images
        self.rows = rows
        self.n_images = n_images
        self.labels = labels
        self.all_y = all_y
        self.folds = folds
        self.cv = cv
        self.seed = seed

    # -- pixels

    @cached_property
    def value_range(self) -> tuple[float, float] | None:
        """The values of black and white in arrays, as the extractor reads them."""
        return self.extractor.value_range_ or by_dtype(self.images)

    @cached_property
    def extent(self) -> tuple[float, float] | None:
        """Smallest and largest value of all arrays at hand, as given; None without arrays."""
        extents = measure(self.all_images)
        if not extents:
            return None
        return min(low for low, _ in extents), max(high for _, high in extents)

    @cached_property
    def survey(self) -> Survey:
        """What is known of the sample's pixels."""
        return take_survey(self.images, self.value_range)

    @cached_property
    def copies(self) -> tuple[list[bytes], np.ndarray, np.ndarray | None]:
        """Digests, spreads and labels, of all images if that is possible.

        A spread is the difference of an image's values, in parts of that of all values.
        """
        found = search_copies(self.all_images)
        if found is None:
            s = self.survey
            extent = float(s.high.max() - s.low.min())
            y = None if self.labels is None else self.labels.y
            return s.digests, (s.high - s.low) / (extent or 1.0), y
        assert self.extent is not None  # there is an array
        y = self.all_y if len(found[0]) == self.n_images else None
        return found[0], found[1] / ((self.extent[1] - self.extent[0]) or 1.0), y

    # -- the network

    @cached_property
    def cut(self) -> Cut:
        """Where the extractor cuts the network."""
        e = self.extractor
        return plan_cut(e.layer, e.architecture, e.pooling, e.input_size_)

    @cached_property
    def features(self) -> np.ndarray:
        """The features of the sample."""
        return self.transform(self.extractor, self.X)

    def transform(self, extractor: VGGFeatureExtractor, X: Any) -> np.ndarray:
        """Compute features, without what the extractor says of the images."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            return extractor.transform(X)

    @cached_property
    def first_kernel(self) -> np.ndarray | None:
        """The kernel of the first convolution; None if it was drawn."""
        e = self.extractor
        if e.weights is None:
            return None
        path = _weights.locate_weights(e.weights, self.cut)
        first = plan_cut("block1_conv1", e.architecture, None, e.input_size_)
        return _weights.read_weights(path, first)["block1_conv1"][0]

    @cached_property
    def depths(self) -> list[Layer]:
        """The ends of the blocks up to the cut, and of the next one if there are weights for it."""
        e = self.extractor
        ends = [
            layer
            for layer in list_layers(e.architecture, e.input_size_)
            if layer.kind == "pool" and layer.output_shape[0] > 0
        ]
        reached = [layer for layer in ends if layer in self.cut.trunk]
        deeper = ends[len(reached) : len(reached) + 1]
        if deeper and self._has_weights(deeper[0]):
            reached += deeper
        return reached

    def _has_weights(self, layer: Layer) -> bool:
        e = self.extractor
        if e.weights is None:
            return True
        cut = plan_cut(layer.name, e.architecture, "avg", e.input_size_)
        try:
            _weights.read_weights(_weights.locate_weights(e.weights, self.cut), cut)
        except (OSError, ValueError):  # a file that ends before
            return False
        return True

    @cached_property
    def depth_features(self) -> dict[str, np.ndarray]:
        """The mean of each feature map of the sample, at the end of each block: one pass."""
        if not self.depths:
            return {}
        pooled = self._pooled([layer.name for layer in self.depths]).fit(self.X)
        parts = np.split(
            self.transform(pooled, self.X),
            np.cumsum([layer.output_shape[-1] for layer in self.depths])[:-1],
            axis=1,
        )
        return {layer.name: part for layer, part in zip(self.depths, parts, strict=True)}

    def _pooled(self, layers: list[str], **params: Any) -> VGGFeatureExtractor:
        e = self.extractor
        seed = None if e.weights is not None else self.seed  # any random network will do
        params = {"value_range": e.value_range_ or e.value_range} | params
        return clone(e).set_params(
            layer=layers,
            pooling="avg",
            input_size=e.input_size_,
            precision="float32",
            calibration=None,
            engine="auto",
            random_state=seed,
            verbose=0,
            **params,
        )

    @cached_property
    def photograph_gap(self) -> tuple[str, np.ndarray]:
        """How far each channel's mean lies from that of photographs, in standard deviations.

        At the end of the second block, or of the first: what any images excite in a network that
        has learned photographs.
        """
        side = self.extractor.input_size_
        layer = "block2_pool" if "block2_pool" in self._names() else "block1_pool"
        if layer not in self._names():
            layer = "block1_conv1"
        shown = _safe_indexing(self.X, list(range(min(N_COMPARED, len(self.images)))))
        own = self._pooled([layer]).fit(self.X)
        reference = self._pooled([layer], value_range="auto", image_shape=None)
        photographs = photograph_crops(side, self.seed)
        theirs = self.transform(reference.fit(photographs), photographs)
        scale = np.maximum(theirs.std(axis=0), 1e-6 * max(float(theirs.max()), 1.0))
        return layer, (self.transform(own, shown).mean(axis=0) - theirs.mean(axis=0)) / scale

    def _names(self) -> set[str]:
        return {layer.name for layer in self.cut.trunk}

    # -- labels

    @cached_property
    def pixel_neighbours(self) -> np.ndarray:
        """The nearest neighbours of each image among small copies."""
        return _neighbours(self.survey.pixel_rows)

    @cached_property
    def feature_neighbours(self) -> np.ndarray:
        """The nearest neighbours of each image among features."""
        return _neighbours(self.features)

    @cached_property
    def pixel_agreement(self) -> Agreement:
        """How well neighbours in pixels share labels."""
        return self.agreement(self.pixel_neighbours, self.codes)

    @cached_property
    def feature_agreement(self) -> Agreement:
        """How well neighbours in features share labels."""
        return self.agreement(self.feature_neighbours, self.codes)

    @cached_property
    def codes(self) -> np.ndarray:
        """The labels of the sample as numbers."""
        assert self.labels is not None
        return np.searchsorted(self.labels.classes, self.labels.y)

    def agreement(self, neighbours: np.ndarray, codes: np.ndarray) -> Agreement:
        """Test whether neighbours share labels, by permuting the labels."""
        rng = np.random.default_rng(self.seed)
        each = (codes[neighbours] == codes[:, None]).mean(axis=1)
        permuted = np.empty(N_PERMUTATIONS)
        for i in range(N_PERMUTATIONS):
            other = rng.permutation(codes)
            permuted[i] = (other[neighbours] == other[:, None]).mean()
        spread = max(float(permuted.std()), 1e-12)
        observed = float(each.mean())
        return Agreement(
            observed=observed,
            expected=float(permuted.mean()),
            z=float((observed - permuted.mean()) / spread),
            p_value=float((1 + (permuted >= observed).sum()) / (1 + N_PERMUTATIONS)),
            each=each,
        )

    # -- scores

    def probe(self, features: np.ndarray, classifier: Any) -> Probe:
        """Score a classifier on the folds of the sample."""
        assert self.labels is not None and self.folds is not None
        metrics = ["accuracy", "balanced_accuracy"]
        scorer = check_scoring(classifier, scoring=metrics)
        with warnings.catch_warnings():
            # A fold without some class is balanced over the others; scikit-learn says so.
            warnings.simplefilter("ignore", UserWarning)
            found: FoldScores = score_folds(features, self.labels.y, self.folds, classifier, scorer)
        accuracy, balanced = (np.array(found.scores[name]) for name in metrics)
        return Probe(accuracy, balanced, found.n_not_converged)

    def linear_probe(self, features: np.ndarray) -> Probe:
        """Score logistic regression on standardised features, whatever their number."""
        return self.probe(_compact(features), LogisticRegression(max_iter=1000))

    @cached_property
    def tail_probe(self) -> Probe:
        """Scores of what the user does with features."""
        if not self.subject.after:
            return self.feature_probe
        return self.probe(self.features, self.subject.make_tail())

    @cached_property
    def scaled_tail_probe(self) -> Probe:
        """The same behind a StandardScaler."""
        tail = make_pipeline(StandardScaler(), self.subject.make_tail())
        return self.probe(self.features, tail)

    @cached_property
    def feature_probe(self) -> Probe:
        """Scores of a linear probe on the features."""
        return self.linear_probe(self.features)

    @cached_property
    def training_accuracy(self) -> float:
        """Accuracy of the same on images that it was fitted on."""
        assert self.labels is not None and self.folds is not None
        train, y = self.folds[0][0], self.labels.y
        features = _compact(self.features)
        fitted = LogisticRegression(max_iter=1000).fit(features[train], y[train])
        return float(fitted.score(features[train], y[train]))

    @cached_property
    def pixel_probe(self) -> Probe:
        """Scores of a linear probe on small copies of the images."""
        return self.linear_probe(self.survey.pixel_rows)

    @cached_property
    def depth_probes(self) -> dict[str, Probe]:
        """Scores of a linear probe at the end of each block, each map averaged."""
        found = self.depth_features
        return {name: self.linear_probe(features) for name, features in found.items()}

    def is_chance(self, probe: Probe) -> bool:
        """Tell whether scores are no better than guessing.

        The mean share found of k classes is 1/k for a guesser, whatever the class sizes, and varies
        as shares of so many images do.
        """
        assert self.labels is not None
        return self.chance_z(probe) < CHANCE_Z

    def chance_z(self, probe: Probe) -> float:
        """Return how far scores lie above guessing, in standard deviations."""
        assert self.labels is not None
        k = len(self.labels.classes)
        spread = np.sqrt((1 - 1 / k) / k * (1 / self.labels.counts).sum()) / k
        return float((probe.balanced.mean() - 1 / k) / spread)


#: Below this many standard deviations above guessing, scores count as guessed: one-sided 1 %.
CHANCE_Z = 2.33


def is_better(
    one: Probe, other: Probe, folds: Folds, *, margin: float, n_comparisons: int = 1
) -> tuple[bool, float]:
    """Tell whether one probe beats another on the same folds.

    Parameters
    ----------
    one, other : Probe
        The scores.
    folds : list of tuple of ndarray
        The folds of both.
    margin : float
        By how much it must, in accuracy.
    n_comparisons : int, default=1
        How many probes this one is the best of.

    Returns
    -------
    is_better : bool
        Whether it does, beyond chance.
    p_value : float
        Of the corrected resampled t-test; 0 where every fold gains the same.
    """
    difference = compare_scores(
        one.accuracy.tolist(), other.accuracy.tolist(), folds, n_comparisons=n_comparisons
    )
    p_value = 0.0 if np.isnan(difference.p_value) else difference.p_value
    return difference.mean >= margin and p_value < ALPHA, p_value


def _compact(features: np.ndarray) -> np.ndarray:
    """Standardise features, and turn many of them into as many as there are images.

    To a linear classifier with an L2 penalty nothing changes by the rotation, but its time.
    """
    values = StandardScaler().fit_transform(features.astype(np.float64))
    if values.shape[1] <= len(values):
        return values
    left, lengths, _ = np.linalg.svd(values, full_matrices=False)
    return left * lengths


def _neighbours(rows: np.ndarray) -> np.ndarray:
    k = min(N_NEIGHBOURS, len(rows) - 1)
    return NearestNeighbors(n_neighbors=k).fit(rows).kneighbors(return_distance=False)


def photograph_crops(side: int, seed: int, n: int = N_PHOTOGRAPHS) -> np.ndarray:
    """Cut square pieces of scikit-learn's two photographs, from all of their height down.

    Parameters
    ----------
    side : int
        Side of the results, in pixels.
    seed : int
        Seed of places and sizes.
    n : int, default=64
        How many.

    Returns
    -------
    ndarray of shape (n, side, side, 3)
        uint8.
    """
    from PIL import Image

    rng = np.random.default_rng(seed)
    photographs = load_sample_images().images
    crops = np.empty((n, side, side, 3), dtype=np.uint8)
    for i in range(n):
        photograph = photographs[i % len(photographs)]
        height, width = photograph.shape[:2]
        size = int(rng.integers(64, height + 1))
        top, left = int(rng.integers(0, height - size + 1)), int(rng.integers(0, width - size + 1))
        crop = Image.fromarray(photograph[top : top + size, left : left + size])
        crops[i] = np.asarray(crop.resize((side, side), Image.Resampling.BILINEAR))
    return crops


def sample_rows(
    n_images: int, y: np.ndarray | None, n_wanted: int, n_each: int, seed: int
) -> np.ndarray:
    """Draw images, of each class in its proportion, but no fewer than folds need.

    Parameters
    ----------
    n_images : int
        How many there are.
    y : ndarray of shape (n_images,) or None
        Their labels.
    n_wanted : int
        How many are wanted.
    n_each : int
        Images wanted of every class at least, where it has so many.
    seed : int
        Seed of the draw.

    Returns
    -------
    ndarray of shape (n_drawn,)
        Their places, ascending.
    """
    if n_images <= n_wanted:
        return np.arange(n_images)
    rng = np.random.default_rng(seed)
    if y is None:
        return np.sort(rng.choice(n_images, n_wanted, replace=False))
    rows: list[np.ndarray] = []
    for label in np.unique(y):
        (own,) = np.nonzero(y == label)
        n = max(round(n_wanted * len(own) / n_images), min(n_each, len(own)))
        rows.append(rng.choice(own, n, replace=False))
    return np.sort(np.concatenate(rows))


def read_for(extractor: VGGFeatureExtractor, X: Any) -> Images:
    """Read images as an extractor does."""
    return read_images(
        X, image_shape=extractor.image_shape, value_range=extractor.value_range, who="diagnose"
    )


def describe_pixels(images: Images) -> str:
    """Name the type of the pixels of arrays."""
    arrays: Sequence[np.ndarray] = images.arrays
    return str(arrays[0].dtype) if arrays else "files"
