"""The evidence for all checks, each piece computed once and only if a check asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.base import _get_output_config, _wrap_data_with_container
from sktransfer.engines import EngineConfig
from sktransfer.evaluation.diagnosis.anatomy import NetworkAnatomy, VGGAnatomy, read_anatomy
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
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.features.preprocessing import resize
from sktransfer.features.runner import Runner
from sktransfer.inputs.images import Images, ImageWarning, read_images
from sktransfer.inputs.scale import ValueRange, ends
from sktransfer.inputs.value_range import by_dtype, measure, without_rounding
from sktransfer.networks import AnyCut
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
    extractor : FeatureExtractor
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
        extractor: FeatureExtractor,
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
        #: What could not be looked for in this network, and why.
        self.left_out: dict[str, str] = {}

    def leave_out(self, names: Sequence[str], reason: str) -> None:
        """Note that something could not be looked for."""
        self.left_out |= dict.fromkeys(names, reason)

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
        resizing = self.runner.resizing
        changed = np.empty((len(self.images), *as_shape(resizing.size), 3), dtype=np.float32)
        for row, (_, values, _) in enumerate(load_values(self.images, self.value_range)):
            changed[row] = resize(np.clip(change(values), 0, 255).astype(np.float32), resizing)
        images = read_images(changed, image_shape=None, value_range=(0, 255), who="diagnose")
        return self.runner.compute(images, (0.0, 255.0))

    def resized(self, size: int) -> np.ndarray | None:
        """Compute the features of the sample at another input size, if the network takes it."""
        runner = self.anatomy.resize(self.runner, size)
        return None if runner is None else self._compute(runner)

    def _compute(self, runner: Runner) -> np.ndarray:
        """Compute other features of the sample, without what is said of the images."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ImageWarning)
            return runner.compute(*read_fitted(self.extractor, self.X))

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
    def anatomy(self) -> VGGAnatomy | NetworkAnatomy:
        """The network."""
        return read_anatomy(self.extractor)

    @property
    def cut(self) -> AnyCut:
        """Where the extractor cuts the network."""
        return self.anatomy.cut

    @cached_property
    def runner(self) -> Runner:
        """What computes the network in float32."""
        runner = get_runner(self.extractor)
        return replace(runner, config=EngineConfig(runner.config.engine), verbose=0)

    @cached_property
    def features(self) -> np.ndarray:
        """The features of the sample."""
        return self._compute(get_runner(self.extractor))

    @cached_property
    def depth_features(self) -> dict[str, np.ndarray]:
        """The mean of each feature map of the sample, at the end of each stage: one pass."""
        found = self.anatomy.recut(self.runner, [(each, "avg") for each in self.anatomy.stages])
        if found is None:
            return {}
        runner, outputs = found
        parts = np.split(self._compute(runner), np.cumsum(runner.cut.widths)[:-1], axis=1)
        return {layer.name: part for (layer, _), part in zip(outputs, parts, strict=True)}

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


def describe_pixels(images: Images) -> str:
    """Name the type of the pixels of arrays."""
    arrays: Sequence[np.ndarray] = images.arrays
    return str(arrays[0].dtype) if arrays else "files"
