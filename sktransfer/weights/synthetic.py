"""The weights that come with the package: VGG16, trained on images that formulas draw.

They need no network, and were trained without photographs. The file is laid out as Keras' own, so
it is read as any other weights file; only its place, and what it lacks, are known here.
"""

from __future__ import annotations

import json
import os
import textwrap
from importlib import resources
from pathlib import Path

from sktransfer.files.hdf5 import answer
from sktransfer.networks import Cut

#: What the parameter `weights` calls them.
NAME = "synthetic"
ARCHITECTURE = "vgg16"

_FILE = "vgg16_synthetic.h5"
_LINE = 100


def locate_synthetic(cut: Cut, *, who: str) -> Path:
    """Find the file, if a cut can be made with it."""
    if cut.architecture != ARCHITECTURE:
        raise ValueError(
            f"The 'weights' parameter of {who} can be {NAME!r} with "
            f"architecture={ARCHITECTURE!r} only, the network that they were trained with. Got "
            f"architecture={cut.architecture!r}. Set architecture={ARCHITECTURE!r}, or "
            "weights='imagenet'."
        )
    if cut.trunk[-1].kind == "dense":
        raise ValueError(
            f"The {NAME} weights of {who} end at 'flatten': the dense layers predict ImageNet's "
            f"1,000 classes, which they were not trained on. Got a cut at {cut.trunk[-1].name!r}. "
            "Cut at 'flatten' or before, or set weights='imagenet'."
        )
    path = _path()
    if not path.is_file():
        raise FileNotFoundError(
            f"{who} does not find {os.fspath(path)!r}, which comes with the package. Reinstall "
            "sktransfer, from a wheel or a complete copy of its source."
        )
    return path


def is_packaged(path: str | os.PathLike) -> bool:
    """Tell whether a file is the one that comes with the package."""
    return Path(path) == _path()


def _path() -> Path:
    return Path(str(resources.files(__package__).joinpath(_FILE)))


def describe_synthetic() -> str:
    """Say in several lines what the file records of itself."""
    path = _path()
    names = ["input_size", "license", "accuracy", "sha256", "recipe"]
    try:
        contents, *_ = answer({"file": str(path), "attributes": names, "wanted": {}})
        recorded = contents["attributes"]
        recipe = json.loads(recorded["recipe"])
        facts = {
            f"weights={NAME!r}": f"{path}, {path.stat().st_size / 1e6:.1f} MB",
            "network": f"VGG16 up to flatten; its own input size is {recorded['input_size']} px",
            "licence": recorded["license"],
            "accuracy": f"{recorded['accuracy']:.3f} on held-out images of the formulas' classes",
            "SHA-256": recorded["sha256"],
            "recipe": ", ".join(f"{name} {_spell(value)}" for name, value in recipe.items()),
        }
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        return f"weights={NAME!r}: {path} cannot be read ({error})"
    return "\n".join(
        textwrap.fill(
            f"{name}: {value}",
            _LINE,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, value in facts.items()
    )


def _spell(value: object) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {_spell(each)}' for name, each in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(_spell, value))}]"
    return str(value)
