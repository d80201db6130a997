"""The check that all displays of a network share."""

from __future__ import annotations

from typing import Any


def check_extractor(extractor: Any, who: str) -> None:
    """Find out whether this is a feature extractor, fitted or not.

    Parameters
    ----------
    extractor : object
        What was given.
    who : str
        The method named in the error.

    Raises
    ------
    TypeError
        If it is none.
    """
    if isinstance(extractor, type) or not hasattr(extractor, "architecture"):
        kind = "the class " if isinstance(extractor, type) else "a "
        name = getattr(extractor, "__name__", type(extractor).__name__)
        raise TypeError(
            f"The 'extractor' parameter of {who} must be a VGGFeatureExtractor. Got "
            f"{kind}{name} instead. Of a pipeline, pass the step that extracts the features."
        )
