"""What the checks look at, each computed once and only if a check asks for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import _safe_indexing

from sktransfer import weights as _weights
from sktransfer.diagnosis.neighbours import Agreement, find_neighbours, measure_agreement
from sktransfer.diagnosis.probes import Probe, score_linear, score_probe, score_training
from sktransfer.diagnosis.sampling import photograph_crops
from sktransfer.diagnosis.subject import Subject
from sktransfer.diagnosis.survey import Survey, search_copies, take_survey
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import Images, ImageWarning, read_images
from sktransfer.networks import Cut, Layer, list_layers, plan_cut
from sktransfer.probing import Folds, Labels
from sktransfer.value_range import by_dtype, measure

#: Sampled images that are compared with them: a mean over more would cost time, not be truer.
N_COMPARED = 64


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
    def is_trained_on_formulas(self) -> bool:
        """Whether the weights come from a file that records how formulas trained it."""
        weights = self.extractor.weights
        if not isinstance(weights, str | os.PathLike):
            return False
        return _weights.has_recipe(_weights.locate_weights(weights, self.cut))

    @cached_property
    def first_kernel(self) -> np.ndarray | None:
        """The kernel of the first convolution; None if it was drawn."""
        e = self.extractor
        if e.weights is None:
            return None
        first = plan_cut("block1_conv1", e.architecture, None, e.input_size_)
        return self._read_weights(first)["block1_conv1"][0]

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
            self._read_weights(cut)
        except (OSError, ValueError):  # a file that ends before
            return False
        return True

    def _read_weights(self, cut: Cut) -> _weights.Weights:
        """Read the weights of another cut from the file, or the mapping, of the extractor."""
        weights = self.extractor.weights
        assert weights is not None
        if isinstance(weights, Mapping):
            return _weights.take_weights(weights, cut)
        return _weights.read_weights(_weights.locate_weights(weights, self.cut), cut)

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
        return find_neighbours(self.survey.pixel_rows)

    @cached_property
    def feature_neighbours(self) -> np.ndarray:
        """The nearest neighbours of each image among features."""
        return find_neighbours(self.features)

    @cached_property
    def pixel_agreement(self) -> Agreement:
        """How well neighbours in pixels share labels."""
        return measure_agreement(self.pixel_neighbours, self.codes, self.seed)

    @cached_property
    def feature_agreement(self) -> Agreement:
        """How well neighbours in features share labels."""
        return measure_agreement(self.feature_neighbours, self.codes, self.seed)

    @cached_property
    def codes(self) -> np.ndarray:
        """The labels of the sample as numbers."""
        assert self.labels is not None
        return np.searchsorted(self.labels.classes, self.labels.y)

    # -- scores

    @property
    def _scored(self) -> tuple[Labels, Folds]:
        assert self.labels is not None and self.folds is not None
        return self.labels, self.folds

    @cached_property
    def tail_probe(self) -> Probe:
        """Scores of what the user does with features."""
        if not self.subject.after:
            return self.feature_probe
        return score_probe(self.features, *self._scored, self.subject.make_tail())

    @cached_property
    def scaled_tail_probe(self) -> Probe:
        """The same behind a StandardScaler."""
        tail = make_pipeline(StandardScaler(), self.subject.make_tail())
        return score_probe(self.features, *self._scored, tail)

    @cached_property
    def feature_probe(self) -> Probe:
        """Scores of a linear probe on the features."""
        return score_linear(self.features, *self._scored)

    @cached_property
    def training_accuracy(self) -> float:
        """Accuracy of the same on images that it was fitted on."""
        return score_training(self.features, *self._scored)

    @cached_property
    def pixel_probe(self) -> Probe:
        """Scores of a linear probe on small copies of the images."""
        return score_linear(self.survey.pixel_rows, *self._scored)

    @cached_property
    def depth_probes(self) -> dict[str, Probe]:
        """Scores of a linear probe at the end of each block, each map averaged."""
        found = self.depth_features
        return {name: score_linear(each, *self._scored) for name, each in found.items()}


def read_for(extractor: VGGFeatureExtractor, X: Any) -> Images:
    """Read images as an extractor does."""
    return read_images(
        X, image_shape=extractor.image_shape, value_range=extractor.value_range, who="diagnose"
    )


def describe_pixels(images: Images) -> str:
    """Name the type of the pixels of arrays."""
    arrays: Sequence[np.ndarray] = images.arrays
    return str(arrays[0].dtype) if arrays else "files"
