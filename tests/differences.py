"""How far features are from those that are expected."""

from __future__ import annotations

import numpy as np


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the norm of the difference, relative to that of what is expected."""
    assert found.shape == expected.shape
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))
