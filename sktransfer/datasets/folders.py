"""Folders of images, in which each folder is a class."""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sktransfer.datasets.bunches import list_names, spell

#: How image files end, in lower case.
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")


def list_classes(folder: str | os.PathLike, who: str) -> tuple[list[str], np.ndarray]:
    r"""List every image in a folder of class folders, sorted, with the name of its class.

    Bytes of a name that are no UTF-8 are spelled ``\xe9``. Class folders without images are left
    out with a warning.
    """
    root = os.fspath(folder)
    rule = f"{who} needs a folder of class folders"
    try:
        if not Path(root).exists():
            raise FileNotFoundError(f"{rule}. Got {root!r}: no such folder.")
        if not Path(root).is_dir():
            raise NotADirectoryError(f"{rule}. Got {root!r}, which is not a folder.")
        above = (os.path.realpath(root),)
        entries = _visible(root)
        classes = {
            entry.name: list(walk_images(entry.path, above))
            for entry in entries
            if _is_folder(entry)
        }
    except OSError as error:
        if error.errno is None:  # said above
            raise
        raise type(error)(
            f"{who} cannot list {error.filename!r}: {error.strerror}. Make the folder readable, or "
            "move it elsewhere."
        ) from error
    spelled = list(map(spell, classes))
    if len(set(spelled)) < len(spelled):
        alike = {name for name in spelled if spelled.count(name) > 1}
        raise ValueError(
            f"{rule} of different names. Got {root!r}, in which several are spelled "
            f"{list_names(sorted(alike))}: rename one of them."
        )
    endings = ", ".join(IMAGE_EXTENSIONS)
    if not classes:
        n_images = sum(map(_is_image, entries))
        beside = f" The {n_images} images in it have no class." if n_images else ""
        raise ValueError(
            f"{rule}. Got {root!r}, which has no folders in it.{beside} Move the images of each "
            "class into a folder that has the name of the class."
        )
    if not any(classes.values()):
        raise ValueError(
            f"{rule} with images. Got {root!r}, whose folders ({list_names(classes)}) hold none. "
            f"Files that end with {endings} count as images."
        )
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        # A warning, not an error: the other folders are valid, and folders for notes are common.
        warnings.warn(
            f"{who} leaves out the folders in {root!r} that hold no image: {list_names(empty)}. "
            f"Files that end with {endings} count as images.",
            stacklevel=3,
        )
    labels = [spell(name) for name, paths in classes.items() for _ in paths]
    return list(itertools.chain.from_iterable(classes.values())), np.array(labels)


def _visible(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        shown = (entry for entry in entries if not entry.name.startswith("."))
        return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that lead to each other; if named as an image, reading it will say so
        return False


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_EXTENSIONS)


def walk_images(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """Yield the images in a folder, sorted and at any depth, but enter no folder inside itself.

    `above` are the real paths of the folders that this one was reached through.
    """
    # No recursion: a path may lead through two thousand folders.
    here = os.path.realpath(folder)
    open_folders = [] if here in above else [(iter(_visible(folder)), (*above, here))]
    while open_folders:
        entries, passed = open_folders[-1]
        entry = next(entries, None)
        if entry is None:
            open_folders.pop()
        elif _is_folder(entry):
            here = os.path.join(passed[-1], entry.name)  # noqa: PTH118
            # Whether links lead somewhere is known from the real path, which costs far more.
            # Windows has links that are not called so.
            if entry.is_symlink() or os.name == "nt":
                here = os.path.realpath(entry.path)
            if here not in passed:
                open_folders.append((iter(_visible(entry.path)), (*passed, here)))
        elif _is_image(entry):
            yield entry.path
