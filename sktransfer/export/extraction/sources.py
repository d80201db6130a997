"""The inputs of an extraction: folders, lists, CSV files, sequences of paths, or arrays.

Files are listed one by one, so that ten million names are never in memory together.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from sktransfer.datasets.bunches import spell
from sktransfer.datasets.folders import IMAGE_EXTENSIONS, walk_images
from sktransfer.files.text import TextLines, open_text
from sktransfer.inputs.images import ArrayImages, read_images
from sktransfer.inputs.remote import Remote, hide_query, is_remote
from sktransfer.results.tables import unescape

#: One input: its path, and its label or None.
Entry = tuple[str, str | None]
#: Columns of the file that says what the rows of an output are.
ROWS_HEADER = ("position", "path", "label")

# How many characters a path, or all columns of a row of a CSV file, may have.
_MAX_RECORD = 1 << 20


class UnreadableImages(OSError):
    """Images cannot be listed, or cannot be read with ``on_error='raise'``."""


@dataclass(frozen=True)
class Files:
    """Image files, listed again in every iteration.

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
                yield self._check_name(path), None if label is None else spell(str(label))
            return
        try:
            if os.path.isdir(self.source):  # noqa: PTH112 - as the user spells it
                yield from _list_folder(self.source)
            elif self.source.lower().endswith(".csv"):
                yield from self._read_csv()
            else:
                yield from self._read_lines()
        except OSError as error:
            if error.errno is None:  # not the system's: it says all
                raise UnreadableImages(str(error)) from error
            raise UnreadableImages(
                f"{self.who} cannot list the images in {self.source!r}: {error}. Fix the cause, or "
                "pass a list of the files to read."
            ) from error

    def _read_lines(self) -> Iterator[Entry]:
        with _open_list(self.source, self.who) as lines:
            while line := lines.read(_MAX_RECORD):
                name = line.rstrip("\r\n")
                if name.strip():
                    yield _beside(self.source, name), None

    def _read_csv(self) -> Iterator[Entry]:
        with _open_list(self.source, self.who) as lines:
            records = _Records(lines)
            rows = csv.DictReader(records)
            try:
                columns = rows.fieldnames or []
                is_own = tuple(columns) == ROWS_HEADER
                if self.path_column not in columns:
                    shown = [name[:30] for name in columns[:10]]
                    raise ValueError(
                        f"{self.who} needs a CSV file with a column {self.path_column!r} of paths. "
                        f"Got {self.source!r} with the columns {shown}: name the right one as "
                        "'path_column' (--path-column)."
                    )
                for row in rows:
                    records.begin()
                    path = row[self.path_column]
                    if not path:
                        raise ValueError(
                            f"{self.who} needs a path in every row. Got none in line "
                            f"{rows.line_num} of {self.source!r}."
                        )
                    label = row.get(self.label_column)
                    if is_own:
                        path, label = unescape(path), label and unescape(label)
                    yield _beside(self.source, path), None if label is None else spell(label)
            except csv.Error as error:
                raise ValueError(
                    f"{self.who} cannot read line {lines.number} of {self.source!r}: {error}. A "
                    "quote may not be closed: look at that line and those before it."
                ) from error

    def _check_name(self, path: str) -> str:
        path = os.fsdecode(path)
        try:
            os.fsencode(path)
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{self.who} needs valid file names. Got {path!r}: {error}. Pass paths as the "
                "system lists them."
            ) from error
        return path


class _Records:
    """The lines of a CSV file, limited in length from one row to the next.

    A quoted row may span any number of lines.
    """

    def __init__(self, lines: TextLines) -> None:
        self._lines = lines
        self._n_left = _MAX_RECORD

    def begin(self) -> None:
        """Begin a new row."""
        self._n_left = _MAX_RECORD

    def __iter__(self) -> Iterator[str]:
        while line := self._lines.read(self._n_left):
            self._n_left -= len(line)
            yield line


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
    """Find the kind of inputs, without listing or decoding them.

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
    read = read_images(
        images, image_shape=image_shape, value_range=value_range, allow_remote=True, who=who
    )
    if isinstance(read, ArrayImages):
        return read
    for item in read.items:
        if isinstance(item, Remote):
            _refuse_address(item.source)
    if not all(isinstance(item, str) for item in read.items):
        raise TypeError(
            f"{who} needs paths, or an array of images of one size. Got a list of PIL images or of "
            "arrays of differing sizes, which are in memory already: transform gives their "
            "features."
        )
    return Files(list(read.items), labels, path_column, label_column, who)


def list_entries(source: Files | ArrayImages, labels: Sequence[Any] | None) -> Iterator[Entry]:
    """List the inputs in order; those of an array have no path."""
    for position, (path, label) in enumerate(_list(source, labels)):
        if label is not None and "\0" in label:
            raise ValueError(
                "extract needs labels without the character NUL, which ends a text for many "
                f"programs. Got {label!r} at position {position}: repair the label."
            )
        yield path, label


def _list(source: Files | ArrayImages, labels: Sequence[Any] | None) -> Iterator[Entry]:
    if isinstance(source, Files):
        yield from source
        return
    for position in range(len(source)):
        yield "", None if labels is None else spell(str(labels[position]))


def fingerprint(source: Files | ArrayImages, entries: Iterable[Entry]) -> tuple[str, int]:
    """Count and hash the inputs to recognise them: names and labels, or the pixels of arrays."""
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


def read_state(path: str) -> str | None:
    """Return what changes when a file is written to; None if it is not there, or no file."""
    try:
        status = os.stat(path) if path else None  # noqa: PTH116 - as the user spells it
    except (OSError, ValueError):
        return None
    return status and f"{status.st_size} {status.st_mtime_ns}"


def hash_states(entries: Iterable[Entry]) -> str:
    """Hash the present states of all inputs."""
    return hash_texts(read_state(path) for path, _ in entries)


def hash_texts(texts: Iterable[str | None]) -> str:
    """Hash texts one by one."""
    digest = blake2b(digest_size=16)
    for text in texts:
        digest.update(f"{text}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _list_folder(folder: str) -> Iterator[Entry]:
    for path in walk_images(folder):
        first, *rest = Path(path).relative_to(folder).parts
        yield path, spell(first) if rest else None


def _open_list(path: str, who: str) -> AbstractContextManager[TextLines]:
    # Names of files need not be UTF-8.
    return open_text(path, who, errors="surrogateescape", newline="")


def _beside(source: str, name: str) -> str:
    """Resolve a relative path from the folder of the file that lists it."""
    if is_remote(name):
        _refuse_address(name)
    return os.path.join(os.path.dirname(source), name)  # noqa: PTH118, PTH120 - keeps odd names


def _refuse_address(address: str) -> NoReturn:
    raise ValueError(
        f"extract reads files of this machine only. Got {hide_query(address)!r}: download it "
        "first, or let transform fetch it with an extractor of allow_remote=True."
    )
