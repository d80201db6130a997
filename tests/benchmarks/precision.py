"""Whether precision costs accuracy: cross-validation and relative error at `block3_pool`.

    python tests/benchmarks/precision.py mnist_6_8.npz vgg19_blocks1-3_notop.h5 [--sizes 32 64]

Digits 8 against 6, all values of VGG19's block3_pool, StandardScaler and logistic regression, the
same 10 folds for every precision; int8 is calibrated on 64 of the images. Then the error of int8 on
digits and on crops of scikit-learn's two photographs, calibrated on either.
"""

from __future__ import annotations

import argparse

import numpy as np
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import VGGFeatureExtractor
from sktransfer.datasets import read_labelled_images


def compare_calibrations(digits: np.ndarray, weights: str, size: int) -> None:
    """Print the error of int8 on digits and photographs, calibrated on either."""
    rng = np.random.default_rng(0)
    crops = []
    for i in range(96):
        photo = load_sample_images().images[i % 2]
        side = int(rng.integers(100, 400))
        top, left = (int(rng.integers(0, n - side)) for n in photo.shape[:2])
        crops.append(photo[top : top + side, left : left + side])
    digits = digits[rng.permutation(len(digits))[:96]]
    images = {"digits": digits, "photographs": crops}
    for tested, shown in images.items():
        extractor = VGGFeatureExtractor(
            "block3_pool", architecture="vgg19", weights=weights, input_size=size, cache=None
        )
        reference = extractor.fit_transform(shown[64:])
        for calibrated, known in images.items():
            extractor.set_params(precision="int8", calibration=known[:64])
            features = extractor.fit_transform(shown[64:])
            error = np.linalg.norm(features - reference) / np.linalg.norm(reference)
            print(f"{size:4}  int8 on {tested:11}  calibrated on {calibrated:11}  {error:8.1e}")


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
    for size in args.sizes:
        compare_calibrations(data.data, args.weights, size)


if __name__ == "__main__":
    main()
