"""TensorFlow starts without its messages, unless somebody asked for them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from sktransfer.networks.quiet import LEVEL, held_back

EXTRACT = """
import os
import numpy as np
from sktransfer import VGGFeatureExtractor
extractor = VGGFeatureExtractor(
    "block1_conv1", weights="synthetic", pooling="avg", input_size=32, engine="keras"
)
print(extractor.fit_transform(np.zeros((2, 32, 32), np.uint8)).shape)
print(os.environ.get("TF_CPP_MIN_LOG_LEVEL"))
"""


def _run(**variables: str) -> subprocess.CompletedProcess:
    env = {key: value for key, value in os.environ.items() if key != LEVEL} | variables
    return subprocess.run(
        [sys.executable, "-c", EXTRACT], env=env, capture_output=True, text=True, check=True
    )


def test_the_first_images_print_nothing_and_leave_no_variable() -> None:
    done = _run()
    assert done.stderr == ""
    assert done.stdout.split("\n")[1] == "None"


def test_a_level_of_the_users_own_is_kept() -> None:
    done = _run(TF_CPP_MIN_LOG_LEVEL="0")
    assert done.stdout.split("\n")[1] == "0"
    assert "InitializeLog" in done.stderr or not done.stderr.isspace()
    assert done.stderr


@pytest.fixture
def no_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(LEVEL, raising=False)


@pytest.mark.usefixtures("no_level")
def test_what_others_write_comes_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    note = b"I0000 00:00:1795748409.610363   31081 port.cc:153] custom operations are on.\n"
    with held_back():
        os.write(2, b"of another thread\n" + note)
        assert capfd.readouterr().err == ""
    assert capfd.readouterr().err == "of another thread\n"
    assert LEVEL not in os.environ


@pytest.mark.usefixtures("no_level")
def test_a_start_that_fails_shows_everything(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ImportError), held_back():
        os.write(2, b"I0000 00:00 note\n")
        raise ImportError
    assert capfd.readouterr().err == "I0000 00:00 note\n"
