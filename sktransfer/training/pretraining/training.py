"""Steps of training, with a history and checkpoints to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.features.preprocessing import centre
from sktransfer.training.checkpoints import (
    OTHER_ARRAYS,
    OTHER_TYPE,
    CheckpointFile,
    read_state,
    write_state,
)
from sktransfer.training.finetuning.backends import compile_forward, compile_step
from sktransfer.training.finetuning.network import as_arrays, assign
from sktransfer.training.finetuning.objectives import Classification
from sktransfer.training.pretraining.network import HEADS, build_network, build_plain
from sktransfer.training.pretraining.recipe import MOMENTUM, WHO, Recipe, differences
from sktransfer.training.pretraining.stream import HELD_OUT, TRAINING, draw_ahead
from sktransfer.weights import Weights

if TYPE_CHECKING:
    import keras

Batches = list[tuple[np.ndarray, np.ndarray]]

# A checkpoint of 170 MiB takes less than a second; this is what a killed run loses, at most.
_SECONDS_BETWEEN_CHECKPOINTS = 120.0
_N_ROWS = 20


@dataclass
class Run:
    """The state of a run.

    Attributes
    ----------
    step : int
        Steps that are done.
    seconds : float
        What they took, those of earlier processes among them.
    loss : float
        Sum of the losses of the steps since the last row.
    n_right, n_seen : int
        Images that these steps classified rightly beforehand, and all of them.
    history : list of dict
        A row for each twentieth of the run.
    """

    step: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    n_right: int = 0
    n_seen: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)


class PretrainingCheckpoint(CheckpointFile):
    """The file from which a run continues.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    identity : dict
        What tells the run from every other.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        super().__init__(path, WHO)
        self._identity = identity

    def load(self, variables: list[keras.Variable]) -> Run:
        """Bring network and optimizer to where the file left off.

        Parameters
        ----------
        variables : list of keras.Variable
            All that changes; left alone where there is no file.

        Returns
        -------
        Run
            Where the run stands.

        Raises
        ------
        OSError
            If the file is damaged, or no run can have written it.
        ValueError
            If it is of another run.
        """
        if not self.path.exists():
            return Run()
        facts, groups = read_state(self.path, WHO)
        try:
            identity, run = dict(facts["identity"]), Run(**facts["run"])
            shapes = [values.shape for values in groups["variables"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self.refuse(OTHER_TYPE) from error
        unlike = differences(identity, self._identity)
        if unlike:
            raise ValueError(
                f"{WHO} found an unfinished run in {str(self.path)!r}, which differs in {unlike}. "
                f"Repeat the original call to continue after its {run.step} steps, or remove the "
                "file to start again."
            )
        try:
            fault = _find_fault(run, identity["n_images"], identity["batch_size"])
        except (KeyError, TypeError) as error:
            raise self.refuse(OTHER_TYPE) from error
        if shapes != [tuple(variable.shape) for variable in variables] or any(
            values.dtype.kind not in "fiu" for values in groups["variables"]
        ):
            fault = OTHER_ARRAYS
        if fault:
            raise self.refuse(fault)
        assign(variables, groups["variables"])
        return run

    def save(self, run: Run, variables: list[keras.Variable]) -> None:
        """Write down where the run stands."""
        facts = {"identity": self._identity, "run": vars(run)}
        write_state(self.path, facts, {"variables": as_arrays(variables)})


def _find_fault(run: Run, n_images: int, batch_size: int) -> str | None:
    """Say what no run can have written: going on from it gives other weights, or none."""
    n_steps = n_images // batch_size
    if type(run.step) is not int or not 1 <= run.step <= n_steps:
        return f"its step must be an int from 1 to {n_steps:,}. Got {run.step!r}"
    for name in ("seconds", "loss"):
        value = getattr(run, name)
        if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            return f"its {name} must be a number from 0 up. Got {value!r}"
    rows = [row["step"] for row in run.history]
    due = [step for step in range(1, run.step + 1) if _is_row_due(step, n_steps)]
    numbers = [row[name] for row in run.history for name in ("images", "seconds")]
    if rows != due or not all(isinstance(number, int | float) for number in numbers):
        return "its history is not that of the finished steps"
    n_seen = (run.step - (rows[-1] if rows else 0)) * batch_size
    if run.n_seen != n_seen or type(run.n_right) is not int or not 0 <= run.n_right <= n_seen:
        return f"it counts other images than the {n_seen:,} since the last row of its history"
    return None


def _is_row_due(step: int, n_steps: int) -> bool:
    return step * _N_ROWS // n_steps > (step - 1) * _N_ROWS // n_steps


def train(
    recipe: Recipe,
    held_out: Batches,
    checkpoint: PretrainingCheckpoint,
    executor: Executor,
    n_jobs: int,
    verbose: int,
) -> tuple[keras.Model, list[dict[str, Any]]]:
    """Train a network to the end of its recipe.

    Parameters
    ----------
    recipe : Recipe
        All that decides it.
    held_out : list of tuple of ndarray
        Batches on which accuracy is measured now and then.
    checkpoint : PretrainingCheckpoint
        Where the run continues from, and is stored.
    executor : Executor
        What draws images.
    n_jobs : int
        How many it draws at a time.
    verbose : int
        Above 0, a progress bar.

    Returns
    -------
    model : keras.Model
        The network, trained.
    history : list of dict
        A row for each twentieth of the run.

    Raises
    ------
    ValueError
        If the loss is not a finite number.
    """
    from tqdm.auto import tqdm

    stream, n_steps = recipe.stream, recipe.n_steps
    model = build_network(stream.n_classes, recipe.precision, recipe.momentum, stream.seed)
    optimizer = _make_optimizer(recipe)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    run = checkpoint.load(variables)
    step = compile_step(model, [(optimizer, model.trainable_variables)], sum_losses)
    forward = compile_forward(model)
    weights = np.full(stream.batch_size, 1 / stream.batch_size, np.float32)
    saved = start = time.monotonic()
    before = run.seconds
    batches = draw_ahead(stream, TRAINING, range(run.step, n_steps), executor, n_jobs)
    with tqdm(
        total=recipe.n_images,
        initial=run.step * stream.batch_size,
        unit="image",
        desc=WHO,
        disable=not verbose,
    ) as bar:
        for images, labels in batches:
            rate = float(optimizer.learning_rate)
            loss, outputs = step(prepare(images), labels, weights)
            run.step += 1
            if not math.isfinite(loss):
                or_exact = ", or precision='float32'" if recipe.precision == "bfloat16" else ""
                raise ValueError(
                    f"{WHO} needs a loss that is a finite number. Got {loss} in step {run.step:,} "
                    f"of {n_steps:,}, at a learning rate of {rate:g}. Try "
                    f"learning_rate={recipe.learning_rate / 3:.1g}{or_exact}; the checkpoint "
                    f"{str(checkpoint.path)!r} is no longer useful."
                )
            run.loss += loss
            run.n_right += int((outputs[:, -1].argmax(axis=1) == labels).sum())
            run.n_seen += len(labels)
            run.seconds = before + time.monotonic() - start
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(len(labels))
            if _is_row_due(run.step, n_steps):
                accuracy = measure_accuracy(lambda inputs: forward(inputs)[:, -1], held_out)
                _add_row(run, rate, stream.batch_size, accuracy)
            is_due = time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS
            if is_due or run.step == n_steps:
                checkpoint.save(run, variables)
                saved = time.monotonic()
    return model, run.history


def sum_losses(targets: Any, outputs: Any, weights: Any) -> Any:
    """Add up the losses of all heads, as much as each counts."""
    loss = Classification().loss
    return sum(
        share * loss(targets, outputs[:, head], weights)
        for head, share in enumerate(HEADS.values())
    )


def _make_optimizer(recipe: Recipe) -> keras.Optimizer:
    import keras

    schedule = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, recipe.n_steps - recipe.n_warm_up),
        warmup_target=recipe.learning_rate,
        warmup_steps=recipe.n_warm_up,
    )
    optimizer = keras.optimizers.SGD(
        schedule, MOMENTUM, nesterov=True, weight_decay=recipe.weight_decay
    )
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def _add_row(run: Run, rate: float, batch_size: int, accuracy: float) -> None:
    n_before = run.history[-1]["images"] if run.history else 0
    seconds = run.seconds - (run.history[-1]["seconds"] if run.history else 0.0)
    images = run.step * batch_size
    run.history.append(
        {
            "step": run.step,
            "images": images,
            "loss": run.loss * batch_size / run.n_seen,
            "accuracy": run.n_right / run.n_seen,
            "held_out_accuracy": accuracy,
            "learning_rate": rate,
            "seconds": run.seconds,
            "images_per_second": (images - n_before) / max(seconds, 1e-9),
        }
    )
    run.loss, run.n_right, run.n_seen = 0.0, 0, 0


def prepare(images: np.ndarray) -> np.ndarray:
    """Preprocess images as the extractor does."""
    return centre(images.astype(np.float32))


def draw_held_out(recipe: Recipe, executor: Executor, n_jobs: int) -> Batches:
    """Draw the images on which accuracy is measured."""
    batches = range(recipe.n_held_out)
    return list(draw_ahead(recipe.stream, HELD_OUT, batches, executor, n_jobs))


def measure_accuracy(forward: Any, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Measure how many images get their own class."""
    right = [forward(prepare(images)).argmax(axis=1) == labels for images, labels in batches]
    return float(np.concatenate(right).mean())


def measure_plain(
    weights: Weights, head: tuple[np.ndarray, np.ndarray], held_out: Batches
) -> float:
    """Measure the accuracy of the network that is written, under the head it was trained with."""
    kernel, bias = head
    forwards: dict[int, Any] = {}

    def forward(inputs: np.ndarray) -> np.ndarray:
        size = inputs.shape[1]
        if size not in forwards:
            forwards[size] = compile_forward(build_plain(weights, size))
        return forwards[size](inputs) @ kernel + bias

    return measure_accuracy(forward, held_out)
