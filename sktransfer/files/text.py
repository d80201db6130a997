"""Text files read line by line, so that no file makes its reader wait or fills the memory."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, TextIO

from sktransfer.files.archives import FREE_BYTES, MAX_RATIO
from sktransfer.files.regular import open_regular

_GZIP_MAGIC, _ZIP_MAGIC = b"\x1f\x8b", b"PK\x03\x04"


class TextLines:
    """The lines of a text file, numbered from 1 and limited in length.

    `number` is that of the line that was read last. A packed file may unpack to
    `max_characters`, or to any number where that is None.
    """

    def __init__(self, file: TextIO, max_characters: int | None, name: str, who: str) -> None:
        self.number = 0
        self._file = file
        self._max_characters = max_characters
        self._n_characters = 0
        self._name = name
        self._who = who

    def read(self, limit: int) -> str:
        """Return the next line, of at most `limit` characters, with its end; after the last, ""."""
        line = self._file.readline(limit + 1)
        self.number += 1
        self._n_characters += len(line)
        if len(line) > limit:
            raise ValueError(
                f"{self._who} cannot read {self._name!r}: line {self.number} has more than "
                f"{limit:,} characters, which a line of this file never needs. Check how the file "
                "was made: it may lack line ends."
            )
        if "\0" in line:
            raise ValueError(
                f"{self._who} needs a text file in UTF-8. Got {self._name!r}, which has a NUL "
                f"character in line {self.number}: it is in UTF-16, or not text at all. Save it in "
                "UTF-8."
            )
        if self._max_characters is not None:
            _check_unpacked(self._n_characters, self._max_characters, self._name, self._who)
        return line


@contextmanager
def open_text(path: str | os.PathLike, who: str, **options: Any) -> Iterator[TextLines]:
    """Open a text file in UTF-8, packed by gzip or not, and explain what is wrong with its bytes.

    `options` are `errors` and `newline`, as :func:`open` takes them.
    """
    name = os.fspath(path)
    with _open(name, who) as file:
        magic = file.read(4)
        file.seek(0)
        if magic == _ZIP_MAGIC:
            raise ValueError(
                f"{who} needs a text file, plain or compressed with gzip. Got {name!r}, which is a "
                "zip archive: unpack it first."
            )
        # Decided by content, not name: browsers unpack some downloads and keep their names.
        is_packed = magic[:2] == _GZIP_MAGIC
        raw: Any = gzip.GzipFile(fileobj=file) if is_packed else file
        try:
            most = _limit_unpacked(file, name, who) if is_packed else None
            # A byte order mark, which spreadsheets write, is no part of the first line.
            with io.TextIOWrapper(raw, encoding="utf-8-sig", **options) as text:
                yield TextLines(text, most, name, who)
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{who} needs a text file in UTF-8. Got {name!r}, which is not: {error}. Save it "
                "in UTF-8."
            ) from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise OSError(
                f"{who} cannot unpack {name!r}: {error}. The file is damaged or was cut off: copy "
                "or download it again."
            ) from error


def _limit_unpacked(file: BinaryIO, name: str, who: str) -> int:
    """Return how many bytes a gzip file may unpack to; refuse at once one that has more."""
    n_bytes = file.seek(0, os.SEEK_END)
    most = max(FREE_BYTES, MAX_RATIO * n_bytes)
    # RFC 1952: the last four bytes are the unpacked size, unless the file is damaged or lies.
    file.seek(max(0, n_bytes - 4))
    says_more = int.from_bytes(file.read(4), "little") > most
    file.seek(0)
    if says_more:
        # Counting bytes takes a hundredth of the time that reading lines would take.
        unpacked = gzip.GzipFile(fileobj=file)
        n_unpacked = 0
        while chunk := unpacked.read(1 << 20):
            n_unpacked += len(chunk)
            _check_unpacked(n_unpacked, most, name, who)
        file.seek(0)
    return most


def _check_unpacked(n_unpacked: int, most: int, name: str, who: str) -> None:
    if n_unpacked > most:
        raise ValueError(
            f"{who} cannot read {name!r}: it unpacks to more than {MAX_RATIO} times its size, "
            "which may fill the memory. If its content is meant to be so uniform, unpack it "
            "(gunzip) and pass the unpacked file."
        )


def _open(name: str, who: str) -> BinaryIO:
    try:
        return open_regular(name)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # ValueError: NUL in it
        raise FileNotFoundError(
            f"{who} needs a file that exists. Got {name!r}: no such file."
        ) from error
    except IsADirectoryError as error:
        raise IsADirectoryError(
            f"{who} needs a file. Got {name!r}, which is a folder: list_images lists the images "
            "in it."
        ) from error
    except OSError as error:
        raise type(error)(
            f"{who} cannot open {name!r}: {error.strerror}. Pass a regular file that can be read."
        ) from error
