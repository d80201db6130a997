"""The corrected test: its formula by hand, how often it is wrong, and what cannot be judged."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats
from sklearn.model_selection import StratifiedKFold

from sktransfer.evaluation.probing.outcomes import (
    ImageWeights,
    by_images,
    variance_within,
    weigh_images,
)
from sktransfer.evaluation.probing.significance import (
    PairedTest,
    by_draws,
    by_folds,
    count_tests,
    judge_alone,
    judge_together,
)

Folds = list[tuple[np.ndarray, np.ndarray]]


def _folds(n_folds: int = 10, n_train: int = 90, n_test: int = 10) -> Folds:
    return [(np.arange(n_train), np.arange(n_test))] * n_folds


def test_formula_by_hand() -> None:
    """Differences 1, 2, 3, 6 (times 0.01): mean 3, variance 14 / 3; n_test / n_train = 1 / 3."""
    reference = np.array([0.5, 0.6, 0.7, 0.8])
    scores = reference + np.array([0.01, 0.02, 0.03, 0.06])
    found = judge_alone(by_folds(scores, reference, _folds(4, 30, 10)))
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
    assert judge_alone(by_folds(scores, reference, unequal)) == judge_alone(
        by_folds(scores, reference, _folds(4, 30, 10))
    )


def test_interval_and_p_value_agree_and_turn_round_with_the_sign() -> None:
    rng = np.random.default_rng(0)
    for shift in (-0.05, -0.01, 0.0, 0.01, 0.05):
        scores, reference = rng.normal(0.9 + shift, 0.02, 10), rng.normal(0.9, 0.02, 10)
        found = judge_alone(by_folds(scores, reference, _folds()))
        excludes_zero = not found.low <= 0 <= found.high
        assert (found.p_value < 0.05) == excludes_zero == (found.finding in ("higher", "lower"))
        turned = judge_alone(by_folds(reference, scores, _folds()))
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
    found = [judge_alone(by_folds(row, zero, folds)).p_value < 0.05 for row in differences]
    assert np.mean(found) == pytest.approx(0.05, abs=0.012)
    assert np.mean(stats.ttest_1samp(differences, 0, axis=1).pvalue < 0.05) > 0.12


def test_several_comparisons_are_allowed_for() -> None:
    scores, reference = [0.9, 0.8, 0.9, 0.7], [0.8, 0.8, 0.7, 0.6]
    one = judge_alone(by_folds(scores, reference, _folds(4)))
    three = judge_alone(by_folds(scores, reference, _folds(4)), n_comparisons=3)
    assert three.mean == one.mean
    assert three.p_value == pytest.approx(min(1, 3 * one.p_value))
    quantiles = stats.t(3).ppf([1 - 0.05 / 6, 0.975])
    assert (three.high - one.mean) / (one.high - one.mean) == pytest.approx(
        quantiles[0] / quantiles[1]
    )
    assert judge_alone(by_folds(scores, reference, _folds(4)), n_comparisons=100).p_value == 1


def test_equal_scores_are_equal() -> None:
    scores = [0.9, 1.0, 0.8]
    found = judge_alone(by_folds(scores, [value + 1e-16 for value in scores], _folds(3)))
    assert (found.mean, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert found.finding == "equal"


@pytest.mark.parametrize(
    ("scores", "mean"), [([0.95, 0.85, 0.75], 0.05), ([0.9, float("nan"), 0.8], float("nan"))]
)
def test_what_cannot_be_judged_is_not_judged(scores: list[float], mean: float) -> None:
    """The same difference in every fold leaves no spread; a score may be undefined."""
    found = judge_alone(by_folds(scores, [0.9, 0.8, 0.7], _folds(3)))
    assert found.mean == pytest.approx(mean, nan_ok=True)
    assert np.isnan([found.low, found.high, found.p_value]).all()
    assert found.finding == "unclear"


def test_draws_that_share_nothing_are_independent() -> None:
    draws = [(np.arange(6) + 6 * i, np.arange(10) + 10 * i) for i in range(5)]
    scores, reference = [0.9, 0.8, 0.9, 0.7, 0.8], [0.8, 0.8, 0.7, 0.6, 0.8]
    found = judge_alone(by_draws(scores, reference, draws))
    assert found.p_value == pytest.approx(stats.ttest_rel(scores, reference).pvalue)


def test_draws_correlate_by_what_they_share() -> None:
    """Three draws of four images, two by two with 1, 2 and 3 in common: a half on the average."""
    parts = [np.array(part) for part in ([0, 1, 2, 3], [3, 4, 5, 6], [2, 3, 4, 0])]
    tests = [np.arange(5) + 10 * i for i in range(3)]
    scores, reference = [0.9, 0.8, 0.7], [0.8, 0.75, 0.68]
    found = judge_alone(by_draws(scores, reference, list(zip(parts, tests, strict=True))))
    error = np.std(np.subtract(scores, reference), ddof=1) * np.sqrt(1 / 3 + 0.5 / 0.5)
    assert found.high - found.mean == pytest.approx(4.302653 * error, rel=1e-6)
    # Whichever is more, training or test images.
    turned = judge_alone(by_draws(scores, reference, list(zip(tests, parts, strict=True))))
    assert turned == found


def test_draws_of_the_same_images_tell_nothing() -> None:
    draws = [(np.arange(6), np.arange(6, 9))] * 3
    assert judge_alone(by_draws([0.9, 0.8, 0.9], [0.8, 0.8, 0.7], draws)).finding == "unclear"


def _images(y: np.ndarray, folds: Folds, **params: Any) -> ImageWeights:
    images = weigh_images(params.pop("metric", "accuracy"), y, folds, **params)
    assert images is not None
    return images


def _halves(n: int) -> Folds:
    first, second = np.arange(n // 2), np.arange(n // 2, n)
    return [(second, first), (first, second)]


def test_images_by_hand() -> None:
    """13 images are right in one row only, 3 in the other one only, of 100; n_test = n_train."""
    own, reference = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    own[:3] = reference[40:53] = False
    test = by_images([own], [reference], _images(np.zeros(100), _halves(100)))
    found = judge_alone(test)
    statistic = (13 - 3 - 0.5) / np.sqrt(2 * (13 + 3))
    assert found.mean == pytest.approx(0.10)
    assert found.p_value == pytest.approx(2 * stats.t(99).sf(statistic))
    # The interval holds what the test does not reject.
    for end, sign in ((found.low, -1), (found.high, 1)):
        excess = abs(found.mean - end) - 0.005
        error = np.sqrt(2 * (16 / 100**2 - end**2 / 100))
        assert excess / error == pytest.approx(stats.t(99).ppf(0.975))
        assert np.sign(end - found.mean) == sign
    turned = judge_alone(by_images([reference], [own], _images(np.zeros(100), _halves(100))))
    assert (turned.mean, turned.low, turned.high) == pytest.approx(
        (-found.mean, -found.high, -found.low)
    )


def test_the_same_images_right_are_equal_and_a_constant_gain_is_tested() -> None:
    images = _images(np.zeros(100), _halves(100))
    own = np.arange(100) % 4 > 0
    assert judge_alone(by_images([own], [own], images)).finding == "equal"
    # The same in every fold, so that no test of fold scores is possible.
    better = own.copy()
    better[:100:4] = True
    assert judge_alone(by_images([better], [own], images)).finding == "higher"
    assert judge_alone(by_folds([1.0, 1.0], [0.75, 0.75], _halves(100))).finding == "unclear"


def test_balanced_accuracy_weighs_classes_alike() -> None:
    y = np.tile([0] * 9 + [1], 10)
    own, reference = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    reference[y == 1] = False
    balanced = by_images([own], [reference], _images(y, _halves(100), metric="balanced_accuracy"))
    assert balanced.mean == pytest.approx(0.5)
    assert by_images([own], [reference], _images(y, _halves(100))).mean == pytest.approx(0.1)
    assert weigh_images("f1", y, _halves(100)) is None


def test_images_of_a_group_count_as_one() -> None:
    own, reference = np.ones(100, dtype=bool), np.ones(100, dtype=bool)
    reference[:20] = False
    alone = by_images([own], [reference], _images(np.zeros(100), _halves(100)))
    groups = np.arange(100) // 10
    grouped = by_images([own], [reference], _images(np.zeros(100), _halves(100), groups=groups))
    assert grouped.mean == pytest.approx(alone.mean)
    assert grouped.p_value > 0.2 > 0.01 > alone.p_value


def test_an_image_that_is_tested_twice_counts_once() -> None:
    rng = np.random.default_rng(0)
    own, reference = rng.random((2, 100)) < [[0.9], [0.7]]
    once = by_images([own], [reference], _images(np.zeros(100), _halves(100)))
    twice = by_images(
        [np.tile(own, 2)], [np.tile(reference, 2)], _images(np.zeros(100), _halves(100) * 2)
    )
    assert twice.p_value == pytest.approx(once.p_value)


def test_draws_that_differ_widen_the_test() -> None:
    rng = np.random.default_rng(0)
    images = _images(np.zeros(400), _halves(400))
    own = rng.random(400) < 0.95

    def draws(*shares: float) -> list[np.ndarray]:
        return [rng.random(400) < share for share in shares]

    alike = by_images([own], draws(0.8, 0.8, 0.8), images)
    unlike = by_images([own], draws(0.65, 0.8, 0.95), images)
    assert unlike.variance > 2 * alike.variance
    assert unlike.dof < 5 < alike.dof
    # Two degrees of freedom of the draws, and their spread in the variance of the mean.
    assert unlike.p_value > 0.05 > alike.p_value


def test_the_luck_of_one_seed_is_a_finding_and_that_of_several_is_not() -> None:
    """Random networks are as good as the other row on the average; each seed by itself is not."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    folds = list(StratifiedKFold(10, shuffle=True, random_state=0).split(y, y))
    images = _images(y, folds)
    n_runs, wrong = 300, {1: 0, 3: 0, 5: 0}
    for n_controls in wrong:
        for _ in range(n_runs):
            own = rng.random(400) < 0.8
            seeds = [rng.random(400) < 0.8 + 0.06 * rng.normal() for _ in range(n_controls)]
            found = judge_alone(by_images([own], seeds, images))
            wrong[n_controls] += found.finding != "within noise"
    assert wrong[1] > 0.25 * n_runs
    assert wrong[3] < 0.08 * n_runs
    assert wrong[5] < 0.08 * n_runs


