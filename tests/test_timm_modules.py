"""The modules of timm's networks as layers: shapes, costs, and tokens; skipped without timm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sktransfer import (
    FeatureMapDisplay,
    ImageFeatureExtractor,
    describe_network,
    diagnose,
    load_digit_pair,
)
from sktransfer.features import memory

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 64, 3), dtype=np.uint8)


def _extractor(name: str, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"weights": None, "random_state": 0, "cache": None, "engine": "torch"} | params
    return ImageFeatureExtractor(f"timm/{name}", layer, **params)


def _given(extractor: ImageFeatureExtractor, *names: str) -> dict[str, Any]:
    """Return what modules give in PyTorch, and what the network's own functions do."""
    from sktransfer.features.preprocessing import centre, resize, to_255

    extractor.fit(IMAGES)
    runner = extractor._runner
    rgb = resize(to_255(IMAGES, (0, 255)), runner.resizing)
    pixels = np.ascontiguousarray(centre(rgb, runner.scaling).transpose(0, 3, 1, 2))
    model = runner.weights.load().model
    given: dict[str, Any] = {}
    hooks = [
        model.get_submodule(name).register_forward_hook(
            lambda *each, name=name: given.__setitem__(name, each[-1].clone())
        )
        for name in names
    ]
    with torch.no_grad():
        given["features"] = model.forward_features(torch.from_numpy(pixels).float())
        given["embedding"] = model.forward_head(given["features"], pre_logits=True)
    for hook in hooks:
        hook.remove()
    return {name: value.numpy() for name, value in given.items()}


def _assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    assert found.shape == expected.shape
    assert np.linalg.norm(found - expected) < 1e-5 * np.linalg.norm(expected)


# -- descriptions and costs


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "test_mambaout"])
def test_a_description_counts_all_parameters(name: str) -> None:
    network = describe_network(f"timm/{name}", input_size=64)
    size = {"img_size": 64} if name == "test_vit" else {}
    model = timm.create_model(name, num_classes=0, **size)
    assert network.n_parameters == sum(each.numel() for each in model.parameters())
    assert len(network.layers) > 20
    assert network.layers[-1].name == "pre_logits"
    assert "scaling: RGB" in str(network)


def test_multiply_adds_are_those_that_pytorch_counts() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    model = timm.create_model("test_resnet", num_classes=0).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, 64, 64))
    network = describe_network("timm/test_resnet", input_size=64)
    assert network.multiply_adds == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    ("name", "cut", "parts", "own"),
    [
        # Gains of blocks belong to no module within them.
        ("test_convnext", "stages.1", ["stem", "stages.0", "stages.1"], []),
        (
            "test_vit",
            "blocks.1",
            ["patch_embed", "blocks.0", "blocks.1"],
            ["cls_token", "pos_embed"],
        ),
    ],
)
def test_parameters_up_to_a_cut(name: str, cut: str, parts: list[str], own: list[str]) -> None:
    network = describe_network(f"timm/{name}", cut=cut, input_size=64)
    size = {"img_size": 64} if name == "test_vit" else {}
    model = timm.create_model(name, num_classes=0, **size)
    expected = sum(
        each.numel() for part in parts for each in model.get_submodule(part).parameters()
    )
    assert network.n_parameters == expected + sum(getattr(model, each).numel() for each in own)


def test_feature_maps_before_the_embedding(no_windows: None) -> None:
    display = FeatureMapDisplay.from_estimator(
        _extractor("test_resnet", input_size=64).fit(IMAGES), IMAGES[0], n_maps=2
    )
    names = [row.layer.name for row in display.maps]
    # The last of each resolution: a block of this network shrinks in the midst.
    assert names == ["act1", "layer1", "layer3.0.act1", "layer3", "layer4"]


