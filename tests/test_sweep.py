"""A sweep against pipelines by hand, its cost in forward passes, and what it leaves out."""

from __future__ import annotations

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, StratifiedKFold, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    FeatureStore,
    ImageWarning,
    VGGFeatureExtractor,
    load_digit_pair,
    sweep_layers,
)
from sktransfer.evaluation.probing.significance import by_folds, judge_alone
from sktransfer.evaluation.sweep import cuts as sweep, scoring
from sktransfer.evaluation.sweep.grid import Variant
from sktransfer.evaluation.sweep.result import LayerSweep, SweepRow
from sktransfer.evaluation.sweep.similarity import centred_gram, linear_cka

LAYERS = ["block1_conv1", "block1_pool"]


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:90], y[:90]


def _extractor(**params: Any) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(**{"weights": None, "random_state": 0} | params)


def _sweep(digits: Any, **params: Any) -> LayerSweep:
    params = {
        "extractor": _extractor(),
        "layers": LAYERS,
        "poolings": ["avg", "max"],
        "input_sizes": [32],
        "classifier": GaussianNB(),
        "scoring": "accuracy",
        "cv": 3,
    } | params
    return sweep_layers(*digits, **params)


@pytest.fixture(scope="module")
def result(digits: Any) -> LayerSweep:
    params = {"poolings": ["avg", None], "input_sizes": [40, 32], "max_width": 20_000}
    return _sweep(digits, scoring=None, **params)


# -- what comes out


def test_rows_are_what_pipelines_by_hand_give(digits: Any) -> None:
    params = {"layers": ["block1_conv1", "block2_pool"], "poolings": ["max", None]}
    found = _sweep(digits, classifier=None, max_width=10_000, **params)
    assert [str(row.variant) for row in found.rows] == [
        "block1_conv1 max, 32 px",
        "block2_pool max, 32 px",
        "block2_pool flat, 32 px",
    ]
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    for row in found.rows:
        extractor = _extractor(
            layer=row.variant.layer, pooling=row.variant.pooling, input_size=row.variant.input_size
        )
        model = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))
        np.testing.assert_array_equal(
            row.scores["accuracy"], cross_val_score(model, *digits, cv=folds)
        )
        assert row.milliseconds is not None
        assert row.milliseconds > 0


def test_cka_is_that_of_the_features(digits: Any) -> None:
    found = _sweep(digits)
    grams = []
    for row in found.rows:
        extractor = _extractor(layer=row.variant.layer, pooling=row.variant.pooling, input_size=32)
        grams.append(centred_gram(extractor.fit_transform(digits[0])))
    assert found.n_cka_images == 90
    np.testing.assert_allclose(found.cka, linear_cka(grams), atol=1e-5)


def test_best_is_the_highest_and_of_equals_the_cheapest(result: LayerSweep) -> None:
    assert result.metric == "accuracy"
    means = [np.mean(row.scores["accuracy"]) for row in result.rows]
    best, cheapest = result.best, result.cheapest
    assert best is not None
    assert cheapest is not None
    assert np.mean(best.scores["accuracy"]) == max(means)
    assert best.to_best is None
    equals = [row for row, mean in zip(result.rows, means, strict=True) if mean == max(means)]
    assert best.variant.multiply_adds == min(row.variant.multiply_adds for row in equals)
    assert cheapest in result.rows


