"""ONNX files made of networks other than VGG, against `transform`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import relative_error
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageFeatureExtractor, export_onnx

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
keras = pytest.importorskip("keras")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402 - only where it is installed

# Keras saves and copies models by a function that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 20, 28, 3), dtype=np.uint8)
SCALING = {"scale": 1 / 255, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4]}
layers = keras.layers
ops = keras.ops


def _run(path: Path, images: np.ndarray, name: str = "features") -> np.ndarray:
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(path)
    return session.run([name], {"images": images.astype(np.float32)})[0]


def _assert_same(extractor: Any, path: Path, images: np.ndarray = IMAGES) -> None:
    features = extractor.fit_transform(images)
    assert np.isfinite(features).all()
    export_onnx(extractor, path)
    assert relative_error(_run(path, images), features) < 1e-5


# -- Keras


def _image_model(body: Callable[[Any], Any], *, first: bool = True) -> Any:
    """Make a model of maps of six channels, with weights that differ everywhere."""
    images = keras.Input((24, 26, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="tanh")(images) if first else images
    model = keras.Model(images, body(x))
    rng = np.random.default_rng(1)
    model.set_weights([0.5 + rng.random(w.shape, dtype=np.float32) for w in model.get_weights()])
    return model


def _of_keras(model: Any, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"preprocessing": SCALING, "cache": None, "engine": "keras"} | params
    return ImageFeatureExtractor(model, layer, **params)


def _normalized(x: Any) -> Any:
    return layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(x)


def _with_class_token(x: Any) -> Any:
    tokens = layers.Reshape((-1, 6))(x)
    first = layers.Reshape((1, 6))(layers.GlobalMaxPooling2D()(x))
    tokens = layers.Concatenate(axis=1)([first, tokens])
    return layers.Dense(4, activation="gelu")(layers.LayerNormalization()(tokens))[:, 0]


def _gated(x: Any) -> Any:
    share = layers.GlobalAveragePooling2D(keepdims=True)(x)
    share = layers.Dense(6, activation="hard_sigmoid")(share)
    return layers.Multiply()([x, layers.Conv2D(6, 1, activation="sigmoid")(share)])


def _branches(x: Any) -> Any:
    parts = [
        layers.MaxPooling2D(3, strides=1, padding="same")(x),
        layers.AveragePooling2D(3, strides=1, padding="same")(x),
        layers.Maximum()([x, layers.ReLU(max_value=6)(x)]),
        layers.Average()([x, layers.LeakyReLU(negative_slope=0.1)(-0.5 * x + 1)]),
        layers.Subtract()([x, layers.Minimum()([x, x * 2]) / 3]),
    ]
    return layers.Concatenate()(parts)


def _several_times(x: Any) -> Any:
    shared = layers.Conv2D(6, 3, padding="same", activation="elu")
    inner = keras.Sequential([layers.Conv2D(6, 1), layers.Softmax()], name="inner")
    return layers.Add()([shared(shared(x)), inner(x)])


def _vector(x: Any) -> Any:
    x = layers.Flatten()(layers.Permute((2, 3, 1))(x))
    x = layers.Dense(5, use_bias=False)(x)
    return layers.Dropout(0.5)(layers.BatchNormalization(scale=False)(x))


MODELS: dict[str, Callable[[Any], Any]] = {
    "grouped": lambda x: layers.Conv2D(6, 3, groups=3, dilation_rate=2, padding="same")(x),
    "strided": lambda x: layers.Conv2D(5, (4, 3), strides=(3, 2), padding="same")(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, depth_multiplier=2, activation="silu")(x),
    "separable": lambda x: layers.SeparableConv2D(4, 3, strides=2, padding="same")(x),
    "batch normalization": lambda x: layers.BatchNormalization(center=False)(x),
    "layer normalization": lambda x: layers.LayerNormalization(epsilon=1e-6)(x),
    "dense on maps": lambda x: layers.Dense(3, activation="gelu")(x),
    "padded": lambda x: layers.Cropping2D(((0, 2), (1, 0)))(layers.ZeroPadding2D(((1, 2), 3))(x)),
    "gated": _gated,
    "branches": _branches,
    "layers used twice": _several_times,
    "vector": _vector,
    "class token": _with_class_token,
    "ops": lambda x: ops.mean(x - 0.5, axis=1) + ops.max(x, axis=(1,)),
    "augmented": lambda x: layers.RandomFlip(seed=0)(layers.GaussianNoise(0.1, seed=0)(x)),
}


@pytest.mark.parametrize("name", list(MODELS))
def test_layers_of_keras(name: str, tmp_path: Path) -> None:
    # Some end with a sequence that is no patches.
    _assert_same(_of_keras(_image_model(MODELS[name]), pooling="avg"), tmp_path / "network.onnx")


@pytest.mark.parametrize(
    "layer",
    [
        _normalized,
        lambda x: layers.Rescaling([1.0, 2.0, 3.0], offset=-0.5)(x),
        lambda x: layers.Rescaling(1 / 3)(x),
    ],
)
def test_scaling_inside_a_model(layer: Any, tmp_path: Path) -> None:
    model = _image_model(layer, first=False)
    _assert_same(_of_keras(model, preprocessing={"scale": 1.0}), tmp_path / "network.onnx")


@pytest.mark.parametrize(
    "activation",
    [
        *("relu", "relu6", "sigmoid", "hard_sigmoid", "silu", "hard_silu", "gelu", "tanh", "elu"),
        *("selu", "softplus", "softsign", "exponential", "leaky_relu", "softmax", "linear"),
    ],
)
def test_activations(activation: str, tmp_path: Path) -> None:
    model = _image_model(
        lambda x: layers.Activation(activation)(layers.Rescaling(4, offset=-2)(x)), first=True
    )
    _assert_same(_of_keras(model), tmp_path / "network.onnx")


@pytest.mark.parametrize("name", ["MobileNetV2", "EfficientNetB0", "ConvNeXtTiny"])
def test_networks_of_keras(name: str, tmp_path: Path) -> None:
    extractor = ImageFeatureExtractor(name, weights=None, input_size=32, random_state=0, cache=None)
    _assert_same(extractor, tmp_path / "network.onnx")


def test_several_layers_of_keras(tmp_path: Path) -> None:
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, name="first")(images)
    x = layers.Conv2D(3, 3, strides=2, name="second")(x)
    model = keras.Model(images, layers.Conv2D(2, 1, name="third")(x))
    extractor = _of_keras(
        model,
        ["second", "first", "second"],
        pooling=["avg", None, "max"],
        input_size=(18, 30),
        aspect="crop",
        interpolation="bicubic",
        antialias=True,
    )
    _assert_same(extractor, tmp_path / "network.onnx")
    kinds = [node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node]
    assert kinds.count("Conv") == 2  # and no third


def test_a_layer_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    def body(x: Any) -> Any:
        x = layers.UpSampling2D()(layers.ReLU(threshold=0.5)(x))
        return layers.Conv2D(2, 3, dtype="mixed_float16")(x)

    path = tmp_path / "network.onnx"
    with pytest.raises(TypeError, match=r"Conv2D .*float16.*ReLU \(threshold\); UpSampling2D") as e:
        export_onnx(_of_keras(_image_model(body)).fit(IMAGES), path)
    assert "export('network.onnx', format='onnx')" in str(e.value)
    assert not path.exists()

    @keras.saving.register_keras_serializable("mine")
    class Dense(layers.Layer):
        def call(self, x: Any) -> Any:
            return 2 * x

    with pytest.raises(TypeError, match=r"Got Dense \(not among them\)"):
        export_onnx(_of_keras(_image_model(Dense())).fit(IMAGES), path)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (lambda x: ops.average(x, axis=1), r"Average \(the mean along an axis\)"),
        (lambda x: ops.max(x, axis=1, initial=9.0), r"Max \(initial\)"),
        (lambda x: x[:, 1:], r"GetItem \(a part of an axis\)"),
        (lambda x: layers.Softmax(axis=1)(x), r"Softmax \(axis 1\)"),
        (lambda x: layers.Softmax()(x, mask=x > 0.6), r"Softmax \(2 tensors\)"),
        (lambda x: x + np.ones((6,), "f"), r"Add \("),
    ],
)
def test_what_a_known_layer_cannot_do_here_is_said(body: Any, why: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=why):
        extractor = _of_keras(_image_model(body), pooling="avg").fit(IMAGES)
        export_onnx(extractor, tmp_path / "network.onnx")


# -- ONNX files


def _tensor(name: str, values: np.ndarray) -> Any:
    return numpy_helper.from_array(np.asarray(values), name)


def _draw(name: str, *shape: int) -> Any:
    values = np.random.default_rng(len(name)).standard_normal(shape).astype(np.float32) / 4
    return _tensor(name, values)


def _save(
    path: Path,
    *,
    shape: tuple[Any, ...] = ("n", 3, 24, 24),
    before: tuple[Any, ...] = (),
    opset: int = 17,
    element: int = TensorProto.FLOAT,
) -> Path:
    """Write a small network whose tensors have names that are taken in the other graph too."""
    first = before[-1].output[0] if before else "images"
    nodes = [
        *before,
        helper.make_node("Conv", [first, "constant_0", "b"], ["maps"], strides=[2, 2]),
        helper.make_node("Relu", ["maps"], ["transpose_0"]),
        helper.make_node("Reshape", ["transpose_0", "rows"], ["columns"]),
        helper.make_node("Transpose", ["columns"], ["tokens"], perm=[0, 2, 1]),
        helper.make_node("GlobalAveragePool", ["transpose_0"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight", "bias"], ["features"]),
    ]
    constants = [
        *(_draw("constant_0", 8, 3, 3, 3), _draw("b", 8), _draw("weight", 8, 4), _draw("bias", 4)),
        _tensor("rows", np.array([0, 0, -1], np.int64)),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", element, shape)],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def _of_file(path: Path, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    pytest.importorskip("openvino")
    params = {"preprocessing": SCALING, "cache": None} | params
    return ImageFeatureExtractor(path, layer, **params)


@pytest.mark.parametrize("opset", [11, 13, 17, 20])
def test_files_of_any_opset(opset: int, tmp_path: Path) -> None:
    path = _save(tmp_path / "network.onnx", opset=opset)
    wanted = ["maps", "tokens", "tokens", "transpose_0", "flat", "pooled"]
    poolings = [None, "avg", None, "max", None, "avg"]
    extractor = _of_file(path, wanted, pooling=poolings, aspect="pad")
    _assert_same(extractor, tmp_path / "whole.onnx")
    (version,) = (each.version for each in onnx.load(tmp_path / "whole.onnx").opset_import)
    assert version == opset


def test_the_class_token_of_a_file(tmp_path: Path) -> None:
    # Seventeen tokens: a class token and a square of four by four.
    extractor = _of_file(_tokens(tmp_path / "network.onnx"))
    _assert_same(extractor, tmp_path / "whole.onnx")
    assert extractor.n_features_out_ == 6


def _tokens(path: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["images", "w"], ["patches"], strides=[6, 6]),
        helper.make_node("Reshape", ["patches", "shape"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["sequence"], perm=[0, 2, 1]),
        helper.make_node("ReduceMax", ["sequence"], ["most"], axes=[1]),
        helper.make_node("Concat", ["most", "sequence"], ["tokens"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ("n", 3, 24, 24))],
        [helper.make_tensor_value_info("tokens", TensorProto.FLOAT, None)],
        [_draw("w", 6, 3, 6, 6), _tensor("shape", np.array([0, 0, -1], np.int64))],
    )
    opsets = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def test_files_of_other_layouts(tmp_path: Path) -> None:
    turn = helper.make_node("Transpose", ["images"], ["turned"], perm=[0, 3, 1, 2])
    last = _save(tmp_path / "last.onnx", shape=("n", 24, 24, 3), before=(turn,))
    _assert_same(_of_file(last), tmp_path / "whole.onnx")
    cast = helper.make_node("Cast", ["images"], ["exact"], to=TensorProto.FLOAT)
    wide = _save(tmp_path / "wide.onnx", before=(cast,), element=TensorProto.DOUBLE)
    _assert_same(_of_file(wide), tmp_path / "whole.onnx")
    free = _save(tmp_path / "free.onnx", shape=("n", 3, "h", "w"))
    _assert_same(_of_file(free, input_size=(20, 40)), tmp_path / "whole.onnx")


def test_pixels_are_rounded_for_a_file_of_whole_numbers(tmp_path: Path) -> None:
    cast = helper.make_node("Cast", ["images"], ["exact"], to=TensorProto.FLOAT)
    path = _save(tmp_path / "whole_numbers.onnx", before=(cast,), element=TensorProto.UINT8)
    X = np.random.default_rng(0).uniform(0, 255, (4, 24, 24, 3)).astype(np.float32)
    extractor = _of_file(path, preprocessing={"order": "BGR"}, value_range=(0, 255))
    _assert_same(extractor, tmp_path / "whole.onnx", X)
    np.testing.assert_array_equal(extractor.transform(X), extractor.transform(np.rint(X)))


def test_a_file_for_single_images_stays_one(tmp_path: Path) -> None:
    path = _save(tmp_path / "network.onnx", shape=(1, 3, 24, 24))
    extractor = _of_file(path)
    features = extractor.fit_transform(IMAGES)
    export_onnx(extractor, tmp_path / "whole.onnx")
    found = [_run(tmp_path / "whole.onnx", IMAGES[i : i + 1]) for i in range(len(IMAGES))]
    assert relative_error(np.concatenate(found), features) < 1e-5
    (images,) = onnx.load(tmp_path / "whole.onnx").graph.input
    assert images.type.tensor_type.shape.dim[0].dim_value == 1


_WHITE = {"bool": 1, "uint8": 255, "uint16": 65535, "float32": 1}


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.parametrize("order", ["RGB", "BGR"])
@pytest.mark.parametrize("value_range", ["auto", (0, 200), (-3, 2)])
@pytest.mark.parametrize("n_channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", list(_WHITE))
def test_every_kind_of_pixel_agrees(
    dtype: str, n_channels: int, value_range: Any, order: str, tmp_path: Path
) -> None:
    share = np.random.default_rng(0).uniform(0, 1, (3, 20, 24, n_channels))
    share[..., 3:] = np.round(share[..., 3:] * 4) / 4  # transparent, opaque, and between
    white, darkest, brightest = _WHITE[dtype], 0, _WHITE[dtype]
    if dtype == "float32" and value_range != "auto":
        darkest, brightest = value_range
        white = max(value_range)
    X = darkest + (brightest - darkest) * share
    X[..., 3:] = white * share[..., 3:]
    X = (X >= 0.5 if dtype == "bool" else X).astype(dtype)
    path = _save(tmp_path / "network.onnx")
    scaling = SCALING | {"order": order}
    extractor = _of_file(path, "maps", preprocessing=scaling, value_range=value_range)
    _assert_same(extractor, tmp_path / "whole.onnx", X)


def test_an_old_opset_is_an_error(tmp_path: Path) -> None:
    extractor = _of_file(_save(tmp_path / "network.onnx", opset=9)).fit(IMAGES)
    with pytest.raises(ValueError, match=r"of opset 11 or newer. Got .* of opset 9"):
        export_onnx(extractor, tmp_path / "whole.onnx")
    assert not (tmp_path / "whole.onnx").exists()


# -- all of them


@pytest.mark.parametrize("kind", ["keras", "file", "an old file"])
def test_a_pipeline(kind: str, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="skl2onnx is not installed")
    if kind == "keras":
        extractor = _of_keras(_image_model(lambda x: layers.ReLU()(x)))
    else:
        opset = 11 if kind == "an old file" else 17
        extractor = _of_file(_save(tmp_path / "network.onnx", opset=opset), "flat")
    X = np.concatenate([IMAGES, 255 - IMAGES])
    y = np.array(["ant", "bee"])[np.arange(len(X)) % 2]
    model = make_pipeline(extractor, StandardScaler(), LogisticRegression()).fit(X, y)
    export_onnx(model, tmp_path / "whole.onnx")
    shares = _run(tmp_path / "whole.onnx", X, "probabilities")
    np.testing.assert_allclose(shares, model.predict_proba(X), atol=1e-4)
    np.testing.assert_array_equal(_run(tmp_path / "whole.onnx", X, "label"), model.predict(X))


def test_lists_need_a_shape_and_bfloat16_is_refused(tmp_path: Path) -> None:
    extractor = _of_keras(_image_model(lambda x: x)).fit(list(IMAGES))
    path = tmp_path / "whole.onnx"
    with pytest.raises(ValueError, match="needs the shape of the input images"):
        export_onnx(extractor, path)
    export_onnx(extractor, path, image_shape=IMAGES.shape[1:])
    assert relative_error(_run(path, IMAGES), extractor.transform(list(IMAGES))) < 1e-5
    extractor.precision_ = "bfloat16"
    with pytest.raises(ValueError, match="writes networks in float32"):
        export_onnx(extractor, path)
