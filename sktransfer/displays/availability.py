"""matplotlib, which only drawings need."""

from __future__ import annotations


def check_matplotlib(who: str) -> None:
    """Find out whether matplotlib is there."""
    try:
        import matplotlib  # noqa: F401, only whether it is there
    except ImportError as error:
        raise ImportError(
            f"{who} draws with matplotlib, which is not installed. Install it with "
            '`pip install "sktransfer[plot]"`.'
        ) from error
