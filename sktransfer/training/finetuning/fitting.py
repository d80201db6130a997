"""The phases of a plan, run one after the other."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sktransfer.training.finetuning.backends import Group, compile_forward
from sktransfer.training.finetuning.examples import Data, Examples
from sktransfer.training.finetuning.folds import hold_out_rows
from sktransfer.training.finetuning.head import (
    SMALLEST_OF_PROBE,
    SMALLEST_VARIANCE,
    Head,
    draw_head,
    measure_features,
)
from sktransfer.training.finetuning.network import (
    as_arrays,
    assign,
    build_head,
    build_network,
    choose_trained,
    get_head,
    get_trunk,
    make_optimizer,
    set_arrays,
)
from sktransfer.training.finetuning.objectives import Objective
from sktransfer.training.finetuning.plan import Phase, Plan
from sktransfer.training.finetuning.probe import fit_probe
from sktransfer.training.finetuning.rows import ArrayRows
from sktransfer.training.finetuning.training import (
    ReadyPhase,
    Trainer,
    TrainingState,
    compute_outputs,
)
from sktransfer.training.finetuning.trunk import Arrays

if TYPE_CHECKING:
    import keras

#: The variables of optimizers, by the names that the plan gives these.
OptimizerStates = dict[str, list[np.ndarray]]
# Learning rates of the trunk that a trial compares, as shares of that of the head, and the part of
# the epochs that each takes.
TRIED_SHARES = (0.01, 0.1, 0.3)
_TRIAL = 1 / 3
_USUAL_RATE = 1e-3


def run_plan(
    trainer: Trainer,
    trunk: Arrays,
    head: Head | None,
    data: Data,
    states: OptimizerStates,
) -> tuple[Arrays, Head, OptimizerStates]:
    """Train what is planned, from the rows above the frozen layers to tuned weights and a head.

    A head is drawn where there is none. Optimizers continue from their states, or else start again.
    """
    plan, resumed = trainer.plan, trainer.load_checkpoint()
    whole, on_features = None, data
    if not plan.is_on_features:
        features, whole = build_network(plan.trunk, plan.below, plan.hidden, plan.n_outputs)
        set_arrays(features, trunk)
        if head is None:
            on_features = _compute_features(features, plan, data)
    if head is None:
        head = _draw_head(plan, trainer.objective, on_features.training)
    run, drawn, optimizers = _Run(trainer, whole, data, on_features), head, {}
    for number, phase in enumerate(plan.phases):
        if resumed is not None and number < resumed.phase:
            continue
        if phase.name == "probe":
            head = run.fit_probe(head)
        elif phase.name == "trial":
            run.try_rates(phase, trunk, drawn)
        else:
            model, groups = run.build(phase, trunk, head, _choose_rate(plan, trainer.history))
            optimizers = dict(zip(plan.name_optimizers(phase), groups, strict=True))
            for name in optimizers.keys() & states.keys():
                assign(optimizers[name][0].variables, states[name])
            is_resumed = resumed is not None and number == resumed.phase
            run.train(number, phase, model, groups, resumed if is_resumed else None)
            head = get_head(model)
            trunk = trunk | get_trunk(model, phase.trained)
    states = {name: as_arrays(each.variables) for name, (each, _) in optimizers.items()}
    return trunk, head, states


@dataclass(frozen=True)
class _Run:
    """The phases with the rows that they run on.

    Attributes
    ----------
    trainer : Trainer
        Trains, and keeps the history.
    whole : keras.Model or None
        The network from the rows to the output; None where the rows are features.
    data : Data
        The rows.
    on_features : Data
        The same rows, as features.
    """

    trainer: Trainer
    whole: keras.Model | None
    data: Data
    on_features: Data

    def fit_probe(self, drawn: Head) -> Head:
        """Fit a linear head on the features as they are."""
        start = time.perf_counter()
        trainer, plan, data = self.trainer, self.trainer.plan, self.on_features
        head = fit_probe(data.training, drawn, trainer.objective, plan.split_seed, plan.batch_size)
        trainer.record("probe", trainer.score(data.training, head), data.validation, head, start)
        return head

    def build(
        self, phase: Phase, trunk: Arrays, head: Head, trunk_rate: Any
    ) -> tuple[keras.Model, list[Group]]:
        """Build what a phase trains, and its optimizers."""
        plan = self.trainer.plan
        if phase.is_on_features:
            model = build_head(plan.trunk.cut.n_features, plan.hidden, plan.n_outputs)
        else:
            assert self.whole is not None
            model = self.whole
        set_arrays(model, trunk, head)
        return model, choose_trained(model, phase.trained, plan.optimizer, trunk_rate)

    def train(
        self,
        number: int,
        phase: Phase,
        model: keras.Model,
        groups: list[Group],
        resumed: TrainingState | None = None,
    ) -> None:
        """Train for the epochs of a phase."""
        data = self.on_features if phase.is_on_features else self.data
        self.trainer.run(ReadyPhase(number, phase, model, groups, data), resumed)

    def try_rates(self, trial: Phase, trunk: Arrays, drawn: Head) -> None:
        """Train shortly at some learning rates of the trunk, and score rows held out of it.

        The head starts again from rows that are not held out. Nothing that is trained is kept.
        """
        start, plan = time.perf_counter(), self.trainer.plan
        part, head = self._hold_out(), drawn
        for number, phase in enumerate(plan.phases[: plan.phases.index(trial)]):
            if phase.name == "probe":
                head = part.fit_probe(drawn)
            else:
                model, groups = part.build(phase, trunk, head, None)
                part.train(number, phase, model, groups)
                head = get_head(model)
        last = plan.phases[-1]
        short = replace(last, epochs=max(1, round(last.epochs * _TRIAL)))
        for rate in list_rates(plan.optimizer):
            model, groups = part.build(last, trunk, head, rate)
            part.train(len(plan.phases) - 1, short, model, groups)
            seconds, start = time.perf_counter() - start, time.perf_counter()
            facts = {"phase": "trial", "epoch": len(self.trainer.history) + 1, "seconds": seconds}
            self.trainer.add(part.trainer.history[-1] | facts)

    def _hold_out(self) -> _Run:
        """Return a run on most rows, which scores the others."""
        trainer, plan = self.trainer, self.trainer.plan
        trainer = replace(
            trainer,
            plan=replace(plan, patience=None),
            checkpoint=None,
            progress=lambda row: None,
            history=[],
        )
        targets, is_stratified = self.data.training.targets, trainer.objective.is_stratified
        folds = hold_out_rows(targets, plan.split_seed, is_stratified=is_stratified)
        if not folds:
            return replace(self, trainer=trainer)
        return _Run(
            trainer,
            self.whole,
            *(
                Data(each.training.take(folds[0][0]).scaled(), each.training.take(folds[0][1]))
                for each in (self.data, self.on_features)
            ),
        )


def list_rates(optimizer: dict[str, Any]) -> list[float]:
    """List the learning rates of the trunk that a trial compares, the lowest first."""
    # A schedule may start at zero.
    rate = float(make_optimizer(optimizer).learning_rate) or _USUAL_RATE
    return [share * rate for share in TRIED_SHARES]


def _choose_rate(plan: Plan, history: list[dict[str, Any]]) -> float | dict[str, Any] | None:
    """Return the learning rate of the trunk: that of the last trial with the lowest loss."""
    if not isinstance(plan.trunk_learning_rate, str):
        return plan.trunk_learning_rate
    tried = [row for row in history if row["phase"] == "trial"][-len(TRIED_SHARES) :]
    if not tried or tried[0]["validation_loss"] is None:  # nothing could be held out
        return list_rates(plan.optimizer)[0]
    return min(tried, key=lambda row: row["validation_loss"])["trunk_learning_rate"]


def _compute_features(network: keras.Model, plan: Plan, data: Data) -> Data:
    """Compute the features on which a head is trained by itself."""
    forward = compile_forward(network)

    def compute(examples: Examples) -> Examples:
        n_rows, shape = len(examples), (plan.trunk.cut.n_features,)
        features = compute_outputs(forward, examples, plan.batch_size)
        rows = ArrayRows.keep(features, n_rows, shape)
        return replace(examples, rows=rows, positions=np.arange(n_rows))

    return data.map(compute)


def _draw_head(plan: Plan, objective: Objective, training: Examples) -> Head:
    """Draw a head that scales features by what they are now."""
    mean, variance = measure_features(training.in_batches(plan.batch_size))
    bias = objective.first_output(training.targets, training.weights, plan.n_outputs)
    smallest = SMALLEST_OF_PROBE if plan.phases[0].name == "probe" else SMALLEST_VARIANCE
    return draw_head(mean, variance, plan.hidden, bias, plan.head_seed, smallest)
