"""Draw the logo, the icon of the browser's tab and the picture of the front page.

python docs/draw.py docs/measured/synthetic.json docs/images
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

# The colours that all drawings of the package give to raw pixels, random and trained weights.
GREY, VERMILION, BLUE, ORANGE = "#595959", "#D55E00", "#0072B2", "#E69F00"

#: Sides of the feature maps of VGG16's five blocks, for the bars of the logo.
_BARS = (224, 112, 56, 28, 14)

#: Panels of the picture: a measured set, and what the reader calls it.
_SETS = {
    "embedded digits": "ten handwritten digits",
    "letters, other fonts": "letters in unseen fonts",
    "photographs, grey": "eight places in photographs",
}
_ROWS = {
    "raw pixels": ("raw pixels", GREY, "s"),
    "random weights": ("VGG16, random weights", VERMILION, "D"),
    "synthetic": ("VGG16, weights in the package", BLUE, "o"),
}


def mark(text: str = "", ink: str = BLUE) -> str:
    """Return the logo as SVG: a network's blocks, cut by a dashed line, and optionally its name."""
    bars, x = [], 4.0
    for i, side in enumerate(_BARS):
        height = 56 * math.sqrt(side / _BARS[0])
        color = ORANGE if i == len(_BARS) - 1 else BLUE
        bars.append(
            f'<rect x="{x:g}" y="{32 - height / 2:.1f}" width="7" height="{height:.1f}" '
            f'rx="2" fill="{color}"/>'
        )
        x += 10 if i < len(_BARS) - 2 else 17
    cut = 4 + 10 * (len(_BARS) - 1) + 1.5
    line = (
        f'<path d="M{cut:g} 6V58" stroke="{ORANGE}" stroke-width="2.5" stroke-dasharray="5 4" '
        'stroke-linecap="round"/>'
    )
    name, width = "", 64
    if text:
        width = 232
        name = (
            f'<text x="72" y="43" font-family="Helvetica, Arial, sans-serif" font-size="31" '
            f'font-weight="600" textLength="152" lengthAdjust="spacingAndGlyphs" '
            f'fill="{ink}">{text}</text>'
        )
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 64" role="img">'
    return "\n".join(
        [head, f"<title>{text or 'sktransfer'}</title>", *bars, line, name, "</svg>\n"]
    )


def few_labels(rows: list[dict[str, Any]], path: Path) -> None:
    """Draw scores of a linear classifier by the number of labels of each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    axes = figure.subplots(1, len(_SETS))
    for ax, (name, title) in zip(axes, _SETS.items(), strict=True):
        measured = [row for row in rows if row["set"] == name]
        labels = [row["labels"] for row in measured]
        for column, (label, color, marker) in _ROWS.items():
            # A cell reads "0.889 ± 0.005 b3": mean, standard error, best block.
            cells = [row[column].split() for row in measured]
            scores, errors = ([float(cell[i]) for cell in cells] for i in (0, 2))
            style = {"color": color, "marker": marker, "markersize": 5, "linewidth": 1.5}
            ax.errorbar(labels, scores, errors, label=label, **style)
        ax.set_xscale("log")
        ax.set_xticks(labels, [f"{n}" for n in labels])
        ax.minorticks_off()
        ax.set_ylim(0, 1)
        ax.set_title(title, fontsize=10)
        ax.set_xlabel("labels of each class")
        ax.grid(color="0.9")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy on other images")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.savefig(path, dpi=150)


def main(measured: str, folder: str) -> None:
    """Write all of them."""
    parts = json.loads(Path(measured).read_text(encoding="utf-8"))["parts"]
    for name, text, ink in (
        ("icon", "", BLUE),
        ("logo", "sktransfer", "#1F2937"),
        ("logo_dark", "sktransfer", "#F3F4F6"),
    ):
        Path(folder, f"{name}.svg").write_text(mark(text, ink), encoding="utf-8")
    few_labels(parts["best"]["rows"], Path(folder) / "few_labels.png")


if __name__ == "__main__":
    main(*sys.argv[1:])
