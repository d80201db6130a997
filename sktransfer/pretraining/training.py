"""Steps of training, with a record of how it goes, and checkpoints from which it goes on."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.finetuning.backends import compile_forward, compile_step
from sktransfer.finetuning.checkpoint import read_archive, write_archive
from sktransfer.finetuning.network import as_arrays, assign
from sktransfer.finetuning.objectives import Classification
from sktransfer.preprocessing import centre
from sktransfer.pretraining.network import HEADS, build_network, build_plain
from sktransfer.pretraining.recipe import MOMENTUM, WHO, Recipe, differences
from sktransfer.pretraining.stream import HELD_OUT, TRAINING, draw_ahead
from sktransfer.weights import Weights

if TYPE_CHECKING:
    import keras

Batches = list[tuple[np.ndarray, np.ndarray]]

# A checkpoint of 170 MiB takes less than a second; this is what a killed run loses, at most.
_SECONDS_BETWEEN_CHECKPOINTS = 120.0
_N_ROWS = 20


@dataclass
class Run:
    """Where a run stands.

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


class Checkpoint:
    """The file from which a run goes on.

    Parameters
    ----------
    path : Path
        The file, in a folder that exists.
    identity : dict
        What tells the run from every other.
    """

    def __init__(self, path: Path, identity: dict[str, Any]) -> None:
        self.path = path
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
            If the file is damaged.
        ValueError
            If it is of another run.
        """
        if not self.path.exists():
            return Run()
        facts, groups = read_archive(self.path, WHO)
        unlike = differences(facts["identity"], self._identity)
        if unlike:
            raise ValueError(
                f"{WHO} found an unfinished run in {str(self.path)!r}, which differs in {unlike}. "
                f"Make the same call as then to go on after its {facts['run']['step']:,} steps, or "
                "remove the file to begin anew."
            )
        assign(variables, groups["variables"])
        return Run(**facts["run"])

    def save(self, run: Run, variables: list[keras.Variable]) -> None:
        """Write down where the run stands.

        Parameters
        ----------
        run : Run
            The run.
        variables : list of keras.Variable
            All that changes.
        """
        facts = {"identity": self._identity, "run": vars(run)}
        write_archive(self.path, facts, {"variables": as_arrays(variables)})

    def remove(self) -> None:
        """Remove the file of a run that has come to its end."""
        self.path.unlink(missing_ok=True)


def train(
    recipe: Recipe,
    held_out: Batches,
    checkpoint: Checkpoint,
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
    checkpoint : Checkpoint
        Where the run goes on from, and is kept.
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
        If the loss is no finite number.
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
                raise ValueError(
                    f"{WHO} needs a loss that is a finite number. Got {loss} in step {run.step:,} "
                    f"of {n_steps:,}, at a learning rate of {rate:g}. Try "
                    f"learning_rate={recipe.learning_rate / 3:.1g}, or precision='float32'"
                    f"{'' if recipe.precision == 'bfloat16' else ', which it is'}; the checkpoint "
                    f"{str(checkpoint.path)!r} is of no more use."
                )
            run.loss += loss
            run.n_right += int((outputs[:, -1].argmax(axis=1) == labels).sum())
            run.n_seen += len(labels)
            run.seconds = before + time.monotonic() - start
            bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
            bar.update(len(labels))
            if run.step * _N_ROWS // n_steps > (run.step - 1) * _N_ROWS // n_steps:
                accuracy = measure_accuracy(lambda inputs: forward(inputs)[:, -1], held_out)
                _add_row(run, rate, stream.batch_size, accuracy)
            is_due = time.monotonic() - saved >= _SECONDS_BETWEEN_CHECKPOINTS
            if is_due or run.step == n_steps:
                checkpoint.save(run, variables)
                saved = time.monotonic()
    return model, run.history


def sum_losses(targets: Any, outputs: Any, weights: Any) -> Any:
    """Add up the losses of all heads, as much as each counts.

    Parameters
    ----------
    targets : tensor of shape (n,)
        Labels.
    outputs : tensor of shape (n, n_heads, n_classes)
        Scores, in the order of `HEADS`.
    weights : tensor of shape (n,)
        Of the images.

    Returns
    -------
    tensor
        The sum.
    """
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
    """Preprocess images as the extractor does.

    Parameters
    ----------
    images : ndarray of shape (n, size, size, 3), uint8
        Red, green and blue.

    Returns
    -------
    ndarray of shape (n, size, size, 3)
        float32 in VGG's order, with its means subtracted.
    """
    return centre(images.astype(np.float32))


def draw_held_out(recipe: Recipe, executor: Executor, n_jobs: int) -> Batches:
    """Draw the images on which accuracy is measured.

    Parameters
    ----------
    recipe : Recipe
        What they are.
    executor : Executor
        What draws them.
    n_jobs : int
        How many it draws at a time.

    Returns
    -------
    list of tuple of ndarray
        Images as bytes, and labels, batch by batch.
    """
    batches = range(recipe.n_held_out)
    return list(draw_ahead(recipe.stream, HELD_OUT, batches, executor, n_jobs))


def measure_accuracy(forward: Any, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
    """Measure how many images get their own class.

    Parameters
    ----------
    forward : callable
        From preprocessed images to scores.
    batches : iterable of tuple of ndarray
        Images and labels.

    Returns
    -------
    float
        From 0 to 1.
    """
    right = [forward(prepare(images)).argmax(axis=1) == labels for images, labels in batches]
    return float(np.concatenate(right).mean())


def measure_plain(
    weights: Weights, head: tuple[np.ndarray, np.ndarray], held_out: Batches
) -> float:
    """Measure the accuracy of the network that is written, under the head it was trained with.

    Parameters
    ----------
    weights : dict of str to tuple of ndarray
        Kernel and bias by layer name.
    head : tuple of ndarray
        Kernel and bias of the head.
    held_out : list of tuple of ndarray
        Images and labels.

    Returns
    -------
    float
        From 0 to 1.
    """
    kernel, bias = head
    forwards: dict[int, Any] = {}

    def forward(inputs: np.ndarray) -> np.ndarray:
        size = inputs.shape[1]
        if size not in forwards:
            forwards[size] = compile_forward(build_plain(weights, size))
        return forwards[size](inputs) @ kernel + bias

    return measure_accuracy(forward, held_out)
