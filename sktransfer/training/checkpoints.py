"""The state of training on disk, from which a killed run continues."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.files.archives import NpzReader
from sktransfer.files.parts import whole

#: Faults of files that no run can have written.
OTHER_TYPE = "it lacks a part, or holds one of another type"
OTHER_ARRAYS = "its arrays are those of another network or optimizer"


class CheckpointFile:
    """One run's file, there from its first checkpoint to its end."""

    def __init__(self, path: Path, who: str) -> None:
        self.path = path
        self.who = who

    def refuse(self, fault: str) -> OSError:
        """Return the error for what no such run can have written."""
        return OSError(
            f"{self.who} cannot resume from the checkpoint {str(self.path)!r}: {fault}. Delete it "
            "to start again."
        )

    def remove(self) -> None:
        """Remove the file of a run that has come to its end."""
        self.path.unlink(missing_ok=True)


def write_state(
    path: Path, facts: Mapping[str, Any], groups: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Replace a file at once: a process killed here leaves the former one."""
    counts = {name: len(arrays) for name, arrays in groups.items()}
    text = json.dumps({"facts": facts, "counts": counts})
    named = {f"{name}_{i}": each for name, all_ in groups.items() for i, each in enumerate(all_)}
    with whole(path) as part, open(part, "xb", opener=_open_private) as file:
        np.savez(file, state=np.array(text), **named)  # type: ignore[arg-type]
        file.flush()
        os.fsync(file.fileno())


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def read_state(path: Path, who: str) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Read what :func:`write_state` wrote."""
    lead, cure = f"{who} cannot read the checkpoint {str(path)!r}", "Delete it to start again."
    with NpzReader(path, lead, cure) as archive:
        try:
            state = json.loads(str(archive.read("state")))
            facts, counts = dict(state["facts"]), dict(state["counts"])
            n_arrays = sum(counts.values())
            if any(type(n) is not int or n < 0 for n in counts.values()):
                raise ValueError("a number of arrays is not a whole number")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise OSError(f"{lead}: its state is not one that was saved. {cure}") from error
        if n_arrays != len(archive.names) - 1:
            raise OSError(
                f"{lead}: it should hold {n_arrays:,} arrays and has {len(archive.names) - 1:,}. "
                f"{cure}"
            )
        return facts, {
            name: [archive.read(f"{name}_{i}") for i in range(count)]
            for name, count in counts.items()
        }
