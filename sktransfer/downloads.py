"""Keras' official ImageNet files: found on disk or downloaded, and always checked by their MD5.

Processes that want the same file at once wait for the one that downloads it. A file appears under
its name only when it is complete and right.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import requests

BASE_URL = "https://storage.googleapis.com/tensorflow/keras-applications"
#: Seconds to wait for a connection, and for the next bytes of a download.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30

_CHUNK_BYTES = 1 << 16
#: Seconds after which a temporary file to which nothing was added belongs to a dead process.
_ABANDONED = 3600


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

# Whether a file that is not on this machine may be fetched.
_may_download: ContextVar[bool] = ContextVar("_may_download", default=True)

# MD5 of files by path, size and time of change, so that a file is hashed once per process.
_hashes: dict[tuple[str, int, int], str] = {}


def locate_official(architecture: str, *, dense: bool, who: str) -> Path:
    """Find an official file, and download it where it is not there.

    Looked for in ``$SKTRANSFER_WEIGHTS_DIR`` and Keras' own cache; downloaded to the latter.

    Parameters
    ----------
    architecture : {'vgg16', 'vgg19'}
        The network.
    dense : bool
        Whether the dense layers are wanted. Without them the small file will do, and only that is
        downloaded.
    who : str
        The class that asks, named in errors.

    Returns
    -------
    Path
        The file, complete and as Keras published it.

    Raises
    ------
    OSError
        If the file is corrupt, or the download fails.
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
    if not _may_download.get():
        raise FileNotFoundError(
            f"The ImageNet weights of {architecture.upper()} ({_megabytes(wanted.n_bytes)}) are "
            "not on this machine, and what is optional is not downloaded. Ask for them by name, "
            "and they are fetched once: --weights imagenet, or no 'optional' in Python."
        )
    return _download(architecture, wanted, folders[-1], who)


@contextmanager
def no_downloads() -> Iterator[None]:
    """Let files that are not on this machine be an error at once, in this thread alone."""
    before = _may_download.set(False)
    try:
        yield
    finally:
        _may_download.reset(before)


def _search_folders() -> list[Path]:
    """List the folders that may hold official files; downloads go to the last one."""
    own = os.environ.get("SKTRANSFER_WEIGHTS_DIR")
    keras_cache = _keras_home() / "models"
    return [Path(own).expanduser(), keras_cache] if own else [keras_cache]


def _keras_home() -> Path:
    """Return the folder that Keras would use, without importing Keras."""
    if home := os.environ.get("KERAS_HOME"):
        return Path(home).expanduser()
    try:
        base = Path.home()
    except RuntimeError:
        base = None
    # Users without a home that they may write to are common in containers.
    return (base if base and os.access(base, os.W_OK) else Path("/tmp")) / ".keras"


def _check_hash(path: Path, official: _OfficialFile, who: str) -> None:
    try:
        key = _hash_key(path)
        found = _hashes.get(key) or _md5(path)
    except OSError as error:
        raise OSError(
            f"{who} found {str(path)!r} where 'imagenet' is looked for, but cannot read it: "
            f"{error.strerror or error}. Make it readable or delete it."
        ) from error
    _hashes[key] = found
    if found != official.md5:
        raise OSError(
            f"{who} found {str(path)!r} where 'imagenet' is looked for, but it is corrupt or not "
            f"the official file: its MD5 is {found} ({_megabytes(path.stat().st_size)}), Keras "
            f"publishes {official.md5} ({_megabytes(official.n_bytes)}). Delete it, and it will "
            "be downloaded anew; if it is a file of your own, pass it as weights=<path>."
        )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _hash_key(path: Path) -> tuple[str, int, int]:
    status = path.stat()
    return str(path.absolute()), status.st_size, status.st_mtime_ns


def _megabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e7 else f"{n_bytes:,} bytes"


# -- downloads


class _WrongBytesError(Exception):
    """What came is not the official file."""


def _download(architecture: str, official: _OfficialFile, folder: Path, who: str) -> Path:
    """Download an official file, or wait for whoever does so already; any failure is one error."""
    handled_before = sys.exc_info()[1]
    url = f"{BASE_URL}/{architecture}/{official.name}"
    target = folder / official.name
    try:
        _check_reachable(url)
        folder.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder, official)
        with _hold_lock(folder / f".{official.name}.lock", who):
            if not target.is_file():
                _fetch(url, target, official, f"{who}: {architecture} weights")
    except (OSError, NotImplementedError, _WrongBytesError) as error:
        cause = _root_cause(error, handled_before)
        reason, cure, kind = _explain(error, cause, url, folder)
        raise kind(
            f"{who} could not download the ImageNet weights of {architecture.upper()} "
            f"({_megabytes(official.n_bytes)}) from {url} to {str(folder)!r}: {reason}. {cure}; or "
            "fetch the file by hand and put it into the folder that $SKTRANSFER_WEIGHTS_DIR "
            "names; or pass weights='synthetic', trained weights of VGG16 up to 'flatten' that "
            "come with the package, weights=<path of a weights file>, or weights=None for seeded "
            "random weights as a control."
        ) from cause
    _check_hash(target, official, who)
    return target


