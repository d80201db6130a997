"""What runs the network, and the table of networks that are ready to run.

Compiled networks never sit on an estimator, which is cloned, pickled and sent to other processes:
they live in one table per process, found again by what determines them.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping

import numpy as np

from sktransfer.engines.keras import KerasEngine, batch_shape, describe_engine
from sktransfer.networks import Cut

__all__ = ["KerasEngine", "batch_shape", "describe_engine", "get_engine"]

#: Networks kept ready; the one used longest ago goes first.
MAX_ENGINES = 4

_engines: OrderedDict[tuple[Cut, str], KerasEngine] = OrderedDict()
_lock = threading.Lock()
_owner: int | None = None


def get_engine(
    cut: Cut, sha256: str, load: Callable[[], Mapping[str, tuple[np.ndarray, np.ndarray]]]
) -> KerasEngine:
    """Return the engine for a cut and weights, built at the first call.

    Parameters
    ----------
    cut : Cut
        The network and the wanted layers.
    sha256 : str
        Hash of the weights: together with `cut` it determines every value that comes out.
    load : callable
        Returns the weights; called only where the engine is not there yet.

    Returns
    -------
    KerasEngine
        Safe to be called by several threads.

    Raises
    ------
    RuntimeError
        In a process forked from one that has already run a network: frameworks deadlock there.
    """
    global _owner
    if _owner not in (None, os.getpid()):
        raise RuntimeError(
            "A network cannot run in a process forked from one that has run a network: the "
            "framework's threads do not survive the fork. Start workers with joblib's default "
            "backend 'loky', or with multiprocessing's 'spawn'."
        )
    with _lock:
        if (cut, sha256) not in _engines:
            _engines[cut, sha256] = KerasEngine(cut, load())
            _owner = os.getpid()
            while len(_engines) > MAX_ENGINES:
                _engines.popitem(last=False)
        _engines.move_to_end((cut, sha256))
        return _engines[cut, sha256]
