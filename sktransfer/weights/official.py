"""Keras' official ImageNet files: found on disk or downloaded, and always checked by their MD5."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import NamedTuple

from sktransfer._version import SITE
from sktransfer.files.paths import expand
from sktransfer.weights.downloads import download, spell_bytes

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"


class _OfficialFile(NamedTuple):
    name: str
    md5: str
    n_bytes: int


#: By network and whether the dense layers are in it, as Keras publishes them.
_OFFICIAL_FILES = {
    ("vgg16", False): _OfficialFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "6d6bbae143d832006294945121d1f1fc",
        58_889_256,
    ),
    ("vgg16", True): _OfficialFile(
        "vgg16_weights_tf_dim_ordering_tf_kernels.h5",
        "64373286793e3c8b2b4e3219cbf3544b",
        553_467_096,
    ),
    ("vgg19", False): _OfficialFile(
        "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "253f8cb515780f3b799900260a226db6",
        80_134_624,
    ),
    ("vgg19", True): _OfficialFile(
        "vgg19_weights_tf_dim_ordering_tf_kernels.h5",
        "cbe5617147190e668d6c5d5026f83318",
        574_710_816,
    ),
}

#: Whether a file that is not on this machine may be fetched.
may_download: ContextVar[bool] = ContextVar("may_download", default=True)

# MD5 of files by path, size and time of change, so that a file is hashed once per process.
_hashes: dict[tuple[str, int, int], str] = {}


def locate_official(architecture: str, *, dense: bool, who: str) -> Path:
    """Find an official file, or download it to Keras' cache.

    Without dense layers the small file will do, and only that is downloaded.
    """
    small, full = (_OFFICIAL_FILES[architecture, with_top] for with_top in (False, True))
    folders = _search_folders()
    for official in (full,) if dense else (small, full):
        for folder in folders:
            path = folder / official.name
            if path.is_file():
                _check_hash(path, official, who)
                return path
    wanted = full if dense else small
    if not may_download.get():
        raise FileNotFoundError(
            f"The ImageNet weights of {architecture.upper()} ({spell_bytes(wanted.n_bytes)}) are "
            "not on this machine, and optional weights are not downloaded. To download them, pass "
            "--weights imagenet, or in Python leave the name out of 'optional'."
        )
    return _download(architecture, wanted, folders[-1], who)


def is_official(path: str | os.PathLike) -> bool:
    """Tell whether a file is one that Keras published, wherever it lies."""
    path = Path(path)
    n_bytes = path.stat().st_size
    hashes = [official.md5 for official in _OFFICIAL_FILES.values() if official.n_bytes == n_bytes]
    return bool(hashes) and _hash_once(path) in hashes


@contextmanager
def no_downloads() -> Iterator[None]:
    """Let files that are not on this machine be an error at once, in this thread alone."""
    before = may_download.set(False)
    try:
        yield
    finally:
        may_download.reset(before)


def own_folder() -> Path | None:
    """Return the folder of weights that the user named, if any."""
    own = os.environ.get("SKTRANSFER_WEIGHTS_DIR")
    return expand(own, "$SKTRANSFER_WEIGHTS_DIR must be the path of a folder.") if own else None


def _search_folders() -> list[Path]:
    """List the folders that may hold official files; downloads go to the last one."""
    folders = (own_folder(), _keras_home() / "models")
    return [folder for folder in folders if folder is not None]


def _keras_home() -> Path:
    """Return the folder that Keras would use, without importing Keras."""
    if home := os.environ.get("KERAS_HOME"):
        return expand(home, "$KERAS_HOME must be the path of a folder.")
    try:
        base = Path.home()
    except RuntimeError:
        base = None
    # Users without a writable home are common in containers.
    return (base if base and os.access(base, os.W_OK) else Path("/tmp")) / ".keras"


def _check_hash(path: Path, official: _OfficialFile, who: str) -> None:
    try:
        found = _hash_once(path)
    except OSError as error:
        raise OSError(
            f"{who} found {str(path)!r} where 'imagenet' is searched for, but cannot read it: "
            f"{error.strerror or error}. Make it readable or delete it."
        ) from error
    if found != official.md5:
        raise OSError(
            f"{who} found {str(path)!r} where 'imagenet' is searched for, but it is corrupt or not "
            f"the official file: its MD5 is {found} ({spell_bytes(path.stat().st_size)}), Keras "
            f"publishes {official.md5} ({spell_bytes(official.n_bytes)}). Delete it, and it will "
            "be downloaded again; if it is your own file, pass it as weights=<path>."
        )


def _hash_once(path: Path) -> str:
    key = _hash_key(path)
    if key not in _hashes:
        _hashes[key] = _md5(path)
    return _hashes[key]


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _hash_key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _download(architecture: str, official: _OfficialFile, folder: Path, who: str) -> Path:
    """Download an official file; whatever goes wrong is one error, with every way out."""
    url = f"{BASE_URL}/{architecture}/{official.name}"
    target = folder / official.name
    label = f"{who}: {architecture} weights"
    try:
        download(url, target, md5=official.md5, n_bytes=official.n_bytes, label=label)
    except OSError as error:
        raise type(error)(
            f"{who} could not download the ImageNet weights of {architecture.upper()} "
            f"({spell_bytes(official.n_bytes)}) from {url} to {str(folder)!r}: {error}; or "
            "fetch the file by hand and put it into the folder that $SKTRANSFER_WEIGHTS_DIR "
            "names; or pass weights='synthetic', trained weights of VGG16 up to 'flatten' that "
            "come with the package, weights=<path of a weights file>, or weights=None for seeded "
            "random weights as a control. "
            f"See {SITE}/weights.html#machines-without-a-network."
        ) from error.__cause__
    _check_hash(target, official, who)
    return target
