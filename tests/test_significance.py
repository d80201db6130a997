"""The corrected test: its formula by hand, how often it is wrong, and what cannot be judged."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sktransfer.probing.significance import compare_draws, compare_scores

Folds = list[tuple[np.ndarray, np.ndarray]]


def _folds(n_folds: int = 10, n_train: int = 90, n_test: int = 10) -> Folds:
    return [(np.arange(n_train), np.arange(n_test))] * n_folds


def test_formula_by_hand() -> None:
    """Differences 1, 2, 3, 6 (times 0.01): mean 3, variance 14 / 3; n_test / n_train = 1 / 3."""
    reference = np.array([0.5, 0.6, 0.7, 0.8])
    scores = reference + np.array([0.01, 0.02, 0.03, 0.06])
    found = compare_scores(scores, reference, _folds(4, 30, 10))
    error = 0.01 * ((1 / 4 + 1 / 3) * 14 / 3) ** 0.5
    # 3.182446 is the 97.5 % quantile of Student's t with 3 degrees of freedom, from any table.
    assert found.mean == pytest.approx(0.03)
    assert found.high - found.mean == pytest.approx(3.182446 * error, rel=1e-6)
    assert found.mean - found.low == pytest.approx(3.182446 * error, rel=1e-6)
    assert found.p_value == pytest.approx(2 * stats.t(3).cdf(-0.03 / error))
    assert found.finding == "within noise"
    # The usual test, which takes the folds for independent, is surer.
    assert stats.ttest_rel(scores, reference).pvalue < found.p_value


def test_folds_of_unequal_size_count_by_their_images() -> None:
    unequal = [*_folds(2, 31, 9), *_folds(2, 29, 11)]
    scores, reference = [0.9, 0.8, 0.9, 0.7], [0.8, 0.8, 0.7, 0.6]
    assert compare_scores(scores, reference, unequal) == compare_scores(
        scores, reference, _folds(4, 30, 10)
    )


def test_interval_and_p_value_agree_and_turn_round_with_the_sign() -> None:
    rng = np.random.default_rng(0)
    for shift in (-0.05, -0.01, 0.0, 0.01, 0.05):
        scores, reference = rng.normal(0.9 + shift, 0.02, 10), rng.normal(0.9, 0.02, 10)
        found = compare_scores(scores, reference, _folds())
        excludes_zero = not found.low <= 0 <= found.high
        assert (found.p_value < 0.05) == excludes_zero == (found.finding in ("higher", "lower"))
        turned = compare_scores(reference, scores, _folds())
        assert turned.p_value == pytest.approx(found.p_value)
        assert (turned.mean, turned.low) == pytest.approx((-found.mean, -found.high))


def test_it_is_wrong_as_often_as_it_says() -> None:
    """Where nothing differs: 5 in 100 for the corrected test, and far more for the usual one.

    Differences of folds that share training images are correlated by n_test / n_images, which is
    what the correction assumes.
    """
    rng = np.random.default_rng(0)
    n_folds, n_train, n_test = 10, 90, 10
    shared = n_test / (n_train + n_test)
    common = rng.normal(size=(4000, 1))
    own = rng.normal(size=(4000, n_folds))
    differences = 0.01 * (np.sqrt(shared) * common + np.sqrt(1 - shared) * own)
    folds, zero = _folds(n_folds, n_train, n_test), np.zeros(n_folds)
    found = [compare_scores(row, zero, folds).p_value < 0.05 for row in differences]
    assert np.mean(found) == pytest.approx(0.05, abs=0.012)
    assert np.mean(stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05) > 0.12


def test_several_comparisons_are_allowed_for() -> None:
    scores, reference = [0.9, 0.8, 0.9, 0.7], [0.8, 0.8, 0.7, 0.6]
    one = compare_scores(scores, reference, _folds(4))
    three = compare_scores(scores, reference, _folds(4), n_comparisons=3)
    assert three.mean == one.mean
    assert three.p_value == pytest.approx(min(1, 3 * one.p_value))
    quantiles = stats.t(3).ppf([1 - 0.05 / 6, 0.975])
    assert (three.high - one.mean) / (one.high - one.mean) == pytest.approx(
        quantiles[0] / quantiles[1]
    )
    assert compare_scores(scores, reference, _folds(4), n_comparisons=100).p_value == 1


def test_equal_scores_are_equal() -> None:
    scores = [0.9, 1.0, 0.8]
    found = compare_scores(scores, [value + 1e-16 for value in scores], _folds(3))
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert found.finding == "equal"


@pytest.mark.parametrize(
    ("scores", "mean"), [([0.95, 0.85, 0.75], 0.05), ([0.9, float("nan"), 0.8], float("nan"))]
)
def test_what_cannot_be_judged_is_not_judged(scores: list[float], mean: float) -> None:
    """The same difference in every fold leaves no spread; a score may be undefined."""
    found = compare_scores(scores, [0.9, 0.8, 0.7], _folds(3))
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert found.finding == "unclear"


def test_draws_that_share_nothing_are_independent() -> None:
    draws = [(np.arange(6) + 6 * i, np.arange(10) + 10 * i) for i in range(5)]
    scores, reference = [0.9, 0.8, 0.9, 0.7, 0.8], [0.8, 0.8, 0.7, 0.6, 0.8]
    found = compare_draws(scores, reference, draws)
    assert found.p_value == pytest.approx(stats.ttest_rel(scores, reference).pvalue)


def test_draws_correlate_by_what_they_share() -> None:
    """Three draws of four images, two by two with 1, 2 and 3 in common: a half on the average."""
    parts = [np.array(part) for part in ([0, 1, 2, 3], [3, 4, 5, 6], [2, 3, 4, 0])]
    tests = [np.arange(5) + 10 * i for i in range(3)]
    scores, reference = [0.9, 0.8, 0.7], [0.8, 0.75, 0.68]
    found = compare_draws(scores, reference, list(zip(parts, tests, strict=True)))
    error = np.std(np.subtract(scores, reference), ddof=1) * np.sqrt(1 / 3 + 0.5 / 0.5)
    assert found.high - found.mean == pytest.approx(4.302653 * error, rel=1e-6)
    # Whichever is more, training or test images.
    turned = compare_draws(scores, reference, list(zip(tests, parts, strict=True)))
    assert turned == found


def test_draws_of_the_same_images_tell_nothing() -> None:
    draws = [(np.arange(6), np.arange(6, 9))] * 3
    assert compare_draws([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], draws).finding == "unclear"
