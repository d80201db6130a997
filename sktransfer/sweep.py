"""Which layer, pooled how, at which input size? Linear probes on all of them from few passes."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.utils import _safe_indexing, check_random_state, indexable

from sktransfer._tables import format_markdown, format_table, import_pandas
from sktransfer.extractor import VGGFeatureExtractor
from sktransfer.images import read_images
from sktransfer.layer_grid import (
    BLOCK_ENDS,
    INPUT_SIZES,
    MAX_WIDTH,
    POOLINGS,
    Skipped,
    Variant,
    plan_variants,
)
from sktransfer.passes import (
    Pass,
    extractor_of,
    fit_passes,
    plan_passes,
    store_bytes,
    transform_blocks,
    unless_said,
)
from sktransfer.probing import (
    check_classifier,
    check_labels,
    make_folds,
    make_scorer_of,
    score_folds,
    time_features,
    to_plain,
)
from sktransfer.significance import PairedDifference, compare_scores
from sktransfer.similarity import centred_gram, linear_cka

#: Images on which representations are compared, at most: their Gram matrices are as large squared.
MAX_CKA_IMAGES = 500
#: What features may take in memory at once, in bytes, where nothing is said.
MEMORY_BUDGET = 2 << 30


@dataclass
class SweepRow:
    """One variant, and how well images were told apart by it.

    Attributes
    ----------
    variant : Variant
        Layer, pooling, input size, width and multiply-adds.
    scores : dict of str to list of float
        Each metric's value on every fold.
    milliseconds : float or None
        What one image takes an extractor that cuts here, from pixels to features; None where there
        was no time left to measure it.
    classifier_seconds : float
        Time to fit and score the classifier on all folds.
    n_not_converged : int
        Folds in which the classifier stopped before it converged.
    to_best : PairedDifference or None
        By how much the first metric differs from that of the best row, with a test; None for the
        best row itself.
    """

    variant: Variant
    scores: dict[str, list[float]]
    milliseconds: float | None
    classifier_seconds: float
    n_not_converged: int
    to_best: PairedDifference | None = None


@dataclass
class LayerSweep:
    """The scores of all variants on the same folds; printed, they are a table.

    Attributes
    ----------
    n_images : int
        Images swept over.
    n_folds : int
        Folds of the cross-validation.
    classes : list
        The labels.
    positive : object or None
        The label that precision, recall, F1 and ROC AUC are about; None with more than two classes.
    metric : str
        The first metric, by which variants are ranked.
    rows : list of SweepRow
        Small inputs first, and narrow before wide.
    skipped : list of Skipped
        What was asked for and not computed, each with its reason.
    cka : ndarray of shape (n_rows, n_rows)
        Linear CKA between all pairs of rows.
    n_cka_images : int
        Images that it was computed on.
    """

    n_images: int
    n_folds: int
    classes: list[Any]
    positive: Any
    metric: str
    rows: list[SweepRow] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    cka: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    n_cka_images: int = 0

    @property
    def best(self) -> SweepRow | None:
        """The row of the highest mean, of equal ones the cheapest; None without rows."""
        return min(
            self.rows,
            key=lambda row: (-np.nan_to_num(self._mean(row), nan=-np.inf), *_cost(row)),
            default=None,
        )

    @property
    def cheapest(self) -> SweepRow | None:
        """The row of fewest multiply-adds, then values, that is as good as the best within noise.

        Noise is what the corrected resampled t-test takes for it, at 5 % for each row.
        """
        near = [
            row
            for row in self.rows
            if row.to_best is None or row.to_best.finding in ("equal", "within noise")
        ]
        return min(near, key=_cost, default=None)

    def to_frame(self) -> Any:
        """Return one row for each variant.

        Returns
        -------
        pandas.DataFrame
            With the columns ``layer``, ``pooling`` (``'flat'`` for all values), ``input_size``,
            ``width``, ``multiply_adds``, ``milliseconds``, for each metric its mean and, as
            ``..._std``, its standard deviation over the folds, ``classifier_seconds`` and
            ``n_not_converged``.
        """
        pd = import_pandas("LayerSweep.to_frame")
        records = []
        for row in self.rows:
            record = _describe(row.variant) | {"milliseconds": row.milliseconds}
            for metric, scores in row.scores.items():
                record |= {metric: np.mean(scores), f"{metric}_std": np.std(scores)}
            record["classifier_seconds"] = row.classifier_seconds
            records.append(record | {"n_not_converged": row.n_not_converged})
        return pd.DataFrame(records)

    def cka_to_frame(self) -> Any:
        """Return linear CKA between all pairs of rows.

        Returns
        -------
        pandas.DataFrame
            Rows and columns bear the variants' names, such as ``'block2_pool avg, 32 px'``.
        """
        pd = import_pandas("LayerSweep.cka_to_frame")
        names = [str(row.variant) for row in self.rows]
        return pd.DataFrame(self.cka, index=names, columns=names)

    def to_json(self) -> str:
        """Return everything as JSON.

        Returns
        -------
        str
            One object whose keys are the attributes; a pooling of all values is ``"flat"``.
        """
        content = asdict(self)
        for name in ("rows", "skipped"):
            for item, own in zip(content[name], getattr(self, name), strict=True):
                item |= _describe(own.variant)
                del item["variant"]
        content["cka"] = self.cka.tolist()
        return json.dumps(_without_nan(content), indent=2, default=to_plain)

    def to_csv(self) -> str:
        """Return one line for each row and fold, and one for each variant that was skipped.

        Returns
        -------
        str
            With the columns ``layer``, ``pooling``, ``input_size``, ``width``, ``multiply_adds``,
            ``fold`` (from 1), one per metric, ``milliseconds``, ``classifier_seconds`` and
            ``skipped`` (the reason).
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        metrics = list(self.rows[0].scores) if self.rows else [self.metric]
        names = ("layer", "pooling", "input_size", "width", "multiply_adds")
        writer.writerow([*names, "fold", *metrics, "milliseconds", "classifier_seconds", "skipped"])
        for row in self.rows:
            head = _describe(row.variant).values()
            for fold, scores in enumerate(zip(*row.scores.values(), strict=True), start=1):
                tail = [row.milliseconds, row.classifier_seconds, ""]
                writer.writerow([*head, fold, *scores, *tail])
        for each in self.skipped:
            head = _describe(each.variant).values()
            writer.writerow([*head, "", *[""] * len(metrics), "", "", each.reason])
        return text.getvalue()

    def to_markdown(self) -> str:
        """Return the table in Markdown.

        Returns
        -------
        str
            The rows and columns of the printed table.
        """
        return format_markdown(*self._table())

    def __str__(self) -> str:
        """Lay out the table, the best row and the cheapest near it, and what was skipped."""
        parts = [
            f"{self.n_images:,} images, {len(self.classes)} classes; the same classifier and "
            f"{self.n_folds} folds for every row"
        ]
        if self.rows:
            parts.append(format_table(*self._table()))
        best, cheapest = self.best, self.cheapest
        if best is not None and cheapest is not None:
            lines = [f"best: {self._summary(best)}"]
            if cheapest is not best:
                lines.append(f"cheapest within noise of it: {self._summary(cheapest)}")
            parts.append("\n".join(lines))
        notes = []
        if self.rows:
            notes += [
                "mean ± standard deviation over the folds; ms: milliseconds per image up to the "
                "cut, by itself;",
                f"CKA: linear CKA with the best row, on {self.n_cka_images} images",
            ]
        if any(row.n_not_converged for row in self.rows):
            notes.append("* the classifier stopped before it converged")
        notes += [f"skipped: {each}" for each in self.skipped]
        return "\n\n".join([*parts, "\n".join(notes)])

    def _table(self) -> tuple[list[str], list[list[str]]]:
        best = self.best
        to_best = self.cka[self.rows.index(best)] if best is not None else []
        header = ["layer", "pooling", "px", "width", self.metric, "ms", "classifier, s", "CKA"]
        body = [
            [
                row.variant.layer,
                row.variant.pooling or "flat",
                f"{row.variant.input_size}",
                f"{row.variant.width:,}",
                self._mean_and_spread(row) + ("*" if row.n_not_converged else ""),
                _milliseconds(row),
                f"{row.classifier_seconds:.1f}",
                f"{cka:.2f}",
            ]
            for row, cka in zip(self.rows, to_best, strict=True)
        ]
        return header, body

    def _summary(self, row: SweepRow) -> str:
        score = f"{self.metric} {self._mean_and_spread(row)}"
        return f"{row.variant}, {score}, {row.variant.width:,} values, {_milliseconds(row)} ms"

    def _mean(self, row: SweepRow) -> float:
        return float(np.mean(row.scores[self.metric]))

    def _mean_and_spread(self, row: SweepRow) -> str:
        return f"{self._mean(row):.3f} ± {np.std(row.scores[self.metric]):.3f}"


