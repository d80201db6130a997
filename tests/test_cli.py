"""``sktransfer compare`` from arguments to tables."""

from __future__ import annotations

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
from interpreter import run_python
from PIL import Image

import sktransfer
from sktransfer import FeatureStore, cli, load_digit_pair
from sktransfer.cli import _network, compare, entry
from sktransfer.engines import choose_engine
from sktransfer.features import temporary

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
    assert cli.main(["compare", *NETWORK, *PAIR, "--folds", "3", "--verbose"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("355 images, classes 6 and 8, 8 is positive")
    networks = ("vgg16 synthetic, block1_pool", "vgg16 random weights")
    for row in ("raw pixels as in the article", "raw pixels", *networks):
        # In the table of all rows, and in that by labels.
        assert out.count(f"\n{row}") >= 2
    assert "\naccuracy by training images of each class\n" in out
    text = " ".join(out.split())
    assert "vgg16 imagenet, block1_pool max-pooled, 32 px: not shown." in text
    assert "are not on this machine, and optional weights are not downloaded" in text
    assert "With 3 labels of each class, " in text
    assert "raw pixels:   0%" in err


def test_without_arguments_all_ten_digits_are_compared(capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--max-images", "60", "--folds", "2", "--few-labels", "--quiet", "--verbose"]
    assert cli.main(["compare", *RANDOM, *few]) == 0
    assert capsys.readouterr().out.startswith("60 images, 10 classes")


@pytest.mark.parametrize("network", [["--architecture", "vgg19"], ["--layer", "fc1"]])
def test_what_the_packages_own_weights_do_not_reach_is_shown_without_them(
    network: list[str],
) -> None:
    args = entry._parser().parse_args(["compare"])
    names = list(_network.make_extractors(args)[0])
    assert [name.split(",")[0] for name in names] == [
        "vgg16 synthetic",
        "vgg16 imagenet",
        "vgg16 random weights",
    ]
    args = entry._parser().parse_args(["compare", *network])
    names = list(_network.make_extractors(args)[0])
    assert [name.split(",")[0].split(" ", 1)[1] for name in names] == ["imagenet", "random weights"]


def test_few_labels_are_asked_for_or_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*RANDOM, *PAIR, "--max-images", "40", "--folds", "2", "--quiet", "--verbose"]
    for options, numbers in ([], ["3"]), (["--few-labels", "1", "5"], ["1", "5"]):
        assert cli.main(["compare", *arguments, *options]) == 0
        header = capsys.readouterr().out.partition("training images of each class\n")[2]
        assert header.splitlines()[0].split() == ["features", *numbers, "all"]
    assert cli.main(["compare", *arguments, "--few-labels"]) == 0
    assert "training images of each class" not in capsys.readouterr().out
    assert cli.main(["compare", *arguments, "--few-labels", "11"]) == 2
    assert "error: The '--few-labels' option must be at most the number" in capsys.readouterr().err


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
        "vgg16 vgg16_blocks1-2_notop.h5, block1_pool max-pooled, 32 px, as in the article",
        "vgg16 random weights, block1_pool max-pooled, 32 px",
    ]
    assert rows[3]["scores"] != rows[5]["scores"]


def test_several_sizes_are_several_rows(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*RANDOM, "--input-size", "32", "32x40", "--json", "--quiet", "--folds", "2"]
    assert cli.main(["compare", *arguments]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["name"].rpartition(", ")[2] for row in rows[3:]] == ["32 px", "32 x 40 px"]
    for wrong in ("32x", "wide", "32x32x3"):
        with pytest.raises(SystemExit):
            cli.main(["compare", *RANDOM, "--input-size", wrong])
        assert "must be a side in pixels, such as 64, or HEIGHTxWIDTH" in capsys.readouterr().err


def test_engine_precision_and_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    arguments = ["--max-images", "40", "--folds", "2", "--quiet", "--cache", str(store)]
    assert cli.main(["compare", *RANDOM, *arguments, "--engine", "keras"]) == 0
    assert '"engine": "keras' in str(FeatureStore(store).info())
    arguments += ["--engine", "ncnn", "--precision", "int8"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 2
    assert "with --engine 'ncnn', which supports float32" in capsys.readouterr().err


def test_csv_file_and_json_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(tmp_path / "scores.csv"), str(tmp_path / "scores.json")]
    arguments = ["--csv", files[0], "--json", files[1], "--quiet", "--folds", "2"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 0
    assert "--verbose shows all tables" in capsys.readouterr().out
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
    assert "scikit-learn&#39;s embedded digits, 8, 6, a random subset of at most 60" in page
    # What is printed, the page says too.
    assert "Transfer made no difference beyond noise" in " ".join(printed.split())
    assert page.count("Transfer made no difference beyond noise") == 2  # in short, and in full
    assert str(vgg16_blocks.parent) not in page


def test_results_are_not_computed_for_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "read_data", lambda args: pytest.fail("read"))
    assert cli.main(["compare", *RANDOM, "--csv", str(tmp_path / "none" / "a.csv")]) == 2
    err = capsys.readouterr().err
    assert "'--csv' option must name a file that can be written" in err
    assert "No such file or directory. Create its folder" in err
    new, old = tmp_path / "new.csv", tmp_path / "old.csv"
    old.write_text("kept")
    results = ["--json", str(new), "--csv", str(old)]
    assert cli.main(["compare", *RANDOM, *results, "--plot", str(tmp_path / "none" / "a.svg")]) == 2
    assert not new.exists()
    assert old.read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on this system")
def test_results_go_to_plain_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "read_data", lambda args: pytest.fail("read"))
    os.mkfifo(tmp_path / "pipe")
    with (tmp_path / "printed").open("w") as printed, monkeypatch.context() as patch:
        status = os.fstat(printed.fileno())
        patch.setattr(os, "fstat", lambda descriptor: status)
        assert cli.main(["compare", *RANDOM, "--json", str(tmp_path / "printed")]) == 2
    assert "it is what the command prints to" in capsys.readouterr().err
    for target in (str(tmp_path / "pipe"), "/dev/null"):
        assert cli.main(["compare", *RANDOM, "--json", target]) == 2
        err = capsys.readouterr().err
        assert f"'--json' option must name a file that can be written. Got {target!r}: it is" in err


