"""Planted faults are found, healthy images raise no alarm, and reports hold what was found."""

from __future__ import annotations

import ast
import json
import re
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from diagnosis_cases import FAULTS, HEALTHY, patches
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sktransfer import Diagnosis, FeatureStore, VGGFeatureExtractor, diagnose, load_digit_pair
from sktransfer.evaluation.diagnosis import CHECKS
from sktransfer.evaluation.diagnosis.anatomy import VGGAnatomy
from sktransfer.evaluation.diagnosis.features import saturated_features
from sktransfer.evaluation.diagnosis.findings import SEVERITIES
from sktransfer.evaluation.diagnosis.sampling import sample_rows
from sktransfer.features.runner import Runner
from sktransfer.networks import plan_cut

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "benchmarks"))

from fault_sets import base_sets, healthy_sets  # noqa: E402 - scripts, not a package
from faults import FAULTS as PLANTED, plant  # noqa: E402

#: Findings that only the benchmark plants.
NEW = {fault.finding for fault in PLANTED} - {fault.finding for fault in FAULTS.values()}
#: The images that show a fault best.
PLANTED_IN = {
    "wrapped-values": "discs and squares",
    "mixed-polarity": "drawn faces",
    "turned-images": "drawn faces",
    "near-duplicates-across-folds": "discs and squares",
    "shortcut-frame": "discs and squares",
    "half-read-images": "discs and squares",
}


def _random(layer: str = "block2_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"pooling": "avg", "input_size": 32, "random_state": 0} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


@pytest.fixture
def trained(vgg19_blocks: Path) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(
        "block3_pool", architecture="vgg19", weights=vgg19_blocks, pooling="avg", input_size=32
    )


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:100], y[:100]


@pytest.fixture(scope="module")
def report(digits: tuple[np.ndarray, np.ndarray]) -> Diagnosis:
    X, y = digits
    return diagnose(_random(), X / 16 / 255, y)


@pytest.mark.parametrize("white", [1, 16])
@pytest.mark.parametrize("beyond", [0.0, 1e-7])
def test_a_range_is_found_whatever_rounding_added(white: int, beyond: float) -> None:
    X = np.random.default_rng(0).random((40, 8, 8)) * white
    X[:, 0, 0] = -beyond * white
    X[:, 0, 1] = white * (1 + beyond)
    extractor = _random("block1_pool", value_range=(0, 255))
    (finding,) = (each for each in diagnose(extractor, X).findings if each.name == "range-wrong")
    assert f"these look like values from 0 to {white}." in finding.message
    assert finding.remedy == f"extractor.set_params(value_range=(0, {white}))"


# -- what is found


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_images_raise_no_alarm(
    name: str, trained: VGGFeatureExtractor, tmp_path: Path
) -> None:
    diagnosis = diagnose(*HEALTHY[name](trained, tmp_path))
    assert not diagnosis.at_least("warning"), str(diagnosis)


@pytest.mark.parametrize("name", list(HEALTHY)[::3])
def test_of_healthy_images_only_random_weights_are_named(name: str, tmp_path: Path) -> None:
    diagnosis = diagnose(*HEALTHY[name](_random(), tmp_path))
    assert [each.name for each in diagnosis.at_least("warning")] == ["random-weights"]


# Faults that their remedy cures as it stands, without a decision or a look at the images.
CURED = (
    "0 to 1 divided by 255",
    "divided by 255, then preprocess_input",
    "preprocess_input before",
    "standardised as for torchvision",
    "0 to 1 read as 0 to 255",
    "0 to 16 in bytes",
    "12 bits in 16",
    "fitted on 0 to 1, used on 0 to 255",
    "rows of colour planes, channels taken for last",
    "colour planes reshaped to pixels",
    "BGR, classes named after colours",
    "one image in ten is blank",
    "one image in twenty twice",
    "labels moved by three",
    "cut too shallow for these classes",
    "fitted with labels exchanged",
)


