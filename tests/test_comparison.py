"""Raw pixels and features meet the same folds, scaling and classifier, and nothing is made up."""

from __future__ import annotations

import csv
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    precision_score,
    recall_score,
)
from sklearn.model_selection import LeaveOneOut, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

from sktransfer import (
    ImageWarning,
    VGGFeatureExtractor,
    compare_transfer,
    load_digit_pair,
)
from sktransfer.evaluation.comparison.few import draw_few
from sktransfer.evaluation.probing import METRICS, check_labels, make_folds
from sktransfer.inputs.reader import Reader


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:120], y[:120]


def _random(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    given = {"pooling": "max", "input_size": 32, "weights": None, "random_state": 0}
    return VGGFeatureExtractor(layer, **given | params)


def _scaled() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def test_rows_are_what_cross_validation_by_hand_gives(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    result = compare_transfer(X, y, extractors={"vgg": _random()}, cv=4, random_state=3)
    folds = StratifiedKFold(4, shuffle=True, random_state=3)
    by_hand = {
        "raw pixels as in the article": LogisticRegression(max_iter=100),
        "raw pixels from 0 to 1": make_pipeline(
            FunctionTransformer(lambda X: X / 16), LogisticRegression(max_iter=1000)
        ),
        "raw pixels": _scaled(),
        # The extractor inside the folds: computed again in each, with the same result.
        "vgg": make_pipeline(_random(), *_scaled()),
    }
    assert [row.name for row in result.rows] == list(by_hand)
    assert [row.n_features for row in result.rows] == [64, 64, 64, 64]
    for row in result.rows:
        scores = cross_val_score(by_hand[row.name], X, y, cv=folds)
        np.testing.assert_allclose(row.scores["accuracy"], scores)
        predicted = cross_val_predict(by_hand[row.name], X, y, cv=folds)
        tests = [test for _, test in folds.split(X, y)]
        for metric, function in (("precision", precision_score), ("recall", recall_score)):
            expected = [function(y[test], predicted[test]) for test in tests]
            np.testing.assert_allclose(row.scores[metric], expected)
        f1 = np.array(row.scores["f1"])
        p, r = np.array(row.scores["precision"]), np.array(row.scores["recall"])
        np.testing.assert_allclose(f1, 2 * p * r / (p + r))


def test_labels_that_the_images_do_not_show_are_not_found(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    shuffled = np.random.default_rng(0).permutation(y)
    result = compare_transfer(X, shuffled, extractors={"vgg": _random()}, cv=4)
    for row in result.rows:
        assert 0.3 < np.mean(row.scores["accuracy"]) < 0.7


def test_positive_is_the_class_that_precision_and_recall_are_about() -> None:
    # Noise on two pixels: both kinds of mistakes are made.
    rng = np.random.default_rng(0)
    y = np.repeat(["eight", "six"], 30)
    X = rng.normal((y == "six")[:, None, None] * [[0.8, 0.0]], 1.0, (60, 1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        six = compare_transfer(X, y, extractors={}, cv=3)
        eight = compare_transfer(X, y, extractors={}, cv=3, positive="eight")
    assert (six.positive, eight.positive) == ("six", "eight")
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    predicted = cross_val_predict(_scaled(), X.reshape(60, 2), y, cv=folds)
    for result in (six, eight):
        expected = [
            recall_score(y[test], predicted[test], pos_label=result.positive)
            for _, test in folds.split(X, y)
        ]
        np.testing.assert_allclose(result.rows[2].scores["recall"], expected)
    assert six.rows[2].scores["recall"] != eight.rows[2].scores["recall"]


def test_more_classes_are_macro_averaged() -> None:
    X, y = load_digits(n_class=4, return_X_y=True)
    X, y = X[:160], y[:160]
    result = compare_transfer(X, y, extractors={}, cv=4)
    assert result.positive is None
    assert result.classes == [0, 1, 2, 3]
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    predicted = cross_val_predict(_scaled(), X, y, cv=folds)
    for fold, (_, test) in enumerate(folds.split(X, y)):
        scores = result.rows[2].scores
        assert scores["accuracy"][fold] == accuracy_score(y[test], predicted[test])
        expected = precision_score(y[test], predicted[test], average="macro")
        assert scores["precision"][fold] == pytest.approx(expected)
    assert "4 classes, scores as macro averages" in str(result)


def test_optional_weights_that_are_missing_leave_their_row_with_the_reason(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    missing = _random(weights=tmp_path / "none.h5")
    extractors = {"file": missing, "random": _random()}
    result = compare_transfer(X, y, extractors=extractors, optional=["file"], cv=2)
    assert [row.name for row in result.rows[3:]] == ["file", "random"]
    assert result.verdict.startswith("Without trained weights, the comparison cannot say")
    row = result.rows[3]
    assert "none.h5" in row.unavailable
    assert row.n_features is None
    assert row.scores == {}
    assert "file: not shown." in str(result)
    assert "none.h5" in result.to_csv()
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        compare_transfer(X, y, extractors=extractors, cv=2)


def test_what_cannot_be_used_is_an_error_or_a_line(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    gone = _random(weights=tmp_path / "none.h5")
    wrong = _random("block1_pol", weights="synthetic")
    extractors = {"gone": gone, "own": _random(weights="synthetic"), "wrong": wrong}
    result = compare_transfer(X, y, extractors=extractors, on_error="skip", cv=2)
    found = {row.name: row.unavailable for row in result.rows[3:]}
    names = ["gone", "own", "own, as in the article", "own, random weights", "wrong"]
    assert list(found) == names
    assert "none.h5" in found["gone"]
    assert "Did you mean 'block1_pool'" in found["wrong"]
    assert found["own"] is found["own, random weights"] is None
    # The control alone says nothing of trained weights.
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        extractors = {"gone": gone, "random": _random()}
        compare_transfer(X, y, extractors=extractors, on_error="skip", cv=2)
    with pytest.raises(ValueError, match="'on_error' parameter of compare_transfer must"):
        compare_transfer(X, y, extractors={"random": _random()}, on_error="ignore", cv=2)


def test_wrong_parameters_are_no_missing_weights(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    with pytest.raises(ValueError, match="Did you mean 'block1_pool'"):
        compare_transfer(X, y, extractors={"a": _random("block1_pol")}, optional=["a"])


def test_extractors_and_images_stay_as_they_were(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits[0].copy(), digits[1].copy()
    X.flags.writeable = y.flags.writeable = False
    extractor = _random()
    compare_transfer(X, y, extractors={"vgg": extractor}, cv=2)
    assert not hasattr(extractor, "n_features_out_")
    np.testing.assert_array_equal(X, digits[0])


@pytest.mark.filterwarnings("ignore:.*doubtful:sktransfer.inputs.images.ImageWarning")  # as meant
def test_classifiers_that_stop_early_are_marked(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    # Pixels of very unequal scale need more than 100 iterations where nothing scales them.
    X = X * np.logspace(0, 4, 64)
    result = compare_transfer(X.reshape(-1, 8, 8) / X.max(), y, extractors={}, cv=2)
    assert result.rows[0].n_not_converged == 0
    result = compare_transfer(X.reshape(-1, 8, 8), y, extractors={}, cv=2)
    assert result.rows[0].n_not_converged == 2
    assert result.rows[2].n_not_converged == 0
    assert "raw pixels as in the article*" in str(result)
    assert "* the classifier stopped before it converged" in str(result)


def test_few_labels_are_drawn_from_each_fold_and_scored_by_hand(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path
) -> None:
    X, y = digits
    extractor = _random(weights=vgg16_blocks)
    params: dict[str, Any] = {"extractors": {"vgg": extractor}, "cv": 4, "scoring": "accuracy"}
    result = compare_transfer(X, y, few_labels=[10, 3], **params)
    assert [few.n_labels for few in result.rows[0].few] == [3, 10]
    whole = compare_transfer(X, y, **params)
    assert [row.scores for row in whole.rows] == [row.scores for row in result.rows]
    assert whole.rows[0].few == []

    labels = check_labels(y, len(y), who="")
    folds = make_folds(labels, 4, random_state=0, who="")
    draws = draw_few(labels, folds, [3, 10], random_state=0, who="")
    for n, some in draws.items():
        for (few, test), (train, all_tested) in zip(some, folds, strict=True):
            assert set(few) <= set(train)
            np.testing.assert_array_equal(test, all_tested)
            assert np.bincount(y[few]).tolist() == [n, n]
    # Fewer are parts of more.
    assert all(set(a) < set(b) for (a, _), (b, _) in zip(draws[3], draws[10], strict=True))
    features = extractor.fit_transform(X)
    for position, some in enumerate(draws.values()):
        by_hand = cross_val_score(_scaled(), features, y, cv=some)
        assert result.rows[3].few[position].scores == by_hand.tolist()
        raw = max((row.few[position] for row in result.rows[:3]), key=lambda few: few.mean)
        difference = result.rows[3].few[position].mean - raw.mean
        assert result.rows[3].few[position].against_raw.mean == pytest.approx(difference)
        control = result.rows[5].few[position]
        assert result.rows[3].few[position].against_control.mean == pytest.approx(
            result.rows[3].few[position].mean - control.mean
        )
        assert control.against_control is None
        assert raw.against_raw is None


def test_few_labels_stand_in_every_form(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    result = compare_transfer(X, y, extractors={"vgg": _random()}, cv=3, few_labels=[3])
    few = result.rows[3].few[0]
    text = str(result)
    assert "accuracy by training images of each class\nfeatures " in text
    assert (
        f"{few.mean:.3f} ± {np.std(few.scores):.3f}  {result.rows[3].mean('accuracy'):.3f}" in text
    )
    assert "differences in accuracy, 3 training images of each class" in text
    assert "### Accuracy by training images of each class" in result.to_markdown()
    assert json.loads(result.to_json())["rows"][3]["few"][0]["scores"] == few.scores
    lines = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(lines) == 4 * 3 * 2
    own = [line for line in lines if line["labels_per_class"] == "3" and line["features"] == "vgg"]
    assert [float(line["accuracy"]) for line in own] == few.scores
    assert {line["f1"] for line in own} == {""}
    assert {line["labels_per_class"] for line in lines} == {"", "3"}


def test_as_few_labels_as_there_are(digits: tuple[np.ndarray, np.ndarray]) -> None:
    for n_images, numbers in ((120, [3, 10]), (40, [3]), (10, [])):
        X, y = digits[0][:n_images], np.arange(n_images) % 2
        result = compare_transfer(X, y, extractors={}, cv=2, few_labels="auto")
        assert [few.n_labels for few in result.rows[0].few] == numbers


@pytest.mark.parametrize(
    ("few_labels", "message"),
    [
        ([31], r"in every fold. Got 31, and 30 images of class [01] in"),
        ([0], r"whole numbers of labels per class, from 1 up\. Got \[0\] instead"),
        ([2.5], r"Got \[2\.5\] instead"),
        ([True], r"Got \[True\] instead"),
        ("all", r"be 'auto' or a sequence of .* Got 'all' instead"),
        (3, r"Got 3 instead"),
    ],
)
def test_bad_few_labels(
    few_labels: Any, message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    y = np.arange(120) % 2
    with pytest.raises(
        ValueError, match="'few_labels' parameter of compare_transfer must .*" + message
    ):
        compare_transfer(digits[0], y, extractors={}, cv=2, few_labels=few_labels)


def test_a_classifier_that_few_labels_do_not_suffice(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = digits
    monkeypatch.setattr(VGGFeatureExtractor, "transform", lambda *_: pytest.fail("computed"))
    near = KNeighborsClassifier(7)
    message = r"compare_transfer cannot be fitted on 3 labels of each class: .*'few_labels' higher"
    with pytest.raises(ValueError, match=message):
        compare_transfer(X, y, extractors={"a": _random()}, classifier=near, few_labels=[3], cv=2)


def test_files_of_any_size_are_compared(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.tile(["dark", "light"], 8)
    paths = []
    for position, label in enumerate(y):
        shape = (20 + position, 30, *[(3,), ()][position % 2])
        pixels = rng.integers(0, 100, shape) + (120 if label == "light" else 0)
        paths.append(str(tmp_path / f"{position}.png"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    result = compare_transfer(paths, y, extractors={"vgg": _random()}, cv=2)
    assert [row.n_features for row in result.rows] == [32 * 32 * 3] * 3 + [64]
    # Unscaled, the common brightness of all pixels keeps the solver from finding the intercept.
    assert [np.mean(row.scores["accuracy"]) for row in result.rows[1:]] == [1, 1, 1]
    assert result.positive == "light"


def test_raw_pixels_are_seen_as_the_first_extractor_sees_them(tmp_path: Path) -> None:
    """Digits 0..16 in bytes, and rows that fit no square."""
    X, y = load_digit_pair(return_X_y=True)
    rows = X[:40].astype(np.uint8)[:, :60]
    extractor = _random(value_range=(0, 16), image_shape=(6, 10))
    result = compare_transfer(rows, y[:40], extractors={"vgg": extractor}, cv=2)
    folds = StratifiedKFold(2, shuffle=True, random_state=0)
    expected = cross_val_score(LogisticRegression(max_iter=1000), rows / 16, y[:40], cv=folds)
    assert result.rows[1].scores["accuracy"] == expected.tolist()
    with pytest.raises(ValueError, match="compare_transfer cannot determine the shape of images"):
        compare_transfer(np.hstack([X, X])[:, :67], y, extractors={"vgg": _random()})


def test_a_doubtful_range_is_said_where_no_extractor_says_it() -> None:
    X, y = load_digit_pair(return_X_y=True)
    with pytest.warns(ImageWarning, match="no value exceeds 16"):
        compare_transfer(X.astype(np.uint8), y, extractors={}, cv=2)


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        (np.zeros(120), {}, "two classes"),
        (np.arange(119) % 2, {}, "one label per image"),
        (np.arange(120) % 2, {"cv": 61}, "as many images as folds"),
        (np.arange(120) % 2, {"groups": np.zeros(120)}, "as many groups as folds"),
        (np.arange(120) % 2, {"scoring": "r2"}, "'scoring' parameter of compare_transfer"),
        (
            np.arange(120) % 2,
            {"scoring": "neg_log_loss", "classifier": LinearSVC()},
            "'scoring' parameter of compare_transfer",
        ),
        (np.arange(120) % 2, {"classifier": StandardScaler()}, "'classifier' parameter"),
    ],
)
def test_mistakes_are_found_before_anything_is_computed(
    y: np.ndarray,
    params: dict[str, Any],
    message: str,
    digits: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("fit", "transform"):
        monkeypatch.setattr(VGGFeatureExtractor, name, lambda *_: pytest.fail("computed"))
    with pytest.raises((TypeError, ValueError), match=message):
        compare_transfer(digits[0], y, extractors={"vgg": _random()}, **params)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"extractors": [_random()]}, r"must map names to instances of VGGFeatureExtractor"),
        ({"extractors": {"a": 1}}, r"must map names to instances of VGGFeatureExtractor"),
        (
            {"extractors": {}, "cv": 2.5},
            r"must be a whole number of folds, a splitter .* Got 2\.5 instead",
        ),
    ],
)
def test_bad_parameters(
    params: dict[str, Any], message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(TypeError, match=message):
        compare_transfer(*digits, **params)


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        (np.zeros(120), {}, r"needs at least two classes\. Got 1 class in y: \[0\.0\]"),
        (np.arange(119) % 2, {}, r"one label per image\. Got 120 images and 119 labels"),
        (np.arange(120) % 2, {"cv": 61}, r"cv=61 and 60 images of class 0"),
        (np.arange(120) % 2, {"cv": 1}, r"at least 2 folds"),
        (
            np.arange(120) % 2,
            {"optional": ["zzz"]},
            r"'optional' .* which are .*\. Got \['zzz'\] instead",
        ),
        (np.arange(120) % 2, {"optional": "vgg"}, r"'optional' .* Got 'vgg' instead"),
        (np.arange(120) % 2, {"random_state": "a"}, r"'random_state' .* Got 'a' instead"),
        (
            np.arange(120) % 2,
            {"target_names": ["6"]},
            r"each of the 2 classes \[0, 1\]\. Got \['6'",
        ),
        (np.arange(120) % 2, {"positive": 7}, r"'positive' .* classes \[0, 1\]\. Got 7 instead"),
        (np.linspace(0, 1, 120), {"positive": 1}, r"'positive' .* is for two classes\. Got 1"),
        (np.arange(120), {}, r"whole numbers as classes.* Got 120 different ones in y for 120"),
    ],
)
def test_bad_labels(
    y: np.ndarray, params: dict[str, Any], message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=message):
        compare_transfer(digits[0], y, extractors={}, **params)


def test_json_and_csv_hold_every_score(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    result = compare_transfer(
        X, y, extractors={"vgg": _random()}, cv=3, target_names=["six", "eight"]
    )
    read = json.loads(result.to_json())
    assert read["verdict"] == result.verdict
    assert read["rows"][3]["against_raw"]["p_value"] == result.rows[3].against_raw.p_value
    assert "NaN" not in result.to_json()
    assert read["n_images"] == 120
    assert read["positive"] == 1
    assert read["target_names"] == ["six", "eight"]
    assert "classes six and eight, eight is positive" in str(result)
    assert [row["scores"] for row in read["rows"]] == [row.scores for row in result.rows]
    lines = list(csv.DictReader(io.StringIO(result.to_csv())))
    assert len(lines) == 12
    for metric in METRICS:
        assert [float(line[metric]) for line in lines[9:]] == result.rows[3].scores[metric]
    assert [line["fold"] for line in lines[:3]] == ["1", "2", "3"]
    assert {line["positive"] for line in lines} == {"eight"}


def test_a_frame_holds_what_the_csv_does(digits: tuple[np.ndarray, np.ndarray]) -> None:
    pd = pytest.importorskip("pandas")
    result = compare_transfer(*digits, extractors={"vgg": _random()}, cv=3)
    read = pd.read_csv(io.StringIO(result.to_csv()))
    frame = result.to_frame()
    assert list(frame.columns) == list(read.columns)
    assert frame.shape == (12, 16)
    assert frame.query("features == 'vgg'")["f1"].tolist() == result.rows[3].scores["f1"]


def test_a_frame_needs_pandas(
    digits: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    result = compare_transfer(*digits, extractors={}, cv=3)
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"TransferComparison\.to_frame needs pandas"):
        result.to_frame()


def test_markdown_holds_the_two_tables_of_the_article(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    result = compare_transfer(*digits, extractors={"v|gg": _random()}, cv=3)
    text = result.to_markdown()
    assert text.startswith(f"## Verdict\n\n{result.verdict}\n")
    header = "| fold | accuracy | precision | recall | f1 | roc_auc |"
    assert text.count(f"\n{header}\n| --- | ---: | ---: | ---: | ---: | ---: |\n| 1 |") == 2
    assert f"### {result.best_raw.name[0].upper()}{result.best_raw.name[1:]}, fold by fold" in text
    third = [f"{result.rows[3].scores[metric][2]:.3f}" for metric in METRICS]
    assert f"| 3 | {' | '.join(third)} |" in text
    assert r"| v\|gg | 64 |" in text


def test_the_control_is_made_for_each_configuration_and_no_other(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path
) -> None:
    X, y = digits
    extractors = {
        "a": _random(weights=vgg16_blocks),
        "b": _random(weights=vgg16_blocks, random_state=5, batch_size=7),  # the same features
        "wide": _random("block2_pool", weights=vgg16_blocks, pooling=None),
        "mine": _random(pooling=None, input_size=40, random_state=3),
        "large": _random(weights=vgg16_blocks, pooling=None, input_size=40),
    }
    params: dict[str, Any] = {"cv": 2, "random_state": 4, "n_controls": 1}
    result = compare_transfer(X[:60], y[:60], extractors=extractors, **params)
    rows = [row for row in result.rows[3:] if row.kind != "article"]
    assert [(row.name, row.kind, row.control) for row in rows] == [
        ("a", "transfer", "a, random weights"),
        ("a, random weights", "control", None),
        ("b", "transfer", "a, random weights"),
        ("wide", "transfer", "wide, random weights"),
        ("wide, random weights", "control", None),
        ("mine", "control", None),
        ("large", "transfer", "mine"),
    ]
    by_name = {row.name: row for row in rows}
    # The control is the same network, seeded.
    control = _random(random_state=4).fit_transform(X[:60])
    folds = StratifiedKFold(2, shuffle=True, random_state=4)
    by_hand = cross_val_score(_scaled(), control, y[:60], cv=folds)
    assert by_name["a, random weights"].scores["accuracy"] == by_hand.tolist()
    for row in rows:
        differences = np.subtract(row.scores["accuracy"], result.best_raw.scores["accuracy"])
        assert row.against_raw.mean == pytest.approx(np.mean(differences))
        assert (row.against_control is None) == (row.kind == "control")
    # Four trained rows against two each, their rows as in the article, and three controls.
    assert result.n_tests == 4 * 2 + 4 + 3
    said = "corrected for all 15 tests of this comparison together (Holm)"
    assert said in " ".join(str(result).split())


@pytest.mark.filterwarnings("ignore:lbfgs failed")
def test_trained_features_are_classified_as_in_the_article_too(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path
) -> None:
    X, y = digits
    vgg = _random(weights=vgg16_blocks)
    result = compare_transfer(X, y, extractors={"vgg": vgg}, cv=4, few_labels=[3])
    raw, row = result.rows[0], result.rows[4]
    assert (row.name, row.kind, row.control) == ("vgg, as in the article", "article", None)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    by_hand = cross_val_score(LogisticRegression(max_iter=100), vgg.fit_transform(X), y, cv=folds)
    assert row.scores["accuracy"] == by_hand.tolist()
    # Both sides alike, whichever raw row is the best.
    assert row.against_raw.mean == pytest.approx(row.mean("accuracy") - raw.mean("accuracy"))
    (few,), (raw_few,) = row.few, raw.few
    assert few.n_labels == 3
    assert few.against_raw.mean == pytest.approx(few.mean - raw_few.mean)
    assert f"with 3 labels of each class {few.mean:.3f} against {raw_few.mean:.3f}" in " ".join(
        result.verdict.split()
    )
    assert "vgg, as in the article: accuracy" in result.verdict
    own = compare_transfer(X, y, extractors={"vgg": vgg}, cv=2, classifier=_scaled())
    assert all(row.kind != "article" for row in own.rows)


def test_every_row_has_its_cost(digits: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    """Also where features are kept and nothing is computed."""
    X, y = digits
    extractor = _random(cache=tmp_path / "store").fit(X)
    extractor.transform(X)
    result = compare_transfer(X, y, extractors={"vgg": extractor}, cv=2)
    assert all(row.seconds_per_image > 0 for row in result.rows)
    assert all(row.classifier_seconds > 0 for row in result.rows)


def test_a_classifier_of_ones_own_classifies_all_rows(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    near = KNeighborsClassifier(3)
    result = compare_transfer(X, y, extractors={"vgg": _random()}, classifier=near, cv=4)
    names = ["raw pixels from 0 to 1", "raw pixels", "vgg"]
    assert [row.name for row in result.rows] == names
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    for row, values in zip(result.rows, [X / 16, X, _random().fit_transform(X)], strict=True):
        assert row.scores["accuracy"] == cross_val_score(near, values, y, cv=folds).tolist()
    assert "KNeighborsClassifier(n_neighbors=3)" in str(result)


def test_the_first_metric_decides(digits: tuple[np.ndarray, np.ndarray]) -> None:
    scoring = ["f1", "balanced_accuracy"]
    result = compare_transfer(*digits, extractors={"vgg": _random()}, scoring=scoring, cv=3)
    assert result.metrics == scoring
    assert "differences in f1" in str(result)
    assert result.verdict.count(": vgg has f1 ") == 1
    assert result.to_csv().startswith("features,fold,f1,balanced_accuracy,positive")


def test_one_fold_for_each_image(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """ROC AUC of a single image is undefined, and so many folds fill no screen."""
    X, y = digits[0][:40], digits[1][:40]
    result = compare_transfer(X, y, extractors={}, classifier=GaussianNB(), cv=LeaveOneOut())
    assert np.isnan(result.rows[0].scores["roc_auc"]).all()
    assert "null" in result.to_json()
    assert len(str(result).splitlines()) < 30
    assert len(result.to_csv().splitlines()) == 1 + 2 * 40


def test_groups_stay_together(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Each image twice: what is learned of one is known of the other, unless groups forbid it."""
    X, _ = digits
    labels = np.random.default_rng(0).permutation(np.arange(len(X)) % 2)
    groups, y, X = np.tile(np.arange(len(X)), 2), np.tile(labels, 2), np.tile(X, (2, 1))
    near = KNeighborsClassifier(1)
    params = {"extractors": {}, "classifier": near, "scoring": "accuracy", "cv": 4}
    loose = compare_transfer(X, y, **params).rows[1].mean("accuracy")
    tight = compare_transfer(X, y, groups=groups, **params).rows[1].mean("accuracy")
    assert loose > 0.8
    assert tight < 0.65


def test_the_printed_table_shows_mean_and_spread(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    result = compare_transfer(X, y, extractors={"vgg": _random()}, cv=3)
    accuracy = result.rows[3].scores["accuracy"]
    line, *_ = [line for line in str(result).splitlines() if line.startswith("vgg  ")]
    assert f"{np.mean(accuracy):.3f} ± {np.std(accuracy):.3f}" in line


def test_progress_bars_are_shown_when_asked_for(
    digits: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = digits
    compare_transfer(X, y, extractors={}, cv=2)
    assert capsys.readouterr().err == ""
    compare_transfer(X, y, extractors={"vgg": _random()}, cv=2, verbose=1)
    err = capsys.readouterr().err
    assert "raw pixels:   0%" in err
    # The bars of folds go when they are done; that of the images stays.
    (bar,) = _shown(err)
    assert "120/120" in bar


def _shown(text: str) -> list[str]:
    """Return what a terminal shows of lines that are written over."""
    lines = [line.rstrip("\r").split("\r")[-1].strip() for line in text.split("\n")]
    return [line for line in lines if line]


def test_raw_pixels_reach_what_the_article_reports(shared_data: Path) -> None:
    with np.load(shared_data / "data" / "mnist_6_8.npz") as archive:
        X, y = archive["images"], (archive["digit"] == 8).astype(int)
    result = compare_transfer(X, y, extractors={})
    assert result.n_images == 8200
    assert result.verdict.startswith("Only raw pixels were scored, so the comparison cannot say")
    assert np.mean(result.rows[0].scores["accuracy"]) == pytest.approx(0.982, abs=0.002)


def test_a_control_is_the_mean_of_several_draws_whose_spread_counts(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rather than a lucky or an unlucky one."""
    X, y = digits
    extractors = {"vgg": _random(weights=vgg16_blocks)}
    params: dict[str, Any] = {"extractors": extractors, "cv": 4, "scoring": "accuracy"}
    result = compare_transfer(X, y, n_controls=3, random_state=5, few_labels=[3], **params)
    row = result.rows[-1]
    assert (row.name, row.kind) == ("vgg, random weights", "control")
    folds = StratifiedKFold(4, shuffle=True, random_state=5)
    by_hand = [
        cross_val_score(_scaled(), _random(random_state=seed).fit_transform(X), y, cv=folds)
        for seed in (5, 6, 7)
    ]
    np.testing.assert_allclose(row.scores["accuracy"], np.mean(by_hand, axis=0))
    np.testing.assert_allclose(row.drawn, np.mean(by_hand, axis=1))
    assert np.sum(row.confusion) == pytest.approx(len(X))
    assert len(row.few[0].scores) == 4
    assert "Random weights are drawn with 3 seeds: scores are means over them" in str(result)
    read: list[int] = []
    fit = Reader.fit
    monkeypatch.setattr(Reader, "fit", lambda self, X: (read.append(len(X)), fit(self, X))[1])
    again = compare_transfer(X, y, n_controls=3, random_state=5, **params)
    assert again.rows[-1].drawn == row.drawn
    assert read == [120, 120]  # by the extractor and its control, whatever the number of draws
    one = compare_transfer(X, y, n_controls=1, random_state=5, **params)
    assert one.rows[-1].scores["accuracy"] == by_hand[0].tolist()
    assert "seeds" not in str(one)


@pytest.mark.parametrize("n_controls", [0, 1.5, True, "3"])
def test_bad_numbers_of_controls(n_controls: Any, digits: tuple[np.ndarray, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"'n_controls' parameter of compare_transfer must be a"):
        compare_transfer(*digits, extractors={}, n_controls=n_controls)


def test_classes_are_counted_one_by_one(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits[0], digits[1].copy()
    kept = np.flatnonzero((y == 0) | (np.cumsum(y) <= 20))
    X, y = X[kept], y[kept]
    near = KNeighborsClassifier(9)
    names = {"target_names": ["six", "eight"]}
    extractors = {"vgg": _random()}
    result = compare_transfer(X, y, extractors=extractors, classifier=near, cv=4, **names)
    row = result.rows[0]
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    predicted = cross_val_predict(near, X / 16, y, cv=folds)
    np.testing.assert_array_equal(row.confusion, confusion_matrix(y, predicted))
    assert row.recalls == pytest.approx(recall_score(y, predicted, average=None))
    assert row.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    read = json.loads(result.to_json())["rows"][0]
    assert (read["recalls"], read["balanced_accuracy"]) == (row.recalls, row.balanced_accuracy)
    text = str(result)
    assert "recall of each class: the share of its test images found\nfeatures " in text
    assert "confusion matrix of vgg: rows are classes, columns predictions\nclass " in text


def test_unequal_classes_have_balanced_accuracy_in_the_verdict(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path
) -> None:
    X, y = digits
    kept = np.flatnonzero((y == 0) | (np.cumsum(y) <= 20))
    params: dict[str, Any] = {"extractors": {"vgg": _random(weights=vgg16_blocks)}, "cv": 4}
    result = compare_transfer(X[kept], y[kept], n_controls=1, **params)
    row = result.rows[3]
    words = f"balanced accuracy, the mean of their recalls, is {row.balanced_accuracy:.3f} against"
    assert f"The classes are of unequal size: {words}" in result.verdict
    equal = compare_transfer(X, y, n_controls=1, **params)
    assert "unequal" not in equal.verdict