def test_a_link_to_no_file_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compare, "read_data", lambda args: pytest.fail("read"))
    link, target = tmp_path / "link", tmp_path / "target"
    link.symlink_to(target)
    results = ["--json", str(link), "--csv", str(tmp_path / "none" / "a.csv")]
    assert cli.main(["compare", *RANDOM, *results]) == 2
    assert link.is_symlink()
    assert not target.exists()


def test_range_and_shape_of_the_images(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    np.savez(tmp_path / "wide.npz", images=X[:40, :60].astype(np.uint8), digit=y[:40])
    data = ["--data", str(tmp_path / "wide.npz"), "--folds", "2", "--quiet"]
    given = ["--value-range", "0", "16", "--image-shape", "6", "10"]
    assert cli.main(["compare", *RANDOM, *data, *given]) == 0
    assert "warning" not in capsys.readouterr().err


@pytest.mark.filterwarnings("default::sktransfer.inputs.images.ImageWarning")
def test_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    np.savez(tmp_path / "dark.npz", images=X[:40].astype(np.uint8), digit=y[:40])
    data = ["--data", str(tmp_path / "dark.npz"), "--folds", "2", "--quiet"]
    assert cli.main(["compare", *RANDOM, *data]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("sktransfer compare: warning: VGGFeatureExtractor uses 0 as black")


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


def _check_mistake(
    command: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([command, *RANDOM, "--quiet", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"sktransfer {command}: error: ")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--digits", "8", "6", "10"], "digits from 0 to 9 where '--data' is left out"),
        (["--layer", "block9_pool"], "Its layers are: block1_conv1"),
        (["--input-size", "16"], "Got 16 instead"),
        (["--folds", "500"], "Got --folds 500 and"),
        (["--folds", "1"], "at least 2 folds"),
        (["--json", "--csv"], "cannot both print"),
        (["--csv", "."], "it is a folder"),
        (["--weights", ""], "an empty path. For seeded random weights pass random"),
        (["--data", ""], "Got ''"),
        (["--report", "page.pdf"], "'--report' option needs a file that ends in .html. Got 'page"),
        (["--report", "no-such-folder/a.html"], "no-such-folder/a.html"),
        (["--value-range", "0", "0"], "two different finite numbers"),
        (["--image-shape", "3", "5"], "Got --image-shape 3 5"),
    ],
)
def test_mistakes_are_one_clear_error(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _check_mistake("compare", arguments, message, capsys)


@pytest.mark.parametrize("command", ["compare", "curve"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--digits", "8", "x"], "'--digits' option needs two or more different digits"),
        (["--digits", "8"], "'--digits' option needs two or more different digits"),
        (["--digits", "8", "8"], "8"),
        (["--data", "no-such-file.csv"], "no-such-file.csv"),
        (["--weights", "none.h5"], "none.h5"),
        (["--json", "no-such-folder/scores.json"], "no-such-folder/scores.json"),
        (["--max-images", "1"], "'--max-images' option"),
        (["--plot", "plot.txt"], "'--plot' option needs a file that ends in .png, .svg, .pdf"),
        (["--plot", "no-such-folder/a.png"], "no-such-folder/a.png"),
    ],
)
def test_mistakes_in_what_commands_share_are_one_clear_error(
    command: str, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _check_mistake(command, arguments, message, capsys)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["compare", "--nonsense"],
        ["compare", "--folds", "x"],
        ["compare", "--max-images", "0"],
        ["compare", "--max-images", "many"],
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
    command += ["--quiet", "--verbose"]
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
    assert out.startswith("Best: block1_conv1 ")
    assert max(map(len, out.splitlines())) <= 100
    assert "block1_conv1      max  32     64" in out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert len(json.loads(written.read_text())["rows"]) == 2
    assert FeatureStore(store).info().n_rows > 0


def test_sweep_names_both_digits(tmp_path: Path) -> None:
    written = tmp_path / "sweep.json"
    assert cli.main([*SWEEP, "--digits", "8", "6", "--json", str(written)]) == 0
    result = json.loads(written.read_text())
    assert (result["classes"], result["positive"]) == (["6", "8"], "8")


def test_sweep_prints_csv_instead(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--csv", "--poolings", "flat", "--layers", "block2_pool", "block1_conv1"]
    assert cli.main([*SWEEP, *options, "--max-width", "10000"]) == 0
    lines = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [line["layer"] for line in lines] == ["block2_pool"] * 2 + ["block1_conv1"]
    assert lines[2]["skipped"] == "wider than max_width=10,000"


def test_sweep_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SWEEP, "--layers", "block1"]) == 2
    assert "sktransfer sweep: error: The '--layers' option must" in capsys.readouterr().err
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
    for wrong in ("infM", "-5", "-5M", "nanG"):
        with pytest.raises(SystemExit):
            cli.main(["cache", "prune", str(store.path), f"--max-bytes={wrong}"])
        assert "argument --max-bytes: invalid" in capsys.readouterr().err
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
    private = temporary._parent()
    private.mkdir(mode=0o700)
    orphan = private / "store-00000000000000000000000000000000"
    FeatureStore(orphan).info()
    (orphan / "main-1-0123456789abcdef.lock").touch()
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


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["info"], ["--help"]])
def test_a_reader_that_stops_reading_is_no_error(arguments: list[str], unbuffered: str) -> None:
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "sktransfer", *arguments]
    run = subprocess.run(command, env=env, stdout=writer, stderr=subprocess.PIPE, text=True)
    os.close(writer)
    assert run.stderr == ""
    # Unbuffered, argparse itself takes no notice.
    assert run.returncode == 141 or (run.returncode == 0 and unbuffered and "info" not in arguments)


