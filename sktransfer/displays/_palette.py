"""Colours, markers and text sizes that drawings share."""

from __future__ import annotations

from dataclasses import dataclass

# Okabe and Ito's palette, which the common forms of colour blindness keep apart, in the order in
# which neighbours differ most in lightness too. Its yellow and black are left out: one of them
# would vanish on a white ground, the other on a dark one.
# M. Okabe, K. Ito, "Color Universal Design", 2008, https://jfly.uni-koeln.de/color/
COLORS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7")
BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = COLORS

#: Beside each colour a form, so that no meaning hangs on a colour alone. There is one more of them
#: than colours, so that the pairs repeat late.
MARKERS = ("o", "^", "s", "D", "v", "P", "X")

#: Pairs of a colour and a marker that can be told apart.
N_STYLES = len(COLORS) * len(MARKERS)

# Colours and markers of the rows of a result, by their kind. Raw pixels, with which all is
# compared, are grey as the style in force has it. Colours that are light on white come last.
_ROW_LOOKS = {
    "raw": [("muted", "s"), ("text", "<")],
    "control": [(VERMILION, "D")],
    "article": [(BLUE, "p")],
    "transfer": [(BLUE, "o"), (GREEN, "^"), (PURPLE, "v"), (SKY, "P"), (ORANGE, "X")],
}

#: Inches: a column of a two-column page.
COLUMN_WIDTH = 3.5

#: Text sizes in points, readable at that width.
SMALL, NORMAL = 7.0, 8.0


def style(i: int) -> tuple[str, str]:
    """Return the colour and the marker of the i-th of several things drawn together."""
    return COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]


def row_look(kind: str, i: int = 0) -> tuple[str, str, bool]:
    """Return colour, marker, and whether it is filled, of the i-th row of a kind."""
    looks = _ROW_LOOKS.get(kind, _ROW_LOOKS["transfer"])
    color, marker = looks[i % len(looks)]
    return getattr(inks(), color, color), marker, i // len(looks) % 2 == 0


@dataclass(frozen=True)
class Inks:
    """The colours of text, ground and everything else without a colour of its own.

    Attributes
    ----------
    text, ground : str
        Text and what lies behind it, as matplotlib names colours.
    muted, faint : str
        Greys between the two: for what is read second, and for grids.
    """

    text: str
    ground: str
    muted: str
    faint: str


def inks() -> Inks:
    """Take them from matplotlib's style in force, which may be dark."""
    from matplotlib import rcParams
    from matplotlib.colors import to_hex, to_rgb

    text, ground = to_rgb(rcParams["text.color"]), to_rgb(rcParams["axes.facecolor"])

    def mix(part: float) -> str:
        red, green, blue = (part * a + (1 - part) * b for a, b in zip(text, ground, strict=True))
        return to_hex((red, green, blue))

    return Inks(mix(1), mix(0), muted=mix(0.65), faint=mix(0.14))
