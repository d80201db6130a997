"""fsspec: files in archives, in memory and on a server, fetched only when asked for."""

from __future__ import annotations

import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from clients.cases import COLOUR, CONTENTS, N, assert_same, extractor

from sktransfer.inputs import remote

fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")
LIBRARY = "fsspec"
TRIED = "`zip://`, `memory://` and `http://` addresses, with limits of time, size and attempts"


@pytest.fixture
def memory() -> Iterator[list[str]]:
    system = fsspec.filesystem("memory")
    for i, content in enumerate(CONTENTS):
        system.pipe(f"/images/{i}.png", content)
    yield [f"memory://images/{i}.png" for i in range(N)]
    system.rm("/images", recursive=True)


def test_nothing_is_fetched_unless_asked_for(memory: list[str]) -> None:
    with pytest.raises(
        ValueError, match=r"fetches nothing .*Got 'memory://images/0\.png'.*allow_r"
    ):
        extractor().fit(memory)
    assert_same(memory, allow_remote=True)
    assert_same(pd.Series(memory), allow_remote=True)


def test_archives(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as archive:
        for i, content in enumerate(CONTENTS):
            archive.writestr(f"{i}.png", content)
    paths = [f"zip://{i}.png::{tmp_path / 'images.zip'}" for i in range(N)]
    assert_same(paths, allow_remote=True)


class _Server(BaseHTTPRequestHandler):
    failures = 0
    asked: list[str] = []  # noqa: RUF012 - set anew by the fixture
    goes_on = threading.Event()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        kind = type(self)
        kind.asked.append(self.path)
        if self.path.startswith("/slow"):
            kind.goes_on.wait(30)
        if kind.failures:
            kind.failures -= 1
            self.send_error(503)
            return
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        content = CONTENTS[int(self.path.partition("?")[0][1])]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    _Server.failures, _Server.asked = 0, []
    _Server.goes_on.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        _Server.goes_on.set()
        server.shutdown()


def test_a_server(server: str) -> None:
    urls = [f"{server}/{i}.png?token=secret" for i in range(N)]
    fitted = extractor(allow_remote=True).fit(urls)
    assert _Server.asked == []
    np.testing.assert_array_equal(fitted.transform(urls), extractor().fit_transform(COLOUR))


def test_what_fails_for_a_while_is_tried_again(server: str) -> None:
    _Server.failures = 2
    assert_same([f"{server}/0.png"], COLOUR[:1], allow_remote=True)


def test_what_cannot_be_read_is_named_without_secrets(server: str) -> None:
    urls = [f"{server}/0.png", f"http://me:password@{server[7:]}/missing.png?token=secret"]
    fitted = extractor(allow_remote=True).fit(urls)
    with pytest.raises(OSError, match=r"1 of 2 cannot:\s+image 1, 'http://127.*missing") as caught:
        fitted.transform(urls)
    assert "secret" not in str(caught.value)
    assert "password" not in str(caught.value)


def test_limits(server: str, memory: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "MAX_BYTES", 100)
    fitted = extractor(allow_remote=True).fit(memory)
    with pytest.raises(OSError, match="it has more than the 100 bytes that are allowed"):
        fitted.transform(memory)
    monkeypatch.setattr(remote, "MAX_BYTES", 1 << 20)
    monkeypatch.setattr(remote, "TIMEOUT", 0.3)
    with pytest.raises(OSError, match=r"in 3 attempts: no answer within 0\.3 seconds"):
        fitted.transform([f"{server}/slow.png"])


def test_paths_of_windows_are_no_addresses() -> None:
    assert not remote.is_remote("C:\\images\\one.png")
    assert not remote.is_remote("images/one.png")
    assert remote.is_remote("s3://bucket/one.png")
