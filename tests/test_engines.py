"""Every engine and precision: the same features up to its precision, whatever the company."""

from __future__ import annotations

import importlib.util
import itertools
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import relative_error
from sklearn.base import clone
from sklearn.datasets import load_sample_images
from sklearn.model_selection import cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline

from sktransfer import FeatureStore, VGGFeatureExtractor, engines
from sktransfer.engines import choice, choose_engine, keras as keras_engine, processor, ready
from sktransfer.features.preprocessing import Resizing, preprocess, to_255
from sktransfer.networks import Cut, plan_cut
from sktransfer.weights import draw_weights, read_weights

# Bounds of the relative error against Keras in float32, ||a - b|| / ||b||.
BOUNDS = {"float32": 1e-5, "bfloat16": 1e-2, "int8": 3e-2}
COMBINATIONS = [
    ("keras", "bfloat16"),
    ("openvino", "float32"),
    ("openvino", "bfloat16"),
    ("openvino", "int8"),
    ("ncnn", "float32"),
]
EVERY = [("keras", "float32"), *COMBINATIONS]


@pytest.fixture(autouse=True)
def _needs(request: pytest.FixtureRequest) -> None:
    """Skip what is not installed here, or what this processor does not compute in."""
    values = getattr(getattr(request.node, "callspec", None), "params", {})
    name, precision = values.get("engine", "keras"), values.get("precision", "float32")
    if not choice.is_installed(name):
        pytest.skip(f"{name} is not installed")
    if not processor.has_instructions(precision):
        pytest.skip(f"this processor has no instructions for {precision}")


@pytest.fixture(scope="module")
def digits(shared_data: Path) -> np.ndarray:
    images = np.load(shared_data / "data" / "mnist_6_8.npz")["images"]
    return images[np.random.default_rng(0).permutation(len(images))[:200]]


def _trained(path: Path, layer: str | list[str], **params: Any) -> VGGFeatureExtractor:
    architecture = path.name[:5]
    return VGGFeatureExtractor(
        layer, architecture=architecture, weights=path, **({"cache": None} | params)
    )


def _random(layer: str | list[str] = "block2_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"input_size": 32, "random_state": 0, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=None, **params)


def _images(n: int = 20) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 12, 12), dtype=np.uint8)


CUTS: list[dict[str, Any]] = [
    {"layer": "block3_pool", "input_size": 32},
    {"layer": "block3_pool", "input_size": 64, "pooling": "avg"},
    {"layer": "block1_conv1", "input_size": 45},
    {"layer": "block1_conv2", "input_size": 224, "pooling": "avg"},
    {"layer": ["block3_conv4", "block2_pool", "block1_conv2"], "input_size": 45},
    {"layer": ["block1_pool", "block3_conv1"], "input_size": 90, "pooling": "max"},
]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize(("engine", "precision"), COMBINATIONS)
def test_errors_with_trained_weights(
    engine: str, precision: str, cut: dict[str, Any], digits: np.ndarray, vgg19_blocks: Path
) -> None:
    images = digits[100:106]
    params = cut | {"calibration": digits[:64] if precision == "int8" else None}
    extractor = _trained(vgg19_blocks, engine=engine, precision=precision, **params)
    reference = _trained(vgg19_blocks, engine="keras", **cut).fit_transform(images)
    features = extractor.fit_transform(images)
    for columns in np.split(np.arange(len(features[0])), _ends(extractor)):
        assert relative_error(features[:, columns], reference[:, columns]) < BOUNDS[precision]


def _ends(extractor: VGGFeatureExtractor) -> np.ndarray:
    names = [name.split("_")[1] for name in extractor.get_feature_names_out()]
    return np.flatnonzero([a != b for a, b in itertools.pairwise(names)]) + 1


@pytest.mark.parametrize(("engine", "precision"), [*COMBINATIONS])
def test_errors_up_to_flatten(engine: str, precision: str) -> None:
    layers = ["block4_pool", "block5_conv3", "flatten"]
    reference = _random(layers, engine="keras").fit_transform(_images())
    features = _random(layers, engine=engine, precision=precision).fit_transform(_images())
    assert relative_error(features, reference) < BOUNDS[precision]