def _cost(row: SweepRow) -> tuple[int, int]:
    return row.variant.multiply_adds, row.variant.width


def _describe(variant: Variant) -> dict[str, Any]:
    return asdict(variant) | {"pooling": variant.pooling or "flat"}


def _without_nan(value: Any) -> Any:
    """JSON knows no NaN: it becomes null."""
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_nan(each) for each in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def _milliseconds(row: SweepRow) -> str:
    if row.milliseconds is None:
        return "-"
    return f"{row.milliseconds:.{max(0, 2 - len(str(int(row.milliseconds))))}f}"


def sweep_layers(
    X: Any,
    y: Any,
    *,
    extractor: VGGFeatureExtractor | None = None,
    layers: Sequence[str] = BLOCK_ENDS,
    poolings: Sequence[str | None] = POOLINGS,
    input_sizes: Sequence[int] = INPUT_SIZES,
    classifier: Any = None,
    cv: Any = 5,
    groups: Any = None,
    scoring: Any = None,
    positive: Any = None,
    max_width: int | None = MAX_WIDTH,
    time_budget: float | None = None,
    memory_budget: int = MEMORY_BUDGET,
    random_state: int | None = 0,
    verbose: int = 0,
) -> LayerSweep:
    """Score linear probes on layers x poolings x input sizes, from few forward passes.

    For each input size, all images pass once through the network, up to the deepest wanted layer;
    every layer and pooling is taken from that pass and kept in the extractor's store. So a sweep
    that was interrupted goes on where it ended, and a later search or pipeline finds its features.
    Classifiers run from small inputs to large and from narrow features to wide.

    Parameters
    ----------
    X : array-like, DataFrame, or list of paths, PIL images or arrays
        Images in any form that :class:`VGGFeatureExtractor` takes; never changed.
    y : array-like of shape (n_images,)
        Labels of at least two classes, each with at least as many images as folds.
    extractor : VGGFeatureExtractor or None, default=None
        Gives everything but layer, pooling and input size: network, weights, engine, store. None
        is ``VGGFeatureExtractor()``.
    layers : list of str, default=('block1_pool', ..., 'block5_pool')
        Layers by their Keras names.
    poolings : list of {'avg', 'max'} or None, default=('avg', 'max', None)
        Mean or maximum of each feature map, or None for all values. What is no map is taken as it
        is, once.
    input_sizes : list of int, default=(32, 64, 224)
        Sides in pixels, 32 and up. The cost grows with their square.
    classifier : estimator or None, default=None
        None is ``LogisticRegression(max_iter=1000)`` behind a ``StandardScaler``.
    cv : int, splitter or iterable, default=5
        A number of stratified folds, shuffled by `random_state`; or a splitter of scikit-learn, or
        pairs of training and test indices.
    groups : array-like of shape (n_images,) or None, default=None
        Which images must not be separated, for splitters that keep groups together.
    scoring : str, callable, list, dict or None, default=None
        As scikit-learn's ``cross_validate`` takes it; rows are ranked by the first metric. None
        is accuracy, precision, recall, F1 and ROC AUC.
    positive : object, default=None
        Of two classes the one that precision, recall, F1 and ROC AUC are about; None takes the
        second in sorted order.
    max_width : int or None, default=50000
        Features per image above which a variant is skipped; None skips none.
    time_budget : float or None, default=None
        Seconds after which nothing more is begun; what is missing then is listed as skipped.
    memory_budget : int, default=2147483648
        Bytes that features may take at once. A variant that needs more is skipped. Classifiers
        make copies, which come on top: plan for three times as much.
    random_state : int or None, default=0
        Seed of the folds and of the images that CKA is computed on.
    verbose : int, default=0
        Above 0, progress bars.

    Returns
    -------
    LayerSweep
        Scores, width and cost of every variant, linear CKA between them, and what was skipped.

    Raises
    ------
    TypeError, ValueError
        If a parameter, the labels or the images are wrong.
    OSError
        If weights or image files are not to be had.

    See Also
    --------
    LayerSearchCV : The same choice as an estimator.
    LayerSweepDisplay : The result, drawn.

    Notes
    -----
    Where ``cache=None``, or the store has not room enough, features that do not fit into memory
    together come from further passes.

    References
    ----------
    S. Kornblith, M. Norouzi, H. Lee, G. Hinton, "Similarity of neural network representations
    revisited", 2019, https://arxiv.org/abs/1905.00414 (linear CKA).

    Examples
    --------
    >>> from sktransfer import VGGFeatureExtractor, load_digit_pair, sweep_layers
    >>> X, y = load_digit_pair(return_X_y=True)
    >>> extractor = VGGFeatureExtractor(weights=None, random_state=0)
    >>> sweep = sweep_layers(
    ...     X[:40], y[:40], extractor=extractor, layers=["block1_pool", "block2_pool"],
    ...     poolings=["avg"], input_sizes=[32], cv=2,
    ... )
    >>> [(row.variant.layer, row.variant.width) for row in sweep.rows]
    [('block1_pool', 64), ('block2_pool', 128)]
    """
    who = "sweep_layers"
    budget = _TimeBudget(_check_budget("time_budget", time_budget, Real, who))
    memory_budget = int(_check_budget("memory_budget", memory_budget, Integral, who) or 0)
    extractor = _settle_extractor(extractor, who)
    variants, skipped = plan_variants(
        extractor.architecture, layers, poolings, input_sizes, max_width, who=who
    )
    (X,) = indexable(X)
    images = read_images(
        X, image_shape=extractor.image_shape, value_range=extractor.value_range, who=who
    )
    labels = check_labels(y, len(images), positive=positive, who=who)
    folds = make_folds(labels, cv, random_state=random_state, groups=groups, who=who)
    classifier = check_classifier(classifier, who=who)
    scorer = make_scorer_of(labels, scoring, classifier, who=who)
    variants = _that_fit(variants, skipped, len(images), memory_budget, who)
    passes = plan_passes(
        variants,
        len(images),
        store_bytes=store_bytes(extractor),
        memory_bytes=memory_budget,
    )
    del images

    n_cka_images = min(len(labels.y), MAX_CKA_IMAGES)
    chosen = np.random.default_rng(random_state).permutation(len(labels.y))[:n_cka_images]
    sweep = LayerSweep(
        n_images=len(labels.y),
        n_folds=len(folds),
        classes=[to_plain(label) for label in labels.classes],
        positive=to_plain(labels.positive),
        metric="",
        skipped=skipped,
        n_cka_images=n_cka_images,
    )
    # Weights are found, and parameters checked, before the first pass takes its time.
    fitted = fit_passes(extractor, passes, X)
    grams: list[np.ndarray] = []
    costs: dict[tuple[str, int], float] = {}
    for extractor, one_pass in zip(fitted, passes, strict=True):
        for group in one_pass.groups:
            with unless_said(bool(grams)):
                features = _compute(extractor, one_pass, group, X, sweep, budget, verbose)
            for variant in list(features):
                if budget.is_spent():
                    reason = f"the time budget of {budget} was spent before its classifier"
                    skipped.append(Skipped(variant, reason))
                    continue
                values = features.pop(variant)
                grams.append(centred_gram(values[chosen]))
                key = variant.layer, variant.input_size
                if key not in costs and not budget.is_spent():
                    costs[key] = _milliseconds_of(extractor, variant, X, len(labels.y))
                bar = str(variant) if verbose else None
                found = score_folds(values, labels.y, folds, classifier, scorer, progress=bar)
                del values  # before the next one is looked at
                sweep.rows.append(
                    SweepRow(
                        variant,
                        found.scores,
                        milliseconds=costs.get(key),
                        classifier_seconds=found.seconds,
                        n_not_converged=found.n_not_converged,
                    )
                )
                sweep.metric = next(iter(found.scores))
    if grams:
        sweep.cka = linear_cka(grams)
    best = sweep.best
    for row in sweep.rows:
        if best is not None and row is not best:
            pair = row.scores[sweep.metric], best.scores[sweep.metric]
            row.to_best = compare_scores(*pair, folds)
    return sweep


