"""All cuts of one network: computed in few passes, scored one after the other, within limits."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from sktransfer.base import _safe_indexing
from sktransfer.evaluation.probing import Folds, time_features
from sktransfer.evaluation.probing.cheap import score_cheaply
from sktransfer.evaluation.sweep.grid import Size, Skipped, Variant
from sktransfer.evaluation.sweep.passes import (
    Pass,
    extractor_of,
    fit_passes,
    ignoring_image_warnings,
    plan_passes,
    store_bytes,
    transform_blocks,
)
from sktransfer.evaluation.sweep.result import LayerSweep, SweepRow
from sktransfer.evaluation.sweep.scoring import SweepScoring
from sktransfer.evaluation.sweep.similarity import centred_gram, linear_cka
from sktransfer.features.estimator import FeatureExtractor
from sktransfer.networks.outputs import spell_size

#: Default memory for features at once, in bytes.
MEMORY_BUDGET = 2 << 30
# How often the cost of a cut is measured; the smallest counts.
_TIMED_RUNS = 3


@dataclass
class Limits:
    """What a sweep may take: seconds from now on, and bytes of features at the same time."""

    time: _TimeBudget
    memory: int

    @classmethod
    def check(
        cls, time_budget: Any = None, memory_budget: Any = MEMORY_BUDGET, *, who: str
    ) -> Limits:
        """Check what the user set."""
        time = _TimeBudget(_check_budget("time_budget", time_budget, Real, who))
        return cls(time, int(_check_budget("memory_budget", memory_budget, Integral, who)))


def sweep_cuts(
    X: Any,
    extractor: FeatureExtractor,
    planned: tuple[list[Variant], list[Skipped]],
    shared: SweepScoring,
    limits: Limits,
    *,
    chosen: np.ndarray | None = None,
    verbose: int,
    who: str,
) -> tuple[LayerSweep, list[np.ndarray]]:
    """Score all cuts of one network.

    Parameters
    ----------
    X : array-like, DataFrame or list
        Images.
    extractor : FeatureExtractor
        Not fitted.
    planned : tuple of list
        The cuts to score and those that are too wide, as :func:`plan_variants` gives them.
    shared : SweepScoring
        What rows are scored by.
    limits : Limits
        Time and memory.
    chosen : ndarray or None, default=None
        Images on which rows are compared with each other and scored cheaply; None for none.
    verbose : int
        Above 0, progress bars.
    who : str
        The function named in errors.

    Returns
    -------
    sweep : LayerSweep
        The rows, not yet compared with the best one.
    rated : list of ndarray of shape (n_tested,)
        How well each row predicted every test image.
    """
    target = shared.target
    n_images = len(target.y)
    variants, skipped = planned
    variants = _that_fit(variants, skipped, n_images, limits.memory, who)
    passes = plan_passes(
        variants, n_images, store_bytes=store_bytes(extractor), memory_bytes=limits.memory
    )
    n_chosen = 0 if chosen is None else len(chosen)
    sweep = LayerSweep(**shared.describe(), metric="", skipped=skipped, n_cka_images=n_chosen)
    few = [] if chosen is None else _restrict(shared.folds, chosen, target.y)
    # Find weights and check parameters before the first pass is computed.
    fitted = fit_passes(extractor, passes, X)
    grams: list[np.ndarray] = []
    rated: list[np.ndarray] = []
    costs: dict[tuple[str, Size], float] = {}
    for extractor, variant, values in _features(fitted, passes, X, sweep, limits.time, verbose):
        place = variant.layer, variant.input_size
        if place not in costs and not limits.time.is_spent():
            costs[place] = _milliseconds_of(extractor, variant, X, n_images)
        cheap = {}
        if chosen is not None:
            grams.append(centred_gram(values[chosen]))
            if few:
                cheap = score_cheaply(values[chosen], target.y[chosen], few, kind=target.kind)
        found, counts, rates = shared.score(values, str(variant) if verbose else None)
        del values  # before the next ones are looked at
        rated.append(rates)
        sweep.metric = next(iter(found.scores))
        sweep.rows.append(
            SweepRow(
                variant,
                found.scores,
                milliseconds=costs.get(place),
                classifier_seconds=found.seconds,
                n_not_converged=found.n_not_converged,
                confusion=counts.confusion.tolist(),
                label_recalls=counts.label_recalls.tolist(),
                cheap=cheap,
            )
        )
    if grams:
        sweep.cka = linear_cka(grams)
    return sweep, rated


def _features(
    fitted: Sequence[FeatureExtractor],
    passes: Sequence[Pass],
    X: Any,
    sweep: LayerSweep,
    budget: _TimeBudget,
    verbose: int,
) -> Iterator[tuple[FeatureExtractor, Variant, np.ndarray]]:
    """Compute the features of one variant after the other, as long as there is time."""
    is_said = False
    for extractor, one_pass in zip(fitted, passes, strict=True):
        for group in one_pass.groups:
            with ignoring_image_warnings(is_said):
                features = _compute(extractor, one_pass, group, X, sweep, budget, verbose)
            is_said = True
            for variant in list(features):
                if not budget.is_spent():
                    yield extractor, variant, features.pop(variant)
                    continue
                reason = f"the time budget of {budget} ran out before its classifier ran"
                sweep.skipped.append(Skipped(variant, reason))


def _milliseconds_of(fitted: FeatureExtractor, variant: Variant, X: Any, n_images: int) -> float:
    """Measure what an image costs an extractor that cuts here and nowhere deeper."""
    known = {} if fitted.value_range_ is None else {"value_range": fitted.value_range_}
    # Speed does not depend on what int8 is calibrated on.
    few = _safe_indexing(X, slice(0, 4))
    calibration = few if fitted.precision == "int8" else None
    with ignoring_image_warnings(True):
        timed = extractor_of(fitted, [variant], cache=None, calibration=calibration, **known)
        timed.fit(few)
        # Other work on the machine can only make it slower.
        seconds = min(time_features(timed, X, n_images)[1] for _ in range(_TIMED_RUNS))
    return 1000 * seconds


def _compute(
    fitted: FeatureExtractor,
    one_pass: Pass,
    group: Sequence[Variant],
    X: Any,
    sweep: LayerSweep,
    budget: _TimeBudget,
    verbose: int,
) -> dict[Variant, np.ndarray]:
    """Compute a group of variants, or nothing if there is no time; the sweep then says so."""
    from tqdm.auto import tqdm

    n = sweep.n_images
    features = {variant: np.empty((n, variant.width), dtype=np.float32) for variant in group}
    blocks = transform_blocks(fitted, X, n)
    n_done = 0
    name = f"{spell_size(group[0].input_size)} px"
    with tqdm(total=n, desc=name, unit="image", disable=not verbose) as progress:
        while n_done < n and not budget.is_spent():
            rows, block = next(blocks)
            for variant, values in features.items():
                values[rows] = block[:, one_pass.columns[variant]]
            progress.update(rows.stop - n_done)
            n_done = rows.stop
    if n_done == n:
        return features
    reason = f"the time budget of {budget} ran out after {n_done:,} of {n:,} images"
    if one_pass.is_kept and n_done:
        reason += "; their features are cached"
    sweep.skipped += [Skipped(variant, reason) for variant in group]
    return {}


def _restrict(folds: Folds, chosen: np.ndarray, y: np.ndarray) -> Folds:
    """Return the folds of some images, by their places, without those that cannot be scored."""
    place = np.full(len(y), -1)
    place[chosen] = np.arange(len(chosen))
    parts = [(place[train], place[test]) for train, test in folds]
    kept = [(train[train >= 0], test[test >= 0]) for train, test in parts]
    own = y[chosen]
    return [(train, test) for train, test in kept if len(test) and len(np.unique(own[train])) > 1]


class _TimeBudget:
    """Seconds from now on; None are as many as it takes."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._start = time.monotonic()

    def is_spent(self) -> bool:
        return self._seconds is not None and time.monotonic() - self._start >= self._seconds

    def __str__(self) -> str:
        return f"{self._seconds:g} s"


def _check_budget(name: str, value: Any, kind: type, who: str) -> Any:
    is_number = isinstance(value, kind) and not isinstance(value, bool)
    if value is None and kind is Real:
        return None
    if not (is_number and value > 0):
        what = "None or seconds" if kind is Real else "a whole number of bytes"
        raise ValueError(
            f"The {name!r} parameter of {who} must be {what} above 0. Got {value!r} instead."
        )
    return value


def _that_fit(
    variants: list[Variant], skipped: list[Skipped], n_images: int, memory_budget: int, who: str
) -> list[Variant]:
    """Leave out what is too large for the memory, and say so."""
    fit = []
    for variant in variants:
        n_bytes = 4 * variant.width * n_images
        if n_bytes <= memory_budget:
            fit.append(variant)
            continue
        reason = f"{n_bytes:,} bytes, more than memory_budget={memory_budget:,}"
        skipped.append(Skipped(variant, reason))
    if not fit:
        raise ValueError(
            f"{who} has nothing to compute: all variants are skipped. "
            f"{'; '.join(map(str, skipped))}. Raise memory_budget, or pool."
        )
    return fit
