"""How much the regularisation of the linear probe matters, by features and labels.

Ten digits, standardised: accuracy of logistic regression with C from 0.0001 to 10 on raw pixels and
on `block3_pool` of VGG16 (4,096 features) with the package's own and with random weights. With
ImageNet's weights also on `flatten` at 224 pixels, 25,088 features as in the article, of the first
600 images. The last column has the C that is best by cross-validation on the labelled images.

    python benchmarks/regularisation.py
    python benchmarks/regularisation.py --weights vgg16_notop.h5    # flatten, too
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor
from sktransfer.evaluation.probing.threads import limit_blas
from sktransfer.evaluation.probing.wide import WideLogisticRegression
from sktransfer.results.tables import format_table

_STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
_LABELS, _DRAWS, _TESTED_PART, _FOLDS = (3, 10, 40), 10, 3, 4
#: A pass of 224 pixels takes a tenth of a second for each image.
_N_LARGE = 600


def compute_kinds(weights: Path | None) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Yield what features are called, their values and the labels."""
    X, y = load_digits(return_X_y=True)
    yield "raw pixels", X, y
    for own in ("synthetic", None):
        extractor = VGGFeatureExtractor("block3_pool", weights=own, input_size=32, random_state=0)
        yield f"{own or 'random'} weights", extractor.fit_transform(X), y
    if weights is not None:
        X, y = X[:_N_LARGE], y[:_N_LARGE]
        extractor = VGGFeatureExtractor("flatten", weights=weights, input_size=224)
        yield f"{weights.name}, flatten", extractor.fit_transform(X), y


def score_strengths(features: np.ndarray, y: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the accuracy for each C with so many labels of each digit, and for a chosen one.

    They are means of some draws.
    """
    scores = np.zeros(len(_STRENGTHS) + 1)
    for seed in range(_DRAWS):
        rng = np.random.default_rng(seed)
        parts = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
        train = np.concatenate([part[:n_labels] for part in parts])
        test = np.setdiff1d(np.arange(len(y)), train)
        if len(y) > _N_LARGE:
            test = test[::_TESTED_PART]
        scaler = StandardScaler().fit(features[train])
        seen, unseen = scaler.transform(features[train]), scaler.transform(features[test])
        with limit_blas(seen):
            for i, strength in enumerate(_STRENGTHS):
                probe = WideLogisticRegression(C=strength, max_iter=1000)
                scores[i] += probe.fit(seen, y[train]).score(unseen, y[test]) / _DRAWS
            search = GridSearchCV(
                make_pipeline(StandardScaler(), WideLogisticRegression(max_iter=1000)),
                {"widelogisticregression__C": _STRENGTHS},
                cv=min(_FOLDS, n_labels),
            )
            search.fit(features[train], y[train])
            scores[-1] += search.score(features[test], y[test]) / _DRAWS
    return scores


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--weights", type=Path, help="ImageNet's weights of VGG16, without its top")
    args = parser.parse_args()
    body = []
    for name, features, y in compute_kinds(args.weights):
        for n_labels in _LABELS:
            scores = score_strengths(features, y, n_labels)
            width = f"{features.shape[1]:,}"
            body.append([name, width, f"{n_labels}", *(f"{score:.3f}" for score in scores)])
    header = ["features", "width", "labels of each", *(f"C={each:g}" for each in _STRENGTHS)]
    header.append("chosen")
    print(format_table(header, body))


if __name__ == "__main__":
    main()
