"""Downloads of files whose size and MD5 are known.

pooch compares the hash, tries again and puts files into place. Its own downloader takes whatever a
server sends, for as long as it sends something, so this module has its own.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sktransfer.files.parts import prefix, remove_left

if TYPE_CHECKING:
    import requests

#: Seconds to wait for a connection, and for the next bytes of a download.
CONNECT_TIMEOUT = 10
READ_TIMEOUT = 30

_CHUNK_BYTES = 1 << 16
# How often a download that fails is tried again.
_RETRIES = 1
# Bytes per second, and seconds on top, below which a download is given up: hours for the largest.
_SLOWEST = 20_000
_PATIENCE = 60.0


class _WrongBytesError(Exception):
    """The download is not the file."""


class _TooSlowError(Exception):
    """The download was too slow."""


def download(url: str, target: Path, *, md5: str, n_bytes: int, label: str) -> None:
    """Download a file unless it exists, or wait for another process that does so already.

    It appears under its name only when it is complete and right. Whatever goes wrong is an OSError
    that says why, and what to do.
    """
    import pooch

    handled_before = sys.exc_info()[1]
    folder, name = target.parent, target.name
    try:
        _check_reachable(url)
        folder.mkdir(parents=True, exist_ok=True)
        remove_left(target)
        with _hold_lock(folder / f".{name}.lock", label):
            if target.is_file():
                return
            with TemporaryDirectory(f".{name}", prefix(), folder) as part:
                fetcher = pooch.create(
                    part,
                    base_url="",
                    registry={name: f"md5:{md5}"},
                    urls={name: url},
                    retry_if_failed=_RETRIES,
                )
                fetcher.fetch(name, downloader=_Downloader(n_bytes, label))
                Path(part, name).replace(target)
    except (OSError, NotImplementedError, ValueError, _WrongBytesError, _TooSlowError) as error:
        cause = _root_cause(error, handled_before)
        reason, cure, kind = _explain(error, cause, url)
        raise kind(f"{reason}. {cure}") from cause


def spell_bytes(n_bytes: int) -> str:
    """Spell the size of a file."""
    return f"{n_bytes / 1e6:,.0f} MB" if n_bytes >= 1e7 else f"{n_bytes:,} bytes"


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
    # Whatever the system answered, even that a sandbox permits no connections.
    raise ConnectionError(f"no connection to {parts.netloc}") from failure


@contextmanager
def _hold_lock(path: Path, label: str) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{label}: waiting for another process that downloads them", file=sys.stderr)
        lock.acquire()
    try:
        yield
    finally:
        # If two waiters hold different files of this name, both download, each to its own
        # temporary file: wasteful but correct. Windows refuses to remove an open file.
        with suppress(OSError):
            path.unlink()
        lock.release()


@dataclass(frozen=True)
class _Downloader:
    """The downloader that pooch calls, with limits to bytes and time."""

    n_bytes: int
    label: str

    def __call__(self, url: str, output_file: str, pooch: object) -> None:
        """Download to a file that pooch has made."""
        import requests
        from tqdm.auto import tqdm

        # pooch makes it by `tempfile`, as a file that other users cannot read.
        path = Path(output_file)
        path.unlink()
        with (
            requests.get(
                url,
                stream=True,
                timeout=(CONNECT_TIMEOUT, READ_TIMEOUT),
                # What is packed may unpack to anything.
                headers={"Accept-Encoding": "identity"},
                hooks={"response": _leave_redirect},
            ) as response,
            path.open("xb") as file,
            tqdm(total=self.n_bytes, unit="B", unit_scale=True, desc=self.label) as bar,
        ):
            response.raise_for_status()
            self._check_head(response.headers)
            seconds = _PATIENCE + self.n_bytes / _SLOWEST
            with _deadline(response, seconds) as has_passed:
                try:
                    for chunk in response.iter_content(_CHUNK_BYTES):
                        if file.tell() + len(chunk) > self.n_bytes:
                            raise _WrongBytesError(
                                f"the server sent more than the {self.n_bytes:,} bytes that Keras "
                                "publishes"
                            )
                        file.write(chunk)
                        bar.update(len(chunk))
                finally:
                    received = f"{file.tell():,} of {self.n_bytes:,} bytes received"
                    if has_passed.is_set():
                        raise _TooSlowError(f"{received} in {seconds:,.0f} seconds")
            if file.tell() < self.n_bytes:
                raise _WrongBytesError(received)

    def _check_head(self, headers: Mapping[str, str]) -> None:
        """Refuse an answer that says beforehand that it is something else."""
        length = headers.get("Content-Length", str(self.n_bytes))
        if length != str(self.n_bytes):
            raise _WrongBytesError(
                f"the server announces {length[:40]!r} bytes, Keras publishes {self.n_bytes:,}"
            )
        encoding = headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise _WrongBytesError(
                f"the server compresses it with {encoding[:40]!r}, which was not requested"
            )


def _leave_redirect(response: requests.Response, **_: object) -> None:
    """Close an answer that leads elsewhere, or else requests reads all that comes with it."""
    if response.is_redirect:
        response.close()


@contextmanager
def _deadline(response: requests.Response, seconds: float) -> Iterator[threading.Event]:
    """Hang up after some seconds: each byte received restarts requests' own timeout."""
    has_passed = threading.Event()
    # A second handle, since only that may be closed here; hanging up ends the waiting of both.
    with socket.fromfd(response.raw.fileno(), socket.AF_INET, socket.SOCK_STREAM) as twin:

        def hang_up() -> None:
            has_passed.set()
            with suppress(OSError):  # the server was first
                twin.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(seconds, hang_up)
        timer.daemon = True
        timer.start()
        try:
            yield has_passed
        finally:
            timer.cancel()
            timer.join()