@pytest.mark.parametrize(
    ("engine", "precision"), [("openvino", "float32"), ("ncnn", "float32"), ("openvino", "int8")]
)
def test_errors_of_the_dense_layers(engine: str, precision: str) -> None:
    layers, images = ["flatten", "fc1", "fc2", "predictions"], _images(2)
    params: dict[str, Any] = {"input_size": 224}
    reference = _random(layers, engine="keras", **params).fit_transform(images)
    extractor = _random(layers, engine=engine, precision=precision, **params)
    features = extractor.fit_transform(images)
    for name in layers:
        columns = [n.startswith(name) for n in extractor.get_feature_names_out()]
        error = relative_error(features[:, columns], reference[:, columns])
        # Of drawn weights, whose quantized sums of 25,088 values err more.
        assert error < (5e-2 if precision == "int8" else BOUNDS[precision]), name
    assert np.array_equal(extractor.transform(images[1:])[0], features[1])


@pytest.mark.parametrize("layer", ["block2_pool", ["block3_pool", "block1_conv2"], "flatten"])
@pytest.mark.parametrize(("engine", "precision"), EVERY)
def test_rows_do_not_depend_on_their_company(
    engine: str, precision: str, layer: str | list[str]
) -> None:
    X = _images(37)
    extractor = _random(layer, engine=engine, precision=precision).fit(X)
    features = extractor.transform(X)
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(extractor.transform(X[order]), features[order])
    for rows in ([5], [36, 0], range(16)):
        np.testing.assert_array_equal(extractor.transform(X[list(rows)]), features[list(rows)])
    extractor.set_params(batch_size=3)
    np.testing.assert_array_equal(extractor.transform(X), features)
    again = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(again.transform(X), features)


