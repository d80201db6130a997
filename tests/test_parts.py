"""Files that are written beside their place, and what killed processes leave of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sktransfer.files.parts import name_part, remove_left, whole
from sktransfer.training.checkpoints import write_state
from sktransfer.training.pretraining.storage import write_weights

_KILLED = """
import os, signal, sys
from pathlib import Path
from sktransfer.files.parts import whole
with whole(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def _leave(path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KILLED, str(path)], check=False)


@pytest.mark.skipif(os.name == "nt", reason="this system has no SIGKILL")
@pytest.mark.parametrize("write", ["state", "weights"])
def test_what_a_killed_process_left_is_removed_by_the_next(write: str, tmp_path: Path) -> None:
    path = tmp_path / "a[1].h5"
    _leave(path)
    _leave(tmp_path / "another.h5")
    assert len(list(tmp_path.iterdir())) == 2
    if write == "state":
        write_state(path, {}, {})
    else:
        write_weights(path, {"fc1": (np.ones((1, 1), np.float32), np.ones(1, np.float32))}, {})
    assert [each.name.endswith(".another.h5") for each in sorted(tmp_path.iterdir())] == [
        True,
        False,
    ]


def test_what_a_living_process_or_somebody_else_writes_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    names = [
        name_part(path).name,
        ".part-another_host-999999999-01234567.a.h5",
        name_part(path).name.replace(f"-{os.getpid()}-", "-none-"),
        ".a.h5.part",
    ]
    for name in names:
        (tmp_path / name).touch()
    remove_left(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(names)


def test_a_fault_leaves_the_former_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"former")
    with pytest.raises(KeyboardInterrupt), whole(path) as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert [each.read_bytes() for each in tmp_path.iterdir()] == [b"former"]