def test_layers_too_large_for_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Eight images take 400 KiB, their embeddings next to nothing, and what lies between 2 MiB.
    monkeypatch.setattr(memory, "memory_limit", lambda: 1 << 20)
    with pytest.raises(MemoryError, match="a layer's inputs and outputs of 8 image"):
        _extractor("test_resnet", input_size=64).fit(IMAGES)


def test_diagnose_finds_an_embedding_that_is_too_deep(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=0)
    with torch.no_grad():
        for values in model.layer4.parameters():
            values.normal_(std=1e-3)
        model.layer4[0].bn2.weight.zero_()
        model.layer4[0].downsample[2].weight.zero_()  # of which nothing passes
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    extractor = _extractor("test_resnet", input_size=64, weights=tmp_path / "weights.pth")
    X, y = load_digit_pair((8, 6), return_X_y=True)
    diagnosis = diagnose(extractor, X[:120], y[:120], random_state=0)
    assert "cut-too-deep" in diagnosis.names
    assert "cut-too-shallow" not in diagnosis.names


# -- where the channels of maps stand


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("swin_tiny_patch4_window7_224", "layers.1", (8, 8, 192)),
        ("test_mambaout", "stages.1", (8, 8, 32)),
        # As many rows and columns as channels: timm says where they stand at the ends of stages.
        ("test_mambaout", "stages.0", (16, 16, 16)),
        ("test_maxvit", "stages.0.blocks.0.attn_grid", (16, 16, 32)),
    ],
)
def test_maps_with_their_channels_last(name: str, layer: str, shape: tuple[int, ...]) -> None:
    extractor = _extractor(name, [layer, layer], pooling=["avg", None], input_size=64)
    maps = _given(extractor, layer)[layer]
    assert (
        describe_network(f"timm/{name}", cut=layer, input_size=64).layers[-1].output_shape == shape
    )
    assert maps.shape == (3, *shape)
    expected = np.concatenate([maps.mean((1, 2)), maps.reshape(3, -1)], axis=1)
    _assert_same(extractor.transform(IMAGES), expected)
    rows, columns, channels = (length - 1 for length in shape)
    name = f"{layer}_r{rows}_c{columns}_f{channels}"
    assert extractor.get_feature_names_out()[-1] == name


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("test_maxvit", "stages.0.blocks.0", (16, 16, 32)),
        ("test_convnext", "stages.1", (8, 8, 32)),
        ("test_resnet", "conv1.0", (32, 32, 16)),
        ("test_vit", "patch_embed.proj", (4, 4, 64)),
    ],
)
def test_maps_with_their_channels_first(name: str, layer: str, shape: tuple[int, ...]) -> None:
    extractor = _extractor(name, [layer, layer], pooling=["max", None], input_size=64)
    maps = _given(extractor, layer)[layer].transpose(0, 2, 3, 1)
    assert maps.shape == (3, *shape)
    expected = np.concatenate([maps.max((1, 2)), maps.reshape(3, -1)], axis=1)
    _assert_same(extractor.transform(IMAGES), expected)


@pytest.mark.parametrize("layer", ["conv1.6", "bn1", "act1"])
def test_a_network_of_convolutions_has_its_channels_first_at_any_size(layer: str) -> None:
    # 32 x 32 x 32 values, which could be read either way.
    extractor = _extractor("test_resnet", layer, pooling="avg", input_size=64)
    maps = _given(extractor, layer)[layer]
    _assert_same(extractor.transform(IMAGES), maps.mean((2, 3)))


def test_a_module_that_can_be_read_either_way_is_refused() -> None:
    message = (
        r"^The 'layer' parameter of ImageFeatureExtractor must be one of which it is known where "
        r"the channels stand\. Got 'stages\.0\.blocks\.0' .* 16 x 16 x 16 values .* name a layer"
    )
    with pytest.raises(ValueError, match=message):
        _extractor("test_mambaout", "stages.0.blocks.0", input_size=64).fit(IMAGES)
    with pytest.raises(
        ValueError, match=r"'cut' parameter of describe_network must be one of which"
    ):
        describe_network("timm/test_mambaout", cut="stages.0.blocks.0", input_size=64)
    # At another size the shape tells.
    network = describe_network("timm/test_mambaout", cut="stages.0.blocks.0", input_size=32)
    assert network.layers[-1].output_shape == (8, 8, 16)


