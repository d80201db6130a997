"""One call of fit, from the rows above the frozen layers to tuned weights and a head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sktransfer.finetuning.backends import compile_forward
from sktransfer.finetuning.head import Head, draw_head, measure_features
from sktransfer.finetuning.network import (
    as_arrays,
    assign,
    build_head,
    build_network,
    choose_trained,
    get_head,
    get_trunk,
    set_arrays,
)
from sktransfer.finetuning.rows import SpooledRows
from sktransfer.finetuning.training import Examples, Phase, Trainer, compute_outputs
from sktransfer.networks import Cut, Layer
from sktransfer.weights import Weights


@dataclass(frozen=True)
class Plan:
    """What one call of fit is to train, decided before anything is computed.

    Attributes
    ----------
    cut : Cut
        The network, up to the features.
    first : Layer or None
        The first layer that is trained; None where the whole trunk is frozen.
    below : Layer or None
        The layer whose output is computed once and kept; None where training starts from images.
    optimizer : dict
        A Keras optimizer, serialized.
    trunk_learning_rate : float, dict or None
        Its learning rate in the trunk; None for that of the head.
    augmentation : list of dict
        Keras preprocessing layers, serialized.
    hidden : tuple of int
        Widths of the head's hidden layers.
    n_outputs : int
        Width of the output.
    head_epochs, epochs : int
        Epochs of the head alone, and of all that is trained.
    head_seed : int
        Seed of the head's weights.
    """

    cut: Cut
    first: Layer | None
    below: Layer | None
    optimizer: dict[str, Any]
    trunk_learning_rate: float | dict[str, Any] | None
    augmentation: list[dict[str, Any]]
    hidden: tuple[int, ...]
    n_outputs: int
    head_epochs: int
    epochs: int
    head_seed: int

    @property
    def trained(self) -> list[str]:
        """Names of the layers of the trunk that are trained."""
        if self.first is None:
            return []
        layers = self.cut.weighted_layers
        return [layer.name for layer in layers[layers.index(self.first) :]]

    @property
    def is_on_features(self) -> bool:
        """Whether the rows are the features themselves, on which only the head stands."""
        return self.below == self.cut.trunk[-1]


def fit_network(
    plan: Plan,
    trainer: Trainer,
    trunk: Weights,
    head: Head | None,
    training: Examples,
    validation: Examples | None,
    optimizers: list[list[np.ndarray]] | None = None,
) -> tuple[Weights, Head, list[list[np.ndarray]]]:
    """Train the head, and then unfrozen layers with it.

    Parameters
    ----------
    plan : Plan
        What is to be trained.
    trainer : Trainer
        How.
    trunk : dict of str to tuple of ndarray
        Kernel and bias of all layers.
    head : Head or None
        The head to go on with; None for a new one.
    training, validation : Examples
        What to train on, and to score only; the latter may be None.
    optimizers : list of list of ndarray or None, default=None
        The state of the optimizers to go on with.

    Returns
    -------
    trunk : dict of str to tuple of ndarray
        Kernel and bias of all layers, some of them tuned.
    head : Head
        The head.
    optimizers : list of list of ndarray
        The state of the optimizers.
    """
    checkpoint = trainer.checkpoint
    resumed = checkpoint.load() if checkpoint is not None else None
    features, whole = None, None
    on_features: list[Examples | None] = [training, validation]
    if not plan.is_on_features:
        features, whole = build_network(plan.cut, plan.below, plan.hidden, plan.n_outputs)
        set_arrays(features, trunk)
    phases: list[tuple[str, int, list[str]]] = [("head", plan.epochs, [])]
    if plan.trained:
        phases = [("blocks", plan.epochs, plan.trained)]
        if head is None and plan.head_epochs:
            phases.insert(0, ("head", plan.head_epochs, []))
    if head is None:
        if features is not None:
            forward = compile_forward(features)
            n_features = plan.cut.n_features
            on_features = [
                _compute_once(each, forward, n_features, trainer.batch_size)
                for each in (training, validation)
            ]
        assert on_features[0] is not None
        mean, variance = measure_features(_parts(on_features[0], trainer.batch_size))
        bias = trainer.objective.first_output(training.targets, training.weights, plan.n_outputs)
        head = draw_head(mean, variance, plan.hidden, bias, plan.head_seed)
    if resumed is not None:
        trainer.history[:] = resumed.history
    states = []
    for number, (name, epochs, trained) in enumerate(phases):
        if resumed is not None and number < resumed.phase:
            continue
        own = [training, validation]
        if whole is None or (not trained and not plan.augmentation):
            model, own = build_head(plan.cut.n_features, plan.hidden, plan.n_outputs), on_features
        else:
            model = whole
        set_arrays(model, trunk, head)
        groups = choose_trained(model, trained, plan.optimizer, plan.trunk_learning_rate)
        for (optimizer, _), state in zip(groups, optimizers or [], strict=False):
            assign(optimizer.variables, state)
        assert own[0] is not None
        phase = Phase(number, name, model, groups, own[0], own[1], epochs)
        trainer.run(phase, resumed if resumed is not None and resumed.phase == number else None)
        head = get_head(model)
        trunk = trunk | get_trunk(model, trained)
        states = [as_arrays(optimizer.variables) for optimizer, _ in groups]
    return trunk, head, states


def _compute_once(
    examples: Examples | None,
    forward: Callable[[np.ndarray], np.ndarray],
    n_features: int,
    batch_size: int,
) -> Examples | None:
    """Compute the features on which a head is trained by itself."""
    if examples is None:
        return None
    spool = SpooledRows((n_features,))
    for features in compute_outputs(forward, examples, batch_size):
        spool.append(features)
    return Examples(spool, np.arange(len(examples)), examples.targets, examples.weights)


def _parts(examples: Examples, batch_size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(examples), batch_size):
        some = slice(start, start + batch_size)
        yield examples.rows.take(examples.positions[some]), examples.weights[some]
