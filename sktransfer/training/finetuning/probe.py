"""The linear probe that a head starts from: scikit-learn's logistic regression, or ridge.

A linear model with an L2 penalty lies in the span of its rows. So features of more columns than
rows are turned into as many columns as rows first, which changes neither the solution nor what is
held out, and makes trying several penalties cheap.
"""

from __future__ import annotations

import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace

import numpy as np
from scipy.linalg import eigh
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from threadpoolctl import threadpool_limits

from sktransfer.training.finetuning.examples import Examples
from sktransfer.training.finetuning.folds import hold_out_rows
from sktransfer.training.finetuning.head import Head
from sktransfer.training.finetuning.objectives import Classification, Objective

# Size of the table that is fitted. Of larger ones, as many rows as fit are drawn.
_BYTES = 64 << 20
# Inverse penalties to choose from. The rows of a head have a length of up to 10 on average, so that
# 0.01 hardly moves the output, and 100 fits what can be fitted.
_INVERSE_PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
# As the mean squared error of a linear model is not bounded, ridge may shrink its output further.
_PENALTIES = tuple(np.logspace(-2, 4, 13))
# Directions in which rows differ by less than this share of the largest are rounding errors.
_SMALLEST = 1e-10
_TOLERANCE, _MAX_ITER = 1e-6, 1000


def count_fitted(n_rows: int, n_features: int) -> int:
    """Return how many of these rows a probe is fitted on."""
    values = _BYTES // 8
    fitting = max(values // n_features, int(values**0.5))
    return min(n_rows, fitting)


def fit_probe(
    examples: Examples, head: Head, objective: Objective, seed: int, batch_size: int
) -> Head:
    """Fit a linear head on features, scaled as a drawn one scales them.

    Parameters
    ----------
    examples : Examples
        Features with targets and weights.
    head : Head
        A drawn head without hidden layers.
    objective : Objective
        What is made small.
    seed : int
        Of folds, and of the rows that are drawn where not all fit in memory.
    batch_size : int
        Rows that are read at a time, at least.
    """
    n_fitted = count_fitted(len(examples), len(head.mean))
    if n_fitted < len(examples):
        drawn = np.random.default_rng(seed).permutation(len(examples))[:n_fitted]
        examples = examples.take(np.sort(drawn))
    examples = examples.take(np.flatnonzero(examples.weights)).scaled()
    # A block of rows at a time, so that a file is read once for each block and not for each row.
    block = max(batch_size, _BYTES // (8 * len(head.mean)))
    # The number of threads would change the last bits.
    with threadpool_limits(1, user_api="blas"):
        kernel, bias = _fit(examples, head, objective, seed, block)
    return Head(head.mean, head.variance, [(kernel.astype(np.float32), bias.astype(np.float32))])


def _fit(
    examples: Examples, head: Head, objective: Objective, seed: int, block: int
) -> tuple[np.ndarray, np.ndarray]:
    def solve(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(objective, Classification):
            first = head.dense[-1][1]
            return _solve_classes(rows, examples.targets, examples.weights, first, seed)
        return _solve_values(rows, examples.targets, examples.weights)

    scaled = replace(head, dense=[])
    if len(head.mean) <= len(examples):
        return solve(np.concatenate([rows for rows, _ in _blocks(examples, scaled, block)]))
    directions, lengths = _decompose(_products(examples, scaled, block))
    if not len(lengths):  # a single row, or equal ones
        return np.zeros((len(head.mean), head.n_outputs)), head.dense[-1][1]
    by_direction, bias = solve(directions * lengths)
    by_row = directions @ (by_direction / lengths[:, None])
    kernel = np.zeros((len(head.mean), head.n_outputs))
    for rows, chosen in _blocks(examples, scaled, block):
        kernel += rows.T @ by_row[chosen]
    return kernel, bias


def _solve_classes(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, first: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a logistic regression whose penalty has the lowest loss in a cross-validation.

    Classes that have no rows keep their first output.
    """
    kernel: np.ndarray = np.zeros((rows.shape[1], len(first)))
    bias = first.astype(np.float64)
    if len(np.unique(targets)) < 2:
        return kernel, bias
    losses: np.ndarray = np.zeros(len(_INVERSE_PENALTIES))
    for train, test in hold_out_rows(targets, seed, is_stratified=True):
        for i, penalty in enumerate(_INVERSE_PENALTIES):
            model = _fit_logistic(rows[train], targets[train], weights[train], penalty)
            # Of a class with one row none can be held out.
            known = test[np.isin(targets[test], model.classes_)]
            columns = np.searchsorted(model.classes_, targets[known])
            shares = model.predict_log_proba(rows[known])[np.arange(len(known)), columns]
            losses[i] -= shares @ weights[known]
    best = _INVERSE_PENALTIES[int(losses.argmin())] if losses.any() else 1.0
    model = _fit_logistic(rows, targets, weights, best)
    found, offsets = model.coef_.T, model.intercept_
    if len(model.classes_) == 2:  # two outputs, whose difference is the one of scikit-learn
        found, offsets = np.hstack([-found, found]) / 2, np.array([-1, 1]) * offsets / 2
    kernel[:, model.classes_], bias[model.classes_] = found, offsets
    return kernel, bias


def _solve_values(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a ridge regression whose penalty has the lowest error where each row is left out."""
    model = RidgeCV(_PENALTIES).fit(rows, targets, sample_weight=weights)
    return model.coef_.reshape(targets.shape[1], -1).T, model.intercept_.reshape(-1)


def _fit_logistic(
    rows: np.ndarray, targets: np.ndarray, weights: np.ndarray, penalty: float
) -> LogisticRegression:
    model = LogisticRegression(C=penalty, tol=_TOLERANCE, max_iter=_MAX_ITER)
    with warnings.catch_warnings():
        # Where hardly anything is penalised the last steps are long and change nothing.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows, targets, sample_weight=weights)


def _blocks(
    examples: Examples, scaled: Head, size: int
) -> Generator[tuple[np.ndarray, np.ndarray]]:
    """Yield scaled features of so many rows at a time, and which rows they are."""
    start = 0
    for features, _ in examples.in_batches(size):
        yield scaled(features), np.arange(start, start + len(features))
        start += len(features)


def _products(examples: Examples, scaled: Head, size: int) -> np.ndarray:
    """Compute the product of each pair of rows, without all rows in memory."""
    products = np.empty((len(examples), len(examples)))
    for lines, chosen in _blocks(examples, scaled, size):
        with closing(_blocks(examples, scaled, size)) as others:
            for rows, columns in others:
                products[np.ix_(chosen, columns)] = lines @ rows.T
                if columns[-1] == chosen[-1]:
                    break
    lower = np.tril(products)
    return lower + np.tril(products, -1).T


def _decompose(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in as many columns as they have directions, as directions and lengths."""
    squares, directions = eigh(products)
    is_kept = squares > _SMALLEST * max(squares[-1], np.finfo(np.float64).tiny)
    return directions[:, is_kept], np.sqrt(squares[is_kept])
