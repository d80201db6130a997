"""VGG's weights in files of PyTorch give the features that PyTorch gives."""

from __future__ import annotations

import json
import os
import pickle
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from sklearn.base import clone
from sklearn.metrics import log_loss

from sktransfer import VGGFeatureExtractor, export_onnx
from sktransfer.engines.choice import is_installed
from sktransfer.features.fitted import get_runner
from sktransfer.files.hdf5 import RefusedError
from sktransfer.files.pytorch import TensorFile, open_tensors, read_file
from sktransfer.networks import ARCHITECTURES, find_layer, list_layers
from sktransfer.networks.pixels import CAFFE, TORCH
from sktransfer.weights.pytorch import _turn, name_convolutions

torch = pytest.importorskip("torch")

#: Where torchvision's convolutions of VGG stand, as its files name them.
PLACES = {
    "vgg16": [0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28],
    "vgg19": [0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34],
}
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
MEAN, STD = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def _make_torch(architecture: str = "vgg16", n_blocks: int = 3) -> Any:
    """Make the first blocks of VGG from PyTorch's own layers, with random weights."""
    torch.manual_seed(0)
    steps, channels = [], 3
    for n_convolutions, filters in list(
        zip(ARCHITECTURES[architecture], (64, 128, 256, 512, 512), strict=True)
    )[:n_blocks]:
        for _ in range(n_convolutions):
            steps += [torch.nn.Conv2d(channels, filters, 3, padding=1), torch.nn.ReLU()]
            channels = filters
        steps.append(torch.nn.MaxPool2d(2))
    model = torch.nn.Sequential()
    model.features = torch.nn.Sequential(*steps)
    return model


def _state(model: Any) -> dict[str, Any]:
    return dict(model.state_dict().items())


