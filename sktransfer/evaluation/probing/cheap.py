"""Cheap scores of features: neighbours, class centres, and estimates that fit no classifier.

They show in milliseconds which features are likely to be good, where a linear probe takes seconds.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor, NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer.evaluation.probing.folding import Folds
from sktransfer.evaluation.probing.threads import limit_blas

_NEIGHBOURS = 5
_N_ITERATIONS = 30
# Of the within-class variance, what is added to every direction: few images leave many unknown.
_SHRINKAGE = 0.1
# Directions that LEEP's clusters are found in.
_N_DIRECTIONS = 16


def score_cheaply(
    features: np.ndarray, y: np.ndarray, folds: Folds, *, kind: str = "classes"
) -> dict[str, float]:
    """Score features by five cheap measures; higher is better in each.

    Parameters
    ----------
    features : ndarray of shape (n_images, n_features)
        Features.
    y : ndarray of shape (n_images,) or (n_images, n_labels)
        Classes, numbers, or 1 for each label that an image has.
    folds : list of tuple of ndarray
        Training and test images of the two classifiers.
    kind : {'classes', 'numbers', 'labels'}, default='classes'
        What `y` holds.

    Returns
    -------
    dict of str to float
        ``knn`` and ``centroid`` are the accuracies, over the folds, of five nearest neighbours and
        of the nearest class centre, on features that are standardised in every fold. ``logme``,
        ``h_score`` and ``leep`` fit no classifier and look at all images, standardised once: the
        evidence of a linear model, the share of variance between classes, and the likelihood of the
        classes given clusters.

    References
    ----------
    K. You et al., "LogME: Practical assessment of pre-trained models for transfer learning", 2021,
    https://arxiv.org/abs/2102.11005. Y. Bao et al., "An information-theoretic approach to
    transferability in task transfer learning", 2019, https://doi.org/10.1109/ICIP.2019.8803726
    (H-score). C. Nguyen et al., "LEEP: A new measure to evaluate transferability of learned
    representations", 2020, https://arxiv.org/abs/2002.12462; for features without classes of their
    own as Y. Li et al., "Ranking neural checkpoints", 2020, https://arxiv.org/abs/2011.11200,
    propose: with the clusters of a Gaussian mixture.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.model_selection import StratifiedKFold
    >>> from sktransfer.evaluation.probing.cheap import score_cheaply
    >>> X, y = load_iris(return_X_y=True)
    >>> folds = list(StratifiedKFold(5).split(X, y))
    >>> for name, score in score_cheaply(X, y, folds).items():
    ...     print(name, f"{score:.2f}")
    knn 0.96
    centroid 0.87
    logme -0.64
    h_score 1.10
    leep -0.13
    """
    with limit_blas(features), warnings.catch_warnings():
        # Of a mixture that has not converged, and of features that are constant within classes.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        few = min(_NEIGHBOURS, min(len(train) for train, _ in folds))
        left, lengths = _rotate(_scaler().fit_transform(features))
        if kind != "classes":
            near, targets = _score_quantities(features, y, folds, few)
            return {"knn": near, "logme": _logme(left, lengths, targets)}
        targets = (y[:, None] == np.unique(y)).astype(float)
        # Covariances and clusters stay the same, in as few values as there are images.
        rotated = left * lengths
        return {
            "knn": _score(KNeighborsClassifier(few), features, y, folds),
            "centroid": _score(NearestCentroid(), features, y, folds),
            "logme": _logme(left, lengths, targets),
            "h_score": _h_score(rotated, targets),
            "leep": _leep(rotated, targets),
        }


def _scaler() -> StandardScaler:
    return StandardScaler().set_output(transform="default")


def _score_quantities(
    features: np.ndarray, y: np.ndarray, folds: Folds, n_neighbours: int
) -> tuple[float, np.ndarray]:
    """Score numbers or several labels by neighbours; return the targets of LogME too."""
    if y.ndim == 1:
        near = _score(KNeighborsRegressor(n_neighbours), features, y, folds)
        return near, ((y - y.mean()) / y.std())[:, None]
    model = make_pipeline(_scaler(), KNeighborsClassifier(n_neighbours))
    right = [
        (model.fit(features[train], y[train]).predict(features[test]) == y[test]).mean()
        for train, test in folds
    ]
    return float(np.mean(right)), y.astype(float)


def _score(last: Any, features: np.ndarray, y: np.ndarray, folds: Folds) -> float:
    """Score what predicts from features that are standardised by the images learned from."""
    model = make_pipeline(_scaler(), last)
    scores = [
        model.fit(features[train], y[train]).score(features[test], y[test]) for train, test in folds
    ]
    return float(np.mean(scores))


def _rotate(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the left singular vectors and the singular values, from the smaller Gram matrix."""
    is_wide = values.shape[1] > len(values)
    gram = values @ values.T if is_wide else values.T @ values
    squares, vectors = np.linalg.eigh(gram.astype(np.float64))
    is_kept = squares > squares[-1] * len(gram) * np.finfo(gram.dtype).eps
    lengths = np.sqrt(squares[is_kept][::-1])
    vectors = vectors[:, is_kept][:, ::-1]
    return (vectors if is_wide else values @ vectors / lengths), lengths


def _logme(left: np.ndarray, lengths: np.ndarray, targets: np.ndarray) -> float:
    """Return the largest log evidence of Bayesian linear regression, per image, mean of classes."""
    n, squares = len(left), lengths**2
    evidences = []
    for target in targets.T:
        projected = (left.T @ target) ** 2
        rest = max(float(target @ target - projected.sum()), 0.0)
        alpha = beta = 1.0
        for _ in range(_N_ITERATIONS):
            gamma = float((beta * squares / (alpha + beta * squares)).sum())
            weights = float((beta**2 * squares * projected / (alpha + beta * squares) ** 2).sum())
            misses = float((projected * alpha**2 / (alpha + beta * squares) ** 2).sum()) + rest
            alpha, beta = gamma / max(weights, 1e-12), (n - gamma) / max(misses, 1e-12)
        evidence = (
            n * np.log(beta)
            + len(squares) * np.log(alpha)
            - n * np.log(2 * np.pi)
            - np.log(alpha + beta * squares).sum()
            - beta * misses
            - alpha * weights
        )
        evidences.append(evidence / 2 / n)
    return float(np.mean(evidences))


def _h_score(values: np.ndarray, targets: np.ndarray) -> float:
    """Return the variance between class means, in units of all variance, which is shrunk."""
    counts = targets.sum(axis=0)
    means = (targets.T @ values) / counts[:, None]
    between = (means * counts[:, None]).T @ means / len(values)
    # Coordinates are uncorrelated: the covariance is a diagonal.
    variances = (values**2).mean(axis=0)
    return float((np.diagonal(between) / (variances + _SHRINKAGE * variances.mean())).sum())


def _leep(values: np.ndarray, targets: np.ndarray) -> float:
    """Return the mean log likelihood of the classes, given the clusters of each image."""
    shown = values[:, :_N_DIRECTIONS]
    n_clusters = min(5 * targets.shape[1], len(values) // 4)
    mixture = GaussianMixture(n_clusters, covariance_type="diag", reg_covar=1e-3, random_state=0)
    shares = mixture.fit(shown).predict_proba(shown)
    joint = targets.T @ shares / len(values)
    given = joint / np.maximum(joint.sum(axis=0), 1e-300)
    return float(np.log(np.maximum((shares @ given.T * targets).sum(axis=1), 1e-300)).mean())
