"""The content of image files that are not on disk: bytes in memory, and open files."""

from __future__ import annotations

import io
import threading
from collections.abc import Mapping
from typing import Any

# Of a file in which several images are looked for at once, each wants its own position.
_reading = threading.Lock()


class Encoded:
    """An image file as its content, or as an open binary file that has it."""

    __slots__ = ("_source",)

    def __init__(self, source: Any) -> None:
        self._source = source

    @property
    def source(self) -> Any:
        """What the user passed."""
        return self._source

    def open(self) -> io.BytesIO:
        """Return the content as a file of its own. The user's stays where it stands."""
        source = self._source
        if isinstance(source, io.BytesIO):
            return io.BytesIO(source.getvalue())
        if not hasattr(source, "read"):
            return io.BytesIO(source)
        with _reading:
            before = source.tell()
            source.seek(0)
            try:
                content = source.read()
            finally:
                source.seek(before)
        if isinstance(content, str):
            raise OSError("it is open as text: open it as open(path, 'rb')")
        return io.BytesIO(content)


def is_file(item: Any) -> bool:
    """Tell whether something is an open file. PIL images have only `seek`."""
    return hasattr(item, "read") and hasattr(item, "seek") and hasattr(item, "tell")


def is_encoded(item: Any) -> bool:
    """Tell whether something has the content of a file."""
    if isinstance(item, bytes | bytearray | memoryview):
        return True
    return is_file(item) or is_reference(item)


def is_reference(item: Any) -> bool:
    """Tell whether something is what Hugging Face's `Image` columns have instead of an image."""
    return isinstance(item, Mapping) and bool(item) and {"bytes", "path"}.issuperset(item)


def encoded_or_path(item: Any) -> Encoded | str | None:
    """Return what reads an image that :func:`is_encoded`; None if it is missing."""
    if is_reference(item):
        content = item.get("bytes")
        return item.get("path") if content is None else Encoded(content)
    return Encoded(item)
