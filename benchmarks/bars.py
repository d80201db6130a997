"""The ratios that the project holds itself to, side by side, from whatever parts were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from measuring import Row

_Parts = dict[str, Row]


def compare(parts: _Parts) -> list[Row]:
    """Return every ratio with its bar; the parts that were not measured are left out."""
    return [
        {
            "ratio": what,
            "measured": measured,
            "bar": f"at {'least' if is_least else 'most'} {bar:g}",
            "held": "yes" if (measured >= bar if is_least else measured <= bar) else "no",
        }
        for what, measured, is_least, bar in _ratios(parts)
    ]


def _ratios(parts: _Parts) -> Iterator[tuple[str, float, bool, float]]:
    def find(part: str, column: str, **wanted: Any) -> list[Any]:
        return [
            row[column]
            for row in parts.get(part, {}).get("rows", [])
            if all(row[key] == value for key, value in wanted.items()) and row[column] is not None
        ]

    speeds = {
        "engines-224": {"float32": 1.8, "bfloat16": 2.2, "int8": 4.0},
        "engines-32": {"float32": 1.0, "bfloat16": 2.0, "int8": 3.0},
    }
    for part, bars in speeds.items():
        for precision, bar in bars.items():
            best = [
                value
                for engine in ("keras", "openvino", "ncnn")
                for value in find(part, "x_keras_predict", engine=engine, precision=precision)
            ]
            what = f"{part.partition('-')[2]} px, {precision}, best engine x Keras predict"
            yield from _at(max, what, best, True, bar)
    whole = find("engines-224", "transform_over_engine")
    yield from _at(max, "224 px, whole transform / engine alone, any engine", whole, False, 1.08)
    one = find("engines-224", "one_over_bare_call")
    yield from _at(max, "224 px, one image / bare call, any engine", one, False, 1.3)
    for part in ("folds-224", "folds-32"):
        computed = find(part, "rows_computed_per_image", features="cached", n_jobs=2)
        what = f"{part.partition('-')[2]} px, 2 workers, rows computed / distinct images"
        yield from _at(max, what, computed, False, 1.1)
    for size in (32, 224):
        small = {"files": "PNG 28 x 28", "precision": "float32", "size": size}
        whole = find("throughput", "extract_over_engine", **small)
        yield from _at(
            min, f"{size} px, float32, small files to features / engine", whole, True, 0.9
        )
        # Large files decode slowly, and 8-bit networks are fast: there decoding is the limit.
        shared = find("throughput", "extract_over_possible", size=size)
        yield from _at(min, f"{size} px, files to features / what is possible", shared, True, 0.9)
    used = find("threads", "processor_s", threads_of_blas="limited to one")
    yield from _at(max, "sktransfer compare, seconds of processor time", used, False, 35)
    reading = find("reading", "store_over_np_load")
    yield from _at(max, "8,200 rows, reading the store / np.load", reading, False, 4)
    for precision, bar in {"int8": 7.0, "bfloat16": 12.0, "float32": 13.0}.items():
        for engine in ("openvino", "ncnn", "keras"):
            minutes = find("article", "minutes", precision=precision, engine=engine)
            what = f"the article's job in {precision}, minutes"
            yield from _at(max, what, minutes, False, bar)
    for precision, bar in {"int8": 25.0, "float32": 15.0}.items():
        for engine in ("openvino", "ncnn", "keras"):
            speedups = find("article", "x_article", precision=precision, engine=engine)
            what = f"the article's job in {precision} x the article's way"
            yield from _at(max, what, speedups, True, bar)
    peaks = find("memory", "peak_mib", images=2000)
    yield from _at(max, "2,000 images of 224 px, peak MiB of the process", peaks, False, 1536)
    for precision, error in {"bfloat16": 1e-2, "int8": 3e-2}.items():
        errors = find("accuracy", "relative_error", precision=precision)
        yield from _at(max, f"trained weights, {precision}, relative error", errors, False, error)


def _at(
    choose: Callable[[list[float]], float],
    what: str,
    values: list[float],
    is_least: bool,
    bar: float,
) -> Iterator[tuple[str, float, bool, float]]:
    if values:
        yield what, choose(values), is_least, bar
