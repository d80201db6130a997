"""Draw the pictures of docs/benchmarks.md from the JSON.

python tests/benchmarks/plots.py docs/measured/benchmarks.json docs/images
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_COLOURS = {"float32": "#9dbfd3", "bfloat16": "#2a6f97", "int8": "#012a4a"}


def plot_engines(parts: dict[str, Any], path: Path) -> None:
    """Draw the speeds as multiples of Keras' `predict`, a panel for each size."""
    from matplotlib.figure import Figure

    sizes = (224, 32)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True)
    for ax, size in zip(panels, sizes, strict=True):
        rows = parts[f"engines-{size}"]["rows"][::-1]
        labels = [f"{row['engine']} {row['precision']}" for row in rows]
        values = [row["x_keras_predict"] for row in rows]
        bars = ax.barh(labels, values, color=[_COLOURS[row["precision"]] for row in rows])
        texts = [f"{row['images_per_s']:,.0f} images/s" for row in rows]
        ax.bar_label(bars, texts, padding=3, fontsize=8)
        ax.axvline(1, color="0.4", linewidth=0.8)
        ax.set_xlim(0, max(values) * 1.35)
        ax.set_title(f"VGG16 to flatten, {size} px", fontsize=10)
        ax.set_xlabel("speed, Keras' predict = 1")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def plot_folds(parts: dict[str, Any], path: Path) -> None:
    """Draw the cross-validations as multiples of the article's way."""
    from matplotlib.figure import Figure

    sizes = (224, 32)
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    panels = figure.subplots(1, len(sizes), sharey=True)
    for ax, size in zip(panels, sizes, strict=True):
        rows = parts[f"folds-{size}"]["rows"][::-1]
        labels = [
            f"{row['features']}, {row['precision']}" + (", 2 workers" if row["n_jobs"] == 2 else "")
            for row in rows
        ]
        values = [row["x_article"] for row in rows]
        bars = ax.barh(labels, values, color=[_COLOURS[row["precision"]] for row in rows])
        ax.bar_label(bars, [f"{row['seconds']:.1f} s" for row in rows], padding=3, fontsize=8)
        ax.axvline(1, color="0.4", linewidth=0.8)
        ax.set_xscale("log")
        ax.set_xlim(0.7, max(values) * 4)
        ax.set_title(f"10 folds, {rows[0]['images']} images at {size} px", fontsize=10)
        ax.set_xlabel("speed, the article's way = 1")
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main(results: str, folder: str) -> None:
    """Draw both."""
    parts = json.loads(Path(results).read_text(encoding="utf-8"))["parts"]
    plot_engines(parts, Path(folder) / "engines.png")
    plot_folds(parts, Path(folder) / "folds.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
