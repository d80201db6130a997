"""Epochs: batches in a seeded order, scores, early stopping, and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.training.finetuning.backends import Group, compile_forward, compile_step
from sktransfer.training.finetuning.checkpoint import TrainingState, TuningCheckpoint
from sktransfer.training.finetuning.examples import Data, Examples
from sktransfer.training.finetuning.network import as_arrays, assign
from sktransfer.training.finetuning.objectives import Objective
from sktransfer.training.finetuning.plan import Phase, Plan

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ReadyPhase:
    """A phase with its network and rows.

    Attributes
    ----------
    number : int
        Its place in the plan.
    phase : Phase
        What was planned.
    model : keras.Model
        The network from the rows to the output, which changes.
    groups : list of tuple
        Optimizers with their variables, the head's first.
    data : Data
        What is trained on, and what is only scored.
    """

    number: int
    phase: Phase
    model: keras.Model
    groups: list[Group]
    data: Data

    def variables(self) -> list[keras.Variable]:
        """List what is trained."""
        return [variable for _, variables in self.groups for variable in variables]

    def optimizer_arrays(self) -> list[list[np.ndarray]]:
        """Copy the variables of each optimizer."""
        return [as_arrays(optimizer.variables) for optimizer, _ in self.groups]

    def rates(self) -> list[float]:
        """Return the present learning rate of each optimizer."""
        return [float(optimizer.learning_rate) for optimizer, _ in self.groups]


@dataclass
class Trainer:
    """The runner of the epochs of a phase.

    Attributes
    ----------
    plan : Plan
        What is planned.
    objective : Objective
        What is made small.
    who : str
        The class named in errors.
    checkpoint : TuningCheckpoint or None
        Where the state is kept.
    progress : callable
        Told of every epoch that is done.
    history : list of dict
        A row for each epoch.
    """

    plan: Plan
    objective: Objective
    who: str
    checkpoint: TuningCheckpoint | None
    progress: Callable[[dict[str, Any]], None]
    history: list[dict[str, Any]]

    def load_checkpoint(self) -> TrainingState | None:
        """Load where an earlier run of the plan was, and its history."""
        if self.checkpoint is None:
            return None
        lengths = [(phase.name, phase.epochs) for phase in self.plan.phases]
        state = self.checkpoint.load(lengths, len(self.history))
        if state is not None:
            self.history[:] = state.history
        return state

    def run(self, ready: ReadyPhase, resumed: TrainingState | None = None) -> None:
        """Train for the epochs of a phase, from where an earlier run was in it."""
        variables = ready.variables()
        state = resumed or TrainingState(ready.number, 0, [], [], [], math.inf, 0, [])
        if resumed:
            assert self.checkpoint is not None
            self.checkpoint.check_arrays(resumed, as_arrays(variables), ready.optimizer_arrays())
            assign(variables, resumed.arrays)
            for (optimizer, _), arrays in zip(ready.groups, resumed.optimizers, strict=True):
                assign(optimizer.variables, arrays)
        # As Keras' guide on transfer learning: the network computes as in inference.
        step = compile_step(ready.model, ready.groups, self.objective.loss, is_inference=True)
        forward = compile_forward(ready.model)
        if self.plan.patience is not None and state.epoch == 0:
            # The start counts, so that stopping early never ends at a higher loss than it had.
            assert ready.data.validation is not None
            state.best_loss, _ = self.score(ready.data.validation, forward)
            state.best = as_arrays(variables)
        while state.epoch < ready.phase.epochs and not self._is_over(state):
            start = time.perf_counter()
            rates = ready.rates()
            scores = self._train(ready, step, rates)
            row = self.record(
                ready.phase.name, scores, ready.data.validation, forward, start, rates
            )
            state.epoch += 1
            self._remember_best(state, row["validation_loss"], variables)
            if self.checkpoint is not None:
                state.arrays = as_arrays(variables)
                state.optimizers = ready.optimizer_arrays()
                state.history = self.history
                self.checkpoint.save(state)
        # Early stopping keeps the epoch that was best on the validation rows.
        if state.best:
            assign(variables, state.best)

    def record(
        self,
        phase: str,
        scores: tuple[float, float],
        validation: Examples | None,
        forward: Callable[[np.ndarray], np.ndarray],
        start: float,
        rates: Sequence[float] = (),
    ) -> dict[str, Any]:
        """Add a row to the history, with scores of the validation rows."""
        found = (None, None) if validation is None else self.score(validation, forward)
        row = {
            "phase": phase,
            "epoch": len(self.history) + 1,
            "loss": scores[0],
            "score": scores[1],
            "validation_loss": found[0],
            "validation_score": found[1],
            "learning_rate": rates[0] if rates else None,
            "trunk_learning_rate": rates[1] if len(rates) > 1 else None,
            "seconds": time.perf_counter() - start,
        }
        self.add(row)
        return row

    def add(self, row: dict[str, Any]) -> None:
        """Add a row to the history."""
        self.history.append(row)
        self.progress(row)

    def _train(
        self, ready: ReadyPhase, step: Callable[..., Any], rates: list[float]
    ) -> tuple[float, float]:
        """Train for one epoch, and score the outputs that each batch had before its step."""
        examples, epoch = ready.data.training, len(self.history) + 1
        n_batches = math.ceil(len(examples) / self.plan.batch_size)
        order = np.random.default_rng([self.plan.order_seed, epoch]).permutation(len(examples))
        all_outputs = []
        # Batches differ by one row at most: a last one of a few rows would weigh as much as a
        # full one.
        batches = np.array_split(order, n_batches)
        for batch, inputs in examples.load(batches, epoch):
            targets = examples.targets[batch].astype(self.objective.dtype)
            weights = (examples.weights[batch] / len(batch)).astype(np.float32)
            filled = (_pad_batch(each, len(batches[0])) for each in (inputs, targets, weights))
            loss, outputs = step(*filled)
            if not math.isfinite(loss):
                raise self._not_finite(ready.phase.name, epoch, rates)
            all_outputs.append(outputs[: len(batch)])
        outputs = np.concatenate(all_outputs)
        if not np.isfinite(outputs).all():
            raise self._not_finite(ready.phase.name, epoch, rates)
        return self.objective.measure(examples.targets[order], outputs, examples.weights[order])

    def score(
        self, examples: Examples, forward: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[float, float]:
        """Return loss and score of what a network gives for rows."""
        outputs = np.concatenate(list(compute_outputs(forward, examples, self.plan.batch_size)))
        return self.objective.measure(examples.targets, outputs, examples.weights)

    def _is_over(self, state: TrainingState) -> bool:
        return self.plan.patience is not None and state.n_without_gain >= self.plan.patience

    def _remember_best(
        self, state: TrainingState, loss: float | None, variables: Sequence[keras.Variable]
    ) -> None:
        if self.plan.patience is None or loss is None:
            return
        if loss < state.best_loss:
            state.best_loss, state.n_without_gain = loss, 0
            state.best = as_arrays(variables)
        else:
            state.n_without_gain += 1

    def _not_finite(self, phase: str, epoch: int, rates: list[float]) -> ValueError:
        trunk = f" and {rates[1]:g} in the trunk" if len(rates) > 1 else ""
        return ValueError(
            f"{self.who} needs a loss that is a finite number. Got NaN or infinity in epoch "
            f"{epoch} (phase {phase!r}) at a learning rate of {rates[0]:g}{trunk}: try a "
            "tenth of it, or clip gradients, as in optimizer={'class_name': 'Adam', 'config': "
            f"{{'learning_rate': {rates[0] / 10:g}, 'global_clipnorm': 1.0}}}}."
        )


def compute_outputs(
    forward: Callable[[np.ndarray], np.ndarray], examples: Examples, batch_size: int
) -> Iterator[np.ndarray]:
    """Compute what a network gives for rows, in batches of one shape."""
    size = min(batch_size, len(examples))
    for inputs, _ in examples.in_batches(size):
        yield forward(_pad_batch(inputs, size))[: len(inputs)]


def _pad_batch(values: np.ndarray, n: int) -> np.ndarray:
    """Fill a batch up with zeros: rows that weigh nothing."""
    if len(values) == n:
        return values
    missing = np.zeros((n - len(values), *values.shape[1:]), values.dtype)
    return np.concatenate([values, missing])