@pytest.mark.parametrize(("engine", "precision"), EVERY)
def test_one_core_gives_the_bits_of_two(engine: str, precision: str, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from sktransfer import VGGFeatureExtractor\n"
        "X = np.random.default_rng(0).integers(0, 256, (5, 12, 12), dtype=np.uint8)\n"
        "e = VGGFeatureExtractor('block3_pool', weights=None, input_size=40, random_state=0,\n"
        f"                       cache=None, engine={engine!r}, precision={precision!r})\n"
        "np.save(sys.argv[1], e.fit_transform(X))\n"
    )
    cores = sorted(os.sched_getaffinity(0))[:2]
    found = []
    for allowed in (cores[:1], cores):
        path = tmp_path / f"{len(allowed)}.npy"
        start = f"import os; os.sched_setaffinity(0, {allowed})\n"
        run = subprocess.run(
            [sys.executable, "-c", start + code, path], capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        found.append(np.load(path))
    if engine == "keras" and "avx512f" not in processor.processor_flags():
        # oneDNN chooses other kernels there for one thread than for two.
        assert np.linalg.norm(found[1] - found[0]) < 1e-6 * np.linalg.norm(found[0])
    else:
        np.testing.assert_array_equal(*found)


# -- int8


def _needs_int8() -> None:
    if not (choice.is_installed("openvino") and processor.has_instructions("int8")):
        pytest.skip("int8 needs OpenVINO and a processor with VNNI")


def test_calibration_is_kept_with_the_estimator(digits: np.ndarray, vgg19_blocks: Path) -> None:
    _needs_int8()
    extractor = _trained(vgg19_blocks, "block3_pool", input_size=32, precision="int8")
    extractor.set_params(calibration=digits[:64], random_state=0).fit(digits[64:80])
    features = extractor.transform(digits[100:])
    pickled = pickle.dumps(extractor.set_params(calibration=None))
    assert len(pickled) < 5000
    np.testing.assert_array_equal(pickle.loads(pickled).transform(digits[100:]), features)


def test_calibration_on_the_same_images_computes_each_image_once(
    tmp_path: Path, digits: np.ndarray
) -> None:
    _needs_int8()
    store = FeatureStore(tmp_path)
    X, y = digits[:60], np.arange(60) % 2
    extractor = _random(precision="int8", calibration=digits[100:130], cache=store)
    cross_val_score(make_pipeline(extractor, GaussianNB()), X, y, cv=5)
    # The features of 60 images, and the largest values of 30 in each of three layers.
    assert store.info().n_written == 60 + 3 * 30


def test_without_calibration_folds_differ_and_a_seed_repeats_them(digits: np.ndarray) -> None:
    _needs_int8()
    first, second = digits[:100] // 2, digits[100:]
    one = _random(precision="int8").fit(first)
    same = clone(one).fit(first)
    other = clone(one).fit(second)
    np.testing.assert_array_equal(one.transform(second), same.transform(second))
    assert (one.transform(second) != other.transform(second)).any()


def test_calibration_takes_paths_and_any_size(tmp_path: Path, digits: np.ndarray) -> None:
    _needs_int8()
    from PIL import Image

    path = tmp_path / "digit.png"
    Image.fromarray(digits[0]).save(path)
    by_path = _random(precision="int8", calibration=[path]).fit(digits[:5])
    by_array = _random(precision="int8", calibration=digits[:1]).fit(digits[:5])
    np.testing.assert_array_equal(by_path.transform(digits[5:9]), by_array.transform(digits[5:9]))


@pytest.mark.parametrize("size", [32, 64])
def test_calibration_on_images_of_another_kind(
    size: int, digits: np.ndarray, vgg19_blocks: Path
) -> None:
    _needs_int8()
    photos = [
        photo[top : top + side, left : left + side]
        for photo in load_sample_images().images
        for side in (100, 200, 300)
        for top in (0, 60, 120)
        for left in (0, 100, 200, 300)
    ]
    reference = _trained(vgg19_blocks, "block3_pool", input_size=size)
    extractor = clone(reference).set_params(precision="int8", calibration=photos)
    features = extractor.fit_transform(digits[:32])
    assert relative_error(features, reference.fit_transform(digits[:32])) < 3e-2


def test_black_images_calibrate() -> None:
    _needs_int8()
    black = np.zeros((3, 12, 12), dtype=np.uint8)
    assert np.isfinite(_random(precision="int8").fit(black).transform(_images())).all()


def test_a_calibration_that_fails_changes_nothing(tmp_path: Path) -> None:
    _needs_int8()
    from PIL import Image

    path = tmp_path / "damaged.png"
    Image.fromarray(_images()[0]).save(path)
    path.write_bytes(path.read_bytes()[:60])
    extractor = _random("block1_pool").fit(_images())
    before = dict(vars(extractor))
    extractor.set_params(precision="int8", calibration=[path], layer="block2_pool")
    with pytest.raises(OSError, match=r"damaged\.png"):
        extractor.fit(_images())
    extractor.set_params(precision="float32", calibration=None, layer="block1_pool")
    assert vars(extractor) == before


def test_too_many_images_for_calibration() -> None:
    _needs_int8()
    with pytest.raises(ValueError, match=r"at most 128 images.* Got 129: pass a random sample"):
        _random(precision="int8", calibration=np.zeros((129, 12, 12), np.uint8)).fit(_images())


# -- float16, which the Keras engine computes on processors too, slowly


def _run_keras(
    cut: Cut, weights: dict[str, tuple[np.ndarray, np.ndarray]], inputs: np.ndarray, precision: str
) -> list[np.ndarray]:
    outputs = [np.empty((len(inputs), width), dtype=np.float32) for width in cut.widths]
    keras_engine.KerasEngine(cut, weights, precision)(inputs, outputs)
    return outputs


@pytest.mark.parametrize("size", [32, 45])
def test_errors_in_float16(size: int, digits: np.ndarray, vgg19_blocks: Path) -> None:
    cut = plan_cut(["block1_conv2", "block3_pool", "block2_pool"], "vgg19", None, size)
    weights = read_weights(vgg19_blocks, cut, who="E")
    inputs = preprocess(
        to_255(digits[:3, ..., None], (0, 255)), Resizing(size, "stretch", "bilinear", False)
    )
    halves = _run_keras(cut, weights, inputs, "float16")
    singles = _run_keras(cut, weights, inputs, "float32")
    for half, single in zip(halves, singles, strict=True):
        assert 0 < relative_error(half, single) < 2e-3


def test_float16_holds_values_that_it_could_not_hold_unscaled() -> None:
    cut = plan_cut(["block1_conv1", "block1_pool"], input_size=32)
    weights = {
        name: (kernel * 20, bias + 100) for name, (kernel, bias) in draw_weights(cut, 0).items()
    }
    inputs = np.random.default_rng(0).uniform(-120, 150, (2, 32, 32, 3)).astype(np.float32)
    singles = _run_keras(cut, weights, inputs, "float32")
    assert singles[1].max() > 65504
    halves = _run_keras(cut, weights, inputs, "float16")
    for half, single in zip(halves, singles, strict=True):
        assert relative_error(half, single) < 2e-3


def test_float16_keeps_the_probabilities_of_the_last_layer() -> None:
    shares = {"a": (np.ones(2), np.ones(2)), "predictions": (np.ones(2), np.ones(2))}
    scaled = keras_engine._scale(shares, 0.25)
    assert [(kernel[0], bias[0]) for kernel, bias in scaled.values()] == [(0.25, 0.25), (4, 1)]


def test_values_beyond_float16_are_an_error() -> None:
    cut = plan_cut("block1_pool", input_size=32)
    weights = {name: (kernel * 300, bias) for name, (kernel, bias) in draw_weights(cut, 0).items()}
    inputs = np.full((1, 32, 32, 3), 150, dtype=np.float32)
    with pytest.raises(ValueError, match=r"below what float16 holds, 2,096,128\. Got larger ones"):
        _run_keras(cut, weights, inputs, "float16")


# -- choice


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Say which packages there are; at first all of them, and a processor that can everything."""
    there = {"keras", "openvino", "ncnn"}
    monkeypatch.setattr(choice, "find_spec", lambda name: name if name in there else None)
    monkeypatch.setattr(choice, "has_instructions", lambda precision: True)
    monkeypatch.setattr(choice, "list_accelerators", list)
    return there


def test_auto_follows_the_table(installed: set[str]) -> None:
    sizes = (32, 64, 79, 80, 224)
    chosen = [choose_engine("auto", "float32", size, who="E") for size in sizes]
    assert chosen == ["openvino"] * 3 + ["ncnn"] * 2
    installed.remove("ncnn")
    assert choose_engine("auto", "float32", 224, who="E") == "openvino"
    assert choose_engine("auto", "bfloat16", 224, who="E") == "openvino"
    assert choose_engine("auto", "int8", 224, who="E") == "openvino"
    installed.remove("openvino")
    assert choose_engine("auto", "float32", 224, who="E") == "keras"
    assert choose_engine("auto", "bfloat16", 32, who="E") == "keras"


def test_auto_takes_keras_where_there_is_an_accelerator(
    installed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choice, "list_accelerators", lambda: ["some GPU"])
    monkeypatch.setattr(choice, "has_instructions", lambda precision: precision == "float32")
    assert choose_engine("auto", "float32", 224, who="E") == "keras"
    assert choose_engine("auto", "bfloat16", 32, who="E") == "keras"
    with pytest.raises(ValueError, match="for which this one has no instructions"):
        choose_engine("auto", "int8", 224, who="E")


@pytest.mark.parametrize(
    ("engine", "precision", "message"),
    [
        ("ncnn", "bfloat16", r"supports float32: set engine='keras' or 'openvino', or leave"),
        ("keras", "int8", r"float32 and bfloat16 and float16: set engine='openvino', or leave"),
    ],
)
def test_a_precision_that_the_engine_lacks(
    installed: set[str], engine: str, precision: str, message: str
) -> None:
    with pytest.raises(ValueError, match=rf"'precision' parameter of VGGFeature.*{message}"):
        _random(engine=engine, precision=precision).fit(_images())


@pytest.mark.parametrize("asked", ["auto", "keras"])
def test_float16_is_for_accelerators(
    installed: set[str], asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"Got 'float16', which is for accelerators, and Keras'"):
        _random(engine=asked, precision="float16").fit(_images())
    monkeypatch.setattr(choice, "list_accelerators", lambda: ["some GPU"])
    assert _random(engine=asked, precision="float16").fit(_images()).engine_ == "keras"
    with pytest.raises(ValueError, match=r"Got 'float16' with engine='openvino', which supports"):
        _random(engine="openvino", precision="float16").fit(_images())


def test_precisions_whose_bits_depend_on_the_set_of_layers() -> None:
    alone, both = plan_cut(["block1_conv1"]), plan_cut(["block1_conv1", "block1_pool"])
    found = []
    for precision in engines.PRECISIONS:
        config = engines.EngineConfig("keras", precision)
        texts = {engines.describe_engine(config, cut, alone.layers[0]) for cut in (alone, both)}
        found += [precision] * (len(texts) == 2)
    assert found == list(engines.JOINT_PRECISIONS) == ["bfloat16", "float16"]


@pytest.mark.parametrize("engine", ["openvino", "ncnn"])
def test_an_engine_that_is_not_installed(installed: set[str], engine: str) -> None:
    installed.remove(engine)
    message = rf"needs the package '{engine}'.*not installed.*pip install \"sktransfer\[fast\]\""
    with pytest.raises(ImportError, match=message):
        _random(engine=engine).fit(_images())


@pytest.mark.parametrize(
    "engine", [engine for engine, precision in EVERY if precision == "float32"]
)
def test_an_engine_needs_no_folder_for_its_weights(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ready, "MAX_ENGINES", 0)  # every call builds the network
    extractor = _random(engine=engine, random_state=60).fit(_images())
    expected = extractor.transform(_images())
    monkeypatch.setattr("tempfile.tempdir", "/no/such/folder")
    found = extractor.transform(_images())
    np.testing.assert_array_equal(found, expected)


def test_int8_without_openvino(installed: set[str]) -> None:
    installed.remove("openvino")
    with pytest.raises(ImportError, match=r"needs the package 'openvino' for precision='int8'"):
        _random(precision="int8").fit(_images())


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_precision_that_the_processor_lacks(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "processor_flags", lambda: frozenset({"avx2"}))
    monkeypatch.setattr(choice, "find_spec", lambda name: name)
    with pytest.raises(ValueError, match=rf"Got '{precision}', for which this one has no instr"):
        _random(precision=precision).fit(_images())


def test_a_fitted_extractor_whose_engine_is_gone(
    installed: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("OpenVINO is not installed")
    extractor = _random(engine="openvino").fit(_images())
    installed.remove("openvino")
    with pytest.raises(ImportError, match="needs the package 'openvino'"):
        extractor.transform(_images())


def test_accelerators_get_larger_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ready, "MAX_ENGINES", 0)  # every call builds the network
    extractor = _random(engine="keras", random_state=61).fit(_images())
    expected = extractor.transform(_images())
    assert engines.images_per_call("keras", 32) == 16
    monkeypatch.setattr(keras_engine, "list_accelerators", lambda: ["some GPU"])
    assert engines.images_per_call("keras", 32) == 256
    features = extractor.transform(_images())
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-2)


def test_engine_and_precision_are_learned() -> None:
    extractor = _random().fit(_images())
    assert extractor.engine_ in engines.ENGINES
    assert extractor.precision_ == "float32"
    assert _random(engine="keras").fit(_images()).engine_ == "keras"


@pytest.mark.parametrize("engine", ["openvino"])
def test_openvino_is_imported_without_its_telemetry(engine: str, tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from sktransfer import VGGFeatureExtractor\n"
        "e = VGGFeatureExtractor('block1_pool', weights=None, input_size=32, random_state=0,\n"
        "                        cache=None, engine='openvino')\n"
        "e.fit_transform(np.zeros((1, 8, 8), np.uint8))\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules\n"
        "print(sys.modules.get('openvino_telemetry', 'never imported'))\n"
    )
    env = os.environ | {"HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert run.stdout.strip() == "never imported", run.stderr
    assert list(tmp_path.iterdir()) == []


def test_workers_share_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processor.count_threads() == 8
    for limit, expected in (("2", 2), ("16", 8), ("0", 1), ("many", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", limit)
        assert processor.count_threads() == expected


def test_tensorflow_keeps_to_the_threads_of_a_worker() -> None:
    code = (
        "import numpy as np; from sktransfer import VGGFeatureExtractor\n"
        "import tensorflow as tf; threading = tf.config.threading\n"
        "N_THREADS = None\n"
        "if N_THREADS: threading.set_intra_op_parallelism_threads(N_THREADS)\n"
        "e = VGGFeatureExtractor('block1_pool', weights=None, input_size=32, random_state=0,\n"
        "                        cache=None, engine='keras')\n"
        "e.fit_transform(np.zeros((1, 8, 8), np.uint8))\n"
        "print(threading.get_intra_op_parallelism_threads())\n"
    )
    # The number that the user set, the limit that joblib sets in a worker, what comes out.
    for user, limit, expected in [(None, "1", 1), (2, "1", 2), (None, "64", 0)]:
        run = subprocess.run(
            [sys.executable, "-c", code.replace("N_THREADS = None", f"N_THREADS = {user}")],
            capture_output=True,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": limit, "KERAS_BACKEND": "tensorflow"},
        )
        assert run.stdout == f"{expected}\n", run.stderr
