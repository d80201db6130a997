"""Features that were computed elsewhere: opened, counted, and read a part at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.evaluation.diagnosis.anatomy import Anatomy
from sktransfer.files.regular import check_regular
from sktransfer.networks import MIN_SIZE, TRAINED_SIZE
from sktransfer.networks.outputs import spell_size

#: Sides, in pixels, that people resize images to.
SIZES = (MIN_SIZE, 48, 64, 96, 128, 160, 192, 224, 256)


def open_features(features: Any) -> np.ndarray:
    """Return features as an array, of a file as a memory map."""
    if isinstance(features, str | os.PathLike):
        path = Path(features)
        try:
            check_regular(path)  # a pipe would be waited for
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"The 'features' parameter of diagnose must name a .npy file of numbers. Got "
                f"{str(path)!r}, and there is no such file."
            ) from error
        except OSError as error:
            raise ValueError(
                f"The 'features' parameter of diagnose must name a .npy file of numbers. Got "
                f"{path.name!r}: {error.strerror}. Write it with np.save(path, features)."
            ) from error
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"The 'features' parameter of diagnose must name a .npy file of numbers. Got "
                f"{path.name!r}, which cannot be read: {error}. Write it with "
                "np.save(path, features)."
            ) from error
        if not isinstance(array, np.ndarray):
            array.close()
            raise ValueError(
                f"The 'features' parameter of diagnose must name a .npy file of one array. Got "
                f"{path.name!r}, an archive of several: pass one of them, as in "
                "np.load(path)['features']."
            )
    else:
        array = np.asarray(features)
    cures = []
    if array.dtype.kind not in "fiu":
        cures.append("numbers, as by features.astype(float)")
    if array.ndim != 2:
        cures.append("rows, as by features.reshape(len(features), -1)")
    if cures:
        raise ValueError(
            f"The 'features' parameter of diagnose must be a table of numbers with a row for each "
            f"image. Got shape {array.shape} of dtype {array.dtype}: pass {' and '.join(cures)}."
        )
    return array


def check_features(features: np.ndarray, n_images: int, anatomy: Anatomy) -> None:
    """Check that there is a row for each image, and a column for each feature of the cut."""
    n_rows, n_columns = features.shape
    cut = anatomy.cut
    cures = []
    if n_rows != n_images:
        cures.append(
            "pass exactly the images of these rows, in the order of the rows: an image that "
            "could not be read may have been left out"
        )
    if n_columns != cut.n_features:
        others = list(_list_cuts(n_columns, anatomy))
        cures.append(
            f"{n_columns:,} columns are those of {_join(others)}"
            if others
            else f"no layer of {anatomy.name} gives {n_columns:,} columns at "
            f"{spell_size(cut.input_size)} or at a common number of pixels"
        )
    if cures:
        names = ", ".join(layer.name for layer in cut.layers)
        raise ValueError(
            f"The 'features' parameter of diagnose must have {n_images:,} rows, one for each "
            f"image, and {cut.n_features:,} columns, one for each feature of {names} at "
            f"{spell_size(cut.input_size)} pixels. Got shape {features.shape}: "
            f"{'; and '.join(cures)}."
        )


def _list_cuts(n_features: int, anatomy: Anatomy) -> Iterator[str]:
    """Spell the cuts that give so many features, at this size or else at another."""
    input_size = anatomy.cut.input_size
    for size in dict.fromkeys((input_size, TRAINED_SIZE, *SIZES)):
        found = [
            f"layer={layer.name!r}" + (", pooling='avg' or 'max'" if pooling else "")
            for layer, pooling in anatomy.outputs_of(n_features, size)
            if pooling != "max"
        ]
        if found:
            at = "" if size == input_size else f" at input_size={size}"
            yield from (each + at for each in found)
            return


def _join(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
