"""Every benchmark of the project, side by side.

    python benchmarks                                    # what needs no data
    python benchmarks --data mnist_6_8.npz --weights vgg16_notop.h5
    python benchmarks engines-224 folds-224 --json FILE  # some parts
    python benchmarks --show FILE                        # tables of an earlier run

Prints a table for each part, and at the end every ratio that the project holds itself to. With
`--json` the results go to a file, in which parts that are run again replace those of before.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path

from bars import compare
from measuring import (
    Options,
    Row,
    describe_host,
    format_rows,
    name_processor,
    read_results,
    write_results,
)

from sktransfer.engines.accelerators import list_accelerators
from sktransfer.engines.processor import has_instructions

# What each part is called, what measures it, and what it needs besides.
_PARTS = {
    "engines-224": ("speed", "measure_engines", {"size": 224}, ()),
    "engines-32": ("speed", "measure_engines", {"size": 32}, ()),
    "folds-224": ("folds", "measure_folds", {"size": 224}, ()),
    "folds-32": ("folds", "measure_folds", {"size": 32}, ()),
    "growth": ("processes", "measure_growth", {}, ()),
    "memory": ("processes", "measure_memory", {}, ()),
    "reading": ("stores", "measure_reading", {}, ()),
    "kills": ("stores", "kill_writers", {}, ()),
    "layers": ("speed", "measure_layers", {}, ()),
    "network-mobilenetv2": ("networks", "measure_network", {"name": "MobileNetV2"}, ()),
    "network-resnet50": ("networks", "measure_network", {"name": "ResNet50"}, ()),
    "network-efficientnetv2b0": ("networks", "measure_network", {"name": "EfficientNetV2B0"}, ()),
    "network-convnexttiny": ("networks", "measure_network", {"name": "ConvNeXtTiny"}, ()),
    "network-vit-s": (
        "networks",
        "measure_network",
        {"name": "timm/vit_small_patch16_224"},
        ("timm",),
    ),
    "savings": ("savings", "count_savings", {}, ()),
    "accuracy": ("accuracy", "measure_accuracy", {}, ("data", "weights")),
    "calibration": ("accuracy", "measure_calibration", {}, ("data", "weights", "int8")),
    "article": ("article", "measure_article", {}, ("data", "weights")),
    "controls": ("article", "measure_controls", {}, ("data",)),
    "loading": ("loading", "measure_loading", {}, ()),
    "throughput": ("throughput", "measure_throughput", {}, ()),
    "workers": ("workers", "measure_workers", {}, ()),
    "threads": ("threads", "measure_threads", {}, ()),
    "single": ("single", "measure_single", {}, ()),
    "serving": ("serving", "measure_serving", {}, ("fastapi", "uvicorn")),
    "accelerator": ("accelerator", "measure_accelerator", {}, ()),
}


def main() -> None:
    """Measure, print, and keep."""
    parser = argparse.ArgumentParser(
        "python benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="a few images: only that it runs")
    parser.add_argument("--data", type=Path, help="an .npz with images and their digits")
    parser.add_argument("--weights", type=Path, help="ImageNet weights of VGG16")
    parser.add_argument("--json", type=Path, help="a file of results, added to if it is there")
    parser.add_argument("--show", type=Path, help="print the tables of a file, and measure nothing")
    args = parser.parse_args()
    unknown = sorted(set(args.parts) - set(_PARTS))
    if unknown:
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(_PARTS)}")
    if args.show:
        results = json.loads(args.show.read_text(encoding="utf-8"))
        _print_host(results["host"])
        for name in _PARTS:
            if name in results["parts"]:
                _print_part(name, results["parts"][name])
        _print_ratios(results["parts"])
        return

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    options = Options(1 if args.quick else args.rounds, args.quick, args.data, args.weights)
    host = describe_host()
    results = read_results(args.json, host) if args.json else {"host": host, "parts": {}}
    _print_host(host)
    for name in args.parts or _default_parts():
        missing = [_spell(what) for what in _PARTS[name][3] if not _has(what, options)]
        if missing:
            print(f"\n== {name}: left out, as it needs {' and '.join(missing)}")
            continue
        part = _measure(name, options)
        _print_part(name, part)
        if args.json:
            results = read_results(args.json, host)  # other parts may have come meanwhile
        results["parts"][name] = part
        if args.json:
            write_results(args.json, results)
    _print_ratios(results["parts"])


def _has(what: str, options: Options) -> bool:
    """Tell whether what a part needs is there: an option, a package, or 8-bit instructions."""
    if what == "int8":
        return has_instructions("int8")
    if hasattr(options, what):
        return getattr(options, what) is not None
    return find_spec(what) is not None


def _spell(what: str) -> str:
    names = {"int8": "a processor with 8-bit instructions"}
    return names.get(what) or (
        f"--{what}" if what in ("data", "weights") else f"the package {what}"
    )


def _default_parts() -> list[str]:
    left_out = set() if list_accelerators() else {"accelerator"}
    return [name for name in _PARTS if name not in left_out]


def _measure(name: str, options: Options) -> Row:
    module, function, arguments, _ = _PARTS[name]
    measure: Callable[..., list[Row]] = getattr(importlib.import_module(module), function)
    environment = dict(os.environ)
    start = time.perf_counter()
    rows = partial(measure, **arguments)(options=options)
    took = time.perf_counter() - start
    # Dask sets OMP_NUM_THREADS for its workers here too, which later parts would inherit.
    os.environ.clear()
    os.environ.update(environment)
    title, _, notes = cleandoc(measure.__doc__ or "").partition("\n\n")
    return {
        "title": title,
        "notes": notes,
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": name_processor(),
        "sktransfer": version("sktransfer"),
        "rounds": options.rounds,
        "quick": options.is_quick,
        "took_s": round(took),
        "rows": rows,
    }


def _print_host(host: Row) -> None:
    for key, value in host.items():
        print(f"{key}: {', '.join(value) or 'none' if isinstance(value, list) else value}")


def _print_part(name: str, part: Row) -> None:
    notes = f"{part['notes']}\n" if part["notes"] else ""
    print(f"\n== {name}: {part['title']}\n{notes}\n{format_rows(part['rows'])}", flush=True)


def _print_ratios(parts: dict[str, Row]) -> None:
    if ratios := compare(parts):
        print(f"\n== ratios\n\n{format_rows(ratios)}")


if __name__ == "__main__":
    main()