def test_the_cheapest_row_is_near_the_best() -> None:
    """Within one standard error of the difference, and of these the fewest multiply-adds."""
    best = [0.90, 0.92, 0.94, 0.96]
    shifts = {
        "far": [-0.05, -0.06, -0.05, -0.06],
        "near": [-0.02, 0.015, -0.02, 0.015],
        "": [0.0] * 4,
    }
    folds = [(np.arange(75), np.arange(75, 100))] * 4
    rows = [
        SweepRow(
            Variant("block1_pool", "avg", 32, 64, cost),
            {"accuracy": list(np.add(best, shift))},
            None,
            0.0,
            0,
            to_best=judge_alone(by_folds(np.add(best, shift), best, folds)) if name else None,
            error=float(np.sqrt(by_folds(np.add(best, shift), best, folds).variance)),
        )
        for cost, (name, shift) in enumerate(shifts.items())
    ]
    found = LayerSweep(100, 4, [0, 1], 1, "accuracy", rows, cka=np.eye(3), n_cka_images=100)
    assert found.best is rows[2]
    assert found.cheapest is rows[1]
    assert "cheapest within one standard error: block1_pool avg, 32 px" in str(found)
    difference = rows[1].to_best
    spread = np.std(shifts["near"], ddof=1)
    error = spread * np.sqrt(1 / 4 + 25 / 75)
    assert -difference.mean <= error
    assert rows[1].error == pytest.approx(error)
    rows[1].to_best = judge_alone(
        by_folds(np.add(best, shifts["near"]) - 1.01 * error, best, folds)
    )
    assert found.cheapest is rows[2]


def test_differences_to_the_best_are_tested_on_the_same_folds(
    digits: Any, result: LayerSweep
) -> None:
    best = result.best
    assert best is not None
    for row in result.rows:
        if row is not best:
            assert row.to_best is not None
            expected = np.mean(row.scores["accuracy"]) - np.mean(best.scores["accuracy"])
            assert row.to_best.mean == pytest.approx(expected)
            assert (row.to_best.finding == "lower") == (row not in result.not_worse)
    assert best in result.not_worse
    # Other metrics have a t-test for each pair of rows.
    found = _sweep(digits, scoring="f1")
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(*digits))
    n = len(found.rows)
    for row in found.rows:
        if row is not found.best:
            pair = row.scores["f1"], found.best.scores["f1"]
            assert row.to_best == judge_alone(
                by_folds(*pair, folds), n_comparisons=n * (n - 1) // 2
            )


def test_a_sweep_says_what_the_choice_is_worth(result: LayerSweep) -> None:
    """On every fold the row that is best on the others, of equal ones the cheapest."""
    rows = sorted(result.rows, key=lambda row: (row.variant.multiply_adds, row.variant.width))
    scores = np.array([row.scores["accuracy"] for row in rows])
    expected = []
    for fold in range(3):
        others = [i for i in range(3) if i != fold]
        expected.append(scores[scores[:, others].mean(axis=1).argmax(), fold])
    assert result.nested_score == pytest.approx(np.mean(expected))
    n = len(rows)
    said = f"corrected for choosing among {n} rows: accuracy {result.nested_score:.3f}"
    assert said in str(result)
    assert f"({n * (n - 1) // 2} comparisons counted)" in str(result)


def test_every_row_counts_its_classes(digits: Any, result: LayerSweep) -> None:
    best = result.best
    assert best is not None
    for row in result.rows:
        confusion = np.array(row.confusion)
        assert confusion.sum(axis=1).tolist() == np.bincount(digits[1]).tolist()
        shares = np.trace(confusion) / confusion.sum()
        assert shares == pytest.approx(np.mean(row.scores["accuracy"]), abs=0.01)
    assert f"recall {min(best.recalls):.3f}" in str(result)


def test_groups_stay_together(digits: Any) -> None:
    groups = np.arange(90) // 5
    found = _sweep(digits, cv=GroupKFold(3), groups=groups, layers=LAYERS[:1], poolings=["avg"])
    model = make_pipeline(_extractor(layer=LAYERS[0], pooling="avg", input_size=32), GaussianNB())
    expected = cross_val_score(model, *digits, cv=GroupKFold(3), groups=groups)
    np.testing.assert_array_equal(found.rows[0].scores["accuracy"], expected)


# -- forward passes


