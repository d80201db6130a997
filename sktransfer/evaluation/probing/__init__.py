"""Linear probes: the same images, folds, classifier and scores for all that is compared."""

from sktransfer.evaluation.probing.folding import Folds, make_folds
from sktransfer.evaluation.probing.metrics import METRICS
from sktransfer.evaluation.probing.probe import (
    check_classifier,
    make_classifier,
    make_control,
    make_linear,
    raw_pixels,
    score_folds,
    split_estimator,
    time_features,
)
from sktransfer.evaluation.probing.scoring import Scorer, make_scorer_of
from sktransfer.evaluation.probing.targets import (
    Labels,
    Target,
    check_labels,
    check_target,
    predicts,
)

__all__ = [
    "METRICS",
    "Folds",
    "Labels",
    "Scorer",
    "Target",
    "check_classifier",
    "check_labels",
    "check_target",
    "make_classifier",
    "make_control",
    "make_folds",
    "make_linear",
    "make_scorer_of",
    "predicts",
    "raw_pixels",
    "score_folds",
    "split_estimator",
    "time_features",
]