@pytest.mark.parametrize(
    ("name", "layer", "engine"),
    [
        ("test_resnet", "layer4", "torch"),
        ("test_convnext", "stages.3", "openvino"),
        ("test_mambaout", "stages.3", "openvino"),
        ("test_vit", "norm", "torch"),
    ],
)
def test_the_last_stage_is_what_timm_calls_features(name: str, layer: str, engine: str) -> None:
    extractor = _extractor(name, layer, input_size=64, engine=engine)
    features = _given(extractor)["features"]
    if name in ("test_resnet", "test_convnext"):
        features = features.transpose(0, 2, 3, 1)
    _assert_same(extractor.transform(IMAGES), features.reshape(3, -1))


# -- tokens


# A class token; a register and no class token; a class token and four registers.
@pytest.mark.parametrize(
    ("name", "size", "n_patches", "n_before"),
    [
        ("test_vit", (32, 64), 8, 1),
        ("test_vit2", (32, 64), 8, 1),
        ("vit_small_patch14_reg4_dinov2", (28, 42), 6, 5),
    ],
)
def test_the_embedding_and_means_are_those_of_timm(
    name: str, size: tuple[int, int], n_patches: int, n_before: int
) -> None:
    embedding = _extractor(name, input_size=size)
    expected = _given(embedding, "blocks.1")
    _assert_same(embedding.transform(IMAGES), expected["embedding"])
    tokens = expected["blocks.1"]
    assert tokens.shape[1] == n_patches + n_before
    patches = tokens[:, n_before:]
    pooled = [patches.mean(axis=1), patches.max(axis=1), tokens.reshape(3, -1)]
    extractor = _extractor(
        name, ["blocks.1"] * 3, pooling=["avg", "max", None], input_size=size
    ).fit(IMAGES)
    _assert_same(extractor.transform(IMAGES), np.concatenate(pooled, axis=1))


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_class_token_of_any_layer(engine: str) -> None:
    layers, poolings = ["blocks.0", "norm", "patch_embed"], ["cls", "cls", "max"]
    size = (32, 64)
    extractor = _extractor("test_vit", layers, pooling=poolings, input_size=size, engine=engine)
    given = _given(extractor, *layers)
    expected = [given["blocks.0"][:, 0], given["norm"][:, 0], given["patch_embed"].max((1, 2))]
    _assert_same(extractor.transform(IMAGES), np.concatenate(expected, axis=1))
    assert extractor.get_feature_names_out()[0] == "blocks.0_cls_f00"


@pytest.mark.parametrize(
    ("name", "layer", "pooling", "message"),
    [
        (
            "test_vit",
            "patch_embed.proj",
            "cls",
            r"takes the class token.*Got 'cls' with 'patch_embed",
        ),
        ("vit_tiny_patch16_224", "patch_embed", "cls", r"gives 16 x 192 values .* no class token"),
        ("test_vit2", "norm", "cls", r"Got 'cls' with 'norm'"),  # a register alone
        ("test_resnet", "layer1", "cls", r"Got 'cls' with 'layer1'"),
        ("test_resnet", None, "cls", r"Got 'cls' for the embedding of timm .* a vector already"),
        ("test_resnet", None, "max", r"Got 'max' for the embedding of timm .* a vector already"),
    ],
)
def test_poolings_that_a_layer_has_not(
    name: str, layer: str | None, pooling: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"^The 'pooling' parameter of ImageFeat.*" + message):
        _extractor(name, layer, pooling=pooling, input_size=64).fit(IMAGES)