@pytest.fixture
def untimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no images go through the network to measure its speed."""
    monkeypatch.setattr(sweep, "time_features", lambda *_: (0.0, 0.001))


def test_one_pass_for_each_size(digits: Any, computed: list[int], untimed: None) -> None:
    n_distinct = len(np.unique(digits[0], axis=0))
    found = _sweep(digits, extractor=_extractor(random_state=11), input_sizes=[32, 40])
    assert len(found.rows) == 8
    assert sum(computed) == 2 * n_distinct


def test_an_interrupted_sweep_goes_on(
    digits: Any,
    tmp_path: Path,
    computed: list[int],
    untimed: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X = np.random.default_rng(0).integers(0, 256, (150, 9, 9), dtype=np.uint8)
    y = np.arange(150) % 2
    extractor = _extractor(cache=tmp_path / "store")
    undisturbed = _sweep((X, y), extractor=_extractor(cache=tmp_path / "other"))
    computed.clear()

    from sktransfer.features.runner import Runner

    run = Runner.run

    def interrupted(*args: Any) -> None:
        if computed:
            raise KeyboardInterrupt
        run(*args)

    monkeypatch.setattr(Runner, "run", interrupted)
    with pytest.raises(KeyboardInterrupt):  # in the second chunk of images
        _sweep((X, y), extractor=extractor)
    assert sum(computed) == 64
    monkeypatch.setattr(Runner, "run", run)

    score = scoring.score_folds
    calls: list[int] = []

    def interrupted_later(*args: Any, **params: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(*args, **params)

    monkeypatch.setattr(scoring, "score_folds", interrupted_later)
    with pytest.raises(KeyboardInterrupt):  # at the third classifier
        _sweep((X, y), extractor=extractor)
    monkeypatch.setattr(scoring, "score_folds", score)

    found = _sweep((X, y), extractor=extractor)
    assert sum(computed) == 150
    assert [row.scores for row in found.rows] == [row.scores for row in undisturbed.rows]


def test_a_pipeline_later_finds_its_features(
    digits: Any, tmp_path: Path, computed: list[int], untimed: None
) -> None:
    extractor = _extractor(cache=FeatureStore(tmp_path))
    _sweep(digits, extractor=extractor)
    computed.clear()
    extractor.set_params(layer="block1_pool", pooling="max", input_size=32).fit_transform(digits[0])
    assert computed == []


def test_without_a_store_the_result_is_the_same(
    digits: Any, computed: list[int], untimed: None
) -> None:
    kept = _sweep(digits)
    computed.clear()
    found = _sweep(digits, extractor=_extractor(cache=None))
    assert sum(computed) == 90
    assert [row.scores for row in found.rows] == [row.scores for row in kept.rows]
    computed.clear()
    memory = 4 * 90 * 128  # two of the four at once
    found = _sweep(digits, extractor=_extractor(cache=None), memory_budget=memory)
    assert sum(computed) == 2 * 90
    assert [row.scores for row in found.rows] == [row.scores for row in kept.rows]


# -- what is left out


def test_wide_and_large_variants_are_listed(digits: Any) -> None:
    found = _sweep(digits, poolings=["avg", None], max_width=20_000, memory_budget=4 * 90 * 16_000)
    assert {row.variant.pooling for row in found.rows} == {"avg"}
    assert [str(each) for each in found.skipped] == [
        "block1_conv1 flat, 32 px (65,536 values): wider than max_width=20,000",
        "block1_pool flat, 32 px (16,384 values): 5,898,240 bytes, more than "
        "memory_budget=5,760,000",
    ]
    assert "skipped: block1_pool flat, 32 px" in str(found)
    assert "more than memory_budget=5,760,000" in found.to_csv()


def test_nothing_is_begun_after_the_time_budget(
    digits: Any, monkeypatch: pytest.MonkeyPatch, untimed: None
) -> None:
    now = [0.0]
    monkeypatch.setattr(sweep.time, "monotonic", lambda: now[0])
    score = scoring.score_folds

    def slow(*args: Any, **params: Any) -> Any:
        now[0] += 10
        return score(*args, **params)

    monkeypatch.setattr(scoring, "score_folds", slow)
    found = _sweep(digits, input_sizes=[32, 40], time_budget=15)
    assert [str(row.variant) for row in found.rows] == [
        "block1_conv1 avg, 32 px",
        "block1_conv1 max, 32 px",
    ]
    reasons = {str(each.variant): each.reason for each in found.skipped}
    assert len(reasons) == 6
    assert "ran out before its classifier" in reasons["block1_pool max, 32 px"]
    assert reasons["block1_conv1 avg, 40 px"].endswith("ran out after 0 of 90 images")


def test_a_pass_stops_at_the_time_budget_and_keeps_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[int], untimed: None
) -> None:
    from sktransfer.evaluation.sweep import passes

    monkeypatch.setattr(passes, "_BLOCK_IMAGES", (64, 64))
    ticks = iter(range(1000))
    monkeypatch.setattr(sweep.time, "monotonic", lambda: float(next(ticks)))
    X = np.random.default_rng(0).integers(0, 256, (150, 9, 9), dtype=np.uint8)
    y = np.arange(150) % 2
    found = _sweep((X, y), extractor=_extractor(cache=tmp_path), time_budget=2.5)
    assert found.rows == []
    assert found.best is None
    assert found.cheapest is None
    assert "after 128 of 150 images; their features are cached" in str(found)
    assert json.loads(found.to_json())["rows"] == []
    assert sum(computed) == 128
    found = _sweep((X, y), extractor=_extractor(cache=tmp_path))
    assert sum(computed) == 150
    assert len(found.rows) == 4


# -- bad input


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"extractor": 3}, TypeError, "'extractor' parameter of sweep_layers must be None or"),
        ({"classifier": 3}, TypeError, "'classifier' parameter of sweep_layers"),
        ({"cv": 46}, ValueError, "as many images as folds"),
        ({"scoring": "f1_mikro"}, ValueError, "did you mean 'f1_micro'"),
        ({"time_budget": 0}, ValueError, r"'time_budget' .* None or seconds above 0\. Got 0"),
        ({"memory_budget": None}, ValueError, r"'memory_budget' .* whole number of bytes above 0"),
        ({"memory_budget": 100}, ValueError, "more than memory_budget=100. Raise memory_budget"),
        ({"layers": ["block9"]}, ValueError, "'layers' parameter of sweep_layers must be a layer"),
        ({"extractor": VGGFeatureExtractor(weights="no.h5")}, OSError, r"no\.h5"),
    ],
)
def test_bad_parameters_are_found_before_the_network_runs(
    params: dict[str, Any], error: type, message: str, digits: Any, computed: list[int]
) -> None:
    with pytest.raises(error, match=message):
        _sweep(digits, **params)
    assert computed == []


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(90), "at least two classes"),
        (np.arange(89) % 2, "one label per image. Got 90 images and 89 labels"),
    ],
)
def test_bad_labels_are_found_before_the_network_runs(
    y: np.ndarray, message: str, digits: Any, computed: list[int]
) -> None:
    with pytest.raises(ValueError, match=message):
        _sweep((digits[0], y))
    assert computed == []


def test_a_doubtful_range_is_said_once(digits: Any) -> None:
    X, y = digits
    with pytest.warns(ImageWarning, match="no value exceeds 16") as caught:
        _sweep((X.astype(np.uint8), y), input_sizes=[32, 40])
    assert len(caught) == 1


def test_extractor_images_and_seeds_stay_as_they_were(digits: Any) -> None:
    X, y = digits[0].copy(), digits[1].copy()
    X.flags.writeable = y.flags.writeable = False
    generator = np.random.RandomState(3)
    extractor = _extractor(random_state=generator)
    state = generator.get_state()[1].copy()
    found = _sweep((X, y), extractor=extractor, layers=LAYERS[:1])
    np.testing.assert_array_equal(generator.get_state()[1], state)
    assert extractor.layer == "flatten"
    assert not hasattr(extractor, "n_features_out_")
    assert len(found.rows) == 2


# -- forms of the result


def test_json_csv_and_frames_hold_every_score(result: LayerSweep) -> None:
    read = json.loads(result.to_json())
    assert [row["scores"] for row in read["rows"]] == [row.scores for row in result.rows]
    assert [row["pooling"] for row in read["rows"]] == [
        row.variant.pooling or "flat" for row in result.rows
    ]
    assert read["skipped"][0]["reason"] == "wider than max_width=20,000"
    np.testing.assert_allclose(read["cka"], result.cka)

    lines = list(csv.DictReader(io.StringIO(result.to_csv())))
    done = [line for line in lines if not line["skipped"]]
    assert len(done) == 3 * len(result.rows)
    assert len(lines) - len(done) == len(result.skipped)
    assert [float(line["roc_auc"]) for line in done[:3]] == result.rows[0].scores["roc_auc"]

    frame = result.to_frame()
    assert list(frame["width"]) == [row.variant.width for row in result.rows]
    np.testing.assert_allclose(
        frame["accuracy"], [np.mean(row.scores["accuracy"]) for row in result.rows]
    )
    cka = result.cka_to_frame()
    assert cka.loc["block1_pool avg, 32 px", "block1_pool avg, 32 px"] == pytest.approx(1)


def test_tables_show_means_and_costs(result: LayerSweep) -> None:
    text = str(result)
    assert text.startswith("90 images, 2 classes; the same classifier and 3 folds")
    row = result.rows[0]
    scores = row.scores["accuracy"]
    shown = f"{np.mean(scores):.3f} ± {np.std(scores):.3f}"
    (line,) = [x for x in text.splitlines() if x.split()[:3] == ["block1_conv1", "avg", "32"]]
    assert shown in line
    assert f"best: {result.best.variant}" in text  # type: ignore[union-attr]
    markdown = result.to_markdown().splitlines()
    assert len(markdown) == 2 + len(result.rows)
    assert markdown[2].startswith("| block1_conv1 | avg | 32 | 64 |")
    assert shown in markdown[2]


def test_unscored_folds_are_no_nan_in_json(digits: Any) -> None:
    def no_score(*_: Any) -> float:
        return float("nan")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = _sweep(digits, scoring=no_score, layers=LAYERS[:1])
    assert json.loads(found.to_json())["rows"][0]["scores"]["no_score"] == [None] * 3
    assert found.best is not None


def test_classifiers_that_stop_early_are_marked(digits: Any) -> None:
    classifier = LogisticRegression(max_iter=1)
    found = _sweep(digits, classifier=classifier, layers=LAYERS[:1], poolings=["avg"])
    assert found.rows[0].n_not_converged == 3
    assert "* the classifier stopped before it converged" in str(found)


def test_progress_is_shown_when_asked_for(digits: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _sweep(digits, layers=LAYERS[:1], poolings=["avg"])
    assert capsys.readouterr().err == ""
    _sweep(digits, layers=LAYERS[:1], poolings=["avg"], verbose=1)
    err = capsys.readouterr().err
    assert "32 px: 100%" in err
    assert "block1_conv1 avg, 32 px:   0%" in err


def test_trained_layers_tell_digits_apart(shared_data: Path, vgg16_blocks: Path) -> None:
    with np.load(shared_data / "data" / "mnist_6_8.npz") as archive:
        X, y = archive["images"][:400], archive["digit"][:400]
    found = sweep_layers(
        X,
        y,
        extractor=VGGFeatureExtractor(weights=vgg16_blocks),
        layers=["block1_pool", "block2_pool"],
        poolings=["avg"],
        input_sizes=[32],
        scoring="accuracy",
    )
    first, second = (np.mean(row.scores["accuracy"]) for row in found.rows)
    assert second > first
    assert second > 0.97