def test_holm_corrects_all_tests_together() -> None:
    tests = [PairedTest(mean, 1.0, 1000) for mean in (2.0, -3.0, 0.5, 2.5, np.nan, 0.0)]
    tests[4] = PairedTest(0.1, np.nan, 9)
    tests[5] = PairedTest(0.0, 0.0, 9)
    assert count_tests(tests) == 5
    found = judge_together(tests)
    plain = [test.p_value for test in tests]
    expected = [3 * plain[0], 5 * plain[1], 2 * plain[2], 4 * plain[3]]
    expected[3] = max(expected[1], expected[3])
    expected[0] = max(expected[3], expected[0])
    expected[2] = min(1.0, max(expected[0], expected[2]))
    assert [each.p_value for each in found[:4]] == pytest.approx(expected)
    assert np.isnan(found[4].p_value)
    assert found[5].p_value == 1
    findings = [each.finding for each in found]
    noise = "within noise"
    first = "higher" if expected[3] < 0.05 else noise
    assert findings == [noise, "lower", noise, first, "unclear", "equal"]
    for each in found[:4]:
        assert (each.low <= 0 <= each.high) == (each.finding == noise)


def test_a_family_of_nulls_has_one_error_in_twenty() -> None:
    rng = np.random.default_rng(0)
    wrong = 0
    for _ in range(1500):
        tests = [PairedTest(mean, 1.0, 1e9) for mean in rng.normal(size=10)]
        wrong += any(each.finding != "within noise" for each in judge_together(tests))
    assert wrong / 1500 == pytest.approx(0.05, abs=0.012)


def test_what_varies_with_test_images_is_not_shared_by_draws() -> None:
    """Draws that share half of their training images, but no test image."""
    rng = np.random.default_rng(0)
    parts = [np.array(part) for part in ([0, 1, 2, 3], [3, 4, 5, 6], [2, 3, 4, 0])]
    tests = [np.arange(5) + 10 * i for i in range(3)]
    draws = list(zip(parts, tests, strict=True))
    scores, reference = [0.9, 0.8, 0.7], [0.8, 0.75, 0.68]
    whole = by_draws(scores, reference, draws)
    spread = np.var(np.subtract(scores, reference), ddof=1)
    half = by_draws(scores, reference, draws, within=spread / 2)
    assert whole.variance == pytest.approx(spread * (1 / 3 + 1))
    assert half.variance == pytest.approx(spread * (1 / 3 + 0.5))
    images = _images(
        np.zeros(4000), [(np.arange(10), np.arange(i * 400, i * 400 + 400)) for i in range(10)]
    )
    own, other = rng.random((2, 4000)) < [[0.9], [0.7]]
    expected = (0.9 * 0.1 + 0.7 * 0.3) / 400
    assert variance_within([own], [other], images) == pytest.approx(expected, rel=0.1)
