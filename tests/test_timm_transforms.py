"""What timm's own transform makes of images enters its networks; skipped without timm."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from sktransfer import ImageFeatureExtractor, describe_network
from sktransfer.features.fitted import get_runner
from sktransfer.features.preprocessing import preprocess

timm = pytest.importorskip("timm")
transforms = pytest.importorskip("torchvision.transforms.v2.functional")
torch = pytest.importorskip("torch")

# Networks with a share of 0.875, 0.95 and 1, bilinear and bicubic, and means of their own.
NETWORKS = ["resnet18.tv_in1k", "convnext_atto", "vit_tiny_patch16_224"]
PHOTOGRAPH = load_sample_image("china.jpg")[:330, :301]


def _fit(name: str, **params: Any) -> ImageFeatureExtractor:
    extractor = ImageFeatureExtractor(f"timm/{name}", weights=None, random_state=0, **params)
    return extractor.fit([PHOTOGRAPH])


def _inputs(extractor: ImageFeatureExtractor) -> np.ndarray:
    runner = get_runner(extractor)
    return preprocess(PHOTOGRAPH[None], runner.resizing, (0, 255), runner.scaling)[0]


def _config(name: str) -> dict[str, Any]:
    return timm.data.resolve_model_data_config(timm.create_model(name))


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_those_of_timms_transform(name: str) -> None:
    config = _config(name)
    inputs = _inputs(_fit(name))
    transform = timm.data.create_transform(**config)
    expected = transform(Image.fromarray(PHOTOGRAPH)).permute(1, 2, 0).numpy()
    # Pillow rounds to whole pixel values from 0 to 255, after each axis: where a kernel overshoots
    # between black and white, that clips more than here.
    mean, std = np.array(config["mean"]), np.array(config["std"])
    clipped = np.clip(inputs, -mean / std, (1 - mean) / std)
    levels = np.abs(clipped - expected) * 255 * std
    assert levels.max() < 8 and np.quantile(levels, 0.999) < 2
    assert levels.mean() < 0.4


@pytest.mark.parametrize("name", NETWORKS)
def test_inputs_are_those_of_torchvision_on_tensors(name: str) -> None:
    config = _config(name)
    inputs = _inputs(_fit(name))
    size = config["input_size"][1]
    pixels = torch.from_numpy(PHOTOGRAPH.copy()).permute(2, 0, 1).float() / 255
    resized = transforms.resize(
        pixels,
        [int(size / config["crop_pct"])],
        interpolation=transforms.InterpolationMode(config["interpolation"]),
        antialias=True,
    )
    cropped = transforms.center_crop(resized, [size, size])
    expected = transforms.normalize(cropped, config["mean"], config["std"])
    np.testing.assert_allclose(inputs, expected.permute(1, 2, 0).numpy(), atol=1e-4)


def test_what_timm_records_is_shown_and_can_be_replaced() -> None:
    extractor = _fit("resnet18.tv_in1k")
    assert extractor.resizing_ == {
        "size": 224,
        "aspect": 0.875,
        "interpolation": "bilinear",
        "antialias": True,
    }
    described = str(describe_network("timm/resnet18.tv_in1k"))
    assert "resizing: antialias=True, aspect=0.875, interpolation='bilinear'" in described
    own = _fit("resnet18.tv_in1k", aspect="pad", antialias=False)
    assert own.resizing_["aspect"] == "pad" and own.resizing_["antialias"] is False


def test_resizing_that_is_not_offered_must_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    config = _config("resnet18") | {"crop_mode": "border", "crop_pct": 0.9}
    monkeypatch.setattr(timm.data, "resolve_model_data_config", lambda model: config)
    with pytest.raises(
        ValueError, match=r"The 'aspect' parameter of .* must be given for this network"
    ):
        _fit("resnet18")
    assert _fit("resnet18", aspect="pad").resizing_["aspect"] == "pad"