# Fitting a pipeline on what is planted may warn, as it should.
@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize("name", FAULTS)
def test_planted_faults_are_found_and_cured(
    name: str, trained: VGGFeatureExtractor, tmp_path: Path
) -> None:
    fault = FAULTS[name]
    estimator, X, y = fault.make(trained, tmp_path)
    diagnosis = diagnose(estimator, X, y)
    found = {(each.name, each.severity): each for each in diagnosis.findings}
    assert (fault.finding, fault.severity) in found, str(diagnosis)
    for each in diagnosis.findings:
        ast.parse(each.remedy)
        json.dumps(each.evidence)
    if name not in CURED:
        return
    names = {"X": X, "y": y, "extractor": estimator, "pipeline": estimator}
    exec(found[fault.finding, fault.severity].remedy, {"np": np, "clone": clone}, names)
    given = names["pipeline" if hasattr(estimator, "steps") else "extractor"]
    cured = diagnose(given, names["X"], names["y"])
    assert fault.finding not in [each.name for each in cured.at_least(fault.severity)], str(cured)


def test_a_real_pair_of_digits_raises_no_alarm(
    shared_data: Path, trained: VGGFeatureExtractor
) -> None:
    with np.load(shared_data / "data" / "mnist_6_8.npz") as archive:
        X, y = archive["images"], archive["digit"]
    diagnosis = diagnose(trained, X, y)
    assert (diagnosis.n_images, diagnosis.n_sampled) == (8200, 200)
    assert not diagnosis.at_least("warning"), str(diagnosis)


# Alpha that hides the images is said by the extractor as well.
@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize("fault", [f for f in PLANTED if f.finding in NEW], ids=lambda f: f.name)
def test_faults_of_the_benchmark_are_found(fault: Any, vgg16_trunk: Path, tmp_path: Path) -> None:
    wanted = "embedded digits" if not fault.needs else "discs and squares"
    if fault.finding in PLANTED_IN:
        wanted = PLANTED_IN[fault.finding]
    (one,) = (each for each in base_sets() if each.name == wanted)
    extractor = VGGFeatureExtractor(
        "block3_pool", weights=vgg16_trunk, pooling="avg", input_size=32
    )
    diagnosis = diagnose(*plant(fault, one, extractor, tmp_path))
    found = {each.name: each for each in diagnosis.findings}
    assert fault.finding in found, str(diagnosis)
    if fault.severity != "info":
        assert found[fault.finding].severity == fault.severity
    for each in diagnosis.findings:
        ast.parse(each.remedy)
        json.dumps(each.evidence)
        assert all(0 <= position < diagnosis.n_images for position in each.images)


def test_hard_images_are_not_called_labelled_wrongly(vgg16_trunk: Path) -> None:
    (one,) = (each for each in healthy_sets() if each.name == "drawn faces, softened, hard")
    extractor = VGGFeatureExtractor(
        "block3_pool", weights=vgg16_trunk, pooling="avg", input_size=32
    )
    diagnosis = diagnose(extractor, one.images, one.y)
    assert "wrong-labels" not in {each.name for each in diagnosis.findings}


def test_wide_things_on_a_square_ground_are_not_half_read() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 200, (60, 32, 32), dtype=np.uint8)
    y = np.arange(60) % 2
    X[::12, :11], X[::12, 21:] = 255, 255  # a third above, a third below
    named = {each.name for each in diagnose(_random(), X, y).findings}
    assert "half-read-images" not in named
    X[::12, :11] = X[1::12, :11]  # and now their upper part is there
    (finding,) = (
        each for each in diagnose(_random(), X, y).findings if each.name == "half-read-images"
    )
    assert sorted(finding.images) == list(range(0, 60, 12))


def test_things_that_stand_high_on_a_page_are_not_half_read() -> None:
    rng = np.random.default_rng(0)
    X = rng.integers(0, 200, (60, 32, 32), dtype=np.uint8)
    X[::12, 16:] = 255
    X[::12, :16, :8] = 255  # the page shows beside the thing, too
    named = {each.name for each in diagnose(_random(), X, np.arange(60) % 2).findings}
    assert "half-read-images" not in named


def test_a_class_that_is_like_another_one_turned_is_not_turned() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [74, 6])
    X = np.full((80, 32, 32), 40.0)
    X[y == 0, 6:12, 8:24], X[y == 1, 20:26, 8:24] = 220, 220
    X[y == 0, 22:26, 6:26], X[y == 1, 6:10, 6:26] = 120, 120
    X = np.stack([np.roll(each, rng.integers(-5, 6, 2), axis=(0, 1)) for each in X])
    X = np.clip(X + rng.normal(0, 10, X.shape), 0, 255).astype(np.uint8)
    named = {each.name for each in diagnose(_random(), X, y).findings}
    assert "turned-images" not in named
    assert "turned-images" in {each.name for each in diagnose(_random(), X).findings}


