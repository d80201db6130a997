"""What every test may use."""

from __future__ import annotations

import os
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
def vgg19_blocks(shared_data: Path) -> Path:
    """ImageNet weights of VGG19, blocks 1 to 3."""
    return shared_data / "weights" / "vgg19_blocks1-3_notop.h5"


@pytest.fixture
def no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ImageNet's files nor a way to them."""
    from sktransfer import downloads

    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(tmp_path / "no-weights"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no-keras"))
    monkeypatch.setattr(downloads, "BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collect how many images every forward pass got."""
    from sktransfer import computing

    calls: list[int] = []
    run = computing._run_network

    def count(inputs: np.ndarray, *args: Any) -> None:
        calls.append(len(inputs))
        run(inputs, *args)

    monkeypatch.setattr(computing, "_run_network", count)
    return calls
