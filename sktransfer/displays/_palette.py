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

#: Inches: a column of a two-column page.
COLUMN_WIDTH = 3.5

#: Text sizes in points, readable at that width.
SMALL, NORMAL = 7.0, 8.0


def style(i: int) -> tuple[str, str]:
    """Return the colour and the marker of the i-th of several things drawn together.

    Parameters
    ----------
    i : int
        Counted from 0. Below 42 each has a pair of its own.

    Returns
    -------
    tuple of str
        A colour and a marker, as matplotlib names them.
    """
    return COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)]


@dataclass(frozen=True)
class Inks:
    """What is drawn without a colour of its own.

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
    """Take them from matplotlib's style in force, which may be dark.

    Returns
    -------
    Inks
        The colours.
    """
    from matplotlib import rcParams
    from matplotlib.colors import to_hex, to_rgb

    text, ground = to_rgb(rcParams["text.color"]), to_rgb(rcParams["axes.facecolor"])

    def mix(part: float) -> str:
        red, green, blue = (part * a + (1 - part) * b for a, b in zip(text, ground, strict=True))
        return to_hex((red, green, blue))

    return Inks(mix(1), mix(0), muted=mix(0.65), faint=mix(0.14))
