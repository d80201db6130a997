"""``sktransfer curve`` from arguments to tables, files and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sktransfer import cli

pytestmark = [
    pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning"),
    pytest.mark.usefixtures("no_weights"),
]

NETWORK = ["--layer", "block1_pool", "--pooling", "max"]
PAIR = ["--digits", "8", "6"]
SMALL = [
    "--max-images",
    "60",
    "--verbose",
    "--sizes",
    "4",
    "8",
    "16",
    "32",
    "--repeats",
    "2",
    "--quiet",
]


def test_default_run_shows_raw_pixels_and_the_control_and_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["curve", *NETWORK, *SMALL, *PAIR]) == 0
    out, _ = capsys.readouterr()
    assert out.startswith("accuracy by number of labels: 60 images of 2 classes")
    random = "vgg16 random weights, block1_pool max-pooled, 32 px"
    trained = "vgg16 synthetic, block1_pool max-pooled, 32 px"
    for row in ("raw pixels", "raw pixels from 0 to 1", random, trained):
        assert f"\n{row}  " in out
    text = " ".join(out.split())
    assert "vgg16 imagenet, block1_pool max-pooled, 32 px: not shown." in text
    assert "are not on this machine, and optional weights are not downloaded" in text


def test_json_and_plot_are_written_beside_the_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib").use("agg")
    ends = ("json", "csv", "png", "html")
    numbers, lines, picture, page = (tmp_path / f"curve.{end}" for end in ends)
    arguments = ["--json", str(numbers), "--csv", str(lines), "--plot", str(picture)]
    arguments += ["--report", str(page)]
    arguments += ["--weights", "random"]
    arguments += ["--scoring", "roc_auc", "--digits", "0", "1", "2"]
    assert cli.main(["curve", *NETWORK, *SMALL, *arguments]) == 0
    assert capsys.readouterr().out.startswith("roc_auc by number of labels: 60 images of 3 classes")
    read = json.loads(numbers.read_text())
    assert read["classes"] == [0, 1, 2]
    assert read["sizes"] == [4, 8, 16, 32]
    assert lines.read_text().startswith("features,labels,repeat,roc_auc\n")
    with Image.open(picture) as image:
        assert 600 < image.width < 800  # a column of 3.5 inches
    text = page.read_text(encoding="utf-8")
    assert "embedded digits, 0, 1, 2, a random subset of at most 60 images" in text
    assert '<h2 id="curve">How many labels</h2>' in text


def test_json_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["curve", *NETWORK, *SMALL, *PAIR, "--weights", "random", "--json"]) == 0
    names = [row["name"] for row in json.loads(capsys.readouterr().out)["rows"]]
    assert names[-1] == "vgg16 random weights, block1_pool max-pooled, 32 px"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "4", "900"], "The '--sizes' option must"),
        (["--repeats", "1"], "The '--repeats' option must"),
        (["--test", "1.5"], "The '--test' option must"),
        (["--scoring", "nonsense"], "The '--scoring' option must"),
        (["--digits", "1", "1", "2"], "two or more different digits from 0 to 9"),
    ],
)
def test_mistakes_of_its_own_are_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert cli.main(["curve", *NETWORK, "--weights", "random", "--quiet", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sktransfer curve: error: ")
    assert message in err
