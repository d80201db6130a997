"""The processor of this machine: its instruction sets, and the threads that engines may use."""

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
    """Tell whether the processor computes in a precision."""
    return precision == "float32" or bool(_FLAGS.get(precision, set()) & processor_flags())


@lru_cache(maxsize=1)
def processor_flags() -> frozenset[str]:
    """Return the processor's instruction sets as Linux names them; elsewhere none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    flags = next((line for line in text.splitlines() if line.startswith(("flags", "Features"))), "")
    return frozenset(flags.partition(":")[2].split())


@lru_cache(maxsize=1)
def describe_processor() -> str:
    """Name the kind of processor: its instruction sets decide in which order sums are taken."""
    flags = " ".join(sorted(processor_flags())) or platform.processor()
    return f"{platform.machine()} {blake2b(flags.encode(), digest_size=8).hexdigest()}"


def count_threads() -> int:
    """Return how many threads an engine may use."""
    limit = os.environ.get("OMP_NUM_THREADS", "")
    n_cpus = cpu_count()
    return max(1, min(n_cpus, int(limit)) if limit.isdecimal() else n_cpus)