def test_a_class_of_few_images_proves_no_chance() -> None:
    X = np.random.default_rng(1).integers(0, 256, (70, 16, 16), dtype=np.uint8)
    for sizes, severity in (([60, 10], "info"), ([35, 35], "error")):
        found = diagnose(_random(), X, np.repeat([0, 1], sizes)).findings
        assert [each.severity for each in found if each.name == "chance-level"] == [severity]


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
def test_unequal_classes_are_compared_by_balanced_accuracy(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    """Always the larger class is right in nine of ten images, and finds nothing of the other."""
    X, y = load_digit_pair((8, 6), return_X_y=True)
    kept = np.concatenate([np.flatnonzero(y == 0)[:162], np.flatnonzero(y == 1)[:18]])
    diagnosis = diagnose(make_pipeline(_random(), DummyClassifier()), X[kept], y[kept])
    (finding,) = [each for each in diagnosis.findings if each.name == "weak-classifier"]
    assert finding.severity == "error"
    assert finding.evidence["balanced accuracy"] == pytest.approx(0.5)
    assert finding.evidence["balanced accuracy of scaled logistic regression"] > 0.8
    assert "accuracy" not in finding.evidence
    # Of equal classes, accuracy is what it was.
    X, y = digits
    diagnosis = diagnose(make_pipeline(_random(), DummyClassifier()), X, y)
    (finding,) = [each for each in diagnosis.findings if each.name == "weak-classifier"]
    assert "accuracy of scaled logistic regression" in finding.evidence


def test_every_finding_is_planted_and_documented() -> None:
    declared = {name for check in CHECKS for name in check.names}
    # Those of features from elsewhere are planted in tests/test_given_features.py.
    planted = {name for check in CHECKS if not check.needs_features for name in check.names}
    # Needs the dense layers of a trained network; tested below by its numbers.
    cases = {fault.finding for fault in FAULTS.values()} | {fault.finding for fault in PLANTED}
    # That of other networks is planted in tests/test_diagnosis_networks.py.
    assert planted - {"saturated-features", "near-duplicates", "other-preprocessing"} == cases
    page = (DOCS / "diagnosis.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`[a-z-]+`(?:, `[a-z-]+`)*) \|", page, re.MULTILINE)
    assert declared == {name for row in rows for name in re.findall("`([a-z-]+)`", row)}


@pytest.mark.parametrize(
    ("largest", "winner", "severity"),
    [(0.9995, None, "warning"), (0.9995, 3, "error"), (0.3, 3, "warning")],
)
def test_shares_of_classes_are_named(largest: float, winner: int | None, severity: str) -> None:
    shares = np.full((50, 1000), (1 - largest) / 999, dtype=np.float32)
    shares[np.arange(50), np.arange(50) if winner is None else winner] = largest
    anatomy = VGGAnatomy(None)
    evidence = SimpleNamespace(cut=plan_cut("predictions"), features=shares, anatomy=anatomy)
    (finding,) = saturated_features(evidence)
    assert (finding.name, finding.severity) == ("saturated-features", severity)
    assert finding.evidence["median of the largest share"] == pytest.approx(largest, rel=1e-3)
    evidence.cut = plan_cut("flatten")
    assert not list(saturated_features(evidence))


# -- what it costs and leaves alone


def test_images_labels_and_estimators_stay_as_they_were(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits[0].copy(), digits[1].copy()
    X.flags.writeable = y.flags.writeable = False
    model = make_pipeline(_random(), StandardScaler(), LogisticRegression())
    before = list(warnings.filters), np.random.get_state()[1].tolist()  # noqa: NPY002
    diagnose(model, X, y)
    assert not hasattr(model[0], "n_features_out_")
    assert not hasattr(model[-1], "coef_")
    assert before == (list(warnings.filters), np.random.get_state()[1].tolist())  # noqa: NPY002


def test_the_sample_is_seeded_and_bounds_the_work(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    X, y = digits
    store = FeatureStore(tmp_path / "store")
    first = diagnose(_random(cache=store), X, y, max_images=40, random_state=3)
    assert first.n_sampled == 40
    # Once each through the cut, through the ends of three blocks, and the photographs.
    assert store.info().n_written <= 40 + 3 * 40 + 40 + 64
    n_written = store.info().n_written
    again = diagnose(_random(cache=store), X, y, max_images=40, random_state=3)
    assert store.info().n_written == n_written
    assert again.to_json() == first.to_json()


def test_samples_keep_proportions_and_enough_of_each_class() -> None:
    y = np.repeat([0, 1, 2], [900, 97, 3])
    rows = sample_rows(1000, y, 100, 3, 0)
    assert np.bincount(y[rows]).tolist() == [90, 10, 3]
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(sample_rows(50, None, 60, 5, 0), np.arange(50))
    assert len(sample_rows(500, None, 60, 5, 0)) == 60


def test_copies_are_searched_far_beyond_the_sample(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    X = X.copy()
    X[[3, 97]] = 0
    diagnosis = diagnose(_random(), X, y, max_images=20)
    (blank,) = [each for each in diagnosis.findings if each.name == "blank-images"]
    assert blank.evidence == {"blank": 2, "of": 100}
    assert blank.images == [3, 97]


def test_groups_keep_copies_together(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = (np.concatenate([each[:40]] * 2) for each in digits)
    groups = np.tile(np.arange(40), 2)
    assert "duplicates-across-folds" in diagnose(_random(), X, y).names
    assert "duplicates-across-folds" not in diagnose(_random(), X, y, groups=groups).names
    with pytest.raises(
        ValueError, match=r"diagnose needs one group per image\. Got 80 images and 79"
    ):
        diagnose(_random(), X, y, groups=groups[1:])
    with pytest.raises(ValueError, match="needs labels where there are groups"):
        diagnose(_random(), X, groups=groups)


def test_without_labels_what_needs_them_is_skipped(digits: tuple[np.ndarray, np.ndarray]) -> None:
    diagnosis = diagnose(_random(), digits[0])
    assert "chance-level" in diagnosis.skipped
    assert "duplicates-across-folds" in diagnosis.skipped
    assert "scaled-twice" in diagnosis.checks
    assert not set(diagnosis.checks) & set(diagnosis.skipped)
    assert "not checked, because y was not given: " in str(diagnosis)


def test_pipelines_may_hold_what_they_like(digits: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = digits
    tail = make_pipeline("passthrough", PCA(5), SVC())
    model = make_pipeline(_random(), StandardScaler(), tail)
    for estimator, more in ((model, []), (clone(model).fit(X, y), ["scored-on-training"])):
        diagnosis = diagnose(estimator, X, y, cv=StratifiedKFold(4))
        assert [each.name for each in diagnosis.at_least("warning")] == ["random-weights", *more]
    without_classifier = diagnose(make_pipeline(_random(), PCA(5)), X, y, cv=3)
    assert [each.name for each in without_classifier.at_least("warning")] == ["random-weights"]


def test_random_weights_of_a_random_state_are_no_trouble(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = digits
    for state in (None, np.random.RandomState(0)):
        assert "random-weights" in diagnose(_random(random_state=state), X, y).names


# -- reports


def test_findings_are_sorted_by_severity(report: Diagnosis) -> None:
    ranks = [SEVERITIES.index(each.severity) for each in report.findings]
    assert ranks == sorted(ranks, reverse=True)
    assert report.names[0] == "scaled-twice"
    assert report.at_least("info") == report.findings
    with pytest.raises(ValueError, match=r"must be one of .* Got 'fatal' instead"):
        report.at_least("fatal")


def test_every_form_holds_every_finding(report: Diagnosis) -> None:
    text, markdown, frame = str(report), report.to_markdown(), report.to_frame()
    read = json.loads(report.to_json())
    assert frame["name"].tolist() == report.names == [each["name"] for each in read["findings"]]
    assert frame["evidence"].tolist() == [each.evidence for each in report.findings]
    for each in report.findings:
        assert f"{each.severity}: {each.name}" in text
        assert each.remedy.splitlines()[0] in text
        assert f"## {each.severity}: {each.name}\n\n{each.message}" in markdown
        assert f"```python\n{each.remedy}\n```" in markdown
    assert max(map(len, text.splitlines())) <= 100
    assert text.startswith("100 images, 100 of them examined in detail: 1 error, 1 warning")


def test_a_report_of_nothing_says_so(trained: VGGFeatureExtractor) -> None:
    diagnosis = diagnose(trained, *patches())
    assert str(diagnosis) == "120 images, 120 of them examined in detail: nothing found"
    assert diagnosis.to_frame().columns.tolist()[:2] == ["name", "severity"]
    assert len(diagnosis.to_frame()) == 0


# -- the documented recipe


def test_the_recipe_for_cifar_runs_on_a_stand_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows of colour planes and labels as text, as OpenML gives them."""
    images, labels = patches()

    def fetch_openml(name: str, **params: Any) -> tuple[np.ndarray, np.ndarray]:
        assert name == "CIFAR_10_small"
        assert params == {"version": 1, "as_frame": False, "return_X_y": True}
        rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
        return rows.astype(np.int64), labels.astype(str).astype(object)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", fetch_openml)
    page = (DOCS / "datasets.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n([^`]*CIFAR_10_small.*?)```", page, re.DOTALL)
    code = _replace(code, '"block3_pool",', '"block1_pool", weights=None, random_state=0,')
    code = _replace(code, "train_size=2000", "train_size=60")
    code = _replace(code, 'extractors={"VGG16": vgg}', 'extractors={"VGG16": vgg}, cv=2')
    exec(code, {})
    out = capsys.readouterr().out
    assert out.startswith("60 images, 60 of them examined in detail: 1 warning\n\nwarning: random")
    assert "VGG16" in out
    # Read the other way round, the same rows are scrambled, and that is said.
    exec(_replace(code, "image_shape=(3, 32, 32)", "image_shape=(32, 32, 3)"), {})
    assert "error: channels-scrambled" in capsys.readouterr().out


def _replace(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


# -- bad input


@pytest.mark.parametrize(
    ("y", "params", "message"),
    [
        (np.zeros(100), {}, r"diagnose needs at least two classes\. Got 1 class in y: \[0\.0\]"),
        (np.arange(99) % 2, {}, r"diagnose needs one label per image\. Got 100 images and 99"),
        (np.arange(100) < 3, {}, r"as many images as folds\. Got cv=5 and 3 images"),
        (np.linspace(0, 1, 100), {}, "Unknown label type: continuous"),
        (None, {"max_images": 5}, r"'max_images' .* whole number from 10 up\. Got 5 instead"),
        (None, {"random_state": None}, r"'random_state' .* from 0 up\. Got None instead"),
    ],
)
def test_bad_labels_and_parameters(
    y: Any,
    params: dict[str, Any],
    message: str,
    digits: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Runner, "compute", _fail)
    with pytest.raises(ValueError, match=message):
        diagnose(_random(), digits[0], y, **params)


def _fail(*_: Any, **__: Any) -> None:
    raise AssertionError("an image went through the network")


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (LogisticRegression(), "Pipeline in which one is a step. Got LogisticRegression with none"),
        (make_pipeline(PCA(), SVC()), "Got Pipeline with none"),
        (make_pipeline(_random(), _random()), "Got Pipeline with 2 of them"),
        (
            GridSearchCV(make_pipeline(_random(), SVC()), {"svc__C": [1, 2]}),
            r"Got GridSearchCV with none\. For a search, pass its best_estimator_",
        ),
    ],
)
def test_what_holds_no_extractor(
    estimator: Any, message: str, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(TypeError, match=message):
        diagnose(estimator, *digits)


def test_regressors_and_folds_that_cannot_be_sampled(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    with pytest.raises(ValueError, match="ends with LinearRegression, a regressor"):
        diagnose(make_pipeline(_random(), LinearRegression()), *digits)
    pairs = list(StratifiedKFold(2).split(*digits))
    with pytest.raises(TypeError, match="'cv' parameter of diagnose must be a whole number"):
        diagnose(_random(), *digits, cv=pairs)
    with pytest.raises(ValueError, match=r"at least two images\. Got 1"):
        diagnose(_random(), digits[0][:1])


def test_what_is_no_image_is_said_by_the_reader() -> None:
    with pytest.raises(TypeError, match=r"diagnose needs images\. Got None"):
        diagnose(_random(), None)


def test_missing_weights_and_files_are_named_before_anything_is_computed(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Runner, "compute", _fail)
    extractor = VGGFeatureExtractor("block1_pool", weights=tmp_path / "none.h5", input_size=32)
    with pytest.raises(FileNotFoundError, match=r"none\.h5"):
        diagnose(extractor, *digits)
    with pytest.raises(FileNotFoundError, match=r"2 of 2 cannot"):
        diagnose(_random(), [str(tmp_path / "a.png"), str(tmp_path / "b.png")])


def test_ten_classes_of_a_small_sample_are_enough() -> None:
    X, y = load_digits(return_X_y=True)
    diagnosis = diagnose(_random(), X[:400], y[:400], max_images=60)
    assert diagnosis.n_sampled >= 60
    assert "chance-level" not in diagnosis.names
