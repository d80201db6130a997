"""Rows of a transfer curve meet the same images; mistakes are found before any is computed."""

from __future__ import annotations

import csv
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from PIL import Image
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Perceptron
from sklearn.metrics import f1_score
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sktransfer import (
    CurveWarning,
    VGGClassifier,
    VGGFeatureExtractor,
    load_digit_pair,
    transfer_curve,
)
from sktransfer.evaluation.curves.draws import split
from sktransfer.evaluation.curves.result import TransferCurve
from sktransfer.evaluation.probing import check_labels

# Curves of few labels and repeats rarely tell where they end.
pytestmark = pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning")

SMALL: dict[str, Any] = {"sizes": [4, 8, 16, 32], "n_repeats": 3}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:80], y[:80]


def _random(layer: str = "block1_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "max", "input_size": 32, "weights": None, "random_state": 0} | params
    return VGGFeatureExtractor(layer, **params)


def _scaled() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))


def _flat(images: Any) -> np.ndarray:
    return np.array([np.asarray(image, dtype=float).ravel() for image in images])


@pytest.fixture(scope="module")
def curve(digits: tuple[np.ndarray, np.ndarray]) -> TransferCurve:
    X, y = digits
    pipeline = make_pipeline(FunctionTransformer(_flat), GaussianNB(var_smoothing=0.1))
    return transfer_curve(
        X.reshape(-1, 8, 8),
        y,
        extractors={"vgg": _random(weights=None)},
        estimators={"pipeline": pipeline},
        **SMALL,
    )


