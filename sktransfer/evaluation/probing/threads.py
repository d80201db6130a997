"""The number of BLAS threads while a classifier is fitted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from threadpoolctl import threadpool_limits

#: Below this size of the features, in bytes, a second thread of BLAS gains nothing: the products of
#: a linear classifier take less time than two threads need to meet. Where another process keeps one
#: of them from running, the other waits for it actively, product after product.
MIN_THREADED_BYTES = 64 << 20


@contextmanager
def limit_blas(features: np.ndarray) -> Iterator[None]:
    """Hold BLAS to one thread where the features are small, and restore its threads at the end."""
    nbytes = getattr(features, "nbytes", MIN_THREADED_BYTES)
    with threadpool_limits(1 if nbytes < MIN_THREADED_BYTES else None, user_api="blas"):
        yield
