"""What every test may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# Examples are few and quick, but the first of a run may start TensorFlow.
settings.register_profile(
    "sktransfer", deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("sktransfer")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real digits and trained weights, which the project does not contain."""
    folder = Path(os.environ.get("SKTRANSFER_TEST_DATA", ROOT.parent / "shared"))
    if not (folder / "weights").is_dir():
        pytest.skip(f"no test data in {folder}: set SKTRANSFER_TEST_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def vgg16_blocks(shared_data: Path) -> Path:
    """ImageNet weights of VGG16, blocks 1 and 2."""
    return shared_data / "weights" / "vgg16_blocks1-2_notop.h5"


@pytest.fixture(scope="session")
def vgg16_trunk(shared_data: Path) -> Path:
    """All five blocks of VGG16 with their ImageNet weights."""
    return shared_data / "weights" / "vgg16_notop.h5"


@pytest.fixture(scope="session")
def vgg19_blocks(shared_data: Path) -> Path:
    """ImageNet weights of VGG19, blocks 1 to 3."""
    return shared_data / "weights" / "vgg19_blocks1-3_notop.h5"


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ImageNet's files nor a way to them."""
    from sktransfer.weights import official

    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(tmp_path / "no-weights"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no-keras"))
    monkeypatch.setattr(official, "BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many images every forward pass got."""
    from sktransfer.features.runner import Runner

    calls: list[int] = []
    run = Runner.run

    def count(self: Runner, inputs: np.ndarray, *args: Any) -> None:
        calls.append(len(inputs))
        run(self, inputs, *args)

    monkeypatch.setattr(Runner, "run", count)
    return calls


@pytest.fixture
def no_windows() -> Iterator[None]:
    """Draw without windows, and close what was drawn."""
    plt = pytest.importorskip("matplotlib.pyplot")
    backend = plt.get_backend()
    plt.switch_backend("agg")
    yield
    plt.close("all")
    plt.switch_backend(backend)
