"""``sktransfer article`` from arguments to tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import VGGFeatureExtractor, cli, load_digit_pair
from sktransfer.datasets import loaders
from sktransfer.engines.choice import is_installed

pytestmark = pytest.mark.usefixtures("no_weights")

SMALL = ["article", "--input-size", "32", "--folds", "3", "--verbose"]


@pytest.fixture
def cache(tmp_path: Path) -> list[str]:
    return ["--cache", str(tmp_path / "features")]


def test_both_sides_are_what_cross_validation_gives(
    cache: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*SMALL, *cache, "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out)
    assert [row["kind"] for row in result["rows"]] == ["raw", "transfer"]
    assert result["positive"] == 1
    assert result["target_names"] == ["6", "8"]
    X, y = load_digit_pair((8, 6), return_X_y=True)
    vgg = VGGFeatureExtractor("flatten", weights="synthetic", input_size=32)
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    models = [LogisticRegression(), make_pipeline(vgg, LogisticRegression())]
    for row, model in zip(result["rows"], models, strict=True):
        scores = cross_val_score(model, X, y, cv=folds)
        assert row["scores"]["accuracy"] == scores.tolist()
    assert list(result["rows"][0]["scores"]) == ["accuracy", "precision", "recall", "f1", "roc_auc"]
    # The expected time comes before anything else is done.
    expected, _, rest = err.partition("\n")
    assert "for the features of 355 images, less if some are cached" in expected
    assert "raw pixels:   0%" in rest


def test_the_two_tables_the_difference_and_the_drawing(
    cache: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "article.png"
    assert cli.main([*SMALL, *cache, "--quiet", "--plot", str(plot)]) == 0
    out, err = capsys.readouterr()
    assert out.count(", fold by fold\nfold ") == 2
    assert "differences in accuracy" in out
    assert "random weights" not in out
    assert err == ""
    assert plot.stat().st_size > 10_000


def test_an_interrupted_run_goes_on(cache: list[str], computed: list[int]) -> None:
    arguments = [*SMALL, *cache, "--max-images", "60", "--quiet", "--json"]
    assert cli.main(arguments) == 0
    first = sum(computed)
    assert cli.main(arguments) == 0
    # Only what is timed is computed again, without a store.
    assert sum(computed) - first == first - 60


def test_every_precision_of_this_machine_is_a_row(
    cache: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SMALL, *cache, "--max-images", "40", "--quiet", "--json"]
    assert cli.main([*arguments, "--precision", "all"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert rows[1]["name"] == "vgg16 synthetic, flatten, 32 px, float32"
    assert not any(row["name"].split()[-1] == "float16" for row in rows)
    if not is_installed("openvino"):
        assert not any(row["name"].endswith("int8") for row in rows)
    assert cli.main([*arguments, "--precision", "float16", "--engine", "ncnn"]) == 2
    assert "'--precision' option must be" in capsys.readouterr().err


def test_mnist_is_fetched_and_other_data_take_imagenet(
    cache: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(digits: list[str], *, return_X_y: bool) -> tuple[np.ndarray, np.ndarray]:
        assert (digits, return_X_y) == (["8", "6"], True)
        return load_digit_pair((8, 6), return_X_y=True)

    monkeypatch.setattr(loaders, "fetch_mnist_pair", fetch)
    arguments = [*SMALL, *cache, "--data", "mnist", "--max-images", "40", "--quiet"]
    assert cli.main([*arguments, "--weights", "synthetic"]) == 0
    assert capsys.readouterr().out.startswith("40 images, classes 6 and 8")
    assert cli.main(arguments) == 2
    assert "VGGFeatureExtractor could not download" in capsys.readouterr().err
