"""Features of timm's networks, against timm itself; skipped where timm is not installed."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from differences import relative_error
from joblib import Parallel, delayed
from sklearn.utils import estimator_checks as checks

from sktransfer import (
    FeatureStore,
    ImageFeatureExtractor,
    compare_transfer,
    export_onnx,
    extract,
    load_digit_pair,
    sweep_networks,
)
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
    """Let timm's own transform of tensors scale images that have their size already."""
    config = timm.data.resolve_data_config(timm.get_pretrained_cfg(name).to_dict())
    config |= {"input_size": (3, size, size), "crop_pct": 1.0}
    transform = timm.data.create_transform(**config)
    resized = resize(to_255(IMAGES, (0, 255)), Resizing(size, "stretch", "bilinear", False))
    tensors = torch.from_numpy((resized / 255).astype(np.float32).transpose(0, 3, 1, 2).copy())
    return torch.stack([transform(each) for each in tensors])


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
    assert relative_error(features, expected.numpy()) < 1e-5
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
    # What the second gives is changed in place by the activation behind it.
    layers, poolings = ["layer2", "layer1.0.bn1", "layer2"], ["avg", None, "max"]
    extractor = _extractor("resnet18", layers, pooling=poolings, input_size=64, engine=engine)
    features = extractor.fit_transform(IMAGES)
    model = get_runner(extractor).weights.load().model
    seen: dict[str, Any] = {}
    for name in set(layers):
        module = model.get_submodule(name)
        module.register_forward_hook(
            lambda *each, name=name: seen.__setitem__(name, each[-1].clone())
        )
    with torch.no_grad():
        model(_inputs("resnet18", 64))
    expected = [
        seen["layer2"].mean((2, 3)),
        seen["layer1.0.bn1"].permute(0, 2, 3, 1).flatten(1),
        seen["layer2"].amax((2, 3)),
    ]
    assert relative_error(features, torch.cat(expected, dim=1).numpy()) < 1e-5


def test_threads_share_the_engine_of_torch() -> None:
    layers = ["layer1", "layer3"]
    one, other = (_extractor("resnet18", each, engine="torch").fit(IMAGES) for each in layers)
    expected = [each.transform(IMAGES) for each in (one, other)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: each.transform(IMAGES), [one, other] * 4))
    for i, features in enumerate(found):
        np.testing.assert_array_equal(features, expected[i % 2])


@pytest.mark.parametrize("n_threads", [1, 2])
def test_pytorch_keeps_its_number_of_threads_and_its_bits(n_threads: int) -> None:
    extractor = _extractor("test_resnet", input_size=64, engine="torch").fit(IMAGES)
    expected = extractor.transform(IMAGES)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(n_threads)
        np.testing.assert_array_equal(extractor.transform(IMAGES), expected)
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)


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
    assert 1e-6 < relative_error(rough, exact) < 5e-2


# -- weights


def _state(name: str = "test_resnet", **params: Any) -> dict[str, Any]:
    torch.manual_seed(0)
    return timm.create_model(name, **params).state_dict()


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_weights_from_a_file_of_tensors(ending: str, tmp_path: Path) -> None:
    first = _extractor("test_resnet", input_size=64).fit(IMAGES)
    state = get_runner(first).weights.load().model.state_dict()
    path = tmp_path / f"weights{ending}"
    if ending == ".pth":
        torch.save({"state_dict": state}, path)
    else:
        pytest.importorskip("safetensors.torch").save_file(state, path)
    loaded = _extractor("test_resnet", input_size=64, weights=path).fit(IMAGES)
    np.testing.assert_array_equal(loaded.transform(IMAGES), first.transform(IMAGES))
    assert loaded.weights_sha256_ == first.weights_sha256_


def test_files_that_are_no_weights_of_the_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    extractor = _extractor("test_resnet", input_size=64, weights=path)
    with pytest.raises(FileNotFoundError, match=r"'weights' parameter .* the path of a file"):
        extractor.fit(IMAGES)
    state = _state()
    del state["layer2.0.conv1.weight"]
    torch.save(state, path)
    message = r"must be a .pth or .safetensors file of this network.*lacks layer2\.0\.conv1\.weight"
    with pytest.raises(ValueError, match=message):
        extractor.fit(IMAGES)
    torch.save(timm.create_model("test_resnet"), path)  # with its code
    with pytest.raises(ValueError, match=r"must be a .pth or .safetensors file of this network"):
        extractor.fit(IMAGES)


def test_pretrained_weights_are_those_that_timm_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = _state()  # with a classifier, as the hub has it
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", lambda *a, **k: dict(state))
    torch.save(state, tmp_path / "weights.pth")
    params = {"input_size": 64, "engine": "torch"}
    features = _extractor("test_resnet", weights="pretrained", **params).fit_transform(IMAGES)
    by_path = _extractor("test_resnet", weights=tmp_path / "weights.pth", **params)
    np.testing.assert_array_equal(features, by_path.fit_transform(IMAGES))


