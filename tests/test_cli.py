"""``sktransfer compare`` from arguments to tables."""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sktransfer
from sktransfer import FeatureStore, cli, load_digit_pair
from sktransfer.cli import _data, _network, compare
from sktransfer.engines import choose_engine

pytestmark = pytest.mark.usefixtures("no_weights")

# Quick, and no two tests need another network.
NETWORK = ["--layer", "block1_pool", "--pooling", "max"]
PAIR = ["--digits", "8", "6"]
RANDOM = [*NETWORK, "--weights", "random"]


def _images(n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Digits as MNIST has them: 8 x 8 pixels of 8 bits, labelled 8 and 6."""
    X, y = load_digit_pair((8, 6), return_X_y=True)
    pixels = np.round(X[:n].reshape(n, 8, 8) * (255 / 16)).astype(np.uint8)
    return pixels, np.where(y[:n] == 1, 8, 6)


def test_default_run_shows_raw_pixels_and_the_control_and_says_what_is_missing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["compare", *NETWORK, *PAIR, "--folds", "3"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("355 images, classes 6 and 8, 8 is positive")
    networks = ("vgg16 synthetic, block1_pool", "vgg16 random weights")
    for row in ("raw pixels as in the article", "raw pixels", *networks):
        # In the table of all rows, and in that by labels.
        assert out.count(f"\n{row}") >= 2
    assert "\naccuracy by images of each class to learn from\n" in out
    text = " ".join(out.split())
    assert "vgg16 imagenet, block1_pool max-pooled, 32 px: not shown." in text
    assert "are not on this machine, and what is optional is not downloaded" in text
    assert "With 3 labels of each class, " in text
    assert "raw pixels: 100%" in err


def test_without_arguments_all_ten_digits_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--max-images", "60", "--folds", "2", "--few-labels", "--quiet"]
    assert cli.main(["compare", *RANDOM, *few]) == 0
    assert capsys.readouterr().out.startswith("60 images, 10 classes")


@pytest.mark.parametrize("network", [["--architecture", "vgg19"], ["--layer", "fc1"]])
def test_what_the_packages_own_weights_do_not_reach_is_shown_without_them(
    network: list[str],
) -> None:
    args = argparse.Namespace(weights=None, layer="block1_pool", architecture="vgg16")
    assert _network._list_defaults(args) == ["synthetic", "imagenet"]
    setattr(args, network[0].strip("-"), network[1])
    assert _network._list_defaults(args) == ["imagenet"]


def test_few_labels_are_asked_for_or_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*RANDOM, *PAIR, "--max-images", "40", "--folds", "2", "--quiet"]
    for options, numbers in ([], ["3"]), (["--few-labels", "1", "5"], ["1", "5"]):
        assert cli.main(["compare", *arguments, *options]) == 0
        header = capsys.readouterr().out.partition("each class to learn from\n")[2]
        assert header.splitlines()[0].split() == ["features", *numbers, "all"]
    assert cli.main(["compare", *arguments, "--few-labels"]) == 0
    assert "to learn from" not in capsys.readouterr().out
    assert cli.main(["compare", *arguments, "--few-labels", "11"]) == 2
    assert "'few_labels' parameter of compare_transfer must be no" in capsys.readouterr().err


def test_weights_asked_for_by_name_are_an_error_instead(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["compare", *NETWORK, "--weights", "imagenet", "--quiet"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sktransfer compare: error: VGGFeatureExtractor could not download")


def test_a_weights_file_stands_beside_the_control(
    vgg16_blocks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--weights", str(vgg16_blocks), "--json", "--quiet", "--folds", "3"]
    assert cli.main(["compare", *NETWORK, *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"] for row in rows[3:]] == [
        "vgg16 vgg16_blocks1-2_notop.h5, block1_pool max-pooled, 32 px",
        "vgg16 random weights, block1_pool max-pooled, 32 px",
    ]
    assert rows[3]["scores"] != rows[4]["scores"]


def test_several_sizes_are_several_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*RANDOM, "--input-size", "32", "40", "--json", "--quiet", "--folds", "2"]
    assert cli.main(["compare", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"][-5:] for row in rows[3:]] == ["32 px", "40 px"]


def test_csv_file_and_json_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / "scores.csv"), str(tmp_path / "scores.json")]
    arguments = ["--csv", files[0], "--json", files[1], "--quiet", "--folds", "2"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 0
    assert "all rows" in capsys.readouterr().out
    lines = list(csv.DictReader(Path(files[0]).read_text(encoding="utf-8").splitlines()))
    scores = json.loads(Path(files[1]).read_text(encoding="utf-8"))["rows"][0]["scores"]
    assert [float(line["accuracy"]) for line in lines[:2]] == scores["accuracy"]


@pytest.mark.parametrize("suffix", ["png", "SVG", "pdf"])
def test_plot(suffix: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"plot.{suffix}"
    arguments = ["--plot", str(path), "--quiet", "--folds", "2"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 0
    assert "Without trained weights" in capsys.readouterr().out
    head = {"png": b"\x89PNG", "SVG": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(head)


def test_report(vgg16_blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.html"
    arguments = ["--weights", str(vgg16_blocks), "--report", str(path), "--max-images", "60"]
    assert cli.main(["compare", *NETWORK, *PAIR, *arguments, "--quiet", "--folds", "2"]) == 0
    printed = capsys.readouterr().out
    page = path.read_text(encoding="utf-8")
    assert "scikit-learn&#x27;s embedded digits, 8, 6, a random subset of at most 60" in page
    # What is printed, the page says too.
    assert "Transfer made no difference beyond noise" in " ".join(printed.split())
    assert page.count("Transfer made no difference beyond noise") == 1
    assert str(vgg16_blocks.parent) not in page


def test_results_are_not_computed_for_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "read_data", lambda args: pytest.fail("read"))
    assert cli.main(["compare", *RANDOM, "--csv", str(tmp_path / "none" / "a.csv")]) == 2
    err = capsys.readouterr().err
    assert "'--csv' option must name a file that can be written" in err
    assert "No such file or directory. Make its folder" in err
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("kept")
    _data.check_targets(argparse.Namespace(json=str(new), csv=str(old)))
    assert not new.exists()
    assert old.read_text() == "kept"


def test_range_and_shape_of_the_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    np.savez(tmp_path / "wide.npz", images=X[:40, :60].astype(np.uint8), digit=y[:40])
    data = ["--data", str(tmp_path / "wide.npz"), "--folds", "2", "--quiet"]
    given = ["--value-range", "0", "16", "--image-shape", "6", "10"]
    assert cli.main(["compare", *RANDOM, *data, *given]) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.filterwarnings("default::sktransfer.images.ImageWarning")
def test_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    np.savez(tmp_path / "dark.npz", images=X[:40].astype(np.uint8), digit=y[:40])
    data = ["--data", str(tmp_path / "dark.npz"), "--folds", "2", "--quiet"]
    assert cli.main(["compare", *RANDOM, *data]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sktransfer compare: warning: VGGFeatureExtractor takes 0 for black")


def test_printed_csv_is_nothing_but_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", *RANDOM, "--csv", "--quiet", "--folds", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("features,fold,accuracy")
    assert len(lines) == 1 + 4 * 2 * 3  # with all labels, 3 and 10


def _save_csv(folder: Path) -> Path:
    images, labels = _images()
    header = ",".join(["label", *(f"pixel{i}" for i in range(64))])
    table = np.column_stack([labels, images.reshape(len(images), -1)])
    np.savetxt(folder / "digits.csv", table, fmt="%d", delimiter=",", header=header, comments="")
    return folder / "digits.csv"


def _save_npz(folder: Path) -> Path:
    images, labels = _images()
    np.savez(folder / "digits.npz", images=images, digit=labels)
    return folder / "digits.npz"


def _save_folder(folder: Path) -> Path:
    for position, (image, label) in enumerate(zip(*_images(), strict=True)):
        path = folder / "digits" / str(label) / f"{position:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    return folder / "digits"


@pytest.mark.parametrize("save", [_save_csv, _save_npz, _save_folder])
def test_data_of_every_kind(save, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    arguments = ["--data", str(save(tmp_path)), "--digits", "8", "6", "--folds", "2", "--quiet"]
    assert cli.main(["compare", *RANDOM, *arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["n_images"] == 40
    assert result["classes"] == [0, 1]
    assert result["positive"] == 1
    assert [len(row["scores"]["f1"]) for row in result["rows"]] == [2, 2, 2, 2]


def test_all_classes_without_a_choice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(_save_folder(tmp_path)), "--folds", "2", "--quiet", "--json"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [str(label) for label in result["classes"]] == ["6", "8"]
    assert str(result["positive"]) == "8"


def test_a_subset_is_stratified_and_seeded(capsys: pytest.CaptureFixture[str]) -> None:
    results = []
    for seed in ("0", "0", "1"):
        arguments = ["--max-images", "60", "--folds", "2", "--seed", seed, "--quiet", "--json"]
        assert cli.main(["compare", *RANDOM, *arguments]) == 0
        results.append(json.loads(capsys.readouterr().out))
    assert [result["n_images"] for result in results] == [60, 60, 60]
    scores = [[row["scores"] for row in result["rows"]] for result in results]
    assert scores[0] == scores[1]
    assert scores[0] != scores[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--digits", "8", "x"], "'--digits' option takes two or more different digits"),
        (["--digits", "8"], "'--digits' option takes two or more different digits"),
        (["--digits", "8", "6", "10"], "digits from 0 to 9 where '--data' is left out"),
        (["--digits", "8", "8"], "8"),
        (["--data", "no-such-file.csv"], "no-such-file.csv"),
        (["--layer", "block9_pool"], "Its layers are: block1_conv1"),
        (["--input-size", "16"], "Got 16 instead"),
        (["--weights", "none.h5"], "none.h5"),
        (["--folds", "500"], "cv=500"),
        (["--folds", "1"], "at least 2 folds"),
        (["--json", "--csv"], "cannot both print"),
        (["--json", "no-such-folder/scores.json"], "no-such-folder/scores.json"),
        (["--csv", "."], "Is a directory"),
        (["--weights", ""], "an empty path. For seeded random weights pass None"),
        (["--data", ""], "Got ''"),
        (["--max-images", "1"], "'--max-images' option"),
        (["--plot", "plot.txt"], "'--plot' option takes a file that ends in .png, .svg, .pdf"),
        (["--plot", "no-such-folder/a.png"], "no-such-folder/a.png"),
        (["--report", "page.pdf"], "'--report' option takes a file that ends in .html. Got 'page"),
        (["--report", "no-such-folder/a.html"], "no-such-folder/a.html"),
        (["--value-range", "0", "0"], "two different finite numbers"),
        (["--image-shape", "3", "5"], "image_shape=(3, 5)"),
    ],
)
def test_mistakes_are_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", *RANDOM, "--quiet", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("sktransfer compare: error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["compare", "--nonsense"],
        ["compare", "--folds", "x"],
        ["compare", "--max-images", "0"],
        ["compare", "--seed", "-1"],
    ],
)
def test_unknown_arguments_end_with_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    assert end.value.code == 2
    assert "usage: sktransfer" in capsys.readouterr().err


def test_interruption_has_its_own_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compare, "read_data", interrupt)
    assert cli.main(["compare"]) == 130
    assert capsys.readouterr().err == "\nsktransfer compare: interrupted\n"


def test_a_process_prints_its_tables_and_nothing_else(tmp_path: Path) -> None:
    env = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    command = [sys.executable, "-m", "sktransfer", "compare", *RANDOM, *PAIR, "--folds", "2"]
    command.append("--quiet")
    result = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0
    assert result.stderr == ""
    assert result.stdout.startswith("355 images, classes 6 and 8, 8 is positive")


SWEEP = [
    "sweep",
    *("--weights", "random", "--layers", "block1_conv1", "--poolings", "avg", "max"),
    *("--input-sizes", "32", "--max-images", "60", "--folds", "2", "--quiet"),
]


def test_sweep_prints_a_table_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plot, written, store = tmp_path / "sweep.png", tmp_path / "sweep.json", tmp_path / "store"
    page = tmp_path / "sweep.html"
    options = ["--plot", str(plot), "--json", str(written), "--cache", str(store)]
    assert cli.main([*SWEEP, *options, "--report", str(page)]) == 0
    assert '<h2 id="sweep">Which layer</h2>' in page.read_text(encoding="utf-8")
    out = capsys.readouterr().out
    assert out.startswith("60 images, 2 classes")
    assert "block1_conv1      max  32     64" in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(written.read_text())["rows"]) == 2
    assert FeatureStore(store).info().n_rows > 0


def test_sweep_prints_csv_instead(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--csv", "--poolings", "flat", "--layers", "block2_pool", "block1_conv1"]
    assert cli.main([*SWEEP, *options, "--max-width", "10000"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["layer"] for line in lines] == ["block2_pool"] * 2 + ["block1_conv1"]
    assert lines[2]["skipped"] == "wider than max_width=10,000"


def test_sweep_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SWEEP, "--layers", "block1"]) == 2
    assert "sktransfer sweep: error: The 'layers' parameter" in capsys.readouterr().err
    assert cli.main([*SWEEP, "--plot", str(tmp_path / "sweep.txt")]) == 2
    assert "ends in .png, .svg, .pdf" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"sktransfer {sktransfer.__version__}\n"


def test_cache_info_prune_and_clear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = FeatureStore(tmp_path / "store")
    with store.open() as use:
        images = [bytes([i]) * 16 for i in range(100)]
        use.write("the recipe", images, np.ones((100, 1 << 14), dtype=np.float32))
    assert cli.main(["cache", "info", str(store.path)]) == 0
    out = capsys.readouterr().out
    assert "100 rows (100 ever written)" in out
    assert "100 rows of the recipe" in out
    assert cli.main(["cache", "prune", str(store.path), "--max-bytes", "3M"]) == 0
    assert 0 < store.info().n_rows < 50
    assert cli.main(["cache", "clear", str(store.path)]) == 0
    assert store.info().n_rows == 0
    capsys.readouterr()
    assert cli.main(["cache", "info", str(tmp_path / "none")]) == 2
    assert "which holds none" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_cache_of_ended_processes_is_cleared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SKTRANSFER_CACHE_DIR", str(tmp_path))
    orphan = tmp_path / "sktransfer-1-orphan"
    FeatureStore(orphan).info()
    assert cli.main(["cache", "info"]) == 0
    assert str(orphan) in capsys.readouterr().out
    assert cli.main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"removed {orphan}\n"
    assert not orphan.exists()


def test_info_says_what_auto_takes(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    out = capsys.readouterr().out
    assert f"sktransfer {sktransfer.__version__}, Python {platform.python_version()}" in out
    (row,) = [line.split() for line in out.splitlines() if line.startswith("float32  ")]
    chosen = [choose_engine("auto", "float32", size, who="") for size in (32, 64, 96, 128, 224)]
    assert row[1:] == chosen


def test_info_imports_no_framework() -> None:
    code = (
        "import sys; from sktransfer import cli; cli.main(['info'])\n"
        "print(sorted({'tensorflow', 'keras', 'openvino', 'ncnn', 'torch'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.stdout.splitlines()[-1] == "[]"
