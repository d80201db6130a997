"""Fine-tuning, whatever is predicted: from images and targets to tuned weights and a head."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from numbers import Integral
from typing import Any, Self

import numpy as np
from sklearn.utils import Tags

from sktransfer._version import __version__
from sktransfer.base import CallbackSupportMixin, _fit_context, reported, unchanged_on_failure
from sktransfer.engines import EngineConfig, describe_engine
from sktransfer.features.fitted import get_runner, learn, read_fitted, settings_of
from sktransfer.features.fitting import calibrate, sample_images
from sktransfer.inputs.images import Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.networks import AnyCut
from sktransfer.networks.frameworks import claim
from sktransfer.training.finetuning.checkpoint import TuningCheckpoint, check_folder
from sktransfer.training.finetuning.configuration import identify, read_augmentation, read_optimizer
from sktransfer.training.finetuning.examples import DistinctRows
from sktransfer.training.finetuning.fitting import TRIED_SHARES, run_plan
from sktransfer.training.finetuning.head import Head
from sktransfer.training.finetuning.plan import Plan, plan_phases
from sktransfer.training.finetuning.probe import count_fitted
from sktransfer.training.finetuning.reading import ImagesAndTargets
from sktransfer.training.finetuning.training import Trainer
from sktransfer.training.finetuning.trunk import Trunk, check_trainable, get_trunk_of

#: Rows per step where batch_size='auto'.
BATCH_SIZE = 32
#: Epochs of the head alone where head_epochs='auto', and it is not the probe of all rows.
HEAD_EPOCHS = 10


class FineTuner(CallbackSupportMixin, ImagesAndTargets):
    """The base of the classifier and the regressor: training."""

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
    ) -> Self:
        """Train the head, then the unfrozen layers with it.

        Parameters
        ----------
        X : array-like, DataFrame, or list of paths, PIL images or arrays
            Images in any form that an extractor takes; never changed.
        y : array-like of shape (n_images,) or (n_images, n_outputs)
            Labels of at least two classes for a classifier, numbers for a regressor, which alone
            takes several for each image.
        sample_weight : array-like of shape (n_images,), default=None
            Weight of each image in the loss. A weight of two equals giving the image twice, and
            zero equals leaving it out.
        X_val : same as `X`, default=None
            Images that are only scored, after every epoch.
        y_val : same as `y`, default=None
            Their targets.

        Returns
        -------
        self
            The fitted estimator.
        """
        self._train(X, y, sample_weight, X_val, y_val)
        return self

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        X_val: Any = None,
        y_val: Any = None,
        *,
        is_partial: bool = False,
        classes: Any = None,
    ) -> None:
        """Train; where something is wrong, nothing that a former call learned is lost."""
        # How many epochs there will be is planned behind the checks: callbacks do without a total.
        with (
            reported(self, "partial_fit" if is_partial else "fit", None, X, y) as tell,
            unchanged_on_failure(self),
        ):
            # Everything is checked before the network runs.
            self._check_training(X_val, y_val, is_partial=is_partial)
            claim("keras")
            check_trainable(settings_of(self))
            who = type(self).__name__
            optimizer = read_optimizer(self.optimizer, self.trunk_learning_rate, who)
            augmentation = read_augmentation(self.augmentation, who)
            y, weights = self._read_targets(y, sample_weight)
            is_new = not ((is_partial or self.warm_start) and hasattr(self, "history_"))
            if is_new:
                self._learn_targets(y, weights, classes, is_partial=is_partial)
            targets = self._encode_targets(y, weights)
            images, value_range = self._begin(X) if is_new else self._go_on(X)
            rows = self._merge_rows(images, value_range, targets, weights, ("X", "y"))
            if not rows.weights.any():
                raise ValueError(
                    f"The 'class_weight' parameter of {who} must give some row a weight above "
                    f"zero. Got {self.class_weight!r}, which makes all of them zero."
                )
            others = None if X_val is None else self._read_validation(X_val, y_val)
            plan = self._plan_training(
                optimizer, augmentation, len(rows.weights), is_partial=is_partial
            )
            self._run(plan, rows, others, tell, is_partial=is_partial)

    def _begin(self, X: Any) -> tuple[Images, ValueRange | None]:
        """Learn from images what an extractor learns, and forget a former call."""
        images, network = learn(self, X)
        self._runner = get_trunk_of(self._runner).keep(self._runner, network.weights)
        self._head = None
        self._seed = settings_of(self).draw_seed()
        self.history_: list[dict[str, Any]] = []
        self._optimizers = {}
        self._hidden = self._sizes()
        return images, self.value_range_

    def _go_on(self, X: Any) -> tuple[Images, ValueRange | None]:
        """Read images for the network that a former call trained."""
        trunk, head = get_trunk_of(self._runner), self._trained()
        read = read_fitted(self, X)
        settings = settings_of(self)
        cut = trunk.replan(settings, self.input_size_)
        self._check_same_network(cut, trunk, head)
        resizing = settings.resizing(cut.input_size)
        self._runner = replace(self._runner, cut=cut, resizing=resizing)
        return read

    def _run(
        self,
        plan: Plan,
        rows: DistinctRows,
        others: DistinctRows | None,
        tell: Callable[[str], None],
        *,
        is_partial: bool,
    ) -> None:
        """Do what is planned, and keep what comes out."""
        data = self._load_data(plan, rows, others)
        content = rows.content + (others.content if others else b"")
        checkpoint = None if is_partial else self._find_checkpoint(plan, content)
        with self._progress(tell) as progress:
            trainer = Trainer(
                plan=plan,
                objective=self._objective,
                who=type(self).__name__,
                checkpoint=checkpoint,
                progress=progress,
                history=list(self.history_),
            )
            arrays, head, optimizers = run_plan(
                trainer,
                plan.trunk.load(self._runner),
                self._head,
                data,
                self._optimizers if is_partial else {},
            )
        self._keep(head, arrays if plan.trained else None)
        self._optimizers = optimizers if is_partial else {}
        self.n_iter_ = len(trainer.history) - len(self.history_)
        self.history_ = trainer.history
        if self.precision == "int8" and plan.trained:
            reader = replace(self._reader, fitted_range=rows.value_range)
            sample = sample_images(settings_of(self), rows.images, reader)
            self._runner = calibrate(self._runner, *sample, self._runner.weights.load())
        if checkpoint is not None:
            checkpoint.remove()

    def _plan_training(
        self,
        optimizer: dict[str, Any],
        augmentation: list[dict[str, Any]],
        n_rows: int,
        *,
        is_partial: bool,
    ) -> Plan:
        trunk = get_trunk_of(self._runner)
        split = trunk.split(self.unfreeze, type(self).__name__)
        is_tuned = bool(split.trained)
        phases = plan_phases(
            split.trained,
            is_augmented=bool(augmentation),
            **self._count_epochs(n_rows, is_tuned, bool(augmentation), is_partial=is_partial),
        )
        seeds = np.random.SeedSequence(self._seed).generate_state(4)
        head_seed, order_seed, augmentation_seed, split_seed = map(int, seeds)
        stops = self.early_stopping and phases[-1].name != "probe"
        return Plan(
            trunk=trunk,
            below=None if augmentation else split.below,
            phases=phases,
            optimizer=optimizer,
            trunk_learning_rate=self.trunk_learning_rate,
            augmentation=augmentation,
            hidden=self._hidden,
            n_outputs=self._n_outputs,
            batch_size=BATCH_SIZE if self.batch_size == "auto" else int(self.batch_size),
            patience=int(self.n_iter_no_change) if stops else None,
            head_seed=head_seed,
            order_seed=order_seed,
            augmentation_seed=augmentation_seed,
            split_seed=split_seed,
        )

    def _count_epochs(
        self, n_rows: int, is_tuned: bool, is_augmented: bool, *, is_partial: bool
    ) -> dict[str, Any]:
        """Return what each phase takes, as plan_phases asks for it."""
        epochs = 1 if is_partial else int(self.epochs)
        is_new = self._head is None and not is_partial
        is_auto = self.head_epochs == "auto"
        is_probed = is_new and is_auto and not self._hidden
        if not is_tuned:
            head_epochs = epochs
        elif not is_new:
            head_epochs = 0
        else:
            head_epochs = HEAD_EPOCHS if is_auto else int(self.head_epochs)
        n_fitted = count_fitted(n_rows, self._runner.cut.n_features)
        if is_probed and n_fitted == n_rows and not (is_augmented and not is_tuned):
            head_epochs = 0  # a probe of all rows needs no epochs
        is_tried = is_tuned and not is_partial and self.trunk_learning_rate == "auto"
        is_tried = is_tried and not any(row["phase"] == "trial" for row in self.history_)
        return {
            "is_probed": is_probed,
            "head_epochs": head_epochs,
            "n_tried": len(TRIED_SHARES) if is_tried else 0,
            "epochs": epochs,
        }

    def _find_checkpoint(self, plan: Plan, content: bytes) -> TuningCheckpoint | None:
        """Name the file of this very run by all that decides how it ends."""
        if self.checkpoint is None:
            return None
        arrays = [] if self._head is None else self._head.arrays()
        run = {
            "sktransfer": __version__,
            "plan": [
                plan.trained,
                plan.below and plan.below.layers[0].name,
                identify(plan.optimizer),
                identify(plan.trunk_learning_rate),
                identify(plan.augmentation),
                plan.hidden,
                plan.n_outputs,
                self.head_epochs,
                self.epochs,
            ],
            "recipes": get_runner(self).recipes(),
            "training": describe_engine(
                EngineConfig("keras"), plan.trunk.cut, plan.trunk.cut.layers[0]
            ),
            "batch": plan.batch_size,
            "stopping": [self.early_stopping, self.validation_fraction, self.n_iter_no_change],
            "seed": self._seed,
            "content": content.hex(),
            "head": [blake2b(values.tobytes()).hexdigest() for values in arrays],
            "history": len(self.history_),
        }
        text = json.dumps(run, sort_keys=True, default=float)
        name = blake2b(text.encode(), digest_size=16).hexdigest()
        return TuningCheckpoint(self.checkpoint, name, type(self).__name__)

    @contextmanager
    def _progress(
        self, tell_callbacks: Callable[[str], None]
    ) -> Iterator[Callable[[dict[str, Any]], None]]:
        from tqdm.auto import tqdm

        with tqdm(unit="epoch", desc=type(self).__name__, disable=not self.verbose) as bar:

            def tell(row: dict[str, Any]) -> None:
                shown = {key: row[key] for key in ("phase", "loss", "score")}
                bar.set_postfix(**shown, refresh=False)
                bar.update()
                tell_callbacks(row["phase"])

            yield tell

    # -- checks

    def _check_training(self, X_val: Any, y_val: Any, *, is_partial: bool) -> None:
        who = type(self).__name__
        sizes = self.hidden_layer_sizes
        if not all(isinstance(size, Integral) and size > 0 for size in sizes):
            raise ValueError(
                f"The 'hidden_layer_sizes' parameter of {who} must hold positive ints, one for "
                f"each hidden layer of the head. Got {sizes!r} instead."
            )
        if (X_val is None) != (y_val is None):
            raise ValueError(
                f"{who} needs X_val and y_val together. Got only "
                f"{'y_val' if X_val is None else 'X_val'}."
            )
        if is_partial and self.early_stopping:
            raise ValueError(
                f"{who}.partial_fit trains for one epoch and cannot stop early. Got "
                "early_stopping=True: set it to False."
            )
        if self.checkpoint is not None:
            check_folder(self.checkpoint, who)
        if self.checkpoint is not None and self.random_state is None and not is_partial:
            raise ValueError(
                f"The 'checkpoint' parameter of {who} needs a random_state, without which a "
                "resumed run would give another result. Got random_state=None: set it to an int."
            )

    def _check_same_network(self, cut: AnyCut, trunk: Trunk, head: Head) -> None:
        """Check that training continues with the network that it started with."""
        known = trunk.weighted
        is_same = replace(trunk, cut=cut).weighted == known  # type: ignore[type-var]
        if not is_same or cut.n_features != len(head.mean) or head.hidden != self._sizes():
            raise ValueError(
                f"{type(self).__name__} continues training the network that it was fitted with, of "
                f"{len(known)} layers with weights, {len(head.mean)} features and hidden layers "
                f"{head.hidden}. Got parameters of another one: set them back, or call fit with "
                "warm_start=False."
            )

    def _sizes(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.hidden_layer_sizes)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags
