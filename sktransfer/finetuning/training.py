"""Epochs: batches in a seeded order, scores, early stopping, and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.finetuning.backends import Group, compile_forward, compile_step
from sktransfer.finetuning.checkpoint import Checkpoint, TrainingState
from sktransfer.finetuning.network import as_arrays, assign
from sktransfer.finetuning.objectives import Objective
from sktransfer.finetuning.rows import Rows

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Examples:
    """What is trained or validated on.

    Attributes
    ----------
    rows : Rows
        Where inputs come from.
    positions : ndarray of int
        Which of them.
    targets : ndarray
        Target of each position.
    weights : ndarray
        Weight of each position.
    """

    rows: Rows
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.positions)

    def take(self, chosen: np.ndarray) -> Examples:
        """Return some of them."""
        return replace(
            self,
            positions=self.positions[chosen],
            targets=self.targets[chosen],
            weights=self.weights[chosen],
        )

    def scaled(self) -> Examples:
        """Return them with weights of a mean of one, so that no step depends on their scale."""
        return replace(self, weights=self.weights * (len(self) / self.weights.sum()))


@dataclass
class Phase:
    """Some epochs with one choice of what is trained.

    Attributes
    ----------
    number : int
        Its place in the run.
    name : {'head', 'blocks'}
        What is trained: the head, or unfrozen layers with it.
    model : keras.Model
        The network from the rows to the output.
    groups : list of tuple
        Optimizers with their variables, the head's first.
    training, validation : Examples
        What is trained on, and what is only scored; the latter may be None.
    epochs : int
        How many.
    """

    number: int
    name: str
    model: keras.Model
    groups: list[Group]
    training: Examples
    validation: Examples | None
    epochs: int

    def variables(self) -> list[keras.Variable]:
        """List what is trained."""
        return [variable for _, variables in self.groups for variable in variables]

    def rates(self) -> list[float]:
        """Return the present learning rate of each optimizer."""
        return [float(optimizer.learning_rate) for optimizer, _ in self.groups]


@dataclass
class Trainer:
    """How a run is trained, whatever the phase.

    Attributes
    ----------
    objective : Objective
        What is made small.
    batch_size : int
        Rows per step, at most.
    seed : int
        Seed of the order of rows.
    patience : int or None
        Epochs without gain after which a phase ends; None for all epochs.
    who : str
        The class named in errors.
    checkpoint : Checkpoint or None
        Where the state is kept.
    progress : callable
        Told of every epoch that is done.
    history : list of dict
        A row for each epoch.
    """

    objective: Objective
    batch_size: int
    seed: int
    patience: int | None
    who: str
    checkpoint: Checkpoint | None
    progress: Callable[[dict[str, Any]], None]
    history: list[dict[str, Any]] = field(default_factory=list)

    def run(self, phase: Phase, resumed: TrainingState | None = None) -> int:
        """Train for the epochs of a phase.

        Parameters
        ----------
        phase : Phase
            The phase, whose network changes.
        resumed : TrainingState or None, default=None
            Where an earlier run was in this phase.

        Returns
        -------
        int
            Epochs of this phase, those of the earlier run among them.

        Raises
        ------
        ValueError
            If the loss is no finite number.
        """
        variables = phase.variables()
        state = resumed or TrainingState(phase.number, 0, [], [], [], math.inf, 0, [])
        if resumed:
            assign(variables, resumed.arrays)
            for (optimizer, _), arrays in zip(phase.groups, resumed.optimizers, strict=True):
                assign(optimizer.variables, arrays)
        step = compile_step(phase.model, phase.groups, self.objective.loss)
        forward = compile_forward(phase.model)
        while state.epoch < phase.epochs and not self._is_over(state):
            start = time.perf_counter()
            rates = phase.rates()
            loss, score = self._train(phase, step, rates)
            row: dict[str, Any] = {
                "phase": phase.name,
                "epoch": len(self.history) + 1,
                "loss": loss,
                "score": score,
                "validation_loss": None,
                "validation_score": None,
                "learning_rate": rates[0],
                "trunk_learning_rate": rates[1] if len(rates) > 1 else None,
            }
            if phase.validation is not None:
                found = self._validate(phase.validation, forward)
                row["validation_loss"], row["validation_score"] = found
            row["seconds"] = time.perf_counter() - start
            self.history.append(row)
            state.epoch += 1
            self._remember_best(state, row["validation_loss"], variables)
            if self.checkpoint is not None:
                state.arrays = as_arrays(variables)
                state.optimizers = [as_arrays(each.variables) for each, _ in phase.groups]
                state.history = self.history
                self.checkpoint.save(state)
            self.progress(row)
        # Early stopping keeps the epoch that was best on the validation rows.
        if state.best:
            assign(variables, state.best)
        return state.epoch

    def _train(
        self, phase: Phase, step: Callable[..., Any], rates: list[float]
    ) -> tuple[float, float]:
        """Train for one epoch, and score the outputs that each batch had before its step."""
        examples, epoch = phase.training, len(self.history) + 1
        n_batches = math.ceil(len(examples) / self.batch_size)
        order = np.random.default_rng([self.seed, epoch]).permutation(len(examples))
        all_outputs = []
        # Batches differ by one row at most: a last one of a few rows would weigh as much as a
        # full one.
        batches = np.array_split(order, n_batches)
        for batch in batches:
            inputs = examples.rows.take(examples.positions[batch], epoch)
            targets = examples.targets[batch].astype(self.objective.dtype)
            weights = (examples.weights[batch] / len(batch)).astype(np.float32)
            filled = (_fill(each, len(batches[0])) for each in (inputs, targets, weights))
            loss, outputs = step(*filled)
            if not math.isfinite(loss):
                self._raise_not_finite(phase, epoch, rates)
            all_outputs.append(outputs[: len(batch)])
        outputs = np.concatenate(all_outputs)
        if not np.isfinite(outputs).all():
            self._raise_not_finite(phase, epoch, rates)
        return self.objective.measure(examples.targets[order], outputs, examples.weights[order])

    def _validate(
        self, examples: Examples, forward: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[float, float]:
        outputs = np.concatenate(list(compute_outputs(forward, examples, self.batch_size)))
        return self.objective.measure(examples.targets, outputs, examples.weights)

    def _is_over(self, state: TrainingState) -> bool:
        return self.patience is not None and state.n_without_gain >= self.patience

    def _remember_best(
        self, state: TrainingState, loss: float | None, variables: Sequence[keras.Variable]
    ) -> None:
        if self.patience is None or loss is None:
            return
        if loss < state.best_loss:
            state.best_loss, state.n_without_gain = loss, 0
            state.best = as_arrays(variables)
        else:
            state.n_without_gain += 1

    def _raise_not_finite(self, phase: Phase, epoch: int, rates: list[float]) -> None:
        trunk = f" and {rates[1]:g} in the trunk" if len(rates) > 1 else ""
        raise ValueError(
            f"{self.who} needs a loss that is a finite number. Got NaN or infinity in epoch "
            f"{epoch} (phase {phase.name!r}) at a learning rate of {rates[0]:g}{trunk}: try a "
            "tenth of it, or clip gradients, as in optimizer={'class_name': 'Adam', 'config': "
            f"{{'learning_rate': {rates[0] / 10:g}, 'global_clipnorm': 1.0}}}}."
        )


def compute_outputs(
    forward: Callable[[np.ndarray], np.ndarray], examples: Examples, batch_size: int
) -> Iterator[np.ndarray]:
    """Compute what a network gives for rows, in batches of one shape.

    Parameters
    ----------
    forward : callable
        From inputs to outputs.
    examples : Examples
        The rows.
    batch_size : int
        Rows per batch, at most.

    Yields
    ------
    ndarray of shape (n_some, n_outputs)
        The outputs of some of them, in their order.
    """
    size = min(batch_size, len(examples))
    for start in range(0, len(examples), size):
        some = examples.positions[start : start + size]
        yield forward(_fill(examples.rows.take(some), size))[: len(some)]


def _fill(values: np.ndarray, n: int) -> np.ndarray:
    """Fill a batch up with zeros: rows that weigh nothing."""
    if len(values) == n:
        return values
    missing = np.zeros((n - len(values), *values.shape[1:]), values.dtype)
    return np.concatenate([values, missing])
