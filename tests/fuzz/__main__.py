"""Fuzz the parsers: ``python -m tests.fuzz --minutes 5``."""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from tests.fuzz.run import Report, Worker, fuzz, save, shrink
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Fuzz, and print a table.

    Returns
    -------
    int
        1 where anything failed.
    """
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long, over all targets together")
    parser.add_argument(
        "--executions", type=int, help="how many inputs for each target, beyond corpus and seeds"
    )
    parser.add_argument("--target", action="append", help="fuzz this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-atheris", action="store_true", help="use our own mutations anyway")
    parser.add_argument("--save", action="store_true", help="put what fails into the corpus")
    parser.add_argument("--json", type=Path, help="write the results to this file")
    options = parser.parse_args()
    names = options.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    if options.minutes is None and options.executions is None:
        parser.error("say --minutes or --executions")
    seconds = 1e9 if options.minutes is None else 60 * options.minutes / len(names)
    guided = (
        options.executions is None
        and not options.no_atheris
        and importlib.util.find_spec("atheris") is not None
    )
    reports = {}
    worker = Worker()
    try:
        for name in names:
            reports[name] = fuzz(
                name,
                seed=options.seed,
                seconds=seconds,
                changes=1 << 62 if options.executions is None else options.executions,
                guided=guided,
                worker=worker,
            )
            _print_row(name, reports[name])
            if options.save:
                _save(name, reports[name], worker)
    finally:
        worker.close()
    _print_row("all", _sum(reports))
    _print_failures(reports)
    if options.json:
        facts = {name: _facts(report) for name, report in reports.items()}
        options.json.write_text(json.dumps({"guided": guided, "targets": facts}, indent=1))
    return int(any(report.failures for report in reports.values()))


def _save(name: str, report: Report, worker: Worker) -> None:
    for key, known in report.failures.items():
        if known["data"] is None:
            continue
        if known["kind"] in ("hang", "crash", "memory"):
            known["saved"] = save(name, known["data"])
        else:
            shorter = shrink(name, key, known["data"], worker)
            known["saved"] = save(name, min(shorter, known["data"], key=len))


def _sum(reports: dict[str, Report]) -> Report:
    return Report(
        sum(report.executions for report in reports.values()),
        sum(report.seconds for report in reports.values()),
        {
            f"{name} {key}": known
            for name, report in reports.items()
            for key, known in report.failures.items()
        },
        sum(report.contained for report in reports.values()),
    )


def _print_row(name: str, report: Report) -> None:
    rate = report.executions / max(report.seconds, 1e-9)
    print(
        f"{name:12} {report.executions:>9,} executions {rate:>6,.0f}/s "
        f"{report.count():>6,} unexpected {report.count('hang'):>4,} hangs "
        f"{report.count('crash'):>4,} crashes {report.contained:>4,} contained",
        flush=True,
    )


def _print_failures(reports: dict[str, Report]) -> None:
    for name, report in reports.items():
        for key, known in sorted(report.failures.items(), key=lambda item: -item[1]["n"]):
            where = f" [{known['saved'].name}]" if known.get("saved") else ""
            print(f"{name}: {key}: {known['n']:,} times{where}\n    {known['detail']}")


def _facts(report: Report) -> dict[str, Any]:
    failures = {
        key: {name: value for name, value in known.items() if name not in ("data", "saved")}
        | ({"file": known["saved"].name} if known.get("saved") else {})
        for key, known in report.failures.items()
    }
    return {
        "executions": report.executions,
        "seconds": round(report.seconds, 1),
        "hangs": report.count("hang"),
        "crashes": report.count("crash"),
        "unexpected": report.count(),
        "contained": report.contained,
        "failures": failures,
    }


if __name__ == "__main__":
    sys.exit(main())