def test_what_the_terminal_cannot_show_is_spelled(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"d\xe9fi")
    try:
        store = FeatureStore(folder / "store")
        with store.open() as use:
            use.write("the recipe", [b"x" * 16], np.ones((1, 4), dtype=np.float32))
    except OSError as error:
        pytest.skip(f"names must be UTF-8 here: {error}")
    env = {**os.environ, "PYTHONIOENCODING": "utf-8:strict"}
    command = [sys.executable, "-m", "sktransfer", "cache", "info", str(folder / "store")]
    run = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "\\udce9fi" in run.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["compar"],
        ["compare", "--nonsense"],
        ["compare", "--layer", "block3pool"],
        ["sweep", "--layers", "block3_pol"],
        ["compare", "--weights", "imagnet"],
        ["curve", "--data", "no-such-folder"],
    ],
)
def test_help_and_mistakes_import_nothing_that_computes(arguments: list[str]) -> None:
    code = (
        "import sys; from sktransfer.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(sorted({'scipy', 'sklearn', 'keras', 'matplotlib'} & set(sys.modules)))\n"
    )
    assert run_python(code, *arguments).splitlines()[-1] == "[]"


def test_a_misspelt_name_is_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["compare", "--weights", "imagnet"]) == 2
    assert capsys.readouterr().err.endswith("Did you mean 'imagenet'?\n")
    assert cli.main(["diagnose", "--layer", "block3_pol"]) == 2
    err = capsys.readouterr().err
    assert "The '--layer' option must be a layer of 'vgg16'" in err
    assert "Did you mean 'block3_pool'?" in err


