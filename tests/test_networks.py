"""The table of networks against Keras' own networks, and against what they compute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from interpreter import run_python

from sktransfer import describe_network
from sktransfer.networks import (
    ARCHITECTURES,
    build,
    imagenet_class_names,
    list_layers,
    plan_cut,
)

NETWORKS = sorted(ARCHITECTURES)
SPATIAL = [layer.name for layer in list_layers("vgg19")[1:] if len(layer.output_shape) == 3]


@dataclass(frozen=True)
class Fact:
    """What one layer of a network that Keras built is found to be."""

    name: str
    output_shape: tuple[int, ...]
    kernel_shape: tuple[int, ...] | None
    n_parameters: int
    multiply_adds: int


def facts_of(model: Any) -> list[Fact]:
    facts = []
    for layer in model.layers[1:]:
        shape = tuple(layer.output.shape[1:])
        kernels = [tuple(w.shape) for w in layer.weights if len(w.shape) > 1]
        # Every output value is a sum over all of the kernel but its last axis, the outputs.
        cost = math.prod(shape) * math.prod(kernels[0][:-1]) if kernels else 0
        kernel = kernels[0] if kernels else None
        facts.append(Fact(layer.name, shape, kernel, layer.count_params(), cost))
    return facts


@pytest.fixture(
    scope="module",
    params=[(name, size) for name in NETWORKS for size in (32, 40, 224)],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def keras_network(request: pytest.FixtureRequest) -> tuple[str, int, list[Fact]]:
    """A network as keras.applications builds it; at 224 pixels with its dense layers."""
    from keras import applications

    name, size = request.param
    make = {"vgg16": applications.VGG16, "vgg19": applications.VGG19}[name]
    model = make(weights=None, include_top=size == 224, input_shape=(size, size, 3))
    return name, size, facts_of(model)


# -- the table against Keras' own networks


def test_table_equals_keras_applications(keras_network):
    name, size, facts = keras_network
    table = list_layers(name, size)[1:]
    if size != 224:  # without its dense layers, Keras leaves out flatten as well
        assert table[-1].name == "flatten"
        table = table[:-1]
    ours = [
        Fact(la.name, la.output_shape, la.kernel_shape, la.n_parameters, la.multiply_adds)
        for la in table
    ]
    assert ours == facts


def test_description_totals_equal_keras_applications(keras_network):
    name, size, facts = keras_network
    description = describe_network(name, cut=facts[-1].name, input_size=size)
    assert description.n_parameters == sum(fact.n_parameters for fact in facts)
    assert description.multiply_adds == sum(fact.multiply_adds for fact in facts)


@pytest.mark.parametrize("name", NETWORKS)
def test_flatten_is_the_last_feature_map_at_every_size(name):
    for size in range(32, 300):
        layers = {layer.name: layer for layer in list_layers(name, size)}
        assert layers["flatten"].output_shape == (math.prod(layers["block5_pool"].output_shape),)
        assert ("fc1" in layers) == (size == 224)


def test_published_numbers():
    vgg16, vgg19 = describe_network("vgg16"), describe_network("vgg19")
    assert vgg16.n_parameters == 138_357_544
    assert vgg19.n_parameters == 143_667_240
    assert f"{vgg16.multiply_adds / 1e9:.2f}" == "15.47"
    assert f"{vgg19.multiply_adds / 1e9:.2f}" == "19.63"
    # What the "notop" files hold.
    assert describe_network("vgg16", cut="flatten").n_parameters == 14_714_688
    assert describe_network("vgg19", cut="flatten").n_parameters == 20_024_384
    layers = {layer.name: layer for layer in vgg16.layers}
    assert layers["flatten"].output_shape == (25_088,)
    assert layers["block5_pool"].receptive_field == 212
    assert layers["block5_conv3"].receptive_field == 196
    assert layers["block5_pool"].stride == 32
    assert layers["fc1"].receptive_field == 224


def run(model: Any, images: np.ndarray) -> list[np.ndarray]:
    """Run a network; Keras hands over a single output bare, several as a list."""
    import keras

    return [np.asarray(output) for output in keras.tree.flatten(model(images))]


# -- receptive fields against what networks compute


def one_channel_copy(model: Any, names: list[str]) -> Any:
    """Rebuild a network's geometry, layer by layer, with one channel and kernels of ones.

    With zeros as input but for one pixel, a value then is positive exactly where that pixel lies
    in its receptive field: no sum cancels, and neither ReLU nor maximum drops a positive value.
    """
    import keras

    tensor = inputs = keras.Input((None, None, 1), dtype="float32")
    outputs = {}
    for layer in model.layers[1:]:
        config = layer.get_config()
        if "kernel_size" in config:
            config |= {"filters": 1, "kernel_initializer": "ones"}
        if layer.name in names:
            tensor = outputs[layer.name] = type(layer).from_config(config)(tensor)
    return keras.Model(inputs, [outputs[name] for name in names])


@pytest.mark.parametrize("axis", [1, 2], ids=["rows", "columns"])
@pytest.mark.parametrize("name", NETWORKS)
def test_receptive_field_and_stride_of_every_layer(name, axis):
    table = [layer for layer in list_layers(name, 32)[1:] if len(layer.output_shape) == 3]
    names = [layer.name for layer in table]
    model = one_channel_copy(build(plan_cut("block5_pool", name, input_size=32)), names)

    # One image for each place of the bright pixel along the axis; across it, one value's width
    # is enough for all five poolings.
    length, across = 512, 32
    images = np.zeros((length, length, across, 1), np.float32)
    images[range(length), range(length), across // 2] = 1
    if axis == 2:
        images = images.swapaxes(1, 2)
    reached = [[] for _ in table]
    for start in range(0, length, 64):
        for i, output in enumerate(run(model, images[start : start + 64])):
            lines = output[..., 0]
            lines = lines if axis == 1 else lines.swapaxes(1, 2)
            reached[i].append(lines[:, :, lines.shape[2] // 2] > 0)

    for layer, parts in zip(table, reached, strict=True):
        sees = np.concatenate(parts)  # (place of the pixel, value)
        middle = sees.shape[1] // 2
        places = np.flatnonzero(sees[:, middle])
        assert 0 < places[0] < places[-1] < length - 1, "the test's image is too small"
        assert np.all(np.diff(places) == 1)
        assert len(places) == layer.receptive_field, layer.name
        assert places[0] - np.flatnonzero(sees[:, middle - 1])[0] == layer.stride, layer.name


@pytest.mark.parametrize("layer", ["block1_conv1", "block1_conv2", "block1_pool"])
def test_receptive_field_is_a_square_of_the_real_network(layer):
    cut = plan_cut(layer, input_size=32)
    model = build(cut)
    model.set_weights([np.full(w.shape, 0.01, np.float32) for w in model.weights])
    found = cut.layers[0]
    height, width, n_channels = found.output_shape
    index = ((height // 2) * width + width // 2) * n_channels + 7

    (base,) = run(model, np.zeros((1, 32, 32, 3), np.float32))[0][:, index]
    changed = np.zeros((32, 32), bool)
    for row in range(32):
        images = np.zeros((32, 32, 32, 3), np.float32)
        images[range(32), row, range(32), 1] = 100
        changed[row] = run(model, images)[0][:, index] != base

    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert len(rows) == len(columns) == found.receptive_field
    assert changed[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
    assert changed.sum() == found.receptive_field**2


# -- cuts


@given(
    name=st.sampled_from(NETWORKS),
    size=st.integers(32, 70),
    pooling=st.sampled_from([None, "avg", "max"]),
    data=st.data(),
)
@settings(max_examples=60, deadline=None)
def test_feature_names_are_as_many_as_features_unique_and_sorted(name, size, pooling, data):
    names = [layer.name for layer in list_layers(name, size)[1:]]
    names = [n for n in names if not (pooling and n == "flatten")]
    wanted = data.draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
    cut = plan_cut(wanted, name, pooling, size)

    features = cut.feature_names()
    assert len(features) == cut.n_features == sum(cut.widths)
    assert len(set(features)) == len(features)
    start = 0
    for layer, width in zip(wanted, cut.widths, strict=True):
        part = features[start : start + width]
        assert part == sorted(part)
        assert all(feature.startswith(f"{layer}_") for feature in part)
        start += width


@pytest.mark.parametrize("layer", ["fc1", "fc2", "predictions"])
def test_dense_feature_names_are_unique_and_sorted(layer):
    features = plan_cut(layer).feature_names()
    assert len(set(features)) == len(features) == plan_cut(layer).n_features
    assert features == sorted(features)


@pytest.mark.parametrize(
    ("layer", "pooling", "index", "feature"),
    [
        ("block3_pool", None, (3 * 28 + 12) * 256 + 45, "block3_pool_r03_c12_f045"),
        ("block3_pool", "avg", 45, "block3_pool_avg_f045"),
        ("block3_pool", "max", 255, "block3_pool_max_f255"),
        ("block1_pool", "avg", 5, "block1_pool_avg_f05"),
        ("block5_pool", None, 0, "block5_pool_r0_c0_f000"),
        ("flatten", None, (6 * 7 + 2) * 512 + 511, "flatten_r6_c2_f511"),
        ("fc1", None, 123, "fc1_0123"),
        ("fc2", None, 4095, "fc2_4095"),
        ("predictions", None, 134, "predictions_0134_crane"),
        ("predictions", None, 517, "predictions_0517_crane"),
        ("predictions", None, 0, "predictions_0000_tench"),
    ],
)
def test_feature_name(layer, pooling, index, feature):
    assert plan_cut(layer, pooling=pooling).feature_names()[index] == feature


def test_features_follow_the_order_asked_for_and_the_trunk_the_network():
    cut = plan_cut(["block2_pool", "block1_conv1"], "vgg19", "avg", 64)
    assert cut.widths == (128, 64)
    assert cut.feature_names()[:1] == ["block2_pool_avg_f000"]
    assert [layer.name for layer in cut.trunk][-1] == "block2_pool"
    assert [layer.name for layer in cut.weighted_layers] == [
        f"block{block}_conv{conv}" for block, conv in itertools.product((1, 2), (1, 2))
    ]


def test_each_layer_may_have_its_own_pooling():
    names = ["block2_pool", "block1_conv1", "block2_pool", "flatten"]
    cut = plan_cut(names, pooling=["avg", None, "max", None], input_size=32)
    assert cut.widths == (128, 32 * 32 * 64, 128, 512)
    features = cut.feature_names()
    assert features[0] == "block2_pool_avg_f000"
    assert features[128 + 32 * 32 * 64] == "block2_pool_max_f000"
    assert len(set(features)) == cut.n_features


def test_imagenet_class_names():
    names = imagenet_class_names()
    assert len(names) == 1000
    assert all(name and name == name.strip() for name in names)
    assert [i for i, name in enumerate(names) if name == "crane"] == [134, 517]
    assert [i for i, name in enumerate(names) if name == "maillot"] == [638, 639]
    assert len(set(names)) == 998
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet_tissue")


@pytest.mark.parametrize(
    ("kwargs", "match"),
    [
        ({"layer": "block3_pol"}, r"must be a layer of 'vgg16'\. Got 'block3_pol' instead\. Did"),
        ({"layer": "block3_pol"}, r"Did you mean 'block3_pool'\? Its layers are: block1_conv1, "),
        ({"layer": "Flatten"}, r"Got 'Flatten' instead\. Did you mean 'flatten'\?"),
        ({"layer": "prediction"}, r"Did you mean 'predictions'\?"),
        ({"layer": "block3_conv4"}, r"must be a layer of 'vgg16'\. Got 'block3_conv4' instead"),
        ({"layer": "layer4"}, r"Got 'layer4' instead\."),
        ({"layer": "input"}, r"must be a layer of 'vgg16'\. Got 'input' instead"),
        ({"layer": "fc1", "input_size": 64}, r"dense layer 'fc1', which exists at an input size"),
        ({"layer": "fc1", "input_size": 64}, r"Got an input size of 64\. Set input_size=224 and"),
        ({"layer": ["block1_pool", "predictions"], "input_size": 448}, r"Got an input size of 448"),
        ({"layer": "flatten", "pooling": "avg"}, r"Got pooling='avg' with 'flatten', which"),
        ({"layer": ["block1_pool", "fc2"], "pooling": "max"}, r"Got pooling='max' with 'fc2'"),
        ({"layer": ["fc2", "fc1"], "pooling": "max"}, r"with 'fc2', 'fc1', which give plain"),
        ({"layer": ["fc1", "fc2", "fc1"]}, r"each layer once\. Got \['fc1'\] more than once in"),
        (
            {"layer": ["block1_pool"] * 2, "pooling": ["avg", "avg"]},
            r"Got \['block1_pool'\] more than once in .* with the same pooling",
        ),
        ({"layer": "block1_pool", "pooling": ["avg", "max"]}, r"for each of the 1 layers\. Got"),
        ({"layer": ["block1_pool"], "pooling": ["mean"]}, r"one of these for each .*\['mean'\]"),
        ({"layer": ["block1_pool", "fc1"], "pooling": [None, "avg"]}, r"with 'fc1', which give"),
        ({"layer": []}, r"must name at least one layer\. Got an empty list instead"),
    ],
)
def test_wrong_cuts_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        plan_cut(**kwargs)


def test_errors_name_who_was_called():
    with pytest.raises(ValueError, match=r"^The 'layer' parameter of Somebody must be a layer"):
        plan_cut("nothing", who="Somebody")
    for cut in ("nothing", ["fc1", ["fc2"]]):
        with pytest.raises(ValueError, match=r"^The 'cut' parameter of Somebody must be a layer"):
            plan_cut(cut, who="Somebody", param="cut")
    with pytest.raises(ValueError, match=r"^The 'pooling' parameter of Somebody pools"):
        plan_cut("flatten", pooling="avg", who="Somebody")


def test_no_suggestion_where_nothing_is_close():
    with pytest.raises(ValueError) as error:
        plan_cut("xyzzy")
    assert "Did you mean" not in str(error.value)


# -- descriptions


def test_description_as_rows_frame_and_text():
    description = describe_network("vgg16", cut="flatten")
    assert (description.architecture, description.cut) == ("vgg16", "flatten")
    rows = description.rows()
    assert [row["layer"] for row in rows] == [layer.name for layer in list_layers("vgg16")[:-3]]
    assert rows[1] == {
        "layer": "block1_conv1",
        "output_shape": (224, 224, 64),
        "parameters": 1_792,
        "multiply_adds": 86_704_128,
        "receptive_field": 3,
    }

    frame = description.to_frame()
    assert list(frame.columns) == list(rows[0])
    assert frame.to_dict("records") == rows

    lines = str(description).splitlines()
    assert len(lines) == len(rows) + 4
    assert lines[0].split("  ")[0] == "layer"
    assert all(line == line.rstrip() and len(line) <= len(lines[1]) for line in lines)
    for row, line in zip(rows, lines[2:-2], strict=True):
        shape = " x ".join(map(str, row["output_shape"]))
        assert line.split()[0] == row["layer"]
        assert shape in line
        assert f" {row['parameters']:,} " in line
        assert line.endswith(f" {row['receptive_field']}")
    assert lines[-1].split() == ["total", "14,714,688", "15,346,630,656"]


@pytest.mark.parametrize("name", NETWORKS)
def test_description_ends_at_its_cut(name):
    for layer in list_layers(name)[1:]:
        assert describe_network(name, cut=layer.name).layers[-1] == layer


@pytest.mark.parametrize("kind", [np.int32, np.int64, np.uint16])
def test_sizes_may_be_numpys(kind):
    description = describe_network("vgg16", cut="flatten", input_size=kind(64))
    assert description == describe_network("vgg16", cut="flatten", input_size=64)
    assert type(description.input_size) is int


@pytest.mark.parametrize(
    ("args", "kwargs", "match"),
    [
        (([],), {}, r"'architecture' parameter of describe_network .* Got \[\] instead"),
        ((), {"cut": ["fc1"]}, r"^The 'cut' parameter of describe_.* Got \['fc1'\] instead"),
        ((), {"cut": None}, r"must be the name of one layer\. Got None instead"),
        (("vgg61",), {}, r"'architecture' parameter of describe_network .* Got 'vgg61' instead"),
        (("vgg16",), {"cut": "block2_pol"}, r"'cut' parameter .* Did you mean 'block2_pool'\?"),
        (("vgg16",), {"cut": "fc1", "input_size": 64}, r"'fc1', which exists at an input size of"),
        (("vgg16",), {"cut": "flatten", "input_size": 31}, r"at least 32 pixels\. Got 31 instead"),
        (("vgg16",), {"cut": "flatten", "input_size": "64"}, r"must be an int .* Got '64' instead"),
        (("vgg16",), {"cut": "flatten", "input_size": 64.0}, r"must be an int .* Got 64\.0 inst"),
    ],
)
def test_wrong_descriptions_are_refused(args, kwargs, match):
    with pytest.raises(ValueError, match=match):
        describe_network(*args, **kwargs)


def test_describing_and_planning_import_no_framework():
    code = """