def _write_safetensors(path: Path, state: dict[str, Any], dtype: str = "F32") -> Path:
    """Write tensors as the format's description says."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in state.items():
        if dtype == "BF16":
            content = tensor.to(torch.bfloat16).view(torch.int16).numpy().tobytes()
        else:
            content = tensor.numpy().astype({"F32": "<f4", "F16": "<f2"}[dtype]).tobytes()
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": offsets}
        data += content
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def _write(folder: Path, form: str, state: Any) -> Path:
    if form == "safetensors":
        return _write_safetensors(folder / "vgg.safetensors", state)
    path = folder / f"vgg{'.pt' if form == 'checkpoint' else '.pth'}"
    if form == "checkpoint":
        state = {"state_dict": state, "epoch": 3}
    torch.save(state, path, _use_new_zipfile_serialization=form != "old")
    return path


def _expected(model: Any, images: np.ndarray = IMAGES) -> np.ndarray:
    """Compute the last maps as PyTorch does, on pixels as torchvision prepares them."""
    inputs = ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)
    with torch.inference_mode():
        maps = model.features(torch.from_numpy(inputs.astype(np.float32))).numpy()
    return maps.transpose(0, 2, 3, 1).reshape(len(images), -1)


def _extractor(path: Any, layer: str = "block3_pool", **params: Any) -> VGGFeatureExtractor:
    params = {"input_size": 32, "cache": None} | params
    return VGGFeatureExtractor(layer, weights=path, **params)


def _apart(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


@pytest.mark.parametrize("form", ["new", "old", "checkpoint", "safetensors"])
@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_features_are_those_of_pytorch(architecture: str, form: str, tmp_path: Path) -> None:
    model = _make_torch(architecture)
    path = _write(tmp_path, form, _state(model))
    extractor = _extractor(path, architecture=architecture)
    assert _apart(extractor.fit_transform(IMAGES), _expected(model)) < 1e-5
    assert extractor.preprocessing_["order"] == "RGB"
    assert extractor.preprocessing_["mean"] == (0.485, 0.456, 0.406)


@pytest.mark.parametrize("engine", ["keras", "openvino", "ncnn"])
def test_every_engine_takes_them(engine: str, tmp_path: Path) -> None:
    if not is_installed(engine):
        pytest.skip(f"{engine} is not installed")
    model = _make_torch(n_blocks=2)
    path = _write(tmp_path, "new", _state(model))
    extractor = _extractor(path, "block2_pool", engine=engine)
    assert _apart(extractor.fit_transform(IMAGES), _expected(model)) < 1e-5


def test_places_are_those_of_torchvision() -> None:
    for architecture, places in PLACES.items():
        names = [f"features.{place}" for place in places]
        assert list(name_convolutions(architecture).values()) == names


@pytest.mark.parametrize("layout", ["linear", "convolution"])
def test_the_first_dense_layer_sees_maps_in_another_order(layout: str) -> None:
    rng = np.random.default_rng(1)
    maps = rng.random((2, 7, 7, 512), dtype=np.float32)
    kernel = rng.normal(size=(3, 512, 7, 7)).astype(np.float32)
    expected = np.einsum("nhwc,ochw->no", maps, kernel)
    given_kernel = kernel if layout == "convolution" else kernel.reshape(3, -1)
    turned = _turn(given_kernel, find_layer("fc1", "vgg16", 224, ""))
    np.testing.assert_allclose(maps.reshape(2, -1) @ turned, expected, rtol=1e-4, atol=1e-4)
    second = rng.normal(size=(5, 4, 1, 1) if layout == "convolution" else (5, 4))
    turned = _turn(second, find_layer("fc2", "vgg16", 224, ""))
    np.testing.assert_array_equal(turned, second.reshape(5, 4).T)


def test_dense_layers_are_found_by_both_names(tmp_path: Path) -> None:
    state = _state(_make_torch(n_blocks=1))
    for name in ("classifier.0", "pre_logits.fc1"):
        more = {f"{name}.weight": torch.zeros(3, 25088), f"{name}.bias": torch.zeros(3)}
        path = _write(tmp_path, "new", state | more)
        with pytest.raises(ValueError, match="lacks block2_conv1") as error:
            _extractor(path, "fc1", input_size=224).fit(IMAGES)
        assert "fc1," not in str(error.value)


def test_what_is_fitted_remembers_the_preprocessing(tmp_path: Path) -> None:
    model = _make_torch(n_blocks=1)
    path = _write(tmp_path, "new", _state(model))
    extractor = _extractor(path, "block1_pool").fit(IMAGES)
    expected = extractor.transform(IMAGES)
    copied = pickle.loads(pickle.dumps(extractor))
    np.testing.assert_array_equal(copied.transform(IMAGES), expected)
    (recipe,) = get_runner(extractor).recipes()
    assert json.loads(recipe)["preprocessing"]["std"] == [0.229, 0.224, 0.225]
    assert get_runner(extractor).scaling == TORCH
    # Weights that Keras wrote are what they were, and so are what stores hold of them.
    drawn = VGGFeatureExtractor("block1_pool", weights=None, input_size=32).fit(IMAGES)
    assert get_runner(drawn).scaling == CAFFE
    assert "preprocessing" not in json.loads(get_runner(drawn).recipes()[0])


def test_an_onnx_file_holds_the_preprocessing(tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    path = _write(tmp_path, "new", _state(_make_torch(n_blocks=1)))
    extractor = _extractor(path, "block1_pool", pooling="avg").fit(IMAGES)
    export_onnx(extractor, tmp_path / "vgg.onnx")
    session = ort.InferenceSession(tmp_path / "vgg.onnx")
    (found,) = session.run(None, {"images": IMAGES.astype(np.float32)})
    assert _apart(found, extractor.transform(IMAGES)) < 1e-5


def test_fine_tuned_networks_keep_the_preprocessing(tmp_path: Path) -> None:
    pytest.importorskip("keras")
    from sktransfer import VGGClassifier

    path = _write(tmp_path, "new", _state(_make_torch(n_blocks=1)))
    model = VGGClassifier(
        "block1_pool", weights=path, pooling="avg", input_size=32, epochs=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.concatenate([IMAGES] * 4), np.arange(12) % 2)
    extractor = model.to_extractor()
    expected = extractor.transform(IMAGES)
    assert get_runner(extractor).scaling == TORCH
    again = clone(extractor).fit(IMAGES)  # by its weights in memory
    np.testing.assert_array_equal(again.transform(IMAGES), expected)
    saved = tmp_path / "tuned.weights.h5"
    model.save_weights(saved)
    from_file = _extractor(saved, "block1_pool", pooling="avg").fit(IMAGES)
    assert get_runner(from_file).scaling == TORCH
    np.testing.assert_array_equal(from_file.transform(IMAGES), expected)


@pytest.mark.parametrize("unfreeze", [None, "all"])
def test_images_are_trained_on_as_they_are_predicted_on(
    unfreeze: str | None, tmp_path: Path
) -> None:
    keras = pytest.importorskip("keras")
    from sktransfer import VGGClassifier

    path = _write(tmp_path, "new", _state(_make_torch(n_blocks=1)))
    model = VGGClassifier(
        "block1_pool",
        unfreeze=unfreeze,
        weights=path,
        pooling="avg",
        input_size=32,
        epochs=2,
        head_epochs=1,
        trunk_learning_rate=1e-3,
        # It changes nothing, so that training sees what is predicted on.
        augmentation=keras.layers.Rescaling(1.0),
        random_state=0,
    )
    labels = np.arange(len(IMAGES)) % 2
    model.fit(IMAGES, labels, X_val=IMAGES, y_val=labels)
    loss = log_loss(labels, model.predict_proba(IMAGES))
    assert model.history_[-1]["validation_loss"] == pytest.approx(loss, rel=1e-4)
    # What one batch gave before its step is what the epoch before gave after its own.
    trained, before = model.history_[-1]["loss"], model.history_[-2]["validation_loss"]
    assert trained == pytest.approx(before, rel=1e-4)


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_the_digits_are_enough(dtype: str, tmp_path: Path) -> None:
    model = _make_torch(n_blocks=1)
    path = _write_safetensors(tmp_path / "half.safetensors", _state(model), dtype)
    features = _extractor(path, "block1_pool").fit_transform(IMAGES)
    assert 0 < _apart(features, _expected(model)) < 2e-2


# -- what is wrong with files


class _Code:
    def __reduce__(self) -> Any:
        return os.system, ("touch harmed",)


def test_code_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for form in ("new", "old"):
        path = _write(tmp_path, form, _state(_make_torch(n_blocks=1)) | {"more": _Code()})
        with pytest.raises(OSError, match=r"holds code, which is not run: it names \w+\.system"):
            _extractor(path, "block1_pool").fit(IMAGES)
    assert not (tmp_path / "harmed").exists()
    torch.save(_make_torch(n_blocks=1), tmp_path / "model.pth")  # a model, not its tensors
    with pytest.raises(OSError, match=r"it names torch\.nn.* Load it where you trust it"):
        _extractor(tmp_path / "model.pth", "block1_pool").fit(IMAGES)


@pytest.mark.parametrize("form", ["new", "old", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_files_are_one_error(form: str, share: float, tmp_path: Path) -> None:
    path = _write(tmp_path, form, _state(_make_torch(n_blocks=1)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(OSError, match=r"cannot read the weights file .*vgg\.") as error:
        _extractor(path, "block1_pool").fit(IMAGES)
    assert "Keras" not in str(error.value)


@given(st.binary(max_size=200), st.integers(0, 400), st.sampled_from(["new", "old", "safetensors"]))
def test_damaged_files_are_read_or_one_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, place: int, form: str
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    path = _write(folder, form, {"features.0.weight": torch.ones(2, 3)})
    data = bytearray(path.read_bytes())
    place = min(place, len(data))
    data[place : place + len(noise)] = noise
    path.write_bytes(data)
    try:
        _extractor(path, "block1_pool").fit(IMAGES)
    except (OSError, ValueError) as error:
        assert "weights" in str(error)
    else:
        pytest.fail("a file of no VGG was taken for one")


def _change(state: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {name: changes.get(name.replace(".", "_"), tensor) for name, tensor in state.items()}


def test_wrong_and_missing_layers_are_named(tmp_path: Path) -> None:
    state = _state(_make_torch(n_blocks=2))
    path = _write(tmp_path, "new", _change(state, features_2_weight=torch.zeros(64, 64, 5, 5)))
    with pytest.raises(ValueError, match=r"block1_conv2 \(5, 5, 64, 64\) and \(64,\) instead of"):
        _extractor(path, "block2_pool").fit(IMAGES)
    path = _write(tmp_path, "new", _change(state, features_2_bias=torch.zeros(64, dtype=torch.int)))
    with pytest.raises(ValueError, match="block1_conv2 of type float32 and int32 instead of float"):
        _extractor(path, "block2_pool").fit(IMAGES)
    broken = state["features.2.bias"].clone()
    broken[3] = np.nan
    path = _write(tmp_path, "new", _change(state, features_2_bias=broken))
    with pytest.raises(ValueError, match="Got NaN or infinity in block1_conv2"):
        _extractor(path, "block2_pool").fit(IMAGES)
    path = _write(tmp_path, "new", state)
    with pytest.raises(ValueError, match="It reaches up to block2_conv2: cut at 'block2_pool'"):
        _extractor(path, "block3_pool").fit(IMAGES)
    path = _write(tmp_path, "new", {"fc.weight": torch.zeros(2, 2)})
    with pytest.raises(ValueError, match=r"holds no layer of VGG16 at all, but 'fc\.weight'"):
        _extractor(path, "block1_pool").fit(IMAGES)


@pytest.mark.parametrize("recorded", ["torch", "[1]", '{"mean": "grey"}'])
def test_a_record_that_cannot_be_read_is_named(recorded: str, tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "own.h5"
    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        group = file.create_group("block1_conv1")
        group["kernel:0"] = rng.normal(size=(3, 3, 3, 64)).astype(np.float32)
        group["bias:0"] = np.zeros(64, np.float32)
        group.attrs["weight_names"] = ["kernel:0", "bias:0"]
        file.attrs["preprocessing"] = recorded
    with pytest.raises(ValueError, match="must record as its 'preprocessing' how pixels were"):
        _extractor(path, "block1_conv1").fit(IMAGES)


def test_other_networks_are_named(tmp_path: Path) -> None:
    path = _write(tmp_path, "new", _state(_make_torch("vgg19", n_blocks=4)))
    with pytest.raises(ValueError, match="which is of 'vgg19'"):
        _extractor(path).fit(IMAGES)
    state = {
        "features.0.weight": torch.zeros(64, 3, 3, 3),
        "features.1.running_mean": torch.ones(3),
    }
    path = _write(tmp_path, "new", state)
    with pytest.raises(OSError, match="of a VGG with batch normalization, a different"):
        _extractor(path).fit(IMAGES)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_what_is_no_such_file_is_told_by_its_beginning(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"vgg{suffix}"
    for content, message in (
        (b"<html>", "looks like a web page"),
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"", "it is empty"),
    ):
        path.write_bytes(content)
        with pytest.raises(OSError, match=message):
            _extractor(path).fit(IMAGES)
    with pytest.raises(FileNotFoundError, match="no such file"):
        _extractor(tmp_path / "none.pth").fit(IMAGES)


def test_tensors_may_share_bytes_and_lie_in_any_order(tmp_path: Path) -> None:
    values = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    state = {"a": values, "b": values[1, :, 1:].T, "c": torch.nn.Parameter(values[0])}
    path = _write(tmp_path, "new", state)

    def check(file: TensorFile) -> None:
        for name, tensor in state.items():
            np.testing.assert_array_equal(file.read(name), tensor.detach().numpy())
            assert file.read(name).dtype == np.float32

    read_file(path, check)


def test_a_table_that_reaches_beyond_its_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wrong.safetensors"
    entry = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 12]}
    text = json.dumps({"features.0.weight": entry}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(16))
    with path.open("rb") as file, pytest.raises(RefusedError, match="wrong about the tensor feat"):
        open_tensors(file, path)


def test_all_layers_have_weights_in_one_place() -> None:
    for architecture in ARCHITECTURES:
        layers = [each.name for each in list_layers(architecture, 32) if each.kind == "conv"]
        assert list(name_convolutions(architecture)) == layers
