"""Linear probes: the same images, folds, classifier and scores for all that is compared."""

from sktransfer.evaluation.probing.folding import Folds, Labels, check_labels, make_folds
from sktransfer.evaluation.probing.probe import (
    check_classifier,
    make_classifier,
    make_control,
    raw_pixels,
    score_folds,
    split_estimator,
    time_features,
)
from sktransfer.evaluation.probing.scoring import METRICS, Scorer, make_scorer_of

__all__ = [
    "METRICS",
    "Folds",
    "Labels",
    "Scorer",
    "check_classifier",
    "check_labels",
    "make_classifier",
    "make_control",
    "make_folds",
    "make_scorer_of",
    "raw_pixels",
    "score_folds",
    "split_estimator",
    "time_features",
]
