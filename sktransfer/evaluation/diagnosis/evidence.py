"""The evidence for all checks, each piece computed once and only if a check asks for it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import weights as _weights
from sktransfer.base import _get_output_config, _wrap_data_with_container
from sktransfer.evaluation.diagnosis.neighbours import Agreement, find_neighbours, measure_agreement
from sktransfer.evaluation.diagnosis.probes import Probe, score_linear, score_probe, score_training
from sktransfer.evaluation.diagnosis.subject import Subject
from sktransfer.evaluation.diagnosis.survey import (
    Survey,
    load_values,
    search_copies,
    take_survey,
)
from sktransfer.evaluation.probing import Folds, Labels
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.features.fitted import compute_features, get_runner
from sktransfer.features.preprocessing import resize
from sktransfer.inputs.images import Images, ImageWarning, read_images
from sktransfer.inputs.scale import ValueRange, ends
from sktransfer.inputs.value_range import by_dtype, measure, without_rounding
from sktransfer.networks import Cut, Layer, list_layers, plan_cut
from sktransfer.networks.outputs import as_shape

#: Sampled images whose features are compared with given ones: more would not be more accurate.
N_COMPARED = 64
#: Standard deviations from which the best of many counts.
SURE_Z = 5.0
#: Images that a finding names.
N_SHOWN = 20


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
    given : ndarray of shape (n_images, n_features) or None
        Features that were computed elsewhere.
    paths : list of str or None
        The files of all images, if they are files.
    groups : ndarray of shape (n_images,) or None
        Groups of all images, which no fold separates.
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
        given: np.ndarray | None,
        paths: list[str] | None,
        groups: np.ndarray | None,
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
        self.given = given
        self.paths = paths
        self.groups = groups

    # -- pixels

    @cached_property
    def value_range(self) -> tuple[float, float] | None:
        """The values of black and white in arrays; by channel, those farthest apart."""
        return self.exact_range and ends(self.exact_range)

    @property
    def exact_range(self) -> ValueRange | None:
        """The values of black and white in arrays, as the extractor reads them."""
        return self.extractor.value_range_ or by_dtype(self.images)

    @cached_property
    def extent(self) -> tuple[float, float] | None:
        """Smallest and largest value of all arrays at hand, but for rounding; None without any."""
        extents = measure(self.all_images)
        if not extents:
            return None
        low, high = min(low for low, _ in extents), max(high for _, high in extents)
        return without_rounding(low, high, self.all_images.arrays[0].dtype)

    @cached_property
    def survey(self) -> Survey:
        """What is known of the sample's pixels."""
        return take_survey(self.images, self.exact_range)

    def places(self, found: np.ndarray, n: int = N_SHOWN) -> list[int]:
        """Name the first of some images of the sample by their places in `X`."""
        return [int(self.rows[i]) for i in found[:n]]

    def recompute(self, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Compute the features of the sample again, each image changed before it is resized.

        `change` gets values of shape (1, height, width, n_colours), from black 0 to white 255.
        """
        resizing = get_runner(self.extractor).resizing
        changed = np.empty((len(self.images), *as_shape(resizing.size), 3), dtype=np.float32)
        for row, (_, values, _) in enumerate(load_values(self.images, self.value_range)):
            changed[row] = resize(np.clip(change(values), 0, 255).astype(np.float32), resizing)
        return self._compute_again(changed, value_range=(0, 255), image_shape=None)

    def resized(self, size: int) -> np.ndarray:
        """Compute the features of the sample at another input size."""
        return self._compute_again(self.X, input_size=size)

    def _compute_again(self, X: Any, **params: Any) -> np.ndarray:
        e = self.extractor
        params = {"value_range": e.value_range_ or e.value_range} | params
        params |= {"precision": "float32", "calibration": None, "verbose": 0}
        if e.weights is None:
            params["random_state"] = e.random_seed_
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            again = clone(e).set_params(**params).fit(X)
        return self.transform(again, X)

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
            return compute_features(extractor, X)

    @cached_property
    def is_trained_on_formulas(self) -> bool:
        """Whether the weights come from a file that records how formulas trained it."""
        weights = self.extractor.weights
        if not isinstance(weights, str | os.PathLike):
            return False
        return _weights.has_recipe(_weights.locate_weights(weights, self.cut))

    @cached_property
    def kernels(self) -> dict[str, np.ndarray]:
        """The kernels of the convolutions up to the cut; none if they were drawn."""
        if self.extractor.weights is None:
            return {}
        loaded = self.load_weights(self.cut)
        first = {name: arrays[0] for name, arrays in loaded.items() if len(arrays)}
        return {name: kernel for name, kernel in first.items() if kernel.ndim == 4}

    @cached_property
    def depths(self) -> list[Layer]:
        """The ends of the blocks up to the cut, and of later ones if there are weights for them."""
        e = self.extractor
        ends = [
            layer
            for layer in list_layers(e.architecture, e.input_size_)
            if layer.kind == "pool" and layer.output_shape[0] > 0
        ]
        reached = [layer for layer in ends if layer in self.cut.trunk]
        deeper = ends[len(reached) :]
        while deeper and not self._has_weights(deeper[-1]):
            deeper.pop()
        return reached + deeper

    def _has_weights(self, layer: Layer) -> bool:
        e = self.extractor
        if e.weights is None:
            return True
        cut = plan_cut(layer.name, e.architecture, "avg", e.input_size_)
        try:
            self.load_weights(cut)
        except (OSError, ValueError):  # a file that ends before
            return False
        return True

    def load_weights(self, cut: Cut) -> _weights.Weights:
        """Load the weights of another cut from where the extractor's come from."""
        weights = self.extractor.weights
        if weights is None:
            return _weights.draw_weights(cut, self.extractor.random_seed_)
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

    @property
    def downstream_features(self) -> Any:
        """The features as the user's steps get them: in a data frame where `set_output` says so."""
        return _wrap_data_with_container("transform", self.features, self.X, self.extractor)

    @cached_property
    def downstream_probe(self) -> Probe:
        """Scores of what the user does with features."""
        if not self.subject.after:
            return self.feature_probe
        return score_probe(self.downstream_features, *self._scored, self.subject.make_downstream())

    @cached_property
    def scaled_downstream_probe(self) -> Probe:
        """The same behind a StandardScaler."""
        container = _get_output_config("transform", self.extractor)["dense"]
        scaler = StandardScaler().set_output(transform=container)
        steps = make_pipeline(scaler, self.subject.make_downstream())
        return score_probe(self.downstream_features, *self._scored, steps)

    @cached_property
    def feature_probe(self) -> Probe:
        """Scores of a linear probe on the features."""
        return score_linear(self.features, *self._scored)

    @cached_property
    def training_accuracy(self) -> float:
        """Accuracy of the same on images that it was fitted on."""
        return score_training(self.features, *self._scored)

    @cached_property
    def is_explained(self) -> bool:
        """Whether features tell the labels well beyond guessing."""
        return self.feature_probe.z > SURE_Z

    def score(self, features: np.ndarray) -> Probe:
        """Score a linear probe on other features of the sample."""
        return score_linear(features, *self._scored)

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
        X,
        image_shape=extractor.image_shape,
        value_range=extractor.value_range,
        allow_remote=extractor.allow_remote,
        who="diagnose",
    )


def describe_pixels(images: Images) -> str:
    """Name the type of the pixels of arrays."""
    arrays: Sequence[np.ndarray] = images.arrays
    return str(arrays[0].dtype) if arrays else "files"
