"""Image files on other machines and in archives, which fsspec reads, only when asked for.

Each is fetched when it is decoded, within limits, and not saved: the store of features recognises
it by its pixels.
"""

from __future__ import annotations

import io
import queue
import re
import threading
import time
from typing import Any

from sktransfer.inputs.encoded import Encoded

#: Seconds that a file may take, and how often one is tried that could not be read.
TIMEOUT = 60.0
ATTEMPTS = 3
#: Bytes that a file may have.
MAX_BYTES = 256 << 20
# Of a scheme, as in RFC 3986, of two letters at least: one is a drive of Windows.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+://")


def is_remote(path: Any) -> bool:
    """Tell whether a path is a URL, or a file in an archive."""
    return isinstance(path, str) and bool(_SCHEME.match(path))


def hide_query(url: str) -> str:
    """Leave out what may be secret: passwords, and the signature of an address."""
    return re.sub(r"//[^/@]*@", "//", url.partition("?")[0])


class Remote(Encoded):
    """A file that is fetched whenever it is opened."""

    def __repr__(self) -> str:
        return repr(hide_query(self._source))

    def open(self) -> io.BytesIO:
        """Fetch the file."""
        try:
            import fsspec  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "Files on other machines need the package 'fsspec', which is not installed: "
                'install it with `pip install "sktransfer[remote]"`.'
            ) from error
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return io.BytesIO(_fetch(self._source))
            except (PermissionError, _TooLarge):
                raise
            except (OSError, TimeoutError) as error:
                if _is_missing(error):
                    raise
                if attempt == ATTEMPTS:
                    why = hide_query(str(error)) or type(error).__name__
                    text = f"it could not be fetched in {ATTEMPTS} attempts: {why}"
                    raise OSError(text) from None
                time.sleep(0.2 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")


def _is_missing(error: Exception) -> bool:
    """Tell whether a file is not there; fsspec says so of a server that fails, too."""
    status = getattr(error.__cause__, "status", 404)
    return isinstance(error, FileNotFoundError) and status in (404, 410)


class _TooLarge(OSError):
    pass


def _fetch(url: str) -> bytes:
    """Read a file in a thread of its own, which is left alone where it takes too long."""
    found: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # A daemon: one that a server keeps waiting must not keep the process from ending.
    threading.Thread(target=_read, args=(url, found), daemon=True).start()
    try:
        content = found.get(timeout=TIMEOUT)
    except queue.Empty:
        raise TimeoutError(f"no answer within {TIMEOUT:g} seconds") from None
    if isinstance(content, BaseException):
        raise content
    return content


def _read(url: str, found: queue.SimpleQueue[Any]) -> None:
    import fsspec

    try:
        parts = []
        left = MAX_BYTES
        with fsspec.open(url, "rb") as file:
            while part := file.read(min(left + 1, 1 << 20)):
                left -= len(part)
                if left < 0:
                    raise _TooLarge(f"it has more than the {MAX_BYTES:,} bytes that are allowed")
                parts.append(part)
        found.put(b"".join(parts))
    except (OSError, ImportError, MemoryError) as error:
        found.put(error)
    except Exception as error:  # of any library that reads some kind of address
        found.put(OSError(f"{type(error).__name__}: {error}"))
