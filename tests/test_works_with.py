"""The page "Works with" is what the last run of the clients' tests gave."""

from __future__ import annotations

import json

import pytest
from clients.__main__ import PAGE, RESULTS, list_clients, put_into, render

CLIENTS = list_clients()


@pytest.mark.parametrize("name", CLIENTS)
def test_every_file_says_what_is_tried(name: str) -> None:
    assert CLIENTS[name].keys() == {"LIBRARY", "TRIED"}


def test_the_page_shows_the_last_run() -> None:
    page = PAGE.read_text(encoding="utf-8")
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert put_into(page, render(results)) == page
    assert results["clients"].keys() == CLIENTS.keys()
    assert not any("failed" in each["outcomes"] for each in results["clients"].values())
