"""Features of timm's networks, against timm itself; skipped where timm is not installed."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sktransfer import ImageFeatureExtractor, describe_network, export_onnx
from sktransfer.engines import choice
from sktransfer.engines.processor import has_instructions
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import Resizing, resize, to_255

timm = pytest.importorskip("timm")
torch = pytest.importorskip("torch")
pytest.importorskip("openvino")

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 40, 52, 3), dtype=np.uint8)
_AS_KERAS = {"aspect": "stretch", "interpolation": "bilinear", "antialias": False}
NETWORKS = {"resnet18": 64, "convnext_atto": 64, "vit_tiny_patch16_224": 224}


def _extractor(name: str, layer: Any = None, **params: Any) -> ImageFeatureExtractor:
    params = {"weights": None, "random_state": 0, "cache": None} | _AS_KERAS | params
    return ImageFeatureExtractor(f"timm/{name}", layer, **params)


def _inputs(name: str, size: int) -> Any:
    """Scale pixels as timm's own transform of tensors does."""
    config = timm.data.resolve_model_data_config(timm.create_model(name))
    resized = resize(to_255(IMAGES, (0, 255)), Resizing(size, "stretch", "bilinear", False))
    scaled = (resized / 255 - np.array(config["mean"])) / np.array(config["std"])
    return torch.from_numpy(scaled.astype(np.float32).transpose(0, 3, 1, 2).copy())


def _error(found: np.ndarray, expected: Any) -> float:
    return float(np.linalg.norm(found - expected.numpy()) / np.linalg.norm(expected.numpy()))


@pytest.mark.parametrize("engine", ["openvino", "torch"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_features_are_those_of_timm(name: str, engine: str) -> None:
    size = NETWORKS[name]
    extractor = _extractor(name, input_size=size, engine=engine)
    features = extractor.fit_transform(IMAGES)
    model = get_runner(extractor).weights.load().model
    inputs = _inputs(name, size)
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(inputs), pre_logits=True)
    assert _error(features, expected) < 1e-5
    np.testing.assert_array_equal(extractor.transform(IMAGES[[2, 0]]), features[[2, 0]])
    assert len(pickle.dumps(extractor)) < 100_000


def test_pytorch_runs_the_part_up_to_the_layer_alone() -> None:
    extractor = _extractor("resnet18", "layer2.0", input_size=64, engine="torch").fit(IMAGES)
    model = get_runner(extractor).weights.load().model
    ran: list[str] = []
    for name, module in model.named_modules():
        module.register_forward_hook(lambda *each, name=name: ran.append(name))
    extractor.transform(IMAGES)
    assert "layer2.0" in ran
    assert not any(name.startswith(("layer2.1", "layer3", "layer4")) for name in ran)


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_any_module_is_a_layer(engine: str) -> None:
    layers, poolings = ["layer2", "layer1.0.conv1", "layer2"], ["avg", None, "max"]
    extractor = _extractor("resnet18", layers, pooling=poolings, input_size=64, engine=engine)
    features = extractor.fit_transform(IMAGES)
    model = get_runner(extractor).weights.load().model
    seen: dict[str, Any] = {}
    for name in set(layers):
        module = model.get_submodule(name)
        module.register_forward_hook(lambda *each, name=name: seen.__setitem__(name, each[-1]))
    with torch.no_grad():
        model(_inputs("resnet18", 64))
    expected = [
        seen["layer2"].mean((2, 3)),
        seen["layer1.0.conv1"].permute(0, 2, 3, 1).flatten(1),
        seen["layer2"].amax((2, 3)),
    ]
    assert _error(features, torch.cat(expected, dim=1)) < 1e-5


def test_threads_share_the_engine_of_torch() -> None:
    layers = ["layer1", "layer3"]
    one, other = (_extractor("resnet18", each, engine="torch").fit(IMAGES) for each in layers)
    expected = [each.transform(IMAGES) for each in (one, other)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: each.transform(IMAGES), [one, other] * 4))
    for i, features in enumerate(found):
        np.testing.assert_array_equal(features, expected[i % 2])


def test_torch_runs_where_openvino_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "is_installed", lambda engine: engine == "torch")
    assert _extractor("resnet18", input_size=64).fit(IMAGES).engine_ == "torch"
    with pytest.raises(ValueError, match=r"engine='torch', which supports float32"):
        _extractor("resnet18", engine="torch", precision="bfloat16").fit(IMAGES)


@pytest.mark.skipif(not has_instructions("int8"), reason="this machine does not compute in int8")
def test_int8_is_close() -> None:
    params = {"input_size": 64, "pooling": "avg"}
    exact = _extractor("resnet18", "layer1", **params).fit_transform(IMAGES)
    rough = _extractor("resnet18", "layer1", precision="int8", **params).fit_transform(IMAGES)
    assert 1e-6 < _error(rough, torch.from_numpy(exact)) < 5e-2


def test_tokens() -> None:
    mean = _extractor("vit_tiny_patch16_224", "norm", pooling="avg").fit(IMAGES)
    assert get_runner(mean).cut.layers[0].output_shape == (197, 192)
    assert mean.transform(IMAGES).shape == (3, 192)


def test_weights_from_a_file_of_tensors(tmp_path: Path) -> None:
    first = _extractor("resnet18", input_size=64).fit(IMAGES)
    model = get_runner(first).weights.load().model
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    loaded = _extractor("resnet18", input_size=64, weights=tmp_path / "weights.pth").fit(IMAGES)
    np.testing.assert_array_equal(loaded.transform(IMAGES), first.transform(IMAGES))
    torch.save(model, tmp_path / "code.pth")
    with pytest.raises(ValueError, match=r"must be a .pth or .safetensors file of this network"):
        _extractor("resnet18", input_size=64, weights=tmp_path / "code.pth").fit(IMAGES)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_an_onnx_file(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layers = {"vit_tiny_patch16_224": ["norm", "blocks.0"]}.get(name)
    pooling = None if layers is None else ["avg", "max"]
    extractor = _extractor(name, layers, pooling=pooling, input_size=NETWORKS[name]).fit(IMAGES)
    export_onnx(extractor, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (features,) = session.run(["features"], {"images": IMAGES.astype(np.float32)})
    assert _error(features, torch.from_numpy(extractor.transform(IMAGES))) < 1e-5


def test_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"Got 'timm/resnet19' instead. Did you mean"):
        _extractor("resnet19").fit(IMAGES)
    with pytest.raises(ValueError, match=r"Got 'layer9' instead"):
        _extractor("resnet18", "layer9").fit(IMAGES)
    with pytest.raises(ValueError, match=r"'engine'.*must be 'openvino' or 'torch' for timm"):
        _extractor("resnet18", engine="keras").fit(IMAGES)


def test_a_description() -> None:
    network = describe_network("timm/resnet18", cut="layer1", input_size=64)
    assert network.layers[-1].output_shape == (16, 16, 64)
    assert "scaling: RGB" in str(network)