def test_rows_are_what_the_same_draws_give_by_hand(
    curve: TransferCurve, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    X, y = digits
    splits = split(check_labels(y, 80, who=""), 0.25, 3, np.random.RandomState(0), who="")
    by_hand = {
        "raw pixels": _scaled(),
        "raw pixels from 0 to 1": make_pipeline(
            FunctionTransformer(lambda X: X / 16), LogisticRegression(max_iter=1000)
        ),
        "vgg": _scaled(),
        "pipeline": GaussianNB(var_smoothing=0.1),
    }
    features = _random().fit_transform(X)
    assert [row.name for row in curve.rows] == list(by_hand)
    assert [row.kind for row in curve.rows] == [
        "raw",
        "raw",
        "control",
        "estimator",
    ]
    assert [row.n_features for row in curve.rows] == [64, 64, 64, None]
    for row in curve.rows:
        values = features if row.name == "vgg" else X
        for n, scores in zip([4, 8, 16, 32], row.scores, strict=True):
            expected = [
                clone(by_hand[row.name])
                .fit(values[order[:n]], y[order[:n]])
                .score(values[tested], y[tested])
                for order, tested in splits
            ]
            assert scores == pytest.approx(expected)
    assert (curve.n_images, curve.n_test, curve.n_repeats) == (80, 20, 3)
    assert curve.sizes == [4, 8, 16, 32]
    assert curve.metric == "accuracy"
    assert not curve.is_test_fixed


def test_the_same_call_gives_the_same_curve(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits

    def find(random_state: int) -> dict[str, Any]:
        result = transfer_curve(X, y, extractors={}, random_state=random_state, **SMALL)
        found = json.loads(result.to_json())
        for row in found["rows"]:
            row["feature_seconds"] = row["classifier_seconds"] = 0
        return found

    assert find(0) == find(0)
    assert find(0)["rows"] != find(1)["rows"]


def test_each_network_gets_one_control(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    missing = {"weights": tmp_path / "none.h5"}
    extractors = {
        "one": _random(**missing),
        "same, another file": _random(weights=tmp_path / "other.h5"),
        "avg": _random(**missing, pooling="avg"),
        "given": _random(weights=None, pooling="avg"),
    }
    result = transfer_curve(X, y, extractors=extractors, optional=list(extractors), **SMALL)
    assert [(row.name, row.kind) for row in result.rows[2:]] == [
        ("one", "transfer"),
        ("one, random weights", "control"),
        ("same, another file", "transfer"),
        ("avg", "transfer"),
        ("given", "control"),
    ]
    for row in [row for row in result.rows if row.kind == "transfer"]:
        assert row.unavailable is not None
        assert row.scores == []
    assert "one: not shown." in str(result)
    assert "none.h5" in str(result)
    # The control is the network of the same cut, seeded as the whole, and with the next seeds.
    features = _random(random_state=0).fit_transform(X)
    (control,) = [row for row in result.rows if row.name == "one, random weights"]
    alone = [
        transfer_curve(X, y, extractors={"seed": _random(random_state=seed)}, **SMALL)
        for seed in range(3)
    ]
    by_seed = [each.rows[2].scores for each in alone]
    assert [draw.scores for draw in control.drawn] == by_seed
    np.testing.assert_allclose(control.scores, np.mean(by_seed, axis=0))
    assert control.n_features == features.shape[1]
    assert "one, random weights: the mean of 3 draws of random weights" in str(result)
    once = transfer_curve(
        X, y, extractors=extractors, optional=list(extractors), n_controls=1, **SMALL
    )
    (control,) = [row for row in once.rows if row.name == "one, random weights"]
    assert (control.scores, control.drawn) == (by_seed[0], [])
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        transfer_curve(X, y, extractors=extractors, **SMALL)


def test_controls_of_several_networks_have_names_of_their_own(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    extractors = {
        pooling: _random(weights=tmp_path / "none.h5", pooling=pooling)
        for pooling in ("avg", "max")
    }
    result = transfer_curve(X, y, extractors=extractors, optional=["avg", "max"], **SMALL)
    assert [row.name for row in result.rows if row.kind == "control"] == [
        "avg, random weights",
        "max, random weights",
    ]
    taken = {"avg, random weights": GaussianNB(var_smoothing=0.1)}
    result = transfer_curve(
        X, y, extractors=extractors, estimators=taken, optional=["avg", "max"], **SMALL
    )
    names = [row.name for row in result.rows]
    assert "avg, random weights (control)" in names
    assert len(set(names)) == len(names)


def test_trained_weights_meet_their_control(
    digits: tuple[np.ndarray, np.ndarray], vgg16_blocks: Path
) -> None:
    X, y = digits
    result = transfer_curve(
        X, y, extractors={"trained": _random("block2_pool", weights=vgg16_blocks)}, **SMALL
    )
    control = "trained, random weights"
    assert [row.name for row in result.rows[2:]] == ["trained", control]
    assert result.rows[2].control == control
    assert result.rows[2].scores != result.rows[3].scores
    assert {(s.name, s.than) for s in result.savings} == {
        ("trained", control),
        (control, result.savings[0].than),
        ("trained", result.savings[0].than),
    }


def test_a_classifier_of_ones_own_meets_raw_pixels_once(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    result = transfer_curve(X, y, extractors={}, classifier=GaussianNB(var_smoothing=0.1), **SMALL)
    assert [row.name for row in result.rows] == ["raw pixels"]


def test_any_metric_and_more_classes() -> None:
    X, y = load_digits(n_class=4, return_X_y=True)
    X, y = X[:160], y[:160]
    result = transfer_curve(X, y, extractors={}, scoring="f1_macro", sizes=[8, 16], n_repeats=2)
    assert result.metric == "f1_macro"
    assert result.classes == [0, 1, 2, 3]
    splits = split(check_labels(y, 160, who=""), 0.25, 2, np.random.RandomState(0), who="")
    order, tested = splits[0]
    predicted = _scaled().fit(X[order[:8]], y[order[:8]]).predict(X[tested])
    expected = f1_score(y[tested], predicted, average="macro")
    assert result.rows[0].scores[0][0] == pytest.approx(expected)


def test_metrics_beyond_0_to_1_have_no_law(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    result = transfer_curve(X, y, extractors={}, scoring="neg_log_loss", **SMALL)
    assert {row.no_law for row in result.rows} == {"it is for scores from 0 to 1"}
    assert result.rows[0].error_reduction is None
    assert "Asymptote: cannot be compared" in str(result)


def test_a_fixed_test_part_is_never_learned_from(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    tested = np.arange(60, 80)
    result = transfer_curve(X, y, extractors={}, test=tested, sizes=[10, 30, 60], n_repeats=3)
    assert (result.n_test, result.is_test_fixed) == (20, True)
    # All labels: one draw, however often it is drawn.
    expected = _scaled().fit(X[:60], y[:60]).score(X[60:], y[60:])
    assert result.rows[0].scores[-1] == pytest.approx([expected] * 3)
    assert "on the same test images" in " ".join(str(result).split())
    mask = np.zeros(80, dtype=bool)
    mask[tested] = True
    same = transfer_curve(X, y, extractors={}, test=mask, sizes=[10, 30, 60], n_repeats=3)
    assert [row.scores for row in same.rows] == [row.scores for row in result.rows]


def test_files_and_frames_are_images_for_estimators_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    y = np.tile(["dark", "light"], 12)
    paths = []
    for position, label in enumerate(y):
        pixels = rng.integers(0, 100, (20 + position, 30)) + (120 if label == "light" else 0)
        paths.append(str(tmp_path / f"{position}.png"))
        Image.fromarray(pixels.astype(np.uint8)).save(paths[-1])
    estimator = make_pipeline(_random(), LogisticRegression())
    for X in (paths, pandas.DataFrame({"path": paths})):
        result = transfer_curve(
            X,
            y,
            extractors={"vgg": _random()},
            estimators={"whole": estimator},
            classifier=LogisticRegression(),
            sizes=[4, 8],
            n_repeats=2,
        )
        # The extractor inside the draws gives what it gives before them.
        assert result.rows[-1].scores == result.rows[-2].scores
        assert result.rows[0].n_features == 32 * 32 * 3


def test_a_fine_tuned_network_is_an_estimator(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    tuned = VGGClassifier(
        "block1_pool",
        weights=None,
        pooling="avg",
        input_size=32,
        head_epochs=1,
        random_state=0,
    )
    result = transfer_curve(
        X, y, extractors={}, estimators={"tuned": tuned}, sizes=[4, 8], n_repeats=2
    )
    row = result.rows[-1]
    assert (row.name, row.kind) == ("tuned", "estimator")
    labels = check_labels(y, 80, who="")
    order, tested = split(labels, 0.25, 2, np.random.RandomState(0), who="")[0]
    alone = clone(tuned).fit(X[order[:8]], y[order[:8]])
    assert row.scores[1][0] == alone.score(X[tested], y[tested])


def test_input_extractors_and_estimators_stay_as_they_were(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits[0].copy(), digits[1].copy()
    X.flags.writeable = y.flags.writeable = False
    extractor, estimator = _random(), LogisticRegression(max_iter=1000)
    state = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not move
    transfer_curve(X, y, extractors={"vgg": extractor}, estimators={"lr": estimator}, **SMALL)
    assert not hasattr(extractor, "n_features_out_")
    assert not hasattr(estimator, "coef_")
    np.testing.assert_array_equal(X, digits[0])
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_doubts_are_one_warning(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    shuffled = np.random.default_rng(0).permutation(y)
    with pytest.warns(
        CurveWarning, match="cannot rely on the power law.*raw pixels .the curve does not rise"
    ) as caught:
        result = transfer_curve(X, shuffled, extractors={}, **SMALL)
    assert len(caught) == 1
    text = str(result)
    assert "raw pixels: the asymptote is in doubt: the curve does not rise beyond noise." in text
    assert "Asymptote: cannot be compared, because fewer than two rows have a reliable" in text


def test_classifiers_that_stop_early_are_counted(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1))
    result = transfer_curve(X, y, extractors={}, classifier=classifier, **SMALL)
    assert result.rows[0].n_not_converged == 12
    assert "raw pixels: the classifier stopped at max_iter on 12 of 12 draws." in str(result)


@pytest.mark.parametrize(
    ("y", "params", "error", "message"),
    [
        (np.zeros(80), {}, ValueError, r"needs at least two classes\. Got 1 class in y: \[0\.0\]"),
        (np.arange(79) % 2, {}, ValueError, r"Got 80 images and 79 labels"),
        (
            np.r_[np.zeros(79, int), 1],
            {},
            ValueError,
            r"needs at least 2 images of each class.* Got 1 of class 1",
        ),
        (None, {"random_state": "a"}, ValueError, r"'random_state' .* Got 'a' instead"),
        (None, {"groups": [None] * 80}, ValueError, r"'groups' .* none missing"),
        (None, {"sizes": [4, 61]}, ValueError, r"from 2 .one of each class. to 60 .* \[4, 61\]"),
        (None, {"sizes": [1, 4]}, ValueError, r"'sizes' .* from 2 .* Got \[1, 4\] instead"),
        (None, {"sizes": [4, 4]}, ValueError, r"at least two different whole numbers"),
        (None, {"sizes": [4]}, ValueError, r"at least two different whole numbers"),
        (None, {"sizes": [4, 8.5]}, ValueError, r"Got \[4, 8\.5\] instead"),
        (None, {"sizes": "all"}, ValueError, r"Got 'all' instead"),
        (None, {"sizes": 8}, ValueError, r"Got 8 instead"),
        (None, {"sizes": [True, False]}, ValueError, r"Got \[True, False\] instead"),
        (
            np.arange(80) % 27,
            {},
            ValueError,
            r"at least two numbers of labels.* 53 images",
        ),
        (None, {"test": []}, ValueError, r"'test' .* at least one test image\. Got none"),
        (None, {"test": np.zeros(80, bool)}, ValueError, r"at least one test image\. Got none"),
        (None, {"test": [3, 80]}, ValueError, r"from 0 to 79\. Got \[3, 80\] instead"),
        (None, {"test": [3, 3]}, ValueError, r"different whole numbers from 0 to 79"),
        (None, {"test": [0.5]}, ValueError, r"positions"),
        (None, {"test": 0}, ValueError, r"a share between 0 and 1 .* Got 0 instead"),
        (None, {"test": 1.0}, ValueError, r"a share between 0 and 1 .* Got 1\.0 instead"),
        (None, {"test": True}, ValueError, r"a share between 0 and 1 .* Got True instead"),
        (
            np.arange(80) // 40,
            {"test": np.arange(40)},
            ValueError,
            r"leave images of every class for training\. Got all of class 0 in it",
        ),
        (None, {"scoring": "r2"}, ValueError, r"'scoring' parameter of transfer_curve"),
        (None, {"scoring": "nonsense"}, ValueError, r"'scoring' parameter of transfer_curve"),
        (None, {"scoring": ["accuracy"]}, TypeError, r"one metric.* Got \['accuracy'\] instead"),
        (None, {"scoring": 3}, TypeError, r"one metric.* Got 3 instead"),
        (
            None,
            {"scoring": "neg_log_loss", "classifier": Perceptron()},
            ValueError,
            r"'scoring' parameter of transfer_curve",
        ),
        (
            None,
            {"scoring": lambda classifier, X, y: np.nan},
            ValueError,
            r"finite scores on every draw",
        ),
        (
            None,
            {"classifier": make_pipeline(PCA(30), LogisticRegression())},
            ValueError,
            r"cannot be fitted and scored on every draw of labels.* Set sizes higher",
        ),
        (None, {"n_repeats": 1}, ValueError, r"'n_repeats' parameter of transfer_curve"),
        (None, {"n_controls": 0}, ValueError, r"'n_controls' parameter of transfer_curve must be"),
        (None, {"classifier": PCA()}, TypeError, r"'classifier' parameter of transfer_curve"),
        (
            None,
            {"estimators": {"a": PCA()}},
            TypeError,
            r"must be None or map names to classifiers",
        ),
        (None, {"estimators": [GaussianNB()]}, TypeError, r"must be None or map names"),
        (None, {"estimators": {"vgg": GaussianNB()}}, ValueError, r"Got 'vgg' twice"),
        (None, {"estimators": {"raw pixels": GaussianNB()}}, ValueError, r"'raw pixels' twice"),
        (None, {"extractors": [_random()]}, TypeError, r"must map names to instances"),
    ],
)
def test_mistakes_are_found_before_any_image_is_computed(
    y: np.ndarray | None,
    params: dict[str, Any],
    error: type[Exception],
    message: str,
    digits: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("an image was computed")

    monkeypatch.setattr(VGGFeatureExtractor, "transform", refuse)
    X = digits[0]
    y = digits[1] if y is None else y
    with pytest.raises(error, match=message):
        transfer_curve(X, y, **{"extractors": {"vgg": _random()}} | params)


def test_json_frame_and_pickle_hold_every_score(curve: TransferCurve) -> None:
    read = json.loads(curve.to_json())
    assert [row["scores"] for row in read["rows"]] == [row.scores for row in curve.rows]
    assert read["rows"][0]["means"][0]["value"] == curve.rows[0].means[0].value
    assert read["savings"][0]["n_labels"] == 4
    frame = curve.to_frame()
    assert list(frame.columns) == ["features", "labels", "repeat", "accuracy"]
    assert len(frame) == 4 * 4 * 3
    some = frame[(frame["features"] == "vgg") & (frame["labels"] == 8)]
    assert some["accuracy"].tolist() == curve.rows[2].scores[1]
    assert some["repeat"].tolist() == [1, 2, 3]
    lines = list(csv.DictReader(io.StringIO(curve.to_csv())))
    assert [float(line["accuracy"]) for line in lines] == frame["accuracy"].tolist()
    assert [line["features"] for line in lines] == frame["features"].tolist()
    assert str(pickle.loads(pickle.dumps(curve))) == str(curve)


def test_tables_show_the_numbers_of_the_rows(curve: TransferCurve) -> None:
    for text in (str(curve), curve.to_markdown()):
        for row in curve.rows:
            assert row.name in text
            assert str(row.means[0]) in text
            assert str(row.slope) in text
            for mean in row.means:
                assert f"{mean.value:.3f} ± {mean.high - mean.value:.3f}" in text
        assert "Start (4 labels): " in text
        assert "Slope (per doubling from 4 to 8 labels): " in text
        assert "All labels (32): " in text
    assert max(map(len, str(curve).split("\n\n")[0].splitlines())) <= 100
    assert curve.to_markdown().count("| labels |") >= 2


def test_sentences_name_the_winner_and_the_noise(curve: TransferCurve) -> None:
    start = curve.criteria[0]
    values = {row.name: row.means[0].value for row in curve.rows}
    assert start.best == max(values, key=values.__getitem__)
    (sentence,) = [s for s in curve.sentences() if s.startswith("Start")]
    assert f"{start.best} is highest, {values[start.best]:.3f}" in sentence
    assert sentence.count("within noise") == sum(lead.is_noise for lead in start.leads)


def test_progress_bars_are_shown_when_asked_for(
    digits: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = digits
    transfer_curve(X, y, extractors={}, **SMALL)
    assert capsys.readouterr().err == ""
    transfer_curve(X, y, extractors={"vgg": _random()}, verbose=1, **SMALL)
    err = capsys.readouterr().err
    assert "raw pixels:   0%" in err
    assert "vgg:   0%" in err


def test_on_real_digits_trained_features_start_higher_and_need_fewer_labels(
    shared_data: Path, vgg19_blocks: Path
) -> None:
    with np.load(shared_data / "data" / "mnist_6_8.npz") as archive:
        rows = np.random.default_rng(0).permutation(8200)[:600]
        X, y = archive["images"][rows], archive["digit"][rows]
    trained = VGGFeatureExtractor(
        "block3_pool", architecture="vgg19", weights=vgg19_blocks, pooling="avg", input_size=32
    )
    result = transfer_curve(X, y, extractors={"vgg19": trained}, n_repeats=5)
    everything = result.criteria[2]
    assert everything.best == "vgg19"
    (saving,) = [
        s
        for s in result.savings
        if s.than.startswith("raw") and s.name == "vgg19" and s.n_labels == result.sizes[-1]
    ]
    assert saving.needed is not None
    assert saving.needed < result.sizes[-1] / 4


def test_groups_are_learned_from_or_tested_on(digits: Any) -> None:
    X, y = digits
    # The five images of a group are copies: learned from, they would be known.
    chosen = np.arange(40)
    X, y = np.repeat(X[chosen], 5, axis=0), np.random.default_rng(0).permutation(np.arange(40) % 2)
    y, groups = np.repeat(y, 5), np.repeat(chosen, 5)
    near = KNeighborsClassifier(1)
    params: dict[str, Any] = {"extractors": {}, "classifier": near, "sizes": [20, 100]}
    loose = transfer_curve(X, y, **params)
    tight = transfer_curve(X, y, groups=groups, **params)
    assert loose.rows[0].means[-1].value > 0.85
    assert tight.rows[0].means[-1].value < 0.7
    # 50 test images are ten groups.
    wide, narrow = (each.rows[0].means[-1] for each in (tight, loose))
    assert wide.high - wide.low > narrow.high - narrow.low
    fixed = transfer_curve(X, y, groups=groups, test=range(50), **params)
    assert fixed.n_test == 50


@pytest.mark.parametrize(
    ("groups", "test", "message"),
    [
        (np.arange(39), 0.25, r"one group per image\. Got 40 images and 39 groups"),
        (np.arange(40) % 3, 0.25, r"at least 4 groups to test on a share of 0\.25 .* Got 3"),
        (np.arange(40) // 10, [0, 1], r"must hold all images of a group or none\. Got some of 1"),
        (np.arange(40) % 4, 0.25, r"training and test images hold every class"),
    ],
)
def test_bad_groups(groups: np.ndarray, test: Any, message: str, digits: Any) -> None:
    y = np.arange(40) % 4 == 0  # all of one group
    with pytest.raises(ValueError, match=message):
        transfer_curve(digits[0][:40], y, extractors={}, groups=groups, test=test)


def test_classes_are_counted_with_all_labels(digits: Any) -> None:
    X, y = digits[0][:60], digits[1][:60]
    curve = transfer_curve(
        X, y, extractors={}, classifier=GaussianNB(), sizes=[4, 20], n_repeats=3, test=range(20)
    )
    row = curve.rows[0]
    confusion = np.array(row.confusion)
    np.testing.assert_allclose(confusion.sum(axis=1), np.bincount(y[:20]))
    assert np.trace(confusion) / 20 == pytest.approx(row.means[-1].value)
    assert f"of raw pixels ({min(row.recalls):.3f})" in " ".join(str(curve).split())