def test_no_connection_is_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **params: Any) -> None:
        raise OSError("no route to the hub")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    message = (
        r"^The weights of 'timm/test_resnet' are unavailable from timm, in its cache and by "
        r"download: no route to the hub\. Connect once, or pass the path of a weights file"
    )
    with pytest.raises(OSError, match=message):
        _extractor("test_resnet", weights="pretrained").fit(IMAGES)


# -- what takes it


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_store_gives_what_would_be_computed(
    engine: str, tmp_path: Path, computed: list[int]
) -> None:
    params = {"pooling": "avg", "input_size": 64, "engine": engine}
    expected = _extractor("test_resnet", "layer3", **params).fit_transform(IMAGES)
    for _ in range(2):
        stored = _extractor("test_resnet", "layer3", cache=FeatureStore(tmp_path), **params)
        np.testing.assert_array_equal(stored.fit_transform(IMAGES), expected)
    assert computed == [len(IMAGES)] * 2  # and not again


@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_workers_give_the_same_bits(engine: str) -> None:
    extractor = _extractor("test_resnet", input_size=64, engine=engine).fit(IMAGES)
    there = Parallel(n_jobs=2, backend="loky")(
        delayed(_transform)(extractor, IMAGES[[i, i + 1]]) for i in (0, 1)
    )
    here = extractor.transform(IMAGES)
    np.testing.assert_array_equal(there[0], here[:2])
    np.testing.assert_array_equal(there[1], here[1:])


def _transform(extractor: ImageFeatureExtractor, images: np.ndarray) -> np.ndarray:
    return extractor.transform(images)


@pytest.mark.filterwarnings("ignore::sktransfer.ImageWarning")
@pytest.mark.filterwarnings("ignore:X (does not have valid|has) feature names:UserWarning")
def test_check_estimator() -> None:
    estimator = _extractor("test_resnet", "layer1", pooling="avg", input_size=32, engine="torch")
    results = checks.check_estimator(estimator, on_fail=None, on_skip=None)
    not_passed = {
        result["check_name"]: result["status"] for result in results if result["status"] != "passed"
    }
    not_passed.pop("check_array_api_input", None)  # it is skipped, as for VGGFeatureExtractor
    assert not not_passed
    assert len(results) > 40


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digit_pair((8, 6), return_X_y=True)
    return X[:40], y[:40]


def test_a_comparison_has_its_random_control(
    digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    torch.save(_state(), tmp_path / "weights.pth")
    mine = _extractor(
        "test_resnet", "layer2", pooling="avg", input_size=32, weights=tmp_path / "weights.pth"
    )
    result = compare_transfer(*digits, extractors={"mine": mine}, cv=2, n_controls=1)
    names = [row.name for row in result.rows]
    assert "mine" in names and "mine, random weights" in names


def test_a_sweep_counts_all_weights_of_each_network(
    digits: tuple[np.ndarray, np.ndarray],
) -> None:
    networks = {name: _extractor(f"test_{name}") for name in ("resnet", "vit")}
    layers = {"resnet": ["layer1", "pre_logits"], "vit": ["pre_logits"]}
    sweep = sweep_networks(*digits, networks=networks, layers=layers, input_sizes=[32], cv=2)
    found = {(row.network, row.variant.layer): row.megabytes for row in sweep.rows}
    for name in networks:
        size = {"img_size": 32} if name == "vit" else {}
        model = timm.create_model(f"test_{name}", num_classes=0, **size)
        n_parameters = sum(each.numel() for each in model.parameters())
        assert found[name, "pre_logits"] == pytest.approx(4e-6 * n_parameters)
    assert 0 < found["resnet", "layer1"] < found["resnet", "pre_logits"] / 2


def test_features_are_extracted_to_a_file(tmp_path: Path) -> None:
    extractor = _extractor("test_resnet", input_size=64)
    extract(IMAGES, tmp_path / "features.npy", extractor=extractor)
    expected = extractor.fit_transform(IMAGES)
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy"), expected)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_an_onnx_file(name: str, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layers = {"vit_tiny_patch16_224": ["norm", "blocks.0"]}.get(name)
    pooling = None if layers is None else ["avg", "max"]
    extractor = _extractor(name, layers, pooling=pooling, input_size=NETWORKS[name]).fit(IMAGES)
    export_onnx(extractor, tmp_path / "network.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "network.onnx")
    (features,) = session.run(["features"], {"images": IMAGES.astype(np.float32)})
    assert relative_error(features, extractor.transform(IMAGES)) < 1e-5


def test_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"Got 'timm/resnet19' instead. Did you mean"):
        _extractor("resnet19").fit(IMAGES)
    with pytest.raises(ValueError, match=r"Got 'layer9' instead"):
        _extractor("resnet18", "layer9").fit(IMAGES)
    with pytest.raises(ValueError, match=r"'engine'.*must be 'openvino' or 'torch' for timm"):
        _extractor("resnet18", engine="keras").fit(IMAGES)
