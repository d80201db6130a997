"""A 10-fold cross-validation with features kept and not kept, with one worker and two, interleaved.

A fresh store each time: what is measured is the first cross-validation, not a second one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor, load_digit_pair


def main() -> None:
    """Print median seconds and the ratio to nothing kept in one process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layer", default="flatten")
    parser.add_argument("--input-size", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()

    X, y = load_digit_pair((8, 6), return_X_y=True)
    extractor = VGGFeatureExtractor(
        args.layer, input_size=args.input_size, weights=None, random_state=0
    )
    extractor.set_params(cache=None).fit_transform(X[:20])  # compiles, in this process
    cross_val_score(LogisticRegression(max_iter=1000), X, y, n_jobs=2)  # starts the workers
    seconds: dict[tuple[bool, int], list[float]] = {
        (keep, n_jobs): [] for n_jobs in (1, 2) for keep in (False, True)
    }
    scores = []
    for _ in range(args.repeats):
        for (keep, n_jobs), times in seconds.items():
            with tempfile.TemporaryDirectory() as folder:
                extractor.set_params(cache=folder if keep else None)
                model = make_pipeline(extractor, StandardScaler(), LogisticRegression())
                start = time.perf_counter()
                scores.append(cross_val_score(model, X, y, cv=10, n_jobs=n_jobs))
                times.append(time.perf_counter() - start)
    assert all(np.array_equal(score, scores[0]) for score in scores)

    plain = statistics.median(seconds[False, 1])
    print(f"{len(X)} images, {args.layer} at {args.input_size} px, 10 folds, equal scores")
    print("kept  n_jobs  seconds  times faster")
    for (keep, n_jobs), times in seconds.items():
        median = statistics.median(times)
        print(f"{'yes' if keep else 'no':4}  {n_jobs:6}  {median:7.1f}  {plain / median:12.1f}")


if __name__ == "__main__":
    main()