import sys
from sktransfer import describe_network
from sktransfer.networks import plan_cut
print(describe_network("vgg19", cut="fc2"))
plan_cut(["block1_pool", "predictions"]).feature_names()
print(sorted({"keras", "tensorflow", "torch", "jax", "matplotlib"} & set(sys.modules)))
"""
    assert run_python(code).splitlines()[-1] == "[]"


# -- building


@pytest.mark.parametrize("pooling", [None, "avg", "max"])
@pytest.mark.parametrize("name", NETWORKS)
def test_build_makes_the_layers_up_to_the_cut_and_no_more(name, pooling):
    wanted = ["block3_conv2", "block1_pool"]
    cut = plan_cut(wanted, name, pooling, 48)
    model = build(cut)
    assert [tuple(output.shape[1:]) for output in model.outputs] == [(w,) for w in cut.widths]
    names = [layer.name for layer in model.layers]
    assert [n for n in names if n.startswith("block") and n in SPATIAL] == [
        layer.name for layer in cut.trunk[1:]
    ]
    assert names[0] == "input"
    description = describe_network(name, cut="block3_conv2", input_size=48)
    assert model.count_params() == description.n_parameters
    weighted = [layer.name for layer in model.layers if layer.weights]
    assert weighted == [layer.name for layer in cut.weighted_layers]
    assert all(not np.asarray(weight).any() for weight in model.get_weights())


def test_built_dense_layers_equal_the_table():
    model = build(plan_cut(["predictions", "flatten"]))
    ours = [layer for layer in facts_of(model) if layer.name in ("flatten", "fc1", "predictions")]
    table = {layer.name: layer for layer in list_layers("vgg16")}
    for fact in ours:
        layer = table[fact.name]
        assert (fact.output_shape, fact.kernel_shape) == (layer.output_shape, layer.kernel_shape)
    assert [tuple(output.shape[1:]) for output in model.outputs] == [(1000,), (25088,)]
    probabilities, flat = run(model, np.ones((1, 224, 224, 3), np.float32))
    np.testing.assert_allclose(probabilities, 0.001, rtol=1e-6)  # softmax of zeros
    assert not flat.any()


@pytest.fixture
def unusual_keras_settings() -> Iterator[None]:
    """Settings that a user may have made for networks of their own."""
    import keras

    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    floatx = keras.config.floatx()
    keras.config.set_image_data_format("channels_first")
    keras.config.set_dtype_policy("mixed_float16")
    keras.config.set_floatx("float64")
    yield
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(layout)


def small_outputs(pooling: str | None) -> list[np.ndarray]:
    """Build a network, give it weights, run it, and check that it is float32 throughout."""
    layers = ["block2_pool", "block1_conv2"] + (["flatten"] if pooling is None else [])
    model = build(plan_cut(layers, pooling=pooling, input_size=32))
    rng = np.random.default_rng(0)
    weights = [0.1 * rng.standard_normal(w.shape).astype(np.float32) for w in model.weights]
    model.set_weights(weights)
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    # The input layer computes nothing, and takes no policy but the global one.
    assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    images = 100 * rng.standard_normal((2, 32, 32, 3)).astype(np.float32)
    outputs = run(model, images)
    assert all(output.dtype == np.float32 for output in outputs)
    return outputs


@pytest.fixture(scope="module", params=[None, "avg", "max"], ids=["flat", "avg", "max"])
def usual(request: pytest.FixtureRequest) -> tuple[str | None, list[np.ndarray]]:
    return request.param, small_outputs(request.param)


def test_build_ignores_keras_global_settings(usual, unusual_keras_settings):
    import keras

    pooling, expected = usual
    for output, reference in zip(small_outputs(pooling), expected, strict=True):
        np.testing.assert_array_equal(output, reference)
    # ... and leaves them as they are.
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert keras.config.image_data_format() == "channels_first"
    assert keras.config.floatx() == "float64"


def test_build_draws_from_no_global_seed():
    # In an interpreter of its own: a seed once set cannot be unset.
    code = """
import random
import keras
import numpy as np
from sktransfer.networks import build, plan_cut

draws = []
for with_build in (False, True):
    keras.utils.set_random_seed(0)
    if with_build:
        build(plan_cut(["block2_pool", "flatten"], input_size=32))
    kernel = keras.layers.Dense(2)
    kernel.build((None, 3))
    draws.append([
        np.asarray(keras.random.uniform((4,))).tolist(),
        np.asarray(kernel.kernel).tolist(),
        random.random(),
        float(np.random.rand()),
    ])
print(draws[0] == draws[1])
"""
    assert run_python(code).splitlines()[-1] == "True"
