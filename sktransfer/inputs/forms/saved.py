"""Files of NumPy: `.npy`, which are mapped into memory, and `.npz`."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from sktransfer.inputs.forms.elements import IMAGE_NAMES, find_name


def is_saved(X: Any) -> bool:
    """Tell whether something is the path of a file of NumPy's."""
    return isinstance(X, str | os.PathLike) and str(os.fsdecode(X)).endswith((".npy", ".npz"))


def from_saved(X: Any, who: str) -> Any:
    """Map the array of a file into memory, or read the images of an archive."""
    path = Path(os.fsdecode(X))
    try:
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return archive[choose_array(archive.files, str(path), who)]
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{who} finds no file {str(path)!r}.") from error
    except (OSError, EOFError, KeyError, SyntaxError, BadZipFile, zlib.error) as error:
        raise OSError(f"{who} cannot read the arrays of {str(path)!r}: {error}") from error
    except ValueError as error:
        if str(error).startswith(who):
            raise
        raise ValueError(
            f"{who} needs a file of plain arrays. Got {str(path)!r}: {error}. Files with Python "
            "objects are not read, because they can run code."
        ) from error


def choose_array(names: list[str], path: str, who: str) -> str:
    """Return the name of the images in an archive."""
    found = names[0] if len(names) == 1 else find_name(names, IMAGE_NAMES)
    if found is None:
        raise ValueError(
            f"{who} needs to know which array of an .npz file holds the images. Got {path!r} with "
            f"the arrays {names}: pass numpy.load(path)[name]."
        )
    return found
