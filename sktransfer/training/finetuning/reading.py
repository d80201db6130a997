"""The images and targets of one call: checked, merged, and run through what is frozen."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from sklearn.model_selection import train_test_split

from sktransfer.base import _check_sample_weight
from sktransfer.features.fitted import get_runner, read_fitted
from sktransfer.inputs.images import Images
from sktransfer.inputs.scale import ValueRange
from sktransfer.training.finetuning.examples import Data, DistinctRows, Examples
from sktransfer.training.finetuning.objectives import Objective
from sktransfer.training.finetuning.plan import Plan
from sktransfer.training.finetuning.rows import ArrayRows, ImageRows, Rows
from sktransfer.training.finetuning.tuned import TunedNetwork, n_per_part


class ImagesAndTargets(TunedNetwork):
    """The images and targets that a fine-tuned estimator reads."""

    _objective: ClassVar[Objective]
    _seed: int

    # -- what the classifier and the regressor say about targets

    def _check_targets(self, y: Any) -> np.ndarray:
        """Check targets by themselves."""
        raise NotImplementedError

    def _learn_targets(
        self, y: np.ndarray, weights: np.ndarray, classes: Any, *, is_partial: bool
    ) -> None:
        """Learn from checked targets and weights in the first call."""
        raise NotImplementedError

    def _encode_targets(self, y: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return checked targets in the form that training takes."""
        raise NotImplementedError

    def _target_weights(self, targets: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weight of each row, by its target too."""
        return weights

    # -- reading

    def _read_targets(self, y: Any, sample_weight: Any) -> tuple[np.ndarray, np.ndarray]:
        """Check targets and their weights by themselves."""
        who = type(self).__name__
        if y is None:
            raise ValueError(
                f"{who} requires y to be passed, but the target y is None: pass a target for each "
                "image."
            )
        y = self._check_targets(y)
        if not len(y):
            raise ValueError(
                f"{who} needs a target of at least one image. Got an empty y: check how the images "
                "were selected."
            )
        try:
            weights = _check_sample_weight(
                sample_weight, np.empty((len(y), 1)), dtype=np.float64, ensure_non_negative=True
            )
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"The 'sample_weight' parameter of {who} must be a finite number from 0 up for "
                f"each of the {len(y)} images of y. Got others: {error}"
            ) from error
        if not weights.any():
            raise ValueError(f"{who} needs a sample_weight that is not zero for every row.")
        return y, weights

    def _read_validation(self, X: Any, y: Any) -> DistinctRows:
        y = self._check_targets(y)
        ones = np.ones(len(y))
        targets = self._encode_targets(y, ones)
        images, value_range = read_fitted(self, X)
        return self._merge_rows(images, value_range, targets, ones, ("X_val", "y_val"))

    def _merge_rows(
        self,
        images: Images,
        value_range: ValueRange | None,
        targets: np.ndarray,
        weights: np.ndarray,
        names: tuple[str, str],
    ) -> DistinctRows:
        if len(images) != len(targets):
            raise ValueError(
                f"{type(self).__name__} needs one target per image. Got {len(images)} images in "
                f"{names[0]} and {len(targets)} targets in {names[1]}: check how they were made."
            )
        rows = DistinctRows.of(images, value_range, targets, weights)
        return replace(rows, weights=self._target_weights(rows.targets, rows.weights))

    def _load_data(self, plan: Plan, rows: DistinctRows, others: DistinctRows | None) -> Data:
        """Run what is frozen, and say which rows are trained on, and which only scored."""
        parts = None
        if others is None and plan.patience is not None:
            parts = self._split(rows.targets)
        training, *validation = (
            Examples(self._load_rows(plan, each), each.positions, each.targets, each.weights)
            for each in ([rows] if others is None else [rows, others])
        )
        if parts is not None:
            validation = [training.take(parts[1])]
            training = training.take(parts[0])
        return Data(training.scaled(), validation[0] if validation else None)

    def _load_rows(self, plan: Plan, rows: DistinctRows) -> Rows:
        """Compute the frozen part of the network once, or have images ready for training."""
        runner, images, value_range = get_runner(self), rows.images, rows.value_range
        if plan.below is None:
            ways = runner.resizing, runner.scaling, plan.augmentation, plan.augmentation_seed
            return ImageRows(images, value_range, *ways)
        shape: tuple[int, ...] = (plan.below.n_features,)
        if not plan.is_on_features:
            shape = plan.below.layers[0].output_shape
            runner = runner.cut_at(plan.below)
        parts = runner.compute_in_pieces(images, value_range, n_per_part(runner.cut))
        return ArrayRows.keep(parts, len(images), shape)

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