def _milliseconds_of(fitted: VGGFeatureExtractor, variant: Variant, X: Any, n_images: int) -> float:
    """Measure what an image costs an extractor that cuts here and nowhere deeper."""
    known = {} if fitted.value_range_ is None else {"value_range": fitted.value_range_}
    # Speed does not depend on what int8 is calibrated on.
    few = _safe_indexing(X, slice(0, 4))
    calibration = few if fitted.precision == "int8" else None
    with unless_said(True):
        timed = extractor_of(fitted, [variant], cache=None, calibration=calibration, **known)
        _, seconds = time_features(timed.fit(few), X, n_images)
    return 1000 * seconds


def _compute(
    fitted: VGGFeatureExtractor,
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
    name = f"{group[0].input_size} px"
    with tqdm(total=n, desc=name, unit="image", disable=not verbose) as progress:
        while n_done < n and not budget.is_spent():
            rows, block = next(blocks)
            for variant, values in features.items():
                values[rows] = block[:, one_pass.columns[variant]]
            progress.update(rows.stop - n_done)
            n_done = rows.stop
    if n_done == n:
        return features
    reason = f"the time budget of {budget} was spent after {n_done:,} of {n:,} images"
    if one_pass.is_kept and n_done:
        reason += ", whose features are kept"
    sweep.skipped += [Skipped(variant, reason) for variant in group]
    return {}


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


def _settle_extractor(extractor: Any, who: str) -> VGGFeatureExtractor:
    """Return an extractor whose clones all draw the same random weights."""
    extractor = VGGFeatureExtractor() if extractor is None else extractor
    if not isinstance(extractor, VGGFeatureExtractor):
        raise TypeError(
            f"The 'extractor' parameter of {who} must be None or an instance of "
            f"VGGFeatureExtractor. Got {extractor!r} instead."
        )
    extractor = clone(extractor)
    seed = extractor.random_state
    if not isinstance(seed, Integral):
        seed = int(check_random_state(seed).randint(np.iinfo(np.int32).max))
    return extractor.set_params(random_state=seed, verbose=0)


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
            f"{who} has nothing to compute: all is left out. {'; '.join(map(str, skipped))}. Raise "
            "memory_budget, or pool."
        )
    return fit
