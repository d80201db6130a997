"""What there is to extract: folders, lists, CSV files, sequences of paths, or arrays.

Files are handed on one by one, so that ten million names never stand in memory together.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from sktransfer.images import ArrayImages, read_images
from sktransfer.labelled_files import IMAGE_EXTENSIONS, walk_images

#: One input: its path, and its label or None.
Entry = tuple[str, str | None]


class UnreadableImages(OSError):
    """Images cannot be listed, or cannot be read where `on_error` says that this is an error."""


@dataclass(frozen=True)
class Files:
    """Image files, listed anew at every iteration.

    Attributes
    ----------
    source : str or sequence
        A folder, a list or CSV file, or the paths themselves.
    labels : sequence or None
        A label for each of a sequence of paths.
    path_column, label_column : str
        The columns of a CSV file.
    who : str
        The function named in errors.
    """

    source: Any
    labels: Sequence[Any] | None
    path_column: str
    label_column: str
    who: str

    def __iter__(self) -> Iterator[Entry]:
        """List the files in order."""
        if not isinstance(self.source, str):
            labels = [None] * len(self.source) if self.labels is None else self.labels
            for path, label in zip(self.source, labels, strict=True):
                yield os.fsdecode(path), None if label is None else str(label)
            return
        try:
            if os.path.isdir(self.source):  # noqa: PTH112 - as the user spells it
                yield from _list_folder(self.source)
            elif self.source.lower().endswith(".csv"):
                yield from self._read_csv()
            else:
                yield from self._read_lines()
        except OSError as error:
            raise UnreadableImages(
                f"{self.who} cannot list the images in {self.source!r}: {error}. Mend what the "
                "system names, or pass a list of the files that are to be read."
            ) from error

    def _read_lines(self) -> Iterator[Entry]:
        with _open_text(self.source) as lines:
            names = (line.rstrip("\r\n") for line in lines)
            yield from ((_beside(self.source, name), None) for name in names if name.strip())

    def _read_csv(self) -> Iterator[Entry]:
        with _open_text(self.source) as lines:
            rows = csv.DictReader(lines)
            columns = rows.fieldnames or []
            if self.path_column not in columns:
                raise ValueError(
                    f"{self.who} needs a CSV file with a column {self.path_column!r} of paths. Got "
                    f"{self.source!r} with the columns {list(columns)[:10]}: name the right one as "
                    "'path_column' (--path-column)."
                )
            for row in rows:
                path = row[self.path_column]
                if not path:
                    raise ValueError(
                        f"{self.who} needs a path in every row. Got none in line {rows.line_num} "
                        f"of {self.source!r}."
                    )
                yield _beside(self.source, path), row.get(self.label_column)


def read_source(
    images: Any,
    *,
    labels: Sequence[Any] | None,
    path_column: str,
    label_column: str,
    image_shape: Sequence[int] | None,
    value_range: Any,
    who: str,
) -> Files | ArrayImages:
    """Decide what is to be extracted, without listing or decoding it.

    Parameters
    ----------
    images : path-like, sequence of paths, or array
        A folder, a text file of one path per line, a CSV file with a column of paths, the paths
        themselves, or pixels as an extractor takes them.
    labels : sequence or None
        A label for each of a sequence of paths or array of images.
    path_column, label_column : str
        The columns of a CSV file; that of labels may be absent.
    image_shape, value_range
        Those of the extractor, for arrays.
    who : str
        The function named in errors.

    Returns
    -------
    Files or ArrayImages
        The inputs.

    Raises
    ------
    OSError
        If there is no such folder or file.
    ValueError, TypeError
        If it is neither images nor paths, or there is not one label for each.
    """
    if isinstance(images, str | os.PathLike):
        source = os.fspath(images)
        if not os.path.exists(source):  # noqa: PTH110
            raise FileNotFoundError(
                f"{who} needs a folder, a text file of paths, a CSV file or a list of images. Got "
                f"{source!r}: no such file or folder."
            )
        if labels is not None:
            raise ValueError(
                f"The 'labels' parameter of {who} goes with a list of paths or an array. Got "
                f"labels with {source!r}: folders give labels by their names, CSV files by the "
                f"column {label_column!r}."
            )
        if source.lower().endswith(IMAGE_EXTENSIONS):
            images = [source]
        else:
            return Files(source, None, path_column, label_column, who)
    if labels is not None and len(labels) != len(images):
        raise ValueError(
            f"{who} needs one label per image. Got {len(images)} images and {len(labels)} labels."
        )
    read = read_images(images, image_shape=image_shape, value_range=value_range, who=who)
    if isinstance(read, ArrayImages):
        return read
    if not all(isinstance(item, str) for item in read.items):
        raise TypeError(
            f"{who} needs paths, or an array of images of one size. Got a list of PIL images or of "
            "arrays of differing sizes, which stand in memory already: transform gives their "
            "features."
        )
    return Files(read.items, labels, path_column, label_column, who)


def list_entries(source: Files | ArrayImages, labels: Sequence[Any] | None) -> Iterator[Entry]:
    """List the inputs in order; those of an array have no path.

    Parameters
    ----------
    source : Files or ArrayImages
        The inputs.
    labels : sequence or None
        The labels of an array's images.

    Yields
    ------
    tuple of str and (str or None)
        Path, empty for arrays, and label.
    """
    if isinstance(source, Files):
        yield from source
        return
    for position in range(len(source)):
        yield "", None if labels is None else str(labels[position])


def fingerprint(source: Files | ArrayImages, entries: Iterable[Entry]) -> tuple[str, int]:
    """Count and hash the inputs, to know them again: names and labels, or the pixels of arrays.

    Parameters
    ----------
    source : Files or ArrayImages
        The inputs.
    entries : iterable of tuple
        Their paths and labels.

    Returns
    -------
    digest : str
        The hash in hexadecimal.
    n_inputs : int
        How many there are.
    """
    digest = blake2b(digest_size=16)
    n_inputs = 0
    for n_inputs, (path, label) in enumerate(entries, start=1):  # noqa: B007 - counts
        digest.update(f"{path}\0{label}\n".encode("utf-8", "surrogateescape"))
    if isinstance(source, ArrayImages):
        digest.update(f"{source.data.dtype} {source.data.shape}".encode())
        step = max(1, (8 << 20) // max(1, source.data[:1].nbytes))
        for start in range(0, len(source), step):
            digest.update(np.ascontiguousarray(source.data[start : start + step]).data)
    return digest.hexdigest(), n_inputs


def spell(path: str) -> str:
    r"""Write a path as text that every file format holds.

    Parameters
    ----------
    path : str
        As Python decodes names of files.

    Returns
    -------
    str
        The same; bytes that are no UTF-8 are written as ``\xe9``.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _list_folder(folder: str) -> Iterator[Entry]:
    for path in walk_images(folder):
        first, *rest = Path(path).relative_to(folder).parts
        yield path, first if rest else None


def _open_text(path: str) -> Any:
    # Names of files need not be UTF-8; a byte order mark is no part of the first one.
    return Path(path).open(encoding="utf-8-sig", errors="surrogateescape", newline="")


def _beside(source: str, name: str) -> str:
    """Read a relative path from the folder of the file that it stands in."""
    return os.path.join(os.path.dirname(source), name)  # noqa: PTH118, PTH120 - keeps odd names