def _check_reachable(url: str) -> None:
    """Connect to the server and hang up, or fail within the connect timeout.

    Large servers have dozens of addresses, and requests waits out the timeout at each of them
    where a firewall swallows packets. A proxy has few, and is left to requests.
    """
    from requests.utils import get_environ_proxies, select_proxy

    if select_proxy(url, get_environ_proxies(url)):
        return
    parts = urlsplit(url)
    port = parts.port or {"http": 80}.get(parts.scheme, 443)
    firsts: dict[Any, Any] = {}
    for family, *_, address in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM):
        firsts.setdefault(family, address)
    failure: OSError | None = None
    for family, address in firsts.items():
        try:
            with socket.socket(family, socket.SOCK_STREAM) as connection:
                connection.settimeout(CONNECT_TIMEOUT / len(firsts))
                connection.connect(address)
                return
        except OSError as error:
            failure = error
    # Whatever the system answered, be it that a sandbox permits no connections.
    raise ConnectionError(f"no connection to {parts.netloc}") from failure


def _remove_abandoned(folder: Path, official: _OfficialFile) -> None:
    """Remove what processes killed while downloading could not remove themselves."""
    for part in folder.glob(f".{official.name}.*.part"):
        with suppress(OSError):  # another process may be first
            if time.time() - part.stat().st_mtime > _ABANDONED:
                part.unlink()


@contextmanager
def _hold_lock(path: Path, who: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{who}: waiting for another process that downloads the weights", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        # Where two waiters come to hold different files of this name, both download, each to a
        # temporary file of its own: wasteful but right. Windows refuses to remove an open file.
        with suppress(OSError):
            path.unlink()
        lock.release()


def _fetch(url: str, target: Path, official: _OfficialFile, label: str) -> None:
    """Download to a temporary file beside the target, check it, move it into place."""
    from pooch import HTTPDownloader
    from tqdm.auto import tqdm

    # A name of our own, since those of `tempfile` make files that other users cannot read.
    part = target.with_name(f".{target.name}.{uuid.uuid4().hex}.part")
    try:
        with (
            # The total is replaced by what the server says.
            tqdm(total=official.n_bytes, unit="B", unit_scale=True, desc=label) as bar,
            ExitStack() as cleanup,
        ):

            def close_at_end(response: requests.Response, **_: object) -> None:
                # pooch leaves the connection of a failed download open.
                cleanup.callback(response.close)

            download = HTTPDownloader(
                progressbar=bar,
                chunk_size=_CHUNK_BYTES,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                hooks={"response": close_at_end},
            )
            download(url, str(part), None)
        found = _md5(part)
        if found != official.md5:
            raise _WrongBytesError(
                f"what came has the MD5 {found} ({_megabytes(part.stat().st_size)}), Keras "
                f"publishes {official.md5}"
            )
        part.replace(target)
        _hashes[_hash_key(target)] = found
    finally:
        part.unlink(missing_ok=True)


def _root_cause(error: BaseException, handled_before: BaseException | None) -> BaseException:
    """Follow the chain to its start: requests wraps errors four deep, which fill screens."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None or inner is handled_before:
            return error
        error = inner


def _explain(
    error: BaseException, cause: BaseException, url: str, folder: Path
) -> tuple[str, str, type[OSError]]:
    """Say why a download failed and what to do, and choose the class of the error."""
    from requests import ConnectTimeout, HTTPError, RequestException

    host = urlsplit(url).netloc
    cure = "Check the network and the proxy settings ($HTTPS_PROXY), and try again"
    if isinstance(error, _WrongBytesError):
        cure = "Try again, and check whether a proxy answers in the server's place"
        return f"{error}; it was discarded", cure, OSError
    if isinstance(error, HTTPError):
        status = f"{error.response.status_code} {error.response.reason}"
        return f"the server answered {status}", "Try again later", ConnectionError
    if isinstance(cause, socket.gaierror):
        return f"the name {host!r} has no known address ({cause})", cure, ConnectionError
    if isinstance(cause, TimeoutError):
        connecting = not isinstance(error, RequestException) or isinstance(error, ConnectTimeout)
        if connecting:
            reason = f"{host} did not take a connection within {CONNECT_TIMEOUT} seconds"
        else:
            reason = f"{host} sent nothing for {READ_TIMEOUT} seconds"
        return reason, cure, ConnectionError
    if isinstance(error, RequestException):
        return f"the connection to {host} failed or was cut ({cause})", cure, ConnectionError
    if isinstance(error, ConnectionError):
        return f"{host} cannot be reached ({cause})", cure, ConnectionError
    cure = "Make room in that folder and make it writable, or name another one by $KERAS_HOME"
    return f"the file cannot be written there ({cause})", cure, OSError
