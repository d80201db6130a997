"""Draw the pictures of docs/benchmarks.md from the JSON.

python benchmarks/plots.py docs/measured/benchmarks.json docs/images
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_SIZES = (224, 32)
_COLOURS = {"float32": "#9dbfd3", "bfloat16": "#2a6f97", "int8": "#012a4a"}


def _draw(panels: list[dict[str, Any]], path: Path, *, unit: str, log: bool = False) -> None:
    """Draw panels of bars, how many times as fast as the first row; nothing without panels."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if not panels:
        return
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for ax, panel in zip(axes, panels, strict=True):
        colours = [_COLOURS[precision] for precision in panel["precisions"]]
        bars = ax.barh(panel["labels"], panel["values"], color=colours)
        ax.bar_label(bars, panel["texts"], padding=3, fontsize=8)
        ax.axvline(1, color="0.4", linewidth=0.8)
        if log:
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
            ax.xaxis.set_minor_formatter("")
        ax.set_xlim(0.7 if log else 0, max(panel["values"]) * (6 if log else 1.35))
        ax.set_title(panel["title"], fontsize=10)
        ax.set_xlabel(f"speed, {unit} = 1")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].invert_yaxis()  # of all, as they share it
    legend = [Patch(color=colour, label=name) for name, colour in _COLOURS.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=len(legend), frameon=False)
    figure.savefig(path, dpi=150)


def plot_engines(parts: dict[str, Any], path: Path) -> None:
    """Draw the speeds of engines as multiples of Keras' `predict`."""
    panels = []
    for size in [size for size in _SIZES if f"engines-{size}" in parts]:
        rows = parts[f"engines-{size}"]["rows"]
        panels.append(
            {
                "title": f"VGG16 to flatten, {size} px",
                "labels": [f"{row['engine']} {row['precision']}" for row in rows],
                "values": [row["x_keras_predict"] for row in rows],
                "texts": [f"{row['images_per_s']:,.0f} images/s" for row in rows],
                "precisions": [row["precision"] for row in rows],
            }
        )
    _draw(panels, path, unit="Keras' predict")


def plot_folds(parts: dict[str, Any], path: Path) -> None:
    """Draw the cross-validations as multiples of the article's way."""
    panels = []
    for size in [size for size in _SIZES if f"folds-{size}" in parts]:
        rows = parts[f"folds-{size}"]["rows"]
        workers = {1: "", 2: ", 2 workers"}
        panels.append(
            {
                "title": f"10 folds, {rows[0]['images']} images at {size} px",
                "labels": [
                    f"{row['features']}, {row['precision']}{workers[row['n_jobs']]}" for row in rows
                ],
                "values": [row["x_article"] for row in rows],
                "texts": [f"{row['seconds']:.1f} s" for row in rows],
                "precisions": [row["precision"] for row in rows],
            }
        )
    _draw(panels, path, unit="the article's way", log=True)


def main(results: str, folder: str) -> None:
    """Draw both."""
    parts = json.loads(Path(results).read_text(encoding="utf-8"))["parts"]
    plot_engines(parts, Path(folder) / "engines.png")
    plot_folds(parts, Path(folder) / "folds.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