def test_the_answer_comes_first_then_one_table_of_100_letters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [*NETWORK, *PAIR, "--folds", "3", "--quiet"]
    assert cli.main(["compare", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "ransfer" in lines[0] or lines[0].startswith("The features helped")
    assert max(map(len, lines)) <= 100
    assert sum(line.startswith("----") for line in lines) == 1
    names = [line[:36].strip() for line in lines]
    for name in ("raw pixels", "vgg16 synthetic, block1_pool"):
        assert name in names
    assert any("not shown" in line for line in lines)
    assert "optional" not in lines[-3]


def test_commands_have_the_same_defaults() -> None:
    parser = entry._parser()
    found = {
        (*args.default_digits, args.architecture, args.weights, args.digits)
        for args in map(parser.parse_args, (["compare"], ["curve"], ["sweep"], ["diagnose"]))
    }
    assert found == {(*"0123456789", "vgg16", None, None)}
    assert _network.choose_weights("vgg16", ["block1_pool", "flatten"]) == "synthetic"
    assert parser.parse_args(["compare", "--classes", "a", "b"]).digits == ["a", "b"]


@pytest.mark.filterwarnings("default::sktransfer.inputs.images.ImageWarning")
def test_warnings_speak_of_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    X, y = _images()
    np.savez(tmp_path / "digits.npz", images=X / 255 / 255, label=y)
    arguments = ["--data", str(tmp_path / "digits.npz"), "--folds", "2", "--quiet"]
    assert cli.main(["compare", *RANDOM, *arguments]) == 0
    assert "set --value-range black white" in capsys.readouterr().err


def test_info_imports_no_framework() -> None:
    code = (
        "import sys; from sktransfer import cli; cli.main(['info'])\n"
        "print(sorted({'tensorflow', 'keras', 'openvino', 'ncnn', 'torch'} & set(sys.modules)))\n"
    )
    assert run_python(code).splitlines()[-1] == "[]"


_LEFT = r"""
import json, os, sys, threading
from contextlib import redirect_stdout
from pathlib import Path
from sktransfer.cli import main

def left():
    files = []
    for each in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{each}"))
        except OSError:
            pass  # that of the listing itself
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [sorted(files), children, sorted(thread.name for thread in threading.enumerate())]

found = []
for _ in range(3):
    for command in json.loads(sys.argv[1]):
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            assert main(command) == 0
    found.append(left())
print(json.dumps(found[1:]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="open files are listed as Linux does")
def test_commands_leave_no_descriptor_process_or_thread(tmp_path: Path) -> None:
    """The first round starts what stays for the life of the process, such as the cache."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "image.png")
    network = ["--layer", "block1_pool", "--pooling", "avg", "--weights", "random", "--quiet"]
    images = ["--out", str(tmp_path / "out.npy"), "--input-size", "32", str(tmp_path)]
    commands = [
        ["info"],
        ["cache", "info"],
        ["compare", *PAIR, "--folds", "2", "--few-labels", *network],
        ["extract", *images, *network],
    ]
    environment = {"SKTRANSFER_CACHE_DIR": str(tmp_path / "cache"), "PYTHONWARNINGS": "ignore"}
    before, after = json.loads(run_python(_LEFT, json.dumps(commands), **environment))
    assert after == before
