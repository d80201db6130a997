"""``sktransfer diagnose`` from arguments to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sktransfer import VGGFeatureExtractor, cli, load_digit_pair

RANDOM = ["--layer", "block1_pool", "--pooling", "avg", "--weights", "random"]


@pytest.fixture
def archive(tmp_path: Path) -> str:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    path = tmp_path / "digits.npz"
    np.savez(path, images=X[:80].reshape(-1, 8, 8) / 16 / 255, label=y[:80])
    return str(path)


def test_the_report_is_printed_and_written(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "found.json"
    arguments = ["diagnose", "--data", archive, *RANDOM, "--max-images", "40"]
    page = tmp_path / "found.html"
    assert cli.main([*arguments, "--json", str(target), "--report", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<p>digits.npz</p>" in text  # the sample is the diagnosis' own
    assert "80 images, 40 of them examined in detail: 1 error, 1 warning" in text
    out, err = capsys.readouterr()
    assert out.startswith("80 images, 40 of them examined in detail: 1 error, 1 warning")
    assert "error: scaled-twice" in out
    assert err == ""
    found = json.loads(target.read_text())
    assert [each["name"] for each in found["findings"]][:2] == ["scaled-twice", "random-weights"]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_features_from_a_file_are_compared(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extractor = VGGFeatureExtractor(
        "block1_pool",
        weights=None,
        pooling="avg",
        input_size=32,
        value_range=(0, 1),
        random_state=0,
    )
    with np.load(archive) as data:
        features = extractor.fit_transform(data["images"])
    path = tmp_path / "features.npy"
    np.save(path, features[::-1])
    arguments = ["diagnose", "--data", archive, *RANDOM, "--features", str(path)]
    assert cli.main(arguments) == 0
    out = capsys.readouterr().out
    assert "error: features-in-another-order" in out
    assert "features = features[::-1]" in out
    np.save(path, features[1:])
    assert cli.main(arguments) == 2
    assert "must have 80 rows, one for each image" in capsys.readouterr().err


def test_the_default_is_scikit_learns_digits(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["diagnose", *RANDOM, "--value-range", "0", "255", "--folds", "3"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1,797 images, 199 of them examined in detail: 1 error, ")
    assert "these look like values from 0 to 16" in out


def test_what_cannot_be_examined_is_an_error(
    archive: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["diagnose", "--data", archive, "--weights", str(tmp_path / "none.h5")]) == 2
    assert "sktransfer diagnose: error: The '--weights' option must" in capsys.readouterr().err
    assert cli.main(["diagnose", "--data", archive, *RANDOM, "--folds", "70"]) == 2
    assert "as many images as folds" in capsys.readouterr().err
