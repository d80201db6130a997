"""What `diagnose` finds where a fault was planted, and what it says of healthy images.

    python benchmarks/planted_faults.py WEIGHTS [--half report] [--only faults] [--markdown]
    python benchmarks/planted_faults.py WEIGHTS --half first --images FOLDER --mnist FILE
    python benchmarks/planted_faults.py WEIGHTS --half second --images FOLDER   # and third

WEIGHTS are VGG16's ImageNet weights, all five blocks. Thresholds were set on one half of the sets
of images (--half set); what is reported is of the other half, in which no image and no source of
images is the same. Three further parts had been seen by no decision when `diagnose` first looked at
them; changes were made after each of these looks. The modules `untouched_...` say how to get them.

A fault counts as found only by its own name and severity. Healthy sets are looked at with four
layers and sizes; an alarm is a finding of severity warning or error. What an alarm claims of a
layer, of pixels or of the signal is checked on further images of the same source, by classifiers
that are fitted on the set in both ways that the claim compares. Of wrong labels it is asked whether
a classifier of the further images takes more than half of those listed for another class. An alarm
is false where its claim does not hold there; what cannot be checked so is for eyes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from fault_sets import Set, base_sets, healthy_sets
from faults import FAULTS, plant
from sklearn.base import clone
from untouched_first import first_sets
from untouched_second import second_sets
from untouched_third import third_sets

from sktransfer import ImageWarning, VGGFeatureExtractor, diagnose
from sktransfer.evaluation.diagnosis.probes import USEFUL
from sktransfer.evaluation.probing import make_classifier
from sktransfer.results.tables import format_markdown, format_table

UNTOUCHED: dict[str, Any] = {"first": first_sets, "second": second_sets, "third": third_sets}
#: Standard errors by which one way must be better on further images.
CLEARLY = 2
#: Layers, poolings and sizes at which healthy images are looked at.
CUTS = (("block2_pool", "avg", 32), ("block3_pool", "avg", 32), ("block4_pool", "avg", 64),
        ("flatten", None, 48))  # fmt: skip


def _extractor(weights: str, layer: str, pooling: str | None, size: int) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(layer, weights=weights, pooling=pooling, input_size=size)


def _examine(estimator: Any, X: Any, y: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pipelines that a fault fits
        warnings.simplefilter("ignore", ImageWarning)
        return diagnose(estimator, X, y).findings


def _spell(findings: list[Any]) -> str:
    return ", ".join(f"{each.name} ({each.severity})" for each in findings) or "-"


def plant_all(weights: str, sets: list[Set], wanted: str | None) -> list[list[str]]:
    """Plant every fault in one of the sets, and return a row for each."""
    extractor = _extractor(weights, "block3_pool", "avg", 32)
    body = []
    for number, fault in enumerate(FAULTS):
        fitting = [each for each in sets if fault.needs <= each.traits]
        if not fitting:
            print(f"{fault.name}: left out, as no set fits", file=sys.stderr)
            continue
        one = fitting[number % len(fitting)]
        if wanted and wanted not in f"{fault.name} {fault.finding} {one.name}":
            continue
        with tempfile.TemporaryDirectory() as folder:
            findings = _examine(*plant(fault, one, extractor, Path(folder)))
        severities = [each.severity for each in findings if each.name == fault.finding]
        # Where an info is wanted, more is right as well.
        is_found = fault.severity in severities or (fault.severity == "info" and bool(severities))
        also = [each for each in findings if each.name != fault.finding]
        planted = f"{fault.finding} ({fault.severity})"
        body.append([fault.name, one.name, planted, "yes" if is_found else "no", _spell(also)])
        print(*body[-1], sep=" | ", file=sys.stderr, flush=True)
    return body


def look_at_healthy(weights: str, sets: list[Set], wanted: str | None) -> list[list[str]]:
    """Look at every healthy set at every cut, and return a row for each alarm, and their sums."""
    body: list[list[str]] = []
    n_runs = n_alarmed = n_false = n_errors = n_unchecked = 0
    for layer, pooling, size in CUTS:
        for one in sets:
            if wanted and wanted not in one.name:
                continue
            extractor = _extractor(weights, layer, pooling, size)
            alarms = [
                each for each in _examine(extractor, one.images, one.y) if each.severity != "info"
            ]
            checked = [_check(each, extractor, one) for each in alarms]
            n_runs += 1
            n_alarmed += bool(alarms)
            answers = [holds for holds, _ in checked]
            n_false += False in answers
            n_unchecked += None in answers and False not in answers
            n_errors += ("error", False) in [
                (alarm.severity, holds) for alarm, holds in zip(alarms, answers, strict=True)
            ]
            for alarm, (holds, scores) in zip(alarms, checked, strict=True):
                said = {True: "yes", False: "no", None: "look"}[holds]
                body.append([one.name, f"{layer}, {size} px", _spell([alarm]), scores, said])
                print(*body[-1], alarm.evidence, sep=" | ", file=sys.stderr, flush=True)
    sums = (
        f"{n_alarmed} with an alarm, {n_false} with a false one, {n_errors} with a false error, "
        f"{n_unchecked} more for eyes"
    )
    return [*body, [f"all {n_runs} runs", "", sums, "", ""]]


def _check(alarm: Any, extractor: VGGFeatureExtractor, one: Set) -> tuple[bool | None, str]:
    """Tell whether what an alarm claims holds on further images, and the scores there.

    None if that cannot be checked.
    """
    features = extractor.fit_transform(one.images)
    if alarm.name == "wrong-labels":
        return _look_like_others(alarm, extractor, features, one)
    here = _rightly(features, extractor, one)
    if alarm.name in ("cut-too-deep", "cut-too-shallow", "enlarged"):
        names = {"extractor": clone(extractor)}
        exec(alarm.remedy, names)  # the remedy is code
        other = names["extractor"]
        there = _rightly(other.fit_transform(one.images), other, one)
    elif alarm.name in ("raw-pixels-win", "lost-signal"):
        there = _rightly(_pixels(one.images), None, one)
    elif alarm.name in ("chance-level", "labels-out-of-step"):
        ways = [here]
        if alarm.name == "labels-out-of-step":  # or the images do not show the classes, it says
            ways.append(_rightly(_pixels(one.images), None, one))
        # The mean over classes of the share found, which classes of unequal size do not change.
        found = [np.mean([way[one.fresh_y == k].mean() for k in np.unique(one.y)]) for way in ways]
        guessing = 1 / len(np.unique(one.y))
        useful = guessing + USEFUL * (1 - guessing)
        return bool(max(found) < useful), ", ".join(f"{each:.3f}" for each in found)
    else:
        return None, "-"
    gain = there.astype(float) - here
    holds = gain.mean() > CLEARLY * gain.std() / np.sqrt(len(gain))
    return bool(holds), f"{here.mean():.3f}, {there.mean():.3f} of {len(gain)}"


def _look_like_others(
    alarm: Any, extractor: VGGFeatureExtractor, features: np.ndarray, one: Set
) -> tuple[bool, str]:
    """Ask a classifier of the further images whether the listed ones are like another class."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        probe = make_classifier().fit(extractor.transform(one.fresh_images), one.fresh_y)
    is_other = probe.predict(features[alarm.images]) != one.y[alarm.images]
    return bool(is_other.mean() > 0.5), f"{is_other.sum()} of {len(is_other)}"


