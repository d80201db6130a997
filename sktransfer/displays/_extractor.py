"""The check that all displays of a network share."""

from __future__ import annotations

from typing import Any


def check_extractor(extractor: Any, who: str, *, any_network: bool = False) -> None:
    """Find out whether this is a feature extractor, fitted or not; of VGG if not `any_network`."""
    names = ("architecture", "network") if any_network else ("architecture",)
    if isinstance(extractor, type) or not any(hasattr(extractor, name) for name in names):
        kind = "the class " if isinstance(extractor, type) else "a "
        name = getattr(extractor, "__name__", type(extractor).__name__)
        wanted = "a VGGFeatureExtractor"
        wanted += " or an ImageFeatureExtractor" if any_network else ""
        raise TypeError(
            f"The 'extractor' parameter of {who} must be {wanted}. Got {kind}{name} instead. For a "
            "pipeline, pass the step that extracts the features."
        )
