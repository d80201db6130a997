"""BatchNorm folded into the convolution before it, which leaves a plain one."""

from __future__ import annotations

import numpy as np


def fold_batch_norm(
    kernel: np.ndarray,
    gamma: np.ndarray,
    beta: np.ndarray,
    mean: np.ndarray,
    variance: np.ndarray,
    epsilon: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Fold what BatchNorm does at inference into a convolution without bias.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer.training.pretraining.folding import fold_batch_norm
    >>> one, four = np.ones(1), np.full(1, 4.0)
    >>> kernel, bias = fold_batch_norm(
    ...     np.ones((1, 1)), gamma=four, beta=one, mean=one, variance=four, epsilon=0.0
    ... )
    >>> kernel, bias
    (array([[2.]], dtype=float32), array([-1.], dtype=float32))
    """
    scale = gamma.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
    bias = beta - mean * scale
    return (kernel * scale).astype(np.float32), bias.astype(np.float32)
