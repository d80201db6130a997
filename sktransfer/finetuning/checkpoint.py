"""The state of training on disk after every epoch, so that a killed run goes on."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np


def write_archive(
    path: Path, facts: Mapping[str, Any], groups: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Replace a file at once: a process killed here leaves the former one.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    facts : mapping of str to object
        What JSON can hold.
    groups : mapping of str to sequence of ndarray
        Lists of arrays by name.
    """
    counts = {name: len(arrays) for name, arrays in groups.items()}
    text = json.dumps({"facts": facts, "counts": counts})
    named = {f"{name}_{i}": each for name, all_ in groups.items() for i, each in enumerate(all_)}
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
        try:
            np.savez(file, state=np.array(text), **named)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def read_archive(path: Path, who: str) -> tuple[dict[str, Any], dict[str, list[np.ndarray]]]:
    """Read what :func:`write_archive` wrote.

    Parameters
    ----------
    path : Path
        The file.
    who : str
        Who reads it, named in errors.

    Returns
    -------
    facts : dict
        What JSON can hold.
    groups : dict of str to list of ndarray
        The arrays.

    Raises
    ------
    OSError
        If it is damaged.
    """
    try:
        # Opened here, since NumPy leaves a file open that it cannot read.
        with path.open("rb") as file, np.load(file) as archive:
            state = json.loads(str(archive["state"]))
            groups = {
                name: [archive[f"{name}_{i}"] for i in range(count)]
                for name, count in state["counts"].items()
            }
            return state["facts"], groups
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise OSError(
            f"{who} cannot read the checkpoint {str(path)!r}: {error}. Delete it to begin anew."
        ) from error


@dataclass
class TrainingState:
    """All that decides how training goes on from the end of an epoch.

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


class Checkpoint:
    """One run's file in a folder, there from its first epoch to its end.

    Parameters
    ----------
    folder : path-like
        The folder, made with the first file. Runs share it: each has a file of its own.
    run : str
        What tells this run from every other: data, parameters and initial weights.
    who : str
        The class named in errors.
    """

    def __init__(self, folder: str | os.PathLike, run: str, who: str) -> None:
        self._folder = Path(folder).expanduser()
        self._path = self._folder / f"{run}.npz"
        self._who = who

    def load(self) -> TrainingState | None:
        """Load what an earlier run of the same kind left.

        Returns
        -------
        TrainingState or None
            The state; None where there is none.

        Raises
        ------
        OSError
            If the file is damaged.
        """
        if not self._path.exists():
            return None
        state, groups = read_archive(self._path, self._who)
        return TrainingState(
            phase=state["phase"],
            epoch=state["epoch"],
            arrays=groups["arrays"],
            optimizers=[groups[f"optimizer{i}"] for i in range(len(groups) - 2)],
            best=groups["best"],
            best_loss=state["best_loss"],
            n_without_gain=state["n_without_gain"],
            history=state["history"],
        )

    def save(self, state: TrainingState) -> None:
        """Replace the file at once: a process killed here leaves the former one.

        Parameters
        ----------
        state : TrainingState
            The state at the end of an epoch.
        """
        groups = {"arrays": state.arrays, "best": state.best}
        groups |= {f"optimizer{i}": arrays for i, arrays in enumerate(state.optimizers)}
        self._folder.mkdir(parents=True, exist_ok=True)
        facts = {
            "phase": state.phase,
            "epoch": state.epoch,
            "best_loss": state.best_loss,
            "n_without_gain": state.n_without_gain,
            "history": state.history,
        }
        write_archive(self._path, facts, groups)

    def remove(self) -> None:
        """Remove the file of a run that has come to its end."""
        self._path.unlink(missing_ok=True)


def check_folder(folder: str | os.PathLike, who: str) -> None:
    """Check that this can be a folder of checkpoints.

    Parameters
    ----------
    folder : path-like
        The folder, which need not exist.
    who : str
        The class named in errors.

    Raises
    ------
    OSError
        If it is a file.
    """
    path = Path(folder).expanduser()
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(
            f"The 'checkpoint' parameter of {who} must be the path of a folder, which need not "
            f"exist. Got {os.fspath(folder)!r}, which is a file."
        )
