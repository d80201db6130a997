"""Weights: found, downloaded whole or not at all, read no deeper than the cut, drawn and hashed."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import math
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from sktransfer import weights
from sktransfer.files import hdf5, isolated
from sktransfer.files.parts import name_part
from sktransfer.networks import ARCHITECTURES, Cut, list_layers, plan_cut
from sktransfer.weights import (
    downloads,
    draw_weights,
    files as weights_files,
    has_recipe,
    hash_weights,
    locate_weights,
    official as official_files,
    read_weights,
    read_weights_and_record,
)

SMALL = bytes(range(256)) * 1200
FULL = SMALL[::-1] + b"top"
FLATTEN = plan_cut("flatten")
FC1 = plan_cut("fc1")
WAIT = 30  # seconds after which a test gives up; none waits that long unless it fails
PARAM = "The 'weights' parameter of VGGFeatureExtractor"


# -- a server that misbehaves on demand


class Server(ThreadingHTTPServer):
    """Serves the two files of VGG16, in the way that `mode` names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.mode = "ok"
        self.paths: list[str] = []
        self.requested = threading.Event()
        self.gate = threading.Event()
        self.gate.set()
        self.n_poured = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what these tests are about."""


MUCH = 1 << 26

#: Answers without end, by how they announce themselves.
HEADERS = {
    "unending": {},
    "chunks": {"Transfer-Encoding": "chunked"},
    "huge": {"Content-Length": str(10**15)},
    "negative": {"Content-Length": "-1"},
    "no number": {"Content-Length": "many"},
    "absurd": {"Content-Length": "9" * 5000},
    "packed": {"Content-Encoding": "gzip, gzip"},
    "drip": {},
}
REDIRECTS = {"file": "file:///etc/passwd", "ftp": "ftp://127.0.0.1/x"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.paths.append(self.path)
        server.requested.set()
        if server.mode in ("404", "500"):
            self.send_error(int(server.mode))
            return
        if server.mode == "to itself" and "again" not in self.path:
            # The answer has a body of its own, which nobody needs.
            self.send_response(302)
            self.send_header("Location", f"{server.url}/again{self.path}")
            self.end_headers()
            self.pour(b"x" * 0x10000, n_bytes=MUCH)
            return
        if server.mode in REDIRECTS:
            self.send_response(302)
            self.send_header("Location", REDIRECTS[server.mode])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.mode in HEADERS:
            self.send_response(200)
            for name, value in HEADERS[server.mode].items():
                self.send_header(name, value)
            self.end_headers()
            if server.mode == "drip":
                self.pour(b"x", 0.05)
            elif server.mode == "chunks":
                self.pour(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            else:
                self.pour(b"x" * 0x10000)
            return
        body = FULL if self.path.endswith("kernels.h5") else SMALL
        if server.mode == "wrong":
            body = b"<html>please log in</html>"
        if server.mode == "altered":
            body = body[::-1]
        if server.mode == "silent":
            server.gate.wait(WAIT)
            return
        self.send_response(200)
        if server.mode != "endless":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if server.mode == "cut once":
            server.mode = "ok"
            return
        if server.mode in ("cut", "endless"):
            return
        server.gate.wait(WAIT)
        if server.mode != "stalled":
            self.wfile.write(body[half:])

    def pour(self, content: bytes, pause: float = 0.0, n_bytes: float = math.inf) -> None:
        """Send until the client hangs up."""
        with contextlib.suppress(OSError):
            while self.server.n_poured < n_bytes:
                self.wfile.write(content)
                self.wfile.flush()
                self.server.n_poured += len(content)
                time.sleep(pause)

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.gate.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep every test off the user's folders, proxies, and the real server."""
    monkeypatch.delenv("SKTRANSFER_WEIGHTS_DIR", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(official_files, "BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(official_files, "_hashes", {})
    return tmp_path / "keras" / "models"


@pytest.fixture(autouse=True)
def official(monkeypatch: pytest.MonkeyPatch) -> dict[bool, str]:
    """Two small files in the place of VGG16's; the names are the real ones."""
    for with_top, body in ((False, SMALL), (True, FULL)):
        file = official_files._OFFICIAL_FILES["vgg16", with_top]
        fake = file._replace(md5=hashlib.md5(body).hexdigest(), n_bytes=len(body))
        monkeypatch.setitem(official_files._OFFICIAL_FILES, ("vgg16", with_top), fake)
    return {top: official_files._OFFICIAL_FILES["vgg16", top].name for top in (False, True)}


@pytest.fixture
def online(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    monkeypatch.setattr(official_files, "BASE_URL", server.url)
    return server


def put(folder: Path, name: str, body: bytes) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(body)
    return path


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def wait_for(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# -- the official files


def test_table_names_what_keras_names() -> None:
    spec = importlib.util.find_spec("keras")  # importing it takes seconds
    if spec is None or spec.origin is None:
        pytest.skip("compares with the source of Keras, which is not installed")
    root = Path(spec.origin).parent
    for (architecture, with_top), file in official_files._OFFICIAL_FILES.items():
        source = (root / "src" / "applications" / f"{architecture}.py").read_text()
        assert f"{architecture}/{file.name}" in source or file.name in source
        if architecture == "vgg19":  # VGG16's hashes are replaced in these tests
            assert file.md5 in source, (architecture, with_top)


def test_real_vgg16_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert official_files.BASE_URL.startswith("https://storage.googleapis.com/tensorflow/")
    assert official_files._OFFICIAL_FILES["vgg16", False].md5 == "6d6bbae143d832006294945121d1f1fc"
    assert official_files._OFFICIAL_FILES["vgg16", True].md5 == "64373286793e3c8b2b4e3219cbf3544b"


def test_search_order(
    home: Path, tmp_path: Path, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(own))
    full_cached = put(home, official[True], FULL)
    assert locate_weights("imagenet", FLATTEN) == full_cached
    full_own = put(own, official[True], FULL)
    assert locate_weights("imagenet", FLATTEN) == full_own
    small_cached = put(home, official[False], SMALL)
    assert locate_weights("imagenet", FLATTEN) == small_cached
    small_own = put(own, official[False], SMALL)
    assert locate_weights("imagenet", FLATTEN) == small_own
    for layer in ("fc1", "fc2", "predictions"):
        assert locate_weights("imagenet", plan_cut(layer)) == full_own
    full_own.unlink()
    assert locate_weights("imagenet", FC1) == full_cached


@pytest.mark.parametrize("value", [None, ""])
def test_keras_cache_is_in_the_home_folder(
    value: str | None, tmp_path: Path, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if value is None:
        monkeypatch.delenv("KERAS_HOME")
    else:
        monkeypatch.setenv("KERAS_HOME", value)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    path = put(tmp_path / ".keras" / "models", official[False], SMALL)
    assert locate_weights("imagenet", FLATTEN) == path


def test_without_a_home_the_cache_is_where_keras_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.setattr(Path, "home", no_home)
    assert official_files._keras_home() == Path("/tmp/.keras")


@pytest.mark.parametrize("name", ["SKTRANSFER_WEIGHTS_DIR", "KERAS_HOME"])
def test_a_folder_that_cannot_be_is_one_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "~nosuchuser/x")
    with pytest.raises(OSError, match=rf"^\${name} must be the path of a folder\. Got '~nosuch"):
        locate_weights("imagenet", FLATTEN)


def test_tilde_in_folders(
    tmp_path: Path, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", "~/own")
    path = put(tmp_path / "own", official[False], SMALL)
    assert locate_weights("imagenet", FLATTEN) == path
    assert locate_weights(f"~/own/{official[False]}", FLATTEN) == path


def test_present_file_is_hashed_once(
    home: Path, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    real = official_files._md5
    monkeypatch.setattr(official_files, "_md5", lambda path: hashed.append(path) or real(path))
    path = put(home, official[False], SMALL)
    for _ in range(3):
        locate_weights("imagenet", FLATTEN)
    assert hashed == [path]
    os.utime(path, ns=(0, 0))
    locate_weights("imagenet", FLATTEN)
    assert hashed == [path, path]


@pytest.mark.parametrize("where", ["own", "cache"])
def test_corrupt_file_is_named_and_kept(
    where: str,
    home: Path,
    tmp_path: Path,
    official: dict[bool, str],
    online: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SKTRANSFER_WEIGHTS_DIR", str(tmp_path / "own"))
    path = put(tmp_path / "own" if where == "own" else home, official[False], SMALL[:-1])
    for _ in range(2):
        with pytest.raises(
            OSError,
            match=rf"^VGGFeatureExtractor found '.*{where and path.name}' where 'imagenet' is "
            r"searched for, but it is corrupt or not the official file: its MD5 is \w{32} "
            r"\(307,199 bytes\), Keras publishes \w{32} \(307,200 bytes\)\. Delete it, and it will "
            r"be downloaded again; if it is your own file, pass it as weights=<path>\.$",
        ):
            locate_weights("imagenet", FLATTEN)
    assert path.exists() and online.paths == []
    path.unlink()
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL


def test_unreadable_file(
    home: Path, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    put(home, official[False], SMALL)
    monkeypatch.setattr(official_files, "_md5", refuse)
    with pytest.raises(OSError, match=r"cannot read it: Permission denied\. Make it readable or"):
        locate_weights("imagenet", FLATTEN)


# -- paths


@pytest.mark.parametrize("kind", [str, Path])
def test_path(kind: type, tmp_path: Path) -> None:
    path = put(tmp_path, "any.h5", b"")
    assert locate_weights(kind(path), FLATTEN) == path


def test_file_called_imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "imagenet", b"")
    assert locate_weights(Path("imagenet"), FLATTEN) == Path("imagenet")
    assert locate_weights("./imagenet", FLATTEN) == Path("imagenet")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("~nosuchuser/x.h5", r"Got .*: this system knows no home folder of that user\.$"),
        ("imagnet", r"Got 'imagnet': no such file\. Did you mean 'imagenet'\?$"),
        ("synthetics", r"Got 'synthetics': no such file\. Did you mean 'synthetic'\?$"),
        ("Synthetic", r"Got 'Synthetic': no such file\. Did you mean 'synthetic'\?$"),
        ("ImageNet", r"Got 'ImageNet': no such file\. Did you mean 'imagenet'\?$"),
        ("None", r"Got 'None': no such file\. For seeded random weights pass None\.$"),
        ("random", r"For seeded random weights pass None\.$"),
        ("mine.h5", r"Got 'mine\.h5': no such file\.$"),
        (Path("a") / "b.h5", r"Got 'a.+b\.h5': no such file\.$"),
        (".", r"Got '\.': that is a folder\. Name the file in it\.$"),
    ],
)
def test_missing_path(value: Any, message: str) -> None:
    rule = rf"^{PARAM} must be 'imagenet', 'synthetic', None or the path of a weights file\. "
    with pytest.raises(FileNotFoundError, match=rule + ".*" + message):
        locate_weights(value, FLATTEN)


# -- downloads


def test_download(online: Server, home: Path, official: dict[bool, str]) -> None:
    path = locate_weights("imagenet", FLATTEN)
    assert path == home / official[False]
    assert path.read_bytes() == SMALL
    assert online.paths == [f"/vgg16/{official[False]}"]
    assert left_over(home) == [official[False]]
    locate_weights("imagenet", FLATTEN)
    assert len(online.paths) == 1
    # The dense layers are in the full file only, even where the small one is there.
    assert locate_weights("imagenet", FC1).read_bytes() == FULL
    assert online.paths[1:] == [f"/vgg16/{official[True]}"]
    assert left_over(home) == sorted(official.values())


def test_download_may_be_read_by_others(online: Server) -> None:
    path = locate_weights("imagenet", FLATTEN)
    ordinary = put(path.parent, "ordinary", b"")
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_downloaded_file_is_not_hashed_again(
    online: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed = []
    real = official_files._md5
    monkeypatch.setattr(official_files, "_md5", lambda path: hashed.append(path) or real(path))
    for _ in range(3):
        locate_weights("imagenet", FLATTEN)
    assert len(hashed) == 1


def test_progress_bar(online: Server, capsys: pytest.CaptureFixture) -> None:
    locate_weights("imagenet", FLATTEN)
    out, err = capsys.readouterr()
    assert out == ""
    assert "VGGFeatureExtractor: vgg16 weights: 100%" in err and "307k/307k" in err


def test_pooch_logger_is_left_alone_and_says_once_what_is_fetched(
    online: Server, official: dict[bool, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pooch

    logger = pooch.get_logger()
    before = logger.level, list(logger.handlers), logging.root.level
    said: list[str] = []
    monkeypatch.setattr(logger, "handle", lambda record: said.append(record.getMessage()))
    locate_weights("imagenet", FLATTEN)
    locate_weights("imagenet", FLATTEN)
    assert (logger.level, list(logger.handlers), logging.root.level) == before
    assert len(said) == 1 and f"{online.url}/vgg16/{official[False]}" in said[0]


def test_a_download_that_was_cut_is_tried_again(online: Server, home: Path) -> None:
    online.mode = "cut once"
    path = locate_weights("imagenet", FLATTEN)
    assert path.read_bytes() == SMALL
    assert len(online.paths) == 2
    assert left_over(home) == [path.name]


FAILURES = {
    "404": r"the server answered 404 Not Found\. Try again later",
    "500": r"the server answered 500 Internal Server Error\. Try again later",
    "cut": r"the connection to 127\.0\.0\.1:\d+ failed or was cut \(.*153600.*\)\. Check the int",
    "endless": r"153,600 of 307,200 bytes received; it was discarded\. Try again, and check "
    "whether a proxy answers in the server's place",
    "wrong": r"the server announces '26' bytes, Keras publishes 307,200; it was discarded",
    "altered": r"the MD5 of the download is not the one that Keras publishes; "
    r"it was discarded\. Try",
    "stalled": r"127\.0\.0\.1:\d+ sent nothing for 0\.2 seconds\. Check the internet connection",
    "silent": r"127\.0\.0\.1:\d+ sent nothing for 0\.2 seconds\. Check the internet connection",
    "unending": r"the server sent more than the 307,200 bytes that Keras publishes; "
    r"it was discarded\. Try",
    "chunks": r"the server sent more than the 307,200 bytes that Keras publishes; "
    r"it was discarded\. Try",
    "huge": r"the server announces '10+' bytes, Keras publishes 307,200; it was discarded",
    "negative": r"the server announces '-1' bytes, Keras publishes 307,200; it was discarded",
    "no number": r"the server announces 'many' bytes, Keras publishes 307,200; it was discarded",
    "absurd": r"the server announces '9{40}' bytes, Keras publishes 307,200; it was discarded",
    "packed": r"the server compresses it with 'gzip, gzip', which was not requested; it was disc",
    "drip": r"127\.0\.0\.1:\d+ is too slow: \d+ of 307,200 bytes received in 1 seconds\. Try again",
    "file": r"the connection to 127\.0\.0\.1:\d+ failed or was cut \(No connection adapters .*file",
    "ftp": r"the connection to 127\.0\.0\.1:\d+ failed or was cut \(No connection adapters .*ftp:",
}


@pytest.mark.parametrize("mode", FAILURES)
def test_failed_download_leaves_nothing_and_can_be_repeated(
    mode: str, online: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_RETRIES", 0)
    monkeypatch.setattr(downloads, "READ_TIMEOUT", 0.2)
    if mode == "drip":
        monkeypatch.setattr(downloads, "READ_TIMEOUT", WAIT)
        monkeypatch.setattr(downloads, "_PATIENCE", 1.0)
        monkeypatch.setattr(downloads, "_SLOWEST", 1e9)
    elif mode in HEADERS:
        monkeypatch.setattr(downloads, "READ_TIMEOUT", WAIT)
    online.mode = mode
    if mode in ("stalled", "silent"):
        online.gate.clear()
    with pytest.raises(
        OSError,
        match=r"^VGGFeatureExtractor could not download the ImageNet weights of VGG16 \(307,200 "
        r"bytes\) from http://127\.0\.0\.1:\d+/vgg16/vgg16_weights_tf_dim_ordering_tf_kernels_"
        rf"notop\.h5 to '.*models': {FAILURES[mode]}",
    ) as caught:
        locate_weights("imagenet", FLATTEN)
    assert str(caught.value).endswith(
        "; or fetch the file by hand and put it into the folder that $SKTRANSFER_WEIGHTS_DIR "
        "names; or pass weights='synthetic', trained weights of VGG16 up to 'flatten' that come "
        "with the package, weights=<path of a weights file>, or weights=None for seeded random "
        "weights as a control. See "
        "https://sktransfer.github.io/weights.html#machines-without-a-network."
    )
    assert caught.value.__cause__ is not None
    assert left_over(home) == []
    online.mode = "ok"
    online.gate.set()
    monkeypatch.setattr(downloads, "READ_TIMEOUT", WAIT)
    monkeypatch.setattr(downloads, "_PATIENCE", WAIT)
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL
    assert left_over(home) == [official_files._OFFICIAL_FILES["vgg16", False].name]


def test_a_redirect_is_followed_without_what_comes_with_it(online: Server) -> None:
    online.mode = "to itself"
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL
    assert len(online.paths) == 2
    assert online.n_poured < MUCH


def test_refused_connection(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_files, "BASE_URL", f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:\d+ cannot be reached \(.*\)\. Check"):
        locate_weights("imagenet", FLATTEN)
    assert not home.parent.exists()


def test_no_name_service(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(
        ConnectionError, match=r"the name '127\.0\.0\.1:9' has no known address \(.*Name or"
    ) as caught:
        locate_weights("imagenet", FLATTEN)
    assert isinstance(caught.value.__cause__, socket.gaierror)
    assert not home.parent.exists()


@pytest.mark.parametrize("families", [1, 2])
def test_packets_swallowed(families: int, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many addresses a server has, the timeouts add up to the connect timeout."""
    timeouts = []

    def swallow(self: socket.socket, address: Any) -> None:
        timeouts.append(self.gettimeout())
        raise TimeoutError("timed out")

    many = [
        (family, socket.SOCK_STREAM, 6, "", (address, 80))
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))[:families]
        for _ in range(16)
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: many)
    monkeypatch.setattr(socket.socket, "connect", swallow)
    with pytest.raises(ConnectionError, match=r"9 did not accept a connection within 10 seconds\."):
        locate_weights("imagenet", FLATTEN)
    assert sum(timeouts) == downloads.CONNECT_TIMEOUT == 10
    assert not home.parent.exists()


def test_second_family_is_tried(online: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def add_dead_address(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        dead = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", unused_port(), 0, 0))
        return [dead, *real(host, port, *args, **kwargs)]

    monkeypatch.setattr(socket, "getaddrinfo", add_dead_address)
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL


def test_connections_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbid(self: socket.socket, address: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(socket.socket, "connect", forbid)
    with pytest.raises(ConnectionError, match=r"cannot be reached \(.*not permitted\)\. Check"):
        locate_weights("imagenet", FLATTEN)


def test_proxy(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_files, "BASE_URL", "http://weights.invalid")
    monkeypatch.setenv("HTTP_PROXY", server.url)
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL
    assert server.paths[0].startswith("http://weights.invalid/vgg16/")


def test_proxy_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_files, "BASE_URL", "http://weights.invalid")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(ConnectionError, match=r"weights\.invalid failed or was cut \(.*refused"):
        locate_weights("imagenet", FLATTEN)


def test_error_inside_another_handler_keeps_its_own_cause(
    online: Server,
) -> None:
    online.mode = "404"
    with pytest.raises(ConnectionError, match="404") as caught:
        try:
            raise KeyError("something else")
        except KeyError:
            locate_weights("imagenet", FLATTEN)
    assert "404" in str(caught.value.__cause__)


def test_cache_folder_cannot_be_made(online: Server, tmp_path: Path) -> None:
    put(tmp_path, "keras", b"a file in the place of the folder")
    with pytest.raises(
        OSError,
        match=r"the file cannot be written there \(.*\)\. Free disk space there and make the "
        r"folder writable, or name another one by \$KERAS_HOME; or fetch",
    ) as caught:
        locate_weights("imagenet", FLATTEN)
    assert not isinstance(caught.value, ConnectionError)
    assert online.paths == []


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
@pytest.mark.skipif(getattr(os, "geteuid", int)() == 0, reason="root may write anywhere")
def test_cache_folder_not_writable(online: Server, home: Path) -> None:
    home.mkdir(parents=True)
    home.chmod(0o500)
    try:
        with pytest.raises(OSError, match=r"cannot be written there \(.*Permission denied"):
            locate_weights("imagenet", FLATTEN)
    finally:
        home.chmod(0o700)
    assert left_over(home) == []


def test_full_disk(online: Server, home: Path) -> None:
    """Within the limit on a file's size, as a stand-in: a real write that the system refuses."""
    resource = pytest.importorskip("resource", reason="limits are POSIX's")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(SMALL) // 2, hard))
    try:
        with pytest.raises(OSError, match=r"the file cannot be written there \(.*File too large"):
            locate_weights("imagenet", FLATTEN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert left_over(home) == []
    assert locate_weights("imagenet", FLATTEN).read_bytes() == SMALL


def test_abandoned_files_are_removed(online: Server, home: Path, official: dict[bool, str]) -> None:
    alive = name_part(home / official[False])
    dead = alive.with_name(alive.name.replace(f"-{os.getpid()}-", "-999999999-"))
    for part in (dead, alive):
        put(part, "tmp", b"half")
    locate_weights("imagenet", FLATTEN)
    assert left_over(home) == sorted([alive.name, official[False]])


def test_lock_left_by_a_killed_process(
    online: Server, home: Path, official: dict[bool, str]
) -> None:
    put(home, f".{official[False]}.lock", b"")
    locate_weights("imagenet", FLATTEN)
    assert left_over(home) == [official[False]]


# -- several at once, and interrupted

CHILD = """
import sys
from sktransfer import weights
from sktransfer.networks import plan_cut
from sktransfer.weights import official as official_files
official_files.BASE_URL, md5, n_bytes = sys.argv[1:]
files, key = official_files._OFFICIAL_FILES, ("vgg16", False)
files[key] = files[key]._replace(md5=md5, n_bytes=int(n_bytes))
print(weights.locate_weights("imagenet", plan_cut("flatten")))
"""


def start_child(url: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, url, hashlib.md5(SMALL).hexdigest(), str(len(SMALL))],
        cwd=Path(weights.__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_two_processes_download_once(online: Server, home: Path, official: dict[bool, str]) -> None:
    online.gate.clear()
    first = start_child(online.url)
    assert online.requested.wait(WAIT)
    second = start_child(online.url)
    assert "waiting for another process that downloads" in second.stderr.readline()
    online.gate.set()
    for child in (first, second):
        out, err = child.communicate(timeout=WAIT)
        assert (child.returncode, out.strip()) == (0, str(home / official[False])), err
    assert len(online.paths) == 1
    assert left_over(home) == [official[False]]


def test_second_process_takes_over_where_the_first_fails(
    online: Server, home: Path, official: dict[bool, str], capsys: pytest.CaptureFixture
) -> None:
    online.gate.clear()
    first = start_child(online.url)
    assert online.requested.wait(WAIT)
    found: list[Path] = []
    waiting = threading.Thread(target=lambda: found.append(locate_weights("imagenet", FLATTEN)))
    waiting.start()
    wait_for(lambda: "waiting" in capsys.readouterr().err)
    first.kill()
    first.communicate()
    online.gate.set()
    waiting.join(WAIT)
    assert found == [home / official[False]]
    assert len(online.paths) == 2


def test_threads_download_once(
    online: Server, home: Path, official: dict[bool, str], capsys: pytest.CaptureFixture
) -> None:
    online.gate.clear()
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(locate_weights("imagenet", FLATTEN)))
        for _ in range(4)
    ]
    seen = ""

    def all_wait() -> bool:
        nonlocal seen
        seen += capsys.readouterr().err
        return seen.count("waiting for another process") == 3

    for thread in threads:
        thread.start()
    wait_for(all_wait)
    online.gate.set()
    for thread in threads:
        thread.join(WAIT)
    assert found == [home / official[False]] * 4
    assert len(online.paths) == 1
    assert left_over(home) == [official[False]]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_interrupt_leaves_nothing(online: Server, home: Path) -> None:
    online.gate.clear()
    child = start_child(online.url)
    wait_for(lambda: any(path.stat().st_size for path in home.glob(".part-*/*")))
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=WAIT)
    assert child.returncode != 0 and "KeyboardInterrupt" in err
    assert left_over(home) == []


@pytest.mark.parametrize("mode", ["refused", "404", "cut"])
def test_traceback_fits_one_screen(mode: str, online: Server) -> None:
    online.mode = mode
    url = f"http://127.0.0.1:{unused_port()}" if mode == "refused" else online.url
    _, err = start_child(url).communicate(timeout=WAIT)
    assert "could not download the ImageNet weights" in err
    assert "During handling of the above exception" not in err
    assert len(err.splitlines()) <= 40, err


def test_import_is_light() -> None:
    code = (
        "import sys, sktransfer.weights.reading; "
        "print({'keras', 'tensorflow', 'h5py', 'pooch', 'requests', 'filelock'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(weights.__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "set()"


# -- reading

Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def legacy_file(path: Path, arrays: Arrays, spelling: str = "{0}/{0}_{1}:0") -> Path:
    """Write the layout of Keras' official files, or a variant of it."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in arrays]
        for name, pair in arrays.items():
            group = file.create_group(name)
            names = [spelling.format(name, kind) for kind in (("kernel", "bias") + ("extra",) * 9)][
                : len(pair)
            ]
            group.attrs["weight_names"] = [entry.encode() for entry in names]
            for entry, values in zip(names, pair, strict=True):
                group[entry] = values
    return path


def numbered_file(path: Path, architecture: str, last: str, *, named: bool = True) -> Path:
    """Write the layout of ``.weights.h5`` sparsely: with the shapes, and zeros for values."""
    counters = {"conv": 0, "dense": 0}
    with h5py.File(path, "w") as file:
        for layer in plan_cut(last, architecture).weighted_layers:
            kind = {"conv": "conv2d", "dense": "dense"}[layer.kind]
            n = counters[layer.kind]
            counters[layer.kind] += 1
            group = file.create_group(f"layers/{kind}{f'_{n}' if n else ''}/vars")
            if named:
                group.attrs["name"] = layer.name
            for i, shape in enumerate((layer.kernel_shape, layer.kernel_shape[-1:])):
                group.create_dataset(str(i), shape, np.float32, chunks=True)
    return path


def assert_same(found: Arrays, wanted: Arrays, cut: Cut) -> None:
    assert list(found) == [layer.name for layer in cut.weighted_layers]
    for name, arrays in found.items():
        for values, expected in zip(arrays, wanted[name], strict=True):
            assert values.dtype == np.float32 and values.flags.c_contiguous
            assert values.dtype.isnative and values.flags.writeable
            assert_array_equal(values, expected)


BLOCK1 = plan_cut("block1_pool")
BLOCK2 = plan_cut("block2_pool")


@pytest.mark.parametrize(
    ("fixture", "architecture", "last"),
    [("vgg16_blocks", "vgg16", "block2_pool"), ("vgg19_blocks", "vgg19", "block3_pool")],
)
def test_real_files(
    fixture: str, architecture: str, last: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(fixture)
    names = [layer.name for layer in plan_cut(last, architecture).trunk[1:]]
    with h5py.File(path) as file:
        wanted = {
            name: (file[f"{name}/{name}_W_1:0"][()], file[f"{name}/{name}_b_1:0"][()])
            for name in file
        }
    for name in names:
        cut = plan_cut(name, architecture)
        assert_same(read_weights(path, cut), wanted, cut)
    assert read_weights_and_record(path, cut)[1] is None


def test_real_file_of_the_other_network(vgg16_blocks: Path, vgg19_blocks: Path) -> None:
    with pytest.raises(
        ValueError,
        match=r"^The weights file must be of 'vgg16'\. Got '.*', which is "
        r"of 'vgg19': it holds block3_conv4, which VGG16 does not have\. Set "
        r"architecture='vgg19', or pass another file\.$",
    ):
        read_weights(vgg19_blocks, BLOCK1)
    with pytest.raises(
        ValueError,
        match=r"^A cut at 'flatten' needs the weights of every layer of "
        r"VGG16 up to there\. Got '.*', which lacks block3_conv1, block3_conv2, .*block5_conv3\. "
        r"It reaches up to block2_conv2: cut at 'block2_pool' or before, or pass a file that "
        r"reaches deeper\.$",
    ):
        read_weights(vgg16_blocks, FLATTEN)


@pytest.fixture(scope="module", params=["vgg16", "vgg19"])
def keras_files(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Arrays, Path]]:
    """Files written by the installed Keras, from both networks with random weights."""
    keras = pytest.importorskip("keras")
    folder = tmp_path_factory.mktemp(request.param)
    wanted = draw_weights(plan_cut("flatten", request.param), seed=3)
    rng = np.random.default_rng(0)
    wanted = {
        name: (kernel, rng.normal(size=bias.shape).astype(np.float32))
        for name, (kernel, bias) in wanted.items()
    }
    build = {"vgg16": keras.applications.VGG16, "vgg19": keras.applications.VGG19}[request.param]
    model = build(weights=None, include_top=False, input_shape=(32, 32, 3))
    for name, pair in wanted.items():
        model.get_layer(name).set_weights(pair)
    with warnings.catch_warnings():
        # TensorFlow's variables, which Keras gives to NumPy here, are behind NumPy 2.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        model.save_weights(folder / "plain.weights.h5")
        model.save(folder / "model.h5")
        model.save(folder / "model.keras")
        shallow = keras.Model(model.inputs, model.get_layer("block2_pool").output)
        shallow.save_weights(folder / "shallow.weights.h5")
        shallow.compile("adam")
        shallow.optimizer.build(shallow.trainable_variables)
        shallow.save(folder / "trained.h5")
        shallow.save_weights(folder / "trained.weights.h5")
        head = keras.Sequential([shallow, keras.layers.Flatten(), keras.layers.Dense(2)])
        head.save_weights(folder / "nested.weights.h5")
        head.save(folder / "nested.h5")
    yield request.param, wanted, folder
    shutil.rmtree(folder)  # half a gigabyte in all


@pytest.mark.parametrize("layer", ["block1_conv1", "block3_pool", "flatten"])
@pytest.mark.parametrize("name", ["plain.weights.h5", "model.h5"])
def test_files_by_keras(name: str, layer: str, keras_files: tuple[str, Arrays, Path]) -> None:
    architecture, wanted, folder = keras_files
    cut = plan_cut(layer, architecture)
    assert_same(read_weights(folder / name, cut), wanted, cut)


@pytest.mark.parametrize(
    "name",
    [
        "shallow.weights.h5",
        "trained.h5",
        "trained.weights.h5",
        "nested.weights.h5",
        "nested.h5",
    ],
)
def test_shallow_trained_and_nested_files_by_keras(
    name: str, keras_files: tuple[str, Arrays, Path]
) -> None:
    architecture, wanted, folder = keras_files
    cut = plan_cut("block2_pool", architecture)
    assert_same(read_weights(folder / name, cut), wanted, cut)
    with pytest.raises(ValueError, match=r"lacks block3_conv1.*cut at 'block2_pool' or before"):
        read_weights(folder / name, plan_cut("block3_conv1", architecture))


def test_nameless_files_of_earlier_keras(
    keras_files: tuple[str, Arrays, Path], tmp_path: Path
) -> None:
    architecture, wanted, folder = keras_files
    other = {"vgg16": "vgg19", "vgg19": "vgg16"}[architecture]
    for name, last in (("plain", "flatten"), ("nested", "block2_pool")):
        path = shutil.copy(folder / f"{name}.weights.h5", tmp_path)
        with h5py.File(path, "r+") as file:
            file.visititems(lambda _, item: item.attrs.pop("name", None) and None)
        cut = plan_cut(last, architecture)
        assert_same(read_weights(path, cut), wanted, cut)
        if name == "plain":
            with pytest.raises(ValueError, match=f"Set architecture='{architecture}'"):
                read_weights(path, plan_cut("block1_pool", other))


def test_files_by_keras_of_the_other_network(keras_files: tuple[str, Arrays, Path]) -> None:
    architecture, _, folder = keras_files
    other = {"vgg16": "vgg19", "vgg19": "vgg16"}[architecture]
    evidence = {
        "vgg19": r"it holds block3_conv4, which VGG16 does not have",
        "vgg16": r"it holds block4_conv1 but not block3_conv4",
    }
    for name in ("plain.weights.h5", "model.h5"):
        for layer in ("block1_pool", "flatten"):
            with pytest.raises(
                ValueError,
                match=rf"must be of '{other}'\. Got '.*', which is of '{architecture}': "
                rf"{evidence[architecture]}\. Set architecture='{architecture}', or pass",
            ):
                read_weights(folder / name, plan_cut(layer, other))


def test_keras_archive(keras_files: tuple[str, Arrays, Path]) -> None:
    for read in (lambda path: read_weights(path, FLATTEN), has_recipe):
        with pytest.raises(
            OSError,
            match=r"^VGGFeatureExtractor cannot read the weights file '.*model\.keras': it is an "
            r"archive, such as a \.keras file, and must be an HDF5 file\. Load it with "
            r"keras\.saving\.load_model, save its weights with "
            r"model\.save_weights\('x\.weights\.h5'\), and pass that file\.$",
        ):
            read(keras_files[2] / "model.keras")


@pytest.mark.parametrize(
    "spelling", ["{0}_{1}_1:0", "{0}/{1}:0", "{0}_1/{1}:0", "vgg16/{0}/{1}", "{0}/{0}/{1}"]
)
def test_spellings_of_weight_names(spelling: str, tmp_path: Path) -> None:
    wanted = draw_weights(BLOCK2, seed=0)
    path = legacy_file(tmp_path / "x.h5", wanted, spelling)
    assert_same(read_weights(path, BLOCK2), wanted, BLOCK2)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("architecture", ["vgg16", "vgg19"])
def test_dense_layers(named: bool, architecture: str, tmp_path: Path) -> None:
    path = numbered_file(tmp_path / "x.weights.h5", architecture, "predictions", named=named)
    cut = plan_cut("predictions", architecture)
    tables = {name: weights_files._table(name) for name in ARCHITECTURES}
    with h5py.File(path) as file:
        found = hdf5._find_arrays(file, tables, architecture)
        assert set(found) == {layer.name for layer in cut.weighted_layers}
        assert found["fc2"][0].name == "/layers/dense_1/vars/0"
        assert found["block4_conv1"][0].shape == (3, 3, 256, 512)
    conv = plan_cut("block2_pool", architecture)
    assert list(read_weights(path, conv)) == [layer.name for layer in conv.weighted_layers]


def test_fc1_is_read_from_a_full_file(tmp_path: Path) -> None:
    path = numbered_file(tmp_path / "x.weights.h5", "vgg16", "predictions")
    found = read_weights(path, FC1)
    assert found["fc1"][0].shape == (25088, 4096)
    assert not found["fc1"][0].any()


def test_only_what_is_needed_is_read(
    tmp_path: Path, keras_files: tuple[str, Arrays, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, _, folder = keras_files
    read: list[str] = []
    monkeypatch.setattr(isolated, "ask", hdf5.answer)  # in this process, to watch it
    for method in ("read_direct", "__getitem__", "__array__"):
        real = getattr(h5py.Dataset, method)

        def spy(self: h5py.Dataset, *args: Any, _real: Any = real, **kwargs: Any) -> Any:
            read.append(self.name)
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(h5py.Dataset, method, spy)
    read_weights(folder / "plain.weights.h5", plan_cut("block2_conv1", architecture))
    assert read == [
        f"/layers/conv2d{number}/vars/{i}" for number in ("", "_1", "_2") for i in (0, 1)
    ]
    read.clear()
    read_weights(folder / "model.h5", plan_cut("block1_conv1", architecture))
    base = "/model_weights/block1_conv1/block1_conv1"
    assert read == [f"{base}/kernel", f"{base}/bias"]


@pytest.mark.parametrize("dtype", ["<f2", ">f4", "<f8", ">f8"])
def test_other_floats_become_float32(dtype: str, tmp_path: Path) -> None:
    drawn = {
        name: tuple(values.astype(dtype) for values in pair)
        for name, pair in draw_weights(BLOCK1, seed=0).items()
    }
    path = legacy_file(tmp_path / "x.h5", drawn)
    wanted = {name: tuple(v.astype(np.float32) for v in pair) for name, pair in drawn.items()}
    assert_same(read_weights(path, BLOCK1), wanted, BLOCK1)


def test_compressed_file(tmp_path: Path) -> None:
    wanted = draw_weights(BLOCK1, seed=0)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for name, pair in wanted.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = ["kernel", "bias"]
            for entry, values in zip(("kernel", "bias"), pair, strict=True):
                group.create_dataset(entry, data=values, compression="gzip", shuffle=True)
    assert_same(read_weights(tmp_path / "x.h5", BLOCK1), wanted, BLOCK1)


# -- what is wrong with a file


def test_missing_layer_in_the_middle(tmp_path: Path) -> None:
    arrays = draw_weights(BLOCK2, seed=0)
    del arrays["block1_conv2"]
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(
        ValueError,
        match=r"Got '.*x\.h5', which lacks block1_conv2\. It reaches up to block1_conv1: cut at "
        r"'block1_conv1' or before, or pass a file that reaches deeper\.$",
    ):
        read_weights(path, BLOCK2)


def test_missing_first_layer(tmp_path: Path) -> None:
    arrays = draw_weights(BLOCK2, seed=0)
    del arrays["block1_conv1"]
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(ValueError, match=r"which lacks block1_conv1\. Pass a complete file\.$"):
        read_weights(path, BLOCK2)


def test_dense_layers_missing(tmp_path: Path) -> None:
    path = numbered_file(tmp_path / "x.weights.h5", "vgg16", "flatten")
    with pytest.raises(
        ValueError,
        match=r"^A cut at 'fc2' needs .* lacks fc1, fc2\. It reaches up to block5_conv3: "
        r"cut at 'flatten' or before",
    ):
        read_weights(path, plan_cut("fc2"))


def test_no_layer_at_all(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        for i in range(7):
            file[f"array{i}"] = np.zeros(3)
    with pytest.raises(
        ValueError,
        match=r"it holds no layer of VGG16 at all, but 'array0', .*'array4', \.\.\.\. Pass a file "
        r"that Keras wrote for keras\.applications' network, whose layers keep their names, or ",
    ):
        read_weights(tmp_path / "x.h5", BLOCK1)
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    with pytest.raises(ValueError, match=r"at all, but nothing\. Pass"):
        read_weights(tmp_path / "empty.h5", BLOCK1)


def test_wrong_shapes_are_all_named(tmp_path: Path) -> None:
    arrays = draw_weights(BLOCK2, seed=0)
    kernel, bias = arrays["block1_conv1"]
    arrays["block1_conv1"] = kernel[:, :, :1], bias
    arrays["block2_conv2"] = arrays["block2_conv2"][0], bias
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(
        ValueError,
        match=r"^The weights file must hold one kernel and one bias for "
        r"each layer of VGG16, of the network's shapes\. Got in '.*x\.h5': block1_conv1 \(3, 3, 1, "
        r"64\) and \(64,\) instead of \(3, 3, 3, 64\) and \(64,\); block2_conv2 \(3, 3, 128, 128\) "
        r"and \(64,\) instead of .* and \(128,\)\. Pass a file of the unchanged network, or cut "
        r"before these layers\.$",
    ):
        read_weights(path, BLOCK2)
    # Shapes beyond the cut do not matter.
    arrays["block1_conv1"] = kernel, bias
    path = legacy_file(tmp_path / "y.h5", arrays)
    read_weights(path, BLOCK1)


@pytest.mark.parametrize("n_arrays", [0, 1, 3])
def test_wrong_number_of_arrays(n_arrays: int, tmp_path: Path) -> None:
    arrays: Any = draw_weights(BLOCK1, seed=0)
    kernel, bias = arrays["block1_conv2"]
    arrays["block1_conv2"] = (kernel, bias, bias)[:n_arrays]
    path = legacy_file(tmp_path / "x.h5", arrays)
    message = "lacks block1_conv2" if n_arrays == 0 else r"block1_conv2 \(3, 3, 64, 64\)"
    with pytest.raises(ValueError, match=message):
        read_weights(path, BLOCK1)


def test_integers_are_refused(tmp_path: Path) -> None:
    arrays: Any = draw_weights(BLOCK1, seed=0)
    arrays["block1_conv2"] = tuple(a.astype(np.int8) for a in arrays["block1_conv2"])
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(ValueError, match=r"block1_conv2 of type int8 and int8 instead of float\."):
        read_weights(path, BLOCK1)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 1])
def test_values_must_be_finite(value: float, position: int, tmp_path: Path) -> None:
    arrays = draw_weights(BLOCK2, seed=0)
    arrays["block2_conv1"][position].flat[5] = value
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(
        ValueError,
        match=r"^The weights in a file must be finite numbers within "
        r"float32\. Got NaN or infinity in block2_conv1 of '.*x\.h5': the file is "
        r"damaged, or the training that made it has diverged\. Pass another file\.$",
    ):
        read_weights(path, BLOCK2)
    read_weights(path, BLOCK1)


@pytest.mark.filterwarnings("error")
def test_doubles_beyond_float32(tmp_path: Path) -> None:
    arrays: Any = draw_weights(BLOCK1, seed=0)
    kernel, bias = arrays["block1_conv1"]
    arrays["block1_conv1"] = kernel.astype(np.float64) * 1e300, bias
    path = legacy_file(tmp_path / "x.h5", arrays)
    with pytest.raises(ValueError, match="finite numbers within float32"):
        read_weights(path, BLOCK1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"plain text", r"it is not an HDF5 file\. Pass a \.h5 or \.weights\.h5 file that Keras"),
        (b"", r"it is empty, and must be an HDF5 file that Keras wrote\. Fetch or save it again"),
        (b"\n<!DOCTYPE html>", r"it is not an HDF5 file, but looks like a web page: fetch the fil"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            r"it is not .*but is a Git LFS pointer: .*'git lfs",
        ),
        (b"PK\x03\x04", r"it is an archive, such as a \.keras file"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 8, r"it is an HDF5 file, but truncated or damaged \("),
    ],
)
def test_not_a_weights_file(content: bytes, message: str, tmp_path: Path) -> None:
    path = put(tmp_path, "x.h5", content)
    for read in (lambda path: read_weights(path, FLATTEN), has_recipe):
        with pytest.raises(OSError, match=r"cannot read the weights file '.*x\.h5': " + message):
            read(path)


@pytest.mark.parametrize("fraction", [0.001, 0.3, 0.9, 0.999])
def test_truncated_file(fraction: float, tmp_path: Path) -> None:
    whole = legacy_file(tmp_path / "x.h5", draw_weights(BLOCK2, seed=0)).read_bytes()
    path = put(tmp_path, "cut.h5", whole[: int(len(whole) * fraction)])
    with pytest.raises(OSError, match=r"truncated or damaged \(.*\)\. Fetch or save it again"):
        read_weights(path, BLOCK1)


def test_damaged_chunk(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for name, pair in draw_weights(BLOCK1, seed=0).items():
            group = file.create_group(name)
            group.attrs["weight_names"] = ["kernel", "bias"]
            for entry, values in zip(("kernel", "bias"), pair, strict=True):
                group.create_dataset(entry, data=values, chunks=True, fletcher32=True)
        chunk = file["block1_conv2/kernel"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset + 10] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(OSError, match="truncated or damaged"):
        read_weights(path, BLOCK1)
    read_weights(path, plan_cut("block1_conv1"))


def test_missing_array_behind_a_name(tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "x.h5", draw_weights(BLOCK1, seed=0), "{0}_{1}")
    with h5py.File(path, "r+") as file:
        del file["block1_conv1/block1_conv1_bias"]
    with pytest.raises(OSError, match="truncated or damaged"):
        read_weights(path, BLOCK1)


def test_file_gone(tmp_path: Path) -> None:
    for read in (lambda path: read_weights(path, FLATTEN), has_recipe):
        with pytest.raises(OSError, match=r"gone\.h5': No such file or directory\. Name a file"):
            read(tmp_path / "gone.h5")


# -- the input size


@pytest.mark.parametrize("size", [32, 64, np.int64(224)])
def test_recorded_input_size(size: Any, tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "x.h5", draw_weights(BLOCK1, seed=0))
    assert read_weights_and_record(path, BLOCK1)[1] is None
    with h5py.File(path, "r+") as file:
        file.attrs["input_size"] = size
    _, found, _ = read_weights_and_record(str(path), BLOCK1)
    assert found == size and type(found) is int


@pytest.mark.parametrize("size", ["large", 64.0, 31, [64, 64], 10_001, 2**62, b"64"])
def test_recorded_input_size_must_be_one(size: Any, tmp_path: Path) -> None:
    path = legacy_file(tmp_path / "x.h5", draw_weights(BLOCK1, seed=0))
    with h5py.File(path, "r+") as file:
        file.attrs["input_size"] = size
    with pytest.raises(
        ValueError,
        match=r"must record as its 'input_size' a whole number of pixels from 32 up to 10,000, "
        r"or height and width in JSON\. Got .* instead\. Correct the attribute, or set the "
        r"parameter 'input_size'\.$",
    ):
        read_weights_and_record(path, BLOCK1)


# -- drawing


def test_drawn_weights_are_he_normal() -> None:
    for name, (kernel, bias) in draw_weights(FLATTEN, seed=0).items():
        assert kernel.dtype == bias.dtype == np.float32
        assert kernel.flags.c_contiguous
        assert bias.shape == kernel.shape[-1:] and not bias.any()
        scale = np.sqrt(2 / np.prod(kernel.shape[:-1]))
        # Five standard errors.
        assert abs(kernel.mean() / scale) < 5 / np.sqrt(kernel.size), name
        assert abs(kernel.std() / scale - 1) < 5 / np.sqrt(2 * kernel.size), name
        assert np.abs(kernel).max() / scale > 3, name  # normal, and not cut off


def test_drawn_weights_do_not_depend_on_the_cut() -> None:
    deep = draw_weights(plan_cut("block4_conv1", "vgg19", None, 48), seed=7)
    for cut in (BLOCK1, plan_cut(["block3_conv1", "block2_pool"], "vgg16", "max", 32)):
        for name, (kernel, _) in draw_weights(cut, seed=7).items():
            assert_array_equal(kernel, deep[name][0])


def test_dense_weights_follow_the_rule() -> None:
    layers = [layer for layer in list_layers("vgg16") if layer.kernel_shape is not None]
    # Layers before the last pass for tiny ones: drawing all would take 550 MB.
    tiny: Any = [replace(layer, kernel_shape=(1, 1)) for layer in layers[:-1]]
    cut: Any = SimpleNamespace(weighted_layers=[*tiny, layers[-1]])
    wanted = np.random.default_rng([5, 15]).standard_normal((4096, 1000), dtype=np.float32)
    wanted *= np.float32(np.sqrt(2 / 4096))
    assert_array_equal(draw_weights(cut, 5)["predictions"][0], wanted)


def test_seeds_and_layers_differ() -> None:
    one, same, two = (draw_weights(BLOCK2, seed) for seed in (1, 1, 2))
    assert hash_weights(one) == hash_weights(same) != hash_weights(two)
    assert list(one) == [layer.name for layer in BLOCK2.weighted_layers]
    kernels = [kernel.ravel()[:64] / kernel.std() for kernel, _ in one.values()]
    correlations = np.corrcoef(kernels)[np.triu_indices(len(kernels), 1)]
    assert np.abs(correlations).max() < 0.6


def test_drawing_leaves_global_seeds_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the global state is the point
    draw_weights(BLOCK1, seed=0)
    assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


# -- hashing


def test_hash_is_of_names_shapes_and_bytes() -> None:
    arrays = draw_weights(BLOCK1, seed=0)
    reference = hashlib.sha256()
    for name, pair in arrays.items():
        for values in pair:
            reference.update(f"{name} {values.shape}\n".encode())
            reference.update(values.astype("<f4").tobytes())
    assert hash_weights(arrays) == reference.hexdigest()


def test_hash_tells_what_differs_and_nothing_else() -> None:
    arrays = draw_weights(BLOCK1, seed=0)
    kernel, bias = arrays["block1_conv1"]
    first = hash_weights(arrays)
    equal = {**arrays, "block1_conv1": (np.asfortranarray(kernel), bias.astype(">f4"))}
    assert hash_weights(equal) == first
    changed = kernel.copy()
    changed.flat[0] = np.nextafter(changed.flat[0], np.float32(9))
    different = [
        {**arrays, "block1_conv1": (changed, bias)},
        {**arrays, "block1_conv1": (kernel.reshape(9, 3, 64), bias)},
        dict(reversed(arrays.items())),
        {"other" if name == "block1_conv1" else name: pair for name, pair in arrays.items()},
        {"block1_conv1": arrays["block1_conv1"]},
        {},
    ]
    assert len({first, *map(hash_weights, different)}) == 1 + len(different)


def test_hash_makes_no_copies() -> None:
    import tracemalloc

    arrays = {"fc1": (np.ones((2000, 1000), np.float32), np.ones(1000, np.float32))}
    hash_weights(arrays)
    tracemalloc.start()
    try:
        hash_weights(arrays)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 100_000
