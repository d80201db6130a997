"""An accelerator counts where Keras' backend can use it, and not because a driver is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sktransfer import VGGFeatureExtractor, cli, engines
from sktransfer.engines import accelerators, choose_engine, keras as keras_engine
from sktransfer.features.fitted import get_runner
from sktransfer.networks.frameworks import keras_backend

_HIDING = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "JAX_PLATFORMS")


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Pretend that there is a driver, and begin without an answer."""
    for name in _HIDING:
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "nvidia0"
    file.touch()
    monkeypatch.setattr(accelerators, "_DRIVERS", ((str(tmp_path), "nvidia[0-9]*"),))
    accelerators._answer.cache_clear()
    yield file
    accelerators._answer.cache_clear()


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect which backends are asked; each says that it computes on a GPU."""
    backends: list[str] = []

    def answer(backend: str) -> list[str]:
        backends.append(backend)
        return ["some GPU"]

    monkeypatch.setattr(accelerators, "find", answer)
    monkeypatch.setattr(accelerators, "_ask", answer)
    return backends


def test_a_driver_without_a_device_that_the_backend_computes_on(
    driver: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """TensorFlow on a machine without an accelerator is a backend that cannot use one."""
    if accelerators.find("tensorflow"):
        pytest.skip("TensorFlow computes on an accelerator here")
    assert accelerators.has_driver()
    assert accelerators._ask("tensorflow") == accelerators.list_accelerators() == []
    processor_engine = choose_engine("auto", "float32", 32, who="E")
    assert engines.images_per_call("keras", 32) == 16
    assert keras_engine.describe_backend().endswith(", processor")
    with pytest.raises(ValueError, match="Keras' backend uses none here"):
        choose_engine("keras", "float16", 32, who="E")
    assert cli.main(["info"]) == 0
    assert "accelerators: none that tensorflow can use, although a" in capsys.readouterr().out
    accelerators._answer.cache_clear()
    driver.unlink()
    assert choose_engine("auto", "float32", 32, who="E") == processor_engine


def test_a_device_that_the_backend_computes_on(asked: list[str]) -> None:
    assert choose_engine("auto", "float32", 32, who="E") == "keras"
    assert engines.images_per_call("keras", 32) == 256
    assert keras_engine.describe_backend().endswith(", some GPU")
    assert accelerators.describe_accelerators() == "some GPU"
    assert asked == [keras_backend()]  # once


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CUDA_VISIBLE_DEVICES", ""),
        ("CUDA_VISIBLE_DEVICES", "-1"),
        ("HIP_VISIBLE_DEVICES", ""),
        ("JAX_PLATFORMS", "cpu"),
        (None, None),
    ],
)
def test_nobody_is_asked_where_nothing_points_to_an_accelerator(
    name: str | None, value: str, asked: list[str], driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name is None:
        driver.unlink()
    else:
        monkeypatch.setenv(name, value)
    assert accelerators.list_accelerators() == asked == []
    assert accelerators.describe_accelerators() == "none"


def test_the_answer_stays_as_long_as_the_process(
    asked: list[str], driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extractor = VGGFeatureExtractor(
        "block1_pool", weights=None, input_size=32, random_state=0, cache=None
    )
    X = np.zeros((2, 8, 8), dtype=np.uint8)
    assert extractor.fit(X).engine_ == "keras"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    driver.unlink()
    runner = get_runner(extractor)
    assert runner.chunk_size(1) == 256
    assert "some GPU" in runner.recipes()[0]


def test_a_backend_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "keras_backend", lambda: "no_such_backend")
    monkeypatch.setattr(accelerators.sys, "path", ["/nowhere"])
    with pytest.warns(UserWarning, match=r"no_such_backend, on which .* The processor is used"):
        assert accelerators.list_accelerators() == []
    assert accelerators.list_accelerators() == []  # said once


def test_asking_imports_no_framework_and_starts_nothing_here(driver: Path) -> None:
    code = (
        "import sys; from sktransfer.engines import accelerators\n"
        f"accelerators._DRIVERS = (({str(driver.parent)!r}, {driver.name!r}),)\n"
        "assert accelerators.has_driver()\n"
        "names = accelerators.list_accelerators()\n"
        "print(names, sorted({'tensorflow', 'keras', 'torch', 'jax'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.rstrip().endswith("[]")


def test_what_each_backend_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = SimpleNamespace(
        is_available=lambda: True, device_count=lambda: 2, get_device_name=lambda i: f"GPU {i}"
    )
    devices = [("cpu", "cpu"), ("gpu", "NVIDIA X"), ("gpu", "NVIDIA X")]
    fakes: dict[str, Any] = {
        "torch": SimpleNamespace(cuda=cuda),
        "jax": SimpleNamespace(
            devices=lambda: [
                SimpleNamespace(platform=platform, device_kind=kind) for platform, kind in devices
            ]
        ),
        "tensorflow": SimpleNamespace(
            config=SimpleNamespace(
                get_visible_devices=lambda kind: [SimpleNamespace(name="/physical_device:GPU:0")],
                experimental=SimpleNamespace(get_device_details=lambda gpu: {}),
            )
        ),
    }
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    assert accelerators.find("torch") == ["GPU 0", "GPU 1"]
    assert accelerators.find("jax") == ["NVIDIA X", "NVIDIA X"]
    assert accelerators.find("tensorflow") == ["/physical_device:GPU:0"]
    assert accelerators.find("openvino") == []
    cuda.is_available = lambda: False
    assert accelerators.find("torch") == []
