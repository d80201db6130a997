"""What there is to compute with: processor, accelerators and the threads that may be used."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from joblib import cpu_count

# Which of a processor's flags, as Linux names them, stand for arithmetic in a precision. Without
# VNNI products of 8 bits are added up in 16, which saturates: the results would be others. No
# engine computes float16 on a processor.
_FLAGS = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "int8": {"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"},
}


def has_instructions(precision: str) -> bool:
    """Tell whether the processor computes in a precision.

    Parameters
    ----------
    precision : {'float32', 'bfloat16', 'float16', 'int8'}
        The precision.

    Returns
    -------
    bool
        False also where the system does not tell, as only Linux does.
    """
    return precision == "float32" or bool(_FLAGS.get(precision, set()) & processor_flags())


@lru_cache(maxsize=1)
def processor_flags() -> frozenset[str]:
    """Return the processor's instruction sets as Linux names them; elsewhere none.

    Returns
    -------
    frozenset of str
        Such as ``avx512_bf16``.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


@lru_cache(maxsize=1)
def describe_processor() -> str:
    """Name the kind of processor: its instruction sets decide in which order sums are taken.

    Returns
    -------
    str
        The architecture and a hash of the instruction sets.
    """
    flags = " ".join(sorted(processor_flags())) or platform.processor()
    return f"{platform.machine()} {blake2b(flags.encode(), digest_size=8).hexdigest()}"


def list_accelerators() -> list[str]:
    """Name the accelerators that a framework may find, without importing one.

    Returns
    -------
    list of str
        Models, or device files where no driver names a model. Empty where the environment hides
        them (``CUDA_VISIBLE_DEVICES``, ``HIP_VISIBLE_DEVICES``, ``JAX_PLATFORMS``).
    """
    hidden = {"", "-1"}
    for name in ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"):
        if os.environ.get(name) in hidden:
            return []
    if os.environ.get("JAX_PLATFORMS") == "cpu":
        return []
    return _devices()


@lru_cache(maxsize=1)
def _devices() -> list[str]:
    models = []
    for path in Path("/proc/driver/nvidia/gpus").glob("*/information"):
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        models += [line.partition(":")[2].strip() for line in lines if line.startswith("Model")]
    others = [name for name in ("/dev/kfd", "/dev/dxg", "/dev/nvidia0") if Path(name).exists()]
    return sorted(models) or others


def count_threads() -> int:
    """Return how many threads an engine may use.

    Returns
    -------
    int
        The processors that this process may run on, by affinity and container limits, but no more
        than joblib leaves to each of its workers, which it says in ``OMP_NUM_THREADS``.
    """
    limit = os.environ.get("OMP_NUM_THREADS", "")
    n_cpus = cpu_count()
    return max(1, min(n_cpus, int(limit)) if limit.isdecimal() else n_cpus)
