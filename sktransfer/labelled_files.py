"""Labelled images as people keep them in files: CSV tables, .npz archives, folders of files."""

from __future__ import annotations

import csv
import gzip
import itertools
import os
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from sktransfer._bunches import is_wanted, to_uint8

#: How image files end, in lower case.
IMAGE_EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp")

# Under which names archives hold images and labels; the first that is there counts.
_IMAGE_ARRAYS = ("images", "X", "x", "data")
_LABEL_ARRAYS = ("digit", "label", "labels", "y", "target")

# What the rows of a CSV file that are parsed at once may take as float64.
_CHUNK_BYTES = 8 << 20
_MISSING = {"", "na", "n/a", "nan", "none", "null", "?"}
# Labels that survive the way to an int and back; others, such as 08, would lose something.
_INT = re.compile(r"0|-?[1-9][0-9]{0,17}")
_GZIP_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"


def read_table(
    path: str | os.PathLike, wanted: tuple[str, ...] | None, who: str
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Read a CSV file of pixels with a label column, in pieces.

    Parameters
    ----------
    path : str or path-like
        The file, as UTF-8, packed by gzip or not.
    wanted : tuple of str or None
        The spelled labels whose pixels are kept; None keeps all.
    who : str
        Who asks, named in errors.

    Returns
    -------
    names : list of str
        The names of the pixel columns.
    pixels : ndarray of shape (n_kept, n_pixels)
        The wanted rows: uint8 if the whole file holds integers from 0 to 255 only, else float64.
    labels : ndarray of shape (n_rows,)
        The labels of all rows, as int if all of them are integers and as str if not.
    """
    name = os.fspath(path)
    with _open_text(path, who) as lines:
        columns, label_at = _read_header(lines, name, who)
        pixels, labels = _read_rows(lines, columns, label_at, wanted, f"{who} cannot read {name!r}")
    return columns[:label_at] + columns[label_at + 1 :], pixels, labels


def _check_file(path: Path, who: str) -> None:
    if path.is_dir():
        raise IsADirectoryError(
            f"{who} needs a file. Got {str(path)!r}, which is a folder: list_images lists the "
            "images in it."
        )
    if not path.exists():
        raise FileNotFoundError(f"{who} needs a file that exists. Got {str(path)!r}: no such file.")


@contextmanager
def _open_text(path: str | os.PathLike, who: str) -> Iterator[TextIO]:
    """Open a text file, packed by gzip or not, and explain what is wrong with its bytes."""
    _check_file(Path(path), who)
    name = os.fspath(path)
    with Path(path).open("rb") as file:
        magic = file.read(4)
    if magic == _ZIP_MAGIC:
        raise ValueError(
            f"{who} needs a text file, or one packed by gzip. Got {name!r}, which is a zip "
            "archive: unpack it first."
        )
    # By content, not name: browsers unpack some downloads and keep their names.
    open_file: Callable[..., Any] = gzip.open if magic[:2] == _GZIP_MAGIC else open
    try:
        # A byte order mark, which spreadsheets write, is no part of the first column's name.
        with open_file(path, "rt", encoding="utf-8-sig") as text:
            yield text
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{who} needs a text file in UTF-8. Got {name!r}, which is not: {error}. Save it as "
            "CSV in UTF-8."
        ) from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise OSError(
            f"{who} cannot unpack {name!r}: {error}. The file is damaged or was cut off: copy or "
            "download it again."
        ) from error


def _read_header(lines: TextIO, name: str, who: str) -> tuple[list[str], int]:
    """Return the names of all columns, and which of them is the label."""
    rule = f"{who} needs a CSV file with a header 'label,pixel0,pixel1,...'. Got {name!r}"
    header = lines.readline()
    if not header.strip():
        raise ValueError(
            f"{rule}, whose first line is blank." if header else f"{rule}, which is empty."
        )
    columns = [column.strip() for column in _split(header)]
    places = [i for i, column in enumerate(columns) if column.lower() == "label"]
    shown = ", ".join(repr(column[:30]) for column in columns[:5]) + ", ..." * (len(columns) > 5)
    if not places:
        raise ValueError(
            f"{rule}, which has no 'label' column: its first line reads {shown}. Kaggle's test.csv "
            "has no labels, its train.csv has; in other files, separate columns by commas and call "
            "that of the labels 'label'."
        )
    if len(places) > 1:
        raise ValueError(f"{rule}, which has {len(places)} columns called 'label'. Leave one.")
    if len(columns) == 1:
        raise ValueError(f"{rule}, which has labels and no pixels.")
    if "" in columns:
        raise ValueError(
            f"{rule}, whose column {columns.index('') + 1} has no name: {shown}. If it counts the "
            "rows, leave it out (in pandas: to_csv(path, index=False))."
        )
    return columns, places[0]


def _split(line: str) -> list[str]:
    line = line.rstrip("\r\n")
    try:
        return next(csv.reader([line]))
    except csv.Error:
        # A field of more than 128 KiB is no pixel; that it is no number is said elsewhere.
        return line.split(",")


def _read_rows(
    lines: TextIO, columns: list[str], label_at: int, wanted: tuple[str, ...] | None, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels of the wanted rows and the labels of all rows."""
    n_rows = max(1, _CHUNK_BYTES // (8 * len(columns)))
    kept: list[np.ndarray] = []
    all_labels: list[str] = []
    is_uint8 = True
    line_number = 2
    while chunk := list(itertools.islice(lines, n_rows)):
        if not all(map(str.isspace, chunk)):
            pixels, labels = _parse(chunk, columns, label_at, line_number, where)
            is_uint8 = is_uint8 and pixels.dtype == np.uint8
            kept.append(pixels[is_wanted(labels, wanted)])
            all_labels.extend(labels)
        line_number += len(chunk)
    if not all_labels:
        raise ValueError(f"{where}: it has a header and no rows below it.")
    data = np.concatenate(kept)
    if not is_uint8:
        data = data.astype(np.float64, copy=False)
    if all(map(_INT.fullmatch, set(all_labels))):
        return data, np.array(list(map(int, all_labels)), dtype=np.int64)
    return data, np.array(all_labels)


def _parse(
    chunk: list[str], columns: list[str], label_at: int, line_number: int, where: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels and labels of some lines, of which the first has the given number."""
    filled = [line for line in chunk if not line.isspace()]
    rows, reason = None, "its rows do not follow its header"
    # Integers are read several times as fast as floats, and are what nearly all files hold.
    for dtype in (np.uint8, np.float64):
        try:
            rows = _load(filled, len(columns), label_at, dtype)
            break
        except (ValueError, DeprecationWarning) as error:
            reason = str(error)
    if rows is not None and len(rows) == len(filled):
        labels = np.array([label.strip() for label in rows["label"]], dtype=object)
        parts = [rows[name] for name in ("before", "after") if name in (rows.dtype.names or ())]
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        if "" not in labels and (pixels.dtype == np.uint8 or np.isfinite(pixels).all()):
            small = to_uint8(pixels)
            return (pixels if small is None else small), labels
    fault = _find_fault(chunk, columns, label_at, line_number)
    if fault is None:
        last = line_number + len(chunk) - 1
        fault = f"lines {line_number} to {last} (a quote that is not closed?): {reason}"
    raise ValueError(f"{where}: {fault}.")


def _load(lines: list[str], n_columns: int, label_at: int, dtype: type) -> np.ndarray:
    widths = {"before": label_at, "label": 0, "after": n_columns - label_at - 1}
    fields: list[Any] = [
        ("label", object) if name == "label" else (name, dtype, (width,))
        for name, width in widths.items()
        if width or name == "label"
    ]
    with warnings.catch_warnings():
        # NumPy below 2 only warns where it reads 1.5 as the integer 1.
        warnings.simplefilter("error", DeprecationWarning)
        return np.loadtxt(
            lines, dtype=np.dtype(fields), delimiter=",", comments=None, quotechar='"', ndmin=1
        )


def _find_fault(
    chunk: list[str], columns: list[str], label_at: int, line_number: int
) -> str | None:
    """Name the first line and column that is wrong."""
    for number, line in enumerate(chunk, line_number):
        if line.isspace():
            continue
        row = [text.strip() for text in _split(line)]
        if len(row) != len(columns):
            return f"line {number} has {len(row)} columns, but its header has {len(columns)}"
        for at, (column, text) in enumerate(zip(columns, row, strict=True)):
            here = f"line {number}, column {column!r}"
            if not text or (at != label_at and text.lower() in _MISSING):
                return f"{here}: the value is missing ({text!r}). Fill it in or leave the line out"
            if at == label_at:
                continue
            try:
                value = float(text.replace("_", "no digit"))
            except ValueError:
                return (
                    f"{here}: {text[:30]!r} is not a number, and every column but 'label' is a "
                    "pixel"
                )
            if not np.isfinite(value):
                return f"{here}: {text!r} is not a finite number"
    return None


# -- archives


def read_archive(path: Path, who: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and the labels of an .npz file.

    Parameters
    ----------
    path : Path
        The file.
    who : str
        Who asks, named in errors.

    Returns
    -------
    images : ndarray of shape (n_images, ...)
        The array as it is.
    labels : ndarray of shape (n_images,)
        Numbers or text.
    """
    _check_file(path, who)
    name = str(path)
    if not zipfile.is_zipfile(path):
        raise OSError(
            f"{who} needs an .npz archive as numpy.savez writes it. Got {name!r}, which is none: "
            "it is damaged, was cut off, or is another kind of file."
        )
    with np.load(path, allow_pickle=False) as archive:
        images = _read_array(archive, _IMAGE_ARRAYS, "images", name, who)
        labels = _read_array(archive, _LABEL_ARRAYS, "labels", name, who)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if images.ndim < 2 or images.dtype.kind not in "buif":
        raise ValueError(
            f"{who} needs images as an array of numbers, rows or more dimensions. Got one of shape "
            f"{images.shape} and dtype {images.dtype} in {name!r}."
        )
    if labels.ndim != 1:
        cure = " Of one-hot labels, save labels.argmax(axis=1)." if labels.ndim == 2 else ""
        raise ValueError(
            f"{who} needs one label per image. Got labels of shape {labels.shape} in {name!r}."
            f"{cure}"
        )
    if len(labels) != len(images) or not len(labels):
        raise ValueError(
            f"{who} needs one label per image, and at least one image. Got {len(images)} images "
            f"and {len(labels)} labels in {name!r}."
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    if labels.dtype.kind not in "buifU":
        raise ValueError(
            f"{who} needs labels that are numbers or text. Got dtype {labels.dtype} in {name!r}."
        )
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        position = int(np.argmin(np.isfinite(labels)))
        raise ValueError(
            f"{who} needs a label for every image. Got {labels[position]} for image {position} in "
            f"{name!r}."
        )
    return images, labels


def _read_array(archive: Any, names: tuple[str, ...], what: str, path: str, who: str) -> np.ndarray:
    name = next((name for name in names if name in archive.files), None)
    if name is None:
        held = ", ".join(map(repr, archive.files)) or "no array at all"
        raise ValueError(
            f"{who} needs an .npz archive with {what} in an array called "
            f"{', '.join(map(repr, names[:-1]))} or {names[-1]!r}. Got {path!r}, which holds "
            f"{held}."
        )
    try:
        array: np.ndarray = archive[name]
    except (EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise OSError(
            f"{who} cannot read the array {name!r} of {path!r}: {error}. The file is damaged: copy "
            "or download it again."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{who} needs plain arrays of numbers or text, and loads nothing pickled. The array "
            f"{name!r} of {path!r} cannot be read: {error}. Save it with another dtype than object."
        ) from error
    return array


# -- folders


def list_classes(folder: str | os.PathLike, who: str) -> tuple[list[str], np.ndarray]:
    """List every image in a folder of class folders, and warn of class folders without any.

    Parameters
    ----------
    folder : str or path-like
        The folder that holds the class folders.
    who : str
        Who asks, named in errors.

    Returns
    -------
    paths : list of str
        Sorted by class, then folder and file name.
    labels : ndarray of shape (n_images,)
        The name of each one's class folder.
    """
    root = os.fspath(folder)
    rule = f"{who} needs a folder of class folders"
    if not Path(root).exists():
        raise FileNotFoundError(f"{rule}. Got {root!r}: no such folder.")
    if not Path(root).is_dir():
        raise NotADirectoryError(f"{rule}. Got {root!r}, which is a file.")
    above = (os.path.realpath(root),)
    entries = _visible(root)
    classes = {
        entry.name: list(walk_images(entry.path, above)) for entry in entries if _is_folder(entry)
    }
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
            f"{rule} with images. Got {root!r}, whose folders ({_some(classes)}) hold none. Files "
            f"that end with {endings} count as images."
        )
    empty = [name for name, paths in classes.items() if not paths]
    if empty:
        # A warning, no error: what is left is in order, and folders for notes or results are usual.
        warnings.warn(
            f"{who} leaves out the folders in {root!r} that hold no image: {_some(empty)}. Files "
            f"that end with {endings} count as images.",
            stacklevel=3,
        )
    labels = [name for name, paths in classes.items() for _ in paths]
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
    """Yield the images in a folder, at any depth, but enter no folder inside itself.

    Parameters
    ----------
    folder : str
        Where to look.
    above : tuple of str, default=()
        The real paths of the folders that this one was reached through.

    Yields
    ------
    str
        Paths that start with `folder`, sorted within every folder.
    """
    here = os.path.realpath(folder)
    if here in above:
        return
    for entry in _visible(folder):
        if _is_folder(entry):
            yield from walk_images(entry.path, (*above, here))
        elif _is_image(entry):
            yield entry.path


def _some(names: Any, n: int = 10) -> str:
    """List some names, not thousands."""
    shown = list(map(repr, itertools.islice(names, n)))
    return ", ".join(shown) + f" and {len(names) - n} more" * (len(names) > n)
