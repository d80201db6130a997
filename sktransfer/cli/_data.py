"""The images and labels that the options name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from sktransfer.cli._checks import MNIST

_DIGITS = set("0123456789")


def read_data(args: argparse.Namespace) -> tuple[Any, Any, list[str] | None]:
    """Return images, labels, and of a pair of digits the names of classes 0 and 1."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from sktransfer.datasets.loaders import (
        fetch_mnist_pair,
        load_digit_pair,
        read_labelled_images,
    )

    digits = _choose_digits(args)
    n_folds = getattr(args, "folds", 1)  # not every command has folds
    if args.max_images is not None and args.max_images < 2 * n_folds:
        raise ValueError(
            "The '--max-images' option must leave at least one image of two classes for each of "
            f"the {n_folds} folds. Got {args.max_images} instead."
        )
    if args.data is None:
        if len(digits) < 2 or len(set(digits)) < len(digits) or not set(digits) <= _DIGITS:
            raise ValueError(
                "The '--digits' option needs two or more different digits from 0 to 9 where "
                f"'--data' is left out. Got {' '.join(digits)} instead."
            )
        if len(digits) == 2:
            X, y = load_digit_pair((int(digits[0]), int(digits[1])), return_X_y=True)
        else:
            X, y = load_digits(return_X_y=True)
            is_wanted = np.isin(y, [int(digit) for digit in digits])
            X, y = X[is_wanted], y[is_wanted]
    elif args.data == MNIST:
        X, y = fetch_mnist_pair(args.digits or (), return_X_y=True)
    else:
        data = read_labelled_images(args.data, digits=args.digits)
        X, y = data.data, data.target
    if args.max_images is not None and args.max_images < len(y):
        X, _, y, _ = train_test_split(
            X, y, train_size=args.max_images, stratify=y, random_state=args.seed
        )
    return X, y, digits[::-1] if len(digits) == 2 else None


def name_labels(y: Any, names: list[str] | None) -> Any:
    """Return labels by the names of :func:`read_data`, if there are any."""
    import numpy as np

    return y if names is None else np.array(names)[y]


def describe_data(args: argparse.Namespace) -> str:
    """Say what :func:`read_data` reads, without the folder that it lies in."""
    from sktransfer.datasets.bunches import spell

    data = "scikit-learn's embedded digits"
    if args.data is not None:
        data = spell(Path(args.data).name)  # where it lies is nobody's business
    digits = _choose_digits(args)
    if digits:
        data += f", {', '.join(digits)}"
    if args.max_images is not None:
        data += f", a random subset of at most {args.max_images:,} images"
    return data


def _choose_digits(args: argparse.Namespace) -> list[str]:
    """Return the classes that were asked for, or those of the command without data."""
    return args.digits or (args.default_digits if args.data is None else [])
