"""What `diagnose` finds where a fault was planted, and what it says of healthy images.

    python benchmarks/planted_faults.py WEIGHTS [--half report] [--only faults] [--markdown]

WEIGHTS are VGG16's ImageNet weights, all five blocks. Thresholds were set on one half of the sets
of images (--half set); what is reported is of the other half, in which no image and no source of
images is the same. A fault counts as found only by its own name and severity. Healthy sets are
looked at with four layers and sizes; an alarm is a finding of severity warning or error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from fault_sets import base_sets, healthy_sets
from faults import FAULTS, plant

from sktransfer import ImageWarning, VGGFeatureExtractor, diagnose
from sktransfer.results.tables import format_markdown, format_table

#: Layers, poolings and sizes at which healthy images are looked at.
CUTS = (("block2_pool", "avg", 32), ("block3_pool", "avg", 32), ("block4_pool", "avg", 64),
        ("flatten", None, 48))  # fmt: skip


def _extractor(weights: str, layer: str, pooling: str | None, size: int) -> VGGFeatureExtractor:
    return VGGFeatureExtractor(layer, weights=weights, pooling=pooling, input_size=size)


def _examine(estimator: Any, X: Any, y: Any) -> list[tuple[str, str]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pipelines that a fault fits
        warnings.simplefilter("ignore", ImageWarning)
        diagnosis = diagnose(estimator, X, y)
    return [(each.name, each.severity) for each in diagnosis.findings]


def _spell(findings: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({severity})" for name, severity in findings) or "-"


def plant_all(weights: str, half: str, wanted: str | None) -> list[list[str]]:
    """Plant every fault in a set of its own, and return a row for each."""
    sets = [each for each in base_sets() if each.half == half]
    extractor = _extractor(weights, "block3_pool", "avg", 32)
    body = []
    for number, fault in enumerate(FAULTS):
        fitting = [each for each in sets if fault.needs <= each.traits]
        one = fitting[number % len(fitting)]
        if wanted and wanted not in f"{fault.name} {fault.finding} {one.name}":
            continue
        with tempfile.TemporaryDirectory() as folder:
            findings = _examine(*plant(fault, one, extractor, Path(folder)))
        severities = [severity for name, severity in findings if name == fault.finding]
        # Where an info is wanted, more is right as well.
        is_found = fault.severity in severities or (fault.severity == "info" and bool(severities))
        also = [each for each in findings if each[0] != fault.finding]
        planted = f"{fault.finding} ({fault.severity})"
        body.append([fault.name, one.name, planted, "yes" if is_found else "no", _spell(also)])
        print(*body[-1], sep=" | ", file=sys.stderr, flush=True)
    return body


def look_at_healthy(weights: str, half: str, wanted: str | None) -> list[list[str]]:
    """Look at every healthy set at every cut, and return a row for each alarm, and their sum."""
    body, n_runs = [], 0
    sets = [each for each in healthy_sets() if each.half == half]
    for layer, pooling, size in CUTS:
        for one in sets:
            if wanted and wanted not in one.name:
                continue
            findings = _examine(_extractor(weights, layer, pooling, size), one.images, one.y)
            alarms = [each for each in findings if each[1] != "info"]
            n_runs += 1
            row = [one.name, f"{layer}, {size} px", _spell(alarms)]
            print(*row, sep=" | ", file=sys.stderr, flush=True)
            if alarms:
                body.append(row)
    body.append([f"all {n_runs} runs", "", f"{len(body)} with an alarm"])
    return body


def main() -> None:
    """Print a row for every fault and every alarm, and the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", help="VGG16's ImageNet weights, without the dense layers")
    parser.add_argument("--half", choices=["set", "report"], default="report")
    parser.add_argument("--only", choices=["faults", "healthy"])
    parser.add_argument("--match", help="only faults or sets whose name holds this")
    parser.add_argument("--markdown", action="store_true")
    args = parser.parse_args()
    lay_out = format_markdown if args.markdown else format_table
    start = time.perf_counter()
    if args.only != "healthy":
        body = plant_all(args.weights, args.half, args.match)
        print(lay_out(["planted", "in", "wanted", "found", "also said"], body), "\n")
        print(f"{sum(row[3] == 'yes' for row in body)} of {len(body)} found\n")
    if args.only != "faults":
        body = look_at_healthy(args.weights, args.half, args.match)
        print(lay_out(["healthy", "at", "alarms"], body), "\n")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
