"""A drawing of a network: laid out as boxes and cuts, then drawn as polygons, lines and texts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sktransfer.networks import Cut, Layer, NetworkDescription
from sktransfer.networks.outputs import as_shape

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, which the common forms of colour blindness keep apart. Blocks, poolings
# and dense layers differ in form and label too, so that no meaning hangs on a colour alone.
_BLOCK_COLORS = {
    "block1": "#56B4E9",
    "block2": "#0072B2",
    "block3": "#009E73",
    "block4": "#E69F00",
    "block5": "#CC79A7",
}
_KIND_COLORS = {"input": "#FFFFFF", "pool": "#D55E00", "flatten": "#F0E442", "dense": "#7A6FAC"}
_TEXT, _FADED_TEXT = "#1A1A1A", "#767676"
_EDGE, _FADED_FACE, _FADED_EDGE = "#333333", "#EFEFEF", "#BDBDBD"

# All lengths are inches of a drawing of normal width; text sizes (in points) scale with it.
_WIDTH = 7.2
_MARGIN = 0.1
_TALLEST = 1.45  # a feature map as large as the image
_DEPTH = 0.28  # of a box's height
_SLOPE = 0.7  # how fast the depth rises
_GAP, _CUT_GAP, _COLUMN_GAP = 0.025, 0.09, 0.06
_SMALL, _NORMAL, _LARGE = 6.0, 7.5, 9.0
_LINE = 0.115  # a line of small text
_KEY_LINE, _KEY_GAP = 0.17, 0.25  # a line of the key to the cuts, between two of its columns

_TIMES = " \u00d7 "


@dataclass(frozen=True)
class Box:
    """A layer as a box, its centre on the drawing's horizontal axis.

    `x` is the left side at half the depth: the front face lies half a depth further left, and
    the back face half a depth further right.
    """

    layer: Layer
    x: float
    width: float
    height: float
    depth: float
    color: str
    faded: bool

    @property
    def left(self) -> float:
        return self.x - self.depth / 2

    @property
    def right(self) -> float:
        return self.x + self.width + self.depth / 2

    @property
    def front_bottom(self) -> float:
        return -(self.height + _SLOPE * self.depth) / 2


@dataclass(frozen=True)
class Column:
    """Boxes that share a label: a block, or a layer that stands alone."""

    name: str
    lines: tuple[str, ...]
    boxes: tuple[Box, ...]
    left: float
    right: float


@dataclass(frozen=True)
class Drawing:
    """Everything placed, from the left edge at 0 to the others.

    `cuts` are the places of the dashed lines by their texts, which stand in a key above the boxes,
    `n_key_columns` beside each other.
    """

    columns: tuple[Column, ...]
    cuts: dict[str, float]
    n_key_columns: int
    width: float
    top: float

    @property
    def height(self) -> float:
        return self.top - _BOTTOM


# The vertical plan: boxes around 0, below them the labels and the account, above them the key.
_BOXES_TOP = _TALLEST * (1 + _SLOPE * _DEPTH) / 2
_LABELS_TOP = -_BOXES_TOP - 0.36  # leaves room for "conv1", upright, below the tallest box
_ACCOUNT_TOP = _LABELS_TOP - 3 * _LINE - 0.2
_BOTTOM = _ACCOUNT_TOP - 2 * _LINE - 0.12


def lay_out(layers: Sequence[Layer], cut: Cut) -> Drawing:
    """Decide where everything goes."""
    columns = []
    for name, group in itertools.groupby(layers, key=lambda layer: layer.name.split("_")[0]):
        boxes = _row_of_boxes(list(group), layers, cut)
        lines = _column_label(boxes)
        content = max(box.right for box in boxes) - boxes[0].left
        label = max(_text_width(name, _SMALL, bold=True), *(_text_width(s, _SMALL) for s in lines))
        columns.append((name, lines, boxes, max(content, label) + _COLUMN_GAP))
    # Narrow networks are spread out to the normal width.
    natural = sum(width for *_, width in columns)
    spare = max(0.0, _WIDTH - 2 * _MARGIN - natural) / len(columns)

    placed = []
    left = _MARGIN
    for name, lines, boxes, width in columns:
        right = left + width + spare
        content = max(box.right for box in boxes) - boxes[0].left
        shift = (left + right - content) / 2 - boxes[0].left
        moved = tuple(replace(box, x=box.x + shift) for box in boxes)
        placed.append(Column(name, lines, moved, left, right))
        left = right

    cuts = _find_cuts(placed, cut)
    widest = max(_text_width(text, _NORMAL, bold=True) for text in cuts)
    n_key_columns = max(1, int((left - _MARGIN) / (widest + _KEY_GAP)))
    n_key_lines = -(-len(cuts) // n_key_columns)
    top = _BOXES_TOP + 0.55 + _KEY_LINE * n_key_lines
    return Drawing(tuple(placed), cuts, n_key_columns, left + _MARGIN, top)


def _row_of_boxes(group: Sequence[Layer], layers: Sequence[Layer], cut: Cut) -> list[Box]:
    boxes: list[Box] = []
    flat = next(layer for layer in layers if layer.kind == "flatten").output_shape[0]
    for layer in group:
        if len(layer.output_shape) == 3:
            height = _TALLEST * math.sqrt(layer.output_shape[0] / as_shape(cut.input_size)[0])
            depth = _DEPTH * height
            # A pooling is drawn thin: it changes the size, not the channels.
            width = 0.045 if layer.kind == "pool" else 0.0095 * math.sqrt(layer.output_shape[2])
        else:
            height = _TALLEST * math.sqrt(layer.output_shape[0] / flat)
            depth = width = 0.07
        x = 0.0
        if boxes:
            before = boxes[-1]
            x = before.x + before.width + _GAP
            if before.layer in cut.layers:
                # The dashed line needs room behind one box and before the next.
                x += (before.depth + depth) / 2 + _CUT_GAP
        color = _BLOCK_COLORS.get(layer.name.split("_")[0], "")
        color = color if layer.kind == "conv" else _KIND_COLORS[layer.kind]
        boxes.append(Box(layer, x, width, height, depth, color, layer not in cut.trunk))
    return boxes


def _column_label(boxes: Sequence[Box]) -> tuple[str, ...]:
    first, last = boxes[0].layer, boxes[-1].layer
    shape = _TIMES.join(f"{n:,}" for n in first.output_shape)
    if last.kind == "pool":
        return shape, "pool " + _TIMES.join(f"{n:,}" for n in last.output_shape)
    return (shape,)


def _find_cuts(columns: Sequence[Column], cut: Cut) -> dict[str, float]:
    """Return what each cut gives, and the place behind its layer; several cuts are numbered."""
    found = []
    for column in columns:
        for box in column.boxes:
            outputs = [
                (pooling, width)
                for (layer, pooling), width in zip(cut.outputs, cut.widths, strict=True)
                if layer == box.layer
            ]
            if outputs:
                names = [pooling or "flat" for pooling, _ in outputs]
                pooled = "" if names == ["flat"] else f" ({', '.join(names)})"
                width = sum(width for _, width in outputs)
                is_last = box is column.boxes[-1]
                x = column.right if is_last else box.right + (_GAP + _CUT_GAP) / 2
                found.append((f"{box.layer.name}{pooled}, {width:,} features", x))
    if len(found) == 1:
        return {f"cut: {text}": x for text, x in found}
    return {f"cut {i}: {text}": x for i, (text, x) in enumerate(found, start=1)}


def draw(drawing: Drawing, network: NetworkDescription, cut: Cut, ax: Axes) -> None:
    """Draw what was laid out, scaled to the axes."""
    from matplotlib.patches import Rectangle

    ax.set_xlim(0, drawing.width)
    ax.set_ylim(_BOTTOM, drawing.top)
    ax.set_aspect("equal")
    ax.set_axis_off()
    figure = ax.get_figure()
    assert figure is not None
    extent = ax.get_window_extent()
    scale = min(extent.width / drawing.width, extent.height / drawing.height) / figure.dpi

    def text(x: float, y: float, string: str, size: float = _SMALL, **kwargs: Any) -> None:
        ax.text(x, y, string, **{"fontsize": size * scale, "color": _TEXT, **kwargs})

    def line(x: Sequence[float], y: Sequence[float], width: float, **kwargs: Any) -> None:
        ax.plot(x, y, linewidth=width * scale, **kwargs)

    # A ground of its own keeps dark text readable on a dark style.
    ground = (0, _BOTTOM), drawing.width, drawing.height
    ax.add_patch(Rectangle(*ground, facecolor="white", edgecolor="none", zorder=0))
    size = _TIMES.join(f"{side:,}" for side in as_shape(cut.input_size))
    title = f"{network.architecture.upper()} on an image of {size} pixels"
    text(_MARGIN, drawing.top - 0.08, title, _LARGE, ha="left", va="top", weight="bold")

    for column in drawing.columns:
        below = min(box.front_bottom for box in column.boxes) - 0.04
        for box in column.boxes:
            _draw_box(box, ax, scale)
            if box.layer.kind in ("conv", "pool"):
                color = _FADED_TEXT if box.faded else _TEXT
                name = box.layer.name.split("_")[1]
                middle = box.left + box.width / 2
                text(middle, below, name, rotation=90, ha="center", va="top", color=color)
        faded = column.boxes[0].faded
        color = _FADED_TEXT if faded else _TEXT
        bar = _FADED_EDGE if faded else column.boxes[0].color
        ends = column.left + 0.03, column.right - 0.03
        if bar == _KIND_COLORS["input"]:
            bar = _EDGE
        line(ends, (_LABELS_TOP, _LABELS_TOP), 2, color=bar, solid_capstyle="butt")
        middle = (column.left + column.right) / 2
        y = _LABELS_TOP - 0.05
        text(middle, y, column.name, ha="center", va="top", color=color, weight="bold")
        for i, label in enumerate(column.lines, start=1):
            last = column.boxes[-1].faded if label.startswith("pool") else faded
            color = _FADED_TEXT if last else _TEXT
            text(middle, y - i * _LINE, label, ha="center", va="top", color=color)

    key_width = (drawing.width - 2 * _MARGIN) / drawing.n_key_columns
    for i, (label, x) in enumerate(drawing.cuts.items()):
        ends = _LABELS_TOP + 0.05, _BOXES_TOP + 0.08
        line((x, x), ends, 1.2, color=_TEXT, linestyle=(0, (4, 2)))
        if len(drawing.cuts) > 1:
            text(x, ends[1] + 0.02, f"{i + 1}", _NORMAL, ha="center", va="bottom", weight="bold")
        below, beside = divmod(i, drawing.n_key_columns)
        x, y = _MARGIN + beside * key_width, drawing.top - 0.3 - below * _KEY_LINE
        text(x, y, label, _NORMAL, ha="left", va="top", weight="bold")

    _draw_account(drawing, network, cut, text, line)


def _draw_box(box: Box, ax: Axes, scale: float) -> None:
    from matplotlib.patches import Polygon

    x0, x1 = box.left, box.left + box.width
    y0, y1 = box.front_bottom, box.front_bottom + box.height
    dx, dy = box.depth, _SLOPE * box.depth
    faces = [
        ([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], 1.0),
        ([(x0, y1), (x1, y1), (x1 + dx, y1 + dy), (x0 + dx, y1 + dy)], 1.25),
        ([(x1, y0), (x1 + dx, y0 + dy), (x1 + dx, y1 + dy), (x1, y1)], 0.75),
    ]
    for corners, light in faces:
        face = _FADED_FACE if box.faded else _shade(box.color, light)
        edge = _FADED_EDGE if box.faded else _EDGE
        # One zorder for all: a box hides what was drawn before it, and it lies further left.
        style: dict[str, Any] = {"linewidth": 0.5 * scale, "joinstyle": "round", "zorder": 2}
        ax.add_patch(Polygon(corners, facecolor=face, edgecolor=edge, **style))


def _draw_account(
    drawing: Drawing, network: NetworkDescription, cut: Cut, text: Any, line: Any
) -> None:
    """Say below the drawing what the cut costs and what it leaves out."""
    left, right = drawing.columns[0].left, drawing.columns[-1].right
    deepest = max(drawing.cuts.values())
    kept = cut.trunk
    rest = network.layers[len(kept) :]
    costs = f"{_amount(layer.n_parameters for layer in kept)} parameters"
    costs += f", {_amount(layer.multiply_adds for layer in kept)} multiply-adds per image"
    parts = [(left, deepest, left, "left", "built and computed", costs, _TEXT)]
    if rest:
        saved = f"{_amount(layer.n_parameters for layer in rest)} parameters"
        parts.append((deepest, right, right, "right", "not built, not read", saved, _FADED_TEXT))
    for start, end, x, side, head, detail, color in parts:
        y = _ACCOUNT_TOP - 0.05
        line((start + 0.03, end - 0.03), (_ACCOUNT_TOP,) * 2, 1, color=color, solid_capstyle="butt")
        text(x, y, head, ha=side, va="top", color=color, weight="bold")
        text(x, y - _LINE, detail, ha=side, va="top", color=color)


def _amount(numbers: Iterable[int]) -> str:
    """Round a sum as people say it: 14.7 M, 15.3 G; small ones in full."""
    total = sum(numbers)
    for unit, name in ((1e9, "G"), (1e6, "M")):
        if total >= unit:
            return f"{total / unit:.1f} {name}"
    return f"{total:,}"


def _shade(color: str, light: float) -> tuple[float, ...]:
    """Mix a colour with white (light above 1) or black (below)."""
    from matplotlib.colors import to_rgb

    if light <= 1:
        return tuple(light * value for value in to_rgb(color))
    return tuple(1 - (1 - value) * (2 - light) for value in to_rgb(color))


def _text_width(string: str, size: float, bold: bool = False) -> float:
    """Measure a text in inches, in the font that the user has set."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    width = float(TextPath((0, 0), string, size=size, prop=font).get_extents().width) / 72
    return 1.05 * width  # drawn on a grid of pixels, letters take up to that much more
