"""A description of this machine: packages, processor, accelerators, and the engines they run."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

from sktransfer._version import __version__
from sktransfer.engines.accelerators import describe_accelerators
from sktransfer.engines.choice import ENGINES, PRECISIONS, choose_engine
from sktransfer.engines.processor import count_threads, has_instructions
from sktransfer.results.tables import format_table

_PACKAGES = ("numpy", "scipy", "scikit-learn", "keras", "tensorflow", "torch", "jax", *ENGINES[1:])
_SIZES = (32, 64, 96, 128, 224)


def describe_machine() -> str:
    """Say what is installed, what the processor computes in, and what ``engine='auto'`` takes."""
    facts = list_facts()
    lines = [
        f"sktransfer {facts['sktransfer']}, Python {facts['Python']}, {facts['system']}",
        facts["packages"],
        f"accelerators: {facts['accelerators']}",
        f"processor: {facts['processor']}",
        "",
        "engine='auto' chooses, by precision and input size:",
    ]
    header = ["precision", *(f"{size} px" for size in _SIZES)]
    table = [
        [precision, *(_choice(precision, size) for size in _SIZES)] for precision in PRECISIONS
    ]
    return "\n".join([*lines, format_table(header, table)])


def list_facts() -> dict[str, str]:
    """Say what is installed and what it runs on."""
    able = [precision for precision in PRECISIONS if has_instructions(precision)]
    return {
        "sktransfer": __version__,
        "Python": platform.python_version(),
        "system": platform.platform(),
        "packages": ", ".join(f"{name} {_version_of(name)}" for name in _PACKAGES),
        "accelerators": describe_accelerators(),
        "processor": f"{platform.machine()}, {count_threads()} threads, {', '.join(able)}",
    }


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _choice(precision: str, input_size: int) -> str:
    try:
        return choose_engine("auto", precision, input_size, who="info")
    except (ImportError, ValueError):
        return "-"
