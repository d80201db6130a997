"""Where a weights file lies: at the user's path, as an official file, or in the package.

The user alone chooses which: if that one is unavailable, it is an error.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from sktransfer.files.regular import check_regular
from sktransfer.networks import Cut
from sktransfer.weights.official import locate_official
from sktransfer.weights.synthetic import NAME as SYNTHETIC, locate_synthetic


def locate_weights(
    weights: str | os.PathLike, cut: Cut, *, who: str = "VGGFeatureExtractor"
) -> Path:
    """Find the weights file for a cut, and download the official one where it is not there."""
    if weights == SYNTHETIC:
        return locate_synthetic(cut, who=who)
    if weights != "imagenet":
        return _check_path(weights, who)
    dense = cut.weighted_layers[-1].kind == "dense"
    return locate_official(cut.architecture, dense=dense, who=who)


def _check_path(weights: str | os.PathLike, who: str) -> Path:
    name = os.fspath(weights)
    try:
        path = Path(weights).expanduser()
        check_regular(path)
        return path
    except RuntimeError:
        hint = "this system knows no home folder of that user."
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last of a null byte
        hint = "no such file."
    except IsADirectoryError:
        hint = "that is a folder. Name the file in it."
    except OSError as error:
        hint = f"{error.strerror}."
    if not name:
        hint = "an empty path. For seeded random weights pass None."
    elif close := difflib.get_close_matches(name.lower(), ["imagenet", SYNTHETIC], n=1):
        hint += f" Did you mean {close[0]!r}?"
    elif name.lower() in ("none", "random"):
        hint += " For seeded random weights pass None."
    raise FileNotFoundError(
        f"The 'weights' parameter of {who} must be 'imagenet', 'synthetic', None or the path of a "
        f"weights file. Got {name!r}: {hint}"
    )
