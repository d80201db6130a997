"""Drawings inside the report page, in light and in dark colours."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

from sktransfer.displays.availability import check_matplotlib

# What matplotlib draws on, and in, so that pictures stand on the page's own cards: the colours are
# those of the template's variables.
LIGHT = {"ground": "#f5f7f9", "text": "#1a1d21", "grid": "#c6ced6"}
DARK = {"ground": "#1e2327", "text": "#e8eaed", "grid": "#49535c"}


def draw(display: Callable[[], Any], who: str) -> dict[str, Any]:
    """Draw in light and in dark colours, as data URIs with a width and a height."""
    check_matplotlib(who)
    return {"dark": _draw(display, DARK)["uri"], **_draw(display, LIGHT)}


def _draw(display: Callable[[], Any], theme: dict[str, str]) -> dict[str, Any]:
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    text, ground = theme["text"], theme["ground"]
    names = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    settings: Any = dict.fromkeys(names, text)
    grounds = ("figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor")
    settings |= dict.fromkeys(grounds, ground)
    settings |= {"grid.color": theme["grid"], "svg.hashsalt": "sktransfer"}
    # Figures of their own, which no window shows and no other drawing finds.
    with mpl.rc_context(settings), plt.ioff():
        figure = display().figure_
        try:
            file = io.BytesIO()
            figure.savefig(file, format="svg", metadata={"Date": None})
            width, height = (round(96 * inches) for inches in figure.get_size_inches())
        finally:
            plt.close(figure)
    uri = f"data:image/svg+xml;base64,{base64.b64encode(file.getvalue()).decode()}"
    return {"uri": uri, "width": width, "height": height}
