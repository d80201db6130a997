"""``--network`` and ``--preprocessing`` of every command, and what cannot be compared."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from interpreter import run_python
from PIL import Image
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import (
    ImageFeatureExtractor,
    LayerSearchCV,
    cli,
    load_digit_pair,
    sweep_layers,
    sweep_networks,
)
from sktransfer.cli import _network, entry
from sktransfer.networks.pixels import TORCH

pytestmark = [
    pytest.mark.filterwarnings("ignore::sktransfer.CurveWarning"),
    # Keras saves models by a function that NumPy deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

PIXELS = {"scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "order": "BGR"}
# Metadata by which an ONNX file says how its pixels are scaled.
TELLING = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}
DATA = ["--digits", "8", "6", "--max-images", "60", "--quiet"]
FOLDS = [*DATA, "--folds", "2"]


def _save_onnx(path: Path, seed: int = 0, metadata: dict[str, str] | None = None) -> Path:
    """Write two convolutions for images of 32 pixels, whose mean is the output."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(seed)
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 8, 3, 3)}
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["images", "w1"], ["first"], strides=[2, 2]),
        helper.make_node("Relu", ["first"], ["relu"]),
        helper.make_node("Conv", ["relu", "w2"], ["second"], strides=[2, 2]),
        helper.make_node("GlobalAveragePool", ["second"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["n", 8])],
        weights,
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


def _save_keras(path: Path) -> Path:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    images = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, name="first")(images)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    keras.Model(images, keras.layers.Dense(3, name="classes")(x)).save(path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return _save_onnx(tmp_path / "model.onnx")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return tmp_path / "image.png"


def _made(*arguments: Any) -> dict[str, Any]:
    args = entry._parser().parse_args(["compare", *map(str, arguments)])
    return _network.make_extractors(args)[0]


def _extract(image: Path, *arguments: Any) -> np.ndarray:
    out = image.parent / f"{len(list(image.parent.iterdir()))}.npy"
    assert cli.main(["extract", str(image), "--out", str(out), *map(str, arguments)]) == 0
    return np.load(out)


def _rows(text: str) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in json.loads(text)["rows"]}


# -- preprocessing


def test_preprocessing_is_for_files_alone(model: Path) -> None:
    networks = ["resnet50", "timm/resnet50", "small.keras", model]
    made = _made("--network", *networks, "--preprocessing", "torch")
    scaling = {"order": "RGB", "scale": TORCH.scale, "mean": TORCH.mean, "std": TORCH.std}
    assert [each.preprocessing for each in made.values()] == ["auto", "auto", scaling, scaling]


def test_preprocessing_in_numbers(model: Path, image: Path) -> None:
    found = _extract(image, "--network", model, "--preprocessing", json.dumps(PIXELS))
    extractor = ImageFeatureExtractor(model, preprocessing=PIXELS)
    np.testing.assert_array_equal(found, extractor.fit_transform([image]))
    other = _extract(image, "--network", model, "--preprocessing", "tf")
    assert not np.allclose(found, other, rtol=0.01)


