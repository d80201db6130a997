"""The subject of a diagnosis: an extractor, alone or in a pipeline with the steps around it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.utils.validation import check_is_fitted

from sktransfer.base import name_extractor_in
from sktransfer.evaluation.probing import make_classifier
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.inputs.images import ImageWarning

_WHO = "diagnose"


@dataclass(frozen=True)
class Subject:
    """An extractor and the steps around it.

    Attributes
    ----------
    before : list of estimator
        Steps that images go through before the extractor.
    extractor : FeatureExtractor
        The extractor, as given.
    after : list of estimator
        Steps that features go through, a classifier last if there is one.
    is_fitted : bool
        Whether all of it is fitted.
    """

    before: list[Any]
    extractor: FeatureExtractor
    after: list[Any]
    is_fitted: bool

    @property
    def has_classifier(self) -> bool:
        """Whether the user gave the classifier."""
        return bool(self.after) and is_classifier(self.after[-1])

    def make_downstream(self) -> Any:
        """Return what the user does with features, with the default classifier if there is none."""
        if not self.after:
            return make_classifier()
        steps = [clone(step) for step in self.after]
        return make_pipeline(*steps, *([] if self.has_classifier else [make_classifier()]))

    def show(self, X: Any, y: Any) -> Any:
        """Return the images as the extractor meets them, behind the steps before it."""
        for step in self.before:
            X = step.transform(X) if self.is_fitted else clone(step).fit_transform(X, y)
        return X

    def fit_extractor(self, X: Any) -> FeatureExtractor:
        """Return the extractor, a fitted copy if it is not; it says nothing of what it guesses."""
        if self.is_fitted:
            return self.extractor
        extractor = clone(self.extractor).set_params(verbose=0)
        with warnings.catch_warnings():
            # A finding says so instead, with evidence.
            warnings.simplefilter("ignore", ImageWarning)
            return extractor.fit(X)


def read_subject(estimator: Any) -> Subject:
    """Find the extractor and what stands around it."""
    steps = _steps(estimator)
    places = [i for i, step in enumerate(steps) if isinstance(step, FeatureExtractor)]
    if len(places) != 1:
        hint = (
            " For a search, pass its best_estimator_."
            if hasattr(estimator, "cv_results_") or hasattr(estimator, "param_grid")
            else ""
        )
        found = "none" if not places else f"{len(places)} of them"
        raise TypeError(
            f"{_WHO} needs a VGGFeatureExtractor or an ImageFeatureExtractor, or a Pipeline in "
            f"which one is a step. Got {type(estimator).__name__} with {found}.{hint} For "
            f"unions and column transformers, pass the extractor itself.{name_extractor_in(*steps)}"
        )
    if is_regressor(steps[-1]):
        raise ValueError(
            f"{_WHO} needs a pipeline that ends with a classifier, or with the features. Got one "
            f"that ends with {type(steps[-1]).__name__}, a regressor: pass the extractor alone, "
            "without y."
        )
    (place,) = places
    return Subject(
        steps[:place], steps[place], steps[place + 1 :], all(_is_fitted(each) for each in steps)
    )


def _steps(estimator: Any) -> list[Any]:
    """List the steps of a pipeline, and of pipelines in it, in order."""
    if not isinstance(estimator, Pipeline):
        return [estimator]
    named = [step for _, step in estimator.steps if step not in (None, "passthrough")]
    return [inner for step in named for inner in _steps(step)]


def _is_fitted(step: Any) -> bool:
    try:
        check_is_fitted(step)
    except (NotFittedError, TypeError):
        return False
    return True
