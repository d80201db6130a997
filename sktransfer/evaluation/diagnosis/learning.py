"""Checks of learning: labels, classifier, layer, and raw pixels compared with features."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.evidence import SURE_Z, Evidence
from sktransfer.evaluation.diagnosis.features import WIDE
from sktransfer.evaluation.diagnosis.findings import Finding
from sktransfer.evaluation.diagnosis.neighbours import Agreement, share_agreeing
from sktransfer.evaluation.diagnosis.probes import is_better

#: p-value of the permutation test below which neighbours share labels.
AGREES = 0.01
#: Shifts of the labels that are tried, in each direction.
MAX_SHIFT = 16
#: Gain that is worth a warning, in accuracy or, of unequal classes, in balanced accuracy.
CLEARLY = 0.05
#: The same for raw pixels: less than this is not worth the network's time in either direction.
PIXELS_WIN = 0.02
#: Difference of training and test accuracy from which a classifier on a wide layer overfits.
BY_HEART = 0.15
#: Images of each of two classes wanted on both sides of a place where labels change.
N_BESIDE = 5


def _folders(e: Evidence) -> Iterator[Finding]:
    """Compare labels with the folders that the files lie in, where there is one for each class."""
    assert e.labels is not None
    items = getattr(e.images, "items", [])
    if not items or not all(isinstance(item, str) for item in items):
        return
    folders = np.array([PurePath(item).parent.name for item in items])
    names, own = np.unique(folders, return_inverse=True)
    if len(names) != len(e.labels.classes):
        return
    table = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(table, (own, e.codes), 1)
    n_apart = len(items) - int(table.max(axis=1).sum())
    if n_apart == 0:
        return
    yield Finding(
        "labels-out-of-step",
        "error" if n_apart > len(items) / 10 else "warning",
        "There are as many folders as classes, but the labels do not follow the folders: they are "
        "in another order than the files, or some files are in the wrong folder.",
        {"files whose label is not their folder's": n_apart, "of": len(items)},
        "y = [pathlib.Path(path).parent.name for path in X]",
    )


def labels_out_of_step(e: Evidence) -> Iterator[Finding]:
    """Look for labels that belong to other images than those they are given with."""
    proved = list(_folders(e))
    if proved:
        yield from proved
        return
    pixels, features = e.pixel_agreement, e.feature_agreement
    best = max(pixels, features, key=lambda agreement: agreement.z)
    evidence = _agreements(pixels, features)
    if best.p_value < AGREES:
        yield from _change(e, best, evidence)
        return
    shift, z = _best_shift(e)
    if z > SURE_Z:
        yield Finding(
            "labels-out-of-step",
            "error",
            f"The labels are shifted against the images: moved by {shift}, they agree with what "
            "the images show.",
            evidence | {"shift": shift, "z of the agreement after it": z},
            f"y = np.roll(y, {shift})  # better: find out why",
        )
    elif e.feature_probe.is_proved_chance and e.pixel_probe.is_chance:
        yield Finding(
            "labels-out-of-step",
            "warning",
            "Images that look alike do not share labels, and no classifier finds a relation, in "
            "pixels or in features. Either the labels are in another order than the images, as "
            "after a generator that shuffles, or the images do not show what the labels say.",
            evidence,
            "show = X[:20], y[:20]  # look at them side by side; keep images and labels in one "
            "list until the end",
        )


def _agreements(pixels: Agreement, features: Agreement) -> dict[str, Any]:
    return {
        "neighbours in pixels that share the label": pixels.observed,
        "neighbours in features": features.observed,
        "expected by chance": pixels.expected,
        "p-values": [pixels.p_value, features.p_value],
    }


def _best_shift(e: Evidence) -> tuple[int, float]:
    """Try moving the labels by a few places, and return the move that agrees best."""
    assert e.labels is not None and e.all_y is not None
    all_codes = np.searchsorted(e.labels.classes, e.all_y)
    best = (0, 0.0)
    for shift in [s for n in range(1, MAX_SHIFT + 1) for s in (n, -n)]:
        codes = np.roll(all_codes, shift)[e.rows]
        for neighbours, agreement in (
            (e.feature_neighbours, e.feature_agreement),
            (e.pixel_neighbours, e.pixel_agreement),
        ):
            z = agreement.z_of(float(share_agreeing(neighbours, codes).mean()))
            if z > best[1]:
                best = (shift, z)
    return best


def _change(e: Evidence, agreement: Agreement, evidence: dict[str, Any]) -> Iterator[Finding]:
    """Look for a place in the order of the images from which on labels agree no more."""
    codes = e.codes
    # What is left after each class's own mean: classes differ in how well they hold together.
    means = np.bincount(codes, agreement.each) / np.bincount(codes)
    rest = agreement.each - means[codes]
    n = len(rest)
    best = (0.0, 0)
    for place in range(n // 10, n - n // 10 + 1):
        before, after = rest[:place], rest[place:]
        sides = [np.bincount(codes[part], minlength=len(means)) for part in
                 (slice(None, place), slice(place, None))]  # fmt: skip
        if ((sides[0] >= N_BESIDE) & (sides[1] >= N_BESIDE)).sum() < 2:
            continue
        spread = rest.std() * np.sqrt(1 / len(before) + 1 / len(after))
        z = abs(before.mean() - after.mean()) / max(spread, 1e-12)
        if z > best[0]:
            best = (float(z), place)
    z, place = best
    if z <= SURE_Z:
        return
    shares = [float(agreement.each[:place].mean()), float(agreement.each[place:].mean())]
    chance = agreement.expected
    if min(shares) > chance + (max(shares) - chance) / 2:
        return
    yield Finding(
        "labels-out-of-step",
        "error",
        "From some position on, the labels stop or start to agree with what the images show: there "
        "is one image or label too many, or two parts were joined in different order.",
        evidence
        | {
            "around image": int(e.rows[min(place, n - 1)]),
            "neighbours that share the label, before and after": shares,
            "z": z,
        },
        f"look_at = slice({max(int(e.rows[min(place, n - 1)]) - 10, 0)}, None)  # X and y from "
        "there on",
    )


def lost_signal(e: Evidence) -> Iterator[Finding]:
    """Look for labels that show in the pixels, and no more in the features."""
    if not e.feature_probe.is_proved_chance or e.pixel_agreement.p_value >= AGREES:
        return
    better, p_value = is_better(e.pixel_probe, e.feature_probe, margin=PIXELS_WIN)
    if e.pixel_probe.is_chance or not better:
        return
    yield Finding(
        "lost-signal",
        "error",
        "The pixels show what the labels say, but the features have lost it: the cause is the "
        "value range, the input size or the layer, not the labels.",
        _agreements(e.pixel_agreement, e.feature_agreement)
        | {
            f"{e.pixel_probe.metric} on pixels": e.pixel_probe.score,
            "on features": e.feature_probe.score,
            "p-value": p_value,
        },
        f"extractor.set_params({e.anatomy.earlier}, value_range='auto')",
    )


def raw_pixels_win(e: Evidence) -> Iterator[Finding]:
    """Compare with the same classifier on pixels."""
    better, p_value = is_better(e.pixel_probe, e.feature_probe, margin=PIXELS_WIN)
    # With labels out of step either may win by chance.
    if better and e.pixel_probe.z > SURE_Z:
        yield Finding(
            "raw-pixels-win",
            "warning",
            "The same classifier does better on the pixels themselves than on the features.",
            {
                f"{e.pixel_probe.metric} on pixels": e.pixel_probe.score,
                "on features": e.feature_probe.score,
                "p-value": p_value,
            },
            "compare_transfer(X, y, extractors={'this': extractor})  # on all images",
        )


def cut_depth(e: Evidence) -> Iterator[Finding]:
    """Compare the cut with the ends of earlier and of later blocks, each map averaged."""
    if not e.anatomy.stages:
        e.leave_out(("cut-too-deep", "cut-too-shallow"), "the network has no feature maps")
        return
    reached = [layer.name for layer in e.cut.trunk]
    scores = {name: probe.score for name, probe in e.depth_probes.items()}
    own = e.feature_probe
    earlier = [n for n in scores if n in reached and n not in _names(e)]
    deeper = [n for n in scores if n not in reached]
    evidence = {f"{own.metric} here": own.score} | {f"at {n}": v for n, v in scores.items()}
    for names, finding in ((earlier, "cut-too-deep"), (deeper, "cut-too-shallow")):
        if not names:
            continue
        best = max(names, key=scores.__getitem__)
        probe = e.depth_probes[best]
        better, p_value = is_better(probe, own, margin=CLEARLY, n_comparisons=len(names))
        # Labels out of step make all layers chance, and one of them the best by chance.
        if better and probe.z > SURE_Z:
            where = "An earlier" if finding == "cut-too-deep" else "A deeper"
            yield Finding(
                finding,
                "warning",
                f"{where} layer classifies better, even with its maps averaged.",
                evidence | {"p-value": p_value},
                f"extractor.set_params(layer={best!r}, pooling='avg')",
            )


def _names(e: Evidence) -> list[str]:
    """Name the wanted layers that are averaged already."""
    return [layer.name for layer, pooling in e.cut.outputs if pooling == "avg"]


def wide_features(e: Evidence) -> Iterator[Finding]:
    """Look for so many features that the classifier overfits."""
    ratio = e.extractor.n_features_out_ / e.n_images
    if ratio < WIDE:
        return
    evidence = {"features": e.extractor.n_features_out_, "images": e.n_images, "ratio": ratio}
    severity = "info"
    message = (
        "There are far more features than images. A regularised linear classifier copes with that; "
        "others may not, and all become slow."
    )
    # The sample stands for all images only where it is most of them.
    if e.labels is not None and e.n_images < 2 * len(e.rows) and not e.feature_probe.is_chance:
        learned = e.training_accuracy
        evidence |= {"accuracy in training": learned, "on test folds": e.feature_probe.mean}
        if learned - e.feature_probe.mean > BY_HEART:
            severity = "warning"
            message = (
                "There are far more features than images, and the classifier memorises the labels: "
                "on images that it has not seen it does much worse."
            )
    yield Finding(
        "wide-features",
        severity,
        message,
        evidence,
        "extractor.set_params(pooling='avg')  # one value for each feature map"
        if len(e.cut.layers[-1].output_shape) > 1
        else f"extractor.set_params({e.anatomy.narrower})",
    )
