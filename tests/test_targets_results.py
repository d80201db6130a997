"""Comparisons, sweeps and curves of numbers, sets of labels and weighted images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import r2_score, recall_score
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict, cross_val_score
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import (
    LayerSearchCV,
    LayerSweepDisplay,
    TransferComparisonDisplay,
    TransferCurveDisplay,
    TransferReport,
    VGGFeatureExtractor,
    compare_transfer,
    load_digit_pair,
    sweep_layers,
    sweep_networks,
    transfer_curve,
)
from sktransfer.evaluation.probing import check_target, make_folds
from sktransfer.evaluation.probing.outcomes import by_images, weigh_images, weigh_recalls
from sktransfer.evaluation.probing.significance import judge_together
from sktransfer.report.brief import brief_comparison

pytestmark = pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning")

RIDGE = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 7, 21)))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return load_digit_pair((8, 6), return_X_y=True)[0][:80]


@pytest.fixture(scope="module")
def numbers(images: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 0.3, len(images))
    return images[:, 26:30].mean(axis=1) + noise


@pytest.fixture(scope="module")
def sets(images: np.ndarray) -> np.ndarray:
    ink = images.mean(axis=1)
    return np.stack([images[:, 19] > 4, images[:, 44] > 8, ink > np.median(ink)], 1).astype(int)


@pytest.fixture(scope="module")
def unequal(images: np.ndarray) -> np.ndarray:
    return (images[:, 19] > np.quantile(images[:, 19], 0.8)).astype(int)


def _random(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    given = {"pooling": "max", "input_size": 32, "weights": None, "random_state": 0}
    return VGGFeatureExtractor(layer, **given | params)


def _page(report: TransferReport, folder: Path) -> str:
    pytest.importorskip("matplotlib").use("agg")
    report.to_html(folder / "report.html")
    return (folder / "report.html").read_text(encoding="utf-8")


# -- comparisons


def test_numbers_are_compared_as_by_hand(images: np.ndarray, numbers: np.ndarray) -> None:
    result = compare_transfer(images, numbers, extractors={"vgg": _random()}, cv=4, few_labels=[10])
    assert (result.target, result.classes, result.positive) == ("numbers", [], None)
    assert result.metrics == ["r2", "neg_mean_absolute_error", "neg_root_mean_squared_error"]
    features = _random().fit_transform(images)
    by_hand = {
        "raw pixels from 0 to 1": make_pipeline(
            FunctionTransformer(lambda X: X / 16), RidgeCV(np.logspace(-3, 7, 21))
        ),
        "raw pixels": RIDGE,
        "vgg": RIDGE,
    }
    assert [row.name for row in result.rows] == list(by_hand)
    folds = list(KFold(4, shuffle=True, random_state=0).split(images))
    predicted = {}
    for row in result.rows:
        X = features if row.name == "vgg" else images
        for metric, values in row.scores.items():
            scores = cross_val_score(by_hand[row.name], X, numbers, cv=folds, scoring=metric)
            assert values == pytest.approx(scores, rel=1e-4)
        predicted[row.name] = cross_val_predict(by_hand[row.name], X, numbers, cv=folds)
        assert row.confusion == []
        assert np.isnan(row.balanced_accuracy)
    weights = weigh_images("r2", numbers, folds, kind="numbers")
    assert weights is not None
    tested = np.concatenate([test for _, test in folds])
    rated = {name: -((each - numbers)[tested] ** 2) for name, each in predicted.items()}
    test = by_images([rated["vgg"]], [rated[result.best_raw.name]], weights)
    assert result.is_by_images
    assert result.rows[-1].against_raw.mean == pytest.approx(test.mean, rel=1e-4)
    assert result.n_tests == 2
    text = str(result)
    assert text.startswith("80 images, a number for each; ridge regression; the same 4 folds")
    assert "r2 with all labels is tested image by image (paired t-test of errors" in text
    assert "r2 by training images\n" in text
    assert "With few labels, 10 images are drawn" in text
    assert "10 images" in str(brief_comparison(result))
    assert "per class" not in str(brief_comparison(result))
    assert "recall of each class" not in text
    assert "The architecture alone: vgg has r2" in result.verdict


def test_whole_numbers_are_numbers_for_a_regressor(images: np.ndarray) -> None:
    y = np.arange(80) % 7
    assert compare_transfer(images, y, extractors={}, cv=2).target == "classes"
    result = compare_transfer(images, y, extractors={}, classifier=Ridge(), cv=2)
    assert result.target == "numbers"
    with pytest.raises(TypeError, match="must be None or a regressor, as y holds numbers"):
        compare_transfer(images, y + 0.5, extractors={}, classifier=LogisticRegression(), cv=2)


def test_sets_of_labels_are_compared(images: np.ndarray, sets: np.ndarray) -> None:
    result = compare_transfer(
        images, sets, extractors={"vgg": _random()}, cv=4, few_labels=[20], target_names="abc"
    )
    assert result.target == "labels"
    assert result.metrics[0] == "label_accuracy"
    assert result.target_names == ["a", "b", "c"]
    assert [row.name for row in result.rows] == ["raw pixels from 0 to 1", "raw pixels", "vgg"]
    assert str(result).startswith("80 images, 3 labels, scores as macro averages; logistic")
    for row in result.rows:
        assert row.mean("accuracy") <= row.mean("label_accuracy")
        assert row.mean("label_accuracy") > np.mean(np.maximum(sets.mean(0), 1 - sets.mean(0)))
    probe = make_pipeline(StandardScaler(), MultiOutputClassifier(LogisticRegression()))
    folds = make_folds(check_target(sets, 80, who=""), 4, random_state=0, who="")
    predicted = cross_val_predict(probe, images, sets, cv=folds)
    expected = recall_score(sets, predicted, average=None)
    assert result.rows[1].recalls == pytest.approx(expected)
    assert "recall of each label: the share of its test images found" in str(result)
    assert "confusion matrix" not in str(result)
    own = compare_transfer(images, sets, extractors={}, classifier=KNeighborsClassifier(), cv=4)
    assert own.rows[0].scores["accuracy"]
    with pytest.raises(ValueError, match="must name each of the 3 classes"):
        compare_transfer(images, sets, extractors={}, target_names="ab")


def test_weights_count_in_all_rows(images: np.ndarray, unequal: np.ndarray) -> None:
    weights = np.where(unequal == 1, 4.0, 1.0)
    given: dict[str, Any] = {"extractors": {"vgg": _random()}, "cv": 4, "few_labels": [3]}
    result = compare_transfer(images, unequal, sample_weight=weights, **given)
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    row = result.rows[2]
    for fold, (train, test) in enumerate(folds.split(images, unequal)):
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        params = {f"{name}__sample_weight": weights[train] for name, _ in probe.steps}
        right = probe.fit(images[train], unequal[train], **params).predict(images[test])
        expected = np.average(right == unequal[test], weights=weights[test])
        assert row.scores["accuracy"][fold] == pytest.approx(expected)
    assert np.sum(row.confusion) == pytest.approx(weights.sum())
    assert "2 classes" not in str(result)
    assert "classes 0 and 1, 1 is positive, weighted; logistic" in str(result)
    # As heavy as the others together, the fifth of the images is no small class.
    assert "unequal size" not in result.verdict
    equal = compare_transfer(images, unequal, sample_weight=np.ones(80), **given)
    plain = compare_transfer(images, unequal, **given)
    for own, other in zip(equal.rows, plain.rows, strict=True):
        for metric, scores in own.scores.items():
            assert scores == pytest.approx(other.scores[metric], abs=1e-9)
    assert equal.verdict.split("Features take")[0] == plain.verdict.split("Features take")[0]
    with pytest.raises(ValueError, match="needs a fit that takes sample_weight"):
        compare_transfer(
            images,
            unequal,
            classifier=KNeighborsClassifier(),
            sample_weight=weights,
            extractors={},
        )


def test_balanced_accuracy_is_tested_beside_accuracy(
    images: np.ndarray, unequal: np.ndarray
) -> None:
    extractors = {"vgg": _random(weights="synthetic")}
    result = compare_transfer(
        images, unequal, extractors=extractors, cv=4, few_labels=[3], n_controls=2
    )
    trained, article, control = result.rows[3:]
    for row in (trained, article, control):
        name = "raw pixels as in the article" if row is article else result.best_raw.name
        raw = next(each for each in result.rows if each.name == name)
        difference = row.balanced_accuracy - raw.balanced_accuracy
        assert row.balanced_against_raw.mean == pytest.approx(difference)
    by_control = trained.balanced_accuracy - control.balanced_accuracy
    assert trained.balanced_against_control.mean == pytest.approx(by_control)
    # To raw and to random: accuracy and its balance, with all labels and with three.
    assert result.n_tests == 2 * (3 + 1) + 2 * (3 + 1)
    few = trained.few[0]
    assert few.balanced_against_raw is not None
    assert len(few.balanced) == 4
    words = " ".join(result.verdict.split())
    assert f"is {trained.balanced_accuracy:.3f} against" in words
    assert words.count("balanced accuracy") == 4  # all and few labels, and as in the article
    assert "differences in balanced accuracy" in str(result)
    read = json.loads(result.to_json())["rows"][3]
    assert read["balanced_against_raw"]["p_value"] == trained.balanced_against_raw.p_value

    # By hand, with all tests in one family.
    folds = list(StratifiedKFold(4, shuffle=True, random_state=0).split(images, unequal))
    weights = weigh_recalls(unequal, folds)
    tested = np.concatenate([test for _, test in folds])
    right = {}
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    features = _random(weights="synthetic").fit_transform(images)
    for name, X in (("raw pixels", images), ("vgg", features)):
        predicted = cross_val_predict(probe, X, unequal, cv=folds)
        right[name] = (predicted == unequal)[tested]
    test = by_images([right["vgg"]], [right["raw pixels"]], weights)
    if result.best_raw.name == "raw pixels":
        assert trained.balanced_against_raw.mean == pytest.approx(test.mean)
    (alone,) = judge_together([test])
    assert trained.balanced_against_raw.p_value >= alone.p_value


def test_other_metrics_have_no_balance(images: np.ndarray, unequal: np.ndarray) -> None:
    for scoring in ("f1", {"accuracy": "f1"}):
        result = compare_transfer(
            images, unequal, extractors={"vgg": _random()}, cv=4, scoring=scoring
        )
        assert result.rows[-1].balanced_against_raw is None
        assert not result.is_by_images
        assert "tested fold by fold" in str(result)


# -- sweeps

CUTS: dict[str, Any] = {"layers": ["block1_conv1", "block1_pool"], "poolings": ["avg", "max"]}


@pytest.mark.parametrize("kind", ["numbers", "sets"])
def test_sweeps_of_other_targets(
    kind: str, images: np.ndarray, request: pytest.FixtureRequest
) -> None:
    y = request.getfixturevalue(kind)
    found = sweep_layers(images, y, extractor=_random(), input_sizes=[32], cv=4, **CUTS)
    assert found.metric == {"numbers": "r2", "sets": "label_accuracy"}[kind]
    assert [list(row.cheap) for row in found.rows] == [["knn", "logme"]] * 4
    assert all(row.confusion == [] for row in found.rows)
    what = {"numbers": "a number for each", "sets": "3 labels"}[kind]
    assert str(found).startswith(f"80 images, {what}; the same classifier and 4 folds for every")
    assert "worst class" not in str(found)
    assert ("its worst label: " in str(found)) == (kind == "sets")
    assert json.loads(found.to_json())["target"] == {"sets": "labels"}.get(kind, kind)
    if kind == "numbers":
        features = _random("block1_conv1", pooling="avg").fit_transform(images)
        folds = KFold(4, shuffle=True, random_state=0)
        expected = cross_val_score(RIDGE, features, y, cv=folds)
        assert found.rows[0].scores["r2"] == pytest.approx(expected, rel=1e-4)
    assert found.nested_score <= found.mean(found.best) + 1e-9
    pytest.importorskip("matplotlib").use("agg")
    assert found.metric in LayerSweepDisplay(found).plot().ax_.get_ylabel()


def test_sweeps_say_the_classes_and_their_balance(
    images: np.ndarray, unequal: np.ndarray, tmp_path: Path
) -> None:
    found = sweep_layers(images, unequal, extractor=_random(), input_sizes=[32], cv=4, **CUTS)
    balanced = [row.balanced_accuracy for row in found.rows]
    assert [row.balanced_to_best is None for row in found.rows].count(True) == 1
    top = int(np.argmax(balanced))
    for row in found.rows:
        if row.balanced_to_best is not None:
            difference = row.balanced_accuracy - balanced[top]
            assert row.balanced_to_best.mean == pytest.approx(difference)
    text = str(found)
    assert f"of their recalls, is {found.best.balanced_accuracy:.3f}" in text
    near = sum(getattr(row.balanced_to_best, "finding", "lower") != "lower" for row in found.rows)
    said = f"; not significantly worse: {near} of 3 other rows (12 comparisons counted)"
    assert said in text
    assert text.count("12 comparisons counted") == 2
    assert "recall of each class" in text
    assert f"confusion matrix of {found.best}, in the sweep: rows are classes" in text
    titles = [title for title, *_ in found.tables()]
    assert titles[1].startswith("recall of each class")
    row = json.loads(found.to_json())["rows"][0]
    assert row["recalls"] == pytest.approx(found.rows[0].recalls)
    assert row["balanced_accuracy"] == pytest.approx(balanced[0])
    page = _page(TransferReport(sweep=found), tmp_path)
    assert "confusion matrix of" in page


def test_networks_are_tested_image_by_image(images: np.ndarray, unequal: np.ndarray) -> None:
    networks = {"one": _random(), "other": _random(random_state=1)}
    layers = dict.fromkeys(networks, CUTS["layers"])
    weights = np.random.default_rng(0).random(80)
    given: dict[str, Any] = {"cv": 4, "sample_weight": weights, "input_sizes": [32]}
    found = sweep_networks(images, unequal, networks=networks, layers=layers, **given)
    one = sweep_layers(
        images,
        unequal,
        extractor=_random(),
        layers=CUTS["layers"],
        poolings=["avg"],
        **given,
    )
    assert [row.scores for row in found.rows[:2]] == [row.scores for row in one.rows]
    assert [row.confusion for row in found.rows[:2]] == [row.confusion for row in one.rows]
    for row in found.rows:
        assert np.sum(row.confusion) == pytest.approx(weights.sum())
        if row is not found.best:
            assert row.to_best.mean == pytest.approx(found.mean(row) - found.mean(found.best))
            # Half an image is taken off for continuity, which a t-test over folds does not do.
            half = row.to_best.high - row.to_best.mean
            assert half > 1.9 * row.error or half == 0
    text = str(found)
    assert "2 classes, weighted; the same classifier and 4 folds for every row" in text
    assert "Its worst class: 1, recall" in text
    assert "recall of each class" in text


def test_networks_take_numbers(images: np.ndarray, numbers: np.ndarray) -> None:
    networks = {"one": _random(), "other": _random(random_state=1)}
    layers = {name: ["block1_pool"] for name in networks}
    found = sweep_networks(
        images, numbers, networks=networks, layers=layers, input_sizes=[32], cv=4
    )
    assert found.metric == "r2"
    assert str(found).startswith("Best is ")
    assert "80 images, a number for each" in str(found)


def test_the_search_takes_numbers_and_sets(
    images: np.ndarray, numbers: np.ndarray, sets: np.ndarray
) -> None:
    for model, y in ((Ridge(), numbers), (RandomForestClassifier(5, random_state=0), sets)):
        pipeline = make_pipeline(_random(), model)
        search = LayerSearchCV(pipeline, input_sizes=[32], cv=3, **CUTS).fit(images, y)
        assert search.predict(images).shape == y.shape
        assert search.nested_score_ <= search.best_score_ + 1e-9
    params = {"randomforestclassifier__sample_weight": np.arange(80.0)}
    search.fit(images, sets, **params)
    plain = [*search.cv_results_["mean_test_score"]]
    assert plain != [*search.fit(images, sets).cv_results_["mean_test_score"]]


# -- curves


def test_curves_of_numbers_are_as_by_hand(images: np.ndarray, numbers: np.ndarray) -> None:
    pipeline = make_pipeline(StandardScaler(), Ridge())
    weights = np.random.default_rng(0).random(80)
    curve = transfer_curve(
        images,
        numbers,
        extractors={"vgg": _random()},
        estimators={"pipeline": pipeline},
        sizes=[10, 40],
        n_repeats=3,
        test=range(60, 80),
        sample_weight=weights,
    )
    assert (curve.metric, curve.target, curve.classes) == ("r2", "numbers", [])
    assert [row.name for row in curve.rows][-1] == "pipeline"
    rng = np.random.RandomState(0)
    for repeat in range(3):
        order = rng.permutation(np.arange(60))
        _ = rng.random_sample(60)
        train = order[np.lexsort((_, _order(60)))][:40]
        params = {f"{name}__sample_weight": weights[train] for name, _ in pipeline.steps}
        fitted = pipeline.fit(images[train], numbers[train], **params)
        expected = r2_score(numbers[60:], fitted.predict(images[60:]), sample_weight=weights[60:])
        assert curve.rows[-1].scores[1][repeat] == pytest.approx(expected)
    text = str(curve)
    assert text.startswith("r2 by number of labels: 80 images with a number for each, weighted, 20")
    assert "lowest recall" not in text
    pytest.importorskip("matplotlib").use("agg")
    assert TransferCurveDisplay(curve).plot().ax_.get_ylabel().startswith("r2")


def _order(n: int) -> np.ndarray:
    places = (np.arange(n) + 0.5) / n
    places[0] = -1
    return places


def test_curves_of_sets(images: np.ndarray, sets: np.ndarray) -> None:
    groups = np.arange(80) // 4
    curve = transfer_curve(images, sets, extractors={}, n_repeats=3, groups=groups)
    assert curve.metric == "label_accuracy"
    assert curve.sizes[0] == 10
    assert str(curve).startswith("label_accuracy by number of labels: 80 images of 3 labels, ")
    assert curve.rows[0].means[-1].value > 0.6
    assert "Label with the lowest recall, with all labels: " in str(curve)
    assert json.loads(curve.to_json())["rows"][0]["recalls"] == curve.rows[0].label_recalls


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimators": {"a": LogisticRegression()}}, TypeError, r"regressors, as y holds numbers"),
        ({"classifier": LogisticRegression()}, TypeError, r"a regressor, as y holds numbers"),
        ({"sizes": [1, 20]}, ValueError, r"from 2 \(two images\) to 60"),
        ({"scoring": "f1"}, ValueError, r"a metric for regressors"),
        ({"sample_weight": np.zeros(80)}, ValueError, r"weights are all 0"),
        ({"test": 0.9}, ValueError, r"the first of 10\. Got 8 images for training"),
    ],
)
def test_mistakes_of_curves(
    params: dict[str, Any], error: type, message: str, images: np.ndarray, numbers: np.ndarray
) -> None:
    with pytest.raises(error, match=message):
        transfer_curve(images, numbers, extractors={"vgg": _random()}, **params)


def test_curves_test_balanced_accuracy_too(images: np.ndarray, unequal: np.ndarray) -> None:
    curve = transfer_curve(
        images, unequal, extractors={"vgg": _random()}, sizes=[8, 40], n_repeats=4
    )
    balanced = curve.criteria[-1]
    assert balanced.name == "balanced accuracy"
    means = {row.name: np.mean(row.balanced) for row in curve.rows}
    assert balanced.value == pytest.approx(max(means.values()))
    for row in curve.rows:
        assert len(row.balanced) == 4
        assert np.mean(row.balanced) == pytest.approx(row.balanced_accuracy)
    for lead in balanced.leads:
        assert lead.difference.value == pytest.approx(balanced.value - means[lead.over])
    text = " ".join(str(curve).split())
    assert "Balanced accuracy (all labels; classes are of unequal size): " in text
    assert "recall of each class" in text
    assert f"confusion matrix of {curve.criteria[2].best}, with all labels: rows" in text
    read = json.loads(curve.to_json())["rows"][0]
    assert read["recalls"] == pytest.approx(curve.rows[0].recalls)
    equal = transfer_curve(images, np.arange(80) % 2, extractors={}, sizes=[8, 40], n_repeats=2)
    assert [each.name for each in equal.criteria][-1] == "asymptote"


def test_displays_name_the_score(images: np.ndarray, numbers: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib").use("agg")
    result = compare_transfer(images, numbers, extractors={"vgg": _random()}, cv=3)
    display = TransferComparisonDisplay(result).plot()
    assert display.ax_.get_xlabel().startswith("r2")
    page = _page(TransferReport(comparison=result), tmp_path)
    assert "a number for each" in page
    assert "confusion matrix" not in page
