"""The state of fine-tuning on disk after every epoch."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.files.paths import expand
from sktransfer.training.checkpoints import (
    OTHER_ARRAYS,
    OTHER_TYPE,
    CheckpointFile,
    read_state,
    write_state,
)

Arrays = Sequence[np.ndarray]


@dataclass
class TrainingState:
    """All that decides how training continues from the end of an epoch.

    Attributes
    ----------
    phase : int
        Number of the phase.
    epoch : int
        Epochs of this phase that are done.
    arrays : list of ndarray
        What the network has learned.
    optimizers : list of list of ndarray
        The variables of each optimizer.
    best : list of ndarray
        The arrays at the best epoch so far, where training stops early; else empty.
    best_loss : float
        Its loss on the validation rows.
    n_without_gain : int
        Epochs since.
    history : list of dict
        A row for each epoch of all phases.
    """

    phase: int
    epoch: int
    arrays: list[np.ndarray]
    optimizers: list[list[np.ndarray]]
    best: list[np.ndarray]
    best_loss: float
    n_without_gain: int
    history: list[dict[str, Any]]


class TuningCheckpoint(CheckpointFile):
    """One run's file in a folder, there from its first epoch to its end.

    Parameters
    ----------
    folder : path-like
        The folder, made with the first file. Runs share it: each has its own file.
    run : str
        What tells this run from every other: data, parameters and initial weights.
    who : str
        The class named in errors.
    """

    def __init__(self, folder: str | os.PathLike, run: str, who: str) -> None:
        super().__init__(Path(folder).expanduser() / f"{run}.npz", who)

    def load(self, phases: Sequence[tuple[str, int]], n_before: int) -> TrainingState | None:
        """Load what an earlier run with these phases (names and epochs) left; None for nothing."""
        try:
            facts, groups = read_state(self.path, self.who)
        except OSError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None  # or another run with the same end has just removed it
            raise
        try:
            state = TrainingState(
                phase=facts["phase"],
                epoch=facts["epoch"],
                arrays=groups["arrays"],
                optimizers=[groups[f"optimizer{i}"] for i in range(len(groups) - 2)],
                best=groups["best"],
                best_loss=facts["best_loss"],
                n_without_gain=facts["n_without_gain"],
                history=facts["history"],
            )
            fault = _find_fault(state, phases, n_before)
        except (KeyError, TypeError, AttributeError) as error:
            raise self.refuse(OTHER_TYPE) from error
        if fault:
            raise self.refuse(fault)
        return state

    def check_arrays(
        self, state: TrainingState, model: Arrays, optimizers: Sequence[Arrays]
    ) -> None:
        """Check that arrays fit into the network, or say that the file is damaged."""
        is_best_kept = math.isfinite(state.best_loss)
        pairs = [(state.arrays, model), (state.best, model if is_best_kept else [])]
        pairs += zip(state.optimizers, optimizers, strict=False)
        if len(state.optimizers) != len(optimizers) or any(
            [(each.shape, each.dtype) for each in found]
            != [(each.shape, each.dtype) for each in wanted]
            for found, wanted in pairs
        ):
            raise self.refuse(OTHER_ARRAYS)

    def save(self, state: TrainingState) -> None:
        """Replace the file at once: a process killed here leaves the former one."""
        groups = {"arrays": state.arrays, "best": state.best}
        groups |= {f"optimizer{i}": arrays for i, arrays in enumerate(state.optimizers)}
        facts = {
            "phase": state.phase,
            "epoch": state.epoch,
            "best_loss": state.best_loss,
            "n_without_gain": state.n_without_gain,
            "history": state.history,
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_state(self.path, facts, groups)
        except OSError as error:
            raise OSError(
                f"{self.who} cannot write its checkpoint {str(self.path)!r}: {error}. The "
                "checkpoint of the epoch before is still there: free disk space, or set checkpoint "
                "to another folder or None, and fit again."
            ) from error


def _find_fault(
    state: TrainingState, phases: Sequence[tuple[str, int]], n_before: int
) -> str | None:
    """Say what no run of these phases can have written: going on from it gives another model."""
    if not _is_count(state.phase, 0, len(phases) - 1):
        return f"its phase must be an int from 0 to {len(phases) - 1}, and is {state.phase!r}"
    name, n_epochs = phases[state.phase]
    if not _is_count(state.epoch, 1, n_epochs):
        return (
            f"its epoch of phase {name!r} must be an int from 1 to {n_epochs}, and is "
            f"{state.epoch!r}"
        )
    if not _is_count(state.n_without_gain, 0, state.epoch):
        return (
            f"its epochs without gain must be an int from 0 to {state.epoch}, and are "
            f"{state.n_without_gain!r}"
        )
    if type(state.best_loss) is not float or math.isnan(state.best_loss):
        return f"its best loss must be a number, and is {state.best_loss!r}"
    rows = [(row["epoch"], row["phase"]) for row in state.history]
    done = [phase for _, phase in rows[n_before:]]
    earlier = [each for each, _ in phases[: state.phase] for _ in range(done.count(each))]
    if (
        [epoch for epoch, _ in rows] != list(range(1, len(rows) + 1))
        or done != earlier + [name] * state.epoch
        or any(not 1 <= done.count(each) <= limit for each, limit in phases[: state.phase])
    ):
        return "its history is not that of the finished epochs"
    return None


def _is_count(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def check_folder(folder: str | os.PathLike, who: str) -> None:
    """Check that this can be a folder of checkpoints."""
    path = expand(
        folder, f"The 'checkpoint' parameter of {who} must be the path of a folder to make."
    )
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(
            f"The 'checkpoint' parameter of {who} must be the path of a folder, which need not "
            f"exist. Got {os.fspath(folder)!r}, which is a file."
        )
