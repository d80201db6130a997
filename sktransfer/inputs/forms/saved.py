"""Files of NumPy: `.npy`, which are mapped into memory, and `.npz`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.files.archives import NpzReader
from sktransfer.files.regular import check_regular
from sktransfer.inputs.forms.elements import IMAGE_NAMES, find_name


def is_saved(X: Any) -> bool:
    """Tell whether something is the path of a file of NumPy's."""
    return isinstance(X, str | os.PathLike) and str(os.fsdecode(X)).endswith((".npy", ".npz"))


def from_saved(X: Any, who: str) -> Any:
    """Map the array of a file into memory, or read the images of an archive."""
    path = Path(os.fsdecode(X))
    try:
        check_regular(path)  # a pipe would be waited for
        if path.suffix == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{who} finds no file {str(path)!r}.") from error
    except (OSError, EOFError, SyntaxError) as error:
        raise OSError(f"{who} cannot read the arrays of {str(path)!r}: {error}") from error
    except ValueError as error:
        raise ValueError(
            f"{who} needs a file of plain arrays. Got {str(path)!r}: {error}. Files with Python "
            "objects are not read, because they can run code."
        ) from error
    except Exception as error:  # of headers made to harm: RecursionError, TypeError and more
        reason = str(error)[:200] or type(error).__name__
        raise OSError(f"{who} cannot read the arrays of {str(path)!r}: {reason}") from error
    with open_archive(path, who) as archive:
        return archive.read(choose_array(archive.names, str(path), who))


def open_archive(path: str | os.PathLike, who: str) -> NpzReader:
    """Open an archive that others made, within limits."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{who} finds no file {os.fsdecode(path)!r}.")
    lead = f"{who} cannot read the arrays of {os.fsdecode(path)!r}"
    return NpzReader(path, lead, "Write it again with numpy.savez, or pass the arrays.")


def choose_array(names: list[str], path: str, who: str) -> str:
    """Return the name of the images in an archive."""
    found = names[0] if len(names) == 1 else find_name(names, IMAGE_NAMES)
    if found is None:
        raise ValueError(
            f"{who} needs to know which array of an .npz file holds the images. Got {path!r} with "
            f"the arrays {names}: pass numpy.load(path)[name]."
        )
    return found
