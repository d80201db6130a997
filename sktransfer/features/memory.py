"""The memory that this process can have, and the error for what does not fit."""

from __future__ import annotations

import itertools
import math
import os
from pathlib import Path

import numpy as np

from sktransfer.engines import images_for
from sktransfer.engines.accelerators import list_accelerators
from sktransfer.networks import AnyCut
from sktransfer.networks.outputs import spell_size

# Where Linux says what a container may use, by either version of its control groups.
_CONTAINER_LIMITS = (
    "/sys/fs/cgroup/memory.max",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes",
)


class NotEnoughMemory(MemoryError):
    """A lack of memory that says what needed it, and the cure."""


def memory_limit() -> int | None:
    """Return how many bytes this process can have at most.

    Returns
    -------
    int or None
        The least of the machine's memory, its container's and the limit of the process; what others
        use is not looked at. None where the system does not tell, as Windows.
    """
    limits = []
    try:
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return None
    for path in _CONTAINER_LIMITS:
        try:
            text = Path(path).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text.isdigit():  # "max" where there is none
            limits.append(int(text))
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        limits.append(soft)
    return min(limits)


def allocate(shape: tuple[int, ...], who: str, what: str, cure: str) -> np.ndarray:
    """Allocate float32 values, or say how much memory they would take.

    Systems that hand out more memory than they have end a process once it uses too much, so that
    what can never fit is refused beforehand.
    """
    n_bytes = 4 * math.prod(shape)
    limit = memory_limit()
    if limit is not None and n_bytes > limit:
        raise NotEnoughMemory(_message(who, n_bytes, what, limit, cure))
    try:
        return np.empty(shape, dtype=np.float32)
    except (MemoryError, ValueError) as error:  # ValueError: more than an address can name
        raise NotEnoughMemory(_message(who, n_bytes, what, limit, cure)) from error


def check_network(cut: AnyCut, engine: str, who: str) -> None:
    """Check that the network can run on images of its size at all."""
    sizes = [4 * math.prod(layer.output_shape) for layer in cut.trunk]
    n_images = images_for(cut, engine)
    if engine == "keras" and list_accelerators():
        n_bytes = n_images * sizes[0]  # what the layers give stays in the accelerator's memory
    else:
        n_bytes = n_images * max(map(sum, itertools.pairwise(sizes)))
    limit = memory_limit()
    if limit is not None and n_bytes > limit:
        what = (
            f"a layer's inputs and outputs of {n_images} image(s) of {spell_size(cut.input_size)} "
            "pixels"
        )
        who = f"The 'input_size' parameter of {who}"
        raise NotEnoughMemory(_message(who, n_bytes, what, limit, "Set a smaller input_size."))


def _message(who: str, n_bytes: int, what: str, limit: int | None, cure: str) -> str:
    have = "more than there is" if limit is None else f"and this process can have {_gib(limit)}"
    return f"{who} needs {_gib(n_bytes)} ({n_bytes:,} bytes) for {what}, {have}. {cure}"


def _gib(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:,.1f} GiB"
