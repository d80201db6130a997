"""The best of many: its score corrected for selection, and what is not significantly worse."""

from __future__ import annotations

import numpy as np
import pytest

from sktransfer.evaluation.probing.outcomes import weigh_images, weigh_recalls
from sktransfer.evaluation.probing.selection import compare_with_best, score_choice

N_IMAGES, N_FOLDS = 200, 5
PARTS = np.split(np.arange(N_IMAGES), N_FOLDS)
FOLDS = [(np.setdiff1d(np.arange(N_IMAGES), part), part) for part in PARTS]


def _draw(rng: np.random.Generator, shares: list[float]) -> np.ndarray:
    """Draw which images candidates classify correctly; hard images are hard for all."""
    hard = rng.normal(size=N_IMAGES)
    own = rng.normal(size=(len(shares), N_IMAGES))
    # Of the sum of both, whose variance is 2.
    limits = np.quantile(rng.normal(size=100_000), shares) * np.sqrt(2)
    return hard + own < limits[:, None]


def _scores(correct: np.ndarray) -> np.ndarray:
    return np.stack([correct[:, part].mean(axis=1) for part in PARTS], axis=1)


def test_the_best_of_equals_is_not_better_than_they_are() -> None:
    rng = np.random.default_rng(0)
    best, nested = [], []
    for _ in range(150):
        scores = _scores(_draw(rng, [0.8] * 20))
        best.append(scores.mean(axis=1).max())
        nested.append(score_choice(scores).mean())
    assert np.mean(best) > 0.83
    assert np.mean(nested) == pytest.approx(0.8, abs=0.01)


def test_undefined_scores_are_never_chosen_and_ties_go_to_the_first() -> None:
    scores = np.array([[np.nan, 1.0, 1.0], [0.5, 0.6, 0.7], [0.5, 0.6, 0.7]])
    # Only where its undefined score is left out can the first be chosen, and then has none.
    np.testing.assert_array_equal(score_choice(scores), [np.nan, 0.6, 0.7])


def test_hardly_ever_is_one_of_equals_called_worse_and_a_worse_one_always() -> None:
    rng = np.random.default_rng(0)
    images = weigh_images("accuracy", np.zeros(N_IMAGES), FOLDS)
    wrong = 0
    for _ in range(60):
        correct = _draw(rng, [0.8] * 10)
        scores = _scores(correct)
        best = int(scores.mean(axis=1).argmax())
        found = compare_with_best(scores, list(correct), best, FOLDS, images)
        wrong += any(each.finding == "lower" for each, _ in found)
        assert found[best][0].finding == "equal"
        for each, error in found:
            assert each.finding == "equal" or each.low < each.mean < each.high
            assert error >= 0
    assert wrong <= 6
    correct = _draw(rng, [0.9] * 5 + [0.5])
    found = compare_with_best(_scores(correct), list(correct), 0, FOLDS, images)
    assert found[-1][0].finding == "lower"


def test_accuracy_and_balanced_accuracy_are_one_family() -> None:
    """One class in four is small: each metric by itself is wrong in 5 %, and both in more."""
    rng = np.random.default_rng(0)
    y = np.arange(N_IMAGES) % 4 == 0
    images = weigh_images("accuracy", y, FOLDS)
    balanced = weigh_recalls(y, FOLDS)
    assert images is not None
    n_runs, wrong = 100, {"alone": 0, "together": 0}
    for _ in range(n_runs):
        correct = list(_draw(rng, [0.8] * 4))
        scores = _scores(np.stack(correct))
        by_class = [correct_of.dot(balanced.weights) for correct_of in correct]
        for name, is_one in (("alone", False), ("together", True)):
            found = [
                *compare_with_best(
                    scores, correct, int(scores.mean(axis=1).argmax()), FOLDS, images,
                    others=[balanced] if is_one else [],
                ),
                *compare_with_best(
                    scores, correct, int(np.argmax(by_class)), FOLDS, balanced,
                    others=[images] if is_one else [],
                ),
            ]  # fmt: skip
            wrong[name] += any(each.finding == "lower" for each, _ in found)
    assert wrong["together"] < wrong["alone"]
    assert wrong["together"] <= 0.05 * n_runs


def test_candidates_that_err_on_the_same_images_are_equal() -> None:
    own = np.arange(N_IMAGES) % 5 > 0
    images = weigh_images("accuracy", np.zeros(N_IMAGES), FOLDS)
    correct = [own, own, own]
    found = compare_with_best(_scores(np.stack(correct)), correct, 0, FOLDS, images)
    assert [each.finding for each, _ in found] == ["equal"] * 3
