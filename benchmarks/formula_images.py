"""Draw samples of the images by formula, and time how fast one core draws them.

python benchmarks/formula_images.py docs/images/formula_images.png
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from sktransfer import FormulaImages
from sktransfer.training.formulas.classes import FAMILIES

_SIZE, _CLASSES, _EACH = 48, 5, 3


def draw_samples(path: Path) -> None:
    """Draw a row of pictures for each family."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.6), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, hspace=0, wspace=0)
    axes = figure.subplots(len(FAMILIES), _CLASSES * _EACH)
    for row, family in zip(axes, FAMILIES, strict=True):
        formula = FormulaImages(_CLASSES, families=[family], seed=3)
        for number, ax in enumerate(row):
            label, sample = divmod(number, _EACH)
            ax.imshow(formula(label, np.random.default_rng([label, sample]), _SIZE))
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        row[0].set_ylabel(family, rotation=0, ha="right", va="center", fontsize=9)
    figure.savefig(path, dpi=100)


def time_drawing(size: int, seconds: float = 10) -> float:
    """Return the images per second of the default mixture."""
    formula = FormulaImages()
    formula(0, np.random.default_rng(0), size)  # the formulas themselves are drawn but once
    start, n = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        for _ in range(100):
            rng = np.random.default_rng([0, n])
            formula(int(rng.integers(formula.n_classes)), rng, size)
            n += 1
    return n / (time.perf_counter() - start)


if __name__ == "__main__":
    draw_samples(Path(sys.argv[1]))
    for side in (32, 48, 64, 96):
        print(f"{side} px: {time_drawing(side):,.0f} images per second on one core")