def _pixels(images: np.ndarray) -> np.ndarray:
    return images.reshape(len(images), -1)


def _rightly(known: np.ndarray, extractor: Any, one: Set) -> np.ndarray:
    """Learn from the set, and tell which of the further images are classified rightly."""
    fresh = one.fresh_images
    features = _pixels(fresh) if extractor is None else extractor.transform(fresh)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_classifier().fit(known, one.y).predict(features) == one.fresh_y


def main() -> None:
    """Print a row for every fault and every alarm, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="VGG16's ImageNet weights, without the dense layers")
    parser.add_argument("--half", choices=["set", "report", *UNTOUCHED], default="report")
    parser.add_argument("--images", type=Path, help="untouched parts: where packages were unpacked")
    parser.add_argument("--mnist", type=Path, help="first: an .npz of MNIST's ten digits")
    parser.add_argument("--only", choices=["faults", "healthy"])
    parser.add_argument("--match", help="only faults or sets whose name holds this")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    lay_out = format_markdown if args.markdown else format_table
    start = time.perf_counter()
    sets, missing = base_sets(), []
    if args.half in UNTOUCHED:
        more = [args.mnist] if args.half == "first" else []
        sets, missing = UNTOUCHED[args.half](args.images, *more)
    print(*missing, sep="\n", end="\n" if missing else "", file=sys.stderr)
    healthy = [each for each in healthy_sets(sets) if each.half == args.half]
    sets = [each for each in sets if each.half == args.half]
    if args.only != "healthy":
        body = plant_all(args.weights, sets, args.match)
        print(lay_out(["planted", "in", "wanted", "found", "also said"], body), "\n")
        print(f"{sum(row[3] == 'yes' for row in body)} of {len(body)} found\n")
    if args.only != "faults":
        body = look_at_healthy(args.weights, healthy, args.match)
        header = ["healthy", "at", "alarm", "right on further images", "holds"]
        print(lay_out(header, body), "\n")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