def _root_cause(error: BaseException, handled_before: BaseException | None) -> BaseException:
    """Follow the chain to its start: requests wraps errors four deep, which fill screens."""
    while True:
        inner = error.__cause__ or error.__context__
        if inner is None or inner is handled_before:
            return error
        error = inner


def _explain(
    error: BaseException, cause: BaseException, url: str
) -> tuple[str, str, type[OSError]]:
    """Say why a download failed and what to do, and choose the class of the error."""
    from requests import ConnectTimeout, HTTPError, RequestException

    host = urlsplit(url).netloc
    cure = "Check the internet connection and the proxy settings ($HTTPS_PROXY), and try again"
    if isinstance(error, ValueError) and not isinstance(error, RequestException):  # from pooch
        error = _WrongBytesError("the MD5 of the download is not the one that Keras publishes")
    if isinstance(error, _WrongBytesError):
        cure = "Try again, and check whether a proxy answers in the server's place"
        return f"{error}; it was discarded", cure, OSError
    if isinstance(error, _TooSlowError):
        return f"{host} is too slow: {error}", "Try again later", ConnectionError
    if isinstance(error, HTTPError):
        status = f"{error.response.status_code} {error.response.reason}"
        return f"the server answered {status}", "Try again later", ConnectionError
    if isinstance(cause, socket.gaierror):
        return f"the name {host!r} has no known address ({cause})", cure, ConnectionError
    if isinstance(cause, TimeoutError):
        connecting = not isinstance(error, RequestException) or isinstance(error, ConnectTimeout)
        if connecting:
            reason = f"{host} did not accept a connection within {CONNECT_TIMEOUT} seconds"
        else:
            reason = f"{host} sent nothing for {READ_TIMEOUT} seconds"
        return reason, cure, ConnectionError
    if isinstance(error, RequestException):
        return f"the connection to {host} failed or was cut ({cause})", cure, ConnectionError
    if isinstance(error, ConnectionError):
        return f"{host} cannot be reached ({cause})", cure, ConnectionError
    cure = "Free disk space there and make the folder writable, or name another one by $KERAS_HOME"
    return f"the file cannot be written there ({cause})", cure, OSError
