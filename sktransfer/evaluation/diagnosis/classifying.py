"""Checks of the user's classifier, against a reference probe on the same features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.metrics import balanced_accuracy_score

from sktransfer.evaluation.diagnosis.evidence import Evidence
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.probes import is_better

#: Gain that is worth a warning, in accuracy or, of unequal classes, in balanced accuracy.
CLEARLY = 0.05
#: Distance below the reference from which a classifier does not do what it could.
FAR_BELOW = 0.1
#: Difference of a fitted pipeline from one that is fitted anew on other images.
OTHERWISE = 0.15
#: How much better, and how good, a fitted pipeline must be on images that it has learned from.
SEEN, KNOWN = 0.05, 0.97


def unscaled_features(e: Evidence) -> Iterator[Finding]:
    """Compare the user's classifier with the same behind a StandardScaler."""
    if not e.subject.after:
        return
    plain = e.downstream_probe
    scaled = e.scaled_downstream_probe
    better, p_value = is_better(scaled, plain, margin=CLEARLY)
    converges = plain.n_not_converged > scaled.n_not_converged
    if not better and not converges:
        return
    lost = better and plain.is_proved_chance and not scaled.is_chance
    yield Finding(
        "unscaled-features",
        "error" if lost else "warning",
        "The classifier needs features on one scale"
        + (": without a scaler it only guesses." if lost else "."),
        {
            plain.metric: plain.score,
            f"{plain.metric} with a StandardScaler": scaled.score,
            "p-value": p_value,
            "folds not converged": [plain.n_not_converged, scaled.n_not_converged],
            "size of features": float(np.abs(e.features).mean()),
        },
        "pipeline = make_pipeline(extractor, StandardScaler(), classifier)",
    )


def not_converged(e: Evidence) -> Iterator[Finding]:
    """Look for classifiers that stopped before they were done."""
    assert e.folds is not None
    n = e.downstream_probe.n_not_converged
    if n == 0:
        return
    yield Finding(
        "not-converged",
        "warning",
        "The classifier reached its limit of iterations before it converged: its scores are "
        "those of an unfinished fit.",
        {"folds": n, "of": len(e.folds), "accuracy": e.downstream_probe.mean},
        "pipeline = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))",
    )


def fitted_otherwise(e: Evidence) -> Iterator[Finding]:
    """Compare a fitted classifier with the labels that it is said to predict."""
    assert e.labels is not None
    s = e.subject
    if not (s.is_fitted and s.has_classifier):
        return
    known = np.asarray(s.after[-1].classes_)
    strange = [c for c in e.labels.classes.tolist() if c not in known.tolist()]
    evidence: dict[str, Any] = {"classes of the fitted pipeline": known.tolist()[:20]}
    if strange:
        yield Finding(
            "fitted-otherwise",
            "error",
            "The fitted pipeline does not know some of these labels: they are spelled "
            "differently from those that it was fitted on, or are new.",
            evidence | {"unknown": strange[:20]},
            "pipeline.fit(X, y)",
        )
        return
    features = e.downstream_features
    for step in s.after[:-1]:
        features = step.transform(features)
    found = float(balanced_accuracy_score(e.labels.y, s.after[-1].predict(features)))
    anew = float(e.downstream_probe.balanced.mean())
    if anew - found > OTHERWISE:
        yield Finding(
            "fitted-otherwise",
            "error",
            "Fitted again, the pipeline predicts these labels; as it was fitted, it does not. It "
            "was fitted on other images, another range, or labels in another order.",
            {"mean share found of each class, as fitted": found, "fitted again": anew},
            "pipeline.fit(X, y)",
        )
    elif found - anew > SEEN and found >= KNOWN:
        yield Finding(
            "scored-on-training",
            "warning",
            "The fitted pipeline has seen these images: it scores far better on them than a "
            "pipeline that is fitted on other images of the same set. Its score on them says "
            "nothing about new ones.",
            {"mean share found of each class, as fitted": found, "on images not seen": anew},
            "cross_val_score(pipeline, X, y)  # or score it on images held out before fitting",
        )


def weak_classifier(e: Evidence) -> Iterator[Finding]:
    """Compare the user's classifier with the reference probe on the same features."""
    if not e.subject.after:
        return
    plain, reference = e.downstream_probe, e.feature_probe
    better, p_value = is_better(reference, plain, margin=FAR_BELOW)
    if not better or not e.is_explained:
        return
    # A scaler or more steps may be all that it takes, which other findings say.
    scaled = e.scaled_downstream_probe
    if scaled.score >= reference.score - FAR_BELOW / 2:
        return
    yield Finding(
        "weak-classifier",
        "error" if plain.is_chance else "warning",
        "The classifier is far below logistic regression on the same features. So the features "
        "distinguish the classes, and its own parameters keep it from learning. Usual causes are a "
        "C or gamma that is too small or too large, too few neighbours or trees, or a step such as "
        "Normalizer or softmax shares before it, which leaves values too small for its penalty.",
        {
            plain.metric: plain.score,
            f"{plain.metric} of scaled logistic regression": reference.score,
            f"{plain.metric} with a StandardScaler": scaled.score,
            "p-value": p_value,
            "classifier": repr(e.subject.after[-1])[:200],
        },
        "pipeline = make_pipeline(extractor, StandardScaler(), LogisticRegression(max_iter=1000))",
    )


def chance_level(e: Evidence) -> Iterator[Finding]:
    """Tell whether the classifier does better than guessing."""
    assert e.labels is not None
    probe = e.downstream_probe
    if not probe.is_chance:
        return
    majority = float(e.labels.counts.max() / e.labels.counts.sum())
    is_proved = probe.is_proved_chance
    yield Finding(
        "chance-level",
        "error" if is_proved else "info",
        "The classifier does no better on these features than guessing. The other findings may "
        "say why; if there are none, the images may not show what the labels say."
        if is_proved
        else "These images are too few to show whether the classifier does better than guessing, "
        "or not.",
        {
            "accuracy": probe.mean,
            "spread over folds": float(probe.accuracy.std()),
            "mean share found of each class": float(probe.balanced.mean()),
            "always the largest class": majority,
            "at most, with 95 % confidence": probe.highest,
            "z against guessing": probe.z,
        },
        "diagnose(extractor, X, y)  # without the classifier: is it the features?"
        if e.subject.after
        else "compare_transfer(X, y, extractors={'this': extractor})  # do raw pixels do better?",
    )
