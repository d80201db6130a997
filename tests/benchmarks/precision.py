"""Whether precision costs accuracy: cross-validation and relative error at `block3_pool`.

    python tests/benchmarks/precision.py mnist_6_8.npz vgg19_blocks1-3_notop.h5 [--sizes 32 64]

Digits 8 against 6, all values of VGG19's block3_pool, StandardScaler and logistic regression, the
same 10 folds for every precision; int8 is calibrated on 64 of the images.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor
from sktransfer.datasets import read_labelled_images


def main() -> None:
    """Print a row for each size and precision."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help="an .npz with images and their digits")
    parser.add_argument("weights", help="weights of VGG19")
    parser.add_argument("--sizes", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--pooling", choices=["avg", "max"])
    args = parser.parse_args()

    data = read_labelled_images(args.data, digits=(8, 6))
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    print(f"{len(data.data):,} images, block3_pool, pooling {args.pooling}")
    print("size  precision  engine    relative error  accuracy")
    for size in args.sizes:
        reference = None
        for precision in ("float32", "bfloat16", "int8"):
            extractor = VGGFeatureExtractor(
                "block3_pool",
                architecture="vgg19",
                weights=args.weights,
                pooling=args.pooling,
                input_size=size,
                precision=precision,
                calibration=data.data[:64],
                cache=None,
            )
            features = extractor.fit_transform(data.data)
            reference = features if reference is None else reference
            error = np.linalg.norm(features - reference) / np.linalg.norm(reference)
            model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            scores = cross_val_score(model, features, data.target, cv=folds)
            print(
                f"{size:4}  {precision:9}  {extractor.engine_:8}  {error:14.1e}  "
                f"{scores.mean():.4f} +- {scores.std():.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
