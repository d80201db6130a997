"""What a comparison says in words, for every way in which it can come out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sktransfer.evaluation.comparison.rows import ComparisonRow, FewLabels, best_of, best_raw_at
from sktransfer.evaluation.comparison.verdict import say_p, say_resolution, word_verdict
from sktransfer.evaluation.probing.significance import by_draws, by_folds, judge_alone

FOLDS = [(np.arange(900), np.arange(100))] * 10
# Ten folds of noise with mean zero.
NOISE = np.array([3, -3, 2, -2, 4, -4, 1, -1, 2, -2]) / 1000


def _rows(raw: Any, control: Any, trained: Any, **params: Any) -> list[ComparisonRow]:
    """Return compared rows from means, or scores of every fold."""
    metric = params.pop("metric", "accuracy")
    scores = {
        "raw": {metric: list(np.broadcast_to(raw, 10))},
        "control": {metric: list(np.broadcast_to(control, 10))},
        "transfer": {metric: list(np.broadcast_to(trained, 10))},
    }
    rows = [ComparisonRow(kind, kind, scores=scores[kind]) for kind in scores]
    by_name = {row.name: row.scores[metric] for row in rows}
    for row in rows[1:]:
        row.against_raw = judge_alone(by_folds(row.scores[metric], by_name["raw"], FOLDS))
    rows[2].control = "control"
    rows[2].against_control = judge_alone(by_folds(by_name["transfer"], by_name["control"], FOLDS))
    rows[2].seconds_per_image = 0.002
    return rows


def _verdict(*args: Any, **params: Any) -> str:
    return word_verdict(_rows(*args, **params), params.get("metric", "accuracy"))


def test_a_clear_win_is_split_into_architecture_and_training() -> None:
    words = _verdict(0.90 + NOISE, 0.92 - NOISE, 0.95 + 2 * NOISE)
    assert words.startswith(
        "Transfer helped: accuracy 0.950 against 0.900 for the best raw row (raw), a difference of "
        "+0.050 (95 % interval +0.047 to +0.053, p < 0.001)."
    )
    assert (
        "Random weights alone gain +0.020, which is due to the architecture; pretraining adds "
        "+0.030, 60 % of the gain (p < 0.001)."
    ) in words
    # One in twenty: 0.05 more of them right.
    assert "about one more correct prediction per 20 images (95 % interval 19 to 22)." in words
    assert "Features take 2 ms per image, 40 ms for these 20." in words


def test_few_images_are_said_to_prove_little() -> None:
    alike = _rows(0.95 + NOISE, 0.95 - NOISE, 0.95 + NOISE[::-1])
    # Seven of one kind have p = 0.008, which six tests allow; of 16 images that is 0.44.
    assert say_resolution(alike, 16, 6) == (
        "With only 16 images, a difference below about 0.44 cannot be detected."
    )
    assert "below about 1.00 cannot" in say_resolution(alike, 4, 6)
    assert say_resolution(alike, 200, 6) == ""
    clear = _rows(0.90 + NOISE, 0.92 - NOISE, 0.95 + 2 * NOISE)
    assert say_resolution(clear, 16, 6) == ""


def test_few_labels_have_a_verdict_of_their_own() -> None:
    """Nothing to gain with all labels, much with three, and nothing of it by the training."""
    rows = _rows(1.0, 1.0, 1.0)
    few = {"raw": 0.8 + NOISE, "control": 0.9 - NOISE, "transfer": 0.901 + 2 * NOISE}
    draws = [(np.arange(6) + 6 * i, np.arange(10) + 10 * i) for i in range(10)]
    for row in rows:
        row.few = [FewLabels(3, few[row.name].tolist())]
    rows[1].few[0].against_raw = judge_alone(by_draws(few["control"], few["raw"], draws))
    rows[2].few[0].against_raw = judge_alone(by_draws(few["transfer"], few["raw"], draws))
    rows[2].few[0].against_control = judge_alone(by_draws(few["transfer"], few["control"], draws))
    words = word_verdict(rows, "accuracy")
    assert words.startswith("Transfer made no difference: accuracy 1.000 against 1.000")
    assert words.endswith(
        "With 3 labels of each class, the features helped, but pretraining made no measurable "
        "difference: accuracy 0.901 against 0.800 for raw, +0.101 (95 % interval +0.099 to +0.103, "
        "p < 0.001); compared with random weights +0.001 (95 % interval -0.005 to +0.007, "
        "p = 0.710)."
    )
    assert best_raw_at(rows, 0) is rows[0]


def test_a_win_that_random_weights_share() -> None:
    words = _verdict(0.90 + NOISE, 0.95 - NOISE, 0.951 + 2 * NOISE)
    assert words.startswith("The features helped, but pretraining made no measurable difference: ")
    assert (
        "pretraining adds +0.001, 2 % of the gain, which is within noise: +0.001 (95 % interval"
        in words
    )


def test_a_win_that_random_weights_exceed() -> None:
    words = _verdict(0.90 + NOISE, 0.96 - NOISE, 0.94 + 2 * NOISE)
    assert words.startswith("The features helped, but random weights would have helped more: ")
    assert (
        "Random weights gain +0.060: none of the gain is due to pretraining (p < 0.001)." in words
    )


def test_a_win_without_the_architecture() -> None:
    words = _verdict(0.90 + NOISE, 0.88 - NOISE, 0.95 + 2 * NOISE)
    assert words.startswith("Transfer helped: ")
    assert (
        "Random weights gain nothing (-0.020): the whole gain is due to pretraining (p < 0.001)."
        in words
    )


def test_noise_and_what_was_left_to_gain() -> None:
    words = _verdict(0.90 + NOISE, 0.90 - NOISE, 0.901 - 2 * NOISE)
    assert words.startswith("Transfer made no difference beyond noise: ")
    assert "Raw pixels leave 0.100 to gain." in words
    assert "The difference to the same network with random weights is +0.001 (95 %" in words
    assert "one more correct" not in words
    assert words.endswith("Features take 2 ms per image.")


def test_a_loss() -> None:
    words = _verdict(0.90 + NOISE, 0.85 - NOISE, 0.87 + 2 * NOISE)
    assert words.startswith("Transfer hurt: accuracy 0.870 against 0.900 ")
    assert "random weights is +0.020 (95 % interval" in words
    assert "one more correct" not in words


def test_all_equal() -> None:
    words = _verdict(0.9, 0.9, 0.9)
    assert words.startswith(
        "Transfer made no difference: accuracy 0.900 against 0.900 for the best raw row (raw), the "
        "same in every fold."
    )
    assert "random weights is 0 in every fold." in words


def test_a_ceiling() -> None:
    words = _verdict(1.0, 1.0 - np.abs(NOISE), 1.0)
    assert words.startswith("Transfer made no difference: ")
    assert "Raw pixels leave nothing to gain: only a harder task or fewer labels" in words


def test_no_spread_to_judge_by() -> None:
    words = _verdict(0.90, 0.85 + NOISE, 0.95)
    assert words.startswith("Transfer cannot be judged: ")
    assert "+0.050, identical in every fold, so no test is possible" in words
    words = _verdict(0.90, 0.85 + NOISE, [np.nan, *[0.9] * 9])
    assert "a difference of unknown size, because some scores are undefined" in words


def test_other_metrics_have_no_number_of_images() -> None:
    rows = _rows(0.90 + NOISE, 0.92 - NOISE, 0.95 + 2 * NOISE, metric="roc_auc")
    assert rows[2].against_raw is not None
    assert rows[2].against_raw.finding == "higher"
    assert rows[2].pays_from is None
    assert "one more correct" not in word_verdict(rows, "roc_auc")
    # A metric without a known ceiling.
    assert "to gain" not in _verdict(3 + NOISE, 3 - NOISE, 3 - 2 * NOISE, metric="mine")


def test_several_trained_rows_are_named() -> None:
    rows = _rows(0.90 + NOISE, 0.92 - NOISE, 0.95 + 2 * NOISE)
    other = _rows(0.90 + NOISE, 0.92 - NOISE, 0.85 + 2 * NOISE)[2]
    other.name = "other"
    first, second = word_verdict([*rows, other], "accuracy").split("\n\n")
    assert first.startswith("transfer. Transfer helped: ")
    assert second.startswith("other. Transfer hurt: ")


def test_nothing_trained_is_no_verdict_on_transfer() -> None:
    rows = _rows(0.90 + NOISE, 0.92 - NOISE, 0.95 + 2 * NOISE)
    words = word_verdict(rows[:2], "accuracy")
    assert words.startswith(
        "Without trained weights, the comparison cannot say whether transfer helps."
    )
    assert "control has accuracy 0.920 against 0.900 for the best raw row" in words
    rows[2].unavailable = "no network"
    assert word_verdict(rows, "accuracy") == words
    assert word_verdict(rows[:1], "accuracy").startswith("Only raw pixels were scored")


def test_images_until_it_pays_are_one_over_the_gain() -> None:
    row = _rows(0.90 + NOISE, 0.92, 0.95 + 2 * NOISE)[2]
    assert row.against_raw is not None
    images, fewest, most = row.pays_from or (0, 0, 0)
    assert images == 20
    assert fewest - 1 < 1 / row.against_raw.high <= fewest
    assert most - 1 < 1 / row.against_raw.low <= most


def test_the_best_row_is_the_first_of_the_best_and_never_an_undefined_one() -> None:
    rows = [
        ComparisonRow("nan", "raw", scores={"a": [np.nan, 1.0]}),
        ComparisonRow("one", "raw", scores={"a": [0.5, 0.7]}),
        ComparisonRow("two", "raw", scores={"a": [0.6, 0.6]}),
        ComparisonRow("gone", "transfer", unavailable="no network"),
    ]
    best = best_of(rows, "a", "raw", "transfer")
    assert best is not None
    assert best.name == "one"
    assert best_of(rows, "a", "transfer") is None


@pytest.mark.parametrize(
    ("p_value", "words"),
    [
        (0.0, "p < 0.001"),
        (0.042, "p = 0.042"),
        (0.04999, "p just below 0.05"),
        (0.05, "p = 0.050"),
        (1.0, "p = 1.000"),
    ],
)
def test_p_values_in_words(p_value: float, words: str) -> None:
    assert say_p(p_value) == words