@pytest.mark.filterwarnings("default:The '--preprocessing' option:UserWarning")
def test_a_file_that_tells_how_pixels_are_scaled_keeps_it(
    image: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = _save_onnx(image.parent / "telling.onnx", metadata=TELLING)
    own = _extract(image, "--network", model)
    assert "warning" not in capsys.readouterr().err
    given = _extract(image, "--network", model, "--preprocessing", "caffe")
    np.testing.assert_array_equal(given, own)
    assert f"'{model}' does, and keeps its own." in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["compare", "--network", "resnet50", "vgg16"],
        ["curve", "--network", "timm/resnet50"],
        ["sweep"],
        ["diagnose", "--network", "resnet50"],
        ["extract", "folder", "--out", "x.npy", "--network", "resnet50"],
    ],
)
def test_preprocessing_without_a_file_is_an_error(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command, "--preprocessing", "torch"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "The '--preprocessing' option is for .keras and .onnx files, and --network" in line


def test_wrong_preprocessing(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["compare", "--network", "model.onnx", "--preprocessing"]
    for wrong in ("pytorch", "{", "[1, 2]", "3"):
        with pytest.raises(SystemExit):
            cli.main([*command, wrong])
        assert "must be caffe, tf, torch, none, or JSON such as" in capsys.readouterr().err
    for wrong, said in (
        ("scale", "scale -1 is not a positive"),
        ("factor", "factor is not one of"),
    ):
        assert cli.main([*command, json.dumps({wrong: -1})]) == 2
        err = capsys.readouterr().err
        assert "error: The '--preprocessing' option must" in err
        assert said in err


# -- names


def test_networks_that_share_a_name_have_rows_of_their_own(tmp_path: Path) -> None:
    files = ["a/model.onnx", "b/model.onnx", "c/b/model.onnx", "other.onnx"]
    networks = ["resnet50", "timm/resnet50", *(tmp_path / file for file in files)]
    names = [name.removesuffix(" pretrained, embedding") for name in _made("--network", *networks)]
    shared = f"{tmp_path.name}/b/model.onnx"
    kept = ["a/model.onnx", shared, "c/b/model.onnx", "other.onnx"]
    assert names == ["resnet50", "timm/resnet50", *kept]
    weights = [tmp_path / "a/vgg16.h5", tmp_path / "b/vgg16.h5"]
    names = [name.partition(",")[0] for name in _made("--weights", *weights)]
    assert names == ["vgg16 a/vgg16.h5", "vgg16 b/vgg16.h5", "vgg16 random weights"]


@pytest.mark.parametrize("command", ["compare", "curve", "sweep"])
def test_a_network_twice_is_an_error(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for network in (["vgg16", "vgg16"], ["model.onnx", "a.onnx", "./model.onnx"]):
        assert cli.main([command, "--network", *network]) == 2
        assert "option must name each network once. Got" in capsys.readouterr().err


def test_a_sweep_takes_files_that_share_a_name(tmp_path: Path) -> None:
    networks = [_save_onnx(tmp_path / name / "model.onnx", metadata=TELLING) for name in "ab"]
    X, y = load_digit_pair((8, 6), return_X_y=True)
    sweep = sweep_networks(X[:40], y[:40], networks=networks, cv=2)
    assert [row.network for row in sweep.rows] == ["a/model.onnx", "b/model.onnx"]
    with pytest.raises(ValueError, match=r"each network once\. Got 'model\.onnx' twice"):
        sweep_networks(X[:40], y[:40], networks=[networks[0], networks[0]], cv=2)


# -- what cannot be computed


NO_CONTROL = "an ONNX file does not say how to draw random weights"


@pytest.mark.parametrize("command", ["compare", "curve"])
def test_what_cannot_be_computed_has_a_line_and_the_others_are_compared(
    command: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    networks = [str(tmp_path / "none.keras"), str(model)]
    run = {"compare": [*FOLDS, "--few-labels"], "curve": [*DATA, "--sizes", "4", "8", "16"]}
    arguments = ["--preprocessing", "tf", "--weights", "imagenet", "random", *run[command]]
    written = tmp_path / "result.json"
    code = cli.main([command, "--network", *networks, *arguments, "--json", str(written)])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    why = {name: row["unavailable"] for name, row in _rows(written.read_text()).items()}
    why = {name: said for name, said in why.items() if name.endswith("embedding")}
    none = ["none.keras pretrained, embedding", "none.keras random weights, embedding"]
    assert list(why)[:2] == none
    assert all("must be the path of a file" in why.pop(name) for name in none)
    assert why == {
        "model.onnx pretrained, embedding": None,
        "model.onnx random weights, embedding": NO_CONTROL,
    }
    said = " ".join(out.split())
    assert f"model.onnx random weights, embedding: not shown. {NO_CONTROL}" in said
    assert "none.keras pretrained, embedding: not shown. The 'network' parameter" in said


def test_controls_alone_are_shown_on_a_page(model: Path, tmp_path: Path) -> None:
    file = _save_keras(tmp_path / "small.keras")
    arguments = ["--preprocessing", "tf", "--weights", "random", "--engine", "keras", *FOLDS]
    arguments += ["--controls", "1", "--few-labels", "--report", str(tmp_path / "page.html")]
    written = tmp_path / "result.json"
    arguments += ["--json", str(written)]
    assert cli.main(["compare", "--network", str(file), str(model), *arguments]) == 0
    rows = _rows(written.read_text())
    assert rows["small.keras random weights, embedding"]["unavailable"] is None
    assert rows["model.onnx random weights, embedding"]["unavailable"] == NO_CONTROL
    assert "small.keras random weights" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["compare", "curve"])
@pytest.mark.parametrize(
    ("network", "weights", "message"),
    [
        ("model.onnx", "random", "must be 'pretrained' for an ONNX file"),
        ("none.onnx", "imagenet", "must be the path of a file"),
    ],
)
def test_it_is_an_error_if_no_network_remains(
    command: str,
    network: str,
    weights: str,
    message: str,
    model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = model.with_name(network)
    common = ["--network", str(path), "--weights", weights, "--preprocessing", "tf"]
    assert cli.main([command, *common, *DATA]) == 2
    out, err = capsys.readouterr()
    assert (out, message in err) == ("", True)


# -- engines

_RUN = """
import json, sys
from sktransfer.cli import main
for command in json.loads(sys.argv[1]):
    assert main(command) == 0
print(sorted({"keras", "tensorflow"} & set(sys.modules)))
"""


def _commands(*arguments: Any) -> list[list[str]]:
    """List commands that compute images of 32 pixels."""
    network = ["--network", *map(str, arguments)]
    one = [*network, "--input-size", "32"]
    several = [*network, "--input-sizes", "32", *FOLDS]
    return [
        ["compare", *one, *FOLDS, "--few-labels", "--controls", "1"],
        ["curve", *one, *DATA, "--sizes", "4", "8", "16", "--repeats", "2"],
        ["sweep", *several],
        ["sweep", *several, "--layers", "--poolings", "avg"],
    ]


def test_onnx_files_need_no_keras(model: Path) -> None:
    commands = _commands(model, "--preprocessing", "tf")
    out = run_python(_RUN, json.dumps(commands), PYTHONWARNINGS="ignore")
    assert "model.onnx pretrained, embedding, 32 px" in out
    assert out.splitlines()[-1] == "[]"


def test_networks_of_timm_need_no_keras() -> None:
    pytest.importorskip("timm")
    commands = _commands("timm/resnet18", "--engine", "torch", "--weights", "random")
    out = run_python(_RUN, json.dumps(commands[:2]), PYTHONWARNINGS="ignore")
    assert "timm/resnet18 random weights, embedding" in " ".join(out.split())
    assert out.splitlines()[-1] == "[]"


def test_vgg_has_no_engine_of_torch(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compare", "curve", "sweep"):
        assert cli.main([command, "--engine", "torch", "--weights", "random", *DATA]) == 2
        assert "The '--engine' option must be" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main(["article", "--engine", "torch"])


# -- sweeps


def test_a_sweep_of_several_networks_is_that_of_the_function(tmp_path: Path) -> None:
    paths = [_save_onnx(tmp_path / name / "model.onnx", i) for i, name in enumerate("ab")]
    networks = {str(path): ImageFeatureExtractor(path, preprocessing=PIXELS) for path in paths}
    X, y = load_digit_pair((8, 6), return_X_y=True)
    expected = sweep_networks(X, y, networks=networks, cv=2, positive=1)
    arguments = ["--digits", "8", "6", "--folds", "2", "--quiet", "--csv", str(tmp_path / "x.csv")]
    arguments += ["--preprocessing", json.dumps(PIXELS), "--engine", "openvino"]
    assert cli.main(["sweep", "--network", *networks, *arguments]) == 0
    rows = list(csv.DictReader((tmp_path / "x.csv").read_text().splitlines()))
    assert [row["network"] for row in rows] == ["a/model.onnx", "b/model.onnx"]
    for row, known in zip(rows, expected.rows, strict=True):
        assert float(row["accuracy"]) == pytest.approx(np.mean(known.scores["accuracy"]))


def test_a_sweep_takes_the_only_size_of_a_network(tmp_path: Path) -> None:
    extractor = ImageFeatureExtractor(_save_onnx(tmp_path / "m.onnx"), preprocessing=PIXELS)
    X, y = load_digit_pair((8, 6), return_X_y=True)
    data = X[:40], y[:40]
    layers = {"layers": ["second"], "poolings": ["avg"]}
    sweep = sweep_layers(*data, extractor=extractor, cv=2, **layers)
    assert [row.variant.input_size for row in sweep.rows] == [32]
    assert sweep.skipped == []
    pipeline = make_pipeline(extractor, GaussianNB())
    search = LayerSearchCV(pipeline, cv=2, **layers).fit(*data)
    assert search.best_params_["imagefeatureextractor__input_size"] == 32
    one = r"which takes images of 32 x 32 pixels only\. Got \[64\]: set input_sizes=\[32\]\.$"
    with pytest.raises(ValueError, match=one):
        sweep_layers(*data, extractor=extractor, input_sizes=[64])
    with pytest.raises(ValueError, match=one):
        sweep_networks(*data, networks={"m": extractor}, input_sizes=[64])


@pytest.mark.parametrize("more", [[], ["--layers"]])
def test_the_only_size_of_a_network_is_named_as_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    arguments = ["--network", str(_save_onnx(tmp_path / "m.onnx")), "--input-sizes", "64", *more]
    assert cli.main(["sweep", *arguments, "--preprocessing", "tf", *FOLDS]) == 2
    message = capsys.readouterr().err
    assert "The '--input-sizes' option must be that of the network" in message
    assert message.endswith("Got [64]: set --input-sizes 32.\n")


def test_a_sweep_takes_the_trained_weights_of_a_model(tmp_path: Path) -> None:
    file = _save_keras(tmp_path / "small.keras")
    scores = []
    arguments = ["--preprocessing", "tf", "--engine", "keras", "--digits", "8", "6", "--folds", "2"]
    for weights in ([], ["--weights", "imagenet"], ["--weights", "random"]):
        written = tmp_path / "sweep.csv"
        command = ["sweep", "--network", str(file), *arguments, *weights, "--csv", str(written)]
        assert cli.main([*command, "--quiet"]) == 0
        (row,) = csv.DictReader(written.read_text().splitlines())
        scores.append(row["accuracy"])
    assert scores[0] == scores[1] != scores[2]


def test_the_layers_of_one_network_are_swept(model: Path, tmp_path: Path) -> None:
    network = ["--network", str(model), "--preprocessing", json.dumps(PIXELS), *FOLDS]
    layers = [
        (["--layers", "flat", "relu", "--poolings", "avg"], ["flat", "relu"]),
        (["--layers", "--poolings", "avg"], ["pooled", "relu", "second"]),
    ]
    for options, expected in layers:
        written = tmp_path / "sweep.json"
        assert cli.main(["sweep", *network, *options, "--json", str(written)]) == 0
        rows = json.loads(written.read_text())["rows"]
        assert sorted({row["layer"] for row in rows}) == expected
        assert {row["input_size"] for row in rows} == {32}
    X, y = load_digit_pair((8, 6), return_X_y=True)
    extractor = ImageFeatureExtractor(model, preprocessing=PIXELS)
    swept = sweep_layers(X, y, extractor=extractor, poolings=["avg"], input_sizes=[32], cv=2)
    assert {row.variant.layer for row in swept.rows} == set(layers[1][1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.onnx", "model.onnx", "--layers", "relu"], "'--layers' option is for one network"),
        (["none.onnx", "model.onnx", "--layers"], "Got it with 2: leave it out"),
        (["model.onnx", "--layers", "reul"], "The '--layers' option must name layers of"),
        (["model.onnx", "--time-budget", "-1"], "The '--time-budget' option must be"),
        (["model.onnx", "--engine", "torch"], "The '--engine' option must be 'openvino'"),
    ],
)
def test_a_sweep_says_what_is_wrong(
    arguments: list[str], message: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = [str(model.with_name(each)) if "onnx" in each else each for each in arguments]
    assert cli.main(["sweep", "--network", *named, "--preprocessing", "tf", *FOLDS]) == 2
    assert message in capsys.readouterr().err


def test_the_time_budget_holds_for_networks(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--network", str(model), "--preprocessing", "tf", "--time-budget", "1e-9"]
    assert cli.main(["sweep", *arguments, *FOLDS, "--verbose"]) == 0
    out = capsys.readouterr().out
    assert "skipped: model.onnx: the time budget of 1e-09 s ran out before it was opened" in out
    assert "Best is" not in out


# -- help


def test_help_names_every_kind_of_network(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("compare", "curve", "sweep", "diagnose", "extract"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        text = " ".join(capsys.readouterr().out.split())
        assert "timm/resnet50" in text
        assert "--preprocessing SCALING" in text
