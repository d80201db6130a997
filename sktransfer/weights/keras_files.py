"""The weights that Keras publishes for its networks: in a folder, in Keras' cache, or downloaded.

No file is listed here. Which one belongs to a network is what Keras' own function asks for when it
builds the network with its weights.
"""

from __future__ import annotations

import hashlib
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from sktransfer.files.regular import open_regular
from sktransfer.networks.applications import Application, build_application
from sktransfer.weights.official import may_download

#: What to do where weights are not on this machine.
CURE = "Connect once, or pass the path of a weights file as 'weights', or None for random weights."


class PublishedFile(NamedTuple):
    """A file that Keras publishes; it gives no hash of a few."""

    name: str
    url: str
    digest: str | None


class _AskedError(Exception):
    """Ends the building of a network at the file that Keras asks for."""


@lru_cache(maxsize=64)
def published_file(
    application: Application, size: int | tuple[int, int], *, is_whole: bool, who: str
) -> PublishedFile:
    """Find out which file Keras takes for a network of this size."""
    asked: list[PublishedFile] = []

    def record(name: Any = None, url: str = "", *_: Any, **more: Any) -> str:
        digest = more.get("file_hash") or more.get("md5_hash")
        asked.append(PublishedFile(PurePosixPath(name or url).name, url, digest))
        raise _AskedError

    try:
        with _get_file(record):
            build_application(application, size, is_whole=is_whole, weights="imagenet", who=who)
    except _AskedError:
        return asked[0]
    raise RuntimeError(
        f"{who} looks for the weights of {application.name} in a folder, and this version of Keras "
        "asks for no file of them: leave 'weights' at 'pretrained', or pass the path of a file."
    )


@contextmanager
def _get_file(instead: Callable[..., str]) -> Iterator[None]:
    """Let Keras' networks get their files by another function, in this thread alone."""
    import keras

    module: Any = sys.modules[keras.utils.get_file.__module__]
    original, thread = module.get_file, threading.get_ident()

    def get_file(*args: Any, **kwargs: Any) -> str:
        is_here = threading.get_ident() == thread
        return (instead if is_here else original)(*args, **kwargs)

    module.get_file = get_file
    try:
        yield
    finally:
        module.get_file = original


def find_published(
    folder: Path, application: Application, size: Any, *, is_whole: bool, who: str
) -> Path | None:
    """Find in a folder the file that Keras publishes for a network, and check its hash."""
    if not folder.is_dir():
        return None
    published = published_file(application, size, is_whole=is_whole, who=who)
    path = folder / published.name
    if not path.is_file():
        return None
    if published.digest is not None:
        _check_hash(path, published.digest, application, who)
    return path


def locate_published(
    folder: Path, application: Application, size: Any, *, is_whole: bool, who: str
) -> Path:
    """Do the same, where the file has to be there."""
    path = find_published(folder, application, size, is_whole=is_whole, who=who)
    if path is None:
        published = published_file(application, size, is_whole=is_whole, who=who)
        raise FileNotFoundError(
            f"The 'weights' parameter of {who} must be a folder that holds "
            f"{published.name!r}, Keras' file for {application.name}. Got {str(folder)!r}, which "
            f"does not: put it there from {published.url}, or pass the path of another weights "
            "file."
        )
    return path


def is_published(
    path: Path, application: Application, size: Any, *, is_whole: bool, who: str
) -> bool:
    """Tell whether a file is the one that Keras publishes for a network, by its hash."""
    published = published_file(application, size, is_whole=is_whole, who=who)
    if published.digest is None:
        return path.name == published.name
    return _hash_as(published.digest, path)[1] == published.digest


def _hash_as(digest: str, path: Path) -> tuple[str, str]:
    """Hash a file as Keras did for a digest; return the kind of hash, too."""
    kind = "SHA-256" if len(digest) == 64 else "MD5"
    new = hashlib.sha256 if kind == "SHA-256" else lambda: hashlib.md5(usedforsecurity=False)
    with open_regular(path) as file:
        return kind, hashlib.file_digest(file, new).hexdigest()  # type: ignore[arg-type]


def _check_hash(path: Path, expected: str, application: Application, who: str) -> None:
    kind, found = _hash_as(expected, path)
    if found != expected:
        raise OSError(
            f"{who} found {str(path)!r} where the weights of {application.name} are searched for, "
            f"but it is corrupt or not the file of Keras: its {kind} is {found}, Keras publishes "
            f"{expected}. Copy it again; if it is your own file, pass its path as 'weights'."
        )


def download_trained(application: Application, size: Any, *, is_whole: bool, who: str) -> Any:
    """Build a network with its weights by Keras' own function, from its cache or by download."""
    if not may_download.get():
        raise FileNotFoundError(
            f"{who} looks for the weights of {application.name} by Keras' own function, which may "
            f"download them. {CURE}"
        )
    try:
        return build_application(application, size, is_whole=is_whole, weights="imagenet", who=who)
    except Exception as error:  # Keras raises plain exceptions where a download fails
        raise OSError(
            f"The weights of {application.name} are unavailable from Keras' own function, in its "
            f"cache or by download: {' '.join(str(error).split())}. {CURE}"
        ) from error
