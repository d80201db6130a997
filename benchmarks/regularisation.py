"""How much the regularisation of the linear probe matters, by features and labels.

Ten digits, standardised: accuracy of logistic regression with C from 0.0001 to 10 on raw pixels and
on `block3_pool` of VGG16 (4,096 features) with the package's own and with random weights.

    python benchmarks/regularisation.py
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor
from sktransfer.evaluation.probing.threads import limit_blas
from sktransfer.evaluation.probing.wide import WideLogisticRegression
from sktransfer.results.tables import format_table

_STRENGTHS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
_LABELS, _DRAWS = (3, 10, 40), 3


def main() -> None:
    """Measure, and print."""
    X, y = load_digits(return_X_y=True)
    kinds = {"raw pixels": X}
    for weights in ("synthetic", None):
        extractor = VGGFeatureExtractor(
            "block3_pool", weights=weights, input_size=32, random_state=0
        )
        kinds[f"{weights or 'random'} weights"] = extractor.fit_transform(X)
    body = []
    for name, features in kinds.items():
        for n_labels in _LABELS:
            scores = np.zeros(len(_STRENGTHS))
            for seed in range(_DRAWS):
                rng = np.random.default_rng(seed)
                parts = [rng.permutation(np.flatnonzero(y == digit)) for digit in range(10)]
                train = np.concatenate([part[:n_labels] for part in parts])
                test = np.setdiff1d(np.arange(len(y)), train)[::3]
                scaler = StandardScaler().fit(features[train])
                seen, unseen = scaler.transform(features[train]), scaler.transform(features[test])
                with limit_blas(seen):
                    for i, strength in enumerate(_STRENGTHS):
                        probe = WideLogisticRegression(C=strength, max_iter=1000)
                        scores[i] += probe.fit(seen, y[train]).score(unseen, y[test]) / _DRAWS
            width = f"{features.shape[1]:,}"
            body.append([name, width, f"{n_labels}", *(f"{score:.3f}" for score in scores)])
    header = ["features", "width", "labels of each", *(f"C={each:g}" for each in _STRENGTHS)]
    print(format_table(header, body))


if __name__ == "__main__":
    main()
