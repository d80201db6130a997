"""Fine-tuning, whatever is predicted: from images and targets to tuned weights and a head."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import _check_sample_weight

from sktransfer.engines import Arithmetic, describe_engine
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.finetuning.checkpoint import Checkpoint, check_folder
from sktransfer.finetuning.configuration import read_augmentation, read_optimizer
from sktransfer.finetuning.fitting import Plan, fit_network
from sktransfer.finetuning.head import Head
from sktransfer.finetuning.network import find_first_trained
from sktransfer.finetuning.objectives import Objective
from sktransfer.finetuning.rows import ImageRows, Rows, SpooledRows, merge_equal_rows
from sktransfer.finetuning.training import Examples, Trainer
from sktransfer.finetuning.tuned import TunedNetwork, n_per_part
from sktransfer.images import Images
from sktransfer.networks import Cut, Layer
from sktransfer.store import FeatureStore
from sktransfer.weights import Weights, hash_up_to

#: Rows per step where batch_size='auto'.
BATCH_SIZE = 32


class FineTuner(TunedNetwork):
    """What the classifier and the regressor share."""

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's name and form
        **VGGFeatureExtractor._parameter_constraints,
        "layer": [str],
        "unfreeze": [str, None],
        "hidden_layer_sizes": ["array-like"],
        "epochs": [Interval(Integral, 1, None, closed="left")],
        "head_epochs": [Interval(Integral, 0, None, closed="left")],
        "optimizer": [str, dict],
        "trunk_learning_rate": [Interval(Real, 0, None, closed="neither"), dict, None],
        "augmentation": "no_validation",
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "warm_start": ["boolean"],
        "checkpoint": [str, os.PathLike, None],
    }

    _objective: Objective

    def __init__(
        self,
        layer: str = "flatten",
        *,
        unfreeze: str | None = None,
        hidden_layer_sizes: tuple[int, ...] = (),
        epochs: int = 20,
        head_epochs: int = 10,
        optimizer: str | dict[str, Any] = "adam",
        trunk_learning_rate: float | dict[str, Any] | None = 1e-5,
        augmentation: Any = None,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 5,
        warm_start: bool = False,
        checkpoint: str | os.PathLike | None = None,
        architecture: str = "vgg16",
        weights: str | os.PathLike | Mapping | None = "imagenet",
        pooling: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        value_range: str | tuple[float, float] = "auto",
        input_size: str | int = "auto",
        aspect: str = "stretch",
        interpolation: str = "bilinear",
        antialias: bool = False,
        engine: str = "auto",
        precision: str = "float32",
        calibration: Any = None,
        batch_size: str | int = "auto",
        cache: str | os.PathLike | FeatureStore | None = "temporary",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        super().__init__(
            layer,
            architecture=architecture,
            weights=weights,
            pooling=pooling,
            image_shape=image_shape,
            value_range=value_range,
            input_size=input_size,
            aspect=aspect,
            interpolation=interpolation,
            antialias=antialias,
            engine=engine,
            precision=precision,
            calibration=calibration,
            batch_size=batch_size,
            cache=cache,
            verbose=verbose,
            random_state=random_state,
        )
        self.unfreeze = unfreeze
        self.hidden_layer_sizes = hidden_layer_sizes
        self.epochs = epochs
        self.head_epochs = head_epochs
        self.optimizer = optimizer
        self.trunk_learning_rate = trunk_learning_rate
        self.augmentation = augmentation
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.warm_start = warm_start
        self.checkpoint = checkpoint

    # -- what the classifier and the regressor say about targets

    def _check_targets(self, y: Any) -> np.ndarray:
        """Check targets by themselves."""
        raise NotImplementedError

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        """Learn from checked targets and weights what there is to learn in the first call."""
        raise NotImplementedError

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return checked targets in the form that training takes."""
        raise NotImplementedError

    def _target_weights(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weight of each row, by its target too."""
        return weights

    # -- training

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
        former = dict(vars(self))
        try:
            self._train_or_fail(X, y, sample_weight, X_val, y_val, is_partial, classes)
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(former)
            raise

    def _train_or_fail(
        self,
        X: Any,
        y: Any,
        sample_weight: Any,
        X_val: Any,
        y_val: Any,
        is_partial: bool,
        classes: Any,
    ) -> None:
        # All is known to be right before the network runs.
        is_new = not ((is_partial or self.warm_start) and hasattr(self, "history_"))
        self._check_training(X_val, y_val, is_partial=is_partial)
        optimizer = read_optimizer(self.optimizer, self.trunk_learning_rate, type(self).__name__)
        augmentation = read_augmentation(self.augmentation, type(self).__name__)
        y, weights = self._read_targets(y, sample_weight)
        if is_new:
            self._learn_targets(y, weights, classes, is_partial=is_partial)
        targets = self._encode_targets(y, weights)
        if is_new:
            self.__dict__.pop("_trunk", None)  # what is read is what the parameters name
            images, cut, self._trunk = self._learn(X)
            value_range = self.value_range_
            self._head = None
            self._seed = self._draw_seed()
            self.history_: list[dict[str, Any]] = []
            self._optimizers = None
            self._hidden = self._sizes()
        else:
            trunk, head = self._trained()
            images, value_range = self._read_fitted(X)
            cut = self._plan(self.input_size_)
            self._check_same_network(cut, trunk, head)
        rows = self._merge_rows(images, value_range, targets, weights, ("X", "y"))
        if not rows.weights.any():
            raise ValueError(
                f"The 'class_weight' parameter of {type(self).__name__} must leave weight to some "
                f"row. Got {self.class_weight!r}, by which all are zero."
            )
        others = None if X_val is None else self._read_validation(X_val, y_val)
        plan = self._plan_training(cut, optimizer, augmentation, is_partial)
        split = None
        if others is None and self.early_stopping:
            split = self._split(rows.targets)

        training, validation = self._load_examples(plan, rows, others, split)
        content = rows.content + (others.content if others else b"")
        checkpoint = None if is_partial else self._find_checkpoint(plan, content)
        n_before = len(self.history_)
        with self._progress() as progress:
            trainer = Trainer(
                objective=self._objective,
                batch_size=self._n_per_step(),
                seed=_seeds(self._seed)[1],
                patience=int(self.n_iter_no_change) if self.early_stopping else None,
                who=type(self).__name__,
                checkpoint=checkpoint,
                progress=progress,
                history=list(self.history_),
            )
            trunk, head, optimizers = fit_network(
                plan,
                trainer,
                self._load_fitted_weights(),
                self._head,
                training,
                validation,
                self._optimizers if is_partial else None,
            )
        self._keep(cut, trunk, head)
        self._optimizers = optimizers if is_partial else None
        self.history_ = trainer.history
        self.n_iter_ = len(trainer.history) - n_before
        if self.precision == "int8" and plan.trained:
            sample = self._calibration_sample(images, value_range)
            self._ranges = self._calibrate(cut, trunk, *sample)
        if checkpoint is not None:
            checkpoint.remove()

    def _read_targets(self, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray]:
        """Check targets and their weights by themselves."""
        who = type(self).__name__
        if y is None:
            raise ValueError(
                f"{who} requires y to be passed, but the target y is None: pass a target for each "
                "image."
            )
        y = self._check_targets(y)
        weights = _check_sample_weight(
            sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
        )
        if not weights.any():
            raise ValueError(f"{who} needs a sample_weight that is not zero for every row.")
        return y, weights

    def _read_validation(self, X: Any, y: Any) -> _Rows:
        y = self._check_targets(y)
        ones = np.ones(len(y))
        targets = self._encode_targets(y, ones)
        images, value_range = self._read_fitted(X)
        return self._merge_rows(images, value_range, targets, ones, ("X_val", "y_val"))

    def _merge_rows(
        self,
        images: Images,
        value_range: tuple[float, float] | None,
        targets: np.ndarray,
        weights: np.ndarray,
        names: tuple[str, str],
    ) -> _Rows:
        if len(images) != len(targets):
            raise ValueError(
                f"{type(self).__name__} needs one target per image. Got {len(images)} images in "
                f"{names[0]} and {len(targets)} targets in {names[1]}: look at how they were made."
            )
        positions, weights, content = merge_equal_rows(images, value_range, targets, weights)
        targets = targets[positions]
        weights = self._target_weights(targets, weights)
        return _Rows(images, value_range, positions, targets, weights, content)

    def _plan_training(
        self,
        cut: Cut,
        optimizer: dict[str, Any],
        augmentation: list[dict[str, Any]],
        is_partial: bool,
    ) -> Plan:
        first = find_first_trained(self.unfreeze, cut, type(self).__name__)
        below: Layer | None = cut.trunk[-1]
        if first is not None:
            below = cut.trunk[cut.trunk.index(first) - 1]
        if augmentation or below == cut.trunk[0]:
            below = None
        return Plan(
            cut=cut,
            first=first,
            below=below,
            optimizer=optimizer,
            trunk_learning_rate=self.trunk_learning_rate,
            augmentation=augmentation,
            hidden=self._sizes(),
            n_outputs=self._n_outputs,
            head_epochs=0 if is_partial else self.head_epochs,
            epochs=1 if is_partial else self.epochs,
            head_seed=_seeds(self._seed)[0],
        )

    def _load_examples(
        self,
        plan: Plan,
        rows: _Rows,
        others: _Rows | None,
        split: tuple[np.ndarray, np.ndarray] | None,
    ) -> tuple[Examples, Examples | None]:
        """Run what is frozen, and say which rows are trained on, and which only scored."""
        loaded = self._load_rows(plan, rows)
        every = Examples(loaded, rows.positions, rows.targets, rows.weights)
        if others is not None:
            loaded = self._load_rows(plan, others)
            validation = Examples(loaded, others.positions, others.targets, others.weights)
            return every.scaled(), validation
        if split is not None:
            kept, held_out = split
            return every.take(kept).scaled(), every.take(held_out)
        return every.scaled(), None

    def _load_rows(self, plan: Plan, rows: _Rows) -> Rows:
        """Compute the frozen part of the network once, or have images ready for training."""
        arithmetic = self._fitted_network()[1]
        if plan.below is None:
            task = self._task(plan.cut, arithmetic, rows.value_range)
            return ImageRows(rows.images, task, plan.augmentation, _seeds(self._seed)[2])
        if plan.is_on_features:
            cut, shape = plan.cut, (plan.cut.n_features,)  # type: tuple[Cut, tuple[int, ...]]
        else:
            cut = Cut(plan.cut.architecture, (plan.below,), (None,), plan.cut.input_size)
            shape = plan.below.output_shape
            hashes = hash_up_to(cut, cut.layers, self._load_fitted_weights())
            self._layer_sha256 = self._layer_sha256 | hashes
        spool = SpooledRows(shape)
        for part in self._compute_in_parts(
            cut, arithmetic, rows.images, rows.value_range, n_per_part(cut)
        ):
            spool.append(part)
        return spool

    def _n_per_step(self) -> int:
        return BATCH_SIZE if self.batch_size == "auto" else int(self.batch_size)

    def _split(self, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Hold rows out for early stopping."""
        try:
            return train_test_split(
                np.arange(len(targets)),
                test_size=self.validation_fraction,
                random_state=self._seed,
                stratify=targets if self._objective.is_stratified else None,
            )
        except ValueError as error:
            raise ValueError(
                f"{type(self).__name__} with early_stopping=True holds out validation_fraction="
                f"{self.validation_fraction:g} of {len(targets)} distinct rows, which cannot be "
                f"done: {error} Pass more images, another fraction, or X_val and y_val."
            ) from error

    def _find_checkpoint(self, plan: Plan, content: bytes) -> Checkpoint | None:
        """Name the file of this very run by all that decides how it ends."""
        if self.checkpoint is None:
            return None
        layer = plan.cut.trunk[-1]
        arithmetic = self._fitted_network()[1]
        arrays = [] if self._head is None else self._head.arrays()
        run = {
            "plan": [
                plan.trained,
                plan.below and plan.below.name,
                plan.optimizer,
                plan.trunk_learning_rate,
                plan.augmentation,
                plan.hidden,
                plan.n_outputs,
                plan.head_epochs,
                plan.epochs,
            ],
            "recipes": [self._recipe(plan.cut, *output, arithmetic) for output in plan.cut.outputs],
            "training": describe_engine(Arithmetic("keras"), plan.cut, layer),
            "batch": self._n_per_step(),
            "stopping": [self.early_stopping, self.validation_fraction, self.n_iter_no_change],
            "seed": self._seed,
            "content": content.hex(),
            "head": [blake2b(values.tobytes()).hexdigest() for values in arrays],
            "history": len(self.history_),
        }
        text = json.dumps(run, sort_keys=True, default=float)
        name = blake2b(text.encode(), digest_size=16).hexdigest()
        return Checkpoint(self.checkpoint, name, type(self).__name__)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        from tqdm.auto import tqdm

        with tqdm(unit="epoch", desc=type(self).__name__, disable=not self.verbose) as bar:

            def tell(row: dict[str, Any]) -> None:
                shown = {key: row[key] for key in ("phase", "loss", "score")}
                bar.set_postfix(**shown, refresh=False)
                bar.update()

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
                f"The 'checkpoint' parameter of {who} needs a random_state, without which a run "
                "that goes on would be another one. Got random_state=None: set it to an int."
            )

    def _check_same_network(self, cut: Cut, trunk: Weights, head: Head) -> None:
        """Check that training goes on with the network that it began with."""
        known = [layer.name for layer in cut.weighted_layers] == list(trunk)
        if not known or cut.n_features != len(head.mean) or head.hidden != self._sizes():
            raise ValueError(
                f"{type(self).__name__} goes on training the network that it was fitted with, of "
                f"{len(trunk)} layers with weights, {len(head.mean)} features and "
                f"hidden layers {head.hidden}. Got parameters of another one: set them back, or "
                "call fit with warm_start=False."
            )

    def _sizes(self) -> tuple[int, ...]:
        return tuple(int(size) for size in self.hidden_layer_sizes)


@dataclass(frozen=True)
class _Rows:
    """Images, and the distinct rows among them with targets and weights."""

    images: Images
    value_range: tuple[float, float] | None
    positions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    content: bytes


def _seeds(seed: int) -> list[int]:
    """Draw independent seeds of the head, the order of rows and the augmentation."""
    return [int(each) for each in np.random.SeedSequence(seed).generate_state(3)]
