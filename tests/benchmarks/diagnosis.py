"""What `diagnose` finds where a fault was planted, and what it says of healthy images.

    python tests/benchmarks/diagnosis.py [vgg19_blocks1-3_notop.h5] [--markdown] [--only healthy]

The cases are those of the tests (tests/diagnosis_cases.py): VGG19 cut at block3_pool at 32 pixels
with the weights of the file, or VGG16 at block2_pool with random ones.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import warnings
from pathlib import Path

from sklearn.base import clone

from sktransfer import ImageWarning, VGGFeatureExtractor, diagnose
from sktransfer._tables import format_markdown, format_table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from diagnosis_cases import FAULTS, HEALTHY, Make


def _examine(make: Make, extractor: VGGFeatureExtractor) -> list[tuple[str, str]]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ImageWarning)  # of pipelines that a case fits
        # A copy, as some cases fit what they are given.
        diagnosis = diagnose(*make(clone(extractor), Path(folder)))
    return [(each.name, each.severity) for each in diagnosis.findings]


def _spell(findings: list[tuple[str, str]]) -> str:
    return ", ".join(f"{name} ({severity})" for name, severity in findings) or "-"


def main() -> None:
    """Print a row for every case, then the sums."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", help="weights of VGG19; random ones if left out")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", choices=["faults", "healthy"])
    args = parser.parse_args()
    params = {"pooling": "avg", "input_size": 32}
    if args.weights:
        extractor = VGGFeatureExtractor(
            "block3_pool", architecture="vgg19", weights=args.weights, **params
        )
        allowed = set()
    else:
        extractor = VGGFeatureExtractor("block2_pool", weights=None, random_state=0, **params)
        allowed = {"random-weights"}
    lay_out = format_markdown if args.markdown else format_table

    found_faults, body = 0, []
    for name, fault in FAULTS.items() if args.only != "healthy" else ():
        findings = _examine(fault.make, extractor)
        found = (fault.finding, fault.severity) in findings
        found_faults += found
        rest = [each for each in findings if each != (fault.finding, fault.severity)]
        planted = f"{fault.finding} ({fault.severity})"
        body.append([name, planted, "yes" if found else "no", _spell(rest)])
    print(lay_out(["planted", "wanted", "found", "also said"], body), "\n")

    false_alarms, body = 0, []
    for name, make in HEALTHY.items() if args.only != "faults" else ():
        findings = [each for each in _examine(make, extractor) if each[0] not in allowed]
        alarms = [each for each in findings if each[1] != "info"]
        false_alarms += bool(alarms)
        infos = [each for each in findings if each[1] == "info"]
        body.append([name, _spell(alarms), _spell(infos)])
    print(lay_out(["healthy", "alarms", "infos"], body), "\n")

    sums = []
    if args.only != "healthy":
        sums.append(["a fault was planted", f"{found_faults}", f"{len(FAULTS) - found_faults}"])
    if args.only != "faults":
        sums.append(["nothing was", f"{false_alarms}", f"{len(HEALTHY) - false_alarms}"])
    print(lay_out(["", "found / alarm", "not found / no alarm"], sums))


if __name__ == "__main__":
    main()
